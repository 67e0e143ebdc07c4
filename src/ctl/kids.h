/*
 * Kids: the pods (ReplicaSets, ControllerRevisions, Jobs) that controllers own, found by
 * their owner instead of by walking a namespace. One index for each kind, fed by
 * its informer, shared by all controllers. Of a pod it keeps the few facts that
 * controllers decide by, so that a look at a thousand of them parses nothing;
 * equal sets of labels are kept once.
 */
#ifndef CTL_KIDS_H
#define CTL_KIDS_H

#include "base/map.h"
#include "base/tree.h"
#include "obj/call.h"

#define KIDS_TRACKING "batch.kubernetes.io/job-tracking" /* finalizer of a Job's pod that is not counted yet */
#define KIDS_INDEX "batch.kubernetes.io/job-completion-index" /* label and annotation */

enum pod_phase { POD_PENDING, POD_UNKNOWN, POD_RUNNING, POD_SUCCEEDED, POD_FAILED };

struct kid_labels { /* one set of labels in one namespace, and who has it */
	TAILQ_HEAD(, kid) list;
	LIST_ENTRY(kid_labels) link; /* of its namespace */
	unsigned refs;
	struct doc *doc;
	const struct node *set; /* an object, or NULL for none */
	char *text; /* its key in the index */
};

struct kid_owner { /* who has kids; those of nobody stand under their namespace */
	TAILQ_HEAD(kid_list, kid) list;
	size_t n;
	char *key; /* "ns/uid"; "ns/" for orphans */
	char *kind, *name; /* NULL for orphans */
};

struct kid {
	TAILQ_ENTRY(kid) link; /* of its owner, in order of appearance */
	TAILQ_ENTRY(kid) beside; /* of its node */
	struct obj *obj; /* referenced: the newest state */
	struct kid_owner *owner;
	struct kid_labels *labels;
	TAILQ_ENTRY(kid) alike; /* of its labels */
	bool terminating; /* has a deletionTimestamp */
	int64_t created_s;
	/* of pods */
	uint8_t phase;
	bool ready;
	bool evicted; /* failed, because its node ran short of something */
	int64_t ready_s; /* since when; 0: not ready */
	int32_t restarts, sidecar_restarts; /* the most of any container */
	int32_t all_restarts; /* of all containers together */
	int32_t cost; /* controller.kubernetes.io/pod-deletion-cost */
	uint64_t addresses; /* hash of its addresses and of its name in DNS; 0: it has none */
	uint64_t node; /* hash of the node's name; 0: on none */
	uint64_t target; /* the same, or of the node that its affinity pins it to */
	bool tracked; /* has the finalizer KIDS_TRACKING */
	int32_t index; /* KIDS_INDEX; -1: none */
	int64_t finished_s; /* of one that is over or to go: when it was */
};

struct kid_change {
	const char *ns;
	const struct kid_owner *before, *after; /* NULL: was not there, is not there */
	struct kid *kid; /* as it is now; NULL: it went */
	const struct kid_labels *labels_before; /* NULL: was not there */
	bool news; /* it came, went, or what Services and budgets look at changed */
	bool orphan_news; /* it is an orphan, and came, lost its owner or got other labels */
};

/* Reads them (kid-facts.c). */
void kid_look(struct kid *c, const struct node *root);

struct kids;
struct kids *kids_new(void (*changed)(void *arg, const struct kid_change *c), void *arg);
struct kids *kids_free(struct kids *k);
void kids_event(struct kids *k, enum watch_type t, struct obj *o, struct obj *old);
/* NULL when there are none. uid "": the orphans of the namespace. */
const struct kid_owner *kids_of(const struct kids *k, const char *ns, const char *uid);
struct kid *kids_find(const struct kids *k, const char *uid);
/* Calls fn for those of the namespace that are selected; NULL selects none. */
void kids_selected(const struct kids *k, const char *ns, const struct selector *s, void (*fn)(void *arg, struct kid *c),
		   void *arg);
/* Calls fn for the kids of all that are, or were, called so. */
void kids_of_name(const struct kids *k, const char *ns, const char *kind, const char *name,
		  void (*fn)(void *arg, struct kid *c), void *arg);
/* Pods of a node, one after the other; prev NULL: the first. name "": those that are on none. */
struct kid *kids_on_node(const struct kids *k, const char *name, struct kid *prev);
/* Pods that are over, how many and which: cost in proportion to all there are. */
size_t kids_n_over(const struct kids *k);
void kids_over(const struct kids *k, void (*each)(void *arg, struct kid *c), void *arg);

#endif
