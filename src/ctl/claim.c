/*
 * Claims and the volumes that they get (persistentvolume-binder, the half that
 * looks at claims): an unbound claim is given the smallest volume that serves it,
 * or handed to a provisioner, or waits for the first pod that uses it. A binding
 * is written in steps, each by itself safe to be cut off: the volume names the
 * claim, the claim names the volume, the claim's status says so.
 *
 * One worker: two claims never choose the same volume.
 */
#include "ctl/internal.h"
#include "schema/claims.h"

enum { OF_CLAIMS, OF_VOLUMES, OF_CLASSES };

void claim_key_of_volume(struct obj *o, struct buf *out)
{
	const struct node *ref = node_path(obj_node(o), F_spec, F_claimRef);

	if (ref)
		obj_key_print(out, node_gets(ref, F_namespace), node_gets(ref, F_name));
	else
		buf_adds(out, ALL_CLAIMS);
}

void claim_key_of_class(struct obj *o, struct buf *out)
{
	(void)o;
	buf_adds(out, ALL_CLAIMS);
}

/* --- the steps of a binding --- */

static void claim_give(struct obj *volume, struct obj *claim, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(volume));
	struct node *root = doc_root(d), *spec = node_need_object(d, root, F_spec), *ref = node_get(spec, F_claimRef);

	if (!ref)
		node_setk(d, node_need_object(d, node_need_object(d, root, F_metadata), F_annotations),
			  str_of(BOUND_BY_CONTROLLER), node_new_cstr(d, "yes"));
	node_set(d, spec, F_claimRef, obj_reference(d, claim));
	plan_update(out, volume->res, "", volume->name, NULL, d);
}

static void claim_take(struct obj *claim, struct obj *volume, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(claim));
	struct node *root = doc_root(d), *spec = node_need_object(d, root, F_spec);
	struct node *notes = node_need_object(d, node_need_object(d, root, F_metadata), F_annotations);

	if (!*node_gets(spec, F_volumeName)) {
		node_sets(d, spec, F_volumeName, volume->name);
		node_setk(d, notes, str_of(BOUND_BY_CONTROLLER), node_new_cstr(d, "yes"));
	}
	node_setk(d, notes, str_of(CLAIM_BOUND), node_new_cstr(d, "yes"));
	plan_update(out, claim->res, claim->ns, claim->name, NULL, d);
}

static void claim_phase(struct obj *claim, const char *phase, struct plan *out)
{
	struct doc *d;
	struct node *status;

	if (node_streq(node_path(obj_node(claim), F_status, F_phase), phase))
		return;
	d = doc_clone(obj_doc(claim));
	status = node_need_object(d, doc_root(d), F_status);
	node_sets(d, status, F_phase, phase);
	if (!streq(phase, "Bound")) {
		node_remove(status, F_accessModes);
		node_remove(status, F_capacity);
	}
	plan_update(out, claim->res, claim->ns, claim->name, "status", d);
}

/* Bound, with what the volume offers. The capacity is the volume's from when they were bound. */
static void claim_status(struct obj *claim, struct obj *volume, struct plan *out)
{
	const struct node *have = node_get(obj_node(claim), F_status), *spec = node_get(obj_node(volume), F_spec);
	struct doc *d;
	struct node *status;

	if (node_streq(node_get(have, F_phase), "Bound") && node_get(have, F_capacity) &&
	    node_equal(node_get(have, F_accessModes), node_get(spec, F_accessModes)))
		return;
	d = doc_clone(obj_doc(claim));
	status = node_need_object(d, doc_root(d), F_status);
	node_sets(d, status, F_phase, "Bound");
	node_set(d, status, F_accessModes, node_copy(d, node_get(spec, F_accessModes)));
	if (!node_get(status, F_capacity))
		node_set(d, status, F_capacity, node_copy(d, node_get(spec, F_capacity)));
	plan_update(out, claim->res, claim->ns, claim->name, "status", d);
}

static void claim_bind(struct obj *claim, struct obj *volume, struct plan *out)
{
	if (!*node_gets(node_path(obj_node(volume), F_spec, F_claimRef), F_uid))
		claim_give(volume, claim, out);
	else if (!claim_is_bound(obj_node(claim)))
		claim_take(claim, volume, out);
	else
		claim_status(claim, volume, out);
}

