/*
 * metrics.k8s.io: what nodes and pods use at the moment (`kubectl top`, autoscalers).
 * Kubernetes needs the metrics-server for it; here each request asks the nodes
 * themselves for /stats/summary, all at once, and leaves out those that do not answer
 * in time, as the metrics-server leaves out what it could not scrape.
 */
#include "api/internal.h"

#include <errno.h>

#include "base/time.h"
#include "http/http.h"

#define BIT(v) (1u << (v))
#define TOP_TIMEOUT_MS 6000
#define TOP_ANSWER_BYTES (32u << 20)

struct top_node { /* one node that is asked */
	struct top *top;
	char *name;
	struct http_client *client;
	struct http_exchange x;
	struct doc *answer; /* NULL: none */
};
struct top {
	struct req *r;
	VEC(struct top_node *) nodes;
	size_t open;
	bool over;
};

static void top_free(struct top *t)
{
	for (size_t i = 0; i < t->nodes.n; i++) {
		struct top_node *n = t->nodes.v[i];

		http_client_free(n->client);
		buf_release(&n->x.resp_body);
		doc_unref(n->answer);
		free(n->name);
		free(n);
	}
	VEC_RELEASE(&t->nodes);
	free(t);
}

/* --- one object --- */

static const struct node *top_get(const struct node *n, const char *a, const char *b)
{
	return node_getc(node_getc(n, a), b);
}

static void top_usage(struct doc *d, struct node *o, const struct node *from)
{
	struct node *usage = node_setk(d, o, str_of("usage"), node_new(d, DOC_OBJECT));

	node_setk(d, usage, str_of("cpu"),
		  node_new_fmt(d, "%lldn", (long long)node_int(top_get(from, "cpu", "usageNanoCores"), 0)));
	node_setk(d, usage, str_of("memory"),
		  node_new_fmt(d, "%lldKi", (long long)node_int(top_get(from, "memory", "workingSetBytes"), 0) / 1024));
}

/* As Go prints a Duration: "1.003s", "10s". */
static struct node *top_window(struct doc *d, const struct node *from)
{
	int64_t ms = node_int(top_get(from, "cpu", "usageWindowMilliSeconds"), 0);

	return node_new_fmt(d, ms % 1000 ? "%gs" : "%.0fs", (double)ms / 1000);
}

static struct node *top_object(struct req *r, struct doc *d, struct obj *of, const struct node *from)
{
	struct node *root = node_new(d, DOC_OBJECT), *meta;
	const struct node *labels = meta_labels(obj_node(of)), *when = top_get(from, "cpu", "time");
	char now[TIME_RFC3339_LEN];

	doc_set_root(d, root);
	node_sets(d, root, F_kind, r->res->r.kind);
	node_sets(d, root, F_apiVersion, r->res->r.api_version);
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, of->name);
	if (*of->ns)
		node_sets(d, meta, F_namespace, of->ns);
	node_sets(d, meta, F_creationTimestamp, time_fmt_rfc3339(now, time_wall_s()));
	if (labels)
		node_set(d, meta, F_labels, node_copy(d, labels));
	node_setk(d, root, str_of("timestamp"), node_new_cstr(d, node_cstr_or(when, now)));
	node_setk(d, root, str_of("window"), top_window(d, from));
	return root;
}

static struct obj *top_make(struct req *r, struct obj *of, const struct node *from)
{
	struct doc *d = doc_new();
	struct node *root = top_object(r, d, of, from), *list;
	struct obj *o;

	if (!*of->ns) {
		top_usage(d, root, from);
	} else {
		list = node_set(d, root, F_containers, node_new(d, DOC_ARRAY));
		NODE_FOREACH(c, node_getc(from, "containers"))
		{
			struct node *one;

			if (!top_get(c, "cpu", "usageNanoCores"))
				continue; /* it began just now */
			one = node_append(list, node_new(d, DOC_OBJECT));
			node_sets(d, one, F_name, node_gets(c, F_name));
			top_usage(d, one, c);
		}
	}
	o = obj_new(&r->res->r, d, 0);
	doc_unref(d);
	return o;
}

/* --- the answer --- */

static void top_add(struct req *r, struct obj *of, const struct node *from)
{
	struct obj *o = top_make(r, of, from);

	if (r->verb == VERB_GET) {
		obj_unref(r->obj);
		r->obj = o;
	} else if (r->filter.everything || filter_match(&r->filter, o)) {
		r->list.objs = xreallocarray(r->list.objs, r->list.n + 1, sizeof(*r->list.objs));
		r->list.objs[r->list.n++] = o;
	} else {
		obj_unref(o);
	}
}

static void top_add_pods(struct req *r, const struct node *answer)
{
	NODE_FOREACH(p, node_getc(answer, "pods"))
	{
		const struct node *ref = node_getc(p, "podRef");
		struct obj *of = store_get(r->api->store, schema_res("", "pods"), node_gets(ref, F_namespace),
					   node_gets(ref, F_name));

		if (!of || !streq(of->uid, node_gets(ref, F_uid)) || !node_count(node_getc(p, "containers")))
			continue;
		if ((!str_empty(r->at.ns) && !streq(of->ns, r->at.ns)) ||
		    (!str_empty(r->at.name) && !streq(of->name, r->at.name)))
			continue;
		top_add(r, of, p);
	}
}

