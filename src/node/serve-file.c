/*
 * /logs/...: the files below /var/log of this machine, and lists of its
 * directories, as the kubelet's file server shows them to those who may get
 * nodes/log. Nothing outside is reached, by no dots and by no link.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/server.h"

#define FILE_ROOT "/var/log"
#define FILE_QUEUE_HIGH (256u << 10)
#define FILE_NAMES 10000 /* of a directory, shown */

/* One that is being sent. */
struct file {
	struct session session;
	struct server *server;
	struct http_req *req;
	struct loop_task task;
	int fd;
	off_t left; /* as large as it was when it was opened */
};

static void file_free(struct file *f)
{
	session_del(f->server, &f->session);
	loop_undefer(server_agent(f->server)->loop, &f->task);
	close_fd(f->fd);
	free(f);
}

static void file_end_session(struct session *e)
{
	struct file *f = CONTAINER_OF(e, struct file, session);
	struct http_req *r = f->req;

	file_free(f);
	http_abort(r);
}

static void file_gone(void *arg)
{
	file_free(arg);
}

/* A piece each turn, until the client is too far behind. */
static void file_run(struct loop_task *t)
{
	static char block[65536];
	struct file *f = CONTAINER_OF(t, struct file, task);
	struct http_req *r = f->req;
	ssize_t n = read(f->fd, block, (size_t)min_i64((int64_t)sizeof(block), f->left));

	if (n <= 0) {
		http_req_on_gone(r, NULL, NULL);
		file_free(f);
		http_end(r);
		return;
	}
	f->left -= n;
	http_chunk(r, str_n(block, (size_t)n));
	if (http_req_queued(r) <= FILE_QUEUE_HIGH)
		loop_defer(server_agent(f->server)->loop, t);
}

static void file_drain(void *arg)
{
	struct file *f = arg;

	loop_defer(server_agent(f->server)->loop, &f->task);
}

static void file_send(struct server *s, struct http_req *r, int fd, off_t size)
{
	struct http_resp resp = {.status = 200, .content_type = "text/plain; charset=utf-8"};
	struct file *f = xcalloc(1, sizeof(*f));

	f->session.end = file_end_session;
	f->server = s;
	f->req = r;
	f->fd = fd;
	f->left = size;
	f->task.run = file_run;
	session_add(s, &f->session);
	http_req_on_gone(r, file_gone, f);
	http_req_on_drain(r, file_drain, f);
	http_begin(r, &resp);
	loop_defer(server_agent(s)->loop, &f->task);
}

/* --- directories --- */

static int name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Text for HTML; for a link's target escaped before. */
static void add_html(struct buf *b, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '&': buf_adds(b, "&amp;"); break;
		case '<': buf_adds(b, "&lt;"); break;
		case '>': buf_adds(b, "&gt;"); break;
		case '"': buf_adds(b, "&#34;"); break;
		case '\'': buf_adds(b, "&#39;"); break;
		default: buf_addch(b, *s);
		}
}

static void dir_send(struct http_req *r, int fd_take)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	VEC(char *) names = VEC_INIT;
	DIR *d = fdopendir(fd_take);
	struct dirent *x;

	if (!d)
		close(fd_take);
	while (d && names.n < FILE_NAMES && (x = readdir(d)))
		if (!streq(x->d_name, ".") && !streq(x->d_name, ".."))
			VEC_PUSH(&names, xasprintf("%s%s", x->d_name, x->d_type == DT_DIR ? "/" : ""));
	if (d)
		closedir(d);
	if (names.n)
		qsort(names.v, names.n, sizeof(char *), name_cmp);
	buf_adds(&b, "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n");
	for (size_t i = 0; i < names.n; i++) {
		buf_adds(&b, "<a href=\"");
		buf_add_url(&b, str_of(names.v[i]), true);
		buf_adds(&b, "\">");
		add_html(&b, names.v[i]);
		buf_adds(&b, "</a>\n");
		free(names.v[i]);
	}
	VEC_RELEASE(&names);
	buf_adds(&b, "</pre>\n");
	server_reply(r, "text/html; charset=utf-8", buf_str(&b));
}

/* --- */

void serve_files(struct server *s, struct http_req *r, struct str rest, struct str query UNUSED)
{
	_cleanup_close_ int root = open(FILE_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf path = BUF_INIT;
	struct stat st;
	int fd = -1;

	if (buf_add_url_decoded(&path, rest, false) && !memchr(path.s, 0, path.len) && root >= 0)
		fd = path_open_in_root(root, path.len ? path.s : ".", O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))) {
		close_fd(fd);
		server_error(r, 404, "404 page not found");
	} else if (S_ISDIR(st.st_mode)) {
		dir_send(r, fd);
	} else {
		file_send(s, r, fd, st.st_size);
	}
}
