/*
 * Pod Security Standards, as k8s.io/pod-security-admission/policy at 1.36.
 *
 * A check is a row of `checks`: the level that it belongs to, the versions that
 * it is for, and a function that says why a pod is no good. Baseline's checks
 * hold for restricted pods too, except those that a restricted one replaces.
 * Rows are in the order in which Kubernetes names violations.
 *
 * To add a check: a function and a row.
 */
#include "schema/podsecurity.h"

#include <stdio.h>

#include "base/vec.h"

/* One check at work: what it looks at, and the text that it makes. */
struct look {
	const struct node *meta, *spec;
	int32_t minor;
	struct buf *why; /* the detail */
	bool many; /* several values were bad */
};

struct names { /* borrowed texts */
	VEC(const char *) v;
};

static void names_add(struct names *n, const char *s)
{
	VEC_PUSH(&n->v, s);
}

/* Adds s in its place, once. */
static void names_sorted(struct names *n, const char *s)
{
	size_t at = 0;

	while (at < n->v.n && strcmp(n->v.v[at], s) < 0)
		at++;
	if (at < n->v.n && streq(n->v.v[at], s))
		return;
	VEC_PUSH(&n->v, s);
	memmove(&n->v.v[at + 1], &n->v.v[at], (n->v.n - 1 - at) * sizeof(*n->v.v));
	n->v.v[at] = s;
}

static void names_release(struct names *n)
{
	VEC_RELEASE(&n->v);
}
#define _cleanup_names_ __attribute__((cleanup(names_release)))

static void names_print(const struct names *n, const char *quote, struct buf *out)
{
	for (size_t i = 0; i < n->v.n; i++)
		buf_addf(out, "%s%s%s%s", i ? ", " : "", quote, n->v.v[i], quote);
}

static void names_quoted(const struct names *n, struct buf *out)
{
	names_print(n, "\"", out);
}

static const char *plural(const struct names *n, const char *one, const char *many)
{
	return n->v.n == 1 ? one : many;
}

static void say_containers(const struct names *n, struct buf *out)
{
	buf_adds(out, plural(n, "container ", "containers "));
	names_quoted(n, out);
}

/* "pod and containers "a", "b"" */
static void say_setters(bool pod, const struct names *n, struct buf *out)
{
	if (pod)
		buf_adds(out, n->v.n ? "pod and " : "pod");
	if (n->v.n)
		say_containers(n, out);
}

/* All containers of a pod: c is each in turn. */
static const enum field container_lists[] = { F_initContainers, F_containers, F_ephemeralContainers };
#define CONTAINERS_FOREACH(c, spec)                                         \
	for (size_t l_ = 0; l_ < ARRAY_SIZE(container_lists); l_++)         \
		NODE_FOREACH(c, node_get((spec), container_lists[l_]))

static const struct node *context_of(const struct node *n, enum field f)
{
	return node_path(n, F_securityContext, f);
}

static const char *name_of(const struct node *n)
{
	return node_gets(n, F_name);
}

static bool in_list(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (streq(s, *list))
			return true;
	return false;
}

static bool is_windows(const struct look *k)
{
	return k->minor >= 25 && streq(node_gets(node_get(k->spec, F_os), F_name), "windows");
}

/* Pods in a user namespace of their own are root there and nobody outside. */
static bool is_user_namespaced(const struct look *k)
{
	return k->minor >= 35 && !node_bool(node_get(k->spec, F_hostUsers), true);
}

/* --- baseline --- */

