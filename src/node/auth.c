/*
 * Who may ask the node's own HTTPS port, as the kubelet decides it in its
 * webhook modes (authentication and authorization of KubeletConfiguration):
 *
 *	who	a client certificate that the cluster's authority signed, or a
 *		bearer token, which a TokenReview tells the owner of; nobody is 401
 *	may	a SubjectAccessReview for the node's subresource that the route
 *		names; the fine-grained one first, then nodes/proxy
 *
 * Answers are kept for as long as the kubelet keeps them: owners of tokens two
 * minutes, permissions five minutes, refusals half a minute. There is no timer;
 * what is too old is asked anew, and when too many are kept all are forgotten.
 */
#include <stdio.h>

#include "base/digest.h"
#include "doc/doc.h"
#include "node/server.h"

#define AUTH_TOKEN_MS 120000
#define AUTH_ALLOWED_MS 300000
#define AUTH_DENIED_MS 30000
#define AUTH_KEPT 1000

struct auth_answer {
	int64_t until_ms; /* monotonic */
	bool yes;
	char user[]; /* of a token: its owner, JSON */
};

struct auth {
	struct server *server;
	struct client *client;
	const struct resource *token_reviews, *access_reviews;
	struct map *kept; /* digest of the question -> struct auth_answer */
	TAILQ_HEAD(, auth_ask) asks;
};

/* Which question was asked: of two kinds, so that no token can pass for a permission. */
static void auth_key(char key[DIGEST_SHA256_HEX], const char *kind, struct str question)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "%s ", kind);
	buf_addstr(&b, question);
	digest_sha256_hex(buf_str(&b), key);
}

/* A request that waits for an answer. */
struct auth_ask {
	struct auth *auth;
	struct http_req *req;
	const struct route *route;
	const char *verb; /* static */
	char *user; /* JSON: username, uid, groups, extra; NULL: not known yet */
	size_t grant; /* which of the route's is being asked for */
	char key[DIGEST_SHA256_HEX];
	struct call call;
	struct doc *body;
	void (*done)(struct server *s, struct http_req *r);
	TAILQ_ENTRY(auth_ask) link;
};

static void auth_step(struct auth_ask *a);

struct auth *auth_new(struct server *s)
{
	struct auth *h = xcalloc(1, sizeof(*h));

	h->server = s;
	h->client = server_agent(s)->client;
	h->token_reviews = schema_res("authentication.k8s.io", "tokenreviews");
	h->access_reviews = schema_res("authorization.k8s.io", "subjectaccessreviews");
	h->kept = map_new(free);
	TAILQ_INIT(&h->asks);
	return h;
}

static void ask_free(struct auth_ask *a)
{
	TAILQ_REMOVE(&a->auth->asks, a, link);
	doc_unref(a->body);
	free(a->user);
	free(a);
}

struct auth *auth_free(struct auth *h)
{
	struct auth_ask *a;

	if (!h)
		return NULL;
	while ((a = TAILQ_FIRST(&h->asks))) {
		client_cancel(h->client, &a->call);
		ask_free(a);
	}
	map_free(h->kept);
	free(h);
	return NULL;
}

/* --- what is known --- */

static const struct auth_answer *auth_known(struct auth *h, const char *key)
{
	struct auth_answer *k = map_getc(h->kept, key);

	return k && k->until_ms > time_mono_ms() ? k : NULL;
}

static void auth_keep(struct auth *h, const char *key, bool yes, int64_t ms, const char *user)
{
	struct auth_answer *k = xcalloc(1, sizeof(*k) + strlen(user) + 1);

	if (map_count(h->kept) >= AUTH_KEPT)
		map_clear(h->kept);
	k->until_ms = time_mono_ms() + ms;
	k->yes = yes;
	strcpy(k->user, user);
	map_set(h->kept, str_of(key), k);
}

/* --- asking the API --- */

/* Takes the request away; it is the caller's to answer. */
static struct http_req *ask_end(struct auth_ask *a)
{
	struct http_req *r = a->req;

