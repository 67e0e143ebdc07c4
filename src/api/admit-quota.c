/*
 * Admission: ResourceQuota, exact for any number of writers at once.
 *
 * For each ResourceQuota there is a ledger: of every resource that it limits,
 * how much the objects of the namespace use that are there, plus what writes
 * hold that were let in and are not visible yet (the store commits in groups).
 *
 *	admission	checks a write against the ledgers and, when it fits, takes
 *			what it needs: a hold. Nothing comes between the two.
 *	failure		the hold is given back (quota_undo).
 *	stored		the difference between the object before and after is added,
 *			the hold taken off (quota_stored): so every write counts
 *			exactly, whether admission looked at it or not, and deletes
 *			and pods that end give back at once.
 *	start		the ledgers are counted from the objects that are there, so
 *			nothing is wrong after a crash.
 *
 * status.used of the quota follows: at the end of a turn in which its ledger
 * changed one write is made of it, into the same transaction as the writes that
 * changed it. A write that holds something is answered when the quota shows it,
 * as with Kubernetes, where admission writes the status first. Whoever changes
 * the status by hand finds it put right.
 *
 * Usage is schema/usage.c's. Kubernetes counts again by a controller; here none is needed.
 */
#include "api/admit.h"

#include "base/log.h"
#include "base/map.h"
#include "schema/usage.h"

struct quota_amount {
	const char *name;
	struct quantity q;
};

struct quota_item {
	char *name;
	struct quantity hard, used;
};

/* What one write holds of one quota; in the write's arena. */
struct quota_hold {
	TAILQ_ENTRY(quota_hold) link; /* quota.holds, or quota.waiting */
	struct quota_hold *next; /* req.holds */
	struct quota *quota; /* NULL: it was deleted */
	struct req *r;
	uint64_t change; /* of the ledger; the status shows it from there on */
	bool waiting;
	VEC(struct quota_amount) amounts;
};

struct quota { /* a ledger */
	TAILQ_ENTRY(quota) link; /* quota_ns.list, in order of names */
	struct api *api;
	struct quota_ns *in; /* NULL: deleted */
	char *ns, *name, *uid;
	struct doc *doc; /* as it is stored: its spec */
	VEC(struct quota_item) items; /* in order of names */
	TAILQ_HEAD(, quota_hold) holds, waiting;
	uint64_t change, applied, shown; /* counters: of the ledger, in the write under way, in the store */
	bool queued, writing;
	TAILQ_ENTRY(quota) dirty;
	struct store_write write;
};

struct quota_ns {
	char *ns;
	TAILQ_HEAD(quota_list, quota) list;
};

struct quotas {
	struct map *by_ns;
	const struct resource *res;
	struct loop_task task;
	TAILQ_HEAD(, quota) dirty;
};

static struct quota_ns *quota_ns_of(const struct api *a, const char *ns)
{
	return a->quotas ? map_getc(a->quotas->by_ns, ns) : NULL;
}

/* Events come and go too fast to be counted. */
static bool quota_counts(const struct resource *r)
{
	return r->namespaced && !streq(r->kind, "Event");
}

/* --- what an object takes --- */

/* Does the quota look at this object at all? root NULL: no. */
static bool quota_covers(const struct quota *q, const struct resource *r, const struct node *root)
{
	return root && usage_in_scopes(r, node_get(doc_root(q->doc), F_spec), root);
}

static struct quantity quota_usage(const struct resource *r, const struct node *root, bool covered, const char *name)
{
	struct quantity q = { 0, 'd' };

	if (!covered || !usage_of(r, root, name, &q))
		q = (struct quantity){ 0, 'd' };
	return q;
}

static bool quota_tracks(const struct quota *q, const struct resource *r)
{
	for (size_t i = 0; i < q->items.n; i++)
		if (usage_tracks(r, q->items.v[i].name))
			return true;
	return false;
}

/* --- the status --- */

static void quota_write(struct quota *q);
static void quota_free(struct quota *q);

static void quota_run(struct loop_task *t)
{
	struct quotas *all = CONTAINER_OF(t, struct quotas, task);
	struct quota *q;

	while ((q = TAILQ_FIRST(&all->dirty))) {
		TAILQ_REMOVE(&all->dirty, q, dirty);
		q->queued = false;
		quota_write(q);
	}
}

