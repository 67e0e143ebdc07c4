/*
 * Service accounts' tokens: made on request (serviceaccounts/token) or for a
 * Secret of type kubernetes.io/service-account-token, and checked.
 *
 * A token made on request is good for some audiences, ends, and dies with what
 * it is bound to: its account (by UID: one made again is another), and a Pod, a
 * Secret or a Node. What was deleted a minute ago counts as gone, though its
 * finalizers keep it. Pods' own tokens (3607 s, the API's audience) are good for
 * a year, and say from when on their use is worth a warning (`warnafter`), as
 * Kubernetes extends them for clients that do not read them again.
 *
 * A Secret's token (iss kubernetes/serviceaccount) never ends; it is good while
 * the Secret holds it, and the Secret's label kubernetes.io/legacy-token-last-used
 * says on which day it was used last. It is filled in when the Secret is written.
 *
 * The error texts are Kubernetes', which a TokenReview shows.
 */
#include "api/admit.h"

#include "base/rand.h"
#include "base/time.h"

#define TOKEN_DEFAULT_S 3600
#define TOKEN_MIN_S 600
#define TOKEN_MAX_S (1ll << 32)
#define TOKEN_POD_S 3607 /* what a pod's own token asks for */
#define TOKEN_EXTENDED_S (365 * 24 * 3600)
#define TOKEN_LEEWAY_S 60
#define LEGACY_ISSUER "kubernetes/serviceaccount"
#define LEGACY_CLAIM "kubernetes.io/serviceaccount/"
#define LEGACY_TYPE "kubernetes.io/service-account-token"
#define LEGACY_LAST_USED "kubernetes.io/legacy-token-last-used"
#define LEGACY_INVALID_SINCE "kubernetes.io/legacy-token-invalid-since"
#define DATE_LEN 10 /* "2006-01-02" */

/* --- audiences --- */

static bool audiences_have(const char *const *list, const char *aud)
{
	for (; *list; list++)
		if (streq(*list, aud))
			return true;
	return false;
}

const char *const *audiences_common(struct arena *arena, const char *const *have, const char *const *want)
{
	size_t n = 0;
	const char **v;

	while (have[n])
		n++;
	v = arena_zalloc(arena, (n + 1) * sizeof(*v));
	n = 0;
	for (; *have; have++)
		if (audiences_have(want, *have))
			v[n++] = *have;
	return v;
}

const char *const *audiences_from_node(struct arena *arena, const struct node *list)
{
	const char **v = arena_zalloc(arena, (node_count(list) + 2) * sizeof(*v));
	size_t n = 0;

	if (node_is(list, DOC_STRING))
		v[n++] = arena_strdup(arena, node_cstr(list));
	else
		NODE_FOREACH(a, list)
			v[n++] = arena_strdup(arena, node_cstr_or(a, ""));
	return v;
}

/* As Go's %q shows a list: ["a" "b"]. */
static const char *audiences_text(struct arena *arena, const char *const *list)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addch(&b, '[');
	for (size_t i = 0; list[i]; i++) {
		buf_adds(&b, i ? " " : "");
		buf_add_json_string(&b, str_of(list[i]));
	}
	buf_addch(&b, ']');
	return arena_strdup(arena, b.s);
}

static void audiences_add(struct doc *d, struct node *list, const char *const *from)
{
	for (; *from; from++)
		node_append(list, node_new_cstr(d, *from));
}

/* --- checking --- */

struct check { /* one token under examination */
	struct api *api;
	struct arena *arena;
	const struct node *claims;
	struct token_answer *ans;
	const char *ns, *name, *uid; /* of the account */
};

static bool check_fails(struct check *c, const char *fmt, ...) ATTR_PRINTF(2, 3);
static bool check_fails(struct check *c, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	c->ans->why = arena_strdup(c->arena, text);
	return false;
}

