/*
 * Every active namespace has a ConfigMap "kube-root-ca.crt" with the cluster's
 * certificate authority, put right when somebody changes it.
 */
#include "ctl/internal.h"

#define ROOTCA_NAME "kube-root-ca.crt"
#define ROOTCA_NOTE                                                                                        \
	"Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints " \
	"such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "   \
	"distributions of Kubernetes clusters."

static struct doc *rootca_doc(const struct ctl_view *v, struct obj *cur)
{
	struct doc *d = cur ? doc_clone(obj_doc(cur)) : doc_new();
	struct node *root = doc_root(d), *meta;

	if (!root) {
		root = node_new(d, DOC_OBJECT);
		doc_set_root(d, root);
		node_sets(d, root, F_apiVersion, "v1");
		node_sets(d, root, F_kind, "ConfigMap");
	}
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, ROOTCA_NAME);
	node_setk(d, node_need_object(d, meta, F_annotations), STR_LIT("kubernetes.io/description"),
		  node_new_cstr(d, ROOTCA_NOTE));
	node_setk(d, node_set(d, root, F_data, node_new(d, DOC_OBJECT)), STR_LIT("ca.crt"),
		  node_new_cstr(d, v->cfg->root_ca_pem));
	return d;
}

int rootca_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *ns = informer_find(v->of[0], "", key);
	struct obj *cur = informer_find(v->of[1], key, ROOTCA_NAME);
	const struct resource *r = schema_res("", "configmaps");

	if (!ns || meta_is_deleting(obj_node(ns)))
		return 0;
	if (!cur)
		plan_create(out, r, key, rootca_doc(v, NULL));
	else if (!node_streq(node_getc(node_get(obj_node(cur), F_data), "ca.crt"), v->cfg->root_ca_pem) ||
		 node_count(node_get(obj_node(cur), F_data)) != 1)
		plan_update(out, r, key, ROOTCA_NAME, NULL, rootca_doc(v, cur));
	return 0;
}
