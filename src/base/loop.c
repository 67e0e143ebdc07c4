/*
 * The loop over libevent. See loop.h for the order within a turn.
 *
 * libevent keeps a coarse clock and caches it for the length of a turn, so its
 * timers may come a few milliseconds early; loop_timer checks against the real
 * monotonic clock and sleeps the rest. Nothing ticks: without fds that become
 * ready and timers that were set the process sleeps in epoll_wait for good.
 *
 * Handles are single allocations that a trampoline does not touch again after
 * it called back, so a callback may free its own. When the loop goes first, the
 * handles that are left are only detached: their owners still free them.
 *
 * In virtual time the timers are in a tree of ours instead of libevent's, ordered
 * by when they are due and then by when they were set, so that a run is the same
 * each time.
 *
 * Every callback is timed. One that held the loop for over 20 ms is logged at
 * debug level under the name that the registering macro recorded.
 */
#include "base/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/time.h"
#include "base/vec.h"

#define LOOP_SLOW_US 20000

LIST_HEAD(loop_fd_list, loop_fd);
LIST_HEAD(loop_timer_list, loop_timer);
LIST_HEAD(loop_signal_list, loop_signal);
TAILQ_HEAD(loop_hook_list, loop_hook);
TAILQ_HEAD(loop_task_list, loop_task);
RB_HEAD(loop_due_tree, loop_timer);

struct loop_virtual {
	struct time_clock clock;
	struct loop_due_tree due;
	uint64_t n_set; /* timers, so far */
	VEC(struct loop_task *) jumped; /* told when the wall clock jumps */
};

struct loop {
	struct event_base *base;
	struct event *wait; /* bounds the sleep of loop_turn */
	struct loop_fd_list fds;
	struct loop_timer_list timers;
	struct loop_signal_list signals;
	struct loop_hook_list hooks;
	struct loop_hook *next_hook; /* while they run: the one that comes next */
	struct loop_task_list tasks;
	struct loop_task end; /* marks where this turn's tasks end */
	struct loop_virtual *virtual; /* NULL: the machine's time */
	int64_t now_ms;
	bool now_known, in_turn, stopping;
};

struct loop_fd {
	LIST_ENTRY(loop_fd) link;
	struct loop *l; /* NULL once the loop is gone */
	struct event *ev;
	int fd, what;
	bool always; /* a file that epoll refuses: always ready */
	void (*cb)(void *arg, int what);
	void *arg;
	const char *name;
};

struct loop_timer {
	LIST_ENTRY(loop_timer) link;
	struct loop *l;
	struct event *ev;
	int64_t due_ms;
	bool set;
	RB_ENTRY(loop_timer) due_link; /* in virtual time, while it is set */
	uint64_t number;
	void (*cb)(void *arg);
	void *arg;
	const char *name;
};

struct loop_signal {
	LIST_ENTRY(loop_signal) link;
	struct loop *l;
	struct event *ev;
	void (*cb)(void *arg, int signo);
	void *arg;
	const char *name;
};

struct loop_hook {
	TAILQ_ENTRY(loop_hook) link;
	struct loop *l;
	void (*cb)(void *arg);
	void *arg;
	const char *name;
};

static int loop_due_cmp(struct loop_timer *a, struct loop_timer *b)
{
	if (a->due_ms != b->due_ms)
		return a->due_ms < b->due_ms ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

RB_GENERATE_INTERNAL(loop_due_tree, loop_timer, due_link, loop_due_cmp, static UNUSED)

static void loop_event_log(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_WARN)
		log_warn("libevent", LS("text", msg));
	else
		log_debug("libevent", LS("text", msg));
}

static void loop_event_fatal(int code)
{
	bug_abort(__FILE__, __LINE__, __func__, "libevent cannot go on");
}

static void loop_wake_cb(evutil_socket_t fd, short what, void *arg)
{
}

struct loop *loop_new(void)
{
	struct event_config *cfg = event_config_new();
	struct loop *l = xcalloc(1, sizeof(*l));

