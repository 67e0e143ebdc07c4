/*
 * Restart policy and back-off, pure. A container's rules (restartPolicyRules) come
 * first, then its own restartPolicy, then the pod's.
 *
 * The back-off is client-go's flowcontrol.Backoff as the kubelet uses it for
 * containers and images: the first failure waits for nothing, then 10 s, doubling
 * to 5 min; it is forgotten when twice the maximum passed between two failures.
 */
#include "node/internal.h"

bool backoff_active(const struct backoff *b, int64_t at_ms, int64_t now_ms, int64_t *until_ms)
{
	if (!b->delay_ms || at_ms - b->last_ms > 2 * BACKOFF_MAX_MS)
		return false;
	*until_ms = at_ms + b->delay_ms;
	return now_ms < *until_ms;
}

void backoff_next(struct backoff *b, int64_t at_ms, int64_t first_ms, int64_t max_ms)
{
	if (!b->delay_ms || at_ms - b->last_ms > 2 * BACKOFF_MAX_MS)
		b->delay_ms = first_ms;
	else
		b->delay_ms = min_i64(b->delay_ms * 2, max_ms);
	b->last_ms = at_ms;
}

void backoff_text(int64_t ms, char out[32])
{
	long long s = ms / 1000;

	if (s < 60)
		snprintf(out, 32, "%llds", s);
	else if (s < 3600)
		snprintf(out, 32, "%lldm%llds", s / 60, s % 60);
	else
		snprintf(out, 32, "%lldh%lldm%llds", s / 3600, s / 60 % 60, s % 60);
}

static bool rule_matches(const struct node *rule, int exit_code)
{
	const struct node *codes = node_get(rule, F_exitCodes);
	bool in = false;

	if (!codes || !node_streq(node_get(rule, F_action), "Restart"))
		return false;
	NODE_FOREACH (v, node_get(codes, F_values))
		in |= node_int(v, -1) == exit_code;
	return node_streq(node_get(codes, F_operator), "NotIn") ? !in : in;
}

bool restart_by_spec(const struct node *ctr, const char *pod_policy, bool asked, int exit_code)
{
	const char *policy = node_cstr_or(node_get(ctr, F_restartPolicy), pod_policy);

	NODE_FOREACH (rule, node_get(ctr, F_restartPolicyRules))
		if (rule_matches(rule, exit_code))
			return true;
	if (asked)
		return !streq_null(policy, "Never");
	return restart_wanted(policy, false, exit_code);
}

bool restart_wanted(const char *pod_policy, bool sidecar, int exit_code)
{
	if (sidecar || streq_null(pod_policy, "Always") || str_empty(pod_policy))
		return true;
	if (streq(pod_policy, "OnFailure"))
		return exit_code != 0;
	return false;
}
