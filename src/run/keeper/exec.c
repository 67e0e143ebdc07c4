/*
 * Exec sessions: a process more in a running container; and connections to the
 * pod's ports, for which it is enough that this process lives in its network.
 */
#include "run/keeper/keeper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SESSIONS_MAX 256

static void session_free(struct session *s)
{
	TAILQ_REMOVE(&keeper.sessions, s, link);
	watch_close(&s->sync);
	close_fd(s->master);
	free(s);
}

static void session_running(struct session *s)
{
	struct buf *b = conn_buf();

	s->started = true;
	frame_begin(b, FRAME_REPLY, s->asker.seq);
	frame_add_int(b, F_PID, s->pid);
	if (s->master >= 0)
		frame_add(b, F_ROLES, (char[]){ ROLE_TTY }, 1);
	conn_reply(s->asker, b, &s->master, s->master >= 0);
	/* The only copy is the client's: when it goes, the terminal hangs up. */
	s->master = close_fd(s->master);
}

static void session_synced(struct watch *w, uint32_t events)
{
	struct session *s = CONTAINER_OF(w, struct session, sync);
	struct sync_msg m;
	int r;

	while ((r = sync_recv(w->fd, &m)) == 1) {
		if (m.type == SYNC_TTY && s->master < 0)
			s->master = take_fd(&m.fd);
		close_fd(m.fd);
		if (m.type == SYNC_READY)
			s->ready = true;
		if (m.type == SYNC_ERROR && !s->failed) {
			s->failed = true;
			conn_fail(s->asker, m.eno, m.kind, m.text);
		}
	}
	if (r < 0)
		return;
	watch_close(w);
	if (s->ready && !s->failed)
		session_running(s);
}

/* Born in the container's PID namespace, which only a child can be. */
static pid_t session_fork(struct container *c, const struct child_start *start)
{
	bool own = !(keeper.share & (SHARE_PID_HOST | SHARE_PID_POD));
	pid_t pid;

	if (own && setns(c->pidfd, CLONE_NEWPID) < 0)
		return -errno;
	pid = keeper_fork(0, c->cgroup_fd, NULL);
	if (pid == 0)
		child_main(start);
	if (own)
		BUG_ON(setns(keeper.own_pid_fd, CLONE_NEWPID) < 0);
	return pid;
}

static int session_start(struct session *s, struct frame *f)
{
	struct child_start start = {
		.c = s->c,
		.is_exec = true,
		.exec = f->body,
		.std = { frame_take(f, ROLE_IN), frame_take(f, ROLE_OUT), frame_take(f, ROLE_ERR) },
	};
	int pair[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
	} else {
		start.sync = pair[1];
		watch_add(&s->sync, pair[0], EPOLLIN, session_synced);
		r = session_fork(s->c, &start);
		close(pair[1]);
	}
	for (int i = 0; i < 3; i++)
		close_fd(start.std[i]);
	if (r < 0)
		return r;
	s->pid = r;
	return 0;
}

void exec_on(struct asker a, struct frame *f)
{
	struct container *c = container_find(f->body);
	struct session *s;
	int n = 0, r;

	if (!c || c->phase != PHASE_RUNNING || keeper.ending) {
		conn_fail(a, ESRCH, NULL, "the container does not run");
		return;
	}
	TAILQ_FOREACH(s, &keeper.sessions, link)
		n++;
	if (n >= SESSIONS_MAX) {
		conn_fail(a, EMFILE, NULL, "too many exec sessions in the pod");
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->c = c;
	s->asker = a;
	s->id = fields_int(f->body, F_EXEC, 0);
	s->master = s->sync.fd = -1;
	TAILQ_INSERT_TAIL(&keeper.sessions, s, link);
	r = session_start(s, f);
	if (r < 0) {
		conn_fail(a, -r, NULL, strerror(-r));
		session_free(s);
	}
}

bool exec_reaped(pid_t pid, int status)
{
	struct buf *b = conn_buf();
	struct session *s;

	TAILQ_FOREACH(s, &keeper.sessions, link)
		if (s->pid == pid)
			break;
	if (!s)
		return false;
	if (s->sync.fd >= 0)
		session_synced(&s->sync, 0);
	if (s->started) {
		frame_begin(b, FRAME_EXEC_EXITED, 0);
		frame_add_int(b, F_EXEC, s->id);
		frame_add_int(b, F_EXIT_CODE, exit_code_of(status));
		conn_event(b);
	} else if (!s->failed) {
		conn_fail(s->asker, ESRCH, NULL, "the process died while it was set up");
	}
	session_free(s);
	return true;
}

static void session_kill(struct session *s)
{
	kill(-s->pid, SIGKILL); /* it leads a session, so this is its first process group */
	kill(s->pid, SIGKILL);
}

void exec_on_kill(struct asker a, struct frame *f)
{
	uint32_t id = fields_int(f->body, F_EXEC, 0);
	struct session *s;

	TAILQ_FOREACH(s, &keeper.sessions, link)
		if (s->id == id)
			session_kill(s);
}

void exec_kill_all(void)
{
	struct session *s;

	TAILQ_FOREACH(s, &keeper.sessions, link)
		session_kill(s);
}

void exec_forget(struct container *c)
{
	struct session *s;

	TAILQ_FOREACH(s, &keeper.sessions, link)
		if (s->c == c)
			s->c = NULL;
}

void dial_on(struct asker a, struct frame *f)
{
	uint16_t port = fields_int(f->body, F_PORT, 0);
	bool six = fields_int(f->body, F_FAMILY, 4) == 6;
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct buf *b = conn_buf();
	_cleanup_close_ int fd =
		socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r = fd < 0 ? -1
		: six  ? connect(fd, (struct sockaddr *)&in6, sizeof(in6))
		       : connect(fd, (struct sockaddr *)&in, sizeof(in));

	if (r < 0 && errno != EINPROGRESS) {
		conn_fail(a, errno, NULL, strerror(errno));
		return;
	}
	frame_begin(b, FRAME_REPLY, a.seq);
	frame_add(b, F_ROLES, (char[]){ ROLE_SOCKET }, 1);
	conn_reply(a, b, &fd, 1);
}
