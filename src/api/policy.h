/*
 * The bootstrap policy, as policy.tsv has it: text lines of cells that are
 * separated by tabs (see there). policy.c reads it.
 */
#ifndef API_POLICY_H
#define API_POLICY_H

#include "doc/doc.h"

extern const char policy_table[];

/* One object of the table. */
struct policy {
	const char *resource; /* "clusterroles", ... */
	const char *ns, *name;
	struct doc *doc; /* the object as it should be; the caller's */
};
struct policy_cursor {
	const char *at; /* policy_table at first */
	bool again; /* the line stands for a second object */
};
/* The next object. False: that was all. */
bool policy_next(struct policy_cursor *c, struct policy *p);

#endif
