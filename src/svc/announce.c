/*
 * Which addresses of LoadBalancer Services this node announces.
 *
 * The pool's addresses stand in the Services' status, given by the controller
 * (ctl/loadbalancer.c). Each is announced by one node, and all nodes know which from
 * the objects alone: among those that are ready and not excluded (where traffic is to
 * stay local: that have an endpoint which is ready) the one whose name and the address
 * together hash highest. So the addresses spread over the nodes, and when a node goes
 * only its own move.
 *
 * Nodes see objects at different times. One that comes late may announce an address
 * together with its new node until it has caught up: neighbours believe whoever spoke
 * last, and that is the new one. One that is cut off from the server goes on announcing
 * what it had; it is not ready for the others when node-monitor-grace-period is over,
 * and they take over then. What it still answers for ends when it hears again.
 */
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "net/announce.h"
#include "svc/internal.h"

#define LABEL_EXCLUDE "node.kubernetes.io/exclude-from-external-load-balancers"
#define CLASS_K3S "io.cattle/servicelb"
#define COMPONENT "kinglet-announcer"

typedef VEC(char *) announce_texts;

typedef VEC(struct net_addr) announce_list;

struct announce_service {
	struct obj *obj;
	bool local;
	bool stale; /* ours has to be looked for */
	announce_texts addresses;
	announce_list ours; /* those that this node announces */
};

struct announce_node {
	bool counts;
	announce_texts addresses;
};

struct announce {
	struct svc *svc;
	struct announcer *net;
	struct informer *services, *nodes;
	struct svc_slices_watch slices;
	struct map *by_service; /* struct announce_service by "ns/name" */
	struct map *by_node; /* struct announce_node by name */
	unsigned synced;
	struct loop_task task;
};

/* --- what there is --- */

static void texts_release(announce_texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	VEC_RELEASE(t);
}

static void service_free(void *p)
{
	struct announce_service *s = p;

	obj_unref(s->obj);
	texts_release(&s->addresses);
	VEC_RELEASE(&s->ours);
	free(s);
}

static void node_free(void *p)
{
	struct announce_node *n = p;

	texts_release(&n->addresses);
	free(n);
}

/* NULL: it has no address, or is none of ours. */
static struct announce_service *service_read(struct obj *o)
{
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *root, *spec;
	struct announce_service *s;
	const char *class;

	if (!obj_json_has(o, "\"LoadBalancer\""))
		return NULL;
	d = obj_doc_once(o);
	root = doc_root(d);
	spec = node_get(root, F_spec);
	class = node_gets(spec, F_loadBalancerClass);
	if (!node_streq(node_get(spec, F_type), "LoadBalancer") || (*class && !streq(class, CLASS_K3S)))
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->obj = obj_ref(o);
	s->stale = true;
	s->local = node_streq(node_get(spec, F_externalTrafficPolicy), "Local");
	NODE_FOREACH(in, node_path(root, F_status, F_loadBalancer, F_ingress))
		VEC_PUSH(&s->addresses, xstrdup(node_gets(in, F_ip)));
	if (s->addresses.n)
		return s;
	service_free(s);
	return NULL;
}

static struct announce_node *node_read(struct obj *o)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	const struct node *root = doc_root(d);
	struct announce_node *n = xcalloc(1, sizeof(*n));

	n->counts = cond_is_true(node_path(root, F_status, F_conditions), "Ready") && !meta_label(root, LABEL_EXCLUDE) &&
		    !meta_is_deleting(root);
	NODE_FOREACH(a, node_path(root, F_status, F_addresses))
		VEC_PUSH(&n->addresses, xstrdup(node_gets(a, F_address)));
	return n;
}

/* --- whose an address is --- */

/* FNV's last bytes hardly stir the upper bits. */
static uint64_t announce_weight(const char *node, const char *address)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint64_t h;

	buf_addf(&b, "%s/%s", node, address);
	h = hash_fnv64a(buf_str(&b));
	h = (h ^ h >> 33) * 0xff51afd7ed558ccdull;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53ull;
	return h ^ h >> 33;
}

/* NULL: any will do. */
static struct map *announce_local_nodes(struct announce *a, const struct announce_service *s)
{
	const svc_slice_list *l = svc_slices_of(a->svc->slices, s->obj->ns, s->obj->name);
	struct map *m;

