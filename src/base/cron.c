/*
 * Schedules (cron.h). What is strange here is so in robfig/cron: a list may have
 * empty parts, "*-5" is "*", a search goes field by field and starts over when one
 * wraps around, and a day without a midnight makes the hours run on into the next.
 */
#include "base/cron.h"

#include <ctype.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/time.h"

#define CRON_STAR (1ULL << 63) /* a field was not restricted */
#define CRON_YEARS 5
#define CRON_STEPS 50000 /* more than any zone of this world takes in five years */

struct cron_column {
	uint64_t min, max;
	const char *names; /* three letters each, the first is min */
};

static const struct cron_column cron_columns[] = {
	{ 0, 59, "" }, { 0, 23, "" }, { 1, 31, "" }, { 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec" },
	{ 0, 6, "sunmontuewedthufrisat" },
};

static const struct {
	const char *name, *fields;
} cron_named[] = {
	{ "@yearly", "0 0 1 1 *" }, { "@annually", "0 0 1 1 *" }, { "@monthly", "0 0 1 * *" }, { "@weekly", "0 0 * * 0" },
	{ "@daily", "0 0 * * *" },  { "@midnight", "0 0 * * *" }, { "@hourly", "0 * * * *" },
};

/* --- reading --- */

static bool cron_is_number(struct str s)
{
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');

	if (i == s.n)
		return false;
	for (; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

static int cron_number(struct str s, const char *names, uint64_t first, uint64_t *ret, struct err *e)
{
	struct str digits = s.n && s.p[0] == '+' ? str_sub(s, 1, s.n) : s;
	int64_t n;

	for (size_t i = 0; s.n == 3 && names[i]; i += 3) {
		if (str_ieq(s, str_n(names + i, 3))) {
			*ret = first + i / 3;
			return 0;
		}
	}
	if (!cron_is_number(s) || !str_to_i64(digits, &n))
		return err_set(e, ERR_INVALID, "failed to parse int from %" STR_FMT ": strconv.Atoi: parsing \"%" STR_FMT "\": %s",
			       STR_ARG(s), STR_ARG(s), cron_is_number(s) ? "value out of range" : "invalid syntax");
	if (n < 0)
		return err_set(e, ERR_INVALID, "negative number (%lld) not allowed: %" STR_FMT, (long long)n, STR_ARG(s));
	*ret = (uint64_t)n;
	return 0;
}

static bool cron_is_star(struct str s)
{
	return str_eqc(s, "*") || str_eqc(s, "?");
}

/* "*", "5", "mon-fri" */
static int cron_range(struct str part, struct str range, const struct cron_column *col, uint64_t *from, uint64_t *to,
		      struct err *e)
{
	struct str tail = range, first = str_cut(&tail, '-');

	*from = col->min;
	*to = col->max;
	if (cron_is_star(first))
		return 0;
	if (cron_number(first, col->names, col->min, from, e) < 0)
		return -e->code;
	*to = *from;
	if (!tail.p)
		return 0;
	if (str_find(tail, '-') >= 0)
		return err_set(e, ERR_INVALID, "too many hyphens: %" STR_FMT, STR_ARG(part));
	return cron_number(tail, col->names, col->min, to, e);
}

static int cron_check(struct str part, const struct cron_column *col, uint64_t from, uint64_t to, uint64_t step,
		      struct err *e)
{
	unsigned long long a = from, b = to, min = col->min, max = col->max;

	if (a < min)
		return err_set(e, ERR_INVALID, "beginning of range (%llu) below minimum (%llu): %" STR_FMT, a, min,
			       STR_ARG(part));
	if (b > max)
		return err_set(e, ERR_INVALID, "end of range (%llu) above maximum (%llu): %" STR_FMT, b, max, STR_ARG(part));
	if (a > b)
		return err_set(e, ERR_INVALID, "beginning of range (%llu) beyond end of range (%llu): %" STR_FMT, a, b,
			       STR_ARG(part));
	if (!step)
		return err_set(e, ERR_INVALID, "step of range should be a positive number: %" STR_FMT, STR_ARG(part));
	return 0;
}

/* One of a field's comma-separated parts: a range, with "/2" behind. */
static int cron_part(struct str part, const struct cron_column *col, uint64_t *bits, struct err *e)
{
	struct str step_text = part, range = str_cut(&step_text, '/');
	bool star = cron_is_star(str_sub(range, 0, str_find(range, '-') < 0 ? range.n : (size_t)str_find(range, '-')));
	uint64_t from, to, step = 1;

	if (cron_range(part, range, col, &from, &to, e) < 0)
		return -e->code;
	if (step_text.p) {
		if (str_find(step_text, '/') >= 0)
			return err_set(e, ERR_INVALID, "too many slashes: %" STR_FMT, STR_ARG(part));
		if (cron_number(step_text, "", 0, &step, e) < 0)
			return -e->code;
		if (str_find(range, '-') < 0)
			to = col->max;
	}
	if (cron_check(part, col, from, to, step, e) < 0)
		return -e->code;
	for (uint64_t i = from; i <= to; i += step)
		*bits |= 1ULL << i;
	if (star && step == 1)
		*bits |= CRON_STAR;
	return 0;
}

static int cron_field(struct str field, const struct cron_column *col, uint64_t *bits, struct err *e)
{
	for (struct str rest = field; rest.p;) {
		struct str part = str_cut(&rest, ',');

		if (part.n && cron_part(part, col, bits, e) < 0)
			return -e->code;
	}
	return 0;
}

/* Takes the next word off *s; n = 0: there is none. */
static struct str cron_word(struct str *s)
{
	size_t from = 0, to;

	while (from < s->n && isspace((unsigned char)s->p[from]))
		from++;
	for (to = from; to < s->n && !isspace((unsigned char)s->p[to]);)
		to++;
	*s = (struct str){ s->p + to, s->n - to };
	return (struct str){ s->p - (to - from), to - from };
}

static int cron_fields(struct cron *c, struct str s, struct err *e)
{
	uint64_t *const bits[] = { &c->minutes, &c->hours, &c->days, &c->months, &c->weekdays };
	_cleanup_buf_ struct buf all = BUF_INIT;
	struct str fields[ARRAY_SIZE(bits)], word;
	size_t n = 0;

	while ((word = cron_word(&s)).n) {
		if (n < ARRAY_SIZE(fields))
			fields[n] = word;
		buf_addf(&all, "%s%" STR_FMT, n++ ? " " : "", STR_ARG(word));
	}
	if (n != ARRAY_SIZE(fields))
		return err_set(e, ERR_INVALID, "expected exactly %zu fields, found %zu: [%s]", ARRAY_SIZE(fields), n, all.s);
	for (size_t i = 0; i < n; i++)
		if (cron_field(fields[i], &cron_columns[i], bits[i], e) < 0)
			return -e->code;
	return 0;
}

/* What Go's time.ParseDuration says of a text that is none. */
static int cron_bad_duration(struct str all, struct str s, struct err *e)
{
	struct str rest = s.n && (s.p[0] == '-' || s.p[0] == '+') ? str_sub(s, 1, s.n) : s;
	size_t digits = 0, unit;

	while (rest.n) {
		size_t i = 0;

		for (digits = 0; i < rest.n && (isdigit((unsigned char)rest.p[i]) || rest.p[i] == '.'); i++)
			digits += rest.p[i] != '.';
		for (unit = i; unit < rest.n && rest.p[unit] != '.' && !isdigit((unsigned char)rest.p[unit]);)
			unit++;
		if (digits && unit == i)
			return err_set(e, ERR_INVALID, "failed to parse duration %" STR_FMT ": time: missing unit in duration \"%"
				       STR_FMT "\"", STR_ARG(all), STR_ARG(s));
		if (digits && !str_eqc(str_sub(rest, i, unit), "h") && !str_eqc(str_sub(rest, i, unit), "m") &&
		    !str_ends(str_sub(rest, i, unit), STR_LIT("s")))
			return err_set(e, ERR_INVALID, "failed to parse duration %" STR_FMT ": time: unknown unit \"%" STR_FMT
				       "\" in duration \"%" STR_FMT "\"", STR_ARG(all), STR_ARG(str_sub(rest, i, unit)), STR_ARG(s));
		if (!digits)
			break;
		rest = str_sub(rest, unit, rest.n);
	}
	return err_set(e, ERR_INVALID, "failed to parse duration %" STR_FMT ": time: invalid duration \"%" STR_FMT "\"",
		       STR_ARG(all), STR_ARG(s));
}

static int cron_descriptor(struct cron *c, struct str s, struct err *e)
{
	struct str every = STR_LIT("@every "), duration = str_sub(s, every.n, s.n);
	int64_t ns;

	for (size_t i = 0; i < ARRAY_SIZE(cron_named); i++)
		if (str_eqc(s, cron_named[i].name))
			return cron_fields(c, str_of(cron_named[i].fields), e);
	if (!str_starts(s, every))
		return err_set(e, ERR_INVALID, "unrecognized descriptor: %" STR_FMT, STR_ARG(s));
	if (!time_parse_go_duration(duration, &ns))
		return cron_bad_duration(s, duration, e);
	c->every_s = ns < SEC_NS ? 1 : ns / SEC_NS;
	return 0;
}

/* "TZ=Europe/Berlin " or "CRON_TZ=..." in front: taken off *s. */
static int cron_prefix(struct cron *c, struct str *s, struct err *e)
{
	struct str rest = *s, name;

	if (!str_starts(*s, STR_LIT("TZ=")) && !str_starts(*s, STR_LIT("CRON_TZ=")))
		return 0;
	str_cut(&rest, '=');
	name = str_cut(&rest, ' ');
	*s = str_trim(rest.p ? rest : STR_LIT(""));
	c->has_zone = true;
	if (str_eqc(name, "Local"))
		c->zone = zone_load_local();
	else if (zone_load(&c->zone, name, e) < 0)
		return err_wrap(e, "provided bad location %" STR_FMT, STR_ARG(name));
	return 0;
}

int cron_parse(struct cron *c, struct str text, struct err *e)
{
	_cleanup_cron_ struct cron made = { 0 };

	if (text.n == 0)
		return err_set(e, ERR_INVALID, "empty spec string");
	if (text.n > LIMIT_SCHEDULE_BYTES)
		return err_set(e, ERR_INVALID, "longer than %u bytes", LIMIT_SCHEDULE_BYTES);
	if (cron_prefix(&made, &text, e) < 0)
		return -e->code;
	if ((text.n && text.p[0] == '@' ? cron_descriptor : cron_fields)(&made, text, e) < 0)
		return -e->code;
	*c = made;
	made.zone = NULL;
	return 0;
}

void cron_release(struct cron *c)
{
	c->zone = zone_free(c->zone);
}

/* --- searching --- */

struct cron_search {
	const struct cron *c;
	const struct zone *z;
	int64_t at;
	struct tm tm; /* the same on the wall */
	bool moved; /* what is smaller than the field that is looked at begins anew already */
	int left; /* steps */
};

static void cron_go(struct cron_search *s, int64_t at)
{
	s->left--;
	s->at = at;
	zone_local(s->z, at, &s->tm);
}

/* To a time of the wall; fields may be out of range. */
static void cron_go_to(struct cron_search *s, int month, int day, int hour)
{
	struct tm t = { .tm_year = s->tm.tm_year, .tm_mon = month, .tm_mday = day, .tm_hour = hour };

	cron_go(s, zone_unix(s->z, &t));
}

/* To another day at the same time. */
static void cron_add_date(struct cron_search *s, int months, int days)
{
	int64_t before = s->at;
	struct tm t = s->tm;

	t.tm_mon += months;
	t.tm_mday += days;
	cron_go(s, zone_unix(s->z, &t));
	if (s->at <= before) /* a zone that left out a whole day */
		cron_go(s, before + DAY_S);
}

static bool cron_day_matches(const struct cron_search *s)
{
	bool day = s->c->days >> s->tm.tm_mday & 1, weekday = s->c->weekdays >> s->tm.tm_wday & 1;

	return (s->c->days | s->c->weekdays) & CRON_STAR ? day && weekday : day || weekday;
}

/* Each of these goes on until its field matches; false: it wrapped around, all must be looked at again. */
static bool cron_month(struct cron_search *s)
{
	while (!(s->c->months >> (s->tm.tm_mon + 1) & 1) && s->left > 0) {
		if (!s->moved)
			cron_go_to(s, s->tm.tm_mon, 1, 0);
		s->moved = true;
		cron_add_date(s, 1, 0);
		if (s->tm.tm_mon == 0)
			return false;
	}
	return true;
}

static bool cron_day(struct cron_search *s)
{
	while (!cron_day_matches(s) && s->left > 0) {
		if (!s->moved)
			cron_go_to(s, s->tm.tm_mon, s->tm.tm_mday, 0);
		s->moved = true;
		cron_add_date(s, 0, 1);
		if (s->tm.tm_hour > 12) /* the day has no midnight, or two */
			cron_go(s, s->at + (24 - s->tm.tm_hour) * 3600);
		else if (s->tm.tm_hour)
			cron_go(s, s->at - s->tm.tm_hour * 3600);
		if (s->tm.tm_mday == 1)
			return false;
	}
	return true;
}

static bool cron_hour(struct cron_search *s)
{
	while (!(s->c->hours >> s->tm.tm_hour & 1) && s->left > 0) {
		if (!s->moved)
			cron_go_to(s, s->tm.tm_mon, s->tm.tm_mday, s->tm.tm_hour);
		s->moved = true;
		cron_go(s, s->at + 3600);
		if (s->tm.tm_hour == 0)
			return false;
	}
	return true;
}

static int64_t cron_floor(int64_t t, int64_t by)
{
	return t - ((t % by) + by) % by;
}

static bool cron_minute(struct cron_search *s)
{
	while (!(s->c->minutes >> s->tm.tm_min & 1) && s->left > 0) {
		if (!s->moved)
			cron_go(s, cron_floor(s->at, 60));
		s->moved = true;
		cron_go(s, s->at + 60);
		if (s->tm.tm_min == 0)
			return false;
	}
	return true;
}

static bool cron_second(struct cron_search *s)
{
	while (s->tm.tm_sec != 0 && s->left > 0) {
		s->moved = true;
		cron_go(s, s->at + 1);
		if (s->tm.tm_sec == 0)
			return false;
	}
	return true;
}

int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_s)
{
	struct cron_search s = { .c = c, .z = c->has_zone ? c->zone : z, .left = CRON_STEPS };
	int last_year;

	if (c->every_s)
		return after_s + c->every_s;
	if (!c->minutes || !c->hours || !c->months)
		return CRON_NEVER; /* a field of nothing but commas */
	cron_go(&s, after_s + 1);
	last_year = s.tm.tm_year + CRON_YEARS;
	while (s.left > 0 && s.tm.tm_year <= last_year)
		if (cron_month(&s) && cron_day(&s) && cron_hour(&s) && cron_minute(&s) && cron_second(&s))
			return s.left > 0 ? s.at : CRON_NEVER;
	return CRON_NEVER;
}
