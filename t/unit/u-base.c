/*
 * Unit tests of src/base. Called with an argument the program is one of its own
 * children (see child_main). Works in a directory of its own below $TMPDIR.
 */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/job.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/opt.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/rand.h"
#include "base/time.h"
#include "base/vec.h"

static char *work; /* the directory of this run */

static char *work_path(const char *name)
{
	static char *ring[8];
	static int at;

	if (!name) {
		for (int i = 0; i < 8; i++)
			ring[i] = free_null(ring[i]);
		return NULL;
	}
	at = (at + 1) % 8;
	free(ring[at]);
	return ring[at] = path_join(work, name);
}

/* --- alloc, vec, arena --- */

static int cleanups;
static int cleanup_order;

static void count_cleanup(void *arg)
{
	cleanups++;
	cleanup_order = cleanup_order * 10 + *(int *)arg;
}

static void test_alloc(void)
{
	_cleanup_free_ char *a = xasprintf("%d-%s", 7, "x"), *b = xmemdupz("abc", 2), *c = xstrdup_null(NULL);
	VEC(int) v = VEC_INIT;
	char *taken;
	int fds[2], fd;

	is_str(a, "7-x", "xasprintf");
	is_str(b, "ab", "xmemdupz");
	ok(!c, "xstrdup_null of NULL");
	taken = take_ptr(&a);
	ok(!a && streq(taken, "7-x"), "take_ptr");
	ok(!free_null(taken), "free_null");
	free(xmalloc(0));
	free(xcalloc(0, 8));
	for (int i = 0; i < 100; i++)
		VEC_PUSH(&v, i);
	VEC_REMOVE(&v, 3);
	ok(v.n == 99 && v.v[3] == 4 && v.v[98] == 99, "VEC_PUSH, VEC_REMOVE");
	VEC_RELEASE(&v);
	ok(pipe(fds) == 0, "pipe");
	fd = fds[0];
	errno = EXDEV;
	is_int(close_fd(fd), -1, "close_fd");
	is_int(close_fd(-1), -1, "close_fd of nothing");
	is_int(errno, EXDEV, "close_fd keeps errno");
	is_int(take_fd(&fds[1]) < 0, 0, "take_fd");
	is_int(fds[1], -1, "take_fd leaves -1");
}

static void test_arena(void)
{
	static int one = 1, two = 2;
	struct arena *a = arena_new();
	size_t size;
	bool aligned = true;
	char *big, *s;

	arena_on_free(a, count_cleanup, &one);
	arena_on_free(a, count_cleanup, &two);
	for (size_t i = 0; i < 2000; i++) {
		char *p = arena_alloc(a, i % 97);

		aligned = aligned && ((uintptr_t)p & 7) == 0;
		memset(p, 0x55, i % 97);
	}
	ok(aligned, "arena: blocks are aligned");
	size = arena_size(a);
	big = arena_alloc(a, 1 << 20);
	memset(big, 1, 1 << 20);
	ok(arena_size(a) >= size + (1 << 20), "arena: a large block stands alone");
	s = arena_printf(a, "%s=%d", "k", 5);
	is_str(s, "k=5", "arena_printf");
	is_str(arena_strdup(a, "text"), "text", "arena_strdup");
	is_str(arena_str(a, STR_LIT("slice")).p, "slice", "arena_str");
	ok(((char *)arena_zalloc(a, 40))[39] == 0, "arena_zalloc");
	ok(!arena_free(a), "arena_free returns NULL");
	is_int(cleanups, 2, "arena: clean-ups run");
	is_int(cleanup_order, 21, "arena: last first");
	a = arena_new();
	arena_alloc(a, 100000);
	arena_alloc(a, 10);
	arena_free(a);
	arena_free(NULL);
	a = arena_new();
	arena_alloc(a, 10);
	ok(arena_size(a) < 1300, "arena: a small one is small");
	arena_free(a);
}

/* --- err --- */

static void test_err(void)
{
	_cleanup_err_ struct err e = ERR_INIT, f = ERR_INIT;

	is_str(err_msg(&e), "", "err: empty");
	is_int(err_errno(&e, ENOSPC, "mount '%s'", "/x"), -ENOSPC, "err_errno returns -errno");
	is_str(err_msg(&e), "mount '/x': No space left on device", "err_errno's text");
	is_int(e.reason, ERR_UNKNOWN, "err: ENOSPC has no reason");
	is_int(err_wrap(&e, "start %d", 1), -ENOSPC, "err_wrap returns the code");
	is_str(err_msg(&e), "start 1: mount '/x': No space left on device", "err_wrap's text");
	is_int(err_set(&e, ERR_NOT_FOUND, "%s, again", e.msg), -ENOENT, "err_set over itself");
	is_str(err_msg(&e), "start 1: mount '/x': No space left on device, again", "err_set used the old text");
	is_int(err_reason_http(e.reason), 404, "err: 404");
	err_errno(&e, -ENOENT, "open");
	ok(e.code == ENOENT && e.reason == ERR_NOT_FOUND, "err_errno: a negative errno");
	ok(err_errno(&e, 0, "x") < 0, "err_errno of 0 stays an error");
	err_release(&e);
	err_add_cause(&e, "FieldValueRequired", "spec.a", "Required value");
	err_add_cause(&e, NULL, "spec.b", "no %s", "good");
	ok(!err_is_set(&e), "err_add_cause sets no error");
	err_set(&e, ERR_INVALID, "two wrong");
	err_about(&e, "apps", "Deployment", "web");
	err_about(&e, NULL, NULL, "web2");
	ok(e.causes && e.causes->next == e.last_cause, "causes from before the error stay");
	err_copy(&f, &e);
	is_str(f.name, "web2", "err_copy: details");
	is_str(f.last_cause->message, "no good", "err_copy: causes");
	ok(f.msg != e.msg && f.causes != e.causes, "err_copy is deep");
	err_set(&e, ERR_GONE, "other");
	ok(!e.causes && !e.name, "a second set replaces everything");
	err_move(&e, &f);
	ok(!err_is_set(&f) && e.reason == ERR_INVALID, "err_move");
	for (int r = 1; r < ERR_REASON_MAX; r++) {
		if (err_reason_from_name(err_reason_name(r)) != r)
			ok(false, err_reason_name(r));
	}
	is_int(err_reason_from_name("Nonsense"), ERR_UNKNOWN, "reason from an unknown name");
	is_str(err_reason_name(ERR_UNKNOWN), "", "no reason has no name");
	is_int(err_reason_http(ERR_TOO_LARGE), 413, "413");
}

/* --- str, buf --- */