	if (!s->local)
		return NULL;
	m = map_new(NULL);
	for (size_t i = 0; l && i < l->n; i++) {
		_cleanup_doc_ struct doc *d = obj_doc_once(l->v[i]);

		NODE_FOREACH(ep, node_get(doc_root(d), F_endpoints))
			if (*node_gets(ep, F_nodeName) && node_bool(node_path(ep, F_conditions, F_ready), true))
				map_set(m, node_str(node_get(ep, F_nodeName)), a);
	}
	return m;
}

static bool announce_is_ours(struct announce *a, const char *address, const struct map *among)
{
	struct map_iter it = { 0 };
	_cleanup_free_ char *best = NULL;
	uint64_t most = 0;

	while (map_next(a->by_node, &it)) {
		const struct announce_node *n = it.value;
		_cleanup_free_ char *name = str_dup(it.key);
		uint64_t w = announce_weight(name, address);

		if (!n->counts || (among && !map_get(among, it.key)))
			continue;
		if (!best || w > most || (w == most && strcmp(name, best) > 0)) {
			free(best);
			best = take_ptr(&name);
			most = w;
		}
	}
	return best && streq(best, a->svc->cfg.node_name);
}

static bool announce_is_a_nodes(struct announce *a, const char *address)
{
	struct map_iter it = { 0 };

	while (map_next(a->by_node, &it)) {
		const struct announce_node *n = it.value;

		for (size_t i = 0; i < n->addresses.n; i++)
			if (streq(n->addresses.v[i], address))
				return true;
	}
	return false;
}

static void announce_service_look(struct announce *a, struct announce_service *s)
{
	struct map *among = announce_local_nodes(a, s);

	s->stale = false;
	s->ours.n = 0;
	for (size_t i = 0; i < s->addresses.n; i++) {
		struct net_addr addr;

		if (net_addr_parse(&addr, s->addresses.v[i]) && !announce_is_a_nodes(a, s->addresses.v[i]) &&
		    announce_is_ours(a, s->addresses.v[i], among))
			VEC_PUSH(&s->ours, addr);
	}
	map_free(among);
}

static void announce_look(struct loop_task *t)
{
	struct announce *a = CONTAINER_OF(t, struct announce, task);
	struct map_iter it = { 0 };
	announce_list list = VEC_INIT;

	if (a->synced < 2 || !svc_slices_synced(a->svc->slices))
		return;
	while (map_next(a->by_service, &it)) {
		struct announce_service *s = it.value;

		if (s->stale)
			announce_service_look(a, s);
		for (size_t i = 0; i < s->ours.n; i++)
			VEC_PUSH(&list, s->ours.v[i]);
	}
	announcer_set(a->net, list.v, list.n);
	VEC_RELEASE(&list);
}

static void announce_soon(struct announce *a)
{
	loop_defer(a->svc->cfg.loop, &a->task);
}

/* --- what is said of it --- */

static void announce_say(struct announce *a, struct obj *o, enum announce_news what, const char *address, const char *link,
			 const char *mac)
{
	struct client *c = a->svc->cfg.client;
	const char *node = a->svc->cfg.node_name;

	switch (what) {
	case ANNOUNCE_OURS:
		client_event(c, o, NULL, COMPONENT, node, "Normal", "nodeAssigned",
			     "announcing %s from node \"%s\" with protocol \"layer2\"", address, node);
		break;
	case ANNOUNCE_TAKEN:
		client_event(c, o, NULL, COMPONENT, node, "Warning", "AddressInUse",
			     "%s is in use by another machine (%s on %s): it is not announced until that lets go of it", address,
			     mac, link);
		break;
	case ANNOUNCE_CONTESTED:
		client_event(c, o, NULL, COMPONENT, node, "Warning", "AddressConflict",
			     "another machine (%s on %s) claims %s, which node \"%s\" announces", mac, link, address, node);
		break;
	case ANNOUNCE_NO_LINK:
		client_event(c, o, NULL, COMPONENT, node, "Warning", "AddressNotAnnounced",
			     "no link of node \"%s\" is in a network that has %s: others find it only by a route", node, address);
	}
}

