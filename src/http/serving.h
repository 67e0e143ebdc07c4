/*
 * The server's inside, shared by server.c (connections, time limits) and
 * request.c (bodies and responses).
 *
 * A connection's states:
 *	SNIFF		accepted on a TLS listener; waiting for the first byte before a TLS session is made
 *	HANDSHAKE	TLS handshake under way
 *	IDLE		nothing of the next request has come
 *	HEAD		part of a head has come
 *	REQUEST		a request is with its user (req set); further bytes stay in the input buffer
 *	SKIP		answered, but its body is still coming; it is read and dropped
 * A connection waits in at most one of the lists of serve_wait, each of a fixed length of time and therefore
 * ordered, so that one timer serves all connections.
 */
#ifndef HTTP_SERVING_H
#define HTTP_SERVING_H

#include "http/internal.h"

enum serve_state { SERVE_SNIFF, SERVE_HANDSHAKE, SERVE_IDLE, SERVE_HEAD, SERVE_REQUEST, SERVE_SKIP, SERVE_DEAD };
enum serve_wait { SERVE_WAIT_HEAD, SERVE_WAIT_BODY, SERVE_WAIT_IDLE, SERVE_WAIT_STALL, SERVE_WAIT_KINDS, SERVE_WAIT_NONE };

struct serve_conn {
	struct http_server *srv;
	struct conn *io; /* NULL in SNIFF and DEAD */
	struct loop_fd *sniff;
	struct http_req *req;
	int fd; /* in SNIFF */
	int refs;
	enum serve_state state;
	enum serve_wait wait;
	int64_t wait_until; /* loop_now_ms */
	uint64_t sent_mark; /* conn_sent when STALL began */
	size_t scanned; /* bytes of the head already searched for its end */
	/* the body of the request under way, or of the one that is skipped */
	int64_t body_left; /* of a Content-Length */
	size_t skipped;
	struct http1_chunked chunk;
	bool chunked, eof;
	struct http_peer peer;
	struct tls_peer cert;
	TAILQ_ENTRY(serve_conn) link; /* all of the server's */
	TAILQ_ENTRY(serve_conn) wait_link;
};
TAILQ_HEAD(serve_list, serve_conn);

struct serve_listener {
	struct http_server *srv;
	struct loop_fd *watch;
	int fd;
	struct serve_listener *next;
};

struct http_server {
	struct http_server_config cfg;
	struct tls *tls;
	struct serve_listener *listeners;
	struct serve_list conns, waiting[SERVE_WAIT_KINDS];
	struct loop_timer *timer; /* the earliest of waiting */
	struct loop_timer *accept_timer; /* accepting again after a lack of fds */
	int64_t timer_at; /* 0: not set */
	size_t n_conns; /* sockets that live, upgraded and lingering ones too */
	size_t max;
	bool draining, freed, accept_off;
};

struct http_req {
	struct serve_conn *c;
	struct http_head head;
	struct buf body;
	size_t body_max;
	void (*body_cb)(void *arg, struct http_req *r, struct str body);
	void *body_arg;
	/* instead of body_cb: its pieces */
	void (*body_data)(void *arg, struct http_req *r, struct str data);
	void (*body_end)(void *arg, struct http_req *r);
	void (*gone_cb)(void *arg);
	void *gone_arg;
	void (*drain_cb)(void *arg);
	void *drain_arg;
	bool body_wanted, body_done, body_paused, continued;
	bool begun; /* http_begin: head is out */
	bool chunked_out, no_body_out, keep;
};

void serve_wait(struct serve_conn *c, enum serve_wait w);
/* Ends it: io is finished (orderly) or freed. The request must be gone. */
void serve_close(struct serve_conn *c, bool orderly);
/* The client went away in the middle: the request's user is told. */
void serve_gone(struct serve_conn *c);
void serve_next(struct serve_conn *c); /* the response is out: on to the next request */

/* request.c */
struct http_req *request_new(struct serve_conn *c, struct http_head *head_take);
void request_free(struct http_req *r);
/* Takes body bytes from the input. True: something changed, look at the state again. */
bool request_read_body(struct serve_conn *c);
/* A Status answer of the server's own; the connection ends with it. */
void request_refuse(struct serve_conn *c, int status, const char *reason, const char *message);

#endif
