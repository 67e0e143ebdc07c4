/*
 * The image store: opening, looking up, removing, holding.
 *
 * All changes happen under the lock file and are short; big trees are renamed
 * into tmp/ under the lock and removed by a job. Nothing keeps a count of who
 * uses a layer: image_sweep removes what no image in the index names, which also
 * mends what a crash left behind. It does nothing while any process imports
 * (that one sweeps when it is done).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/path.h"
#include "base/rand.h"
#include "base/time.h"
#include "image/internal.h"
#include "image/manifest.h"
#include "image/registries.h"

#define HOLD_MAX_BYTES 256
#define REGISTRIES_MAX_BYTES (1u << 20)
#define SHORT_ID_MIN 4 /* characters of an id that count as its prefix */

static const char *const store_dirs[] = { "blobs", "blobs/sha256", "layers", "layers/empty", "holds", "used", "partial", "tmp" };

char *image_path(const struct image_store *s, const char *sub, const char *name)
{
	return xasprintf("%s/%s/%s", s->dir, sub, name);
}

/* --- locks --- */

int image_store_lock(struct image_store *s, struct err *e)
{
	_cleanup_free_ char *path = path_join(s->dir, "lock");
	int64_t until = time_mono_ms() + IMAGE_LOCK_MS;
	int fd;

	while ((fd = path_lock(path)) == -EWOULDBLOCK && time_mono_ms() < until)
		usleep(1000);
	if (fd == -EWOULDBLOCK)
		return err_set(e, ERR_CONFLICT, "another process holds the image store '%s'", s->dir);
	return fd < 0 ? err_errno(e, -fd, "lock the image store '%s'", s->dir) : fd;
}

static int store_lock_dir(const char *path, int how)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || flock(fd, how | LOCK_NB) < 0)
		return -errno;
	return take_fd(&fd);
}

/* --- trees that go, in the background --- */

struct store_removal {
	char *path;
	int lock_fd;
};

static void store_remove_run(void *arg)
{
	struct store_removal *r = arg;
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_remove_tree(r->path, &e) < 0)
		log_warn("a temporary directory stays until the next start, ignoring", LE(&e));
}

static void store_remove_done(void *arg)
{
	struct store_removal *r = arg;

	close_fd(r->lock_fd);
	free(r->path);
	free(r);
}

static void store_remove_later(struct image_store *s, const char *name, int lock_fd)
{
	struct store_removal *r = xcalloc(1, sizeof(*r));

	r->path = image_path(s, "tmp", name);
	r->lock_fd = lock_fd;
	if (job_submit(s->jobs, store_remove_run, store_remove_done, r) < 0) {
		store_remove_run(r);
		store_remove_done(r);
	}
}

static void store_random_name(char out[25], const char *prefix)
{
	size_t n = strlen(prefix);

	memcpy(out, prefix, n);
	rand_suffix(out + n, 24 - n);
}

/* --- own directories below tmp/ --- */

int image_tmp_make(struct image_store *s, struct image_tmp *t, struct err *e)
{
	_cleanup_close_ int lock = image_store_lock(s, e); /* so that nobody takes it for a leftover */
	_cleanup_free_ char *layers = path_join(s->dir, "layers"), *path = NULL, *in = NULL;
	char name[25];

	if (lock < 0)
		return -e->code;
	store_random_name(name, "import-");
	path = image_path(s, "tmp", name);
	in = path_join(path, "in");
	if (mkdir(path, 0700) < 0 || mkdir(in, 0700) < 0)
		return err_errno(e, errno, "make '%s'", path);
	t->lock_fd = store_lock_dir(path, LOCK_EX);
	if (t->lock_fd < 0)
		return err_errno(e, -t->lock_fd, "lock '%s'", path);
	t->layers_fd = store_lock_dir(layers, LOCK_SH);
	if (t->layers_fd < 0) {
		t->lock_fd = close_fd(t->lock_fd);
		return err_errno(e, -t->layers_fd, "lock '%s'", layers);
	}
	t->name = xstrdup(name);
	return 0;
}

void image_tmp_remove(struct image_store *s, struct image_tmp *t)
{
	t->layers_fd = close_fd(t->layers_fd);
	if (t->name)
		store_remove_later(s, t->name, take_fd(&t->lock_fd));
	t->name = free_null(t->name);
}