static bool check_apparmor(struct look *k)
{
	static const char prefix[] = "container.apparmor.security.beta.kubernetes.io/";
	static const char *const fine[] = { "RuntimeDefault", "Localhost", NULL };
	_cleanup_names_ struct names setters = { VEC_INIT }, values = { VEC_INIT }, notes = { VEC_INIT };
	const struct node *p = context_of(k->spec, F_appArmorProfile);
	bool pod = p && !in_list(node_gets(p, F_type), fine);
	size_t n = 0;

	if (pod)
		names_sorted(&values, node_gets(p, F_type));
	CONTAINERS_FOREACH(c, k->spec) {
		p = context_of(c, F_appArmorProfile);
		if (!p || in_list(node_gets(p, F_type), fine))
			continue;
		names_add(&setters, name_of(c));
		names_sorted(&values, node_gets(p, F_type));
	}
	NODE_FOREACH(a, node_get(k->meta, F_annotations)) {
		const char *v = node_cstr_or(a, "");

		if (!starts_with(a->key, prefix) || !*v || streq(v, "runtime/default") || starts_with(v, "localhost/"))
			continue;
		names_sorted(&notes, a->key);
	}
	n = values.v.n + notes.v.n;
	if (!n)
		return true;
	k->many = n > 1;
	say_setters(pod, &setters, k->why);
	if (notes.v.n)
		buf_addf(k->why, "%s%s", pod || setters.v.n ? " and " : "", plural(&notes, "annotation", "annotations"));
	buf_adds(k->why, " must not set AppArmor profile type to ");
	names_quoted(&values, k->why);
	for (size_t i = 0; i < notes.v.n; i++) /* Kubernetes quotes twice */
		buf_addf(k->why, "%s\"%s=\"%s\"\"", i || values.v.n ? ", " : "", notes.v.v[i],
			 node_cstr_or(node_getc(node_get(k->meta, F_annotations), notes.v.v[i]), ""));
	return false;
}

static bool check_capabilities(struct look *k)
{
	static const char *const fine[] = { "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
					    "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
					    NULL };
	_cleanup_names_ struct names bad = { VEC_INIT }, caps = { VEC_INIT };

	CONTAINERS_FOREACH(c, k->spec) {
		bool valid = true;

		NODE_FOREACH(a, node_get(context_of(c, F_capabilities), F_add))
			if (!in_list(node_cstr_or(a, ""), fine)) {
				valid = false;
				names_sorted(&caps, node_cstr_or(a, ""));
			}
		if (!valid)
			names_add(&bad, name_of(c));
	}
	if (!bad.v.n)
		return true;
	say_containers(&bad, k->why);
	buf_adds(k->why, " must not include ");
	names_quoted(&caps, k->why);
	buf_adds(k->why, " in securityContext.capabilities.add");
	return false;
}

static bool check_host_namespaces(struct look *k)
{
	static const enum field fields[] = { F_hostNetwork, F_hostPID, F_hostIPC };
	_cleanup_names_ struct names set = { VEC_INIT };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (node_bool(node_get(k->spec, fields[i]), false))
			names_add(&set, doc_field_name(fields[i]));
	for (size_t i = 0; i < set.v.n; i++)
		buf_addf(k->why, "%s%s=true", i ? ", " : "", set.v.v[i]);
	return !set.v.n;
}

static bool check_host_path(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT };

	NODE_FOREACH(v, node_get(k->spec, F_volumes))
		if (node_get(v, F_hostPath))
			names_add(&bad, name_of(v));
	if (!bad.v.n)
		return true;
	buf_adds(k->why, plural(&bad, "volume ", "volumes "));
	names_quoted(&bad, k->why);
	return false;
}

static bool check_host_ports(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT }, ports = { VEC_INIT };
	char texts[64][12]; /* what does not fit is not named */
	size_t n = 0;

	CONTAINERS_FOREACH(c, k->spec) {
		bool valid = true;

		NODE_FOREACH(p, node_get(c, F_ports)) {
			int64_t port = node_int(node_get(p, F_hostPort), 0);

			if (!port)
				continue;
			valid = false;
			if (n == ARRAY_SIZE(texts))
				continue;
			snprintf(texts[n], sizeof(texts[n]), "%d", (int)port);
			names_sorted(&ports, texts[n++]);
		}
		if (!valid)
			names_add(&bad, name_of(c));
	}
	if (!bad.v.n)
		return true;
	say_containers(&bad, k->why);
	buf_addf(k->why, " %s %s ", plural(&bad, "uses", "use"), plural(&ports, "hostPort", "hostPorts"));
	names_print(&ports, "", k->why);
	return false;
}

static void note_host(const struct node *handler, struct names *hosts)
{
	static const enum field kinds[] = { F_httpGet, F_tcpSocket };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (*node_gets(node_get(handler, kinds[i]), F_host))
			names_sorted(hosts, node_gets(node_get(handler, kinds[i]), F_host));
}

