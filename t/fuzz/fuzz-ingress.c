/*
 * The ingress: a request's head, and behind a byte 0 an answer's, on their way
 * through. What goes on reads as exactly one head of the same meaning, says who the
 * client is once, and holds nothing of the connection it came on; a path has one
 * normal form, and the route found is one of the table's that fits it.
 */
#include "fuzz.h"
#include "base/limits.h"
#include "svc/ingress.h"

static const char *const fuzz_ours[] = { "Host", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port",
					 "X-Forwarded-Proto" };
static const char *const fuzz_hops[] = { "Keep-Alive", "TE", "Trailer", "Proxy-Connection", "Expect", "Forwarded",
					 "X-Forwarded-Prefix" };

static size_t fuzz_count(const struct http_head *h, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < h->n_headers; i++) {
		struct str s = h->headers[i].name;
		size_t k = 0;

		while (k < s.n && name[k] && ((s.p[k] == '_' ? '-' : s.p[k]) | 0x20) == (name[k] | 0x20))
			k++;
		count += k == s.n && !name[k];
	}
	return count;
}

/* Connection and Upgrade: as we write them, or not at all. */
static void fuzz_connection(const struct http_head *h, bool upgrade)
{
	struct str v = http_head_get(h, "Connection");

	BUG_ON(upgrade && !str_eqc(v, "upgrade"));
	BUG_ON(v.p && !upgrade && !str_eqc(v, "close") && !str_eqc(v, "keep-alive"));
	BUG_ON(http_head_get(h, "Upgrade").p && !upgrade);
}

/* No header of in that its Connection names is in out. */
static void fuzz_named(const struct http_head *in, const struct http_head *out)
{
	for (size_t i = 0; i < out->n_headers; i++) {
		_cleanup_free_ char *name = str_dup(out->headers[i].name);
		bool ours = str_ieq(out->headers[i].name, STR_LIT("Connection")) || streq(name, "Upgrade") ||
			    streq(name, "Content-Length") || streq(name, "Transfer-Encoding") || streq(name, "Set-Cookie");

		for (size_t k = 0; k < ARRAY_SIZE(fuzz_ours); k++)
			ours |= streq(name, fuzz_ours[k]);
		BUG_ON(!ours && http_head_has_token(in, "Connection", name));
	}
}

static void fuzz_forward(const struct http_head *h, const struct ing_target *t, struct str path_query)
{
	struct ing_forward f = { t, path_query, "192.0.2.7", false, 80, h->chunked || h->content_length > 0 };
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct http_head again;
	int status = 0;
	size_t n;

	ing_head_forward(&out, h, &f);
	if (h->n_headers + 10 > LIMIT_HEADER_COUNT || path_query.n > LIMIT_URL_BYTES)
		return;
	BUG_ON(http1_parse_request(&again, buf_str(&out), &n, &status) != HTTP_DONE || n != out.len);
	BUG_ON(!str_eq(again.method, h->method) || !str_eq(again.target, path_query));
	BUG_ON(again.chunked != h->chunked || again.content_length != h->content_length || again.minor != 1);
	for (size_t i = 0; i < ARRAY_SIZE(fuzz_ours); i++)
		BUG_ON(fuzz_count(&again, fuzz_ours[i]) != 1);
	for (size_t i = 0; i < ARRAY_SIZE(fuzz_hops); i++)
		BUG_ON(fuzz_count(&again, fuzz_hops[i]));
	BUG_ON(!str_eq(http_head_get(&again, "Host"), t->authority));
	BUG_ON(!str_eqc(http_head_get(&again, "X-Forwarded-For"), "192.0.2.7"));
	BUG_ON(again.upgrade != h->upgrade);
	fuzz_connection(&again, h->upgrade);
	fuzz_named(h, &again);
	http_head_release(&again);
}

/* --- the table --- */

