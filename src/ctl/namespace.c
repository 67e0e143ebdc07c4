/*
 * The end of a namespace: everything in it goes, then its finalizer.
 *
 * One pass lists every kind that lives in namespaces and has objects at all, and
 * deletes what it finds: pods first and alone, for what they use must not go
 * under their feet, then all others together. When nothing is left the finalizer
 * "kubernetes" is taken out of spec.finalizers (the finalize subresource), which
 * removes the namespace unless somebody else has a finalizer there. What is left stands in the namespace's
 * conditions, worded as Kubernetes words it; nothing is polled, for whatever
 * happens in the namespace wakes it. What was being created while the namespace
 * ended is swept up when it is gone.
 */
#include "ctl/internal.h"

#include "base/log.h"

#define NAMESPACE_CHANGED_MS 1000 /* something changed but things are left: look again then, once for many changes */

struct namespaces { /* what the controller remembers */
	struct ctl_run *run;
	struct map *ending; /* name -> struct namespace_ending */
	TAILQ_HEAD(, namespace_end) passes; /* under way */
};

struct namespace_ending {
	size_t left; /* objects, by the last pass */
};

struct namespace_kind { /* one kind's part of a pass */
	struct namespace_end *end;
	const struct schema_res *res;
	struct call call;
	size_t objects, live; /* live: not being deleted yet */
};

struct namespace_end { /* one pass */
	TAILQ_ENTRY(namespace_end) link;
	struct ctl_run *run;
	char *name;
	struct obj *ns; /* NULL: it is gone already */
	VEC(struct namespace_kind *) kinds;
	size_t open; /* calls not answered */
	bool pods_first; /* this round is about pods only */
	bool deleting; /* this round deletes; else it lists */
	bool deleted; /* a list follows that tells what is left */
	VEC(char *) failures;
	struct map *finalizers; /* finalizer -> count, as (void *)n */
};

static void namespace_round(struct namespace_end *end);

void *namespace_open(struct ctl_run *run)
{
	struct namespaces *all = xcalloc(1, sizeof(*all));

	all->run = run;
	all->ending = map_new(free);
	TAILQ_INIT(&all->passes);
	return all;
}

static void namespace_end_free(struct namespaces *all, struct namespace_end *end)
{
	TAILQ_REMOVE(&all->passes, end, link);
	obj_unref(end->ns);
	map_free(end->finalizers);
	for (size_t i = 0; i < end->kinds.n; i++) {
		if (end->kinds.v[i]->call.impl)
			client_cancel(ctl_run_client(all->run), &end->kinds.v[i]->call);
		free(end->kinds.v[i]);
	}
	VEC_RELEASE(&end->kinds);
	for (size_t i = 0; i < end->failures.n; i++)
		free(end->failures.v[i]);
	VEC_RELEASE(&end->failures);
	free(end->name);
	free(end);
}

void namespace_close(void *data)
{
	struct namespaces *all = data;
	struct namespace_end *end;

	while ((end = TAILQ_FIRST(&all->passes)))
		namespace_end_free(all, end);
	map_free(all->ending);
	free(all);
}

/* Something happened in a namespace that ends. */
void namespace_feed(struct ctl_run *run, enum watch_type t, struct obj *o)
{
	struct namespaces *all = ctl_run_data(run);
	struct namespace_ending *n;

	if (t == WATCH_BOOKMARK || !*o->ns || !map_count(all->ending) || !(n = map_getc(all->ending, o->ns)))
		return;
	if (t == WATCH_DELETED && n->left)
		n->left--;
	ctl_run_wake_after(run, o->ns, n->left ? NAMESPACE_CHANGED_MS : 0);
}

static size_t namespace_left(const struct namespace_end *end)
{
	size_t n = 0;

	for (size_t i = 0; i < end->kinds.n; i++)
		n += end->kinds.v[i]->objects;
	return n;
}

