/*
 * Validation of a Job's status: what its controller, or one that spec.managedBy
 * names, may say. Most rules hold only for writes that touch what they are about,
 * since a change of the spec may make a status wrong that its controller has yet
 * to look at.
 */
#include "schema/valid.h"

#include "base/map.h"
#include "base/time.h"

struct job_state { /* a Job's conditions that are true */
	bool complete, failed, failure_target, success_criteria;
};

struct job_write {
	const struct node *spec, *now, *old; /* the statuses */
	struct job_state is, was;
};

/* --- what a write touches --- */

static bool job_says(const struct node *status, const char *type)
{
	return cond_is_true(node_get(status, F_conditions), type);
}

static void job_state_of(struct job_state *s, const struct node *status)
{
	s->complete = job_says(status, "Complete");
	s->failed = job_says(status, "Failed");
	s->failure_target = job_says(status, "FailureTarget");
	s->success_criteria = job_says(status, "SuccessCriteriaMet");
}

static bool job_is_finished(const struct job_state *s)
{
	return s->complete || s->failed;
}

static bool job_changes(const struct job_write *w, enum field f)
{
	return !v_same(node_get(w->now, f), node_get(w->old, f));
}

static bool job_finishes(const struct job_write *w)
{
	return job_is_finished(&w->is) != job_is_finished(&w->was);
}

/* --- conditions --- */

