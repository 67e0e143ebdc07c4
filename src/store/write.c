/*
 * Writes: one at a time on each key, in one order of revisions, in groups to disk.
 *
 * Life of a write: it waits for its key; apply decides; it gets the next
 * revision and its place in store.order. At the end of the turn all queued
 * writes become one transaction on the db thread (while one is under way they
 * gather for the next). Writes of the volatile tier need no transaction but keep
 * their place in the order, so that what is visible at revision N includes all
 * up to N. When the head of the order is durable it is applied to memory, shown
 * to watchers, and acknowledged.
 *
 * Revisions are reserved on disk in blocks, so that one that was shown (also to
 * somebody who saw only volatile objects) is never given out again after a crash.
 */
#include "store/internal.h"

#include <stdio.h>

#include "base/log.h"
#include "base/time.h"

static void store_op_start(struct store *s, struct store_op *op);

static char *store_key_text(const struct store_write *w)
{
	if (w->res->namespaced)
		return xasprintf("%s%s/%s", w->res->prefix, w->ns ? w->ns : "", w->name);
	return xasprintf("%s%s", w->res->prefix, w->name);
}

static void store_op_free(struct store_op *op)
{
	obj_unref(op->obj);
	err_release(&op->err);
	free(op->key);
	free(op);
}

/* Lets the next write on the key go on. */
static void store_key_release(struct store *s, struct store_op *op)
{
	struct store_key *k = map_getc(s->keys, op->key);
	struct store_op *next = TAILQ_FIRST(&k->waiting);

	if (!next) {
		map_del(s->keys, str_of(op->key));
		return;
	}
	TAILQ_REMOVE(&k->waiting, next, link);
	store_op_start(s, next);
}

static void store_op_finish(struct store *s, struct store_op *op)
{
	store_key_release(s, op);
	op->w->done(op->w, op->obj, err_is_set(&op->err) ? &op->err : NULL);
	store_op_free(op);
}

/* Applies from the head of the order all that is decided. */
static void store_apply_ready(struct store *s)
{
	struct store_op *op;

	while ((op = TAILQ_FIRST(&s->order)) && (op->state == STORE_OP_READY || op->state == STORE_OP_FAILED)) {
		TAILQ_REMOVE(&s->order, op, link);
		if (op->state == STORE_OP_READY) {
			store_apply(s, op);
			s->stats.writes++;
		}
		s->stats.queued--;
		store_op_finish(s, op);
	}
}

static void store_settle(struct loop_task *task)
{
	struct store *s = CONTAINER_OF(task, struct store, settle_task);
	struct store_op *op;

	while ((op = TAILQ_FIRST(&s->settled))) {
		TAILQ_REMOVE(&s->settled, op, link);
		store_op_finish(s, op);
	}
	store_apply_ready(s);
}

static void store_wake(struct store *s)
{
	s->settle_task.run = store_settle;
	loop_defer(s->cfg.loop, &s->settle_task);
}

static void store_op_settle(struct store *s, struct store_op *op)
{
	op->state = STORE_OP_SETTLED;
	TAILQ_INSERT_TAIL(&s->settled, op, link);
	store_wake(s);
}

/* The object as it will be stored: revision in the document, bytes made once. */
static struct obj *store_stamp(const struct resource *r, struct doc *d, int64_t rv)
{
	char text[24];
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);

	snprintf(text, sizeof(text), "%lld", (long long)rv);
	node_sets(d, meta, F_resourceVersion, text);
	return obj_new(r, d, rv);
}

static int store_op_decide(struct store *s, struct store_op *op, struct obj *cur)
{
	struct doc *out = NULL;
	int rc = op->w->apply(op->w, cur, &out, &op->remove, &op->err);

	if (rc == 0 && (out || (op->remove && cur))) {
		if (!out)
			out = doc_clone(obj_doc(cur));
		BUG_ON(doc_is_frozen(out));
		op->obj = store_stamp(op->w->res, out, s->next_revision + 1);
		if (!op->remove && op->obj->json_len > LIMIT_OBJECT_BYTES)
			rc = err_set(&op->err, ERR_TOO_LARGE, "Request entity too large: limit is %u",
				     LIMIT_OBJECT_BYTES);
	}
	doc_unref(out);
	if (rc < 0)
		op->obj = obj_unref(op->obj);
	return rc;
}

static void store_op_start(struct store *s, struct store_op *op)
{
	struct store_entry *entry = store_entry_find(op->table, op->w->ns, op->w->name);
	struct obj *cur = entry ? obj_ref(entry->obj) : NULL;

	op->remove = false;
	if (store_op_decide(s, op, cur) < 0 || !op->obj) {
		if (!err_is_set(&op->err) && cur)
			op->obj = obj_ref(cur); /* nothing to do */
		obj_unref(cur);
		store_op_settle(s, op);
		return;
	}
	obj_unref(cur);
	s->next_revision = op->obj->rv;
	TAILQ_INSERT_TAIL(&s->order, op, link);
	s->stats.queued++;
	if (!s->backend || (op->table->is_volatile && op->obj->rv <= s->reserved)) {
		op->state = STORE_OP_READY;
		store_wake(s);
	} else {
		op->state = STORE_OP_QUEUED;
		s->n_unwritten++;
		if (!s->writing)
			store_wake(s); /* there is a turn to come whose end begins the transaction */
	}
}

void store_submit(struct store *s, struct store_write *w)
{
	struct store_op *op = xcalloc(1, sizeof(*op));
	struct store_key *k;

	op->w = w;
	op->table = store_table_of(s, w->res);
	op->key = store_key_text(w);
	k = map_getc(s->keys, op->key);
	if (k) {
		op->state = STORE_OP_WAITING;
		TAILQ_INSERT_TAIL(&k->waiting, op, link);
		return;
	}
	k = xcalloc(1, sizeof(*k));
	TAILQ_INIT(&k->waiting);
	map_set(s->keys, str_of(op->key), k);
	store_op_start(s, op);
}