/* The status is to be written, at the end of the turn. */
static void quota_queue(struct quota *q)
{
	struct quotas *all = q->api->quotas;

	if (q->queued || q->writing || q->api->closing)
		return;
	q->queued = true;
	TAILQ_INSERT_TAIL(&all->dirty, q, dirty);
	loop_defer(q->api->loop, &all->task);
}

/* The status no longer says what the ledger does. */
static void quota_changed(struct quota *q)
{
	q->change++;
	quota_queue(q);
}

static void quota_status(const struct quota *q, struct doc *d)
{
	struct node *status = node_need_object(d, doc_root(d), F_status);
	const struct node *hard = node_path(doc_root(d), F_spec, F_hard);
	struct node *used = node_new(d, DOC_OBJECT);

	if (hard)
		node_set(d, status, F_hard, node_copy(d, hard));
	else
		node_remove(status, F_hard);
	for (size_t i = 0; i < q->items.n; i++) {
		_cleanup_buf_ struct buf text = BUF_INIT;

		quantity_print(&q->items.v[i].used, &text);
		node_setk(d, used, str_of(q->items.v[i].name), node_new_str(d, buf_str(&text)));
	}
	if (node_count(used))
		node_set(d, status, F_used, used);
	else
		node_remove(status, F_used);
}

static int quota_apply(struct store_write *w, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	struct quota *q = CONTAINER_OF(w, struct quota, write);
	struct doc *d;

	q->applied = q->change;
	if (!cur || !q->in || !streq(cur->uid, q->uid))
		return 0;
	d = doc_clone(obj_doc(cur));
	quota_status(q, d);
	if (node_equal(doc_root(d), obj_node(cur)))
		doc_unref(d);
	else
		*out = d;
	return 0;
}

/* A write's last hold that had to be shown is: it may be answered. */
static void quota_release(struct quota_hold *h)
{
	struct req *r = h->r;

	TAILQ_REMOVE(&h->quota->waiting, h, link);
	VEC_RELEASE(&h->amounts);
	h->waiting = false;
	for (h = r->holds; h; h = h->next)
		if (h->waiting)
			return;
	r->holds = NULL;
	req_resume(r, NULL);
}

static void quota_show(struct quota *q, uint64_t up_to)
{
	struct quota_hold *h, *next;

	q->shown = up_to;
	TAILQ_FOREACH_SAFE(h, &q->waiting, link, next)
		if (h->change <= up_to)
			quota_release(h);
}

static void quota_written(struct store_write *w, struct obj *o, const struct err *err)
{
	struct quota *q = CONTAINER_OF(w, struct quota, write);
	struct api *a = q->api;

	q->writing = false;
	watch_note_write(a);
	if (err)
		log_debug("can't write a quota's status", LS("namespace", w->ns), LS("name", w->name), LE(err));
	quota_show(q, err ? q->change : q->applied); /* nobody waits for a full disk */
	if (!q->in)
		quota_free(q);
	else if (!err && q->change != q->applied)
		quota_queue(q);
	api_unref(a);
}

static void quota_write(struct quota *q)
{
	q->writing = true;
	q->write = (struct store_write){ .res = q->api->quotas->res, .ns = q->ns, .name = q->name,
					 .apply = quota_apply, .done = quota_written };
	api_ref(q->api);
	store_submit(q->api->store, &q->write);
}

/* --- counting --- */

/* All that is tracked of this kind are objects, whatever they say. */
static bool quota_only_counts(const struct quota *q, const struct resource *r)
{
	const struct node *spec = node_get(doc_root(q->doc), F_spec);

	for (size_t i = 0; i < q->items.n; i++)
		if (usage_tracks(r, q->items.v[i].name) && !usage_is_count(r, q->items.v[i].name))
			return false;
	return !node_count(node_get(spec, F_scopes)) && !node_get(spec, F_scopeSelector);
}

