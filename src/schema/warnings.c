/*
 * Warnings: what is accepted but probably not meant. They go out as Warning
 * headers; the texts are Kubernetes' (pkg/api/pod/warnings.go and its like).
 *
 * To add one: a function for its kind, called from schema_warnings.
 */
#include "schema/valid.h"

#include <stdarg.h>

#include "base/limits.h"

struct warn {
	void (*f)(void *arg, const char *text);
	void *arg;
};

static void ATTR_PRINTF(2, 3) warn(const struct warn *w, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	w->f(w->arg, text);
}

static void warn_finalizers(const struct warn *w, const struct node *root)
{
	NODE_FOREACH(c, node_get(meta_of(root), F_finalizers)) {
		struct str s = node_str(c);

		if (str_find(s, '/') < 0 && !str_eqc(s, "orphan") && !str_eqc(s, "foregroundDeletion") &&
		    !str_eqc(s, "kubernetes"))
			warn(w,
			     "metadata.finalizers: \"%" STR_FMT "\": prefer a domain-qualified finalizer name including "
			     "a path (/) to avoid accidental conflicts with other finalizer writers",
			     STR_ARG(s));
	}
}

/* --- pods --- */

static void warn_node_selector(const struct warn *w, const char *path, const struct node *spec)
{
	static const struct {
		const char *old, *now;
	} LABELS[] = {
		{ "beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead" },
		{ "beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead" },
		{ "failure-domain.beta.kubernetes.io/region",
		  "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead" },
		{ "failure-domain.beta.kubernetes.io/zone",
		  "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead" },
		{ "beta.kubernetes.io/instance-type",
		  "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(LABELS); i++) {
		if (node_getc(node_get(spec, F_nodeSelector), LABELS[i].old))
			warn(w, "%s.nodeSelector[%s]: %s", path, LABELS[i].old, LABELS[i].now);
	}
}

static void warn_env(const struct warn *w, const char *path, const struct node *ctr)
{
	const struct node *list = node_get(ctr, F_env);
	size_t i = 0;

	if (node_count(list) > LIMIT_LIST_ITEMS)
		return;
	NODE_FOREACH(c, list) {
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_name), v_str(c, F_name))) {
				warn(w,
				     "%s.env[%zu]: hides previous definition of \"%s\", which may be dropped when using "
				     "apply",
				     path, i, node_gets(c, F_name));
				break;
			}
		}
		i++;
	}
}

static void warn_ports(const struct warn *w, const char *path, const struct node *ctr)
{
	const struct node *list = node_get(ctr, F_ports);
	size_t i = 0;

	if (node_count(list) > LIMIT_LIST_ITEMS)
		return;
	NODE_FOREACH(c, list) {
		size_t k = 0;

		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (v_same(node_get(other, F_containerPort), node_get(c, F_containerPort)) &&
			    v_same(node_get(other, F_hostPort), node_get(c, F_hostPort)) &&
			    v_same(node_get(other, F_hostIP), node_get(c, F_hostIP)) &&
			    v_same(node_get(other, F_protocol), node_get(c, F_protocol)))
				warn(w, "%s.ports[%zu]: duplicate port definition with %s.ports[%zu]", path, i, path, k);
			k++;
		}
		i++;
	}
}

static void warn_fractions(const struct warn *w, const char *path, const struct node *list)
{
	NODE_FOREACH(c, list) {
		struct quantity q;

		if ((str_eqc(node_key(c), "memory") || str_eqc(node_key(c), "ephemeral-storage")) &&
		    quantity_from_node(&q, c) && q.nano % 1000000000 != 0)
			warn(w, "%s[%s]: fractional byte value \"%s\" is invalid, must be an integer", path, c->key,
			     node_cstr_or(c, ""));
	}
}

static void warn_containers(const struct warn *w, const char *path, const struct node *spec, enum field list)
{
	size_t i = 0;

	NODE_FOREACH(c, node_get(spec, list)) {
		_cleanup_free_ char *at = xasprintf("%s.%s[%zu]", path, doc_field_name(list), i++);
		_cleanup_free_ char *limits = xasprintf("%s.resources.limits", at);
		_cleanup_free_ char *requests = xasprintf("%s.resources.requests", at);

		warn_fractions(w, limits, node_path(c, F_resources, F_limits));
		warn_fractions(w, requests, node_path(c, F_resources, F_requests));
		warn_env(w, at, c);
		warn_ports(w, at, c);
	}
}