static void job_conditions(struct valid *v, const struct vpath *p, const struct job_write *w)
{
	const struct job_state *is = &w->is, *was = &w->was;
	const bool completing = is->complete != was->complete, failing = is->failed != was->failed;
	const bool aiming = is->failure_target != was->failure_target, meeting = is->success_criteria != was->success_criteria;
	const struct {
		bool wrong;
		const char *why;
	} rules[] = {
		{ (completing || failing) && is->complete && is->failed, "cannot set Complete=True and Failed=true conditions" },
		{ (completing || aiming) && is->complete && is->failure_target,
		  "cannot set Complete=True and FailureTarget=true conditions" },
		{ (failing || aiming) && is->failed && !is->failure_target,
		  "cannot set Failed=True condition without the FailureTarget=true condition" },
		{ (completing || meeting) && is->complete && !is->success_criteria,
		  "cannot set Complete=True condition without the SuccessCriteriaMet=true condition" },
		{ is->success_criteria && is->failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions" },
		{ is->success_criteria && is->failure_target,
		  "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions" },
		{ node_get(w->spec, F_successPolicy) && !is->success_criteria && is->complete,
		  "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True" },
		{ was->failed && !is->failed, "cannot disable the terminal Failed=True condition" },
		{ was->complete && !is->complete, "cannot disable the terminal Complete=True condition" },
		{ was->failure_target && !is->failure_target, "cannot disable the terminal FailureTarget=True condition" },
		{ was->success_criteria && !is->success_criteria, "cannot disable the SuccessCriteriaMet=True condition" },
		{ was->complete && !was->success_criteria && is->success_criteria,
		  "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].wrong)
			v_invalid_omitted(v, VP(p, "conditions"), rules[i].why);
}

/* --- times --- */

static bool job_ends_before_it_starts(const struct node *start, const struct node *end)
{
	int64_t a, b;

	return time_parse_rfc3339(node_str(start), &a) && time_parse_rfc3339(node_str(end), &b) && b < a;
}

static void job_times(struct valid *v, const struct vpath *p, const struct job_write *w)
{
	const struct node *start = node_get(w->now, F_startTime), *end = node_get(w->now, F_completionTime);
	const struct node *started = node_get(w->old, F_startTime), *ended = node_get(w->old, F_completionTime);
	const struct vpath *at = VP(p, "completionTime");
	bool starting = job_changes(w, F_startTime), ending = job_changes(w, F_completionTime);
	bool completing = ending || w->is.complete != w->was.complete;

	if (completing && end && !w->is.complete)
		v_invalid_node(v, at, end, "cannot set completionTime when there is no Complete=True condition");
	if (completing && !end && w->is.complete)
		v_required(v, at, "completionTime is required for Complete jobs");
	if ((starting || ending) && job_ends_before_it_starts(start, end))
		v_invalid_node(v, at, end, "completionTime cannot be set before startTime");
	if (end && ended && ending)
		v_invalid_node(v, at, end, "completionTime cannot be mutated");
	if ((starting || job_finishes(w)) && !start && job_is_finished(&w->is))
		v_required(v, VP(p, "startTime"), "startTime is required for finished job");
	/* One that goes on after a suspension begins anew. */
	if (starting && started && !node_bool(node_get(w->spec, F_suspend), false) && !job_says(w->old, "Suspended"))
		v_required(v, VP(p, "startTime"), "startTime cannot be removed for unsuspended job");
}

/* --- counts --- */

static void job_uids(struct valid *v, const struct vpath *p, const struct node *uids, struct map *seen)
{
	size_t i = 0;

	NODE_FOREACH(uid, uids) {
		const struct vpath *at = VPI(p, i++);

		if (node_str(uid).n == 0)
			v_invalid(v, at, STR_LIT(""), "must not be empty");
		else if (map_get(seen, node_str(uid)))
			v_duplicate(v, at, uid);
		else
			map_set(seen, node_str(uid), seen);
	}
}

static void job_uncounted(struct valid *v, const struct vpath *p, const struct job_write *w)
{
	const struct node *all = node_get(w->now, F_uncountedTerminatedPods);
	const struct node *good = node_get(all, F_succeeded), *bad = node_get(all, F_failed);
	struct map *seen = map_new(NULL);

	job_uids(v, VP(p, "succeeded"), good, seen);
	job_uids(v, VP(p, "failed"), bad, seen);
	map_free(seen);
	if ((job_finishes(w) || job_changes(w, F_uncountedTerminatedPods)) && job_is_finished(&w->is) &&
	    node_count(good) + node_count(bad) > 0)
		v_invalid_node(v, p, all, "uncountedTerminatedPods needs to be empty for finished job");
}

static void job_running(struct valid *v, const struct vpath *p, const struct job_write *w)
{
	static const enum field RUNNING[] = { F_active, F_terminating };
	const struct node *ready = node_get(w->now, F_ready);

	for (size_t i = 0; i < ARRAY_SIZE(RUNNING); i++) {
		const struct node *n = node_get(w->now, RUNNING[i]);

		if ((job_finishes(w) || job_changes(w, RUNNING[i])) && job_is_finished(&w->is) && node_int(n, 0) > 0)
			v_invalidf(v, VP(p, doc_field_name(RUNNING[i])), n, "%s>0 is invalid for finished job",
				   doc_field_name(RUNNING[i]));
	}
	if ((job_changes(w, F_ready) || job_changes(w, F_active)) &&
	    node_int(ready, 0) > node_int(node_get(w->now, F_active), 0))
		v_invalid_node(v, VP(p, "ready"), ready, "cannot set more ready pods than active");
}

/* An elastic indexed Job, as many at once as in all, may be made smaller. */
static void job_counters(struct valid *v, const struct vpath *p, const struct job_write *w)
{
	static const enum field GROW[] = { F_failed, F_succeeded };
	bool elastic = v_job_is_indexed(w->spec) &&
		       v_same(node_get(w->spec, F_completions), node_get(w->spec, F_parallelism));

	for (size_t i = 0; i < ARRAY_SIZE(GROW); i++) {
		const struct node *now = node_get(w->now, GROW[i]);

		if (node_int(now, 0) < node_int(node_get(w->old, GROW[i]), 0) && !(elastic && GROW[i] == F_succeeded))
			v_invalidf(v, VP(p, doc_field_name(GROW[i])), now, "cannot decrease the %s counter",
				   doc_field_name(GROW[i]));
	}
}

/* --- indexes --- */

/* The next interval of a text of the right form. */
static bool job_next_span(struct str *s, int64_t *first, int64_t *last)
{
	struct str to = str_cut(s, ','), from = str_cut(&to, '-');

	if (!str_to_i64(from, first))
		return false;
	*last = *first;
	return !to.p || str_to_i64(to, last);
}

/* The first that is in both; -1: none. */
static int64_t job_overlap(struct str a, struct str b)
{
	int64_t a1, a2, b1, b2;
	bool in_a = job_next_span(&a, &a1, &a2), in_b = job_next_span(&b, &b1, &b2);

	while (in_a && in_b) {
		if (a1 <= b2 && b1 <= a2)
			return a1 > b1 ? a1 : b1;
		if (a1 <= b1)
			in_a = job_next_span(&a, &a1, &a2);
		else
			in_b = job_next_span(&b, &b1, &b2);
	}
	return -1;
}

static bool job_indexes_are_formed(struct valid *v, const struct vpath *p, const struct node *n, const char *name,
				   int64_t completions)
{
	_cleanup_free_ char *why = NULL;

	if (v_job_indexes(node_str(n), completions, &why) >= 0)
		return true;
	v_invalidf(v, VP(p, name), n, "error parsing %s: %s", name, why);
	return false;
}

static void job_indexes(struct valid *v, const struct vpath *p, const struct job_write *w)
{
	const struct node *done = node_get(w->now, F_completedIndexes), *lost = node_get(w->now, F_failedIndexes);
	const struct node *all = node_get(w->spec, F_completions), *limit = node_get(w->spec, F_backoffLimitPerIndex);
	bool doing = job_changes(w, F_completedIndexes), losing = job_changes(w, F_failedIndexes), formed = true;
	int64_t both;

	if (doing && all)
		formed = job_indexes_are_formed(v, p, done, "completedIndexes", node_int(all, 0));
	if (losing && all && limit && lost)
		formed &= job_indexes_are_formed(v, p, lost, "failedIndexes", node_int(all, 0));
	if (doing && node_str(done).n > 0 && !v_job_is_indexed(w->spec))
		v_invalid_node(v, VP(p, "completedIndexes"), done,
			       "cannot set non-empty completedIndexes when non-indexed completion mode");
	if (losing && lost && !limit)
		v_invalid_node(v, VP(p, "failedIndexes"), lost,
			       "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
	if (!formed || !(doing || losing) || !all || !lost)
		return;
	both = job_overlap(node_str(done), node_str(lost));
	if (both >= 0)
		v_invalidf(v, VP(p, "failedIndexes"), lost, "failedIndexes and completedIndexes overlap at index: %lld",
			   (long long)both);
}

void v_job_status(struct valid *v, const struct vpath *p)
{
	static const enum field COUNTS[] = { F_active, F_succeeded, F_failed, F_ready, F_terminating, F_NONE };
	struct job_write w = { .spec = node_get(v->root, F_spec), .now = node_get(v->root, F_status),
			       .old = node_get(v->old, F_status) };

	job_state_of(&w.is, w.now);
	job_state_of(&w.was, w.old);
	v_counts(v, p, w.now, COUNTS);
	job_uncounted(v, VP(p, "uncountedTerminatedPods"), &w);
	job_times(v, p, &w);
	job_running(v, p, &w);
	job_indexes(v, p, &w);
	job_conditions(v, p, &w);
	job_counters(v, p, &w);
}
