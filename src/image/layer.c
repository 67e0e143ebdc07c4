/*
 * One layer: a tar stream, plain or compressed, into a directory that will be
 * an overlayfs lower directory.
 *
 * Whiteouts become what overlayfs understands: ".wh.NAME" a character device
 * 0:0 called NAME, ".wh..wh..opq" the attribute trusted.overlay.opaque on its
 * directory; a whiteout of what no lower layer has becomes nothing, for overlayfs
 * would show it in a directory that only this layer has. Every name is resolved
 * inside the image; ".." is refused. Device nodes are refused, except below dev/,
 * where the runtime mounts its own and they are left out. The stream is hashed as
 * it is read: a layer whose diff ID is another fails whole.
 *
 * As with containerd, who unpacks onto the image's mounted lower layers, a
 * directory that the tar does not name is that of the layers below (its owner,
 * its mode, or where it leads when it is a link), and a hard link's target may be
 * there: it is copied up. What is made of such a layer depends on those below it;
 * *ret_depends says so.
 *
 * For each of many small files there are few system calls: the last parent
 * directory is kept open, owners and modes are set only when they differ from
 * what a new file has.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/path.h"
#include "image/layer.h"
#include "image/libarchive.h"

#define LAYER_TIMES_MAX 500000 /* directories whose times are remembered: beyond, they are those of unpacking */
#define LAYER_COPY_BLOCK (64 << 10)

struct layer_time {
	char *dir;
	struct timespec mtime;
};

struct layer {
	struct layer_stream *in;
	struct archive *tar;
	int dir;
	struct layer_view view;
	struct layer_limits *lim;
	bool depends;
	char *parent_name; /* the directory that was used last; NULL: none */
	int parent;
	gid_t parent_gid;
	VEC(struct layer_time) times; /* files made in a directory change its time: set at the end */
};

/* --- reading --- */

static la_ssize_t layer_read(struct archive *a, void *arg, const void **buffer)
{
	struct layer *l = arg;
	ssize_t n = layer_stream_read(l->in, buffer);

	if (n < 0) {
		la.archive_set_error(a, EIO, "%s", layer_stream_error(l->in));
		return ARCHIVE_FATAL;
	}
	return n;
}

static int layer_err(struct layer *l, struct err *e)
{
	const char *text = layer_stream_error(l->in);

	text = text ? text : la.archive_error_string(l->tar);
	return err_set(e, ERR_BAD_REQUEST, "the layer can't be read: %s", text ? text : "damaged archive");
}

static int layer_open(struct layer *l, int fd, struct err *e)
{
	l->in = layer_stream_open(fd, &l->lim->stream_left);
	l->tar = la.archive_read_new();
	la.archive_read_support_format_tar(l->tar);
	la.archive_read_support_format_empty(l->tar);
	if (la.archive_read_open(l->tar, l, NULL, layer_read, NULL) != ARCHIVE_OK)
		return layer_err(l, e);
	return 0;
}

static int layer_take_bytes(struct layer *l, int64_t size, struct err *e)
{
	if (size < 0 || size > l->lim->bytes_left)
		return err_set(e, ERR_TOO_LARGE, "the layer's content is larger than the limit of %llu GiB",
			       LIMIT_IMAGE_UNPACKED_BYTES >> 30);
	l->lim->bytes_left -= size;
	return 0;
}

/* --- names --- */

/* Cleans a member's name: no leading "/" or "./", no empty or "." parts; false for ".." and too long ones. */
static bool layer_name(const char *raw, struct buf *out)
{
	struct str rest = str_of(raw);

	buf_clear(out);
	if (!raw || rest.n > LAYER_NAME_MAX)
		return false;
	while (rest.p) {
		struct str part = str_cut(&rest, '/');

		if (!part.n || str_eqc(part, "."))
			continue;
		if (str_eqc(part, ".."))
			return false;
		if (out->len)
			buf_addch(out, '/');
		buf_addstr(out, part);
	}
	return true;
}

