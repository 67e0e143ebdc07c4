/*
 * ClusterRoles with an aggregationRule have the rules of all ClusterRoles that
 * its selectors choose: selector by selector, roles in order of their names, each
 * rule once (Kubernetes' clusterrole-aggregation controller). A change of any
 * ClusterRole looks at all of those.
 */
#include "ctl/internal.h"

/* Those that gather rules may be touched by any: one key stands for all of them. */
void clusterrole_key(struct obj *o, struct buf *out)
{
	buf_adds(out, "all");
}

static bool rule_is_in(const struct node *rules, const struct node *rule)
{
	NODE_FOREACH(r, rules)
		if (node_equal(r, rule))
			return true;
	return false;
}

static void aggregate_add(struct doc *d, struct node *to, const struct node *rules)
{
	NODE_FOREACH(rule, rules)
		if (!rule_is_in(to, rule))
			node_append(to, node_copy(d, rule));
}

/* The rules of all that one selector chooses, but not of the role itself. */
static int aggregate_selector(struct informer *roles, const char *name, const struct node *selector, struct doc *d,
			      struct node *to, struct err *e)
{
	struct selector *s;

	if (selector_from_node(&s, selector, e) < 0)
		return -e->code;
	for (struct obj *o = informer_next(roles, "", NULL); o; o = informer_next(roles, "", o))
		if (!streq(o->name, name) && selector_match(s, meta_labels(obj_node(o))))
			aggregate_add(d, to, node_get(obj_node(o), F_rules));
	selector_free(s);
	return 0;
}

static int aggregate(struct informer *roles, struct obj *o, struct plan *out, struct err *e)
{
	const struct node *selectors = node_path(obj_node(o), F_aggregationRule, F_clusterRoleSelectors);
	_cleanup_doc_ struct doc *d = NULL;
	struct node *rules;

	if (!node_count(selectors))
		return 0;
	d = doc_clone(obj_doc(o));
	rules = node_set(d, doc_root(d), F_rules, node_new(d, DOC_ARRAY));
	NODE_FOREACH(s, selectors)
		if (aggregate_selector(roles, o->name, s, d, rules, e) < 0)
			return -e->code;
	if (node_equal(rules, node_get(obj_node(o), F_rules)) ||
	    (!node_count(rules) && !node_count(node_get(obj_node(o), F_rules))))
		return 0;
	plan_update(out, o->res, "", o->name, NULL, take_ptr(&d));
	return 0;
}

int clusterrole_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	for (struct obj *o = informer_next(v->of[0], "", NULL); o; o = informer_next(v->of[0], "", o))
		if (aggregate(v->of[0], o, out, e) < 0)
			return -e->code;
	return 0;
}