/* The lock is held. What another process works in is locked, and stays. */
static void store_clean_tmp(struct image_store *s)
{
	_cleanup_free_ char *path = path_join(s->dir, "tmp");
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		_cleanup_free_ char *one = path_join(path, de->d_name);
		int fd;

		if (de->d_name[0] == '.')
			continue;
		fd = store_lock_dir(one, LOCK_EX);
		if (fd >= 0)
			store_remove_later(s, de->d_name, fd);
		else if (fd == -ENOTDIR || fd == -ELOOP)
			unlink(one);
	}
	if (d)
		closedir(d);
}

/* --- what no image needs --- */

/* The directory's first letter stands before a name: a layer and its blob, when that is a plain tar, are called the same. */
static void store_need(struct map *m, char kind, const char *name)
{
	_cleanup_free_ char *key = xasprintf("%c%s", kind, name);
	static char yes;

	map_set(m, str_of(key), &yes);
}

static struct map *store_needed(const struct image_store *s)
{
	struct map *m = map_new(NULL);

	store_need(m, 'l', "empty");
	for (size_t i = 0; i < s->images.n; i++) {
		const struct image *img = s->images.v[i];

		for (size_t k = 0; img->layers[k]; k++)
			store_need(m, 'l', path_base(img->layers[k]));
		for (size_t k = 0; img->blobs[k]; k++)
			store_need(m, 'b', digest_hex(img->blobs[k]));
		store_need(m, 'u', digest_hex(img->id));
		store_need(m, 'b', digest_hex(img->id));
		store_need(m, 'b', digest_hex(img->manifest));
	}
	return m;
}

/* Puts the unneeded entries of a directory into tmp/trash. */
static void store_sweep_dir(struct image_store *s, const char *sub, const struct map *needed, int trash)
{
	_cleanup_free_ char *path = path_join(s->dir, sub);
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		_cleanup_free_ char *to = xasprintf("%c%s", sub[0], de->d_name);

		if (de->d_name[0] != '.' && !map_getc(needed, to))
			(void)!renameat(dirfd(d), de->d_name, trash, to);
	}
	if (d)
		closedir(d);
}

void image_sweep(struct image_store *s)
{
	_cleanup_free_ char *layers = path_join(s->dir, "layers"), *path = NULL;
	_cleanup_close_ int busy = store_lock_dir(layers, LOCK_EX), trash = -1;
	struct map *needed;
	char name[25];

	if (busy < 0)
		return;
	store_random_name(name, "trash-");
	path = image_path(s, "tmp", name);
	if (mkdir(path, 0700) < 0)
		return;
	trash = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	needed = store_needed(s);
	if (trash >= 0) {
		store_sweep_dir(s, "layers", needed, trash);
		store_sweep_dir(s, "blobs/sha256", needed, trash);
		store_sweep_dir(s, "used", needed, trash);
	}
	map_free(needed);
	if (rmdir(path) < 0) /* it holds something */
		store_remove_later(s, name, -1);
}

/* --- holds --- */

static bool hold_name_ok(const char *holder)
{
	return *holder && *holder != '.' && !strchr(holder, '/') && strlen(holder) < 200;
}

/* The id in a hold's file; false when there is none. */
static bool hold_read(const struct image_store *s, const char *holder, struct buf *id)
{
	_cleanup_free_ char *path = image_path(s, "holds", holder);
	_cleanup_err_ struct err e = ERR_INIT;

	buf_clear(id);
	return path_read(path, HOLD_MAX_BYTES, id, &e) == 0;
}

void image_each_holder(const struct image_store *s, const char *id, void (*f)(void *arg, const char *holder), void *arg)
{
	_cleanup_free_ char *path = path_join(s->dir, "holds");
	_cleanup_buf_ struct buf got = BUF_INIT;
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' && hold_read(s, de->d_name, &got) && streq(got.s, id))
			f(arg, de->d_name);
	if (d)
		closedir(d);
}

struct map *image_held_ids(const struct image_store *s)
{
	_cleanup_free_ char *path = path_join(s->dir, "holds");
	_cleanup_buf_ struct buf got = BUF_INIT;
	struct map *m = map_new(NULL);
	DIR *d = opendir(path);
	struct dirent *de;
	static char yes;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' && hold_read(s, de->d_name, &got))
			map_set(m, buf_str(&got), &yes);
	if (d)
		closedir(d);
	return m;
}

