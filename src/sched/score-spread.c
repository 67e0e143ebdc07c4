/*
 * Spreading: the pods of one controller go to different nodes where they can.
 */
#include "sched/internal.h"

int64_t score_spread(const struct sched_pod *p, const struct sched_node *n)
{
	const struct node *owner = meta_controller(obj_node(p->obj));
	const char *uid = owner ? node_gets(owner, F_uid) : "";
	struct sched_pod *other;
	int64_t same = 0;

	if (!*uid)
		return 0;
	TAILQ_FOREACH(other, &n->pods, on_link) {
		const struct node *o = meta_controller(obj_node(other->obj));

		same += o && streq(node_gets(o, F_uid), uid) && streq(other->obj->ns, p->obj->ns);
	}
	return same;
}
