/*
 * Who asks. A table of authenticators, first answer wins:
 *
 *	bearer token		the administrator's, the token file's, or a service account's JWT (token.c),
 *				in the Authorization header or as a subprotocol of a WebSocket
 *	client certificate	CN is the user, each O a group, 1.3.6.1.4.1.57683.2 the UID (the TLS layer
 *				verified it)
 *
 * Nothing presented: system:anonymous when that is allowed (authorization lets
 * it see health and version). Something presented that is not valid: 401, never
 * anonymous. Who may act as somebody else is authn-as.c's.
 */
#include "api/internal.h"

#include "base/map.h"
#include "base/path.h"
#include "http/http.h"

#define TOKEN_FILE_MAX (4u << 20)
#define WS_TOKEN_PREFIX "base64url.bearer.authorization.k8s.io."

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

struct user *user_make(struct arena *a, const char *name, const char *uid, const char *const *groups)
{
	struct user *u = arena_zalloc(a, sizeof(*u));
	static const char authenticated[] = "system:authenticated";

	u->name = arena_strdup(a, name);
	u->uid = arena_strdup(a, uid);
	u->groups = groups_make(a, groups, streq(name, "system:anonymous") ? NULL : authenticated);
	return u;
}

void user_add_extra(struct arena *a, struct user *u, const char *key, const char *value)
{
	struct user_extra *x = arena_zalloc(a, (u->n_extra + 1) * sizeof(*x));

	if (u->n_extra)
		memcpy(x, u->extra, u->n_extra * sizeof(*x));
	x[u->n_extra] = (struct user_extra){ arena_strdup(a, key), arena_strdup(a, value) };
	u->extra = x;
	u->n_extra++;
}

/* Is the i-th the first of its key? */
static bool user_extra_first(const struct user *u, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (streq(u->extra[j].key, u->extra[i].key))
			return false;
	return true;
}

