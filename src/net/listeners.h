/*
 * Which ports of this machine a process of its own already has: from the kernel's
 * lists of sockets, and the names of who holds them from /proc.
 */
#ifndef NET_LISTENERS_H
#define NET_LISTENERS_H

#include "net/net.h"

struct listener {
	int protocol; /* IPPROTO_TCP, IPPROTO_UDP; of others nothing is known */
	uint16_t port;
	bool held;
	char name[16]; /* of the process; "" where it can't be told */
	unsigned long long inode; /* of the socket */
};
/* Fills in held and name. What is bound to any address counts, and what is bound to one of own. Blocking, and slow on a
 * machine with many processes when something is held: for a worker thread. */
void listeners_look(struct listener *v, size_t n, const struct net_addr *own, size_t n_own);

#endif
