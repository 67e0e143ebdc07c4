/*
 * The default system call filter, as containerd and Docker have it: what is not
 * named answers EPERM, clone must not make namespaces, clone3 answers ENOSYS (so
 * that the C library falls back to clone), and capabilities open more. The
 * filter is compiled once for each class of capabilities that matters.
 *
 * Calls younger than the libseccomp that we were built with are handled by a
 * short program in front of its own, by number (since 5.0 a number is the same
 * on all architectures): the harmless ones are allowed, unknown ones answer
 * ENOSYS, which programs expect of an old kernel, where EPERM would break them.
 *
 * To allow a call, add its name to a list below (calls that libseccomp does not
 * know go to seccomp_newer).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/vec.h"
#include "run/seccomp.h"

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define SECCOMP_NR_KNOWN 466 /* beyond: ENOSYS */
#define SECCOMP_VSOCK 40

static const char *const seccomp_always[] = {
	/* files */
	"access", "chdir", "chmod", "chown", "chown32", "close", "close_range", "copy_file_range", "creat",
	"dup", "dup2", "dup3", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate",
	"fanotify_mark", "fchdir", "fchmod", "fchmodat", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64",
	"fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstat64",
	"fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate", "ftruncate64", "futimesat", "getcwd",
	"getdents", "getdents64", "getxattr", "inotify_add_watch", "inotify_init", "inotify_init1",
	"inotify_rm_watch", "lchown", "lchown32", "lgetxattr", "link", "linkat", "listxattr", "llistxattr",
	"_llseek", "lremovexattr", "lseek", "lsetxattr", "lstat", "lstat64", "mkdir", "mkdirat", "mknod",
	"mknodat", "newfstatat", "open", "openat", "openat2", "pread64", "preadv", "preadv2", "pwrite64",
	"pwritev", "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "removexattr",
	"rename", "renameat", "renameat2", "rmdir", "sendfile", "sendfile64", "setxattr", "splice", "stat",
	"stat64", "statfs", "statfs64", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs",
	"tee", "truncate", "truncate64", "umask", "unlink", "unlinkat", "utime", "utimensat",
	"utimensat_time64", "utimes", "vmsplice", "write", "writev",
	/* waiting */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
	"epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "_newselect", "pause", "pipe", "pipe2", "poll",
	"ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "select", "signalfd", "signalfd4",
	"timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
	/* asynchronous I/O (io_uring is left out, as it goes past filters) */
	"io_cancel", "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
	"io_submit",
	/* sockets */
	"accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen", "recv",
	"recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg", "sendto",
	"setsockopt", "shutdown", "socketcall", "socketpair",
	/* memory */
	"brk", "madvise", "membarrier", "memfd_create", "memfd_secret", "mincore", "mlock", "mlock2",
	"mlockall", "mmap", "mmap2", "mprotect", "mremap", "msync", "munlock", "munlockall", "munmap",
	"pkey_alloc", "pkey_free", "pkey_mprotect", "process_mrelease", "remap_file_pages",
	/* processes */
	"capget", "capset", "execve", "execveat", "exit", "exit_group", "fork", "getcpu", "getegid",
	"getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getpgid",
	"getpgrp", "getpid", "getppid", "getpriority", "getresgid", "getresgid32", "getresuid", "getresuid32",
	"getrlimit", "get_robust_list", "getrusage", "getsid", "get_thread_area", "gettid", "getuid",
	"getuid32", "ioctl", "ioprio_get", "ioprio_set", "kill", "pidfd_open", "pidfd_send_signal", "prctl",
	"prlimit64", "ptrace", "rseq", "sched_getaffinity", "sched_getattr", "sched_getparam",
	"sched_get_priority_max", "sched_get_priority_min", "sched_getscheduler", "sched_rr_get_interval",
	"sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
	"sched_setscheduler", "sched_yield", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid",
	"setgid32", "setgroups", "setgroups32", "setpgid", "setpriority", "setregid", "setregid32",
	"setresgid", "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit",
	"set_robust_list", "setsid", "set_thread_area", "set_tid_address", "setuid", "setuid32", "sysinfo",
	"tgkill", "times", "tkill", "ugetrlimit", "uname", "vfork", "wait4", "waitid", "waitpid",
	/* signals, futexes, time */
	"adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64",
	"clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "futex",
	"futex_time64", "futex_waitv", "getitimer", "gettimeofday", "nanosleep", "restart_syscall",
	"rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
	"rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "setitimer", "sigaltstack",
	"sigprocmask", "sigreturn", "time", "timer_create", "timer_delete", "timer_getoverrun",
	"timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64",
	/* System V and POSIX IPC */
	"ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
	"mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd", "semctl",
	"semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt", "shmget",
	/* restricting oneself */
	"getrandom", "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "seccomp",
	/* of one architecture each */
	"arch_prctl", "modify_ldt", "arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2",
	"breakpoint", "cacheflush", "set_tls", "riscv_flush_icache", NULL
};

