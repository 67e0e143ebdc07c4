/*
 * CustomResourceDefinitions: which names a definition gets, that it is
 * established, and its end.
 *
 * Names are accepted one by one unless another definition of the group (or a
 * built-in kind) has them; a definition whose names are all accepted is
 * established for good, and the API serves it from then on. Conditions and their
 * words are those of apiextensions' naming, establishing, non-structural and
 * approval controllers, written in one go.
 *
 * A definition that is to be deleted first loses all its objects, in every
 * namespace; objects that a finalizer holds are waited for. Then its own
 * finalizer goes.
 */
#include "ctl/internal.h"

#include "schema/custom.h"

#define CRD_AGAIN_MS 1000

static const char crd_finalizer[] = "customresourcecleanup.apiextensions.k8s.io";

static const char *crd_group(const struct node *crd)
{
	return node_gets(node_get(crd, F_spec), F_group);
}

static const struct node *crd_conditions(const struct node *crd)
{
	return node_path(crd, F_status, F_conditions);
}

/* --- names --- */

struct crd_names { /* what others of the group have */
	struct map *resources, *kinds;
};

static void crd_taken(struct map *m, const char *name)
{
	if (*name)
		map_set(m, str_of(name), m);
}

static void crd_names_gather(struct crd_names *n, struct informer *crds, const struct node *crd)
{
	const char *group = crd_group(crd);

	for (struct obj *o = informer_next(crds, NULL, NULL); o; o = informer_next(crds, NULL, o)) {
		const char *dot = strchr(o->name, '.'); /* "plural.group": trees are made of the group's own only */
		_cleanup_doc_ struct doc *d = NULL;
		const struct node *names;

		if (streq(o->name, meta_name(crd)) || !dot || !streq(dot + 1, group))
			continue;
		d = obj_doc_once(o);
		names = node_path(doc_root(d), F_status, F_acceptedNames);
		crd_taken(n->resources, node_gets(names, F_plural));
		crd_taken(n->resources, node_gets(names, F_singular));
		NODE_FOREACH(s, node_get(names, F_shortNames))
			crd_taken(n->resources, node_cstr_or(s, ""));
		crd_taken(n->kinds, node_gets(names, F_kind));
		crd_taken(n->kinds, node_gets(names, F_listKind));
	}
	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r)) {
		if (r->custom || !streq(r->r.group, group))
			continue;
		crd_taken(n->resources, r->r.plural);
		crd_taken(n->resources, r->r.singular);
		crd_taken(n->kinds, r->r.kind);
		crd_taken(n->kinds, r->r.list_kind);
	}
}

struct crd_verdict {
	const char *reason; /* of NamesAccepted; NULL: no conflict */
	char *message;
};

static void crd_conflict(struct crd_verdict *v, const char *reason, const char *name)
{
	v->reason = reason;
	free(v->message);
	v->message = xasprintf("\"%s\" is already in use", name);
}

static bool crd_is_free(const struct map *taken, const struct node *accepted, enum field f, const char *want)
{
	return streq(node_gets(accepted, f), want) || !map_getc(taken, want);
}

static void crd_accept_short_names(struct doc *d, struct node *accepted, const struct node *want, const struct map *taken,
				   struct crd_verdict *v)
{
	const struct node *list = node_get(want, F_shortNames), *have = node_get(accepted, F_shortNames);

	NODE_FOREACH(s, list) {
		bool ours = false;

		NODE_FOREACH(h, have)
			ours |= node_equal(h, s);
		if (!ours && map_get(taken, node_str(s))) {
			crd_conflict(v, "ShortNamesConflict", node_cstr_or(s, ""));
			return;
		}
	}
	if (list)
		node_set(d, accepted, F_shortNames, node_copy(d, list));
	else
		node_remove(accepted, F_shortNames);
}

