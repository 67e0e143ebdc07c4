/*
 * Versions of custom resources. Without a webhook they differ in apiVersion and
 * in what their schemas prune; with one (spec.conversion.strategy Webhook) a
 * ConversionReview goes out for whatever is not in the version wanted: inside a
 * request by hook_ask, which runs act again with the answer; for the answer of a
 * write and for watches, which cannot begin again, by convert_send.
 *
 * What comes back is held against what was sent: same kind, name, namespace and
 * uid, as many objects; labels and annotations may change, all other metadata is
 * put back. Texts are Kubernetes'.
 */
#include "api/internal.h"

#include "base/digest.h"
#include "schema/custom.h"

#define CONVERT_TIMEOUT_MS 30000

bool convert_needs_hook(const struct obj *o, const struct schema_res *to)
{
	return to->custom && to->custom->webhook && to->custom->crd && o->res != &to->r;
}

bool convert_may_ask(const struct req *r)
{
	return r->res && r->res->custom && r->res->custom->webhook;
}

/* --- the question --- */

static const struct node *convert_hook(const struct schema_res *r)
{
	return node_path(schema_custom_spec(r->custom), F_conversion, F_webhook);
}

/* The first of the versions that the webhook understands and we do; NULL: none. */
static const char *convert_review_version(const struct schema_res *r)
{
	NODE_FOREACH(v, node_get(convert_hook(r), F_conversionReviewVersions))
		if (node_streq(v, "v1") || node_streq(v, "v1beta1"))
			return node_cstr(v);
	return NULL;
}

/* A uid that is the same for the same question: it may be asked again. */
static void convert_uid(struct str objects, const struct schema_res *to, char uid[37])
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char hex[DIGEST_SHA256_HEX];
	size_t n = 0;

	buf_adds(&b, to->r.api_version);
	buf_addstr(&b, objects);
	digest_sha256_hex(buf_str(&b), hex);
	for (size_t i = 0; n < 36; i++) {
		if (n == 8 || n == 13 || n == 18 || n == 23)
			uid[n++] = '-';
		uid[n++] = hex[i];
	}
	uid[14] = '4';
	uid[36] = '\0';
}

/* objects: JSON, joined by commas */
static int convert_review(const struct schema_res *to, struct str objects, struct buf *out, char uid[37], struct err *e)
{
	const char *version = convert_review_version(to);

	if (!version)
		return err_set(e, ERR_INTERNAL, "no supported conversion review versions");
	convert_uid(objects, to, uid);
	buf_addf(out,
		 "{\"kind\":\"ConversionReview\",\"apiVersion\":\"apiextensions.k8s.io/%s\",\"request\":{\"uid\":\"%s\","
		 "\"desiredAPIVersion\":\"%s\",\"objects\":[",
		 version, uid, to->r.api_version);
	buf_addstr(out, objects);
	buf_adds(out, "]}}");
	return 0;
}

/* --- the answer --- */

static int convert_fail(const struct schema_res *from, struct err *e, const char *fmt, ...) ATTR_PRINTF(3, 4);
static int convert_fail(const struct schema_res *from, struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_set(e, ERR_INTERNAL, "conversion webhook for %s, Kind=%s %s", from->r.api_version, from->r.kind, text);
}

static int convert_check_review(const struct schema_res *from, const struct schema_res *to, const struct node *answer,
				const char *uid, struct err *e)
{
	const struct node *response = node_get(answer, F_response), *result = node_get(response, F_result);
	const char *version = node_gets(answer, F_apiVersion), *status = node_gets(result, F_status);
	bool strict = streq(convert_review_version(to), "v1");

	if (strict && (!streq(version, "apiextensions.k8s.io/v1") ||
		       !streq(node_gets(answer, F_kind), "ConversionReview")))
		return convert_fail(from, e,
				    "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got %s, Kind=%s",
				    version, node_gets(answer, F_kind));
	if (!node_is(response, DOC_OBJECT))
		return convert_fail(from, e, "failed: no response provided");
	if (strict && !streq(node_gets(response, F_uid), uid))
		return convert_fail(from, e, "failed: expected response.uid=\"%s\", got \"%.64s\"", uid,
				    node_gets(response, F_uid));
	if (streq(status, "Success"))
		return 0;
	if (*node_gets(result, F_message))
		return convert_fail(from, e, "failed: %.512s", node_gets(result, F_message));
	return convert_fail(from, e, "failed: response.result.status was '%.64s', not 'Success'", status);
}

static const char *convert_different(const struct node *a, const struct node *b, enum field f)
{
	return streq(node_gets(meta_of(a), f), node_gets(meta_of(b), f)) ? NULL : doc_field_name(f);
}

