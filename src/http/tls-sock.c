/*
 * TLS over a non-blocking socket for those who move their bytes themselves: no
 * buffers but OpenSSL's, and those only while a record is under way. Servers may
 * have many certificates, of which the client's SNI picks one (tls_set_sni).
 */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <limits.h>

#include "http/internal.h"

struct tls_sock {
	SSL *ssl;
	struct tls *tls;
};

struct tls_sock *tls_sock_new(struct tls *t, int fd, const char *server_name)
{
	struct tls_sock *s = xcalloc(1, sizeof(*s));

	s->tls = tls_ref(t);
	s->ssl = tls_session_new(t, server_name);
	SSL_set_fd(s->ssl, fd);
	SSL_set_mode(s->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	/* A record costs one read, not one for its five bytes of head and one for the rest. */
	SSL_set_read_ahead(s->ssl, 1);
	if (tls_is_server(t))
		SSL_set_accept_state(s->ssl);
	else
		SSL_set_connect_state(s->ssl);
	return s;
}

struct tls_sock *tls_sock_free(struct tls_sock *s)
{
	if (!s)
		return NULL;
	SSL_free(s->ssl);
	tls_free(s->tls);
	free(s);
	return NULL;
}

/* What came of an operation that gave r: as tls_sock_read returns it. */
static ssize_t tls_sock_result(struct tls_sock *s, int r, int *want)
{
	int saved = errno;

	switch (SSL_get_error(s->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		*want = LOOP_READ;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		*want = LOOP_WRITE;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return saved ? -saved : -ECONNRESET;
	default:
		return -EPROTO; /* why stands in OpenSSL's queue */
	}
}

int tls_sock_handshake(struct tls_sock *s, int *want, struct err *e)
{
	int r;
	ssize_t n;

	ERR_clear_error();
	errno = 0;
	r = SSL_do_handshake(s->ssl);
	if (r == 1)
		return 0;
	n = tls_sock_result(s, r, want);
	if (n == -EAGAIN)
		return -EAGAIN;
	if (n == -EPROTO) {
		tls_session_error(s->ssl, ERR_peek_last_error(), e);
		return -EPROTO;
	}
	return err_errno(e, n ? (int)-n : ECONNRESET, "tls handshake");
}

ssize_t tls_sock_read(struct tls_sock *s, void *p, size_t n, int *want)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_read(s->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
	if (r > 0)
		return r;
	r = (int)tls_sock_result(s, r, want);
	ERR_clear_error();
	return r;
}

ssize_t tls_sock_write(struct tls_sock *s, const void *p, size_t n, int *want)
{
	int r;

	ERR_clear_error();
	errno = 0;
	r = SSL_write(s->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
	if (r > 0)
		return r;
	r = (int)tls_sock_result(s, r, want);
	ERR_clear_error();
	return r ? r : -EPIPE;
}

bool tls_sock_pending(const struct tls_sock *s)
{
	return SSL_has_pending(s->ssl);
}

void tls_sock_shutdown(struct tls_sock *s)
{
	tls_session_shutdown(s->ssl);
}
