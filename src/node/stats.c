/*
 * Looks at what is used: /proc for the node, control groups for pods (run.h),
 * directory trees by a thread.
 */
#include "node/stats.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "base/job.h"

#define STATS_GAP_MS 1000 /* least time between the two looks of a rate */
#define STATS_OLD_MS 60000 /* a look that is older is no base any more */
#define STATS_DISK_MS 30000 /* disk usage is counted anew after that time */

struct stats_wait {
	TAILQ_ENTRY(stats_wait) link;
	struct stats *stats;
	struct loop_timer *timer; /* the second look is still to come */
	void (*done)(void *arg);
	void *arg;
};
struct stats_path { /* a tree to be counted */
	char *key, *path;
	size_t at; /* which struct stats_disk of the entry */
	struct stats_disk disk;
};
struct stats_count { /* a job */
	struct stats *stats;
	VEC(struct stats_path) paths;
};
struct stats {
	struct node_agent *agent;
	struct map *entries;
	unsigned look;
	int64_t look_ms, disk_ms; /* monotonic; 0: never */
	struct job_queue *jobs;
	bool counting;
	TAILQ_HEAD(, stats_wait) waits;
};

/* --- small things --- */

int64_t stats_proc_number(const char *path, const char *key)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	const char *s;

	if (path_read(path, 256 << 10, &b, &e) < 0 || !(s = strstr(b.s, key)))
		return 0;
	return strtoll(s + strlen(key), NULL, 10);
}

bool stats_fs_of(const char *path, struct stats_fs *ret)
{
	struct statvfs fs;

	*ret = (struct stats_fs){0};
	if (statvfs(path, &fs) < 0)
		return false;
	*ret = (struct stats_fs){(int64_t)(fs.f_blocks * fs.f_frsize), (int64_t)(fs.f_bavail * fs.f_frsize),
				 (int64_t)fs.f_files, (int64_t)fs.f_ffree};
	return true;
}

/* User, nice, system, irq, softirq and steal of all processors. */
static int64_t stats_cpu_ns(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	unsigned long long v[8] = {0};

	if (path_read("/proc/stat", 256 << 10, &b, &e) < 0 ||
	    sscanf(b.s, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6],
		   &v[7]) < 4)
		return 0;
	return (int64_t)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) * (SEC_NS / sysconf(_SC_CLK_TCK));
}

static void stats_node_usage(struct run_usage *u)
{
	int64_t total = stats_proc_number("/proc/meminfo", "MemTotal:") * 1024;

	*u = (struct run_usage){0};
	u->cpu_ns = stats_cpu_ns();
	u->memory = total - stats_proc_number("/proc/meminfo", "MemFree:") * 1024;
	u->working_set = total - stats_proc_number("/proc/meminfo", "MemAvailable:") * 1024;
	u->rss = stats_proc_number("/proc/meminfo", "AnonPages:") * 1024;
	u->cache = stats_proc_number("/proc/meminfo", "Cached:") * 1024;
	u->swap = (stats_proc_number("/proc/meminfo", "SwapTotal:") - stats_proc_number("/proc/meminfo", "SwapFree:")) *
		  1024;
	u->page_faults = stats_proc_number("/proc/vmstat", "pgfault ");
	u->major_faults = stats_proc_number("/proc/vmstat", "pgmajfault ");
}

/* --- looking --- */

#define NODE_KEY "node"

static char *stats_ctr_key(const struct ctr *c)
{
	return xasprintf("%s/%s", c->pod->uid, c->id);
}

static struct stats_entry *stats_entry(struct stats *st, const char *key)
{
	struct stats_entry *en = map_getc(st->entries, key);

	if (!en) {
		en = xcalloc(1, sizeof(*en));
		en->cpu_rate = -1;
		map_set(st->entries, str_of(key), en);
	}
	return en;
}

