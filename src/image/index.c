/*
 * index.json: which images there are, how they are called, which layers they
 * are made of. What a container needs besides (command, environment, ...) is read
 * from the config blobs when the index is.
 *
 *	{"version": 1, "images": [{"id": "sha256:...", "names": ["docker.io/library/x:1"],
 *	 "repoDigest": "docker.io/library/x@sha256:...", "manifest": "sha256:...",
 *	 "layers": ["sha256:<diff ID>", ...], "blobs": ["sha256:...", ...], "size": 1234,
 *	 "added": 1764000000, "pinned": true}]}
 *
 * The file is only ever replaced, so its inode and time say whether another
 * process has changed it. A struct image that was handed out is never changed by
 * this process either, except that its names follow the index.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/path.h"
#include "base/time.h"
#include "image/internal.h"
#include "image/manifest.h"

#define INDEX_VERSION 1
#define INDEX_IMAGES_MAX 10000

/* --- struct image --- */

static char **list_empty(void)
{
	return xcalloc(1, sizeof(char *));
}

void image_names_free(char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		free(names[i]);
	free(names);
}

struct image *image_new(void)
{
	struct image *i = xcalloc(1, sizeof(*i));

	i->refs = 1;
	return i;
}

struct image *image_ref_image(struct image *i)
{
	i->refs++;
	return i;
}

struct image *image_unref(struct image *i)
{
	if (!i || --i->refs)
		return NULL;
	image_names_free(i->names);
	image_names_free(i->layers);
	image_names_free(i->entrypoint);
	image_names_free(i->cmd);
	image_names_free(i->env);
	image_names_free(i->volumes);
	image_names_free(i->blobs);
	free(i->id);
	free(i->repo_digest);
	free(i->manifest);
	free(i->user);
	free(i->working_dir);
	free(i->stop_signal);
	free(i);
	return NULL;
}

void image_drop_name(struct image *i, size_t at)
{
	free(i->names[at]);
	do
		i->names[at] = i->names[at + 1];
	while (i->names[at++]);
}

void image_add_name(struct image *i, const char *name)
{
	size_t n = 0;

	for (; i->names[n]; n++)
		if (streq(i->names[n], name))
			return;
	i->names = xreallocarray(i->names, n + 2, sizeof(char *));
	i->names[n] = xstrdup(name);
	i->names[n + 1] = NULL;
}

void image_clear_blobs(struct image *i)
{
	image_names_free(i->blobs);
	i->blobs = list_empty();
}

/* "docker.io/library/x:1" -> "docker.io/library/x@sha256:..." */
static char *image_make_repo_digest(const char *name, const char *digest)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct image_ref r = { 0 };
	char *out;

	if (!*digest || image_ref_parse(&r, name, &e) < 0)
		return xstrdup("");
	out = xasprintf("%s/%s@%s", r.registry, r.repository, digest);
	image_ref_release(&r);
	return out;
}

/* --- reading --- */

/* Directories, uppermost first, from diff IDs, lowest first. */
static int index_layers(struct image_store *s, struct image *i, const struct node *ids, struct err *e)
{
	size_t n = node_count(ids), at = n;

	if (n > LIMIT_IMAGE_LAYERS)
		return err_set(e, ERR_TOO_LARGE, "an image of the index has %zu layers", n);
	i->layers = xcalloc(n + 2, sizeof(char *));
	if (n == 0) /* overlayfs wants something below */
		i->layers[0] = image_path(s, "layers", "empty");
	NODE_FOREACH (c, ids) {
		if (!digest_text_ok(node_str(c))) {
			for (size_t k = at; k < n; k++)
				i->layers[k] = free_null(i->layers[k]);
			return err_set(e, ERR_INVALID, "an image of the index has a layer that is no digest");
		}
		i->layers[--at] = image_path(s, "layers", digest_hex(node_cstr(c)));
	}
	return 0;
}

static char **index_strings(const struct node *names)
{
	char **list = xcalloc(node_count(names) + 1, sizeof(char *));
	size_t n = 0;

	NODE_FOREACH (c, names)
		if (node_is(c, DOC_STRING))
			list[n++] = str_dup(node_str(c));
	return list;
}

