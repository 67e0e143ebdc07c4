/*
 * Validation of what makes pods: Deployment, ReplicaSet, ReplicationController,
 * DaemonSet, StatefulSet, Job, CronJob. Their selectors, templates, strategies and
 * what an update may not change.
 */
#include "schema/valid.h"

#include <errno.h>

static const char *const ONLY_ALWAYS[] = { "Always", NULL };

/* A LabelSelector that must be there and say something, and match the template's labels. */
static void w_selector(struct valid *v, const struct vpath *p, const struct node *spec, const char *kind)
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
	if (selector_from_node(&s, sel, &e) < 0)
		return; /* said above */
	if (!selector_match(s, labels))
		v_invalid_node(v, VP(VP(VP(p, "template"), "metadata"), "labels"), labels,
			       "`selector` does not match template `labels`");
	selector_free(s);
}

/* A template whose pods are restarted for ever. */
static void w_template(struct valid *v, const struct vpath *p, const struct node *spec, const char *kind)
{
	const struct node *pod = node_path(spec, F_template, F_spec);
	const struct node *policy = node_get(pod, F_restartPolicy);
	const struct vpath *at = VP(VP(p, "template"), "spec");

	v_pod_template(v, VP(p, "template"), node_get(spec, F_template));
	if (!v_empty(policy) && !node_streq(policy, "Always"))
		v_unsupported(v, VP(at, "restartPolicy"), node_str(policy), ONLY_ALWAYS);
	if (node_get(pod, F_activeDeadlineSeconds))
		v_forbiddenf(v, VP(at, "activeDeadlineSeconds"),
			     "activeDeadlineSeconds in %s is not Supported", kind);
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
	static const enum field COUNTS[] = { F_replicas, F_minReadySeconds, F_revisionHistoryLimit,
					     F_progressDeadlineSeconds, F_NONE };
	const struct node *spec = node_get(v->root, F_spec), *deadline = node_get(spec, F_progressDeadlineSeconds);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status"))
		return;
	v_counts(v, p, spec, COUNTS);
	w_selector(v, p, spec, "deployment");
	w_template(v, p, spec, "ReplicaSet");
	w_strategy(v, VP(p, "strategy"), node_get(spec, F_strategy));
	if (deadline && node_int(deadline, 0) <= node_int(node_get(spec, F_minReadySeconds), 0))
		v_invalid_node(v, VP(p, "progressDeadlineSeconds"), deadline, "must be greater than minReadySeconds");
	w_selector_fixed(v, p, spec);
}

/* --- ReplicaSet, ReplicationController --- */

void v_replica_set(struct valid *v)
{
	static const enum field COUNTS[] = { F_replicas, F_minReadySeconds, F_NONE };
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status"))
		return;
	v_counts(v, p, spec, COUNTS);
	w_selector(v, p, spec, "deployment");
	w_template(v, p, spec, "ReplicaSet");
	w_selector_fixed(v, p, spec);
}

void v_replication_controller(struct valid *v)
{
	static const enum field COUNTS[] = { F_minReadySeconds, F_replicas, F_NONE };
	const struct node *spec = node_get(v->root, F_spec), *sel = node_get(spec, F_selector);
	const struct node *labels = node_path(spec, F_template, F_metadata, F_labels);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status"))
		return;
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
	static const enum field COUNTS[] = { F_minReadySeconds, F_revisionHistoryLimit, F_NONE };
	static const char *const TYPES[] = { "RollingUpdate", "OnDelete", NULL };
	const struct node *spec = node_get(v->root, F_spec), *strategy = node_get(spec, F_updateStrategy);
	const struct node *rolling = node_get(strategy, F_rollingUpdate);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(VP(p, "updateStrategy"), "rollingUpdate");

	if (streq(v->sub, "status"))
		return;
	w_selector(v, p, spec, "daemonset");
	w_template(v, p, spec, "DaemonSet");
	v_counts(v, p, spec, COUNTS);
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
	w_selector_fixed(v, p, spec);
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

/* The pods will have a volume of each claim template's name, in place of one of theirs. */
static void w_stateful_template(struct valid *v, const struct vpath *p, const struct node *spec)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *as = node_new(d, DOC_OBJECT), *pod, *volumes, *volume;

	if (!node_count(node_get(spec, F_volumeClaimTemplates)) || !node_path(spec, F_template, F_spec)) {
		w_template(v, p, spec, "StatefulSet");
		return;
	}
	node_set(d, as, F_template, node_copy(d, node_get(spec, F_template)));
	pod = node_path(as, F_template, F_spec);
	volumes = node_new(d, DOC_ARRAY);
	NODE_FOREACH(claim, node_get(spec, F_volumeClaimTemplates)) {
		volume = node_append(volumes, node_new(d, DOC_OBJECT));
		node_sets(d, volume, F_name, meta_name(claim));
		node_sets(d, node_need_object(d, volume, F_persistentVolumeClaim), F_claimName, meta_name(claim));
	}
	NODE_FOREACH(own, node_get(pod, F_volumes)) {
		bool replaced = false;

		NODE_FOREACH(c, volumes)
			replaced |= node_streq(node_get(c, F_name), node_gets(own, F_name));
		if (!replaced)
			node_append(volumes, node_copy(d, own));
	}
	node_set(d, pod, F_volumes, volumes);
	w_template(v, p, as, "StatefulSet");
}

