/*
 * The end of a namespace: everything in it goes, then its finalizer.
 *
 * For each namespaced kind: deletecollection, then a list of what is left.
 * Pods go by their grace period and wake the namespace when they are gone; what
 * a finalizer holds is looked at again after a while. When nothing is left the
 * finalizer "kubernetes" is taken out of spec.finalizers (the finalize
 * subresource), which removes the namespace. What is still there stands in the
 * namespace's conditions, worded as Kubernetes words it.
 */
#include "ctl/internal.h"

#include "base/log.h"

#define NAMESPACE_AGAIN_MS 1000

struct namespace_left {
	const struct schema_res *res;
	int64_t objects;
};

struct namespace_end { /* one pass over a namespace's content */
	struct ctl_run *run;
	struct obj *ns;
	const struct schema_res *next; /* the kind to look at; NULL: all done */
	struct call call;
	bool failed;
	char *failure;
	VEC(struct namespace_left) left;
	struct map *finalizers; /* finalizer -> count, as (void *)n */
};

static void namespace_step(struct namespace_end *end);

/* Pods that end in a terminating namespace let it look again at once. */
void namespace_key_of_content(struct obj *o, struct buf *out)
{
	if (meta_is_deleting(obj_node(o)))
		buf_adds(out, o->ns);
}

static void namespace_end_done(struct namespace_end *end, bool failed, int64_t again_ms)
{
	struct ctl_run *run = end->run;
	char *key = xstrdup(end->ns->name);

	obj_unref(end->ns);
	map_free(end->finalizers);
	VEC_RELEASE(&end->left);
	free(end->failure);
	free(end);
	ctl_run_done(run, key, failed, again_ms);
	free(key);
}

/* --- conditions --- */

static void namespace_say_left(struct namespace_end *end, struct buf *out)
{
	buf_adds(out, "Some resources are remaining: ");
	for (size_t i = 0; i < end->left.n; i++) {
		const struct resource *r = &end->left.v[i].res->r;

		buf_addf(out, "%s%s.%s has %lld resource instances", i ? ", " : "", r->plural, r->group,
			 (long long)end->left.v[i].objects);
	}
}

static void namespace_say_finalizers(struct namespace_end *end, struct buf *out)
{
	struct map_iter it = { 0 };
	bool more = false;

	buf_adds(out, "Some content in the namespace has finalizers remaining: ");
	while (map_next(end->finalizers, &it)) {
		buf_addf(out, "%s%" STR_FMT " in %lld resource instances", more ? ", " : "", STR_ARG(it.key),
			 (long long)(intptr_t)it.value);
		more = true;
	}
}

static bool namespace_conditions(struct namespace_end *end, struct doc *d)
{
	struct node *conds = node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions);
	_cleanup_buf_ struct buf left = BUF_INIT, fin = BUF_INIT;
	bool any_fin = map_count(end->finalizers) > 0, changed = false;

	changed |= cond_set(d, conds, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
			    "All resources successfully discovered");
	changed |= cond_set(d, conds, "NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",
			    "All legacy kube types successfully parsed");
	changed |= end->failed ? cond_set(d, conds, "NamespaceDeletionContentFailure", "True", "ContentDeletionFailed",
					  end->failure)
			       : cond_set(d, conds, "NamespaceDeletionContentFailure", "False", "ContentDeleted",
					  "All content successfully deleted, may be waiting on finalization");
	namespace_say_left(end, &left);
	changed |= end->left.n ? cond_set(d, conds, "NamespaceContentRemaining", "True", "SomeResourcesRemain", left.s)
			       : cond_set(d, conds, "NamespaceContentRemaining", "False", "ContentRemoved",
					  "All content successfully removed");
	namespace_say_finalizers(end, &fin);
	changed |= any_fin ? cond_set(d, conds, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", fin.s)
			   : cond_set(d, conds, "NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers",
				      "All content-preserving finalizers finished");
	return changed;
}

