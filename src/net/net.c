/*
 * The pod network as its users see it: open, attach, detach, and leave no trace.
 */
#include "net/net.h"

#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/path.h"
#include "net/nft.h"

#define NET_V4_BITS_MIN 8 /* of a node's network */
#define NET_V4_BITS_MAX 30
#define NET_V6_BITS_MIN 16
#define NET_V6_BITS_MAX 124

struct net {
	struct nl_sock *nl;
	struct ipam *ipam;
	struct ports *ports;
	struct guard *guard;
	struct nft *nft;
	struct net_watch watch;
	struct nft_net nets[NET_FAMILIES];
	size_t n_nets;
	struct link_mac mac; /* the bridge's */
	char *bridge;
	int bridge_index, mtu;
	struct buf missing;
};

/* --- what the kernel is told in /proc/sys --- */

static int net_sysctl(const char *path, const char *value, struct err *e)
{
	_cleanup_buf_ struct buf now = BUF_INIT;
	_cleanup_err_ struct err none = ERR_INIT;

	if (path_read(path, 16, &now, &none) == 0 && str_eqc(str_trim(buf_str(&now)), value))
		return 0;
	return path_write(path, str_of(value), 0644, e);
}

/* Routers don't listen to other routers, unless they are told so: this machine must not lose its own way out. */
static void net_keep_listening(const struct net *n)
{
	struct if_nameindex *links = if_nameindex();

	for (struct if_nameindex *l = links; l && l->if_index; l++) {
		_cleanup_free_ char *path = xasprintf("/proc/sys/net/ipv6/conf/%s/accept_ra", l->if_name);
		_cleanup_buf_ struct buf now = BUF_INIT;
		_cleanup_err_ struct err e = ERR_INIT;

		if (streq(l->if_name, n->bridge) || starts_with(l->if_name, "kv") || path_read(path, 16, &now, &e) < 0 ||
		    now.s[0] != '1')
			continue;
		if (path_write(path, STR_LIT("2"), 0644, &e) < 0)
			log_warn("can't keep accepting router advertisements", LS("link", l->if_name), LE(&e));
	}
	if_freenameindex(links);
}

static void net_forwarding(struct net *n, int family)
{
	const char *path = family == AF_INET ? "/proc/sys/net/ipv4/ip_forward" : "/proc/sys/net/ipv6/conf/all/forwarding";
	_cleanup_err_ struct err e = ERR_INIT;

	if (family == AF_INET6)
		net_keep_listening(n);
	if (net_sysctl(path, "1", &e) < 0)
		buf_addf(&n->missing, "forwarding%s is off and can't be turned on, pods reach only this machine: %s\n",
			 family == AF_INET6 ? " of IPv6" : "", err_msg(&e));
}

/* proxy_arp_pvlan: pods of an earlier version ask for the address of each other pod. */
static void net_bridge_sysctls(const struct net *n)
{
	static const struct {
		const char *family, *name, *value;
	} all[] = { { "ipv4", "send_redirects", "0" }, { "ipv4", "proxy_arp_pvlan", "1" }, { "ipv6", "accept_ra", "0" } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_free_ char *path = xasprintf("/proc/sys/net/%s/conf/%s/%s", all[i].family, n->bridge, all[i].name);
		_cleanup_err_ struct err e = ERR_INIT;

		if (path_exists(path) && net_sysctl(path, all[i].value, &e) < 0)
			log_warn("can't configure the bridge", LE(&e));
	}
}

/* Where bridges filter as routers do (br_netfilter), what is led from a Service to a pod passes from port to port, and all
 * of it through the tables. */
static bool net_bridges_filter(void)
{
	static const char *const all[] = { "iptables", "ip6tables" };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_free_ char *path = xasprintf("/proc/sys/net/bridge/bridge-nf-call-%s", all[i]);
		_cleanup_buf_ struct buf now = BUF_INIT;
		_cleanup_err_ struct err e = ERR_INIT;

		if (path_read(path, 16, &now, &e) == 0 && now.s[0] != '0')
			return true;
	}
	return false;
}

/* --- life --- */