static void namespace_end_done(struct namespace_end *end, bool failed)
{
	struct ctl_run *run = end->run;
	struct namespaces *all = ctl_run_data(run);
	struct namespace_ending *n = map_getc(all->ending, end->name);
	char *key = xstrdup(end->name);

	if (n)
		n->left = namespace_left(end);
	if (n && !end->ns)
		map_del(all->ending, str_of(key));
	namespace_end_free(all, end);
	ctl_run_done(run, key, failed, 0);
	free(key);
}

/* --- conditions --- */

static int namespace_cmp_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The texts, sorted so that equal states read equal. Takes them. */
static void namespace_join(struct buf *out, char **texts, size_t n)
{
	if (n)
		qsort(texts, n, sizeof(*texts), namespace_cmp_text);
	for (size_t i = 0; i < n; i++) {
		buf_addf(out, "%s%s", i ? ", " : "", texts[i]);
		free(texts[i]);
	}
	free(texts);
}

static void namespace_say_left(struct namespace_end *end, struct buf *out)
{
	VEC(char *) texts = VEC_INIT;

	for (size_t i = 0; i < end->kinds.n; i++) {
		const struct namespace_kind *k = end->kinds.v[i];

		if (k->objects)
			VEC_PUSH(&texts, xasprintf("%s.%s has %zu resource instances", k->res->r.plural, k->res->r.group,
						   k->objects));
	}
	buf_adds(out, "Some resources are remaining: ");
	namespace_join(out, texts.v, texts.n);
}

static void namespace_say_finalizers(struct namespace_end *end, struct buf *out)
{
	struct map_iter it = { 0 };
	VEC(char *) texts = VEC_INIT;

	while (map_next(end->finalizers, &it))
		VEC_PUSH(&texts, xasprintf("%" STR_FMT " in %lld resource instances", STR_ARG(it.key),
					   (long long)(intptr_t)it.value));
	buf_adds(out, "Some content in the namespace has finalizers remaining: ");
	namespace_join(out, texts.v, texts.n);
}

static void namespace_say_failures(struct namespace_end *end, struct buf *out)
{
	VEC(char *) texts = VEC_INIT;

	for (size_t i = 0; i < end->failures.n; i++)
		VEC_PUSH(&texts, xstrdup(end->failures.v[i]));
	buf_addf(out, "Failed to delete all resource types, %zu remaining: ", end->failures.n);
	namespace_join(out, texts.v, texts.n);
}

static bool namespace_conditions(struct namespace_end *end, struct doc *d)
{
	struct node *conds = node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions);
	_cleanup_buf_ struct buf left = BUF_INIT, fin = BUF_INIT, failed = BUF_INIT;
	bool changed = false;

	changed |= cond_set(d, conds, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
			    "All resources successfully discovered");
	changed |= cond_set(d, conds, "NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",
			    "All legacy kube types successfully parsed");
	namespace_say_failures(end, &failed);
	changed |= end->failures.n ? cond_set(d, conds, "NamespaceDeletionContentFailure", "True",
					      "ContentDeletionFailed", failed.s)
				   : cond_set(d, conds, "NamespaceDeletionContentFailure", "False", "ContentDeleted",
					      "All content successfully deleted, may be waiting on finalization");
	namespace_say_left(end, &left);
	changed |= namespace_left(end) ? cond_set(d, conds, "NamespaceContentRemaining", "True", "SomeResourcesRemain",
						  left.s)
				       : cond_set(d, conds, "NamespaceContentRemaining", "False", "ContentRemoved",
						  "All content successfully removed");
	namespace_say_finalizers(end, &fin);
	changed |= map_count(end->finalizers) ?
			   cond_set(d, conds, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", fin.s) :
			   cond_set(d, conds, "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers",
				    "All content-preserving finalizers finished");
	return changed;
}

static bool namespace_is_trouble(const struct err *err)
{
	return err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT;
}

/* --- the finalizer --- */

static void namespace_finalized(void *arg, struct obj *o, const struct err *err)
{
	namespace_end_done(arg, err && err->reason != ERR_NOT_FOUND);
}

