/*
 * One look at the nodes for one pod: which of them fit, and the best of those.
 *
 * Of many nodes not all are looked at (kube-scheduler's percentageOfNodesToScore
 * by default): when enough fit, the search ends, and the next pod's begins where
 * this one's ended.
 */
#include <math.h>

#include "base/rand.h"
#include "sched/internal.h"

#define TRIAL_MIN_NODES 100 /* up to so many are all looked at */
#define TRIAL_MIN_PERCENT 5

/* --- the cycle --- */

void cycle_begin(struct sched_cycle *c, struct sched *s, struct sched_pod *p)
{
	*c = (struct sched_cycle){ .s = s, .p = p, .spec = node_get(obj_node(p->obj), F_spec), .scratch = BUF_INIT };
	for (size_t i = 0; i < sched_n_filters && !c->nowhere; i++)
		if (!sched_filters[i].prepare || sched_filters[i].prepare(c))
			c->on |= 1u << i;
}

void cycle_end(struct sched_cycle *c)
{
	for (size_t i = 0; i < sched_n_filters; i++)
		if (sched_filters[i].done)
			sched_filters[i].done(c);
	buf_release(&c->scratch);
	free(c->nowhere);
}

static void cycle_count(struct sched_cycle *c, const struct sched_pod *p, const struct sched_node *n, int sign)
{
	for (size_t i = 0; i < sched_n_filters; i++)
		if ((c->on & (1u << i)) && sched_filters[i].count)
			sched_filters[i].count(c, p, n, sign);
}

void cycle_place(struct sched_cycle *c, struct sched_pod *p, struct sched_node *n)
{
	sched_place(p, n);
	cycle_count(c, p, n, 1);
}

void cycle_unplace(struct sched_cycle *c, struct sched_pod *p)
{
	cycle_count(c, p, p->on, -1);
	sched_unplace(p);
}

/* --- filters --- */

void trial_reason(struct sched_trial *t, struct str text)
{
	struct sched_reason fresh;

	for (size_t i = 0; i < t->reasons.n; i++)
		if (str_eqc(text, t->reasons.v[i].text)) {
			t->reasons.v[i].nodes++;
			return;
		}
	fresh = (struct sched_reason){ str_dup(text), 1 };
	VEC_PUSH(&t->reasons, fresh);
}

static void trial_turned_away(struct sched_trial *t, struct sched_node *n, const char *why, bool hopeless,
			      unsigned helped_by)
{
	struct str rest = str_of(why);

	while (rest.p)
		trial_reason(t, str_cut(&rest, '\n'));
	if (!hopeless)
		VEC_PUSH(&t->hopeful, n);
	t->helped_by |= helped_by;
}

static bool trial_filters(struct sched_cycle *c, struct sched_node *n, struct sched_trial *t)
{
	for (size_t i = 0; i < sched_n_filters; i++) {
		bool hopeless = false;
		const char *why;

		if (!(c->on & (1u << i)))
			continue;
		why = sched_filters[i].run(c, n, &hopeless);
		if (!why)
			continue;
		if (t)
			trial_turned_away(t, n, why, hopeless, sched_filters[i].helped_by);
		return false;
	}
	return true;
}

/* The pods that are nominated for n, and not less important than ours, as if they were there: how many. */
static size_t trial_add_nominated(struct sched_cycle *c, struct sched_node *n)
{
	struct sched_pod *p;
	size_t added = 0;

	TAILQ_FOREACH(p, &n->nominated, nominated_link)
		if (p != c->p && !p->on && p->priority >= c->p->priority) {
			cycle_place(c, p, n);
			added++;
		}
	return added;
}

static void trial_drop_nominated(struct sched_cycle *c, struct sched_node *n)
{
	struct sched_pod *p;

	TAILQ_FOREACH(p, &n->nominated, nominated_link)
		if (p->on) /* who is placed for good is nominated no longer */
			cycle_unplace(c, p);
}

bool trial_fits(struct sched_cycle *c, struct sched_node *n, struct sched_trial *t)
{
	bool fits;

	if (TAILQ_EMPTY(&n->nominated))
		return trial_filters(c, n, t);
	if (trial_add_nominated(c, n)) {
		fits = trial_filters(c, n, t);
		trial_drop_nominated(c, n);
		if (!fits)
			return false;
	}
	return trial_filters(c, n, t); /* those that are nominated may be what others ask to be near to */
}

