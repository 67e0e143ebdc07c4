/*
 * Node affinity and tolerations, after component-helpers' nodeaffinity and
 * corev1.Toleration.ToleratesTaint.
 */
#include "schema/placement.h"

static const char *place_label(const void *root, const char *key)
{
	return meta_label(root, key);
}

struct place place_of(const struct node *root)
{
	return (struct place){ meta_name(root), place_label, root };
}

/* --- affinity --- */

static bool value_in(const struct node *values, const char *have)
{
	NODE_FOREACH(v, values)
		if (node_streq(v, have))
			return true;
	return false;
}

static bool expression_holds(const struct node *x, const char *have)
{
	const char *op = node_gets(x, F_operator);
	const struct node *values = node_get(x, F_values);
	int64_t a, b;

	if (streq(op, "Exists"))
		return have != NULL;
	if (streq(op, "DoesNotExist"))
		return have == NULL;
	if (streq(op, "NotIn"))
		return !have || !value_in(values, have);
	if (!have)
		return false;
	if (streq(op, "In"))
		return value_in(values, have);
	if (!str_to_i64(str_of(have), &a) || !str_to_i64(node_str(node_first(values)), &b))
		return false;
	return streq(op, "Gt") ? a > b : streq(op, "Lt") && a < b;
}

bool place_matches_term(const struct place *p, const struct node *term)
{
	const struct node *exprs = node_get(term, F_matchExpressions), *fields = node_get(term, F_matchFields);

	if (!node_count(exprs) && !node_count(fields))
		return false;
	NODE_FOREACH(x, exprs)
		if (!expression_holds(x, p->label(p->labels, node_gets(x, F_key))))
			return false;
	NODE_FOREACH(x, fields)
		if (!expression_holds(x, node_streq(node_get(x, F_key), "metadata.name") ? p->name : NULL))
			return false;
	return true;
}

bool place_matches(const struct place *p, const struct node *node_selector)
{
	NODE_FOREACH(term, node_get(node_selector, F_nodeSelectorTerms))
		if (place_matches_term(p, term))
			return true;
	return false;
}

bool place_suits(const struct place *p, const struct node *pod_spec)
{
	const struct node *required = node_path(pod_spec, F_affinity, F_nodeAffinity,
						F_requiredDuringSchedulingIgnoredDuringExecution);

	NODE_FOREACH(want, node_get(pod_spec, F_nodeSelector))
	{
		const char *have = p->label(p->labels, want->key);

		if (!have || !node_streq(want, have))
			return false;
	}
	return !required || place_matches(p, required);
}

/* --- taints --- */

struct taint taint_of(const struct node *taint)
{
	return (struct taint){ node_gets(taint, F_key), node_gets(taint, F_value), node_gets(taint, F_effect) };
}

static bool toleration_covers(const struct node *t, const struct taint *taint)
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

const struct node *taint_toleration(const struct taint *taint, const struct node *tolerations)
{
	NODE_FOREACH(t, tolerations)
		if (toleration_covers(t, taint))
			return t;
	return NULL;
}

bool taint_tolerated(const struct taint *taint, const struct node *tolerations)
{
	return taint_toleration(taint, tolerations) != NULL;
}
