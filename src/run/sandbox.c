/*
 * A sandbox's life: its keeper is spawned and told what to make; later it is
 * asked for things; at the end it is told to end, and what is left is removed.
 *
 *	<state_dir>/pods/<id>/keeper.sock      where daemons find the keeper
 *	                      keeper.log       its last words, empty unless it broke
 *	                      state            containers and exits, for when it is dead
 *	                      notes            the node's own, written by the daemon
 *	                      containers/<cid>/{upper,work,root}
 *
 * Other parts may keep things of the pod in the same directory; it is removed
 * only when it is empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/time.h"
#include "run/internal.h"

#define SHM_BYTES (64 << 20)
#define STATE_FILE_MAX (1 << 20)

const char *const sandbox_files[] = { "containers", "keeper.log", "notes.new",	 "notes",
				      "state.new",  "keeper.sock", "state",	 NULL };

struct sandbox *sandbox_new(struct runtime *r, const char *id)
{
	struct sandbox *s = xcalloc(1, sizeof(*s));

	s->r = r;
	s->refs = 1;
	s->id = xstrdup(id);
	s->dir = path_join(r->pods_dir, id);
	s->sock = s->netns = s->pidfd = -1;
	TAILQ_INIT(&s->requests);
	TAILQ_INIT(&s->failed);
	TAILQ_INIT(&s->containers);
	TAILQ_INIT(&s->execs);
	TAILQ_INSERT_TAIL(&r->sandboxes, s, link);
	return s;
}

struct sandbox *sandbox_free(struct sandbox *s)
{
	struct container *c;
	struct request *q;

	if (!s || --s->refs > 0)
		return NULL;
	TAILQ_REMOVE(&s->r->sandboxes, s, link);
	peer_close(s);
	exec_abandon_all(s);
	loop_undefer(s->r->loop, &s->failed_task);
	TAILQ_CONCAT(&s->failed, &s->requests, link);
	while ((q = TAILQ_FIRST(&s->failed))) {
		TAILQ_REMOVE(&s->failed, q, link);
		err_release(&q->failed);
		free(q);
	}
	while ((c = TAILQ_FIRST(&s->containers)))
		container_free_(c);
	loop_fd_free(s->pid_watch);
	loop_timer_free(s->timer);
	close_fd(s->pidfd);
	close_fd(s->netns);
	map_free(s->notes);
	free(s->id);
	free(s->name);
	free(s->dir);
	free(s->cgroup);
	free(s);
	return NULL;
}

void sandbox_read_state(struct sandbox *s, struct fields f)
{
	const char *name = fields_str(f, F_NAME), *cgroup = fields_str(f, F_CGROUP);
	struct field x;

	if (!s->name)
		s->name = xstrdup(name ? name : s->id);
	if (!s->cgroup)
		s->cgroup = xstrdup_null(cgroup);
	s->share = fields_int(f, F_SHARE, s->share);
	while (fields_next(&f, &x))
		if (x.tag == F_CONTAINER)
			container_apply(s, field_nested(&x));
}

/* What a dead keeper left. What ran when it wrote its last word runs no more. */
void sandbox_load(struct sandbox *s)
{
	_cleanup_free_ char *path = path_join(s->dir, "state");
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct container *c;

	if (path_read(path, STATE_FILE_MAX, &b, &e) == 0 && b.len >= sizeof(struct frame_head) &&
	    b.s[0] == FRAME_VERSION)
		sandbox_read_state(s, (struct fields){ (unsigned char *)b.s + sizeof(struct frame_head),
						       b.len - sizeof(struct frame_head) });
	if (!s->name)
		s->name = xstrdup(s->id);
	TAILQ_FOREACH(c, &s->containers, link) {
		if (c->state == CONTAINER_EXITED)
			continue;
		c->state = CONTAINER_EXITED;
		c->exit_code = 137;
		c->signal = 9;
		c->finished_ns = time_wall_ns();
	}
}

/* Exits that nobody was told of yet. */
void sandbox_tell_exits(struct sandbox *s)
{
	struct container *c, *next;

	s->refs++;
	TAILQ_FOREACH_REVERSE_SAFE(c, &s->containers, container_list, link, next)
	{
		struct container_status st;
		_cleanup_buf_ struct buf b = BUF_INIT;

		if (c->state != CONTAINER_EXITED || c->acked)
			continue;
		c->acked = true;
		peer_begin(s, &b, FRAME_ACK);
		frame_add_str(&b, F_CID, c->id);
		container_status(c, &st);
		if (s->r->on_exit)
			s->r->on_exit(s->r->arg, s, &st);
		peer_tell(s, &b);
	}
	sandbox_free(s);
}

