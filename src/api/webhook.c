/*
 * Admission by programs outside: MutatingAdmissionWebhook and
 * ValidatingAdmissionWebhook, two rows of the table in admit.c.
 *
 * For each webhook of each configuration, by name, whose rules, namespaceSelector
 * and objectSelector fit, an AdmissionReview (admission.k8s.io/v1, or v1beta1 for
 * those who know only that) is sent with the object in the version that the
 * rule names (matchPolicy Equivalent: any version of the same thing). Mutating
 * ones are asked one after the other, each with the outcome of the one before;
 * when one changed the object, the whole mutating half runs once more, in which
 * only webhooks with reinvocationPolicy IfNeeded are asked again, and only when
 * the object is not as they left it. Validating ones are asked all at once. A
 * webhook that can't be asked, or answers nonsense, counts by its failurePolicy.
 *
 * How a request waits for answers: hook.c.
 *
 * Webhooks are never asked about webhook configurations and admission policies
 * (somebody must be able to mend those), nor about kinds without storage that are
 * questions themselves. matchConditions are expressions of CEL; what can't be
 * evaluated counts by failurePolicy, as in Kubernetes.
 */
#include "api/admit.h"

#include <stdio.h>

#include "base/digest.h"
#include "base/log.h"

#define WEBHOOK_GROUP "admissionregistration.k8s.io"
#define WEBHOOK_WARNINGS 25 /* of one answer */

struct webhook { /* one, being looked at */
	struct admission *a;
	const struct node *hook; /* an item of webhooks */
	const char *name;
	bool mutating;
	const struct schema_res *as; /* the version that it wants */
	bool v1;
};

static const struct resource *webhook_configs(bool mutating)
{
	return schema_res(WEBHOOK_GROUP, mutating ? "mutatingwebhookconfigurations" : "validatingwebhookconfigurations");
}

static bool webhook_exempt(const struct req *r)
{
	return streq(r->st->r.group, WEBHOOK_GROUP) || (r->res->is_virtual && !*r->at.subresource && !streq(r->at.resource, "bindings"));
}

bool webhook_may_ask(const struct req *r)
{
	struct store *s = r->api->store;

	if (!r->res || r->verb == VERB_LIST || r->verb == VERB_WATCH || webhook_exempt(r))
		return false;
	return store_count(s, webhook_configs(true), NULL) || store_count(s, webhook_configs(false), NULL);
}

/* --- does it want to be asked? --- */

static bool list_has(const struct node *list, const char *value)
{
	NODE_FOREACH(n, list)
		if (node_streq(n, "*") || node_streq(n, value))
			return true;
	return false;
}

/* "pods" or "pods/exec", with a star for either part. */
static bool rule_has_resource(const struct node *list, const char *resource, const char *sub)
{
	NODE_FOREACH(n, list) {
		struct str rest = node_str(n), res = str_cut(&rest, '/');

		if ((str_eqc(res, "*") || str_eqc(res, resource)) &&
		    (str_eqc(rest, "*") || str_eqc(rest.p ? rest : STR_LIT(""), sub)))
			return true;
	}
	return false;
}

static bool rule_has_scope(const struct node *rule, const struct schema_res *res)
{
	const char *scope = node_gets(rule, F_scope);

	if (!*scope || streq(scope, "*"))
		return true;
	return streq(scope, "Namespaced") == res->r.namespaced;
}

static bool rule_fits(const struct node *rule, const struct admission *a, const struct schema_res *res)
{
	return list_has(node_get(rule, F_operations), a->operation) &&
	       list_has(node_get(rule, F_apiGroups), res->r.group) &&
	       list_has(node_get(rule, F_apiVersions), res->r.version) &&
	       rule_has_resource(node_get(rule, F_resources), res->r.plural, a->r->at.subresource) &&
	       rule_has_scope(rule, res);
}

/* The version in which the webhook wants the object: the request's own when a rule names it. */
static const struct schema_res *webhook_version(const struct webhook *w)
{
	const struct req *r = w->a->r;
	const struct node *rules = node_get(w->hook, F_rules);

	NODE_FOREACH(rule, rules)
		if (rule_fits(rule, w->a, r->res))
			return r->res;
	if (node_streq(node_get(w->hook, F_matchPolicy), "Exact"))
		return NULL;
	NODE_FOREACH(rule, rules)
		for (const struct schema_res *s = schema_next(NULL); s; s = schema_next(s))
			if (s != r->res && s->served && !s->is_virtual && schema_storage(s) == r->st &&
			    rule_fits(rule, w->a, s))
				return s;
	return NULL;
}

