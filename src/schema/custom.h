/*
 * Resources that CustomResourceDefinitions add at run time.
 *
 * Each version of a definition is a struct schema_res like those of the tables:
 * schema_find*, schema_next and whatever else takes one work alike. Its identity
 * (one for each group, version and plural) lasts as long as the process, so that
 * objects, watches and requests may point to it: a definition that is removed
 * leaves it unserved, one that comes back finds it again.
 *
 * Nothing of a schema is kept but the definition's own object, which the store
 * has anyway. Its tree is made when somebody asks; the last few schemas in use
 * stay as trees without their prose (crd-registry.c).
 */
#ifndef SCHEMA_CUSTOM_H
#define SCHEMA_CUSTOM_H

#include "schema/schema.h"

struct schema_custom {
	struct obj *crd; /* the definition; NULL: removed */
	const char *version; /* its name in spec.versions */
	const struct schema_res *storage; /* the version that is stored */
	int64_t schema_rv; /* objects at or below this revision were written under other schemas */
	bool terminating; /* may not be added to any more */
	bool webhook; /* its versions differ in more than apiVersion */
};

/* --- the set of definitions --- */
/* A definition as it is stored now. Its versions become resources once it is Established; those that it no
 * longer has cease to be served. changed(arg, r): r is new, or is no longer what it was. */
void schema_custom_set(struct obj *crd, void (*changed)(void *arg, const struct schema_res *r), void *arg);
/* name: "plural.group" */
void schema_custom_remove(const char *name, void (*changed)(void *arg, const struct schema_res *r), void *arg);
/* The version of the same thing with this apiVersion; NULL: none was ever known. */
const struct schema_res *schema_custom_version(const struct schema_res *r, const char *api_version);
/* The storage version of a definition that is at work; NULL: it is not. */
const struct schema_res *schema_custom_of(const char *name);
/* The group and plural name something that is in the tables. */
bool schema_is_built_in(const char *group, const char *plural);
/* Counts every change of what is served. */
uint64_t schema_custom_generation(void);

/* --- definitions, before they are served --- */
/* Whether all schemas are structural; why: what is not, as Kubernetes says it. */
bool schema_custom_structural(const struct node *crd, struct buf *why);
/* Groups of the Kubernetes community want an annotation that says who approved. */
bool schema_custom_protected(const char *group);
enum schema_custom_approval { SCA_MISSING, SCA_INVALID, SCA_BYPASSED, SCA_APPROVED };
enum schema_custom_approval schema_custom_approval(const struct node *crd);

/* --- its definition --- */
const struct node *schema_custom_spec(const struct schema_custom *c); /* borrowed, as obj_node */
const struct node *schema_custom_entry(const struct schema_custom *c); /* of spec.versions */
/* The version's openAPIV3Schema without descriptions; borrowed until the end of the turn. NULL: none. */
const struct node *schema_custom_schema(const struct schema_custom *c);
/* subresources.scale, or NULL */
const struct node *schema_custom_scale(const struct schema_custom *c);

/* What a value is to whoever merges or owns it (server-side apply). */
enum schema_custom_shape {
	SCS_UNTYPED, /* nothing is known: deduced from the value */
	SCS_SCALAR,
	SCS_STRUCT, /* an object with known properties */
	SCS_MAP, /* an object with any keys and one kind of value */
	SCS_ATOMIC_MAP, /* an object owned as a whole */
	SCS_LIST, /* owned as a whole */
	SCS_LIST_SET,
	SCS_LIST_MAP /* items told apart by x-kubernetes-list-map-keys */
};
enum schema_custom_shape schema_custom_shape(const struct node *schema);
/* Of a node of a schema (NULL: unknown): the schema of a member, of a list's items; the list's keys. */
const struct node *schema_custom_member(const struct node *schema, struct str key);
const struct node *schema_custom_items(const struct node *schema);
const struct node *schema_custom_list_keys(const struct node *schema);

/* Brings an object read from the store, which was written under an older schema, to the present one. */
bool schema_custom_outdated(const struct schema_res *r, const struct obj *o);
void schema_custom_refresh(const struct schema_res *r, struct doc *d);
/* d, of r, without what r's schema does not know. */
void schema_custom_prune(const struct schema_res *r, struct doc *d);

/* The value at a simple path (".spec.replicas"); NULL when absent. */
const struct node *schema_path_get(const struct node *root, const char *path);
/* Sets it, making objects on the way. False: something on the way is no object. */
bool schema_path_set(struct doc *d, const char *path, struct node *value);

#endif
