/*
 * NodeUnschedulable: `kubectl cordon`.
 */
#include "sched/internal.h"

const char *filter_unschedulable(const struct sched_pod *p, const struct sched_node *n, struct buf *scratch,
				 bool *hopeless)
{
	_cleanup_doc_ struct doc *d = NULL;
	struct node *taint;

	*hopeless = true;
	if (!node_bool(node_path(obj_node(n->obj), F_spec, F_unschedulable), false))
		return NULL;
	d = doc_new();
	taint = node_new(d, DOC_OBJECT);
	node_sets(d, taint, F_key, "node.kubernetes.io/unschedulable");
	node_sets(d, taint, F_effect, "NoSchedule");
	return taint_tolerated(taint, node_path(obj_node(p->obj), F_spec, F_tolerations)) ? NULL
											  : "node(s) were unschedulable";
}
