/*
 * Limits by client's address, as ingress-nginx's limit-rps, limit-rpm and
 * limit-connections: a bucket that holds five times the rate. Who is over gets 503.
 */
#include "svc/ingress.h"

#define LIMIT_BURST 5
#define LIMIT_CLIENTS 20000 /* remembered for one Ingress */

/* Those that nothing is under way for may be forgotten: at worst they begin with a full bucket. */
static void limit_forget(struct ing_ingress *in)
{
	struct map_iter it = { 0 };

	while (map_next(in->clients, &it))
		if (!((struct ing_client *)it.value)->connections)
			map_del(in->clients, it.key);
}

static bool limit_rate(double *tokens, double rate_ms, double max, int64_t passed_ms)
{
	if (!(max > 0))
		return true;
	*tokens += rate_ms * (double)passed_ms;
	if (*tokens > max)
		*tokens = max;
	return *tokens >= 1;
}

static struct ing_client *limit_client(struct ing_ingress *in, const struct ing_conn *c, int64_t now_ms)
{
	struct ing_client *l;

	if (!in->clients)
		in->clients = map_new(free);
	l = map_getc(in->clients, c->peer_text);
	if (l)
		return l;
	if (map_count(in->clients) >= LIMIT_CLIENTS)
		limit_forget(in);
	l = xcalloc(1, sizeof(*l));
	l->tokens_s = (double)in->set.rps * LIMIT_BURST;
	l->tokens_m = (double)in->set.rpm * LIMIT_BURST;
	l->at_ms = now_ms;
	map_set(in->clients, str_of(c->peer_text), l);
	return l;
}

bool ing_limit_take(struct ing_ingress *in, const struct ing_conn *c, int64_t now_ms, struct ing_client **ret)
{
	const struct ing_settings *s = &in->set;
	struct ing_client *l;
	int64_t passed;
	bool fine;

	*ret = NULL;
	if (!s->rps && !s->rpm && !s->connections)
		return true;
	l = limit_client(in, c, now_ms);
	passed = now_ms - l->at_ms;
	l->at_ms = now_ms;
	fine = limit_rate(&l->tokens_s, (double)s->rps / 1000, (double)s->rps * LIMIT_BURST, passed);
	fine &= limit_rate(&l->tokens_m, (double)s->rpm / 60000, (double)s->rpm * LIMIT_BURST, passed);
	if (!fine || (s->connections && l->connections >= s->connections))
		return false;
	l->tokens_s -= 1;
	l->tokens_m -= 1;
	l->connections++;
	*ret = l;
	return true;
}

void ing_limit_give(struct ing_client *c)
{
	if (c)
		c->connections--;
}
