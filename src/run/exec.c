/*
 * Exec sessions, attached clients, and connections to the pod's ports, from the
 * daemon's side. Pipes are made here and their far ends handed to the keeper; a
 * terminal is made inside the container and its master comes back.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/rand.h"
#include "run/internal.h"

#define ATTACH_PIPE_BYTES (1 << 20) /* what an attached reader may be behind */

struct run_exec {
	TAILQ_ENTRY(run_exec) link;
	struct sandbox *s;
	uint32_t id;
	int master; /* for resizing; -1 */
	struct run_io io; /* until it is handed over */
	bool is_started, killed;
	void (*started)(void *arg, const struct run_io *io, const struct err *err);
	void (*ended)(void *arg, int exit_code, const struct err *err);
	void *arg;
};

/* The three streams of a session: our ends in io, the keeper's in far. */
struct streams {
	struct run_io io;
	int far[3];
	char roles[3];
	size_t n;
};

static void io_close(struct run_io *io)
{
	close_fd(io->in);
	if (io->out != io->in)
		close_fd(io->out);
	close_fd(io->err);
	*io = (struct run_io){ -1, -1, -1 };
}

static int streams_add(struct streams *st, int which, int *near_end, size_t size)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	if (size)
		(void)fcntl(p[1], F_SETPIPE_SZ, (int)size);
	*near_end = p[which == 0 ? 1 : 0];
	st->far[st->n] = p[which == 0 ? 0 : 1];
	st->roles[st->n++] = (char)('0' + which);
	(void)fcntl(*near_end, F_SETFL, O_NONBLOCK);
	return 0;
}

/* The process's stderr is its stdout. */
static void streams_close_far(struct streams *st)
{
	for (size_t i = 0; i < st->n; i++)
		close_fd(st->far[i]);
}

/* The process's stderr is its stdout. */
static int streams_join(struct streams *st)
{
	int copy = fcntl(st->far[st->n - 1], F_DUPFD_CLOEXEC, 3);

	if (copy < 0) {
		streams_close_far(st);
		st->n = 0;
		return -errno;
	}
	st->far[st->n] = copy;
	st->roles[st->n++] = ROLE_ERR;
	return 0;
}

static int streams_make(struct streams *st, bool in, bool out, bool err, size_t size)
{
	int r = 0;

	*st = (struct streams){ .io = { -1, -1, -1 } };
	if (in)
		r = streams_add(st, 0, &st->io.in, 0);
	if (r == 0 && out)
		r = streams_add(st, 1, &st->io.out, size);
	if (r == 0 && err)
		r = streams_add(st, 2, &st->io.err, size);
	if (r < 0) {
		streams_close_far(st);
		io_close(&st->io);
		st->n = 0;
	}
	return r;
}

/* --- exec --- */

static void exec_free(struct run_exec *x)
{
	TAILQ_REMOVE(&x->s->execs, x, link);
	close_fd(x->master);
	io_close(&x->io);
	free(x);
}

static void exec_take_terminal(struct run_exec *x, struct frame *f)
{
	int master = frame_take(f, ROLE_TTY);

	if (master < 0)
		return;
	(void)fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK);
	x->io = (struct run_io){ master, master, -1 };
	x->master = fcntl(master, F_DUPFD_CLOEXEC, 3);
}

static void exec_tell_kill(struct run_exec *x)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	peer_begin(x->s, &b, FRAME_EXEC_KILL);
	frame_add_int(&b, F_EXEC, x->id);
	peer_tell(x->s, &b);
}

static void exec_answered(void *arg, struct frame *f, const struct err *e)
{
	struct run_exec *x = arg;
	struct run_io io;

	if (x->killed) {
		if (!e)
			exec_tell_kill(x);
		exec_free(x);
		return;
	}
	if (e) {
		void (*started)(void *, const struct run_io *, const struct err *) = x->started;
		void *started_arg = x->arg;

		exec_free(x);
		started(started_arg, NULL, e);
		return;
	}
	exec_take_terminal(x, f);
	x->is_started = true;
	io = x->io;
	x->io = (struct run_io){ -1, -1, -1 };
	x->started(x->arg, &io, NULL);
}