	event_set_log_callback(loop_event_log);
	event_set_fatal_callback(loop_event_fatal);
	BUG_ON(!cfg);
	event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
	l->base = event_base_new_with_config(cfg);
	event_config_free(cfg);
	if (!l->base) /* no more descriptors */
		bug_abort(__FILE__, __LINE__, __func__, "no event base");
	l->wait = evtimer_new(l->base, loop_wake_cb, NULL);
	BUG_ON(!l->wait);
	LIST_INIT(&l->fds);
	LIST_INIT(&l->timers);
	LIST_INIT(&l->signals);
	TAILQ_INIT(&l->hooks);
	TAILQ_INIT(&l->tasks);
	/* A peer that hangs up is an EPIPE of the write that finds it. */
	signal(SIGPIPE, SIG_IGN);
	return l;
}

/* Takes a handle's event from the loop that ends; the handle itself is its owner's. */
#define LOOP_DETACH(list, type)                   \
	while (!LIST_EMPTY(list)) {               \
		struct type *h_ = LIST_FIRST(list); \
		LIST_REMOVE(h_, link);            \
		event_free(h_->ev);               \
		h_->ev = NULL;                    \
		h_->l = NULL;                     \
	}

struct loop *loop_free(struct loop *l)
{
	if (!l)
		return NULL;
	BUG_ON(l->in_turn);
	LOOP_DETACH(&l->fds, loop_fd);
	LOOP_DETACH(&l->timers, loop_timer);
	LOOP_DETACH(&l->signals, loop_signal);
	while (!TAILQ_EMPTY(&l->hooks)) {
		struct loop_hook *h = TAILQ_FIRST(&l->hooks);

		TAILQ_REMOVE(&l->hooks, h, link);
		h->l = NULL;
	}
	while (!TAILQ_EMPTY(&l->tasks))
		loop_undefer(l, TAILQ_FIRST(&l->tasks));
	event_free(l->wait);
	event_base_free(l->base);
	if (l->virtual) {
		time_take_over(NULL);
		VEC_RELEASE(&l->virtual->jumped);
	}
	free(l->virtual);
	free(l);
	return NULL;
}

struct event_base *loop_event_base(struct loop *l)
{
	return l->base;
}

int64_t loop_now_ms(struct loop *l)
{
	if (!l->in_turn)
		return time_mono_ms();
	if (!l->now_known) {
		l->now_ms = time_mono_ms();
		l->now_known = true;
	}
	return l->now_ms;
}

/* Around each callback. Only values of the caller's own stack: the handle may be gone at the end. */
static int64_t loop_enter(struct loop *l)
{
	int64_t us = time_mono_us();

	if (!l->now_known) {
		l->now_ms = us / 1000;
		l->now_known = true;
	}
	return us;
}

static void loop_leave(int64_t since_us, const char *kind, const char *name)
{
	int64_t us = time_mono_us() - since_us;

	if (us >= LOOP_SLOW_US)
		log_debug("slow callback", LS("kind", kind), LS("name", name), LI("us", us));
}

/* --- turns --- */

static void loop_timer_cb(evutil_socket_t fd, short ev, void *arg);

static void loop_run_tasks(struct loop *l)
{
	struct loop_task *t;

	if (TAILQ_EMPTY(&l->tasks))
		return;
	/* What a task defers waits for the next turn, so that fds get theirs in between. */
	TAILQ_INSERT_TAIL(&l->tasks, &l->end, link_);
	while ((t = TAILQ_FIRST(&l->tasks)) != &l->end) {
		const char *name = t->where_;
		int64_t since = loop_enter(l);

		TAILQ_REMOVE(&l->tasks, t, link_);
		t->queued = false;
		t->run(t);
		loop_leave(since, "task", name);
	}
	TAILQ_REMOVE(&l->tasks, &l->end, link_);
}

