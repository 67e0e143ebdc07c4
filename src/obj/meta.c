/*
 * Metadata and conditions of any object's tree.
 */
#include "base/time.h"
#include "obj/call.h"
#include "obj/obj.h"

const char *meta_name(const struct node *root)
{
	return node_gets(meta_of(root), F_name);
}

const char *meta_ns(const struct node *root)
{
	return node_gets(meta_of(root), F_namespace);
}

const char *meta_uid(const struct node *root)
{
	return node_gets(meta_of(root), F_uid);
}

const struct node *meta_labels(const struct node *root)
{
	return node_get(meta_of(root), F_labels);
}

const char *meta_label(const struct node *root, const char *key)
{
	return node_cstr(node_getc(meta_labels(root), key));
}

const char *meta_annotation(const struct node *root, const char *key)
{
	return node_cstr(node_getc(node_get(meta_of(root), F_annotations), key));
}

bool meta_is_deleting(const struct node *root)
{
	return node_str(node_get(meta_of(root), F_deletionTimestamp)).n > 0;
}

const struct node *meta_controller(const struct node *root)
{
	NODE_FOREACH(ref, node_get(meta_of(root), F_ownerReferences))
		if (node_bool(node_get(ref, F_controller), false))
			return ref;
	return NULL;
}

const struct node *cond_find(const struct node *conditions, const char *type)
{
	NODE_FOREACH(c, conditions)
		if (node_streq(node_get(c, F_type), type))
			return c;
	return NULL;
}

bool cond_is_true(const struct node *conditions, const char *type)
{
	return node_streq(node_get(cond_find(conditions, type), F_status), "True");
}

/* An empty value removes the member; true when it was different before. */
static bool cond_member(struct doc *d, struct node *c, enum field f, const char *value)
{
	if (streq_null(node_gets(c, f), value))
		return false;
	if (str_empty(value))
		node_remove(c, f);
	else
		node_sets(d, c, f, value);
	return true;
}

bool cond_set(struct doc *d, struct node *conditions, const char *type, const char *status, const char *reason,
	      const char *message)
{
	struct node *c = (struct node *)cond_find(conditions, type);
	bool changed = false;

	if (!c) {
		c = node_append(conditions, node_new(d, DOC_OBJECT));
		node_sets(d, c, F_type, type);
	}
	if (!node_streq(node_get(c, F_status), status)) {
		char now[TIME_RFC3339_LEN];

		node_sets(d, c, F_status, status);
		node_sets(d, c, F_lastTransitionTime, time_fmt_rfc3339(now, time_wall_s()));
		changed = true;
	}
	changed |= cond_member(d, c, F_reason, reason);
	changed |= cond_member(d, c, F_message, message);
	return changed;
}

const char *verb_name(enum verb v)
{
	static const char *const names[VERB_MAX] = {
		[VERB_GET] = "get",
		[VERB_LIST] = "list",
		[VERB_WATCH] = "watch",
		[VERB_CREATE] = "create",
		[VERB_UPDATE] = "update",
		[VERB_PATCH] = "patch",
		[VERB_DELETE] = "delete",
		[VERB_DELETECOLLECTION] = "deletecollection",
		[VERB_CONNECT] = "connect",
	};

	return names[v];
}

const char *watch_type_name(enum watch_type t)
{
	static const char *const names[] = {
		[WATCH_ADDED] = "ADDED",
		[WATCH_MODIFIED] = "MODIFIED",
		[WATCH_DELETED] = "DELETED",
		[WATCH_BOOKMARK] = "BOOKMARK",
		[WATCH_ERROR] = "ERROR",
	};

	return names[t];
}
