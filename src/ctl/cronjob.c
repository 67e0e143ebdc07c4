/*
 * CronJobs: a Job each time the schedule says so.
 *
 * Reconcile tells what became of the Jobs that were active, makes the Job that is
 * due, if it may, and removes finished ones beyond the limits of the history;
 * settle writes the status. A Job's name is made of the time that it was due at, so
 * that it is made once, whatever happens between the Job and the status that
 * mentions it. The key comes back when the next run is due, or the clock was set.
 */
#include "ctl/cronjob.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/time.h"
#include "ctl/pods.h"

#define CRONJOB_STAMP "batch.kubernetes.io/cronjob-scheduled-timestamp"
#define CRONJOB_LATER_MS 100 /* after the time that is due, for clocks that differ a little */

struct cronjob {
	struct obj *o;
	const struct node *root, *spec, *status;
	VEC(struct obj *) jobs; /* all that it owns */
	VEC(const struct node *) active; /* of status.active, what remains */
	VEC(struct obj *) old; /* to be removed from the history */
	const struct node *success; /* lastSuccessfulTime; NULL: none */
};

static bool cronjob_open(struct cronjob *x, const struct ctl_view *v, const char *key)
{
	struct obj *o = ctl_find(v->of[0], key);
	const struct kid_owner *own = o ? kids_of(v->kids[CTL_JOBS], o->ns, o->uid) : NULL;
	struct kid *c;

	if (!o)
		return false;
	*x = (struct cronjob){ .o = o, .root = obj_node(o) };
	x->spec = node_get(x->root, F_spec);
	x->status = node_get(x->root, F_status);
	x->success = node_get(x->status, F_lastSuccessfulTime);
	if (own)
		TAILQ_FOREACH(c, &own->list, link)
			VEC_PUSH(&x->jobs, c->obj);
	NODE_FOREACH(a, node_get(x->status, F_active))
		VEC_PUSH(&x->active, a);
	return true;
}

static void cronjob_close(struct cronjob *x)
{
	VEC_RELEASE(&x->jobs);
	VEC_RELEASE(&x->active);
	VEC_RELEASE(&x->old);
}

/* --- Jobs --- */

/* How it ended; NULL: it has not. */
static const char *job_outcome(struct obj *job)
{
	NODE_FOREACH(c, node_path(obj_node(job), F_status, F_conditions)) {
		const char *type = node_gets(c, F_type);

		if (node_streq(node_get(c, F_status), "True") && (streq(type, "Complete") || streq(type, "Failed")))
			return type;
	}
	return NULL;
}

static bool job_time(const struct node *n, int64_t *ret_s)
{
	int64_t ns;

	if (!time_parse_rfc3339(node_str(n), &ns))
		return false;
	*ret_s = ns / SEC_NS;
	return true;
}

/* By startTime, those without one last. */
static int job_order(const void *a, const void *b)
{
	struct obj *x = *(struct obj *const *)a, *y = *(struct obj *const *)b;
	int64_t tx = INT64_MAX, ty = INT64_MAX;

	job_time(node_path(obj_node(x), F_status, F_startTime), &tx);
	job_time(node_path(obj_node(y), F_status, F_startTime), &ty);
	if (tx != ty)
		return tx < ty ? -1 : 1;
	return strcmp(x->name, y->name);
}

static bool cronjob_is_active(const struct cronjob *x, const char *uid)
{
	for (size_t i = 0; i < x->active.n; i++)
		if (node_streq(node_get(x->active.v[i], F_uid), uid))
			return true;
	return false;
}

static void cronjob_forget(struct cronjob *x, const char *uid)
{
	for (size_t i = x->active.n; i-- > 0;)
		if (node_streq(node_get(x->active.v[i], F_uid), uid))
			VEC_REMOVE(&x->active, i);
}

