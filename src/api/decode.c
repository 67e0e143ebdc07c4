/*
 * Bodies on their way in: JSON, YAML or protobuf by content type, checked
 * against the type that the endpoint takes.
 *
 * What strict decoding finds (unknown and duplicate fields) is, by
 * fieldValidation, an error (Strict), Warning headers (Warn, the default) or
 * nothing (Ignore). Errors read as kube-apiserver's, which wraps its decoder's:
 * `Pod in version "v1" cannot be handled as a Pod: strict decoding error: ...`.
 */
#include "api/internal.h"

#include "http/http.h"

#define DECODE_MAX_ISSUES 64
#define ISSUE_PATH_MAX 1024 /* bytes; as the parser tells them */

struct issues {
	struct arena *arena;
	VEC(const char *) v;
};

static void issue_duplicate(void *arg, const char *path)
{
	struct issues *is = arg;

	if (is->v.n < DECODE_MAX_ISSUES)
		VEC_PUSH(&is->v, arena_printf(is->arena, "duplicate field \"%s\"", path));
}

static bool decode_type_ends(const struct req *r, const char *suffix)
{
	struct str v = http_head_get(r->head, "Content-Type");

	return str_ends(str_trim(str_cut(&v, ';')), str_of(suffix));
}

static int decode_yaml(struct str text, const struct doc_json_opts *opts, struct doc **ret, struct err *e)
{
	struct doc **docs = NULL;
	size_t n = 0;

	if (doc_parse_yaml(&docs, &n, text, opts, e) < 0)
		return -e->code;
	if (n == 1)
		*ret = docs[0];
	for (size_t i = 0; n != 1 && i < n; i++)
		doc_unref(docs[i]);
	free(docs);
	return n == 1 ? 0 : err_bad(e, "the body must hold one document, not %zu", n);
}

/* The endpoint's kind, for messages. */
static const char *decode_kind(const struct req *r)
{
	return r->sub && r->handler->body_type ? r->sub->kind : r->res->r.kind;
}

static int decode_refused(struct req *r, struct err *e)
{
	_cleanup_free_ char *why = xstrdup(err_msg(e));

	if (e->reason == ERR_TOO_LARGE)
		return -e->code;
	if (req_is_patch_apply(r))
		return err_bad(e, "error decoding YAML: %s", why);
	if (r->verb == VERB_PATCH)
		return err_bad(e, "%s%s", r->opts.patch_type == PATCH_STRATEGIC ? "" : "error decoding patch: ", why);
	return err_bad(e, "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse error: %s",
		       decode_kind(r), why);
}

/*
 * A strategic merge patch is not decoded from JSON but converted from a map, and
 * the converter has words of its own for `json: cannot unmarshal string into Go
 * struct field DeploymentSpec.spec.replicas of type int32`.
 */
static void decode_converter_words(struct buf *out, const char *why)
{
	static const char lead[] = "json: cannot unmarshal ";
	const char *type = strstr(why, " of type "), *from = why + sizeof(lead) - 1;
	bool number = starts_with(from, "number");
	const char *kind = number		       ? "int64" :
			   starts_with(from, "array")  ? "slice" :
			   starts_with(from, "object") ? "map" :
			   starts_with(from, "bool")   ? "bool" :
							 "string";

	if (!starts_with(why, lead) || !type || !strstr(why, " struct field ")) {
		buf_adds(out, why);
		return;
	}
	type += strlen(" of type ");
	if (starts_with(type, "map[") || streq(type, "v1.ResourceList"))
		buf_addf(out, "cannot restore map from %s", kind);
	else if (starts_with(type, "[]"))
		buf_addf(out, "cannot restore slice from %s", kind);
	else if (strchr(type, '.'))
		buf_addf(out, "cannot restore struct from: %s", kind);
	else if (streq(type, "string") && number)
		buf_addf(out, "cannot convert %s to %s", kind, type);
	else
		buf_addf(out, "unrecognized type: %s", type);
}

