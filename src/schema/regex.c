/*
 * Go's regular expressions: a parser to a tree, the tree to instructions, and
 * Pike's simulation of all of them at once, which takes at most (length of the
 * text) x (number of instructions) steps, whatever the pattern. There are no
 * back references and no assertions but ^ $ \A \z \b \B, so this is all there
 * is. Submatches are not wanted, greedy and lazy are therefore one.
 *
 * Understood: literals, . [...] with ranges, [:classes:] and \d \w \s inside,
 * \d \s \w and their opposites, \pL \p{Lu} (general categories and a few scripts
 * by the C library's tables), groups ((...), (?:...), (?P<n>...), (?<n>...)),
 * flags i m s U, * + ? {n} {n,} {n,m}, escapes \n \t \x41 \x{10FFFF} \101, \Q..\E.
 * Text that is no UTF-8 is taken byte by byte.
 */
#include "schema/regex.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <wctype.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/vec.h"

#define REGEX_MAX_REPEAT 1000 /* Go's */
#define REGEX_MAX_DEPTH 250
#define REGEX_MAX_INSTS 20000
#define RUNE_MAX 0x10ffff

enum { RF_FOLD = 1, RF_MULTILINE = 2, RF_DOT_NL = 4, RF_UNGREEDY = 8 };

/* --- the tree --- */
enum rx_op {
	RX_EMPTY,
	RX_RUNES, /* one of a set of ranges */
	RX_CAT, RX_ALT, /* children */
	RX_REPEAT, /* child a, min to max times; max -1: any number */
	RX_ASSERT /* enum rx_assert in min */
};
enum rx_assert { RA_BEGIN_TEXT, RA_END_TEXT, RA_BEGIN_LINE, RA_END_LINE, RA_WORD, RA_NOT_WORD };

struct rx_range {
	uint32_t lo, hi;
};
struct rx {
	enum rx_op op;
	struct rx *first, *last, *next; /* children and sibling */
	int min, max;
	struct rx_range *ranges;
	size_t n_ranges;
	unsigned height;
};

/* --- instructions --- */
enum rx_code { RC_MATCH, RC_RUNES, RC_ASSERT, RC_JUMP, RC_SPLIT };
struct rx_inst {
	uint8_t code;
	uint32_t x, y; /* next; RC_SPLIT: both; RC_ASSERT: y which; RC_RUNES: y first range */
	uint32_t n; /* ranges */
};

struct regex {
	struct rx_inst *insts;
	size_t n;
	struct rx_range *ranges;
	size_t n_ranges;
	bool anchored; /* begins with \A: no later start is tried */
};

struct rx_parse {
	struct arena *arena;
	struct str all;
	const char *p, *end;
	unsigned flags, depth;
	struct err *e;
	VEC(struct rx_range) set; /* the class being read */
};

static struct rx *rx_alternatives(struct rx_parse *x);

static struct rx *rx_fail(struct rx_parse *x, const char *what, const char *from, size_t n)
{
	if (!err_is_set(x->e))
		err_set(x->e, ERR_BAD_REQUEST, "error parsing regexp: %s: `%.*s`", what, (int)n, from);
	return NULL;
}

static struct rx *rx_new(struct rx_parse *x, enum rx_op op)
{
	struct rx *n = arena_zalloc(x->arena, sizeof(*n));

	n->op = op;
	n->height = 1;
	return n;
}

static void rx_add(struct rx *n, struct rx *child)
{
	if (n->last)
		n->last->next = child;
	else
		n->first = child;
	n->last = child;
	if (child->height + 1 > n->height)
		n->height = child->height + 1;
}

/* --- characters --- */

/* One rune; a byte that is no UTF-8 counts as U+FFFD, as in Go. */
static uint32_t rx_rune(const char **p, const char *end)
{
	const unsigned char *s = (const unsigned char *)*p;
	size_t left = (size_t)(end - *p), n = s[0] < 0x80 ? 1 : str_utf8_step(*p, left);
	uint32_t r;

	if (n < 1 || n > left) {
		(*p)++;
		return 0xfffd;
	}
	*p += n;
	if (n == 1)
		return s[0] < 0x80 ? s[0] : 0xfffd;
	r = n == 2 ? s[0] & 0x1f : n == 3 ? s[0] & 0x0f : s[0] & 0x07;
	for (size_t i = 1; i < n; i++)
		r = r << 6 | (s[i] & 0x3f);
	return r;
}

static void rx_set_add(struct rx_parse *x, uint32_t lo, uint32_t hi)
{
	struct rx_range r = { lo, hi };

	VEC_PUSH(&x->set, r);
}

