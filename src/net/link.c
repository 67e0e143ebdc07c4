/*
 * Links, addresses and routes by rtnetlink messages.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/path.h"
#include "net/internal.h"

bool net_cidr_parse(struct net_cidr *c, const char *text)
{
	const char *slash = strchr(text, '/');
	_cleanup_free_ char *addr = NULL;
	uint64_t bits;

	if (!slash || !str_to_u64(str_of(slash + 1), &bits) || bits > 32)
		return false;
	addr = xmemdupz(text, (size_t)(slash - text));
	c->bits = (unsigned)bits;
	return inet_pton(AF_INET, addr, &c->addr) == 1;
}

static struct nl_msg *link_msg(int type, int flags, int index)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_index = index };

	return nl_msg_new(type, flags, &ifi, sizeof(ifi));
}

/* Asks for one link by name: its index (> 0) or -errno; *master: the bridge that it is on, 0 for none. */
static int link_get(struct nl_sock *s, const char *name, int *master)
{
	struct nl_msg *m = link_msg(RTM_GETLINK, 0, 0);
	char buf[32768];
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	struct nlattr *a;
	ssize_t n;

	nla_put_string(m, IFLA_IFNAME, name);
	nl_complete_msg(s, m);
	nlmsg_hdr(m)->nlmsg_flags &= ~NLM_F_ACK; /* the answer is enough */
	n = nl_send(s, m);
	nlmsg_free(m);
	if (n < 0)
		return -EIO;
	do
		n = recv(nl_socket_get_fd(s), buf, sizeof(buf), 0);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)sizeof(*h))
		return -EIO;
	if (h->nlmsg_type == NLMSG_ERROR)
		return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
	a = nlmsg_find_attr(h, sizeof(struct ifinfomsg), IFLA_MASTER);
	*master = a ? (int)nla_get_u32(a) : 0;
	return ((struct ifinfomsg *)NLMSG_DATA(h))->ifi_index;
}

int link_index(struct nl_sock *s, const char *name)
{
	int master;

	return link_get(s, name, &master);
}

int link_master(struct nl_sock *s, const char *name)
{
	int master, rc = link_get(s, name, &master);

	return rc < 0 ? rc : master;
}

/* 0a:58 and the address: stays the same whatever is plugged in. */
static void link_mac(uint8_t mac[6], struct in_addr a)
{
	mac[0] = 0x0a;
	mac[1] = 0x58;
	memcpy(mac + 2, &a.s_addr, 4);
}

int link_bridge(struct nl_sock *s, const char *name, struct in_addr gateway, int mtu, struct err *e)
{
	struct nl_msg *m = link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	uint8_t mac[6];
	struct nlattr *info;
	int rc;

	link_mac(mac, gateway);
	nla_put_string(m, IFLA_IFNAME, name);
	nla_put(m, IFLA_ADDRESS, sizeof(mac), mac);
	nla_put_u32(m, IFLA_MTU, (uint32_t)mtu);
	info = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, "bridge");
	nla_nest_end(m, info);
	rc = nl_request(s, m);
	if (rc < 0 && rc != -EEXIST)
		return err_errno(e, -rc, "make the bridge '%s'", name);
	return 0;
}

int link_veth(struct nl_sock *s, const char *host_if, int bridge_index, int netns_fd, int mtu, struct in_addr ip,
	      struct err *e)
{
	struct nl_msg *m = link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };
	struct nlattr *info, *data, *p;
	uint8_t mac[6];
	int rc;

	link_mac(mac, ip);
	nla_put_string(m, IFLA_IFNAME, host_if);
	nla_put_u32(m, IFLA_MASTER, (uint32_t)bridge_index);
	nla_put_u32(m, IFLA_MTU, (uint32_t)mtu);
	info = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, "veth");
	data = nla_nest_start(m, IFLA_INFO_DATA);
	p = nla_nest_start(m, VETH_INFO_PEER);
	nlmsg_append(m, &peer, sizeof(peer), NLMSG_ALIGNTO);
	nla_put_string(m, IFLA_IFNAME, "eth0");
	nla_put(m, IFLA_ADDRESS, sizeof(mac), mac);
	nla_put_u32(m, IFLA_MTU, (uint32_t)mtu);
	nla_put_u32(m, IFLA_NET_NS_FD, (uint32_t)netns_fd);
	nla_nest_end(m, p);
	nla_nest_end(m, data);
	nla_nest_end(m, info);
	rc = nl_request(s, m);
	if (rc < 0)
		return err_errno(e, -rc, "make the pod's network link '%s'", host_if);
	return 0;
}

