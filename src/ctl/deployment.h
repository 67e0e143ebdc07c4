/*
 * A Deployment and its ReplicaSets as one reconcile sees them, between
 * deployment.c (what is to be written to the ReplicaSets), rollout.c (how many
 * replicas each is to have) and deployment-status.c (what is said of it all).
 */
#ifndef CTL_DEPLOYMENT_H
#define CTL_DEPLOYMENT_H

#include "ctl/internal.h"

#define DEPLOYMENT_ANNOTATION "deployment.kubernetes.io/"
#define DEPLOYMENT_REVISION DEPLOYMENT_ANNOTATION "revision"
#define DEPLOYMENT_HASH_LABEL "pod-template-hash"

struct deployment_set { /* one ReplicaSet */
	struct obj *obj;
	const struct node *root;
	int64_t created_s;
	int64_t spec; /* replicas asked for */
	int64_t want; /* what they shall be */
	int64_t replicas, ready, available, terminating; /* its status */
	int64_t desired, max; /* its annotations; -1: none */
	int64_t revision; /* 0: none */
};

struct deployment {
	struct obj *obj;
	const struct node *root, *spec;
	bool rolling, paused;
	int64_t replicas, surge, unavailable;
	VEC(struct deployment_set) sets; /* by age, oldest first */
	ssize_t newest; /* of sets: the one with today's template; -1: none */
};

/* Sees the ReplicaSets that it owns; with p, plans adoption and release too. */
void deployment_load(struct deployment *d, const struct ctl_view *v, struct obj *o, const struct selector *s,
		     struct plan *p);
void deployment_release(struct deployment *d);
static inline struct deployment_set *deployment_new_set(struct deployment *d)
{
	return d->newest < 0 ? NULL : &d->sets.v[d->newest];
}
int64_t deployment_sum_spec(const struct deployment *d);
/* Is all there that should be, by what the ReplicaSets say? */
bool deployment_is_complete(const struct deployment *d);
/* The highest revision of the old ones, and one. */
int64_t deployment_next_revision(const struct deployment *d);

/* Are they the same, but for the label with the hash? */
bool deployment_same_template(const struct node *set, const struct node *ours);
/* Does an annotation go along from the Deployment to its ReplicaSets? */
bool deployment_keeps_annotation(struct str key);

/* rollback.c: has somebody asked for the template of an earlier revision (0: the one before)? */
bool deployment_rolls_back(const struct deployment *d, int64_t *ret_revision);
/* Does it; today's template has its ReplicaSet. */
void deployment_rollback(const struct deployment *d, int64_t revision, struct plan *out);

/* rollout.c: set `want`. */
bool rollout_is_scaling(const struct deployment *d); /* its replicas were changed since the ReplicaSets saw them */
void rollout_scale(struct deployment *d);
void rollout_rolling(struct deployment *d);
int64_t rollout_new_replicas(const struct deployment *d, int64_t now); /* of the new ReplicaSet that has now */

#endif
