/*
 * Validation of Jobs and CronJobs: counts and completion modes, failure and success
 * policies, what an update may change of a suspended Job's template;
 * schedules as robfig/cron reads them, time zones.
 */
#include "schema/valid.h"

#include <stdio.h>

#include "base/cron.h"
#include "base/limits.h"

enum { /* Kubernetes' limits */
	MAX_INDEXED = 100000, MAX_INDEXED_MANY = 10000, MAX_RULES = 20, MAX_EXIT_CODES = 255, MAX_PATTERNS = 20,
	MAX_MANAGED_BY = 63, MAX_INDEXES_BYTES = 64 << 10
};

bool v_job_is_indexed(const struct node *spec)
{
	return node_streq(node_get(spec, F_completionMode), "Indexed");
}

/* --- counts --- */

static void job_at_most(struct valid *v, const struct vpath *p, const struct node *n, int64_t max, const char *why)
{
	if (node_int(n, 0) > max)
		v_invalid_node(v, p, n, why);
}

static void job_indexed(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *all = node_get(spec, F_completions), *at_once = node_get(spec, F_parallelism);
	const struct node *failed = node_get(spec, F_maxFailedIndexes);

	if (!all)
		v_required(v, VP(p, "completions"), "when completion mode is Indexed");
	job_at_most(v, VP(p, "parallelism"), at_once, MAX_INDEXED,
		    "must be less than or equal to 100000 when completion mode is Indexed");
	if (all)
		job_at_most(v, VP(p, "maxFailedIndexes"), failed, node_int(all, 0),
			    "must be less than or equal to completions");
	job_at_most(v, VP(p, "maxFailedIndexes"), failed, MAX_INDEXED, "must be less than or equal to 100000");
	if (node_int(all, 0) <= MAX_INDEXED || !node_get(spec, F_backoffLimitPerIndex))
		return;
	if (!failed)
		v_required(v, VP(p, "maxFailedIndexes"), "must be specified when completions is above 100000");
	job_at_most(v, VP(p, "parallelism"), at_once, MAX_INDEXED_MANY,
		    "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit "
		    "per index");
	job_at_most(v, VP(p, "maxFailedIndexes"), failed, MAX_INDEXED_MANY,
		    "must be less than or equal to 10000 when completions are above 100000 and used with backoff limit "
		    "per index");
}

static void job_counts(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const enum field COUNTS[] = { F_parallelism, F_completions, F_activeDeadlineSeconds, F_backoffLimit,
					     F_ttlSecondsAfterFinished, F_backoffLimitPerIndex, F_maxFailedIndexes,
					     F_NONE };
	static const enum field INDEXED[] = { F_backoffLimitPerIndex, F_maxFailedIndexes };
	static const char *const MODES[] = { "NonIndexed", "Indexed", NULL };
	const struct node *by = node_get(spec, F_managedBy);

	v_counts(v, p, spec, COUNTS);
	if (node_get(spec, F_maxFailedIndexes) && !node_get(spec, F_backoffLimitPerIndex))
		v_required(v, VP(p, "backoffLimitPerIndex"), "when maxFailedIndexes is specified");
	if (by) {
		v_domain_path(v, VP(p, "managedBy"), node_str(by));
		if (node_str(by).n > MAX_MANAGED_BY)
			v_too_long(v, VP(p, "managedBy"), MAX_MANAGED_BY);
	}
	v_may_be(v, p, spec, F_completionMode, MODES);
	if (v_job_is_indexed(spec)) {
		job_indexed(v, p, spec);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(INDEXED); i++) {
		if (node_get(spec, INDEXED[i]))
			v_invalid_node(v, VP(p, doc_field_name(INDEXED[i])), node_get(spec, INDEXED[i]),
				       "requires indexed completion mode");
	}
}

/* --- podFailurePolicy --- */

static bool job_has_container(const struct node *spec, struct str name)
{
	static const enum field LISTS[] = { F_containers, F_initContainers };

	for (size_t i = 0; i < ARRAY_SIZE(LISTS); i++) {
		NODE_FOREACH(c, node_get(node_path(spec, F_template, F_spec), LISTS[i])) {
			if (str_eq(v_str(c, F_name), name))
				return true;
		}
	}
	return false;
}

