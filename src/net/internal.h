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

/* --- nl.c: requests and their answers --- */
int nl_open(struct nl_sock **ret, int protocol, struct err *e) MUST_CHECK;
struct nl_sock *nl_close_(struct nl_sock *s);
struct nl_msg *nl_msg_new(int type, int flags, const void *header, size_t header_len);
/* Sends msg (freed) and waits for its acknowledgement: 0 or -errno of the kernel. */
int nl_request(struct nl_sock *s, struct nl_msg *msg);
/* A route socket that belongs to another network namespace. */
int nl_open_in(struct nl_sock **ret, int netns_fd, struct err *e) MUST_CHECK;

/* --- link.c --- */
struct net_cidr {
	struct in_addr addr; /* as written, network order */
	unsigned bits;
};
bool net_cidr_parse(struct net_cidr *c, const char *text);
int link_index(struct nl_sock *s, const char *name); /* > 0, or -ENODEV */
int link_master(struct nl_sock *s, const char *name); /* index of the bridge that it is on, 0, or -errno */
int link_bridge(struct nl_sock *s, const char *name, struct in_addr gateway, int mtu, struct err *e) MUST_CHECK;
/* A veth pair: host_if on the bridge here, eth0 in the other namespace; both down. */
int link_veth(struct nl_sock *s, const char *host_if, int bridge_index, int netns_fd, int mtu, struct in_addr ip,
	      struct err *e) MUST_CHECK;
/* What comes from a port of the bridge may go out there again: a pod that calls itself by a host port or a service,
 * where bridges filter as routers do (br_netfilter). */
int link_hairpin(struct nl_sock *s, const char *name, struct err *e) MUST_CHECK;
int link_up(struct nl_sock *s, const char *name, struct err *e) MUST_CHECK;
int link_delete(struct nl_sock *s, const char *name); /* 0 or -errno; -ENODEV when absent */
int link_address(struct nl_sock *s, const char *name, struct in_addr a, unsigned bits, struct err *e) MUST_CHECK;
/* a alone, of this host's scope. */
int link_local_address(struct nl_sock *s, const char *name, const struct net_addr *a, struct err *e) MUST_CHECK;
int link_default_route(struct nl_sock *s, struct in_addr gateway, struct err *e) MUST_CHECK;

/* --- nft-base.c: what our table holds from the start, and the host ports. nft.h is what others use, too --- */
struct nft;
#define NFT_MASQUERADE_MARK 0x2000u /* such a packet leaves with this machine's address */
struct nft_net { /* of one family */
	struct net_prefix pods, cluster;
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

/* --- ipam.c --- */
struct ipam;
int ipam_open(struct ipam **ret, const char *file, const struct net_cidr *cidr, struct err *e) MUST_CHECK;
struct ipam *ipam_close(struct ipam *i);
int ipam_take(struct ipam *i, const char *id, struct in_addr *ret, struct err *e) MUST_CHECK;
void ipam_give(struct ipam *i, const char *id);
void ipam_keep(struct ipam *i, const char *const *keep, size_t n);
int ipam_find(const struct ipam *i, const char *id, struct in_addr *ret); /* 0 or -ENOENT */
struct in_addr ipam_gateway(const struct ipam *i);

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
