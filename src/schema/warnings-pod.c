/*
 * Warnings about pods and pod templates: labels of nodes and annotations of old,
 * volume plugins that are gone, paths in volumes that cover each other, names and
 * ports that are there twice, fractions of a byte.
 */
#include "schema/warnings.h"

#include "base/limits.h"

static const enum field CONTAINERS[] = { F_initContainers, F_containers, F_ephemeralContainers };

/* --- nodes --- */

static void warn_node_affinity(const struct warn *w, const char *path, const struct node *n)
{
	size_t i = 0;

	NODE_FOREACH(c, node_path(n, F_requiredDuringSchedulingIgnoredDuringExecution, F_nodeSelectorTerms)) {
		_cleanup_free_ char *at = xasprintf("%sspec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuring"
						    "Execution.nodeSelectorTerms[%zu]",
						    path, i++);

		warn_node_term(w, at, c, false);
	}
	i = 0;
	NODE_FOREACH(c, node_get(n, F_preferredDuringSchedulingIgnoredDuringExecution)) {
		_cleanup_free_ char *at = xasprintf("%sspec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuring"
						    "Execution[%zu].preference",
						    path, i++);

		warn_node_term(w, at, node_get(c, F_preference), true);
	}
}

static void warn_nodes(const struct warn *w, const char *path, const struct node *spec)
{
	size_t i = 0;

	NODE_FOREACH(c, node_get(spec, F_nodeSelector)) {
		const char *why = warn_node_label(node_key(c));

		if (why)
			warn(w, "%sspec.nodeSelector[%s]: %s", path, c->key, why);
	}
	warn_node_affinity(w, path, node_path(spec, F_affinity, F_nodeAffinity));
	NODE_FOREACH(c, node_get(spec, F_topologySpreadConstraints)) {
		const char *why = warn_node_label(v_str(c, F_topologyKey));

		if (why)
			warn(w, "%sspec.topologySpreadConstraints[%zu].topologyKey: %s is %s", path, i,
			     node_gets(c, F_topologyKey), why);
		if (!node_get(c, F_labelSelector))
			warn(w,
			     "%sspec.topologySpreadConstraints[%zu].labelSelector: a null labelSelector results in "
			     "matching no pod",
			     path, i);
		i++;
	}
}

static void warn_pod_terms(const struct warn *w, const char *path, const struct node *affinity, enum field kind)
{
	static const char NONE[] = "a null labelSelector results in matching no pod";
	const struct node *n = node_get(affinity, kind);
	size_t i = 0;

	NODE_FOREACH(c, node_get(n, F_requiredDuringSchedulingIgnoredDuringExecution)) {
		if (!node_get(c, F_labelSelector))
			warn(w,
			     "%sspec.affinity.%s.requiredDuringSchedulingIgnoredDuringExecution[%zu].labelSelector: %s",
			     path, doc_field_name(kind), i, NONE);
		i++;
	}
	i = 0;
	NODE_FOREACH(c, node_get(n, F_preferredDuringSchedulingIgnoredDuringExecution)) {
		if (!node_path(c, F_podAffinityTerm, F_labelSelector))
			warn(w,
			     "%sspec.affinity.%s.preferredDuringSchedulingIgnoredDuringExecution[%zu].podAffinityTerm."
			     "labelSelector: %s",
			     path, doc_field_name(kind), i, NONE);
		i++;
	}
}

/* --- annotations --- */