static int selector_of(const struct webhook *w, enum field f, struct selector **ret, struct err *e)
{
	const struct node *n = node_get(w->hook, f);

	*ret = NULL;
	return node_count(n) ? selector_from_node(ret, n, e) : 0;
}

/* A Namespace is selected by its own labels, other things by those of the namespace that they are in. */
static int webhook_namespace_fits(const struct webhook *w, bool *fits, struct err *e)
{
	struct req *r = w->a->r;
	bool is_ns = admit_is(w->a, "", "namespaces");
	struct selector *s;
	struct obj *ns;

	*fits = true;
	if (selector_of(w, F_namespaceSelector, &s, e) < 0)
		return -e->code;
	if (!s || (!is_ns && !r->st->r.namespaced)) {
		selector_free(s);
		return 0;
	}
	if (is_ns && w->a->root) {
		*fits = selector_match(s, meta_labels(w->a->root));
	} else {
		ns = store_get(r->api->store, &r->api->namespaces->r, "", r->at.ns);
		if (!ns)
			err_not_found(e, &r->api->namespaces->r, r->at.ns);
		else
			*fits = selector_match(s, meta_labels(obj_node(ns)));
	}
	selector_free(s);
	return err_is_set(e) ? -e->code : 0;
}

static int webhook_object_fits(const struct webhook *w, bool *fits, struct err *e)
{
	const struct admission *a = w->a;
	struct selector *s;

	*fits = true;
	if (selector_of(w, F_objectSelector, &s, e) < 0)
		return -e->code;
	if (!s)
		return 0;
	*fits = (meta_of(a->root) && selector_match(s, meta_labels(a->root))) ||
		(a->old && selector_match(s, meta_labels(obj_node(a->old))));
	selector_free(s);
	return 0;
}

static int webhook_fits(struct webhook *w, bool *fits, struct err *e)
{
	*fits = false;
	w->as = webhook_version(w);
	if (!w->as)
		return 0;
	if (webhook_namespace_fits(w, fits, e) < 0 || (*fits && webhook_object_fits(w, fits, e) < 0))
		return -e->code;
	return 0;
}

/* --- the question --- */

static void review_gvk(struct buf *b, const char *member, const char *group, const char *version, const char *kind)
{
	buf_addf(b, "\"%s\":{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"},", member, group, version, kind);
}

/* The kind that a subresource speaks in is not the resource's: Scale, Binding, PodExecOptions. */
static void review_kinds(const struct webhook *w, struct buf *b)
{
	const struct req *r = w->a->r;
	const struct schema_subres *sub = r->sub;
	bool own = sub && (sub->group || !streq(sub->kind, r->res->r.kind));
	const struct resource *as = &w->as->r, *asked = &r->res->r;

	if (own) {
		const char *group = sub->group ? sub->group : asked->group, *version = sub->version ? sub->version : asked->version;

		review_gvk(b, "kind", group, version, sub->kind);
		review_gvk(b, "requestKind", group, version, sub->kind);
	} else {
		review_gvk(b, "kind", as->group, as->version, as->kind);
		review_gvk(b, "requestKind", asked->group, asked->version, asked->kind);
	}
	buf_addf(b, "\"resource\":{\"group\":\"%s\",\"version\":\"%s\",\"resource\":\"%s\"},", as->group, as->version,
		 as->plural);
	buf_addf(b, "\"requestResource\":{\"group\":\"%s\",\"version\":\"%s\",\"resource\":\"%s\"},", asked->group,
		 asked->version, asked->plural);
	if (*r->at.subresource)
		buf_addf(b, "\"subResource\":\"%s\",\"requestSubResource\":\"%s\",", r->at.subresource, r->at.subresource);
}

static void review_string(struct buf *b, const char *member, const char *value)
{
	buf_addf(b, "\"%s\":", member);
	buf_add_json_string(b, str_of(value));
	buf_addch(b, ',');
}

