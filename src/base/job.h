/*
 * Blocking work off the loop: a queue served by its own few threads that share
 * nothing with the loop but a job and its result. Workers block all signals and
 * touch only `arg`; `done` runs on the loop, in order of completion.
 */
#ifndef BASE_JOB_H
#define BASE_JOB_H

#include "base/err.h"
#include "base/loop.h"

struct job_queue;

/* name: at most 15 characters, the threads' name. The threads start with the first job. */
struct job_queue *job_queue_new(struct loop *l, const char *name, int threads, size_t max_queued);
/* Waits for what runs; queued jobs run too; their done callbacks are called. Returns NULL. */
struct job_queue *job_queue_free(struct job_queue *q);
/* -EAGAIN when max_queued jobs wait. */
int job_submit(struct job_queue *q, void (*run)(void *arg), void (*done)(void *arg), void *arg)
	MUST_CHECK;
size_t job_queue_pending(const struct job_queue *q);

#endif
