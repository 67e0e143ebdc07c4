/*
 * Files and paths.
 *
 * Paths that a container or an image chose are resolved by the kernel, below a
 * directory's descriptor (openat2 with RESOLVE_IN_ROOT): symbolic links, ".."
 * and races with processes that swap them cannot lead out. Removal works with
 * descriptors as well, follows nothing, and stops at a mount point: a volume
 * that could not be unmounted keeps its data.
 */
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/rand.h"

#define PATH_DEPTH_MAX 32 /* descriptors that a removal holds open */

static int path_openat2(int dirfd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode : 0,
		.resolve = resolve,
	};
	int fd;

	/* EAGAIN: somewhere a directory was renamed just then, and ".." could not be trusted. */
	for (int tries = 0; tries < 64; tries++) {
		fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : fd;
}

int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode)
{
	return path_openat2(rootfd, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

/* --- names --- */

char *path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	while (n > 0 && a[n - 1] == '/')
		n--;
	while (*b == '/')
		b++;
	return xasprintf("%.*s/%s", (int)n, a, b);
}

const char *path_base(const char *p)
{
	const char *slash = strrchr(p, '/');

	return slash ? slash + 1 : p;
}

bool path_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* --- directories --- */

static bool path_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int path_mkdir_one(const char *path, mode_t mode)
{
	if (mkdir(path, mode) == 0 || (errno == EEXIST && path_is_dir(path)))
		return 0;
	return errno == EEXIST ? -ENOTDIR : -errno;
}

int path_mkdirs(const char *path, mode_t mode, struct err *e)
{
	_cleanup_free_ char *part = xstrdup(path);
	int r = path_mkdir_one(path, mode);

	if (r != -ENOENT)
		return r < 0 ? err_errno(e, -r, "make directory '%s'", path) : 0;
	for (char *q = part; *q; q++) {
		if (q == part || *q != '/' || q[-1] == '/')
			continue;
		*q = '\0';
		r = path_mkdir_one(part, mode);
		if (r < 0)
			return err_errno(e, -r, "make directory '%s'", part);
		*q = '/';
	}
	r = path_mkdir_one(path, mode);
	return r < 0 ? err_errno(e, -r, "make directory '%s'", path) : 0;
}

/* Makes the last component of `path` (which the caller cut to there) and opens it. */
static int path_mkdir_in_root(int rootfd, const char *path, mode_t mode)
{
	_cleanup_close_ int parent = -1;
	const char *name = path_base(path);
	_cleanup_free_ char *up = xmemdupz(path, name - path);

	parent = path_open_in_root(rootfd, *up ? up : ".", O_PATH | O_DIRECTORY, 0);
	if (parent < 0)
		return parent;
	if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
		return -errno;
	return path_open_in_root(rootfd, path, O_PATH | O_DIRECTORY, 0);
}

int path_mkdirs_in_root(int rootfd, const char *path, mode_t mode)
{
	_cleanup_free_ char *part = NULL;
	int fd;

	while (*path == '/')
		path++;
	fd = path_open_in_root(rootfd, *path ? path : ".", O_PATH | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;
	part = xstrdup(path);
	for (char *q = part;; q++) {
		char c = *q;

		if ((c && c != '/') || q[-1] == '/') {
			if (!c)
				break;
			continue;
		}
		*q = '\0';
		close_fd(fd);
		fd = path_open_in_root(rootfd, part, O_PATH | O_DIRECTORY, 0);
		if (fd == -ENOENT)
			fd = path_mkdir_in_root(rootfd, part, mode);
		*q = c;
		if (fd < 0 || !c)
			break;
	}
	return fd;
}

/* --- whole files --- */

static int path_read_fd(int fd, size_t max, struct buf *out)
{
	size_t before = out->len, room = 4096;
	struct stat st;

	if (max > SIZE_MAX / 2)
		max = SIZE_MAX / 2;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) && st.st_size > 0)
		room = (size_t)st.st_size + 1;
	for (;;) {
		size_t have = out->len - before;
		ssize_t n;

		if (have > max)
			return -EFBIG;
		if (room > max - have + 1)
			room = max - have + 1; /* one more than allowed, to notice it */
		buf_reserve(out, room);
		n = fd_read_all(fd, out->s + out->len, room);
		if (n < 0)
			return (int)n;
		out->len += n;
		out->s[out->len] = '\0';
		if ((size_t)n < room)
			return out->len - before > max ? -EFBIG : 0;
		room = 65536;
	}
}

int path_read_at(int dirfd, const char *path, size_t max, struct buf *out, struct err *e)
{
	/* Non-blocking: the name may turn out to be a FIFO that nobody writes. */
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	size_t before = out->len;
	int r;

	if (fd < 0)
		return err_errno(e, errno, "open '%s'", path);
	r = path_read_fd(fd, max, out);
	if (r == 0)
		return 0;
	buf_truncate(out, before);
	if (r == -EFBIG)
		return err_errno(e, EFBIG, "read '%s' (at most %zu bytes)", path, max);
	return err_errno(e, -r, "read '%s'", path);
}

