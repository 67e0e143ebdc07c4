/*
 * Audit policies: what is read chooses without harm, for whoever asks whatever;
 * what is refused has a reason.
 */
#include "api/audit.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *groups[] = { "devs", NULL };
	static const struct user user = { .name = "ann", .uid = "", .groups = groups };
	static const struct attrs asked[] = {
		{ "get", "", "v1", "pods", "log", "default", "a", NULL },
		{ "list", "apps", "v1", "deployments", "", "", "", NULL },
		{ "get", "", "", "", "", "", "", "/healthz" },
		{ "get", "", "", "", "", "", "", "" },
	};
	_cleanup_err_ struct err e = ERR_INIT;
	struct audit_policy *p = NULL;

	if (audit_policy_parse(&p, str_n((const char *)data, size), &e) < 0) {
		BUG_ON(!*err_msg(&e) || p);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(asked); i++) {
		BUG_ON(audit_policy_choose(p, &user, &asked[i]).level >= AUDIT_LEVELS);
		BUG_ON(audit_policy_choose(p, NULL, &asked[i]).omit_stages >> AUDIT_STAGES);
	}
	audit_policy_free(p);
	return 0;
}
