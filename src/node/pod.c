/*
 * The pod worker: the states of one pod on this node (internal.h has them, with
 * what each leaves to). Whoever learns something about a pod (its object
 * changed, a container ended, a call came back, a time has come) records the
 * fact in struct pod or struct ctr and calls pod_kick; pod_run, once at the end
 * of the turn, looks at what is and takes the next step. Nothing else moves a
 * pod from one state to another.
 */
#include "node/internal.h"
#include "node/logs.h"
#include "node/pressure.h"
#include "node/static.h"
#include "node/volume-child.h"

#define STATUS_GATHER_MS 100 /* changes on the way to somewhere are told together */
#define EVENT_AGAIN_MS 30000
#define ORPHAN_GRACE_S 2 /* for a pod whose object vanished: deleted by force */

static void pod_run_task(struct loop_task *t);
static void pod_timer(void *arg);

const char *pod_state_name(enum pod_state s)
{
	static const char *const names[] = {"setup", "run", "stop", "teardown", "over"};

	return names[s];
}

const struct node *pod_spec(struct pod *p)
{
	return node_get(obj_node(p->obj), F_spec);
}

const struct node *pod_status_node(struct pod *p)
{
	struct obj *o = pod_api_obj(p);

	return o ? node_get(obj_node(o), F_status) : NULL;
}

struct obj *pod_api_obj(struct pod *p)
{
	return p->is_static ? p->mirror : p->obj;
}

bool pod_deleting(struct pod *p)
{
	return meta_is_deleting(obj_node(p->obj));
}

bool pod_host_network(struct pod *p)
{
	return node_bool(node_get(pod_spec(p), F_hostNetwork), false);
}

char *pod_dir(const struct pod *p)
{
	return xasprintf("%s/files/%s", p->agent->state_dir, p->uid);
}

char *pod_log_dir(const struct node_agent *n, const char *ns, const char *name, const char *uid)
{
	return xasprintf("%s/%s_%s_%s", n->pod_logs_dir, ns, name, uid);
}

void pod_event(struct pod *p, const char *field_path, const char *type, const char *reason, const char *fmt,
	       ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	client_event(p->agent->client, p->obj, field_path, NODE_COMPONENT, p->agent->name, type, reason, "%s",
		     text);
}

void pod_event_again(struct pod *p, const char *reason, const char *text)
{
	int64_t now = time_mono_ms();

	if (p->event_text && streq(p->event_text, text) && now - p->event_ms < EVENT_AGAIN_MS)
		return;
	p->event_ms = now;
	set_str(&p->event_text, text);
	pod_event(p, NULL, "Warning", reason, "%s", text);
}

void pod_fail(struct pod *p, const char *reason, const char *fmt, ...)
{
	va_list ap;

	if (p->fail_reason)
		return;
	va_start(ap, fmt);
	p->fail_message = xvasprintf(fmt, ap);
	va_end(ap);
	p->fail_reason = reason;
	p->rejected = p->state == POD_SETUP && p->steps_done == 0;
	pod_event(p, NULL, streq(reason, "DeadlineExceeded") ? "Normal" : "Warning", reason, "%s",
		  p->fail_message);
	pod_kick(p);
}

void pod_kick(struct pod *p)
{
	loop_defer(p->agent->loop, &p->task);
}

void pod_put(struct pod *p)
{
	BUG_ON(p->pending == 0);
	p->pending--;
	pod_kick(p);
}

/* --- life --- */

struct pod *pod_new(struct node_agent *n, struct obj *o)
{
	struct pod *p = xcalloc(1, sizeof(*p));
	int64_t ns;

	p->agent = n;
	p->uid = xstrdup(o->uid);
	p->ns = xstrdup(o->ns);
	p->name = xstrdup(o->name);
	p->obj = obj_ref(o);
	p->is_static = meta_annotation(obj_node(o), STATIC_SOURCE) && streq(o->uid, meta_annotation(obj_node(o), STATIC_HASH));
	if (p->is_static) {
		struct obj *mirror = informer_find(n->pods, o->ns, o->name);

		if (mirror && static_mirror_hash(mirror)) {
			p->mirror = obj_ref(mirror);
			p->mirror_rv = mirror->rv;
		}
	}
	p->task.run = pod_run_task;
	p->timer = loop_timer_new(n->loop, pod_timer, p);
	if (time_parse_rfc3339(node_str(node_get(pod_status_node(p), F_startTime)), &ns))
		p->start_s = ns / SEC_NS;
	pod_make_ctrs(p);
	pod_kick(p);
	return p;
}

