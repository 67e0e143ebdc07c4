/*
 * What the controllers of nodes have in common, and what they decide by.
 */
#ifndef CTL_NODES_H
#define CTL_NODES_H

#include "ctl/internal.h"

#define TAINT_NOT_READY "node.kubernetes.io/not-ready"
#define TAINT_UNREACHABLE "node.kubernetes.io/unreachable"
#define TAINT_OUT_OF_SERVICE "node.kubernetes.io/out-of-service"

/* effect NULL: any. NULL: there is none. */
const struct node *taint_find(const struct node *taints, const char *key, const char *effect);
/* Adds it with the time, or takes it away. True: something changed. */
bool taint_set(struct doc *d, struct node *spec, const char *key, const char *effect, bool want);

/* How long a pod with these tolerations may stay beside the NoExecute taints of the list, in seconds: 0: it goes at
 * once; -1: for ever. *ret_tolerated: does it tolerate all of them, be it for a time? */
int64_t taint_stay_s(const struct node *taints, const struct node *tolerations, bool *ret_tolerated);

/* node-ttl.c: how long a node may keep what it has read of secrets, of the step before and so many nodes. */
struct node_ttl_step {
	size_t min, max; /* nodes at which the step is left for the one before, the one after */
	int seconds;
};
extern const struct node_ttl_step node_ttl_steps[];
unsigned node_ttl_step(unsigned step, size_t nodes);

#endif
