/*
 * image volumes: the files of an image, read-only and not executable, as the
 * kubelet mounts them. While its image is missing, the containers that show the
 * volume wait with the reasons and messages of their own images.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "node/internal.h"
#include "node/pull.h"

#define IMAGE_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define IMAGE_DATA_MAX 4096 /* what mount(2) takes */

/* Of one volume. Lives with its pod, which stays while the call is pending. */
struct image_volume {
	struct pod *pod;
	char *name;
	bool pulling, pulled;
	char *error;
	struct backoff backoff;
};

static void image_volume_free(void *arg)
{
	struct image_volume *i = arg;

	free(i->name);
	free(i->error);
	free(i);
}

static struct image_volume *image_volume_of(struct volume_ctx *v)
{
	const char *name = node_gets(v->vol, F_name);
	struct pod *p = v->pod;
	struct image_volume *i = map_getc(p->volume_pulls, name);

	if (i)
		return i;
	i = xcalloc(1, sizeof(*i));
	*i = (struct image_volume){.pod = p, .name = xstrdup(name)};
	if (!p->volume_pulls)
		p->volume_pulls = map_new(image_volume_free);
	map_set(p->volume_pulls, str_of(name), i);
	return i;
}

static void image_volume_wait(struct image_volume *i, const char *reason, const char *text)
{
	for (size_t k = 0; k < i->pod->n_ctrs; k++) {
		struct ctr *c = i->pod->ctrs[k];

		if (node_named(node_get(ctr_spec(c), F_volumeMounts), i->name))
			ctr_wait(c, reason, text);
	}
}

/* One at a time for a pod, so this is about that one. */
static struct image_volume *image_volume_pulling(struct pod *p)
{
	struct map_iter it = {0};

	while (map_next(p->volume_pulls, &it)) {
		struct image_volume *i = it.value;

		if (i->pulling)
			return i;
	}
	return NULL;
}

static void image_volume_pulled(struct pod *p, const struct err *err)
{
	struct image_volume *i = image_volume_pulling(p);

	if (!i)
		return;
	i->pulling = false;
	i->pulled = !err;
	set_str(&i->error, err ? err_msg(err) : NULL);
}

static int image_volume_failed(struct image_volume *i, const char *reference, struct err *e)
{
	int64_t now = time_mono_ms();

	backoff_next(&i->backoff, now, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	image_volume_wait(i, "ErrImagePull", i->error);
	err_set(e, ERR_INTERNAL, "Failed to pull image \"%s\": %s", reference, i->error);
	i->error = free_null(i->error);
	return -e->code;
}

static int image_volume_pull(struct image_volume *i, const char *reference, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	int64_t until;

	if (backoff_active(&i->backoff, i->backoff.last_ms, time_mono_ms(), &until)) {
		text = xasprintf("Back-off pulling image \"%s\"", reference);
		image_volume_wait(i, "ImagePullBackOff", text);
		return err_set(e, ERR_INTERNAL, "%s", text);
	}
	if (image_volume_pulling(i->pod))
		return -EAGAIN;
	if (pull_for_volume(i->pod, reference, image_volume_pulled) == 0) {
		i->pulling = true;
		pod_event(i->pod, NULL, "Normal", "Pulling", "Pulling image \"%s\"", reference);
	}
	return -EAGAIN;
}

/* 0: *ret may be mounted; -EAGAIN, or an error that the containers show, too. */
static int image_volume_find(struct volume_ctx *v, const char *reference, struct image **ret, struct err *e)
{
	struct image_volume *i = image_volume_of(v);
	const char *policy = node_gets(v->src, F_pullPolicy);
	int r = 0;

	if (i->pulling)
		return -EAGAIN;
	if (i->error)
		return image_volume_failed(i, reference, e);
	*ret = image_find(v->pod->agent->images, reference);
	if (*ret && (i->pulled || !pull_policy_needs(policy, reference, true)))
		r = pull_may_use(v->pod, *ret, reference);
	if (r > 0)
		return 0;
	*ret = image_unref(*ret);
	if (r < 0)
		return r;
	if (streq(policy, "Never")) {
		err_set(e, ERR_NOT_FOUND, "Container image \"%s\" is not present with pull policy of Never", reference);
		image_volume_wait(i, "ErrImageNeverPull", err_msg(e));
		return -e->code;
	}
	return image_volume_pull(i, reference, e);
}

static int one_layer_mount(const char *layer, const char *dir, struct err *e)
{
	if (mount(layer, dir, NULL, MS_BIND, NULL) < 0)
		return err_errno(e, errno, "mount the image's layer on '%s'", dir);
	if (mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | IMAGE_FLAGS, NULL) == 0)
		return 0;
	err_errno(e, errno, "make '%s' read-only", dir);
	(void)umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW);
	return -e->code;
}

/* Layers are named by their fds: so 128 of them fit. */
static int layers_mount(char *const *layers, const char *dir, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	VEC(int) fds = VEC_INIT;
	int r = 0;

	buf_adds(&b, "lowerdir=");
	for (size_t k = 0; layers[k] && r == 0; k++) {
		int fd = open(layers[k], O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0) {
			r = err_errno(e, errno, "open layer '%s'", layers[k]);
			break;
		}
		VEC_PUSH(&fds, fd);
		buf_addf(&b, "%s/proc/self/fd/%d", k ? ":" : "", fd);
	}
	if (r == 0 && b.len >= IMAGE_DATA_MAX)
		r = err_set(e, ERR_INVALID, "the image has too many layers for a volume");
	if (r == 0 && mount("overlay", dir, "overlay", IMAGE_FLAGS, b.s) < 0)
		r = err_errno(e, errno, "mount the image's layers on '%s'", dir);
	for (size_t k = 0; k < fds.n; k++)
		close_fd(fds.v[k]);
	VEC_RELEASE(&fds);
	return r;
}

static int image_volume_mount(const struct image *i, const char *dir, struct err *e)
{
	if (!i->layers || !i->layers[0])
		return err_set(e, ERR_INVALID, "the image has no files");
	return i->layers[1] ? layers_mount(i->layers, dir, e) : one_layer_mount(i->layers[0], dir, e);
}

static int image_volume_up(struct volume_ctx *v, char **path UNUSED, struct err *e)
{
	_cleanup_free_ char *holder = NULL;
	struct image *i = NULL;
	int r;

	if (path_is_mounted(v->dir))
		return 0;
	r = image_volume_find(v, node_gets(v->src, F_reference), &i, e);
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
	while (umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
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