static void net_rules(struct net *n)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (nft_install(n->nft, n->nets, n->n_nets, &e) < 0) {
		buf_addf(&n->missing,
			 "pods can't reach other networks: %s; load the kernel's nf_tables and nft_masq modules\n",
			 err_msg(&e));
		return;
	}
	if (guard_redirects(n->nft, n->bridge, &e) < 0)
		log_warn("pods may be told to send past this machine's routing", LE(&e));
}

static int net_open_rules(struct net *n, const struct net_config *cfg, struct err *e)
{
	_cleanup_free_ char *file = xasprintf("%s.ports", cfg->state_file);
	struct ports_config pc = { .bridge = n->bridge, .file = file, .nets = n->nets, .n_nets = n->n_nets };

	n->nft = pc.nft = nft_new(NFPROTO_INET, cfg->table);
	net_rules(n);
	n->guard = guard_open(cfg->table, n->bridge, n->mac, &n->missing);
	return ports_open(&n->ports, &pc, &n->missing, e);
}

static bool net_has_room(const struct net_prefix *p)
{
	return p->addr.family == AF_INET ? p->bits >= NET_V4_BITS_MIN && p->bits <= NET_V4_BITS_MAX :
					   p->bits >= NET_V6_BITS_MIN && p->bits <= NET_V6_BITS_MAX;
}

static int net_read_config(struct net *n, const struct net_config *cfg, struct err *e)
{
	struct net_prefix pods[NET_FAMILIES], cluster[NET_FAMILIES];
	int count = net_prefixes_parse(pods, cfg->pod_cidr);

	if (count < 1 || net_prefixes_parse(cluster, cfg->cluster_cidr) != count)
		return err_set(e, ERR_BAD_REQUEST, "'%s' in '%s' is no pod network such as 10.42.0.0/24", cfg->pod_cidr,
			       cfg->cluster_cidr);
	for (n->n_nets = 0; n->n_nets < (size_t)count; n->n_nets++) {
		size_t k = n->n_nets;

		if (!net_has_room(&pods[k]) || pods[k].addr.family != cluster[k].addr.family)
			return err_set(e, ERR_BAD_REQUEST, "'%s' in '%s' is no pod network such as 10.42.0.0/24 or fd42::/64",
				       cfg->pod_cidr, cfg->cluster_cidr);
		n->nets[k] = (struct nft_net){ pods[k], cluster[k], !net_addr_is_private(&cluster[k].addr) };
	}
	if (strlen(cfg->bridge) >= IF_NAMESIZE || !*cfg->bridge)
		return err_set(e, ERR_BAD_REQUEST, "the bridge's name '%s' must have 1 to %d characters", cfg->bridge,
			       IF_NAMESIZE - 1);
	return 0;
}

static int net_open_bridge(struct net *n, struct err *e)
{
	struct net_addr gateway = ipam_gateway(n->ipam, 0);

	n->mac = link_mac(&gateway);
	if (link_bridge(n->nl, n->bridge, n->mac, n->mtu, e) < 0)
		return -e->code;
	net_bridge_sysctls(n);
	for (size_t k = 0; k < n->n_nets; k++) {
		_cleanup_free_ char *off = xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", n->bridge);

		gateway = ipam_gateway(n->ipam, k);
		if (gateway.family == AF_INET6 && net_sysctl(off, "0", e) < 0)
			return err_wrap(e, "this machine's kernel has no IPv6");
		if (link_address(n->nl, n->bridge, &gateway, n->nets[k].pods.bits, e) < 0)
			return -e->code;
	}
	return link_up(n->nl, n->bridge, e);
}

static int net_setup(struct net *n, const struct net_config *cfg, struct err *e)
{
	struct net_prefix pods[NET_FAMILIES];

	if (net_read_config(n, cfg, e) < 0)
		return -e->code;
	for (size_t k = 0; k < n->n_nets; k++)
		pods[k] = n->nets[k].pods;
	if (ipam_open(&n->ipam, cfg->state_file, pods, n->n_nets, e) < 0 || nl_open(&n->nl, NETLINK_ROUTE, e) < 0 ||
	    net_open_bridge(n, e) < 0)
		return -e->code;
	n->bridge_index = link_index(n->nl, cfg->bridge);
	for (size_t k = 0; k < n->n_nets; k++)
		net_forwarding(n, n->nets[k].pods.addr.family);
	return net_open_rules(n, cfg, e);
}

