/*
 * Nobody gives away what he does not have. Who writes a role must hold all that
 * its rules allow, or be allowed to `escalate` it; who binds a role must hold its
 * rules, or be allowed to `bind` it. An aggregationRule can gather anything, so it
 * takes everything. Kubernetes does this where it stores the object, behind all
 * mutating admission; it stands last in admission's first half here.
 */
#include "api/admit.h"

#include "api/authz.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

/* Are the two the same but for what garbage collection changes? */
static bool rbac_only_gc(const struct node *now, const struct node *old)
{
	static const enum field spared[] = { F_ownerReferences, F_finalizers, F_managedFields, F_resourceVersion };
	_cleanup_doc_ struct doc *a = doc_new(), *b = doc_new();
	struct node *x = node_copy(a, now), *y = node_copy(b, old);

	for (size_t i = 0; i < ARRAY_SIZE(spared); i++) {
		node_remove(node_need_object(a, x, F_metadata), spared[i]);
		node_remove(node_need_object(b, y, F_metadata), spared[i]);
	}
	return node_equal(x, y);
}

static bool rbac_may(struct req *r, const char *verb, const char *resource, const char *name)
{
	struct attrs at = { .verb = verb, .group = RBAC_GROUP, .version = "*", .resource = resource, .subresource = "",
			    .ns = r->at.ns, .name = name };

	return authz_check(r->api, r->user, &at);
}

static int rbac_holds_all(struct req *r, const struct rules *rules, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT, groups = BUF_INIT, name = BUF_INIT, errors = BUF_INIT;
	struct missing m = { .all = VEC_INIT };

	if (rbac_holds(r->api->rbac, r->user, r->at.ns, rules, &m, &errors)) {
		missing_release(&m);
		return 0;
	}
	for (const char *const *g = r->user->groups; g && *g; g++) {
		buf_adds(&groups, groups.len ? " " : "");
		buf_add_quoted(&groups, str_of(*g));
	}
	buf_add_quoted(&name, str_of(r->user->name));
	missing_print(&m, &text);
	if (!m.all.n)
		buf_adds(&text, "more permissions than can be compared");
	if (errors.len)
		buf_addf(&text, "; resolution errors: [%s]", errors.s);
	missing_release(&m);
	return err_forbidden(e, &r->res->r, r->at.name,
			     "user %s (groups=[%s]) is attempting to grant RBAC permissions not currently held:\n%s",
			     name.s, groups.s, text.s);
}

/* --- roles --- */

static bool rbac_gathers(const struct node *role)
{
	return node_count(node_path(role, F_aggregationRule, F_clusterRoleSelectors)) > 0;
}

static int rbac_check_everything(struct req *r, struct err *e)
{
	static const char all[] = "[{\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"]},"
				  "{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]";
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_err_ struct err no = ERR_INIT;
	struct rules *rules;
	int rc;

	BUG_ON(doc_parse_json(&d, str_of(all), NULL, &no) < 0);
	rules = rules_new(doc_root(d));
	rc = rbac_holds_all(r, rules, &no);
	rules_free(rules);
	if (rc == 0)
		return 0;
	return err_forbidden(e, &r->res->r, r->at.name, "must have cluster-admin privileges to use the aggregationRule");
}

static int rbac_check_role(struct admission *a, struct err *e)
{
	struct req *r = a->r;
	struct rules *rules;
	int rc;

	if (rbac_may(r, "escalate", r->st->r.plural, r->verb == VERB_CREATE ? "" : r->at.name))
		return 0;
	rules = rules_new(node_get(a->root, F_rules));
	rc = rbac_holds_all(r, rules, e);
	rules_free(rules);
	if (rc < 0 || (!rbac_gathers(a->root) && !(a->old && rbac_gathers(obj_node(a->old)))))
		return rc;
	return rbac_check_everything(r, e);
}

/* --- bindings --- */

static int rbac_check_binding(struct admission *a, struct err *e)
{
	const struct node *ref = node_get(a->root, F_roleRef);
	const char *kind = node_gets(ref, F_kind), *name = node_gets(ref, F_name);
	const struct rules *rules;
	const struct resource *res;

	if (!streq(kind, "Role") && !streq(kind, "ClusterRole"))
		return 0; /* validation says so */
	res = schema_res(RBAC_GROUP, streq(kind, "Role") ? "roles" : "clusterroles");
	if (rbac_may(a->r, "bind", res->plural, name))
		return 0;
	rules = rbac_role_rules(a->r->api->rbac, ref, a->r->at.ns);
	return rules ? rbac_holds_all(a->r, rules, e) : err_not_found(e, res, name);
}

int admit_rbac(struct admission *a, struct err *e)
{
	struct req *r = a->r;

	if (!streq(r->st->r.group, RBAC_GROUP) || r->user->part || user_in_group(r->user, "system:masters"))
		return 0;
	if (a->old && rbac_only_gc(a->root, obj_node(a->old)))
		return 0;
	if (!r->api->rbac) /* the server is stopping */
		return err_set(e, ERR_SERVICE_UNAVAILABLE, "the server is shutting down");
	return str_ends(str_of(r->st->r.plural), STR_LIT("bindings")) ? rbac_check_binding(a, e) : rbac_check_role(a, e);
}