static void review_user_info(const struct user *u, struct buf *b)
{
	bool more = false;

	buf_adds(b, "\"userInfo\":{\"username\":");
	buf_add_json_string(b, str_of(u->name));
	if (*u->uid) {
		buf_adds(b, ",\"uid\":");
		buf_add_json_string(b, str_of(u->uid));
	}
	buf_adds(b, ",\"groups\":[");
	for (const char *const *g = u->groups; g && *g; g++) {
		buf_adds(b, more ? "," : "");
		buf_add_json_string(b, str_of(*g));
		more = true;
	}
	buf_adds(b, "]");
	for (size_t i = 0; i < u->n_extra; i++) {
		bool again = i && streq(u->extra[i].key, u->extra[i - 1].key);

		buf_adds(b, again ? "," : i ? "]," : ",\"extra\":{");
		if (!again) {
			buf_add_json_string(b, str_of(u->extra[i].key));
			buf_adds(b, ":[");
		}
		buf_add_json_string(b, str_of(u->extra[i].value));
	}
	buf_adds(b, u->n_extra ? "]}}," : "},");
}

static void review_options(const struct admission *a, struct buf *b)
{
	const struct call_opts *o = &a->r->opts;
	bool delete = streq(a->operation, "DELETE"), create = streq(a->operation, "CREATE");

	buf_addf(b, "\"options\":{\"kind\":\"%sOptions\",\"apiVersion\":\"meta.k8s.io/v1\"",
		 delete ? "Delete" : create ? "Create" : "Update");
	if (delete && o->has_grace)
		buf_addf(b, ",\"gracePeriodSeconds\":%lld", (long long)o->grace_s);
	if (delete && !str_empty(o->propagation))
		buf_addf(b, ",\"propagationPolicy\":\"%s\"", o->propagation);
	if (o->dry_run)
		buf_adds(b, ",\"dryRun\":[\"All\"]");
	if (!delete && !str_empty(o->field_manager)) {
		buf_adds(b, ",\"fieldManager\":");
		buf_add_json_string(b, str_of(o->field_manager));
	}
	if (!delete && o->field_validation)
		buf_addf(b, ",\"fieldValidation\":\"%s\"", o->field_validation == 'S' ? "Strict" :
							   o->field_validation == 'W' ? "Warn" :
											"Ignore");
	buf_addch(b, '}');
}

/* An object of the stored version, in the one that the webhook wants; what has a kind of its own stays as it is. */
static void review_object(const struct webhook *w, const struct node *root, struct buf *b)
{
	struct req *r = w->a->r;
	_cleanup_doc_ struct doc *copy = NULL;

	if (!root) {
		buf_adds(b, "null");
		return;
	}
	if (w->as == r->st || !node_streq(node_get(root, F_kind), r->st->r.kind)) {
		doc_print_json(b, root, DOC_PRINT_COMPACT);
		return;
	}
	copy = doc_new();
	doc_set_root(copy, node_copy(copy, root));
	convert_doc(copy, r->st, w->as);
	doc_print_json(b, doc_root(copy), DOC_PRINT_COMPACT);
}

/* The question's own name: the same for the same question of the same request. */
static void review_uid(const struct webhook *w, struct str body, char out[37])
{
	const struct req *r = w->a->r;
	uint8_t sum[DIGEST_SHA256_LEN];
	struct digest *d = digest_new();

	digest_update(d, body.p, body.n);
	digest_update(d, w->name, strlen(w->name));
	digest_update(d, &r->start_us, sizeof(r->start_us));
	digest_final(d, sum);
	digest_free(d);
	snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-4%01x%02x-a%01x%02x-%02x%02x%02x%02x%02x%02x", sum[0], sum[1], sum[2],
		 sum[3], sum[4], sum[5], sum[6] & 15, sum[7], sum[8] & 15, sum[9], sum[10], sum[11], sum[12], sum[13],
		 sum[14], sum[15]);
}

