/*
 * The node authorizer: what a node (user system:node:NAME of group system:nodes)
 * may. Objects that pods refer to it may read only when one of its own pods does,
 * as in Kubernetes' graph:
 *
 *	node <- pod <- secret, config map, claim, service account, resource claim
 *	node <- pod <- claim <- volume <- secret
 *	node <- volume attachment
 *
 * itself, its lease and its CSINode by name; pods in lists that select its own.
 * For all other resources the rules of the ClusterRole system:node hold, as the
 * bootstrap policy has it (not as somebody may have changed it). What a node may
 * change about those is NodeRestriction's to say (admit-node.c).
 *
 * An index from node to pods follows the store, so that a decision looks at the
 * pods of one node; their documents are read when it is asked for.
 */
#include "api/authz.h"

#include <stdarg.h>

#include "api/policy.h"
#include "base/map.h"

struct node_pods {
	VEC(struct obj *) pods; /* referenced */
};

struct node_authz {
	struct rules *rules; /* of system:node */
	struct map *by_node; /* struct node_pods by the node's name */
	struct store_watch *watch;
};

/* --- pods by node --- */

static void node_pods_free(void *p)
{
	struct node_pods *n = p;

	for (size_t i = 0; i < n->pods.n; i++)
		obj_unref(n->pods.v[i]);
	VEC_RELEASE(&n->pods);
	free(n);
}

static const char *pod_node(struct obj *o)
{
	return node_gets(node_get(obj_node(o), F_spec), F_nodeName);
}

static void node_pods_remove(struct node_authz *x, struct obj *old)
{
	const char *node = obj_json_has(old, "\"nodeName\"") ? pod_node(old) : ""; /* a pending pod is not parsed for it */
	struct node_pods *n = *node ? map_getc(x->by_node, node) : NULL;

	for (size_t i = 0; n && i < n->pods.n; i++) {
		if (!streq(n->pods.v[i]->name, old->name) || !streq(n->pods.v[i]->ns, old->ns))
			continue;
		obj_unref(n->pods.v[i]);
		n->pods.v[i] = n->pods.v[--n->pods.n];
		if (!n->pods.n)
			map_del(x->by_node, str_of(node));
		return;
	}
}

static void node_pods_add(struct node_authz *x, struct obj *o)
{
	const char *node = pod_node(o);
	struct node_pods *n = *node ? map_getc(x->by_node, node) : NULL;

	if (!*node)
		return;
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		map_set(x->by_node, str_of(node), n);
	}
	VEC_PUSH(&n->pods, obj_ref(o));
}

static void node_pod_event(void *arg, const struct store_event *ev)
{
	if (ev->old)
		node_pods_remove(arg, ev->old);
	if (ev->type != WATCH_DELETED)
		node_pods_add(arg, ev->obj);
}

static struct rules *node_rules(void)
{
	struct policy_cursor c = { policy_table, false };
	struct rules *rules = NULL;
	struct policy p;

	while (policy_next(&c, &p)) {
		if (!rules && streq(p.resource, "clusterroles") && streq(p.name, "system:node"))
			rules = rules_new(node_get(doc_root(p.doc), F_rules));
		doc_unref(p.doc);
	}
	BUG_ON(!rules);
	return rules;
}

struct node_authz *node_authz_new(struct store *s)
{
	struct node_authz *x = xcalloc(1, sizeof(*x));
	struct store_list l = { .res = schema_res("", "pods") };
	_cleanup_err_ struct err e = ERR_INIT;

	x->rules = node_rules();
	x->by_node = map_new(node_pods_free);
	BUG_ON(store_list(s, &l, &e) < 0);
	for (size_t i = 0; i < l.n; i++)
		node_pods_add(x, l.objs[i]);
	BUG_ON(store_watch(&x->watch, s, l.res, NULL, store_revision(s), node_pod_event, x, &e) < 0);
	store_list_release(&l);
	return x;
}

struct node_authz *node_authz_free(struct node_authz *x)
{
	if (!x)
		return NULL;
	store_watch_stop(x->watch);
	map_free(x->by_node);
	rules_free(x->rules);
	free(x);
	return NULL;
}

bool authz_is_node(const struct user *u, const char **name)
{
	static const char prefix[] = "system:node:";

	if (u->part || !starts_with(u->name, prefix) || !user_in_group(u, "system:nodes"))
		return false;
	*name = u->name + strlen(prefix);
	return true;
}

/* --- what a pod refers to --- */

