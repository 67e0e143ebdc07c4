/*
 * A Job's status: pods that ended are counted by the steps of job.h, the
 * verdict is written, and what follows from it when its time has come.
 */
#include <stdlib.h>

#include "base/time.h"
#include "ctl/job.h"

enum { JOB_MAX_UNCOUNTED = 500 }; /* uids in the status, and finalizers that go in one round */

struct job_status {
	const struct job *j;
	struct doc *d;
	struct node *status;
	kid_vec free; /* their finalizer goes when the status is written */
	job_indexes done;
	size_t n; /* uids and indexes that this write adds or has */
};

static void job_put_count(struct job_status *s, enum field f, int64_t n)
{
	if (n)
		node_seti(s->d, s->status, f, n);
	else
		node_remove(s->status, f);
}

static void job_put_now(struct job_status *s, struct node *to, enum field f)
{
	char now[TIME_RFC3339_LEN];

	node_sets(s->d, to, f, time_fmt_rfc3339(now, s->j->now));
}

/* True when it changed; what is not so and was not said before stays unsaid. */
static bool job_put_condition(struct job_status *s, const char *type, bool is, const char *reason, const char *message)
{
	struct node *list = node_get(s->status, F_conditions), *c = (struct node *)cond_find(list, type);
	const char *status = is ? "True" : "False";

	if (!c && !is)
		return false;
	if (c && node_streq(node_get(c, F_status), status) && streq(node_gets(c, F_reason), reason) &&
	    streq(node_gets(c, F_message), message))
		return false;
	if (!c) {
		c = node_append(node_need_array(s->d, s->status, F_conditions), node_new(s->d, DOC_OBJECT));
		node_sets(s->d, c, F_type, type);
	}
	node_sets(s->d, c, F_status, status);
	job_put_now(s, c, F_lastProbeTime);
	job_put_now(s, c, F_lastTransitionTime);
	node_sets(s->d, c, F_reason, reason);
	node_sets(s->d, c, F_message, message);
	return true;
}

/* --- counting --- */

/* The uids whose pods have lost their finalizer, or are gone: now they are counted. */
static void job_settle_uncounted(struct job_status *s, const struct map *tracked, enum field f)
{
	struct node *list = node_get(node_get(s->status, F_uncountedTerminatedPods), f), *next;
	int64_t n = node_int(node_get(s->status, f), 0);

	for (struct node *uid = node_first(list); uid; uid = next) {
		next = uid->next;
		if (map_get(tracked, node_str(uid))) {
			s->n++;
			continue;
		}
		node_remove_child(list, uid);
		n++;
	}
	job_put_count(s, f, n);
}

static void job_settle_all(struct job_status *s)
{
	struct map *tracked = map_new(NULL);

	for (size_t i = 0; i < s->j->pods.n; i++)
		if (s->j->pods.v[i]->tracked)
			map_set(tracked, str_of(s->j->pods.v[i]->obj->uid), s->j->pods.v[i]);
	job_settle_uncounted(s, tracked, F_succeeded);
	job_settle_uncounted(s, tracked, F_failed);
	map_free(tracked);
}

static void job_add_uncounted(struct job_status *s, enum field f, const struct kid *c)
{
	struct node *all = node_need_object(s->d, s->status, F_uncountedTerminatedPods);

	node_append(node_need_array(s->d, all, f), node_new_cstr(s->d, c->obj->uid));
	s->n++;
}

static bool job_may_let_go(const struct job *j, const struct kid *c)
{
	if (j->deleting || c->phase == POD_SUCCEEDED)
		return true;
	if (j->verdict.type && !pod_is_active(c))
		return true;
	return job_pod_failed(j, c) && !(j->per_index && c->index >= 0 && job_last_of(j, c->index) == c);
}

static void job_count_success(struct job_status *s, const struct kid *c)
{
	const struct job *j = s->j;

	if (!j->indexed) {
		if (!map_getc(j->uncounted[0], c->obj->uid))
			job_add_uncounted(s, F_succeeded, c);
	} else if (job_indexes_has(&j->done, c->index) && !job_indexes_has(&j->counted, c->index)) {
		job_indexes_push(&s->done, c->index, c->index);
		s->n++;
	}
}

static void job_count_failure(struct job_status *s, const struct kid *c)
{
	const struct job *j = s->j;

	if (map_getc(j->uncounted[1], c->obj->uid) || !job_pod_fits(j, c))
		return;
	if (!j->policy || job_failure_action(j->policy, obj_node(c->obj), NULL) != JOB_IGNORE)
		job_add_uncounted(s, F_failed, c);
}

/* Pods of lower indexes first, so that the text of the intervals grows little. */
static int job_counting_order(const void *pa, const void *pb)
{
	const struct kid *a = *(struct kid *const *)pa, *b = *(struct kid *const *)pb;

	return a->index < b->index ? -1 : a->index > b->index;
}

static void job_count(struct job_status *s)
{
	const struct job *j = s->j;
	bool failing = j->verdict.type && streq(j->verdict.type, "FailureTarget");
	kid_vec pods = VEC_INIT;

	for (size_t i = 0; i < j->pods.n; i++)
		if (j->pods.v[i]->tracked && job_may_let_go(j, j->pods.v[i]))
			VEC_PUSH(&pods, j->pods.v[i]);
	if (pods.n && j->indexed)
		qsort(pods.v, pods.n, sizeof(*pods.v), job_counting_order);
	for (size_t i = 0; i < pods.n && s->n < JOB_MAX_UNCOUNTED && s->free.n < JOB_MAX_UNCOUNTED; i++) {
		struct kid *c = pods.v[i];

		VEC_PUSH(&s->free, c);
		if (c->phase == POD_SUCCEEDED && !map_getc(j->uncounted[1], c->obj->uid))
			job_count_success(s, c);
		else if (job_pod_failed(j, c) || (failing && !pod_is_active(c)))
			job_count_failure(s, c);
	}
	VEC_RELEASE(&pods);
}

