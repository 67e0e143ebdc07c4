/*
 * HTTP connections: server and client over TCP, TLS and any stream socket, on
 * the loop, through libevent's bufferevents. Codecs are wire's; what is here is
 * their life: limits, timeouts, back-pressure, upgrades. The only user of
 * sockets above net.
 */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "wire/http1.h" /* struct http_head: method, target, path, query, headers, status */

struct evbuffer;

/* --- TLS --- */
struct tls; /* an SSL_CTX */
struct tls_config {
	const char *cert_pem, *key_pem; /* texts, own chain and key; may be NULL for clients */
	const char *ca_pem; /* who may sign the other side */
	bool ask_client_cert; /* server: ask, do not insist; one that ca_pem did not sign: http_peer.cert_bad */
	bool insecure; /* client: do not verify */
	bool system_ca; /* client: whom the machine trusts is trusted besides ca_pem */
};
int tls_new(struct tls **ret, const struct tls_config *cfg, bool server, struct err *e) MUST_CHECK;
struct tls *tls_free(struct tls *t);
struct tls *tls_ref(struct tls *t); /* tls_free undoes it */
/* Server: the client's SNI picks whose certificate is shown; NULL: t's own. To be set before the first session. */
void tls_set_sni(struct tls *t, struct tls *(*pick)(void *arg, const char *name), void *arg);
/* Keys and certificates (ECDSA P-256). Texts are PEM, owned by the caller. */
struct tls_cert_spec {
	const char *common_name;
	const char *const *organizations; /* NULL-terminated or NULL */
	const char *const *sans; /* host names and addresses; NULL-terminated or NULL */
	bool is_ca, server, client;
	int days;
};
int tls_make_key(char **ret_key_pem, struct err *e) MUST_CHECK;
/* ca_cert NULL: self-signed. notBefore is a day back, so that a slow clock does no harm. */
int tls_make_cert(char **ret_cert_pem, const struct tls_cert_spec *spec, const char *key_pem,
		  const char *ca_cert_pem, const char *ca_key_pem, struct err *e) MUST_CHECK;

/* Whether a certificate is signed by the authority, for this subject, with all these names, for min_days more. */
/* Can the key be used, and (cert_pem not NULL) is it that certificate's? */
int tls_key_check(const char *key_pem, const char *cert_pem, struct err *e) MUST_CHECK;
/* PEM from outside: a certificate request with a good signature; one or more certificates and nothing else. */
int tls_csr_check(struct str pem, struct err *e) MUST_CHECK;
int tls_certs_check(struct str pem, struct err *e) MUST_CHECK;
/* Is the organization in the subject of a certificate request in PEM? What can't be read has none. */
bool tls_csr_has_org(struct str pem, const char *org);
/* What a request asks for. */
struct tls_csr {
	char *common_name; /* "" when it has none */
	char **organizations; /* NULL-terminated */
	int n_dns, n_ips, n_emails, n_uris; /* subjectAltNames */
};
int tls_csr_read(struct tls_csr *ret, struct str pem, struct err *e) MUST_CHECK;
void tls_csr_release(struct tls_csr *c);
struct tls_csr_terms {
	int64_t backdate_s, ttl_s; /* notBefore and notAfter, from now */
	const char *key_usage, *ext_key_usage; /* as OpenSSL writes them: "critical,digitalSignature"; "" for none */
};
int tls_csr_sign(char **ret_cert_pem, struct str pem, const struct tls_csr_terms *t, const char *ca_cert_pem,
		 const char *ca_key_pem, struct err *e) MUST_CHECK;
bool tls_cert_check(const char *cert_pem, const struct tls_cert_spec *spec, const char *ca_cert_pem, int min_days);

