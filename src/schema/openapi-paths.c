/*
 * The paths of the OpenAPI documents: which URL takes which method, with which
 * parameters, about which kind.
 *
 * Clients look here for the operation whose x-kubernetes-group-version-kind is
 * theirs, and read from its parameters whether dryRun, fieldValidation and
 * fieldManager are understood. Query parameters are the fields of the option
 * types (meta/v1.ListOptions, PodLogOptions, ...) in the type tables. Version 2
 * writes each once and refers to it; version 3 repeats them, because kubectl
 * does not follow references there.
 */
#include "schema/openapi.h"
#include "schema/crd.h"

#include <ctype.h>

/* One method of one path. */
struct oa_op {
	const struct schema_res *r;
	const struct schema_subres *sub;	 /* NULL: the resource itself */
	const char *method;			 /* "get" */
	unsigned number;			 /* PATH_GET */
	const char *action;			 /* x-kubernetes-action */
	const char *verb;			 /* of the operation's id */
	const char *options[2];			 /* types whose fields are query parameters; NULL: none */
	const struct schema_type *body, *answer; /* NULL: none; a string; oa_own: a custom resource's */
	bool everywhere;			 /* a namespaced resource, of all namespaces */
};

/* Stand for the definitions of a custom resource and of its list. */
static const struct schema_type oa_own, oa_own_list;

static void oa_op_ref(struct oa *w, const struct oa_op *op, const struct schema_type *t)
{
	if (t == &oa_own || t == &oa_own_list)
		crd_oa_ref(w, op->r, t == &oa_own_list);
	else
		oa_ref(w, t);
}

static const struct schema_type *oa_type_named(const char *group, const char *version, const char *kind,
					       const char *suffix)
{
	_cleanup_buf_ struct buf name = BUF_INIT;

	buf_addf(&name, "%s/%s.%s%s", *group ? group : "core", version, kind, suffix);
	return schema_type_find(buf_str(&name));
}

static const struct schema_type *oa_meta_type(const char *kind)
{
	const struct schema_type *t = oa_type_named("meta", "v1", kind, "");

	BUG_ON(!t);
	return t;
}

/* --- parameters --- */
static bool oa_is_parameter(const struct schema_field *f)
{
	/* Objects do not go into a query; and sharded lists are an alpha feature that is not there. */
	return f->name != F_kind && f->name != F_apiVersion && f->kind != SK_REF &&
	       f->name != F_shardSelector;
}

static const char *oa_parameter_type(const struct schema_field *f)
{
	const char *type = f->shape == SH_ONE ? oa_scalar_type(f->kind) : NULL;

	return type ? type : "string";
}

/* The members of a parameter object; the object is open. */
static void oa_parameter(struct oa *w, const char *name, const char *where, const char *desc,
			 const char *type, bool unique)
{
	bool path = streq(where, "path");

	oa_text(w, "name", PARAM_NAME, name);
	oa_text(w, "in", PARAM_IN, where);
	oa_text(w, "description", PARAM_DESCRIPTION, desc);
	if (path)
		oa_true(w, "required", PARAM_REQUIRED);
	if (w->form == OA_V3)
		oa_open(w, "schema", NULL);
	oa_text(w, "type", path ? PATH_TYPE : QUERY_TYPE, type);
	if (unique || path)
		oa_true(w, "uniqueItems", path ? PATH_UNIQUE : QUERY_UNIQUE);
	if (w->form == OA_V3)
		oa_close(w);
}

static void oa_parameter_ref(struct oa *w, unsigned n, const char *name, const char *type)
{
	oa_open_element(w, OA_N(n, ITEM_REF));
	buf_clear(&w->text);
	buf_addf(&w->text, "#/parameters/%s%s%s", name, *type ? "-" : "", type);
	oa_text(w, "$ref", S_REF, w->text.s);
	oa_close(w);
}

static void oa_query(struct oa *w, const struct schema_type *t)
{
	const struct schema_field *f = schema_type_fields(t);

	for (unsigned i = 0; i < t->n_fields; i++) {
		if (!oa_is_parameter(&f[i]))
			continue;
		if (w->form != OA_V3) {
			oa_parameter_ref(w, OP_PARAMETERS, doc_field_name(f[i].name), schema_type_base(t));
			continue;
		}
		oa_open_element(w, NULL);
		oa_parameter(w, doc_field_name(f[i].name), "query", SCHEMA_STR(f[i].desc),
			     oa_parameter_type(&f[i]), f[i].shape == SH_LIST);
		oa_close(w);
	}
}

