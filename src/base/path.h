/*
 * Files and paths. Leaf wrappers: 0/fd or -errno unless they take `struct err`.
 */
#ifndef BASE_PATH_H
#define BASE_PATH_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* "a/b"; exactly one slash between the two. */
char *path_join(const char *a, const char *b);
const char *path_base(const char *p); /* behind the last slash */
int path_mkdirs(const char *path, mode_t mode, struct err *e) MUST_CHECK; /* mkdir -p */
/* At most max bytes; more is an error (EFBIG). */
int path_read(const char *path, size_t max, struct buf *out, struct err *e) MUST_CHECK;
int path_read_at(int dirfd, const char *path, size_t max, struct buf *out, struct err *e) MUST_CHECK;
/* Whole file by temporary name, fsync, rename, fsync of the directory. */
int path_write_atomic(const char *path, struct str data, mode_t mode, struct err *e) MUST_CHECK;
int path_write(const char *path, struct str data, mode_t mode, struct err *e) MUST_CHECK;
/* rm -rf, never across a mount, never following links; absent is success. */
int path_remove_tree(const char *path, struct err *e) MUST_CHECK;
int path_remove_at(int dirfd, const char *name); /* the same, of a directory's entry; 0 or -errno */
/* openat2 with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: for every path that a container or image chose. */
int path_open_in_root(int rootfd, const char *path, int flags, mode_t mode);
/* mkdir -p inside a root under the same rule; fd (O_PATH|O_DIRECTORY) or -errno. */
int path_mkdirs_in_root(int rootfd, const char *path, mode_t mode);
bool path_exists(const char *path);
/* Something is mounted exactly there. Asks the kernel's list, not the file system, which may be of a dead server. */
bool path_is_mounted(const char *path);
/* Disk space and files of a tree, within its file system and not deeper than 200 levels; links are not followed; a file
 * with several names counts once when all of them are in it. Blocking. 0 or -errno. */
int path_usage(const char *path, int64_t *bytes, int64_t *inodes);
int fd_write_all(int fd, const void *p, size_t n); /* blocking; 0 or -errno */
ssize_t fd_read_all(int fd, void *p, size_t n); /* until n or end; count or -errno */
int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);
/* A lock file, held by the fd; -EWOULDBLOCK when another process has it. */
int path_lock(const char *path);

#endif
