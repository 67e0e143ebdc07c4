/*
 * Validation of what keeps pods: Deployment, ReplicaSet, ReplicationController,
 * DaemonSet, StatefulSet, ControllerRevision. Their selectors, templates, strategies,
 * what an update may not change, and their status. (Jobs: valid-job.c.)
 */
#include "schema/valid.h"

static const char *const ONLY_ALWAYS[] = { "Always", NULL };

/* Status: counts, which of them may not be more than status.replicas, and what may only grow. */
struct w_status {
	const enum field *counts, *within;
	const char *ready; /* what availableReplicas may not be more than, in words; NULL: not compared */
};

static void w_status(struct valid *v, const struct w_status *s)
{
	const struct node *now = node_get(v->root, F_status), *old = node_get(v->old, F_status);
	const struct vpath *p = VP(NULL, "status");
	int64_t all = node_int(node_get(now, F_replicas), 0);
	const struct node *available = node_get(now, F_availableReplicas);
	int64_t clashes = node_int(node_get(now, F_collisionCount), 0);

	v_counts(v, p, now, s->counts);
	for (const enum field *f = s->within; *f; f++) {
		if (node_int(node_get(now, *f), 0) > all)
			v_invalid_node(v, VP(p, doc_field_name(*f)), node_get(now, *f),
				       "cannot be greater than status.replicas");
	}
	if (s->ready && node_int(available, 0) > node_int(node_get(now, F_readyReplicas), 0))
		v_invalidf(v, VP(p, "availableReplicas"), available, "cannot be greater than %s", s->ready);
	if (clashes < node_int(node_get(old, F_collisionCount), 0))
		v_invalid_int(v, VP(p, "collisionCount"), clashes, "cannot be decremented");
}

/* A LabelSelector that must be there and say something, and match the template's labels. */
void v_workload_selector(struct valid *v, const struct vpath *p, const struct node *spec, const char *kind)
{
	const struct node *sel = node_get(spec, F_selector);
	const struct node *labels = node_path(spec, F_template, F_metadata, F_labels);
	_cleanup_err_ struct err e = ERR_INIT;
	struct selector *s = NULL;

	if (!sel || node_is(sel, DOC_NULL)) {
		v_required(v, VP(p, "selector"), NULL);
		return;
	}
	v_label_selector(v, VP(p, "selector"), sel);
	if (node_count(node_get(sel, F_matchLabels)) + node_count(node_get(sel, F_matchExpressions)) == 0) {
		char *text = xasprintf("empty selector is invalid for %s", kind);

		v_invalid_node(v, VP(p, "selector"), sel, text);
		free(text);
		return;
	}
	if (selector_from_node(&s, sel, &e) < 0) {
		v_invalid_node(v, VP(p, "selector"), sel, "invalid label selector");
		return;
	}
	if (!selector_match(s, labels))
		v_invalid_node(v, VP(VP(VP(p, "template"), "metadata"), "labels"), labels,
			       "`selector` does not match template `labels`");
	selector_free(s);
}

/* A template whose pods are restarted for ever. */
static void w_pod(struct valid *v, const struct vpath *p, const struct node *tmpl, const char *kind)
{
	const struct node *pod = node_get(tmpl, F_spec), *policy = node_get(pod, F_restartPolicy);
	const struct vpath *at = VP(p, "spec");

	v_pod_template(v, p, tmpl);
	if (!v_empty(policy) && !node_streq(policy, "Always"))
		v_unsupported(v, VP(at, "restartPolicy"), node_str(policy), ONLY_ALWAYS);
	if (node_get(pod, F_activeDeadlineSeconds))
		v_forbiddenf(v, VP(at, "activeDeadlineSeconds"),
			     "activeDeadlineSeconds in %s is not Supported", kind);
}

static void w_template(struct valid *v, const struct vpath *p, const struct node *spec, const char *kind)
{
	w_pod(v, VP(p, "template"), node_get(spec, F_template), kind);
}

static bool w_is_zero(const struct node *n)
{
	return node_is(n, DOC_INT) ? n->u.i == 0 : str_eqc(node_str(n), "0%");
}

/* --- Deployment --- */

static void w_rolling_update(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *gone = node_get(n, F_maxUnavailable), *more = node_get(n, F_maxSurge);

	v_int_or_percent(v, VP(p, "maxUnavailable"), gone, 100);
	v_int_or_percent(v, VP(p, "maxSurge"), more, INT32_MAX);
	if (w_is_zero(gone) && w_is_zero(more))
		v_invalid_node(v, VP(p, "maxUnavailable"), gone, "may not be 0 when `maxSurge` is 0");
}

