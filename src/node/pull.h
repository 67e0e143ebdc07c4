/*
 * Private to src/node: what the files about pulling offer each other.
 *
 *	pull.c         pull policy, pull and back-off of one container's image
 *	pull-secret.c  the credentials that a pod's imagePullSecrets give
 *	pull-record.c  whose credentials have pulled what is here
 *	image-gc.c     the garbage collector's turn
 */
#ifndef NODE_PULL_H
#define NODE_PULL_H

#include "node/internal.h"

/* 1: *ret (counted; NULL: the pod has no pull secrets that are there) and *missing (owned; "" or names, joined);
 * 0: not known yet, the pod is woken. The sources of the credentials are "UID NAMESPACE NAME". */
int pull_keyring(struct pod *p, struct image_keyring **ret, char **missing);

/* The images of volumes. May the pod use what is here? 1; 0: it has to be pulled with the pod's credentials first;
 * -EAGAIN: those are not known yet, the pod is woken. */
int pull_may_use(struct pod *p, const struct image *i, const char *ref);
/* done comes later, p->pending is counted until then; neither when the agent ends. -EAGAIN as above. */
int pull_for_volume(struct pod *p, const char *ref, void (*done)(struct pod *p, const struct err *err));

/* pulled: an image has come; else it is time anyway. */
void image_gc_due(struct node_agent *n, bool pulled);

/* The agent ends: pulls that are under way end without it. */
void pulls_forget(struct node_agent *n);

struct pull_records;
struct pull_records *pull_records_new(const char *state_dir, struct image_store *s);
void pull_records_free(struct pull_records *r);
/* The image is here: must a pod with these credentials (NULL: none) pull it to show that it may use it? */
bool pull_records_must_pull(struct pull_records *r, const struct image *i, const char *ref,
			    const struct image_keyring *keys);
/* A pull begins; it has ended well (with the credentials of source and hash, NULL: with none), or not. */
void pull_records_begin(struct pull_records *r, const char *ref);
void pull_records_done(struct pull_records *r, const struct image *i, const char *ref, const char *source,
		       const char *hash);
void pull_records_failed(struct pull_records *r, const char *ref);

#endif
