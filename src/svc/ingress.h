/*
 * The ingress: HTTP and HTTPS from outside, by host and path, straight to the
 * endpoints of Services. One thread, no libevent bufferevents: a request that comes
 * and goes costs two reads, two writes and no change of what epoll watches.
 *
 *	ingress.c		the part's life, listeners, time limits
 *	ingress-objects.c	Ingresses, their classes and Services as the table needs them
 *	ingress-annotation.c	what annotations set, one table
 *	ingress-route.c		the table: host and path to a backend
 *	ingress-endpoint.c	a backend's endpoints: whose turn it is, who is well, connections kept
 *	ingress-cert.c		certificates of Secrets, by SNI
 *	ingress-head.c		heads: what is refused, what is changed on the way (pure)
 *	ingress-io.c		bytes on a socket, plain or TLS
 *	ingress-conn.c		a client's connection and its requests
 *	ingress-up.c		a connection to an endpoint, and the answers on it
 *	ingress-log.c		the access log
 *	ingress-stats.c		counters, in Prometheus' text on a port of their own
 */
#ifndef SVC_INGRESS_H
#define SVC_INGRESS_H

#include <sys/socket.h>

#include "base/job.h"
#include "base/map.h"
#include "http/http.h"
#include "svc/internal.h"

#define ING_COMPONENT "ingress-controller" /* in events */
#define ING_METRICS_PORT 10254
#define ING_REST_MS 2000 /* how long an endpoint that can't be reached is passed over */
#define ING_UP_IDLE_MS 60000 /* an endpoint's connection is kept that long */

struct ing;
struct ing_conn;

/* --- ingress-annotation.c --- */
enum ing_redirect { ING_NO_REDIRECT, ING_REDIRECT_TLS /* where the host has a certificate */, ING_REDIRECT_ALL };
struct ing_settings { /* of one Ingress; of its Services where a row says so */
	int64_t body_max; /* 0: any */
	int64_t connect_ms, read_ms, send_ms;
	int64_t rps, rpm, connections; /* of one client's address; 0: any */
	enum ing_redirect redirect;
	bool backend_tls;
	char *rewrite, *app_root;
	VEC(struct net_prefix) allow; /* none: all */
	bool sticky, cookie_secure, cookie_http_only;
	char *cookie_name, *cookie_path, *cookie_samesite;
	int64_t cookie_max_age_s, cookie_expires_s; /* 0: not said */
};
void ing_settings_init(struct ing_settings *s);
void ing_settings_release(struct ing_settings *s);
/* Each value that is no good is told and left out. */
void ing_settings_read(struct ing_settings *s, const struct node *root,
		       void (*bad)(void *arg, const char *name, const char *why), void *arg);
/* The same of a Service: those that Traefik reads there. */
void ing_settings_read_service(struct ing_settings *s, const struct node *root,
			       void (*bad)(void *arg, const char *name, const char *why), void *arg);

/* --- endpoints --- */
struct ing_up;
TAILQ_HEAD(ing_ups, ing_up);
struct ing_endpoint {
	int refs; /* the backend's and those of its connections */
	char name[NET_ADDR_TEXT + 8]; /* "10.42.0.5:8080", "[fd00::5]:80" */
	struct sockaddr_storage sa;
	socklen_t sa_len;
	uint64_t mark; /* in the cookie: a keyed hash of name */
	int64_t failed_until_ms; /* others are asked before it */
	struct ing_ups idle; /* the last one used first */
	unsigned n_idle;
	bool gone; /* no endpoint any more: what is under way ends, nothing is kept */
};
struct ing_backend {
	int refs; /* routes' */
	struct ing *ing;
	char *key; /* "ns/service:port", of the map */
	char *ns, *service, *port; /* port: a name, or a number's digits */
	struct svc_port_ { bool known; char *name; } of; /* the Service's port of that name or number */
	bool has_service;
	VEC(struct ing_endpoint *) endpoints;
	unsigned next;
	char *external; /* ExternalName: what is looked up */
	int external_port;
	int64_t resolved_ms; /* when; 0: never */
	bool resolving;
	struct tls *tls; /* made when first wanted */
};
struct ing_backend *ing_backend_get(struct ing *g, const char *ns, const char *service, const char *port);
struct ing_backend *ing_backend_unref(struct ing_backend *b);
void ing_backend_look(struct ing_backend *b); /* at its Service and slices, anew */
void ing_backends_changed(struct ing *g, const char *ns, const char *service); /* service NULL: all */
/* Who is asked: the one that the cookie names, if it still is one; else the next that is well. NULL: there is none. */
struct ing_endpoint *ing_backend_pick(struct ing_backend *b, const uint64_t *mark, const struct ing_endpoint *not_again,
				      int64_t now_ms);