int net_open(struct net **ret, const struct net_config *cfg, struct err *e)
{
	struct net *n = xcalloc(1, sizeof(*n));

	buf_init(&n->missing);
	n->bridge = xstrdup(cfg->bridge);
	n->mtu = cfg->mtu ? cfg->mtu : host_mtu(cfg->bridge);
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
	guard_close(n->guard);
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

static int net_attach_pod_side(struct nl_sock *pod, const struct net *n, const struct ipam_lease *l, struct err *e)
{
	if (link_up(pod, "lo", e) < 0)
		return -e->code;
	for (size_t k = 0; k < l->n; k++)
		if (link_address(pod, "eth0", &l->addrs[k], 8 * (unsigned)net_addr_len(&l->addrs[k]), e) < 0)
			return -e->code;
	if (link_up(pod, "eth0", e) < 0)
		return -e->code;
	for (size_t k = 0; k < l->n; k++) {
		struct net_addr gateway = ipam_gateway(n->ipam, k);

		if (link_default_route(pod, "eth0", &gateway, e) < 0)
			return -e->code;
	}
	return 0;
}

static int net_guard(struct net *n, const char *host_if, const struct ipam_lease *l, bool there, struct err *e)
{
	struct guard_pod p = { host_if, link_mac(&l->addrs[0]), l->addrs, l->n };

	return guard_set(n->guard, &p, there, e);
}

static void net_forget_neighbours(struct net *n, const struct ipam_lease *l)
{
	for (size_t k = 0; k < l->n; k++)
		(void)link_neighbour(n->nl, n->bridge_index, &l->addrs[k], NULL);
}

/* The link is guarded before it is up. */
static int net_attach_link(struct net *n, const char *host_if, int netns_fd, const struct ipam_lease *l, struct err *e)
{
	struct link_mac mac = link_mac(&l->addrs[0]);
	struct nl_sock *pod = NULL;
	int rc;

	(void)link_delete(n->nl, host_if); /* a half-made one of before */
	if (link_veth(n->nl, host_if, n->bridge_index, netns_fd, n->mtu, mac, e) < 0)
		return -e->code;
	if (link_port(n->nl, host_if, !net_bridges_filter(), e) < 0 || link_fdb(n->nl, host_if, mac, e) < 0 ||
	    net_guard(n, host_if, l, true, e) < 0 || link_up(n->nl, host_if, e) < 0)
		return -e->code;
	for (size_t k = 0; k < l->n; k++) {
		rc = link_neighbour(n->nl, n->bridge_index, &l->addrs[k], &mac);
		if (rc < 0)
			return err_errno(e, -rc, "tell where the pod's address is");
	}
	if (nl_open_in(&pod, netns_fd, e) < 0)
		return -e->code;
	rc = net_attach_pod_side(pod, n, l, e);
	nl_close_(pod);
	return rc;
}

static void net_give_address(struct net *n, const char *id)
{
	ipam_give(n->ipam, id);
	if (n->watch.detached)
		n->watch.detached(n->watch.arg, id);
}

static void net_unlink(struct net *n, const char *id, const struct ipam_lease *l)
{
	_cleanup_err_ struct err e = ERR_INIT;
	char host_if[16];

	net_forget_neighbours(n, l);
	net_host_if(n, id, host_if);
	if (net_guard(n, host_if, l, false, &e) < 0)
		log_warn("a pod's addresses stay in the table of links", LS("link", host_if), LE(&e));
}

int net_attach(struct net *n, const char *id, int netns_fd, struct net_attachment *out, struct err *e)
{
	struct ipam_lease l;

	*out = (struct net_attachment){ 0 };
	if (ipam_take(n->ipam, id, &l, e) < 0)
		return -e->code;
	net_host_if(n, id, out->host_if);
	for (size_t k = 0; k < l.n; k++) {
		struct net_addr gateway = ipam_gateway(n->ipam, k);

		net_addr_print(&l.addrs[k], out->ip[k]);
		net_addr_print(&gateway, out->gateway[k]);
	}
	if (n->watch.attached)
		n->watch.attached(n->watch.arg, id);
	if (net_attach_link(n, out->host_if, netns_fd, &l, e) < 0) {
		(void)link_delete(n->nl, out->host_if);
		net_unlink(n, id, &l);
		net_give_address(n, id);
		return -e->code;
	}
	return 0;
}

int net_detach(struct net *n, const char *id, struct err *e)
{
	struct ipam_lease l;
	char host_if[16];
	int rc;

	net_host_if(n, id, host_if);
	rc = link_delete(n->nl, host_if);
	if (rc < 0 && rc != -ENODEV)
		return err_errno(e, -rc, "remove the pod's network link '%s'", host_if);
	if (ports_set(n->ports, id, NULL, 0, NULL, 0, e) < 0)
		return -e->code;
	if (ipam_find(n->ipam, id, &l) == 0)
		net_unlink(n, id, &l);
	net_give_address(n, id);
	return 0;
}

int net_set_ports(struct net *n, const char *id, const struct net_port *v, size_t count, struct err *e)
{
	struct ipam_lease l = { 0 };

	if (count && ipam_find(n->ipam, id, &l) < 0)
		return err_set(e, ERR_INTERNAL, "the pod has no address");
	return ports_set(n->ports, id, l.addrs, l.n, v, count, e);
}

/* Those that stay are set up again as far as others may have taken it away: sysctls and tables are everybody's. */
static void net_reconcile_pod(void *arg, const char *id, const struct ipam_lease *l, bool kept)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct net *n = arg;
	char host_if[16];

	if (!kept) {
		net_unlink(n, id, l);
		return;
	}
	net_host_if(n, id, host_if);
	if (!l->routed || link_index(n->nl, host_if) < 0)
		return;
	if (link_port(n->nl, host_if, !net_bridges_filter(), &e) < 0 || net_guard(n, host_if, l, true, &e) < 0)
		log_warn("a pod's link is not as it should be", LS("link", host_if), LE(&e));
}

