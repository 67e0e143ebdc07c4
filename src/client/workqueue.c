/*
 * Work queues: each key at most once in the queue and at most once at work. A
 * key added while it is at work runs again afterwards. Failures come back with
 * client-go's exponential back-off: 5 ms doubling to 1000 s. A key whose work held
 * the loop for long rests in proportion before it runs again, so that one thing that
 * changes all the time (a Service of thousands of pods) leaves the loop to others.
 */
#include "base/time.h"
#include "client/internal.h"

#define WORKQUEUE_BASE_MS 5
#define WORKQUEUE_TURN 64 /* keys begun in one turn of the loop */
#define WORKQUEUE_MAX_MS (1000 * 1000)
#define WORKQUEUE_LONG_MS 20 /* what took so long rests, */
#define WORKQUEUE_REST 4 /* so many times as long, */
#define WORKQUEUE_REST_MAX_MS 1000 /* but no longer than this */

struct work_item {
	TAILQ_ENTRY(work_item) link; /* in ready */
	struct workqueue *queue;
	bool ready, running;
	bool wanted; /* as soon as it may */
	bool held; /* run() has not returned yet */
	unsigned failures;
	struct loop_timer *timer; /* made when first delayed */
	int64_t due_ms; /* wanted then, too; 0: no such wish */
	int64_t rest_ms; /* not before; 0: at any time */
	char key[];
};

struct workqueue {
	struct loop *loop;
	int workers, running;
	void (*run)(void *arg, const char *key);
	void *arg;
	struct map *items;
	TAILQ_HEAD(, work_item) ready;
	struct loop_task task;
};

static void work_item_free(void *p)
{
	struct work_item *w = p;

	loop_timer_free(w->timer);
	free(w);
}

static void work_item_settle(struct work_item *w);

static void work_item_due(void *arg)
{
	work_item_settle(arg);
}

static void work_item_wait(struct work_item *w, int64_t ms)
{
	if (!w->timer)
		w->timer = loop_timer_new(w->queue->loop, work_item_due, w);
	loop_timer_set(w->timer, ms);
}

/* What becomes of one that is not at work: it is ready, waits for its time, or is forgotten. */
static void work_item_settle(struct work_item *w)
{
	struct workqueue *q = w->queue;
	int64_t now = time_mono_ms(), at = w->wanted || w->due_ms < w->rest_ms ? w->rest_ms : w->due_ms;

	if (w->ready || w->running || w->held)
		return;
	if (at > now) {
		work_item_wait(w, at - now);
		return;
	}
	if (w->due_ms <= now) {
		w->wanted = w->wanted || w->due_ms;
		w->due_ms = 0;
	}
	if (!w->wanted) {
		map_del(q->items, str_of(w->key));
		return;
	}
	w->wanted = false;
	w->ready = true;
	TAILQ_INSERT_TAIL(&q->ready, w, link);
	loop_defer(q->loop, &q->task);
}

static void work_item_later(struct work_item *w, int64_t ms)
{
	int64_t due = time_mono_ms() + ms;

	if (!w->due_ms || due < w->due_ms)
		w->due_ms = due;
	work_item_settle(w);
}

static void work_item_run(struct work_item *w)
{
	struct workqueue *q = w->queue;
	int64_t began = time_mono_ms(), took;

	w->running = w->held = true;
	q->running++;
	q->run(q->arg, w->key);
	w->held = false;
	took = time_mono_ms() - began;
	if (took >= WORKQUEUE_LONG_MS) {
		took *= WORKQUEUE_REST;
		w->rest_ms = time_mono_ms() + (took < WORKQUEUE_REST_MAX_MS ? took : WORKQUEUE_REST_MAX_MS);
	}
	work_item_settle(w); /* where it is over already */
}

static void workqueue_turn(struct loop_task *task)
{
	struct workqueue *q = CONTAINER_OF(task, struct workqueue, task);
	struct work_item *w;

	for (int n = 0; q->running < q->workers && (w = TAILQ_FIRST(&q->ready)); n++) {
		if (n == WORKQUEUE_TURN) { /* others have work too */
			loop_defer(q->loop, task);
			return;
		}
		TAILQ_REMOVE(&q->ready, w, link);
		w->ready = false;
		work_item_run(w);
	}
}

struct workqueue *workqueue_new(struct loop *l, int workers, void (*run)(void *arg, const char *key), void *arg)
{
	struct workqueue *q = xcalloc(1, sizeof(*q));

	q->loop = l;
	q->workers = workers;
	q->run = run;
	q->arg = arg;
	q->items = map_new(work_item_free);
	TAILQ_INIT(&q->ready);
	q->task.run = workqueue_turn;
	return q;
}

struct workqueue *workqueue_free(struct workqueue *q)
{
	if (!q)
		return NULL;
	loop_undefer(q->loop, &q->task);
	map_free(q->items);
	free(q);
	return NULL;
}

static struct work_item *work_item_get(struct workqueue *q, const char *key)
{
	struct work_item *w = map_getc(q->items, key);
	size_t n = strlen(key) + 1;

	if (w)
		return w;
	w = xcalloc(1, sizeof(*w) + n);
	w->queue = q;
	memcpy(w->key, key, n);
	map_set(q->items, str_of(key), w);
	return w;
}

void workqueue_add(struct workqueue *q, const char *key)
{
	struct work_item *w = work_item_get(q, key);

	w->wanted = !w->ready;
	work_item_settle(w);
}

void workqueue_add_after(struct workqueue *q, const char *key, int64_t ms)
{
	if (ms <= 0)
		workqueue_add(q, key);
	else
		work_item_later(work_item_get(q, key), ms);
}

void workqueue_done(struct workqueue *q, const char *key, bool failed)
{
	struct work_item *w = map_getc(q->items, key);
	int64_t ms;

	if (!w || !w->running)
		return;
	w->running = false;
	q->running--;
	if (failed) {
		ms = w->failures < 18 ? (int64_t)WORKQUEUE_BASE_MS << w->failures : WORKQUEUE_MAX_MS;
		w->failures++;
		work_item_later(w, ms < WORKQUEUE_MAX_MS ? ms : WORKQUEUE_MAX_MS);
	} else {
		w->failures = 0;
		work_item_settle(w);
	}
	if (!TAILQ_EMPTY(&q->ready))
		loop_defer(q->loop, &q->task);
}
