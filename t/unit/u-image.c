/*
 * Images: references, manifests, and whole imports through the real child, of good
 * archives and of hostile ones. The archives are made here byte by byte, so that
 * they can be wrong in any way. Needs root (chroot, trusted attributes).
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/arch.h"
#include "base/digest.h"
#include "base/path.h"
#include "base/str.h"
#include "image/image.h"
#include "image/manifest.h"
#include "image/registry.h"
#include "tap.h"

static char top[] = "/tmp/u-image.XXXXXX";
static struct loop *loop;
static struct image_store *store;

/* --- tars --- */

struct tar_entry {
	const char *name;
	char type; /* '0' file, '1' hard link, '2' link, '3' char, '5' directory, '6' fifo, 'x' pax header */
	int mode;
	const char *link;
	const void *data;
	size_t n;
	int uid;
	int64_t size; /* when not n */
};

static void tar_add(struct buf *t, const struct tar_entry *x)
{
	char h[512] = { 0 };
	unsigned sum = 0;

	snprintf(h, 101, "%s", x->name);
	snprintf(h + 100, 8, "%07o", x->mode);
	snprintf(h + 108, 8, "%07o", x->uid);
	snprintf(h + 116, 8, "%07o", x->uid);
	snprintf(h + 124, 12, "%011llo", (unsigned long long)(x->size ? x->size : (int64_t)x->n));
	snprintf(h + 136, 12, "%011o", 1700000000);
	memset(h + 148, ' ', 8);
	h[156] = x->type;
	if (x->link)
		snprintf(h + 157, 100, "%s", x->link);
	memcpy(h + 257, "ustar\00000", 8);
	snprintf(h + 329, 8, "%07o", 1);
	snprintf(h + 337, 8, "%07o", 3);
	for (size_t i = 0; i < 512; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	buf_add(t, h, 512);
	buf_add(t, x->data, x->n);
	while (t->len % 512)
		buf_addch(t, 0);
}

static void tar_end(struct buf *t)
{
	static const char zeros[1024];

	buf_add(t, zeros, sizeof(zeros));
}

static void tar_file(struct buf *t, const char *name, struct str data)
{
	tar_add(t, &(struct tar_entry){ .name = name, .type = '0', .mode = 0644, .data = data.p, .n = data.n });
}

/* --- images --- */

static char *digest_of(struct str s)
{
	char hex[DIGEST_SHA256_HEX];

	digest_sha256_hex(s, hex);
	return xasprintf("sha256:%s", hex);
}

#define LAYERS_MAX 4
struct spec {
	const char *name; /* NULL: none */
	const char *arch; /* NULL: this machine's */
	struct str layers[LAYERS_MAX]; /* plain tars */
	struct str packed[LAYERS_MAX]; /* what is stored instead, when compressed */
	size_t n;
	const char *bad_diff_id;
	int tweak;
};
enum { TWEAK_NONE, TWEAK_CONFIG, TWEAK_COUNT, TWEAK_MISSING, TWEAK_GARBAGE_JSON, TWEAK_BLOB, TWEAK_SIZE };

static void make_config(struct buf *c, const struct spec *s)
{
	buf_addf(c, "{\"architecture\":\"%s\",\"os\":\"linux\",\"created\":\"2024-01-01T00:00:00Z\",",
		 s->arch ? s->arch : ARCH_NAME);
	buf_adds(c, "\"config\":{\"Env\":[\"PATH=/bin\",\"A=b\"],\"Cmd\":[\"sh\"],\"Entrypoint\":[\"/e\"],\"User\":\"7:8\","
		    "\"WorkingDir\":\"/w\",\"StopSignal\":\"SIGINT\",\"Volumes\":{\"/data\":{}}},");
	buf_adds(c, "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
	for (size_t i = 0; i < s->n; i++) {
		_cleanup_free_ char *d = digest_of(s->layers[i]);

		buf_addf(c, "%s\"%s\"", i ? "," : "", s->bad_diff_id ? s->bad_diff_id : d);
	}
	buf_addf(c, "]},\"x\":%d}", s->tweak == TWEAK_COUNT ? 1 : 0);
}

static struct str layer_blob(const struct spec *s, size_t i)
{
	return s->packed[i].n ? s->packed[i] : s->layers[i];
}

static void make_docker(struct buf *t, const struct spec *s)
{
	_cleanup_buf_ struct buf config = BUF_INIT, manifest = BUF_INIT;
	_cleanup_free_ char *id = NULL, *name = NULL;

	make_config(&config, s);
	id = digest_of(buf_str(&config));
	if (s->tweak == TWEAK_CONFIG)
		buf_addch(&config, ' ');
	name = xasprintf("%s.json", digest_hex(id));
	buf_addf(&manifest, "[{\"Config\":\"%s\",\"RepoTags\":", name);
	if (s->name)
		buf_addf(&manifest, "[\"%s\"]", s->name);
	else
		buf_adds(&manifest, "null");
	buf_adds(&manifest, ",\"Layers\":[");
	for (size_t i = 0; i < s->n + (s->tweak == TWEAK_COUNT); i++)
		buf_addf(&manifest, "%s\"%zu/layer.tar\"", i ? "," : "", i);
	buf_adds(&manifest, s->tweak == TWEAK_GARBAGE_JSON ? "]}" : "]}]");
	tar_file(t, "manifest.json", buf_str(&manifest));
	tar_file(t, name, buf_str(&config));
	for (size_t i = 0; i < s->n; i++) {
		_cleanup_free_ char *member = xasprintf("%zu/layer.tar", i);

		if (s->tweak != TWEAK_MISSING)
			tar_file(t, member, layer_blob(s, i));
	}
	tar_end(t);
}

static void tar_blob(struct buf *t, struct str bytes, char **ret_digest)
{
	_cleanup_free_ char *name = NULL;

	*ret_digest = digest_of(bytes);
	name = xasprintf("blobs/sha256/%s", digest_hex(*ret_digest));
	tar_file(t, name, bytes);
}

/* nested: for which architectures the entry is an index */
static void make_oci(struct buf *t, const struct spec *s, const char *nested)
{
	_cleanup_buf_ struct buf config = BUF_INIT, m = BUF_INIT, index = BUF_INIT, list = BUF_INIT;
	_cleanup_free_ char *id = NULL, *digest = NULL, *list_digest = NULL;

	make_config(&config, s);
	tar_blob(t, buf_str(&config), &id);
	buf_addf(&m, "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":"
		 "\"%s\",\"size\":%zu},\"layers\":[", id, config.len);
	for (size_t i = 0; i < s->n; i++) {
		struct str blob = layer_blob(s, i);
		_cleanup_free_ char *d = digest_of(blob), *name = xasprintf("blobs/sha256/%s", digest_hex(d));
		_cleanup_free_ char *bytes = xmemdup(blob.p, blob.n);

		if (s->tweak == TWEAK_BLOB)
			bytes[blob.n - 1] ^= 1;
		tar_file(t, name, str_n(bytes, blob.n));
		buf_addf(&m, "%s{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"%s\",\"size\":%zu}",
			 i ? "," : "", d, blob.n);
	}
	buf_adds(&m, "]}");
	tar_blob(t, buf_str(&m), &digest);
	if (nested) {
		buf_addf(&list, "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"sha256:%064d\",\"size\":3,\"platform\":{\"os\":"
			 "\"unknown\",\"architecture\":\"unknown\"}},{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
			 "\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"%s\"}}]}",
			 7, digest, m.len, nested);
		tar_blob(t, buf_str(&list), &list_digest);
	}
	buf_addf(&index, "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":%zu,\"annotations\":{"
		 "\"org.opencontainers.image.ref.name\":\"%s\"}}]}", nested ? list_digest : digest,
		 nested ? list.len : m.len, s->name ? s->name : "");
	tar_file(t, "oci-layout", STR_LIT("{\"imageLayoutVersion\":\"1.0.0\"}"));
	tar_file(t, "index.json", buf_str(&index));
	tar_end(t);
}

/* --- doing it --- */

struct outcome {
	bool over;
	char *error; /* "" when it went well */
	char *name;
};

static void on_import(void *arg, char *const *names, const struct err *err)
{
	struct outcome *o = arg;

	o->over = true;
	o->error = xstrdup(err ? err_msg(err) : "");
	o->name = xstrdup(names && names[0] ? names[0] : "");
}

static struct outcome import_path(const char *path)
{
	struct outcome o = { 0 };

	image_import(store, path, IMAGE_IMPORT_PIN, NULL, on_import, &o);
	while (!o.over)
		loop_turn(loop, 1000);
	return o;
}

static struct outcome import_bytes(const char *file, struct str bytes)
{
	_cleanup_free_ char *path = path_join(top, file);
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_write(path, bytes, 0600, &e) < 0)
		printf("# %s\n", err_msg(&e));
	return import_path(path);
}

static void outcome_release(struct outcome *o)
{
	free(o->error);
	free(o->name);
}

static size_t count_dir(const char *sub)
{
	_cleanup_free_ char *path = xasprintf("%s/store/%s", top, sub);
	DIR *d = opendir(path);
	struct dirent *de;
	size_t n = 0;

	while (d && (de = readdir(d)))
		n += de->d_name[0] != '.';
	closedir(d);
	return n;
}

static void settle(void)
{
	for (int i = 0; i < 500 && count_dir("tmp"); i++)
		loop_turn(loop, 10);
}

static void expect_import(const char *what, struct str archive, const char *error)
{
	struct outcome o = import_bytes("image.tar", archive);
	size_t layers = count_dir("layers"), blobs = count_dir("blobs/sha256");
	bool pass = *error ? strstr(o.error, error) != NULL : !*o.error;

	if (!ok(pass, what))
		printf("#      got: %s\n# expected: %s\n", o.error, error);
	if (*error) {
		settle();
		if (layers != 1 || blobs || count_dir("tmp"))
			printf("# layers %zu, blobs %zu, tmp %zu\n", layers, blobs, count_dir("tmp"));
		ok(layers == 1 && !blobs && !count_dir("tmp"), "  and nothing stays");
	}
	outcome_release(&o);
}

static void remove_image(const char *ref)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (image_remove(store, ref, NULL, &e) < 0)
		printf("# %s\n", err_msg(&e));
	settle();
}

