/*
 * The pod's namespaces, its state file, and its end.
 *
 * The keeper enters the pod's network, IPC and UTS namespaces itself, so that
 * every child is born in them. With a user namespace (hostUsers: false) those
 * belong to it, but the keeper stays the host's: a container's child prepares what
 * needs the host's privileges and then enters it (rootfs.c). Its mount namespace is empty but for one tmpfs,
 * its root, which is the pod's /dev/shm: a keeper pins no mount of the host. The
 * host's mount namespace is held by an fd: a container's child goes there to find
 * layers and volumes as they are at that moment.
 *
 * With a shared PID namespace (shareProcessNamespace) a small init is its first
 * process; all later children are born in it.
 */
#include "run/keeper/keeper.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/path.h"
#include "run/keeper/mount.h"

/* What failed in the set-up, for the answer. */
struct setup {
	struct fields body;
	char text[256];
};

static int setup_failed(struct setup *s, const char *what, const char *of)
{
	int eno = errno;

	snprintf(s->text, sizeof(s->text), "%s%s%s: %s", what, of ? " " : "", of ? of : "", strerror(eno));
	return -eno;
}

static void sandbox_loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	_cleanup_close_ int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s >= 0 && ioctl(s, SIOCGIFFLAGS, &ifr) == 0) {
		ifr.ifr_flags |= IFF_UP;
		(void)ioctl(s, SIOCSIFFLAGS, &ifr);
	}
}

/* Those that belong to a namespace of the pod; any other would change the host. name: below /proc/sys. */
static bool sysctl_is_ours(const char *name)
{
	static const char *const ipc[] = { "kernel/shm", "kernel/msg", "fs/mqueue/" };

	if (starts_with(name, "net/"))
		return !(keeper.share & SHARE_NET);
	for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
		if (starts_with(name, ipc[i]))
			return !(keeper.share & SHARE_IPC);
	return streq(name, "kernel/sem") && !(keeper.share & SHARE_IPC);
}

/* The first separator of a name says whether dots or slashes part it; the other then stands for itself. */
static void sysctl_path(char *name)
{
	if (name[strcspn(name, "./")] == '/')
		return;
	for (; *name; name++)
		*name = *name == '.' ? '/' : *name == '/' ? '.' : *name;
}

static int sysctl_write(const char *assignment)
{
	char path[256] = "/proc/sys/", *name = path + strlen(path);
	const char *eq = strchr(assignment, '=');
	size_t n = eq ? (size_t)(eq - assignment) : 0;
	_cleanup_close_ int fd = -1;

	errno = EPERM;
	if (!eq || n >= sizeof(path) - strlen(path))
		return -1;
	memcpy(name, assignment, n);
	sysctl_path(name);
	if (!sysctl_is_ours(name) || strstr(path, "/../"))
		return -1;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return write(fd, eq + 1, strlen(eq + 1)) < 0 ? -1 : 0;
}

static int setup_sysctls(struct setup *s)
{
	struct fields it = s->body;
	struct field f;

	if (!(keeper.share &
	      SHARE_NET)) { /* as containerd 2: low ports and ping need no capability in a pod */
		(void)sysctl_write("net.ipv4.ip_unprivileged_port_start=0");
		(void)sysctl_write("net.ipv4.ping_group_range=0 2147483647");
	}
	while (fields_next(&it, &f))
		if (f.tag == F_SYSCTL && sysctl_write(field_str(&f)) < 0)
			return setup_failed(s, "set sysctl", field_str(&f));
	return 0;
}

/* An empty mount namespace whose root is the pod's shared memory. */
static int setup_mounts(struct setup *s)
{
	char size[32], owner[16];
	_cleanup_close_ int fs = mount_fsopen("tmpfs"), shm = -1, here = -1;

	snprintf(size, sizeof(size), "%lld", (long long)fields_int(s->body, F_SHM_BYTES, 64 << 20));
	snprintf(owner, sizeof(owner), "%u", keeper.id_base);
	if (fs < 0 || mount_fsconfig(fs, "size", size) < 0 || mount_fsconfig(fs, "uid", owner) < 0 ||
	    mount_fsconfig(fs, "gid", owner) < 0 || mount_fsconfig(fs, "mode", "1777") < 0 ||
	    mount_fscreate(fs) < 0 || (shm = mount_fsmount(fs, MS_NOSUID | MS_NODEV | MS_NOEXEC)) < 0)
		return setup_failed(s, "make the pod's shared memory", NULL);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return setup_failed(s, "make mounts private", NULL);
	/* Opened anew: keeper.dir_fd is in the host's namespace, and stays so. */
	here = open(keeper.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || mount_move(shm, here) < 0 || fchdir(shm) < 0)
		return setup_failed(s, "mount the pod's shared memory on", keeper.dir);
	if (mount_pivot() < 0)
		return setup_failed(s, "leave the host's mounts", NULL);
	return 0;
}

