/*
 * PodTopologySpread: hard constraints as a filter, soft ones as a score. A pod
 * without constraints that has an owner is spread by Kubernetes' defaults
 * (maxSkew 3 over nodes, 5 over zones, soft), together with the other pods of
 * that owner.
 */
#include <math.h>

#include "sched/internal.h"

#define SPREAD_HOST "kubernetes.io/hostname"
#define SPREAD_ZONE "topology.kubernetes.io/zone"

/* --- which nodes count --- */

static bool spread_eligible(const struct sched_cycle *c, const struct rule_spread *r, const struct sched_node *n)
{
	if (r->honor_affinity && !place_suits(&n->place, c->spec))
		return false;
	return !r->honor_taints || taints_tolerated(n, node_get(c->spec, F_tolerations));
}

/* Has the node all keys of the constraints of one sort? */
static bool spread_has_keys(const struct rules *r, bool hard, const struct sched_node *n)
{
	for (size_t i = 0; i < r->spread.n; i++)
		if (r->spread.v[i].hard == hard && !labels_get(&n->labels, r->spread.v[i].key))
			return false;
	return true;
}

static bool spread_any(const struct sched_cycle *c, bool hard)
{
	for (size_t i = 0; c->p->rules && i < c->p->rules->spread.n; i++)
		if (c->p->rules->spread.v[i].hard == hard)
			return true;
	return false;
}

/* --- the filter --- */

static void spread_count_node(struct sched_cycle *c, const struct sched_node *n)
{
	const struct rules *r = c->p->rules;

	if (!spread_has_keys(r, true, n))
		return;
	for (size_t i = 0; i < r->spread.n; i++) {
		const struct rule_spread *s = &r->spread.v[i];

		if (s->hard && spread_eligible(c, s, n))
			counts_add(&c->spread.of[i], s->key, labels_get(&n->labels, s->key), 0);
	}
}

static void spread_count_pod(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign)
{
	const struct rules *r = c->p->rules;

	if (other->in != c->p->in || !n->there || !spread_has_keys(r, true, n))
		return;
	for (size_t i = 0; i < r->spread.n; i++) {
		const struct rule_spread *s = &r->spread.v[i];

		if (s->hard && labels_match(&other->labels, s->selector) && spread_eligible(c, s, n))
			counts_add(&c->spread.of[i], s->key, labels_get(&n->labels, s->key), sign);
	}
}

bool filter_spread_prepare(struct sched_cycle *c)
{
	struct sched_pod *other;

	if (!spread_any(c, true))
		return false;
	c->spread.n = c->p->rules->spread.n;
	c->spread.of = xcalloc(c->spread.n, sizeof(*c->spread.of));
	for (size_t i = 0; i < c->s->nodes.n; i++)
		spread_count_node(c, c->s->nodes.v[i]);
	TAILQ_FOREACH(other, &c->p->in->pods, in_link)
		if (!other->deleting)
			spread_count_pod(c, other, other->on, 1);
	return true;
}

void filter_spread_count(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign)
{
	if (!other->deleting)
		spread_count_pod(c, other, n, sign);
}

SCHED_FILTER(filter_spread)
{
	const struct rules *r = c->p->rules;

	for (size_t i = 0; i < r->spread.n; i++) {
		const struct rule_spread *s = &r->spread.v[i];
		const char *value;
		size_t domains;
		int64_t min, self;

		if (!s->hard)
			continue;
		value = labels_get(&n->labels, s->key);
		if (!value) {
			*hopeless = true;
			return "node(s) didn't match pod topology spread constraints (missing required label)";
		}
		min = counts_min(c->spread.of[i], s->key, &domains);
		if ((int64_t)domains < s->min_domains)
			min = 0;
		self = labels_match(&c->p->labels, s->selector);
		if (counts_get(c->spread.of[i], s->key, value) + self - min > s->max_skew)
			return "node(s) didn't match pod topology spread constraints";
	}
	return NULL;
}

void filter_spread_done(struct sched_cycle *c)
{
	size_t soft = c->p->rules ? c->p->rules->spread.n : 0;

	for (size_t i = 0; c->spread.of && i < c->spread.n; i++)
		counts_free(c->spread.of[i]);
	for (size_t i = 0; c->spread.soft && i < (soft ? soft : 2); i++)
		counts_free(c->spread.soft[i]);
	free(c->spread.of);
	free(c->spread.soft);
	free(c->spread.weight);
	free(c->spread.ignored);
	free(c->spread.owned_on);
}

/* --- the score --- */

static struct rule_spread spread_default[] = {
	{ .key = (char *)SPREAD_HOST, .max_skew = 3, .honor_affinity = true },
	{ .key = (char *)SPREAD_ZONE, .max_skew = 5, .honor_affinity = true },
};