/* Kept blobs, all of them digests; else none. */
static char **index_blobs(const struct node *blobs)
{
	NODE_FOREACH (c, blobs)
		if (!digest_text_ok(node_str(c)))
			return list_empty();
	return index_strings(blobs);
}

static bool index_same_strings(char *const *list, const struct node *n)
{
	size_t at = 0;

	NODE_FOREACH (c, n)
		if (!list[at] || !node_streq(c, list[at++]))
			return false;
	return !list[at];
}

/* What the container needs to know. */
static int index_config(struct image_store *s, struct image *i, struct err *e)
{
	_cleanup_free_ char *path = image_path(s, "blobs/sha256", digest_hex(i->id));
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct oci_config c;

	if (path_read(path, LIMIT_IMAGE_MANIFEST_BYTES, &text, e) < 0 || oci_config_parse(&c, buf_str(&text), e) < 0)
		return -e->code;
	i->entrypoint = take_ptr(&c.entrypoint);
	i->cmd = take_ptr(&c.cmd);
	i->env = take_ptr(&c.env);
	i->volumes = take_ptr(&c.volumes);
	i->user = take_ptr(&c.user);
	i->working_dir = take_ptr(&c.working_dir);
	i->stop_signal = take_ptr(&c.stop_signal);
	i->created_s = c.created_s;
	oci_config_release(&c);
	return 0;
}

static struct image *index_image(struct image_store *s, const struct node *n, struct err *e)
{
	struct str id = node_str(node_getc(n, "id"));
	struct image *i;

	if (!digest_text_ok(id)) {
		err_set(e, ERR_INVALID, "an image of the index has no id");
		return NULL;
	}
	i = image_new();
	i->id = str_dup(id);
	i->names = index_strings(node_getc(n, "names"));
	i->blobs = index_blobs(node_getc(n, "blobs"));
	i->repo_digest = xstrdup(node_cstr_or(node_getc(n, "repoDigest"), ""));
	i->manifest = xstrdup(node_cstr_or(node_getc(n, "manifest"), ""));
	i->size = node_int(node_getc(n, "size"), 0);
	i->added_s = node_int(node_getc(n, "added"), 0);
	i->pinned = node_bool(node_getc(n, "pinned"), false);
	if (index_layers(s, i, node_getc(n, "layers"), e) < 0 || index_config(s, i, e) < 0) {
		err_wrap(e, "image %s", i->id);
		image_unref(i);
		return NULL;
	}
	return i;
}

/* The former list's image when it says the same: who has it keeps it, and its config is not read again. */
static struct image *index_former(struct image_store *s, const struct node *n)
{
	for (size_t k = 0; k < s->images.n; k++) {
		struct image *i = s->images.v[k];

		if (!node_streq(node_getc(n, "id"), i->id))
			continue;
		if (!node_streq(node_getc(n, "repoDigest"), i->repo_digest) ||
		    !node_streq(node_getc(n, "manifest"), i->manifest) ||
		    node_bool(node_getc(n, "pinned"), false) != i->pinned)
			return NULL;
		if (!index_same_strings(i->names, node_getc(n, "names")) ||
		    !index_same_strings(i->blobs, node_getc(n, "blobs")))
			return NULL;
		return image_ref_image(i);
	}
	return NULL;
}

static int index_parse(struct doc **ret, const char *path, struct err *e)
{
	const struct doc_json_opts opts = { .max_bytes = INDEX_MAX_BYTES };
	_cleanup_buf_ struct buf text = BUF_INIT;
	int64_t version;

	if (path_read(path, INDEX_MAX_BYTES, &text, e) < 0)
		return -e->code;
	if (doc_parse_json(ret, buf_str(&text), &opts, e) < 0)
		return err_wrap(e, "the list of images '%s' is damaged (move it away and import the images again)",
				path);
	version = node_int(node_getc(doc_root(*ret), "version"), 0);
	if (version == INDEX_VERSION && node_count(node_getc(doc_root(*ret), "images")) <= INDEX_IMAGES_MAX)
		return 0;
	*ret = doc_unref(*ret);
	if (version > INDEX_VERSION)
		return err_set(e, ERR_INVALID, "the list of images '%s' was written by a newer kinglet (version %lld)",
			       path, (long long)version);
	return err_set(e, ERR_INVALID, "'%s' is no list of images of kinglet", path);
}

