/*
 * POST /run/NS/POD/CONTAINER?cmd=a%20b: runs a command without input and
 * answers with its output when it has ended, as the kubelet's oldest way to do
 * so. The command's words are parted by single spaces.
 */
#include <errno.h>
#include <unistd.h>

#include "node/server.h"

#define RUN_OUTPUT_BYTES (16u << 20) /* of which a CRI runtime keeps as much */
#define RUN_WORDS 1024

struct oneshot {
	struct session session;
	struct server *server;
	struct http_req *req;
	struct run_exec *exec;
	struct loop_fd *watch;
	struct buf out;
	char *cmd;
	int fd;
};

static void oneshot_free(struct oneshot *u)
{
	session_del(u->server, &u->session);
	if (u->exec)
		run_exec_kill(u->exec);
	loop_fd_free(u->watch);
	close_fd(u->fd);
	buf_release(&u->out);
	free(u->cmd);
	free(u);
}

static void oneshot_end_session(struct session *e)
{
	struct oneshot *u = CONTAINER_OF(e, struct oneshot, session);
	struct http_req *r = u->req;

	oneshot_free(u);
	http_abort(r);
}

static void oneshot_gone(void *arg)
{
	oneshot_free(arg);
}

/* False at the end, and when nothing is there now. */
static bool oneshot_read(struct oneshot *u)
{
	static char block[65536];
	ssize_t n = u->fd < 0 ? 0 : read(u->fd, block, sizeof(block));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		u->watch = loop_fd_free(u->watch);
		u->fd = close_fd(u->fd);
		return false;
	}
	buf_add(&u->out, block, (size_t)min_i64(n, RUN_OUTPUT_BYTES - (int64_t)u->out.len));
	return true;
}

static void oneshot_readable(void *arg, int what UNUSED)
{
	oneshot_read(arg);
}

static void oneshot_started(void *arg, const struct run_io *io, const struct err *err)
{
	struct oneshot *u = arg;
	struct http_req *r = u->req;

	if (err) {
		server_error(r, 500, "failed to exec in container: %s", err_msg(err));
		u->exec = NULL;
		oneshot_free(u);
		return;
	}
	u->fd = io->out;
	u->watch = loop_fd_new(server_agent(u->server)->loop, u->fd, LOOP_READ, oneshot_readable, u);
}

static void oneshot_ended(void *arg, int exit_code, const struct err *err)
{
	struct oneshot *u = arg;
	struct http_req *r = u->req;

	u->exec = NULL;
	while (oneshot_read(u))
		;
	if (err)
		server_error(r, 500, "%s", err_msg(err));
	else if (exit_code)
		server_error(r, 500, "command '%s' exited with %d: %.*s", u->cmd, exit_code, (int)u->out.len, u->out.s);
	else
		server_reply(r, "application/json", buf_str(&u->out));
	oneshot_free(u);
}

/* Cuts text at its spaces, in place. */
static void oneshot_words(char *text, const char **argv)
{
	size_t n = 0;

	while (text && n < RUN_WORDS) {
		argv[n++] = text;
		text = strchr(text, ' ');
		if (text)
			*text++ = '\0';
	}
	argv[n] = NULL;
}

void serve_run(struct server *s, struct http_req *r, struct ctr *c, struct str query)
{
	_cleanup_free_ const char **argv = xcalloc(RUN_WORDS + 1, sizeof(*argv));
	struct run_exec_spec spec = {.argv = argv, .out = true, .err_to_out = true};
	struct container *rc = c->state == CTR_UP ? ctr_run(c) : NULL;
	_cleanup_buf_ struct buf cmd = BUF_INIT;
	_cleanup_free_ char *words = NULL;
	struct oneshot *u;

	if (!rc || !http_query_get(query, "cmd", &cmd) || !cmd.len) {
		server_error(r, rc ? 400 : 500, rc ? "no command: cmd is missing" : "container not found (\"%s\")", c->name);
		return;
	}
	words = xstrdup(cmd.s);
	oneshot_words(words, argv);
	u = xcalloc(1, sizeof(*u));
	u->session.end = oneshot_end_session;
	u->server = s;
	u->req = r;
	u->fd = -1;
	u->cmd = xstrdup(cmd.s);
	buf_init(&u->out);
	session_add(s, &u->session);
	http_req_on_gone(r, oneshot_gone, u);
	u->exec = container_exec(rc, &spec, oneshot_started, oneshot_ended, u);
}