/* With the other case of letters. */
static void rx_set_fold(struct rx_parse *x, uint32_t lo, uint32_t hi)
{
	rx_set_add(x, lo, hi);
	if (!(x->flags & RF_FOLD) || hi - lo > 0x3000)
		return;
	for (uint32_t c = lo; c <= hi; c++) {
		uint32_t up = (uint32_t)towupper((wint_t)c), low = (uint32_t)towlower((wint_t)c);

		if (c < 0x80) {
			up = c >= 'a' && c <= 'z' ? c - 32 : c;
			low = c >= 'A' && c <= 'Z' ? c + 32 : c;
		}
		if (up != c)
			rx_set_add(x, up, up);
		if (low != c)
			rx_set_add(x, low, low);
	}
}

static int rx_range_cmp(const void *a, const void *b)
{
	const struct rx_range *x = a, *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Sorts and joins the ranges from place `from` on; turns them round when asked. */
static void rx_set_clean(struct rx_parse *x, size_t from, bool negate)
{
	size_t n = from;
	uint32_t next = 0;

	if (x->set.n > from)
		qsort(x->set.v + from, x->set.n - from, sizeof(*x->set.v), rx_range_cmp);
	for (size_t i = from; i < x->set.n; i++) {
		struct rx_range r = x->set.v[i];

		if (n > from && r.lo <= x->set.v[n - 1].hi + 1) {
			if (r.hi > x->set.v[n - 1].hi)
				x->set.v[n - 1].hi = r.hi;
		} else {
			x->set.v[n++] = r;
		}
	}
	x->set.n = n;
	if (!negate)
		return;
	for (size_t i = from; i < n; i++) {
		struct rx_range r = x->set.v[i];

		if (r.lo > next)
			rx_set_add(x, next, r.lo - 1);
		next = r.hi + 1;
	}
	if (next <= RUNE_MAX)
		rx_set_add(x, next, RUNE_MAX);
	memmove(x->set.v + from, x->set.v + n, (x->set.n - n) * sizeof(*x->set.v));
	x->set.n -= n - from;
}

static struct rx *rx_take_set(struct rx_parse *x)
{
	struct rx *n = rx_new(x, RX_RUNES);

	n->n_ranges = x->set.n;
	n->ranges = arena_zalloc(x->arena, (x->set.n + 1) * sizeof(*n->ranges));
	if (x->set.n)
		memcpy(n->ranges, x->set.v, x->set.n * sizeof(*n->ranges));
	x->set.n = 0;
	return n;
}

static struct rx *rx_literal(struct rx_parse *x, uint32_t r)
{
	x->set.n = 0;
	rx_set_fold(x, r, r);
	rx_set_clean(x, 0, false);
	return rx_take_set(x);
}

/* --- classes --- */

static const struct {
	const char *name;
	struct rx_range r[4];
} rx_ascii[] = { /* ends with {0, 0}; the order of a range makes no difference */
	{ "alnum", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } },
	{ "alpha", { { 'A', 'Z' }, { 'a', 'z' } } },
	{ "ascii", { { 1, 0x7f } } },
	{ "blank", { { '\t', '\t' }, { ' ', ' ' } } },
	{ "cntrl", { { 1, 0x1f }, { 0x7f, 0x7f } } },
	{ "digit", { { '0', '9' } } },
	{ "graph", { { '!', '~' } } },
	{ "lower", { { 'a', 'z' } } },
	{ "print", { { ' ', '~' } } },
	{ "punct", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } } },
	{ "space", { { '\t', '\r' }, { ' ', ' ' } } },
	{ "upper", { { 'A', 'Z' } } },
	{ "word", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' }, { '_', '_' } } },
	{ "xdigit", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } },
	{ "d", { { '0', '9' } } },
	{ "s", { { '\t', '\n' }, { '\f', '\r' }, { ' ', ' ' } } },
	{ "w", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' }, { '_', '_' } } },
};

static bool rx_add_ascii(struct rx_parse *x, struct str name, bool negate)
{
	size_t from = x->set.n;

	for (size_t i = 0; i < ARRAY_SIZE(rx_ascii); i++) {
		if (!str_eqc(name, rx_ascii[i].name))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(rx_ascii[i].r) && rx_ascii[i].r[k].hi; k++)
			rx_set_fold(x, rx_ascii[i].r[k].lo, rx_ascii[i].r[k].hi);
		if (!strncmp(rx_ascii[i].name, "ascii", 5) || !strncmp(rx_ascii[i].name, "cntrl", 5))
			rx_set_add(x, 0, 0);
		rx_set_clean(x, from, negate);
		return true;
	}
	return false;
}

