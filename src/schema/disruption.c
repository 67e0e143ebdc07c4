/*
 * The condition of a PodDisruptionBudget (disruption.h): a metav1.Condition, whose
 * message is there even when it is empty.
 */
#include "schema/disruption.h"

#include "base/time.h"
#include "obj/obj.h"

void disruption_set_condition(struct doc *d, struct node *status, bool allowed, const char *reason, const char *message)
{
	struct node *list = node_need_array(d, status, F_conditions);
	const char *is = allowed ? "True" : "False";
	struct node *c = (struct node *)cond_find(list, "DisruptionAllowed");
	char now[TIME_RFC3339_LEN];

	if (!c) {
		c = node_append(list, node_new(d, DOC_OBJECT));
		node_sets(d, c, F_type, "DisruptionAllowed");
	}
	if (!node_streq(node_get(c, F_status), is)) {
		node_sets(d, c, F_status, is);
		node_sets(d, c, F_lastTransitionTime, time_fmt_rfc3339(now, time_wall_s()));
	}
	if (node_int(node_get(status, F_observedGeneration), 0))
		node_seti(d, c, F_observedGeneration, node_int(node_get(status, F_observedGeneration), 0));
	node_sets(d, c, F_reason, reason);
	node_sets(d, c, F_message, message);
}

void disruption_update_condition(struct doc *d, struct node *status)
{
	bool allowed = node_int(node_get(status, F_disruptionsAllowed), 0) > 0;

	disruption_set_condition(d, status, allowed, allowed ? "SufficientPods" : "InsufficientPods", "");
}
