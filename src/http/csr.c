/*
 * What somebody sends in PEM, looked at before it is believed: certificate
 * requests (PKCS#10) and chains of certificates. Blocks are found as Go finds
 * them, text around them does not matter; the words are those of Kubernetes'
 * validation of CertificateSigningRequests.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "http/http.h"

struct pem_block {
	char *type, *headers;
	unsigned char *data;
	long n;
};

static bool pem_next(BIO *bio, struct pem_block *b)
{
	*b = (struct pem_block){ 0 };
	if (PEM_read_bio(bio, &b->type, &b->headers, &b->data, &b->n) == 1)
		return true;
	ERR_clear_error();
	return false;
}

static void pem_release(struct pem_block *b)
{
	OPENSSL_free(b->type);
	OPENSSL_free(b->headers);
	OPENSSL_free(b->data);
	*b = (struct pem_block){ 0 };
}

static int csr_verify(const struct pem_block *b, struct err *e)
{
	const unsigned char *p = b->data;
	X509_REQ *req = d2i_X509_REQ(NULL, &p, b->n);
	EVP_PKEY *key = req ? X509_REQ_get0_pubkey(req) : NULL;
	int rc = 0;

	if (!req || p != b->data + b->n)
		rc = err_set(e, ERR_BAD_REQUEST, "asn1: structure error: malformed certificate request");
	else if (!key)
		rc = err_set(e, ERR_BAD_REQUEST, "x509: unknown public key algorithm");
	else if (X509_REQ_verify(req, key) != 1)
		rc = err_set(e, ERR_BAD_REQUEST, "%s",
			     EVP_PKEY_is_a(key, "EC")  ? "x509: ECDSA verification failure" :
			     EVP_PKEY_is_a(key, "RSA") ? "crypto/rsa: verification error" :
							 "x509: signature verification failure");
	X509_REQ_free(req);
	ERR_clear_error();
	return rc;
}

int tls_csr_check(struct str pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	struct pem_block b;
	int rc;

	if (pem_next(bio, &b) && strcmp(b.type, PEM_STRING_X509_REQ) == 0)
		rc = csr_verify(&b, e);
	else
		rc = err_set(e, ERR_BAD_REQUEST, "PEM block type must be CERTIFICATE REQUEST");
	pem_release(&b);
	BIO_free(bio);
	return rc;
}

static int certs_check_block(const struct pem_block *b, struct err *e)
{
	const unsigned char *p = b->data;
	X509 *x;
	bool fine;

	if (strcmp(b->type, PEM_STRING_X509) != 0)
		return err_set(e, ERR_BAD_REQUEST, "only CERTIFICATE PEM blocks are allowed, found \"%s\"", b->type);
	if (b->headers && *b->headers)
		return err_set(e, ERR_BAD_REQUEST, "no PEM block headers are permitted");
	if (!b->n)
		return err_set(e, ERR_BAD_REQUEST, "found CERTIFICATE PEM block containing 0 certificates");
	x = d2i_X509(NULL, &p, b->n);
	fine = x && p == b->data + b->n;
	X509_free(x);
	ERR_clear_error();
	return fine ? 0 : err_set(e, ERR_BAD_REQUEST, "x509: malformed certificate");
}

int tls_certs_check(struct str pem, struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	struct pem_block b;
	int blocks = 0, rc = 0;

	while (rc == 0 && pem_next(bio, &b)) {
		rc = certs_check_block(&b, e);
		blocks++;
		pem_release(&b);
	}
	BIO_free(bio);
	if (rc == 0 && !blocks)
		rc = err_set(e, ERR_BAD_REQUEST, "must contain at least one CERTIFICATE PEM block");
	return rc;
}
