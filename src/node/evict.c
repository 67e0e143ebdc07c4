/*
 * Eviction: when memory, disk or processes are short, the node says so in its
 * conditions, frees what nobody needs (images, what ended containers left), and
 * then ends pods, one at a time, until it is better. Mirrors
 * pkg/kubelet/eviction/eviction_manager.go in order, texts and hysteresis; but
 * nothing here has a clock of its own: what is left is looked at when the lease is
 * renewed (every 10 s, as the kubelet does), when the kernel says that processes
 * wait for memory (PSI), and when a pod that was evicted has gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "node/pressure.h"
#include "node/stats.h"
#include "schema/placement.h"

#define CLEANUP_MS 30000 /* what was begun (an eviction, a collection) is waited for so long */
#define HARD_GRACE_S 1
#define PSI_TRIGGER "some 100000 1000000" /* microseconds of waiting in a second */
#define ASK_PAUSE 5 /* counting what is on the disk takes at most a fifth of the time */
#define CRITICAL_PRIORITY 2000000000

struct evict {
	struct node_agent *agent;
	struct observation seen[SIGNALS];
	bool pressure[PRESSURES];
	char *gone; /* uid of the pod whose end is waited for */
	int64_t gone_until_ms;
	bool collecting, collected; /* images; they were, since the shortage began */
	int64_t collect_until_ms;
	struct stats_wait *wait; /* for what pods use of the disk */
	bool asking;
	int64_t disk_free, asked_ms, ask_next_ms; /* when their limits were looked at last, and will be at the earliest */
	int psi, epoll;
	struct loop_fd *psi_fd;
	struct loop_timer *timer; /* where looks are asked for more often than the lease is renewed */
};

static const struct pressure_row {
	const char *condition, *event[2];
} pressure_rows[PRESSURES] = {
	{"MemoryPressure", {"NodeHasSufficientMemory", "NodeHasInsufficientMemory"}},
	{"DiskPressure", {"NodeHasNoDiskPressure", "NodeHasDiskPressure"}},
	{"PIDPressure", {"NodeHasSufficientPID", "NodeHasInsufficientPID"}},
};

bool evict_pressure(const struct node_agent *n, enum pressure p)
{
	return n->evict && n->evict->pressure[p];
}

static void node_event(struct node_agent *n, const char *type, const char *reason, const char *text)
{
	if (n->node)
		client_event(n->client, n->node, NULL, NODE_COMPONENT, n->name, type, reason, "%s", text);
}

/* --- pods --- */

static int64_t pod_priority(struct pod *p)
{
	return node_int(node_get(pod_spec(p), F_priority), 0);
}

bool pod_critical(struct pod *p)
{
	return p->is_static || pod_priority(p) >= CRITICAL_PRIORITY;
}

/* It runs, and nobody has told it to end yet. */
static bool pod_active(struct pod *p)
{
	return p->state <= POD_RUN && p->start_s && !p->fail_reason && !p->gone && !pod_deleting(p) && !p->settled;
}

bool evict_pod(struct pod *p, int64_t grace_s, bool disrupted, const char *message)
{
	if (pod_critical(p)) {
		log_warn("cannot evict a critical pod", LS("pod", p->name), LS("ns", p->ns));
		return false;
	}
	log_info("evicting a pod", LS("pod", p->name), LS("ns", p->ns), LS("why", message));
	p->grace_cap_s = max_i64(grace_s, HARD_GRACE_S);
	p->disrupted = disrupted;
	pod_fail(p, "Evicted", "%s", message);
	return true;
}

static bool tolerates_memory_pressure(struct pod *p)
{
	static const struct taint taint = {"node.kubernetes.io/memory-pressure", "", "NoSchedule"};

	return taint_tolerated(&taint, node_get(pod_spec(p), F_tolerations));
}

bool evict_admit(struct pod *p)
{
	struct node_agent *n = p->agent;
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0; i < PRESSURES; i++)
		if (evict_pressure(n, (enum pressure)i))
			buf_addf(&b, "%s%s", b.len ? " " : "", pressure_rows[i].condition);
	if (!b.len || pod_critical(p))
		return true;
	if (streq(b.s, "MemoryPressure") && (qos_of(pod_spec(p)) != QOS_BEST_EFFORT || tolerates_memory_pressure(p)))
		return true;
	pod_fail(p, "Evicted", "Pod was rejected: The node had condition: [%s]. ", b.s);
	return false;
}

