/*
 * Claims of pods' own volumes (ephemeral-volume): for each volume of a pod that has
 * a volumeClaimTemplate a claim POD-VOLUME, owned by the pod, so that the garbage
 * collector takes it away with it.
 */
#include "ctl/internal.h"

enum { OF_PODS, OF_CLAIMS };

void ephemeral_key(struct obj *o, struct buf *out)
{
	NODE_FOREACH(v, node_path(obj_node(o), F_spec, F_volumes))
		if (node_get(v, F_ephemeral)) {
			obj_key_print(out, o->ns, o->name);
			return;
		}
}

void ephemeral_key_of_claim(struct obj *o, struct buf *out)
{
	const struct node *owner = meta_controller(obj_node(o));

	if (owner && node_streq(node_get(owner, F_kind), "Pod"))
		obj_key_print(out, o->ns, node_gets(owner, F_name));
}

static struct doc *ephemeral_claim(struct obj *pod, const struct node *template, const char *name)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta, *owner;
	const struct node *from = node_get(template, F_metadata);

	doc_set_root(d, root);
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, name);
	if (node_get(from, F_labels))
		node_set(d, meta, F_labels, node_copy(d, node_get(from, F_labels)));
	if (node_get(from, F_annotations))
		node_set(d, meta, F_annotations, node_copy(d, node_get(from, F_annotations)));
	owner = node_append(node_need_array(d, meta, F_ownerReferences), node_new(d, DOC_OBJECT));
	node_sets(d, owner, F_apiVersion, "v1");
	node_sets(d, owner, F_kind, "Pod");
	node_sets(d, owner, F_name, pod->name);
	node_sets(d, owner, F_uid, pod->uid);
	node_setb(d, owner, F_controller, true);
	node_setb(d, owner, F_blockOwnerDeletion, true);
	node_set(d, root, F_spec, node_copy(d, node_get(template, F_spec)));
	return d;
}

int ephemeral_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *pod = ctl_find(v->of[OF_PODS], key);

	if (!pod || meta_is_deleting(obj_node(pod)))
		return 0;
	NODE_FOREACH(vol, node_path(obj_node(pod), F_spec, F_volumes))
	{
		const struct node *template = node_path(vol, F_ephemeral, F_volumeClaimTemplate), *owner;
		_cleanup_free_ char *name = xasprintf("%s-%s", pod->name, node_gets(vol, F_name));
		struct obj *claim = informer_find(v->of[OF_CLAIMS], pod->ns, name);

		if (!template)
			continue;
		owner = claim ? meta_controller(obj_node(claim)) : NULL;
		if (!claim)
			plan_create(out, schema_res("", "persistentvolumeclaims"), pod->ns,
				    ephemeral_claim(pod, template, name));
		else if (!owner || !streq(node_gets(owner, F_uid), pod->uid))
			plan_event(out, pod, "Warning", "ClaimNotForPod",
				   "PVC %s/%s was not created for pod %s/%s (pod is not owner)", pod->ns, name, pod->ns,
				   pod->name);
	}
	return 0;
}
