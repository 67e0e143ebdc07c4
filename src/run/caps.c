/*
 * Capabilities by name, and the set that a container gets.
 */
#include <errno.h>

#include "run/seccomp.h"

/* By number, as linux/capability.h has them. */
static const char *const caps_names[] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};

/* containerd's default. */
static const char *const caps_default[] = {
	"CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",		 "MKNOD",      "NET_RAW", "SETGID",
	"SETUID", "SETFCAP",	  "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",	  "AUDIT_WRITE",
};

int caps_number(const char *name)
{
	if (strncasecmp(name, "CAP_", 4) == 0)
		name += 4;
	for (size_t i = 0; i < ARRAY_SIZE(caps_names); i++)
		if (strcasecmp(name, caps_names[i]) == 0)
			return (int)i;
	return -1;
}

static int caps_mask(const char *const *names, uint64_t *ret, struct err *e)
{
	*ret = 0;
	for (size_t i = 0; names && names[i]; i++) {
		int n = caps_number(names[i]);

		if (strcasecmp(names[i], "ALL") == 0)
			*ret |= CAP_ALL_MASK;
		else if (n >= 0)
			*ret |= 1ull << n;
		else
			return err_set(e, ERR_INVALID, "unknown capability \"%s\"", names[i]);
	}
	return 0;
}

int caps_compute(const struct run_container_spec *spec, uint64_t *ret, struct err *e)
{
	uint64_t add, drop, set = 0;
	int r = caps_mask(spec->cap_add, &add, e);

	if (r == 0)
		r = caps_mask(spec->cap_drop, &drop, e);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(caps_default); i++)
		set |= 1ull << caps_number(caps_default[i]);
	if (spec->privileged)
		set = CAP_ALL_MASK;
	/* "ALL" on one side is overruled by names on the other. */
	if (add == CAP_ALL_MASK)
		set = CAP_ALL_MASK & ~(drop == CAP_ALL_MASK ? 0 : drop);
	else
		set = (set & ~drop) | add;
	*ret = set;
	return 0;
}
