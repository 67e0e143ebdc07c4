/*
 * From HTTP to a request: which verb on which resource, with which options.
 *
 * Paths:
 *	/api/V/..., /apis/G/V/...	resources:
 *	  [watch/][namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE[/more]]]
 *	  namespaces/NAME, namespaces/NAME/{status,finalize} are the resource itself
 *	everything else			the table path_routes
 *
 * The verb is the method's: POST create, PUT update, PATCH patch, DELETE delete
 * or (without a name) deletecollection, GET get, list or (with watch=true) watch.
 * Query options are metav1's, one row each in `options`; unknown ones are
 * ignored as there. To add an option: a member of struct call_opts and a row.
 */
#include "api/internal.h"

#include "base/time.h"
#include "http/http.h"

enum { ROUTE_GET = 1, ROUTE_POST = 2 };

const struct path_route path_routes[] = {
	{ "/", .act = act_paths },
	{ "/api", .act = act_discovery },
	{ "/apis", .act = act_discovery },
	{ "/healthz", true, .act = act_health },
	{ "/livez", true, .act = act_health },
	{ "/readyz", true, .act = act_health },
	{ "/version", .act = act_version },
	{ "/metrics", .act = act_metrics },
	{ "/openapi/v2", .act = act_openapi },
	{ "/openapi/v3", true, .act = act_openapi },
	{ "/.well-known/openid-configuration", .act = act_openid },
	{ "/openid/v1/jwks", .act = act_openid },
	{ 0 },
};
static const struct path_route discovery_route = { "/apis", true, .act = act_discovery };

/* --- paths --- */

static const struct path_route *path_find(const char *path)
{
	size_t n = strlen(path);

	if (n > 1 && path[n - 1] == '/')
		n--;
	for (const struct path_route *p = path_routes; p->path; p++) {
		size_t m = strlen(p->path);

		if (n >= m && memcmp(path, p->path, m) == 0 && (n == m || (p->prefix && path[m] == '/')))
			return p;
	}
	return NULL;
}

struct segments {
	const char *v[8];
	size_t n;
	const char *rest; /* behind the last one that was cut */
};

/* Cuts the decoded path at its slashes; at most ARRAY_SIZE(v) pieces, the rest stays whole. */
static void path_split(struct arena *arena, const char *path, struct segments *out)
{
	struct str rest = str_of(path + 1);

	out->n = 0;
	while (rest.p && out->n < ARRAY_SIZE(out->v)) {
		struct str part = str_cut(&rest, '/');

		if (!part.n && !rest.p)
			break;
		out->v[out->n++] = arena_memdupz(arena, part.p ? part.p : "", part.n);
	}
	out->rest = rest.p ? arena_memdupz(arena, rest.p, rest.n) : NULL;
}

static const char *segment(const struct segments *s, size_t i)
{
	return i < s->n ? s->v[i] : "";
}

static bool is_namespace_subresource(const char *s)
{
	return streq(s, "status") || streq(s, "finalize");
}

/* What is behind the first n segments, from its slash on; raw: slashes may be written "%2F". */
static struct str path_behind(struct str path, size_t n, bool raw)
{
	size_t i = 0;

	while (i < path.n) {
		bool escaped = raw && path.n - i >= 3 && path.p[i] == '%' && path.p[i + 1] == '2' && (path.p[i + 2] | 0x20) == 'f';

		if ((path.p[i] == '/' || escaped) && n-- == 0)
			break;
		i += escaped ? 3 : 1;
	}
	return str_sub(path, i, path.n);
}

/* i: the first segment behind group and version. */
static void path_resource(struct req *r, const struct segments *s, size_t i, const char *path)
{
	if (streq(segment(s, i), "watch")) {
		r->is_watch_path = true;
		i++;
	}
	if (streq(segment(s, i), "namespaces") && i + 2 < s->n && !is_namespace_subresource(s->v[i + 2])) {
		r->at.ns = s->v[i + 1];
		i += 2;
	} else if (streq(segment(s, i), "namespaces") && i + 1 < s->n) {
		r->at.ns = s->v[i + 1];
	}
	r->at.resource = segment(s, i);
	r->at.name = segment(s, i + 1);
	r->at.subresource = segment(s, i + 2);
	if (streq(r->at.subresource, "proxy")) {
		struct str tail = path_behind(str_of(path), i + 3, false);

		r->tail = arena_memdupz(r->arena, tail.p, tail.n);
		r->tail_raw = path_behind(r->head->path, i + 3, true);
	}
}

