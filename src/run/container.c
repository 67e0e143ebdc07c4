/*
 * Containers from the daemon's side: a spec becomes a cgroup, a log directory, a
 * filter and a frame; the keeper does the rest.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/path.h"
#include "run/internal.h"

#define KIND_CONFIG "CreateContainerConfigError"
#define KIND_CREATE "CreateContainerError"

/* A container that is being started. */
struct start {
	struct container *c; /* on no list yet */
	void (*done)(void *arg, struct container *c, const struct err *err);
	void *arg;
};

static const struct signal_name {
	const char *name;
	int number;
} signal_names[] = {
	{ "HUP", SIGHUP },	 { "INT", SIGINT },   { "QUIT", SIGQUIT },   { "ILL", SIGILL },
	{ "TRAP", SIGTRAP },	 { "ABRT", SIGABRT }, { "BUS", SIGBUS },     { "FPE", SIGFPE },
	{ "KILL", SIGKILL },	 { "USR1", SIGUSR1 }, { "SEGV", SIGSEGV },   { "USR2", SIGUSR2 },
	{ "PIPE", SIGPIPE },	 { "ALRM", SIGALRM }, { "TERM", SIGTERM },   { "CHLD", SIGCHLD },
	{ "CONT", SIGCONT },	 { "STOP", SIGSTOP }, { "TSTP", SIGTSTP },   { "TTIN", SIGTTIN },
	{ "TTOU", SIGTTOU },	 { "URG", SIGURG },   { "XCPU", SIGXCPU },   { "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM }, { "PROF", SIGPROF }, { "WINCH", SIGWINCH }, { "IO", SIGIO },
	{ "PWR", SIGPWR },	 { "SYS", SIGSYS },
};

/* "SIGTERM", "term", "15", "SIGRTMIN+3"; SIGTERM for what it does not know. */
static int signal_parse(const char *text)
{
	int64_t n;

	if (str_empty(text))
		return SIGTERM;
	if (str_to_i64(str_of(text), &n))
		return n > 0 && n < 65 ? (int)n : SIGTERM;
	if (strncasecmp(text, "SIG", 3) == 0)
		text += 3;
	for (size_t i = 0; i < ARRAY_SIZE(signal_names); i++)
		if (strcasecmp(text, signal_names[i].name) == 0)
			return signal_names[i].number;
	if (strncasecmp(text, "RTMIN", 5) == 0 && (!text[5] || str_to_i64(str_of(text + 6), &n)))
		return text[5] ? 34 + (int)(n & 31) : 34;
	return SIGTERM;
}

struct container *container_by_id(struct sandbox *s, const char *id)
{
	struct container *c;

	TAILQ_FOREACH(c, &s->containers, link)
		if (id && streq(c->id, id))
			return c;
	return NULL;
}

struct container *sandbox_container(struct sandbox *s, const char *name)
{
	struct container *c, *best = NULL;

	TAILQ_FOREACH(c, &s->containers, link)
		if (streq(c->name, name) && (!best || c->attempt > best->attempt))
			best = c;
	return best;
}

size_t sandbox_containers(struct sandbox *s, struct container **out, size_t max)
{
	struct container *c;
	size_t n = 0;

	TAILQ_FOREACH(c, &s->containers, link)
		if (n < max)
			out[n++] = c;
	return n;
}

char *container_cgroup(const struct sandbox *s, const char *cid)
{
	return s->cgroup ? path_join(s->cgroup, cid) : NULL;
}

struct container *container_free_(struct container *c)
{
	if (c->s && c->link.tqe_prev)
		TAILQ_REMOVE(&c->s->containers, c, link);
	free(c->id);
	free(c->name);
	free(c->log_dir);
	free(c->groups);
	free(c);
	return NULL;
}

#define GROUPS_MAX 1024

/* Who it runs as, when the keeper says so: those of an older daemon do not. */
static void container_apply_user(struct container *c, struct fields f)
{
	struct field x;

	if (fields_int(f, F_UID, -1) < 0)
		return;
	c->user_known = true;
	c->uid = fields_int(f, F_UID, 0);
	c->gid = fields_int(f, F_GID, 0);
	c->n_groups = 0;
	while (fields_next(&f, &x)) {
		if (x.tag != F_GROUP || c->n_groups == GROUPS_MAX)
			continue;
		c->groups = xreallocarray(c->groups, c->n_groups + 1, sizeof(*c->groups));
		c->groups[c->n_groups++] = field_int(&x);
	}
}

/* What the keeper says of a container; NULL when it makes no sense. */
struct container *container_apply(struct sandbox *s, struct fields f)
{
	const char *id = fields_str(f, F_CID), *name = fields_str(f, F_CNAME),
		   *log_dir = fields_str(f, F_LOG_DIR);
	struct container *c = container_by_id(s, id);
	int64_t state = fields_int(f, F_STATE, CONTAINER_EXITED);

	if (str_empty(id) || strchr(id, '/'))
		return NULL;
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->s = s;
		c->id = xstrdup(id);
		c->name = xstrdup(name ? name : "");
		c->log_dir = xstrdup(log_dir ? log_dir : "");
		c->attempt = fields_int(f, F_ATTEMPT, 0);
		TAILQ_INSERT_HEAD(&s->containers, c, link);
	}
	c->state = state < CONTAINER_CREATED || state > CONTAINER_EXITED ? CONTAINER_EXITED : state;
	c->pid = fields_int(f, F_PID, 0);
	c->exit_code = fields_int(f, F_EXIT_CODE, 0);
	c->signal = fields_int(f, F_SIGNAL, 0);
	c->oom_killed = fields_int(f, F_OOM, 0);
	c->started_ns = fields_int(f, F_STARTED, 0);
	c->finished_ns = fields_int(f, F_FINISHED, 0);
	c->acked = c->acked || fields_int(f, F_ACKED, 0);
	c->tty = fields_int(f, F_TTY, 0);
	container_apply_user(c, f);
	return c;
}

