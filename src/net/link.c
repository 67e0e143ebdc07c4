/*
 * Links, addresses and routes by rtnetlink messages.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/path.h"
#include "net/internal.h"

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

struct link_mac link_mac(const struct net_addr *a)
{
	struct link_mac mac = { { 0x0a, 0x58 } };

	memcpy(mac.b + 2, a->b + net_addr_len(a) - 4, 4);
	return mac;
}

static int link_set_mac(struct nl_sock *s, const char *name, struct link_mac mac)
{
	struct nl_msg *m = link_msg(RTM_NEWLINK, 0, 0);

	nla_put_string(m, IFLA_IFNAME, name);
	nla_put(m, IFLA_ADDRESS, sizeof(mac.b), mac.b);
	return nl_request(s, m);
}

int link_bridge(struct nl_sock *s, const char *name, struct link_mac mac, int mtu, struct err *e)
{
	struct nl_msg *m = link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	struct nlattr *info;
	int rc;

	nla_put_string(m, IFLA_IFNAME, name);
	nla_put(m, IFLA_ADDRESS, sizeof(mac.b), mac.b);
	nla_put_u32(m, IFLA_MTU, (uint32_t)mtu);
	info = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, "bridge");
	nla_nest_end(m, info);
	rc = nl_request(s, m);
	if (rc == -EEXIST)
		rc = link_set_mac(s, name, mac);
	return rc < 0 ? err_errno(e, -rc, "make the bridge '%s'", name) : 0;
}

int link_veth(struct nl_sock *s, const char *host_if, int bridge_index, int netns_fd, int mtu, struct link_mac mac,
	      struct err *e)
{
	struct nl_msg *m = link_msg(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0);
	struct ifinfomsg peer = { .ifi_family = AF_UNSPEC };
	struct nlattr *info, *data, *p;
	int rc;

	nla_put_string(m, IFLA_IFNAME, host_if);
	nla_put_u32(m, IFLA_MASTER, (uint32_t)bridge_index);
	nla_put_u32(m, IFLA_MTU, (uint32_t)mtu);
	info = nla_nest_start(m, IFLA_LINKINFO);
	nla_put_string(m, IFLA_INFO_KIND, "veth");
	data = nla_nest_start(m, IFLA_INFO_DATA);
	p = nla_nest_start(m, VETH_INFO_PEER);
	nlmsg_append(m, &peer, sizeof(peer), NLMSG_ALIGNTO);
	nla_put_string(m, IFLA_IFNAME, "eth0");
	nla_put(m, IFLA_ADDRESS, sizeof(mac.b), mac.b);
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

int link_port(struct nl_sock *s, const char *name, bool isolated, struct err *e)
{
	const struct {
		int attr;
		uint8_t on;
	} all[] = { { IFLA_BRPORT_MODE, 1 },        { IFLA_BRPORT_LEARNING, 0 },    { IFLA_BRPORT_UNICAST_FLOOD, 0 },
		    { IFLA_BRPORT_MCAST_FLOOD, 0 }, { IFLA_BRPORT_BCAST_FLOOD, 0 }, { IFLA_BRPORT_ISOLATED, isolated } };
	struct ifinfomsg ifi = { .ifi_family = AF_BRIDGE, .ifi_index = link_index(s, name) };
	struct nl_msg *m = nl_msg_new(RTM_SETLINK, 0, &ifi, sizeof(ifi));
	struct nlattr *port = nla_nest_start(m, IFLA_PROTINFO | NLA_F_NESTED);
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		nla_put_u8(m, all[i].attr, all[i].on);
	nla_nest_end(m, port);
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "isolate the link '%s' on its bridge", name) : 0;
}

int link_fdb(struct nl_sock *s, const char *name, struct link_mac mac, struct err *e)
{
	struct ndmsg nd = { .ndm_family = AF_BRIDGE, .ndm_ifindex = link_index(s, name), .ndm_state = NUD_NOARP,
			    .ndm_flags = NTF_MASTER };
	struct nl_msg *m = nl_msg_new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &nd, sizeof(nd));
	int rc;

	nla_put(m, NDA_LLADDR, sizeof(mac.b), mac.b);
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "tell the bridge who is behind the link '%s'", name) : 0;
}

int link_neighbour(struct nl_sock *s, int index, const struct net_addr *a, const struct link_mac *mac)
{
	struct ndmsg nd = { .ndm_family = (uint8_t)a->family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT };
	struct nl_msg *m = nl_msg_new(mac ? RTM_NEWNEIGH : RTM_DELNEIGH, mac ? NLM_F_CREATE | NLM_F_REPLACE : 0, &nd,
				      sizeof(nd));

	nla_put(m, NDA_DST, (int)net_addr_len(a), a->b);
	if (mac)
		nla_put(m, NDA_LLADDR, sizeof(mac->b), mac->b);
	return nl_request(s, m);
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

int link_address(struct nl_sock *s, const char *name, const struct net_addr *a, unsigned bits, struct err *e)
{
	int index = link_index(s, name), len = (int)net_addr_len(a), rc;
	struct ifaddrmsg ifa = { .ifa_family = (uint8_t)a->family, .ifa_prefixlen = (uint8_t)bits,
				 .ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0, .ifa_index = (unsigned)index };
	struct nl_msg *m;
	char text[NET_ADDR_TEXT];

	if (index < 0)
		return err_errno(e, -index, "look up the link '%s'", name);
	m = nl_msg_new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &ifa, sizeof(ifa));
	nla_put(m, IFA_LOCAL, len, a->b);
	nla_put(m, IFA_ADDRESS, len, a->b);
	if (a->family == AF_INET && bits < 31) {
		uint32_t broadcast;

		memcpy(&broadcast, a->b, sizeof(broadcast));
		broadcast |= htonl(0xffffffffu >> bits);
		nla_put(m, IFA_BROADCAST, sizeof(broadcast), &broadcast);
	}
	rc = nl_request(s, m);
	return rc < 0 ? err_errno(e, -rc, "give the link '%s' the address %s", name, net_addr_print(a, text)) : 0;
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

static int link_route(struct nl_sock *s, int index, const struct net_addr *to, const struct net_addr *gateway)
{
	int len = (int)net_addr_len(to ? to : gateway);
	struct rtmsg rt = { .rtm_family = (uint8_t)(to ? to : gateway)->family, .rtm_dst_len = (uint8_t)(to ? 8 * len : 0),
			    .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC,
			    .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK, .rtm_type = RTN_UNICAST };
	struct nl_msg *m = nl_msg_new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &rt, sizeof(rt));

	if (to)
		nla_put(m, RTA_DST, len, to->b);
	if (gateway)
		nla_put(m, RTA_GATEWAY, len, gateway->b);
	nla_put_u32(m, RTA_OIF, (uint32_t)index);
	return nl_request(s, m);
}

int link_default_route(struct nl_sock *s, const char *name, const struct net_addr *gateway, struct err *e)
{
	int index = link_index(s, name), rc = index;

	if (rc > 0)
		rc = link_route(s, index, gateway, NULL);
	if (rc >= 0)
		rc = link_route(s, index, NULL, gateway);
	return rc < 0 ? err_errno(e, -rc, "set the pod's default route") : 0;
}

int link_network_route(struct nl_sock *s, const char *name, const struct net_prefix *to)
{
	struct rtmsg rt = { .rtm_family = (unsigned char)to->addr.family, .rtm_dst_len = (unsigned char)to->bits,
			    .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_STATIC, .rtm_type = RTN_UNICAST,
			    .rtm_scope = to->addr.family == AF_INET6 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK };
	struct nl_msg *m = nl_msg_new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &rt, sizeof(rt));
	uint32_t index = if_nametoindex(name);
	uint8_t net[16] = { 0 };

	for (unsigned i = 0; i < to->bits; i++)
		net[i / 8] |= to->addr.b[i / 8] & (0x80u >> i % 8);
	nla_put(m, RTA_DST, (int)net_addr_len(&to->addr), net);
	nla_put(m, RTA_OIF, sizeof(index), &index);
	return nl_request(s, m);
}