static bool path_is_resource(const struct segments *s)
{
	if (streq(segment(s, 0), "api"))
		return s->n >= 3;
	return streq(segment(s, 0), "apis") && s->n >= 4;
}

static enum verb verb_of_get(struct req *r)
{
	if (*r->at.subresource)
		return VERB_GET;
	if (r->is_watch_path || req_query_bool(r, "watch"))
		return VERB_WATCH;
	return *r->at.name ? VERB_GET : VERB_LIST;
}

/* It has no verb in Kubernetes: only who may do everything may do this. */
static int path_verb_none(struct req *r)
{
	r->verb = VERB_GET;
	r->at.verb = "";
	return 0;
}

static int path_verb(struct req *r, struct err *e)
{
	struct str m = r->head->method;

	if (str_eqc(m, "GET") || str_eqc(m, "HEAD"))
		r->verb = verb_of_get(r);
	else if (str_eqc(m, "POST"))
		r->verb = VERB_CREATE;
	else if (str_eqc(m, "PUT"))
		r->verb = VERB_UPDATE;
	else if (str_eqc(m, "PATCH"))
		r->verb = VERB_PATCH;
	else if (str_eqc(m, "OPTIONS") && streq(r->at.subresource, "proxy"))
		return path_verb_none(r);
	else if (str_eqc(m, "DELETE"))
		r->verb = *r->at.name ? VERB_DELETE : VERB_DELETECOLLECTION;
	else
		return status_generic_method(e);
	r->at.verb = verb_name(r->verb);
	if (r->verb == VERB_WATCH && str_eqc(m, "HEAD")) /* a head that never ends is of no use */
		return status_generic_method(e);
	return r->is_watch_path && r->verb != VERB_WATCH ? status_generic_method(e) : 0;
}

/* GET of one object with watch=true is the watch of a list with one name. */
static void path_named_watch(struct req *r)
{
	if (r->verb != VERB_GET || !*r->at.name || *r->at.subresource || !req_query_bool(r, "watch"))
		return;
	r->verb = VERB_WATCH;
	r->at.verb = verb_name(VERB_WATCH);
}

static const char *method_lower(struct req *r)
{
	char *m = arena_memdupz(r->arena, r->head->method.p, r->head->method.n);

	for (char *p = m; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	return m;
}

static int path_other(struct req *r, const struct segments *s, const char *path, struct err *e)
{
	bool reading = str_eqc(r->head->method, "GET") || str_eqc(r->head->method, "HEAD");

	r->at.path = path;
	r->at.verb = method_lower(r);
	r->verb = VERB_GET;
	r->route = path_find(path);
	if (!r->route && ((streq(segment(s, 0), "api") && s->n == 2) || (streq(segment(s, 0), "apis") && s->n <= 3)))
		r->route = &discovery_route;
	if (r->route && !reading)
		return status_generic_method(e);
	return STEP_NEXT;
}

static int path_malformed(struct err *e)
{
	return err_bad(e, "the request's path is malformed");
}

int http_in_parse(struct req *r, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct segments s;
	const char *path;

	if (!buf_add_url_decoded(&b, r->head->path, false) || !b.len || b.s[0] != '/' || strlen(b.s) != b.len)
		return path_malformed(e);
	path = arena_memdupz(r->arena, b.s, b.len);
	path_split(r->arena, path, &s);
	if (!path_is_resource(&s))
		return str_is_utf8(buf_str(&b)) ? path_other(r, &s, path, e) : path_malformed(e);
	r->at.version = streq(s.v[0], "api") ? s.v[1] : s.v[2];
	r->at.group = streq(s.v[0], "api") ? "" : s.v[1];
	path_resource(r, &s, streq(s.v[0], "api") ? 2 : 3, path);
	if (!str_is_utf8(str_n(path, b.len - (r->tail ? strlen(r->tail) : 0)))) /* a site's own paths are its own */
		return path_malformed(e);
	if (!*r->at.resource)
		return status_generic_not_found(e);
	if (path_verb(r, e) < 0)
		return -e->code;
	path_named_watch(r);
	if (streq(r->at.resource, "namespaces") && *r->at.name)
		r->at.ns = r->at.name; /* as RequestInfo has it */
	return STEP_NEXT;
}

/* --- query options --- */

const char *req_query(struct req *r, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!r->head || !r->head->query.n || !http_query_get(r->head->query, name, &b))
		return NULL;
	for (size_t i = 0; i < b.len; i++)
		if (!b.s[i])
			b.s[i] = '\x01'; /* as invalid, but does not cut the value short */
	return arena_memdupz(r->arena, b.s, b.len);
}

