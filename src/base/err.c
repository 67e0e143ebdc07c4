/*
 * struct err: see err.h for the rules.
 *
 * The table below is the one place that joins the API's reasons, their HTTP
 * codes and an errno. To add a reason: a row here and a name in enum err_reason.
 *
 * Details and causes that were added before the error was set stay with it
 * (validation collects causes first); setting an error that is set already
 * replaces everything.
 */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct err_reason_row {
	const char *name;
	int http;
	int code;
} err_reasons[ERR_REASON_MAX] = {
	[ERR_UNKNOWN] = { "", 500, EIO },
	[ERR_BAD_REQUEST] = { "BadRequest", 400, EINVAL },
	[ERR_UNAUTHORIZED] = { "Unauthorized", 401, EACCES },
	[ERR_FORBIDDEN] = { "Forbidden", 403, EPERM },
	[ERR_NOT_FOUND] = { "NotFound", 404, ENOENT },
	[ERR_METHOD_NOT_ALLOWED] = { "MethodNotAllowed", 405, EOPNOTSUPP },
	[ERR_NOT_ACCEPTABLE] = { "NotAcceptable", 406, EPROTONOSUPPORT },
	[ERR_ALREADY_EXISTS] = { "AlreadyExists", 409, EEXIST },
	[ERR_CONFLICT] = { "Conflict", 409, EBUSY },
	[ERR_GONE] = { "Gone", 410, ESTALE },
	[ERR_EXPIRED] = { "Expired", 410, ESTALE },
	[ERR_TOO_LARGE] = { "RequestEntityTooLarge", 413, EFBIG },
	[ERR_UNSUPPORTED_MEDIA_TYPE] = { "UnsupportedMediaType", 415, EPROTONOSUPPORT },
	[ERR_INVALID] = { "Invalid", 422, EINVAL },
	[ERR_TOO_MANY_REQUESTS] = { "TooManyRequests", 429, EAGAIN },
	[ERR_INTERNAL] = { "InternalError", 500, EIO },
	[ERR_SERVER_TIMEOUT] = { "ServerTimeout", 500, ETIMEDOUT },
	[ERR_TIMEOUT] = { "Timeout", 504, ETIMEDOUT },
	[ERR_SERVICE_UNAVAILABLE] = { "ServiceUnavailable", 503, EAGAIN },
	[ERR_STORE_READ_ERROR] = { "StorageReadError", 500, EIO },
	[ERR_AGAIN] = { "", 500, EAGAIN },
};

/* Only what means the same to a client; EPERM from the kernel is not its 403. */
static enum err_reason err_reason_of_errno(int eno)
{
	switch (eno) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_ALREADY_EXISTS;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	case EFBIG:
		return ERR_TOO_LARGE;
	default:
		return ERR_UNKNOWN;
	}
}

static void err_free_causes(struct err_cause *c)
{
	while (c) {
		struct err_cause *next = c->next;

		free(c->reason);
		free(c->field);
		free(c->message);
		free(c);
		c = next;
	}
}

void err_release(struct err *e)
{
	free(e->msg);
	free(e->kind);
	free(e->group);
	free(e->name);
	free(e->uid);
	err_free_causes(e->causes);
	*e = (struct err)ERR_INIT;
}

/* msg_take may have been made from the old content of *e, so it comes finished. */
static int err_put(struct err *e, const char *file, int line, int code, enum err_reason r, char *msg_take)
{
	if (err_is_set(e))
		err_release(e);
	free(e->msg);
	e->code = code;
	e->reason = r;
	e->msg = msg_take;
	e->file = file;
	e->line = line;
	return -code;
}

int err_set_at(struct err *e, const char *file, int line, enum err_reason r, const char *fmt, ...)
{
	va_list ap;
	char *msg;

	BUG_ON((unsigned)r >= ERR_REASON_MAX);
	va_start(ap, fmt);
	msg = xvasprintf(fmt, ap);
	va_end(ap);
	return err_put(e, file, line, err_reasons[r].code, r, msg);
}

int err_errno_at(struct err *e, const char *file, int line, int eno, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (eno < 0)
		eno = -eno;
	if (eno == 0)
		eno = EIO; /* an error without a number must stay an error */
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_put(e, file, line, eno, err_reason_of_errno(eno), xasprintf("%s: %s", text, strerror(eno)));
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	char *msg;

	BUG_ON(!err_is_set(e));
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	msg = xasprintf("%s: %s", text, e->msg);
	free(e->msg);
	e->msg = msg;
	return -e->code;
}

static void err_put_field(char **field, const char *value)
{
	char *copy;

	if (!value)
		return;
	copy = xstrdup(value);
	free(*field);
	*field = copy;
}

void err_about(struct err *e, const char *group, const char *kind, const char *name)
{
	err_put_field(&e->group, group);
	err_put_field(&e->kind, kind);
	err_put_field(&e->name, name);
}

static void err_append_cause(struct err *e, const char *reason, const char *field, char *message_take)
{
	struct err_cause *c = xcalloc(1, sizeof(*c));

	c->reason = xstrdup_null(reason);
	c->field = xstrdup_null(field);
	c->message = message_take;
	if (e->last_cause)
		e->last_cause->next = c;
	else
		e->causes = c;
	e->last_cause = c;
}

void err_add_cause(struct err *e, const char *reason, const char *field, const char *fmt, ...)
{
	va_list ap;
	char *message;

	va_start(ap, fmt);
	message = xvasprintf(fmt, ap);
	va_end(ap);
	err_append_cause(e, reason, field, message);
}

void err_copy(struct err *dst, const struct err *src)
{
	struct err n = *src;

	if (dst == src)
		return;
	n.msg = xstrdup_null(src->msg);
	n.kind = xstrdup_null(src->kind);
	n.group = xstrdup_null(src->group);
	n.name = xstrdup_null(src->name);
	n.uid = xstrdup_null(src->uid);
	n.causes = n.last_cause = NULL;
	for (const struct err_cause *c = src->causes; c; c = c->next)
		err_append_cause(&n, c->reason, c->field, xstrdup_null(c->message));
	err_release(dst);
	*dst = n;
}

void err_move(struct err *dst, struct err *src)
{
	if (dst == src)
		return;
	err_release(dst);
	*dst = *src;
	*src = (struct err)ERR_INIT;
}

const char *err_msg(const struct err *e)
{
	return err_is_set(e) && e->msg ? e->msg : "";
}

const char *err_reason_name(enum err_reason r)
{
	return (unsigned)r < ERR_REASON_MAX ? err_reasons[r].name : "";
}

int err_reason_http(enum err_reason r)
{
	return (unsigned)r < ERR_REASON_MAX ? err_reasons[r].http : 500;
}

enum err_reason err_reason_from_name(const char *name)
{
	for (int r = 1; name && r < ERR_REASON_MAX; r++) {
		if (strcmp(err_reasons[r].name, name) == 0)
			return r;
	}
	return ERR_UNKNOWN;
}
