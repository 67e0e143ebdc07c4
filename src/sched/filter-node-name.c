/*
 * NodeName: a pod that names its node runs there or nowhere.
 */
#include "sched/internal.h"

bool filter_node_name_prepare(struct sched_cycle *c)
{
	return *node_gets(c->spec, F_nodeName) != '\0';
}

SCHED_FILTER(filter_node_name)
{
	*hopeless = true;
	return node_streq(node_get(c->spec, F_nodeName), n->name) ? NULL : "node(s) didn't match the requested node name";
}
