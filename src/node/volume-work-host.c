/*
 * Directories and files of the host as volumes: is what is there of the type that
 * was asked for, and is it made where it may be? In a child, because what is there
 * may be on a server that does not answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "node/quota.h"
#include "node/volume-work.h"

/* --- hostPath --- */

static const struct host_type {
	const char *name;
	mode_t want; /* S_IFMT of what must be there */
	mode_t make; /* S_IFDIR or S_IFREG: made when absent */
	const char *what;
} host_types[] = {
	{"", 0, S_IFDIR, NULL},
	{"DirectoryOrCreate", S_IFDIR, S_IFDIR, "directory"},
	{"Directory", S_IFDIR, 0, "directory"},
	{"FileOrCreate", S_IFREG, S_IFREG, "file"},
	{"File", S_IFREG, 0, "file"},
	{"Socket", S_IFSOCK, 0, "socket file"},
	{"CharDevice", S_IFCHR, 0, "character device"},
	{"BlockDevice", S_IFBLK, 0, "block device"},
};

static const char *host_name_of(mode_t mode)
{
	return S_ISDIR(mode)	? "Directory"
	       : S_ISREG(mode)	? "File"
	       : S_ISSOCK(mode) ? "Socket"
	       : S_ISCHR(mode)	? "CharDevice"
	       : S_ISBLK(mode)	? "BlockDevice"
				: "";
}

static int host_make(const char *path, const struct host_type *t, struct err *e)
{
	_cleanup_close_ int fd = -1;

	if (t->make == S_IFDIR)
		return path_mkdirs(path, 0755, e);
	if (t->make != S_IFREG)
		return err_set(e, ERR_INVALID, "hostPath %s doesn't exist", path);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
	return fd < 0 ? err_errno(e, errno, "open %s", path) : 0;
}

static int host_check(const char *path, const char *type, struct err *e)
{
	const struct host_type *t = NULL;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(host_types); i++)
		if (streq(host_types[i].name, type))
			t = &host_types[i];
	if (!t)
		return err_set(e, ERR_INVALID, "%s is an invalid volume type", type);
	if (stat(path, &st) < 0)
		return errno == ENOENT ? host_make(path, t, e) : err_errno(e, errno, "stat %s", path);
	if (t->want && (st.st_mode & S_IFMT) != t->want)
		return err_set(e, ERR_INVALID, "hostPath type check failed: %s is not a %s, it's a %s", path, t->what,
			       host_name_of(st.st_mode));
	return 0;
}

int local_dir_make(const char *path, int64_t bytes, struct err *e)
{
	if (!path_exists(path)) {
		if (path_mkdirs(path, 0755, e) < 0)
			return -e->code;
		if (chmod(path, 0777) < 0) /* past the umask */
			return err_errno(e, errno, "change the mode of '%s'", path);
	}
	return quota_hold(path, bytes, e);
}

/* PATH TYPE BYTES: of a provisioned volume how much it is to hold, else "". */
int work_host(char **arg)
{
	_cleanup_err_ struct err e = ERR_INIT;
	int r = *arg[2] ? local_dir_make(arg[0], strtoll(arg[2], NULL, 10), &e) : 0;

	if (r >= 0)
		r = host_check(arg[0], arg[1], &e);
	if (r < 0)
		fprintf(stderr, "%s\n", err_msg(&e));
	return r < 0;
}

/* --- local --- */

/* fsGroupChangePolicy OnRootMismatch: a root that is right already stands for all below it. */
static bool local_is_owned(const struct stat *st, const char *policy, gid_t gid)
{
	return streq(policy, "root") && st->st_gid == gid && (st->st_mode & 02770) == 02770;
}

/* PATH GID always|root MARK: GID "" for no group; MARK remembers that it was given away, once for a pod. */
int work_local(char **arg)
{
	const char *path = arg[0], *group = arg[1], *policy = arg[2], *mark = arg[3];
	gid_t gid = (gid_t)strtoul(group, NULL, 10);
	_cleanup_err_ struct err e = ERR_INIT;
	struct stat st;
	int r = 0;

	if (stat(path, &st) < 0) {
		fprintf(stderr, "path \"%s\" does not exist\n", path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode)) {
		fprintf(stderr, "local volume \"%s\" is no directory: for a block device say volumeMode: Block\n", path);
		return 1;
	}
	if (!*group || path_exists(mark))
		return 0;
	if (!local_is_owned(&st, policy, gid))
		r = work_tree(AT_FDCWD, path, (uid_t)-1, gid, true);
	if (r == 0 && path_write(mark, STR_NONE, 0600, &e) < 0)
		r = work_fail("write", mark, e.code);
	return r;
}

/* PATH NODE: one of the same numbers, for the node to look at. */
int work_block(char **arg)
{
	struct stat st;

	if (stat(arg[0], &st) < 0) {
		fprintf(stderr, "path \"%s\" does not exist\n", arg[0]);
		return 1;
	}
	if (!S_ISBLK(st.st_mode)) {
		fprintf(stderr, "local volume \"%s\" is no block device: for files say volumeMode: Filesystem\n", arg[0]);
		return 1;
	}
	if ((unlink(arg[1]) < 0 && errno != ENOENT) || mknod(arg[1], S_IFBLK | 0600, st.st_rdev) < 0)
		return work_fail("make", arg[1], errno);
	return 0;
}
