/*
 * Unit tests of src/base: all that needs no loop, child or file (u-base-sys.c has those).
 */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/opt.h"
#include "base/rand.h"
#include "base/time.h"
#include "base/vec.h"

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

int main(void)
{
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
	test_opt_parse();
	test_opt_errors();
	test_opt_help();
	return done_testing();
}