/* --- growing --- */

static void claim_set_size(struct obj *o, const char *sub, enum field in, const struct node *size, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(o));
	struct node *list = node_need_object(d, node_need_object(d, doc_root(d), in), F_capacity);

	node_setk(d, list, str_of("storage"), node_copy(d, size));
	plan_update(out, o->res, o->ns, o->name, sub, d);
}

/* A bound claim that asks for more: our own volumes are directories and just get a larger number. */
static void claim_grow(struct obj *claim, struct obj *volume, struct plan *out)
{
	const struct node *root = obj_node(claim);
	const struct node *want = node_getc(node_path(root, F_spec, F_resources, F_requests), "storage");
	const struct node *have = node_getc(node_path(root, F_status, F_capacity), "storage");
	const char *by = meta_annotation(obj_node(volume), VOLUME_PROVISIONER);
	struct quantity w, h;

	if (!quantity_from_node(&w, want) || !quantity_from_node(&h, have) || quantity_cmp(&w, &h) <= 0)
		return;
	if (!by || !provisioner_is_local(by)) {
		plan_event(out, claim, "Normal", "ExternalExpanding",
			   "waiting for an external controller to expand this PVC");
		return;
	}
	if (volume_bytes(obj_node(volume)) < quantity_value(&w))
		claim_set_size(volume, NULL, F_spec, want, out);
	else
		claim_set_size(claim, "status", F_status, want, out);
}

/* --- claims that have none yet --- */

/* kept_only: one that somebody keeps for this very claim. */
static struct obj *claim_find_volume(const struct ctl_view *v, struct obj *claim, bool kept_only, struct map *taken)
{
	const struct node *root = obj_node(claim);
	struct obj *best = NULL, *o = NULL;

	while ((o = informer_next(v->of[OF_VOLUMES], NULL, o)) != NULL) {
		const struct node *volume = obj_node(o);
		bool kept = volume_is_kept_for(volume, root);

		if (meta_is_deleting(volume) || volume_unfit(volume, root) || map_getc(taken, o->name))
			continue;
		if (kept)
			return o;
		if (kept_only || node_path(volume, F_spec, F_claimRef) ||
		    !node_streq(node_path(volume, F_status, F_phase), "Available"))
			continue;
		if (volume_is_better(volume, best ? obj_node(best) : NULL))
			best = o;
	}
	return best;
}

static void claim_ask_provisioner(struct obj *claim, const char *provisioner, struct plan *out)
{
	const char *have = meta_annotation(obj_node(claim), CLAIM_PROVISIONER);
	struct node *notes;
	struct doc *d;

	if (have && streq(have, provisioner)) {
		plan_event(out, claim, "Normal", "ExternalProvisioning",
			   "Waiting for a volume to be created either by the external provisioner '%s' or manually by the "
			   "system administrator. If volume creation is delayed, please verify that the provisioner is "
			   "running and correctly registered.",
			   provisioner);
		return;
	}
	d = doc_clone(obj_doc(claim));
	notes = node_need_object(d, node_need_object(d, doc_root(d), F_metadata), F_annotations);
	node_setk(d, notes, str_of(CLAIM_PROVISIONER), node_new_cstr(d, provisioner));
	node_setk(d, notes, str_of("volume.beta.kubernetes.io/storage-provisioner"), node_new_cstr(d, provisioner));
	plan_update(out, claim->res, claim->ns, claim->name, NULL, d);
}

static void claim_provision(struct obj *claim, struct obj *class, const char *name, struct plan *out)
{
	const char *provisioner = class ? node_gets(obj_node(class), F_provisioner) : "";

	if (!class)
		plan_event(out, claim, "Warning", "ProvisioningFailed", "storageclass.storage.k8s.io \"%s\" not found", name);
	else if (!strncmp(provisioner, "kubernetes.io/", 14))
		plan_event(out, claim, "Warning", "ProvisioningFailed",
			   streq(provisioner, CLASS_NONE)
				   ? "no volume plugin matched name: %s"
				   : "no volume plugin matched name: %s; local disks are provisioned by kinglet.io/local-path",
			   provisioner);
	else
		claim_ask_provisioner(claim, provisioner, out);
}

