/*
 * Volumes that come from elsewhere: nfs, gitRepo, image; and local disks as a
 * PersistentVolume describes them.
 */
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "node/pull.h"
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
	_cleanup_free_ char *options = nfs_options(v);
	const char *args[] = {"nfs", server, dir, v->dir,
			      node_bool(node_get(v->src, F_readOnly), false) ? "r" : "w", options ? options : "", NULL};
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
	const char *args[] = {"git", repository, revision, sub, v->dir, NULL};

	/* what git would take for an option, and names that lead out */
	if (*repository == '-' || *revision == '-' || *sub == '-' || *sub == '/' || strstr(sub, ".."))
		return err_set(e, ERR_INVALID, "gitRepo: '%s' is not allowed there",
			       *repository == '-' ? repository : *revision == '-' ? revision : sub);
	if (path_mkdirs(v->dir, 0755, e) < 0)
		return -e->code;
	return volume_child(v, args, GIT_LIMIT_MS, true, e);
}

const struct volume_type volume_git_repo = {
	.field = F_gitRepo,
	.plugin = "kubernetes.io~git-repo",
	.up = git_up,
};

/* --- local: a directory (or a mount) of this node --- */

static int local_up(struct volume_ctx *v, char **ret, struct err *e)
{
	const char *path = node_gets(v->src, F_path);
	int64_t gid = pod_fs_group(v->pod);
	_cleanup_free_ char *group = xasprintf("%lld", (long long)gid);
	const char *policy = node_gets(node_get(pod_spec(v->pod), F_securityContext), F_fsGroupChangePolicy);
	const char *args[] = {"own", path, group, streq(policy, "OnRootMismatch") ? "root" : "always", NULL};
	struct stat st;

	if (stat(path, &st) < 0)
		return err_set(e, ERR_NOT_FOUND, "path \"%s\" does not exist", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "local volume \"%s\" is no directory: block volumes are not supported", path);
	*ret = xstrdup(path);
	if (gid < 0)
		return 0;
	if (path_mkdirs(v->dir, 0755, e) < 0) /* the mark stands beside it */
		return -e->code;
	return volume_child(v, args, OWN_LIMIT_MS, true, e);
}

const struct volume_type volume_local = {
	.field = F_local,
	.plugin = "kubernetes.io~local-volume",
	.up = local_up,
};

/* --- image: the files of an image, read-only --- */

static void image_volume_pulled(struct pod *p, const struct err *err)
{
	p->volume_pulling = false;
	set_str(&p->volume_pull_error, err ? err_msg(err) : NULL);
}

static int image_volume_find(struct volume_ctx *v, const char *reference, struct image **ret, struct err *e)
{
	struct pod *p = v->pod;
	const char *policy = node_gets(v->src, F_pullPolicy);
	int r = 0;

	*ret = image_find(p->agent->images, reference);
	if (*ret && (!pull_policy_needs(policy, reference, true) || p->volume_pulled))
		r = pull_may_use(p, *ret, reference);
	if (r > 0)
		return 0;
	*ret = image_unref(*ret);
	if (r < 0)
		return r;
	if (p->volume_pulling)
		return -EAGAIN;
	if (p->volume_pull_error) {
		err_set(e, ERR_INTERNAL, "failed to pull image \"%s\" of the volume: %s", reference, p->volume_pull_error);
		set_str(&p->volume_pull_error, NULL);
		return -e->code;
	}
	if (streq(policy, "Never"))
		return err_set(e, ERR_NOT_FOUND,
			       "Container image \"%s\" is not present with pull policy of Never", reference);
	if (pull_for_volume(p, reference, image_volume_pulled) == 0)
		p->volume_pulling = p->volume_pulled = true;
	return -EAGAIN;
}

static int image_volume_mount(const struct image *i, const char *dir, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!i->layers || !i->layers[0])
		return err_set(e, ERR_INVALID, "the image has no files");
	if (!i->layers[1]) {
		if (mount(i->layers[0], dir, NULL, MS_BIND, NULL) < 0 ||
		    mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
			return err_errno(e, errno, "mount the image's layer on '%s'", dir);
		return 0;
	}
	buf_adds(&b, "lowerdir=");
	for (size_t k = 0; i->layers[k]; k++)
		buf_addf(&b, "%s%s", k ? ":" : "", i->layers[k]);
	if (b.len >= 4096)
		return err_set(e, ERR_INVALID, "the image has too many layers for a volume");
	if (mount("overlay", dir, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, b.s) < 0)
		return err_errno(e, errno, "mount the image's layers on '%s'", dir);
	return 0;
}

static int image_volume_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	const char *reference = node_gets(v->src, F_reference);
	_cleanup_free_ char *holder = NULL;
	struct image *i = NULL;
	int r;

	if (path_is_mounted(v->dir))
		return 0;
	r = image_volume_find(v, reference, &i, e);
	if (r < 0)
		return r;
	holder = xasprintf("volume.%s_%s", node_gets(v->vol, F_name), v->pod->uid);
	r = image_hold(v->pod->agent->images, i, holder, e);
	if (r == 0)
		r = path_mkdirs(v->dir, 0755, e);
	if (r == 0)
		r = image_volume_mount(i, v->dir, e);
	image_unref(i);
	return r < 0 ? -e->code : 0;
}

static int image_volume_down(const char *dir, struct err *e)
{
	if (path_is_mounted(dir) && umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return err_errno(e, errno, "unmount '%s'", dir);
	return path_remove_tree(dir, e);
}

const struct volume_type volume_image = {
	.field = F_image,
	.plugin = "kubernetes.io~image",
	.up = image_volume_up,
	.down = image_volume_down,
	.read_only = true,
};