static bool check_host_probes(struct look *k)
{
	static const enum field probes[] = { F_livenessProbe, F_readinessProbe, F_startupProbe };
	static const enum field hooks[] = { F_postStart, F_preStop };
	_cleanup_names_ struct names bad = { VEC_INIT }, all = { VEC_INIT };

	CONTAINERS_FOREACH(c, k->spec) {
		_cleanup_names_ struct names hosts = { VEC_INIT };

		for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
			note_host(node_get(c, probes[i]), &hosts);
		for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
			note_host(node_path(c, F_lifecycle, hooks[i]), &hosts);
		for (size_t i = 0; i < hosts.v.n; i++)
			names_sorted(&all, hosts.v.v[i]);
		if (hosts.v.n)
			names_sorted(&bad, name_of(c));
	}
	if (!bad.v.n)
		return true;
	say_containers(&bad, k->why);
	buf_addf(k->why, " %s %s ", plural(&bad, "uses", "use"),
		 plural(&all, "probe or lifecycle host", "probe or lifecycle hosts"));
	names_quoted(&all, k->why);
	return false;
}

static bool check_privileged(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT };

	CONTAINERS_FOREACH(c, k->spec)
		if (node_bool(context_of(c, F_privileged), false))
			names_add(&bad, name_of(c));
	if (!bad.v.n)
		return true;
	say_containers(&bad, k->why);
	buf_adds(k->why, " must not set securityContext.privileged=true");
	return false;
}

static bool check_proc_mount(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT }, types = { VEC_INIT };

	if (is_user_namespaced(k))
		return true;
	CONTAINERS_FOREACH(c, k->spec) {
		const char *type = node_cstr(context_of(c, F_procMount));

		if (!type || streq(type, "Default"))
			continue;
		names_add(&bad, name_of(c));
		names_sorted(&types, type);
	}
	if (!bad.v.n)
		return true;
	say_containers(&bad, k->why);
	buf_adds(k->why, " must not set securityContext.procMount to ");
	names_quoted(&types, k->why);
	return false;
}

struct selinux {
	struct names types;
	bool user, role;
};

static bool selinux_bad(struct selinux *s, const struct look *k, const struct node *o)
{
	static const char *const fine[] = { "", "container_t", "container_init_t", "container_kvm_t", NULL };
	const char *type = node_gets(o, F_type);
	bool bad = !in_list(type, fine) && !(k->minor >= 31 && streq(type, "container_engine_t"));

	if (bad)
		names_sorted(&s->types, type);
	s->user |= *node_gets(o, F_user) != '\0';
	s->role |= *node_gets(o, F_role) != '\0';
	return bad || *node_gets(o, F_user) || *node_gets(o, F_role);
}

static bool check_selinux(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT };
	struct selinux s = { { VEC_INIT }, false, false };
	bool pod = selinux_bad(&s, k, context_of(k->spec, F_seLinuxOptions));
	const char *sep = "";

	CONTAINERS_FOREACH(c, k->spec)
		if (selinux_bad(&s, k, context_of(c, F_seLinuxOptions)))
			names_add(&bad, name_of(c));
	if (pod || bad.v.n) {
		say_setters(pod, &bad, k->why);
		buf_adds(k->why, " set forbidden securityContext.seLinuxOptions: ");
		if (s.types.v.n) {
			buf_adds(k->why, plural(&s.types, "type ", "types "));
			names_quoted(&s.types, k->why);
			sep = "; ";
		}
		if (s.user) {
			buf_addf(k->why, "%suser may not be set", sep);
			sep = "; ";
		}
		if (s.role)
			buf_addf(k->why, "%srole may not be set", sep);
	}
	names_release(&s.types);
	return !pod && !bad.v.n;
}

/* Which may be said of the profile before 1.19: annotations. */
static bool check_seccomp_notes(struct look *k)
{
	static const char pod[] = "seccomp.security.alpha.kubernetes.io/pod";
	static const char prefix[] = "container.seccomp.security.alpha.kubernetes.io/";
	_cleanup_names_ struct names bad = { VEC_INIT };

	NODE_FOREACH(a, node_get(k->meta, F_annotations)) {
		const char *v = node_cstr_or(a, "");
		bool ours = streq(a->key, pod);

		if (starts_with(a->key, prefix))
			CONTAINERS_FOREACH(c, k->spec)
				ours |= streq(a->key + strlen(prefix), name_of(c));
		if (ours && !streq(v, "runtime/default") && !streq(v, "docker/default") && !starts_with(v, "localhost/"))
			names_sorted(&bad, a->key);
	}
	if (!bad.v.n)
		return true;
	buf_adds(k->why, plural(&bad, "forbidden annotation ", "forbidden annotations "));
	for (size_t i = 0; i < bad.v.n; i++)
		buf_addf(k->why, "%s%s=\"%s\"", i ? ", " : "", bad.v.v[i],
			 node_cstr_or(node_getc(node_get(k->meta, F_annotations), bad.v.v[i]), ""));
	return false;
}

