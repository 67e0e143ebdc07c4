/*
 * Schedules, in robfig/cron's standard notation (v3, which is Kubernetes'): five
 * fields, or @hourly and the like, or @every DURATION.
 */
#ifndef BASE_CRON_H
#define BASE_CRON_H

#include "base/zone.h"

#define CRON_NEVER (-62135596800LL) /* no time: Go's zero time, so that arithmetic with it comes out the same */

struct cron {
	uint64_t minutes, hours, days, months, weekdays; /* bits of the values that match */
	int64_t every_s; /* @every; 0: the fields count */
	struct zone *zone; /* owned; of a TZ= in front */
	bool has_zone;
};

/* The text of an error is robfig/cron's. */
int cron_parse(struct cron *c, struct str text, struct err *e) MUST_CHECK;
void cron_release(struct cron *c);
#define _cleanup_cron_ __attribute__((cleanup(cron_release)))
/* The first time after that one, or CRON_NEVER when none comes within five years. z: where the schedule names no zone
 * itself. */
int64_t cron_next(const struct cron *c, const struct zone *z, int64_t after_s);

#endif