/* All but "false" and "0" is true, as Kubernetes converts it. */
bool req_query_bool(struct req *r, const char *name)
{
	const char *v = req_query(r, name);

	return v && strcasecmp(v, "false") != 0 && !streq(v, "0");
}

enum option_type { OPTION_TEXT, OPTION_INT, OPTION_BOOL, OPTION_DRYRUN, OPTION_VALIDATION, OPTION_GRACE, OPTION_ORPHAN };

static const struct option {
	const char *name;
	enum option_type type;
	size_t offset;
} options[] = {
#define AT(m) offsetof(struct call_opts, m)
	{ "labelSelector", OPTION_TEXT, AT(label_selector) },
	{ "fieldSelector", OPTION_TEXT, AT(field_selector) },
	{ "limit", OPTION_INT, AT(limit) },
	{ "continue", OPTION_TEXT, AT(continue_token) },
	{ "resourceVersion", OPTION_TEXT, AT(resource_version) },
	{ "resourceVersionMatch", OPTION_TEXT, AT(resource_version_match) },
	{ "timeoutSeconds", OPTION_INT, AT(timeout_s) },
	{ "allowWatchBookmarks", OPTION_BOOL, AT(allow_bookmarks) },
	{ "sendInitialEvents", OPTION_BOOL, AT(send_initial_events) },
	{ "dryRun", OPTION_DRYRUN, 0 },
	{ "fieldManager", OPTION_TEXT, AT(field_manager) },
	{ "fieldValidation", OPTION_VALIDATION, 0 },
	{ "force", OPTION_BOOL, AT(force) },
	{ "gracePeriodSeconds", OPTION_GRACE, 0 },
	{ "propagationPolicy", OPTION_TEXT, AT(propagation) },
	{ "orphanDependents", OPTION_ORPHAN, 0 },
#undef AT
};

static const char *options_kind(const struct req *r)
{
	static const char *const names[VERB_MAX] = {
		[VERB_GET] = "GetOptions",     [VERB_LIST] = "ListOptions",	[VERB_WATCH] = "ListOptions",
		[VERB_CREATE] = "CreateOptions", [VERB_UPDATE] = "UpdateOptions", [VERB_PATCH] = "PatchOptions",
		[VERB_DELETE] = "DeleteOptions", [VERB_DELETECOLLECTION] = "DeleteOptions",
		[VERB_CONNECT] = "GetOptions",
	};

	return names[r->verb];
}

static int option_invalid(struct req *r, const char *field, const char *reason, const char *detail, struct err *e)
{
	return err_invalid(e, "meta.k8s.io", options_kind(r), "", reason, field, "%s", detail);
}

static int option_int(int64_t *ret, const char *value, struct err *e)
{
	if (!str_to_i64(str_of(value), ret))
		return err_bad(e, "strconv.ParseInt: parsing \"%.64s\": invalid syntax", value);
	return 0;
}

static int option_validation(struct req *r, const char *value, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (streq(value, "Strict") || streq(value, "Warn") || streq(value, "Ignore")) {
		r->opts.field_validation = value[0];
		return 0;
	}
	if (!*value)
		return 0;
	buf_addf(&b, "\"%.64s\": supported values: \"Ignore\", \"Strict\", \"Warn\"", value);
	return option_invalid(r, "fieldValidation", "FieldValueNotSupported", b.s, e);
}

static int option_dry_run(struct req *r, const char *value, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (streq(value, "All")) {
		r->opts.dry_run = true;
		return 0;
	}
	if (!*value)
		return 0;
	buf_addf(&b, "[]string{\"%.64s\"}: supported values: \"All\"", value);
	return option_invalid(r, "dryRun", "FieldValueNotSupported", b.s, e);
}