/* "a/.wh..wh.plnk/x": what AUFS kept for itself. */
static bool layer_is_aufs(const char *name)
{
	struct str rest = str_of(name);

	while (rest.p) {
		struct str part = str_cut(&rest, '/');

		if (str_starts(part, STR_LIT(".wh..wh.")) && (rest.p || !str_eqc(part, ".wh..wh..opq")))
			return true;
	}
	return false;
}

/* --- directories --- */

static void layer_forget_parent(struct layer *l)
{
	l->parent_name = free_null(l->parent_name);
	l->parent = close_fd(l->parent);
}

static void layer_remember_time(struct layer *l, const char *dir, struct timespec mtime)
{
	if (l->times.n < LAYER_TIMES_MAX)
		VEC_PUSH(&l->times, ((struct layer_time){ xstrdup(dir), mtime }));
}

static int layer_set_opaque_at(int parent, const char *dir)
{
	_cleanup_close_ int fd = openat(parent, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0 ? -errno : 0;
}

/* As the directory of that name in the layers below, if there is one. */
static void layer_dir_like_below(struct layer *l, int fd, const char *path)
{
	_cleanup_(layer_place_release) struct layer_place p = { .parent = -1 };
	struct layer_view v = l->view;
	_cleanup_close_ int from = -1;

	v.own = -1;
	if (layer_find(&v, path, &p) < 0 || !S_ISDIR(p.st.st_mode))
		return;
	from = openat(p.parent, p.base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return;
	(void)!fchown(fd, p.st.st_uid, p.st.st_gid);
	(void)!fchmod(fd, p.st.st_mode & 07777);
	layer_xattrs_copy(from, fd);
	layer_remember_time(l, path, p.st.st_mtim);
}

/* The directory at the whole of path, in the one at `parent`; made when missing. fd or -errno. */
static int layer_step(struct layer *l, int parent, const char *path)
{
	const char *name = path_base(path);
	bool was_whiteout = false, made;
	struct stat st;
	int fd;

	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && layer_stat_is_whiteout(&st)) {
		was_whiteout = true;
		if (unlinkat(parent, name, 0) < 0)
			return -errno;
	}
	made = mkdirat(parent, name, 0755) == 0;
	if (!made && errno != EEXIST)
		return -errno;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (was_whiteout)
		(void)!fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0);
	else if (made)
		layer_dir_like_below(l, fd, path);
	return fd;
}

/* A directory that this layer's tar has not named (yet). fd or -errno. */
static int layer_dirs(struct layer *l, const char *dir)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	int r = layer_resolve(&l->view, dir, &path), fd;

	l->depends = true;
	if (r < 0)
		return r;
	fd = openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 1; i <= path.len && fd >= 0; i++) {
		char c = path.s[i];
		int next;

		if (c && c != '/')
			continue;
		path.s[i] = '\0';
		next = layer_step(l, fd, path.s);
		path.s[i] = c;
		close(fd);
		fd = next;
	}
	return fd;
}

/* The directory of a clean name, made when missing; *base is the last part. Borrowed fd, or -errno. */
static int layer_parent(struct layer *l, const char *name, const char **base)
{
	const char *slash = strrchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;
	struct stat st;
	int fd;

	*base = slash ? slash + 1 : name;
	if (l->parent_name && strncmp(l->parent_name, name, n) == 0 && !l->parent_name[n])
		return l->parent;
	layer_forget_parent(l);
	l->parent_name = xmemdupz(name, n);
	fd = path_open_in_root(l->dir, n ? l->parent_name : ".", O_RDONLY | O_DIRECTORY, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		fd = layer_dirs(l, l->parent_name);
	if (fd < 0) {
		l->parent_name = free_null(l->parent_name);
		return fd;
	}
	l->parent = fd;
	l->parent_gid = fstat(fd, &st) == 0 ? st.st_gid : (gid_t)-1;
	return fd;
}

static int layer_times(struct layer *l)
{
	for (size_t i = 0; i < l->times.n; i++) {
		struct layer_time *t = &l->times.v[i];
		_cleanup_close_ int fd = path_open_in_root(l->dir, t->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
		struct timespec both[2] = { t->mtime, t->mtime };

		if (fd >= 0)
			(void)futimens(fd, both);
	}
	return 0;
}

/* --- content --- */

/* What has the name in this layer goes. 1: something other than a directory was there, 0: nothing, or a directory
 * that stays (want_dir); -errno. */
static int layer_clear_place(struct layer *l, int parent, const char *base, bool want_dir)
{
	struct stat st;
	int r;

	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode) && want_dir)
		return 0;
	r = path_remove_at(parent, base);
	l->parent_name = free_null(l->parent_name); /* it may have been reached through this one */
	return r < 0 ? r : 1;
}

