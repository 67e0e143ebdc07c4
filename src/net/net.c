/*
 * The pod network as its users see it: open, attach, detach, and leave no trace.
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/path.h"
#include "net/nft.h"

#define NET_FORWARD "/proc/sys/net/ipv4/ip_forward"

struct net {
	struct nl_sock *nl;
	struct ipam *ipam;
	struct ports *ports;
	struct nft *nft;
	struct net_watch watch;
	struct net_cidr pods, cluster;
	char *bridge;
	int bridge_index, mtu;
	struct buf missing;
};

/* The link that holds the address towards others tells the MTU. */
static int net_default_mtu(const char *bridge)
{
	struct ifaddrs *all, *a;
	char text[46];
	struct in_addr host;
	int mtu = 1500;

	net_host_address(bridge, text);
	if (inet_pton(AF_INET, text, &host) != 1 || getifaddrs(&all) < 0)
		return mtu;
	for (a = all; a; a = a->ifa_next) {
		struct ifreq r = { 0 };
		_cleanup_close_ int fd = -1;

		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET ||
		    ((struct sockaddr_in *)a->ifa_addr)->sin_addr.s_addr != host.s_addr ||
		    (a->ifa_flags & IFF_LOOPBACK))
			continue;
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", a->ifa_name);
		if (fd >= 0 && ioctl(fd, SIOCGIFMTU, &r) == 0 && r.ifr_mtu >= 576 && r.ifr_mtu <= 65535)
			mtu = r.ifr_mtu;
		break;
	}
	freeifaddrs(all);
	return mtu;
}

static void net_forwarding(struct net *n)
{
	_cleanup_buf_ struct buf now = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_read(NET_FORWARD, 16, &now, &e) == 0 && now.s[0] == '1')
		return;
	err_release(&e);
	if (path_write(NET_FORWARD, STR_LIT("1"), 0644, &e) < 0)
		buf_addf(&n->missing, "forwarding is off and can't be turned on, pods reach only this machine: %s\n",
			 err_msg(&e));
}

static void net_masquerade(struct net *n, const struct nft_net *nets, size_t n_nets)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (nft_install(n->nft, nets, n_nets, &e) < 0)
		buf_addf(&n->missing,
			 "pods can't reach other networks: %s; load the kernel's nf_tables and nft_masq modules\n",
			 err_msg(&e));
}

static int net_open_rules(struct net *n, const struct net_config *cfg, struct err *e)
{
	_cleanup_free_ char *file = xasprintf("%s.ports", cfg->state_file);
	struct nft_net net = { 0 };
	struct ports_config pc = { .bridge = n->bridge, .file = file, .nets = &net, .n_nets = 1 };

	if (!net_prefix_parse(&net.pods, cfg->pod_cidr) || !net_prefix_parse(&net.cluster, cfg->cluster_cidr))
		return err_set(e, ERR_BAD_REQUEST, "'%s' in '%s' is no pod network", cfg->pod_cidr, cfg->cluster_cidr);
	n->nft = pc.nft = nft_new(NFPROTO_INET, cfg->table);
	net_masquerade(n, &net, 1);
	return ports_open(&n->ports, &pc, &n->missing, e);
}

static int net_setup(struct net *n, const struct net_config *cfg, struct err *e)
{
	if (!net_cidr_parse(&n->pods, cfg->pod_cidr) || !net_cidr_parse(&n->cluster, cfg->cluster_cidr) ||
	    n->pods.bits > 30 || n->pods.bits < 8)
		return err_set(e, ERR_BAD_REQUEST, "'%s' in '%s' is no pod network such as 10.42.0.0/24", cfg->pod_cidr,
			       cfg->cluster_cidr);
	if (strlen(cfg->bridge) >= IF_NAMESIZE || !*cfg->bridge)
		return err_set(e, ERR_BAD_REQUEST, "the bridge's name '%s' must have 1 to %d characters", cfg->bridge,
			       IF_NAMESIZE - 1);
	if (ipam_open(&n->ipam, cfg->state_file, &n->pods, e) < 0 || nl_open(&n->nl, NETLINK_ROUTE, e) < 0)
		return -e->code;
	if (link_bridge(n->nl, cfg->bridge, ipam_gateway(n->ipam), n->mtu, e) < 0 ||
	    link_address(n->nl, cfg->bridge, ipam_gateway(n->ipam), n->pods.bits, e) < 0 ||
	    link_up(n->nl, cfg->bridge, e) < 0)
		return -e->code;
	n->bridge_index = link_index(n->nl, cfg->bridge);
	net_forwarding(n);
	return net_open_rules(n, cfg, e);
}

