/*
 * A container's output: to its CRI log file, and to whoever is attached.
 *
 * Log lines are those of the Container Runtime Interface:
 *
 *	2026-11-22T10:00:00.000000000Z stdout F text
 *
 * with tag P in place of F where no newline followed (the line goes on in the
 * next one of its stream, or the output ended there). What one read brought is
 * written with one write and one time. A file that passed its size is renamed to
 * <attempt>.log.<time> and a new one is begun; the oldest beyond the allowed
 * number go. A disk that is full loses lines and never stops a container.
 *
 * An attached reader that does not keep up loses output; only its own.
 */
#include "run/keeper/keeper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "base/limits.h"
#include "base/time.h"

#define DRAIN_MAX (1 << 20)
#define ATTACH_MAX 32 /* for one container */
#define ATTACH_CHUNK 4096
#define LOG_PREFIX_MAX 64
#define TTY_STEPS 64
#define LOG_FILES_SEEN 64 /* rotated files looked at */

static char output_data[LIMIT_LOG_LINE_BYTES];
static char output_text[2 * LIMIT_LOG_LINE_BYTES];

static void log_name(const struct container *c, char out[32])
{
	snprintf(out, 32, "%u.log", c->attempt);
}

static int log_open(struct container *c)
{
	struct stat st;
	char name[32];

	log_name(c, name);
	c->log_fd = openat(c->log_dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (c->log_fd < 0 || fstat(c->log_fd, &st) < 0)
		return -errno;
	c->log_size = st.st_size;
	return 0;
}

static int log_name_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Removes the oldest rotated files of this attempt; their names sort by time. */
static void log_prune(const struct container *c)
{
	static char names[LOG_FILES_SEEN][64];
	char prefix[40];
	struct dirent *d;
	int fd = openat(c->log_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		close_fd(fd);
		return;
	}
	snprintf(prefix, sizeof(prefix), "%u.log.", c->attempt);
	while (n < LOG_FILES_SEEN && (d = readdir(dir)))
		if (starts_with(d->d_name, prefix) && strlen(d->d_name) < sizeof(names[0]))
			strcpy(names[n++], d->d_name);
	closedir(dir);
	qsort(names, n, sizeof(names[0]), log_name_cmp);
	for (int i = 0; i < n - (c->log_files - 1); i++)
		unlinkat(c->log_dir_fd, names[i], 0);
}

/* "0.log.20261122-100000-123456": the kubelet's form, and microseconds for those who write fast. */
static void log_rotate(struct container *c)
{
	char name[32], to[64], t[TIME_NANO_LEN];

	log_name(c, name);
	time_fmt_nano(t, keeper_wall_ns());
	snprintf(to, sizeof(to), "%s.%.4s%.2s%.2s-%.2s%.2s%.2s-%.6s", name, t, t + 5, t + 8, t + 11, t + 14,
		 t + 17, t + 20);
	if (renameat(c->log_dir_fd, name, c->log_dir_fd, to) < 0)
		return;
	c->log_fd = close_fd(c->log_fd);
	c->log_broken = false;
	(void)log_open(c);
	log_prune(c);
}

/* Whole lines. */
static void log_flush(struct container *c, const char *p, size_t n)
{
	if (!n)
		return;
	if (c->log_size > 0 && c->log_size + (int64_t)n > c->log_max)
		log_rotate(c);
	if (c->log_fd < 0 || (c->log_broken && write(c->log_fd, "\n", 1) != 1))
		return;
	c->log_broken = false;
	while (n) {
		ssize_t done = write(c->log_fd, p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			c->log_broken = true;
			return;
		}
		c->log_size += done;
		p += done;
		n -= done;
	}
}

static void log_write(struct stream *s, const char *p, size_t n)
{
	char prefix[LOG_PREFIX_MAX], t[TIME_NANO_LEN];
	size_t at = 0, plen;

	time_fmt_nano(t, keeper_wall_ns());
	plen = snprintf(prefix, sizeof(prefix), "%s %s F ", t, s->name);
	while (n) {
		const char *nl = memchr(p, '\n', n);
		size_t len = nl ? (size_t)(nl - p) : n, text = len;

		if (nl && text && p[text - 1] == '\r')
			text--;
		if (at + plen + text + 1 > sizeof(output_text)) {
			log_flush(s->c, output_text, at);
			at = 0;
		}
		memcpy(output_text + at, prefix, plen);
		if (!nl)
			output_text[at + plen - 2] = 'P';
		at += plen;
		memcpy(output_text + at, p, text);
		at += text;
		output_text[at++] = '\n';
		len += nl != NULL;
		p += len;
		n -= len;
	}
	log_flush(s->c, output_text, at);
}

/* --- attach --- */

static void attach_free(struct attach *a)
{
	TAILQ_REMOVE(&a->c->attaches, a, link);
	watch_close(&a->in);
	watch_close(&a->out);
	watch_close(&a->err);
	free(a->pending);
	free(a);
}

static void attach_check(struct attach *a)
{
	if (a->in.fd < 0 && a->out.fd < 0 && a->err.fd < 0 && !a->pending_n)
		attach_free(a);
}

static void attach_out_gone(struct watch *w, uint32_t events)
{
	struct attach *a = CONTAINER_OF(w, struct attach, out);

	watch_close(w);
	attach_check(a);
}

static void attach_err_gone(struct watch *w, uint32_t events)
{
	struct attach *a = CONTAINER_OF(w, struct attach, err);

	watch_close(w);
	attach_check(a);
}

static void attach_copy(struct container *c, bool is_err, const char *p, size_t n)
{
	struct attach *a;

	TAILQ_FOREACH(a, &c->attaches, link) {
		struct watch *w = is_err ? &a->err : &a->out;

		if (w->fd >= 0)
			(void)!write(w->fd, p, n); /* full: lost; gone: its watch tells */
	}
}

static void input_close(struct container *c)
{
	if (!c->tty)
		watch_close(&c->in);
}

/* False when some is left. */
static bool attach_flush(struct attach *a)
{
	struct container *c = a->c;

	while (a->pending_n) {
		ssize_t n = c->in.fd < 0 ? (ssize_t)a->pending_n
					 : write(c->in.fd, a->pending + a->pending_at, a->pending_n);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) { /* nobody will read it */
			watch_close(&c->in);
			continue;
		}
		a->pending_at += n;
		a->pending_n -= n;
	}
	return true;
}

