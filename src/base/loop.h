/*
 * The event loop: fds, timers, signals, deferred calls. The only user of
 * libevent's core; http/ alone takes the base from it for its bufferevents.
 *
 * One thread owns the loop. A turn is: fds and timers, then the deferred queue
 * (what was deferred before the turn's end), then the before-sleep hooks, which
 * is where work gathered during the turn is sent off together (group commit,
 * watch fan-out). Every callback may free its own handle.
 */
#ifndef BASE_LOOP_H
#define BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tree.h"

struct loop;
struct event_base;

struct loop *loop_new(void);
struct loop *loop_free(struct loop *l);
int loop_run(struct loop *l); /* until loop_stop; 0 or -errno */
void loop_stop(struct loop *l);
/* One turn; waits at most max_wait_ms (-1: until something happens). For tests and the CLI. */
void loop_turn(struct loop *l, int max_wait_ms);
struct event_base *loop_event_base(struct loop *l);
int64_t loop_now_ms(struct loop *l); /* monotonic, of the turn's start */

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

/* An fd watched level-triggered until freed. cb gets LOOP_READ | LOOP_WRITE bits. */
struct loop_fd;
struct loop_fd *loop_fd_new(struct loop *l, int fd, int what,
			    void (*cb)(void *arg, int what), void *arg);
void loop_fd_set(struct loop_fd *f, int what); /* 0 pauses */
struct loop_fd *loop_fd_free(struct loop_fd *f); /* does not close the fd */

/* A timer, idle until set. cb runs once for each set. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*cb)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t in_ms); /* replaces a former setting */
void loop_timer_clear(struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);
struct loop_timer *loop_timer_free(struct loop_timer *t);

struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *l, int signo, void (*cb)(void *arg, int signo),
				    void *arg);
struct loop_signal *loop_signal_free(struct loop_signal *s);

/* A deferred call, embedded in its owner. Deferring what is queued already does nothing. */
struct loop_task {
	void (*run)(struct loop_task *t);
	TAILQ_ENTRY(loop_task) link_;
	bool queued;
};
void loop_defer(struct loop *l, struct loop_task *t);
void loop_undefer(struct loop *l, struct loop_task *t);

/* Runs at the end of each turn, in order of registration, until freed. */
struct loop_hook;
struct loop_hook *loop_before_sleep(struct loop *l, void (*cb)(void *arg), void *arg);
struct loop_hook *loop_hook_free(struct loop_hook *h);

#endif
