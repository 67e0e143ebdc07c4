/*
 * The pod network of one node: a bridge, a veth pair for each pod, addresses,
 * routes, and masquerading by nf_tables; all through netlink. Plain structs in,
 * no API types.
 *
 * A pod has one address of each family, alone (/32, /128), and everything goes by the
 * gateway: its link is an isolated port of the bridge, without learning and flooding,
 * so that nothing passes between pods but what this machine's routing and our table
 * let pass. From its link comes only what bears its own addresses (guard.c).
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
void net_prefix_first(struct net_prefix *p); /* addr becomes the network's first */
bool net_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b);
struct net_addr net_addr_add(const struct net_addr *a, uint32_t n); /* the n-th behind it */
bool net_addr_is_private(const struct net_addr *a); /* no router of the Internet leads there; of IPv4: always */
/* "10.42.0.0/16,fd42::/56": one or two, the second of the other family. How many; -1: it is none of that. */
#define NET_FAMILIES 2
int net_prefixes_parse(struct net_prefix v[NET_FAMILIES], const char *text);

/* --- the pod network --- */
struct net;

struct net_config {
	const char *bridge; /* "kinglet0" */
	const char *table; /* nf_tables table, "kinglet" */
	const char *pod_cidr; /* this node's, "10.42.0.0/24", of two families by a comma, the primary one first */
	const char *cluster_cidr; /* no masquerade inside, "10.42.0.0/16"; of the same families */
	const char *state_file; /* address allocations; survives restarts */
	int mtu; /* 0: of the default route's link, else 1500 */
};
/* Makes or repairs bridge, address, forwarding and rules; idempotent. Blocking but quick. */
int net_open(struct net **ret, const struct net_config *cfg, struct err *e) MUST_CHECK;
struct net *net_close(struct net *n); /* leaves everything in place */
const char *net_bridge(const struct net *n); /* its name */
const char *net_missing(const struct net *n); /* what the kernel lacks (nf_tables, ...), lines; "" */

