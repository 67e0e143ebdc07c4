/*
 * NodeResourcesFit (LeastAllocated) and BalancedAllocation: both 0..100 over cpu
 * and memory; a pod that asks for nothing counts as 100m and 200 MB.
 */
#include "sched/internal.h"

#define SCORE_DEFAULT_CPU_M 100
#define SCORE_DEFAULT_MEMORY (200ll * 1024 * 1024)

struct score_share {
	int64_t all, used;
};

static struct score_share score_share(const struct sched_pod *p, const struct sched_node *n, const char *name,
				      int64_t dflt)
{
	int64_t want = amounts_get(&p->requests, name);
	struct score_share s = { amounts_get(&n->allocatable, name), 0 };

	s.used = amounts_get(&n->requested, name) + (want ? want : dflt);
	return s;
}

static int64_t score_free(struct score_share s)
{
	return s.all <= 0 || s.used > s.all ? 0 : (s.all - s.used) * 100 / s.all;
}

int64_t score_least_allocated(const struct sched_pod *p, const struct sched_node *n)
{
	return (score_free(score_share(p, n, "cpu", SCORE_DEFAULT_CPU_M)) +
		score_free(score_share(p, n, "memory", SCORE_DEFAULT_MEMORY))) /
	       2;
}

static double score_fraction(struct score_share s)
{
	double f = s.all > 0 ? (double)s.used / (double)s.all : 1;

	return f < 1 ? f : 1;
}

int64_t score_balanced(const struct sched_pod *p, const struct sched_node *n)
{
	double cpu = score_fraction(score_share(p, n, "cpu", 0));
	double memory = score_fraction(score_share(p, n, "memory", 0));
	double apart = cpu > memory ? cpu - memory : memory - cpu;

	return (int64_t)((1 - apart / 2) * 100); /* the standard deviation of two values is half their distance */
}