static void test_str(void)
{
	struct str s = STR_LIT("a,,b"), p;
	int64_t i;
	uint64_t u;

	p = str_cut(&s, ',');
	ok(str_eqc(p, "a") && str_eqc(s, ",b"), "str_cut");
	p = str_cut(&s, ',');
	ok(p.n == 0 && p.p && str_eqc(s, "b"), "str_cut: an empty part");
	p = str_cut(&s, ',');
	ok(str_eqc(p, "b") && !s.p, "str_cut: the last");
	s = STR_LIT("x,");
	str_cut(&s, ',');
	ok(s.p && s.n == 0, "str_cut: a separator at the end leaves one empty part");
	ok(str_ieq(STR_LIT("Ab[z"), STR_LIT("aB[Z")) && !str_ieq(STR_LIT("["), STR_LIT("{")), "str_ieq");
	ok(str_cmp(STR_LIT("a"), STR_LIT("ab")) < 0 && str_cmp(STR_LIT("b"), STR_LIT("ab")) > 0 &&
		   str_cmp(STR_NONE, STR_LIT("")) == 0 && str_cmp(STR_LIT("\x80"), STR_LIT("a")) > 0,
	   "str_cmp");
	ok(str_starts(STR_LIT("abc"), STR_LIT("ab")) && !str_starts(STR_LIT("a"), STR_LIT("ab")), "str_starts");
	ok(str_ends(STR_LIT("abc"), STR_LIT("bc")) && !str_ends(STR_LIT("c"), STR_LIT("bc")), "str_ends");
	ok(starts_with("--x", "--") && ends_with("a.yaml", ".yaml"), "starts_with, ends_with");
	ok(str_eqc(str_trim(STR_LIT(" \t\n a b\r ")), "a b") && str_trim(STR_LIT("  ")).n == 0, "str_trim");
	ok(str_find(STR_LIT("a/b/c"), '/') == 1 && str_rfind(STR_LIT("a/b/c"), '/') == 3 &&
		   str_find(STR_NONE, 'x') == -1,
	   "str_find, str_rfind");
	ok(str_eqc(str_sub(STR_LIT("abc"), 1, 99), "bc") && str_sub(STR_LIT("abc"), 5, 2).n == 0 &&
		   str_sub(STR_NONE, 0, 3).n == 0,
	   "str_sub clamps");
	ok(str_to_i64(STR_LIT("-9223372036854775808"), &i) && i == INT64_MIN, "the smallest int64");
	ok(str_to_i64(STR_LIT("9223372036854775807"), &i) && i == INT64_MAX, "the largest int64");
	ok(!str_to_i64(STR_LIT("9223372036854775808"), &i) && !str_to_i64(STR_LIT("-9223372036854775809"), &i),
	   "int64 out of range");
	ok(!str_to_i64(STR_LIT("+5"), &i) && !str_to_i64(STR_LIT("-"), &i) && !str_to_i64(STR_LIT("5 "), &i) &&
		   !str_to_i64(STR_LIT("0x1"), &i) && !str_to_i64(STR_NONE, &i),
	   "no numbers");
	ok(str_to_u64(STR_LIT("18446744073709551615"), &u) && u == UINT64_MAX &&
		   !str_to_u64(STR_LIT("18446744073709551616"), &u) && !str_to_u64(STR_LIT("-1"), &u),
	   "uint64's range");
	ok(streq_null(NULL, "") && streq_null(NULL, NULL) && !streq_null("a", NULL) && str_empty(NULL), "NULLs");
	ok(str_is_utf8(STR_LIT("plain text, longer than eight \xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa6")), "UTF-8");
	ok(!str_is_utf8(STR_LIT("\xc0\xaf")) && !str_is_utf8(STR_LIT("\xed\xa0\x80")) &&
		   !str_is_utf8(STR_LIT("\xf4\x90\x80\x80")) && !str_is_utf8(STR_LIT("abcdefgh\xe2\x82")) &&
		   !str_is_utf8(STR_LIT("\x80")) && !str_is_utf8(STR_LIT("\xf0\x80\x80\x80")) &&
		   !str_is_utf8(STR_LIT("\xe0\x80\x80")),
	   "no UTF-8: overlong, surrogate, too large, cut off, stray");
}

static void test_buf(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t len;
	char *s;

	is_str(b.s, "", "an empty buffer is an empty string");
	s = buf_detach(&b, &len);
	ok(s && !*s && len == 0, "buf_detach of an empty one");
	free(s);
	buf_addf(&b, "%s", "");
	buf_adds(&b, "world");
	buf_insert(&b, 0, "hello ", 6);
	buf_addf(&b, " %0300d", 7);
	is_int(b.len, 312, "buf_addf grows");
	buf_remove(&b, 12, 299);
	is_str(b.s, "hello world 7", "insert, remove");
	buf_truncate(&b, 5);
	is_str(b.s, "hello", "buf_truncate");
	buf_add(&b, "\0x", 2);
	is_int(b.len, 7, "NUL is a byte");
	s = buf_detach(&b, &len);
	ok(len == 7 && b.len == 0 && b.cap == 0, "buf_detach");
	free(s);
	for (int i = 0; i < 10000; i++)
		buf_addch(&b, 'x');
	ok(b.len == 10000 && b.s[10000] == '\0', "buf_addch");
	buf_clear(&b);
	ok(b.cap && !*b.s, "buf_clear keeps the memory");
}

static const char *json_of(struct str in)
{
	static struct buf b = BUF_INIT;

	if (!in.p) {
		buf_release(&b);
		return NULL;
	}
	buf_clear(&b);
	buf_add_json_string(&b, in);
	return b.s;
}