/* --- who goes --- */

static void candidate_fill(struct evict_candidate *c, struct pod *p, enum evict_resource r)
{
	struct run_usage u;

	*c = (struct evict_candidate){.pod = p, .priority = pod_priority(p)};
	if (r == EVICT_MEMORY || r == EVICT_PIDS) {
		c->known = p->sandbox && sandbox_usage(p->sandbox, &u);
		c->used = !c->known ? 0 : r == EVICT_MEMORY ? u.working_set : u.processes;
	} else {
		struct stats_disk d = stats_pod_disk(p->agent->stats, p);

		c->known = d.known;
		c->used = r == EVICT_INODES ? d.inodes : d.bytes;
	}
	if (r == EVICT_MEMORY || r == EVICT_STORAGE)
		c->request = qos_pod_request(pod_spec(p), evict_resource_name(r));
}

static void message_containers(struct pod *p, enum evict_resource r, struct buf *out)
{
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];
		struct container *rc = ctr_run(c);
		struct run_usage u = {0};
		int64_t used = 0;

		if (c->kind == CTR_EPHEMERAL || !rc)
			continue;
		if (r == EVICT_MEMORY && container_usage(rc, &u)) {
			used = u.working_set;
		} else if (r == EVICT_STORAGE) {
			const struct stats_entry *en = stats_ctr(p->agent->stats, c);

			used = en ? en->root.bytes + en->logs.bytes : 0;
		}
		evict_message_container(out, c->name, used, node_get(ctr_spec(c), F_resources), r);
	}
}

static void evict_one(struct evict *v, const struct threshold *t, enum evict_signal s)
{
	struct node_agent *n = v->agent;
	struct evict_candidate *all = xcalloc(map_count(n->by_uid) + 1, sizeof(*all));
	enum evict_resource r = signal_resource(s);
	size_t k = 0;

	for (struct map_iter it = {0}; map_next(n->by_uid, &it);)
		if (pod_active(it.value))
			candidate_fill(&all[k++], it.value, r);
	evict_rank(all, k, r);
	for (size_t i = 0; i < k; i++) {
		struct pod *p = all[i].pod;
		int64_t own = node_int(node_get(pod_spec(p), F_terminationGracePeriodSeconds), 30);
		_cleanup_buf_ struct buf b = BUF_INIT;

		evict_message(&b, t, s, &v->seen[s]);
		message_containers(p, r, &b);
		if (!evict_pod(p, t->grace_ms ? min_i64(own, n->settings->thresholds.max_grace_s) : HARD_GRACE_S, true, b.s))
			continue;
		free(v->gone);
		v->gone = xstrdup(p->uid);
		v->gone_until_ms = time_mono_ms() + CLEANUP_MS;
		break;
	}
	if (!v->gone)
		log_warn("unable to evict any pods from the node", LS("for", evict_resource_name(r)));
	free(all);
}

/* --- what nobody needs --- */

/* What containers that will not run again have written; and logs of pods that are over. */
static void drop_dead(struct node_agent *n)
{
	for (struct map_iter it = {0}; map_next(n->by_uid, &it);) {
		struct pod *p = it.value;

		for (size_t i = 0; i < p->n_ctrs && p->state == POD_RUN; i++) {
			struct container *rc = ctr_run(p->ctrs[i]);

			if (rc && p->ctrs[i]->state == CTR_DOWN && !ctr_will_restart(p->ctrs[i]))
				container_remove(rc, false);
		}
		if (p->state == POD_OVER) {
			_cleanup_free_ char *logs = pod_log_dir(n, p->ns, p->name, p->uid);
			_cleanup_err_ struct err e = ERR_INIT;

			if (path_remove_tree(logs, &e) < 0)
				log_warn("cannot remove logs, ignoring", LS("path", logs), LE(&e));
		}
	}
}

static void collect_done(void *arg, const struct image_gc_result *r)
{
	struct node_agent *n = arg;
	struct evict *v = n->evict;

	if (n->ending || !v || !v->collecting)
		return;
	log_info("collected images", LI("freed", r->freed), LI("removed", r->removed));
	v->collecting = false;
	v->collected = true;
	evict_run(n);
}

