/*
 * The image of a container: pull policy, pull and back-off, with the reasons,
 * messages and events of the kubelet's image manager (pkg/kubelet/images, 1.36).
 *
 * An image that is here may be used by a pod whose policy is not Always only when
 * it was brought by hand, pulled without credentials, or pulled with credentials
 * that the pod has (pull-record.c); else it is pulled again with the pod's own.
 */
#include "node/pull.h"

#include <errno.h>

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

/* As Go prints a duration that was cut to milliseconds: "393ms", "1.2s", "2m0.5s", "1h0m3s". */
void pull_duration(int64_t ms, char out[48])
{
	char s[16];
	int n;

	if (ms <= 0 || ms < SEC_MS) {
		snprintf(out, 48, ms > 0 ? "%dms" : "0s", (int)ms);
		return;
	}
	n = snprintf(s, sizeof(s), "%d.%03d", (int)(ms / SEC_MS % 60), (int)(ms % SEC_MS));
	while (s[n - 1] == '0')
		s[--n] = '\0';
	if (s[n - 1] == '.')
		s[--n] = '\0';
	if (ms >= 3600 * SEC_MS)
		snprintf(out, 48, "%lldh%dm%ss", (long long)(ms / 3600 / SEC_MS), (int)(ms / 60 / SEC_MS % 60), s);
	else if (ms >= 60 * SEC_MS)
		snprintf(out, 48, "%dm%ss", (int)(ms / 60 / SEC_MS), s);
	else
		snprintf(out, 48, "%ss", s);
}

static void pull_event(struct ctr *c, const char *type, const char *reason, const char *text)
{
	_cleanup_free_ char *path = ctr_field_path(c);

	pod_event(c->pod, path, type, reason, "%s", text);
}