struct ing_endpoint *ing_endpoint_unref(struct ing_endpoint *e);

/* --- the table --- */
struct ing_ingress { /* one object, as the table needs it; shared with the requests under way */
	int refs;
	char *ns, *name, *class_name;
	struct obj *obj;
	int64_t created_s;
	struct ing_settings set;
	VEC(struct ing_rule {
		char *host; /* lower case; "": any; "*.x" */
		char *path;
		bool exact;
		struct ing_backend *backend;
	}) rules;
	struct ing_backend *fallback; /* spec.defaultBackend, or NULL */
	VEC(struct ing_tls_ {
		char *secret;
		struct ing_cert *cert; /* NULL: none is named */
		VEC(char *) hosts;
	}) tls;
	struct map *clients; /* limits by client's address */
	uint64_t requests[6], bytes_out; /* by hundreds of the status; 0: cut */
	uint64_t ms_sum, ms_bucket[12];
	VEC(uint64_t) told; /* sums of the conflicts that were told */
};
struct ing_ingress *ing_ingress_unref(struct ing_ingress *i);

struct ing_route {
	const struct ing_rule *rule;
	struct ing_ingress *ingress;
	struct ing_backend *backend;
	size_t len; /* of the path that counts */
};
struct ing_host {
	VEC(struct ing_route) routes; /* the longest first, Exact before Prefix */
	struct ing_route fallback;
};
struct ing_table {
	struct map *hosts; /* struct ing_host by name; "" those without */
};
/* In the order given, which decides who has a path: the oldest first. lost is told of each rule that came second. */
void ing_table_build(struct ing_table *t, struct ing_ingress *const *v, size_t n,
		     void (*lost)(void *arg, struct ing_ingress *who, const struct ing_rule *r, const struct ing_ingress *to),
		     void *arg);
void ing_table_release(struct ing_table *t);
/* host in lower case without a port; path normalized. NULL: nobody. */
const struct ing_route *ing_table_find(const struct ing_table *t, struct str host, struct str path);
/* A path as it is compared, one spelling for each: // made one, . and .. resolved; characters that a path may have are
 * written as they are, all others as %XX, an encoded slash too. false: no path (bad escapes, NUL, above the root). */
bool ing_path_normalize(struct buf *out, struct str path);

/* --- ingress-head.c --- */
struct ing_target {
	struct str authority; /* as it goes on to the endpoint: "foo.com:8080", "" */
	char host[256]; /* lower case, no port, no final dot */
	struct str port; /* of the authority, "" */
};
/* What http1 lets pass and we don't: 0, or the status to answer. */
int ing_head_check(struct ing_target *t, const struct http_head *h);
/* An upgrade that is passed on: no request's body, not HTTP/2 in disguise, which would pass every rule by. */
bool ing_head_upgrades(const struct http_head *h);
struct ing_forward {
	const struct ing_target *target;
	struct str path_query; /* as it goes on */
	const char *client; /* address */
	bool tls;
	int port; /* that the client came to */
	bool has_body;
};
void ing_head_forward(struct buf *out, const struct http_head *h, const struct ing_forward *f);
struct ing_answer {
	bool chunked, keep_alive, old; /* to the client; old: HTTP/1.0 */
	int64_t length; /* -1: none is said */
	bool keep_length; /* as the endpoint says, though nothing follows: HEAD, 304 */
	const char *set_cookie; /* or NULL */
	bool upgrade;
};
void ing_head_answer(struct buf *out, const struct http_head *h, const struct ing_answer *a);
/* How an answer's body comes: */
enum ing_framing { ING_NO_BODY, ING_LENGTH, ING_CHUNKED, ING_TO_END };
enum ing_framing ing_head_framing(const struct http_head *h, bool to_head);
/* How it goes on to the client, who keeps a->keep_alive if its connection can be used again. a->old is given. */
void ing_answer_frame(struct ing_answer *a, const struct http_head *h, enum ing_framing framing, bool to_head);
/* The value of that cookie as a mark. */
bool ing_cookie_mark(const struct http_head *h, const char *name, uint64_t *ret);
void ing_cookie_print(struct buf *out, const struct ing_settings *s, uint64_t mark, const char *path, int64_t now_s);
/* "/a/b?q" under the rewriting of a rule's path. The path is the normalized one: what its .. leads out of is gone. */
void ing_rewrite(struct buf *out, const struct http_head *h, const char *rule_path, const char *to);

