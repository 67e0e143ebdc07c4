/*
 * Addresses that this machine answers for though no interface has them: neighbours
 * are told by ARP (IPv4) and neighbour discovery (IPv6) that they are at our link
 * address, on each link whose network holds the address. What arrives is for
 * whoever translates it (the service proxy's rules).
 *
 * Before an address is announced it is probed (RFC 5227, RFC 4862, with shorter
 * times): if another machine answers it is not announced, and tried again later, at
 * longer and longer intervals up to a minute. One that turns up afterwards is
 * reported, and the address defended. Nothing wakes us but questions for, and claims
 * of, these addresses: the sockets' filters see to that.
 */
#ifndef NET_ANNOUNCE_H
#define NET_ANNOUNCE_H

#include "net/net.h"

struct announcer;

enum announce_news {
	ANNOUNCE_OURS, /* it was free and is announced */
	ANNOUNCE_TAKEN, /* another machine has it; it is not announced for now. Told at the second try: at the first
			 * the one who had it before may just be about to let go */
	ANNOUNCE_CONTESTED, /* it is announced, and another machine claims it too */
	ANNOUNCE_NO_LINK, /* no link of this machine is in a network that holds it */
};

struct announcer_config {
	struct loop *loop;
	const char *bridge; /* the pods': nothing is announced there */
	/* link and mac ("02:00:..."): where, and who else; "" where they say nothing. a lives for the call. */
	void (*news)(void *arg, enum announce_news what, const struct net_addr *a, const char *link, const char *mac);
	void *arg;
};

int announcer_new(struct announcer **ret, const struct announcer_config *cfg, struct err *e) MUST_CHECK;
struct announcer *announcer_free(struct announcer *a); /* neighbours learn of it when they ask again */
/* All the addresses that are ours from now on. */
void announcer_set(struct announcer *a, const struct net_addr *v, size_t n);

/* --- neigh.c: the messages --- */
#define NEIGH_FRAME 86 /* the longest that is built */
struct neigh {
	struct net_addr asks; /* who has that? family 0: nobody is asked for */
	struct net_addr claims; /* the sender says that it is his */
	struct net_addr from; /* the asker's address; family 0: he has none yet: he probes */
	uint8_t mac[6]; /* the sender's */
};
/* An ethernet frame that holds ARP, or ICMPv6 by IPv6. False: nothing of interest. */
bool neigh_parse(struct neigh *ret, const uint8_t *frame, size_t n);
/* "Who has a?", without an address of one's own. Returns the length. */
size_t neigh_probe(uint8_t out[NEIGH_FRAME], const struct net_addr *a, const uint8_t mac[6]);
/* "a is at mac", to everybody; of ARP as a question or as an answer, since some heed only one of them. */
size_t neigh_announce(uint8_t out[NEIGH_FRAME], const struct net_addr *a, const uint8_t mac[6], bool as_answer);
/* "a is at mac", to who has asked. */
size_t neigh_answer(uint8_t out[NEIGH_FRAME], const struct net_addr *a, const uint8_t mac[6], const struct neigh *asked);
/* ff02::1:ffXX:XXXX, where questions for a are sent to. */
struct net_addr neigh_group(const struct net_addr *a);

#endif