void v_stateful_set(struct valid *v)
{
	static const enum field COUNTS[] = { F_replicas, F_minReadySeconds, F_revisionHistoryLimit, F_NONE };
	static const char *const MANAGEMENT[] = { "OrderedReady", "Parallel", NULL };
	static const char *const TYPES[] = { "RollingUpdate", "OnDelete", NULL };
	const struct node *spec = node_get(v->root, F_spec), *strategy = node_get(spec, F_updateStrategy);
	const struct node *rolling = node_get(strategy, F_rollingUpdate);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(p, "updateStrategy");

	if (streq(v->sub, "status"))
		return;
	v_one_of(v, VP(p, "podManagementPolicy"), node_get(spec, F_podManagementPolicy), MANAGEMENT);
	v_one_of(v, VP(at, "type"), node_get(strategy, F_type), TYPES);
	if (node_streq(node_get(strategy, F_type), "OnDelete") && rolling)
		v_invalid_node(v, VP(at, "rollingUpdate"), rolling,
			       "only allowed for updateStrategy 'RollingUpdate'");
	v_nonnegative(v, VP(VP(at, "rollingUpdate"), "partition"), node_get(rolling, F_partition));
	v_counts(v, p, spec, COUNTS);
	v_nonnegative(v, VP(VP(p, "ordinals"), "start"), node_path(spec, F_ordinals, F_start));
	w_selector(v, p, spec, "statefulset");
	w_stateful_template(v, p, spec);
	if (v->old)
		w_stateful_update(v, p, spec, node_get(v->old, F_spec));
}

/* --- Job --- */

static void w_job_template(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const POLICIES[] = { "OnFailure", "Never", NULL };
	const struct node *pod = node_path(spec, F_template, F_spec);
	const struct node *policy = node_get(pod, F_restartPolicy);
	const struct vpath *at = VP(VP(VP(p, "template"), "spec"), "restartPolicy");

	v_pod_template(v, VP(p, "template"), node_get(spec, F_template));
	if (node_streq(policy, "Always"))
		v_unsupported(v, at, node_str(policy), POLICIES);
	if (node_get(spec, F_podFailurePolicy) && !node_streq(policy, "Never"))
		v_invalid_node(v, at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
}

static void w_job_counts(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const enum field COUNTS[] = { F_parallelism, F_completions, F_activeDeadlineSeconds, F_backoffLimit,
					     F_ttlSecondsAfterFinished, F_backoffLimitPerIndex, F_maxFailedIndexes,
					     F_NONE };
	const struct node *mode = node_get(spec, F_completionMode);

	v_counts(v, p, spec, COUNTS);
	if (node_streq(mode, "Indexed")) {
		if (!node_get(spec, F_completions))
			v_required(v, VP(p, "completions"), "when completion mode is Indexed");
		if (node_int(node_get(spec, F_parallelism), 0) > 100000)
			v_invalid_node(v, VP(p, "parallelism"), node_get(spec, F_parallelism),
				       "must be less than or equal to 100000 when completion mode is Indexed");
	} else if (node_get(spec, F_backoffLimitPerIndex)) {
		v_invalid_node(v, VP(p, "backoffLimitPerIndex"), node_get(spec, F_backoffLimitPerIndex),
			       "requires indexed completion mode");
	}
}

static void w_job_spec(struct valid *v, const struct vpath *p, const struct node *spec)
{
	w_job_counts(v, p, spec);
	w_job_template(v, p, spec);
}

static void w_job_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const enum field FIXED[] = { F_selector, F_completionMode, F_podFailurePolicy, F_backoffLimitPerIndex,
					    F_managedBy, F_successPolicy };
	bool suspended = node_bool(node_get(old, F_suspend), false);
	bool indexed = node_streq(node_get(now, F_completionMode), "Indexed");

	if (!indexed || !v_same(node_get(now, F_completions), node_get(now, F_parallelism)))
		v_immutable(v, VP(p, "completions"), node_get(now, F_completions), node_get(old, F_completions));
	for (size_t i = 0; i < ARRAY_SIZE(FIXED); i++)
		v_immutable(v, VP(p, doc_field_name(FIXED[i])), node_get(now, FIXED[i]), node_get(old, FIXED[i]));
	if (!suspended) /* a suspended Job's scheduling directives may still change */
		v_immutable(v, VP(p, "template"), node_get(now, F_template), node_get(old, F_template));
}