/* The oldest beyond the limit of those that ended so. */
static void cronjob_pick_old(struct cronjob *x, const char *outcome, enum field limit)
{
	const struct node *n = node_get(x->spec, limit);
	VEC(struct obj *) ended = VEC_INIT;
	int64_t keep = node_int(n, 0);

	for (size_t i = 0; n && i < x->jobs.n; i++)
		if (streq_null(job_outcome(x->jobs.v[i]), outcome))
			VEC_PUSH(&ended, x->jobs.v[i]);
	if (ended.n)
		qsort(ended.v, ended.n, sizeof(*ended.v), job_order);
	for (size_t i = 0; (int64_t)i < (int64_t)ended.n - keep; i++) {
		cronjob_forget(x, ended.v[i]->uid);
		if (!meta_is_deleting(obj_node(ended.v[i])))
			VEC_PUSH(&x->old, ended.v[i]);
	}
	VEC_RELEASE(&ended);
}

static void cronjob_note_success(struct cronjob *x, struct obj *job)
{
	const struct node *done = node_path(obj_node(job), F_status, F_completionTime);
	int64_t at, last;

	if (job_time(done, &at) && (!job_time(x->success, &last) || at > last))
		x->success = done;
}

/* What became of its Jobs. tell NULL: nobody is told. */
static void cronjob_follow(struct cronjob *x, const struct ctl_view *v, struct plan *tell)
{
	for (size_t i = 0; i < x->jobs.n; i++) {
		struct obj *job = x->jobs.v[i];
		const char *outcome = job_outcome(job);
		bool active = cronjob_is_active(x, job->uid);

		if (tell && !outcome && !active)
			plan_event(tell, x->o, "Warning", "UnexpectedJob",
				   "Saw a job that the controller did not create or forgot: %s", job->name);
		if (tell && outcome && active)
			plan_event(tell, x->o, "Normal", "SawCompletedJob", "Saw completed job: %s, condition: %s", job->name,
				   outcome);
		if (outcome)
			cronjob_forget(x, job->uid);
		if (outcome && streq(outcome, "Complete"))
			cronjob_note_success(x, job);
	}
	for (size_t i = x->active.n; i-- > 0;) {
		const struct node *a = x->active.v[i];

		if (kids_find(v->kids[CTL_JOBS], node_gets(a, F_uid)) || informer_find(v->of[1], x->o->ns, node_gets(a, F_name)))
			continue;
		if (tell)
			plan_event(tell, x->o, "Normal", "MissingJob", "Active job went missing: %s", node_gets(a, F_name));
		VEC_REMOVE(&x->active, i);
	}
}

static void cronjob_delete(struct cronjob *x, struct obj *job, struct plan *out)
{
	_cleanup_free_ char *text = xasprintf("Deleted job %s", job->name);

	plan_delete_as(out, job->res, job->ns, job->name, job->uid, "Background");
	plan_say(out, x->o, "SuccessfulDelete", text, "FailedDelete", "Deleted job: ");
}

/* --- a new one --- */

static struct doc *cronjob_job(struct cronjob *x, const char *name, const char *stamp)
{
	const struct node *from = node_get(x->spec, F_jobTemplate), *meta_from = node_get(from, F_metadata);
	const struct node *labels = node_get(meta_from, F_labels), *annotations = node_get(meta_from, F_annotations);
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "batch/v1");
	node_sets(d, root, F_kind, "Job");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, name);
	if (node_count(labels))
		node_set(d, meta, F_labels, node_copy(d, labels));
	if (node_count(annotations))
		node_set(d, meta, F_annotations, node_copy(d, annotations));
	node_setk(d, node_need_object(d, meta, F_annotations), STR_LIT(CRONJOB_STAMP), node_new_cstr(d, stamp));
	pod_set_controller(d, meta, x->o);
	if (node_get(from, F_spec))
		node_set(d, root, F_spec, node_copy(d, node_get(from, F_spec)));
	return d;
}

/* Replace: what runs goes first. */
static void cronjob_replace(struct cronjob *x, const struct ctl_view *v, struct plan *out)
{
	for (size_t i = 0; i < x->active.n; i++) {
		struct kid *c = kids_find(v->kids[CTL_JOBS], node_gets(x->active.v[i], F_uid));

		if (c && !c->terminating)
			cronjob_delete(x, c->obj, out);
	}
	plan_then(out);
}

/* True when the run of that time was dealt with already. */
static bool cronjob_was_run(const struct cronjob *x, const char *name, int64_t at)
{
	int64_t last;

	for (size_t i = 0; i < x->active.n; i++)
		if (node_streq(node_get(x->active.v[i], F_name), name))
			return true;
	return job_time(node_get(x->status, F_lastScheduleTime), &last) && last == at;
}

