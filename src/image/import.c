/*
 * Importing archives, and the unpacking child as its parent sees it.
 *
 * The long work (reading, hashing, writing) is the child's, in a directory of its
 * own below tmp/. The parent reads what the child says on a pipe; when the pipe is
 * at its end and the child is gone, the report goes to the index under the lock.
 * On any failure the directory goes, and nothing was changed.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/path.h"
#include "image/internal.h"

/* --- the child --- */

struct unpack {
	LIST_ENTRY(unpack) link;
	struct image_store *store;
	struct proc *proc; /* NULL: it has ended, or never began */
	struct loop_fd *watch; /* NULL: the pipe is at its end */
	struct loop_task fail; /* what went wrong at the start is told from the loop */
	int fd;
	int status;
	struct buf in;
	struct doc *report;
	struct err err;
	void (*progress)(void *arg, const char *what);
	void (*done)(void *arg, const struct node *report, const struct err *err);
	void *arg;
};

static void unpack_free(struct unpack *u)
{
	LIST_REMOVE(u, link);
	loop_undefer(u->store->loop, &u->fail);
	loop_fd_free(u->watch);
	close_fd(u->fd);
	if (u->proc) {
		proc_kill(u->proc, SIGKILL);
		proc_abandon(u->proc);
	}
	buf_release(&u->in);
	doc_unref(u->report);
	err_release(&u->err);
	free(u);
}

static void unpack_finish(struct unpack *u)
{
	void (*done)(void *arg, const struct node *report, const struct err *err) = u->done;
	_cleanup_err_ struct err err = ERR_INIT;
	_cleanup_doc_ struct doc *report = take_ptr(&u->report);
	void *arg = u->arg;

	err_move(&err, &u->err);
	unpack_free(u);
	done(arg, err_is_set(&err) ? NULL : doc_root(report), err_is_set(&err) ? &err : NULL);
}

static void unpack_fail_task(struct loop_task *t)
{
	unpack_finish(CONTAINER_OF(t, struct unpack, fail));
}

/* Both ends have come. */
static void unpack_over(struct unpack *u)
{
	if (u->proc || u->watch)
		return;
	if (!err_is_set(&u->err) && WIFSIGNALED(u->status))
		err_set(&u->err, ERR_INTERNAL, "the unpacking process was ended by signal %d (%s)", WTERMSIG(u->status),
			strsignal(WTERMSIG(u->status)));
	else if (!err_is_set(&u->err) && !u->report)
		err_set(&u->err, ERR_INTERNAL, "the unpacking process ended without a report (exit status %d)",
			WEXITSTATUS(u->status));
	unpack_finish(u);
}

static void unpack_on_exit(void *arg, int status)
{
	struct unpack *u = arg;

	u->proc = NULL;
	u->status = status;
	unpack_over(u);
}

static void unpack_take_error(struct unpack *u, const struct node *n)
{
	int64_t code = node_int(node_getc(n, "code"), EIO);

	err_set(&u->err, err_reason_from_name(node_cstr_or(node_getc(n, "reason"), "")), "%s",
		node_cstr_or(node_getc(n, "message"), "unpacking failed"));
	u->err.code = code > 0 && code < 4096 ? (int)code : EIO;
}

static void unpack_take_line(struct unpack *u, struct str line)
{
	const struct doc_json_opts opts = { .max_bytes = UNPACK_REPORT_MAX };
	struct doc *d = NULL;
	const struct node *n;

	if (err_is_set(&u->err) || doc_parse_json(&d, line, &opts, &u->err) < 0)
		return;
	n = doc_root(d);
	if (node_getc(n, "error")) {
		unpack_take_error(u, node_getc(n, "error"));
	} else if (node_getc(n, "images")) {
		doc_unref(u->report);
		u->report = doc_ref(d);
	} else if (u->progress) {
		u->progress(u->arg, node_cstr_or(node_getc(n, "progress"), ""));
	}
	doc_unref(d);
}

static void unpack_on_data(void *arg, int what)
{
	struct unpack *u = arg;
	char block[16 << 10], *nl;
	ssize_t n = read(u->fd, block, sizeof(block));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		buf_add(&u->in, block, (size_t)n);
	while ((nl = memchr(u->in.s, '\n', u->in.len))) {
		unpack_take_line(u, str_n(u->in.s, (size_t)(nl - u->in.s)));
		buf_remove(&u->in, 0, (size_t)(nl - u->in.s) + 1);
	}
	if (u->in.len > UNPACK_REPORT_MAX) {
		err_set(&u->err, ERR_INTERNAL, "the unpacking process reported too much");
		n = 0;
	}
	if (n > 0)
		return;
	u->watch = loop_fd_free(u->watch);
	if (u->proc && err_is_set(&u->err))
		proc_kill(u->proc, SIGKILL); /* it has said its last word */
	unpack_over(u);
}

static int unpack_start(struct unpack *u, int archive_fd, const struct image_tmp *tmp, const char *base_name,
			struct err *e)
{
	const char *argv[] = { "kinglet", "internal", "unpack", u->store->dir, tmp->name, base_name,
			       archive_fd < 0 ? "layout" : "archive", NULL };
	int pipe_fds[2];
	struct proc_opts o = { .argv = argv, .self = true, .in = -1, .out = -1, .err = -1, .die_with_parent = true };

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_errno(e, errno, "make a pipe");
	o.fds = (int[]){ archive_fd, pipe_fds[1], tmp->lock_fd };
	o.n_fds = 3;
	u->fd = pipe_fds[0];
	u->proc = proc_spawn(u->store->loop, &o, unpack_on_exit, u, e);
	close_fd(pipe_fds[1]);
	if (!u->proc)
		return -e->code;
	fd_set_nonblock(u->fd, true);
	u->watch = loop_fd_new(u->store->loop, u->fd, LOOP_READ, unpack_on_data, u);
	return 0;
}

