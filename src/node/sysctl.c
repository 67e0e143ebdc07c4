/*
 * Kernel parameters in a pod's securityContext: the safe ones, which every pod
 * may set, and those that the operator allows (--allowed-unsafe-sysctls of the
 * kubelet), which must belong to a namespace of the pod. Pure. Mirrors
 * pkg/kubelet/sysctl and k8s.io/component-helpers/node/util/sysctl.
 */
#include "node/isolate.h"

static const char *const safe[] = {
	"kernel.shm_rmid_forced",	"net.ipv4.ip_local_port_range",	      "net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range",	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time",	"net.ipv4.tcp_fin_timeout",	      "net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",		      "net.ipv4.tcp_wmem",
};

/* Which names belong to which namespace. */
static const struct space {
	const char *prefix;
	bool whole; /* not a prefix but the name */
	bool net;   /* else IPC */
} spaces[] = {
	{"kernel.sem", true, false},	{"kernel.shm", false, false}, {"kernel.msg", false, false},
	{"fs.mqueue.", false, false},	{"net.", false, true},
};

/* A name may have slashes between its parts, and dots are then part of them: net/ipv4/conf/eth0.1/x. */
char *sysctl_dotted(const char *name, struct arena *a)
{
	char *out = arena_strdup(a, name), *sep = out + strcspn(out, "./");

	if (*sep != '/')
		return out;
	for (char *p = out; *p; p++)
		*p = *p == '/' ? '.' : *p == '.' ? '/' : *p;
	return out;
}

static const struct space *space_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++)
		if (spaces[i].whole ? streq(name, spaces[i].prefix) : starts_with(name, spaces[i].prefix))
			return &spaces[i];
	return NULL;
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > 253 || strstr(name, ".."))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_./") == n;
}

const char *sysctl_pattern_problem(const char *pattern)
{
	struct arena *a = arena_new();
	size_t n = strlen(pattern);
	char *name = arena_memdupz(a, pattern, n && pattern[n - 1] == '*' ? n - 1 : n);
	const char *problem = NULL;

	if (!name_ok(name))
		problem = "no sysctl or pattern of sysctls";
	else if (!space_of(sysctl_dotted(name, a)))
		problem = "the sysctls are not known to be namespaced";
	arena_free(a);
	return problem;
}

static bool pattern_matches(const char *pattern, const char *name, struct arena *a)
{
	size_t n = strlen(pattern);
	const char *p = sysctl_dotted(pattern, a);

	return p[n - 1] == '*' ? strncmp(p, name, n - 1) == 0 : streq(p, name);
}

const char *sysctl_refusal(const char *given, char *const *unsafe, bool host_net, bool host_ipc, struct arena *a)
{
	const char *name = sysctl_dotted(given, a);
	const struct space *space = space_of(name);
	bool listed = false;

	for (size_t i = 0; i < ARRAY_SIZE(safe) && !listed; i++)
		listed = streq(name, safe[i]);
	for (size_t i = 0; unsafe && unsafe[i] && !listed; i++)
		listed = pattern_matches(unsafe[i], name, a);
	if (!listed)
		return arena_printf(a, "\"%s\" not allowlisted", name);
	if (space && (space->net ? host_net : host_ipc))
		return arena_printf(a, "\"%s\" not allowed with host %s enabled", name, space->net ? "net" : "ipc");
	return NULL;
}
