/*
 * Authorization, as its own files share it: policy rules in compiled form, the
 * index of roles and bindings, and the authorizers in the table of authz.c.
 */
#ifndef API_AUTHZ_H
#define API_AUTHZ_H

#include "api/internal.h"

/* --- policy rules (authz-rule.c) --- */
enum rule_list { RULE_VERBS, RULE_GROUPS, RULE_RESOURCES, RULE_NAMES, RULE_URLS, RULE_LISTS };

/* One PolicyRule: its lists of strings lie behind it, one after the other, each string with its NUL. */
struct rule {
	uint32_t size; /* to the next rule */
	uint32_t at[RULE_LISTS]; /* from the rule's own address */
	uint32_t n[RULE_LISTS];
};
struct rules { /* a role's; one block of memory */
	size_t bytes;
	struct rule first[];
};
/* From a role's `rules`; what is no list of strings counts as empty. */
struct rules *rules_new(const struct node *list);
struct rules *rules_free(struct rules *rs);
#define RULES_FOREACH(r, rs)                                                                          \
	for (const struct rule *r = (rs)->first; (const char *)r < (const char *)(rs)->first + (rs)->bytes; \
	     r = (const struct rule *)((const char *)r + r->size))
/* The i-th string of a list: for (i, s = rule_first(); i < r->n[l]; i++, s = rule_after(s)). */
static inline const char *rule_first(const struct rule *r, enum rule_list l)
{
	return (const char *)r + r->at[l];
}
static inline const char *rule_after(const char *s)
{
	return s + strlen(s) + 1;
}
#define RULE_FOREACH(s, i, r, l) \
	for (size_t i = 0, once_##i = 1; once_##i; once_##i = 0) \
		for (const char *s = rule_first(r, l); i < (r)->n[l]; i++, s = rule_after(s))
bool rule_allows(const struct rule *r, const struct attrs *at);

/* A rule broken down: one verb on one thing. */
struct permission {
	const char *verb, *group, *resource, *name; /* name NULL: any */
	const char *url; /* NULL: a resource */
};
/* f for each permission that r is made of. */
void rule_break(const struct rule *r, void (*f)(void *arg, const struct permission *p), void *arg);
bool rule_covers(const struct rule *r, const struct permission *p);
/* The permissions that were found wanting, in Kubernetes' words: one line for each thing, its verbs together. */
struct missing {
	struct arena *arena;
	VEC(struct permission) all;
};
void missing_print(struct missing *m, struct buf *out);
void missing_release(struct missing *m);

/* --- the index of roles and bindings (authz-rbac.c) --- */
struct rbac;
struct rbac_binding {
	struct obj *obj;
	struct rbac_role *role;
	uint64_t seen; /* number of the last visit */
};
/* Reads what the store has, and follows it. */
struct rbac *rbac_new(struct store *s);
struct rbac *rbac_free(struct rbac *x);
/* Calls f for each rule that applies to u in ns ("": at the cluster scope only), until it says false. rule NULL:
 * the binding's role does not exist. */
typedef bool (*rbac_visit)(void *arg, const struct rbac_binding *b, const struct rule *rule);
void rbac_visit_rules(struct rbac *x, const struct user *u, const char *ns, rbac_visit f, void *arg);
/* Rules of a binding's roleRef; NULL: no such role. ns: the binding's. */
const struct rules *rbac_role_rules(struct rbac *x, const struct node *role_ref, const char *ns);
/* `clusterrole.rbac.authorization.k8s.io "x" not found` */
void rbac_missing_role(const struct rbac_binding *b, struct buf *out);
/* What u may not itself of rules, in ns. True: nothing. errors: roles that were not found. */
bool rbac_holds(struct rbac *x, const struct user *u, const char *ns, const struct rules *rules, struct missing *m,
		struct buf *errors);
bool rbac_allow(struct api *a, const struct user *u, const struct attrs *at);
void rbac_why(struct api *a, const struct user *u, const struct attrs *at, bool allowed, struct buf *reason);

/* --- nodes (authz-node.c) --- */
struct node_authz *node_authz_new(struct store *s);
struct node_authz *node_authz_free(struct node_authz *n);
/* Is u a node, and which one; "" when its name does not say. */
bool authz_is_node(const struct user *u, const char **name);
bool node_allow(struct api *a, const struct user *u, const struct attrs *at);
void node_why(struct api *a, const struct user *u, const struct attrs *at, bool allowed, struct buf *reason);
/* Does the pod refer to an object of that kind ("secrets", "configmaps", "persistentvolumeclaims",
 * "serviceaccounts", "resourceclaims") by this name (NULL: any)? */
bool node_pod_refers(const struct node *pod, const char *plural, const char *name);

/* --- the decision (authz.c) --- */
/* authz_check with its reason, "" when there is nothing to say. */
bool authz_explain(struct api *a, const struct user *u, const struct attrs *at, struct buf *reason);
/* The value that the field selector demands of a field, "" when it demands none. */
const char *authz_field(const struct attrs *at, const char *path);

#endif
