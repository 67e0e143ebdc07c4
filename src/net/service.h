/*
 * Services as service.c and service-book.c keep them: what is in the kernel, as
 * compactly as can be.
 */
#ifndef NET_SERVICE_H
#define NET_SERVICE_H

#include "base/map.h"
#include "base/tree.h"
#include "base/vec.h"
#include "net/nft.h"

/* The sets and maps: by kind and family. */
enum service_set { SET_ADDR, SET_PORT, SET_IP, SET_HAIRPIN, SERVICE_SETS };

struct service;
struct service_elem { /* of a set; a claim */
	struct service_elem *next; /* in its slot of the book */
	struct service *owner;
	uint8_t addr[16];
	uint16_t port;
	uint8_t kind, family, protocol, chain; /* family: AF_INET, AF_INET6 */
	uint16_t index; /* of its port in owner */
	bool lost; /* another has it */
	bool told;
};

struct service_port { /* a port, of one family */
	char *name;
	uint8_t family, protocol, chains;
	uint32_t affinity_s;
	uint64_t hash[SERVICE_CHAINS];
};

struct service {
	char *key;
	int64_t created;
	struct service_port *ports;
	struct service_elem *elems;
	struct net_addr *pods; /* of this node's pods among its endpoints: a pod may come to itself */
	uint32_t n_ports, n_elems, n_pods;
	bool contested; /* some elements are lost */
};

/* --- service-book.c: whose is what --- */
struct service_book {
	struct service_elem **slots;
	size_t n_slots, n;
	struct map *by_key; /* key -> struct service */
	struct map *hairpins; /* address -> (void *)(uintptr_t)count */
	VEC(struct service *) contested;
};
void book_init(struct service_book *b);
void book_release(struct service_book *b);
struct service_elem *book_find(const struct service_book *b, const struct service_elem *like);
void book_add(struct service_book *b, struct service_elem *el);
void book_remove(struct service_book *b, struct service_elem *el);
bool elem_same(const struct service_elem *a, const struct service_elem *b); /* one place in one set */
void elem_print(char out[80], const struct service_elem *el);
bool service_is_older(const struct service *a, const struct service *b);
/* A record of v; its elements are not in the book yet. */
struct service *service_make(const struct net *n, const char *key, int64_t created, const struct net_service_port *v,
			     size_t n_ports);
struct service *service_free(struct service *s);
struct service_port *service_find_port(const struct service *s, const char *name, int family);
void book_contest(struct service_book *b, struct service *s, bool on);
/* The oldest of those who lost that place; NULL: nobody wants it. */
struct service_elem *book_heir(const struct service_book *b, const struct service_elem *like);
size_t book_memory(const struct service_book *b);

#endif
