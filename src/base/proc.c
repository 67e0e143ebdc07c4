/*
 * Child processes.
 *
 * The process has threads and may be large, so a child is made as posix_spawn
 * makes it: clone with CLONE_VM | CLONE_VFORK on a stack of its own. No page
 * table is copied, the calling thread sleeps until the child has executed, and
 * what the child learns on the way (which step failed, errno) is simply there
 * in memory. Between clone and exec only async-signal-safe calls are allowed,
 * and no signal may be handled, as the handlers would run in our memory.
 *
 * Nothing but descriptors 0, 1, 2 and those of proc_opts.fds reaches the child;
 * signal handlers, ignored signals and the mask are as a login shell has them.
 *
 * `self` children run from a sealed memfd: a container's process that finds
 * /proc/PID/exe of one of them can not write to the program on disk (the attack
 * on runc of 2019), and an upgrade of the file does not change what is started.
 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/path.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif

#define PROC_STACK_BYTES (64 << 10)
#define PROC_FDS_MAX 64
#define PROC_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* The child runs on a stack that the sanitizers do not know. */
#define PROC_IN_CHILD __attribute__((no_sanitize("address", "undefined", "thread")))

struct proc {
	LIST_ENTRY(proc) link;
	pid_t pid;
	int pidfd;
	struct loop_fd *watch;
	void (*on_exit)(void *arg, int status);
	void *arg;
};

/* All that run; abandoned ones have no other owner. */
static LIST_HEAD(proc_list, proc) proc_all = LIST_HEAD_INITIALIZER(proc_all);

/* What parent and child share while the parent sleeps. */
struct proc_child {
	const struct proc_opts *o;
	const char *const *env;
	int exe_fd; /* -1: argv[0] */
	pid_t parent;
	const char *step; /* what was being done when it failed; NULL: executed */
	int eno;
};