static void quota_count_objects(struct quota *q, const struct resource *r)
{
	struct store_list l;
	struct quantity n = { (__int128)store_count(q->api->store, r, q->ns) * 1000000000, 'd' };

	if (quota_tracks(q, r) && quota_only_counts(q, r)) {
		for (size_t i = 0; i < q->items.n; i++)
			if (usage_tracks(r, q->items.v[i].name))
				quantity_add(&q->items.v[i].used, &n);
		return;
	}

	if (!quota_tracks(q, r) || !admit_list(q->api, r, q->ns, &l))
		return;
	for (size_t k = 0; k < l.n; k++) {
		const struct node *root = obj_node(l.objs[k]);
		bool covered = quota_covers(q, r, root);

		for (size_t i = 0; i < q->items.n && covered; i++) {
			struct quantity u = { 0, 'd' };

			if (usage_tracks(r, q->items.v[i].name) && usage_of(r, root, q->items.v[i].name, &u))
				quantity_add(&q->items.v[i].used, &u);
		}
	}
	store_list_release(&l);
}

static struct quota_item *quota_item(struct quota *q, const char *name)
{
	for (size_t i = 0; i < q->items.n; i++)
		if (streq(q->items.v[i].name, name))
			return &q->items.v[i];
	return NULL;
}

static void quota_count(struct quota *q)
{
	struct quota_hold *h;

	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r))
		if (!r->is_virtual && schema_storage(r) == r && quota_counts(&r->r))
			quota_count_objects(q, &r->r);
	TAILQ_FOREACH(h, &q->holds, link)
		for (size_t i = 0; i < h->amounts.n; i++) {
			struct quota_item *item = quota_item(q, h->amounts.v[i].name);

			if (item)
				quantity_add(&item->used, &h->amounts.v[i].q);
		}
}

static void quota_items_release(struct quota *q)
{
	for (size_t i = 0; i < q->items.n; i++)
		free(q->items.v[i].name);
	VEC_RELEASE(&q->items);
}

static int quota_item_cmp(const void *a, const void *b)
{
	return strcmp(((const struct quota_item *)a)->name, ((const struct quota_item *)b)->name);
}

static void quota_items_read(struct quota *q)
{
	NODE_FOREACH(n, node_path(doc_root(q->doc), F_spec, F_hard)) {
		struct quota_item item = { NULL, { 0, 'd' }, { 0, 'd' } };

		if (!quantity_from_node(&item.hard, n))
			continue;
		item.name = xstrdup(n->key);
		VEC_PUSH(&q->items, item);
	}
	if (q->items.n)
		qsort(q->items.v, q->items.n, sizeof(*q->items.v), quota_item_cmp);
}

/* The quota is new, or its spec is. */
static void quota_set(struct quota *q, struct obj *o)
{
	doc_unref(q->doc);
	q->doc = doc_ref(obj_doc(o));
	quota_items_release(q);
	quota_items_read(q);
	quota_count(q);
}

/* --- the ledgers --- */

static void quota_ns_free(void *arg)
{
	struct quota_ns *in = arg;

	free(in->ns);
	free(in);
}

static struct quota *quota_find(struct quota_ns *in, const char *name)
{
	struct quota *q;

	if (in)
		TAILQ_FOREACH(q, &in->list, link)
			if (streq(q->name, name))
				return q;
	return NULL;
}

static struct quota_ns *quota_ns_need(struct api *a, const char *ns)
{
	struct quota_ns *in = quota_ns_of(a, ns);

	if (in)
		return in;
	in = xcalloc(1, sizeof(*in));
	in->ns = xstrdup(ns);
	TAILQ_INIT(&in->list);
	map_set(a->quotas->by_ns, str_of(ns), in);
	return in;
}

static void quota_add(struct api *a, struct obj *o)
{
	struct quota_ns *in = quota_ns_need(a, o->ns);
	struct quota *q = xcalloc(1, sizeof(*q)), *at;

	q->api = a;
	q->in = in;
	q->ns = xstrdup(o->ns);
	q->name = xstrdup(o->name);
	q->uid = xstrdup(o->uid);
	TAILQ_INIT(&q->holds);
	TAILQ_INIT(&q->waiting);
	TAILQ_FOREACH(at, &in->list, link)
		if (strcmp(at->name, q->name) > 0)
			break;
	if (at)
		TAILQ_INSERT_BEFORE(at, q, link);
	else
		TAILQ_INSERT_TAIL(&in->list, q, link);
	quota_set(q, o);
	quota_changed(q);
}

static void quota_free(struct quota *q)
{
	doc_unref(q->doc);
	quota_items_release(q);
	free(q->ns);
	free(q->name);
	free(q->uid);
	free(q);
}

