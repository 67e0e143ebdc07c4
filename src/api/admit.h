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
bool admit_sub(const struct admission *a, const char *subresource);
/* A pod itself, not one of its subresources. */
bool admit_pod(const struct admission *a);
bool admit_new_pod(const struct admission *a);
/* `pods "x" is forbidden: ...`, about the write. */
int admit_forbid(const struct admission *a, struct err *e, const char *fmt, ...) ATTR_PRINTF(3, 4);
/* Objects of one kind (in one namespace: ns not NULL), each referenced. False: none. Release with store_list_release. */
bool admit_list(struct api *a, const struct resource *res, const char *ns, struct store_list *ret);

/* A row of the table, as the administrator's lists name it. */
size_t admit_step_count(void);
const char *admit_step_name(size_t i);
bool admit_step_is_off(size_t i); /* unless the administrator turns it on */

/* --- admit-config.c: what the administrator wants --- */
struct podsec_config;
struct admit_config {
	uint64_t on; /* bit i: step i runs */
	struct podsec_config *podsec;
};

/* --- admit-account.c --- */
int admit_account_mutate(struct admission *a, struct err *e);
int admit_account_validate(struct admission *a, struct err *e);

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
int admit_priority(struct admission *a, struct err *e);
int admit_priority_class(struct admission *a, struct err *e);
int admit_topology(struct admission *a, struct err *e);
int admit_tolerations(struct admission *a, struct err *e);
int admit_runtime_class(struct admission *a, struct err *e);
int admit_overhead(struct admission *a, struct err *e);
int admit_pull_always(struct admission *a, struct err *e);
int admit_pull_always_check(struct admission *a, struct err *e);
int admit_extended_tolerations(struct admission *a, struct err *e);
int admit_node_selector(struct admission *a, struct err *e);
int admit_hard_anti_affinity(struct admission *a, struct err *e);

/* --- admit-limits.c --- */
int admit_limits_mutate(struct admission *a, struct err *e);
int admit_limits_validate(struct admission *a, struct err *e);

/* --- admit-security.c --- */
int admit_security(struct admission *a, struct err *e);
/* From the `configuration` of the plugin in an AdmissionConfiguration. */
int podsec_config_new(struct podsec_config **ret, const struct node *n, struct err *e) MUST_CHECK;
struct podsec_config *podsec_config_free(struct podsec_config *c);

/* --- admit-cluster.c --- */
int admit_storage_class(struct admission *a, struct err *e);
int admit_ingress_class(struct admission *a, struct err *e);
int admit_in_use(struct admission *a, struct err *e);
int admit_resize(struct admission *a, struct err *e);
int admit_new_node(struct admission *a, struct err *e);
int admit_cert_approval(struct admission *a, struct err *e);
int admit_cert_signing(struct admission *a, struct err *e);
int admit_cert_subject(struct admission *a, struct err *e);
int admit_external_ips(struct admission *a, struct err *e);

/* --- admit-quota.c --- */
int admit_quota(struct admission *a, struct err *e);

/* --- token.c, admit-csr.c --- */
int admit_token_secret(struct admission *a, struct err *e);
int admit_csr(struct admission *a, struct err *e);
int admit_csr_check(struct admission *a, struct err *e);

#endif