/* Scripts as blocks: the ones that names are written in. */
static const struct {
	const char *name;
	struct rx_range r[5];
} rx_scripts[] = {
	{ "Latin", { { 'A', 'Z' }, { 'a', 'z' }, { 0xc0, 0x24f }, { 0x1e00, 0x1eff } } },
	{ "Greek", { { 0x370, 0x3ff }, { 0x1f00, 0x1fff } } },
	{ "Cyrillic", { { 0x400, 0x52f }, { 0x1c80, 0x1c88 }, { 0x2de0, 0x2dff }, { 0xa640, 0xa69f } } },
	{ "Hebrew", { { 0x591, 0x5f4 } } },
	{ "Arabic", { { 0x600, 0x6ff }, { 0x750, 0x77f } } },
	{ "Hiragana", { { 0x3041, 0x309f } } },
	{ "Katakana", { { 0x30a1, 0x30ff }, { 0x31f0, 0x31ff } } },
	{ "Hangul", { { 0x1100, 0x11ff }, { 0x3131, 0x318e }, { 0xac00, 0xd7a3 } } },
	{ "Han", { { 0x2e80, 0x2fd5 }, { 0x3005, 0x3007 }, { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff }, { 0x20000, 0x323af } } },
	{ "Any", { { 0, RUNE_MAX } } },
};

/* A general category, by the C library's classes. */
static bool rx_in_category(struct str name, wint_t c, locale_t l)
{
	char major = name.p[0], minor = name.n > 1 ? name.p[1] : 0;
	bool digit = c < 0x80 ? c >= '0' && c <= '9' : false;

	switch (major) {
	case 'L':
		if (!iswalpha_l(c, l) || digit)
			return false;
		return !minor || (minor == 'u' ? iswupper_l(c, l) != 0 : minor == 'l' ? iswlower_l(c, l) != 0 :
				  !iswupper_l(c, l) && !iswlower_l(c, l));
	case 'N':
		return digit || (c >= 0x80 && iswalnum_l(c, l) && !iswalpha_l(c, l));
	case 'P':
		return iswpunct_l(c, l) && !(c < 0x80 && strchr("$+<=>^`|~", (int)c));
	case 'S':
		return c < 0x80 ? c && strchr("$+<=>^`|~", (int)c) : iswpunct_l(c, l) != 0;
	case 'Z':
		return c == ' ' || c == 0xa0 || (c >= 0x80 && iswspace_l(c, l));
	case 'C':
		return iswcntrl_l(c, l) != 0;
	default:
		return false;
	}
}

static bool rx_add_unicode(struct rx_parse *x, struct str name, bool negate)
{
	size_t from = x->set.n;
	locale_t l;

	for (size_t i = 0; i < ARRAY_SIZE(rx_scripts); i++) {
		if (!str_eqc(name, rx_scripts[i].name))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(rx_scripts[i].r) && rx_scripts[i].r[k].hi; k++)
			rx_set_add(x, rx_scripts[i].r[k].lo, rx_scripts[i].r[k].hi);
		rx_set_clean(x, from, negate);
		return true;
	}
	if (!name.n || name.n > 2 || !strchr("LNPSZC", name.p[0]) || (name.n == 2 && !strchr("ultmodfscekinp", name.p[1])))
		return false;
	l = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	for (uint32_t c = 0; c < 0x30000 && l; c++) {
		bool in = rx_in_category(name, (wint_t)c, l);

		if (in && x->set.n > from && x->set.v[x->set.n - 1].hi + 1 == c)
			x->set.v[x->set.n - 1].hi = c;
		else if (in)
			rx_set_add(x, c, c);
	}
	if (l)
		freelocale(l);
	rx_set_clean(x, from, negate);
	return true;
}

/* Behind "\p" or "\P". */
static bool rx_unicode_class(struct rx_parse *x, bool negate, const char *from)
{
	struct str name;

	if (x->p < x->end && *x->p == '{') {
		const char *close = memchr(x->p, '}', (size_t)(x->end - x->p));

		if (!close) {
			rx_fail(x, "invalid character class range", from, (size_t)(x->end - from));
			return false;
		}
		name = str_n(x->p + 1, (size_t)(close - x->p - 1));
		x->p = close + 1;
	} else {
		name = str_n(x->p, x->p < x->end ? 1 : 0);
		x->p += name.n;
	}
	if (name.n && name.p[0] == '^') {
		negate = !negate;
		name = str_sub(name, 1, name.n);
	}
	if (rx_add_unicode(x, name, negate))
		return true;
	rx_fail(x, "invalid character class range", from, (size_t)(x->p - from));
	return false;
}

static int rx_hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool rx_escape_hex(struct rx_parse *x, uint32_t *ret)
{
	uint32_t r = 0;
	size_t n = 0;

	if (x->p < x->end && *x->p == '{') {
		for (x->p++; x->p < x->end && rx_hex(*x->p) >= 0 && r <= RUNE_MAX; n++)
			r = r * 16 + (uint32_t)rx_hex(*x->p++);
		if (!n || r > RUNE_MAX || x->p == x->end || *x->p++ != '}')
			return false;
	} else {
		for (; n < 2 && x->p < x->end && rx_hex(*x->p) >= 0; n++)
			r = r * 16 + (uint32_t)rx_hex(*x->p++);
		if (n < 2)
			return false;
	}
	*ret = r;
	return true;
}

