/*
 * Schedules: what they are, what is wrong with others, and when they come, in zones
 * whose clocks change; how many runs were missed; zone files, good and bad. Zones are
 * made here, so that nothing depends on the host's; where it has some, each is
 * compared with what the C library makes of it.
 */
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/path.h"
#include "base/time.h"
#include "ctl/cronjob.h"

/* --- zones --- */

struct change {
	int64_t at;
	int32_t offset;
};

static void put32(struct buf *b, uint32_t n)
{
	char bytes[] = { (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };

	buf_add(b, bytes, sizeof(bytes));
}

/* A file of these changes (each with a type of its own, and one before them), and a rule for what comes after. */
static void tzif(struct buf *b, int32_t first, const struct change *c, size_t n, const char *rule)
{
	for (int wide = 0; wide < 2; wide++) {
		uint32_t counts[] = { 0, 0, 0, wide ? (uint32_t)n : 0, wide ? (uint32_t)n + 1 : 1, 4 };

		buf_adds(b, "TZif2");
		buf_add(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 15);
		for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
			put32(b, counts[i]);
		for (size_t i = 0; wide && i < n; i++) {
			put32(b, (uint32_t)((uint64_t)c[i].at >> 32));
			put32(b, (uint32_t)c[i].at);
		}
		for (size_t i = 0; wide && i < n; i++)
			buf_addf(b, "%c", (char)(i + 1));
		for (size_t i = 0; i < (wide ? n + 1 : 1); i++) {
			put32(b, (uint32_t)(i ? c[i - 1].offset : first));
			buf_add(b, "\0\0", 2);
		}
		buf_add(b, "abc\0", 4);
	}
	buf_addf(b, "\n%s\n", rule);
}

static struct zone *zone_of(int32_t first, const struct change *c, size_t n, const char *rule)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct zone *z = NULL;

	tzif(&b, first, c, n, rule);
	if (zone_parse(&z, buf_str(&b), &e) < 0)
		printf("# %s: %s\n", rule, err_msg(&e));
	return z;
}

static int64_t at(const char *rfc3339)
{
	int64_t ns;

	BUG_ON(!time_parse_rfc3339(str_of(rfc3339), &ns));
	return ns / SEC_NS;
}

static const struct {
	const char *rule, *when, *want;
} rules[] = {
	{ "EST5EDT,M3.2.0,M11.1.0", "2026-03-08T06:59:59Z", "2026-03-08T01:59:59-05:00" },
	{ "EST5EDT,M3.2.0,M11.1.0", "2026-03-08T07:00:00Z", "2026-03-08T03:00:00-04:00" },
	{ "EST5EDT,M3.2.0,M11.1.0", "2026-11-01T05:59:59Z", "2026-11-01T01:59:59-04:00" },
	{ "EST5EDT,M3.2.0,M11.1.0", "2026-11-01T06:00:00Z", "2026-11-01T01:00:00-05:00" },
	{ "CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00" },
	{ "CET-1CEST,M3.5.0,M10.5.0/3", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00+01:00" },
	{ "NZST-12NZDT,M9.5.0,M4.1.0/3", "2026-01-01T00:00:00Z", "2026-01-01T13:00:00+13:00" },
	{ "NZST-12NZDT,M9.5.0,M4.1.0/3", "2026-07-01T00:00:00Z", "2026-07-01T12:00:00+12:00" },
	{ "<+0545>-5:45", "2026-07-01T00:00:00Z", "2026-07-01T05:45:00+05:45" },
	{ "<-03>3<-02>,M3.5.0/-1,M10.5.0/0", "2026-03-29T00:59:59Z", "2026-03-28T21:59:59-03:00" },
	{ "<-03>3<-02>,M3.5.0/-1,M10.5.0/0", "2026-03-29T02:00:00Z", "2026-03-29T00:00:00-02:00" },
	{ "IST-1GMT0,M10.5.0,M3.5.0/1", "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z" },
	{ "IST-1GMT0,M10.5.0,M3.5.0/1", "2026-06-01T00:00:00Z", "2026-06-01T01:00:00+01:00" },
	{ "AAA0BBB,J60/0,J300/0", "2028-02-29T12:00:00Z", "2028-02-29T12:00:00Z" },
	{ "AAA0BBB,J60/0,J300/0", "2028-03-01T00:00:00Z", "2028-03-01T01:00:00+01:00" },
	{ "AAA0BBB,59/0,300/0", "2028-02-29T00:00:00Z", "2028-02-29T01:00:00+01:00" },
	{ "AAA0BBB", "2026-07-01T00:00:00Z", "2026-07-01T01:00:00+01:00" },
	{ "UTC0", "2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z" },
};

static const char *const bad_rules[] = {
	"X5", "EST", "EST5EDT,M3.2.0", "EST5EDT,M13.2.0,M11.1.0", "EST5EDT,M3.6.0,M11.1.0", "EST5EDT,M3.2.7,M11.1.0",
	"EST5EDT,J0,J300", "EST5EDT,J1,J366", "EST5EDT,M3.2.0,M11.1.0x", "EST999", "<EST5", "EST5:99", "EST5EDT,,",
};

static void test_rules(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		_cleanup_zone_ struct zone *z = zone_of(0, NULL, 0, rules[i].rule);
		char got[ZONE_RFC3339_LEN];

		is_str(zone_fmt_rfc3339(got, z, at(rules[i].when)), rules[i].want, rules[i].rule);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad_rules); i++) {
		_cleanup_zone_ struct zone *z = zone_of(0, NULL, 0, bad_rules[i]);

		ok(!z, bad_rules[i]);
	}
}

