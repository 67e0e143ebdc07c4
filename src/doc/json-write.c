/*
 * JSON out, as Go's encoding/json prints it with HTML escaping off: no white
 * space in the compact form; four spaces, and {} and [] for empty containers, in
 * the indented one (kubectl -o json); U+2028 and U+2029 always escaped; bytes
 * that are no UTF-8 become U+FFFD.
 *
 * Every write to the store, and so every watch, goes through here: known names
 * need no look at their characters, strings are copied in runs up to the next
 * character that needs care, and the buffer is asked for room once for each
 * value. The tree's depth is bounded where it is made, so recursion is fine.
 */
#include "doc/internal.h"

#include <math.h>
#include <stdio.h>

/* How a byte of a string is printed: 0 as it is, 'u' as \u00xx, 'x' after a look at
 * what follows (not ASCII), else behind a backslash. */
static const char json_care[256] = {
	[0x00 ... 0x07] = 'u', [0x0b] = 'u',  [0x0e ... 0x1f] = 'u', ['\b'] = 'b',
	['\f'] = 'f',	       ['\n'] = 'n',  ['\r'] = 'r',	     ['\t'] = 't',
	['"'] = '"',	       ['\\'] = '\\', [0x80 ... 0xff] = 'x',
};

static inline void out_need(struct buf *b, size_t n)
{
	if (b->cap <= b->len + n)
		buf_reserve(b, n > b->len ? n : b->len);
}

/* Length of the UTF-8 character at p, 0 when there is none. */
static size_t out_utf8_length(const char *p, size_t n)
{
	unsigned char c = (unsigned char)*p;
	size_t len = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	return len && len <= n && str_is_utf8(str_n(p, len)) ? len : 0;
}

/* One character that is not printed as it is; returns the bytes eaten. Room: 6. */
static size_t out_special(char *o, size_t *ret_len, const char *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c = (unsigned char)*p;
	size_t len;

	if (json_care[c] == 'u') {
		memcpy(o, "\\u00", 4);
		o[4] = hex[c >> 4];
		o[5] = hex[c & 15];
		*ret_len = 6;
		return 1;
	}
	if (json_care[c] != 'x') {
		o[0] = '\\';
		o[1] = json_care[c];
		*ret_len = 2;
		return 1;
	}
	len = out_utf8_length(p, n);
	if (len == 0) {
		memcpy(o, "\xef\xbf\xbd", 3);
		*ret_len = 3;
		return 1;
	}
	if (c == 0xe2 && (unsigned char)p[1] == 0x80 && ((unsigned char)p[2] & 0xfe) == 0xa8) {
		memcpy(o, "\\u202", 5);
		o[5] = (char)('8' + (p[2] & 1));
		*ret_len = 6;
		return 3;
	}
	memcpy(o, p, len);
	*ret_len = len;
	return len;
}

/* The inside of a string that has characters which need care, from byte `plain` on. */
static void out_string_slow(struct buf *b, const char *s, size_t n, size_t plain)
{
	size_t i = plain, len;

	memcpy(b->s + b->len, s, plain);
	b->len += plain;
	while (i < n) {
		size_t run = i;

		while (run < n && !json_care[(unsigned char)s[run]])
			run++;
		out_need(b, run - i + 6);
		memcpy(b->s + b->len, s + i, run - i);
		b->len += run - i;
		i = run;
		if (i < n) {
			i += out_special(b->s + b->len, &len, s + i, n - i);
			b->len += len;
		}
	}
	out_need(b, 2);
}

static void out_string(struct buf *b, const char *s, size_t n)
{
	size_t i = 0;

	out_need(b, n + 8);
	b->s[b->len++] = '"';
	while (i < n && !json_care[(unsigned char)s[i]])
		i++;
	if (i == n) {
		memcpy(b->s + b->len, s, n);
		b->len += n;
	} else {
		out_string_slow(b, s, n, i);
	}
	b->s[b->len++] = '"';
}

