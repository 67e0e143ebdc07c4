/*
 * One container of a pod: its attempts, and the order among all of them.
 *
 * Init containers run one after the other, each to its successful end; sidecars
 * (init containers with restartPolicy Always) are started in their place and
 * run on; then all ordinary containers start together. An attempt that ended is
 * started again as restart.c says, after the back-off. At the end ordinary
 * containers stop together, then sidecars in reverse order.
 *
 * The dead attempt before the newest keeps its log (kubectl logs --previous);
 * older ones go when a new one starts.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>

#include "node/internal.h"

#define CONFIG_RETRY_MS 10000
#define TERMINATION_BYTES 4096
#define TERMINATION_LOG_BYTES 2048
#define TERMINATION_LOG_LINES 80

const struct node *node_named(const struct node *list, const char *name)
{
	NODE_FOREACH (c, list)
		if (node_streq(node_get(c, F_name), name))
			return c;
	return NULL;
}

struct ctr *ctr_new(struct pod *p, const char *name, enum ctr_kind kind)
{
	struct ctr *c = xcalloc(1, sizeof(*c));

	c->pod = p;
	c->kind = kind;
	c->name = xstrdup(name);
	c->image_name = xstrdup("");
	c->image_id = xstrdup("");
	return c;
}

void ctr_end_clear(struct ctr_end *e)
{
	free(e->message);
	*e = (struct ctr_end){0};
}

struct ctr *ctr_free(struct ctr *c)
{
	if (!c)
		return NULL;
	probes_stop(c);
	hook_cancel(c);
	ctr_end_clear(&c->end);
	ctr_end_clear(&c->last);
	free(c->name);
	free(c->image);
	free(c->image_name);
	free(c->image_id);
	free(c->message);
	free(c->pull_error);
	free(c);
	return NULL;
}

static enum field kind_field(enum ctr_kind k)
{
	return k == CTR_MAIN ? F_containers : k == CTR_EPHEMERAL ? F_ephemeralContainers : F_initContainers;
}

const struct node *ctr_spec(struct ctr *c)
{
	return node_named(node_get(pod_spec(c->pod), kind_field(c->kind)), c->name);
}

char *ctr_field_path(const struct ctr *c)
{
	return xasprintf("spec.%s{%s}", doc_field_name(kind_field(c->kind)), c->name);
}

struct ctr *pod_ctr(struct pod *p, const char *name)
{
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (streq(p->ctrs[i]->name, name))
			return p->ctrs[i];
	return NULL;
}

static void make_kind(struct pod *p, const struct node *list, enum ctr_kind kind)
{
	NODE_FOREACH (s, list) {
		const char *name = node_gets(s, F_name);
		bool sidecar = kind == CTR_INIT && node_streq(node_get(s, F_restartPolicy), "Always");

		if (pod_ctr(p, name))
			continue;
		p->ctrs = xreallocarray(p->ctrs, p->n_ctrs + 1, sizeof(*p->ctrs));
		p->ctrs[p->n_ctrs++] = ctr_new(p, name, sidecar ? CTR_SIDECAR : kind);
	}
}

void pod_make_ctrs(struct pod *p)
{
	const struct node *spec = pod_spec(p);

	make_kind(p, node_get(spec, F_initContainers), CTR_INIT);
	make_kind(p, node_get(spec, F_containers), CTR_MAIN);
	make_kind(p, node_get(spec, F_ephemeralContainers), CTR_EPHEMERAL);
}

struct container *ctr_run(struct ctr *c)
{
	return c->pod->sandbox ? sandbox_container(c->pod->sandbox, c->name) : NULL;
}

bool ctr_alive(const struct ctr *c)
{
	return c->state == CTR_STARTING || c->state == CTR_UP;
}

void ctr_wait(struct ctr *c, const char *reason, const char *message)
{
	c->reason = reason;
	set_str(&c->message, message);
}

static void ctr_event(struct ctr *c, const char *type, const char *reason, const char *text)
{
	char *path = ctr_field_path(c);

	pod_event(c->pod, path, type, reason, "%s", text);
	free(path);
}

static const char *pod_policy(struct pod *p)
{
	return node_cstr_or(node_get(pod_spec(p), F_restartPolicy), "Always");
}

bool ctr_will_restart(struct ctr *c)
{
	const char *policy = pod_policy(c->pod);

	switch (c->kind) {
	case CTR_SIDECAR:
		return true;
	case CTR_INIT:
		return c->end.exit_code != 0 && !streq(policy, "Never");
	case CTR_EPHEMERAL:
		return false;
	case CTR_MAIN:
		break;
	}
	if (c->restart_asked)
		return !streq(policy, "Never");
	return restart_wanted(policy, false, c->end.exit_code);
}

/* --- the end of an attempt --- */

