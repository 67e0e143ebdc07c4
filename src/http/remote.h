/*
 * The server side of Kubernetes' streaming protocols over an HTTP request: what
 * `kubectl exec`, `attach`, `cp` and `port-forward` speak, as the kubelet ends it.
 *
 * Remote command (exec, attach), in either of two forms, which the caller cannot tell apart:
 *	WebSocket	v5, v4 .channel.k8s.io, channel.k8s.io (v1), and the base64 forms of v4 and v1
 *	SPDY/3.1	X-Stream-Protocol-Version v5, v4, v3, v2, (v1) .channel.k8s.io, or none
 * Port forward:
 *	SPDY/3.1	pairs of a data and an error stream
 *	WebSocket	Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io, the same SPDY inside binary messages;
 *			v4.channel.k8s.io, two channels for each port=N of the query
 *
 * All callbacks come from the loop, never from inside a function declared here. A session is gone after
 * its on_close, and after the caller has called one of the functions that end it (no callback follows those).
 *
 * Back-pressure. From the client: the callback returns how many bytes it took; the rest is kept, and nothing
 * more is offered until *_ready is called. To the client: *_write always takes everything; when it
 * returns false the caller should write no more before on_drain.
 */
#ifndef HTTP_REMOTE_H
#define HTTP_REMOTE_H

#include "http/http.h"

/* --- exec and attach --- */
struct remote;

struct remote_want {
	bool in, out, err, tty;
};
/* From the query, in the kubelet's names (input, output, error, tty) or the API's (stdin, stdout, stderr, tty).
 * A terminal has no stderr of its own: err is cleared then. Fails when no stream is asked for at all. */
int remote_want_parse(struct remote_want *ret, struct str query, struct err *e) MUST_CHECK;

enum remote_channel { REMOTE_STDOUT = 1, REMOTE_STDERR = 2 };

struct remote_ops {
	/* Every stream that was wanted is there: start the process (write and end are allowed from now on). */
	void (*on_open)(void *arg);
	/* Returns the bytes taken, 0 to data.n; if fewer, call remote_ready when more can be taken. */
	size_t (*on_stdin)(void *arg, struct str data);
	void (*on_stdin_eof)(void *arg); /* after all of stdin was taken; once; may be NULL */
	void (*on_resize)(void *arg, int cols, int rows); /* may be NULL */
	void (*on_drain)(void *arg); /* after remote_write returned false; may be NULL */
	/* The client has gone (or did not open its streams in time: then without on_open). Session is gone. */
	void (*on_close)(void *arg);
};

/* Answers the request: 101 and a session, or an error (no upgrade asked, no protocol in common) and NULL.
 * Either way the request is gone. */
struct remote *remote_accept(struct http_req *r, struct remote_want want, const struct remote_ops *ops, void *arg);
/* Output for a channel that was not wanted is dropped. False: over the high mark, wait for on_drain. */
bool remote_write(struct remote *s, enum remote_channel c, struct str data);
size_t remote_queued(const struct remote *s); /* bytes not yet taken by the kernel */
void remote_ready(struct remote *s); /* stdin can be taken again */
/* These end the session: what was written is flushed, then the Status, then an orderly close. */
void remote_exit(struct remote *s, int exit_code); /* 0: Success, else NonZeroExitCode with the cause ExitCode */
void remote_fail(struct remote *s, const struct err *e); /* an InternalError with e's text */
void remote_abort(struct remote *s); /* no Status; the connection is cut */

/* --- port forward --- */
struct portfwd; /* one client connection */
struct portfwd_conn; /* one forwarded TCP connection in it: data both ways, and a text if it fails */

struct portfwd_ops {
	/* A pair is complete. Call portfwd_join, or portfwd_set for its data, or portfwd_end; now or later. */
	void (*on_open)(void *arg, struct portfwd_conn *c, int port);
	/* The client has gone; every connection's on_close was called before. Session is gone. */
	void (*on_close)(void *arg);
};
struct portfwd_conn_ops {
	size_t (*on_data)(void *arg, struct str data); /* returns the bytes taken; see portfwd_ready */
	void (*on_eof)(void *arg); /* the client will send no more; may be NULL */
	void (*on_drain)(void *arg); /* may be NULL */
	void (*on_close)(void *arg); /* the client dropped it, or is gone itself; c is gone */
};
/* what: named in messages as the kubelet does, "NAME, uid UID". */
struct portfwd *portfwd_accept(struct http_req *r, const char *what, const struct portfwd_ops *ops, void *arg);
/* Ends it (on_close is called) when no data has come or gone for so long; 0: never. */
void portfwd_limit_idle(struct portfwd *p, int64_t ms);
/* Ends the whole session, cutting all connections in it. */
void portfwd_close(struct portfwd *p);

/* Until portfwd_set or portfwd_join nothing is offered; data is kept. A client that drops a connection before
 * that leaves it in place until portfwd_end (or set, which then gets on_close). */
void portfwd_set(struct portfwd_conn *c, const struct portfwd_conn_ops *ops, void *arg);
/* Takes a connected, or still connecting, non-blocking socket, and does all the rest by itself: c and fd are
 * the session's own from here on. */
void portfwd_join(struct portfwd_conn *c, int fd_take);
bool portfwd_write(struct portfwd_conn *c, struct str data); /* false: wait for on_drain */
void portfwd_write_eof(struct portfwd_conn *c); /* no more data to the client; the other way stays open */
void portfwd_ready(struct portfwd_conn *c); /* data can be taken again */
/* Ends both ways after what was written. With e its text goes to the error stream, where kubectl prints it. */
void portfwd_end(struct portfwd_conn *c, const struct err *e);

#endif
