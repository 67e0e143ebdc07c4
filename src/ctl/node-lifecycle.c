/*
 * The life of nodes: which still give a sign of it, and what becomes of those
 * that do not. Mirrors Kubernetes' node lifecycle controller.
 *
 * A node lives as long as its Lease is renewed or its condition Ready gets new
 * heartbeats; when is told by our own clock at the moment we see it, so nodes'
 * clocks do not matter. When node-monitor-grace-period has passed without either,
 * its conditions become Unknown, and its pods not ready. A node that is not ready
 * or not reachable gets a NoExecute taint, which makes pods go (taint-eviction.c):
 * a node-monitor-period later, so that what becomes of the others is seen first,
 * and no faster than its zone allows (zones.c).
 *
 * Nothing polls: each node has a timer for when its grace is over.
 */
#include "ctl/nodes.h"
#include "ctl/zones.h"

#include <stdlib.h>

#include "base/time.h"

enum { OF_NODES, OF_LEASES };
#define LEASE_NS "kube-node-lease"
#define EXCLUDE_LABEL "node.kubernetes.io/exclude-disruption"
#define LATE_MS SEC_MS /* who wakes so late has slept himself */

enum life_health { LIFE_UNHEARD, LIFE_READY, LIFE_NOT_READY, LIFE_UNKNOWN };

struct life_node {
	struct obj *obj; /* as it was looked at last */
	bool stale; /* what was written of it may not have come about: look again */
	enum life_health health;
	struct zone *zone;
	bool counts; /* in its zone */
	int64_t heartbeat_ns, renewed_ns; /* as its condition Ready and its Lease say; 0: have not said */
	int64_t lease_rv; /* that was looked at */
	int64_t probe_ms; /* its last sign of life */
	int64_t due_ms; /* when it will be missed */
	int64_t bad_ms; /* since when it is not well; 0: it is */
	bool marking; /* its pods are to be marked as not ready */
};

struct life {
	struct ctl_run *run;
	struct map *nodes; /* struct life_node by name */
	struct zones zones;
};

void node_lifecycle_key_of_lease(struct obj *o, struct buf *out)
{
	buf_adds(out, o->name);
}

static int64_t life_time_ns(const struct node *n)
{
	int64_t ns;

	return node_str(n).n && time_parse_rfc3339(node_str(n), &ns) ? ns : 0;
}

/* --- who is there --- */

static void life_node_free(void *p)
{
	struct life_node *n = p;

	obj_unref(n->obj);
	free(n);
}

void *node_lifecycle_open(struct ctl_run *run)
{
	struct life *l = xcalloc(1, sizeof(*l));

	l->run = run;
	l->nodes = map_new(life_node_free);
	zones_init(&l->zones, ctl_run_settings(run));
	return l;
}

void node_lifecycle_close(void *data)
{
	struct life *l = data;

	map_free(l->nodes);
	zones_release(&l->zones);
	free(l);
}

static void life_wake_all(struct life *l)
{
	struct map_iter it = { 0 };

	while (map_next(l->nodes, &it))
		ctl_run_wake(l->run, ((struct life_node *)it.value)->obj->name);
}

/* What the counts say now: rates that changed, all of them perhaps. */
static void life_judge(struct life *l, int64_t now)
{
	enum zones_news news = zones_judge(&l->zones, now);
	struct map_iter it = { 0 };

	if (news == ZONES_SAME)
		return;
	/* While all were out of reach it was us who could not be reached: they begin anew. */
	while (news == ZONES_RESUMED && map_next(l->nodes, &it))
		((struct life_node *)it.value)->probe_ms = now;
	life_wake_all(l);
}

static void life_count(struct life_node *n, bool on)
{
	if (!n->zone || !n->counts)
		return;
	if (n->health == LIFE_READY)
		n->zone->ready += on ? 1 : (size_t)-1;
	else
		n->zone->not_ready += on ? 1 : (size_t)-1;
}

static const char *life_label(const struct node *root, const char *key, const char *older)
{
	const char *v = meta_label(root, key);

	if (!v)
		v = meta_label(root, older);
	return v ? v : "";
}