/* What a patch makes of the object does not fit its type: not the body is bad, but the outcome invalid. */
static int decode_patch_invalid(struct req *r, const struct node *outcome, const char *why, struct err *e)
{
	bool strategic = r->opts.patch_type == PATCH_STRATEGIC;
	_cleanup_buf_ struct buf value = BUF_INIT, quoted = BUF_INIT, words = BUF_INIT;

	if (strategic)
		doc_print_go(&value, doc_root(r->body));
	else
		doc_print_json(&value, outcome, DOC_PRINT_COMPACT);
	buf_add_json_string(&quoted, buf_str(&value));
	if (strategic)
		decode_converter_words(&words, why);
	else
		buf_adds(&words, why);
	return err_invalid(e, NULL, "", "", "FieldValueInvalid", "patch", "%s: %s", quoted.s, words.s);
}

static bool decode_is_outcome(const struct req *r)
{
	return r->verb == VERB_PATCH && !req_is_patch_apply(r);
}

/* Gives the issues to who asked for them. root: the object; prefix: what is before the list in an error. */
static int decode_report(struct req *r, const struct issues *is, const struct node *root, const char *prefix,
			 struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!is->v.n)
		return 0;
	if (r->opts.field_validation != 'S') {
		for (size_t i = 0; i < is->v.n; i++)
			req_warn(r, "%s", is->v.v[i]);
		return 0;
	}
	for (size_t i = 0; i < is->v.n; i++)
		buf_addf(&b, "%s%s", i ? ", " : "", is->v.v[i]);
	if (decode_is_outcome(r))
		return decode_patch_invalid(r, root, arena_printf(r->arena, "strict decoding error: %s", b.s), e);
	return err_bad(e, "%sstrict decoding error: %s", prefix, b.s);
}

static bool decode_wants_issues(const struct req *r)
{
	return r->head && r->opts.field_validation != 'I';
}

static const char *decode_prefix(struct req *r, const struct resource *res, const char *kind)
{
	return arena_printf(r->arena, "%s in version \"%s\" cannot be handled as a %s: ", kind, res->version, kind);
}

struct apply_twice {
	struct buf text;
	size_t n;
};

static void apply_twice_add(void *arg, size_t line, const char *key)
{
	struct apply_twice *t = arg;

	if (t->n++ < DECODE_MAX_ISSUES)
		buf_addf(&t->text, "\n  line %zu: key \"%s\" already set in map", line, key);
}

/* An applied configuration is YAML, and its keys are counted as YAML's. */
static int decode_apply_issues(struct req *r, struct err *e)
{
	struct apply_twice t = { BUF_INIT, 0 };
	const char *why;

	doc_yaml_twice(r->raw, apply_twice_add, &t);
	why = arena_printf(r->arena, "error converting YAML to JSON: yaml: unmarshal errors:%s", t.text.s);
	buf_release(&t.text);
	if (r->opts.field_validation == 'S')
		return err_bad(e, "error strict decoding YAML: %s", why);
	req_warn(r, "%s", why);
	return 0;
}

/* What is twice in a patch is told together with what its outcome has too much. */
static int decode_patch_issues(struct req *r, const struct issues *is, struct err *e)
{
	const char *lead = r->opts.patch_type == PATCH_JSON ? "json patch " : "";

	if (is->v.n && req_is_patch_apply(r))
		return decode_apply_issues(r, e);
	for (size_t i = 0; i < is->v.n; i++)
		VEC_PUSH(&r->parse_issues, arena_printf(r->arena, "%s%s", lead, is->v.v[i]));
	return 0;
}

/* Until the type has been looked at: then all is told in the order of the text. */
static void decode_keep_issues(struct req *r, const struct issues *is, const struct doc *d)
{
	for (size_t i = 0; i < is->v.n; i++)
		VEC_PUSH(&r->parse_issues, is->v.v[i]);
	doc_unref(r->parsed);
	r->parsed = doc_clone(d);
}