struct pod *pod_free(struct pod *p)
{
	if (!p)
		return NULL;
	loop_undefer(p->agent->loop, &p->task);
	loop_timer_free(p->timer);
	for (size_t i = 0; i < p->n_ctrs; i++)
		ctr_free(p->ctrs[i]);
	free(p->ctrs);
	volume_tokens_free(p);
	volume_children_end(p);
	map_free(p->volume_pulls);
	map_free(p->mounted);
	obj_unref(p->obj);
	obj_unref(p->mirror);
	free(p->uid);
	free(p->ns);
	free(p->name);
	free(p->fail_message);
	free(p->resize_message);
	free(p->event_text);
	free(p);
	return NULL;
}

static void pod_set_obj(struct pod *p, struct obj *o)
{
	struct obj *old = p->obj;

	p->obj = obj_ref(o);
	obj_unref(old);
}

static int64_t pod_grace_s(struct pod *p)
{
	const struct node *meta = meta_of(obj_node(p->obj));
	int64_t own = node_int(node_get(pod_spec(p), F_terminationGracePeriodSeconds), 30);

	if (p->gone && !p->is_static)
		return min_i64(own, ORPHAN_GRACE_S);
	if (pod_deleting(p))
		return node_int(node_get(meta, F_deletionGracePeriodSeconds), own);
	return own;
}

void pod_update(struct pod *p, struct obj *o)
{
	if (o->rv <= p->obj->rv) /* our own patch, seen before */
		return;
	/* Not for what the node itself has written. */
	if (volumes_show_pod(p) && !node_equal(meta_labels(obj_node(p->obj)), meta_labels(obj_node(o))))
		p->refs_changed = true;
	if (volumes_show_pod(p) && !node_equal(node_get(meta_of(obj_node(p->obj)), F_annotations),
					       node_get(meta_of(obj_node(o)), F_annotations)))
		p->refs_changed = true;
	pod_set_obj(p, o);
	pod_make_ctrs(p);
	if (p->state == POD_STOP) /* deleted again, with less time */
		p->stop_at_ms = min_i64(p->stop_at_ms, time_mono_ms() + pod_grace_s(p) * SEC_MS);
	pod_kick(p);
}

void pod_object_gone(struct pod *p, struct obj *last)
{
	if (last->rv > p->obj->rv)
		pod_set_obj(p, last);
	p->gone = true;
	if (p->state == POD_STOP && !p->is_static)
		p->stop_at_ms = min_i64(p->stop_at_ms, time_mono_ms() + ORPHAN_GRACE_S * SEC_MS);
	pod_kick(p);
}

/* --- what the daemon finds when it comes back --- */

static bool pod_was_running(struct pod *p)
{
	const struct node *st = pod_status_node(p);

	return node_count(node_get(st, F_containerStatuses)) ||
	       node_count(node_get(st, F_initContainerStatuses));
}

/* A container that a dead keeper left running: nobody knows how it ended (a power cut, perhaps). */
static bool end_unknown(const struct container *rc)
{
	struct container_status st;

	container_status(rc, &st);
	return st.state == CONTAINER_EXITED && st.exit_code == 137 && !st.oom_killed;
}

static void adopt_ctrs(struct pod *p, struct sandbox *s, bool alive)
{
	bool main_seen = false;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];
		struct container *rc = s ? sandbox_container(s, c->name) : NULL;

		if (rc && !alive && end_unknown(rc))
			rc = NULL;
		ctr_adopt(c, rc, ctr_status_in(p, c->name));
		if (c->kind == CTR_MAIN && rc)
			main_seen = true;
		if (!rc)
			ctr_lost(c);
	}
	p->initialized = main_seen;
}

/* A new sandbox begins with the init containers again. */
static void rerun_inits(struct pod *p)
{
	p->initialized = false;
	for (size_t i = 0; i < p->n_ctrs; i++) {
		if (p->ctrs[i]->kind == CTR_INIT && p->ctrs[i]->state == CTR_DOWN)
			p->ctrs[i]->state = CTR_WAIT;
		p->ctrs[i]->was_started = false;
	}
}

/* No sandbox, or only what a dead keeper left: containers that ran are lost. */
static void pod_adopt_dead(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		ctr_lost(p->ctrs[i]);
	if (ctrs_over(p)) {
		p->state = POD_STOP;
		return;
	}
	pod_event(p, NULL, "Normal", "SandboxChanged",
		  "Pod sandbox changed, it will be killed and re-created.");
	if (p->sandbox) {
		p->rebuild = true;
		p->state = POD_TEARDOWN;
	} else {
		rerun_inits(p);
	}
}

