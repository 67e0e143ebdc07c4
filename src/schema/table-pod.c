/*
 * The table row of a Pod: what READY, STATUS and RESTARTS say.
 *
 * STATUS is not a field. It starts as the phase (or status.reason) and is
 * overruled, in this order, by a scheduling gate, by the first init container
 * that is not through, else by the containers, the first one winning, and last
 * by a deletion under way. Mirrors printPod of kube-apiserver.
 */
#include "schema/table.h"

#include <inttypes.h>

struct table_pod {
	const struct node *spec, *status;
	struct buf *reason;
	int64_t restarts, sidecar_restarts;
	int64_t last_ns, sidecar_last_ns; /* the newest end of an earlier run; 0: none */
	int64_t ready, total;
};

static void pod_reason(struct table_pod *p, const char *prefix, const char *s)
{
	buf_clear(p->reason);
	buf_adds(p->reason, prefix);
	buf_adds(p->reason, s);
}

/* Why a container ended, when it gave no reason: its signal or exit code. */
static void pod_reason_terminated(struct table_pod *p, const char *prefix, const struct node *t)
{
	int64_t signal = node_int(node_get(t, F_signal), 0);
	const char *reason = node_gets(t, F_reason);

	pod_reason(p, prefix, reason);
	if (*reason)
		return;
	if (signal)
		buf_addf(p->reason, "Signal:%" PRId64, signal);
	else
		buf_addf(p->reason, "ExitCode:%" PRId64, node_int(node_get(t, F_exitCode), 0));
}

static void pod_last_end(const struct node *container_status, int64_t *last_ns)
{
	const struct node *at = node_path(container_status, F_lastState, F_terminated, F_finishedAt);
	int64_t ns;

	if (time_parse_rfc3339(node_str(at), &ns) && ns > *last_ns)
		*last_ns = ns;
}

static bool pod_is_sidecar(const struct node *container)
{
	return node_streq(node_get(container, F_restartPolicy), "Always");
}

static const struct node *pod_init_container(const struct table_pod *p, const struct node *status)
{
	NODE_FOREACH (c, node_get(p->spec, F_initContainers))
		if (streq(node_gets(c, F_name), node_gets(status, F_name)))
			return c;
	return NULL;
}

/* One init container's status. True: it is through, or is a sidecar that runs. */
static bool pod_init_done(struct table_pod *p, const struct node *cs, size_t index, bool sidecar)
{
	const struct node *state = node_get(cs, F_state), *t = node_get(state, F_terminated);
	const char *waiting = node_gets(node_get(state, F_waiting), F_reason);

	if (t && node_int(node_get(t, F_exitCode), 0) == 0)
		return true;
	if (sidecar && node_bool(node_get(cs, F_started), false)) {
		p->ready += node_bool(node_get(cs, F_ready), false);
		return true;
	}
	if (t) {
		pod_reason_terminated(p, "Init:", t);
	} else if (*waiting && !streq(waiting, "PodInitializing")) {
		pod_reason(p, "Init:", waiting);
	} else {
		buf_clear(p->reason);
		buf_addf(p->reason, "Init:%zu/%zu", index, node_count(node_get(p->spec, F_initContainers)));
	}
	return false;
}

/* True while an init container holds up the pod. */
static bool pod_scan_init(struct table_pod *p)
{
	size_t index = 0;

	NODE_FOREACH (cs, node_get(p->status, F_initContainerStatuses)) {
		int64_t restarts = node_int(node_get(cs, F_restartCount), 0);
		bool sidecar = pod_is_sidecar(pod_init_container(p, cs));

		p->restarts += restarts;
		pod_last_end(cs, &p->last_ns);
		if (sidecar) {
			p->sidecar_restarts += restarts;
			pod_last_end(cs, &p->sidecar_last_ns);
		}
		if (!pod_init_done(p, cs, index++, sidecar))
			return true;
	}
	return false;
}

