/*
 * What a pod says about the node that it may run on, held against one: nodeSelector,
 * required node affinity, tolerations. Pure; the scheduler, the DaemonSet controller
 * and the node's own admission must all come to the same answer.
 */
#ifndef SCHEMA_PLACEMENT_H
#define SCHEMA_PLACEMENT_H

#include "schema/schema.h"

/* A node, wherever its labels are kept. */
struct place {
	const char *name;
	const char *(*label)(const void *labels, const char *key); /* NULL: the node has no such label */
	const void *labels;
};
/* Of the tree of a Node. */
struct place place_of(const struct node *root);

/* A NodeSelectorTerm: all its expressions and fields; an empty one matches nothing. */
bool place_matches_term(const struct place *p, const struct node *term);
/* A NodeSelector: one of its terms. */
bool place_matches(const struct place *p, const struct node *node_selector);
/* A pod's nodeSelector and required node affinity. */
bool place_suits(const struct place *p, const struct node *pod_spec);

struct taint {
	const char *key, *value, *effect;
};
struct taint taint_of(const struct node *taint);
/* The first that does. */
const struct node *taint_toleration(const struct taint *taint, const struct node *tolerations);
bool taint_tolerated(const struct taint *taint, const struct node *tolerations);

#endif
