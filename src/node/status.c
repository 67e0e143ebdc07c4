/*
 * What the API is told of a pod: phase, conditions, container statuses, as the
 * kubelet's generateAPIPodStatus and pkg/kubelet/status build them. The status is
 * made whole from the worker's state, compared with what the API has, and sent
 * as one strategic merge patch (conditions of others stay) when they differ.
 */
#include "base/hash.h"
#include "node/isolate.h"
#include "node/static.h"

#define MESSAGES_BYTES (12 << 10) /* of termination messages, over all containers of a pod */

bool status_terminal(const char *phase)
{
	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

/* The pod's containers will not run again. */
static bool pod_finished(const struct pod *p)
{
	return p->state == POD_OVER || (p->state == POD_TEARDOWN && !p->rebuild);
}

static int64_t status_generation(struct pod *p)
{
	struct obj *o = pod_api_obj(p);

	return o ? node_int(node_get(meta_of(obj_node(o)), F_generation), 0) : 0;
}

/* --- phase --- */

struct tally {
	int running, waiting, stopped, succeeded, restarting;
};

static void tally_main(struct pod *p, struct ctr *c, struct tally *t)
{
	switch (c->state) {
	case CTR_UP:
		if (c->post_start && !c->end.set && !c->last.set)
			t->waiting++;
		else
			t->running++;
		break;
	case CTR_DOWN:
		t->stopped++;
		t->restarting += ctr_will_restart(c);
		if (c->end.exit_code == 0)
			t->succeeded++;
		break;
	case CTR_WAIT:
	case CTR_STARTING:
		if (!c->end.set && !c->last.set && !pod_finished(p)) {
			t->waiting++;
			break;
		}
		t->stopped++;
		t->restarting++;
		break;
	}
}

static bool init_failed(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_INIT && c->state == CTR_DOWN && c->end.exit_code != 0 &&
		    !ctr_will_restart(c))
			return true;
	}
	return false;
}

/* What ends the pod from outside is told when no container runs any more. */
static bool status_failed(const struct pod *p)
{
	if (!p->fail_reason)
		return false;
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (ctr_alive(p->ctrs[i]))
			return false;
	return true;
}

const char *status_phase(struct pod *p)
{
	struct tally t = {0};

	if (status_failed(p))
		return "Failed";
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind == CTR_MAIN)
			tally_main(p, p->ctrs[i], &t);
		else if (p->ctrs[i]->kind == CTR_SIDECAR && p->ctrs[i]->state == CTR_UP)
			t.running++;
	if (!p->initialized && !pod_finished(p) && !(t.stopped && !t.waiting && p->state != POD_SETUP))
		return init_failed(p) ? "Failed" : "Pending";
	if (t.waiting > 0)
		return "Pending";
	if (t.running > 0)
		return "Running";
	if (pod_finished(p))
		return t.stopped > 0 && t.stopped == t.succeeded ? "Succeeded" : "Failed";
	if (t.restarting)
		return "Running";
	return t.stopped == t.succeeded ? "Succeeded" : "Failed";
}

/* --- container statuses --- */

static void put_time(struct doc *d, struct node *o, enum field f, int64_t unix_s)
{
	char s[TIME_RFC3339_LEN];

	if (unix_s > 0)
		node_sets(d, o, f, time_fmt_rfc3339(s, unix_s));
}

static void put_id(struct doc *d, struct node *o, const char *id)
{
	if (*id)
		node_set(d, o, F_containerID, node_new_fmt(d, NODE_RUNTIME "://%s", id));
}

/* All containers of a pod have so much room for messages, in equal parts. */
static struct str limited_message(const struct pod *p, const char *message)
{
	struct str s = str_of(message);
	size_t most = MESSAGES_BYTES / (p->n_ctrs ? p->n_ctrs : 1), n = 0;

	if (s.n <= most)
		return s;
	for (size_t step; n < most && (step = str_utf8_step(s.p + n, s.n - n)) && n + step <= most;)
		n += step;
	return str_n(s.p, n);
}