void pod_adopt(struct pod *p, struct sandbox *s, bool alive)
{
	const char *ip = s ? sandbox_note(s, "ip") : NULL, *ip2 = s ? sandbox_note(s, "ip2") : NULL;
	bool final = status_terminal(node_gets(pod_status_node(p), F_phase));

	p->settled = final;
	if (s) {
		p->sandbox = s;
		p->adopted = true; /* the volumes are there, but their paths are not known yet */
		steps_skip_to_sandbox(p);
	} else if (!final && !pod_was_running(p)) {
		return;
	}
	adopt_ctrs(p, s, alive);
	if (ip)
		snprintf(p->ip, sizeof(p->ip), "%s", ip);
	if (ip2)
		snprintf(p->ip2, sizeof(p->ip2), "%s", ip2);
	if (final) {
		p->state = s ? POD_STOP : POD_OVER;
	} else if (!alive) {
		pod_adopt_dead(p);
	} else {
		p->refs_changed = true; /* what changed meanwhile */
	}
}

void pod_sandbox_lost(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		ctr_lost(p->ctrs[i]);
	if (p->state == POD_RUN && !ctrs_over(p)) {
		pod_event(p, NULL, "Normal", "SandboxChanged",
			  "Pod sandbox changed, it will be killed and re-created.");
		p->rebuild = true;
	}
	pod_kick(p);
}

/* --- the states --- */

static void pod_enter(struct pod *p, enum pod_state s)
{
	log_debug("pod", LS("ns", p->ns), LS("name", p->name), LS("from", pod_state_name(p->state)),
		  LS("to", pod_state_name(s)));
	p->state = s;
	p->step_retry_ms = p->undo_retry_ms = 0;
	if (s == POD_STOP) {
		p->stop_at_ms = time_mono_ms() + pod_grace_s(p) * SEC_MS;
		if (p->grace_cap_s)
			p->stop_at_ms = min_i64(p->stop_at_ms, time_mono_ms() + p->grace_cap_s * SEC_MS);
		if (!p->rejected)
			ctrs_give_up(p);
	}
}

static bool pod_must_end(struct pod *p)
{
	return p->gone || p->fail_reason || pod_deleting(p);
}

static int64_t pod_deadline_ms(struct pod *p)
{
	int64_t s = node_int(node_get(pod_spec(p), F_activeDeadlineSeconds), 0);

	if (s <= 0 || !p->start_s || p->state > POD_RUN)
		return INT64_MAX;
	return time_mono_ms() + max_i64(p->start_s + s - time_wall_s(), 0) * SEC_MS;
}

static void pod_check_deadline(struct pod *p)
{
	if (pod_deadline_ms(p) <= time_mono_ms())
		pod_fail(p, "DeadlineExceeded",
			 "Pod was active on the node longer than the specified deadline");
}

/* Objects that volumes and variables refer to changed. */
static void pod_refs(struct pod *p)
{
	if (!p->refs_changed)
		return;
	p->refs_changed = false;
	p->step_retry_ms = 0;
	if (p->state != POD_RUN)
		return;
	volumes_refresh(p);
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->state == CTR_WAIT && c->reason && streq(c->reason, "CreateContainerConfigError"))
			c->retry_ms = 0;
	}
}

/* The volumes of an adopted pod: their places are known again by making them again. */
static bool pod_adopt_volumes(struct pod *p)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (!p->adopted)
		return true;
	if (volumes_up(p, &e) < 0) {
		if (err_is_set(&e))
			pod_event_again(p, "FailedMount", err_msg(&e));
		p->step_retry_ms = time_mono_ms() + SEC_MS;
		return false;
	}
	p->adopted = false;
	return true;
}

static void pod_in_setup(struct pod *p)
{
	if (pod_must_end(p)) {
		if (!p->step_busy)
			pod_enter(p, POD_STOP);
	} else if (steps_run(p)) {
		pod_enter(p, POD_RUN);
	}
}

static void pod_in_run(struct pod *p)
{
	if (pod_must_end(p)) {
		pod_enter(p, POD_STOP);
	} else if (p->rebuild) {
		pod_enter(p, POD_TEARDOWN);
	} else if (pod_adopt_volumes(p) && ctrs_run(p)) {
		pod_enter(p, POD_STOP);
	} else {
		resize_run(p);
	}
}

static void pod_in_stop(struct pod *p)
{
	if (ctrs_stop(p))
		pod_enter(p, POD_TEARDOWN);
}

static void pod_in_teardown(struct pod *p)
{
	if (!steps_undo(p, p->rebuild ? steps_before_sandbox() : 0))
		return;
	if (p->rebuild) {
		p->rebuild = false;
		p->ip[0] = p->ip2[0] = '\0';
		rerun_inits(p);
		pod_enter(p, POD_SETUP);
		return;
	}
	pod_enter(p, POD_OVER);
	evict_pod_over(p->agent);
}

