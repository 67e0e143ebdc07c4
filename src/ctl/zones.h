/*
 * How many nodes of which zone are well, and how quickly those that are not may
 * be emptied. Mirrors the zone states of Kubernetes' node lifecycle controller:
 * in a zone that is partly disrupted fewer nodes are emptied, in a small one none;
 * when no node of any zone is well it is the control plane that is cut off, and
 * nothing is emptied at all. Pure: the clock is an argument.
 */
#ifndef CTL_ZONES_H
#define CTL_ZONES_H

#include "base/map.h"
#include "ctl/settings.h"

enum zone_state { ZONE_INITIAL, ZONE_NORMAL, ZONE_PARTIAL, ZONE_FULL };

struct zone_limit { /* a bucket of one token */
	double per_s; /* 0: never */
	int64_t next_ms; /* there is a token from then on */
};

struct zone {
	char *key;
	size_t members; /* nodes that have it */
	size_t ready, not_ready; /* of those that count */
	enum zone_state state;
	struct zone_limit limit;
};

struct zones {
	const struct ctl_settings *settings;
	struct map *by_key;
};

enum zones_news {
	ZONES_SAME,
	ZONES_CHANGED, /* some zone's state, and with it its rate */
	ZONES_STOPPED, /* no node is well any more */
	ZONES_RESUMED, /* one is again */
};

enum zone_state zone_state_of(size_t ready, size_t not_ready, double unhealthy);
/* Nodes a second, of a zone of that size. */
double zone_rate(const struct ctl_settings *s, enum zone_state state, size_t size);

bool zone_limit_take(struct zone_limit *l, int64_t now_ms);
/* Until there is a token; -1: there never is. */
int64_t zone_limit_wait_ms(const struct zone_limit *l, int64_t now_ms);
void zone_limit_set(struct zone_limit *l, double per_s, int64_t now_ms);

void zones_init(struct zones *z, const struct ctl_settings *s);
void zones_release(struct zones *z);
/* Of a region and a zone, each perhaps "". One member more; zones_leave takes it back. */
struct zone *zones_join(struct zones *z, const char *region, const char *name);
void zones_leave(struct zones *z, struct zone *zone);
/* Brings all states and rates up to date with the counts. */
enum zones_news zones_judge(struct zones *z, int64_t now_ms);
/* Is no node of any zone well? */
bool zones_stopped(const struct zones *z);

#endif
