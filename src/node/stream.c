/*
 * exec, attach and port-forward: fds of the runtime on one side, a session of
 * http/remote.h on the other, with back-pressure both ways. A session on which
 * nothing comes or goes for long (streaming-connection-idle-timeout) is cut.
 *
 * A command session (struct cmd) ends in this order: the process ends, what is
 * still in its pipes is read and written to the client, then the exit code goes
 * out. A process that left children behind which keep the pipes open does not
 * hold the session: after the exit only what is there at once is read.
 */
#include <errno.h>
#include <unistd.h>

#include "http/remote.h"
#include "node/internal.h"

#define READ_BYTES 32768
#define MAX_COMMAND 1024

#define CMD_WAIT_MS 5

struct cmd;
struct cmd_out { /* one output of the process */
	struct cmd *cmd;
	enum remote_channel channel;
	int fd;
	struct loop_fd *watch;
};

struct cmd {
	struct session session;
	struct server *server;
	struct remote *remote;
	struct remote_want want;
	bool attach, stdin_once;
	bool stdin_ignored; /* attach: the container has none, whatever the client wants */
	char *uid, *name;
	char **argv;
	struct run_exec *exec;
	int in;
	struct loop_fd *in_watch; /* while the process does not read */
	struct cmd_out out, err;
	bool open, started, in_eof, blocked, exited;
	int exit_code;
	uint16_t rows, cols;
	struct loop_timer *wait; /* a moment before it begins */
	struct loop_timer *idle; /* until which something must have come or gone; NULL: no limit */
	int64_t active_ms;	 /* when it last did */
	bool *attach_gone; /* told when the session dies while an attach is under way */
};

static void cmd_free(struct cmd *c)
{
	session_del(c->server, &c->session);
	if (c->exec)
		run_exec_kill(c->exec);
	if (c->attach_gone)
		*c->attach_gone = true;
	loop_timer_free(c->wait);
	loop_timer_free(c->idle);
	loop_fd_free(c->in_watch);
	loop_fd_free(c->out.watch);
	loop_fd_free(c->err.watch);
	if (c->in != c->out.fd)
		close_fd(c->in);
	close_fd(c->out.fd);
	close_fd(c->err.fd);
	for (size_t i = 0; c->argv && c->argv[i]; i++)
		free(c->argv[i]);
	free(c->argv);
	free(c->uid);
	free(c->name);
	free(c);
}

static void cmd_end_session(struct session *e)
{
	struct cmd *c = CONTAINER_OF(e, struct cmd, session);
	struct remote *r = c->remote;

	cmd_free(c);
	remote_abort(r);
}

static struct container *cmd_container(struct cmd *c)
{
	struct ctr *ctr = server_ctr(c->server, c->uid, c->name);

	return ctr && ctr->state == CTR_UP ? ctr_run(ctr) : NULL;
}

/* As a shell has it: 127 for a program that is not there, 126 for one that can't be run; 0: something else failed. */
static int cmd_program_code(const struct err *e)
{
	if (!starts_with(err_msg(e), "unable to start container process: exec"))
		return 0;
	return e->code == ENOENT || e->code == ENOTDIR ? 127 : 126;
}

/*
 * A program that can't be run ends like one that ran: its text where errors go, and an exit code, as Docker and
 * CRI-O answer. Everything else is an InternalError.
 */
static void cmd_fail(struct cmd *c, const struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err said = ERR_INIT;
	struct remote *r = c->remote;
	struct remote_want want = c->want;
	int code = c->attach ? 0 : cmd_program_code(e);

	c->exec = NULL;
	err_set(&said, ERR_INTERNAL, "%s: %s",
		c->attach ? "error attaching to container" : "error executing command in container", err_msg(e));
	cmd_free(c);
	if (code && (want.err || want.out)) {
		buf_addf(&text, "OCI runtime exec failed: exec failed: %s: unknown\r\n", err_msg(e));
		(void)remote_write(r, want.err ? REMOTE_STDERR : REMOTE_STDOUT, buf_str(&text));
		remote_exit(r, code);
	} else {
		remote_fail(r, &said);
	}
}

