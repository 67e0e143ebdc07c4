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

struct aggregate {
	struct doc *d;
	struct node *rules; /* of d */
	struct map *seen; /* a rule's text: roles may be large, this must not be quadratic */
	struct buf text; /* of the moment */
};

static void aggregate_add(struct aggregate *a, const struct node *rules)
{
	NODE_FOREACH(rule, rules) {
		buf_clear(&a->text);
		doc_print_json(&a->text, rule, DOC_PRINT_SORTED);
		if (map_get(a->seen, buf_str(&a->text)))
			continue;
		map_set(a->seen, buf_str(&a->text), a);
		node_append(a->rules, node_copy(a->d, rule));
	}
}

/* The rules of all that one selector chooses, but not of the role itself. */
static int aggregate_selector(struct aggregate *a, struct informer *roles, const char *name,
			      const struct node *selector, struct err *e)
{
	struct selector *s;

	if (selector_from_node(&s, selector, e) < 0)
		return -e->code;
	for (struct obj *o = informer_next(roles, "", NULL); o; o = informer_next(roles, "", o))
		if (!streq(o->name, name) && selector_match(s, meta_labels(obj_node(o))))
			aggregate_add(a, node_get(obj_node(o), F_rules));
	selector_free(s);
	return 0;
}

static int aggregate_all(struct aggregate *a, struct informer *roles, struct obj *o, const struct node *selectors,
			 struct err *e)
{
	int rc = 0;

	a->d = doc_clone(obj_doc(o));
	a->rules = node_set(a->d, doc_root(a->d), F_rules, node_new(a->d, DOC_ARRAY));
	a->seen = map_new(NULL);
	buf_init(&a->text);
	NODE_FOREACH(s, selectors)
		if (rc == 0)
			rc = aggregate_selector(a, roles, o->name, s, e);
	map_free(a->seen);
	buf_release(&a->text);
	return rc;
}

static int aggregate(struct informer *roles, struct obj *o, struct plan *out, struct err *e)
{
	const struct node *selectors = node_path(obj_node(o), F_aggregationRule, F_clusterRoleSelectors);
	const struct node *old = node_get(obj_node(o), F_rules);
	struct aggregate a = { 0 };
	int rc = 0;

	if (!node_count(selectors))
		return 0;
	rc = aggregate_all(&a, roles, o, selectors, e);
	if (rc == 0 && !node_equal(a.rules, old) && (node_count(a.rules) || node_count(old)))
		plan_update(out, o->res, "", o->name, NULL, doc_ref(a.d));
	doc_unref(a.d);
	return rc;
}

int clusterrole_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	for (struct obj *o = informer_next(v->of[0], "", NULL); o; o = informer_next(v->of[0], "", o))
		if (aggregate(v->of[0], o, out, e) < 0)
			return -e->code;
	return 0;
}