static bool check_time(struct check *c)
{
	const struct node *exp = node_getc(c->claims, "exp"), *nbf = node_getc(c->claims, "nbf");
	int64_t now = time_wall_s();

	if (nbf && node_int(nbf, INT64_MAX) > now + TOKEN_LEEWAY_S)
		return check_fails(c, "service account token is not valid yet");
	if (!exp || node_int(exp, 0) < now - TOKEN_LEEWAY_S)
		return check_fails(c, "service account token has expired");
	if (node_int(node_getc(c->claims, "iat"), 0) > now + TOKEN_LEEWAY_S)
		return check_fails(c, "service account token is issued in the future");
	return true;
}

/* Deleted, and the time that a pod may take to end is over? */
static bool check_is_gone(struct obj *o)
{
	int64_t ns;

	if (!o)
		return true;
	if (!meta_is_deleting(obj_node(o)))
		return false;
	return time_parse_rfc3339(str_of(node_gets(meta_of(obj_node(o)), F_deletionTimestamp)), &ns) &&
	       ns / SEC_NS < time_wall_s() - TOKEN_LEEWAY_S;
}

static bool check_account(struct check *c)
{
	struct obj *sa = store_get(c->api->store, &c->api->service_accounts->r, c->ns, c->name);

	if (!sa)
		return check_fails(c, "serviceaccounts \"%s\" not found", c->name);
	if (check_is_gone(sa))
		return check_fails(c, "service account %s/%s has been deleted", c->ns, c->name);
	if (!streq(sa->uid, c->uid))
		return check_fails(c, "service account UID (%s) does not match claim (%s)", sa->uid, c->uid);
	return true;
}

/* What the claim `kind` {name, uid} speaks of, if there is such a claim, is there and is that one. */
static bool check_bound(struct check *c, const char *kind, const char *plural)
{
	const struct node *ref = node_getc(node_getc(c->claims, "kubernetes.io"), kind);
	const struct resource *res = schema_res("", plural);
	struct obj *o;

	if (!ref)
		return true;
	o = store_get(c->api->store, res, res->namespaced ? c->ns : "", node_gets(ref, F_name));
	if (check_is_gone(o))
		return check_fails(c, "service account token has been invalidated");
	if (!streq(o->uid, node_gets(ref, F_uid)))
		return check_fails(c, "%s UID (%s) does not match service account %s ref claim (%s)", kind, o->uid, kind,
				   node_gets(ref, F_uid));
	return true;
}

/* False, with the reason: the token is for others. legacy: one that names nobody is for the API. */
static bool check_audiences(struct check *c, const char *const *asked, bool legacy)
{
	const char *const *have = audiences_from_node(c->arena, node_getc(c->claims, "aud"));

	if (!have[0] && legacy)
		have = c->api->cfg.api_audiences;
	if (!asked)
		asked = c->api->cfg.api_audiences;
	c->ans->audiences = audiences_common(c->arena, have, asked);
	if (c->ans->audiences[0])
		return true;
	return check_fails(c, "token audiences %s is invalid for the target audiences %s", audiences_text(c->arena, have),
			   audiences_text(c->arena, asked));
}

static struct user *check_user(struct check *c)
{
	const char *groups[] = { "system:serviceaccounts", arena_printf(c->arena, "system:serviceaccounts:%s", c->ns), NULL };

	return user_make(c->arena, arena_printf(c->arena, "system:serviceaccount:%s:%s", c->ns, c->name), c->uid, groups);
}

static void check_extra_ref(struct check *c, struct user *u, const char *claim, const char *name_key, const char *uid_key)
{
	const struct node *ref = node_getc(node_getc(c->claims, "kubernetes.io"), claim);

	if (!ref)
		return;
	user_add_extra(c->arena, u, name_key, node_gets(ref, F_name));
	if (*node_gets(ref, F_uid))
		user_add_extra(c->arena, u, uid_key, node_gets(ref, F_uid));
}

/* An extended token: is it read again by whoever uses it, as it should be? */
static void check_warn_after(struct check *c)
{
	const struct node *after = node_getc(node_getc(c->claims, "kubernetes.io"), "warnafter");
	int64_t late = time_wall_s() - node_int(after, 0);

	if (node_int(after, 0) <= 0)
		return;
	metrics_token(c->api, late > 0 ? TOKEN_STALE : TOKEN_VALID);
	if (late <= 0)
		return;
	c->ans->note_key = "authentication.k8s.io/stale-token";
	c->ans->note = arena_printf(c->arena, "subject: system:serviceaccount:%s:%s, seconds after warning threshold: %lld",
				    c->ns, c->name, (long long)late);
}

