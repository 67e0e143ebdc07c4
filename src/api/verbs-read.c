/*
 * get and list, and the selectors that list, watch and deletecollection share.
 *
 * resourceVersion, as Kubernetes documents it: the store always answers with its
 * newest state, which satisfies "", "0" and NotOlderThan; a revision that does
 * not exist yet is 504 with retryAfterSeconds; Exact (and a limit with a
 * revision but no match, which means the same) reads the past from the store's
 * history, or 410.
 */
#include "api/internal.h"

int64_t parse_rv(const char *s)
{
	int64_t rv;

	if (str_empty(s))
		return 0;
	return str_to_i64(str_of(s), &rv) && rv >= 0 ? rv : -1;
}

/* --- filters --- */

static bool filter_is_meta(const char *path)
{
	return streq(path, "metadata.name") || streq(path, "metadata.namespace");
}

int filter_init(struct filter *f, const struct schema_res *res, const char *labels, const char *fields, struct err *e)
{
	*f = (struct filter){ .res = res, .meta_only = true };
	if (!str_empty(labels) && selector_parse(&f->labels, str_of(labels), e) < 0)
		goto bad;
	if (!str_empty(fields) && (fieldsel_parse(&f->fields, str_of(fields), e) < 0 ||
				   schema_check_fieldsel(res, f->fields, e) < 0))
		goto bad;
	if (f->labels && selector_is_everything(f->labels))
		f->labels = selector_free(f->labels);
	for (size_t i = 0; f->fields && i < f->fields->n; i++)
		f->meta_only &= filter_is_meta(f->fields->terms[i].path);
	f->everything = !f->labels && (!f->fields || !f->fields->n);
	return 0;
bad:
	filter_release(f);
	if (e->reason != ERR_BAD_REQUEST) {
		_cleanup_free_ char *text = xstrdup(err_msg(e));

		return err_bad(e, "%s", text);
	}
	return -e->code;
}

void filter_release(struct filter *f)
{
	f->labels = selector_free(f->labels);
	f->fields = fieldsel_free(f->fields);
}

static bool filter_match_meta(const struct filter *f, const struct obj *o)
{
	for (size_t i = 0; i < f->fields->n; i++) {
		const struct fieldsel_term *t = &f->fields->terms[i];
		const char *have = streq(t->path, "metadata.name") ? o->name : o->ns;

		if (filter_is_meta(t->path) && streq(t->value, have) == t->negate)
			return false;
	}
	return true;
}

/* Names first: they are at hand without the object's tree. Stored objects are seen through the version
 * asked for, whose field names may differ. */
bool filter_match(const struct filter *f, struct obj *o)
{
	if (f->everything)
		return true;
	if (f->fields && !filter_match_meta(f, o))
		return false;
	if (f->labels && !selector_match(f->labels, meta_labels(obj_node(o))))
		return false;
	if (f->fields && !f->meta_only) {
		_cleanup_obj_ struct obj *as = convert_obj(o, f->res);

		return schema_fieldsel_match(f->res, f->fields, obj_node(as));
	}
	return true;
}

static bool filter_match_cb(void *arg, struct obj *o)
{
	return filter_match(arg, o);
}

/* The one name that a selector admits, or NULL. */
static const char *filter_name(const struct filter *f)
{
	for (size_t i = 0; f->fields && i < f->fields->n; i++)
		if (streq(f->fields->terms[i].path, "metadata.name") && !f->fields->terms[i].negate)
			return f->fields->terms[i].value;
	return NULL;
}

/* --- get --- */

int check_rv_reached(struct req *r, int64_t rv, struct err *e)
{
	int64_t now = store_revision(r->api->store);
	int rc;

	if (rv < 0) {
		const char *kind = r->verb == VERB_GET ? "GetOptions" : "ListOptions";

		return err_invalid(e, "meta.k8s.io", kind, "", "FieldValueInvalid", "resourceVersion", "\"%.64s\": strconv.ParseUint: parsing \"%.64s\": invalid syntax",
				   r->opts.resource_version, r->opts.resource_version);
	}
	if (rv <= now)
		return 0;
	rc = err_set(e, ERR_TIMEOUT, "Too large resource version: %lld, current: %lld", (long long)rv, (long long)now);
	err_add_cause(e, "ResourceVersionTooLarge", "", "Too large resource version");
	e->retry_after_s = 1;
	return rc;
}

int act_get(struct req *r, struct err *e)
{
	struct obj *o;

	if (check_rv_reached(r, parse_rv(r->opts.resource_version), e) < 0)
		return -e->code;
	o = store_get(r->api->store, &r->st->r, r->st->r.namespaced ? r->at.ns : "", r->at.name);
	if (!o)
		return err_not_found(e, &r->res->r, r->at.name);
	if (convert_needs_hook(o, r->res) && !*r->at.subresource)
		return convert_req_obj(r, o, r->res, &r->obj, e) < 0 ? -e->code : STEP_DONE;
	r->obj = obj_ref(o);
	return STEP_DONE;
}

/* --- list --- */

static int64_t list_exact_rv(const struct call_opts *o, int64_t rv)
{
	bool exact = streq_null(o->resource_version_match, "Exact") ||
		     (str_empty(o->resource_version_match) && o->limit > 0);

	return exact && str_empty(o->continue_token) ? rv : 0;
}

/* A list of at most one object needs no walk. */
static bool list_by_name(struct req *r)
{
	const char *name = filter_name(&r->filter);
	struct obj *o;

	if (!name || (r->st->r.namespaced && !*r->at.ns) || r->list.at_rv || !str_empty(r->opts.continue_token))
		return false;
	o = store_get(r->api->store, &r->st->r, r->list.ns, name);
	r->list.rv = store_revision(r->api->store);
	r->list.remaining = -1;
	if (o && filter_match(&r->filter, o)) {
		r->list.objs = xmalloc(sizeof(o));
		r->list.objs[0] = obj_ref(o);
		r->list.n = 1;
	}
	return true;
}

int act_list(struct req *r, struct err *e)
{
	const struct call_opts *o = &r->opts;
	int64_t rv = parse_rv(o->resource_version);

	if (check_rv_reached(r, rv, e) < 0 ||
	    filter_init(&r->filter, r->res, o->label_selector, o->field_selector, e) < 0)
		return -e->code;
	if (!str_empty(o->continue_token) && rv > 0)
		return err_bad(e, "specifying resource version is not allowed when using continue");
	r->list = (struct store_list){
		.res = &r->st->r,
		.ns = r->st->r.namespaced ? r->at.ns : "",
		.limit = o->limit,
		.continue_token = o->continue_token,
		.at_rv = list_exact_rv(o, rv),
		.match = r->filter.everything ? NULL : filter_match_cb,
		.arg = &r->filter,
	};
	r->list_held = r->is_list = true;
	if (!list_by_name(r) && store_list(r->api->store, &r->list, e) < 0) {
		r->is_list = false;
		return -e->code;
	}
	if (convert_req_list(r, r->list.objs, r->list.n, r->res, e) < 0) {
		r->is_list = false;
		return -e->code;
	}
	return respond_list_start(r);
}