static void review_make(const struct webhook *w, char uid[37], struct buf *out)
{
	const struct admission *a = w->a;
	const struct req *r = a->r;
	_cleanup_buf_ struct buf b = BUF_INIT;

	review_kinds(w, &b);
	if (*r->at.name)
		review_string(&b, "name", r->at.name);
	if (*r->at.ns)
		review_string(&b, "namespace", r->at.ns);
	buf_addf(&b, "\"operation\":\"%s\",", a->operation);
	review_user_info(r->user, &b);
	buf_adds(&b, "\"object\":");
	review_object(w, a->root, &b);
	buf_adds(&b, ",\"oldObject\":");
	review_object(w, a->old ? obj_node(a->old) : NULL, &b);
	buf_addf(&b, ",\"dryRun\":%s,", r->opts.dry_run ? "true" : "false");
	if (streq(a->operation, "CONNECT"))
		buf_adds(&b, "\"options\":null");
	else
		review_options(a, &b);
	review_uid(w, buf_str(&b), uid);
	buf_addf(out, "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/%s\",\"request\":{\"uid\":\"%s\",",
		 w->v1 ? "v1" : "v1beta1", uid);
	buf_addstr(out, buf_str(&b));
	buf_adds(out, "}}");
}

/* --- the answer --- */

/* Why the webhook did not count as asked: an error of the request, or (failurePolicy Ignore) nothing. */
static int webhook_failed(const struct webhook *w, struct err *why, struct err *e)
{
	_cleanup_free_ char *text = xstrdup(err_msg(why));

	err_release(why);
	if (node_streq(node_get(w->hook, F_failurePolicy), "Ignore")) {
		log_warn("a webhook failed, ignoring", LS("webhook", w->name), LS("error", text));
		return 0;
	}
	return err_set(e, ERR_INTERNAL, "Internal error occurred: failed calling webhook \"%s\": %s", w->name, text);
}

static int answer_bad(struct err *e, const char *fmt, ...) ATTR_PRINTF(2, 3);
static int answer_bad(struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_set(e, ERR_INTERNAL, "received invalid webhook response: %s", text);
}

/* Is it an answer to this question, in the form that its version asks for? */
static int answer_check(const struct webhook *w, const struct node *root, const char *uid, struct err *e)
{
	const struct node *resp = node_get(root, F_response), *type = node_getc(resp, "patchType");
	bool patch = node_str(node_getc(resp, "patch")).n > 0;

	if (!node_is(resp, DOC_OBJECT))
		return answer_bad(e, "webhook response was absent");
	if (!w->v1)
		return 0;
	if (!node_streq(node_get(resp, F_uid), uid))
		return answer_bad(e, "expected response.uid=\"%s\", got \"%.64s\"", uid, node_gets(resp, F_uid));
	if (!node_streq(node_get(root, F_kind), "AdmissionReview") ||
	    !node_streq(node_get(root, F_apiVersion), "admission.k8s.io/v1"))
		return answer_bad(e, "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got %.64s, Kind=%.64s",
				  node_gets(root, F_apiVersion), node_gets(root, F_kind));
	if (!w->mutating && patch)
		return answer_bad(e, "validating webhook may not return response.patch");
	if (!w->mutating && type)
		return answer_bad(e, "validating webhook may not return response.patchType");
	if (patch && !type)
		return answer_bad(e, "webhook returned response.patch but not response.patchType");
	if (!patch && type && !node_is(type, DOC_NULL))
		return answer_bad(e, "webhook returned response.patchType but not response.patch");
	return 0;
}

static void answer_warnings(const struct webhook *w, const struct node *resp)
{
	size_t n = 0;

	NODE_FOREACH(t, node_getc(resp, "warnings"))
		if (node_is(t, DOC_STRING) && n++ < WEBHOOK_WARNINGS)
			req_warn(w->a->r, "%.*s", (int)str_sub(node_str(t), 0, 256).n, node_cstr(t));
}

static int answer_denied(const struct webhook *w, const struct node *resp, struct err *e)
{
	const struct node *status = node_get(resp, F_status);
	const char *text = node_gets(status, F_message), *reason = node_gets(status, F_reason);
	int64_t code = node_int(node_get(status, F_code), 0);
	enum err_reason known = err_reason_from_name(reason);

	if (!*text)
		text = reason;
	err_set(e, *reason && known != ERR_UNKNOWN ? known : ERR_UNKNOWN, "admission webhook \"%s\" denied the request%s%s", w->name,
		*text ? ": " : " without explanation", text);
	e->http_code = code >= 400 && code < 600 ? (int)code : 400;
	return -e->code;
}

/* The outcome of a patch must be a thing of its kind again, complete with defaults. */
static int answer_settle(const struct webhook *w, struct doc *d, struct err *e)
{
	struct req *r = w->a->r;
	bool own = !node_streq(node_get(doc_root(d), F_kind), w->as->r.kind);

	if (own) {
		if (r->handler->body_type && schema_decode_type(r->handler->body_type, d, NULL, e) < 0)
			return -e->code;
		return 0;
	}
	if (schema_decode(w->as, d, NULL, e) < 0)
		return -e->code;
	schema_default(w->as, d);
	convert_doc(d, w->as, r->st);
	return 0;
}

