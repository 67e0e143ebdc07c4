/*
 * The kernel's interfaces that net uses, as plain functions. libnl stays in
 * nl.c and link.c.
 */
#ifndef NET_INTERNAL_H
#define NET_INTERNAL_H

#include <netinet/in.h>

#include "base/map.h"
#include "net/net.h"

struct nl_sock;
struct nl_msg;
struct nft;
struct nft_net;

/* --- nl.c: requests and their answers --- */
int nl_open(struct nl_sock **ret, int protocol, struct err *e) MUST_CHECK;
struct nl_sock *nl_close_(struct nl_sock *s);
struct nl_msg *nl_msg_new(int type, int flags, const void *header, size_t header_len);
/* Sends msg (freed) and waits for its acknowledgement: 0 or -errno of the kernel. */
int nl_request(struct nl_sock *s, struct nl_msg *msg);
/* A route socket that belongs to another network namespace. */
int nl_open_in(struct nl_sock **ret, int netns_fd, struct err *e) MUST_CHECK;

/* --- link.c --- */
int link_index(struct nl_sock *s, const char *name); /* > 0, or -ENODEV */
int link_master(struct nl_sock *s, const char *name); /* index of the bridge that it is on, 0, or -errno */
/* 0a:58 and the address' last bytes: stays the same whatever is plugged in. */
struct link_mac {
	uint8_t b[6];
};
struct link_mac link_mac(const struct net_addr *a);
int link_bridge(struct nl_sock *s, const char *name, struct link_mac mac, int mtu, struct err *e) MUST_CHECK;
/* A veth pair: host_if on the bridge here, eth0 with that address in the other namespace; both down. */
int link_veth(struct nl_sock *s, const char *host_if, int bridge_index, int netns_fd, int mtu, struct link_mac mac,
	      struct err *e) MUST_CHECK;
/* Nothing is learnt from the port and nothing is flooded to it; isolated: nothing passes from it to other such ports. What
 * comes from it may go out there again (a pod that calls itself, where bridges filter as routers do: br_netfilter). */
int link_port(struct nl_sock *s, const char *name, bool isolated, struct err *e) MUST_CHECK;
/* Frames for mac leave by the port name. */
int link_fdb(struct nl_sock *s, const char *name, struct link_mac mac, struct err *e) MUST_CHECK;
/* a is at mac, for good; MAC NULL: no more. */
int link_neighbour(struct nl_sock *s, int index, const struct net_addr *a, const struct link_mac *mac); /* 0 or -errno */
int link_up(struct nl_sock *s, const char *name, struct err *e) MUST_CHECK;
int link_delete(struct nl_sock *s, const char *name); /* 0 or -errno; -ENODEV when absent */
int link_address(struct nl_sock *s, const char *name, const struct net_addr *a, unsigned bits, struct err *e) MUST_CHECK;
/* a alone, of this host's scope. */
int link_local_address(struct nl_sock *s, const char *name, const struct net_addr *a, struct err *e) MUST_CHECK;
/* The gateway is on the link, and all else behind it. */
int link_default_route(struct nl_sock *s, const char *name, const struct net_addr *gateway, struct err *e) MUST_CHECK;
/* What goes to that network leaves by that link; 0 or -errno. */
int link_network_route(struct nl_sock *s, const char *name, const struct net_prefix *to);

/* --- nft-base.c: what our table holds from the start, and the host ports. nft.h is what others use, too --- */
struct nft;
#define NFT_MASQUERADE_MARK 0x2000u /* such a packet leaves with this machine's address */
struct nft_net { /* of one family */
	struct net_prefix pods, cluster;
	bool no_masquerade; /* pods' addresses are known outside */
};
/* What pods send to outside the cluster is masqueraded, and what bears the mark. */
int nft_install(struct nft *t, const struct nft_net *v, size_t n, struct err *e) MUST_CHECK;
/* The chains that lead to host ports and services, and the guard of 127.0.0.0/8. */
int nft_install_dstnat(struct nft *t, const char *bridge, struct err *e) MUST_CHECK;
/* A host port, and where it leads. */
struct nft_port {
	uint8_t protocol;
	struct net_addr host_ip; /* family 0: any */
	uint16_t host_port, port; /* host order */
	struct net_addr ip;
};
/* All host ports of this machine, at once. */
int nft_set_ports(struct nft *t, const struct nft_net *nets, size_t n_nets, const struct nft_port *v, size_t n,
		  struct err *e) MUST_CHECK;

/* --- net.c --- */
struct nft *net_nft(const struct net *n); /* our table of family inet */
bool net_has_family(const struct net *n, int family); /* AF_INET, AF_INET6: of pods' addresses */
size_t net_nets(const struct net *n, const struct nft_net **ret); /* one of each family */