/* --- TLS on a non-blocking socket that its owner watches himself (tls-sock.c) --- */
struct tls_sock;
struct tls_sock *tls_sock_new(struct tls *t, int fd, const char *server_name); /* server_name: client only */
struct tls_sock *tls_sock_free(struct tls_sock *s); /* does not close the fd */
/* All three may answer -EAGAIN, and then say in *want what the socket must be ready for (LOOP_READ, LOOP_WRITE). */
int tls_sock_handshake(struct tls_sock *s, int *want, struct err *e) MUST_CHECK; /* 0: done; not -EAGAIN: e says why */
ssize_t tls_sock_read(struct tls_sock *s, void *p, size_t n, int *want); /* 0: the end; else -errno */
ssize_t tls_sock_write(struct tls_sock *s, const void *p, size_t n, int *want);
bool tls_sock_pending(const struct tls_sock *s); /* something may be read though the socket is not ready */
void tls_sock_shutdown(struct tls_sock *s); /* sends close_notify when it fits into the socket */

/* --- a byte stream after an upgrade, or under a client: back-pressured both ways --- */
struct stream;
struct stream_ops {
	/* Bytes arrived; drain what you take from in (evbuffer). */
	void (*on_data)(void *arg, struct evbuffer *in);
	void (*on_drain)(void *arg); /* what was written has gone down below the low mark; may be NULL */
	/* The peer sends no more, we still may. NULL: the end of its direction is the end of both. With TLS there is
	 * no half: on_close follows. */
	void (*on_eof)(void *arg);
	void (*on_close)(void *arg, const struct err *err_or_null); /* both directions are over; once; the stream is freed after */
};
void stream_set(struct stream *s, const struct stream_ops *ops, void *arg);
void stream_write(struct stream *s, const void *p, size_t n);
void stream_write_evbuffer(struct stream *s, struct evbuffer *out); /* drains out */
size_t stream_queued(const struct stream *s); /* bytes not yet taken by the kernel */
void stream_pause(struct stream *s, bool reading_paused);
void stream_close(struct stream *s, bool flush); /* on_close will not be called */
void stream_shutdown_write(struct stream *s);
/* Over a connected, or still connecting, non-blocking socket of any family. */
struct stream *stream_new(struct loop *l, int fd_take);
/* Pipes two streams into each other until either ends; owns both. done may be NULL. */
void stream_join(struct stream *a, struct stream *b, void (*done)(void *arg), void *arg);

/* --- server --- */
struct http_server;
struct http_req;

struct http_peer {
	bool tls;
	char addr[64]; /* "127.0.0.1:4242", "local" */
	/* From a verified client certificate; "" and NULL when there is none. */
	const char *cert_cn;
	const char *cert_uid; /* NULL: the subject names none */
	const char *cert_sha256; /* hex */
	int64_t cert_not_after; /* unix seconds */
	const char *const *cert_orgs; /* NULL-terminated */
	bool cert_bad; /* one was presented that does not verify: no name is given, and the answer is 401 */
};

struct http_server_config {
	struct loop *loop;
	struct tls *tls; /* NULL: plain */
	/* The head is complete and valid. Decide whether and how to take the body: call http_req_want_body or
	 * answer at once. */
	void (*on_request)(void *arg, struct http_req *r);
	void *arg;
	int max_connections; /* 0: LIMIT_CONNECTIONS */
};
struct http_server *http_server_new(const struct http_server_config *cfg);
/* Adds a listening address. port 0: any; *ret_port says which. */
int http_server_listen(struct http_server *s, const char *addr, int port, int *ret_port, struct err *e) MUST_CHECK;
/* Serves an already connected socket (a socketpair from a part of this process): plain HTTP, no TLS. */
void http_server_adopt(struct http_server *s, int fd, const char *peer_name);
/* Stops accepting, ends idle connections; others end with their response. */
void http_server_drain(struct http_server *s);
struct http_server *http_server_free(struct http_server *s);
size_t http_server_connections(const struct http_server *s);
void http_server_set_tls(struct http_server *s, struct tls *t); /* for new connections */

const struct http_head *http_req_head(const struct http_req *r);
const struct http_peer *http_req_peer(const struct http_req *r);
/* max: more is answered 413 by the server itself and cb is not called. body is valid during cb only. */
void http_req_want_body(struct http_req *r, size_t max, void (*cb)(void *arg, struct http_req *r, struct str body),
			void *arg);
/* Or its pieces, as they come, from the loop: on_end once after the last. How long that may take is the user's to
 * say. The answer may begin, and end, before the body has. */
