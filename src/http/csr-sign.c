/*
 * Certificates for others: what a certificate request asks for, and signing it
 * with the cluster's authority as Kubernetes' signers do. Subject, public key and
 * the names of kinds that Go knows (DNS, IP, e-mail, URI) are taken over, nothing
 * else; usages and life are the signer's.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/rand.h"
#include "base/vec.h"
#include "http/internal.h"

static X509_REQ *csr_read(struct str pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);

	BIO_free(bio);
	ERR_clear_error();
	if (!req)
		err_set(e, ERR_BAD_REQUEST, "PEM block type must be CERTIFICATE REQUEST");
	return req;
}

static GENERAL_NAMES *csr_names(X509_REQ *req)
{
	STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
	GENERAL_NAMES *names = exts ? X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL) : NULL;

	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	ERR_clear_error();
	return names;
}

/* --- what it asks for --- */

static char *csr_text(const X509_NAME_ENTRY *entry)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
	char *text = n > 0 ? xmemdupz(utf8, (size_t)n) : xstrdup("");

	OPENSSL_free(utf8);
	return text;
}

static void csr_read_subject(struct tls_csr *out, X509_REQ *req)
{
	const X509_NAME *subject = X509_REQ_get_subject_name(req);
	VEC(char *) orgs = VEC_INIT;

	for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
		int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));

		if (nid == NID_organizationName) {
			VEC_PUSH(&orgs, csr_text(entry));
		} else if (nid == NID_commonName) {
			free(out->common_name);
			out->common_name = csr_text(entry);
		}
	}
	if (!out->common_name)
		out->common_name = xstrdup("");
	VEC_PUSH(&orgs, NULL);
	out->organizations = orgs.v;
}

static void csr_count_names(struct tls_csr *out, X509_REQ *req)
{
	GENERAL_NAMES *names = csr_names(req);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		int type = sk_GENERAL_NAME_value(names, i)->type;

		out->n_dns += type == GEN_DNS;
		out->n_ips += type == GEN_IPADD;
		out->n_emails += type == GEN_EMAIL;
		out->n_uris += type == GEN_URI;
	}
	GENERAL_NAMES_free(names);
}

int tls_csr_read(struct tls_csr *ret, struct str pem, struct err *e)
{
	X509_REQ *req = csr_read(pem, e);

	*ret = (struct tls_csr){ 0 };
	if (!req)
		return -e->code;
	csr_read_subject(ret, req);
	csr_count_names(ret, req);
	X509_REQ_free(req);
	ERR_clear_error();
	return 0;
}

void tls_csr_release(struct tls_csr *c)
{
	for (char **o = c->organizations; o && *o; o++)
		free(*o);
	free(c->organizations);
	free(c->common_name);
	*c = (struct tls_csr){ 0 };
}

/* --- signing --- */

static bool sign_add_names(X509 *x, X509_REQ *req)
{
	GENERAL_NAMES *names = csr_names(req);
	bool ok = true;

	for (int i = sk_GENERAL_NAME_num(names) - 1; i >= 0; i--) {
		int type = sk_GENERAL_NAME_value(names, i)->type;

		if (type != GEN_DNS && type != GEN_IPADD && type != GEN_EMAIL && type != GEN_URI)
			GENERAL_NAME_free(sk_GENERAL_NAME_delete(names, i));
	}
	if (sk_GENERAL_NAME_num(names) > 0)
		ok = X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* Never longer than the authority itself. */
static bool sign_set_life(X509 *x, X509 *ca, const struct tls_csr_terms *t)
{
	const ASN1_TIME *end = X509_get0_notAfter(ca);

	return X509_gmtime_adj(X509_getm_notBefore(x), (long)-t->backdate_s) &&
	       X509_gmtime_adj(X509_getm_notAfter(x), (long)t->ttl_s) &&
	       (ASN1_TIME_compare(X509_get0_notAfter(x), end) <= 0 || X509_set1_notAfter(x, end));
}

static bool sign_fill(X509 *x, X509_REQ *req, const struct tls_csr_terms *t, X509 *ca, EVP_PKEY *ca_key)
{
	return X509_set_version(x, 2) && cert_set_serial(x) && sign_set_life(x, ca, t) &&
	       X509_set_subject_name(x, X509_REQ_get_subject_name(req)) &&
	       X509_set_issuer_name(x, X509_get_subject_name(ca)) && X509_set_pubkey(x, X509_REQ_get0_pubkey(req)) &&
	       (str_empty(t->key_usage) || cert_add_ext(x, ca, NID_key_usage, t->key_usage)) &&
	       (str_empty(t->ext_key_usage) || cert_add_ext(x, ca, NID_ext_key_usage, t->ext_key_usage)) &&
	       cert_add_ext(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
	       cert_add_ext(x, ca, NID_authority_key_identifier, "keyid:always") && sign_add_names(x, req) &&
	       X509_sign(x, ca_key, EVP_sha256()) > 0;
}

static int sign_fail(struct err *e)
{
	char text[200] = "unknown error";
	unsigned long code = ERR_peek_last_error();

	if (code)
		ERR_error_string_n(code, text, sizeof(text));
	ERR_clear_error();
	return err_set(e, ERR_INTERNAL, "sign a certificate: %s", text);
}

int tls_csr_sign(char **ret_cert_pem, struct str pem, const struct tls_csr_terms *t, const char *ca_cert_pem,
		 const char *ca_key_pem, struct err *e)
{
	X509_REQ *req = csr_read(pem, e);
	BIO *out = BIO_new(BIO_s_mem()), *cert = BIO_new_mem_buf(ca_cert_pem, -1), *key = BIO_new_mem_buf(ca_key_pem, -1);
	X509 *ca = PEM_read_bio_X509(cert, NULL, NULL, NULL), *x = X509_new();
	EVP_PKEY *ca_key = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);
	int rc = req ? 0 : -e->code;
	char *text;

	*ret_cert_pem = NULL;
	if (rc == 0 && (!ca || !ca_key || !x || !sign_fill(x, req, t, ca, ca_key) || !PEM_write_bio_X509(out, x)))
		rc = sign_fail(e);
	if (rc == 0) {
		long n = BIO_get_mem_data(out, &text);

		*ret_cert_pem = xmemdupz(text, (size_t)n);
	}
	X509_REQ_free(req);
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	BIO_free(out);
	BIO_free(cert);
	BIO_free(key);
	return rc;
}
