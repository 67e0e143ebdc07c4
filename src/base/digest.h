/*
 * SHA-256 through OpenSSL's EVP, in one call or in pieces.
 */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/str.h"

#define DIGEST_SHA256_LEN 32
#define DIGEST_SHA256_HEX (64 + 1)

struct digest; /* a running SHA-256 */

struct digest *digest_new(void);
void digest_update(struct digest *d, const void *p, size_t n);
void digest_final(struct digest *d, uint8_t out[DIGEST_SHA256_LEN]); /* d may only be freed then */
struct digest *digest_free(struct digest *d);
void digest_sha256(struct str s, uint8_t out[DIGEST_SHA256_LEN]);
/* For protocols that demand SHA-1 (WebSocket's handshake); never for security. */
#define DIGEST_SHA1_LEN 20
void digest_sha1(struct str s, uint8_t out[DIGEST_SHA1_LEN]);
void digest_sha256_hex(struct str s, char out[DIGEST_SHA256_HEX]);

#endif