/* --- transactions --- */

static void store_batch_add(struct store_batch *b, const char *key, struct obj *o)
{
	struct store_row row = { xstrdup(key), o ? obj_ref(o) : NULL };

	VEC_PUSH(&b->rows, row);
}

static void store_batch_release(struct store_batch *b)
{
	for (size_t i = 0; i < b->rows.n; i++) {
		free(b->rows.v[i].key);
		obj_unref(b->rows.v[i].obj);
	}
	VEC_RELEASE(&b->rows);
	err_release(&b->err);
}

static struct obj *store_present(struct store *s, const char *key)
{
	struct str rest = str_of(key);
	struct map_iter it = { 0 };

	while (map_next(s->tables, &it)) {
		struct store_table *t = it.value;
		struct str name = rest, ns = STR_NONE;
		_cleanup_free_ char *nss = NULL;
		struct store_entry *e;

		if (!t->is_volatile || !str_starts(rest, it.key))
			continue;
		name = str_sub(rest, it.key.n, rest.n);
		if (t->res->namespaced)
			ns = str_cut(&name, '/');
		nss = str_dup(ns);
		e = store_entry_find(t, nss, name.p);
		return e ? e->obj : NULL;
	}
	return NULL;
}

static void store_batch_add_volatile(struct store *s, struct store_batch *b)
{
	struct map_iter it = { 0 };

	while (map_next(s->volatile_dirty, &it))
		store_batch_add(b, it.key.p, store_present(s, it.key.p));
	map_clear(s->volatile_dirty);
	s->volatile_flushed_ms = time_mono_ms();
}

/* What each writer is told; that it is said in the log once is store_fault's part. */
static void store_fault_tell(struct err *e, const struct err *why)
{
	if (why->reason == ERR_UNKNOWN)
		err_set(e, ERR_INTERNAL, "Internal error occurred: %s", err_msg(why));
	else
		err_copy(e, why);
}

static void store_fault(struct store *s, const struct err *e)
{
	bool faulty = e != NULL;

	if (faulty == s->faulty)
		return;
	s->faulty = faulty;
	if (faulty)
		log_error("the datastore can't be written; changes are refused until it can", LE(e));
	else
		log_info("the datastore can be written again");
	if (s->cfg.on_fault)
		s->cfg.on_fault(s->cfg.arg, e);
}

static void store_batch_run(void *arg)
{
	struct store_batch *b = arg;

	if (sqlite_commit(b->store->backend, b, &b->err) < 0)
		BUG_ON(!err_is_set(&b->err)); /* store_batch_done deals with it */
}

static void store_batch_done(void *arg)
{
	struct store_batch *b = arg;
	struct store *s = b->store;
	bool failed = err_is_set(&b->err);
	struct store_op *op;

	if (!failed && b->reserve > s->reserved)
		s->reserved = b->reserve;
	TAILQ_FOREACH(op, &s->order, link) {
		if (op->state != STORE_OP_WRITING)
			continue;
		op->state = failed ? STORE_OP_FAILED : STORE_OP_READY;
		if (failed) {
			op->obj = obj_unref(op->obj);
			store_fault_tell(&op->err, &b->err);
		}
	}
	s->stats.commits++;
	store_fault(s, failed ? &b->err : NULL);
	if (failed) { /* volatile rows that went along are still unwritten */
		for (size_t i = 0; i < b->rows.n; i++)
			if (store_present(s, b->rows.v[i].key))
				map_set(s->volatile_dirty, str_of(b->rows.v[i].key), s);
	}
	store_batch_release(b);
	free(b);
	s->writing = NULL;
	store_apply_ready(s);
}

static void store_batch_fill(struct store *s, struct store_batch *b)
{
	struct store_op *op;

	TAILQ_FOREACH(op, &s->order, link) {
		if (op->state != STORE_OP_QUEUED)
			continue;
		op->state = STORE_OP_WRITING;
		store_batch_add(b, op->key, op->remove ? NULL : op->obj);
	}
	s->n_unwritten = 0;
	if (s->next_revision + STORE_REVISION_BLOCK / 2 > s->reserved)
		b->reserve = s->next_revision + STORE_REVISION_BLOCK;
	if (map_count(s->volatile_dirty) && time_mono_ms() - s->volatile_flushed_ms > STORE_VOLATILE_FLUSH_MS)
		store_batch_add_volatile(s, b);
}

void store_begin_batch(struct store *s)
{
	struct store_batch *b;

	if (!s->backend || s->writing || !s->n_unwritten)
		return;
	b = xcalloc(1, sizeof(*b));
	b->store = s;
	store_batch_fill(s, b);
	s->writing = b;
	BUG_ON(job_submit(s->jobs, store_batch_run, store_batch_done, b) < 0);
}

int store_flush(struct store *s, struct err *e)
{
	struct store_batch b = { .store = s, .rows = VEC_INIT };
	int rc = 0;

	if (s->backend) {
		store_batch_fill(s, &b);
		store_batch_add_volatile(s, &b);
		b.reserve = s->next_revision; /* a clean end gives the rest of the block back */
		rc = sqlite_commit(s->backend, &b, e);
		store_batch_release(&b);
	}
	for (struct store_op *op; (op = TAILQ_FIRST(&s->order));) {
		op->state = rc < 0 ? STORE_OP_FAILED : STORE_OP_READY;
		if (rc < 0) {
			op->obj = obj_unref(op->obj);
			err_copy(&op->err, e);
		}
		store_apply_ready(s);
	}
	store_settle(&s->settle_task);
	return rc;
}
