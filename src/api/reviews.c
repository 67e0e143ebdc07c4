/*
 * Kinds without storage: questions that are answered at once.
 *
 *	tokenreviews			whose token is this?
 *	selfsubjectreviews		who am I? (kubectl auth whoami)
 *	subjectaccessreviews,		may that user?
 *	localsubjectaccessreviews
 *	selfsubjectaccessreviews	may I? (kubectl auth can-i)
 *	selfsubjectrulesreviews		what may I? (kubectl auth can-i --list)
 *	componentstatuses		are the parts well? They are one process: yes.
 */
#include "api/internal.h"

#define BIT(v) (1u << (v))

static int review_answer(struct req *r)
{
	r->obj = obj_new(&r->res->r, r->body, 0);
	r->status = 201;
	return STEP_DONE;
}

/* --- who --- */

static int act_token_review(struct req *r, struct err *e)
{
	struct doc *d = r->body;
	struct node *root = doc_root(d), *spec = node_get(root, F_spec), *status, *audiences;
	struct str token = node_str(node_get(spec, F_token));
	const char *const *asked = audiences_from_node(r->arena, node_get(spec, F_audiences));
	struct token_answer ans;

	if (!token.n)
		return err_bad(e, "token is required for TokenReview in authentication");
	authn_token(r->api, r->arena, token, asked[0] ? asked : NULL, &ans);
	status = node_set(d, root, F_status, node_new(d, DOC_OBJECT));
	if (ans.user) {
		node_setb(d, status, F_authenticated, true);
		user_node(d, node_need_object(d, status, F_user), ans.user);
		audiences = node_need_array(d, status, F_audiences);
		for (const char *const *a = ans.audiences; *a; a++)
			node_append(audiences, node_new_cstr(d, *a));
	} else {
		node_set(d, status, F_user, node_new(d, DOC_OBJECT));
		node_sets(d, status, F_error,
			  ans.why ? arena_printf(r->arena, "[invalid bearer token, %s]", ans.why) : "invalid bearer token");
	}
	return review_answer(r);
}

static int act_self_review(struct req *r, struct err *e)
{
	struct node *status = node_set(r->body, doc_root(r->body), F_status, node_new(r->body, DOC_OBJECT));

	user_node(r->body, node_need_object(r->body, status, F_userInfo), r->user);
	return review_answer(r);
}

/* --- may --- */

static void review_attrs(const struct node *spec, struct attrs *at)
{
	const struct node *res = node_get(spec, F_resourceAttributes), *non = node_get(spec, F_nonResourceAttributes);

	*at = (struct attrs){
		.verb = node_gets(res, F_verb),
		.group = node_gets(res, F_group),
		.version = node_gets(res, F_version),
		.resource = node_gets(res, F_resource),
		.subresource = node_gets(res, F_subresource),
		.ns = node_gets(res, F_namespace),
		.name = node_gets(res, F_name),
	};
	if (non) {
		at->path = node_gets(non, F_path);
		at->verb = node_gets(non, F_verb);
	}
}

static const struct user *review_subject(struct req *r, const struct node *spec)
{
	struct user *u = arena_zalloc(r->arena, sizeof(*u));
	const struct node *groups = node_get(spec, F_groups);
	const char **v = arena_zalloc(r->arena, (node_count(groups) + 1) * sizeof(*v));
	size_t n = 0;

	NODE_FOREACH(g, groups)
		v[n++] = node_cstr_or(g, "");
	u->name = node_gets(spec, F_user);
	u->uid = node_gets(spec, F_uid);
	u->groups = v;
	return u;
}

static int act_access_review(struct req *r, struct err *e)
{
	struct doc *d = r->body;
	struct node *root = doc_root(d), *status;
	const struct node *spec = node_get(root, F_spec);
	bool self = streq(r->at.resource, "selfsubjectaccessreviews");
	const struct user *u = self ? r->user : review_subject(r, spec);
	struct attrs at;

	if (!node_get(spec, F_resourceAttributes) == !node_get(spec, F_nonResourceAttributes))
		return err_invalid(e, "authorization.k8s.io", r->res->r.kind, "", "FieldValueInvalid",
				   "spec.resourceAttributes",
				   "null: exactly one of nonResourceAttributes or resourceAttributes must be specified");
	if (!self && !*u->name && !u->groups[0])
		return err_invalid(e, "authorization.k8s.io", r->res->r.kind, "", "FieldValueInvalid", "spec.user",
				   "\"\": at least one of user or group must be specified");
	if (streq(r->at.resource, "localsubjectaccessreviews") &&
	    !streq(node_gets(node_get(spec, F_resourceAttributes), F_namespace), r->at.ns))
		return err_invalid(e, "authorization.k8s.io", r->res->r.kind, "", "FieldValueInvalid",
				   "spec.resourceAttributes.namespace", "\"%s\": must match metadata.namespace",
				   node_gets(node_get(spec, F_resourceAttributes), F_namespace));
	review_attrs(spec, &at);
	status = node_set(d, root, F_status, node_new(d, DOC_OBJECT));
	node_setb(d, status, F_allowed, authz_check(r->api, u, &at));
	return review_answer(r);
}

