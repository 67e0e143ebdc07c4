/*
 * Random bytes from getrandom(2), and what Kubernetes makes of them.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/str.h"

void rand_bytes(void *p, size_t n);
uint64_t rand_u64(void);
uint64_t rand_below(uint64_t n); /* uniform in [0, n) */
void rand_uuid(char out[37]); /* version 4, lower case */
/* n characters of generateName's alphabet "bcdfghjklmnpqrstvwxz2456789", and a NUL. */
void rand_suffix(char *out, size_t n);

#endif
