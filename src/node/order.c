/*
 * The order among the containers of a pod.
 *
 * Init containers run one after the other, each to its successful end; sidecars
 * (init containers with restartPolicy Always) are started in their place, and
 * what follows waits until they have started: startup probe and postStart hook
 * are through. They run on, and when one is restarted later nothing waits for it
 * again. Then the ordinary containers start, together; but a postStart hook keeps
 * those behind it waiting, as in the kubelet, which starts one after the other.
 * Ephemeral containers wait for nothing but the sandbox. An attempt that ended is
 * started again as restart.c says, after the back-off.
 *
 * At the end all are told at once and their preStop hooks run; the stop signal
 * comes to ordinary containers when their hook is through, to a sidecar when also
 * all that was started behind it has ended, or when the time is over.
 */
#include "node/container.h"

/* --- restart --- */

static void crash_backoff_next(struct ctr *c)
{
	backoff_next(&c->crash, c->end_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	c->crash.last_ms = time_mono_ms(); /* forgotten when it then ran for long enough */
}

/* False: it has to wait for the end of the back-off first. */
static bool crash_backoff_over(struct ctr *c)
{
	struct pod *p = c->pod;
	int64_t until, now = time_mono_ms();
	_cleanup_free_ char *text = NULL, *ev = NULL;
	char delay[32];

	if (!backoff_active(&c->crash, c->end_ms, now, &until)) {
		crash_backoff_next(c);
		return true;
	}
	backoff_text(c->crash.delay_ms, delay);
	text = xasprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", delay, c->name, p->name,
			 p->ns, p->uid);
	ev = xasprintf("Back-off restarting failed container %s in pod %s_%s(%s)", c->name, p->name, p->ns,
		       p->uid);
	ctr_event(c, "Warning", "BackOff", ev);
	ctr_wait(c, "CrashLoopBackOff", text);
	c->retry_ms = until;
	return false;
}

static void check_image_changed(struct ctr *c)
{
	const struct node *spec = ctr_spec(c);
	_cleanup_free_ char *text = NULL;

	if (!spec || c->stopping || c->kind == CTR_INIT || c->kind == CTR_EPHEMERAL || !c->image ||
	    streq(c->image, node_gets(spec, F_image)))
		return;
	text = xasprintf("Container %s definition changed, will be restarted", c->name);
	c->restart_asked = true;
	ctr_stop(c, node_int(node_get(pod_spec(c->pod), F_terminationGracePeriodSeconds), 30) * SEC_MS, text);
}

static void ctr_drive(struct ctr *c)
{
	switch (c->state) {
	case CTR_STARTING:
		return;
	case CTR_UP:
		check_image_changed(c);
		return;
	case CTR_DOWN:
		if (!ctr_will_restart(c))
			return;
		c->state = CTR_WAIT;
		if (!crash_backoff_over(c))
			return;
		break;
	case CTR_WAIT:
		if (c->retry_ms > time_mono_ms())
			return;
		if (c->reason && streq(c->reason, "CrashLoopBackOff")) {
			crash_backoff_next(c);
			ctr_wait(c, NULL, NULL);
		}
		break;
	}
	ctr_start(c);
}

/* --- start --- */

static bool sidecar_passed(struct ctr *c)
{
	if (c->state == CTR_UP && c->started)
		c->was_started = true;
	return c->was_started;
}

/* 1: all are through; 0: not yet; -1: one failed for good. */
static int inits_run(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_SIDECAR) {
			ctr_drive(c);
			if (!sidecar_passed(c))
				return 0;
		} else if (c->kind == CTR_INIT) {
			if (c->state == CTR_DOWN && c->end.exit_code == 0)
				continue;
			if (c->state == CTR_DOWN && !ctr_will_restart(c))
				return -1;
			ctr_drive(c);
			return 0;
		}
	}
	return 1;
}

/* Between its start and the end of its postStart hook. */
static bool holds_others(struct ctr *c)
{
	return c->post_start ||
	       (c->state == CTR_STARTING && node_get(node_get(ctr_spec(c), F_lifecycle), F_postStart));
}

static void mains_run(struct pod *p)
{
	bool held = false;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_SIDECAR || (c->kind == CTR_MAIN && !held))
			ctr_drive(c);
		held = held || (c->kind == CTR_MAIN && holds_others(c));
	}
}

bool ctrs_over(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_MAIN && (c->state != CTR_DOWN || ctr_will_restart(c)))
			return false;
	}
	return true;
}

bool ctrs_run(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind == CTR_EPHEMERAL)
			ctr_drive(p->ctrs[i]);
	if (!p->initialized) {
		int r = inits_run(p);

		if (r <= 0)
			return r < 0;
		p->initialized = true;
	}
	if (ctrs_over(p))
		return true;
	mains_run(p);
	return false;
}

int64_t ctrs_next_due(struct pod *p)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == CTR_WAIT && p->ctrs[i]->retry_ms)
			due = min_i64(due, p->ctrs[i]->retry_ms);
	return due;
}

/* --- stop --- */

bool pod_has_inits(const struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind <= CTR_SIDECAR)
			return true;
	return false;
}

void ctrs_give_up(struct pod *p)
{
	bool initialized = p->initialized || !pod_has_inits(p);

	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->state != CTR_WAIT)
			continue;
		if (!c->end.set && (c->kind != CTR_MAIN || !initialized))
			continue;
		if (!c->end.set) {
			ctr_end_make(c, 137, "ContainerStatusUnknown");
			c->end.finished_s = 0;
			c->end.message =
				xstrdup("The container could not be located when the pod was terminated");
		}
		ctr_down(c);
	}
}

bool ctrs_stop(struct pod *p)
{
	int64_t grace = p->stop_at_ms - time_mono_ms();
	bool alive = false;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_SIDECAR || !ctr_alive(c))
			continue;
		alive = true;
		ctr_stop(c, grace, NULL);
	}
	for (size_t i = p->n_ctrs; i-- > 0;) {
		struct ctr *c = p->ctrs[i];

		if (c->kind != CTR_SIDECAR || !ctr_alive(c))
			continue;
		ctr_stop_in_turn(c, grace, !alive || grace <= 0);
		alive = true;
	}
	return !alive;
}
