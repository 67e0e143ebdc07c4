/*
 * Validation of PersistentVolumes and PersistentVolumeClaims: creation, what an
 * update may change (a claim's size and attributes class once it is bound, nothing
 * of a volume's source), status. A volume's spec stands inline in VolumeAttachments,
 * too, and a claim's in StatefulSets and ephemeral volumes.
 */
#include "schema/valid.h"

#include "base/limits.h"

static const char BETA_CLASS[] = "volume.beta.kubernetes.io/storage-class";
static const char *const MODES[] = { "Block", "Filesystem", NULL };

static void v_access_modes(struct valid *v, const struct vpath *p, const struct node *list)
{
	static const char *const ACCESS[] = { "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod",
					      NULL };
	bool alone = false, other = false;

	NODE_FOREACH(c, list) {
		bool known = v_is_one_of(node_str(c), ACCESS);

		if (!known)
			v_unsupported(v, p, node_str(c), ACCESS);
		alone = alone || node_streq(c, "ReadWriteOncePod");
		other = other || (known && !node_streq(c, "ReadWriteOncePod"));
	}
	if (alone && other)
		v_forbidden(v, p, "may not use ReadWriteOncePod with other access modes");
}

/* --- PersistentVolume: spec --- */

/* In the order of Kubernetes' checks. */
static const struct {
	enum field field;
	const char *path; /* in errors about what is inside, where it differs */
} VOLUME_TYPES[] = {
	{ F_hostPath, NULL },
	{ F_gcePersistentDisk, "persistentDisk" },
	{ F_awsElasticBlockStore, NULL },
	{ F_glusterfs, NULL },
	{ F_flocker, NULL },
	{ F_nfs, NULL },
	{ F_rbd, NULL },
	{ F_quobyte, NULL },
	{ F_cephfs, NULL },
	{ F_iscsi, NULL },
	{ F_cinder, NULL },
	{ F_fc, NULL },
	{ F_flexVolume, NULL },
	{ F_azureFile, NULL },
	{ F_vsphereVolume, NULL },
	{ F_photonPersistentDisk, NULL },
	{ F_portworxVolume, NULL },
	{ F_azureDisk, NULL },
	{ F_scaleIO, NULL },
	{ F_local, NULL },
	{ F_storageos, NULL },
	{ F_csi, NULL },
};

static void v_volume_types(struct valid *v, const struct vpath *p, const struct node *spec)
{
	unsigned found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(VOLUME_TYPES); i++) {
		enum field f = VOLUME_TYPES[i].field;
		const struct node *n = node_get(spec, f);
		const char *name = VOLUME_TYPES[i].path ? VOLUME_TYPES[i].path : doc_field_name(f);

		if (!n || node_is(n, DOC_NULL))
			continue;
		if (found++ > 0 && f != F_flexVolume) {
			v_forbidden(v, VP(p, doc_field_name(f)), "may not specify more than 1 volume type");
			continue;
		}
		v_named_source(v, VP(p, name), n, f);
		if (f == F_local && !node_get(spec, F_nodeAffinity))
			v_required(v, VP(p, "nodeAffinity"), "Local volume requires node affinity");
	}
	if (found == 0)
		v_required(v, p, "must specify a volume type");
}

static void v_capacity(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const ONLY[] = { "storage", NULL };

	if (node_count(n) == 0)
		v_required(v, p, NULL);
	if (!node_getc(n, "storage") || node_count(n) > 1)
		v_unsupported_node(v, p, n, ONLY);
	NODE_FOREACH(c, n) {
		const struct vpath *at = VPK(p, node_key(c));

		v_nonnegative_quantity(v, at, c);
		v_positive_quantity(v, at, c);
	}
}

/* What a spec inside a VolumeAttachment may not have. */
static void v_inline_volume(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const char WHY[] = "may not be specified in the context of inline volumes";
	static const enum field NOT[] = { F_claimRef, F_capacity, F_nodeAffinity, F_storageClassName };

	for (size_t i = 0; i < ARRAY_SIZE(NOT); i++) {
		if (!v_empty(node_get(spec, NOT[i])))
			v_forbidden(v, VP(p, doc_field_name(NOT[i])), WHY);
	}
	if (!node_get(spec, F_csi))
		v_required(v, VP(p, "csi"), "has to be specified in the context of inline volumes");
	if (v_str(spec, F_persistentVolumeReclaimPolicy).n > 0 &&
	    !node_streq(node_get(spec, F_persistentVolumeReclaimPolicy), "Retain"))
		v_forbidden(v, VP(p, "persistentVolumeReclaimPolicy"),
			    "may only be Retain in the context of inline volumes");
	if (v_str(spec, F_volumeMode).n > 0 && !node_streq(node_get(spec, F_volumeMode), "Filesystem"))
		v_forbidden(v, VP(p, "volumeMode"),
			    "may not specify volumeMode other than Filesystem in the context of inline volumes");
}

