/*
 * A request that somebody else answers: the API server stands between, head to
 * head and then bytes both ways.
 */
#ifndef API_RELAY_H
#define API_RELAY_H

#include "api/internal.h"

struct relay_to {
	const char *node; /* its agent, by the connection that the server has; or, NULL: */
	const char *host;
	int port;
	bool secure; /* by TLS, with whatever certificate is there, as Kubernetes does */
	const char *target; /* path and query to ask for */
	bool status_from_text; /* what the far side says of an error becomes a Status */
	/* A proxy subresource, at this path: the far side serves a site of its own, which is moved below it. NULL: no. */
	const char *prefix;
};
/* Asks, and answers r with what comes back. *to lives as long as r (in its arena). A phase's result. */
int relay_start(struct req *r, const struct relay_to *to, struct err *e) MUST_CHECK;


/* --- stream.c --- */
int stream_http_only(struct req *r, struct err *e) MUST_CHECK; /* a call from inside has no connection to pass on */
/* The options as the object that admission sees: PodExecOptions and its like. */
int stream_admit(struct req *r, const char *kind, struct err *e) MUST_CHECK;

#endif