static void put_terminated(struct doc *d, struct node *state, const struct pod *p, const struct ctr_end *e)
{
	struct node *t = node_need_object(d, state, F_terminated);

	node_seti(d, t, F_exitCode, e->exit_code);
	node_sets(d, t, F_reason, e->reason);
	if (e->message)
		node_set(d, t, F_message, node_new_str(d, limited_message(p, e->message)));
	if (streq(e->reason, "StartError")) /* never: the beginning of time, as runtimes report it */
		node_sets(d, t, F_startedAt, "1970-01-01T00:00:00Z");
	else
		put_time(d, t, F_startedAt, e->started_s);
	put_time(d, t, F_finishedAt, e->finished_s);
	put_id(d, t, e->id);
}

static void put_waiting(struct doc *d, struct node *state, struct ctr *c)
{
	struct node *w = node_need_object(d, state, F_waiting);

	node_sets(d, w, F_reason,
		  c->reason				      ? c->reason
		  : pod_has_inits(c->pod) && !c->pod->initialized && c->kind == CTR_MAIN ? "PodInitializing"
							      : "ContainerCreating");
	if (c->message)
		node_sets(d, w, F_message, c->message);
}

static void put_state(struct doc *d, struct node *o, struct ctr *c)
{
	struct node *state = node_need_object(d, o, F_state), *last = node_need_object(d, o, F_lastState);
	const struct ctr_end *before = c->last.set ? &c->last : NULL;

	switch (c->state) {
	case CTR_WAIT:
	case CTR_STARTING:
		put_waiting(d, state, c);
		if (c->end.set)
			before = &c->end;
		break;
	case CTR_UP:
		if (c->post_start)
			put_waiting(d, state, c);
		else
			put_time(d, node_need_object(d, state, F_running), F_startedAt, c->started_s);
		break;
	case CTR_DOWN:
		put_terminated(d, state, c->pod, &c->end);
		break;
	}
	if (before)
		put_terminated(d, last, c->pod, before);
}

static void put_mounts(struct doc *d, struct node *o, const struct node *spec)
{
	const struct node *mounts = node_get(spec, F_volumeMounts);
	struct node *list;

	if (!node_count(mounts))
		return;
	list = node_need_array(d, o, F_volumeMounts);
	NODE_FOREACH (m, mounts) {
		struct node *v = node_append(list, node_new(d, DOC_OBJECT));

		node_sets(d, v, F_name, node_gets(m, F_name));
		node_sets(d, v, F_mountPath, node_gets(m, F_mountPath));
		if (node_bool(node_get(m, F_readOnly), false)) {
			node_setb(d, v, F_readOnly, true);
			node_sets(d, v, F_recursiveReadOnly,
				  *node_gets(m, F_recursiveReadOnly) &&
						  !node_streq(node_get(m, F_recursiveReadOnly), "Disabled")
					  ? "Enabled"
					  : "Disabled");
		}
	}
}

/* What it runs with, which is the spec's but while a resize waits. */
static void put_resources(struct doc *d, struct node *o, struct ctr *c)
{
	_cleanup_doc_ struct doc *own = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	const struct node *res;

	if (!c->resources || doc_parse_json(&own, str_of(c->resources), NULL, &e) < 0)
		return;
	res = doc_root(own);
	if (!node_count(res))
		return;
	if (node_count(node_get(res, F_requests)))
		node_set(d, o, F_allocatedResources, node_copy(d, node_get(res, F_requests)));
	node_set(d, o, F_resources, node_copy(d, res));
}

static void put_ctr(struct doc *d, struct node *list, struct ctr *c)
{
	struct node *o = node_append(list, node_new(d, DOC_OBJECT));
	const struct node *spec = ctr_spec(c);
	bool ready = c->kind == CTR_INIT ? c->state == CTR_DOWN && c->end.exit_code == 0
					 : c->kind != CTR_EPHEMERAL && c->state == CTR_UP && c->ready;
	const char *id = c->id[0] ? c->id : "";

	node_sets(d, o, F_name, c->name);
	put_state(d, o, c);
	node_setb(d, o, F_ready, ready);
	node_seti(d, o, F_restartCount, c->attempt);
	node_sets(d, o, F_image, *c->image_name ? c->image_name : node_gets(spec, F_image));
	node_sets(d, o, F_imageID, c->image_id);
	if (c->state != CTR_STARTING || c->end.set)
		put_id(d, o, id);
	node_setb(d, o, F_started, c->state == CTR_UP && c->started);
	if (c->state == CTR_UP)
		put_resources(d, o, c);
	put_mounts(d, o, spec);
	security_put_user(d, o, c);
}

static int ctr_name_cmp(const void *a, const void *b)
{
	return strcmp((*(struct ctr *const *)a)->name, (*(struct ctr *const *)b)->name);
}

