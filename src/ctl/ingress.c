/*
 * status.loadBalancer.ingress of the Ingresses that are ours (schema/ingress.h): the
 * addresses where the nodes' ingress answers, of all nodes that are ready: their
 * ExternalIPs when any has one, else their InternalIPs. Written when it changes,
 * taken away when the Ingress is another class's.
 *
 * The status of an Ingress that was never ours is left alone; what says that one was
 * is that its addresses are all nodes'.
 */
#include "ctl/internal.h"

#include <stdlib.h>

#include "schema/ingress.h"

enum { OF_INGRESSES, OF_CLASSES, OF_NODES };

#define LABEL_EXCLUDE "node.kubernetes.io/exclude-from-external-load-balancers"

typedef VEC(const char *) ingress_addresses;

static int ingress_by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* ready: only of nodes that serve. Texts are the nodes'. */
static void ingress_collect(struct informer *nodes, const char *type, bool ready, ingress_addresses *out)
{
	for (struct obj *n = NULL; (n = informer_next(nodes, NULL, n));) {
		const struct node *root = obj_node(n), *status = node_get(root, F_status);

		if (ready && (!cond_is_true(node_get(status, F_conditions), "Ready") || meta_label(root, LABEL_EXCLUDE)))
			continue;
		NODE_FOREACH(a, node_get(status, F_addresses))
			if (node_streq(node_get(a, F_type), type))
				VEC_PUSH(out, node_gets(a, F_address));
	}
}

static void ingress_want(struct informer *nodes, ingress_addresses *out)
{
	size_t n = 0;

	ingress_collect(nodes, "ExternalIP", true, out);
	if (!out->n)
		ingress_collect(nodes, "InternalIP", true, out);
	if (!out->n)
		return;
	qsort(out->v, out->n, sizeof(*out->v), ingress_by_text);
	for (size_t i = 0; i < out->n; i++)
		if (!n || !streq(out->v[n - 1], out->v[i]))
			out->v[n++] = out->v[i];
	out->n = n;
}

static bool ingress_has(const ingress_addresses *l, const char *text)
{
	for (size_t i = 0; i < l->n; i++)
		if (streq(l->v[i], text))
			return true;
	return false;
}

static bool ingress_is_right(const struct node *have, const ingress_addresses *want)
{
	size_t i = 0;

	NODE_FOREACH(a, have)
		if (i >= want->n || !streq(node_gets(a, F_ip), want->v[i++]))
			return false;
	return i == want->n;
}

/* Did we write that? */
static bool ingress_was_ours(struct informer *nodes, const struct node *have)
{
	ingress_addresses all = VEC_INIT;
	bool ours = node_count(have) > 0;

	ingress_collect(nodes, "ExternalIP", false, &all);
	ingress_collect(nodes, "InternalIP", false, &all);
	NODE_FOREACH(a, have)
		ours = ours && ingress_has(&all, node_gets(a, F_ip));
	VEC_RELEASE(&all);
	return ours;
}

static void ingress_write(struct plan *out, struct obj *o, const ingress_addresses *want)
{
	struct doc *d = doc_new();
	struct node *lb, *list;

	doc_set_root(d, node_new(d, DOC_OBJECT));
	lb = node_need_object(d, node_need_object(d, doc_root(d), F_status), F_loadBalancer);
	if (want->n) {
		list = node_need_array(d, lb, F_ingress);
		for (size_t i = 0; i < want->n; i++)
			node_sets(d, node_append(list, node_new(d, DOC_OBJECT)), F_ip, want->v[i]);
	} else {
		node_set(d, lb, F_ingress, node_new(d, DOC_NULL));
	}
	plan_patch(out, o->res, o->ns, o->name, PATCH_MERGE, d);
	out->ops.v[out->ops.n - 1].subresource = xstrdup("status");
}

static bool ingress_is_taken(const struct ctl_view *v, const struct node *root)
{
	const char *name = ingress_class_name(root);
	struct obj *class = str_empty(name) ? NULL : informer_find(v->of[OF_CLASSES], "", name);
	bool any_default = false;

	for (struct obj *c = NULL; (c = informer_next(v->of[OF_CLASSES], NULL, c));)
		any_default |= ingress_class_is_ours(obj_node(c)) && ingress_class_is_default(obj_node(c));
	return ingress_is_ours(root, class ? obj_node(class) : NULL, any_default);
}

int ingress_status_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *o = ctl_find(v->of[OF_INGRESSES], key);
	ingress_addresses want = VEC_INIT;
	const struct node *have;

	if (!o || meta_is_deleting(obj_node(o)))
		return 0;
	have = node_path(obj_node(o), F_status, F_loadBalancer, F_ingress);
	if (ingress_is_taken(v, obj_node(o)))
		ingress_want(v->of[OF_NODES], &want);
	else if (!ingress_was_ours(v->of[OF_NODES], have))
		return 0;
	if (!ingress_is_right(have, &want))
		ingress_write(out, o, &want);
	VEC_RELEASE(&want);
	return 0;
}

/* --- what wakes them --- */

struct ingress_watch {
	struct ctl_run *run;
	struct informer *nodes, *classes;
};

static bool ingress_node_changed(struct obj *obj, struct obj *old)
{
	const struct node *is = obj_node(obj), *was = old ? obj_node(old) : NULL;

	return !old ||
	       cond_is_true(node_path(is, F_status, F_conditions), "Ready") !=
		       cond_is_true(node_path(was, F_status, F_conditions), "Ready") ||
	       !meta_label(is, LABEL_EXCLUDE) != !meta_label(was, LABEL_EXCLUDE) ||
	       !node_equal(node_path(is, F_status, F_addresses), node_path(was, F_status, F_addresses));
}

static void ingress_on_node(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct ingress_watch *w = arg;

	if (t == WATCH_DELETED || ingress_node_changed(obj, old))
		ctl_run_wake_all(w->run);
}

static void ingress_on_class(void *arg, enum watch_type t UNUSED, struct obj *obj UNUSED, struct obj *old UNUSED)
{
	struct ingress_watch *w = arg;

	ctl_run_wake_all(w->run);
}

static const struct informer_ops ingress_node_ops = { ingress_on_node, NULL };
static const struct informer_ops ingress_class_ops = { ingress_on_class, NULL };

void *ingress_status_open(struct ctl_run *run)
{
	struct ingress_watch *w = xcalloc(1, sizeof(*w));
	struct client *c = ctl_run_client(run);

	w->run = run;
	w->nodes = informer_get(c, schema_res("", "nodes"), NULL);
	w->classes = informer_get(c, schema_res("networking.k8s.io", "ingressclasses"), NULL);
	informer_subscribe(w->nodes, &ingress_node_ops, w);
	informer_subscribe(w->classes, &ingress_class_ops, w);
	return w;
}

void ingress_status_close(void *data)
{
	struct ingress_watch *w = data;

	informer_unsubscribe(w->nodes, w);
	informer_unsubscribe(w->classes, w);
	free(w);
}
