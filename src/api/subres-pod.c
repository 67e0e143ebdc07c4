/*
 * Subresources that change a pod in one place only: binding, ephemeralcontainers,
 * resize. (eviction: eviction.c; log, exec and the like: stream.c.)
 *
 * A binding is the scheduler's decision: it sets spec.nodeName once, and the
 * condition PodScheduled; its answer is a Status. The other two take one part of
 * the pod's spec from the body and leave the rest as it is.
 */
#include "api/internal.h"

#define BIT(v) (1u << (v))

/* --- binding --- */

static int binding_conflict(struct req *r, struct err *e, const char *fmt, ...) ATTR_PRINTF(3, 4);
static int binding_conflict(struct req *r, struct err *e, const char *fmt, ...)
{
	struct resource as = r->api->pods->r;
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	as.plural = "pods/binding";
	return err_conflict(e, &as, r->at.name, "%s", text);
}

static int binding_check(struct req *r, struct obj *cur, const struct node *body, struct err *e)
{
	const struct node *root = obj_node(cur), *spec = node_get(root, F_spec);
	const char *uid = meta_uid(body);

	if (*uid && !streq(uid, cur->uid))
		return binding_conflict(r, e, "Precondition failed: UID in precondition: %s, UID in object meta: %s", uid,
					cur->uid);
	if (meta_is_deleting(root))
		return binding_conflict(r, e, "pod %s is being deleted, cannot be assigned to a host", r->at.name);
	if (*node_gets(spec, F_nodeName))
		return binding_conflict(r, e, "pod %s is already assigned to node \"%s\"", r->at.name,
					node_gets(spec, F_nodeName));
	if (node_count(node_get(spec, F_schedulingGates)))
		return binding_conflict(r, e, "pod %s has non-empty .spec.schedulingGates", r->at.name);
	return 0;
}

static void binding_merge(struct doc *d, const struct node *body, enum field f)
{
	const struct node *from = node_get(meta_of(body), f);

	if (!node_count(from))
		return;
	NODE_FOREACH(n, from)
		node_setk(d, node_need_object(d, node_get(doc_root(d), F_metadata), f), node_key(n), node_copy(d, n));
}

static int binding_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *binding = NULL;
	const struct node *body;
	struct node *root, *status;
	struct doc *d;

	if (write_admit_body(r, &binding, e) < 0)
		return -e->code;
	body = doc_root(binding);
	if (!cur)
		return err_not_found(e, &r->api->pods->r, r->at.name);
	if (binding_check(r, cur, body, e) < 0)
		return -e->code;
	d = doc_clone(obj_doc(cur));
	root = doc_root(d);
	node_sets(d, node_need_object(d, root, F_spec), F_nodeName, node_gets(node_get(body, F_target), F_name));
	binding_merge(d, body, F_annotations);
	binding_merge(d, body, F_labels);
	status = node_need_object(d, root, F_status);
	cond_set(d, node_need_array(d, status, F_conditions), "PodScheduled", "True", NULL, NULL);
	*out = d;
	return 0;
}

static int act_binding(struct req *r, struct err *e)
{
	const struct node *body = doc_root(r->body), *target = node_get(body, F_target);
	const char *kind = node_gets(target, F_kind);

	if (!*r->at.name) /* POST .../bindings names the pod in the body */
		r->at.name = arena_strdup(r->arena, meta_name(body));
	if (!*node_gets(target, F_name))
		return err_invalid(e, NULL, "Binding", r->at.name, "FieldValueRequired", "target.name", "%s", "");
	if (*kind && !streq(kind, "Node"))
		return err_invalid(e, NULL, "Binding", r->at.name, "FieldValueNotSupported", "target.kind",
				   "\"%.64s\": supported values: \"Node\", \"<empty>\"", kind);
	r->at.resource = "pods";
	r->at.subresource = "binding";
	r->res = r->st = r->api->pods;
	r->sub = schema_subres(r->res, STR_LIT("binding"));
	r->mutate = binding_mutate;
	r->status = 201;
	r->success_status = true;
	return req_store(r, r->at.ns, r->at.name, e);
}

/* --- one part of the pod's spec from the body --- */

static void take_ephemeral(struct doc *d, const struct node *from)
{
	struct node *spec = node_need_object(d, doc_root(d), F_spec);
	const struct node *list = node_path(from, F_spec, F_ephemeralContainers);

	if (list)
		node_set(d, spec, F_ephemeralContainers, node_copy(d, list));
	else
		node_remove(spec, F_ephemeralContainers);
}