static bool cronjob_is_late(struct cronjob *x, int64_t at, int64_t now_ms, struct plan *out)
{
	const struct node *deadline = node_get(x->spec, F_startingDeadlineSeconds);
	char when[TIME_HTTP_LEN];

	/* In seconds of a double: a deadline may be as long as one likes. */
	if (!deadline || ((double)at + (double)node_int(deadline, 0)) * (double)SEC_MS >= (double)now_ms)
		return false;
	time_fmt_http(when, at);
	plan_event(out, x->o, "Warning", "MissSchedule", "Missed scheduled time to start a job: %.*s +0000",
		   (int)(strlen(when) - strlen(" GMT")), when);
	return true;
}

/* Plans the run of that time; false: not now. */
static bool cronjob_run(struct cronjob *x, const struct ctl_view *v, int64_t at, const struct zone *z, struct plan *out)
{
	_cleanup_free_ char *name = xasprintf("%s-%lld", x->o->name, (long long)at / 60);
	const char *policy = node_gets(x->spec, F_concurrencyPolicy);
	char stamp[ZONE_RFC3339_LEN];

	if (cronjob_was_run(x, name, at))
		return false;
	if (streq(policy, "Forbid") && x->active.n) {
		plan_event(out, x->o, "Normal", "JobAlreadyActive",
			   "Not starting job because prior execution is running and concurrency policy is Forbid");
		return false;
	}
	if (streq(policy, "Replace"))
		cronjob_replace(x, v, out);
	plan_create(out, schema_res("batch", "jobs"), x->o->ns, cronjob_job(x, name, zone_fmt_rfc3339(stamp, z, at)));
	plan_say(out, x->o, "SuccessfulCreate", "Created job ", "FailedCreate", "Error creating job: ");
	return true;
}

/* --- when --- */

static int64_t cronjob_since(const struct cronjob *x)
{
	int64_t s;

	if (job_time(node_get(x->status, F_lastScheduleTime), &s) ||
	    job_time(node_get(meta_of(x->root), F_creationTimestamp), &s))
		return s;
	return time_wall_s();
}

/* Nothing that came due before its deadline counts. */
static int64_t cronjob_since_deadline(const struct cronjob *x, int64_t since, int64_t now)
{
	const struct node *n = node_get(x->spec, F_startingDeadlineSeconds);
	int64_t deadline = node_int(n, 0);

	return n && deadline >= 0 && deadline < now - since ? now - deadline : since;
}

/* The schedule and its zone: false, and told, when they are none. */
static bool cronjob_read(struct cronjob *x, struct cron *c, struct zone **named, struct plan *out)
{
	const struct node *zone = node_get(x->spec, F_timeZone);
	const char *text = node_gets(x->spec, F_schedule);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf quoted = BUF_INIT;

	if (zone && zone_load(named, node_str(zone), &e) < 0) {
		buf_add_quoted(&quoted, node_str(zone));
		plan_event(out, x->o, "Warning", "UnknownTimeZone", "invalid timeZone: %s: %s", quoted.s, err_msg(&e));
		return false;
	}
	if (node_bool(node_get(x->spec, F_suspend), false))
		return false;
	buf_add_quoted(&quoted, str_of(text));
	if (strstr(text, "TZ"))
		plan_event(out, x->o, "Warning", "UnsupportedSchedule",
			   "CRON_TZ or TZ used in schedule %s is not officially supported, see "
			   "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", quoted.s);
	if (cron_parse(c, str_of(text), &e) == 0)
		return true;
	plan_event(out, x->o, "Warning", "UnparseableSchedule", "unparseable schedule: %s : %s", quoted.s, err_msg(&e));
	return false;
}

