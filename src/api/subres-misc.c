/*
 * Subresources that are neither a pod's nor a scale: namespaces/finalize,
 * certificatesigningrequests/approval, serviceaccounts/token.
 */
#include "api/internal.h"

#include "base/rand.h"
#include "base/time.h"

#define BIT(v) (1u << (v))
#define TOKEN_DEFAULT_S 3600
#define TOKEN_MIN_S 600
#define TOKEN_MAX_S (1ll << 32)

/* --- one part of an object from the body --- */

/* finalize: spec.finalizers; approval: the conditions. Everything else stays. */
static void part_take(struct req *r, struct doc *d, const struct node *from)
{
	bool finalize = streq(r->at.subresource, "finalize");
	enum field parent = finalize ? F_spec : F_status, field = finalize ? F_finalizers : F_conditions;
	const struct node *n = node_path(from, parent, field);
	struct node *to = node_need_object(d, doc_root(d), parent);

	if (n)
		node_set(d, to, field, node_copy(d, n));
	else
		node_remove(to, field);
}

static int part_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	const char *rv = node_gets(meta_of(doc_root(r->doc)), F_resourceVersion);

	if (!cur)
		return err_not_found(e, &r->res->r, r->at.name);
	if (*rv && parse_rv(rv) != cur->rv)
		return err_modified(e, &r->res->r, r->at.name);
	d = doc_clone(obj_doc(cur));
	part_take(r, d, doc_root(r->doc));
	if (admit_mutate(r, d, cur, e) < 0 || admit_validate(r, d, cur, e) < 0)
		return -e->code;
	if (delete_due_on_update(r, obj_node(cur), doc_root(d)))
		*remove = true;
	else if (node_equal(doc_root(d), obj_node(cur)))
		return 0;
	*out = take_ptr(&d);
	return 0;
}

static int act_part(struct req *r, struct err *e)
{
	r->doc = req_take_body(r);
	if (!streq(meta_name(doc_root(r->doc)), r->at.name))
		return err_bad(e, "the name of the object (%s) does not match the name on the URL (%s)",
			       meta_name(doc_root(r->doc)), r->at.name);
	r->mutate = part_mutate;
	return req_store(r, r->at.ns, r->at.name, e);
}

/* --- tokens --- */

struct token_bound { /* the object that the token dies with */
	const char *kind, *claim; /* "Pod", "pod" */
	struct obj *obj;
};

static int token_bound_object(struct req *r, const struct node *ref, struct token_bound *b, struct err *e)
{
	static const char *const kinds[][3] = {
		{ "Pod", "pods", "pod" }, { "Secret", "secrets", "secret" }, { "Node", "nodes", "node" }
	};
	const char *kind = node_gets(ref, F_kind), *uid = node_gets(ref, F_uid), *name = node_gets(ref, F_name);

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct resource *res = schema_res("", kinds[i][1]);

		if (!streq(kinds[i][0], kind))
			continue;
		b->obj = store_get(r->api->store, res, res->namespaced ? r->at.ns : "", name);
		if (!b->obj)
			return err_not_found(e, res, name);
		if (*uid && !streq(uid, b->obj->uid))
			return err_conflict(e, res, name,
					    "the UID in the bound object reference (%s) does not match the UID in record. "
					    "The object might have been deleted and then recreated",
					    uid);
		b->kind = kinds[i][0];
		b->claim = kinds[i][2];
		return 0;
	}
	return err_invalid(e, "authentication.k8s.io", "TokenRequest", "", "FieldValueNotSupported",
			   "spec.boundObjectRef.kind", "\"%.64s\"", kind);
}

static void claim_ref(struct doc *d, struct node *to, const char *claim, struct obj *o)
{
	struct node *n = node_setk(d, to, str_of(claim), node_new(d, DOC_OBJECT));

	node_sets(d, n, F_name, o->name);
	node_sets(d, n, F_uid, o->uid);
}

