/*
 * NetworkPolicies of the cluster put in force for the pods of this node: informers
 * on one side, the kernel (net_policy_apply) on the other, in between the pure part
 * (policy.h). As in Kubernetes, policies add up; a connection that has begun goes on
 * whatever comes later; what the node itself sends to its pods or gets from them is
 * never stopped (probes, DNS); pods that share the node's network are not guarded.
 *
 * While the cluster has no policy, nothing is kept, no pod is followed and the kernel
 * has no rule. At start what a former run has put in force stays so until policies,
 * namespaces and pods are all known, and is then replaced at once.
 *
 * A pod is guarded before its link is up: net tells its address (net_set_watch), and
 * the pod's object is known by then, or the address is shut until it is. So it is for
 * a pod whose object was deleted by force, until its address is free.
 *
 * What the kernel refuses is tried again, all of it, and reported by an event on the
 * policies; what was in force stays so meanwhile.
 */
#include "base/log.h"
#include "svc/internal.h"
#include "svc/policy.h"

#define POLICY_COMPONENT "network-policy"
#define POLICY_RETRY_MS 1000
#define POLICY_RETRY_MAX_MS 60000
#define POLICY_EVENTS_MAX 50 /* for one failure, which may concern all policies there are */

struct policies {
	struct svc *svc;
	struct informer *policies, *namespaces, *pods;
	struct policy_world *world; /* while there are policies */
	bool policies_known, namespaces_known, pods_known;
	bool in_force; /* the kernel has what the world said last */
	struct loop_task flush;
	struct loop_timer *retry;
	int64_t retry_ms;
};

static void policies_flush_soon(struct policies *p)
{
	loop_defer(p->svc->cfg.loop, &p->flush);
}

static bool policies_all_known(const struct policies *p)
{
	return p->policies_known && p->namespaces_known && p->pods_known;
}

/* --- the kernel --- */

static void policies_report(struct policies *p, const struct err *e)
{
	struct obj *o = NULL;

	log_warn("network policies are not in force as they should be, trying again", LE(e));
	for (int i = 0; i < POLICY_EVENTS_MAX && (o = informer_next(p->policies, NULL, o)); i++)
		client_event(p->svc->cfg.client, o, NULL, POLICY_COMPONENT, p->svc->cfg.node_name, "Warning",
			     "NetworkPolicyNotInForce", "Node %s: %s", p->svc->cfg.node_name, err_msg(e));
}

static void policies_failed(struct policies *p, const struct err *e)
{
	policies_report(p, e);
	p->in_force = false;
	if (p->world)
		policy_forget(p->world);
	loop_timer_set(p->retry, p->retry_ms);
	p->retry_ms = p->retry_ms * 2 < POLICY_RETRY_MAX_MS ? p->retry_ms * 2 : POLICY_RETRY_MAX_MS;
}

static void policies_apply(struct policies *p)
{
	_cleanup_err_ struct err e = ERR_INIT;
	policy_ops ops = VEC_INIT;
	bool anew = !p->in_force;
	size_t bytes = 0;

	policy_flush(p->world, &ops);
	if (anew || ops.n) {
		p->in_force = true;
		if (net_policy_apply(p->svc->cfg.net, ops.v, ops.n, anew, &bytes, &e) < 0)
			policies_failed(p, &e);
		else
			p->retry_ms = POLICY_RETRY_MS;
		log_debug("network policies put in force", LI("policies", map_count(p->world->policies)),
			  LI("changes", ops.n), LI("bytes", bytes), LI("anew", anew));
	}
	VEC_RELEASE(&ops);
}

static void policies_unfollow(struct policies *p)
{
	if (!p->world)
		return;
	informer_unsubscribe(p->namespaces, p);
	informer_unsubscribe(p->pods, p);
	p->namespaces_known = p->pods_known = false;
	p->world = policy_world_free(p->world);
}

static void policies_end(struct policies *p)
{
	_cleanup_err_ struct err e = ERR_INIT;

	policies_unfollow(p);
	p->in_force = false;
	if (net_policy_remove(p->svc->cfg.net, &e) < 0)
		policies_failed(p, &e);
}

static void policies_flush_now(struct policies *p)
{
	if (!p->policies_known)
		return;
	if (!informer_count(p->policies))
		policies_end(p);
	else if (policies_all_known(p))
		policies_apply(p);
}

static void policies_on_flush(struct loop_task *t)
{
	policies_flush_now(CONTAINER_OF(t, struct policies, flush));
}

static void policies_on_retry(void *arg)
{
	policies_flush_now(arg);
}

/* --- the cluster --- */

