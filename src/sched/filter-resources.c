/*
 * NodeResourcesFit: what is asked for must be left over, and one place for a pod.
 * Every resource that lacks is a reason of its own.
 */
#include "sched/internal.h"

static int64_t resources_all(const struct sched_node *n, const char *name, int64_t *used)
{
	if (streq(name, "cpu")) {
		*used = n->used_cpu;
		return n->cpu;
	}
	if (streq(name, "memory")) {
		*used = n->used_memory;
		return n->memory;
	}
	*used = amounts_get(&n->requested, name);
	return amounts_get(&n->allocatable, name);
}

SCHED_FILTER(filter_resources)
{
	const struct amounts *requests = &c->p->requests;
	bool lacks = n->n_pods + 1 > n->max_pods;

	*hopeless = false;
	buf_clear(&c->scratch);
	if (lacks)
		buf_adds(&c->scratch, "Too many pods");
	for (size_t i = 0; i < requests->list.n; i++) {
		const struct amount *want = &requests->list.v[i];
		int64_t used, all = resources_all(n, want->name, &used);

		if (want->value <= 0 || want->value <= all - used)
			continue;
		if (want->value > all)
			*hopeless = true; /* more than the node ever has */
		buf_addf(&c->scratch, "%sInsufficient %s", lacks ? "\n" : "", want->name);
		lacks = true;
	}
	return lacks ? c->scratch.s : NULL;
}
