/*
 * Exporting: one tar that is an OCI image layout (oci-layout, index.json) and what
 * `docker load` takes (manifest.json), over the same blobs, as `docker save` and
 * `ctr images export` write it since they agree. Blobs are the bytes that came, so
 * an archive that is imported again gives the same images to the last digest. The
 * same images give the same archive: times are 0, the order is that of the references.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/path.h"
#include "image/internal.h"
#include "image/manifest.h"

#define TAR_BLOCK 512

struct export {
	struct image_store *store;
	int fd;
	struct map *written; /* names of members */
	struct doc *doc;
	struct node *index, *docker; /* arrays */
	struct err *e;
};

/* --- the tar --- */

/* In octal, or where that is too short in GNU's binary form. */
static void tar_number(char *field, size_t n, uint64_t value)
{
	if (value >> (3 * (n - 1)) == 0) {
		snprintf(field, n, "%0*llo", (int)n - 1, (unsigned long long)value);
		return;
	}
	for (size_t i = n; i-- > 1; value >>= 8)
		field[i] = (char)(value & 0xff);
	field[0] = (char)0x80;
}

static void tar_head(char h[TAR_BLOCK], const char *name, uint64_t size, bool dir)
{
	unsigned sum = 0;

	memset(h, 0, TAR_BLOCK);
	snprintf(h, 100, "%s", name);
	tar_number(h + 100, 8, dir ? 0755 : 0644);
	tar_number(h + 108, 8, 0);
	tar_number(h + 116, 8, 0);
	tar_number(h + 124, 12, size);
	tar_number(h + 136, 12, 0);
	memset(h + 148, ' ', 8);
	h[156] = dir ? '5' : '0';
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < TAR_BLOCK; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
}

static int export_write(struct export *x, const void *p, size_t n)
{
	int r = fd_write_all(x->fd, p, n);

	return r < 0 ? err_errno(x->e, -r, "write the archive") : 0;
}

static int export_pad(struct export *x, uint64_t size)
{
	static const char zeros[TAR_BLOCK];

	return size % TAR_BLOCK ? export_write(x, zeros, TAR_BLOCK - size % TAR_BLOCK) : 0;
}

static int export_bytes(struct export *x, const char *name, struct str bytes, bool dir)
{
	char head[TAR_BLOCK];

	tar_head(head, name, bytes.n, dir);
	if (export_write(x, head, sizeof(head)) < 0 || export_write(x, bytes.p, bytes.n) < 0)
		return -x->e->code;
	return export_pad(x, bytes.n);
}

static int export_file(struct export *x, const char *name, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_free_ char *block = xmalloc(256 << 10);
	char head[TAR_BLOCK];
	struct stat st;
	int64_t left;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(x->e, errno, "open '%s'", path);
	tar_head(head, name, (uint64_t)st.st_size, false);
	if (export_write(x, head, sizeof(head)) < 0)
		return -x->e->code;
	for (left = st.st_size; left > 0;) {
		ssize_t n = read(fd, block, left < (256 << 10) ? (size_t)left : 256 << 10);

		if (n <= 0)
			return err_errno(x->e, n < 0 ? errno : EIO, "read '%s'", path);
		if (export_write(x, block, (size_t)n) < 0)
			return -x->e->code;
		left -= n;
	}
	return export_pad(x, (uint64_t)st.st_size);
}

/* --- what is in it --- */

static int export_blob(struct export *x, const char *digest)
{
	static char yes;
	_cleanup_free_ char *name = xasprintf("blobs/sha256/%s", digest_hex(digest));
	_cleanup_free_ char *path = image_path(x->store, "blobs/sha256", digest_hex(digest));

	if (map_getc(x->written, name))
		return 0;
	map_set(x->written, str_of(name), &yes);
	return export_file(x, name, path);
}

static void export_list(struct export *x, const struct image *i, const char *media_type, size_t manifest_size,
			const char *name)
{
	struct doc *d = x->doc;
	struct node *n, *notes;

	n = node_append(x->index, node_new(d, DOC_OBJECT));
	node_setk(d, n, STR_LIT("mediaType"), node_new_cstr(d, media_type));
	node_setk(d, n, STR_LIT("digest"), node_new_cstr(d, i->manifest));
	node_setk(d, n, STR_LIT("size"), node_new_int(d, (int64_t)manifest_size));
	notes = node_setk(d, n, STR_LIT("annotations"), node_new(d, DOC_OBJECT));
	node_setk(d, notes, STR_LIT("io.containerd.image.name"), node_new_cstr(d, name));
	node_setk(d, notes, STR_LIT("org.opencontainers.image.ref.name"), node_new_cstr(d, name));
}

