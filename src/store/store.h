/*
 * The store: every object at its newest revision in memory, ordered by key, and
 * durable behind that in a back end (memory: none; sqlite). One revision counter
 * for all; it never goes back, not across a crash either.
 *
 * Writes are grouped: all that arrive in one turn of the loop, and those that
 * queue while the disk is busy, become one transaction. A write is applied to
 * memory, shown to watchers and acknowledged only when it is durable, in order
 * of revision. Objects of the volatile tier (Events, Leases) are acknowledged
 * at once and reach the disk rarely, together.
 *
 * Keys are laid out as Kubernetes lays them out: res->prefix "[ns/]name".
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/loop.h"
#include "obj/call.h"
#include "obj/obj.h"

struct store;

struct store_config {
	struct loop *loop;
	const char *path; /* the SQLite file; NULL: memory only */
	/* All resources whose objects may be stored (storage versions). Lives as long as the store. */
	const struct resource *const *resources;
	size_t n_resources;
	bool (*is_volatile)(const struct resource *r);
	/* Seconds that an object of r lives after its last write; 0: for ever. (Events.) NULL: all for ever. */
	int64_t (*ttl_s)(const struct resource *r);
	/* Called once for each time the back end can't write (disk full) and when it can again. */
	void (*on_fault)(void *arg, const struct err *e_or_null);
	void *arg;
};

/* Opens, checks (quick_check, schema version: a newer one is refused with what to do) and loads. Blocking. */
int store_open(struct store **ret, const struct store_config *cfg, struct err *e) MUST_CHECK;
/* Finishes what is queued, flushes the volatile tier, closes. */
struct store *store_close(struct store *s);

/* Makes room for the objects of one more resource, which lives as long as the store; another version of one that has
 * its room changes nothing. Rows of it that the file held at open become its objects now: version says of which
 * resource one is by its apiVersion (NULL: r itself). */
void store_add_resource(struct store *s, const struct resource *r,
			const struct resource *(*version)(const struct resource *r, const char *api_version));

int64_t store_revision(const struct store *s); /* newest applied */

/* --- reading: from memory, immediately --- */
struct obj *store_get(struct store *s, const struct resource *r, const char *ns, const char *name); /* borrowed; NULL */

struct store_list {
	/* in */
	const struct resource *res;
	const char *ns; /* NULL or "": all */
	int64_t limit; /* 0: all; counts objects that match */
	const char *continue_token; /* NULL or as given out */
	int64_t at_rv; /* exact revision (resourceVersionMatch=Exact); 0: newest. Too old: ERR_EXPIRED */
	bool (*match)(void *arg, struct obj *o); /* NULL: all */
	void *arg;
	/* out; release with store_list_release */
	struct obj **objs; /* each referenced */
	size_t n;
	int64_t rv;
	char *continue_out; /* NULL: that was all. With ERR_EXPIRED: a token that goes on without consistency */
	int64_t remaining; /* -1: not known (a selector was given) */
};
/* A continue token carries the revision of its first page: later pages show the state of that revision
 * (from the history), or fail with ERR_EXPIRED when it is gone. A bad token: ERR_BAD_REQUEST. */
int store_list(struct store *s, struct store_list *l, struct err *e) MUST_CHECK;
void store_list_release(struct store_list *l);
size_t store_count(struct store *s, const struct resource *r, const char *ns);

/* --- writing --- */
struct store_write {
	const struct resource *res;
	const char *ns, *name; /* borrowed until done */
	/* Decides, when it is this write's turn on its key (writes to one key never overlap). cur: the present
	 * object or NULL. Returns 0 with *out = the new document (ownership taken; the store sets
	 * metadata.resourceVersion and freezes it; its bytes are what is kept), or *remove = true to delete
	 * (*out: the last state to show, or NULL for cur), or *out = NULL for "nothing to do" (done gets cur); or an error.
	 * May be called once only. */
	int (*apply)(struct store_write *w, struct obj *cur, struct doc **out, bool *remove, struct err *e);
	/* o: the object as stored now (after a delete: its last state, with the delete's revision). */
	void (*done)(struct store_write *w, struct obj *o, const struct err *err);
	void *arg;
	void *impl; /* private */
};
/* Takes w (not its memory) until done, which never runs inside store_submit. */
void store_submit(struct store *s, struct store_write *w);

/* --- watching --- */
struct store_watch;
struct store_event {
	enum watch_type type; /* ADDED, MODIFIED, DELETED */
	struct obj *obj; /* new state; DELETED: last state with the delete's revision in obj->rv and its bytes */
	struct obj *old; /* state before; NULL for ADDED */
	int64_t rv;
};
/* Events of one resource (ns "" or NULL: all namespaces) with revision > from_rv, in order, each shared by
 * all watchers. Those already past come from the history; ERR_EXPIRED when it no longer reaches back
 * ("too old resource version: 5 (1234)"). cb runs at the end of a turn, for all events of that turn;
 * it may stop this and any other watch. */
int store_watch(struct store_watch **ret, struct store *s, const struct resource *r, const char *ns,
		int64_t from_rv, void (*cb)(void *arg, const struct store_event *ev), void *arg,
		struct err *e) MUST_CHECK;
struct store_watch *store_watch_stop(struct store_watch *w);
/* What this turn has brought is given to cb now, not at the turn's end: for who must answer for the state that a
 * client was just told of. */
void store_watch_now(struct store_watch *w);
/* Every event of every resource, from now on: for those who care about relations between objects, not about one
 * kind. Within one turn the kinds come one after the other. */
struct store_feed;
struct store_feed *store_feed_start(struct store *s, void (*cb)(void *arg, const struct store_event *ev), void *arg);
struct store_feed *store_feed_stop(struct store_feed *f); /* not inside a cb */
/* cb for each object that is there, kind by kind. */
void store_each(struct store *s, void (*cb)(void *arg, struct obj *o), void *arg);
/* Everything up to this revision was given to cb (for bookmarks). */
int64_t store_watch_rv(const struct store_watch *w);

/* --- what /metrics and the debug dump show --- */
struct store_stats {
	int64_t objects, bytes, watches, commits, writes, queued;
};
void store_stats(const struct store *s, struct store_stats *out);

#endif
