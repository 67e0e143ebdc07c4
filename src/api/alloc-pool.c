/*
 * Numbers that are taken or free, in bitmaps whose pages are made when they are
 * needed, and networks of addresses as such pools.
 *
 * A number is chosen at random from the upper band, so that the lower one stays
 * free for those who ask for a certain one (KEP-3070 for addresses, KEP-3668 for
 * node ports); when the upper band is full, the lower one serves.
 */
#include "api/alloc.h"

#define POOL_PAGE_BITS 4096u

/* --- bits --- */

void pool_bits_init(struct pool_bits *b, uint32_t n)
{
	b->n = n;
	b->pages = xcalloc(n / POOL_PAGE_BITS + 1, sizeof(*b->pages));
}

void pool_bits_release(struct pool_bits *b)
{
	for (uint32_t i = 0; b->pages && i <= b->n / POOL_PAGE_BITS; i++)
		free(b->pages[i]);
	free(b->pages);
	b->pages = NULL;
	b->n = 0;
}

bool pool_bits_get(const struct pool_bits *b, uint32_t i)
{
	const uint8_t *page = i < b->n ? b->pages[i / POOL_PAGE_BITS] : NULL;
	uint32_t at = i % POOL_PAGE_BITS;

	return page && page[at / 8] >> (at % 8) & 1;
}

void pool_bits_set(struct pool_bits *b, uint32_t i, bool on)
{
	uint8_t **page = &b->pages[i / POOL_PAGE_BITS];
	uint32_t at = i % POOL_PAGE_BITS;

	BUG_ON(i >= b->n);
	if (!*page && !on)
		return;
	if (!*page)
		*page = xcalloc(POOL_PAGE_BITS / 8, 1);
	if (on)
		(*page)[at / 8] |= (uint8_t)(1u << (at % 8));
	else
		(*page)[at / 8] &= (uint8_t) ~(1u << (at % 8));
}

/* --- pools --- */

uint32_t pool_band(uint32_t n, uint32_t step, uint32_t min, uint32_t max)
{
	uint32_t band = n / step;

	if (n <= min)
		return 0;
	return band < min ? min : band > max ? max : band;
}

static int64_t pool_search(const struct pool *p, uint32_t from, uint32_t to, uint64_t chance)
{
	uint32_t n = to > from ? to - from : 0, at = n ? (uint32_t)(chance % n) : 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = from + (at + i) % n;

		if (pool_is_free(p, k))
			return k;
	}
	return -1;
}

int64_t pool_pick(const struct pool *p, uint64_t chance)
{
	int64_t k = pool_search(p, p->band, p->end, chance);

	return k >= 0 ? k : pool_search(p, p->first, p->band < p->end ? p->band : p->end, chance);
}

/* --- ranges --- */

struct alloc_range *alloc_range_new(const struct ip_prefix *net)
{
	struct alloc_range *g = xcalloc(1, sizeof(*g));
	unsigned host = ip_bits(&net->addr) - net->bits;
	uint32_t all = host < 20 ? 1u << host : ALLOC_RANGE_MAX;
	bool to_its_end = host <= 20;

	g->net = *net;
	pool_bits_init(&g->pool.used, all);
	pool_bits_init(&g->pool.foreign, all);
	g->pool.first = 1; /* not the network's own address, nor IPv4's last, of broadcasts */
	g->pool.end = all > 1 && to_its_end && !net->addr.six ? all - 1 : all;
	g->pool.band = 1 + pool_band(all, 16, 16, 256);
	return g;
}

struct alloc_range *alloc_range_free(struct alloc_range *g)
{
	if (!g)
		return NULL;
	pool_bits_release(&g->pool.used);
	pool_bits_release(&g->pool.foreign);
	free(g);
	return NULL;
}

static uint32_t last_word(const struct ip_addr *a)
{
	const uint8_t *b = a->b + (a->six ? 12 : 0);

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

int64_t alloc_range_index(const struct alloc_range *g, const struct ip_addr *a)
{
	uint32_t i = last_word(a) - last_word(&g->net.addr);

	if (!ip_prefix_has(&g->net, a) || (a->six && memcmp(a->b, g->net.addr.b, 12) != 0))
		return -1;
	return i >= g->pool.first && i < g->pool.end ? (int64_t)i : -1;
}

struct ip_addr alloc_range_at(const struct alloc_range *g, uint32_t i)
{
	struct ip_addr a = g->net.addr;
	uint32_t word = last_word(&a) + i;
	uint8_t *b = a.b + (a.six ? 12 : 0);

	b[0] = (uint8_t)(word >> 24);
	b[1] = (uint8_t)(word >> 16);
	b[2] = (uint8_t)(word >> 8);
	b[3] = (uint8_t)word;
	return a;
}