static void job_exit_codes(struct valid *v, const struct vpath *p, const struct node *n, const struct node *spec)
{
	static const char *const OPERATORS[] = { "In", "NotIn", NULL };
	const struct node *values = node_get(n, F_values), *name = node_get(n, F_containerName);
	int64_t before = INT64_MIN;
	bool ordered = true;
	size_t i = 0;

	if (v_str(n, F_operator).n == 0)
		v_required(v, VP(p, "operator"), "valid values: [\"In\" \"NotIn\"]");
	else
		v_may_be(v, p, n, F_operator, OPERATORS);
	if (name && !job_has_container(spec, node_str(name)))
		v_invalid_node(v, VP(p, "containerName"), name,
			       "must be one of the container or initContainer names in the pod template");
	if (node_count(values) == 0)
		v_invalid_node(v, VP(p, "values"), values, "at least one value is required");
	else if (node_count(values) > MAX_EXIT_CODES)
		v_too_many(v, VP(p, "values"), node_count(values), MAX_EXIT_CODES);
	NODE_FOREACH(c, values) {
		const struct vpath *at = VPI(VP(p, "values"), i++);

		if (node_streq(node_get(n, F_operator), "In") && node_int(c, 1) == 0)
			v_invalid_int(v, at, 0, "must not be 0 for the In operator");
		NODE_FOREACH(other, node_count(values) > LIMIT_LIST_ITEMS ? NULL : values) {
			if (other == c)
				break;
			if (node_equal(other, c)) {
				v_duplicate(v, at, c);
				break;
			}
		}
		ordered = ordered && node_int(c, 0) >= before;
		before = node_int(c, 0);
	}
	if (!ordered)
		v_invalid_node(v, VP(p, "values"), values, "must be ordered");
}

static void job_pod_condition(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const STATUS[] = { "False", "True", "Unknown", NULL };

	v_name(v, VP(p, "type"), v_str(n, F_type), NF_QUALIFIED);
	if (v_str(n, F_status).n == 0)
		v_required(v, VP(p, "status"), "valid values: [\"False\" \"True\" \"Unknown\"]");
	else
		v_may_be(v, p, n, F_status, STATUS);
}

