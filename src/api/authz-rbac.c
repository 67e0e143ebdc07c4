/*
 * RBAC: Roles, ClusterRoles and their bindings decide.
 *
 * An index in memory follows the four kinds in the store: from a subject (within
 * a namespace, or at the cluster scope) to its bindings, from a binding to its
 * role, whose rules are compiled (authz-rule.c). An authorization looks up the
 * user's name and each of its groups twice, and reads the rules that it finds:
 * microseconds, no memory. The index is filled before the first request, and
 * catches up before each answer: who was told that his write is done is authorized
 * by what he wrote.
 *
 * As in Kubernetes rules only ever allow; bindings at the cluster scope come
 * first; a binding whose role does not exist gives nothing, and says so when the
 * request is refused.
 */
#include "api/authz.h"

#include "base/log.h"
#include "base/map.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

struct rbac_role { /* also one that bindings speak of but nobody made */
	struct rules *rules; /* NULL: it does not exist */
	size_t bound;
	char key[]; /* "NAMESPACE/NAME", "/NAME" */
};

struct rbac_subject {
	VEC(struct rbac_binding *) bindings; /* by name */
};

enum { RBAC_CLUSTER_ROLES, RBAC_ROLES, RBAC_CLUSTER_BINDINGS, RBAC_BINDINGS, RBAC_KINDS };

struct rbac {
	struct store *store;
	struct map *roles; /* struct rbac_role by its key */
	struct map *bindings; /* struct rbac_binding by "NAMESPACE/NAME" */
	struct map *subjects; /* struct rbac_subject by kind, name and the binding's namespace */
	struct store_watch *watches[RBAC_KINDS];
	uint64_t visits;
	struct buf key; /* of the moment */
};

static const char *const rbac_plurals[RBAC_KINDS] = { "clusterroles", "roles", "clusterrolebindings", "rolebindings" };

/* --- roles --- */

static struct str rbac_key(struct rbac *x, const char *ns, const char *name)
{
	buf_clear(&x->key);
	buf_addf(&x->key, "%s/%s", ns, name);
	return buf_str(&x->key);
}

static struct rbac_role *rbac_role_need(struct rbac *x, const char *ns, const char *name)
{
	struct str key = rbac_key(x, ns, name);
	struct rbac_role *role = map_get(x->roles, key);

	if (role)
		return role;
	role = xcalloc(1, sizeof(*role) + key.n + 1);
	memcpy(role->key, key.p, key.n);
	map_set(x->roles, key, role);
	return role;
}

static void rbac_role_drop(struct rbac *x, struct rbac_role *role)
{
	if (role->bound || role->rules)
		return;
	map_del(x->roles, str_of(role->key));
}

static void rbac_role_free(void *p)
{
	struct rbac_role *role = p;

	rules_free(role->rules);
	free(role);
}

static void rbac_role_set(struct rbac *x, struct obj *o, bool gone)
{
	struct rbac_role *role = rbac_role_need(x, o->ns, o->name);

	role->rules = rules_free(role->rules);
	if (!gone)
		role->rules = rules_new(node_get(obj_node(o), F_rules));
	rbac_role_drop(x, role);
}

/* --- subjects --- */

static struct str rbac_subject_key(struct rbac *x, char kind, const char *ns, const char *name)
{
	buf_clear(&x->key);
	buf_addch(&x->key, kind);
	buf_add(&x->key, ns, strlen(ns) + 1);
	buf_adds(&x->key, name);
	return buf_str(&x->key);
}

/* The key of one entry of `subjects`; {NULL,0}: it stands for nobody. */
static struct str rbac_subject_of(struct rbac *x, const struct node *s, const char *ns)
{
	const char *kind = node_gets(s, F_kind), *name = node_gets(s, F_name), *of = node_gets(s, F_namespace);

	if (streq(kind, "User"))
		return rbac_subject_key(x, 'u', ns, name);
	if (streq(kind, "Group"))
		return rbac_subject_key(x, 'g', ns, name);
	if (!*of)
		of = ns;
	if (!streq(kind, "ServiceAccount") || !*of)
		return STR_NONE;
	rbac_subject_key(x, 'u', ns, "system:serviceaccount:");
	buf_addf(&x->key, "%s:%s", of, name);
	return buf_str(&x->key);
}

static void rbac_subject_free(void *p)
{
	struct rbac_subject *s = p;

	VEC_RELEASE(&s->bindings);
	free(s);
}