static void oa_query_definitions(struct oa *w, const struct schema_type *t)
{
	const struct schema_field *f = schema_type_fields(t);

	for (unsigned i = 0; i < t->n_fields; i++) {
		_cleanup_buf_ struct buf name = BUF_INIT;

		if (!oa_is_parameter(&f[i]))
			continue;
		buf_addf(&name, "%s-%s", doc_field_name(f[i].name), schema_type_base(t));
		oa_open_entry(w, name.s, MAP_ENTRY, OA_N(PARAMETER_OTHER, OTHER_QUERY));
		oa_parameter(w, doc_field_name(f[i].name), "query", SCHEMA_STR(f[i].desc),
			     oa_parameter_type(&f[i]), f[i].shape == SH_LIST);
		oa_close(w);
	}
}

/* Those that belong to a path, whatever the method. */
static const struct {
	const char *name, *where, *desc;
} oa_path_parameters[] = {
	{"name", "path", "The name of the object."},
	{"namespace", "path", "The namespace of the object."},
	{"path", "path", "The rest of the URL, passed on."},
	{"pretty", "query", "'true': the answer is indented."},
};
enum { OA_NAME = 1, OA_NAMESPACE = 2, OA_PATH = 4, OA_PRETTY = 8 };

static void oa_path_level(struct oa *w, unsigned which)
{
	oa_open_list(w, "parameters");
	for (size_t i = 0; i < ARRAY_SIZE(oa_path_parameters); i++) {
		if (!(which & 1u << i))
			continue;
		if (w->form != OA_V3) {
			oa_parameter_ref(w, PATH_PARAMETERS, oa_path_parameters[i].name, "");
			continue;
		}
		oa_open_element(w, NULL);
		oa_parameter(w, oa_path_parameters[i].name, oa_path_parameters[i].where,
			     oa_path_parameters[i].desc, "string", true);
		oa_close(w);
	}
	oa_close_list(w);
}

void oa_parameters(struct oa *w)
{
	static const char *const meta[] = {"ListOptions", "CreateOptions", "UpdateOptions", "PatchOptions",
					   "DeleteOptions"};
	static const char *const core[] = {"PodLogOptions",	    "PodExecOptions",  "PodAttachOptions",
					   "PodPortForwardOptions", "PodProxyOptions", "NodeProxyOptions",
					   "ServiceProxyOptions"};

	for (size_t i = 0; i < ARRAY_SIZE(oa_path_parameters); i++) {
		bool path = streq(oa_path_parameters[i].where, "path");

		oa_open_entry(w, oa_path_parameters[i].name, MAP_ENTRY,
			      OA_N(PARAMETER_OTHER, path ? OTHER_PATH : OTHER_QUERY));
		oa_parameter(w, oa_path_parameters[i].name, oa_path_parameters[i].where,
			     oa_path_parameters[i].desc, "string", true);
		oa_close(w);
	}
	for (size_t i = 0; i < ARRAY_SIZE(meta); i++)
		oa_query_definitions(w, oa_meta_type(meta[i]));
	for (size_t i = 0; i < ARRAY_SIZE(core); i++)
		oa_query_definitions(w, oa_type_named("core", "v1", core[i], ""));
}

/* --- one operation --- */
/* "autoscaling" -> "Autoscaling", "rbac.authorization.k8s.io" -> "RbacAuthorization", "" -> "Core" */
static void oa_group_camel(struct buf *b, const char *group)
{
	struct str rest = str_of(*group ? group : "core");

	if (str_ends(rest, STR_LIT(".k8s.io")))
		rest.n -= sizeof(".k8s.io") - 1;
	while (rest.p) {
		struct str part = str_cut(&rest, '.');

		if (!part.n)
			continue;
		buf_addch(b, (char)toupper((unsigned char)part.p[0]));
		buf_add(b, part.p + 1, part.n - 1);
	}
}

static void oa_capital(struct buf *b, const char *s)
{
	if (!*s)
		return;
	buf_addch(b, (char)toupper((unsigned char)*s));
	buf_adds(b, s + 1);
}