static void announce_on_news(void *arg, enum announce_news what, const struct net_addr *addr, const char *link,
			     const char *mac)
{
	static const char *const names[] = { "announced", "taken", "contested", "without a link" };
	struct announce *a = arg;
	struct map_iter it = { 0 };
	char text[NET_ADDR_TEXT];

	net_addr_print(addr, text);
	log_info("load balancer address", LS("address", text), LS("is", names[what]), LS("link", link), LS("other", mac));
	while (map_next(a->by_service, &it)) {
		const struct announce_service *s = it.value;

		for (size_t i = 0; i < s->addresses.n; i++)
			if (streq(s->addresses.v[i], text))
				announce_say(a, s->obj, what, text, link, mac);
	}
}

/* --- following --- */

static void announce_on_service(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct announce *a = arg;
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct announce_service *s = t == WATCH_DELETED ? NULL : service_read(o);
	bool had;

	obj_key_print(&key, o->ns, o->name);
	had = map_del(a->by_service, buf_str(&key));
	if (s)
		map_set(a->by_service, buf_str(&key), s);
	if (s || had)
		announce_soon(a);
}

static bool node_same(const struct announce_node *a, const struct announce_node *b)
{
	if (a->counts != b->counts || a->addresses.n != b->addresses.n)
		return false;
	for (size_t i = 0; i < a->addresses.n; i++)
		if (!streq(a->addresses.v[i], b->addresses.v[i]))
			return false;
	return true;
}

static void announce_on_node(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct announce *a = arg;
	struct announce_node *was = map_getc(a->by_node, o->name), *is = t == WATCH_DELETED ? NULL : node_read(o);
	struct map_iter it = { 0 };

	if (was && is && node_same(was, is)) {
		node_free(is);
		return;
	}
	if (is)
		map_set(a->by_node, str_of(o->name), is);
	else
		map_del(a->by_node, str_of(o->name));
	while (map_next(a->by_service, &it))
		((struct announce_service *)it.value)->stale = true;
	announce_soon(a);
}

static void announce_on_slices(void *arg, const char *ns, const char *service)
{
	struct announce *a = arg;
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct announce_service *s;

	obj_key_print(&key, ns, service);
	s = map_get(a->by_service, buf_str(&key));
	if (!s || !s->local)
		return;
	s->stale = true;
	announce_soon(a);
}

static void announce_on_slices_synced(void *arg)
{
	announce_soon(arg);
}

static void announce_on_synced(void *arg)
{
	struct announce *a = arg;

	a->synced++;
	announce_soon(a);
}

static const struct informer_ops announce_service_ops = { announce_on_service, announce_on_synced };
static const struct informer_ops announce_node_ops = { announce_on_node, announce_on_synced };

int announce_open(void **ret, struct svc *s, struct err *e)
{
	struct announce *a;
	struct announcer *net;

	if (str_empty(s->cfg.lb_pool))
		return 0; /* the nodes' own addresses need not be announced */
	a = xcalloc(1, sizeof(*a));
	if (announcer_new(&net, &(struct announcer_config){ .loop = s->cfg.loop, .bridge = net_bridge(s->cfg.net),
							    .news = announce_on_news, .arg = a }, e) < 0) {
		free(a);
		return -e->code;
	}
	a->svc = s;
	a->net = net;
	a->task.run = announce_look;
	a->by_service = map_new(service_free);
	a->by_node = map_new(node_free);
	a->slices = (struct svc_slices_watch){ .changed = announce_on_slices, .synced = announce_on_slices_synced, .arg = a };
	svc_slices_follow(s->slices, &a->slices);
	a->services = informer_get(s->cfg.client, schema_res("", "services"), NULL);
	a->nodes = informer_get(s->cfg.client, schema_res("", "nodes"), NULL);
	informer_subscribe(a->services, &announce_service_ops, a);
	informer_subscribe(a->nodes, &announce_node_ops, a);
	*ret = a;
	return 0;
}

void announce_close(void *part)
{
	struct announce *a = part;

	svc_slices_unfollow(a->svc->slices, &a->slices);
	informer_unsubscribe(a->services, a);
	informer_unsubscribe(a->nodes, a);
	loop_undefer(a->svc->cfg.loop, &a->task);
	announcer_free(a->net);
	map_free(a->by_service);
	map_free(a->by_node);
	free(a);
}
