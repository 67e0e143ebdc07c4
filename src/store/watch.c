/*
 * History and watches.
 *
 * Each resource keeps a ring of its last events, bounded in number, bytes and
 * age. A watch is a position in that ring: watchers share the events and cost
 * no queue of their own. New events are given out once at the end of each turn;
 * feeds are shown those of all resources.
 */
#include "store/internal.h"

#include "base/time.h"

struct store_past *store_past_at(struct store_table *t, uint64_t seq)
{
	return &t->past[seq & (t->past_cap - 1)];
}

static size_t store_past_weight(const struct store_past *p)
{
	return p->ev.obj->json_len + (p->ev.old ? p->ev.old->json_len : 0);
}

static void store_past_drop_first(struct store_table *t)
{
	struct store_past *p = store_past_at(t, t->first_seq);

	t->floor_rv = p->ev.rv;
	t->past_bytes -= store_past_weight(p);
	obj_unref(p->ev.obj);
	obj_unref(p->ev.old);
	t->first_seq++;
}

/* What was not given out yet is never dropped. */
void store_history_trim(struct store_table *t)
{
	int64_t old = time_mono_ms() - STORE_HISTORY_MS;

	while (t->first_seq < t->delivered_seq &&
	       (t->next_seq - t->first_seq > LIMIT_STORE_HISTORY || t->past_bytes > STORE_HISTORY_BYTES ||
		store_past_at(t, t->first_seq)->at_ms < old))
		store_past_drop_first(t);
}

static void store_past_grow(struct store_table *t)
{
	size_t cap = t->past_cap ? t->past_cap * 2 : 16;
	struct store_past *bigger = xcalloc(cap, sizeof(*bigger));

	for (uint64_t q = t->first_seq; q < t->next_seq; q++)
		bigger[q & (cap - 1)] = *store_past_at(t, q);
	free(t->past);
	t->past = bigger;
	t->past_cap = cap;
}

void store_history_add(struct store_table *t, enum watch_type type, struct obj *obj, struct obj *old)
{
	struct store_past *p;

	store_history_trim(t);
	if (t->next_seq - t->first_seq == t->past_cap)
		store_past_grow(t);
	p = store_past_at(t, t->next_seq++);
	*p = (struct store_past){ { type, obj_ref(obj), old ? obj_ref(old) : NULL, obj->rv }, time_mono_ms() };
	t->past_bytes += store_past_weight(p);
	if (!t->dirty) {
		t->dirty = true;
		TAILQ_INSERT_TAIL(&t->store->dirty_tables, t, dirty_link);
	}
}

static bool store_watch_wants(const struct store_watch *w, const struct store_event *ev)
{
	return ev->rv > w->from_rv && (!*w->ns || streq(w->ns, ev->obj->ns));
}

static void store_watch_run(struct store_watch *w, uint64_t to_seq)
{
	struct store_table *t = w->table;

	while (!w->dead && w->next_seq < to_seq) {
		struct store_event ev = store_past_at(t, w->next_seq++)->ev;

		if (store_watch_wants(w, &ev))
			w->cb(w->arg, &ev);
	}
}

static void store_watch_free(struct store_watch *w)
{
	TAILQ_REMOVE(&w->table->watches, w, link);
	w->table->store->stats.watches--;
	free(w->ns);
	free(w);
}

/* Feeds get what nobody was shown yet; a late watch's past is not theirs. */
static void store_feed_run(struct store_table *t, uint64_t to_seq)
{
	struct store_feed *f;

	if (TAILQ_EMPTY(&t->store->feeds))
		return;
	for (uint64_t q = t->delivered_seq > t->first_seq ? t->delivered_seq : t->first_seq; q < to_seq; q++)
		TAILQ_FOREACH(f, &t->store->feeds, link)
			f->cb(f->arg, &store_past_at(t, q)->ev);
}

static void store_deliver_table(struct store_table *t)
{
	struct store_watch *w, *next;
	uint64_t to = t->next_seq;

	TAILQ_FOREACH(w, &t->watches, link)
		store_watch_run(w, to);
	store_feed_run(t, to);
	t->delivered_seq = to;
	TAILQ_FOREACH_SAFE(w, &t->watches, link, next)
		if (w->dead)
			store_watch_free(w);
}

void store_deliver(struct store *s)
{
	struct store_table *t;
	int64_t rv = s->revision;

	if (TAILQ_EMPTY(&s->dirty_tables)) {
		s->delivered_rv = rv;
		return;
	}
	while ((t = TAILQ_FIRST(&s->dirty_tables))) {
		TAILQ_REMOVE(&s->dirty_tables, t, dirty_link);
		t->dirty = false;
		s->delivering = t;
		store_deliver_table(t);
	}
	s->delivering = NULL;
	s->delivered_rv = rv;
}

int store_watch(struct store_watch **ret, struct store *s, const struct resource *r, const char *ns, int64_t from_rv,
		void (*cb)(void *arg, const struct store_event *ev), void *arg, struct err *e)
{
	struct store_table *t = store_table_of(s, r);
	struct store_watch *w;

	store_history_trim(t);
	if (from_rv < t->floor_rv)
		return err_set(e, ERR_EXPIRED, "too old resource version: %lld (%lld)", (long long)from_rv,
			       (long long)t->floor_rv);
	w = xcalloc(1, sizeof(*w));
	w->table = t;
	w->ns = xstrdup(ns ? ns : "");
	w->from_rv = from_rv;
	w->cb = cb;
	w->arg = arg;
	w->next_seq = t->next_seq;
	while (w->next_seq > t->first_seq && store_past_at(t, w->next_seq - 1)->ev.rv > from_rv)
		w->next_seq--;
	TAILQ_INSERT_TAIL(&t->watches, w, link);
	s->stats.watches++;
	/* What lies behind it already is given out at the end of this turn like anything new. */
	if (w->next_seq < t->next_seq && !t->dirty) {
		t->dirty = true;
		TAILQ_INSERT_TAIL(&s->dirty_tables, t, dirty_link);
	}
	*ret = w;
	return 0;
}

struct store_watch *store_watch_stop(struct store_watch *w)
{
	if (!w)
		return NULL;
	w->dead = true;
	if (w->table->store->delivering != w->table)
		store_watch_free(w);
	return NULL;
}

void store_watch_now(struct store_watch *w)
{
	if (w->next_seq < w->table->next_seq)
		store_watch_run(w, w->table->next_seq);
}

int64_t store_watch_rv(const struct store_watch *w)
{
	return w->table->store->delivered_rv;
}

struct store_feed *store_feed_start(struct store *s, void (*cb)(void *arg, const struct store_event *ev), void *arg)
{
	struct store_feed *f = xcalloc(1, sizeof(*f));

	f->store = s;
	f->cb = cb;
	f->arg = arg;
	TAILQ_INSERT_TAIL(&s->feeds, f, link);
	return f;
}

struct store_feed *store_feed_stop(struct store_feed *f)
{
	if (!f)
		return NULL;
	BUG_ON(f->store->delivering);
	TAILQ_REMOVE(&f->store->feeds, f, link);
	free(f);
	return NULL;
}

void store_each(struct store *s, void (*cb)(void *arg, struct obj *o), void *arg)
{
	struct map_iter it = { 0 };

	while (map_next(s->tables, &it)) {
		struct store_table *t = it.value;
		struct store_entry *e;

		RB_FOREACH(e, store_tree, &t->tree)
			cb(arg, e->obj);
	}
}
