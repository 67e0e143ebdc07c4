/*
 * HTTP/1.1 heads and chunked bodies: see http1.h for the contract.
 *
 * A head is parsed in one go once its empty line has come (the caller need not
 * try before), and copied into one block that holds the header array and the
 * text, so that an idle request costs one exact allocation. Lines end in CRLF
 * and nothing else; control characters, folded lines, space around names,
 * repeated or contradicting lengths are refused, because two readers that
 * disagree on where a request ends are how requests are smuggled.
 */
#include "wire/http1.h"

#include <stdlib.h>

#include "base/limits.h"

#define HTTP1_CHUNK_LINE_MAX 1024 /* a chunk-size line with its extensions */
#define HTTP1_TRAILER_MAX 8192

/* --- characters --- */

static bool http1_is_token_char(unsigned char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool http1_is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!http1_is_token_char(s.p[i]))
			return false;
	}
	return s.n > 0;
}

static bool http1_is_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Visible ASCII; clients that send raw UTF-8 in a target are let through, as Go does. */
static bool http1_is_target(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (c <= 0x20 || c == 0x7f)
			return false;
	}
	return s.n > 0;
}

static struct str http1_trim_ows(struct str s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* --- heads --- */

/* Takes the next CRLF-ended line; false when there is none or it holds a bare CR or LF. */
static bool http1_line(struct str *rest, struct str *line)
{
	const char *lf = memchr(rest->p, '\n', rest->n);
	size_t n;

	if (!lf || lf == rest->p || lf[-1] != '\r')
		return false;
	n = (size_t)(lf - rest->p) - 1;
	if (memchr(rest->p, '\r', n))
		return false;
	*line = str_n(rest->p, n);
	rest->p += n + 2;
	rest->n -= n + 2;
	return true;
}

/* "HTTP/1.x": the minor digit; -1 malformed, -2 another major version. */
static int http1_version(struct str s)
{
	if (s.n != 8 || memcmp(s.p, "HTTP/", 5) != 0 || s.p[6] != '.' || s.p[5] < '0' || s.p[5] > '9' ||
	    s.p[7] < '0' || s.p[7] > '9')
		return -1;
	return s.p[5] == '1' ? s.p[7] - '0' : -2;
}

/* Copies header array and text into one block; in points into it afterwards. */
static void http1_block(struct http_head *h, struct str *in, size_t n_headers)
{
	size_t arr = n_headers * sizeof(struct http_header);

	h->block = xmalloc(arr + in->n + 1);
	h->headers = (struct http_header *)(void *)h->block;
	memcpy(h->block + arr, in->p, in->n);
	h->block[arr + in->n] = '\0';
	in->p = h->block + arr;
}

/* Header lines up to the empty one. Returns 0 or the status to answer. */
static int http1_headers(struct http_head *h, struct str *rest, size_t max)
{
	struct str line;

	for (;;) {
		const char *colon;
		struct http_header *hd;

		if (!http1_line(rest, &line))
			return 400;
		if (line.n == 0)
			return 0;
		if (h->n_headers == max)
			return 431;
		colon = memchr(line.p, ':', line.n);
		if (!colon)
			return 400;
		hd = &h->headers[h->n_headers];
		hd->name = str_n(line.p, (size_t)(colon - line.p));
		hd->value = http1_trim_ows(str_n(colon + 1, line.n - hd->name.n - 1));
		if (!http1_is_token(hd->name) || !http1_is_value(hd->value))
			return 400;
		h->n_headers++;
	}
}

static bool http1_digits(struct str s, int64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v > INT64_MAX / 10 ? (uint64_t)INT64_MAX : v * 10 + (uint64_t)(s.p[i] - '0');
		if (v > INT64_MAX)
			v = INT64_MAX;
	}
	*ret = (int64_t)v;
	return true;
}

/* Content-Length and Transfer-Encoding. Returns 0 or the status to answer. */
static int http1_framing(struct http_head *h)
{
	bool te = false;

	h->content_length = -1;
	for (size_t i = 0; i < h->n_headers; i++) {
		const struct http_header *hd = &h->headers[i];

		if (str_ieq(hd->name, STR_LIT("Content-Length"))) {
			if (h->content_length >= 0 || !http1_digits(hd->value, &h->content_length))
				return 400;
			if (h->content_length == INT64_MAX)
				return 413;
		} else if (str_ieq(hd->name, STR_LIT("Transfer-Encoding"))) {
			if (te)
				return 400;
			te = true;
			if (!str_ieq(hd->value, STR_LIT("chunked")))
				return 501;
		}
	}
	h->chunked = te;
	return te && (h->content_length >= 0 || h->minor < 1) ? 400 : 0;
}