void http_req_stream_body(struct http_req *r, void (*on_data)(void *arg, struct http_req *r, struct str data),
			  void (*on_end)(void *arg, struct http_req *r), void *arg);
void http_req_pause_body(struct http_req *r, bool paused); /* holds on_data back */
/* The request's user is told when its connection dies before the response is done (then r is gone). */
void http_req_on_gone(struct http_req *r, void (*cb)(void *arg), void *arg);

struct http_resp {
	int status;
	const char *content_type;
	struct http_header *headers; /* further ones: {name, value} struct str pairs */
	size_t n_headers;
	bool has_length; /* http_begin: Content-Length instead of chunks; the user keeps his word, or calls http_abort */
	int64_t length;
};
/* One of these ends or begins the answer. After http_reply or http_end the request is gone. */
void http_reply(struct http_req *r, const struct http_resp *resp, struct str body);
void http_reply_evbuffer(struct http_req *r, const struct http_resp *resp, struct evbuffer *body);
void http_begin(struct http_req *r, const struct http_resp *resp); /* chunked, unless has_length */
void http_chunk(struct http_req *r, struct str data);
void http_chunk_evbuffer(struct http_req *r, struct evbuffer *data);
void http_end(struct http_req *r);
size_t http_req_queued(const struct http_req *r); /* bytes waiting: watch back-pressure */
void http_req_on_drain(struct http_req *r, void (*cb)(void *arg), void *arg);
/* 101 with these headers; from then on it is a stream, and the request is gone. */
struct stream *http_upgrade(struct http_req *r, const struct http_resp *resp);
/* Cut the connection without an answer. */
void http_abort(struct http_req *r);

/* --- client --- */
struct http_client; /* connections to one host, kept alive and reused */
struct http_client_config {
	struct loop *loop;
	const char *host;
	int port;
	struct tls *tls; /* NULL: plain */
	const char *server_name; /* SNI and verification; NULL: host */
	/* Instead of host and port: gives a connected fd or -errno (a socketpair into this process). */
	int (*dial)(void *arg);
	void *arg;
	int connect_timeout_ms; /* 0: 10000 */
};
struct http_client *http_client_new(const struct http_client_config *cfg);
struct http_client *http_client_free(struct http_client *c); /* calls under way end with an error */

struct http_exchange {
	const char *method, *target;
	struct http_header *headers;
	size_t n_headers;
	struct str body; /* borrowed until on_done; sent with Content-Length */
	/* Or it comes piece by piece, by http_exchange_write: with Content-Length, or (body_length -1) in chunks. */
	bool streams;
	int64_t body_length;
	void (*on_drain)(struct http_exchange *x); /* http_exchange_queued has gone down below the low mark; may be NULL */
	int timeout_ms; /* from the request's end to the response's head; 0: 30000, -1: none */
	/* The answer's head. For 101 (when an Upgrade header was sent), take the stream here and on_done follows. */
	void (*on_head)(struct http_exchange *x, const struct http_head *h);
	/* NULL: gathered (up to max_body) and given to on_done. Else each piece as it comes; x->paused holds it back. */
	void (*on_data)(struct http_exchange *x, struct str data);
	void (*on_done)(struct http_exchange *x, const struct err *err); /* exactly once; x is the caller's again */
	size_t max_body; /* 0: LIMIT_BODY_BYTES */
	int status; /* out */
	struct buf resp_body; /* out, when on_data is NULL; buf_release is the caller's */
	struct stream *upgraded; /* out after on_head with 101; owned by the caller */
	void *arg;
	void *impl;
};
void http_client_send(struct http_client *c, struct http_exchange *x);
void http_client_cancel(struct http_exchange *x); /* on_done will not be called */
void http_exchange_pause(struct http_exchange *x, bool paused); /* on_data back-pressure */
/* The request's body, when it streams: any number of pieces, then the end. The answer may come before. */
void http_exchange_write(struct http_exchange *x, struct str data);
void http_exchange_write_end(struct http_exchange *x);
size_t http_exchange_queued(const struct http_exchange *x); /* bytes written that the kernel has not taken */

#endif