static void stats_put(struct stats *st, const char *key, const struct run_usage *u)
{
	struct stats_entry *en = stats_entry(st, key);
	int64_t now = time_mono_ms(), gap = now - en->base_ms;

	if (en->base_ms && gap >= STATS_GAP_MS - 50 && u->cpu_ns >= en->base_cpu_ns) {
		en->cpu_rate = (int64_t)((double)(u->cpu_ns - en->base_cpu_ns) * 1000 / (double)gap);
		en->window_ms = gap;
	}
	if (!en->base_ms || gap >= STATS_GAP_MS - 50) { /* else it is too soon for another rate */
		en->base_ms = now;
		en->base_cpu_ns = u->cpu_ns;
	}
	en->use = *u;
	en->time_s = time_wall_s();
	en->seen = st->look;
}

static void stats_look_pod(struct stats *st, struct pod *p)
{
	struct run_usage u;

	if (!p->sandbox || !sandbox_usage(p->sandbox, &u))
		return;
	stats_put(st, p->uid, &u);
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct container *rc = ctr_run(p->ctrs[i]);
		_cleanup_free_ char *key = stats_ctr_key(p->ctrs[i]);

		if (rc && container_usage(rc, &u))
			stats_put(st, key, &u);
	}
}

void stats_look(struct stats *st)
{
	struct map_iter it = {0};
	struct run_usage u;

	st->look++;
	stats_node_usage(&u);
	stats_put(st, NODE_KEY, &u);
	while (map_next(st->agent->by_uid, &it))
		stats_look_pod(st, it.value);
	it = (struct map_iter){0};
	while (map_next(st->entries, &it))
		if (((struct stats_entry *)it.value)->seen != st->look)
			map_del(st->entries, it.key);
	st->look_ms = time_mono_ms();
}

static const struct stats_entry *stats_find(struct stats *st, const char *key)
{
	return map_getc(st->entries, key);
}

const struct stats_entry *stats_node(struct stats *st)
{
	return stats_find(st, NODE_KEY);
}

const struct stats_entry *stats_pod(struct stats *st, const struct pod *p)
{
	return stats_find(st, p->uid);
}

const struct stats_entry *stats_ctr(struct stats *st, const struct ctr *c)
{
	_cleanup_free_ char *key = stats_ctr_key(c);

	return stats_find(st, key);
}

/* --- disk usage --- */

struct stats_disk stats_pod_disk(struct stats *st, const struct pod *p)
{
	const struct stats_entry *en = stats_pod(st, p);
	struct stats_disk sum = {0};

	if (!en)
		return sum;
	sum = (struct stats_disk){en->logs.bytes + en->volumes.bytes, en->logs.inodes + en->volumes.inodes,
				  en->logs.known || en->volumes.known};
	for (size_t i = 0; i < p->n_ctrs; i++) {
		const struct stats_entry *c = stats_ctr(st, p->ctrs[i]);

		sum.bytes += c ? c->root.bytes : 0;
		sum.inodes += c ? c->root.inodes : 0;
	}
	return sum;
}

static void count_run(void *arg)
{
	struct stats_count *c = arg;

	for (size_t i = 0; i < c->paths.n; i++) {
		struct stats_path *p = &c->paths.v[i];

		p->disk.known = path_usage(p->path, &p->disk.bytes, &p->disk.inodes) == 0;
	}
}

static void stats_tell(struct stats *st);

static void count_done(void *arg)
{
	struct stats_count *c = arg;
	struct stats *st = c->stats;

	for (size_t i = 0; i < c->paths.n; i++) {
		struct stats_path *p = &c->paths.v[i];
		struct stats_entry *en = map_getc(st->entries, p->key);

		if (en) {
			struct stats_disk *d = (struct stats_disk *)((char *)en + p->at);

			*d = p->disk;
		}
		free(p->key);
		free(p->path);
	}
	VEC_RELEASE(&c->paths);
	free(c);
	st->counting = false;
	st->disk_ms = time_mono_ms();
	stats_tell(st);
}

static void count_add(struct stats_count *c, char *key_take, char *path_take, size_t at)
{
	struct stats_path p = {key_take, path_take, at, {0}};

	VEC_PUSH(&c->paths, p);
}

