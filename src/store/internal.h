/*
 * The store's own structures: tables, entries, history, writes under way, and
 * what a back end must do.
 *
 * Threads: everything here belongs to the loop, except struct store_batch while
 * its job runs: then the db thread reads it and the back end, nothing else.
 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include "base/job.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/tree.h"
#include "base/vec.h"
#include "store/store.h"

#define STORE_VERSION 1 /* of the file's layout */
#define STORE_REVISION_BLOCK 100000 /* revisions reserved on disk at a time */
#define STORE_HISTORY_MS (5 * 60 * 1000) /* how long history is kept, as etcd's compaction */
#define STORE_HISTORY_BYTES (4u << 20) /* for each resource */
#define STORE_VOLATILE_FLUSH_MS (5 * 60 * 1000) /* volatile objects join a transaction this rarely */

/* --- tables: the present state of each resource, ordered by "ns/name" --- */
struct store_entry {
	RB_ENTRY(store_entry) link;
	TAILQ_ENTRY(store_entry) ttl_link; /* tables with a time to live: oldest write first */
	struct obj *obj;
	int64_t written_ms; /* monotonic; only with a time to live */
};
RB_HEAD(store_tree, store_entry);

struct store_past { /* one event of the history */
	struct store_event ev; /* obj and old are referenced */
	int64_t at_ms;
};

struct store_table {
	struct store *store;
	const struct resource *res;
	struct store_tree tree;
	size_t count;
	bool is_volatile;
	int64_t ttl_ms;
	TAILQ_HEAD(, store_entry) ttl;
	/* ring of past events: seq numbers first_seq .. next_seq-1 */
	struct store_past *past;
	size_t past_cap; /* a power of two */
	uint64_t first_seq, next_seq, delivered_seq;
	size_t past_bytes;
	int64_t floor_rv; /* events with rv <= floor_rv are not (all) in the ring */
	TAILQ_HEAD(, store_watch) watches;
	bool dirty; /* has undelivered events: on store.dirty_tables */
	TAILQ_ENTRY(store_table) dirty_link;
};

struct store_watch {
	TAILQ_ENTRY(store_watch) link;
	struct store_table *table;
	char *ns; /* "" for all */
	uint64_t next_seq;
	int64_t from_rv;
	void (*cb)(void *arg, const struct store_event *ev);
	void *arg;
	bool dead; /* stopped while events are given out */
};

struct store_feed {
	TAILQ_ENTRY(store_feed) link;
	struct store *store;
	void (*cb)(void *arg, const struct store_event *ev);
	void *arg;
};

/* --- writes under way --- */
enum store_op_state {
	STORE_OP_WAITING, /* another write holds the key */
	STORE_OP_QUEUED, /* has its revision; in store.order; waits for a transaction (or its predecessors) */
	STORE_OP_WRITING, /* in the batch that the db thread has */
	STORE_OP_READY, /* durable (or volatile): applied when it is first in store.order */
	STORE_OP_FAILED, /* the transaction failed */
	STORE_OP_SETTLED /* nothing to apply: only done is to be called */
};
struct store_op {
	TAILQ_ENTRY(store_op) link; /* key's waiting list, store.order, or store.settled */
	struct store_write *w;
	struct store_table *table;
	char *key; /* whole: res->prefix ns/name */
	enum store_op_state state;
	struct obj *obj; /* new state, or last state when remove */
	bool remove;
	struct err err;
};
TAILQ_HEAD(store_ops, store_op);

struct store_key { /* a key that a write holds */
	struct store_ops waiting;
};

/* --- transactions --- */
struct store_row {
	char *key;
	struct obj *obj; /* NULL: delete */
};
struct store_batch {
	struct store *store;
	VEC(struct store_row) rows;
	int64_t reserve; /* > 0: write this as the reserved revision */
	struct err err;
};

/* What a back end does; blocking, on the db thread after open. Implemented by sqlite.c. */
struct store_backend;
int sqlite_open(struct store_backend **ret, const char *path, struct err *e) MUST_CHECK;
/* Calls row for each key in order; *reserved: the highest revision ever reserved. */
int sqlite_load(struct store_backend *b, int64_t *reserved,
		int (*row)(void *arg, struct str key, struct str value, struct err *e), void *arg,
		struct err *e) MUST_CHECK;
int sqlite_commit(struct store_backend *b, const struct store_batch *batch, struct err *e) MUST_CHECK;
void sqlite_close(struct store_backend *b);

struct store_stray { /* a row of the file that belongs to no resource yet */
	char *key;
	char *value; /* NULL: it found its place */
	size_t len;
};

struct store {
	struct store_config cfg;
	struct store_backend *backend; /* NULL: memory only */
	struct job_queue *jobs;
	struct map *tables; /* by prefix */
	VEC(struct store_stray) strays; /* in order of keys */
	int64_t revision; /* newest applied */
	int64_t next_revision; /* newest given to a write */
	int64_t reserved; /* on disk: no revision above it may be shown */
	int64_t delivered_rv; /* watchers have everything up to here */
	struct map *keys; /* key -> struct store_key: writes under way */
	struct store_ops order; /* by revision */
	struct store_ops settled;
	struct loop_task settle_task;
	struct store_batch *writing; /* the batch that the db thread has */
	size_t n_unwritten; /* ops in order that need a transaction and have none */
	struct map *volatile_dirty; /* keys of volatile objects that changed since they were written */
	int64_t volatile_flushed_ms;
	struct loop_hook *hook;
	TAILQ_HEAD(, store_table) dirty_tables;
	TAILQ_HEAD(, store_feed) feeds;
	struct loop_timer *ttl_timer;
	bool faulty; /* the last transaction failed */
	struct store_table *delivering; /* whose watchers are being told; they may not be freed meanwhile */
	struct store_stats stats;
};

RB_PROTOTYPE(store_tree, store_entry, link, store_entry_cmp)

struct store_table *store_table_of(const struct store *s, const struct resource *r);
/* Compares "ns/name" texts without building them. */
int store_key_cmp(const char *ans, const char *aname, const char *bns, const char *bname);
struct store_entry *store_entry_find(struct store_table *t, const char *ns, const char *name);
/* Puts op's outcome into memory and history. */
void store_apply(struct store *s, struct store_op *op);
void store_history_add(struct store_table *t, enum watch_type type, struct obj *obj, struct obj *old);
void store_history_trim(struct store_table *t);
struct store_past *store_past_at(struct store_table *t, uint64_t seq);
void store_deliver(struct store *s); /* new events to watchers */
void store_begin_batch(struct store *s);
int store_flush(struct store *s, struct err *e); /* blocking: everything that is not on disk yet */
void store_ttl_arm(struct store *s);

#endif
