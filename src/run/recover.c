/*
 * Finding the sandboxes of a former life: each directory below pods/ that has a
 * state file or a socket. A keeper that answers gives its state; of one that is
 * dead the state file tells what it knew, and what ran then is dead too.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>

#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "run/internal.h"

static void recover_one_done(struct sandbox *s)
{
	struct runtime *r = s->r;

	s->recovering = false;
	loop_timer_clear(s->timer);
	s->refs++;
	r->rec_found(r->rec_arg, s);
	sandbox_tell_exits(s);
	if (s->lost && !s->destroying && r->on_sandbox_lost)
		r->on_sandbox_lost(r->arg, s);
	sandbox_free(s);
	if (--r->rec_pending == 0)
		r->rec_done(r->rec_arg);
}

static void recover_dead(struct sandbox *s)
{
	peer_close(s);
	s->lost = true;
	if (s->pidfd >= 0)
		(void)pidfd_signal(s->pidfd, SIGKILL);
	sandbox_load(s);
	cgroup_kill(s->r->cgroup_root, s->cgroup);
	recover_one_done(s);
}

static void recover_answered(void *arg, struct frame *f, const struct err *e)
{
	struct sandbox *s = arg;

	if (e) {
		recover_dead(s);
		return;
	}
	s->netns = frame_take(f, ROLE_NETNS);
	s->up = true;
	sandbox_read_state(s, f->body);
	recover_one_done(s);
}

static void recover_one(struct runtime *r, const char *id)
{
	struct sandbox *s = sandbox_new(r, id);
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	int ret;

	r->rec_pending++;
	s->recovering = true;
	s->timer = loop_timer_new(r->loop, sandbox_timed_out, s);
	sandbox_load_notes(s);
	ret = peer_connect(s);
	if (ret < 0) {
		err_errno(&e, -ret, "connect to the keeper of pod %s", id);
		peer_fail(s, recover_answered, s, &e);
		return;
	}
	sandbox_watch_keeper(s);
	loop_timer_set(s->timer, RUN_RECOVER_MS);
	peer_begin(s, &b, FRAME_STATE);
	peer_ask(s, &b, NULL, 0, recover_answered, s);
	buf_release(&b);
}

static bool recover_is_ours(const struct runtime *r, const char *id)
{
	static const char *const files[] = { "keeper.sock", "state", "keeper.log" };
	bool found = false;

	if (id[0] == '.')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(files) && !found; i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s/%s", r->pods_dir, id, files[i]);

		found = path_exists(path);
	}
	return found;
}

/* Neither socket nor state: the daemon died before there was a keeper to speak of. Not in the background: the
 * same pod may be set up again at once. */
static void recover_stillborn(struct runtime *r, const char *id)
{
	_cleanup_free_ char *path = path_join(r->pods_dir, id);
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_remove_tree(path, &e) < 0)
		log_warn("what a sandbox left was not removed, ignoring", LE(&e));
}

static void recover_nothing(struct loop_task *t)
{
	struct runtime *r = CONTAINER_OF(t, struct runtime, rec_task);

	if (--r->rec_pending == 0)
		r->rec_done(r->rec_arg);
}

void run_recover(struct runtime *r, void (*found)(void *arg, struct sandbox *s), void (*done)(void *arg),
		 void *arg)
{
	DIR *dir = opendir(r->pods_dir);
	struct dirent *d;

	r->rec_found = found;
	r->rec_done = done;
	r->rec_arg = arg;
	r->rec_pending = 1; /* the one for there being none */
	while (dir && (d = readdir(dir)))
		if (recover_is_ours(r, d->d_name))
			recover_one(r, d->d_name);
		else if (d->d_name[0] != '.')
			recover_stillborn(r, d->d_name);
	if (dir)
		closedir(dir);
	r->rec_task.run = recover_nothing;
	loop_defer(r->loop, &r->rec_task);
}