static void w_strategy(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "Recreate", "RollingUpdate", NULL };
	const struct node *type = node_get(n, F_type), *rolling = node_get(n, F_rollingUpdate);

	v_one_of(v, VP(p, "type"), type, TYPES);
	if (node_streq(type, "Recreate") && rolling)
		v_forbidden(v, VP(p, "rollingUpdate"), "may not be specified when strategy `type` is 'Recreate'");
	else if (node_streq(type, "RollingUpdate") && !rolling)
		v_required(v, VP(p, "rollingUpdate"), "this should be defaulted and never be nil");
	else if (node_streq(type, "RollingUpdate"))
		w_rolling_update(v, VP(p, "rollingUpdate"), rolling);
}

static void w_selector_fixed(struct valid *v, const struct vpath *p, const struct node *spec)
{
	if (v->old)
		v_immutable(v, VP(p, "selector"), node_get(spec, F_selector),
			    node_path(v->old, F_spec, F_selector));
}

void v_deployment(struct valid *v)
{
	static const enum field COUNTS[] = { F_minReadySeconds, F_revisionHistoryLimit, F_progressDeadlineSeconds,
					     F_NONE };
	static const enum field STATUS[] = { F_observedGeneration, F_replicas, F_updatedReplicas, F_readyReplicas,
					     F_availableReplicas, F_unavailableReplicas, F_terminatingReplicas,
					     F_collisionCount, F_NONE };
	static const enum field WITHIN[] = { F_updatedReplicas, F_readyReplicas, F_availableReplicas, F_NONE };
	const struct node *spec = node_get(v->root, F_spec), *deadline = node_get(spec, F_progressDeadlineSeconds);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		w_status(v, &(struct w_status){ STATUS, WITHIN, "readyReplicas" });
		return;
	}
	v_nonnegative(v, VP(p, "replicas"), node_get(spec, F_replicas));
	v_workload_selector(v, p, spec, "deployment");
	w_template(v, p, spec, "ReplicaSet");
	w_strategy(v, VP(p, "strategy"), node_get(spec, F_strategy));
	v_counts(v, p, spec, COUNTS);
	if (deadline && node_int(deadline, 0) <= node_int(node_get(spec, F_minReadySeconds), 0))
		v_invalid_node(v, VP(p, "progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
	w_selector_fixed(v, p, spec);
}

/* --- ReplicaSet, ReplicationController --- */

static const enum field RS_STATUS[] = { F_replicas, F_fullyLabeledReplicas, F_readyReplicas, F_availableReplicas,
					F_observedGeneration, F_terminatingReplicas, F_NONE };
static const enum field RS_WITHIN[] = { F_fullyLabeledReplicas, F_readyReplicas, F_availableReplicas, F_NONE };

void v_replica_set(struct valid *v)
{
	static const enum field COUNTS[] = { F_replicas, F_minReadySeconds, F_NONE };
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		w_status(v, &(struct w_status){ RS_STATUS, RS_WITHIN, "readyReplicas" });
		return;
	}
	v_counts(v, p, spec, COUNTS);
	v_workload_selector(v, p, spec, "deployment");
	w_template(v, p, spec, "ReplicaSet");
	w_selector_fixed(v, p, spec);
}

void v_replication_controller(struct valid *v)
{
	static const enum field COUNTS[] = { F_minReadySeconds, F_replicas, F_NONE };
	const struct node *spec = node_get(v->root, F_spec), *sel = node_get(spec, F_selector);
	const struct node *labels = node_path(spec, F_template, F_metadata, F_labels);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		w_status(v, &(struct w_status){ RS_STATUS, RS_WITHIN, "readyReplicas" });
		return;
	}
	v_counts(v, p, spec, COUNTS);
	if (node_count(sel) == 0)
		v_required(v, VP(p, "selector"), NULL);
	if (!node_get(spec, F_template)) {
		v_required(v, VP(p, "template"), NULL);
		return;
	}
	NODE_FOREACH(c, sel) {
		if (!v_same(c, node_getk(labels, node_key(c)))) {
			v_invalid_node(v, VP(VP(VP(p, "template"), "metadata"), "labels"), labels,
				       "`selector` does not match template `labels`");
			break;
		}
	}
	w_template(v, p, spec, "ReplicationController");
}