static void read_head(const char *path, struct buf *out)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char block[TERMINATION_BYTES];
	ssize_t n;

	if (fd < 0)
		return;
	n = fd_read_all(fd, block, sizeof(block));
	if (n > 0)
		buf_add(out, block, (size_t)n);
}

/* The texts of the last lines of a CRI log ("time stream tag text"). */
static void read_log_tail(const char *path, struct buf *out)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *block = NULL;
	size_t max = 4 * TERMINATION_LOG_BYTES + 64 * TERMINATION_LOG_LINES;
	struct str rest;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if ((uint64_t)st.st_size > max && lseek(fd, st.st_size - (off_t)max, SEEK_SET) < 0)
		return;
	block = xmalloc(max);
	n = fd_read_all(fd, block, max);
	rest = str_n(block, n > 0 ? (size_t)n : 0);
	if ((uint64_t)st.st_size > max)
		str_cut(&rest, '\n'); /* a piece of a line */
	while (rest.p && rest.n) {
		struct str line = str_cut(&rest, '\n');

		str_cut(&line, ' ');
		str_cut(&line, ' ');
		str_cut(&line, ' ');
		if (line.p) {
			buf_addstr(out, line);
			buf_addch(out, '\n');
		}
	}
}

static void cut_tail(struct buf *b, size_t bytes, int lines)
{
	size_t at = b->len;

	while (at > 0 && b->len - at < bytes) {
		if (b->s[at - 1] == '\n' && at != b->len && --lines == 0)
			break;
		at--;
	}
	buf_remove(b, 0, at);
}

static char *ctr_log_file(struct ctr *c, unsigned attempt)
{
	_cleanup_free_ char *dir = pod_log_dir(c->pod->agent, c->pod->ns, c->pod->name, c->pod->uid);

	return xasprintf("%s/%s/%u.log", dir, c->name, attempt);
}

static char *termination_message(struct ctr *c, int exit_code)
{
	_cleanup_free_ char *dir = pod_dir(c->pod),
			    *path = xasprintf("%s/containers/%s/%u", dir, c->name, c->attempt);
	_cleanup_free_ char *log = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	read_head(path, &b);
	unlink(path);
	if (!b.len && exit_code != 0 &&
	    node_streq(node_get(ctr_spec(c), F_terminationMessagePolicy), "FallbackToLogsOnError")) {
		log = ctr_log_file(c, c->attempt);
		read_log_tail(log, &b);
		cut_tail(&b, TERMINATION_LOG_BYTES, TERMINATION_LOG_LINES);
	}
	return b.len ? buf_detach(&b, NULL) : NULL;
}

static void ctr_down(struct ctr *c)
{
	probes_stop(c);
	hook_cancel(c);
	c->state = CTR_DOWN;
	c->ready = c->started = c->stopping = c->pulled = false;
	c->retry_ms = 0;
	ctr_wait(c, NULL, NULL);
	pod_kick(c->pod);
}

void ctr_ended(struct ctr *c, const struct container_status *st)
{
	if (!streq(c->id, st->id) || c->state == CTR_DOWN)
		return;
	ctr_end_clear(&c->end);
	c->end.set = true;
	c->end.exit_code = st->exit_code;
	c->end.reason = st->oom_killed ? "OOMKilled" : st->exit_code == 0 ? "Completed" : "Error";
	c->end.message = termination_message(c, st->exit_code);
	c->end.started_s = st->started_ns / SEC_NS;
	c->end.finished_s = st->finished_ns / SEC_NS;
	snprintf(c->end.id, sizeof(c->end.id), "%s", st->id);
	/* The end may have been long ago, while the daemon was away. */
	c->end_ms = time_mono_ms() - max_i64(0, (time_wall_ns() - st->finished_ns) / 1000000);
	log_info("container ended", LS("pod", c->pod->name), LS("ns", c->pod->ns), LS("container", c->name),
		 LI("exit", st->exit_code));
	ctr_down(c);
}