static void http1_derive(struct http_head *h)
{
	struct str v;

	h->keep_alive = h->minor >= 1 ? !http_head_has_token(h, "Connection", "close") :
					http_head_has_token(h, "Connection", "keep-alive");
	h->upgrade = http_head_has_token(h, "Connection", "upgrade") && http_head_get(h, "Upgrade").n > 0;
	v = http_head_get(h, "Expect");
	h->expect_continue = h->minor >= 1 && v.p && str_ieq(v, STR_LIT("100-continue"));
}

/* Origin form, or the path of an absolute form; "*" stays. */
static bool http1_split_target(struct http_head *h)
{
	struct str t = h->target;
	const char *q;

	if (t.p[0] != '/') {
		size_t scheme = str_starts(t, STR_LIT("http://")) ? 7 : str_starts(t, STR_LIT("https://")) ? 8 : 0;
		const char *slash;

		if (!scheme) {
			h->path = t;
			return str_eqc(t, "*") && str_eqc(h->method, "OPTIONS");
		}
		slash = memchr(t.p + scheme, '/', t.n - scheme);
		if (!slash)
			return false;
		t = str_n(slash, (size_t)(t.p + t.n - slash));
	}
	q = memchr(t.p, '?', t.n);
	h->path = q ? str_n(t.p, (size_t)(q - t.p)) : t;
	h->query = q ? str_n(q + 1, (size_t)(t.p + t.n - q - 1)) : STR_NONE;
	return true;
}

static int http1_request_line(struct http_head *h, struct str line)
{
	const char *sp1 = memchr(line.p, ' ', line.n), *sp2 = memrchr(line.p, ' ', line.n);

	if (!sp1 || sp1 == sp2)
		return 400;
	h->method = str_n(line.p, (size_t)(sp1 - line.p));
	h->target = str_n(sp1 + 1, (size_t)(sp2 - sp1 - 1));
	h->minor = http1_version(str_n(sp2 + 1, (size_t)(line.p + line.n - sp2 - 1)));
	if (!http1_is_token(h->method) || h->method.n > 32 || !http1_is_target(h->target) || h->minor == -1)
		return 400;
	if (h->minor < 0)
		return 505;
	if (h->target.n > LIMIT_URL_BYTES)
		return 414;
	return http1_split_target(h) ? 0 : 400;
}

static int http1_host(const struct http_head *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->n_headers; i++)
		n += str_ieq(h->headers[i].name, STR_LIT("Host"));
	return n > 1 || (n == 0 && h->minor >= 1) ? 400 : 0;
}

/* The length of a complete head, 0 when its end has not come. n_lines counts the lines after the first. */
static size_t http1_find_end(struct str in, size_t *n_lines)
{
	const char *p = in.p, *end = in.p + in.n, *stop;
	size_t lines = 0;

	stop = in.n ? memmem(in.p, in.n, "\r\n\r\n", 4) : NULL;
	if (!stop)
		return 0;
	while ((p = memchr(p, '\n', (size_t)(end - p))) && p < stop) {
		lines++;
		p++;
	}
	*n_lines = lines;
	return (size_t)(stop + 4 - in.p);
}

/* What can be said of a request before its head is complete: garbage is not waited for. */
static bool http1_hopeless(struct str in)
{
	for (size_t i = 0; i < in.n && i < 33; i++) {
		if (in.p[i] == ' ')
			return i == 0;
		if (!http1_is_token_char(in.p[i]))
			return true;
	}
	return in.n >= 33;
}

static enum http_parse http1_bad(struct http_head *h, int *status, int code)
{
	http_head_release(h);
	*status = code;
	return HTTP_BAD;
}

enum http_parse http1_parse_request(struct http_head *h, struct str in, size_t *consumed, int *status)
{
	size_t skip = 0, n, n_lines;
	struct str rest, line;
	int st;

	memset(h, 0, sizeof(*h));
	*consumed = 0;
	/* RFC 9112 2.2: an empty line before a request is to be ignored. */
	while (skip <= 4 && in.n >= 2 && in.p[0] == '\r' && in.p[1] == '\n')
		in.p += 2, in.n -= 2, skip += 2;
	if (in.n == 0 || (in.n == 1 && in.p[0] == '\r'))
		return HTTP_MORE;
	if (http1_hopeless(in))
		return http1_bad(h, status, 400);
	n = http1_find_end(in, &n_lines);
	if (n == 0 && in.n < LIMIT_HEADER_BYTES)
		return HTTP_MORE;
	if (n == 0 || n > LIMIT_HEADER_BYTES) {
		const char *nl = memchr(in.p, '\n', in.n);

		return http1_bad(h, status, nl && nl - in.p < LIMIT_URL_BYTES ? 431 : 414);
	}
	if (n_lines > LIMIT_HEADER_COUNT)
		return http1_bad(h, status, 431);
	rest = str_n(in.p, n);
	http1_block(h, &rest, n_lines);
	if (!http1_line(&rest, &line))
		return http1_bad(h, status, 400);
	if ((st = http1_request_line(h, line)) || (st = http1_headers(h, &rest, n_lines)) ||
	    (st = http1_host(h)) || (st = http1_framing(h)))
		return http1_bad(h, status, st);
	http1_derive(h);
	*consumed = skip + n;
	return HTTP_DONE;
}

