/*
 * Pulling from a registry that is played here, on the same loop: tokens, redirects,
 * indexes, and all the ways in which a registry can be wrong. Needs root, as the
 * unpacking child is the real one.
 */
#include <dirent.h>
#include <stdlib.h>

#include "base/arch.h"
#include "base/digest.h"
#include "base/map.h"
#include "base/path.h"
#include "http/http.h"
#include "image/image.h"
#include "image/manifest.h"
#include "tap.h"

static char top[] = "/tmp/u-pull.XXXXXX";
static struct loop *loop;
static struct image_store *store;

/* --- the registry --- */

static struct map *files; /* path -> struct buf */
static struct http_server *server, *other;
static int port, other_port;
static bool need_token, redirect_blobs, redirect_forever, short_blobs, wrong_blobs;
static int requests, tokens_given, fail_status;

static void file_free(void *p)
{
	buf_release(p);
	free(p);
}

static void file_put(const char *path, struct str bytes)
{
	struct buf *b = xmalloc(sizeof(*b));

	buf_init(b);
	buf_addstr(b, bytes);
	map_set(files, str_of(path), b);
}

static char *blob_put(struct str bytes, const char *kind)
{
	char hex[DIGEST_SHA256_HEX];
	_cleanup_free_ char *path = NULL;

	digest_sha256_hex(bytes, hex);
	path = xasprintf("/v2/team/app/%s/sha256:%s", kind, hex);
	file_put(path, bytes);
	return xasprintf("sha256:%s", hex);
}

static void answer(struct http_req *r, int status, const char *name, const char *value, struct str body)
{
	struct http_header h = { str_of(name), str_of(value) };
	struct http_resp resp = { .status = status, .headers = &h, .n_headers = name ? 1 : 0 };

	http_reply(r, &resp, body);
}

static void answer_challenge(struct http_req *r)
{
	_cleanup_free_ char *value = xasprintf("Bearer realm=\"http://127.0.0.1:%d/token\",service=\"reg\",scope="
					       "\"repository:team/app:pull\"", port);

	answer(r, 401, "WWW-Authenticate", value,
	       STR_LIT("{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"authentication required\"}]}"));
}

static void answer_redirect(struct http_req *r, struct str path, int to)
{
	_cleanup_free_ char *value = xasprintf("http://127.0.0.1:%d%" STR_FMT, to, STR_ARG(path));

	answer(r, 307, "Location", value, STR_LIT("moved"));
}

static void answer_file(struct http_req *r, struct str path)
{
	const struct buf *b = map_get(files, path);
	_cleanup_buf_ struct buf copy = BUF_INIT;

	if (!b) {
		answer(r, 404, NULL, NULL, STR_LIT("{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}"));
		return;
	}
	buf_add(&copy, b->s, b->len);
	if (wrong_blobs && strstr(path.p, "/blobs/"))
		copy.s[copy.len - 1] ^= 1;
	if (short_blobs && strstr(path.p, "/blobs/"))
		buf_truncate(&copy, copy.len / 2);
	answer(r, 200, NULL, NULL, buf_str(&copy));
}

static void on_request(void *arg, struct http_req *r)
{
	const struct http_head *h = http_req_head(r);
	bool main_server = arg != NULL, authorized = str_eqc(http_head_get(h, "authorization"), "Bearer t0k3n");
	_cleanup_free_ char *path = str_dup(h->path);

	requests++;
	if (fail_status) {
		answer(r, fail_status, NULL, NULL, STR_LIT("{\"errors\":[{\"message\":\"slow down\"}]}"));
	} else if (str_eqc(h->path, "/token")) {
		bool right = str_eqc(h->query, "service=reg&scope=repository%3Ateam%2Fapp%3Apull");

		tokens_given++;
		answer(r, right ? 200 : 400, NULL, NULL, STR_LIT("{\"token\":\"t0k3n\",\"expires_in\":300}"));
	} else if (main_server && need_token && !authorized) {
		answer_challenge(r);
	} else if (!main_server && authorized) {
		answer(r, 400, NULL, NULL, STR_LIT("a token came along"));
	} else if (redirect_forever || (main_server && redirect_blobs && strstr(path, "/blobs/"))) {
		answer_redirect(r, str_of(path), redirect_forever ? port : other_port);
	} else {
		answer_file(r, str_of(path));
	}
}