/* It is gone: who held something of it holds nothing, who waited for it need not. */
static void quota_drop(struct quota *q)
{
	struct quotas *all = q->api->quotas;
	struct quota_ns *in = q->in;
	struct quota_hold *h;

	while ((h = TAILQ_FIRST(&q->holds))) {
		TAILQ_REMOVE(&q->holds, h, link);
		h->quota = NULL;
	}
	q->in = NULL;
	TAILQ_REMOVE(&in->list, q, link);
	if (q->queued)
		TAILQ_REMOVE(&all->dirty, q, dirty);
	q->queued = false;
	quota_show(q, q->change);
	if (!q->writing)
		quota_free(q); /* else quota_written does */
	if (TAILQ_EMPTY(&in->list))
		quota_ns_free(map_take(all->by_ns, str_of(in->ns)));
}

static void quota_object_stored(struct req *r, struct obj *o)
{
	struct quota *q = quota_find(quota_ns_of(r->api, o->ns), o->name);
	const struct node *spec;

	if (q && (r->removed || !streq(q->uid, o->uid))) {
		quota_drop(q);
		q = NULL;
	}
	if (r->removed)
		return;
	if (!q) {
		quota_add(r->api, o);
		return;
	}
	spec = node_get(obj_node(o), F_spec);
	if (!node_equal(spec, node_get(doc_root(q->doc), F_spec)))
		quota_set(q, o);
	quota_changed(q);
}

/* --- admission --- */

struct quota_want { /* what one write wants of one quota */
	struct quota *q;
	const struct resource *r;
	const struct node *now, *old;
	bool covered, was_covered;
};

static bool quota_handles(const struct admission *a)
{
	if (!quota_counts(&a->r->st->r))
		return false;
	if (admit_is(a, "", "pods"))
		return a->old ? admit_sub(a, "resize") : admit_sub(a, "");
	if (admit_is(a, "", "services") || admit_is(a, "", "persistentvolumeclaims"))
		return admit_sub(a, "");
	return !a->old && admit_sub(a, "");
}

/* The containers that do not say how much of it they want, in order of names. */
static void quota_silent(const struct node *spec, const char *name, struct buf *out)
{
	static const enum field lists[] = { F_containers, F_initContainers };
	VEC(const char *) names = VEC_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		NODE_FOREACH(c, node_get(spec, lists[i])) {
			const char *who = node_gets(c, F_name);
			size_t at = 0;

			if (usage_is_given(spec, c, name))
				continue;
			while (at < names.n && strcmp(names.v[at], who) < 0)
				at++;
			VEC_PUSH(&names, who);
			memmove(&names.v[at + 1], &names.v[at], (names.n - 1 - at) * sizeof(*names.v));
			names.v[at] = who;
		}
	for (size_t i = 0; i < names.n; i++)
		buf_addf(out, "%s%s", i ? "," : "", names.v[i]);
	VEC_RELEASE(&names);
}

/* A quota of cpu or memory wants every container of a pod to say how much. */
static int quota_check_given(const struct admission *a, const struct quota *q, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (!admit_is(a, "", "pods"))
		return 0;
	for (size_t i = 0; i < q->items.n; i++) {
		_cleanup_buf_ struct buf who = BUF_INIT;

		if (usage_must_be_given(q->items.v[i].name))
			quota_silent(node_get(a->root, F_spec), q->items.v[i].name, &who);
		if (who.len)
			buf_addf(&text, "%s%s for: %s", text.len ? "; " : "", q->items.v[i].name, who.s);
	}
	return text.len ? admit_forbid(a, e, "failed quota: %s: must specify %s", q->name, text.s) : 0;
}

/* What the write adds of a resource; only more counts here, less when it is stored. */
static bool quota_delta(const struct quota_want *w, const char *name, struct quantity *ret)
{
	struct quantity old;

	if (!usage_tracks(w->r, name))
		return false;
	*ret = quota_usage(w->r, w->now, w->covered, name);
	old = quota_usage(w->r, w->old, w->was_covered, name);
	quantity_sub(ret, &old);
	return ret->nano > 0;
}

static void quota_list(struct buf *out, const char *name, const struct quantity *q)
{
	buf_addf(out, "%s%s=", out->len ? "," : "", name);
	quantity_print(q, out);
}

