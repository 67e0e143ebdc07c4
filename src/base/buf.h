/*
 * A growing byte buffer. `s` is never NULL and always has a NUL behind its
 * `len` bytes. Value type: BUF_INIT, buf_release; ownership of the bytes moves
 * only by buf_detach.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/str.h"

struct buf {
	char *s;
	size_t len, cap; /* cap 0: s is the shared empty string */
};

extern char buf_empty[];
#define BUF_INIT { buf_empty, 0, 0 }
#define _cleanup_buf_ __attribute__((cleanup(buf_release)))

void buf_init(struct buf *b);
void buf_release(struct buf *b); /* usable again afterwards */
void buf_clear(struct buf *b); /* keeps the memory */
void buf_reserve(struct buf *b, size_t extra);
char *buf_detach(struct buf *b, size_t *ret_len); /* ret_len may be NULL; b is empty afterwards */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_addstr(struct buf *b, struct str s);
void buf_adds(struct buf *b, const char *s);
void buf_addch(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) ATTR_PRINTF(2, 3);
void buf_addvf(struct buf *b, const char *fmt, va_list ap) ATTR_PRINTF(2, 0);
void buf_insert(struct buf *b, size_t at, const void *p, size_t n);
void buf_remove(struct buf *b, size_t at, size_t n);
void buf_truncate(struct buf *b, size_t len);
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->s, b->len };
}
/* JSON string literal with quotes; invalid UTF-8 becomes U+FFFD; <, >, & stay as they are. */
void buf_add_json_string(struct buf *b, struct str s);
/* In quotes as Go's %q has it: what messages about names and values look like. */
void buf_add_quoted(struct buf *b, struct str s);
void buf_add_base64(struct buf *b, const void *p, size_t n, bool url_unpadded);
/* false when the input is no base64 (std: padding wanted; url: unpadded). */
bool buf_add_base64_decoded(struct buf *b, struct str s, bool url_unpadded);
void buf_add_hex(struct buf *b, const void *p, size_t n);
/* Percent-encodes all but unreserved characters (and '/' when keep_slash). */
void buf_add_url(struct buf *b, struct str s, bool keep_slash);
bool buf_add_url_decoded(struct buf *b, struct str s, bool plus_is_space);

#endif
