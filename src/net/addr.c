/*
 * Addresses and networks of both families, as texts and as bytes.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "net/net.h"

bool net_addr_parse(struct net_addr *a, const char *text)
{
	*a = (struct net_addr){ .family = strchr(text, ':') ? AF_INET6 : AF_INET };
	if (inet_pton(a->family, text, a->b) == 1)
		return true;
	a->family = 0;
	return false;
}

const char *net_addr_print(const struct net_addr *a, char out[NET_ADDR_TEXT])
{
	if (!a->family || !inet_ntop(a->family, a->b, out, NET_ADDR_TEXT))
		out[0] = '\0';
	return out;
}

bool net_addr_equal(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family && memcmp(a->b, b->b, net_addr_len(a)) == 0;
}

bool net_prefix_parse(struct net_prefix *p, const char *text)
{
	struct str rest = str_of(text), addr = str_cut(&rest, '/');
	char ip[NET_ADDR_TEXT];
	uint64_t bits;

	if (addr.n >= sizeof(ip) || !str_to_u64(rest, &bits))
		return false;
	snprintf(ip, sizeof(ip), "%" STR_FMT, STR_ARG(addr));
	if (!net_addr_parse(&p->addr, ip) || bits > 8 * net_addr_len(&p->addr))
		return false;
	p->bits = (unsigned)bits;
	return true;
}

void net_prefix_first(struct net_prefix *p)
{
	for (unsigned i = 0, n = (unsigned)net_addr_len(&p->addr); i < n; i++)
		if (8 * (i + 1) > p->bits)
			p->addr.b[i] &= (uint8_t)(8 * i >= p->bits ? 0 : 0xff00u >> (p->bits - 8 * i));
}

struct net_addr net_addr_add(const struct net_addr *a, uint32_t n)
{
	struct net_addr r = *a;

	for (size_t i = net_addr_len(a); i-- && n; n >>= 8) {
		n += r.b[i];
		r.b[i] = (uint8_t)n;
	}
	return r;
}

int net_prefixes_parse(struct net_prefix v[NET_FAMILIES], const char *text)
{
	struct str rest = str_of(text);
	int n = 0;

	while (rest.p) {
		_cleanup_free_ char *one = str_dup(str_trim(str_cut(&rest, ',')));

		if (n == NET_FAMILIES || !net_prefix_parse(&v[n], one) || (n && v[0].addr.family == v[n].addr.family))
			return -1;
		n++;
	}
	return n;
}

bool net_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b)
{
	const struct net_prefix *wide = a->bits < b->bits ? a : b, *narrow = wide == a ? b : a;

	return net_prefix_has(wide, &narrow->addr);
}

bool net_addr_is_private(const struct net_addr *a)
{
	return a->family == AF_INET || (a->b[0] & 0xfe) == 0xfc || (a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80);
}

bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a)
{
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (p->addr.family != a->family || memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return !rest || ((p->addr.b[whole] ^ a->b[whole]) >> (8 - rest)) == 0;
}
