/*
 * The table of controllers and their runner.
 *
 * Each controller has informers for what it watches and a work queue of keys.
 * The runner calls reconcile, carries out the plan batch by batch, and holds the
 * key until all writes were answered and the informers show them: so a reconcile
 * never sees less than what it did itself, and needs no notes of what it expects.
 * Then settle, where there is one, gets its turn in the same way.
 */
#include "ctl/internal.h"

#include <stdlib.h>

#include "base/log.h"

#define CTL_SEEN_TIMEOUT_MS 5000 /* an informer that shows a write no sooner is not waited for */

static const struct ctl_def ctl_defs[] = {
	{ "garbage-collector", 64, .open = gc_open, .close = gc_close, .feed = gc_feed, .start = gc_start },
	{ "customresourcedefinition", 4,
	  { { "apiextensions.k8s.io", "customresourcedefinitions", NULL, ctl_key_self } },
	  .start = crd_start },
	{ "namespace", 20, { { "", "namespaces", NULL, ctl_key_self } },
	  .open = namespace_open, .close = namespace_close, .feed = namespace_feed, .start = namespace_start },
	{ "serviceaccount", 2,
	  { { "", "namespaces", NULL, ctl_key_self },
	    { "", "serviceaccounts", NULL, ctl_key_namespace } },
	  .reconcile = serviceaccount_reconcile },
	{ "root-ca-certificate-publisher", 2,
	  { { "", "namespaces", NULL, ctl_key_self },
	    { "", "configmaps", "metadata.name=kube-root-ca.crt", ctl_key_namespace } },
	  .reconcile = rootca_reconcile },
	{ "tokens", 1,
	  { { "", "secrets", "type=kubernetes.io/service-account-token", ctl_key_namespace },
	    { "", "serviceaccounts", NULL, ctl_key_namespace } },
	  .reconcile = tokens_reconcile },
	{ "ttl-after-finished", 5, { { "batch", "jobs", NULL, ttl_key } }, .reconcile = ttl_reconcile },
	{ "csrapproving", 1, { { "certificates.k8s.io", "certificatesigningrequests", NULL, ctl_key_self } },
	  .start = csr_approve_start },
	{ "csrsigning", 1, { { "certificates.k8s.io", "certificatesigningrequests", NULL, ctl_key_self } },
	  .reconcile = csr_sign_reconcile },
	{ "csrcleaner", 1, { { "certificates.k8s.io", "certificatesigningrequests", NULL, ctl_key_self } },
	  .reconcile = csr_clean_reconcile },
	{ "clusterrole-aggregation-controller", 1,
	  { { "rbac.authorization.k8s.io", "clusterroles", NULL, clusterrole_key } },
	  .reconcile = clusterrole_reconcile },
	{ "node-taints", 2, { { "", "nodes", NULL, ctl_key_self } }, .reconcile = taints_reconcile },
	{ "node-lifecycle-controller", 8,
	  { { "", "nodes", NULL, ctl_key_self },
	    { "coordination.k8s.io", "leases", "metadata.namespace=kube-node-lease", node_lifecycle_key_of_lease },
	    { "", "pods", NULL, NULL } },
	  .open = node_lifecycle_open, .close = node_lifecycle_close, .reconcile = node_lifecycle_reconcile,
	  .settle = node_lifecycle_settle, .component = "node-controller" },
	{ "taint-eviction-controller", 8,
	  { { "", "nodes", NULL, ctl_key_self }, { "", "pods", NULL, ctl_key_node } },
	  .open = taint_eviction_open, .close = taint_eviction_close, .reconcile = taint_eviction_reconcile,
	  .settle = taint_eviction_settle },
	{ "pod-garbage-collector-controller", 8,
	  { { "", "nodes", NULL, ctl_key_self }, { "", "pods", NULL, podgc_key_of_pod } },
	  .open = podgc_open, .close = podgc_close, .reconcile = podgc_reconcile },
	{ "ttl-controller", 2, { { "", "nodes", NULL, ctl_key_self } },
	  .open = node_ttl_open, .close = free, .reconcile = node_ttl_reconcile },
	{ "pvc-protection", 2,
	  { { "", "persistentvolumeclaims", NULL, protection_key_of_claim }, { "", "pods", NULL, protection_key_of_pod } },
	  .reconcile = protection_claims_reconcile },
	{ "pv-protection", 2,
	  { { "", "persistentvolumes", NULL, ctl_key_self } },
	  .reconcile = protection_volumes_reconcile },
	{ "statefulset-controller", 5,
	  { { "apps", "statefulsets", NULL, ctl_key_self }, { "", "pods", NULL, NULL },
	    { "apps", "controllerrevisions", NULL, NULL }, { "", "persistentvolumeclaims", NULL, NULL } },
	  .reconcile = statefulset_reconcile, .settle = statefulset_settle, .kind = "StatefulSet",
	  .kids = 1 << CTL_PODS | 1 << CTL_REVISIONS },
	{ "daemonset-controller", 2,
	  { { "apps", "daemonsets", NULL, ctl_key_self }, { "", "pods", NULL, NULL },
	    { "apps", "controllerrevisions", NULL, NULL }, { "", "nodes", NULL, NULL, .all = true } },
	  .reconcile = daemonset_reconcile, .settle = daemonset_settle, .kind = "DaemonSet",
	  .kids = 1 << CTL_PODS | 1 << CTL_REVISIONS },
	{ "deployment-controller", 5,
	  { { "apps", "deployments", NULL, ctl_key_self }, { "apps", "replicasets", NULL, NULL } },
	  .reconcile = deployment_reconcile, .settle = deployment_settle, .kind = "Deployment",
	  .kids = 1 << CTL_REPLICASETS },
	{ "replicaset-controller", 5, { { "apps", "replicasets", NULL, ctl_key_self }, { "", "pods", NULL, NULL } },
	  .reconcile = replicaset_reconcile, .settle = replicaset_settle, .kind = "ReplicaSet", .kids = 1 << CTL_PODS },
	{ "replication-controller", 5,
	  { { "", "replicationcontrollers", NULL, ctl_key_self }, { "", "pods", NULL, NULL } },
	  .reconcile = replicaset_reconcile, .settle = replicaset_settle, .kind = "ReplicationController",
	  .kids = 1 << CTL_PODS },
	{ "job-controller", 5, { { "batch", "jobs", NULL, ctl_key_self }, { "", "pods", NULL, NULL } },
	  .reconcile = job_reconcile, .settle = job_settle, .kind = "Job", .kids = 1 << CTL_PODS,
	  .open = job_open, .close = job_close },
	{ "job-finalizers", 1,
	  { { "", "pods", NULL, job_finalizers_key }, { "batch", "jobs", NULL, job_finalizers_key_of_job } },
	  .reconcile = job_finalizers_reconcile },
	{ "cronjob-controller", 5, { { "batch", "cronjobs", NULL, ctl_key_self }, { "batch", "jobs", NULL, NULL } },
	  .reconcile = cronjob_reconcile, .settle = cronjob_settle, .kind = "CronJob", .kids = 1 << CTL_JOBS,
	  .open = cronjob_watch_clock, .close = cronjob_unwatch_clock },
	{ "endpointslice-controller", 5,
	  { { "", "services", NULL, ctl_key_self },
	    { "discovery.k8s.io", "endpointslices", NULL, endpointslice_key },
	    { "", "nodes", NULL, NULL, .all = true },
	    { "", "pods", NULL, NULL } },
	  .reconcile = endpointslice_reconcile, .selects = true },
	{ "endpoints-controller", 5,
	  { { "", "services", NULL, ctl_key_self },
	    { "", "endpoints", NULL, endpoints_key },
	    { "", "pods", NULL, NULL } },
	  .reconcile = endpoints_reconcile, .selects = true, .component = "endpoint-controller" },
	{ "endpointslice-mirroring-controller", 5,
	  { { "", "endpoints", NULL, ctl_key_self },
	    { "", "services", NULL, ctl_key_self },
	    { "discovery.k8s.io", "endpointslices", NULL, endpoints_mirror_key } },
	  .reconcile = endpoints_mirror_reconcile },
	{ "ipaddress", 5,
	  { { "", "services", NULL, ipaddress_key_of_service, .before = true },
	    { "networking.k8s.io", "ipaddresses", NULL, ipaddress_key, .before = true },
	    { "networking.k8s.io", "servicecidrs", NULL, NULL, .all = true } },
	  .reconcile = ipaddress_reconcile, .component = "ipallocator-repair-controller" },
	{ "service-cidr-controller", 1,
	  { { "networking.k8s.io", "servicecidrs", NULL, ctl_key_self },
	    { "networking.k8s.io", "ipaddresses", NULL, servicecidr_key_of_address } },
	  .reconcile = servicecidr_reconcile },
	{ "service-lb", 1,
	  { { "", "services", NULL, NULL }, { "", "nodes", NULL, NULL }, { "", "pods", NULL, NULL },
	    { "discovery.k8s.io", "endpointslices", NULL, NULL } },
	  .open = loadbalancer_open, .close = loadbalancer_close, .reconcile = loadbalancer_reconcile,
	  .component = "service-controller" },
	{ "ingress-status", 1,
	  { { "networking.k8s.io", "ingresses", NULL, ctl_key_self },
	    { "networking.k8s.io", "ingressclasses", NULL, NULL }, { "", "nodes", NULL, NULL } },
	  .open = ingress_status_open, .close = ingress_status_close, .reconcile = ingress_status_reconcile },
	{ "disruption", 1,
	  { { "policy", "poddisruptionbudgets", NULL, ctl_key_self }, { "", "pods", NULL, NULL },
	    { "", "replicationcontrollers", NULL, NULL }, { "apps", "replicasets", NULL, NULL },
	    { "apps", "deployments", NULL, NULL }, { "apps", "statefulsets", NULL, NULL } },
	  .reconcile = disruption_reconcile, .selects = true, .component = "controllermanager" },
	{ "disruption-target", 1, { { "", "pods", NULL, disruption_key_of_pod } }, .reconcile = disruption_stale_reconcile },
	{ "persistentvolumeclaim-binder", 1,
	  { { "", "persistentvolumeclaims", NULL, ctl_key_self },
	    { "", "persistentvolumes", NULL, claim_key_of_volume },
	    { "storage.k8s.io", "storageclasses", NULL, claim_key_of_class },
	    { "", "pods", NULL, claim_key_of_pod } },
	  .reconcile = claim_reconcile, .component = "persistentvolume-controller" },
	{ "persistentvolume-binder", 4,
	  { { "", "persistentvolumes", NULL, ctl_key_self },
	    { "", "persistentvolumeclaims", NULL, volume_key_of_claim },
	    { "", "nodes", NULL, volume_key_of_node } },
	  .reconcile = volume_reconcile, .component = "persistentvolume-controller" },
	{ "local-path", 1,
	  { { "", "persistentvolumeclaims", NULL, ctl_key_self },
	    { "", "persistentvolumes", NULL, claim_key_of_volume },
	    { "storage.k8s.io", "storageclasses", NULL, claim_key_of_class },
	    { "", "nodes", NULL, NULL } },
	  .reconcile = local_path_reconcile, .component = "kinglet.io/local-path" },
	{ "ephemeral-volume", 4,
	  { { "", "pods", NULL, ephemeral_key }, { "", "persistentvolumeclaims", NULL, ephemeral_key_of_claim } },
	  .reconcile = ephemeral_reconcile, .component = "ephemeral_volume" },
};

