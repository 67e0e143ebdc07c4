/*
 * How many replicas each ReplicaSet of a Deployment is to have: the rolling
 * update within maxSurge and maxUnavailable, and proportional scaling when the
 * size is changed in the middle of one. Pure arithmetic on struct deployment.
 */
#include <math.h>
#include <stdlib.h>

#include "ctl/deployment.h"

static int64_t rollout_min(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

bool rollout_is_scaling(const struct deployment *d)
{
	for (size_t i = 0; i < d->sets.n; i++)
		if (d->sets.v[i].spec > 0 && d->sets.v[i].desired >= 0 && d->sets.v[i].desired != d->replicas)
			return true;
	return false;
}

/* --- scaling --- */

/* The only one with replicas; when none has any, the new one or the youngest. NULL: several have. */
static struct deployment_set *rollout_only(struct deployment *d)
{
	struct deployment_set *found = NULL;

	for (size_t i = 0; i < d->sets.n; i++) {
		if (d->sets.v[i].spec <= 0)
			continue;
		if (found)
			return NULL;
		found = &d->sets.v[i];
	}
	if (found || !d->sets.n)
		return found;
	return d->newest >= 0 ? deployment_new_set(d) : &d->sets.v[d->sets.n - 1];
}

static bool rollout_is_saturated(struct deployment *d)
{
	const struct deployment_set *s = deployment_new_set(d);

	return s && s->spec == d->replicas && s->desired == d->replicas && s->available == d->replicas;
}

/* What set's share of the change is, by its size before it. */
static int64_t rollout_fraction(const struct deployment *d, const struct deployment_set *s)
{
	int64_t before = s->max > 0 ? s->max : node_int(node_path(d->root, F_status, F_replicas), 0);

	if (d->replicas == 0)
		return -s->spec;
	if (before <= 0)
		return 0;
	return llround((double)(s->spec * (d->replicas + d->surge)) / (double)before) - s->spec;
}

static int64_t rollout_share(const struct deployment *d, const struct deployment_set *s, int64_t to_add, int64_t added)
{
	int64_t share, allowed = to_add - added;

	if (s->spec == 0 || to_add == 0 || allowed == 0)
		return 0;
	share = rollout_fraction(d, s);
	if (to_add > 0)
		return rollout_min(share, allowed);
	return share > allowed ? share : allowed;
}

/* The larger first; of equal ones the younger when growing, the older when shrinking. */
static int rollout_by_size(const struct deployment_set *a, const struct deployment_set *b, bool grow)
{
	int c;

	if (a->spec != b->spec)
		return a->spec > b->spec ? -1 : 1;
	c = a->created_s != b->created_s ? (a->created_s < b->created_s ? -1 : 1) : strcmp(a->obj->name, b->obj->name);
	return grow ? -c : c;
}

static int rollout_by_size_grow(const void *a, const void *b)
{
	return rollout_by_size(*(struct deployment_set *const *)a, *(struct deployment_set *const *)b, true);
}

static int rollout_by_size_shrink(const void *a, const void *b)
{
	return rollout_by_size(*(struct deployment_set *const *)a, *(struct deployment_set *const *)b, false);
}

static void rollout_proportional(struct deployment *d)
{
	_cleanup_free_ struct deployment_set **sets = xcalloc(d->sets.n + 1, sizeof(struct deployment_set *));
	int64_t to_add = (d->replicas > 0 ? d->replicas + d->surge : 0) - deployment_sum_spec(d), added = 0;
	size_t n = 0;

	for (size_t i = 0; i < d->sets.n; i++)
		if (d->sets.v[i].spec > 0)
			sets[n++] = &d->sets.v[i];
	qsort(sets, n, sizeof(*sets), to_add > 0 ? rollout_by_size_grow : rollout_by_size_shrink);
	for (size_t i = 0; i < n; i++) {
		int64_t share = rollout_share(d, sets[i], to_add, added);

		sets[i]->want = sets[i]->spec + share;
		added += share;
	}
	if (n && to_add) { /* what rounding left goes to the largest */
		sets[0]->want += to_add - added;
		if (sets[0]->want < 0)
			sets[0]->want = 0;
	}
}

void rollout_scale(struct deployment *d)
{
	struct deployment_set *only = rollout_only(d);

	if (only) {
		only->want = d->replicas;
	} else if (rollout_is_saturated(d)) {
		for (size_t i = 0; i < d->sets.n; i++)
			if ((ssize_t)i != d->newest)
				d->sets.v[i].want = 0;
	} else if (d->rolling) {
		rollout_proportional(d);
	}
}

/* --- the rolling update --- */

int64_t rollout_new_replicas(const struct deployment *d, int64_t now)
{
	int64_t sum = deployment_sum_spec(d), max = d->replicas + d->surge;

	if (!d->rolling)
		return d->replicas;
	if (sum >= max)
		return now;
	return now + rollout_min(max - sum, d->replicas - now);
}

/* Old ones that never became available go first: they are of no use to anybody. Returns how many went. */
static int64_t rollout_drop_unhealthy(struct deployment *d, int64_t max)
{
	int64_t total = 0;

	for (size_t i = 0; i < d->sets.n && total < max; i++) {
		struct deployment_set *s = &d->sets.v[i];

		if ((ssize_t)i == d->newest || s->spec <= 0 || s->available >= s->spec)
			continue;
		s->want = s->spec - rollout_min(max - total, s->spec - s->available);
		total += s->spec - s->want;
	}
	return total;
}

static void rollout_shrink_old(struct deployment *d, int64_t min_available)
{
	int64_t left = -min_available;

	for (size_t i = 0; i < d->sets.n; i++)
		left += d->sets.v[i].available;
	for (size_t i = 0; i < d->sets.n && left > 0; i++) {
		struct deployment_set *s = &d->sets.v[i];
		int64_t n = rollout_min(s->want, left);

		if ((ssize_t)i == d->newest || n <= 0)
			continue;
		s->want -= n;
		left -= n;
	}
}

void rollout_rolling(struct deployment *d)
{
	struct deployment_set *s = deployment_new_set(d);
	int64_t old, max;

	if (!s)
		return;
	if (s->spec != d->replicas) {
		s->want = s->spec > d->replicas ? d->replicas : rollout_new_replicas(d, s->spec);
		if (s->want != s->spec)
			return; /* one step at a time */
	}
	old = deployment_sum_spec(d) - s->spec;
	max = old + s->spec - (d->replicas - d->unavailable) - (s->spec - s->available);
	if (old <= 0 || max <= 0)
		return;
	rollout_drop_unhealthy(d, max);
	rollout_shrink_old(d, d->replicas - d->unavailable);
}