static void count_pod(struct stats_count *c, struct pod *p)
{
	_cleanup_free_ char *logs = pod_log_dir(p->agent, p->ns, p->name, p->uid), *dir = pod_dir(p);

	count_add(c, xstrdup(p->uid), xstrdup(logs), offsetof(struct stats_entry, logs));
	count_add(c, xstrdup(p->uid), xasprintf("%s/volumes/kubernetes.io~empty-dir", dir),
		  offsetof(struct stats_entry, volumes));
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct container *rc = ctr_run(p->ctrs[i]);

		if (!rc)
			continue;
		count_add(c, stats_ctr_key(p->ctrs[i]), container_upper(rc), offsetof(struct stats_entry, root));
		count_add(c, stats_ctr_key(p->ctrs[i]), path_join(logs, p->ctrs[i]->name),
			  offsetof(struct stats_entry, logs));
	}
}

static void stats_count_disk(struct stats *st)
{
	struct stats_count *c;
	struct map_iter it = {0};

	if (st->counting || (st->disk_ms && time_mono_ms() - st->disk_ms < STATS_DISK_MS))
		return;
	if (!st->jobs)
		st->jobs = job_queue_new(st->agent->loop, "stats", 1, 4);
	c = xcalloc(1, sizeof(*c));
	c->stats = st;
	while (map_next(st->agent->by_uid, &it))
		if (stats_pod(st, it.value))
			count_pod(c, it.value);
	st->counting = true;
	if (job_submit(st->jobs, count_run, count_done, c) < 0)
		count_done(c);
}

/* --- asking --- */

static void wait_free(struct stats_wait *w)
{
	TAILQ_REMOVE(&w->stats->waits, w, link);
	loop_timer_free(w->timer);
	free(w);
}

/* Those that wait for nothing any more. */
static void stats_tell(struct stats *st)
{
	struct stats_wait *w, *next;

	if (st->counting)
		return;
	TAILQ_FOREACH_SAFE(w, &st->waits, link, next) {
		void (*done)(void *arg) = w->done;
		void *arg = w->arg;

		if (w->timer)
			continue;
		wait_free(w);
		done(arg);
	}
}

static void stats_second_look(void *arg)
{
	struct stats_wait *w = arg;
	struct stats *st = w->stats;

	w->timer = loop_timer_free(w->timer);
	stats_look(st);
	stats_tell(st);
}

struct stats_wait *stats_ask(struct stats *st, void (*done)(void *arg), void *arg)
{
	struct stats_wait *w = xcalloc(1, sizeof(*w));
	int64_t age = st->look_ms ? time_mono_ms() - st->look_ms : INT64_MAX;

	*w = (struct stats_wait){.stats = st, .done = done, .arg = arg};
	TAILQ_INSERT_TAIL(&st->waits, w, link);
	stats_look(st);
	stats_count_disk(st);
	if (age > STATS_OLD_MS) { /* this look is the first of two */
		w->timer = loop_timer_new(st->agent->loop, stats_second_look, w);
		loop_timer_set(w->timer, STATS_GAP_MS);
	} else if (!st->counting) {
		wait_free(w);
		done(arg);
		return NULL;
	}
	return w;
}

void stats_forget_disk(struct stats *st)
{
	st->disk_ms = 0;
}

void stats_cancel(struct stats_wait *w)
{
	if (w)
		wait_free(w);
}

struct stats *stats_new(struct node_agent *n)
{
	struct stats *st = xcalloc(1, sizeof(*st));

	st->agent = n;
	st->entries = map_new(free);
	TAILQ_INIT(&st->waits);
	return st;
}

struct stats *stats_free(struct stats *st)
{
	if (!st)
		return NULL;
	while (!TAILQ_EMPTY(&st->waits))
		wait_free(TAILQ_FIRST(&st->waits));
	job_queue_free(st->jobs);
	map_free(st->entries);
	free(st);
	return NULL;
}
