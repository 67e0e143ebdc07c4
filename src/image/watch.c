/*
 * Hears of images that come and go: `kinglet image import` is another process,
 * which puts a new index.json in the place of the old one. And of archives that
 * are put into the directory.
 */
#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "image/internal.h"

static void watch_readable(void *arg, int what)
{
	struct image_store *s = arg;
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool changed = false;
	ssize_t n;

	while ((n = read(s->watch_fd, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;

			changed |= ev->len && streq(ev->name, "index.json");
			if (ev->len)
				image_folder_changed(s, ev->name);
			p += sizeof(*ev) + ev->len;
		}
	if (changed)
		s->watch_changed(s->watch_arg);
}

void image_store_unwatch(struct image_store *s)
{
	if (!s->watch)
		return;
	s->watch = loop_fd_free(s->watch);
	close(s->watch_fd);
}

int image_store_watch(struct image_store *s, void (*changed)(void *arg), void *arg, struct err *e)
{
	image_store_unwatch(s);
	s->watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->watch_fd < 0)
		return err_errno(e, errno, "watch '%s'", s->dir);
	if (inotify_add_watch(s->watch_fd, s->dir, IN_MOVED_TO | IN_CLOSE_WRITE | IN_ONLYDIR) < 0) {
		int eno = errno;

		close(s->watch_fd);
		return err_errno(e, eno, "watch '%s'", s->dir);
	}
	s->watch_changed = changed;
	s->watch_arg = arg;
	s->watch = loop_fd_new(s->loop, s->watch_fd, LOOP_READ, watch_readable, s);
	return 0;
}
