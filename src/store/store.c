/*
 * The store's life, its tables, and what a turn of the loop does at its end.
 *
 * The present state of every resource is a tree of entries ordered by
 * "ns/name", which is the order of etcd's keys. Behind it stands a back end
 * (sqlite.c), which is only ever written after open: reads never touch it.
 */
#include "store/internal.h"

#include "base/log.h"
#include "base/time.h"

/* Order of the texts "ns/name" and "name": '/' sorts before letters but after '-' and '.'. */
int store_key_cmp(const char *ans, const char *aname, const char *bns, const char *bname)
{
	if (*ans || *bns) {
		size_t i = 0;

		while (ans[i] && ans[i] == bns[i])
			i++;
		if (ans[i] != bns[i]) {
			unsigned char a = ans[i] ? (unsigned char)ans[i] : '/';
			unsigned char b = bns[i] ? (unsigned char)bns[i] : '/';

			return a < b ? -1 : 1;
		}
	}
	return strcmp(aname, bname);
}

static int store_entry_cmp(struct store_entry *a, struct store_entry *b)
{
	return store_key_cmp(a->obj->ns, a->obj->name, b->obj->ns, b->obj->name);
}

RB_GENERATE(store_tree, store_entry, link, store_entry_cmp)

struct store_table *store_table_of(const struct store *s, const struct resource *r)
{
	struct store_table *t = map_getc(s->tables, r->prefix);

	BUG_ON(!t);
	return t;
}

struct store_entry *store_entry_find(struct store_table *t, const char *ns, const char *name)
{
	struct store_entry *e = RB_ROOT(&t->tree);

	while (e) {
		int c = store_key_cmp(ns ? ns : "", name, e->obj->ns, e->obj->name);

		if (c == 0)
			return e;
		e = c < 0 ? RB_LEFT(e, link) : RB_RIGHT(e, link);
	}
	return NULL;
}

static void store_entry_drop(struct store_table *t, struct store_entry *e)
{
	RB_REMOVE(store_tree, &t->tree, e);
	if (t->ttl_ms)
		TAILQ_REMOVE(&t->ttl, e, ttl_link);
	t->count--;
	t->store->stats.objects--;
	t->store->stats.bytes -= (int64_t)obj_memory(e->obj);
	obj_unref(e->obj);
	free(e);
}

static void store_entry_put(struct store_table *t, struct obj *o)
{
	struct store_entry *e = store_entry_find(t, o->ns, o->name);

	if (e) {
		t->store->stats.bytes -= (int64_t)obj_memory(e->obj);
		obj_unref(e->obj);
		e->obj = obj_ref(o);
		if (t->ttl_ms)
			TAILQ_REMOVE(&t->ttl, e, ttl_link);
	} else {
		e = xcalloc(1, sizeof(*e));
		e->obj = obj_ref(o);
		RB_INSERT(store_tree, &t->tree, e);
		t->count++;
		t->store->stats.objects++;
	}
	t->store->stats.bytes += (int64_t)obj_memory(o);
	if (t->ttl_ms) {
		e->written_ms = time_mono_ms();
		TAILQ_INSERT_TAIL(&t->ttl, e, ttl_link);
	}
}

void store_apply(struct store *s, struct store_op *op)
{
	struct store_table *t = op->table;
	struct store_entry *e = store_entry_find(t, op->obj->ns, op->obj->name);
	struct obj *old = e ? obj_ref(e->obj) : NULL;

	s->revision = op->obj->rv;
	if (op->remove && e)
		store_entry_drop(t, e);
	else if (!op->remove)
		store_entry_put(t, op->obj);
	if (!op->remove || old)
		store_history_add(t, op->remove ? WATCH_DELETED : old ? WATCH_MODIFIED : WATCH_ADDED, op->obj, old);
	obj_unref(old);
	if (t->is_volatile && s->backend)
		map_set(s->volatile_dirty, str_of(op->key), s);
	if (t->ttl_ms)
		store_ttl_arm(s);
}

/* --- objects that live for a time --- */

static int store_ttl_apply(struct store_write *w, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	*remove = cur != NULL;
	return 0;
}

static void store_ttl_done(struct store_write *w, struct obj *o, const struct err *err)
{
	free((char *)w->ns);
	free((char *)w->name);
	free(w);
}

