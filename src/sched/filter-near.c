/*
 * InterPodAffinity: where a pod must or must not be together with others, by
 * their labels and by a topology key; required terms as a filter, preferred ones
 * as a score. The required anti-affinity of pods that are placed already holds
 * against newcomers too, and what they would like counts in the score.
 */
#include "sched/internal.h"

/* kube-scheduler's hardPodAffinityWeight */
#define NEAR_HARD_WEIGHT 1

static void near_count_terms(struct counts **counts, const struct rule_terms *terms, const struct sched_pod *meant,
			     const struct sched_node *n, int64_t sign)
{
	for (size_t i = 0; i < terms->list.n; i++) {
		const struct rule_term *t = &terms->list.v[i];
		const char *value = labels_get(&n->labels, t->key);

		if (value && rule_means(t, meant))
			counts_add(counts, t->key, value, sign * (t->weight ? t->weight : NEAR_HARD_WEIGHT));
	}
}

/* Pods that all terms of our affinity mean, for each of their keys. */
static void near_count_near(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign)
{
	const struct rule_terms *near = &c->p->rules->near;

	if (!pod_rules_mean(near, other))
		return;
	for (size_t i = 0; i < near->list.n; i++) {
		const char *value = labels_get(&n->labels, near->list.v[i].key);

		if (value)
			counts_add(&c->near.near, near->list.v[i].key, value, sign);
	}
}

static void near_key(struct sched_cycle *c, const char *key)
{
	for (size_t i = 0; i < c->near.kept_off_keys.n; i++)
		if (streq(c->near.kept_off_keys.v[i], key))
			return;
	VEC_PUSH(&c->near.kept_off_keys, key);
}

static void near_count_kept_off(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n,
				int sign)
{
	const struct rule_terms *apart = &other->rules->apart;

	near_count_terms(&c->near.kept_off, apart, c->p, n, sign);
	for (size_t i = 0; i < apart->list.n; i++)
		if (rule_means(&apart->list.v[i], c->p))
			near_key(c, apart->list.v[i].key);
}

void filter_near_count(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign)
{
	if (!n->there)
		return;
	if (other->rules && other->rules->apart.list.n)
		near_count_kept_off(c, other, n, sign);
	if (!c->p->rules)
		return;
	near_count_near(c, other, n, sign);
	near_count_terms(&c->near.apart, &c->p->rules->apart, other, n, sign);
}

static void near_all_pods(struct sched_cycle *c,
			  void (*f)(struct sched_cycle *c, const struct sched_pod *p, const struct sched_node *n))
{
	struct map_iter it = { 0 };
	struct sched_pod *p;

	while (map_next(c->s->by_ns, &it))
		TAILQ_FOREACH(p, &((struct sched_namespace *)it.value)->pods, in_link)
			if (p->on->there)
				f(c, p, p->on);
}

static void near_count_ours(struct sched_cycle *c, const struct sched_pod *p, const struct sched_node *n)
{
	near_count_near(c, p, n, 1);
	near_count_terms(&c->near.apart, &c->p->rules->apart, p, n, 1);
}

bool filter_near_prepare(struct sched_cycle *c)
{
	const struct rules *r = c->p->rules;
	bool ours = r && (r->near.list.n || r->apart.list.n);
	struct sched_pod *p;

	TAILQ_FOREACH(p, &c->s->with_rules, rules_link)
		if (p->on->there && p->rules->apart.list.n)
			near_count_kept_off(c, p, p->on, 1);
	if (ours)
		near_all_pods(c, near_count_ours);
	return ours || c->near.kept_off;
}

static bool near_kept_off(const struct sched_cycle *c, const struct sched_node *n)
{
	for (size_t i = 0; i < c->near.kept_off_keys.n; i++) {
		const char *key = c->near.kept_off_keys.v[i], *value = labels_get(&n->labels, key);

		if (value && counts_get(c->near.kept_off, key, value) > 0)
			return true;
	}
	return false;
}

