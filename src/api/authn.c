/*
 * Who asks. A table of authenticators, first answer wins:
 *
 *	client certificate	CN is the user, each O a group (the TLS layer verified it)
 *	bearer token		the administrator's, the token file's, or a service account's JWT
 *
 * Nothing presented: system:anonymous when that is allowed (authorization lets
 * it see health and version). Something presented that is not valid: 401, never
 * anonymous. Impersonate-User and -Group are honoured for those who may.
 *
 * A service account token is good while its account (and the pod or secret it is
 * bound to) exists with the same uid: deleting the pod revokes the token.
 */
#include "api/internal.h"

#include "base/map.h"
#include "base/path.h"
#include "base/time.h"
#include "http/http.h"

#define TOKEN_FILE_MAX (4u << 20)

struct tokens {
	struct map *by_token; /* struct user, in arena */
	struct arena *arena;
};

bool user_in_group(const struct user *u, const char *group)
{
	for (const char *const *g = u->groups; g && *g; g++)
		if (streq(*g, group))
			return true;
	return false;
}

/* Groups as the request's arena keeps them; NULL-terminated. */
static const char *const *groups_make(struct arena *a, const char *const *from, const char *more)
{
	size_t n = 0;
	const char **v;

	while (from && from[n])
		n++;
	v = arena_zalloc(a, (n + 2) * sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = arena_strdup(a, from[i]);
	for (size_t i = 0; i < n && more; i++)
		if (streq(v[i], more))
			more = NULL;
	v[n] = more;
	return v;
}

static struct user *user_make(struct arena *a, const char *name, const char *uid, const char *const *groups)
{
	struct user *u = arena_zalloc(a, sizeof(*u));
	static const char authenticated[] = "system:authenticated";

	u->name = arena_strdup(a, name);
	u->uid = arena_strdup(a, uid);
	u->groups = groups_make(a, groups, streq(name, "system:anonymous") ? NULL : authenticated);
	return u;
}

/* --- the token file: token,user,uid[,"group1,group2"] --- */

/* One CSV field; quotes double inside quotes. */
static char *csv_field(struct arena *a, struct str *rest)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool quoted = rest->n && rest->p[0] == '"';
	size_t i = quoted ? 1 : 0;

	for (; i < rest->n; i++) {
		char c = rest->p[i];

		if (quoted && c == '"') {
			if (i + 1 < rest->n && rest->p[i + 1] == '"')
				i++;
			else
				quoted = false;
			if (!quoted)
				continue;
		} else if (!quoted && c == ',') {
			break;
		}
		buf_addch(&b, c);
	}
	*rest = i < rest->n ? str_sub(*rest, i + 1, rest->n) : STR_NONE;
	return arena_memdupz(a, str_trim(buf_str(&b)).p, str_trim(buf_str(&b)).n);
}

static void token_row_groups(struct arena *a, const char *text, const char **out, size_t max)
{
	struct str rest = str_of(text);
	size_t n = 0;

	while (rest.p && n + 1 < max) {
		struct str g = str_trim(str_cut(&rest, ','));

		if (g.n)
			out[n++] = arena_memdupz(a, g.p, g.n);
	}
	out[n] = NULL;
}

static int tokens_add_row(struct tokens *t, struct str line, int row, const char *file, struct err *e)
{
	const char *groups[65] = { 0 };
	char *token, *name, *uid;

	token = csv_field(t->arena, &line);
	name = line.p ? csv_field(t->arena, &line) : "";
	uid = line.p ? csv_field(t->arena, &line) : NULL;
	if (!*token || !*name || !uid)
		return err_set(e, ERR_BAD_REQUEST, "token file '%s', line %d: want token,user,uid[,\"groups\"]", file, row);
	if (line.p)
		token_row_groups(t->arena, csv_field(t->arena, &line), groups, ARRAY_SIZE(groups));
	map_set(t->by_token, str_of(token), user_make(t->arena, name, uid, groups));
	return 0;
}

