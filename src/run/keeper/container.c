/*
 * Containers from the keeper's side: start, signals, stop, end.
 *
 * A child is born into the container's cgroup and PID namespace and does the
 * rest itself (child.c), while this process goes on with its loop. Over a socket
 * it says that it is ready or what failed; the socket closes when it executes
 * its program. Signals go by pid: nobody but this process reaps it, so the
 * number cannot have passed to another.
 */
#include "run/keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

int exit_code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int sync_recv(int fd, struct sync_msg *m)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { m->buf, sizeof(m->buf) - 1 };
	struct msghdr h = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t n = recvmsg(fd, &h, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	struct cmsghdr *c;

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? -EAGAIN : 0;
	m->buf[n] = '\0';
	m->type = m->buf[0];
	m->n = n;
	m->fd = -1;
	m->eno = EIO;
	m->kind = m->text = "";
	c = CMSG_FIRSTHDR(&h);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&m->fd, CMSG_DATA(c), sizeof(int));
	if (m->type == SYNC_ERROR && n > 6) {
		memcpy(&m->eno, m->buf + 1, sizeof(int));
		m->kind = m->buf + 5;
		if (m->kind + strlen(m->kind) < m->buf + n)
			m->text = m->kind + strlen(m->kind) + 1;
	}
	return 1;
}

struct container *container_find(struct fields f)
{
	const char *id = fields_str(f, F_CID);
	struct container *c;

	TAILQ_FOREACH(c, &keeper.containers, link)
		if (id && streq(c->id, id))
			return c;
	return NULL;
}

static void container_free(struct container *c)
{
	TAILQ_REMOVE(&keeper.containers, c, link);
	exec_forget(c);
	watch_close(&c->sync);
	output_close(c);
	close_fd(c->pidfd);
	close_fd(c->spec_fd);
	close_fd(c->seccomp_fd);
	close_fd(c->cgroup_fd);
	close_fd(c->log_dir_fd);
	free(c->id);
	free(c->name);
	free(c->log_dir);
	free(c->groups);
	free(c);
}

void container_put_user(struct buf *b, const struct container *c)
{
	frame_add_int(b, F_UID, c->uid);
	frame_add_int(b, F_GID, c->gid);
	for (unsigned i = 0; i < c->n_groups; i++)
		frame_add_int(b, F_GROUP, c->groups[i]);
}

static void container_take_user(struct container *c, const struct sync_msg *m)
{
	size_t n = (m->n - 1) / sizeof(uint32_t);

	if (n < 2)
		return;
	memcpy(&c->uid, m->buf + 1, sizeof(uint32_t));
	memcpy(&c->gid, m->buf + 1 + sizeof(uint32_t), sizeof(uint32_t));
	c->n_groups = n - 2;
	c->groups = xreallocarray(c->groups, n - 2, sizeof(uint32_t));
	memcpy(c->groups, m->buf + 1 + 2 * sizeof(uint32_t), (n - 2) * sizeof(uint32_t));
}

static void container_running(struct container *c)
{
	struct buf *b = conn_buf();

	c->phase = PHASE_RUNNING;
	c->started_ns = keeper_wall_ns();
	frame_begin(b, FRAME_REPLY, c->asker.seq);
	frame_add_int(b, F_PID, c->pid);
	frame_add_int(b, F_STARTED, c->started_ns);
	container_put_user(b, c);
	conn_reply(c->asker, b, NULL, 0);
	sandbox_save();
}

static void container_take_terminal(struct container *c, int master)
{
	if (!c->tty || c->out.w.fd >= 0 || master < 0) {
		close_fd(master);
		return;
	}
	fcntl(master, F_SETFL, O_NONBLOCK);
	watch_add(&c->out.w, master, EPOLLIN, output_read);
	if (c->stdin_open)
		c->in.fd = fcntl(master, F_DUPFD_CLOEXEC, 0);
}