/* One character behind a backslash. */
static bool rx_escape(struct rx_parse *x, uint32_t *ret)
{
	static const char NAMES[] = "afnrtv", VALUES[] = "\a\f\n\r\t\v";
	const char *from = x->p - 1, *at;
	char c;

	if (x->p == x->end) {
		rx_fail(x, "trailing backslash at end of expression", "", 0);
		return false;
	}
	c = *x->p++;
	at = c ? strchr(NAMES, c) : NULL;
	if (at) {
		*ret = (uint32_t)VALUES[at - NAMES];
		return true;
	}
	if (c == 'x' && rx_escape_hex(x, ret))
		return true;
	if (c == '0' || (c >= '1' && c <= '7' && x->p < x->end && *x->p >= '0' && *x->p <= '7')) {
		uint32_t r = (uint32_t)(c - '0');

		for (int i = 0; i < 2 && x->p < x->end && *x->p >= '0' && *x->p <= '7'; i++)
			r = r * 8 + (uint32_t)(*x->p++ - '0');
		*ret = r;
		return true;
	}
	if ((unsigned char)c < 0x80 && c > ' ' && c != '_' && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
	    !(c >= 'A' && c <= 'Z')) {
		*ret = (unsigned char)c;
		return true;
	}
	if ((unsigned char)c >= 0x80)
		while (x->p < x->end && ((unsigned char)*x->p & 0xc0) == 0x80)
			x->p++;
	rx_fail(x, "invalid escape sequence", from, (size_t)(x->p - from));
	return false;
}

/* \d and the like inside or outside of [...]. 1: read; 0: none; -1: bad. */
static int rx_class_escape(struct rx_parse *x)
{
	char c, low;

	if (x->end - x->p < 2 || x->p[0] != '\\')
		return 0;
	c = x->p[1];
	low = (char)(c | 32);
	if (low == 'd' || low == 's' || low == 'w') {
		x->p += 2;
		rx_add_ascii(x, str_n(&low, 1), c != low);
		return 1;
	}
	if (low == 'p') {
		const char *from = x->p;

		x->p += 2;
		return rx_unicode_class(x, c == 'P', from) ? 1 : -1;
	}
	return 0;
}

/* "[:alpha:]" 1: read; 0: none; -1: bad */
static int rx_class_named(struct rx_parse *x)
{
	const char *from = x->p, *close;
	struct str name;
	bool negate;

	if (x->end - x->p < 4 || x->p[0] != '[' || x->p[1] != ':')
		return 0;
	for (close = x->p + 2; close + 1 < x->end && !(close[0] == ':' && close[1] == ']'); close++)
		;
	if (close + 1 >= x->end)
		return 0;
	name = str_n(x->p + 2, (size_t)(close - x->p - 2));
	negate = name.n && name.p[0] == '^';
	x->p = close + 2;
	if (name.n > 1 + negate && rx_add_ascii(x, str_sub(name, negate, name.n), negate))
		return 1;
	rx_fail(x, "invalid character class range", from, (size_t)(x->p - from));
	return -1;
}

static bool rx_class_char(struct rx_parse *x, const char *open, uint32_t *ret)
{
	if (x->p == x->end) {
		rx_fail(x, "missing closing ]", open, (size_t)(x->end - open));
		return false;
	}
	if (*x->p == '\\') {
		x->p++;
		return rx_escape(x, ret);
	}
	*ret = rx_rune(&x->p, x->end);
	return true;
}

static struct rx *rx_class(struct rx_parse *x)
{
	const char *open = x->p++;
	bool negate = x->p < x->end && *x->p == '^', first = true;

	x->set.n = 0;
	if (negate)
		x->p++;
	for (; first || x->p == x->end || *x->p != ']'; first = false) {
		const char *from = x->p;
		uint32_t lo, hi;
		int got;

		if (x->p < x->end && *x->p == '-' && !first && x->end - x->p > 1 && x->p[1] != ']')
			return rx_fail(x, "invalid character class range", x->p, 2);
		got = rx_class_named(x);
		if (got == 0)
			got = rx_class_escape(x);
		if (got < 0)
			return NULL;
		if (got)
			continue;
		if (!rx_class_char(x, open, &lo))
			return NULL;
		hi = lo;
		if (x->end - x->p > 1 && x->p[0] == '-' && x->p[1] != ']') {
			x->p++;
			if (!rx_class_char(x, open, &hi))
				return NULL;
			if (hi < lo)
				return rx_fail(x, "invalid character class range", from, (size_t)(x->p - from));
		}
		rx_set_fold(x, lo, hi);
	}
	x->p++;
	rx_set_clean(x, 0, negate);
	return rx_take_set(x);
}