static void serve(void)
{
	struct http_server_config cfg = { .loop = loop, .on_request = on_request, .arg = &port };
	_cleanup_err_ struct err e = ERR_INIT;

	server = http_server_new(&cfg);
	cfg.arg = NULL;
	other = http_server_new(&cfg);
	if (http_server_listen(server, "127.0.0.1", 0, &port, &e) < 0 ||
	    http_server_listen(other, "127.0.0.1", 0, &other_port, &e) < 0)
		printf("# %s\n", err_msg(&e));
}

/* --- what it has --- */

static const char zeros[2048]; /* 1024 and 2048 of them are both tars of nothing */

static void make_image(const char *tag, const char *arch, bool index)
{
	_cleanup_free_ char *one = blob_put(str_n(zeros, 1024), "blobs"), *two = blob_put(str_n(zeros, 2048), "blobs");
	_cleanup_buf_ struct buf config = BUF_INIT, m = BUF_INIT, list = BUF_INIT;
	_cleanup_free_ char *id = NULL, *digest = NULL, *top_path = xasprintf("/v2/team/app/manifests/%s", tag), *top_digest = NULL;

	buf_addf(&config, "{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"%s\"]},\"rootfs\":{\"type\":\"layers\","
		 "\"diff_ids\":[\"%s\",\"%s\"]}}", arch, tag, one, two);
	id = blob_put(buf_str(&config), "blobs");
	buf_addf(&m, "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",\"config\":{"
		 "\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"digest\":\"%s\",\"size\":1024},{\"digest\":\"%s\",\"size\":2048}]}",
		 id, config.len, one, two);
	digest = blob_put(buf_str(&m), "manifests");
	buf_addf(&list, "{\"schemaVersion\":2,\"manifests\":[{\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\","
		 "\"architecture\":\"%s\"}}]}", digest, m.len, arch);
	if (index)
		top_digest = blob_put(buf_str(&list), "manifests");
	file_put(top_path, index ? buf_str(&list) : buf_str(&m));
}

/* --- doing it --- */

struct outcome {
	bool over;
	char error[1024]; /* "" when it went well */
	char cmd[64], repo_digest[256];
};

static void on_pulled(void *arg, struct image *i, const struct err *err)
{
	struct outcome *o = arg;

	o->over = true;
	snprintf(o->error, sizeof(o->error), "%s", err ? err_msg(err) : "");
	if (i) {
		snprintf(o->cmd, sizeof(o->cmd), "%s", i->cmd[0]);
		snprintf(o->repo_digest, sizeof(o->repo_digest), "%s", i->repo_digest);
	}
}

static struct outcome pull(const char *name)
{
	_cleanup_free_ char *ref = strchr(name, '/') ? xstrdup(name) : xasprintf("127.0.0.1:%d/team/app%s", port, name);
	struct outcome o = { 0 };

	requests = tokens_given = 0;
	image_pull(store, ref, NULL, on_pulled, &o);
	while (!o.over)
		loop_turn(loop, 1000);
	return o;
}

static size_t count_dir(const char *sub)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", top, sub);
	DIR *d = opendir(path);
	struct dirent *de;
	size_t n = 0;

	while (d && (de = readdir(d)))
		n += de->d_name[0] != '.';
	if (d)
		closedir(d);
	return n;
}

static void expect_error(const char *what, const char *name, const char *error)
{
	struct outcome o = pull(name);

	if (!ok(strstr(o.error, error) != NULL, what))
		printf("#      got: %s\n# expected: %s\n", o.error, error);
	for (int i = 0; i < 500 && count_dir("tmp"); i++)
		loop_turn(loop, 10);
	ok(count_dir("tmp") == 0 && count_dir("layers") == 1 && count_dir("blobs/sha256") == 0, "  and nothing stays");
}

static void forget(const char *name)
{
	_cleanup_free_ char *ref = xasprintf("127.0.0.1:%d/team/app%s", port, name);
	_cleanup_err_ struct err e = ERR_INIT;

	is_int(image_remove(store, ref, NULL, &e), 0, "removed again");
}

