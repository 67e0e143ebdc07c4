/*
 * One asking of a probe (or of an httpGet hook), by whatever means: what its kinds
 * (probe-http.c, probe-tcp.c, probe-exec.c, probe-grpc.c) and its users share.
 *
 * A kind's function begins the asking and says how it ended with try_end, at once
 * or later, as often as it likes: the first counts, and is told from the loop.
 * To add a kind: such a function, and a row in probe.c.
 */
#ifndef NODE_PROBE_H
#define NODE_PROBE_H

#include "node/internal.h"

struct probe_try {
	struct ctr *ctr;
	int64_t timeout_ms; /* 0: none */
	bool hook;	    /* of a lifecycle hook: any answer of an HTTP server is a good one */
	void (*done)(void *arg, enum probe_result r, const char *text);
	void *arg;
	struct loop_timer *timer;
	struct loop_task task;
	bool ended;
	enum probe_result result;
	char *text, *timeout_text;
	void *impl; /* the kind's own, given to impl_free at the end */
	void (*impl_free)(void *impl);
};

/* done is called once from the loop, unless probe_try_cancel comes first. */
struct probe_try *try_new(struct ctr *c, int64_t timeout_ms,
			  void (*done)(void *arg, enum probe_result r, const char *text), void *arg);
void try_end(struct probe_try *t, enum probe_result r, const char *fmt, ...) ATTR_PRINTF(3, 4);
void try_timeout_text(struct probe_try *t, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* What the action names, else the pod's address; and a number or a port's name (-1: there is none). */
const char *probe_host(struct ctr *c, const struct node *action);
int probe_port(struct ctr *c, const struct node *port);

void try_http(struct probe_try *t, const struct node *action);
void try_tcp(struct probe_try *t, const struct node *action);
void try_exec(struct probe_try *t, const struct node *action);
void try_grpc(struct probe_try *t, const struct node *action);

#endif
