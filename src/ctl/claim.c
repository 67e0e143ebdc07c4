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
#include "schema/usage.h"

#define CLAIMS_OF_POD " pod" /* behind a pod's key */

enum { OF_CLAIMS, OF_VOLUMES, OF_CLASSES, OF_PODS };

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

/* A pod that the scheduler found no place for: its claims are told. */
void claim_key_of_pod(struct obj *o, struct buf *out)
{
	const struct node *root = obj_node(o), *tried = cond_find(node_path(root, F_status, F_conditions), "PodScheduled");

	if (!node_streq(node_get(tried, F_status), "False") || *node_gets(node_get(root, F_spec), F_nodeName))
		return;
	NODE_FOREACH(volume, node_path(root, F_spec, F_volumes))
		if (volume_has_claim(volume)) {
			obj_key_print(out, o->ns, o->name);
			buf_adds(out, CLAIMS_OF_POD);
			return;
		}
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

/* Kubernetes has no plug-in that grows anything but these two, and those have drivers that do it. */
static const char *claim_grow_event(const struct node *volume_spec)
{
	return node_get(volume_spec, F_csi) || node_get(volume_spec, F_flexVolume) ? "Normal" : "Warning";
}

/* A bound claim that asks for more: our own volumes are directories and just get a larger number, which the node that
 * has the directory sets as its limit where it can (node/local-dirs.c). */
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
		plan_event(out, claim, claim_grow_event(node_get(obj_node(volume), F_spec)), "ExternalExpanding",
			   "waiting for an external controller to expand this PVC");
	} else if (volume_bytes(obj_node(volume)) < quantity_value(&w)) {
		plan_event(out, claim, "Normal", "Resizing", "External resizer is resizing volume %s", volume->name);
		claim_set_size(volume, NULL, F_spec, want, out);
	} else {
		claim_set_size(claim, "status", F_status, want, out);
		plan_say(out, claim, "VolumeResizeSuccessful", "Resize volume succeeded", NULL, NULL);
	}
}

/* --- claims that have none yet --- */

/* kept_only: one that somebody keeps for this very claim. */
static struct obj *claim_find_volume(const struct ctl_view *v, struct obj *claim, bool kept_only, struct map *taken)
{
	struct obj *best = NULL, *o = NULL;

	while ((o = informer_next(v->of[OF_VOLUMES], NULL, o)) != NULL) {
		enum volume_fit fit = volume_fits(obj_node(o), obj_node(claim));

		if (fit == VOLUME_NOT || map_getc(taken, o->name))
			continue;
		if (fit == VOLUME_KEPT)
			return o;
		if (!kept_only && volume_is_better(obj_node(o), best ? obj_node(best) : NULL))
			best = o;
	}
	return best;
}

/* A claim that says nothing of a class gets the default one as soon as there is one. */
static bool claim_default_class(const struct ctl_view *v, struct obj *claim, struct plan *out)
{
	struct obj *best = NULL, *o = NULL;
	struct doc *d;

	if (usage_claim_class(obj_node(claim)))
		return false;
	while ((o = informer_next(v->of[OF_CLASSES], NULL, o)) != NULL)
		if (class_is_default(obj_node(o)) && (!best || class_is_newer(obj_node(o), obj_node(best))))
			best = o;
	if (!best)
		return false;
	d = doc_clone(obj_doc(claim));
	node_sets(d, node_need_object(d, doc_root(d), F_spec), F_storageClassName, best->name);
	plan_update(out, claim->res, claim->ns, claim->name, NULL, d);
	return true;
}

static bool pod_uses_claim(struct obj *pod, const char *claim)
{
	NODE_FOREACH(volume, node_path(obj_node(pod), F_spec, F_volumes))
		if (volume_uses_claim(volume, pod->name, claim))
			return true;
	return false;
}

