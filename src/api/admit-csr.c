/*
 * CertificateSigningRequests, what their strategy does in Kubernetes: a new one
 * says who made it, whatever its sender wrote there; conditions get their times;
 * a controller that sets the certificate does not touch the approval, and who
 * approves does not touch the certificate. Request and certificate must be PEM
 * that can be read, and the request's signature must be its own key's.
 *
 * Which fields an update through which subresource may change at all is
 * schema/strategy.c's; who may approve or sign for which signer is an admission
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

static int csr_invalid(struct admission *a, const char *reason, const char *field, const char *detail, struct err *e)
{
	return err_invalid(e, CSR_GROUP, "CertificateSigningRequest", a->r->at.name, reason, field, "%s", detail);
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
	return csr_invalid(a, "FieldValueInvalid", "spec.request", text.s, e);
}

static int csr_check_condition(struct admission *a, const struct node *c, size_t i, struct err *e)
{
	const char *type = node_gets(c, F_type), *status = node_gets(c, F_status);
	_cleanup_free_ char *at_type = xasprintf("status.conditions[%zu].type", i);
	_cleanup_free_ char *at_status = xasprintf("status.conditions[%zu].status", i), *text = NULL;
	bool final = streq(type, "Approved") || streq(type, "Denied") || streq(type, "Failed");
	bool known = streq(status, "True") || (!final && (streq(status, "False") || streq(status, "Unknown")));

	if (!*type)
		return csr_invalid(a, "FieldValueRequired", at_type, "", e);
	if (!*status)
		return csr_invalid(a, "FieldValueRequired", at_status, "", e);
	if (known)
		return 0;
	text = xasprintf("\"%.64s\": supported values: %s", status,
			 final ? "\"True\"" : "\"False\", \"True\", \"Unknown\"");
	return csr_invalid(a, "FieldValueNotSupported", at_status, text, e);
}

static int csr_check_conditions(struct admission *a, struct err *e)
{
	const struct node *now = csr_conditions(a->root), *old = a->old ? csr_conditions(obj_node(a->old)) : NULL;
	bool both = csr_count(old, "Approved") && csr_count(old, "Denied");
	const char *first = NULL;
	size_t i = 0;

	NODE_FOREACH(c, now) {
		const char *type = node_gets(c, F_type);

		if (csr_check_condition(a, c, i, e) < 0)
			return -e->code;
		if (streq(type, "Approved") || streq(type, "Denied")) {
			if (first && !streq(first, type) && !both) {
				_cleanup_free_ char *field = xasprintf("status.conditions[%zu].type", i);
				_cleanup_free_ char *text = xasprintf(
					"\"%s\": Approved and Denied conditions are mutually exclusive", type);

				return csr_invalid(a, "FieldValueInvalid", field, text, e);
			}
			first = type;
		}
		i++;
	}
	return 0;
}

static bool csr_same(const struct node *a, const struct node *b, const char *type)
{
	const struct node *x = node_first(a), *y = node_first(b);

	for (;;) {
		while (x && !streq(node_gets(x, F_type), type))
			x = x->next;
		while (y && !streq(node_gets(y, F_type), type))
			y = y->next;
		if (!x || !y)
			return !x && !y;
		if (!node_equal(x, y))
			return false;
		x = x->next;
		y = y->next;
	}
}

static int csr_conditions_fixed(struct admission *a, const char *what, const char *type, struct err *e)
{
	_cleanup_free_ char *text = xasprintf("updates may not %s a condition of type \"%s\"", what, type);

	return csr_invalid(a, "FieldValueForbidden", "status.conditions", text, e);
}

/* What was decided once stays; only `approval` decides. */
static int csr_check_decisions(struct admission *a, struct err *e)
{
	static const char *const final[] = { "Approved", "Denied", "Failed" };
	const struct node *now = csr_conditions(a->root), *old = csr_conditions(obj_node(a->old));

	for (size_t i = 0; i < ARRAY_SIZE(final); i++)
		if (csr_count(now, final[i]) < csr_count(old, final[i]))
			return csr_conditions_fixed(a, "remove", final[i], e);
	for (size_t i = 0; i < ARRAY_SIZE(approvals) && !streq(a->r->at.subresource, "approval"); i++) {
		if (csr_count(now, approvals[i]) > csr_count(old, approvals[i]))
			return csr_conditions_fixed(a, "add", approvals[i], e);
		if (!csr_same(now, old, approvals[i]))
			return csr_conditions_fixed(a, "modify", approvals[i], e);
	}
	return 0;
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
	if (a->old && !streq(a->r->at.subresource, "status"))
		return csr_invalid(a, "FieldValueForbidden", "status.certificate", "updates may not set certificate content", e);
	if (old.n)
		return csr_invalid(a, "FieldValueForbidden", "status.certificate",
				   "updates may not modify existing certificate content", e);
	if (!buf_add_base64_decoded(&pem, now, false))
		buf_clear(&pem);
	if (tls_certs_check(buf_str(&pem), &why) == 0)
		return 0;
	text = xasprintf("\"<certificate data>\": %s", err_msg(&why));
	return csr_invalid(a, "FieldValueInvalid", "status.certificate", text, e);
}

int admit_csr_check(struct admission *a, struct err *e)
{
	if (!csr_is(a))
		return 0;
	if (!a->old && csr_check_request(a, e) < 0)
		return -e->code;
	if (csr_check_conditions(a, e) < 0 || (a->old && csr_check_decisions(a, e) < 0) || csr_check_certificate(a, e) < 0)
		return -e->code;
	return 0;
}