/* --- ingress-io.c --- */
#define ING_BLOCK 16384u
#define ING_HEAD_MAX (32u << 10) /* of a request or an answer */
#define ING_HIGH 65536u /* bytes that wait for one side before no more is read from the other */
struct ing_pool { /* blocks that are free */
	void *free;
	unsigned n;
};
void ing_pool_release(struct ing_pool *p);
struct ing_bytes {
	char *p;
	uint32_t off, len, cap;
};
struct ing_io {
	struct ing *ing;
	int fd, watched, want; /* want: what TLS waits for, besides */
	struct loop_fd *watch;
	struct tls_sock *tls;
	bool open; /* connected, and the handshake done */
	bool eof, broken, maybe; /* maybe: there may be more to read though the socket does not say so */
	struct ing_bytes in, out;
};
static inline struct str ing_in(const struct ing_io *io)
{
	return str_n(io->in.p + io->in.off, io->in.len);
}
void ing_io_init(struct ing_io *io, struct ing *g, int fd_take);
void ing_io_start(struct ing_io *io, void (*cb)(void *arg, int what), void *arg, int what);
void ing_io_release(struct ing_io *io);
/* Reads once, when in has less than max: true when something came. */
bool ing_io_read(struct ing_io *io, size_t max);
void ing_io_eat(struct ing_io *io, size_t n); /* from in */
void ing_io_put(struct ing_io *io, const void *p, size_t n); /* to out */
bool ing_io_flush(struct ing_io *io); /* false: broken. out.len: what is left */
int ing_io_handshake(struct ing_io *io, struct err *e); /* 0, -EAGAIN, else e */
void ing_io_watch(struct ing_io *io, bool read); /* and what else is waited for */

/* --- connections --- */
enum ing_state {
	ING_HELLO, /* TLS handshake */
	ING_HEAD, /* the next request's head is awaited; idle while nothing of it is there */
	ING_REQUEST, /* one is under way */
	ING_TUNNEL, /* upgraded: bytes both ways */
	ING_LINGER, /* all is said; what the client still sends is swallowed for a moment */
};
struct ing_req {
	struct http_head head;
	struct ing_target target;
	struct ing_ingress *ingress; /* NULL: nobody's */
	struct ing_backend *backend;
	const char *rule_path; /* the ingress's */
	struct ing_endpoint *ep; /* asked last */
	struct ing_up *up; /* NULL: not now */
	struct str path_query; /* forwarded; of head, or of rewritten */
	char *rewritten;
	bool has_mark, give_cookie, upgrade, ep_failed, fresh, expect;
	struct ing_client *client; /* what is counted of it; NULL: nothing */
	uint64_t mark;
	/* the request's body */
	bool chunked, body_done;
	int64_t left, body_seen;
	struct http1_chunked dechunk;
	/* the answer */
	bool head_sent, answered, keep_alive, out_chunked, up_close, cut; /* cut: it broke off, and so is the client's */
	enum ing_framing framing;
	int64_t resp_left;
	struct http1_chunked resp_dechunk;
	int status;
	int64_t bytes_out, start_us, up_start_us, up_us;
	int tries;
};
struct ing_conn {
	TAILQ_ENTRY(ing_conn) link, idle_link;
	struct ing *ing;
	struct ing_io io;
	enum ing_state state;
	bool idle, tls, running, dead, resolve_wait, shut, up_shut;
	struct loop_task again;
	int port;
	struct net_addr peer;
	char peer_text[NET_ADDR_TEXT];
	int64_t since_ms; /* the last sign of life */
	int64_t head_ms; /* the head's first byte; 0: none. Or when it began to linger */
	int64_t connect_ms, deadline_ms;
	struct ing_req r;
};
void ing_conn_new(struct ing *g, int fd_take, const struct sockaddr_storage *sa, int port, bool tls);
void ing_conn_run(struct ing_conn *c);
void ing_conn_cut(struct ing_conn *c); /* at once */
void ing_conn_expire(struct ing_conn *c);
/* An answer of our own. The connection goes on if it can. */
void ing_conn_answer(struct ing_conn *c, int status, const char *location);
void ing_conn_ask(struct ing_conn *c); /* an endpoint for the request; or answers */
void ing_conn_tunnel(struct ing_conn *c); /* from now on */
void ing_conn_release(struct ing_conn *c); /* the request's end: it is counted and logged */

/* --- ingress-limit.c: what one address may ask of one Ingress --- */
struct ing_client {
	double tokens_s, tokens_m;
	int64_t at_ms;
	int64_t connections;
};
/* False: it is over its limit. *ret: whose connections now count one more. */
bool ing_limit_take(struct ing_ingress *in, const struct ing_conn *c, int64_t now_ms, struct ing_client **ret);
void ing_limit_give(struct ing_client *c);