/* --- groups --- */

static bool rx_flags(struct rx_parse *x, const char *open, bool *is_group)
{
	unsigned flags = x->flags;
	bool minus = false, any = false;

	for (; x->p < x->end; x->p++) {
		static const char NAMES[] = "imsU";
		const char *at = *x->p ? strchr(NAMES, *x->p) : NULL;

		if (at) {
			unsigned bit = 1u << (at - NAMES);

			flags = minus ? flags & ~bit : flags | bit;
			any = true;
		} else if (*x->p == '-' && !minus) {
			minus = true;
			any = false;
		} else if ((*x->p == ':' || *x->p == ')') && (!minus || any)) {
			*is_group = *x->p++ == ':';
			x->flags = flags;
			return true;
		} else {
			break;
		}
	}
	rx_fail(x, x->p == x->end ? "missing argument to repetition operator" : "invalid or unsupported Perl syntax", open,
		(size_t)(x->p - open) + (x->p < x->end));
	return false;
}

static bool rx_group_name(struct rx_parse *x, const char *open)
{
	const char *from = x->p, *close = memchr(x->p, '>', (size_t)(x->end - x->p));

	if (!close) {
		rx_fail(x, "invalid named capture", open, (size_t)(x->end - open));
		return false;
	}
	for (; x->p < close; x->p++)
		if (!(*x->p == '_' || (*x->p >= '0' && *x->p <= '9') || ((*x->p | 32) >= 'a' && (*x->p | 32) <= 'z')))
			break;
	if (x->p != close || from == close) {
		rx_fail(x, "invalid named capture", open, (size_t)(close + 1 - open));
		return false;
	}
	x->p++;
	return true;
}

static struct rx *rx_group(struct rx_parse *x)
{
	const char *open = x->p++;
	unsigned flags = x->flags;
	bool is_group = true;
	struct rx *n;

	if (x->end - x->p > 1 && x->p[0] == '?') {
		x->p++;
		if (x->end - x->p > 2 && x->p[0] == 'P' && x->p[1] == '<') {
			x->p += 2;
			if (!rx_group_name(x, open))
				return NULL;
		} else if (x->p[0] == '<' && x->end - x->p > 1 && x->p[1] != '=' && x->p[1] != '!') {
			x->p++;
			if (!rx_group_name(x, open))
				return NULL;
		} else if (!rx_flags(x, open, &is_group)) {
			return NULL;
		}
	}
	if (!is_group)
		return rx_new(x, RX_EMPTY);
	if (++x->depth > REGEX_MAX_DEPTH)
		return rx_fail(x, "expression nests too deeply", x->all.p, x->all.n);
	n = rx_alternatives(x);
	x->depth--;
	if (!n)
		return NULL;
	if (x->p == x->end)
		return rx_fail(x, "missing closing )", x->all.p, x->all.n);
	x->p++;
	x->flags = flags;
	return n;
}

/* --- atoms and repetition --- */

static struct rx *rx_assertion(struct rx_parse *x, enum rx_assert a)
{
	struct rx *n = rx_new(x, RX_ASSERT);

	n->min = a;
	return n;
}

static struct rx *rx_dot(struct rx_parse *x)
{
	x->set.n = 0;
	if (x->flags & RF_DOT_NL) {
		rx_set_add(x, 0, RUNE_MAX);
	} else {
		rx_set_add(x, 0, '\n' - 1);
		rx_set_add(x, '\n' + 1, RUNE_MAX);
	}
	return rx_take_set(x);
}

static struct rx *rx_quoted(struct rx_parse *x)
{
	struct rx *n = rx_new(x, RX_CAT);

	for (x->p += 2; x->p < x->end; rx_add(n, rx_literal(x, rx_rune(&x->p, x->end))))
		if (x->end - x->p > 1 && x->p[0] == '\\' && x->p[1] == 'E') {
			x->p += 2;
			break;
		}
	return n;
}

static struct rx *rx_backslash(struct rx_parse *x)
{
	static const char NAMES[] = "AzbB";
	static const enum rx_assert ASSERTS[] = { RA_BEGIN_TEXT, RA_END_TEXT, RA_WORD, RA_NOT_WORD };
	const char *at;
	uint32_t r;
	int got;

