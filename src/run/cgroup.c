/*
 * Control groups, version 2, by directory fds of the unified hierarchy.
 *
 *	<name>/keepers                                  all keepers
 *	<name>/<parent...>/pod<id>/<container id>       e.g. kinglet/kubepods/burstable/podX/Y
 *
 * Where the hierarchy is not mounted it is mounted without a place in the file
 * system: it exists without controllers too, and killing by group needs none.
 * A controller that version 1 holds, or that the kernel has switched off, is not
 * there; its limits are then left out (machine.c says so). Version 1 hierarchies
 * are never touched.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/path.h"
#include "base/time.h"
#include "run/internal.h"

static const struct cgroup_controller {
	const char *name;
	unsigned bit;
} cgroup_names[] = { { "cpu", CGROUP_CPU }, { "memory", CGROUP_MEMORY }, { "pids", CGROUP_PIDS },
		   { "hugetlb", CGROUP_HUGETLB } };

/* The place of the first mount of type cgroup2; NULL when there is none. */
static char *cgroup_find_mount(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct str rest;

	if (path_read("/proc/self/mountinfo", 8 << 20, &b, &e) < 0)
		return NULL;
	rest = buf_str(&b);
	while (rest.p) {
		struct str line = str_cut(&rest, '\n'), place = STR_NONE;
		_cleanup_free_ char *copy = str_dup(line);

		if (!strstr(copy, " - cgroup2 "))
			continue;
		for (int i = 0; i < 5; i++)
			place = str_cut(&line, ' ');
		return str_dup(place);
	}
	return NULL;
}

int cgroup_open_root(void)
{
	_cleanup_free_ char *place = cgroup_find_mount();
	_cleanup_close_ int fs = -1;
	int fd = place ? open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0)
		return fd;
	fs = (int)syscall(SYS_fsopen, "cgroup2", 1 /* FSOPEN_CLOEXEC */);
	if (fs < 0 || syscall(SYS_fsconfig, fs, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) < 0)
		return -errno;
	fd = (int)syscall(SYS_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, 0);
	return fd < 0 ? -errno : fd;
}

static bool cgroup_write(int dir, const char *file, const char *text)
{
	_cleanup_close_ int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) >= 0;
}

static ssize_t cgroup_read(int dir, const char *file, char *out, size_t max)
{
	_cleanup_close_ int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, max - 1);

	out[n < 0 ? 0 : n] = '\0';
	return n;
}

unsigned cgroup_controllers(int dirfd, const char *file)
{
	char text[512];
	struct str rest;
	unsigned got = 0;

	if (cgroup_read(dirfd, file, text, sizeof(text)) <= 0)
		return 0;
	rest = str_trim(str_of(text));
	while (rest.p) {
		struct str word = str_cut(&rest, ' ');

		for (size_t i = 0; i < ARRAY_SIZE(cgroup_names); i++)
			if (str_eqc(word, cgroup_names[i].name))
				got |= cgroup_names[i].bit;
	}
	return got;
}

void cgroup_delegate(int dirfd)
{
	unsigned have = cgroup_controllers(dirfd, "cgroup.controllers");
	unsigned on = cgroup_controllers(dirfd, "cgroup.subtree_control");

	for (size_t i = 0; i < ARRAY_SIZE(cgroup_names); i++) {
		char text[16];

		if (!(have & ~on & cgroup_names[i].bit))
			continue;
		snprintf(text, sizeof(text), "+%s", cgroup_names[i].name);
		(void)cgroup_write(dirfd, "cgroup.subtree_control", text);
	}
}

int cgroup_make(int root, const char *path, struct err *e)
{
	struct str rest = str_of(path);
	_cleanup_close_ int dir = fcntl(root, F_DUPFD_CLOEXEC, 3);

	while (dir >= 0 && rest.p) {
		struct str part = str_cut(&rest, '/');
		_cleanup_free_ char *name = str_dup(part);
		int next;

		if (!part.n)
			continue;
		if (streq(name, ".."))
			return err_set(e, ERR_INVALID, "bad cgroup path \"%s\"", path);
		cgroup_delegate(dir);
		if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
			return err_errno(e, errno, "make cgroup \"%s\"", path);
		next = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (next < 0)
			return err_errno(e, errno, "open cgroup \"%s\"", path);
		close(dir);
		dir = next;
	}
	return dir < 0 ? err_errno(e, errno, "open cgroup \"%s\"", path) : take_fd(&dir);
}