static void namespace_finalize(struct namespace_end *end)
{
	struct doc *d = doc_clone(obj_doc(end->ns));
	struct node *fins = node_need_array(d, node_need_object(d, doc_root(d), F_spec), F_finalizers);

	NODE_FOREACH(f, fins)
		if (node_streq(f, "kubernetes")) {
			node_remove_child(fins, f);
			break;
		}
	/* Whoever changed the namespace meanwhile (its status above all) is no reason to fail. */
	node_remove(node_need_object(d, doc_root(d), F_metadata), F_resourceVersion);
	client_update(ctl_run_client(end->run), end->ns->res, NULL, end->ns->name, "finalize", d, namespace_finalized,
		      end);
}

/* --- saying how far it is --- */

static void namespace_said(void *arg, struct obj *o, const struct err *err)
{
	struct namespace_end *end = arg;

	if (namespace_is_trouble(err) || end->failures.n || namespace_left(end))
		namespace_end_done(end, namespace_is_trouble(err) || end->failures.n);
	else
		namespace_finalize(end);
}

/* Somebody may read the conditions: something is left, or somebody else keeps the namespace, or they are there. */
static bool namespace_has_readers(const struct namespace_end *end)
{
	const struct node *root = obj_node(end->ns);

	return end->failures.n || namespace_left(end) || node_count(node_path(root, F_spec, F_finalizers)) > 1 ||
	       node_count(node_path(root, F_metadata, F_finalizers)) || node_count(node_path(root, F_status, F_conditions));
}

static void namespace_say(struct namespace_end *end)
{
	struct doc *d;

	if (!end->ns) {
		namespace_end_done(end, end->failures.n > 0);
		return;
	}
	d = namespace_has_readers(end) ? doc_clone(obj_doc(end->ns)) : NULL;
	if (d && namespace_conditions(end, d)) {
		client_update(ctl_run_client(end->run), end->ns->res, NULL, end->ns->name, "status", d, namespace_said,
			      end);
		return;
	}
	doc_unref(d);
	namespace_said(end, NULL, NULL);
}

/* --- rounds of calls --- */

static void namespace_answered(struct namespace_end *end)
{
	if (--end->open == 0)
		namespace_round(end);
}

static void namespace_fail(struct namespace_end *end, const struct err *err)
{
	VEC_PUSH(&end->failures, xstrdup(err_msg(err)));
}

static void namespace_count_finalizers(struct namespace_end *end, struct obj *o)
{
	NODE_FOREACH(f, node_get(meta_of(obj_node(o)), F_finalizers))
	{
		intptr_t n = (intptr_t)map_get(end->finalizers, node_str(f));

		map_set(end->finalizers, node_str(f), (void *)(n + 1));
	}
}

static void namespace_listed(struct call *c, const struct err *err)
{
	struct namespace_kind *k = c->arg;

	k->objects = k->live = 0;
	if (err && err->reason != ERR_NOT_FOUND)
		namespace_fail(k->end, err);
	for (size_t i = 0; !err && i < c->n_list; i++) {
		k->objects++;
		k->live += !meta_is_deleting(obj_node(c->list[i]));
		if (k->end->deleted)
			namespace_count_finalizers(k->end, c->list[i]);
	}
	namespace_answered(k->end);
}

static void namespace_deleted(struct call *c, const struct err *err)
{
	struct namespace_kind *k = c->arg;

	if (err && err->reason != ERR_NOT_FOUND)
		namespace_fail(k->end, err);
	namespace_answered(k->end);
}

static void namespace_call(struct namespace_kind *k, enum verb verb)
{
	struct namespace_end *end = k->end;

	k->call = (struct call){ .verb = verb, .res = &k->res->r, .ns = end->name, .arg = k,
				 .done = verb == VERB_LIST ? namespace_listed : namespace_deleted };
	if (verb == VERB_DELETECOLLECTION)
		k->call.opts.propagation = "Background";
	end->open++;
	client_submit(ctl_run_client(end->run), &k->call);
}

