/*
 * delete and deletecollection.
 *
 * What a delete does is decided when it is its turn on the key:
 *	pods		gracefully: deletionTimestamp and deletionGracePeriodSeconds are
 *			set and the node does the rest; at once when the pod is on no
 *			node, is over, or the grace is 0. A second delete may only shorten.
 *	namespaces	phase Terminating, until spec.finalizers is empty (the namespace
 *			controller's work)
 *	finalizers	those there, and the two that propagationPolicy asks for (orphan,
 *			foregroundDeletion), keep the object: deletionTimestamp is set and
 *			the update that removes the last of them removes the object
 *	others		gone at once
 *
 * Whether dependents are orphaned, waited for or left to the garbage collector is
 * said by the options, else by finalizers that are there, else by the kind: old
 * versions, batch/v1 Jobs and ReplicationControllers orphan. A second delete may
 * change it as long as the object has no grace to run.
 *
 * As Kubernetes does, kinds of `returns_object` answer with the object, others
 * with a Status.
 */
#include "api/internal.h"

#include <stdio.h>

#include "base/time.h"

#define MULTI_PARALLEL 64

static const char finalizer_orphan[] = "orphan";
static const char finalizer_foreground[] = "foregroundDeletion";

static bool returns_object(const struct resource *res)
{
	static const char *const kinds[] = { "pods",	  "persistentvolumes", "persistentvolumeclaims", "podtemplates",
					     "resourcequotas", "serviceaccounts",   "services",		  "namespaces" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds) && !*res->group; i++)
		if (streq(kinds[i], res->plural))
			return true;
	return false;
}

/* --- options --- */

static int options_invalid(struct err *e, const char *reason, const char *field, const char *detail)
{
	return err_invalid(e, "meta.k8s.io", "DeleteOptions", "", reason, field, "%s", detail);
}

int delete_options_from_node(struct req *r, const struct node *n, struct err *e)
{
	struct call_opts *o = &r->opts;
	const struct node *grace = node_get(n, F_gracePeriodSeconds), *pre = node_get(n, F_preconditions);
	const struct node *orphan = node_get(n, F_orphanDependents);

	if (grace) {
		o->has_grace = true;
		o->grace_s = node_int(grace, 0);
	}
	if (orphan && node_get(n, F_propagationPolicy)) {
		_cleanup_buf_ struct buf b = BUF_INIT;

		buf_addf(&b, "\"%.64s\": orphanDependents and deletionPropagation cannot be both set",
			 node_gets(n, F_propagationPolicy));
		return options_invalid(e, "FieldValueInvalid", "propagationPolicy", b.s);
	}
	if (node_get(n, F_propagationPolicy))
		o->propagation = arena_strdup(r->arena, node_gets(n, F_propagationPolicy));
	else if (orphan)
		o->propagation = node_bool(orphan, false) ? "Orphan" : "Background";
	o->orphan_false = orphan && !node_bool(orphan, false);
	if (*node_gets(pre, F_uid))
		o->precond_uid = arena_strdup(r->arena, node_gets(pre, F_uid));
	if (*node_gets(pre, F_resourceVersion))
		o->precond_rv = arena_strdup(r->arena, node_gets(pre, F_resourceVersion));
	NODE_FOREACH(d, node_get(n, F_dryRun))
	{
		if (!node_streq(d, "All")) {
			_cleanup_buf_ struct buf b = BUF_INIT;

			buf_addf(&b, "\"%.64s\": supported values: \"All\"", node_cstr_or(d, ""));
			return options_invalid(e, "FieldValueNotSupported", "dryRun", b.s);
		}
		o->dry_run = true;
	}
	return 0;
}

