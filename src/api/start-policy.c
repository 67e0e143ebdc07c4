/*
 * The bootstrap policy, made and repaired when the server starts, in the manner
 * of Kubernetes' reconciliation: what is not there is created; what is there
 * keeps what was added to it and gets back what it lacks: rules of a role,
 * subjects of a binding, labels and annotations. A binding to another role is
 * replaced. An object whose annotation rbac.authorization.kubernetes.io/autoupdate
 * says "false" is left alone. Nothing is written when nothing is missing.
 */
#include "api/authz.h"

#include "api/policy.h"
#include "base/log.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

struct policy_call {
	struct call call;
	struct policy_sync *sync;
	struct policy policy; /* owns its doc, which has the strings */
	LIST_ENTRY(policy_call) link;
};

struct policy_sync {
	struct api *api;
	LIST_HEAD(, policy_call) calls; /* not answered yet */
	bool failed, again;
	void (*done)(void *arg, bool failed);
	void *arg;
};

static void policy_sync_read(struct policy_sync *s);

static void policy_call_free(struct policy_call *pc)
{
	LIST_REMOVE(pc, link);
	doc_unref(pc->call.body);
	doc_unref(pc->policy.doc);
	free(pc);
}

void policy_sync_free(struct api *a)
{
	struct policy_sync *s = take_ptr(&a->policy);
	struct policy_call *pc;

	while (s && (pc = LIST_FIRST(&s->calls)))
		policy_call_free(pc);
	free(s);
}

/* All calls were answered. */
static void policy_sync_end(struct policy_sync *s)
{
	void (*done)(void *arg, bool failed) = s->done;
	void *arg = s->arg;
	bool failed = s->failed;

	if (s->again && !failed) { /* what was deleted is made anew */
		s->again = false;
		policy_sync_read(s);
		if (!LIST_EMPTY(&s->calls))
			return;
	}
	policy_sync_free(s->api);
	done(arg, failed);
}

static void policy_called(struct call *c, const struct err *err)
{
	struct policy_call *pc = CONTAINER_OF(c, struct policy_call, call);
	struct policy_sync *s = pc->sync;

	if (err && err->reason != ERR_ALREADY_EXISTS && err->reason != ERR_NOT_FOUND) {
		if (!s->failed) /* the first speaks for all */
			log_warn("can't write an object of the bootstrap policy, trying again", LS("kind", c->res->kind),
				 LS("name", pc->policy.name), LE(err));
		s->failed = true;
	}
	policy_call_free(pc);
	if (LIST_EMPTY(&s->calls))
		policy_sync_end(s);
}

/* Takes p's doc, and body. */
static void policy_write(struct policy_sync *s, const struct policy *p, enum verb verb, struct doc *body)
{
	struct policy_call *pc = xcalloc(1, sizeof(*pc));

	pc->sync = s;
	pc->policy = *p;
	pc->call = (struct call){ .verb = verb, .res = schema_res(RBAC_GROUP, p->resource), .ns = p->ns,
				  .name = verb == VERB_CREATE ? NULL : p->name, .body = body, .done = policy_called };
	LIST_INSERT_HEAD(&s->calls, pc, link);
	req_submit_call(s->api, &s->api->self, &pc->call);
}

/* --- what an object lacks --- */

/* Members of the map `f` of want's metadata that d has not. */
static bool lack_map(struct doc *d, const struct node *want, enum field f)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);
	bool changed = false;

	NODE_FOREACH(m, node_get(meta_of(want), f)) {
		if (node_getk(node_get(meta, f), node_key(m)))
			continue;
		node_setk(d, node_need_object(d, meta, f), node_key(m), node_copy(d, m));
		changed = true;
	}
	return changed;
}

/* Items of a list that d's list does not have. */
static bool lack_items(struct doc *d, const struct node *want, struct node *parent, enum field f)
{
	bool changed = false;

	NODE_FOREACH(item, want) {
		bool found = false;

		NODE_FOREACH(have, node_get(parent, f))
			found = found || node_equal(have, item);
		if (!found)
			node_append(node_need_array(d, parent, f), node_copy(d, item));
		changed = changed || !found;
	}
	return changed;
}

