/*
 * Work queues: each key at most once in the queue and at most once at work. A
 * key added while it is at work runs again afterwards. Failures come back with
 * client-go's exponential back-off: 5 ms doubling to 1000 s.
 */
#include "client/internal.h"

#define WORKQUEUE_BASE_MS 5
#define WORKQUEUE_TURN 64 /* keys begun in one turn of the loop */
#define WORKQUEUE_MAX_MS (1000 * 1000)

struct work_item {
	TAILQ_ENTRY(work_item) link; /* in ready */
	struct workqueue *queue;
	bool ready, running, again;
	unsigned failures;
	struct loop_timer *timer; /* made when first delayed */
	int64_t due_ms; /* of the timer */
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
		w->running = true;
		q->running++;
		q->run(q->arg, w->key);
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

static void work_item_ready(struct work_item *w)
{
	if (w->running) {
		w->again = true;
		return;
	}
	if (w->ready)
		return;
	w->ready = true;
	TAILQ_INSERT_TAIL(&w->queue->ready, w, link);
	loop_defer(w->queue->loop, &w->queue->task);
}

static void work_item_due(void *arg)
{
	work_item_ready(arg);
}

void workqueue_add(struct workqueue *q, const char *key)
{
	work_item_ready(work_item_get(q, key));
}

static void work_item_later(struct work_item *w, int64_t ms)
{
	int64_t due = loop_now_ms(w->queue->loop) + ms;

	if (!w->timer)
		w->timer = loop_timer_new(w->queue->loop, work_item_due, w);
	if (loop_timer_is_set(w->timer) && w->due_ms <= due)
		return;
	w->due_ms = due;
	loop_timer_set(w->timer, ms);
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

	if (!w || !w->running)
		return;
	w->running = false;
	q->running--;
	if (failed) {
		int64_t ms = w->failures < 18 ? (int64_t)WORKQUEUE_BASE_MS << w->failures : WORKQUEUE_MAX_MS;

		w->failures++;
		work_item_later(w, ms < WORKQUEUE_MAX_MS ? ms : WORKQUEUE_MAX_MS);
	} else {
		w->failures = 0;
	}
	if (w->again) {
		w->again = false;
		work_item_ready(w);
	} else if (!failed && !(w->timer && loop_timer_is_set(w->timer))) {
		map_del(q->items, str_of(key));
	}
	if (!TAILQ_EMPTY(&q->ready))
		loop_defer(q->loop, &q->task);
}
