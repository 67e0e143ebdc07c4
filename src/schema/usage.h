/*
 * What an object takes of a ResourceQuota: pure, by name of the quota's resource
 * ("pods", "requests.cpu", "count/deployments.apps"). Mirrors Kubernetes' quota
 * evaluators (pkg/quota/v1/evaluator/core).
 */
#ifndef SCHEMA_USAGE_H
#define SCHEMA_USAGE_H

#include "obj/obj.h"

/* Do objects of r count against the quota's resource `name`? */
bool usage_tracks(const struct resource *r, const char *name);
/* ... and is it only their number? Then no object need be looked at. */
bool usage_is_count(const struct resource *r, const char *name);
/* Is the object within all scopes of the quota (spec.scopes, spec.scopeSelector)? Without scopes: yes. */
bool usage_in_scopes(const struct resource *r, const struct node *quota_spec, const struct node *root);
/* How much the object takes of `name`, which must be tracked; false: nothing. */
bool usage_of(const struct resource *r, const struct node *root, const char *name, struct quantity *ret);
/* Must each container of a pod say how much it wants, when a quota has this resource? */
bool usage_must_be_given(const char *name);
/* Does the container (or the pod as a whole) say so? */
bool usage_is_given(const struct node *pod_spec, const struct node *container, const char *name);

/* What a pod asks for in sum (which: F_requests) or may have at most (F_limits): all its containers, or what
 * its start needs at one time if that is more; with the overhead of its class when wanted. false: nothing said. */
bool usage_pod_sum(const struct node *pod_spec, enum field which, const char *name, bool overhead,
		   struct quantity *ret);
/* Its phase is Failed or Succeeded: it takes nothing any more. */
bool usage_pod_is_over(const struct node *pod);
/* Neither cpu nor memory are asked for or limited anywhere. */
bool usage_best_effort(const struct node *pod_spec);
/* The class of a claim: the old annotation, or spec.storageClassName; NULL: none given. */
const char *usage_claim_class(const struct node *claim);

#endif
