/*
 * ctnetlink, as far as it is needed: walk the connections that the kernel
 * remembers, and have it forget some. Private to src/net.
 */
#ifndef NET_CT_H
#define NET_CT_H

#include "base/buf.h"

struct ct_conn { /* one connection, as the kernel tells of it: attributes, borrowed */
	int family;
	struct str attrs, orig, reply;
};

int ct_open(int patience_s); /* a socket, or -errno */
struct str ct_attr(struct str in, int type); /* n 0: absent */

/* A message: begun in b, given attributes, ended. Returns where it began. */
size_t ct_begin(struct buf *b, int type, int flags, int family);
void ct_put(struct buf *b, int type, struct str value);
void ct_end(struct buf *b, size_t at);

/* Sends the request (a dump) and calls each for every answer. 0 or -errno. */
int ct_each(int fd, const struct buf *request, void (*each)(void *arg, const struct ct_conn *c), void *arg);
/* Appends a request to forget it. */
void ct_put_delete(struct buf *out, const struct ct_conn *c);
/* Sends messages, in pieces. What is said to them is not waited for: a connection that ended meanwhile is no matter. */
void ct_send(int fd, const struct buf *messages);

#endif