void v_job(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status"))
		return;
	w_job_spec(v, p, spec);
	w_selector(v, p, spec, "Job");
	if (v->old)
		w_job_update(v, p, spec, node_get(v->old, F_spec));
}

/* --- CronJob --- */

/* One of a schedule's five columns: numbers, names, *, ?, ranges, steps, lists. */
static bool cron_field(struct str s)
{
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c && strchr("*?/,-#", c))))
			return false;
	}
	return true;
}

static bool cron_ok(struct str s)
{
	static const char *const NAMED[] = { "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight",
					     "@hourly" };
	unsigned fields = 0;

	s = str_trim(s);
	for (size_t i = 0; i < ARRAY_SIZE(NAMED); i++) {
		if (str_eqc(s, NAMED[i]))
			return true;
	}
	if (str_starts(s, STR_LIT("@every ")))
		return s.n > 7;
	while (s.p) {
		struct str part = str_cut(&s, ' ');

		if (part.n == 0)
			continue;
		if (!cron_field(part))
			return false;
		fields++;
	}
	return fields == 5;
}

void v_cron_job(struct valid *v)
{
	static const char *const POLICIES[] = { "Allow", "Forbid", "Replace", NULL };
	static const enum field COUNTS[] = { F_startingDeadlineSeconds, F_successfulJobsHistoryLimit,
					     F_failedJobsHistoryLimit, F_NONE };
	const struct node *spec = node_get(v->root, F_spec), *job = node_path(spec, F_jobTemplate, F_spec);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(p, "jobTemplate");
	struct str schedule = v_str(spec, F_schedule), name = str_of(meta_name(v->root));

	if (streq(v->sub, "status"))
		return;
	if (!v->old && name.n > 52)
		v_invalid(v, VP(VP(NULL, "metadata"), "name"), name, "must be no more than 52 characters");
	if (schedule.n == 0)
		v_required(v, VP(p, "schedule"), NULL);
	else if (!cron_ok(schedule))
		v_invalid(v, VP(p, "schedule"), schedule,
			  "expected exactly 5 fields: minute, hour, day of month, month, day of week");
	if (node_get(spec, F_timeZone) && v_str(spec, F_timeZone).n == 0)
		v_invalid(v, VP(p, "timeZone"), STR_LIT(""), "timeZone must be nil or non-empty string");
	v_one_of(v, VP(p, "concurrencyPolicy"), node_get(spec, F_concurrencyPolicy), POLICIES);
	v_counts(v, p, spec, COUNTS);
	w_job_spec(v, VP(at, "spec"), job);
	if (node_bool(node_get(job, F_manualSelector), false))
		v_unsupported(v, VP(VP(at, "spec"), "manualSelector"), STR_LIT("true"),
			      (const char *const[]){ "nil", "false", NULL });
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
