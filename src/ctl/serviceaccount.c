/*
 * Every active namespace has a service account "default".
 */
#include "ctl/internal.h"

int serviceaccount_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *ns = informer_find(v->of[0], "", key);
	struct doc *d;
	struct node *root;

	if (!ns || meta_is_deleting(obj_node(ns)) || informer_find(v->of[1], key, "default"))
		return 0;
	d = doc_new();
	root = node_new(d, DOC_OBJECT);
	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, root, F_kind, "ServiceAccount");
	node_sets(d, node_need_object(d, root, F_metadata), F_name, "default");
	plan_create(out, schema_res("", "serviceaccounts"), key, d);
	return 0;
}
