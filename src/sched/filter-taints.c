/*
 * TaintToleration: taints with NoSchedule or NoExecute keep out pods that do not
 * tolerate them; PreferNoSchedule makes a node less liked.
 */
#include "sched/internal.h"

static bool toleration_covers(const struct node *t, const struct sched_taint *taint)
{
	const char *key = node_gets(t, F_key), *effect = node_gets(t, F_effect), *op = node_gets(t, F_operator);
	int64_t have, want;

	if (*effect && !streq(effect, taint->effect))
		return false;
	if (*key && !streq(key, taint->key))
		return false;
	if (streq(op, "Exists"))
		return true;
	if (streq(op, "Gt") || streq(op, "Lt")) {
		if (!str_to_i64(str_of(taint->value), &have) || !str_to_i64(node_str(node_get(t, F_value)), &want))
			return false;
		return streq(op, "Gt") ? have > want : have < want;
	}
	return *key && streq(node_gets(t, F_value), taint->value);
}

bool taint_tolerated(const struct sched_taint *taint, const struct node *tolerations)
{
	NODE_FOREACH(t, tolerations)
		if (toleration_covers(t, taint))
			return true;
	return false;
}

static const struct sched_taint *taints_first(const struct sched_node *n, const struct node *tolerations)
{
	for (size_t i = 0; i < n->taints.n; i++)
		if (!streq(n->taints.v[i].effect, "PreferNoSchedule") && !taint_tolerated(&n->taints.v[i], tolerations))
			return &n->taints.v[i];
	return NULL;
}

bool taints_tolerated(const struct sched_node *n, const struct node *tolerations)
{
	return !taints_first(n, tolerations);
}

SCHED_FILTER(filter_taints)
{
	*hopeless = true;
	return !n->taints.n || taints_tolerated(n, node_get(c->spec, F_tolerations)) ? NULL
										      : "node(s) had untolerated taint(s)";
}

SCHED_SCORE(score_taints)
{
	const struct node *tolerations = node_get(c->spec, F_tolerations);
	int64_t intolerable = 0;

	for (size_t i = 0; i < n->taints.n; i++)
		intolerable += streq(n->taints.v[i].effect, "PreferNoSchedule") &&
			       !taint_tolerated(&n->taints.v[i], tolerations);
	return intolerable;
}
