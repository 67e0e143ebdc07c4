/*
 * IP addresses and networks of both families, as values: for who counts and
 * compares them and never opens a socket.
 */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/str.h"

struct ip_addr {
	bool six;
	uint8_t b[16]; /* network order; of IPv4 the first 4 */
};
struct ip_prefix {
	struct ip_addr addr; /* without host bits */
	unsigned bits;
};
#define IP_TEXT 50 /* also with "/128" */

static inline unsigned ip_bits(const struct ip_addr *a)
{
	return a->six ? 128 : 32;
}
bool ip_parse(struct ip_addr *ret, struct str s);
const char *ip_print(const struct ip_addr *a, char out[IP_TEXT]); /* as RFC 5952 has it; returns out */
bool ip_equal(const struct ip_addr *a, const struct ip_addr *b);
/* "10.0.0.0/8"; host bits are cleared. */
bool ip_prefix_parse(struct ip_prefix *ret, struct str s);
const char *ip_prefix_print(const struct ip_prefix *p, char out[IP_TEXT]);
bool ip_prefix_equal(const struct ip_prefix *a, const struct ip_prefix *b);
bool ip_prefix_has(const struct ip_prefix *p, const struct ip_addr *a); /* false for the other family */
bool ip_prefix_covers(const struct ip_prefix *p, const struct ip_prefix *q); /* all of q is in p */

#endif
