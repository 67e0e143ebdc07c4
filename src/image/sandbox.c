/*
 * The unpacking child locks itself in before it looks at the first byte of an
 * image: the store's directory becomes its root, it keeps only those privileges
 * that making files for an image needs, and a system call filter lets through
 * what reading, writing and making files needs. It can make threads, but no
 * processes; it can't make sockets, execute, trace, mount, or enter namespaces.
 *
 * To allow another system call, add it to sandbox_calls.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "image/internal.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_ADDRESS_SANITIZER 1
#endif
#endif

#define SANDBOX_MEMORY (1ull << 30) /* zstd windows of up to 128 MiB, and generously more */
#define SANDBOX_FILES (2 * LIMIT_IMAGE_LAYERS + 64)
#define SANDBOX_CPU_S 3600

static const int sandbox_caps[] = {
	CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP,
	CAP_SYS_ADMIN, /* trusted.overlay.opaque */
};

static const char *const sandbox_calls[] = {
	/* files */
	"read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "pwritev", "lseek", "_llseek", "close",
	"openat", "openat2", "fstat", "fstat64", "newfstatat", "fstatat64", "statx", "stat", "stat64", "lstat",
	"lstat64", "fcntl", "fcntl64", "dup", "dup2", "dup3", "getdents64", "readlink", "readlinkat", "faccessat",
	"faccessat2", "access", "mkdir", "mkdirat", "mknod", "mknodat", "link", "linkat", "symlink", "symlinkat",
	"unlink", "unlinkat", "rmdir", "rename", "renameat", "renameat2", "chown", "lchown", "fchown", "fchownat",
	"chmod", "fchmod", "fchmodat", "fchmodat2", "utimensat", "utimensat_time64", "futimesat", "fsetxattr",
	"setxattr", "lsetxattr", "fgetxattr", "flistxattr", "ftruncate", "ftruncate64", "fallocate", "fsync", "fdatasync", "syncfs",
	"umask", "getcwd", "fadvise64", "fadvise64_64",
	/* memory */
	"brk", "mmap", "mmap2", "munmap", "mremap", "mprotect", "madvise",
	/* the process itself */
	"exit", "exit_group", "futex", "futex_time64", "rseq", "getpid", "gettid", "getuid", "geteuid", "getgid", "getegid",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigreturn", "sigaltstack", "restart_syscall", "tgkill",
	"sched_yield", "sched_getaffinity", "set_robust_list", "getrlimit", "ugetrlimit", "prlimit64", "sysinfo",
	"poll", "ppoll",
	/* time and chance */
	"clock_gettime", "clock_gettime64", "gettimeofday", "time", "nanosleep", "clock_nanosleep",
	"clock_nanosleep_time64", "getrandom",
};

static int sandbox_limit(int what, const char *name, rlim_t value, struct err *e)
{
	struct rlimit l = { .rlim_cur = value, .rlim_max = value }, now;

	if (getrlimit((__rlimit_resource_t)what, &now) == 0 && now.rlim_max < value)
		return 0;
	if (setrlimit((__rlimit_resource_t)what, &l) < 0)
		return err_errno(e, errno, "limit the unpacking process' %s", name);
	return 0;
}

static int sandbox_limits(struct err *e)
{
#ifndef SANDBOX_ADDRESS_SANITIZER
	if (sandbox_limit(RLIMIT_AS, "memory", SANDBOX_MEMORY, e) < 0)
		return -e->code;
#endif
	if (sandbox_limit(RLIMIT_CORE, "core files", 0, e) < 0 ||
	    sandbox_limit(RLIMIT_NOFILE, "open files", SANDBOX_FILES, e) < 0 ||
	    sandbox_limit(RLIMIT_CPU, "time", SANDBOX_CPU_S, e) < 0 ||
	    sandbox_limit(RLIMIT_FSIZE, "files", LIMIT_IMAGE_UNPACKED_BYTES, e) < 0)
		return -e->code;
	return 0;
}

static bool sandbox_cap_wanted(int cap)
{
	for (size_t i = 0; i < ARRAY_SIZE(sandbox_caps); i++)
		if (sandbox_caps[i] == cap)
			return true;
	return false;
}

static int sandbox_privileges(struct err *e)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!sandbox_cap_wanted(cap))
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (syscall(SYS_capget, &head, data) < 0)
		return err_errno(e, errno, "read the unpacking process' privileges");
	for (int i = 0; i < 2; i++) {
		uint32_t keep = 0;

		for (int bit = 0; bit < 32; bit++)
			if (sandbox_cap_wanted(i * 32 + bit))
				keep |= 1u << bit;
		data[i].permitted &= keep;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return err_errno(e, errno, "drop the unpacking process' privileges");
	return 0;
}

/* A refused call fails as on a kernel that has no such call: libraries fall back, nothing is done. */
static int sandbox_filter(struct err *e)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int r = ctx ? 0 : -ENOMEM;

	for (size_t i = 0; i < ARRAY_SIZE(sandbox_calls) && r == 0; i++) {
		int nr = seccomp_syscall_resolve_name(sandbox_calls[i]);

		if (nr != __NR_SCMP_ERROR) /* calls of other architectures and of newer kernels */
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
		if (r == -EDOM)
			r = 0;
	}
	if (r == 0) /* a thread, but no process; clone3 is refused, and the C library falls back to this one */
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	return r < 0 ? err_errno(e, -r, "load the unpacking process' system call filter") : 0;
}

int sandbox_enter(const char *dir, struct err *e)
{
	umask(022);
	if (chdir(dir) < 0 || chroot(".") < 0 || chdir("/") < 0)
		return err_errno(e, errno, "make '%s' the unpacking process' root", dir);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(e, errno, "give up new privileges");
	if (sandbox_limits(e) < 0 || sandbox_privileges(e) < 0 || sandbox_filter(e) < 0)
		return -e->code;
	return 0;
}