static void job_failure_rule(struct valid *v, const struct vpath *p, const struct node *n, const struct node *spec)
{
	static const char *const ACTIONS[] = { "Count", "FailIndex", "FailJob", "Ignore", NULL };
	const struct node *codes = node_get(n, F_onExitCodes), *conditions = node_get(n, F_onPodConditions);
	struct str action = v_str(n, F_action);

	if (action.n == 0)
		v_required(v, VP(p, "action"), "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
	else if (str_eqc(action, "FailIndex") && !node_get(spec, F_backoffLimitPerIndex))
		v_invalid(v, VP(p, "action"), action, "requires the backoffLimitPerIndex to be set");
	else
		v_may_be(v, p, n, F_action, ACTIONS);
	if (codes)
		job_exit_codes(v, VP(p, "onExitCodes"), codes, spec);
	if (node_count(conditions) > MAX_PATTERNS)
		v_too_many(v, VP(p, "onPodConditions"), node_count(conditions), MAX_PATTERNS);
	v_each(v, VP(p, "onPodConditions"), conditions, job_pod_condition);
	if (codes && node_count(conditions) > 0)
		v_invalid_omitted(v, p, "specifying both OnExitCodes and OnPodConditions is not supported");
	if (!codes && node_count(conditions) == 0)
		v_invalid_omitted(v, p, "specifying one of OnExitCodes and OnPodConditions is required");
}

static void job_failure_policy(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const REPLACE[] = { "Failed", "TerminatingOrFailed", NULL };
	static const char *const ONLY[] = { "Failed", NULL };
	const struct node *policy = node_get(spec, F_podFailurePolicy), *rules = node_get(policy, F_rules);
	const struct vpath *at = VP(VP(p, "podFailurePolicy"), "rules");
	size_t i = 0;

	if (node_count(rules) > MAX_RULES)
		v_too_many(v, at, node_count(rules), MAX_RULES);
	NODE_FOREACH(c, rules)
		job_failure_rule(v, VPI(at, i++), c, spec);
	v_may_be(v, p, spec, F_podReplacementPolicy, policy ? ONLY : REPLACE);
}

/* --- successPolicy --- */

/* "1,3-5" below max: how many; -1: not of that form, *why is set. */
int64_t v_job_indexes(struct str s, int64_t max, char **why)
{
	int64_t total = 0, last = -1;

	while (s.p && s.n > 0) {
		struct str part = str_cut(&s, ','), first = str_cut(&part, '-');
		int64_t from, to;

		if (!str_to_i64(first, &from) || (part.p && !str_to_i64(part, &to)))
			*why = xasprintf("cannot convert string to integer for index: \"%" STR_FMT "\"",
					 STR_ARG(first));
		else if (part.p && to <= from)
			*why = xasprintf("non-increasing order, previous: %lld, current: %lld", (long long)from,
					 (long long)to);
		else if (last >= from)
			*why = xasprintf("non-increasing order, previous: %lld, current: %lld", (long long)last,
					 (long long)from);
		else if ((part.p ? to : from) >= max)
			*why = xasprintf("too large index: \"%lld\"", (long long)(part.p ? to : from));
		if (*why)
			return -1;
		last = part.p ? to : from;
		total += last - from + 1;
	}
	return total;
}

static void job_success_rule(struct valid *v, const struct vpath *p, const struct node *n, const struct node *spec)
{
	const struct node *indexes = node_get(n, F_succeededIndexes), *count = node_get(n, F_succeededCount);
	int64_t all = node_int(node_get(spec, F_completions), 0), some = 0;
	_cleanup_free_ char *why = NULL;

	if (!indexes && !count)
		v_required(v, p, "at least one of succeededCount or succeededIndexes must be specified");
	if (node_str(indexes).n > MAX_INDEXES_BYTES)
		v_too_long(v, VP(p, "succeededIndexes"), MAX_INDEXES_BYTES);
	else if (indexes)
		some = v_job_indexes(node_str(indexes), all, &why);
	if (why)
		v_invalidf(v, VP(p, "succeededIndexes"), indexes, "error parsing succeededIndexes: %s", why);
	if (!count)
		return;
	v_nonnegative(v, VP(p, "succeededCount"), count);
	if (node_int(count, 0) > all)
		v_invalidf(v, VP(p, "succeededCount"), count,
			   "must be less than or equal to %lld (the number of specified completions)", (long long)all);
	if (indexes && node_int(count, 0) > some)
		v_invalidf(v, VP(p, "succeededCount"), count,
			   "must be less than or equal to %lld (the number of indexes in the specified "
			   "succeededIndexes field)",
			   (long long)(some < 0 ? 0 : some));
}

static void job_success_policy(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *policy = node_get(spec, F_successPolicy), *rules = node_get(policy, F_rules);
	const struct vpath *at = VP(p, "rules");
	size_t i = 0;

	if (!policy)
		return;
	if (!v_job_is_indexed(spec)) {
		v_invalid_node(v, p, policy, "requires indexed completion mode");
		return;
	}
	if (node_count(rules) == 0)
		v_required(v, at, "at least one rules must be specified when the successPolicy is specified");
	if (node_count(rules) > MAX_RULES)
		v_too_many(v, at, node_count(rules), MAX_RULES);
	NODE_FOREACH(c, rules)
		job_success_rule(v, VPI(at, i++), c, spec);
}

/* --- the spec --- */

static void job_spec(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char *const POLICIES[] = { "OnFailure", "Never", NULL };
	const struct node *policy = node_get(node_path(spec, F_template, F_spec), F_restartPolicy);
	const struct vpath *at = VP(VP(VP(p, "template"), "spec"), "restartPolicy");

	job_counts(v, p, spec);
	job_failure_policy(v, p, spec);
	job_success_policy(v, VP(p, "successPolicy"), spec);
	v_pod_template(v, VP(p, "template"), node_get(spec, F_template));
	if (v_empty(policy) || node_streq(policy, "Always"))
		v_required(v, at, "valid values: \"OnFailure\", \"Never\"");
	else if (!v_is_one_of(node_str(policy), POLICIES))
		v_unsupported(v, at, node_str(policy), POLICIES);
	else if (node_get(spec, F_podFailurePolicy) && !node_streq(policy, "Never"))
		v_invalid_node(v, at, policy, "only \"Never\" is supported when podFailurePolicy is specified");
}

/* The labels that job_create (strategy.c) has set, unless the user had others under the same names. */
static void job_labels(struct valid *v, const struct node *spec)
{
	static const char *const UID[] = { "controller-uid", "batch.kubernetes.io/controller-uid" };
	static const char *const NAME[] = { "job-name", "batch.kubernetes.io/job-name" };
	const struct node *labels = node_path(spec, F_template, F_metadata, F_labels);
	const struct vpath *p = VP(VP(VP(NULL, "spec"), "template"), "metadata");
	const char *uid = meta_uid(v->root);

	if (node_bool(node_get(spec, F_manualSelector), false) || !*uid)
		return;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(UID); i++) {
		const char *key = i % 2 ? NAME[i / 2] : UID[i / 2], *want = i % 2 ? meta_name(v->root) : uid;
		const struct node *have = node_getc(labels, key);

		if (!have)
			v_required(v, VPK(VP(p, "labels"), str_of(key)), NULL);
		else if (!node_streq(have, want))
			v_invalidf(v, VPK(VP(p, "labels"), str_of(key)), labels, "must be '%s'", want);
	}
}

