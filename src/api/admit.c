/*
 * Admission: a table of steps that every write passes. The mutating ones run
 * between decoding and validation and may change the document, the validating
 * ones run behind it and only say yes or no, as Kubernetes' plug-ins do, under
 * whose names they stand here.
 *
 * To add a step: its functions in admit-NAME.c and a row in `steps`, in the order
 * of Kubernetes' plug-ins. A step that must wait for somebody outside fails with
 * ERR_AGAIN and is run again (hook.c). Policies have their place before the
 * webhooks of either kind.
 */
#include "api/admit.h"

bool admit_is(const struct admission *a, const char *group, const char *plural)
{
	return streq(a->r->st->r.group, group) && streq(a->r->st->r.plural, plural);
}

bool admit_pod(const struct admission *a)
{
	return !*a->r->at.subresource && admit_is(a, "", "pods");
}

bool admit_new_pod(const struct admission *a)
{
	return !a->old && admit_pod(a);
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
} steps[] = {
	{ "NamespaceLifecycle", admit_namespace, NULL, admit_namespace_remove },
	{ "ServiceAccount", admit_service_account },
	{ "NodeRestriction", admit_node, NULL, admit_node_remove },
	{ "Priority", admit_priority },
	{ "DefaultTolerationSeconds", admit_tolerations },
	{ "NamespaceFinalizer", admit_namespace_finalizer },
	{ "ServiceAccountTokenSecret", admit_token_secret },
	{ "CertificateSigningRequest", admit_csr, admit_csr_check },
	{ "MutatingAdmissionWebhook", webhook_mutate, NULL, webhook_mutate_remove },
	{ "(escalation check)", admit_rbac },
	{ "ValidatingAdmissionWebhook", NULL, webhook_validate, webhook_validate_remove },
};

static int admit_mutate_all(struct admission *a, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
		if (steps[i].mutate && steps[i].mutate(a, e) < 0)
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
		if (steps[i].validate && steps[i].validate(&a, e) < 0)
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
		if (steps[i].remove && steps[i].remove(r, cur, e) < 0)
			return -e->code;
	return 0;
}