static void out_int(struct buf *b, int64_t i)
{
	char tmp[20];
	size_t n = sizeof(tmp);
	uint64_t v = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;

	do {
		tmp[--n] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	out_need(b, sizeof(tmp) + 1);
	if (i < 0)
		b->s[b->len++] = '-';
	memcpy(b->s + b->len, tmp + n, sizeof(tmp) - n);
	b->len += sizeof(tmp) - n;
}

static void out_text(struct buf *b, const char *s, size_t n)
{
	out_need(b, n + 1);
	memcpy(b->s + b->len, s, n);
	b->len += n;
}

static inline void out_char(struct buf *b, char c)
{
	out_need(b, 2);
	b->s[b->len++] = c;
}

static void out_key(struct buf *b, const struct node *n)
{
	if (n->name == F_NONE) {
		out_string(b, n->key ? n->key : "", n->key_len);
		return;
	}
	out_need(b, n->key_len + 4u);
	b->s[b->len++] = '"';
	memcpy(b->s + b->len, n->key, n->key_len);
	b->len += n->key_len;
	b->s[b->len++] = '"';
}

static void out_newline(struct buf *b, unsigned depth)
{
	out_need(b, 4 * (size_t)depth + 2);
	b->s[b->len++] = '\n';
	memset(b->s + b->len, ' ', 4 * (size_t)depth);
	b->len += 4 * (size_t)depth;
}

static void out_node(struct buf *b, const struct node *n, int flags, unsigned depth);

static void out_member(struct buf *b, const struct node *c, bool first, int flags, unsigned depth)
{
	if (!first)
		out_char(b, ',');
	if (flags & DOC_PRINT_INDENT)
		out_newline(b, depth + 1);
	if (c->key) {
		out_key(b, c);
		out_char(b, ':');
		if (flags & DOC_PRINT_INDENT)
			out_char(b, ' ');
	}
	out_node(b, c, flags, depth + 1);
}

static int out_cmp_key(const void *a, const void *b)
{
	return str_cmp(node_key(*(const struct node *const *)a), node_key(*(const struct node *const *)b));
}

static void out_sorted(struct buf *b, const struct node *n, int flags, unsigned depth)
{
	_cleanup_free_ const struct node **v = xreallocarray(NULL, n->len, sizeof(*v));
	size_t count = 0;

	NODE_FOREACH (c, n)
		v[count++] = c;
	qsort(v, count, sizeof(*v), out_cmp_key);
	for (size_t i = 0; i < count; i++)
		out_member(b, v[i], i == 0, flags, depth);
}

static void out_container(struct buf *b, const struct node *n, int flags, unsigned depth)
{
	bool object = n->type == DOC_OBJECT;

	out_char(b, object ? '{' : '[');
	if (object && (flags & DOC_PRINT_SORTED) && n->len > 1) {
		out_sorted(b, n, flags, depth);
	} else {
		NODE_FOREACH (c, n)
			out_member(b, c, c == n->u.first, flags, depth);
	}
	if (n->len && (flags & DOC_PRINT_INDENT))
		out_newline(b, depth);
	out_char(b, object ? '}' : ']');
}

/* The hot path: out_container without its choices. */
static void out_compact(struct buf *b, const struct node *n)
{
	bool object = n->type == DOC_OBJECT;

	out_char(b, object ? '{' : '[');
	NODE_FOREACH (c, n) {
		if (object) {
			out_key(b, c);
			b->s[b->len++] = ':';
		}
		if (c->type == DOC_STRING)
			out_string(b, c->u.s, c->len);
		else
			out_node(b, c, DOC_PRINT_COMPACT, 0);
		out_char(b, ',');
	}
	if (n->len)
		b->len--;
	out_char(b, object ? '}' : ']');
}

static void out_node(struct buf *b, const struct node *n, int flags, unsigned depth)
{
	switch (node_type(n)) {
	case DOC_NULL:
		out_text(b, "null", 4);
		break;
	case DOC_BOOL:
		out_text(b, n->u.b ? "true" : "false", n->u.b ? 4 : 5);
		break;
	case DOC_INT:
		out_int(b, n->u.i);
		break;
	case DOC_FLOAT:
		out_text(b, n->u.s, n->len);
		break;
	case DOC_STRING:
		out_string(b, n->u.s, n->len);
		break;
	case DOC_ARRAY:
	case DOC_OBJECT:
		if (flags == DOC_PRINT_COMPACT)
			out_compact(b, n);
		else
			out_container(b, n, flags, depth);
		break;
	}
}

void doc_print_json(struct buf *out, const struct node *n, int flags)
{
	out_node(out, n, flags, 0);
	out_need(out, 1);
	out->s[out->len] = '\0';
}

/* The shortest digits that read back as v, and the exponent of the first of them. */
static int out_digits(double v, char digits[24], int *exponent)
{
	char text[40];
	int n = 0;

	for (int precision = 0; precision < 17; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	*exponent = atoi(strchr(text, 'e') + 1);
	for (const char *p = text; *p != 'e'; p++) {
		if (*p != '.')
			digits[n++] = *p;
	}
	digits[n] = '\0';
	return n;
}

void doc_print_double(struct buf *out, double v)
{
	char digits[24];
	int exponent, n;

	if (signbit(v)) {
		buf_addch(out, '-');
		v = -v;
	}
	n = out_digits(v, digits, &exponent);
	if (v != 0 && (v < 1e-6 || v >= 1e21)) {
		buf_addf(out, "%c%s%se%c%d", digits[0], n > 1 ? "." : "", digits + 1,
			 exponent < 0 ? '-' : '+', abs(exponent));
	} else if (exponent < 0) {
		buf_adds(out, "0.");
		for (int i = -1; i > exponent; i--)
			buf_addch(out, '0');
		buf_adds(out, digits);
	} else {
		for (int i = 0; i <= exponent || i < n; i++) {
			if (i == exponent + 1)
				buf_addch(out, '.');
			buf_addch(out, i < n ? digits[i] : '0');
		}
	}
}

void doc_print_go(struct buf *out, const struct node *n)
{
	const char *gap = "";

	if (node_is(n, DOC_OBJECT)) {
		buf_adds(out, "map[");
		NODE_FOREACH(c, n) {
			buf_addf(out, "%s%" STR_FMT ":", gap, STR_ARG(node_key(c)));
			doc_print_go(out, c);
			gap = " ";
		}
		buf_addch(out, ']');
	} else if (node_is(n, DOC_ARRAY)) {
		buf_addch(out, '[');
		NODE_FOREACH(c, n) {
			buf_adds(out, gap);
			doc_print_go(out, c);
			gap = " ";
		}
		buf_addch(out, ']');
	} else if (node_is(n, DOC_STRING)) {
		buf_addstr(out, node_str(n));
	} else if (node_is(n, DOC_NULL)) {
		buf_adds(out, "<nil>");
	} else {
		doc_print_json(out, n, DOC_PRINT_COMPACT);
	}
}
