/*
 * Jobs: pods that run to their end, each counted exactly once.
 *
 *	job.c			which pods are made and removed
 *	job-state.c		what the caches say of a Job, and whether it is decided
 *	job-status.c		counting, conditions, the status
 *	job-indexes.c		sets of completion indexes: "1,3-5"
 *	job-policy.c		what a pod's failure means; what is success enough
 *	job-backoff.c		how long a failed pod's successor has to wait
 *	job-finalizers.c	pods whose Job cannot let go of them any more
 *
 * A pod is made with the finalizer KIDS_TRACKING, so it stays until it was counted,
 * in three steps that may each be the last before a crash: its uid is written into
 * status.uncountedTerminatedPods; then the finalizer goes; then, when the cache
 * shows that it went, the uid is taken out and a counter raised by the same write.
 * Indexes need no uid: status.completedIndexes itself says what was counted.
 *
 * The end has steps too. What decides it (FailureTarget, SuccessCriteriaMet) is
 * written first, and never judged again; then the pods that still run are removed;
 * when all are counted and gone, Failed or Complete says so.
 */
#ifndef CTL_JOB_H
#define CTL_JOB_H

#include "ctl/pods.h"

#define JOB_FAILURE_COUNT "batch.kubernetes.io/job-index-failure-count" /* annotation: failures of the index before */
#define JOB_IGNORED_COUNT "batch.kubernetes.io/job-index-ignored-failure-count"

/* --- indexes (job-indexes.c) --- */
struct job_span {
	int64_t first, last;
};
typedef VEC(struct job_span) job_indexes; /* in order, apart from each other, unless only pushed */

/* Those below completions; what is malformed is passed over. */
void job_indexes_parse(job_indexes *out, struct str s, int64_t completions);
void job_indexes_print(const job_indexes *s, struct buf *out);
int64_t job_indexes_count(const job_indexes *s);
bool job_indexes_has(const job_indexes *s, int64_t index);
/* Many may be pushed in any order, then tidied at once. */
void job_indexes_push(job_indexes *s, int64_t first, int64_t last);
void job_indexes_push_all(job_indexes *s, const job_indexes *more);
void job_indexes_tidy(job_indexes *s);
/* How many are in both. */
int64_t job_indexes_common(const job_indexes *a, const job_indexes *b);
/* The first n below completions that are not in s; returns how many there are. */
size_t job_indexes_missing(const job_indexes *s, int64_t completions, size_t n, int64_t *ret);

/* --- policies (job-policy.c) --- */
enum job_action { JOB_COUNT, JOB_IGNORE, JOB_FAIL_INDEX, JOB_FAIL_JOB };
/* policy: a podFailurePolicy or NULL; of JOB_FAIL_JOB why gets the message (it may be NULL). */
enum job_action job_failure_action(const struct node *policy, const struct node *pod, struct buf *why);
/* The number of the first rule of a successPolicy that is met; -1: none. */
int64_t job_success_rule(const struct node *policy, int64_t completions, const job_indexes *succeeded);

/* --- back-off (job-backoff.c) --- */
#define JOB_FAILURES 7 /* with so many the wait is the longest */
struct job_failures { /* the last ones since a pod succeeded, oldest first */
	struct {
		uint64_t pod;
		int64_t at_s;
	} v[JOB_FAILURES];
	size_t n;
	int64_t success_s;
};
/* The same pod is noted once. */
void job_failures_note(struct job_failures *f, uint64_t pod, int64_t at_s);
void job_failures_forget(struct job_failures *f, int64_t success_s);
/* What is left of the wait after n failures, the last of them at last_s. */
int64_t job_wait_s(int64_t n, int64_t last_s, int64_t now_s);
int64_t job_failures_wait_s(const struct job_failures *f, int64_t now_s);
/* What is remembered of a Job while the server runs: failures of pods that are gone. */
struct job_failures *job_memory(void *data, const char *key, struct obj *o);
void job_memory_drop(void *data, const char *key);

/* --- the state (job-state.c) --- */
struct job_verdict {
	const char *type; /* FailureTarget, SuccessCriteriaMet; NULL: it goes on */
	const char *reason;
	char *message;
	bool written; /* the conditions say so already */
};

struct job {
	struct obj *obj;
	const struct node *spec, *status, *policy;
	int64_t now;
	bool indexed, per_index, suspended, deleting;
	bool only_failed; /* a pod that is to go has not failed yet, and is not replaced until it has */
	int64_t completions; /* -1: any success will do */
	int64_t parallelism;
	kid_vec pods;
	int64_t active, ready, terminating, succeeded, failed;
	struct map *uncounted[2]; /* uids that the status has: succeeded, failed */
	job_indexes counted, done, lost; /* completedIndexes; with what is new; failedIndexes */
	kid_vec last; /* per_index: an index's failed pod that its successor's annotations are made from */
	struct job_verdict verdict;
};

bool job_is_over(const struct node *root);
bool job_is_ours(const struct node *root); /* spec.managedBy names nobody else */
/* p: where claims are planned, or NULL. */
void job_load(struct job *j, const struct ctl_view *v, struct obj *o, const struct selector *s, struct plan *p);
void job_release(struct job *j);
bool job_pod_failed(const struct job *j, const struct kid *c);
/* It is one of the completions' indexes, or there are none. */
bool job_pod_fits(const struct job *j, const struct kid *c);
int64_t job_index_failures(const struct kid *c); /* before c, of its index */
int64_t job_index_ignored(const struct kid *c);
struct kid *job_last_of(const struct job *j, int64_t index); /* NULL: none */
int64_t job_last_wait_s(const struct job *j, const struct kid *last);

/* --- pods (job.c) --- */
struct doc *job_pod(const struct job *j, int64_t index); /* -1: without */
int64_t job_want(const struct job *j); /* how many are to run */

#endif
