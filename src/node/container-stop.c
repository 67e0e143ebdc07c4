/*
 * How a container is told to end: preStop hook, stop signal, SIGKILL after the grace.
 */
#include "node/container.h"

static void pre_stop_done(struct ctr *c, const char *failure)
{
	struct container *rc = ctr_run(c);

	if (failure)
		ctr_event(c, "Warning", "FailedPreStopHook", "PreStopHook failed");
	if (rc && c->state == CTR_UP)
		container_stop(rc, max_i64(c->kill_ms - time_mono_ms(), 0));
}

void ctr_stop(struct ctr *c, int64_t grace_ms, const char *why)
{
	struct container *rc = ctr_run(c);
	int64_t kill = time_mono_ms() + max_i64(grace_ms, 0);
	_cleanup_free_ char *text = NULL;

	if (c->state != CTR_UP || !rc || (c->stopping && kill >= c->kill_ms))
		return;
	c->kill_ms = kill;
	if (!c->stopping) {
		text = xasprintf("Stopping container %s", c->name);
		ctr_event(c, "Normal", "Killing", why ? why : text);
		probes_stop(c);
		c->stopping = true;
		hook_cancel(c); /* a postStart hook */
		if (grace_ms > 0 && hook_run(c, true, grace_ms, pre_stop_done))
			return;
	} else {
		hook_cancel(c); /* less time than before */
	}
	container_stop(rc, max_i64(grace_ms, 0));
}