static void test_buf_json(void)
{
	is_str(json_of(STR_LIT("")), "\"\"", "JSON: empty");
	is_str(json_of(STR_LIT("a\"b\\c/<&>")), "\"a\\\"b\\\\c/<&>\"", "JSON: quotes, backslash; HTML stays");
	is_str(json_of(STR_LIT("\b\t\n\f\r\x01\x1f\x7f")),
	       "\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"", "JSON: controls");
	is_str(json_of(STR_LIT("\0z")), "\"\\u0000z\"", "JSON: NUL");
	is_str(json_of(STR_LIT("h\xc3\xa9\xf0\x9f\x90\xa6")), "\"h\xc3\xa9\xf0\x9f\x90\xa6\"", "JSON: UTF-8 stays");
	is_str(json_of(STR_LIT("a\xff\xc3z\xe2\x82")), "\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\"",
	       "JSON: each invalid byte becomes U+FFFD");
	json_of(STR_NONE);
}

static bool base64_round_trip(bool url)
{
	unsigned char data[70];

	for (size_t n = 0; n <= sizeof(data); n++) {
		_cleanup_buf_ struct buf enc = BUF_INIT, dec = BUF_INIT;

		rand_bytes(data, n);
		buf_add_base64(&enc, data, n, url);
		if (!buf_add_base64_decoded(&dec, buf_str(&enc), url) ||
		    !str_eq(buf_str(&dec), str_n((char *)data, n)))
			return false;
	}
	return true;
}

static void test_buf_codecs(void)
{
	static const char *const bad64[] = { "Zg=", "Zg", "Zg===", "=Zg=", "Zm9v!", "Z", "Zg==Zg==", "Zm9vYg=" };
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool refused = true;

	buf_add_base64(&b, "foob", 4, false);
	is_str(b.s, "Zm9vYg==", "base64");
	buf_clear(&b);
	buf_add_base64(&b, "\xff\xfe\xfd\xfc", 4, true);
	is_str(b.s, "__79_A", "base64url");
	buf_clear(&b);
	ok(base64_round_trip(false) && base64_round_trip(true), "base64: there and back");
	ok(buf_add_base64_decoded(&b, STR_LIT("Zm9v\r\nYg==\n"), false) && streq(b.s, "foob"),
	   "base64: line ends do not count");
	buf_clear(&b);
	buf_adds(&b, "kept");
	for (size_t i = 0; i < ARRAY_SIZE(bad64); i++)
		refused = refused && !buf_add_base64_decoded(&b, str_of(bad64[i]), false);
	ok(refused, "base64: malformed input is refused");
	ok(!buf_add_base64_decoded(&b, STR_LIT("Zg=="), true), "base64url: no padding");
	is_str(b.s, "kept", "base64: a failure leaves the buffer as it was");
	buf_clear(&b);
	buf_add_hex(&b, "\x00\xab\xff", 3);
	is_str(b.s, "00abff", "hex");
	buf_clear(&b);
	buf_add_url(&b, STR_LIT("a b/c~\xc3\xa9"), true);
	is_str(b.s, "a%20b/c~%C3%A9", "URL, slash kept");
	buf_clear(&b);
	buf_add_url(&b, STR_LIT("a/b"), false);
	is_str(b.s, "a%2Fb", "URL, slash encoded");
	buf_clear(&b);
	ok(buf_add_url_decoded(&b, STR_LIT("a%2fb+c%20%e9"), true) && streq(b.s, "a/b c \xe9"), "URL decoded");
	ok(!buf_add_url_decoded(&b, STR_LIT("abc%2"), true) && !buf_add_url_decoded(&b, STR_LIT("%zz"), true) &&
		   !buf_add_url_decoded(&b, STR_LIT("%"), true),
	   "URL: broken escapes are refused");
	is_str(b.s, "a/b c \xe9", "URL: a failure leaves the buffer as it was");
	buf_clear(&b);
	ok(buf_add_url_decoded(&b, STR_LIT("a+b"), false) && streq(b.s, "a+b"), "URL: + stays");
}

/* --- hash, digest, rand, map --- */

static void test_hash(void)
{
	/* The vectors of SipHash's reference implementation: key 00..0f, message 00, 01, ... */
	static const uint64_t want[] = { 0x726fdb47dd0e0e31ull, 0x74f839c593dc67fdull, 0x0d6c8009d9a94f5aull };
	uint8_t key[16], msg[64];
	char hex[DIGEST_SHA256_HEX];
	struct digest *d;
	uint8_t sum[DIGEST_SHA256_LEN];
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (int i = 0; i < 64; i++)
		msg[i] = key[i % 16] = i;
	for (int i = 0; i < 16; i++)
		key[i] = i;
	for (int i = 0; i < 3; i++)
		ok(hash_sip_key(str_n((char *)msg, i), key) == want[i], "SipHash-2-4 vector");
	ok(hash_sip_key(str_n((char *)msg, 15), key) == 0xa129ca6149be45e5ull, "SipHash-2-4 of 15 bytes");
	ok(hash_sip(STR_LIT("a")) == hash_sip(STR_LIT("a")) && hash_sip(STR_LIT("a")) != hash_sip(STR_LIT("b")),
	   "hash_sip");
	is_int(hash_fnv32a(STR_LIT("foobar")), 0xbf9cf968, "FNV-1a, 32 bits");
	ok(hash_fnv64a(STR_LIT("foobar")) == 0x85944171f73967e8ull, "FNV-1a, 64 bits");
	digest_sha256_hex(STR_LIT("abc"), hex);
	is_str(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256");
	digest_sha256_hex(STR_NONE, hex);
	is_str(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "SHA-256 of nothing");
	d = digest_new();
	digest_update(d, "a", 1);
	digest_update(d, NULL, 0);
	digest_update(d, "bc", 2);
	digest_final(d, sum);
	ok(!digest_free(d), "digest_free");
	buf_add_hex(&b, sum, sizeof(sum));
	is_str(b.s, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256 in pieces");
}

static void test_rand(void)
{
	char uuid[37], suffix[201];
	bool below = true, seen[5] = { false };

	rand_uuid(uuid);
	ok(strlen(uuid) == 36 && uuid[8] == '-' && uuid[14] == '4' && strchr("89ab", uuid[19]) && uuid[23] == '-' &&
		   strspn(uuid, "0123456789abcdef-") == 36,
	   "rand_uuid");
	rand_suffix(suffix, 200);
	ok(strlen(suffix) == 200 && strspn(suffix, "bcdfghjklmnpqrstvwxz2456789") == 200, "rand_suffix");
	for (int i = 0; i < 500; i++) {
		uint64_t v = rand_below(5);

		below = below && v < 5;
		if (v < 5)
			seen[v] = true;
	}
	ok(below && seen[0] && seen[1] && seen[2] && seen[3] && seen[4], "rand_below");
	ok(rand_below(1) == 0 && rand_below(0) == 0 && rand_u64() != rand_u64(), "rand_u64");
}

static int freed;

static void count_free(void *p)
{
	freed++;
	free(p);
}

static void test_map(void)
{
	struct map *m = map_new(count_free), *none = NULL;
	struct map_iter it = { 0 };
	char key[32];
	size_t seen = 0;
	bool all = true;
	char *v;

	ok(!map_get(none, STR_LIT("x")) && map_count(none) == 0 && !map_next(none, &it) &&
		   !map_del(none, STR_LIT("x")) && !map_free(none),
	   "a NULL map is an empty map");
	ok(!map_getc(m, "x") && !map_next(m, &it) && !map_del(m, STR_LIT("x")), "a new map is empty");
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		map_set(m, str_of(key), xstrdup(key));
	}
	for (int i = 0; i < 5000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		v = map_getc(m, key);
		all = all && v && streq(v, key);
	}
	ok(all && map_count(m) == 5000, "map: 5000 keys");
	v = map_getc(m, "key-1");
	map_set(m, STR_LIT("key-1"), v);
	ok(freed == 0 && map_getc(m, "key-1") == v, "map_set of the same value frees nothing");
	map_set(m, STR_LIT("key-1"), xstrdup("new"));
	ok(freed == 1 && streq(map_getc(m, "key-1"), "new") && map_count(m) == 5000, "map_set replaces");
	it = (struct map_iter){ 0 };
	while (map_next(m, &it)) {
		seen++;
		if (seen % 2)
			map_del(m, it.key);
	}
	ok(seen == 5000 && map_count(m) == 2500 && freed == 2501, "removal while iterating");
	it = (struct map_iter){ 0 };
	ok(map_next(m, &it), "map_next");
	v = map_take(m, it.key);
	ok(v && freed == 2501 && map_count(m) == 2499, "map_take");
	free(v);
	map_clear(m);
	ok(map_count(m) == 0 && freed == 5000, "map_clear");
	map_set(m, STR_LIT("a\0b"), xstrdup("nul"));
	ok(!map_getc(m, "a") && map_get(m, STR_LIT("a\0b")), "keys are bytes");
	map_set(m, STR_NONE, xstrdup("empty"));
	is_str(map_getc(m, ""), "empty", "the empty key");
	ok(!map_free(m) && freed == 5002, "map_free");
}

/* --- time --- */

static void test_time_format(void)
{
	char s[32], u[TIME_MICRO_LEN], n[TIME_NANO_LEN];

	is_str(time_fmt_rfc3339(s, 0), "1970-01-01T00:00:00Z", "the epoch");
	is_str(time_fmt_rfc3339(s, 951782400), "2000-02-29T00:00:00Z", "a leap day");
	is_str(time_fmt_rfc3339(s, -1), "1969-12-31T23:59:59Z", "before the epoch");
	is_str(time_fmt_rfc3339(s, -62135596800), "0001-01-01T00:00:00Z", "Go's zero time");
	is_str(time_fmt_rfc3339(s, INT64_MAX), "9999-12-31T23:59:59Z", "clamped above");
	is_str(time_fmt_rfc3339(s, INT64_MIN), "0000-01-01T00:00:00Z", "clamped below");
	is_str(time_fmt_micro(u, 1136214245000007), "2006-01-02T15:04:05.000007Z", "MicroTime");
	is_str(time_fmt_nano(n, 1136214245000000007), "2006-01-02T15:04:05.000000007Z", "CRI stamp");
	is_str(time_fmt_nano(n, -1), "1969-12-31T23:59:59.999999999Z", "a nanosecond before the epoch");
	ok(time_wall_s() > 1600000000 && time_wall_us() / SEC_US - time_wall_s() < 2 && time_mono_us() > 0 &&
		   time_wall_ns() > 0,
	   "clocks");
}

static void test_time_parse(void)
{
	static const char *const bad[] = {
		"",
		"2006-01-02",
		"2006-01-02T15:04:05",
		"2006-1-02T15:04:05Z",
		"2006-02-30T15:04:05Z",
		"2100-02-29T00:00:00Z",
		"2006-13-02T15:04:05Z",
		"2006-00-02T15:04:05Z",
		"2006-01-02T24:00:00Z",
		"2006-01-02T15:60:05Z",
		"2006-01-02T15:04:60Z",
		"2006-01-02t15:04:05Z",
		"2006-01-02T15:04:05z",
		"2006-01-02T15:04:05.Z",
		"2006-01-02T15:04:05+0100",
		"2006-01-02T15:04:05+01:00x",
		"2006-01-02T15:04:05+24:00",
		" 2006-01-02T15:04:05Z",
		"2006-01-02T15:04:05Z ",
	};
	int64_t ns;

	ok(time_parse_rfc3339(STR_LIT("2006-01-02T15:04:05Z"), &ns) && ns == 1136214245 * SEC_NS, "RFC 3339");
	ok(time_parse_rfc3339(STR_LIT("2006-01-02T17:34:05.25+02:30"), &ns) && ns == 1136214245 * SEC_NS + 250000000,
	   "RFC 3339 with an offset and a fraction");
	ok(time_parse_rfc3339(STR_LIT("2006-01-02T08:04:05.1234567891-07:00"), &ns) &&
		   ns == 1136214245 * SEC_NS + 123456789,
	   "RFC 3339: digits beyond the nanosecond");
	ok(time_parse_rfc3339(STR_LIT("0001-01-01T00:00:00Z"), &ns) && ns == INT64_MIN, "far past is clamped");
	ok(time_parse_rfc3339(STR_LIT("9999-12-31T00:00:00Z"), &ns) && ns == INT64_MAX, "far future is clamped");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (time_parse_rfc3339(str_of(bad[i]), &ns))
			ok(false, bad[i]);
	}
	for (int64_t day = -719528; day < 2932896; day += 97) {
		char s[TIME_RFC3339_LEN];

		time_fmt_rfc3339(s, day * 86400);
		if (!time_parse_rfc3339(str_of(s), &ns) || (llabs(day) < 100000 && ns != day * 86400 * SEC_NS))
			ok(false, s);
	}
	ok(true, "RFC 3339: malformed ones are refused; there and back");
}

static void test_time_human(void)
{
	static const struct {
		int64_t s;
		const char *want;
	} rows[] = {
		{ -3, "<invalid>" },
		{ -2, "<invalid>" },
		{ -1, "0s" },
		{ 0, "0s" },
		{ 1, "1s" },
		{ 119, "119s" },
		{ 120, "2m" },
		{ 150, "2m30s" },
		{ 599, "9m59s" },
		{ 600, "10m" },
		{ 659, "10m" },
		{ 10799, "179m" },
		{ 10800, "3h" },
		{ 10860, "3h1m" },
		{ 28799, "7h59m" },
		{ 28800, "8h" },
		{ 32399, "8h" },
		{ 172799, "47h" },
		{ 172800, "2d" },
		{ 176400, "2d1h" },
		{ 691199, "7d23h" },
		{ 691200, "8d" },
		{ 63071999, "729d" },
		{ 63072000, "2y" },
		{ 63158400, "2y1d" },
		{ 252287999, "7y364d" },
		{ 252288000, "8y" },
		{ 400000000, "12y" },
	};
	char out[32];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		time_fmt_human(out, rows[i].s);
		is_str(out, rows[i].want, "HumanDuration");
	}
}

