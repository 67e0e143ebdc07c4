/*
 * What the files of src/http share: TLS sessions without OpenSSL's headers, and
 * struct conn, one bufferevent with the care that every user of it needs.
 */
#ifndef HTTP_INTERNAL_H
#define HTTP_INTERNAL_H

#include "base/limits.h"
#include "http/http.h"

/* --- tls.c: OpenSSL stays behind these --- */
struct ssl_st;
bool tls_is_server(const struct tls *t);
/* A session, server or client by what t is. server_name: client only, SNI and what the certificate must say. */
struct ssl_st *tls_session_new(struct tls *t, const char *server_name);
/* The peer's certificate; all zero when there is none. */
struct tls_peer {
	char *cn, *uid; /* NULL when the subject has none */
	char **orgs; /* NULL-terminated, or NULL */
	char *sha256; /* of the whole certificate, in hex */
	int64_t not_after; /* unix seconds */
	bool bad; /* it did not verify, or its subject has several UIDs: nothing else is set */
};
void tls_session_peer(struct ssl_st *s, struct tls_peer *ret);
void tls_peer_release(struct tls_peer *p);
void tls_session_error(struct ssl_st *s, unsigned long code, struct err *e);
void tls_session_shutdown(struct ssl_st *s); /* sends close_notify when it fits into the socket */

/* --- cert.c: what every certificate gets --- */
struct x509_st;
/* value: as OpenSSL's configuration files write extensions */
bool cert_add_ext(struct x509_st *x, struct x509_st *issuer, int nid, const char *value);
bool cert_set_serial(struct x509_st *x); /* random */

/* --- conn.c ---
 *
 * Writes gather in a cork and leave at the end of the turn, so that a head, its body and several watch
 * events that fall together make one record and one system call, and no error can come back while the
 * caller is still writing. All ops are called from the loop; each may free the connection.
 */
struct conn;
struct conn_ops {
	void (*on_open)(void *arg); /* TLS handshake done; may be NULL */
	void (*on_input)(void *arg); /* conn_input() has grown, or reading was resumed over bytes left there */
	void (*on_eof)(void *arg); /* the peer's direction has ended; with TLS, both */
	void (*on_drain)(void *arg); /* queued fell to CONN_LOW after it was above; may be NULL */
	void (*on_blocked)(void *arg); /* the kernel took not all; may be NULL */
	void (*on_dead)(void *arg, const struct err *e); /* failed; nothing but conn_free is left to do */
};
#define CONN_LOW (64u << 10)
#define CONN_HIGH (256u << 10) /* bytes read ahead, and where pipes stop filling */

struct conn *conn_new(struct loop *l, int fd_take, struct tls *tls_or_null, const char *server_name);
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg);
/* release(arg) runs when the connection is really over (after lingering); arg also names conn_cut's group. */
void conn_set_release(struct conn *c, void (*release)(void *arg), void *arg);
struct conn *conn_free(struct conn *c); /* at once, unsent bytes are lost */
/* Owner lets go: flush, end our direction, swallow what comes until the peer ends (or a few seconds). Closing at
 * once with unread input would make the kernel send a reset, which destroys our last words on their way. */
void conn_finish(struct conn *c);
void conn_cut(void *group); /* ends those that conn_finish left lingering */
struct evbuffer *conn_input(struct conn *c);
void conn_read(struct conn *c, bool on);
void conn_kick(struct conn *c); /* on_input from the loop, even if nothing has come */
void conn_connecting(struct conn *c); /* plain: the socket may still be connecting */
struct evbuffer *conn_out(struct conn *c); /* the cork: append, then conn_push */
void conn_push(struct conn *c);
size_t conn_queued(const struct conn *c);
uint64_t conn_sent(const struct conn *c); /* bytes that the kernel has taken so far */
void conn_shutdown_write(struct conn *c); /* after what is queued */
bool conn_is_tls(const struct conn *c);
bool conn_is_eof(const struct conn *c);
struct ssl_st *conn_session(struct conn *c);
int conn_fd(const struct conn *c);
struct loop *conn_loop(const struct conn *c);

/* --- stream.c --- */
struct stream *stream_from_conn(struct conn *c_take);
struct loop *stream_loop(const struct stream *s);

/* --- sockets, in conn.c --- */
void sock_tune(int fd); /* TCP_NODELAY and keep-alive; no harm on other sockets */

#endif