static void v_volume_class(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *class = node_get(spec, F_volumeAttributesClassName);

	if (!node_is(class, DOC_STRING))
		return;
	if (class->len == 0)
		v_required(v, VP(p, "volumeAttributesClassName"), "an empty string is disallowed");
	else
		v_name(v, VP(p, "volumeAttributesClassName"), node_str(class), NF_DNS_SUBDOMAIN);
	if (!node_get(spec, F_csi))
		v_required(v, VP(p, "csi"), "has to be specified when using volumeAttributesClassName");
}

static bool is_root(struct str path)
{
	while (path.n > 0 && (path.p[0] == '/' || path.p[0] == '.'))
		path = str_sub(path, 1, path.n);
	return path.n == 0;
}

void v_volume_spec(struct valid *v, const struct vpath *p, const struct node *spec, struct str name, bool inlined)
{
	static const char *const RECLAIM[] = { "Delete", "Recycle", "Retain", NULL };
	const struct node *iscsi = node_get(spec, F_iscsi), *host = node_get(spec, F_hostPath);

	if (inlined)
		v_inline_volume(v, p, spec);
	v_need(v, p, spec, F_accessModes, NULL);
	v_access_modes(v, VP(p, "accessModes"), node_get(spec, F_accessModes));
	if (!inlined) {
		v_capacity(v, VP(p, "capacity"), node_get(spec, F_capacity));
		if (v_str(spec, F_persistentVolumeReclaimPolicy).n > 0)
			v_may_be(v, p, spec, F_persistentVolumeReclaimPolicy, RECLAIM);
		if (node_get(spec, F_nodeAffinity) && !node_path(spec, F_nodeAffinity, F_required))
			v_required(v, VP(VP(p, "nodeAffinity"), "required"), "must specify required node constraints");
		else if (node_get(spec, F_nodeAffinity))
			v_node_selector(v, VP(VP(p, "nodeAffinity"), "required"),
					node_path(spec, F_nodeAffinity, F_required));
	}
	v_volume_types(v, p, spec);
	if (node_get(iscsi, F_initiatorName) && name.n + 1 + v_str(iscsi, F_targetPortal).n > 64)
		v_invalid(v, VP(VP(p, "iscsi"), "targetportal"), v_str(iscsi, F_targetPortal),
			  "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
			  "iscsi.initiatorName is specified.");
	if (host && v_str(host, F_path).n > 0 && is_root(v_str(host, F_path)) &&
	    node_streq(node_get(spec, F_persistentVolumeReclaimPolicy), "Recycle"))
		v_forbidden(v, VP(p, "persistentVolumeReclaimPolicy"),
			    "may not be 'recycle' for a hostPath mount of '/'");
	if (!inlined) {
		v_may_name(v, p, spec, F_storageClassName, NF_DNS_SUBDOMAIN);
		v_may_be(v, p, spec, F_volumeMode, MODES);
	}
	v_volume_class(v, p, spec);
}

/* --- PersistentVolume: update --- */

/* A secret to expand with may come later; all else of the source stays. */
static bool v_same_source(const struct node *now, const struct node *old, enum field f)
{
	const struct node *a = node_get(now, f), *b = node_get(old, f);

	if (v_same(a, b))
		return true;
	if (f != F_csi || !a || !b || node_get(b, F_controllerExpandSecretRef))
		return false;
	NODE_FOREACH(c, a) {
		if (c->name != F_controllerExpandSecretRef && !v_same(c, node_getk(b, node_key(c))))
			return false;
	}
	NODE_FOREACH(c, b) {
		if (!v_same(c, node_getk(a, node_key(c))))
			return false;
	}
	return true;
}

static void v_volume_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	const struct node *affinity = node_get(old, F_nodeAffinity);

	for (size_t i = 0; i < ARRAY_SIZE(VOLUME_TYPES); i++) {
		if (v_same_source(now, old, VOLUME_TYPES[i].field))
			continue;
		v_forbidden(v, VP(p, "persistentvolumesource"),
			    "spec.persistentvolumesource is immutable after creation\n");
		break;
	}
	v_fixed(v, NULL, now, old, F_volumeMode);
	if (affinity)
		v_fixed(v, NULL, now, old, F_nodeAffinity);
	if (node_get(old, F_volumeAttributesClassName) && !node_get(now, F_volumeAttributesClassName))
		v_forbidden(v, VP(p, "volumeAttributesClassName"), "update from non-nil value to nil is forbidden");
}

