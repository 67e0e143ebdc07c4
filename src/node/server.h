/*
 * The agent's HTTP server inside src/node: the table of its routes, and what
 * those who serve them have in common. One table (server.c) serves both ways in:
 * the socket pairs of agent_dial, where the API server has decided already who
 * may do what, and the node's own HTTPS port, where auth.c decides.
 *
 * To add a path: a row in server.c, and its function declared here.
 */
#ifndef NODE_SERVER_H
#define NODE_SERVER_H

#include "node/internal.h"

enum { ROUTE_GET = 1, ROUTE_POST = 2, ROUTE_HEAD = 4, ROUTE_PUT = 8, ROUTE_DELETE = 16, ROUTE_PATCH = 32 };

struct route {
	const char *path; /* "/pods"; with a slash at its end everything below it, too */
	unsigned methods; /* ROUTE_ bits; others are 405 */
	/* The subresources of nodes of which one must be allowed, first to last; NULL where fewer. */
	const char *grants[2];
	/* rest: what follows the path, not decoded, "" for the path itself. Answers, now or later. */
	void (*serve)(struct server *s, struct http_req *r, struct str rest, struct str query);
};
/* The row for a path; NULL: there is none. rest may be NULL. */
const struct route *route_find(struct str path, struct str *rest);

/* --- server.c --- */
/* Content of one piece; body is copied. */
void server_reply(struct http_req *r, const char *content_type, struct str body);
/* The next part of a path, decoded and owned by the caller; NULL at its end, and for bad escapes. */
char *server_segment(struct str *rest);

/* --- auth.c: who may ask on the HTTPS port --- */
struct auth;
struct auth *auth_new(struct server *s);
struct auth *auth_free(struct auth *h); /* requests that wait go with their connections */
/* done when it may; else it is answered. route NULL: there is no such path, and only who may do all is told so. */
void auth_check(struct auth *h, struct http_req *r, const struct route *route,
		void (*done)(struct server *s, struct http_req *r));

/* --- serve-log.c: /containerLogs --- */
void serve_container_logs(struct server *s, struct http_req *r, struct ctr *c, struct str query);

/* --- serve-list.c --- */
void serve_healthz(struct server *s, struct http_req *r, struct str rest, struct str query);
void serve_pods(struct server *s, struct http_req *r, struct str rest, struct str query);
void serve_running_pods(struct server *s, struct http_req *r, struct str rest, struct str query);
void serve_configz(struct server *s, struct http_req *r, struct str rest, struct str query);

/* --- serve-run.c, serve-file.c: /run, /logs --- */
void serve_run(struct server *s, struct http_req *r, struct ctr *c, struct str query);
void serve_files(struct server *s, struct http_req *r, struct str rest, struct str query);

/* --- serve-stats.c --- */
void serve_stats_summary(struct server *s, struct http_req *r, struct str rest, struct str query);

/* --- serve-metrics.c: for Prometheus --- */
void serve_metrics(struct server *s, struct http_req *r, struct str rest, struct str query);
void serve_metrics_cadvisor(struct server *s, struct http_req *r, struct str rest, struct str query);
void serve_metrics_resource(struct server *s, struct http_req *r, struct str rest, struct str query);
void serve_metrics_probes(struct server *s, struct http_req *r, struct str rest, struct str query);

#endif
