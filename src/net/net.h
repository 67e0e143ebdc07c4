/*
 * The pod network of one node: a bridge, a veth pair for each pod, addresses,
 * routes, and masquerading by nf_tables; all through netlink. Plain structs in,
 * no API types.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include <sys/socket.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"

/* --- addresses of both families (addr.c) --- */
struct net_addr {
	int family; /* AF_INET, AF_INET6; 0: none */
	uint8_t b[16]; /* network order; of IPv4 the first 4 */
};
struct net_prefix {
	struct net_addr addr; /* as written */
	unsigned bits;
};
#define NET_ADDR_TEXT 46
bool net_addr_parse(struct net_addr *a, const char *text);
const char *net_addr_print(const struct net_addr *a, char out[NET_ADDR_TEXT]); /* returns out */
bool net_addr_equal(const struct net_addr *a, const struct net_addr *b);
static inline size_t net_addr_len(const struct net_addr *a)
{
	return a->family == AF_INET6 ? 16 : 4;
}
bool net_prefix_parse(struct net_prefix *p, const char *text); /* "10.0.0.0/8" */
bool net_prefix_has(const struct net_prefix *p, const struct net_addr *a); /* false for the other family */

/* --- the pod network --- */
struct net;

struct net_config {
	const char *bridge; /* "kinglet0" */
	const char *table; /* nf_tables table, "kinglet" */
	const char *pod_cidr; /* this node's, "10.42.0.0/24" */
	const char *cluster_cidr; /* no masquerade inside, "10.42.0.0/16" */
	const char *state_file; /* address allocations; survives restarts */
	int mtu; /* 0: of the default route's link, else 1500 */
};
/* Makes or repairs bridge, address, forwarding and rules; idempotent. Blocking but quick. */
int net_open(struct net **ret, const struct net_config *cfg, struct err *e) MUST_CHECK;
struct net *net_close(struct net *n); /* leaves everything in place */
const char *net_bridge(const struct net *n); /* its name */
const char *net_missing(const struct net *n); /* what the kernel lacks (nf_tables, ...), lines; "" */

struct net_attachment {
	char ip[16]; /* "10.42.0.5" */
	char gateway[16];
	char host_if[16];
};
/* id: the sandbox's. The same id gets the same address again. netns_fd: its network namespace. lo is brought up. */
int net_attach(struct net *n, const char *id, int netns_fd, struct net_attachment *out, struct err *e) MUST_CHECK;
/* Frees link and address; absent is success. */
int net_detach(struct net *n, const char *id, struct err *e) MUST_CHECK;
/* Host ports of a pod that is attached; they replace those that it had. They stay when this process ends, and go with
 * net_detach. */
struct net_port {
	int protocol; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	const char *host_ip; /* "": any address of this machine, of the families that the pod has */
	uint16_t host_port, port;
};
int net_set_ports(struct net *n, const char *id, const struct net_port *v, size_t count, struct err *e) MUST_CHECK;
/* Addresses and ports whose id is not in keep (sorted array) are freed: after a restart. */
void net_reconcile(struct net *n, const char *const *keep, size_t n_keep);

/* Makes a (alone, without a network) an address of this machine, on the bridge: it survives this process, and goes with
 * the bridge. It is never what this machine calls others from. Idempotent. */
int net_local_address(struct net *n, const struct net_addr *a, struct err *e) MUST_CHECK;

/* The address that this node has towards others: of the default route, else the first one that is not our bridge's, else
 * 127.0.0.1. */
void net_host_address(const char *bridge, char out[46]);
/* For `kinglet killall`: removes bridge, its veths and the table. */
int net_kill_all(const char *bridge, const char *table, struct buf *report, struct err *e) MUST_CHECK;

#endif
