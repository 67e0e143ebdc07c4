/*
 * SPDY/3.1 frames: see spdy.h. The only user of zlib's streams here.
 *
 * A frame is an 8 byte head and a payload of up to 2^24 - 1 bytes:
 *	control  1|version 15, type 16, flags 8, length 24
 *	data     0|stream 31, flags 8, length 24
 * A control frame longer than SPDY_CONTROL_MAX, or a header block that inflates
 * to more than LIMIT_HEADER_BYTES, ends the session.
 */
#include "wire/spdy.h"

#include <zlib.h>

#include "base/limits.h"

#define SPDY_VERSION 3
#define SPDY_CONTROL_MAX (32u << 10)
#define SPDY_SETTINGS_MAX 64
#define SPDY_SETTING_INITIAL_WINDOW 7
#define SPDY_DICT_BYTES 1423

struct spdy_codec {
	z_stream in, out;
	bool in_ready, out_ready, bad;
	uint8_t head[8];
	uint8_t head_n;
	bool in_data; /* inside a data frame, left bytes to come */
	uint32_t left, stream;
	uint8_t flags;
	struct buf control; /* payload of a control frame, gathered */
	struct buf block; /* inflated headers */
	struct spdy_pair *pairs;
	size_t pairs_cap;
};

/* --- the dictionary: words with their length before them, and a tail of plain text --- */

static const char *const spdy_words[] = {
	"options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding",
	"accept-language", "accept-ranges", "age", "allow", "authorization", "cache-control", "connection",
	"content-base", "content-encoding", "content-language", "content-length", "content-location", "content-md5",
	"content-range", "content-type", "date", "etag", "expect", "expires", "from", "host", "if-match",
	"if-modified-since", "if-none-match", "if-range", "if-unmodified-since", "last-modified", "location",
	"max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after",
	"server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
	"www-authenticate", "method", "get", "status", "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie",
	"keep-alive", "origin",
};
static const char spdy_tail[] =
	"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
	"203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
	"403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
	"Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
	"chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
	"text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static const uint8_t *spdy_dictionary(void)
{
	static uint8_t dict[SPDY_DICT_BYTES];
	size_t at = 0;

	if (dict[3])
		return dict;
	for (size_t i = 0; i < ARRAY_SIZE(spdy_words); i++) {
		size_t n = strlen(spdy_words[i]);

		BUG_ON(at + 4 + n > sizeof(dict));
		dict[at + 3] = (uint8_t)n;
		memcpy(dict + at + 4, spdy_words[i], n);
		at += 4 + n;
	}
	BUG_ON(at + sizeof(spdy_tail) - 1 != sizeof(dict));
	memcpy(dict + at, spdy_tail, sizeof(spdy_tail) - 1);
	return dict;
}

struct spdy_codec *spdy_codec_new(void)
{
	struct spdy_codec *c = xcalloc(1, sizeof(*c));

	buf_init(&c->control);
	buf_init(&c->block);
	return c;
}

struct spdy_codec *spdy_codec_free(struct spdy_codec *c)
{
	if (!c)
		return NULL;
	if (c->in_ready)
		inflateEnd(&c->in);
	if (c->out_ready)
		deflateEnd(&c->out);
	buf_release(&c->control);
	buf_release(&c->block);
	free(c->pairs);
	free(c);
	return NULL;
}

/* --- numbers --- */

static uint32_t spdy_u32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static uint32_t spdy_u24(const uint8_t *b)
{
	return (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2];
}

