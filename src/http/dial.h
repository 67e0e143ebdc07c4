/*
 * Connecting a socket: name resolution on a job thread, then every address in
 * turn, within one time limit. Errors read as Go's do: "dial tcp 10.0.0.1:80:
 * connect: connection refused".
 */
#ifndef HTTP_DIAL_H
#define HTTP_DIAL_H

#include "base/err.h"
#include "base/loop.h"

struct dial;
/* done is called once, from the loop, with an fd or -1 and the error; not after dial_cancel. */
struct dial *dial_start(struct loop *l, const char *host, int port, int timeout_ms,
			void (*done)(void *arg, int fd_take, const struct err *e), void *arg);
/* Frees it; NULL is allowed. */
struct dial *dial_cancel(struct dial *d);
/* Names are resolved by a queue for each loop, which lives while somebody holds it. */
void dial_hold(struct loop *l);
void dial_release(struct loop *l);

#endif
