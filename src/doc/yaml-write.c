/*
 * YAML out, as "kubectl get -o yaml" prints it: sigs.k8s.io/yaml, that is the
 * emitter of go-yaml v2. Keys are sorted (letters after digits, numbers by
 * value); sequences stand at the indentation of their key; strings are plain
 * where they read back as the same string, literal (|) with line breaks, in
 * double quotes when a plain one would be a number, a truth value or a date, in
 * single quotes when its characters forbid the plain form, and long lines are
 * folded at blanks behind column 80.
 */
#include "doc/internal.h"

#include <ctype.h>
#include <stdio.h>

#define YAML_WIDTH 80
#define YAML_LONG_KEY 128 /* longer ones are written "? key" */

struct yaml_writer {
	struct buf *out;
	int column;
	bool blank;	/* nothing but white space and indicators since... the last write was white space */
	bool indention; /* only indentation and "-" on this line so far */
};

static void yw_put(struct yaml_writer *w, const char *s, size_t n)
{
	buf_add(w->out, s, n);
	for (size_t i = 0; i < n; i++)
		w->column += ((unsigned char)s[i] & 0xc0) != 0x80;
}

static void yw_break(struct yaml_writer *w)
{
	buf_addch(w->out, '\n');
	w->column = 0;
}

/* Goes to column `indent` of a fresh line, unless that is where we are. */
static void yw_indent(struct yaml_writer *w, int indent)
{
	if (!w->indention || w->column > indent || (w->column == indent && !w->blank))
		yw_break(w);
	while (w->column < indent)
		yw_put(w, " ", 1);
	w->blank = w->indention = true;
}

/* A blank before text that follows an indicator. */
static void yw_gap(struct yaml_writer *w)
{
	if (!w->blank)
		yw_put(w, " ", 1);
	w->blank = w->indention = false;
}

/* --- what a string may look like --- */

struct yw_looks {
	bool plain, single, literal, breaks;
};

static size_t yw_length(unsigned char c)
{
	return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static bool yw_is_break(const char *p, const char *end)
{
	if (*p == '\n' || *p == '\r')
		return true;
	if (end - p >= 2 && memcmp(p, "\xc2\x85", 2) == 0)
		return true;
	return end - p >= 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0);
}

/* The emitter's idea: line feed, visible ASCII, most of the basic plane. */
static bool yw_is_printable(const char *p, const char *end)
{
	unsigned char c = (unsigned char)p[0], c1 = end - p > 1 ? (unsigned char)p[1] : 0;
	unsigned char c2 = end - p > 2 ? (unsigned char)p[2] : 0;

	if (c < 0x80)
		return c == '\n' || (c >= 0x20 && c <= 0x7e);
	if (c == 0xc2)
		return c1 >= 0xa0;
	if (c > 0xc2 && c < 0xed)
		return true;
	if (c == 0xed)
		return c1 < 0xa0;
	if (c == 0xee)
		return true;
	return c == 0xef && !(c1 == 0xbb && c2 == 0xbf) && !(c1 == 0xbf && (c2 == 0xbe || c2 == 0xbf));
}

static bool yw_is_blankz(const char *p, const char *end)
{
	return p >= end || *p == ' ' || *p == '\t' || yw_is_break(p, end);
}

/* Would this character be taken for punctuation of a block? */
static bool yw_is_indicator(const char *s, const char *p, const char *end)
{
	bool blank_next = yw_is_blankz(p + yw_length((unsigned char)*p), end);

	if (p == s) {
		if (strchr("#,[]{}&*!|>'\"%@`", *p) && *p)
			return true;
		return (*p == '?' || *p == ':' || *p == '-') && blank_next;
	}
	if (*p == ':')
		return blank_next;
	return *p == '#' && (p[-1] == ' ' || p[-1] == '\t' || p[-1] == '\n' || p[-1] == '\r');
}

static struct yw_looks yw_look(struct str s)
{
	struct yw_looks looks = {true, true, true, false};
	const char *end = s.p + s.n;
	bool was_space = false, was_break = false;

