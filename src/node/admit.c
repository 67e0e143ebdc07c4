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
	static bool (*const checks[])(struct pod *p) = {admit_os, ports_admit, admit_apparmor, admit_sysctls};

	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		if (!checks[i](p))
			return false;
	return true;
}