/* The soft constraints that hold for the pod: its own, else the default ones. */
static const struct rule_spread *spread_soft(const struct sched_cycle *c, size_t *n, bool *own)
{
	*own = c->p->rules && c->p->rules->spread.n;
	*n = *own ? c->p->rules->spread.n : ARRAY_SIZE(spread_default);
	return *own ? c->p->rules->spread.v : spread_default;
}

static bool spread_is_sibling(const struct sched_cycle *c, const struct rule_spread *r, const struct sched_pod *other)
{
	if (other->deleting || other->in != c->p->in)
		return false;
	return labels_match(&other->labels, r->selector);
}

/* The default constraints: pods of one owner, who knows how many are where. */
static void spread_count_owned(struct sched_cycle *c)
{
	const struct sched_owner *o = c->p->owner;

	c->spread.owned_on = xcalloc(c->s->nodes.n, sizeof(*c->spread.owned_on));
	for (size_t i = 0; i < o->on.n; i++)
		if (o->on.v[i].node->there)
			c->spread.owned_on[o->on.v[i].node->at] = o->on.v[i].n;
}

static int64_t spread_siblings_on(const struct sched_cycle *c, const struct rule_spread *r, const struct sched_node *n)
{
	const struct sched_pod *other;
	int64_t count = 0;

	if (c->spread.owned_on)
		return c->spread.owned_on[n->at];
	TAILQ_FOREACH(other, &n->pods, on_link)
		count += spread_is_sibling(c, r, other);
	return count;
}

static void spread_soft_count_on(struct sched_cycle *c, size_t i, const struct rule_spread *r, bool own,
				 const struct sched_node *n, int64_t count)
{
	const char *value = labels_get(&n->labels, r->key);

	if (value && n->there && spread_eligible(c, r, n) && (!own || spread_has_keys(c->p->rules, false, n)))
		counts_add(&c->spread.soft[i], r->key, value, count);
}

static void spread_soft_count(struct sched_cycle *c, size_t i, const struct rule_spread *r, bool own)
{
	const struct sched_owner *o = c->p->owner;
	struct sched_pod *other;

	if (own)
		TAILQ_FOREACH(other, &c->p->in->pods, in_link)
			if (spread_is_sibling(c, r, other))
				spread_soft_count_on(c, i, r, own, other->on, 1);
	for (size_t k = 0; !own && k < o->on.n; k++)
		spread_soft_count_on(c, i, r, own, o->on.v[k].node, o->on.v[k].n);
}

/* How many different values the nodes have: a rarer difference weighs more. */
static double spread_weight(struct sched_cycle *c, const struct rule_spread *r, struct sched_node *const *fit, size_t n)
{
	struct counts *seen = NULL;
	size_t different = 0;

	for (size_t i = 0; i < n; i++) {
		const char *value = labels_get(&fit[i]->labels, r->key);

		if (c->spread.ignored[i])
			continue;
		if (streq(r->key, SPREAD_HOST))
			different++;
		else if (value)
			counts_add(&seen, r->key, value, 1);
	}
	if (!streq(r->key, SPREAD_HOST))
		counts_min(seen, r->key, &different);
	counts_free(seen);
	return log((double)different + 2);
}

SCHED_SCORE_PREPARE(score_spread_prepare)
{
	size_t n_rules;
	bool own;
	const struct rule_spread *r = spread_soft(c, &n_rules, &own);

	if (own ? !spread_any(c, false) : !c->p->owner)
		return false;
	c->spread.soft = xcalloc(n_rules, sizeof(*c->spread.soft));
	c->spread.weight = xcalloc(n_rules, sizeof(*c->spread.weight));
	c->spread.ignored = xcalloc(n, sizeof(*c->spread.ignored));
	if (!own)
		spread_count_owned(c);
	for (size_t i = 0; i < n; i++)
		c->spread.ignored[i] = own && !spread_has_keys(c->p->rules, false, fit[i]);
	for (size_t i = 0; i < n_rules; i++) {
		if (r[i].hard)
			continue;
		c->spread.weight[i] = spread_weight(c, &r[i], fit, n);
		if (!streq(r[i].key, SPREAD_HOST))
			spread_soft_count(c, i, &r[i], own);
	}
	return true;
}

SCHED_SCORE(score_spread)
{
	size_t n_rules;
	bool own;
	const struct rule_spread *r = spread_soft(c, &n_rules, &own);
	double score = 0;

	if (c->spread.ignored[at])
		return -1;
	for (size_t i = 0; i < n_rules; i++) {
		const char *value = labels_get(&n->labels, r[i].key);
		int64_t count;

		if (r[i].hard || !value)
			continue;
		count = streq(r[i].key, SPREAD_HOST) ? spread_siblings_on(c, &r[i], n)
						     : counts_get(c->spread.soft[i], r[i].key, value);
		score += (double)count * c->spread.weight[i] + (double)(r[i].max_skew - 1);
	}
	return llround(score);
}