/* implicit: also those who say nothing where the pod says nothing good either. */
static bool seccomp_check(struct look *k, bool implicit)
{
	static const char *const fine[] = { "RuntimeDefault", "Localhost", NULL };
	_cleanup_names_ struct names bad = { VEC_INIT }, values = { VEC_INIT }, silent = { VEC_INIT };
	const struct node *p = context_of(k->spec, F_seccompProfile);
	bool pod = p && !in_list(node_gets(p, F_type), fine), good = p && !pod;

	if (pod)
		names_sorted(&values, node_gets(p, F_type));
	CONTAINERS_FOREACH(c, k->spec) {
		p = context_of(c, F_seccompProfile);
		if (!p && !good)
			names_add(&silent, name_of(c));
		if (!p || in_list(node_gets(p, F_type), fine))
			continue;
		names_add(&bad, name_of(c));
		names_sorted(&values, node_gets(p, F_type));
	}
	if (pod || bad.v.n) {
		say_setters(pod, &bad, k->why);
		buf_adds(k->why, " must not set securityContext.seccompProfile.type to ");
		names_quoted(&values, k->why);
		return false;
	}
	if (!implicit || !silent.v.n)
		return true;
	buf_adds(k->why, "pod or ");
	say_containers(&silent, k->why);
	buf_adds(k->why, " must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
	return false;
}

static bool check_seccomp(struct look *k)
{
	return seccomp_check(k, false);
}

static bool check_sysctls(struct look *k)
{
	static const struct {
		const char *name;
		int32_t since;
	} fine[] = {
		{ "kernel.shm_rmid_forced", 0 },	   { "net.ipv4.ip_local_port_range", 0 },
		{ "net.ipv4.tcp_syncookies", 0 },	   { "net.ipv4.ping_group_range", 0 },
		{ "net.ipv4.ip_unprivileged_port_start", 0 }, { "net.ipv4.ip_local_reserved_ports", 27 },
		{ "net.ipv4.tcp_keepalive_time", 29 },	   { "net.ipv4.tcp_fin_timeout", 29 },
		{ "net.ipv4.tcp_keepalive_intvl", 29 },	   { "net.ipv4.tcp_keepalive_probes", 29 },
		{ "net.ipv4.tcp_rmem", 32 },		   { "net.ipv4.tcp_wmem", 32 },
	};
	_cleanup_names_ struct names bad = { VEC_INIT };

	NODE_FOREACH(s, context_of(k->spec, F_sysctls)) {
		bool ok = false;

		for (size_t i = 0; i < ARRAY_SIZE(fine); i++)
			ok |= k->minor >= fine[i].since && streq(fine[i].name, name_of(s));
		if (!ok)
			names_add(&bad, name_of(s));
	}
	names_print(&bad, "", k->why);
	return !bad.v.n;
}

static bool check_host_process(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT };
	bool pod = node_bool(node_get(context_of(k->spec, F_windowsOptions), F_hostProcess), false);

	CONTAINERS_FOREACH(c, k->spec)
		if (node_bool(node_get(context_of(c, F_windowsOptions), F_hostProcess), false))
			names_add(&bad, name_of(c));
	if (!pod && !bad.v.n)
		return true;
	say_setters(pod, &bad, k->why);
	buf_adds(k->why, " must not set securityContext.windowsOptions.hostProcess=true");
	return false;
}

/* --- restricted --- */

static bool check_escalation(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT };

	if (is_windows(k))
		return true;
	CONTAINERS_FOREACH(c, k->spec)
		if (node_bool(context_of(c, F_allowPrivilegeEscalation), true))
			names_add(&bad, name_of(c));
	if (!bad.v.n)
		return true;
	say_containers(&bad, k->why);
	buf_adds(k->why, " must set securityContext.allowPrivilegeEscalation=false");
	return false;
}

static bool drops_all(const struct node *capabilities)
{
	NODE_FOREACH(d, node_get(capabilities, F_drop))
		if (node_streq(d, "ALL"))
			return true;
	return false;
}

