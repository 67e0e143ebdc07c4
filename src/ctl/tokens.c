/*
 * Secrets of type kubernetes.io/service-account-token go with their account. (The
 * API fills them in when they are written.)
 */
#include "ctl/internal.h"

static bool token_has_account(const struct ctl_view *v, struct obj *secret)
{
	const struct node *root = obj_node(secret);
	const char *name = meta_annotation(root, "kubernetes.io/service-account.name");
	const char *uid = meta_annotation(root, "kubernetes.io/service-account.uid");
	struct obj *account = str_empty(name) ? NULL : informer_find(v->of[1], secret->ns, name);

	return account && (str_empty(uid) || streq(account->uid, uid));
}

int tokens_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	for (struct obj *o = informer_next(v->of[0], key, NULL); o; o = informer_next(v->of[0], key, o))
		if (!meta_is_deleting(obj_node(o)) && !token_has_account(v, o))
			plan_delete(out, o->res, o->ns, o->name, o->uid);
	return 0;
}
