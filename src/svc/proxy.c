/*
 * The service proxy: Services and EndpointSlices become rules of this machine's
 * kernel (net/service.c), as kube-proxy's nftables mode has them.
 *
 * What changes in one turn of the loop is done together at its end, in transactions
 * of a bounded number of Services. A Service whose endpoints flip often is written
 * as it is at the end of a turn, however often it flipped.
 *
 * When the first lists have come, and after a transaction that the kernel refused,
 * everything is written anew beside what is there and then put in its place at once.
 * Should that be refused, too, it is tried again after a while, with one Service to
 * a transaction, so that the one which the kernel does not take is found, told, and
 * left out until it changes.
 */
#include "svc/proxy.h"

#include <stdio.h>

#include "base/log.h"
#include "base/map.h"

#define PROXY_STEP 200 /* Services in one transaction */
#define PROXY_STEP_ENDPOINTS 20000 /* or so many endpoints */
#define PROXY_AGAIN_MS 1000 /* doubled until */
#define PROXY_AGAIN_MAX_MS 300000
#define PROXY_MAX_BAD 16 /* Services that are left out before all waits */
#define PROXY_COMPONENT "kinglet-proxy"
#define PROXY_ZONE "topology.kubernetes.io/zone"

enum proxy_state {
	PROXY_WAITING, /* for the first lists, or for another try */
	PROXY_BUILDING, /* all anew */
	PROXY_RUNNING,
};

struct proxy {
	struct svc *svc;
	struct net_services *net;
	struct health *health;
	struct informer *services, *node;
	struct svc_slices_watch slices;
	struct map *dirty; /* keys of Services to look at */
	struct map *bad; /* those that the kernel does not take */
	enum proxy_state state;
	char *zone;
	struct loop_task task;
	struct loop_timer *again;
	int64_t again_ms;
	bool singly; /* one Service to a transaction */
	bool tidy; /* something of before may be left */
	char *last_error;
};

static void proxy_wake(struct proxy *p)
{
	loop_defer(p->svc->cfg.loop, &p->task);
}

static void proxy_mark(struct proxy *p, struct str key)
{
	if (p->state == PROXY_WAITING)
		return;
	map_set(p->dirty, key, p);
	proxy_wake(p);
}

/* --- events --- */

static bool proxy_synced(const struct proxy *p)
{
	return informer_synced(p->services) && informer_synced(p->node) && svc_slices_synced(p->svc->slices);
}

static void proxy_begin(struct proxy *p)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	net_services_begin(p->net);
	p->state = PROXY_BUILDING;
	map_clear(p->dirty);
	for (struct obj *o = NULL; (o = informer_next(p->services, NULL, o));) {
		buf_clear(&key);
		obj_key_print(&key, o->ns, o->name);
		map_set(p->dirty, buf_str(&key), p);
	}
	proxy_wake(p);
}

static void proxy_on_synced(void *arg)
{
	struct proxy *p = arg;

	if (p->state == PROXY_WAITING && !loop_timer_is_set(p->again) && proxy_synced(p))
		proxy_begin(p);
}

static void proxy_on_service(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct proxy *p = arg;
	_cleanup_buf_ struct buf key = BUF_INIT;

	(void)t;
	(void)old;
	obj_key_print(&key, obj->ns, obj->name);
	map_del(p->bad, buf_str(&key));
	proxy_mark(p, buf_str(&key));
}

static void proxy_on_slices(void *arg, const char *ns, const char *service)
{
	struct proxy *p = arg;
	_cleanup_buf_ struct buf key = BUF_INIT;

	obj_key_print(&key, ns, service);
	if (informer_find(p->services, ns, service))
		proxy_mark(p, buf_str(&key));
}

/* Which endpoints are near depends on where the node is. */
static void proxy_on_node(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct proxy *p = arg;
	_cleanup_doc_ struct doc *d = t == WATCH_DELETED ? NULL : obj_doc_once(obj);
	const char *zone = d ? meta_label(doc_root(d), PROXY_ZONE) : NULL;

	(void)old;
	if (streq_null(zone, p->zone))
		return;
	free(p->zone);
	p->zone = xstrdup(zone ? zone : "");
	if (p->state == PROXY_RUNNING)
		for (struct obj *o = NULL; (o = informer_next(p->services, NULL, o));)
			proxy_on_service(p, WATCH_MODIFIED, o, o);
}

