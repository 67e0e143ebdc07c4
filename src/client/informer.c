/*
 * Informers: an ordered copy of one resource, kept by one watch.
 *
 * The watch asks for the present objects first (sendInitialEvents); the bookmark
 * that ends them makes the informer synced. When a watch ends, whatever the
 * reason, it is asked for anew after a back-off (longer each time), again with everything; objects
 * that did not come again by the bookmark were deleted meanwhile. Subscribers
 * are told in order of subscription, and may subscribe and leave while being told.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/rand.h"
#include "base/vec.h"
#include "client/internal.h"

#define INFORMER_RETRY_MS 500
#define INFORMER_RETRY_MAX_MS 30000

struct informer_entry {
	RB_ENTRY(informer_entry) link;
	struct obj *obj;
	unsigned generation; /* of the watch that confirmed it */
};
RB_HEAD(informer_tree, informer_entry);

struct informer_sub {
	TAILQ_ENTRY(informer_sub) link;
	const struct informer_ops *ops;
	void *arg;
	bool greeted, dead;
};

struct informer {
	struct client *client;
	const struct resource *res;
	char *field_selector;
	struct call call;
	bool watching, synced;
	unsigned generation;
	struct informer_tree tree;
	size_t count;
	TAILQ_HEAD(, informer_sub) subs;
	unsigned telling; /* depth: subs are only marked dead meanwhile */
	struct loop_timer *retry;
	int64_t retry_ms; /* how long to wait when this watch ends before it has shown all there is */
	struct loop_task greet_task;
};

static int informer_cmp_names(const char *ans, const char *an, const char *bns, const char *bn)
{
	int c = strcmp(ans, bns);

	return c ? c : strcmp(an, bn);
}

static int informer_cmp(struct informer_entry *a, struct informer_entry *b)
{
	return informer_cmp_names(a->obj->ns, a->obj->name, b->obj->ns, b->obj->name);
}

RB_GENERATE_INTERNAL(informer_tree, informer_entry, link, informer_cmp, static UNUSED)

/* --- telling subscribers --- */

static void informer_sweep(struct informer *i)
{
	struct informer_sub *s, *next;

	if (i->telling)
		return;
	TAILQ_FOREACH_SAFE(s, &i->subs, link, next) {
		if (!s->dead)
			continue;
		TAILQ_REMOVE(&i->subs, s, link);
		free(s);
	}
}

static void informer_tell(struct informer *i, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct informer_sub *s;

	i->telling++;
	TAILQ_FOREACH(s, &i->subs, link)
		if (s->greeted && !s->dead)
			s->ops->on_event(s->arg, t, obj, old);
	i->telling--;
	informer_sweep(i);
}

static void informer_tell_synced(struct informer *i)
{
	struct informer_sub *s;

	i->telling++;
	TAILQ_FOREACH(s, &i->subs, link)
		if (s->greeted && !s->dead && s->ops->on_synced)
			s->ops->on_synced(s->arg);
	i->telling--;
	informer_sweep(i);
}

/* --- the copy --- */

static struct informer_entry *informer_lookup(struct informer *i, const char *ns, const char *name)
{
	struct informer_entry *e = RB_ROOT(&i->tree);

	while (e) {
		int c = informer_cmp_names(ns ? ns : "", name, e->obj->ns, e->obj->name);

		if (c == 0)
			return e;
		e = c < 0 ? RB_LEFT(e, link) : RB_RIGHT(e, link);
	}
	return NULL;
}

static void informer_put(struct informer *i, struct obj *o)
{
	struct informer_entry *e = informer_lookup(i, o->ns, o->name);
	struct obj *old;

	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->obj = obj_ref(o);
		e->generation = i->generation;
		RB_INSERT(informer_tree, &i->tree, e);
		i->count++;
		informer_tell(i, WATCH_ADDED, o, NULL);
		return;
	}
	e->generation = i->generation;
	if (e->obj->rv == o->rv)
		return;
	old = e->obj;
	e->obj = obj_ref(o);
	informer_tell(i, WATCH_MODIFIED, o, old);
	obj_unref(old);
}

static void informer_drop(struct informer *i, struct informer_entry *e, struct obj *last)
{
	struct obj *o = e->obj;

	RB_REMOVE(informer_tree, &i->tree, e);
	i->count--;
	free(e);
	informer_tell(i, WATCH_DELETED, last ? last : o, o);
	obj_unref(o);
}

/* The new watch has shown all there is: what it did not show is gone. */
static void informer_drop_stale(struct informer *i)
{
	struct informer_entry *e, *next;

	RB_FOREACH_SAFE(e, informer_tree, &i->tree, next)
		if (e->generation != i->generation)
			informer_drop(i, e, NULL);
}

/* --- the watch --- */

static void informer_event(struct call *c, enum watch_type t, struct obj *obj)
{
	struct informer *i = c->arg;
	struct informer_entry *e;

	switch (t) {
	case WATCH_ADDED:
	case WATCH_MODIFIED:
		informer_put(i, obj);
		break;
	case WATCH_DELETED:
		e = informer_lookup(i, obj->ns, obj->name);
		if (e)
			informer_drop(i, e, obj);
		break;
	default:
		if (!c->initial_done || i->synced)
			break;
		informer_drop_stale(i);
		i->synced = true;
		i->retry_ms = INFORMER_RETRY_MS;
		informer_tell_synced(i);
	}
}

