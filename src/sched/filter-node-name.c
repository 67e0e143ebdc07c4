/*
 * NodeName: a pod that names its node runs there or nowhere.
 */
#include "sched/internal.h"

const char *filter_node_name(const struct sched_pod *p, const struct sched_node *n, struct buf *scratch, bool *hopeless)
{
	const char *want = node_gets(node_get(obj_node(p->obj), F_spec), F_nodeName);

	*hopeless = true;
	return !*want || streq(want, n->name) ? NULL : "node(s) didn't match the requested node name";
}