static bool layer_all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Zeros become holes: a file of nothing takes no disk. */
static int layer_write_data(struct layer *l, int fd, const char *name, int64_t size, struct err *e)
{
	int64_t end = 0;
	const void *p;
	size_t n;
	la_int64_t at;
	int rc;

	if (layer_take_bytes(l, size, e) < 0)
		return -e->code;
	errno = 0;
	while ((rc = la.archive_read_data_block(l->tar, &p, &n, &at)) == ARCHIVE_OK) {
		if (at < 0 || at > size || (int64_t)n > size - at)
			return err_set(e, ERR_BAD_REQUEST, "the layer's file '%s' is longer than its header says", name);
		if (layer_all_zero(p, n))
			continue;
		if (pwrite(fd, p, n, at) != (ssize_t)n)
			return err_errno(e, errno ? errno : ENOSPC, "write '%s'", name);
		end = at + (int64_t)n > end ? at + (int64_t)n : end;
	}
	if (rc != ARCHIVE_EOF)
		return layer_err(l, e);
	if (end != size && ftruncate(fd, size) < 0)
		return err_errno(e, errno, "write '%s'", name);
	return 0;
}

static void layer_xattrs(int fd, struct archive_entry *entry)
{
	const char *name;
	const void *value;
	size_t n;

	la.archive_entry_xattr_reset(entry);
	while (la.archive_entry_xattr_next(entry, &name, &value, &n) == ARCHIVE_OK)
		if (layer_xattr_wanted(name))
			(void)!fsetxattr(fd, name, value, n, 0); /* file systems without them do without */
}

static struct timespec layer_mtime(struct archive_entry *entry)
{
	return (struct timespec){ .tv_sec = la.archive_entry_mtime(entry), .tv_nsec = la.archive_entry_mtime_nsec(entry) };
}

static int layer_owner(int parent, const char *base, struct archive_entry *entry, bool link)
{
	struct timespec t[2] = { layer_mtime(entry), layer_mtime(entry) };

	if (fchownat(parent, base, (uid_t)la.archive_entry_uid(entry), (gid_t)la.archive_entry_gid(entry),
		     AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!link && fchmodat(parent, base, la.archive_entry_perm(entry) & 07777, 0) < 0)
		return -errno;
	(void)utimensat(parent, base, t, AT_SYMLINK_NOFOLLOW);
	return 0;
}

/* Of a file that was just made with that mode: umask, and a parent of another group, are what may differ. */
static int layer_file_owner(struct layer *l, int fd, struct archive_entry *entry)
{
	struct timespec t[2] = { layer_mtime(entry), layer_mtime(entry) };
	mode_t mode = la.archive_entry_perm(entry) & 07777;
	uid_t uid = (uid_t)la.archive_entry_uid(entry);
	gid_t gid = (gid_t)la.archive_entry_gid(entry);

	if ((uid != 0 || gid != 0 || l->parent_gid != 0) && fchown(fd, uid, gid) < 0)
		return -errno;
	if ((mode & 07022) && fchmod(fd, mode) < 0)
		return -errno;
	(void)futimens(fd, t);
	return 0;
}

static int layer_file(struct layer *l, int parent, const char *base, const char *name, struct archive_entry *entry,
		      struct err *e)
{
	_cleanup_close_ int fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
					la.archive_entry_perm(entry) & 0755);
	int r;

	if (fd < 0)
		return err_errno(e, errno, "make '%s'", name);
	if (layer_write_data(l, fd, name, la.archive_entry_size(entry), e) < 0)
		return -e->code;
	r = layer_file_owner(l, fd, entry);
	if (r < 0)
		return err_errno(e, -r, "set the owner of '%s'", name);
	layer_xattrs(fd, entry); /* after the owner: a change of that takes capabilities away */
	return 0;
}