static void index_replace(struct image_store *s, const struct node *root)
{
	VEC(struct image *) list = VEC_INIT;

	NODE_FOREACH (c, node_getc(root, "images")) {
		_cleanup_err_ struct err e = ERR_INIT;
		struct image *i = index_former(s, c);

		if (!i)
			i = index_image(s, c, &e);
		if (i)
			VEC_PUSH(&list, i);
		else
			log_warn("an image can't be used, import it again", LE(&e));
	}
	for (size_t k = 0; k < s->images.n; k++)
		image_unref(s->images.v[k]);
	VEC_RELEASE(&s->images);
	s->images.v = list.v;
	s->images.n = list.n;
	s->images.cap = list.cap;
}

int image_index_load(struct image_store *s, struct err *e)
{
	_cleanup_free_ char *path = path_join(s->dir, "index.json");
	_cleanup_doc_ struct doc *d = NULL;
	int64_t mtime_ns;
	struct stat st;

	if (stat(path, &st) < 0) {
		if (errno != ENOENT)
			return err_errno(e, errno, "read '%s'", path);
		st = (struct stat){ 0 };
	}
	mtime_ns = st.st_mtim.tv_sec * SEC_NS + st.st_mtim.tv_nsec;
	if (st.st_ino == s->index_ino && mtime_ns == s->index_mtime_ns)
		return 0;
	if (st.st_ino && index_parse(&d, path, e) < 0)
		return -e->code;
	index_replace(s, d ? doc_root(d) : NULL);
	s->index_ino = st.st_ino;
	s->index_mtime_ns = mtime_ns;
	return 0;
}

/* --- writing --- */

static void index_print_image(struct doc *d, struct node *list, const struct image *i)
{
	struct node *n = node_append(list, node_new(d, DOC_OBJECT)), *names, *layers, *blobs;
	size_t k = 0;

	node_setk(d, n, STR_LIT("id"), node_new_cstr(d, i->id));
	names = node_setk(d, n, STR_LIT("names"), node_new(d, DOC_ARRAY));
	for (size_t a = 0; i->names[a]; a++)
		node_append(names, node_new_cstr(d, i->names[a]));
	node_setk(d, n, STR_LIT("repoDigest"), node_new_cstr(d, i->repo_digest));
	node_setk(d, n, STR_LIT("manifest"), node_new_cstr(d, i->manifest));
	layers = node_setk(d, n, STR_LIT("layers"), node_new(d, DOC_ARRAY));
	while (i->layers[k])
		k++;
	while (k-- > 0) /* lowest first */
		if (!streq(path_base(i->layers[k]), "empty"))
			node_append(layers, node_new_fmt(d, "sha256:%s", path_base(i->layers[k])));
	blobs = node_setk(d, n, STR_LIT("blobs"), node_new(d, DOC_ARRAY));
	for (size_t a = 0; i->blobs[a]; a++)
		node_append(blobs, node_new_cstr(d, i->blobs[a]));
	node_setk(d, n, STR_LIT("size"), node_new_int(d, i->size));
	node_setk(d, n, STR_LIT("added"), node_new_int(d, i->added_s));
	node_setk(d, n, STR_LIT("pinned"), node_new_bool(d, i->pinned));
}

int image_index_save(struct image_store *s, struct err *e)
{
	_cleanup_free_ char *path = path_join(s->dir, "index.json");
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *list;
	struct stat st;

	doc_set_root(d, root);
	node_setk(d, root, STR_LIT("version"), node_new_int(d, INDEX_VERSION));
	list = node_setk(d, root, STR_LIT("images"), node_new(d, DOC_ARRAY));
	for (size_t i = 0; i < s->images.n; i++)
		index_print_image(d, list, s->images.v[i]);
	doc_print_json(&text, root, DOC_PRINT_INDENT);
	buf_addch(&text, '\n');
	doc_unref(d);
	if (path_write_atomic(path, buf_str(&text), 0600, e) < 0) {
		s->index_ino = 1; /* what is in memory is not what is on disk: read it again */
		return -e->code;
	}
	if (stat(path, &st) == 0) {
		s->index_ino = st.st_ino;
		s->index_mtime_ns = st.st_mtim.tv_sec * SEC_NS + st.st_mtim.tv_nsec;
	}
	return 0;
}