static void loop_run_hooks(struct loop *l)
{
	for (struct loop_hook *h = TAILQ_FIRST(&l->hooks); h; h = l->next_hook) {
		const char *name = h->name;
		int64_t since = loop_enter(l);

		l->next_hook = TAILQ_NEXT(h, link);
		h->cb(h->arg);
		loop_leave(since, "hook", name);
	}
	l->next_hook = NULL;
}

/* Nothing else is to be done: to the first timer, or as far as may be. */
static void loop_jump(struct loop *l, int max_wait_ms)
{
	struct loop_timer *t = RB_MIN(loop_due_tree, &l->virtual->due);
	struct time_clock *c = &l->virtual->clock;
	int64_t us = max_wait_ms * 1000LL;

	if (t && (max_wait_ms < 0 || t->due_ms * 1000 - c->mono_us < us))
		us = t->due_ms * 1000 - c->mono_us;
	if (us > 0) {
		c->mono_us += us;
		c->wall_ns += us * 1000;
	}
}

static bool loop_has_task(const struct loop *l)
{
	return l->stopping || !TAILQ_EMPTY(&l->tasks);
}

/* Those that are due now, each once: what they set for now is of the next turn. */
static void loop_run_due(struct loop *l)
{
	struct loop_virtual *v = l->virtual;
	uint64_t last = v->n_set;
	struct loop_timer *t;

	while ((t = RB_MIN(loop_due_tree, &v->due)) && t->due_ms <= v->clock.mono_us / 1000 && t->number <= last)
		loop_timer_cb(-1, 0, t);
}

/* Waits in earnest only when there is no timer at all: somebody outside has to do something. */
static int loop_events_virtual(struct loop *l, int max_wait_ms)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY, r;

	if (max_wait_ms >= 0 || loop_has_task(l) || !RB_EMPTY(&l->virtual->due))
		flags |= EVLOOP_NONBLOCK;
	r = event_base_loop(l->base, flags);
	if (!l->now_known && !loop_has_task(l))
		loop_jump(l, max_wait_ms);
	loop_run_due(l);
	return r;
}

static int loop_events(struct loop *l, int max_wait_ms)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY, r;

	if (max_wait_ms == 0 || loop_has_task(l)) {
		flags |= EVLOOP_NONBLOCK;
	} else if (max_wait_ms > 0) {
		struct timeval tv = { max_wait_ms / 1000, max_wait_ms % 1000 * 1000 };

		event_add(l->wait, &tv);
	}
	r = event_base_loop(l->base, flags);
	event_del(l->wait);
	return r;
}

static int loop_one_turn(struct loop *l, int max_wait_ms)
{
	int r;

	BUG_ON(l->in_turn); /* a callback must not pump the loop that called it */
	l->in_turn = true;
	l->now_known = false;
	r = l->virtual ? loop_events_virtual(l, max_wait_ms) : loop_events(l, max_wait_ms);
	loop_run_tasks(l);
	loop_run_hooks(l);
	l->in_turn = false;
	return r < 0 ? -EIO : 0;
}

void loop_turn(struct loop *l, int max_wait_ms)
{
	(void)loop_one_turn(l, max_wait_ms);
}

int loop_run(struct loop *l)
{
	int r = 0;

	while (r == 0 && !l->stopping)
		r = loop_one_turn(l, -1);
	l->stopping = false;
	return r;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}

/* --- fds --- */

static short loop_event_bits(int what)
{
	return (what & LOOP_READ ? EV_READ : 0) | (what & LOOP_WRITE ? EV_WRITE : 0);
}

static void loop_fd_cb(evutil_socket_t fd, short ev, void *arg)
{
	struct loop_fd *f = arg;
	int what = (ev & EV_READ ? LOOP_READ : 0) | (ev & EV_WRITE ? LOOP_WRITE : 0);
	const char *name = f->name;
	int64_t since = loop_enter(f->l);

	if (f->always) {
		struct timeval now = { 0, 0 };

		event_add(f->ev, &now);
		what = f->what;
	}
	f->cb(f->arg, what);
	loop_leave(since, "fd", name);
}