static const struct seccomp_class {
	const char *cap;
	const char *const *names;
} seccomp_classes[] = {
	{ "DAC_READ_SEARCH", NAMES("open_by_handle_at") },
	{ "SYS_ADMIN",
	  NAMES("bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
		"lookup_dcookie", "mount", "mount_setattr", "move_mount", "name_to_handle_at", "open_tree",
		"perf_event_open", "quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns",
		"syslog", "umount", "umount2", "unshare") },
	{ "SYS_BOOT", NAMES("reboot") },
	{ "SYS_CHROOT", NAMES("chroot") },
	{ "SYS_MODULE", NAMES("delete_module", "init_module", "finit_module") },
	{ "SYS_PACCT", NAMES("acct") },
	{ "SYS_PTRACE",
	  NAMES("kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev") },
	{ "SYS_RAWIO", NAMES("iopl", "ioperm") },
	{ "SYS_TIME", NAMES("settimeofday", "stime", "clock_settime", "clock_settime64") },
	{ "SYS_TTY_CONFIG", NAMES("vhangup") },
	{ "SYS_NICE", NAMES("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node") },
	{ "SYSLOG", NAMES("syslog") },
	{ "BPF", NAMES("bpf") },
	{ "PERFMON", NAMES("perf_event_open") },
};

/* cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue mseal, and the four ...xattrat */
static const unsigned seccomp_newer[] = { 451, 452, 453, 454, 455, 456, 462, 463, 464, 465, 466 };

struct seccomp_cached {
	uint64_t caps; /* of those that matter */
	int fd;
};
struct seccomp_cache {
	VEC(struct seccomp_cached) programs;
};

#if defined(__x86_64__)
#define SECCOMP_NATIVE AUDIT_ARCH_X86_64
static const uint32_t seccomp_arches[] = { SCMP_ARCH_X86, SCMP_ARCH_X32 };
#elif defined(__aarch64__)
#define SECCOMP_NATIVE AUDIT_ARCH_AARCH64
static const uint32_t seccomp_arches[] = { SCMP_ARCH_ARM };
#elif defined(__arm__)
#define SECCOMP_NATIVE AUDIT_ARCH_ARM
static const uint32_t seccomp_arches[] = { 0 };
#elif defined(__riscv)
#define SECCOMP_NATIVE AUDIT_ARCH_RISCV64
static const uint32_t seccomp_arches[] = { 0 };
#elif defined(__i386__)
#define SECCOMP_NATIVE AUDIT_ARCH_I386
static const uint32_t seccomp_arches[] = { 0 };
#else
#define SECCOMP_NATIVE 0
static const uint32_t seccomp_arches[] = { 0 };
#endif

struct seccomp_cache *seccomp_cache_free(struct seccomp_cache *c)
{
	for (size_t i = 0; c && i < c->programs.n; i++)
		close_fd(c->programs.v[i].fd);
	if (c)
		VEC_RELEASE(&c->programs);
	free(c);
	return NULL;
}

int seccomp_seal(const void *p, size_t n, const char *name)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r = fd < 0 ? -errno : fd_write_all(fd, p, n);

	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return take_fd(&fd);
}

void *seccomp_begin(uint32_t default_action, struct err *e)
{
	scmp_filter_ctx f = seccomp_init(default_action);

	if (!f) {
		err_errno(e, ENOMEM, "make a seccomp filter");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(seccomp_arches); i++)
		if (seccomp_arches[i])
			(void)seccomp_arch_add(f, seccomp_arches[i]);
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a list */
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0);
	return f;
}

/* A name that this libseccomp or architecture does not have is no error. */
static void seccomp_allow(scmp_filter_ctx f, const char *name)
{
	int nr = seccomp_syscall_resolve_name(name);

	if (nr != __NR_SCMP_ERROR)
		(void)seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
}

/* The front program: see the top. Its jumps all end at its own last instruction or return. */
static void seccomp_add_newer(struct buf *b)
{
	size_t n = ARRAY_SIZE(seccomp_newer);
	struct sock_filter head[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SECCOMP_NATIVE, 0, (unsigned char)(n + 5)),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, (unsigned char)(n + 3), 0), /* x32 */
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SECCOMP_NR_KNOWN, (unsigned char)(n + 1), 0),
	};
	struct sock_filter tail[] = {
		BPF_JUMP(BPF_JMP | BPF_JA, 2, 0, 0), /* none of them: on to libseccomp's program */
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	buf_add(b, head, sizeof(head));
	for (size_t i = 0; i < n; i++) {
		struct sock_filter one =
			BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, seccomp_newer[i], (unsigned char)(n - i + 1), 0);

		buf_add(b, &one, sizeof(one));
	}
	buf_add(b, tail, sizeof(tail));
}

