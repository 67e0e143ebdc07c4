/*
 * Kinds without storage: questions that are answered at once.
 *
 *	tokenreviews			whose token is this?
 *	selfsubjectreviews		who am I? (kubectl auth whoami)
 *	componentstatuses		are the parts well? They are one process: yes.
 *
 * Questions about what somebody may are in reviews-access.c.
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
	{ "", "componentstatuses", "", BIT(VERB_GET) | BIT(VERB_LIST), act_components },
	{ 0 },
};