static void loop_fd_arm(struct loop_fd *f)
{
	struct timeval now = { 0, 0 };
	int r;

	event_del(f->ev);
	if (!f->what)
		return;
	r = event_assign(f->ev, f->l->base, f->always ? -1 : f->fd,
			 f->always ? 0 : loop_event_bits(f->what) | EV_PERSIST, loop_fd_cb, f);
	BUG_ON(r < 0);
	r = event_add(f->ev, f->always ? &now : NULL);
	BUG_ON(r < 0);
}

/* epoll takes no regular files (a redirected stdin); poll(2) calls them always ready. */
static bool loop_fd_is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

struct loop_fd *loop_fd_new_named(struct loop *l, int fd, int what, void (*cb)(void *arg, int what),
				  void *arg, const char *name)
{
	struct loop_fd *f = xcalloc(1, sizeof(*f));

	f->l = l;
	f->fd = fd;
	f->what = what;
	f->cb = cb;
	f->arg = arg;
	f->name = name;
	f->always = loop_fd_is_file(fd);
	f->ev = event_new(l->base, -1, 0, loop_fd_cb, f);
	BUG_ON(!f->ev);
	LIST_INSERT_HEAD(&l->fds, f, link);
	loop_fd_arm(f);
	return f;
}

void loop_fd_set(struct loop_fd *f, int what)
{
	if (f->what == what)
		return;
	f->what = what;
	if (f->l)
		loop_fd_arm(f);
}

struct loop_fd *loop_fd_free(struct loop_fd *f)
{
	if (!f)
		return NULL;
	if (f->l) {
		LIST_REMOVE(f, link);
		event_free(f->ev);
	}
	free(f);
	return NULL;
}

/* --- timers --- */

static void loop_timer_arm(struct loop_timer *t, int64_t in_ms)
{
	struct timeval tv = { in_ms / 1000, in_ms % 1000 * 1000 };
	int r = event_add(t->ev, &tv);

	BUG_ON(r < 0);
}

static void loop_timer_disarm(struct loop_timer *t)
{
	if (t->set && t->l->virtual)
		RB_REMOVE(loop_due_tree, &t->l->virtual->due, t);
	else
		event_del(t->ev);
	t->set = false;
}

void loop_virtual(struct loop *l, int64_t wall_s)
{
	BUG_ON(l->virtual || !LIST_EMPTY(&l->timers));
	l->virtual = xcalloc(1, sizeof(*l->virtual));
	RB_INIT(&l->virtual->due);
	l->virtual->clock = (struct time_clock){ .mono_us = 1000 * SEC_US, .wall_ns = wall_s * SEC_NS };
	time_take_over(&l->virtual->clock);
}

static void loop_timer_cb(evutil_socket_t fd, short ev, void *arg)
{
	struct loop_timer *t = arg;
	const char *name = t->name;
	int64_t since = loop_enter(t->l);

	if (since / 1000 < t->due_ms) {
		loop_timer_arm(t, t->due_ms - since / 1000);
		return;
	}
	loop_timer_disarm(t);
	t->cb(t->arg);
	loop_leave(since, "timer", name);
}

struct loop_timer *loop_timer_new_named(struct loop *l, void (*cb)(void *arg), void *arg, const char *name)
{
	struct loop_timer *t = xcalloc(1, sizeof(*t));

	t->l = l;
	t->cb = cb;
	t->arg = arg;
	t->name = name;
	t->ev = evtimer_new(l->base, loop_timer_cb, t);
	BUG_ON(!t->ev);
	LIST_INSERT_HEAD(&l->timers, t, link);
	return t;
}

