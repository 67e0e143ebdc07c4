/*
 * What the administrator says about admission: which steps run (kube-apiserver's
 * --enable-admission-plugins and --disable-admission-plugins) and the
 * AdmissionConfiguration of --admission-control-config-file, of which PodSecurity
 * takes its part.
 */
#include "api/admit.h"

#include "base/path.h"

#define CONFIG_BYTES (1u << 20)

/* Plug-ins of Kubernetes that are done elsewhere here, always, or not at all: naming them is no mistake. */
static const char *const elsewhere[] = {
	"AlwaysAdmit", "NodeRestriction", "MutatingAdmissionPolicy", "MutatingAdmissionWebhook",
	"ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ClusterTrustBundleAttest",
};

static int config_step(struct admit_config *c, struct str name, bool on, struct err *e)
{
	for (size_t i = 0; i < admit_step_count(); i++)
		if (str_eqc(name, admit_step_name(i))) {
			c->on = on ? c->on | 1ull << i : c->on & ~(1ull << i);
			return 0;
		}
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
		if (str_eqc(name, elsewhere[i]))
			return 0;
	return err_set(e, ERR_BAD_REQUEST, "admission plug-in \"%" STR_FMT "\" is unknown", STR_ARG(name));
}

static int config_steps(struct admit_config *c, const char *list, bool on, struct err *e)
{
	struct str rest = str_of(list);

	while (rest.n) {
		struct str name = str_trim(str_cut(&rest, ','));

		if (name.n && config_step(c, name, on, e) < 0)
			return -e->code;
	}
	return 0;
}

static int config_read(const char *file, struct doc **ret, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct doc **docs = NULL;
	size_t n = 0;

	*ret = NULL;
	if (path_read(file, CONFIG_BYTES, &text, e) < 0 || doc_parse_yaml(&docs, &n, buf_str(&text), NULL, e) < 0)
		return -e->code;
	if (n)
		*ret = docs[0];
	for (size_t i = 1; i < n; i++)
		doc_unref(docs[i]);
	free(docs);
	return n == 1 ? 0 : err_set(e, ERR_BAD_REQUEST, "it must hold one document, but holds %zu", n);
}

/* A plug-in's configuration stands in the file, or in another one that it names. */
static int config_plugin(struct admit_config *c, const struct node *plugin, const char *file, struct err *e)
{
	const struct node *n = node_getc(plugin, "configuration");
	const char *path = node_cstr(node_getc(plugin, "path"));
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_free_ char *full = NULL;

	if (!streq(node_gets(plugin, F_name), "PodSecurity"))
		return config_step(&(struct admit_config){ 0 }, str_of(node_gets(plugin, F_name)), true, e);
	if (!n && !str_empty(path)) {
		ssize_t slash = str_rfind(str_of(file), '/');
		_cleanup_free_ char *dir = slash > 0 ? str_dup(str_n(file, (size_t)slash)) : xstrdup(slash ? "." : "/");

		full = path[0] == '/' ? xstrdup(path) : path_join(dir, path);
		if (config_read(full, &d, e) < 0)
			return err_wrap(e, "'%s'", full);
		n = doc_root(d);
	}
	if (!n)
		return 0;
	podsec_config_free(c->podsec);
	c->podsec = NULL;
	return podsec_config_new(&c->podsec, n, e);
}

static int config_file(struct admit_config *c, const char *file, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *root;

	if (config_read(file, &d, e) < 0)
		return -e->code;
	root = doc_root(d);
	if (!streq(node_gets(root, F_kind), "AdmissionConfiguration") ||
	    !starts_with(node_gets(root, F_apiVersion), "apiserver.config.k8s.io/"))
		return err_set(e, ERR_BAD_REQUEST, "it is no AdmissionConfiguration of apiserver.config.k8s.io/v1");
	NODE_FOREACH(p, node_getc(root, "plugins"))
		if (config_plugin(c, p, file, e) < 0)
			return -e->code;
	return 0;
}

int admit_new(struct api *a, struct err *e)
{
	struct admit_config *c = xcalloc(1, sizeof(*c));
	const char *file = a->cfg.admission_config_file;

	a->admit = c;
	for (size_t i = 0; i < admit_step_count(); i++)
		c->on |= (uint64_t)!admit_step_is_off(i) << i;
	if (config_steps(c, a->cfg.admission_on, true, e) < 0 || config_steps(c, a->cfg.admission_off, false, e) < 0)
		return -e->code;
	if (!str_empty(file) && config_file(c, file, e) < 0)
		return err_wrap(e, "the admission configuration '%s'", file);
	if (!c->podsec && podsec_config_new(&c->podsec, NULL, e) < 0)
		return -e->code;
	a->cfg.admission_on = a->cfg.admission_off = a->cfg.admission_config_file = NULL; /* read once */
	return 0;
}

void admit_free(struct api *a)
{
	if (a->admit)
		podsec_config_free(a->admit->podsec);
	free(a->admit);
	a->admit = NULL;
}