static void test_changes(void)
{
	static const struct change c[] = { { -1000, 3600 }, { 1000, -7200 }, { 5000, 0 } };
	_cleanup_zone_ struct zone *z = zone_of(99, c, ARRAY_SIZE(c), ""), *tail = zone_of(99, c, ARRAY_SIZE(c), "AAA-3");
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct zone *none = NULL;

	is_int(zone_offset(z, -5000), 99, "before the first change");
	is_int(zone_offset(z, -1001), 99, "just before it");
	is_int(zone_offset(z, -1000), 3600, "at it");
	is_int(zone_offset(z, 999), 3600, "before the second");
	is_int(zone_offset(z, 1000), -7200, "at the second");
	is_int(zone_offset(z, 1LL << 40), 0, "for ever after");
	is_int(zone_offset(tail, 4999), -7200, "before the rule holds");
	is_int(zone_offset(tail, 5000), 3 * 3600, "the rule holds from the last change on");
	is_int(zone_offset(NULL, 5000), 0, "none is UTC");
	tzif(&b, 0, c, ARRAY_SIZE(c), "UTC0");
	for (size_t n = 0; n < b.len - strlen("\nUTC0\n"); n++)
		if (zone_parse(&none, str_n(b.s, n), &e) == 0)
			break;
	ok(!none, "no part of a file is a file");
	zone_free(none);
}

/* Every zone of the host, against the C library. */
static void compare_zone(const char *name, int *bad, int *n)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_zone_ struct zone *z = NULL;

	if (zone_load(&z, str_of(name), &e) < 0)
		return;
	++*n;
	setenv("TZ", name, 1);
	tzset();
	for (int64_t t = at("1970-01-01T00:00:00Z"); t < at("2060-01-01T00:00:00Z"); t += 13 * DAY_S + 3607) {
		time_t when = t;
		struct tm tm;

		localtime_r(&when, &tm);
		if (tm.tm_gmtoff != zone_offset(z, t) && ++*bad < 5)
			printf("# %s at %lld: %d, not %ld\n", name, (long long)t, zone_offset(z, t), tm.tm_gmtoff);
	}
}

static void test_host(void)
{
	static const char *const names[] = {
		"Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata",
		"Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Casablanca",
		"America/Nuuk", "Asia/Tehran", "Antarctica/Troll", "America/St_Johns", "Etc/GMT+5",
	};
	int bad = 0, n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		compare_zone(names[i], &bad, &n);
	unsetenv("TZ");
	tzset();
	printf("# %d zones of this machine compared\n", n);
	is_int(bad, 0, "the C library agrees");
}

