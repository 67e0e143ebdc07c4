/*
 * What the API is told of a pod: as the kubelet tells it, as far as it follows
 * from containers that are only played.
 */
#include <stdio.h>

#include "base/hash.h"
#include "sim/internal.h"

#define LATE_TEXT "Pod was active on the node longer than the specified deadline"

const char *sim_phase(const struct sim_pod *p)
{
	bool fresh = false, failed = p->late;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		fresh |= p->ctrs[i].runs == 0;
		failed |= p->ctrs[i].state != SIM_DOWN || p->ctrs[i].last.exit_code != 0;
	}
	if (p->over)
		return failed ? "Failed" : "Succeeded";
	return fresh ? "Pending" : "Running";
}

/* --- conditions --- */

struct conds {
	struct doc *d;
	struct node *list;
	const struct node *have;
	int64_t generation;
};

static void put_or_null(struct conds *k, struct node *c, const struct node *old, enum field f, const char *text)
{
	if (text)
		node_sets(k->d, c, f, text);
	else if (node_get(old, f)) /* what the merge would else leave */
		node_set(k->d, c, f, node_new(k->d, DOC_NULL));
}

static void put_cond(struct conds *k, const char *type, bool on, const char *reason, const char *message)
{
	const struct node *old = cond_find(k->have, type), *since = node_get(old, F_lastTransitionTime);
	struct node *c = node_append(k->list, node_new(k->d, DOC_OBJECT));
	const char *status = on ? "True" : "False";
	char now[TIME_RFC3339_LEN];

	node_sets(k->d, c, F_type, type);
	if (k->generation)
		node_seti(k->d, c, F_observedGeneration, k->generation);
	node_sets(k->d, c, F_status, status);
	if (since && node_streq(node_get(old, F_status), status))
		node_set(k->d, c, F_lastTransitionTime, node_copy(k->d, since));
	else
		node_sets(k->d, c, F_lastTransitionTime, time_fmt_rfc3339(now, time_wall_s()));
	put_or_null(k, c, old, F_reason, reason);
	put_or_null(k, c, old, F_message, message);
}

static const struct node *ctr_spec(const struct sim_pod *p, size_t i)
{
	return node_at(node_path(obj_node(p->obj), F_spec, F_containers), i);
}

static void unready(const struct sim_pod *p, struct buf *out)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (!p->ctrs[i].ready)
			buf_addf(out, "%s%s", out->len ? " " : "containers with unready status: [",
				 node_gets(ctr_spec(p, i), F_name));
	if (out->len)
		buf_addch(out, ']');
}

static void unready_gates(const struct conds *k, const struct sim_pod *p, struct buf *out)
{
	NODE_FOREACH(g, node_path(obj_node(p->obj), F_spec, F_readinessGates)) {
		const char *type = node_gets(g, F_conditionType);
		const struct node *c = cond_find(k->have, type);

		if (!c)
			buf_addf(out, "%scorresponding condition of pod readiness gate \"%s\" does not exist.",
				 out->len ? ", " : "", type);
		else if (!node_streq(node_get(c, F_status), "True"))
			buf_addf(out, "%sthe status of pod readiness gate \"%s\" is not \"True\", but %s",
				 out->len ? ", " : "", type, node_gets(c, F_status));
	}
}

bool sim_is_ready(const struct sim_pod *p)
{
	const struct node *root = obj_node(p->obj), *have = node_path(root, F_status, F_conditions);

	for (size_t i = 0; i < p->n_ctrs; i++)
		if (!p->ctrs[i].ready)
			return false;
	NODE_FOREACH(g, node_path(root, F_spec, F_readinessGates))
		if (!cond_is_true(have, node_gets(g, F_conditionType)))
			return false;
	return p->n_ctrs > 0 && !p->over;
}

static bool has_started(const struct sim_pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i].runs)
			return true;
	return false;
}

static void put_conditions(const struct sim_pod *p, struct conds *k, const char *phase)
{
	const char *why = streq(phase, "Succeeded") ? "PodCompleted" : streq(phase, "Failed") ? "PodFailed" : NULL;
	_cleanup_buf_ struct buf ctrs = BUF_INIT, gates = BUF_INIT;

	unready(p, &ctrs);
	unready_gates(k, p, &gates);
	put_cond(k, "PodReadyToStartContainers", has_started(p) && !p->over, NULL, NULL);
	put_cond(k, "Initialized", true, streq(phase, "Succeeded") ? "PodCompleted" : NULL, NULL);
	if (why)
		put_cond(k, "Ready", false, why, NULL);
	else if (ctrs.len)
		put_cond(k, "Ready", false, "ContainersNotReady", ctrs.s);
	else if (gates.len)
		put_cond(k, "Ready", false, "ReadinessGatesNotReady", gates.s);
	else
		put_cond(k, "Ready", true, NULL, NULL);
	if (why)
		put_cond(k, "ContainersReady", false, why, NULL);
	else
		put_cond(k, "ContainersReady", !ctrs.len, ctrs.len ? "ContainersNotReady" : NULL,
			 ctrs.len ? ctrs.s : NULL);
	put_cond(k, "PodScheduled", true, NULL, NULL);
}

/* --- containers --- */

static void put_time(struct doc *d, struct node *o, enum field f, int64_t unix_s)
{
	char s[TIME_RFC3339_LEN];

	node_sets(d, o, f, time_fmt_rfc3339(s, unix_s));
}

static void put_id(struct doc *d, struct node *o, const struct sim_pod *p, const char *name, int run)
{
	static const uint8_t fixed[16] = "simulated"; /* the same whichever process tells it */
	_cleanup_free_ char *key = xasprintf("%s %s %d", p->obj->uid, name, run);

	node_set(d, o, F_containerID,
		 node_new_fmt(d, "simulated://%016llx", (unsigned long long)hash_sip_key(str_of(key), fixed)));
}

