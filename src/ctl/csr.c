/*
 * Certificate requests: what Kubernetes' own signers insist on, and small things
 * that the approving, signing and cleaning controllers share.
 */
#include "ctl/csr.h"

#include <stdio.h>

#include "base/time.h"

void csr_facts_release(struct csr_facts *f)
{
	for (char **o = f->organizations; o && *o; o++)
		free(*o);
	free(f->organizations);
	free(f->common_name);
	*f = (struct csr_facts){ 0 };
}

bool csr_request(const struct node *root, struct buf *pem)
{
	return buf_add_base64_decoded(pem, node_str(node_path(root, F_spec, F_request)), false);
}

bool csr_has(const struct node *root, const char *type)
{
	return cond_is_true(node_path(root, F_status, F_conditions), type);
}

void csr_add_condition(struct doc *d, const char *type, const char *reason, const char *message)
{
	struct node *list = node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions);
	struct node *c = node_append(list, node_new(d, DOC_OBJECT));
	char now[TIME_RFC3339_LEN];

	node_sets(d, c, F_type, type);
	node_sets(d, c, F_status, "True");
	node_sets(d, c, F_reason, reason);
	node_sets(d, c, F_message, message);
	node_sets(d, c, F_lastUpdateTime, time_fmt_rfc3339(now, time_wall_s()));
}

/* --- signers --- */

static bool csr_usages_has(const struct node *usages, const char *what)
{
	NODE_FOREACH(u, usages)
		if (node_streq(u, what))
			return true;
	return false;
}

/* Exactly these, where keys that can't encipher may do without it. */
static bool csr_usages_are(const struct node *usages, const char *auth)
{
	if (!csr_usages_has(usages, "digital signature") || !csr_usages_has(usages, auth))
		return false;
	NODE_FOREACH(u, usages)
		if (!node_streq(u, "digital signature") && !node_streq(u, "key encipherment") && !node_streq(u, auth))
			return false;
	return true;
}

static bool csr_is_node(const struct csr_facts *f)
{
	return f->organizations[0] && streq(f->organizations[0], "system:nodes") && !f->organizations[1];
}

static const char *csr_check_kubelet_serving(const struct csr_facts *f, const struct node *usages)
{
	return !csr_is_node(f)		  ? "subject organization is not system:nodes" :
	       !f->n_dns && !f->n_ips	  ? "DNS or IP subjectAltName is required" :
	       f->n_emails		  ? "Email subjectAltNames are not allowed" :
	       f->n_uris		  ? "URI subjectAltNames are not allowed" :
	       !csr_usages_are(usages, "server auth") ?
					    "usages did not match [digital signature key encipherment server auth]" :
	       !starts_with(f->common_name, "system:node:") ? "subject common name does not begin with system:node:" :
							      NULL;
}

static const char *csr_check_kubelet_client(const struct csr_facts *f, const struct node *usages)
{
	return !csr_is_node(f) ? "subject organization is not system:nodes" :
	       f->n_dns	       ? "DNS subjectAltNames are not allowed" :
	       f->n_emails     ? "Email subjectAltNames are not allowed" :
	       f->n_ips	       ? "IP subjectAltNames are not allowed" :
	       f->n_uris       ? "URI subjectAltNames are not allowed" :
	       !starts_with(f->common_name, "system:node:") ? "subject common name does not begin with system:node:" :
	       !csr_usages_are(usages, "client auth") ?
				 "usages did not match [client auth digital signature key encipherment]" :
				 NULL;
}

static const char *csr_check_client(const struct csr_facts *f, const struct node *usages)
{
	static char text[200];

	NODE_FOREACH(u, usages)
		if (!node_streq(u, "digital signature") && !node_streq(u, "key encipherment") &&
		    !node_streq(u, "client auth")) {
			snprintf(text, sizeof(text), "invalid usage for client certificate: %.100s", node_cstr_or(u, ""));
			return text;
		}
	return csr_usages_has(usages, "client auth") ? NULL : "missing required usage for client certificate: client auth";
}

static const char *csr_check_anything(const struct csr_facts *f, const struct node *usages)
{
	return NULL;
}

static const struct {
	const char *name;
	const char *(*check)(const struct csr_facts *f, const struct node *usages);
} csr_signers[] = {
	{ "kubernetes.io/kube-apiserver-client", csr_check_client },
	{ CSR_KUBELET_CLIENT, csr_check_kubelet_client },
	{ "kubernetes.io/kubelet-serving", csr_check_kubelet_serving },
	{ "kubernetes.io/legacy-unknown", csr_check_anything },
};

bool csr_is_ours(const char *signer)
{
	for (size_t i = 0; i < ARRAY_SIZE(csr_signers); i++)
		if (streq(csr_signers[i].name, signer))
			return true;
	return false;
}

const char *csr_check_signer(const char *signer, const struct csr_facts *f, const struct node *usages)
{
	for (size_t i = 0; i < ARRAY_SIZE(csr_signers); i++)
		if (streq(csr_signers[i].name, signer))
			return csr_signers[i].check(f, usages);
	return "unrecognized signer";
}