/* Paths of names; `C` stands for each of the three lists of containers, `[]` for each item. */
static const struct {
	const char *plural, *path;
} pod_references[] = {
	{ "serviceaccounts", "spec.serviceAccountName" },
	{ "secrets", "spec.imagePullSecrets[].name" },
	{ "secrets", "spec.C[].env[].valueFrom.secretKeyRef.name" },
	{ "secrets", "spec.C[].envFrom[].secretRef.name" },
	{ "secrets", "spec.volumes[].secret.secretName" },
	{ "secrets", "spec.volumes[].projected.sources[].secret.name" },
	{ "secrets", "spec.volumes[].azureFile.secretName" },
	{ "secrets", "spec.volumes[].cephfs.secretRef.name" },
	{ "secrets", "spec.volumes[].cinder.secretRef.name" },
	{ "secrets", "spec.volumes[].flexVolume.secretRef.name" },
	{ "secrets", "spec.volumes[].rbd.secretRef.name" },
	{ "secrets", "spec.volumes[].scaleIO.secretRef.name" },
	{ "secrets", "spec.volumes[].iscsi.secretRef.name" },
	{ "secrets", "spec.volumes[].storageos.secretRef.name" },
	{ "secrets", "spec.volumes[].csi.nodePublishSecretRef.name" },
	{ "configmaps", "spec.C[].env[].valueFrom.configMapKeyRef.name" },
	{ "configmaps", "spec.C[].envFrom[].configMapRef.name" },
	{ "configmaps", "spec.volumes[].configMap.name" },
	{ "configmaps", "spec.volumes[].projected.sources[].configMap.name" },
	{ "persistentvolumeclaims", "spec.volumes[].persistentVolumeClaim.claimName" },
	{ "resourceclaims", "spec.resourceClaims[].resourceClaimName" },
	{ "resourceclaims", "status.resourceClaimStatuses[].resourceClaimName" },
};

static bool path_names(const struct node *n, struct str path, const char *name);

static bool path_names_items(const struct node *list, struct str path, const char *name)
{
	NODE_FOREACH(item, list)
		if (path_names(item, path, name))
			return true;
	return false;
}

/* Is there a value at path that is name (NULL: any text)? */
static bool path_names(const struct node *n, struct str path, const char *name)
{
	static const enum field containers[] = { F_containers, F_initContainers, F_ephemeralContainers };
	struct str step;

	if (!path.p)
		return name ? node_streq(n, name) : node_str(n).n > 0;
	step = str_cut(&path, '.');
	if (str_eqc(step, "C[]")) {
		for (size_t i = 0; i < ARRAY_SIZE(containers); i++)
			if (path_names_items(node_get(n, containers[i]), path, name))
				return true;
		return false;
	}
	if (str_ends(step, STR_LIT("[]")))
		return path_names_items(node_getk(n, str_sub(step, 0, step.n - 2)), path, name);
	n = node_getk(n, step);
	return n && path_names(n, path, name);
}

/* The claim of an ephemeral volume is named after pod and volume. */
static bool pod_has_ephemeral(const struct node *pod, const char *claim)
{
	const char *pod_name = meta_name(pod);
	size_t n = strlen(pod_name);

	NODE_FOREACH(v, node_path(pod, F_spec, F_volumes)) {
		if (!node_get(v, F_ephemeral))
			continue;
		if (!claim || (strncmp(claim, pod_name, n) == 0 && claim[n] == '-' &&
			       streq(claim + n + 1, node_gets(v, F_name))))
			return true;
	}
	return false;
}

bool node_pod_refers(const struct node *pod, const char *plural, const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(pod_references); i++)
		if (streq(pod_references[i].plural, plural) && path_names(pod, str_of(pod_references[i].path), name))
			return true;
	return streq(plural, "persistentvolumeclaims") && pod_has_ephemeral(pod, name);
}

/* --- the graph --- */

static bool pod_is_mirror(const struct node *pod)
{
	return meta_annotation(pod, "kubernetes.io/config.mirror") != NULL;
}

static const struct node_pods *node_pods_of(struct api *a, const char *node)
{
	store_watch_now(a->node_authz->watch);
	return map_getc(a->node_authz->by_node, node);
}

static bool node_pods_refer(struct api *a, const char *node, const char *plural, const char *ns, const char *name)
{
	const struct node_pods *n = node_pods_of(a, node);

	for (size_t i = 0; n && i < n->pods.n; i++) {
		const struct node *pod;

		if (!streq(n->pods.v[i]->ns, ns))
			continue;
		pod = obj_node(n->pods.v[i]);
		if (!pod_is_mirror(pod) && node_pod_refers(pod, plural, name))
			return true;
	}
	return false;
}

static bool node_uses_volume(struct api *a, const char *node, struct obj *pv)
{
	const struct node *claim = pv ? node_path(obj_node(pv), F_spec, F_claimRef) : NULL;

	return claim && node_pods_refer(a, node, "persistentvolumeclaims", node_gets(claim, F_namespace),
					node_gets(claim, F_name));
}

