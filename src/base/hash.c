/*
 * SipHash-2-4 (Aumasson and Bernstein) and FNV-1a. The key of hash_sip is made
 * at its first use; worker threads may be the first, hence the atomic.
 */
#include "base/hash.h"

#include <endian.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/rand.h"

static uint8_t hash_key[16];
static atomic_int hash_key_state; /* 0 none, 1 being made, 2 ready */

static inline uint64_t hash_rotl(uint64_t v, int n)
{
	return v << n | v >> (64 - n);
}

static inline uint64_t hash_load64(const void *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static inline void hash_sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = hash_rotl(v[1], 13) ^ v[0];
	v[0] = hash_rotl(v[0], 32);
	v[2] += v[3];
	v[3] = hash_rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = hash_rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = hash_rotl(v[1], 17) ^ v[2];
	v[2] = hash_rotl(v[2], 32);
}

static inline void hash_sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	hash_sip_round(v);
	hash_sip_round(v);
	v[0] ^= word;
}

uint64_t hash_sip_key(struct str s, const uint8_t key[16])
{
	uint64_t k0 = hash_load64(key), k1 = hash_load64(key + 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
			  k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull };
	uint64_t last = (uint64_t)s.n << 56;
	size_t i;

	for (i = 0; i + 8 <= s.n; i += 8)
		hash_sip_word(v, hash_load64(s.p + i));
	for (int shift = 0; i < s.n; i++, shift += 8)
		last |= (uint64_t)(uint8_t)s.p[i] << shift;
	hash_sip_word(v, last);
	v[2] ^= 0xff;
	for (int r = 0; r < 4; r++)
		hash_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void hash_make_key(void)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&hash_key_state, &none, 1)) {
		rand_bytes(hash_key, sizeof(hash_key));
		atomic_store_explicit(&hash_key_state, 2, memory_order_release);
	}
	while (atomic_load_explicit(&hash_key_state, memory_order_acquire) != 2)
		sched_yield();
}

uint64_t hash_sip(struct str s)
{
	if (atomic_load_explicit(&hash_key_state, memory_order_acquire) != 2)
		hash_make_key();
	return hash_sip_key(s, hash_key);
}

uint32_t hash_fnv32a(struct str s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 16777619u;
	return h;
}

uint64_t hash_fnv64a(struct str s)
{
	uint64_t h = 14695981039346656037ull;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * 1099511628211ull;
	return h;
}