void ctr_lost(struct ctr *c)
{
	if (!ctr_alive(c))
		return;
	ctr_end_clear(&c->end);
	c->end.set = true;
	c->end.exit_code = 255;
	c->end.reason = "Unknown";
	c->end.started_s = c->started_s;
	c->end.finished_s = time_wall_s();
	snprintf(c->end.id, sizeof(c->end.id), "%s", c->id);
	c->end_ms = time_mono_ms();
	ctr_down(c);
}

/* --- stop --- */

static void pre_stop_done(struct ctr *c, const char *failure)
{
	struct container *rc = ctr_run(c);

	if (failure)
		ctr_event(c, "Warning", "FailedPreStopHook", "PreStopHook failed");
	if (rc && c->state == CTR_UP)
		container_stop(rc, max_i64(c->kill_ms - time_mono_ms(), 0));
}

void ctr_stop(struct ctr *c, int64_t grace_ms, const char *why)
{
	struct container *rc = ctr_run(c);
	int64_t kill = time_mono_ms() + max_i64(grace_ms, 0);
	_cleanup_free_ char *text = NULL;

	if (c->state != CTR_UP || !rc || (c->stopping && kill >= c->kill_ms))
		return;
	c->kill_ms = kill;
	if (!c->stopping) {
		text = xasprintf("Stopping container %s", c->name);
		ctr_event(c, "Normal", "Killing", why ? why : text);
		probes_stop(c);
		c->stopping = true;
		hook_cancel(c); /* a postStart hook */
		if (grace_ms > 0 && hook_run(c, true, grace_ms, pre_stop_done))
			return;
	} else {
		hook_cancel(c); /* less time than before */
	}
	container_stop(rc, max_i64(grace_ms, 0));
}

bool ctrs_stop(struct pod *p)
{
	int64_t grace = p->stop_at_ms - time_mono_ms();
	bool alive = false;

	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_SIDECAR || !ctr_alive(c))
			continue;
		alive = true;
		ctr_stop(c, grace, NULL);
	}
	for (size_t i = p->n_ctrs; i-- > 0 && !alive;) {
		struct ctr *c = p->ctrs[i];

		if (c->kind != CTR_SIDECAR || !ctr_alive(c))
			continue;
		alive = true;
		ctr_stop(c, max_i64(grace, 2000), NULL);
	}
	return !alive;
}

/* --- start --- */

/* The logs of attempts that nobody can ask for any more. */
static void drop_old_logs(struct ctr *c)
{
	_cleanup_free_ char *log = NULL, *pattern = NULL;
	glob_t g;

	if (c->attempt < 2)
		return;
	log = ctr_log_file(c, c->attempt - 2);
	pattern = xasprintf("%s*", log);
	if (glob(pattern, GLOB_NOSORT, NULL, &g) != 0)
		return;
	for (size_t i = 0; i < g.gl_pathc; i++)
		unlink(g.gl_pathv[i]);
	globfree(&g);
}

/* Dead attempts of this container that the runtime still holds: their roots are of no use. */
static void drop_old_attempts(struct ctr *c)
{
	struct container *all[64];
	size_t n = sandbox_containers(c->pod->sandbox, all, ARRAY_SIZE(all));

	for (size_t i = 0; i < n && i < ARRAY_SIZE(all); i++) {
		struct container_status st;

		container_status(all[i], &st);
		if (streq(st.name, c->name) && !streq(st.id, c->id) && st.state == CONTAINER_EXITED)
			container_remove(all[i], false);
	}
	drop_old_logs(c);
}

static void post_start_done(struct ctr *c, const char *failure)
{
	if (!failure || c->state != CTR_UP)
		return;
	ctr_event(c, "Warning", "FailedPostStartHook", "PostStartHook failed");
	c->restart_asked = true;
	ctr_stop(c, node_int(node_get(pod_spec(c->pod), F_terminationGracePeriodSeconds), 30) * SEC_MS,
		 "FailedPostStartHook");
}

