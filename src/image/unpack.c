/*
 * `kinglet internal unpack DIR NAME BASE archive|layout`: the child that eats
 * images. DIR is the store, tmp/NAME/ in it is where this child works:
 *
 *	in/       the archive's files under numbers, or a layout's blobs under their digests;
 *		  in the end all blobs of layers are there under their digests
 *	layers/   what it makes of layers, <hex>/ by diff ID (or see stack_own_name); those that the store has are not
 *		  made again
 *	blobs/    configs and manifests by digest
 *
 * The archive is fd 3. On fd 4 goes one JSON object a line: {"progress": "text"},
 * and at the end either {"images": [{id, names, digest, manifest, layers, blobs, size}]}
 * or {"error": {code, reason, message}}. BASE is the name for an image that has
 * only a tag, or nothing at all. The parent checks the report and puts things in
 * their place; until then the store has not changed.
 *
 * An OCI layout's digests are all checked (a layout's blobs were checked by the
 * parent when they came from the registry); an archive of `docker save` names
 * only its config by digest, which in turn names the layers' contents.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>

#include "base/arch.h"
#include "base/digest.h"
#include "base/path.h"
#include "image/internal.h"
#include "image/libarchive.h"
#include "image/manifest.h"

#define UNPACK_IMAGES 256

struct unpacker {
	int work, in, layers, blobs, store_layers; /* directories */
	bool trusted; /* blobs were checked as they came */
	const char *base; /* name for images without one */
	bool base_used;
	struct map *members; /* names in the archive -> files in in/ */
	struct layer_limits lim;
	struct doc *doc; /* the report */
	struct node *images;
};

/* --- talking to the parent --- */

static void unpack_say(struct doc *d)
{
	_cleanup_buf_ struct buf line = BUF_INIT;

	doc_print_json(&line, doc_root(d), DOC_PRINT_COMPACT);
	buf_addch(&line, '\n');
	(void)!fd_write_all(UNPACK_OUT_FD, line.s, line.len);
}

static void unpack_progress(const char *fmt, ...) ATTR_PRINTF(1, 2);
static void unpack_progress(const char *fmt, ...)
{
	_cleanup_doc_ struct doc *d = doc_new();
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	doc_set_root(d, node_new(d, DOC_OBJECT));
	node_setk(d, doc_root(d), STR_LIT("progress"), node_new_cstr(d, text));
	unpack_say(d);
}

/* A message quotes names that an image chose; it will be shown on terminals. */
static char *unpack_printable(const char *text)
{
	char *out = xstrdup(text);

	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return out;
}

static void unpack_say_error(const struct err *err)
{
	_cleanup_free_ char *message = unpack_printable(err_msg(err));
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *n;

	doc_set_root(d, node_new(d, DOC_OBJECT));
	n = node_setk(d, doc_root(d), STR_LIT("error"), node_new(d, DOC_OBJECT));
	node_setk(d, n, STR_LIT("code"), node_new_int(d, err->code));
	node_setk(d, n, STR_LIT("reason"), node_new_cstr(d, err_reason_name(err->reason)));
	node_setk(d, n, STR_LIT("message"), node_new_cstr(d, message));
	unpack_say(d);
}

/* --- members --- */