	if (x->end - x->p > 1) {
		at = x->p[1] ? strchr(NAMES, x->p[1]) : NULL;
		if (at) {
			x->p += 2;
			return rx_assertion(x, ASSERTS[at - NAMES]);
		}
		if (x->p[1] == 'Q')
			return rx_quoted(x);
	}
	x->set.n = 0;
	got = rx_class_escape(x);
	if (got)
		return got > 0 ? rx_take_set(x) : NULL;
	x->p++;
	return rx_escape(x, &r) ? rx_literal(x, r) : NULL;
}

static struct rx *rx_atom(struct rx_parse *x)
{
	switch (*x->p) {
	case '(':
		return rx_group(x);
	case '[':
		return rx_class(x);
	case '\\':
		return rx_backslash(x);
	case '.':
		x->p++;
		return rx_dot(x);
	case '^':
		x->p++;
		return rx_assertion(x, x->flags & RF_MULTILINE ? RA_BEGIN_LINE : RA_BEGIN_TEXT);
	case '$':
		x->p++;
		return rx_assertion(x, x->flags & RF_MULTILINE ? RA_END_LINE : RA_END_TEXT);
	case '*':
	case '+':
	case '?':
		return rx_fail(x, "missing argument to repetition operator", x->p, 1);
	default:
		return rx_literal(x, rx_rune(&x->p, x->end));
	}
}

static bool rx_number(const char **p, const char *end, int *ret)
{
	const char *from = *p;
	int n = 0;

	while (*p < end && **p >= '0' && **p <= '9' && n < 100000)
		n = n * 10 + (*(*p)++ - '0');
	*ret = n;
	return *p > from && !(*from == '0' && *p - from > 1);
}

/* "{2,3}" at p: false when it is no repetition but text. */
static bool rx_braces(const struct rx_parse *x, const char **p, int *min, int *max)
{
	const char *q = *p + 1;

	if (!rx_number(&q, x->end, min) || q == x->end)
		return false;
	*max = *min;
	if (*q == ',') {
		q++;
		*max = -1;
		if (q < x->end && *q != '}' && !rx_number(&q, x->end, max))
			return false;
	}
	if (q == x->end || *q != '}')
		return false;
	*p = q + 1;
	return true;
}

static struct rx *rx_repeated(struct rx_parse *x, struct rx *atom)
{
	const char *last = NULL;

	while (x->p < x->end && atom) {
		const char *from = x->p;
		int min = 0, max = -1;
		struct rx *n;

		if (*x->p == '{') {
			if (!rx_braces(x, &x->p, &min, &max))
				return atom;
			if (min > REGEX_MAX_REPEAT || max > REGEX_MAX_REPEAT || (max >= 0 && min > max))
				return rx_fail(x, "invalid repeat count", from, (size_t)(x->p - from));
		} else if (*x->p == '*' || *x->p == '+' || *x->p == '?') {
			min = *x->p == '+';
			max = *x->p++ == '?' ? 1 : -1;
		} else {
			return atom;
		}
		if (x->p < x->end && *x->p == '?')
			x->p++; /* lazy: the same set of texts */
		if (last)
			return rx_fail(x, "invalid nested repetition operator", last, (size_t)(x->p - last));
		last = from;
		n = rx_new(x, RX_REPEAT);
		n->min = min;
		n->max = max;
		rx_add(n, atom);
		if (n->height > 4 * REGEX_MAX_DEPTH)
			return rx_fail(x, "expression nests too deeply", x->all.p, x->all.n);
		atom = n;
	}
	return atom;
}

static struct rx *rx_sequence(struct rx_parse *x)
{
	struct rx *n = rx_new(x, RX_CAT);

	while (x->p < x->end && *x->p != '|' && *x->p != ')') {
		bool is_text = *x->p == '{';
		struct rx *atom = is_text ? rx_literal(x, rx_rune(&x->p, x->end)) : rx_atom(x);

		atom = atom ? rx_repeated(x, atom) : NULL;
		if (!atom)
			return NULL;
		rx_add(n, atom);
	}
	return n;
}

static struct rx *rx_alternatives(struct rx_parse *x)
{
	struct rx *n = rx_new(x, RX_ALT), *branch;

	for (;;) {
		branch = rx_sequence(x);
		if (!branch)
			return NULL;
		rx_add(n, branch);
		if (x->p == x->end || *x->p != '|')
			break;
		x->p++;
	}
	return n->first == n->last ? n->first : n;
}

/* --- to instructions --- */

struct rx_emit {
	VEC(struct rx_inst) v;
	VEC(struct rx_range) ranges;
	size_t work;
	bool full;
};

static size_t rx_put(struct rx_emit *m, enum rx_code code, size_t x, size_t y)
{
	struct rx_inst i = { (uint8_t)code, (uint32_t)x, (uint32_t)y, 0 };

	if (m->v.n >= REGEX_MAX_INSTS)
		m->full = true;
	else
		VEC_PUSH(&m->v, i);
	return m->v.n - 1;
}

