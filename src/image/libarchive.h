/*
 * libarchive, loaded by the unpacking child when it starts.
 *
 * The library and what it brings along (XML, ICU, C++) would cost the server
 * three megabytes and ten milliseconds at each start, for something that only a
 * short-lived child does. A static build links it as usual.
 *
 * The only header that names it: layer.c and archive.c call la.archive_*().
 */
#ifndef IMAGE_LIBARCHIVE_H
#define IMAGE_LIBARCHIVE_H

#include <archive.h>
#include <archive_entry.h>

#include "base/err.h"

#define LIBARCHIVE_FUNCTIONS(X)         \
	X(archive_read_new)             \
	X(archive_read_free)            \
	X(archive_read_open)            \
	X(archive_read_open_fd)         \
	X(archive_read_next_header)     \
	X(archive_read_data)            \
	X(archive_read_data_block)      \
	X(archive_read_support_filter_gzip) \
	X(archive_read_support_filter_zstd) \
	X(archive_read_support_format_raw)  \
	X(archive_read_support_format_empty) \
	X(archive_read_support_format_tar)  \
	X(archive_error_string)         \
	X(archive_set_error)            \
	X(archive_entry_pathname)       \
	X(archive_entry_filetype)       \
	X(archive_entry_hardlink)       \
	X(archive_entry_symlink)        \
	X(archive_entry_size)           \
	X(archive_entry_uid)            \
	X(archive_entry_gid)            \
	X(archive_entry_perm)           \
	X(archive_entry_mtime)          \
	X(archive_entry_mtime_nsec)     \
	X(archive_entry_xattr_reset)    \
	X(archive_entry_xattr_next)

struct libarchive {
#define LIBARCHIVE_MEMBER(f) __typeof__(f) *f;
	LIBARCHIVE_FUNCTIONS(LIBARCHIVE_MEMBER)
#undef LIBARCHIVE_MEMBER
};
extern struct libarchive la;

/* Before the first use; again does nothing. */
int libarchive_load(struct err *e) MUST_CHECK;

#endif