static const struct {
	const char *group, *plural;
} ctl_kid_kinds[CTL_N_KIDS] = {
	[CTL_PODS] = { "", "pods" },
	[CTL_REPLICASETS] = { "apps", "replicasets" },
	[CTL_REVISIONS] = { "apps", "controllerrevisions" },
	[CTL_JOBS] = { "batch", "jobs" },
	[CTL_SLICES] = { "discovery.k8s.io", "endpointslices" },
};

struct ctl_seen { /* a write that the caches must show before the key goes on */
	struct informer *informer;
	char *ns, *name;
	char *gone_uid; /* of what was there before: it may also be gone */
	int64_t rv;
};

struct ctl_job { /* one key with its plan under way */
	TAILQ_ENTRY(ctl_job) link;
	struct ctl_run *run;
	char *key;
	struct plan first, plan; /* first: what was carried out before settle made the present one */
	size_t next; /* of plan: not begun yet */
	size_t open; /* calls not answered */
	bool failed, waiting, settled;
	bool stop; /* nothing more of this plan: the namespace is going */
	VEC(struct ctl_seen) seen;
	struct loop_timer *timer;
};

struct ctl_call {
	struct ctl_job *job;
	struct plan_op *op;
};

struct ctl_run {
	struct ctl *ctl;
	const struct ctl_def *def;
	struct ctl_view view;
	struct workqueue *queue;
	TAILQ_HEAD(, ctl_job) jobs;
	size_t synced, watches;
	VEC(char *) early; /* keys seen before all informers were synced */
};