/* --- hard links --- */

static int layer_copy_data(int from, int to, int64_t size)
{
	_cleanup_free_ char *block = xmalloc(LAYER_COPY_BLOCK);
	int64_t at = 0;
	ssize_t n;

	while ((n = pread(from, block, LAYER_COPY_BLOCK, at)) > 0) {
		if (!layer_all_zero(block, (size_t)n) && pwrite(to, block, (size_t)n, at) != n)
			return -(errno ? errno : ENOSPC);
		at += n;
	}
	return n < 0 || ftruncate(to, size) < 0 ? -errno : 0;
}

static int layer_copy_link(const struct layer_place *p, int parent, const char *base)
{
	char target[LAYER_NAME_MAX + 1];
	ssize_t n = readlinkat(p->parent, p->base, target, sizeof(target) - 1);

	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, parent, base) < 0 ||
			       fchownat(parent, base, p->st.st_uid, p->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0
		       ? -errno
		       : 0;
}

/* What a lower layer has, into this one: a link is to be made to it. */
static int layer_copy_up(struct layer *l, const struct layer_place *p, int parent, const char *base, struct err *e)
{
	struct timespec t[2] = { p->st.st_mtim, p->st.st_mtim };
	_cleanup_close_ int from = -1, to = -1;
	int r;

	if (S_ISLNK(p->st.st_mode)) {
		r = layer_copy_link(p, parent, base);
		return r < 0 ? err_errno(e, -r, "copy '%s'", base) : 0;
	}
	if (!S_ISREG(p->st.st_mode))
		return err_errno(e, S_ISDIR(p->st.st_mode) ? EISDIR : EINVAL, "copy '%s'", base);
	if (layer_take_bytes(l, p->st.st_size, e) < 0)
		return -e->code;
	from = openat(p->parent, p->base, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	to = from < 0 ? -1 : openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to < 0)
		return err_errno(e, errno, "copy '%s'", base);
	r = layer_copy_data(from, to, p->st.st_size);
	if (r == 0 && (fchown(to, p->st.st_uid, p->st.st_gid) < 0 || fchmod(to, p->st.st_mode & 07777) < 0))
		r = -errno;
	if (r < 0)
		return err_errno(e, -r, "copy '%s'", base);
	layer_xattrs_copy(from, to);
	(void)futimens(to, t);
	return 0;
}

