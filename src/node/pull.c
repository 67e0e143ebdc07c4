/*
 * The image of a container: pull policy, pull and back-off, with the reasons,
 * messages and events of the kubelet's image manager.
 */
#include "node/internal.h"

/* ErrImagePull is shown this long before it turns into ImagePullBackOff. */
#define PULL_ERROR_SHOWN_MS 2000

bool pull_policy_needs(const char *policy, const char *image, bool present)
{
	const char *base;

	if (streq(policy, "Always"))
		return true;
	if (streq(policy, "Never"))
		return false;
	if (streq(policy, "IfNotPresent"))
		return !present;
	/* Not defaulted: :latest is always pulled. */
	base = path_base(image);
	return !present || ends_with(base, ":latest") || !strpbrk(base, ":@");
}

char *image_display_name(struct image *i, const char *asked)
{
	struct image_ref r = {0};
	_cleanup_err_ struct err e = ERR_INIT;
	char *out = NULL;

	if (image_ref_parse(&r, asked, &e) == 0)
		out = image_ref_print(&r);
	image_ref_release(&r);
	for (size_t k = 0; out && i->names && i->names[k]; k++)
		if (streq(i->names[k], out))
			return out;
	if (i->names && i->names[0]) { /* asked for by its id */
		free(out);
		return xstrdup(i->names[0]);
	}
	return out ? out : xstrdup(asked);
}

static void pull_event(struct ctr *c, const char *type, const char *reason, const char *text)
{
	char *path = ctr_field_path(c);

	pod_event(c->pod, path, type, reason, "%s", text);
	free(path);
}

static void pull_wait(struct ctr *c, const char *reason, const char *message, int64_t retry_ms)
{
	bool first = !c->reason || !streq(c->reason, reason);
	_cleanup_free_ char *text = xasprintf("Error: %s", reason);

	ctr_wait(c, reason, message);
	c->retry_ms = retry_ms;
	if (first)
		pull_event(c, "Warning", "Failed", text);
}

static void pull_failed(struct ctr *c, const char *image, const struct err *err)
{
	int64_t now = time_mono_ms();
	_cleanup_free_ char *text = xasprintf("Failed to pull image \"%s\": %s", image, err_msg(err));

	backoff_next(&c->pull, now, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	set_str(&c->pull_error, err_msg(err));
	pull_event(c, "Warning", "Failed", text);
	c->reason = NULL;
	pull_wait(c, "ErrImagePull", err_msg(err), now + PULL_ERROR_SHOWN_MS);
}

struct pull_call {
	struct ctr *ctr;
	char *image;
	int64_t begun_ms;
};

static void pull_done(void *arg, struct image *img, const struct image_pulled *info, const struct err *err)
{
	struct pull_call *call = arg;
	struct ctr *c = call->ctr;
	double s = (double)(time_mono_ms() - call->begun_ms) / 1000;
	_cleanup_free_ char *text = NULL;

	c->pulling = false;
	if (img && !err) {
		text = xasprintf("Successfully pulled image \"%s\" in %.3gs (%.3gs including waiting). Image "
				 "size: %lld bytes.",
				 call->image, s, s, (long long)img->size);
		pull_event(c, "Normal", "Pulled", text);
		c->pulled = true;
		c->pull = (struct backoff){0};
		c->retry_ms = 0;
	} else {
		pull_failed(c, call->image, err);
	}
	free(call->image);
	free(call);
	pod_put(c->pod);
}

static int pull_start(struct ctr *c, const char *image)
{
	_cleanup_free_ char *text = NULL, *ev = NULL;
	int64_t now = time_mono_ms(), until;
	struct pull_call *call;

	if (c->pulling)
		return 0;
	if (backoff_active(&c->pull, c->pull.last_ms, now, &until)) {
		ev = xasprintf("Back-off pulling image \"%s\"", image);
		text = xasprintf("%s: ErrImagePull: %s", ev, c->pull_error ? c->pull_error : "");
		if (!c->reason || !streq(c->reason, "ImagePullBackOff"))
			pull_event(c, "Normal", "BackOff", text);
		pull_wait(c, "ImagePullBackOff", text, until);
		return 0;
	}
	text = xasprintf("Pulling image \"%s\"", image);
	pull_event(c, "Normal", "Pulling", text);
	call = xcalloc(1, sizeof(*call));
	*call = (struct pull_call){c, xstrdup(image), now};
	c->pulling = true;
	c->retry_ms = 0;
	c->pod->pending++;
	image_pull(c->pod->agent->images, image, NULL, pull_done, call);
	return 0;
}

static int bad_name(struct ctr *c, const char *image)
{
	_cleanup_free_ char *text = xasprintf("Failed to apply default image tag \"%s\": couldn't parse "
					      "image name \"%s\": invalid reference format",
					      image, image);

	if (!c->reason || !streq(c->reason, "InvalidImageName"))
		pull_event(c, "Warning", "InspectFailed", text);
	pull_wait(c, "InvalidImageName", text, 0);
	return 0;
}

static int never_there(struct ctr *c, const char *image)
{
	_cleanup_free_ char *text =
		xasprintf("Container image \"%s\" is not present with pull policy of Never", image);

	if (!c->reason || !streq(c->reason, "ErrImageNeverPull"))
		pull_event(c, "Warning", "ErrImageNeverPull", text);
	pull_wait(c, "ErrImageNeverPull", text, time_mono_ms() + BACKOFF_FIRST_MS);
	return 0;
}

int ctr_image(struct ctr *c, struct image **ret)
{
	const struct node *spec = ctr_spec(c);
	const char *image = node_gets(spec, F_image), *policy = node_gets(spec, F_imagePullPolicy);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *text = NULL;
	struct image_ref ref = {0};
	struct image *img;
	bool valid = image_ref_parse(&ref, image, &e) == 0;

	image_ref_release(&ref);
	if (!valid)
		return bad_name(c, image);
	img = image_find(c->pod->agent->images, image);
	if (!c->pulled || !img) {
		if (pull_policy_needs(policy, image, img)) {
			image_unref(img);
			c->pulled = false;
			return pull_start(c, image);
		}
		if (!img)
			return never_there(c, image);
		text = xasprintf(
			"Container image \"%s\" already present on machine and can be accessed by the pod",
			image);
		pull_event(c, "Normal", "Pulled", text);
		c->pulled = true; /* told once for each attempt */
	}
	*ret = img;
	return 1;
}
