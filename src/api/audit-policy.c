/*
 * The audit policy: audit.k8s.io/v1 Policy, a list of rules. The first that
 * matches a request says how much is told of it (None, Metadata, Request,
 * RequestResponse) and at which stages nothing; no rule: nothing at all.
 *
 * A rule matches when everything it names does: users, userGroups, verbs, and
 * either namespaces and resources or nonResourceURLs. Resources are named with
 * their subresource ("pods/log"; "pods/" + "*" and "*" + "/scale" too, "*" is all), the
 * empty namespace stands for what has none, a URL may end in "*". Who asks is who
 * logged in, not whom he impersonates. As Kubernetes' policy checker.
 */
#include "api/audit.h"

#include "base/log.h"
#include "base/path.h"

#define AUDIT_POLICY_BYTES (1u << 20)

const char *const audit_level_names[AUDIT_LEVELS] = { "None", "Metadata", "Request", "RequestResponse" };
const char *const audit_stage_names[AUDIT_STAGES] = { "RequestReceived", "ResponseStarted", "ResponseComplete", "Panic" };

struct names { /* in the policy's arena */
	const char **v;
	size_t n;
};
struct audit_group {
	const char *group;
	struct names resources, names;
};
struct audit_rule {
	struct audit_choice choice;
	struct names users, groups, verbs, namespaces, urls;
	struct audit_group *res;
	size_t n_res;
};
struct audit_policy {
	struct arena *arena;
	struct audit_rule *rules;
	size_t n;
};

/* --- reading --- */

struct policy_reader {
	struct audit_policy *p;
	unsigned omit_stages;
	bool omit_managed;
	size_t rule; /* for messages */
};

static int policy_fault(struct policy_reader *r, const char *field, struct err *e, const char *what)
{
	return err_set(e, ERR_BAD_REQUEST, "rules[%zu].%s: %s", r->rule, field, what);
}

static int policy_names(struct policy_reader *r, const struct node *from, const char *field, struct names *out,
			struct err *e)
{
	const struct node *list = node_getc(from, field);

	if (list && node_type(list) != DOC_NULL && !node_is(list, DOC_ARRAY))
		return policy_fault(r, field, e, "no list");
	out->v = arena_zalloc(r->p->arena, (node_count(list) + 1) * sizeof(*out->v));
	NODE_FOREACH(c, list) {
		if (!node_is(c, DOC_STRING))
			return policy_fault(r, field, e, "holds something that is no string");
		out->v[out->n++] = arena_strdup(r->p->arena, node_cstr(c));
	}
	return 0;
}

static int policy_stages(const struct node *list, unsigned *bits, struct err *e)
{
	NODE_FOREACH(c, list) {
		size_t i = 0;

		while (i < AUDIT_STAGES && !node_streq(c, audit_stage_names[i]))
			i++;
		if (i == AUDIT_STAGES)
			return err_set(e, ERR_BAD_REQUEST,
				       "omitStages: \"%s\" is none of RequestReceived, ResponseStarted, ResponseComplete, Panic",
				       node_cstr_or(c, "?"));
		*bits |= 1u << i;
	}
	return 0;
}

static int policy_level(struct policy_reader *r, const struct node *n, enum audit_level *ret, struct err *e)
{
	for (size_t i = 0; i < AUDIT_LEVELS; i++)
		if (node_streq(n, audit_level_names[i])) {
			*ret = (enum audit_level)i;
			return 0;
		}
	return policy_fault(r, "level", e, n ? "is none of None, Metadata, Request, RequestResponse" : "Required value");
}

static int policy_urls(struct policy_reader *r, const struct audit_rule *rule, struct err *e)
{
	for (size_t i = 0; i < rule->urls.n; i++) {
		const char *u = rule->urls.v[i], *star = strchr(u, '*');

		if (streq(u, "*"))
			continue;
		if (u[0] != '/')
			return policy_fault(r, "nonResourceURLs", e, "non-resource URL rules must begin with a '/' character");
		if (star && star[1])
			return policy_fault(r, "nonResourceURLs", e,
					    "non-resource URL wildcards '*' must be the final character of the rule");
	}
	if (rule->urls.n && (rule->n_res || rule->namespaces.n))
		return policy_fault(r, "nonResourceURLs", e,
				    "rules cannot apply to both regular resources and non-resource URLs");
	return 0;
}