static struct ing_backend fuzz_backend;
static struct ing_rule fuzz_rules[] = {
	{ (char *)"a.com", (char *)"/", false, &fuzz_backend },
	{ (char *)"a.com", (char *)"/x", false, &fuzz_backend },
	{ (char *)"a.com", (char *)"/x", true, &fuzz_backend },
	{ (char *)"a.com", (char *)"/x/y/", false, &fuzz_backend },
	{ (char *)"*.a.com", (char *)"/w", false, &fuzz_backend },
	{ (char *)"", (char *)"/any", false, &fuzz_backend },
	{ (char *)"", (char *)"/e%2Fx", true, &fuzz_backend },
};

static void fuzz_fits(const struct ing_route *r, const struct ing_ingress *in, struct str host, struct str path)
{
	struct str rule_host, rule_path;

	if (!r)
		return;
	BUG_ON(r->ingress != in || r->backend != &fuzz_backend || r->rule < fuzz_rules ||
	       r->rule >= fuzz_rules + ARRAY_SIZE(fuzz_rules));
	rule_host = str_of(r->rule->host);
	rule_path = str_n(r->rule->path, r->len);
	if (rule_host.n && rule_host.p[0] == '*')
		BUG_ON(!str_ends(host, str_sub(rule_host, 1, rule_host.n)) || host.n < rule_host.n);
	else if (rule_host.n)
		BUG_ON(!str_eq(host, rule_host));
	BUG_ON(!str_starts(path, rule_path));
	BUG_ON(r->rule->exact && path.n != rule_path.n);
	BUG_ON(path.n > rule_path.n && path.p[rule_path.n] != '/');
}

static const struct ing_route *fuzz_route(struct str host, struct str path, const char **rule_path)
{
	struct ing_ingress in = { .name = (char *)"fuzz" }, *v = &in;
	struct ing_table table;
	const struct ing_route *r;

	for (size_t i = 0; i < ARRAY_SIZE(fuzz_rules); i++)
		VEC_PUSH(&in.rules, fuzz_rules[i]);
	ing_table_build(&table, &v, 1, NULL, NULL);
	r = ing_table_find(&table, host, path);
	if (r) {
		struct ing_route copy = *r;

		copy.rule = fuzz_rules + (r->rule - in.rules.v);
		fuzz_fits(&copy, &in, host, path);
		*rule_path = copy.rule->path;
	}
	ing_table_release(&table);
	VEC_RELEASE(&in.rules);
	return r;
}

static void fuzz_normal(struct str path)
{
	_cleanup_buf_ struct buf again = BUF_INIT;

	BUG_ON(!path.n || path.p[0] != '/');
	for (size_t i = 0; i < path.n; i++) {
		BUG_ON(path.p[i] <= ' ' || path.p[i] >= 0x7f || strchr("?#\"<>\\^`{|}", path.p[i]));
		BUG_ON(path.p[i] == '/' && i + 1 < path.n && path.p[i + 1] == '/');
	}
	BUG_ON(memmem(path.p, path.n, "/../", 4) || memmem(path.p, path.n, "/./", 3));
	BUG_ON(str_ends(path, STR_LIT("/..")) || str_ends(path, STR_LIT("/.")));
	BUG_ON(!ing_path_normalize(&again, path) || !str_eq(buf_str(&again), path));
}

static void fuzz_rewrite(const struct http_head *h, const struct ing_target *t, const char *rule_path)
{
	static const char *const to[] = { "/", "/$2", "/app/$1", "/fixed" };

	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT, path = BUF_INIT;
		struct str target, all;

		ing_rewrite(&b, h, rule_path, to[i]);
		all = buf_str(&b);
		target = str_cut(&all, '?');
		BUG_ON(!ing_path_normalize(&path, target));
		BUG_ON(i == 2 && !str_starts(buf_str(&path), STR_LIT("/app/")));
		fuzz_forward(h, t, buf_str(&b));
	}
}

/* --- an answer --- */

