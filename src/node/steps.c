/*
 * What is made for a pod before its first container, as rows {name, do, undo}.
 * Rows are done in order and undone in reverse; each is idempotent, so that one
 * that failed is simply done again after a back-off, and a pod whose daemon died
 * in the middle goes on where its sandbox stands.
 */
#include <errno.h>

#include "node/isolate.h"
#include "schema/placement.h"
#include "node/pressure.h"

#define STEP_RETRY_FIRST_MS 500
#define STEP_RETRY_MAX_MS 122000

struct step {
	const char *name;
	int (*run)(struct pod *p, struct err *e); /* enum step_result or negative */
	int (*undo)(struct pod *p, struct err *e);
	const char *event; /* reason of the event when it fails */
};

/* --- admit: the kubelet's own last word --- */

int64_t pod_used_by_others(struct pod *p, const char *resource)
{
	struct map_iter it = {0};
	int64_t sum = 0;

	while (map_next(p->agent->by_uid, &it)) {
		struct pod *o = it.value;

		if (o == p || o->state == POD_OVER || !o->start_s)
			continue;
		sum += resource ? qos_pod_request(pod_spec(o), resource) : 1;
	}
	return sum;
}

/* The scheduler has looked at that, but a pod may name its node itself. */
static bool admit_selector(struct pod *p)
{
	struct place place;

	if (!p->agent->node)
		return true;
	place = place_of(obj_node(p->agent->node));
	if (place_suits(&place, pod_spec(p)))
		return true;
	pod_fail(p, "NodeAffinity",
		 "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector");
	return false;
}

static int step_admit(struct pod *p, struct err *e UNUSED)
{
	if (p->start_s) /* admitted in an earlier life */
		return STEP_DONE;
	if (!evict_admit(p) || !admit_selector(p) || !admit_isolation(p)) {
		p->start_s = time_wall_s();
		return STEP_WAIT;
	}
	if (!admit_resources(p))
		return STEP_WAIT;
	p->start_s = time_wall_s();
	return STEP_DONE;
}

/* --- directories --- */

static int step_dirs(struct pod *p, struct err *e)
{
	_cleanup_free_ char *dir = pod_dir(p), *logs = pod_log_dir(p->agent, p->ns, p->name, p->uid);

	if (path_mkdirs(dir, 0755, e) < 0 || path_mkdirs(logs, 0755, e) < 0)
		return -e->code;
	return STEP_DONE;
}

static int undo_dirs(struct pod *p, struct err *e)
{
	_cleanup_free_ char *dir = pod_dir(p);

	agent_unhold_images(p->agent, p->uid);
	if (path_remove_tree(dir, e) < 0)
		return -e->code;
	return STEP_DONE;
}

/* --- volumes --- */

static int step_volumes(struct pod *p, struct err *e)
{
	int r = volumes_up(p, e);

	return r == -EAGAIN && !err_is_set(e) ? STEP_WAIT : r < 0 ? r : STEP_DONE;
}

static int undo_volumes(struct pod *p, struct err *e)
{
	int r = volumes_undo(p, e);

	return r == -EAGAIN && !err_is_set(e) ? STEP_WAIT : r < 0 ? r : STEP_DONE;
}

/* --- sandbox --- */

static void step_failed(struct pod *p, const struct step *s, const struct err *e);

static const struct step *sandbox_row(void);

static void sandbox_made(void *arg, struct sandbox *s, const struct err *err)
{
	struct pod *p = arg;

	p->step_busy = false;
	if (err) {
		step_failed(p, sandbox_row(), err);
	} else {
		p->sandbox = s;
	}
	pod_put(p);
}

static int step_sandbox(struct pod *p, struct err *e)
{
	struct run_sandbox_spec spec;
	struct arena *a;
	int r;

	if (p->sandbox)
		return STEP_DONE;
	if (!p->agent->net && !pod_host_network(p))
		return err_set(e, ERR_SERVICE_UNAVAILABLE,
			       "network is not ready: this node has no pod network");
	r = handler_check(p, e);
	if (r < 0)
		return r == -EAGAIN && !err_is_set(e) ? STEP_WAIT : r;
	a = arena_new();
	r = spec_sandbox(p, a, &spec, e);
	if (r == 0) {
		groups_run(p->agent);
		p->step_busy = true;
		p->pending++;
		sandbox_create(p->agent->runtime, &spec, sandbox_made, p);
		r = STEP_WAIT;
	}
	arena_free(a);
	return r;
}

static void sandbox_gone(void *arg, const struct err *err)
{
	struct pod *p = arg;

	p->step_busy = false;
	if (err) {
		log_warn("pod sandbox is not gone, trying again", LS("pod", p->name), LS("ns", p->ns),
			 LE(err));
		p->undo_retry_ms = time_mono_ms() + SEC_MS;
	} else {
		p->sandbox = NULL;
		groups_run(p->agent);
	}
	pod_put(p);
}