static bool namespace_is_pods(const struct namespace_kind *k)
{
	return !*k->res->r.group && streq(k->res->r.plural, "pods");
}

/* Deletes (or lists) all kinds in which something is. */
static void namespace_submit(struct namespace_end *end, enum verb verb)
{
	end->open++; /* none is answered before all are asked */
	for (size_t i = 0; i < end->kinds.n; i++) {
		struct namespace_kind *k = end->kinds.v[i];

		if (end->pods_first && !namespace_is_pods(k))
			continue;
		if (verb == VERB_LIST ? !end->deleted || k->objects : k->live)
			namespace_call(k, verb);
	}
	namespace_answered(end);
}

static bool namespace_has_pods(const struct namespace_end *end)
{
	for (size_t i = 0; i < end->kinds.n; i++)
		if (namespace_is_pods(end->kinds.v[i]) && end->kinds.v[i]->objects)
			return true;
	return false;
}

/* Only pods count while they are there. */
static void namespace_forget_others(struct namespace_end *end)
{
	for (size_t i = 0; i < end->kinds.n; i++)
		if (!namespace_is_pods(end->kinds.v[i]))
			end->kinds.v[i]->objects = 0;
}

/* A round is over: list, delete pods, list pods, delete others, list others. */
static void namespace_round(struct namespace_end *end)
{
	if (end->deleting) {
		end->deleting = false;
		end->deleted = true;
		namespace_submit(end, VERB_LIST);
		return;
	}
	if (end->failures.n || (end->deleted && (!end->pods_first || namespace_has_pods(end)))) {
		if (end->pods_first)
			namespace_forget_others(end);
		namespace_say(end);
		return;
	}
	if (!namespace_left(end)) {
		namespace_say(end);
		return;
	}
	end->pods_first = namespace_has_pods(end);
	end->deleting = true;
	namespace_submit(end, VERB_DELETECOLLECTION);
}

static bool namespace_holds(const struct schema_res *r)
{
	return (r->served || r->custom) && r->r.namespaced && !r->is_virtual && (r->verbs & SV_DELETECOLLECTION) &&
	       (r->verbs & SV_LIST) && schema_storage(r) == r;
}

static void namespace_pass(struct ctl_run *run, const char *name, struct obj *ns)
{
	struct namespace_end *end = xcalloc(1, sizeof(*end));

	TAILQ_INSERT_TAIL(&((struct namespaces *)ctl_run_data(run))->passes, end, link);
	end->run = run;
	end->name = xstrdup(name);
	end->ns = ns ? obj_ref(ns) : NULL;
	end->finalizers = map_new(NULL);
	for (const struct schema_res *r = schema_next(NULL); r; r = schema_next(r))
		if (namespace_holds(r) && client_count(ctl_run_client(run), &r->r)) {
			struct namespace_kind *k = xcalloc(1, sizeof(*k));

			k->end = end;
			k->res = r;
			VEC_PUSH(&end->kinds, k);
		}
	namespace_submit(end, VERB_LIST);
}

static bool namespace_is_ours(struct obj *ns)
{
	if (!meta_is_deleting(obj_node(ns)))
		return false;
	NODE_FOREACH(f, node_path(obj_node(ns), F_spec, F_finalizers))
		if (node_streq(f, "kubernetes"))
			return true;
	return false;
}

void namespace_start(struct ctl_run *run, const struct ctl_view *v, const char *key)
{
	struct namespaces *all = ctl_run_data(run);
	struct obj *ns = informer_find(v->of[0], "", key);

	if (ns && namespace_is_ours(ns)) {
		if (!map_getc(all->ending, key))
			map_set(all->ending, str_of(key), xcalloc(1, sizeof(struct namespace_ending)));
		namespace_pass(run, key, ns);
	} else if (!ns && map_getc(all->ending, key)) {
		namespace_pass(run, key, NULL);
	} else {
		if (ns && !meta_is_deleting(obj_node(ns)))
			map_del(all->ending, str_of(key)); /* another of that name */
		ctl_run_done(run, key, false, 0);
	}
}