static void spdy_put_u32(struct buf *b, uint32_t v)
{
	uint8_t p[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	buf_add(b, p, sizeof(p));
}

/* --- reading --- */

/* Inflates one header block into c->block. */
static bool spdy_inflate(struct spdy_codec *c, struct str in)
{
	uint8_t chunk[4096];

	buf_clear(&c->block);
	if (!c->in_ready) {
		if (inflateInit(&c->in) != Z_OK)
			return false;
		c->in_ready = true;
	}
	c->in.next_in = (Bytef *)(uintptr_t)in.p;
	c->in.avail_in = (uInt)in.n;
	for (;;) {
		int r;

		c->in.next_out = chunk;
		c->in.avail_out = sizeof(chunk);
		r = inflate(&c->in, Z_SYNC_FLUSH);
		if (r == Z_NEED_DICT) {
			if (inflateSetDictionary(&c->in, spdy_dictionary(), SPDY_DICT_BYTES) != Z_OK)
				return false;
			continue;
		}
		if (r != Z_OK && r != Z_BUF_ERROR)
			return false;
		buf_add(&c->block, chunk, sizeof(chunk) - c->in.avail_out);
		if (c->block.len > LIMIT_HEADER_BYTES)
			return false;
		if (c->in.avail_out)
			return c->in.avail_in == 0;
	}
}

static bool spdy_take_string(struct str *rest, struct str *ret)
{
	uint32_t n;

	if (rest->n < 4)
		return false;
	n = spdy_u32(rest->p);
	if (n > rest->n - 4)
		return false;
	*ret = str_n(rest->p + 4, n);
	*rest = str_sub(*rest, 4 + (size_t)n, rest->n);
	return true;
}

static const char *spdy_headers(struct spdy_codec *c, struct str in, struct spdy_event *ev)
{
	struct str rest;
	uint32_t n;

	if (!spdy_inflate(c, in))
		return "malformed header block";
	rest = buf_str(&c->block);
	if (rest.n < 4)
		return "short header block";
	n = spdy_u32(rest.p);
	rest = str_sub(rest, 4, rest.n);
	if (n > LIMIT_HEADER_COUNT)
		return "too many headers";
	if (n > c->pairs_cap) {
		c->pairs = xreallocarray(c->pairs, n, sizeof(*c->pairs));
		c->pairs_cap = n;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!spdy_take_string(&rest, &c->pairs[i].name) || !spdy_take_string(&rest, &c->pairs[i].value))
			return "malformed headers";
	}
	ev->headers = c->pairs;
	ev->n_headers = n;
	return NULL;
}

static const char *spdy_settings(struct str p, struct spdy_event *ev)
{
	uint32_t n;

	ev->stream = 0;
	if (p.n < 4)
		return "short SETTINGS";
	n = spdy_u32(p.p);
	if (n > SPDY_SETTINGS_MAX || p.n != 4 + (size_t)n * 8)
		return "malformed SETTINGS";
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *s = (const uint8_t *)p.p + 4 + (size_t)i * 8;

		if (spdy_u24(s + 1) == SPDY_SETTING_INITIAL_WINDOW)
			ev->initial_window = spdy_u32(s + 4) & 0x7fffffff;
	}
	return NULL;
}

/* A whole control frame. *known: false for types to be skipped. NULL or what is wrong. */
static const char *spdy_control(struct spdy_codec *c, unsigned type, struct str p, struct spdy_event *ev, bool *known)
{
	size_t min = type == SPDY_SYN_STREAM ? 10 :
		     type == SPDY_RST_STREAM || type == SPDY_GOAWAY || type == SPDY_WINDOW_UPDATE ? 8 : 4;

	*known = true;
	if (p.n < min)
		return "short control frame";
	ev->type = type;
	ev->flags = c->flags;
	ev->stream = spdy_u32(p.p) & 0x7fffffff;
	switch (type) {
	case SPDY_SYN_STREAM:
		ev->assoc = spdy_u32(p.p + 4) & 0x7fffffff;
		ev->priority = (uint8_t)p.p[8] >> 5;
		return ev->stream ? spdy_headers(c, str_sub(p, 10, p.n), ev) : "stream 0";
	case SPDY_SYN_REPLY:
	case SPDY_HEADERS:
		return ev->stream ? spdy_headers(c, str_sub(p, 4, p.n), ev) : "stream 0";
	case SPDY_RST_STREAM:
	case SPDY_GOAWAY:
	case SPDY_WINDOW_UPDATE:
		ev->value = spdy_u32(p.p + 4);
		return NULL;
	case SPDY_PING:
		ev->stream = spdy_u32(p.p);
		return NULL;
	case SPDY_SETTINGS:
		return spdy_settings(p, ev);
	default:
		*known = false;
		return NULL;
	}
}

