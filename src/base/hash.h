/*
 * Hashes that need no library: keyed SipHash-2-4 for maps, FNV-1a as Kubernetes
 * uses it for pod-template-hash. (SHA-256 is base/digest.h.)
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/str.h"

uint64_t hash_sip(struct str s); /* keyed once for each process at random */
uint64_t hash_sip_key(struct str s, const uint8_t key[16]);
uint32_t hash_fnv32a(struct str s);
uint64_t hash_fnv64a(struct str s);

#endif