static void test_names(void)
{
	static const struct {
		const char *name, *want;
	} bad[] = {
		{ "No/Where", "unknown time zone No/Where" }, { "../../etc/passwd", "time: invalid location name" },
		{ "/etc/localtime", "time: invalid location name" }, { "Europe", "unknown time zone Europe" },
		{ "a\\b", "time: invalid location name" },
	};
	_cleanup_err_ struct err e = ERR_INIT;
	struct zone *z;

	ok(zone_load(&z, STR_LIT("UTC"), &e) == 0 && !z && zone_load(&z, STR_LIT(""), &e) == 0 && !z, "UTC needs no file");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_err_ struct err why = ERR_INIT;

		BUG_ON(zone_load(&z, str_of(bad[i].name), &why) == 0);
		is_str(err_msg(&why), bad[i].want, "a name that is none");
	}
}

/* --- schedules that are none --- */

static const struct {
	const char *text, *want;
} wrong[] = {
	{ "", "empty spec string" },
	{ "* * * *", "expected exactly 5 fields, found 4: [* * * *]" },
	{ "* * * * * *", "expected exactly 5 fields, found 6: [* * * * * *]" },
	{ "60 * * * *", "end of range (60) above maximum (59): 60" },
	{ "* 24 * * *", "end of range (24) above maximum (23): 24" },
	{ "* * 0 * *", "beginning of range (0) below minimum (1): 0" },
	{ "* * 32 * *", "end of range (32) above maximum (31): 32" },
	{ "* * * 13 *", "end of range (13) above maximum (12): 13" },
	{ "* * * * 7", "end of range (7) above maximum (6): 7" },
	{ "5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3" },
	{ "1-2-3 * * * *", "too many hyphens: 1-2-3" },
	{ "1/2/3 * * * *", "too many slashes: 1/2/3" },
	{ "*/0 * * * *", "step of range should be a positive number: */0" },
	{ "*/-1 * * * *", "negative number (-1) not allowed: -1" },
	{ "a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax" },
	{ "-5 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax" },
	{ "99999999999999999999 * * * *",
	  "failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range" },
	{ "* * * january *", "failed to parse int from january: strconv.Atoi: parsing \"january\": invalid syntax" },
	{ "* * * * jan", "failed to parse int from jan: strconv.Atoi: parsing \"jan\": invalid syntax" },
	{ "@often", "unrecognized descriptor: @often" },
	{ "@Daily", "unrecognized descriptor: @Daily" },
	{ "@every", "unrecognized descriptor: @every" },
	{ "@every x", "failed to parse duration @every x: time: invalid duration \"x\"" },
	{ "@every 5", "failed to parse duration @every 5: time: missing unit in duration \"5\"" },
	{ "@every 1d", "failed to parse duration @every 1d: time: unknown unit \"d\" in duration \"1d\"" },
	{ "TZ=No/Where @daily", "provided bad location No/Where: unknown time zone No/Where" },
	{ "TZ=UTC", "expected exactly 5 fields, found 0: []" },
};

static void test_wrong(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		_cleanup_err_ struct err e = ERR_INIT;
		struct cron c = { 0 };

		is_str(cron_parse(&c, str_of(wrong[i].text), &e) < 0 ? err_msg(&e) : "fine", wrong[i].want, wrong[i].text);
		cron_release(&c);
	}
}

/* --- when they come --- */

#define NEW_YORK "EST5EDT,M3.2.0,M11.1.0"
#define SAO_PAULO "<-03>3<-02>,M11.1.0/0,M2.3.0/0" /* its midnights were those that the change skipped */