static void test_time_go(void)
{
	static const char *const bad[] = { "",     "1",	   "h",	    ".s",   "1.5",  "1x", "-",	  "1h 2m",
					   "3000000h", "1.2.3s", "9223372036854775808ns", "+-1s", "1hh", ".", "s1" };
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "0", 0 },
		{ "1h30m", 5400 * SEC_NS },
		{ "300ms", 300000000 },
		{ "1.5s", 1500000000 },
		{ "-1.5h", -5400 * SEC_NS },
		{ "+5s", 5 * SEC_NS },
		{ ".5m", 30 * SEC_NS },
		{ "1.s", SEC_NS },
		{ "2us3ns", 2003 },
		{ "1\xc2\xb5s", 1000 },
		{ "1\xce\xbcs", 1000 },
		{ "9223372036854775807ns", INT64_MAX },
		{ "-9223372036854775808ns", INT64_MIN },
		{ "0.333333333333333333333h", 1200 * SEC_NS - 1 },
	};
	int64_t ns;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(!time_parse_go_duration(str_of(bad[i]), &ns), "malformed duration");
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		ns = -77;
		ok(time_parse_go_duration(str_of(good[i].text), &ns), good[i].text);
		is_int(ns, good[i].ns, good[i].text);
	}
}

/* --- log --- */

static const char *logged(int fd)
{
	static char text[8192];
	ssize_t n = read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return n > 28 ? text + 28 : text; /* behind the stamp */
}

static void test_log(void)
{
	enum log_level level;
	char big[5000];
	const char *got;
	int fds[2], lines = 0;
	int64_t since;

	ok(log_level_parse("WARN", &level) && level == LOG_WARN && !log_level_parse("off", &level) &&
		   !log_level_parse("verbose", &level),
	   "log_level_parse");
	ok(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
	log_to_fd(fds[1]);
	log_debug("not shown");
	log_info("started container", LS("pod", "default/web"), LI("pid", -12));
	is_str(logged(fds[0]), "I started container pod=default/web pid=-12\n", "log: text");
	log_warn("odd", LS("a", "two words"), LS("b", ""), LS("c", "x\ny=\"\x1b"), LS("d", NULL));
	is_str(logged(fds[0]), "W odd a=\"two words\" b=\"\" c=\"x\\ny=\\\"\\u001b\" d=\"\"\n", "log: escapes");
	log_error("line\nbreak");
	is_str(logged(fds[0]), "E line\\nbreak\n", "log: the message is escaped as well");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("big", LS("a", big), LS("b", big), LS("c", big), LI("d", 1));
	got = logged(fds[0]);
	ok(strlen(got) < 4096 && ends_with(got, " truncated=true\n"), "log: a long line is cut");
	/* Nobody reads: after one wait, lines are dropped without any. */
	ok(fcntl(fds[1], F_SETPIPE_SZ, 8192) >= 8192, "a small pipe");
	fcntl(fds[1], F_SETFL, 0);
	since = time_mono_ms();
	for (int i = 0; i < 100; i++)
		log_info("flood", LS("a", big));
	ok(time_mono_ms() - since < 2000, "log: a stuck reader does not stop us");
	while (logged(fds[0]), poll(&(struct pollfd){ .fd = fds[0], .events = POLLIN }, 1, 0) > 0)
		lines++;
	log_info("back");
	got = logged(fds[0]);
	ok(starts_with(got, "W the log's reader was too slow, lines were lost lines="), "log: the loss is told");
	ok(strstr(got, "I back\n") != NULL, "log: and it goes on");
	log_to_fd(2);
	close(fds[0]);
	close(fds[1]);
}

/* --- loop --- */

struct loop_test {
	struct loop *l;
	struct loop_timer *timer, *other;
	struct loop_fd *fd;
	struct loop_hook *hook;
	struct loop_task task, task2;
	int fires, hooks, tasks, limit;
	int fds[2];
	int64_t at;
};

static void lt_timer(void *arg)
{
	struct loop_test *t = arg;

	t->fires++;
	t->at = time_mono_ms();
	t->timer = loop_timer_free(t->timer);
	loop_stop(t->l);
}

static void lt_never(void *arg)
{
	((struct loop_test *)arg)->fires += 1000;
}

static void lt_hook(void *arg)
{
	struct loop_test *t = arg;

	if (++t->hooks == t->limit)
		t->hook = loop_hook_free(t->hook);
}

static void lt_task(struct loop_task *task)
{
	struct loop_test *t = CONTAINER_OF(task, struct loop_test, task);

	if (++t->tasks < t->limit)
		loop_defer(t->l, task);
}

static void lt_task2(struct loop_task *task)
{
	CONTAINER_OF(task, struct loop_test, task2)->tasks += 1000;
}

static void test_loop_timers(void)
{
	struct loop_test t = { .l = loop_new(), .limit = 3, .task.run = lt_task, .task2.run = lt_task2 };
	int64_t since;

	t.timer = loop_timer_new(t.l, lt_timer, &t);
	t.other = loop_timer_new(t.l, lt_never, &t);
	loop_timer_set(t.other, 5);
	ok(loop_timer_is_set(t.other), "loop_timer_is_set");
	loop_timer_clear(t.other);
	ok(!loop_timer_is_set(t.other), "loop_timer_clear");
	loop_timer_set(t.timer, 100000);
	loop_timer_set(t.timer, 30);
	since = time_mono_ms();
	is_int(loop_run(t.l), 0, "loop_run");
	ok(t.fires == 1 && t.at - since >= 30 && t.at - since < 1000, "a timer, never early; freed in its callback");
	loop_timer_set(t.other, INT64_MAX);
	since = time_mono_ms();
	loop_turn(t.l, 20);
	ok(time_mono_ms() - since >= 15 && t.fires == 1, "loop_turn waits as long as it is told");
	t.hook = loop_before_sleep(t.l, lt_hook, &t);
	loop_defer(t.l, &t.task);
	loop_defer(t.l, &t.task);
	loop_defer(t.l, &t.task2);
	loop_undefer(t.l, &t.task2);
	loop_turn(t.l, -1);
	ok(t.tasks == 1 && t.hooks == 1 && t.task.queued, "a task that defers itself comes in the next turn");
	loop_turn(t.l, -1);
	loop_turn(t.l, -1);
	ok(t.tasks == 3 && t.hooks == 3 && !t.hook && !t.task.queued, "and then the turn does not sleep");
	loop_turn(t.l, 0);
	ok(t.tasks == 3 && t.hooks == 3, "a freed hook does not run");
	ok(llabs(loop_now_ms(t.l) - time_mono_ms()) < 1000, "loop_now_ms");
	loop_defer(t.l, &t.task);
	t.hook = loop_before_sleep(t.l, lt_hook, &t);
	ok(!loop_free(t.l) && !t.task.queued, "loop_free with handles left");
	loop_timer_set(t.other, 1);
	loop_timer_free(t.other);
	loop_hook_free(t.hook);
	loop_free(NULL);
}

static void lt_fd(void *arg, int what)
{
	struct loop_test *t = arg;
	char c;

	if (what & LOOP_READ) {
		t->fires++;
		(void)!read(t->fds[0], &c, 1);
	}
	if (t->fires == t->limit)
		t->fd = loop_fd_free(t->fd);
}

static void lt_file(void *arg, int what)
{
	struct loop_test *t = arg;

	if (what == LOOP_READ && ++t->fires == 3)
		t->fd = loop_fd_free(t->fd);
}

static void lt_slow(void *arg, int signo)
{
	struct loop_test *t = arg;

	t->fires += signo;
	usleep(25000);
}

static void test_loop_fds(void)
{
	struct loop_test t = { .l = loop_new(), .limit = 3 };
	struct loop_signal *s;
	int file, logs[2];

	ok(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, t.fds) == 0, "socketpair");
	t.fd = loop_fd_new(t.l, t.fds[0], LOOP_READ, lt_fd, &t);
	loop_turn(t.l, 0);
	is_int(t.fires, 0, "nothing to read");
	(void)!write(t.fds[1], "abc", 3);
	loop_fd_set(t.fd, 0);
	loop_turn(t.l, 0);
	is_int(t.fires, 0, "paused");
	loop_fd_set(t.fd, LOOP_READ | LOOP_WRITE);
	for (int i = 0; i < 3; i++)
		loop_turn(t.l, 1000);
	ok(t.fires == 3 && !t.fd, "level-triggered; freed in its callback");
	file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	t.fires = 0;
	t.fd = loop_fd_new(t.l, file, LOOP_READ, lt_file, &t);
	for (int i = 0; i < 6; i++)
		loop_turn(t.l, 100);
	ok(t.fires == 3 && !t.fd, "a regular file is always ready");
	close(file);
	/* A slow callback, here of a signal, is told at debug level by its name. */
	ok(pipe2(logs, O_CLOEXEC | O_NONBLOCK) == 0, "pipe");
	log_to_fd(logs[1]);
	log_threshold = LOG_DEBUG;
	t.fires = 0;
	s = loop_signal_new(t.l, SIGUSR1, lt_slow, &t);
	raise(SIGUSR1);
	loop_turn(t.l, 1000);
	is_int(t.fires, SIGUSR1, "a signal");
	ok(starts_with(logged(logs[0]), "D slow callback kind=signal name=lt_slow us="), "a slow callback is named");
	log_threshold = LOG_INFO;
	log_to_fd(2);
	close(logs[0]);
	close(logs[1]);
	ok(!loop_signal_free(s), "loop_signal_free");
	t.fd = loop_fd_new(t.l, t.fds[0], LOOP_READ, lt_fd, &t);
	loop_free(t.l);
	loop_fd_set(t.fd, LOOP_WRITE);
	loop_fd_free(t.fd);
	close(t.fds[0]);
	close(t.fds[1]);
}