static int option_set(struct req *r, const struct option *o, const char *value, struct err *e)
{
	char *at = (char *)&r->opts + o->offset;

	switch (o->type) {
	case OPTION_TEXT:
		*(const char **)at = value;
		return 0;
	case OPTION_INT:
		return *value ? option_int((int64_t *)at, value, e) : 0;
	case OPTION_BOOL:
		*(bool *)at = req_query_bool(r, o->name);
		return 0;
	case OPTION_DRYRUN:
		return option_dry_run(r, value, e);
	case OPTION_VALIDATION:
		return option_validation(r, value, e);
	case OPTION_GRACE:
		r->opts.has_grace = *value;
		return *value ? option_int(&r->opts.grace_s, value, e) : 0;
	case OPTION_ORPHAN:
		if (!str_empty(r->opts.propagation))
			return err_invalid(e, "meta.k8s.io", options_kind(r), "", "FieldValueInvalid",
					   "propagationPolicy",
					   "\"%.64s\": orphanDependents and deletionPropagation cannot be both set",
					   r->opts.propagation);
		r->opts.propagation = req_query_bool(r, o->name) ? "Orphan" : "Background";
		r->opts.orphan_false = !req_query_bool(r, o->name);
		return 0;
	}
	return 0;
}

static int options_check_list(struct req *r, struct err *e)
{
	const struct call_opts *o = &r->opts;
	bool has_match = !str_empty(o->resource_version_match);
	bool has_rv = !str_empty(o->resource_version);
	bool initial_given = req_query(r, "sendInitialEvents") != NULL;

	if (o->limit < 0)
		r->opts.limit = 0;
	if (has_match && r->verb == VERB_WATCH && !initial_given)
		return option_invalid(r, "resourceVersionMatch", "FieldValueForbidden",
				      "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided", e);
	if (initial_given && r->verb != VERB_WATCH)
		return option_invalid(r, "sendInitialEvents", "FieldValueForbidden",
				      "sendInitialEvents is forbidden for list", e);
	if (initial_given && !(has_match && streq(o->resource_version_match, "NotOlderThan")))
		return option_invalid(r, "resourceVersionMatch", "FieldValueForbidden",
				      "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan", e);
	if (!has_match || r->verb == VERB_WATCH)
		return 0;
	if (!has_rv)
		return option_invalid(r, "resourceVersionMatch", "FieldValueForbidden",
				      "resourceVersionMatch is forbidden unless resourceVersion is provided", e);
	if (!str_empty(o->continue_token))
		return option_invalid(r, "resourceVersionMatch", "FieldValueForbidden",
				      "resourceVersionMatch is forbidden when continue is provided", e);
	if (streq(o->resource_version_match, "Exact") && streq(o->resource_version, "0"))
		return option_invalid(r, "resourceVersionMatch", "FieldValueForbidden",
				      "resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"", e);
	if (!streq(o->resource_version_match, "Exact") && !streq(o->resource_version_match, "NotOlderThan")) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		buf_addf(&b, "\"%.64s\": supported values: \"Exact\", \"NotOlderThan\", \"\"", o->resource_version_match);
		return option_invalid(r, "resourceVersionMatch", "FieldValueNotSupported", b.s, e);
	}
	return 0;
}