/* Where b stands, or should, in the subject's list. */
static size_t rbac_subject_find(const struct rbac_subject *s, const struct rbac_binding *b, bool *found)
{
	size_t lo = 0, hi = s->bindings.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(s->bindings.v[mid]->obj->name, b->obj->name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = lo < s->bindings.n && s->bindings.v[lo] == b;
	return lo;
}

static void rbac_subject_add(struct rbac *x, struct str key, struct rbac_binding *b)
{
	struct rbac_subject *s = map_get(x->subjects, key);
	bool found;
	size_t at;

	if (!s) {
		s = xcalloc(1, sizeof(*s));
		map_set(x->subjects, key, s);
	}
	at = rbac_subject_find(s, b, &found);
	if (found)
		return;
	VEC_PUSH(&s->bindings, b);
	memmove(s->bindings.v + at + 1, s->bindings.v + at, (s->bindings.n - at - 1) * sizeof(*s->bindings.v));
	s->bindings.v[at] = b;
}

static void rbac_subject_remove(struct rbac *x, struct str key, const struct rbac_binding *b)
{
	struct rbac_subject *s = map_get(x->subjects, key);
	bool found = false;
	size_t at = s ? rbac_subject_find(s, b, &found) : 0;

	if (!found)
		return;
	VEC_REMOVE(&s->bindings, at);
	if (!s->bindings.n)
		map_del(x->subjects, key);
}

/* --- bindings --- */

static void rbac_binding_drop(struct rbac *x, struct rbac_binding *b)
{
	struct obj *o = b->obj;

	NODE_FOREACH(s, node_get(obj_node(o), F_subjects)) {
		struct str key = rbac_subject_of(x, s, o->ns);

		if (key.p)
			rbac_subject_remove(x, key, b);
	}
	b->role->bound--;
	rbac_role_drop(x, b->role);
	map_del(x->bindings, rbac_key(x, o->ns, o->name));
}

static void rbac_binding_free(void *p)
{
	struct rbac_binding *b = p;

	obj_unref(b->obj);
	free(b);
}

static void rbac_binding_set(struct rbac *x, struct obj *o, bool gone)
{
	struct rbac_binding *b = map_get(x->bindings, rbac_key(x, o->ns, o->name));
	const struct node *ref = node_get(obj_node(o), F_roleRef);

	if (b)
		rbac_binding_drop(x, b);
	if (gone)
		return;
	b = xcalloc(1, sizeof(*b));
	b->obj = obj_ref(o);
	b->role = rbac_role_need(x, node_streq(node_get(ref, F_kind), "Role") ? o->ns : "", node_gets(ref, F_name));
	b->role->bound++;
	map_set(x->bindings, rbac_key(x, o->ns, o->name), b);
	NODE_FOREACH(s, node_get(obj_node(o), F_subjects)) {
		struct str key = rbac_subject_of(x, s, o->ns);

		if (key.p)
			rbac_subject_add(x, key, b);
	}
}

/* --- following the store --- */

static void rbac_set(struct rbac *x, struct obj *o, bool gone)
{
	if (str_ends(str_of(o->res->plural), STR_LIT("bindings")))
		rbac_binding_set(x, o, gone);
	else
		rbac_role_set(x, o, gone);
}

static void rbac_event(void *arg, const struct store_event *ev)
{
	rbac_set(arg, ev->obj, ev->type == WATCH_DELETED);
}

static void rbac_follow(struct rbac *x, int kind)
{
	struct store_list l = { .res = schema_res(RBAC_GROUP, rbac_plurals[kind]) };
	_cleanup_err_ struct err e = ERR_INIT;

	/* Neither fails: all is in memory, and nothing lies between the list and the watch. */
	BUG_ON(store_list(x->store, &l, &e) < 0);
	for (size_t i = 0; i < l.n; i++)
		rbac_set(x, l.objs[i], false);
	BUG_ON(store_watch(&x->watches[kind], x->store, l.res, NULL, store_revision(x->store), rbac_event, x, &e) < 0);
	store_list_release(&l);
}

struct rbac *rbac_new(struct store *s)
{
	struct rbac *x = xcalloc(1, sizeof(*x));

	x->store = s;
	x->roles = map_new(rbac_role_free);
	x->bindings = map_new(rbac_binding_free);
	x->subjects = map_new(rbac_subject_free);
	buf_init(&x->key);
	for (int kind = 0; kind < RBAC_KINDS; kind++)
		rbac_follow(x, kind);
	return x;
}

struct rbac *rbac_free(struct rbac *x)
{
	if (!x)
		return NULL;
	for (int kind = 0; kind < RBAC_KINDS; kind++)
		store_watch_stop(x->watches[kind]);
	map_free(x->subjects);
	map_free(x->bindings);
	map_free(x->roles);
	buf_release(&x->key);
	free(x);
	return NULL;
}

/* --- asking --- */

struct rbac_walk {
	struct rbac *x;
	uint64_t number;
	rbac_visit f;
	void *arg;
};

static bool rbac_walk_binding(struct rbac_walk *w, struct rbac_binding *b)
{
	if (b->seen == w->number)
		return true;
	b->seen = w->number;
	if (!b->role->rules)
		return w->f(w->arg, b, NULL);
	RULES_FOREACH(r, b->role->rules)
		if (!w->f(w->arg, b, r))
			return false;
	return true;
}

static bool rbac_walk_subject(struct rbac_walk *w, char kind, const char *ns, const char *name)
{
	const struct rbac_subject *s = map_get(w->x->subjects, rbac_subject_key(w->x, kind, ns, name));

	for (size_t i = 0; s && i < s->bindings.n; i++)
		if (!rbac_walk_binding(w, s->bindings.v[i]))
			return false;
	return true;
}

static bool rbac_walk_ns(struct rbac_walk *w, const struct user *u, const char *ns)
{
	if (!rbac_walk_subject(w, 'u', ns, u->name))
		return false;
	for (const char *const *g = u->groups; g && *g; g++)
		if (!rbac_walk_subject(w, 'g', ns, *g))
			return false;
	return true;
}

/* A client that sends its next request behind the last is told of a write before the turn ends. */
static void rbac_catch_up(struct rbac *x)
{
	for (int kind = 0; kind < RBAC_KINDS; kind++)
		store_watch_now(x->watches[kind]);
}

void rbac_visit_rules(struct rbac *x, const struct user *u, const char *ns, rbac_visit f, void *arg)
{
	struct rbac_walk w = { x, ++x->visits, f, arg };

	rbac_catch_up(x);
	if (rbac_walk_ns(&w, u, "") && *ns)
		rbac_walk_ns(&w, u, ns);
}

const struct rules *rbac_role_rules(struct rbac *x, const struct node *role_ref, const char *ns)
{
	bool role = streq(node_gets(role_ref, F_kind), "Role");
	const struct rbac_role *r;

	rbac_catch_up(x);
	r = map_get(x->roles, rbac_key(x, role ? ns : "", node_gets(role_ref, F_name)));
	return r ? r->rules : NULL;
}

struct rbac_ask {
	const struct attrs *at;
	const struct rbac_binding *by; /* NULL: refused */
	struct buf *missing; /* names of roles that were not found; or NULL */
};

void rbac_missing_role(const struct rbac_binding *b, struct buf *out)
{
	const char *name = strchr(b->role->key, '/');

	buf_addf(out, "%s." RBAC_GROUP " ", name == b->role->key ? "clusterrole" : "role");
	buf_add_quoted(out, str_of(name + 1));
	buf_adds(out, " not found");
}

/* Adds text to a list in the words of Go's aggregate of errors, each once; brackets come at the end. */
static void rbac_add_missing(const struct rbac_binding *b, struct buf *list)
{
	_cleanup_buf_ struct buf one = BUF_INIT;
	const char *at;

	rbac_missing_role(b, &one);
	at = strstr(list->s, one.s);
	if (at && (at == list->s || at[-1] == ' '))
		return;
	buf_addf(list, "%s%s", list->len ? ", " : "", one.s);
}

static bool rbac_ask_rule(void *arg, const struct rbac_binding *b, const struct rule *rule)
{
	struct rbac_ask *ask = arg;

	if (!rule && ask->missing)
		rbac_add_missing(b, ask->missing);
	if (!rule || !rule_allows(rule, ask->at))
		return true;
	ask->by = b;
	return false;
}

bool rbac_allow(struct api *a, const struct user *u, const struct attrs *at)
{
	struct rbac_ask ask = { at, NULL, NULL };

	rbac_visit_rules(a->rbac, u, at->path ? "" : at->ns, rbac_ask_rule, &ask);
	return ask.by != NULL;
}

/* --- why --- */

static bool rbac_subject_is(const struct node *s, const struct user *u, const char *ns)
{
	const char *kind = node_gets(s, F_kind), *name = node_gets(s, F_name), *of = node_gets(s, F_namespace);
	_cleanup_free_ char *account = NULL;

	if (streq(kind, "User"))
		return streq(u->name, name);
	if (streq(kind, "Group"))
		return user_in_group(u, name);
	account = xasprintf("system:serviceaccount:%s:%s", *of ? of : ns, name);
	return streq(kind, "ServiceAccount") && streq(u->name, account);
}

/* "NAME", or "NAME/NAMESPACE" */
static void rbac_quote(struct buf *out, const char *name, const char *ns)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "%s%s%s", name, *ns ? "/" : "", ns);
	buf_add_quoted(out, buf_str(&b));
}

