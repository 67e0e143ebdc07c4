/*
 * From a copy of the keeper to the container's process.
 *
 * In order: default signals, a session of its own; the container's root (built
 * by rootfs.c, or entered, for an exec session); terminal or pipes; user, working
 * directory, limits; SYNC_READY; then what cannot be taken back: seccomp,
 * capabilities, user; and the program. Without no_new_privs the seccomp program
 * can only be loaded while there are privileges, so it comes first, and the
 * calls between it and the program must be allowed by it, as with runc.
 *
 * The keeper is not dumpable, and neither is this copy until it executes: the
 * processes of the container, which see it from its birth, cannot look into it.
 */
#include "run/keeper/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

void child_fail(const struct child *ch, int eno, const char *kind, const char *fmt, ...)
{
	char msg[SYNC_MAX - 1];
	size_t at = 5, max = sizeof(msg);
	int code = eno < 0 ? -eno : eno;
	va_list ap;

	msg[0] = SYNC_ERROR;
	memcpy(msg + 1, &code, sizeof(code));
	at += snprintf(msg + at, max - at, "%s", kind) + 1;
	va_start(ap, fmt);
	at += vsnprintf(msg + at, max - at, fmt, ap);
	va_end(ap);
	if (at < max && eno >= 0)
		at += snprintf(msg + at, max - at, ": %s", strerror(eno));
	if (at > max - 1)
		at = max - 1;
	(void)!write(ch->start->sync, msg, at + 1);
	_exit(1);
}

static void child_reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL); /* the only one that the keeper changed */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Closes every fd above 2 but those (at most 8; -1 for none). From the moment on
 * that the container's paths are followed there must be none left that leads to
 * the host: /proc/self/fd/N is a path, too. */
static void child_close_but(const int *keep, size_t n)
{
	unsigned from = 3;

	for (;;) {
		unsigned next = ~0U;

		for (size_t i = 0; i < n; i++)
			if (keep[i] >= (int)from && (unsigned)keep[i] < next)
				next = keep[i];
		if (next > from)
			(void)syscall(SYS_close_range, from, next == ~0U ? next : next - 1, 0);
		if (next == ~0U)
			return;
		from = next + 1;
	}
}

/* Into the namespaces of the running container. */
static void child_join(struct child *ch)
{
	const struct child_start *s = ch->start;
	const int keep[] = { s->sync,	  s->std[0],	    s->std[1],	       s->std[2],
			     s->c->pidfd, s->c->seccomp_fd, keeper.host_mnt_fd, keeper.user_fd };

	child_close_but(keep, ARRAY_SIZE(keep));
	if (setns(keeper.host_mnt_fd, CLONE_NEWNS) < 0)
		child_fail(ch, errno, KIND_RUN, "enter the host's mount namespace");
	rootfs_set_oom_adj(ch);
	if (setns(ch->start->c->pidfd, CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
		child_fail(ch, errno, KIND_RUN, "enter the container's namespaces");
	if (keeper.user_fd >= 0)
		rootfs_become_inner(ch);
	if (chdir("/") < 0)
		child_fail(ch, errno, KIND_RUN, "chdir to \"/\"");
}

static void child_leave_host(const struct child *ch)
{
	const struct child_start *s = ch->start;
	const int keep[] = { s->sync, s->std[0], s->std[1], s->std[2], s->c->seccomp_fd };

	child_close_but(keep, ARRAY_SIZE(keep));
}

/* A device of the container's /dev, which is only believed when it is that device. */
int child_open_dev(const struct child *ch, const char *path, int flags, dev_t want)
{
	struct stat st;
	int fd = open(path, flags | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		child_fail(ch, errno, KIND_RUN, "open %s", path);
	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != want)
		child_fail(ch, -ENODEV, KIND_RUN, "%s is not what it should be", path);
	return fd;
}

static void child_send_terminal(const struct child *ch, int master)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (char[]){ SYNC_TTY }, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &master, sizeof(int));
	if (sendmsg(ch->start->sync, &m, 0) < 0)
		child_fail(ch, errno, KIND_RUN, "hand over the terminal");
}