static void job_put_indexes(struct job_status *s)
{
	_cleanup_buf_ struct buf done = BUF_INIT, lost = BUF_INIT;

	if (!s->j->indexed)
		return;
	job_indexes_push_all(&s->done, &s->j->counted);
	job_indexes_tidy(&s->done);
	job_indexes_print(&s->done, &done);
	job_put_count(s, F_succeeded, job_indexes_count(&s->done));
	if (done.len)
		node_sets(s->d, s->status, F_completedIndexes, done.s);
	else
		node_remove(s->status, F_completedIndexes);
	job_indexes_print(&s->j->lost, &lost);
	if (s->j->per_index)
		node_sets(s->d, s->status, F_failedIndexes, lost.len ? lost.s : "");
	else
		node_remove(s->status, F_failedIndexes);
}

/* --- what is said --- */

static void job_put_suspension(struct job_status *s, struct plan *out)
{
	struct obj *o = s->j->obj;

	if (s->j->suspended) {
		if (job_put_condition(s, "Suspended", true, "JobSuspended", "Job suspended"))
			plan_event(out, o, "Normal", "Suspended", "Job suspended");
	} else if (job_put_condition(s, "Suspended", false, "JobResumed", "Job resumed")) {
		plan_event(out, o, "Normal", "Resumed", "Job resumed");
		job_put_now(s, s->status, F_startTime); /* the deadline counts from here */
	}
}

static bool job_is_counted(const struct job_status *s)
{
	const struct node *rest = node_get(s->status, F_uncountedTerminatedPods);

	return !s->free.n && !node_count(node_get(rest, F_succeeded)) && !node_count(node_get(rest, F_failed));
}

/* True: it is over. */
static bool job_put_verdict(struct job_status *s)
{
	const struct job *j = s->j;
	const struct job_verdict *x = &j->verdict;
	bool failed;

	if (!x->type)
		return false;
	if (!x->written) {
		job_put_condition(s, x->type, true, x->reason, x->message);
		return false;
	}
	if (j->active || j->terminating || !job_is_counted(s))
		return false;
	failed = streq(x->type, "FailureTarget");
	if (!node_get(s->status, F_startTime)) /* it was suspended all the time */
		job_put_now(s, s->status, F_startTime);
	job_put_condition(s, failed ? "Failed" : "Complete", true, x->reason, x->message);
	if (!failed)
		job_put_now(s, s->status, F_completionTime);
	return true;
}

static void job_fill(struct job_status *s)
{
	const struct job *j = s->j;

	if (!node_get(s->status, F_startTime) && !j->suspended)
		job_put_now(s, s->status, F_startTime);
	node_need_object(s->d, s->status, F_uncountedTerminatedPods);
	job_settle_all(s);
	job_count(s);
	job_put_indexes(s);
	job_put_count(s, F_active, j->active);
	node_seti(s->d, s->status, F_ready, j->ready);
	node_seti(s->d, s->status, F_terminating, j->terminating);
}

/* Lists that are empty are left out, as Go's encoder does. */
static void job_tidy_uncounted(struct job_status *s)
{
	struct node *all = node_get(s->status, F_uncountedTerminatedPods);

	if (!node_count(node_get(all, F_succeeded)))
		node_remove(all, F_succeeded);
	if (!node_count(node_get(all, F_failed)))
		node_remove(all, F_failed);
}

static void job_say_over(const struct job_status *s, struct plan *out)
{
	const struct job *j = s->j;

	if (streq(j->verdict.type, "FailureTarget")) {
		plan_warn(out, j->obj, j->verdict.reason, j->verdict.message);
		return;
	}
	plan_say(out, j->obj, "Completed", "Job completed", NULL, NULL);
	if (j->completions >= 0 && node_int(node_get(s->status, F_succeeded), 0) > j->completions)
		plan_event(out, j->obj, "Warning", "TooManySucceededPods",
			   "Too many succeeded pods running after completion count reached");
}

static void job_write(struct job_status *s, struct plan *out)
{
	const struct job *j = s->j;
	bool over;

	job_fill(s);
	if (!j->verdict.type && !j->deleting)
		job_put_suspension(s, out);
	over = job_put_verdict(s);
	job_tidy_uncounted(s);
	if (!node_equal(s->status, j->status)) {
		plan_update(out, j->obj->res, j->obj->ns, j->obj->name, "status", doc_ref(s->d));
		if (over)
			job_say_over(s, out);
	}
	plan_then(out);
	for (size_t i = 0; i < s->free.n; i++) {
		const struct kid *c = s->free.v[i];
		struct node *meta;
		struct doc *d = pod_patch(c, &meta);

		pod_patch_untrack(d, meta);
		plan_patch(out, c->obj->res, c->obj->ns, c->obj->name, PATCH_STRATEGIC, d);
	}
}

int job_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct job_status s = { 0 };
	struct selector *sel;
	struct job j;

	if (!o || job_is_over(obj_node(o)) || !job_is_ours(obj_node(o)))
		return 0;
	sel = ctl_selector(obj_node(o), e);
	if (!sel)
		return err_is_set(e) ? -e->code : 0;
	job_load(&j, v, o, sel, NULL);
	selector_free(sel);
	s.j = &j;
	s.d = doc_clone(obj_doc(o));
	s.status = node_need_object(s.d, doc_root(s.d), F_status);
	job_write(&s, out);
	VEC_RELEASE(&s.free);
	VEC_RELEASE(&s.done);
	doc_unref(s.d);
	job_release(&j);
	return 0;
}