int path_read(const char *path, size_t max, struct buf *out, struct err *e)
{
	return path_read_at(AT_FDCWD, path, max, out, e);
}

int path_write(const char *path, struct str data, mode_t mode, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, mode);
	int r;

	if (fd < 0)
		return err_errno(e, errno, "open '%s'", path);
	r = fd_write_all(fd, data.p, data.n);
	if (r < 0)
		return err_errno(e, -r, "write '%s'", path);
	return 0;
}

static int path_write_new(int fd, struct str data, mode_t mode)
{
	int r = fd_write_all(fd, data.p, data.n);

	if (r < 0)
		return r;
	if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int path_write_atomic(const char *path, struct str data, mode_t mode, struct err *e)
{
	_cleanup_free_ char *dir = NULL, *tmp = NULL;
	_cleanup_close_ int dirfd = -1, fd = -1;
	const char *name = path_base(path);
	char suffix[9];
	int r;

	dir = name == path ? xstrdup(".") : xmemdupz(path, name - path);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return err_errno(e, errno, "open directory '%s'", dir);
	rand_suffix(suffix, sizeof(suffix) - 1);
	tmp = xasprintf(".%s.%s", name, suffix);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, errno, "make '%s'", path);
	r = path_write_new(fd, data, mode);
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dirfd, tmp, 0);
		return err_errno(e, -r, "write '%s'", path);
	}
	if (fsync(dirfd) < 0)
		return err_errno(e, errno, "write '%s': make the directory durable", path);
	return 0;
}

/* --- removal --- */

struct path_removal {
	int top; /* the tree's uppermost directory */
	unsigned moved; /* directories that were brought up there */
	struct buf where; /* names from the top down, for the message */
};

static int path_remove_dir(struct path_removal *r, int parent, const char *name, int depth);

/*
 * A tree may be deeper than there are descriptors (a container can make it so).
 * At the limit a directory is brought up to the top, where it is found again.
 */
static int path_bring_up(struct path_removal *r, int parent, const char *name)
{
	char to[64];

	do {
		snprintf(to, sizeof(to), ".removed-%u", r->moved++);
		if (syscall(SYS_renameat2, parent, name, r->top, to, 1 /* RENAME_NOREPLACE */) == 0)
			return 0;
	} while (errno == EEXIST);
	return errno == EXDEV ? -EBUSY : -errno;
}

