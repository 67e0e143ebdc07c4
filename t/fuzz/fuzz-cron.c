/*
 * Schedules and zone files: a schedule, a newline, a zone's bytes. Whatever both say,
 * a search ends, and what it finds is later than where it began.
 */
#include "fuzz.h"

#include "base/cron.h"
#include "base/time.h"

static const int64_t starts[] = { -2000000000, 0, 951782400, 1330000000, 1767225600, 4102444800, 32503680000 };

static void fuzz_zone(const struct zone *z)
{
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		char text[ZONE_RFC3339_LEN];
		struct tm tm;

		BUG_ON(zone_offset(z, starts[i]) < -8 * DAY_S || zone_offset(z, starts[i]) > 8 * DAY_S);
		zone_local(z, starts[i], &tm);
		zone_unix(z, &tm);
		zone_fmt_rfc3339(text, z, starts[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), text = str_cut(&rest, '\n');
	_cleanup_cron_ struct cron c = { 0 };
	_cleanup_zone_ struct zone *z = NULL;
	_cleanup_err_ struct err e = ERR_INIT, bad = ERR_INIT;

	if (rest.p && zone_parse(&z, rest, &bad) == 0)
		fuzz_zone(z);
	if (cron_parse(&c, text, &e) < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
		int64_t t = cron_next(&c, z, starts[i]);

		BUG_ON(t != CRON_NEVER && t <= starts[i]);
	}
	return 0;
}