struct ctl_sub { /* an informer's way to its row */
	struct ctl_run *run;
	const struct ctl_watch *watch;
	bool synced;
};

struct ctl_kin { /* an index and its informer */
	struct ctl *ctl;
	unsigned bit;
	struct kids *kids;
	struct informer *informer;
};

struct ctl {
	struct ctl_config cfg;
	struct ctl_settings settings;
	struct ctl_kin kin[CTL_N_KIDS];
	struct ctl_run runs[ARRAY_SIZE(ctl_defs)];
	struct ctl_sub subs[ARRAY_SIZE(ctl_defs)][CTL_MAX_WATCHES];
	struct loop_task task; /* looks whether the caches show what was written */
	struct call_feed feed;
};

void ctl_key_self(struct obj *o, struct buf *out)
{
	obj_key_print(out, o->ns, o->name);
}

void ctl_key_namespace(struct obj *o, struct buf *out)
{
	buf_adds(out, o->ns);
}

void ctl_key_node(struct obj *o, struct buf *out)
{
	buf_adds(out, node_gets(node_get(obj_node(o), F_spec), F_nodeName));
}

struct client *ctl_run_client(struct ctl_run *run)
{
	return run->ctl->cfg.client;
}

const struct ctl_settings *ctl_run_settings(struct ctl_run *run)
{
	return &run->ctl->settings;
}