static void reopen(void)
{
	_cleanup_free_ char *path = path_join(top, "store");
	_cleanup_err_ struct err e = ERR_INIT;

	image_store_close(store);
	if (image_store_open(&store, loop, path, &e) < 0)
		printf("# %s\n", err_msg(&e));
}

static void packed_by(const char *program, struct str in, struct buf *out)
{
	_cleanup_free_ char *a = path_join(top, "plain"), *b = path_join(top, "packed");
	_cleanup_free_ char *command = xasprintf("%s <%s >%s", program, a, b);
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_write(a, in, 0600, &e) < 0 || system(command) != 0 || path_read(b, 1 << 24, out, &e) < 0)
		printf("# %s failed: %s\n", program, err_msg(&e));
}

/* --- references --- */

static void ref_is(const char *in, const char *want)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *what = xasprintf("reference %s", in), *got = NULL;
	struct image_ref r = { 0 };

	if (image_ref_parse(&r, in, &e) == 0)
		got = image_ref_print(&r);
	image_ref_release(&r);
	is_str(got ? got : "bad", want, what);
}

static void test_refs(void)
{
	static const char hex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	_cleanup_free_ char *by_digest = xasprintf("a/b@sha256:%s", hex), *whole = xasprintf("docker.io/%s", by_digest);

	ref_is("busybox", "docker.io/library/busybox:latest");
	ref_is("busybox:1", "docker.io/library/busybox:1");
	ref_is("a/b", "docker.io/a/b:latest");
	ref_is("index.docker.io/a/b", "docker.io/a/b:latest");
	ref_is("localhost/demo:1", "localhost/demo:1");
	ref_is("localhost:5000/x", "localhost:5000/x:latest");
	ref_is("[::1]:5000/x", "[::1]:5000/x:latest");
	ref_is("quay.io/a/b/c:v1.2_3-4", "quay.io/a/b/c:v1.2_3-4");
	ref_is(by_digest, whole);
	ref_is("a__b-c--d.e", "docker.io/library/a__b-c--d.e:latest");
	ref_is("", "bad");
	ref_is("Upper", "bad");
	ref_is("a..b", "bad");
	ref_is("a/../b", "bad");
	ref_is("../../etc", "bad");
	ref_is("a b", "bad");
	ref_is("x.y z/a", "bad");
	ref_is("x.y:99999/a", "bad");
	ref_is("a:", "bad");
	ref_is("a:-x", "bad");
	ref_is("a@sha256:12", "bad");
	ref_is("a@md5:0123", "bad");
	ref_is("/a", "bad");
	ref_is("a/", "bad");
}

