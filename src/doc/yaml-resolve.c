/*
 * What a plain scalar of YAML means: YAML 1.1 as go-yaml v2 (sigs.k8s.io/yaml)
 * reads it, which is what Kubernetes' users get. So y, yes and on are true; 0777,
 * 0o777, 0x1ff and 0b111 are numbers and may hold underscores; ~ is null; digits
 * beyond 64 bits are floats, and floats beyond a double are strings; 1:30 is a
 * string. The writer asks too: a string that would read as anything else is quoted.
 */
#include "doc/internal.h"

#include <ctype.h>
#include <math.h>

static const struct yaml_word {
	const char *text;
	enum yaml_kind kind;
	bool b;
	double f;
} yaml_words[] = {
	{"", YAML_K_NULL, false, 0},
	{"~", YAML_K_NULL, false, 0},
	{"null", YAML_K_NULL, false, 0},
	{"Null", YAML_K_NULL, false, 0},
	{"NULL", YAML_K_NULL, false, 0},
	{"y", YAML_K_BOOL, true, 0},
	{"Y", YAML_K_BOOL, true, 0},
	{"yes", YAML_K_BOOL, true, 0},
	{"Yes", YAML_K_BOOL, true, 0},
	{"YES", YAML_K_BOOL, true, 0},
	{"true", YAML_K_BOOL, true, 0},
	{"True", YAML_K_BOOL, true, 0},
	{"TRUE", YAML_K_BOOL, true, 0},
	{"on", YAML_K_BOOL, true, 0},
	{"On", YAML_K_BOOL, true, 0},
	{"ON", YAML_K_BOOL, true, 0},
	{"n", YAML_K_BOOL, false, 0},
	{"N", YAML_K_BOOL, false, 0},
	{"no", YAML_K_BOOL, false, 0},
	{"No", YAML_K_BOOL, false, 0},
	{"NO", YAML_K_BOOL, false, 0},
	{"false", YAML_K_BOOL, false, 0},
	{"False", YAML_K_BOOL, false, 0},
	{"FALSE", YAML_K_BOOL, false, 0},
	{"off", YAML_K_BOOL, false, 0},
	{"Off", YAML_K_BOOL, false, 0},
	{"OFF", YAML_K_BOOL, false, 0},
	{".nan", YAML_K_FLOAT, false, NAN},
	{".NaN", YAML_K_FLOAT, false, NAN},
	{".NAN", YAML_K_FLOAT, false, NAN},
	{".inf", YAML_K_FLOAT, false, INFINITY},
	{".Inf", YAML_K_FLOAT, false, INFINITY},
	{".INF", YAML_K_FLOAT, false, INFINITY},
	{"+.inf", YAML_K_FLOAT, false, INFINITY},
	{"+.Inf", YAML_K_FLOAT, false, INFINITY},
	{"+.INF", YAML_K_FLOAT, false, INFINITY},
	{"-.inf", YAML_K_FLOAT, false, -INFINITY},
	{"-.Inf", YAML_K_FLOAT, false, -INFINITY},
	{"-.INF", YAML_K_FLOAT, false, -INFINITY},
	{"<<", YAML_K_MERGE, false, 0},
};

static bool yaml_is_word(struct str s, struct yaml_value *v)
{
	for (size_t i = 0; s.n <= 5 && i < ARRAY_SIZE(yaml_words); i++) {
		if (yaml_words[i].text[0] != (s.n ? *s.p : '\0') || !str_eqc(s, yaml_words[i].text))
			continue;
		v->kind = yaml_words[i].kind;
		v->b = yaml_words[i].b;
		v->f = yaml_words[i].f;
		return true;
	}
	return false;
}

/* One number of a date: up to max digits, within [low, high]. */
static bool yaml_date_part(struct str *s, int max, int low, int high, int *ret)
{
	int n = 0;

	*ret = 0;
	while (n < max && (size_t)n < s->n && isdigit((unsigned char)s->p[n]))
		*ret = *ret * 10 + (s->p[n++] - '0');
	*s = str_sub(*s, (size_t)n, s->n);
	return n > 0 && *ret >= low && *ret <= high;
}

static bool yaml_date_char(struct str *s, const char *set, char *ret)
{
	if (s->n == 0 || !*s->p || !strchr(set, *s->p))
		return false;
	*ret = *s->p;
	*s = str_sub(*s, 1, s->n);
	return true;
}