static int open_ns(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static bool write_id_map(pid_t pid, const char *file)
{
	char path[64], text[64];
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	snprintf(text, sizeof(text), "0 %u %u\n", keeper.id_base, keeper.id_count);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text, strlen(text)) >= 0;
}

/* Namespaces that belong to a user namespace must be made inside it: a child is born
 * into all of them, this process follows it into all but the user namespace. */
static int setup_users(struct setup *s, int flags)
{
	_cleanup_close_ int pidfd = -1;
	int p[2], ok;
	char path[64];
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return setup_failed(s, "make a pipe", NULL);
	pid = keeper_fork(CLONE_NEWUSER | flags, -1, &pidfd);
	if (pid == 0) {
		close(p[1]);
		(void)!read(p[0], path, 1); /* until its namespaces are held */
		_exit(0);
	}
	close(p[0]);
	errno = pid < 0 ? -pid : 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	ok = pid > 0 && write_id_map(pid, "uid_map") && write_id_map(pid, "gid_map") &&
	     (keeper.user_fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0 && setns(pidfd, flags) == 0;
	ok = ok ? 0 : setup_failed(s, "make the pod's user namespace", NULL);
	close(p[1]);
	return ok;
}

static int setup_namespaces(struct setup *s)
{
	const char *host = fields_str(s->body, F_HOSTNAME);
	int flags = 0, own = CLONE_NEWNS;

	keeper.host_mnt_fd = open_ns("mnt");
	keeper.own_pid_fd = open_ns("pid");
	if (keeper.host_mnt_fd < 0 || keeper.own_pid_fd < 0)
		return setup_failed(s, "open /proc/self/ns", NULL);
	if (!(keeper.share & SHARE_NET))
		flags |= CLONE_NEWNET | CLONE_NEWUTS; /* a pod on the host's network has the host's name */
	if (!(keeper.share & SHARE_IPC))
		flags |= CLONE_NEWIPC;
	if (keeper.share & SHARE_PID_POD)
		own |= CLONE_NEWPID;
	if (keeper.id_base && setup_users(s, flags) < 0)
		return -EPERM;
	if (unshare(keeper.id_base ? own : own | flags) < 0)
		return setup_failed(s, "make namespaces", NULL);
	if (host && *host && !(keeper.share & SHARE_NET) && sethostname(host, strlen(host)) < 0)
		return setup_failed(s, "set hostname", host);
	if (!(keeper.share & SHARE_NET))
		sandbox_loopback_up();
	keeper.net_fd = open_ns("net");
	if (keeper.net_fd < 0)
		return setup_failed(s, "open /proc/self/ns/net", NULL);
	return setup_sysctls(s);
}

/* The first process of a shared PID namespace: reaps, and ends with the keeper. */
static NORETURN void pod_init_main(void)
{
	sigset_t set;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	keeper_set_title("pause", "/pause");
	syscall(SYS_close_range, 0, ~0U, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (;;) {
		int signo;

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		sigwait(&set, &signo);
	}
}

static int setup_pod_init(struct setup *s)
{
	pid_t pid;

	if (!(keeper.share & SHARE_PID_POD))
		return 0;
	pid = keeper_fork(0, -1, NULL);
	if (pid == 0)
		pod_init_main();
	if (pid < 0) {
		errno = -pid;
		return setup_failed(s, "start the pod's init", NULL);
	}
	keeper.pod_init = pid;
	return 0;
}

static int setup_directory(struct setup *s)
{
	_cleanup_close_ int adj = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int r;

	if (adj >= 0)
		(void)!write(adj, "-998", 4);
	keeper.dir_fd = open(keeper.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (keeper.dir_fd < 0 || fchdir(keeper.dir_fd) < 0)
		return setup_failed(s, "open", keeper.dir);
	r = conn_listen();
	if (r < 0) {
		errno = -r;
		return setup_failed(s, "listen in", keeper.dir);
	}
	return 0;
}

void sandbox_on_setup(struct asker a, struct frame *f)
{
	struct setup s = { .body = f->body };
	const char *id = fields_str(f->body, F_ID), *name = fields_str(f->body, F_NAME);
	const char *dir = fields_str(f->body, F_DIR);
	struct buf *b;
	int r;

	keeper.id = xstrdup(id ? id : "");
	keeper.name = xstrdup(name ? name : "");
	keeper.dir = xstrdup(dir ? dir : "");
	keeper.cgroup = xstrdup_null(fields_str(f->body, F_CGROUP));
	keeper.share = fields_int(f->body, F_SHARE, 0);
	keeper.id_base = fields_int(f->body, F_ID_BASE, 0);
	keeper.id_count = fields_int(f->body, F_ID_COUNT, 0);
	(void)((r = setup_directory(&s)) < 0 || (r = setup_namespaces(&s)) < 0 ||
	       (r = setup_mounts(&s)) < 0 || (r = setup_pod_init(&s)) < 0);
	if (r < 0) {
		conn_fail(a, -r, "CreatePodSandboxError", s.text);
		_exit(1);
	}
	keeper.is_set_up = true;
	sandbox_save();
	b = conn_buf();
	frame_begin(b, FRAME_REPLY, a.seq);
	frame_add(b, F_ROLES, (char[]){ ROLE_NETNS }, 1);
	conn_reply(a, b, &keeper.net_fd, 1);
}

void sandbox_put_container(struct buf *b, const struct container *c)
{
	size_t at = frame_nest(b, F_CONTAINER);

	frame_add_str(b, F_CID, c->id);
	frame_add_str(b, F_CNAME, c->name);
	frame_add_int(b, F_ATTEMPT, c->attempt);
	frame_add_int(b, F_STATE, c->phase);
	frame_add_int(b, F_PID, c->pid);
	frame_add_int(b, F_EXIT_CODE, c->exit_code);
	frame_add_int(b, F_SIGNAL, c->signal);
	frame_add_int(b, F_OOM, c->oom_killed);
	frame_add_int(b, F_STARTED, c->started_ns);
	frame_add_int(b, F_FINISHED, c->finished_ns);
	frame_add_int(b, F_ACKED, c->acked);
	frame_add_int(b, F_TTY, c->tty);
	frame_add_int(b, F_STDIN, c->stdin_open ? c->stdin_once ? 2 : 1 : 0);
	frame_add_str(b, F_LOG_DIR, c->log_dir);
	container_put_user(b, c);
	frame_nest_end(b, at);
}

static void sandbox_put_state(struct buf *b)
{
	struct container *c;

	frame_add_str(b, F_ID, keeper.id);
	frame_add_str(b, F_NAME, keeper.name);
	frame_add_int(b, F_PID, getpid());
	frame_add_int(b, F_SHARE, keeper.share);
	frame_add_str(b, F_CGROUP, keeper.cgroup);
	TAILQ_FOREACH(c, &keeper.containers, link)
		if (c->phase != PHASE_STARTING)
			sandbox_put_container(b, c);
}

void sandbox_on_state(struct asker a, struct frame *f)
{
	struct buf *b = conn_buf();

	frame_begin(b, FRAME_REPLY, a.seq);
	frame_add(b, F_ROLES, (char[]){ ROLE_NETNS }, 1);
	sandbox_put_state(b);
	conn_reply(a, b, &keeper.net_fd, 1);
}

/* No fsync: it is for a daemon that finds this keeper dead, and a machine that
 * lost its power has no containers to tell about. */
void sandbox_save(void)
{
	struct buf *b = conn_buf();
	_cleanup_close_ int fd =
		openat(keeper.dir_fd, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	frame_begin(b, FRAME_REPLY, 0);
	sandbox_put_state(b);
	if (fd >= 0 && fd_write_all(fd, b->s, b->len) == 0)
		(void)renameat(keeper.dir_fd, "state.new", keeper.dir_fd, "state");
}

void sandbox_on_destroy(struct asker a, struct frame *f)
{
	struct container *c;

	keeper.ending = true;
	keeper.destroyer = a;
	TAILQ_FOREACH(c, &keeper.containers, link)
		if (c->phase != PHASE_EXITED)
			container_kill(c);
	exec_kill_all();
	if (keeper.pod_init)
		kill(keeper.pod_init, SIGKILL);
	sandbox_check_end();
}

void sandbox_check_end(void)
{
	struct buf *b = conn_buf();
	struct container *c;

	if (!keeper.ending || keeper.pod_init || !TAILQ_EMPTY(&keeper.sessions))
		return;
	TAILQ_FOREACH(c, &keeper.containers, link)
		if (c->phase != PHASE_EXITED)
			return;
	unlinkat(keeper.dir_fd, "keeper.sock", 0);
	frame_begin(b, FRAME_REPLY, keeper.destroyer.seq);
	conn_reply(keeper.destroyer, b, NULL, 0);
	_exit(0);
}