int link_hairpin(struct nl_sock *s, const char *name, struct err *e)
{
	struct ifinfomsg ifi = { .ifi_family = AF_BRIDGE, .ifi_index = link_index(s, name) };
	struct nl_msg *m = nl_msg_new(RTM_SETLINK, 0, &ifi, sizeof(ifi));
	struct nlattr *port = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);
	int rc;

	nla_put_u8(m, IFLA_BRPORT_MODE, 1);
	nla_nest_end(m, port);
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "let the link '%s' send back what it brought", name) : 0;
}

int link_up(struct nl_sock *s, const char *name, struct err *e)
{
	struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP };
	struct nl_msg *m = nl_msg_new(RTM_NEWLINK, 0, &ifi, sizeof(ifi));
	int rc;

	nla_put_string(m, IFLA_IFNAME, name);
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "bring up the link '%s'", name) : 0;
}

int link_delete(struct nl_sock *s, const char *name)
{
	struct nl_msg *m = link_msg(RTM_DELLINK, 0, 0);

	nla_put_string(m, IFLA_IFNAME, name);
	return nl_request(s, m);
}

int link_address(struct nl_sock *s, const char *name, struct in_addr a, unsigned bits, struct err *e)
{
	int index = link_index(s, name);
	struct ifaddrmsg ifa = { .ifa_family = AF_INET, .ifa_prefixlen = (uint8_t)bits, .ifa_index = (unsigned)index };
	struct in_addr broadcast = { a.s_addr | htonl(bits < 32 ? 0xffffffffu >> bits : 0) };
	struct nl_msg *m;
	int rc;

	if (index < 0)
		return err_errno(e, -index, "look up the link '%s'", name);
	m = nl_msg_new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &ifa, sizeof(ifa));
	nla_put(m, IFA_LOCAL, sizeof(a), &a);
	nla_put(m, IFA_ADDRESS, sizeof(a), &a);
	nla_put(m, IFA_BROADCAST, sizeof(broadcast), &broadcast);
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "give the link '%s' its address", name) : 0;
}

int link_local_address(struct nl_sock *s, const char *name, const struct net_addr *a, struct err *e)
{
	int index = link_index(s, name), rc;
	size_t len = net_addr_len(a);
	struct ifaddrmsg ifa = { .ifa_family = (uint8_t)a->family, .ifa_prefixlen = (uint8_t)(8 * len),
				 .ifa_scope = a->family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE,
				 .ifa_flags = a->family == AF_INET ? 0 : IFA_F_NODAD, .ifa_index = (unsigned)index };
	struct ifa_cacheinfo no_source = { .ifa_prefered = 0, .ifa_valid = UINT32_MAX };
	char text[NET_ADDR_TEXT];
	struct nl_msg *m;

	if (index < 0)
		return err_errno(e, -index, "look up the link '%s'", name);
	m = nl_msg_new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &ifa, sizeof(ifa));
	nla_put(m, IFA_LOCAL, (int)len, a->b);
	nla_put(m, IFA_ADDRESS, (int)len, a->b);
	if (a->family == AF_INET6)
		nla_put(m, IFA_CACHEINFO, sizeof(no_source), &no_source);
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "give the link '%s' the address %s", name, net_addr_print(a, text)) : 0;
}

int link_default_route(struct nl_sock *s, struct in_addr gateway, struct err *e)
{
	struct rtmsg rt = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
			    .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST };
	struct nl_msg *m = nl_msg_new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &rt, sizeof(rt));
	int rc;

	nla_put(m, RTA_GATEWAY, sizeof(gateway), &gateway);
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "set the pod's default route") : 0;
}