/* --- job --- */

struct job_test {
	struct loop *l;
	struct job_queue *q;
	int ran, done, freed_in_done;
};

static void jt_run(void *arg)
{
	struct job_test *t = arg;

	__atomic_fetch_add(&t->ran, 1, __ATOMIC_SEQ_CST);
}

static void jt_slow(void *arg)
{
	usleep(20000);
	jt_run(arg);
}

static void jt_done(void *arg)
{
	struct job_test *t = arg;

	t->done++;
	if (t->q && job_queue_pending(t->q) == 0)
		loop_stop(t->l);
}

static void jt_free(void *arg)
{
	struct job_test *t = arg;

	t->done++;
	t->q = job_queue_free(t->q);
	t->freed_in_done = t->done;
	loop_stop(t->l);
}

static void test_job(void)
{
	struct job_test t = { .l = loop_new() };
	int full = 0;

	t.q = job_queue_new(t.l, "u-base-jobs", 3, 1000);
	for (int i = 0; i < 1000; i++) {
		if (job_submit(t.q, jt_run, jt_done, &t) < 0)
			full++;
	}
	loop_run(t.l);
	ok(full == 0 && t.ran == 1000 && t.done == 1000 && job_queue_pending(t.q) == 0, "1000 jobs");
	job_queue_free(t.q);
	t = (struct job_test){ .l = t.l };
	t.q = job_queue_new(t.l, "one", 1, 2);
	for (int i = 0; i < 10; i++)
		full += job_submit(t.q, jt_slow, jt_done, &t) == -EAGAIN;
	ok(full >= 7, "a full queue says so");
	ok(!job_queue_free(t.q) && t.ran == 10 - full && t.done == t.ran, "job_queue_free runs what is queued");
	loop_free(t.l);
	t = (struct job_test){ .l = loop_new() };
	t.q = job_queue_new(t.l, "dies", 1, 10);
	full = job_submit(t.q, jt_slow, jt_free, &t);
	for (int i = 0; i < 3; i++)
		full += job_submit(t.q, jt_slow, NULL, &t);
	loop_run(t.l);
	ok(full == 0 && !t.q && t.freed_in_done == 1 && t.ran == 4, "a queue freed in a done callback");
	ok(!job_queue_free(job_queue_new(t.l, "idle", 2, 1)), "a queue that never ran");
	loop_free(t.l);
}

/* --- proc --- */

/* What this program does as its own child; the exit code is the answer. */
static int child_main(int argc, char **argv)
{
	char c = 0;
	sigset_t mask;

	if (streq(argv[1], "exit"))
		return atoi(argv[2]);
	if (streq(argv[1], "wait")) {
		pause();
		return 0;
	}
	if (streq(argv[1], "fds")) { /* 3 and 4 are open and in this order, 5 is not; 0 is /dev/null */
		if (read(3, &c, 1) != 1 || write(4, &c, 1) != 1 || fcntl(5, F_GETFD) >= 0)
			return 1;
		return read(0, &c, 1) == 0 ? 0 : 2;
	}
	if (streq(argv[1], "state")) {
		sigprocmask(SIG_SETMASK, NULL, &mask);
		if (sigismember(&mask, SIGUSR2) || signal(SIGPIPE, SIG_DFL) != SIG_DFL)
			return 1;
		if (getsid(0) != getpid() || !getenv("U_BASE") || getenv("HOME"))
			return 2;
		return 0;
	}
	if (streq(argv[1], "self")) { /* the child of a copy runs from the same copy */
		char exe[256] = { 0 };

		if (readlink("/proc/self/exe", exe, sizeof(exe) - 1) < 0 || !strstr(exe, "memfd:kinglet"))
			return 1;
		return fcntl(proc_self_fd(), F_GETFD) & FD_CLOEXEC ? 0 : 2;
	}
	return 99;
}

struct proc_test {
	struct loop *l;
	int status, exits;
};

static void pt_exit(void *arg, int status)
{
	struct proc_test *t = arg;

	t->status = status;
	t->exits++;
	loop_stop(t->l);
}

#define SELF(...)                                                                            \
	.argv = (const char *const[]){ "u-base", __VA_ARGS__, NULL }, .self = true, .in = -1, \
	.out = -1, .err = -1

