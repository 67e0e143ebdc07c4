/*
 * Work for volumes that only waits for a disk, on threads: taking a pod's volumes
 * away, and measuring emptyDirs that have a sizeLimit. As the kubelet's eviction
 * manager does it: every 10 s while there is a pod with such a limit, which is
 * evicted when it has passed it.
 */
#include <errno.h>

#include "base/job.h"
#include "node/pressure.h"
#include "node/quota.h"
#include "node/volume-child.h"

#define JOB_THREADS 2
#define JOB_QUEUE 512
#define LIMIT_EVERY_MS 10000

static struct job_queue *jobs_of(struct node_agent *n)
{
	if (!n->volume_jobs)
		n->volume_jobs = job_queue_new(n->loop, "volumes", JOB_THREADS, JOB_QUEUE);
	return n->volume_jobs;
}

/* --- the end of a pod's volumes --- */

struct down {
	struct pod *pod;
	char *state_dir, *uid;
	struct err err;
};

static void down_free(struct down *d)
{
	err_release(&d->err);
	free(d->state_dir);
	free(d->uid);
	free(d);
}

static void down_run(void *arg)
{
	struct down *d = arg;

	if (volumes_down(d->state_dir, d->uid, &d->err) < 0)
		return; /* down_done looks at the error */
}

static void down_done(void *arg)
{
	struct down *d = arg;
	struct pod *p = d->pod;

	p->step_busy = false;
	if (err_is_set(&d->err)) {
		log_warn("cannot take away a pod's volumes, trying again", LS("pod", p->name), LS("ns", p->ns),
			 LE(&d->err));
		p->undo_retry_ms = time_mono_ms() + SEC_MS;
	} else {
		p->volumes_gone = true;
	}
	down_free(d);
	pod_put(p);
}

static bool down_needed(struct pod *p)
{
	_cleanup_free_ char *disk = xasprintf("%s/files/%s/volumes", p->agent->state_dir, p->uid),
			    *mem = xasprintf("%s/volatile/%s", p->agent->state_dir, p->uid);

	return path_exists(disk) || path_exists(mem);
}

int volumes_undo(struct pod *p, struct err *e)
{
	struct down *d;

	volume_children_end(p);
	p->mounted = map_free(p->mounted);
	if (p->volumes_gone || !down_needed(p)) {
		p->volumes_gone = false;
		return 0;
	}
	d = xcalloc(1, sizeof(*d));
	*d = (struct down){.pod = p, .state_dir = xstrdup(p->agent->state_dir), .uid = xstrdup(p->uid)};
	if (job_submit(jobs_of(p->agent), down_run, down_done, d) < 0) {
		down_free(d);
		return err_set(e, ERR_TOO_MANY_REQUESTS, "too much is asked of this node's disks at once");
	}
	p->step_busy = true;
	p->pending++;
	return -EAGAIN;
}

/* --- limits --- */

struct measured {
	char *uid, *name, *dir, *text; /* text: of the limit */
	int64_t limit, used;
};
struct volume_limits {
	struct node_agent *agent;
	struct loop_timer *timer;
	bool busy;
	struct measured *v; /* for the job under way */
	size_t n, cap;
};

static void limits_clear(struct volume_limits *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].uid);
		free(l->v[i].name);
		free(l->v[i].dir);
		free(l->v[i].text);
	}
	VEC_RELEASE(l);
}

static bool volume_limit(const struct node *vol, struct quantity *q)
{
	const struct node *src = node_get(vol, F_emptyDir);

	return src && !*node_gets(src, F_medium) && quantity_from_node(q, node_get(src, F_sizeLimit)) && q->nano > 0;
}

static void limits_gather(struct volume_limits *l)
{
	struct map_iter it = {0};

	while (map_next(l->agent->by_uid, &it)) {
		struct pod *p = it.value;

		if (p->state != POD_RUN || p->fail_reason)
			continue;
		NODE_FOREACH (vol, node_get(pod_spec(p), F_volumes)) {
			const char *name = node_gets(vol, F_name), *dir = volume_path(p, name);
			struct buf text = BUF_INIT;
			struct quantity q;

			if (!dir || !volume_limit(vol, &q))
				continue;
			quantity_print(&q, &text);
			VEC_PUSH(l, ((struct measured){xstrdup(p->uid), xstrdup(name), xstrdup(dir),
						       buf_detach(&text, NULL), quantity_value(&q), 0}));
		}
	}
}

static void limits_run(void *arg)
{
	struct volume_limits *l = arg;
	int64_t files;

	for (size_t i = 0; i < l->n; i++)
		if (!quota_usage(l->v[i].dir, &l->v[i].used, &files) && path_usage(l->v[i].dir, &l->v[i].used, &files) < 0)
			l->v[i].used = 0;
}

static void evict_over_limit(struct pod *p, const struct measured *m)
{
	_cleanup_free_ char *text =
		xasprintf("Usage of EmptyDir volume \"%s\" exceeds the limit \"%s\". ", m->name, m->text);

	evict_pod(p, 1, false, text);
}

static void limits_done(void *arg)
{
	struct volume_limits *l = arg;

	l->busy = false;
	for (size_t i = 0; i < l->n; i++) {
		const struct measured *m = &l->v[i];
		struct pod *p = map_getc(l->agent->by_uid, m->uid);

		if (m->used > m->limit && p && p->state == POD_RUN)
			evict_over_limit(p, m);
	}
	limits_clear(l);
}

static void limits_tick(void *arg)
{
	struct volume_limits *l = arg;

	if (!l->busy) {
		limits_gather(l);
		if (!l->n) /* nobody is left; volume_limits_watch begins again */
			return;
		l->busy = job_submit(jobs_of(l->agent), limits_run, limits_done, l) == 0;
		if (!l->busy)
			limits_clear(l);
	}
	loop_timer_set(l->timer, LIMIT_EVERY_MS);
}

void volume_limits_watch(struct pod *p)
{
	struct node_agent *n = p->agent;
	struct volume_limits *l = n->volume_limits;
	struct quantity q;
	bool any = false;

	NODE_FOREACH (vol, node_get(pod_spec(p), F_volumes))
		any |= volume_limit(vol, &q);
	if (!any)
		return;
	if (!l) {
		l = n->volume_limits = xcalloc(1, sizeof(*l));
		l->agent = n;
		l->timer = loop_timer_new(n->loop, limits_tick, l);
	}
	if (!loop_timer_is_set(l->timer))
		loop_timer_set(l->timer, LIMIT_EVERY_MS);
}

void volume_jobs_end(struct node_agent *n)
{
	if (n->volume_jobs) /* what comes back finds its pods */
		n->volume_jobs = job_queue_free(n->volume_jobs);
	if (!n->volume_limits)
		return;
	loop_timer_free(n->volume_limits->timer);
	limits_clear(n->volume_limits);
	n->volume_limits = free_null(n->volume_limits);
}
