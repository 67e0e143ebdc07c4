/*
 * CertificateSigningRequests, what their strategy does in Kubernetes: a new one
 * says who made it, whatever its sender wrote there; conditions get their times;
 * a controller that sets the certificate does not touch the approval, and who
 * approves does not touch the certificate. Request and certificate must be PEM
 * that can be read, and the request's signature must be its own key's.
 *
 * What an update through which subresource may change is schema/strategy.c's and
 * schema/valid-api.c's; who may approve or sign for which signer is an admission
 * step of its own.
 */
#include "api/admit.h"

#include "base/time.h"

#define CSR_GROUP "certificates.k8s.io"
#define CSR_SHOWN_BYTES 2048 /* of a request that is no request, in the message about it */

static const char *const approvals[] = { "Approved", "Denied" };

static bool csr_is(const struct admission *a)
{
	return admit_is(a, CSR_GROUP, "certificatesigningrequests");
}

static const struct node *csr_conditions(const struct node *root)
{
	return node_path(root, F_status, F_conditions);
}

static size_t csr_count(const struct node *conditions, const char *type)
{
	size_t n = 0;

	NODE_FOREACH(c, conditions)
		n += streq(node_gets(c, F_type), type);
	return n;
}

/* --- mutation --- */

static void csr_set_user(struct admission *a)
{
	static const enum field parts[] = { F_username, F_uid, F_groups, F_extra };
	struct node *spec = node_need_object(a->d, a->root, F_spec);

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		node_remove(spec, parts[i]);
	user_node(a->d, spec, a->r->user);
}

static const char *csr_transition(const struct node *old, const struct node *c, const char *now)
{
	NODE_FOREACH(o, csr_conditions(old))
		if (streq(node_gets(o, F_type), node_gets(c, F_type)) &&
		    streq(node_gets(o, F_status), node_gets(c, F_status)) && *node_gets(o, F_lastTransitionTime))
			return node_gets(o, F_lastTransitionTime);
	return now;
}

static void csr_set_times(struct admission *a)
{
	char now[TIME_RFC3339_LEN];

	time_fmt_rfc3339(now, req_now(a->r));
	NODE_FOREACH(c, csr_conditions(a->root)) {
		if (!node_is(c, DOC_OBJECT))
			continue;
		if (!*node_gets(c, F_lastUpdateTime))
			node_sets(a->d, c, F_lastUpdateTime, now);
		if (!*node_gets(c, F_lastTransitionTime))
			node_sets(a->d, c, F_lastTransitionTime, csr_transition(obj_node(a->old), c, now));
	}
}

/* Through status: conditions of a type stay as they are while there are as many as there were. */
static void csr_keep(struct admission *a, const char *type)
{
	const struct node *old = csr_conditions(obj_node(a->old));
	const struct node *o = node_first(old);

	if (csr_count(old, type) != csr_count(csr_conditions(a->root), type))
		return;
	NODE_FOREACH(c, csr_conditions(a->root)) {
		if (!streq(node_gets(c, F_type), type))
			continue;
		while (!streq(node_gets(o, F_type), type))
			o = o->next;
		node_assign(a->d, c, o);
		o = o->next;
	}
}

int admit_csr(struct admission *a, struct err *e)
{
	const char *sub = a->r->at.subresource;

	if (!csr_is(a))
		return 0;
	if (!a->old) {
		csr_set_user(a);
		return 0;
	}
	if (streq(sub, "status"))
		for (size_t i = 0; i < ARRAY_SIZE(approvals); i++)
			csr_keep(a, approvals[i]);
	if (*sub)
		csr_set_times(a);
	return 0;
}

/* --- validation --- */

static int csr_invalid(struct admission *a, const char *field, const char *detail, struct err *e)
{
	return err_invalid(e, CSR_GROUP, "CertificateSigningRequest", a->r->at.name, "FieldValueInvalid", field, "%s",
			   detail);
}

/* As Go shows bytes. */
static void csr_show_bytes(const struct buf *data, struct buf *out)
{
	buf_adds(out, "[]byte{");
	for (size_t i = 0; i < data->len && i < CSR_SHOWN_BYTES; i++)
		buf_addf(out, "%s0x%x", i ? ", " : "", (unsigned char)data->s[i]);
	buf_adds(out, data->len > CSR_SHOWN_BYTES ? ", ...}" : "}");
}

static int csr_check_request(struct admission *a, struct err *e)
{
	_cleanup_buf_ struct buf pem = BUF_INIT, text = BUF_INIT;
	_cleanup_err_ struct err why = ERR_INIT;

	if (!buf_add_base64_decoded(&pem, node_str(node_path(a->root, F_spec, F_request)), false))
		buf_clear(&pem);
	if (tls_csr_check(buf_str(&pem), &why) == 0)
		return 0;
	csr_show_bytes(&pem, &text);
	buf_addf(&text, ": %s", err_msg(&why));
	return csr_invalid(a, "spec.request", text.s, e);
}

static int csr_check_certificate(struct admission *a, struct err *e)
{
	struct str now = node_str(node_path(a->root, F_status, F_certificate));
	struct str old = a->old ? node_str(node_path(obj_node(a->old), F_status, F_certificate)) : STR_NONE;
	_cleanup_buf_ struct buf pem = BUF_INIT;
	_cleanup_err_ struct err why = ERR_INIT;
	_cleanup_free_ char *text = NULL;

	if (str_eq(now, old))
		return 0;
	if (!buf_add_base64_decoded(&pem, now, false))
		buf_clear(&pem);
	if (tls_certs_check(buf_str(&pem), &why) == 0)
		return 0;
	text = xasprintf("\"<certificate data>\": %s", err_msg(&why));
	return csr_invalid(a, "status.certificate", text, e);
}

int admit_csr_check(struct admission *a, struct err *e)
{
	if (!csr_is(a))
		return 0;
	if ((!a->old && csr_check_request(a, e) < 0) || csr_check_certificate(a, e) < 0)
		return -e->code;
	return 0;
}