int decode_raw(struct req *r, struct doc **ret, struct err *e)
{
	struct issues is = { r->arena, VEC_INIT };
	struct doc_json_opts opts = { .duplicate = decode_wants_issues(r) ? issue_duplicate : NULL, .arg = &is };
	int rc;

	if (decode_type_ends(r, "protobuf"))
		rc = schema_from_protobuf(ret, r->raw, e);
	else if (req_is_patch_apply(r) || decode_type_ends(r, "yaml"))
		rc = decode_yaml(r->raw, &opts, ret, e);
	else
		rc = doc_parse_json(ret, r->raw, &opts, e);
	if (rc < 0)
		rc = decode_refused(r, e);
	else if (r->verb == VERB_PATCH)
		rc = decode_patch_issues(r, &is, e);
	else if (is.v.n && r->handler->raw)
		rc = decode_report(r, &is, doc_root(*ret), decode_prefix(r, &r->res->r, decode_kind(r)), e);
	else if (is.v.n)
		decode_keep_issues(r, &is, *ret);
	VEC_RELEASE(&is.v);
	if (rc < 0)
		*ret = doc_unref(*ret);
	return rc;
}

/* apiVersion and kind: filled in when absent, refused when they are another's. */
static int decode_check_type(const char *api_version, const char *kind, struct doc *d, struct err *e)
{
	struct node *root = doc_root(d);
	const char *have_version = node_gets(root, F_apiVersion), *have_kind = node_gets(root, F_kind);

	if (!*have_version)
		node_sets(d, root, F_apiVersion, api_version);
	else if (!streq(have_version, api_version))
		return err_bad(e, "the API version in the data (%s) does not match the expected API version (%s)",
			       have_version, api_version);
	if (!*have_kind)
		node_sets(d, root, F_kind, kind);
	else if (!streq(have_kind, kind))
		return err_bad(e, "%s in version \"%s\" cannot be handled as a %s: unknown conversion", have_kind,
			       api_version, kind);
	return 0;
}

static void decode_take_issues(struct issues *is, struct schema_issue *list)
{
	for (struct schema_issue *i = list; i; i = i->next)
		if (is->v.n < DECODE_MAX_ISSUES)
			VEC_PUSH(&is->v, arena_strdup(is->arena, i->text));
	schema_issues_free(list);
}

struct issue_order { /* a walk along the body that finds each issue's place */
	struct req *r;
	struct issues *unknown, out;
	struct buf path;
};

/* Is issue `LEAD field "PATH"` about where the walk is? */
static bool issue_is_here(const struct issue_order *o, const char *issue, const char *lead)
{
	size_t n = strlen(lead);

	return issue && strncmp(issue, lead, n) == 0 && strncmp(issue + n, o->path.s, o->path.len) == 0 &&
	       streq(issue + n + o->path.len, "\"");
}

/* Of a field that is unknown and twice, only the first is said. */
static void issue_take(struct issue_order *o)
{
	bool known = true;

	for (size_t i = 0; i < o->unknown->v.n; i++) {
		if (!issue_is_here(o, o->unknown->v.v[i], "unknown field \""))
			continue;
		VEC_PUSH(&o->out.v, o->unknown->v.v[i]);
		o->unknown->v.v[i] = NULL;
		known = false;
	}
	for (size_t i = 0; i < o->r->parse_issues.n; i++) {
		if (!issue_is_here(o, o->r->parse_issues.v[i], "duplicate field \""))
			continue;
		if (known)
			VEC_PUSH(&o->out.v, o->r->parse_issues.v[i]);
		o->r->parse_issues.v[i] = NULL;
	}
}

static void issue_walk(struct issue_order *o, const struct node *n)
{
	size_t len = o->path.len, i = 0;

	if (len > ISSUE_PATH_MAX)
		return; /* those below come last */
	NODE_FOREACH(c, n) {
		if (node_is(n, DOC_OBJECT)) {
			buf_addf(&o->path, "%s%" STR_FMT, len ? "." : "", STR_ARG(node_key(c)));
			if (o->path.len <= ISSUE_PATH_MAX)
				issue_take(o);
		} else {
			buf_addf(&o->path, "[%zu]", i++);
		}
		issue_walk(o, c);
		buf_truncate(&o->path, len);
	}
}

/* What the type does not know and what the parser found twice, in the order of the text. */
static void issues_in_order(struct req *r, struct issues *is)
{
	struct issue_order o = { r, is, { r->arena, VEC_INIT }, BUF_INIT };

	issue_walk(&o, doc_root(r->parsed));
	for (size_t i = 0; i < is->v.n; i++)
		if (is->v.v[i])
			VEC_PUSH(&o.out.v, is->v.v[i]);
	for (size_t i = 0; i < r->parse_issues.n; i++)
		if (r->parse_issues.v[i])
			VEC_PUSH(&o.out.v, r->parse_issues.v[i]);
	buf_release(&o.path);
	VEC_RELEASE(&is->v);
	*is = o.out;
	r->parse_issues.n = 0;
	r->parsed = doc_unref(r->parsed);
}

