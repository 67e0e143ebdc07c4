/*
 * Zones of nodes (zones.h).
 */
#include "ctl/zones.h"

#include <stdlib.h>

#include "base/time.h"

/* --- rates --- */

enum zone_state zone_state_of(size_t ready, size_t not_ready, double unhealthy)
{
	if (ready == 0 && not_ready > 0)
		return ZONE_FULL;
	if (not_ready > 2 && (double)not_ready / (double)(not_ready + ready) >= unhealthy)
		return ZONE_PARTIAL;
	return ZONE_NORMAL;
}

double zone_rate(const struct ctl_settings *s, enum zone_state state, size_t size)
{
	if (state != ZONE_PARTIAL)
		return s->rate;
	return (int64_t)size > s->large ? s->second_rate : 0;
}

static int64_t zone_limit_period_ms(const struct zone_limit *l)
{
	return l->per_s > 0 ? (int64_t)((double)SEC_MS / l->per_s) : 0;
}

bool zone_limit_take(struct zone_limit *l, int64_t now_ms)
{
	if (l->per_s <= 0 || now_ms < l->next_ms)
		return false;
	l->next_ms = now_ms + zone_limit_period_ms(l);
	return true;
}

int64_t zone_limit_wait_ms(const struct zone_limit *l, int64_t now_ms)
{
	if (l->per_s <= 0)
		return -1;
	return now_ms < l->next_ms ? l->next_ms - now_ms : 0;
}

/* Who waited for the old rate begins to wait for the new one. */
void zone_limit_set(struct zone_limit *l, double per_s, int64_t now_ms)
{
	bool waiting = zone_limit_wait_ms(l, now_ms) != 0;

	if (l->per_s == per_s)
		return;
	l->per_s = per_s;
	l->next_ms = now_ms + (waiting ? zone_limit_period_ms(l) : 0);
}

/* --- zones --- */

static void zone_free(void *p)
{
	struct zone *z = p;

	free(z->key);
	free(z);
}

void zones_init(struct zones *z, const struct ctl_settings *s)
{
	*z = (struct zones){ .settings = s, .by_key = map_new(zone_free) };
}

void zones_release(struct zones *z)
{
	z->by_key = map_free(z->by_key);
}

struct zone *zones_join(struct zones *z, const char *region, const char *name)
{
	_cleanup_free_ char *key = xasprintf("%s:%s", region, name);
	struct zone *zone = map_getc(z->by_key, key);

	if (!zone) {
		zone = xcalloc(1, sizeof(*zone));
		zone->limit.per_s = z->settings->rate;
		zone->key = take_ptr(&key);
		map_set(z->by_key, str_of(zone->key), zone);
	}
	zone->members++;
	return zone;
}

void zones_leave(struct zones *z, struct zone *zone)
{
	_cleanup_free_ char *key = NULL;

	if (--zone->members)
		return;
	key = xstrdup(zone->key);
	map_del(z->by_key, str_of(key));
}

static bool zone_counts(const struct zone *z)
{
	return z->ready + z->not_ready > 0;
}

/* Are all zones so, as they were judged last (now: as they are)? */
static bool zones_are_full(const struct zones *z, bool now)
{
	struct map_iter it = { 0 };

	while (map_next(z->by_key, &it)) {
		const struct zone *zone = it.value;

		if (zone_counts(zone) && (now ? zone->ready > 0 : zone->state != ZONE_FULL))
			return false;
	}
	return true;
}

static bool zone_judge(const struct zones *z, struct zone *zone, int64_t now_ms)
{
	enum zone_state state = zone_state_of(zone->ready, zone->not_ready, z->settings->unhealthy);

	if (state == zone->state)
		return false;
	zone->state = state;
	zone_limit_set(&zone->limit, zone_rate(z->settings, state, zone->ready + zone->not_ready), now_ms);
	return true;
}

static void zone_stop(struct zone *zone, int64_t now_ms)
{
	zone->state = ZONE_FULL;
	zone_limit_set(&zone->limit, 0, now_ms);
}

enum zones_news zones_judge(struct zones *z, int64_t now_ms)
{
	bool were = zones_are_full(z, false), are = zones_are_full(z, true), changed = false;
	struct map_iter it = { 0 };

	if (were && are)
		return ZONES_SAME;
	while (map_next(z->by_key, &it)) {
		struct zone *zone = it.value;

		if (!zone_counts(zone))
			continue;
		if (are)
			zone_stop(zone, now_ms);
		else
			changed |= zone_judge(z, zone, now_ms);
		if (were && !are && zone->state == ZONE_FULL) /* stopped with the others, and goes on with them */
			zone_limit_set(&zone->limit, zone_rate(z->settings, ZONE_FULL, zone->not_ready), now_ms);
	}
	return are ? ZONES_STOPPED : were ? ZONES_RESUMED : changed ? ZONES_CHANGED : ZONES_SAME;
}

bool zones_stopped(const struct zones *z)
{
	struct map_iter it = { 0 };
	bool any = false;

	while (map_next(z->by_key, &it))
		any |= zone_counts(it.value);
	return any && zones_are_full(z, true);
}
