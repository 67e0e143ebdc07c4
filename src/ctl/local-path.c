/*
 * The provisioner of local directories, kinglet.io/local-path (rancher.io/local-path
 * means the same, so that what was written for k3s works): a claim of such a class
 * gets a directory of its own on the node where its first pod runs. The directory
 * itself is made, and removed in the end, by that node (node/local-path.c).
 */
#include "ctl/internal.h"
#include "schema/claims.h"

#define NODES_AGAIN_MS 10000

enum { OF_CLAIMS, OF_VOLUMES, OF_CLASSES, OF_NODES };

/* Waits for us: the binder has named us, and (where the class says so) the scheduler a node. */
static bool local_path_wanted(const struct node *claim, const struct node *class)
{
	const char *by = meta_annotation(claim, CLAIM_PROVISIONER);

	return by && class && streq(by, node_gets(class, F_provisioner)) && provisioner_is_local(by) &&
	       !meta_is_deleting(claim) && !*node_gets(node_get(claim, F_spec), F_volumeName) &&
	       (!class_is_late(class) || meta_annotation(claim, CLAIM_NODE));
}

/* Of a class that binds at once: any node that is ready, and that the class allows. */
static const char *local_path_any_node(const struct ctl_view *v, const struct node *class)
{
	struct obj *o = NULL;

	while ((o = informer_next(v->of[OF_NODES], NULL, o)) != NULL) {
		struct place place = place_of(obj_node(o));

		if (cond_is_true(node_path(obj_node(o), F_status, F_conditions), "Ready") &&
		    !node_bool(node_path(obj_node(o), F_spec, F_unschedulable), false) && class_allows(class, &place))
			return o->name;
	}
	return NULL;
}

/* The node that the scheduler has chosen is no more: it is to choose another one. */
static bool local_path_give_back(const struct ctl_view *v, struct obj *claim, struct plan *out)
{
	const char *node = meta_annotation(obj_node(claim), CLAIM_NODE);
	struct doc *d;

	if (!node || informer_find(v->of[OF_NODES], "", node))
		return false;
	plan_event(out, claim, "Warning", "ProvisioningFailed", "failed to get target node: nodes \"%s\" not found", node);
	d = doc_clone(obj_doc(claim));
	node_removek(node_path(doc_root(d), F_metadata, F_annotations), str_of(CLAIM_NODE));
	plan_update(out, claim->res, claim->ns, claim->name, NULL, d);
	return true;
}

static const char *local_path_refusal(const struct node *claim)
{
	const struct node *spec = node_get(claim, F_spec);

	NODE_FOREACH(mode, node_get(spec, F_accessModes))
		if (!node_streq(mode, "ReadWriteOnce") && !node_streq(mode, "ReadWriteOncePod"))
			return "NodePath only supports ReadWriteOnce and ReadWriteOncePod access modes";
	if (node_get(spec, F_selector))
		return "claim.Spec.Selector is not supported";
	if (node_streq(node_get(spec, F_volumeMode), "Block"))
		return "block volumes are not supported: a local path is a directory";
	if (node_get(spec, F_dataSource) || node_get(spec, F_dataSourceRef))
		return "dataSource is not supported: a local path begins empty";
	if (*node_gets(spec, F_volumeAttributesClassName))
		return "volumeAttributesClassName is not supported: a local path has no attributes to set";
	return NULL;
}

static void local_path_affinity(struct doc *d, struct node *spec, const char *node)
{
	struct node *required = node_need_object(d, node_need_object(d, spec, F_nodeAffinity), F_required);
	struct node *term = node_append(node_need_array(d, required, F_nodeSelectorTerms), node_new(d, DOC_OBJECT));
	struct node *x = node_append(node_need_array(d, term, F_matchExpressions), node_new(d, DOC_OBJECT));

	node_sets(d, x, F_key, "kubernetes.io/hostname");
	node_sets(d, x, F_operator, "In");
	node_append(node_need_array(d, x, F_values), node_new_cstr(d, node));
}

