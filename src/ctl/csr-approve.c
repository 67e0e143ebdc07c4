/*
 * Kubelets' client certificates need nobody's approval: a request of a node for
 * itself, or by somebody for a node, is approved when the requester may create
 * certificatesigningrequests/selfnodeclient or /nodeclient. That is asked by a
 * SubjectAccessReview, as Kubernetes' csrapproving controller does.
 */
#include "ctl/csr.h"

#include "base/log.h"

#define CSR_GROUP "certificates.k8s.io"

static const struct csr_way {
	const char *subresource;
	bool self; /* the subject is the requester */
	const char *message;
} csr_ways[] = {
	{ "selfnodeclient", true, "Auto approving self kubelet client certificate after SubjectAccessReview." },
	{ "nodeclient", false, "Auto approving kubelet client certificate after SubjectAccessReview." },
};

struct csr_approval {
	struct ctl_run *run;
	struct obj *csr;
	bool self; /* its subject is its requester */
	size_t way; /* that is being asked about */
};

static void approve_next(struct csr_approval *a);

static void approve_done(struct csr_approval *a, bool failed)
{
	struct ctl_run *run = a->run;
	char *key = xstrdup(a->csr->name);

	obj_unref(a->csr);
	free(a);
	ctl_run_done(run, key, failed, 0);
	free(key);
}

static void approve_written(void *arg, struct obj *o, const struct err *err)
{
	approve_done(arg, err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT);
}

static void approve_write(struct csr_approval *a)
{
	struct doc *d = doc_clone(obj_doc(a->csr));

	csr_add_condition(d, "Approved", "AutoApproved", csr_ways[a->way].message);
	client_update(ctl_run_client(a->run), a->csr->res, NULL, a->csr->name, "approval", d, approve_written, a);
}

static void approve_answered(void *arg, struct obj *o, const struct err *err)
{
	struct csr_approval *a = arg;

	if (err) {
		log_debug("can't ask who may have a node's certificate", LS("name", a->csr->name), LE(err));
		approve_done(a, true);
	} else if (o && node_bool(node_path(obj_node(o), F_status, F_allowed), false)) {
		approve_write(a);
	} else {
		a->way++;
		approve_next(a);
	}
}

static struct doc *approve_review(const struct node *csr, const struct csr_way *way)
{
	const struct node *from = node_get(csr, F_spec);
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *spec, *what;
	static const enum field copied[] = { F_uid, F_groups, F_extra };

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "authorization.k8s.io/v1");
	node_sets(d, root, F_kind, "SubjectAccessReview");
	spec = node_need_object(d, root, F_spec);
	node_sets(d, spec, F_user, node_gets(from, F_username));
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		if (node_get(from, copied[i]))
			node_set(d, spec, copied[i], node_copy(d, node_get(from, copied[i])));
	what = node_need_object(d, spec, F_resourceAttributes);
	node_sets(d, what, F_group, CSR_GROUP);
	node_sets(d, what, F_resource, "certificatesigningrequests");
	node_sets(d, what, F_verb, "create");
	node_sets(d, what, F_subresource, way->subresource);
	return d;
}

static void approve_next(struct csr_approval *a)
{
	while (a->way < ARRAY_SIZE(csr_ways) && csr_ways[a->way].self && !a->self)
		a->way++;
	if (a->way == ARRAY_SIZE(csr_ways)) {
		approve_done(a, false);
		return;
	}
	client_create(ctl_run_client(a->run), schema_res("authorization.k8s.io", "subjectaccessreviews"), NULL,
		      approve_review(obj_node(a->csr), &csr_ways[a->way]), approve_answered, a);
}

/* Is it for a node's client certificate? */
static bool approve_knows(const struct ctl_view *v, const struct node *root, bool *self)
{
	const struct node *spec = node_get(root, F_spec);
	_cleanup_buf_ struct buf pem = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct csr_facts facts;
	bool known;

	if (!streq(node_gets(spec, F_signerName), CSR_KUBELET_CLIENT) || !csr_request(root, &pem) || !v->cfg->csr_read ||
	    v->cfg->csr_read(&facts, buf_str(&pem), &e) < 0)
		return false;
	known = !csr_check_signer(CSR_KUBELET_CLIENT, &facts, node_get(spec, F_usages));
	*self = streq(facts.common_name, node_gets(spec, F_username));
	csr_facts_release(&facts);
	return known;
}

void csr_approve_start(struct ctl_run *run, const struct ctl_view *v, const char *key)
{
	struct obj *o = informer_find(v->of[0], "", key);
	const struct node *root = o ? obj_node(o) : NULL;
	struct csr_approval *a;
	bool self = false;

	if (!o || meta_is_deleting(root) || node_str(node_path(root, F_status, F_certificate)).n ||
	    csr_has(root, "Approved") || csr_has(root, "Denied") || !approve_knows(v, root, &self)) {
		ctl_run_done(run, key, false, 0);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->run = run;
	a->csr = obj_ref(o);
	a->self = self;
	approve_next(a);
}
