/*
 * This machine's own addresses, links and networks, as far as the pod network asks.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/internal.h"

static bool host_addr(struct net_addr *a, const struct sockaddr *sa)
{
	*a = (struct net_addr){ 0 };
	if (!sa || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return false;
	a->family = sa->sa_family;
	if (sa->sa_family == AF_INET)
		memcpy(a->b, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	else
		memcpy(a->b, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	return true;
}

static bool host_is_link_local(const struct net_addr *a)
{
	return a->family == AF_INET6 && a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* Which source address a packet to the world would have; nothing is sent. */
static bool host_source(int family, struct net_addr *ret)
{
	struct sockaddr_in to4 = { .sin_family = AF_INET, .sin_port = htons(9),
				   .sin_addr.s_addr = htonl(0xc0000201) }; /* TEST-NET-1 */
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(9),
				    .sin6_addr.s6_addr = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 } };
	const struct sockaddr *to = family == AF_INET ? (struct sockaddr *)&to4 : (struct sockaddr *)&to6;
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	_cleanup_close_ int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && connect(fd, to, family == AF_INET ? sizeof(to4) : sizeof(to6)) == 0 &&
	       getsockname(fd, (struct sockaddr *)&from, &len) == 0 && host_addr(ret, (struct sockaddr *)&from) &&
	       !host_is_link_local(ret);
}

static bool host_counts(const struct ifaddrs *a, const char *bridge)
{
	return !(a->ifa_flags & IFF_LOOPBACK) && a->ifa_flags & IFF_UP && !streq(a->ifa_name, bridge);
}

bool net_host_address(const char *bridge, int family, char out[NET_ADDR_TEXT])
{
	struct ifaddrs *all = NULL;
	struct net_addr found;
	bool have = host_source(family, &found);

	if (!have && getifaddrs(&all) < 0)
		all = NULL;
	for (struct ifaddrs *a = all; a && !have; a = a->ifa_next)
		have = host_counts(a, bridge) && host_addr(&found, a->ifa_addr) && found.family == family &&
		       !host_is_link_local(&found);
	if (all)
		freeifaddrs(all);
	if (have)
		net_addr_print(&found, out);
	else
		snprintf(out, NET_ADDR_TEXT, "%s", family == AF_INET ? "127.0.0.1" : "::1");
	return have;
}

static int host_link_mtu(const char *name)
{
	struct ifreq r = { 0 };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd >= 0 && ioctl(fd, SIOCGIFMTU, &r) == 0 && r.ifr_mtu >= 576 && r.ifr_mtu <= 65535)
		return r.ifr_mtu;
	return 0;
}

int host_mtu(const char *bridge)
{
	char text[NET_ADDR_TEXT];
	struct net_addr host, one;
	struct ifaddrs *all;
	int mtu = 0;

	if (!net_host_address(bridge, AF_INET, text) && !net_host_address(bridge, AF_INET6, text))
		return HOST_MTU;
	if (!net_addr_parse(&host, text) || getifaddrs(&all) < 0)
		return HOST_MTU;
	for (struct ifaddrs *a = all; a && !mtu; a = a->ifa_next)
		if (!(a->ifa_flags & IFF_LOOPBACK) && host_addr(&one, a->ifa_addr) && net_addr_equal(&one, &host))
			mtu = host_link_mtu(a->ifa_name);
	freeifaddrs(all);
	return mtu ? mtu : HOST_MTU;
}

static unsigned host_bits(const struct net_addr *mask)
{
	unsigned bits = 0;

	for (size_t i = 0; i < net_addr_len(mask); i++)
		bits += (unsigned)__builtin_popcount(mask->b[i]);
	return bits;
}

bool net_conflict(const char *bridge, const char *networks, char out[NET_ADDR_TEXT + 32])
{
	struct net_prefix ours[NET_FAMILIES];
	int n = net_prefixes_parse(ours, networks);
	struct ifaddrs *all;
	bool found = false;

	if (n < 1 || getifaddrs(&all) < 0)
		return false;
	for (struct ifaddrs *a = all; a && !found; a = a->ifa_next) {
		struct net_prefix p;
		struct net_addr mask;
		char text[NET_ADDR_TEXT];

		if (!host_counts(a, bridge) || !host_addr(&p.addr, a->ifa_addr) || !host_addr(&mask, a->ifa_netmask))
			continue;
		p.bits = host_bits(&mask);
		for (int k = 0; k < n && !found; k++)
			found = p.addr.family == ours[k].addr.family && net_prefix_overlaps(&p, &ours[k]);
		net_prefix_first(&p);
		if (found)
			snprintf(out, NET_ADDR_TEXT + 32, "%s/%u of %s", net_addr_print(&p.addr, text), p.bits, a->ifa_name);
	}
	freeifaddrs(all);
	return found;
}
