/*
 * Claims and volumes that are in use outlive their deletion
 * (StorageObjectInUseProtection): admission gives them a finalizer, and it is
 * taken away here when they are to go and nobody uses them any more. A claim is
 * used by a pod that is not over, a volume by the claim that it is bound to.
 */
#include "ctl/internal.h"
#include "schema/claims.h"
#include "schema/usage.h"

#define CLAIM_FINALIZER "kubernetes.io/pvc-protection"
#define VOLUME_FINALIZER "kubernetes.io/pv-protection"

static struct node *protection_find(const struct node *root, const char *finalizer)
{
	NODE_FOREACH(f, node_get(meta_of(root), F_finalizers))
		if (node_streq(f, finalizer))
			return f;
	return NULL;
}

/* Is it to go, and only held by us (among others)? */
static bool protection_holds(struct obj *o, const char *finalizer)
{
	return o && meta_is_deleting(obj_node(o)) && protection_find(obj_node(o), finalizer);
}

static void protection_end(struct obj *o, const char *finalizer, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(o));
	struct node *list = node_get(node_get(doc_root(d), F_metadata), F_finalizers);

	node_remove_child(list, protection_find(doc_root(d), finalizer));
	plan_update(out, o->res, o->ns, o->name, NULL, d);
}

/* --- claims: by namespace, because a pod may use several --- */

static bool claim_is_used(const struct ctl_view *v, struct obj *claim)
{
	for (struct obj *p = NULL; (p = informer_next(v->of[1], claim->ns, p));) {
		if (usage_pod_is_over(obj_node(p)))
			continue;
		NODE_FOREACH(volume, node_path(obj_node(p), F_spec, F_volumes))
			if (volume_uses_claim(volume, p->name, claim->name))
				return true;
	}
	return false;
}

void protection_key_of_claim(struct obj *o, struct buf *out)
{
	if (meta_is_deleting(obj_node(o)))
		buf_adds(out, o->ns);
}

void protection_key_of_pod(struct obj *o, struct buf *out)
{
	NODE_FOREACH(volume, node_path(obj_node(o), F_spec, F_volumes))
		if (volume_has_claim(volume)) {
			buf_adds(out, o->ns);
			return;
		}
}

int protection_claims_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	for (struct obj *c = NULL; (c = informer_next(v->of[0], key, c));)
		if (protection_holds(c, CLAIM_FINALIZER) && !claim_is_used(v, c))
			protection_end(c, CLAIM_FINALIZER, out);
	return 0;
}

/* --- volumes --- */

int protection_volumes_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = informer_find(v->of[0], "", key);

	if (protection_holds(o, VOLUME_FINALIZER) && !streq(node_gets(node_get(obj_node(o), F_status), F_phase), "Bound"))
		protection_end(o, VOLUME_FINALIZER, out);
	return 0;
}
