/*
 * deployments/NAME/rollback of the versions that Kubernetes dropped: a
 * DeploymentRollback becomes spec.rollbackTo of the Deployment (which is stored as
 * an annotation, see convert-older.c); the controller does the rest.
 */
#include "api/convert.h"

#include "base/limits.h"

#define BIT(v) (1u << (v))

static int rollback_invalid(struct req *r, const char *reason, const char *field, const char *detail, struct err *e)
{
	return err_invalid(e, r->at.group, "DeploymentRollback", node_gets(doc_root(r->body), F_name), reason, field, "%s",
			   detail);
}

static int rollback_check_annotations(struct req *r, const struct node *list, struct err *e)
{
	size_t total = 0;

	NODE_FOREACH(a, list) {
		char *key = arena_printf(r->arena, "%" STR_FMT, STR_ARG(node_key(a)));
		const char *problem;

		for (char *c = key; *c; c++)
			*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
		problem = schema_check_qualified_name(str_of(key));
		if (problem)
			return rollback_invalid(r, "FieldValueInvalid", "updatedAnnotations",
						arena_printf(r->arena, "\"%.64s\": %s", key, problem), e);
		total += node_key(a).n + node_str(a).n;
	}
	if (total > LIMIT_ANNOTATIONS_BYTES)
		return rollback_invalid(r, "FieldValueTooLong", "updatedAnnotations",
					arena_printf(r->arena, "may not be more than %d bytes", (int)LIMIT_ANNOTATIONS_BYTES), e);
	return 0;
}

static int rollback_check(struct req *r, struct err *e)
{
	const struct node *body = doc_root(r->body);
	int64_t revision = node_int(node_path(body, F_rollbackTo, F_revision), 0);

	if (rollback_check_annotations(r, node_get(body, F_updatedAnnotations), e) < 0)
		return -e->code;
	if (!*node_gets(body, F_name))
		return rollback_invalid(r, "FieldValueRequired", "name", "name is required", e);
	if (revision < 0)
		return rollback_invalid(r, "FieldValueInvalid", "rollback.version",
					arena_printf(r->arena, "%lld: must be greater than or equal to 0", (long long)revision), e);
	if (!streq(node_gets(body, F_name), r->at.name))
		return err_bad(e, "name in URL does not match name in DeploymentRollback object");
	return 0;
}

static int rollback_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove UNUSED, struct err *e)
{
	_cleanup_doc_ struct doc *rollback = NULL;
	struct node *notes;
	struct doc *d;

	if (write_admit_body(r, &rollback, e) < 0)
		return -e->code;
	if (!cur)
		return err_not_found(e, &r->res->r, r->at.name);
	d = doc_clone(obj_doc(cur));
	notes = node_need_object(d, node_need_object(d, doc_root(d), F_metadata), F_annotations);
	NODE_FOREACH(a, node_get(doc_root(rollback), F_updatedAnnotations))
		node_setk(d, notes, node_key(a), node_copy(d, a));
	convert_set_annotation(d, ROLLBACK_TO,
			       arena_printf(r->arena, "%lld",
					    (long long)node_int(node_path(doc_root(rollback), F_rollbackTo, F_revision), 0)));
	*out = d;
	return 0;
}

static int act_rollback(struct req *r, struct err *e)
{
	if (rollback_check(r, e) < 0)
		return -e->code;
	r->mutate = rollback_mutate;
	r->status = 201;
	r->success_status = true;
	r->success_text = arena_printf(r->arena, "rollback request for deployment \"%s\" succeeded", r->at.name);
	return req_store(r, r->at.ns, r->at.name, e);
}

const struct handler subres_rollback_handlers[] = {
	{ "apps", "deployments", "rollback", BIT(VERB_CREATE), act_rollback, .body = true,
	  .body_type = "apps/v1beta1.DeploymentRollback" },
	{ "extensions", "deployments", "rollback", BIT(VERB_CREATE), act_rollback, .body = true,
	  .body_type = "extensions/v1beta1.DeploymentRollback" },
	{ 0 },
};
