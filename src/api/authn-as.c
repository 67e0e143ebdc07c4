/*
 * Impersonation: who asks wants to be taken for somebody else, by the headers
 *
 *	Impersonate-User	a name; system:serviceaccount:NS:NAME is a service account
 *	Impersonate-Uid		its UID
 *	Impersonate-Group	once for each group
 *	Impersonate-Extra-KEY	once for each value; KEY is percent-decoded and in lower case
 *
 * Each of them must be allowed by authorization, as the verb `impersonate` on
 * users, groups, serviceaccounts, and in authentication.k8s.io uids and
 * userextras/KEY, in Kubernetes' order: the first that is not ends in 403. A
 * service account without groups gets those that its tokens have;
 * system:authenticated is added unless system:unauthenticated was asked for, and
 * system:anonymous gets system:unauthenticated instead.
 */
#include "api/internal.h"

#include "http/http.h"

#define EXTRA_PREFIX "Impersonate-Extra-"

static bool as_header_starts(struct str name, struct str prefix)
{
	return name.n > prefix.n && str_ieq(str_sub(name, 0, prefix.n), prefix);
}

static int as_may(struct req *r, const struct attrs *at, struct err *e)
{
	return authz_check(r->api, r->login, at) ? 0 : authz_denied(r->api, r->login, at, e);
}

/* "system:serviceaccount:NS:NAME" in its pieces. */
static bool as_service_account(struct arena *arena, const char *user, const char **ns, const char **name)
{
	static const char prefix[] = "system:serviceaccount:";
	struct str rest, first;

	if (!starts_with(user, prefix))
		return false;
	rest = str_of(user + strlen(prefix));
	first = str_cut(&rest, ':');
	if (!first.n || !rest.n || str_find(rest, ':') >= 0 || schema_check_dns_label(first) ||
	    schema_check_dns_subdomain(rest))
		return false;
	*ns = arena_memdupz(arena, first.p, first.n);
	*name = arena_memdupz(arena, rest.p, rest.n);
	return true;
}

static int as_user(struct req *r, const char *user, const char **ns, struct err *e)
{
	struct attrs at = { "impersonate", "", "v1", "users", "", "", user, NULL };

	*ns = NULL;
	if (as_service_account(r->arena, user, ns, &at.name)) {
		at.resource = "serviceaccounts";
		at.ns = *ns;
	}
	return as_may(r, &at, e);
}

/* NULL-terminated, with room for two more. */
static const char **as_groups(struct req *r)
{
	const char **v = arena_zalloc(r->arena, (r->head->n_headers + 3) * sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < r->head->n_headers; i++) {
		const struct http_header *h = &r->head->headers[i];

		if (str_ieq(h->name, STR_LIT("Impersonate-Group")))
			v[n++] = arena_memdupz(r->arena, h->value.n ? h->value.p : "", h->value.n);
	}
	return v;
}

static int as_groups_allowed(struct req *r, const char *const *groups, struct err *e)
{
	struct attrs at = { "impersonate", "", "v1", "groups", "", "", "", NULL };

	for (; *groups; groups++) {
		at.name = *groups;
		if (as_may(r, &at, e) < 0)
			return -e->code;
	}
	return 0;
}

/* What is behind Impersonate-Extra-, in lower case and decoded; as it is when it can't be. */
static const char *as_extra_key(struct arena *arena, struct str name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char *low = arena_memdupz(arena, name.p, name.n);

	for (char *p = low; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p += 'a' - 'A';
	if (!buf_add_url_decoded(&b, str_of(low), false) || strlen(b.s) != b.len || !str_is_utf8(buf_str(&b)))
		return low;
	return arena_strdup(arena, b.s);
}

static int as_extra(struct req *r, struct user *u, struct err *e)
{
	struct attrs at = { "impersonate", "authentication.k8s.io", "v1", "userextras", "", "", "", NULL };

	for (size_t i = 0; i < r->head->n_headers; i++) {
		const struct http_header *h = &r->head->headers[i];

		if (!as_header_starts(h->name, STR_LIT(EXTRA_PREFIX)))
			continue;
		at.subresource = as_extra_key(r->arena, str_sub(h->name, strlen(EXTRA_PREFIX), h->name.n));
		at.name = arena_memdupz(r->arena, h->value.n ? h->value.p : "", h->value.n);
		if (as_may(r, &at, e) < 0)
			return -e->code;
		user_add_extra(r->arena, u, at.subresource, at.name);
	}
	return 0;
}

static int as_uid(struct req *r, struct user *u, struct err *e)
{
	struct attrs at = { "impersonate", "authentication.k8s.io", "v1", "uids", "", "", "", NULL };
	struct str uid = http_head_get(r->head, "Impersonate-Uid");

	if (!uid.n)
		return 0;
	u->uid = at.name = arena_memdupz(r->arena, uid.p, uid.n);
	return as_may(r, &at, e);
}

static bool as_has(const char *const *groups, const char *name)
{
	for (; *groups; groups++)
		if (streq(*groups, name))
			return true;
	return false;
}

static void as_complete_groups(struct req *r, struct user *u, const char *sa_ns, const char **groups)
{
	bool nobody = streq(u->name, "system:anonymous");
	size_t n = 0;

	if (sa_ns && !groups[0]) {
		groups[0] = "system:serviceaccounts";
		groups[1] = arena_printf(r->arena, "system:serviceaccounts:%s", sa_ns);
	}
	while (groups[n])
		n++;
	if (nobody ? !as_has(groups, "system:unauthenticated") :
		     !as_has(groups, "system:unauthenticated") && !as_has(groups, "system:authenticated"))
		groups[n] = nobody ? "system:unauthenticated" : "system:authenticated";
	u->groups = (const char *const *)groups;
}

/* Groups, a UID or extra values, but no user? In the words in which Go shows such a list. */
static int as_without_user(struct req *r, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < r->head->n_headers; i++) {
		const struct http_header *h = &r->head->headers[i];
		const char *kind = NULL, *field = "";

		if (str_ieq(h->name, STR_LIT("Impersonate-Group")))
			kind = "Group";
		else if (str_ieq(h->name, STR_LIT("Impersonate-Uid")) && h->value.n)
			kind = "UID";
		else if (as_header_starts(h->name, STR_LIT(EXTRA_PREFIX)))
			kind = "UserExtra", field = as_extra_key(r->arena, str_sub(h->name, strlen(EXTRA_PREFIX), h->name.n));
		if (kind)
			buf_addf(&b, "%s{%s  %.*s  %s  %s}", b.len ? " " : "", kind, (int)h->value.n, h->value.n ? h->value.p : "",
				 streq(kind, "Group") ? "" : "authentication.k8s.io/v1", field);
	}
	return b.len ? err_bad(e, "requested [%s] without impersonating a user", b.s) : STEP_NEXT;
}

int authn_impersonate(struct req *r, struct err *e)
{
	struct str name = http_head_get(r->head, "Impersonate-User");
	const char *user, *sa_ns, **groups;
	struct user *u;

	if (!name.n)
		return as_without_user(r, e);
	user = arena_memdupz(r->arena, name.p, name.n);
	u = arena_zalloc(r->arena, sizeof(*u));
	u->name = user;
	u->uid = "";
	groups = as_groups(r);
	if (as_user(r, user, &sa_ns, e) < 0 || as_groups_allowed(r, groups, e) < 0 || as_extra(r, u, e) < 0 ||
	    as_uid(r, u, e) < 0)
		return -e->code;
	as_complete_groups(r, u, sa_ns, groups);
	r->user = u;
	return STEP_NEXT;
}
