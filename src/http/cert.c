/*
 * Keys and certificates as a cluster's own authority makes them: ECDSA P-256,
 * SHA-256, subject O=... CN=..., usages as kubeadm and k3s give them.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/rand.h"
#include "http/internal.h"

#define CERT_BACKDATE_S 86400

static int cert_fail(struct err *e, const char *what)
{
	char text[200] = "unknown error";
	unsigned long code = ERR_peek_last_error();

	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return err_set(e, ERR_INTERNAL, "%s: %s", what, text);
}

static char *cert_bio_text(BIO *bio)
{
	char *p;
	long n = BIO_get_mem_data(bio, &p);

	return xmemdupz(p, (size_t)n);
}

int tls_make_key(char **ret_key_pem, struct err *e)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	int r = 0;

	*ret_key_pem = NULL;
	if (!key || !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL))
		r = cert_fail(e, "make an ECDSA key");
	else
		*ret_key_pem = cert_bio_text(bio);
	BIO_free(bio);
	EVP_PKEY_free(key);
	return r;
}

static EVP_PKEY *cert_read_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *k = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

	BIO_free(bio);
	return k;
}

static X509 *cert_read(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	BIO_free(bio);
	return x;
}

static bool cert_add_name(X509_NAME *n, int nid, const char *value)
{
	return X509_NAME_add_entry_by_NID(n, nid, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0) == 1;
}

static bool cert_set_subject(X509 *x, const struct tls_cert_spec *spec)
{
	X509_NAME *n = X509_get_subject_name(x);

	for (const char *const *o = spec->organizations; o && *o; o++) {
		if (!cert_add_name(n, NID_organizationName, *o))
			return false;
	}
	return cert_add_name(n, NID_commonName, spec->common_name);
}

bool cert_add_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	if (!ext)
		return false;
	ok = X509_add_ext(x, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

/* Built by hand: names come from flags, and the text form of extensions has a syntax of its own. */
static bool cert_add_sans(X509 *x, const char *const *sans)
{
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = true;

	for (; *sans && ok; sans++) {
		GENERAL_NAME *g = GENERAL_NAME_new();
		ASN1_OCTET_STRING *ip = a2i_IPADDRESS(*sans);

		if (ip) {
			GENERAL_NAME_set0_value(g, GEN_IPADD, ip);
		} else {
			ASN1_IA5STRING *s = ASN1_IA5STRING_new();

			ok = ASN1_STRING_set(s, *sans, -1) == 1;
			GENERAL_NAME_set0_value(g, GEN_DNS, s);
		}
		sk_GENERAL_NAME_push(names, g);
	}
	ERR_clear_error();
	ok = ok && (sk_GENERAL_NAME_num(names) == 0 ||
		    X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1);
	GENERAL_NAMES_free(names);
	return ok;
}

static bool cert_add_extensions(X509 *x, X509 *issuer, const struct tls_cert_spec *spec)
{
	const char *eku = spec->server && spec->client ? "serverAuth,clientAuth" :
			  spec->server		       ? "serverAuth" :
			  spec->client		       ? "clientAuth" :
							 NULL;

	return cert_add_ext(x, issuer, NID_basic_constraints, spec->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
	       cert_add_ext(x, issuer, NID_key_usage,
			    spec->is_ca ? "critical,digitalSignature,keyEncipherment,keyCertSign" :
					  "critical,digitalSignature,keyEncipherment") &&
	       (!eku || cert_add_ext(x, issuer, NID_ext_key_usage, eku)) &&
	       cert_add_ext(x, issuer, NID_subject_key_identifier, "hash") &&
	       cert_add_ext(x, issuer, NID_authority_key_identifier, "keyid:always") &&
	       (!spec->sans || cert_add_sans(x, spec->sans));
}

bool cert_set_serial(X509 *x)
{
	unsigned char bytes[16];
	BIGNUM *bn;
	bool ok;

	rand_bytes(bytes, sizeof(bytes));
	bytes[0] = (bytes[0] & 0x7f) | 0x01;
	bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x));
	BN_free(bn);
	return ok;
}