/* --- DaemonSet --- */

void v_daemon_set(struct valid *v)
{
	static const enum field COUNTS[] = { F_revisionHistoryLimit, F_NONE };
	static const enum field STATUS[] = { F_currentNumberScheduled, F_numberMisscheduled, F_desiredNumberScheduled,
					     F_numberReady, F_observedGeneration, F_updatedNumberScheduled,
					     F_numberAvailable, F_numberUnavailable, F_collisionCount, F_NONE };
	static const enum field NOTHING[] = { F_NONE };
	static const char *const TYPES[] = { "RollingUpdate", "OnDelete", NULL };
	const struct node *spec = node_get(v->root, F_spec), *strategy = node_get(spec, F_updateStrategy);
	const struct node *rolling = node_get(strategy, F_rollingUpdate);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(VP(p, "updateStrategy"), "rollingUpdate");

	if (streq(v->sub, "status")) {
		w_status(v, &(struct w_status){ STATUS, NOTHING, NULL });
		return;
	}
	w_selector_fixed(v, p, spec);
	v_workload_selector(v, p, spec, "daemonset");
	w_template(v, p, spec, "DaemonSet");
	v_nonnegative(v, VP(p, "minReadySeconds"), node_get(spec, F_minReadySeconds));
	v_one_of(v, VP(VP(p, "updateStrategy"), "type"), node_get(strategy, F_type), TYPES);
	if (node_streq(node_get(strategy, F_type), "RollingUpdate")) {
		const struct node *gone = node_get(rolling, F_maxUnavailable), *more = node_get(rolling, F_maxSurge);

		v_int_or_percent(v, VP(at, "maxUnavailable"), gone, 100);
		v_int_or_percent(v, VP(at, "maxSurge"), more, 100);
		if (w_is_zero(gone) && w_is_zero(more))
			v_required(v, VP(at, "maxUnavailable"), "cannot be 0 when maxSurge is 0");
		else if (!w_is_zero(gone) && !w_is_zero(more))
			v_invalid_node(v, VP(at, "maxSurge"), more, "may not be set when maxUnavailable is non-zero");
	}
	v_counts(v, p, spec, COUNTS);
}

/* --- StatefulSet --- */

static void w_stateful_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const enum field MAY_CHANGE[] = { F_replicas, F_ordinals, F_template, F_updateStrategy,
						 F_persistentVolumeClaimRetentionPolicy, F_minReadySeconds,
						 F_revisionHistoryLimit };
	bool other = false;

	for (unsigned pass = 0; pass < 2; pass++) {
		const struct node *a = pass ? old : now, *b = pass ? now : old;

		NODE_FOREACH(c, a) {
			bool may = false;

			for (size_t i = 0; i < ARRAY_SIZE(MAY_CHANGE); i++)
				may = may || MAY_CHANGE[i] == c->name;
			other = other || (!may && !v_same(c, node_get(b, (enum field)c->name)));
		}
	}
	if (other)
		v_forbidden(v, p,
			    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
			    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and "
			    "'minReadySeconds' are forbidden");
}

/* The template as its pods will be: host names of the controller's own making, claims as volumes. */
static struct doc *w_stateful_template(const struct node *spec)
{
	struct doc *d = doc_new();
	struct node *tmpl = node_copy(d, node_get(spec, F_template)), *pod, *volumes = node_new(d, DOC_ARRAY);

	doc_set_root(d, tmpl);
	pod = node_need_object(d, tmpl, F_spec);
	node_remove(pod, F_subdomain);
	node_remove(pod, F_hostname);
	NODE_FOREACH(c, node_get(spec, F_volumeClaimTemplates)) {
		struct node *volume = node_append(volumes, node_new(d, DOC_OBJECT));
		const char *name = node_gets(node_get(c, F_metadata), F_name);

		node_sets(d, volume, F_name, name);
		node_sets(d, node_need_object(d, volume, F_persistentVolumeClaim), F_claimName, name);
	}
	NODE_FOREACH(c, node_get(pod, F_volumes)) {
		bool claimed = false;

		NODE_FOREACH(claim, node_get(spec, F_volumeClaimTemplates))
			claimed = claimed || str_eq(v_str(node_get(claim, F_metadata), F_name), v_str(c, F_name));
		if (!claimed)
			node_append(volumes, node_copy(d, c));
	}
	if (node_count(volumes) > 0)
		node_set(d, pod, F_volumes, volumes);
	return d;
}