/* Init containers in their order, the others by name. */
static void put_ctrs(struct doc *d, struct node *status, struct pod *p)
{
	struct ctr **by_name = xcalloc(p->n_ctrs + 1, sizeof(*by_name));

	memcpy(by_name, p->ctrs, p->n_ctrs * sizeof(*by_name));
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind <= CTR_SIDECAR)
			put_ctr(d, node_need_array(d, status, F_initContainerStatuses), p->ctrs[i]);
	qsort(by_name, p->n_ctrs, sizeof(*by_name), ctr_name_cmp);
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (by_name[i]->kind == CTR_MAIN)
			put_ctr(d, node_need_array(d, status, F_containerStatuses), by_name[i]);
		else if (by_name[i]->kind == CTR_EPHEMERAL)
			put_ctr(d, node_need_array(d, status, F_ephemeralContainerStatuses), by_name[i]);
	free(by_name);
}

/* --- conditions --- */

struct conds {
	struct doc *d;
	struct node *list;
	const struct node *have;
	int64_t generation, now;
};

static void put_cond(struct conds *k, const char *type, bool on, const char *reason, const char *message)
{
	const struct node *old = cond_find(k->have, type), *when = node_get(old, F_lastTransitionTime);
	struct node *c = node_append(k->list, node_new(k->d, DOC_OBJECT));
	const char *status = on ? "True" : "False";

	node_sets(k->d, c, F_type, type);
	if (k->generation)
		node_seti(k->d, c, F_observedGeneration, k->generation);
	node_sets(k->d, c, F_status, status);
	if (node_streq(node_get(old, F_status), status) && when)
		node_set(k->d, c, F_lastTransitionTime, node_copy(k->d, when));
	else
		put_time(k->d, c, F_lastTransitionTime, k->now);
	/* What the merge would else leave of the former state. */
	if (reason)
		node_sets(k->d, c, F_reason, reason);
	else if (node_get(old, F_reason))
		node_set(k->d, c, F_reason, node_new(k->d, DOC_NULL));
	if (message)
		node_sets(k->d, c, F_message, message);
	else if (node_get(old, F_message))
		node_set(k->d, c, F_message, node_new(k->d, DOC_NULL));
}

static bool ctr_is_ready(const struct ctr *c)
{
	return c->state == CTR_UP && c->ready;
}

static void name_list(struct buf *out, const char *what, const char *name)
{
	if (!out->len)
		buf_addf(out, "%s [%s", what, name);
	else
		buf_addf(out, " %s", name);
}

static void put_initialized(struct conds *k, struct pod *p, const char *phase)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];
		bool done = c->kind == CTR_INIT ? c->state == CTR_DOWN && c->end.exit_code == 0
						: c->started || c->state == CTR_DOWN;

		if (c->kind <= CTR_SIDECAR && !done && !p->initialized)
			name_list(&b, "containers with incomplete status:", c->name);
	}
	if (streq(phase, "Succeeded")) {
		put_cond(k, "Initialized", true, "PodCompleted", NULL);
	} else if (b.len) {
		buf_addch(&b, ']');
		put_cond(k, "Initialized", false, "ContainersNotInitialized", b.s);
	} else {
		put_cond(k, "Initialized", true, NULL, NULL);
	}
}

/* Names what is not ready; "" when all is. */
static void unready(struct pod *p, struct buf *out)
{
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if ((c->kind == CTR_MAIN || c->kind == CTR_SIDECAR) && !ctr_is_ready(c))
			name_list(out, "containers with unready status:", c->name);
	}
	if (out->len)
		buf_addch(out, ']');
}

static void unready_gates(struct conds *k, struct pod *p, struct buf *out)
{
	NODE_FOREACH (g, node_get(pod_spec(p), F_readinessGates)) {
		const char *type = node_gets(g, F_conditionType);
		const struct node *c = cond_find(k->have, type);

		if (!c)
			buf_addf(out,
				 "%scorresponding condition of pod readiness gate \"%s\" does not exist.",
				 out->len ? ", " : "", type);
		else if (!node_streq(node_get(c, F_status), "True"))
			buf_addf(out, "%sthe status of pod readiness gate \"%s\" is not \"True\", but %s",
				 out->len ? ", " : "", type, node_gets(c, F_status));
	}
}