static void rbac_describe(const struct rbac_binding *b, const struct user *u, struct buf *out)
{
	const struct node *root = obj_node(b->obj), *ref = node_get(root, F_roleRef);
	const char *ns = b->obj->ns;

	buf_addf(out, "RBAC: allowed by %s ", b->obj->res->kind);
	rbac_quote(out, b->obj->name, ns);
	buf_addf(out, " of %s ", node_gets(ref, F_kind));
	rbac_quote(out, node_gets(ref, F_name), "");
	NODE_FOREACH(s, node_get(root, F_subjects)) {
		bool account = node_streq(node_get(s, F_kind), "ServiceAccount");

		if (!rbac_subject_is(s, u, ns))
			continue;
		buf_addf(out, " to %s ", node_gets(s, F_kind));
		rbac_quote(out, node_gets(s, F_name), account ? node_cstr_or(node_get(s, F_namespace), ns) : "");
		return;
	}
}

static void rbac_brackets(struct buf *list)
{
	_cleanup_free_ char *text = NULL;

	if (!strstr(list->s, ", "))
		return;
	text = xstrdup(list->s);
	buf_clear(list);
	buf_addf(list, "[%s]", text);
}

void rbac_why(struct api *a, const struct user *u, const struct attrs *at, bool allowed, struct buf *reason)
{
	_cleanup_buf_ struct buf missing = BUF_INIT;
	struct rbac_ask ask = { at, NULL, &missing };

	rbac_visit_rules(a->rbac, u, at->path ? "" : at->ns, rbac_ask_rule, &ask);
	rbac_brackets(&missing);
	if (ask.by)
		rbac_describe(ask.by, u, reason);
	else if (missing.len)
		buf_addf(reason, "RBAC: %s", missing.s);
}

