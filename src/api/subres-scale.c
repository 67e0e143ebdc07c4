/*
 * The scale subresource: an autoscaling/v1 Scale as a window on spec.replicas of
 * what can be scaled. Reading makes one from the object; writing puts its
 * replicas back, under the object's own rules. Dropped versions of apps and
 * extensions had Scales of their own, whose status.selector is a map and whose
 * status.targetSelector is the text.
 */
#include "api/internal.h"
#include "schema/apply.h"

#include "schema/custom.h"

#define BIT(v) (1u << (v))
#define SCALE_GROUP "autoscaling"
#define SCALE_PATH "spec.replicas" /* in the object */

static void scale_selector(const struct node *root, struct buf *out)
{
	const struct node *sel = node_path(root, F_spec, F_selector);
	_cleanup_err_ struct err e = ERR_INIT;
	struct selector *s = NULL;

	if (node_get(sel, F_matchLabels) || node_get(sel, F_matchExpressions)) {
		if (selector_from_node(&s, sel, &e) < 0)
			return;
	} else {
		s = selector_from_map(sel);
	}
	if (s)
		selector_print(s, out);
	selector_free(s);
}

/* Where a custom resource has its replicas: subresources.scale of its definition. NULL: no custom resource. */
static const struct node *scale_paths(const struct req *r, const struct obj *o)
{
	const struct schema_res *res = (const struct schema_res *)o->res;
	const struct node *paths = res->custom && res->custom->crd ? schema_custom_scale(res->custom) : NULL;

	return paths || !r->res->custom ? paths : schema_custom_scale(r->res->custom);
}

/* Where the replicas are in the object, without a dot before it. */
static const char *scale_path(const struct req *r, const struct obj *o)
{
	const struct node *paths = scale_paths(r, o);
	const char *path = node_gets(paths, F_specReplicasPath);

	return !paths ? SCALE_PATH : path + (*path == '.');
}

static void scale_put_custom(struct doc *d, struct node *root, const struct node *from, const struct node *paths)
{
	const char *spec = node_gets(paths, F_specReplicasPath), *status = node_gets(paths, F_statusReplicasPath);
	const char *selector = node_gets(paths, F_labelSelectorPath);
	struct node *to = node_need_object(d, root, F_status);

	node_seti(d, node_need_object(d, root, F_spec), F_replicas, node_int(schema_path_get(from, spec), 0));
	node_seti(d, to, F_replicas, node_int(schema_path_get(from, status), 0));
	if (*selector && node_str(schema_path_get(from, selector)).n)
		node_sets(d, to, F_selector, node_cstr(schema_path_get(from, selector)));
}

/* The selector as the request's Scale has it. */
static void scale_put_selector(struct req *r, struct doc *d, struct node *status, const struct node *from)
{
	const struct node *sel = node_path(from, F_spec, F_selector), *map = node_get(sel, F_matchLabels);
	bool own = !streq(r->sub->group, SCALE_GROUP);
	_cleanup_buf_ struct buf text = BUF_INIT;

	scale_selector(from, &text);
	if (text.len)
		node_sets(d, status, own ? F_targetSelector : F_selector, text.s);
	if (own && map && !node_count(node_get(sel, F_matchExpressions)))
		node_set(d, status, F_selector, node_copy(d, map));
}

/* managers: with managedFields, of those who own the number. */
static struct doc *scale_make(struct req *r, struct obj *o, bool managers)
{
	static const enum field kept[] = { F_name, F_namespace, F_uid, F_resourceVersion, F_creationTimestamp };
	const struct node *from = obj_node(o);
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta, *status;

	doc_set_root(d, root);
	node_sets(d, root, F_kind, "Scale");
	node_set(d, root, F_apiVersion, node_new_fmt(d, "%s/%s", r->sub->group, r->sub->version));
	meta = node_need_object(d, root, F_metadata);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (node_get(meta_of(from), kept[i]))
			node_set(d, meta, kept[i], node_copy(d, node_get(meta_of(from), kept[i])));
	if (scale_paths(r, o)) {
		scale_put_custom(d, root, from, scale_paths(r, o));
		if (managers)
			managed_to_scale(d, from, scale_path(r, o));
		return d;
	}
	node_seti(d, node_need_object(d, root, F_spec), F_replicas, node_int(node_path(from, F_spec, F_replicas), 1));
	status = node_need_object(d, root, F_status);
	node_seti(d, status, F_replicas, node_int(node_path(from, F_status, F_replicas), 0));
	scale_put_selector(r, d, status, from);
	if (managers)
		managed_to_scale(d, from, SCALE_PATH);
	return d;
}

static void scale_answer(struct req *r)
{
	struct obj *o = r->obj;
	struct doc *d = scale_make(r, o, false);

	r->obj = obj_new(&r->res->r, d, o->rv);
	r->obj_res = r->res; /* what is in it is of no version */
	doc_unref(d);
	obj_unref(o);
}