static void child_terminal(struct child *ch)
{
	struct fields x = ch->start->exec;
	struct winsize ws = { .ws_row = fields_int(x, F_ROWS, 24), .ws_col = fields_int(x, F_COLS, 80) };
	int master = child_open_dev(ch, "/dev/pts/ptmx", O_RDWR, makedev(5, 2)), slave, zero = 0;

	if (ioctl(master, TIOCSPTLCK, &zero) < 0 ||
	    (slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY)) < 0)
		child_fail(ch, errno, KIND_RUN, "open a terminal");
	if (ws.ws_row && ws.ws_col)
		ioctl(master, TIOCSWINSZ, &ws);
	child_send_terminal(ch, master);
	close(master);
	(void)!fchown(slave, ch->uid, -1);
	if (!ch->start->is_exec)
		rootfs_bind_console(ch, slave);
	for (int i = 0; i < 3; i++)
		if (dup2(slave, i) < 0)
			child_fail(ch, errno, KIND_RUN, "use the terminal");
	close(slave);
	if (ioctl(0, TIOCSCTTY, 0) < 0)
		child_fail(ch, errno, KIND_RUN, "make the terminal the controlling one");
}

/* A process may open /dev/stdout again by name: it must own the pipes. */
static void child_pipes(struct child *ch)
{
	int null = child_open_dev(ch, "/dev/null", O_RDWR, makedev(1, 3));

	for (int i = 0; i < 3; i++) {
		int fd = ch->start->std[i];

		if (fd >= 0)
			(void)!fchown(fd, ch->uid, -1);
		if (dup2(fd < 0 ? null : fd, i) < 0)
			child_fail(ch, errno, KIND_RUN, "set up standard input and output");
	}
	close(null);
}

/* While this is still the host's root: root of the pod's user namespace can then pass them on. */
static void child_give_pipes(const struct child *ch)
{
	for (int i = 0; keeper.user_fd >= 0 && i < 3; i++)
		if (ch->start->std[i] >= 0)
			(void)!fchown(ch->start->std[i], keeper.id_base, keeper.id_base);
}

static void child_make_dirs(const char *path)
{
	char *copy = xstrdup(path);

	for (char *p = copy + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(copy, 0755);
		*p = '/';
	}
	(void)mkdir(copy, 0755);
	free(copy);
}

static void child_chdir(const struct child *ch)
{
	const char *cwd = ch->spec.cwd && *ch->spec.cwd ? ch->spec.cwd : "/";
	char where[PATH_MAX];
	int r;

	r = chdir(cwd);
	if (r < 0 && errno == ENOENT) {
		child_make_dirs(cwd);
		r = chdir(cwd);
	}
	/* A directory outside the root has no name that begins with a slash. */
	if (r == 0 && getcwd(where, sizeof(where)) && where[0] == '/')
		return;
	child_fail(ch, r < 0 ? errno : EPERM, KIND_RUN,
		   "unable to start container process: chdir to cwd (\"%s\") set in config.json failed", cwd);
}

/* As much as the machine allows: what k3s gives, too. */
static void child_limits(void)
{
	struct rlimit files = { 1 << 20, 1 << 20 }, all = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit now;

	if (setrlimit(RLIMIT_NOFILE, &files) < 0 && getrlimit(RLIMIT_NOFILE, &now) == 0) {
		now.rlim_cur = now.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &now);
	}
	(void)setrlimit(RLIMIT_NPROC, &all);
	(void)setrlimit(RLIMIT_CORE, &all);
}