const char *sandbox_id(const struct sandbox *s)
{
	return s->id;
}

pid_t sandbox_pid(const struct sandbox *s)
{
	return s->pid;
}

int sandbox_netns(struct sandbox *s)
{
	return s->share & SHARE_NET ? -1 : s->netns;
}

int sandbox_update(struct sandbox *s, const struct run_limits *l, struct err *e)
{
	return cgroup_update(s->r->cgroup_root, s->cgroup, l, "pod", e);
}

/* --- notes --- */

void sandbox_load_notes(struct sandbox *s)
{
	_cleanup_free_ char *path = path_join(s->dir, "notes");
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct fields it;
	struct field f;
	char *key = NULL;

	if (path_read(path, STATE_FILE_MAX, &b, &e) < 0)
		return;
	it = (struct fields){ (unsigned char *)b.s, b.len };
	while (fields_next(&it, &f)) {
		if (f.tag == F_NOTE_KEY) {
			free(key);
			key = xstrdup(field_str(&f));
		} else if (f.tag == F_NOTE_VALUE && key) {
			s->notes = s->notes ? s->notes : map_new(free);
			map_set(s->notes, str_of(key), xstrdup(field_str(&f)));
		}
	}
	free(key);
}

/* Renamed into place, but not forced to the disk: notes are of use as long as the pod runs. */
static int sandbox_save_notes(struct sandbox *s, struct err *e)
{
	_cleanup_free_ char *path = path_join(s->dir, "notes"), *tmp = path_join(s->dir, "notes.new");
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct map_iter it = { 0 };
	int r;

	while (map_next(s->notes, &it)) {
		_cleanup_free_ char *key = str_dup(it.key);

		frame_add_str(&b, F_NOTE_KEY, key);
		frame_add_str(&b, F_NOTE_VALUE, it.value);
	}
	r = path_write(tmp, buf_str(&b), 0600, e);
	if (r == 0 && rename(tmp, path) < 0)
		r = err_errno(e, errno, "rename '%s'", tmp);
	return r;
}

int sandbox_set_note(struct sandbox *s, const char *key, const char *value, struct err *e)
{
	if (streq_null(sandbox_note(s, key), value))
		return 0;
	s->notes = s->notes ? s->notes : map_new(free);
	if (value)
		map_set(s->notes, str_of(key), xstrdup(value));
	else
		map_del(s->notes, str_of(key));
	return sandbox_save_notes(s, e);
}

const char *sandbox_note(const struct sandbox *s, const char *key)
{
	return map_getc(s->notes, key);
}

/* --- the keeper --- */

static void sandbox_finish(struct sandbox *s);

static void sandbox_keeper_ended(void *arg, int what)
{
	struct sandbox *s = arg;

	s->pid_watch = loop_fd_free(s->pid_watch);
	s->refs++;
	peer_close(s);
	if (!s->lost)
		sandbox_lose(s);
	if (s->destroying)
		sandbox_finish(s);
	sandbox_free(s);
}

void sandbox_watch_keeper(struct sandbox *s)
{
	s->pidfd = pidfd_open_(s->pid);
	if (s->pidfd >= 0)
		s->pid_watch = loop_fd_new(s->r->loop, s->pidfd, LOOP_READ, sandbox_keeper_ended, s);
}

void sandbox_lose(struct sandbox *s)
{
	struct container *c;
	bool was_up = s->up;

	if (s->lost)
		return;
	s->lost = true;
	s->up = false;
	s->refs++;
	peer_close(s);
	if (s->pidfd >= 0)
		(void)pidfd_signal(s->pidfd, SIGKILL);
	cgroup_kill(s->r->cgroup_root, s->cgroup);
	TAILQ_FOREACH(c, &s->containers, link) {
		if (c->state == CONTAINER_EXITED)
			continue;
		c->state = CONTAINER_EXITED;
		c->exit_code = 137;
		c->signal = SIGKILL;
		c->acked = true;
		c->finished_ns = time_wall_ns();
	}
	peer_fail_all(s, ESHUTDOWN, "the pod's keeper is gone");
	exec_lost(s);
	if (was_up && !s->destroying && s->r->on_sandbox_lost)
		s->r->on_sandbox_lost(s->r->arg, s);
	sandbox_free(s);
}

