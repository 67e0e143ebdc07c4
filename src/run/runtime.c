/*
 * The runtime: what all sandboxes share.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/path.h"
#include "run/internal.h"

#define RUNTIME_JOBS_MAX 65536

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* The keeper's program in memory, sealed, so that no container that sees it can change it. */
static int runtime_keeper_fd(struct err *e)
{
	size_t n = keeper_blob_end - keeper_blob;
	_cleanup_close_ int fd = memfd_create("kinglet-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	int r;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("kinglet-keeper", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	r = fd < 0 ? -errno : fd_write_all(fd, keeper_blob, n);
	if (r == 0 && (fchmod(fd, 0500) < 0 ||
		       fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0))
		r = -errno;
	return r < 0 ? err_errno(e, -r, "prepare the keeper's program") : take_fd(&fd);
}

int run_new(struct runtime **ret, const struct run_config *cfg, struct err *e)
{
	struct runtime *r = xcalloc(1, sizeof(*r));
	int res;

	r->loop = cfg->loop;
	r->state_dir = xstrdup(cfg->state_dir);
	r->pods_dir = path_join(cfg->state_dir, "pods");
	r->cgroup_name = xstrdup(cfg->cgroup_name ? cfg->cgroup_name : "kinglet");
	r->on_exit = cfg->on_exit;
	r->on_sandbox_lost = cfg->on_sandbox_lost;
	r->arg = cfg->arg;
	r->cgroup_root = r->keepers_cgroup = r->keeper_fd = r->devices = -1;
	TAILQ_INIT(&r->sandboxes);
	r->disk = job_queue_new(r->loop, "run-disk", 1, RUNTIME_JOBS_MAX);
	res = path_mkdirs(r->pods_dir, 0700, e);
	if (res == 0)
		res = r->keeper_fd = runtime_keeper_fd(e);
	if (res < 0) {
		run_free(r);
		return res;
	}
	machine_probe(r);
	r->devices = devices_load(NULL, 0);
	*ret = r;
	return 0;
}

struct runtime *run_free(struct runtime *r)
{
	struct sandbox *s;

	if (!r)
		return NULL;
	r->closing = true; /* whoever asked for what still runs is gone */
	job_queue_free(r->disk);
	loop_undefer(r->loop, &r->rec_task);
	while ((s = TAILQ_FIRST(&r->sandboxes))) {
		s->refs = 1;
		sandbox_free(s);
	}
	seccomp_cache_free(r->seccomp);
	close_fd(r->cgroup_root);
	close_fd(r->keepers_cgroup);
	close_fd(r->keeper_fd);
	if (r->devices >= 0)
		close(r->devices);
	free(r->machine.missing);
	free(r->state_dir);
	free(r->pods_dir);
	free(r->cgroup_name);
	free(r);
	return NULL;
}

int run_group_limits(struct runtime *r, const char *path, const struct run_limits *l, struct err *e)
{
	_cleanup_free_ char *full = path_join(r->cgroup_name, path);
	_cleanup_close_ int fd = -1;
	int res;

	if (r->cgroup_root < 0)
		return 0;
	res = fd = cgroup_make(r->cgroup_root, full, e);
	if (res < 0)
		return res;
	cgroup_delegate(fd);
	return cgroup_set_limits(fd, l, e);
}