/* --- adding --- */

/* What the child reports is checked again: it has eaten hostile bytes. */
static int index_check_report(const struct node *n, struct err *e)
{
	bool good = digest_text_ok(node_str(node_getc(n, "id"))) &&
		    digest_text_ok(node_str(node_getc(n, "manifest"))) &&
		    digest_text_ok(node_str(node_getc(n, "digest"))) &&
		    node_count(node_getc(n, "layers")) <= LIMIT_IMAGE_LAYERS && node_count(node_getc(n, "names")) > 0 &&
		    node_count(node_getc(n, "blobs")) == node_count(node_getc(n, "layers"));

	NODE_FOREACH (c, node_getc(n, "layers"))
		good = good && digest_text_ok(node_str(c));
	NODE_FOREACH (c, node_getc(n, "blobs"))
		good = good && digest_text_ok(node_str(c));
	NODE_FOREACH (c, node_getc(n, "names")) {
		struct image_ref r = { 0 };

		if (image_ref_parse(&r, node_cstr_or(c, ""), e) < 0)
			return -e->code;
		image_ref_release(&r);
	}
	return good ? 0 : err_set(e, ERR_INTERNAL, "the unpacking process reported nonsense");
}

/* tmp/NAME/sub/hex -> to/hex, unless it is there already. */
static int index_move(struct image_store *s, const char *tmp_name, const char *sub, const char *to, const char *digest,
		      mode_t type, struct err *e)
{
	const char *hex = digest_hex(digest);
	_cleanup_free_ char *src = xasprintf("%s/tmp/%s/%s/%s", s->dir, tmp_name, sub, hex);
	_cleanup_free_ char *dst = image_path(s, to, hex);
	struct stat st;

	if (lstat(dst, &st) == 0 && (st.st_mode & S_IFMT) == type)
		return 0;
	if (lstat(src, &st) < 0)
		return err_errno(e, errno, "look for the unpacked %s", digest);
	if ((st.st_mode & S_IFMT) != type)
		return err_set(e, ERR_INTERNAL, "the unpacked %s is of the wrong kind", digest);
	if (rename(src, dst) < 0)
		return err_errno(e, errno, "put '%s' in its place", dst);
	return 0;
}

/* All of the image's compressed layers came along, or are here. */
static bool index_blobs_there(struct image_store *s, const char *tmp_name, const struct node *n)
{
	NODE_FOREACH (c, node_getc(n, "blobs")) {
		const char *hex = digest_hex(node_cstr(c));
		_cleanup_free_ char *src = xasprintf("%s/tmp/%s/in/%s", s->dir, tmp_name, hex);
		_cleanup_free_ char *dst = image_path(s, "blobs/sha256", hex);

		if (!path_exists(src) && !path_exists(dst))
			return false;
	}
	return true;
}

static int index_move_all(struct image_store *s, const char *tmp_name, const struct node *n, int flags, struct err *e)
{
	if (flags & INDEX_KEEP_BLOBS)
		NODE_FOREACH (c, node_getc(n, "blobs"))
			if (index_move(s, tmp_name, "in", "blobs/sha256", node_cstr(c), S_IFREG, e) < 0)
				return -e->code;
	NODE_FOREACH (c, node_getc(n, "layers"))
		if (index_move(s, tmp_name, "layers", "layers", node_cstr(c), S_IFDIR, e) < 0)
			return -e->code;
	if (index_move(s, tmp_name, "blobs", "blobs/sha256", node_cstr(node_getc(n, "id")), S_IFREG, e) < 0)
		return -e->code;
	return index_move(s, tmp_name, "blobs", "blobs/sha256", node_cstr(node_getc(n, "manifest")), S_IFREG, e);
}