const struct ctl_config *ctl_run_config(struct ctl_run *run)
{
	return &run->ctl->cfg;
}

void *ctl_run_data(struct ctl_run *run)
{
	return run->view.data;
}

void ctl_run_wake(struct ctl_run *run, const char *key)
{
	workqueue_add(run->queue, key);
}

void ctl_run_wake_after(struct ctl_run *run, const char *key, int64_t ms)
{
	workqueue_add_after(run->queue, key, ms);
}

void ctl_run_done(struct ctl_run *run, const char *key, bool failed, int64_t again_ms)
{
	if (!failed && again_ms > 0)
		workqueue_add_after(run->queue, key, again_ms);
	workqueue_done(run->queue, key, failed);
}

/* --- carrying out a plan --- */

static void ctl_job_forget_seen(struct ctl_job *j)
{
	for (size_t i = 0; i < j->seen.n; i++) {
		free(j->seen.v[i].ns);
		free(j->seen.v[i].name);
		free(j->seen.v[i].gone_uid);
	}
	VEC_RELEASE(&j->seen);
}

static void ctl_job_free(struct ctl_job *j)
{
	TAILQ_REMOVE(&j->run->jobs, j, link);
	plan_release(&j->first);
	plan_release(&j->plan);
	ctl_job_forget_seen(j);
	loop_timer_free(j->timer);
	free(j->key);
	free(j);
}

static void ctl_job_finish(struct ctl_job *j)
{
	struct ctl_run *run = j->run;
	char *key = take_ptr(&j->key);
	int64_t again_ms = j->plan.again_ms;
	bool failed = j->failed;

	if (j->first.again_ms && (!again_ms || j->first.again_ms < again_ms))
		again_ms = j->first.again_ms;
	ctl_job_free(j);
	ctl_run_done(run, key, failed, again_ms);
	free(key);
}

static void ctl_job_go(struct ctl_job *j);

/* A plan is over and shown: settle, or the end. */
static void ctl_job_over(struct ctl_job *j)
{
	const struct ctl_def *def = j->run->def;
	_cleanup_err_ struct err e = ERR_INIT;

	j->waiting = false;
	if (j->timer)
		loop_timer_clear(j->timer);
	if (j->settled || !def->settle || j->stop) {
		ctl_job_finish(j);
		return;
	}
	j->settled = true;
	j->first = j->plan;
	j->plan = (struct plan){ 0 };
	j->next = 0;
	ctl_job_forget_seen(j);
	if (def->settle(&j->run->view, j->key, &j->first, &j->plan, &e) < 0) {
		log_debug("settle failed, trying again", LS("controller", def->name), LS("key", j->key), LE(&e));
		j->failed = true;
		ctl_job_finish(j);
		return;
	}
	ctl_job_go(j);
}

static void ctl_job_give_up(void *arg)
{
	ctl_job_over(arg);
}

static bool ctl_seen_shown(const struct ctl_seen *s)
{
	struct obj *o = informer_find(s->informer, s->ns, s->name);

	if (s->gone_uid && (!o || !streq(o->uid, s->gone_uid)))
		return true;
	return o && o->rv >= s->rv;
}