struct run_exec *container_exec(struct container *c, const struct run_exec_spec *spec,
				void (*started)(void *arg, const struct run_io *io, const struct err *err),
				void (*ended)(void *arg, int exit_code, const struct err *err), void *arg)
{
	struct run_exec *x = xcalloc(1, sizeof(*x));
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct streams st;
	struct err e = ERR_INIT;
	int r = streams_make(&st, spec->in && !spec->tty, spec->out && !spec->tty, spec->err && !spec->tty,
			     0);

	if (r == 0 && spec->out && spec->err_to_out)
		r = streams_join(&st);
	x->s = c->s;
	x->id = (uint32_t)rand_u64();
	x->master = -1;
	x->io = st.io;
	x->started = started;
	x->ended = ended;
	x->arg = arg;
	TAILQ_INSERT_TAIL(&c->s->execs, x, link);
	if (r < 0) {
		err_errno(&e, -r, "make pipes");
		peer_fail(c->s, exec_answered, x, &e);
		return x;
	}
	peer_begin(c->s, &b, FRAME_EXEC);
	frame_add(&b, F_ROLES, st.roles, st.n);
	frame_add_str(&b, F_CID, c->id);
	frame_add_int(&b, F_EXEC, x->id);
	frame_add_int(&b, F_TTY, spec->tty);
	frame_add_int(&b, F_ROWS, spec->rows ? spec->rows : 24);
	frame_add_int(&b, F_COLS, spec->cols ? spec->cols : 80);
	for (size_t i = 0; spec->argv && spec->argv[i]; i++)
		frame_add_str(&b, F_ARG, spec->argv[i]);
	peer_ask(c->s, &b, st.far, st.n, exec_answered, x);
	streams_close_far(&st);
	return x;
}

void exec_on_exited(struct sandbox *s, struct fields f)
{
	uint32_t id = fields_int(f, F_EXEC, 0);
	struct run_exec *x;

	TAILQ_FOREACH(x, &s->execs, link) {
		void (*ended)(void *, int, const struct err *) = x->ended;
		void *arg = x->arg;

		if (x->id != id || !x->is_started)
			continue;
		exec_free(x);
		ended(arg, (int)fields_int(f, F_EXIT_CODE, 255), NULL);
		return;
	}
}

/* Those that run; those that are still asked for have their answer coming. */
void exec_lost(struct sandbox *s)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct run_exec *x;

	err_set(&e, ERR_INTERNAL, "the pod's keeper is gone");
	for (;;) {
		void (*ended)(void *, int, const struct err *);
		void *arg;

		TAILQ_FOREACH(x, &s->execs, link)
			if (x->is_started)
				break;
		if (!x)
			return;
		ended = x->ended;
		arg = x->arg;
		exec_free(x);
		ended(arg, 137, &e);
	}
}

void exec_abandon_all(struct sandbox *s)
{
	struct run_exec *x;

	while ((x = TAILQ_FIRST(&s->execs)))
		exec_free(x);
}

void run_exec_resize(struct run_exec *x, uint16_t rows, uint16_t cols)
{
	struct winsize ws = { .ws_row = rows, .ws_col = cols };

	if (x->master >= 0)
		(void)ioctl(x->master, TIOCSWINSZ, &ws);
}

void run_exec_kill(struct run_exec *x)
{
	if (!x->is_started) {
		x->killed = true;
		return;
	}
	exec_tell_kill(x);
	exec_free(x);
}

/* --- attach --- */

struct attaching {
	struct run_io io;
	void (*started)(void *arg, const struct run_io *io, const struct err *err);
	void *arg;
};