/* A name belongs to one image: it leaves the others. */
void image_take_name(struct image_store *s, const struct image *owner, const char *name)
{
	for (size_t k = 0; k < s->images.n; k++) {
		struct image *i = s->images.v[k];

		for (size_t a = 0; i != owner && i->names[a];) {
			if (streq(i->names[a], name))
				image_drop_name(i, a);
			else
				a++;
		}
	}
}

static int index_add_image(struct image_store *s, const char *tmp_name, const struct node *n, int flags,
			   struct err *e)
{
	struct image *i = NULL;

	if (!index_blobs_there(s, tmp_name, n))
		flags &= ~INDEX_KEEP_BLOBS;
	if (index_move_all(s, tmp_name, n, flags, e) < 0)
		return -e->code;
	for (size_t k = 0; k < s->images.n; k++)
		if (node_streq(node_getc(n, "id"), s->images.v[k]->id))
			i = s->images.v[k];
	if (!i) {
		i = index_image(s, n, e);
		if (!i)
			return -e->code;
		VEC_PUSH(&s->images, i);
		image_names_free(i->names);
		i->names = list_empty();
		image_clear_blobs(i);
		i->added_s = time_wall_s();
	}
	i->pinned |= (flags & INDEX_PIN) != 0;
	/* Another manifest may have the same content in other blobs. */
	if (flags & INDEX_KEEP_BLOBS || !node_streq(node_getc(n, "manifest"), i->manifest)) {
		image_names_free(i->blobs);
		i->blobs = flags & INDEX_KEEP_BLOBS ? index_blobs(node_getc(n, "blobs")) : list_empty();
	}
	free(i->repo_digest); /* the newest place that the image came from */
	i->repo_digest = image_make_repo_digest(node_cstr_or(node_first(node_getc(n, "names")), ""),
						node_cstr_or(node_getc(n, "digest"), ""));
	NODE_FOREACH (c, node_getc(n, "names")) {
		struct image_ref r = { 0 };
		_cleanup_free_ char *name = NULL;

		if (image_ref_parse(&r, node_cstr_or(c, ""), e) < 0)
			return -e->code;
		name = image_ref_print(&r);
		image_ref_release(&r);
		image_take_name(s, i, name);
		image_add_name(i, name);
	}
	if (!streq(i->manifest, node_cstr(node_getc(n, "manifest")))) {
		free(i->manifest);
		i->manifest = xstrdup(node_cstr(node_getc(n, "manifest")));
	}
	return 0;
}

static char **index_report_names(const struct node *images)
{
	VEC(char *) list = VEC_INIT;

	NODE_FOREACH (n, images)
		NODE_FOREACH (c, node_getc(n, "names")) {
			_cleanup_err_ struct err e = ERR_INIT;
			struct image_ref r = { 0 };

			if (image_ref_parse(&r, node_cstr_or(c, ""), &e) == 0)
				VEC_PUSH(&list, image_ref_print(&r));
			image_ref_release(&r);
		}
	VEC_PUSH(&list, NULL);
	return list.v;
}

int image_index_add(struct image_store *s, const char *tmp_name, const struct node *report, int flags,
		    char ***ret_names, char **ret_id, struct err *e)
{
	const struct node *images = node_getc(report, "images");
	_cleanup_close_ int lock = -1;

	if (!node_count(images))
		return err_set(e, ERR_BAD_REQUEST, "there is no image in it");
	NODE_FOREACH (n, images)
		if (index_check_report(n, e) < 0)
			return -e->code;
	lock = image_store_lock(s, e);
	if (lock < 0 || image_index_load(s, e) < 0)
		return -e->code;
	NODE_FOREACH (n, images)
		if (index_add_image(s, tmp_name, n, flags, e) < 0)
			break;
	if (!err_is_set(e)) {
		image_drop_nameless(s);
		(void)!image_index_save(s, e);
	}
	if (err_is_set(e)) {
		_cleanup_err_ struct err ignored = ERR_INIT;

		s->index_ino = 1; /* the file is what counts */
		(void)!image_index_load(s, &ignored);
		return -e->code;
	}
	*ret_names = index_report_names(images);
	*ret_id = xstrdup(node_cstr(node_getc(node_first(images), "id")));
	return 0;
}
