/*
 * NodeRestriction: of what the node authorizer lets a node write, this admits
 * only what is about the node itself: its own Node (not its taints, nor labels
 * that would steer pods to it), its Lease and CSINode, the status, deletion and
 * eviction of pods that run on it, mirror pods that refer to nothing, and tokens
 * for its pods. The words are Kubernetes'.
 */
#include "api/admit.h"

#include "api/authz.h"

#define MIRROR "kubernetes.io/config.mirror"

static int node_refuse(struct req *r, const char *text, struct err *e)
{
	return err_forbidden(e, &r->res->r, r->at.name, "%s", text);
}

#define REFUSE(r, e, ...) (node_refuse((r), arena_printf((r)->arena, __VA_ARGS__), (e)))

static const char *spec_node(const struct node *root)
{
	return node_gets(node_get(root, F_spec), F_nodeName);
}

/* --- pods --- */

static int node_admit_owner(struct admission *a, const char *node, struct err *e)
{
	const struct node *owners = node_get(meta_of(a->root), F_ownerReferences), *o = node_first(owners);
	struct obj *self;

	if (node_count(owners) > 1)
		return REFUSE(a->r, e, "node \"%s\" can only create pods with a single owner reference set to itself", node);
	if (!o || !node_streq(node_get(o, F_apiVersion), "v1") || !node_streq(node_get(o, F_kind), "Node") ||
	    !node_streq(node_get(o, F_name), node))
		return REFUSE(a->r, e, "node \"%s\" can only create pods with an owner reference set to itself", node);
	if (!node_bool(node_get(o, F_controller), false))
		return REFUSE(a->r, e, "node \"%s\" can only create pods with a controller owner reference set to itself",
			      node);
	if (node_bool(node_get(o, F_blockOwnerDeletion), false))
		return REFUSE(a->r, e, "node \"%s\" must not set blockOwnerDeletion on an owner reference", node);
	self = store_get(a->r->api->store, schema_res("", "nodes"), "", node);
	if (!self)
		return err_not_found(e, schema_res("", "nodes"), node);
	if (!node_streq(node_get(o, F_uid), self->uid))
		return REFUSE(a->r, e, "node %s UID mismatch: expected %s got %s", node, node_gets(o, F_uid), self->uid);
	return 0;
}

static int node_admit_pod_create(struct admission *a, const char *node, struct err *e)
{
	static const char *const kinds[][2] = {
		{ "serviceaccounts", "a service account" },
		{ "secrets", "secrets" },
		{ "configmaps", "configmaps" },
		{ "persistentvolumeclaims", "persistentvolumeclaims" },
		{ "resourceclaims", "resourceclaims" },
	};

	if (!meta_annotation(a->root, MIRROR))
		return REFUSE(a->r, e, "pod does not have \"" MIRROR "\" annotation, node \"%s\" can only create mirror pods",
			      node);
	if (!streq(spec_node(a->root), node))
		return REFUSE(a->r, e, "node \"%s\" can only create pods with spec.nodeName set to itself", node);
	if (node_admit_owner(a, node, e) < 0)
		return -e->code;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (node_pod_refers(a->root, kinds[i][0], NULL))
			return REFUSE(a->r, e, "node \"%s\" can not create pods that reference %s", node, kinds[i][1]);
	NODE_FOREACH(v, node_path(a->root, F_spec, F_volumes))
		NODE_FOREACH(s, node_path(v, F_projected, F_sources))
			if (node_get(s, F_clusterTrustBundle))
				return REFUSE(a->r, e, "node \"%s\" can not create pods that reference clustertrustbundles",
					      node);
	return 0;
}

static int node_admit_pod_status(struct admission *a, const char *node, struct err *e)
{
	const struct node *old = obj_node(a->old);

	if (!streq(spec_node(old), node))
		return REFUSE(a->r, e, "node \"%s\" can only update pod status for pods with spec.nodeName set to itself",
			      node);
	if (!node_equal(meta_labels(old), meta_labels(a->root)) &&
	    (node_count(meta_labels(old)) || node_count(meta_labels(a->root))))
		return REFUSE(a->r, e, "node \"%s\" cannot update labels through pod status", node);
	if (!node_equal(node_path(old, F_status, F_resourceClaimStatuses),
			node_path(a->root, F_status, F_resourceClaimStatuses)))
		return REFUSE(a->r, e, "node \"%s\" cannot update resource claim statues", node);
	return 0;
}

static int node_admit_eviction(struct req *r, const char *node, struct err *e)
{
	struct obj *pod = store_get(r->api->store, &r->api->pods->r, r->at.ns, r->at.name);

	if (!pod)
		return err_not_found(e, &r->api->pods->r, r->at.name);
	if (!streq(spec_node(obj_node(pod)), node))
		return REFUSE(r, e, "node %s can only evict pods with spec.nodeName set to itself", node);
	return 0;
}