static void w_stateful_strategy(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "RollingUpdate", "OnDelete", NULL };
	const struct node *rolling = node_get(n, F_rollingUpdate), *gone = node_get(rolling, F_maxUnavailable);
	const struct vpath *at = VP(p, "rollingUpdate");

	if (v_str(n, F_type).n == 0)
		v_required(v, p, NULL);
	else if (!v_is_one_of(v_str(n, F_type), TYPES))
		v_invalid_node(v, p, n, "must be 'RollingUpdate' or 'OnDelete'");
	else if (node_streq(node_get(n, F_type), "OnDelete") && rolling)
		v_invalid_node(v, at, rolling, "only allowed for updateStrategy 'RollingUpdate'");
	v_nonnegative(v, VP(at, "partition"), node_get(rolling, F_partition));
	if (!gone)
		return;
	v_int_or_percent(v, VP(at, "maxUnavailable"), gone, 100);
	if (w_is_zero(gone))
		v_invalid_node(v, VP(at, "maxUnavailable"), gone, "cannot be 0");
}

static void w_stateful_claims(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const KEEP[] = { "Retain", "Delete", NULL };
	const struct node *policy = node_get(spec, F_persistentVolumeClaimRetentionPolicy);
	const struct vpath *at = VP(p, "persistentVolumeClaimRetentionPolicy");
	size_t i = 0;

	v_may_be(v, at, policy, F_whenDeleted, KEEP);
	v_may_be(v, at, policy, F_whenScaled, KEEP);
	NODE_FOREACH(c, v->old ? NULL : node_get(spec, F_volumeClaimTemplates))
		v_claim_spec(v, VP(VPI(VP(p, "volumeClaimTemplates"), i++), "spec"), node_get(c, F_spec));
}

void v_stateful_set(struct valid *v)
{
	static const enum field COUNTS[] = { F_replicas, F_minReadySeconds, F_revisionHistoryLimit, F_NONE };
	static const enum field STATUS[] = { F_replicas, F_readyReplicas, F_currentReplicas, F_updatedReplicas,
					     F_availableReplicas, F_observedGeneration, F_collisionCount, F_NONE };
	static const enum field WITHIN[] = { F_readyReplicas, F_currentReplicas, F_updatedReplicas,
					     F_availableReplicas, F_NONE };
	static const char *const MANAGEMENT[] = { "OrderedReady", "Parallel", NULL };
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");
	struct str management = v_str(spec, F_podManagementPolicy);
	_cleanup_doc_ struct doc *tmpl = NULL;

	if (streq(v->sub, "status")) {
		w_status(v, &(struct w_status){ STATUS, WITHIN, "status.readyReplicas" });
		return;
	}
	if (management.n == 0)
		v_required(v, VP(p, "podManagementPolicy"), NULL);
	else if (!v_is_one_of(management, MANAGEMENT))
		v_invalid(v, VP(p, "podManagementPolicy"), management, "must be 'OrderedReady' or 'Parallel'");
	w_stateful_strategy(v, VP(p, "updateStrategy"), node_get(spec, F_updateStrategy));
	w_stateful_claims(v, p, spec);
	v_counts(v, p, spec, COUNTS);
	v_nonnegative(v, VP(VP(p, "ordinals"), "start"), node_path(spec, F_ordinals, F_start));
	if (!v->old)
		v_may_name(v, p, spec, F_serviceName, NF_DNS_LABEL);
	v_workload_selector(v, p, spec, "statefulset");
	tmpl = w_stateful_template(spec);
	w_pod(v, VP(p, "template"), doc_root(tmpl), "StatefulSet");
	if (v->old)
		w_stateful_update(v, p, spec, node_get(v->old, F_spec));
}

/* --- ControllerRevision --- */

void v_controller_revision(struct valid *v)
{
	const struct node *data = node_get(v->root, F_data);

	v_nonnegative(v, VP(NULL, "revision"), node_get(v->root, F_revision));
	if (v->old)
		v_fixed(v, NULL, v->root, v->old, F_data);
	else if (!data || node_is(data, DOC_NULL))
		v_required(v, VP(NULL, "data"), "data is mandatory");
	else if (!node_is(data, DOC_OBJECT))
		v_required(v, VP(NULL, "data"), "data must be a valid JSON object");
}