struct held {
	bool held;
	struct buf *by;
};

static void held_take(void *arg, const char *holder)
{
	struct held *h = arg;

	if (!h->held && h->by)
		buf_adds(h->by, holder);
	h->held = true;
}

bool image_held(const struct image_store *s, const char *id, struct buf *by)
{
	struct held h = { .by = by };

	image_each_holder(s, id, held_take, &h);
	return h.held;
}

static struct image *store_by_id(struct image_store *s, const char *id)
{
	for (size_t i = 0; i < s->images.n; i++)
		if (streq(s->images.v[i]->id, id))
			return s->images.v[i];
	return NULL;
}

int image_hold(struct image_store *s, const struct image *i, const char *holder, struct err *e)
{
	_cleanup_free_ char *path = image_path(s, "holds", holder);
	_cleanup_close_ int lock = -1;

	if (!hold_name_ok(holder))
		return err_set(e, ERR_INVALID, "'%s' can't hold an image: it is no file name", holder);
	lock = image_store_lock(s, e);
	if (lock < 0 || image_index_load(s, e) < 0)
		return -e->code;
	if (!store_by_id(s, i->id))
		return err_set(e, ERR_NOT_FOUND, "image \"%s\" was removed", i->names[0] ? i->names[0] : i->id);
	return path_write(path, str_of(i->id), 0600, e);
}

/* The hold's file goes where its time tells when the image was used last. */
static void hold_end(struct image_store *s, const char *path, const char *id)
{
	_cleanup_free_ char *used = image_path(s, "used", digest_hex(id));

	if (!digest_text_ok(str_of(id)) || rename(path, used) < 0)
		unlink(path);
	else
		(void)!utimensat(AT_FDCWD, used, NULL, 0);
}

void image_unhold(struct image_store *s, const char *holder)
{
	_cleanup_free_ char *path = image_path(s, "holds", holder);
	_cleanup_buf_ struct buf id = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_close_ int lock = -1;
	struct image *i;

	if (!hold_name_ok(holder) || !hold_read(s, holder, &id))
		return;
	hold_end(s, path, id.s);
	if (image_index_load(s, &e) < 0 || !(i = store_by_id(s, id.s)) || i->names[0])
		return;
	/* It had waited for this only. When that fails, the next start does it. */
	lock = image_store_lock(s, &e);
	if (lock >= 0 && image_index_load(s, &e) == 0 && image_drop_nameless(s) && image_index_save(s, &e) == 0)
		image_sweep(s);
}

void image_unhold_if(struct image_store *s, bool (*drop)(void *arg, const char *holder), void *arg)
{
	_cleanup_free_ char *path = path_join(s->dir, "holds");
	DIR *d = opendir(path);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.' && drop(arg, de->d_name))
			image_unhold(s, de->d_name);
	if (d)
		closedir(d);
}

bool image_drop_nameless(struct image_store *s)
{
	bool dropped = false;

	for (size_t k = s->images.n; k-- > 0;) {
		struct image *i = s->images.v[k];

		if (i->names[0] || image_held(s, i->id, NULL))
			continue;
		VEC_REMOVE(&s->images, k);
		image_unref(i);
		dropped = true;
	}
	return dropped;
}

/* --- life --- */

static int store_recover(struct image_store *s, struct err *e)
{
	_cleanup_close_ int lock = image_store_lock(s, e);

	if (lock < 0)
		return -e->code;
	store_clean_tmp(s);
	if (image_index_load(s, e) < 0)
		return -e->code;
	if (image_drop_nameless(s) && image_index_save(s, e) < 0)
		return -e->code;
	image_sweep(s);
	fetch_sweep(s, false);
	return 0;
}

int image_store_open(struct image_store **ret, struct loop *l, const char *dir, struct err *e)
{
	struct image_store *s;

	if (path_mkdirs(dir, 0700, e) < 0)
		return err_wrap(e, "open the image store");
	s = xcalloc(1, sizeof(*s));
	TAILQ_INIT(&s->pulls);
	TAILQ_INIT(&s->fetches);
	s->limits = (struct image_limits)IMAGE_LIMITS_DEFAULT;
	s->loop = l;
	s->dir = realpath(dir, NULL);
	if (!s->dir)
		err_errno(e, errno, "open the image store '%s'", dir);
	for (size_t i = 0; i < ARRAY_SIZE(store_dirs) && s->dir; i++) {
		_cleanup_free_ char *sub = path_join(s->dir, store_dirs[i]);

		/* An image's files belong to whom the image says; nobody gets to them but through the store's root. */
		if (mkdir(sub, starts_with(store_dirs[i], "layers") ? 0755 : 0700) < 0 && errno != EEXIST) {
			err_errno(e, errno, "make '%s'", sub);
			break;
		}
	}
	s->jobs = job_queue_new(l, "image-rm", 1, 64);
	if (err_is_set(e) || store_recover(s, e) < 0) {
		image_store_close(s);
		return -e->code;
	}
	*ret = s;
	return 0;
}

