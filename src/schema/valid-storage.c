/*
 * Validation of group storage.k8s.io: StorageClass, VolumeAttachment, CSIDriver,
 * CSINode, CSIStorageCapacity, VolumeAttributesClass.
 */
#include "schema/valid.h"

/* --- StorageClass --- */

static void v_provisioner(struct valid *v, const struct vpath *p, struct str s)
{
	const char *m[NAME_MSGS];
	_cleanup_free_ char *lower = str_dup(s);
	unsigned n;

	if (s.n == 0) {
		v_required(v, p, NULL);
		return;
	}
	for (char *c = lower; *c; c++)
		*c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
	n = name_messages(NF_QUALIFIED, str_of(lower), false, m);
	for (unsigned i = 0; i < n; i++)
		v_invalid(v, p, s, m[i]);
}

static void v_topology_term(struct valid *v, const struct vpath *p, const struct node *term)
{
	const struct node *list = node_get(term, F_matchLabelExpressions);
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(VP(p, "matchLabelExpressions"), i++);
		const struct node *values = node_get(c, F_values);
		size_t k = 0;

		if (node_count(values) == 0)
			v_required(v, VP(at, "values"), NULL);
		NODE_FOREACH(value, values) {
			NODE_FOREACH(other, values) {
				if (other == value)
					break;
				if (node_equal(other, value)) {
					v_duplicate(v, VPI(VP(at, "values"), k), value);
					break;
				}
			}
			k++;
		}
		v_name(v, VP(at, "key"), v_str(c, F_key), NF_QUALIFIED);
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_key), v_str(c, F_key))) {
				v_duplicate_str(v, VP(at, "key"), v_str(c, F_key));
				break;
			}
		}
	}
}

static void v_topologies(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		v_topology_term(v, at, c);
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (node_equal(other, c)) {
				v_duplicate_str(v, VP(at, "matchLabelExpressions"), STR_LIT(""));
				break;
			}
		}
	}
}

static void v_class_update(struct valid *v, const struct node *now, const struct node *old)
{
	static const enum field FIXED[] = { F_parameters, F_provisioner, F_reclaimPolicy };

	for (size_t i = 0; i < ARRAY_SIZE(FIXED); i++) {
		const char *name = doc_field_name(FIXED[i]);

		if (!v_same(node_get(now, FIXED[i]), node_get(old, FIXED[i])))
			v_forbiddenf(v, VP(NULL, name), "updates to %s are forbidden.", name);
	}
	v_fixed(v, NULL, now, old, F_volumeBindingMode);
}

void v_storage_class(struct valid *v)
{
	static const char *const RECLAIM[] = { "Delete", "Retain", NULL };
	static const char *const BINDING[] = { "Immediate", "WaitForFirstConsumer", NULL };

	if (v->old)
		v_class_update(v, v->root, v->old);
	v_provisioner(v, VP(NULL, "provisioner"), v_str(v->root, F_provisioner));
	v_parameters(v, VP(NULL, "parameters"), node_get(v->root, F_parameters), true);
	if (v_str(v->root, F_reclaimPolicy).n > 0)
		v_may_be(v, NULL, v->root, F_reclaimPolicy, RECLAIM);
	v_one_of(v, VP(NULL, "volumeBindingMode"), node_get(v->root, F_volumeBindingMode), BINDING);
	v_topologies(v, VP(NULL, "allowedTopologies"), node_get(v->root, F_allowedTopologies));
}

/* --- VolumeAttachment --- */

static void v_attachment_source(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char ONE[] = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
	const struct node *spec = node_get(n, F_inlineVolumeSpec), *name = node_get(n, F_persistentVolumeName);

	if (!spec && !name)
		v_required(v, p, ONE);
	else if (spec && name)
		v_forbidden(v, p, ONE);
	else if (spec)
		v_volume_spec(v, VP(p, "inlineVolumeSpec"), spec, STR_LIT(""), true);
	else if (node_str(name).n == 0)
		v_required(v, VP(p, "persistentVolumeName"), "must specify non empty persistentVolumeName");
	else
		v_name(v, VP(p, "persistentVolumeName"), node_str(name), NF_DNS_SUBDOMAIN);
}