void loop_timer_set(struct loop_timer *t, int64_t in_ms)
{
	const int64_t far = 100LL * 365 * 86400 * SEC_MS;

	if (!t->l)
		return;
	in_ms = in_ms < 0 ? 0 : in_ms > far ? far : in_ms;
	if (t->l->virtual) {
		loop_timer_disarm(t);
		t->number = ++t->l->virtual->n_set;
	}
	t->due_ms = time_mono_ms() + in_ms;
	t->set = true;
	if (t->l->virtual)
		RB_INSERT(loop_due_tree, &t->l->virtual->due, t);
	else
		loop_timer_arm(t, in_ms);
}

void loop_timer_clear(struct loop_timer *t)
{
	if (t->l)
		loop_timer_disarm(t);
	t->set = false;
}

bool loop_timer_is_set(const struct loop_timer *t)
{
	return t->set;
}

struct loop_timer *loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return NULL;
	if (t->l) {
		loop_timer_disarm(t);
		LIST_REMOVE(t, link);
		event_free(t->ev);
	}
	free(t);
	return NULL;
}

/* --- signals --- */

static void loop_signal_cb(evutil_socket_t signo, short ev, void *arg)
{
	struct loop_signal *s = arg;
	const char *name = s->name;
	int64_t since = loop_enter(s->l);

	s->cb(s->arg, signo);
	loop_leave(since, "signal", name);
}

struct loop_signal *loop_signal_new_named(struct loop *l, int signo, void (*cb)(void *arg, int signo),
					  void *arg, const char *name)
{
	struct loop_signal *s = xcalloc(1, sizeof(*s));
	int r;

	s->l = l;
	s->cb = cb;
	s->arg = arg;
	s->name = name;
	s->ev = evsignal_new(l->base, signo, loop_signal_cb, s);
	BUG_ON(!s->ev);
	r = event_add(s->ev, NULL);
	BUG_ON(r < 0);
	LIST_INSERT_HEAD(&l->signals, s, link);
	return s;
}

struct loop_signal *loop_signal_free(struct loop_signal *s)
{
	if (!s)
		return NULL;
	if (s->l) {
		LIST_REMOVE(s, link);
		event_free(s->ev);
	}
	free(s);
	return NULL;
}

/* --- deferred calls and hooks --- */

void loop_defer_named(struct loop *l, struct loop_task *t, const char *where)
{
	if (t->queued)
		return;
	t->queued = true;
	t->where_ = where;
	TAILQ_INSERT_TAIL(&l->tasks, t, link_);
}

void loop_undefer(struct loop *l, struct loop_task *t)
{
	if (!t->queued)
		return;
	t->queued = false;
	TAILQ_REMOVE(&l->tasks, t, link_);
}

void loop_wall_jump(struct loop *l, int64_t by_s)
{
	l->virtual->clock.wall_ns += by_s * SEC_NS;
	for (size_t i = 0; i < l->virtual->jumped.n; i++)
		loop_defer(l, l->virtual->jumped.v[i]);
}

bool loop_on_jump(struct loop *l, struct loop_task *t)
{
	if (l->virtual)
		VEC_PUSH(&l->virtual->jumped, t);
	return l->virtual != NULL;
}

void loop_off_jump(struct loop *l, struct loop_task *t)
{
	loop_undefer(l, t);
	for (size_t i = 0; l->virtual && i < l->virtual->jumped.n; i++)
		if (l->virtual->jumped.v[i] == t) {
			VEC_REMOVE(&l->virtual->jumped, i);
			return;
		}
}

struct loop_hook *loop_before_sleep_named(struct loop *l, void (*cb)(void *arg), void *arg, const char *name)
{
	struct loop_hook *h = xcalloc(1, sizeof(*h));

	h->l = l;
	h->cb = cb;
	h->arg = arg;
	h->name = name;
	TAILQ_INSERT_TAIL(&l->hooks, h, link);
	return h;
}

struct loop_hook *loop_hook_free(struct loop_hook *h)
{
	if (!h)
		return NULL;
	if (h->l) {
		if (h->l->next_hook == h)
			h->l->next_hook = TAILQ_NEXT(h, link);
		TAILQ_REMOVE(&h->l->hooks, h, link);
	}
	free(h);
	return NULL;
}