static void rx_emit(struct rx_emit *m, const struct rx *n);

static void rx_emit_runes(struct rx_emit *m, const struct rx *n)
{
	size_t at = rx_put(m, RC_RUNES, m->v.n + 1, m->ranges.n);

	if (m->full)
		return;
	m->v.v[at].n = (uint32_t)n->n_ranges;
	for (size_t i = 0; i < n->n_ranges; i++)
		VEC_PUSH(&m->ranges, n->ranges[i]);
}

static void rx_emit_alt(struct rx_emit *m, const struct rx *n)
{
	VEC(size_t) ends = VEC_INIT;

	for (const struct rx *c = n->first; c && !m->full; c = c->next) {
		size_t split = c->next ? rx_put(m, RC_SPLIT, m->v.n + 1, 0) : 0;

		rx_emit(m, c);
		if (!c->next || m->full)
			break;
		VEC_PUSH(&ends, rx_put(m, RC_JUMP, 0, 0));
		m->v.v[split].y = (uint32_t)m->v.n;
	}
	for (size_t i = 0; i < ends.n; i++)
		m->v.v[ends.v[i]].x = (uint32_t)m->v.n;
	VEC_RELEASE(&ends);
}

static void rx_emit_optional(struct rx_emit *m, const struct rx *child, int times)
{
	VEC(size_t) splits = VEC_INIT;

	for (int i = 0; i < times && !m->full; i++) {
		VEC_PUSH(&splits, rx_put(m, RC_SPLIT, m->v.n + 1, 0));
		rx_emit(m, child);
	}
	for (size_t i = 0; i < splits.n; i++)
		m->v.v[splits.v[i]].y = (uint32_t)m->v.n;
	VEC_RELEASE(&splits);
}

static void rx_emit_repeat(struct rx_emit *m, const struct rx *n)
{
	size_t split;

	for (int i = 0; i < n->min && !m->full; i++)
		rx_emit(m, n->first);
	if (n->max >= 0) {
		rx_emit_optional(m, n->first, n->max - n->min);
		return;
	}
	split = rx_put(m, RC_SPLIT, m->v.n + 1, 0);
	rx_emit(m, n->first);
	rx_put(m, RC_JUMP, split, 0);
	if (!m->full)
		m->v.v[split].y = (uint32_t)m->v.n;
}

static void rx_emit(struct rx_emit *m, const struct rx *n)
{
	if (++m->work > 8 * REGEX_MAX_INSTS)
		m->full = true; /* repetitions of nothing emit nothing, but take time */
	if (m->full)
		return;
	switch (n->op) {
	case RX_EMPTY:
		break;
	case RX_RUNES:
		rx_emit_runes(m, n);
		break;
	case RX_CAT:
		for (const struct rx *c = n->first; c; c = c->next)
			rx_emit(m, c);
		break;
	case RX_ALT:
		rx_emit_alt(m, n);
		break;
	case RX_REPEAT:
		rx_emit_repeat(m, n);
		break;
	case RX_ASSERT:
		rx_put(m, RC_ASSERT, m->v.n + 1, (size_t)n->min);
		break;
	}
}

static int regex_build(struct regex *re, const struct rx *tree, struct rx_parse *x)
{
	struct rx_emit m = { VEC_INIT, VEC_INIT, 0, false };

	rx_emit(&m, tree);
	rx_put(&m, RC_MATCH, 0, 0);
	re->insts = m.v.v;
	re->n = m.v.n;
	re->ranges = m.ranges.v;
	re->n_ranges = m.ranges.n;
	if (m.full) {
		rx_fail(x, "expression too large", x->all.p, x->all.n);
		return -1;
	}
	re->anchored = re->insts[0].code == RC_ASSERT && re->insts[0].y == RA_BEGIN_TEXT;
	return 0;
}

int regex_compile(struct regex **ret, struct str pattern, struct err *e)
{
	struct rx_parse x = { .arena = arena_new(), .all = pattern, .p = pattern.p, .end = pattern.p + pattern.n, .e = e,
			      .set = VEC_INIT };
	struct regex *re = xcalloc(1, sizeof(*re));
	struct rx *tree = str_is_utf8(pattern) ? rx_alternatives(&x) : rx_fail(&x, "invalid UTF-8", pattern.p, pattern.n);

	if (tree && x.p < x.end)
		tree = rx_fail(&x, "unexpected )", pattern.p, pattern.n);
	if (!tree || regex_build(re, tree, &x) < 0)
		re = regex_free(re);
	VEC_RELEASE(&x.set);
	arena_free(x.arena);
	*ret = re;
	return re ? 0 : -e->code;
}

struct regex *regex_free(struct regex *re)
{
	if (!re)
		return NULL;
	free(re->insts);
	free(re->ranges);
	free(re);
	return NULL;
}

