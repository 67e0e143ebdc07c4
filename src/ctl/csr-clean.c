/*
 * Removes certificate requests that nobody needs any more: pending ones after a
 * day, denied, failed and issued ones after an hour, and issued ones whose
 * certificate has ended. A timer runs only while there are requests.
 */
#include "ctl/csr.h"

#include "base/time.h"

#define CSR_PENDING_S (24 * 3600)
#define CSR_OVER_S 3600

static int64_t csr_time_s(const struct node *n)
{
	int64_t ns;

	return node_str(n).n && time_parse_rfc3339(node_str(n), &ns) ? ns / SEC_NS : 0;
}

static int64_t csr_sooner(int64_t a, int64_t b)
{
	return !a || b < a ? b : a;
}

int64_t csr_due_s(const struct node *root)
{
	const struct node *conditions = node_path(root, F_status, F_conditions);
	bool issued = node_str(node_path(root, F_status, F_certificate)).n > 0;
	int64_t life = node_int(node_path(root, F_spec, F_expirationSeconds), CSR_OVER_S), due = 0;

	if (!node_count(conditions))
		return csr_time_s(node_path(root, F_metadata, F_creationTimestamp)) + CSR_PENDING_S;
	NODE_FOREACH(c, conditions)
	{
		const char *type = node_gets(c, F_type);
		int64_t at = csr_time_s(node_get(c, F_lastUpdateTime));

		if (!at)
			continue;
		if (streq(type, "Denied") || streq(type, "Failed"))
			due = csr_sooner(due, at + CSR_OVER_S);
		else if (streq(type, "Approved") && issued)
			due = csr_sooner(due, at + (life < CSR_OVER_S ? life : CSR_OVER_S));
	}
	return due;
}

int csr_clean_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = informer_find(v->of[0], "", key);
	int64_t due = o ? csr_due_s(obj_node(o)) : 0, now = time_wall_s();

	if (!due)
		return 0;
	if (due > now)
		out->again_ms = (due - now) * SEC_MS + SEC_MS;
	else
		plan_delete(out, o->res, NULL, key, o->uid);
	return 0;
}
