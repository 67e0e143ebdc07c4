/*
 * The outer tar of `docker save` or of an OCI layout: its files are put into a
 * directory under numbers, so that no name of the archive ever becomes a path.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/path.h"
#include "image/internal.h"
#include "image/libarchive.h"

#define ARCHIVE_BLOCK (256 << 10)
#define ARCHIVE_MEMBERS 100000
#define ARCHIVE_NAME_MAX 4096

static int archive_err(struct err *e, struct archive *a)
{
	const char *text = la.archive_error_string(a);

	return err_set(e, ERR_BAD_REQUEST, "this is no image archive that can be read: %s", text ? text : "damaged tar");
}

static int archive_copy(struct archive *a, int fd, int64_t size, struct layer_limits *lim, struct err *e)
{
	const void *p;
	size_t n;
	la_int64_t at;
	int rc;

	if (size < 0 || size > lim->bytes_left)
		return err_set(e, ERR_TOO_LARGE, "the archive is larger than the limit of %llu GiB",
			       LIMIT_IMAGE_UNPACKED_BYTES >> 30);
	lim->bytes_left -= size;
	errno = 0;
	while ((rc = la.archive_read_data_block(a, &p, &n, &at)) == ARCHIVE_OK)
		if (pwrite(fd, p, n, at) != (ssize_t)n)
			return err_errno(e, errno ? errno : ENOSPC, "unpack the archive");
	if (rc == ARCHIVE_EOF && ftruncate(fd, size) < 0)
		return err_errno(e, errno, "unpack the archive");
	return rc == ARCHIVE_EOF ? 0 : archive_err(e, a);
}

/* docker save before 25 wrote equal layers as links to the first: "../<id>/layer.tar". */
static void archive_link(struct map *names, const char *name, const char *target, bool symbolic)
{
	char *number;

	if (symbolic && starts_with(target, "../"))
		target += 3;
	if (starts_with(target, "./"))
		target += 2;
	number = map_getc(names, target);
	if (number)
		map_set(names, str_of(name), xstrdup(number));
}

static int archive_member(struct archive *a, struct archive_entry *entry, int dir_fd, struct map *names, int number,
			  struct layer_limits *lim, struct err *e)
{
	const char *name = la.archive_entry_pathname(entry);
	_cleanup_close_ int fd = -1;
	char file[16];

	if (!name || strlen(name) > ARCHIVE_NAME_MAX)
		return 0; /* nothing that an image has */
	if (starts_with(name, "./"))
		name += 2;
	if (la.archive_entry_hardlink(entry)) {
		archive_link(names, name, la.archive_entry_hardlink(entry), false);
		return 0;
	}
	if (la.archive_entry_filetype(entry) == S_IFLNK) {
		archive_link(names, name, la.archive_entry_symlink(entry), true);
		return 0;
	}
	if (la.archive_entry_filetype(entry) != S_IFREG)
		return 0;
	snprintf(file, sizeof(file), "%d", number);
	fd = openat(dir_fd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, errno, "unpack the archive");
	map_set(names, str_of(name), xstrdup(file));
	return archive_copy(a, fd, la.archive_entry_size(entry), lim, e);
}

int archive_extract(int fd, int dir_fd, struct map *names, struct layer_limits *lim, struct err *e)
{
	struct archive *a = la.archive_read_new();
	struct archive_entry *entry;
	int rc, n = 0;

	la.archive_read_support_filter_gzip(a);
	la.archive_read_support_filter_zstd(a);
	la.archive_read_support_format_tar(a);
	rc = la.archive_read_open_fd(a, fd, ARCHIVE_BLOCK);
	if (rc != ARCHIVE_OK)
		archive_err(e, a);
	while (!err_is_set(e) && (rc = la.archive_read_next_header(a, &entry)) != ARCHIVE_EOF) {
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			archive_err(e, a);
		else if (++n > ARCHIVE_MEMBERS)
			err_set(e, ERR_TOO_LARGE, "the archive has too many members");
		else if (archive_member(a, entry, dir_fd, names, n, lim, e) < 0)
			break;
	}
	la.archive_read_free(a);
	return err_is_set(e) ? -e->code : 0;
}