static int quota_check_room(const struct admission *a, const struct quota_want *w, struct err *e)
{
	_cleanup_buf_ struct buf requested = BUF_INIT, used = BUF_INIT, limited = BUF_INIT;

	for (size_t i = 0; i < w->q->items.n; i++) {
		const struct quota_item *item = &w->q->items.v[i];
		struct quantity delta, sum = item->used;

		if (!quota_delta(w, item->name, &delta))
			continue;
		quantity_add(&sum, &delta);
		if (quantity_cmp(&sum, &item->hard) <= 0)
			continue;
		quota_list(&requested, item->name, &delta);
		quota_list(&used, item->name, &item->used);
		quota_list(&limited, item->name, &item->hard);
	}
	if (!requested.len)
		return 0;
	return admit_forbid(a, e, "exceeded quota: %s, requested: %s, used: %s, limited: %s", w->q->name, requested.s, used.s,
			    limited.s);
}

static void quota_take(struct req *r, const struct quota_want *w)
{
	struct quota_hold *h = NULL;

	for (size_t i = 0; i < w->q->items.n; i++) {
		struct quota_item *item = &w->q->items.v[i];
		struct quota_amount amount;

		if (!quota_delta(w, item->name, &amount.q))
			continue;
		if (!h) {
			h = arena_zalloc(r->arena, sizeof(*h));
			*h = (struct quota_hold){ .quota = w->q, .r = r, .next = r->holds };
			r->holds = h;
			TAILQ_INSERT_TAIL(&w->q->holds, h, link);
		}
		amount.name = arena_strdup(r->arena, item->name);
		VEC_PUSH(&h->amounts, amount);
		quantity_add(&item->used, &amount.q);
	}
	if (h) {
		quota_changed(w->q);
		h->change = w->q->change;
	}
}

static void quota_want(const struct admission *a, struct quota *q, struct quota_want *w)
{
	*w = (struct quota_want){ .q = q, .r = &a->r->st->r, .now = a->root, .old = a->old ? obj_node(a->old) : NULL };
	w->covered = quota_tracks(q, w->r) && quota_covers(q, w->r, w->now);
	w->was_covered = w->covered && quota_covers(q, w->r, w->old);
}

int admit_quota(struct admission *a, struct err *e)
{
	struct quota_ns *in = quota_ns_of(a->r->api, a->r->at.ns);
	struct quota_want w;
	struct quota *q;

	if (admit_is(a, "", "resourcequotas") && node_count(node_path(a->root, F_spec, F_hard)) > LIMIT_QUOTA_NAMES)
		return err_invalid(e, NULL, "ResourceQuota", a->r->at.name, "FieldValueTooMany", "spec.hard",
				   "%zu: must have at most %d items", node_count(node_path(a->root, F_spec, F_hard)),
				   LIMIT_QUOTA_NAMES);
	quota_undo(a->r); /* of a former try */
	if (!in || !quota_handles(a))
		return 0;
	TAILQ_FOREACH(q, &in->list, link) {
		quota_want(a, q, &w);
		if (w.covered && quota_check_given(a, q, e) < 0)
			return -e->code;
	}
	TAILQ_FOREACH(q, &in->list, link) {
		quota_want(a, q, &w);
		if (w.covered && quota_check_room(a, &w, e) < 0)
			return -e->code;
	}
	if (a->r->opts.dry_run)
		return 0;
	TAILQ_FOREACH(q, &in->list, link) {
		quota_want(a, q, &w);
		if (w.covered)
			quota_take(a->r, &w);
	}
	return 0;
}

void quota_undo(struct req *r)
{
	struct quota_hold *h;

	while ((h = r->holds)) {
		r->holds = h->next;
		for (size_t i = 0; h->quota && i < h->amounts.n; i++) {
			struct quota_item *item = quota_item(h->quota, h->amounts.v[i].name);

			if (item)
				quantity_sub(&item->used, &h->amounts.v[i].q);
		}
		if (h->quota) {
			TAILQ_REMOVE(&h->quota->holds, h, link);
			quota_changed(h->quota);
		}
		VEC_RELEASE(&h->amounts);
	}
}

/* --- stored --- */

static struct quota_hold *quota_hold_of(const struct req *r, const struct quota *q)
{
	struct quota_hold *h = r->holds;