/* What the child says. */
static void container_synced(struct watch *w, uint32_t events)
{
	struct container *c = CONTAINER_OF(w, struct container, sync);
	struct sync_msg m;
	int r;

	while ((r = sync_recv(w->fd, &m)) == 1) {
		if (m.type == SYNC_TTY) {
			container_take_terminal(c, m.fd);
			continue;
		}
		close_fd(m.fd);
		if (m.type == SYNC_READY) {
			c->ready = true;
			container_take_user(c, &m);
		}
		if (m.type == SYNC_ERROR && !c->failed) {
			c->failed = true;
			conn_fail(c->asker, m.eno, m.kind, m.text);
		}
	}
	if (r < 0)
		return;
	watch_close(w);
	if (c->ready && !c->failed)
		container_running(c);
}

/* 0, with the ends for the child in s->std. */
static int container_pipes(struct container *c, struct child_start *s)
{
	int p[2];

	if (c->tty)
		return 0;
	for (int i = 0; i < 3; i++) {
		struct stream *out = i == 1 ? &c->out : &c->err;

		if (i == 0 && !c->stdin_open)
			continue;
		if (pipe2(p, O_CLOEXEC) < 0)
			return -errno;
		s->std[i] = p[i ? 1 : 0];
		fcntl(p[i ? 0 : 1], F_SETFL, O_NONBLOCK);
		if (i == 0)
			c->in.fd = p[1];
		else
			watch_add(&out->w, p[0], EPOLLIN, output_read);
	}
	return 0;
}

/* The container that this one joins, which must run. */
static struct container *container_joined(struct fields f)
{
	const char *id = fields_str(f, F_PID_OF);
	struct container *c;

	TAILQ_FOREACH(c, &keeper.containers, link)
		if (id && streq(c->id, id) && c->phase == PHASE_RUNNING)
			return c;
	return NULL;
}

static pid_t container_birth(struct container *c, struct container *join, const struct child_start *s)
{
	bool shared = keeper.share & (SHARE_PID_HOST | SHARE_PID_POD);
	pid_t pid;

	if (join && !shared && setns(join->pidfd, CLONE_NEWPID) < 0)
		return -errno;
	pid = keeper_fork(shared || join ? 0 : CLONE_NEWPID, c->cgroup_fd, &c->pidfd);
	if (pid == 0)
		child_main(s);
	if (join && !shared)
		BUG_ON(setns(keeper.own_pid_fd, CLONE_NEWPID) < 0);
	c->joined = join;
	return pid;
}

static int container_fork(struct container *c, struct fields f)
{
	struct container *join = container_joined(f);
	struct child_start s = { .c = c, .sync = -1, .std = { -1, -1, -1 } };
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	s.sync = pair[1];
	watch_add(&c->sync, pair[0], EPOLLIN, container_synced);
	r = container_pipes(c, &s);
	if (r == 0 && fields_str(f, F_PID_OF) && !join)
		r = -ESRCH;
	if (r == 0)
		r = container_birth(c, join, &s);
	close(pair[1]);
	for (int i = 0; i < 3; i++)
		close_fd(s.std[i]);
	if (r < 0)
		return r;
	c->pid = r;
	return 0;
}

static struct container *container_new(struct asker a, struct frame *f)
{
	struct container *c = xcalloc(1, sizeof(*c));
	const char *id = fields_str(f->body, F_CID), *name = fields_str(f->body, F_CNAME);

