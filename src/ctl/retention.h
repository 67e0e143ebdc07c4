/*
 * Who owns the claims of a StatefulSet's pods: nobody, the set or the pod, so that
 * the garbage collector removes them when persistentVolumeClaimRetentionPolicy says.
 */
#ifndef CTL_RETENTION_H
#define CTL_RETENTION_H

#include "ctl/internal.h"

struct retention {
	bool deleted, scaled; /* claims go when the set does; when the set became too small for the pod */
};

struct retention retention_of(const struct node *spec);
/* Another controller has the claim: the policy does not count. */
bool retention_is_foreign(const struct node *claim, struct retention r, struct obj *set, struct obj *pod);
/* Brings the claim's owners up to date. condemned: the pod is beyond the set's size. True: something changed. */
bool retention_apply(struct doc *claim, struct retention r, struct obj *set, struct obj *pod, bool condemned);
/* Does it still belong to an earlier pod of that name, with which it will go? */
bool retention_is_stale(const struct node *claim, struct retention r, const char *pod);

#endif
