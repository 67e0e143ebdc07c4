/*
 * JSON Web Tokens of service accounts: ES256 (RFC 7515, RFC 7518 3.4) and
 * nothing else. A token whose header names another algorithm is no token of
 * ours, whatever its signature. The signature is r||s, 32 bytes each, where
 * OpenSSL speaks DER. The key's id is the SHA-256 of its public half, as
 * kube-apiserver makes it.
 *
 * The only user of OpenSSL in api.
 */
#include "api/internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/digest.h"

#define JWT_PART 32 /* bytes of r and of s */
#define JWT_MAX (16u << 10)

struct jwt_key {
	EVP_PKEY *key;
	char *kid;
};

static int jwt_key_identify(struct jwt_key *k)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(k->key, &der);
	uint8_t sum[DIGEST_SHA256_LEN];
	struct buf b = BUF_INIT;

	if (n <= 0)
		return -1;
	digest_sha256(str_n((const char *)der, (size_t)n), sum);
	OPENSSL_free(der);
	buf_add_base64(&b, sum, sizeof(sum), true);
	k->kid = buf_detach(&b, NULL);
	return 0;
}

int jwt_key_new(struct jwt_key **ret, const char *pem, struct err *e)
{
	struct jwt_key *k = xcalloc(1, sizeof(*k));
	BIO *bio = BIO_new_mem_buf(pem, -1);

	k->key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	if (!k->key || !EVP_PKEY_is_a(k->key, "EC") || EVP_PKEY_get_bits(k->key) != 256 || jwt_key_identify(k) < 0) {
		ERR_clear_error();
		jwt_key_free(k);
		return err_set(e, ERR_INTERNAL, "the service account key is no P-256 private key in PEM");
	}
	*ret = k;
	return 0;
}

struct jwt_key *jwt_key_free(struct jwt_key *k)
{
	if (!k)
		return NULL;
	EVP_PKEY_free(k->key);
	free(k->kid);
	free(k);
	return NULL;
}

const char *jwt_key_id(const struct jwt_key *k)
{
	return k->kid;
}

static bool jwt_der_to_raw(const unsigned char *der, size_t n, unsigned char raw[2 * JWT_PART])
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, JWT_PART) == JWT_PART &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + JWT_PART, JWT_PART) == JWT_PART;

	ECDSA_SIG_free(sig);
	return ok;
}

static bool jwt_digest_sign(struct jwt_key *k, struct str text, unsigned char raw[2 * JWT_PART])
{
	unsigned char der[128];
	size_t n = sizeof(der);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
		  EVP_DigestSign(ctx, der, &n, (const unsigned char *)text.p, text.n) == 1 &&
		  jwt_der_to_raw(der, n, raw);

	EVP_MD_CTX_free(ctx);
	return ok;
}

int jwt_sign(struct jwt_key *k, struct str claims, struct buf *out, struct err *e)
{
	_cleanup_buf_ struct buf head = BUF_INIT;
	unsigned char raw[2 * JWT_PART];
	size_t start = out->len;

	buf_addf(&head, "{\"alg\":\"ES256\",\"kid\":\"%s\"}", k->kid);
	buf_add_base64(out, head.s, head.len, true);
	buf_addch(out, '.');
	buf_add_base64(out, claims.p, claims.n, true);
	if (!jwt_digest_sign(k, str_n(out->s + start, out->len - start), raw)) {
		ERR_clear_error();
		return err_set(e, ERR_INTERNAL, "sign a token: OpenSSL refused");
	}
	buf_addch(out, '.');
	buf_add_base64(out, raw, sizeof(raw), true);
	return 0;
}

static bool jwt_digest_verify(struct jwt_key *k, struct str text, const struct buf *raw)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn((const unsigned char *)raw->s, JWT_PART, NULL);
	BIGNUM *s = BN_bin2bn((const unsigned char *)raw->s + JWT_PART, JWT_PART, NULL);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char *der = NULL;
	int n = -1;
	bool ok = false;

	if (sig && r && s && ECDSA_SIG_set0(sig, r, s)) {
		r = s = NULL; /* sig's now */
		n = i2d_ECDSA_SIG(sig, &der);
	}
	if (n > 0 && ctx)
		ok = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
		     EVP_DigestVerify(ctx, der, (size_t)n, (const unsigned char *)text.p, text.n) == 1;
	BN_free(r);
	BN_free(s);
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	ECDSA_SIG_free(sig);
	ERR_clear_error();
	return ok;
}

static struct doc *jwt_json_part(struct str base64)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d = NULL;

	if (!buf_add_base64_decoded(&b, base64, true) || doc_parse_json(&d, buf_str(&b), NULL, &e) < 0)
		return NULL;
	return d;
}

struct doc *jwt_verify(struct jwt_key *k, struct str token)
{
	_cleanup_doc_ struct doc *head = NULL;
	_cleanup_buf_ struct buf raw = BUF_INIT;
	struct str rest = token, h, c;

	if (!k || token.n > JWT_MAX)
		return NULL;
	h = str_cut(&rest, '.');
	c = str_cut(&rest, '.');
	if (!h.n || !c.n || !rest.n || str_find(rest, '.') >= 0)
		return NULL;
	head = jwt_json_part(h);
	if (!head || !node_streq(node_getc(doc_root(head), "alg"), "ES256"))
		return NULL;
	if (!buf_add_base64_decoded(&raw, rest, true) || raw.len != 2 * JWT_PART)
		return NULL;
	if (!jwt_digest_verify(k, str_n(token.p, (size_t)(c.p + c.n - token.p)), &raw))
		return NULL;
	return jwt_json_part(c);
}

static void jwt_coordinate(struct jwt_key *k, const char *param, const char *name, struct buf *out)
{
	BIGNUM *n = NULL;
	unsigned char raw[JWT_PART];

	if (EVP_PKEY_get_bn_param(k->key, param, &n) != 1 || BN_bn2binpad(n, raw, JWT_PART) != JWT_PART)
		memset(raw, 0, sizeof(raw));
	BN_free(n);
	buf_addf(out, ",\"%s\":\"", name);
	buf_add_base64(out, raw, sizeof(raw), true);
	buf_addch(out, '"');
}

void jwt_jwks(struct jwt_key *k, struct buf *out)
{
	buf_addf(out, "{\"keys\":[{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"P-256\",\"alg\":\"ES256\"", k->kid);
	jwt_coordinate(k, OSSL_PKEY_PARAM_EC_PUB_X, "x", out);
	jwt_coordinate(k, OSSL_PKEY_PARAM_EC_PUB_Y, "y", out);
	buf_adds(out, "}]}");
}