static unsigned sandbox_share(const struct run_sandbox_spec *spec)
{
	return (spec->host_network ? SHARE_NET : 0) | (spec->host_pid ? SHARE_PID_HOST : 0) |
	       (spec->host_ipc ? SHARE_IPC : 0) | (spec->share_pid && !spec->host_pid ? SHARE_PID_POD : 0);
}

static int sandbox_make_cgroup(struct sandbox *s, const struct run_sandbox_spec *spec, struct err *e)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (s->r->cgroup_root < 0)
		return 0;
	s->cgroup =
		xasprintf("%s/%s%spod%s", s->r->cgroup_name, spec->cgroup_parent ? spec->cgroup_parent : "",
			  str_empty(spec->cgroup_parent) ? "" : "/", s->id);
	r = fd = cgroup_make(s->r->cgroup_root, s->cgroup, e);
	if (r < 0)
		return r;
	cgroup_delegate(fd);
	return cgroup_set_limits(fd, &spec->limits, e);
}

static int sandbox_spawn(struct sandbox *s, struct err *e)
{
	_cleanup_free_ char *title = xasprintf("kinglet-keeper %s", s->name),
			    *log = path_join(s->dir, "keeper.log");
	_cleanup_close_ int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	const char *argv[] = { "/proc/self/fd/3", title, NULL };
	const char *env[] = { NULL };
	int pair[2], fds[2], r = 0;
	struct proc_opts o = {
		.argv = argv,
		.env = env,
		.fds = fds,
		.n_fds = 2,
		.in = -1,
		.out = -1,
		.err = out,
		.new_session = true,
		.cgroup_fd = s->r->keepers_cgroup < 0 ? 0 : s->r->keepers_cgroup,
	};
	struct proc *p;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return err_errno(e, errno, "make a socket");
	fds[0] = s->r->keeper_fd;
	fds[1] = pair[1];
	p = proc_spawn(s->r->loop, &o, NULL, NULL, e);
	close(pair[1]);
	if (!p) {
		close(pair[0]);
		return -e->code;
	}
	s->pid = proc_pid(p);
	sandbox_watch_keeper(s);
	proc_abandon(p); /* the pidfd tells its end */
	r = peer_open(s, pair[0]);
	return r;
}

static void sandbox_put_setup(struct sandbox *s, const struct run_sandbox_spec *spec, struct buf *b)
{
	peer_begin(s, b, FRAME_SETUP);
	frame_add_str(b, F_ID, s->id);
	frame_add_str(b, F_NAME, s->name);
	frame_add_str(b, F_DIR, s->dir);
	frame_add_str(b, F_CGROUP, s->cgroup);
	frame_add_str(b, F_HOSTNAME, spec->hostname);
	frame_add_int(b, F_SHARE, s->share);
	if (spec->id_base) {
		frame_add_int(b, F_ID_BASE, spec->id_base);
		frame_add_int(b, F_ID_COUNT, RUN_IDS);
	}
	frame_add_int(b, F_SHM_BYTES, spec->shm_bytes ? spec->shm_bytes : SHM_BYTES);
	for (size_t i = 0; spec->sysctls && spec->sysctls[i]; i++)
		frame_add_str(b, F_SYSCTL, spec->sysctls[i]);
}

/* The keeper is dead or dying: all that was made for it goes. */
static void sandbox_discard(struct sandbox *s, void (*done)(void *arg), void *arg)
{
	struct cleanup *c = cleanup_new(s->r);

	cgroup_kill(s->r->cgroup_root, s->cgroup);
	for (size_t i = 0; sandbox_files[i]; i++)
		cleanup_add_tree(c, path_join(s->dir, sandbox_files[i]));
	cleanup_add_dir(c, xstrdup(s->dir));
	cleanup_set_cgroup(c, xstrdup_null(s->cgroup));
	cleanup_run(c, done, arg);
}

/* s ends here when it failed. */
static void sandbox_set_up(void *arg, struct frame *f, const struct err *e)
{
	struct sandbox *s = arg;

	loop_timer_clear(s->timer);
	if (!e) {
		s->netns = frame_take(f, ROLE_NETNS);
		s->up = true;
		s->created(s->created_arg, s, NULL);
		return;
	}
	s->lost = true;
	if (s->pidfd >= 0)
		(void)pidfd_signal(s->pidfd, SIGKILL);
	s->created(s->created_arg, NULL, e);
	if (s->made)
		sandbox_discard(s, NULL, NULL);
	sandbox_free(s);
}

