/*
 * SHA-256 by OpenSSL's EVP. The algorithm is fetched once and kept: the
 * implicit fetch of EVP_sha256() costs a look-up under a lock at each call.
 */
#include "base/digest.h"

#include <openssl/evp.h>
#include <stdatomic.h>

struct digest {
	EVP_MD_CTX *ctx;
};

static EVP_MD *digest_md(void)
{
	static _Atomic(EVP_MD *) cached;
	EVP_MD *md = atomic_load(&cached), *none = NULL;

	if (md)
		return md;
	md = EVP_MD_fetch(NULL, "SHA256", NULL);
	BUG_ON(!md); /* a build of OpenSSL without SHA-256 */
	if (!atomic_compare_exchange_strong(&cached, &none, md)) {
		EVP_MD_free(md);
		md = none;
	}
	return md;
}

struct digest *digest_new(void)
{
	struct digest *d = xcalloc(1, sizeof(*d));

	d->ctx = EVP_MD_CTX_new();
	BUG_ON(!d->ctx);
	BUG_ON(EVP_DigestInit_ex2(d->ctx, digest_md(), NULL) != 1);
	return d;
}

void digest_update(struct digest *d, const void *p, size_t n)
{
	if (n)
		BUG_ON(EVP_DigestUpdate(d->ctx, p, n) != 1);
}

void digest_final(struct digest *d, uint8_t out[DIGEST_SHA256_LEN])
{
	BUG_ON(EVP_DigestFinal_ex(d->ctx, out, NULL) != 1);
}

struct digest *digest_free(struct digest *d)
{
	if (d)
		EVP_MD_CTX_free(d->ctx);
	free(d);
	return NULL;
}

void digest_sha256(struct str s, uint8_t out[DIGEST_SHA256_LEN])
{
	BUG_ON(EVP_Digest(s.n ? s.p : "", s.n, out, NULL, digest_md(), NULL) != 1);
}

void digest_sha256_hex(struct str s, char out[DIGEST_SHA256_HEX])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t sum[DIGEST_SHA256_LEN];

	digest_sha256(s, sum);
	for (int i = 0; i < DIGEST_SHA256_LEN; i++) {
		out[2 * i] = digits[sum[i] >> 4];
		out[2 * i + 1] = digits[sum[i] & 15];
	}
	out[2 * DIGEST_SHA256_LEN] = '\0';
}

void digest_sha1(struct str s, uint8_t out[DIGEST_SHA1_LEN])
{
	BUG_ON(EVP_Digest(s.n ? s.p : "", s.n, out, NULL, EVP_sha1(), NULL) != 1);
}