static struct doc *local_path_volume(const struct ctl_view *v, struct obj *claim, struct obj *class, const char *name,
				     const char *node)
{
	const struct node *root = obj_node(claim), *options = node_get(obj_node(class), F_mountOptions);
	struct doc *d = doc_new();
	struct node *top = node_new(d, DOC_OBJECT), *meta, *spec, *host, *ref;
	const struct node *size = node_getc(node_path(root, F_spec, F_resources, F_requests), "storage");

	doc_set_root(d, top);
	meta = node_need_object(d, top, F_metadata);
	node_sets(d, meta, F_name, name);
	node_setk(d, node_need_object(d, meta, F_annotations), str_of(VOLUME_PROVISIONER),
		  node_new_cstr(d, node_gets(obj_node(class), F_provisioner)));
	spec = node_need_object(d, top, F_spec);
	node_set(d, spec, F_accessModes, node_copy(d, node_path(root, F_spec, F_accessModes)));
	if (size)
		node_setk(d, node_need_object(d, spec, F_capacity), str_of("storage"), node_copy(d, size));
	ref = obj_reference(d, claim);
	node_set(d, spec, F_claimRef, ref);
	if (options)
		node_set(d, spec, F_mountOptions, node_copy(d, options));
	node_sets(d, spec, F_persistentVolumeReclaimPolicy,
		  node_cstr_or(node_get(obj_node(class), F_reclaimPolicy), "Delete"));
	node_sets(d, spec, F_storageClassName, class->name);
	node_sets(d, spec, F_volumeMode, "Filesystem");
	host = node_need_object(d, spec, F_hostPath);
	node_set(d, host, F_path,
		 node_new_fmt(d, "%s/%s_%s_%s", v->cfg->local_storage, name, claim->ns, claim->name));
	node_sets(d, host, F_type, "DirectoryOrCreate");
	local_path_affinity(d, spec, node);
	return d;
}

static void local_path_sync(const struct ctl_view *v, struct obj *claim, struct plan *out)
{
	struct obj *class = informer_find(v->of[OF_CLASSES], "", storage_class(obj_node(claim)));
	_cleanup_free_ char *name = NULL, *done = NULL;
	const char *node, *refusal;

	if (!v->cfg->local_storage || !local_path_wanted(obj_node(claim), class ? obj_node(class) : NULL))
		return;
	name = xasprintf("pvc-%s", claim->uid);
	if (informer_find(v->of[OF_VOLUMES], "", name) || local_path_give_back(v, claim, out))
		return;
	refusal = local_path_refusal(obj_node(claim));
	node = meta_annotation(obj_node(claim), CLAIM_NODE);
	if (!node)
		node = local_path_any_node(v, obj_node(class));
	if (!refusal && !node) {
		refusal = "no node is ready to have the volume";
		plan_again(out, NODES_AGAIN_MS); /* nodes beat too often to be listened to for this */
	}
	if (refusal) {
		plan_event(out, claim, "Warning", "ProvisioningFailed",
			   "failed to provision volume with StorageClass \"%s\": %s", class->name, refusal);
		return;
	}
	plan_event(out, claim, "Normal", "Provisioning",
		   "External provisioner is provisioning volume for claim \"%s/%s\"", claim->ns, claim->name);
	done = xasprintf("Successfully provisioned volume %s", name);
	plan_create(out, schema_res("", "persistentvolumes"), "", local_path_volume(v, claim, class, name, node));
	plan_say(out, claim, "ProvisioningSucceeded", done, NULL, NULL);
}

int local_path_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *o = NULL;

	if (!streq(key, ALL_CLAIMS)) {
		o = ctl_find(v->of[OF_CLAIMS], key);
		if (o)
			local_path_sync(v, o, out);
		return 0;
	}
	while ((o = informer_next(v->of[OF_CLAIMS], NULL, o)) != NULL)
		local_path_sync(v, o, out);
	return 0;
}