void user_node(struct doc *d, struct node *n, const struct user *u)
{
	struct node *groups, *values;

	node_sets(d, n, F_username, u->name);
	if (*u->uid)
		node_sets(d, n, F_uid, u->uid);
	if (u->groups && *u->groups) {
		groups = node_need_array(d, n, F_groups);
		for (const char *const *g = u->groups; *g; g++)
			node_append(groups, node_new_cstr(d, *g));
	}
	for (size_t i = 0; i < u->n_extra; i++) {
		if (!user_extra_first(u, i))
			continue;
		values = node_setk(d, node_need_object(d, n, F_extra), str_of(u->extra[i].key), node_new(d, DOC_ARRAY));
		for (size_t j = i; j < u->n_extra; j++)
			if (streq(u->extra[j].key, u->extra[i].key))
				node_append(values, node_new_cstr(d, u->extra[j].value));
	}
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

static void token_admin(struct api *a, struct arena *arena, struct str token, struct token_answer *ans)
{
	static const char *const groups[] = { "system:masters", NULL };
	const char *want = a->cfg.admin_token;

	if (!str_empty(want) && token_same(str_of(want), token))
		ans->user = user_make(arena, "admin", "admin", groups);
}

static void token_from_file(struct api *a, struct arena *arena, struct str token, struct token_answer *ans)
{
	ans->user = a->tokens ? map_get(a->tokens->by_token, token) : NULL;
}

/* Authenticators that know no audiences speak for the API's own: what was asked for, of those. */
static void token_implicit_audiences(struct api *a, struct arena *arena, const char *const *asked,
				     struct token_answer *ans)
{
	if (!asked)
		ans->audiences = a->cfg.api_audiences;
	else
		ans->audiences = audiences_common(arena, a->cfg.api_audiences, asked);
	if (ans->audiences[0] || !a->cfg.api_audiences[0])
		return;
	ans->user = NULL;
	ans->why = "unable to authenticate the token for the given audiences";
}

void authn_token(struct api *a, struct arena *arena, struct str token, const char *const *asked,
		 struct token_answer *ans)
{
	static void (*const table[])(struct api *a, struct arena *arena, struct str token, struct token_answer *ans) = {
		token_admin,
		token_from_file,
	};

	*ans = (struct token_answer){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		table[i](a, arena, token, ans);
		if (ans->user) {
			token_implicit_audiences(a, arena, asked, ans);
			return;
		}
	}
	token_service_account(a, arena, token, asked, ans);
}

/* --- the request --- */

static int authn_unauthorized(struct err *e)
{
	return err_set(e, ERR_UNAUTHORIZED, "Unauthorized");
}

static int authn_with_token(struct req *r, struct str token, struct err *e)
{
	struct token_answer ans;

	authn_token(r->api, r->arena, token, NULL, &ans);
	if (!ans.user)
		return authn_unauthorized(e);
	r->user = ans.user;
	r->token_note_key = ans.note_key;
	r->token_note = ans.note;
	if (ans.warning)
		req_warn(r, "%s", ans.warning);
	return 1;
}

/* 1: found, 0: none was presented, < 0: one that is not valid. */
static int authn_bearer(struct req *r, struct err *e)
{
	struct str rest = str_trim(http_head_get(r->head, "Authorization")), scheme = str_cut(&rest, ' '), token;

	/* Another scheme, or no token: as if nothing had been said. */
	if (!str_ieq(scheme, STR_LIT("Bearer")))
		return 0;
	token = str_cut(&rest, ' ');
	if (!token.n)
		return 0;
	return authn_with_token(r, token, e);
}

/* Browsers can't set headers of a WebSocket's request: the token comes as a subprotocol, with a real one beside
 * it, which is all that others get to see. */
static int authn_websocket(struct req *r, struct err *e)
{
	struct str rest = http_head_get(r->head, "Sec-WebSocket-Protocol"), found = STR_NONE;
	_cleanup_buf_ struct buf token = BUF_INIT, others = BUF_INIT;

	if (!rest.n || !http_head_has_token(r->head, "Upgrade", "websocket"))
		return 0;
	while (rest.p) {
		struct str p = str_trim(str_cut(&rest, ','));

		if (!str_starts(p, STR_LIT(WS_TOKEN_PREFIX)))
			buf_addf(&others, "%s%" STR_FMT, others.len ? ", " : "", STR_ARG(p));
		else if (found.p)
			return authn_unauthorized(e);
		else
			found = str_sub(p, strlen(WS_TOKEN_PREFIX), p.n);
	}
	if (!found.p)
		return 0;
	if (!others.len || !found.n || !buf_add_base64_decoded(&token, found, true) || !str_is_utf8(buf_str(&token)))
		return authn_unauthorized(e);
	r->ws_protocols = arena_strdup(r->arena, others.s);
	return authn_with_token(r, buf_str(&token), e);
}

static int authn_certificate(struct req *r, struct err *e)
{
	const struct http_peer *p = http_req_peer(r->http);
	struct user *u;

	if (p->cert_bad)
		return authn_unauthorized(e);
	if (str_empty(p->cert_cn))
		return 0;
	u = user_make(r->arena, p->cert_cn, p->cert_uid ? p->cert_uid : "", p->cert_orgs);
	if (!str_empty(p->cert_sha256))
		user_add_extra(r->arena, u, USER_CREDENTIAL_ID, arena_printf(r->arena, "X509SHA256=%s", p->cert_sha256));
	r->user = u;
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

int authn_request(struct req *r, struct err *e)
{
	static int (*const table[])(struct req *r, struct err *e) = {
		authn_bearer, /* a token that was presented on purpose goes before the connection's certificate */
		authn_websocket,
		authn_certificate,
		authn_anonymous,
	};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table) && rc == 0; i++)
		rc = table[i](r, e);
	if (rc == 0)
		rc = authn_unauthorized(e);
	r->login = r->user;
	return rc < 0 ? rc : STEP_NEXT;
}