static void rules_add(struct doc *d, struct node *rules, const char *const *verbs, enum field what,
		      const char *const *values, bool resource)
{
	struct node *n = node_append(rules, node_new(d, DOC_OBJECT)), *list = node_need_array(d, n, F_verbs);

	for (; *verbs; verbs++)
		node_append(list, node_new_cstr(d, *verbs));
	if (resource)
		node_append(node_need_array(d, n, F_apiGroups), node_new_cstr(d, "*"));
	list = node_need_array(d, n, what);
	for (; *values; values++)
		node_append(list, node_new_cstr(d, *values));
}

static int act_rules_review(struct req *r, struct err *e)
{
	static const char *const all[] = { "*", NULL }, *const get[] = { "get", NULL }, *const create[] = { "create", NULL };
	static const char *const paths[] = { "/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi",
					     "/openapi/*", "/readyz", "/version", "/version/", NULL };
	static const char *const reviews[] = { "selfsubjectaccessreviews", "selfsubjectrulesreviews",
					       "selfsubjectreviews", NULL };
	struct doc *d = r->body;
	struct node *status = node_set(d, doc_root(d), F_status, node_new(d, DOC_OBJECT)), *rules;

	rules = node_need_array(d, status, F_resourceRules);
	if (user_in_group(r->user, "system:masters"))
		rules_add(d, rules, all, F_resources, all, true);
	rules_add(d, rules, create, F_resources, reviews, true);
	rules = node_need_array(d, status, F_nonResourceRules);
	if (user_in_group(r->user, "system:masters"))
		rules_add(d, rules, all, F_nonResourceURLs, all, false);
	rules_add(d, rules, get, F_nonResourceURLs, paths, false);
	node_setb(d, status, F_incomplete, false);
	return review_answer(r);
}

/* --- component statuses --- */

static const char *const components[] = { "controller-manager", "etcd-0", "scheduler" };

static struct obj *component_make(struct req *r, const char *name)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *c;
	struct obj *o;

	doc_set_root(d, root);
	node_sets(d, root, F_kind, "ComponentStatus");
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, node_need_object(d, root, F_metadata), F_name, name);
	c = node_append(node_need_array(d, root, F_conditions), node_new(d, DOC_OBJECT));
	node_sets(d, c, F_type, "Healthy");
	node_sets(d, c, F_status, "True");
	node_sets(d, c, F_message, "ok");
	o = obj_new(&r->res->r, d, 0);
	doc_unref(d);
	return o;
}

static int act_components(struct req *r, struct err *e)
{
	if (r->verb == VERB_LIST) {
		r->list.objs = xcalloc(ARRAY_SIZE(components), sizeof(*r->list.objs));
		for (size_t i = 0; i < ARRAY_SIZE(components); i++)
			r->list.objs[r->list.n++] = component_make(r, components[i]);
		r->list.remaining = -1;
		r->list_held = r->is_list = true;
		return STEP_DONE;
	}
	for (size_t i = 0; i < ARRAY_SIZE(components); i++)
		if (streq(components[i], r->at.name)) {
			r->obj = component_make(r, components[i]);
			return STEP_DONE;
		}
	return err_not_found(e, &r->res->r, r->at.name);
}

const struct handler review_handlers[] = {
	{ "authentication.k8s.io", "tokenreviews", "", BIT(VERB_CREATE), act_token_review, .body = true },
	{ "authentication.k8s.io", "selfsubjectreviews", "", BIT(VERB_CREATE), act_self_review, .body = true },
	{ "authorization.k8s.io", "subjectaccessreviews", "", BIT(VERB_CREATE), act_access_review, .body = true },
	{ "authorization.k8s.io", "localsubjectaccessreviews", "", BIT(VERB_CREATE), act_access_review, .body = true },
	{ "authorization.k8s.io", "selfsubjectaccessreviews", "", BIT(VERB_CREATE), act_access_review, .body = true },
	{ "authorization.k8s.io", "selfsubjectrulesreviews", "", BIT(VERB_CREATE), act_rules_review, .body = true },
	{ "", "componentstatuses", "", BIT(VERB_GET) | BIT(VERB_LIST), act_components },
	{ 0 },
};
