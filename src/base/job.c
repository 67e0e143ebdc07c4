/*
 * Job queues: a mutex, a list of jobs that wait, a list of jobs that are done,
 * and an eventfd by which the first one done wakes the loop.
 *
 * Threads are started one by one, when a job comes and none is idle, up to the
 * number that was asked for; they stay. All signals are blocked in them, so
 * handlers run on the loop's thread only.
 */
#include "base/job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#define JOB_STACK_BYTES (512 << 10)
#define JOB_THREADS_MAX 16

struct job {
	STAILQ_ENTRY(job) link;
	void (*run)(void *arg);
	void (*done)(void *arg);
	void *arg;
};
STAILQ_HEAD(job_list, job);

struct job_queue {
	char name[16];
	size_t max_queued, pending; /* pending: done was not yet called; the loop's thread only */
	int max_threads, n_threads;
	pthread_t threads[JOB_THREADS_MAX];
	struct loop_fd *watch;
	int event_fd;
	int in_done; /* depth of job_deliver */
	bool dead; /* freed inside a done callback */

	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under lock: */
	struct job_list waiting, finished;
	size_t n_waiting;
	int n_idle;
	bool stop;
};

static void job_on_event(void *arg, int what);

struct job_queue *job_queue_new(struct loop *l, const char *name, int threads, size_t max_queued)
{
	struct job_queue *q = xcalloc(1, sizeof(*q));

	snprintf(q->name, sizeof(q->name), "%s", name);
	q->max_queued = max_queued;
	q->max_threads = threads < 1 ? 1 : threads > JOB_THREADS_MAX ? JOB_THREADS_MAX : threads;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->wake, NULL);
	STAILQ_INIT(&q->waiting);
	STAILQ_INIT(&q->finished);
	q->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	BUG_ON(q->event_fd < 0);
	q->watch = loop_fd_new(l, q->event_fd, LOOP_READ, job_on_event, q);
	return q;
}

static void job_finish(struct job_queue *q, struct job *j)
{
	bool first = STAILQ_EMPTY(&q->finished);

	STAILQ_INSERT_TAIL(&q->finished, j, link);
	if (first)
		eventfd_write(q->event_fd, 1);
}

static void *job_worker(void *arg)
{
	struct job_queue *q = arg;

	pthread_setname_np(pthread_self(), q->name);
	pthread_mutex_lock(&q->lock);
	for (;;) {
		struct job *j = STAILQ_FIRST(&q->waiting);

		if (j) {
			STAILQ_REMOVE_HEAD(&q->waiting, link);
			q->n_waiting--;
			pthread_mutex_unlock(&q->lock);
			j->run(j->arg);
			pthread_mutex_lock(&q->lock);
			job_finish(q, j);
		} else if (q->stop) {
			break;
		} else {
			q->n_idle++;
			pthread_cond_wait(&q->wake, &q->lock);
			q->n_idle--;
		}
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* 0 or -errno. The caller holds the lock, which the new thread waits for. */
static int job_start_thread(struct job_queue *q)
{
	sigset_t all, saved;
	pthread_attr_t attr;
	int r;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, JOB_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &saved);
	r = pthread_create(&q->threads[q->n_threads], &attr, job_worker, q);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
	pthread_attr_destroy(&attr);
	if (r == 0)
		q->n_threads++;
	return -r;
}

int job_submit(struct job_queue *q, void (*run)(void *arg), void (*done)(void *arg), void *arg)
{
	struct job *j;
	int r = 0;

	pthread_mutex_lock(&q->lock);
	if (q->n_waiting >= q->max_queued || q->stop)
		r = -EAGAIN;
	else if (q->n_waiting >= (size_t)q->n_idle && q->n_threads < q->max_threads)
		r = job_start_thread(q);
	if (r == -EAGAIN && q->n_threads && q->n_waiting < q->max_queued && !q->stop)
		r = 0; /* no further thread to be had, but there are some */
	if (r == 0) {
		j = xcalloc(1, sizeof(*j));
		j->run = run;
		j->done = done;
		j->arg = arg;
		STAILQ_INSERT_TAIL(&q->waiting, j, link);
		q->n_waiting++;
		q->pending++;
		pthread_cond_signal(&q->wake);
	}
	pthread_mutex_unlock(&q->lock);
	return r;
}

size_t job_queue_pending(const struct job_queue *q)
{
	return q->pending;
}

static void job_deliver(struct job_queue *q)
{
	struct job *j;

	q->in_done++;
	for (;;) {
		pthread_mutex_lock(&q->lock);
		j = STAILQ_FIRST(&q->finished);
		if (j)
			STAILQ_REMOVE_HEAD(&q->finished, link);
		pthread_mutex_unlock(&q->lock);
		if (!j)
			break;
		q->pending--;
		if (j->done)
			j->done(j->arg);
		free(j);
	}
	q->in_done--;
}

static void job_queue_destroy(struct job_queue *q)
{
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void job_on_event(void *arg, int what)
{
	struct job_queue *q = arg;
	eventfd_t count;

	/* Reset first: a job that ends while the others are delivered rings again. */
	(void)eventfd_read(q->event_fd, &count);
	job_deliver(q);
	if (q->dead && q->in_done == 0)
		job_queue_destroy(q);
}

struct job_queue *job_queue_free(struct job_queue *q)
{
	if (!q)
		return NULL;
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
	for (int i = 0; i < q->n_threads; i++)
		pthread_join(q->threads[i], NULL);
	job_deliver(q);
	loop_fd_free(q->watch);
	q->event_fd = close_fd(q->event_fd);
	if (q->in_done)
		q->dead = true;
	else
		job_queue_destroy(q);
	return NULL;
}
