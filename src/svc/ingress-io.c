/*
 * Bytes on a socket, plain or TLS. Buffers are blocks of one size that go back to
 * a pool as soon as they are empty, so that a connection that waits has none; one
 * that a large head does not fit into is made larger.
 */
#include "svc/ingress.h"

#include <errno.h>

#define IO_POOL_MAX 64 /* blocks kept */

struct io_free {
	struct io_free *next;
};

static char *pool_take(struct ing_pool *p)
{
	struct io_free *f = p->free;

	if (!f)
		return xmalloc(ING_BLOCK);
	p->free = f->next;
	p->n--;
	return (char *)f;
}

static void pool_give(struct ing_pool *p, struct ing_bytes *b)
{
	struct io_free *f = (struct io_free *)(void *)b->p;

	if (b->p && b->cap == ING_BLOCK && p->n < IO_POOL_MAX) {
		f->next = p->free;
		p->free = f;
		p->n++;
	} else {
		free(b->p);
	}
	*b = (struct ing_bytes){ 0 };
}

void ing_pool_release(struct ing_pool *p)
{
	struct io_free *f;

	while ((f = p->free)) {
		p->free = f->next;
		free(f);
	}
	p->n = 0;
}

/* Room for n more bytes behind those that are there. */
static void bytes_need(struct ing_pool *p, struct ing_bytes *b, size_t n)
{
	size_t cap;
	char *more;

	if (!b->p) {
		b->p = pool_take(p);
		b->cap = ING_BLOCK;
		b->off = b->len = 0;
	}
	if (b->off && b->off + b->len + n > b->cap) {
		memmove(b->p, b->p + b->off, b->len);
		b->off = 0;
	}
	if (b->len + n <= b->cap)
		return;
	for (cap = b->cap * 2; cap < b->len + n; cap *= 2)
		;
	more = xmalloc(cap);
	memcpy(more, b->p + b->off, b->len);
	pool_give(p, &(struct ing_bytes){ .p = b->p, .cap = b->cap });
	b->p = more;
	b->off = 0;
	b->cap = (uint32_t)cap;
}

static void bytes_eat(struct ing_pool *p, struct ing_bytes *b, size_t n)
{
	b->off += (uint32_t)n;
	b->len -= (uint32_t)n;
	if (!b->len)
		pool_give(p, b);
}

void ing_io_init(struct ing_io *io, struct ing *g, int fd_take)
{
	*io = (struct ing_io){ .ing = g, .fd = fd_take };
}

void ing_io_start(struct ing_io *io, void (*cb)(void *arg, int what), void *arg, int what)
{
	io->watch = loop_fd_new_named(io->ing->loop, io->fd, what, cb, arg, "ingress");
	io->watched = what;
}

void ing_io_release(struct ing_io *io)
{
	if (io->tls && io->open && !io->broken)
		tls_sock_shutdown(io->tls);
	io->tls = tls_sock_free(io->tls);
	io->watch = loop_fd_free(io->watch);
	if (io->fd >= 0)
		close_fd(take_fd(&io->fd));
	pool_give(&io->ing->pool, &io->in);
	pool_give(&io->ing->pool, &io->out);
}

static ssize_t io_recv(struct ing_io *io, char *p, size_t n)
{
	ssize_t r;

	if (io->tls) {
		int want = 0;

		r = tls_sock_read(io->tls, p, n, &want);
		io->want = (io->want & ~LOOP_WRITE) | (want & LOOP_WRITE);
		return r;
	}
	r = recv(io->fd, p, n, 0);
	return r < 0 ? -errno : r;
}

bool ing_io_read(struct ing_io *io, size_t max)
{
	struct ing_pool *pool = &io->ing->pool;
	size_t room;
	ssize_t n;

	if (io->in.len >= max || io->eof || io->broken)
		return false;
	room = max - io->in.len < ING_BLOCK ? max - io->in.len : ING_BLOCK;
	/* What is left of a block is enough: large bodies need not be moved. */
	if (io->in.p && io->in.off + io->in.len < io->in.cap && io->in.len &&
	    io->in.cap - io->in.off - io->in.len < room)
		room = io->in.cap - io->in.off - io->in.len;
	bytes_need(pool, &io->in, room);
	n = io_recv(io, io->in.p + io->in.off + io->in.len, room);
	io->maybe = n > 0 && (io->tls ? tls_sock_pending(io->tls) : (size_t)n == room);
	if (n > 0) {
		io->in.len += (uint32_t)n;
		return true;
	}
	if (n == 0)
		io->eof = true;
	else if (n != -EAGAIN && n != -EINTR)
		io->broken = true;
	bytes_eat(pool, &io->in, 0);
	return false;
}

void ing_io_eat(struct ing_io *io, size_t n)
{
	if (n)
		bytes_eat(&io->ing->pool, &io->in, n);
}

void ing_io_put(struct ing_io *io, const void *p, size_t n)
{
	if (!n)
		return;
	bytes_need(&io->ing->pool, &io->out, n);
	memcpy(io->out.p + io->out.off + io->out.len, p, n);
	io->out.len += (uint32_t)n;
}

bool ing_io_flush(struct ing_io *io)
{
	while (io->out.len && !io->broken) {
		const char *p = io->out.p + io->out.off;
		ssize_t n;

		if (io->tls) {
			int want = 0;

			n = tls_sock_write(io->tls, p, io->out.len, &want);
			io->want = want & LOOP_READ;
		} else {
			n = send(io->fd, p, io->out.len, MSG_NOSIGNAL);
			n = n < 0 ? -errno : n;
		}
		if (n == -EAGAIN || n == -EINTR)
			return true;
		if (n < 0) {
			io->broken = true;
			return false;
		}
		bytes_eat(&io->ing->pool, &io->out, (size_t)n);
	}
	return !io->broken;
}

int ing_io_handshake(struct ing_io *io, struct err *e)
{
	int r;

	io->want = 0;
	r = tls_sock_handshake(io->tls, &io->want, e);
	if (r == 0) /* what came behind the other side's last message is read already, and wakes nobody */
		io->open = io->maybe = true;
	else if (r != -EAGAIN)
		io->broken = true;
	return r;
}

void ing_io_watch(struct ing_io *io, bool read)
{
	int what = io->want;

	if (read && !io->eof)
		what |= LOOP_READ;
	if (io->out.len && !io->want)
		what |= LOOP_WRITE;
	if (what != io->watched && io->watch) {
		loop_fd_set(io->watch, what);
		io->watched = what;
	}
}