void net_reconcile(struct net *n, const char *const *keep, size_t n_keep)
{
	ipam_keep(n->ipam, keep, n_keep, net_reconcile_pod, n);
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

size_t net_nets(const struct net *n, const struct nft_net **ret)
{
	*ret = n->nets;
	return n->n_nets;
}

bool net_has_family(const struct net *n, int family)
{
	for (size_t k = 0; k < n->n_nets; k++)
		if (n->nets[k].pods.addr.family == family)
			return true;
	return false;
}

void net_set_watch(struct net *n, const struct net_watch *w)
{
	n->watch = w ? *w : (struct net_watch){ .arg = NULL };
}

size_t net_addresses(const struct net *n, const char *id, struct net_addr out[NET_FAMILIES])
{
	struct ipam_lease l;

	if (ipam_find(n->ipam, id, &l) < 0)
		return 0;
	memcpy(out, l.addrs, l.n * sizeof(*out));
	return l.n;
}

/* --- the end --- */

static int net_kill_table(uint8_t family, const char *table, struct buf *report, struct err *e)
{
	struct nft *t = nft_new(family, table);
	const char *of = family == NFPROTO_BRIDGE ? "bridge " : "";
	int rc = nft_remove(t);

	nft_free(t);
	if (rc == 0)
		buf_addf(report, "removed the nf_tables table %s%s\n", of, table);
	else if (rc != -ENOENT && rc != -EPROTONOSUPPORT && rc != -EOPNOTSUPP && rc != -EINVAL && rc != -EAFNOSUPPORT)
		return err_errno(e, -rc, "remove the nf_tables table '%s%s'", of, table);
	return 0;
}

int net_kill_all(const char *bridge, const char *table, struct buf *report, struct err *e)
{
	struct if_nameindex *links = if_nameindex(), *l;
	struct nl_sock *s;
	int rc, index;

	rc = net_forget(bridge);
	if (rc > 0)
		buf_addf(report, "forgot %d connections of pods\n", rc);
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
	if (net_kill_table(NFPROTO_BRIDGE, table, report, e) < 0)
		return -e->code;
	return net_kill_table(NFPROTO_INET, table, report, e);
}