static bool ctl_job_shown(struct ctl_job *j)
{
	for (; j->seen.n; j->seen.n--) {
		struct ctl_seen *s = &j->seen.v[j->seen.n - 1];

		if (!ctl_seen_shown(s))
			return false;
		free(s->ns);
		free(s->name);
		free(s->gone_uid);
	}
	return true;
}

static void ctl_check_shown(struct loop_task *task)
{
	struct ctl *c = CONTAINER_OF(task, struct ctl, task);

	for (size_t i = 0; i < ARRAY_SIZE(ctl_defs); i++) {
		struct ctl_job *j, *next;

		TAILQ_FOREACH_SAFE(j, &c->runs[i].jobs, link, next)
			if (j->waiting && ctl_job_shown(j))
				ctl_job_over(j);
	}
}

static void ctl_job_answered(struct ctl_job *j)
{
	if (--j->open)
		return;
	if (!j->failed && !j->stop && j->next < j->plan.ops.n) {
		ctl_job_go(j);
		return;
	}
	if (ctl_job_shown(j)) {
		ctl_job_over(j);
		return;
	}
	j->waiting = true;
	if (!j->timer)
		j->timer = loop_timer_new(client_loop(j->run->ctl->cfg.client), ctl_job_give_up, j);
	loop_timer_set(j->timer, CTL_SEEN_TIMEOUT_MS);
}

static void ctl_job_note(struct ctl_job *j, const struct plan_op *op, struct obj *o)
{
	for (size_t i = 0; i < j->run->watches; i++) {
		struct ctl_seen s = { .informer = j->run->view.of[i] };

		if (schema_res(j->run->def->watches[i].group, j->run->def->watches[i].plural) != op->res)
			continue;
		if (op->verb == VERB_DELETE && !op->uid)
			continue;
		if (op->verb == VERB_DELETE)
			s.gone_uid = xstrdup(op->uid);
		else if (op->verb != VERB_CREATE && o)
			s.gone_uid = xstrdup(o->uid); /* its last finalizer may have gone by this */
		s.ns = xstrdup(o ? o->ns : op->ns ? op->ns : "");
		s.name = xstrdup(o ? o->name : op->name);
		s.rv = o ? o->rv : INT64_MAX; /* no answer but "Success": it is gone */
		VEC_PUSH(&j->seen, s);
	}
}

static bool ctl_ends_open(const char *text)
{
	return text && *text && text[strlen(text) - 1] == ' ';
}

static const char *ctl_component(const struct ctl_def *def)
{
	return def->component ? def->component : def->name;
}

/* The events of a write. */
static void ctl_op_say(struct ctl_job *j, const struct plan_op *op, struct obj *o, const struct err *err)
{
	struct client *c = j->run->ctl->cfg.client;
	const char *component = ctl_component(j->run->def);

	if (err && op->fail_reason)
		client_event(c, op->about, NULL, component, NULL, "Warning", op->fail_reason, "%s%s", op->fail_text,
			     ctl_ends_open(op->fail_text) ? err_msg(err) : "");
	if (!err && op->ok_reason)
		client_event(c, op->about, NULL, component, NULL, op->ok_warns ? "Warning" : "Normal", op->ok_reason,
			     "%s%s", op->ok_text, !ctl_ends_open(op->ok_text) ? "" : o ? o->name : op->name);
}

static bool ctl_is_ending(const struct err *err)
{
	for (const struct err_cause *c = err->causes; c; c = c->next)
		if (streq_null(c->reason, "NamespaceTerminating"))
			return true;
	return false;
}

static void ctl_op_failed(struct ctl_job *j, struct plan_op *op, const struct err *err)
{
	if (op->verb == VERB_CREATE && ctl_is_ending(err)) {
		j->stop = true; /* nothing can be made any more, and nobody waits for it */
		return;
	}
	log_debug("a controller's write failed, trying again", LS("controller", j->run->def->name), LS("key", j->key),
		  LE(err));
	op->failure = xstrdup(err_msg(err));
	j->failed = j->plan.failed = true;
	ctl_op_say(j, op, NULL, err);
}

static bool ctl_op_not_alive(const struct plan_op *op, struct obj *o)
{
	return op->verb == VERB_GET && (!o || !streq(o->uid, op->uid) || meta_is_deleting(obj_node(o)));
}

