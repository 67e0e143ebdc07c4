/*
 * Archives that lie in the store's directory (k3s's agent/images): imported when
 * the watch begins and when they appear, one after the other, and pinned.
 *
 *	*.tar *.tar.gz *.tgz *.tar.zst *.tzst   archives of `docker save`, OCI layouts
 *	*.txt                                   a reference a line ('#' begins a comment): pulled
 *
 * A file counts when it is complete: closed by who wrote it, or moved here. At the start
 * that is asked of the kernel, which gives out a read lease only when nobody has it open for
 * writing. archives.json remembers size and time of what was imported, and which images
 * came of it: while those are here it is not imported again. A file that fails is tried
 * again when it changes, and at the next start.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/path.h"
#include "base/time.h"
#include "image/internal.h"

#define FOLDER_STATE_BYTES (1u << 20)
#define FOLDER_LIST_BYTES (1u << 20)
#define FOLDER_LIST_IMAGES 1000

struct folder {
	struct image_store *store;
	VEC(char *) queue; /* names of files */
	char *file; /* that is being imported; NULL: none */
	size_t pulls; /* of a list, under way */
	bool failed;
	struct stat st; /* of it when it was begun */
	struct doc *state; /* name -> {size, mtime, images} */
	struct node *images; /* ids that came of file: an array in state, not in its tree yet */
};

static const char *const folder_endings[] = { ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".txt" };

static bool folder_takes(const char *name)
{
	if (name[0] == '.')
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(folder_endings); i++)
		if (ends_with(name, folder_endings[i]))
			return true;
	return false;
}

static char *folder_path(const struct folder *f, const char *name)
{
	return path_join(f->store->dir, name);
}

static int64_t folder_mtime(const struct stat *st)
{
	return st->st_mtim.tv_sec * SEC_NS + st->st_mtim.tv_nsec;
}

/* --- what was imported --- */

static void folder_load(struct folder *f)
{
	_cleanup_free_ char *path = folder_path(f, "archives.json");
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_exists(path) &&
	    (path_read(path, FOLDER_STATE_BYTES, &text, &e) < 0 || doc_parse_json(&f->state, buf_str(&text), NULL, &e) < 0))
		log_warn("which archives were imported is forgotten", LE(&e));
	if (f->state && node_is(doc_root(f->state), DOC_OBJECT))
		return;
	doc_unref(f->state);
	f->state = doc_new();
	doc_set_root(f->state, node_new(f->state, DOC_OBJECT));
}

static bool folder_known(struct folder *f, const char *name, const struct stat *st)
{
	const struct node *n = node_getc(doc_root(f->state), name), *images = node_getc(n, "images");

	if (node_int(node_getc(n, "size"), -1) != st->st_size || node_int(node_getc(n, "mtime"), -1) != folder_mtime(st))
		return false;
	NODE_FOREACH (c, images) {
		struct image *i = image_find(f->store, node_cstr_or(c, ""));

		image_unref(i);
		if (!i)
			return false;
	}
	return node_count(images) > 0;
}

static void folder_save(struct folder *f)
{
	_cleanup_free_ char *path = folder_path(f, "archives.json");
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	for (struct node *c = node_first(doc_root(f->state)), *next; c; c = next) {
		_cleanup_free_ char *name = str_dup(node_key(c)), *file = folder_path(f, name);

		next = c->next;
		if (!path_exists(file))
			node_remove_child(doc_root(f->state), c);
	}
	doc_print_json(&text, doc_root(f->state), DOC_PRINT_COMPACT);
	if (path_write_atomic(path, buf_str(&text), 0600, &e) < 0)
		log_warn("which archives were imported can't be remembered", LE(&e));
}

/* --- importing --- */

static void folder_next(struct folder *f);

static void folder_end_file(struct folder *f)
{
	struct node *n = node_new(f->state, DOC_OBJECT);

	if (!f->failed && node_count(f->images)) {
		node_setk(f->state, n, STR_LIT("size"), node_new_int(f->state, f->st.st_size));
		node_setk(f->state, n, STR_LIT("mtime"), node_new_int(f->state, folder_mtime(&f->st)));
		node_setk(f->state, n, STR_LIT("images"), f->images);
		node_setk(f->state, doc_root(f->state), str_of(f->file), n);
		folder_save(f);
	}
	f->images = NULL;
	f->file = free_null(f->file);
	folder_next(f);
}

static void folder_add_image(struct folder *f, const struct image *i)
{
	NODE_FOREACH (c, f->images)
		if (node_streq(c, i->id))
			return;
	node_append(f->images, node_new_cstr(f->state, i->id));
}

