/*
 * IP addresses and networks as values.
 */
#include "base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool ip_parse(struct ip_addr *ret, struct str s)
{
	char text[IP_TEXT];
	struct ip_addr a = { .six = str_find(s, ':') >= 0 };

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	if (inet_pton(a.six ? AF_INET6 : AF_INET, text, a.b) != 1)
		return false;
	*ret = a;
	return true;
}

const char *ip_print(const struct ip_addr *a, char out[IP_TEXT])
{
	inet_ntop(a->six ? AF_INET6 : AF_INET, a->b, out, IP_TEXT);
	return out;
}

bool ip_equal(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->six == b->six && memcmp(a->b, b->b, ip_bits(a) / 8) == 0;
}

bool ip_prefix_parse(struct ip_prefix *ret, struct str s)
{
	struct str ip = str_cut(&s, '/');
	struct ip_prefix p;
	int64_t bits;

	if (!ip_parse(&p.addr, ip) || !str_to_i64(s, &bits) || bits < 0 || bits > ip_bits(&p.addr))
		return false;
	p.bits = (unsigned)bits;
	for (unsigned i = p.bits; i < ip_bits(&p.addr); i++)
		p.addr.b[i / 8] &= (uint8_t)~(0x80 >> i % 8);
	*ret = p;
	return true;
}

const char *ip_prefix_print(const struct ip_prefix *p, char out[IP_TEXT])
{
	size_t n = strlen(ip_print(&p->addr, out));

	snprintf(out + n, IP_TEXT - n, "/%u", p->bits);
	return out;
}

bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->bits == b->bits && ip_equal(&a->addr, &b->addr);
}

bool ip_prefix_has(const struct ip_prefix *p, const struct ip_addr *a)
{
	unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (p->addr.six != a->six || memcmp(p->addr.b, a->b, whole) != 0)
		return false;
	return rest == 0 || ((p->addr.b[whole] ^ a->b[whole]) >> (8 - rest)) == 0;
}

bool ip_prefix_covers(const struct ip_prefix *p, const struct ip_prefix *q)
{
	return p->bits <= q->bits && ip_prefix_has(p, &q->addr);
}