void v_persistent_volume(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status"))
		return;
	v_volume_spec(v, p, spec, str_of(meta_name(v->root)), false);
	if (v->old)
		v_volume_update(v, p, spec, node_get(v->old, F_spec));
}

/* --- PersistentVolumeClaim: spec --- */

static void v_data_source(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str group = v_str(n, F_apiGroup);

	if (!n)
		return;
	v_need(v, p, n, F_name, NULL);
	v_need(v, p, n, F_kind, NULL);
	if (group.n == 0 && !node_streq(node_get(n, F_kind), "PersistentVolumeClaim"))
		v_invalid(v, p, v_str(n, F_kind),
			  "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
	if (group.n > 0)
		v_name(v, VP(p, "apiGroup"), group, NF_DNS_SUBDOMAIN);
	v_may_name(v, p, n, F_namespace, NF_DNS_LABEL);
}

static void v_data_sources(struct valid *v, const struct vpath *p, const struct node *spec)
{
	static const enum field SAME[] = { F_apiGroup, F_kind, F_name };
	const struct node *source = node_get(spec, F_dataSource), *ref = node_get(spec, F_dataSourceRef);
	bool same = true;

	v_data_source(v, VP(p, "dataSource"), source);
	v_data_source(v, VP(p, "dataSourceRef"), ref);
	if (!source || !ref)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(SAME); i++)
		same = same && v_same(node_get(source, SAME[i]), node_get(ref, SAME[i]));
	if (v_str(ref, F_namespace).n > 0)
		v_invalid_node(v, p, source, "may not be specified when dataSourceRef.namespace is specified");
	else if (!same)
		v_invalid_node(v, p, source, "must match dataSourceRef");
}

void v_claim_spec(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *size = node_getc(node_path(spec, F_resources, F_requests), "storage");
	const struct vpath *at = VPK(VP(p, "resources"), STR_LIT("storage"));

	v_need(v, p, spec, F_accessModes, "at least 1 access mode is required");
	v_label_selector(v, VP(p, "selector"), node_get(spec, F_selector));
	v_access_modes(v, VP(p, "accessModes"), node_get(spec, F_accessModes));
	if (!size)
		v_required(v, at, NULL);
	else
		v_positive_quantity(v, at, size);
	v_may_name(v, p, spec, F_storageClassName, NF_DNS_SUBDOMAIN);
	v_may_be(v, p, spec, F_volumeMode, MODES);
	v_data_sources(v, p, spec);
	v_may_name(v, p, spec, F_volumeAttributesClassName, NF_DNS_SUBDOMAIN);
}

void v_claim_template(struct valid *v, const struct vpath *p, const struct node *tmpl)
{
	const struct node *meta = node_get(tmpl, F_metadata);
	const struct vpath *at = VP(p, "metadata");

	v_annotations(v, VP(at, "annotations"), node_get(meta, F_annotations));
	v_labels(v, VP(at, "labels"), node_get(meta, F_labels));
	NODE_FOREACH(c, meta) {
		if (c->name != F_annotations && c->name != F_labels && !v_empty(c))
			v_forbidden(v, VP(at, c->key), "cannot be set");
	}
	v_claim_spec(v, VP(p, "spec"), node_get(tmpl, F_spec));
}

/* --- PersistentVolumeClaim: update --- */

static void v_claim_size(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	struct quantity a, b, have = { 0, 'b' };

	if (!quantity_from_node(&a, node_getc(node_path(now, F_resources, F_requests), "storage")) ||
	    !quantity_from_node(&b, node_getc(node_path(old, F_resources, F_requests), "storage")) ||
	    quantity_cmp(&a, &b) >= 0)
		return;
	if (!quantity_from_node(&have, node_getc(node_path(v->old, F_status, F_capacity), "storage")))
		have.nano = 0;
	if (quantity_cmp(&a, &have) <= 0)
		v_forbidden(v, VP(VP(VP(p, "resources"), "requests"), "storage"),
			    "field can not be less than status.capacity");
}

/* Whether the class that is asked for now is only the old annotation's, written where it belongs, or a first one. */
static bool v_class_may_come(const struct valid *v, const struct node *now, const struct node *old)
{
	const char *was = meta_annotation(v->old, BETA_CLASS);

	return node_get(now, F_storageClassName) && !node_get(old, F_storageClassName) &&
	       (!was || streq(was, node_gets(now, F_storageClassName)));
}

