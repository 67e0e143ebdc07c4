/*
 * A timer that never comes, but is cancelled when the clock is set (timerfd_create(2)).
 */
#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/alloc.h"

#define CLOCK_FAR_S (sizeof(time_t) > 4 ? (time_t)(1LL << 33) : (time_t)INT32_MAX) /* the year 2242, or the end */

struct clock_watch {
	struct loop *loop;
	struct loop_task jumped; /* in virtual time, instead of a timer of the kernel's */
	int fd; /* -1: none */
	struct loop_fd *watch;
	void (*cb)(void *arg);
	void *arg;
};

static int clock_arm(int fd)
{
	struct itimerspec far = { .it_value = { .tv_sec = CLOCK_FAR_S } };

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

static void clock_told(void *arg, int what)
{
	struct clock_watch *w = arg;
	uint64_t n;
	bool set = read(w->fd, &n, sizeof(n)) < 0 && errno == ECANCELED;

	(void)what;
	if (clock_arm(w->fd) < 0)
		loop_fd_set(w->watch, 0);
	if (set)
		w->cb(w->arg);
}

static void clock_jumped(struct loop_task *t)
{
	struct clock_watch *w = CONTAINER_OF(t, struct clock_watch, jumped);

	w->cb(w->arg);
}

struct clock_watch *clock_watch_new(struct loop *l, void (*cb)(void *arg), void *arg)
{
	struct clock_watch *w = xcalloc(1, sizeof(*w));

	w->loop = l;
	w->cb = cb;
	w->arg = arg;
	w->jumped.run = clock_jumped;
	w->fd = -1;
	if (loop_on_jump(l, &w->jumped))
		return w;
	w->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (w->fd < 0 || clock_arm(w->fd) < 0)
		return clock_watch_free(w);
	w->watch = loop_fd_new(l, w->fd, LOOP_READ, clock_told, w);
	return w;
}

struct clock_watch *clock_watch_free(struct clock_watch *w)
{
	if (!w)
		return NULL;
	loop_off_jump(w->loop, &w->jumped);
	loop_fd_free(w->watch);
	close_fd(w->fd);
	free(w);
	return NULL;
}
