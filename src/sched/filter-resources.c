/*
 * NodeResourcesFit: what is asked for must be left over, and one place for a pod.
 * Every resource that lacks is a reason of its own.
 */
#include "sched/internal.h"

const char *filter_resources(const struct sched_pod *p, const struct sched_node *n, struct buf *scratch, bool *hopeless)
{
	*hopeless = false;
	buf_clear(scratch);
	if (n->n_pods + 1 > n->max_pods)
		buf_adds(scratch, "Too many pods");
	for (size_t i = 0; i < p->requests.list.n; i++) {
		const struct amount *want = &p->requests.list.v[i];
		int64_t all = amounts_get(&n->allocatable, want->name);

		if (want->value <= 0 || want->value <= all - amounts_get(&n->requested, want->name))
			continue;
		if (want->value > all)
			*hopeless = true; /* more than the node ever has */
		buf_addf(scratch, "%sInsufficient %s", scratch->len ? "\n" : "", want->name);
	}
	return scratch->len ? scratch->s : NULL;
}