static void test_registry(void)
{
	struct url base, u;
	struct challenge c;
	char *text;

	ok(url_parse(&base, STR_LIT("https://r.example:5000/v2/x?y=z#f"), NULL), "a URL");
	text = url_print(&base);
	is_str(text, "https://r.example:5000/v2/x?y=z", "printed");
	free(text);
	ok(url_parse(&u, STR_LIT("/b/c"), &base) && u.port == 5000 && streq(u.target, "/b/c"), "a relative one");
	url_release(&u);
	ok(url_parse(&u, STR_LIT("http://[::1]:80?q"), NULL) && streq(u.host, "::1") && streq(u.target, "/?q"), "IPv6");
	url_release(&u);
	ok(!url_parse(&u, STR_LIT("ftp://x/"), NULL), "no FTP");
	ok(!url_parse(&u, STR_LIT("https://u:p@x/"), NULL), "no credentials");
	ok(!url_parse(&u, STR_LIT("https://x/a b"), NULL), "no blanks");
	ok(url_parse(&u, STR_LIT("//x/a"), &base) && streq(u.host, "x") && u.tls && u.port == 443, "another host by the same scheme");
	url_release(&u);
	ok(url_parse(&u, STR_LIT("c?d"), &base) && streq(u.target, "/v2/c?d"), "beside the base");
	url_release(&u);
	ok(url_parse(&u, STR_LIT("?d"), &base) && streq(u.target, "/v2/x?d"), "its query");
	url_release(&u);
	ok(!url_parse(&u, STR_LIT("mailto:x"), &base), "no other scheme");
	url_release(&base);
	challenge_init(&c);
	challenge_add(&c, STR_LIT("Bearer realm=\"https://a/t\", service=\"s\\\"x\",scope=repository:a:pull"));
	ok(c.bearer && !c.basic, "a challenge");
	is_str(c.realm, "https://a/t", "its realm");
	is_str(c.service, "s\"x", "its service");
	is_str(c.scope, "repository:a:pull", "its scope");
	challenge_release(&c);
	challenge_init(&c);
	challenge_add(&c, STR_LIT("Basic"));
	ok(c.basic && streq(c.realm, ""), "a bare challenge");
	challenge_release(&c);
}