static void pod_deleted(void *arg, struct obj *o UNUSED, const struct err *err)
{
	struct pod *p = arg;

	if (err && err->reason != ERR_NOT_FOUND && err->reason != ERR_CONFLICT) {
		log_warn("cannot delete the pod's object, trying again", LS("pod", p->name), LS("ns", p->ns),
			 LE(err));
		p->delete_sent = false;
		p->delete_retry_ms = time_mono_ms() + SEC_MS;
	}
	pod_put(p);
}

static void pod_drop_logs(struct pod *p)
{
	_cleanup_free_ char *logs = pod_log_dir(p->agent, p->ns, p->name, p->uid);
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_remove_tree(logs, &e) < 0)
		log_warn("cannot remove logs, ignoring", LS("path", logs), LE(&e));
	log_links_sweep(p->agent);
}

static void pod_in_over(struct pod *p, bool told)
{
	if (p->gone || !told || !pod_deleting(p) || p->delete_sent || p->delete_retry_ms > time_mono_ms())
		return;
	p->delete_retry_ms = 0;
	p->delete_sent = true;
	p->pending++;
	client_delete(p->agent->client, p->agent->r_pods, p->ns, p->name, p->uid, 0, pod_deleted, p);
}

/* On the way to somewhere that is reached in a moment: what is in between is not worth a write. */
static bool pod_in_transit(struct pod *p)
{
	switch (p->state) {
	case POD_SETUP:
		return !p->step_retry_ms;
	case POD_RUN:
		for (size_t i = 0; i < p->n_ctrs; i++)
			if (p->ctrs[i]->state == CTR_STARTING)
				return true;
		return false;
	case POD_STOP:
		return true;
	case POD_TEARDOWN:
		return p->rebuild;
	case POD_OVER:
		return false;
	}
	return false;
}

/* True when the API knows all there is to know. */
static bool pod_tell(struct pod *p)
{
	int64_t now = time_mono_ms();

	if (p->gone || p->settled)
		return true;
	if (!pod_api_obj(p))
		return false;
	if (p->status_busy || p->status_retry_ms > now)
		return false;
	p->status_retry_ms = 0;
	if (pod_in_transit(p)) {
		if (!p->status_due_ms)
			p->status_due_ms = now + STATUS_GATHER_MS;
		if (now < p->status_due_ms)
			return false;
	}
	p->status_due_ms = 0;
	return status_run(p);
}

static void pod_arm(struct pod *p)
{
	int64_t now = time_mono_ms(), due = INT64_MAX;
	const int64_t times[] = {p->step_retry_ms, p->status_due_ms, p->status_retry_ms, p->delete_retry_ms,
				 p->undo_retry_ms, p->mirror_retry_ms};

	for (size_t i = 0; i < ARRAY_SIZE(times); i++)
		if (times[i])
			due = min_i64(due, times[i]);
	if (p->state == POD_RUN)
		due = min_i64(due, ctrs_next_due(p));
	if (p->state == POD_STOP && now < p->stop_at_ms)
		due = min_i64(due, p->stop_at_ms);
	if (p->state <= POD_RUN)
		due = min_i64(due, min_i64(volumes_next_due(p), pod_deadline_ms(p)));
	if (due == INT64_MAX)
		loop_timer_clear(p->timer);
	else
		loop_timer_set(p->timer, max_i64(due - now, 0));
}

static void pod_timer(void *arg)
{
	struct pod *p = arg;

	if (volumes_next_due(p) <= time_mono_ms() + SEC_MS)
		p->refs_changed = true;
	pod_kick(p);
}

static void pod_run_task(struct loop_task *t)
{
	struct pod *p = CONTAINER_OF(t, struct pod, task);
	enum pod_state was;
	bool told, mirrored;

	pod_check_deadline(p);
	pod_refs(p);
	do {
		was = p->state;
		if (was == POD_SETUP)
			pod_in_setup(p);
		else if (was == POD_RUN)
			pod_in_run(p);
		else if (was == POD_STOP)
			pod_in_stop(p);
		else if (was == POD_TEARDOWN)
			pod_in_teardown(p);
	} while (p->state != was);
	mirrored = !p->is_static || static_mirror_run(p);
	told = pod_tell(p);
	if (p->state == POD_OVER) {
		if (!p->is_static)
			pod_in_over(p, told);
		if (p->gone && mirrored && !p->pending) {
			pod_drop_logs(p);
			agent_forget(p->agent, p);
			return;
		}
	}
	pod_arm(p);
}