static int options_check(struct req *r, struct err *e)
{
	static const char *const known[] = { "Orphan", "Background", "Foreground" };
	const char *p = r->opts.propagation;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (r->opts.has_grace && r->opts.grace_s < 0)
		r->opts.grace_s = 1;
	if (!p)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (streq(known[i], p))
			return 0;
	buf_addf(&b, "\"%.64s\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"", p);
	return options_invalid(e, "FieldValueNotSupported", "propagationPolicy", b.s);
}

/* Something else in the body, an object perhaps, must not pass as options that say nothing. */
static int options_check_kind(const struct node *n, struct err *e)
{
	const char *kind = node_gets(n, F_kind);

	if (!*kind || streq(kind, "DeleteOptions"))
		return 0;
	return err_bad(e, "no kind \"%.64s\" is registered for version \"%.64s\"", kind, node_gets(n, F_apiVersion));
}

static void options_forget_query(struct call_opts *o)
{
	o->has_grace = o->dry_run = o->orphan_false = false;
	o->propagation = NULL;
}

/* A body replaces the query's options, as in Kubernetes. */
int delete_options_from_body(struct req *r, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	if (r->head && r->raw.n) {
		if (decode_raw(r, &d, e) < 0)
			return -e->code;
		if (!node_is(doc_root(d), DOC_OBJECT) || schema_decode_type("meta/v1.DeleteOptions", d, NULL, e) < 0) {
			_cleanup_free_ char *why = xstrdup(err_is_set(e) ? err_msg(e) : "no object");

			return err_bad(e, "DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: %s", why);
		}
		if (options_check_kind(doc_root(d), e) < 0)
			return -e->code;
		options_forget_query(&r->opts);
		if (delete_options_from_node(r, doc_root(d), e) < 0)
			return -e->code;
	} else if (!r->head && r->body && delete_options_from_node(r, doc_root(r->body), e) < 0) {
		return -e->code;
	}
	return options_check(r, e);
}

/* --- deciding --- */

int delete_check_preconditions(struct req *r, struct obj *cur, struct err *e)
{
	const struct call_opts *o = &r->opts;
	struct resource as = r->res->r;

	as.plural = as.kind; /* Kubernetes names the kind here */
	if (!str_empty(o->precond_uid) && !streq(o->precond_uid, cur->uid))
		return err_conflict(e, &as, r->at.name,
				    "the UID in the precondition (%s) does not match the UID in record (%s). The object "
				    "might have been deleted and then recreated",
				    o->precond_uid, cur->uid);
	if (!str_empty(o->precond_rv) && parse_rv(o->precond_rv) != cur->rv)
		return err_conflict(e, &as, r->at.name,
				    "the ResourceVersion in the precondition (%s) does not match the ResourceVersion in "
				    "record (%lld). The object might have been modified",
				    o->precond_rv, (long long)cur->rv);
	return 0;
}

static bool is_core(const struct req *r, const char *plural)
{
	return !*r->st->r.group && streq(r->st->r.plural, plural);
}

/* How many seconds the object has; -1: its kind knows no grace. */
static int64_t delete_grace(struct req *r, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);
	const char *phase = node_gets(node_get(root, F_status), F_phase);
	int64_t grace;

	if (!is_core(r, "pods"))
		return -1;
	grace = r->opts.has_grace ? r->opts.grace_s : node_int(node_get(spec, F_terminationGracePeriodSeconds), 0);
	if (!*node_gets(spec, F_nodeName) || streq(phase, "Failed") || streq(phase, "Succeeded"))
		return 0;
	return grace < 0 ? 1 : grace;
}

static bool has_finalizer(const struct node *meta, const char *name)
{
	NODE_FOREACH(f, node_get(meta, F_finalizers))
		if (node_streq(f, name))
			return true;
	return false;
}

static void set_finalizer(struct doc *d, struct node *meta, const char *name, bool want)
{
	struct node *list = node_get(meta, F_finalizers);

	if (want == has_finalizer(meta, name))
		return;
	if (want) {
		node_append(node_need_array(d, meta, F_finalizers), node_new_cstr(d, name));
		return;
	}
	NODE_FOREACH(f, list)
		if (node_streq(f, name)) {
			node_remove_child(list, f);
			break;
		}
	if (!node_count(list))
		node_remove(meta, F_finalizers);
}

/* What an old client expects that does not say: kinds whose dependents stay. NULL: any version, any kind. */
static const struct {
	const char *group, *version, *resource;
} orphan_by_default[] = {
	{ "", "v1", "replicationcontrollers" }, { "batch", "v1", "jobs" },	     { "batch", "v1beta1", "cronjobs" },
	{ "apps", "v1beta1", NULL },		{ "apps", "v1beta2", NULL }, { "extensions", "v1beta1", NULL },
};

static bool orphans_by_default(const struct resource *res)
{
	for (size_t i = 0; i < ARRAY_SIZE(orphan_by_default); i++)
		if (streq(orphan_by_default[i].group, res->group) && streq(orphan_by_default[i].version, res->version) &&
		    (!orphan_by_default[i].resource || streq(orphan_by_default[i].resource, res->plural)))
			return true;
	return false;
}

static void delete_propagation(struct req *r, struct doc *d, struct node *meta)
{
	const char *p = r->opts.propagation;

	if (streq(r->st->r.kind, "Event"))
		return; /* never has dependents */
	if (!p && (has_finalizer(meta, finalizer_orphan) || has_finalizer(meta, finalizer_foreground)))
		return; /* finalizers that are there say what was wanted */
	if (!p)
		p = r->head && orphans_by_default(&r->res->r) ? "Orphan" : "Background";
	set_finalizer(d, meta, finalizer_orphan, streq(p, "Orphan"));
	set_finalizer(d, meta, finalizer_foreground, streq(p, "Foreground"));
}