static void input_writable(struct watch *w, uint32_t events)
{
	struct container *c = CONTAINER_OF(w, struct container, in);
	struct attach *a, *next;
	bool all = true;

	TAILQ_FOREACH_SAFE(a, &c->attaches, link, next)
	{
		if (!attach_flush(a)) {
			all = false;
			continue;
		}
		if (a->in.fd >= 0)
			watch_set(&a->in, EPOLLIN);
		else if (a->in_ended) {
			a->in_ended = false;
			if (c->stdin_once)
				input_close(c);
			attach_check(a);
		}
	}
	if (all && c->in.fd >= 0)
		watch_set(&c->in, 0);
}

static void attach_in_ended(struct attach *a)
{
	watch_close(&a->in);
	if (a->pending_n) {
		a->in_ended = true;
		return;
	}
	if (a->c->stdin_once)
		input_close(a->c);
	attach_check(a);
}

static void attach_in_readable(struct watch *w, uint32_t events)
{
	struct attach *a = CONTAINER_OF(w, struct attach, in);
	struct container *c = a->c;
	ssize_t n;

	if (!a->pending)
		a->pending = xmalloc(ATTACH_CHUNK);
	n = read(w->fd, a->pending, ATTACH_CHUNK);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		attach_in_ended(a);
		return;
	}
	a->pending_at = 0;
	a->pending_n = n;
	if (!attach_flush(a)) {
		watch_set(w, 0);
		c->in.cb = input_writable;
		watch_set(&c->in, EPOLLOUT);
	}
}

static void attach_take(struct watch *w, int fd, uint32_t events,
			void (*cb)(struct watch *w, uint32_t events))
{
	w->fd = -1;
	if (fd < 0)
		return;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	watch_add(w, fd, events, cb);
}

void attach_on(struct asker asker, struct frame *f)
{
	struct container *c = container_find(f->body);
	struct buf *b = conn_buf();
	struct attach *a;
	int n = 0;

	if (!c || c->phase != PHASE_RUNNING) {
		conn_fail(asker, ESRCH, NULL, "the container does not run");
		return;
	}
	TAILQ_FOREACH(a, &c->attaches, link)
		n++;
	if (n >= ATTACH_MAX) {
		conn_fail(asker, EMFILE, NULL, "too many clients are attached to the container");
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->c = c;
	TAILQ_INSERT_TAIL(&c->attaches, a, link);
	attach_take(&a->in, frame_take(f, ROLE_IN), EPOLLIN, attach_in_readable);
	attach_take(&a->out, frame_take(f, ROLE_OUT), EPOLLERR, attach_out_gone);
	attach_take(&a->err, frame_take(f, ROLE_ERR), EPOLLERR, attach_err_gone);
	frame_begin(b, FRAME_REPLY, asker.seq);
	conn_reply(asker, b, NULL, 0);
	attach_check(a);
}

/* --- streams --- */

int output_open(struct container *c)
{
	return log_open(c);
}

/* Bytes, 0 at the end, -1 when there is nothing now. */
static ssize_t output_step(struct stream *s)
{
	ssize_t n = read(s->w.fd, output_data, sizeof(output_data));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -1;
	if (n <= 0) /* a terminal that nobody has open any more says EIO */
		return 0;
	log_write(s, output_data, n);
	attach_copy(s->c, s == &s->c->err, output_data, n);
	return n;
}

/* Nobody has the terminal open. A process of the container may open it again, so
 * it ends with the container only; until then only changes are of interest. */
static void output_read_quiet_terminal(struct stream *s)
{
	for (int i = 0; i < TTY_STEPS; i++)
		if (output_step(s) <= 0)
			return;
	watch_set(&s->w, EPOLLIN); /* busy again */
}

void output_read(struct watch *w, uint32_t events)
{
	struct stream *s = CONTAINER_OF(w, struct stream, w);

	if (w->events & EPOLLET)
		output_read_quiet_terminal(s);
	else if (output_step(s) == 0) {
		if (s->c->tty)
			watch_set(w, EPOLLIN | EPOLLET);
		else
			watch_close(w);
	}
}

void output_drain(struct container *c)
{
	struct stream *all[] = { &c->out, &c->err };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		ssize_t n, sum = 0;

		while (all[i]->w.fd >= 0 && sum < DRAIN_MAX && (n = output_step(all[i])) > 0)
			sum += n;
	}
	output_close(c);
}

void output_close(struct container *c)
{
	struct attach *a;

	while ((a = TAILQ_FIRST(&c->attaches)))
		attach_free(a);
	watch_close(&c->in);
	watch_close(&c->out.w);
	watch_close(&c->err.w);
	c->log_fd = close_fd(c->log_fd);
}
