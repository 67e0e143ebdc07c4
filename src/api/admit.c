/*
 * Admission: a table of steps that every write passes. The mutating ones run
 * between decoding and validation and may change the document, the validating
 * ones run behind it and only say yes or no, as Kubernetes' plug-ins do, under
 * whose names they stand here and in whose order they run.
 *
 * To add a step: its functions in admit-NAME.c and a row in `steps`, in the order
 * of Kubernetes' plug-ins. A step that must wait for somebody outside fails with
 * ERR_AGAIN and is run again (hook.c). Policies have their place before the
 * webhooks of either kind. ResourceQuota is always the last: it takes what the
 * write needs, and nothing behind it may refuse.
 */
#include "api/admit.h"

bool admit_is(const struct admission *a, const char *group, const char *plural)
{
	return streq(a->r->st->r.group, group) && streq(a->r->st->r.plural, plural);
}

bool admit_sub(const struct admission *a, const char *subresource)
{
	return streq(a->r->at.subresource, subresource);
}

bool admit_pod(const struct admission *a)
{
	return admit_sub(a, "") && admit_is(a, "", "pods");
}

bool admit_new_pod(const struct admission *a)
{
	return !a->old && admit_pod(a);
}

int admit_forbid(const struct admission *a, struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	return err_forbidden(e, &a->r->res->r, a->r->at.name, "%s", text);
}

bool admit_list(struct api *a, const struct resource *res, const char *ns, struct store_list *ret)
{
	_cleanup_err_ struct err e = ERR_INIT;

	*ret = (struct store_list){ .res = res, .ns = ns };
	return store_count(a->store, res, ns) && store_list(a->store, ret, &e) >= 0 && ret->n;
}

/* --- NamespaceLifecycle --- */

static const char *const immortal_namespaces[] = { "default", "kube-system", "kube-public" };

static int admit_namespace(struct admission *a, struct err *e)
{
	struct req *r = a->r;
	struct obj *ns;
	int rc;

	if (a->old || !r->st->r.namespaced)
		return 0;
	ns = store_get(r->api->store, &r->api->namespaces->r, "", r->at.ns);
	if (!ns)
		return err_not_found(e, &r->api->namespaces->r, r->at.ns);
	if (!meta_is_deleting(obj_node(ns)))
		return 0;
	rc = err_forbidden(e, &r->res->r, r->at.name,
			   "unable to create new content in namespace %s because it is being terminated", r->at.ns);
	err_add_cause(e, "NamespaceTerminating", "metadata.namespace", "namespace %s is being terminated", r->at.ns);
	return rc;
}

static int admit_namespace_remove(struct req *r, struct obj *cur, struct err *e)
{
	if (*r->st->r.group || !streq(r->st->r.plural, "namespaces"))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(immortal_namespaces); i++)
		if (streq(immortal_namespaces[i], r->at.name))
			return err_forbidden(e, &r->res->r, r->at.name, "this namespace may not be deleted");
	return 0;
}

/* --- NamespaceFinalizer: the namespace strategy's --- */

static int admit_namespace_finalizer(struct admission *a, struct err *e)
{
	struct node *list;

	if (a->old || !admit_is(a, "", "namespaces"))
		return 0;
	list = node_need_array(a->d, node_need_object(a->d, a->root, F_spec), F_finalizers);
	NODE_FOREACH(f, list)
		if (node_streq(f, "kubernetes"))
			return 0;
	node_append(list, node_new_cstr(a->d, "kubernetes"));
	return 0;
}

/* --- */

