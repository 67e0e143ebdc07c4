/*
 * Transfers of blobs from a registry to a file.
 *
 *	QUEUED   a few run at once, of all pulls and from one registry; of one blob only one
 *	LOAD     a transfer that broke off, maybe in another life of the program, has left its
 *		 bytes in partial/<hex>: they are hashed
 *	COMES    the rest is asked for by its range and hashed and written by a job
 *	PAUSE    the connection broke: after a while it goes on where it was. One that stalls is
 *		 given up, as the kubelet's progress deadline wants it
 *	FLUSH    the last bytes are written; the digest says whether it is what was asked for
 *
 * Whoever waits for a blob that another pull has just brought gets a link to the same file.
 * partial/<hex> is locked by its transfer; when another process has it, the bytes go to
 * dest directly, and are not kept when it breaks off.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/time.h"
#include "image/internal.h"
#include "image/manifest.h"
#include "image/remote.h"
#include "image/sink.h"

#define FETCH_TRIES 5 /* in a row that brought little; and as many times as a server does not know ranges */
#define FETCH_PROGRESS (256 << 10) /* that much is not little */
#define FETCH_TRIES_ALL 50
#define FETCH_PAUSE_MS 200 /* before the second try, doubled each time */
#define FETCH_IO_THREADS 2
#define FETCH_IO_QUEUE 4096

enum fetch_state { FETCH_QUEUED, FETCH_LOAD, FETCH_COMES, FETCH_PAUSE, FETCH_FLUSH, FETCH_OVER };

struct fetch {
	TAILQ_ENTRY(fetch) link;
	struct image_store *store;
	struct remote *remote;
	enum fetch_state state;
	char *digest, *dest;
	char *file; /* where the bytes go: partial/<hex>, or dest */
	int64_t size, got, try_from;
	int tries, tries_all;
	struct sink *sink;
	struct remote_call call;
	struct loop_timer *timer;
	struct loop_task over;
	struct err err;
	void (*progress)(void *arg, int64_t bytes);
	void (*done)(void *arg, const struct err *err);
	void *arg;
};

static void fetch_pump(struct image_store *s);
static void fetch_ask(struct fetch *f);

static bool fetch_resumable(const struct fetch *f)
{
	return f->file && !streq(f->file, f->dest);
}

/* --- the end --- */

static void fetch_free(struct fetch *f)
{
	TAILQ_REMOVE(&f->store->fetches, f, link);
	remote_cancel(&f->call);
	sink_free(f->sink);
	loop_undefer(f->store->loop, &f->over);
	loop_timer_free(f->timer);
	err_release(&f->err);
	free(f->digest);
	free(f->dest);
	free(f->file);
	free(f);
}

/* keep: what has come is worth keeping. */
static void fetch_drop_file(struct fetch *f, bool keep)
{
	if (f->file && !(keep && fetch_resumable(f)))
		unlink(f->file);
}

void fetch_cancel(struct fetch *f)
{
	struct image_store *s = f->store;

	if (f->state != FETCH_OVER)
		fetch_drop_file(f, true);
	fetch_free(f);
	if (!s->closing)
		fetch_pump(s);
}

static void fetch_over_task(struct loop_task *t)
{
	struct fetch *f = CONTAINER_OF(t, struct fetch, over);
	void (*done)(void *arg, const struct err *err) = f->done;
	_cleanup_err_ struct err err = ERR_INIT;
	struct image_store *s = f->store;
	void *arg = f->arg;

	err_move(&err, &f->err);
	fetch_free(f);
	fetch_pump(s);
	done(arg, err_is_set(&err) ? &err : NULL);
}

static void fetch_over(struct fetch *f)
{
	f->state = FETCH_OVER;
	remote_cancel(&f->call);
	loop_timer_clear(f->timer);
	loop_defer(f->store->loop, &f->over);
}

/* f->err says why. keep: another try may go on where this one was. */
static void fetch_fail(struct fetch *f, bool keep)
{
	fetch_drop_file(f, keep);
	fetch_over(f);
}

/* Others that wait for the same get the same file. */
static void fetch_share(struct fetch *f)
{
	struct fetch *o;

	TAILQ_FOREACH (o, &f->store->fetches, link) {
		if (o->state != FETCH_QUEUED || !streq(o->digest, f->digest) || link(f->dest, o->dest) < 0)
			continue;
		if (o->progress)
			o->progress(o->arg, o->size);
		fetch_over(o);
	}
}

/* --- the file --- */