static void cronjob_start(struct cronjob *x, const struct ctl_view *v, struct plan *out)
{
	_cleanup_cron_ struct cron c = { 0 };
	_cleanup_zone_ struct zone *named = NULL, *local = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	int64_t now_ms = time_wall_us() / 1000, now = now_ms / SEC_MS, since = cronjob_since(x), next;
	const struct zone *z;
	struct cronjob_due d;

	if (!cronjob_read(x, &c, &named, out))
		return;
	if (!node_get(x->spec, F_timeZone))
		local = zone_load_local();
	z = named ? named : local;
	if (cronjob_due(&d, &c, z, cronjob_since_deadline(x, since, now), now, &e) < 0) {
		plan_event(out, x->o, "Warning", "InvalidSchedule", "invalid schedule: %s : %s", node_gets(x->spec, F_schedule),
			   err_msg(&e));
		return;
	}
	if (d.due && d.missed == CRONJOB_MANY)
		plan_event(out, x->o, "Warning", "TooManyMissedTimes",
			   "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
	if (d.due && !cronjob_is_late(x, d.at, now_ms, out) && cronjob_run(x, v, d.at, named, out))
		since = d.at;
	next = cronjob_next(&c, z, since, now);
	if (next != CRON_NEVER)
		plan_again(out, next * SEC_MS + CRONJOB_LATER_MS - now_ms);
}

int cronjob_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct cronjob x;

	(void)e;
	if (!cronjob_open(&x, v, key))
		return 0;
	cronjob_pick_old(&x, "Complete", F_successfulJobsHistoryLimit);
	cronjob_pick_old(&x, "Failed", F_failedJobsHistoryLimit);
	cronjob_follow(&x, v, out);
	if (!meta_is_deleting(x.root))
		cronjob_start(&x, v, out);
	for (size_t i = 0; i < x.old.n; i++)
		cronjob_delete(&x, x.old.v[i], out);
	cronjob_close(&x);
	return 0;
}

/* --- status --- */

/* The Job that was made, or had been made before its status could be written. */
static void cronjob_add(struct cronjob *x, const struct ctl_view *v, const struct plan *did, struct doc *d,
			struct node *status, struct node *active)
{
	for (size_t i = 0; i < did->ops.n; i++) {
		const struct plan_op *op = &did->ops.v[i];
		struct obj *job = op->verb == VERB_CREATE && op->done ? informer_find(v->of[1], op->ns, op->name) : NULL;
		const char *stamp = job ? meta_annotation(obj_node(job), CRONJOB_STAMP) : NULL;
		char when[TIME_RFC3339_LEN];
		int64_t ns;

		if (!stamp || !streq(node_gets(meta_controller(obj_node(job)), F_uid), x->o->uid) ||
		    !time_parse_rfc3339(str_of(stamp), &ns))
			continue;
		node_sets(d, status, F_lastScheduleTime, time_fmt_rfc3339(when, ns / SEC_NS));
		if (!job_outcome(job) && !cronjob_is_active(x, job->uid))
			node_append(active, obj_reference(d, job));
	}
}

int cronjob_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	struct node *status, *active;
	struct cronjob x;

	(void)e;
	if (!cronjob_open(&x, v, key))
		return 0;
	for (size_t i = 0; i < did->ops.n; i++)
		if (did->ops.v[i].verb == VERB_DELETE && did->ops.v[i].done)
			cronjob_forget(&x, did->ops.v[i].uid);
	cronjob_follow(&x, v, NULL);
	d = doc_clone(obj_doc(x.o));
	status = node_need_object(d, doc_root(d), F_status);
	active = node_new(d, DOC_ARRAY);
	for (size_t i = 0; i < x.active.n; i++)
		node_append(active, node_copy(d, x.active.v[i]));
	cronjob_add(&x, v, did, d, status, active);
	if (active->len)
		node_set(d, status, F_active, active);
	else
		node_remove(status, F_active);
	if (x.success)
		node_set(d, status, F_lastSuccessfulTime, node_copy(d, x.success));
	if (!node_equal(status, x.status) && (x.status || node_count(status)))
		plan_update(out, x.o->res, x.o->ns, x.o->name, "status", take_ptr(&d));
	cronjob_close(&x);
	return 0;
}

/* --- the clock --- */

static void cronjob_clock_set(void *run)
{
	ctl_run_wake_all(run);
}

void *cronjob_watch_clock(struct ctl_run *run)
{
	return clock_watch_new(client_loop(ctl_run_client(run)), cronjob_clock_set, run);
}

void cronjob_unwatch_clock(void *data)
{
	clock_watch_free(data);
}
