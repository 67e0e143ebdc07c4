/*
 * The connection to a keeper: questions with their answers, and events.
 *
 * When it breaks, every open question fails. A keeper cuts off a daemon that
 * does not read; then it is still there and is asked again for its state. If it
 * does not answer to a connection any more, the sandbox is lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "run/internal.h"

static void peer_request_free(struct request *q)
{
	err_release(&q->failed);
	free(q);
}

static void peer_tell_failed(struct loop_task *t)
{
	struct sandbox *s = CONTAINER_OF(t, struct sandbox, failed_task);
	struct request *q;

	s->refs++;
	while ((q = TAILQ_FIRST(&s->failed))) {
		TAILQ_REMOVE(&s->failed, q, link);
		q->done(q->arg, NULL, &q->failed);
		peer_request_free(q);
	}
	sandbox_free(s);
}

void peer_fail(struct sandbox *s, void (*done)(void *arg, struct frame *f, const struct err *e), void *arg,
	       struct err *e)
{
	struct request *q = xcalloc(1, sizeof(*q));

	q->done = done;
	q->arg = arg;
	err_move(&q->failed, e);
	TAILQ_INSERT_TAIL(&s->failed, q, link);
	s->failed_task.run = peer_tell_failed;
	loop_defer(s->r->loop, &s->failed_task);
}

void peer_fail_all(struct sandbox *s, int eno, const char *text)
{
	struct request *q;

	while ((q = TAILQ_FIRST(&s->requests))) {
		TAILQ_REMOVE(&s->requests, q, link);
		err_set(&q->failed, ERR_INTERNAL, "%s", text);
		q->failed.code = eno;
		TAILQ_INSERT_TAIL(&s->failed, q, link);
		s->failed_task.run = peer_tell_failed;
		loop_defer(s->r->loop, &s->failed_task);
	}
}

/* The error that a keeper's answer carries; false when it is none. */
static bool peer_reply_error(struct fields f, struct err *e)
{
	int64_t code = fields_int(f, F_ERROR, 0);
	const char *text = fields_str(f, F_ERROR_TEXT), *kind = fields_str(f, F_ERROR_KIND);

	if (!code)
		return false;
	err_set(e, ERR_INTERNAL, "%s", text ? text : strerror((int)code));
	e->code = (int)code;
	if (kind && *kind)
		err_about(e, NULL, kind, NULL);
	return true;
}

static void peer_on_reply(struct sandbox *s, struct frame *f)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct request *q;

	TAILQ_FOREACH(q, &s->requests, link)
		if (q->seq == f->head.seq)
			break;
	if (!q)
		return;
	TAILQ_REMOVE(&s->requests, q, link);
	if (peer_reply_error(f->body, &e))
		q->done(q->arg, NULL, &e);
	else
		q->done(q->arg, f, NULL);
	peer_request_free(q);
}

static void peer_dispatch(struct sandbox *s, struct frame *f)
{
	struct fields it = f->body;
	struct field x;

	switch (f->head.type) {
	case FRAME_REPLY:
		peer_on_reply(s, f);
		break;
	case FRAME_EXITED:
		while (fields_next(&it, &x))
			if (x.tag == F_CONTAINER)
				container_on_exited(s, field_nested(&x));
		break;
	case FRAME_EXEC_EXITED:
		exec_on_exited(s, f->body);
		break;
	default: /* of a younger keeper */
		break;
	}
}

static void peer_resynced(void *arg, struct frame *f, const struct err *e)
{
	struct sandbox *s = arg;

	if (e) {
		sandbox_lose(s);
		return;
	}
	sandbox_read_state(s, f->body);
	sandbox_tell_exits(s);
}

static void peer_broken(struct sandbox *s)
{
	struct buf b = BUF_INIT;

	peer_close(s);
	if (!s->up || s->destroying || s->recovering || peer_connect(s) < 0) {
		sandbox_lose(s);
		return;
	}
	log_warn("a pod's keeper closed its connection; connected again", LS("pod", s->name));
	peer_fail_all(s, ECONNRESET, "the connection to the pod's keeper was lost");
	peer_begin(s, &b, FRAME_STATE);
	peer_ask(s, &b, NULL, 0, peer_resynced, s);
	buf_release(&b);
}

static void peer_readable(void *arg, int what)
{
	static char data[FRAME_INLINE_MAX];
	struct sandbox *s = arg;
	struct frame f;
	int r = 1;

	s->refs++;
	for (int i = 0; i < 16 && s->sock >= 0; i++) {
		r = frame_recv(s->sock, data, &f);
		if (r <= 0)
			break;
		peer_dispatch(s, &f);
		frame_release(&f);
	}
	if (r <= 0 && r != -EAGAIN && s->sock >= 0)
		peer_broken(s);
	sandbox_free(s);
}

int peer_open(struct sandbox *s, int sock)
{
	int size = FRAME_SOCKET_BUFFER;

	(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	s->sock = sock;
	s->sock_watch = loop_fd_new(s->r->loop, sock, LOOP_READ, peer_readable, s);
	return 0;
}

int peer_connect(struct sandbox *s)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int dir = open(s->dir, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (dir < 0)
		return -errno;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The way over the directory's fd is short, whatever the data directory is called. */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/keeper.sock", dir);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	if (cred.uid != 0)
		return -EPERM;
	s->pid = cred.pid;
	return peer_open(s, take_fd(&fd));
}

void peer_close(struct sandbox *s)
{
	s->sock_watch = loop_fd_free(s->sock_watch);
	s->sock = close_fd(s->sock);
}

void peer_begin(struct sandbox *s, struct buf *b, enum frame_type type)
{
	if (++s->last_seq == 0)
		s->last_seq = 1;
	frame_begin(b, type, s->last_seq);
}

void peer_ask(struct sandbox *s, struct buf *b, const int *fds, size_t n_fds,
	      void (*done)(void *arg, struct frame *f, const struct err *e), void *arg)
{
	struct frame_head h;
	struct request *q;
	struct err e = ERR_INIT;
	int r = s->sock < 0 ? -ESHUTDOWN : frame_send(s->sock, b, fds, n_fds);

	if (r < 0) {
		err_errno(&e, -r, "ask the keeper of pod %s", s->name ? s->name : s->id);
		peer_fail(s, done, arg, &e);
		return;
	}
	memcpy(&h, b->s, sizeof(h));
	q = xcalloc(1, sizeof(*q));
	q->seq = h.seq;
	q->done = done;
	q->arg = arg;
	TAILQ_INSERT_TAIL(&s->requests, q, link);
}

void peer_tell(struct sandbox *s, struct buf *b)
{
	if (s->sock >= 0)
		(void)frame_send(s->sock, b, NULL, 0);
}