static int act_scale_get(struct req *r, struct err *e)
{
	int step = act_get(r, e);
	const struct node *paths = step >= 0 ? scale_paths(r, r->obj) : NULL;

	if (paths && !schema_path_get(obj_node(r->obj), node_gets(paths, F_specReplicasPath)))
		return err_set(e, ERR_INTERNAL, "Internal error occurred: the spec replicas field \"%s\" does not exist",
			       node_gets(paths, F_specReplicasPath));
	if (step >= 0)
		scale_answer(r);
	return step;
}

static int scale_invalid(struct req *r, const char *field, struct err *e, const char *detail)
{
	return err_invalid(e, "autoscaling", "Scale", r->at.name, "FieldValueInvalid", field, "%s", detail);
}

static const char *scale_type(struct req *r)
{
	return arena_printf(r->arena, "%s/%s.Scale", r->sub->group, r->sub->version);
}

/* The Scale that the request makes of old, with its managers. */
static int scale_wanted(struct req *r, struct obj *old, struct doc **ret, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	if (req_is_patch_apply(r)) {
		if (managed_merge_scale(r, scale_type(r), obj_node(old), &d, e) < 0 || schema_decode_type(scale_type(r), d, NULL, e) < 0)
			return -e->code;
		*ret = take_ptr(&d);
		return 0;
	}
	if (r->verb == VERB_UPDATE) {
		d = take_ptr(&r->doc);
	} else {
		d = doc_clone(obj_doc(old));
		if (r->opts.patch_type == PATCH_STRATEGIC && node_is(doc_root(r->body), DOC_OBJECT))
			doc_patch_merge(d, doc_root(r->body)); /* a Scale has no lists: the same thing */
		else if (apply_patch(r, r->res, d, e) < 0)
			return -e->code;
		if (schema_decode_type(scale_type(r), d, NULL, e) < 0)
			return -e->code;
	}
	managed_track_scale(r, scale_type(r), obj_node(old), d);
	*ret = take_ptr(&d);
	return 0;
}

static int scale_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *scale = NULL, *old_scale = NULL;
	_cleanup_obj_ struct obj *old = NULL;
	const struct node *meta;
	int64_t replicas;
	struct doc *d;

	if (!cur)
		return err_not_found(e, &r->res->r, r->at.name);
	old_scale = scale_make(r, cur, true);
	old = obj_new(&r->res->r, old_scale, cur->rv);
	if (scale_wanted(r, old, &scale, e) < 0)
		return -e->code;
	if (admit_mutate(r, scale, old, e) < 0 || admit_validate(r, scale, old, e) < 0)
		return -e->code;
	meta = meta_of(doc_root(scale));
	replicas = node_int(node_path(doc_root(scale), F_spec, F_replicas), 0);
	if (!streq(node_gets(meta, F_name), r->at.name))
		return err_bad(e, "the name of the object (%s) does not match the name on the URL (%s)",
			       node_gets(meta, F_name), r->at.name);
	if (*node_gets(meta, F_uid) && !streq(node_gets(meta, F_uid), cur->uid))
		return err_conflict(e, &r->res->r, r->at.name,
				    "Precondition failed: UID in precondition: %s, UID in object meta: %s",
				    node_gets(meta, F_uid), cur->uid);
	if (replicas < 0)
		return scale_invalid(r, "spec.replicas", e,
				     arena_printf(r->arena, "%lld: must be greater than or equal to 0",
						  (long long)replicas));
	d = doc_clone(obj_doc(cur));
	if (!scale_paths(r, cur))
		node_seti(d, node_need_object(d, doc_root(d), F_spec), F_replicas, replicas);
	else if (!schema_path_set(d, scale_path(r, cur), node_new_int(d, replicas)))
		return scale_invalid(r, "spec.replicas", e, "the object has no place for it");
	managed_from_scale(d, doc_root(scale), r->res->r.api_version, scale_path(r, cur));
	if (*node_gets(meta, F_resourceVersion))
		node_sets(d, node_get(doc_root(d), F_metadata), F_resourceVersion, node_gets(meta, F_resourceVersion));
	r->at.subresource = ""; /* from here on it is an update of the object */
	r->hooks_done = true;
	return write_update(r, cur, d, out, remove, e);
}

static int act_scale_write(struct req *r, struct err *e)
{
	if (r->verb == VERB_UPDATE)
		r->doc = req_take_body(r);
	r->mutate = scale_mutate;
	r->stored = scale_answer;
	return req_store(r, r->at.ns, r->at.name, e);
}

const struct handler subres_scale_handlers[] = {
	{ NULL, NULL, "scale", BIT(VERB_GET), act_scale_get },
	{ NULL, NULL, "scale", BIT(VERB_UPDATE), act_scale_write, .body = true, .body_type = "autoscaling/v1.Scale" },
	{ NULL, NULL, "scale", BIT(VERB_PATCH), act_scale_write, .body = true, .raw = true },
	{ 0 },
};