/* A file that is not there belongs to a controller that is not there. */
static int cgroup_set(int dir, const char *file, struct err *e, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
	va_list ap;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, errno, "open %s", file);
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	if (write(fd, text, strlen(text)) < 0)
		return err_errno(e, errno, "set %s to \"%s\"", file, text);
	return 0;
}

static int cgroup_set_max(int dir, const char *file, int64_t v, struct err *e)
{
	if (!v)
		return 0;
	return v < 0 ? cgroup_set(dir, file, e, "max") : cgroup_set(dir, file, e, "%lld", (long long)v);
}

/* "2MB", "1GB", "64KB": the kernel's names of page sizes. 0: none. */
static uint64_t cgroup_page_size(struct str name)
{
	static const char units[] = "KMG";
	const char *unit;
	uint64_t n;

	if (name.n < 3 || name.p[name.n - 1] != 'B' || !(unit = memchr(units, name.p[name.n - 2], 3)) ||
	    !str_to_u64(str_n(name.p, name.n - 2), &n))
		return 0;
	return n << 10 * (unit - units + 1);
}

/* Of each page size there are two files: what is used, and what is reserved by mmap. */
static int cgroup_set_hugetlb(int dir, const struct run_limits *l, struct err *e)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *x;

	while (d && r == 0 && (x = readdir(d))) {
		struct str rest = str_of(x->d_name), first = str_cut(&rest, '.'), size = str_cut(&rest, '.');
		uint64_t page = str_eqc(first, "hugetlb") ? cgroup_page_size(size) : 0;
		int64_t max = 0;

		if (!page || !(str_eqc(rest, "max") || str_eqc(rest, "rsvd.max")))
			continue;
		for (size_t i = 0; i < l->n_hugetlb; i++)
			if (l->hugetlb[i].page_bytes == page)
				max = l->hugetlb[i].max_bytes;
		r = cgroup_set(dir, x->d_name, e, "%lld", (long long)max);
	}
	if (d)
		closedir(d);
	else
		close_fd(copy);
	return r;
}

static int cgroup_set_cpu(int dirfd, const struct run_limits *l, struct err *e)
{
	int64_t period = l->cpu_period_us ? l->cpu_period_us : 100000;
	int r = 0;

	if (l->cpu_weight)
		r = cgroup_set(dirfd, "cpu.weight", e, "%llu", (unsigned long long)l->cpu_weight);
	if (r < 0 || !l->cpu_quota_us)
		return r;
	if (l->cpu_quota_us < 0)
		return cgroup_set(dirfd, "cpu.max", e, "max %lld", (long long)period);
	return cgroup_set(dirfd, "cpu.max", e, "%lld %lld", (long long)l->cpu_quota_us, (long long)period);
}

int cgroup_set_limits(int dirfd, const struct run_limits *l, struct err *e)
{
	int r = cgroup_set_cpu(dirfd, l, e);

	if (r == 0)
		r = cgroup_set_max(dirfd, "memory.min", l->memory_min, e);
	if (r == 0)
		r = cgroup_set_max(dirfd, "memory.max", l->memory_max, e);
	if (r == 0)
		r = cgroup_set_max(dirfd, "memory.swap.max", l->memory_swap_max, e);
	if (r == 0)
		r = cgroup_set_max(dirfd, "pids.max", l->pids_max, e);
	if (r == 0 && l->hugetlb_set)
		r = cgroup_set_hugetlb(dirfd, l, e);
	return r;
}

int cgroup_change_limits(int root, const char *path, const struct run_limits *l, struct err *e)
{
	_cleanup_close_ int dir = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[64];
	int64_t used;

	if (dir < 0)
		return err_errno(e, errno, "open cgroup \"%s\"", path);
	if (l->memory_max > 0 && cgroup_read(dir, "memory.current", text, sizeof(text)) > 0 &&
	    str_to_i64(str_trim(str_of(text)), &used) && used > l->memory_max)
		return err_set(e, ERR_INVALID,
			       "attempting to set memory limit (%lld) below current usage (%lld)",
			       (long long)l->memory_max, (long long)used);
	return cgroup_set_limits(dir, l, e);
}