static void take_resources_of(struct doc *d, enum field list, const struct node *from)
{
	NODE_FOREACH(c, node_path(doc_root(d), F_spec, list))
		NODE_FOREACH(f, node_path(from, F_spec, list)) {
			if (!streq(node_gets(c, F_name), node_gets(f, F_name)))
				continue;
			if (node_get(f, F_resources))
				node_set(d, c, F_resources, node_copy(d, node_get(f, F_resources)));
			if (node_get(f, F_resizePolicy))
				node_set(d, c, F_resizePolicy, node_copy(d, node_get(f, F_resizePolicy)));
		}
}

static void take_resources(struct doc *d, const struct node *from)
{
	take_resources_of(d, F_containers, from);
	take_resources_of(d, F_initContainers, from);
}

/* from: the pod as the request wants it. Only its part is taken. */
static int part_update(struct req *r, struct obj *cur, struct doc *from_take, struct doc **out, struct err *e)
{
	_cleanup_doc_ struct doc *from = from_take;
	_cleanup_doc_ struct doc *d = NULL;
	const char *rv = node_gets(meta_of(doc_root(from)), F_resourceVersion);

	if (*rv && parse_rv(rv) != cur->rv)
		return err_modified(e, &r->res->r, r->at.name);
	schema_default(r->res, from);
	d = doc_clone(obj_doc(cur));
	if (streq(r->at.subresource, "resize"))
		take_resources(d, doc_root(from));
	else
		take_ephemeral(d, doc_root(from));
	if (req_is_patch_apply(r))
		managed_copy(d, doc_root(from));
	else
		managed_track(r, cur, d);
	if (admit_mutate(r, d, cur, e) < 0)
		return -e->code;
	schema_prepare(r->st, d, obj_node(cur), r->at.subresource);
	if (schema_validate(r->st, doc_root(d), obj_node(cur), r->at.subresource, e) < 0 ||
	    admit_validate(r, d, cur, e) < 0)
		return -e->code;
	if (!managed_unchanged(d, obj_node(cur)))
		*out = take_ptr(&d);
	return 0;
}

static int part_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	if (!cur)
		return err_not_found(e, &r->res->r, r->at.name);
	if (r->verb == VERB_UPDATE)
		return part_update(r, cur, take_ptr(&r->doc), out, e);
	if (req_is_patch_apply(r)) {
		if (managed_merge(r, cur, &d, e) < 0)
			return -e->code;
	} else {
		d = doc_clone(obj_doc(cur));
		if (apply_patch(r, r->res, d, e) < 0)
			return -e->code;
	}
	if (decode_doc(r, r->res, d, e) < 0)
		return -e->code;
	return part_update(r, cur, take_ptr(&d), out, e);
}

static int act_part(struct req *r, struct err *e)
{
	if (r->verb == VERB_UPDATE) {
		r->doc = req_take_body(r);
		if (!streq(meta_name(doc_root(r->doc)), r->at.name))
			return err_bad(e, "the name of the object (%s) does not match the name on the URL (%s)",
				       meta_name(doc_root(r->doc)), r->at.name);
	}
	r->mutate = part_mutate;
	return req_store(r, r->at.ns, r->at.name, e);
}

const struct handler subres_pod_handlers[] = {
	{ "", "pods", "binding", BIT(VERB_CREATE), act_binding, .body = true, .body_type = "core/v1.Binding" },
	{ "", "bindings", "", BIT(VERB_CREATE), act_binding, .body = true },
	{ "", "pods", "eviction", BIT(VERB_CREATE), act_eviction, .body = true, .body_type = "policy/v1.Eviction" },
	{ "", "pods", "ephemeralcontainers", BIT(VERB_GET), act_get },
	{ "", "pods", "ephemeralcontainers", BIT(VERB_UPDATE), act_part, .body = true },
	{ "", "pods", "ephemeralcontainers", BIT(VERB_PATCH), act_part, .body = true, .raw = true },
	{ "", "pods", "resize", BIT(VERB_GET), act_get },
	{ "", "pods", "resize", BIT(VERB_UPDATE), act_part, .body = true },
	{ "", "pods", "resize", BIT(VERB_PATCH), act_part, .body = true, .raw = true },
	{ 0 },
};