/* Moves accepted as far as it may go. */
static void crd_accept(struct doc *d, struct node *accepted, const struct node *want, const struct crd_names *taken,
		       struct crd_verdict *v)
{
	static const struct {
		enum field f;
		const char *reason;
		bool kind;
	} names[] = {
		{ F_plural, "PluralConflict", false },
		{ F_singular, "SingularConflict", false },
		{ F_kind, "KindConflict", true },
		{ F_listKind, "ListKindConflict", true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *name = node_gets(want, names[i].f);

		if (i == 2)
			crd_accept_short_names(d, accepted, want, taken->resources, v);
		if (!crd_is_free(names[i].kind ? taken->kinds : taken->resources, accepted, names[i].f, name))
			crd_conflict(v, names[i].reason, name);
		else if (*name)
			node_sets(d, accepted, names[i].f, name);
	}
	if (node_get(want, F_categories))
		node_set(d, accepted, F_categories, node_copy(d, node_get(want, F_categories)));
	else
		node_remove(accepted, F_categories);
}

/* --- conditions --- */

static void crd_say_names(struct doc *d, struct node *conds, const struct crd_verdict *v)
{
	bool established = cond_is_true(conds, "Established");

	if (v->reason)
		cond_set(d, conds, "NamesAccepted", "False", v->reason, v->message);
	else
		cond_set(d, conds, "NamesAccepted", "True", "NoConflicts", "no conflicts found");
	if (established)
		return;
	if (v->reason)
		cond_set(d, conds, "Established", "False", "NotAccepted", "not all names are accepted");
	else
		cond_set(d, conds, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted");
}

static void crd_cond_drop(struct node *conds, const char *type)
{
	NODE_FOREACH(c, conds)
		if (node_streq(node_get(c, F_type), type)) {
			node_remove_child(conds, c);
			return;
		}
}

static void crd_say_structural(struct doc *d, struct node *conds)
{
	_cleanup_buf_ struct buf why = BUF_INIT;

	if (schema_custom_structural(doc_root(d), &why))
		crd_cond_drop(conds, "NonStructuralSchema");
	else
		cond_set(d, conds, "NonStructuralSchema", "True", "Violations", why.s);
}

static void crd_say_approval(struct doc *d, struct node *conds)
{
	static const char type[] = "KubernetesAPIApprovalPolicyConformant";
	static const char see[] = "protected groups must have approval annotation \"api-approved.kubernetes.io\"";
	const struct node *crd = doc_root(d);
	const char *a = meta_annotation(crd, "api-approved.kubernetes.io");
	_cleanup_free_ char *text = NULL;

	if (!schema_custom_protected(crd_group(crd)))
		return;
	switch (schema_custom_approval(crd)) {
	case SCA_APPROVED:
		text = xasprintf("approved in %s", a);
		cond_set(d, conds, type, "True", "ApprovedAnnotation", text);
		break;
	case SCA_BYPASSED:
		text = xasprintf("not approved: \"%s\"", a);
		cond_set(d, conds, type, "False", "UnapprovedAnnotation", text);
		break;
	case SCA_INVALID:
		text = xasprintf("%s with either a URL or a reason starting with \"unapproved\", see "
				 "https://github.com/kubernetes/enhancements/pull/1111",
				 see);
		cond_set(d, conds, type, "Unknown", "InvalidAnnotation", text);
		break;
	case SCA_MISSING:
		text = xasprintf("%s, see https://github.com/kubernetes/enhancements/pull/1111", see);
		cond_set(d, conds, type, "False", "MissingAnnotation", text);
		break;
	}
}

/* --- a definition that lives --- */

struct crd_work {
	struct ctl_run *run;
	struct informer *crds;
	struct obj *crd;
	struct loop_task task;
	struct call call;
	struct map *namespaces; /* with objects that are to go */
	char *ns; /* the one under way */
	bool deleted;
};

static void crd_done(struct crd_work *w, bool failed, int64_t again_ms)
{
	char *key = xstrdup(w->crd->name);
	struct ctl_run *run = w->run;

	obj_unref(w->crd);
	map_free(w->namespaces);
	free(w->ns);
	free(w);
	ctl_run_done(run, key, failed, again_ms);
	free(key);
}

static void crd_written(void *arg, struct obj *o, const struct err *err)
{
	crd_done(arg, err && err->reason != ERR_NOT_FOUND, 0);
}

static void crd_live(struct crd_work *w)
{
	struct doc *d = doc_clone(obj_doc(w->crd));
	struct node *status = node_need_object(d, doc_root(d), F_status);
	struct node *conds = node_need_array(d, status, F_conditions);
	struct crd_names taken = { map_new(NULL), map_new(NULL) };
	struct crd_verdict v = { 0 };

	crd_names_gather(&taken, w->crds, doc_root(d));
	crd_accept(d, node_need_object(d, status, F_acceptedNames), node_path(doc_root(d), F_spec, F_names), &taken, &v);
	crd_say_names(d, conds, &v);
	crd_say_structural(d, conds);
	crd_say_approval(d, conds);
	map_free(taken.resources);
	map_free(taken.kinds);
	free(v.message);
	if (node_equal(doc_root(d), obj_node(w->crd))) {
		doc_unref(d);
		crd_done(w, false, 0);
		return;
	}
	client_update(ctl_run_client(w->run), w->crd->res, NULL, w->crd->name, "status", d, crd_written, w);
}

/* --- a definition's end --- */

static void crd_end_list(struct crd_work *w);

static void crd_say_end(struct crd_work *w, struct doc *d, const char *status, const char *reason, const char *message)
{
	cond_set(d, node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions), "Terminating", status,
		 reason, message);
}

static void crd_finalized(void *arg, struct obj *o, const struct err *err)
{
	crd_done(arg, err && err->reason != ERR_NOT_FOUND, 0);
}

/* All objects are gone. */
static void crd_finalize(struct crd_work *w)
{
	struct doc *d = doc_clone(obj_doc(w->crd));
	struct node *meta = node_need_object(d, doc_root(d), F_metadata), *list = node_need_array(d, meta, F_finalizers);

	NODE_FOREACH(f, list)
		if (node_streq(f, crd_finalizer)) {
			node_remove_child(list, f);
			break;
		}
	crd_say_end(w, d, "False", "InstanceDeletionCompleted", "removed all instances");
	client_update(ctl_run_client(w->run), w->crd->res, NULL, w->crd->name, NULL, d, crd_finalized, w);
}

static void crd_failed(void *arg, struct obj *o, const struct err *err)
{
	crd_done(arg, true, 0);
}

static void crd_end_failed(struct crd_work *w, const char *what, const struct err *err)
{
	struct doc *d = doc_clone(obj_doc(w->crd));
	_cleanup_free_ char *text = xasprintf("could not %s: %s", what, err_msg(err));

	crd_say_end(w, d, "True", "InstanceDeletionFailed", text);
	client_update(ctl_run_client(w->run), w->crd->res, NULL, w->crd->name, "status", d, crd_failed, w);
}

static void crd_end_next(struct crd_work *w);

static void crd_end_deleted(struct call *c, const struct err *err)
{
	struct crd_work *w = c->arg;

	if (err && err->reason != ERR_NOT_FOUND)
		crd_end_failed(w, "issue all deletes", err);
	else
		crd_end_next(w);
}

/* One namespace after the other. */
static void crd_end_next(struct crd_work *w)
{
	const struct schema_res *r = schema_custom_of(w->crd->name);
	struct map_iter it = { 0 };

	if (!r || !map_next(w->namespaces, &it)) {
		w->deleted = true;
		crd_end_list(w);
		return;
	}
	free(w->ns);
	w->ns = str_dup(it.key);
	w->call = (struct call){ .verb = VERB_DELETECOLLECTION, .res = &r->r, .ns = w->ns, .done = crd_end_deleted,
				 .arg = w };
	map_del(w->namespaces, it.key);
	client_submit(ctl_run_client(w->run), &w->call);
}

static void crd_end_listed(struct call *c, const struct err *err)
{
	struct crd_work *w = c->arg;

	if (err && err->reason != ERR_NOT_FOUND) {
		crd_end_failed(w, "list instances", err);
		return;
	}
	if (err || !c->n_list) {
		crd_finalize(w);
		return;
	}
	if (w->deleted) { /* finalizers hold some */
		crd_done(w, false, CRD_AGAIN_MS);
		return;
	}
	for (size_t i = 0; i < c->n_list; i++)
		map_set(w->namespaces, str_of(c->list[i]->ns), w);
	crd_end_next(w);
}

static void crd_end_list(struct crd_work *w)
{
	const struct schema_res *r = schema_custom_of(w->crd->name);

	if (!r) { /* it never had objects */
		crd_finalize(w);
		return;
	}
	w->call = (struct call){ .verb = VERB_LIST, .res = &r->r, .done = crd_end_listed, .arg = w };
	client_submit(ctl_run_client(w->run), &w->call);
}

static void crd_end_began(void *arg, struct obj *o, const struct err *err)
{
	struct crd_work *w = arg;

	if (err || !o) {
		crd_done(w, err && err->reason != ERR_NOT_FOUND, 0);
		return;
	}
	obj_unref(w->crd);
	w->crd = obj_ref(o);
	crd_end_list(w);
}

static void crd_end(struct crd_work *w)
{
	const struct node *c = cond_find(crd_conditions(obj_node(w->crd)), "Terminating");
	struct doc *d;

	w->namespaces = map_new(NULL);
	if (streq(node_gets(c, F_reason), "InstanceDeletionInProgress")) {
		crd_end_list(w);
		return;
	}
	d = doc_clone(obj_doc(w->crd));
	crd_say_end(w, d, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress");
	client_update(ctl_run_client(w->run), w->crd->res, NULL, w->crd->name, "status", d, crd_end_began, w);
}

/* --- */

/* Names became free: whoever could not have all of his looks again. */
static void crd_wake_group(struct ctl_run *run, struct informer *crds, const char *gone)
{
	const char *dot = strchr(gone, '.');

	for (struct obj *o = dot ? informer_next(crds, NULL, NULL) : NULL; o; o = informer_next(crds, NULL, o)) {
		const char *other = strchr(o->name, '.');

		if (other && streq(other, dot) && !cond_is_true(crd_conditions(obj_node(o)), "NamesAccepted"))
			ctl_run_wake(run, o->name);
	}
}

static void crd_go(struct loop_task *t)
{
	struct crd_work *w = CONTAINER_OF(t, struct crd_work, task);

	if (meta_is_deleting(obj_node(w->crd)))
		crd_end(w);
	else
		crd_live(w);
}

void crd_start(struct ctl_run *run, const struct ctl_view *v, const char *key)
{
	struct obj *crd = informer_find(v->of[0], "", key);
	struct crd_work *w;
	bool ours = false;

	if (!crd) {
		crd_wake_group(run, v->of[0], key);
		ctl_run_done(run, key, false, 0);
		return;
	}
	NODE_FOREACH(f, node_get(meta_of(obj_node(crd)), F_finalizers))
		ours |= node_streq(f, crd_finalizer);
	if (meta_is_deleting(obj_node(crd)) && !ours) {
		ctl_run_done(run, key, false, 0);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->run = run;
	w->crd = obj_ref(crd);
	w->crds = v->of[0];
	/* A few in each turn: a thousand definitions at once as trees would be a lot of memory. */
	w->task.run = crd_go;
	loop_defer(client_loop(ctl_run_client(run)), &w->task);
}