/* True: something is under way. */
static bool reclaim(struct evict *v)
{
	static const struct image_gc_policy all = {0};

	if (v->collecting && time_mono_ms() < v->collect_until_ms)
		return true;
	if (v->collecting || v->collected) {
		v->collecting = false;
		v->collected = true;
		return false;
	}
	drop_dead(v->agent);
	v->collecting = true;
	v->collect_until_ms = time_mono_ms() + CLEANUP_MS;
	image_gc(v->agent->images, &all, collect_done, v->agent);
	return true;
}

/* --- limits of what a pod may keep on the disk --- */

static bool limit_of(const struct node *resources, struct quantity *q)
{
	return quantity_from_node(q, node_getc(node_get(resources, F_limits), "ephemeral-storage")) && q->nano > 0;
}

/* The sum of the limits that there are, as Kubernetes counts. */
static bool limit_of_pod(struct pod *p, struct quantity *sum)
{
	struct quantity one;
	bool any = false;

	*sum = (struct quantity){0};
	NODE_FOREACH (c, node_get(pod_spec(p), F_containers))
		if (limit_of(node_get(c, F_resources), &one)) {
			quantity_add(sum, &one);
			any = true;
		}
	return any;
}

static void enforce_containers(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs && !p->fail_reason; i++) {
		const struct stats_entry *en = stats_ctr(p->agent->stats, p->ctrs[i]);
		_cleanup_buf_ struct buf b = BUF_INIT;
		_cleanup_free_ char *text = NULL;
		struct quantity q;

		if (!en || p->ctrs[i]->kind != CTR_MAIN || !limit_of(node_get(ctr_spec(p->ctrs[i]), F_resources), &q) ||
		    en->root.bytes + en->logs.bytes <= quantity_value(&q))
			continue;
		quantity_print(&q, &b);
		text = xasprintf("Container %s exceeded its local ephemeral storage limit \"%s\". ", p->ctrs[i]->name, b.s);
		if (!evict_pod(p, HARD_GRACE_S, false, text))
			return;
	}
}

static void enforce(struct pod *p)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *text = NULL;
	struct quantity q;

	if (!pod_active(p) || !limit_of_pod(p, &q))
		return;
	if (stats_pod_disk(p->agent->stats, p).bytes > quantity_value(&q)) {
		quantity_print(&q, &b);
		text = xasprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", b.s);
		evict_pod(p, HARD_GRACE_S, false, text);
		return;
	}
	enforce_containers(p);
}

static bool any_limited(struct node_agent *n)
{
	struct quantity q;

	for (struct map_iter it = {0}; map_next(n->by_uid, &it);)
		if (pod_active(it.value) && limit_of_pod(it.value, &q))
			return true;
	return false;
}

static void evict_act(struct evict *v);

static void disk_known(void *arg)
{
	struct evict *v = arg;
	struct node_agent *n = v->agent;

	v->wait = NULL;
	v->asking = false;
	v->ask_next_ms = time_mono_ms() + ASK_PAUSE * (time_mono_ms() - v->asked_ms);
	for (struct map_iter it = {0}; map_next(n->by_uid, &it);)
		enforce(it.value);
	evict_act(v);
}

static void ask_disk(struct evict *v)
{
	struct stats_wait *w;

	v->asking = true;
	v->asked_ms = time_mono_ms();
	stats_forget_disk(v->agent->stats);
	w = stats_ask(v->agent->stats, disk_known, v);
	if (v->asking)
		v->wait = w;
}

/* Where nothing was written nobody passes a limit. */
static void watch_limits(struct evict *v)
{
	int64_t now_free = v->seen[SIGNAL_NODEFS].available;

	if (v->asking || now_free == v->disk_free || time_mono_ms() < v->ask_next_ms || !any_limited(v->agent))
		return;
	v->disk_free = now_free;
	ask_disk(v);
}

/* --- what has to be done --- */

/* The pod that goes has gone, or has had its time. */
static bool still_going(struct evict *v)
{
	struct pod *p = v->gone ? map_getc(v->agent->by_uid, v->gone) : NULL;

	if (p && p->state != POD_OVER && time_mono_ms() < v->gone_until_ms)
		return true;
	v->gone = free_null(v->gone);
	return false;
}

/* Called when what pods use is known, if that matters. */
static void evict_act(struct evict *v)
{
	struct node_agent *n = v->agent;
	enum evict_signal s;
	const struct threshold *t = thresholds_due(&n->settings->thresholds, &s);

	if (t && !still_going(v) && !v->collecting)
		evict_one(v, t, s);
}