int cgroup_set_container(int dirfd, const struct run_limits *l, struct err *e)
{
	int r = cgroup_set_limits(dirfd, l, e);

	/* As the kubelet: out of memory, a container dies whole; and it does not swap. */
	if (r == 0)
		r = cgroup_set(dirfd, "memory.oom.group", e, "1");
	if (r == 0 && !l->memory_swap_max)
		r = cgroup_set(dirfd, "memory.swap.max", e, "0");
	return r;
}

static int cgroup_open(int root, const char *path)
{
	return root < 0 || str_empty(path) ? -1 : openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int cgroup_update(int root, const char *path, const struct run_limits *l, const char *what, struct err *e)
{
	_cleanup_close_ int dir = cgroup_open(root, path);
	int64_t used;
	char text[32];

	if (dir < 0)
		return root < 0 ? 0 : err_errno(e, errno, "open cgroup \"%s\"", path ? path : "");
	if (l->memory_max > 0 && cgroup_read(dir, "memory.current", text, sizeof(text)) > 0 &&
	    str_to_i64(str_trim(str_of(text)), &used) && used > l->memory_max)
		return err_set(e, ERR_CONFLICT, "attempting to set %s memory limit (%lld) below current usage (%lld)", what,
			       (long long)l->memory_max, (long long)used);
	return cgroup_set_limits(dir, l, e);
}

/* Linux before 5.14 has no cgroup.kill. */
static void cgroup_kill_each(int dir)
{
	char text[16384];
	struct str rest;

	for (int round = 0; round < 100 && cgroup_read(dir, "cgroup.procs", text, sizeof(text)) > 0;
	     round++) {
		rest = str_of(text);
		while (rest.p) {
			int64_t pid;

			if (str_to_i64(str_cut(&rest, '\n'), &pid) && pid > 0)
				kill((pid_t)pid, SIGKILL);
		}
	}
}

static void cgroup_each_child(int dir, void (*f)(int dir, const char *name, void *arg), void *arg)
{
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *x;

	while (d && (x = readdir(d)))
		if (x->d_type == DT_DIR && x->d_name[0] != '.')
			f(dir, x->d_name, arg);
	if (d)
		closedir(d);
	else
		close_fd(copy);
}

static void cgroup_kill_below(int dir, const char *name, void *arg)
{
	_cleanup_close_ int sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (sub < 0)
		return;
	cgroup_kill_each(sub);
	cgroup_each_child(sub, cgroup_kill_below, NULL);
}

void cgroup_kill(int root, const char *path)
{
	_cleanup_close_ int dir = cgroup_open(root, path);

	if (dir < 0 || cgroup_write(dir, "cgroup.kill", "1"))
		return;
	cgroup_kill_each(dir);
	cgroup_each_child(dir, cgroup_kill_below, NULL);
}

/* Until no process is in it or below. */
static void cgroup_wait_empty(int dir, int wait_ms)
{
	int64_t until = time_mono_ms() + wait_ms;
	_cleanup_close_ int fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);

	while (fd >= 0) {
		struct pollfd p = { fd, POLLPRI, 0 };
		int64_t left = until - time_mono_ms();
		char text[128];
		ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

		text[n < 0 ? 0 : n] = '\0';
		if (n <= 0 || !strstr(text, "populated 1") || left <= 0)
			return;
		(void)poll(&p, 1, (int)left);
	}
}

static void cgroup_remove_below(int dir, const char *name, void *arg)
{
	int sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (sub >= 0)
		cgroup_each_child(sub, cgroup_remove_below, NULL);
	close_fd(sub);
	(void)unlinkat(dir, name, AT_REMOVEDIR);
}

void cgroup_remove(int root, const char *path, int wait_ms)
{
	int dir = cgroup_open(root, path);

	if (dir < 0)
		return;
	cgroup_wait_empty(dir, wait_ms);
	cgroup_each_child(dir, cgroup_remove_below, NULL);
	close(dir);
	(void)unlinkat(root, path, AT_REMOVEDIR);
}