static void v_attachment_status(struct valid *v, const struct vpath *p, const struct node *status)
{
	enum { MAX_METADATA_BYTES = 256 << 10, MAX_MESSAGE_BYTES = 1024 };
	static const enum field ERRORS[] = { F_attachError, F_detachError };
	size_t total = 0;

	NODE_FOREACH(c, node_get(status, F_attachmentMetadata))
		total += c->key_len + node_str(c).n;
	if (total > MAX_METADATA_BYTES)
		v_too_long(v, VP(p, "attachmentMetadata"), MAX_METADATA_BYTES);
	for (size_t i = 0; i < ARRAY_SIZE(ERRORS); i++) {
		if (v_str(node_get(status, ERRORS[i]), F_message).n > MAX_MESSAGE_BYTES)
			v_too_long(v, VP(VP(p, doc_field_name(ERRORS[i])), "message"), MAX_METADATA_BYTES);
	}
}

void v_volume_attachment(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (v->old)
		v_fixed(v, NULL, v->root, v->old, F_spec);
	v_csi_driver_name(v, VP(p, "attacher"), v_str(spec, F_attacher));
	v_attachment_source(v, VP(p, "source"), node_get(spec, F_source));
	v_name(v, VP(p, "nodeName"), v_str(spec, F_nodeName), NF_DNS_SUBDOMAIN);
	v_attachment_status(v, VP(NULL, "status"), node_get(v->root, F_status));
}

/* --- CSIDriver, CSINode --- */

static void v_token_requests(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);
		const struct node *seconds = node_get(c, F_expirationSeconds);

		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_audience), v_str(c, F_audience))) {
				v_duplicate_str(v, VP(at, "audience"), v_str(c, F_audience));
				break;
			}
		}
		if (!seconds)
			continue;
		if (node_int(seconds, 0) < 600)
			v_invalid_node(v, VP(at, "expirationSeconds"), seconds,
				       "may not specify a duration less than 10 minutes");
		if (node_int(seconds, 0) > 1LL << 32)
			v_invalid_node(v, VP(at, "expirationSeconds"), seconds,
				       "may not specify a duration larger than 2^32 seconds");
	}
}

void v_csi_driver(struct valid *v)
{
	static const char *const LIFE[] = { "Persistent", "Ephemeral", NULL };
	static const char *const GROUP[] = { "File", "None", "ReadWriteOnceWithFSType", NULL };
	static const struct {
		enum field field;
		const char *name;
	} NEEDED[] = { { F_attachRequired, "attachedRequired" },
		       { F_podInfoOnMount, "podInfoOnMount" },
		       { F_storageCapacity, "storageCapacity" } };
	const struct node *spec = node_get(v->root, F_spec), *period = node_get(spec, F_nodeAllocatableUpdatePeriodSeconds);
	const struct vpath *p = VP(NULL, "spec");

	v_csi_driver_name(v, VP(NULL, "name"), str_of(meta_name(v->root)));
	for (size_t i = 0; i < ARRAY_SIZE(NEEDED); i++) {
		if (!node_get(spec, NEEDED[i].field))
			v_required(v, VP(p, NEEDED[i].name), NULL);
	}
	NODE_FOREACH(c, node_get(spec, F_volumeLifecycleModes)) {
		if (!v_is_one_of(node_str(c), LIFE))
			v_unsupported(v, VP(p, "volumeLifecycleModes"), node_str(c), LIFE);
	}
	v_may_be(v, p, spec, F_fsGroupPolicy, GROUP);
	v_token_requests(v, VP(p, "tokenRequests"), node_get(spec, F_tokenRequests));
	v_need(v, p, spec, F_seLinuxMount, NULL);
	if (period && node_int(period, 0) < 10)
		v_invalid_node(v, VP(p, "nodeAllocatableUpdatePeriodSeconds"), period,
			       "must be greater than or equal to 10 seconds");
	if (!v->old)
		return;
	v_immutable(v, VP(p, "attachedRequired"), node_get(spec, F_attachRequired),
		    node_path(v->old, F_spec, F_attachRequired));
	v_fixed(v, p, spec, node_get(v->old, F_spec), F_volumeLifecycleModes);
}