	http_req_on_gone(r, NULL, NULL);
	ask_free(a);
	return r;
}

static void ask_unauthorized(struct auth_ask *a)
{
	server_error(ask_end(a), 401, "Unauthorized");
}

/* The client left while its question was under way. */
static void ask_gone(void *arg)
{
	struct auth_ask *a = arg;

	client_cancel(a->auth->client, &a->call);
	ask_free(a);
}

static void ask_submit(struct auth_ask *a, const struct resource *res, struct doc *body_take,
		       void (*done)(struct call *c, const struct err *err))
{
	doc_unref(a->body);
	a->body = body_take;
	a->call = (struct call){.verb = VERB_CREATE, .res = res, .ns = "", .name = "", .body = body_take, .done = done,
				.arg = a};
	http_req_on_gone(a->req, ask_gone, a);
	client_submit(a->auth->client, &a->call);
}

static struct doc *review_new(const struct resource *res, struct node **spec)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT);

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, streq(res->kind, "TokenReview") ? "authentication.k8s.io/v1" :
									   "authorization.k8s.io/v1");
	node_sets(d, root, F_kind, res->kind);
	*spec = node_need_object(d, root, F_spec);
	return d;
}

/* --- who --- */

static void token_reviewed(struct call *c, const struct err *err)
{
	struct auth_ask *a = c->arg;
	const struct node *status = err ? NULL : node_get(obj_node(c->obj), F_status);
	_cleanup_buf_ struct buf user = BUF_INIT;

	if (!node_bool(node_get(status, F_authenticated), false)) {
		ask_unauthorized(a);
		return;
	}
	doc_print_json(&user, node_get(status, F_user), DOC_PRINT_COMPACT);
	auth_keep(a->auth, a->key, true, AUTH_TOKEN_MS, user.s);
	a->user = buf_detach(&user, NULL);
	auth_step(a);
}

static void ask_token(struct auth_ask *a, struct str token)
{
	const struct auth_answer *k;
	struct node *spec;
	struct doc *d;

	auth_key(a->key, "token", token);
	k = auth_known(a->auth, a->key);
	if (k) {
		a->user = xstrdup(k->user);
		auth_step(a);
		return;
	}
	d = review_new(a->auth->token_reviews, &spec);
	node_set(d, spec, F_token, node_new_str(d, token));
	ask_submit(a, a->auth->token_reviews, d, token_reviewed);
}

static char *certificate_user(const struct http_peer *p)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "{\"username\":");
	buf_add_json_string(&b, str_of(p->cert_cn));
	buf_adds(&b, ",\"groups\":[");
	for (const char *const *o = p->cert_orgs; o && *o; o++) {
		buf_add_json_string(&b, str_of(*o));
		buf_addch(&b, ',');
	}
	buf_adds(&b, "\"system:authenticated\"]}");
	return buf_detach(&b, NULL);
}

static struct str bearer_token(const struct http_head *h)
{
	struct str rest = str_trim(http_head_get(h, "Authorization")), scheme = str_cut(&rest, ' ');

	return str_ieq(scheme, STR_LIT("Bearer")) && rest.p ? str_trim(rest) : STR_NONE;
}

/* --- may --- */

/* Our own text, or the API's. */
static struct doc *ask_user(const struct auth_ask *a)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d = NULL;

	BUG_ON(doc_parse_json(&d, str_of(a->user), NULL, &e) < 0);
	return d;
}

static struct str user_name(struct doc *user)
{
	return node_str(node_get(doc_root(user), F_username));
}

static void ask_forbidden(struct auth_ask *a)
{
	const char *const *g = a->route->grants;
	_cleanup_doc_ struct doc *user = ask_user(a);
	_cleanup_buf_ struct buf text = BUF_INIT;

	buf_addf(&text, "Forbidden (user=%" STR_FMT ", verb=%s, resource=nodes, subresource(s)=[%s%s%s])\n",
		 STR_ARG(user_name(user)), a->verb, g[0], g[1] ? " " : "", g[1] ? g[1] : "");
	server_error(ask_end(a), 403, "%s", text.s);
}

