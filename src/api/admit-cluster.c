/*
 * Admission of what is not a pod: the default classes of claims and Ingresses
 * (DefaultStorageClass, DefaultIngressClass), claims and volumes that stay while
 * they are used (StorageObjectInUseProtection; ctl/protection.c lets them go),
 * claims that grow (PersistentVolumeClaimResize), new nodes (TaintNodesByCondition;
 * ctl/taints.c takes the taint away), certificate requests (CertificateApproval,
 * CertificateSigning, CertificateSubjectRestriction), and DenyServiceExternalIPs,
 * which an administrator may turn on.
 */
#include "api/admit.h"

#include "http/http.h"
#include "schema/claims.h"
#include "schema/ingress.h"
#include "schema/usage.h"

/* --- default classes --- */

/* Of the classes that are marked as default the newest. Referenced; NULL: there is none. */
static struct obj *default_of(struct api *a, const struct resource *res, bool (*is_default)(const struct node *class))
{
	struct store_list l;
	struct obj *best = NULL;

	if (!admit_list(a, res, NULL, &l))
		return NULL;
	for (size_t i = 0; i < l.n; i++)
		if (is_default(obj_node(l.objs[i])) && (!best || class_is_newer(obj_node(l.objs[i]), obj_node(best))))
			best = l.objs[i];
	if (best)
		obj_ref(best);
	store_list_release(&l);
	return best;
}

int admit_storage_class(struct admission *a, struct err *e)
{
	_cleanup_obj_ struct obj *class = NULL;

	if (a->old || !admit_is(a, "", "persistentvolumeclaims") || usage_claim_class(a->root))
		return 0;
	class = default_of(a->r->api, schema_res("storage.k8s.io", "storageclasses"), class_is_default);
	if (class)
		node_sets(a->d, node_need_object(a->d, a->root, F_spec), F_storageClassName, class->name);
	return 0;
}

int admit_ingress_class(struct admission *a, struct err *e)
{
	_cleanup_obj_ struct obj *class = NULL;

	if (a->old || !admit_is(a, "networking.k8s.io", "ingresses") ||
	    node_get(node_get(a->root, F_spec), F_ingressClassName) ||
	    meta_annotation(a->root, "kubernetes.io/ingress.class"))
		return 0;
	class = default_of(a->r->api, schema_res("networking.k8s.io", "ingressclasses"), ingress_class_is_default);
	if (class)
		node_sets(a->d, node_need_object(a->d, a->root, F_spec), F_ingressClassName, class->name);
	return 0;
}

/* --- claims and volumes --- */

int admit_in_use(struct admission *a, struct err *e)
{
	const char *finalizer;
	struct node *list;

	if (a->old || !admit_sub(a, ""))
		return 0;
	if (admit_is(a, "", "persistentvolumeclaims"))
		finalizer = "kubernetes.io/pvc-protection";
	else if (admit_is(a, "", "persistentvolumes"))
		finalizer = "kubernetes.io/pv-protection";
	else
		return 0;
	list = node_need_array(a->d, node_need_object(a->d, a->root, F_metadata), F_finalizers);
	NODE_FOREACH(f, list)
		if (node_streq(f, finalizer))
			return 0;
	node_append(list, node_new_cstr(a->d, finalizer));
	return 0;
}

static bool class_may_grow(struct admission *a)
{
	const char *class = usage_claim_class(a->root);
	struct obj *o;

	if (str_empty(class) || !streq_null(class, usage_claim_class(obj_node(a->old))))
		return false;
	o = store_get(a->r->api->store, schema_res("storage.k8s.io", "storageclasses"), "", class);
	return o && node_bool(node_get(obj_node(o), F_allowVolumeExpansion), false);
}

static bool claim_size(const struct node *claim, struct quantity *q)
{
	return quantity_from_node(q, node_getc(node_path(claim, F_spec, F_resources, F_requests), "storage"));
}

int admit_resize(struct admission *a, struct err *e)
{
	struct quantity now, old = { 0, 'd' };

	if (!a->old || !admit_sub(a, "") || !admit_is(a, "", "persistentvolumeclaims") || !claim_size(a->root, &now))
		return 0;
	(void)claim_size(obj_node(a->old), &old);
	if (quantity_cmp(&now, &old) <= 0)
		return 0;
	if (!streq(node_gets(node_get(obj_node(a->old), F_status), F_phase), "Bound"))
		return admit_forbid(a, e, "Only bound persistent volume claims can be expanded");
	if (!class_may_grow(a))
		return admit_forbid(a, e,
				    "only dynamically provisioned pvc can be resized and the storageclass that provisions "
				    "the pvc must support resize");
	return 0;
}