static bool http1_status_line(struct http_head *h, struct str line)
{
	if (line.n < 12 || line.p[8] != ' ')
		return false;
	h->minor = http1_version(str_n(line.p, 8));
	if (h->minor < 0)
		return false;
	for (int i = 9; i < 12; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return false;
		h->status = h->status * 10 + (line.p[i] - '0');
	}
	if (h->status < 100 || (line.n > 12 && line.p[12] != ' '))
		return false;
	h->reason = line.n > 13 ? str_n(line.p + 13, line.n - 13) : STR_LIT("");
	return http1_is_value(h->reason);
}

enum http_parse http1_parse_response(struct http_head *h, struct str in, size_t *consumed)
{
	size_t n, n_lines;
	struct str rest, line;
	int st;

	memset(h, 0, sizeof(*h));
	*consumed = 0;
	n = http1_find_end(in, &n_lines);
	if (n == 0 && in.n >= 5 && memcmp(in.p, "HTTP/", 5) != 0)
		return http1_bad(h, &st, 0);
	if (n == 0 && in.n < LIMIT_HEADER_BYTES)
		return HTTP_MORE;
	if (n == 0 || n > LIMIT_HEADER_BYTES || n_lines > LIMIT_HEADER_COUNT)
		return http1_bad(h, &st, 0);
	rest = str_n(in.p, n);
	http1_block(h, &rest, n_lines);
	if (!http1_line(&rest, &line) || !http1_status_line(h, line) || http1_headers(h, &rest, n_lines) ||
	    http1_framing(h))
		return http1_bad(h, &st, 0);
	http1_derive(h);
	*consumed = n;
	return HTTP_DONE;
}

void http_head_release(struct http_head *h)
{
	free(h->block);
	memset(h, 0, sizeof(*h));
}

struct str http_head_get(const struct http_head *h, const char *name)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		if (str_ieq(h->headers[i].name, str_of(name)))
			return h->headers[i].value;
	}
	return STR_NONE;
}

bool http_head_has_token(const struct http_head *h, const char *name, const char *token)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct str rest = h->headers[i].value;

		if (!str_ieq(h->headers[i].name, str_of(name)))
			continue;
		while (rest.p) {
			if (str_ieq(http1_trim_ows(str_cut(&rest, ',')), str_of(token)))
				return true;
		}
	}
	return false;
}

bool http_head_names_hop(const struct http_head *h, struct str name)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct str rest = h->headers[i].value;

		if (!str_ieq(h->headers[i].name, STR_LIT("Connection")))
			continue;
		while (rest.p)
			if (str_ieq(str_trim(str_cut(&rest, ',')), name))
				return true;
	}
	return false;
}

/* --- query strings --- */

bool http_query_next(struct str *rest, struct buf *name, struct buf *value)
{
	while (rest->p && rest->n) {
		struct str part = str_cut(rest, '&'), n;

		if (part.n == 0)
			continue;
		n = str_cut(&part, '=');
		buf_clear(name);
		buf_clear(value);
		/* As Go's lenient form: a pair that does not decode is dropped. */
		if (!buf_add_url_decoded(name, n, true) ||
		    (part.p && part.n && !buf_add_url_decoded(value, part, true)))
			continue;
		return true;
	}
	return false;
}

bool http_query_get(struct str query, const char *name, struct buf *out)
{
	_cleanup_buf_ struct buf n = BUF_INIT;
	struct str rest = query;

	while (http_query_next(&rest, &n, out)) {
		if (str_eqc(buf_str(&n), name))
			return true;
	}
	buf_clear(out);
	return false;
}

/* --- chunked transfer coding --- */

enum {
	CHUNK_SIZE_FIRST, /* the first digit must come */
	CHUNK_SIZE, /* digits, then an extension or the line's end */
	CHUNK_EXT, /* skipped up to CR */
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER_START, /* start of a trailer line: an empty one ends all */
	CHUNK_TRAILER, /* inside a trailer line, skipped */
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
	CHUNK_DONE,
};