/* Enters the frame whose head is complete. */
static const char *spdy_begin_frame(struct spdy_codec *c)
{
	c->flags = c->head[4];
	c->left = spdy_u24(c->head + 5);
	if (!(c->head[0] & 0x80)) {
		c->in_data = true;
		c->stream = spdy_u32(c->head);
		return c->stream ? NULL : "data on stream 0";
	}
	c->in_data = false;
	buf_clear(&c->control);
	if ((spdy_u32(c->head) >> 16 & 0x7fff) != SPDY_VERSION)
		return "not SPDY version 3";
	return c->left > SPDY_CONTROL_MAX ? "control frame too large" : NULL;
}

static enum spdy_result spdy_fail(struct spdy_codec *c, const char **why, const char *what)
{
	c->bad = true;
	if (why)
		*why = what;
	return SPDY_BAD;
}

static enum spdy_result spdy_data_piece(struct spdy_codec *c, struct str in, size_t *consumed, struct spdy_event *ev)
{
	size_t n = in.n < c->left ? in.n : c->left;

	if (n == 0 && c->left)
		return SPDY_MORE;
	*consumed += n;
	c->left -= (uint32_t)n;
	ev->type = SPDY_DATA;
	ev->stream = c->stream;
	ev->flags = c->flags;
	ev->data = str_n(in.p, n);
	ev->last = c->left == 0;
	if (ev->last)
		c->head_n = 0;
	return SPDY_EVENT;
}

enum spdy_result spdy_read(struct spdy_codec *c, struct str in, size_t *consumed, struct spdy_event *ev, const char **why)
{
	*consumed = 0;
	memset(ev, 0, sizeof(*ev));
	if (c->bad)
		return spdy_fail(c, why, "after an error");
	for (;;) {
		const char *wrong;
		bool known;
		size_t n;

		if (c->head_n < sizeof(c->head)) {
			n = sizeof(c->head) - c->head_n;
			n = in.n - *consumed < n ? in.n - *consumed : n;
			memcpy(c->head + c->head_n, in.p ? in.p + *consumed : "", n);
			c->head_n += (uint8_t)n;
			*consumed += n;
			if (c->head_n < sizeof(c->head))
				return SPDY_MORE;
			if ((wrong = spdy_begin_frame(c)))
				return spdy_fail(c, why, wrong);
		}
		if (c->in_data)
			return spdy_data_piece(c, str_sub(in, *consumed, in.n), consumed, ev);
		n = in.n - *consumed < c->left ? in.n - *consumed : c->left;
		buf_add(&c->control, in.p ? in.p + *consumed : "", n);
		*consumed += n;
		c->left -= (uint32_t)n;
		if (c->left)
			return SPDY_MORE;
		c->head_n = 0;
		wrong = spdy_control(c, spdy_u32(c->head) & 0xffff, buf_str(&c->control), ev, &known);
		if (wrong)
			return spdy_fail(c, why, wrong);
		if (known)
			return SPDY_EVENT;
		memset(ev, 0, sizeof(*ev));
	}
}

struct str spdy_event_header(const struct spdy_event *ev, const char *name)
{
	for (size_t i = 0; i < ev->n_headers; i++) {
		if (str_eqc(ev->headers[i].name, name))
			return ev->headers[i].value;
	}
	return STR_NONE;
}

/* --- writing --- */

static void spdy_put_control(struct buf *b, unsigned type, uint8_t flags, uint32_t len)
{
	spdy_put_u32(b, 0x80000000u | SPDY_VERSION << 16 | type);
	spdy_put_u32(b, (uint32_t)flags << 24 | len);
}

/* Small windows: our blocks are a few headers at most. */
static void spdy_deflate_init(struct spdy_codec *c)
{
	BUG_ON(deflateInit2(&c->out, Z_BEST_SPEED, Z_DEFLATED, 11, 1, Z_DEFAULT_STRATEGY) != Z_OK);
	BUG_ON(deflateSetDictionary(&c->out, spdy_dictionary(), SPDY_DICT_BYTES) != Z_OK);
	c->out_ready = true;
}