static void warn_pull_secrets(const struct warn *w, const char *path, const struct node *list)
{
	size_t i = 0;

	if (node_count(list) > LIMIT_LIST_ITEMS)
		return;
	NODE_FOREACH(c, list) {
		if (v_str(c, F_name).n == 0)
			warn(w, "%s.imagePullSecrets[%zu].name: invalid empty name \"\"", path, i);
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (str_eq(v_str(other, F_name), v_str(c, F_name))) {
				warn(w, "%s.imagePullSecrets[%zu].name: duplicate entry with name \"%s\"", path, i,
				     node_gets(c, F_name));
				break;
			}
		}
		i++;
	}
}

static void warn_pod_spec(const struct warn *w, const char *path, const struct node *spec)
{
	size_t i = 0;

	warn_node_selector(w, path, spec);
	NODE_FOREACH(c, node_get(spec, F_volumes)) {
		if (node_get(c, F_gitRepo))
			warn(w, "%s.volumes[%zu].gitRepo: deprecated in v1.11, and disabled by default in v1.33+", path,
			     i);
		i++;
	}
	warn_pull_secrets(w, path, node_get(spec, F_imagePullSecrets));
	if (node_int(node_get(spec, F_terminationGracePeriodSeconds), 0) < 0)
		warn(w,
		     "%s.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated "
		     "as 1",
		     path);
	warn_containers(w, path, spec, F_initContainers);
	warn_containers(w, path, spec, F_containers);
}

static void warn_pod(const struct warn *w, const struct node *root)
{
	struct str name = str_of(meta_name(root));
	const char *why = schema_check_dns_label(name);

	if (name.n > 0 && why)
		warn(w,
		     "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a "
		     "DNS label is recommended: [%s]",
		     why);
	warn_pod_spec(w, "spec", node_get(root, F_spec));
}

/* --- services --- */

static void warn_service(const struct warn *w, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);

	if (node_streq(node_get(spec, F_clusterIP), "None")) {
		if (v_str(spec, F_loadBalancerIP).n > 0)
			warn(w, "spec.loadBalancerIP is ignored when spec.clusterIP is \"None\"");
		if (node_count(node_get(spec, F_externalIPs)) > 0)
			warn(w, "spec.externalIPs is ignored when spec.clusterIP is \"None\"");
		if (streq(node_gets(spec, F_sessionAffinity), "ClientIP"))
			warn(w, "spec.SessionAffinity is ignored for headless services");
	}
	if (*node_gets(spec, F_externalName) && !streq(node_gets(spec, F_type), "ExternalName"))
		warn(w, "spec.externalName is ignored when spec.type is not \"ExternalName\"");
}

/* Where a kind keeps its pod's template. */
static const struct {
	const char *group, *kind, *path;
} TEMPLATES[] = {
	{ "", "PodTemplate", "template.spec" },
	{ "", "ReplicationController", "spec.template.spec" },
	{ "apps", "DaemonSet", "spec.template.spec" },
	{ "apps", "Deployment", "spec.template.spec" },
	{ "apps", "ReplicaSet", "spec.template.spec" },
	{ "apps", "StatefulSet", "spec.template.spec" },
	{ "batch", "CronJob", "spec.jobTemplate.spec.template.spec" },
	{ "batch", "Job", "spec.template.spec" },
};

static const struct node *warn_find(const struct node *n, const char *path)
{
	struct str rest = str_of(path);

	while (rest.p)
		n = node_getk(n, str_cut(&rest, '.'));
	return n;
}

void schema_warnings(const struct schema_res *r, const struct node *root, void (*f)(void *arg, const char *text),
		     void *arg)
{
	struct warn w = { f, arg };

	warn_finalizers(&w, root);
	if (!*r->r.group && streq(r->r.kind, "Pod"))
		warn_pod(&w, root);
	else if (!*r->r.group && streq(r->r.kind, "Service"))
		warn_service(&w, root);
	else if (!*r->r.group && streq(r->r.kind, "Endpoints"))
		warn(&w, "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice");
	else if (!*r->r.group && streq(r->r.kind, "ComponentStatus"))
		warn(&w, "v1 ComponentStatus is deprecated in v1.19+");
	for (size_t i = 0; i < ARRAY_SIZE(TEMPLATES); i++) {
		if (streq(TEMPLATES[i].kind, r->r.kind) && streq(TEMPLATES[i].group, r->r.group))
			warn_pod_spec(&w, TEMPLATES[i].path, warn_find(root, TEMPLATES[i].path));
	}
}