/* What no webhook may change. */
static int convert_check_object(const struct schema_res *from, const struct schema_res *to, const struct node *sent,
				const struct node *got, size_t at, struct err *e)
{
	static const enum field same[] = { F_name, F_namespace, F_uid };
	static const char *const words[] = { "name", "namespace", "UID" };

	if (!node_is(got, DOC_OBJECT))
		return convert_fail(from, e, "returned invalid converted object at index %zu: not an object", at);
	if (!streq(node_gets(got, F_apiVersion), to->r.api_version))
		return convert_fail(from, e,
				    "returned invalid converted object at index %zu: invalid groupVersion (expected %s, received %.128s)",
				    at, to->r.api_version, node_gets(got, F_apiVersion));
	if (!streq(node_gets(got, F_kind), to->r.kind))
		return convert_fail(from, e,
				    "returned invalid converted object at index %zu: invalid kind (expected %s, received %.128s)", at,
				    to->r.kind, node_gets(got, F_kind));
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		if (convert_different(sent, got, same[i]))
			return convert_fail(from, e,
					    "returned invalid converted object at index %zu: must have the same %s: %.128s != %.128s", at,
					    words[i], node_gets(meta_of(sent), same[i]), node_gets(meta_of(got), same[i]));
	return 0;
}

/* The object that came, as a document: metadata is what was sent, but for labels and annotations. */
static struct doc *convert_take(const struct schema_res *to, const struct node *sent, const struct node *got)
{
	static const enum field from_hook[] = { F_labels, F_annotations };
	struct doc *d = doc_new();
	struct node *root = node_copy(d, got), *meta;

	doc_set_root(d, root);
	meta = node_set(d, root, F_metadata, meta_of(sent) ? node_copy(d, meta_of(sent)) : node_new(d, DOC_OBJECT));
	for (size_t i = 0; i < ARRAY_SIZE(from_hook); i++) {
		const struct node *n = node_get(meta_of(got), from_hook[i]);

		if (node_is(n, DOC_OBJECT) && node_count(n))
			node_set(d, meta, from_hook[i], node_copy(d, n));
		else
			node_remove(meta, from_hook[i]);
	}
	schema_custom_prune(to, d);
	return d;
}

static const struct node *convert_got(const struct schema_res *from, const struct node *answer, size_t want, struct err *e)
{
	const struct node *list = node_path(answer, F_response, F_convertedObjects);

	if (node_count(list) == want && want)
		return list;
	convert_fail(from, e, "returned %zu objects, expected %zu", node_count(list), want);
	return NULL;
}

/* --- inside a request --- */

/* The webhook's checked answer about objects, JSON texts between commas; borrowed. */
static int convert_ask(struct req *r, const struct schema_res *from, const struct schema_res *to, struct str objects,
		       struct doc **answer, struct err *e)
{
	_cleanup_buf_ struct buf body = BUF_INIT;
	_cleanup_free_ char *why = NULL;
	char uid[37];

	if (convert_review(to, objects, &body, uid, e) < 0)
		return -e->code;
	if (hook_ask(r, node_get(convert_hook(to), F_clientConfig), buf_str(&body), CONVERT_TIMEOUT_MS, answer, e) == 0)
		return convert_check_review(from, to, doc_root(*answer), uid, e);
	if (e->reason == ERR_AGAIN)
		return -e->code;
	why = xstrdup(err_msg(e));
	return convert_fail(from, e, "failed: %s", why);
}

int convert_req_doc(struct req *r, struct doc *d, const struct schema_res *from, const struct schema_res *to,
		    struct err *e)
{
	_cleanup_buf_ struct buf object = BUF_INIT;
	_cleanup_doc_ struct doc *made = NULL;
	const struct node *got;
	struct doc *answer;

	if (from == to || !to->custom || !to->custom->webhook) {
		convert_doc(d, from, to);
		return 0;
	}
	doc_print_json(&object, doc_root(d), DOC_PRINT_COMPACT);
	if (convert_ask(r, from, to, buf_str(&object), &answer, e) < 0)
		return -e->code;
	got = convert_got(from, doc_root(answer), 1, e);
	if (!got || convert_check_object(from, to, doc_root(d), node_at(got, 0), 0, e) < 0)
		return -e->code;
	made = convert_take(to, doc_root(d), node_at(got, 0));
	doc_set_root(d, node_copy(d, doc_root(made)));
	return 0;
}

int convert_req_obj(struct req *r, struct obj *o, const struct schema_res *to, struct obj **ret, struct err *e)
{
	struct obj *one = obj_ref(o);

	if (convert_req_list(r, &one, 1, to, e) < 0) {
		obj_unref(one);
		return -e->code;
	}
	*ret = one;
	if (one == o && o->res != &to->r) {
		*ret = convert_obj(o, to);
		obj_unref(one);
	}
	return 0;
}

static void convert_put(struct obj **slot, const struct schema_res *to, const struct node *got)
{
	struct doc *d = convert_take(to, obj_node(*slot), got);
	struct obj *as = obj_new(&to->r, d, (*slot)->rv);

	doc_unref(d);
	obj_unref(*slot);
	*slot = as;
}