static int answer_patch(struct webhook *w, const struct node *resp, struct err *e)
{
	struct admission *a = w->a;
	struct str text = node_str(node_getc(resp, "patch"));
	const char *type = node_cstr_or(node_getc(resp, "patchType"), "");
	_cleanup_buf_ struct buf b = BUF_INIT, as = BUF_INIT;
	_cleanup_doc_ struct doc *patch = NULL, *d = NULL;
	struct err why = ERR_INIT;

	if (!text.n || !a->root)
		return 0;
	if (*type && !streq(type, "JSONPatch")) {
		err_set(&why, ERR_INTERNAL, "unsupported patch type \"%.64s\"", type);
		return webhook_failed(w, &why, e);
	}
	if (!buf_add_base64_decoded(&b, text, false) || doc_parse_json(&patch, buf_str(&b), NULL, e) < 0) {
		err_release(e);
		return err_set(e, ERR_INTERNAL, "Internal error occurred: the patch of webhook \"%s\" is no JSON", w->name);
	}
	review_object(w, a->root, &as);
	if (doc_parse_json(&d, buf_str(&as), NULL, e) < 0 || doc_patch_json(d, doc_root(patch), e) < 0 ||
	    answer_settle(w, d, e) < 0) {
		why = *e;
		*e = (struct err)ERR_INIT;
		err_set(e, ERR_INTERNAL, "Internal error occurred: %s", err_msg(&why));
		err_release(&why);
		return -e->code;
	}
	if (node_equal(doc_root(d), a->root))
		return 0;
	doc_set_root(a->d, node_copy(a->d, doc_root(d)));
	a->root = doc_root(a->d);
	a->hooked = true;
	return 0;
}

static int webhook_take(struct webhook *w, struct doc *answer, const char *uid, struct err *e)
{
	const struct node *root = doc_root(answer), *resp = node_get(root, F_response);
	struct err why = ERR_INIT;

	if (answer_check(w, root, uid, &why) < 0)
		return webhook_failed(w, &why, e);
	answer_warnings(w, resp);
	if (!node_bool(node_get(resp, F_allowed), false))
		return answer_denied(w, resp, e);
	return w->mutating ? answer_patch(w, resp, e) : 0;
}

/* --- asking one --- */

/* Which form of the review it knows; false: neither. */
static bool webhook_review_version(struct webhook *w)
{
	NODE_FOREACH(v, node_get(w->hook, F_admissionReviewVersions)) {
		w->v1 = node_streq(v, "v1");
		if (w->v1 || node_streq(v, "v1beta1"))
			return true;
	}
	return false;
}

static bool webhook_dry_run_ok(const struct webhook *w)
{
	const char *effects = node_gets(w->hook, F_sideEffects);

	return streq(effects, "None") || streq(effects, "NoneOnDryRun");
}

/* An answer is there (or never will be): rc is what comes of it. */
static int webhook_count(const struct webhook *w, int rc)
{
	struct req *r = w->a->r;

	if (r->hook_us >= 0)
		metrics_webhook(r->api, w->name, w->mutating, w->a->operation, rc < 0, r->hook_us);
	return rc;
}

/* 0: it has no objection (or does not count); ERR_AGAIN: it is being asked. */
static int webhook_ask(struct webhook *w, struct err *e)
{
	_cleanup_buf_ struct buf body = BUF_INIT;
	struct err why = ERR_INIT;
	struct doc *answer;
	char uid[37];
	int64_t timeout_s = node_int(node_get(w->hook, F_timeoutSeconds), 10);

	if (w->a->r->opts.dry_run && !webhook_dry_run_ok(w))
		return err_bad(e, "admission webhook \"%s\" does not support dry run", w->name);
	if (node_count(node_get(w->hook, F_matchConditions))) {
		err_set(&why, ERR_INTERNAL, "matchConditions can't be evaluated: this server has no CEL");
		return webhook_failed(w, &why, e);
	}
	if (!webhook_review_version(w)) {
		err_set(&why, ERR_INTERNAL, "webhook does not accept known AdmissionReview versions (v1, v1beta1)");
		return webhook_failed(w, &why, e);
	}
	review_make(w, uid, &body);
	if (hook_ask(w->a->r, node_get(w->hook, F_clientConfig), buf_str(&body), (int)timeout_s * 1000, &answer, &why) == 0)
		return webhook_count(w, webhook_take(w, answer, uid, e));
	if (why.reason == ERR_AGAIN) {
		err_move(e, &why);
		return -e->code;
	}
	err_wrap(&why, "failed to call webhook");
	return webhook_count(w, webhook_failed(w, &why, e));
}