static void oa_operation_id(struct oa *w, const struct oa_op *op, const char *tail)
{
	const struct resource *r = &op->r->r;
	bool collection = streq(op->action, "deletecollection"), connect = streq(op->action, "connect");
	struct buf *b = &w->text;

	buf_clear(b);
	buf_adds(b, op->verb);
	oa_group_camel(b, r->group);
	oa_capital(b, r->version);
	if (collection)
		buf_adds(b, "Collection");
	if (connect)
		oa_capital(b, op->method);
	if (r->namespaced && !op->everywhere)
		buf_adds(b, "Namespaced");
	buf_adds(b, r->kind);
	oa_capital(b, op->sub ? op->sub->name : "");
	if (op->everywhere)
		buf_adds(b, "ForAllNamespaces");
	buf_adds(b, tail);
	oa_text(w, "operationId", OP_ID, b->s);
}

static void oa_body(struct oa *w, const struct oa_op *op)
{
	if (w->form == OA_V3) {
		oa_open(w, "requestBody", NULL);
		oa_open(w, "content", NULL);
		oa_open(w, "*/*", NULL);
		oa_open(w, "schema", NULL);
		oa_op_ref(w, op, op->body);
		oa_close(w);
		oa_close(w);
		oa_close(w);
		oa_close(w);
		return;
	}
	oa_open_element(w, OA_N(OP_PARAMETERS, ITEM_PARAMETER, PARAMETER_BODY));
	oa_text(w, "name", BODY_NAME, "body");
	oa_text(w, "in", BODY_IN, "body");
	oa_true(w, "required", BODY_REQUIRED);
	oa_open(w, "schema", OA_N(BODY_SCHEMA));
	oa_op_ref(w, op, op->body);
	oa_close(w);
	oa_close(w);
}

static void oa_response(struct oa *w, const char *code, const char *desc, const struct oa_op *op)
{
	oa_open_entry(w, code, RESPONSES_CODE, OA_N(VALUE_RESPONSE));
	oa_text(w, "description", RESPONSE_DESCRIPTION, desc);
	if (op && w->form == OA_V3) {
		oa_open(w, "content", NULL);
		oa_open(w, op->answer ? "application/json" : "text/plain", NULL);
	}
	if (op) {
		oa_open(w, "schema", OA_N(RESPONSE_SCHEMA, SCHEMA_ITEM));
		if (op->answer)
			oa_op_ref(w, op, op->answer);
		else
			oa_type(w, "string");
		oa_close(w);
	}
	if (op && w->form == OA_V3) {
		oa_close(w);
		oa_close(w);
	}
	oa_close(w);
}

static void oa_responses(struct oa *w, const struct oa_op *op)
{
	oa_open(w, "responses", OA_N(OP_RESPONSES));
	oa_response(w, "200", "OK", op);
	if (streq(op->action, "post") || streq(op->action, "put") || streq(op->action, "patch"))
		oa_response(w, "201", "Created", op);
	if (streq(op->action, "post") || streq(op->action, "delete"))
		oa_response(w, "202", "Accepted", op);
	oa_response(w, "401", "Unauthorized", NULL);
	oa_close(w);
}

static void oa_media(struct oa *w, const struct oa_op *op)
{
	static const char *const patches[] = {"application/json-patch+json", "application/merge-patch+json",
					      "application/strategic-merge-patch+json",
					      "application/apply-patch+yaml"};

	if (w->form == OA_V3)
		return;
	oa_open_list(w, "consumes");
	if (streq(op->action, "patch"))
		for (size_t i = 0; i < ARRAY_SIZE(patches); i++) {
			if (!op->r->custom || !strstr(patches[i], "strategic"))
				oa_string(w, OP_CONSUMES, patches[i]);
		}
	else
		oa_string(w, OP_CONSUMES, "*/*");
	oa_close_list(w);
	oa_open_list(w, "produces");
	oa_string(w, OP_PRODUCES, op->answer ? "application/json" : "text/plain");
	if (streq(op->action, "list"))
		oa_string(w, OP_PRODUCES, "application/json;stream=watch");
	oa_close_list(w);
}

static void oa_operation_gvk(struct oa *w, const struct oa_op *op)
{
	const struct schema_subres *s = op->sub;
	const struct resource *r = &op->r->r;

	oa_ext_gvk(w, OP_EXT, str_of(s && s->version ? s->group : r->group),
		   str_of(s && s->version ? s->version : r->version), s ? s->kind : r->kind, false);
}

