/*
 * ReplicaSet and ReplicationController: as many pods as spec.replicas says.
 *
 * Reconcile claims pods by selector and makes or removes what is missing or too
 * much, BURST at most at a time; settle writes the status, with a condition
 * ReplicaFailure when a pod could not be made or removed. The two kinds differ in
 * the form of their selector and in terminatingReplicas, which only the first has.
 */
#include "base/time.h"
#include "ctl/pods.h"

#define REPLICASET_BURST 500 /* Kubernetes' burstReplicas */

/* The pods of all ReplicaSets that o's owner has: a node with many of them is relieved first. */
static void replicaset_related(const struct ctl_view *v, struct obj *o, kid_vec *out)
{
	const struct node *ref = meta_controller(obj_node(o));
	const struct kid_owner *sets = ref ? kids_of(v->kids[CTL_REPLICASETS], o->ns, node_gets(ref, F_uid)) : NULL;
	const struct kid_owner *pods;
	struct kid *set, *c;

	if (!sets) {
		pods = kids_of(v->kids[CTL_PODS], o->ns, o->uid);
		if (pods)
			TAILQ_FOREACH(c, &pods->list, link)
				VEC_PUSH(out, c);
		return;
	}
	TAILQ_FOREACH(set, &sets->list, link) {
		pods = kids_of(v->kids[CTL_PODS], o->ns, set->obj->uid);
		if (pods)
			TAILQ_FOREACH(c, &pods->list, link)
				VEC_PUSH(out, c);
	}
}

static void replicaset_remove(const struct ctl_view *v, struct obj *o, kid_vec *pods, size_t n, struct plan *out)
{
	kid_vec related = VEC_INIT;

	if (n < pods->n) {
		replicaset_related(v, o, &related);
		pods_sort_for_deletion(pods, &related, time_wall_s());
		VEC_RELEASE(&related);
	}
	plan_then(out);
	for (size_t i = 0; i < n && i < REPLICASET_BURST; i++)
		pods_delete_one(out, o, pods->v[i]);
}

int replicaset_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	const struct node *spec;
	struct selector *s;
	kid_vec pods = VEC_INIT;
	size_t want;

	if (!o)
		return 0;
	spec = node_get(obj_node(o), F_spec);
	want = (size_t)node_int(node_get(spec, F_replicas), 1);
	s = ctl_selector(obj_node(o), e);
	if (!s)
		return err_is_set(e) ? -e->code : 0;
	kids_claim(v->kids[CTL_PODS], o, s, pod_is_active, out, &pods);
	selector_free(s);
	if (meta_is_deleting(obj_node(o)))
		;
	else if (pods.n < want)
		pods_create(out, o, node_get(spec, F_template),
			    want - pods.n < REPLICASET_BURST ? want - pods.n : REPLICASET_BURST);
	else if (pods.n > want)
		replicaset_remove(v, o, &pods, pods.n - want, out);
	VEC_RELEASE(&pods);
	return 0;
}

/* --- status --- */

struct replicaset_counts {
	int64_t replicas, labeled, ready, available, terminating;
};

static bool replicaset_is_labeled(const struct node *labels, const struct node *want)
{
	NODE_FOREACH(l, want)
		if (!str_eq(node_str(node_getk(labels, node_key(l))), node_str(l)))
			return false;
	return true;
}

static void replicaset_count(const struct ctl_view *v, struct obj *o, const struct selector *s,
			     struct replicaset_counts *n, struct plan *out)
{
	const struct node *spec = node_get(obj_node(o), F_spec);
	const struct node *labels = node_path(spec, F_template, F_metadata, F_labels);
	int64_t min_ready_s = node_int(node_get(spec, F_minReadySeconds), 0), now = time_wall_s(), next;
	kid_vec pods = VEC_INIT;

	kids_claim(v->kids[CTL_PODS], o, s, pod_is_active, NULL, &pods);
	n->replicas = (int64_t)pods.n;
	for (size_t i = 0; i < pods.n; i++) {
		n->labeled += replicaset_is_labeled(pods.v[i]->labels->set, labels);
		n->ready += pods.v[i]->ready;
		n->available += pod_is_available(pods.v[i], min_ready_s, now);
	}
	next = pods_next_available_ms(&pods, min_ready_s, now);
	if (next)
		plan_again(out, next);
	pods.n = 0;
	kids_claim(v->kids[CTL_PODS], o, s, pod_is_terminating, NULL, &pods);
	n->terminating = (int64_t)pods.n;
	VEC_RELEASE(&pods);
}

/* ReplicaFailure says that pods could not be made or removed; it keeps its first words until all is well. */
static void replicaset_failure(struct doc *d, struct node *status, const struct plan *did)
{
	const struct plan_op *op = NULL;
	struct node *conditions = node_get(status, F_conditions);
	const struct node *old = cond_find(conditions, "ReplicaFailure");

	for (size_t i = 0; i < did->ops.n && !op; i++)
		if (did->ops.v[i].failure && (did->ops.v[i].verb == VERB_CREATE || did->ops.v[i].verb == VERB_DELETE))
			op = &did->ops.v[i];
	if (!op && old) {
		node_remove_child(conditions, (struct node *)old);
		if (!node_count(conditions))
			node_remove(status, F_conditions);
	} else if (op && !old) {
		cond_set(d, node_need_array(d, status, F_conditions), "ReplicaFailure", "True",
			 op->verb == VERB_CREATE ? "FailedCreate" : "FailedDelete", op->failure);
	}
}

/* Counts of 0 are left out, as Go's encoder does, but for replicas; terminatingReplicas is a pointer there. */
static void replicaset_set(struct doc *d, struct node *status, enum field f, int64_t n)
{
	if (n)
		node_seti(d, status, f, n);
	else
		node_remove(status, f);
}

int replicaset_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct replicaset_counts n = { 0 };
	_cleanup_doc_ struct doc *d = NULL;
	struct selector *s;
	struct node *status;

	if (!o)
		return 0;
	s = ctl_selector(obj_node(o), e);
	if (!s)
		return err_is_set(e) ? -e->code : 0;
	replicaset_count(v, o, s, &n, out);
	selector_free(s);
	d = doc_clone(obj_doc(o));
	status = node_need_object(d, doc_root(d), F_status);
	node_seti(d, status, F_replicas, n.replicas);
	replicaset_set(d, status, F_fullyLabeledReplicas, n.labeled);
	replicaset_set(d, status, F_readyReplicas, n.ready);
	replicaset_set(d, status, F_availableReplicas, n.available);
	if (streq(o->res->kind, "ReplicaSet"))
		node_seti(d, status, F_terminatingReplicas, n.terminating);
	node_seti(d, status, F_observedGeneration, node_int(node_get(meta_of(doc_root(d)), F_generation), 0));
	replicaset_failure(d, status, did);
	if (!node_equal(status, node_get(obj_node(o), F_status)))
		plan_update(out, o->res, o->ns, o->name, "status", take_ptr(&d));
	return 0;
}