static bool check_new_style(struct check *c, const char *const *asked)
{
	const struct node *kube = node_getc(c->claims, "kubernetes.io"), *sa = node_getc(kube, "serviceaccount");
	const char *jti = node_cstr_or(node_getc(c->claims, "jti"), "");
	struct user *u;

	c->ns = node_cstr_or(node_getc(kube, "namespace"), "");
	c->name = node_gets(sa, F_name);
	c->uid = node_gets(sa, F_uid);
	if (!check_audiences(c, asked, false) || !check_time(c) || !check_account(c) || !check_bound(c, "secret", "secrets") ||
	    !check_bound(c, "pod", "pods"))
		return false;
	if (!node_getc(kube, "pod") && !check_bound(c, "node", "nodes")) /* with a pod it only says where that runs */
		return false;
	u = check_user(c);
	if (*jti)
		user_add_extra(c->arena, u, USER_CREDENTIAL_ID, arena_printf(c->arena, "JTI=%s", jti));
	check_extra_ref(c, u, "node", "authentication.kubernetes.io/node-name", "authentication.kubernetes.io/node-uid");
	check_extra_ref(c, u, "pod", "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid");
	check_warn_after(c);
	c->ans->user = u;
	return true;
}

/* --- Secrets' tokens --- */

struct used { /* the label's write */
	struct call call;
	char *ns, *name;
};

static void legacy_used_done(struct call *call, const struct err *err)
{
	struct used *u = CONTAINER_OF(call, struct used, call);

	doc_unref(call->body);
	free(u->ns);
	free(u->name);
	free(u);
}

/* Says on the Secret that its token was used today; once a day. */
static void legacy_note_use(struct api *a, struct obj *secret)
{
	const char *label = meta_label(obj_node(secret), LEGACY_LAST_USED);
	char today[TIME_RFC3339_LEN];
	struct used *u;
	struct node *root;

	time_fmt_rfc3339(today, time_wall_s());
	today[DATE_LEN] = '\0';
	if (a->closing || streq_null(label, today))
		return;
	u = xcalloc(1, sizeof(*u));
	u->ns = xstrdup(secret->ns);
	u->name = xstrdup(secret->name);
	u->call = (struct call){ .verb = VERB_PATCH, .res = schema_res("", "secrets"), .ns = u->ns, .name = u->name,
				 .body = doc_new(), .done = legacy_used_done };
	u->call.opts.patch_type = PATCH_MERGE;
	root = node_new(u->call.body, DOC_OBJECT);
	doc_set_root(u->call.body, root);
	node_setk(u->call.body, node_need_object(u->call.body, node_need_object(u->call.body, root, F_metadata), F_labels),
		  STR_LIT(LEGACY_LAST_USED), node_new_cstr(u->call.body, today));
	req_submit_call(a, &a->self, &u->call);
}

static const char *legacy_claim(const struct check *c, const char *name)
{
	return node_cstr_or(node_getc(c->claims, arena_printf(c->arena, LEGACY_CLAIM "%s", name)), "");
}

static bool legacy_is_kept(struct obj *secret, struct str token)
{
	_cleanup_buf_ struct buf kept = BUF_INIT;

	return buf_add_base64_decoded(&kept, node_str(node_getc(node_get(obj_node(secret), F_data), "token")), false) &&
	       str_eq(buf_str(&kept), token);
}

/* Secrets that the account itself names were made by old clusters, one for each account. */
static bool legacy_is_automatic(struct check *c, const char *secret)
{
	struct obj *sa = store_get(c->api->store, &c->api->service_accounts->r, c->ns, c->name);

	NODE_FOREACH(s, node_get(obj_node(sa), F_secrets))
		if (streq(node_gets(s, F_name), secret))
			return true;
	return false;
}

