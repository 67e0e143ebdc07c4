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

bool node_selector_term_match(const struct node *term, struct obj *node)
{
	const struct node *exprs = node_get(term, F_matchExpressions), *fields = node_get(term, F_matchFields);

	if (!node_count(exprs) && !node_count(fields))
		return false; /* an empty term matches nothing */
	NODE_FOREACH(x, exprs)
		if (!affinity_expression(x, meta_label(obj_node(node), node_gets(x, F_key))))
			return false;
	NODE_FOREACH(x, fields)
		if (!affinity_expression(x, streq(node_gets(x, F_key), "metadata.name") ? node->name : NULL))
			return false;
	return true;
}

static bool affinity_required(const struct node *spec, struct obj *node)
{
	const struct node *required =
		node_path(spec, F_affinity, F_nodeAffinity, F_requiredDuringSchedulingIgnoredDuringExecution);

	NODE_FOREACH(want, node_get(spec, F_nodeSelector))
	{
		const char *have = meta_label(obj_node(node), want->key);

		if (!have || !node_streq(want, have))
			return false;
	}
	if (!required)
		return true;
	NODE_FOREACH(term, node_get(required, F_nodeSelectorTerms))
		if (node_selector_term_match(term, node))
			return true;
	return false;
}

const char *filter_affinity(const struct sched_pod *p, const struct sched_node *n, struct buf *scratch, bool *hopeless)
{
	*hopeless = true;
	return affinity_required(node_get(obj_node(p->obj), F_spec), n->obj)
		       ? NULL
		       : "node(s) didn't match Pod's node affinity/selector";
}

int64_t score_affinity(const struct sched_pod *p, const struct sched_node *n)
{
	int64_t sum = 0;

	NODE_FOREACH(pref, node_path(obj_node(p->obj), F_spec, F_affinity, F_nodeAffinity,
				     F_preferredDuringSchedulingIgnoredDuringExecution))
		if (node_selector_term_match(node_get(pref, F_preference), n->obj))
			sum += node_int(node_get(pref, F_weight), 0);
	return sum;
}
