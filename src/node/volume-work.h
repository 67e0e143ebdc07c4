/*
 * What the children of volume-child.c have in common. They are processes of their
 * own: what is wrong goes to standard error, and they return an exit status.
 */
#ifndef NODE_VOLUME_WORK_H
#define NODE_VOLUME_WORK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

int work_fail(const char *what, const char *of, int error); /* says so; 1 */
/* Gives a tree to owner and group ((uid_t)-1: leaves it), and (share) the group its rights. */
int work_tree(int dirfd, const char *name, uid_t uid, gid_t gid, bool share);

/* volume-work-host.c */
int work_host(char **arg);
int work_local(char **arg);
int work_block(char **arg);
/* The directory of a provisioned volume, for any user, and held to so many bytes where the file system can (quota.h).
 * 1: it is held; 0: it cannot be; or an error. Blocking; for threads, too. */
int local_dir_make(const char *path, int64_t bytes, struct err *e) MUST_CHECK;

#endif