static void test_pick(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct oci_desc *d;
	struct oci_index x;
	struct oci_manifest m;

	buf_adds(&b, "{\"schemaVersion\":2,\"manifests\":[");
	for (int i = 0; i < 3; i++)
		buf_addf(&b, "%s{\"digest\":\"sha256:%064d\",\"size\":1,\"platform\":{\"os\":\"%s\",\"architecture\":\"%s\"}}",
			 i ? "," : "", i, i == 1 ? "windows" : "linux", i ? ARCH_NAME : "s390x");
	buf_adds(&b, "]}");
	ok(oci_index_parse(&x, buf_str(&b), &e) == 0 && x.manifests.n == 3, "an index");
	d = oci_index_pick(&x);
	ok(d == &x.manifests.v[2], "the entry for this machine");
	oci_index_release(&x);
	ok(oci_manifest_parse(&m, STR_LIT("{\"schemaVersion\":1}"), &e) < 0 && strstr(err_msg(&e), "schema version 1"),
	   "no schema 1");
	ok(oci_manifest_parse(&m, STR_LIT("{\"config\":{\"digest\":\"../../x\",\"size\":1}}"), &e) < 0, "a path for a digest");
}

/* --- good images --- */

static void base_layer(struct buf *t)
{
	static const char pax[] = "34 SCHILY.xattr.user.color=violet\n52 SCHILY.xattr.trusted.overlay.redirect=/etc/shadow\n";

	tar_add(t, &(struct tar_entry){ .name = "./", .type = '5', .mode = 0755 });
	tar_add(t, &(struct tar_entry){ .name = "./bin/", .type = '5', .mode = 0711, .uid = 3 });
	tar_add(t, &(struct tar_entry){ .name = "pax", .type = 'x', .data = pax, .n = sizeof(pax) - 1 });
	tar_add(t, &(struct tar_entry){ .name = "./bin/a", .type = '0', .mode = 04755, .data = "hello", .n = 5, .uid = 9 });
	tar_add(t, &(struct tar_entry){ .name = "./bin/b", .type = '1', .link = "./bin/a" });
	tar_add(t, &(struct tar_entry){ .name = "sh", .type = '2', .mode = 0777, .link = "/bin/a" });
	tar_add(t, &(struct tar_entry){ .name = "out", .type = '2', .mode = 0777, .link = "/../../../../../../tmp" });
	tar_add(t, &(struct tar_entry){ .name = "pipe", .type = '6', .mode = 0600 });
	tar_add(t, &(struct tar_entry){ .name = "dev/null", .type = '3', .mode = 0666 });
	tar_add(t, &(struct tar_entry){ .name = "deep/er/file", .type = '0', .mode = 0600, .data = "x", .n = 1 });
	tar_add(t, &(struct tar_entry){ .name = "/absolute", .type = '0', .mode = 0600, .data = "x", .n = 1 });
	tar_add(t, &(struct tar_entry){ .name = "z\xc3\xbc", .type = '0', .mode = 0600, .data = "x", .n = 1 });
	tar_end(t);
}

static void upper_layer(struct buf *t)
{
	tar_add(t, &(struct tar_entry){ .name = "bin/.wh.a", .type = '0', .mode = 0 });
	tar_add(t, &(struct tar_entry){ .name = "deep/er/.wh..wh..opq", .type = '0', .mode = 0 });
	tar_add(t, &(struct tar_entry){ .name = "deep/er/new", .type = '0', .mode = 0600, .data = "y", .n = 1 });
	tar_add(t, &(struct tar_entry){ .name = ".wh.sh", .type = '0', .mode = 0 });
	tar_add(t, &(struct tar_entry){ .name = "sh/", .type = '5', .mode = 0755 });
	tar_end(t);
}

