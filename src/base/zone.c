/*
 * Time zones (zone.h).
 *
 * A TZif file is a header with six counts and a block of 32 bit times; from version
 * 2 on that is followed by the same again with 64 bit times, and by a footer:
 *
 *	header	"TZif" version(1) 15 bytes, then counts of: UT flags, standard flags,
 *		leap seconds, transitions, types, bytes of abbreviations (32 bit each)
 *	block	times, a type's number for each, types (offset, is daylight, name),
 *		abbreviations, leap seconds, flags
 *	footer	newline, a rule in the form of POSIX's TZ, newline: what holds after the
 *		last transition, e.g. CET-1CEST,M3.5.0,M10.5.0/3
 *
 * Before the first transition the first type holds.
 */
#include "base/zone.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/path.h"
#include "base/time.h"

#define ZONE_DIRS { "/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/usr/lib/locale/TZ", "/etc/zoneinfo" }
#define ZONE_HEADER 44
#define ZONE_MAX_OFFSET (7 * DAY_S) /* nonsense beyond */

enum zone_day { ZONE_DAY_NO_LEAP /* Jn: 1 to 365, never 29 February */, ZONE_DAY_OF_YEAR, ZONE_DAY_OF_WEEK };

struct zone_change {
	int64_t at; /* from when on */
	int32_t offset;
};

struct zone_rule { /* a day of each year */
	enum zone_day kind;
	int day, week, month;
	int32_t time; /* seconds after its midnight */
};

struct zone {
	struct zone_change *changes;
	size_t n;
	int32_t first; /* before them */
	bool has_tail, has_daylight; /* what holds after the last of them */
	int32_t standard, daylight;
	struct zone_rule start, end; /* of daylight saving */
};

/* --- the footer --- */

static bool zone_take(struct str *s, char c)
{
	if (!s->n || s->p[0] != c)
		return false;
	*s = str_sub(*s, 1, s->n);
	return true;
}

static bool zone_number(struct str *s, int min, int max, int *ret)
{
	int n = 0, digits = 0;

	for (; s->n && s->p[0] >= '0' && s->p[0] <= '9' && digits < 4; digits++) {
		n = n * 10 + s->p[0] - '0';
		*s = str_sub(*s, 1, s->n);
	}
	*ret = n;
	return digits && n >= min && n <= max;
}

/* [+-]hours[:minutes[:seconds]] */
static bool zone_time(struct str *s, int32_t *ret)
{
	int h, m = 0, sec = 0, sign = 1;

	if (zone_take(s, '-'))
		sign = -1;
	else
		zone_take(s, '+');
	if (!zone_number(s, 0, 24 * 7, &h))
		return false;
	if (zone_take(s, ':')) {
		if (!zone_number(s, 0, 59, &m) || (zone_take(s, ':') && !zone_number(s, 0, 59, &sec)))
			return false;
	}
	*ret = sign * (h * 3600 + m * 60 + sec);
	return true;
}

static bool zone_abbreviation(struct str *s)
{
	size_t n = 0;

	if (zone_take(s, '<')) {
		ssize_t end = str_find(*s, '>');

		*s = str_sub(*s, end < 0 ? s->n : (size_t)end + 1, s->n);
		return end >= 0;
	}
	while (n < s->n && !strchr("0123456789,-+", s->p[n]))
		n++;
	*s = str_sub(*s, n, s->n);
	return n >= 3;
}

static bool zone_rule(struct str *s, struct zone_rule *r)
{
	bool ok;

	r->time = 2 * 3600;
	if (zone_take(s, 'J')) {
		r->kind = ZONE_DAY_NO_LEAP;
		ok = zone_number(s, 1, 365, &r->day);
	} else if (zone_take(s, 'M')) {
		r->kind = ZONE_DAY_OF_WEEK;
		ok = zone_number(s, 1, 12, &r->month) && zone_take(s, '.') && zone_number(s, 1, 5, &r->week) &&
		     zone_take(s, '.') && zone_number(s, 0, 6, &r->day);
	} else {
		r->kind = ZONE_DAY_OF_YEAR;
		ok = zone_number(s, 0, 365, &r->day);
	}
	return ok && (!zone_take(s, '/') || zone_time(s, &r->time));
}

