/*
 * Clocks, and the texts of time that the API knows. Dates are computed here
 * (Howard Hinnant's days-from-civil) because the C library's functions read the
 * time zone's files and take locks.
 */
#include "base/time.h"

#include <stdio.h>
#include <time.h>

/* Set by tests alone, before anything runs. */
static struct time_clock *time_other;

void time_take_over(struct time_clock *c)
{
	time_other = c;
}

static int64_t time_read_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * SEC_NS + ts.tv_nsec;
}

static int64_t time_read_mono_us(void)
{
	return time_other ? time_other->mono_us : time_read_ns(CLOCK_MONOTONIC) / 1000;
}

/* No two readings of a real clock are the same, and names are made of that. */
static int64_t time_read_wall_ns(void)
{
	return time_other ? time_other->wall_ns++ : time_read_ns(CLOCK_REALTIME);
}

int64_t time_mono_ms(void)
{
	return time_read_mono_us() / 1000;
}

int64_t time_mono_us(void)
{
	return time_read_mono_us();
}

int64_t time_wall_s(void)
{
	return time_read_wall_ns() / SEC_NS;
}

int64_t time_wall_us(void)
{
	return time_read_wall_ns() / 1000;
}

int64_t time_wall_ns(void)
{
	return time_read_wall_ns();
}

static int64_t time_days_from_civil(int64_t y, int m, int d)
{
	int64_t era;
	int yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (int)(y - era * 400);
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static void time_civil_from_days(int64_t z, int *ret_y, int *ret_m, int *ret_d)
{
	int64_t era;
	int doe, yoe, doy, mp;

	z += 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = (int)(z - era * 146097);
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*ret_d = doy - (153 * mp + 2) / 5 + 1;
	*ret_m = mp + (mp < 10 ? 3 : -9);
	*ret_y = (int)(yoe + era * 400) + (*ret_m <= 2);
}

static char *time_put(char *q, unsigned v, int digits, char behind)
{
	for (int i = digits - 1; i >= 0; i--, v /= 10)
		q[i] = '0' + v % 10;
	q[digits] = behind;
	return q + digits + 1;
}

/* "2006-01-02T15:04:05" and one character. Years outside 0..9999 are clamped: they have no such text. */
static char *time_put_seconds(char *q, int64_t unix_s, char behind)
{
	int y, m, d, rest;
	int64_t days;

	if (unix_s < -62167219200)
		unix_s = -62167219200;
	if (unix_s > 253402300799)
		unix_s = 253402300799;
	days = unix_s / 86400 - (unix_s % 86400 < 0);
	rest = (int)(unix_s - days * 86400);
	time_civil_from_days(days, &y, &m, &d);
	q = time_put(q, y, 4, '-');
	q = time_put(q, m, 2, '-');
	q = time_put(q, d, 2, 'T');
	q = time_put(q, rest / 3600, 2, ':');
	q = time_put(q, rest / 60 % 60, 2, ':');
	return time_put(q, rest % 60, 2, behind);
}

/* Divides downwards, so that the fraction is never negative. */
static int64_t time_split(int64_t v, int64_t unit, unsigned *ret_fraction)
{
	int64_t s = v / unit - (v % unit < 0);

	*ret_fraction = (unsigned)(v - s * unit);
	return s;
}

char *time_fmt_rfc3339(char out[TIME_RFC3339_LEN], int64_t unix_s)
{
	*time_put_seconds(out, unix_s, 'Z') = '\0';
	return out;
}

char *time_fmt_http(char out[TIME_HTTP_LEN], int64_t unix_s)
{
	time_t t = (time_t)unix_s;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, TIME_HTTP_LEN, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	return out;
}

char *time_fmt_micro(char out[TIME_MICRO_LEN], int64_t unix_us)
{
	unsigned fraction;
	int64_t s = time_split(unix_us, SEC_US, &fraction);

	*time_put(time_put_seconds(out, s, '.'), fraction, 6, 'Z') = '\0';
	return out;
}

char *time_fmt_nano(char out[TIME_NANO_LEN], int64_t unix_ns)
{
	unsigned fraction;
	int64_t s = time_split(unix_ns, SEC_NS, &fraction);

	*time_put(time_put_seconds(out, s, '.'), fraction, 9, 'Z') = '\0';
	return out;
}

/* Exactly n digits, then `behind` unless that is NUL. */
static bool time_get(struct str *s, int n, char behind, int *ret)
{
	int v = 0;

	if (s->n < (size_t)n + (behind != '\0'))
		return false;
	for (int i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	if (behind && s->p[n] != behind)
		return false;
	*s = str_sub(*s, n + (behind != '\0'), s->n);
	*ret = v;
	return true;
}

static int time_month_days(int y, int m)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

static bool time_get_fraction(struct str *s, int64_t *ret_ns)
{
	int64_t unit = SEC_NS / 10, ns = 0;
	size_t i = 1;

	*ret_ns = 0;
	if (!s->n || s->p[0] != '.')
		return true;
	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++, unit /= 10)
		ns += (s->p[i] - '0') * unit; /* from the tenth digit on unit is 0 */
	*s = str_sub(*s, i, s->n);
	*ret_ns = ns;
	return i > 1;
}

static bool time_get_offset(struct str s, int *ret_s)
{
	bool west;
	int h, m;

	*ret_s = 0;
	if (str_eq(s, STR_LIT("Z")))
		return true;
	if (!s.n || (s.p[0] != '+' && s.p[0] != '-'))
		return false;
	west = s.p[0] == '-';
	s = str_sub(s, 1, s.n);
	if (!time_get(&s, 2, ':', &h) || !time_get(&s, 2, '\0', &m) || s.n || h > 23 || m > 59)
		return false;
	*ret_s = (h * 60 + m) * (west ? -60 : 60);
	return true;
}

bool time_parse_rfc3339(struct str s, int64_t *ret_unix_ns)
{
	int y, mo, d, h, mi, sec, offset;
	int64_t ns, unix_s;

	if (!time_get(&s, 4, '-', &y) || !time_get(&s, 2, '-', &mo) || !time_get(&s, 2, 'T', &d) ||
	    !time_get(&s, 2, ':', &h) || !time_get(&s, 2, ':', &mi) || !time_get(&s, 2, '\0', &sec))
		return false;
	if (mo < 1 || mo > 12 || d < 1 || d > time_month_days(y, mo) || h > 23 || mi > 59 || sec > 59)
		return false;
	if (!time_get_fraction(&s, &ns) || !time_get_offset(s, &offset))
		return false;
	unix_s = time_days_from_civil(y, mo, d) * 86400 + h * 3600 + mi * 60 + sec - offset;
	/* Go's zero time (year 1) and other far dates are well formed, but no int64 of nanoseconds. */
	if (__builtin_mul_overflow(unix_s, SEC_NS, ret_unix_ns) ||
	    __builtin_add_overflow(*ret_unix_ns, ns, ret_unix_ns))
		*ret_unix_ns = unix_s < 0 ? INT64_MIN : INT64_MAX;
	return true;
}

static void time_human_pair(char out[32], int64_t big, char big_unit, int64_t small, char small_unit)
{
	if (small)
		snprintf(out, 32, "%lld%c%lld%c", (long long)big, big_unit, (long long)small, small_unit);
	else
		snprintf(out, 32, "%lld%c", (long long)big, big_unit);
}

/* The steps are k8s.io/apimachinery's: what kubectl shows as AGE. */
void time_fmt_human(char out[32], int64_t seconds)
{
	int64_t minutes = seconds / 60, hours = seconds / 3600, days = hours / 24;

	if (seconds < -1)
		snprintf(out, 32, "<invalid>");
	else if (seconds < 0)
		snprintf(out, 32, "0s");
	else if (seconds < 120)
		time_human_pair(out, seconds, 's', 0, 0);
	else if (minutes < 10)
		time_human_pair(out, minutes, 'm', seconds % 60, 's');
	else if (minutes < 180)
		time_human_pair(out, minutes, 'm', 0, 0);
	else if (hours < 8)
		time_human_pair(out, hours, 'h', minutes % 60, 'm');
	else if (hours < 48)
		time_human_pair(out, hours, 'h', 0, 0);
	else if (hours < 24 * 8)
		time_human_pair(out, days, 'd', hours % 24, 'h');
	else if (hours < 24 * 365 * 2)
		time_human_pair(out, days, 'd', 0, 0);
	else if (hours < 24 * 365 * 8)
		time_human_pair(out, days / 365, 'y', days % 365, 'd');
	else
		time_human_pair(out, days / 365, 'y', 0, 0);
}

static const struct time_unit {
	const char *name;
	int64_t ns;
} time_units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "\xc2\xb5s", 1000 }, /* micro sign */
	{ "\xce\xbcs", 1000 }, /* Greek mu */
	{ "ms", 1000000 },
	{ "s", SEC_NS },
	{ "m", 60 * SEC_NS },
	{ "h", 3600 * SEC_NS },
};

