/*
 * The message of a container that ended: what it wrote to its termination file
 * (terminationMessagePath) or, with FallbackToLogsOnError, the end of its log.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "node/container.h"

#define TERMINATION_BYTES 4096
#define TERMINATION_LOG_BYTES 2048
#define TERMINATION_LOG_LINES 80

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

char *ctr_message(struct ctr *c, int exit_code)
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