static char *in_layer(const struct image *i, size_t layer, const char *path)
{
	return path_join(i->layers[layer], path);
}

static bool stat_in(const struct image *i, size_t layer, const char *path, struct stat *st)
{
	_cleanup_free_ char *p = in_layer(i, layer, path);

	return lstat(p, st) == 0;
}

static bool has_attr(const struct image *i, size_t layer, const char *path, const char *name, const char *value)
{
	_cleanup_free_ char *p = in_layer(i, layer, path);
	char got[64] = "";

	return lgetxattr(p, name, got, sizeof(got) - 1) >= 0 && streq(got, value);
}

static void check_layers(const struct image *i)
{
	struct stat st, other;

	ok(stat_in(i, 1, "bin/a", &st) && (st.st_mode & 07777) == 04755 && st.st_uid == 9 && st.st_mtime == 1700000000,
	   "a file's mode, owner and time");
	ok(stat_in(i, 1, "bin/b", &other) && other.st_ino == st.st_ino, "a hard link");
	ok(has_attr(i, 1, "bin/a", "user.color", "violet"), "an attribute");
	ok(!has_attr(i, 1, "bin/a", "trusted.overlay.redirect", "/etc/shadow"), "no attribute that overlayfs obeys");
	ok(stat_in(i, 1, "bin", &st) && (st.st_mode & 07777) == 0711 && st.st_uid == 3, "a directory's mode and owner");
	ok(stat_in(i, 1, "sh", &st) && S_ISLNK(st.st_mode), "a link");
	ok(stat_in(i, 1, "pipe", &st) && S_ISFIFO(st.st_mode), "a pipe");
	ok(!stat_in(i, 1, "dev/null", &st), "a device below dev/ is left out");
	ok(stat_in(i, 1, "absolute", &st), "an absolute name is one in the image");
	ok(stat_in(i, 1, "z\xc3\xbc", &st), "a name in UTF-8");
	ok(stat_in(i, 0, "bin/a", &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0), "a whiteout");
	ok(has_attr(i, 0, "deep/er", "trusted.overlay.opaque", "y"), "an opaque directory");
	ok(stat_in(i, 0, "deep/er/new", &st) && st.st_size == 1, "with a file in it");
	ok(stat_in(i, 0, "sh", &st) && S_ISDIR(st.st_mode) && has_attr(i, 0, "sh", "trusted.overlay.opaque", "y"),
	   "a directory instead of what a whiteout removed");
}

static void check_config(const struct image *i)
{
	is_str(i->entrypoint[0], "/e", "entrypoint");
	is_str(i->cmd[0], "sh", "command");
	is_str(i->env[1], "A=b", "environment");
	is_str(i->user, "7:8", "user");
	is_str(i->working_dir, "/w", "working directory");
	is_str(i->stop_signal, "SIGINT", "stop signal");
	is_str(i->volumes[0], "/data", "volumes");
	is_int(i->created_s, 1704067200, "time of creation");
	ok(i->pinned, "pinned");
	ok(strstr(i->repo_digest, "docker.io/library/two@sha256:"), "repository digest");
}

static void test_docker(struct str base, struct str upper)
{
	_cleanup_buf_ struct buf t = BUF_INIT, gz = BUF_INIT, zst = BUF_INIT, whole = BUF_INIT;
	struct spec s = { .name = "two:1", .layers = { base, upper }, .n = 2 };
	struct image *i;

	packed_by("gzip -n", base, &gz);
	packed_by("zstd -q", upper, &zst);
	s.packed[0] = buf_str(&gz);
	s.packed[1] = buf_str(&zst);
	make_docker(&t, &s);
	expect_import("docker save, layers in gzip and zstd", buf_str(&t), "");
	settle();
	is_int(count_dir("layers"), 3, "two layers and the empty one");
	i = image_find(store, "two:1");
	ok(i != NULL, "found by name");
	if (i) {
		check_layers(i);
		check_config(i);
	}
	image_unref(i);
	packed_by("gzip -n", buf_str(&t), &whole);
	expect_import("the same again, the archive in gzip", buf_str(&whole), "");
	reopen();
	i = image_find(store, "docker.io/library/two:1");
	ok(i && streq(i->cmd[0], "sh"), "found after a restart");
	image_unref(i);
	remove_image("two:1");
	is_int(count_dir("layers"), 1, "its layers go with it");
	is_int(count_dir("blobs/sha256"), 0, "and its blobs");
}