static void evict_begin(struct evict *v)
{
	struct node_agent *n = v->agent;
	enum evict_signal s;
	const struct threshold *t = thresholds_due(&n->settings->thresholds, &s);
	enum evict_resource r;
	_cleanup_free_ char *text = NULL;

	if (!t) {
		v->collected = false;
		return;
	}
	if (still_going(v) || v->asking)
		return;
	r = signal_resource(s);
	if (!v->collecting && !v->collected) {
		text = xasprintf("Attempting to reclaim %s", evict_resource_name(r));
		node_event(n, "Warning", "EvictionThresholdMet", text);
	}
	if (r == EVICT_STORAGE || r == EVICT_INODES) {
		if (reclaim(v))
			return;
		if (!thresholds_short(&n->settings->thresholds, v->seen))
			return;
		ask_disk(v);
		return;
	}
	v->collected = true; /* nothing to collect; told once */
	evict_act(v);
}

static void tell_pressure(struct evict *v, int64_t now)
{
	struct node_agent *n = v->agent;
	bool changed = false;

	for (size_t i = 0; i < PRESSURES; i++) {
		bool on = thresholds_pressure(&n->settings->thresholds, (enum pressure)i, now);
		_cleanup_free_ char *text =
			xasprintf("Node %s status is now: %s", n->name, pressure_rows[i].event[on]);

		if (on == v->pressure[i])
			continue;
		v->pressure[i] = on;
		changed = true;
		log_info("node condition", LS("condition", pressure_rows[i].condition), LS("status", on ? "True" : "False"));
		node_event(n, "Normal", pressure_rows[i].event[on], text);
	}
	if (changed)
		node_status_run(n);
}

void evict_run(struct node_agent *n)
{
	struct evict *v = n->evict;
	int64_t now = time_mono_ms();

	if (!v || n->ending)
		return;
	observe(n, v->seen);
	thresholds_see(&n->settings->thresholds, v->seen, now);
	tell_pressure(v, now);
	if (!n->begun)
		return;
	watch_limits(v);
	evict_begin(v);
	if (n->settings->look_ms)
		loop_timer_set(v->timer, n->settings->look_ms);
}

void evict_pod_over(struct node_agent *n)
{
	struct evict *v = n->evict;

	for (struct map_iter it = {0}; map_next(n->by_uid, &it);) {
		struct pod *p = it.value;

		if (p->state == POD_SETUP && !p->start_s) /* it waits for room */
			pod_kick(p);
	}
	if (v && v->gone && !still_going(v))
		evict_run(n);
}

/* --- the kernel's word --- */

static void psi_woke(void *arg, int what UNUSED)
{
	struct evict *v = arg;
	struct epoll_event ev;

	if (epoll_wait(v->epoll, &ev, 1, 0) == 1 && ev.events & EPOLLERR) /* no such thing any more */
		v->psi_fd = loop_fd_free(v->psi_fd);
	evict_run(v->agent);
}

/* A trigger is told by POLLPRI, which the loop does not know: an epoll of its own stands in between. */
static void psi_start(struct evict *v)
{
	struct epoll_event ev = {.events = EPOLLPRI};

	v->psi = open("/proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (v->psi < 0 || write(v->psi, PSI_TRIGGER, sizeof(PSI_TRIGGER)) < 0)
		return;
	v->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (v->epoll >= 0 && epoll_ctl(v->epoll, EPOLL_CTL_ADD, v->psi, &ev) == 0)
		v->psi_fd = loop_fd_new(v->agent->loop, v->epoll, LOOP_READ, psi_woke, v);
}

static void evict_timer(void *arg)
{
	evict_run(((struct evict *)arg)->agent);
}

struct evict *evict_new(struct node_agent *n)
{
	struct evict *v = xcalloc(1, sizeof(*v));

	v->agent = n;
	v->psi = v->epoll = -1;
	v->timer = loop_timer_new(n->loop, evict_timer, v);
	psi_start(v);
	return v;
}

struct evict *evict_free(struct evict *v)
{
	if (!v)
		return NULL;
	if (v->wait)
		stats_cancel(v->wait);
	loop_fd_free(v->psi_fd);
	loop_timer_free(v->timer);
	close_fd(v->epoll);
	close_fd(v->psi);
	free(v->gone);
	free(v);
	return NULL;
}
