/*
 * The wall clock may be set, and the machine may sleep: timers, which count the time
 * that passes, know nothing of either. Who waits for a time of day is told.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/loop.h"

struct clock_watch;
/* cb runs each time the clock was set. NULL where the kernel cannot tell. */
struct clock_watch *clock_watch_new(struct loop *l, void (*cb)(void *arg), void *arg);
struct clock_watch *clock_watch_free(struct clock_watch *w); /* NULL accepted; returns NULL */

#endif
