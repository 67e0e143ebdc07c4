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

bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a)
{
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (p->addr.family != a->family || memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return !rest || ((p->addr.b[whole] ^ a->b[whole]) >> (8 - rest)) == 0;
}
