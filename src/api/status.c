/*
 * Errors in the API's words, and struct err as a metav1.Status.
 *
 * The texts are those of k8s.io/apimachinery/pkg/api/errors: clients match on
 * reason and code, people and scripts on the message. Status.details.kind is the
 * resource ("pods") for what is about a resource and the kind ("Pod") for
 * Invalid, as there.
 *
 * To add an error with a fixed text: a function here, next to its like.
 */
#include "api/internal.h"

#include "http/http.h"

void status_group_resource(struct buf *out, const struct resource *res)
{
	buf_adds(out, res->plural);
	if (*res->group)
		buf_addf(out, ".%s", res->group);
}

static int status_set_v(struct err *e, enum err_reason reason, const struct resource *res, const char *name,
			const char *text)
{
	int rc = err_set(e, reason, "%s", text);

	err_about(e, *res->group ? res->group : NULL, res->plural, str_empty(name) ? NULL : name);
	return rc;
}

int err_not_found(struct err *e, const struct resource *res, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	status_group_resource(&b, res);
	buf_addf(&b, " \"%s\" not found", name);
	return status_set_v(e, ERR_NOT_FOUND, res, name, b.s);
}

int err_exists(struct err *e, const struct resource *res, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	status_group_resource(&b, res);
	buf_addf(&b, " \"%s\" already exists", name);
	return status_set_v(e, ERR_ALREADY_EXISTS, res, name, b.s);
}

int err_conflict(struct err *e, const struct resource *res, const char *name, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	buf_adds(&b, "Operation cannot be fulfilled on ");
	status_group_resource(&b, res);
	buf_addf(&b, " \"%s\": ", name);
	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	return status_set_v(e, ERR_CONFLICT, res, name, b.s);
}

int err_modified(struct err *e, const struct resource *res, const char *name)
{
	return err_conflict(e, res, name,
			    "the object has been modified; please apply your changes to the latest version and "
			    "try again");
}

int err_forbidden(struct err *e, const struct resource *res, const char *name, const char *fmt, ...)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	status_group_resource(&b, res);
	if (!str_empty(name))
		buf_addf(&b, " \"%s\"", name);
	buf_adds(&b, " is forbidden: ");
	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	return status_set_v(e, ERR_FORBIDDEN, res, name, b.s);
}