static int node_admit_pod(struct admission *a, const char *node, struct err *e)
{
	const char *sub = a->r->at.subresource;

	if (!*sub && !a->old)
		return node_admit_pod_create(a, node, e);
	if (!*sub)
		return REFUSE(a->r, e, "unexpected operation \"UPDATE\", node \"%s\" can only create and delete mirror pods",
			      node);
	if (streq(sub, "status"))
		return a->old ? node_admit_pod_status(a, node, e) : 0;
	if (streq(sub, "eviction"))
		return node_admit_eviction(a->r, node, e);
	return REFUSE(a->r, e, "unexpected pod subresource \"%s\", only 'status' and 'eviction' are allowed", sub);
}

/* --- the Node itself --- */

static bool label_in(struct str ns, const char *domain)
{
	size_t n = strlen(domain);

	return str_eqc(ns, domain) || (ns.n > n && ns.p[ns.n - n - 1] == '.' && str_ends(ns, str_of(domain)));
}

static bool label_is_kubelets(const char *key, struct str ns)
{
	static const char *const keys[] = {
		"kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
		"failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
		"node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type", "kubernetes.io/os",
		"kubernetes.io/arch", "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (streq(key, keys[i]))
			return true;
	return label_in(ns, "kubelet.kubernetes.io") || label_in(ns, "node.kubernetes.io");
}

static bool label_is_forbidden(const char *key)
{
	ssize_t slash = str_find(str_of(key), '/');
	struct str ns = slash > 0 ? str_sub(str_of(key), 0, (size_t)slash) : STR_NONE;

	if (label_in(ns, "node-restriction.kubernetes.io"))
		return true;
	return (label_in(ns, "kubernetes.io") || label_in(ns, "k8s.io")) && !label_is_kubelets(key, ns);
}

/* Forbidden labels of a that b has not, or has otherwise. */
static void labels_changed(const struct node *a, const struct node *b, bool only_gone, void *list)
{
	VEC(const char *) *out = list;

	NODE_FOREACH(l, a) {
		const struct node *other = node_getk(b, node_key(l));

		if (label_is_forbidden(l->key) && (only_gone ? !other : !other || !node_equal(l, other)))
			VEC_PUSH(out, l->key);
	}
}

static int label_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* NULL: none was touched. */
static const char *node_forbidden_labels(struct admission *a)
{
	const struct node *now = meta_labels(a->root), *old = a->old ? meta_labels(obj_node(a->old)) : NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	VEC(const char *) keys = VEC_INIT;

	labels_changed(now, old, false, &keys);
	labels_changed(old, now, true, &keys);
	if (keys.n)
		qsort(keys.v, keys.n, sizeof(*keys.v), label_cmp);
	for (size_t i = 0; i < keys.n; i++)
		buf_addf(&b, "%s%s", i ? ", " : "", keys.v[i]);
	VEC_RELEASE(&keys);
	return b.len ? arena_strdup(a->r->arena, b.s) : NULL;
}

static bool node_same_list(const struct node *a, const struct node *b)
{
	return (!node_count(a) && !node_count(b)) || node_equal(a, b);
}

static int node_admit_self(struct admission *a, const char *node, struct err *e)
{
	const struct node *old = a->old ? obj_node(a->old) : NULL, *source = node_path(a->root, F_spec, F_configSource);
	const char *labels;

	if (!streq(a->r->at.name, node))
		return REFUSE(a->r, e, "node \"%s\" is not allowed to modify node \"%s\"", node, a->r->at.name);
	if (source && !node_is(source, DOC_NULL) && (!old || !node_equal(source, node_path(old, F_spec, F_configSource))))
		return old ? REFUSE(a->r, e, "node \"%s\" is not allowed to update configSource to a new non-nil configSource",
				    node) :
			     REFUSE(a->r, e, "node \"%s\" is not allowed to create pods with a non-nil configSource", node);
	if (old && !node_same_list(node_path(a->root, F_spec, F_taints), node_path(old, F_spec, F_taints)))
		return REFUSE(a->r, e, "node \"%s\" is not allowed to modify taints", node);
	if (old && !node_same_list(node_get(meta_of(a->root), F_ownerReferences),
				   node_get(meta_of(old), F_ownerReferences)))
		return REFUSE(a->r, e, "node \"%s\" is not allowed to modify ownerReferences", node);
	labels = node_forbidden_labels(a);
	if (labels && old)
		return REFUSE(a->r, e, "is not allowed to modify labels: %s", labels);
	if (labels)
		return REFUSE(a->r, e, "node \"%s\" is not allowed to set the following labels: %s", node, labels);
	return 0;
}

/* --- other things of its own --- */

static int node_admit_claim(struct admission *a, const char *node, struct err *e)
{
	static const enum field own[] = { F_capacity, F_conditions, F_allocatedResources, F_allocatedResourceStatuses };
	_cleanup_doc_ struct doc *x = doc_new(), *y = doc_new();
	struct node *now, *old;

	if (!streq(a->r->at.subresource, "status") || !a->old)
		return REFUSE(a->r, e, "may only update PVC status");
	now = node_copy(x, a->root);
	old = node_copy(y, obj_node(a->old));
	node_remove(node_need_object(x, now, F_metadata), F_managedFields);
	node_remove(node_need_object(y, old, F_metadata), F_managedFields);
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		node_remove(node_need_object(x, now, F_status), own[i]);
		node_remove(node_need_object(y, old, F_status), own[i]);
	}
	if (node_equal(now, old))
		return 0;
	return REFUSE(a->r, e, "node \"%s\" is not allowed to update fields other than status.capacity and status.conditions",
		      node);
}