static void start_failed(struct ctr *c, const struct err *err)
{
	_cleanup_free_ char *text = xasprintf("Error: %s", err_msg(err));
	bool config = streq_null(err->kind, "CreateContainerConfigError");

	ctr_event(c, "Warning", "Failed", text);
	log_warn("container does not start", LS("pod", c->pod->name), LS("ns", c->pod->ns),
		 LS("container", c->name), LE(err));
	if (config || streq_null(err->kind, "CreateContainerError")) {
		/* No attempt was made. */
		if (c->last.set) {
			c->attempt--;
			snprintf(c->id, sizeof(c->id), "%s", c->last.id);
		} else {
			c->id[0] = '\0';
		}
		c->state = CTR_WAIT;
		ctr_wait(c, config ? "CreateContainerConfigError" : "CreateContainerError", err_msg(err));
		c->retry_ms = time_mono_ms() + CONFIG_RETRY_MS;
		return;
	}
	ctr_end_clear(&c->end);
	c->end.set = true;
	c->end.exit_code = 128;
	c->end.reason = "StartError";
	c->end.message = xstrdup(err_msg(err));
	c->end.finished_s = time_wall_s();
	snprintf(c->end.id, sizeof(c->end.id), "%s", c->id);
	c->end_ms = time_mono_ms();
	ctr_down(c);
}

struct start_call {
	struct ctr *ctr;
	unsigned attempt;
};

static void start_done(void *arg, struct container *rc, const struct err *err)
{
	struct start_call *call = arg;
	struct ctr *c = call->ctr;
	struct container_status st;
	bool overtaken = c->state != CTR_STARTING || c->attempt != call->attempt;

	free(call);
	if (overtaken) { /* its end came first */
		pod_put(c->pod);
		return;
	}
	if (err) {
		start_failed(c, err);
		pod_put(c->pod);
		return;
	}
	container_status(rc, &st);
	c->state = CTR_UP;
	c->started_s = st.started_ns / SEC_NS;
	ctr_wait(c, NULL, NULL);
	ctr_event(c, "Normal", "Created", "Container created");
	ctr_event(c, "Normal", "Started", "Container started");
	drop_old_attempts(c);
	if (st.state == CONTAINER_EXITED) {
		ctr_ended(c, &st);
	} else {
		probes_start(c, false);
		hook_run(c, false, 0, post_start_done);
	}
	pod_put(c->pod);
}

static void make_id(char id[65])
{
	uint8_t bytes[32];

	rand_bytes(bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(id + 2 * i, 3, "%02x", bytes[i]);
}

static void spec_failed(struct ctr *c, const struct err *e)
{
	const char *reason = streq_null(e->kind, "CreateContainerError") ? "CreateContainerError"
									 : "CreateContainerConfigError";
	_cleanup_free_ char *text = xasprintf("Error: %s", err_msg(e));

	if (!streq_null(c->message, err_msg(e)))
		ctr_event(c, "Warning", "Failed", text);
	ctr_wait(c, reason, err_msg(e));
	c->retry_ms = time_mono_ms() + CONFIG_RETRY_MS;
}

/* Attempt numbers go on behind what was there before, in this life or an earlier one. */
static void next_attempt(struct ctr *c, struct image *img)
{
	_cleanup_free_ char *name = image_display_name(img, node_gets(ctr_spec(c), F_image));

	set_str(&c->image_name, name);
	set_str(&c->image_id, *img->repo_digest ? img->repo_digest : img->id);
	set_str(&c->image, node_gets(ctr_spec(c), F_image));
	if (c->end.set) {
		ctr_end_clear(&c->last);
		c->last = c->end;
		c->end = (struct ctr_end){0};
	}
	if (c->id[0] || c->last.set)
		c->attempt++;
}

/* "name_<pod uid>": a container's attempts share one hold, which ends with the pod (pod_unhold_images). */
static int ctr_hold_image(struct ctr *c, const struct image *img, struct err *e)
{
	_cleanup_free_ char *holder = xasprintf("%s_%s", c->name, c->pod->uid);

	return image_hold(c->pod->agent->images, img, holder, e);
}

static void ctr_start(struct ctr *c)
{
	struct run_container_spec spec = {0};
	_cleanup_err_ struct err e = ERR_INIT;
	struct start_call *call;
	struct image *img = NULL;
	struct arena *a;
	char id[65];
	int r = ctr_image(c, &img);

	if (r <= 0)
		return;
	a = arena_new();
	make_id(id);
	spec.id = id;
	spec.attempt = c->id[0] || c->end.set || c->last.set ? c->attempt + 1 : 0;
	r = spec_container(c, img, a, &spec, &e);
	if (r == 0)
		r = ctr_hold_image(c, img, &e);
	if (r < 0) {
		if (err_is_set(&e))
			spec_failed(c, &e);
		goto out;
	}
	next_attempt(c, img);
	snprintf(c->id, sizeof(c->id), "%s", id);
	c->state = CTR_STARTING;
	c->ready = c->started = c->stopping = c->restart_asked = c->pulled = false;
	c->retry_ms = 0;
	c->pod->pending++;
	call = xmalloc(sizeof(*call));
	*call = (struct start_call){c, c->attempt};
	container_start(c->pod->sandbox, &spec, start_done, call);
out:
	arena_free(a);
	image_unref(img);
}

/* --- restart --- */

/* False: it has to wait for the end of the back-off first. */
static bool crash_backoff_over(struct ctr *c)
{
	struct pod *p = c->pod;
	int64_t until, now = time_mono_ms();
	_cleanup_free_ char *text = NULL, *ev = NULL;
	char delay[32];

	if (!backoff_active(&c->crash, c->end_ms, now, &until)) {
		backoff_next(&c->crash, c->end_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
		return true;
	}
	backoff_text(c->crash.delay_ms, delay);
	text = xasprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)", delay, c->name, p->name,
			 p->ns, p->uid);
	ev = xasprintf("Back-off restarting failed container %s in pod %s_%s(%s)", c->name, p->name, p->ns,
		       p->uid);
	ctr_event(c, "Warning", "BackOff", ev);
	ctr_wait(c, "CrashLoopBackOff", text);
	c->retry_ms = until;
	return false;
}

