/*
 * What this machine offers, tried rather than guessed from version numbers, and
 * what to do about what it lacks.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/path.h"
#include "run/internal.h"

static bool machine_has_fs(const char *name)
{
	int fd = (int)syscall(SYS_fsopen, name, 1 /* FSOPEN_CLOEXEC; it loads the module, too */);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool machine_has_seccomp(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

/* Does the file begin with a character from..to? */
static bool machine_is(const char *path, char from, char to)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	return path_read(path, 64, &b, &e) == 0 && b.s[0] >= from && b.s[0] <= to;
}

/* Held by a version 1 hierarchy: /proc/cgroups has a hierarchy number that is not 0. */
static bool machine_in_v1(const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct str rest;

	if (path_read("/proc/cgroups", 64 << 10, &b, &e) < 0)
		return false;
	rest = buf_str(&b);
	while (rest.p) {
		struct str line = str_cut(&rest, '\n');
		int64_t hierarchy;

		if (str_eqc(str_cut(&line, '\t'), name))
			return str_to_i64(str_cut(&line, '\t'), &hierarchy) && hierarchy != 0;
	}
	return false;
}

static void machine_lacks_controller(struct buf *b, const char *name, const char *what)
{
	if (machine_in_v1(name))
		buf_addf(b,
			 "%s limits are off: the %s controller is held by cgroup version 1; boot with cgroup "
			 "version 2 "
			 "alone (kernel command line: systemd.unified_cgroup_hierarchy=1, or "
			 "cgroup_no_v1=all)\n",
			 what, name);
	else if (streq(name, "memory"))
		buf_addf(b,
			 "%s limits are off: the kernel has switched the memory controller off; add "
			 "cgroup_enable=memory "
			 "to the kernel command line (Raspberry Pi: /boot/firmware/cmdline.txt) and reboot\n",
			 what);
	else
		buf_addf(b, "%s limits are off: the cgroup version 2 controller %s is not available here\n",
			 what, name);
}

static void machine_cgroups(struct runtime *r, struct buf *b)
{
	struct run_machine *m = &r->machine;
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *keepers = path_join(r->cgroup_name, "keepers");
	_cleanup_close_ int base = -1;
	unsigned have;

	r->cgroup_root = cgroup_open_root();
	if (r->cgroup_root >= 0)
		base = cgroup_make(r->cgroup_root, r->cgroup_name, &e);
	if (base >= 0) {
		cgroup_delegate(base);
		r->keepers_cgroup = cgroup_make(r->cgroup_root, keepers, &e);
	}
	if (r->keepers_cgroup < 0) {
		buf_addf(b, "no limits at all: cgroup version 2 cannot be used: %s\n",
			 r->cgroup_root < 0 ? strerror(-r->cgroup_root) : err_msg(&e));
		r->cgroup_root = close_fd(r->cgroup_root < 0 ? -1 : r->cgroup_root);
		return;
	}
	have = cgroup_controllers(base, "cgroup.subtree_control");
	m->cgroup2_cpu = have & CGROUP_CPU;
	m->cgroup2_memory = have & CGROUP_MEMORY;
	m->cgroup2_pids = have & CGROUP_PIDS;
	m->cgroup2_hugetlb = have & CGROUP_HUGETLB;
	m->cgroup_kill = faccessat(base, "cgroup.kill", F_OK, 0) == 0;
	if (!m->cgroup2_cpu)
		machine_lacks_controller(b, "cpu", "CPU");
	if (!m->cgroup2_memory)
		machine_lacks_controller(b, "memory", "memory");
	if (!m->cgroup2_pids)
		machine_lacks_controller(b, "pids", "process");
}

void machine_probe(struct runtime *r)
{
	struct run_machine *m = &r->machine;
	struct buf b = BUF_INIT;

	machine_cgroups(r, &b);
	m->overlayfs = machine_has_fs("overlay");
	m->seccomp = machine_has_seccomp();
	m->user_ns = machine_is("/proc/sys/user/max_user_namespaces", '1', '9');
	m->apparmor = machine_is("/sys/module/apparmor/parameters/enabled", 'Y', 'Y');
	if (m->apparmor)
		apparmor_load();
	if (!m->overlayfs)
		buf_adds(&b, "containers cannot start: the kernel has no overlayfs; load the module overlay "
			     "or use a "
			     "kernel with CONFIG_OVERLAY_FS\n");
	if (!m->seccomp)
		buf_adds(&b, "containers run without system call filters: the kernel has no seccomp "
			     "(CONFIG_SECCOMP_FILTER)\n");
	m->missing = buf_detach(&b, NULL);
}

const struct run_machine *run_machine(const struct runtime *r)
{
	return &r->machine;
}