/* One grant was answered: the next, or the end. */
static void ask_decided(struct auth_ask *a, bool allowed)
{
	struct server *s = a->auth->server;
	void (*done)(struct server *, struct http_req *) = a->done;

	if (allowed) {
		done(s, ask_end(a));
		return;
	}
	if (++a->grant < ARRAY_SIZE(a->route->grants) && a->route->grants[a->grant])
		auth_step(a);
	else
		ask_forbidden(a);
}

static void access_reviewed(struct call *c, const struct err *err)
{
	struct auth_ask *a = c->arg;
	bool allowed;

	if (err) {
		log_warn("the node's HTTPS port can't ask for a permission", LE(err));
		server_error(ask_end(a), 500, "Authorization error (verb=%s, resource=nodes, subresource=%s)", a->verb,
			     a->route->grants[a->grant]);
		return;
	}
	allowed = node_bool(node_path(obj_node(c->obj), F_status, F_allowed), false);
	auth_keep(a->auth, a->key, allowed, allowed ? AUTH_ALLOWED_MS : AUTH_DENIED_MS, "");
	ask_decided(a, allowed);
}

static struct doc *access_review(struct auth_ask *a, struct doc *user)
{
	const struct node *u = doc_root(user);
	struct node *spec, *what;
	struct doc *d = review_new(a->auth->access_reviews, &spec);

	node_set(d, spec, F_user, node_new_str(d, user_name(user)));
	if (node_get(u, F_uid))
		node_set(d, spec, F_uid, node_copy(d, node_get(u, F_uid)));
	if (node_get(u, F_groups))
		node_set(d, spec, F_groups, node_copy(d, node_get(u, F_groups)));
	if (node_get(u, F_extra))
		node_set(d, spec, F_extra, node_copy(d, node_get(u, F_extra)));
	what = node_need_object(d, spec, F_resourceAttributes);
	node_sets(d, what, F_verb, a->verb);
	node_sets(d, what, F_version, "v1");
	node_sets(d, what, F_resource, "nodes");
	node_sets(d, what, F_subresource, a->route->grants[a->grant]);
	node_sets(d, what, F_name, server_agent(a->auth->server)->name);
	return d;
}

/* The user is known: may he? */
static void auth_step(struct auth_ask *a)
{
	_cleanup_buf_ struct buf q = BUF_INIT;
	_cleanup_doc_ struct doc *user = NULL;
	const struct auth_answer *k;

	buf_addf(&q, "%s %s %s", a->verb, a->route->grants[a->grant], a->user);
	auth_key(a->key, "access", buf_str(&q));
	k = auth_known(a->auth, a->key);
	if (k) {
		ask_decided(a, k->yes);
		return;
	}
	user = ask_user(a);
	ask_submit(a, a->auth->access_reviews, access_review(a, user), access_reviewed);
}

static const char *method_verb(struct str method)
{
	static const char *const verbs[][2] = {
		{"POST", "create"}, {"GET", "get"}, {"PUT", "update"}, {"PATCH", "patch"}, {"DELETE", "delete"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (str_eqc(method, verbs[i][0]))
			return verbs[i][1];
	return "";
}

void auth_check(struct auth *h, struct http_req *r, const struct route *route,
		void (*done)(struct server *s, struct http_req *r))
{
	static const struct route anything = {.grants = {"proxy"}};
	const struct http_peer *peer = http_req_peer(r);
	struct str token = bearer_token(http_req_head(r));
	struct auth_ask *a = xcalloc(1, sizeof(*a));

	a->auth = h;
	a->req = r;
	a->route = route ? route : &anything;
	a->verb = method_verb(http_req_head(r)->method);
	a->done = done;
	TAILQ_INSERT_TAIL(&h->asks, a, link);
	if (token.n) {
		ask_token(a, token);
	} else if (str_empty(peer->cert_cn) || peer->cert_bad) {
		ask_unauthorized(a);
	} else {
		a->user = certificate_user(peer);
		auth_step(a);
	}
}