static void export_list_docker(struct export *x, const struct oci_manifest *m, const char *name)
{
	struct doc *d = x->doc;
	struct node *n = node_append(x->docker, node_new(d, DOC_OBJECT)), *list;

	node_setk(d, n, STR_LIT("Config"), node_new_fmt(d, "blobs/sha256/%s", digest_hex(m->config.digest)));
	list = node_setk(d, n, STR_LIT("RepoTags"), node_new(d, DOC_ARRAY));
	node_append(list, node_new_cstr(d, name));
	list = node_setk(d, n, STR_LIT("Layers"), node_new(d, DOC_ARRAY));
	for (size_t k = 0; k < m->layers.n; k++)
		node_append(list, node_new_fmt(d, "blobs/sha256/%s", digest_hex(m->layers.v[k].digest)));
}

/* The name that ref is; of an id its first. */
static char *export_name(const struct image *i, const char *ref, struct err *e)
{
	_cleanup_err_ struct err ignored = ERR_INIT;
	struct image_ref r = { 0 };
	char *name = NULL;

	if (image_ref_parse(&r, ref, &ignored) == 0)
		name = image_ref_print(&r);
	image_ref_release(&r);
	for (size_t k = 0; name && i->names[k]; k++)
		if (streq(i->names[k], name))
			return name;
	free(name);
	if (i->names[0])
		return xstrdup(i->names[0]);
	err_set(e, ERR_BAD_REQUEST, "image \"%s\" has no name: give it one (kinglet image tag)", ref);
	return NULL;
}

static const char *export_media_type(const struct doc *d, const struct oci_manifest *m)
{
	const char *type = node_cstr(node_getc(doc_root(d), "mediaType"));

	if (type)
		return type;
	return starts_with(m->config.media_type, "application/vnd.docker") ? "application/vnd.docker.distribution.manifest.v2+json" :
									     "application/vnd.oci.image.manifest.v1+json";
}

static int export_image(struct export *x, const struct image *i, const char *ref)
{
	_cleanup_(oci_manifest_release) struct oci_manifest m = { 0 };
	_cleanup_free_ char *name = export_name(i, ref, x->e);
	_cleanup_buf_ struct buf json = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	if (!name)
		return -x->e->code;
	if (!i->blobs[0] && !streq(path_base(i->layers[0]), "empty"))
		return err_set(x->e, ERR_NOT_FOUND, "the compressed layers of image \"%s\" are not kept here (it was pulled for a "
			       "pod): `kinglet image pull` fetches them", ref);
	if (image_read_blob(x->store, i->manifest, &json, x->e) < 0 || oci_manifest_parse(&m, buf_str(&json), x->e) < 0 ||
	    doc_parse_json(&d, buf_str(&json), NULL, x->e) < 0)
		return -x->e->code;
	for (size_t k = 0; k < m.layers.n; k++)
		if (export_blob(x, m.layers.v[k].digest) < 0)
			return -x->e->code;
	if (export_blob(x, m.config.digest) < 0 || export_blob(x, i->manifest) < 0)
		return -x->e->code;
	export_list(x, i, export_media_type(d, &m), json.len, name);
	export_list_docker(x, &m, name);
	return 0;
}

static int export_refs(struct export *x, char *const *refs)
{
	for (size_t k = 0; refs[k]; k++) {
		struct image *i = image_find(x->store, refs[k]);
		int r;

		if (!i)
			return err_set(x->e, ERR_NOT_FOUND, "image \"%s\": not found", refs[k]);
		r = export_image(x, i, refs[k]);
		image_unref(i);
		if (r < 0)
			return r;
	}
	return 0;
}

static int export_document(struct export *x, const char *name, const struct node *n)
{
	_cleanup_buf_ struct buf text = BUF_INIT;

	doc_print_json(&text, n, DOC_PRINT_COMPACT);
	return export_bytes(x, name, buf_str(&text), false);
}

int image_export(struct image_store *s, char *const *refs, int fd, struct err *e)
{
	static const char end[2 * TAR_BLOCK];
	_cleanup_doc_ struct doc *d = doc_new();
	struct export x = { .store = s, .fd = fd, .written = map_new(NULL), .doc = d, .e = e };
	struct node *index = node_new(d, DOC_OBJECT);

	node_setk(d, index, STR_LIT("schemaVersion"), node_new_int(d, 2));
	node_setk(d, index, STR_LIT("mediaType"), node_new_cstr(d, "application/vnd.oci.image.index.v1+json"));
	x.index = node_setk(d, index, STR_LIT("manifests"), node_new(d, DOC_ARRAY));
	x.docker = node_new(d, DOC_ARRAY);
	if (export_bytes(&x, "oci-layout", STR_LIT("{\"imageLayoutVersion\":\"1.0.0\"}"), false) == 0 &&
	    export_bytes(&x, "blobs/", STR_LIT(""), true) == 0 && export_bytes(&x, "blobs/sha256/", STR_LIT(""), true) == 0 &&
	    export_refs(&x, refs) == 0 && export_document(&x, "index.json", index) == 0 &&
	    export_document(&x, "manifest.json", x.docker) == 0)
		(void)!export_write(&x, end, sizeof(end));
	map_free(x.written);
	return err_is_set(e) ? -e->code : 0;
}