static int convert_put_all(struct obj **objs, size_t n, const struct schema_res *from, const struct schema_res *to,
			   const struct node *got, struct err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		if (!convert_needs_hook(objs[i], to))
			continue;
		if (convert_check_object(from, to, obj_node(objs[i]), node_at(got, at), at, e) < 0)
			return -e->code;
		at++;
	}
	at = 0;
	for (size_t i = 0; i < n; i++)
		if (convert_needs_hook(objs[i], to))
			convert_put(&objs[i], to, node_at(got, at++));
	return 0;
}

/* The JSON of those that are in another version; their number, and the version of the first. */
static size_t convert_gather(struct obj **objs, size_t n, const struct schema_res *to, struct buf *out,
			     const struct schema_res **from)
{
	size_t want = 0;

	for (size_t i = 0; i < n; i++) {
		if (!convert_needs_hook(objs[i], to))
			continue;
		if (want++)
			buf_addch(out, ',');
		else
			*from = (const struct schema_res *)objs[i]->res;
		obj_json_add(objs[i], out);
	}
	return want;
}

int convert_req_list(struct req *r, struct obj **objs, size_t n, const struct schema_res *to, struct err *e)
{
	_cleanup_buf_ struct buf objects = BUF_INIT;
	const struct schema_res *from = NULL;
	size_t want = convert_gather(objs, n, to, &objects, &from);
	const struct node *got;
	struct doc *answer;

	if (!want)
		return 0;
	if (convert_ask(r, from, to, buf_str(&objects), &answer, e) < 0)
		return -e->code;
	got = convert_got(from, doc_root(answer), want, e);
	return got ? convert_put_all(objs, n, from, to, got, e) : -e->code;
}

/* --- outside of act --- */

struct convert_call {
	struct hook_call *hook;
	struct obj *obj;
	const struct schema_res *to;
	char uid[37];
	void (*done)(void *arg, struct obj *o, const struct err *err);
	void *arg;
};

static void convert_call_free(struct convert_call *c)
{
	obj_unref(c->obj);
	free(c);
}

static void convert_answered(void *arg, struct doc *answer, const struct err *err)
{
	struct convert_call *c = arg;
	const struct schema_res *from = (const struct schema_res *)c->obj->res;
	_cleanup_err_ struct err e = ERR_INIT;
	const struct node *got = NULL;

	c->hook = NULL;
	if (err)
		convert_fail(from, &e, "failed: %s", err_msg(err));
	else if (convert_check_review(from, c->to, doc_root(answer), c->uid, &e) == 0)
		got = convert_got(from, doc_root(answer), 1, &e);
	if (got && convert_put_all(&c->obj, 1, from, c->to, got, &e) == 0)
		c->done(c->arg, c->obj, NULL);
	else
		c->done(c->arg, NULL, &e);
	convert_call_free(c);
}

struct convert_call *convert_send(struct api *a, struct obj *o, const struct schema_res *to,
				  void (*done)(void *arg, struct obj *o, const struct err *err), void *arg)
{
	_cleanup_buf_ struct buf body = BUF_INIT, object = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct convert_call *c = xcalloc(1, sizeof(*c));

	*c = (struct convert_call){ .obj = obj_ref(o), .to = to, .done = done, .arg = arg };
	obj_json_add(o, &object);
	if (convert_review(to, buf_str(&object), &body, c->uid, &e) < 0)
		buf_adds(&body, "{}"); /* the definition was validated: it names a version */
	c->hook = hook_send(a, node_get(convert_hook(to), F_clientConfig), buf_str(&body), CONVERT_TIMEOUT_MS,
			    convert_answered, c);
	return c;
}

struct convert_call *convert_abort(struct convert_call *c)
{
	if (!c)
		return NULL;
	hook_abort(c->hook);
	convert_call_free(c);
	return NULL;
}

static void convert_answer_done(void *arg, struct obj *o, const struct err *err)
{
	struct req *r = arg;
	struct err copy = ERR_INIT;

	r->converting = NULL;
	r->on_gone = NULL;
	if (err)
		err_copy(&copy, err);
	else {
		obj_unref(r->obj);
		r->obj = obj_ref(o);
	}
	req_resume(r, &copy);
}

static void convert_answer_gone(struct req *r)
{
	r->on_gone = NULL;
	r->converting = convert_abort(r->converting);
	req_finish(r);
}

int convert_answer(struct req *r, struct err *e)
{
	if (!r->obj || r->is_list || r->obj_res || r->success_status || !r->res || !r->res->custom ||
	    !convert_needs_hook(r->obj, r->res))
		return STEP_NEXT;
	r->on_gone = convert_answer_gone;
	r->converting = convert_send(r->api, r->obj, r->res, convert_answer_done, r);
	return STEP_WAIT;
}