	if (s.n == 0)
		return (struct yw_looks){true, true, false, false};
	if (s.n >= 3 && (memcmp(s.p, "---", 3) == 0 || memcmp(s.p, "...", 3) == 0))
		looks.plain = false;
	for (const char *p = s.p; p < end; p += yw_length((unsigned char)*p)) {
		bool space = *p == ' ', line = yw_is_break(p, end);
		bool edge = p == s.p || p + yw_length((unsigned char)*p) >= end;

		if (yw_is_indicator(s.p, p, end) || (edge && (space || line)))
			looks.plain = false;
		/* Line breaks other than a line feed would come back as one. */
		if (!yw_is_printable(p, end) || (line && (was_space || *p != '\n')))
			looks.plain = looks.single = looks.literal = false;
		if (space && was_break)
			looks.plain = looks.single = false;
		if (space && p + 1 == end)
			looks.literal = false;
		looks.breaks |= line;
		was_space = space;
		was_break = line;
	}
	if (looks.breaks)
		looks.plain = false;
	return looks;
}

/* Sexagesimal numbers of YAML 1.1: [-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)? */
static bool yw_is_base60(struct str s)
{
	size_t i = s.n && (*s.p == '+' || *s.p == '-'), groups = 0;

	if (i >= s.n || !isdigit((unsigned char)s.p[i]))
		return false;
	while (i < s.n && (isdigit((unsigned char)s.p[i]) || s.p[i] == '_'))
		i++;
	for (; i + 1 < s.n && s.p[i] == ':'; groups++) {
		if (!isdigit((unsigned char)s.p[++i]))
			return false;
		if (i + 1 < s.n && s.p[i] <= '5' && isdigit((unsigned char)s.p[i + 1]))
			i++;
		i++;
	}
	if (i < s.n && s.p[i] == '.') {
		for (i++; i < s.n && (isdigit((unsigned char)s.p[i]) || s.p[i] == '_');)
			i++;
	}
	return groups && i == s.n;
}

/* --- the four styles; indent: of lines that follow the first --- */

/* At a single blank behind the right margin: break here instead of writing it. */
static bool yw_fold(const struct yaml_writer *w, bool fold, bool was_space, const char *p, const char *end)
{
	return fold && !was_space && w->column > YAML_WIDTH && !(p + 1 < end && p[1] == ' ');
}

static void yw_plain(struct yaml_writer *w, struct str s, int indent, bool fold)
{
	const char *end = s.p + s.n;
	bool space = false;

	if (s.n)
		yw_gap(w);
	for (const char *p = s.p; p < end; p += yw_length((unsigned char)*p)) {
		if (*p == ' ' && yw_fold(w, fold, space, p, end))
			yw_indent(w, indent);
		else
			yw_put(w, p, yw_length((unsigned char)*p));
		if (*p != ' ')
			w->indention = false;
		space = *p == ' ';
	}
	w->blank = w->indention = false;
}

static void yw_single(struct yaml_writer *w, struct str s, int indent, bool fold)
{
	const char *end = s.p + s.n;
	bool space = false;

	yw_gap(w);
	yw_put(w, "'", 1);
	for (const char *p = s.p; p < end; p += yw_length((unsigned char)*p)) {
		if (*p == ' ' && p > s.p && p + 1 < end && yw_fold(w, fold, space, p, end)) {
			yw_indent(w, indent);
		} else {
			if (*p == '\'')
				yw_put(w, "'", 1);
			yw_put(w, p, yw_length((unsigned char)*p));
		}
		if (*p != ' ')
			w->indention = false;
		space = *p == ' ';
	}
	yw_put(w, "'", 1);
	w->blank = w->indention = false;
}

