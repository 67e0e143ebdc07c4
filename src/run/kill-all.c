/*
 * `kinglet killall`: the end of everything that the runtime made, without a
 * daemon and whatever state it is in. Keepers first, found by their sockets, then
 * whatever is left in the cgroups; then mounts below the state directory, deepest
 * first; then the cgroups and the runtime's own files. Volumes and logs stay.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/vec.h"
#include "run/internal.h"

#define KILL_WAIT_MS 5000

/* The process that listens there, as a pidfd; -1 when nobody does. */
static int keeper_find(const char *dir, pid_t *ret_pid)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	_cleanup_close_ int d = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct ucred cred = { 0 };
	socklen_t len = sizeof(cred);
	int pidfd;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/keeper.sock", d);
	if (d < 0 || fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid <= 0)
		return -1;
	pidfd = pidfd_open_(cred.pid);
	*ret_pid = cred.pid;
	return pidfd < 0 ? -1 : pidfd;
}

static void keeper_kill(const char *dir, size_t *count)
{
	pid_t pid = 0;
	_cleanup_close_ int pidfd = keeper_find(dir, &pid);
	struct pollfd p = { pidfd, POLLIN, 0 };

	if (pidfd < 0)
		return;
	if (pidfd_signal(pidfd, SIGKILL) == 0)
		++*count;
	(void)poll(&p, 1, KILL_WAIT_MS);
}

static void pod_remove_files(const char *dir)
{
	for (size_t i = 0; sandbox_files[i]; i++) {
		_cleanup_free_ char *path = path_join(dir, sandbox_files[i]);
		_cleanup_err_ struct err e = ERR_INIT;

		if (path_remove_tree(path, &e) < 0)
			continue; /* what is left shows in the report's last line or in the next run */
	}
	(void)rmdir(dir);
}

static void pods_each(const char *pods, void (*f)(const char *dir, size_t *count), size_t *count)
{
	DIR *d = opendir(pods);
	struct dirent *x;

	while (d && (x = readdir(d))) {
		_cleanup_free_ char *dir = path_join(pods, x->d_name);

		if (x->d_name[0] != '.')
			f(dir, count);
	}
	if (d)
		closedir(d);
}

static void pod_remove(const char *dir, size_t *count)
{
	pod_remove_files(dir);
}

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static char *mount_unescape(struct str s)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 3 < s.n) {
			buf_addch(&b, (char)((s.p[i + 1] - '0') << 6 | (s.p[i + 2] - '0') << 3 |
					     (s.p[i + 3] - '0')));
			i += 3;
		} else {
			buf_addch(&b, s.p[i]);
		}
	}
	return buf_detach(&b, NULL);
}

/* The list is in order of mounting, so backwards nothing is in the way. */
static size_t mounts_remove(const char *state_dir, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *real = realpath(state_dir, NULL), *prefix = NULL;
	VEC(char *) found = VEC_INIT;
	struct str rest;
	size_t n = 0;

	if (!real || path_read("/proc/self/mountinfo", 64 << 20, &b, e) < 0)
		return 0;
	prefix = path_join(real, "");
	rest = buf_str(&b);
	while (rest.p) {
		struct str line = str_cut(&rest, '\n'), place = STR_NONE;
		char *path;

		for (int i = 0; i < 5; i++)
			place = str_cut(&line, ' ');
		path = mount_unescape(place);
		if (starts_with(path, prefix))
			VEC_PUSH(&found, path);
		else
			free(path);
	}
	for (size_t i = found.n; i-- > 0;) {
		if (umount2(found.v[i], MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			n++;
		else if (!err_is_set(e))
			err_errno(e, errno, "unmount '%s'", found.v[i]);
		free(found.v[i]);
	}
	VEC_RELEASE(&found);
	return n;
}

int run_kill_all(const char *state_dir, const char *cgroup_name, struct buf *report, struct err *e)
{
	_cleanup_free_ char *pods = path_join(state_dir, "pods");
	_cleanup_close_ int root = cgroup_open_root();
	size_t keepers = 0, mounts;
	struct err first = ERR_INIT;

	pods_each(pods, keeper_kill, &keepers);
	if (root >= 0) {
		cgroup_kill(root, cgroup_name);
		cgroup_remove(root, cgroup_name, KILL_WAIT_MS);
	}
	mounts = mounts_remove(state_dir, &first);
	pods_each(pods, pod_remove, NULL);
	if (keepers || mounts)
		buf_addf(report, "stopped %zu pods, removed %zu mounts below %s\n", keepers, mounts,
			 state_dir);
	if (root >= 0 && faccessat(root, cgroup_name, F_OK, 0) == 0 && !err_is_set(&first))
		err_set(&first, ERR_INTERNAL, "cgroup \"%s\" is still in use", cgroup_name);
	if (err_is_set(&first)) {
		err_move(e, &first);
		return -e->code;
	}
	return 0;
}
