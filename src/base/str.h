/*
 * Strings: `struct str` is a borrowed slice (pointer, length, not terminated),
 * passed by value; `struct buf` (buf.h) owns bytes that grow.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

struct str {
	const char *p;
	size_t n;
};

/* printf("%" STR_FMT, STR_ARG(s)) */
#define STR_FMT ".*s"
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""
#define STR_LIT(lit) ((struct str){ "" lit, sizeof(lit) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })

static inline struct str str_of(const char *s)
{
	return (struct str){ s, s ? strlen(s) : 0 };
}
static inline struct str str_n(const char *p, size_t n)
{
	return (struct str){ p, n };
}
static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool str_eqc(struct str a, const char *c)
{
	return str_eq(a, str_of(c));
}
static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}
/* Both may be NULL; two NULLs are equal, and NULL equals "". */
static inline bool streq_null(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}
static inline bool str_empty(const char *s)
{
	return !s || !*s;
}
bool str_ieq(struct str a, struct str b); /* ASCII case folded */
int str_cmp(struct str a, struct str b); /* bytewise, shorter first */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool starts_with(const char *s, const char *prefix);
bool ends_with(const char *s, const char *suffix);
struct str str_trim(struct str s); /* ASCII white space at both ends */
ssize_t str_find(struct str s, char c); /* index or -1 */
ssize_t str_rfind(struct str s, char c);
/* Cuts *s at the first sep: returns what is before it, *s becomes what is after
 * it ({NULL,0} when there was none). Loop: while (s.p) { part = str_cut(&s, ','); } */
struct str str_cut(struct str *s, char sep);
struct str str_sub(struct str s, size_t from, size_t to); /* clamped */
char *str_dup(struct str s); /* NUL-terminated */
/* Whole string must be a number in range; false otherwise. */
bool str_to_i64(struct str s, int64_t *ret);
bool str_to_u64(struct str s, uint64_t *ret);
bool str_is_utf8(struct str s);
/* Length of the valid UTF-8 character that starts at p (1-4), 0 when there is none. */
size_t str_utf8_step(const char *p, size_t n);

#endif
