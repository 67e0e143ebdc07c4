/*
 * Volumes that are a directory of the host: emptyDir (on disk, on a tmpfs of
 * its own or in huge pages) and hostPath.
 */
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "node/internal.h"
#include "node/quota.h"
#include "node/volume-child.h"

#define HOST_LIMIT_MS 60000

/* --- emptyDir --- */

/* As the kubelet's SetVolumeOwnership: the group owns it, and what is made in it belongs to the group. */
static int give_to_group(const char *dir, int64_t gid, struct err *e)
{
	if (gid < 0)
		return 0;
	if (chown(dir, (uid_t)-1, (gid_t)gid) < 0 || chmod(dir, 02777) < 0)
		return err_errno(e, errno, "give '%s' to group %lld", dir, (long long)gid);
	return 0;
}

/* As the kubelet's SizeMemoryBackedVolumes: the least of the node's memory, the pod's limit, and its own. */
static int64_t memory_size(struct volume_ctx *v)
{
	struct run_limits pod = {0};
	int64_t size = v->pod->agent->memory_bytes;
	struct quantity q;

	qos_pod_limits(pod_spec(v->pod), &pod);
	if (pod.memory_max > 0)
		size = min_i64(size, pod.memory_max);
	if (quantity_from_node(&q, node_get(v->src, F_sizeLimit)) && quantity_value(&q) > 0)
		size = min_i64(size, quantity_value(&q));
	return size;
}

/* "HugePages-2Mi", or "HugePages" for the only size that the pod asks for. */
static int huge_page_bytes(struct volume_ctx *v, const char *medium, int64_t *ret, struct err *e)
{
	struct str name = STR_NONE;
	struct quantity q;
	_cleanup_free_ char *text = NULL;

	if (starts_with(medium, "HugePages-"))
		name = str_of(medium + strlen("HugePages-"));
	else
		NODE_FOREACH (c, node_get(pod_spec(v->pod), F_containers))
			NODE_FOREACH (r, node_path(c, F_resources, F_limits)) {
				if (str_starts(node_key(r), str_of("hugepages-")))
					name = str_sub(node_key(r), strlen("hugepages-"), node_key(r).n);
			}
	text = str_dup(name);
	if (!name.n || !quantity_parse(&q, str_of(text)) || quantity_value(&q) <= 0)
		return err_set(e, ERR_INVALID, "medium \"%s\": no page size is known", medium);
	*ret = quantity_value(&q);
	return 0;
}

static int empty_dir_mount(struct volume_ctx *v, const char *medium, struct err *e)
{
	_cleanup_free_ char *opts = NULL;
	int64_t page = 0;

	if (streq(medium, "Memory")) {
		opts = xasprintf("mode=0777,size=%lld", (long long)memory_size(v));
		if (mount("tmpfs", v->dir, "tmpfs", MS_NOSUID | MS_NODEV, opts) < 0)
			return err_errno(e, errno, "mount tmpfs on '%s'", v->dir);
		return 0;
	}
	if (huge_page_bytes(v, medium, &page, e) < 0)
		return -e->code;
	opts = xasprintf("mode=0777,pagesize=%lld", (long long)page);
	if (mount("hugetlbfs", v->dir, "hugetlbfs", MS_NOSUID | MS_NODEV, opts) < 0)
		return err_errno(e, errno, "mount hugetlbfs on '%s'", v->dir);
	return 0;
}

/* Counted by the file system where it can: the limit itself is the eviction manager's (volume-job.c). */
static void empty_dir_count(struct volume_ctx *v)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (node_get(v->src, F_sizeLimit) && quota_hold(v->dir, 0, &e) < 0)
		log_warn("a volume cannot be counted by the file system", LS("volume", v->dir), LE(&e));
}

static int empty_dir_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	const char *medium = node_gets(v->src, F_medium);

	if (path_mkdirs(v->dir, 0777, e) < 0)
		return -e->code;
	if (*medium && !volume_is_mount(v->dir) && empty_dir_mount(v, medium, e) < 0)
		return -e->code;
	if (!*medium && !volume_path(v->pod, node_gets(v->vol, F_name)))
		empty_dir_count(v);
	if (v->pod->adopted) /* its containers may have changed both */
		return 0;
	if (chmod(v->dir, 0777) < 0) /* past the umask */
		return err_errno(e, errno, "change the mode of '%s'", v->dir);
	return give_to_group(v->dir, pod_fs_group(v->pod), e);
}

static int empty_dir_down(const char *dir, struct err *e)
{
	if (volume_is_mount(dir) && umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
		return err_errno(e, errno, "unmount '%s'", dir);
	return quota_remove_tree(dir, e);
}

const struct volume_type volume_empty_dir = {
	.field = F_emptyDir,
	.plugin = "kubernetes.io~empty-dir",
	.up = empty_dir_up,
	.down = empty_dir_down,
};

/* --- hostPath --- */

/* What is there is looked at by a child: it may be on a server that does not answer. */
static int host_path_up(struct volume_ctx *v, char **ret, struct err *e)
{
	const char *path = node_gets(v->src, F_path), *known = volume_path(v->pod, node_gets(v->vol, F_name));
	_cleanup_free_ char *bytes = v->made_here ? xasprintf("%lld", (long long)v->made_here) : xstrdup("");
	const char *args[] = {"host", path, node_gets(v->src, F_type), bytes, NULL};
	int r = known ? 0 : volume_child(v, args, HOST_LIMIT_MS, false, e);

	if (r == 0)
		*ret = xstrdup(path);
	return r;
}

const struct volume_type volume_host_path = {
	.field = F_hostPath,
	.plugin = "kubernetes.io~host-path",
	.up = host_path_up,
};
