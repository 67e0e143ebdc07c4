/*
 * What the caches say of a Job: its pods counted, with those that the status has
 * not counted yet, and the verdict, in Kubernetes' order of precedence.
 */
#include <stdlib.h>

#include "base/time.h"
#include "ctl/job.h"

bool job_is_over(const struct node *root)
{
	const struct node *c = node_path(root, F_status, F_conditions);

	return cond_is_true(c, "Complete") || cond_is_true(c, "Failed");
}

bool job_is_ours(const struct node *root)
{
	const struct node *by = node_path(root, F_spec, F_managedBy);

	return !by || node_streq(by, "kubernetes.io/job-controller");
}

/* --- a pod --- */

bool job_pod_fits(const struct job *j, const struct kid *c)
{
	return !j->indexed || (c->index >= 0 && c->index < j->completions);
}

/* By us, when it was decided: what becomes of it says nothing any more. */
static bool job_pod_is_removed(const struct job *j, const struct kid *c)
{
	return j->verdict.written && c->terminating;
}

bool job_pod_failed(const struct job *j, const struct kid *c)
{
	if (job_pod_is_removed(j, c) && streq(j->verdict.type, "SuccessCriteriaMet"))
		return false;
	if (c->phase == POD_FAILED)
		return true;
	return !j->only_failed && c->terminating && c->phase != POD_SUCCEEDED;
}

static int64_t job_annotation(const struct kid *c, const char *key)
{
	const char *text = meta_annotation(obj_node(c->obj), key);
	int64_t n;

	return text && str_to_i64(str_of(text), &n) && n >= 0 && n <= INT32_MAX ? n : 0;
}

int64_t job_index_failures(const struct kid *c)
{
	return job_annotation(c, JOB_FAILURE_COUNT);
}

int64_t job_index_ignored(const struct kid *c)
{
	return job_annotation(c, JOB_IGNORED_COUNT);
}

/* It counts, and the status does not know yet. */
static bool job_pod_is_new(const struct job *j, const struct kid *c, bool failed)
{
	return c->tracked && job_pod_fits(j, c) && !map_getc(j->uncounted[failed], c->obj->uid);
}

/* --- counts --- */

static void job_count_pods(struct job *j)
{
	for (size_t i = 0; i < j->pods.n; i++) {
		const struct kid *c = j->pods.v[i];
		bool failed = job_pod_failed(j, c);

		j->active += pod_is_active(c);
		j->ready += pod_is_active(c) && c->ready;
		j->terminating += pod_is_terminating(c);
		if (c->phase == POD_SUCCEEDED && job_pod_is_new(j, c, false))
			j->succeeded++;
		if (failed && job_pod_is_new(j, c, true) &&
		    (!j->policy || job_failure_action(j->policy, obj_node(c->obj), NULL) != JOB_IGNORE))
			j->failed++;
	}
}

static bool job_index_is_lost(const struct job *j, const struct kid *c)
{
	enum job_action a;

	if (!job_pod_failed(j, c) || job_pod_is_removed(j, c))
		return false;
	a = job_failure_action(j->policy, obj_node(c->obj), NULL);
	if (a == JOB_FAIL_INDEX)
		return true;
	return a != JOB_IGNORE && job_index_failures(c) >= node_int(node_get(j->spec, F_backoffLimitPerIndex), 0);
}

static int job_last_order(const void *pa, const void *pb)
{
	const struct kid *a = *(struct kid *const *)pa, *b = *(struct kid *const *)pb;
	int64_t na, nb;

	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	na = job_index_failures(a) + job_index_ignored(a);
	nb = job_index_failures(b) + job_index_ignored(b);
	if (na != nb)
		return na < nb ? -1 : 1;
	return a->finished_s < b->finished_s ? -1 : a->finished_s > b->finished_s;
}

