/*
 * Project quotas by ioctl and quotactl.
 */
#include "node/quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/path.h"
#include "base/rand.h"

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif
#define QUOTA_FIRST (1u << 20) /* below are those that people give out by hand */
#define QUOTA_TRIES 16
#define QUOTA_BLOCK 1024 /* what limits are counted in */

struct quota_dir {
	int fd;
	struct fsxattr attr;
	uint32_t project; /* 0: none, or only what it has from the directory above */
};

/* 0 or -errno. Kernels before 5.14 want the device, which udev names by its numbers. */
static int quota_ctl(int fd, unsigned cmd, uint32_t id, void *arg)
{
	struct stat st;
	char device[64];
	int code = (int)QCMD(cmd, PRJQUOTA);

	if (syscall(SYS_quotactl_fd, fd, code, id, arg) == 0)
		return 0;
	if (errno != ENOSYS || fstat(fd, &st) < 0)
		return -errno;
	snprintf(device, sizeof(device), "/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
	return syscall(SYS_quotactl, code, device, id, arg) < 0 ? -errno : 0;
}

/* Limits hold there. */
static bool quota_is_on(int fd)
{
	struct fs_quota_stat st = {0};

	return quota_ctl(fd, Q_XGETQSTAT, 0, &st) == 0 && (st.qs_flags & FS_QUOTA_PDQ_ENFD);
}

static void quota_close(struct quota_dir *q)
{
	q->fd = close_fd(q->fd);
}

/* 0 or -errno: such a file system knows of no projects. */
static int quota_look(struct quota_dir *q)
{
	_cleanup_close_ int up = openat(q->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct fsxattr above;

	if (up < 0 || ioctl(q->fd, FS_IOC_FSGETXATTR, &q->attr) < 0)
		return -errno;
	if (ioctl(up, FS_IOC_FSGETXATTR, &above) < 0 || above.fsx_projid != q->attr.fsx_projid)
		q->project = q->attr.fsx_projid;
	return 0;
}

static int quota_open(const char *dir, struct quota_dir *q)
{
	*q = (struct quota_dir){.fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
	return q->fd < 0 ? -errno : quota_look(q);
}

/* All numbers would do; one that has files, or a limit, is in use. 0: none was found. */
static uint32_t quota_free_project(int fd)
{
	for (int i = 0; i < QUOTA_TRIES; i++) {
		struct if_dqblk b = {0};
		uint32_t id = QUOTA_FIRST + (uint32_t)rand_below(INT32_MAX - QUOTA_FIRST);
		int r = quota_ctl(fd, Q_GETQUOTA, id, &b);

		if (r == -ENOENT || r == -ESRCH ||
		    (r == 0 && !b.dqb_curspace && !b.dqb_curinodes && !b.dqb_bhardlimit && !b.dqb_ihardlimit))
			return id;
	}
	return 0;
}

static bool quota_is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	bool empty = d != NULL;

	for (struct dirent *ent = d ? readdir(d) : NULL; ent && empty; ent = readdir(d))
		empty = !strcmp(ent->d_name, ".") || !strcmp(ent->d_name, "..");
	if (d)
		closedir(d);
	return empty;
}

static int quota_limit(int fd, uint32_t project, int64_t bytes)
{
	uint64_t blocks = ((uint64_t)bytes + QUOTA_BLOCK - 1) / QUOTA_BLOCK;
	struct if_dqblk b = {.dqb_bhardlimit = blocks, .dqb_bsoftlimit = blocks, .dqb_valid = QIF_BLIMITS};

	return quota_ctl(fd, Q_SETQUOTA, project, &b);
}

/* The limit first: nothing is written between without one. */
static int quota_begin(struct quota_dir *q, int64_t bytes)
{
	uint32_t id = quota_free_project(q->fd);
	int r = id ? quota_limit(q->fd, id, bytes) : -ENOSPC;

	if (r < 0)
		return r;
	q->attr.fsx_projid = id;
	q->attr.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(q->fd, FS_IOC_FSSETXATTR, &q->attr) < 0 ? -errno : 0;
}

int quota_hold(const char *dir, int64_t bytes, struct err *e)
{
	_cleanup_(quota_close) struct quota_dir q;
	_cleanup_close_ int up = -1;
	int r = quota_open(dir, &q);

	if (q.fd < 0)
		return err_errno(e, -r, "open '%s'", dir);
	if (r < 0 || !quota_is_on(q.fd))
		return 0;
	/* A pod's child and the agent may both make a volume: one after the other, then the second sees what is there. The
	 * lock is on the directory above, which no container has. */
	up = openat(q.fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (up < 0 || flock(up, LOCK_EX) < 0 || quota_look(&q) < 0)
		return err_errno(e, errno, "look at the project of '%s'", dir);
	if (!q.project && !quota_is_empty(dir))
		return 0;
	r = q.project ? quota_limit(q.fd, q.project, bytes) : quota_begin(&q, bytes);
	return r < 0 ? err_errno(e, -r, "set the quota of '%s'", dir) : 1;
}

bool quota_usage(const char *dir, int64_t *bytes, int64_t *inodes)
{
	_cleanup_(quota_close) struct quota_dir q;
	struct if_dqblk b = {0};

	if (quota_open(dir, &q) < 0 || !q.project || quota_ctl(q.fd, Q_GETQUOTA, q.project, &b) < 0)
		return false;
	*bytes = (int64_t)b.dqb_curspace;
	*inodes = (int64_t)b.dqb_curinodes;
	return true;
}

int quota_remove_tree(const char *dir, struct err *e)
{
	_cleanup_(quota_close) struct quota_dir q;
	_cleanup_close_ int up = -1;

	if (quota_open(dir, &q) == 0 && q.project)
		up = openat(q.fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	quota_close(&q);
	if (path_remove_tree(dir, e) < 0)
		return -e->code;
	if (up >= 0) /* what cannot be taken away holds nobody back */
		(void)quota_limit(up, q.project, 0);
	return 0;
}
