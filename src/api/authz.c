/*
 * May they. A table of authorizers; the first that says yes decides, and when
 * none does the answer is 403 in Kubernetes' words.
 *
 *	masters		the server's own parts, and the group system:masters: everything
 *	starting	until the bootstrap policy is there: health and version for everybody
 *	node		system:nodes: what a node needs (authz-node.c)
 *	rbac		roles and bindings (authz-rbac.c)
 *
 * Two things make the question another one than the request's line says: a list
 * of one name (fieldSelector=metadata.name=x) is about that name; and exec,
 * attach and portforward by GET, as WebSocket clients ask, need `create` as well.
 *
 * To add an authorizer: its functions and a row in `authorizers`.
 */
#include "api/authz.h"

static bool masters_allow(struct api *a, const struct user *u, const struct attrs *at)
{
	return u->part || user_in_group(u, "system:masters");
}

static bool starting_allow(struct api *a, const struct user *u, const struct attrs *at)
{
	static const char *const paths[] = { "/healthz", "/livez", "/readyz", "/version", "/version/" };

	if (a->ready || !at->path || (!streq(at->verb, "get") && !streq(at->verb, "head")))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (streq(at->path, paths[i]))
			return true;
	return false;
}

static const struct {
	bool (*allow)(struct api *a, const struct user *u, const struct attrs *at);
	/* Appends why it allowed, or why not; NULL: it has nothing to say. */
	void (*why)(struct api *a, const struct user *u, const struct attrs *at, bool allowed, struct buf *reason);
} authorizers[] = {
	{ masters_allow, NULL },
	{ starting_allow, NULL },
	{ node_allow, node_why },
	{ rbac_allow, rbac_why },
};

bool authz_check(struct api *a, const struct user *u, const struct attrs *at)
{
	for (size_t i = 0; i < ARRAY_SIZE(authorizers); i++)
		if (authorizers[i].allow(a, u, at))
			return true;
	return false;
}

bool authz_explain(struct api *a, const struct user *u, const struct attrs *at, struct buf *reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(authorizers); i++) {
		if (!authorizers[i].allow(a, u, at))
			continue;
		if (authorizers[i].why)
			authorizers[i].why(a, u, at, true, reason);
		return true;
	}
	for (size_t i = 0; i < ARRAY_SIZE(authorizers); i++) {
		_cleanup_buf_ struct buf one = BUF_INIT;

		if (authorizers[i].why)
			authorizers[i].why(a, u, at, false, &one);
		if (one.len)
			buf_addf(reason, "%s%s", reason->len ? "\n" : "", one.s);
	}
	return false;
}

static void authz_denied_text(const struct user *u, const struct attrs *at, struct buf *out)
{
	if (at->path) {
		buf_adds(out, "forbidden: User ");
		buf_add_quoted(out, str_of(u->name));
		buf_addf(out, " cannot %s path ", at->verb);
		buf_add_quoted(out, str_of(at->path));
		return;
	}
	buf_addf(out, "%s%s%s", at->resource, *at->group ? "." : "", at->group);
	if (*at->name)
		buf_addf(out, " \"%s\"", at->name);
	buf_adds(out, " is forbidden: User ");
	buf_add_quoted(out, str_of(u->name));
	buf_addf(out, " cannot %s resource \"%s%s%s\" in API group \"%s\"", at->verb, at->resource,
		 *at->subresource ? "/" : "", at->subresource, at->group);
	if (*at->ns)
		buf_addf(out, " in the namespace \"%s\"", at->ns);
	else
		buf_adds(out, " at the cluster scope");
}

int authz_denied(struct api *a, const struct user *u, const struct attrs *at, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT, reason = BUF_INIT;
	int rc;

	authz_denied_text(u, at, &b);
	authz_explain(a, u, at, &reason);
	rc = err_set(e, ERR_FORBIDDEN, "%s%s%s", b.s, reason.len ? ": " : "", reason.s);
	if (!at->path)
		err_about(e, *at->group ? at->group : NULL, at->resource, *at->name ? at->name : NULL);
	return rc;
}

/* --- what a request asks for --- */

static bool authz_reads_list(const struct attrs *at)
{
	return streq(at->verb, "list") || streq(at->verb, "watch") || streq(at->verb, "deletecollection");
}

static void authz_selector_free(void *p)
{
	fieldsel_free(p);
}

/* The field selector of a list: it narrows down what is asked for. A malformed one is refused later. */
static void authz_narrow(struct req *r, struct attrs *at)
{
	_cleanup_err_ struct err e = ERR_INIT;
	const char *text = authz_reads_list(at) ? req_query(r, "fieldSelector") : NULL;
	struct fieldsel *sel;

	if (str_empty(text) || fieldsel_parse(&sel, str_of(text), &e) < 0)
		return;
	arena_on_free(r->arena, authz_selector_free, sel);
	at->fields = sel;
	if (!*at->name && !streq(at->verb, "deletecollection") && !strpbrk(authz_field(at, "metadata.name"), "/%"))
		at->name = authz_field(at, "metadata.name");
}

const char *authz_field(const struct attrs *at, const char *path)
{
	for (size_t i = 0; at->fields && i < at->fields->n; i++)
		if (!at->fields->terms[i].negate && streq(at->fields->terms[i].path, path))
			return at->fields->terms[i].value;
	return "";
}

static bool authz_is_stream_by_get(const struct req *r)
{
	static const char *const subs[] = { "exec", "attach", "portforward" };

	if (!r->head || !str_eqc(r->head->method, "GET") || *r->at.group || !streq(r->at.resource, "pods"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(subs); i++)
		if (streq(r->at.subresource, subs[i]))
			return true;
	return false;
}

int authz_request(struct req *r, struct err *e)
{
	struct attrs at = r->at;

	if (r->head && !at.path)
		authz_narrow(r, &at);
	if (!authz_check(r->api, r->user, &at))
		return authz_denied(r->api, r->user, &at, e);
	if (!authz_is_stream_by_get(r))
		return STEP_NEXT;
	at.verb = verb_name(VERB_CREATE);
	return authz_check(r->api, r->user, &at) ? STEP_NEXT : authz_denied(r->api, r->user, &at, e);
}