static void check_image_changed(struct ctr *c)
{
	const struct node *spec = ctr_spec(c);
	_cleanup_free_ char *text = NULL;

	if (!spec || c->stopping || c->kind == CTR_INIT || c->kind == CTR_EPHEMERAL || !c->image ||
	    streq(c->image, node_gets(spec, F_image)))
		return;
	text = xasprintf("Container %s definition changed, will be restarted", c->name);
	c->restart_asked = true;
	ctr_stop(c, node_int(node_get(pod_spec(c->pod), F_terminationGracePeriodSeconds), 30) * SEC_MS, text);
}

static void ctr_drive(struct ctr *c)
{
	switch (c->state) {
	case CTR_STARTING:
		return;
	case CTR_UP:
		check_image_changed(c);
		return;
	case CTR_DOWN:
		if (!ctr_will_restart(c))
			return;
		c->state = CTR_WAIT;
		if (!crash_backoff_over(c))
			return;
		break;
	case CTR_WAIT:
		if (c->retry_ms > time_mono_ms())
			return;
		if (c->reason && streq(c->reason, "CrashLoopBackOff")) {
			backoff_next(&c->crash, c->end_ms, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
			ctr_wait(c, NULL, NULL);
		}
		break;
	}
	ctr_start(c);
}

/* 1: all are through; 0: not yet; -1: one failed for good. */
static int inits_run(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_SIDECAR) {
			ctr_drive(c);
			if (c->state != CTR_UP || !c->started)
				return 0;
		} else if (c->kind == CTR_INIT) {
			if (c->state == CTR_DOWN && c->end.exit_code == 0)
				continue;
			if (c->state == CTR_DOWN && !ctr_will_restart(c))
				return -1;
			ctr_drive(c);
			return 0;
		}
	}
	return 1;
}

bool ctrs_over(struct pod *p)
{
	for (size_t i = 0; i < p->n_ctrs; i++) {
		struct ctr *c = p->ctrs[i];

		if (c->kind == CTR_MAIN && (c->state != CTR_DOWN || ctr_will_restart(c)))
			return false;
	}
	return true;
}

bool ctrs_run(struct pod *p)
{
	if (!p->initialized) {
		int r = inits_run(p);

		if (r <= 0)
			return r < 0;
		p->initialized = true;
	}
	if (ctrs_over(p))
		return true;
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->kind != CTR_INIT)
			ctr_drive(p->ctrs[i]);
	return false;
}

