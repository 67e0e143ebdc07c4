/*
 * The mount calls for which the C library of Debian 12's predecessors has no
 * names, each 0 or an fd, or -1 with errno.
 */
#ifndef RUN_KEEPER_MOUNT_H
#define RUN_KEEPER_MOUNT_H

#include <stdbool.h>
#include <stddef.h>

int mount_fsopen(const char *type);
int mount_fsconfig(int fs, const char *key, const char *value); /* value NULL: a flag */
int mount_fscreate(int fs);
int mount_fsmount(int fs, unsigned long flags); /* MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_RDONLY */
int mount_clone(int dirfd, bool recursive); /* open_tree of what an O_PATH fd names */
int mount_move(int tree, int onto); /* both fds */
int mount_set_idmap(int tree, int user_ns); /* of a clone that is not attached yet */
/* Read-only and propagation (MS_PRIVATE, ...) of the mount at an fd that is its root. */
int mount_set_read_only(int fd, bool recursive);
int mount_set_propagation(int fd, unsigned long how);
/* The current directory, a mount, becomes the root; the former root goes. */
int mount_pivot(void);

#endif