/* --- nodes --- */

int admit_new_node(struct admission *a, struct err *e)
{
	static const char key[] = "node.kubernetes.io/not-ready";
	struct node *list, *t;

	if (a->old || !admit_is(a, "", "nodes"))
		return 0;
	list = node_need_array(a->d, node_need_object(a->d, a->root, F_spec), F_taints);
	NODE_FOREACH(n, list)
		if (streq(node_gets(n, F_key), key) && streq(node_gets(n, F_effect), "NoSchedule"))
			return 0;
	t = node_append(list, node_new(a->d, DOC_OBJECT));
	node_sets(a->d, t, F_key, key);
	node_sets(a->d, t, F_effect, "NoSchedule");
	return 0;
}

/* --- certificate requests --- */

static bool signer_allows(struct api *a, const struct user *u, const char *verb, const char *name)
{
	struct attrs at = { .verb = verb, .group = "certificates.k8s.io", .version = "*", .resource = "signers",
			    .subresource = "", .ns = "", .name = name };

	return authz_check(a, u, &at);
}

/* For the signer by its name, or for all of its domain. */
static bool may_for_signer(const struct admission *a, const char *verb, const char *signer)
{
	struct str rest = str_of(signer), domain = str_cut(&rest, '/');
	_cleanup_free_ char *all = xasprintf("%" STR_FMT "/*", STR_ARG(domain));

	return signer_allows(a->r->api, a->r->user, verb, signer) || signer_allows(a->r->api, a->r->user, verb, all);
}

static bool admit_is_csr(const struct admission *a)
{
	return admit_is(a, "certificates.k8s.io", "certificatesigningrequests");
}

static const char *old_signer(const struct admission *a)
{
	return node_gets(node_get(obj_node(a->old), F_spec), F_signerName);
}

int admit_cert_approval(struct admission *a, struct err *e)
{
	if (!a->old || !admit_is_csr(a) || !admit_sub(a, "approval") || may_for_signer(a, "approve", old_signer(a)))
		return 0;
	return admit_forbid(a, e, "user not permitted to approve requests with signerName \"%s\"", old_signer(a));
}

int admit_cert_signing(struct admission *a, struct err *e)
{
	const struct node *now = node_get(a->root, F_status), *old;

	if (!a->old || !admit_is_csr(a) || !admit_sub(a, "status"))
		return 0;
	old = node_get(obj_node(a->old), F_status);
	if (streq(node_gets(now, F_certificate), node_gets(old, F_certificate)) &&
	    node_count(node_get(now, F_conditions)) == node_count(node_get(old, F_conditions)) &&
	    (!node_count(node_get(now, F_conditions)) ||
	     node_equal(node_get(now, F_conditions), node_get(old, F_conditions))))
		return 0;
	if (may_for_signer(a, "sign", old_signer(a)))
		return 0;
	return admit_forbid(a, e, "user not permitted to sign requests with signerName \"%s\"", old_signer(a));
}

int admit_cert_subject(struct admission *a, struct err *e)
{
	static const char signer[] = "kubernetes.io/kube-apiserver-client", group[] = "system:masters";
	const struct node *spec = node_get(a->root, F_spec);
	_cleanup_buf_ struct buf pem = BUF_INIT;

	if (a->old || !admit_is_csr(a) || !streq(node_gets(spec, F_signerName), signer) ||
	    !buf_add_base64_decoded(&pem, node_str(node_get(spec, F_request)), false) ||
	    !tls_csr_has_org(buf_str(&pem), group))
		return 0;
	return admit_forbid(a, e, "use of %s signer with %s group is not allowed", signer, group);
}

/* --- services --- */

int admit_external_ips(struct admission *a, struct err *e)
{
	const struct node *old = a->old ? node_path(obj_node(a->old), F_spec, F_externalIPs) : NULL;

	if (!admit_is(a, "", "services") || !admit_sub(a, ""))
		return 0;
	NODE_FOREACH(ip, node_path(a->root, F_spec, F_externalIPs)) {
		bool had = false;

		NODE_FOREACH(o, old)
			had |= node_equal(o, ip);
		if (!had)
			return admit_forbid(a, e, "Use of external IPs is denied by admission control");
	}
	return 0;
}