static int http1_hex(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One byte of a chunk-size line. */
static bool http1_chunk_size(struct http1_chunked *c, unsigned char ch)
{
	int d = http1_hex(ch);

	if (++c->line > HTTP1_CHUNK_LINE_MAX)
		return false;
	if (c->state == CHUNK_SIZE_LF) {
		if (ch != '\n')
			return false;
		c->line = 0;
		c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER_START;
		return true;
	}
	if (ch == '\r' && c->state != CHUNK_SIZE_FIRST) {
		c->state = CHUNK_SIZE_LF;
		return true;
	}
	if (c->state == CHUNK_EXT)
		return ch >= 0x20 || ch == '\t';
	if (d >= 0) {
		if (c->left >> 56)
			return false;
		c->left = c->left << 4 | (unsigned)d;
		c->state = CHUNK_SIZE;
		return true;
	}
	if (c->state != CHUNK_SIZE || (ch != ';' && ch != ' ' && ch != '\t'))
		return false;
	c->state = CHUNK_EXT;
	return true;
}

/* One byte of what follows the last chunk. */
static bool http1_chunk_trailer(struct http1_chunked *c, unsigned char ch)
{
	if (++c->line > HTTP1_TRAILER_MAX)
		return false;
	switch (c->state) {
	case CHUNK_TRAILER_START:
		c->state = ch == '\r' ? CHUNK_END_LF : CHUNK_TRAILER;
		return ch == '\r' || http1_is_token_char(ch);
	case CHUNK_TRAILER:
		if (ch == '\r')
			c->state = CHUNK_TRAILER_LF;
		return ch == '\r' || ch >= 0x20 || ch == '\t';
	case CHUNK_TRAILER_LF:
		c->state = CHUNK_TRAILER_START;
		return ch == '\n';
	default:
		c->state = CHUNK_DONE;
		return ch == '\n';
	}
}

static bool http1_chunk_byte(struct http1_chunked *c, unsigned char ch)
{
	switch (c->state) {
	case CHUNK_DATA_CR:
		c->state = CHUNK_DATA_LF;
		return ch == '\r';
	case CHUNK_DATA_LF:
		c->state = CHUNK_SIZE_FIRST;
		return ch == '\n';
	case CHUNK_SIZE_FIRST:
	case CHUNK_SIZE:
	case CHUNK_EXT:
	case CHUNK_SIZE_LF:
		return http1_chunk_size(c, ch);
	default:
		return http1_chunk_trailer(c, ch);
	}
}

enum http_parse http1_chunked_read(struct http1_chunked *c, struct str in, size_t *consumed, struct buf *out)
{
	size_t i = 0;

	*consumed = 0;
	while (i < in.n && c->state != CHUNK_DONE) {
		if (c->state == CHUNK_DATA) {
			size_t n = in.n - i < c->left ? in.n - i : (size_t)c->left;

			if (out)
				buf_add(out, in.p + i, n);
			i += n;
			c->left -= n;
			if (c->left == 0)
				c->state = CHUNK_DATA_CR;
		} else if (!http1_chunk_byte(c, in.p[i++])) {
			return HTTP_BAD;
		}
	}
	*consumed = i;
	return c->state == CHUNK_DONE ? HTTP_DONE : HTTP_MORE;
}

/* --- names --- */

static const struct {
	int status;
	const char *text;
} http_statuses[] = {
	{ 100, "Continue" },
	{ 101, "Switching Protocols" },
	{ 200, "OK" },
	{ 201, "Created" },
	{ 202, "Accepted" },
	{ 203, "Non-Authoritative Information" },
	{ 204, "No Content" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 302, "Found" },
	{ 303, "See Other" },
	{ 304, "Not Modified" },
	{ 307, "Temporary Redirect" },
	{ 308, "Permanent Redirect" },
	{ 400, "Bad Request" },
	{ 401, "Unauthorized" },
	{ 402, "Payment Required" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 406, "Not Acceptable" },
	{ 408, "Request Timeout" },
	{ 409, "Conflict" },
	{ 410, "Gone" },
	{ 411, "Length Required" },
	{ 412, "Precondition Failed" },
	{ 413, "Request Entity Too Large" },
	{ 414, "Request URI Too Long" },
	{ 415, "Unsupported Media Type" },
	{ 416, "Requested Range Not Satisfiable" },
	{ 417, "Expectation Failed" },
	{ 422, "Unprocessable Entity" },
	{ 423, "Locked" },
	{ 425, "Too Early" },
	{ 426, "Upgrade Required" },
	{ 428, "Precondition Required" },
	{ 429, "Too Many Requests" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 501, "Not Implemented" },
	{ 502, "Bad Gateway" },
	{ 503, "Service Unavailable" },
	{ 504, "Gateway Timeout" },
	{ 505, "HTTP Version Not Supported" },
};

const char *http_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(http_statuses); i++) {
		if (http_statuses[i].status == status)
			return http_statuses[i].text;
	}
	return "Status";
}
