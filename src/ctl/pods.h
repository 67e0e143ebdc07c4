/*
 * What the controllers that make pods have in common.
 */
#ifndef CTL_PODS_H
#define CTL_PODS_H

#include "ctl/internal.h"

typedef VEC(struct kid *) kid_vec;

/* --- claiming: whose is it? (pkg/controller's ControllerRefManager) ---
 * Appends what owner has and selects to out; plans to let go of what it has and does not select any more, and to
 * adopt the orphans that it selects (those count as its own already; a Job's get its finalizer too). An owner that is to go adopts and releases
 * nothing. wanted (may be NULL) says which are looked at at all. */
void kids_claim(const struct kids *k, struct obj *owner, const struct selector *s,
		bool (*wanted)(const struct kid *c), struct plan *p, kid_vec *out);

/* A strategic patch that can only meet that very pod: the uid in it makes sure. */
struct doc *pod_patch(const struct kid *c, struct node **ret_meta);
/* Adds to it that the tracking finalizer goes. */
void pod_patch_untrack(struct doc *d, struct node *meta);

bool pod_is_active(const struct kid *c); /* not over, and not to go */
bool pod_is_terminating(const struct kid *c); /* to go, and not over */
bool pod_is_available(const struct kid *c, int64_t min_ready_s, int64_t now_s);
/* Milliseconds until the first of those that are ready becomes available; 0: none will. */
int64_t pods_next_available_ms(const kid_vec *pods, int64_t min_ready_s, int64_t now_s);

/* The order of deletion: those that go first come first. related: which crowd a node together with them. */
struct pod_rank {
	struct kid *pod;
	size_t crowd; /* related pods on its node */
};
int pod_rank_cmp(const struct pod_rank *a, const struct pod_rank *b, int64_t now_s);
void pods_sort_for_deletion(kid_vec *pods, const kid_vec *related, int64_t now_s);

/* A pod from owner's spec.template, owned by it. */
struct doc *pod_from_template(struct obj *owner, const struct node *tmpl);
/* Appends owner's controller reference to meta. */
void pod_set_controller(struct doc *d, struct node *meta, struct obj *owner);

/* Slow start: to be called before each creation, puts them into batches of 1, 2, 4, ... */
struct pods_batch {
	size_t size, filled;
};
void pods_batch_next(struct plan *p, struct pods_batch *b);
/* Plans n of them so. */
void pods_create(struct plan *p, struct obj *owner, const struct node *tmpl, size_t n);
/* Plans the creation of one that is given. */
void pods_create_one(struct plan *p, struct obj *owner, struct doc *pod_take);
void pods_delete_one(struct plan *p, struct obj *owner, const struct kid *c);

/* The hash of a template's text that names and labels carry: FNV-1a, in Kubernetes' alphabet without vowels and
 * lookalikes. */
char *pod_hash(struct str text);
/* A count that may be a percentage; up: rounded up. dflt when absent or malformed. */
int64_t intstr_of(const struct node *n, int64_t total, bool up, int64_t dflt);

#endif
