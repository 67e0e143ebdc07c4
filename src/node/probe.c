/*
 * The life of a probe: startup, liveness or readiness of one container, as the
 * kubelet's prober workers have it (pkg/kubelet/prober).
 *
 * A startup probe runs alone until it succeeds. Liveness: failureThreshold
 * failures in a row end the container, and it is restarted. Readiness sets
 * `ready`. A probe that errors (it could not be asked) counts neither way.
 *
 * One thing is done better than there: between the first asking and the second, a
 * startup or readiness probe that did not succeed is asked again soon (50 ms
 * doubling), without counting, so that a server that needs 200 ms is not unready
 * for 10 s. The askings at the proper times count as ever.
 */
#include "node/container.h"
#include "node/probe.h"

struct probe {
	struct ctr *ctr;
	enum probe_kind kind;
	struct loop_timer *timer;
	struct probe_try *try;
	int ok_run, fail_run;
	int64_t begun_ms, due_ms; /* monotonic: first asking; next proper one */
	int64_t quick_ms;	  /* delay of the last asking in between */
	bool quick;		  /* the asking under way is one in between */
	bool passed;
};

static const enum field probe_fields[] = {F_startupProbe, F_livenessProbe, F_readinessProbe};
static const char *const probe_names[] = {"Startup", "Liveness", "Readiness"};

static const struct {
	enum field action;
	void (*run)(struct probe_try *t, const struct node *action);
} probe_actions[] = {
	{F_exec, try_exec},
	{F_httpGet, try_http},
	{F_tcpSocket, try_tcp},
	{F_grpc, try_grpc},
};

static const struct node *probe_spec(struct probe *p)
{
	return node_get(ctr_spec(p->ctr), probe_fields[p->kind]);
}

static int64_t probe_int(struct probe *p, enum field f, int64_t dflt, int64_t least)
{
	return max_i64(node_int(node_get(probe_spec(p), f), dflt), least);
}

static int64_t probe_period_ms(struct probe *p)
{
	return probe_int(p, F_periodSeconds, 10, 1) * SEC_MS;
}

static void probe_drop(struct ctr *c, enum probe_kind kind)
{
	struct probe *p = c->probes[kind];

	if (!p)
		return;
	c->probes[kind] = NULL;
	loop_timer_free(p->timer);
	probe_try_cancel(p->try);
	free(p);
}

static void probe_begin(struct ctr *c, enum probe_kind kind);

/* --- what an answer changes; p may be gone afterwards --- */

static void probe_passed(struct probe *p)
{
	struct ctr *c = p->ctr;

	p->passed = true;
	if (p->kind == PROBE_STARTUP) {
		c->started = true;
		probe_drop(c, PROBE_STARTUP);
		probe_begin(c, PROBE_LIVENESS);
		probe_begin(c, PROBE_READINESS);
		if (!c->probes[PROBE_READINESS])
			c->ready = true;
		pod_kick(c->pod);
	} else if (p->kind == PROBE_READINESS && !c->ready) {
		c->ready = true;
		pod_kick(c->pod);
	}
}

static void probe_failed(struct probe *p)
{
	struct ctr *c = p->ctr;
	const struct node *own = node_get(probe_spec(p), F_terminationGracePeriodSeconds);
	_cleanup_free_ char *text = NULL;

	if (p->kind == PROBE_READINESS) {
		if (c->ready) {
			c->ready = false;
			pod_kick(c->pod);
		}
		return;
	}
	c->restart_asked = true;
	text = xasprintf("Container %s failed %s probe%s", c->name,
			 p->kind == PROBE_STARTUP ? "startup" : "liveness",
			 ctr_will_restart(c) ? ", will be restarted" : "");
	ctr_stop(c,
		 node_int(own ? own : node_get(pod_spec(c->pod), F_terminationGracePeriodSeconds), 30) *
			 SEC_MS,
		 text);
}

static void probe_event(struct probe *p, enum probe_result r, const char *text)
{
	_cleanup_free_ char *message = NULL;
	static const char *const what[] = {[PROBE_FAILED] = "failed",
					   [PROBE_WARNING] = "warning",
					   [PROBE_ERROR] = "errored and resulted in unknown state"};

	if (r == PROBE_OK)
		return;
	message = xasprintf("%s probe %s: %s", probe_names[p->kind], what[r], text);
	ctr_event(p->ctr, "Warning", r == PROBE_WARNING ? "ProbeWarning" : "Unhealthy", message);
}