static int run_self(const struct proc_opts *o)
{
	_cleanup_err_ struct err e = ERR_INIT;
	int status = -1;

	if (proc_run(o, &status, &e) < 0) {
		printf("# %s\n", err_msg(&e));
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void test_proc_run(void)
{
	const char *const env[] = { "U_BASE=1", "ASAN_OPTIONS=detect_leaks=0", NULL };
	_cleanup_err_ struct err e = ERR_INIT;
	sigset_t usr2, saved;
	int in[2], out[2], status, fds[2];
	char c = 0;

	is_int(run_self(&(struct proc_opts){ SELF("exit", "7") }), 7, "proc_run: an exit code");
	is_int(run_self(&(struct proc_opts){ SELF("self") }), 0, "a copy of this program, sealed");
	ok(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipes");
	(void)!write(in[1], "x", 1);
	fds[0] = in[0];
	fds[1] = out[1];
	is_int(run_self(&(struct proc_opts){ SELF("fds"), .fds = fds, .n_fds = 2 }), 0, "descriptors 3 and 4");
	ok(read(out[0], &c, 1) == 1 && c == 'x', "the child's byte came through");
	/* Sources that are each other's targets. */
	ok(dup2(in[0], 104) == 104 && dup2(out[1], 103) == 103, "dup2");
	close(in[0]);
	close(out[1]);
	fcntl(104, F_SETFD, FD_CLOEXEC);
	fcntl(103, F_SETFD, FD_CLOEXEC);
	(void)!write(in[1], "y", 1);
	fds[0] = 104;
	fds[1] = 103;
	is_int(run_self(&(struct proc_opts){ SELF("fds"), .fds = fds, .n_fds = 2 }), 0, "descriptors the other way");
	ok(read(out[0], &c, 1) == 1 && c == 'y', "the second byte came through");
	close(in[1]);
	close(out[0]);
	close(103);
	close(104);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr2, &saved);
	signal(SIGPIPE, SIG_IGN);
	is_int(run_self(&(struct proc_opts){ SELF("state"), .env = env, .new_session = true }), 0,
	       "signals, session and environment");
	sigprocmask(SIG_SETMASK, &saved, NULL);
	is_int(proc_run(&(struct proc_opts){ .argv = (const char *const[]){ "/nonexistent/program", NULL },
					     .in = -1, .out = -1, .err = -1 },
			&status, &e),
	       -ENOENT, "a program that is not there");
	is_str(err_msg(&e), "start '/nonexistent/program': execute: No such file or directory", "and the text");
	is_int(proc_run(&(struct proc_opts){ SELF("exit", "0"), .cgroup_fd = 1 }, &status, &e), -ENOTDIR,
	       "a cgroup that is none");
	is_int(run_self(&(struct proc_opts){ SELF("exit", "3"), .die_with_parent = true }), 3, "die_with_parent");
}

static void test_proc_spawn(void)
{
	struct proc_test t = { .l = loop_new() };
	_cleanup_err_ struct err e = ERR_INIT;
	struct proc *p;
	int fd, status;
	pid_t pid;

	p = proc_spawn(t.l, &(struct proc_opts){ SELF("exit", "5") }, pt_exit, &t, &e);
	ok(p != NULL && proc_pid(p) > 0, "proc_spawn");
	loop_run(t.l);
	ok(WIFEXITED(t.status) && WEXITSTATUS(t.status) == 5, "on_exit gets the wait status");
	p = proc_spawn(t.l, &(struct proc_opts){ SELF("wait") }, pt_exit, &t, &e);
	fd = pidfd_open_(proc_pid(p));
	ok(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC), "pidfd_open_");
	is_int(pidfd_signal(fd, 0), 0, "pidfd_signal");
	is_int(proc_kill(p, SIGKILL), 0, "proc_kill");
	loop_run(t.l);
	ok(WIFSIGNALED(t.status) && WTERMSIG(t.status) == SIGKILL, "a killed child");
	is_int(pidfd_signal(fd, 0), -ESRCH, "it is gone");
	close(fd);
	is_int(pidfd_open_(-1), -EINVAL, "pidfd_open_ of nonsense");
	p = proc_spawn(t.l, &(struct proc_opts){ SELF("wait") }, pt_exit, &t, &e);
	pid = proc_pid(p);
	t.exits = 0;
	proc_abandon(p);
	kill(pid, SIGKILL);
	for (int i = 0; i < 100 && waitid(P_PID, pid, NULL, WEXITED | WNOHANG | WNOWAIT) == 0; i++)
		loop_turn(t.l, 50);
	ok(t.exits == 0 && waitpid(pid, &status, WNOHANG) == -1 && errno == ECHILD, "an abandoned child is reaped");
	ok(!proc_spawn(t.l, &(struct proc_opts){ .argv = (const char *const[]){ "/", NULL } }, NULL, NULL, &e) &&
		   e.code == EACCES,
	   "proc_spawn: a directory is no program");
	for (int i = 0; i < 50; i++) {
		if (!proc_spawn(t.l, &(struct proc_opts){ SELF("exit", "0") }, pt_exit, &t, &e))
			ok(false, err_msg(&e));
	}
	while (t.exits < 50)
		loop_turn(t.l, 1000);
	ok(true, "50 children at once");
	loop_free(t.l);
}

/* --- path --- */

static void test_path_files(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *j1 = path_join("/a/", "/b"), *j2 = path_join("a", "b"), *j3 = path_join("/", "b");
	struct stat st;
	int fd, fd2, status;

	is_str(j1, "/a/b", "path_join: one slash");
	is_str(j2, "a/b", "path_join");
	is_str(j3, "/b", "path_join: the root");
	ok(streq(path_base("/a/b"), "b") && streq(path_base("b"), "b") && streq(path_base("a/"), ""), "path_base");
	is_int(path_mkdirs(work_path("d/e//f/"), 0755, &e), 0, "path_mkdirs");
	is_int(path_mkdirs(work_path("d/e/f"), 0755, &e), 0, "path_mkdirs again");
	is_int(path_write_atomic(work_path("d/file"), STR_LIT("content"), 0640, &e), 0, "path_write_atomic");
	ok(stat(work_path("d/file"), &st) == 0 && (st.st_mode & 07777) == 0640, "its mode");
	is_int(path_mkdirs(work_path("d/file/x"), 0755, &e), -ENOTDIR, "path_mkdirs over a file");
	is_int(path_read(work_path("d/file"), 7, &b, &e), 0, "path_read");
	is_str(b.s, "content", "its bytes");
	is_int(path_read(work_path("d/file"), 6, &b, &e), -EFBIG, "path_read: too large");
	is_str(b.s, "content", "a failure leaves the buffer as it was");
	is_int(path_read(work_path("none"), 6, &b, &e), -ENOENT, "path_read: absent");
	is_int(path_read(work_path("d"), 6, &b, &e), -EISDIR, "path_read: a directory");
	buf_clear(&b);
	is_int(path_read("/proc/self/status", 1 << 20, &b, &e), 0, "path_read: a file without a size");
	ok(b.len > 100, "and all of it");
	buf_clear(&b);
	is_int(mkfifo(work_path("d/fifo"), 0600), 0, "mkfifo");
	is_int(path_read(work_path("d/fifo"), 10, &b, &e), 0, "path_read: a FIFO does not hang");
	is_int(path_write(work_path("d/w"), STR_LIT("1234"), 0600, &e), 0, "path_write");
	is_int(path_write(work_path("d/w"), STR_LIT("5"), 0600, &e), 0, "path_write again");
	is_int(path_read(work_path("d/w"), 10, &b, &e), 0, "path_read");
	is_str(b.s, "5", "path_write replaces");
	is_int(path_write(work_path("no/w"), STR_LIT("5"), 0600, &e), -ENOENT, "path_write: no directory");
	is_int(path_write_atomic(work_path("no/w"), STR_LIT("5"), 0600, &e), -ENOENT, "path_write_atomic: same");
	is_int(path_write_atomic(work_path("d/e"), STR_LIT("5"), 0600, &e), -EISDIR,
	       "path_write_atomic: a directory");
	ok(path_exists(work_path("d/w")) && !path_exists(work_path("d/zzz")), "path_exists");
	fd = path_lock(work_path("lock"));
	ok(fd >= 0, "path_lock");
	fd2 = path_lock(work_path("lock"));
	is_int(fd2, -EWOULDBLOCK, "path_lock: held");
	close(fd);
	fd = path_lock(work_path("lock"));
	ok(fd >= 0, "path_lock: free again");
	is_int(fd_set_nonblock(fd, true), 0, "fd_set_nonblock");
	ok(fcntl(fd, F_GETFL) & O_NONBLOCK, "is set");
	is_int(fd_set_cloexec(fd, false), 0, "fd_set_cloexec");
	status = fcntl(fd, F_GETFD);
	ok(!(status & FD_CLOEXEC), "is cleared");
	close(fd);
	is_int(fd_set_cloexec(fd, true), -EBADF, "of a closed one");
}

static void test_path_root(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_close_ int root = -1;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int fd;

	is_int(path_mkdirs(work_path("root/etc"), 0755, &e), 0, "a root");
	is_int(path_write(work_path("root/etc/name"), STR_LIT("inside"), 0644, &e), 0, "a file in it");
	is_int(path_write(work_path("name"), STR_LIT("outside"), 0644, &e), 0, "and one outside");
	ok(symlink("/etc", work_path("root/abs")) == 0 && symlink("../../../..", work_path("root/up")) == 0 &&
		   symlink("/nowhere", work_path("root/dangling")) == 0 &&
		   symlink("/proc/self/root", work_path("root/magic")) == 0,
	   "links that lead out");
	root = open(work_path("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = path_open_in_root(root, "/abs/name", O_RDONLY, 0);
	ok(fd >= 0, "an absolute link stays inside");
	buf_reserve(&b, 64);
	b.len = fd_read_all(fd, b.s, 63);
	b.s[b.len] = '\0';
	is_str(b.s, "inside", "and finds the inner file");
	close_fd(fd);
	is_int(path_open_in_root(root, "up/name", O_RDONLY, 0), -ENOENT, ".. stays inside");
	is_int(path_open_in_root(root, "../../name", O_RDONLY, 0), -ENOENT, "so does a path of them");
	fd = path_open_in_root(root, "up/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
	ok(fd >= 0 && path_exists(work_path("root/new")), "a new file as well");
	close_fd(fd);
	fd = path_mkdirs_in_root(root, "/up/../abs/a/b//c/", 0755);
	ok(fd >= 0 && path_exists(work_path("root/etc/a/b/c")), "path_mkdirs_in_root");
	close_fd(fd);
	fd = path_mkdirs_in_root(root, "x/y", 0755);
	ok(fd >= 0 && path_exists(work_path("root/x/y")), "path_mkdirs_in_root: two new ones");
	close_fd(fd);
	fd = path_mkdirs_in_root(root, "x/./z/../q", 0755);
	ok(fd >= 0 && path_exists(work_path("root/x/q")) && path_exists(work_path("root/x/z")), "dots in it");
	close_fd(fd);
	fd = path_mkdirs_in_root(root, "", 0755);
	ok(fd >= 0, "the root itself");
	close_fd(fd);
	is_int(path_mkdirs_in_root(root, "dangling/x", 0755), -ENOENT, "a dangling link is not followed out");
	is_int(path_mkdirs_in_root(root, "etc/name/x", 0755), -ENOTDIR, "nor a file turned into a directory");
	ok(!path_exists("/nowhere"), "nothing was made outside");
}

static void make_deep_tree(const char *path, int depth)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < depth; i++) {
		int next, file;

		mkdirat(fd, "deep", 0755);
		mkdirat(fd, "side", 0755);
		next = openat(fd, "deep", O_PATH | O_DIRECTORY | O_CLOEXEC);
		file = openat(fd, "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		close_fd(file);
		close_fd(fd);
		fd = next;
	}
}

static void test_path_remove(void)
{
	_cleanup_err_ struct err e = ERR_INIT;

	is_int(path_mkdirs(work_path("gone"), 0755, &e), 0, "a tree");
	is_int(path_mkdirs(work_path("stays"), 0755, &e), 0, "and one beside it");
	is_int(path_write(work_path("stays/data"), STR_LIT("x"), 0600, &e), 0, "with data");
	is_int(symlink("../stays", work_path("gone/link")), 0, "linked from the tree");
	make_deep_tree(work_path("gone"), 500);
	is_int(path_remove_tree(work_path("gone/"), &e), 0, "path_remove_tree, 500 directories deep");
	is_str(err_msg(&e), "", "no error");
	ok(!path_exists(work_path("gone")), "it is gone");
	ok(path_exists(work_path("stays/data")), "links are not followed");
	is_int(path_remove_tree(work_path("gone"), &e), 0, "absent is success");
	is_int(path_remove_tree(work_path("not/there/either"), &e), 0, "so is an absent parent");
	is_int(symlink("stays", work_path("link")), 0, "a link");
	is_int(path_remove_tree(work_path("link"), &e), 0, "is itself removed");
	ok(path_exists(work_path("stays/data")), "and not what it points to");
	is_int(path_remove_tree("/", &e), -EINVAL, "not the root");
	is_int(path_remove_tree(work_path("stays/.."), &e), -EINVAL, "no dots");
	is_int(path_remove_tree(work_path("stays/data"), &e), 0, "a file");
}

/* In a child with a mount namespace of its own; needs root. */
static int remove_across_mounts(void)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return 77;
	if (path_mkdirs(work_path("m/a/vol"), 0755, &e) < 0 || path_mkdirs(work_path("data"), 0755, &e) < 0 ||
	    path_write(work_path("data/precious"), STR_LIT("x"), 0600, &e) < 0)
		return 1;
	if (mount(work_path("data"), work_path("m/a/vol"), NULL, MS_BIND, NULL) < 0)
		return 77;
	if (path_remove_tree(work_path("m"), &e) != -EBUSY || !strstr(err_msg(&e), "/m/a/vol") ||
	    !path_exists(work_path("data/precious")))
		return 2;
	if (path_remove_tree(work_path("m/a/vol"), &e) != -EBUSY || !path_exists(work_path("data/precious")))
		return 3;
	umount2(work_path("m/a/vol"), MNT_DETACH);
	err_release(&e);
	return path_remove_tree(work_path("m"), &e) == 0 && path_exists(work_path("data/precious")) ? 0 : 4;
}

static void test_path_mounts(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(remove_across_mounts());
	waitpid(pid, &status, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		printf("ok %d # SKIP no right to mount here\n", ++tap_n);
	else
		is_int(status, 0, "path_remove_tree stops at a mount point, and removes it when unmounted");
}

/* --- opt --- */

struct opts {
	bool agent, verbose;
	int64_t port;
	char *dir, *name;
	struct opt_list sans;
};

static const struct opt table[] = {
	{ OPT_HEADING, .help = "Cluster" },
	{ OPT_STRING, "data-dir", 'd', offsetof(struct opts, dir), "DIR", "U_BASE_DATA_DIR", "/var/lib/x", 0, 0,
	  "Where state is kept. All of it." },
	{ OPT_INT, "https-listen-port", 0, offsetof(struct opts, port), "PORT", NULL, "6443", 1, 65535,
	  "Port of the API" },
	{ OPT_LIST, "tls-san", 0, offsetof(struct opts, sans), "NAME", "U_BASE_SAN", NULL, 0, 0,
	  "Further names in the certificate, each of which is written into the server's certificate when "
	  "that is made" },
	{ OPT_HEADING, .help = "Other" },
	{ OPT_BOOL, "agent", 'a', offsetof(struct opts, agent), NULL, NULL, "true", 0, 0, "Run an agent" },
	{ OPT_BOOL, "verbose", 'v', offsetof(struct opts, verbose), .help = ".start" },
	{ OPT_STRING, "name", 0, offsetof(struct opts, name), .hidden = true },
	{ OPT_END },
};

static int opt_file(void *ctx, const char *name, struct opt_list *values)
{
	if (!streq(name, "data-dir") && !streq(name, "tls-san"))
		return 0;
	values->v = xcalloc(3, sizeof(char *));
	values->v[values->n++] = xstrdup("/from/file");
	if (streq(name, "tls-san"))
		values->v[values->n++] = xstrdup("b");
	return 1;
}

static char *opt_error(const char *first, const char *second)
{
	_cleanup_err_ struct err e = ERR_INIT;
	char *argv[] = { (char *)"x", (char *)first, (char *)second, NULL };
	int argc = second ? 3 : 2, r;
	struct opts o;
	char *text;

	r = opt_parse(table, &o, &argc, argv, NULL, NULL, &e);
	text = xstrdup(r < 0 ? err_msg(&e) : "");
	opt_release(table, &o);
	return text;
}

static void is_opt_error(const char *first, const char *second, const char *want)
{
	_cleanup_free_ char *got = opt_error(first, second);

	is_str(got, want, first);
}

static void test_opt_parse(void)
{
	char *argv[] = { (char *)"x", (char *)"pos1", (char *)"--https-listen-port=99", (char *)"-va",
			 (char *)"--no-agent", (char *)"--tls-san", (char *)"a, c", (char *)"--tls-san=d", (char *)"-",
			 (char *)"--", (char *)"--verbose", NULL };
	_cleanup_err_ struct err e = ERR_INIT;
	int argc = 11;
	struct opts o;

	is_int(opt_parse(table, &o, &argc, argv, NULL, NULL, &e), 0, "opt_parse");
	ok(o.port == 99 && !o.agent && o.verbose && !o.name, "its values");
	is_str(o.dir, "/var/lib/x", "a default");
	ok(o.sans.n == 3 && streq(o.sans.v[0], "a") && streq(o.sans.v[1], "c") && streq(o.sans.v[2], "d"), "a list");
	ok(argc == 4 && streq(argv[1], "pos1") && streq(argv[2], "-") && streq(argv[3], "--verbose") && !argv[4],
	   "positional arguments");
	opt_release(table, &o);
	argc = 1;
	argv[1] = NULL;
	is_int(opt_parse(table, &o, &argc, argv, opt_file, NULL, &e), 0, "opt_parse with a file");
	ok(streq(o.dir, "/from/file") && o.sans.n == 2 && o.agent, "its values");
	opt_release(table, &o);
	setenv("U_BASE_DATA_DIR", "/from/env", 1);
	setenv("U_BASE_SAN", "e1,e2,e3", 1);
	argc = 3;
	argv[1] = (char *)"--tls-san=z";
	argv[2] = (char *)"--verbose=false";
	is_int(opt_parse(table, &o, &argc, argv, opt_file, NULL, &e), 0, "opt_parse with an environment");
	ok(streq(o.dir, "/from/env") && o.sans.n == 1 && streq(o.sans.v[0], "z"), "argv over environment over file");
	is_str(opt_peek(table, 1, argv, "data-dir"), "/from/env", "opt_peek: environment");
	unsetenv("U_BASE_DATA_DIR");
	unsetenv("U_BASE_SAN");
	is_str(opt_peek(table, 1, argv, "data-dir"), "/var/lib/x", "opt_peek: default");
	argv[1] = (char *)"--tls-san";
	argv[2] = (char *)"--data-dir=no";
	argv[3] = (char *)"-d/y";
	is_str(opt_peek(table, 4, argv, "data-dir"), "/y", "opt_peek: argv");
	is_int(opt_set(table, &o, "https-listen-port", "1", &e), 0, "opt_set");
	is_int(o.port, 1, "its value");
	is_int(opt_set(table, &o, "htps-listen-port", "1", &e), -EINVAL, "opt_set: unknown");
	is_str(err_msg(&e), "unknown option 'htps-listen-port' (did you mean 'https-listen-port'?)", "its text");
	opt_release(table, &o);
	ok(!o.dir && !o.sans.v, "opt_release");
}

static void test_opt_errors(void)
{
	is_opt_error("--data-dri", NULL, "unknown option '--data-dri' (did you mean '--data-dir'?)");
	is_opt_error("--datadir=x", NULL, "unknown option '--datadir' (did you mean '--data-dir'?)");
	is_opt_error("--quite-else", NULL, "unknown option '--quite-else'");
	is_opt_error("-x", NULL, "unknown option '-x'");
	is_opt_error("--nam", NULL, "unknown option '--nam'");
	is_opt_error("--no-data-dir", NULL, "unknown option '--no-data-dir' (did you mean '--data-dir'?)");
	is_opt_error("--data-dir", NULL, "option '--data-dir' needs a value: DIR");
	is_opt_error("-vd", NULL, "option '--data-dir' needs a value: DIR");
	is_opt_error("--https-listen-port", "65536",
		     "option 'https-listen-port': '65536' is out of range (1 to 65535)");
	is_opt_error("--https-listen-port", "99999999999999999999",
		     "option 'https-listen-port': '99999999999999999999' is out of range (1 to 65535)");
	is_opt_error("--https-listen-port=", NULL, "option 'https-listen-port': '' is not a number");
	is_opt_error("--https-listen-port=8o", NULL, "option 'https-listen-port': '8o' is not a number");
	is_opt_error("--agent=maybe", NULL, "option 'agent': 'maybe' is neither true nor false");
	is_int(opt_distance("abcd", "acbd"), 1, "swapped neighbours are one edit");
	is_int(opt_distance("", "abc"), 3, "opt_distance");
	ok(!opt_nearest("x", (const char *const[]){ "server", "agent" }, 2), "opt_nearest: none is near");
	is_str(opt_nearest("serevr", (const char *const[]){ "server", "agent" }, 2), "server", "opt_nearest");
}

static void test_opt_help(void)
{
	_cleanup_buf_ struct buf help = BUF_INIT, mdoc = BUF_INIT;

	opt_print_help(table, &help);
	is_str(help.s,
	       "Cluster:\n"
	       "  -d, --data-dir DIR            Where state is kept. All of it. (default: /var/lib/x)\n"
	       "                                [$U_BASE_DATA_DIR]\n"
	       "      --https-listen-port PORT  Port of the API (default: 6443)\n"
	       "      --tls-san NAME            Further names in the certificate, each of which is written into the\n"
	       "                                server's certificate when that is made [$U_BASE_SAN]\n"
	       "\nOther:\n"
	       "  -a, --agent                   Run an agent (default: true)\n"
	       "  -v, --verbose                 .start\n",
	       "opt_print_help");
	opt_print_mdoc(table, &mdoc);
	is_str(mdoc.s,
	       ".Ss Cluster\n.Bl -tag -width Ds\n"
	       ".It Fl d , Fl -data-dir Ar DIR\nWhere state is kept.\nAll of it.\nThe default is\n"
	       ".Ql \"/var/lib/x\" .\nEnvironment:\n.Ev U_BASE_DATA_DIR .\n"
	       ".It Fl -https-listen-port Ar PORT\nPort of the API.\nThe default is\n.Ql \"6443\" .\n"
	       ".It Fl -tls-san Ar NAME\nFurther names in the certificate, each of which is written into the "
	       "server's certificate when that is made.\nEnvironment:\n.Ev U_BASE_SAN .\n"
	       ".El\n.Ss Other\n.Bl -tag -width Ds\n"
	       ".It Fl a , Fl -agent\nRun an agent.\nThe default is\n.Ql \"true\" .\n"
	       ".It Fl v , Fl -verbose\n\\&.start.\n.El\n",
	       "opt_print_mdoc");
}

int main(int argc, char **argv)
{
	_cleanup_err_ struct err e = ERR_INIT;
	const char *tmp = getenv("TMPDIR");

	if (argc > 1)
		return child_main(argc, argv);
	work = xasprintf("%s/u-base.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(work)) {
		printf("Bail out! no directory for the test\n");
		return 1;
	}
	unsetenv("KINGLET_LOG_FORMAT");
	test_alloc();
	test_arena();
	test_err();
	test_str();
	test_buf();
	test_buf_json();
	test_buf_codecs();
	test_hash();
	test_rand();
	test_map();
	test_time_format();
	test_time_parse();
	test_time_human();
	test_time_go();
	test_log();
	test_loop_timers();
	test_loop_fds();
	test_job();
	test_proc_run();
	test_proc_spawn();
	test_path_files();
	test_path_root();
	test_path_remove();
	test_path_mounts();
	test_opt_parse();
	test_opt_errors();
	test_opt_help();
	is_int(path_remove_tree(work, &e), 0, "cleaned up");
	work_path(NULL);
	free(work);
	return done_testing();
}