static void warn_annotations(const struct warn *w, const char *path, const struct node *meta, const struct node *spec)
{
	static const char SECCOMP[] = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
	static const struct {
		const char *key, *why;
	} OLD[] = {
		{ "scheduler.alpha.kubernetes.io/critical-pod",
		  "non-functional in v1.16+; use the \"priorityClassName\" field instead" },
		{ "security.alpha.kubernetes.io/sysctls",
		  "non-functional in v1.11+; use the \"sysctls\" field instead" },
		{ "security.alpha.kubernetes.io/unsafe-sysctls",
		  "non-functional in v1.11+; use the \"sysctls\" field instead" },
	};
	const struct node *notes = node_get(meta, F_annotations);

	for (size_t i = 0; i < ARRAY_SIZE(OLD); i++) {
		if (node_getc(notes, OLD[i].key))
			warn(w, "%smetadata.annotations[%s]: %s", path, OLD[i].key, OLD[i].why);
	}
	if (node_getc(notes, "seccomp.security.alpha.kubernetes.io/pod") &&
	    !node_path(spec, F_securityContext, F_seccompProfile))
		warn(w, "%smetadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: %s", path, SECCOMP);
	for (size_t i = 0; i < ARRAY_SIZE(CONTAINERS); i++) {
		NODE_FOREACH(c, node_get(spec, CONTAINERS[i])) {
			_cleanup_free_ char *seccomp = xasprintf("container.seccomp.security.alpha.kubernetes.io/%s",
								 node_gets(c, F_name));
			_cleanup_free_ char *armor = xasprintf("container.apparmor.security.beta.kubernetes.io/%s",
							       node_gets(c, F_name));

			if (node_getc(notes, seccomp) && !node_path(c, F_securityContext, F_seccompProfile))
				warn(w, "%smetadata.annotations[%s]: %s", path, seccomp, SECCOMP);
			if (*path && node_getc(notes, armor) && !node_path(c, F_securityContext, F_appArmorProfile))
				warn(w,
				     "%smetadata.annotations[%s]: deprecated since v1.30; use the \"appArmorProfile\" "
				     "field instead",
				     path, armor);
		}
	}
}

/* --- volumes --- */