/* --- update --- */

static void job_completions(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	const struct node *a = node_get(now, F_completions), *b = node_get(old, F_completions);

	if (!v_job_is_indexed(now))
		v_immutable(v, p, a, b);
	else if (a && b && !v_same(a, b) && !v_same(a, node_get(now, F_parallelism)))
		v_invalid_node(v, p, a, "can only be modified in tandem with spec.parallelism");
}

/* What may change before a suspended Job starts: where its pods run, and what they ask for. */
static void job_munge(struct doc *d, struct node *now, const struct node *old, bool started)
{
	static const enum field PLACE[] = { F_nodeSelector, F_tolerations, F_schedulingGates };
	static const enum field META[] = { F_annotations, F_labels };
	static const enum field LISTS[] = { F_containers, F_initContainers };
	struct node *pod = node_need_object(d, now, F_spec), *meta = node_need_object(d, now, F_metadata);
	const struct node *was = node_get(old, F_spec);

	for (size_t i = 0; i < ARRAY_SIZE(LISTS); i++) {
		struct node *a = node_first(node_get(pod, LISTS[i]));

		for (const struct node *b = node_first(node_get(was, LISTS[i])); a && b; a = a->next, b = b->next)
			v_put_back(d, a, b, F_resources);
	}
	for (size_t i = 0; !started && i < ARRAY_SIZE(PLACE); i++)
		v_put_back(d, pod, was, PLACE[i]);
	for (size_t i = 0; !started && i < ARRAY_SIZE(META); i++)
		v_put_back(d, meta, node_get(old, F_metadata), META[i]);
	if (started)
		return;
	v_put_back(d, node_need_object(d, pod, F_affinity), node_get(was, F_affinity), F_nodeAffinity);
	if (node_count(node_get(pod, F_affinity)) == 0)
		node_remove(pod, F_affinity);
}

static void job_template_fixed(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	const struct node *a = node_get(now, F_template), *b = node_get(old, F_template);
	_cleanup_doc_ struct doc *d = NULL;

	if (v_same(a, b))
		return;
	if (node_bool(node_get(old, F_suspend), false)) {
		d = doc_new();
		doc_set_root(d, node_copy(d, a));
		job_munge(d, doc_root(d), b, node_path(v->old, F_status, F_startTime) != NULL);
		if (v_same(doc_root(d), b))
			return;
	}
	v_invalid_node(v, p, a, "field is immutable");
}

static void job_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const enum field FIXED[] = { F_completionMode, F_podFailurePolicy, F_backoffLimitPerIndex, F_managedBy,
					    F_successPolicy };

	job_completions(v, VP(p, "completions"), now, old);
	v_fixed(v, p, now, old, F_selector);
	job_template_fixed(v, VP(p, "template"), now, old);
	for (size_t i = 0; i < ARRAY_SIZE(FIXED); i++)
		v_fixed(v, p, now, old, FIXED[i]);
}

/* --- Job --- */

/* A pod of an indexed Job is called by the Job's name and its index. */
static void job_hostname(struct valid *v, const struct node *spec)
{
	int64_t all = node_int(node_get(spec, F_completions), 0);
	const char *m[NAME_MSGS], *name = meta_name(v->root);
	_cleanup_free_ char *host = NULL, *why = NULL;

	if (!v_job_is_indexed(spec) || all <= 0)
		return;
	host = xasprintf("%s-%lld", name, (long long)all - 1);
	if (name_messages(NF_DNS_LABEL, str_of(host), false, m) == 0)
		return;
	why = xasprintf("will not able to create pod with invalid DNS label: %s", host);
	v_invalid(v, VP(VP(NULL, "metadata"), "name"), str_of(name), why);
}