static int node_admit_lease(struct admission *a, const char *node, struct err *e)
{
	if (!streq(a->r->at.ns, "kube-node-lease"))
		return REFUSE(a->r, e, "can only access leases in the \"kube-node-lease\" system namespace");
	if (!streq(a->r->at.name, node))
		return REFUSE(a->r, e, "can only access node lease with the same name as the requesting node");
	return 0;
}

static int node_admit_csinode(struct admission *a, const char *node, struct err *e)
{
	if (!streq(a->r->at.name, node))
		return REFUSE(a->r, e, "can only access CSINode with the same name as the requesting node");
	return 0;
}

static int node_admit_slice(struct admission *a, const char *node, struct err *e)
{
	if (!a->old && !streq(spec_node(a->root), node))
		return REFUSE(a->r, e, "can only create ResourceSlice with the same NodeName as the requesting node");
	return 0;
}

/* --- tokens: only for what a volume of the pod asks for, or what RBAC allows --- */

static bool list_has_audience(const struct node *list, const char *audience)
{
	NODE_FOREACH(t, list)
		if (streq(node_gets(t, F_audience), audience))
			return true;
	return false;
}

/* The CSI driver behind a volume of the pod, "" when there is none; NULL: what it refers to is not there. */
static const char *volume_driver(struct req *r, const struct node *pod, const struct node *v, struct err *e)
{
	const char *claim = node_gets(node_get(v, F_persistentVolumeClaim), F_claimName), *name;
	struct obj *o;

	if (node_get(v, F_csi))
		return node_gets(node_get(v, F_csi), F_driver);
	if (node_get(v, F_ephemeral))
		claim = arena_printf(r->arena, "%s-%s", meta_name(pod), node_gets(v, F_name));
	if (!*claim)
		return "";
	o = store_get(r->api->store, schema_res("", "persistentvolumeclaims"), r->at.ns, claim);
	if (!o) {
		(void)err_set(e, ERR_NOT_FOUND, "persistentvolumeclaim \"%s\" not found", claim);
		return NULL;
	}
	name = node_gets(node_get(obj_node(o), F_spec), F_volumeName);
	o = *name ? store_get(r->api->store, schema_res("", "persistentvolumes"), "", name) : NULL;
	if (!o && *name)
		(void)err_set(e, ERR_NOT_FOUND, "persistentvolume \"%s\" not found", name);
	return o || !*name ? node_gets(o ? node_path(obj_node(o), F_spec, F_csi) : NULL, F_driver) : NULL;
}

/* 1: a volume asks for it, 0: none does, < 0: it cannot be known. */
static int volume_has_audience(struct req *r, const struct node *pod, const struct node *v, const char *audience,
			       struct err *e)
{
	const char *driver;
	struct obj *o;

	NODE_FOREACH(s, node_path(v, F_projected, F_sources))
		if (node_get(s, F_serviceAccountToken) &&
		    streq(node_gets(node_get(s, F_serviceAccountToken), F_audience), audience))
			return 1;
	driver = volume_driver(r, pod, v, e);
	if (!driver)
		return -e->code;
	if (!*driver)
		return 0;
	o = store_get(r->api->store, schema_res("storage.k8s.io", "csidrivers"), "", driver);
	if (!o)
		return err_set(e, ERR_NOT_FOUND, "csidriver.storage.k8s.io \"%s\" not found", driver);
	return list_has_audience(node_path(obj_node(o), F_spec, F_tokenRequests), audience);
}

static int node_admit_audience(struct req *r, const char *node, const struct node *spec, const struct node *pod,
			       struct err *e)
{
	const struct node *list = node_get(spec, F_audiences);
	const char *audience = node_count(list) ? node_cstr_or(node_first(list), "") : "";
	struct attrs at = { .verb = "request-serviceaccounts-token-audience", .group = "", .version = "v1",
			    .resource = audience, .subresource = "", .ns = r->at.ns, .name = r->at.name };
	_cleanup_err_ struct err why = ERR_INIT;
	int rc = 0;

