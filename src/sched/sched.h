/*
 * The scheduler: binds each pending pod to a node. Filters and scores are one
 * file each and one table (plugins.c); the queue holds what waits, by priority;
 * a pod that fits nowhere costs nothing until something changes that can help it.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "client/client.h"

struct sched;
struct sched *sched_new(struct client *c, const char *scheduler_name /* "default-scheduler" */);
struct sched *sched_free(struct sched *s);

#endif
