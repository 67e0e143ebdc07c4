/*
 * The queue: pods ready to be tried, by priority and then by arrival; those that
 * wait out their back-off (1 s doubling to 10 s); and those that fit nowhere,
 * which cost nothing until an event comes that can help them.
 */
#include "base/time.h"
#include "sched/internal.h"

#define QUEUE_BACKOFF_MS 1000
#define QUEUE_BACKOFF_MAX_MS 10000

int sched_active_cmp(struct sched_pod *a, struct sched_pod *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	return a->since < b->since ? -1 : a->since > b->since;
}

RB_GENERATE(sched_active, sched_pod, active_link, sched_active_cmp)

void queue_remove(struct sched *s, struct sched_pod *p)
{
	if (p->queue == SCHED_ACTIVE)
		RB_REMOVE(sched_active, &s->active, p);
	else if (p->queue == SCHED_UNSCHEDULABLE)
		TAILQ_REMOVE(&s->unschedulable, p, parked_link);
	else if (p->queue == SCHED_BACKOFF)
		loop_timer_clear(p->backoff);
	p->queue = SCHED_IDLE;
}

void queue_add(struct sched *s, struct sched_pod *p)
{
	queue_remove(s, p);
	p->queue = SCHED_ACTIVE;
	RB_INSERT(sched_active, &s->active, p);
	loop_defer(s->loop, &s->task);
}

struct sched_pod *queue_pop(struct sched *s)
{
	struct sched_pod *p = RB_MIN(sched_active, &s->active);

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
	TAILQ_INSERT_TAIL(&s->unschedulable, p, parked_link);
}

void queue_retry(struct sched *s, struct sched_pod *p)
{
	p->attempts++;
	p->backoff_until_ms = time_mono_ms() + queue_backoff_ms(p);
	queue_later(s, p);
}

void queue_event(struct sched *s, unsigned event)
{
	struct sched_pod *p, *next;

	TAILQ_FOREACH_SAFE(p, &s->unschedulable, parked_link, next)
		if (p->helped_by & event)
			queue_later(s, p);
}