static void policies_on_namespace(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct policies *p = arg;
	_cleanup_doc_ struct doc *d = obj_doc_once(o);

	if (t == WATCH_DELETED)
		policy_drop_namespace(p->world, o->name);
	else
		policy_put_namespace(p->world, doc_root(d));
	policies_flush_soon(p);
}

static void policies_on_namespaces(void *arg)
{
	struct policies *p = arg;

	p->namespaces_known = true;
	policies_flush_soon(p);
}

static void policies_on_pod(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct policies *p = arg;
	_cleanup_doc_ struct doc *d = obj_doc_once(o);

	if (t == WATCH_DELETED)
		policy_drop_pod(p->world, o->ns, o->name);
	else
		policy_put_pod(p->world, doc_root(d));
	policies_flush_soon(p);
}

static void policies_on_pods(void *arg)
{
	struct policies *p = arg;

	p->pods_known = true;
	policies_flush_soon(p);
}

static const struct informer_ops namespace_ops = { policies_on_namespace, policies_on_namespaces };
static const struct informer_ops pod_ops = { policies_on_pod, policies_on_pods };

static size_t policies_addresses(void *arg, const char *id, struct net_addr out[2])
{
	const struct policies *p = arg;

	return net_addresses(p->svc->cfg.net, id, out);
}

static void policies_begin(struct policies *p)
{
	struct client *c = p->svc->cfg.client;

	p->world = policy_world_new(p->svc->cfg.node_name);
	p->world->addresses = policies_addresses;
	p->world->arg = p;
	p->namespaces = informer_get(c, schema_res("", "namespaces"), NULL);
	p->pods = informer_get(c, schema_res("", "pods"), NULL);
	informer_subscribe(p->namespaces, &namespace_ops, p);
	informer_subscribe(p->pods, &pod_ops, p);
}

static void policies_on_policy(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct policies *p = arg;
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	_cleanup_err_ struct err e = ERR_INIT;

	if (!p->world)
		policies_begin(p);
	if (t == WATCH_DELETED)
		policy_drop(p->world, o->ns, o->name);
	else if (policy_put(p->world, doc_root(d), &e) < 0)
		client_event(p->svc->cfg.client, o, NULL, POLICY_COMPONENT, p->svc->cfg.node_name, "Warning",
			     "InvalidNetworkPolicy", "What it would allow is not allowed: %s", err_msg(&e));
	policies_flush_soon(p);
}

static void policies_on_policies(void *arg)
{
	struct policies *p = arg;

	p->policies_known = true;
	policies_flush_soon(p);
}

static const struct informer_ops policy_ops_ = { policies_on_policy, policies_on_policies };

/* --- pods of this node --- */

static void policies_shut(struct policies *p, const char *id)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct net_addr addr[2];
	size_t n = net_addresses(p->svc->cfg.net, id, addr);

	for (size_t i = 0; i < n; i++)
		if (net_policy_shut(p->svc->cfg.net, &addr[i], &e) < 0)
			log_warn("a pod's address is not guarded before policies are known", LS("pod-id", id), LE(&e));
}

static void policies_on_attached(void *arg, const char *id)
{
	struct policies *p = arg;

	if (p->world)
		policy_attached(p->world, id);
	if (p->in_force)
		policies_apply(p);
	else if (!p->policies_known || p->world)
		policies_shut(p, id);
}

static void policies_on_detached(void *arg, const char *id)
{
	struct policies *p = arg;

	if (!p->world)
		return;
	policy_detached(p->world, id);
	policies_flush_soon(p);
}

/* --- life --- */

int policies_open(void **ret, struct svc *s, struct err *e UNUSED)
{
	struct policies *p = xcalloc(1, sizeof(*p));
	struct net_watch watch = { policies_on_attached, policies_on_detached, p };

	p->svc = s;
	p->flush.run = policies_on_flush;
	p->retry = loop_timer_new(s->cfg.loop, policies_on_retry, p);
	p->retry_ms = POLICY_RETRY_MS;
	p->policies = informer_get(s->cfg.client, schema_res("networking.k8s.io", "networkpolicies"), NULL);
	informer_subscribe(p->policies, &policy_ops_, p);
	net_set_watch(s->cfg.net, &watch);
	*ret = p;
	return 0;
}

void policies_close(void *part)
{
	struct policies *p = part;

	net_set_watch(p->svc->cfg.net, NULL);
	informer_unsubscribe(p->policies, p);
	policies_unfollow(p);
	loop_undefer(p->svc->cfg.loop, &p->flush);
	loop_timer_free(p->retry);
	free(p);
}

void policies_off(struct svc *s)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (net_policy_remove(s->cfg.net, &e) < 0)
		log_warn("network policies of a former run may still be in force", LE(&e));
}