struct image_store *image_store_close(struct image_store *s)
{
	struct pull *p;
	struct push *h;
	struct unpack *u;

	if (!s)
		return NULL;
	s->closing = true;
	image_store_unwatch(s);
	while ((p = TAILQ_FIRST(&s->pulls)))
		image_pull_close(p);
	image_gc_close(s);
	while ((h = LIST_FIRST(&s->pushes)))
		image_push_close(h);
	while ((u = LIST_FIRST(&s->unpacks)))
		image_unpack_close(u);
	job_queue_free(s->io);
	job_queue_free(s->jobs);
	registries_unref(s->registries);
	free(s->registries_path);
	image_folder_free(s->folder);
	for (size_t i = 0; i < s->images.n; i++)
		image_unref(s->images.v[i]);
	VEC_RELEASE(&s->images);
	free(s->dir);
	free(s);
	return NULL;
}

/* --- registries.yaml --- */

static int store_read_registries(struct image_store *s, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct registries *r = NULL;
	int64_t mtime_ns;
	struct stat st;

	if (stat(s->registries_path, &st) < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			return err_errno(e, errno, "read '%s'", s->registries_path);
		st = (struct stat){ 0 };
	}
	mtime_ns = st.st_mtim.tv_sec * SEC_NS + st.st_mtim.tv_nsec;
	if (st.st_ino == s->registries_ino && mtime_ns == s->registries_mtime_ns)
		return 0;
	s->registries_ino = st.st_ino;
	s->registries_mtime_ns = mtime_ns;
	if (st.st_ino && (path_read(s->registries_path, REGISTRIES_MAX_BYTES, &text, e) < 0 ||
			  registries_parse(&r, buf_str(&text), s->registries_path, true, e) < 0))
		return -e->code;
	registries_unref(s->registries);
	s->registries = r;
	return 0;
}

int image_store_set_registries(struct image_store *s, const char *path, struct err *e)
{
	free(s->registries_path);
	s->registries_path = xstrdup(path);
	s->registries_ino = 0;
	s->registries_mtime_ns = 0;
	return store_read_registries(s, e);
}

struct registries *image_store_registries(struct image_store *s)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (s->registries_path && store_read_registries(s, &e) < 0)
		log_error("the settings for registries can't be used, the former ones stay in force", LE(&e));
	return s->registries;
}

/* --- looking up --- */

static void store_refresh(struct image_store *s)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (image_index_load(s, &e) == 0)
		s->index_bad = false;
	else if (!s->index_bad) { /* said once */
		s->index_bad = true;
		log_warn("the list of images can't be read, the former one is used", LE(&e));
	}
}

static struct image *store_by_name(struct image_store *s, const struct image_ref *r)
{
	_cleanup_free_ char *name = image_ref_print(r);

	for (size_t i = 0; i < s->images.n; i++)
		for (char **n = s->images.v[i]->names; *n; n++)
			if (streq(*n, name))
				return s->images.v[i];
	return NULL;
}

/* The repository of a printed name, with its registry, is r's. */
static bool store_same_repository(const char *name, const struct image_ref *r)
{
	_cleanup_free_ char *repo = xasprintf("%s/%s", r->registry, r->repository);
	size_t n = strlen(repo);

	return strncmp(name, repo, n) == 0 && (name[n] == ':' || name[n] == '@');
}

/* "x:tag@sha256:...": the digest says it all, but the repository has to be one where the image is known. */
static struct image *store_by_digest(struct image_store *s, const struct image_ref *r)
{
	for (size_t i = 0; i < s->images.n; i++) {
		struct image *img = s->images.v[i];

		if (!ends_with(img->repo_digest, r->digest) && !streq(img->manifest, r->digest))
			continue;
		if (store_same_repository(img->repo_digest, r))
			return img;
		for (char **n = img->names; *n; n++)
			if (store_same_repository(*n, r))
				return img;
	}
	return NULL;
}