static bool check_legacy(struct check *c, struct str token, const char *const *asked)
{
	const char *name = legacy_claim(c, "secret.name"), *sub = node_cstr_or(node_getc(c->claims, "sub"), "");
	struct obj *secret;

	c->ns = legacy_claim(c, "namespace");
	c->name = legacy_claim(c, "service-account.name");
	c->uid = legacy_claim(c, "service-account.uid");
	if (!check_audiences(c, asked, true))
		return false;
	if (!*sub || !*c->ns || !*name || !*c->name || !*c->uid)
		return check_fails(c, "%s claim is missing", !*sub	   ? "sub" :
							     !*c->ns   ? "namespace" :
							     !*name	   ? "secretName" :
							     !*c->name ? "serviceAccountName" :
									 "serviceAccountUID");
	if (!streq(sub, arena_printf(c->arena, "system:serviceaccount:%s:%s", c->ns, c->name)))
		return check_fails(c, "sub claim is invalid");
	secret = store_get(c->api->store, schema_res("", "secrets"), c->ns, name);
	if (check_is_gone(secret))
		return check_fails(c, "service account token has been invalidated");
	if (!legacy_is_kept(secret, token))
		return check_fails(c, "service account token does not match server's copy");
	if (!check_account(c))
		return false;
	if (legacy_is_automatic(c, name)) {
		if (!str_empty(meta_label(obj_node(secret), LEGACY_INVALID_SINCE)))
			return check_fails(c,
					   "the token in secret %s/%s for service account %s/%s has been marked invalid. Use "
					   "tokens from the TokenRequest API or manually created secret-based tokens, or remove "
					   "the '" LEGACY_INVALID_SINCE "' label from the secret to temporarily allow use of "
					   "this token",
					   c->ns, name, c->ns, c->name);
		c->ans->warning = "Use tokens from the TokenRequest API or manually created secret-based tokens instead of "
				  "auto-generated secret-based tokens.";
	}
	legacy_note_use(c->api, secret);
	metrics_token(c->api, TOKEN_LEGACY);
	c->ans->note_key = "authentication.k8s.io/legacy-token";
	c->ans->note = arena_printf(c->arena, "system:serviceaccount:%s:%s", c->ns, c->name);
	c->ans->user = check_user(c);
	return true;
}

void token_service_account(struct api *a, struct arena *arena, struct str token, const char *const *asked,
			   struct token_answer *ans)
{
	_cleanup_doc_ struct doc *d = jwt_verify(a->jwt, token);
	struct check c = { .api = a, .arena = arena, .claims = d ? doc_root(d) : NULL, .ans = ans };
	const char *issuer = node_cstr_or(node_getc(c.claims, "iss"), "");

	if (!*issuer)
		return;
	if (streq(issuer, LEGACY_ISSUER))
		(void)check_legacy(&c, token, asked);
	else if (audiences_have(a->cfg.sa_issuers, issuer))
		(void)check_new_style(&c, asked);
}

/* No two signatures are the same, but when act runs again it must find what it found. */
static int secret_sign(struct req *r, struct str claims, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (r->secret_token && str_eqc(claims, r->secret_claims))
		return 0;
	if (jwt_sign(r->api->jwt, claims, &text, e) < 0)
		return -e->code;
	r->secret_token = arena_strdup(r->arena, text.s);
	r->secret_claims = arena_memdupz(r->arena, claims.p, claims.n);
	return 0;
}

/* A Secret that asks for an account's token gets it, and what goes with it. (What is there stays: a controller
 * removes Secrets whose account is gone.) */