static struct pull_records *pull_records_of(struct node_agent *n)
{
	if (!n->pull_records)
		n->pull_records = pull_records_new(n->state_dir, n->images);
	return n->pull_records;
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

/* Nobody is there, or whoever is says that he can't now. */
static bool pull_unavailable(const struct err *err)
{
	return err->code == ECONNREFUSED || err->code == EHOSTUNREACH || err->code == ENETUNREACH ||
	       err->reason == ERR_SERVICE_UNAVAILABLE;
}

static void pull_failed(struct ctr *c, const char *image, const struct err *err)
{
	int64_t now = time_mono_ms();
	_cleanup_free_ char *text = xasprintf("Failed to pull image \"%s\": %s", image, err_msg(err)), *message = NULL;

	c->pull_reason = pull_unavailable(err) ? "RegistryUnavailable" : "ErrImagePull";
	message = pull_unavailable(err) ? xasprintf("image pull failed for %s because the registry is unavailable: %s", image,
						    err_msg(err)) :
					  xstrdup(err_msg(err));
	backoff_next(&c->pull, now, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	set_str(&c->pull_error, message);
	pull_event(c, "Warning", "Failed", text);
	c->reason = NULL;
	pull_wait(c, c->pull_reason, message, now + PULL_ERROR_SHOWN_MS);
}

struct pull_call {
	LIST_ENTRY(pull_call) link; /* in the agent's list */
	struct ctr *ctr; /* NULL: for a volume */
	struct pod *pod; /* NULL: the agent is gone */
	void (*done)(struct pod *p, const struct err *err); /* of a volume's */
	char *image;
	bool recorded; /* pull_records_begin was told */
};

static void pull_succeeded(struct ctr *c, const struct pull_call *call, struct image *img, const struct image_pulled *info)
{
	char took[48], all[48];
	_cleanup_free_ char *text = NULL;

	pull_duration(info->took_ms, took);
	pull_duration(info->waited_ms + info->took_ms, all);
	text = xasprintf("Successfully pulled image \"%s\" in %s (%s including waiting). Image size: %lld bytes.", call->image,
			 took, all, (long long)img->size);
	pull_event(c, "Normal", "Pulled", text);
	c->pulled = true;
	c->pull = (struct backoff){0};
	c->retry_ms = 0;
	image_gc_due(c->pod->agent, true);
}

static void pull_done(void *arg, struct image *img, const struct image_pulled *info, const struct err *err)
{
	struct pull_call *call = arg;
	struct ctr *c = call->ctr;
	struct pod *p = call->pod;

	if (p)
		LIST_REMOVE(call, link);
	if (p && img && !err)
		pull_records_done(pull_records_of(p->agent), img, call->image, info->source, info->hash);
	else if (p && call->recorded)
		pull_records_failed(pull_records_of(p->agent), call->image);
	if (p && c) {
		c->pulling = false;
		if (img && !err)
			pull_succeeded(c, call, img, info);
		else
			pull_failed(c, call->image, err);
	} else if (p) {
		call->done(p, err);
	}
	free(call->image);
	free(call);
	if (p)
		pod_put(p);
}

static void pull_call(struct pull_call call, const char *image, struct image_keyring *keys)
{
	const struct image_pull_opts opts = {.keys = keys};
	struct node_agent *n = call.pod->agent;
	struct pull_call *own = xmalloc(sizeof(*own));

	*own = call;
	own->image = xstrdup(image);
	own->recorded = keys != NULL;
	LIST_INSERT_HEAD(&n->pull_calls, own, link);
	if (keys)
		pull_records_begin(pull_records_of(n), image);
	call.pod->pending++;
	image_pull(n->images, image, &opts, pull_done, own);
}

static void pull_start(struct ctr *c, const char *image, struct image_keyring *keys)
{
	_cleanup_free_ char *text = NULL, *ev = NULL;
	int64_t now = time_mono_ms(), until;

	if (backoff_active(&c->pull, c->pull.last_ms, now, &until)) {
		ev = xasprintf("Back-off pulling image \"%s\"", image);
		text = xasprintf("%s: %s: %s", ev, c->pull_reason ? c->pull_reason : "ErrImagePull",
				 c->pull_error ? c->pull_error : "");
		if (!c->reason || !streq(c->reason, "ImagePullBackOff"))
			pull_event(c, "Normal", "BackOff", ev);
		pull_wait(c, "ImagePullBackOff", text, until);
		return;
	}
	text = xasprintf("Pulling image \"%s\"", image);
	pull_event(c, "Normal", "Pulling", text);
	c->pulling = true;
	c->retry_ms = 0;
	pull_call((struct pull_call){.ctr = c, .pod = c->pod}, image, keys);
}

/* The pod's credentials; what is missing of them is told. */
static int pull_credentials(struct pod *p, struct image_keyring **ret)
{
	_cleanup_free_ char *missing = NULL, *text = NULL;

	if (!pull_keyring(p, ret, &missing))
		return -EAGAIN;
	if (*missing) {
		text = xasprintf("Unable to retrieve some image pull secrets (%s); attempting to pull the image may "
				 "not succeed.",
				 missing);
		pod_event_again(p, "FailedToRetrieveImagePullSecret", text);
	}
	return 0;
}

/* --- images of volumes --- */

int pull_may_use(struct pod *p, const struct image *i, const char *ref)
{
	struct image_keyring *keys = NULL;
	int r = pull_credentials(p, &keys);

	if (r == 0)
		r = !pull_records_must_pull(pull_records_of(p->agent), i, ref, keys);
	image_keyring_unref(keys);
	return r;
}

int pull_for_volume(struct pod *p, const char *ref, void (*done)(struct pod *p, const struct err *err))
{
	struct image_keyring *keys = NULL;
	int r = pull_credentials(p, &keys);

	if (r == 0)
		pull_call((struct pull_call){.pod = p, .done = done}, ref, keys);
	image_keyring_unref(keys);
	return r;
}

/* --- the end of the agent --- */

void pulls_forget(struct node_agent *n)
{
	struct pull_call *call, *next;

	LIST_FOREACH_SAFE (call, &n->pull_calls, link, next)
		call->pod = NULL;
	LIST_INIT(&n->pull_calls);
	pull_records_free(n->pull_records);
	n->pull_records = NULL;
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

static int already_there(struct ctr *c, const char *image)
{
	_cleanup_free_ char *text = xasprintf(
		"Container image \"%s\" already present on machine and can be accessed by the pod", image);

	pull_event(c, "Normal", "Pulled", text);
	c->pulled = true; /* told once for each attempt */
	return 1;
}

/* The attempt's first look: 1: the image that is here will do. */
static int pull_decide(struct ctr *c, const char *image, struct image *img)
{
	const char *policy = node_gets(ctr_spec(c), F_imagePullPolicy);
	bool needs = pull_policy_needs(policy, image, img);
	struct image_keyring *keys = NULL;

	if (!img && !needs)
		return never_there(c, image);
	if (pull_credentials(c->pod, &keys) < 0)
		return 0;
	if (!needs && !pull_records_must_pull(pull_records_of(c->pod->agent), img, image, keys)) {
		image_keyring_unref(keys);
		return already_there(c, image);
	}
	c->pulled = false;
	if (streq(policy, "Never")) /* that it is here is nothing for those who may not use it to know */
		never_there(c, image);
	else
		pull_start(c, image, keys);
	image_keyring_unref(keys);
	return 0;
}

int ctr_image(struct ctr *c, struct image **ret)
{
	const char *image = node_gets(ctr_spec(c), F_image);
	_cleanup_err_ struct err e = ERR_INIT;
	struct image_ref ref = {0};
	struct image *img;
	bool valid = image_ref_parse(&ref, image, &e) == 0;
	int r;

	image_ref_release(&ref);
	if (!valid)
		return bad_name(c, image);
	if (c->pulling)
		return 0;
	img = image_find(c->pod->agent->images, image);
	r = c->pulled && img ? 1 : pull_decide(c, image, img);
	if (r > 0)
		*ret = img;
	else
		image_unref(img);
	return r;
}