static void child_seccomp(const struct child *ch)
{
	int fd = ch->start->c->seccomp_fd;
	struct sock_fprog prog;
	struct stat st;
	void *p;

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0 || st.st_size % sizeof(struct sock_filter) ||
	    (p = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
		child_fail(ch, errno, KIND_RUN, "read the seccomp program");
	prog = (struct sock_fprog){ st.st_size / sizeof(struct sock_filter), p };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
		child_fail(ch, errno, KIND_RUN, "load the seccomp program");
	munmap(p, st.st_size);
}

/* Quoted as Go's %q does for what may stand in a command's name. */
static void child_not_executable(const struct child *ch, int eno)
{
	const char *name = ch->spec.argv.v[0];

	if (!strchr(name, '/') && eno == ENOENT)
		child_fail(
			ch, -ENOENT, KIND_RUN,
			"unable to start container process: exec: \"%s\": executable file not found in $PATH",
			name);
	if (eno == ENOENT)
		child_fail(
			ch, -ENOENT, KIND_RUN,
			"unable to start container process: exec: \"%s\": stat %s: no such file or directory",
			name, name);
	if (eno == EISDIR)
		child_fail(ch, -EISDIR, KIND_RUN,
			   "unable to start container process: exec: \"%s\": is a directory", name);
	child_fail(ch, -eno, KIND_RUN, "unable to start container process: exec: \"%s\": permission denied",
		   name);
}

/* 0 or an errno, as Go's LookPath judges a candidate. */
static int child_judge(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? EACCES : 0;
}

static const char *child_find_program(const struct child *ch)
{
	const char *name = ch->spec.argv.v[0], *path = DEFAULT_PATH;
	struct str dirs;
	int eno = ENOENT;

	if (strchr(name, '/')) {
		eno = child_judge(name);
		if (eno)
			child_not_executable(ch, eno == ENOTDIR ? ENOENT : eno);
		return name;
	}
	for (size_t i = 0; ch->spec.env.v[i]; i++)
		if (starts_with(ch->spec.env.v[i], "PATH="))
			path = ch->spec.env.v[i] + 5;
	dirs = str_of(path);
	while (dirs.p && *name) {
		struct str dir = str_cut(&dirs, ':');
		char *full = xasprintf("%" STR_FMT "/%s", STR_ARG(dir.n ? dir : STR_LIT(".")), name);

		if (child_judge(full) == 0)
			return full;
		free(full);
	}
	child_not_executable(ch, eno);
	return NULL;
}

static void child_home(struct child *ch)
{
	for (size_t i = 0; ch->spec.env.v[i]; i++)
		if (starts_with(ch->spec.env.v[i], "HOME="))
			return;
	ch->spec.env.v[ch->spec.env.n - 1] = xasprintf("HOME=%s", ch->home);
	VEC_PUSH(&ch->spec.env, NULL);
}

#define REPORTED_GROUPS ((SYNC_MAX - 16) / sizeof(uint32_t))

static void child_say_ready(const struct child *ch)
{
	char msg[SYNC_MAX] = { SYNC_READY };
	uint32_t ids[2 + REPORTED_GROUPS] = { ch->uid, ch->gid };
	size_t n = 2;

	for (size_t i = 0; i < ch->groups.n && n < ARRAY_SIZE(ids); i++)
		ids[n++] = ch->groups.v[i];
	memcpy(msg + 1, ids, n * sizeof(*ids));
	(void)!write(ch->start->sync, msg, 1 + n * sizeof(*ids));
}

/* The profile that the program gets as it is executed. The pod may have put something else on /proc. */
static void child_apparmor(const struct child *ch)
{
	static const char *const files[] = { "/proc/self/attr/apparmor/exec", "/proc/self/attr/exec" };
	_cleanup_close_ int fd = -1;
	struct statfs fs;
	char text[512];
	int n;

	if (!ch->spec.apparmor || !*ch->spec.apparmor)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files) && fd < 0; i++)
		fd = open(files[i], O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		child_fail(ch, errno ? errno : EINVAL, KIND_RUN, "open the AppArmor attribute of the process");
	n = snprintf(text, sizeof(text), "exec %s", ch->spec.apparmor);
	if (n >= (int)sizeof(text) || write(fd, text, n) < 0)
		child_fail(ch, errno, KIND_RUN, "unable to apply apparmor profile \"%s\"", ch->spec.apparmor);
}

static NORETURN void child_execute(struct child *ch)
{
	const char *program;

	child_say_ready(ch);
	child_apparmor(ch);
	if (ch->spec.flags & SPEC_NO_NEW_PRIVS) {
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
			child_fail(ch, errno, KIND_RUN, "set no_new_privs");
	} else {
		child_seccomp(ch);
	}
	user_become(ch);
	prctl(PR_SET_PDEATHSIG,
	      SIGKILL); /* the keeper's end is the container's; a change of user clears it */
	program = child_find_program(ch);
	if (ch->spec.flags & SPEC_NO_NEW_PRIVS)
		child_seccomp(ch);
	execve(program, (char **)ch->spec.argv.v, (char **)ch->spec.env.v);
	child_fail(ch, errno, KIND_RUN, "unable to start container process: exec %s", program);
}

void child_main(const struct child_start *start)
{
	struct child ch = { .start = start };

	child_reset_signals();
	setsid();
	umask(022);
	spec_read(&ch);
	child_limits();
	child_give_pipes(&ch);
	if (start->is_exec)
		child_join(&ch);
	else
		rootfs_enter(&ch);
	child_leave_host(&ch);
	user_resolve(&ch);
	child_home(&ch);
	if (ch.tty)
		child_terminal(&ch);
	else
		child_pipes(&ch);
	child_chdir(&ch);
	if (!start->is_exec)
		rootfs_protect(&ch);
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_ses.container");
	/* All but the three, should one have been left inheritable. */
	syscall(SYS_close_range, 3, ~0U, 1 << 2 /* CLOSE_RANGE_CLOEXEC */);
	child_execute(&ch);
}
