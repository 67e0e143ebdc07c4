/*
 * imagePullSecrets: the registries' credentials of a pod's Secrets, in their
 * order (those of its service account were added by admission). A Secret of
 * another type gives none, as with the kubelet; one that can't be read as what
 * its type says, neither, and the log says so.
 */
#include <errno.h>

#include "node/pull.h"

static const struct secret_form {
	const char *type, *key;
	bool wrapped;
} secret_forms[] = {
	{"kubernetes.io/dockerconfigjson", ".dockerconfigjson", true},
	{"kubernetes.io/dockercfg", ".dockercfg", false},
};

static void keyring_take_secret(struct image_keyring *k, struct obj *o)
{
	const struct node *root = obj_node(o);
	_cleanup_free_ char *source = xasprintf("%s %s %s", o->uid, o->ns, o->name);
	_cleanup_buf_ struct buf json = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(secret_forms); i++) {
		const struct secret_form *f = &secret_forms[i];
		struct str data = node_str(node_getc(node_get(root, F_data), f->key));

		if (!streq(node_gets(root, F_type), f->type) || !data.n)
			continue;
		if (!buf_add_base64_decoded(&json, data, false))
			err_set(&e, ERR_INVALID, "its %s is no base64", f->key);
		else
			(void)!image_keyring_add(k, buf_str(&json), f->wrapped, source, &e);
	}
	if (err_is_set(&e))
		log_warn("an image pull secret can't be used, ignoring", LS("namespace", o->ns), LS("secret", o->name),
			 LE(&e));
}

int pull_keyring(struct pod *p, struct image_keyring **ret, char **missing)
{
	_cleanup_buf_ struct buf gone = BUF_INIT;
	struct image_keyring *k = NULL;

	*ret = NULL;
	*missing = NULL;
	NODE_FOREACH (ref, node_get(pod_spec(p), F_imagePullSecrets)) {
		const char *name = node_gets(ref, F_name);
		struct obj *o = NULL;
		int r = *name ? agent_ref(p->agent, REF_SECRET, p->ns, name, &o) : 0;

		if (r == -EAGAIN) {
			image_keyring_unref(k);
			return 0;
		}
		if (r > 0) {
			k = k ? k : image_keyring_new();
			keyring_take_secret(k, o);
		} else if (*name) {
			buf_addf(&gone, "%s%s", gone.len ? ", " : "", name);
		}
	}
	*ret = k;
	*missing = xstrdup(gone.s);
	return 1;
}
