/*
 * The keeper's socket: daemons connect, ask, and hear of what happens.
 *
 * Any number of daemons up to CONN_MAX may be connected (an old one that is
 * about to go, its successor, killall). An answer that has to wait carries the
 * connection's generation, so that a connection which went away is noticed.
 * A reader whose socket is full is cut off: it can come back and ask for the
 * whole state, and nothing here may wait for it.
 */
#include "run/keeper/keeper.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CONN_MAX 8

static char conn_data[FRAME_INLINE_MAX];
static struct buf conn_out = BUF_INIT;

static const struct conn_request {
	enum frame_type type;
	bool before_setup;
	void (*run)(struct asker a, struct frame *f);
} conn_requests[] = {
	{ FRAME_SETUP, true, sandbox_on_setup },
	{ FRAME_STATE, false, sandbox_on_state },
	{ FRAME_START, false, container_on_start },
	{ FRAME_SIGNAL, false, container_on_signal },
	{ FRAME_STOP, false, container_on_stop },
	{ FRAME_REMOVE, false, container_on_remove },
	{ FRAME_RESIZE, false, container_on_resize },
	{ FRAME_ACK, false, container_on_ack },
	{ FRAME_EXEC, false, exec_on },
	{ FRAME_EXEC_KILL, false, exec_on_kill },
	{ FRAME_ATTACH, false, attach_on },
	{ FRAME_DIAL, false, dial_on },
	{ FRAME_DESTROY, false, sandbox_on_destroy },
};

struct buf *conn_buf(void)
{
	return &conn_out;
}

static void conn_drop(struct conn *c)
{
	TAILQ_REMOVE(&keeper.conns, c, link);
	watch_close(&c->w);
	free(c);
}

static struct conn *conn_by_gen(uint32_t gen)
{
	struct conn *c;

	TAILQ_FOREACH(c, &keeper.conns, link)
		if (c->gen == gen)
			return c;
	return NULL;
}

void conn_reply(struct asker a, const struct buf *b, const int *fds, size_t n_fds)
{
	struct conn *c = conn_by_gen(a.gen);

	/* The connection is only marked here, because its own callback may be what runs. */
	if (c && frame_send(c->w.fd, b, fds, n_fds) < 0)
		shutdown(c->w.fd, SHUT_RDWR);
}

void conn_fail(struct asker a, int eno, const char *kind, const char *text)
{
	struct buf *b = conn_buf();

	frame_begin(b, FRAME_REPLY, a.seq);
	frame_add_int(b, F_ERROR, eno ? eno : EIO);
	frame_add_str(b, F_ERROR_KIND, kind);
	frame_add_str(b, F_ERROR_TEXT, text);
	conn_reply(a, b, NULL, 0);
}

void conn_event(const struct buf *b)
{
	struct conn *c;

	TAILQ_FOREACH(c, &keeper.conns, link)
		if (c->subscribed && frame_send(c->w.fd, b, NULL, 0) < 0)
			shutdown(c->w.fd, SHUT_RDWR);
}

static void conn_dispatch(struct conn *c, struct frame *f)
{
	struct asker a = { c->gen, f->head.seq };

	if (f->head.type == FRAME_STATE || f->head.type == FRAME_SETUP)
		c->subscribed = true;
	for (size_t i = 0; i < ARRAY_SIZE(conn_requests); i++) {
		if (conn_requests[i].type != f->head.type)
			continue;
		if (keeper.is_set_up == conn_requests[i].before_setup)
			break;
		conn_requests[i].run(a, f);
		return;
	}
	conn_fail(a, ENOSYS, NULL, "the keeper does not know this request");
}

static void conn_readable(struct watch *w, uint32_t events)
{
	struct conn *c = CONTAINER_OF(w, struct conn, w);
	struct frame f;
	int r = frame_recv(w->fd, conn_data, &f);

	if (r == -EAGAIN)
		return;
	if (r <= 0) {
		conn_drop(c);
		return;
	}
	conn_dispatch(c, &f);
	frame_release(&f);
}

struct conn *conn_add(int fd)
{
	struct conn *c = xcalloc(1, sizeof(*c));
	int size = FRAME_SOCKET_BUFFER;

	/* In a user namespace of the pod's own only as much as anybody may have. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	c->gen = ++keeper.last_gen;
	TAILQ_INSERT_TAIL(&keeper.conns, c, link);
	watch_add(&c->w, fd, EPOLLIN, conn_readable);
	return c;
}

static void conn_accept(struct watch *w, uint32_t events)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct conn *c;
	int n = 0, fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	TAILQ_FOREACH(c, &keeper.conns, link)
		n++;
	if (n >= CONN_MAX || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid != 0) {
		close(fd);
		return;
	}
	conn_add(fd);
}

/* In the current directory: a socket's address is too short for most paths. */
int conn_listen(void)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX, .sun_path = "keeper.sock" };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	unlink(sa.sun_path);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, CONN_MAX) < 0) {
		int eno = errno;

		close(fd);
		return -eno;
	}
	watch_add(&keeper.listener, fd, EPOLLIN, conn_accept);
	return 0;
}
