/*
 * What strangers send to prove who they are: a token never verifies that the key
 * did not sign, one that it signed always gives its claims back; certificate
 * requests and chains of certificates are refused with a reason or read.
 */
#include "api/internal.h"
#include "fuzz.h"
#include "http/http.h"

static struct jwt_key *key;

static void fuzz_key(void)
{
	struct err e = ERR_INIT;
	char *pem;

	if (key)
		return;
	BUG_ON(tls_make_key(&pem, &e) < 0 || jwt_key_new(&key, pem, &e) < 0);
	free(pem);
}

static void fuzz_sign(struct str claims)
{
	_cleanup_doc_ struct doc *want = NULL, *got = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf token = BUF_INIT;

	if (claims.n > 8000 || doc_parse_json(&want, claims, NULL, &e) < 0)
		return;
	BUG_ON(jwt_sign(key, claims, &token, &e) < 0);
	got = jwt_verify(key, buf_str(&token));
	BUG_ON(!got || !node_equal(doc_root(got), doc_root(want)));
}

static void fuzz_pem(struct str text)
{
	_cleanup_err_ struct err a = ERR_INIT, b = ERR_INIT;

	if (tls_csr_check(text, &a) < 0)
		BUG_ON(!*err_msg(&a));
	if (tls_certs_check(text, &b) < 0)
		BUG_ON(!*err_msg(&b));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_n((const char *)data, size);
	struct doc *d;

	fuzz_key();
	d = jwt_verify(key, text);
	BUG_ON(d);
	fuzz_sign(text);
	fuzz_pem(text);
	return 0;
}
