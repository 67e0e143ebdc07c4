/*
 * exec: a command in the container that ends with 0 is a success. What it says is
 * read to its end, so that it never has to wait, and kept up to a limit.
 */
#include <errno.h>
#include <unistd.h>

#include "node/probe.h"

#define OUTPUT_BYTES 10240

struct exec {
	struct probe_try *try;
	struct run_exec *run;
	int fd;
	struct loop_fd *watch;
	struct buf out;
};

static void exec_free(void *impl)
{
	struct exec *x = impl;

	loop_fd_free(x->watch);
	close_fd(x->fd);
	if (x->run)
		run_exec_kill(x->run);
	buf_release(&x->out);
	free(x);
}

static void exec_read(void *arg, int what UNUSED)
{
	struct exec *x = arg;
	char block[8192];
	ssize_t n = read(x->fd, block, sizeof(block));

	if (n > 0) {
		if (x->out.len < OUTPUT_BYTES)
			buf_add(&x->out, block, (size_t)min_i64(n, OUTPUT_BYTES - (int64_t)x->out.len));
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		x->watch = loop_fd_free(x->watch);
		x->fd = close_fd(x->fd);
	}
}

static void exec_started(void *arg, const struct run_io *io, const struct err *err)
{
	struct exec *x = arg;

	if (err) {
		x->run = NULL;
		try_end(x->try, PROBE_ERROR, "%s", err_msg(err));
		return;
	}
	close_fd(io->err);
	close_fd(io->in);
	if (io->out < 0)
		return;
	x->fd = io->out;
	fd_set_nonblock(x->fd, true);
	x->watch = loop_fd_new(x->try->ctr->pod->agent->loop, x->fd, LOOP_READ, exec_read, x);
}

static void exec_ended(void *arg, int exit_code, const struct err *err)
{
	struct exec *x = arg;

	x->run = NULL;
	while (x->watch && x->out.len < OUTPUT_BYTES) { /* what is still in the pipe */
		size_t before = x->out.len;

		exec_read(x, LOOP_READ);
		if (x->out.len == before)
			break;
	}
	if (err)
		try_end(x->try, PROBE_ERROR, "%s", err_msg(err));
	else
		try_end(x->try, exit_code == 0 ? PROBE_OK : PROBE_FAILED, "%s", x->out.s);
}

void try_exec(struct probe_try *t, const struct node *action)
{
	const struct node *command = node_get(action, F_command);
	const char **argv = xcalloc(node_count(command) + 1, sizeof(*argv));
	struct run_exec_spec spec = {.argv = argv, .out = true, .err_to_out = true};
	struct container *rc = ctr_run(t->ctr);
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct exec *x = xcalloc(1, sizeof(*x));
	size_t n = 0;

	NODE_FOREACH (s, command) {
		argv[n++] = node_cstr_or(s, "");
		buf_addf(&text, "%s%s", n > 1 ? " " : "", argv[n - 1]);
	}
	try_timeout_text(t, "command timed out: \"%s\" timed out after %llds", text.s,
			 (long long)(t->timeout_ms / SEC_MS));
	x->try = t;
	x->fd = -1;
	buf_init(&x->out);
	t->impl = x;
	t->impl_free = exec_free;
	if (rc && n)
		x->run = container_exec(rc, &spec, exec_started, exec_ended, x);
	if (!x->run)
		try_end(t, PROBE_ERROR, "container not running");
	free(argv);
}