/* A volume's source: any {secretRef-like: {name, namespace}}, or azureFile's {secretName, secretNamespace}. */
static bool volume_names_secret(const struct node *pv, const char *ns, const char *name)
{
	const struct node *spec = node_get(pv, F_spec);
	const char *home = node_gets(node_get(spec, F_claimRef), F_namespace);

	NODE_FOREACH(source, spec) {
		if (!node_is(source, DOC_OBJECT))
			continue;
		if (node_streq(node_get(source, F_secretName), name) &&
		    streq(node_cstr_or(node_get(source, F_secretNamespace), home), ns))
			return true;
		NODE_FOREACH(ref, source)
			if (str_ends(node_key(ref), STR_LIT("ecretRef")) && node_streq(node_get(ref, F_name), name) &&
			    streq(node_cstr_or(node_get(ref, F_namespace), home), ns))
				return true;
	}
	return false;
}

static bool node_volume_uses_secret(struct api *a, const char *node, const char *ns, const char *name)
{
	struct store_list l = { .res = schema_res("", "persistentvolumes") };
	_cleanup_err_ struct err e = ERR_INIT;
	bool found = false;

	if (store_list(a->store, &l, &e) < 0)
		return false;
	for (size_t i = 0; i < l.n && !found; i++)
		found = volume_names_secret(obj_node(l.objs[i]), ns, name) && node_uses_volume(a, node, l.objs[i]);
	store_list_release(&l);
	return found;
}

static bool node_is_related(struct api *a, const char *node, const struct attrs *at)
{
	struct obj *o;

	if (streq(at->resource, "pods")) {
		o = store_get(a->store, &a->pods->r, at->ns, at->name);
		return o && streq(pod_node(o), node);
	}
	if (streq(at->resource, "persistentvolumes"))
		return node_uses_volume(a, node, store_get(a->store, schema_res("", "persistentvolumes"), "", at->name));
	if (streq(at->resource, "volumeattachments")) {
		o = store_get(a->store, schema_res("storage.k8s.io", "volumeattachments"), "", at->name);
		return o && streq(pod_node(o), node);
	}
	if (streq(at->resource, "resourceslices")) {
		o = store_get(a->store, schema_res("resource.k8s.io", "resourceslices"), "", at->name);
		return o && streq(pod_node(o), node);
	}
	return node_pods_refer(a, node, at->resource, at->ns, at->name) ||
	       (streq(at->resource, "secrets") && node_volume_uses_secret(a, node, at->ns, at->name));
}

/* --- decisions: true, or false with the reason in why (when not NULL) --- */

struct node_ask {
	struct api *a;
	const char *node;
	const struct attrs *at;
	struct buf *why;
};

static bool node_no(struct node_ask *q, const char *fmt, ...)
{
	va_list ap;

	if (!q->why)
		return false;
	va_start(ap, fmt);
	buf_addvf(q->why, fmt, ap);
	va_end(ap);
	return false;
}

static bool verb_in(const char *verb, const char *const *list)
{
	for (; *list; list++)
		if (streq(verb, *list))
			return true;
	return false;
}

static const char *const verbs_read[] = { "get", "list", "watch", NULL };
static const char *const verbs_change[] = { "update", "patch", NULL };
static const char *const verbs_own[] = { "get", "create", "update", "patch", "delete", NULL };

static bool node_related(struct node_ask *q)
{
	if (!*q->at->name)
		return node_no(q, "No Object name found");
	if (!node_is_related(q->a, q->node, q->at))
		return node_no(q, "no relationship found between node '%s' and this object", q->node);
	return true;
}

static bool node_get_related(struct node_ask *q)
{
	if (!streq(q->at->verb, "get"))
		return node_no(q, "can only get individual resources of this type");
	if (*q->at->subresource)
		return node_no(q, "cannot get subresource");
	return node_related(q);
}

static bool node_read_related(struct node_ask *q)
{
	if (!verb_in(q->at->verb, verbs_read))
		return node_no(q, "can only read resources of this type");
	if (*q->at->subresource)
		return node_no(q, "cannot read subresource");
	if (!*q->at->ns)
		return node_no(q, "can only read namespaced object of this type");
	return node_related(q);
}

static bool node_claim(struct node_ask *q)
{
	if (!streq(q->at->subresource, "status"))
		return node_get_related(q);
	if (!verb_in(q->at->verb, verbs_change))
		return node_no(q, "can only get/update/patch this type");
	return node_related(q);
}

static bool node_account(struct node_ask *q)
{
	if (streq(q->at->verb, "get") && !*q->at->subresource)
		return node_related(q);
	if (!streq(q->at->verb, "create") || !*q->at->name)
		return node_no(q, "can only create tokens for individual service accounts");
	if (!streq(q->at->subresource, "token"))
		return node_no(q, "can only create token subresource of serviceaccount");
	return node_related(q);
}

