/*
 * Reading CRI log files, for `kubectl logs`.
 *
 * A container's log is <n>.log and what was rotated away from it,
 * <n>.log.<time>, whose names sort by time. Reading begins where the tail or the
 * oldest file begins, goes through the files in order, in pieces, one for each
 * turn of the loop, and ends at the end of <n>.log, or, when following, when
 * nothing more may come. New text is announced by inotify (one instance for all
 * readers). A file that was rotated away while being read is found again by its
 * inode, and reading goes on with the next younger one.
 *
 * As the kubelet does: --tail counts lines of the file, a line in several parts
 * (tag P) gets one time stamp, lines that are not in the format are left out.
 *
 * The end of a follower: the keeper closes the file before it tells that the
 * container ended. So a closed file is looked at again shortly after, a little
 * later each time, until `running` says no; while a container runs there is no
 * timer.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/path.h"
#include "base/time.h"
#include "base/tree.h"
#include "base/vec.h"
#include "run/run.h"

#define LOG_CHUNK (64 << 10)
#define LOG_RECHECK_FIRST_MS 5
#define LOG_RECHECK_MAX_MS 1000
#define LOG_EVENTS (IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE)

struct log_names {
	char **v;
	size_t n, cap;
};

struct run_log {
	TAILQ_ENTRY(run_log) link; /* followers */
	struct loop *loop;
	struct run_log_opts o;
	char *dir, *base; /* "0.log" */
	int fd;
	ino_t ino;
	struct log_names older; /* still to be read before <base>, oldest first */
	off_t start; /* in the first file */
	struct buf rest; /* the beginning of a line */
	struct buf out;
	bool inside; /* the last part had tag P */
	bool paused, ended, freed;
	int64_t left; /* of limit_bytes */
	int wd;
	int recheck_ms; /* 0: the file is open for writing, as far as known */
	struct loop_timer *timer;
	struct loop_task task;
	int busy; /* inside a callback */
	void (*data)(void *arg, const void *p, size_t n);
	void (*end)(void *arg, const struct err *err);
	bool (*running)(void *arg);
	void *arg;
};

/* One inotify instance for all. */
static struct log_hub {
	int fd;
	struct loop_fd *watch;
	TAILQ_HEAD(, run_log) followers;
} log_hub = { .fd = -1, .followers = TAILQ_HEAD_INITIALIZER(log_hub.followers) };

static void log_wake(struct run_log *g)
{
	if (!g->paused && !g->ended && !g->freed)
		loop_defer(g->loop, &g->task);
}

static void log_hub_readable(void *arg, int what)
{
	char data[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	while ((n = read(log_hub.fd, data, sizeof(data))) > 0) {
		for (char *p = data; p < data + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;
			struct run_log *g;

			TAILQ_FOREACH(g, &log_hub.followers, link) {
				if (ev->mask & IN_Q_OVERFLOW || ev->wd == g->wd) {
					if (ev->mask & IN_CLOSE_WRITE && !g->recheck_ms)
						g->recheck_ms = LOG_RECHECK_FIRST_MS;
					log_wake(g);
				}
			}
			p += sizeof(*ev) + ev->len;
		}
	}
}

static int log_hub_join(struct run_log *g)
{
	if (log_hub.fd < 0) {
		log_hub.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (log_hub.fd < 0)
			return -errno;
		log_hub.watch = loop_fd_new(g->loop, log_hub.fd, LOOP_READ, log_hub_readable, NULL);
	}
	g->wd = inotify_add_watch(log_hub.fd, g->dir, LOG_EVENTS);
	if (g->wd < 0)
		return -errno;
	TAILQ_INSERT_TAIL(&log_hub.followers, g, link);
	return 0;
}

static void log_hub_leave(struct run_log *g)
{
	struct run_log *other;

	if (g->wd < 0)
		return;
	TAILQ_REMOVE(&log_hub.followers, g, link);
	TAILQ_FOREACH(other, &log_hub.followers, link)
		if (other->wd == g->wd)
			break;
	if (!other)
		inotify_rm_watch(log_hub.fd, g->wd);
	g->wd = -1;
	if (TAILQ_EMPTY(&log_hub.followers)) {
		log_hub.watch = loop_fd_free(log_hub.watch);
		log_hub.fd = close_fd(log_hub.fd);
	}
}

/* --- files --- */

static int log_name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void log_names_release(struct log_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	VEC_RELEASE(names);
}

/* The rotated files, oldest first. */
static void log_list(const struct run_log *g, struct log_names *out)
{
	_cleanup_free_ char *prefix = xasprintf("%s.", g->base);
	DIR *d = opendir(g->dir);
	struct dirent *x;

	while (d && (x = readdir(d)))
		if (starts_with(x->d_name, prefix) && !ends_with(x->d_name, ".gz") &&
		    !ends_with(x->d_name, ".tmp"))
			VEC_PUSH(out, xstrdup(x->d_name));
	if (d)
		closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof(char *), log_name_cmp);
}