static void policy_check_members(struct policy_reader *r, const struct node *n, const char *const *known, const char *what)
{
	NODE_FOREACH(c, n) {
		size_t i = 0;

		while (known[i] && !str_eqc(node_key(c), known[i]))
			i++;
		if (!known[i])
			log_warn("the audit policy has a member that means nothing", LS("where", what), LI("rule", r->rule),
				 LS("name", c->key));
	}
}

static int policy_resources(struct policy_reader *r, const struct node *list, struct audit_rule *rule, struct err *e)
{
	static const char *const known[] = { "group", "resources", "resourceNames", NULL };

	rule->res = arena_zalloc(r->p->arena, (node_count(list) + 1) * sizeof(*rule->res));
	NODE_FOREACH(c, list) {
		struct audit_group *g = &rule->res[rule->n_res++];
		const char *group = node_cstr_or(node_getc(c, "group"), "");

		policy_check_members(r, c, known, "resources");
		g->group = arena_strdup(r->p->arena, group);
		if (strchr(group, '/'))
			return policy_fault(r, "resources.group", e, "is no group's name (without the version)");
		if (policy_names(r, c, "resources", &g->resources, e) < 0 || policy_names(r, c, "resourceNames", &g->names, e) < 0)
			return -e->code;
		if (g->names.n && !g->resources.n)
			return policy_fault(r, "resources.resourceNames", e, "using resourceNames requires at least one resource");
	}
	return 0;
}

static int policy_rule(struct policy_reader *r, const struct node *n, struct audit_rule *rule, struct err *e)
{
	static const char *const known[] = { "level", "users", "userGroups", "verbs", "resources", "namespaces",
					     "nonResourceURLs", "omitStages", "omitManagedFields", NULL };

	policy_check_members(r, n, known, "rules");
	rule->choice.omit_stages = r->omit_stages;
	rule->choice.omit_managed = node_bool(node_getc(n, "omitManagedFields"), r->omit_managed);
	if (policy_level(r, node_getc(n, "level"), &rule->choice.level, e) < 0 ||
	    policy_stages(node_getc(n, "omitStages"), &rule->choice.omit_stages, e) < 0 ||
	    policy_names(r, n, "users", &rule->users, e) < 0 || policy_names(r, n, "userGroups", &rule->groups, e) < 0 ||
	    policy_names(r, n, "verbs", &rule->verbs, e) < 0 ||
	    policy_names(r, n, "namespaces", &rule->namespaces, e) < 0 ||
	    policy_names(r, n, "nonResourceURLs", &rule->urls, e) < 0 ||
	    policy_resources(r, node_getc(n, "resources"), rule, e) < 0)
		return -e->code;
	return policy_urls(r, rule, e);
}

static int policy_read(struct audit_policy *p, const struct node *root, struct err *e)
{
	static const char *const known[] = { "apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields",
					     NULL };
	struct policy_reader r = { .p = p, .omit_managed = node_bool(node_getc(root, "omitManagedFields"), false) };
	const struct node *rules = node_getc(root, "rules");

	if (!node_streq(node_getc(root, "apiVersion"), "audit.k8s.io/v1") || !node_streq(node_getc(root, "kind"), "Policy"))
		return err_set(e, ERR_BAD_REQUEST, "it is no Policy of audit.k8s.io/v1");
	policy_check_members(&r, root, known, "policy");
	if (!node_count(rules) || !node_is(rules, DOC_ARRAY))
		return err_set(e, ERR_BAD_REQUEST, "loaded illegal policy with 0 rules");
	if (policy_stages(node_getc(root, "omitStages"), &r.omit_stages, e) < 0)
		return -e->code;
	p->rules = arena_zalloc(p->arena, node_count(rules) * sizeof(*p->rules));
	NODE_FOREACH(c, rules) {
		if (policy_rule(&r, c, &p->rules[p->n++], e) < 0)
			return -e->code;
		r.rule++;
	}
	return 0;
}