static void oa_operation(struct oa *w, const struct oa_op *op, const char *tail)
{
	const struct resource *r = &op->r->r;

	oa_open(w, op->method, OA_N(op->number));
	oa_open_list(w, "tags");
	buf_clear(&w->text);
	oa_group_camel(&w->text, r->group);
	w->text.s[0] = (char)tolower((unsigned char)w->text.s[0]);
	buf_addf(&w->text, "_%s", r->version);
	oa_string(w, OP_TAGS, w->text.s);
	oa_close_list(w);
	buf_clear(&w->text);
	buf_addf(&w->text, "%s %s%s%s", op->verb, r->kind, op->sub ? " " : "", op->sub ? op->sub->name : "");
	oa_text(w, "description", OP_DESCRIPTION, w->text.s);
	oa_operation_id(w, op, tail);
	oa_media(w, op);
	if (op->options[0] || (op->body && w->form != OA_V3)) {
		oa_open_list(w, "parameters");
		if (op->body && w->form != OA_V3)
			oa_body(w, op);
		for (size_t i = 0; i < ARRAY_SIZE(op->options) && op->options[i]; i++)
			oa_query(w, schema_type_find(str_of(op->options[i])));
		oa_close_list(w);
	}
	if (op->body && w->form == OA_V3)
		oa_body(w, op);
	oa_responses(w, op);
	buf_clear(&w->text);
	buf_addf(&w->text, "\"%s\"", op->action);
	oa_ext(w, OP_EXT, "x-kubernetes-action", w->text.s);
	oa_operation_gvk(w, op);
	oa_close(w);
}

/* --- paths --- */
/* A method of a path; the path has it when the verb is among those of the resource. */
struct oa_method {
	unsigned verb;
	const char *method, *action, *id;
	unsigned number;
	bool takes_object; /* the body is the kind itself */
	const char *options[2];
};

/* clang-format off */
static const struct oa_method oa_collection_methods[] = {
	{ SV_LIST, "get", "list", "list", PATH_GET, false, { "meta/v1.ListOptions" } },
	{ SV_CREATE, "post", "post", "create", PATH_POST, true, { "meta/v1.CreateOptions" } },
	{ SV_DELETECOLLECTION, "delete", "deletecollection", "delete", PATH_DELETE, false,
	  { "meta/v1.DeleteOptions", "meta/v1.ListOptions" } },
};

static const struct oa_method oa_item_methods[] = {
	{ SV_GET, "get", "get", "read", PATH_GET, false, { NULL } },
	{ SV_UPDATE, "put", "put", "replace", PATH_PUT, true, { "meta/v1.UpdateOptions" } },
	/* only subresources: pods/eviction */
	{ SV_CREATE, "post", "post", "create", PATH_POST, true, { "meta/v1.CreateOptions" } },
	{ SV_DELETE, "delete", "delete", "delete", PATH_DELETE, false, { "meta/v1.DeleteOptions" } },
	{ SV_PATCH, "patch", "patch", "patch", PATH_PATCH, false, { "meta/v1.PatchOptions" } },
};
/* clang-format on */

static void oa_method_bodies(struct oa_op *op, const struct schema_type *type, bool takes_object)
{
	bool deletes = streq(op->method, "delete");

	op->answer = deletes ? oa_meta_type("Status") : type;
	op->body = takes_object			? type
		   : deletes			? oa_meta_type("DeleteOptions")
		   : streq(op->method, "patch") ? oa_meta_type("Patch")
						: NULL;
	if (streq(op->action, "list") && op->r->custom)
		op->answer = &oa_own_list;
	else if (streq(op->action, "list"))
		op->answer = oa_type_named(op->r->r.group, op->r->r.version, op->r->r.list_kind, "");
}

static void oa_methods(struct oa *w, const struct schema_res *r, const struct schema_subres *sub,
		       const struct oa_method *m, size_t n, unsigned verbs, bool everywhere)
{
	const struct schema_type *type = r->custom ? &oa_own : r->type;

	if (sub && !(r->custom && !sub->version))
		type = oa_type_named(sub->version ? sub->group : r->r.group,
				     sub->version ? sub->version : r->r.version, sub->kind, "");
	for (size_t i = 0; i < n; i++) {
		struct oa_op op = {.r = r,
				   .sub = sub,
				   .method = m[i].method,
				   .number = m[i].number,
				   .action = m[i].action,
				   .verb = m[i].id,
				   .options = {m[i].options[0], m[i].options[1]},
				   .everywhere = everywhere};

		if (!(verbs & m[i].verb))
			continue;
		oa_method_bodies(&op, type, m[i].takes_object);
		if (sub && streq(sub->name, "log")) {
			op.options[0] = "core/v1.PodLogOptions";
			op.answer = NULL;
		}
		oa_operation(w, &op, "");
	}
}

