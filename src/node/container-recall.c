/*
 * What the daemon finds of a container when it comes back: what the API remembers
 * of it, and what the runtime still has.
 */
#include "node/container.h"

const struct node *ctr_status_in(struct pod *p, const char *name)
{
	static const enum field lists[] = {F_initContainerStatuses, F_containerStatuses,
					   F_ephemeralContainerStatuses};
	const struct node *st = pod_status_node(p), *c;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if ((c = node_named(node_get(st, lists[i]), name)))
			return c;
	return NULL;
}

static const char *known_reason(const char *s)
{
	static const char *const all[] = {"Completed",	"Error",   "OOMKilled",
					  "StartError", "Unknown", "ContainerStatusUnknown"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (streq(all[i], s))
			return all[i];
	return "Error";
}

static const char *bare_id(const char *container_id)
{
	const char *s = strstr(container_id, "://");

	return s ? s + 3 : container_id;
}

static int64_t time_in(const struct node *n)
{
	int64_t ns;

	return time_parse_rfc3339(node_str(n), &ns) ? ns / SEC_NS : 0;
}

static void end_from_status(struct ctr_end *e, const struct node *term)
{
	if (!term)
		return;
	ctr_end_clear(e);
	e->set = true;
	e->exit_code = (int)node_int(node_get(term, F_exitCode), 0);
	e->signal = (int)node_int(node_get(term, F_signal), 0);
	e->reason = known_reason(node_gets(term, F_reason));
	e->message = xstrdup_null(node_cstr(node_get(term, F_message)));
	e->started_s = time_in(node_get(term, F_startedAt));
	e->finished_s = time_in(node_get(term, F_finishedAt));
	snprintf(e->id, sizeof(e->id), "%s", bare_id(node_gets(term, F_containerID)));
}

/* What the API remembers of it; the machine may have been switched off since. */
static void ctr_recall(struct ctr *c, const struct node *status)
{
	const struct node *state = node_get(status, F_state);

	c->attempt = (unsigned)node_int(node_get(status, F_restartCount), 0);
	snprintf(c->id, sizeof(c->id), "%s", bare_id(node_gets(status, F_containerID)));
	resize_note(c, node_get(status, F_resources) ? node_get(status, F_resources)
						       : node_get(ctr_spec(c), F_resources));
	set_str(&c->image_name, node_gets(status, F_image));
	set_str(&c->image_id, node_gets(status, F_imageID));
	end_from_status(&c->last, node_path(status, F_lastState, F_terminated));
	if (node_get(state, F_terminated)) {
		end_from_status(&c->end, node_get(state, F_terminated));
		c->state = CTR_DOWN;
	} else if (node_get(state, F_running)) {
		c->started_s = time_in(node_path(state, F_running, F_startedAt));
		c->state = CTR_UP; /* until its sandbox proves to be gone: ctr_lost */
	} else if (c->last.set) {
		c->end = c->last;
		c->last = (struct ctr_end){0};
		c->state = CTR_DOWN;
	}
	if (c->state == CTR_DOWN)
		c->end_ms = time_mono_ms() - max_i64(0, time_wall_s() - c->end.finished_s) * SEC_MS;
}

void ctr_adopt(struct ctr *c, struct container *rc, const struct node *status)
{
	struct container_status st;

	ctr_recall(c, status);
	if (!rc)
		return;
	container_status(rc, &st);
	if (st.state == CONTAINER_CREATED) { /* the daemon died while it was being made */
		container_remove(rc, false);
		return;
	}
	if (c->end.set && !streq(c->id, st.id)) { /* a newer attempt than the API knows */
		ctr_end_clear(&c->last);
		c->last = c->end;
		c->end = (struct ctr_end){0};
	}
	if (c->state == CTR_DOWN && c->end.set && streq(c->end.id, st.id) && st.state == CONTAINER_EXITED)
		return;
	c->attempt = st.attempt;
	c->started_s = st.started_ns / SEC_NS;
	snprintf(c->id, sizeof(c->id), "%s", st.id);
	set_str(&c->image, node_gets(ctr_spec(c), F_image));
	c->state = CTR_UP;
	if (st.state == CONTAINER_EXITED) {
		ctr_ended(c, &st);
		return;
	}
	c->ready = node_bool(node_get(status, F_ready), false);
	c->started = node_bool(node_get(status, F_started), false);
	probes_start(c, true);
}