struct lack_rules {
	struct rules *have;
	struct doc *d;
	bool changed;
};

static void lack_add_text(struct doc *d, struct node *rule, enum field f, const char *text)
{
	if (text)
		node_append(node_need_array(d, rule, f), node_new_cstr(d, text));
}

static void lack_permission(void *arg, const struct permission *p)
{
	struct lack_rules *l = arg;
	struct node *rule;

	RULES_FOREACH(r, l->have)
		if (rule_covers(r, p))
			return;
	rule = node_append(node_need_array(l->d, doc_root(l->d), F_rules), node_new(l->d, DOC_OBJECT));
	lack_add_text(l->d, rule, F_verbs, p->verb);
	lack_add_text(l->d, rule, F_apiGroups, p->group);
	lack_add_text(l->d, rule, F_resources, p->resource);
	lack_add_text(l->d, rule, F_resourceNames, p->name);
	lack_add_text(l->d, rule, F_nonResourceURLs, p->url);
	l->changed = true;
}

static bool lack_rules(struct doc *d, const struct node *want)
{
	struct lack_rules l = { .d = d };
	struct rules *wanted;

	if (node_equal(node_get(doc_root(d), F_rules), want))
		return false;
	l.have = rules_new(node_get(doc_root(d), F_rules));
	wanted = rules_new(want);
	RULES_FOREACH(r, wanted)
		rule_break(r, lack_permission, &l);
	rules_free(wanted);
	rules_free(l.have);
	return l.changed;
}

static bool lack_anything(struct doc *d, const struct node *want)
{
	struct node *root = doc_root(d);
	bool changed = lack_map(d, want, F_labels);

	changed = lack_map(d, want, F_annotations) || changed;
	if (node_get(want, F_aggregationRule))
		changed = lack_items(d, node_path(want, F_aggregationRule, F_clusterRoleSelectors),
				     node_need_object(d, root, F_aggregationRule), F_clusterRoleSelectors) ||
			  changed;
	else if (node_get(want, F_rules))
		changed = lack_rules(d, node_get(want, F_rules)) || changed;
	return lack_items(d, node_get(want, F_subjects), root, F_subjects) || changed;
}

/* --- one pass --- */

/* Takes p's doc. */
static void policy_ensure(struct policy_sync *s, struct policy *p)
{
	struct obj *have = store_get(s->api->store, schema_res(RBAC_GROUP, p->resource), p->ns, p->name);
	const struct node *want = doc_root(p->doc), *root = have ? obj_node(have) : NULL;
	const char *update = meta_annotation(root, "rbac.authorization.kubernetes.io/autoupdate");
	_cleanup_doc_ struct doc *d = NULL;

	if (!have) {
		policy_write(s, p, VERB_CREATE, doc_ref(p->doc));
		return;
	}
	if (!update || !streq(update, "false")) {
		if (!node_equal(node_get(root, F_roleRef), node_get(want, F_roleRef))) {
			s->again = true;
			policy_write(s, p, VERB_DELETE, NULL);
			return;
		}
		d = doc_clone(obj_doc(have));
		if (lack_anything(d, want)) {
			policy_write(s, p, VERB_UPDATE, take_ptr(&d));
			return;
		}
	}
	doc_unref(p->doc);
}

static void policy_sync_read(struct policy_sync *s)
{
	struct policy_cursor c = { policy_table, false };
	struct policy p;

	while (policy_next(&c, &p))
		policy_ensure(s, &p);
}

bool policy_sync(struct api *a, void (*done)(void *arg, bool failed), void *arg)
{
	struct policy_sync *s = xcalloc(1, sizeof(*s));

	s->api = a;
	LIST_INIT(&s->calls);
	s->done = done;
	s->arg = arg;
	a->policy = s;
	policy_sync_read(s);
	if (!LIST_EMPTY(&s->calls))
		return true;
	policy_sync_free(a);
	return false;
}
