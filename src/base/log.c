/*
 * The log: one line, one write(2). A line is less than PIPE_BUF bytes, so lines
 * of several threads and processes on one pipe do not mix, and a pipe that
 * poll(2) calls writable takes it without blocking.
 *
 * A reader that stopped reading must not stop the server: the first line that
 * finds the fd full waits a little, then lines are dropped and counted, and the
 * count is told when the reader is back.
 *
 *	text: 2006-01-02T15:04:05.000000Z I started container pod=default/web pid=12
 *	JSON: {"ts":"...","level":"info","msg":"started container","pod":"default/web","pid":12}
 *
 * Values are escaped (control characters cannot reach a terminal, nor can a
 * value forge a second field or line).
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/time.h"

#define LOG_LINE_MAX 4000 /* PIPE_BUF is 4096 */
#define LOG_VALUE_MAX 1500
#define LOG_WAIT_MS 200

enum log_level log_threshold = LOG_INFO;

static int log_fd = 2;
static int log_json = -1; /* not yet known */
static atomic_flag log_busy = ATOMIC_FLAG_INIT;
static unsigned long long log_dropped; /* under log_busy */

static const char *const log_names[] = { "trace", "debug", "info", "warn", "error", "off" };
static const char log_letters[] = "TDIWE-";

bool log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i <= LOG_ERROR; i++) {
		if (strcasecmp(name, log_names[i]) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

void log_to_fd(int fd)
{
	log_fd = fd;
}

static bool log_is_json(void)
{
	if (log_json < 0) {
		const char *format = getenv("KINGLET_LOG_FORMAT");

		log_json = format && strcasecmp(format, "json") == 0;
	}
	return log_json;
}

/* At most max bytes of s, cut between characters. */
static struct str log_clip(const char *s, size_t max)
{
	struct str v = str_of(s ? s : "");

	if (v.n > max) {
		v.n = max;
		while (v.n && (v.p[v.n] & 0xc0) == 0x80)
			v.n--;
	}
	return v;
}

static bool log_is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
			return false;
	}
	return s.n > 0;
}

static void log_add_value(struct buf *b, const struct log_field *f, bool json)
{
	struct str v;

	if (f->type == 'i') {
		buf_addf(b, "%lld", f->i);
		return;
	}
	v = log_clip(f->s, LOG_VALUE_MAX);
	if (!json && log_is_plain(v))
		buf_addstr(b, v);
	else
		buf_add_json_string(b, v);
}

static void log_add_fields(struct buf *b, const struct log_field *f, bool json)
{
	for (; f && f->name; f++) {
		size_t before = b->len;

		if (json) {
			buf_addch(b, ',');
			buf_add_json_string(b, str_of(f->name));
			buf_addch(b, ':');
		} else {
			buf_addf(b, " %s=", f->name);
		}
		log_add_value(b, f, json);
		if (b->len > LOG_LINE_MAX - 32) {
			buf_truncate(b, before);
			buf_adds(b, json ? ",\"truncated\":true" : " truncated=true");
			return;
		}
	}
}

/* The message is ours, but may carry others' words: no control characters in it either. */
static void log_add_msg(struct buf *b, const char *msg, bool json)
{
	size_t start = b->len;

	buf_add_json_string(b, log_clip(msg, LOG_VALUE_MAX));
	if (json)
		return;
	/* The quotes are only in the way in text. */
	buf_truncate(b, b->len - 1);
	buf_remove(b, start, 1);
}

static void log_format(struct buf *b, enum log_level l, const char *msg, const struct log_field *fields)
{
	char stamp[TIME_MICRO_LEN];
	bool json = log_is_json();

	time_fmt_micro(stamp, time_wall_us());
	if (json)
		buf_addf(b, "{\"ts\":\"%s\",\"level\":\"%s\",\"msg\":", stamp, log_names[l]);
	else
		buf_addf(b, "%s %c ", stamp, log_letters[l]);
	log_add_msg(b, msg, json);
	log_add_fields(b, fields, json);
	buf_adds(b, json ? "}\n" : "\n");
}

static bool log_put(const struct buf *b, int wait_ms)
{
	struct pollfd p = { .fd = log_fd, .events = POLLOUT };
	int n;

	do
		n = poll(&p, 1, wait_ms);
	while (n < 0 && errno == EINTR && wait_ms == 0);
	if (n < 1 || !(p.revents & POLLOUT))
		return false;
	/* A disk that is full or a reader that is gone: there is nobody left to tell. */
	return write(log_fd, b->s, b->len) == (ssize_t)b->len;
}

static void log_put_dropped(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct log_field fields[] = { LI("lines", log_dropped), { 0 } };

	log_format(&b, LOG_WARN, "the log's reader was too slow, lines were lost", fields);
	if (log_put(&b, 0))
		log_dropped = 0;
}

void log_write(enum log_level l, const char *msg, const struct log_field *fields)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int saved = errno;

	if (l >= LOG_OFF)
		return;
	log_format(&b, l, msg, fields);
	while (atomic_flag_test_and_set_explicit(&log_busy, memory_order_acquire))
		sched_yield();
	if (log_dropped)
		log_put_dropped();
	if (log_dropped || !log_put(&b, LOG_WAIT_MS))
		log_dropped++;
	atomic_flag_clear_explicit(&log_busy, memory_order_release);
	errno = saved;
}