static void delete_warn(struct req *r)
{
	if (!r->opts.propagation && streq(r->res->r.kind, "Job") && orphans_by_default(&r->res->r))
		req_warn(r, "child pods are preserved by default when jobs are deleted; set "
			    "propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress "
			    "this warning");
}

static void mark_deleting(struct doc *d, struct node *meta, int64_t grace)
{
	char when[TIME_RFC3339_LEN];
	const struct node *generation = node_get(meta, F_generation);

	if (!*node_gets(meta, F_deletionTimestamp) || grace > 0)
		node_sets(d, meta, F_deletionTimestamp, time_fmt_rfc3339(when, time_wall_s() + grace));
	node_seti(d, meta, F_deletionGracePeriodSeconds, grace);
	if (generation)
		node_seti(d, meta, F_generation, node_int(generation, 0) + 1);
}

/* Without grace to wait for, how it ends may still be chosen. */
static void delete_again_propagation(struct req *r, struct doc *d, struct node *meta, bool *changed, bool *now)
{
	size_t had = node_count(node_get(meta, F_finalizers));
	bool orphan = has_finalizer(meta, finalizer_orphan), foreground = has_finalizer(meta, finalizer_foreground);

	if (r->opts.propagation)
		delete_propagation(r, d, meta);
	*changed = orphan != has_finalizer(meta, finalizer_orphan) ||
		   foreground != has_finalizer(meta, finalizer_foreground);
	*now = had && !node_count(node_get(meta, F_finalizers)) &&
	       !(is_core(r, "namespaces") && node_count(node_path(doc_root(d), F_spec, F_finalizers)));
}

/* A delete of what is being deleted: less grace is granted. *now: it is over. */
static void delete_again(struct req *r, struct doc *d, struct node *meta, bool *changed, bool *now)
{
	int64_t have = node_int(node_get(meta, F_deletionGracePeriodSeconds), 0), want, at;
	char when[TIME_RFC3339_LEN];

	*changed = *now = false;
	if (have == 0) {
		delete_again_propagation(r, d, meta, changed, now);
		return;
	}
	if (!r->opts.has_grace)
		return;
	want = delete_grace(r, doc_root(d));
	if (want < 0 || want >= have)
		return;
	if (time_parse_rfc3339(node_str(node_get(meta, F_deletionTimestamp)), &at))
		node_sets(d, meta, F_deletionTimestamp, time_fmt_rfc3339(when, at / SEC_NS - (have - want)));
	node_seti(d, meta, F_deletionGracePeriodSeconds, want);
	*changed = true;
	*now = want == 0 && !node_count(node_get(meta, F_finalizers));
}

static int delete_namespace(struct req *r, struct doc *d, struct node *meta, struct doc **out, bool *remove)
{
	struct node *root = doc_root(d);

	if (!node_count(node_path(root, F_spec, F_finalizers)) && !node_count(node_get(meta, F_finalizers))) {
		*remove = true;
		return 0;
	}
	mark_deleting(d, meta, 0);
	node_remove(meta, F_deletionGracePeriodSeconds);
	node_sets(d, node_need_object(d, root, F_status), F_phase, "Terminating");
	*out = d;
	return 1;
}

/* Pods of the node itself have these classes, whatever an administrator does. */
static int delete_check_system(struct req *r, struct err *e)
{
	if (!streq(r->st->r.plural, "priorityclasses") ||
	    !(streq(r->at.name, "system-node-critical") || streq(r->at.name, "system-cluster-critical")))
		return 0;
	return err_forbidden(e, &r->res->r, r->at.name, "this is a system priority class and cannot be deleted");
}

int delete_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	struct node *meta;
	int64_t grace;

	if (admit_remove(r, cur, e) < 0 || delete_check_system(r, e) < 0)
		return -e->code;
	if (!cur)
		return err_not_found(e, &r->res->r, r->at.name);
	if (delete_check_preconditions(r, cur, e) < 0)
		return -e->code;
	d = doc_clone(obj_doc(cur));
	meta = node_get(doc_root(d), F_metadata);
	if (meta_is_deleting(doc_root(d))) {
		bool changed;

		delete_again(r, d, meta, &changed, remove);
		if (changed && !*remove)
			*out = take_ptr(&d);
		return 0;
	}
	delete_propagation(r, d, meta);
	if (is_core(r, "namespaces")) {
		if (delete_namespace(r, d, meta, out, remove))
			d = NULL;
		return 0;
	}
	if (crd_is_definition(&r->st->r))
		crd_begin_deletion(d);
	grace = delete_grace(r, doc_root(d));
	if (grace <= 0 && !node_count(node_get(meta, F_finalizers))) {
		*remove = true;
		return 0;
	}
	mark_deleting(d, meta, grace > 0 ? grace : 0);
	*out = take_ptr(&d);
	return 0;
}

