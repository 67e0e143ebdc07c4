/*
 * When a CronJob is due (cronjob.h), with the arithmetic of Kubernetes: how many
 * runs were missed is judged by the distance of the first two, and the latest is
 * searched from one such distance before now.
 */
#include "ctl/cronjob.h"

#define CRONJOB_MANY_MISSED 100

int cronjob_due(struct cronjob_due *ret, const struct cron *c, const struct zone *z, int64_t since, int64_t now,
		struct err *e)
{
	int64_t first = cron_next(c, z, since), second = cron_next(c, z, first), every, missed;

	*ret = (struct cronjob_due){ .missed = CRONJOB_NONE };
	if (now < first)
		return 0;
	if (now < second) {
		ret->due = true;
		ret->at = first;
		return 0;
	}
	every = second - first;
	if (every < 1)
		return err_set(e, ERR_INVALID, "time difference between two schedules is less than 1 second");
	missed = (now - first) / every + 1;
	ret->missed = missed > CRONJOB_MANY_MISSED ? CRONJOB_MANY : CRONJOB_FEW;
	for (int64_t t = cron_next(c, z, first + (missed - 2) * every); t <= now && t != CRON_NEVER; t = cron_next(c, z, t)) {
		ret->due = true;
		ret->at = t;
	}
	return 0;
}

int64_t cronjob_next(const struct cron *c, const struct zone *z, int64_t since, int64_t now)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct cronjob_due d;

	if (cronjob_due(&d, c, z, since, now, &e) < 0)
		return cron_next(c, z, now);
	if (d.due)
		return cron_next(c, z, d.at);
	return cron_next(c, z, d.missed == CRONJOB_NONE ? since : now);
}
