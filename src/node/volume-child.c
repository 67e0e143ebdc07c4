/*
 * Children that make volumes, as their parent sees them.
 */
#include "node/volume-child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "node/internal.h"

#define CHILD_SAID_MAX 2000

enum child_state { CHILD_RUNS, CHILD_DONE, CHILD_FAILED };
struct child {
	struct pod *pod;
	char *dir;
	struct proc *proc;
	struct loop_timer *timer;
	int said_fd; /* its standard error */
	bool mark, late;
	int64_t limit_ms;
	enum child_state state;
	char *said;
};

static void child_free(void *arg)
{
	struct child *c = arg;

	if (c->proc) {
		kill(-proc_pid(c->proc), SIGKILL); /* it leads a session: its own children, too */
		proc_kill(c->proc, SIGKILL);
		proc_abandon(c->proc);
	}
	loop_timer_free(c->timer);
	if (c->said_fd >= 0)
		close_fd(c->said_fd);
	free(c->said);
	free(c->dir);
	free(c);
}

static char *child_mark(const char *dir)
{
	return xasprintf("%s~ready", dir);
}

static void child_read(struct child *c)
{
	char text[CHILD_SAID_MAX + 1];
	ssize_t n = read(c->said_fd, text, CHILD_SAID_MAX);

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	text[n > 0 ? n : 0] = '\0';
	free(c->said);
	c->said = xstrdup(n > 0 ? text : "it failed and said nothing");
	c->said_fd = close_fd(c->said_fd);
}

static void child_on_exit(void *arg, int status)
{
	struct child *c = arg;
	_cleanup_free_ char *mark = child_mark(c->dir);
	_cleanup_err_ struct err e = ERR_INIT;

	c->proc = NULL;
	loop_timer_clear(c->timer);
	child_read(c);
	c->state = WIFEXITED(status) && WEXITSTATUS(status) == 0 ? CHILD_DONE : CHILD_FAILED;
	if (c->late) {
		free(c->said);
		c->said = xasprintf("no end after %lld s", (long long)(c->limit_ms / SEC_MS));
	}
	if (c->state == CHILD_DONE && c->mark && path_write(mark, STR_NONE, 0600, &e) < 0)
		c->state = CHILD_FAILED;
	pod_kick(c->pod);
}

static void child_is_late(void *arg)
{
	struct child *c = arg;

	c->late = true;
	kill(-proc_pid(c->proc), SIGKILL);
	proc_kill(c->proc, SIGKILL);
}

static struct child *child_start(struct volume_ctx *v, const char *const *args, int64_t limit_ms, struct err *e)
{
	const char *argv[16] = {"kinglet", "internal", "volume"};
	struct proc_opts o = {.argv = argv, .self = true, .in = -1, .out = -1, .new_session = true,
			      .die_with_parent = true};
	struct child *c;
	int pipe_fds[2];

	for (size_t i = 0; args[i] && i < ARRAY_SIZE(argv) - 4; i++)
		argv[3 + i] = args[i];
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		err_errno(e, errno, "make a pipe");
		return NULL;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct child){.pod = v->pod, .dir = xstrdup(v->dir), .said_fd = pipe_fds[0], .limit_ms = limit_ms};
	o.err = pipe_fds[1];
	c->proc = proc_spawn(v->pod->agent->loop, &o, child_on_exit, c, e);
	close_fd(pipe_fds[1]);
	if (!c->proc) {
		child_free(c);
		return NULL;
	}
	c->timer = loop_timer_new(v->pod->agent->loop, child_is_late, c);
	loop_timer_set(c->timer, limit_ms);
	return c;
}

int volume_child(struct volume_ctx *v, const char *const *args, int64_t limit_ms, bool mark, struct err *e)
{
	_cleanup_free_ char *ready = child_mark(v->dir);
	struct pod *p = v->pod;
	struct child *c = map_getc(p->children, v->dir);

	if (!c && mark && path_exists(ready))
		return 0;
	if (!c) {
		c = child_start(v, args, limit_ms, e);
		if (!c)
			return -e->code;
		c->mark = mark;
		if (!p->children)
			p->children = map_new(child_free);
		map_set(p->children, str_of(v->dir), c);
	}
	if (c->state == CHILD_RUNS)
		return -EAGAIN;
	if (c->state == CHILD_FAILED)
		err_set(e, ERR_INTERNAL, "%s", c->said);
	map_del(p->children, str_of(v->dir));
	return err_is_set(e) ? -e->code : 0;
}

void volume_children_end(struct pod *p)
{
	p->children = map_free(p->children);
}