int admit_token_secret(struct admission *a, struct err *e)
{
	_cleanup_buf_ struct buf claims = BUF_INIT, token = BUF_INIT;
	const char *account = meta_annotation(a->root, "kubernetes.io/service-account.name");
	struct api *api = a->r->api;
	struct node *data, *notes;
	struct obj *sa;

	if (!admit_is(a, "", "secrets") || !streq(node_gets(a->root, F_type), LEGACY_TYPE) || str_empty(account) || !api->jwt)
		return 0;
	sa = store_get(api->store, &api->service_accounts->r, a->r->at.ns, account);
	notes = node_get(meta_of(a->root), F_annotations);
	if (!sa || !streq(node_cstr_or(node_getc(notes, "kubernetes.io/service-account.uid"), sa->uid), sa->uid))
		return 0;
	node_setk(a->d, notes, STR_LIT("kubernetes.io/service-account.uid"), node_new_cstr(a->d, sa->uid));
	data = node_need_object(a->d, a->root, F_data);
	buf_addf(&claims,
		 "{\"iss\":\"" LEGACY_ISSUER "\",\"" LEGACY_CLAIM "namespace\":\"%s\",\"" LEGACY_CLAIM "secret.name\":\"%s\",\""
		 LEGACY_CLAIM "service-account.name\":\"%s\",\"" LEGACY_CLAIM "service-account.uid\":\"%s\","
		 "\"sub\":\"system:serviceaccount:%s:%s\"}",
		 sa->ns, meta_name(a->root), sa->name, sa->uid, sa->ns, sa->name);
	if (!node_str(node_getc(data, "token")).n) {
		if (secret_sign(a->r, buf_str(&claims), e) < 0)
			return -e->code;
		buf_add_base64(&token, a->r->secret_token, strlen(a->r->secret_token), false);
		node_setk(a->d, data, STR_LIT("token"), node_new_str(a->d, buf_str(&token)));
	}
	if (!str_empty(api->cfg.ca_pem)) {
		buf_clear(&token);
		buf_add_base64(&token, api->cfg.ca_pem, strlen(api->cfg.ca_pem), false);
		node_setk(a->d, data, STR_LIT("ca.crt"), node_new_str(a->d, buf_str(&token)));
	}
	buf_clear(&token);
	buf_add_base64(&token, sa->ns, strlen(sa->ns), false);
	node_setk(a->d, data, STR_LIT("namespace"), node_new_str(a->d, buf_str(&token)));
	return 0;
}

/* --- making one --- */

struct bound { /* what the token dies with */
	struct obj *pod, *secret, *node;
	const char *node_name; /* the pod's, when there is no such node */
};

static int bound_pod(struct req *r, struct bound *b, struct err *e)
{
	const struct node *spec = node_get(obj_node(b->pod), F_spec);

	if (!streq(node_gets(spec, F_serviceAccountName), r->at.name))
		return err_bad(e, "cannot bind token for serviceaccount \"%s\" to pod running with different serviceaccount name.",
			       r->at.name);
	b->node_name = node_gets(spec, F_nodeName);
	if (*b->node_name)
		b->node = store_get(r->api->store, schema_res("", "nodes"), "", b->node_name);
	return 0;
}

static int bound_find(struct req *r, const struct node *ref, struct bound *b, struct err *e)
{
	const struct {
		const char *kind, *plural;
		struct obj **to;
	} kinds[] = { { "Pod", "pods", &b->pod }, { "Node", "nodes", &b->node }, { "Secret", "secrets", &b->secret } };
	const char *kind = node_gets(ref, F_kind), *api = node_gets(ref, F_apiVersion), *uid = node_gets(ref, F_uid);
	const char *name = node_gets(ref, F_name), *slash = strchr(api, '/');

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && !slash; i++) {
		const struct resource *res = schema_res("", kinds[i].plural);
		struct resource named = *res; /* Kubernetes names the kind here */
		struct obj *o;

		if (!streq(kinds[i].kind, kind))
			continue;
		o = *kinds[i].to = store_get(r->api->store, res, res->namespaced ? r->at.ns : "", name);
		if (!o)
			return err_not_found(e, res, name);
		if (b->pod && bound_pod(r, b, e) < 0)
			return -e->code;
		if (!*uid || streq(uid, o->uid))
			return 0;
		named.plural = kinds[i].kind;
		err_conflict(e, &named, name,
			     "the UID in the bound object reference (%s) does not match the UID in record. The object might "
			     "have been deleted and then recreated",
			     uid);
		return -e->code;
	}
	return err_bad(e, "cannot bind token to object of type %.*s/%s, Kind=%s", slash ? (int)(slash - api) : 0, api,
		       slash ? slash + 1 : api, kind);
}

static void claim_ref(struct doc *d, struct node *to, const char *claim, const char *name, const char *uid)
{
	struct node *n = node_setk(d, to, str_of(claim), node_new(d, DOC_OBJECT));

	node_sets(d, n, F_name, name);
	if (*uid)
		node_sets(d, n, F_uid, uid);
}