static void ctl_call_done(void *arg, struct obj *o, const struct err *err)
{
	struct ctl_call *c = arg;
	struct ctl_job *j = c->job;
	struct plan_op *op = c->op;
	_cleanup_err_ struct err e = ERR_INIT;

	free(c);
	if (!err && ctl_op_not_alive(op, o)) {
		err_set(&e, ERR_CONFLICT, "%s %s/%s is gone", op->res->kind, op->ns, op->name);
		err = &e;
	}
	if (!err) {
		op->done = true;
		if (op->verb != VERB_GET)
			ctl_job_note(j, op, o);
		ctl_op_say(j, op, o, NULL);
	} else if ((op->verb == VERB_CREATE && err->reason == ERR_ALREADY_EXISTS) ||
		   ((op->verb == VERB_DELETE || op->verb == VERB_PATCH) && err->reason == ERR_NOT_FOUND)) {
		op->done = true;
	} else {
		ctl_op_failed(j, op, err);
	}
	ctl_job_answered(j);
}

static void ctl_op_get(struct call *c, const struct err *err)
{
	struct ctl_call *call = c->arg;

	ctl_call_done(call, c->obj, err);
	free(c);
}

static void ctl_op_submit(struct ctl_job *j, struct plan_op *op)
{
	struct client *c = j->run->ctl->cfg.client;
	struct ctl_call *call = xcalloc(1, sizeof(*call));
	struct call *get;

	call->job = j;
	call->op = op;
	switch (op->verb) {
	case VERB_GET:
		get = xcalloc(1, sizeof(*get));
		*get = (struct call){ .verb = VERB_GET, .res = op->res, .ns = op->ns, .name = op->name, .done = ctl_op_get,
				      .arg = call };
		client_submit(c, get);
		break;
	case VERB_CREATE:
		client_create(c, op->res, op->ns, take_ptr(&op->body), ctl_call_done, call);
		break;
	case VERB_UPDATE:
		client_update(c, op->res, op->ns, op->name, op->subresource, take_ptr(&op->body), ctl_call_done, call);
		break;
	case VERB_PATCH:
		client_patch(c, op->res, op->ns, op->name, op->subresource, op->patch_type, take_ptr(&op->body),
			     ctl_call_done, call);
		break;
	default:
		if (op->now)
			client_delete(c, op->res, op->ns, op->name, op->uid, 0, ctl_call_done, call);
		else
			client_delete_as(c, op->res, op->ns, op->name, op->uid, op->propagation, ctl_call_done, call);
	}
}

static void ctl_tell(struct ctl_run *run, const struct plan *p)
{
	for (size_t i = 0; i < p->events.n; i++) {
		const struct plan_event *ev = &p->events.v[i];

		client_event(run->ctl->cfg.client, ev->about, NULL, ctl_component(run->def), NULL, ev->type, ev->reason,
			     "%s", ev->text);
	}
}

/* The next batch of the plan. */
static void ctl_job_go(struct ctl_job *j)
{
	size_t end = j->next, from = j->next;

	if (from == 0)
		ctl_tell(j->run, &j->plan);
	while (end < j->plan.ops.n && j->plan.ops.v[end].batch == j->plan.ops.v[from].batch)
		end++;
	j->next = end;
	j->open = 1 + end - from;
	for (size_t i = from; i < end; i++)
		ctl_op_submit(j, &j->plan.ops.v[i]);
	ctl_job_answered(j);
}

static void ctl_reconcile(void *arg, const char *key)
{
	struct ctl_run *run = arg;
	_cleanup_err_ struct err e = ERR_INIT;
	struct ctl_job *j;

	if (run->def->start) {
		run->def->start(run, &run->view, key);
		return;
	}
	j = xcalloc(1, sizeof(*j));
	j->run = run;
	j->key = xstrdup(key);
	TAILQ_INSERT_TAIL(&run->jobs, j, link);
	if (run->def->reconcile(&run->view, key, &j->plan, &e) < 0) {
		log_debug("reconcile failed, trying again", LS("controller", run->def->name), LS("key", key), LE(&e));
		j->failed = true;
	}
	if (j->failed)
		ctl_job_finish(j);
	else
		ctl_job_go(j);
}

/* --- waking --- */

static void ctl_wake(struct ctl_run *run, const char *key)
{
	if (run->synced == run->watches)
		workqueue_add(run->queue, key);
	else
		VEC_PUSH(&run->early, xstrdup(key));
}