static void folder_on_imported(void *arg, char *const *names, const struct err *err)
{
	struct folder *f = arg;

	if (f->store->closing)
		return;
	if (err) {
		f->failed = true;
		log_error("an archive of images can't be imported", LS("file", f->file), LE(err));
	}
	for (size_t k = 0; !err && names[k]; k++) {
		struct image *i = image_find(f->store, names[k]);

		log_info("imported an image", LS("image", names[k]), LS("file", f->file));
		if (i)
			folder_add_image(f, i);
		image_unref(i);
	}
	folder_end_file(f);
}

static void folder_on_pulled(void *arg, struct image *i, const struct image_pulled *info UNUSED, const struct err *err)
{
	struct folder *f = arg;
	_cleanup_err_ struct err e = ERR_INIT;

	if (f->store->closing)
		return;
	if (err) {
		f->failed = true;
		log_error("an image of a list can't be pulled", LS("file", f->file), LE(err));
	} else {
		folder_add_image(f, i);
		log_info("pulled an image of a list", LS("image", i->names[0] ? i->names[0] : i->id), LS("file", f->file));
		if (image_pin(f->store, i->id, &e) < 0)
			log_warn("an image can't be pinned, ignoring", LS("image", i->id), LE(&e));
	}
	if (--f->pulls == 0)
		folder_end_file(f);
}

/* All at once: the store's limits let a few run. */
static int folder_pull_list(struct folder *f, const char *path, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	VEC(char *) refs = VEC_INIT;
	struct str rest;

	if (path_read(path, FOLDER_LIST_BYTES, &text, e) < 0)
		return -e->code;
	rest = buf_str(&text);
	while (rest.p && refs.n < FOLDER_LIST_IMAGES) {
		struct str line = str_trim(str_cut(&rest, '\n'));

		if (line.n && line.p[0] != '#')
			VEC_PUSH(&refs, str_dup(line));
	}
	f->pulls = refs.n;
	for (size_t k = 0; k < refs.n; k++) {
		image_pull(f->store, refs.v[k], NULL, folder_on_pulled, f);
		free(refs.v[k]);
	}
	VEC_RELEASE(&refs);
	return f->pulls ? 0 : err_set(e, ERR_BAD_REQUEST, "there is no image in the list '%s'", path);
}

/* Somebody writes it still: its end is told by the watch. */
static bool folder_is_written(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	bool written = fd >= 0 && fcntl(fd, F_SETLEASE, F_RDLCK) < 0 && errno == EAGAIN;

	if (fd >= 0 && !written)
		(void)!fcntl(fd, F_SETLEASE, F_UNLCK);
	return written;
}

/* True: its end comes later. */
static bool folder_begin(struct folder *f, char *name_take)
{
	_cleanup_free_ char *name = name_take, *path = folder_path(f, name);
	_cleanup_err_ struct err e = ERR_INIT;

	if (stat(path, &f->st) < 0 || !S_ISREG(f->st.st_mode) || folder_known(f, name, &f->st) || folder_is_written(path))
		return false;
	f->failed = false;
	f->images = node_new(f->state, DOC_ARRAY);
	f->file = take_ptr(&name);
	if (!ends_with(f->file, ".txt")) {
		image_import(f->store, path, IMAGE_IMPORT_PIN, NULL, folder_on_imported, f);
		return true;
	}
	if (folder_pull_list(f, path, &e) == 0)
		return true;
	log_error("a list of images can't be used", LE(&e));
	f->file = free_null(f->file);
	f->images = NULL;
	return false;
}

static void folder_next(struct folder *f)
{
	while (f->queue.n && !f->file) {
		char *name = f->queue.v[0];

		VEC_REMOVE(&f->queue, 0);
		if (folder_begin(f, name))
			return;
	}
}

static int folder_name_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void image_folder_changed(struct image_store *s, const char *name)
{
	struct folder *f = s->folder;

	if (!f || !folder_takes(name))
		return;
	for (size_t k = 0; k < f->queue.n; k++)
		if (streq(f->queue.v[k], name))
			return;
	VEC_PUSH(&f->queue, xstrdup(name));
	folder_next(f);
}

void image_folder_start(struct image_store *s)
{
	struct folder *f = xcalloc(1, sizeof(*f));
	DIR *d = opendir(s->dir);
	struct dirent *de;

	f->store = s;
	s->folder = f;
	folder_load(f);
	while (d && (de = readdir(d)))
		if (folder_takes(de->d_name))
			VEC_PUSH(&f->queue, xstrdup(de->d_name));
	if (d)
		closedir(d);
	if (f->queue.n)
		qsort(f->queue.v, f->queue.n, sizeof(*f->queue.v), folder_name_cmp);
	folder_next(f);
}

void image_folder_free(struct folder *f)
{
	if (!f)
		return;
	for (size_t k = 0; k < f->queue.n; k++)
		free(f->queue.v[k]);
	VEC_RELEASE(&f->queue);
	doc_unref(f->state);
	free(f->file);
	free(f);
}
