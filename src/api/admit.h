/*
 * What the files of admission share: the write that is being looked at, and the
 * functions that the table in admit.c names.
 */
#ifndef API_ADMIT_H
#define API_ADMIT_H

#include "api/internal.h"

struct admission {
	struct req *r;
	struct doc *d; /* of r->st, changeable while mutating */
	struct node *root;
	struct obj *old; /* NULL: create */
};

/* Is it about this kind (or a subresource of it)? */
bool admit_is(const struct admission *a, const char *group, const char *plural);
/* A pod itself, not one of its subresources. */
bool admit_pod(const struct admission *a);
bool admit_new_pod(const struct admission *a);

/* --- admit-pod.c --- */
int admit_service_account(struct admission *a, struct err *e);
int admit_priority(struct admission *a, struct err *e);
int admit_tolerations(struct admission *a, struct err *e);

#endif