static int undo_sandbox(struct pod *p, struct err *e UNUSED)
{
	if (!p->sandbox)
		return STEP_DONE;
	p->step_busy = true;
	p->pending++;
	sandbox_destroy(p->sandbox, sandbox_gone, p);
	return STEP_WAIT;
}

/* --- network --- */

static int step_network(struct pod *p, struct err *e)
{
	struct net_attachment at;

	if (pod_host_network(p)) {
		snprintf(p->ip, sizeof(p->ip), "%s", p->agent->ip);
		snprintf(p->ip2, sizeof(p->ip2), "%s", p->agent->ip2);
		return STEP_DONE;
	}
	if (net_attach(p->agent->net, p->uid, sandbox_netns(p->sandbox), &at, e) < 0)
		return err_wrap(e, "failed to set up the network of pod \"%s_%s\"", p->name, p->ns);
	snprintf(p->ip, sizeof(p->ip), "%s", at.ip[0]);
	snprintf(p->ip2, sizeof(p->ip2), "%s", at.ip[1]);
	if (ports_up(p, e) < 0)
		return err_wrap(e, "failed to set up the host ports of pod \"%s_%s\"", p->name, p->ns);
	if (sandbox_set_note(p->sandbox, "ip", p->ip, e) < 0 || sandbox_set_note(p->sandbox, "ip2", p->ip2, e) < 0)
		return -e->code;
	return STEP_DONE;
}

static int undo_network(struct pod *p, struct err *e)
{
	if (!pod_host_network(p) && p->agent->net && net_detach(p->agent->net, p->uid, e) < 0)
		return -e->code;
	return STEP_DONE;
}

/* --- files --- */

static int step_files(struct pod *p, struct err *e)
{
	if (files_write(p, e) < 0)
		return -e->code;
	return STEP_DONE;
}

static const struct step pod_steps[] = {
	{"admit", step_admit, NULL, "Failed"},
	{"directories", step_dirs, undo_dirs, "FailedMount"},
	{"volumes", step_volumes, undo_volumes, "FailedMount"},
	{"sandbox", step_sandbox, undo_sandbox, "FailedCreatePodSandBox"},
	{"network", step_network, undo_network, "FailedCreatePodSandBox"},
	{"files", step_files, NULL, "FailedCreatePodSandBox"},
};

static const struct step *sandbox_row(void)
{
	return &pod_steps[steps_before_sandbox()];
}

unsigned steps_before_sandbox(void)
{
	return 3;
}

void steps_skip_to_sandbox(struct pod *p)
{
	p->steps_done = p->steps_begun = steps_before_sandbox() + 1;
}

static void step_failed(struct pod *p, const struct step *s, const struct err *e)
{
	bool sandbox = streq(s->event, "FailedCreatePodSandBox");
	_cleanup_free_ char *text =
		xasprintf("%s%s", sandbox ? "Failed to create pod sandbox: " : "", err_msg(e));
	int64_t now = time_mono_ms();

	backoff_next(&p->step_backoff, now, STEP_RETRY_FIRST_MS, STEP_RETRY_MAX_MS);
	p->step_retry_ms = now + p->step_backoff.delay_ms;
	pod_event_again(p, s->event, text);
	log_debug("pod step failed", LS("pod", p->name), LS("ns", p->ns), LS("step", s->name), LE(e));
}

bool steps_run(struct pod *p)
{
	if (p->step_busy || p->step_retry_ms > time_mono_ms())
		return false;
	p->step_retry_ms = 0;
	while (p->steps_done < ARRAY_SIZE(pod_steps)) {
		const struct step *s = &pod_steps[p->steps_done];
		_cleanup_err_ struct err e = ERR_INIT;
		int r;

		p->steps_begun = p->steps_done + 1;
		r = s->run(p, &e);
		if (r < 0) {
			step_failed(p, s, &e);
			return false;
		}
		if (r == STEP_WAIT)
			return false;
		p->steps_done++;
	}
	p->step_backoff = (struct backoff){0};
	return true;
}

bool steps_undo(struct pod *p, unsigned down_to)
{
	if (p->step_busy || p->undo_retry_ms > time_mono_ms())
		return false;
	p->undo_retry_ms = 0;
	/* A step that failed half way left something too, so this goes by what was begun. */
	while (p->steps_begun > down_to) {
		const struct step *s = &pod_steps[p->steps_begun - 1];
		_cleanup_err_ struct err e = ERR_INIT;
		int r = s->undo ? s->undo(p, &e) : STEP_DONE;

		if (r < 0) {
			log_warn("cannot take away a pod's things, trying again", LS("pod", p->name),
				 LS("ns", p->ns), LS("step", s->name), LE(&e));
			p->undo_retry_ms = time_mono_ms() + SEC_MS;
			return false;
		}
		if (r == STEP_WAIT)
			return false;
		p->steps_begun--;
		p->steps_done = (unsigned)min_i64(p->steps_done, p->steps_begun);
	}
	return true;
}