void ctl_run_wake_all(struct ctl_run *run)
{
	for (struct obj *o = NULL; (o = informer_next(run->view.of[0], NULL, o));) {
		_cleanup_buf_ struct buf key = BUF_INIT;

		if (run->def->watches[0].key)
			run->def->watches[0].key(o, &key);
		else
			obj_key_print(&key, o->ns, o->name);
		if (key.len)
			ctl_wake(run, key.s);
	}
}

/* Heartbeats change the status alone. */
static bool ctl_is_same_but_status(enum watch_type t, struct obj *a, struct obj *b)
{
	return t == WATCH_MODIFIED && b && streq(a->uid, b->uid) &&
	       node_equal(node_get(obj_node(a), F_spec), node_get(obj_node(b), F_spec)) &&
	       node_equal(meta_labels(obj_node(a)), meta_labels(obj_node(b)));
}

static void ctl_on_event(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct ctl_sub *sub = arg;
	_cleanup_buf_ struct buf key = BUF_INIT, was = BUF_INIT;

	if (sub->watch->all && !ctl_is_same_but_status(t, obj, old))
		ctl_run_wake_all(sub->run);
	if (sub->watch->key)
		sub->watch->key(obj, &key);
	if (key.len)
		ctl_wake(sub->run, key.s);
	if (sub->watch->before && old) {
		sub->watch->key(old, &was);
		if (was.len && !streq(was.s, key.s))
			ctl_wake(sub->run, was.s);
	}
	loop_defer(client_loop(sub->run->ctl->cfg.client), &sub->run->ctl->task);
}

struct obj *ctl_find(struct informer *i, const char *key)
{
	_cleanup_free_ char *ns = str_dup(str_sub(str_of(key), 0, strcspn(key, "/")));

	return key[strlen(ns)] ? informer_find(i, ns, key + strlen(ns) + 1) : informer_find(i, "", key);
}

struct selector *ctl_selector(const struct node *root, struct err *e)
{
	const struct node *n = node_path(root, F_spec, F_selector);
	struct selector *s = NULL;

	if (node_streq(node_get(root, F_kind), "ReplicationController") || node_streq(node_get(root, F_kind), "Service"))
		return selector_from_map(n);
	if (n && selector_from_node(&s, n, e) < 0)
		return NULL;
	return s;
}

static void ctl_wake_owner(struct ctl_run *run, const char *ns, const struct kid_owner *w)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	if (!w || !w->kind || !streq(w->kind, run->def->kind))
		return;
	obj_key_print(&key, ns, w->name);
	ctl_wake(run, key.s);
}

/* Whoever selects one of these sets of labels; NULL: there is none. */
static void ctl_wake_selecting(struct ctl_run *run, const char *ns, const struct kid_labels *now,
			       const struct kid_labels *before)
{
	for (struct obj *o = NULL; (o = informer_next(run->view.of[0], ns, o));) {
		_cleanup_buf_ struct buf key = BUF_INIT;
		_cleanup_err_ struct err e = ERR_INIT;
		struct selector *s = ctl_selector(obj_node(o), &e);

		if (s && ((now && selector_match(s, now->set)) || (before && selector_match(s, before->set)))) {
			obj_key_print(&key, o->ns, o->name);
			ctl_wake(run, key.s);
		}
		selector_free(s);
	}
}

static void ctl_on_kid_changed(void *arg, const struct kid_change *c)
{
	struct ctl_kin *kin = arg;
	struct ctl *ctl = kin->ctl;

	for (size_t i = 0; i < ARRAY_SIZE(ctl_defs); i++) {
		struct ctl_run *run = &ctl->runs[i];

		if (run->def->selects && kin->bit == 1 << CTL_PODS && c->news)
			ctl_wake_selecting(run, c->ns, c->kid ? c->kid->labels : NULL, c->labels_before);
		if (!(run->def->kids & kin->bit))
			continue;
		if (c->before != c->after)
			ctl_wake_owner(run, c->ns, c->before);
		ctl_wake_owner(run, c->ns, c->after);
		if (c->orphan_news && !c->kid->terminating)
			ctl_wake_selecting(run, c->ns, c->kid->labels, NULL);
	}
	loop_defer(client_loop(ctl->cfg.client), &ctl->task);
}

static void ctl_on_kid_event(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct ctl_kin *kin = arg;

	kids_event(kin->kids, t, obj, old);
}