static void top_add_node(struct req *r, const struct top_node *n)
{
	struct obj *of = store_get(r->api->store, schema_res("", "nodes"), "", n->name);
	const struct node *from = node_getc(doc_root(n->answer), "node");

	if (of && from)
		top_add(r, of, from);
}

static void top_end(struct loop_task *task)
{
	struct req *r = CONTAINER_OF(task, struct req, task);
	struct top *t = take_ptr(&r->stream);

	for (size_t i = 0; i < t->nodes.n; i++) {
		if (!t->nodes.v[i]->answer)
			continue;
		if (r->res->r.namespaced)
			top_add_pods(r, doc_root(t->nodes.v[i]->answer));
		else
			top_add_node(r, t->nodes.v[i]);
	}
	top_free(t);
	if (r->verb == VERB_GET && !r->obj)
		err_not_found(&r->err, &r->res->r, r->at.name);
	req_finish(r);
}

static void top_over(struct top *t)
{
	struct req *r = t->r;

	if (t->over)
		return;
	t->over = true;
	r->on_gone = NULL;
	r->task.run = top_end;
	loop_defer(r->api->loop, &r->task);
}

static void top_gone(struct req *r)
{
	struct top *t = r->stream;

	for (size_t i = 0; i < t->nodes.n; i++)
		if (t->nodes.v[i]->x.impl)
			http_client_cancel(&t->nodes.v[i]->x);
	t->open = 0;
	top_over(t);
}

/* --- asking --- */

static int top_dial(void *arg)
{
	struct top_node *n = arg;
	const struct api_config *cfg = &n->top->r->api->cfg;

	return cfg->dial_node ? cfg->dial_node(cfg->arg, n->name) : -EHOSTUNREACH;
}

static void top_on_done(struct http_exchange *x, const struct err *err)
{
	struct top_node *n = x->arg;
	_cleanup_err_ struct err e = ERR_INIT;

	x->impl = NULL;
	if (!err && x->status == 200 && doc_parse_json(&n->answer, buf_str(&x->resp_body), NULL, &e) < 0)
		n->answer = NULL;
	if (--n->top->open == 0)
		top_over(n->top);
}

static void top_ask(struct top *t, const char *name)
{
	struct top_node *n = xcalloc(1, sizeof(*n));
	struct http_client_config cfg = { .loop = t->r->api->loop, .host = name, .dial = top_dial, .arg = n };

	n->top = t;
	n->name = xstrdup(name);
	n->x = (struct http_exchange){ .method = "GET", .target = "/stats/summary", .timeout_ms = TOP_TIMEOUT_MS,
				       .on_done = top_on_done, .max_body = TOP_ANSWER_BYTES, .arg = n };
	n->client = http_client_new(&cfg);
	VEC_PUSH(&t->nodes, n);
	t->open++;
}

static void top_ask_all(struct top *t)
{
	struct store_list l = { .res = schema_res("", "nodes") };
	_cleanup_err_ struct err e = ERR_INIT;

	if (store_list(t->r->api->store, &l, &e) < 0)
		return;
	for (size_t i = 0; i < l.n; i++)
		if (cond_is_true(node_path(obj_node(l.objs[i]), F_status, F_conditions), "Ready"))
			top_ask(t, l.objs[i]->name);
	store_list_release(&l);
}

/* The one node that has the answer. */
static int top_ask_one(struct top *t, struct err *e)
{
	struct req *r = t->r;
	struct obj *o = store_get(r->api->store, schema_res("", r->res->r.plural), r->res->r.namespaced ? r->at.ns : "",
				  r->at.name);
	const char *node;

	if (!o)
		return err_not_found(e, &r->res->r, r->at.name);
	node = r->res->r.namespaced ? node_gets(node_get(obj_node(o), F_spec), F_nodeName) : o->name;
	if (*node)
		top_ask(t, node);
	return 0;
}

static int act_top(struct req *r, struct err *e)
{
	struct top *t;

	if (r->verb == VERB_LIST) {
		if (filter_init(&r->filter, r->res, r->opts.label_selector, r->opts.field_selector, e) < 0)
			return -e->code;
		r->list_held = r->is_list = true;
		r->list.remaining = -1;
	}
	t = xcalloc(1, sizeof(*t));
	t->r = r;
	if (r->verb == VERB_LIST) {
		top_ask_all(t);
	} else if (top_ask_one(t, e) < 0) {
		top_free(t);
		return -e->code;
	}
	r->stream = t;
	r->on_gone = top_gone;
	if (!t->open)
		top_over(t);
	for (size_t i = 0, n = t->nodes.n; i < n; i++)
		http_client_send(t->nodes.v[i]->client, &t->nodes.v[i]->x);
	return STEP_WAIT;
}

const struct handler top_handlers[] = {
	{ "metrics.k8s.io", "nodes", "", BIT(VERB_GET) | BIT(VERB_LIST), act_top },
	{ "metrics.k8s.io", "pods", "", BIT(VERB_GET) | BIT(VERB_LIST), act_top },
	{ 0 },
};
