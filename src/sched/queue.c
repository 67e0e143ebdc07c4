/*
 * The queue: pods ready to be tried, by priority and then by arrival; those that
 * wait out their back-off (1 s doubling to 10 s); and those that fit nowhere,
 * which cost nothing until something happens that can help them.
 *
 * When a pod leaves a node, those that wait are held against that node alone: one
 * that says nothing of other pods is only woken when it would fit there now, and
 * no more of them than there is room for. Who fits need not wait out its back-off.
 */
#include "base/time.h"
#include "sched/internal.h"

#define QUEUE_BACKOFF_MS 1000
#define QUEUE_BACKOFF_MAX_MS 10000

int sched_queue_cmp(struct sched_pod *a, struct sched_pod *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	return a->since < b->since ? -1 : a->since > b->since;
}

RB_GENERATE(sched_queue, sched_pod, queue_link, sched_queue_cmp)

void queue_remove(struct sched *s, struct sched_pod *p)
{
	if (p->queue == SCHED_ACTIVE)
		RB_REMOVE(sched_queue, &s->active, p);
	else if (p->queue == SCHED_UNSCHEDULABLE)
		RB_REMOVE(sched_queue, &s->unschedulable, p);
	else if (p->queue == SCHED_BACKOFF)
		loop_timer_clear(p->backoff);
	p->queue = SCHED_IDLE;
}

void queue_add(struct sched *s, struct sched_pod *p)
{
	queue_remove(s, p);
	p->queue = SCHED_ACTIVE;
	RB_INSERT(sched_queue, &s->active, p);
	loop_defer(s->loop, &s->task);
}

struct sched_pod *queue_pop(struct sched *s)
{
	struct sched_pod *p = RB_MIN(sched_queue, &s->active);

	if (p)
		queue_remove(s, p);
	return p;
}

static int64_t queue_backoff_ms(const struct sched_pod *p)
{
	int64_t ms = p->attempts > 4 ? QUEUE_BACKOFF_MAX_MS : (int64_t)QUEUE_BACKOFF_MS << (p->attempts - 1);

	return ms < QUEUE_BACKOFF_MAX_MS ? ms : QUEUE_BACKOFF_MAX_MS;
}

static void queue_backoff_over(void *arg)
{
	struct sched_pod *p = arg;

	p->queue = SCHED_IDLE;
	queue_add(p->sched, p);
}

static void queue_later(struct sched *s, struct sched_pod *p)
{
	int64_t left = p->backoff_until_ms - time_mono_ms();

	queue_remove(s, p);
	if (left <= 0) {
		queue_add(s, p);
		return;
	}
	if (!p->backoff)
		p->backoff = loop_timer_new(s->loop, queue_backoff_over, p);
	p->queue = SCHED_BACKOFF;
	loop_timer_set(p->backoff, left);
}

void queue_park(struct sched *s, struct sched_pod *p)
{
	p->attempts++;
	p->backoff_until_ms = time_mono_ms() + queue_backoff_ms(p);
	p->queue = SCHED_UNSCHEDULABLE;
	RB_INSERT(sched_queue, &s->unschedulable, p);
}

void queue_retry(struct sched *s, struct sched_pod *p)
{
	p->attempts++;
	p->backoff_until_ms = time_mono_ms() + queue_backoff_ms(p);
	queue_later(s, p);
}

/* --- what wakes --- */

void queue_event(struct sched *s, struct sched_node *n, unsigned event)
{
	if (RB_EMPTY(&s->unschedulable))
		return;
	if (!n || !n->there) {
		s->woke_all |= event;
	} else {
		if (!n->woke)
			TAILQ_INSERT_TAIL(&s->woke, n, woke_link);
		n->woke |= event;
	}
	loop_defer(s->loop, &s->task);
}

/* Does what this pod needs depend on the node alone? */
static bool queue_is_simple(const struct sched_pod *p)
{
	return !p->rules && !p->claims.n;
}

static bool queue_fits(struct sched *s, struct sched_pod *p, struct sched_node *n)
{
	struct sched_cycle c;
	bool fits;

	cycle_begin(&c, s, p);
	fits = !c.nowhere && trial_fits(&c, n, NULL);
	cycle_end(&c);
	return fits;
}

/* Pods that fit are put there until all were looked at, so that no more are woken than there is room for. */
static void queue_wake_for(struct sched *s, struct sched_node *n, unsigned event)
{
	VEC(struct sched_pod *) woken = VEC_INIT;
	struct sched_pod *p, *next;

	RB_FOREACH_SAFE(p, sched_queue, &s->unschedulable, next) {
		if (!(p->helped_by & event))
			continue;
		if (!queue_is_simple(p)) {
			queue_later(s, p);
			continue;
		}
		if (!queue_fits(s, p, n)) {
			if (event & SCHED_ON_NODE) /* there may be another reason to tell now */
				queue_later(s, p);
			continue;
		}
		sched_place(p, n);
		VEC_PUSH(&woken, p);
	}
	for (size_t i = 0; i < woken.n; i++) {
		p = woken.v[i];
		sched_unplace(p);
		free(p->woken_for);
		p->woken_for = xstrdup(n->name);
		queue_add(s, p);
	}
	VEC_RELEASE(&woken);
}

static void queue_wake_all(struct sched *s, unsigned event)
{
	struct sched_pod *p, *next;

	RB_FOREACH_SAFE(p, sched_queue, &s->unschedulable, next)
		if (p->helped_by & event)
			queue_later(s, p);
}

void queue_wake(struct sched *s)
{
	struct sched_node *n;
	unsigned all = s->woke_all;

	s->woke_all = 0;
	if (all)
		queue_wake_all(s, all);
	while ((n = TAILQ_FIRST(&s->woke)) != NULL) {
		unsigned event = n->woke;

		TAILQ_REMOVE(&s->woke, n, woke_link);
		n->woke = 0;
		queue_wake_for(s, n, event);
	}
}
