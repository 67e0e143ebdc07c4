/*
 * What the failure of a pod means (podFailurePolicy), and which indexes are
 * success enough (successPolicy).
 */
#include "ctl/job.h"

/* --- failure --- */

static bool job_code_matches(const struct node *rule, int64_t code)
{
	bool in = node_streq(node_get(rule, F_operator), "In");

	if (!in && !node_streq(node_get(rule, F_operator), "NotIn"))
		return false;
	NODE_FOREACH(v, node_get(rule, F_values))
		if (node_int(v, 0) == code)
			return in;
	return !in;
}

/* The first container that ended with such a code; 0 never counts as one. */
static const struct node *job_container_that(const struct node *statuses, const struct node *rule)
{
	const struct node *name = node_get(rule, F_containerName);

	NODE_FOREACH(c, statuses)
	{
		const struct node *ended = node_path(c, F_state, F_terminated);
		int64_t code = node_int(node_get(ended, F_exitCode), 0);

		if (!ended || !code || (name && !str_eq(node_str(name), node_str(node_get(c, F_name)))))
			continue;
		if (job_code_matches(rule, code))
			return c;
	}
	return NULL;
}

static const struct node *job_condition_that(const struct node *conditions, const struct node *patterns)
{
	NODE_FOREACH(c, conditions)
		NODE_FOREACH(p, patterns)
			if (node_equal(node_get(c, F_type), node_get(p, F_type)) &&
			    node_equal(node_get(c, F_status), node_get(p, F_status)))
				return c;
	return NULL;
}

static bool job_rule_matches(const struct node *rule, const struct node *pod, size_t n, struct buf *why)
{
	const struct node *codes = node_get(rule, F_onExitCodes), *status = node_get(pod, F_status), *c;

	if (!codes) {
		c = job_condition_that(node_get(status, F_conditions), node_get(rule, F_onPodConditions));
		if (c && why)
			buf_addf(why, "Pod %s/%s has condition %s matching %s rule at index %zu", meta_ns(pod),
				 meta_name(pod), node_gets(c, F_type), node_gets(rule, F_action), n);
		return c != NULL;
	}
	c = job_container_that(node_get(status, F_containerStatuses), codes);
	if (!c)
		c = job_container_that(node_get(status, F_initContainerStatuses), codes);
	if (c && why)
		buf_addf(why, "Container %s for pod %s/%s failed with exit code %lld matching %s rule at index %zu",
			 node_gets(c, F_name), meta_ns(pod), meta_name(pod),
			 (long long)node_int(node_path(c, F_state, F_terminated, F_exitCode), 0),
			 node_gets(rule, F_action), n);
	return c != NULL;
}

enum job_action job_failure_action(const struct node *policy, const struct node *pod, struct buf *why)
{
	static const char *const names[] = { [JOB_COUNT] = "Count", [JOB_IGNORE] = "Ignore",
					     [JOB_FAIL_INDEX] = "FailIndex", [JOB_FAIL_JOB] = "FailJob" };
	size_t n = 0;

	NODE_FOREACH(rule, node_get(policy, F_rules))
	{
		const char *action = node_gets(rule, F_action);

		if (job_rule_matches(rule, pod, n++, streq(action, "FailJob") ? why : NULL))
			for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
				if (streq(action, names[i]))
					return i;
	}
	return JOB_COUNT;
}

/* --- success --- */

static bool job_success_met(const struct node *rule, int64_t completions, const job_indexes *succeeded)
{
	const struct node *which = node_get(rule, F_succeededIndexes), *count = node_get(rule, F_succeededCount);
	job_indexes want = VEC_INIT;
	int64_t have;
	bool met;

	if (!which)
		return count && job_indexes_count(succeeded) >= node_int(count, 0);
	job_indexes_parse(&want, node_str(which), completions);
	have = job_indexes_common(&want, succeeded);
	met = want.n && (have == job_indexes_count(&want) || (count && have >= node_int(count, 0)));
	VEC_RELEASE(&want);
	return met;
}

int64_t job_success_rule(const struct node *policy, int64_t completions, const job_indexes *succeeded)
{
	int64_t n = 0;

	if (!succeeded->n)
		return -1;
	NODE_FOREACH(rule, node_get(policy, F_rules))
	{
		if (job_success_met(rule, completions, succeeded))
			return n;
		n++;
	}
	return -1;
}