void sandbox_timed_out(void *arg)
{
	struct sandbox *s = arg;

	if (s->pidfd >= 0)
		(void)pidfd_signal(s->pidfd, SIGKILL);
	peer_close(s);
	peer_fail_all(s, ETIMEDOUT, "the pod's keeper did not answer in time");
}

static bool sandbox_id_ok(const char *id)
{
	return !str_empty(id) && id[0] != '.' && strlen(id) <= 128 && !strchr(id, '/');
}

/* Not even while a former one is being removed: its files are in the same place. */
static bool sandbox_id_taken(const struct sandbox *s)
{
	struct sandbox *other;

	TAILQ_FOREACH(other, &s->r->sandboxes, link)
		if (other != s && streq(other->id, s->id))
			return true;
	return false;
}

static int sandbox_make(struct sandbox *s, const struct run_sandbox_spec *spec, struct err *e)
{
	int r;

	s->made = true;
	r = path_mkdirs(s->dir, 0700, e);
	if (r == 0)
		r = sandbox_make_cgroup(s, spec, e);
	return r < 0 ? r : sandbox_spawn(s, e);
}

void sandbox_create(struct runtime *r, const struct run_sandbox_spec *spec,
		    void (*done)(void *arg, struct sandbox *s, const struct err *err), void *arg)
{
	struct sandbox *s = sandbox_new(r, sandbox_id_ok(spec->id) ? spec->id : "bad");
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	int ret;

	s->created = done;
	s->created_arg = arg;
	s->name = xstrdup(spec->name ? spec->name : spec->id);
	s->share = sandbox_share(spec);
	s->timer = loop_timer_new(r->loop, sandbox_timed_out, s);
	if (!sandbox_id_ok(spec->id))
		ret = err_set(&e, ERR_INVALID, "sandbox id \"%s\" is not usable as a file name", spec->id);
	else if (sandbox_id_taken(s))
		ret = err_set(&e, ERR_ALREADY_EXISTS, "sandbox \"%s\" exists", spec->id);
	else
		ret = sandbox_make(s, spec, &e);
	if (ret < 0) {
		err_about(&e, NULL, "CreatePodSandboxError", NULL);
		peer_fail(s, sandbox_set_up, s, &e);
		return;
	}
	loop_timer_set(s->timer, RUN_SETUP_MS);
	sandbox_put_setup(s, spec, &b);
	peer_ask(s, &b, NULL, 0, sandbox_set_up, s);
	buf_release(&b);
}

/* --- the end --- */

static void sandbox_gone(void *arg)
{
	struct sandbox *s = arg;

	s->destroyed(s->destroyed_arg, NULL);
	sandbox_free(s);
}

/* The keeper is dead. */
static void sandbox_finish(struct sandbox *s)
{
	if (s->finishing)
		return;
	s->finishing = true;
	s->timer = loop_timer_free(s->timer);
	sandbox_discard(s, sandbox_gone, s);
}

static void sandbox_destroy_late(void *arg)
{
	struct sandbox *s = arg;

	log_warn("a pod's keeper does not end; killing it", LS("pod", s->name));
	if (s->pidfd >= 0)
		(void)pidfd_signal(s->pidfd, SIGKILL);
	cgroup_kill(s->r->cgroup_root, s->cgroup);
	if (!s->pid_watch)
		sandbox_finish(s);
}

static void sandbox_destroy_answered(void *arg, struct frame *f, const struct err *e)
{
	struct sandbox *s = arg;

	if (e && s->pidfd >= 0)
		(void)pidfd_signal(s->pidfd, SIGKILL);
	/* Without a pidfd its answer has to do. */
	if (!s->pid_watch)
		sandbox_finish(s);
}

void sandbox_destroy(struct sandbox *s, void (*done)(void *arg, const struct err *err), void *arg)
{
	struct buf b = BUF_INIT;

	BUG_ON(s->destroying);
	s->destroying = true;
	s->destroyed = done;
	s->destroyed_arg = arg;
	s->timer = loop_timer_free(s->timer);
	s->timer = loop_timer_new(s->r->loop, sandbox_destroy_late, s);
	loop_timer_set(s->timer, RUN_DESTROY_MS);
	peer_begin(s, &b, FRAME_DESTROY);
	peer_ask(s, &b, NULL, 0, sandbox_destroy_answered, s);
	buf_release(&b);
}
