/*
 * One layer: a tar stream, plain or compressed, into a directory that will be
 * an overlayfs lower directory.
 *
 * Whiteouts become what overlayfs understands: ".wh.NAME" a character device
 * 0:0 called NAME, ".wh..wh..opq" the attribute trusted.overlay.opaque on its
 * directory. Every name is resolved inside the layer (RESOLVE_IN_ROOT, parents
 * never through links); ".." is refused. Device nodes are refused, except below
 * dev/, where the runtime mounts its own and they are left out. The stream is
 * hashed as it is read: a layer whose diff ID is another fails whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/digest.h"
#include "base/path.h"
#include "image/internal.h"
#include "image/libarchive.h"

#define LAYER_BLOCK (256 << 10)
#define LAYER_NAME_MAX 4096

struct layer {
	struct archive *raw, *tar; /* decompression, and the tar in it */
	struct digest *digest;
	char *block;
	int dir;
	struct layer_limits *lim;
};

/* --- reading --- */

static la_ssize_t layer_read(struct archive *a, void *arg, const void **buffer)
{
	struct layer *l = arg;
	la_ssize_t n = la.archive_read_data(l->raw, l->block, LAYER_BLOCK);

	if (n < 0) {
		la.archive_set_error(a, EIO, "%s", la.archive_error_string(l->raw));
		return ARCHIVE_FATAL;
	}
	l->lim->stream_left -= n;
	if (l->lim->stream_left < 0) {
		la.archive_set_error(a, EFBIG, "its content is larger than the limit of %llu GiB",
				  LIMIT_IMAGE_UNPACKED_BYTES >> 30);
		return ARCHIVE_FATAL;
	}
	digest_update(l->digest, l->block, (size_t)n);
	*buffer = l->block;
	return n;
}

static int layer_err(struct err *e, struct archive *a)
{
	const char *text = la.archive_error_string(a);

	return err_set(e, ERR_BAD_REQUEST, "the layer can't be read: %s", text ? text : "damaged archive");
}

static int layer_open(struct layer *l, int fd, struct err *e)
{
	struct archive_entry *entry;

	l->raw = la.archive_read_new();
	la.archive_read_support_filter_gzip(l->raw);
	la.archive_read_support_filter_zstd(l->raw);
	la.archive_read_support_format_raw(l->raw);
	la.archive_read_support_format_empty(l->raw);
	if (la.archive_read_open_fd(l->raw, fd, LAYER_BLOCK) != ARCHIVE_OK ||
	    la.archive_read_next_header(l->raw, &entry) != ARCHIVE_OK)
		return layer_err(e, l->raw);
	l->tar = la.archive_read_new();
	la.archive_read_support_format_tar(l->tar);
	la.archive_read_support_format_empty(l->tar);
	if (la.archive_read_open(l->tar, l, NULL, layer_read, NULL) != ARCHIVE_OK)
		return layer_err(e, l->tar);
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

/* The directory of a clean name, made when missing; *base is the last part. fd or -errno. */
static int layer_parent(struct layer *l, const char *name, const char **base)
{
	const char *slash = strrchr(name, '/');
	_cleanup_free_ char *dir = NULL;

	*base = slash ? slash + 1 : name;
	if (!slash)
		return openat(l->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = xmemdupz(name, (size_t)(slash - name));
	return path_mkdirs_in_root(l->dir, dir, 0755);
}

static int layer_clear_place(int parent, const char *base, bool want_dir)
{
	struct stat st;

	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode)) {
		if (want_dir)
			return 0;
		return unlinkat(parent, base, AT_REMOVEDIR) < 0 ? -errno : 0;
	}
	return unlinkat(parent, base, 0) < 0 ? -errno : 0;
}

/* --- content --- */