/* Who writes: text that can be shown, and not much of it. */
static int options_check_manager(struct req *r, struct err *e)
{
	const char *m = r->opts.field_manager;

	if (str_empty(m))
		return 0;
	if (strlen(m) > LIMIT_FIELD_MANAGER_BYTES)
		return option_invalid(r, "fieldManager", "FieldValueTooLong", "may not be more than 128 bytes", e);
	for (const char *p = m; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return option_invalid(r, "fieldManager", "FieldValueInvalid",
					      "should only contain printable characters", e);
	if (!str_is_utf8(str_of(m)))
		return option_invalid(r, "fieldManager", "FieldValueInvalid", "should only contain printable characters", e);
	return 0;
}

/* The name in the path of a list or watch is a field selector on the name. */
static void options_name_selector(struct req *r)
{
	if (!*r->at.name || (r->verb != VERB_LIST && r->verb != VERB_WATCH))
		return;
	r->opts.field_selector =
		str_empty(r->opts.field_selector) ?
			arena_printf(r->arena, "metadata.name=%s", r->at.name) :
			arena_printf(r->arena, "%s,metadata.name=%s", r->opts.field_selector, r->at.name);
}

int http_in_options(struct req *r, struct err *e)
{
	if (r->at.path || (r->handler && r->handler->plain))
		return STEP_NEXT;
	for (size_t i = 0; i < ARRAY_SIZE(options) && r->head->query.n; i++) {
		const char *value = req_query(r, options[i].name);

		if (value && option_set(r, &options[i], value, e) < 0)
			return -e->code;
	}
	options_name_selector(r);
	if (r->verb == VERB_LIST || r->verb == VERB_WATCH || r->verb == VERB_DELETECOLLECTION)
		return options_check_list(r, e);
	if (r->verb == VERB_CREATE || r->verb == VERB_UPDATE || r->verb == VERB_PATCH)
		return options_check_manager(r, e);
	return STEP_NEXT;
}

/* --- the body --- */

static void body_gone(struct req *r)
{
	r->on_gone = NULL;
	err_set(&r->err, ERR_BAD_REQUEST, "the client went away before its body was complete");
	req_finish(r);
}

static void body_here(void *arg, struct http_req *h, struct str body)
{
	struct req *r = arg;

	r->on_gone = NULL;
	r->spent.body_us = time_mono_us() - r->spent.body_us;
	r->raw = body;
	r->phase++;
	req_run(r);
}

static const char *const body_types[] = {
	"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "text/yaml", "application/x-yaml",
};
static const struct {
	const char *type;
	enum patch_type patch;
} patch_types[] = {
	{ "application/json-patch+json", PATCH_JSON },
	{ "application/merge-patch+json", PATCH_MERGE },
	{ "application/strategic-merge-patch+json", PATCH_STRATEGIC },
	{ "application/apply-patch+yaml", PATCH_APPLY },
};

static struct str body_type(const struct req *r)
{
	struct str v = http_head_get(r->head, "Content-Type");

	return str_trim(str_cut(&v, ';'));
}

static int body_unsupported(struct req *r, const char *accepted, struct err *e)
{
	return err_set(e, ERR_UNSUPPORTED_MEDIA_TYPE,
		       "the body of the request was in an unknown format - accepted media types include: %s", accepted);
}

static int body_check_type(struct req *r, struct err *e)
{
	struct str type = body_type(r);

	if (r->verb == VERB_PATCH) {
		bool custom = r->res && r->res->custom; /* nothing says how to merge those */

		for (size_t i = 0; i < ARRAY_SIZE(patch_types); i++)
			if (str_ieq(type, str_of(patch_types[i].type)) &&
			    !(custom && patch_types[i].patch == PATCH_STRATEGIC)) {
				r->opts.patch_type = patch_types[i].patch;
				return 0;
			}
		if (custom)
			return body_unsupported(r,
						"application/json-patch+json, application/merge-patch+json, "
						"application/apply-patch+yaml",
						e);
		return body_unsupported(r,
					"application/json-patch+json, application/merge-patch+json, "
					"application/strategic-merge-patch+json, application/apply-patch+yaml",
					e);
	}
	if (!type.n || r->head->content_length == 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(body_types); i++)
		if (str_ieq(type, str_of(body_types[i])))
			return 0;
	return body_unsupported(r, "application/json, application/yaml, application/vnd.kubernetes.protobuf", e);
}

int http_in_body(struct req *r, struct err *e)
{
	if (!r->handler || !r->handler->body || (r->handler->plain && r->verb == VERB_GET))
		return STEP_NEXT;
	if (!r->handler->plain && body_check_type(r, e) < 0)
		return -e->code;
	if (r->head->content_length > (int64_t)LIMIT_BODY_BYTES)
		return err_set(e, ERR_TOO_LARGE, "Request entity too large: limit is %u", LIMIT_BODY_BYTES);
	r->on_gone = body_gone;
	r->spent.body_us = time_mono_us();
	http_req_want_body(r->http, LIMIT_BODY_BYTES, body_here, r);
	return STEP_WAIT;
}