static const struct {
	const char *text, *rule, *after, *want; /* want NULL: never */
} nexts[] = {
	/* robfig/cron's own table */
	{ "0/15 * * * *", "UTC0", "2012-07-09T14:45:00Z", "2012-07-09T15:00:00Z" },
	{ "0/15 * * * *", "UTC0", "2012-07-09T14:59:00Z", "2012-07-09T15:00:00Z" },
	{ "0/15 * * * *", "UTC0", "2012-07-09T14:59:59Z", "2012-07-09T15:00:00Z" },
	{ "20-35/15 * * * *", "UTC0", "2012-07-09T15:45:00Z", "2012-07-09T16:20:00Z" },
	{ "*/15 * * * *", "UTC0", "2012-07-09T23:46:00Z", "2012-07-10T00:00:00Z" },
	{ "20-35/15 * * * *", "UTC0", "2012-07-09T23:45:00Z", "2012-07-10T00:20:00Z" },
	{ "20-35/15 1/2 * * *", "UTC0", "2012-07-09T23:35:51Z", "2012-07-10T01:20:00Z" },
	{ "20-35/15 10-12 * * *", "UTC0", "2012-07-09T23:35:51Z", "2012-07-10T10:20:00Z" },
	{ "20-35/15 1/2 */2 * *", "UTC0", "2012-07-09T23:35:51Z", "2012-07-11T01:20:00Z" },
	{ "20-35/15 * 9-20 * *", "UTC0", "2012-07-09T23:35:51Z", "2012-07-10T00:20:00Z" },
	{ "20-35/15 * 9-20 Jul *", "UTC0", "2012-07-09T23:35:51Z", "2012-07-10T00:20:00Z" },
	{ "0 0 9 Apr-Oct ?", "UTC0", "2012-07-09T23:35:00Z", "2012-08-09T00:00:00Z" },
	{ "0 0 */5 Apr,Aug,Oct Mon", "UTC0", "2012-07-09T23:35:00Z", "2012-08-01T00:00:00Z" },
	{ "0 0 */5 Oct Mon", "UTC0", "2012-07-09T23:35:00Z", "2012-10-01T00:00:00Z" },
	{ "0 0 * Feb Mon", "UTC0", "2012-07-09T23:35:00Z", "2013-02-04T00:00:00Z" },
	{ "0 0 * Feb Mon/2", "UTC0", "2012-07-09T23:35:00Z", "2013-02-01T00:00:00Z" },
	{ "0 0 29 Feb ?", "UTC0", "2012-07-09T23:35:00Z", "2016-02-29T00:00:00Z" },
	{ "0 0 30 Feb ?", "UTC0", "2012-07-09T23:35:00Z", NULL },
	{ "0 0 31 Apr ?", "UTC0", "2012-07-09T23:35:00Z", NULL },
	{ "59 23 31 2 *", "UTC0", "2026-01-01T00:00:00Z", NULL },
	/* the hour that is not: skipped, or once an hour later */
	{ "30 2 11 Mar ?", NEW_YORK, "2012-03-11T05:00:00Z", "2013-03-11T06:30:00Z" },
	{ "0 * * * ?", NEW_YORK, "2012-03-11T06:00:00Z", "2012-03-11T07:00:00Z" },
	{ "0 * * * ?", NEW_YORK, "2012-03-11T07:00:00Z", "2012-03-11T08:00:00Z" },
	{ "0 1 * * ?", NEW_YORK, "2012-03-11T05:00:00Z", "2012-03-11T06:00:00Z" },
	{ "0 1 * * ?", NEW_YORK, "2012-03-11T06:00:00Z", "2012-03-12T05:00:00Z" },
	{ "0 2 * * ?", NEW_YORK, "2012-03-11T05:00:00Z", "2012-03-12T06:00:00Z" },
	/* the hour that comes twice */
	{ "30 2 04 Nov ?", NEW_YORK, "2012-11-04T04:00:00Z", "2012-11-04T07:30:00Z" },
	{ "45 1 04 Nov ?", NEW_YORK, "2012-11-04T05:30:00Z", "2012-11-04T05:45:00Z" },
	{ "0 * * * ?", NEW_YORK, "2012-11-04T04:00:00Z", "2012-11-04T05:00:00Z" },
	{ "0 * * * ?", NEW_YORK, "2012-11-04T05:00:00Z", "2012-11-04T06:00:00Z" },
	{ "0 * * * ?", NEW_YORK, "2012-11-04T06:00:00Z", "2012-11-04T07:00:00Z" },
	{ "0 1 * * ?", NEW_YORK, "2012-11-04T05:00:00Z", "2012-11-04T06:00:00Z" },
	{ "0 1 * * ?", NEW_YORK, "2012-11-04T06:00:00Z", "2012-11-05T06:00:00Z" },
	{ "0 3 * * ?", NEW_YORK, "2012-11-04T04:00:00Z", "2012-11-04T08:00:00Z" },
	/* a day without a midnight */
	{ "0 0 1 * *", SAO_PAULO, "2018-10-10T12:00:00Z", "2018-11-01T03:00:00Z" },
	{ "0 9 * * *", SAO_PAULO, "2018-11-03T15:00:00Z", "2018-11-04T11:00:00Z" },
	{ "0 0 * * *", SAO_PAULO, "2018-11-03T15:00:00Z", "2018-11-05T02:00:00Z" },
	/* days of month and week: one of them, unless either is left open */
	{ "0 0 13 * 5", "UTC0", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z" },
	{ "0 0 13 * *", "UTC0", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z" },
	{ "0 0 * * 5", "UTC0", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z" },
	{ "0 0 ? * FRI", "UTC0", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z" },
	{ "0 0 */2 * 5", "UTC0", "2026-01-03T00:00:00Z", "2026-01-05T00:00:00Z" },
	{ "0 0 */1 * 5", "UTC0", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z" },
	/* names, lists, and what else passes */
	{ "5,,7 * * * *", "UTC0", "2026-01-01T00:05:00Z", "2026-01-01T00:07:00Z" },
	{ "*-5 * * * *", "UTC0", "2026-01-01T00:05:00Z", "2026-01-01T00:06:00Z" },
	{ "+5 * * * *", "UTC0", "2026-01-01T00:05:00Z", "2026-01-01T01:05:00Z" },
	{ "\t5\t*  * * sun-TUE ", "UTC0", "2026-01-01T00:05:00Z", "2026-01-04T00:05:00Z" },
	{ ", * * * *", "UTC0", "2026-01-01T00:05:00Z", NULL },
	{ "* , * * *", "UTC0", "2026-01-01T00:05:00Z", NULL },
	{ "* * , * *", "UTC0", "2026-01-01T00:05:00Z", NULL },
	{ "10/9223372036854775807 * * * *", "UTC0", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z" },
	{ "@yearly", "UTC0", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z" },
	{ "@annually", "UTC0", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z" },
	{ "@monthly", "UTC0", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z" },
	{ "@weekly", "UTC0", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z" },
	{ "@daily", "UTC0", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z" },
	{ "@midnight", "UTC0", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z" },
	{ "@hourly", "UTC0", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z" },
	{ "@every 1h30m", "UTC0", "2026-01-01T00:00:00Z", "2026-01-01T01:30:00Z" },
	{ "@every 1500ms", "UTC0", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z" },
	{ "@every 1ms", "UTC0", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z" },
	{ "@every -1h", "UTC0", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z" },
	{ "@daily", "<+0545>-5:45", "2026-01-01T00:00:00Z", "2026-01-01T18:15:00Z" },
	{ "TZ=UTC @daily", NEW_YORK, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z" },
	{ "CRON_TZ=UTC 0 5 * * *", NEW_YORK, "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z" },
};

static void test_next(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(nexts); i++) {
		_cleanup_zone_ struct zone *z = zone_of(0, NULL, 0, nexts[i].rule);
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_cron_ struct cron c = { 0 };
		_cleanup_free_ char *what = xasprintf("%s after %s, %s", nexts[i].text, nexts[i].after, nexts[i].rule);
		char got[TIME_RFC3339_LEN];
		int64_t t;

		if (cron_parse(&c, str_of(nexts[i].text), &e) < 0) {
			is_str(err_msg(&e), "", what);
			continue;
		}
		t = cron_next(&c, z, at(nexts[i].after));
		is_str(t == CRON_NEVER ? "never" : time_fmt_rfc3339(got, t), nexts[i].want ? nexts[i].want : "never", what);
	}
}

/* A zone that left a whole day out, as Samoa did: no search may stand still there. */
static void test_lost_day(void)
{
	static const struct change c[] = { { 1325239200 /* 2011-12-30T10:00:00Z */, 14 * 3600 } };
	_cleanup_zone_ struct zone *z = zone_of(-10 * 3600, c, ARRAY_SIZE(c), "");
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_cron_ struct cron s = { 0 };
	int64_t t;

	BUG_ON(cron_parse(&s, STR_LIT("0 0 2 * *"), &e) < 0);
	t = cron_next(&s, z, at("2011-12-20T00:00:00Z"));
	is_int(t, at("2012-01-01T10:00:00Z"), "the second of January comes where the thirtieth of December did not");
}

/* --- missed runs --- */

static const struct {
	const char *text, *since, *now;
	const char *due; /* NULL: none */
	enum cronjob_missed missed;
	const char *next;
} dues[] = {
	{ "0 * * * *", "2026-01-01T10:00:00Z", "2026-01-01T10:59:59Z", NULL, CRONJOB_NONE, "2026-01-01T11:00:00Z" },
	{ "0 * * * *", "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z", "2026-01-01T11:00:00Z", CRONJOB_NONE,
	  "2026-01-01T12:00:00Z" },
	{ "0 * * * *", "2026-01-01T10:00:00Z", "2026-01-01T12:10:00Z", "2026-01-01T12:00:00Z", CRONJOB_FEW,
	  "2026-01-01T13:00:00Z" },
	{ "0 * * * *", "2026-01-01T10:00:00Z", "2026-01-05T14:10:00Z", "2026-01-05T14:00:00Z", CRONJOB_FEW,
	  "2026-01-05T15:00:00Z" },
	{ "0 * * * *", "2026-01-01T10:00:00Z", "2026-01-05T15:10:00Z", "2026-01-05T15:00:00Z", CRONJOB_MANY,
	  "2026-01-05T16:00:00Z" },
	{ "* * * * *", "1990-01-01T10:00:00Z", "2026-01-05T15:10:30Z", "2026-01-05T15:10:00Z", CRONJOB_MANY,
	  "2026-01-05T15:11:00Z" },
	/* the clock went back */
	{ "0 * * * *", "2026-01-01T10:00:00Z", "2026-01-01T07:30:00Z", NULL, CRONJOB_NONE, "2026-01-01T11:00:00Z" },
	/* not regular */
	{ "30 6-16/4 * * 1-5", "2026-01-02T13:30:00Z", "2026-01-05T11:00:00Z", "2026-01-05T10:30:00Z", CRONJOB_FEW,
	  "2026-01-05T14:30:00Z" },
	{ "0 9 * * 1-5", "2026-01-01T10:00:00Z", "2026-01-04T12:00:00Z", "2026-01-02T09:00:00Z", CRONJOB_NONE,
	  "2026-01-05T09:00:00Z" },
	{ "@every 1h", "2026-01-01T10:20:00Z", "2026-01-01T14:00:00Z", "2026-01-01T13:20:00Z", CRONJOB_FEW,
	  "2026-01-01T14:20:00Z" },
	{ "* * 1 1 *", "2025-12-31T10:00:00Z", "2026-01-02T00:00:00Z", NULL, CRONJOB_MANY, "2027-01-01T00:00:00Z" },
};

static void test_due(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(dues); i++) {
		int64_t since = at(dues[i].since), now = at(dues[i].now);
		_cleanup_free_ char *what = xasprintf("%s since %s at %s", dues[i].text, dues[i].since, dues[i].now);
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_cron_ struct cron c = { 0 };
		char got[TIME_RFC3339_LEN];
		struct cronjob_due d;

		BUG_ON(cron_parse(&c, str_of(dues[i].text), &e) < 0 || cronjob_due(&d, &c, NULL, since, now, &e) < 0);
		is_str(d.due ? time_fmt_rfc3339(got, d.at) : "none", dues[i].due ? dues[i].due : "none", what);
		is_int(d.missed, dues[i].missed, "how many were missed");
		is_str(time_fmt_rfc3339(got, cronjob_next(&c, NULL, since, now)), dues[i].next, "when it comes next");
	}
}

static void test_never_due(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_cron_ struct cron c = { 0 };
	struct cronjob_due d;

	BUG_ON(cron_parse(&c, STR_LIT("59 23 31 2 *"), &e) < 0);
	ok(cronjob_due(&d, &c, NULL, at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z"), &e) < 0, "31 February is never due");
	is_str(err_msg(&e), "time difference between two schedules is less than 1 second", "with Kubernetes' words");
	ok(cronjob_next(&c, NULL, at("2026-01-01T00:00:00Z"), at("2026-02-01T00:00:00Z")) == CRON_NEVER, "and comes never");
}

int main(void)
{
	test_rules();
	test_changes();
	test_host();
	test_names();
	test_wrong();
	test_next();
	test_lost_day();
	test_due();
	test_never_due();
	return done_testing();
}
