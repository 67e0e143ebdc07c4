/*
 * What is left of memory, disk and processes. A few small files and two calls, so
 * that it can be looked at with each renewal of the lease. Memory is what the
 * kernel says could be had (MemAvailable); the kubelet counts caches in active use
 * as used, and evicts pods while there is memory.
 */
#include <sys/stat.h>

#include "node/pressure.h"
#include "node/stats.h"

static int64_t number_in(const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	int64_t v;

	return path_read(path, 64, &b, &e) == 0 && str_to_i64(str_trim(buf_str(&b)), &v) ? v : 0;
}

int64_t observe_pid_max(void)
{
	int64_t pids = number_in("/proc/sys/kernel/pid_max"), threads = number_in("/proc/sys/kernel/threads-max");

	return threads && threads < pids ? threads : pids;
}

/* "0.00 0.01 0.05 1/234 5678": 234 threads */
static int64_t threads_now(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	long long running, all;

	if (path_read("/proc/loadavg", 256, &b, &e) < 0 || sscanf(b.s, "%*s %*s %*s %lld/%lld", &running, &all) != 2)
		return 0;
	return all;
}

static void observe_memory(struct node_agent *n, struct observation o[SIGNALS])
{
	int64_t limit = reserve_pods_memory(n), available, used = 0;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	const char *s;

	if (path_read("/proc/meminfo", 64 << 10, &b, &e) < 0 || !(s = strstr(b.s, "MemAvailable:")))
		return;
	available = strtoll(s + strlen("MemAvailable:"), NULL, 10) * 1024;
	o[SIGNAL_MEMORY] = (struct observation){n->memory_bytes > 0, available, n->memory_bytes};
	if (!limit || limit == n->memory_bytes) /* nothing is kept back: the same question */
		return;
	for (struct map_iter it = {0}; map_next(n->by_uid, &it);) {
		struct pod *p = it.value;
		struct run_usage u;

		if (p->sandbox && sandbox_usage(p->sandbox, &u))
			used += u.working_set;
	}
	o[SIGNAL_ALLOCATABLE] = (struct observation){true, max_i64(limit - used, 0), limit};
}

static void observe_disk(const char *dir, struct observation *space, struct observation *inodes)
{
	struct stats_fs fs;

	if (!stats_fs_of(dir, &fs))
		return;
	*space = (struct observation){fs.capacity > 0, fs.available, fs.capacity};
	*inodes = (struct observation){fs.inodes > 0, fs.inodes_free, fs.inodes}; /* some file systems have no such number */
}

bool observe_image_disk(struct node_agent *n)
{
	_cleanup_free_ char *dir = path_join(n->state_dir, "images");
	struct stat a, b;

	return stat(n->state_dir, &a) == 0 && stat(dir, &b) == 0 && a.st_dev != b.st_dev;
}

void observe(struct node_agent *n, struct observation o[SIGNALS])
{
	_cleanup_free_ char *images = path_join(n->state_dir, "images");
	int64_t pids = observe_pid_max();

	memset(o, 0, SIGNALS * sizeof(*o));
	observe_memory(n, o);
	observe_disk(n->state_dir, &o[SIGNAL_NODEFS], &o[SIGNAL_NODEFS_INODES]);
	observe_disk(images, &o[SIGNAL_IMAGEFS], &o[SIGNAL_IMAGEFS_INODES]);
	if (pids)
		o[SIGNAL_PID] = (struct observation){true, max_i64(pids - threads_now(), 0), pids};
}