/* Members in order of their names, as Kubernetes' come out. */
static void claims_kube(struct doc *d, struct node *root, struct obj *sa, const struct bound *b, int64_t warn_after)
{
	struct node *kube = node_setk(d, root, STR_LIT("kubernetes.io"), node_new(d, DOC_OBJECT));

	node_setk(d, kube, STR_LIT("namespace"), node_new_cstr(d, sa->ns));
	if (b->node)
		claim_ref(d, kube, "node", b->node->name, b->node->uid);
	else if (!str_empty(b->node_name))
		claim_ref(d, kube, "node", b->node_name, "");
	if (b->pod)
		claim_ref(d, kube, "pod", b->pod->name, b->pod->uid);
	if (b->secret)
		claim_ref(d, kube, "secret", b->secret->name, b->secret->uid);
	claim_ref(d, kube, "serviceaccount", sa->name, sa->uid);
	if (warn_after)
		node_setk(d, kube, STR_LIT("warnafter"), node_new_int(d, warn_after));
}

static void claims_make(struct req *r, struct obj *sa, const struct bound *b, const struct node *spec, char id[37],
			struct buf *out)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT);
	int64_t now = time_wall_s(), seconds = node_int(node_get(spec, F_expirationSeconds), 0), warn = 0;
	const char *const *audiences = audiences_from_node(r->arena, node_get(spec, F_audiences));
	bool for_api = true;

	for (const char *const *a = audiences; *a; a++)
		for_api = for_api && audiences_have(r->api->cfg.api_audiences, *a);
	if (b->pod && seconds == TOKEN_POD_S && for_api) {
		warn = now + seconds;
		seconds = TOKEN_EXTENDED_S;
	}
	doc_set_root(d, root);
	node_setk(d, root, STR_LIT("aud"), node_copy(d, node_get(spec, F_audiences)));
	node_setk(d, root, STR_LIT("exp"), node_new_int(d, now + seconds));
	node_setk(d, root, STR_LIT("iat"), node_new_int(d, now));
	node_setk(d, root, STR_LIT("iss"), node_new_cstr(d, r->api->cfg.sa_issuers[0]));
	rand_uuid(id);
	node_setk(d, root, STR_LIT("jti"), node_new_cstr(d, id));
	claims_kube(d, root, sa, b, warn);
	node_setk(d, root, STR_LIT("nbf"), node_new_int(d, now));
	node_setk(d, root, STR_LIT("sub"), node_new_fmt(d, "system:serviceaccount:%s:%s", sa->ns, sa->name));
	doc_print_json(out, root, DOC_PRINT_COMPACT);
}

static int request_check_meta(struct req *r, const struct node *meta, struct err *e)
{
	const char *name = node_gets(meta, F_name), *ns = node_gets(meta, F_namespace);

	if (*name && !streq(name, r->at.name))
		return err_invalid(e, "authentication.k8s.io", "TokenRequest", r->at.name, "FieldValueInvalid", "metadata.name",
				   "\"%s\": must match the service account name if specified", name);
	if (*ns && !streq(ns, r->at.ns))
		return err_invalid(e, "authentication.k8s.io", "TokenRequest", r->at.name, "FieldValueInvalid",
				   "metadata.namespace", "\"%s\": must match the service account namespace if specified", ns);
	return 0;
}

static int request_check_lifetime(const struct node *spec, struct err *e)
{
	int64_t s = node_int(node_get(spec, F_expirationSeconds), 0);

	if (s >= TOKEN_MIN_S && s <= TOKEN_MAX_S)
		return 0;
	return err_invalid(e, "authentication.k8s.io", "TokenRequest", "", "FieldValueInvalid", "spec.expirationSeconds",
			   "%lld: may not specify a duration %s", (long long)s,
			   s < TOKEN_MIN_S ? "less than 10 minutes" : "larger than 2^32 seconds");
}