static void fetch_on_ready(void *arg, const struct err *err)
{
	struct fetch *f = arg;

	if (err) {
		err_copy(&f->err, err);
		fetch_fail(f, false);
	} else if (f->state == FETCH_LOAD) {
		if (f->progress && f->got)
			f->progress(f->arg, f->got);
		fetch_ask(f);
	} else if (f->state == FETCH_COMES) {
		remote_pause(&f->call, false);
	}
}

static void fetch_on_flushed(void *arg, const char *digest, const struct err *err)
{
	struct fetch *f = arg;

	if (err)
		err_copy(&f->err, err);
	else if (!streq(digest, f->digest))
		err_set(&f->err, ERR_BAD_REQUEST, "unexpected commit digest %s, expected %s: failed precondition", digest, f->digest);
	else if (fetch_resumable(f) && rename(f->file, f->dest) < 0)
		err_errno(&f->err, errno, "put %s in its place", f->digest);
	if (err_is_set(&f->err)) {
		fetch_fail(f, false);
		return;
	}
	fetch_share(f);
	fetch_over(f);
}

static const struct sink_ops fetch_sink_ops = { .ready = fetch_on_ready, .done = fetch_on_flushed };

static int fetch_open_partial(struct fetch *f)
{
	int fd = open(f->file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat a, b;

	if (fd < 0)
		return -1;
	/* Somebody may have taken the file away between the two calls. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &a) == 0 && stat(f->file, &b) == 0 && a.st_ino == b.st_ino)
		return fd;
	close(fd);
	return -1;
}

/* anew: what is there is of no use. */
static int fetch_open(struct fetch *f, bool anew)
{
	struct image_store *s = f->store;
	struct stat st;
	int fd = -1;

	if (!f->file) {
		f->file = image_path(s, "partial", digest_hex(f->digest));
		fd = fetch_open_partial(f);
		if (fd < 0) {
			free(f->file);
			f->file = xstrdup(f->dest);
		}
	} else if (anew) {
		unlink(f->file);
		if (fetch_resumable(f))
			fd = fetch_open_partial(f);
	}
	if (fd < 0)
		fd = open(f->file, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &st) < 0 || (st.st_size > f->size && ftruncate(fd, 0) < 0)) {
		close_fd(fd);
		return err_errno(&f->err, errno, "write '%s'", f->file);
	}
	f->got = st.st_size > f->size ? 0 : st.st_size;
	sink_free(f->sink);
	if (!s->io)
		s->io = job_queue_new(s->loop, "image-io", FETCH_IO_THREADS, FETCH_IO_QUEUE);
	f->sink = sink_new(s->io, fd, &fetch_sink_ops, f);
	return 0;
}

/* --- the transfer --- */

/* After a break: true when it goes on, false when that is enough. */
static bool fetch_again(struct fetch *f)
{
	int64_t ms = FETCH_PAUSE_MS;

	if (f->got - f->try_from >= FETCH_PROGRESS)
		f->tries = 0;
	if (++f->tries >= FETCH_TRIES || ++f->tries_all >= FETCH_TRIES_ALL)
		return false;
	for (int i = 1; i < f->tries; i++)
		ms *= 2;
	f->state = FETCH_PAUSE;
	loop_timer_set(f->timer, ms);
	return true;
}

/* The answer begins elsewhere than we asked: from the start, or nowhere. */
static void fetch_restart(struct fetch *f)
{
	if (f->progress)
		f->progress(f->arg, -f->got);
	if (fetch_open(f, true) < 0)
		fetch_fail(f, false);
}

static void fetch_on_head(struct remote_call *c, const struct http_head *h)
{
	struct fetch *f = c->arg;
	_cleanup_free_ char *want = xasprintf("bytes %lld-", (long long)f->got);

	if (f->got == 0 || (h->status == 206 && str_starts(http_head_get(h, "content-range"), str_of(want))))
		return;
	f->tries++; /* a server that can't go on where it was is not asked for ever */
	fetch_restart(f);
}

static void fetch_on_data(struct remote_call *c, struct str data)
{
	struct fetch *f = c->arg;

	if (f->state != FETCH_COMES)
		return;
	f->got += (int64_t)data.n;
	if (f->got > f->size) {
		err_set(&f->err, ERR_BAD_REQUEST, "%s is longer than the %lld bytes that its manifest says", f->digest,
			(long long)f->size);
		fetch_fail(f, false);
		return;
	}
	if (f->progress)
		f->progress(f->arg, (int64_t)data.n);
	if (!sink_add(f->sink, data))
		remote_pause(c, true);
}

static void fetch_flush(struct fetch *f)
{
	f->state = FETCH_FLUSH;
	sink_finish(f->sink);
}

static void fetch_on_done(struct remote_call *c, const struct err *err)
{
	struct fetch *f = c->arg;

	if (f->state != FETCH_COMES)
		return;
	if (!err && (c->status == 200 || c->status == 206)) {
		if (f->got == f->size) {
			fetch_flush(f);
			return;
		}
		err_set(&f->err, ERR_BAD_REQUEST, "unexpected commit size %lld, expected %lld: failed precondition",
			(long long)f->got, (long long)f->size);
	} else if (!err && c->status == 416 && f->got) {
		fetch_restart(f);
		if (f->state == FETCH_OVER)
			return;
		err_set(&f->err, ERR_BAD_REQUEST, "%s: the registry knows no such range", f->digest);
	} else if (!err) {
		remote_refused(c, f->digest, &f->err);
		fetch_fail(f, true);
		return;
	} else {
		err_copy(&f->err, err);
	}
	if (!(err && err->code == ETIMEDOUT) && fetch_again(f)) {
		remote_cancel(c);
		err_release(&f->err);
	} else {
		fetch_fail(f, true);
	}
}

static void fetch_ask(struct fetch *f)
{
	_cleanup_free_ char *path = xasprintf("blobs/%s", f->digest);

	if (f->got == f->size) {
		fetch_flush(f);
		return;
	}
	f->state = FETCH_COMES;
	f->try_from = f->got;
	f->call = (struct remote_call){ .method = "GET", .accept = "*/*", .from = f->got, .part_at = -1, .on_head = fetch_on_head,
					.on_data = fetch_on_data, .on_done = fetch_on_done, .arg = f };
	remote_send(f->remote, &f->call, path);
}

static void fetch_on_timer(void *arg)
{
	fetch_ask(arg);
}

/* --- whose turn it is --- */

static bool fetch_may_start(const struct image_store *s, const struct fetch *f)
{
	const struct fetch *o;
	int all = 0, host = 0;

	TAILQ_FOREACH (o, &s->fetches, link) {
		if (o->state == FETCH_QUEUED || o->state == FETCH_OVER)
			continue;
		if (streq(o->digest, f->digest))
			return false;
		all++;
		host += streq(remote_place(o->remote)->host, remote_place(f->remote)->host);
	}
	return all < s->limits.layers && host < s->limits.layers_per_host;
}

static void fetch_start(struct fetch *f)
{
	if (fetch_open(f, false) < 0) {
		fetch_fail(f, false);
		return;
	}
	f->state = FETCH_LOAD;
	if (f->got)
		sink_load(f->sink);
	else
		fetch_ask(f);
}

static void fetch_pump(struct image_store *s)
{
	struct fetch *f;

	TAILQ_FOREACH (f, &s->fetches, link)
		if (f->state == FETCH_QUEUED && fetch_may_start(s, f))
			fetch_start(f);
}

struct fetch *fetch_new(struct image_store *s, struct remote *r, const char *digest, int64_t size, const char *dest,
			void (*got)(void *arg, int64_t bytes), void (*done)(void *arg, const struct err *err), void *arg)
{
	struct fetch *f = xcalloc(1, sizeof(*f));

	f->store = s;
	f->remote = r;
	f->digest = xstrdup(digest);
	f->size = size;
	f->dest = xstrdup(dest);
	f->progress = got;
	f->done = done;
	f->arg = arg;
	f->over.run = fetch_over_task;
	f->timer = loop_timer_new(s->loop, fetch_on_timer, f);
	TAILQ_INSERT_TAIL(&s->fetches, f, link);
	fetch_pump(s);
	return f;
}

/* --- what broke off long ago --- */

void fetch_sweep(struct image_store *s, bool all)
{
	_cleanup_free_ char *path = path_join(s->dir, "partial");
	int64_t now = time_wall_s();
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		struct stat st;
		int fd;

		if (de->d_name[0] == '.' || fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!all && S_ISREG(st.st_mode) && st.st_mtim.tv_sec <= now && now - st.st_mtim.tv_sec < PARTIAL_KEEP_S)
			continue;
		fd = openat(dirfd(d), de->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0)
			unlinkat(dirfd(d), de->d_name, 0);
		close_fd(fd);
	}
	if (d)
		closedir(d);
}