/* Conditions that are there only while they are true. */
static void put_or_drop(struct conds *k, const char *type, bool on, const char *reason, const char *message)
{
	struct node *c;

	if (on) {
		put_cond(k, type, true, reason, message);
	} else if (cond_find(k->have, type)) {
		c = node_append(k->list, node_new(k->d, DOC_OBJECT));
		node_sets(k->d, c, F_type, type);
		node_sets(k->d, c, F__patch, "delete");
	}
}

static void put_resize(struct conds *k, struct pod *p)
{
	bool error = p->resize_reason && streq(p->resize_reason, "Error"), over = p->state > POD_RUN;

	put_or_drop(k, "PodResizePending", !over && p->resize_reason && !error, p->resize_reason, p->resize_message);
	put_or_drop(k, "PodResizeInProgress", !over && (error || p->resize_going), error ? "Error" : NULL,
		    error ? p->resize_message : NULL);
}

static void put_conditions(struct doc *d, struct node *status, struct pod *p, const char *phase)
{
	const struct node *have = node_get(pod_status_node(p), F_conditions);
	struct conds k = {
		.d = d, .list = node_need_array(d, status, F_conditions), .have = have, .now = time_wall_s()};
	_cleanup_buf_ struct buf b = BUF_INIT, gates = BUF_INIT;
	const char *why = streq(phase, "Succeeded") ? "PodCompleted"
			  : streq(phase, "Failed")  ? "PodFailed"
						    : NULL;
	struct node *order;

	k.generation = status_generation(p);
	put_cond(&k, "PodReadyToStartContainers", p->sandbox && p->ip[0] && !pod_finished(p) && !p->rebuild,
		 NULL, NULL);
	put_initialized(&k, p, phase);
	unready(p, &b);
	unready_gates(&k, p, &gates);
	if (why)
		put_cond(&k, "Ready", false, why, NULL);
	else if (b.len)
		put_cond(&k, "Ready", false, "ContainersNotReady", b.s);
	else if (gates.len)
		put_cond(&k, "Ready", false, "ReadinessGatesNotReady", gates.s);
	else
		put_cond(&k, "Ready", true, NULL, NULL);
	if (why)
		put_cond(&k, "ContainersReady", false, why, NULL);
	else
		put_cond(&k, "ContainersReady", !b.len, b.len ? "ContainersNotReady" : NULL,
			 b.len ? b.s : NULL);
	put_cond(&k, "PodScheduled", true, NULL, NULL);
	put_resize(&k, p);
	if (p->disrupted)
		put_cond(&k, "DisruptionTarget", true, "TerminationByKubelet",
			 streq(p->fail_reason, "Preempting")
				 ? "Pod was preempted by Kubelet to accommodate a critical pod."
				 : p->fail_message);
	order = node_setk(d, status, STR_LIT("$setElementOrder/conditions"), node_new(d, DOC_ARRAY));
	NODE_FOREACH (c, k.list) {
		struct node *o;

		if (node_get(c, F__patch))
			continue;
		o = node_append(order, node_new(d, DOC_OBJECT));
		node_sets(d, o, F_type, node_gets(c, F_type));
	}
}

/* --- the whole --- */

static void put_ip(struct doc *d, struct node *status, enum field one, enum field list, const char *ip, const char *ip2)
{
	struct node *o;

	if (str_empty(ip))
		return;
	node_sets(d, status, one, ip);
	o = node_append(node_need_array(d, status, list), node_new(d, DOC_OBJECT));
	node_sets(d, o, F_ip, ip);
	if (str_empty(ip2))
		return;
	o = node_append(node_get(status, list), node_new(d, DOC_OBJECT));
	node_sets(d, o, F_ip, ip2);
}

struct doc *status_make(struct pod *p)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *status;
	int64_t generation = status_generation(p);
	const char *phase = status_phase(p);

	doc_set_root(d, root);
	node_sets(d, node_need_object(d, root, F_metadata), F_uid, pod_api_obj(p) ? pod_api_obj(p)->uid : p->uid);
	status = node_need_object(d, root, F_status);
	if (generation)
		node_seti(d, status, F_observedGeneration, generation);
	node_sets(d, status, F_phase, phase);
	if (status_failed(p)) {
		node_sets(d, status, F_reason, p->fail_reason);
		node_sets(d, status, F_message, p->fail_message);
	}
	put_conditions(d, status, p, phase);
	put_ip(d, status, F_hostIP, F_hostIPs, p->agent->ip, p->agent->ip2);
	put_ip(d, status, F_podIP, F_podIPs, p->ip, p->ip2);
	put_time(d, status, F_startTime, p->start_s);
	node_sets(d, status, F_qosClass, qos_name(qos_of(pod_spec(p))));
	if (!p->rejected)
		put_ctrs(d, status, p);
	return d;
}

