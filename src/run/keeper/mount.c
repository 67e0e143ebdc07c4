/*
 * Mount calls by number (mount.h).
 */
#include "run/keeper/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel's numbers: the C library's headers and the kernel's own fight over these names. */
enum {
	FSOPEN_CLOEXEC_ = 1,
	FSMOUNT_CLOEXEC_ = 1,
	FSCONFIG_SET_FLAG_ = 0,
	FSCONFIG_SET_STRING_ = 1,
	FSCONFIG_CMD_CREATE_ = 6,
	OPEN_TREE_CLONE_ = 1,
	MOVE_MOUNT_F_EMPTY_PATH_ = 4,
	MOVE_MOUNT_T_EMPTY_PATH_ = 0x40,
	ATTR_RDONLY_ = 1,
	ATTR_NOSUID_ = 2,
	ATTR_NODEV_ = 4,
	ATTR_NOEXEC_ = 8,
	ATTR_IDMAP_ = 0x100000,
	AT_RECURSIVE_ = 0x8000,
};
struct mount_attr_ {
	uint64_t attr_set, attr_clr, propagation, userns_fd;
};

int mount_fsopen(const char *type)
{
	return syscall(SYS_fsopen, type, FSOPEN_CLOEXEC_);
}

int mount_fsconfig(int fs, const char *key, const char *value)
{
	return syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING_ : FSCONFIG_SET_FLAG_, key, value, 0);
}

int mount_fscreate(int fs)
{
	return syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE_, NULL, NULL, 0);
}

int mount_fsmount(int fs, unsigned long flags)
{
	unsigned attr = (flags & MS_RDONLY ? ATTR_RDONLY_ : 0) | (flags & MS_NOSUID ? ATTR_NOSUID_ : 0) |
			(flags & MS_NODEV ? ATTR_NODEV_ : 0) | (flags & MS_NOEXEC ? ATTR_NOEXEC_ : 0);

	return syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC_, attr);
}

int mount_clone(int dirfd, bool recursive)
{
	return syscall(SYS_open_tree, dirfd, "",
		       OPEN_TREE_CLONE_ | O_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0));
}

int mount_move(int tree, int onto)
{
	return syscall(SYS_move_mount, tree, "", onto, "",
		       MOVE_MOUNT_F_EMPTY_PATH_ | MOVE_MOUNT_T_EMPTY_PATH_);
}

static int mount_setattr_(int fd, bool recursive, uint64_t set, uint64_t propagation)
{
	struct mount_attr_ a = { .attr_set = set, .propagation = propagation };

	return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0), &a,
		       sizeof(a));
}

int mount_set_idmap(int tree, int user_ns)
{
	struct mount_attr_ a = { .attr_set = ATTR_IDMAP_, .userns_fd = user_ns };

	return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &a, sizeof(a));
}

int mount_set_read_only(int fd, bool recursive)
{
	char path[32];
	struct statvfs st;
	unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY;

	if (mount_setattr_(fd, recursive, ATTR_RDONLY_, 0) == 0)
		return 0;
	if (errno != ENOSYS || recursive)
		return -1;
	/* Linux before 5.12; the other flags must be repeated. */
	if (fstatvfs(fd, &st) < 0)
		return -1;
	flags |= st.f_flag & (ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME | ST_RELATIME);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return mount(NULL, path, NULL, flags, NULL);
}

int mount_set_propagation(int fd, unsigned long how)
{
	char path[32];

	if (mount_setattr_(fd, true, 0, how) == 0)
		return 0;
	if (errno != ENOSYS)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return mount(NULL, path, NULL, how | MS_REC, NULL);
}

int mount_pivot(void)
{
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return -1;
	} else if (errno == EINVAL) {
		/* The host's root is the initial ramfs, which cannot be pivoted away. */
		if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
			return -1;
	} else {
		return -1;
	}
	return chdir("/");
}