void v_job(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		if (v->old)
			v_job_status(v, VP(NULL, "status"));
		return;
	}
	if (!v->old)
		job_labels(v, spec);
	job_spec(v, p, spec);
	v_workload_selector(v, p, spec, "Job");
	if (v->old)
		job_update(v, p, spec, node_get(v->old, F_spec));
	else
		job_hostname(v, spec);
}

/* --- schedules --- */

static bool has_tz(struct str s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		if (s.p[i] == 'T' && s.p[i + 1] == 'Z')
			return true;
	}
	return false;
}

static void cron_schedule(struct valid *v, const struct vpath *p, const struct node *spec)
{
	struct str s = v_str(spec, F_schedule);
	_cleanup_cron_ struct cron c = { 0 };
	_cleanup_err_ struct err e = ERR_INIT;

	if (s.n == 0) {
		v_required(v, p, NULL);
		return;
	}
	if (s.n > LIMIT_SCHEDULE_BYTES) {
		v_too_long(v, p, LIMIT_SCHEDULE_BYTES);
		return;
	}
	if (cron_parse(&c, s, &e) < 0)
		v_invalid(v, p, s, err_msg(&e));
	if (has_tz(s) && !(v->old && has_tz(v_str(node_get(v->old, F_spec), F_schedule))))
		v_invalid(v, p, s, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
	else if (has_tz(s) && node_get(spec, F_timeZone))
		v_invalid(v, p, s, "cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

static bool is_zone_name(struct str s)
{
	enum { MAX_PART = 14 };

	for (struct str rest = s; rest.p;) {
		struct str part = str_cut(&rest, '/');

		if (part.n == 0 || part.n > MAX_PART || str_eqc(part, ".") || str_eqc(part, "..") || part.p[0] == '-')
			return false;
		for (size_t i = 0; i < part.n; i++) {
			char c = part.p[i];

			if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			      (c && strchr(".-_+", c))))
				return false;
		}
	}
	return true;
}

static void cron_zone(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str s = node_str(n);
	_cleanup_zone_ struct zone *z = NULL;
	_cleanup_err_ struct err e = ERR_INIT;

	if (!n || (v->old && v_same(n, node_path(v->old, F_spec, F_timeZone))))
		return;
	if (s.n == 0) {
		v_invalid(v, p, STR_LIT(""), "timeZone must be nil or non-empty string");
		return;
	}
	if (!is_zone_name(s)) {
		v_invalidf(v, p, n, "unknown time zone %" STR_FMT, STR_ARG(s));
		return;
	}
	if (str_ieq(s, STR_LIT("Local")))
		v_invalid(v, p, s,
			  "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones");
	if (!str_eqc(s, "Local") && zone_load(&z, s, &e) < 0) /* which is known, but not wanted */
		v_invalid(v, p, s, err_msg(&e));
}

/* --- CronJob --- */

void v_cron_job(struct valid *v)
{
	enum { MAX_NAME = 52 }; /* its Jobs have eleven more */
	static const char *const POLICIES[] = { "Allow", "Forbid", "Replace", NULL };
	static const char *const NO[] = { "nil", "false", NULL };
	static const enum field COUNTS[] = { F_successfulJobsHistoryLimit, F_failedJobsHistoryLimit, F_NONE };
	const struct node *spec = node_get(v->root, F_spec), *job = node_path(spec, F_jobTemplate, F_spec);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(VP(p, "jobTemplate"), "spec");
	struct str name = str_of(meta_name(v->root));

	if (streq(v->sub, "status"))
		return;
	cron_schedule(v, VP(p, "schedule"), spec);
	v_nonnegative(v, VP(p, "startingDeadlineSeconds"), node_get(spec, F_startingDeadlineSeconds));
	cron_zone(v, VP(p, "timeZone"), node_get(spec, F_timeZone));
	v_one_of(v, VP(p, "concurrencyPolicy"), node_get(spec, F_concurrencyPolicy), POLICIES);
	job_spec(v, at, job);
	if (node_get(job, F_selector))
		v_invalid_node(v, VP(at, "selector"), node_get(job, F_selector), "`selector` will be auto-generated");
	if (node_bool(node_get(job, F_manualSelector), false))
		v_unsupported_node(v, VP(at, "manualSelector"), node_get(job, F_manualSelector), NO);
	v_counts(v, p, spec, COUNTS);
	if (!v->old && name.n > MAX_NAME)
		v_invalid(v, VP(VP(NULL, "metadata"), "name"), name, "must be no more than 52 bytes");
}