void container_on_exited(struct sandbox *s, struct fields f)
{
	/* Only an exit of a container that the owner knows: not one that is still to be answered for. */
	if (container_apply(s, f))
		sandbox_tell_exits(s);
}

void container_status(const struct container *c, struct container_status *out)
{
	*out = (struct container_status){
		.state = c->state,
		.id = c->id,
		.name = c->name,
		.attempt = c->attempt,
		.pid = c->pid,
		.exit_code = c->exit_code,
		.signal = c->signal,
		.oom_killed = c->oom_killed,
		.started_ns = c->started_ns,
		.finished_ns = c->finished_ns,
		.user_known = c->user_known,
		.uid = c->uid,
		.gid = c->gid,
		.groups = c->groups,
		.n_groups = c->n_groups,
	};
}

int container_update(struct container *c, const struct run_limits *l, struct err *e)
{
	_cleanup_free_ char *path = container_cgroup(c->s, c->id), *what = xasprintf("container \"%s\"", c->name);

	if (c->state != CONTAINER_RUNNING)
		return err_set(e, ERR_CONFLICT, "container \"%s\" does not run", c->name);
	return cgroup_update(c->s->r->cgroup_root, path, l, what, e);
}

char *container_log_path(const struct container *c)
{
	return xasprintf("%s/%u.log", c->log_dir, c->attempt);
}

/* --- start --- */

/* "name_namespace(uid)", as the kubelet writes a pod in messages. */
static char *container_pod_text(const struct sandbox *s)
{
	struct str name = str_of(s->name), ns = str_cut(&name, '/');

	return xasprintf("%" STR_FMT "_%" STR_FMT "(%s)", STR_ARG(name), STR_ARG(ns), s->id);
}

/* The kubelet's three refusals of runAsNonRoot. */
static int container_check_user(const struct sandbox *s, const struct run_container_spec *spec, struct err *e)
{
	_cleanup_free_ char *pod = container_pod_text(s);
	struct str rest = str_of(spec->user ? spec->user : ""), user = str_cut(&rest, ':');
	int64_t uid = 0;

	if (!spec->run_as_non_root || spec->run_as_user > 0)
		return 0;
	if (spec->run_as_user == 0)
		return err_set(e, ERR_FORBIDDEN,
			       "container's runAsUser breaks non-root policy (pod: \"%s\", container: %s)",
			       pod, spec->name);
	if (user.n && !str_to_i64(user, &uid))
		return err_set(e, ERR_FORBIDDEN,
			       "container has runAsNonRoot and image has non-numeric user (%" STR_FMT
			       "), cannot verify user is non-root (pod: \"%s\", container: %s)",
			       STR_ARG(user), pod, spec->name);
	if (uid == 0)
		return err_set(
			e, ERR_FORBIDDEN,
			"container has runAsNonRoot and image will run as root (pod: \"%s\", container: %s)",
			pod, spec->name);
	return 0;
}