	while (h && h->quota != q)
		h = h->next;
	return h;
}

static void quota_settle_item(struct quota_item *item, const struct quota_want *w, const struct quota_hold *h,
			      bool *changed)
{
	struct quantity now = quota_usage(w->r, w->now, w->covered, item->name);
	struct quantity old = quota_usage(w->r, w->old, w->was_covered, item->name);

	quantity_sub(&now, &old);
	for (size_t i = 0; h && i < h->amounts.n; i++)
		if (streq(h->amounts.v[i].name, item->name))
			quantity_sub(&now, &h->amounts.v[i].q);
	if (!now.nano)
		return;
	quantity_add(&item->used, &now);
	*changed = true;
}

static void quota_settle(struct req *r, struct quota *q, struct obj *o)
{
	struct quota_want w = { .q = q, .r = &r->st->r, .now = r->removed ? NULL : obj_node(o),
				.old = r->before ? obj_node(r->before) : NULL };
	struct quota_hold *h = quota_hold_of(r, q);
	bool changed = false;

	if (!quota_tracks(q, w.r))
		return;
	w.covered = quota_covers(q, w.r, w.now);
	w.was_covered = quota_covers(q, w.r, w.old);
	for (size_t i = 0; i < q->items.n; i++)
		if (usage_tracks(w.r, q->items.v[i].name))
			quota_settle_item(&q->items.v[i], &w, h, &changed);
	if (changed)
		quota_changed(q);
}

/* Whoever must wait until a quota shows what it took, waits there. */
static bool quota_wait(struct req *r)
{
	bool wait = false;

	for (struct quota_hold *h = r->holds; h; h = h->next) {
		if (!h->quota) {
			VEC_RELEASE(&h->amounts);
			continue;
		}
		TAILQ_REMOVE(&h->quota->holds, h, link);
		h->waiting = h->change > h->quota->shown && !r->api->closing;
		wait |= h->waiting;
		if (h->waiting)
			TAILQ_INSERT_TAIL(&h->quota->waiting, h, link);
		else
			VEC_RELEASE(&h->amounts);
	}
	if (!wait)
		r->holds = NULL;
	return wait;
}

bool quota_stored(struct req *r, struct obj *o)
{
	struct quota_ns *in = o && quota_counts(&r->st->r) ? quota_ns_of(r->api, o->ns) : NULL;
	struct quota *q;

	if (in && o != r->before)
		TAILQ_FOREACH(q, &in->list, link)
			quota_settle(r, q, o);
	else if (in)
		quota_undo(r); /* nothing was to do */
	if (o && r->api->quotas && &r->st->r == r->api->quotas->res)
		quota_object_stored(r, o);
	return quota_wait(r);
}

/* --- life --- */

int quota_new(struct api *a, struct err *e)
{
	struct quotas *all = xcalloc(1, sizeof(*all));
	struct store_list l;

	a->quotas = all;
	all->by_ns = map_new(quota_ns_free);
	all->res = schema_res("", "resourcequotas");
	all->task.run = quota_run;
	TAILQ_INIT(&all->dirty);
	l = (struct store_list){ .res = all->res };
	if (store_list(a->store, &l, e) < 0)
		return -e->code;
	for (size_t i = 0; i < l.n; i++)
		quota_add(a, l.objs[i]);
	store_list_release(&l);
	return 0;
}

void quota_close(struct api *a)
{
	struct map_iter it = { 0 };

	if (!a->quotas)
		return;
	loop_undefer(a->loop, &a->quotas->task);
	while (map_next(a->quotas->by_ns, &it)) {
		struct quota_ns *in = it.value;
		struct quota *q;

		TAILQ_FOREACH(q, &in->list, link)
			quota_show(q, q->change);
	}
}

void quota_release_all(struct api *a)
{
	struct map_iter it = { 0 };

	if (!a->quotas)
		return;
	while (map_next(a->quotas->by_ns, &it)) {
		struct quota_ns *in = it.value;
		struct quota *q;

		while ((q = TAILQ_FIRST(&in->list))) {
			TAILQ_REMOVE(&in->list, q, link);
			quota_free(q);
		}
	}
	map_free(a->quotas->by_ns);
	free(a->quotas);
	a->quotas = NULL;
}
