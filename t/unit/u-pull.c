/*
 * Pulling from a registry that is played here, on the same loop: tokens, redirects,
 * indexes, and all the ways in which a registry can be wrong. Needs root, as the
 * unpacking child is the real one.
 */
#include <dirent.h>
#include <sys/stat.h>
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
static bool need_token, need_basic, redirect_blobs, redirect_forever, short_blobs, wrong_blobs, endless_blobs, stalled_blobs;
static int requests, tokens_given, fail_status;
static int fail_times = -1; /* so many requests get fail_status; -1: all */
static int break_times; /* so many answers for layers stop in their middle */
static int ranges; /* requests that asked for a part */
static bool no_ranges, silent; /* they are answered with the whole; nothing is answered at all */
static int token_uses; /* a token is good for so many requests; 0: for ever */
static int token_left;

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

static void answer_part(struct http_req *r, struct str all, int64_t from)
{
	_cleanup_free_ char *value = xasprintf("bytes %lld-%zu/%zu", (long long)from, all.n - 1, all.n);

	ranges++;
	answer(r, 206, "Content-Range", value, str_sub(all, (size_t)from, all.n));
}

static void more(void *arg)
{
	static const char block[65536];
	struct http_req *r = arg;

	http_chunk(r, str_n(block, sizeof(block)));
}

static void answer_endless(struct http_req *r)
{
	struct http_resp resp = { .status = 200 };

	http_begin(r, &resp);
	http_req_on_drain(r, more, r);
	more(r);
}

static bool answer_blob(struct http_req *r, struct str all)
{
	struct str range = http_head_get(http_req_head(r), "range");
	int64_t from = 0;

	if (endless_blobs) {
		answer_endless(r);
		return true;
	}
	if (stalled_blobs) {
		http_begin(r, &(struct http_resp){ .status = 200 });
		http_chunk(r, STR_LIT("0123456789"));
		return true; /* it goes with the server */
	}
	if (break_times && (all.n == 1024 || all.n == 2048) && !range.n) {
		break_times--;
		answer(r, 200, NULL, NULL, str_sub(all, 0, all.n / 2));
		return true;
	}
	if (range.n && !no_ranges && str_to_i64(str_sub(range, 6, range.n - 1), &from) && from < (int64_t)all.n) {
		answer_part(r, all, from);
		return true;
	}
	return false;
}

static void answer_file(struct http_req *r, struct str path)
{
	const struct buf *b = map_get(files, path);
	char hex[DIGEST_SHA256_HEX], digest[DIGEST_TEXT_LEN + 1];
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
	if (strstr(path.p, "/blobs/") && answer_blob(r, buf_str(&copy)))
		return;
	digest_sha256_hex(buf_str(&copy), hex);
	snprintf(digest, sizeof(digest), "sha256:%s", hex);
	answer(r, 200, strstr(path.p, "/manifests/") ? "Docker-Content-Digest" : NULL, digest, buf_str(&copy));
}

