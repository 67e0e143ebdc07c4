/*
 * The message of a container that ended: the end of what it wrote to its
 * termination file (terminationMessagePath) or, with FallbackToLogsOnError and
 * a failure, the end of its log. The container chose every byte of it: it is read
 * within limits, from a regular file only, and made UTF-8.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/container.h"

#define TERMINATION_BYTES 4096
#define TERMINATION_LOG_BYTES 2048
#define TERMINATION_LOG_LINES 80

/* The last bytes of a regular file. *cut: there was more before them. */
static void read_end(const char *path, size_t max, struct buf *out, bool *cut)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	_cleanup_free_ char *block = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	*cut = (uint64_t)st.st_size > max;
	if (*cut && lseek(fd, st.st_size - (off_t)max, SEEK_SET) < 0)
		return;
	block = xmalloc(max);
	n = fd_read_all(fd, block, max);
	if (n > 0)
		buf_add(out, block, (size_t)n);
}

/* The texts of the last lines of a CRI log ("time stream tag text"). */
static void read_log_end(const char *path, struct buf *out)
{
	_cleanup_buf_ struct buf raw = BUF_INIT;
	bool cut = false;
	struct str rest;

	read_end(path, 4 * TERMINATION_LOG_BYTES + 64 * TERMINATION_LOG_LINES, &raw, &cut);
	rest = buf_str(&raw);
	if (cut)
		str_cut(&rest, '\n'); /* a piece of a line */
	while (rest.p && rest.n) {
		struct str line = str_cut(&rest, '\n'), tag;

		str_cut(&line, ' ');
		str_cut(&line, ' ');
		tag = str_cut(&line, ' ');
		if (!line.p)
			continue;
		buf_addstr(out, line);
		if (!str_eqc(tag, "P"))
			buf_addch(out, '\n');
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

char *message_utf8(struct str s)
{
	struct buf b = BUF_INIT;

	while (s.n) {
		size_t n = (unsigned char)*s.p ? str_utf8_step(s.p, s.n) : 0;

		if (n)
			buf_add(&b, s.p, n);
		else
			buf_adds(&b, "\xef\xbf\xbd");
		n = n ? n : 1;
		s = str_n(s.p + n, s.n - n);
	}
	return buf_detach(&b, NULL);
}

char *ctr_message(struct ctr *c, int exit_code)
{
	_cleanup_free_ char *dir = pod_dir(c->pod),
			    *path = xasprintf("%s/containers/%s/%u", dir, c->name, c->attempt);
	_cleanup_free_ char *log = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool cut = false;

	read_end(path, TERMINATION_BYTES, &b, &cut);
	unlink(path);
	if (!b.len && exit_code != 0 &&
	    node_streq(node_get(ctr_spec(c), F_terminationMessagePolicy), "FallbackToLogsOnError")) {
		log = ctr_log_file(c, c->attempt);
		read_log_end(log, &b);
		cut_tail(&b, TERMINATION_LOG_BYTES, TERMINATION_LOG_LINES);
	}
	return b.len ? message_utf8(buf_str(&b)) : NULL;
}