/* The target's directory, and the target in it: copied from below when this layer does not have it. fd or < 0. */
static int layer_link_target(struct layer *l, const char *target, const char **base, struct err *e)
{
	_cleanup_(layer_place_release) struct layer_place p = { .parent = -1 };
	_cleanup_buf_ struct buf path = BUF_INIT;
	const char *slash = strrchr(target, '/');
	_cleanup_free_ char *dir = slash ? xmemdupz(target, (size_t)(slash - target)) : xstrdup("");
	_cleanup_close_ int fd = path_open_in_root(l->dir, *dir ? dir : ".", O_RDONLY | O_DIRECTORY, 0);
	struct stat st;
	int r;

	*base = slash ? slash + 1 : target;
	if (fd >= 0 && fstatat(fd, *base, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return layer_stat_is_whiteout(&st) ? err_errno(e, ENOENT, "find '%s'", target) : take_fd(&fd);
	l->depends = true;
	r = *dir ? layer_resolve(&l->view, dir, &path) : 0;
	if (r == 0) {
		buf_addf(&path, "%s%s", path.len ? "/" : "", *base);
		r = layer_find(&l->view, path.s, &p);
	}
	if (r < 0)
		return err_errno(e, -r, "find '%s'", target);
	close_fd(fd);
	fd = *dir ? layer_dirs(l, dir) : openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, *dir ? -fd : errno, "make the directory of '%s'", target);
	return layer_copy_up(l, &p, fd, *base, e) < 0 ? -e->code : take_fd(&fd);
}

static int layer_hardlink(struct layer *l, int parent, const char *base, const char *name, const char *raw_target,
			  struct err *e)
{
	_cleanup_buf_ struct buf target = BUF_INIT;
	_cleanup_close_ int dir = -1;
	const char *target_base;

	if (!layer_name(raw_target, &target) || !target.len)
		return err_set(e, ERR_BAD_REQUEST, "the layer's link '%s' points outside of the image ('%s')", name,
			       raw_target);
	dir = layer_link_target(l, target.s, &target_base, e);
	if (dir < 0)
		return err_wrap(e, "link '%s' to '%s'", name, target.s);
	if (linkat(dir, target_base, parent, base, 0) < 0)
		return err_errno(e, errno, "link '%s' to '%s'", name, target.s);
	return 0;
}

/* --- whiteouts --- */

/* Whether the layers below show something called base in name's directory. */
static bool layer_below_has(struct layer *l, const char *name, const char *base)
{
	_cleanup_(layer_place_release) struct layer_place p = { .parent = -1 };
	_cleanup_buf_ struct buf path = BUF_INIT;
	size_t n = (size_t)(path_base(name) - name);
	_cleanup_free_ char *dir = xmemdupz(name, n ? n - 1 : 0);

	l->depends = true;
	if (*dir && layer_resolve(&l->view, dir, &path) < 0)
		return false;
	buf_addf(&path, "%s%s", path.len ? "/" : "", base);
	return layer_find(&l->view, path.s, &p) == 0;
}

static int layer_whiteout(struct layer *l, int parent, const char *base, const char *name, struct err *e)
{
	struct stat st;
	int r = 0;

	if (streq(base, ".wh..wh..opq")) {
		r = layer_set_opaque_at(parent, ".");
		return r < 0 ? err_errno(e, -r, "mark the directory of '%s' opaque", name) : 0;
	}
	base += 4;
	if (!*base || streq(base, ".") || streq(base, ".."))
		return err_set(e, ERR_BAD_REQUEST, "the layer's whiteout '%s' names nothing", name);
	/* What this layer has there already is above what the whiteout is about: only the lower layers' goes. */
	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			r = layer_set_opaque_at(parent, base);
		return r < 0 ? err_errno(e, -r, "mark '%s' opaque", name) : 0;
	}
	if (layer_below_has(l, name, base) && mknodat(parent, base, S_IFCHR, makedev(0, 0)) < 0)
		return err_errno(e, errno, "make the whiteout '%s'", name);
	return 0;
}

/* --- members --- */

static int layer_dir(struct layer *l, int parent, const char *base, const char *name, struct archive_entry *entry,
		     struct err *e)
{
	_cleanup_close_ int fd = -1;

	if (mkdirat(parent, base, 0755) < 0 && errno != EEXIST)
		return err_errno(e, errno, "make '%s'", name);
	if (layer_owner(parent, base, entry, false) < 0)
		return err_errno(e, errno, "set the owner of '%s'", name);
	fd = openat(parent, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		layer_xattrs(fd, entry);
	layer_remember_time(l, name, layer_mtime(entry));
	return 0;
}

static int layer_make(struct layer *l, int parent, const char *base, const char *name, struct archive_entry *entry,
		      struct err *e)
{
	mode_t type = la.archive_entry_filetype(entry);
	const char *hardlink = la.archive_entry_hardlink(entry);
	int replaced = layer_clear_place(l, parent, base, type == S_IFDIR && !hardlink);

