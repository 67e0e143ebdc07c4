/*
 * The wait before a failed pod's successor is made: 10 seconds, doubled with each
 * failure since the last success, 10 minutes at most.
 *
 * Failures are read off the pods each time; only of those that are gone something
 * has to be remembered, so the last few of each Job are, by pod, and noting one
 * again changes nothing. A server that starts anew knows the pods that are there.
 */
#include "base/hash.h"
#include "ctl/job.h"

enum { JOB_WAIT_S = 10, JOB_MAX_WAIT_S = 600 };

struct job_memory {
	char *uid;
	struct job_failures failures;
};

static void job_memory_free(void *arg)
{
	struct job_memory *m = arg;

	free(m->uid);
	free(m);
}

void *job_open(struct ctl_run *run)
{
	return map_new(job_memory_free);
}

void job_close(void *data)
{
	map_free(data);
}

struct job_failures *job_memory(void *data, const char *key, struct obj *o)
{
	struct job_memory *m = map_getc(data, key);

	if (m && streq(m->uid, o->uid))
		return &m->failures;
	m = xcalloc(1, sizeof(*m));
	m->uid = xstrdup(o->uid);
	map_set(data, str_of(key), m);
	return &m->failures;
}

void job_memory_drop(void *data, const char *key)
{
	map_del(data, str_of(key));
}

void job_failures_note(struct job_failures *f, uint64_t pod, int64_t at_s)
{
	size_t at = f->n;

	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].pod == pod)
			return;
	if (at_s <= f->success_s)
		return;
	while (at > 0 && f->v[at - 1].at_s > at_s)
		at--;
	if (f->n == JOB_FAILURES) {
		if (at == 0)
			return;
		at--;
		memmove(f->v, f->v + 1, at * sizeof(*f->v));
	} else {
		memmove(f->v + at + 1, f->v + at, (f->n - at) * sizeof(*f->v));
		f->n++;
	}
	f->v[at].pod = pod;
	f->v[at].at_s = at_s;
}

void job_failures_forget(struct job_failures *f, int64_t success_s)
{
	size_t n = 0;

	if (success_s <= f->success_s)
		return;
	f->success_s = success_s;
	while (n < f->n && f->v[n].at_s <= success_s)
		n++;
	f->n -= n;
	memmove(f->v, f->v + n, f->n * sizeof(*f->v));
}

int64_t job_wait_s(int64_t n, int64_t last_s, int64_t now_s)
{
	int64_t wait = JOB_WAIT_S;

	if (n <= 0)
		return 0;
	while (--n > 0 && wait < JOB_MAX_WAIT_S)
		wait *= 2;
	if (wait > JOB_MAX_WAIT_S)
		wait = JOB_MAX_WAIT_S;
	if (last_s > now_s) /* by a node's clock that is ahead */
		last_s = now_s;
	return last_s + wait > now_s ? last_s + wait - now_s : 0;
}

int64_t job_failures_wait_s(const struct job_failures *f, int64_t now_s)
{
	return f->n ? job_wait_s((int64_t)f->n, f->v[f->n - 1].at_s, now_s) : 0;
}
