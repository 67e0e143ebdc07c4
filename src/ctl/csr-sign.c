/*
 * Signs approved certificate requests of Kubernetes' own signers with the
 * cluster's authority: a year at most, what expirationSeconds asks for down to
 * ten minutes. A request that its signer does not allow gets the condition
 * Failed, reason SignerValidationFailure.
 */
#include "ctl/csr.h"

#define CSR_TTL_S (365LL * 24 * 3600)
#define CSR_TTL_MIN_S 600
#define CSR_BACKDATE_S 300 /* for clocks that are slow */

/* How certificates spell usages; extended ones are another list. */
static const struct {
	const char *usage, *name;
	bool extended;
} csr_usages[] = {
	{ "signing", "digitalSignature", false },
	{ "digital signature", "digitalSignature", false },
	{ "content commitment", "nonRepudiation", false },
	{ "key encipherment", "keyEncipherment", false },
	{ "key agreement", "keyAgreement", false },
	{ "data encipherment", "dataEncipherment", false },
	{ "cert sign", "keyCertSign", false },
	{ "crl sign", "cRLSign", false },
	{ "encipher only", "encipherOnly", false },
	{ "decipher only", "decipherOnly", false },
	{ "any", "anyExtendedKeyUsage", true },
	{ "server auth", "serverAuth", true },
	{ "client auth", "clientAuth", true },
	{ "code signing", "codeSigning", true },
	{ "email protection", "emailProtection", true },
	{ "s/mime", "emailProtection", true },
	{ "ipsec end system", "ipsecEndSystem", true },
	{ "ipsec tunnel", "ipsecTunnel", true },
	{ "ipsec user", "ipsecUser", true },
	{ "timestamping", "timeStamping", true },
	{ "ocsp signing", "OCSPSigning", true },
	{ "microsoft sgc", "msSGC", true },
	{ "netscape sgc", "nsSGC", true },
};

static int sign_usages(const struct node *usages, struct buf *key, struct buf *extended, struct err *e)
{
	NODE_FOREACH(u, usages)
	{
		bool found = false;

		for (size_t i = 0; i < ARRAY_SIZE(csr_usages) && !found; i++) {
			struct buf *out = csr_usages[i].extended ? extended : key;

			found = node_streq(u, csr_usages[i].usage);
			if (found && !strstr(out->s, csr_usages[i].name))
				buf_addf(out, "%s%s", out->len ? "," : csr_usages[i].extended ? "" : "critical,",
					 csr_usages[i].name);
		}
		if (!found)
			return err_set(e, ERR_BAD_REQUEST, "unrecognized usage values: [\"%s\"]", node_cstr_or(u, ""));
	}
	return 0;
}

static int64_t sign_ttl_s(const struct node *spec)
{
	int64_t asked = node_int(node_get(spec, F_expirationSeconds), CSR_TTL_S);

	return asked > CSR_TTL_S ? CSR_TTL_S : asked < CSR_TTL_MIN_S ? CSR_TTL_MIN_S : asked;
}

/* The certificate goes into d; or the condition that says why it may not be. */
static int sign_doc(const struct ctl_view *v, struct doc *d, struct err *e)
{
	const struct node *spec = node_get(doc_root(d), F_spec), *usages = node_get(spec, F_usages);
	_cleanup_buf_ struct buf pem = BUF_INIT, key = BUF_INIT, extended = BUF_INIT, cert = BUF_INIT, text = BUF_INIT;
	struct csr_terms terms = { .backdate_s = CSR_BACKDATE_S, .ttl_s = sign_ttl_s(spec) };
	struct csr_facts facts;
	const char *why;

	if (!csr_request(doc_root(d), &pem))
		return err_set(e, ERR_BAD_REQUEST, "the request is no base64");
	if (v->cfg->csr_read(&facts, buf_str(&pem), e) < 0)
		return -e->code;
	why = csr_check_signer(node_gets(spec, F_signerName), &facts, usages);
	csr_facts_release(&facts);
	if (why) {
		csr_add_condition(d, "Failed", "SignerValidationFailure", why);
		return 0;
	}
	if (sign_usages(usages, &key, &extended, e) < 0)
		return -e->code;
	terms.key_usage = key.s;
	terms.ext_key_usage = extended.s;
	if (v->cfg->csr_sign(v->cfg->csr_arg, buf_str(&pem), &terms, &cert, e) < 0)
		return -e->code;
	buf_add_base64(&text, cert.s, cert.len, false);
	node_sets(d, node_need_object(d, doc_root(d), F_status), F_certificate, text.s);
	return 0;
}

int csr_sign_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = informer_find(v->of[0], "", key);
	const struct node *root = o ? obj_node(o) : NULL;
	struct doc *d;

	if (!o || !v->cfg->csr_sign || meta_is_deleting(root) || !csr_has(root, "Approved") || csr_has(root, "Failed") ||
	    node_str(node_path(root, F_status, F_certificate)).n ||
	    !csr_is_ours(node_gets(node_get(root, F_spec), F_signerName)))
		return 0;
	d = doc_clone(obj_doc(o));
	if (sign_doc(v, d, e) < 0) {
		doc_unref(d);
		return -e->code;
	}
	plan_update(out, o->res, NULL, key, "status", d);
	return 0;
}
