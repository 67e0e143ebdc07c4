/*
 * Randomness straight from the kernel: no state, nothing to fork wrongly.
 */
#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

void rand_bytes(void *p, size_t n)
{
	char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		BUG_ON(got < 0); /* only a kernel before 3.17 or a seccomp filter can refuse */
		at += got;
		n -= got;
	}
}

uint64_t rand_u64(void)
{
	uint64_t v;

	rand_bytes(&v, sizeof(v));
	return v;
}

uint64_t rand_below(uint64_t n)
{
	uint64_t reject, v;

	if (n < 2)
		return 0;
	reject = (0 - n) % n; /* 2^64 mod n: the values that would make the low ones likelier */
	do
		v = rand_u64();
	while (v < reject);
	return v % n;
}

void rand_uuid(char out[37])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t b[16];
	char *q = out;

	rand_bytes(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40; /* version 4 */
	b[8] = (b[8] & 0x3f) | 0x80; /* RFC 4122's variant */
	for (int i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*q++ = '-';
		*q++ = digits[b[i] >> 4];
		*q++ = digits[b[i] & 15];
	}
	*q = '\0';
}

void rand_suffix(char *out, size_t n)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789"; /* 27: no vowels, no words */
	size_t have = 0;
	uint8_t pool[16];

	for (size_t i = 0; i < n;) {
		uint8_t v;

		if (!have) {
			rand_bytes(pool, sizeof(pool));
			have = sizeof(pool);
		}
		v = pool[--have];
		if (v < 243) /* 9 * 27 */
			out[i++] = alphabet[v % 27];
	}
	out[n] = '\0';
}
