/*
 * Who set which field: metadata.managedFields and server-side apply.
 *
 * A field set (struct fset) is a tree of path elements as sigs.k8s.io/structured-
 * merge-diff has it: a field by name, an item of a list by its keys, by its value
 * or by its index. An element may be a member of the set, may have a set below it,
 * or both. Sets are built from a document by its type, from FieldsV1, or by the
 * operations on sets; they are immutable then, share their parts, and live in the
 * arena of a struct fsx together with what they point at.
 *
 * A document is walked by its type through struct fs_type: the built-in kinds have
 * one from the tables (fs_type_of); whoever knows other types (custom resources)
 * brings functions of his own; without functions the type is deduced from the value:
 * objects are granular, lists atomic.
 *
 * managed_update says what a create, update or patch makes of the managers;
 * managed_apply merges an applied configuration, finds conflicts, and removes what
 * its manager no longer lists. Texts of errors are Kubernetes'.
 */
#ifndef SCHEMA_APPLY_H
#define SCHEMA_APPLY_H

#include "base/arena.h"
#include "base/vec.h"
#include "schema/schema.h"

/* --- types --- */
enum fs_kind { FS_SCALAR, FS_LIST_ATOMIC, FS_LIST_SET, FS_LIST_MAP, FS_MAP, FS_MAP_ATOMIC };
enum fs_scalar { FS_ANY, FS_STRING, FS_NUMBER, FS_BOOL };

struct fs_ops;
struct fs_type {
	const struct fs_ops *ops; /* NULL: deduced from the value */
	const void *at; /* the functions' own */
	unsigned how; /* the functions' own */
};
struct fs_ops {
	/* What a value is; v (may be NULL) matters only where several forms are allowed. */
	enum fs_kind (*kind)(struct fs_type t, const struct node *v);
	enum fs_scalar (*scalar)(struct fs_type t);
	/* FS_LIST_MAP: the name of its i-th key, in any order; NULL behind the last. */
	const char *(*key)(struct fs_type t, size_t i);
	/* ... and what an item without that key is taken to have, as JSON; {NULL,0}: nothing. */
	struct str (*key_default)(struct fs_type t, const char *key);
	struct fs_type (*item)(struct fs_type t); /* of a list */
	/* The type of an object's member; false: it is not declared. named: a field of a structure, not a map's key. */
	bool (*member)(struct fs_type t, struct str key, struct fs_type *ret, bool *named);
	/* The object that an encoder writes when nothing was set (zero values), changeable, in d; NULL: none. */
	struct node *(*zero)(struct fs_type t, struct doc *d);
};
struct fs_type fs_type_of(const struct schema_res *r);
struct fs_type fs_type_named(const char *type); /* "autoscaling/v1.Scale" */

/* --- sets --- */
struct fset; /* NULL is the empty set */
struct fsx { /* what an operation's sets live in */
	struct arena *arena;
	struct doc *scratch; /* values of keys that come from text */
};
#define _cleanup_fsx_ __attribute__((cleanup(fsx_release)))
void fsx_init(struct fsx *x);
void fsx_release(struct fsx *x);

bool fset_is_empty(const struct fset *s);
bool fset_equal(const struct fset *a, const struct fset *b);
size_t fset_size(const struct fset *s); /* members */
struct fset *fset_union(struct fsx *x, struct fset *a, struct fset *b);
struct fset *fset_intersection(struct fsx *x, struct fset *a, struct fset *b);
/* What is in a and not in b; a parent does not take its children along, unless deep. */
struct fset *fset_difference(struct fsx *x, struct fset *a, struct fset *b, bool deep);
/* What of a is below a member of b, or is one. Elements "*" of b match any element. */
struct fset *fset_below(struct fsx *x, struct fset *a, struct fset *b);
/* Of field names: {"metadata.name", "spec"}; "*" is a field of that name. */
struct fset *fset_of_paths(struct fsx *x, const char *const *paths, size_t n);
bool fset_has(const struct fset *s, const char *path); /* of field names: "spec.replicas" */
/* FieldsV1. Elements of an unknown form are left out; NULL with e for a key that cannot be read. */
int fset_parse(struct fsx *x, const struct node *fields_v1, struct fset **ret, struct err *e) MUST_CHECK;
struct node *fset_print(const struct fset *s, struct doc *d);
/* Each member's path as Kubernetes writes it: `.spec.containers[name="a"].image`, in order. */
void fset_each(const struct fset *s, void (*f)(void *arg, const char *path), void *arg);