/* --- who may give away what --- */

struct rbac_owner {
	VEC(const struct rule *) rules;
	struct missing *missing;
	struct buf *errors;
	size_t strings; /* in rules: what it takes to look for one permission */
	double permissions;
};

static bool rbac_owner_rule(void *arg, const struct rbac_binding *b, const struct rule *rule)
{
	struct rbac_owner *own = arg;

	if (!rule) {
		rbac_add_missing(b, own->errors);
		return true;
	}
	VEC_PUSH(&own->rules, rule);
	for (size_t l = 0; l < RULE_LISTS; l++)
		own->strings += rule->n[l];
	return true;
}

static void rbac_owner_check(void *arg, const struct permission *p)
{
	struct rbac_owner *own = arg;

	for (size_t i = 0; i < own->rules.n; i++)
		if (rule_covers(own->rules.v[i], p))
			return;
	if (own->missing->all.n < LIMIT_RULE_MISSING)
		VEC_PUSH(&own->missing->all, *p);
}

/* What a rule is worth. */
static double rbac_permissions(const struct rule *r)
{
	double names = r->n[RULE_NAMES] ? r->n[RULE_NAMES] : 1;

	return ((double)r->n[RULE_GROUPS] * r->n[RULE_RESOURCES] * names + r->n[RULE_URLS]) * r->n[RULE_VERBS];
}

bool rbac_holds(struct rbac *x, const struct user *u, const char *ns, const struct rules *rules, struct missing *m,
		struct buf *errors)
{
	struct rbac_owner own = { .rules = VEC_INIT, .missing = m, .errors = errors };
	bool too_many = false;

	rbac_visit_rules(x, u, ns, rbac_owner_rule, &own);
	rbac_brackets(errors);
	RULES_FOREACH(r, rules) {
		own.permissions += rbac_permissions(r);
		too_many = own.permissions > LIMIT_RULE_PERMISSIONS ||
			   own.permissions * own.strings > LIMIT_RULE_COMPARISONS;
		if (too_many || m->all.n >= LIMIT_RULE_MISSING)
			break;
		rule_break(r, rbac_owner_check, &own);
	}
	VEC_RELEASE(&own.rules);
	return !too_many && !m->all.n;
}
