/*
 * Byte streams: what an upgraded connection becomes, on either side, and any
 * other connected socket (stream_new). And stream_join, which is how the API
 * server passes exec and port-forward through to the node.
 *
 * A stream ends once: by its user (stream_close; no callback follows) or by
 * on_close. The end of the peer's direction is told after the last byte was
 * offered, and never while the user holds reading back.
 */
#include <event2/buffer.h>

#include "http/internal.h"

struct stream {
	struct conn *io; /* NULL once over */
	const struct stream_ops *ops;
	void *arg;
	int refs;
	bool paused, eof_told, shut;
	struct err failed; /* set: the connection failed */
};

static void stream_unref(struct stream *s)
{
	if (--s->refs)
		return;
	err_release(&s->failed);
	free(s);
}

/* Both directions are over. */
static void stream_over(struct stream *s)
{
	struct conn *io = take_ptr(&s->io);

	if (!io)
		return;
	if (err_is_set(&s->failed))
		conn_free(io);
	else
		conn_finish(io);
	s->ops->on_close(s->arg, err_is_set(&s->failed) ? &s->failed : NULL);
	stream_unref(s);
}

static void stream_run(struct stream *s)
{
	struct evbuffer *in = conn_input(s->io);

	if (!s->paused && !s->eof_told && evbuffer_get_length(in)) {
		s->ops->on_data(s->arg, in);
		if (!s->io)
			return;
	}
	if (err_is_set(&s->failed)) {
		stream_over(s);
		return;
	}
	if (conn_is_eof(s->io) && !s->paused && !s->eof_told) {
		s->eof_told = true;
		if (s->ops->on_eof)
			s->ops->on_eof(s->arg);
		if (s->io && (!s->ops->on_eof || conn_is_tls(s->io)))
			stream_over(s);
	}
	if (s->io && s->eof_told && s->shut)
		stream_over(s);
}

static void stream_on_input(void *arg)
{
	struct stream *s = arg;

	if (!s->ops)
		return;
	s->refs++;
	stream_run(s);
	stream_unref(s);
}

static void stream_on_drain(void *arg)
{
	struct stream *s = arg;

	if (s->ops && s->ops->on_drain)
		s->ops->on_drain(s->arg);
}

static void stream_on_dead(void *arg, const struct err *e)
{
	struct stream *s = arg;

	err_copy(&s->failed, e);
	stream_on_input(s);
}

static const struct conn_ops stream_conn_ops = {
	.on_input = stream_on_input,
	.on_eof = stream_on_input,
	.on_drain = stream_on_drain,
	.on_dead = stream_on_dead,
};

struct stream *stream_from_conn(struct conn *c)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->io = c;
	s->refs = 1;
	conn_set_ops(c, &stream_conn_ops, s);
	conn_read(c, true);
	return s;
}

struct loop *stream_loop(const struct stream *s)
{
	return conn_loop(s->io);
}

struct stream *stream_new(struct loop *l, int fd)
{
	struct conn *c = conn_new(l, fd, NULL, NULL);

	conn_connecting(c);
	return stream_from_conn(c);
}

void stream_set(struct stream *s, const struct stream_ops *ops, void *arg)
{
	s->ops = ops;
	s->arg = arg;
	if (s->io)
		conn_kick(s->io);
}

void stream_write(struct stream *s, const void *p, size_t n)
{
	if (!s->io || n == 0)
		return;
	evbuffer_add(conn_out(s->io), p, n);
	conn_push(s->io);
}

void stream_write_evbuffer(struct stream *s, struct evbuffer *out)
{
	if (!s->io) {
		evbuffer_drain(out, evbuffer_get_length(out));
		return;
	}
	evbuffer_add_buffer(conn_out(s->io), out);
	conn_push(s->io);
}

size_t stream_queued(const struct stream *s)
{
	return s->io ? conn_queued(s->io) : 0;
}

void stream_pause(struct stream *s, bool paused)
{
	if (s->paused == paused || !s->io)
		return;
	s->paused = paused;
	conn_read(s->io, !paused);
	if (!paused)
		conn_kick(s->io);
}

void stream_close(struct stream *s, bool flush)
{
	struct conn *io = take_ptr(&s->io);

	if (!io)
		return;
	if (flush)
		conn_finish(io);
	else
		conn_free(io);
	stream_unref(s);
}

void stream_shutdown_write(struct stream *s)
{
	if (!s->io || s->shut)
		return;
	s->shut = true;
	conn_shutdown_write(s->io);
	conn_kick(s->io);
}

/* --- two streams joined --- */

struct stream_pipe_side {
	struct stream_pipe *pipe;
	struct stream *self, *other;
};

struct stream_pipe {
	struct stream_pipe_side side[2];
	void (*done)(void *arg);
	void *arg;
};

static void stream_pipe_data(void *arg, struct evbuffer *in)
{
	struct stream_pipe_side *d = arg;

	stream_write_evbuffer(d->other, in);
	if (stream_queued(d->other) > CONN_HIGH)
		stream_pause(d->self, true);
}

static void stream_pipe_drain(void *arg)
{
	struct stream_pipe_side *d = arg;

	stream_pause(d->other, false);
}

static void stream_pipe_eof(void *arg)
{
	struct stream_pipe_side *d = arg;

	stream_shutdown_write(d->other);
}

static void stream_pipe_close(void *arg, const struct err *e)
{
	struct stream_pipe_side *d = arg;
	struct stream_pipe *p = d->pipe;
	void (*done)(void *arg) = p->done;
	void *done_arg = p->arg;

	stream_close(d->other, true);
	free(p);
	if (done)
		done(done_arg);
}

static const struct stream_ops stream_pipe_ops = {
	.on_data = stream_pipe_data,
	.on_drain = stream_pipe_drain,
	.on_eof = stream_pipe_eof,
	.on_close = stream_pipe_close,
};

void stream_join(struct stream *a, struct stream *b, void (*done)(void *arg), void *arg)
{
	struct stream_pipe *p = xcalloc(1, sizeof(*p));

	p->side[0] = (struct stream_pipe_side){ p, a, b };
	p->side[1] = (struct stream_pipe_side){ p, b, a };
	p->done = done;
	p->arg = arg;
	stream_set(a, &stream_pipe_ops, &p->side[0]);
	stream_set(b, &stream_pipe_ops, &p->side[1]);
}