bool delete_due_on_update(const struct req *r, const struct node *old, const struct node *root)
{
	const struct node *meta = meta_of(old);

	if (!meta_is_deleting(old) || node_count(node_get(meta_of(root), F_finalizers)) ||
	    node_int(node_get(meta, F_deletionGracePeriodSeconds), 0) != 0)
		return false;
	return !is_core(r, "namespaces") || !node_count(node_path(root, F_spec, F_finalizers));
}

/* --- delete --- */

static void delete_stored(struct req *r)
{
	bool keep = (r->opts.propagation && streq(r->opts.propagation, "Foreground")) || r->opts.orphan_false;

	r->success_status = r->removed && !returns_object(&r->res->r);
	if (!r->removed && keep && r->http)
		r->status = 202;
}

int act_delete(struct req *r, struct err *e)
{
	if (delete_options_from_body(r, e) < 0)
		return -e->code;
	delete_warn(r);
	r->mutate = delete_mutate;
	r->stored = delete_stored;
	return req_store(r, r->at.ns, r->at.name, e);
}

/* --- deletecollection: a delete for each of a list (or of a page of it), some at a time; the answer is the list
 * as it was --- */

struct multi;
struct multi_item {
	struct call call;
	struct multi *multi;
};
struct multi {
	struct req *r;
	struct multi_item *items;
	struct user as; /* who asked, authorized for all of it already */
	size_t next, running;
	struct err err;
	struct loop_task task;
};

static void multi_go_on(struct multi *m);

static void multi_item_done(struct call *c, const struct err *err)
{
	struct multi *m = CONTAINER_OF(c, struct multi_item, call)->multi;

	m->running--;
	if (err && err->reason != ERR_NOT_FOUND && !err_is_set(&m->err))
		err_copy(&m->err, err);
	multi_go_on(m);
}

static void multi_go_on(struct multi *m)
{
	struct req *r = m->r;

	while (m->running < MULTI_PARALLEL && m->next < r->list.n && !err_is_set(&m->err)) {
		struct obj *o = r->list.objs[m->next];
		struct multi_item *i = &m->items[m->next++];

		i->multi = m;
		i->call = (struct call){ .verb = VERB_DELETE, .res = &r->st->r, .ns = o->ns, .name = o->name,
					 .opts = r->opts, .done = multi_item_done };
		if (str_empty(r->opts.precond_uid))
			i->call.opts.precond_uid = o->uid;
		req_submit_call(r->api, &m->as, &i->call);
		m->running++;
	}
	if (!m->running)
		loop_defer(r->api->loop, &m->task);
}

static void multi_over(struct loop_task *t)
{
	struct multi *m = CONTAINER_OF(t, struct multi, task);
	struct req *r = m->r;
	struct err err = ERR_INIT;

	err_move(&err, &m->err);
	delete_multi_free(r);
	req_resume(r, &err);
}

void delete_multi_free(struct req *r)
{
	struct multi *m = r->multi;

	if (!m)
		return;
	r->multi = NULL;
	loop_undefer(r->api->loop, &m->task);
	for (size_t i = 0; i < m->next; i++)
		if (m->items[i].call.impl)
			req_cancel_call(r->api, &m->items[i].call);
	free(m->items);
	err_release(&m->err);
	free(m);
}

static bool multi_match(void *arg, struct obj *o)
{
	return filter_match(arg, o);
}

int act_deletecollection(struct req *r, struct err *e)
{
	struct multi *m;

	if (delete_options_from_body(r, e) < 0 ||
	    filter_init(&r->filter, r->res, r->opts.label_selector, r->opts.field_selector, e) < 0)
		return -e->code;
	delete_warn(r);
	r->list = (struct store_list){ .res = &r->st->r,
				       .ns = r->st->r.namespaced ? r->at.ns : "",
				       .limit = r->opts.limit,
				       .continue_token = r->opts.continue_token,
				       .match = r->filter.everything ? NULL : multi_match,
				       .arg = &r->filter };
	r->list_held = true;
	if (store_list(r->api->store, &r->list, e) < 0)
		return -e->code;
	r->is_list = true;
	r->opts.label_selector = r->opts.field_selector = r->opts.continue_token = NULL;
	r->opts.limit = 0;
	if (!r->opts.propagation && r->head && orphans_by_default(&r->res->r))
		r->opts.propagation = "Orphan";
	m = xcalloc(1, sizeof(*m));
	r->multi = m;
	m->r = r;
	m->as = *r->user;
	m->as.part = true;
	m->items = xcalloc(r->list.n + 1, sizeof(*m->items));
	m->task.run = multi_over;
	multi_go_on(m);
	return STEP_WAIT;
}