static bool yaml_is_clock(struct str s, bool zone)
{
	int v;
	char c;

	if (!yaml_date_part(&s, 2, 0, 23, &v) || !yaml_date_char(&s, ":", &c) ||
	    !yaml_date_part(&s, 2, 0, 59, &v) || !yaml_date_char(&s, ":", &c) ||
	    !yaml_date_part(&s, 2, 0, 59, &v))
		return false;
	if (yaml_date_char(&s, ".,", &c)) {
		if (s.n == 0 || !isdigit((unsigned char)*s.p))
			return false;
		while (s.n && isdigit((unsigned char)*s.p))
			s = str_sub(s, 1, s.n);
	}
	if (!zone)
		return s.n == 0;
	if (!yaml_date_char(&s, "Z+-", &c))
		return false;
	if (c == 'Z')
		return s.n == 0;
	return s.n == 5 && yaml_date_part(&s, 2, 0, 24, &v) && yaml_date_char(&s, ":", &c) &&
	       yaml_date_part(&s, 2, 0, 59, &v) && s.n == 0;
}

/* "2006-1-2", "2006-1-2T15:4:5.9Z", "2006-1-2t...", "2006-1-2 15:4:5". */
static bool yaml_is_time(struct str s)
{
	static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day;
	size_t n = s.n;
	char c;

	if (!yaml_date_part(&s, 4, 0, 9999, &year) || n - s.n != 4 || !yaml_date_char(&s, "-", &c) ||
	    !yaml_date_part(&s, 2, 1, 12, &month) || !yaml_date_char(&s, "-", &c) ||
	    !yaml_date_part(&s, 2, 1, days[month - 1], &day))
		return false;
	if (month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400)))
		return false;
	if (s.n == 0)
		return true;
	return yaml_date_char(&s, "Tt ", &c) && yaml_is_clock(s, c != ' ');
}

static int yaml_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

/* Go's ParseInt with base 0, then ParseUint. */
static bool yaml_is_int(struct str s, struct yaml_value *v)
{
	bool sign = s.n && (*s.p == '-' || *s.p == '+'), negative = sign && *s.p == '-';
	unsigned base = 10;
	uint64_t n = 0;

	if (sign)
		s = str_sub(s, 1, s.n);
	if (s.n > 1 && s.p[0] == '0') {
		char c = s.p[1] | 0x20;

		base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
		s = str_sub(s, c == 'x' || c == 'b' || c == 'o' ? 2 : 1, s.n);
	}
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)yaml_digit(s.p[i]);

		if (digit >= base || __builtin_mul_overflow(n, base, &n) ||
		    __builtin_add_overflow(n, digit, &n))
			return false;
	}
	if (n <= (uint64_t)INT64_MAX + negative) {
		v->kind = YAML_K_INT;
		v->i = negative ? (int64_t)(0 - n) : (int64_t)n;
		return true;
	}
	v->kind = YAML_K_BIG;
	v->big = n;
	return !sign;
}

static size_t yaml_digits(struct str s, size_t at)
{
	size_t n = 0;

	while (at + n < s.n && s.p[at + n] >= '0' && s.p[at + n] <= '9')
		n++;
	return n;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? within a double's range; s ends with a NUL. */
static bool yaml_is_float(struct str s, struct yaml_value *v)
{
	size_t i = s.n && (*s.p == '-' || *s.p == '+'), whole, part = 0, n;

	whole = yaml_digits(s, i);
	i += whole;
	if (i < s.n && s.p[i] == '.') {
		part = yaml_digits(s, i + 1);
		i += 1 + part;
	}
	if (!whole && !part)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		i += i < s.n && (s.p[i] == '-' || s.p[i] == '+');
		n = yaml_digits(s, i);
		if (!n)
			return false;
		i += n;
	}
	if (i != s.n)
		return false;
	v->f = strtod(s.p, NULL);
	v->kind = YAML_K_FLOAT;
	return isfinite(v->f);
}

void yaml_resolve(struct str s, struct yaml_value *v)
{
	_cleanup_buf_ struct buf plain = BUF_INIT;

	*v = (struct yaml_value){.kind = YAML_K_STR};
	if (yaml_is_word(s, v) || !(isdigit((unsigned char)*s.p) || strchr("+-.", *s.p)) || !*s.p)
		return;
	if (*s.p != '.' && yaml_is_time(s)) {
		v->kind = YAML_K_TIME;
		return;
	}
	for (size_t i = 0; i < s.n; i++) {
		/* Behind a leading point only between digits. */
		bool between = i > 0 && isdigit((unsigned char)s.p[i - 1]) && i + 1 < s.n &&
			       isdigit((unsigned char)s.p[i + 1]);

		if (s.p[i] != '_' || (*s.p == '.' && !between))
			buf_addch(&plain, s.p[i]);
	}
	if (*s.p != '.' && yaml_is_int(buf_str(&plain), v))
		return;
	if (!yaml_is_float(buf_str(&plain), v))
		v->kind = YAML_K_STR;
}
