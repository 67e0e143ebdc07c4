/*
 * The graph of owners and dependents that the garbage collector keeps (gc-graph.c)
 * and works on (gc.c).
 *
 * It knows the objects that have ownerReferences, those that are named there, and
 * those that wait for their dependents; nothing else, so that a cluster's many
 * other objects cost nothing. A node's uid is its identity. An owner that nobody
 * has shown yet has a node without an object: whether it exists is asked when a
 * dependent's fate hangs on it.
 */
#ifndef CTL_GC_H
#define CTL_GC_H

#include "base/tree.h"
#include "ctl/internal.h"

struct gc_node;

struct gc_ref { /* one ownerReference */
	TAILQ_ENTRY(gc_ref) link; /* in owner->dependents */
	struct gc_node *owner, *dependent;
	const struct resource *res; /* as it is stored; NULL: no such kind */
	bool block; /* blockOwnerDeletion */
	bool absent; /* looked for in its place: not there, and uids never come again */
	bool asked; /* somebody is looking */
	bool reported; /* an event said that it names another namespace */
	char name[];
};

struct gc_node {
	struct obj *obj; /* as last seen, referenced; NULL: never seen, or gone */
	VEC(struct gc_ref *) refs;
	TAILQ_HEAD(, gc_ref) dependents;
	size_t n_dependents, n_blocking; /* n_blocking: those that hold it back when it goes foreground */
	bool deleting, foreground, orphan; /* deletionTimestamp, and the two finalizers */
	bool gone; /* was seen to be deleted */
	unsigned visit; /* of gc_in_cycle */
	char uid[];
};

struct gc_graph {
	struct map *nodes; /* by uid */
	size_t n_unknown; /* references to kinds that do not exist */
	unsigned visits;
	void (*wake)(void *arg, struct gc_node *n); /* n's fate may have changed */
	void *arg;
};

enum gc_state { /* what a reference is worth */
	GC_SOLID, /* its owner is there */
	GC_WAITING, /* its owner is there, and waits for its dependents to go */
	GC_DANGLING, /* no such owner */
	GC_UNKNOWN, /* to be asked for */
	GC_ASKED,
	GC_NO_KIND, /* nobody can tell */
	GC_BAD_SCOPE /* a cluster-scoped object can't have an owner in a namespace */
};

void gc_graph_init(struct gc_graph *g, void (*wake)(void *arg, struct gc_node *n), void *arg);
void gc_graph_release(struct gc_graph *g);
struct gc_node *gc_graph_find(const struct gc_graph *g, const char *uid);
void gc_graph_put(struct gc_graph *g, struct obj *o); /* o came to be, or changed */
void gc_graph_drop(struct gc_graph *g, struct obj *last); /* it was deleted */
void gc_graph_kinds_changed(struct gc_graph *g); /* references to unknown kinds may have become known */
void gc_graph_kind_gone(struct gc_graph *g, struct gc_node *owner, const struct resource *res);
/* Is there anything to do about n? */
bool gc_is_due(const struct gc_node *n);

enum gc_state gc_ref_state(const struct gc_ref *r);
/* The namespace in which its owner must be. */
const char *gc_ref_ns(const struct gc_ref *r);
bool gc_ref_same_place(const struct gc_ref *a, const struct gc_ref *b);
/* Do n's blocking dependents, of those that wait themselves, lead back to n's owner `to`? */
bool gc_in_cycle(struct gc_graph *g, struct gc_node *n, const struct gc_node *to);

#endif