static const struct informer_ops proxy_services_ops = { proxy_on_service, proxy_on_synced };
static const struct informer_ops proxy_node_ops = { proxy_on_node, proxy_on_synced };

static struct obj *proxy_find(const struct proxy *p, const char *key)
{
	struct str name = str_of(key), ns = str_cut(&name, '/');
	_cleanup_free_ char *n = str_dup(ns);

	return informer_find(p->services, n, name.p);
}

static void proxy_on_lost(void *arg, const char *key, const char *what, const char *owner)
{
	struct proxy *p = arg;
	struct obj *o = proxy_find(p, key);

	log_warn("two Services want the same address and port", LS("service", key), LS("wants", what), LS("has it", owner));
	if (o)
		client_event(p->svc->cfg.client, o, NULL, PROXY_COMPONENT, p->svc->cfg.node_name, "Warning", "PortConflict",
			     "%s is used by Service %s, which is older; this Service is not reached there", what, owner);
}

/* --- work --- */

static void proxy_do(struct proxy *p, const char *key, size_t *endpoints)
{
	struct obj *o = map_getc(p->bad, key) ? NULL : proxy_find(p, key);
	struct proxy_view view = { .node_name = p->svc->cfg.node_name, .zone = p->zone ? p->zone : "" };
	struct proxy_plan plan;

	if (!o) {
		net_services_set(p->net, key, 0, NULL, 0);
		health_set(p->health, key, 0, 0);
		return;
	}
	if (p->svc->cfg.node_ip)
		(void)net_addr_parse(&view.node_ip, p->svc->cfg.node_ip);
	proxy_plan_make(&plan, &view, o, svc_slices_of(p->svc->slices, o->ns, o->name));
	net_services_set(p->net, key, plan.created, plan.ports.v, plan.ports.n);
	health_set(p->health, key, plan.health_port, plan.local_ready);
	if (plan.dropped)
		log_warn("a Service has more endpoints than can be used", LS("service", key),
			 LI("left out", (int64_t)plan.dropped));
	*endpoints += plan.endpoints;
	proxy_plan_release(&plan);
}

/* The same again is for those who look closely. */
static void proxy_tell(struct proxy *p, const struct err *e)
{
	if (streq_null(p->last_error, err_msg(e))) {
		log_debug("the rules of Services can't be written", LE(e));
		return;
	}
	free(p->last_error);
	p->last_error = xstrdup(err_msg(e));
	log_error("the rules of Services can't be written; all are written anew", LE(e));
}

static void proxy_leave_out(struct proxy *p, const char *key, const struct err *e)
{
	struct obj *o = proxy_find(p, key);

	map_set(p->bad, str_of(key), p);
	log_error("the kernel does not take the rules of a Service; it is left out", LS("service", key), LE(e));
	if (o)
		client_event(p->svc->cfg.client, o, NULL, PROXY_COMPONENT, p->svc->cfg.node_name, "Warning", "RulesRefused",
			     "this Service does not work on node %s: %s", p->svc->cfg.node_name, err_msg(e));
}

/* key: the only Service of the transaction, or NULL. */
static void proxy_failed(struct proxy *p, const char *key, const struct err *e)
{
	bool found = p->state == PROXY_BUILDING && p->singly && key && map_count(p->bad) < PROXY_MAX_BAD;

	if (found) {
		proxy_leave_out(p, key, e);
		proxy_begin(p);
		return;
	}
	proxy_tell(p, e);
	p->singly = p->state == PROXY_BUILDING;
	p->state = PROXY_WAITING;
	map_clear(p->dirty);
	loop_timer_set(p->again, p->again_ms);
	p->again_ms = p->again_ms * 2 < PROXY_AGAIN_MAX_MS ? p->again_ms * 2 : PROXY_AGAIN_MAX_MS;
}

