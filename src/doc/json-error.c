/*
 * What is wrong with a JSON text, and where: the slow path after a failed read.
 *
 * A second walk over the text with the states of Go's encoding/json scanner, so
 * that the message is the one Kubernetes' users know ("invalid character '}'
 * looking for beginning of value"), followed by line and column.
 */
#include "doc/internal.h"

#include <stdio.h>

#include "base/limits.h"

struct json_scan {
	struct str text;
	size_t at;
	const char *wrong; /* "looking for beginning of value"; NULL: unexpected end */
	bool failed;
};

static bool scan_fail(struct json_scan *s, const char *wrong)
{
	s->wrong = s->at < s->text.n ? wrong : NULL;
	s->failed = true;
	return false;
}

static int scan_peek(const struct json_scan *s)
{
	return s->at < s->text.n ? (unsigned char)s->text.p[s->at] : -1;
}

static void scan_space(struct json_scan *s)
{
	int c;

	while (c = scan_peek(s), c == ' ' || c == '\t' || c == '\n' || c == '\r')
		s->at++;
}

static bool scan_is_hex(int c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool scan_escape(struct json_scan *s)
{
	int c = scan_peek(s);

	if (c < 0 || c == 0 || !strchr("bfnrt\\/\"u", c))
		return scan_fail(s, "in string escape code");
	s->at++;
	for (int i = 0; c == 'u' && i < 4; i++, s->at++) {
		if (!scan_is_hex(scan_peek(s)))
			return scan_fail(s, "in \\u hexadecimal character escape");
	}
	return true;
}

static bool scan_string(struct json_scan *s)
{
	for (s->at++;;) {
		int c = scan_peek(s);

		if (c < 0x20)
			return scan_fail(s, "in string literal");
		s->at++;
		if (c == '"')
			return true;
		if (c == '\\' && !scan_escape(s))
			return false;
	}
}

static bool scan_digits(struct json_scan *s, const char *wrong)
{
	if (scan_peek(s) < '0' || scan_peek(s) > '9')
		return scan_fail(s, wrong);
	while (scan_peek(s) >= '0' && scan_peek(s) <= '9')
		s->at++;
	return true;
}

static bool scan_number(struct json_scan *s)
{
	if (scan_peek(s) == '-')
		s->at++;
	if (scan_peek(s) == '0')
		s->at++;
	else if (!scan_digits(s, "in numeric literal"))
		return false;
	if (scan_peek(s) == '.') {
		s->at++;
		if (!scan_digits(s, "after decimal point in numeric literal"))
			return false;
	}
	if (scan_peek(s) == 'e' || scan_peek(s) == 'E') {
		s->at++;
		if (scan_peek(s) == '+' || scan_peek(s) == '-')
			s->at++;
		if (!scan_digits(s, "in exponent of numeric literal"))
			return false;
	}
	return true;
}

static bool scan_literal(struct json_scan *s, const char *word)
{
	/* [word][character expected] */
	static const char *const wrong[3][5] = {
		{"", "in literal true (expecting 'r')", "in literal true (expecting 'u')",
		 "in literal true (expecting 'e')"},
		{"", "in literal false (expecting 'a')", "in literal false (expecting 'l')",
		 "in literal false (expecting 's')", "in literal false (expecting 'e')"},
		{"", "in literal null (expecting 'u')", "in literal null (expecting 'l')",
		 "in literal null (expecting 'l')"},
	};
	int row = *word == 't' ? 0 : *word == 'f' ? 1 : 2;

	s->at++;
	for (int i = 1; word[i]; i++, s->at++) {
		if (scan_peek(s) != word[i])
			return scan_fail(s, wrong[row][i]);
	}
	return true;
}

static bool scan_value(struct json_scan *s, int depth);

static bool scan_object(struct json_scan *s, int depth)
{
	s->at++;
	scan_space(s);
	if (scan_peek(s) == '}') {
		s->at++;
		return true;
	}
	for (;;) {
		scan_space(s);
		if (scan_peek(s) != '"')
			return scan_fail(s, "looking for beginning of object key string");
		if (!scan_string(s))
			return false;
		scan_space(s);
		if (scan_peek(s) != ':')
			return scan_fail(s, "after object key");
		s->at++;
		if (!scan_value(s, depth))
			return false;
		scan_space(s);
		if (scan_peek(s) == '}') {
			s->at++;
			return true;
		}
		if (scan_peek(s) != ',')
			return scan_fail(s, "after object key:value pair");
		s->at++;
	}
}

static bool scan_array(struct json_scan *s, int depth)
{
	s->at++;
	scan_space(s);
	if (scan_peek(s) == ']') {
		s->at++;
		return true;
	}
	for (;;) {
		if (!scan_value(s, depth))
			return false;
		scan_space(s);
		if (scan_peek(s) == ']') {
			s->at++;
			return true;
		}
		if (scan_peek(s) != ',')
			return scan_fail(s, "after array element");
		s->at++;
	}
}

static bool scan_value(struct json_scan *s, int depth)
{
	int c;

	scan_space(s);
	c = scan_peek(s);
	if ((c == '{' || c == '[') && depth == LIMIT_JSON_DEPTH)
		return scan_fail(s, "nested too deeply");
	switch (c) {
	case '{':
		return scan_object(s, depth + 1);
	case '[':
		return scan_array(s, depth + 1);
	case '"':
		return scan_string(s);
	case 't':
		return scan_literal(s, "true");
	case 'f':
		return scan_literal(s, "false");
	case 'n':
		return scan_literal(s, "null");
	default:
		if (c == '-' || (c >= '0' && c <= '9'))
			return scan_number(s);
		return scan_fail(s, "looking for beginning of value");
	}
}

/* 'x', as Go quotes a byte. */
static void scan_quote(int c, char out[16])
{
	if (c == '\'' || c == '\\')
		snprintf(out, 16, "'\\%c'", c);
	else if (c == '\n' || c == '\r' || c == '\t')
		snprintf(out, 16, "'\\%c'", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
	else if (c < 0x20 || c == 0x7f)
		snprintf(out, 16, "'\\x%02x'", c);
	else if (c < 0x80)
		snprintf(out, 16, "'%c'", c);
	else if (c < 0xa0 || c == 0xad)
		snprintf(out, 16, "'\\u%04x'", c);
	else
		snprintf(out, 16, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

void doc_line_column(struct str text, size_t at, size_t *line, size_t *column)
{
	*line = *column = 1;
	for (size_t i = 0; i < at && i < text.n; i++) {
		if (text.p[i] == '\n') {
			++*line;
			*column = 1;
		} else if (((unsigned char)text.p[i] & 0xc0) != 0x80) {
			++*column;
		}
	}
}

/* The first byte that is no UTF-8. */
static size_t scan_bad_utf8(struct str text)
{
	size_t good = 0, bad = text.n; /* prefix lengths; "good" stays valid but for a cut character */

	while (good < bad) {
		size_t c = (unsigned char)text.p[good];
		size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

		if (len > bad - good || !str_is_utf8(str_n(text.p + good, len)))
			break;
		good += len;
	}
	return good;
}

int json_explain(struct str text, bool prefix, const char *refused, struct err *e)
{
	struct json_scan s = {.text = text};
	size_t line, column;
	char quoted[16];

	if (refused && streq(refused, "invalid UTF-8")) {
		s.at = scan_bad_utf8(text);
	} else if (scan_value(&s, 0)) {
		scan_space(&s);
		if (s.at < text.n && !prefix)
			scan_fail(&s, "after top-level value");
	}
	if (refused) {
		doc_line_column(text, s.at, &line, &column);
		if (s.failed || s.at < text.n)
			return err_set(e, ERR_BAD_REQUEST, "json: %s (line %zu, column %zu)", refused, line,
				       column);
		return err_set(e, ERR_TOO_LARGE, "json: %s", refused);
	}
	doc_line_column(text, s.at, &line, &column);
	if (!s.failed)
		return err_set(e, ERR_BAD_REQUEST, "invalid JSON");
	if (!s.wrong)
		return err_set(e, ERR_BAD_REQUEST, "unexpected end of JSON input (line %zu, column %zu)",
			       line, column);
	scan_quote((unsigned char)text.p[s.at], quoted);
	return err_set(e, ERR_BAD_REQUEST, "invalid character %s %s (line %zu, column %zu)", quoted, s.wrong,
		       line, column);
}