static bool layer_all_zero(const char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Zeros become holes: a file of nothing takes no disk. */
static int layer_write_data(struct layer *l, int fd, const char *name, int64_t size, struct err *e)
{
	const void *p;
	size_t n;
	la_int64_t at;
	int rc;

	if (size < 0 || size > l->lim->bytes_left)
		return err_set(e, ERR_TOO_LARGE, "the layer's content is larger than the limit of %llu GiB",
			       LIMIT_IMAGE_UNPACKED_BYTES >> 30);
	l->lim->bytes_left -= size;
	if (ftruncate(fd, size) < 0)
		return err_errno(e, errno, "write '%s'", name);
	errno = 0;
	while ((rc = la.archive_read_data_block(l->tar, &p, &n, &at)) == ARCHIVE_OK) {
		if (at < 0 || at > size || (int64_t)n > size - at)
			return err_set(e, ERR_BAD_REQUEST, "the layer's file '%s' is longer than its header says", name);
		if (!layer_all_zero(p, n) && pwrite(fd, p, n, at) != (ssize_t)n)
			return err_errno(e, errno ? errno : ENOSPC, "write '%s'", name);
	}
	return rc == ARCHIVE_EOF ? 0 : layer_err(e, l->tar);
}

static bool layer_xattr_wanted(const char *name)
{
	return starts_with(name, "user.") || streq(name, "security.capability");
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

static int layer_owner(int parent, const char *base, struct archive_entry *entry, bool link)
{
	struct timespec t[2] = { { .tv_sec = la.archive_entry_mtime(entry), .tv_nsec = la.archive_entry_mtime_nsec(entry) } };

	t[1] = t[0];
	if (fchownat(parent, base, (uid_t)la.archive_entry_uid(entry), (gid_t)la.archive_entry_gid(entry),
		     AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!link && fchmodat(parent, base, la.archive_entry_perm(entry) & 07777, 0) < 0)
		return -errno;
	(void)utimensat(parent, base, t, AT_SYMLINK_NOFOLLOW);
	return 0;
}

static int layer_file(struct layer *l, int parent, const char *base, const char *name, struct archive_entry *entry,
		      struct err *e)
{
	_cleanup_close_ int fd = openat(parent, base, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(e, errno, "make '%s'", name);
	if (layer_write_data(l, fd, name, la.archive_entry_size(entry), e) < 0)
		return -e->code;
	if (layer_owner(parent, base, entry, false) < 0)
		return err_errno(e, errno, "set the owner of '%s'", name);
	layer_xattrs(fd, entry);
	return 0;
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
	dir = layer_parent(l, target.s, &target_base);
	if (dir < 0 || linkat(dir, target_base, parent, base, 0) < 0)
		return err_errno(e, dir < 0 ? -dir : errno, "link '%s' to '%s'", name, target.s);
	return 0;
}

static int layer_set_opaque(int parent, const char *dir, const char *name, struct err *e)
{
	_cleanup_close_ int fd = openat(parent, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fsetxattr(fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
		return err_errno(e, errno, "mark the directory of '%s' opaque", name);
	return 0;
}

static int layer_dir(int parent, const char *base, const char *name, struct archive_entry *entry, struct err *e)
{
	_cleanup_close_ int fd = -1;

	if (mkdirat(parent, base, 0755) < 0 && errno != EEXIST)
		return err_errno(e, errno, "make '%s'", name);
	if (layer_owner(parent, base, entry, false) < 0)
		return err_errno(e, errno, "set the owner of '%s'", name);
	fd = openat(parent, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		layer_xattrs(fd, entry);
	return 0;
}

static int layer_whiteout(int parent, const char *base, const char *name, struct err *e)
{
	struct stat st;

	if (streq(base, ".wh..wh..opq"))
		return layer_set_opaque(parent, ".", name, e);
	if (starts_with(base, ".wh..wh.")) /* AUFS's own files */
		return 0;
	base += 4;
	if (!*base || streq(base, ".") || streq(base, ".."))
		return err_set(e, ERR_BAD_REQUEST, "the layer's whiteout '%s' names nothing", name);
	/* What this layer has there already is above what the whiteout is about: only the lower layers' goes. */
	if (fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return S_ISDIR(st.st_mode) ? layer_set_opaque(parent, base, name, e) : 0;
	if (mknodat(parent, base, S_IFCHR, makedev(0, 0)) < 0)
		return err_errno(e, errno, "make the whiteout '%s'", name);
	return 0;
}

static bool layer_is_whiteout(int parent, const char *base)
{
	struct stat st;

	return fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0;
}

static int layer_make(struct layer *l, int parent, const char *base, const char *name, struct archive_entry *entry,
		      struct err *e)
{
	mode_t type = la.archive_entry_filetype(entry);
	const char *hardlink = la.archive_entry_hardlink(entry);
	bool was_whiteout = layer_is_whiteout(parent, base);
	int rc = layer_clear_place(parent, base, type == S_IFDIR && !hardlink);

	if (rc < 0)
		return err_errno(e, -rc, "replace '%s'", name);
	if (hardlink)
		return layer_hardlink(l, parent, base, name, hardlink, e);
	switch (type) {
	case S_IFREG:
		return layer_file(l, parent, base, name, entry, e);
	case S_IFDIR:
		if (layer_dir(parent, base, name, entry, e) < 0)
			return -e->code;
		return was_whiteout ? layer_set_opaque(parent, base, name, e) : 0;
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

static int layer_entry(struct layer *l, struct archive_entry *entry, struct err *e)
{
	_cleanup_buf_ struct buf name = BUF_INIT;
	_cleanup_close_ int parent = -1;
	const char *base;

	if (l->lim->entries_left-- <= 0)
		return err_set(e, ERR_TOO_LARGE, "the image has too many files");
	if (!layer_name(la.archive_entry_pathname(entry), &name))
		return err_set(e, ERR_BAD_REQUEST, "the layer's member '%s' points outside of the image",
			       la.archive_entry_pathname(entry) ? la.archive_entry_pathname(entry) : "");
	if (!name.len) /* the root itself: "./" */
		return la.archive_entry_filetype(entry) == S_IFDIR && layer_owner(l->dir, ".", entry, false) < 0
			       ? err_errno(e, errno, "set the owner of the image's root")
			       : 0;
	parent = layer_parent(l, name.s, &base);
	if (parent < 0)
		return err_errno(e, -parent, "make the directory of '%s'", name.s);
	if (starts_with(base, ".wh."))
		return layer_whiteout(parent, base, name.s, e);
	return layer_make(l, parent, base, name.s, entry, e);
}

static int layer_entries(struct layer *l, struct err *e)
{
	struct archive_entry *entry;
	int rc;

	while ((rc = la.archive_read_next_header(l->tar, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN)
		if (layer_entry(l, entry, e) < 0)
			return -e->code;
	return rc == ARCHIVE_EOF ? 0 : layer_err(e, l->tar);
}

/* What follows the tar's end belongs to the diff ID too. */
static int layer_finish(struct layer *l, const char *diff_id, struct err *e)
{
	uint8_t sum[DIGEST_SHA256_LEN];
	_cleanup_buf_ struct buf got = BUF_INIT;
	la_ssize_t n;

	while ((n = la.archive_read_data(l->raw, l->block, LAYER_BLOCK)) > 0 && (l->lim->stream_left -= n) >= 0)
		digest_update(l->digest, l->block, (size_t)n);
	if (n < 0)
		return layer_err(e, l->raw);
	if (n > 0)
		return err_set(e, ERR_TOO_LARGE, "the layer's content is larger than the limit of %llu GiB",
			       LIMIT_IMAGE_UNPACKED_BYTES >> 30);
	digest_final(l->digest, sum);
	buf_adds(&got, "sha256:");
	buf_add_hex(&got, sum, sizeof(sum));
	if (!streq(got.s, diff_id))
		return err_set(e, ERR_BAD_REQUEST, "the layer's content is not what the image says: its digest is %s, not %s",
			       got.s, diff_id);
	return 0;
}

int layer_unpack(int blob_fd, int dir_fd, const char *diff_id, struct layer_limits *lim, struct err *e)
{
	struct layer l = { .dir = dir_fd, .lim = lim, .digest = digest_new(), .block = xmalloc(LAYER_BLOCK) };
	int rc;

	rc = layer_open(&l, blob_fd, e);
	if (rc == 0)
		rc = layer_entries(&l, e);
	if (rc == 0)
		rc = layer_finish(&l, diff_id, e);
	if (l.tar)
		la.archive_read_free(l.tar);
	if (l.raw)
		la.archive_read_free(l.raw);
	digest_free(l.digest);
	free(l.block);
	return rc;
}