static uint32_t yw_code_point(const char *p, size_t len)
{
	uint32_t c = (unsigned char)*p;

	if (len > 1)
		c &= 0x7fu >> len;
	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

static void yw_escape(struct yaml_writer *w, uint32_t c)
{
	static const struct {
		uint32_t c;
		char escape;
	} table[] = {{0, '0'},	   {7, 'a'},	{8, 'b'},    {9, 't'},	    {10, 'n'},
		     {11, 'v'},	   {12, 'f'},	{13, 'r'},   {27, 'e'},	    {'"', '"'},
		     {'\\', '\\'}, {0x85, 'N'}, {0xa0, '_'}, {0x2028, 'L'}, {0x2029, 'P'}};
	char text[12];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].c == c) {
			snprintf(text, sizeof(text), "\\%c", table[i].escape);
			yw_put(w, text, 2);
			return;
		}
	}
	snprintf(text, sizeof(text), c <= 0xff ? "\\x%02X" : c <= 0xffff ? "\\u%04X" : "\\U%08X", c);
	yw_put(w, text, strlen(text));
}

static void yw_double(struct yaml_writer *w, struct str s, int indent, bool fold)
{
	const char *end = s.p + s.n;
	bool space = false;

	yw_gap(w);
	yw_put(w, "\"", 1);
	for (const char *p = s.p; p < end;) {
		size_t len = yw_length((unsigned char)*p);

		if (!yw_is_printable(p, end) || yw_is_break(p, end) || *p == '"' || *p == '\\') {
			yw_escape(w, yw_code_point(p, len));
			space = false;
		} else if (*p == ' ' && fold && !space && w->column > YAML_WIDTH && p > s.p && p + 1 < end) {
			yw_indent(w, indent);
			if (p[1] == ' ')
				yw_put(w, "\\", 1);
			space = true;
		} else {
			yw_put(w, p, len);
			space = *p == ' ';
		}
		w->indention = false;
		p += len;
	}
	yw_put(w, "\"", 1);
	w->blank = w->indention = false;
}

static void yw_literal(struct yaml_writer *w, struct str s, int indent)
{
	const char *end = s.p + s.n;
	bool fresh = true;

	yw_gap(w);
	yw_put(w, "|", 1);
	if (*s.p == ' ' || *s.p == '\n')
		yw_put(w, "2", 1);
	if (end[-1] != '\n')
		yw_put(w, "-", 1);
	else if (s.n == 1 || end[-2] == '\n')
		yw_put(w, "+", 1);
	yw_break(w);
	w->blank = w->indention = true;
	for (const char *p = s.p; p < end; p++) {
		if (*p == '\n') {
			yw_break(w);
			w->indention = fresh = true;
			continue;
		}
		if (fresh)
			yw_indent(w, indent);
		yw_put(w, p, 1);
		w->indention = fresh = false;
	}
	/* The next line starts by itself when the text ended with a break. */
	w->blank = w->indention;
}

static void yw_string(struct yaml_writer *w, struct str s, int indent, bool key)
{
	_cleanup_buf_ struct buf good = BUF_INIT;
	struct yaml_value v;
	struct yw_looks looks;

	if (!str_is_utf8(s)) {
		/* Not from a reader; let JSON's writer replace what is no text. */
		buf_add_json_string(&good, s);
		yw_gap(w);
		yw_put(w, good.s, good.len);
		return;
	}
	looks = yw_look(s);
	yaml_resolve(s, &v);
	if (memchr(s.p ? s.p : "", '\n', s.n)) {
		if (looks.literal && !key)
			yw_literal(w, s, indent);
		else
			yw_double(w, s, indent, !key);
	} else if (v.kind != YAML_K_STR || yw_is_base60(s) || looks.breaks) {
		yw_double(w, s, indent, !key);
	} else if (looks.plain) {
		yw_plain(w, s, indent, !key);
	} else if (looks.single) {
		yw_single(w, s, indent, !key);
	} else {
		yw_double(w, s, indent, !key);
	}
}

/* --- the tree --- */

/* How many digits follow, and their value. */
static size_t yw_key_number(struct str s, size_t at, int64_t *value)
{
	size_t n = 0;

	while (at + n < s.n && isdigit((unsigned char)s.p[at + n]))
		*value = (int64_t)((uint64_t)*value * 10 + (uint64_t)(s.p[at + n++] - '0'));
	return n;
}