static void attach_answered(void *arg, struct frame *f, const struct err *e)
{
	struct attaching *a = arg;

	if (e)
		io_close(&a->io);
	a->started(a->arg, e ? NULL : &a->io, e);
	free(a);
}

void container_attach(struct container *c, bool in, bool out, bool err,
		      void (*started)(void *arg, const struct run_io *io, const struct err *err), void *arg)
{
	struct attaching *a = xcalloc(1, sizeof(*a));
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct streams st;
	int r = streams_make(&st, in, out, err && !c->tty, ATTACH_PIPE_BYTES);

	a->io = st.io;
	a->started = started;
	a->arg = arg;
	if (r < 0) {
		err_errno(&e, -r, "make pipes");
		peer_fail(c->s, attach_answered, a, &e);
		return;
	}
	peer_begin(c->s, &b, FRAME_ATTACH);
	frame_add(&b, F_ROLES, st.roles, st.n);
	frame_add_str(&b, F_CID, c->id);
	peer_ask(c->s, &b, st.far, st.n, attach_answered, a);
	streams_close_far(&st);
}

/* --- dial --- */

struct dialing {
	struct sandbox *s;
	int port, family, fd;
	struct loop_fd *watch;
	struct loop_timer *timer;
	void (*done)(void *arg, int fd);
	void *arg;
};

static void dial_ask(struct dialing *d, int family);

static void dial_finish(struct dialing *d, int result)
{
	void (*done)(void *, int) = d->done;
	void *arg = d->arg;
	struct sandbox *s = d->s;

	loop_fd_free(d->watch);
	loop_timer_free(d->timer);
	if (d->fd >= 0 && result != d->fd)
		close(d->fd);
	free(d);
	done(arg, result);
	sandbox_free(s);
}

/* 127.0.0.1 first, then ::1. */
static void dial_failed(struct dialing *d, int eno)
{
	d->watch = loop_fd_free(d->watch);
	d->fd = close_fd(d->fd);
	if (d->family == 4 && !d->s->lost)
		dial_ask(d, 6);
	else
		dial_finish(d, d->family == 6 && (eno == EAFNOSUPPORT || eno == EADDRNOTAVAIL) ? -ECONNREFUSED
											       : -eno);
}

static void dial_writable(void *arg, int what)
{
	struct dialing *d = arg;
	int eno = 0;
	socklen_t len = sizeof(eno);

	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &eno, &len) < 0)
		eno = errno;
	if (eno)
		dial_failed(d, eno);
	else
		dial_finish(d, d->fd);
}

static void dial_timed_out(void *arg)
{
	struct dialing *d = arg;

	if (d->watch) /* else the answer is still to come */
		dial_finish(d, -ETIMEDOUT);
}

static void dial_answered(void *arg, struct frame *f, const struct err *e)
{
	struct dialing *d = arg;

	if (!e)
		d->fd = frame_take(f, ROLE_SOCKET);
	if (d->fd < 0) {
		dial_failed(d, e ? e->code : EPROTO);
		return;
	}
	d->watch = loop_fd_new(d->s->r->loop, d->fd, LOOP_WRITE, dial_writable, d);
	loop_timer_set(d->timer, RUN_DIAL_MS);
}

static void dial_ask(struct dialing *d, int family)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	d->family = family;
	peer_begin(d->s, &b, FRAME_DIAL);
	frame_add_int(&b, F_FAMILY, family);
	frame_add_int(&b, F_PORT, d->port);
	peer_ask(d->s, &b, NULL, 0, dial_answered, d);
}

void sandbox_dial(struct sandbox *s, int port, void (*done)(void *arg, int fd), void *arg)
{
	struct dialing *d = xcalloc(1, sizeof(*d));

	d->s = s;
	s->refs++;
	d->port = port;
	d->fd = -1;
	d->done = done;
	d->arg = arg;
	d->timer = loop_timer_new(s->r->loop, dial_timed_out, d);
	dial_ask(d, 4);
}
