/*
 * TLS contexts and sessions over OpenSSL 3: TLS 1.2 and up, ALPN http/1.1 only.
 *
 * As in the Kubernetes API server, a client certificate is asked for and not
 * insisted on, and one that does not verify does not break the handshake: the
 * request then comes with cert_bad, and is for the authenticator to refuse (401).
 * Idle sessions keep no record buffers (SSL_MODE_RELEASE_BUFFERS), and resumption
 * is by tickets only, so that the server holds nothing for clients that left.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <limits.h>
#include <time.h>

#include "base/vec.h"
#include "http/internal.h"

struct tls {
	int refs;
	bool server;
	SSL_CTX *ctx;
	struct tls *(*pick)(void *arg, const char *name);
	void *pick_arg;
};

/* Sets e from OpenSSL's queue and empties that. */
static int tls_fail(struct err *e, const char *what)
{
	char text[200] = "unknown error";
	unsigned long code = ERR_peek_last_error();

	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return err_set(e, ERR_BAD_REQUEST, "%s: %s", what, text);
}

static BIO *tls_bio(const char *pem)
{
	return BIO_new_mem_buf(pem, -1);
}

/* Own certificate, what follows it in the text as its chain, and the key. */
static int tls_load_own(SSL_CTX *ctx, const struct tls_config *cfg, struct err *e)
{
	BIO *bio = tls_bio(cfg->cert_pem);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	EVP_PKEY *key = NULL;
	int r = 0;

	if (!x || SSL_CTX_use_certificate(ctx, x) != 1)
		r = tls_fail(e, "read TLS certificate");
	X509_free(x);
	while (r == 0 && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		SSL_CTX_add1_chain_cert(ctx, x);
		X509_free(x);
	}
	ERR_clear_error();
	BIO_free(bio);
	if (r)
		return r;
	bio = tls_bio(cfg->key_pem);
	key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (!key || SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1)
		r = tls_fail(e, "read TLS key");
	EVP_PKEY_free(key);
	return r;
}

static int tls_load_ca(struct tls *t, const char *pem, struct err *e)
{
	BIO *bio = tls_bio(pem);
	X509_STORE *store = SSL_CTX_get_cert_store(t->ctx);
	X509 *x;
	int n = 0;

	while ((x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		n += X509_STORE_add_cert(store, x) == 1;
		/* The names that a client chooses its certificate by. */
		if (t->server)
			SSL_CTX_add_client_CA(t->ctx, x);
		X509_free(x);
	}
	ERR_clear_error();
	BIO_free(bio);
	return n ? 0 : err_set(e, ERR_BAD_REQUEST, "read TLS certificate authorities: no certificate in the text");
}

static int tls_alpn(SSL *s, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
		    unsigned inlen, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *sel;

	if (SSL_select_next_proto(&sel, outlen, ours, sizeof(ours) - 1, in, inlen) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = sel;
	return SSL_TLSEXT_ERR_OK;
}

/* Servers look at the result when the handshake is over; see the top. */
static int tls_accept_any(int ok, X509_STORE_CTX *ctx)
{
	return 1;
}

static int tls_set_up_server(struct tls *t, const struct tls_config *cfg, struct err *e)
{
	SSL_CTX_set_alpn_select_cb(t->ctx, tls_alpn, NULL);
	SSL_CTX_set_num_tickets(t->ctx, 1);
	SSL_CTX_set_session_id_context(t->ctx, (const unsigned char *)"kinglet", 7);
	if (!cfg->cert_pem || !cfg->key_pem)
		return err_set(e, ERR_BAD_REQUEST, "a TLS server needs a certificate and a key");
	if (!cfg->ask_client_cert)
		return 0;
	SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, tls_accept_any);
	return 0;
}

static int tls_set_up_client(struct tls *t, const struct tls_config *cfg)
{
	static const unsigned char alpn[] = "\x08http/1.1";

	SSL_CTX_set_alpn_protos(t->ctx, alpn, sizeof(alpn) - 1);
	SSL_CTX_set_verify(t->ctx, cfg->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	if ((!cfg->ca_pem || cfg->system_ca) && !cfg->insecure)
		SSL_CTX_set_default_verify_paths(t->ctx);
	return 0;
}

int tls_new(struct tls **ret, const struct tls_config *cfg, bool server, struct err *e)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	int r;

	*ret = NULL;
	t->refs = 1;
	t->server = server;
	t->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (!t->ctx) {
		free(t);
		return tls_fail(e, "make a TLS context");
	}
	SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
	/* AES-128 is the cheapest where the processor helps with it; who has no such help puts ChaCha20 first and gets it. */
	SSL_CTX_set_ciphersuites(t->ctx, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384");
	SSL_CTX_set_options(t->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF |
					    SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	/* No SSL_MODE_ENABLE_PARTIAL_WRITE: libevent goes on with the next piece of a buffer after a short write. */
	SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_OFF);
	r = server ? tls_set_up_server(t, cfg, e) : tls_set_up_client(t, cfg);
	if (r == 0 && cfg->cert_pem && cfg->key_pem)
		r = tls_load_own(t->ctx, cfg, e);
	if (r == 0 && cfg->ca_pem)
		r = tls_load_ca(t, cfg->ca_pem, e);
	if (r) {
		tls_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

struct tls *tls_ref(struct tls *t)
{
	if (t)
		t->refs++;
	return t;
}

static int tls_on_name(SSL *s, int *alert UNUSED, void *arg)
{
	struct tls *t = arg, *other;
	const char *name = SSL_get_servername(s, TLSEXT_NAMETYPE_host_name);

	other = name ? t->pick(t->pick_arg, name) : NULL;
	if (other)
		SSL_set_SSL_CTX(s, other->ctx);
	return SSL_TLSEXT_ERR_OK;
}

void tls_set_sni(struct tls *t, struct tls *(*pick)(void *arg, const char *name), void *arg)
{
	t->pick = pick;
	t->pick_arg = arg;
	SSL_CTX_set_tlsext_servername_callback(t->ctx, tls_on_name);
	SSL_CTX_set_tlsext_servername_arg(t->ctx, t);
}

bool tls_is_server(const struct tls *t)
{
	return t->server;
}

struct tls *tls_free(struct tls *t)
{
	if (t && --t->refs == 0) {
		SSL_CTX_free(t->ctx);
		free(t);
	}
	return NULL;
}

/* --- sessions --- */

static void tls_expect_name(SSL *s, const char *name)
{
	unsigned char addr[16];
	X509_VERIFY_PARAM *p = SSL_get0_param(s);

	if (inet_pton(AF_INET, name, addr) == 1 || inet_pton(AF_INET6, name, addr) == 1) {
		X509_VERIFY_PARAM_set1_ip_asc(p, name);
		return;
	}
	SSL_set_tlsext_host_name(s, name);
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	X509_VERIFY_PARAM_set1_host(p, name, 0);
}

struct ssl_st *tls_session_new(struct tls *t, const char *server_name)
{
	SSL *s = SSL_new(t->ctx);

	BUG_ON(!s);
	if (!t->server && server_name)
		tls_expect_name(s, server_name);
	return s;
}

static char *tls_name_entry(X509_NAME *name, int i)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));
	char *s = NULL;

	/* A NUL inside would let one name pass as another. */
	if (n >= 0 && n < 4096 && !memchr(utf8, '\0', (size_t)n))
		s = xmemdupz(utf8, (size_t)n);
	OPENSSL_free(utf8);
	return s;
}

/* 1.3.6.1.4.1.57683.2: the user's UID, as Kubernetes reads it since 1.33; at most one. False: several, or no text. */
static bool tls_name_uid(X509_NAME *name, char **ret)
{
	ASN1_OBJECT *oid = OBJ_txt2obj("1.3.6.1.4.1.57683.2", 1);
	int i = oid ? X509_NAME_get_index_by_OBJ(name, oid, -1) : -1;
	bool fine = true;

	*ret = NULL;
	if (i >= 0) {
		*ret = tls_name_entry(name, i);
		fine = *ret && **ret && X509_NAME_get_index_by_OBJ(name, oid, i) < 0;
	}
	ASN1_OBJECT_free(oid);
	return fine;
}

static char *tls_fingerprint(X509 *x)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	struct buf b = BUF_INIT;
	unsigned n = 0;

	if (X509_digest(x, EVP_sha256(), sum, &n) == 1)
		buf_add_hex(&b, sum, n);
	return buf_detach(&b, NULL);
}

