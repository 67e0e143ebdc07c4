/*
 * Volumes that are a directory of the host: emptyDir (on disk, on a tmpfs of
 * its own or in huge pages) and hostPath.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "node/internal.h"

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

static int empty_dir_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	const char *medium = node_gets(v->src, F_medium);

	if (path_mkdirs(v->dir, 0777, e) < 0)
		return -e->code;
	if (*medium && !volume_is_mount(v->dir) && empty_dir_mount(v, medium, e) < 0)
		return -e->code;
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
	return path_remove_tree(dir, e);
}

const struct volume_type volume_empty_dir = {
	.field = F_emptyDir,
	.plugin = "kubernetes.io~empty-dir",
	.up = empty_dir_up,
	.down = empty_dir_down,
};

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

static int host_path_up(struct volume_ctx *v, char **ret, struct err *e)
{
	const char *path = node_gets(v->src, F_path), *type = node_gets(v->src, F_type);
	const struct host_type *t = NULL;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(host_types); i++)
		if (streq(host_types[i].name, type))
			t = &host_types[i];
	if (!t)
		return err_set(e, ERR_INVALID, "%s is an invalid volume type", type);
	if (stat(path, &st) < 0) {
		if (errno != ENOENT)
			return err_errno(e, errno, "stat %s", path);
		if (host_make(path, t, e) < 0)
			return -e->code;
	} else if (t->want && (st.st_mode & S_IFMT) != t->want) {
		return err_set(e, ERR_INVALID, "hostPath type check failed: %s is not a %s, it's a %s", path, t->what,
			       host_name_of(st.st_mode));
	}
	*ret = xstrdup(path);
	return 0;
}

const struct volume_type volume_host_path = {
	.field = F_hostPath,
	.plugin = "kubernetes.io~host-path",
	.up = host_path_up,
};