/* Cuts the unit's letters off *s: all up to the next digit or point. */
static int64_t time_get_unit(struct str *s)
{
	size_t n = 0;
	struct str name;

	while (n < s->n && s->p[n] != '.' && (s->p[n] < '0' || s->p[n] > '9'))
		n++;
	name = str_sub(*s, 0, n);
	*s = str_sub(*s, n, s->n);
	for (size_t i = 0; i < ARRAY_SIZE(time_units); i++) {
		if (str_eqc(name, time_units[i].name))
			return time_units[i].ns;
	}
	return 0;
}

/* One "1.5h". Collects the total as a negative number: its range is the wider one. */
static bool time_get_duration_part(struct str *s, int64_t *total)
{
	int64_t whole = 0, fraction = 0, scale = 1, unit;
	size_t i = 0, digits = 0;

	for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++, digits++) {
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_sub_overflow(whole, s->p[i] - '0', &whole))
			return false;
	}
	if (i < s->n && s->p[i] == '.') {
		for (i++; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++, digits++) {
			/* Digits beyond a nanosecond of the largest unit do not count. */
			if (scale < 100000000000000ll) {
				fraction = fraction * 10 + (s->p[i] - '0');
				scale *= 10;
			}
		}
	}
	*s = str_sub(*s, i, s->n);
	unit = digits ? time_get_unit(s) : 0;
	if (!unit || __builtin_mul_overflow(whole, unit, &whole) ||
	    __builtin_sub_overflow(whole, (int64_t)((__int128)fraction * unit / scale), &whole))
		return false;
	return !__builtin_add_overflow(*total, whole, total);
}

bool time_parse_go_duration(struct str s, int64_t *ret_ns)
{
	int64_t total = 0;
	bool neg = false;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
		neg = s.p[0] == '-';
		s = str_sub(s, 1, s.n);
	}
	if (s.n == 0)
		return false;
	if (!str_eq(s, STR_LIT("0"))) {
		while (s.n) {
			if (!time_get_duration_part(&s, &total))
				return false;
		}
	}
	if (!neg && total == INT64_MIN)
		return false;
	*ret_ns = neg ? total : -total;
	return true;
}
