/*
 * Volumes that come from elsewhere: nfs, gitRepo; and local disks as a
 * PersistentVolume describes them.
 */
#include <errno.h>
#include <sys/mount.h>

#include "node/internal.h"
#include "node/volume-child.h"

#define NFS_LIMIT_MS 120000
#define GIT_LIMIT_MS 600000
#define OWN_LIMIT_MS 600000

/* --- nfs --- */

/* Options of the PersistentVolume, with commas between. */
static char *nfs_options(const struct volume_ctx *v)
{
	struct buf b = BUF_INIT;

	NODE_FOREACH (o, node_get(v->pv_spec, F_mountOptions))
		buf_addf(&b, "%s%s", b.len ? "," : "", node_cstr_or(o, ""));
	return buf_detach(&b, NULL);
}

static int nfs_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	const char *server = node_gets(v->src, F_server), *dir = node_gets(v->src, F_path);
	bool read_only = node_bool(node_get(v->src, F_readOnly), false) ||
			 node_bool(node_path(v->vol, F_persistentVolumeClaim, F_readOnly), false);
	_cleanup_free_ char *options = nfs_options(v);
	const char *args[] = {"nfs", server, dir, v->dir,
			      read_only ? "r" : "w", options ? options : "", NULL};
	int r;

	if (path_is_mounted(v->dir))
		return 0;
	if (path_mkdirs(v->dir, 0755, e) < 0)
		return -e->code;
	r = volume_child(v, args, NFS_LIMIT_MS, false, e);
	return r < 0 && err_is_set(e) ? err_wrap(e, "the NFS server %s may be down or not export %s", server, dir) : r;
}

/* Never waits for the server. */
static int nfs_down(const char *dir, struct err *e)
{
	while (path_is_mounted(dir))
		if (umount2(dir, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
			return err_errno(e, errno, "unmount '%s'", dir);
	return path_remove_tree(dir, e);
}

const struct volume_type volume_nfs = {
	.field = F_nfs,
	.plugin = "kubernetes.io~nfs",
	.up = nfs_up,
	.down = nfs_down,
	.remote = true,
};

/* --- gitRepo --- */

static int git_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	const char *repository = node_gets(v->src, F_repository), *revision = node_gets(v->src, F_revision),
		   *sub = node_gets(v->src, F_directory);
	_cleanup_free_ char *group = xasprintf("%lld", (long long)pod_fs_group(v->pod));
	const char *args[] = {"git", repository, revision, sub, v->dir, group, NULL};

	/* what git would take for an option, and names that lead out */
	if (*repository == '-')
		return err_set(e, ERR_INVALID, "\"%s\" is an invalid value for repository", repository);
	if (*revision == '-')
		return err_set(e, ERR_INVALID, "\"%s\" is an invalid value for revision", revision);
	if (*sub == '-' || *sub == '/' || strstr(sub, ".."))
		return err_set(e, ERR_INVALID, "\"%s\" is an invalid value for directory", sub);
	if (path_mkdirs(v->dir, 0755, e) < 0)
		return -e->code;
	return volume_child(v, args, GIT_LIMIT_MS, true, e);
}

const struct volume_type volume_git_repo = {
	.field = F_gitRepo,
	.plugin = "kubernetes.io~git-repo",
	.up = git_up,
};

/* --- local: a directory (or a mount), or a block device of this node --- */

static int local_up(struct volume_ctx *v, char **ret, struct err *e)
{
	const char *path = node_gets(v->src, F_path), *known = volume_path(v->pod, node_gets(v->vol, F_name));
	const char *policy = node_gets(node_get(pod_spec(v->pod), F_securityContext), F_fsGroupChangePolicy);
	int64_t gid = pod_fs_group(v->pod);
	bool own = gid >= 0 && !node_bool(node_path(v->vol, F_persistentVolumeClaim, F_readOnly), false);
	_cleanup_free_ char *group = own ? xasprintf("%lld", (long long)gid) : xstrdup("");
	_cleanup_free_ char *mark = xasprintf("%s~ready", v->dir);
	const char *files[] = {"local", path, group, streq(policy, "OnRootMismatch") ? "root" : "always", mark, NULL};
	const char *device[] = {"block", path, v->dir, NULL};
	_cleanup_free_ char *above = xmemdupz(v->dir, (size_t)(path_base(v->dir) - v->dir));
	int r;

	if (!known && path_mkdirs(above, 0755, e) < 0) /* for mark and device */
		return -e->code;
	r = known ? 0 : volume_child(v, volume_is_block(v->pv_spec) ? device : files, OWN_LIMIT_MS, false, e);
	if (r == 0)
		*ret = xstrdup(path);
	return r;
}

const struct volume_type volume_local = {
	.field = F_local,
	.plugin = "kubernetes.io~local-volume",
	.up = local_up,
};