/* --- the mutating half --- */

static void webhook_digest(const struct admission *a, uint8_t out[DIGEST_SHA256_LEN])
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_print_json(&b, a->root, DOC_PRINT_COMPACT);
	digest_sha256(buf_str(&b), out);
}

/* How each left the object in the first pass; in the second only those are asked that find it otherwise. */
static struct webhook_left *webhook_left(struct admission *a, const char *name)
{
	struct webhook_left *l;

	for (l = a->left; l; l = l->next)
		if (streq(l->name, name))
			return l;
	l = arena_zalloc(a->r->arena, sizeof(*l));
	l->name = arena_strdup(a->r->arena, name);
	l->next = a->left;
	a->left = l;
	return l;
}

static bool webhook_again(struct webhook *w, const char *key)
{
	uint8_t now[DIGEST_SHA256_LEN];

	if (!w->a->root || !node_streq(node_get(w->hook, F_reinvocationPolicy), "IfNeeded"))
		return false;
	webhook_digest(w->a, now);
	return memcmp(now, webhook_left(w->a, key)->digest, sizeof(now)) != 0;
}

static int webhook_mutate_one(struct webhook *w, const char *config, struct err *e)
{
	_cleanup_free_ char *key = xasprintf("%s/%s", config, w->name);

	if (w->a->reinvoked && !webhook_again(w, key))
		return 0;
	if (webhook_ask(w, e) < 0)
		return -e->code;
	if (w->a->root)
		webhook_digest(w->a, webhook_left(w->a, key)->digest);
	return 0;
}

/* --- both --- */

/* Every webhook of a configuration. Validating ones that have no answer yet are all noted: *again. */
static int webhook_config(struct admission *a, struct obj *config, bool mutating, bool *again, struct err *e)
{
	NODE_FOREACH(hook, node_get(obj_node(config), F_webhooks)) {
		struct webhook w = { .a = a, .hook = hook, .name = node_gets(hook, F_name), .mutating = mutating };
		bool fits;
		int rc = webhook_fits(&w, &fits, e);

		if (rc == 0 && fits)
			rc = mutating ? webhook_mutate_one(&w, config->name, e) : webhook_ask(&w, e);
		if (rc < 0 && (mutating || e->reason != ERR_AGAIN))
			return rc;
		if (rc < 0) {
			*again = true;
			err_release(e);
		}
	}
	return 0;
}

static int webhook_all(struct admission *a, bool mutating, struct err *e)
{
	struct store_list l = { .res = webhook_configs(mutating) };
	bool again = false;
	int rc = 0;

	if (!a->r->may_ask || a->r->hooks_done)
		return 0;
	if (store_list(a->r->api->store, &l, e) < 0)
		return -e->code;
	for (size_t i = 0; i < l.n && rc == 0; i++)
		rc = webhook_config(a, l.objs[i], mutating, &again, e);
	store_list_release(&l);
	if (rc == 0 && again)
		rc = err_set(e, ERR_AGAIN, "answers from outside are awaited");
	return rc;
}

int webhook_mutate(struct admission *a, struct err *e)
{
	return webhook_all(a, true, e);
}

int webhook_validate(struct admission *a, struct err *e)
{
	return webhook_all(a, false, e);
}

static int webhook_remove(struct req *r, struct obj *cur, bool mutating, struct err *e)
{
	struct admission a = { .r = r, .old = cur, .operation = "DELETE" };

	return cur ? webhook_all(&a, mutating, e) : 0;
}

int webhook_mutate_remove(struct req *r, struct obj *cur, struct err *e)
{
	return webhook_remove(r, cur, true, e);
}

int webhook_validate_remove(struct req *r, struct obj *cur, struct err *e)
{
	return webhook_remove(r, cur, false, e);
}