/* ca NULL: x signs itself. */
static bool cert_fill(X509 *x, const struct tls_cert_spec *spec, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key)
{
	return X509_set_version(x, 2) && cert_set_serial(x) && X509_gmtime_adj(X509_getm_notBefore(x), -CERT_BACKDATE_S) &&
	       X509_time_adj_ex(X509_getm_notAfter(x), spec->days, 0, NULL) && cert_set_subject(x, spec) &&
	       X509_set_issuer_name(x, X509_get_subject_name(ca ? ca : x)) && X509_set_pubkey(x, key) &&
	       cert_add_extensions(x, ca ? ca : x, spec) && X509_sign(x, ca ? ca_key : key, EVP_sha256()) > 0;
}

int tls_make_cert(char **ret_cert_pem, const struct tls_cert_spec *spec, const char *key_pem,
		  const char *ca_cert_pem, const char *ca_key_pem, struct err *e)
{
	EVP_PKEY *key = cert_read_key(key_pem), *ca_key = ca_key_pem ? cert_read_key(ca_key_pem) : NULL;
	X509 *ca = ca_cert_pem ? cert_read(ca_cert_pem) : NULL, *x = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());
	int r = 0;

	*ret_cert_pem = NULL;
	if (!key || (ca_cert_pem && (!ca || !ca_key)))
		r = cert_fail(e, "read the keys for a certificate");
	else if (!cert_fill(x, spec, key, ca, ca_key) || !PEM_write_bio_X509(bio, x))
		r = cert_fail(e, "make a certificate");
	else
		*ret_cert_pem = cert_bio_text(bio);
	BIO_free(bio);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	return r;
}

int tls_key_check(const char *key_pem, const char *cert_pem, struct err *e)
{
	EVP_PKEY *key = cert_read_key(key_pem);
	X509 *x = cert_pem ? cert_read(cert_pem) : NULL;
	int r = 0;

	if (!key)
		r = err_set(e, ERR_BAD_REQUEST, "it holds no private key in PEM");
	else if (cert_pem && !x)
		r = err_set(e, ERR_BAD_REQUEST, "its certificate is no certificate in PEM");
	else if (x && X509_check_private_key(x, key) != 1)
		r = err_set(e, ERR_BAD_REQUEST, "it is not the key of its certificate");
	ERR_clear_error();
	X509_free(x);
	EVP_PKEY_free(key);
	return r;
}

/* --- is a certificate still the right one? --- */

static bool cert_has_san(X509 *x, const char *san)
{
	return X509_check_ip_asc(x, san, 0) == 1 || X509_check_host(x, san, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;
}

static bool cert_is_wanted(X509 *x, X509 *ca, const struct tls_cert_spec *spec, int min_days)
{
	EVP_PKEY *ca_key = X509_get0_pubkey(ca);
	int days = 0, secs = 0;
	X509 *want = X509_new();
	bool ok;

	ok = want && cert_set_subject(want, spec) &&
	     X509_NAME_cmp(X509_get_subject_name(want), X509_get_subject_name(x)) == 0 &&
	     ca_key && X509_verify(x, ca_key) == 1 &&
	     ASN1_TIME_diff(&days, &secs, NULL, X509_get0_notAfter(x)) && days >= min_days;
	for (const char *const *s = spec->sans; ok && s && *s; s++)
		ok = cert_has_san(x, *s);
	X509_free(want);
	ERR_clear_error();
	return ok;
}

bool tls_cert_check(const char *cert_pem, const struct tls_cert_spec *spec, const char *ca_cert_pem, int min_days)
{
	X509 *x = cert_read(cert_pem), *ca = cert_read(ca_cert_pem);
	bool ok = x && ca && cert_is_wanted(x, ca, spec, min_days);

	X509_free(x);
	X509_free(ca);
	ERR_clear_error();
	return ok;
}

static bool cert_entry_is(const X509_NAME_ENTRY *entry, const char *want)
{
	unsigned char *text = NULL;
	int n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
	bool same = n >= 0 && str_eqc(str_n((char *)text, (size_t)n), want);

	OPENSSL_free(text);
	return same;
}

bool tls_csr_has_org(struct str pem, const char *org)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
	X509_NAME *subject = req ? X509_REQ_get_subject_name(req) : NULL;
	bool found = false;

	for (int i = -1; subject && !found && (i = X509_NAME_get_index_by_NID(subject, NID_organizationName, i)) >= 0;)
		found = cert_entry_is(X509_NAME_get_entry(subject, i), org);
	X509_REQ_free(req);
	BIO_free(bio);
	ERR_clear_error();
	return found;
}