static void claim_any_volume(const struct ctl_view *v, struct obj *claim, struct map *taken, struct plan *out)
{
	const struct node *root = obj_node(claim);
	const char *name = storage_class(root);
	struct obj *class = *name ? informer_find(v->of[OF_CLASSES], "", name) : NULL;
	bool late = class && class_is_late(obj_node(class)) && !meta_annotation(root, CLAIM_NODE);
	struct obj *volume = claim_find_volume(v, claim, late, taken);

	if (volume) {
		map_set(taken, str_of(volume->name), volume);
		claim_bind(claim, volume, out);
		return;
	}
	if (late)
		plan_event(out, claim, "Normal", "WaitForFirstConsumer",
			   "waiting for first consumer to be created before binding");
	else if (*name)
		claim_provision(claim, class, name, out);
	else
		plan_event(out, claim, "Normal", "FailedBinding",
			   "no persistent volumes available for this claim and no storage class is set");
	claim_phase(claim, "Pending", out);
}

static void claim_that_volume(const struct ctl_view *v, struct obj *claim, struct map *taken, struct plan *out)
{
	const char *name = node_gets(node_get(obj_node(claim), F_spec), F_volumeName), *why;
	struct obj *volume = informer_find(v->of[OF_VOLUMES], "", name);

	if (!volume || map_getc(taken, name)) {
		claim_phase(claim, "Pending", out);
		return;
	}
	why = volume_unfit(obj_node(volume), obj_node(claim));
	if (volume_is_kept_for(obj_node(volume), obj_node(claim))) {
		claim_bind(claim, volume, out);
	} else if (node_path(obj_node(volume), F_spec, F_claimRef)) {
		plan_event(out, claim, "Warning", "FailedBinding", "volume \"%s\" already bound to a different claim.", name);
		claim_phase(claim, "Pending", out);
	} else if (why) {
		plan_event(out, claim, "Warning", "VolumeMismatch", "Cannot bind to requested volume \"%s\": %s", name, why);
		claim_phase(claim, "Pending", out);
	} else {
		map_set(taken, str_of(name), volume);
		claim_bind(claim, volume, out);
	}
}

/* --- claims that have one --- */

static void claim_lost(struct obj *claim, const char *reason, const char *text, struct plan *out)
{
	if (node_streq(node_path(obj_node(claim), F_status, F_phase), "Lost"))
		return;
	plan_event(out, claim, "Warning", reason, "%s", text);
	claim_phase(claim, "Lost", out);
}

static void claim_check(const struct ctl_view *v, struct obj *claim, struct plan *out)
{
	const char *name = node_gets(node_get(obj_node(claim), F_spec), F_volumeName);
	struct obj *volume = *name ? informer_find(v->of[OF_VOLUMES], "", name) : NULL;
	size_t before = out->ops.n;

	if (!*name) {
		claim_lost(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
			   out);
	} else if (!volume) {
		claim_lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!", out);
	} else if (!node_path(obj_node(volume), F_spec, F_claimRef) ||
		   volume_is_kept_for(obj_node(volume), obj_node(claim))) {
		claim_bind(claim, volume, out);
		if (out->ops.n == before)
			claim_grow(claim, volume, out);
	} else {
		claim_lost(claim, "ClaimMisbound",
			   "Two claims are bound to the same volume, this one is bound incorrectly", out);
	}
}

static void claim_sync(const struct ctl_view *v, struct obj *claim, struct map *taken, struct plan *out)
{
	const struct node *root = obj_node(claim);

	if (meta_annotation(root, CLAIM_BOUND))
		claim_check(v, claim, out);
	else if (meta_is_deleting(root))
		return;
	else if (*node_gets(node_get(root, F_spec), F_volumeName))
		claim_that_volume(v, claim, taken, out);
	else
		claim_any_volume(v, claim, taken, out);
}

int claim_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct map *taken = map_new(NULL);
	struct obj *o = NULL;

	if (streq(key, ALL_CLAIMS)) {
		while ((o = informer_next(v->of[OF_CLAIMS], NULL, o)) != NULL)
			if (!meta_annotation(obj_node(o), CLAIM_BOUND))
				claim_sync(v, o, taken, out);
	} else if ((o = ctl_find(v->of[OF_CLAIMS], key)) != NULL) {
		claim_sync(v, o, taken, out);
	}
	map_free(taken);
	return 0;
}
