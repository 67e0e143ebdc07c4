/*
 * The event loop: fds, timers, signals, deferred calls. The only user of
 * libevent's core; http/ alone takes the base from it for its bufferevents.
 *
 * One thread owns the loop. A turn is: fds and timers, then the deferred queue
 * (what was deferred before the turn's end), then the before-sleep hooks, which
 * is where work gathered during the turn is sent off together (group commit,
 * watch fan-out). What a task or a hook defers runs in the next turn, which then
 * does not sleep. Every callback may free its own handle, and any other.
 *
 * The functions that register a callback are macros: they record its name, which
 * is logged (at debug level) when it held the loop for over 20 ms.
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

/*
 * Virtual time, for tests: from here on no clock of this process goes by itself.
 * Both stand still while there is something to do; when nothing is, they jump to
 * the next timer, or by loop_turn's max_wait_ms if that comes first. A day takes
 * as long as what happens in it. To be called before the first timer is made; ends
 * with the loop. What a worker thread is busy with is not waited for.
 */
void loop_virtual(struct loop *l, int64_t wall_s);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

/* An fd watched level-triggered until freed. cb gets LOOP_READ | LOOP_WRITE bits. */
struct loop_fd;
#define loop_fd_new(l, fd, what, cb, arg) loop_fd_new_named(l, fd, what, cb, arg, #cb)
struct loop_fd *loop_fd_new_named(struct loop *l, int fd, int what,
				  void (*cb)(void *arg, int what), void *arg, const char *name);
void loop_fd_set(struct loop_fd *f, int what); /* 0 pauses */
struct loop_fd *loop_fd_free(struct loop_fd *f); /* does not close the fd */

/* A timer, idle until set. cb runs once for each set. */
struct loop_timer;
#define loop_timer_new(l, cb, arg) loop_timer_new_named(l, cb, arg, #cb)
struct loop_timer *loop_timer_new_named(struct loop *l, void (*cb)(void *arg), void *arg, const char *name);
void loop_timer_set(struct loop_timer *t, int64_t in_ms); /* replaces a former setting */
void loop_timer_clear(struct loop_timer *t);
bool loop_timer_is_set(const struct loop_timer *t);
struct loop_timer *loop_timer_free(struct loop_timer *t);

struct loop_signal;
#define loop_signal_new(l, signo, cb, arg) loop_signal_new_named(l, signo, cb, arg, #cb)
struct loop_signal *loop_signal_new_named(struct loop *l, int signo, void (*cb)(void *arg, int signo),
					  void *arg, const char *name);
struct loop_signal *loop_signal_free(struct loop_signal *s);

/* A deferred call, embedded in its owner. Deferring what is queued already does nothing. */
struct loop_task {
	void (*run)(struct loop_task *t);
	TAILQ_ENTRY(loop_task) link_;
	bool queued;
	const char *where_;
};
#define LOOP_LINE__(n) #n
#define LOOP_LINE_(n) LOOP_LINE__(n)
#define loop_defer(l, t) loop_defer_named(l, t, __FILE__ ":" LOOP_LINE_(__LINE__))
void loop_defer_named(struct loop *l, struct loop_task *t, const char *where);
void loop_undefer(struct loop *l, struct loop_task *t);

/* In virtual time: somebody sets the wall clock. Timers take no notice; those that asked to be told are deferred.
 * loop_on_jump: false when time is the machine's. */
void loop_wall_jump(struct loop *l, int64_t by_s);
bool loop_on_jump(struct loop *l, struct loop_task *t);
void loop_off_jump(struct loop *l, struct loop_task *t);

/* Runs at the end of each turn, in order of registration, until freed. */
struct loop_hook;
#define loop_before_sleep(l, cb, arg) loop_before_sleep_named(l, cb, arg, #cb)
struct loop_hook *loop_before_sleep_named(struct loop *l, void (*cb)(void *arg), void *arg, const char *name);
struct loop_hook *loop_hook_free(struct loop_hook *h);

#endif
