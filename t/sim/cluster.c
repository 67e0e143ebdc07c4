/*
 * A whole cluster in this process: API server, store in memory, controllers,
 * scheduler, played nodes; and the waiting, in virtual time.
 */
#include <stdio.h>

#include "t/sim/run.h"
#include "t/unit/memory-store.h"

#define TREE_BYTES (16 << 20)
#define BEGIN_S 1767225600 /* 2026-01-01, a Thursday */
#define STUCK_TURNS 20000 /* so many without time going on: somebody goes round in a circle */
#define EVENTS_SHOWN 12

static void on_ready(void *arg)
{
	*(bool *)arg = true;
}

static void on_sleep(void *arg UNUSED)
{
	obj_trim(TREE_BYTES);
}

static void mark_pod(struct world *w, struct obj *o, bool gone)
{
	for (size_t i = w->marks.n; !gone && i > 0; i--)
		if (streq(w->marks.v[i - 1].obj->uid, o->uid))
			return;
	VEC_PUSH(&w->marks, ((struct pod_mark){ obj_ref(o), gone }));
}

static void on_feed(struct call_feed *f, enum watch_type t, struct obj *o)
{
	struct world *w = CONTAINER_OF(f, struct world, feed);

	w->changed = true;
	if (!o || !streq(o->res->kind, "Pod"))
		return;
	w->pods_changed = true;
	if (t == WATCH_ADDED || t == WATCH_DELETED)
		mark_pod(w, o, t == WATCH_DELETED);
}

static int64_t ttl_s(const struct resource *r)
{
	return streq(r->kind, "Event") ? 3600 : 0;
}

static void open_api(struct world *w)
{
	static const char *const groups[] = { "system:masters", NULL };
	static const char *const issuers[] = { "https://kubernetes.default.svc.cluster.local", NULL };
	struct api_config ac = { .loop = w->loop, .version = "v1.36.2+kinglet1", .server_address = "192.0.2.1:6443",
				 .service_cidr = "10.43.0.0/16", .sa_issuers = issuers };
	struct err e = ERR_INIT;
	bool ready = false;

	ac.store = w->store = memory_store(w->loop, ttl_s);
	BUG_ON(api_new(&w->api, &ac, &e) < 0);
	api_start(w->api, on_ready, &ready);
	while (!ready)
		loop_turn(w->loop, 1000);
	w->client = client_new_local(w->loop, api_call_server(w->api, "system:test", groups), "system:test");
}

void world_open(struct world *w)
{
	w->loop = loop_new();
	loop_virtual(w->loop, BEGIN_S);
	w->hook = loop_before_sleep(w->loop, on_sleep, NULL);
	buf_init(&w->failure);
	open_api(w);
	w->ns = xstrdup("default");
	w->feed.event = on_feed;
	client_feed(w->client, &w->feed);
	w->ctl = ctl_new(&(struct ctl_config){ .client = client_named(w->client, "kube-controller-manager"),
					       .root_ca_pem = "PEM" });
	w->sched = sched_new(client_named(w->client, "kube-scheduler"), "default-scheduler");
	w->play = (struct sim_config){ .client = client_named(w->client, "kubelet"), .version = "v1.36.2+kinglet1" };
	world_idle(w);
	w->begin_ms = world_now(w);
}

void world_close(struct world *w)
{
	sim_free(w->sim);
	sched_free(w->sched);
	ctl_free(w->ctl);
	client_unfeed(w->client, &w->feed);
	client_free(w->client);
	api_free(w->api);
	store_close(w->store);
	for (size_t i = 0; i < w->marks.n; i++)
		obj_unref(w->marks.v[i].obj);
	VEC_RELEASE(&w->marks);
	for (size_t i = 0; i < w->limits.n; i++) {
		free(w->limits.v[i].text);
		free(w->limits.v[i].word);
		free(w->limits.v[i].ns);
		selector_free(w->limits.v[i].sel);
	}
	VEC_RELEASE(&w->limits);
	obj_trim(0);
	loop_hook_free(w->hook);
	loop_free(w->loop);
	vars_release(&w->vars);
	free(w->ns);
	free(w->step);
	buf_release(&w->failure);
}

int64_t world_now(const struct world *w UNUSED)
{
	return time_mono_ms();
}

/* --- failures --- */

bool world_failed(const struct world *w)
{
	return w->failure.len > 0;
}

void world_fail(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (world_failed(w))
		return;
	if (w->at)
		buf_addf(&w->failure, "%s:%zu: %s\nafter %.3f s: ", w->at->script->path, w->line + 1,
			 w->step ? w->step : "", (double)(world_now(w) - w->begin_ms) / 1000);
	va_start(ap, fmt);
	buf_addvf(&w->failure, fmt, ap);
	va_end(ap);
	buf_addch(&w->failure, '\n');
}

static void describe_pod(struct obj *o, struct buf *out)
{
	const struct node *root = obj_node(o), *status = node_get(root, F_status);

	buf_addf(out, "  %s/%s %s%s%s on %s\n", o->ns, o->name, node_gets(status, F_phase),
		 cond_is_true(node_get(status, F_conditions), "Ready") ? " ready" : "",
		 meta_is_deleting(root) ? " terminating" : "",
		 *node_gets(node_get(root, F_spec), F_nodeName) ? node_gets(node_get(root, F_spec), F_nodeName) : "no node");
}

static void describe_event(struct obj *o, struct buf *out)
{
	const struct node *root = obj_node(o), *about = node_get(root, F_involvedObject);

	buf_addf(out, "  %s %s %s/%s x%lld: %s\n", node_gets(root, F_lastTimestamp), node_gets(root, F_reason),
		 node_gets(about, F_kind), node_gets(about, F_name), (long long)node_int(node_get(root, F_count), 1),
		 node_gets(root, F_message));
}

