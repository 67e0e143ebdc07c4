/*
 * What a pod's spec says of other pods, compiled once when the pod is seen: pod
 * affinity and anti-affinity, topology spread constraints. What matchLabelKeys and
 * mismatchLabelKeys name is in the selectors already (schema/strategy.c).
 */
#include "sched/internal.h"

static struct selector *rule_selector(const struct node *n)
{
	struct selector *s = NULL;
	struct err e = ERR_INIT;

	if (selector_from_node(&s, n, &e) < 0) {
		err_release(&e);
		return selector_from_map(NULL); /* nothing: validation lets no such pod in */
	}
	return s;
}

static void rule_term_read(struct rule_terms *out, const struct node *root, const struct node *term, int64_t weight)
{
	const struct node *names = node_get(term, F_namespaces), *by = node_get(term, F_namespaceSelector);
	struct rule_term t = { .weight = weight };

	t.selector = rule_selector(node_get(term, F_labelSelector));
	t.key = xstrdup(node_gets(term, F_topologyKey));
	if (by)
		t.namespaces_by = rule_selector(by);
	NODE_FOREACH(name, names)
		VEC_PUSH(&t.namespaces, xstrdup(node_cstr_or(name, "")));
	if (!node_count(names) && !by)
		VEC_PUSH(&t.namespaces, xstrdup(meta_ns(root)));
	VEC_PUSH(&out->list, t);
}

static void rule_terms_read(struct rule_terms *required, struct rule_terms *preferred, const struct node *root,
			    const struct node *affinity)
{
	NODE_FOREACH(term, node_get(affinity, F_requiredDuringSchedulingIgnoredDuringExecution))
		rule_term_read(required, root, term, 0);
	NODE_FOREACH(pref, node_get(affinity, F_preferredDuringSchedulingIgnoredDuringExecution))
		rule_term_read(preferred, root, node_get(pref, F_podAffinityTerm), node_int(node_get(pref, F_weight), 0));
}

static void rule_spread_read(struct rules *r, const struct node *c)
{
	struct rule_spread s = {
		.selector = rule_selector(node_get(c, F_labelSelector)),
		.key = xstrdup(node_gets(c, F_topologyKey)),
		.max_skew = node_int(node_get(c, F_maxSkew), 1),
		.min_domains = node_int(node_get(c, F_minDomains), 1),
		.hard = !node_streq(node_get(c, F_whenUnsatisfiable), "ScheduleAnyway"),
		.honor_affinity = !node_streq(node_get(c, F_nodeAffinityPolicy), "Ignore"),
		.honor_taints = node_streq(node_get(c, F_nodeTaintsPolicy), "Honor"),
	};

	VEC_PUSH(&r->spread, s);
}

struct rules *pod_rules_read(const struct node *root)
{
	const struct node *spec = node_get(root, F_spec), *affinity = node_get(spec, F_affinity);
	const struct node *near = node_get(affinity, F_podAffinity), *apart = node_get(affinity, F_podAntiAffinity);
	struct rules *r;

	if (!near && !apart && !node_count(node_get(spec, F_topologySpreadConstraints)))
		return NULL;
	r = xcalloc(1, sizeof(*r));
	rule_terms_read(&r->near, &r->like_near, root, near);
	rule_terms_read(&r->apart, &r->like_apart, root, apart);
	NODE_FOREACH(c, node_get(spec, F_topologySpreadConstraints))
		rule_spread_read(r, c);
	return r;
}

static void rule_terms_release(struct rule_terms *all)
{
	for (size_t i = 0; i < all->list.n; i++) {
		struct rule_term *t = &all->list.v[i];

		for (size_t k = 0; k < t->namespaces.n; k++)
			free(t->namespaces.v[k]);
		VEC_RELEASE(&t->namespaces);
		selector_free(t->selector);
		selector_free(t->namespaces_by);
		free(t->key);
	}
	VEC_RELEASE(&all->list);
}

struct rules *pod_rules_free(struct rules *r)
{
	if (!r)
		return NULL;
	rule_terms_release(&r->near);
	rule_terms_release(&r->apart);
	rule_terms_release(&r->like_near);
	rule_terms_release(&r->like_apart);
	for (size_t i = 0; i < r->spread.n; i++) {
		selector_free(r->spread.v[i].selector);
		free(r->spread.v[i].key);
	}
	VEC_RELEASE(&r->spread);
	free(r);
	return NULL;
}

static bool rule_means_namespace(const struct rule_term *t, const struct sched_namespace *ns)
{
	for (size_t i = 0; i < t->namespaces.n; i++)
		if (streq(t->namespaces.v[i], ns->name))
			return true;
	return t->namespaces_by && labels_match(&ns->labels, t->namespaces_by);
}

bool rule_means(const struct rule_term *t, const struct sched_pod *p)
{
	return rule_means_namespace(t, p->in) && labels_match(&p->labels, t->selector);
}

bool pod_rules_mean(const struct rule_terms *all, const struct sched_pod *p)
{
	for (size_t i = 0; i < all->list.n; i++)
		if (!rule_means(&all->list.v[i], p))
			return false;
	return all->list.n > 0;
}
