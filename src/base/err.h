/*
 * Errors: one value that says what failed, in words for an operator and in the
 * API's vocabulary for a client.
 *
 * Every function that can fail in more than one way takes `struct err *e` last
 * and returns 0 or a negative value (-errno). On success *e is untouched, so
 * calls chain. The text names the operation and its object ("mount overlay on
 * '/run/x': No space left on device"), never the C function. It is made once at
 * the origin (err_set, err_errno), given context on the way up (err_wrap), and
 * consumed at one boundary: a request becomes a Status, a reconcile an event,
 * a command a line on stderr, a child process a frame on its pipe.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/alloc.h"

/* metav1.StatusReason; the HTTP code of each stands in err.c's table. */
enum err_reason {
	ERR_UNKNOWN, /* no reason: an errno says it all; 500 at the API */
	ERR_BAD_REQUEST, /* 400 */
	ERR_UNAUTHORIZED, /* 401 */
	ERR_FORBIDDEN, /* 403 */
	ERR_NOT_FOUND, /* 404 */
	ERR_METHOD_NOT_ALLOWED, /* 405 */
	ERR_NOT_ACCEPTABLE, /* 406 */
	ERR_ALREADY_EXISTS, /* 409 */
	ERR_CONFLICT, /* 409 */
	ERR_GONE, /* 410 */
	ERR_EXPIRED, /* 410 */
	ERR_TOO_LARGE, /* 413 RequestEntityTooLarge */
	ERR_UNSUPPORTED_MEDIA_TYPE, /* 415 */
	ERR_INVALID, /* 422 */
	ERR_TOO_MANY_REQUESTS, /* 429 */
	ERR_INTERNAL, /* 500 InternalError */
	ERR_SERVER_TIMEOUT, /* 500 ServerTimeout */
	ERR_TIMEOUT, /* 504 */
	ERR_SERVICE_UNAVAILABLE, /* 503 */
	ERR_STORE_READ_ERROR, /* 500 */
	ERR_AGAIN, /* no failure: an answer from outside is awaited, then all is done again. Never shown */
	ERR_REASON_MAX
};

/* One entry of Status.details.causes. */
struct err_cause {
	struct err_cause *next;
	char *reason; /* FieldValueRequired, FieldValueInvalid, ... */
	char *field; /* "spec.containers[0].name" */
	char *message; /* "Required value" */
};

struct err {
	int code; /* an errno, > 0 when set */
	enum err_reason reason;
	int http_code; /* overrides the reason's own when not 0 */
	int retry_after_s; /* Status.details.retryAfterSeconds when not 0 */
	char *msg; /* owned; never NULL when set */
	char *kind, *group, *name, *uid; /* Status.details; owned; may be NULL */
	struct err_cause *causes, *last_cause;
	const char *file;
	int line;
};

#define ERR_INIT { 0 }
#define _cleanup_err_ __attribute__((cleanup(err_release)))

static inline int err_is_set(const struct err *e)
{
	return e->code != 0;
}

/* Both return -e->code. A second set on the same e replaces the first. */
#define err_set(e, reason, ...) err_set_at(e, __FILE__, __LINE__, reason, __VA_ARGS__)
#define err_errno(e, eno, ...) err_errno_at(e, __FILE__, __LINE__, eno, __VA_ARGS__)
int err_set_at(struct err *e, const char *file, int line, enum err_reason r, const char *fmt, ...)
	ATTR_PRINTF(5, 6);
/* The text gets ": <strerror(eno)>". The reason follows the errno (ENOENT: not found, ...). */
int err_errno_at(struct err *e, const char *file, int line, int eno, const char *fmt, ...)
	ATTR_PRINTF(5, 6);
/* Puts "text: " before the message. Returns -e->code. */
int err_wrap(struct err *e, const char *fmt, ...) ATTR_PRINTF(2, 3);
/* Status.details: what object it is about. NULLs leave what is there. */
void err_about(struct err *e, const char *group, const char *kind, const char *name);
/* Adds a cause; does not set the error itself. */
void err_add_cause(struct err *e, const char *reason, const char *field, const char *fmt, ...)
	ATTR_PRINTF(4, 5);
void err_copy(struct err *dst, const struct err *src);
/* dst's former content is released; src is empty afterwards. */
void err_move(struct err *dst, struct err *src);
void err_release(struct err *e);

const char *err_msg(const struct err *e); /* "" when not set */
const char *err_reason_name(enum err_reason r); /* "NotFound"; "" for ERR_UNKNOWN */
int err_reason_http(enum err_reason r); /* 404 */
enum err_reason err_reason_from_name(const char *name);

#endif
