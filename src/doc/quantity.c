/*
 * Quantities (resource.Quantity): "100m", "1.5Gi", "12e6".
 *
 * A value is counted in nano units in 128 bits, which is exact for all that
 * Kubernetes keeps (finer parts are rounded up to a nano, as there). Binary
 * quantities are capped at 2^63-1 when parsed, as in Kubernetes; decimal ones
 * only where 128 bits end (about 1.7e29, far beyond any int64 that is asked for).
 *
 * As in Kubernetes a number may lack its digits: "." and "m" are 0.
 *
 * The canonical form has no fraction and the largest suffix that keeps the value:
 * 1.5 -> 1500m, 0.5Gi -> 512Mi, 1000k -> 1M. A binary quantity below 1Ki or with
 * a fraction is printed as a decimal one.
 */
#include "doc/internal.h"

#define NANO 1000000000LL
#define QUANTITY_MAX ((__int128)(((unsigned __int128)1 << 127) - 1))

static const struct quantity_suffix {
	const char text[3];
	char format;
	int exponent; /* of 10, or of 2 */
} quantity_suffixes[] = {
	{"n", 'd', -9},	 {"u", 'd', -6},  {"m", 'd', -3},  {"", 'd', 0},    {"k", 'd', 3},   {"M", 'd', 6},
	{"G", 'd', 9},	 {"T", 'd', 12},  {"P", 'd', 15},  {"E", 'd', 18},  {"Ki", 'b', 10}, {"Mi", 'b', 20},
	{"Gi", 'b', 30}, {"Ti", 'b', 40}, {"Pi", 'b', 50}, {"Ei", 'b', 60},
};

/* "e3", "E-6", or one of the table. */
static bool quantity_read_suffix(struct str s, char *format, int64_t *exponent)
{
	for (size_t i = 0; i < ARRAY_SIZE(quantity_suffixes); i++) {
		if (str_eqc(s, quantity_suffixes[i].text)) {
			*format = quantity_suffixes[i].format;
			*exponent = quantity_suffixes[i].exponent;
			return true;
		}
	}
	if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
		return false;
	*format = 'e';
	s = str_sub(s, 1, s.n);
	if (s.p[0] == '+' && s.n > 1 && s.p[1] >= '0' && s.p[1] <= '9')
		s = str_sub(s, 1, s.n);
	return s.p[0] != '+' && str_to_i64(s, exponent);
}

static __int128 quantity_sum(__int128 a, __int128 b)
{
	__int128 r;

	if (__builtin_add_overflow(a, b, &r))
		return a < 0 ? -QUANTITY_MAX : QUANTITY_MAX;
	return r;
}

/* v * by, staying at the largest value. */
static __int128 quantity_mul(__int128 v, __int128 by)
{
	__int128 r;

	return __builtin_mul_overflow(v, by, &r) ? QUANTITY_MAX : r;
}

/* v * 10^exponent, rounded up. */
static __int128 quantity_scale10(__int128 v, int64_t exponent)
{
	if (v == 0)
		return 0;
	for (; exponent > 0 && v < QUANTITY_MAX; exponent--)
		v = quantity_mul(v, 10);
	for (; exponent < 0; exponent++) {
		/* Rounding up again and again is the same as once: only "is there a rest" counts. */
		v = v / 10 + (v % 10 != 0);
		if (v == 1 && exponent < -1)
			return 1;
	}
	return v;
}

/* The digits at p (with at most one point) as an integer; *places: digits behind the point. Digits
 * beyond what 128 bits hold are left out: *lost counts those before the point, *inexact tells of
 * any that was not 0. */
static const char *quantity_digits(const char *p, const char *end, __int128 *ret, int64_t *places,
				   int64_t *lost, bool *inexact)
{
	bool point = false, full = false;
	__int128 next = 0;

	*ret = 0;
	*places = *lost = 0;
	*inexact = false;
	for (; p < end; p++) {
		if (*p == '.' && !point) {
			point = true;
			continue;
		}
		if (*p < '0' || *p > '9')
			break;
		full = full || __builtin_mul_overflow(*ret, 10, &next) ||
		       __builtin_add_overflow(next, *p - '0', &next);
		if (full) {
			*inexact |= *p != '0';
			*lost += !point;
			continue;
		}
		*ret = next;
		*places += point;
	}
	return p;
}