void world_describe(struct world *w, struct buf *out)
{
	struct objs pods, events;

	world_list(w, schema_res("", "pods"), "", NULL, &pods);
	buf_addf(out, "pods:%s\n", pods.list.n ? "" : " none");
	for (size_t i = 0; i < pods.list.n && i < 30; i++)
		describe_pod(pods.list.objs[i], out);
	objs_release(&pods);
	world_list(w, schema_res("", "events"), "", NULL, &events);
	buf_addf(out, "events:%s\n", events.list.n ? "" : " none");
	/* Names end in the time, but begin with the object's: the newest revisions are the last ones. */
	for (size_t shown = 0; shown < EVENTS_SHOWN && shown < events.list.n; shown++) {
		struct obj *best = NULL;
		size_t at = 0;

		for (size_t i = 0; i < events.list.n; i++)
			if (events.list.objs[i] && (!best || events.list.objs[i]->rv > best->rv)) {
				best = events.list.objs[i];
				at = i;
			}
		if (!best)
			break;
		describe_event(best, out);
		events.list.objs[at] = obj_unref(best);
	}
	objs_release(&events);
}

/* --- limits that hold all the time --- */

bool pod_counts_as(struct obj *o, const char *word, bool *known)
{
	const struct node *root = obj_node(o), *status = node_get(root, F_status);
	const char *phase = node_gets(status, F_phase);
	bool going = meta_is_deleting(root), done = streq(phase, "Succeeded") || streq(phase, "Failed");
	bool placed = *node_gets(node_get(root, F_spec), F_nodeName);
	const struct {
		const char *word;
		bool is;
	} words[] = {
		{ "total", true },
		{ "active", !going && !done },
		{ "running", !going && streq(phase, "Running") },
		{ "pending", !going && streq(phase, "Pending") },
		{ "ready", !going && cond_is_true(node_get(status, F_conditions), "Ready") },
		{ "scheduled", !going && !done && placed },
		{ "unscheduled", !going && !done && !placed },
		{ "succeeded", streq(phase, "Succeeded") },
		{ "failed", streq(phase, "Failed") },
		{ "terminating", going },
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (streq(words[i].word, word)) {
			*known = true;
			return words[i].is;
		}
	*known = false;
	return false;
}

size_t count_pods(struct world *w, const char *ns, const struct selector *sel, const char *word)
{
	struct objs pods;
	size_t n = 0;
	bool known;

	world_list(w, schema_res("", "pods"), ns, sel, &pods);
	for (size_t i = 0; i < pods.list.n; i++)
		n += pod_counts_as(pods.list.objs[i], word, &known);
	objs_release(&pods);
	return n;
}

static void check_limits(struct world *w)
{
	for (size_t i = 0; i < w->limits.n && !world_failed(w); i++) {
		struct limit *l = &w->limits.v[i];
		size_t n = count_pods(w, l->ns, l->sel, l->word);

		if (l->most ? n > l->n : n < l->n)
			world_fail(w, "%s: there were %zu", l->text, n);
	}
}

/* --- waiting --- */

void world_turn(struct world *w, int64_t most_ms)
{
	loop_turn(w->loop, most_ms > 3600000 ? 3600000 : (int)most_ms);
	if (w->pods_changed && w->limits.n)
		check_limits(w);
	w->pods_changed = false;
}

/* A millisecond passes only when there is nothing else to do. */
void world_idle(struct world *w)
{
	int64_t end = world_now(w) + 1;

	for (int turns = 0; world_now(w) < end && !world_failed(w); turns++) {
		if (turns == STUCK_TURNS)
			world_fail(w, "no end: %d turns without any time going by", turns);
		world_turn(w, 1);
	}
}

struct waiting {
	bool done;
	struct obj *obj;
	struct err *e;
};

static void on_answer(struct call *c, const struct err *err)
{
	struct waiting *a = c->arg;

	a->done = true;
	a->obj = c->obj ? obj_ref(c->obj) : NULL;
	if (err)
		err_copy(a->e, err);
}

bool world_call(struct world *w, struct call *c, struct obj **ret, struct err *e)
{
	struct waiting a = { .e = e };

	c->done = on_answer;
	c->arg = &a;
	client_submit(w->client, c);
	while (!a.done)
		world_turn(w, 1000);
	*ret = a.obj;
	return !err_is_set(e);
}

/* --- what is there --- */

static bool names(const struct schema_res *r, const char *word)
{
	if (strcasecmp(r->r.plural, word) == 0 || strcasecmp(r->r.singular, word) == 0)
		return true;
	for (const char *const *s = r->short_names; *s; s++)
		if (streq(*s, word))
			return true;
	return false;
}

const struct resource *world_kind(struct world *w, const char *word)
{
	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r))
		if (!r->is_virtual && names(r, word))
			return schema_res(r->r.group, r->r.plural);
	world_fail(w, "there is no kind \"%s\"", word);
	return NULL;
}

static bool matches(void *arg, struct obj *o)
{
	return !arg || selector_match(arg, meta_labels(obj_node(o)));
}

void world_list(struct world *w, const struct resource *r, const char *ns, const struct selector *sel, struct objs *out)
{
	struct err e = ERR_INIT;

	out->list = (struct store_list){ .res = &schema_storage((const struct schema_res *)r)->r,
					 .ns = r->namespaced ? ns : "", .match = matches, .arg = (void *)sel };
	BUG_ON(store_list(w->store, &out->list, &e) < 0);
}

void objs_release(struct objs *o)
{
	store_list_release(&o->list);
}