static void spec_add_mount(struct buf *b, const struct run_mount *m)
{
	size_t at = frame_nest(b, F_MOUNT);
	unsigned flags =
		(m->read_only ? MOUNT_READ_ONLY : 0) | (m->recursive_read_only ? MOUNT_READ_ONLY_REC : 0) |
		(m->propagation == 'h' ? MOUNT_SLAVE : 0) | (m->propagation == 'b' ? MOUNT_SHARED : 0) |
		(m->type == RUN_MOUNT_TMPFS ? MOUNT_TMPFS : 0);

	frame_add_str(b, F_NAME, m->name);
	frame_add_str(b, F_SOURCE, m->source);
	frame_add_str(b, F_SUBPATH, m->subpath);
	frame_add_str(b, F_TARGET, m->target);
	frame_add_int(b, F_MOUNT_FLAGS, flags);
	frame_add_int(b, F_SIZE, m->size_bytes);
	frame_nest_end(b, at);
}

static void spec_add_strings(struct buf *b, uint16_t tag, const char *const *v)
{
	for (size_t i = 0; v && v[i]; i++)
		frame_add_str(b, tag, v[i]);
}

static int spec_build(const struct run_container_spec *spec, uint64_t caps, bool cgroup, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int fd;

	frame_begin(&b, FRAME_START, 0);
	spec_add_strings(&b, F_LAYER, spec->layers);
	spec_add_strings(&b, F_ARG, spec->argv);
	spec_add_strings(&b, F_ENV, spec->env);
	frame_add_str(&b, F_CWD, spec->cwd);
	frame_add_str(&b, F_USER, spec->user);
	frame_add_int(&b, F_UID, spec->run_as_user);
	frame_add_int(&b, F_GID, spec->run_as_group);
	for (size_t i = 0; i < spec->n_groups; i++)
		frame_add_int(&b, F_GROUP, spec->groups[i]);
	frame_add_int(&b, F_FLAGS,
		      (spec->privileged ? SPEC_PRIVILEGED : 0) | (spec->read_only_root ? SPEC_READ_ONLY : 0) |
			      (spec->no_new_privs ? SPEC_NO_NEW_PRIVS : 0) |
			      (spec->unmask_proc ? SPEC_UNMASK_PROC : 0) |
			      (spec->strict_groups ? SPEC_STRICT_GROUPS : 0) | (cgroup ? SPEC_CGROUPNS : 0));
	frame_add_int(&b, F_CAPS, (int64_t)caps);
	frame_add_int(&b, F_OOM_ADJ, spec->oom_score_adj);
	frame_add_str(&b, F_APPARMOR, spec->apparmor);
	for (size_t i = 0; i < spec->n_mounts; i++)
		spec_add_mount(&b, &spec->mounts[i]);
	if (b.len > FRAME_MAX)
		return err_set(e, ERR_TOO_LARGE,
			       "the container's arguments, environment and mounts take %zu bytes", b.len);
	fd = seccomp_seal(b.s, b.len, "container-spec");
	return fd < 0 ? err_errno(e, -fd, "hand over the container's spec") : fd;
}

struct start_fds {
	int spec, seccomp, log, cgroup;
};

static void start_fds_close(struct start_fds *f)
{
	close_fd(f->spec);
	close_fd(f->seccomp);
	close_fd(f->log);
	close_fd(f->cgroup);
}

static bool start_filter_devices(struct sandbox *s, const struct run_container_spec *spec, int cgroup)
{
	_cleanup_close_ int own = -1;
	bool devices = false;

	for (size_t i = 0; i < spec->n_mounts; i++)
		devices = devices || spec->mounts[i].device;
	if (devices)
		own = devices_load(spec->mounts, spec->n_mounts);
	return devices_attach(devices ? own : s->r->devices, cgroup) == 0;
}

static int start_make_cgroup(struct sandbox *s, const struct run_container_spec *spec, uint64_t *caps,
			     int *ret, struct err *e)
{
	_cleanup_free_ char *path = container_cgroup(s, spec->id);
	bool filtered = false;
	int mknod = caps_number("MKNOD"), r = 0;

	*ret = path ? cgroup_make(s->r->cgroup_root, path, e) : -1;
	if (path && *ret < 0)
		return *ret;
	if (*ret >= 0) {
		r = cgroup_set_container(*ret, &spec->limits, e);
		if (!spec->privileged)
			filtered = start_filter_devices(s, spec, *ret);
	}
	/* Without the filter, whoever can make a device node could open it. */
	if (!filtered && !spec->privileged) {
		*caps &= ~(1ull << mknod);
		for (size_t i = 0; spec->cap_add && spec->cap_add[i]; i++)
			if (caps_number(spec->cap_add[i]) == mknod)
				*caps |= 1ull << mknod;
	}
	return r;
}