static void store_ttl_expire(void *arg)
{
	struct store *s = arg;
	int64_t now = time_mono_ms();

	for (size_t i = 0; i < s->cfg.n_resources; i++) {
		struct store_table *t = store_table_of(s, s->cfg.resources[i]);
		struct store_entry *e;

		if (!t->ttl_ms)
			continue;
		TAILQ_FOREACH(e, &t->ttl, ttl_link) {
			struct store_write *w;

			if (e->written_ms + t->ttl_ms > now)
				break;
			w = xcalloc(1, sizeof(*w));
			*w = (struct store_write){ .res = t->res, .ns = xstrdup(e->obj->ns),
						   .name = xstrdup(e->obj->name), .apply = store_ttl_apply,
						   .done = store_ttl_done };
			store_submit(s, w);
		}
	}
	store_ttl_arm(s);
}

/* How late an object may go: a sixtieth of its time, between a second and a minute. */
static int64_t store_ttl_slack_ms(const struct store_table *t)
{
	int64_t ms = t->ttl_ms / 60;

	return ms < SEC_MS ? SEC_MS : ms > 60 * SEC_MS ? 60 * SEC_MS : ms;
}

/* One timer for all: set while anything can expire. */
void store_ttl_arm(struct store *s)
{
	int64_t next = -1, now = time_mono_ms();

	if (loop_timer_is_set(s->ttl_timer))
		return;
	for (size_t i = 0; i < s->cfg.n_resources; i++) {
		struct store_table *t = store_table_of(s, s->cfg.resources[i]);
		struct store_entry *e = t->ttl_ms ? TAILQ_FIRST(&t->ttl) : NULL;

		int64_t due = e ? e->written_ms + t->ttl_ms : 0, soonest = now + store_ttl_slack_ms(t);

		if (e && due < soonest)
			due = soonest;
		if (e && (next < 0 || due < next))
			next = due;
	}
	if (next >= 0)
		loop_timer_set(s->ttl_timer, next - now);
}

/* --- open and close --- */

static struct store_table *store_table_new(struct store *s, const struct resource *r)
{
	struct store_table *t = xcalloc(1, sizeof(*t));

	t->store = s;
	t->res = r;
	RB_INIT(&t->tree);
	TAILQ_INIT(&t->ttl);
	TAILQ_INIT(&t->watches);
	t->is_volatile = s->cfg.is_volatile && s->cfg.is_volatile(r);
	t->ttl_ms = s->cfg.ttl_s ? s->cfg.ttl_s(r) * SEC_MS : 0;
	return t;
}

static void store_table_free(void *p)
{
	struct store_table *t = p;
	struct store_entry *e;

	while ((e = RB_ROOT(&t->tree)))
		store_entry_drop(t, e);
	for (; t->first_seq < t->next_seq; t->first_seq++) {
		struct store_past *past = store_past_at(t, t->first_seq);

		obj_unref(past->ev.obj);
		obj_unref(past->ev.old);
	}
	free(t->past);
	free(t);
}

/* The table whose prefix starts the key, "/registry/pods/default/x": the longest that does. */
static struct store_table *store_table_for_key(struct store *s, struct str key)
{
	for (size_t n = key.n; n > 0; n--) {
		struct store_table *t;

		if (key.p[n - 1] != '/')
			continue;
		t = map_get(s->tables, str_sub(key, 0, n));
		if (t)
			return t;
	}
	return NULL;
}

static int store_load_row(void *arg, struct str key, struct str value, struct err *e)
{
	struct store *s = arg;
	struct store_table *t = store_table_for_key(s, key);
	struct obj *o;

	if (!t) {
		struct store_stray stray = { str_dup(key), str_dup(value), value.n };

		VEC_PUSH(&s->strays, stray); /* of a custom resource, perhaps; the row stays in the file anyway */
		return 0;
	}
	o = obj_from_json(t->res, value, e);
	if (!o)
		return err_wrap(e, "read '%" STR_FMT "' from the datastore", STR_ARG(key));
	if (o->rv > s->revision)
		s->revision = o->rv;
	store_entry_put(t, o);
	obj_unref(o);
	obj_trim(0);
	return 0;
}

/* --- resources that come later --- */