static int path_remove_entry(struct path_removal *r, int dir, const struct dirent *d, int depth)
{
	if (d->d_type != DT_DIR) {
		if (unlinkat(dir, d->d_name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR)
			return -errno;
	}
	return path_remove_dir(r, dir, d->d_name, depth);
}

static int path_remove_content(struct path_removal *r, DIR *d, int depth)
{
	struct dirent *ent;
	int ret = 0;

	rewinddir(d);
	while (ret == 0 && (errno = 0, ent = readdir(d))) {
		size_t before = r->where.len;

		if (streq(ent->d_name, ".") || streq(ent->d_name, ".."))
			continue;
		buf_addf(&r->where, "/%s", ent->d_name);
		ret = path_remove_entry(r, dirfd(d), ent, depth);
		if (ret == 0)
			buf_truncate(&r->where, before);
	}
	return ret == 0 ? -errno : ret;
}

static int path_remove_dir(struct path_removal *r, int parent, const char *name, int depth)
{
	int fd, ret;
	DIR *d;

	if (depth >= PATH_DEPTH_MAX) {
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0)
			return 0;
		return path_bring_up(r, parent, name);
	}
	fd = path_openat2(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0,
			  RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd == -EXDEV ? -EBUSY : fd;
	d = fdopendir(fd);
	if (!d) {
		close_fd(fd);
		return -ENOMEM;
	}
	if (r->top < 0)
		r->top = fd;
	/* Again as long as entries come to light: moved up, or new ones of a process that still lives. */
	for (int tries = 0;; tries++) {
		unsigned moved = r->moved;

		ret = path_remove_content(r, d, depth + 1);
		if (ret < 0 || unlinkat(parent, name, AT_REMOVEDIR) == 0)
			break;
		if (r->top == fd && r->moved != moved)
			tries = 0;
		if ((errno != ENOTEMPTY && errno != EEXIST) || tries > 8) {
			ret = errno == ENOENT ? 0 : -errno;
			break;
		}
	}
	closedir(d);
	return ret;
}

/* The tree's parent directory, opened, and its name in there. */
static int path_split(const char *path, char **ret_name)
{
	_cleanup_free_ char *copy = xstrdup(path), *dir = NULL;
	size_t n = strlen(copy);
	const char *name;
	int fd;

	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	name = path_base(copy);
	if (!*name || streq(name, ".") || streq(name, ".."))
		return -EINVAL;
	dir = name == copy ? xstrdup(".") : xmemdupz(copy, name - copy);
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_name = xstrdup(name);
	return fd;
}

int path_remove_at(int dirfd, const char *name)
{
	struct path_removal r = { .top = -1, .where = BUF_INIT };
	int ret;

	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	ret = errno == EISDIR ? path_remove_dir(&r, dirfd, name, 0) : -errno;
	buf_release(&r.where);
	return ret;
}

int path_remove_tree(const char *path, struct err *e)
{
	struct path_removal r = { .top = -1, .where = BUF_INIT };
	_cleanup_free_ char *name = NULL;
	_cleanup_close_ int parent = path_split(path, &name);
	int ret;

	if (parent == -ENOENT)
		return 0;
	if (parent < 0)
		return err_errno(e, -parent, "remove '%s'", path);
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	ret = errno == EISDIR ? path_remove_dir(&r, parent, name, 0) : -errno;
	if (ret == -EBUSY)
		ret = err_errno(e, EBUSY, "remove '%s%s' (something is mounted there)", path, r.where.s);
	else if (ret < 0)
		ret = err_errno(e, -ret, "remove '%s%s'", path, r.where.s);
	buf_release(&r.where);
	return ret;
}

/* --- descriptors --- */

static int fd_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int fd_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t did = write(fd, at, n);

		if (did >= 0) {
			at += did;
			n -= did;
		} else if (errno == EAGAIN) {
			int r = fd_wait(fd, POLLOUT);

			if (r < 0)
				return r;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

ssize_t fd_read_all(int fd, void *p, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t did = read(fd, (char *)p + have, n - have);

		if (did == 0)
			break;
		if (did > 0)
			have += did;
		else if (errno != EINTR)
			return -errno;
	}
	return (ssize_t)have;
}

static int fd_set_flag(int fd, int get, int set, int flag, bool on)
{
	int flags = fcntl(fd, get);

	if (flags < 0)
		return -errno;
	return fcntl(fd, set, on ? flags | flag : flags & ~flag) < 0 ? -errno : 0;
}

int fd_set_nonblock(int fd, bool on)
{
	return fd_set_flag(fd, F_GETFL, F_SETFL, O_NONBLOCK, on);
}

int fd_set_cloexec(int fd, bool on)
{
	return fd_set_flag(fd, F_GETFD, F_SETFD, FD_CLOEXEC, on);
}

int path_lock(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return take_fd(&fd);
}

/* A mount point as mountinfo has it: blanks and the like as octal numbers. */
static bool mounted_is(const char *field, size_t n, const char *path)
{
	size_t at = 0;

	for (size_t i = 0; i < n; at++) {
		int c = (unsigned char)field[i];

		if (c == '\\' && i + 3 < n) {
			c = (field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 + (field[i + 3] - '0');
			i += 4;
		} else {
			i++;
		}
		if ((unsigned char)path[at] != c)
			return false;
	}
	return path[at] == '\0';
}

bool path_is_mounted(const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *at;
	size_t cap = 0;
	bool hit = false;

	while (f && !hit && getline(&line, &cap, f) > 0) {
		at = line;
		for (int i = 0; i < 4 && at; i++) {
			at = strchr(at, ' ');
			at = at ? at + 1 : NULL;
		}
		hit = at && mounted_is(at, strcspn(at, " "), path);
	}
	free(line);
	if (f)
		fclose(f);
	return hit;
}

#define USAGE_DEPTH 200 /* each level holds a file descriptor; what is deeper does not count */

static int usage_at(int dirfd, const char *name, dev_t dev, unsigned depth, int64_t *bytes, int64_t *inodes)
{
	struct stat st;
	struct dirent *ent;
	DIR *d;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return errno == ENOENT ? 0 : -errno; /* it went meanwhile */
	if (st.st_dev != dev)
		return 0;
	*bytes += (int64_t)st.st_blocks * 512 / (S_ISDIR(st.st_mode) || st.st_nlink < 2 ? 1 : (int64_t)st.st_nlink);
	++*inodes;
	if (!S_ISDIR(st.st_mode) || depth >= USAGE_DEPTH)
		return 0;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((ent = readdir(d)) != NULL)
		if (strcmp(ent->d_name, ".") != 0 && strcmp(ent->d_name, "..") != 0)
			(void)usage_at(fd, ent->d_name, dev, depth + 1, bytes, inodes);
	closedir(d);
	return 0;
}

int path_usage(const char *path, int64_t *bytes, int64_t *inodes)
{
	struct stat st;

	*bytes = *inodes = 0;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	return usage_at(AT_FDCWD, path, st.st_dev, 0, bytes, inodes);
}