const char *status_cause_text(const char *reason)
{
	static const char *const texts[][2] = {
		{ "FieldValueRequired", "Required value" }, { "FieldValueInvalid", "Invalid value" },
		{ "FieldValueForbidden", "Forbidden" }, { "FieldValueNotSupported", "Unsupported value" },
		{ "FieldValueTooLong", "Too long" }, { "FieldValueDuplicate", "Duplicate value" }, { "FieldValueNotFound", "Not found" },
		{ "FieldValueTooMany", "Too many" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (streq(texts[i][0], reason))
			return texts[i][1];
	return "Internal error";
}

int err_invalid(struct err *e, const char *group, const char *kind, const char *name, const char *reason,
		const char *field, const char *fmt, ...)
{
	_cleanup_buf_ struct buf detail = BUF_INIT;
	va_list ap;
	int rc;

	buf_adds(&detail, status_cause_text(reason));
	buf_adds(&detail, ": ");
	va_start(ap, fmt);
	buf_addvf(&detail, fmt, ap);
	va_end(ap);
	if (ends_with(detail.s, ": ")) /* nothing more to say */
		buf_truncate(&detail, detail.len - 2);
	rc = err_set(e, ERR_INVALID, "%s%s%s \"%s\" is invalid: %s: %s", kind, str_empty(group) ? "" : ".",
		     str_empty(group) ? "" : group, name, field, detail.s);
	err_about(e, group, kind, str_empty(name) ? NULL : name);
	err_add_cause(e, reason, field, "%s", detail.s);
	return rc;
}

int err_bad(struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_set(e, ERR_BAD_REQUEST, "%s", text);
}

int status_generic_not_found(struct err *e)
{
	int rc = err_set(e, ERR_NOT_FOUND, "the server could not find the requested resource");

	err_about(e, "", NULL, NULL);
	return rc;
}

int status_generic_method(struct err *e)
{
	int rc = err_set(e, ERR_METHOD_NOT_ALLOWED, "the server does not allow this method on the requested resource");

	err_about(e, "", NULL, NULL);
	return rc;
}

int err_http_code(const struct err *e)
{
	return e->http_code ? e->http_code : err_reason_http(e->reason);
}

static void status_member(struct buf *out, bool *first, const char *key, const char *value)
{
	if (str_empty(value))
		return;
	if (!*first)
		buf_addch(out, ',');
	*first = false;
	buf_addf(out, "\"%s\":", key);
	buf_add_json_string(out, str_of(value));
}

static void status_causes(const struct err *e, struct buf *out)
{
	buf_adds(out, "\"causes\":[");
	for (const struct err_cause *c = e->causes; c; c = c->next) {
		bool first = true;

		buf_addch(out, '{');
		status_member(out, &first, "reason", c->reason);
		status_member(out, &first, "message", c->message);
		status_member(out, &first, "field", c->field);
		buf_adds(out, c->next ? "}," : "}");
	}
	buf_addch(out, ']');
}

static void status_details(const struct err *e, struct buf *out)
{
	bool first = true;

	buf_adds(out, ",\"details\":{");
	status_member(out, &first, "name", e->name);
	status_member(out, &first, "group", e->group);
	status_member(out, &first, "kind", e->kind);
	status_member(out, &first, "uid", e->uid);
	if (e->causes) {
		buf_adds(out, first ? "" : ",");
		first = false;
		status_causes(e, out);
	}
	if (e->retry_after_s)
		buf_addf(out, "%s\"retryAfterSeconds\":%d", first ? "" : ",", e->retry_after_s);
	buf_addch(out, '}');
}

/* An error without a reason is ours to explain: what it was stands in the log. */
static const char *status_message(const struct err *e, struct buf *scratch)
{
	if (e->reason != ERR_UNKNOWN || e->http_code)
		return err_msg(e);
	buf_addf(scratch, "Internal error occurred: %s", err_msg(e));
	return scratch->s;
}

/* cont: with which a list can be gone on with all the same; NULL: none. */
void status_from_err_continue(const struct err *e, const char *cont, struct buf *out)
{
	_cleanup_buf_ struct buf scratch = BUF_INIT;
	bool first = true;
	const char *reason = err_reason_name(e->reason);

	if (e->reason == ERR_UNKNOWN && !e->http_code)
		reason = err_reason_name(ERR_INTERNAL);
	buf_adds(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{");
	status_member(out, &first, "continue", cont);
	buf_adds(out, "},\"status\":\"Failure\",\"message\":");
	buf_add_json_string(out, str_of(status_message(e, &scratch)));
	if (*reason) {
		buf_adds(out, ",\"reason\":");
		buf_add_json_string(out, str_of(reason));
	}
	if (e->kind || e->group || e->name || e->uid || e->causes || e->retry_after_s)
		status_details(e, out);
	buf_addf(out, ",\"code\":%d}", err_http_code(e));
}

void status_from_err(const struct err *e, struct buf *out)
{
	status_from_err_continue(e, NULL, out);
}

void status_success(struct req *r, struct buf *out)
{
	const struct resource *res = &r->res->r;
	bool first = true;
	int code = r->status ? r->status : 200;

	buf_adds(out, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Success\"");
	if (r->success_text) {
		buf_adds(out, ",\"message\":");
		buf_add_json_string(out, str_of(r->success_text));
		buf_adds(out, ",\"code\":200}");
		return;
	}
	if (r->verb == VERB_CREATE) { /* a binding or eviction says nothing but that it was done */
		buf_addf(out, ",\"code\":%d}", code);
		return;
	}
	buf_adds(out, ",\"details\":{");
	status_member(out, &first, "name", r->at.name);
	status_member(out, &first, "group", res->group);
	status_member(out, &first, "kind", res->plural);
	if (r->obj)
		status_member(out, &first, "uid", r->obj->uid);
	buf_adds(out, "}}");
}