int seccomp_finish(void *filter, bool with_newer, int *ret_fd, struct err *e)
{
	_cleanup_close_ int tmp = memfd_create("seccomp", MFD_CLOEXEC);
	_cleanup_buf_ struct buf b = BUF_INIT;
	char chunk[4096];
	ssize_t n;
	int r = tmp < 0 ? -errno : seccomp_export_bpf(filter, tmp);

	if (r < 0)
		return err_errno(e, -r, "compile the seccomp filter");
	if (with_newer && SECCOMP_NATIVE)
		seccomp_add_newer(&b);
	if (lseek(tmp, 0, SEEK_SET) < 0)
		return err_errno(e, errno, "read the seccomp filter");
	while ((n = read(tmp, chunk, sizeof(chunk))) > 0)
		buf_add(&b, chunk, n);
	if (b.len / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return err_set(e, ERR_INVALID, "the seccomp filter is too large: %zu instructions",
			       b.len / sizeof(struct sock_filter));
	r = seccomp_seal(b.s, b.len, "seccomp");
	if (r < 0)
		return err_errno(e, -r, "keep the seccomp filter");
	*ret_fd = r;
	return 0;
}

static void seccomp_add_unprivileged_clone(scmp_filter_ctx f)
{
	uint64_t spaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
			  CLONE_NEWNET | CLONE_NEWCGROUP;

	(void)seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, spaces, 0));
	(void)seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

static int seccomp_compile_default(uint64_t caps, int *ret_fd, struct err *e)
{
	static const uint64_t personalities[] = { 0, 8, 0x20000, 0x20008, 0xffffffff };
	scmp_filter_ctx f = seccomp_begin(SCMP_ACT_ERRNO(EPERM), e);
	int r;

	if (!f)
		return -e->code;
	for (size_t i = 0; seccomp_always[i]; i++)
		seccomp_allow(f, seccomp_always[i]);
	for (size_t i = 0; i < ARRAY_SIZE(personalities); i++)
		(void)seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
				       SCMP_A0(SCMP_CMP_EQ, personalities[i]));
	/* AF_VSOCK would reach the hypervisor past all network policy. */
	(void)seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, SECCOMP_VSOCK));
	for (size_t i = 0; i < ARRAY_SIZE(seccomp_classes); i++) {
		if (!(caps >> caps_number(seccomp_classes[i].cap) & 1))
			continue;
		for (size_t k = 0; seccomp_classes[i].names[k]; k++)
			seccomp_allow(f, seccomp_classes[i].names[k]);
	}
	if (!(caps >> caps_number("SYS_ADMIN") & 1))
		seccomp_add_unprivileged_clone(f);
	r = seccomp_finish(f, true, ret_fd, e);
	seccomp_release(f);
	return r;
}

static int seccomp_default(struct seccomp_cache **cache, uint64_t caps, int *ret_fd, struct err *e)
{
	struct seccomp_cached one = { .fd = -1 };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(seccomp_classes); i++)
		one.caps |= caps & 1ull << caps_number(seccomp_classes[i].cap);
	*cache = *cache ? *cache : xcalloc(1, sizeof(**cache));
	for (size_t i = 0; i < (*cache)->programs.n && one.fd < 0; i++)
		if ((*cache)->programs.v[i].caps == one.caps)
			one.fd = (*cache)->programs.v[i].fd;
	if (one.fd < 0) {
		r = seccomp_compile_default(one.caps, &one.fd, e);
		if (r < 0)
			return r;
		VEC_PUSH(&(*cache)->programs, one);
	}
	*ret_fd = fcntl(one.fd, F_DUPFD_CLOEXEC, 3);
	return *ret_fd < 0 ? err_errno(e, errno, "keep the seccomp filter") : 0;
}

int seccomp_program(struct seccomp_cache **c, const struct run_container_spec *spec, uint64_t caps,
		    int *ret_fd, struct err *e)
{
	*ret_fd = -1;
	if (spec->seccomp == RUN_SECCOMP_UNCONFINED || spec->privileged)
		return 0;
	if (spec->seccomp == RUN_SECCOMP_FILE)
		return seccomp_program_from_file(spec->seccomp_file, ret_fd, e);
	return seccomp_default(c, caps, ret_fd, e);
}