static void test_oci(struct str base)
{
	_cleanup_buf_ struct buf t = BUF_INIT;
	struct spec s = { .name = "v7", .layers = { base }, .n = 1 };
	struct outcome o;
	struct image *i;

	make_oci(&t, &s, NULL);
	o = import_bytes("My App_2.tar", buf_str(&t));
	is_str(o.error, "", "an OCI layout");
	is_str(o.name, "docker.io/library/my-app-2:v7", "a bare tag takes the file's name");
	i = image_find(store, "my-app-2:v7");
	ok(i != NULL, "found");
	if (i) {
		_cleanup_free_ char *prefix = xmemdupz(digest_hex(i->id), 12), *by = xstrdup(i->repo_digest);
		struct image *again = image_find(store, prefix);

		ok(again == i, "by the start of its id");
		image_unref(again);
		again = image_find(store, by);
		ok(again == i, "by its repository digest");
		image_unref(again);
		remove_image(i->id);
	}
	image_unref(i);
	outcome_release(&o);
	buf_clear(&t);
	s.name = "quay.io/x/y:z";
	make_oci(&t, &s, ARCH_NAME);
	expect_import("a nested index", buf_str(&t), "");
	i = image_find(store, "quay.io/x/y:z");
	ok(i && !ends_with(i->repo_digest, i->manifest), "its digest is the index's");
	image_unref(i);
	remove_image("quay.io/x/y:z");
	buf_clear(&t);
	make_oci(&t, &s, "s390x");
	expect_import("an index without this machine's architecture", buf_str(&t), "no match for platform linux/");
	buf_clear(&t);
	s.tweak = TWEAK_BLOB;
	make_oci(&t, &s, NULL);
	expect_import("a blob with another content", buf_str(&t), "the layer is damaged: its digest is sha256:");
}

static void test_names(struct str base, struct str upper)
{
	_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT, report = BUF_INIT;
	struct spec one = { .name = "x:1", .layers = { base }, .n = 1 }, two = { .name = "x:1", .layers = { upper }, .n = 1 };
	_cleanup_err_ struct err e = ERR_INIT;
	struct image *i;

	make_docker(&a, &one);
	make_docker(&b, &two);
	expect_import("a first x:1", buf_str(&a), "");
	i = image_find(store, "x:1");
	is_int(image_hold(store, i, "pod-1", &e), 0, "held");
	expect_import("a second x:1 takes the name", buf_str(&b), "");
	settle();
	is_int(count_dir("layers"), 3, "the held one keeps its layers");
	reopen();
	is_int(count_dir("layers"), 3, "after a restart too");
	ok(image_remove(store, i->id, &report, &e) < 0 && strstr(err_msg(&e), "pod-1"), "it can't be removed");
	err_release(&e);
	image_unhold(store, "pod-1");
	settle();
	is_int(count_dir("layers"), 2, "until it is let go");
	image_unref(i);
	ok(image_remove(store, "x", NULL, &e) < 0 && e.reason == ERR_NOT_FOUND, "no x:latest");
	err_release(&e);
	buf_clear(&report);
	is_int(image_remove(store, "x:1", &report, &e), 0, "removed");
	ok(starts_with(report.s, "Untagged: docker.io/library/x:1\nDeleted: sha256:"), "with a report");
	settle();
	is_int(count_dir("layers"), 1, "all gone");
	ok(image_hold(store, &(struct image){ .id = "sha256:0", .names = (char *[]){ NULL } }, "../x", &e) < 0,
	   "a holder is no path");
}

static void test_odd(struct str base)
{
	_cleanup_buf_ struct buf t = BUF_INIT, empty = BUF_INIT;
	struct spec s = { .name = "none:1" };
	struct outcome o;
	struct image *i;

	make_docker(&t, &s);
	expect_import("an image without layers", buf_str(&t), "");
	i = image_find(store, "none:1");
	ok(i && i->layers[0] && path_exists(i->layers[0]) && !i->layers[1], "has an empty directory below");
	image_unref(i);
	remove_image("none:1");
	buf_clear(&t);
	s.n = 1;
	tar_end(&empty);
	s.layers[0] = buf_str(&empty);
	make_docker(&t, &s);
	expect_import("an empty layer", buf_str(&t), "");
	remove_image("none:1");
	buf_clear(&t);
	s.name = NULL;
	s.layers[0] = base;
	make_docker(&t, &s);
	o = import_bytes("Thing.tar.gz", buf_str(&t));
	is_str(o.name, "docker.io/library/thing:latest", "an image without a name takes the file's");
	outcome_release(&o);
	remove_image("thing");
	o = import_path("/nowhere/image.tar");
	ok(strstr(o.error, "import '/nowhere/image.tar': No such file"), "a missing file");
	outcome_release(&o);
	o = import_path(top);
	ok(strstr(o.error, "is a directory"), "a directory");
	outcome_release(&o);
}