static struct image *store_by_prefix(struct image_store *s, const char *ref)
{
	const char *hex = starts_with(ref, "sha256:") ? ref + 7 : ref;
	struct image *found = NULL;

	if (strlen(hex) < SHORT_ID_MIN || strspn(hex, "0123456789abcdef") != strlen(hex))
		return NULL;
	for (size_t i = 0; i < s->images.n; i++) {
		if (!starts_with(digest_hex(s->images.v[i]->id), hex))
			continue;
		if (found)
			return NULL; /* it could be either */
		found = s->images.v[i];
	}
	return found;
}

/* *by_name: ref was the image's name, not its id. */
static struct image *store_look_up(struct image_store *s, const char *ref, bool *by_name)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct image_ref r = { 0 };
	struct image *i = NULL;

	*by_name = false;
	if (!starts_with(ref, "sha256:") && image_ref_parse(&r, ref, &e) == 0) {
		i = store_by_name(s, &r);
		*by_name = i != NULL;
		if (!i && r.digest)
			i = store_by_digest(s, &r);
		image_ref_release(&r);
	}
	return i ? i : store_by_prefix(s, ref);
}

struct image *image_find(struct image_store *s, const char *ref)
{
	struct image *i;
	bool by_name;

	store_refresh(s);
	i = store_look_up(s, ref, &by_name);
	return i ? image_ref_image(i) : NULL;
}

void image_each(struct image_store *s, void (*f)(void *arg, struct image *i), void *arg)
{
	VEC(struct image *) all = VEC_INIT;

	store_refresh(s);
	for (size_t i = 0; i < s->images.n; i++) /* f may remove some */
		VEC_PUSH(&all, image_ref_image(s->images.v[i]));
	for (size_t i = 0; i < all.n; i++) {
		f(arg, all.v[i]);
		image_unref(all.v[i]);
	}
	VEC_RELEASE(&all);
}

/* --- removing --- */

static void store_untag(struct image *i, const char *name, struct buf *report)
{
	for (size_t k = 0; i->names[k];) {
		if (name && !streq(i->names[k], name)) {
			k++;
			continue;
		}
		if (report)
			buf_addf(report, "Untagged: %s\n", i->names[k]);
		image_drop_name(i, k);
	}
}

/* The names go, and the image with the last of them. 1: the image is held, and stays without a name. */
static int store_remove_names(struct image_store *s, struct image *i, const char *name, struct buf *report,
			      struct buf *holder)
{
	store_untag(i, name, report);
	if (i->names[0])
		return 0;
	if (image_held(s, i->id, holder))
		return 1;
	if (report)
		buf_addf(report, "Deleted: %s\n", i->id);
	for (size_t k = 0; k < s->images.n; k++) {
		if (s->images.v[k] != i)
			continue;
		VEC_REMOVE(&s->images, k);
		image_unref(i);
		break;
	}
	return 0;
}

/* The name of that image which ref stands for. */
static char *store_name_of(const char *ref)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct image_ref r = { 0 };
	char *name;

	if (image_ref_parse(&r, ref, &e) < 0)
		return NULL;
	name = image_ref_print(&r);
	image_ref_release(&r);
	return name;
}

int image_remove(struct image_store *s, const char *ref, struct buf *report, struct err *e)
{
	_cleanup_close_ int lock = image_store_lock(s, e);
	_cleanup_buf_ struct buf holder = BUF_INIT;
	_cleanup_free_ char *name = NULL, *id = NULL;
	struct image *i;
	bool by_name;
	int held;

	if (lock < 0 || image_index_load(s, e) < 0)
		return -e->code;
	i = store_look_up(s, ref, &by_name);
	if (!i)
		return err_set(e, ERR_NOT_FOUND, "image \"%s\": not found", ref);
	if (by_name)
		name = store_name_of(ref);
	id = xstrdup(i->id);
	held = store_remove_names(s, i, name, report, &holder);
	if (image_index_save(s, e) < 0)
		return -e->code;
	if (held)
		return err_set(e, ERR_CONFLICT, "image \"%s\" (%.19s) is used by the container %s: "
			       "it goes when the container is removed", ref, id, holder.s);
	image_sweep(s);
	return 0;
}