	c->id = xstrdup(id ? id : "");
	c->name = xstrdup(name ? name : "");
	c->log_dir = xstrdup_null(fields_str(f->body, F_LOG_DIR));
	c->attempt = fields_int(f->body, F_ATTEMPT, 0);
	c->phase = PHASE_STARTING;
	c->asker = a;
	c->spec_fd = frame_take(f, ROLE_SPEC);
	c->seccomp_fd = frame_take(f, ROLE_SECCOMP);
	c->cgroup_fd = frame_take(f, ROLE_CGROUP);
	c->log_dir_fd = frame_take(f, ROLE_LOG_DIR);
	c->log_fd = c->pidfd = c->sync.fd = c->in.fd = c->out.w.fd = c->err.w.fd = -1;
	c->tty = fields_int(f->body, F_TTY, 0);
	c->stdin_open = fields_int(f->body, F_STDIN, 0) > 0;
	c->stdin_once = fields_int(f->body, F_STDIN, 0) == 2;
	c->stop_signal = fields_int(f->body, F_STOP_SIGNAL, SIGTERM);
	c->log_max = fields_int(f->body, F_LOG_MAX, 10 << 20);
	c->log_files = fields_int(f->body, F_LOG_FILES, 5);
	c->out.c = c->err.c = c;
	c->out.name = "stdout";
	c->err.name = "stderr";
	TAILQ_INIT(&c->attaches);
	TAILQ_INSERT_TAIL(&keeper.containers, c, link);
	return c;
}

void container_on_start(struct asker a, struct frame *f)
{
	const char *id = fields_str(f->body, F_CID);
	struct container *c;
	int r;

	if (keeper.ending || !id || !*id || strchr(id, '/') || container_find(f->body)) {
		conn_fail(a, keeper.ending ? ESHUTDOWN : EEXIST, "CreateContainerError",
			  keeper.ending ? "the sandbox is being removed"
					: "the container's id is bad or in use");
		return;
	}
	c = container_new(a, f);
	r = c->spec_fd < 0 ? -EPROTO : output_open(c);
	if (r == 0)
		r = container_fork(c, f->body);
	if (r < 0) {
		conn_fail(a, -r, "CreateContainerError", strerror(-r));
		container_free(c);
	}
}

void container_on_signal(struct asker a, struct frame *f)
{
	struct container *c = container_find(f->body);
	struct buf *b = conn_buf();

	if (!c || c->phase != PHASE_RUNNING || kill(c->pid, fields_int(f->body, F_SIGNAL, 0)) < 0) {
		conn_fail(a, ESRCH, NULL, "the container does not run");
		return;
	}
	frame_begin(b, FRAME_REPLY, a.seq);
	conn_reply(a, b, NULL, 0);
}

/* Linux before 5.14 has no cgroup.kill: one by one, until none is born any more. */
static void container_kill_procs(const struct container *c)
{
	for (int round = 0, n = 1; n > 0 && round < 100; round++) {
		_cleanup_close_ int fd = openat(c->cgroup_fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
		char text[4096], *p = text;
		ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

		if (len <= 0)
			return;
		text[len] = '\0';
		for (n = 0; *p; n++) {
			pid_t pid = strtol(p, &p, 10);

			if (pid > 0)
				kill(pid, SIGKILL);
			while (*p && (*p < '0' || *p > '9'))
				p++;
		}
	}
}

void container_kill(struct container *c)
{
	_cleanup_close_ int fd = -1;

	c->kill_at_ms = 0;
	if (c->pid > 0 && c->phase != PHASE_EXITED)
		kill(c->pid, SIGKILL);
	/* The first process of a PID namespace takes all others with it. */
	if (c->cgroup_fd < 0 || !(c->joined || (keeper.share & (SHARE_PID_HOST | SHARE_PID_POD))))
		return;
	fd = openat(c->cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) < 0)
		container_kill_procs(c);
}

void container_on_stop(struct asker a, struct frame *f)
{
	struct container *c = container_find(f->body);
	struct buf *b = conn_buf();
	int64_t grace = fields_int(f->body, F_GRACE_MS, 0), at;

	if (c && c->phase == PHASE_RUNNING && grace > 0) {
		kill(c->pid, c->stop_signal);
		at = keeper_now_ms() + grace;
		if (!c->kill_at_ms || at < c->kill_at_ms)
			c->kill_at_ms = at;
	} else if (c && c->phase != PHASE_EXITED) {
		container_kill(c);
	}
	frame_begin(b, FRAME_REPLY, a.seq);
	conn_reply(a, b, NULL, 0);
}