	if (node_count(list) > 1)
		return REFUSE(r, e, "node may only request 0 or 1 audiences");
	NODE_FOREACH(v, node_path(pod, F_spec, F_volumes)) {
		_cleanup_err_ struct err one = ERR_INIT;

		if (rc <= 0)
			rc = volume_has_audience(r, pod, v, audience, &one);
		if (rc < 0 && !err_is_set(&why)) /* another may ask for it all the same */
			err_move(&why, &one);
	}
	if (rc <= 0 && err_is_set(&why))
		return REFUSE(r, e, "error validating audience \"%s\": %s", audience, err_msg(&why));
	if (rc > 0 || authz_check(r->api, r->user, &at))
		return 0;
	return REFUSE(r, e, "audience \"%s\" not found in pod spec volume, system:node:%s is not authorized to request tokens "
			    "for this audience",
		      audience, node);
}

static int node_admit_token(struct admission *a, const char *node, struct err *e)
{
	const struct node *spec = node_get(a->root, F_spec), *ref = node_get(spec, F_boundObjectRef);
	const char *uid = node_gets(ref, F_uid);
	struct req *r = a->r;
	struct obj *pod;

	if (!streq(r->at.subresource, "token") || a->old)
		return 0;
	if (!node_streq(node_get(ref, F_apiVersion), "v1") || !node_streq(node_get(ref, F_kind), "Pod") ||
	    !*node_gets(ref, F_name))
		return REFUSE(r, e, "node requested token not bound to a pod");
	if (!*uid)
		return REFUSE(r, e, "node requested token with a pod binding without a uid");
	pod = store_get(r->api->store, &r->api->pods->r, r->at.ns, node_gets(ref, F_name));
	if (!pod)
		return err_not_found(e, &r->api->pods->r, node_gets(ref, F_name));
	if (!streq(pod->uid, uid))
		return REFUSE(r, e, "the UID in the bound object reference (%s) does not match the UID in record. The object "
				    "might have been deleted and then recreated",
			      uid);
	if (!streq(spec_node(obj_node(pod)), node))
		return REFUSE(r, e, "node requested token bound to a pod scheduled on a different node");
	return node_admit_audience(r, node, spec, obj_node(pod), e);
}

/* --- */

static const struct {
	const char *group, *resource;
	int (*admit)(struct admission *a, const char *node, struct err *e);
} node_kinds[] = {
	{ "", "pods", node_admit_pod },
	{ "", "nodes", node_admit_self },
	{ "", "persistentvolumeclaims", node_admit_claim },
	{ "", "serviceaccounts", node_admit_token },
	{ "coordination.k8s.io", "leases", node_admit_lease },
	{ "storage.k8s.io", "csinodes", node_admit_csinode },
	{ "resource.k8s.io", "resourceslices", node_admit_slice },
};

static int node_unknown(struct req *r, struct err *e)
{
	return REFUSE(r, e, "could not determine node from user \"%s\"", r->user->name);
}

int admit_node(struct admission *a, struct err *e)
{
	const char *node;

	if (!authz_is_node(a->r->user, &node))
		return 0;
	if (!*node)
		return node_unknown(a->r, e);
	for (size_t i = 0; i < ARRAY_SIZE(node_kinds); i++)
		if (admit_is(a, node_kinds[i].group, node_kinds[i].resource))
			return node_kinds[i].admit(a, node, e);
	return 0;
}

int admit_node_remove(struct req *r, struct obj *cur, struct err *e)
{
	const char *node, *plural = r->st->r.plural;

	if (!authz_is_node(r->user, &node))
		return 0;
	if (!*node)
		return node_unknown(r, e);
	if (streq(plural, "pods") && !*r->st->r.group && cur && !streq(spec_node(obj_node(cur)), node))
		return REFUSE(r, e, "node \"%s\" can only delete pods with spec.nodeName set to itself", node);
	if (streq(plural, "nodes") && !streq(r->at.name, node))
		return REFUSE(r, e, "node \"%s\" is not allowed to modify node \"%s\"", node, r->at.name);
	if (streq(plural, "persistentvolumeclaims"))
		return REFUSE(r, e, "may only update PVC status");
	if ((streq(plural, "leases") && (!streq(r->at.ns, "kube-node-lease") || !streq(r->at.name, node))))
		return REFUSE(r, e, "can only access node lease with the same name as the requesting node");
	if (streq(plural, "csinodes") && !streq(r->at.name, node))
		return REFUSE(r, e, "can only access CSINode with the same name as the requesting node");
	return 0;
}