/* What the request leaves out. */
static void request_default(struct req *r, struct doc *d, struct node *spec)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);
	char now[TIME_RFC3339_LEN];

	node_sets(d, meta, F_name, r->at.name);
	node_sets(d, meta, F_namespace, r->at.ns);
	node_sets(d, meta, F_creationTimestamp, time_fmt_rfc3339(now, req_now(r)));
	if (!node_count(node_get(spec, F_audiences)))
		audiences_add(d, node_need_array(d, spec, F_audiences), r->api->cfg.api_audiences);
	if (!node_is(node_get(spec, F_expirationSeconds), DOC_INT))
		node_seti(d, spec, F_expirationSeconds, TOKEN_DEFAULT_S);
	if (!node_get(spec, F_boundObjectRef))
		node_set(d, spec, F_boundObjectRef, node_new(d, DOC_NULL));
}

/* The request's document becomes the answer. */
static int token_make(struct req *r, struct doc *d, struct obj *sa, struct err *e)
{
	struct node *spec = node_need_object(d, doc_root(d), F_spec), *status;
	_cleanup_buf_ struct buf claims = BUF_INIT, token = BUF_INIT;
	struct bound bound = { 0 };
	char when[TIME_RFC3339_LEN], id[37];

	request_default(r, d, spec);
	if (request_check_lifetime(spec, e) < 0)
		return -e->code;
	if (node_is(node_get(spec, F_boundObjectRef), DOC_OBJECT) &&
	    bound_find(r, node_get(spec, F_boundObjectRef), &bound, e) < 0)
		return -e->code;
	claims_make(r, sa, &bound, spec, id, &claims);
	if (jwt_sign(r->api->jwt, buf_str(&claims), &token, e) < 0)
		return -e->code;
	status = node_set(d, doc_root(d), F_status, node_new(d, DOC_OBJECT));
	node_sets(d, status, F_token, token.s);
	time_fmt_rfc3339(when, time_wall_s() + node_int(node_get(spec, F_expirationSeconds), 0));
	node_sets(d, status, F_expirationTimestamp, when);
	audit_annotate(r, "authentication.kubernetes.io/issued-credential-id", arena_printf(r->arena, "JTI=%s", id));
	r->obj = obj_new(&r->res->r, d, 0);
	r->status = 201;
	return STEP_DONE;
}

int act_token(struct req *r, struct err *e)
{
	struct obj *sa = store_get(r->api->store, &r->api->service_accounts->r, r->at.ns, r->at.name);
	_cleanup_doc_ struct doc *d = NULL;

	if (request_check_meta(r, meta_of(doc_root(r->body)), e) < 0)
		return -e->code;
	if (!sa)
		return err_not_found(e, &r->res->r, r->at.name);
	if (!r->api->jwt)
		return err_set(e, ERR_INTERNAL, "this server has no service account key");
	if (write_admit_body(r, &d, e) < 0)
		return -e->code;
	return token_make(r, d, sa, e);
}

/* --- what others find out about our tokens (OpenID Connect discovery) --- */

#define OPENID_MAX_AGE_S "3600"

int act_openid(struct req *r, struct err *e)
{
	const struct api_config *cfg = &r->api->cfg;

	if (!r->api->jwt || !starts_with(cfg->sa_issuers[0], "https://"))
		return status_generic_not_found(e);
	r->cache_control = "public, max-age=" OPENID_MAX_AGE_S;
	if (starts_with(r->at.path, "/openid")) {
		jwt_jwks(r->api->jwt, &r->text);
		answer_text(r, 200, "application/jwk-set+json");
		return STEP_DONE;
	}
	buf_adds(&r->text, "{\"issuer\":");
	buf_add_json_string(&r->text, str_of(cfg->sa_issuers[0]));
	buf_adds(&r->text, ",\"jwks_uri\":");
	buf_add_json_string(&r->text, str_of(str_empty(cfg->jwks_uri) ?
						     arena_printf(r->arena, "https://%s/openid/v1/jwks", cfg->server_address) :
						     cfg->jwks_uri));
	buf_adds(&r->text, ",\"response_types_supported\":[\"id_token\"],\"subject_types_supported\":[\"public\"],"
			   "\"id_token_signing_alg_values_supported\":[\"ES256\"]}");
	answer_text(r, 200, "application/json");
	return STEP_DONE;
}
