/*
 * The growing buffer, and the encodings that append to one: JSON strings,
 * base64 (RFC 4648), hex, percent-encoding (RFC 3986). A decoder that fails
 * leaves the buffer as it was.
 */
#include "base/buf.h"

#include <stdio.h>

/* Shared by all empty buffers; nobody writes anything but NUL here. */
char buf_empty[1];

void buf_init(struct buf *b)
{
	*b = (struct buf)BUF_INIT;
}

void buf_release(struct buf *b)
{
	if (b->cap)
		free(b->s);
	buf_init(b);
}

void buf_clear(struct buf *b)
{
	buf_truncate(b, 0);
}

void buf_reserve(struct buf *b, size_t extra)
{
	size_t need, cap;

	if (__builtin_add_overflow(b->len, extra, &need) || __builtin_add_overflow(need, 1, &need))
		need = SIZE_MAX; /* xrealloc dies of it */
	if (need <= b->cap)
		return;
	cap = b->cap ? b->cap + b->cap / 2 : 64;
	if (cap < need)
		cap = need;
	b->s = xrealloc(b->cap ? b->s : NULL, cap);
	b->cap = cap;
	b->s[b->len] = '\0';
}

char *buf_detach(struct buf *b, size_t *ret_len)
{
	char *s = b->cap ? b->s : xmemdupz("", 0);

	if (ret_len)
		*ret_len = b->len;
	buf_init(b);
	return s;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	buf_reserve(b, n);
	memcpy(b->s + b->len, p, n);
	b->len += n;
	b->s[b->len] = '\0';
}

void buf_addstr(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addch(struct buf *b, char c)
{
	if (b->len + 1 >= b->cap)
		buf_reserve(b, 1);
	b->s[b->len++] = c;
	b->s[b->len] = '\0';
}

void buf_addvf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(b->cap ? b->s + b->len : NULL, b->cap - b->len, fmt, ap);
	BUG_ON(n < 0);
	if ((size_t)n >= b->cap - b->len) {
		buf_reserve(b, n);
		vsnprintf(b->s + b->len, b->cap - b->len, fmt, again);
	}
	b->len += n;
	va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(b, fmt, ap);
	va_end(ap);
}

void buf_insert(struct buf *b, size_t at, const void *p, size_t n)
{
	BUG_ON(at > b->len);
	if (n == 0)
		return;
	buf_reserve(b, n);
	memmove(b->s + at + n, b->s + at, b->len - at + 1);
	memcpy(b->s + at, p, n);
	b->len += n;
}

void buf_remove(struct buf *b, size_t at, size_t n)
{
	BUG_ON(at > b->len || n > b->len - at);
	if (n == 0)
		return;
	memmove(b->s + at, b->s + at + n, b->len - at - n + 1);
	b->len -= n;
}

void buf_truncate(struct buf *b, size_t len)
{
	BUG_ON(len > b->len);
	b->len = len;
	if (b->cap)
		b->s[len] = '\0';
}

static const char buf_hex_digits[] = "0123456789abcdef";

static void buf_add_json_escape(struct buf *b, unsigned char c)
{
	static const char short_for[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
					  ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };
	char text[6] = { '\\', 'u', '0', '0', buf_hex_digits[c >> 4], buf_hex_digits[c & 15] };

	if (c < sizeof(short_for) && short_for[c]) {
		text[1] = short_for[c];
		buf_add(b, text, 2);
	} else {
		buf_add(b, text, 6);
	}
}

void buf_add_json_string(struct buf *b, struct str s)
{
	size_t done = 0, i = 0;

	buf_reserve(b, s.n + 2);
	buf_addch(b, '"');
	while (i < s.n) {
		unsigned char c = s.p[i];
		size_t step = 1;

		if (c >= 0x80) {
			step = str_utf8_step(s.p + i, s.n - i);
		} else if (c >= 0x20 && c != '"' && c != '\\') {
			i++;
			continue;
		}
		if (c >= 0x80 && step) {
			i += step;
			continue;
		}
		buf_add(b, s.p + done, i - done);
		if (c >= 0x80)
			buf_add(b, "\xef\xbf\xbd", 3);
		else
			buf_add_json_escape(b, c);
		done = ++i;
	}
	buf_add(b, s.p ? s.p + done : NULL, i - done);
	buf_addch(b, '"');
}

