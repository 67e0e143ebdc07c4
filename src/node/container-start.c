/*
 * One attempt of a container, from its image to its first process.
 *
 * The dead attempt before the newest keeps its log (kubectl logs --previous);
 * older ones go when a new one starts.
 */
#include <glob.h>
#include <unistd.h>

#include "node/container.h"
#include "node/logs.h"

#define CONFIG_RETRY_MS 10000

/* The logs of attempts that nobody can ask for any more. */
static void drop_old_logs(struct ctr *c)
{
	_cleanup_free_ char *log = NULL, *pattern = NULL;
	glob_t g;

	if (c->attempt < 2)
		return;
	log = ctr_log_file(c, c->attempt - 2);
	pattern = xasprintf("%s*", log);
	if (glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		unlink(g.gl_pathv[i]);
	globfree(&g);
	log_links_sweep(c->pod->agent);
}

/* Dead attempts of this container that the runtime still holds: their roots are of no use. */
static void drop_old_attempts(struct ctr *c)
{
	struct container *all[64];
	size_t n = sandbox_containers(c->pod->sandbox, all, ARRAY_SIZE(all));

	for (size_t i = 0; i < n && i < ARRAY_SIZE(all); i++) {
		struct container_status st;

		container_status(all[i], &st);
		if (streq(st.name, c->name) && !streq(st.id, c->id) && st.state == CONTAINER_EXITED)
			container_remove(all[i], false);
	}
	drop_old_logs(c);
}

static void post_start_done(struct ctr *c, const char *failure)
{
	c->post_start = false;
	pod_kick(c->pod);
	if (c->state != CTR_UP)
		return;
	if (!failure) {
		probes_start(c, false);
		return;
	}
	ctr_event(c, "Warning", "FailedPostStartHook", "PostStartHook failed");
	c->restart_asked = true;
	ctr_stop(c, node_int(node_get(pod_spec(c->pod), F_terminationGracePeriodSeconds), 30) * SEC_MS,
		 "FailedPostStartHook");
}

static void start_failed(struct ctr *c, const struct err *err)
{
	_cleanup_free_ char *text = xasprintf("Error: %s", err_msg(err));
	bool config = streq_null(err->kind, "CreateContainerConfigError");

	ctr_event(c, "Warning", "Failed", text);
	log_warn("container does not start", LS("pod", c->pod->name), LS("ns", c->pod->ns),
		 LS("container", c->name), LE(err));
	if (config || streq_null(err->kind, "CreateContainerError")) {
		/* No attempt was made. */
		if (c->last.set) {
			c->attempt--;
			snprintf(c->id, sizeof(c->id), "%s", c->last.id);
		} else {
			c->id[0] = '\0';
		}
		c->state = CTR_WAIT;
		ctr_wait(c, config ? "CreateContainerConfigError" : "CreateContainerError", err_msg(err));
		c->retry_ms = time_mono_ms() + CONFIG_RETRY_MS;
		return;
	}
	ctr_end_make(c, 128, "StartError");
	c->end.message = xstrdup(err_msg(err));
	ctr_down(c);
}

struct start_call {
	struct ctr *ctr;
	unsigned attempt;
};

static void start_done(void *arg, struct container *rc, const struct err *err)
{
	struct start_call *call = arg;
	struct ctr *c = call->ctr;
	struct container_status st;
	bool overtaken = c->state != CTR_STARTING || c->attempt != call->attempt;

	free(call);
	if (overtaken) { /* its end came first */
		pod_put(c->pod);
		return;
	}
	if (err) {
		start_failed(c, err);
		pod_put(c->pod);
		return;
	}
	container_status(rc, &st);
	c->state = CTR_UP;
	c->started_s = st.started_ns / SEC_NS;
	log_link(c);
	ctr_wait(c, NULL, NULL);
	ctr_event(c, "Normal", "Created", "Container created");
	ctr_event(c, "Normal", "Started", "Container started");
	drop_old_attempts(c);
	if (st.state == CONTAINER_EXITED) {
		ctr_ended(c, &st);
	} else {
		c->post_start = hook_run(c, false, 0, post_start_done);
		if (!c->post_start)
			probes_start(c, false);
	}
	pod_put(c->pod);
}

static void make_id(char id[65])
{
	uint8_t bytes[32];

	rand_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static void spec_failed(struct ctr *c, const struct err *e)
{
	const char *reason = streq_null(e->kind, "CreateContainerError") ? "CreateContainerError"
									 : "CreateContainerConfigError";
	_cleanup_free_ char *text = xasprintf("Error: %s", err_msg(e));

	if (!streq_null(c->message, err_msg(e)))
		ctr_event(c, "Warning", "Failed", text);
	ctr_wait(c, reason, err_msg(e));
	c->retry_ms = time_mono_ms() + CONFIG_RETRY_MS;
}

/* Attempt numbers go on behind what was there before, in this life or an earlier one. */
static void next_attempt(struct ctr *c, struct image *img)
{
	_cleanup_free_ char *name = image_display_name(img, node_gets(ctr_spec(c), F_image));

	set_str(&c->image_name, name);
	set_str(&c->image_id, *img->repo_digest ? img->repo_digest : img->id);
	set_str(&c->image, node_gets(ctr_spec(c), F_image));
	resize_note(c, node_get(ctr_spec(c), F_resources));
	if (c->end.set) {
		ctr_end_clear(&c->last);
		c->last = c->end;
		c->end = (struct ctr_end){0};
	}
	if (c->id[0] || c->last.set)
		c->attempt++;
}

/* "name_<pod uid>": a container's attempts share one hold, which ends with the pod (pod_unhold_images). */
static int ctr_hold_image(struct ctr *c, const struct image *img, struct err *e)
{
	_cleanup_free_ char *holder = xasprintf("%s_%s", c->name, c->pod->uid);

	return image_hold(c->pod->agent->images, img, holder, e);
}

/* The container whose processes an ephemeral one is to see (kubectl debug --target). */
static int ctr_target(struct ctr *c, struct container **ret, struct err *e)
{
	const char *name = node_gets(ctr_spec(c), F_targetContainerName);
	struct ctr *t = *name ? pod_ctr(c->pod, name) : NULL;

	if (!*name)
		return 0;
	*ret = t && t->state == CTR_UP ? ctr_run(t) : NULL;
	if (!*ret)
		return err_set(e, ERR_INVALID, "unable to find target container \"%s\"", name);
	return 0;
}

void ctr_start(struct ctr *c)
{
	struct run_container_spec spec = {0};
	_cleanup_err_ struct err e = ERR_INIT;
	struct start_call *call;
	struct image *img = NULL;
	struct arena *a;
	char id[65];
	int r = ctr_image(c, &img);

	if (r <= 0)
		return;
	a = arena_new();
	make_id(id);
	spec.id = id;
	spec.attempt = c->id[0] || c->end.set || c->last.set ? c->attempt + 1 : 0;
	r = spec_container(c, img, a, &spec, &e);
	if (r == 0)
		r = ctr_target(c, &spec.pid_of, &e);
	if (r == 0)
		r = ctr_hold_image(c, img, &e);
	if (r < 0) {
		if (err_is_set(&e))
			spec_failed(c, &e);
		goto out;
	}
	next_attempt(c, img);
	snprintf(c->id, sizeof(c->id), "%s", id);
	c->state = CTR_STARTING;
	c->ready = c->started = c->stopping = c->restart_asked = c->pulled = c->post_start = false;
	c->retry_ms = 0;
	c->pod->pending++;
	call = xmalloc(sizeof(*call));
	*call = (struct start_call){c, c->attempt};
	container_start(c->pod->sandbox, &spec, start_done, call);
out:
	arena_free(a);
	image_unref(img);
}