static int start_open_log(const struct run_container_spec *spec, char **ret_dir, int *ret, struct err *e)
{
	char *dir = path_join(spec->log_dir, spec->name);
	int r = path_mkdirs(dir, 0755, e);

	*ret_dir = dir;
	if (r < 0)
		return r;
	*ret = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_errno(e, errno, "open '%s'", dir) : 0;
}

static void start_finish(struct start *st, struct container *c, const struct err *e)
{
	void (*done)(void *, struct container *, const struct err *) = st->done;
	void *arg = st->arg;

	free(st);
	done(arg, c, e);
}

static void container_discard(struct container *c)
{
	struct cleanup *cl = cleanup_new(c->s->r);

	cleanup_add_tree(cl, xasprintf("%s/containers/%s", c->s->dir, c->id));
	cleanup_set_cgroup(cl, container_cgroup(c->s, c->id));
	cleanup_run(cl, NULL, NULL);
}

static void container_started(void *arg, struct frame *f, const struct err *e)
{
	struct start *st = arg;
	struct container *c = st->c;

	if (e) {
		container_discard(c);
		container_free_(c);
		start_finish(st, NULL, e);
		return;
	}
	c->state = CONTAINER_RUNNING;
	c->pid = fields_int(f->body, F_PID, 0);
	c->started_ns = fields_int(f->body, F_STARTED, 0);
	container_apply_user(c, f->body);
	TAILQ_INSERT_HEAD(&c->s->containers, c, link);
	start_finish(st, c, NULL);
}

static void start_send(struct start *st, const struct run_container_spec *spec, const struct start_fds *x)
{
	struct container *c = st->c;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int fds[4];
	char roles[4];
	size_t n = 0;

	peer_begin(c->s, &b, FRAME_START);
	frame_add_str(&b, F_CID, c->id);
	frame_add_str(&b, F_CNAME, c->name);
	frame_add_int(&b, F_ATTEMPT, c->attempt);
	frame_add_str(&b, F_LOG_DIR, c->log_dir);
	frame_add_int(&b, F_TTY, spec->tty);
	frame_add_int(&b, F_STDIN, spec->stdin_open ? spec->stdin_once ? 2 : 1 : 0);
	if (spec->pid_of)
		frame_add_str(&b, F_PID_OF, spec->pid_of->id);
	frame_add_int(&b, F_STOP_SIGNAL, signal_parse(spec->stop_signal));
	frame_add_int(&b, F_LOG_MAX, spec->log_max_bytes > 0 ? spec->log_max_bytes : LIMIT_LOG_FILE_BYTES);
	frame_add_int(&b, F_LOG_FILES, spec->log_max_files > 1 ? spec->log_max_files : LIMIT_LOG_FILES);
	fds[n] = x->spec, roles[n++] = ROLE_SPEC;
	fds[n] = x->log, roles[n++] = ROLE_LOG_DIR;
	if (x->seccomp >= 0)
		fds[n] = x->seccomp, roles[n++] = ROLE_SECCOMP;
	if (x->cgroup >= 0)
		fds[n] = x->cgroup, roles[n++] = ROLE_CGROUP;
	frame_add(&b, F_ROLES, roles, n);
	peer_ask(c->s, &b, fds, n, container_started, st);
}

static bool container_id_ok(const char *id)
{
	size_t n = id ? strlen(id) : 0;

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]))
			return false;
	return n > 0 && n <= 64;
}

static int start_prepare(struct sandbox *s, const struct run_container_spec *spec, struct container *c,
			 struct start_fds *x, struct err *e)
{
	uint64_t caps;
	int r;

	if (!container_id_ok(spec->id) || str_empty(spec->name) || strchr(spec->name, '/') || !spec->layers ||
	    !spec->layers[0])
		return err_set(e, ERR_INVALID, "container \"%s\" has no usable id, name or layers",
			       spec->name);
	r = container_check_user(s, spec, e);
	if (r == 0)
		r = caps_compute(spec, &caps, e);
	if (r < 0) {
		err_about(e, NULL, KIND_CONFIG, NULL);
		return r;
	}
	r = start_open_log(spec, &c->log_dir, &x->log, e);
	if (r == 0 && s->r->machine.seccomp)
		r = seccomp_program(&s->r->seccomp, spec, caps, &x->seccomp, e);
	if (r == 0)
		r = start_make_cgroup(s, spec, &caps, &x->cgroup, e);
	if (r == 0)
		r = x->spec = spec_build(spec, caps, x->cgroup >= 0, e);
	if (r < 0)
		err_about(e, NULL, KIND_CREATE, NULL);
	return r < 0 ? r : 0;
}

