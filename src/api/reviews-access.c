/*
 * Questions about what somebody may.
 *
 *	subjectaccessreviews,		may that user?
 *	localsubjectaccessreviews	... in this namespace
 *	selfsubjectaccessreviews	may I? (kubectl auth can-i)
 *	selfsubjectrulesreviews		what may I? (kubectl auth can-i --list)
 */
#include "api/authz.h"

#define BIT(v) (1u << (v))

static int access_answer(struct req *r)
{
	r->obj = obj_new(&r->res->r, r->body, 0);
	r->status = 201;
	return STEP_DONE;
}

/* --- may that user --- */

static void access_selector_free(void *p)
{
	fieldsel_free(p);
}

/* The requirements of a fieldSelector that an authorizer understands: one value, wanted or not. */
static struct fieldsel *access_requirements(struct req *r, const struct node *list)
{
	struct fieldsel *s = arena_zalloc(r->arena, sizeof(*s));

	s->terms = arena_zalloc(r->arena, (node_count(list) + 1) * sizeof(*s->terms));
	NODE_FOREACH(q, list) {
		const struct node *values = node_get(q, F_values);
		bool in = node_streq(node_get(q, F_operator), "In");

		if (node_count(values) != 1 || (!in && !node_streq(node_get(q, F_operator), "NotIn")))
			continue;
		s->terms[s->n++] = (struct fieldsel_term){
			.path = arena_strdup(r->arena, node_gets(q, F_key)),
			.negate = !in,
			.value = arena_strdup(r->arena, node_cstr_or(node_first(values), "")),
		};
	}
	return s;
}

static const struct fieldsel *access_fields(struct req *r, const struct node *n)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct fieldsel *s;

	if (!*node_gets(n, F_rawSelector))
		return access_requirements(r, node_get(n, F_requirements));
	if (fieldsel_parse(&s, node_str(node_get(n, F_rawSelector)), &e) < 0)
		return NULL; /* as if nothing had been narrowed down */
	arena_on_free(r->arena, access_selector_free, s);
	return s;
}

static struct attrs access_attrs(struct req *r, const struct node *spec)
{
	const struct node *res = node_get(spec, F_resourceAttributes), *non = node_get(spec, F_nonResourceAttributes);

	if (non)
		return (struct attrs){ .verb = node_gets(non, F_verb), .group = "", .version = "", .resource = "",
				       .subresource = "", .ns = "", .name = "", .path = node_gets(non, F_path) };
	return (struct attrs){
		.verb = node_gets(res, F_verb),
		.group = node_gets(res, F_group),
		.version = node_gets(res, F_version),
		.resource = node_gets(res, F_resource),
		.subresource = node_gets(res, F_subresource),
		.ns = node_gets(res, F_namespace),
		.name = node_gets(res, F_name),
		.fields = access_fields(r, node_get(res, F_fieldSelector)),
	};
}

static const struct user *access_subject(struct req *r, const struct node *spec)
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
	_cleanup_buf_ struct buf reason = BUF_INIT;
	const struct user *u;
	struct attrs at;

	if (*r->at.ns && *meta_ns(root) && !streq(meta_ns(root), r->at.ns))
		return err_bad(e, "the namespace of the provided object does not match the namespace sent on the request");
	if (*r->at.ns && !*meta_ns(root))
		node_sets(d, node_need_object(d, root, F_metadata), F_namespace, r->at.ns);
	if (schema_validate(r->res, root, NULL, NULL, e) < 0)
		return -e->code;
	u = streq(r->at.resource, "selfsubjectaccessreviews") ? r->user : access_subject(r, spec);
	at = access_attrs(r, spec);
	status = node_set(d, root, F_status, node_new(d, DOC_OBJECT));
	node_setb(d, status, F_allowed, authz_explain(r->api, u, &at, &reason));
	if (reason.len)
		node_sets(d, status, F_reason, reason.s);
	return access_answer(r);
}

/* --- what may I --- */

struct rules_answer {
	struct doc *d;
	struct node *resources, *urls;
	struct buf errors;
	size_t bytes; /* of rules so far */
	bool cut; /* there are more */
};

static void rules_list(struct rules_answer *a, struct node *to, enum field f, const struct rule *r, enum rule_list l)
{
	struct node *list;

	if (!r->n[l])
		return;
	list = node_set(a->d, to, f, node_new(a->d, DOC_ARRAY));
	RULE_FOREACH(s, i, r, l)
		node_append(list, node_new_cstr(a->d, s));
}

static bool rules_add(void *arg, const struct rbac_binding *b, const struct rule *r)
{
	struct rules_answer *a = arg;
	struct node *n;

	if (!r) {
		buf_adds(&a->errors, a->errors.len ? ", " : "");
		rbac_missing_role(b, &a->errors);
		return true;
	}
	a->bytes += r->size;
	if (a->bytes > LIMIT_RULES_REVIEW_BYTES) {
		a->cut = true;
		return false;
	}
	if (r->n[RULE_RESOURCES]) {
		n = node_append(a->resources, node_new(a->d, DOC_OBJECT));
		rules_list(a, n, F_verbs, r, RULE_VERBS);
		rules_list(a, n, F_apiGroups, r, RULE_GROUPS);
		rules_list(a, n, F_resources, r, RULE_RESOURCES);
		rules_list(a, n, F_resourceNames, r, RULE_NAMES);
	}
	if (r->n[RULE_URLS]) {
		n = node_append(a->urls, node_new(a->d, DOC_OBJECT));
		rules_list(a, n, F_verbs, r, RULE_VERBS);
		rules_list(a, n, F_nonResourceURLs, r, RULE_URLS);
	}
	return true;
}

static int act_rules_review(struct req *r, struct err *e)
{
	struct rules_answer a = { .d = r->body, .errors = BUF_INIT };
	struct node *root = doc_root(r->body), *status;
	const char *ns = node_gets(node_get(root, F_spec), F_namespace), *node;
	bool is_node = authz_is_node(r->user, &node);

	if (!*ns)
		return err_bad(e, "no namespace on request");
	if (is_node)
		buf_adds(&a.errors, "node authorizer does not support user rule resolution");
	status = node_set(a.d, root, F_status, node_new(a.d, DOC_OBJECT));
	a.resources = node_need_array(a.d, status, F_resourceRules);
	a.urls = node_need_array(a.d, status, F_nonResourceRules);
	rbac_visit_rules(r->api->rbac, r->user, ns, rules_add, &a);
	if (a.cut)
		buf_addf(&a.errors, "%sthere are more rules than can be told", a.errors.len ? ", " : "");
	node_setb(a.d, status, F_incomplete, is_node || a.cut);
	if (a.errors.len)
		node_sets(a.d, status, F_evaluationError, a.errors.s);
	buf_release(&a.errors);
	return access_answer(r);
}

const struct handler access_handlers[] = {
	{ "authorization.k8s.io", "subjectaccessreviews", "", BIT(VERB_CREATE), act_access_review, .body = true },
	{ "authorization.k8s.io", "localsubjectaccessreviews", "", BIT(VERB_CREATE), act_access_review, .body = true },
	{ "authorization.k8s.io", "selfsubjectaccessreviews", "", BIT(VERB_CREATE), act_access_review, .body = true },
	{ "authorization.k8s.io", "selfsubjectrulesreviews", "", BIT(VERB_CREATE), act_rules_review, .body = true },
	{ 0 },
};