static void v_csi_node_driver(struct valid *v, const struct vpath *p, const struct node *n, const struct node *list)
{
	struct str id = v_str(n, F_nodeID), name = v_str(n, F_name);
	const struct node *keys = node_get(n, F_topologyKeys);

	v_csi_driver_name(v, VP(p, "name"), name);
	if (id.n == 0)
		v_required(v, VP(p, "nodeID"), NULL);
	if (id.n > 192)
		v_invalid(v, VP(p, "nodeID"), id, "must be 192 characters or less");
	v_nonnegative(v, VP(VP(p, "allocatable"), "count"), node_path(n, F_allocatable, F_count));
	NODE_FOREACH(other, list) {
		if (other == n)
			break;
		if (str_eq(v_str(other, F_name), name)) {
			v_duplicate_str(v, VP(p, "name"), name);
			break;
		}
	}
	NODE_FOREACH(c, keys) {
		const char *m[NAME_MSGS];
		unsigned bad = name_messages(NF_QUALIFIED, node_str(c), false, m);

		if (node_str(c).n == 0)
			v_required(v, p, NULL);
		NODE_FOREACH(other, keys) {
			if (other == c)
				break;
			if (node_equal(other, c)) {
				v_duplicate(v, p, c);
				break;
			}
		}
		for (unsigned i = 0; i < bad; i++)
			v_invalid_node(v, p, keys, m[i]);
	}
}

void v_csi_node(struct valid *v)
{
	const struct node *drivers = node_path(v->root, F_spec, F_drivers);
	const struct vpath *p = VP(VP(NULL, "spec"), "drivers");
	size_t i = 0;

	NODE_FOREACH(c, drivers)
		v_csi_node_driver(v, VPI(p, i++), c, drivers);
	NODE_FOREACH(old, node_path(v->old, F_spec, F_drivers)) {
		NODE_FOREACH(c, drivers) {
			const struct node *a = node_get(c, F_allocatable), *b = node_get(old, F_allocatable);

			if (!str_eq(v_str(old, F_name), v_str(c, F_name)))
				continue;
			if (!v_same(node_get(c, F_nodeID), node_get(old, F_nodeID)) ||
			    !v_same(node_get(c, F_topologyKeys), node_get(old, F_topologyKeys)) || (!a) != (!b))
				v_invalid_node(v, VP(NULL, "CSINodeDriver"), c, "field is immutable");
		}
	}
}

/* --- CSIStorageCapacity, VolumeAttributesClass --- */

void v_csi_storage_capacity(struct valid *v)
{
	v_label_selector(v, VP(NULL, "nodeTopology"), node_get(v->root, F_nodeTopology));
	v_name(v, VP(NULL, "storageClassName"), v_str(v->root, F_storageClassName), NF_DNS_SUBDOMAIN);
	v_nonnegative_quantity(v, VP(NULL, "capacity"), node_get(v->root, F_capacity));
	v_nonnegative_quantity(v, VP(NULL, "maximumVolumeSize"), node_get(v->root, F_maximumVolumeSize));
	if (!v->old)
		return;
	v_fixed(v, NULL, v->root, v->old, F_nodeTopology);
	v_fixed(v, NULL, v->root, v->old, F_storageClassName);
}

void v_volume_attributes_class(struct valid *v)
{
	static const enum field FIXED[] = { F_driverName, F_parameters };

	for (size_t i = 0; v->old && i < ARRAY_SIZE(FIXED); i++) {
		const char *name = doc_field_name(FIXED[i]);

		if (!v_same(node_get(v->root, FIXED[i]), node_get(v->old, FIXED[i])))
			v_forbiddenf(v, VP(NULL, name), "updates to %s are forbidden.", name);
	}
	if (v->old)
		return;
	v_provisioner(v, VP(NULL, "driverName"), v_str(v->root, F_driverName));
	v_parameters(v, VP(NULL, "parameters"), node_get(v->root, F_parameters), false);
}