static void pod_scan_containers(struct table_pod *p)
{
	const struct node *list = node_get(p->status, F_containerStatuses);
	bool running = false, chosen = false;

	p->restarts = p->sidecar_restarts;
	p->last_ns = p->sidecar_last_ns;
	NODE_FOREACH (cs, list) {
		const struct node *state = node_get(cs, F_state), *t = node_get(state, F_terminated);
		const char *waiting = node_gets(node_get(state, F_waiting), F_reason);

		p->restarts += node_int(node_get(cs, F_restartCount), 0);
		pod_last_end(cs, &p->last_ns);
		if (*waiting || t) {
			/* The first one in the list has the last word. */
			if (!chosen && *waiting)
				pod_reason(p, "", waiting);
			else if (!chosen)
				pod_reason_terminated(p, "", t);
			chosen = true;
		} else if (node_bool(node_get(cs, F_ready), false) && node_get(state, F_running)) {
			running = true;
			p->ready++;
		}
	}
	/* One container is done and another still runs. */
	if (running && streq(p->reason->s, "Completed"))
		pod_reason(p, "",
			   cond_is_true(node_get(p->status, F_conditions), "Ready") ? "Running" : "NotReady");
}

static void pod_scan(struct table_pod *p, const struct node *n)
{
	const struct node *conditions = node_get(p->status, F_conditions);
	const char *phase = node_gets(p->status, F_phase), *reason = node_gets(p->status, F_reason);
	bool holding;

	pod_reason(p, "", *reason ? reason : phase);
	if (streq(node_gets(cond_find(conditions, "PodScheduled"), F_reason), "SchedulingGated"))
		pod_reason(p, "", "SchedulingGated");
	p->total = (int64_t)node_count(node_get(p->spec, F_containers));
	NODE_FOREACH (c, node_get(p->spec, F_initContainers))
		p->total += pod_is_sidecar(c);
	holding = pod_scan_init(p);
	if (!holding || cond_is_true(conditions, "Initialized"))
		pod_scan_containers(p);
	if (!meta_is_deleting(n))
		return;
	if (streq(reason, "NodeLost"))
		pod_reason(p, "", "Unknown");
	else if (!streq(phase, "Succeeded") && !streq(phase, "Failed"))
		pod_reason(p, "", "Terminating");
}

static void pod_restarts(struct table_row *w, const struct table_pod *p)
{
	char age[32];

	if (!p->restarts || !p->last_ns) {
		table_fmt(w, "%" PRId64, p->restarts);
		return;
	}
	time_fmt_human(age, w->now > p->last_ns / SEC_NS ? w->now - p->last_ns / SEC_NS : 0);
	table_fmt(w, "%" PRId64 " (%s ago)", p->restarts, age);
}

static void pod_gates(struct table_row *w, const struct table_pod *p)
{
	const struct node *gates = node_get(p->spec, F_readinessGates);
	size_t met = 0;

	if (!node_count(gates)) {
		table_cstr(w, TABLE_NONE);
		return;
	}
	NODE_FOREACH (g, gates)
		met += cond_is_true(node_get(p->status, F_conditions), node_gets(g, F_conditionType));
	table_fmt(w, "%zu/%zu", met, node_count(gates));
}

void table_row_pods(struct table_row *w, const struct node *n)
{
	_cleanup_buf_ struct buf reason = BUF_INIT;
	struct table_pod p = {
		.spec = node_get(n, F_spec), .status = node_get(n, F_status), .reason = &reason};
	const char *phase = node_gets(p.status, F_phase);

	pod_scan(&p, n);
	if (streq(phase, "Succeeded") || streq(phase, "Failed"))
		w->completed = phase;
	table_name(w, n);
	table_fmt(w, "%" PRId64 "/%" PRId64, p.ready, p.total);
	table_str(w, buf_str(&reason));
	pod_restarts(w, &p);
	table_created(w, n);
	table_or(w, node_get(node_first(node_get(p.status, F_podIPs)), F_ip), TABLE_NONE);
	table_or(w, node_get(p.spec, F_nodeName), TABLE_NONE);
	table_or(w, node_get(p.status, F_nominatedNodeName), TABLE_NONE);
	pod_gates(w, &p);
}

void table_row_podtemplates(struct table_row *w, const struct node *n)
{
	const struct node *t = node_get(n, F_template);

	table_name(w, n);
	table_containers(w, node_get(t, F_spec));
	table_labels(w, node_path(t, F_metadata, F_labels));
}