struct net_attachment {
	char ip[NET_FAMILIES][NET_ADDR_TEXT]; /* "10.42.0.5"; the second one "" where there is one family */
	char gateway[NET_FAMILIES][NET_ADDR_TEXT];
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

/* --- policies: who may speak to the pods of this node (policy.c) --- */
/*
 * Guarded addresses lead to chains, chains accept by sets, and what a chain does not accept is dropped; once for what
 * comes in to a pod, once for what goes out of it. Sets and chains have numbers (from 1) that the caller chose; a chain
 * or set is made before others name it, and goes after those that did. Both families alike: a set has addresses of
 * either.
 */
enum net_policy_set {
	NET_SET_ADDR, /* addr: of pods */
	NET_SET_BLOCK, /* addr to last, which do not overlap */
	NET_SET_PORT, /* protocol, port to last_port, which do not overlap; of no family */
	NET_SET_POD_PORT, /* addr, protocol, port: of the destination */
};
struct net_policy_elem { /* what a kind of set has no use for is 0 */
	struct net_addr addr, last;
	uint8_t protocol;
	uint16_t port, last_port;
};
enum net_dir { NET_IN, NET_OUT };
enum net_policy_verb {
	NET_POLICY_SET, NET_POLICY_UNSET, /* set, kind */
	NET_POLICY_ADD, NET_POLICY_DEL, /* set, kind, elem */
	NET_POLICY_CHAIN, NET_POLICY_UNCHAIN, /* chain: made, or emptied when it is there */
	NET_POLICY_ACCEPT, /* chain, dir; peer: set of the other's address; set, kind: of ports; 0: any */
	NET_POLICY_CALL, /* chain, to: the other chain, and on when that has accepted nothing */
	NET_POLICY_DROP, /* chain */
	NET_POLICY_GUARD, /* elem.addr, dir, chain; chain 0: all is dropped */
	NET_POLICY_UNGUARD, /* elem.addr, dir */
};
struct net_policy_op {
	uint8_t verb, kind, dir;
	uint32_t set, chain, peer, to;
	struct net_policy_elem elem;
};
/* All of it or nothing, in one transaction. anew: in place of all that was there before. *bytes: what it took. */
int net_policy_apply(struct net *n, const struct net_policy_op *v, size_t count, bool anew, size_t *bytes,
		     struct err *e) MUST_CHECK;
/* No traffic of this address but with the machine itself, until net_policy_apply says otherwise. 0 also where there are
 * no policies. */
int net_policy_shut(struct net *n, const struct net_addr *a, struct err *e) MUST_CHECK;
int net_policy_remove(struct net *n, struct err *e) MUST_CHECK; /* absent is success */

/* --- the addresses of pods, as they come and go --- */
/* id: of net_attach. Told before the link is up, and when the address is free again. One watcher; NULL: none. */
struct net_watch {
	void (*attached)(void *arg, const char *id);
	void (*detached)(void *arg, const char *id);
	void *arg;
};
void net_set_watch(struct net *n, const struct net_watch *w);
size_t net_addresses(const struct net *n, const char *id, struct net_addr out[2]); /* 0: it is not attached */

/*
 * --- Services: addresses and ports of ours that lead to endpoints (service.c) ---
 *
 * What is set goes into one transaction, which commit sends. It costs what has changed, however many Services there
 * are. begin starts anew: what is set from then on becomes valid in whole with switch, and what was in the kernel until
 * then, be it of a process before this one, is used until then.
 *
 * Of two Services that want the same address and port the older one has it (by name where they are of one age), and
 * the other gets it when that one is gone.
 */
struct net_endpoint {
	struct net_addr addr;
	uint16_t port;
};
struct net_service_port {
	const char *name; /* "" or unlike that of every other port; '/6' is added for IPv6 */
	int family; /* of all that follows */
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	uint16_t port, node_port; /* node_port 0: none */
	struct net_addr cluster_ip;
	const struct net_addr *external, *lb; /* externalIPs, and addresses of a load balancer */
	size_t n_external, n_lb;
	const struct net_prefix *sources; /* who may come by lb; none: anybody. Those of the other family are of no account */
	size_t n_sources;
	bool restricted; /* sources count, even when there are none */
	bool internal_local, external_local; /* traffic from inside, from outside: to local endpoints only */
	bool any; /* there are endpoints somewhere: what finds none here is dropped; else it is rejected */
	uint32_t affinity_s; /* a client comes to the same endpoint until it was away for so long; 0: to any */
	const struct net_endpoint *cluster, *local;
	size_t n_cluster, n_local;
};
struct net_services;
struct net_services_config {
	struct net *net;
	const char *service_cidr; /* the machine's own packets to it find their way; two families by a comma */
	/* who has not got what it wants, once for each Service: "10.0.0.1:80/TCP" is that of owner; keys as below */
	void (*lost)(void *arg, const char *key, const char *what, const char *owner);
	void *arg;
};
struct net_services *net_services_new(const struct net_services_config *cfg);
struct net_services *net_services_free(struct net_services *s); /* the kernel keeps what it has */
void net_services_begin(struct net_services *s);
/* key: "NAMESPACE/NAME"; created: seconds, for the order of those that want the same; n 0: it is gone. */
void net_services_set(struct net_services *s, const char *key, int64_t created, const struct net_service_port *v,
		      size_t n);
/* After a failure nothing fits any more: begin again. */
int net_services_commit(struct net_services *s, struct err *e) MUST_CHECK;
int net_services_switch(struct net_services *s, struct err *e) MUST_CHECK; /* commits, too */
/* Removes some of what was in the kernel before; true: there is more. */
bool net_services_tidy(struct net_services *s);
size_t net_services_memory(const struct net_services *s);
struct net_service_stats {
	uint64_t batches, messages, bytes, refused;
};
struct net_service_stats net_services_stats(const struct net_services *s);

/* The address of the family (AF_INET, AF_INET6) that this node has towards others: of the default route, else the first
 * one of a wider scope than the link that is not our bridge's, else 127.0.0.1 or ::1 (then false). */
bool net_host_address(const char *bridge, int family, char out[NET_ADDR_TEXT]);
/* The first network or address of this machine's other links that overlaps with one of the networks (comma list): true,
 * and what it is, as "192.168.0.0/16 of eth0". */
bool net_conflict(const char *bridge, const char *networks, char out[NET_ADDR_TEXT + 32]);
/* For `kinglet killall`: removes bridge, its veths and the table. */
int net_kill_all(const char *bridge, const char *table, struct buf *report, struct err *e) MUST_CHECK;

#endif
