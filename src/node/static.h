/*
 * Static pods: manifests in a directory of this node, run without being asked for
 * by the API, and shown there by mirror pods.
 */
#ifndef NODE_STATIC_H
#define NODE_STATIC_H

#include "node/internal.h"

struct statics;

#define STATIC_HASH "kubernetes.io/config.hash"
#define STATIC_SOURCE "kubernetes.io/config.source"
#define STATIC_SEEN "kubernetes.io/config.seen"
#define STATIC_MIRROR "kubernetes.io/config.mirror"

/* static-file.c: one manifest as the pod that runs; its uid is the hash of what it says. */
int static_parse(const char *node_name, const char *path, struct str text, struct obj **ret,
		 struct err *e) MUST_CHECK;

/* static.c */
struct statics *statics_new(struct node_agent *n, const char *dir); /* dir NULL: none; returns NULL */
struct statics *statics_free(struct statics *s);
/* The directory is read, and followed from now on: statics_wanted is then complete. */
void statics_start(struct statics *s);
/* Makes workers for manifests that have none yet. */
void statics_run(struct statics *s);
/* The Node is known: mirror pods wait for it, which owns them. */
void statics_kick(struct statics *s);

/* What the API has of a pod of this name that only mirrors a static one. NULL: it is an ordinary pod. */
const char *static_mirror_hash(struct obj *o);
/* A mirror pod came, changed, or (gone) went. */
void static_mirror_seen(struct node_agent *n, struct obj *o, bool gone);
/* The worker of a static pod: makes, remakes and removes its mirror. True when there is no more to do. */
bool static_mirror_run(struct pod *p);

#endif
