/*
 * Tells which ports that LoadBalancer Services want on this node's addresses a process
 * of the machine already has: in the Node's annotation kinglet.io/listening-ports,
 * "TCP/22=sshd,TCP/8080": 22 is held, by sshd; 8080 is free. The controller
 * (ctl/loadbalancer.c) gives a Service no address of a node that has not said so of its
 * ports, for its rules would take the port away from the process: perhaps the one by
 * which this machine is administered.
 *
 * It is looked when the ports that are wanted change; and while one of them is held,
 * now and then.
 */
#include <netinet/in.h>

#include "base/job.h"
#include "base/map.h"
#include "net/listeners.h"
#include "svc/internal.h"

#define LISTENERS "kinglet.io/listening-ports"
#define MODE "kinglet.io/loadbalancer"
#define CLASS_K3S "io.cattle/servicelb"
#define AGAIN_MS 30000
#define PORTS_MAX 4096

typedef VEC(struct listener) listener_list;

struct listening_look { /* a worker's */
	struct listening *l;
	listener_list ports;
	struct net_addr own[8];
	size_t n_own;
};

struct listening {
	struct svc *svc;
	struct informer *services, *nodes;
	struct map *by_service; /* listener_list by "ns/name": what each wants */
	struct loop_task task;
	struct loop_timer *again;
	struct job_queue *jobs;
	bool busy, stale; /* a look is under way; it is no longer all that is asked */
	char *text; /* what there is to say; NULL: not looked yet */
	int synced;
};

/* --- what is wanted --- */

static void listening_list_free(void *p)
{
	listener_list *l = p;

	VEC_RELEASE(l);
	free(l);
}

static bool listening_wants_nodes(const struct listening *l, const struct node *root)
{
	const char *class = node_gets(node_get(root, F_spec), F_loadBalancerClass), *mode = meta_annotation(root, MODE);

	if (!node_streq(node_path(root, F_spec, F_type), "LoadBalancer") || (*class && !streq(class, CLASS_K3S)))
		return false;
	if (mode && streq(mode, "none"))
		return false;
	return str_empty(l->svc->cfg.lb_pool) || (mode && (streq(mode, "nodes") || streq(mode, "node")));
}

/* NULL: nothing of this node. */
static listener_list *listening_read(const struct listening *l, struct obj *o)
{
	_cleanup_doc_ struct doc *d = NULL;
	listener_list *list;

	if (!obj_json_has(o, "\"LoadBalancer\""))
		return NULL;
	d = obj_doc_once(o);
	if (!listening_wants_nodes(l, doc_root(d)))
		return NULL;
	list = xcalloc(1, sizeof(*list));
	NODE_FOREACH(p, node_path(doc_root(d), F_spec, F_ports)) {
		struct listener one = { .protocol = node_streq(node_get(p, F_protocol), "UDP")	 ? IPPROTO_UDP
						    : node_streq(node_get(p, F_protocol), "SCTP") ? IPPROTO_SCTP
												  : IPPROTO_TCP,
					.port = (uint16_t)node_int(node_get(p, F_port), 0) };

		VEC_PUSH(list, one);
	}
	return list;
}

static bool listening_same(const listener_list *a, const listener_list *b)
{
	if (!a || !b || a->n != b->n)
		return !a && !b;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].protocol != b->v[i].protocol || a->v[i].port != b->v[i].port)
			return false;
	return true;
}

/* --- what is said --- */

static const char *listening_protocol(int p)
{
	return p == IPPROTO_UDP ? "UDP" : p == IPPROTO_SCTP ? "SCTP" : "TCP";
}

/* If the Node does not say so yet. */
static void listening_tell(struct listening *l)
{
	struct obj *o = informer_find(l->nodes, "", l->svc->cfg.node_name);
	_cleanup_doc_ struct doc *have = o ? obj_doc_once(o) : NULL;
	const char *said = have ? meta_annotation(doc_root(have), LISTENERS) : NULL;
	struct doc *d;

	if (!o || !l->text || (said && streq(said, l->text)))
		return;
	d = doc_new();
	doc_set_root(d, node_new(d, DOC_OBJECT));
	node_setk(d, node_need_object(d, node_need_object(d, doc_root(d), F_metadata), F_annotations), STR_LIT(LISTENERS),
		  node_new_cstr(d, l->text));
	client_patch(l->svc->cfg.client, o->res, NULL, o->name, NULL, PATCH_MERGE, d, NULL, NULL);
}

/* --- looking --- */

static int listening_cmp(const void *a, const void *b)
{
	const struct listener *x = a, *y = b;

	return x->protocol != y->protocol ? x->protocol - y->protocol : (int)x->port - (int)y->port;
}

static void listening_run(void *arg)
{
	struct listening_look *k = arg;

	listeners_look(k->ports.v, k->ports.n, k->own, k->n_own);
}

static void listening_look_free(struct listening_look *k)
{
	VEC_RELEASE(&k->ports);
	free(k);
}