int net_open(struct net **ret, const struct net_config *cfg, struct err *e)
{
	struct net *n = xcalloc(1, sizeof(*n));

	buf_init(&n->missing);
	n->bridge = xstrdup(cfg->bridge);
	n->mtu = cfg->mtu ? cfg->mtu : net_default_mtu(cfg->bridge);
	if (net_setup(n, cfg, e) < 0) {
		net_close(n);
		return err_wrap(e, "set up the pod network");
	}
	*ret = n;
	return 0;
}

struct net *net_close(struct net *n)
{
	if (!n)
		return NULL;
	nl_close_(n->nl);
	ipam_close(n->ipam);
	ports_close(n->ports);
	nft_free(n->nft);
	buf_release(&n->missing);
	free(n->bridge);
	free(n);
	return NULL;
}

const char *net_bridge(const struct net *n)
{
	return n->bridge;
}

const char *net_missing(const struct net *n)
{
	return n->missing.s;
}

/* "kv" and a hash of bridge and id: the same each time, so that a half-made link is found again. */
static void net_host_if(const struct net *n, const char *id, char out[16])
{
	_cleanup_free_ char *text = xasprintf("%s/%s", n->bridge, id);

	snprintf(out, 16, "kv%012llx", (unsigned long long)(hash_fnv64a(str_of(text)) & 0xffffffffffffull));
}

static int net_attach_pod_side(struct nl_sock *pod, const struct net *n, struct in_addr ip, struct err *e)
{
	if (link_up(pod, "lo", e) < 0 || link_address(pod, "eth0", ip, n->pods.bits, e) < 0 ||
	    link_up(pod, "eth0", e) < 0)
		return -e->code;
	return link_default_route(pod, ipam_gateway(n->ipam), e);
}

static int net_attach_link(struct net *n, const char *host_if, int netns_fd, struct in_addr ip, struct err *e)
{
	struct nl_sock *pod = NULL;
	int rc;

	(void)link_delete(n->nl, host_if); /* a half-made one of before */
	if (link_veth(n->nl, host_if, n->bridge_index, netns_fd, n->mtu, ip, e) < 0)
		return -e->code;
	if (link_hairpin(n->nl, host_if, e) < 0 || link_up(n->nl, host_if, e) < 0 || nl_open_in(&pod, netns_fd, e) < 0)
		return -e->code;
	rc = net_attach_pod_side(pod, n, ip, e);
	nl_close_(pod);
	return rc;
}

static void net_give_address(struct net *n, const char *id)
{
	ipam_give(n->ipam, id);
	if (n->watch.detached)
		n->watch.detached(n->watch.arg, id);
}

int net_attach(struct net *n, const char *id, int netns_fd, struct net_attachment *out, struct err *e)
{
	struct in_addr ip, gateway = ipam_gateway(n->ipam);

	if (ipam_take(n->ipam, id, &ip, e) < 0)
		return -e->code;
	net_host_if(n, id, out->host_if);
	inet_ntop(AF_INET, &ip, out->ip, sizeof(out->ip));
	inet_ntop(AF_INET, &gateway, out->gateway, sizeof(out->gateway));
	if (n->watch.attached)
		n->watch.attached(n->watch.arg, id);
	if (net_attach_link(n, out->host_if, netns_fd, ip, e) < 0) {
		(void)link_delete(n->nl, out->host_if);
		net_give_address(n, id);
		return -e->code;
	}
	return 0;
}

int net_detach(struct net *n, const char *id, struct err *e)
{
	char host_if[16];
	int rc;

	net_host_if(n, id, host_if);
	rc = link_delete(n->nl, host_if);
	if (rc < 0 && rc != -ENODEV)
		return err_errno(e, -rc, "remove the pod's network link '%s'", host_if);
	if (ports_set(n->ports, id, NULL, 0, NULL, 0, e) < 0)
		return -e->code;
	net_give_address(n, id);
	return 0;
}

