/*
 * What sandboxes and containers use, from cgroup v2 and /proc. cpu.stat is there
 * even where version 1 holds the controllers; memory is then the sum of what the
 * processes have resident.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/path.h"
#include "run/internal.h"

#define USAGE_FILE_BYTES (256u << 10)
#define US_NS 1000

struct usage_key {
	const char *name;
	size_t at; /* in struct run_usage */
	int64_t scale;
};

static const struct usage_key cpu_keys[] = {
	{ "usage_usec", offsetof(struct run_usage, cpu_ns), US_NS },
	{ "user_usec", offsetof(struct run_usage, cpu_user_ns), US_NS },
	{ "system_usec", offsetof(struct run_usage, cpu_system_ns), US_NS },
	{ "nr_periods", offsetof(struct run_usage, throttle_periods), 1 },
	{ "nr_throttled", offsetof(struct run_usage, throttled_periods), 1 },
	{ "throttled_usec", offsetof(struct run_usage, throttled_ns), US_NS },
};
static const struct usage_key memory_keys[] = {
	{ "anon", offsetof(struct run_usage, rss), 1 },
	{ "file", offsetof(struct run_usage, cache), 1 },
	{ "inactive_file", offsetof(struct run_usage, working_set), 1 }, /* what does not belong to it */
	{ "pgfault", offsetof(struct run_usage, page_faults), 1 },
	{ "pgmajfault", offsetof(struct run_usage, major_faults), 1 },
};

/* Lines "key number". */
static void usage_keys(int dir, const char *file, const struct usage_key *keys, size_t n, struct run_usage *u)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct str rest;

	if (path_read_at(dir, file, USAGE_FILE_BYTES, &b, &e) < 0)
		return;
	rest = buf_str(&b);
	while (rest.p) {
		struct str line = str_cut(&rest, '\n'), key = str_cut(&line, ' ');
		int64_t v;

		for (size_t i = 0; i < n; i++)
			if (str_eqc(key, keys[i].name) && str_to_i64(line, &v))
				*(int64_t *)((char *)u + keys[i].at) = v * keys[i].scale;
	}
}

static bool usage_number(int dir, const char *file, int64_t *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	return path_read_at(dir, file, 64, &b, &e) >= 0 && str_to_i64(str_trim(buf_str(&b)), ret);
}

static void usage_process(struct str pid, struct run_usage *u)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	char path[64];
	long long size, resident, shared;

	snprintf(path, sizeof(path), "/proc/%.20s/statm", pid.p);
	if (path_read(path, 256, &b, &e) < 0 || sscanf(b.s, "%lld %lld %lld", &size, &resident, &shared) != 3)
		return;
	u->memory += resident * sysconf(_SC_PAGESIZE);
	u->rss += (resident - shared) * sysconf(_SC_PAGESIZE);
}

/* Processes of the group itself; those of groups below it are counted there. */
static void usage_processes(int dir, bool memory, struct run_usage *u)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct str rest;

	if (path_read_at(dir, "cgroup.procs", USAGE_FILE_BYTES, &b, &e) < 0)
		return;
	rest = buf_str(&b);
	while (rest.p) {
		struct str pid = str_cut(&rest, '\n');
		_cleanup_free_ char *text = str_dup(pid);

		if (!pid.n)
			continue;
		u->processes++;
		if (memory)
			usage_process(str_of(text), u);
	}
}

static bool usage_read(int root, const char *path, struct run_usage *u)
{
	_cleanup_close_ int dir = path && root >= 0 ? openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	bool controller;

	*u = (struct run_usage){ 0 };
	if (dir < 0)
		return false;
	usage_keys(dir, "cpu.stat", cpu_keys, ARRAY_SIZE(cpu_keys), u);
	controller = usage_number(dir, "memory.current", &u->memory);
	usage_number(dir, "memory.swap.current", &u->swap);
	usage_keys(dir, "memory.stat", memory_keys, ARRAY_SIZE(memory_keys), u);
	usage_processes(dir, !controller, u);
	u->working_set = u->memory > u->working_set ? u->memory - u->working_set : 0;
	return true;
}

bool container_usage(const struct container *c, struct run_usage *u)
{
	_cleanup_free_ char *path = container_cgroup(c->s, c->id);

	return c->state == CONTAINER_RUNNING && usage_read(c->s->r->cgroup_root, path, u);
}

static void usage_add(struct run_usage *sum, const struct run_usage *u)
{
	sum->memory += u->memory;
	sum->working_set += u->working_set;
	sum->rss += u->rss;
	sum->processes += u->processes;
}

bool sandbox_usage(const struct sandbox *s, struct run_usage *u)
{
	const struct container *c;
	struct run_usage one;
	bool controller;

	if (!usage_read(s->r->cgroup_root, s->cgroup, u))
		return false;
	controller = u->rss || u->cache || u->page_faults;
	TAILQ_FOREACH(c, &s->containers, link)
		if (container_usage(c, &one)) {
			u->processes += controller ? one.processes : 0;
			if (!controller)
				usage_add(u, &one);
		}
	return true;
}

size_t sandbox_net_usage(const struct sandbox *s, struct run_net_usage *v, size_t max)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	char path[64];
	struct str rest;
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/net/dev", (int)s->pid);
	if (s->netns < 0 || path_read(path, USAGE_FILE_BYTES, &b, &e) < 0)
		return 0;
	rest = buf_str(&b);
	while (rest.p && n < max) {
		struct str line = str_cut(&rest, '\n'), name = str_trim(str_cut(&line, ':'));
		_cleanup_free_ char *text = line.p ? str_dup(line) : NULL;
		struct run_net_usage *u = &v[n];
		long long f[16];

		if (!text || str_eqc(name, "lo") || name.n >= sizeof(u->name) ||
		    sscanf(text, "%lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld %lld", &f[0], &f[1], &f[2], &f[3],
			   &f[4], &f[5], &f[6], &f[7], &f[8], &f[9], &f[10], &f[11]) != 12)
			continue;
		*u = (struct run_net_usage){ "", f[0], f[1], f[2], f[3], f[8], f[9], f[10], f[11] };
		memcpy(u->name, name.p, name.n);
		u->name[name.n] = '\0';
		n++;
	}
	return n;
}

char *container_upper(const struct container *c)
{
	return xasprintf("%s/containers/%s/upper", c->s->dir, c->id);
}
