/*
 * What a new process knows while it makes itself a member of its container.
 * All that fails ends in child_fail, so nothing here returns errors.
 */
#ifndef RUN_KEEPER_CHILD_H
#define RUN_KEEPER_CHILD_H

#include "base/vec.h"
#include "run/keeper/keeper.h"

struct spec_mount {
	const char *name, *source, *subpath, *target;
	unsigned flags; /* MOUNT_ bits */
	int64_t size;
	int tree; /* the clone of the source; -1: tmpfs */
};

/* Borrowed from the mapped spec file, which stays mapped. */
struct spec {
	VEC(const char *) layers; /* uppermost first */
	VEC(const char *) argv, env; /* NULL-terminated */
	VEC(struct spec_mount) mounts;
	VEC(gid_t) groups;
	const char *cwd, *user, *apparmor;
	int64_t uid, gid; /* -1: not given */
	unsigned flags; /* SPEC_ bits */
	uint64_t caps;
	int oom_adj;
};

struct child {
	const struct child_start *start;
	struct spec spec;
	/* resolved by user.c */
	uid_t uid;
	gid_t gid;
	VEC(gid_t) groups;
	const char *home;
	bool tty;
};

#define KIND_CREATE "CreateContainerError"
#define KIND_CONFIG "CreateContainerConfigError"
#define KIND_RUN "RunContainerError"

/* Tells the keeper and exits. The text gets ": <strerror>" unless eno is negative. */
NORETURN void child_fail(const struct child *ch, int eno, const char *kind, const char *fmt, ...)
	ATTR_PRINTF(4, 5);

/* child.c: a device of the container's /dev, which is only believed when it is that device. */
int child_open_dev(const struct child *ch, const char *path, int flags, dev_t want);

/* spec.c */
void spec_read(struct child *ch);

/* user.c: who the process will be, by the container's own /etc/passwd and /etc/group. */
void user_resolve(struct child *ch);
void user_become(const struct child *ch);

/* source.c: what a bind mount shows, by an fd: the path, and below it the subPath. */
int source_open(const struct child *ch, const struct spec_mount *m);
void source_check_shared(const struct child *ch, const struct spec_mount *m, int fd);

/* rootfs.c: from the pod's namespaces into the container's root. */
void rootfs_enter(struct child *ch);
void rootfs_become_inner(const struct child *ch); /* root of the pod's user namespace */
void rootfs_set_oom_adj(const struct child *ch); /* in the host's mount namespace */
void rootfs_bind_console(const struct child *ch, int slave);
void rootfs_protect(const struct child *ch); /* masked and read-only paths, read-only root */

#endif