static int yw_cmp_number(struct str a, struct str b, size_t i)
{
	int64_t x = 0, y = 0;
	size_t nx, ny;

	/* A zero inside a number counts as a digit, not as a leading zero. */
	if (a.p[i] == '0' || b.p[i] == '0') {
		for (size_t j = i; j > 0 && isdigit((unsigned char)a.p[j - 1]); j--) {
			if (a.p[j - 1] != '0') {
				x = y = 1;
				break;
			}
		}
	}
	nx = yw_key_number(a, i, &x);
	ny = yw_key_number(b, i, &y);
	if (x != y)
		return x < y ? -1 : 1;
	if (nx != ny)
		return nx < ny ? -1 : 1;
	return (unsigned char)a.p[i] < (unsigned char)b.p[i] ? -1 : 1;
}

/* go-yaml's order of keys: letters behind all else, runs of digits by their value. */
static int yw_cmp_key(const void *pa, const void *pb)
{
	struct str a = node_key(*(const struct node *const *)pa),
		   b = node_key(*(const struct node *const *)pb);

	for (size_t i = 0; i < a.n && i < b.n; i++) {
		unsigned char x = (unsigned char)a.p[i], y = (unsigned char)b.p[i];
		bool letter_x = isalpha(x) || x >= 0x80, letter_y = isalpha(y) || y >= 0x80;

		if (x == y)
			continue;
		if (letter_x && letter_y)
			return x < y ? -1 : 1;
		if (letter_x || letter_y)
			return letter_y ? -1 : 1;
		return yw_cmp_number(a, b, i);
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

static void yw_node(struct yaml_writer *w, const struct node *n, int indent, bool in_mapping);

static void yw_member(struct yaml_writer *w, const struct node *c, int indent)
{
	yw_indent(w, indent);
	if (c->key_len <= YAML_LONG_KEY && !memchr(c->key, '\n', c->key_len)) {
		yw_string(w, node_key(c), indent + 2, true);
		yw_put(w, ":", 1);
	} else {
		yw_put(w, "?", 1);
		w->blank = false;
		yw_string(w, node_key(c), indent + 2, false);
		yw_indent(w, indent);
		yw_put(w, ":", 1);
	}
	w->blank = w->indention = false;
	yw_node(w, c, indent, true);
}

static void yw_object(struct yaml_writer *w, const struct node *n, int indent)
{
	_cleanup_free_ const struct node **v = xreallocarray(NULL, n->len, sizeof(*v));
	size_t count = 0;

	NODE_FOREACH (c, n)
		v[count++] = c;
	qsort(v, count, sizeof(*v), yw_cmp_key);
	for (size_t i = 0; i < count; i++)
		yw_member(w, v[i], indent);
}

static void yw_array(struct yaml_writer *w, const struct node *n, int indent)
{
	NODE_FOREACH (c, n) {
		yw_indent(w, indent);
		yw_put(w, "-", 1);
		w->blank = false;
		yw_node(w, c, indent, false);
	}
}

/* indent: of the container around, -1 at the root. */
static void yw_node(struct yaml_writer *w, const struct node *n, int indent, bool in_mapping)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (node_is(n, DOC_OBJECT) && n->len) {
		yw_object(w, n, indent < 0 ? 0 : indent + 2);
	} else if (node_is(n, DOC_ARRAY) && n->len) {
		yw_array(w, n, indent < 0 ? 0 : in_mapping ? indent : indent + 2);
	} else if (node_is(n, DOC_STRING)) {
		yw_string(w, node_str(n), indent < 0 ? 2 : indent + 2, false);
	} else {
		doc_print_json(&b, n, DOC_PRINT_COMPACT);
		yw_gap(w);
		yw_put(w, b.s, b.len);
	}
}

void doc_print_yaml(struct buf *out, const struct node *n)
{
	struct yaml_writer w = {.out = out, .blank = true, .indention = true};

	yw_node(&w, n, -1, false);
	if (w.column)
		yw_break(&w);
}