/* exec, attach, port-forward, proxy: every method passes the connection on. */
static void oa_connect(struct oa *w, const struct schema_res *r, const struct schema_subres *sub,
		       const char *tail)
{
	_cleanup_buf_ struct buf options = BUF_INIT;

	buf_addf(&options, "core/v1.%s", sub->kind);
	for (size_t i = 0; i < ARRAY_SIZE(oa_item_methods); i++) {
		const struct oa_method *m = &oa_item_methods[i];
		struct oa_op op = {.r = r,
				   .sub = sub,
				   .method = m->method,
				   .number = m->number,
				   .action = "connect",
				   .verb = "connect",
				   .options = {options.s}};

		if (sub->verbs & m->verb)
			oa_operation(w, &op, tail);
	}
}

/* "/api/v1/namespaces/{namespace}/pods" */
static void oa_path_text(struct buf *b, const struct resource *r, bool everywhere)
{
	buf_clear(b);
	buf_addf(b, "/%s/%s/", *r->group ? "apis" : "api", r->api_version);
	if (r->namespaced && !everywhere)
		buf_adds(b, "namespaces/{namespace}/");
	buf_adds(b, r->plural);
}

static void oa_subresource_paths(struct oa *w, const struct schema_res *r, struct buf *path, unsigned level)
{
	size_t len = path->len;

	for (size_t i = 0; i < r->n_subres; i++) {
		const struct schema_subres *s = &r->subres[i];
		bool connect = ends_with(s->kind, "Options");

		buf_truncate(path, len);
		buf_addf(path, "/%s", s->name);
		oa_open_entry(w, path->s, PATHS_PATH, NULL);
		if (connect)
			oa_connect(w, r, s, "");
		else
			oa_methods(w, r, s, oa_item_methods, ARRAY_SIZE(oa_item_methods), s->verbs, false);
		oa_path_level(w, level | (connect ? 0 : OA_PRETTY));
		oa_close(w);
		if (!streq(s->name, "proxy"))
			continue;
		buf_adds(path, "/{path}");
		oa_open_entry(w, path->s, PATHS_PATH, NULL);
		oa_connect(w, r, s, "WithPath");
		oa_path_level(w, level | OA_PATH);
		oa_close(w);
	}
}

void oa_resource_paths(struct oa *w, const struct schema_res *r)
{
	const unsigned item = SV_GET | SV_UPDATE | SV_PATCH | SV_DELETE;
	unsigned level = r->r.namespaced ? OA_NAMESPACE : 0;
	_cleanup_buf_ struct buf path = BUF_INIT;

	if (r->r.namespaced && (r->verbs & SV_LIST)) {
		oa_path_text(&path, &r->r, true);
		oa_open_entry(w, path.s, PATHS_PATH, NULL);
		oa_methods(w, r, NULL, oa_collection_methods, 1, SV_LIST, true);
		oa_path_level(w, OA_PRETTY);
		oa_close(w);
	}
	oa_path_text(&path, &r->r, false);
	oa_open_entry(w, path.s, PATHS_PATH, NULL);
	oa_methods(w, r, NULL, oa_collection_methods, ARRAY_SIZE(oa_collection_methods), r->verbs, false);
	oa_path_level(w, level | OA_PRETTY);
	oa_close(w);
	buf_adds(&path, "/{name}");
	level |= OA_NAME;
	if (r->verbs & item) {
		oa_open_entry(w, path.s, PATHS_PATH, NULL);
		oa_methods(w, r, NULL, oa_item_methods, ARRAY_SIZE(oa_item_methods), r->verbs & item, false);
		oa_path_level(w, level | OA_PRETTY);
		oa_close(w);
	}
	oa_subresource_paths(w, r, &path, level);
}

void oa_paths(struct oa *w, const struct schema_res *first, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (first[i].served)
			oa_resource_paths(w, &first[i]);
}
