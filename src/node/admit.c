/*
 * What this node refuses before it makes anything of a pod: another operating
 * system, host ports that are taken, kernel parameters, AppArmor where the
 * kernel has none. Reasons and messages are the kubelet's (pkg/kubelet/lifecycle,
 * pkg/kubelet/sysctl, pkg/security/apparmor). To add a check, add a row.
 */
#include "node/isolate.h"

/* --- operating system --- */

static bool admit_os(struct pod *p)
{
	const struct node *os = node_path(pod_spec(p), F_os, F_name),
			  *label = node_getc(meta_labels(obj_node(p->obj)), "kubernetes.io/os");

	if (label && !node_streq(label, "linux"))
		pod_fail(p, "PodOSSelectorNodeLabelDoesNotMatch",
			 "Pod was rejected: Failed to admit pod as the `kubernetes.io/os` label doesn't match node "
			 "label");
	else if (os && !node_streq(os, "linux"))
		pod_fail(p, "PodOSNotSupported",
			 "Pod was rejected: Failed to admit pod as the OS field doesn't match node OS");
	else
		return true;
	return false;
}

/* --- host ports --- */

static bool ports_clash(const struct node *a, const struct node *b)
{
	const char *ip = node_gets(a, F_hostIP), *ip2 = node_gets(b, F_hostIP);
	const char *any = "0.0.0.0";

	ip = *ip ? ip : any;
	ip2 = *ip2 ? ip2 : any;
	return node_int(node_get(a, F_hostPort), 0) == node_int(node_get(b, F_hostPort), 0) &&
	       streq(node_cstr_or(node_get(a, F_protocol), "TCP"), node_cstr_or(node_get(b, F_protocol), "TCP")) &&
	       (streq(ip, ip2) || streq(ip, any) || streq(ip2, any));
}

/* The next port of the pod that is one of the host's; *c and *port tell where it goes on. */
static const struct node *next_host_port(const struct node *spec, size_t *c, size_t *port)
{
	static const enum field lists[] = {F_containers, F_initContainers};
	size_t n_main = node_count(node_get(spec, F_containers));

	for (;; (*c)++, *port = 0) {
		bool init = *c >= n_main;
		const struct node *ctr = node_at(node_get(spec, lists[init]), init ? *c - n_main : *c), *ports;

		if (!ctr)
			return NULL;
		if (init && !node_streq(node_get(ctr, F_restartPolicy), "Always"))
			continue;
		ports = node_get(ctr, F_ports);
		while (*port < node_count(ports)) {
			const struct node *one = node_at(ports, (*port)++);

			if (node_int(node_get(one, F_hostPort), 0) > 0)
				return one;
		}
	}
}

static bool port_taken(struct pod *p, const struct node *want)
{
	struct map_iter it = {0};

	while (map_next(p->agent->by_uid, &it)) {
		struct pod *o = it.value;
		const struct node *have;
		size_t c = 0, port = 0;

		if (o == p || o->state == POD_OVER || !o->start_s || o->fail_reason)
			continue;
		while ((have = next_host_port(pod_spec(o), &c, &port)))
			if (ports_clash(want, have))
				return true;
	}
	return false;
}

static bool admit_ports(struct pod *p)
{
	const struct node *want;
	size_t c = 0, port = 0;

	while ((want = next_host_port(pod_spec(p), &c, &port))) {
		if (!port_taken(p, want))
			continue;
		pod_fail(p, "NodePorts",
			 "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the "
			 "requested pod ports");
		return false;
	}
	return true;
}

/* --- kernel parameters --- */

static bool admit_sysctls(struct pod *p)
{
	const struct node *spec = pod_spec(p);
	bool net = node_bool(node_get(spec, F_hostNetwork), false), ipc = node_bool(node_get(spec, F_hostIPC), false);
	struct arena *a = arena_new();
	const char *why = NULL;

	NODE_FOREACH (s, node_path(spec, F_securityContext, F_sysctls)) {
		why = sysctl_refusal(node_gets(s, F_name), p->agent->unsafe_sysctls, net, ipc, a);
		if (why)
			break;
	}
	if (why)
		pod_fail(p, "SysctlForbidden", "Pod was rejected: forbidden sysctl: %s", why);
	arena_free(a);
	return !why;
}

/* --- AppArmor --- */

static bool wants_apparmor(const struct node *spec)
{
	static const enum field lists[] = {F_containers, F_initContainers, F_ephemeralContainers};
	const struct node *prof = node_path(spec, F_securityContext, F_appArmorProfile);

	if (prof && !node_streq(node_get(prof, F_type), "Unconfined"))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		NODE_FOREACH (c, node_get(spec, lists[i])) {
			prof = node_path(c, F_securityContext, F_appArmorProfile);
			if (prof && !node_streq(node_get(prof, F_type), "Unconfined"))
				return true;
		}
	return false;
}

static bool admit_apparmor(struct pod *p)
{
	if (!wants_apparmor(pod_spec(p)) || run_machine(p->agent->runtime)->apparmor)
		return true;
	pod_fail(p, "AppArmor",
		 "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host");
	return false;
}

bool admit_isolation(struct pod *p)
{
	static bool (*const checks[])(struct pod *p) = {admit_os, admit_ports, admit_apparmor, admit_sysctls};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if (!checks[i](p))
			return false;
	return true;
}