static const struct informer_ops ctl_kin_ops = { ctl_on_kid_event, NULL };

static void ctl_on_synced(void *arg)
{
	struct ctl_sub *sub = arg;
	struct ctl_run *run = sub->run;

	if (sub->synced)
		return;
	sub->synced = true;
	if (++run->synced < run->watches)
		return;
	for (size_t i = 0; i < run->early.n; i++) {
		workqueue_add(run->queue, run->early.v[i]);
		free(run->early.v[i]);
	}
	VEC_RELEASE(&run->early);
}

static const struct informer_ops ctl_informer_ops = { ctl_on_event, ctl_on_synced };

static void ctl_run_init(struct ctl *c, size_t n)
{
	struct ctl_run *run = &c->runs[n];

	run->ctl = c;
	run->def = &ctl_defs[n];
	run->view.cfg = &c->cfg;
	run->view.settings = &c->settings;
	for (size_t i = 0; i < CTL_N_KIDS; i++)
		run->view.kids[i] = c->kin[i].kids;
	TAILQ_INIT(&run->jobs);
	run->queue = workqueue_new(client_loop(c->cfg.client), run->def->workers, ctl_reconcile, run);
	while (run->watches < CTL_MAX_WATCHES && run->def->watches[run->watches].plural) {
		const struct ctl_watch *w = &run->def->watches[run->watches];

		c->subs[n][run->watches] = (struct ctl_sub){ .run = run, .watch = w };
		run->view.of[run->watches] = informer_get(c->cfg.client, schema_res(w->group, w->plural),
							  w->field_selector);
		run->watches++;
	}
	if (run->def->open)
		run->view.data = run->def->open(run);
	for (size_t i = 0; i < run->watches; i++)
		informer_subscribe(run->view.of[i], &ctl_informer_ops, &c->subs[n][i]);
}

static void ctl_on_feed(struct call_feed *f, enum watch_type t, struct obj *o)
{
	struct ctl *c = CONTAINER_OF(f, struct ctl, feed);

	for (size_t i = 0; i < ARRAY_SIZE(ctl_defs); i++)
		if (ctl_defs[i].feed)
			ctl_defs[i].feed(&c->runs[i], t, o);
}

struct ctl *ctl_new(const struct ctl_config *cfg)
{
	struct ctl *c = xcalloc(1, sizeof(*c));
	_cleanup_err_ struct err e = ERR_INIT;

	c->cfg = *cfg;
	BUG_ON(ctl_settings_make(&c->settings, cfg->args, &e) < 0);
	c->task.run = ctl_check_shown;
	for (unsigned i = 0; i < CTL_N_KIDS; i++) {
		const struct resource *r = schema_res(ctl_kid_kinds[i].group, ctl_kid_kinds[i].plural);

		c->kin[i] = (struct ctl_kin){ .ctl = c, .bit = 1u << i, .informer = informer_get(cfg->client, r, NULL) };
		c->kin[i].kids = kids_new(ctl_on_kid_changed, &c->kin[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ctl_defs); i++)
		ctl_run_init(c, i);
	for (size_t i = 0; i < CTL_N_KIDS; i++)
		informer_subscribe(c->kin[i].informer, &ctl_kin_ops, &c->kin[i]);
	c->feed.event = ctl_on_feed;
	client_feed(c->cfg.client, &c->feed);
	return c;
}

struct ctl *ctl_free(struct ctl *c)
{
	if (!c)
		return NULL;
	loop_undefer(client_loop(c->cfg.client), &c->task);
	client_unfeed(c->cfg.client, &c->feed);
	for (size_t i = 0; i < CTL_N_KIDS; i++) {
		informer_unsubscribe(c->kin[i].informer, &c->kin[i]);
		kids_free(c->kin[i].kids);
	}
	for (size_t i = 0; i < ARRAY_SIZE(ctl_defs); i++) {
		struct ctl_run *run = &c->runs[i];
		struct ctl_job *j;

		for (size_t k = 0; k < run->watches; k++)
			informer_unsubscribe(run->view.of[k], &c->subs[i][k]);
		workqueue_free(run->queue);
		if (run->def->close)
			run->def->close(run->view.data);
		while ((j = TAILQ_FIRST(&run->jobs)))
			ctl_job_free(j);
		for (size_t k = 0; k < run->early.n; k++)
			free(run->early.v[k]);
		VEC_RELEASE(&run->early);
	}
	free(c);
	return NULL;
}