int container_timeout_ms(void)
{
	int64_t best = -1, now = keeper_now_ms();
	struct container *c;

	TAILQ_FOREACH(c, &keeper.containers, link) {
		int64_t in = c->kill_at_ms - now;

		if (!c->kill_at_ms)
			continue;
		if (in < 0)
			in = 0;
		if (best < 0 || in < best)
			best = in;
	}
	return best > INT32_MAX ? INT32_MAX : (int)best;
}

void container_run_deadlines(void)
{
	struct container *c;

	TAILQ_FOREACH(c, &keeper.containers, link)
		if (c->kill_at_ms && c->kill_at_ms <= keeper_now_ms())
			container_kill(c);
}

static bool container_saw_oom(const struct container *c)
{
	char text[512], *p;
	_cleanup_close_ int fd =
		c->cgroup_fd < 0 ? -1 : openat(c->cgroup_fd, "memory.events", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	p = strstr(text, "oom_kill ");
	return p && strtoll(p + strlen("oom_kill "), NULL, 10) > 0;
}

static void container_exited(struct container *c, int status)
{
	struct buf *b = conn_buf();

	c->exit_code = exit_code_of(status);
	c->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	c->oom_killed = container_saw_oom(c);
	c->finished_ns = keeper_wall_ns();
	c->kill_at_ms = 0;
	c->phase = PHASE_EXITED;
	container_kill(c);
	output_drain(c);
	/* What only a running container needs. */
	c->pidfd = close_fd(c->pidfd);
	c->spec_fd = close_fd(c->spec_fd);
	c->seccomp_fd = close_fd(c->seccomp_fd);
	c->log_dir_fd = close_fd(c->log_dir_fd);
	c->cgroup_fd = close_fd(c->cgroup_fd);
	frame_begin(b, FRAME_EXITED, 0);
	sandbox_put_container(b, c);
	conn_event(b);
	sandbox_save();
}

bool container_reaped(pid_t pid, int status)
{
	struct container *c;

	TAILQ_FOREACH(c, &keeper.containers, link)
		if (c->pid == pid && c->phase != PHASE_EXITED)
			break;
	if (!c)
		return false;
	if (c->sync.fd >= 0)
		container_synced(&c->sync, 0);
	if (c->phase == PHASE_RUNNING) {
		container_exited(c, status);
		return true;
	}
	if (!c->failed) {
		char text[96];

		snprintf(text, sizeof(text), "the container's first process died while it was set up (%s %d)",
			 WIFSIGNALED(status) ? "signal" : "exit code",
			 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		conn_fail(c->asker, EIO, "CreateContainerError", text);
	}
	container_free(c);
	return true;
}

void container_on_remove(struct asker a, struct frame *f)
{
	struct container *c = container_find(f->body);
	struct buf *b = conn_buf();

	if (c && c->phase != PHASE_EXITED) {
		conn_fail(a, EBUSY, NULL, "the container runs");
		return;
	}
	if (c) {
		container_free(c);
		sandbox_save();
	}
	frame_begin(b, FRAME_REPLY, a.seq);
	conn_reply(a, b, NULL, 0);
}

void container_on_resize(struct asker a, struct frame *f)
{
	struct container *c = container_find(f->body);
	struct winsize ws = { .ws_row = fields_int(f->body, F_ROWS, 24),
			      .ws_col = fields_int(f->body, F_COLS, 80) };

	if (c && c->tty && c->out.w.fd >= 0)
		(void)ioctl(c->out.w.fd, TIOCSWINSZ, &ws);
}

void container_on_ack(struct asker a, struct frame *f)
{
	struct container *c = container_find(f->body);

	if (c && c->phase == PHASE_EXITED)
		c->acked = true;
}