static void spdy_deflate(struct spdy_codec *c, struct buf *b, struct str plain)
{
	uint8_t chunk[512];

	if (!c->out_ready)
		spdy_deflate_init(c);
	c->out.next_in = (Bytef *)(uintptr_t)plain.p;
	c->out.avail_in = (uInt)plain.n;
	do {
		c->out.next_out = chunk;
		c->out.avail_out = sizeof(chunk);
		deflate(&c->out, Z_SYNC_FLUSH);
		buf_add(b, chunk, sizeof(chunk) - c->out.avail_out);
	} while (c->out.avail_out == 0);
}

static void spdy_put_syn(struct spdy_codec *c, struct buf *b, enum spdy_type type, uint32_t stream, uint8_t flags,
			 const struct spdy_pair *headers, size_t n)
{
	_cleanup_buf_ struct buf plain = BUF_INIT, payload = BUF_INIT;

	spdy_put_u32(&plain, (uint32_t)n);
	for (size_t i = 0; i < n; i++) {
		spdy_put_u32(&plain, (uint32_t)headers[i].name.n);
		buf_addstr(&plain, headers[i].name);
		spdy_put_u32(&plain, (uint32_t)headers[i].value.n);
		buf_addstr(&plain, headers[i].value);
	}
	spdy_put_u32(&payload, stream);
	if (type == SPDY_SYN_STREAM)
		buf_add(&payload, "\0\0\0\0\0\0", 6);
	spdy_deflate(c, &payload, buf_str(&plain));
	spdy_put_control(b, type, flags, (uint32_t)payload.len);
	buf_addstr(b, buf_str(&payload));
}

void spdy_put_syn_stream(struct spdy_codec *c, struct buf *b, uint32_t stream, uint8_t flags,
			 const struct spdy_pair *headers, size_t n)
{
	spdy_put_syn(c, b, SPDY_SYN_STREAM, stream, flags, headers, n);
}

void spdy_put_syn_reply(struct spdy_codec *c, struct buf *b, uint32_t stream, uint8_t flags,
			const struct spdy_pair *headers, size_t n)
{
	spdy_put_syn(c, b, SPDY_SYN_REPLY, stream, flags, headers, n);
}

static void spdy_put_two(struct buf *b, enum spdy_type type, uint32_t first, uint32_t second)
{
	spdy_put_control(b, type, 0, 8);
	spdy_put_u32(b, first);
	spdy_put_u32(b, second);
}

void spdy_put_rst_stream(struct buf *b, uint32_t stream, uint32_t status)
{
	spdy_put_two(b, SPDY_RST_STREAM, stream, status);
}

void spdy_put_goaway(struct buf *b, uint32_t last_good, uint32_t status)
{
	spdy_put_two(b, SPDY_GOAWAY, last_good, status);
}

void spdy_put_window_update(struct buf *b, uint32_t stream, uint32_t delta)
{
	spdy_put_two(b, SPDY_WINDOW_UPDATE, stream, delta);
}

void spdy_put_initial_window(struct buf *b, uint32_t bytes)
{
	spdy_put_control(b, SPDY_SETTINGS, 0, 12);
	spdy_put_u32(b, 1);
	spdy_put_u32(b, SPDY_SETTING_INITIAL_WINDOW);
	spdy_put_u32(b, bytes);
}

void spdy_put_ping(struct buf *b, uint32_t id)
{
	spdy_put_control(b, SPDY_PING, 0, 4);
	spdy_put_u32(b, id);
}

void spdy_put_data_head(uint8_t out[SPDY_DATA_HEAD], uint32_t stream, uint8_t flags, uint32_t len)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(stream >> (24 - 8 * i));
	out[4] = flags;
	for (int i = 0; i < 3; i++)
		out[5 + i] = (uint8_t)(len >> (16 - 8 * i));
}

void spdy_put_data(struct buf *b, uint32_t stream, uint8_t flags, struct str data)
{
	uint8_t head[SPDY_DATA_HEAD];

	spdy_put_data_head(head, stream, flags, (uint32_t)data.n);
	buf_add(b, head, sizeof(head));
	buf_addstr(b, data);
}