static void put_ended(struct doc *d, struct node *state, const struct sim_pod *p, const char *name,
		      const struct sim_run *r, int run)
{
	struct node *t = node_need_object(d, state, F_terminated);

	node_seti(d, t, F_exitCode, r->exit_code);
	node_sets(d, t, F_reason, r->exit_code ? "Error" : "Completed");
	put_time(d, t, F_startedAt, r->started_s);
	put_time(d, t, F_finishedAt, r->finished_s);
	put_id(d, t, p, name, run);
}

static void put_waiting(struct doc *d, struct node *state, const struct sim_pod *p, const struct sim_ctr *c)
{
	struct node *w = node_need_object(d, state, F_waiting);
	bool inits = node_count(node_path(obj_node(p->obj), F_spec, F_initContainers));

	node_sets(d, w, F_reason, c->runs ? "CrashLoopBackOff" : inits ? "PodInitializing" : "ContainerCreating");
}

static struct node *put_ctr(struct doc *d, struct node *list, const struct sim_pod *p, const struct node *spec,
			    const struct sim_ctr *c)
{
	struct node *o = node_append(list, node_new(d, DOC_OBJECT)), *state, *last;
	const char *name = node_gets(spec, F_name);
	int before = c->state == SIM_UP ? c->runs - 1 : c->runs;

	node_sets(d, o, F_name, name);
	state = node_need_object(d, o, F_state);
	last = node_need_object(d, o, F_lastState);
	if (c->state == SIM_UP)
		put_time(d, node_need_object(d, state, F_running), F_startedAt, c->started_s);
	else if (c->state == SIM_DOWN)
		put_ended(d, state, p, name, &c->last, c->runs);
	else
		put_waiting(d, state, p, c);
	if (c->state != SIM_DOWN && before > 0)
		put_ended(d, last, p, name, &c->last, before);
	node_setb(d, o, F_ready, c->ready);
	node_seti(d, o, F_restartCount, c->runs > 1 ? c->runs - 1 : 0);
	node_sets(d, o, F_image, node_gets(spec, F_image));
	node_set(d, o, F_imageID, node_new_fmt(d, "simulated://%s", node_gets(spec, F_image)));
	if (c->runs)
		put_id(d, o, p, name, c->runs);
	node_setb(d, o, F_started, c->state == SIM_UP);
	return o;
}

/* They ended well in the moment in which the others started; those that are to run beside the others do so. */
static struct sim_ctr init_ctr(const struct sim_pod *p, const struct node *spec)
{
	bool beside = node_streq(node_get(spec, F_restartPolicy), "Always");
	struct sim_ctr c = { .state = SIM_WAIT };

	if (!has_started(p))
		return c;
	c.runs = 1;
	c.started_s = p->ctrs[0].started_s ? p->ctrs[0].started_s : p->begun_s;
	c.state = beside && !p->over ? SIM_UP : SIM_DOWN;
	c.last = (struct sim_run){ 0, c.started_s, c.state == SIM_DOWN && beside ? time_wall_s() : c.started_s };
	c.ready = c.state == SIM_UP || !beside;
	return c;
}

static void put_ctrs(const struct sim_pod *p, struct doc *d, struct node *status)
{
	const struct node *spec = node_get(obj_node(p->obj), F_spec);
	size_t i = 0;

	NODE_FOREACH(c, node_get(spec, F_initContainers)) {
		struct sim_ctr played = init_ctr(p, c);

		put_ctr(d, node_need_array(d, status, F_initContainerStatuses), p, c, &played);
	}
	NODE_FOREACH(c, node_get(spec, F_containers))
		if (i < p->n_ctrs)
			put_ctr(d, node_need_array(d, status, F_containerStatuses), p, c, &p->ctrs[i++]);
}

/* --- the whole --- */

static void put_ip(struct doc *d, struct node *status, enum field one, enum field list, const char *ip)
{
	node_sets(d, status, one, ip);
	node_sets(d, node_append(node_need_array(d, status, list), node_new(d, DOC_OBJECT)), F_ip, ip);
}

static void put_addresses(const struct sim_pod *p, struct doc *d, struct node *status)
{
	char ip[16];

	sim_node_ip(p->node, ip);
	put_ip(d, status, F_hostIP, F_hostIPs, ip);
	if (p->ip)
		snprintf(ip, sizeof(ip), "10.%u.%u.%u", 128 + (p->ip >> 16 & 127), p->ip >> 8 & 255, p->ip & 255);
	else if (!node_bool(node_path(obj_node(p->obj), F_spec, F_hostNetwork), false))
		return;
	put_ip(d, status, F_podIP, F_podIPs, ip);
}

struct doc *sim_status(const struct sim_pod *p)
{
	const struct node *pod = obj_node(p->obj);
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *status;
	const char *phase = sim_phase(p);
	struct conds k = { .d = d, .have = node_path(pod, F_status, F_conditions),
			   .generation = node_int(node_get(meta_of(pod), F_generation), 0) };

	doc_set_root(d, root);
	node_sets(d, node_need_object(d, root, F_metadata), F_uid, p->obj->uid);
	status = node_need_object(d, root, F_status);
	if (k.generation)
		node_seti(d, status, F_observedGeneration, k.generation);
	node_sets(d, status, F_phase, phase);
	if (p->late) {
		node_sets(d, status, F_reason, "DeadlineExceeded");
		node_sets(d, status, F_message, LATE_TEXT);
	}
	k.list = node_need_array(d, status, F_conditions);
	put_conditions(p, &k, phase);
	put_addresses(p, d, status);
	put_time(d, status, F_startTime, p->begun_s);
	put_ctrs(p, d, status);
	return d;
}
