/*
 * DynamicResources: there is no driver here that could allocate the devices of a
 * ResourceClaim, so a pod that asks for some waits, and is told why.
 */
#include "sched/internal.h"

bool filter_devices_prepare(struct sched_cycle *c)
{
	const struct node *first = node_first(node_get(c->spec, F_resourceClaims));

	if (first)
		c->nowhere = xasprintf("cannot allocate all claims: resource claim \"%s\" needs a driver of dynamic "
				       "resource allocation, and no node has one",
				       node_gets(first, F_name));
	return false;
}