static bool node_lease(struct node_ask *q)
{
	if (!verb_in(q->at->verb, verbs_own))
		return node_no(q, "can only get, create, update, patch, or delete a node lease");
	if (!streq(q->at->ns, "kube-node-lease"))
		return node_no(q, "can only access leases in the \"kube-node-lease\" system namespace");
	if (!streq(q->at->verb, "create") && !streq(q->at->name, q->node))
		return node_no(q, "can only access node lease with the same name as the requesting node");
	return true;
}

static bool node_csinode(struct node_ask *q)
{
	if (!verb_in(q->at->verb, verbs_own))
		return node_no(q, "can only get, create, update, patch, or delete a CSINode");
	if (*q->at->subresource)
		return node_no(q, "cannot authorize CSINode subresources");
	if (!streq(q->at->verb, "create") && !streq(q->at->name, q->node))
		return node_no(q, "can only access CSINode with the same name as the requesting node");
	return true;
}

static bool node_slice(struct node_ask *q)
{
	static const char *const many[] = { "watch", "list", "deletecollection", NULL };

	if (*q->at->subresource)
		return node_no(q, "cannot authorize ResourceSlice subresources");
	if (streq(q->at->verb, "create"))
		return true;
	if (verb_in(q->at->verb, verbs_own))
		return node_related(q);
	if (!verb_in(q->at->verb, many))
		return node_no(q, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, "
				  "update, patch, delete, deletecollection");
	if (streq(authz_field(q->at, "nodeName"), q->node) || streq(authz_field(q->at, "spec.nodeName"), q->node))
		return true;
	return node_no(q, "can only list/watch/deletecollection resourceslices with nodeName field selector");
}

static bool node_self(struct node_ask *q)
{
	static const char *const make[] = { "create", "update", "patch", NULL };
	const struct attrs *at = q->at;

	if (streq(at->subresource, "status"))
		return verb_in(at->verb, verbs_change);
	if (*at->subresource)
		return false;
	if (verb_in(at->verb, make))
		return true;
	if (!verb_in(at->verb, verbs_read))
		return false;
	if (streq(at->name, q->node))
		return true;
	if (!*at->name)
		return node_no(q, "node '%s' cannot read all nodes, only its own Node object", q->node);
	return node_no(q, "node '%s' cannot read '%s', only its own Node object", q->node, at->name);
}

static bool node_pod(struct node_ask *q)
{
	const struct attrs *at = q->at;

	if (streq(at->subresource, "status"))
		return verb_in(at->verb, verbs_change);
	if (streq(at->subresource, "eviction") || !*at->subresource)
		if (streq(at->verb, "create"))
			return true;
	if (*at->subresource)
		return false;
	if (streq(at->verb, "get"))
		return node_get_related(q);
	if (streq(at->verb, "delete"))
		return true;
	if (!verb_in(at->verb, verbs_read))
		return false;
	if (streq(authz_field(at, "spec.nodeName"), q->node))
		return true;
	if (*at->name)
		return node_related(q);
	return node_no(q, "can only list/watch pods with spec.nodeName field selector");
}

static const struct {
	const char *group, *resource;
	bool (*decide)(struct node_ask *q);
} node_resources[] = {
	{ "", "secrets", node_read_related },
	{ "", "configmaps", node_read_related },
	{ "", "persistentvolumeclaims", node_claim },
	{ "", "persistentvolumes", node_get_related },
	{ "resource.k8s.io", "resourceclaims", node_get_related },
	{ "storage.k8s.io", "volumeattachments", node_get_related },
	{ "", "serviceaccounts", node_account },
	{ "coordination.k8s.io", "leases", node_lease },
	{ "storage.k8s.io", "csinodes", node_csinode },
	{ "resource.k8s.io", "resourceslices", node_slice },
	{ "", "nodes", node_self },
	{ "", "pods", node_pod },
};

static bool node_decide(struct node_ask *q)
{
	if (!*q->node)
		return node_no(q, "unknown node for user \"system:node:\"");
	for (size_t i = 0; !q->at->path && i < ARRAY_SIZE(node_resources); i++)
		if (streq(q->at->resource, node_resources[i].resource) && streq(q->at->group, node_resources[i].group))
			return node_resources[i].decide(q);
	RULES_FOREACH(r, q->a->node_authz->rules)
		if (rule_allows(r, q->at))
			return true;
	return false;
}

bool node_allow(struct api *a, const struct user *u, const struct attrs *at)
{
	struct node_ask q = { .a = a, .at = at };

	return authz_is_node(u, &q.node) && node_decide(&q);
}

void node_why(struct api *a, const struct user *u, const struct attrs *at, bool allowed, struct buf *reason)
{
	struct node_ask q = { .a = a, .at = at, .why = reason };

	if (!allowed && authz_is_node(u, &q.node))
		node_decide(&q);
}