/* How many nodes that fit are enough. */
static size_t trial_enough(size_t nodes)
{
	int64_t percent = 50 - (int64_t)nodes / 125;
	size_t n;

	if (nodes <= TRIAL_MIN_NODES)
		return nodes;
	n = nodes * (size_t)(percent < TRIAL_MIN_PERCENT ? TRIAL_MIN_PERCENT : percent) / 100;
	return n < TRIAL_MIN_NODES ? TRIAL_MIN_NODES : n;
}

static void trial_nowhere(struct sched_cycle *c, struct sched_trial *t)
{
	struct sched_reason r = { xstrdup(c->nowhere), 0 };

	t->nodes = (int64_t)c->s->nodes.n;
	t->helped_by = ~0u;
	VEC_PUSH(&t->reasons, r);
}

void trial_look(struct sched_cycle *c, struct sched_trial *t)
{
	struct sched *s = c->s;
	size_t all = s->nodes.n, enough = trial_enough(all), i;

	t->nodes = (int64_t)all;
	if (c->nowhere) {
		trial_nowhere(c, t);
		return;
	}
	if (c->p->nominated && c->p->nominated->there && trial_fits(c, c->p->nominated, NULL)) {
		VEC_PUSH(&t->fit, c->p->nominated);
		return;
	}
	for (i = 0; i < all && t->fit.n < enough; i++) {
		struct sched_node *n = s->nodes.v[(s->next_node + i) % all];

		if (trial_fits(c, n, t))
			VEC_PUSH(&t->fit, n);
	}
	if (all)
		s->next_node = (s->next_node + i) % all;
}

void trial_release(struct sched_trial *t)
{
	for (size_t i = 0; i < t->reasons.n; i++)
		free(t->reasons.v[i].text);
	VEC_RELEASE(&t->reasons);
	VEC_RELEASE(&t->fit);
	VEC_RELEASE(&t->hopeful);
}

/* --- scores --- */

static int64_t trial_scaled(enum score_scale scale, int64_t v, int64_t min, int64_t max)
{
	switch (scale) {
	case SCORE_HIGH_BEST:
		return max ? v * 100 / max : 0;
	case SCORE_LOW_BEST:
		return max ? 100 - v * 100 / max : 100;
	case SCORE_RANGE:
		return max > min ? (int64_t)(100.0 * (double)(v - min) / (double)(max - min)) : 0;
	case SCORE_SPREAD:
		return v < 0 ? 0 : max ? 100 * (max + min - v) / max : 100;
	default:
		return v;
	}
}

static void trial_score(struct sched_cycle *c, const struct sched_score *sc, const struct sched_trial *t, int64_t *total,
			int64_t *one)
{
	bool from_zero = sc->scale != SCORE_SPREAD; /* as kube-scheduler's affinity score has it */
	int64_t min = from_zero ? 0 : INT64_MAX, max = 0;

	for (size_t i = 0; i < t->fit.n; i++) {
		one[i] = sc->run(c, t->fit.v[i], i);
		if (one[i] < 0 && !from_zero)
			continue;
		max = one[i] > max ? one[i] : max;
		min = one[i] < min ? one[i] : min;
	}
	for (size_t i = 0; i < t->fit.n; i++)
		total[i] += sc->weight * trial_scaled(sc->scale, one[i], min, max);
}

/* The k-th of those with the best total. */
static size_t trial_pick(const int64_t *total, size_t n, int64_t best, size_t k)
{
	size_t i = 0;

	while (i < n && (total[i] != best || k--))
		i++;
	return i;
}

/* Among equals any, by chance: asked for once, as it costs a system call. */
struct sched_node *trial_best(struct sched_cycle *c, const struct sched_trial *t)
{
	_cleanup_free_ int64_t *total = NULL, *one = NULL;
	int64_t best;
	size_t equals = 1;

	if (t->fit.n == 1)
		return t->fit.v[0];
	total = xcalloc(t->fit.n, sizeof(int64_t));
	one = xcalloc(t->fit.n, sizeof(int64_t));
	for (size_t k = 0; k < sched_n_scores; k++)
		if (!sched_scores[k].prepare || sched_scores[k].prepare(c, t->fit.v, t->fit.n))
			trial_score(c, &sched_scores[k], t, total, one);
	best = total[0];
	for (size_t i = 1; i < t->fit.n; i++) {
		if (total[i] == best) {
			equals++;
		} else if (total[i] > best) {
			best = total[i];
			equals = 1;
		}
	}
	return t->fit.v[trial_pick(total, t->fit.n, best, equals > 1 ? rand_below(equals) : 0)];
}
