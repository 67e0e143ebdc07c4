/*
 * Validation of roles and bindings (rbac.authorization.k8s.io) and of the
 * questions about access (authorization.k8s.io).
 */
#include "schema/valid.h"

#include <stdio.h>

#define RBAC_GROUP "rbac.authorization.k8s.io"

/* --- roles --- */

static void v_policy_rule(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *urls = node_get(n, F_nonResourceURLs);

	if (!node_count(node_get(n, F_verbs)))
		v_required(v, VP(p, "verbs"), "verbs must contain at least one value");
	if (node_count(urls)) {
		if (v->r->r.namespaced)
			v_invalid_node(v, VP(p, "nonResourceURLs"), urls, "namespaced rules cannot apply to non-resource URLs");
		if (node_count(node_get(n, F_apiGroups)) || node_count(node_get(n, F_resources)) ||
		    node_count(node_get(n, F_resourceNames)))
			v_invalid_node(v, VP(p, "nonResourceURLs"), urls,
				       "rules cannot apply to both regular resources and non-resource URLs");
		return;
	}
	if (!node_count(node_get(n, F_apiGroups)))
		v_required(v, VP(p, "apiGroups"), "resource rules must supply at least one api group");
	if (!node_count(node_get(n, F_resources)))
		v_required(v, VP(p, "resources"), "resource rules must supply at least one resource");
}

void v_role(struct valid *v)
{
	const struct node *gather = node_get(v->root, F_aggregationRule);
	const struct node *selectors = node_get(gather, F_clusterRoleSelectors);
	const struct vpath *p = VP(VP(NULL, "aggregationRule"), "clusterRoleSelectors");
	size_t i = 0;

	NODE_FOREACH(rule, node_get(v->root, F_rules))
		v_policy_rule(v, VPI(VP(NULL, "rules"), i++), rule);
	if (v->r->r.namespaced || !node_is(gather, DOC_OBJECT))
		return;
	if (!node_count(selectors))
		v_required(v, p, "at least one clusterRoleSelector required if aggregationRule is non-nil");
	i = 0;
	NODE_FOREACH(s, selectors)
		v_label_selector(v, VPI(p, i++), s);
}

/* --- bindings --- */

static void v_role_ref(struct valid *v, const struct node *ref)
{
	static const char *const groups[] = { RBAC_GROUP, NULL }, *const kinds[] = { "Role", "ClusterRole", NULL };
	const struct vpath *p = VP(NULL, "roleRef");
	const char *const *allowed = kinds + (v->r->r.namespaced ? 0 : 1);
	struct str kind = v_str(ref, F_kind), name = v_str(ref, F_name);

	if (!str_eqc(v_str(ref, F_apiGroup), RBAC_GROUP))
		v_unsupported(v, VP(p, "apiGroup"), v_str(ref, F_apiGroup), groups);
	if (!str_eqc(kind, "ClusterRole") && !(v->r->r.namespaced && str_eqc(kind, "Role")))
		v_unsupported(v, VP(p, "kind"), kind, allowed);
	if (!name.n)
		v_required(v, VP(p, "name"), "");
	else
		v_name(v, VP(p, "name"), name, NF_PATH_SEGMENT);
}

static void v_subject(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const kinds[] = { "ServiceAccount", "User", "Group", NULL };
	static const char *const groups[] = { RBAC_GROUP, NULL }, *const none[] = { "", NULL };
	struct str kind = v_str(n, F_kind), name = v_str(n, F_name), group = v_str(n, F_apiGroup);

	if (!name.n)
		v_required(v, VP(p, "name"), "");
	if (str_eqc(kind, "ServiceAccount")) {
		if (name.n)
			v_name(v, VP(p, "name"), name, NF_DNS_SUBDOMAIN);
		if (group.n)
			v_unsupported(v, VP(p, "apiGroup"), group, none);
		if (!v->r->r.namespaced && !v_str(n, F_namespace).n)
			v_required(v, VP(p, "namespace"), "");
	} else if (str_eqc(kind, "User") || str_eqc(kind, "Group")) {
		if (!str_eqc(group, RBAC_GROUP))
			v_unsupported(v, VP(p, "apiGroup"), group, groups);
	} else {
		v_unsupported(v, VP(p, "kind"), kind, kinds);
	}
}

