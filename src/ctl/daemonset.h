/*
 * Which nodes a DaemonSet's pods belong on (daemonset-node.c) and what a pod of
 * one gets that its template does not say.
 */
#ifndef CTL_DAEMONSET_H
#define CTL_DAEMONSET_H

#include "ctl/internal.h"

/* spec: of the template. should: a pod is to be made there; may_stay: one that is there may go on. */
void daemonset_fits(const struct node *spec, struct obj *node, bool *should, bool *may_stay);
/* Pins spec to a node and lets it tolerate what befalls nodes. */
void daemonset_pin(struct doc *d, struct node *spec, const char *node);

#endif
