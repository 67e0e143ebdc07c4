/*
 * Warnings, shared by warnings.c and warnings-pod.c. Private to src/schema.
 */
#ifndef SCHEMA_WARNINGS_H
#define SCHEMA_WARNINGS_H

#include "schema/valid.h"

struct warn {
	void (*f)(void *arg, const char *text);
	void *arg;
};

void warn(const struct warn *w, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* Why a node's label should not be used any more; NULL: it may. */
const char *warn_node_label(struct str key);
/* Addresses and CIDRs that are not written as one writes them. */
void warn_ip(const struct warn *w, const char *path, struct str s);
void warn_cidr(const struct warn *w, const char *path, struct str s);
void warn_node_term(const struct warn *w, const char *path, const struct node *term, bool values);
/* A disk of a cloud: no node can mount it, and Kubernetes lets it be written. source: volume, or spec of a PersistentVolume. */
void warn_cloud_disk(const struct warn *w, const char *path, const struct node *source);
void warn_claim(const struct warn *w, const char *path, const struct node *spec);
/* A pod's spec and metadata; path: "" for a pod, "spec.template." for what is in a template. */
void warn_pod(const struct warn *w, const char *path, const struct node *spec, const struct node *meta);

#endif