static void warn_plugins(const struct warn *w, const char *path, const struct node *volumes)
{
	static const struct {
		enum field field;
		const char *name, *why;
	} PLUGINS[] = {
		{ F_photonPersistentDisk, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+" },
		{ F_gitRepo, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+" },
		{ F_scaleIO, "scaleIO", "deprecated in v1.16, non-functional in v1.22+" },
		{ F_flocker, "flocker", "deprecated in v1.22, non-functional in v1.25+" },
		{ F_storageos, "storageOS", "deprecated in v1.22, non-functional in v1.25+" },
		{ F_quobyte, "quobyte", "deprecated in v1.22, non-functional in v1.25+" },
		{ F_glusterfs, "glusterfs", "deprecated in v1.25, non-functional in v1.26+" },
		{ F_cephfs, "cephfs", "deprecated in v1.28, non-functional in v1.31+" },
		{ F_rbd, "rbd", "deprecated in v1.28, non-functional in v1.31+" },
	};
	size_t i = 0;

	NODE_FOREACH(c, volumes) {
		const struct node *claim = node_path(c, F_ephemeral, F_volumeClaimTemplate, F_spec);
		_cleanup_free_ char *volume = xasprintf("%sspec.volumes[%zu]", path, i);

		for (size_t k = 0; k < ARRAY_SIZE(PLUGINS); k++) {
			if (node_get(c, PLUGINS[k].field))
				warn(w, "%s.%s: %s", volume, PLUGINS[k].name, PLUGINS[k].why);
		}
		warn_cloud_disk(w, volume, c);
		if (claim) {
			_cleanup_free_ char *at = xasprintf("%s.ephemeral.volumeClaimTemplate.spec", volume);

			warn_claim(w, at, claim);
		}
		i++;
	}
}

/* A path inside a volume, and what puts it there. */
struct inner {
	struct str path;
	char *text; /* `"a/b" (ConfigMap "c")` */
};

struct inners {
	struct inner *v;
	size_t n, cap;
};

static bool inner_covers(struct str a, struct str b)
{
	return str_eq(a, b) || (b.n > a.n && b.p[a.n] == '/' && str_eq(str_sub(b, 0, a.n), a));
}

/* what: of the volume, for the text; source: "" when the volume has only one. */
static void warn_inner(const struct warn *w, struct inners *all, const char *volume, const char *what, struct str path,
		       const char *source)
{
	struct inner *i;

	if (all->n >= LIMIT_LIST_ITEMS)
		return;
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	if (all->n == all->cap) {
		all->cap = all->cap ? 2 * all->cap : 8;
		all->v = xreallocarray(all->v, all->cap, sizeof(*all->v));
	}
	i = &all->v[all->n++];
	i->path = path;
	i->text = *source ? xasprintf("\"%" STR_FMT "\" (%s)", STR_ARG(path), source) :
			    xasprintf("\"%" STR_FMT "\"", STR_ARG(path));
	for (size_t k = 0; path.n > 0 && k + 1 < all->n; k++) {
		if (all->v[k].path.n > 0 &&
		    (inner_covers(path, all->v[k].path) || inner_covers(all->v[k].path, path)))
			warn(w, "volume \"%s\" (%s): overlapping paths: %s with %s", volume, what, i->text,
			     all->v[k].text);
	}
}

static void inners_release(struct inners *all)
{
	for (size_t i = 0; i < all->n; i++)
		free(all->v[i].text);
	free(all->v);
}

static void warn_items(const struct warn *w, struct inners *all, const char *volume, const char *what,
		       const struct node *items, const char *source)
{
	NODE_FOREACH(c, items)
		warn_inner(w, all, volume, what, v_str(c, F_path), source);
}

/* How a source is called: `ConfigMap "a"`. */
static char *source_name(const struct node *n, enum field kind)
{
	switch (kind) {
	case F_configMap:
		return xasprintf("ConfigMap \"%s\"", node_gets(n, F_name));
	case F_secret:
		return xasprintf("Secret \"%s\"", node_gets(n, node_get(n, F_secretName) ? F_secretName : F_name));
	case F_downwardAPI:
		return xstrdup("DownwardAPI");
	case F_serviceAccountToken:
		return xstrdup("ServiceAccountToken");
	case F_clusterTrustBundle:
		return xasprintf("ClusterTrustBundle \"%s\"",
				 node_gets(n, node_get(n, F_name) ? F_name : F_signerName));
	default:
		return NULL;
	}
}

static void warn_projected(const struct warn *w, const char *volume, const struct node *sources)
{
	struct inners all = { 0 };

	NODE_FOREACH(source, sources) {
		const struct node *c = node_first(source);
		_cleanup_free_ char *name = c ? source_name(c, (enum field)c->name) : NULL;

		if (!c)
			warn(w, "volume \"%s\" (Projected) has no sources provided", volume);
		else if (name && node_get(c, F_path))
			warn_inner(w, &all, volume, "Projected", v_str(c, F_path), name);
		else if (name)
			warn_items(w, &all, volume, "Projected", node_get(c, F_items), name);
	}
	inners_release(&all);
}

static void warn_paths(const struct warn *w, const struct node *volumes)
{
	static const enum field KINDS[] = { F_configMap, F_secret, F_downwardAPI };

	NODE_FOREACH(c, volumes) {
		const char *volume = node_gets(c, F_name);

		for (size_t i = 0; i < ARRAY_SIZE(KINDS); i++) {
			const struct node *n = node_get(c, KINDS[i]);
			_cleanup_free_ char *name = n ? source_name(n, KINDS[i]) : NULL;
			struct inners all = { 0 };

			if (n)
				warn_items(w, &all, volume, name, node_get(n, F_items), "");
			inners_release(&all);
		}
		if (node_get(c, F_projected))
			warn_projected(w, volume, node_path(c, F_projected, F_sources));
	}
}

/* --- lists --- */

/* Items of a list that have a value of f that one before them has. */
static void warn_twice(const struct warn *w, const char *path, const char *list, const struct node *items, enum field f,
		       const char *what)
{
	size_t i = 0;

	if (node_count(items) > LIMIT_LIST_ITEMS)
		return;
	NODE_FOREACH(c, items) {
		NODE_FOREACH(other, items) {
			if (other == c)
				break;
			if (str_eq(v_str(other, f), v_str(c, f))) {
				warn(w, "%sspec.%s[%zu].%s: duplicate %s \"%s\"", path, list, i, doc_field_name(f),
				     what, node_gets(c, f));
				break;
			}
		}
		i++;
	}
}

static void warn_fractions(const struct warn *w, const char *path, const struct node *list)
{
	static const char *const BYTES[] = { "memory", "ephemeral-storage" };

	for (size_t i = 0; i < ARRAY_SIZE(BYTES); i++) {
		const struct node *c = node_getc(list, BYTES[i]);
		struct quantity q;

		if (quantity_from_node(&q, c) && q.nano % 1000000000 != 0)
			warn(w, "%s[%s]: fractional byte value \"%s\" is invalid, must be an integer", path, BYTES[i],
			     node_cstr_or(c, ""));
	}
}

/* X="$(X)123" builds on the X before it; any other second X hides it. */
static bool env_hides(const struct node *c)
{
	_cleanup_free_ char *ref = xasprintf("$(%s)", node_gets(c, F_name));
	const char *value = node_gets(c, F_value);

	return node_get(c, F_valueFrom) || streq(value, ref) || !strstr(value, ref);
}

static void warn_env(const struct warn *w, const char *path, const struct node *list)
{
	size_t i = 0;

	if (node_count(list) > LIMIT_LIST_ITEMS)
		return;
	NODE_FOREACH(c, list) {
		bool again = false;

		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			again = again || str_eq(v_str(other, F_name), v_str(c, F_name));
		}
		if (again && env_hides(c))
			warn(w,
			     "%s.env[%zu]: hides previous definition of \"%s\", which may be dropped when using apply",
			     path, i, node_gets(c, F_name));
		i++;
	}
}

/* --- ports --- */

struct port {
	const struct node *n;
	char *at; /* "spec.containers[0].ports[1]" */
};

static const char *port_clash(const struct node *a, const struct node *b)
{
	int64_t x = node_int(node_get(a, F_hostPort), 0), y = node_int(node_get(b, F_hostPort), 0);
	struct str ip = v_str(a, F_hostIP), other = v_str(b, F_hostIP);

	if (!v_same(node_get(a, F_containerPort), node_get(b, F_containerPort)) ||
	    !str_eq(v_str(a, F_protocol), v_str(b, F_protocol)))
		return NULL;
	if (str_eq(ip, other) && x == y)
		return "duplicate port definition";
	if (x == 0 || y == 0)
		return "overlapping port definition";
	return x == y && (ip.n == 0) != (other.n == 0) ? "dangerously ambiguous port definition" : NULL;
}

static void warn_port(const struct warn *w, const struct port *ports, size_t n)
{
	const struct node *c = ports[n].n;

	if (v_str(c, F_hostIP).n > 0 && node_int(node_get(c, F_hostPort), 0) == 0)
		warn(w, "%s: hostIP set without hostPort: {Name:%s HostPort:0 ContainerPort:%lld Protocol:%s HostIP:%s}",
		     ports[n].at, node_gets(c, F_name), (long long)node_int(node_get(c, F_containerPort), 0),
		     node_gets(c, F_protocol), node_gets(c, F_hostIP));
	for (size_t i = 0; i < n; i++) {
		const char *how = port_clash(c, ports[i].n);

		if (how)
			warn(w, "%s: %s with %s", ports[n].at, how, ports[i].at);
	}
}

static void warn_port_name(const struct warn *w, const struct port *ports, size_t n)
{
	struct str name = v_str(ports[n].n, F_name);

	for (size_t i = 0; i < n && name.n > 0; i++) {
		if (!str_eq(v_str(ports[i].n, F_name), name))
			continue;
		warn(w,
		     "%s: duplicate port name \"%" STR_FMT
		     "\" with %s, services and probes that select ports by name will use %s",
		     ports[n].at, STR_ARG(name), ports[i].at, ports[i].at);
		return;
	}
}

static void warn_ports(const struct warn *w, const char *path, const struct node *spec)
{
	struct port *ports = NULL;
	size_t n = 0, cap = 0;

	for (size_t k = 0; k < ARRAY_SIZE(CONTAINERS); k++) {
		size_t i = 0;

		NODE_FOREACH(c, node_get(spec, CONTAINERS[k])) {
			size_t m = 0;

			NODE_FOREACH(port, n < LIMIT_LIST_ITEMS ? node_get(c, F_ports) : NULL) {
				if (n == cap) {
					cap = cap ? 2 * cap : 8;
					ports = xreallocarray(ports, cap, sizeof(*ports));
				}
				ports[n++] = (struct port){ port, xasprintf("%sspec.%s[%zu].ports[%zu]", path,
									    doc_field_name(CONTAINERS[k]), i, m++) };
			}
			i++;
		}
	}
	for (size_t i = 0; i < n; i++)
		warn_port(w, ports, i);
	for (size_t i = 0; i < n; i++)
		warn_port_name(w, ports, i);
	for (size_t i = 0; i < n; i++)
		free(ports[i].at);
	free(ports);
}

/* --- the whole --- */

static void warn_containers(const struct warn *w, const char *path, const struct node *spec)
{
	for (size_t k = 0; k < ARRAY_SIZE(CONTAINERS); k++) {
		size_t i = 0;

		NODE_FOREACH(c, node_get(spec, CONTAINERS[k])) {
			_cleanup_free_ char *at = xasprintf("%sspec.%s[%zu]", path, doc_field_name(CONTAINERS[k]), i++);
			_cleanup_free_ char *limits = xasprintf("%s.resources.limits", at);
			_cleanup_free_ char *requests = xasprintf("%s.resources.requests", at);

			warn_fractions(w, limits, node_path(c, F_resources, F_limits));
			warn_fractions(w, requests, node_path(c, F_resources, F_requests));
			warn_env(w, at, node_get(c, F_env));
		}
	}
}

static void warn_addresses(const struct warn *w, const char *path, const struct node *spec)
{
	size_t i = 0;

	NODE_FOREACH(c, node_path(spec, F_dnsConfig, F_nameservers)) {
		_cleanup_free_ char *at = xasprintf("%sspec.dnsConfig.nameservers[%zu]", path, i++);

		warn_ip(w, at, node_str(c));
	}
	i = 0;
	NODE_FOREACH(c, node_get(spec, F_hostAliases)) {
		_cleanup_free_ char *at = xasprintf("%sspec.hostAliases[%zu].ip", path, i++);

		warn_ip(w, at, v_str(c, F_ip));
	}
}

void warn_pod(const struct warn *w, const char *path, const struct node *spec, const struct node *meta)
{
	const struct node *secrets = node_get(spec, F_imagePullSecrets), *affinity = node_get(spec, F_affinity);
	_cleanup_free_ char *overhead = xasprintf("%sspec.overhead", path);
	size_t i = 0;

	warn_nodes(w, path, spec);
	warn_annotations(w, path, meta, spec);
	warn_plugins(w, path, node_get(spec, F_volumes));
	warn_paths(w, node_get(spec, F_volumes));
	warn_twice(w, path, "hostAliases", node_get(spec, F_hostAliases), F_ip, "ip");
	warn_twice(w, path, "imagePullSecrets", secrets, F_name, "name");
	NODE_FOREACH(c, secrets) {
		if (v_str(c, F_name).n == 0)
			warn(w, "%sspec.imagePullSecrets[%zu].name: invalid empty name \"\"", path, i);
		i++;
	}
	warn_fractions(w, overhead, node_get(spec, F_overhead));
	warn_containers(w, path, spec);
	warn_ports(w, path, spec);
	if (node_int(node_get(spec, F_terminationGracePeriodSeconds), 0) < 0)
		warn(w,
		     "%sspec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be "
		     "treated as 1",
		     path);
	warn_pod_terms(w, path, affinity, F_podAffinity);
	warn_pod_terms(w, path, affinity, F_podAntiAffinity);
	warn_addresses(w, path, spec);
}