int net_set_ports(struct net *n, const char *id, const struct net_port *v, size_t count, struct err *e)
{
	struct net_addr ip = { .family = AF_INET };
	struct in_addr in = { 0 };

	if (count && ipam_find(n->ipam, id, &in) < 0)
		return err_set(e, ERR_INTERNAL, "the pod has no address");
	memcpy(ip.b, &in, sizeof(in));
	return ports_set(n->ports, id, &ip, 1, v, count, e);
}

void net_reconcile(struct net *n, const char *const *keep, size_t n_keep)
{
	ipam_keep(n->ipam, keep, n_keep);
	ports_keep(n->ports, keep, n_keep);
}

int net_local_address(struct net *n, const struct net_addr *a, struct err *e)
{
	return link_local_address(n->nl, n->bridge, a, e);
}

/* --- for those who make rules by it --- */

struct nft *net_nft(const struct net *n)
{
	return n->nft;
}

bool net_has_family(const struct net *n UNUSED, int family)
{
	return family == AF_INET;
}

void net_set_watch(struct net *n, const struct net_watch *w)
{
	n->watch = w ? *w : (struct net_watch){ .arg = NULL };
}

size_t net_addresses(const struct net *n, const char *id, struct net_addr out[2])
{
	struct in_addr in;

	if (ipam_find(n->ipam, id, &in) < 0)
		return 0;
	out[0] = (struct net_addr){ .family = AF_INET };
	memcpy(out[0].b, &in, sizeof(in));
	return 1;
}

/* --- the host --- */

/* Which source address a packet to the world would have; nothing is sent. */
static bool net_source_address(char out[46])
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) }, from;
	socklen_t len = sizeof(from);
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, "192.0.2.1", &to.sin_addr); /* TEST-NET-1 */
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&from, &len) < 0)
		return false;
	return inet_ntop(AF_INET, &from.sin_addr, out, 46) != NULL;
}

void net_host_address(const char *bridge, char out[46])
{
	struct ifaddrs *all, *a;

	if (net_source_address(out))
		return;
	snprintf(out, 46, "127.0.0.1");
	if (getifaddrs(&all) < 0)
		return;
	for (a = all; a; a = a->ifa_next) {
		if (!a->ifa_addr || a->ifa_addr->sa_family != AF_INET || (a->ifa_flags & IFF_LOOPBACK) ||
		    !(a->ifa_flags & IFF_UP) || streq(a->ifa_name, bridge))
			continue;
		inet_ntop(AF_INET, &((struct sockaddr_in *)a->ifa_addr)->sin_addr, out, 46);
		break;
	}
	freeifaddrs(all);
}

int net_kill_all(const char *bridge, const char *table, struct buf *report, struct err *e)
{
	struct if_nameindex *links = if_nameindex(), *l;
	struct nl_sock *s;
	struct nft *t;
	int rc, index;

	/* A pod's link disappears with its namespace; those left on our bridge are taken down by name. */
	if (nl_open(&s, NETLINK_ROUTE, e) < 0) {
		if_freenameindex(links);
		return -e->code;
	}
	index = link_index(s, bridge);
	for (l = links; l && l->if_index && index > 0; l++)
		if (starts_with(l->if_name, "kv") && link_master(s, l->if_name) == index &&
		    link_delete(s, l->if_name) == 0)
			buf_addf(report, "removed the link %s\n", l->if_name);
	if_freenameindex(links);
	rc = link_delete(s, bridge);
	nl_close_(s);
	if (rc == 0)
		buf_addf(report, "removed the bridge %s\n", bridge);
	else if (rc != -ENODEV)
		return err_errno(e, -rc, "remove the bridge '%s'", bridge);
	t = nft_new(NFPROTO_INET, table);
	rc = nft_remove(t);
	nft_free(t);
	if (rc == 0)
		buf_addf(report, "removed the nf_tables table %s\n", table);
	else if (rc != -ENOENT && rc != -EPROTONOSUPPORT && rc != -EOPNOTSUPP && rc != -EINVAL)
		return err_errno(e, -rc, "remove the nf_tables table '%s'", table);
	return 0;
}