static bool check_capabilities_restricted(struct look *k)
{
	_cleanup_names_ struct names keeping = { VEC_INIT }, adding = { VEC_INIT }, caps = { VEC_INIT };

	if (is_windows(k))
		return true;
	CONTAINERS_FOREACH(c, k->spec) {
		const struct node *own = context_of(c, F_capabilities);
		bool bad = false;

		if (!drops_all(own))
			names_add(&keeping, name_of(c));
		NODE_FOREACH(a, node_get(own, F_add))
			if (!node_streq(a, "NET_BIND_SERVICE")) {
				bad = true;
				names_sorted(&caps, node_cstr_or(a, ""));
			}
		if (bad)
			names_add(&adding, name_of(c));
	}
	if (keeping.v.n) {
		say_containers(&keeping, k->why);
		buf_adds(k->why, " must set securityContext.capabilities.drop=[\"ALL\"]");
	}
	if (adding.v.n) {
		buf_adds(k->why, keeping.v.n ? "; " : "");
		say_containers(&adding, k->why);
		buf_adds(k->why, " must not include ");
		names_quoted(&caps, k->why);
		buf_adds(k->why, " in securityContext.capabilities.add");
	}
	return !keeping.v.n && !adding.v.n;
}

static const char *volume_type(const struct node *v)
{
	NODE_FOREACH(m, v)
		if (m->name != F_name)
			return m->key;
	return "unknown";
}

static bool check_volumes(struct look *k)
{
	static const char *const fine[] = { "configMap", "csi",	      "downwardAPI", "emptyDir", "ephemeral",
					    "image",	 "persistentVolumeClaim", "projected",	 "secret", NULL };
	_cleanup_names_ struct names bad = { VEC_INIT }, types = { VEC_INIT };

	NODE_FOREACH(v, node_get(k->spec, F_volumes)) {
		if (in_list(volume_type(v), fine))
			continue;
		names_add(&bad, name_of(v));
		names_sorted(&types, volume_type(v));
	}
	if (!bad.v.n)
		return true;
	buf_adds(k->why, plural(&bad, "volume ", "volumes "));
	names_quoted(&bad, k->why);
	buf_addf(k->why, " %s %s ", plural(&bad, "uses", "use"),
		 plural(&types, "restricted volume type", "restricted volume types"));
	names_quoted(&types, k->why);
	return false;
}

static bool check_non_root(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT }, silent = { VEC_INIT };
	const struct node *own = context_of(k->spec, F_runAsNonRoot);
	bool pod = own && !node_bool(own, true), good = node_bool(own, false);

	if (is_user_namespaced(k))
		return true;
	CONTAINERS_FOREACH(c, k->spec) {
		own = context_of(c, F_runAsNonRoot);
		if (own && !node_bool(own, true))
			names_add(&bad, name_of(c));
		else if (!own && !good)
			names_add(&silent, name_of(c));
	}
	if (pod || bad.v.n) {
		say_setters(pod, &bad, k->why);
		buf_adds(k->why, " must not set securityContext.runAsNonRoot=false");
		return false;
	}
	if (!silent.v.n)
		return true;
	buf_adds(k->why, "pod or ");
	say_containers(&silent, k->why);
	buf_adds(k->why, " must set securityContext.runAsNonRoot=true");
	return false;
}

static bool check_user(struct look *k)
{
	_cleanup_names_ struct names bad = { VEC_INIT };
	bool pod = node_int(context_of(k->spec, F_runAsUser), -1) == 0;

	if (is_user_namespaced(k))
		return true;
	CONTAINERS_FOREACH(c, k->spec)
		if (node_int(context_of(c, F_runAsUser), -1) == 0)
			names_add(&bad, name_of(c));
	if (!pod && !bad.v.n)
		return true;
	say_setters(pod, &bad, k->why);
	buf_adds(k->why, " must not set runAsUser=0");
	return false;
}

static bool check_seccomp_restricted(struct look *k)
{
	return is_windows(k) || seccomp_check(k, true);
}

/* --- the table --- */

#define NEVER INT32_MAX