static void cmd_no_container(struct buf *out, const struct ctr *ctr, const char *name, bool attach)
{
	if (attach && ctr)
		buf_addf(out, "container %s not found in pod %s_%s", name, ctr->pod->name, ctr->pod->ns);
	else
		buf_addf(out, "container not found (\"%s\")", name);
}

/*
 * The handshake of a WebSocket has been answered when the node hears of the
 * command, so what SPDY clients are told instead of 101 comes over it.
 */
static void cmd_refuse(struct cmd *c)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf why = BUF_INIT;
	struct remote *r = c->remote;

	cmd_no_container(&why, server_ctr(c->server, c->uid, c->name), c->name, c->attach);
	err_set(&e, ERR_NOT_FOUND, "unable to upgrade connection: %s", why.s);
	remote_fail(r, &e);
	cmd_free(c);
}

/* --- output --- */

static void out_close(struct cmd_out *o)
{
	o->watch = loop_fd_free(o->watch);
	if (o->fd == o->cmd->in)
		o->cmd->in = -1;
	o->fd = close_fd(o->fd);
}

/* One read: true when there may be more at once. */
static bool out_read(struct cmd_out *o)
{
	static char block[READ_BYTES];
	ssize_t n;

	if (o->fd < 0 || o->cmd->blocked)
		return false;
	n = read(o->fd, block, sizeof(block));
	if (n > 0) {
		o->cmd->active_ms = time_mono_ms();
		if (!remote_write(o->cmd->remote, o->channel, str_n(block, (size_t)n)))
			o->cmd->blocked = true;
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return errno == EINTR;
	out_close(o); /* the end, or EIO of a terminal whose last user is gone */
	return false;
}

/* After the exit: true when all that was there is on its way. */
static bool cmd_drained(struct cmd *c)
{
	while (out_read(&c->out) || out_read(&c->err))
		;
	return !c->blocked;
}

static void cmd_finish(struct cmd *c)
{
	struct remote *r = c->remote;
	int code = c->exit_code;

	if (!cmd_drained(c))
		return;
	cmd_free(c);
	remote_exit(r, code);
}

static void cmd_watch(struct cmd *c)
{
	int what = c->blocked ? 0 : LOOP_READ;

	if (c->out.watch)
		loop_fd_set(c->out.watch, what);
	if (c->err.watch)
		loop_fd_set(c->err.watch, what);
}

static void out_ready(void *arg, int what UNUSED)
{
	struct cmd_out *o = arg;
	struct cmd *c = o->cmd;

	out_read(o);
	if (c->attach && c->out.fd < 0 && c->err.fd < 0) { /* the container has ended */
		c->exited = true;
		cmd_finish(c);
		return;
	}
	if (c->exited && !c->blocked) {
		cmd_finish(c);
		return;
	}
	cmd_watch(c);
}

static void cmd_drain(void *arg)
{
	struct cmd *c = arg;

	c->blocked = false;
	if (c->exited)
		cmd_finish(c);
	else
		cmd_watch(c);
}

/* --- input --- */

static void in_writable(void *arg, int what UNUSED)
{
	struct cmd *c = arg;

	c->in_watch = loop_fd_free(c->in_watch);
	remote_ready(c->remote);
}

static size_t cmd_stdin(void *arg, struct str data)
{
	struct cmd *c = arg;
	size_t done = 0;

	if (!c->started)
		return 0;
	c->active_ms = time_mono_ms();
	if (c->in < 0)
		return data.n; /* nobody reads it any more */
	while (done < data.n) {
		ssize_t n = write(c->in, data.p + done, data.n - done);

		if (n > 0) {
			done += (size_t)n;
		} else if (errno == EINTR) {
			continue;
		} else if (errno == EAGAIN) {
			if (!c->in_watch)
				c->in_watch = loop_fd_new(c->server ? server_agent(c->server)->loop : NULL,
							  c->in, LOOP_WRITE, in_writable, c);
			break;
		} else {
			return data.n;
		}
	}
	return done;
}

static void in_close(struct cmd *c)
{
	c->in_watch = loop_fd_free(c->in_watch);
	if (c->in >= 0 && c->in != c->out.fd)
		close_fd(c->in);
	c->in = -1;
}

/* The end of the client's input is that of the container only with stdinOnce; else the client leaves. */
static void attach_leave(struct cmd *c)
{
	in_close(c);
	c->exited = true;
	cmd_finish(c);
}

static void cmd_stdin_eof(void *arg)
{
	struct cmd *c = arg;

	c->in_eof = true;
	if (!c->started)
		return;
	if (c->stdin_ignored)
		return;
	if (c->attach && !c->stdin_once) {
		attach_leave(c);
		return;
	}
	if (!c->want.tty)
		in_close(c);
}

static void cmd_resize(void *arg, int cols, int rows)
{
	struct cmd *c = arg;
	struct container *rc;

	c->cols = (uint16_t)cols;
	c->rows = (uint16_t)rows;
	if (c->attach) {
		rc = cmd_container(c);
		if (rc)
			container_resize(rc, c->rows, c->cols);
	} else if (c->exec && c->started) {
		run_exec_resize(c->exec, c->rows, c->cols);
	}
}

static void cmd_gone(void *arg)
{
	cmd_free(arg);
}

/* --- idle streams --- */

static void cmd_idle(void *arg)
{
	struct cmd *c = arg;
	int64_t left = c->active_ms + server_agent(c->server)->stream_idle_ms - time_mono_ms();

	if (left > 0)
		loop_timer_set(c->idle, left);
	else
		cmd_end_session(&c->session);
}

static void cmd_limit_idle(struct cmd *c)
{
	int64_t limit = server_agent(c->server)->stream_idle_ms;

	if (limit <= 0)
		return;
	c->active_ms = time_mono_ms();
	c->idle = loop_timer_new(server_agent(c->server)->loop, cmd_idle, c);
	loop_timer_set(c->idle, limit);
}

/* --- begin --- */

static void out_open(struct cmd_out *o, int fd)
{
	o->fd = fd;
	if (fd < 0)
		return;
	fd_set_nonblock(fd, true);
	o->watch = loop_fd_new(server_agent(o->cmd->server)->loop, fd, LOOP_READ, out_ready, o);
}

static void cmd_take_io(struct cmd *c, const struct run_io *io)
{
	c->started = true;
	c->in = io->in;
	if (c->in >= 0)
		fd_set_nonblock(c->in, true);
	out_open(&c->out, io->out);
	out_open(&c->err, io->err);
	remote_ready(c->remote);
	if (c->in_eof)
		cmd_stdin_eof(c);
}

static void exec_started(void *arg, const struct run_io *io, const struct err *err)
{
	struct cmd *c = arg;

	if (err) {
		cmd_fail(c, err);
		return;
	}
	cmd_take_io(c, io);
	if (c->rows && c->exec)
		run_exec_resize(c->exec, c->rows, c->cols);
}

static void exec_ended(void *arg, int exit_code, const struct err *err)
{
	struct cmd *c = arg;

	c->exec = NULL;
	if (err) {
		cmd_fail(c, err);
		return;
	}
	c->exited = true;
	c->exit_code = exit_code;
	cmd_finish(c);
}

static void exec_open(struct cmd *c, struct container *rc)
{
	struct run_exec_spec spec = {
		.argv = (const char *const *)c->argv,
		.tty = c->want.tty,
		.in = c->want.in,
		.out = c->want.out,
		.err = c->want.err,
		.rows = c->rows,
		.cols = c->cols,
	};

	c->exec = container_exec(rc, &spec, exec_started, exec_ended, c);
}

struct attach_call {
	struct cmd *cmd;
	bool gone;
};

static void attach_started(void *arg, const struct run_io *io, const struct err *err)
{
	struct attach_call *call = arg;
	struct cmd *c = call->cmd;

	if (call->gone) {
		if (!err) {
			if (io->in != io->out)
				close_fd(io->in);
			close_fd(io->out);
			close_fd(io->err);
		}
	} else {
		c->attach_gone = NULL;
		if (err)
			cmd_fail(c, err);
		else
			cmd_take_io(c, io);
	}
	free(call);
}

static void attach_open(struct cmd *c, struct container *rc)
{
	struct attach_call *call = xcalloc(1, sizeof(*call));

	call->cmd = c;
	c->attach_gone = &call->gone;
	container_attach(rc, c->want.in && !c->stdin_ignored, c->want.out, c->want.err, attach_started, call);
}

static void cmd_begin(void *arg)
{
	struct cmd *c = arg;
	struct container *rc = cmd_container(c);

	c->wait = loop_timer_free(c->wait);
	if (!rc) {
		cmd_refuse(c);
	} else if (c->attach) {
		attach_open(c, rc);
	} else {
		exec_open(c, rc);
	}
}

/* kubectl reads from a WebSocket before it has made its streams, and drops what comes for them until then: a node with a
 * slower runtime never notices. */
static void cmd_open(void *arg)
{
	struct cmd *c = arg;

	c->open = true;
	if (c->attach) {
		cmd_begin(c);
		return;
	}
	c->wait = loop_timer_new(server_agent(c->server)->loop, cmd_begin, c);
	loop_timer_set(c->wait, CMD_WAIT_MS);
}

static const struct remote_ops cmd_ops = {
	.on_open = cmd_open,
	.on_stdin = cmd_stdin,
	.on_stdin_eof = cmd_stdin_eof,
	.on_resize = cmd_resize,
	.on_drain = cmd_drain,
	.on_close = cmd_gone,
};

static struct cmd *cmd_new(struct server *s, struct ctr *ctr, struct remote_want want)
{
	struct cmd *c = xcalloc(1, sizeof(*c));

	c->session.end = cmd_end_session;
	c->server = s;
	c->want = want;
	c->uid = xstrdup(ctr->pod->uid);
	c->name = xstrdup(ctr->name);
	c->in = -1;
	c->out = (struct cmd_out){.cmd = c, .channel = REMOTE_STDOUT, .fd = -1};
	c->err = (struct cmd_out){.cmd = c, .channel = REMOTE_STDERR, .fd = -1};
	session_add(s, &c->session);
	cmd_limit_idle(c);
	return c;
}

static bool cmd_want(struct http_req *r, struct ctr *ctr, struct str query, bool attach, struct remote_want *want)
{
	_cleanup_buf_ struct buf why = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	if (remote_want_parse(want, query, &e) < 0) {
		server_error(r, 400, "%s", err_msg(&e));
		return false;
	}
	if (ctr->state != CTR_UP && !str_ieq(http_head_get(http_req_head(r), "Upgrade"), STR_LIT("websocket"))) {
		/* The client puts "unable to upgrade connection: " before it. */
		cmd_no_container(&why, ctr, ctr->name, attach);
		server_error(r, 500, "%s", why.s);
		return false;
	}
	return true;
}

void stream_exec(struct server *s, struct http_req *r, struct ctr *ctr, struct str query)
{
	_cleanup_buf_ struct buf name = BUF_INIT, value = BUF_INIT;
	VEC(char *) argv = VEC_INIT;
	struct str rest = query;
	struct remote_want want;
	struct cmd *c;

	if (!cmd_want(r, ctr, query, false, &want))
		return;
	while (http_query_next(&rest, &name, &value))
		if (streq(name.s, "command") && argv.n < MAX_COMMAND)
			VEC_PUSH(&argv, xmemdupz(value.s, value.len));
	if (!argv.n) {
		server_error(r, 400, "you must specify at least 1 command for the container");
		return;
	}
	VEC_PUSH(&argv, NULL);
	c = cmd_new(s, ctr, want);
	c->argv = argv.v;
	c->remote = remote_accept(r, want, &cmd_ops, c);
	if (!c->remote)
		cmd_free(c);
}

void stream_attach(struct server *s, struct http_req *r, struct ctr *ctr, struct str query)
{
	struct remote_want want;
	struct cmd *c;

	if (!cmd_want(r, ctr, query, true, &want))
		return;
	/* A container has a terminal, or stdin, by its spec and not by the client's wish. */
	want.tty = node_bool(node_get(ctr_spec(ctr), F_tty), false);
	want.err = want.err && !want.tty;
	c = cmd_new(s, ctr, want);
	c->attach = true;
	c->stdin_ignored = !node_bool(node_get(ctr_spec(ctr), F_stdin), false);
	c->stdin_once = !want.tty && node_bool(node_get(ctr_spec(ctr), F_stdinOnce), false);
	c->remote = remote_accept(r, want, &cmd_ops, c);
	if (!c->remote)
		cmd_free(c);
}

/* --- port-forward --- */

struct fwd {
	struct session session;
	struct server *server;
	struct portfwd *pf;
	char *uid;
};

struct fwd_dial {
	struct portfwd_conn *conn;
	int port;
	char *uid; /* the pod's, which names its network */
};

static void fwd_free(struct fwd *f)
{
	session_del(f->server, &f->session);
	free(f->uid);
	free(f);
}

static void fwd_end_session(struct session *e)
{
	struct fwd *f = CONTAINER_OF(e, struct fwd, session);
	struct portfwd *pf = f->pf;

	fwd_free(f);
	portfwd_close(pf);
}

static void fwd_gone(void *arg)
{
	fwd_free(arg);
}

static void fwd_dialed(void *arg, int fd)
{
	struct fwd_dial *d = arg;
	_cleanup_err_ struct err e = ERR_INIT;

	if (fd >= 0) {
		fd_set_nonblock(fd, true);
		portfwd_join(d->conn, fd);
	} else {
		err_set(&e, ERR_INTERNAL, "failed to connect to localhost:%d inside namespace \"%s\": "
			"dial tcp4 127.0.0.1:%d: connect: %s",
			d->port, d->uid, d->port, fd == -ECONNREFUSED ? "connection refused" : strerror(-fd));
		portfwd_end(d->conn, &e);
	}
	free(d->uid);
	free(d);
}

static void fwd_open(void *arg, struct portfwd_conn *conn, int port)
{
	struct fwd *f = arg;
	struct pod *p = map_getc(server_agent(f->server)->by_uid, f->uid);
	_cleanup_err_ struct err e = ERR_INIT;
	struct fwd_dial *d;

	if (!p || !p->sandbox || p->state != POD_RUN) {
		err_set(&e, ERR_NOT_FOUND, "the pod's sandbox is not running");
		portfwd_end(conn, &e);
		return;
	}
	d = xcalloc(1, sizeof(*d));
	*d = (struct fwd_dial){conn, port, xstrdup(p->uid)};
	sandbox_dial(p->sandbox, port, fwd_dialed, d);
}

static const struct portfwd_ops fwd_ops = {.on_open = fwd_open, .on_close = fwd_gone};

void stream_port_forward(struct server *s, struct http_req *r, struct pod *p)
{
	_cleanup_free_ char *what = xasprintf("%s, uid %s", p->name, p->uid);
	struct fwd *f = xcalloc(1, sizeof(*f));

	f->session.end = fwd_end_session;
	f->server = s;
	f->uid = xstrdup(p->uid);
	session_add(s, &f->session);
	f->pf = portfwd_accept(r, what, &fwd_ops, f);
	if (!f->pf)
		fwd_free(f);
	else
		portfwd_limit_idle(f->pf, server_agent(s)->stream_idle_ms);
}