	if (replaced < 0)
		return err_errno(e, -replaced, "replace '%s'", name);
	if (hardlink)
		return layer_hardlink(l, parent, base, name, hardlink, e);
	switch (type) {
	case S_IFREG:
		return layer_file(l, parent, base, name, entry, e);
	case S_IFDIR:
		if (layer_dir(l, parent, base, name, entry, e) < 0)
			return -e->code;
		replaced = replaced ? layer_set_opaque_at(parent, base) : 0; /* nothing of the layers below shows through */
		return replaced < 0 ? err_errno(e, -replaced, "mark '%s' opaque", name) : 0;
	case S_IFLNK:
		if (symlinkat(la.archive_entry_symlink(entry), parent, base) < 0)
			return err_errno(e, errno, "make the link '%s'", name);
		break;
	case S_IFIFO:
		if (mknodat(parent, base, S_IFIFO | 0600, 0) < 0)
			return err_errno(e, errno, "make '%s'", name);
		break;
	default:
		if (starts_with(name, "dev/"))
			return 0;
		return err_set(e, ERR_BAD_REQUEST, "the layer holds the device node '%s', which is refused", name);
	}
	if (layer_owner(parent, base, entry, type == S_IFLNK) < 0)
		return err_errno(e, errno, "set the owner of '%s'", name);
	return 0;
}

/* The image's root: "./". */
static int layer_root(struct layer *l, struct archive_entry *entry, struct err *e)
{
	if (la.archive_entry_filetype(entry) != S_IFDIR)
		return 0;
	if (layer_owner(l->dir, ".", entry, false) < 0)
		return err_errno(e, errno, "set the owner of the image's root");
	layer_remember_time(l, ".", layer_mtime(entry));
	l->parent_name = free_null(l->parent_name); /* its group may be another now */
	return 0;
}

static int layer_entry(struct layer *l, struct archive_entry *entry, struct err *e)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	const char *base, *raw = la.archive_entry_pathname(entry);
	int parent;

	if (l->lim->entries_left-- <= 0)
		return err_set(e, ERR_TOO_LARGE, "the image has more than %d files", LIMIT_IMAGE_FILES);
	if (!layer_name(raw, &name))
		return err_set(e, ERR_BAD_REQUEST, "the layer's member '%.300s' %s", raw ? raw : "",
			       raw && strlen(raw) > LAYER_NAME_MAX ? "has too long a name" : "points outside of the image");
	if (!name.len)
		return layer_root(l, entry, e);
	if (layer_is_aufs(name.s))
		return 0;
	parent = layer_parent(l, name.s, &base);
	if (parent < 0)
		return err_errno(e, -parent, "make the directory of '%s'", name.s);
	if (starts_with(base, ".wh."))
		return layer_whiteout(l, parent, base, name.s, e);
	return layer_make(l, parent, base, name.s, entry, e);
}

static int layer_entries(struct layer *l, struct err *e)
{
	struct archive_entry *entry;
	int rc;

	while ((rc = la.archive_read_next_header(l->tar, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN)
		if (layer_entry(l, entry, e) < 0)
			return -e->code;
	return rc == ARCHIVE_EOF ? layer_times(l) : layer_err(l, e);
}

/* What follows the tar's end belongs to the diff ID too. */
static int layer_finish(struct layer *l, const char *diff_id, struct err *e)
{
	char got[DIGEST_TEXT_LEN + 1];
	const void *p;
	ssize_t n;

	while ((n = layer_stream_read(l->in, &p)) > 0)
		continue;
	if (n < 0)
		return layer_err(l, e);
	layer_stream_digest(l->in, got);
	if (!streq(got, diff_id))
		return err_set(e, ERR_BAD_REQUEST, "the layer's content is not what the image says: its digest is %s, not %s",
			       got, diff_id);
	return 0;
}

int layer_unpack(int blob_fd, int dir_fd, const char *diff_id, const struct layer_below *below,
		 struct layer_limits *lim, bool *ret_depends, struct err *e)
{
	struct layer l = { .dir = dir_fd, .view = { dir_fd, below }, .lim = lim, .parent = -1 };
	int rc;

	rc = layer_open(&l, blob_fd, e);
	if (rc == 0)
		rc = layer_entries(&l, e);
	if (rc == 0)
		rc = layer_finish(&l, diff_id, e);
	*ret_depends = l.depends;
	la.archive_read_free(l.tar);
	layer_stream_close(l.in);
	layer_forget_parent(&l);
	for (size_t i = 0; i < l.times.n; i++)
		free(l.times.v[i].dir);
	VEC_RELEASE(&l.times);
	return rc;
}