static struct unpack *unpack_new(struct image_store *s,
				 void (*done)(void *arg, const struct node *report, const struct err *err), void *arg)
{
	struct unpack *u = xcalloc(1, sizeof(*u));

	u->store = s;
	u->fd = -1;
	u->done = done;
	u->arg = arg;
	u->fail.run = unpack_fail_task;
	buf_init(&u->in);
	LIST_INSERT_HEAD(&s->unpacks, u, link);
	return u;
}

struct unpack *image_unpack(struct image_store *s, int archive_fd, const struct image_tmp *tmp, const char *base_name,
			    void (*progress)(void *arg, const char *what),
			    void (*done)(void *arg, const struct node *report, const struct err *err), void *arg)
{
	struct unpack *u = unpack_new(s, done, arg);

	u->progress = progress;
	if (unpack_start(u, archive_fd, tmp, base_name, &u->err) < 0)
		loop_defer(s->loop, &u->fail);
	return u;
}

/* One that has failed before it began. */
static void unpack_refuse(struct image_store *s, struct err *err_take,
			  void (*done)(void *arg, const struct node *report, const struct err *err), void *arg)
{
	struct unpack *u = unpack_new(s, done, arg);

	err_move(&u->err, err_take);
	loop_defer(s->loop, &u->fail);
}

void image_unpack_cancel(struct unpack *u)
{
	unpack_free(u);
}

void image_unpack_close(struct unpack *u)
{
	if (!err_is_set(&u->err))
		err_set(&u->err, ERR_SERVICE_UNAVAILABLE, "the image store was closed");
	unpack_finish(u);
}

/* --- importing an archive --- */

struct import {
	struct image_store *store;
	struct image_tmp tmp;
	struct err err;
	char *path;
	int flags;
	void (*progress)(void *arg, const char *what);
	void (*done)(void *arg, char *const *names, const struct err *err);
	void *arg;
};

static void import_finish(struct import *im, char **names)
{
	struct image_store *s = im->store;
	_cleanup_err_ struct err ignored = ERR_INIT;
	_cleanup_close_ int lock = -1;

	image_tmp_remove(s, &im->tmp);
	lock = image_store_lock(s, &ignored);
	if (lock >= 0 && image_index_load(s, &ignored) == 0)
		image_sweep(s);
	lock = close_fd(lock);
	if (err_is_set(&im->err))
		err_wrap(&im->err, "import '%s'", im->path);
	im->done(im->arg, names, err_is_set(&im->err) ? &im->err : NULL);
	image_names_free(names);
	err_release(&im->err);
	free(im->path);
	free(im);
}

static void import_on_progress(void *arg, const char *what)
{
	struct import *im = arg;

	if (im->progress)
		im->progress(im->arg, what);
}

static void import_on_report(void *arg, const struct node *report, const struct err *err)
{
	struct import *im = arg;
	_cleanup_free_ char *id = NULL;
	char **names = NULL;

	if (err)
		err_copy(&im->err, err);
	else
		(void)!image_index_add(im->store, im->tmp.name, report, im->flags, &names, &id, &im->err);
	import_finish(im, names);
}

/* "/x/My Image-1.tar.gz" -> "my-image-1": letters, digits, single separators between them. */
static char *import_base_name(const char *path)
{
	static const char *const endings[] = { ".gz", ".zst", ".zstd", ".tgz", ".tar", ".oci" };
	struct str s = str_of(path_base(path));
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++)
		if (str_ends(s, str_of(endings[i])))
			s.n -= strlen(endings[i]);
	for (size_t i = 0; i < s.n && out.len < 100; i++) {
		char c = (char)tolower((unsigned char)s.p[i]);

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			buf_addch(&out, c);
		else if (out.len && out.s[out.len - 1] != '-')
			buf_addch(&out, '-');
	}
	while (out.len && out.s[out.len - 1] == '-')
		buf_truncate(&out, out.len - 1);
	return buf_detach(&out, NULL);
}

static int import_start(struct import *im, struct err *e)
{
	_cleanup_free_ char *base = import_base_name(im->path);
	_cleanup_close_ int fd = open(im->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_BAD_REQUEST, "%s", strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_BAD_REQUEST, "it is a directory: pack it first (tar -cf image.tar -C '%s' .)",
			       im->path);
	if (image_tmp_make(im->store, &im->tmp, e) < 0)
		return -e->code;
	image_unpack(im->store, fd, &im->tmp, base, import_on_progress, import_on_report, im);
	return 0;
}

void image_import(struct image_store *s, const char *path, int flags, void (*progress)(void *arg, const char *what),
		  void (*done)(void *arg, char *const *names, const struct err *err), void *arg)
{
	struct import *im = xcalloc(1, sizeof(*im));
	struct err e = ERR_INIT;

	im->store = s;
	im->tmp = (struct image_tmp)IMAGE_TMP_INIT;
	im->path = xstrdup(path);
	im->flags = (flags & IMAGE_IMPORT_PIN ? INDEX_PIN : 0) | (flags & IMAGE_IMPORT_KEEP_BLOBS ? INDEX_KEEP_BLOBS : 0);
	im->progress = progress;
	im->done = done;
	im->arg = arg;
	if (import_start(im, &e) < 0)
		unpack_refuse(s, &e, import_on_report, im);
}