int tokens_load(struct tokens **ret, const char *file, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct tokens *t;
	struct str rest;

	if (path_read(file, TOKEN_FILE_MAX, &text, e) < 0)
		return err_wrap(e, "read the token file");
	t = xcalloc(1, sizeof(*t));
	t->arena = arena_new();
	t->by_token = map_new(NULL);
	rest = buf_str(&text);
	for (int row = 1; rest.p; row++) {
		struct str line = str_trim(str_cut(&rest, '\n'));

		if (line.n && line.p[0] != '#' && tokens_add_row(t, line, row, file, e) < 0) {
			tokens_free(t);
			return -e->code;
		}
	}
	*ret = t;
	return 0;
}

struct tokens *tokens_free(struct tokens *t)
{
	if (!t)
		return NULL;
	map_free(t->by_token);
	arena_free(t->arena);
	free(t);
	return NULL;
}

/* --- bearer tokens --- */

/* Takes the same time wherever the two differ. */
static bool token_same(struct str a, struct str b)
{
	unsigned char diff = 0;

	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		diff |= (unsigned char)(a.p[i] ^ b.p[i]);
	return diff == 0;
}

static const struct user *token_admin(struct api *a, struct arena *arena, struct str token)
{
	static const char *const groups[] = { "system:masters", NULL };
	const char *want = a->cfg.admin_token;

	if (str_empty(want) || !token_same(str_of(want), token))
		return NULL;
	return user_make(arena, "admin", "admin", groups);
}

static const struct user *token_from_file(struct api *a, struct arena *arena, struct str token)
{
	return a->tokens ? map_get(a->tokens->by_token, token) : NULL;
}

static bool claim_in_time(const struct node *claims)
{
	int64_t now = time_wall_s();
	const struct node *nbf = node_getc(claims, "nbf");

	/* A minute of grace, as clocks differ. */
	return node_int(node_getc(claims, "exp"), 0) > now && (!nbf || node_int(nbf, INT64_MAX) <= now + 60);
}

static bool claim_has_audience(const struct node *claims, const char *aud)
{
	const struct node *a = node_getc(claims, "aud");

	if (node_streq(a, aud))
		return true;
	NODE_FOREACH(c, a)
		if (node_streq(c, aud))
			return true;
	return false;
}

/* The object that a claim {name, uid} speaks of is there, and is that one. */
static bool claim_object_lives(struct api *a, const struct resource *res, const char *ns, const struct node *ref)
{
	struct obj *o;

	if (!ref)
		return true;
	o = store_get(a->store, res, ns, node_gets(ref, F_name));
	return o && streq(o->uid, node_gets(ref, F_uid));
}

static const struct user *service_account_user(struct arena *arena, const char *ns, const struct node *kube)
{
	const struct node *sa = node_getc(kube, "serviceaccount"), *pod = node_getc(kube, "pod");
	const char *groups[] = { "system:serviceaccounts", arena_printf(arena, "system:serviceaccounts:%s", ns), NULL };
	struct user *u = user_make(arena, arena_printf(arena, "system:serviceaccount:%s:%s", ns, node_gets(sa, F_name)),
				   node_gets(sa, F_uid), groups);
	struct user_extra *x;

	if (!pod)
		return u;
	x = arena_zalloc(arena, 2 * sizeof(*x));
	x[0] = (struct user_extra){ "authentication.kubernetes.io/pod-name", arena_strdup(arena, node_gets(pod, F_name)) };
	x[1] = (struct user_extra){ "authentication.kubernetes.io/pod-uid", arena_strdup(arena, node_gets(pod, F_uid)) };
	u->extra = x;
	u->n_extra = 2;
	return u;
}