int pidfd_open_(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int pidfd_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

/* --- the sealed copy --- */

static int proc_copy_exe(int exe)
{
	_cleanup_close_ int fd = memfd_create("kinglet", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	struct stat st;
	off_t at = 0;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3, where every memfd may be executed */
		fd = memfd_create("kinglet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || fstat(exe, &st) < 0)
		return -errno;
	while (at < st.st_size) {
		ssize_t n = sendfile(fd, exe, &at, st.st_size - at);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return -EIO;
	}
	if (fchmod(fd, 0500) < 0 || fcntl(fd, F_ADD_SEALS, PROC_SEALS) < 0)
		return -errno;
	return take_fd(&fd);
}

static int proc_make_self_fd(void)
{
	_cleanup_close_ int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int seals;

	if (exe < 0)
		return -errno;
	/* A child of that kind runs from the copy already. */
	seals = fcntl(exe, F_GET_SEALS);
	if (seals >= 0 && (seals & PROC_SEALS) == PROC_SEALS)
		return take_fd(&exe);
	return proc_copy_exe(exe);
}

int proc_self_fd(void)
{
	static atomic_int cached = -1;
	int fd = atomic_load(&cached), none = -1;

	if (fd >= 0)
		return fd;
	fd = proc_make_self_fd();
	if (fd >= 0 && !atomic_compare_exchange_strong(&cached, &none, fd)) {
		close_fd(fd);
		fd = none;
	}
	return fd;
}

/* --- in the child --- */

static PROC_IN_CHILD void proc_child_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		sigaction(s, &dfl, NULL); /* refused for KILL, STOP and libc's own */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A copy of fd above all numbers that the child will have; -1 stands for /dev/null. */
static PROC_IN_CHILD int proc_child_lift(int fd, int above)
{
	int null, high;

	if (fd >= 0)
		return fcntl(fd, F_DUPFD_CLOEXEC, above);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || null >= above)
		return null;
	high = fcntl(null, F_DUPFD_CLOEXEC, above);
	close(null);
	return high;
}

/*
 * Sources and targets may overlap, so every source is copied first to a number
 * above all targets, and then down to its place.
 */
static PROC_IN_CHILD int proc_child_fds(const struct proc_opts *o, int *exe_fd)
{
	int n = 3 + (int)o->n_fds, lifted[3 + PROC_FDS_MAX];

	if (*exe_fd >= 0 && (*exe_fd = fcntl(*exe_fd, F_DUPFD_CLOEXEC, n)) < 0)
		return -1;
	for (int i = 0; i < n; i++) {
		int src = i == 0 ? o->in : i == 1 ? o->out : i == 2 ? o->err : o->fds[i - 3];

		if (i == 2 && src < 0)
			src = 2;
		lifted[i] = proc_child_lift(src, n);
		if (lifted[i] < 0)
			return -1;
	}
	for (int i = 0; i < n; i++) {
		if (dup2(lifted[i], i) < 0)
			return -1;
	}
	return 0;
}

static PROC_IN_CHILD int proc_child_join_cgroup(int dir)
{
	int fd = openat(dir, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	bool joined = fd >= 0 && write(fd, "0", 1) == 1;

	return joined ? 0 : -1;
}

static PROC_IN_CHILD int proc_child_main(void *arg)
{
	struct proc_child *c = arg;
	const struct proc_opts *o = c->o;
	int exe = c->exe_fd;

	c->step = "reset signals";
	proc_child_signals();
	c->step = "join the cgroup";
	if (o->cgroup_fd > 0 && proc_child_join_cgroup(o->cgroup_fd) < 0)
		goto failed;
	c->step = "start a session";
	if (o->new_session && setsid() < 0)
		goto failed;
	c->step = "follow the parent";
	if (o->die_with_parent) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
			goto failed;
		if (getppid() != c->parent)
			_exit(127); /* it was faster */
	}
	c->step = "hand over descriptors";
	if (proc_child_fds(o, &exe) < 0)
		goto failed;
	/* Older kernels lack the flag; all our own descriptors are marked anyway. */
	syscall(SYS_close_range, 3 + (unsigned)o->n_fds, ~0U, CLOSE_RANGE_CLOEXEC);
	c->step = "execute";
	if (exe >= 0)
		syscall(SYS_execveat, exe, "", o->argv, c->env, AT_EMPTY_PATH);
	else
		execve(o->argv[0], (char *const *)o->argv, (char *const *)c->env);
failed:
	c->eno = errno;
	_exit(127);
}

/* --- in the parent --- */

static pid_t proc_clone(struct proc_child *c, int *pidfd)
{
	sigset_t all, saved;
	int saved_errno;
	void *stack;
	pid_t pid;

	stack = mmap(NULL, PROC_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK,
		     -1, 0);
	if (stack == MAP_FAILED)
		return -1;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &saved);
	pid = clone(proc_child_main, (char *)stack + PROC_STACK_BYTES,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, c, pidfd);
	saved_errno = errno;
	sigprocmask(SIG_SETMASK, &saved, NULL);
	munmap(stack, PROC_STACK_BYTES);
	errno = saved_errno;
	return pid;
}

/* A shell may have left SIGCHLD ignored, and then nobody learns how a child ended. */
static void proc_want_children(void)
{
	struct sigaction sa;

	if (sigaction(SIGCHLD, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
		signal(SIGCHLD, SIG_DFL);
}

static pid_t proc_wait(pid_t pid, int *status, int flags)
{
	pid_t got;

	do
		got = waitpid(pid, status, flags);
	while (got < 0 && errno == EINTR);
	return got;
}

/* pid, with *ret_pidfd, or -errno. */
static pid_t proc_start(const struct proc_opts *o, int *ret_pidfd, struct err *e)
{
	struct proc_child c = { .o = o, .exe_fd = -1, .parent = getpid() };
	int pidfd = -1, status;
	pid_t pid;

	c.env = o->env ? o->env : (const char *const *)environ;
	if (o->self) {
		c.exe_fd = proc_self_fd();
		if (c.exe_fd < 0)
			return err_errno(e, -c.exe_fd, "make a copy of this program");
	}
	BUG_ON(o->n_fds > PROC_FDS_MAX);
	proc_want_children();
	pid = proc_clone(&c, &pidfd);
	if (pid < 0)
		return err_errno(e, errno, "start '%s'", o->argv[0]);
	if (c.eno) {
		proc_wait(pid, &status, 0);
		close_fd(pidfd);
		return err_errno(e, c.eno, "start '%s': %s", o->argv[0], c.step);
	}
	*ret_pidfd = pidfd;
	return pid;
}

static void proc_free(struct proc *p)
{
	LIST_REMOVE(p, link);
	loop_fd_free(p->watch);
	close_fd(p->pidfd);
	free(p);
}

static void proc_on_pidfd(void *arg, int what)
{
	struct proc *p = arg;
	int status = 0;
	pid_t got = proc_wait(p->pid, &status, WNOHANG);

	if (got == 0)
		return;
	if (got < 0)
		status = 255 << 8; /* reaped by somebody else: it ended, and nobody knows how */
	loop_fd_set(p->watch, 0);
	if (p->on_exit)
		p->on_exit(p->arg, status);
	proc_free(p);
}

struct proc *proc_spawn(struct loop *l, const struct proc_opts *o, void (*on_exit)(void *arg, int status),
			void *arg, struct err *e)
{
	int pidfd = -1;
	pid_t pid = proc_start(o, &pidfd, e);
	struct proc *p;

	if (pid < 0)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->pid = pid;
	p->pidfd = pidfd;
	p->on_exit = on_exit;
	p->arg = arg;
	LIST_INSERT_HEAD(&proc_all, p, link);
	p->watch = loop_fd_new(l, pidfd, LOOP_READ, proc_on_pidfd, p);
	return p;
}

int proc_run(const struct proc_opts *o, int *ret_status, struct err *e)
{
	_cleanup_close_ int pidfd = -1;
	pid_t pid = proc_start(o, &pidfd, e);
	int status = 0;

	if (pid < 0)
		return (int)pid;
	if (proc_wait(pid, &status, 0) < 0)
		return err_errno(e, errno, "wait for '%s'", o->argv[0]);
	*ret_status = status;
	return 0;
}

pid_t proc_pid(const struct proc *p)
{
	return p->pid;
}

int proc_kill(struct proc *p, int signo)
{
	return pidfd_signal(p->pidfd, signo);
}

void proc_abandon(struct proc *p)
{
	p->on_exit = NULL;
}
