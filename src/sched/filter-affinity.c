/*
 * NodeAffinity: spec.nodeSelector, and required and preferred node affinity with
 * expressions over labels and over metadata.name.
 */
#include "sched/internal.h"

static bool affinity_in(const struct node *values, const char *have)
{
	NODE_FOREACH(v, values)
		if (node_streq(v, have))
			return true;
	return false;
}

static bool affinity_expression(const struct node *x, const char *have)
{
	const char *op = node_gets(x, F_operator);
	const struct node *values = node_get(x, F_values);
	int64_t a, b;

	if (streq(op, "Exists"))
		return have != NULL;
	if (streq(op, "DoesNotExist"))
		return have == NULL;
	if (streq(op, "NotIn"))
		return !have || !affinity_in(values, have);
	if (!have)
		return false;
	if (streq(op, "In"))
		return affinity_in(values, have);
	if (!str_to_i64(str_of(have), &a) || !str_to_i64(node_str(node_first(values)), &b))
		return false;
	return streq(op, "Gt") ? a > b : streq(op, "Lt") && a < b;
}

static bool affinity_term_match(const struct node *term, const struct sched_node *n)
{
	const struct node *exprs = node_get(term, F_matchExpressions), *fields = node_get(term, F_matchFields);

	if (!node_count(exprs) && !node_count(fields))
		return false; /* an empty term matches nothing */
	NODE_FOREACH(x, exprs)
		if (!affinity_expression(x, labels_get(&n->labels, node_gets(x, F_key))))
			return false;
	NODE_FOREACH(x, fields)
		if (!affinity_expression(x, streq(node_gets(x, F_key), "metadata.name") ? n->name : NULL))
			return false;
	return true;
}

bool affinity_terms_match(const struct node *node_selector, const struct sched_node *n)
{
	NODE_FOREACH(term, node_get(node_selector, F_nodeSelectorTerms))
		if (affinity_term_match(term, n))
			return true;
	return false;
}

static const struct node *affinity_of(const struct node *spec, enum field which)
{
	return node_path(spec, F_affinity, F_nodeAffinity, which);
}

bool affinity_required(const struct node *spec, const struct sched_node *n)
{
	const struct node *required = affinity_of(spec, F_requiredDuringSchedulingIgnoredDuringExecution);

	NODE_FOREACH(want, node_get(spec, F_nodeSelector))
	{
		const char *have = labels_get(&n->labels, want->key);

		if (!have || !node_streq(want, have))
			return false;
	}
	return !required || affinity_terms_match(required, n);
}

bool filter_affinity_prepare(struct sched_cycle *c)
{
	return node_count(node_get(c->spec, F_nodeSelector)) ||
	       affinity_of(c->spec, F_requiredDuringSchedulingIgnoredDuringExecution);
}

SCHED_FILTER(filter_affinity)
{
	*hopeless = true;
	return affinity_required(c->spec, n) ? NULL : "node(s) didn't match Pod's node affinity/selector";
}

SCHED_SCORE_PREPARE(score_affinity_prepare)
{
	return node_count(affinity_of(c->spec, F_preferredDuringSchedulingIgnoredDuringExecution)) > 0;
}

SCHED_SCORE(score_affinity)
{
	int64_t sum = 0;

	NODE_FOREACH(pref, affinity_of(c->spec, F_preferredDuringSchedulingIgnoredDuringExecution))
		if (affinity_term_match(node_get(pref, F_preference), n))
			sum += node_int(node_get(pref, F_weight), 0);
	return sum;
}