static const struct user *token_service_account(struct api *a, struct arena *arena, struct str token)
{
	_cleanup_doc_ struct doc *d = jwt_verify(a->jwt, token);
	const struct node *claims = d ? doc_root(d) : NULL;
	const struct node *kube = node_getc(claims, "kubernetes.io");
	const struct node *sa = node_getc(kube, "serviceaccount");
	const char *ns = node_cstr_or(node_getc(kube, "namespace"), "");

	if (!claims || !sa || !*ns || !node_streq(node_getc(claims, "iss"), a->cfg.sa_issuer) ||
	    !claim_in_time(claims) || !claim_has_audience(claims, a->cfg.sa_issuer))
		return NULL;
	if (!claim_object_lives(a, &a->service_accounts->r, ns, sa) ||
	    !claim_object_lives(a, &a->pods->r, ns, node_getc(kube, "pod")) ||
	    !claim_object_lives(a, schema_res("", "secrets"), ns, node_getc(kube, "secret")))
		return NULL;
	return service_account_user(arena, ns, kube);
}

const struct user *authn_token(struct api *a, struct arena *arena, struct str token)
{
	static const struct user *(*const table[])(struct api *a, struct arena *arena, struct str token) = {
		token_admin,
		token_from_file,
		token_service_account,
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct user *u = table[i](a, arena, token);

		if (u)
			return u;
	}
	return NULL;
}

/* --- the request --- */

static int authn_unauthorized(struct err *e)
{
	return err_set(e, ERR_UNAUTHORIZED, "Unauthorized");
}

/* 1: found, 0: none was presented, < 0: one that is not valid. */
static int authn_bearer(struct req *r, struct err *e)
{
	struct str v = http_head_get(r->head, "Authorization");
	struct str scheme, token;

	if (!v.n)
		return 0;
	token = v;
	scheme = str_cut(&token, ' ');
	token = str_trim(token);
	if (!str_ieq(scheme, STR_LIT("Bearer")) || !token.n)
		return authn_unauthorized(e);
	r->user = authn_token(r->api, r->arena, token);
	return r->user ? 1 : authn_unauthorized(e);
}

static int authn_certificate(struct req *r, struct err *e)
{
	const struct http_peer *p = http_req_peer(r->http);

	if (p->cert_bad)
		return authn_unauthorized(e);
	if (str_empty(p->cert_cn))
		return 0;
	r->user = user_make(r->arena, p->cert_cn, "", p->cert_orgs);
	return 1;
}

static int authn_anonymous(struct req *r, struct err *e)
{
	static const char *const groups[] = { "system:unauthenticated", NULL };

	if (!r->api->cfg.anonymous)
		return authn_unauthorized(e);
	r->user = user_make(r->arena, "system:anonymous", "", groups);
	return 1;
}

static int authn_impersonate(struct req *r, struct err *e)
{
	struct str name = http_head_get(r->head, "Impersonate-User");
	struct attrs at = { "impersonate", "", "v1", "users", "", "", "", NULL };
	const char *groups[33];
	size_t n = 0;

	if (!name.n)
		return STEP_NEXT;
	at.name = arena_memdupz(r->arena, name.p, name.n);
	if (!authz_check(r->api, r->user, &at)) {
		int rc = err_set(e, ERR_FORBIDDEN,
				 "users \"%s\" is forbidden: User \"%s\" cannot impersonate resource \"users\" in API "
				 "group \"\" at the cluster scope",
				 at.name, r->user->name);

		err_about(e, NULL, "users", at.name);
		return rc;
	}
	for (size_t i = 0; i < r->head->n_headers && n + 1 < ARRAY_SIZE(groups); i++) {
		const struct http_header *h = &r->head->headers[i];

		if (str_ieq(h->name, STR_LIT("Impersonate-Group")))
			groups[n++] = arena_memdupz(r->arena, h->value.p, h->value.n);
	}
	groups[n] = NULL;
	r->user = user_make(r->arena, at.name, "", groups);
	return STEP_NEXT;
}

int authn_request(struct req *r, struct err *e)
{
	static int (*const table[])(struct req *r, struct err *e) = {
		authn_bearer, /* a token that was presented on purpose goes before the connection's certificate */
		authn_certificate,
		authn_anonymous,
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int rc = table[i](r, e);

		if (rc < 0)
			return rc;
		if (rc)
			return authn_impersonate(r, e);
	}
	return authn_unauthorized(e);
}