static const struct {
	enum podsec_level level;
	int32_t since, until; /* minor versions; until 0: no end */
	int32_t replaced; /* from this version on a check of restricted replaces it there */
	const char *reason, *reasons; /* one, several (NULL: the same) */
	bool (*run)(struct look *k);
} checks[] = {
	{ PODSEC_BASELINE, 0, 0, NEVER, "forbidden AppArmor profile", "forbidden AppArmor profiles", check_apparmor },
	{ PODSEC_BASELINE, 0, 0, 22, "non-default capabilities", NULL, check_capabilities },
	{ PODSEC_BASELINE, 0, 0, NEVER, "host namespaces", NULL, check_host_namespaces },
	{ PODSEC_BASELINE, 0, 0, 0, "hostPath volumes", NULL, check_host_path },
	{ PODSEC_BASELINE, 0, 0, NEVER, "hostPort", NULL, check_host_ports },
	{ PODSEC_BASELINE, 34, 0, NEVER, "probe or lifecycle host", NULL, check_host_probes },
	{ PODSEC_BASELINE, 0, 0, NEVER, "privileged", NULL, check_privileged },
	{ PODSEC_BASELINE, 0, 0, NEVER, "procMount", NULL, check_proc_mount },
	{ PODSEC_BASELINE, 0, 0, NEVER, "seLinuxOptions", NULL, check_selinux },
	{ PODSEC_BASELINE, 0, 19, NEVER, "seccompProfile", NULL, check_seccomp_notes },
	{ PODSEC_BASELINE, 19, 0, 19, "seccompProfile", NULL, check_seccomp },
	{ PODSEC_BASELINE, 0, 0, NEVER, "forbidden sysctls", NULL, check_sysctls },
	{ PODSEC_BASELINE, 0, 0, NEVER, "hostProcess", NULL, check_host_process },
	{ PODSEC_RESTRICTED, 8, 0, NEVER, "allowPrivilegeEscalation != false", NULL, check_escalation },
	{ PODSEC_RESTRICTED, 22, 0, NEVER, "unrestricted capabilities", NULL, check_capabilities_restricted },
	{ PODSEC_RESTRICTED, 0, 0, NEVER, "restricted volume types", NULL, check_volumes },
	{ PODSEC_RESTRICTED, 0, 0, NEVER, "runAsNonRoot != true", NULL, check_non_root },
	{ PODSEC_RESTRICTED, 23, 0, NEVER, "runAsUser=0", NULL, check_user },
	{ PODSEC_RESTRICTED, 19, 0, NEVER, "seccompProfile", NULL, check_seccomp_restricted },
};

static bool check_applies(size_t i, const struct podsec *p)
{
	if (checks[i].level > p->level || p->minor < checks[i].since || (checks[i].until && p->minor >= checks[i].until))
		return false;
	return p->level == checks[i].level || checks[i].replaced == NEVER || p->minor < checks[i].replaced;
}

bool podsec_check(const struct podsec *p, const struct node *meta, const struct node *spec, struct buf *reasons,
		  struct buf *details)
{
	bool fine = true;

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		_cleanup_buf_ struct buf why = BUF_INIT;
		struct look k = { meta, spec, p->minor, &why, false };
		const char *reason = checks[i].reason;

		if (!check_applies(i, p) || checks[i].run(&k))
			continue;
		if (checks[i].reasons && k.many)
			reason = checks[i].reasons;
		if (reasons)
			buf_addf(reasons, "%s%s", fine ? "" : ", ", reason);
		if (details)
			buf_addf(details, "%s%s%s%s%s", fine ? "" : ", ", reason, why.len ? " (" : "", why.s,
				 why.len ? ")" : "");
		fine = false;
	}
	return fine;
}

/* --- levels and versions as text --- */

static const char *const level_names[] = { "privileged", "baseline", "restricted" };

bool podsec_parse_level(struct str s, enum podsec_level *ret)
{
	*ret = PODSEC_RESTRICTED;
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++)
		if (str_eqc(s, level_names[i])) {
			*ret = (enum podsec_level)i;
			return true;
		}
	return false;
}

bool podsec_parse_version(struct str s, int32_t *ret)
{
	struct str digits = str_sub(s, strlen("v1."), s.n);
	int64_t n;

	*ret = PODSEC_LATEST;
	if (str_eqc(s, "latest"))
		return true;
	if (!str_starts(s, STR_LIT("v1.")) || digits.n == 0 || digits.p[0] < '0' || digits.p[0] > '9' ||
	    (digits.n > 1 && digits.p[0] == '0') || !str_to_i64(digits, &n) || n >= PODSEC_LATEST)
		return false;
	*ret = (int32_t)n;
	return true;
}

void podsec_print(const struct podsec *p, struct buf *out)
{
	buf_adds(out, level_names[p->level]);
	if (p->minor == PODSEC_LATEST)
		buf_adds(out, ":latest");
	else
		buf_addf(out, ":v1.%d", p->minor);
}