/* --- bad archives --- */

static void test_damaged(struct str base)
{
	_cleanup_buf_ struct buf good = BUF_INIT, t = BUF_INIT;
	struct spec s = { .name = "bad:1", .layers = { base }, .n = 1 };
	static const struct {
		const char *what, *error;
		int tweak;
	} cases[] = {
		{ "a config with another digest", "the config is damaged: its digest is", TWEAK_CONFIG },
		{ "more layers than the config has", "it has 2 layers, but its config names 1", TWEAK_COUNT },
		{ "a layer that is missing", "the image is incomplete: '0/layer.tar' is missing", TWEAK_MISSING },
		{ "a manifest that is no JSON", "the image's manifest.json is damaged", TWEAK_GARBAGE_JSON },
	};

	make_docker(&good, &s);
	expect_import("an empty file", STR_LIT(""), "this is no image archive that can be read");
	expect_import("garbage", STR_LIT("this is not a tar at all, whatever its name"), "this is no image archive");
	expect_import("a truncated archive", str_sub(buf_str(&good), 0, good.len / 2), "this is no image archive that can be");
	tar_file(&t, "hello.txt", STR_LIT("hello"));
	tar_end(&t);
	expect_import("a tar without an image", buf_str(&t), "neither an index.json (OCI layout) nor a manifest.json");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		buf_clear(&t);
		s.tweak = cases[i].tweak;
		make_docker(&t, &s);
		expect_import(cases[i].what, buf_str(&t), cases[i].error);
	}
	s.tweak = 0;
	buf_clear(&t);
	s.bad_diff_id = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	make_docker(&t, &s);
	expect_import("a layer with another content", buf_str(&t), "is not what the image says: its digest is sha256:");
	buf_clear(&t);
	s.bad_diff_id = "sha256:../../../etc";
	make_docker(&t, &s);
	expect_import("a diff ID that is a path", buf_str(&t), "which is no SHA-256 digest");
	buf_clear(&t);
	s.bad_diff_id = NULL;
	s.arch = "s390x";
	make_docker(&t, &s);
	expect_import("an image for another machine", buf_str(&t), "the image is for linux/s390x, this machine is linux/");
	buf_clear(&t);
	s.arch = NULL;
	s.name = "UPPER:case";
	make_docker(&t, &s);
	expect_import("a name that is none", buf_str(&t), "invalid reference format");
}

static void bad_layer(const char *what, const struct tar_entry *entries, size_t n, const char *error)
{
	_cleanup_buf_ struct buf layer = BUF_INIT, t = BUF_INIT;
	struct spec s = { .name = "hostile:1", .n = 1 };

	for (size_t i = 0; i < n; i++)
		tar_add(&layer, &entries[i]);
	tar_end(&layer);
	s.layers[0] = buf_str(&layer);
	make_docker(&t, &s);
	expect_import(what, buf_str(&t), error);
	if (!*error)
		remove_image("hostile:1");
}
#define BAD(what, error, ...) \
	bad_layer(what, (struct tar_entry[]){ __VA_ARGS__ }, ARRAY_SIZE(((struct tar_entry[]){ __VA_ARGS__ })), error)
#define FILE_(n_) { .name = n_, .type = '0', .mode = 0644, .data = "evil", .n = 4 }
#define LINK_(n_, t_) { .name = n_, .type = '2', .mode = 0777, .link = t_ }
#define HARD_(n_, t_) { .name = n_, .type = '1', .mode = 0644, .link = t_ }

static void test_hostile(void)
{
	BAD("..", "points outside of the image", FILE_("../../../evil"));
	BAD(".. in the middle", "points outside of the image", FILE_("a/../../evil"));
	BAD("a hard link outside", "points outside of the image", HARD_("x", "../../../../etc/passwd"));
	BAD("a hard link to the host's file", "link 'x' to 'etc/passwd'", HARD_("x", "/etc/passwd"));
	BAD("a hard link through a link", "link 'x' to 'l/passwd'", LINK_("l", "/etc"), HARD_("x", "l/passwd"));
	BAD("a device", "the layer holds the device node 'sda'", { .name = "sda", .type = '3', .mode = 0666 });
	BAD("a whiteout of nothing", "names nothing", FILE_("a/.wh."));
	BAD("a whiteout of ..", "names nothing", FILE_("a/.wh..."));
	BAD("a file through a link stays inside", "", LINK_("l", "/../../../../../../../.."), FILE_("l/evil"));
	BAD("a file in the place of a link", "", LINK_("l", "/etc/passwd"), FILE_("l"));
	BAD("a link to itself", "make the directory of 'l/evil'", LINK_("l", "l"), FILE_("l/evil"));
	BAD("a file that says it is larger than it is", "the layer can't be read: ",
	    { .name = "big", .type = '0', .mode = 0644, .data = "x", .n = 1, .size = 077777777777 });
	ok(!path_exists("/evil") && !path_exists("/tmp/evil"), "nothing outside of the store");
}