int audit_policy_parse(struct audit_policy **ret, struct str text, struct err *e)
{
	struct audit_policy *p;
	struct doc **docs = NULL;
	size_t n = 0;

	if (doc_parse_yaml(&docs, &n, text, NULL, e) < 0)
		return -e->code;
	p = xcalloc(1, sizeof(*p));
	p->arena = arena_new();
	if (n != 1)
		err_set(e, ERR_BAD_REQUEST, "it holds %zu documents instead of one", n);
	else
		(void)policy_read(p, doc_root(docs[0]), e);
	for (size_t i = 0; i < n; i++)
		doc_unref(docs[i]);
	free(docs);
	if (err_is_set(e)) {
		audit_policy_free(p);
		return -e->code;
	}
	*ret = p;
	return 0;
}

int audit_policy_load(struct audit_policy **ret, const char *file, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (path_read(file, AUDIT_POLICY_BYTES, &text, e) < 0 || audit_policy_parse(ret, buf_str(&text), e) < 0)
		return err_wrap(e, "the audit policy '%s'", file);
	return 0;
}

struct audit_policy *audit_policy_free(struct audit_policy *p)
{
	if (!p)
		return NULL;
	arena_free(p->arena);
	free(p);
	return NULL;
}

/* --- choosing --- */

static bool names_have(const struct names *n, const char *s)
{
	for (size_t i = 0; i < n->n; i++)
		if (streq(n->v[i], s))
			return true;
	return false;
}

static bool rule_matches_user(const struct audit_rule *r, const struct user *u)
{
	if (r->users.n && (!u || !names_have(&r->users, u->name)))
		return false;
	if (!r->groups.n)
		return true;
	for (const char *const *g = u ? u->groups : NULL; g && *g; g++)
		if (names_have(&r->groups, *g))
			return true;
	return false;
}

/* "pods", "pods/log", "pods/" + "*", "*" + "/log" or "*". */
static bool resource_matches(const char *want, const struct attrs *at)
{
	size_t n = strlen(at->resource);
	const char *sub = at->subresource;

	if (streq(want, "*"))
		return true;
	if (strncmp(want, "*/", 2) == 0)
		return *sub && streq(want + 2, sub);
	if (strncmp(want, at->resource, n) != 0)
		return false;
	if (!want[n])
		return !*sub;
	return want[n] == '/' && (streq(want + n + 1, "*") || (*sub && streq(want + n + 1, sub)));
}

static bool group_matches(const struct audit_group *g, const struct attrs *at)
{
	if (!streq(g->group, at->group))
		return false;
	if (!g->resources.n)
		return true;
	if (g->names.n && !names_have(&g->names, at->name))
		return false;
	for (size_t i = 0; i < g->resources.n; i++)
		if (resource_matches(g->resources.v[i], at))
			return true;
	return false;
}

static bool rule_matches_resource(const struct audit_rule *r, const struct attrs *at)
{
	if (at->path || (r->namespaces.n && !names_have(&r->namespaces, at->ns)))
		return false;
	for (size_t i = 0; i < r->n_res; i++)
		if (group_matches(&r->res[i], at))
			return true;
	return !r->n_res;
}

static bool rule_matches_url(const struct audit_rule *r, const struct attrs *at)
{
	for (size_t i = 0; at->path && i < r->urls.n; i++) {
		const char *u = r->urls.v[i];
		size_t n = strlen(u);

		if (streq(u, at->path) || (u[n - 1] == '*' && strncmp(u, at->path, n - 1) == 0))
			return true;
	}
	return false;
}

static bool rule_matches(const struct audit_rule *r, const struct user *u, const struct attrs *at)
{
	if (!rule_matches_user(r, u) || (r->verbs.n && !names_have(&r->verbs, at->verb)))
		return false;
	if (r->namespaces.n || r->n_res)
		return rule_matches_resource(r, at);
	return !r->urls.n || rule_matches_url(r, at);
}

struct audit_choice audit_policy_choose(const struct audit_policy *p, const struct user *u, const struct attrs *at)
{
	for (size_t i = 0; i < p->n; i++)
		if (rule_matches(&p->rules[i], u, at))
			return p->rules[i].choice;
	return (struct audit_choice){ AUDIT_NONE, 0, false };
}