static void claim_munge(const struct valid *v, struct doc *d, const struct node *old)
{
	struct node *now = doc_root(d), *requests = node_path(now, F_resources, F_requests);
	const struct node *size = node_getc(node_path(old, F_resources, F_requests), "storage");
	const struct node *class = node_get(old, F_volumeAttributesClassName);

	if (v_str(old, F_volumeName).n == 0)
		node_remove(now, F_volumeName);
	if (v_class_may_come(v, now, old))
		node_remove(now, F_storageClassName);
	if (!node_streq(node_path(v->root, F_status, F_phase), "Bound"))
		return;
	if (requests && size)
		node_setk(d, requests, STR_LIT("storage"), node_copy(d, size));
	if (class)
		node_set(d, now, F_volumeAttributesClassName, node_copy(d, class));
	else
		node_remove(now, F_volumeAttributesClassName);
}

static void v_claim_unchanged(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const char WHY[] = "spec is immutable after creation except resources.requests and "
				  "volumeAttributesClassName for bound claims\n";
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_buf_ struct buf diff = BUF_INIT;

	if (v_same(now, old))
		return;
	d = doc_new();
	doc_set_root(d, node_copy(d, now));
	claim_munge(v, d, old);
	if (v_diff(&diff, "spec", old, doc_root(d)))
		v_forbiddenf(v, p, "%s%s", WHY, diff.s);
}

static void v_claim_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	const struct node *class = node_get(now, F_volumeAttributesClassName);
	const char *was = meta_annotation(v->old, BETA_CLASS), *is = meta_annotation(v->root, BETA_CLASS);

	if (!streq(was ? was : "", is ? is : "") && !(v_class_may_come(v, now, old) && !is))
		v_invalid(v, VPK(VP(VP(NULL, "metadata"), "annotations"), str_of(BETA_CLASS)), str_of(is ? is : ""),
			  "field is immutable");
	v_claim_unchanged(v, p, now, old);
	v_claim_size(v, p, now, old);
	v_fixed(v, NULL, now, old, F_volumeMode);
	if (v_same(class, node_get(old, F_volumeAttributesClassName)) ||
	    !node_path(v->old, F_status, F_currentVolumeAttributesClassName))
		return;
	if (!class)
		v_forbidden(v, VP(p, "volumeAttributesClassName"),
			    "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil");
	else if (node_str(class).n == 0)
		v_forbidden(v, VP(p, "volumeAttributesClassName"),
			    "update to empty string is forbidden when status.currentVolumeAttributesClassName is not "
			    "nil");
}

/* --- PersistentVolumeClaim: status --- */

static bool v_claim_resource(struct valid *v, const struct vpath *p, struct str name)
{
	static const char *const ONLY[] = { "storage", NULL };
	size_t before = v->n;

	v_name(v, p, name, NF_QUALIFIED);
	if (v->n == before && v_is_native_resource(name) && !str_eqc(name, "storage"))
		v_unsupported(v, p, name, ONLY);
	return v->n == before;
}

static void v_claim_status(struct valid *v, const struct vpath *p, const struct node *status)
{
	static const char *const RESIZE[] = { "ControllerResizeInProgress", "ControllerResizeInfeasible",
					      "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending",
					      NULL };

	NODE_FOREACH(c, node_get(status, F_capacity))
		v_nonnegative_quantity(v, VPK(VP(p, "capacity"), node_key(c)), c);
	NODE_FOREACH(c, node_get(status, F_allocatedResourceStatuses)) {
		(void)v_claim_resource(v, VP(p, "allocatedResourceStatuses"), node_key(c));
		if (!v_is_one_of(node_str(c), RESIZE))
			v_unsupported(v, VP(p, "allocatedResourceStatuses"), node_key(c), RESIZE);
	}
	NODE_FOREACH(c, node_get(status, F_allocatedResources)) {
		if (v_claim_resource(v, VP(p, "allocatedResources"), node_key(c)))
			v_nonnegative_quantity(v, VPK(VP(p, "allocatedResources"), node_key(c)), c);
	}
}

void v_persistent_volume_claim(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		v_claim_status(v, VP(NULL, "status"), node_get(v->root, F_status));
		return;
	}
	v_claim_spec(v, p, spec);
	if (v->old)
		v_claim_update(v, p, spec, node_get(v->old, F_spec));
}
