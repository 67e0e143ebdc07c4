/*
 * The pool of addresses for LoadBalancer Services: ranges and networks, in the order
 * in which they were given.
 */
#include "ctl/loadbalancer.h"

#include <arpa/inet.h>
#include <errno.h>

#define POOL_MAX_LOOK 65536 /* addresses that are looked at for a free one */

bool lb_addr_parse(struct lb_addr *ret, const char *text)
{
	struct in_addr four;

	if (inet_pton(AF_INET, text, &four) == 1) {
		memset(ret->b, 0, 10);
		ret->b[10] = ret->b[11] = 0xff;
		memcpy(ret->b + 12, &four, 4);
		return true;
	}
	return inet_pton(AF_INET6, text, ret->b) == 1;
}

bool lb_addr_is_six(const struct lb_addr *a)
{
	return !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)a->b);
}

const char *lb_addr_print(const struct lb_addr *a, char out[LB_ADDR_TEXT])
{
	if (lb_addr_is_six(a))
		inet_ntop(AF_INET6, a->b, out, LB_ADDR_TEXT);
	else
		inet_ntop(AF_INET, a->b + 12, out, LB_ADDR_TEXT);
	return out;
}

static int addr_cmp(const struct lb_addr *a, const struct lb_addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

/* False: it was the last there is. */
static bool addr_step(struct lb_addr *a, int by)
{
	for (size_t i = sizeof(a->b); i-- > 0;) {
		a->b[i] = (uint8_t)(a->b[i] + by);
		if (a->b[i] != (by > 0 ? 0 : 0xff))
			return true;
	}
	return false;
}

/* Of a network without its own bits: the first (ones false) or the last address. */
static struct lb_addr addr_edge(const struct lb_addr *a, unsigned bits, bool ones)
{
	struct lb_addr edge = *a;

	for (unsigned i = bits; i < 128; i++) {
		uint8_t bit = (uint8_t)(0x80 >> (i % 8));

		edge.b[i / 8] = (uint8_t)(ones ? edge.b[i / 8] | bit : edge.b[i / 8] & ~bit);
	}
	return edge;
}

static bool range_of_network(struct lb_range *r, const char *text, struct str bits_text)
{
	struct lb_addr a;
	uint64_t bits;
	bool six;

	if (!lb_addr_parse(&a, text) || !str_to_u64(bits_text, &bits))
		return false;
	six = lb_addr_is_six(&a);
	if (bits > (six ? 128 : 32))
		return false;
	bits += six ? 0 : 96;
	r->from = addr_edge(&a, (unsigned)bits, false);
	r->to = addr_edge(&a, (unsigned)bits, true);
	if (bits >= 127)
		return true;
	(void)addr_step(&r->from, 1);
	if (!six)
		(void)addr_step(&r->to, -1);
	return true;
}

static bool range_parse(struct lb_range *r, struct str item)
{
	struct str rest = item;
	bool network = str_find(item, '/') >= 0;
	_cleanup_free_ char *first = str_dup(str_trim(str_cut(&rest, network ? '/' : '-')));
	_cleanup_free_ char *second = rest.p ? str_dup(str_trim(rest)) : NULL;

	if (network)
		return range_of_network(r, first, str_of(second));
	return lb_addr_parse(&r->from, first) && lb_addr_parse(&r->to, second ? second : first) &&
	       lb_addr_is_six(&r->from) == lb_addr_is_six(&r->to) && addr_cmp(&r->from, &r->to) <= 0;
}

int lb_pool_parse(struct lb_pool *ret, const char *text, struct err *e)
{
	struct str rest = str_of(text);

	*ret = (struct lb_pool){ 0 };
	while (rest.p) {
		struct str item = str_trim(str_cut(&rest, ','));
		struct lb_range r;

		if (!item.n && !rest.p)
			break;
		if (!range_parse(&r, item)) {
			lb_pool_release(ret);
			return err_set(e, ERR_BAD_REQUEST, "--loadbalancer-pool: '%" STR_FMT "' is no range such as "
				       "192.168.1.240-192.168.1.250, and no network such as 192.168.1.240/28", STR_ARG(item));
		}
		VEC_PUSH(&ret->ranges, r);
	}
	return 0;
}

void lb_pool_release(struct lb_pool *p)
{
	VEC_RELEASE(&p->ranges);
}

bool lb_pool_has(const struct lb_pool *p, const struct lb_addr *a)
{
	for (size_t i = 0; i < p->ranges.n; i++)
		if (addr_cmp(&p->ranges.v[i].from, a) <= 0 && addr_cmp(a, &p->ranges.v[i].to) <= 0)
			return true;
	return false;
}

bool lb_pool_pick(const struct lb_pool *p, bool six, bool (*is_free)(void *arg, const char *text), void *arg,
		  char out[LB_ADDR_TEXT])
{
	size_t looked = 0;

	for (size_t i = 0; i < p->ranges.n; i++) {
		struct lb_addr a = p->ranges.v[i].from;

		if (lb_addr_is_six(&a) != six)
			continue;
		do {
			if (is_free(arg, lb_addr_print(&a, out)))
				return true;
		} while (++looked < POOL_MAX_LOOK && addr_cmp(&a, &p->ranges.v[i].to) < 0 && addr_step(&a, 1));
	}
	return false;
}

int ctl_check_lb_pool(const char *pool, struct err *e)
{
	struct lb_pool p;

	if (str_empty(pool))
		return 0;
	if (lb_pool_parse(&p, pool, e) < 0)
		return -e->code;
	lb_pool_release(&p);
	return 0;
}