void tls_session_peer(struct ssl_st *s, struct tls_peer *ret)
{
	X509 *x = SSL_get0_peer_certificate(s);
	VEC(char *) orgs = VEC_INIT;
	struct tm tm = { 0 };
	X509_NAME *name;
	int i = -1;

	*ret = (struct tls_peer){ .bad = x && SSL_get_verify_result(s) != X509_V_OK };
	if (!x || ret->bad)
		return;
	name = X509_get_subject_name(x);
	if (!tls_name_uid(name, &ret->uid)) {
		tls_peer_release(ret);
		ret->bad = true;
		return;
	}
	if ((i = X509_NAME_get_index_by_NID(name, NID_commonName, -1)) >= 0)
		ret->cn = tls_name_entry(name, i);
	i = -1;
	while ((i = X509_NAME_get_index_by_NID(name, NID_organizationName, i)) >= 0) {
		char *o = tls_name_entry(name, i);

		if (o)
			VEC_PUSH(&orgs, o);
	}
	VEC_PUSH(&orgs, NULL);
	ret->orgs = orgs.v;
	ret->sha256 = tls_fingerprint(x);
	if (ASN1_TIME_to_tm(X509_get0_notAfter(x), &tm) == 1)
		ret->not_after = timegm(&tm);
}

void tls_peer_release(struct tls_peer *p)
{
	free(p->cn);
	free(p->uid);
	free(p->sha256);
	for (char **o = p->orgs; o && *o; o++)
		free(*o);
	free(p->orgs);
	*p = (struct tls_peer){ 0 };
}

void tls_session_error(struct ssl_st *s, unsigned long code, struct err *e)
{
	long verify = SSL_get_verify_result(s);
	char text[200];

	if (verify != X509_V_OK && !SSL_is_server(s)) {
		err_set(e, ERR_UNKNOWN, "tls: failed to verify certificate: %s", X509_verify_cert_error_string(verify));
	} else if (code) {
		const char *reason = ERR_reason_error_string(code);

		ERR_error_string_n(code, text, sizeof(text));
		err_set(e, ERR_UNKNOWN, "tls: %s", reason ? reason : text);
	} else {
		err_set(e, ERR_UNKNOWN, "tls: the connection broke off");
	}
	ERR_clear_error();
}

void tls_session_shutdown(struct ssl_st *s)
{
	if (SSL_is_init_finished(s))
		SSL_shutdown(s);
	ERR_clear_error();
}