/* The newest failed pod of each index that has neither a successor nor an outcome. */
static void job_find_last(struct job *j)
{
	job_indexes settled = VEC_INIT;
	size_t n = 0;

	job_indexes_push_all(&settled, &j->done);
	job_indexes_push_all(&settled, &j->lost);
	for (size_t i = 0; i < j->pods.n; i++)
		if (pod_is_active(j->pods.v[i]) && j->pods.v[i]->index >= 0)
			job_indexes_push(&settled, j->pods.v[i]->index, j->pods.v[i]->index);
	job_indexes_tidy(&settled);
	for (size_t i = 0; i < j->pods.n; i++) {
		struct kid *c = j->pods.v[i];

		if (c->tracked && job_pod_fits(j, c) && job_pod_failed(j, c) && !job_indexes_has(&settled, c->index))
			VEC_PUSH(&j->last, c);
	}
	VEC_RELEASE(&settled);
	if (!j->last.n)
		return;
	qsort(j->last.v, j->last.n, sizeof(*j->last.v), job_last_order);
	for (size_t i = 1; i < j->last.n; i++) {
		if (j->last.v[i]->index != j->last.v[n]->index)
			n++;
		j->last.v[n] = j->last.v[i];
	}
	j->last.n = n + 1;
}

struct kid *job_last_of(const struct job *j, int64_t index)
{
	size_t lo = 0, hi = j->last.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (j->last.v[mid]->index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < j->last.n && j->last.v[lo]->index == index ? j->last.v[lo] : NULL;
}

int64_t job_last_wait_s(const struct job *j, const struct kid *last)
{
	return last ? job_wait_s(job_index_failures(last) + job_index_ignored(last) + 1, last->finished_s, j->now) : 0;
}

/* What became of an index first is its outcome, whatever a second pod of it does. */
static void job_count_indexes(struct job *j)
{
	job_indexes before = VEC_INIT;

	job_indexes_parse(&j->counted, node_str(node_get(j->status, F_completedIndexes)), j->completions);
	job_indexes_push_all(&j->done, &j->counted);
	if (j->per_index)
		job_indexes_parse(&before, node_str(node_get(j->status, F_failedIndexes)), j->completions);
	for (size_t i = 0; i < j->pods.n; i++) {
		const struct kid *c = j->pods.v[i];

		if (c->tracked && job_pod_fits(j, c) && c->phase == POD_SUCCEEDED && !job_indexes_has(&before, c->index))
			job_indexes_push(&j->done, c->index, c->index);
	}
	job_indexes_tidy(&j->done);
	job_indexes_push_all(&j->lost, &before);
	for (size_t i = 0; i < j->pods.n && j->per_index; i++) {
		const struct kid *c = j->pods.v[i];

		if (c->tracked && job_pod_fits(j, c) && !job_indexes_has(&j->done, c->index) && job_index_is_lost(j, c))
			job_indexes_push(&j->lost, c->index, c->index);
	}
	job_indexes_tidy(&j->lost);
	VEC_RELEASE(&before);
	j->succeeded = job_indexes_count(&j->done);
	if (j->per_index)
		job_find_last(j);
}

/* --- the verdict --- */

static void job_judge(struct job *j, const char *type, const char *reason, const char *message)
{
	j->verdict.type = type;
	j->verdict.reason = reason;
	free(j->verdict.message);
	j->verdict.message = xstrdup(message);
}

static void job_recall(struct job *j)
{
	static const char *const types[] = { "SuccessCriteriaMet", "FailureTarget" };

	for (size_t i = 0; i < ARRAY_SIZE(types) && !j->verdict.type; i++) {
		const struct node *c = cond_find(node_get(j->status, F_conditions), types[i]);

		if (!node_streq(node_get(c, F_status), "True"))
			continue;
		job_judge(j, types[i], node_gets(c, F_reason), node_gets(c, F_message));
		j->verdict.written = true;
	}
}

static void job_judge_policy(struct job *j)
{
	_cleanup_buf_ struct buf why = BUF_INIT;

	for (size_t i = 0; i < j->pods.n && j->policy && !why.len; i++)
		if (job_pod_failed(j, j->pods.v[i]))
			(void)job_failure_action(j->policy, obj_node(j->pods.v[i]->obj), &why);
	if (why.len)
		job_judge(j, "FailureTarget", "PodFailurePolicy", why.s);
}

/* Containers that are restarted in place count where pods are not replaced. */
static bool job_restarted_too_often(const struct job *j)
{
	int64_t limit = node_int(node_get(j->spec, F_backoffLimit), 6), n = 0;

	if (!node_streq(node_path(j->spec, F_template, F_spec, F_restartPolicy), "OnFailure"))
		return false;
	for (size_t i = 0; i < j->pods.n; i++)
		if (j->pods.v[i]->phase == POD_RUNNING || j->pods.v[i]->phase == POD_PENDING)
			n += j->pods.v[i]->all_restarts;
	return limit ? n >= limit : n > 0;
}

static void job_judge_limits(struct job *j, struct plan *p)
{
	const struct node *deadline = node_get(j->spec, F_activeDeadlineSeconds);
	int64_t start_ns, left;

	if (j->failed > node_int(node_get(j->spec, F_backoffLimit), 6) || job_restarted_too_often(j)) {
		job_judge(j, "FailureTarget", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
		return;
	}
	/* One that was just taken up again has its old startTime still: it gets a new one with the condition. */
	if (!deadline || j->suspended || cond_is_true(node_get(j->status, F_conditions), "Suspended") ||
	    !time_parse_rfc3339(node_str(node_get(j->status, F_startTime)), &start_ns))
		return;
	left = start_ns / SEC_NS + node_int(deadline, 0) - j->now;
	if (left <= 0)
		job_judge(j, "FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline");
	else if (p)
		plan_again(p, left * SEC_MS);
}

static void job_judge_indexes(struct job *j)
{
	const struct node *max = node_get(j->spec, F_maxFailedIndexes);
	int64_t lost = job_indexes_count(&j->lost), rule;
	_cleanup_free_ char *text = NULL;

	if (max && lost > node_int(max, 0)) {
		job_judge(j, "FailureTarget", "MaxFailedIndexesExceeded",
			  "Job has exceeded the specified maximal number of failed indexes");
	} else if (lost && lost + j->succeeded >= j->completions) {
		job_judge(j, "FailureTarget", "FailedIndexes", "Job has failed indexes");
	} else if ((rule = job_success_rule(node_get(j->spec, F_successPolicy), j->completions, &j->done)) >= 0) {
		text = xasprintf("Matched rules at index %lld", (long long)rule);
		job_judge(j, "SuccessCriteriaMet", "SuccessPolicy", text);
	}
}

static void job_judge_complete(struct job *j)
{
	if (!j->active && j->succeeded >= (j->completions < 0 ? 1 : j->completions))
		job_judge(j, "SuccessCriteriaMet", "CompletionsReached",
			  "Reached expected number of succeeded pods");
}

/* --- all of it --- */

static void job_load_uncounted(struct job *j)
{
	static const enum field lists[] = { F_succeeded, F_failed };
	int64_t *counts[] = { &j->succeeded, &j->failed };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		j->uncounted[i] = map_new(NULL);
		NODE_FOREACH(uid, node_get(node_get(j->status, F_uncountedTerminatedPods), lists[i]))
			map_set(j->uncounted[i], node_str(uid), j);
		*counts[i] = node_int(node_get(j->status, lists[i]), 0) + (int64_t)map_count(j->uncounted[i]);
	}
}

void job_load(struct job *j, const struct ctl_view *v, struct obj *o, const struct selector *s, struct plan *p)
{
	const struct node *root = obj_node(o);

	*j = (struct job){ .obj = o, .spec = node_get(root, F_spec), .status = node_get(root, F_status),
			   .now = time_wall_s(), .deleting = meta_is_deleting(root) };
	j->policy = node_get(j->spec, F_podFailurePolicy);
	j->indexed = node_streq(node_get(j->spec, F_completionMode), "Indexed");
	j->per_index = j->indexed && node_get(j->spec, F_backoffLimitPerIndex);
	j->suspended = node_bool(node_get(j->spec, F_suspend), false);
	j->only_failed = j->policy || node_streq(node_get(j->spec, F_podReplacementPolicy), "Failed");
	j->completions = node_int(node_get(j->spec, F_completions), -1);
	j->parallelism = node_int(node_get(j->spec, F_parallelism), 1);
	kids_claim(v->kids[CTL_PODS], o, s, NULL, p, &j->pods);
	job_recall(j);
	job_load_uncounted(j);
	job_count_pods(j);
	if (!j->verdict.type)
		job_judge_policy(j);
	if (!j->verdict.type)
		job_judge_limits(j, p);
	if (j->indexed)
		job_count_indexes(j);
	if (!j->verdict.type && j->indexed)
		job_judge_indexes(j);
	if (!j->verdict.type)
		job_judge_complete(j);
}

void job_release(struct job *j)
{
	VEC_RELEASE(&j->pods);
	VEC_RELEASE(&j->last);
	VEC_RELEASE(&j->counted);
	VEC_RELEASE(&j->done);
	VEC_RELEASE(&j->lost);
	map_free(j->uncounted[0]);
	map_free(j->uncounted[1]);
	free(j->verdict.message);
}