/* The shape, by a resource or a type's name. */
static int decode_shape(struct req *r, const struct schema_res *res, const char *type, const char *kind, struct doc *d,
			struct err *e)
{
	struct schema_issue *list = NULL;
	struct schema_issue **want = decode_wants_issues(r) ? &list : NULL;
	struct issues is = { r->arena, VEC_INIT };
	const char *prefix = decode_prefix(r, &r->res->r, kind);
	int rc = type ? schema_decode_type(type, d, want, e) : schema_decode(res, d, want, e);

	for (size_t i = 0; decode_is_outcome(r) && i < r->parse_issues.n; i++)
		VEC_PUSH(&is.v, r->parse_issues.v[i]);
	decode_take_issues(&is, list);
	if (r->parsed)
		issues_in_order(r, &is);
	if (rc < 0) {
		_cleanup_free_ char *why = xstrdup(err_msg(e));

		if (decode_is_outcome(r))
			rc = decode_patch_invalid(r, doc_root(d), why + (starts_with(why, prefix) ? strlen(prefix) : 0), e);
		else
			rc = err_bad(e, "%s%s", starts_with(why, prefix) ? "" : prefix, why);
	} else {
		rc = decode_report(r, &is, doc_root(d), prefix, e);
	}
	VEC_RELEASE(&is.v);
	return rc;
}

int decode_doc(struct req *r, const struct schema_res *res, struct doc *d, struct err *e)
{
	if (!node_is(doc_root(d), DOC_OBJECT))
		return err_bad(e, "%sjson: cannot unmarshal into Go value of type %s.%s",
			       decode_prefix(r, &res->r, res->r.kind), res->r.version, res->r.kind);
	if (decode_check_type(res->r.api_version, res->r.kind, d, e) < 0)
		return -e->code;
	return decode_shape(r, res, NULL, res->r.kind, d, e);
}

/* The body of a subresource with a kind of its own. */
static int decode_typed(struct req *r, struct doc *d, struct err *e)
{
	const char *group = r->sub && r->sub->group ? r->sub->group : r->at.group;
	const char *version = r->sub && r->sub->version ? r->sub->version : r->at.version;
	const char *kind = decode_kind(r);
	const char *api_version = *group ? arena_printf(r->arena, "%s/%s", group, version) : version;

	if (!node_is(doc_root(d), DOC_OBJECT))
		return err_bad(e, "the object provided is unrecognized (must be of type %s)", kind);
	if (decode_check_type(api_version, kind, d, e) < 0)
		return -e->code;
	if (streq(kind, "Scale")) /* dropped versions have their own */
		return decode_shape(r, NULL, arena_printf(r->arena, "%s.Scale", api_version), kind, d, e);
	return decode_shape(r, NULL, r->handler->body_type, kind, d, e);
}

struct doc *req_take_body(struct req *r)
{
	struct doc *d;

	if (r->may_ask)
		return doc_clone(r->body);
	d = take_ptr(&r->body);
	if (!r->body_owned) {
		struct doc *copy = doc_clone(d);

		doc_unref(d);
		d = copy;
	}
	r->body_owned = false;
	return d;
}

int decode_body(struct req *r, struct err *e)
{
	const struct handler *h = r->handler;

	if (!h || !h->body || h->plain || (h->raw && r->verb != VERB_PATCH))
		return STEP_NEXT;
	if (r->head) {
		if (decode_raw(r, &r->body, e) < 0)
			return -e->code;
		r->body_owned = true;
	}
	if (!r->body || !doc_root(r->body))
		return err_bad(e, "the request has no body");
	if (h->raw)
		return STEP_NEXT;
	if (!r->body_owned) {
		r->body = req_take_body(r);
		r->body_owned = true;
	}
	return h->body_type ? decode_typed(r, r->body, e) : decode_doc(r, r->res, r->body, e);
}