static void proxy_on_again(void *arg)
{
	struct proxy *p = arg;

	if (p->state == PROXY_WAITING && proxy_synced(p))
		proxy_begin(p);
}

/* Some of the Services that wait; false: it did not work. */
static bool proxy_step(struct proxy *p)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *only = NULL;
	struct map_iter it = { 0 };
	size_t n = 0, endpoints = 0, limit = p->singly ? 1 : PROXY_STEP;

	while (n < limit && endpoints < PROXY_STEP_ENDPOINTS && map_next(p->dirty, &it)) {
		free(only);
		only = str_dup(it.key);
		map_del(p->dirty, str_of(only));
		proxy_do(p, only, &endpoints);
		n++;
	}
	if (net_services_commit(p->net, &e) == 0)
		return true;
	proxy_failed(p, n == 1 ? only : NULL, &e);
	return false;
}

static void proxy_switch(struct proxy *p)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (net_services_switch(p->net, &e) < 0) {
		proxy_failed(p, NULL, &e);
		return;
	}
	p->state = PROXY_RUNNING;
	p->tidy = true;
	p->singly = false;
	p->again_ms = PROXY_AGAIN_MS;
	log_debug("the rules of Services are in place", LI("bytes", (int64_t)net_services_stats(p->net).bytes),
		  LI("memory", (int64_t)net_services_memory(p->net)));
	free(p->last_error);
	p->last_error = NULL;
}

static void proxy_run(struct loop_task *t)
{
	struct proxy *p = CONTAINER_OF(t, struct proxy, task);

	if (p->state == PROXY_WAITING || !proxy_step(p))
		return;
	if (map_count(p->dirty)) {
		proxy_wake(p);
		return;
	}
	if (p->state == PROXY_BUILDING)
		proxy_switch(p);
	else if (p->tidy)
		p->tidy = net_services_tidy(p->net);
	if (p->tidy)
		proxy_wake(p);
}

/* --- life --- */

int proxy_open(void **ret, struct svc *s, struct err *e)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	struct net_services_config cfg = { .net = s->cfg.net, .service_cidr = s->cfg.service_cidr, .lost = proxy_on_lost,
					   .arg = p };
	_cleanup_free_ char *me = xasprintf("metadata.name=%s", s->cfg.node_name);

	(void)e;
	*ret = p;
	p->svc = s;
	p->dirty = map_new(NULL);
	p->bad = map_new(NULL);
	p->task.run = proxy_run;
	p->again_ms = PROXY_AGAIN_MS;
	p->again = loop_timer_new(s->cfg.loop, proxy_on_again, p);
	p->net = net_services_new(&cfg);
	p->health = health_new(s->cfg.loop);
	p->slices = (struct svc_slices_watch){ .changed = proxy_on_slices, .synced = proxy_on_synced, .arg = p };
	svc_slices_follow(s->slices, &p->slices);
	p->services = informer_get(s->cfg.client, schema_res("", "services"), NULL);
	p->node = informer_get(s->cfg.client, schema_res("", "nodes"), me);
	informer_subscribe(p->services, &proxy_services_ops, p);
	informer_subscribe(p->node, &proxy_node_ops, p);
	return 0;
}

void proxy_close(void *part)
{
	struct proxy *p = part;

	informer_unsubscribe(p->node, p);
	informer_unsubscribe(p->services, p);
	svc_slices_unfollow(p->svc->slices, &p->slices);
	loop_undefer(p->svc->cfg.loop, &p->task);
	loop_timer_free(p->again);
	health_free(p->health);
	net_services_free(p->net);
	map_free(p->dirty);
	map_free(p->bad);
	free(p->zone);
	free(p->last_error);
	free(p);
}

/* Another proxy has the node: what we left there goes. */
void proxy_off(struct svc *s)
{
	struct net_services_config cfg = { .net = s->cfg.net };
	struct net_services *n = net_services_new(&cfg);
	_cleanup_err_ struct err e = ERR_INIT;

	net_services_begin(n);
	if (net_services_switch(n, &e) < 0)
		log_debug("rules of Services of a former run can't be removed", LE(&e));
	while (net_services_tidy(n))
		;
	net_services_free(n);
}
