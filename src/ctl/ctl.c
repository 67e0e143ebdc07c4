/*
 * The table of controllers and their runner.
 *
 * Each controller has informers for what it watches and a work queue of keys.
 * The runner calls reconcile, carries out the plan, and holds the key until all
 * writes were answered and the informers show them: so a reconcile never sees
 * less than what it did itself, and needs no notes of what it expects.
 */
#include "ctl/internal.h"

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
	{ "pvc-protection", 2,
	  { { "", "persistentvolumeclaims", NULL, protection_key_of_claim }, { "", "pods", NULL, protection_key_of_pod } },
	  .reconcile = protection_claims_reconcile },
	{ "pv-protection", 2,
	  { { "", "persistentvolumes", NULL, ctl_key_self } },
	  .reconcile = protection_volumes_reconcile },
};

struct ctl_seen { /* a write that the caches must show before the key goes on */
	struct informer *informer;
	char *ns, *name;
	int64_t rv;
};

struct ctl_job { /* one key with its plan under way */
	TAILQ_ENTRY(ctl_job) link;
	struct ctl_run *run;
	char *key;
	struct plan plan;
	size_t open; /* calls not answered */
	bool failed, waiting;
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
	void *data; /* of a controller with an `open` */
};

struct ctl_sub { /* an informer's way to its row */
	struct ctl_run *run;
	const struct ctl_watch *watch;
	bool synced;
};

struct ctl {
	struct ctl_config cfg;
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

struct client *ctl_run_client(struct ctl_run *run)
{
	return run->ctl->cfg.client;
}

void *ctl_run_data(struct ctl_run *run)
{
	return run->data;
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

static void ctl_job_free(struct ctl_job *j)
{
	TAILQ_REMOVE(&j->run->jobs, j, link);
	plan_release(&j->plan);
	for (size_t i = 0; i < j->seen.n; i++) {
		free(j->seen.v[i].ns);
		free(j->seen.v[i].name);
	}
	VEC_RELEASE(&j->seen);
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

	ctl_job_free(j);
	ctl_run_done(run, key, failed, again_ms);
	free(key);
}

static void ctl_job_give_up(void *arg)
{
	ctl_job_finish(arg);
}

static bool ctl_job_shown(const struct ctl_job *j)
{
	for (size_t i = 0; i < j->seen.n; i++) {
		const struct ctl_seen *s = &j->seen.v[i];
		struct obj *o = informer_find(s->informer, s->ns, s->name);

		if (s->rv < 0 ? o != NULL : !o || o->rv < s->rv)
			return false;
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
				ctl_job_finish(j);
	}
}

static void ctl_job_answered(struct ctl_job *j)
{
	if (--j->open)
		return;
	if (j->failed || ctl_job_shown(j)) {
		ctl_job_finish(j);
		return;
	}
	j->waiting = true;
	j->timer = loop_timer_new(client_loop(j->run->ctl->cfg.client), ctl_job_give_up, j);
	loop_timer_set(j->timer, CTL_SEEN_TIMEOUT_MS);
}

static void ctl_job_note(struct ctl_job *j, const struct plan_op *op, struct obj *o)
{
	for (size_t i = 0; i < j->run->watches; i++) {
		struct ctl_seen s = { j->run->view.of[i], NULL, NULL, 0 };

		if (schema_res(j->run->def->watches[i].group, j->run->def->watches[i].plural) != op->res)
			continue;
		if (op->verb == VERB_DELETE)
			continue; /* grace and finalizers may keep it; its event will wake the key */
		s.ns = xstrdup(o->ns);
		s.name = xstrdup(o->name);
		s.rv = o->rv;
		VEC_PUSH(&j->seen, s);
	}
}

static void ctl_call_done(void *arg, struct obj *o, const struct err *err)
{
	struct ctl_call *c = arg;
	struct ctl_job *j = c->job;
	const struct plan_op *op = c->op;

	free(c);
	if (!err) {
		if (o)
			ctl_job_note(j, op, o);
	} else if (!(op->verb == VERB_CREATE && err->reason == ERR_ALREADY_EXISTS) &&
		   !(op->verb == VERB_DELETE && err->reason == ERR_NOT_FOUND)) {
		log_debug("a controller's write failed, trying again", LS("controller", j->run->def->name),
			  LS("key", j->key), LE(err));
		j->failed = true;
	}
	ctl_job_answered(j);
}

static void ctl_op_submit(struct ctl_job *j, struct plan_op *op)
{
	struct client *c = j->run->ctl->cfg.client;
	struct ctl_call *call = xcalloc(1, sizeof(*call));

	call->job = j;
	call->op = op;
	switch (op->verb) {
	case VERB_CREATE:
		client_create(c, op->res, op->ns, take_ptr(&op->body), ctl_call_done, call);
		break;
	case VERB_UPDATE:
		client_update(c, op->res, op->ns, op->name, op->subresource, take_ptr(&op->body), ctl_call_done, call);
		break;
	default:
		client_delete_as(c, op->res, op->ns, op->name, op->uid, op->propagation, ctl_call_done, call);
	}
}

static void ctl_tell(struct ctl_run *run, const struct plan *p)
{
	const char *component = run->def->component ? run->def->component : run->def->name;

	for (size_t i = 0; i < p->events.n; i++) {
		const struct plan_event *ev = &p->events.v[i];

		client_event(run->ctl->cfg.client, ev->about, NULL, component, NULL, ev->type, ev->reason, "%s", ev->text);
	}
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
	j->open = 1 + (j->failed ? 0 : j->plan.ops.n);
	if (!j->failed) {
		for (size_t i = 0; i < j->plan.ops.n; i++)
			ctl_op_submit(j, &j->plan.ops.v[i]);
		ctl_tell(run, &j->plan);
	}
	ctl_job_answered(j);
}

/* --- waking --- */

static void ctl_wake(struct ctl_run *run, const char *key)
{
	if (run->synced == run->watches)
		workqueue_add(run->queue, key);
	else
		VEC_PUSH(&run->early, xstrdup(key));
}

static void ctl_on_event(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct ctl_sub *sub = arg;
	_cleanup_buf_ struct buf key = BUF_INIT;

	sub->watch->key(obj, &key);
	if (key.len)
		ctl_wake(sub->run, key.s);
	loop_defer(client_loop(sub->run->ctl->cfg.client), &sub->run->ctl->task);
}

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
		run->data = run->def->open(run);
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

	c->cfg = *cfg;
	c->task.run = ctl_check_shown;
	for (size_t i = 0; i < ARRAY_SIZE(ctl_defs); i++)
		ctl_run_init(c, i);
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
	for (size_t i = 0; i < ARRAY_SIZE(ctl_defs); i++) {
		struct ctl_run *run = &c->runs[i];
		struct ctl_job *j;

		for (size_t k = 0; k < run->watches; k++)
			informer_unsubscribe(run->view.of[k], &c->subs[i][k]);
		workqueue_free(run->queue);
		if (run->def->close)
			run->def->close(run->data);
		while ((j = TAILQ_FIRST(&run->jobs)))
			ctl_job_free(j);
		for (size_t k = 0; k < run->early.n; k++)
			free(run->early.v[k]);
		VEC_RELEASE(&run->early);
	}
	free(c);
	return NULL;
}