/* Its offsets count westwards. */
static bool zone_tail(struct zone *z, struct str s)
{
	int32_t west;

	if (!zone_abbreviation(&s) || !zone_time(&s, &west))
		return false;
	z->standard = -west;
	z->daylight = z->standard + 3600;
	z->has_tail = true;
	if (!s.n)
		return true;
	if (!zone_abbreviation(&s))
		return false;
	if (s.n && s.p[0] != ',') {
		if (!zone_time(&s, &west))
			return false;
		z->daylight = -west;
	}
	if (!s.n)
		s = STR_LIT(",M3.2.0,M11.1.0"); /* what POSIX leaves open, everybody takes for this */
	z->has_daylight = zone_take(&s, ',') && zone_rule(&s, &z->start) && zone_take(&s, ',') && zone_rule(&s, &z->end);
	return z->has_daylight && !s.n;
}

static bool zone_is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Midnight, UTC, of a day; month 1 to 12, all may be out of range. */
static int64_t zone_midnight(int year, int month, int day)
{
	struct tm t = { .tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day };

	return timegm(&t);
}

/* When a rule comes in a year, in seconds of local time. */
static int64_t zone_rule_at(const struct zone_rule *r, int year)
{
	int64_t t;
	int first;

	switch (r->kind) {
	case ZONE_DAY_NO_LEAP:
		t = zone_midnight(year, 1, r->day + (r->day >= 60 && zone_is_leap(year)));
		break;
	case ZONE_DAY_OF_YEAR:
		t = zone_midnight(year, 1, 1 + r->day);
		break;
	default:
		t = zone_midnight(year, r->month, 1);
		first = (int)(((t / DAY_S + 4) % 7 + 7) % 7); /* its day of the week; 1 January 1970 was a Thursday */
		t += ((r->day - first + 7) % 7 + (r->week - 1) * 7) * DAY_S;
		if (t >= zone_midnight(year, r->month + 1, 1))
			t -= 7 * DAY_S;
	}
	return t + r->time;
}

static int32_t zone_tail_offset(const struct zone *z, int64_t unix_s)
{
	int64_t start, end;
	time_t local = unix_s + z->standard;
	struct tm t;

	if (!z->has_daylight || !gmtime_r(&local, &t))
		return z->standard;
	start = zone_rule_at(&z->start, t.tm_year + 1900) - z->standard;
	end = zone_rule_at(&z->end, t.tm_year + 1900) - z->daylight;
	if (start < end)
		return unix_s >= start && unix_s < end ? z->daylight : z->standard;
	return unix_s >= end && unix_s < start ? z->standard : z->daylight;
}

/* --- the file --- */

static uint32_t zone_be32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

struct zone_block {
	uint64_t flags, leaps, times, types, chars;
	size_t wide; /* bytes of a time */
	struct str body;
};

/* Takes a header and its block off *s. */
static bool zone_block(struct str *s, size_t wide, struct zone_block *b)
{
	uint64_t size;

	if (s->n < ZONE_HEADER || memcmp(s->p, "TZif", 4) != 0)
		return false;
	b->wide = wide;
	b->flags = (uint64_t)zone_be32(s->p + 20) + zone_be32(s->p + 24);
	b->leaps = zone_be32(s->p + 28);
	b->times = zone_be32(s->p + 32);
	b->types = zone_be32(s->p + 36);
	b->chars = zone_be32(s->p + 40);
	size = b->times * (wide + 1) + b->types * 6 + b->chars + b->leaps * (wide + 4) + b->flags;
	*s = str_sub(*s, ZONE_HEADER, s->n);
	if (size > s->n)
		return false;
	b->body = str_sub(*s, 0, size);
	*s = str_sub(*s, size, s->n);
	return true;
}

static int64_t zone_block_time(const struct zone_block *b, size_t i)
{
	const char *p = b->body.p + i * b->wide;

	if (b->wide == 4)
		return (int32_t)zone_be32(p);
	return (int64_t)((uint64_t)zone_be32(p) << 32 | zone_be32(p + 4));
}

static bool zone_read(struct zone *z, const struct zone_block *b)
{
	const char *numbers = b->body.p + b->times * b->wide, *types = numbers + b->times;

	if (b->types == 0)
		return false;
	for (size_t i = 0; i < b->types; i++) {
		int64_t offset = (int32_t)zone_be32(types + i * 6);

		if (offset > ZONE_MAX_OFFSET || offset < -ZONE_MAX_OFFSET)
			return false;
	}
	z->first = (int32_t)zone_be32(types);
	z->changes = xcalloc(b->times + 1, sizeof(*z->changes));
	for (size_t i = 0; i < b->times; i++) {
		unsigned type = (unsigned char)numbers[i];

		z->changes[i].at = zone_block_time(b, i);
		if (type >= b->types || (i && z->changes[i].at <= z->changes[i - 1].at))
			return false;
		z->changes[i].offset = (int32_t)zone_be32(types + type * 6);
	}
	z->n = b->times;
	return true;
}

