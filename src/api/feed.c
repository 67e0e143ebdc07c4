/*
 * Feeds: all changes of all objects, for those parts of this process that care
 * about what objects have to do with each other (the garbage collector, the end
 * of namespaces). One feed costs less than a watch of each kind, and kinds that
 * appear later are in it. Objects come as they are stored.
 */
#include "api/internal.h"

struct feed {
	TAILQ_ENTRY(feed) link;
	struct api *api;
	struct call_feed *to;
	struct store_feed *from;
	struct loop_task task;
};

static void feed_event(void *arg, const struct store_event *ev)
{
	struct feed *f = arg;

	f->to->event(f->to, ev->type, ev->obj);
}

static void feed_present(void *arg, struct obj *o)
{
	struct feed *f = arg;

	f->to->event(f->to, WATCH_ADDED, o);
}

static void feed_begin(struct loop_task *t)
{
	struct feed *f = CONTAINER_OF(t, struct feed, task);

	f->from = store_feed_start(f->api->store, feed_event, f);
	store_each(f->api->store, feed_present, f);
	f->to->event(f->to, WATCH_BOOKMARK, NULL);
}

void feed_start(struct api *a, struct call_feed *to)
{
	struct feed *f = xcalloc(1, sizeof(*f));

	f->api = a;
	f->to = to;
	f->task.run = feed_begin;
	to->impl = f;
	TAILQ_INSERT_TAIL(&a->feeds, f, link);
	loop_defer(a->loop, &f->task);
}

void feed_stop(struct api *a, struct call_feed *to)
{
	struct feed *f = to->impl;

	if (!f)
		return;
	to->impl = NULL;
	loop_undefer(a->loop, &f->task);
	store_feed_stop(f->from);
	TAILQ_REMOVE(&a->feeds, f, link);
	free(f);
}

void feed_stop_all(struct api *a)
{
	struct feed *f;

	while ((f = TAILQ_FIRST(&a->feeds)))
		feed_stop(a, f->to);
}
