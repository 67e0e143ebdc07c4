/*
 * Reads kubeconfigs: YAML or JSON; data inline in base64, or in files.
 */
#include "cli/kubeconfig.h"

#include "base/path.h"
#include "doc/doc.h"

#define KUBECONFIG_MAX (1u << 20)

/* The entry of this name in a list of {name: NAME, KEY: {...}}; gives what is under KEY. */
static const struct node *entry_of(const struct node *root, const char *list, const char *name, const char *key)
{
	NODE_FOREACH(n, node_getc(root, list))
		if (node_streq(node_getc(n, "name"), name))
			return node_getc(n, key);
	return NULL;
}

static int read_file(const char *path, const char *name, char **ret, struct err *e)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *dir = slash ? xmemdupz(path, (size_t)(slash - path + 1)) : xstrdup("./");
	_cleanup_free_ char *file = name[0] == '/' ? xstrdup(name) : path_join(dir, name);
	struct buf b = BUF_INIT;

	if (path_read(file, KUBECONFIG_MAX, &b, e) < 0) {
		buf_release(&b);
		return -e->code;
	}
	*ret = buf_detach(&b, NULL);
	return 0;
}

/* NAME-data: base64; or NAME: a file. Neither: *ret stays NULL. */
static int read_pem(const char *path, const struct node *n, const char *name, char **ret, struct err *e)
{
	_cleanup_free_ char *inline_name = xasprintf("%s-data", name);
	const struct node *data = node_getc(n, inline_name);
	const char *file = node_cstr(node_getc(n, name));
	struct buf b = BUF_INIT;

	if (!str_empty(node_cstr(data))) {
		bool good = buf_add_base64_decoded(&b, node_str(data), false);

		*ret = buf_detach(&b, NULL);
		return good ? 0 : err_set(e, ERR_BAD_REQUEST, "%s is no base64", inline_name);
	}
	return str_empty(file) ? 0 : read_file(path, file, ret, e);
}

static int read_user(struct kubeconfig *k, const char *path, const struct node *user, struct err *e)
{
	const char *token = node_cstr(node_getc(user, "token")), *file = node_cstr(node_getc(user, "tokenFile"));

	if (read_pem(path, user, "client-certificate", &k->cert_pem, e) < 0 ||
	    read_pem(path, user, "client-key", &k->key_pem, e) < 0)
		return -e->code;
	if (!str_empty(token)) {
		k->token = xstrdup(token);
	} else if (!str_empty(file)) {
		_cleanup_free_ char *text = NULL;

		if (read_file(path, file, &text, e) < 0)
			return -e->code;
		k->token = str_dup(str_trim(str_of(text)));
	}
	return 0;
}

static int read_root(struct kubeconfig *k, const char *path, const struct node *root, struct err *e)
{
	const char *name = node_cstr_or(node_getc(root, "current-context"), "");
	const struct node *context = entry_of(root, "contexts", name, "context"), *cluster;

	if (!context)
		return err_set(e, ERR_BAD_REQUEST, "it has no context \"%s\"", name);
	cluster = entry_of(root, "clusters", node_cstr_or(node_getc(context, "cluster"), ""), "cluster");
	if (str_empty(node_cstr(node_getc(cluster, "server"))))
		return err_set(e, ERR_BAD_REQUEST, "the context \"%s\" names no server", name);
	k->server = xstrdup(node_cstr(node_getc(cluster, "server")));
	k->insecure = node_bool(node_getc(cluster, "insecure-skip-tls-verify"), false);
	if (read_pem(path, cluster, "certificate-authority", &k->ca_pem, e) < 0)
		return -e->code;
	return read_user(k, path, entry_of(root, "users", node_cstr_or(node_getc(context, "user"), ""), "user"), e);
}

int kubeconfig_read(struct kubeconfig *k, const char *path, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct doc **docs = NULL;
	size_t n = 0;
	int rc;

	*k = (struct kubeconfig){ 0 };
	if (path_read(path, KUBECONFIG_MAX, &text, e) < 0 || doc_parse_yaml(&docs, &n, buf_str(&text), NULL, e) < 0)
		return err_wrap(e, "read the kubeconfig '%s'", path);
	rc = read_root(k, path, n ? doc_root(docs[0]) : NULL, e);
	for (size_t i = 0; i < n; i++)
		doc_unref(docs[i]);
	free(docs);
	return rc < 0 ? err_wrap(e, "the kubeconfig '%s'", path) : 0;
}

void kubeconfig_release(struct kubeconfig *k)
{
	free(k->server);
	free(k->ca_pem);
	free(k->cert_pem);
	free(k->key_pem);
	free(k->token);
	*k = (struct kubeconfig){ 0 };
}