void container_start(struct sandbox *s, const struct run_container_spec *spec,
		     void (*done)(void *arg, struct container *c, const struct err *err), void *arg)
{
	struct start *st = xcalloc(1, sizeof(*st));
	struct start_fds x = { -1, -1, -1, -1 };
	struct err e = ERR_INIT;

	st->done = done;
	st->arg = arg;
	st->c = xcalloc(1, sizeof(*st->c));
	st->c->s = s;
	st->c->id = xstrdup(spec->id ? spec->id : "");
	st->c->name = xstrdup(spec->name ? spec->name : "");
	st->c->attempt = spec->attempt;
	st->c->tty = spec->tty;
	if (start_prepare(s, spec, st->c, &x, &e) < 0)
		peer_fail(s, container_started, st, &e);
	else
		start_send(st, spec, &x);
	start_fds_close(&x);
}

/* --- what is asked of one that runs --- */

static void container_ignore(void *arg, struct frame *f, const struct err *e)
{
}

int container_set_limits(struct container *c, const struct run_limits *l, struct err *e)
{
	_cleanup_free_ char *path = c ? container_cgroup(c->s, c->id) : NULL;

	return path ? cgroup_change_limits(c->s->r->cgroup_root, path, l, e) : 0;
}

int sandbox_set_limits(struct sandbox *s, const struct run_limits *l, struct err *e)
{
	return s && s->cgroup ? cgroup_change_limits(s->r->cgroup_root, s->cgroup, l, e) : 0;
}

int container_signal(struct container *c, int signo)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (c->state != CONTAINER_RUNNING)
		return -ESRCH;
	peer_begin(c->s, &b, FRAME_SIGNAL);
	frame_add_str(&b, F_CID, c->id);
	frame_add_int(&b, F_SIGNAL, signo);
	peer_ask(c->s, &b, NULL, 0, container_ignore, NULL);
	return 0;
}

void container_stop(struct container *c, int64_t grace_ms)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (c->state != CONTAINER_RUNNING)
		return;
	peer_begin(c->s, &b, FRAME_STOP);
	frame_add_str(&b, F_CID, c->id);
	frame_add_int(&b, F_GRACE_MS, grace_ms);
	peer_ask(c->s, &b, NULL, 0, container_ignore, NULL);
}

void container_resize(struct container *c, uint16_t rows, uint16_t cols)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	peer_begin(c->s, &b, FRAME_RESIZE);
	frame_add_str(&b, F_CID, c->id);
	frame_add_int(&b, F_ROWS, rows);
	frame_add_int(&b, F_COLS, cols);
	peer_tell(c->s, &b);
}

/* <attempt>.log and its rotated parts. The directory stays: the next attempt may be using it. */
static void container_collect_logs(const struct container *c, struct cleanup *cl)
{
	_cleanup_free_ char *prefix = xasprintf("%u.log", c->attempt);
	DIR *dir = opendir(c->log_dir);
	struct dirent *d;
	size_t n = strlen(prefix);

	while (dir && (d = readdir(dir)))
		if (starts_with(d->d_name, prefix) && (!d->d_name[n] || d->d_name[n] == '.'))
			cleanup_add_tree(cl, path_join(c->log_dir, d->d_name));
	if (dir)
		closedir(dir);
}

void container_remove(struct container *c, bool remove_log)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct cleanup *cl;

	if (c->state != CONTAINER_EXITED) {
		log_warn("a container that runs cannot be removed, ignoring", LS("container", c->name));
		return;
	}
	peer_begin(c->s, &b, FRAME_REMOVE);
	frame_add_str(&b, F_CID, c->id);
	peer_ask(c->s, &b, NULL, 0, container_ignore, NULL);
	cl = cleanup_new(c->s->r);
	if (remove_log)
		container_collect_logs(c, cl);
	cleanup_add_tree(cl, xasprintf("%s/containers/%s", c->s->dir, c->id));
	cleanup_set_cgroup(cl, container_cgroup(c->s, c->id));
	cleanup_run(cl, NULL, NULL);
	container_free_(c);
}
