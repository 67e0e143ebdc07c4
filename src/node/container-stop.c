/*
 * How a container is told to end: its preStop hook runs, then it gets the stop
 * signal, and SIGKILL when the grace is over, but never sooner than two seconds
 * behind the signal (the kubelet's minimal shutdown window).
 */
#include "node/container.h"

#define STOP_LEAST_MS 2000

static void send_stop(struct ctr *c)
{
	struct container *rc = ctr_run(c);

	c->signalled = true;
	if (rc)
		container_stop(rc, max_i64(c->kill_ms - time_mono_ms(), STOP_LEAST_MS));
}

static void pre_stop_done(struct ctr *c, const char *failure)
{
	if (failure)
		ctr_event(c, "Warning", "FailedPreStopHook", "PreStopHook failed");
	if (c->state == CTR_UP && c->turn)
		send_stop(c);
}

static void stop_begin(struct ctr *c, const char *why)
{
	int64_t grace = c->kill_ms - time_mono_ms();
	_cleanup_free_ char *text = xasprintf("Stopping container %s", c->name);

	c->stopping = true;
	c->turn = c->signalled = false;
	ctr_event(c, "Normal", "Killing", why ? why : text);
	probes_quiet(c);
	hook_cancel(c); /* a postStart hook */
	c->post_start = false;
	if (grace > 0)
		hook_run(c, true, grace, pre_stop_done);
}

/* One that is being stopped has less time than it was told first. */
static void stop_sooner(struct ctr *c, int64_t kill_ms)
{
	c->kill_ms = kill_ms;
	c->signalled = false;
	hook_cancel(c);
}

static void stop_at(struct ctr *c, int64_t grace_ms, const char *why, bool turn)
{
	int64_t kill = time_mono_ms() + max_i64(grace_ms, 0);

	if (c->state != CTR_UP || !ctr_run(c))
		return;
	if (!c->stopping) {
		c->kill_ms = kill;
		stop_begin(c, why);
	} else if (kill < c->kill_ms) {
		stop_sooner(c, kill);
	}
	c->turn |= turn;
	if (c->turn && !c->signalled && !c->hook)
		send_stop(c);
}

void ctr_stop(struct ctr *c, int64_t grace_ms, const char *why)
{
	stop_at(c, grace_ms, why, true);
}

void ctr_stop_in_turn(struct ctr *c, int64_t grace_ms, bool turn)
{
	stop_at(c, grace_ms, NULL, turn);
}