static const struct {
	const char *name;
	int (*mutate)(struct admission *a, struct err *e);
	int (*validate)(struct admission *a, struct err *e);
	int (*remove)(struct req *r, struct obj *cur, struct err *e); /* cur: NULL when it is not there */
	bool off; /* unless the administrator turns it on */
} steps[] = {
	{ "NamespaceLifecycle", admit_namespace, NULL, admit_namespace_remove },
	{ "LimitPodHardAntiAffinityTopology", NULL, admit_hard_anti_affinity, .off = true },
	{ "LimitRanger", admit_limits_mutate, admit_limits_validate },
	{ "ServiceAccount", admit_account_mutate, admit_account_validate },
	{ "NodeRestriction", admit_node, NULL, admit_node_remove },
	{ "TaintNodesByCondition", admit_new_node },
	{ "AlwaysPullImages", admit_pull_always, admit_pull_always_check, .off = true },
	{ "PodSecurity", NULL, admit_security },
	{ "PodNodeSelector", admit_node_selector, NULL, .off = true },
	{ "Priority", admit_priority, admit_priority_class },
	{ "DefaultTolerationSeconds", admit_tolerations },
	{ "ExtendedResourceToleration", admit_extended_tolerations, .off = true },
	{ "DefaultStorageClass", admit_storage_class },
	{ "StorageObjectInUseProtection", admit_in_use },
	{ "PersistentVolumeClaimResize", NULL, admit_resize },
	{ "RuntimeClass", admit_runtime_class, admit_overhead },
	{ "CertificateApproval", NULL, admit_cert_approval },
	{ "CertificateSigning", NULL, admit_cert_signing },
	{ "CertificateSubjectRestriction", NULL, admit_cert_subject },
	{ "DefaultIngressClass", admit_ingress_class },
	{ "DenyServiceExternalIPs", NULL, admit_external_ips, .off = true },
	{ "PodTopologyLabels", admit_topology },
	{ "NamespaceFinalizer", admit_namespace_finalizer },
	{ "ServiceAccountTokenSecret", admit_token_secret },
	{ "CertificateSigningRequest", admit_csr, admit_csr_check },
	{ "MutatingAdmissionWebhook", webhook_mutate, NULL, webhook_mutate_remove },
	{ "(escalation check)", admit_rbac },
	{ "ValidatingAdmissionWebhook", NULL, webhook_validate, webhook_validate_remove },
	{ "ResourceQuota", NULL, admit_quota },
};

size_t admit_step_count(void)
{
	return ARRAY_SIZE(steps);
}

const char *admit_step_name(size_t i)
{
	return steps[i].name;
}

bool admit_step_is_off(size_t i)
{
	return steps[i].off;
}

static bool step_runs(const struct req *r, size_t i)
{
	return r->api->admit->on >> i & 1;
}

static int admit_mutate_all(struct admission *a, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].mutate && step_runs(a->r, i) && steps[i].mutate(a, e) < 0)
			return -e->code;
	return 0;
}

int admit_mutate(struct req *r, struct doc *d, struct obj *old, struct err *e)
{
	struct admission a = { .r = r, .operation = old ? "UPDATE" : "CREATE", .d = d, .root = doc_root(d), .old = old };

	if (admit_mutate_all(&a, e) < 0)
		return -e->code;
	if (!a.hooked)
		return 0;
	a.reinvoked = true;
	return admit_mutate_all(&a, e);
}

int admit_validate(struct req *r, struct doc *d, struct obj *old, struct err *e)
{
	struct admission a = { .r = r, .operation = old ? "UPDATE" : "CREATE", .d = d, .root = doc_root(d), .old = old };

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].validate && step_runs(r, i) && steps[i].validate(&a, e) < 0)
			return -e->code;
	return 0;
}

/* Webhooks alone have a say in what is only passed on. */
int admit_connect(struct req *r, struct doc *options, struct err *e)
{
	struct admission a = { .r = r, .operation = "CONNECT", .d = options, .root = doc_root(options) };

	if (webhook_mutate(&a, e) < 0 || webhook_validate(&a, e) < 0)
		return -e->code;
	return 0;
}

int admit_remove(struct req *r, struct obj *cur, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].remove && step_runs(r, i) && steps[i].remove(r, cur, e) < 0)
			return -e->code;
	return 0;
}