static void namespace_said(void *arg, struct obj *o, const struct err *err)
{
	namespace_end_done(arg, err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT,
			   NAMESPACE_AGAIN_MS);
}

static void namespace_wait(struct namespace_end *end)
{
	struct doc *d = doc_clone(obj_doc(end->ns));

	if (!namespace_conditions(end, d)) {
		doc_unref(d);
		namespace_end_done(end, end->failed, NAMESPACE_AGAIN_MS);
		return;
	}
	client_update(ctl_run_client(end->run), end->ns->res, NULL, end->ns->name, "status", d, namespace_said, end);
}

/* --- the finalizer --- */

static void namespace_finalized(void *arg, struct obj *o, const struct err *err)
{
	namespace_end_done(arg, err && err->reason != ERR_NOT_FOUND, 0);
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

/* --- the pass --- */

static void namespace_note_left(struct namespace_end *end, const struct call *c)
{
	struct namespace_left l = { (const struct schema_res *)c->res, (int64_t)c->n_list };

	if (!c->n_list)
		return;
	VEC_PUSH(&end->left, l);
	for (size_t i = 0; i < c->n_list; i++)
		NODE_FOREACH(f, node_get(meta_of(obj_node(c->list[i])), F_finalizers))
		{
			intptr_t n = (intptr_t)map_get(end->finalizers, node_str(f));

			map_set(end->finalizers, node_str(f), (void *)(n + 1));
		}
}

static void namespace_fail(struct namespace_end *end, const struct err *err)
{
	if (!end->failed)
		end->failure = xasprintf("Failed to delete all resource types, 1 remaining: %s", err_msg(err));
	end->failed = true;
}

static void namespace_listed(struct call *c, const struct err *err)
{
	struct namespace_end *end = c->arg;

	if (err)
		namespace_fail(end, err);
	else
		namespace_note_left(end, c);
	namespace_step(end);
}

static void namespace_deleted(struct call *c, const struct err *err)
{
	struct namespace_end *end = c->arg;
	const struct resource *r = c->res;

	if (err && err->reason != ERR_NOT_FOUND)
		namespace_fail(end, err);
	end->call = (struct call){ .verb = VERB_LIST, .res = r, .ns = end->ns->name, .done = namespace_listed,
				   .arg = end };
	client_submit(ctl_run_client(end->run), &end->call);
}

static bool namespace_holds(const struct schema_res *r)
{
	return r->served && r->r.namespaced && !r->is_virtual && (r->verbs & SV_DELETECOLLECTION) &&
	       (r->verbs & SV_LIST) && schema_storage(r) == r;
}

static void namespace_step(struct namespace_end *end)
{
	const struct schema_res *r = end->next;

	while (r && !namespace_holds(r))
		r = schema_next(r);
	end->next = r ? schema_next(r) : NULL;
	if (!r) {
		if (end->failed || end->left.n)
			namespace_wait(end);
		else
			namespace_finalize(end);
		return;
	}
	end->call = (struct call){ .verb = VERB_DELETECOLLECTION, .res = &r->r,
				   .ns = end->ns->name, .done = namespace_deleted, .arg = end };
	end->call.opts.propagation = "Background";
	client_submit(ctl_run_client(end->run), &end->call);
}

void namespace_start(struct ctl_run *run, const struct ctl_view *v, const char *key)
{
	struct obj *ns = informer_find(v->of[0], "", key);
	struct namespace_end *end;
	bool ours = false;

	if (ns && meta_is_deleting(obj_node(ns)))
		NODE_FOREACH(f, node_path(obj_node(ns), F_spec, F_finalizers))
			ours |= node_streq(f, "kubernetes");
	if (!ours) {
		ctl_run_done(run, key, false, 0);
		return;
	}
	end = xcalloc(1, sizeof(*end));
	end->run = run;
	end->ns = obj_ref(ns);
	end->finalizers = map_new(NULL);
	end->next = schema_next(NULL);
	namespace_step(end);
}
