/*
 * Removing what a container or sandbox left: a job off the loop, because a root
 * file system may have many files and a cgroup is only free when its last
 * process has died.
 */
#include "base/log.h"
#include "base/path.h"
#include "base/vec.h"
#include "run/internal.h"

#define CLEANUP_WAIT_MS 5000

struct cleanup {
	struct runtime *r;
	VEC(char *) trees;
	char *dir, *cgroup;
	struct err e; /* the first */
	void (*done)(void *arg);
	void *arg;
};

struct cleanup *cleanup_new(struct runtime *r)
{
	struct cleanup *c = xcalloc(1, sizeof(*c));

	c->r = r;
	return c;
}

void cleanup_add_tree(struct cleanup *c, char *path_take)
{
	VEC_PUSH(&c->trees, path_take);
}

void cleanup_add_dir(struct cleanup *c, char *path_take)
{
	free(c->dir);
	c->dir = path_take;
}

void cleanup_set_cgroup(struct cleanup *c, char *path_take)
{
	free(c->cgroup);
	c->cgroup = path_take;
}

static void cleanup_work(void *arg)
{
	struct cleanup *c = arg;

	if (c->cgroup)
		cgroup_remove(c->r->cgroup_root, c->cgroup, CLEANUP_WAIT_MS);
	for (size_t i = 0; i < c->trees.n; i++) {
		_cleanup_err_ struct err e = ERR_INIT;

		if (path_remove_tree(c->trees.v[i], &e) < 0 && !err_is_set(&c->e))
			err_move(&c->e, &e);
	}
	if (c->dir)
		(void)rmdir(c->dir); /* others may have things there */
}

static void cleanup_done(void *arg)
{
	struct cleanup *c = arg;

	if (err_is_set(&c->e))
		log_warn("what a container left was not removed, ignoring", LE(&c->e));
	if (c->done && !c->r->closing)
		c->done(c->arg);
	for (size_t i = 0; i < c->trees.n; i++)
		free(c->trees.v[i]);
	VEC_RELEASE(&c->trees);
	err_release(&c->e);
	free(c->dir);
	free(c->cgroup);
	free(c);
}

void cleanup_run(struct cleanup *c, void (*done)(void *arg), void *arg)
{
	c->done = done;
	c->arg = arg;
	if (job_submit(c->r->disk, cleanup_work, cleanup_done, c) == 0)
		return;
	cleanup_work(c);
	cleanup_done(c);
}