static size_t store_strays_from(const struct store *s, const char *prefix)
{
	size_t lo = 0, hi = s->strays.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(s->strays.v[mid].key, prefix) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void store_adopt(struct store_table *t, struct store_stray *stray,
			const struct resource *(*version)(const struct resource *r, const char *api_version))
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct obj *o = obj_from_json(t->res, str_n(stray->value, stray->len), &e);
	const struct resource *as;

	if (!o) {
		log_warn("an object in the datastore can't be read, ignoring", LS("key", stray->key), LE(&e));
		return;
	}
	as = version(t->res, node_gets(obj_node(o), F_apiVersion));
	if (as)
		o->res = as;
	store_entry_put(t, o);
	obj_unref(o);
	free(stray->value);
	stray->value = NULL;
}

void store_add_resource(struct store *s, const struct resource *r,
			const struct resource *(*version)(const struct resource *r, const char *api_version))
{
	struct store_table *t = map_getc(s->tables, r->prefix);

	if (t)
		return;
	t = store_table_new(s, r);
	t->floor_rv = s->revision;
	map_set(s->tables, str_of(r->prefix), t);
	for (size_t i = store_strays_from(s, r->prefix); i < s->strays.n; i++) {
		if (!starts_with(s->strays.v[i].key, r->prefix))
			break;
		if (s->strays.v[i].value)
			store_adopt(t, &s->strays.v[i], version);
		obj_trim(0);
	}
}

static void store_turn_end(void *arg)
{
	struct store *s = arg;

	store_begin_batch(s);
	store_deliver(s);
}

static int store_load(struct store *s, struct err *e)
{
	int64_t reserved = 0;
	struct store_batch batch = { .store = s, .rows = VEC_INIT };

	if (!s->cfg.path)
		return 0;
	if (sqlite_open(&s->backend, s->cfg.path, e) < 0)
		return -e->code;
	if (sqlite_load(s->backend, &reserved, store_load_row, s, e) < 0)
		return -e->code;
	if (reserved > s->revision)
		s->revision = reserved;
	/* Nothing above the reserved number was ever shown; from here on a new block is ours. */
	batch.reserve = s->revision + STORE_REVISION_BLOCK;
	if (sqlite_commit(s->backend, &batch, e) < 0)
		return -e->code;
	s->reserved = batch.reserve;
	return 0;
}

int store_open(struct store **ret, const struct store_config *cfg, struct err *e)
{
	struct store *s = xcalloc(1, sizeof(*s));

	s->cfg = *cfg;
	s->tables = map_new(store_table_free);
	s->keys = map_new(free);
	s->volatile_dirty = map_new(NULL);
	TAILQ_INIT(&s->order);
	TAILQ_INIT(&s->settled);
	TAILQ_INIT(&s->dirty_tables);
	TAILQ_INIT(&s->feeds);
	s->ttl_timer = loop_timer_new(cfg->loop, store_ttl_expire, s);
	for (size_t i = 0; i < cfg->n_resources; i++)
		if (!map_getc(s->tables, cfg->resources[i]->prefix))
			map_set(s->tables, str_of(cfg->resources[i]->prefix),
				store_table_new(s, cfg->resources[i]));
	s->revision = 1;
	if (store_load(s, e) < 0) {
		store_close(s);
		return -e->code;
	}
	s->next_revision = s->delivered_rv = s->revision;
	for (size_t i = 0; i < cfg->n_resources; i++)
		store_table_of(s, cfg->resources[i])->floor_rv = s->revision;
	s->volatile_flushed_ms = time_mono_ms();
	s->jobs = job_queue_new(cfg->loop, "db", 1, 4);
	s->hook = loop_before_sleep(cfg->loop, store_turn_end, s);
	store_ttl_arm(s);
	*ret = s;
	return 0;
}

struct store *store_close(struct store *s)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (!s)
		return NULL;
	job_queue_free(s->jobs);
	if (s->hook && store_flush(s, &e) < 0)
		log_error("the last changes could not be written to the datastore", LE(&e));
	loop_hook_free(s->hook);
	loop_timer_free(s->ttl_timer);
	loop_undefer(s->cfg.loop, &s->settle_task);
	if (s->backend)
		sqlite_close(s->backend);
	map_free(s->tables);
	for (size_t i = 0; i < s->strays.n; i++) {
		free(s->strays.v[i].key);
		free(s->strays.v[i].value);
	}
	VEC_RELEASE(&s->strays);
	map_free(s->keys);
	map_free(s->volatile_dirty);
	free(s);
	return NULL;
}

int64_t store_revision(const struct store *s)
{
	return s->revision;
}

void store_stats(const struct store *s, struct store_stats *out)
{
	*out = s->stats;
}
