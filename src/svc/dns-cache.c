/*
 * Answers of other servers, for as long as they may be kept: at most DNS_CACHE_TTL
 * seconds, however long their owners allow, so that a change outside is seen soon;
 * negative ones as RFC 2308 says. Failures are not kept. The least used go when
 * there are too many; a timer that is set only while there are any takes away what
 * is over.
 */
#include "base/limits.h"
#include "svc/dns.h"

#define CACHE_SWEEP_MS (DNS_CACHE_TTL * 1000)

struct dns_cache {
	struct loop *loop;
	struct map *by_key;
	TAILQ_HEAD(dns_cached_list, dns_cached) used; /* the last used first */
	size_t bytes;
	struct loop_timer *sweep;
};

void dns_key_make(struct dns_key *k, const struct dns_name *lower, uint16_t type, bool dnssec_ok, bool checking_off)
{
	k->b[0] = (uint8_t)(dnssec_ok | checking_off << 1);
	k->b[1] = (uint8_t)(type >> 8);
	k->b[2] = (uint8_t)type;
	memcpy(k->b + 3, lower->b, lower->len);
	k->n = (uint16_t)(lower->len + 3);
}

static size_t cached_bytes(const struct dns_cached *x)
{
	return sizeof(*x) + 2 * x->key.n + x->msg.n + 96; /* with the map's share */
}

static void cache_drop(struct dns_cache *c, struct dns_cached *x)
{
	TAILQ_REMOVE(&c->used, x, link);
	c->bytes -= cached_bytes(x);
	map_del(c->by_key, x->key);
	free(x);
}

static void cache_sweep(void *arg)
{
	struct dns_cache *c = arg;
	int64_t now = loop_now_ms(c->loop);
	struct dns_cached *x, *next;

	for (x = TAILQ_FIRST(&c->used); x; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->until_ms <= now)
			cache_drop(c, x);
	}
	if (!TAILQ_EMPTY(&c->used))
		loop_timer_set(c->sweep, CACHE_SWEEP_MS);
}

struct dns_cache *dns_cache_new(struct loop *l)
{
	struct dns_cache *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->by_key = map_new(NULL);
	TAILQ_INIT(&c->used);
	c->sweep = loop_timer_new(l, cache_sweep, c);
	return c;
}

void dns_cache_clear(struct dns_cache *c)
{
	while (!TAILQ_EMPTY(&c->used))
		cache_drop(c, TAILQ_FIRST(&c->used));
	loop_timer_clear(c->sweep);
}

struct dns_cache *dns_cache_free(struct dns_cache *c)
{
	if (!c)
		return NULL;
	dns_cache_clear(c);
	map_free(c->by_key);
	loop_timer_free(c->sweep);
	free(c);
	return NULL;
}

struct dns_cached *dns_cache_find(struct dns_cache *c, const struct dns_key *k)
{
	struct dns_cached *x = map_get(c->by_key, str_n((const char *)k->b, k->n));

	if (!x)
		return NULL;
	if (x->until_ms <= loop_now_ms(c->loop)) {
		cache_drop(c, x);
		return NULL;
	}
	TAILQ_REMOVE(&c->used, x, link);
	TAILQ_INSERT_HEAD(&c->used, x, link);
	return x;
}

/* Of SOA: the last of its numbers is how long a name may be taken not to be there. */
static uint32_t cache_negative_ttl(struct str msg, const struct dns_rr *rr)
{
	const uint8_t *p = (const uint8_t *)msg.p + rr->data + rr->data_len - 4;
	uint32_t minimum = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

	return minimum < rr->ttl ? minimum : rr->ttl;
}

uint32_t dns_cache_ttl(const struct dns_head *h, struct str msg)
{
	uint32_t ttl = DNS_CACHE_TTL, this;
	size_t at = h->records;
	bool negative = h->rcode == DNS_NXDOMAIN || !h->count[DNS_ANSWER], found = !negative;
	struct dns_rr rr;

	if ((h->rcode != DNS_NOERROR && h->rcode != DNS_NXDOMAIN) || h->flags & DNS_TC)
		return 0;
	for (unsigned i = 0; i < (unsigned)h->count[DNS_ANSWER] + h->count[DNS_AUTHORITY]; i++) {
		if (!dns_read_rr(msg, &at, &rr))
			return 0;
		if (i >= h->count[DNS_ANSWER] && !negative)
			break;
		if (i >= h->count[DNS_ANSWER] && rr.type != DNS_SOA)
			continue;
		this = i >= h->count[DNS_ANSWER] ? cache_negative_ttl(msg, &rr) : rr.ttl;
		found = true;
		if (this < ttl)
			ttl = this;
	}
	return found ? ttl : 0;
}

void dns_cache_put(struct dns_cache *c, const struct dns_key *k, const struct dns_head *h, struct str msg, uint32_t ttl_s)
{
	struct str key = str_n((const char *)k->b, k->n);
	struct dns_cached *x = map_get(c->by_key, key);
	char *p;

	if (x)
		cache_drop(c, x);
	x = xmalloc(sizeof(*x) + key.n + msg.n);
	p = (char *)(x + 1);
	memcpy(p, key.p, key.n);
	memcpy(p + key.n, msg.p, msg.n);
	*x = (struct dns_cached){ .at_ms = loop_now_ms(c->loop), .head = *h, .key = str_n(p, key.n),
				  .msg = str_n(p + key.n, msg.n) };
	x->until_ms = x->at_ms + 1000 * (int64_t)ttl_s;
	map_set(c->by_key, key, x);
	TAILQ_INSERT_HEAD(&c->used, x, link);
	c->bytes += cached_bytes(x);
	while (c->bytes > LIMIT_DNS_CACHE_BYTES && TAILQ_FIRST(&c->used) != TAILQ_LAST(&c->used, dns_cached_list))
		cache_drop(c, TAILQ_LAST(&c->used, dns_cached_list));
	if (!loop_timer_is_set(c->sweep))
		loop_timer_set(c->sweep, CACHE_SWEEP_MS);
}

size_t dns_cache_count(const struct dns_cache *c)
{
	return map_count(c->by_key);
}

size_t dns_cache_bytes(const struct dns_cache *c)
{
	return c->bytes;
}