static int log_open_named(const struct run_log *g, const char *name)
{
	_cleanup_free_ char *path = path_join(g->dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

static int log_switch(struct run_log *g, const char *name)
{
	int fd = log_open_named(g, name);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	close_fd(g->fd);
	g->fd = fd;
	g->ino = st.st_ino;
	buf_clear(&g->rest);
	return 0;
}

/* At the end of a file: 1 when there is a younger one to go on with, 0 when this is <base> itself. */
static int log_next(struct run_log *g)
{
	_cleanup_free_ char *path = path_join(g->dir, g->base);
	struct log_names names = VEC_INIT;
	struct stat st;
	const char *next = NULL;
	int r = 0;

	if (g->older.n) {
		char *name = g->older.v[0];

		VEC_REMOVE(&g->older, 0);
		r = log_switch(g, name);
		free(name);
		return r < 0 ? log_next(g) : 1; /* it may have been removed meanwhile */
	}
	if (stat(path, &st) < 0 || st.st_ino == g->ino)
		return 0;
	/* Rotated away while it was read. */
	log_list(g, &names);
	for (size_t i = 0; i < names.n; i++) {
		_cleanup_free_ char *p = path_join(g->dir, names.v[i]);

		if (stat(p, &st) == 0 && st.st_ino == g->ino)
			next = i + 1 < names.n ? names.v[i + 1] : NULL;
	}
	r = log_switch(g, next ? next : g->base);
	log_names_release(&names);
	return r == 0;
}

/* --- the tail --- */

/* Where the last *want lines begin; *want becomes what is still lacking (0: found). */
static off_t log_tail_start(int fd, int64_t *want)
{
	struct stat st;
	char *block;
	off_t at;

	if (fstat(fd, &st) < 0 || *want <= 0)
		return fd >= 0 && st.st_size > 0 ? st.st_size : 0;
	at = st.st_size;
	block = xmalloc(LOG_CHUNK);
	while (at > 0) {
		size_t n = at < LOG_CHUNK ? (size_t)at : LOG_CHUNK;
		ssize_t got = pread(fd, block, n, at - (off_t)n);

		if (got != (ssize_t)n)
			break;
		for (size_t i = n; i-- > 0;) {
			off_t pos = at - (off_t)n + (off_t)i;

			if (block[i] != '\n' || pos == st.st_size - 1)
				continue;
			if (--*want == 0) {
				free(block);
				return pos + 1;
			}
		}
		at -= (off_t)n;
	}
	free(block);
	if (st.st_size > 0)
		--*want; /* the file's first line */
	return 0;
}

/* Chooses the files to read: g->older and the start in the first of them. */
static void log_find_tail(struct run_log *g)
{
	struct log_names all = VEC_INIT;
	int64_t want = g->o.tail;
	size_t first;

	log_list(g, &all);
	if (g->o.tail < 0) {
		g->older = all;
		return;
	}
	g->start = log_tail_start(g->fd, &want);
	for (first = all.n; want > 0 && first > 0; first--) {
		_cleanup_close_ int fd = log_open_named(g, all.v[first - 1]);

		if (fd < 0)
			break;
		g->start = log_tail_start(fd, &want);
	}
	for (size_t i = 0; i < all.n; i++) {
		if (i < first)
			free(all.v[i]);
		else
			VEC_PUSH(&g->older, all.v[i]);
	}
	VEC_RELEASE(&all);
}

/* --- lines --- */

static void log_line(struct run_log *g, struct str line)
{
	struct str stamp = str_cut(&line, ' '), stream = str_cut(&line, ' '), tags = str_cut(&line, ' ');
	struct str tag = str_cut(&tags, ':');
	bool partial = str_eqc(tag, "P");
	int64_t ns;

	if (!line.p || (!str_eqc(stream, "stdout") && !str_eqc(stream, "stderr")) ||
	    (!partial && !str_eqc(tag, "F")))
		return;
	if (g->o.stream && !str_eqc(stream, g->o.stream))
		return;
	if (g->o.since_ns && (!time_parse_rfc3339(stamp, &ns) || ns < g->o.since_ns))
		return;
	if (g->o.timestamps && !g->inside) {
		buf_addstr(&g->out, stamp);
		buf_addch(&g->out, ' ');
	}
	buf_addstr(&g->out, line);
	if (!partial)
		buf_addch(&g->out, '\n');
	g->inside = partial;
}

static void log_text(struct run_log *g, const char *p, size_t n)
{
	const char *nl;

	while ((nl = memchr(p, '\n', n))) {
		size_t len = (size_t)(nl - p);

		if (g->rest.len) {
			buf_add(&g->rest, p, len);
			log_line(g, buf_str(&g->rest));
			buf_clear(&g->rest);
		} else {
			log_line(g, str_n(p, len));
		}
		p += len + 1;
		n -= len + 1;
	}
	if (g->rest.len + n > 4 * LIMIT_LOG_LINE_BYTES) /* no log of ours */
		buf_clear(&g->rest);
	else
		buf_add(&g->rest, p, n);
}

/* --- the reader --- */

static void log_destroy(struct run_log *g)
{
	loop_undefer(g->loop, &g->task);
	loop_timer_free(g->timer);
	log_hub_leave(g);
	close_fd(g->fd);
	log_names_release(&g->older);
	buf_release(&g->rest);
	buf_release(&g->out);
	free(g->dir);
	free(g->base);
	free(g);
}

static void log_end(struct run_log *g, const struct err *e)
{
	if (g->ended)
		return;
	g->ended = true;
	log_hub_leave(g);
	loop_timer_clear(g->timer);
	g->end(g->arg, e);
}

/* False when the limit was reached. */
static bool log_hand_out(struct run_log *g)
{
	size_t n = g->out.len;

	if (g->o.limit_bytes > 0 && (int64_t)n > g->left)
		n = (size_t)g->left;
	g->left -= (int64_t)n;
	if (n)
		g->data(g->arg, g->out.s, n);
	buf_clear(&g->out);
	return g->o.limit_bytes <= 0 || g->left > 0;
}

/* Nothing more in the file now. */
static void log_at_end(struct run_log *g)
{
	if (log_next(g) == 1) {
		g->recheck_ms = 0;
		log_wake(g);
		return;
	}
	if (!g->o.follow) {
		log_end(g, NULL);
		return;
	}
	if (g->recheck_ms == -1) { /* that was the last look after the end */
		log_end(g, NULL);
		return;
	}
	if (g->running && !g->running(g->arg)) {
		if (g->freed)
			return;
		g->recheck_ms = -1;
		log_wake(g);
		return;
	}
	if (g->recheck_ms > 0) {
		loop_timer_set(g->timer, g->recheck_ms);
		g->recheck_ms =
			g->recheck_ms * 2 > LOG_RECHECK_MAX_MS ? LOG_RECHECK_MAX_MS : g->recheck_ms * 2;
	}
}

static void log_step(struct run_log *g)
{
	static char chunk[LOG_CHUNK];
	_cleanup_err_ struct err e = ERR_INIT;
	ssize_t n = read(g->fd, chunk, sizeof(chunk));

	if (n < 0) {
		err_errno(&e, errno, "read '%s/%s'", g->dir, g->base);
		log_end(g, &e);
		return;
	}
	if (n == 0) {
		log_at_end(g);
		return;
	}
	log_text(g, chunk, (size_t)n);
	if (!log_hand_out(g)) {
		if (!g->freed)
			log_end(g, NULL);
		return;
	}
	log_wake(g);
}

static void log_run(struct loop_task *t)
{
	struct run_log *g = CONTAINER_OF(t, struct run_log, task);

	if (g->ended || g->paused)
		return;
	g->busy++;
	log_step(g);
	g->busy--;
	if (g->freed)
		log_destroy(g);
}

static void log_recheck(void *arg)
{
	log_wake(arg);
}

/* Opens what is to be read; the result is told by the first turn. */
static int log_begin(struct run_log *g, struct err *e)
{
	int r = log_switch(g, g->base);

	if (r == 0 && g->o.follow)
		r = log_hub_join(g);
	if (r < 0)
		return err_errno(e, -r, "open log '%s/%s'", g->dir, g->base);
	log_find_tail(g);
	if (g->older.n) {
		close_fd(g->fd);
		g->fd = -1;
		g->ino = 0;
		VEC_PUSH(&g->older, xstrdup(g->base));
		(void)log_next(g);
	}
	if (g->fd >= 0 && g->start > 0 && lseek(g->fd, g->start, SEEK_SET) < 0)
		return err_errno(e, errno, "seek in log '%s/%s'", g->dir, g->base);
	return 0;
}

static void log_run_first(struct loop_task *t)
{
	struct run_log *g = CONTAINER_OF(t, struct run_log, task);
	_cleanup_err_ struct err e = ERR_INIT;

	g->task.run = log_run;
	if (g->o.follow && g->running && !g->running(g->arg))
		g->recheck_ms = -1;
	if (log_begin(g, &e) == 0) {
		log_wake(g);
		return;
	}
	g->busy++;
	log_end(g, &e);
	g->busy--;
	if (g->freed)
		log_destroy(g);
}

struct run_log *run_log_read(struct loop *l, const char *path, const struct run_log_opts *o,
			     void (*data)(void *arg, const void *p, size_t n),
			     void (*end)(void *arg, const struct err *err), bool (*running)(void *arg),
			     void *arg)
{
	struct run_log *g = xcalloc(1, sizeof(*g));
	const char *base = path_base(path);

	g->loop = l;
	g->o = *o;
	g->dir = base > path ? xmemdupz(path, (size_t)(base - path)) : xstrdup(".");
	g->base = xstrdup(base);
	g->fd = g->wd = -1;
	g->left = o->limit_bytes;
	buf_init(&g->rest);
	buf_init(&g->out);
	g->data = data;
	g->end = end;
	g->running = running;
	g->arg = arg;
	g->timer = loop_timer_new(l, log_recheck, g);
	g->task.run = log_run_first;
	loop_defer(l, &g->task);
	return g;
}

void run_log_pause(struct run_log *g, bool paused)
{
	g->paused = paused;
	log_wake(g);
}

struct run_log *run_log_free(struct run_log *g)
{
	if (!g)
		return NULL;
	g->freed = true;
	if (!g->busy)
		log_destroy(g);
	return NULL;
}
