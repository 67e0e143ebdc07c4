/*
 * The access log: a line for each request, as nginx and Apache's "combined" has it,
 * and behind that the host, the Ingress, the endpoint, and the times of both in
 * seconds:
 *
 *	10.0.0.9 - - [28/Nov/2026:16:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8" foo.com ns/name 10.42.0.5:80 0.004 0.003
 *
 * Lines gather while a thread writes those before; what does not fit any more is
 * counted and left out, so that no disk holds up a request. A file that was moved
 * away is opened anew.
 */
#include "svc/ingress.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/time.h"

#define LOG_MAX (1u << 20) /* bytes that wait */

struct ing_log {
	struct loop *loop;
	char *path; /* NULL: the standard output */
	int fd;
	struct job_queue *jobs;
	struct buf lines, writing;
	bool busy;
	struct loop_task flush;
	int64_t stamp_s;
	char stamp[40];
};

/* On the thread. */
static void log_write_file(void *arg)
{
	struct ing_log *g = arg;
	struct stat now, was;
	size_t at = 0;

	if (g->path && (g->fd < 0 || stat(g->path, &now) < 0 || fstat(g->fd, &was) < 0 || now.st_ino != was.st_ino ||
			now.st_dev != was.st_dev)) {
		close_fd(g->fd);
		g->fd = open(g->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	}
	while (g->fd >= 0 && at < g->writing.len) {
		ssize_t n = write(g->fd, g->writing.s + at, g->writing.len - at);

		if (n < 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
}

static void log_written(void *arg)
{
	struct ing_log *g = arg;

	g->busy = false;
	buf_clear(&g->writing);
	if (g->lines.len)
		loop_defer(g->loop, &g->flush);
}

static void log_flush(struct loop_task *t)
{
	struct ing_log *g = CONTAINER_OF(t, struct ing_log, flush);
	struct buf b = g->writing;

	if (g->busy)
		return;
	g->writing = g->lines;
	g->lines = b;
	g->busy = job_submit(g->jobs, log_write_file, log_written, g) == 0;
	if (!g->busy)
		buf_clear(&g->writing);
}

struct ing_log *ing_log_open(struct loop *l, const char *path)
{
	struct ing_log *g;

	if (str_empty(path))
		return NULL;
	g = xcalloc(1, sizeof(*g));
	g->loop = l;
	g->path = streq(path, "-") ? NULL : xstrdup(path);
	g->fd = g->path ? -1 : 1;
	g->jobs = job_queue_new(l, "ingress-log", 1, 4);
	g->flush.run = log_flush;
	buf_init(&g->lines);
	buf_init(&g->writing);
	return g;
}

struct ing_log *ing_log_close(struct ing_log *g)
{
	if (!g)
		return NULL;
	loop_undefer(g->loop, &g->flush);
	g->jobs = job_queue_free(g->jobs);
	loop_undefer(g->loop, &g->flush);
	if (g->path)
		close_fd(g->fd);
	free(g->path);
	buf_release(&g->lines);
	buf_release(&g->writing);
	free(g);
	return NULL;
}

/* What a client says must not end the field, or the line. */
static void log_quote(struct buf *out, struct str s)
{
	if (!s.n)
		buf_addch(out, '-');
	for (size_t i = 0; i < s.n && i < 2048; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c >= 0x7f || c == '"' || c == '\\')
			buf_addf(out, "\\x%02X", c);
		else
			buf_addch(out, (char)c);
	}
}

static const char *log_stamp(struct ing_log *g)
{
	int64_t now = time_wall_s();
	time_t t = (time_t)now;
	struct tm tm;

	if (now == g->stamp_s)
		return g->stamp;
	g->stamp_s = now;
	gmtime_r(&t, &tm);
	strftime(g->stamp, sizeof(g->stamp), "%d/%b/%Y:%H:%M:%S +0000", &tm);
	return g->stamp;
}

static void log_seconds(struct buf *out, int64_t us)
{
	buf_addf(out, " %lld.%03lld", (long long)(us / 1000000), (long long)(us / 1000 % 1000));
}

void ing_log_request(struct ing_conn *c)
{
	struct ing_log *g = c->ing->log;
	const struct ing_req *r = &c->r;
	struct buf *b;

	if (!g)
		return;
	if (g->lines.len > LOG_MAX) {
		c->ing->stats.log_dropped++;
		return;
	}
	b = &g->lines;
	buf_addf(b, "%s - - [%s] \"", c->peer_text, log_stamp(g));
	if (r->head.method.p) {
		log_quote(b, r->head.method);
		buf_addch(b, ' ');
		log_quote(b, r->head.target);
		buf_addf(b, " HTTP/1.%d", r->head.minor);
	}
	buf_addf(b, "\" %d %lld \"", r->status, (long long)r->bytes_out);
	log_quote(b, http_head_get(&r->head, "Referer"));
	buf_adds(b, "\" \"");
	log_quote(b, http_head_get(&r->head, "User-Agent"));
	buf_adds(b, "\" ");
	log_quote(b, str_of(r->target.host));
	buf_addf(b, " %s%s%s %s", r->ingress ? r->ingress->ns : "-", r->ingress ? "/" : "", r->ingress ? r->ingress->name : "",
		 r->ep ? r->ep->name : "-");
	log_seconds(b, time_mono_us() - r->start_us);
	if (r->up_us)
		log_seconds(b, r->up_us);
	else
		buf_adds(b, " -");
	buf_addch(b, '\n');
	if (!g->busy)
		loop_defer(g->loop, &g->flush);
}