static void token_claims(struct req *r, struct obj *sa, const struct token_bound *b, const struct node *audiences,
			 int64_t expires, struct buf *out)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *kube, *aud;
	int64_t now = time_wall_s();
	char id[37];

	doc_set_root(d, root);
	if (node_count(audiences)) {
		node_setk(d, root, STR_LIT("aud"), node_copy(d, audiences));
	} else {
		aud = node_setk(d, root, STR_LIT("aud"), node_new(d, DOC_ARRAY));
		node_append(aud, node_new_cstr(d, r->api->cfg.sa_issuer));
	}
	node_setk(d, root, STR_LIT("exp"), node_new_int(d, expires));
	node_setk(d, root, STR_LIT("iat"), node_new_int(d, now));
	node_setk(d, root, STR_LIT("iss"), node_new_cstr(d, r->api->cfg.sa_issuer));
	rand_uuid(id);
	node_setk(d, root, STR_LIT("jti"), node_new_cstr(d, id));
	kube = node_setk(d, root, STR_LIT("kubernetes.io"), node_new(d, DOC_OBJECT));
	node_setk(d, kube, STR_LIT("namespace"), node_new_cstr(d, sa->ns));
	if (b->obj)
		claim_ref(d, kube, b->claim, b->obj);
	claim_ref(d, kube, "serviceaccount", sa);
	node_setk(d, root, STR_LIT("nbf"), node_new_int(d, now));
	node_setk(d, root, STR_LIT("sub"), node_new_fmt(d, "system:serviceaccount:%s:%s", sa->ns, sa->name));
	doc_print_json(out, root, DOC_PRINT_COMPACT);
}

static int token_lifetime(const struct node *spec, int64_t *ret, struct err *e)
{
	*ret = node_int(node_get(spec, F_expirationSeconds), TOKEN_DEFAULT_S);
	if (*ret < TOKEN_MIN_S)
		return err_invalid(e, "authentication.k8s.io", "TokenRequest", "", "FieldValueInvalid",
				   "spec.expirationSeconds", "%lld: may not specify a duration less than 10 minutes",
				   (long long)*ret);
	if (*ret > TOKEN_MAX_S)
		return err_invalid(e, "authentication.k8s.io", "TokenRequest", "", "FieldValueInvalid",
				   "spec.expirationSeconds", "%lld: may not specify a duration larger than 2^32 seconds",
				   (long long)*ret);
	return 0;
}

static int act_token(struct req *r, struct err *e)
{
	struct obj *sa = store_get(r->api->store, &r->api->service_accounts->r, r->at.ns, r->at.name);
	struct node *root = doc_root(r->body), *spec = node_need_object(r->body, root, F_spec), *status;
	_cleanup_buf_ struct buf claims = BUF_INIT, token = BUF_INIT;
	struct token_bound bound = { 0 };
	_cleanup_doc_ struct doc *admitted = NULL;
	char when[TIME_RFC3339_LEN];
	int64_t seconds;

	if (write_admit_body(r, &admitted, e) < 0)
		return -e->code;
	if (!sa)
		return err_not_found(e, &r->res->r, r->at.name);
	if (!r->api->jwt)
		return err_set(e, ERR_INTERNAL, "this server has no service account key");
	if (token_lifetime(spec, &seconds, e) < 0)
		return -e->code;
	if (node_get(spec, F_boundObjectRef) &&
	    token_bound_object(r, node_get(spec, F_boundObjectRef), &bound, e) < 0)
		return -e->code;
	token_claims(r, sa, &bound, node_get(spec, F_audiences), time_wall_s() + seconds, &claims);
	if (jwt_sign(r->api->jwt, buf_str(&claims), &token, e) < 0)
		return -e->code;
	if (!node_count(node_get(spec, F_audiences)))
		node_append(node_need_array(r->body, spec, F_audiences), node_new_cstr(r->body, r->api->cfg.sa_issuer));
	node_seti(r->body, spec, F_expirationSeconds, seconds);
	status = node_need_object(r->body, root, F_status);
	node_sets(r->body, status, F_token, token.s);
	node_sets(r->body, status, F_expirationTimestamp, time_fmt_rfc3339(when, time_wall_s() + seconds));
	r->obj = obj_new(&r->res->r, r->body, 0);
	r->status = 201;
	return STEP_DONE;
}

const struct handler subres_misc_handlers[] = {
	{ "", "namespaces", "finalize", BIT(VERB_UPDATE), act_part, .body = true },
	{ "certificates.k8s.io", "certificatesigningrequests", "approval", BIT(VERB_GET), act_get },
	{ "certificates.k8s.io", "certificatesigningrequests", "approval", BIT(VERB_UPDATE), act_part, .body = true },
	{ "certificates.k8s.io", "certificatesigningrequests", "approval", BIT(VERB_PATCH), act_patch, .body = true,
	  .raw = true },
	{ "", "serviceaccounts", "token", BIT(VERB_CREATE), act_token, .body = true,
	  .body_type = "authentication.k8s.io/v1.TokenRequest" },
	{ 0 },
};