/* Why it is not bound: there is no pod yet, or the scheduler has no place for it. */
static void claim_say_late(const struct ctl_view *v, struct obj *claim, struct plan *out)
{
	_cleanup_buf_ struct buf names = BUF_INIT;
	struct obj *pod = NULL;
	unsigned n = 0;

	while ((pod = informer_next(v->of[OF_PODS], claim->ns, pod)) != NULL)
		if (!*node_gets(node_get(obj_node(pod), F_spec), F_nodeName) && !usage_pod_is_over(obj_node(pod)) &&
		    pod_uses_claim(pod, claim->name))
			buf_addf(&names, "%s%s", n++ ? "," : "", pod->name);
	if (n)
		plan_event(out, claim, "Normal", "WaitForPodScheduled", "waiting for pod%s %s to be scheduled",
			   n > 1 ? "s" : "", names.s);
	else
		plan_event(out, claim, "Normal", "WaitForFirstConsumer",
			   "waiting for first consumer to be created before binding");
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
	if (claim_default_class(v, claim, out))
		return;
	if (late)
		claim_say_late(v, claim, out);
	else if (*name)
		claim_provision(claim, class, name, out);
	else
		plan_event(out, claim, "Normal", "FailedBinding",
			   "no persistent volumes available for this claim and no storage class is set");
	claim_phase(claim, "Pending", out);
}

/* Of a volume that is nobody's. */
static char *claim_not_that_volume(struct obj *volume, struct obj *claim)
{
	const char *why = volume_mismatch(obj_node(volume), obj_node(claim));

	if (meta_is_deleting(obj_node(volume)))
		return xasprintf("the volume is marked for deletion \"%s\"", volume->name);
	return xstrdup_null(why);
}

static void claim_that_volume(const struct ctl_view *v, struct obj *claim, struct map *taken, struct plan *out)
{
	const char *name = node_gets(node_get(obj_node(claim), F_spec), F_volumeName);
	struct obj *volume = informer_find(v->of[OF_VOLUMES], "", name);
	bool has = volume && node_path(obj_node(volume), F_spec, F_claimRef);
	_cleanup_free_ char *why = volume && !has ? claim_not_that_volume(volume, claim) : NULL;

	if (volume && !map_getc(taken, name) && !why && (!has || volume_is_kept_for(obj_node(volume), obj_node(claim)))) {
		map_set(taken, str_of(name), volume);
		claim_bind(claim, volume, out);
		return;
	}
	if (has)
		plan_event(out, claim, "Warning", "FailedBinding", "volume \"%s\" already bound to a different claim.", name);
	else if (why)
		plan_event(out, claim, "Warning", "VolumeMismatch", "Cannot bind to requested volume \"%s\": %s", name, why);
	claim_phase(claim, "Pending", out);
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

static void claim_sync_all(const struct ctl_view *v, struct map *taken, struct plan *out)
{
	struct obj *o = NULL;

	while ((o = informer_next(v->of[OF_CLAIMS], NULL, o)) != NULL)
		if (!meta_annotation(obj_node(o), CLAIM_BOUND))
			claim_sync(v, o, taken, out);
}

static void claim_sync_pods(const struct ctl_view *v, struct obj *pod, struct map *taken, struct plan *out)
{
	NODE_FOREACH(volume, node_path(obj_node(pod), F_spec, F_volumes))
	{
		_cleanup_free_ char *name = volume_claim_name(volume, pod->name);
		struct obj *o = name ? informer_find(v->of[OF_CLAIMS], pod->ns, name) : NULL;

		if (o && !meta_annotation(obj_node(o), CLAIM_BOUND))
			claim_sync(v, o, taken, out);
	}
}

int claim_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct map *taken = map_new(NULL);
	const char *mark = strstr(key, CLAIMS_OF_POD);
	_cleanup_free_ char *plain = str_dup(str_sub(str_of(key), 0, mark ? (size_t)(mark - key) : strlen(key)));
	struct obj *o;

	if (streq(key, ALL_CLAIMS))
		claim_sync_all(v, taken, out);
	else if ((o = ctl_find(v->of[mark ? OF_PODS : OF_CLAIMS], plain)) != NULL && mark)
		claim_sync_pods(v, o, taken, out);
	else if (o)
		claim_sync(v, o, taken, out);
	map_free(taken);
	return 0;
}