/* --- service-rules.c: what is in the chains of one port of a Service --- */
enum service_chain { SERVICE_ALLOW, SERVICE_EXT, SERVICE_LOC, SERVICE_SVC, SERVICE_CHAINS };
#define SERVICE_NAME 256 /* of a chain or set */
struct nft_batch;
struct service_rules {
	char generation; /* 'a', 'b' */
	const char *key;
	const struct net_service_port *p;
	const struct net_prefix *cluster; /* of the family; NULL: unknown */
};
/* Which chains the port needs: bits 1 << enum service_chain. In the order of the enum no chain is referred to by one
 * before it that is gone. */
unsigned service_chains(const struct net_service_port *p);
void service_chain_name(char out[SERVICE_NAME], enum service_chain c, char generation, const char *key, const char *port,
			int family);
void service_affinity_name(char out[SERVICE_NAME], const char *key, const char *port, int family, uint32_t seconds);
void service_chain_fill(struct nft_batch *b, const struct service_rules *r, enum service_chain c);
uint64_t service_chain_hash(const struct net_service_port *p, enum service_chain c); /* of what fill would write */

/* --- conntrack.c: connections that the kernel remembers --- */
struct conntrack_match { /* of UDP */
	struct net_addr addr; /* family, and no address: any of this machine */
	int family;
	uint16_t port;
	const struct net_endpoint *to; /* those that lead elsewhere are forgotten; borrowed */
	size_t n;
};
int conntrack_forget(const struct conntrack_match *v, size_t n); /* how many, or -errno */

/* --- forget.c --- */
/* The connections to and from the networks of the bridge; how many, or -errno. */
int net_forget(const char *bridge);

/* --- ipam.c --- */
struct ipam;
struct ipam_lease {
	struct net_addr addrs[NET_FAMILIES];
	size_t n;
	bool routed; /* its link is isolated */
};
int ipam_open(struct ipam **ret, const char *file, const struct net_prefix *nets, size_t n, struct err *e) MUST_CHECK;
struct ipam *ipam_close(struct ipam *i);
int ipam_take(struct ipam *i, const char *id, struct ipam_lease *ret, struct err *e) MUST_CHECK;
void ipam_give(struct ipam *i, const char *id);
/* each is called for all, before those that are not kept go. */
void ipam_keep(struct ipam *i, const char *const *keep, size_t n,
	       void (*each)(void *arg, const char *id, const struct ipam_lease *l, bool kept), void *arg);
int ipam_find(const struct ipam *i, const char *id, struct ipam_lease *ret); /* 0 or -ENOENT */
struct net_addr ipam_gateway(const struct ipam *i, size_t k); /* of the k-th network */

/* --- host.c --- */
#define HOST_MTU 1500
int host_mtu(const char *bridge); /* of the link that holds the address towards others, else HOST_MTU */

/* --- guard.c: what may come from a pod's link --- */
struct guard;
struct guard_pod {
	const char *link; /* of the host's side */
	struct link_mac mac;
	const struct net_addr *addrs;
	size_t n;
};
/* The sets that are there stay. NULL with *missing told: the kernel can't. */
struct guard *guard_open(const char *table, const char *bridge, struct link_mac gateway, struct buf *missing);
struct guard *guard_close(struct guard *g);
int guard_set(struct guard *g, const struct guard_pod *p, bool there, struct err *e) MUST_CHECK; /* g NULL: success */
/* This machine doesn't tell pods that another pod is nearer than the gateway: all pass by it. t: of family inet. */
int guard_redirects(struct nft *t, const char *bridge, struct err *e) MUST_CHECK;

/* --- ports.c --- */
struct ports;
struct ports_config {
	struct nft *nft;
	const char *bridge, *file;
	const struct nft_net *nets; /* copied */
	size_t n_nets; /* 1, 2 */
};
/* Sets up what the file remembers; *missing tells what the kernel lacks for it. */
int ports_open(struct ports **ret, const struct ports_config *cfg, struct buf *missing, struct err *e) MUST_CHECK;
struct ports *ports_close(struct ports *p);
/* ips: of the pod, one of each family. */
int ports_set(struct ports *p, const char *id, const struct net_addr *ips, size_t n_ips, const struct net_port *v,
	      size_t n, struct err *e) MUST_CHECK;
void ports_keep(struct ports *p, const char *const *keep, size_t n); /* keep: sorted */
/* What this machine sends to 127.0.0.0/8 may be led elsewhere. */
void ports_localnet(const char *bridge);

#endif