/* --- documents and sets --- */
/* Every leaf, item and key of v. */
struct fset *fs_fields(struct fsx *x, struct fs_type t, const struct node *v);
struct fs_diff {
	struct fset *added, *modified, *removed;
};
/* From a to b; either may be NULL. */
void fs_compare(struct fsx *x, struct fs_type t, const struct node *a, const struct node *b, struct fs_diff *ret);
/* d's root and config, merged: a copy in d becomes the root. Neither loses a field. */
void fs_merge(struct fsx *x, struct fs_type t, struct doc *d, const struct node *config);
/* Takes the members of s out of d; what becomes empty is null. */
void fs_remove(struct fsx *x, struct fs_type t, struct doc *d, const struct fset *s);
/* s, and those of its elements that are fields of a structure, as members. */
struct fset *fs_with_named(struct fsx *x, struct fs_type t, struct fset *s);
/* s, where it speaks of what is inside an atomic value, of that value. */
struct fset *fs_reconcile(struct fsx *x, struct fs_type t, struct fset *s);
/* Does v fit its type: shapes, list keys, no duplicates, no unknown fields. ERR_UNKNOWN with all that was found. */
int fs_check(struct fsx *x, struct fs_type t, const struct node *v, struct err *e) MUST_CHECK;

/* --- managers --- */
#define MANAGED_MAX_UPDATERS 10 /* what is older is put together as "ancient-changes" */

struct managed_by { /* who writes, and how */
	const char *manager;
	const char *api_version; /* that the documents are of */
	const char *subresource; /* "" */
	const char *now; /* RFC 3339 */
	struct fs_type type;
	/* Fields that this kind of write does not change, whatever the request says; or, when only is set, the
	 * ones outside which it changes nothing. */
	const char *const *reset;
	size_t n_reset;
	bool only;
	/* root, which is of version `from`, as version `to`; *type: its type. NULL: there is no such version. */
	const struct node *(*convert)(void *arg, const struct node *root, const char *from, const char *to,
				      struct fs_type *type);
	void *arg;
};

/* d, which is to follow live (NULL: create), gets its metadata.managedFields. What they were is taken from d
 * itself when it has readable ones and this is no subresource, else from live. */
void managed_update(struct doc *d, const struct node *live, const struct managed_by *by);

/* d, an empty document, becomes live (NULL: what there is when nothing was set) with config taken up, and gets its
 * managedFields. config was checked (fs_check). A conflict is ERR_CONFLICT with Kubernetes' text and causes, unless
 * force. exempt (may be NULL): a document whose fields, as far as live still has them so, may be taken from
 * everybody. */
int managed_apply(struct doc *d, const struct node *live, const struct node *config, const struct managed_by *by,
		  bool force, const struct node *exempt, struct err *e) MUST_CHECK;

/* Can root's metadata.managedFields be read? None can. */
int managed_check(const struct node *root, struct err *e) MUST_CHECK;
/* Equal but for times. Both arrays (metadata.managedFields) or NULL. */
bool managed_same(const struct node *a, const struct node *b);
/* A Scale is a window on one field (path) of its parent: scale's document gets managedFields of those who own that
 * field in parent; what a write to the Scale made of them goes back into d, the parent's document. */
void managed_to_scale(struct doc *scale, const struct node *parent, const char *path);
void managed_from_scale(struct doc *d, const struct node *scale, const char *api_version, const char *path);

#endif