static void listening_done(void *arg)
{
	struct listening_look *k = arg;
	struct listening *l = k->l;
	_cleanup_buf_ struct buf text = BUF_INIT;
	bool held = false;

	for (size_t i = 0; i < k->ports.n; i++) {
		const struct listener *p = &k->ports.v[i];

		buf_addf(&text, "%s%s/%u", i ? "," : "", listening_protocol(p->protocol), p->port);
		if (p->held)
			buf_addf(&text, "=%s", *p->name ? p->name : "unknown");
		held |= p->held;
	}
	free(l->text);
	l->text = buf_detach(&text, NULL);
	listening_look_free(k);
	l->busy = false;
	listening_tell(l);
	if (held)
		loop_timer_set(l->again, AGAIN_MS);
	if (l->stale)
		loop_defer(l->svc->cfg.loop, &l->task);
}

/* Sorted, each once. */
static void listening_gather(const struct listening *l, listener_list *out)
{
	struct map_iter it = { 0 };
	size_t n = 0;

	while (map_next(l->by_service, &it)) {
		const listener_list *list = it.value;

		for (size_t i = 0; i < list->n && out->n < PORTS_MAX; i++)
			VEC_PUSH(out, list->v[i]);
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), listening_cmp);
	for (size_t i = 0; i < out->n; i++)
		if (!n || listening_cmp(&out->v[n - 1], &out->v[i]) != 0)
			out->v[n++] = out->v[i];
	out->n = n;
}

static void listening_own(struct listening *l, struct listening_look *k)
{
	struct obj *o = informer_find(l->nodes, "", l->svc->cfg.node_name);
	_cleanup_doc_ struct doc *d = o ? obj_doc_once(o) : NULL;

	NODE_FOREACH(a, d ? node_path(doc_root(d), F_status, F_addresses) : NULL)
		if (k->n_own < ARRAY_SIZE(k->own) && net_addr_parse(&k->own[k->n_own], node_gets(a, F_address)))
			k->n_own++;
}

static void listening_look(struct loop_task *t)
{
	struct listening *l = CONTAINER_OF(t, struct listening, task);
	struct listening_look *k;

	l->stale = true;
	if (l->busy || l->synced < 2)
		return;
	k = xcalloc(1, sizeof(*k));
	k->l = l;
	listening_gather(l, &k->ports);
	listening_own(l, k);
	l->stale = false;
	if (!k->ports.n) {
		l->busy = true;
		listening_done(k);
		return;
	}
	l->busy = job_submit(l->jobs, listening_run, listening_done, k) == 0;
	if (!l->busy)
		listening_look_free(k);
}

static void listening_again(void *arg)
{
	struct listening *l = arg;

	loop_defer(l->svc->cfg.loop, &l->task);
}

/* --- following --- */

static void listening_on_service(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct listening *l = arg;
	_cleanup_buf_ struct buf key = BUF_INIT;
	listener_list *was, *is = t == WATCH_DELETED ? NULL : listening_read(l, o);
	bool same;

	obj_key_print(&key, o->ns, o->name);
	was = map_take(l->by_service, buf_str(&key));
	same = listening_same(was, is);
	if (is)
		map_set(l->by_service, buf_str(&key), is);
	if (was)
		listening_list_free(was);
	if (!same)
		loop_defer(l->svc->cfg.loop, &l->task);
}

static void listening_on_node(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct listening *l = arg;

	if (t != WATCH_DELETED && streq(o->name, l->svc->cfg.node_name))
		listening_tell(l);
}

static void listening_on_synced(void *arg)
{
	struct listening *l = arg;

	l->synced++;
	loop_defer(l->svc->cfg.loop, &l->task);
}

static const struct informer_ops listening_service_ops = { listening_on_service, listening_on_synced };
static const struct informer_ops listening_node_ops = { listening_on_node, listening_on_synced };

int listening_open(void **ret, struct svc *s, struct err *e UNUSED)
{
	struct listening *l = xcalloc(1, sizeof(*l));

	l->svc = s;
	l->task.run = listening_look;
	l->again = loop_timer_new(s->cfg.loop, listening_again, l);
	l->jobs = job_queue_new(s->cfg.loop, "listeners", 1, 4);
	l->by_service = map_new(listening_list_free);
	l->services = informer_get(s->cfg.client, schema_res("", "services"), NULL);
	l->nodes = informer_get(s->cfg.client, schema_res("", "nodes"), NULL);
	informer_subscribe(l->services, &listening_service_ops, l);
	informer_subscribe(l->nodes, &listening_node_ops, l);
	*ret = l;
	return 0;
}

/* Others must not wait for what is not said any more. */
void listening_off(struct svc *s)
{
	struct doc *d = doc_new();

	doc_set_root(d, node_new(d, DOC_OBJECT));
	node_setk(d, node_need_object(d, node_need_object(d, doc_root(d), F_metadata), F_annotations), STR_LIT(LISTENERS),
		  node_new(d, DOC_NULL));
	client_patch(s->cfg.client, schema_res("", "nodes"), NULL, s->cfg.node_name, NULL, PATCH_MERGE, d, NULL, NULL);
}

void listening_close(void *part)
{
	struct listening *l = part;

	informer_unsubscribe(l->services, l);
	informer_unsubscribe(l->nodes, l);
	job_queue_free(l->jobs);
	loop_undefer(l->svc->cfg.loop, &l->task);
	loop_timer_free(l->again);
	map_free(l->by_service);
	free(l->text);
	free(l);
}
