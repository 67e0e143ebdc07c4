/*
 * Reads the bootstrap policy (policy.tsv, linked in as text) object by object.
 * A Controller line makes two: its ClusterRole and, on a second look at the same
 * line, the binding to its service account.
 */
#include "api/policy.h"

#include <stdio.h>

#include "base/vec.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"
#define CONTROLLER "system:controller:"

static const struct {
	const char *word, *verbs;
} policy_verbs[] = {
	{ "read", "get,list,watch" },
	{ "write", "create,delete,deletecollection,patch,update" },
	{ "all", "create,delete,deletecollection,get,list,patch,update,watch" },
	{ "events", "create,patch,update" },
};

static struct str policy_line(const char **at)
{
	const char *end = strchr(*at, '\n');
	struct str line = { *at, (size_t)(end - *at) };

	*at = end + 1;
	return line;
}

/* --- pieces --- */

static void policy_list(struct doc *d, struct node *rule, enum field f, struct str cell)
{
	struct node *list = node_set(d, rule, f, node_new(d, DOC_ARRAY));

	if (f == F_verbs)
		for (size_t i = 0; i < ARRAY_SIZE(policy_verbs); i++)
			if (str_eqc(cell, policy_verbs[i].word)) {
				cell = str_of(policy_verbs[i].verbs);
				break;
			}
	while (cell.p) {
		struct str one = str_cut(&cell, ',');

		node_append(list, node_new_str(d, str_eqc(one, "-") ? STR_LIT("") : one));
	}
}

static void policy_rule(struct doc *d, struct node *rules, struct str line)
{
	struct node *rule = node_append(rules, node_new(d, DOC_OBJECT));
	struct str verbs, groups;

	str_cut(&line, '\t');
	verbs = str_cut(&line, '\t');
	groups = str_cut(&line, '\t');
	policy_list(d, rule, F_verbs, verbs);
	if (str_eqc(groups, "url")) {
		policy_list(d, rule, F_nonResourceURLs, line);
		return;
	}
	policy_list(d, rule, F_apiGroups, groups);
	policy_list(d, rule, F_resources, str_cut(&line, '\t'));
	if (line.p)
		policy_list(d, rule, F_resourceNames, line);
}

static void policy_label(struct doc *d, struct node *labels, struct str label)
{
	_cleanup_free_ char *key = str_dup(label);
	char full[128];

	snprintf(full, sizeof(full), RBAC_GROUP "/%s", key);
	node_setk(d, labels, str_of(full), node_new_cstr(d, "true"));
}

static void policy_gather(struct doc *d, struct node *root, struct str label)
{
	struct node *list = node_need_array(d, node_need_object(d, root, F_aggregationRule), F_clusterRoleSelectors);
	struct node *selector = node_append(list, node_new(d, DOC_OBJECT));

	policy_label(d, node_need_object(d, selector, F_matchLabels), label);
}

static void policy_subject(struct doc *d, struct node *list, struct str cell)
{
	struct node *s = node_append(list, node_new(d, DOC_OBJECT));
	char kind = cell.p[0];

	cell = str_sub(cell, 2, cell.n);
	node_sets(d, s, F_kind, kind == 'u' ? "User" : kind == 'g' ? "Group" : "ServiceAccount");
	if (kind == 's')
		node_set(d, s, F_namespace, node_new_str(d, str_cut(&cell, '/')));
	else
		node_sets(d, s, F_apiGroup, RBAC_GROUP);
	node_set(d, s, F_name, node_new_str(d, cell));
}

/* --- objects --- */

static struct node *policy_new(struct policy *p, const char *kind, struct str ns, struct str name)
{
	struct doc *d = p->doc = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, RBAC_GROUP "/v1");
	node_sets(d, root, F_kind, kind);
	meta = node_need_object(d, root, F_metadata);
	p->name = node_cstr(node_set(d, meta, F_name, node_new_str(d, name)));
	p->ns = ns.n ? node_cstr(node_set(d, meta, F_namespace, node_new_str(d, ns))) : "";
	node_setk(d, node_need_object(d, meta, F_labels), STR_LIT("kubernetes.io/bootstrapping"),
		  node_new_cstr(d, "rbac-defaults"));
	node_setk(d, node_need_object(d, meta, F_annotations), STR_LIT("rbac.authorization.kubernetes.io/autoupdate"),
		  node_new_cstr(d, "true"));
	return root;
}

static void policy_role(struct policy *p, const char *kind, struct str ns, struct str name, struct str marks,
			const char **at)
{
	struct node *root = policy_new(p, kind, ns, name), *meta = node_get(root, F_metadata), *rules;

	p->resource = streq(kind, "Role") ? "roles" : "clusterroles";
	while (marks.p) {
		struct str mark = str_cut(&marks, '\t'), label = str_sub(mark, 1, mark.n);

		if (mark.p[0] == '+')
			policy_label(p->doc, node_need_object(p->doc, meta, F_labels), label);
		else
			policy_gather(p->doc, root, label);
	}
	if (node_get(root, F_aggregationRule))
		return; /* its rules are others' */
	rules = node_need_array(p->doc, root, F_rules);
	while (**at == '\t')
		policy_rule(p->doc, rules, policy_line(at));
}

static void policy_binding(struct policy *p, const char *kind, struct str ns, struct str name, struct str role,
			   struct str subjects)
{
	struct node *root = policy_new(p, kind, ns, name), *ref = node_need_object(p->doc, root, F_roleRef);

	p->resource = streq(kind, "RoleBinding") ? "rolebindings" : "clusterrolebindings";
	node_sets(p->doc, ref, F_apiGroup, RBAC_GROUP);
	node_sets(p->doc, ref, F_kind, streq(kind, "RoleBinding") ? "Role" : "ClusterRole");
	node_set(p->doc, ref, F_name, node_new_str(p->doc, role));
	while (subjects.p)
		policy_subject(p->doc, node_need_array(p->doc, root, F_subjects), str_cut(&subjects, '\t'));
}

/* A Controller line stands for its binding once its rules were read: *at is then behind them. */
static void policy_controller(struct policy *p, struct str name, const char **at, bool binding)
{
	_cleanup_free_ char *bare = str_dup(name);
	char role[128], subject[128];

	snprintf(role, sizeof(role), CONTROLLER "%s", bare);
	snprintf(subject, sizeof(subject), "s:kube-system/%s", bare);
	if (binding)
		policy_binding(p, "ClusterRoleBinding", STR_NONE, str_of(role), str_of(role), str_of(subject));
	else
		policy_role(p, "ClusterRole", STR_NONE, str_of(role), STR_NONE, at);
}

bool policy_next(struct policy_cursor *c, struct policy *p)
{
	struct str line, kind, ns, name;
	const char *begin = c->at;

	if (!*begin)
		return false;
	line = policy_line(&c->at);
	kind = str_cut(&line, '\t');
	ns = str_starts(kind, STR_LIT("Role")) ? str_cut(&line, '\t') : STR_NONE;
	name = str_cut(&line, '\t');
	if (str_eqc(kind, "ClusterRole") || str_eqc(kind, "Role")) {
		policy_role(p, ns.p ? "Role" : "ClusterRole", ns, name, line, &c->at);
	} else if (str_eqc(kind, "Controller")) {
		policy_controller(p, name, &c->at, c->again);
		c->again = !c->again;
		if (c->again)
			c->at = begin;
		else
			while (*c->at == '\t')
				policy_line(&c->at);
	} else {
		struct str role = str_cut(&line, '\t');

		policy_binding(p, ns.p ? "RoleBinding" : "ClusterRoleBinding", ns, name, role, line);
	}
	return true;
}