static void informer_ended(struct call *c, const struct err *err)
{
	struct informer *i = c->arg;

	if (err)
		log_debug("a watch ended, starting it again", LS("resource", i->res->plural), LE(err));
	i->watching = false;
	i->synced = false;
	loop_timer_set(i->retry, i->retry_ms + (int64_t)rand_below((uint64_t)i->retry_ms));
	i->retry_ms = i->retry_ms * 2 < INFORMER_RETRY_MAX_MS ? i->retry_ms * 2 : INFORMER_RETRY_MAX_MS;
}

static void informer_watch(void *arg)
{
	struct informer *i = arg;

	i->generation++;
	i->watching = true;
	i->call = (struct call){ .verb = VERB_WATCH, .res = i->res, .done = informer_ended, .event = informer_event,
				 .arg = i };
	i->call.opts.field_selector = i->field_selector;
	i->call.opts.send_initial_events = true;
	i->call.opts.allow_bookmarks = true;
	i->call.opts.resource_version_match = "NotOlderThan";
	client_submit(i->client, &i->call);
}

/* --- subscribing --- */

static void informer_greet(struct loop_task *task)
{
	struct informer *i = CONTAINER_OF(task, struct informer, greet_task);
	struct informer_sub *s;
	struct informer_entry *e, *next;

	i->telling++;
	TAILQ_FOREACH(s, &i->subs, link) {
		if (s->greeted || s->dead)
			continue;
		s->greeted = true;
		RB_FOREACH_SAFE(e, informer_tree, &i->tree, next)
			if (!s->dead)
				s->ops->on_event(s->arg, WATCH_ADDED, e->obj, NULL);
		if (i->synced && s->ops->on_synced && !s->dead)
			s->ops->on_synced(s->arg);
	}
	i->telling--;
	informer_sweep(i);
}

struct informer *informer_get(struct client *c, const struct resource *r, const char *field_selector)
{
	_cleanup_free_ char *key = xasprintf("%s?%s", r->prefix, field_selector ? field_selector : "");
	struct informer *i = map_getc(c->informers, key);

	if (i)
		return i;
	i = xcalloc(1, sizeof(*i));
	i->client = c->root;
	i->res = r;
	i->field_selector = xstrdup_null(field_selector);
	RB_INIT(&i->tree);
	TAILQ_INIT(&i->subs);
	i->retry_ms = INFORMER_RETRY_MS;
	i->retry = loop_timer_new(c->loop, informer_watch, i);
	i->greet_task.run = informer_greet;
	map_set(c->informers, str_of(key), i);
	informer_watch(i);
	return i;
}

void informer_free(void *informer)
{
	struct informer *i = informer;
	struct informer_entry *e;
	struct informer_sub *s;

	if (i->watching)
		client_cancel(i->client, &i->call);
	loop_undefer(i->client->loop, &i->greet_task);
	loop_timer_free(i->retry);
	while ((e = RB_ROOT(&i->tree))) {
		RB_REMOVE(informer_tree, &i->tree, e);
		obj_unref(e->obj);
		free(e);
	}
	while ((s = TAILQ_FIRST(&i->subs))) {
		TAILQ_REMOVE(&i->subs, s, link);
		free(s);
	}
	free(i->field_selector);
	free(i);
}

void informer_subscribe(struct informer *i, const struct informer_ops *ops, void *arg)
{
	struct informer_sub *s = xcalloc(1, sizeof(*s));

	s->ops = ops;
	s->arg = arg;
	TAILQ_INSERT_TAIL(&i->subs, s, link);
	loop_defer(i->client->loop, &i->greet_task);
}

void informer_unsubscribe(struct informer *i, void *arg)
{
	struct informer_sub *s;

	TAILQ_FOREACH(s, &i->subs, link)
		if (s->arg == arg)
			s->dead = true;
	informer_sweep(i);
}

bool informer_synced(const struct informer *i)
{
	return i->synced;
}

struct obj *informer_find(struct informer *i, const char *ns, const char *name)
{
	struct informer_entry *e = informer_lookup(i, ns, name);

	return e ? e->obj : NULL;
}

/* The first entry behind (ns, name); name NULL: the namespace's first. */
static struct informer_entry *informer_after(struct informer *i, const char *ns, const char *name)
{
	struct informer_entry *e = RB_ROOT(&i->tree), *best = NULL;

	while (e) {
		int c = informer_cmp_names(e->obj->ns, e->obj->name, ns, name ? name : "");

		if (c > 0 || (c == 0 && !name)) {
			best = e;
			e = RB_LEFT(e, link);
		} else {
			e = RB_RIGHT(e, link);
		}
	}
	return best;
}

struct obj *informer_next(struct informer *i, const char *ns, struct obj *prev)
{
	struct informer_entry *e;

	e = prev ? informer_after(i, prev->ns, prev->name) : informer_after(i, ns ? ns : "", NULL);
	if (!e || (ns && !streq(e->obj->ns, ns)))
		return NULL;
	return e->obj;
}

size_t informer_count(const struct informer *i)
{
	return i->count;
}