static void on_request(void *arg, struct http_req *r)
{
	const struct http_head *h = http_req_head(r);
	bool main_server = arg != NULL, authorized = str_eqc(http_head_get(h, "authorization"), "Bearer t0k3n");
	_cleanup_free_ char *path = str_dup(h->path);

	requests++;
	if (silent)
		return;
	if (fail_status && (fail_times < 0 || (fail_times > 0 && fail_times-- > 0))) {
		answer(r, fail_status, NULL, NULL, STR_LIT("{\"errors\":[{\"message\":\"slow down\"}]}"));
	} else if (str_eqc(h->path, "/token")) {
		bool right = str_eqc(h->query, "service=reg&scope=repository%3Ateam%2Fapp%3Apull");

		tokens_given++;
		token_left = token_uses < 0 ? 0 : token_uses;
		answer(r, right ? 200 : 400, NULL, NULL, STR_LIT("{\"token\":\"t0k3n\",\"expires_in\":300}"));
	} else if (main_server && need_token && (!authorized || (token_uses && token_left-- <= 0))) {
		answer_challenge(r);
	} else if (main_server && need_basic && !str_eqc(http_head_get(h, "authorization"), "Basic dXNlcjpwYXNz")) {
		answer(r, 401, "WWW-Authenticate", "Negotiate, Basic realm=\"reg\"", STR_LIT("who are you"));
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
	char cmd[64], repo_digest[256], source[64];
};

static void on_pulled(void *arg, struct image *i, const struct image_pulled *info, const struct err *err)
{
	struct outcome *o = arg;

	o->over = true;
	snprintf(o->source, sizeof(o->source), "%s", info->source ? info->source : "");
	snprintf(o->error, sizeof(o->error), "%s", err ? err_msg(err) : "");
	if (i) {
		snprintf(o->cmd, sizeof(o->cmd), "%s", i->cmd[0]);
		snprintf(o->repo_digest, sizeof(o->repo_digest), "%s", i->repo_digest);
	}
}

static struct image_pull_opts pull_opts;

static struct outcome pull(const char *name)
{
	_cleanup_free_ char *ref = strchr(name, '/') ? xstrdup(name) : xasprintf("127.0.0.1:%d/team/app%s", port, name);
	struct outcome o = { 0 };

	requests = tokens_given = 0;
	image_pull(store, ref, &pull_opts, on_pulled, &o);
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
	_cleanup_free_ char *partial = xasprintf("%s/partial", top);
	_cleanup_err_ struct err e = ERR_INIT;
	struct outcome o = pull(name);

	if (!ok(strstr(o.error, error) != NULL, what))
		printf("#      got: %s\n# expected: %s\n", o.error, error);
	for (int i = 0; i < 500 && count_dir("tmp"); i++)
		loop_turn(loop, 10);
	ok(count_dir("tmp") == 0 && count_dir("layers") == 1 && count_dir("blobs/sha256") == 0 && count_dir("partial") <= 2,
	   "  and nothing stays");
	if (path_remove_tree(partial, &e) < 0 || mkdir(partial, 0700) < 0)
		printf("# %s\n", err_msg(&e));
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
	is_int(requests, 1, "only looks whether it is the same");
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
	is_int(requests, 4 + (int)ARRAY_SIZE(all) - 1, "fetch it once");
	forget(":plain");
}

/* Two images of the same layers at once: who comes second waits for the first one's transfers. */
static void test_shared(void)
{
	struct outcome both[2] = { 0 };
	const char *const tags[] = { "plain", "index" };

	requests = 0;
	for (size_t i = 0; i < 2; i++) {
		_cleanup_free_ char *ref = xasprintf("127.0.0.1:%d/team/app:%s", port, tags[i]);

		image_pull(store, ref, NULL, on_pulled, &both[i]);
	}
	while (!both[0].over || !both[1].over)
		loop_turn(loop, 1000);
	ok(!*both[0].error && !*both[1].error && streq(both[0].cmd, "plain") && streq(both[1].cmd, "index"), "two images at once");
	is_int(requests, 4 + 3, "share the transfers of layers that they have in common");
	ok(count_dir("partial") == 0, "and nothing is left of those");
	forget(":plain");
	forget(":index");
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

static void test_tries(void)
{
	struct outcome o;

	fail_status = 503;
	fail_times = 2; /* and the next is good */
	o = pull(":plain");
	is_str(o.error, "", "a registry that is not well for a moment");
	fail_status = 0;
	fail_times = -1;
	forget(":plain");
	break_times = 2;
	ranges = 0;
	o = pull(":plain");
	is_str(o.error, "", "connections that break in the middle of layers");
	is_int(ranges, 2, "the rest is asked for");
	forget(":plain");
	break_times = 1;
	no_ranges = true;
	o = pull(":plain");
	is_str(o.error, "", "or all of it again where ranges are not known");
	no_ranges = false;
	forget(":plain");
	need_token = true;
	token_uses = 1;
	o = pull(":plain");
	is_str(o.error, "", "tokens that end in the middle are asked for again");
	ok(tokens_given >= 3, "as often as need be");
	token_uses = 0;
	forget(":plain");
	token_uses = -1; /* no token is ever good */
	expect_error("tokens that are never good", ":plain", "pull access denied");
	ok(tokens_given <= 2, "are not asked for again and again");
	token_uses = 0;
	need_token = false;
}

static void test_basic(void)
{
	_cleanup_free_ char *good = xasprintf("{\"auths\":{\"127.0.0.1:%d\":{\"username\":\"user\",\"password\":\"pass\"}}}", port);
	_cleanup_free_ char *bad = xasprintf("{\"auths\":{\"127.0.0.1:%d/team\":{\"auth\":\"YTpi\"}}}", port);
	struct image_keyring *k = image_keyring_new();
	_cleanup_err_ struct err e = ERR_INIT;
	struct outcome o;

	need_basic = redirect_blobs = true;
	expect_error("without credentials", ":plain", "pull access denied, repository does not exist or may require authorization");
	pull_opts = (struct image_pull_opts){ .user = "user", .password = "pass" };
	o = pull(":plain");
	is_str(o.error, "", "with some");
	forget(":plain");
	pull_opts = (struct image_pull_opts){ .keys = k };
	is_int(image_keyring_add(k, str_of(good), true, "good", &e), 0, "a pull secret");
	is_int(image_keyring_add(k, str_of(bad), true, "bad", &e), 0, "one that is tried before it, and wrong");
	o = pull(":plain");
	is_str(o.error, "", "the right one is found");
	is_str(o.source, "good", "and told");
	forget(":plain");
	image_keyring_unref(k);
	pull_opts = (struct image_pull_opts){ .keys = NULL };
	need_basic = redirect_blobs = false;
}

/* In it PORT is the registry's port. */
static void set_registries(const char *yaml)
{
	_cleanup_free_ char *path = xasprintf("%s/registries.yaml", top), *text = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	const char *at = strstr(yaml, "PORT");

	text = at ? xasprintf("%.*s%d%s", (int)(at - yaml), yaml, port, at + 4) : xstrdup(yaml);
	if (path_write_atomic(path, str_of(text), 0600, &e) < 0 || image_store_set_registries(store, path, &e) < 0)
		printf("# %s\n", err_msg(&e));
}

static void test_mirrors(void)
{
	struct outcome o;

	set_registries("mirrors:\n  r.example:\n    endpoint: ['http://127.0.0.1:1', 'http://127.0.0.1:PORT']\n"
		       "    rewrite: {'^x/(.*)': 'team/$1'}\n");
	o = pull("r.example/x/app:plain");
	is_str(o.error, "", "a mirror, behind one that is away, with a rewrite");
	ok(starts_with(o.repo_digest, "r.example/x/app@sha256:"), "the image is called as was asked");
	(void)!image_remove(store, "r.example/x/app:plain", NULL, &(struct err)ERR_INIT);
	set_registries("mirrors:\n  '127.0.0.1:PORT':\n    endpoint: ['http://127.0.0.1:1/v2']\n");
	o = pull(":plain");
	is_str(o.error, "", "the registry itself is asked when its mirrors are away");
	forget(":plain");
	expect_error("all that was tried is told", ":missing", "[failed to pull and unpack image \"127.0.0.1:");
	set_registries("configs:\n  '127.0.0.1:PORT':\n    auth: {username: user, password: pass}\n");
	need_basic = true;
	o = pull(":plain");
	is_str(o.error, "", "credentials of registries.yaml");
	forget(":plain");
	need_basic = false;
	set_registries("{}");
}

static void test_hostile(void)
{
	const struct image_limits quick = { 4, 6, 4, 100, false }, usual = IMAGE_LIMITS_DEFAULT;
	_cleanup_buf_ struct buf many = BUF_INIT;

	endless_blobs = true;
	expect_error("blobs without an end", ":plain", "the answer is larger than 4194304 bytes");
	endless_blobs = false;
	buf_addf(&many, "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:%064d\",\"size\":2},\"layers\":[", 1);
	for (int i = 0; i < 10000; i++)
		buf_addf(&many, "%s{\"digest\":\"sha256:%064d\",\"size\":1}", i ? "," : "", i);
	buf_adds(&many, "]}");
	file_put("/v2/team/app/manifests/many", buf_str(&many));
	expect_error("ten thousand layers", ":many", "the image has more than 128 of layer");
	buf_clear(&many);
	for (int i = 0; i < 1000; i++)
		buf_adds(&many, "{\"a\":[");
	file_put("/v2/team/app/manifests/deep", buf_str(&many));
	expect_error("a document that is too deep", ":deep", "the image's manifest is damaged");
	buf_clear(&many);
	while (many.len < 5u << 20)
		buf_adds(&many, "                                                                ");
	file_put("/v2/team/app/manifests/large", buf_str(&many));
	expect_error("a document that is too large", ":large", "the answer is larger than 4194304 bytes");
	fail_status = 302; /* no Location */
	expect_error("a redirect to nowhere", ":plain", "unexpected status from GET request to http://127.0.0.1:");
	fail_status = 0;
	image_store_set_limits(store, &quick);
	stalled_blobs = true;
	expect_error("a blob that stops", ":plain", "the transfer makes no progress: ");
	stalled_blobs = false;
	silent = true;
	expect_error("a registry that says nothing", ":plain", "no answer in time");
	silent = false;
	image_store_set_limits(store, &usual);
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
	test_shared();
	test_tries();
	test_basic();
	test_mirrors();
	test_hostile();
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
