/*
 * The host's resolv.conf, followed: in its directory, at what a symbolic link
 * leads to, and the file itself, which a container sees changed from elsewhere.
 */
#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/path.h"
#include "svc/dns.h"

#define RESOLV_SETTLE_MS 100 /* who writes it may not be ready with it */
#define RESOLV_DIR (IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE | IN_ONLYDIR)
#define RESOLV_FILE (IN_CLOSE_WRITE | IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB)

struct dns_resolv {
	char *path;
	int fd;
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer *settle;
	int dirs[2], file; /* watch descriptors */
	char *names[2]; /* that matter in dirs */
	void (*changed)(void *arg);
	void *arg;
};

static void resolv_watch_dir(struct dns_resolv *r, int i, const char *path)
{
	_cleanup_free_ char *dir = xmemdupz(path, (size_t)(path_base(path) - path));

	free(r->names[i]);
	r->names[i] = xstrdup(path_base(path));
	r->dirs[i] = inotify_add_watch(r->fd, *dir ? dir : ".", RESOLV_DIR);
}

/* Watches that are there already stay. */
static void resolv_watch_all(struct dns_resolv *r)
{
	char real[PATH_MAX];

	resolv_watch_dir(r, 0, r->path);
	if (!realpath(r->path, real))
		return;
	resolv_watch_dir(r, 1, real);
	r->file = inotify_add_watch(r->fd, real, RESOLV_FILE);
}

static void resolv_settled(void *arg)
{
	struct dns_resolv *r = arg;

	resolv_watch_all(r);
	r->changed(r->arg);
}

static bool resolv_concerns(const struct dns_resolv *r, const struct inotify_event *ev)
{
	if (ev->wd == r->file)
		return true;
	for (int i = 0; i < 2; i++)
		if (ev->wd == r->dirs[i] && ev->len && streq_null(ev->name, r->names[i]))
			return true;
	return ev->mask & IN_Q_OVERFLOW;
}

static void resolv_readable(void *arg, int what)
{
	struct dns_resolv *r = arg;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	(void)what;
	while ((n = read(r->fd, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;

			changed |= resolv_concerns(r, ev);
			p += sizeof(*ev) + ev->len;
		}
	if (changed && !loop_timer_is_set(r->settle))
		loop_timer_set(r->settle, RESOLV_SETTLE_MS);
}

struct dns_resolv *dns_resolv_new(struct loop *l, const char *path, void (*changed)(void *arg), void *arg)
{
	struct dns_resolv *r = xcalloc(1, sizeof(*r));

	r->path = xstrdup(path);
	r->changed = changed;
	r->arg = arg;
	r->loop = l;
	r->dirs[0] = r->dirs[1] = r->file = -1;
	r->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (r->fd < 0) {
		log_warn("the host's name servers are not followed when they change", LS("file", path),
			 LS("error", strerror(errno)));
		return r;
	}
	r->watch = loop_fd_new(l, r->fd, LOOP_READ, resolv_readable, r);
	r->settle = loop_timer_new(l, resolv_settled, r);
	resolv_watch_all(r);
	return r;
}

struct dns_resolv *dns_resolv_free(struct dns_resolv *r)
{
	if (!r)
		return NULL;
	loop_fd_free(r->watch);
	loop_timer_free(r->settle);
	close_fd(r->fd);
	for (int i = 0; i < 2; i++)
		free(r->names[i]);
	free(r->path);
	free(r);
	return NULL;
}

static void resolv_line(struct dns_servers *s, struct str line)
{
	static const struct str key = STR_LIT("nameserver");

	line = str_trim(line);
	if (!str_starts(line, key) || line.n <= key.n || (line.p[key.n] != ' ' && line.p[key.n] != '\t'))
		return;
	line = str_trim(str_sub(line, key.n, line.n));
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == ' ' || line.p[i] == '\t')
			line.n = i;
	(void)dns_servers_add(s, line); /* what libc would not understand either is left out */
}

struct dns_servers *dns_resolv_read(struct dns_resolv *r)
{
	struct dns_servers *s = dns_servers_new();
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct str rest;

	if (path_read(r->path, LIMIT_RESOLV_CONF_BYTES, &text, &e) < 0)
		log_warn("the host's name servers are not known", LE(&e));
	for (rest = buf_str(&text); rest.p;)
		resolv_line(s, str_cut(&rest, '\n'));
	return s;
}
