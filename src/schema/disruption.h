/*
 * What the controller of PodDisruptionBudgets and the eviction of pods share.
 */
#ifndef SCHEMA_DISRUPTION_H
#define SCHEMA_DISRUPTION_H

#include "doc/doc.h"

/* The condition DisruptionAllowed of a budget; its time moves when status does. */
void disruption_set_condition(struct doc *d, struct node *status, bool allowed, const char *reason, const char *message);
/* The same as status.disruptionsAllowed has it. */
void disruption_update_condition(struct doc *d, struct node *status);

#endif