void v_role_binding(struct valid *v)
{
	const struct node *ref = node_get(v->root, F_roleRef);
	size_t i = 0;

	v_role_ref(v, ref);
	NODE_FOREACH(s, node_get(v->root, F_subjects))
		v_subject(v, VPI(VP(NULL, "subjects"), i++), s);
	if (v->old && !node_equal(ref, node_get(v->old, F_roleRef)))
		v_invalid_node(v, VP(NULL, "roleRef"), ref, "cannot change roleRef");
}

/* --- questions --- */

static void v_selector_requirements(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(q, list) {
		const struct vpath *at = VPI(p, i++);
		struct str op = v_str(q, F_operator);
		size_t values = node_count(node_get(q, F_values));

		if (!v_str(q, F_key).n)
			v_required(v, VP(at, "key"), "must be specified");
		if ((str_eqc(op, "In") || str_eqc(op, "NotIn")) && !values)
			v_required(v, VP(at, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
		if ((str_eqc(op, "Exists") || str_eqc(op, "DoesNotExist")) && values)
			v_forbidden(v, VP(at, "values"),
				    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	}
}

static void v_access_selector(struct valid *v, const struct vpath *p, const char *name, const struct node *n)
{
	const struct node *list = node_get(n, F_requirements);
	struct str raw = v_str(n, F_rawSelector);
	char text[128];

	if (!node_is(n, DOC_OBJECT))
		return;
	if (raw.n && node_count(list))
		v_invalid(v, VP(p, "rawSelector"), raw, "may not specified at the same time as requirements");
	snprintf(text, sizeof(text), "when spec.resourceAttributes.%s is specified, requirements or rawSelector is required",
		 name);
	if (!raw.n && !node_count(list))
		v_required(v, VP(p, "requirements"), text);
	v_selector_requirements(v, VP(p, "requirements"), list);
}

/* Metadata of a question: empty, but for the namespace of one that is about a namespace. */
static bool v_access_meta_empty(const struct valid *v)
{
	static const enum field fine[] = { F_managedFields, F_creationTimestamp };

	NODE_FOREACH(m, meta_of(v->root)) {
		bool spared = v_empty(m) || (v->r->r.namespaced && str_eqc(node_key(m), "namespace"));

		for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
			spared = spared || m == node_get(meta_of(v->root), fine[i]);
		if (!spared)
			return false;
	}
	return true;
}

static void v_access_local(struct valid *v, const struct node *res, const struct node *non)
{
	const struct vpath *p = VP(NULL, "spec");
	struct str ns = v_str(res, F_namespace);

	if (node_is(res, DOC_OBJECT) && !str_eqc(ns, meta_ns(v->root)))
		v_invalid(v, VP(VP(p, "resourceAttributes"), "namespace"), ns, "must match metadata.namespace");
	if (node_is(non, DOC_OBJECT))
		v_invalid_node(v, VP(p, "nonResourceAttributes"), non, "disallowed on this kind of request");
}

void v_access_review(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec), *res = node_get(spec, F_resourceAttributes);
	const struct node *non = node_get(spec, F_nonResourceAttributes);
	const struct vpath *p = VP(NULL, "spec"), *attrs = VP(p, "resourceAttributes");

	if (node_is(res, DOC_OBJECT) && node_is(non, DOC_OBJECT))
		v_invalid_node(v, VP(p, "nonResourceAttributes"), non,
			       "cannot be specified in combination with resourceAttributes");
	if (!node_is(res, DOC_OBJECT) && !node_is(non, DOC_OBJECT))
		v_invalid_node(v, attrs, NULL,
			       "exactly one of nonResourceAttributes or resourceAttributes must be specified");
	if (!streq(v->r->r.kind, "SelfSubjectAccessReview") && !v_str(spec, F_user).n &&
	    !node_count(node_get(spec, F_groups)))
		v_invalid(v, VP(p, "user"), STR_LIT(""), "at least one of user or group must be specified");
	v_access_selector(v, VP(attrs, "fieldSelector"), "fieldSelector", node_get(res, F_fieldSelector));
	v_access_selector(v, VP(attrs, "labelSelector"), "labelSelector", node_get(res, F_labelSelector));
	if (!v_access_meta_empty(v))
		v_invalid_node(v, VP(NULL, "metadata"), meta_of(v->root),
			       v->r->r.namespaced ? "must be empty except for namespace" : "must be empty");
	if (v->r->r.namespaced)
		v_access_local(v, res, non);
}
