/*
 * The container's root: an overlay of the image's layers, the system's own
 * mounts, the pod's volumes; and the way into it.
 *
 * Sources of bind mounts are cloned (open_tree) in the host's mount namespace
 * before a new one is made, so that they are what the host sees at this moment,
 * and stay its peers, which is what HostToContainer and Bidirectional mean.
 * Everything else happens in the new namespace and goes away with it: there is
 * nothing to unmount when a container ends.
 *
 * All paths inside the root were chosen by an image or a pod; they are only
 * resolved with RESOLVE_IN_ROOT. Targets are then addressed by their fds.
 */
#include "run/keeper/child.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/path.h"
#include "run/keeper/mount.h"

#define DEV_DEPTH 4

static const struct system_mount {
	const char *type, *target;
	unsigned long flags;
	const char *data;
	bool optional; /* the kernel may lack it */
} system_mounts[] = {
	{ "proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false },
	{ "tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", false },
	{ "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5", false },
	{ "mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, true },
	{ "sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL, false },
	{ "cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL, true },
};

static const struct device {
	const char *name;
	unsigned major, minor;
} devices[] = {
	{ "null", 1, 3 },   { "zero", 1, 5 },	 { "full", 1, 7 },
	{ "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct dev_link {
	const char *name, *to;
} dev_links[] = {
	{ "fd", "/proc/self/fd" },	 { "stdin", "/proc/self/fd/0" }, { "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" }, { "ptmx", "pts/ptmx" },	 { "core", "/proc/kcore" },
};

/* The defaults of containerd and Docker. */
static const char *const masked_paths[] = {
	"/proc/acpi",	     "/proc/asound",	    "/proc/interrupts", "/proc/kcore",
	"/proc/keys",	     "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
	"/proc/sched_debug", "/proc/scsi",	    "/sys/firmware",	"/sys/devices/virtual/powercap",
};
static const char *const read_only_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

static char *fd_path(int fd, char out[32])
{
	snprintf(out, 32, "/proc/self/fd/%d", fd);
	return out;
}

void rootfs_set_oom_adj(const struct child *ch)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	char text[16];

	snprintf(text, sizeof(text), "%d", ch->spec.oom_adj);
	/* Without CAP_SYS_RESOURCE (a daemon that is itself confined) it can only be raised. */
	if (fd < 0 || (write(fd, text, strlen(text)) < 0 && errno != EACCES && errno != EPERM))
		child_fail(ch, errno, KIND_CREATE, "set oom_score_adj to %s", text);
}

/* What has the host's ids on the disk has the pod's in this clone. */
static void tree_set_idmap(const struct child *ch, int tree, const char *source)
{
	if (keeper.user_fd < 0 || mount_set_idmap(tree, keeper.user_fd) == 0)
		return;
	child_fail(ch, errno, KIND_CREATE,
		   "failed to set MOUNT_ATTR_IDMAP on \"%s\" (maybe the filesystem used doesn't support idmap mounts on "
		   "this kernel?)",
		   source);
}

static void sources_clone(struct child *ch)
{
	for (size_t i = 0; i < ch->spec.mounts.n; i++) {
		struct spec_mount *m = &ch->spec.mounts.v[i];
		int fd;

		if (m->flags & MOUNT_TMPFS)
			continue;
		fd = source_open(ch, m);
		source_check_shared(ch, m, fd);
		m->tree = mount_clone(fd, true);
		if (m->tree < 0)
			child_fail(ch, errno, KIND_CREATE, "clone the mount \"%s\"", m->source);
		tree_set_idmap(ch, m->tree, m->source);
		close(fd);
	}
}

/* <pod>/containers/<id>, which stays; and what is in it. */
static int dir_open(const struct child *ch, int at, const char *name, mode_t mode)
{
	int fd;

	if (mkdirat(at, name, mode) < 0 && errno != EEXIST)
		child_fail(ch, errno, KIND_CREATE, "make directory \"%s\" of the container", name);
	fd = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		child_fail(ch, errno, KIND_CREATE, "open directory \"%s\" of the container", name);
	return fd;
}

static int container_dir(const struct child *ch)
{
	int pod = open(keeper.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (pod < 0)
		child_fail(ch, errno, KIND_CREATE, "open \"%s\"", keeper.dir);
	return dir_open(ch, dir_open(ch, pod, "containers", 0700), ch->start->c->id, 0700);
}

/* Clones of the layers with the pod's ids. Linux before 6.15 wants them attached: on a
 * tmpfs over the container's root directory, which goes with this mount namespace. */
static int layers_place(const struct child *ch)
{
	char *path = xasprintf("%s/containers/%s/root", keeper.dir, ch->start->c->id);
	int fd = -1;

	if (mount("tmpfs", path, "tmpfs", 0, "mode=700") == 0)
		fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		child_fail(ch, errno, KIND_CREATE, "mount a tmpfs for the layers on \"%s\"", path);
	free(path);
	return fd;
}

static int layer_set_idmap(const struct child *ch, int layer, int place, size_t i)
{
	int tree = mount_clone(layer, false), at;
	char name[24];

	if (tree < 0)
		child_fail(ch, errno, KIND_CREATE, "clone layer \"%s\"", ch->spec.layers.v[i]);
	tree_set_idmap(ch, tree, ch->spec.layers.v[i]);
	snprintf(name, sizeof(name), "%zu", i);
	at = dir_open(ch, place, name, 0700);
	if (mount_move(tree, at) < 0)
		child_fail(ch, errno, KIND_CREATE, "attach layer \"%s\"", ch->spec.layers.v[i]);
	close(at);
	close(layer);
	return tree;
}

/* Layers are named by the numbers of their fds, seen from /proc/self/fd: 128 of
 * them fit mount(2)'s one page, and no character of a path needs care. `volatile`
 * spares the disk all syncs: no container is ever started on an old upper layer. */
static void overlay_mount(const struct child *ch)
{
	static const char *const variants[] = { ",volatile", "" };
	int dir = container_dir(ch), upper = dir_open(ch, dir, "upper", 0755),
	    work = dir_open(ch, dir, "work", 0700);
	int root = dir_open(ch, dir, "root", 0700), r = -1, place = -1;
	_cleanup_buf_ struct buf lower = BUF_INIT;
	char target[16];

	/* The root's own owner is upper's. */
	if (keeper.user_fd >= 0 && fchownat(upper, "", keeper.id_base, keeper.id_base, AT_EMPTY_PATH) < 0)
		child_fail(ch, errno, KIND_CREATE, "give the container its root directory");
	if (keeper.user_fd >= 0)
		place = layers_place(ch);

	for (size_t i = 0; i < ch->spec.layers.n; i++) {
		int fd = open(ch->spec.layers.v[i], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			child_fail(ch, errno, KIND_CREATE, "open layer \"%s\"", ch->spec.layers.v[i]);
		if (keeper.user_fd >= 0)
			fd = layer_set_idmap(ch, fd, place, i);
		buf_addf(&lower, "%s%d", i ? ":" : "", fd);
	}
	if (chdir("/proc/self/fd") < 0)
		child_fail(ch, errno, KIND_CREATE, "chdir to /proc/self/fd");
	snprintf(target, sizeof(target), "%d", root);
	for (size_t i = 0; i < ARRAY_SIZE(variants) && r < 0; i++) {
		_cleanup_buf_ struct buf data = BUF_INIT;

		buf_addf(&data, "lowerdir=%s,upperdir=%d,workdir=%d%s", lower.s, upper, work, variants[i]);
		r = mount("overlay", target, "overlay", 0, data.s);
	}
	if (r < 0)
		child_fail(ch, errno, KIND_CREATE,
			   "mount the root file system (overlay) on \"%s/containers/%s/root\"", keeper.dir,
			   ch->start->c->id);
}

static int target_dir(const struct child *ch, int root, const char *path)
{
	int fd = path_mkdirs_in_root(root, path, 0755);

	if (fd < 0)
		child_fail(ch, -fd, KIND_RUN, "make mountpoint \"%s\"", path);
	return fd;
}

static int target_file(const struct child *ch, int root, const char *path)
{
	int fd = path_open_in_root(root, path, O_PATH, 0);

	if (fd == -ENOENT) {
		char *copy = xstrdup(path), *slash = strrchr(copy, '/');

		*slash = '\0';
		if (*copy)
			close_fd(path_mkdirs_in_root(root, copy, 0755));
		free(copy);
		fd = path_open_in_root(root, path, O_WRONLY | O_CREAT | O_NONBLOCK, 0644);
		close_fd(fd);
		fd = path_open_in_root(root, path, O_PATH, 0);
	}
	if (fd < 0)
		child_fail(ch, -fd, KIND_RUN, "make mountpoint \"%s\"", path);
	return fd;
}

/* Its first process is born into a PID namespace of the host's users, so only they can mount its /proc. */
static int proc_tree = -1;

static void system_mount_all(const struct child *ch, int root)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_mounts); i++) {
		const struct system_mount *m = &system_mounts[i];
		unsigned long flags = m->flags;
		char path[32];
		int fd, r;

		if (streq(m->type, "cgroup2") && !(ch->spec.flags & SPEC_CGROUPNS))
			continue;
		fd = target_dir(ch, root, m->target);
		if (ch->spec.flags & SPEC_PRIVILEGED)
			flags &= ~(unsigned long)MS_RDONLY;
		if (streq(m->type, "proc") && proc_tree >= 0)
			r = mount_move(proc_tree, fd);
		else
			r = mount(m->type, fd_path(fd, path), m->type, flags, m->data);
		if (r < 0 && !m->optional)
			child_fail(ch, errno, KIND_RUN, "mount %s on \"%s\"", m->type, m->target);
		close(fd);
	}
}

/* A privileged container sees the devices of the host, as they are now. */
static void dev_copy(int from, int to, int depth)
{
	static const char *const skip[] = { "pts",     "shm",  "mqueue",      "fd",
					    "console", ".lxc", ".lxd-mounts", ".udev" };
	DIR *dir = fdopendir(from);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		struct stat st;
		bool skipped = d->d_name[0] == '.' && (!d->d_name[1] || streq(d->d_name, ".."));

		for (size_t i = 0; i < ARRAY_SIZE(skip); i++)
			skipped |= streq(d->d_name, skip[i]);
		if (skipped || fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && depth > 0) {
			int sub = openat(dirfd(dir), d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), sub_to;

			(void)mkdirat(to, d->d_name, 0755);
			sub_to = openat(to, d->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			if (sub >= 0 && sub_to >= 0)
				dev_copy(take_fd(&sub), sub_to, depth - 1);
			close_fd(sub);
			close_fd(sub_to);
		} else if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
			if (mknodat(to, d->d_name, st.st_mode, st.st_rdev) == 0) {
				(void)!fchownat(to, d->d_name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW);
				(void)!fchmodat(to, d->d_name, st.st_mode & 07777, 0);
			}
		}
	}
	if (dir)
		closedir(dir);
	else
		close_fd(from);
}

/* Nobody makes devices in a user namespace: those of the host are bound in their place. */
static int dev_trees[ARRAY_SIZE(devices)];

static void dev_clone_all(const struct child *ch)
{
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		char path[32];
		int fd;

		snprintf(path, sizeof(path), "/dev/%s", devices[i].name);
		fd = child_open_dev(ch, path, O_PATH, makedev(devices[i].major, devices[i].minor));
		dev_trees[i] = mount_clone(fd, false);
		if (dev_trees[i] < 0)
			child_fail(ch, errno, KIND_CREATE, "clone device %s", path);
		close(fd);
	}
}

static void dev_attach(const struct child *ch, int dev, size_t i)
{
	_cleanup_close_ int fd = openat(dev, devices[i].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || mount_move(dev_trees[i], fd) < 0)
		child_fail(ch, errno, KIND_RUN, "bind device /dev/%s", devices[i].name);
	close(dev_trees[i]);
}

static void dev_fill(const struct child *ch, int root)
{
	int dev = path_open_in_root(root, "/dev", O_RDONLY | O_DIRECTORY, 0);

	if (dev < 0)
		child_fail(ch, -dev, KIND_RUN, "open the container's /dev");
	for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
		const struct device *d = &devices[i];

		if (keeper.user_fd >= 0)
			dev_attach(ch, dev, i);
		else if (mknodat(dev, d->name, S_IFCHR | 0666, makedev(d->major, d->minor)) < 0 ||
		    fchmodat(dev, d->name, 0666, 0) < 0)
			child_fail(ch, errno, KIND_RUN, "make device /dev/%s", d->name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(dev_links); i++)
		if (symlinkat(dev_links[i].to, dev, dev_links[i].name) < 0)
			child_fail(ch, errno, KIND_RUN, "make link /dev/%s", dev_links[i].name);
	if (ch->spec.flags & SPEC_PRIVILEGED) {
		int host = open("/dev", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (host >= 0)
			dev_copy(host, dev, DEV_DEPTH);
	}
	close(dev);
}

static void shm_mount(const struct child *ch, int root, int tree)
{
	int fd = target_dir(ch, root, "/dev/shm");

	if (mount_move(tree, fd) < 0)
		child_fail(ch, errno, KIND_RUN, "mount the pod's shared memory on \"/dev/shm\"");
	close(fd);
	close(tree);
}

static void volume_flags(const struct child *ch, const struct spec_mount *m)
{
	unsigned long how = m->flags & MOUNT_SHARED  ? MS_SHARED
			    : m->flags & MOUNT_SLAVE ? MS_SLAVE
						     : MS_PRIVATE;

	if (mount_set_propagation(m->tree, how) < 0)
		child_fail(ch, errno, KIND_RUN, "set propagation of the mount at \"%s\"", m->target);
	if ((m->flags & (MOUNT_READ_ONLY | MOUNT_READ_ONLY_REC)) &&
	    mount_set_read_only(m->tree, m->flags & MOUNT_READ_ONLY_REC) < 0)
		child_fail(ch, errno, KIND_RUN, "make the mount at \"%s\" read-only", m->target);
}

static void volume_tmpfs(const struct child *ch, int root, const struct spec_mount *m)
{
	unsigned long flags = MS_NOSUID | MS_NODEV | (m->flags & MOUNT_READ_ONLY ? MS_RDONLY : 0);
	int fd = target_dir(ch, root, m->target);
	char data[64], path[32];

	snprintf(data, sizeof(data), m->size > 0 ? "mode=1777,size=%lld" : "mode=1777", (long long)m->size);
	if (mount("tmpfs", fd_path(fd, path), "tmpfs", flags, data) < 0)
		child_fail(ch, errno, KIND_RUN, "mount tmpfs on \"%s\"", m->target);
	close(fd);
}

static void volumes_mount(const struct child *ch, int root)
{
	for (size_t i = 0; i < ch->spec.mounts.n; i++) {
		const struct spec_mount *m = &ch->spec.mounts.v[i];
		struct stat st;
		int fd;

		if (m->flags & MOUNT_TMPFS) {
			volume_tmpfs(ch, root, m);
			continue;
		}
		if (fstat(m->tree, &st) < 0)
			child_fail(ch, errno, KIND_RUN, "stat \"%s\"", m->source);
		fd = S_ISDIR(st.st_mode) ? target_dir(ch, root, m->target) : target_file(ch, root, m->target);
		if (mount_move(m->tree, fd) < 0)
			child_fail(ch, errno, KIND_RUN, "error mounting \"%s\" to rootfs at \"%s\"",
				   m->source, m->target);
		volume_flags(ch, m);
		close(fd);
		close(m->tree);
	}
}

static int shm_clone(const struct child *ch)
{
	int fd = open(keeper.share & SHARE_IPC ? "/dev/shm" : "/", O_PATH | O_DIRECTORY | O_CLOEXEC),
	    tree = -1;

	if (fd >= 0)
		tree = mount_clone(fd, false);
	if (tree < 0)
		child_fail(ch, errno, KIND_CREATE, "clone the pod's shared memory");
	close(fd);
	return tree;
}

static int root_open(const struct child *ch)
{
	char *path = xasprintf("%s/containers/%s/root", keeper.dir, ch->start->c->id);
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || mount_set_propagation(fd, MS_PRIVATE) < 0)
		child_fail(ch, errno, KIND_CREATE, "open \"%s\"", path);
	free(path);
	return fd;
}

static void proc_prepare(const struct child *ch)
{
	_cleanup_close_ int fs = mount_fsopen("proc");

	if (fs < 0 || mount_fscreate(fs) < 0 ||
	    (proc_tree = mount_fsmount(fs, MS_NOSUID | MS_NODEV | MS_NOEXEC)) < 0)
		child_fail(ch, errno, KIND_CREATE, "prepare the container's /proc");
}

void rootfs_become_inner(const struct child *ch)
{
	if (setns(keeper.user_fd, CLONE_NEWUSER) < 0 || setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 ||
	    setresuid(0, 0, 0) < 0)
		child_fail(ch, errno, KIND_CREATE, "enter the pod's user namespace");
}

/* With the host's privileges all is ready. Into the pod's user namespace, and a mount
 * namespace that belongs to it: the copies of the host's mounts are locked in there, so
 * the root comes along as a clone, and goes on top of its own copy. */
static int users_enter(const struct child *ch, int root)
{
	int tree = mount_clone(root, false), at;

	dev_clone_all(ch);
	proc_prepare(ch);
	if (tree < 0 || fchdir(root) < 0)
		child_fail(ch, errno, KIND_CREATE, "clone the root file system");
	close(root);
	rootfs_become_inner(ch);
	if (unshare(CLONE_NEWNS | (ch->spec.flags & SPEC_CGROUPNS ? CLONE_NEWCGROUP : 0)) < 0)
		child_fail(ch, errno, KIND_CREATE, "make a mount namespace");
	at = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (at < 0 || mount_move(tree, at) < 0)
		child_fail(ch, errno, KIND_CREATE, "attach the root file system");
	close(at);
	return tree;
}

void rootfs_enter(struct child *ch)
{
	bool inner = keeper.user_fd >= 0;

	int shm = keeper.share & SHARE_IPC ? -1 : shm_clone(ch), root;

	if (setns(keeper.host_mnt_fd, CLONE_NEWNS) < 0)
		child_fail(ch, errno, KIND_CREATE, "enter the host's mount namespace");
	rootfs_set_oom_adj(ch);
	if (shm < 0)
		shm = shm_clone(ch);
	sources_clone(ch);
	if (unshare(CLONE_NEWNS | (!inner && ch->spec.flags & SPEC_CGROUPNS ? CLONE_NEWCGROUP : 0)) < 0)
		child_fail(ch, errno, KIND_CREATE, "make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		child_fail(ch, errno, KIND_CREATE, "make mounts private");
	overlay_mount(ch);
	root = root_open(ch);
	if (inner)
		root = users_enter(ch, root);
	system_mount_all(ch, root);
	dev_fill(ch, root);
	shm_mount(ch, root, shm);
	volumes_mount(ch, root);
	if (fchdir(root) < 0 || mount_pivot() < 0)
		child_fail(ch, errno, KIND_CREATE, "pivot into the root file system");
	close(root);
}

/* Sources and targets by fd: a volume over /dev could have put links there. */
void rootfs_bind_console(const struct child *ch, int slave)
{
	_cleanup_close_ int at =
		open("/dev/console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0620);
	char from[32], to[32];

	if (at < 0 && errno == EEXIST)
		return; /* the pod brought its own */
	if (at < 0 || mount(fd_path(slave, from), fd_path(at, to), NULL, MS_BIND, NULL) < 0)
		child_fail(ch, errno, KIND_RUN, "bind the terminal on /dev/console");
}

static void path_mask(const struct child *ch, const char *path, int null)
{
	char from[32], to[32];
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	fd_path(fd, to);
	r = S_ISDIR(st.st_mode) ? mount("tmpfs", to, "tmpfs", MS_RDONLY, "size=0k")
				: mount(fd_path(null, from), to, NULL, MS_BIND, NULL);
	if (r < 0)
		child_fail(ch, errno, KIND_RUN, "mask \"%s\"", path);
}

static void path_set_read_only(const struct child *ch, const char *path)
{
	int fd;

	if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
		if (errno == ENOENT)
			return;
		child_fail(ch, errno, KIND_RUN, "bind \"%s\"", path);
	}
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || mount_set_read_only(fd, false) < 0)
		child_fail(ch, errno, KIND_RUN, "make \"%s\" read-only", path);
	close(fd);
}

void rootfs_protect(const struct child *ch)
{
	if (!(ch->spec.flags & (SPEC_PRIVILEGED | SPEC_UNMASK_PROC))) {
		_cleanup_close_ int null = child_open_dev(ch, "/dev/null", O_PATH, makedev(1, 3));

		for (size_t i = 0; i < ARRAY_SIZE(masked_paths); i++)
			path_mask(ch, masked_paths[i], null);
		for (size_t i = 0; i < ARRAY_SIZE(read_only_paths); i++)
			path_set_read_only(ch, read_only_paths[i]);
	}
	if (ch->spec.flags & SPEC_READ_ONLY) {
		int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0 || mount_set_read_only(fd, false) < 0)
			child_fail(ch, errno, KIND_RUN, "make the root file system read-only");
		close(fd);
	}
}