struct ing_up {
	TAILQ_ENTRY(ing_up) link;
	struct ing_endpoint *ep;
	TAILQ_ENTRY(ing_up) lru; /* of all that are idle, the longest first */
	struct ing_conn *conn; /* NULL: idle */
	struct ing_io io;
	struct tls *tls; /* NULL: plain */
	char *server_name;
	bool used; /* not its first request */
	int64_t idle_ms; /* since when */
};
/* One of ep's for c's request: kept (unless it must be fresh), or new. -errno at once is as good as later. */
int ing_up_get(struct ing_conn *c, struct ing_endpoint *ep, bool fresh);
void ing_up_failed(struct ing_conn *c, int status); /* the endpoint could not be reached: another, or the answer */
void ing_up_put(struct ing_up *u); /* kept for the next */
void ing_up_cut(struct ing_up *u);
void ing_up_pump(struct ing_conn *c); /* its answer, to the client */

/* --- certificates --- */
struct ing_cert {
	int refs;
	struct ing *ing;
	char *key; /* "ns/name" */
	char *ns, *name;
	struct call call; /* the watch */
	char *selector;
	bool watching, there, told;
	struct loop_timer *again;
	struct tls *tls; /* NULL: nothing that works yet */
	uint64_t sum; /* of what was read last, good or bad */
};
struct ing_cert *ing_cert_get(struct ing *g, const char *ns, const char *name);
struct ing_cert *ing_cert_unref(struct ing_cert *c);
/* Who shows what: from the table's Ingresses, the oldest first. */
void ing_certs_build(struct ing *g, struct ing_ingress *const *v, size_t n);
bool ing_certs_has(const struct ing *g, const char *host);
int ing_certs_open(struct ing *g, struct err *e) MUST_CHECK;
void ing_certs_close(struct ing *g);

/* --- objects --- */
struct ing_objects;
struct ing_objects *ing_objects_new(struct ing *g);
struct ing_objects *ing_objects_free(struct ing_objects *o);
const struct node *ing_objects_service(struct ing_objects *o, const char *ns, const char *name);
void ing_objects_event(struct ing *g, struct obj *about, const char *type, const char *reason, const char *text);
/* Each Ingress that names this Secret is told. */
void ing_objects_cert_event(struct ing *g, const struct ing_cert *c, const char *reason, const char *text);
void ing_objects_print(struct ing_objects *o, struct buf *out); /* the counters of each */

/* --- log and counters --- */
struct ing_log;
struct ing_log *ing_log_open(struct loop *l, const char *path); /* NULL path: NULL */
struct ing_log *ing_log_close(struct ing_log *g);
void ing_log_request(struct ing_conn *c);
void ing_count(struct ing_conn *c);
struct ing_stats {
	uint64_t connections, tls_failed, bad_requests, retries, log_dropped;
	uint64_t requests[6]; /* of nobody's Ingress */
};
const char *ing_code_class(int hundreds); /* "2xx" */
void ing_durations_print(struct ing_ingress *const *v, size_t n, struct buf *out);
int ing_stats_open(struct ing *g, struct err *e) MUST_CHECK;
void ing_stats_close(struct ing *g);

struct ing_listener {
	struct ing *ing;
	int fd, port;
	bool tls;
	struct loop_fd *watch;
	struct loop_timer *again;
	int64_t backoff_ms;
	bool logged, told;
};
struct ing {
	struct svc *svc;
	struct loop *loop;
	struct client *client;
	struct ing_pool pool;
	struct ing_listener listeners[2];
	TAILQ_HEAD(ing_conns, ing_conn) conns, idle; /* idle: the longest first */
	size_t n_conns, max_conns;
	struct loop_timer *sweep;
	int64_t sweep_at_ms; /* 0: not set */
	struct ing_ups idle_ups; /* of all endpoints, the longest first */
	size_t n_idle_ups;
	struct buf scratch, head; /* of the request at hand */
	uint8_t key[16]; /* of the marks */
	struct ing_table table;
	struct map *backends; /* by key */
	struct job_queue *jobs; /* names */
	struct ing_objects *objects;
	struct map *certs; /* by key */
	struct map *sni; /* host to struct ing_cert */
	struct tls *tls; /* the default certificate */
	struct ing_log *log;
	struct ing_stats stats;
	struct http_server *stats_server;
	struct svc_slices_watch slices;
	struct informer *nodes;
};
int ing_key_open(struct ing *g, struct err *e) MUST_CHECK;
void ing_sweep_by(struct ing *g, int64_t at_ms); /* somebody's time is up then */

#endif