void buf_add_quoted(struct buf *b, struct str s)
{
	buf_addch(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		static const char SPECIAL[] = "\a\b\f\n\r\t\v\\\"", NAME[] = "abfnrtv\\\"";
		unsigned char c = (unsigned char)s.p[i];
		const char *at = c ? strchr(SPECIAL, c) : NULL;

		if (at)
			buf_addf(b, "\\%c", NAME[at - SPECIAL]);
		else if (c < 0x20 || c == 0x7f)
			buf_addf(b, "\\x%02x", c);
		else
			buf_addch(b, (char)c);
	}
	buf_addch(b, '"');
}

static const char buf_base64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char buf_base64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void buf_add_base64(struct buf *b, const void *data, size_t n, bool url_unpadded)
{
	const char *digits = url_unpadded ? buf_base64_url : buf_base64_std;
	const unsigned char *p = data;

	buf_reserve(b, n / 3 * 4 + 4);
	for (; n >= 3; p += 3, n -= 3) {
		char out[4] = { digits[p[0] >> 2], digits[(p[0] & 3) << 4 | p[1] >> 4],
				digits[(p[1] & 15) << 2 | p[2] >> 6], digits[p[2] & 63] };

		buf_add(b, out, 4);
	}
	if (n) {
		unsigned char second = n > 1 ? p[1] : 0;
		char out[4] = { digits[p[0] >> 2], digits[(p[0] & 3) << 4 | second >> 4],
				n > 1 ? digits[(second & 15) << 2] : '=', '=' };

		buf_add(b, out, url_unpadded ? n + 1 : 4);
	}
}

static int buf_base64_value(char c, bool url)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (url ? '-' : '+'))
		return 62;
	return c == (url ? '_' : '/') ? 63 : -1;
}

static bool buf_base64_decode(struct buf *b, struct str s, bool url)
{
	uint32_t word = 0;
	size_t digits = 0, pads = 0;

	for (size_t i = 0; i < s.n; i++) {
		int v;

		/* As Go's decoder, which reads the API's byte fields: line ends do not count. */
		if (!url && (s.p[i] == '\n' || s.p[i] == '\r'))
			continue;
		if (!url && s.p[i] == '=') {
			pads++;
			continue;
		}
		v = buf_base64_value(s.p[i], url);
		if (v < 0 || pads)
			return false;
		word = word << 6 | v;
		if (++digits % 4 == 0) {
			char out[3] = { word >> 16, word >> 8, word };

			buf_add(b, out, 3);
			word = 0;
		}
	}
	if (digits % 4 == 1 || (!url && pads != (4 - digits % 4) % 4))
		return false;
	if (digits % 4 == 2)
		buf_addch(b, word >> 4);
	if (digits % 4 == 3) {
		buf_addch(b, word >> 10);
		buf_addch(b, word >> 2);
	}
	return true;
}

bool buf_add_base64_decoded(struct buf *b, struct str s, bool url_unpadded)
{
	size_t before = b->len;

	buf_reserve(b, s.n / 4 * 3 + 3);
	if (buf_base64_decode(b, s, url_unpadded))
		return true;
	buf_truncate(b, before);
	return false;
}

void buf_add_hex(struct buf *b, const void *data, size_t n)
{
	const unsigned char *p = data;

	buf_reserve(b, n * 2);
	for (size_t i = 0; i < n; i++) {
		buf_addch(b, buf_hex_digits[p[i] >> 4]);
		buf_addch(b, buf_hex_digits[p[i] & 15]);
	}
}

static bool buf_url_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '.' || c == '_' || c == '~';
}

void buf_add_url(struct buf *b, struct str s, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];
		char text[3] = { '%', digits[c >> 4], digits[c & 15] };

		if (buf_url_unreserved(c) || (keep_slash && c == '/'))
			buf_addch(b, c);
		else
			buf_add(b, text, 3);
	}
}

static int buf_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool buf_add_url_decoded(struct buf *b, struct str s, bool plus_is_space)
{
	size_t before = b->len;

	buf_reserve(b, s.n);
	for (size_t i = 0; i < s.n; i++) {
		int hi, lo;

		if (s.p[i] != '%') {
			buf_addch(b, plus_is_space && s.p[i] == '+' ? ' ' : s.p[i]);
			continue;
		}
		hi = i + 1 < s.n ? buf_hex_value(s.p[i + 1]) : -1;
		lo = i + 2 < s.n ? buf_hex_value(s.p[i + 2]) : -1;
		if (hi < 0 || lo < 0) {
			buf_truncate(b, before);
			return false;
		}
		buf_addch(b, hi << 4 | lo);
		i += 2;
	}
	return true;
}
