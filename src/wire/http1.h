/*
 * HTTP/1.1 as a pure codec: heads and chunked bodies, bytes in and out, no I/O.
 * Strict where requests could be smuggled (RFC 9112): no obs-fold, no space
 * before a colon, one Content-Length or Transfer-Encoding: chunked, never both.
 */
#ifndef WIRE_HTTP1_H
#define WIRE_HTTP1_H

#include "base/buf.h"

struct http_header {
	struct str name, value; /* value trimmed */
};

struct http_head {
	/* request */
	struct str method, target; /* "GET", "/api/v1/pods?limit=5" as sent */
	struct str path, query; /* of the target, not decoded; query without '?' */
	/* response */
	int status;
	struct str reason;
	/* both */
	int minor; /* HTTP/1.x */
	struct http_header *headers;
	size_t n_headers;
	/* derived */
	int64_t content_length; /* -1: none given */
	bool chunked, keep_alive, upgrade, expect_continue;
	/* private: what the slices point into */
	char *block;
};

enum http_parse { HTTP_MORE, HTTP_DONE, HTTP_BAD };

/* Tries to read a head at the start of in; HTTP_DONE: *consumed bytes were it. HTTP_BAD: *status is what to
 * answer (400, 413 too large body declared, 414, 431, 501, 505). Slices live until http_head_release. */
enum http_parse http1_parse_request(struct http_head *h, struct str in, size_t *consumed, int *status);
enum http_parse http1_parse_response(struct http_head *h, struct str in, size_t *consumed);
void http_head_release(struct http_head *h);
/* First header of that name (case folded), {NULL,0} when absent. */
struct str http_head_get(const struct http_head *h, const char *name);
/* True when a comma-separated header holds the token. */
bool http_head_has_token(const struct http_head *h, const char *name, const char *token);
/* Does a Connection header name this one: it belongs to the connection then, and is not passed on. */
bool http_head_names_hop(const struct http_head *h, struct str name);
/* First value of a query parameter, decoded into scratch; false when absent. */
bool http_query_get(struct str query, const char *name, struct buf *out);
/* Iterates over all parameters: while (http_query_next(&rest, &name_buf, &value_buf)) */
bool http_query_next(struct str *rest, struct buf *name, struct buf *value);

/* Chunked transfer coding, incremental. */
struct http1_chunked {
	int state;
	uint64_t left;
	size_t line;
};
/* Consumes from in, appends payload to out (NULL: dropped). HTTP_DONE at the end of the trailer. */
enum http_parse http1_chunked_read(struct http1_chunked *c, struct str in, size_t *consumed, struct buf *out);

const char *http_status_text(int status);

#endif