static bool cond_differs(const struct node *old, const struct node *want)
{
	static const enum field fields[] = {F_status, F_reason, F_message, F_observedGeneration};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct node *a = node_get(old, fields[i]), *b = node_get(want, fields[i]);

		if (node_type(a) != node_type(b) || (a && b && !node_equal(a, b)))
			return true;
	}
	return false;
}

/* Equal but for nulls, which the API keeps where Go prints a time that was never set. */
static bool same(const struct node *have, const struct node *want)
{
	if (!node_is(want, DOC_OBJECT) && !node_is(want, DOC_ARRAY))
		return have && node_equal(have, want);
	if (node_type(have) != node_type(want))
		return false;
	if (node_is(want, DOC_ARRAY)) {
		const struct node *w = node_first(want);

		NODE_FOREACH (h, have) {
			if (!w || !same(h, w))
				return false;
			w = w->next;
		}
		return !w;
	}
	NODE_FOREACH (w, want)
		if (!same(node_getk(have, node_key(w)), w))
			return false;
	NODE_FOREACH (h, have)
		if (!node_is(h, DOC_NULL) && !node_getk(want, node_key(h)))
			return false;
	return true;
}

bool status_changed(const struct node *have, const struct node *want)
{
	NODE_FOREACH (m, want) {
		const struct node *old;

		if (m->name == F_conditions) {
			NODE_FOREACH (c, m)
				if (cond_differs(
					    cond_find(node_get(have, F_conditions), node_gets(c, F_type)), c))
					return true;
			continue;
		}
		if (m->name == F_NONE) /* $setElementOrder */
			continue;
		old = node_get(have, m->name);
		if (!old || !same(old, m))
			return true;
	}
	return false;
}

static void status_sent(void *arg, struct obj *o, const struct err *err)
{
	struct pod *p = arg;

	p->status_busy = false;
	if (err) {
		/* Not found: the watch will tell. */
		if (err->reason != ERR_NOT_FOUND)
			log_debug("cannot tell a pod's status, trying again", LS("pod", p->name),
				  LS("ns", p->ns), LE(err));
		p->status_retry_ms = time_mono_ms() + SEC_MS;
		p->told_hash = 0;
	} else if (o) {
		p->told_rv = o->rv;
		if (p->is_static)
			static_mirror_seen(p->agent, o, false);
		else
			pod_update(p, o);
	}
	pod_put(p);
}

/*
 * The API may keep something else than what it was sent (a default, a rule of
 * its own). What it answered to this very status is then all there is to get;
 * sending it again would go on for ever.
 */
static bool told_already(struct pod *p, const struct doc *d)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	uint64_t hash;

	doc_print_json(&b, doc_root(d), DOC_PRINT_COMPACT);
	hash = hash_sip(buf_str(&b));
	if (hash == p->told_hash && p->told_rv == pod_api_obj(p)->rv)
		return true;
	p->told_hash = hash;
	return false;
}

/* Addresses are merged by their value in a patch: those of a former sandbox would stay. */
static void status_replace_addresses(struct doc *d)
{
	static const enum field lists[] = {F_podIPs, F_hostIPs};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		struct node *list = node_path(doc_root(d), F_status, lists[i]), *item;

		if (!node_count(list))
			continue;
		item = node_new(d, DOC_OBJECT);
		node_sets(d, item, F__patch, "replace");
		node_insert(list, 0, item);
	}
}

bool status_run(struct pod *p)
{
	struct doc *d;

	if (p->status_busy)
		return false;
	d = status_make(p);
	if (!status_changed(pod_status_node(p), node_get(doc_root(d), F_status)) || told_already(p, d)) {
		doc_unref(d);
		return true;
	}
	status_replace_addresses(d);
	p->status_busy = true;
	p->pending++;
	client_patch(p->agent->client, p->agent->r_pods, p->ns, p->name, "status", PATCH_STRATEGIC, d,
		     status_sent, p);
	return false;
}
