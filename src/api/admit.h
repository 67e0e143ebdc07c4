/*
 * What the files of admission share: the write that is being looked at, and the
 * functions that the table in admit.c names.
 */
#ifndef API_ADMIT_H
#define API_ADMIT_H

#include "api/internal.h"

struct webhook_left { /* the object as a mutating webhook left it */
	struct webhook_left *next;
	const char *name;
	uint8_t digest[32];
};

struct admission {
	struct req *r;
	const char *operation; /* "CREATE", "UPDATE", "DELETE", "CONNECT" */
	struct doc *d; /* of r->st (of a subresource with a kind of its own: that), changeable while mutating; NULL: DELETE */
	struct node *root; /* of d */
	struct obj *old; /* NULL: create */
	/* mutating */
	bool hooked; /* a webhook changed it: everybody gets a second look */
	bool reinvoked; /* ... which this is */
	struct webhook_left *left;
};

/* Is it about this kind (or a subresource of it)? */
bool admit_is(const struct admission *a, const char *group, const char *plural);
/* A pod itself, not one of its subresources. */
bool admit_pod(const struct admission *a);
bool admit_new_pod(const struct admission *a);

/* --- webhook.c --- */
int webhook_mutate(struct admission *a, struct err *e);
int webhook_validate(struct admission *a, struct err *e);
int webhook_mutate_remove(struct req *r, struct obj *cur, struct err *e);
int webhook_validate_remove(struct req *r, struct obj *cur, struct err *e);

/* --- admit-rbac.c, admit-node.c --- */
int admit_rbac(struct admission *a, struct err *e);
int admit_node(struct admission *a, struct err *e);
int admit_node_remove(struct req *r, struct obj *cur, struct err *e);

/* --- admit-pod.c --- */
int admit_service_account(struct admission *a, struct err *e);
int admit_priority(struct admission *a, struct err *e);
int admit_tolerations(struct admission *a, struct err *e);

/* --- token.c, admit-csr.c --- */
int admit_token_secret(struct admission *a, struct err *e);
int admit_csr(struct admission *a, struct err *e);
int admit_csr_check(struct admission *a, struct err *e);

#endif
