/*
 * A UDP socket at one address that answers questions: read and answered in
 * batches, a bounded number in each turn of the loop, from the address that was
 * asked.
 */
#ifndef NET_UDP_H
#define NET_UDP_H

#include <netinet/in.h>

#include "net/net.h"

#define NET_UDP_ANSWER 1232 /* bytes of an answer */
#define NET_UDP_QUESTION 1500 /* what is longer is dropped */

struct net_udp;
struct net_udp_peer {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} u;
	uint8_t len;
};
void net_peer_addr(const struct net_udp_peer *p, struct net_addr *ret); /* an IPv4 address in IPv6 is IPv4 */
/* A socket of address and port, bound (and listening, when it is a stream); fd or -errno. */
int net_listen(const struct net_addr *a, uint16_t port, int type);
bool net_is_local(const struct net_addr *a); /* of this machine */

/* answer writes at most NET_UDP_ANSWER bytes to out and returns how many; 0: none, or it comes later by net_udp_send. */
typedef size_t (*net_udp_answer)(void *arg, struct net_udp *u, const struct net_udp_peer *from, struct str question,
				 void *out);
int net_udp_open(struct net_udp **ret, struct loop *l, const struct net_addr *a, uint16_t port, net_udp_answer answer,
		 void *arg, struct err *e) MUST_CHECK;
struct net_udp *net_udp_close(struct net_udp *u);
/* What the kernel has no room for is lost, as it may be on any way. */
void net_udp_send(struct net_udp *u, const struct net_udp_peer *to, const void *p, size_t n);

#endif