size_t regex_memory(const struct regex *re)
{
	return sizeof(*re) + re->n * sizeof(*re->insts) + re->n_ranges * sizeof(*re->ranges);
}

/* --- matching --- */

struct rx_list { /* the instructions that wait for a rune, each once */
	uint32_t *dense, *sparse;
	size_t n;
};
struct rx_run {
	const struct regex *re;
	struct rx_list now, next;
	uint32_t *stack;
	size_t steps;
	bool matched;
};

static bool rx_list_has(const struct rx_list *l, uint32_t i)
{
	return l->sparse[i] < l->n && l->dense[l->sparse[i]] == i;
}

static bool rx_is_word(uint32_t c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z' && c < 0x80);
}

#define RX_NONE UINT32_MAX /* no rune: before the beginning, behind the end */

static bool rx_holds(enum rx_assert a, uint32_t before, uint32_t after)
{
	bool edge = (before != RX_NONE && rx_is_word(before)) != (after != RX_NONE && rx_is_word(after));

	switch (a) {
	case RA_BEGIN_TEXT:
		return before == RX_NONE;
	case RA_END_TEXT:
		return after == RX_NONE;
	case RA_BEGIN_LINE:
		return before == RX_NONE || before == '\n';
	case RA_END_LINE:
		return after == RX_NONE || after == '\n';
	case RA_WORD:
		return edge;
	case RA_NOT_WORD:
		return !edge;
	}
	return false;
}

/* Follows all that needs no rune. */
static void rx_follow(struct rx_run *r, struct rx_list *l, uint32_t at, uint32_t before, uint32_t after)
{
	size_t n = 0;

	r->stack[n++] = at;
	while (n) {
		uint32_t i = r->stack[--n];
		const struct rx_inst *inst = &r->re->insts[i];

		if (rx_list_has(l, i))
			continue;
		l->sparse[i] = (uint32_t)l->n;
		l->dense[l->n++] = i;
		r->steps++;
		if (inst->code == RC_MATCH)
			r->matched = true;
		else if (inst->code == RC_JUMP)
			r->stack[n++] = inst->x;
		else if (inst->code == RC_ASSERT && rx_holds((enum rx_assert)inst->y, before, after))
			r->stack[n++] = inst->x;
		if (inst->code == RC_SPLIT) {
			r->stack[n++] = inst->y;
			r->stack[n++] = inst->x;
		}
	}
}

static bool rx_has_rune(const struct regex *re, const struct rx_inst *inst, uint32_t c)
{
	const struct rx_range *r = re->ranges + inst->y;
	size_t lo = 0, hi = inst->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c > r[mid].hi)
			lo = mid + 1;
		else if (c < r[mid].lo)
			hi = mid;
		else
			return true;
	}
	return false;
}

static void rx_list_swap(struct rx_list *a, struct rx_list *b)
{
	struct rx_list t = *a;

	*a = *b;
	*b = t;
}

static bool rx_simulate(struct rx_run *r, struct str text, size_t *budget)
{
	const char *p = text.p, *end = text.p + text.n;
	uint32_t before = RX_NONE, c = p < end ? rx_rune(&p, end) : RX_NONE;

	for (;;) {
		uint32_t after;

		if (before == RX_NONE || !r->re->anchored)
			rx_follow(r, &r->now, 0, before, c);
		if (r->matched)
			return true;
		if (c == RX_NONE || (!r->now.n && r->re->anchored))
			return false;
		if (r->steps >= *budget) {
			*budget = 0;
			return false;
		}
		after = p < end ? rx_rune(&p, end) : RX_NONE;
		r->next.n = 0;
		for (size_t i = 0; i < r->now.n; i++) {
			const struct rx_inst *inst = &r->re->insts[r->now.dense[i]];

			if (inst->code == RC_RUNES && rx_has_rune(r->re, inst, c))
				rx_follow(r, &r->next, inst->x, c, after);
		}
		r->steps += r->now.n;
		rx_list_swap(&r->now, &r->next);
		before = c;
		c = after;
	}
}

bool regex_match(const struct regex *re, struct str text, size_t *budget)
{
	uint32_t *mem = xcalloc(re->n * 6 + 8, sizeof(*mem));
	struct rx_run r = { .re = re };
	bool yes;

	r.now = (struct rx_list){ mem, mem + re->n, 0 };
	r.next = (struct rx_list){ mem + 2 * re->n, mem + 3 * re->n, 0 };
	r.stack = mem + 4 * re->n;
	if (!text.p)
		text = STR_LIT("");
	yes = rx_simulate(&r, text, budget);
	if (*budget)
		*budget -= r.steps < *budget ? r.steps : *budget - 1;
	free(mem);
	return yes;
}