/* --- askings --- */

static bool probe_may_hurry(struct probe *p)
{
	return p->kind != PROBE_LIVENESS && !p->passed && p->due_ms - p->begun_ms <= probe_period_ms(p) &&
	       probe_int(p, F_successThreshold, 1, 1) == 1;
}

static void probe_next(struct probe *p)
{
	int64_t now = time_mono_ms(), at = p->due_ms;

	if (probe_may_hurry(p)) {
		p->quick_ms = p->quick_ms ? p->quick_ms * 2 : 50;
		at = min_i64(at, now + p->quick_ms);
	}
	loop_timer_set(p->timer, max_i64(at - now, 0));
}

static void probe_done(void *arg, enum probe_result r, const char *text)
{
	struct probe *p = arg;

	p->try = NULL;
	p->ctr->probed[p->kind][r == PROBE_FAILED ? 1 : r == PROBE_ERROR ? 2 : 0]++;
	if (p->quick && r != PROBE_OK && r != PROBE_WARNING) {
		probe_next(p);
		return;
	}
	probe_event(p, r, text);
	if (r == PROBE_FAILED) {
		p->ok_run = 0;
		probe_next(p);
		if (++p->fail_run >= probe_int(p, F_failureThreshold, 3, 1)) {
			p->fail_run = 0;
			probe_failed(p);
		}
	} else if (r == PROBE_ERROR) {
		probe_next(p);
	} else {
		bool enough = ++p->ok_run >= probe_int(p, F_successThreshold, 1, 1);

		p->fail_run = 0;
		p->passed |= enough;
		probe_next(p);
		if (enough)
			probe_passed(p);
	}
}

static void probe_ask(void *arg)
{
	struct probe *p = arg;
	const struct node *spec = probe_spec(p), *action;
	int64_t now = time_mono_ms(), period = probe_period_ms(p);

	if (p->try || !spec)
		return;
	p->quick = now < p->due_ms;
	if (!p->quick)
		p->due_ms = max_i64(p->due_ms + period, now);
	p->try = try_new(p->ctr, probe_int(p, F_timeoutSeconds, 1, 1) * SEC_MS, probe_done, p);
	for (size_t i = 0; i < ARRAY_SIZE(probe_actions); i++)
		if ((action = node_get(spec, probe_actions[i].action))) {
			probe_actions[i].run(p->try, action);
			return;
		}
	try_end(p->try, PROBE_ERROR, "missing probe handler for %s_%s:%s", p->ctr->pod->name, p->ctr->pod->ns,
		p->ctr->name);
}

static void probe_begin(struct ctr *c, enum probe_kind kind)
{
	const struct node *spec = node_get(ctr_spec(c), probe_fields[kind]);
	struct probe *p;
	int64_t delay;

	if (!spec || c->probes[kind])
		return;
	p = xcalloc(1, sizeof(*p));
	p->ctr = c;
	p->kind = kind;
	p->timer = loop_timer_new(c->pod->agent->loop, probe_ask, p);
	c->probes[kind] = p;
	delay = c->started_s + probe_int(p, F_initialDelaySeconds, 0, 0) - time_wall_s();
	p->begun_ms = p->due_ms = time_mono_ms() + max_i64(delay, 0) * SEC_MS;
	loop_timer_set(p->timer, p->due_ms - time_mono_ms());
}

void probes_start(struct ctr *c, bool adopted)
{
	const struct node *spec = ctr_spec(c);

	if (node_get(spec, F_startupProbe) && !(adopted && c->started)) {
		c->started = c->ready = false;
		probe_begin(c, PROBE_STARTUP);
		return;
	}
	c->started = true;
	probe_begin(c, PROBE_LIVENESS);
	probe_begin(c, PROBE_READINESS);
	if (!c->probes[PROBE_READINESS])
		c->ready = true;
	else if (!adopted)
		c->ready = false;
}

void probes_quiet(struct ctr *c)
{
	probe_drop(c, PROBE_STARTUP);
	probe_drop(c, PROBE_LIVENESS);
}

void probes_stop(struct ctr *c)
{
	probes_quiet(c);
	probe_drop(c, PROBE_READINESS);
}
