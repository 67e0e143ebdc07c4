/*
 * NodeResourcesFit (LeastAllocated) and BalancedAllocation: both 0..100 over cpu
 * and memory. For the first a pod that does not say what it needs counts as 100m
 * and 200 MB; the second has nothing to say of a pod that asks for nothing.
 */
#include "sched/internal.h"

static int64_t score_free(int64_t all, int64_t used)
{
	return all <= 0 || used > all ? 0 : (all - used) * 100 / all;
}

SCHED_SCORE(score_least_allocated)
{
	int64_t cpu = amounts_get(&c->p->requests, "cpu"), memory = amounts_get(&c->p->requests, "memory");

	return (score_free(n->cpu, n->scored_cpu + (cpu ? cpu : SCHED_DEFAULT_CPU_M)) +
		score_free(n->memory, n->scored_memory + (memory ? memory : SCHED_DEFAULT_MEMORY))) /
	       2;
}

static double score_fraction(int64_t all, int64_t used)
{
	double f = all > 0 ? (double)used / (double)all : 1;

	return f < 1 ? f : 1;
}

SCHED_SCORE_PREPARE(score_balanced_prepare)
{
	return !sched_asks_nothing(c->p);
}

SCHED_SCORE(score_balanced)
{
	double cpu = score_fraction(n->cpu, n->used_cpu + amounts_get(&c->p->requests, "cpu"));
	double memory = score_fraction(n->memory, n->used_memory + amounts_get(&c->p->requests, "memory"));
	double apart = cpu > memory ? cpu - memory : memory - cpu;

	return (int64_t)((1 - apart / 2) * 100); /* the standard deviation of two values is half their distance */
}