static void fuzz_answer_to(const struct http_head *h, bool to_head, bool old, bool upgrade)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	enum ing_framing framing = ing_head_framing(h, to_head), seen;
	struct ing_answer a = { .old = old, .keep_alive = true, .set_cookie = "c=d; Path=/" };
	struct http_head again;
	size_t n;

	if (h->status == 101 && !upgrade)
		return; /* is no answer */
	ing_answer_frame(&a, h, framing, to_head);
	ing_head_answer(&out, h, &a);
	if (h->n_headers + 4 > LIMIT_HEADER_COUNT)
		return;
	BUG_ON(http1_parse_response(&again, buf_str(&out), &n) != HTTP_DONE || n != out.len);
	BUG_ON(again.status != h->status || !str_eq(again.reason, h->reason));
	seen = ing_head_framing(&again, to_head);
	BUG_ON(framing == ING_NO_BODY && seen != ING_NO_BODY);
	BUG_ON(framing == ING_LENGTH && (seen != ING_LENGTH || again.content_length != h->content_length));
	BUG_ON((framing == ING_CHUNKED || framing == ING_TO_END) && seen != (old ? ING_TO_END : ING_CHUNKED));
	BUG_ON(seen == ING_TO_END && again.keep_alive);
	BUG_ON(fuzz_count(&again, "Keep-Alive") || fuzz_count(&again, "Trailer"));
	if (h->status == 101)
		BUG_ON(!str_eqc(http_head_get(&again, "Connection"), "upgrade"));
	else
		fuzz_connection(&again, false);
	fuzz_named(h, &again);
	http_head_release(&again);
}

static void fuzz_answer(struct str in, bool upgrade)
{
	struct http_head h;
	size_t n;

	if (http1_parse_response(&h, in, &n) != HTTP_DONE)
		return;
	for (int i = 0; i < 4; i++)
		fuzz_answer_to(&h, i & 1, i & 2, upgrade);
	http_head_release(&h);
}

static void fuzz_cookie(const struct http_head *h, struct str path)
{
	_cleanup_buf_ struct buf b = BUF_INIT, head = BUF_INIT;
	_cleanup_free_ char *text = str_dup(path);
	struct ing_settings s;
	struct http_head again;
	uint64_t mark = 0;
	int status;
	size_t n;

	ing_cookie_mark(h, "INGRESSCOOKIE", &mark);
	ing_settings_init(&s);
	ing_cookie_print(&b, &s, mark, text, 0);
	BUG_ON(memchr(b.s, '\r', b.len) || memchr(b.s, '\n', b.len));
	buf_addf(&head, "GET / HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n", b.s);
	BUG_ON(http1_parse_request(&again, buf_str(&head), &n, &status) != HTTP_DONE);
	BUG_ON(!ing_cookie_mark(&again, "INGRESSCOOKIE", &(uint64_t){ 0 }));
	http_head_release(&again);
	ing_settings_release(&s);
}

/* True: it is one that goes on, and asks for an upgrade. */
static bool fuzz_request(struct str in)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	const char *rule_path = "/";
	struct ing_target t;
	struct http_head h;
	int status = 0;
	bool upgrade;
	size_t n;

	if (http1_parse_request(&h, in, &n, &status) != HTTP_DONE)
		return false;
	h.upgrade = upgrade = ing_head_upgrades(&h);
	fuzz_cookie(&h, h.path);
	if (!ing_head_check(&t, &h) && ing_path_normalize(&path, h.path)) {
		fuzz_normal(buf_str(&path));
		fuzz_route(str_of(t.host), buf_str(&path), &rule_path);
		fuzz_forward(&h, &t, str_n(h.path.p, h.path.n + (h.query.p ? h.query.n + 1 : 0)));
		fuzz_rewrite(&h, &t, rule_path);
	}
	http_head_release(&h);
	return upgrade;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), request;
	bool upgrade;

	request = str_cut(&rest, '\0');
	upgrade = fuzz_request(request);
	if (rest.p)
		fuzz_answer(rest, upgrade);
	return 0;
}