static int member_open(struct unpacker *u, const char *member, struct err *e)
{
	const char *file = map_getc(u->members, member);
	int fd;

	if (!file)
		return err_set(e, ERR_BAD_REQUEST, "the image is incomplete: '%.300s' is missing", member);
	fd = openat(u->in, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(e, errno, "open '%.300s'", member) : fd;
}

static int member_read(struct unpacker *u, const char *member, struct buf *out, struct err *e)
{
	const char *file = map_getc(u->members, member);

	if (!file)
		return err_set(e, ERR_BAD_REQUEST, "the image is incomplete: '%.300s' is missing", member);
	if (path_read_at(u->in, file, LIMIT_IMAGE_MANIFEST_BYTES, out, e) < 0)
		return err_wrap(e, "'%.300s'", member);
	return 0;
}

static void digest_text(struct str bytes, char out[DIGEST_TEXT_LEN + 1])
{
	memcpy(out, "sha256:", 7);
	digest_sha256_hex(bytes, out + 7);
}

/* Of a whole file; the offset is at the start before and after. */
static int digest_file(int fd, char out[DIGEST_TEXT_LEN + 1], struct err *e)
{
	_cleanup_free_ char *block = xmalloc(256 << 10);
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint8_t sum[DIGEST_SHA256_LEN];
	struct digest *d = digest_new();
	ssize_t n;

	while ((n = read(fd, block, 256 << 10)) > 0)
		digest_update(d, block, (size_t)n);
	digest_final(d, sum);
	digest_free(d);
	if (n < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(e, errno, "read a layer");
	buf_adds(&text, "sha256:");
	buf_add_hex(&text, sum, sizeof(sum));
	memcpy(out, text.s, DIGEST_TEXT_LEN + 1);
	return 0;
}

static int digest_check(const char *got, const char *want, const char *what, struct err *e)
{
	if (streq(got, want))
		return 0;
	return err_set(e, ERR_BAD_REQUEST, "the %s is damaged: its digest is %s, not %s", what, got, want);
}

static char *blob_member(const char *digest)
{
	return xasprintf("blobs/sha256/%s", digest_hex(digest));
}

/* A small blob, checked. */
static int blob_read(struct unpacker *u, const struct oci_desc *d, const char *what, struct buf *out, struct err *e)
{
	_cleanup_free_ char *member = blob_member(d->digest);
	char got[DIGEST_TEXT_LEN + 1];

	if (member_read(u, member, out, e) < 0)
		return -e->code;
	digest_text(buf_str(out), got);
	return digest_check(got, d->digest, what, e);
}

static int blob_keep(struct unpacker *u, const char *digest, struct str bytes, struct err *e)
{
	_cleanup_close_ int fd = openat(u->blobs, digest_hex(digest), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
					0600);
	int r = fd < 0 ? -errno : fd_write_all(fd, bytes.p, bytes.n);

	return r < 0 ? err_errno(e, -r, "keep %s", digest) : 0;
}

/* --- layers --- */

static size_t list_count(char *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

/*
 * The layers of an image as they become directories. One whose content depends on
 * those below it (layer.c) is called by a digest of all diff IDs up to its own, and
 * is shared only by images that have the same ones below.
 */
struct stack {
	char *const *diff_ids;
	char **names; /* digests that the directories are called by; NULL-terminated */
	int *fds;
	size_t n;
};

static void stack_init(struct stack *s, char *const *diff_ids)
{
	size_t n = list_count(diff_ids);

	*s = (struct stack){ .diff_ids = diff_ids, .names = xcalloc(n + 1, sizeof(char *)), .fds = xcalloc(n + 1, sizeof(int)) };
}

static void stack_release(struct stack *s)
{
	for (size_t i = 0; i < s->n; i++) {
		close_fd(s->fds[i]);
		free(s->names[i]);
	}
	free(s->names);
	free(s->fds);
}

static void stack_own_name(const struct stack *s, char out[DIGEST_TEXT_LEN + 1])
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	buf_adds(&text, "on other layers:");
	for (size_t i = 0; i <= s->n; i++)
		buf_addf(&text, " %s", s->diff_ids[i]);
	digest_text(buf_str(&text), out);
}

/* The directory becomes the uppermost. */
static int stack_push(struct unpacker *u, struct stack *s, const char *name, struct err *e)
{
	int fd = openat(u->layers, digest_hex(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		fd = openat(u->store_layers, digest_hex(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_errno(e, errno, "open the directory of layer %s", name);
	s->fds[s->n] = fd;
	s->names[s->n++] = xstrdup(name);
	return 0;
}

static bool layer_have(struct unpacker *u, const char *name)
{
	struct stat st;

	return fstatat(u->store_layers, digest_hex(name), &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	       fstatat(u->layers, digest_hex(name), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int layer_make_dir(struct unpacker *u, int blob, const struct stack *s, const char *own_name, bool *ret_depends,
			  struct err *e)
{
	const struct layer_below below = { s->fds, s->n };
	const char *diff_id = s->diff_ids[s->n];
	_cleanup_close_ int dir = -1;

	if (mkdirat(u->layers, digest_hex(diff_id), 0755) < 0)
		return err_errno(e, errno, "make the layer's directory");
	dir = openat(u->layers, digest_hex(diff_id), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(e, errno, "open the layer's directory");
	if (layer_unpack(blob, dir, diff_id, &below, &u->lim, ret_depends, e) < 0)
		return -e->code;
	if (*ret_depends && renameat(u->layers, digest_hex(diff_id), u->layers, digest_hex(own_name)) < 0)
		return err_errno(e, errno, "name the layer's directory");
	return 0;
}

/* The next layer of the stack. blob_digest: NULL when only the content is known by digest. */
static int unpack_layer(struct unpacker *u, const char *member, const char *blob_digest, struct stack *s, struct err *e)
{
	char got[DIGEST_TEXT_LEN + 1], own_name[DIGEST_TEXT_LEN + 1];
	const char *diff_id = s->diff_ids[s->n], *have;
	_cleanup_close_ int fd = -1;
	bool depends = false;

	stack_own_name(s, own_name);
	have = layer_have(u, diff_id) ? diff_id : layer_have(u, own_name) ? own_name : NULL;
	if (have && (!map_getc(u->members, member) || !blob_digest || u->trusted))
		return stack_push(u, s, have, e);
	fd = member_open(u, member, e);
	if (fd < 0)
		return -e->code;
	if (blob_digest && !u->trusted &&
	    (digest_file(fd, got, e) < 0 || digest_check(got, blob_digest, "layer", e) < 0))
		return -e->code;
	if (!have && layer_make_dir(u, fd, s, own_name, &depends, e) < 0)
		return -e->code;
	return stack_push(u, s, have ? have : depends ? own_name : diff_id, e);
}

static int unpack_check_config(const struct oci_config *c, size_t layers, struct err *e)
{
	if (list_count(c->diff_ids) != layers)
		return err_set(e, ERR_BAD_REQUEST, "the image is damaged: it has %zu layers, but its config names %zu",
			       layers, list_count(c->diff_ids));
	if (!oci_platform_ok(c->os, c->arch))
		return err_set(e, ERR_BAD_REQUEST, "the image is for %s/%s, this machine is linux/%s", *c->os ? c->os : "linux",
			       c->arch, ARCH_NAME);
	return 0;
}

/* --- the report --- */

struct unpack_result {
	const char *id, *digest, *manifest;
	int64_t size;
};

static void unpack_report(struct unpacker *u, const struct unpack_result *r, char *const *names, char *const *layers,
			  struct node *blobs)
{
	struct doc *d = u->doc;
	struct node *n = node_append(u->images, node_new(d, DOC_OBJECT)), *list;

	node_setk(d, n, STR_LIT("id"), node_new_cstr(d, r->id));
	node_setk(d, n, STR_LIT("digest"), node_new_cstr(d, r->digest));
	node_setk(d, n, STR_LIT("manifest"), node_new_cstr(d, r->manifest));
	node_setk(d, n, STR_LIT("size"), node_new_int(d, r->size));
	list = node_setk(d, n, STR_LIT("names"), node_new(d, DOC_ARRAY));
	for (size_t i = 0; names[i]; i++)
		node_append(list, node_new_cstr(d, names[i]));
	list = node_setk(d, n, STR_LIT("layers"), node_new(d, DOC_ARRAY));
	for (size_t i = 0; layers[i]; i++)
		node_append(list, node_new_cstr(d, layers[i]));
	node_setk(d, n, STR_LIT("blobs"), blobs);
}

/* A member that is a blob gets its digest for a name, too: whoever keeps it finds it there. */
static void blob_name(struct unpacker *u, const char *member, const char *digest)
{
	const char *file = map_getc(u->members, member);

	if (file && !streq(file, digest_hex(digest)))
		(void)!linkat(u->in, file, u->in, digest_hex(digest), 0);
}

static int unpack_count(struct unpacker *u, struct err *e)
{
	if (node_count(u->images) >= UNPACK_IMAGES)
		return err_set(e, ERR_TOO_LARGE, "the archive has more than %d images", UNPACK_IMAGES);
	return 0;
}

/* The name of an image that has none, or only a tag. NULL with *e when that is not possible. */
static char *unpack_base_name(struct unpacker *u, const char *tag, struct err *e)
{
	if (*u->base && (*tag || !u->base_used)) {
		u->base_used |= !*tag;
		return xasprintf("%s:%s", u->base, *tag ? tag : "latest");
	}
	err_set(e, ERR_BAD_REQUEST, "an image of the archive has no name: save it with one (docker save NAME:TAG)");
	return NULL;
}

static int unpack_check_names(char *const *names, struct err *e)
{
	for (size_t i = 0; names[i]; i++) {
		struct image_ref r = { 0 };

		if (image_ref_parse(&r, names[i], e) < 0)
			return -e->code;
		image_ref_release(&r);
	}
	return 0;
}

/* --- OCI --- */

static char *oci_name(struct unpacker *u, const struct oci_desc *top, struct err *e)
{
	if (*top->name)
		return xstrdup(top->name);
	if (strpbrk(top->ref_name, ":/@"))
		return xstrdup(top->ref_name);
	return unpack_base_name(u, top->ref_name, e);
}

static int oci_unpack_layers(struct unpacker *u, const struct oci_manifest *m, struct stack *s, struct err *e)
{
	for (size_t i = 0; i < m->layers.n; i++) {
		_cleanup_free_ char *member = blob_member(m->layers.v[i].digest);

		unpack_progress("unpacking layer %zu of %zu", i + 1, m->layers.n);
		if (unpack_layer(u, member, m->layers.v[i].digest, s, e) < 0)
			return err_wrap(e, "layer %s", m->layers.v[i].digest);
	}
	return 0;
}

static int oci_unpack_manifest(struct unpacker *u, const char *digest, const char *target, struct str bytes,
			       char *const *names, struct err *e)
{
	_cleanup_(oci_manifest_release) struct oci_manifest m = { 0 };
	_cleanup_(oci_config_release) struct oci_config c = { 0 };
	_cleanup_buf_ struct buf config = BUF_INIT;
	struct unpack_result r = { .digest = target, .manifest = digest };
	struct node *blobs = node_new(u->doc, DOC_ARRAY);
	_cleanup_(stack_release) struct stack s = { 0 };

	if (oci_manifest_parse(&m, bytes, e) < 0 || blob_read(u, &m.config, "config", &config, e) < 0 ||
	    oci_config_parse(&c, buf_str(&config), e) < 0 || unpack_check_config(&c, m.layers.n, e) < 0)
		return -e->code;
	stack_init(&s, c.diff_ids);
	if (oci_unpack_layers(u, &m, &s, e) < 0 || blob_keep(u, m.config.digest, buf_str(&config), e) < 0 ||
	    blob_keep(u, digest, bytes, e) < 0)
		return -e->code;
	r.id = m.config.digest;
	r.size = m.config.size;
	for (size_t i = 0; i < m.layers.n; i++)
		if (__builtin_add_overflow(r.size, m.layers.v[i].size, &r.size))
			return err_set(e, ERR_BAD_REQUEST, "the image's layers say that they are too large");
	for (size_t i = 0; i < m.layers.n; i++) {
		_cleanup_free_ char *member = blob_member(m.layers.v[i].digest);

		blob_name(u, member, m.layers.v[i].digest);
		node_append(blobs, node_new_cstr(u->doc, m.layers.v[i].digest));
	}
	unpack_report(u, &r, names, s.names, blobs);
	return 0;
}

/* From an entry of the top index to a manifest, through one nested index at most. */
static int oci_unpack_entry(struct unpacker *u, const struct oci_desc *top, struct err *e)
{
	_cleanup_(oci_index_release) struct oci_index nested = { 0 };
	_cleanup_buf_ struct buf bytes = BUF_INIT;
	_cleanup_free_ char *name = oci_name(u, top, e);
	const struct oci_desc *d = top;

	if (!name || unpack_check_names((char *const[]){ name, NULL }, e) < 0 || unpack_count(u, e) < 0)
		return -e->code;
	if (blob_read(u, d, "manifest", &bytes, e) < 0)
		return err_wrap(e, "image '%s'", name);
	if (oci_kind_of(buf_str(&bytes)) == OCI_INDEX) {
		if (oci_index_parse(&nested, buf_str(&bytes), e) < 0)
			return err_wrap(e, "image '%s'", name);
		d = oci_index_pick(&nested);
		if (!d)
			return err_set(e, ERR_NOT_FOUND, "image '%s': no match for platform linux/%s in manifest %s", name,
				       ARCH_NAME, top->digest);
		buf_clear(&bytes);
		if (blob_read(u, d, "manifest", &bytes, e) < 0)
			return err_wrap(e, "image '%s'", name);
	}
	if (oci_unpack_manifest(u, d->digest, top->digest, buf_str(&bytes), (char *const[]){ name, NULL }, e) < 0)
		return err_wrap(e, "image '%s'", name);
	return 0;
}

static int oci_unpack(struct unpacker *u, struct err *e)
{
	_cleanup_(oci_index_release) struct oci_index index = { 0 };
	_cleanup_buf_ struct buf json = BUF_INIT;
	size_t taken = 0;

	if (member_read(u, "index.json", &json, e) < 0 || oci_index_parse(&index, buf_str(&json), e) < 0)
		return -e->code;
	for (size_t i = 0; i < index.manifests.n; i++) {
		const struct oci_desc *d = &index.manifests.v[i];

		if (!oci_platform_ok(d->os, d->arch))
			continue;
		taken++;
		if (oci_unpack_entry(u, d, e) < 0)
			return -e->code;
	}
	if (index.manifests.n && !taken)
		return err_set(e, ERR_NOT_FOUND, "the archive has no image for linux/%s", ARCH_NAME);
	return 0;
}

/* --- docker save --- */

/* A manifest of its own, so that the image has a digest as any other. */
static void docker_manifest(struct buf *out, const char *config_digest, size_t config_size, struct doc *d,
			    struct node *layers)
{
	struct node *root = node_new(d, DOC_OBJECT), *c;

	node_setk(d, root, STR_LIT("schemaVersion"), node_new_int(d, 2));
	node_setk(d, root, STR_LIT("mediaType"),
		  node_new_cstr(d, "application/vnd.docker.distribution.manifest.v2+json"));
	c = node_setk(d, root, STR_LIT("config"), node_new(d, DOC_OBJECT));
	node_setk(d, c, STR_LIT("mediaType"), node_new_cstr(d, "application/vnd.docker.container.image.v1+json"));
	node_setk(d, c, STR_LIT("size"), node_new_int(d, (int64_t)config_size));
	node_setk(d, c, STR_LIT("digest"), node_new_cstr(d, config_digest));
	node_setk(d, root, STR_LIT("layers"), layers);
	doc_print_json(out, root, DOC_PRINT_COMPACT);
}

static int docker_layer(struct unpacker *u, const char *member, struct stack *s, struct doc *d, struct node *layers,
			int64_t *size, struct err *e)
{
	struct node *n = node_append(layers, node_new(d, DOC_OBJECT));
	_cleanup_close_ int fd = member_open(u, member, e);
	char got[DIGEST_TEXT_LEN + 1];
	struct stat st;

	if (fd < 0 || digest_file(fd, got, e) < 0)
		return -e->code;
	if (fstat(fd, &st) < 0)
		return err_errno(e, errno, "look at '%s'", member);
	*size += st.st_size;
	node_setk(d, n, STR_LIT("mediaType"),
		  node_new_cstr(d, streq(got, s->diff_ids[s->n]) ? "application/vnd.docker.image.rootfs.diff.tar" :
							  "application/vnd.docker.image.rootfs.diff.tar.gzip"));
	node_setk(d, n, STR_LIT("size"), node_new_int(d, st.st_size));
	node_setk(d, n, STR_LIT("digest"), node_new_cstr(d, got));
	return unpack_layer(u, member, NULL, s, e);
}

/* "<hex>.json" and "blobs/sha256/<hex>" say what the config's digest is; other names do not. */
static int docker_check_config(const char *member, const char *got, struct err *e)
{
	const char *base = path_base(member);
	_cleanup_free_ char *want = xasprintf("sha256:%.*s", (int)strcspn(base, "."), base);

	return digest_text_ok(str_of(want)) ? digest_check(got, want, "config", e) : 0;
}

static int docker_unpack_image(struct unpacker *u, const struct docker_image *i, char *const *names, struct err *e)
{
	_cleanup_(oci_config_release) struct oci_config c = { 0 };
	_cleanup_buf_ struct buf config = BUF_INIT, manifest = BUF_INIT;
	_cleanup_(stack_release) struct stack s = { 0 };
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *layers = node_new(d, DOC_ARRAY), *blobs = node_new(u->doc, DOC_ARRAY);
	char id[DIGEST_TEXT_LEN + 1], digest[DIGEST_TEXT_LEN + 1];
	struct unpack_result r = { .id = id, .digest = digest, .manifest = digest };
	size_t n = list_count(i->layers);
	const char *blob;

	if (unpack_check_names(names, e) < 0 || unpack_count(u, e) < 0 || member_read(u, i->config, &config, e) < 0)
		return -e->code;
	digest_text(buf_str(&config), id);
	r.size = (int64_t)config.len;
	if (docker_check_config(i->config, id, e) < 0 || oci_config_parse(&c, buf_str(&config), e) < 0 ||
	    unpack_check_config(&c, n, e) < 0)
		return -e->code;
	stack_init(&s, c.diff_ids);
	for (size_t k = 0; k < n; k++) {
		unpack_progress("unpacking layer %zu of %zu", k + 1, n);
		if (docker_layer(u, i->layers[k], &s, d, layers, &r.size, e) < 0)
			return err_wrap(e, "layer '%.300s'", i->layers[k]);
		blob = node_cstr(node_getc(node_at(layers, k), "digest"));
		blob_name(u, i->layers[k], blob);
		node_append(blobs, node_new_cstr(u->doc, blob));
	}
	docker_manifest(&manifest, id, config.len, d, layers);
	digest_text(buf_str(&manifest), digest);
	if (blob_keep(u, id, buf_str(&config), e) < 0 || blob_keep(u, digest, buf_str(&manifest), e) < 0)
		return -e->code;
	unpack_report(u, &r, names, s.names, blobs);
	return 0;
}

static int docker_unpack(struct unpacker *u, struct err *e)
{
	_cleanup_(docker_save_release) struct docker_save save = { 0 };
	_cleanup_buf_ struct buf json = BUF_INIT;

	if (member_read(u, "manifest.json", &json, e) < 0 || docker_save_parse(&save, buf_str(&json), e) < 0)
		return -e->code;
	for (size_t i = 0; i < save.images.n; i++) {
		struct docker_image *img = &save.images.v[i];
		_cleanup_free_ char *own = NULL;
		char *own_list[] = { NULL, NULL };

		if (!img->tags[0]) {
			own_list[0] = own = unpack_base_name(u, "", e);
			if (!own)
				return -e->code;
		}
		if (docker_unpack_image(u, img, own ? own_list : img->tags, e) < 0)
			return err_wrap(e, "image '%.300s'", own ? own : img->tags[0]);
	}
	return 0;
}

/* --- the child --- */

static int unpack_dir(int at, const char *name, bool make, struct err *e)
{
	int fd;

	if (make && mkdirat(at, name, 0700) < 0 && errno != EEXIST)
		return err_errno(e, errno, "make '%s'", name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_errno(e, errno, "open '%s'", name) : fd;
}

/* The files of a layout that the parent has put there. */
static int unpack_list_layout(struct unpacker *u, struct err *e)
{
	int fd = openat(u->in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d)
		return err_errno(e, errno, "list the image's files");
	while ((de = readdir(d))) {
		_cleanup_free_ char *name = streq(de->d_name, "index.json") ? xstrdup(de->d_name) :
									      xasprintf("blobs/sha256/%s", de->d_name);

		if (de->d_name[0] != '.')
			map_set(u->members, str_of(name), xstrdup(de->d_name));
	}
	closedir(d);
	return 0;
}

static int unpack_images(struct unpacker *u, struct err *e)
{
	if (map_getc(u->members, "index.json"))
		return oci_unpack(u, e);
	if (map_getc(u->members, "manifest.json"))
		return docker_unpack(u, e);
	return err_set(e, ERR_BAD_REQUEST, "this is no image archive: it has neither an index.json (OCI layout) nor a "
		       "manifest.json (docker save)");
}

static int unpack_all(struct unpacker *u, const char *tmp_name, struct err *e)
{
	_cleanup_free_ char *work = xasprintf("tmp/%s", tmp_name);

	u->work = unpack_dir(AT_FDCWD, work, false, e);
	if (u->work < 0)
		return -e->code;
	u->in = unpack_dir(u->work, "in", true, e);
	u->layers = u->in < 0 ? -1 : unpack_dir(u->work, "layers", true, e);
	u->blobs = u->layers < 0 ? -1 : unpack_dir(u->work, "blobs", true, e);
	u->store_layers = u->blobs < 0 ? -1 : unpack_dir(AT_FDCWD, "layers", false, e);
	if (u->store_layers < 0)
		return -e->code;
	if (u->trusted ? unpack_list_layout(u, e) < 0 :
			 archive_extract(UNPACK_IN_FD, u->in, u->members, &u->lim, e) < 0)
		return -e->code;
	u->lim.bytes_left = u->lim.stream_left = LIMIT_IMAGE_UNPACKED_BYTES;
	if (unpack_images(u, e) < 0)
		return -e->code;
	if (syncfs(u->work) < 0) /* the index will say that the layers are there: so must the disk */
		return err_errno(e, errno, "write the layers to the disk");
	return 0;
}

int image_unpack_main(int argc, char **argv)
{
	struct unpacker u = { .members = map_new(free), .doc = doc_new() };
	_cleanup_err_ struct err e = ERR_INIT;

	if (argc != 5) {
		err_set(&e, ERR_INTERNAL, "usage: kinglet internal unpack DIR NAME BASE archive|layout");
		unpack_say_error(&e);
		return 2;
	}
	u.base = argv[3];
	u.trusted = streq(argv[4], "layout");
	u.lim = (struct layer_limits){ LIMIT_IMAGE_UNPACKED_BYTES, LIMIT_IMAGE_UNPACKED_BYTES, LIMIT_IMAGE_FILES };
	doc_set_root(u.doc, node_new(u.doc, DOC_OBJECT));
	u.images = node_setk(u.doc, doc_root(u.doc), STR_LIT("images"), node_new(u.doc, DOC_ARRAY));
	setlocale(LC_CTYPE, "C.UTF-8"); /* names in archives are UTF-8 */
	digest_free(digest_new()); /* the library reads its configuration now */
	if (libarchive_load(&e) < 0 || sandbox_enter(argv[1], &e) < 0 || unpack_all(&u, argv[2], &e) < 0)
		unpack_say_error(&e);
	else
		unpack_say(u.doc);
	_exit(err_is_set(&e) ? 1 : 0); /* nothing of what exit handlers do is wanted, or allowed */
}