static void test_good(void)
{
	struct outcome o = pull(":plain");
	_cleanup_free_ char *by_digest = NULL;

	is_str(o.error, "", "a manifest");
	is_str(o.cmd, "plain", "with its config");
	is_int(requests, 4, "manifest, config and two layers");
	o = pull(":plain");
	is_str(o.error, "", "again");
	is_int(requests, 2, "layers that are here are not fetched");
	by_digest = xstrdup(o.repo_digest);
	forget(":plain");
	o = pull(by_digest);
	is_str(o.error, "", "by digest");
	is_str(o.repo_digest, by_digest, "it is the same");
	forget(strchr(by_digest, '@'));
	need_token = redirect_blobs = true;
	o = pull(":index");
	is_str(o.error, "", "an index, with a token, blobs from another host");
	is_int(tokens_given, 1, "one token serves all requests");
	forget(":index");
	need_token = redirect_blobs = false;
}

static void test_many(void)
{
	struct outcome all[12] = { 0 };
	bool over = false;
	int good = 0;

	requests = 0;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		_cleanup_free_ char *ref = xasprintf("127.0.0.1:%d/team/app:plain", port);

		image_pull(store, ref, NULL, on_pulled, &all[i]);
	}
	while (!over) {
		loop_turn(loop, 1000);
		over = true;
		for (size_t i = 0; i < ARRAY_SIZE(all); i++)
			over = over && all[i].over;
	}
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		good += !*all[i].error && streq(all[i].cmd, "plain");
	is_int(good, ARRAY_SIZE(all), "a dozen at once");
	is_int(requests, 2 + 2 * (int)ARRAY_SIZE(all), "fetch the layers once");
	forget(":plain");
}

static void test_bad(void)
{
	expect_error("a name that is none", ":Bad/Name:", "invalid reference format");
	expect_error("a tag that is not there", ":missing", "failed to resolve reference \"127.0.0.1:");
	expect_error("its words", ":missing", "/team/app:missing: not found");
	expect_error("another architecture in the index", ":foreign", "no match for platform linux/");
	expect_error("another architecture in the config", ":alien", "the image is for linux/s390x, this machine is linux/");
	wrong_blobs = true;
	expect_error("blobs with another content", ":plain", "unexpected commit digest sha256:");
	wrong_blobs = false;
	short_blobs = true;
	expect_error("blobs that are too short", ":plain", "failed to pull and unpack image");
	short_blobs = false;
	redirect_forever = true;
	expect_error("a circle of redirects", ":plain", "stopped after 5 redirects");
	redirect_forever = false;
	fail_status = 429;
	expect_error("too many requests", ":plain", ": 429 Too Many Requests: slow down");
	fail_status = 403;
	expect_error("forbidden", ":plain", "pull access denied, repository does not exist or may require authorization");
	fail_status = 0;
	file_put("/v2/team/app/manifests/garbage", STR_LIT("<html>"));
	expect_error("a manifest that is none", ":garbage", "the image's manifest is damaged");
	file_put("/v2/team/app/manifests/old", STR_LIT("{\"schemaVersion\":1,\"fsLayers\":[]}"));
	expect_error("a manifest of schema 1", ":old", "schema version 1");
	http_server_free(server);
	server = NULL;
	expect_error("nobody there", ":plain", "failed to do request: Get \"http://127.0.0.1:");
}

static void test_close(void)
{
	_cleanup_free_ char *ref = xasprintf("127.0.0.1:%d/team/app:plain", other_port);
	struct outcome o = { 0 };

	image_pull(store, ref, NULL, on_pulled, &o);
	store = image_store_close(store);
	ok(o.over && strstr(o.error, "the image store was closed"), "closing the store ends what is under way");
}

int main(int argc, char **argv)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (argc > 2 && streq(argv[1], "internal"))
		return image_unpack_main(argc - 2, argv + 2);
	if (geteuid() != 0) {
		printf("ok %d # SKIP unpacking needs root\n", ++tap_n);
		return done_testing();
	}
	if (!mkdtemp(top))
		return 1;
	loop = loop_new();
	files = map_new(file_free);
	serve();
	make_image("plain", ARCH_NAME, false);
	make_image("index", ARCH_NAME, true);
	make_image("foreign", "s390x", true);
	make_image("alien", "s390x", false);
	if (image_store_open(&store, loop, top, &e) < 0)
		printf("# %s\n", err_msg(&e));
	test_good();
	test_many();
	test_bad();
	test_close();
	http_server_free(server);
	http_server_free(other);
	map_free(files);
	loop_free(loop);
	err_release(&e);
	if (path_remove_tree(top, &e) < 0)
		printf("# %s\n", err_msg(&e));
	return done_testing();
}
