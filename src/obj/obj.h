/*
 * Objects: one stored Kubernetes object at one revision, immutable, counted.
 *
 * An object keeps its JSON bytes exactly as GET, LIST and WATCH hand them out,
 * so no reader encodes anything. What many objects have in common (the field sets
 * of managedFields, half of an object's text) is kept once for all of them, so the
 * JSON comes in pieces: obj_json_add, obj_piece. Its tree (doc) is made from the bytes when
 * somebody asks, and dropped again when the loop is idle and memory is tight;
 * key, labels and what else every list needs are at hand without it.
 *
 * Reference counts are not atomic: objects belong to the loop's thread. Bytes
 * may be read by worker threads while they hold a reference that the loop gave.
 */
#ifndef OBJ_OBJ_H
#define OBJ_OBJ_H

#include "doc/doc.h"

/* Who a resource is: the part of schema's table that all folders share. */
struct resource {
	const char *group; /* "" for core */
	const char *version; /* "v1" */
	const char *plural; /* "pods" */
	const char *singular;
	const char *kind; /* "Pod" */
	const char *list_kind; /* "PodList" */
	bool namespaced;
	const char *prefix; /* "/registry/pods/": where the store keeps them, same for all versions */
	const char *api_version; /* "v1", "apps/v1" */
};

struct obj_cached; /* private */

struct obj {
	unsigned refs;
	const struct resource *res;
	const char *ns; /* "" when cluster-scoped */
	const char *name;
	const char *uid;
	int64_t rv; /* revision of the store at which this state came to be */
	size_t json_len; /* of the JSON: a complete object with apiVersion, kind and resourceVersion */
	const char *own; /* private: its bytes, without those that it shares with others */
	uint32_t own_len, n_cuts; /* private */
	struct obj_cached *tree; /* private: the parsed form, when somebody asked for it */
};

/* Copies bytes; ns, name and uid are read from the document, which may be kept as the tree (ref'd, frozen). */
struct obj *obj_new(const struct resource *res, struct doc *d, int64_t rv);
/* From bytes alone (the store's file, an agent's watch). NULL and e when it is no object. */
struct obj *obj_from_json(const struct resource *res, struct str json, struct err *e);
struct obj *obj_ref(struct obj *o);
struct obj *obj_unref(struct obj *o); /* NULL accepted; returns NULL */
void obj_unrefp(struct obj **o);
#define _cleanup_obj_ __attribute__((cleanup(obj_unrefp)))

/* The JSON, appended; and in pieces, bytes that live as long as o. Both may be called on any thread that has a
 * reference. */
void obj_json_add(const struct obj *o, struct buf *out);
size_t obj_n_pieces(const struct obj *o);
struct str obj_piece(const struct obj *o, size_t i);
/* Does text occur in the JSON, field sets left aside? */
bool obj_json_has(const struct obj *o, const char *text);

/* The tree, borrowed: valid until the end of this turn of the loop; doc_ref it to keep it. Never NULL. */
const struct node *obj_node(struct obj *o);
struct doc *obj_doc(struct obj *o); /* same, as the frozen doc */
/* The tree for one look, the caller's to unref: not kept when nobody had asked for it. */
struct doc *obj_doc_once(struct obj *o);
/* Drops trees that nobody else holds; called by the loop's owner before it sleeps. keep: bytes of trees allowed to stay. */
void obj_trim(size_t keep);
size_t obj_memory(const struct obj *o);

/* --- metadata of any object's tree --- */
static inline const struct node *meta_of(const struct node *root)
{
	return node_get(root, F_metadata);
}
const char *meta_name(const struct node *root); /* "" when absent; likewise below */
const char *meta_ns(const struct node *root);
const char *meta_uid(const struct node *root);
const struct node *meta_labels(const struct node *root);
const char *meta_label(const struct node *root, const char *key); /* NULL when absent */
const char *meta_annotation(const struct node *root, const char *key);
bool meta_is_deleting(const struct node *root); /* deletionTimestamp is set */
/* The ownerReference with controller: true, or NULL. */
const struct node *meta_controller(const struct node *root);
/* "ns/name" or "name" into out */
void obj_key_print(struct buf *out, const char *ns, const char *name);
/* Appends {apiVersion,kind,name,namespace,uid,resourceVersion}: an ObjectReference to o. */
struct node *obj_reference(struct doc *d, struct obj *o);

/* --- conditions: arrays of {type,status,reason,message,lastTransitionTime} --- */
const struct node *cond_find(const struct node *conditions, const char *type);
bool cond_is_true(const struct node *conditions, const char *type);
/* Sets one; lastTransitionTime moves only when status changes. True when anything changed. */
bool cond_set(struct doc *d, struct node *conditions, const char *type, const char *status,
	      const char *reason, const char *message);

#endif
