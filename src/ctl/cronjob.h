/*
 * When a CronJob is due: the arithmetic of its controller, all in seconds.
 */
#ifndef CTL_CRONJOB_H
#define CTL_CRONJOB_H

#include "base/cron.h"

enum cronjob_missed { CRONJOB_NONE, CRONJOB_FEW, CRONJOB_MANY /* more than a hundred */ };

struct cronjob_due {
	bool due;
	int64_t at; /* the latest run that is due */
	enum cronjob_missed missed;
};

/* What came due after `since` (the last run, or the creation) and until now. An error: a schedule that never comes. */
int cronjob_due(struct cronjob_due *ret, const struct cron *c, const struct zone *z, int64_t since, int64_t now,
		struct err *e);
/* When to look again; CRON_NEVER: no need. */
int64_t cronjob_next(const struct cron *c, const struct zone *z, int64_t since, int64_t now);

#endif