static void life_place(struct life *l, struct life_node *n, const struct node *root)
{
	struct zone *old = n->zone;

	n->zone = zones_join(&l->zones,
			     life_label(root, "topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
			     life_label(root, "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"));
	if (old)
		zones_leave(&l->zones, old);
	n->counts = !meta_label(root, EXCLUDE_LABEL);
}

static struct life_node *life_meet(struct life *l, struct obj *o, int64_t now, struct plan *out)
{
	const struct node *root = obj_node(o);
	struct life_node *n = xcalloc(1, sizeof(*n));
	int64_t age = time_wall_s() - life_time_ns(node_get(meta_of(root), F_creationTimestamp)) / SEC_NS;

	plan_event(out, o, "Normal", "RegisteredNode", "Node %s event: Registered Node %s in Controller", o->name, o->name);
	n->probe_ms = now;
	if (!cond_find(node_path(root, F_status, F_conditions), "Ready") && age > 0)
		n->probe_ms -= age * SEC_MS; /* nothing was ever heard of it */
	map_set(l->nodes, str_of(o->name), n);
	return n;
}

static void life_part(struct life *l, struct life_node *n, int64_t now, struct plan *out)
{
	_cleanup_free_ char *name = xstrdup(n->obj->name);

	plan_event(out, n->obj, "Normal", "RemovingNode", "Node %s event: Removing Node %s from Controller", name, name);
	life_count(n, false);
	zones_leave(&l->zones, n->zone);
	map_del(l->nodes, str_of(name));
	life_judge(l, now);
}

/* --- signs of life --- */

static void life_set_health(struct life_node *n, enum life_health h, int64_t now)
{
	n->health = h;
	if (h == LIFE_READY)
		n->bad_ms = 0;
	else if (!n->bad_ms)
		n->bad_ms = now;
}

/* A new state of the Node. */
static void life_look(struct life *l, struct life_node *n, struct obj *o, int64_t now)
{
	const struct node *root = obj_node(o), *ready = cond_find(node_path(root, F_status, F_conditions), "Ready");
	const char *status = node_gets(ready, F_status);
	int64_t heartbeat = life_time_ns(node_get(ready, F_lastHeartbeatTime));
	bool met = !n->obj;

	life_count(n, false);
	life_place(l, n, root);
	if (ready && heartbeat != n->heartbeat_ns)
		n->probe_ms = now;
	n->heartbeat_ns = heartbeat;
	life_set_health(n, !ready ? LIFE_UNHEARD : streq(status, "True") ? LIFE_READY :
			streq(status, "False") ? LIFE_NOT_READY : LIFE_UNKNOWN, now);
	n->marking = n->health != LIFE_READY && (n->marking || (met && ready));
	n->stale = false;
	life_count(n, true);
	obj_ref(o);
	obj_unref(n->obj);
	n->obj = o;
}

static void life_look_at_lease(struct life_node *n, struct obj *lease, int64_t now)
{
	int64_t renewed;

	if (!lease || lease->rv == n->lease_rv)
		return;
	n->lease_rv = lease->rv;
	renewed = life_time_ns(node_path(obj_node(lease), F_spec, F_renewTime));
	if (renewed <= n->renewed_ns)
		return;
	n->renewed_ns = renewed;
	n->probe_ms = now;
}

/* --- and their absence --- */

static void life_lose_condition(struct doc *d, struct node *conditions, const char *type, const struct node *created)
{
	const struct node *have = cond_find(conditions, type);

	if (!have) {
		cond_set(d, conditions, type, "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.");
		NODE_FOREACH(c, conditions)
			if (node_streq(node_get(c, F_type), type))
				node_set(d, c, F_lastHeartbeatTime, node_copy(d, created));
	} else if (!node_streq(node_get(have, F_status), "Unknown")) {
		cond_set(d, conditions, type, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.");
	}
}

static void life_lose(struct life_node *n, int64_t now, struct plan *out)
{
	static const char *const types[] = { "Ready", "MemoryPressure", "DiskPressure", "PIDPressure" };
	struct doc *d = doc_clone(obj_doc(n->obj));
	struct node *conditions = node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions);
	const struct node *created = node_get(meta_of(doc_root(d)), F_creationTimestamp);

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		life_lose_condition(d, conditions, types[i], created);
	if (n->health == LIFE_UNHEARD)
		n->heartbeat_ns = life_time_ns(created); /* our own doing is no sign of life */
	if (n->health == LIFE_READY) {
		plan_event(out, n->obj, "Normal", "NodeNotReady", "Node %s status is now: NodeNotReady", n->obj->name);
		n->marking = true;
	}
	plan_update(out, n->obj->res, NULL, n->obj->name, "status", d);
	plan_then(out);
	life_count(n, false);
	life_set_health(n, LIFE_UNKNOWN, now);
	life_count(n, true);
}

/* Has it been silent for too long? Else plans to look when it will have been. */
static bool life_is_silent(struct life_node *n, const struct ctl_settings *s, int64_t now, struct plan *out)
{
	int64_t grace = n->health == LIFE_UNHEARD ? s->startup_ms : s->grace_ms;
	bool slept = n->due_ms && now > n->due_ms + s->monitor_ms + LATE_MS;

	if (now > n->probe_ms + grace && slept) /* and so have heard nobody: one more chance */
		n->probe_ms = now - grace + s->monitor_ms;
	n->due_ms = n->probe_ms + grace + 1;
	if (now >= n->due_ms) {
		n->due_ms = 0;
		return true;
	}
	plan_again(out, n->due_ms - now);
	return false;
}

/* --- its pods --- */

static void life_mark_pod(struct obj *pod, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(pod));
	char now[TIME_RFC3339_LEN];

	NODE_FOREACH(c, node_path(doc_root(d), F_status, F_conditions))
		if (node_streq(node_get(c, F_type), "Ready")) {
			node_sets(d, c, F_status, "False");
			node_sets(d, c, F_lastTransitionTime, time_fmt_rfc3339(now, time_wall_s()));
		}
	plan_update(out, pod->res, pod->ns, pod->name, "status", d);
	plan_event(out, pod, "Warning", "NodeNotReady", "Node is not ready");
}