static bool zone_footer(struct zone *z, struct str s)
{
	struct str rule;

	if (!zone_take(&s, '\n'))
		return true; /* none */
	rule = str_cut(&s, '\n');
	return !rule.n || zone_tail(z, rule);
}

int zone_parse(struct zone **ret, struct str tzif, struct err *e)
{
	_cleanup_zone_ struct zone *z = xcalloc(1, sizeof(*z));
	struct zone_block b;
	bool more = tzif.n > 4 && tzif.p[4] >= '2';

	if (!zone_block(&tzif, 4, &b) || (more && !zone_block(&tzif, 8, &b)) || !zone_read(z, &b) ||
	    (more && !zone_footer(z, tzif)))
		return err_set(e, ERR_UNKNOWN, "malformed time zone information");
	*ret = take_ptr(&z);
	return 0;
}

struct zone *zone_free(struct zone *z)
{
	if (z)
		free(z->changes);
	free(z);
	return NULL;
}

void zone_freep(struct zone **z)
{
	zone_free(*z);
}

/* --- finding it --- */

static int zone_load_file(struct zone **ret, const char *path, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (path_read(path, LIMIT_ZONE_BYTES, &b, e) < 0)
		return -e->code;
	return zone_parse(ret, buf_str(&b), e);
}

/* One that leads out of the directory of zones. */
static bool zone_is_stray(struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!name.p[i] || name.p[i] == '\\' || (name.p[i] == '.' && i + 1 < name.n && name.p[i + 1] == '.'))
			return true;
	return name.p[0] == '/';
}

int zone_load(struct zone **ret, struct str name, struct err *e)
{
	static const char *const dirs[] = ZONE_DIRS;

	*ret = NULL;
	if (name.n == 0 || str_eqc(name, "UTC"))
		return 0;
	if (zone_is_stray(name))
		return err_set(e, ERR_INVALID, "time: invalid location name");
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%" STR_FMT, dirs[i], STR_ARG(name));
		_cleanup_err_ struct err why = ERR_INIT;

		if (zone_load_file(ret, path, &why) == 0)
			return 0;
	}
	return err_set(e, ERR_INVALID, "unknown time zone %" STR_FMT, STR_ARG(name));
}

struct zone *zone_load_local(void)
{
	const char *tz = getenv("TZ");
	_cleanup_err_ struct err e = ERR_INIT;
	struct zone *z = NULL;
	int rc;

	if (tz && *tz == ':')
		tz++;
	if (!tz)
		rc = zone_load_file(&z, "/etc/localtime", &e);
	else if (*tz == '/')
		rc = zone_load_file(&z, tz, &e);
	else
		rc = zone_load(&z, str_of(tz), &e);
	return rc < 0 ? NULL : z;
}

/* --- asking it --- */

int32_t zone_offset(const struct zone *z, int64_t unix_s)
{
	size_t lo = 0, hi = z ? z->n : 0;

	if (!z)
		return 0;
	while (lo < hi) { /* the first change that is later */
		size_t mid = lo + (hi - lo) / 2;

		if (z->changes[mid].at <= unix_s)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == z->n && z->has_tail)
		return zone_tail_offset(z, unix_s);
	return lo ? z->changes[lo - 1].offset : z->first;
}

void zone_local(const struct zone *z, int64_t unix_s, struct tm *ret)
{
	time_t t = unix_s + zone_offset(z, unix_s);

	*ret = (struct tm){ 0 };
	gmtime_r(&t, ret);
}

int64_t zone_unix(const struct zone *z, const struct tm *local)
{
	struct tm t = *local;
	int64_t unix_s = timegm(&t);
	int32_t offset = zone_offset(z, unix_s);

	if (offset)
		offset = zone_offset(z, unix_s - offset);
	return unix_s - offset;
}

char *zone_fmt_rfc3339(char out[ZONE_RFC3339_LEN], const struct zone *z, int64_t unix_s)
{
	int32_t offset = zone_offset(z, unix_s), minutes = (offset < 0 ? -offset : offset) / 60;
	char utc[TIME_RFC3339_LEN];
	size_t n;

	time_fmt_rfc3339(utc, unix_s + offset);
	n = strcspn(utc, "Z");
	if (offset)
		snprintf(out, ZONE_RFC3339_LEN, "%.*s%c%02d:%02d", (int)n, utc, offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
	else
		snprintf(out, ZONE_RFC3339_LEN, "%s", utc);
	return out;
}