int64_t ctrs_next_due(struct pod *p)
{
	int64_t due = INT64_MAX;

	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i]->state == CTR_WAIT && p->ctrs[i]->retry_ms)
			due = min_i64(due, p->ctrs[i]->retry_ms);
	return due;
}

/* --- after a restart of the daemon --- */

const struct node *ctr_status_in(struct pod *p, const char *name)
{
	static const enum field lists[] = {F_initContainerStatuses, F_containerStatuses,
					   F_ephemeralContainerStatuses};
	const struct node *st = pod_status_node(p), *c;

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if ((c = node_named(node_get(st, lists[i]), name)))
			return c;
	return NULL;
}

static const char *known_reason(const char *s)
{
	static const char *const all[] = {"Completed",	"Error",   "OOMKilled",
					  "StartError", "Unknown", "ContainerStatusUnknown"};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (streq(all[i], s))
			return all[i];
	return "Error";
}

static const char *bare_id(const char *container_id)
{
	const char *s = strstr(container_id, "://");

	return s ? s + 3 : container_id;
}

static int64_t time_in(const struct node *n)
{
	int64_t ns;

	return time_parse_rfc3339(node_str(n), &ns) ? ns / SEC_NS : 0;
}

static void end_from_status(struct ctr_end *e, const struct node *term)
{
	if (!term)
		return;
	ctr_end_clear(e);
	e->set = true;
	e->exit_code = (int)node_int(node_get(term, F_exitCode), 0);
	e->signal = (int)node_int(node_get(term, F_signal), 0);
	e->reason = known_reason(node_gets(term, F_reason));
	e->message = xstrdup_null(node_cstr(node_get(term, F_message)));
	e->started_s = time_in(node_get(term, F_startedAt));
	e->finished_s = time_in(node_get(term, F_finishedAt));
	snprintf(e->id, sizeof(e->id), "%s", bare_id(node_gets(term, F_containerID)));
}

/* What the API remembers of it; the machine may have been switched off since. */
static void ctr_recall(struct ctr *c, const struct node *status)
{
	const struct node *state = node_get(status, F_state);

	c->attempt = (unsigned)node_int(node_get(status, F_restartCount), 0);
	snprintf(c->id, sizeof(c->id), "%s", bare_id(node_gets(status, F_containerID)));
	set_str(&c->image_name, node_gets(status, F_image));
	set_str(&c->image_id, node_gets(status, F_imageID));
	end_from_status(&c->last, node_path(status, F_lastState, F_terminated));
	if (node_get(state, F_terminated)) {
		end_from_status(&c->end, node_get(state, F_terminated));
		c->state = CTR_DOWN;
	} else if (node_get(state, F_running)) {
		c->started_s = time_in(node_path(state, F_running, F_startedAt));
		c->state = CTR_UP; /* until its sandbox proves to be gone: ctr_lost */
	} else if (c->last.set) {
		c->end = c->last;
		c->last = (struct ctr_end){0};
		c->state = CTR_DOWN;
	}
	if (c->state == CTR_DOWN)
		c->end_ms = time_mono_ms() - max_i64(0, time_wall_s() - c->end.finished_s) * SEC_MS;
}

void ctr_adopt(struct ctr *c, struct container *rc, const struct node *status)
{
	struct container_status st;

	ctr_recall(c, status);
	if (!rc)
		return;
	container_status(rc, &st);
	if (st.state == CONTAINER_CREATED) { /* the daemon died while it was being made */
		container_remove(rc, false);
		return;
	}
	if (c->end.set && !streq(c->id, st.id)) { /* a newer attempt than the API knows */
		ctr_end_clear(&c->last);
		c->last = c->end;
		c->end = (struct ctr_end){0};
	}
	if (c->state == CTR_DOWN && c->end.set && streq(c->end.id, st.id) && st.state == CONTAINER_EXITED)
		return;
	c->attempt = st.attempt;
	c->started_s = st.started_ns / SEC_NS;
	snprintf(c->id, sizeof(c->id), "%s", st.id);
	set_str(&c->image, node_gets(ctr_spec(c), F_image));
	c->state = CTR_UP;
	if (st.state == CONTAINER_EXITED) {
		ctr_ended(c, &st);
		return;
	}
	c->ready = node_bool(node_get(status, F_ready), false);
	c->started = node_bool(node_get(status, F_started), false);
	probes_start(c, true);
}
