/*
 * Bodies on their way out in another encoding: JSON indented, or compressed with
 * gzip, or both, piece by piece, so that a long list needs no more memory than a
 * short one.
 *
 * Compression is level 1 as in kube-apiserver: the time of the loop is dearer than
 * the wire. It is for large bodies only (respond.c says from which size on; of a
 * streamed list that of its objects counts, in whatever form), never for watches, and
 * for no more than ENCODE_STREAMS at a time (each costs a quarter of a megabyte);
 * others get theirs as it is.
 */
#include "api/internal.h"

#include <event2/buffer.h>
#include <zlib.h>

#define ENCODE_STREAMS 64
#define ENCODE_LEVEL 1
#define ENCODE_PIECE (32u << 10) /* goes in at a time */
#define ENCODE_ROOM (8u << 10) /* for what comes out */

struct encoder {
	bool pretty, gzip;
	struct pretty state;
	z_stream z;
	struct buf text; /* one piece, indented */
};

static unsigned encode_streams;

/* --- indenting --- */

static void pretty_newline(struct buf *out, int depth)
{
	buf_addch(out, '\n');
	for (int i = 0; i < depth; i++)
		buf_adds(out, "  ");
}

static void pretty_in_string(struct pretty *p, struct buf *out, char c)
{
	buf_addch(out, c);
	if (p->escaped)
		p->escaped = false;
	else if (c == '\\')
		p->escaped = true;
	else if (c == '"')
		p->in_string = false;
}

/* Our own compact JSON with two spaces of indent, as kube-apiserver's; the text is not looked into. */
void json_pretty_piece(struct pretty *p, struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (p->in_string) {
			pretty_in_string(p, out, c);
			continue;
		}
		if (c == '\n' || c == ' ')
			continue;
		if (p->opened && c != '}' && c != ']')
			pretty_newline(out, ++p->depth);
		else if (!p->opened && (c == '}' || c == ']'))
			pretty_newline(out, --p->depth);
		p->opened = c == '{' || c == '[';
		buf_addch(out, c);
		if (c == '"')
			p->in_string = true;
		else if (c == ':')
			buf_addch(out, ' ');
		else if (c == ',')
			pretty_newline(out, p->depth);
	}
}

/* --- compressing --- */

static void gzip_piece(struct encoder *x, struct str in, bool last, struct evbuffer *out)
{
	x->z.next_in = (unsigned char *)in.p;
	x->z.avail_in = (unsigned)in.n;
	do {
		struct evbuffer_iovec room;

		if (evbuffer_reserve_space(out, ENCODE_ROOM, &room, 1) < 1)
			return;
		x->z.next_out = room.iov_base;
		x->z.avail_out = (unsigned)room.iov_len;
		deflate(&x->z, last ? Z_FINISH : Z_NO_FLUSH);
		room.iov_len -= x->z.avail_out;
		evbuffer_commit_space(out, &room, 1);
	} while (!x->z.avail_out);
}

/* --- the encoder --- */

struct encoder *encoder_new(bool pretty, bool gzip)
{
	struct encoder *x;

	gzip = gzip && encode_streams < ENCODE_STREAMS;
	if (!pretty && !gzip)
		return NULL;
	x = xcalloc(1, sizeof(*x));
	buf_init(&x->text);
	x->pretty = pretty;
	x->gzip = gzip && deflateInit2(&x->z, ENCODE_LEVEL, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	encode_streams += x->gzip;
	return x;
}

bool encoder_is_gzip(const struct encoder *x)
{
	return x && x->gzip;
}

static void encoder_piece(struct encoder *x, struct str in, bool last, struct evbuffer *out)
{
	if (x->pretty) {
		buf_clear(&x->text);
		json_pretty_piece(&x->state, in, &x->text);
		if (last)
			buf_addch(&x->text, '\n');
		in = buf_str(&x->text);
	}
	if (x->gzip)
		gzip_piece(x, in, last, out);
	else
		evbuffer_add(out, in.p, in.n);
}

void encoder_run(struct encoder *x, struct evbuffer *in, bool last, struct evbuffer *out)
{
	while (evbuffer_get_length(in)) {
		size_t n = evbuffer_get_contiguous_space(in);

		n = n < ENCODE_PIECE ? n : ENCODE_PIECE;
		encoder_piece(x, (struct str){ (char *)evbuffer_pullup(in, (ssize_t)n), n }, false, out);
		evbuffer_drain(in, n);
	}
	if (last)
		encoder_piece(x, (struct str){ "", 0 }, true, out);
}

struct encoder *encoder_free(struct encoder *x)
{
	if (!x)
		return NULL;
	if (x->gzip)
		deflateEnd(&x->z);
	encode_streams -= x->gzip;
	buf_release(&x->text);
	free(x);
	return NULL;
}
