/*
 * The call: one request to the cluster, as every part makes it and as the API
 * server takes it. `client` and `api` share this and nothing else: a server's
 * own parts call straight into the API's entry point, an agent's go by HTTPS.
 *
 * A call is asynchronous always: `done` never runs inside call_submit. The
 * caller owns the struct and keeps it alive until `done` (or call_cancel); all
 * strings in it are borrowed for that long.
 */
#ifndef OBJ_CALL_H
#define OBJ_CALL_H

#include "obj/obj.h"

enum verb {
	VERB_GET,
	VERB_LIST,
	VERB_WATCH,
	VERB_CREATE,
	VERB_UPDATE,
	VERB_PATCH,
	VERB_DELETE,
	VERB_DELETECOLLECTION,
	VERB_CONNECT, /* upgraded or proxied subresources; HTTP only */
	VERB_MAX
};
const char *verb_name(enum verb v); /* "get", ... as RBAC spells it */

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK, WATCH_ERROR };
const char *watch_type_name(enum watch_type t); /* "ADDED" */

/* metav1.{Get,List,Create,Update,Patch,Delete}Options, decoded. Zero means not given. */
struct call_opts {
	const char *label_selector, *field_selector;
	int64_t limit;
	const char *continue_token;
	const char *resource_version; /* text, as given */
	const char *resource_version_match; /* "", "Exact", "NotOlderThan" */
	int64_t timeout_s; /* 0: none */
	bool allow_bookmarks, send_initial_events;
	bool dry_run;
	const char *field_manager;
	char field_validation; /* 0: default (Warn; kubectl asks for Strict), 'S', 'W', 'I' */
	enum patch_type patch_type;
	bool force; /* apply */
	bool has_grace;
	int64_t grace_s;
	const char *propagation; /* NULL, "Orphan", "Background", "Foreground" */
	bool orphan_false; /* it was said by orphanDependents=false */
	const char *precond_uid, *precond_rv;
	bool pretty;
};

struct call {
	enum verb verb;
	const struct resource *res;
	const char *subresource; /* NULL or "status", "binding", ... */
	const char *ns, *name; /* NULL or "" when not given */
	struct call_opts opts;
	struct doc *body; /* create, update, patch (the patch itself), delete options; referenced, not taken */

	/* The answer. Exactly one of obj, list and err is meaningful; all borrowed for the callback.
	 * get/create/update/patch/delete: obj. delete may instead give obj NULL (Status Success).
	 * list: list/n_list with list_rv. */
	void (*done)(struct call *c, const struct err *err);
	struct obj *obj;
	struct obj **list;
	size_t n_list;
	int64_t list_rv;
	const char *continue_out;

	/* VERB_WATCH: event for each change until `done` (with the reason it ended) or call_cancel.
	 * BOOKMARK: obj NULL, rv in list_rv. With resource_version "" and send_initial_events the
	 * present objects come first as ADDED, then one BOOKMARK with initial_done set. */
	void (*event)(struct call *c, enum watch_type t, struct obj *obj);
	bool initial_done;

	void *arg; /* the caller's */
	void *impl; /* the server's, while it runs */
};

/* Every change of every stored object, whatever its kind; for parts of this process. First all that is there as
 * ADDED, then one BOOKMARK with obj NULL; both from the loop's next turn on. What was written just before may come twice. */
struct call_feed {
	void (*event)(struct call_feed *f, enum watch_type t, struct obj *obj);
	void *impl; /* the server's, while it runs */
};

/* The way in that api offers and client takes (wired in cli/cmd-server.c). */
struct call_server {
	void (*submit)(struct call_server *s, struct call *c);
	void (*cancel)(struct call_server *s, struct call *c); /* done will not be called */
	/* How many objects of r are stored, in all namespaces. Costs nothing, so that nobody lists kinds that are empty. */
	size_t (*count)(struct call_server *s, const struct resource *r);
	void (*feed)(struct call_server *s, struct call_feed *f);
	void (*unfeed)(struct call_server *s, struct call_feed *f); /* not inside an event */
};

#endif