/* 10 GB of nothing in a small archive: GNU tar's sparse files take no room, and are read as what they are. */
static void test_sparse(void)
{
	_cleanup_free_ char *command = xasprintf("cd %s && mkdir sparse && truncate -s 10G sparse/big && tar -S -cf sparse.tar "
						 "-C sparse . && rm -r sparse", top);
	_cleanup_free_ char *path = path_join(top, "sparse.tar");
	_cleanup_buf_ struct buf layer = BUF_INIT, t = BUF_INIT;
	struct spec s = { .name = "sparse:1", .n = 1 };
	_cleanup_err_ struct err e = ERR_INIT;
	struct image *i;
	struct stat st;

	if (system(command) != 0 || path_read(path, 1 << 20, &layer, &e) < 0)
		printf("# no sparse archive: %s\n", err_msg(&e));
	s.layers[0] = buf_str(&layer);
	make_docker(&t, &s);
	expect_import("a sparse file of 10 GB", buf_str(&t), "");
	i = image_find(store, "sparse:1");
	ok(i && stat_in(i, 0, "big", &st) && st.st_size == 10ll << 30 && st.st_blocks < 100, "takes no room");
	image_unref(i);
	remove_image("sparse:1");
}

/* --- another process at the same store; leftovers --- */

static void test_shared(struct str base)
{
	_cleanup_free_ char *path = path_join(top, "store"), *left = xasprintf("%s/store/tmp/import-dead/in", top);
	_cleanup_free_ char *orphan = xasprintf("%s/store/layers/%064d/x", top, 1);
	_cleanup_free_ char *index = xasprintf("%s/store/index.json", top);
	struct spec s = { .name = "shared:1", .layers = { base }, .n = 1 };
	_cleanup_buf_ struct buf t = BUF_INIT;
	struct image_store *first = store, *second = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	struct image *i;

	ok(image_store_open(&second, loop, path, &e) == 0, "the store is opened twice");
	make_docker(&t, &s);
	store = second;
	expect_import("an import by the second", buf_str(&t), "");
	store = first;
	i = image_find(store, "shared:1");
	ok(i != NULL, "is seen by the first");
	image_unref(i);
	image_store_close(second);
	ok(path_mkdirs(left, 0700, &e) == 0 && path_mkdirs(orphan, 0755, &e) == 0, "leftovers of a killed import");
	reopen();
	settle();
	is_int(count_dir("tmp"), 0, "are gone after a restart");
	is_int(count_dir("layers"), 2, "layers that no image needs, too");
	i = image_find(store, "shared:1");
	ok(i != NULL, "the image is still there");
	image_unref(i);
	ok(path_write(index, STR_LIT("{\"version\": 99, \"images\": []}"), 0600, &e) == 0, "a newer index");
	ok(image_store_open(&second, loop, path, &e) < 0 && strstr(err_msg(&e), "newer kinglet"), "is refused");
	is_int(count_dir("layers"), 2, "and nothing is removed");
	i = image_find(store, "shared:1");
	ok(i != NULL, "who was there before goes on with what it knew");
	image_unref(i);
}

static void test_imports(void)
{
	_cleanup_buf_ struct buf base = BUF_INIT, upper = BUF_INIT;

	base_layer(&base);
	upper_layer(&upper);
	test_docker(buf_str(&base), buf_str(&upper));
	test_oci(buf_str(&base));
	test_names(buf_str(&base), buf_str(&upper));
	test_odd(buf_str(&base));
	test_damaged(buf_str(&base));
	test_hostile();
	test_sparse();
	test_shared(buf_str(&base));
}

int main(int argc, char **argv)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (argc > 2 && streq(argv[1], "internal"))
		return image_unpack_main(argc - 2, argv + 2);
	test_refs();
	test_registry();
	test_pick();
	if (geteuid() != 0) {
		printf("ok %d # SKIP imports need root\n", ++tap_n);
		return done_testing();
	}
	if (!mkdtemp(top))
		return 1;
	loop = loop_new();
	reopen();
	test_imports();
	image_store_close(store);
	loop_free(loop);
	if (path_remove_tree(top, &e) < 0)
		printf("# %s\n", err_msg(&e));
	return done_testing();
}