/* mantissa * 2^shift * 10^-places in nano. */
static __int128 quantity_binary(__int128 v, int64_t shift, int64_t places)
{
	const __int128 cap = (__int128)INT64_MAX * NANO;

	/* Nine of the places are what nano needs anyway. Then 10^9 * 2^60 may not fit: what can be
	 * divided is divided first, and the rest of it kept by rounding up at the end only. */
	for (; places > 9 && v > QUANTITY_MAX >> 62; places--)
		v = v / 10 + (v % 10 != 0);
	v = quantity_mul(v, (__int128)1 << shift);
	if (v == QUANTITY_MAX)
		return cap;
	v = quantity_scale10(v, 9 - places);
	return v > cap ? cap : v;
}

bool quantity_parse(struct quantity *q, struct str s)
{
	const char *p = s.p, *end = s.p + s.n;
	bool negative = false, inexact;
	int64_t exponent, places, lost;
	__int128 v;

	if (s.n == 0)
		return false;
	if (*p == '+' || *p == '-')
		negative = *p++ == '-';
	p = quantity_digits(p, end, &v, &places, &lost, &inexact);
	if (!quantity_read_suffix(str_n(p, (size_t)(end - p)), &q->format, &exponent))
		return false;
	v = quantity_sum(v, inexact);
	if (q->format == 'b') {
		v = quantity_binary(quantity_scale10(v, lost), exponent, places);
		if (v > 0 && v < NANO)
			q->format = 'd';
	} else {
		if (exponent > 100000)
			exponent = 100000;
		if (exponent < -100000)
			exponent = -100000;
		v = quantity_scale10(v, exponent + lost - places + 9);
	}
	q->nano = negative ? -v : v;
	return true;
}

bool quantity_from_node(struct quantity *q, const struct node *n)
{
	switch (node_type(n)) {
	case DOC_INT:
		*q = (struct quantity){.nano = (__int128)n->u.i * NANO, .format = 'd'};
		return true;
	case DOC_FLOAT:
		return quantity_parse(q, str_n(n->u.s, n->len));
	case DOC_STRING:
		return quantity_parse(q, str_trim(node_str(n)));
	default:
		return false;
	}
}

static void quantity_print_int(struct buf *out, __int128 v)
{
	char tmp[48];
	size_t n = sizeof(tmp);
	unsigned __int128 u = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;

	do {
		tmp[--n] = (char)('0' + (int)(u % 10));
		u /= 10;
	} while (u);
	if (v < 0)
		tmp[--n] = '-';
	buf_add(out, tmp + n, sizeof(tmp) - n);
}

static void quantity_print_binary(__int128 v, struct buf *out)
{
	int power = 0;

	while (power < 6 && v % 1024 == 0) {
		v /= 1024;
		power++;
	}
	quantity_print_int(out, v);
	if (power) {
		buf_addch(out, "KMGTPE"[power - 1]);
		buf_addch(out, 'i');
	}
}

void quantity_print(const struct quantity *q, struct buf *out)
{
	__int128 v = q->nano;
	int exponent = -9;

	if (v == 0) {
		buf_addch(out, '0');
		return;
	}
	if (q->format == 'b' && v % NANO == 0 && (v / NANO >= 1024 || v / NANO <= -1024)) {
		quantity_print_binary(v / NANO, out);
		return;
	}
	while (v % 1000 == 0) {
		v /= 1000;
		exponent += 3;
	}
	quantity_print_int(out, v);
	if (q->format == 'e' || exponent > 18) {
		if (exponent)
			buf_addf(out, "e%d", exponent);
		return;
	}
	buf_adds(out, quantity_suffixes[exponent / 3 + 3].text);
}

static int64_t quantity_in(const struct quantity *q, int64_t unit)
{
	__int128 v = q->nano / unit;

	/* Up means away from zero, as Kubernetes' ScaledValue rounds. */
	if (q->nano % unit)
		v += q->nano > 0 ? 1 : -1;
	return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_value(const struct quantity *q)
{
	return quantity_in(q, NANO);
}

int64_t quantity_milli(const struct quantity *q)
{
	return quantity_in(q, NANO / 1000);
}

int quantity_cmp(const struct quantity *a, const struct quantity *b)
{
	return (a->nano > b->nano) - (a->nano < b->nano);
}

/* A zero takes over the other's format, so that sums that start at 0 print as their parts do. */
void quantity_add(struct quantity *a, const struct quantity *b)
{
	if (a->nano == 0)
		a->format = b->format;
	a->nano = quantity_sum(a->nano, b->nano);
}

void quantity_sub(struct quantity *a, const struct quantity *b)
{
	if (a->nano == 0)
		a->format = b->format;
	a->nano = quantity_sum(a->nano, b->nano == -QUANTITY_MAX - 1 ? QUANTITY_MAX : -b->nano);
}

void quantity_round_up(struct quantity *q, int64_t nano)
{
	__int128 rest = q->nano % nano;

	q->nano = quantity_sum(q->nano - rest, rest > 0 ? nano : 0);
}
