/*
 * What the controller of LoadBalancer Services knows beside the objects: who wants
 * which port of which node (loadbalancer-book.c), and the pool of addresses
 * (loadbalancer-pool.c).
 */
#ifndef CTL_LOADBALANCER_H
#define CTL_LOADBALANCER_H

#include "ctl/internal.h"

#define LB_FINALIZER "service.kubernetes.io/load-balancer-cleanup"

/* Of type LoadBalancer, and of no other's class. */
bool lb_is_ours(const struct node *root);

/* --- addresses and the pool --- */
struct lb_addr { /* of both families; IPv4 as ::ffff:a.b.c.d */
	uint8_t b[16];
};
#define LB_ADDR_TEXT 46
bool lb_addr_parse(struct lb_addr *ret, const char *text);
const char *lb_addr_print(const struct lb_addr *a, char out[LB_ADDR_TEXT]); /* returns out */
bool lb_addr_is_six(const struct lb_addr *a);

struct lb_range { /* both ends belong to it; of one family */
	struct lb_addr from, to;
};
struct lb_pool {
	VEC(struct lb_range) ranges;
};
/* "192.168.1.240-192.168.1.250,10.0.0.0/28,fd00::/120". Of a network the first and the last address (IPv6: the first)
 * mean the network itself and are left out, unless it has only one or two. */
int lb_pool_parse(struct lb_pool *ret, const char *text, struct err *e) MUST_CHECK;
void lb_pool_release(struct lb_pool *p);
bool lb_pool_has(const struct lb_pool *p, const struct lb_addr *a);
/* The first of that family that is_free says may be had. */
bool lb_pool_pick(const struct lb_pool *p, bool six, bool (*is_free)(void *arg, const char *text), void *arg,
		  char out[LB_ADDR_TEXT]);

/* --- the book --- */
enum lb_mode {
	LB_NODES, /* the nodes' addresses */
	LB_POOL, /* an address of the pool */
	LB_NONE, /* its own wish: none */
};

#define LB_PORT(protocol, port) ((uint32_t)(protocol) << 16 | (uint16_t)(port)) /* IPPROTO_TCP, ... */
typedef VEC(uint32_t) lb_ports;
typedef VEC(char *) lb_texts;

struct lb_service { /* one that is ours */
	char *key; /* "ns/name" */
	int64_t created_s;
	enum lb_mode mode;
	bool local; /* externalTrafficPolicy */
	bool waits; /* it has not all that it wants: to be looked at when others give something up */
	char *sharing; /* those with the same may have an address in common; or NULL */
	lb_ports ports;
	lb_texts addresses; /* that it has, by its status */
};

struct lb_address {
	char *text;
	bool external, six;
};
struct lb_node {
	char *name;
	bool ready, excluded, enabled;
	char *pool; /* of the label lbpool, or NULL */
	VEC(struct lb_address) addresses;
	char *listeners; /* "TCP/22=sshd,TCP/8080": held, free; NULL: it does not say (svc/listeners.c) */
};

struct lb_book;
struct lb_book *lb_book_open(struct ctl_run *run);
void lb_book_close(struct lb_book *b);
/* NULL: not ours. */
struct lb_service *lb_book_service(struct lb_book *b, const char *key);
/* In the order of their names. */
struct lb_node *lb_book_node(struct lb_book *b, struct lb_node *prev);
/* Who holds that port of that address of the node, against s. NULL: nobody. The text lives until the next call. */
const char *lb_book_holder(struct lb_book *b, const struct lb_service *s, const struct lb_node *n, const char *address,
			   uint32_t port);
/* Has the node said whether a process of its own has the port? One that never says anything counts as having done so. */
bool lb_book_is_known(const struct lb_node *n, uint32_t port);
/* Who has that address of the pool in a way that s can't. Likewise. */
const char *lb_book_owner(struct lb_book *b, const struct lb_service *s, const char *address);
/* Somebody has it with whom s may share it. */
bool lb_book_shares(struct lb_book *b, const struct lb_service *s, const char *address);
const struct lb_pool *lb_book_pool(const struct lb_book *b); /* NULL: there is none */
const char *lb_port_print(uint32_t port, char out[16]); /* "80/TCP" */

#endif