static void life_mark_pods(const struct ctl_view *v, const char *name, struct plan *out)
{
	for (struct kid *c = NULL; (c = kids_on_node(v->kids[CTL_PODS], name, c));)
		if (c->ready)
			life_mark_pod(c->obj, out);
}

/* --- its taints --- */

static void life_write_taints(struct life_node *n, const char *want, struct plan *out)
{
	static const char *const keys[] = { TAINT_NOT_READY, TAINT_UNREACHABLE };
	struct doc *d = doc_clone(obj_doc(n->obj));
	struct node *spec = node_need_object(d, doc_root(d), F_spec);
	bool changed = false;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		changed |= taint_set(d, spec, keys[i], "NoExecute", want && streq(want, keys[i]));
	if (changed)
		plan_update(out, n->obj->res, NULL, n->obj->name, NULL, d);
	else
		doc_unref(d);
}

static void life_taint(struct life *l, struct life_node *n, const struct ctl_settings *s, int64_t now, struct plan *out)
{
	const struct node *have = node_path(obj_node(n->obj), F_spec, F_taints);
	bool tainted = taint_find(have, TAINT_NOT_READY, "NoExecute") || taint_find(have, TAINT_UNREACHABLE, "NoExecute");
	int64_t wait;

	if (n->health == LIFE_UNHEARD || meta_is_deleting(obj_node(n->obj)))
		return;
	if (n->health == LIFE_READY || zones_stopped(&l->zones)) {
		if (tainted)
			life_write_taints(n, NULL, out);
		return;
	}
	if (!tainted && now < n->bad_ms + s->monitor_ms) {
		plan_again(out, n->bad_ms + s->monitor_ms - now);
		return;
	}
	if (!tainted && !zone_limit_take(&n->zone->limit, now)) {
		wait = zone_limit_wait_ms(&n->zone->limit, now);
		if (wait >= 0)
			plan_again(out, wait);
		return;
	}
	life_write_taints(n, n->health == LIFE_NOT_READY ? TAINT_NOT_READY : TAINT_UNREACHABLE, out);
}

/* --- the whole --- */

int node_lifecycle_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct life *l = v->data;
	struct obj *o = informer_find(v->of[OF_NODES], "", key);
	struct life_node *n = map_getc(l->nodes, key);
	int64_t now = time_mono_ms();

	if (n && (!o || !streq(o->uid, n->obj->uid))) {
		life_part(l, n, now, out);
		n = NULL;
	}
	if (!o)
		return 0;
	if (!n)
		n = life_meet(l, o, now, out);
	if (!n->obj || n->obj->rv != o->rv || n->stale)
		life_look(l, n, o, now);
	life_look_at_lease(n, informer_find(v->of[OF_LEASES], LEASE_NS, key), now);
	if (life_is_silent(n, v->settings, now, out) && n->health != LIFE_UNKNOWN)
		life_lose(n, now, out);
	life_judge(l, now);
	if (n->marking)
		life_mark_pods(v, key, out);
	if (!out->ops.n)
		life_taint(l, n, v->settings, now, out);
	return 0;
}

int node_lifecycle_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out UNUSED,
			  struct err *e UNUSED)
{
	struct life_node *n = map_getc(((struct life *)v->data)->nodes, key);

	if (n && did->failed)
		n->stale = true;
	else if (n)
		n->marking = false;
	return 0;
}