/* The first of a group that wants to be together: nobody is there yet, and it would do itself. */
static bool near_is_first(const struct sched_cycle *c)
{
	return counts_all_zero(c->near.near) && pod_rules_mean(&c->p->rules->near, c->p);
}

static bool near_satisfied(const struct sched_cycle *c, const struct sched_node *n)
{
	const struct rule_terms *near = &c->p->rules->near;
	bool all = true;

	for (size_t i = 0; i < near->list.n; i++) {
		const char *value = labels_get(&n->labels, near->list.v[i].key);

		if (!value)
			return false;
		all = all && counts_get(c->near.near, near->list.v[i].key, value) > 0;
	}
	return all || near_is_first(c);
}

static bool near_too_close(const struct sched_cycle *c, const struct sched_node *n)
{
	const struct rule_terms *apart = &c->p->rules->apart;

	for (size_t i = 0; i < apart->list.n; i++) {
		const char *value = labels_get(&n->labels, apart->list.v[i].key);

		if (value && counts_get(c->near.apart, apart->list.v[i].key, value) > 0)
			return true;
	}
	return false;
}

SCHED_FILTER(filter_near)
{
	if (c->p->rules && !near_satisfied(c, n)) {
		*hopeless = true;
		return "node(s) didn't match pod affinity rules";
	}
	if (c->p->rules && near_too_close(c, n))
		return "node(s) didn't match pod anti-affinity rules";
	return near_kept_off(c, n) ? "node(s) didn't satisfy existing pods anti-affinity rules" : NULL;
}

void filter_near_done(struct sched_cycle *c)
{
	counts_free(c->near.kept_off);
	counts_free(c->near.near);
	counts_free(c->near.apart);
	counts_free(c->near.score);
	VEC_RELEASE(&c->near.kept_off_keys);
	VEC_RELEASE(&c->near.score_keys);
}

/* --- the score --- */

static void near_score_theirs(struct sched_cycle *c, const struct sched_pod *p, const struct sched_node *n)
{
	near_count_terms(&c->near.score, &p->rules->near, c->p, n, 1);
	near_count_terms(&c->near.score, &p->rules->like_near, c->p, n, 1);
	near_count_terms(&c->near.score, &p->rules->like_apart, c->p, n, -1);
}

static void near_score_ours(struct sched_cycle *c, const struct sched_pod *p, const struct sched_node *n)
{
	near_count_terms(&c->near.score, &c->p->rules->like_near, p, n, 1);
	near_count_terms(&c->near.score, &c->p->rules->like_apart, p, n, -1);
}

static void near_score_key(struct sched_cycle *c, const struct rule_terms *terms)
{
	for (size_t i = 0; i < terms->list.n; i++) {
		bool known = false;

		for (size_t k = 0; k < c->near.score_keys.n; k++)
			known = known || streq(c->near.score_keys.v[k], terms->list.v[i].key);
		if (!known)
			VEC_PUSH(&c->near.score_keys, terms->list.v[i].key);
	}
}

static void near_score_keys(struct sched_cycle *c, const struct rules *r)
{
	near_score_key(c, &r->near);
	near_score_key(c, &r->like_near);
	near_score_key(c, &r->like_apart);
}

SCHED_SCORE_PREPARE(score_near_prepare)
{
	const struct rules *r = c->p->rules;
	struct sched_pod *p;

	TAILQ_FOREACH(p, &c->s->with_rules, rules_link)
		if (p->on->there) {
			near_score_theirs(c, p, p->on);
			near_score_keys(c, p->rules);
		}
	if (r && (r->like_near.list.n || r->like_apart.list.n)) {
		near_all_pods(c, near_score_ours);
		near_score_keys(c, r);
	}
	return c->near.score != NULL;
}

SCHED_SCORE(score_near)
{
	int64_t sum = 0;

	for (size_t i = 0; i < c->near.score_keys.n; i++) {
		const char *value = labels_get(&n->labels, c->near.score_keys.v[i]);

		if (value)
			sum += counts_get(c->near.score, c->near.score_keys.v[i], value);
	}
	return sum;
}
