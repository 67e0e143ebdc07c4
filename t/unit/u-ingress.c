/*
 * The ingress without sockets: whose path it is, what goes on to an endpoint and
 * what comes back from one, cookies, annotations.
 */
#include <stdlib.h>

#include "obj/obj.h"
#include "svc/ingress.h"
#include "tap.h"

static char got[8192];

static const char *show(const struct buf *b)
{
	snprintf(got, sizeof(got), "%s", b->s ? b->s : "");
	return got;
}

/* --- the table --- */

static struct ing_table table;
static struct ing_ingress *ings[8];
static size_t n_ings;
static struct ing_backend backends[32];
static size_t n_backends;
static char lost[200];

static struct ing_backend *backend(const char *name)
{
	for (size_t i = 0; i < n_backends; i++)
		if (streq(backends[i].key, name))
			return &backends[i];
	backends[n_backends].key = xstrdup(name);
	return &backends[n_backends++];
}

/* "foo.com/path P backend", P or E; "default backend" */
static void add_rule(struct ing_ingress *in, const char *text)
{
	char where[100], type[8], name[20];
	_cleanup_buf_ struct buf path = BUF_INIT;
	const char *slash;

	if (sscanf(text, " default %19s", name) == 1) {
		in->fallback = backend(name);
		return;
	}
	if (sscanf(text, "%99s %7s %19s", where, type, name) != 3)
		return;
	slash = strchr(where, '/');
	if (!ing_path_normalize(&path, str_of(slash)))
		buf_adds(&path, slash);
	VEC_PUSH(&in->rules, ((struct ing_rule){ str_dup(str_n(where, (size_t)(slash - where))), buf_detach(&path, NULL),
						 *type == 'E', backend(name) }));
}

static void on_lost(void *arg UNUSED, struct ing_ingress *who, const struct ing_rule *r, const struct ing_ingress *to)
{
	size_t n = strlen(lost);

	snprintf(lost + n, sizeof(lost) - n, "%s%s %s%s to %s", n ? ", " : "", who->name, r->host, r->path, to->name);
}

static void clear(void)
{
	if (table.hosts)
		ing_table_release(&table);
	for (size_t i = 0; i < n_ings; i++) {
		for (size_t k = 0; k < ings[i]->rules.n; k++) {
			free(ings[i]->rules.v[k].host);
			free(ings[i]->rules.v[k].path);
		}
		VEC_RELEASE(&ings[i]->rules);
		free(ings[i]->name);
		free(ings[i]);
	}
	for (size_t i = 0; i < n_backends; i++)
		free(backends[i].key);
	n_ings = n_backends = 0;
	lost[0] = '\0';
}

/* Rules by ';', Ingresses by '|', the oldest first: 0, 1... */
static void make(const char *text)
{
	struct str all = str_of(text);

	clear();
	while (all.p) {
		struct str one = str_cut(&all, '|');
		struct ing_ingress *in = xcalloc(1, sizeof(*in));

		in->name = xasprintf("%zu", n_ings);
		ings[n_ings++] = in;
		while (one.p) {
			_cleanup_free_ char *rule = str_dup(str_cut(&one, ';'));

			add_rule(in, rule);
		}
	}
	ing_table_build(&table, ings, n_ings, on_lost, NULL);
}

/* The backend; "-": nobody's; "!": no path. */
static const char *find(const char *host, const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct ing_route *r;

	if (!ing_path_normalize(&b, str_of(path)))
		return "!";
	r = ing_table_find(&table, str_of(host), buf_str(&b));
	return r ? r->backend->key : "-";
}

/* The table of Kubernetes' documentation: "Ingress", "Examples" of path types. */
static void test_documented(void)
{
	static const struct {
		const char *rules, *path, *want;
	} rows[] = {
		{ "/ P a", "/", "a" },
		{ "/ P a", "/any/thing", "a" },
		{ "/foo E a", "/foo", "a" },
		{ "/foo E a", "/bar", "-" },
		{ "/foo E a", "/foo/", "-" },
		{ "/foo/ E a", "/foo", "-" },
		{ "/foo/ E a", "/foo/", "a" },
		{ "/foo P a", "/foo", "a" },
		{ "/foo P a", "/foo/", "a" },
		{ "/foo/ P a", "/foo", "a" },
		{ "/foo/ P a", "/foo/", "a" },
		{ "/aaa/bb P a", "/aaa/bbb", "-" },
		{ "/aaa/bbb P a", "/aaa/bbb", "a" },
		{ "/aaa/bbb/ P a", "/aaa/bbb", "a" },
		{ "/aaa/bbb P a", "/aaa/bbb/", "a" },
		{ "/aaa/bbb P a", "/aaa/bbb/ccc", "a" },
		{ "/aaa/bbb P a", "/aaa/bbbxyz", "-" },
		{ "/ P a; /aaa P b", "/aaa/ccc", "b" },
		{ "/ P a; /aaa P b; /aaa/bbb P c", "/aaa/bbb", "c" },
		{ "/ P a; /aaa P b; /aaa/bbb P c", "/ccc", "a" },
		{ "/aaa P a; default d", "/ccc", "d" },
		{ "/foo P a; /foo E b", "/foo", "b" },
		{ "/foo E b; /foo P a", "/foo", "b" },
		{ "/foo P a; /foo E b", "/foo/x", "a" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char what[120];

		make(rows[i].rules);
		snprintf(what, sizeof(what), "%s asked for %s", rows[i].rules, rows[i].path);
		is_str(find("x.org", rows[i].path), rows[i].want, what);
	}
}

static void test_hosts(void)
{
	make("*.foo.com/ P wild; bar.foo.com/b P bar; /any P none");
	is_str(find("bar.foo.com", "/b"), "bar", "a host by its name");
	is_str(find("bar.foo.com", "/c"), "wild", "what no path of it takes, the wildcard does");
	is_str(find("x.foo.com", "/any"), "wild", "a wildcard before rules without a host");
	is_str(find("baz.bar.foo.com", "/"), "-", "a wildcard is one label");
	is_str(find("baz.bar.foo.com", "/any"), "none", "a rule without a host is for all");
	is_str(find("foo.com", "/"), "-", "a wildcard is at least one label");
	is_str(find(".foo.com", "/"), "-", "and not an empty one");
	is_str(find("*.foo.com", "/"), "wild", "a client may say a star: it is a label");
	is_str(find("", "/any"), "none", "no host at all");
	is_str(find("", "/"), "-", "no host and no path");

	make("a.com/x P a; default da | b.com/y P b | default all | default late");
	is_str(find("a.com", "/x/1"), "a", "a path before the default");
	is_str(find("a.com", "/z"), "da", "an Ingress's default has the rest of its hosts");
	is_str(find("b.com", "/z"), "all", "an Ingress without rules has what is nobody's, the oldest");
	is_str(find("c.com", "/"), "all", "of any host");
	clear();
	make("");
	is_str(find("a.com", "/"), "-", "nothing has nothing");
}

static void test_order(void)
{
	make("a.com/p P old | a.com/p P new; a.com/p/q P mine | a.com/p/ P last; a.com/p E exact");
	is_str(find("a.com", "/p"), "exact", "the same path as Exact is another rule");
	is_str(find("a.com", "/p/x"), "old", "the oldest has a path");
	is_str(find("a.com", "/p/q/r"), "mine", "a longer one is another's");
	is_str(lost, "1 a.com/p to 0, 2 a.com/p/ to 0", "who came second is told");
	make("/a/b/c P three; /a P one; /a/b P two; /a/b E exact; /a/b/ E slash");
	is_str(find("", "/a/b"), "exact", "Exact before Prefix of that length");
	is_str(find("", "/a/b/"), "slash", "a final slash counts for Exact");
	is_str(find("", "/a/b/x"), "two", "the longest that fits");
	is_str(find("", "/a/b/c/d"), "three", "the longest of all");
	is_str(find("", "/A/b"), "-", "case counts");
}

static void test_normalize(void)
{
	static const struct {
		const char *path, *want; /* NULL: none */
	} rows[] = {
		{ "/", "/" },
		{ "/a//b///", "/a/b/" },
		{ "//", "/" },
		{ "/a/./b", "/a/b" },
		{ "/a/.", "/a/" },
		{ "/a/b/..", "/a/" },
		{ "/a/b/../", "/a/" },
		{ "/a/..", "/" },
		{ "/..", NULL },
		{ "/a/../..", NULL },
		{ "/a/%2e%2e/b", "/b" },
		{ "/a/.%2E/b", "/b" },
		{ "/%2e%2e/b", NULL },
		{ "/a/...", "/a/..." },
		{ "/.well-known/x", "/.well-known/x" },
		{ "/%61dmin", "/admin" },
		{ "/a%2fb", "/a%2Fb" },
		{ "/a%2F..%2fb", "/a%2F..%2Fb" },
		{ "/a%252Fb", "/a%252Fb" },
		{ "/a%2525", "/a%2525" },
		{ "/%3A%40;%3b", "/:@;;" },
		{ "/a%0d%0ab", "/a%0D%0Ab" },
		{ "/\xc3\xa4", "/%C3%A4" },
		{ "/%c3%A4", "/%C3%A4" },
		{ "/a\"b", "/a%22b" },
		{ "/a%00b", NULL },
		{ "/a%", NULL },
		{ "/a%2", NULL },
		{ "/a%2g", NULL },
		{ "a", NULL },
		{ "*", NULL },
		{ "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT, again = BUF_INIT;
		bool good = ing_path_normalize(&b, str_of(rows[i].path));

		is_str(good ? show(&b) : NULL, rows[i].want, rows[i].path);
		if (good)
			ok(ing_path_normalize(&again, buf_str(&b)) && str_eq(buf_str(&again), buf_str(&b)),
			   "and again it is the same");
	}
	make("/public P pub; /admin P adm; /a%2Fb E enc; /s%70ace%20d P space");
	is_str(find("", "/public/../admin"), "adm", "dots are resolved before a rule is looked for");
	is_str(find("", "/public/%2e%2e/admin/x"), "adm", "encoded ones too");
	is_str(find("", "//admin"), "adm", "slashes twice");
	is_str(find("", "/%61dmin"), "adm", "letters encoded");
	is_str(find("", "/public%2f..%2fadmin"), "-", "an encoded slash separates nothing");
	is_str(find("", "/a%2fb"), "enc", "it is found as it is");
	is_str(find("", "/a/b"), "-", "and is no slash");
	is_str(find("", "/a%252Fb"), "-", "nor one that is encoded twice");
	is_str(find("", "/space%20d/x"), "space", "a rule's own escapes");
}

/* --- requests --- */

/* What goes on to the endpoint; or the status that is answered, "more". */
static const char *forward_tls(const char *head, bool tls)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct ing_target t;
	struct http_head h;
	int status = 0;
	size_t n;

	switch (http1_parse_request(&h, str_of(head), &n, &status)) {
	case HTTP_MORE:
		return "more";
	case HTTP_BAD:
		break;
	case HTTP_DONE:
		h.upgrade = ing_head_upgrades(&h);
		status = ing_head_check(&t, &h);
		if (!status) {
			struct ing_forward f = { &t, h.path, "192.0.2.7", tls, tls ? 443 : 80,
						 h.chunked || h.content_length > 0 };

			ing_head_forward(&b, &h, &f);
		}
		http_head_release(&h);
	}
	if (status)
		buf_addf(&b, "%d", status);
	return show(&b);
}

static const char *forward(const char *head)
{
	return forward_tls(head, false);
}

#define OURS(host) \
	"X-Real-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: " host \
	"\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: http\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define HOST GET "Host: a.com\r\n"

static void test_forward(void)
{
	is_str(forward(HOST "Accept: */*\r\n\r\n"), HOST OURS("a.com") "Accept: */*\r\n\r\n", "a plain request");
	is_str(forward_tls(GET "Host: A.com:8443\r\n\r\n", true),
	       GET "Host: A.com:8443\r\nX-Real-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7\r\n"
		   "X-Forwarded-Host: A.com:8443\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https\r\n\r\n",
	       "over TLS, to a port");
	is_str(forward("GET / HTTP/1.0\r\n\r\n"), GET "Host: \r\n" OURS("") "\r\n", "HTTP/1.0 without a Host");
	is_str(forward(HOST "Connection: keep-alive\r\nKeep-Alive: 5\r\nTE: trailers\r\nTrailer: X\r\n"
			    "Proxy-Connection: close\r\nUpgrade: x\r\n\r\n"),
	       HOST OURS("a.com") "\r\n", "what is of one connection stays behind");
	is_str(forward(HOST "Connection: close, X-Mine,Cookie\r\nX-Mine: 1\r\nCookie: a=b\r\nX-Other: 2\r\n\r\n"),
	       HOST OURS("a.com") "X-Other: 2\r\n\r\n", "and what Connection names");
	is_str(forward(HOST "Connection: x-forwarded-for, host, content-length\r\nContent-Length: 3\r\n\r\n"),
	       HOST "Content-Length: 3\r\n" OURS("a.com") "\r\n", "which cannot take away what we say");
	is_str(forward(HOST "X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\nX-Forwarded_Proto: https\r\n"
			    "X-Real_IP: 6.6.6.6\r\nX-Forwarded-Prefix: /evil\r\nX_FORWARDED_SSL: on\r\n"
			    "Forwarded: for=6.6.6.6\r\nX-Scheme: https\r\nX-Forwarded: kept\r\n\r\n"),
	       HOST OURS("a.com") "X-Forwarded: kept\r\n\r\n", "a client does not say who it is, in no spelling");
	is_str(forward("POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 0007\r\nExpect: 100-continue\r\n\r\n"),
	       "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 7\r\n" OURS("a.com") "\r\n", "a length is written anew");
	is_str(forward("POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: Chunked\r\n\r\n"),
	       "POST / HTTP/1.1\r\nHost: a.com\r\nTransfer-Encoding: chunked\r\n" OURS("a.com") "\r\n", "so is chunked");
	is_str(forward("POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 0\r\n\r\n"),
	       "POST / HTTP/1.1\r\nHost: a.com\r\nContent-Length: 0\r\n" OURS("a.com") "\r\n", "an empty body stays one");
	is_str(forward(HOST "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"),
	       HOST "Connection: upgrade\r\nUpgrade: websocket\r\n" OURS("a.com") "Sec-WebSocket-Version: 13\r\n\r\n",
	       "an upgrade goes on");
	is_str(forward(HOST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"),
	       HOST OURS("a.com") "\r\n", "HTTP/2 in disguise does not");
	is_str(forward(HOST "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n"),
	       HOST "Content-Length: 2\r\n" OURS("a.com") "\r\n", "nor one with a body");
	is_str(forward("GET http://b.com:81/x HTTP/1.1\r\nHost: a.com\r\n\r\n"),
	       "GET /x HTTP/1.1\r\nHost: b.com:81\r\n" OURS("b.com:81") "\r\n", "an absolute target is the Host");
}

static void test_long_connection(void)
{
	_cleanup_buf_ struct buf in = BUF_INIT;
	char name[201];

	memset(name, 'x', 200);
	name[200] = '\0';
	buf_addf(&in, HOST "Connection: %s\r\n%s: 1\r\n\r\n", name, name);
	is_str(forward(in.s), HOST OURS("a.com") "\r\n", "a long name that Connection names");
}

static void test_refused(void)
{
	static const struct {
		const char *head, *want, *what;
	} rows[] = {
		{ HOST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "400", "two lengths" },
		{ HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "400", "the same one twice" },
		{ HOST "Content-Length: 1, 1\r\n\r\n", "400", "a list of lengths" },
		{ HOST "Content-Length: +1\r\n\r\n", "400", "a sign" },
		{ HOST "Content-Length: 0x1\r\n\r\n", "400", "hex" },
		{ HOST "Content-Length:\r\n\r\n", "400", "an empty length" },
		{ HOST "Content-Length: 99999999999999999999\r\n\r\n", "413", "a length beyond numbers" },
		{ HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400", "length and chunked" },
		{ HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400", "chunked twice" },
		{ HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", "501", "another coding" },
		{ HOST "Transfer-Encoding: identity\r\n\r\n", "501", "identity" },
		{ HOST "Transfer-Encoding: \x0b" "chunked\r\n\r\n", "400", "a control before chunked" },
		{ "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400", "chunked in HTTP/1.0" },
		{ HOST "A: b\nC: d\r\n\r\n", "400", "a bare LF" },
		{ HOST "A: b\rC: d\r\n\r\n", "400", "a bare CR" },
		{ "GET / HTTP/1.1\nHost: a.com\n\n\r\n\r\n", "400", "lines of LF" },
		{ HOST "A: b\r\n folded\r\n\r\n", "400", "a folded line" },
		{ HOST "A : b\r\n\r\n", "400", "a space before the colon" },
		{ HOST " A: b\r\n\r\n", "400", "a space before the name" },
		{ HOST ": b\r\n\r\n", "400", "no name" },
		{ HOST "A\r\n\r\n", "400", "no colon" },
		{ HOST "Host: b.com\r\n\r\n", "400", "two hosts" },
		{ GET "\r\n", "400", "no host" },
		{ GET "Host: a b\r\n\r\n", "400", "a space in the host" },
		{ GET "Host: u@a.com\r\n\r\n", "400", "a user in the host" },
		{ GET "Host: a.com/x\r\n\r\n", "400", "a slash in the host" },
		{ GET "Host: a.com:http\r\n\r\n", "400", "a port that is no number" },
		{ GET "Host: a.com:123456\r\n\r\n", "400", "a port that is too long" },
		{ GET "Host: [::1\r\n\r\n", "400", "an open bracket" },
		{ GET "Host: [::1]x\r\n\r\n", "400", "text after a bracket" },
		{ "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400", "two spaces" },
		{ "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400", "a space in the target" },
		{ "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400", "a fragment" },
		{ "GET a HTTP/1.1\r\nHost: a\r\n\r\n", "400", "a relative target" },
		{ "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400", "another scheme" },
		{ "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "400", "an absolute target without a host" },
		{ "GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", "400", "one with a user" },
		{ "GET http://a?x=/y HTTP/1.1\r\nHost: a\r\n\r\n", "400", "one without a path" },
		{ "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "400", "CONNECT" },
		{ "CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", "405", "CONNECT to a path" },
		{ "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505", "HTTP/2" },
		{ "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400", "a space after the version" },
		{ HOST "A: \x01\r\n\r\n", "400", "a control in a value" },
		{ HOST "A: b\r\n", "more", "an unfinished head" },
	};
	static const char nul[] = HOST "A: b\0c\r\n\r\n";
	struct http_head h;
	int status = 0;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		is_str(forward(rows[i].head), rows[i].want, rows[i].what);
	ok(http1_parse_request(&h, str_n(nul, sizeof(nul) - 1), &n, &status) == HTTP_BAD && status == 400, "a NUL");
}

static void test_target(void)
{
	static const struct {
		const char *host, *want, *port;
	} rows[] = {
		{ "Foo.COM", "foo.com", "" },
		{ "foo.com.", "foo.com", "" },
		{ "foo.com.:8080", "foo.com", "8080" },
		{ "foo.com:", "foo.com", "" },
		{ "[FD00::1]:80", "[fd00::1]", "80" },
		{ "10.0.0.1", "10.0.0.1", "" },
		{ "", "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *text = xasprintf(GET "Host: %s\r\n\r\n", rows[i].host);
		struct ing_target t;
		struct http_head h;
		int status;
		size_t n;

		ok(http1_parse_request(&h, str_of(text), &n, &status) == HTTP_DONE && !ing_head_check(&t, &h), rows[i].host);
		is_str(t.host, rows[i].want, "its name");
		ok(str_eqc(t.port, rows[i].port), "its port");
		http_head_release(&h);
	}
}

/* --- answers --- */

enum { TO_GET, TO_HEAD, TO_OLD };

/* "L ", how the body comes (None, Length, Chunked, To the end), and what goes to the client. */
static const char *answer_cookie(const char *head, int to, const char *cookie)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct ing_answer a = { .old = to == TO_OLD, .keep_alive = true, .set_cookie = cookie };
	enum ing_framing f;
	struct http_head h;
	size_t n;

	switch (http1_parse_response(&h, str_of(head), &n)) {
	case HTTP_MORE:
		return "more";
	case HTTP_BAD:
		return "bad";
	case HTTP_DONE:
		break;
	}
	f = ing_head_framing(&h, to == TO_HEAD);
	buf_addf(&b, "%c ", "NLCT"[f]);
	ing_answer_frame(&a, &h, f, to == TO_HEAD);
	ing_head_answer(&b, &h, &a);
	http_head_release(&h);
	return show(&b);
}

static const char *answer(const char *head, int to)
{
	return answer_cookie(head, to, NULL);
}

#define OK200 "HTTP/1.1 200 OK\r\n"

static void test_answers(void)
{
	is_str(answer(OK200 "Content-Length: 3\r\nServer: x\r\n\r\n", TO_GET),
	       "L " OK200 "Server: x\r\nContent-Length: 3\r\n\r\n", "a length");
	is_str(answer(OK200 "Content-Length: 0\r\n\r\n", TO_GET), "N " OK200 "Content-Length: 0\r\n\r\n", "an empty body");
	is_str(answer(OK200 "Transfer-Encoding: chunked\r\n\r\n", TO_GET), "C " OK200 "Transfer-Encoding: chunked\r\n\r\n",
	       "chunked");
	is_str(answer(OK200 "\r\n", TO_GET), "T " OK200 "Transfer-Encoding: chunked\r\n\r\n", "up to the end, as chunks");
	is_str(answer("HTTP/1.0 200\r\n\r\n", TO_GET), "T HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n",
	       "from HTTP/1.0, without a reason");
	is_str(answer(OK200 "\r\n", TO_OLD), "T " OK200 "Connection: close\r\n\r\n", "to HTTP/1.0 up to the end");
	is_str(answer(OK200 "Transfer-Encoding: chunked\r\n\r\n", TO_OLD), "C " OK200 "Connection: close\r\n\r\n",
	       "chunks to HTTP/1.0");
	is_str(answer(OK200 "Content-Length: 1\r\n\r\n", TO_OLD),
	       "L " OK200 "Content-Length: 1\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.0 is told that it stays");
	is_str(answer(OK200 "Content-Length: 5\r\n\r\n", TO_HEAD), "N " OK200 "Content-Length: 5\r\n\r\n",
	       "to HEAD the length is kept");
	is_str(answer(OK200 "Transfer-Encoding: chunked\r\n\r\n", TO_HEAD), "N " OK200 "\r\n", "to HEAD there are no chunks");
	is_str(answer("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", TO_GET), "N HTTP/1.1 204 No Content\r\n\r\n",
	       "204 has no length");
	is_str(answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n", TO_GET),
	       "N HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n", "304 keeps its");
	is_str(answer("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", TO_GET), "N HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
	       "only news");
	is_str(answer("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", TO_GET),
	       "N HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "an upgrade");
	is_str(answer(OK200 "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nContent-Length: 1\r\n\r\n", TO_GET),
	       "L " OK200 "Content-Length: 1\r\n\r\n", "what is of the endpoint's connection stays behind");
	is_str(answer_cookie(OK200 "Content-Length: 1\r\nSet-Cookie: a=b\r\n\r\n", TO_GET, "c=d"),
	       "L " OK200 "Set-Cookie: a=b\r\nContent-Length: 1\r\nSet-Cookie: c=d\r\n\r\n", "our cookie besides its own");
}

static void test_bad_answers(void)
{
	static const struct {
		const char *head, *want;
	} rows[] = {
		{ "garbage\r\n\r\n", "bad" },
		{ "SSH-2.0-OpenSSH_9\r\n", "bad" },
		{ "\x15\x03\x01\x01\x02\x02\x16", "bad" },
		{ "HTTP/1.1 2x0 OK\r\n\r\n", "bad" },
		{ "HTTP/1.1 099 OK\r\n\r\n", "bad" },
		{ "HTTP/1.1 2000 OK\r\n\r\n", "bad" },
		{ "HTTP/2.0 200 OK\r\n\r\n", "bad" },
		{ "HTTP/1.1\r\n\r\n", "bad" },
		{ OK200 "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "bad" },
		{ OK200 "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "bad" },
		{ OK200 "Content-Length: -1\r\n\r\n", "bad" },
		{ OK200 "A: b\n\r\n\r\n", "bad" },
		{ OK200 " folded\r\n\r\n", "bad" },
		{ OK200 "A: b\r\n", "more" },
		{ "", "more" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		is_str(answer(rows[i].head, TO_GET), rows[i].want, "what is no answer");
}

/* --- cookies, rewriting --- */

static bool mark_of(const char *cookie, uint64_t *mark)
{
	_cleanup_free_ char *text = xasprintf(HOST "%s\r\n\r\n", cookie);
	struct http_head h;
	int status;
	size_t n;
	bool found;

	if (http1_parse_request(&h, str_of(text), &n, &status) != HTTP_DONE)
		return false;
	found = ing_cookie_mark(&h, "route", mark);
	http_head_release(&h);
	return found;
}

static void test_cookies(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct ing_settings s;
	uint64_t m = 0;

	ok(mark_of("Cookie: a=b; route=00000000000000ff; c=d", &m) && m == 255, "a mark among others");
	ok(mark_of("cookie: a=b\r\nCookie: route=fedcba9876543210", &m) && m == 0xfedcba9876543210, "in a second header");
	ok(mark_of("Cookie: route=x; route=0000000000000001", &m) && m == 1, "the first that is one");
	ok(!mark_of("Cookie: Route=00000000000000ff", &m), "its name's case counts");
	ok(!mark_of("Cookie: route=00000000000000FF", &m), "so do its digits'");
	ok(!mark_of("Cookie: route=ff", &m) && !mark_of("Cookie: route=00000000000000ff0", &m), "and its length");
	ok(!mark_of("Cookie: route", &m) && !mark_of("Cookie: ;;=;", &m) && !mark_of("A: b", &m), "none");

	ing_settings_init(&s);
	ing_cookie_print(&b, &s, 255, "/a", 0);
	is_str(show(&b), "INGRESSCOOKIE=00000000000000ff; Path=/a; HttpOnly", "a cookie as it is without annotations");
	buf_clear(&b);
	ing_cookie_print(&b, &s, 255, "/a\r\nX: y", 0);
	is_str(show(&b), "INGRESSCOOKIE=00000000000000ff; Path=/; HttpOnly", "no path ends the header");
	buf_clear(&b);
	ing_cookie_print(&b, &s, 255, "/a;Domain=com", 0);
	is_str(show(&b), "INGRESSCOOKIE=00000000000000ff; Path=/; HttpOnly", "or the attribute");
	buf_clear(&b);
	s.cookie_name = xstrdup("route");
	s.cookie_path = xstrdup("/all");
	s.cookie_samesite = xstrdup("Lax");
	s.cookie_secure = true;
	s.cookie_http_only = false;
	s.cookie_max_age_s = 60;
	s.cookie_expires_s = 60;
	ing_cookie_print(&b, &s, 1, "/a", 0);
	is_str(show(&b), "route=0000000000000001; Path=/all; Max-Age=60; Expires=Thu, 01 Jan 1970 00:01:00 GMT; SameSite=Lax; Secure",
	       "a cookie with all that can be said");
	ing_settings_release(&s);
}

static const char *rewrite(const char *target, const char *rule, const char *to)
{
	_cleanup_free_ char *text = xasprintf("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct http_head h;
	int status;
	size_t n;

	if (http1_parse_request(&h, str_of(text), &n, &status) != HTTP_DONE)
		return "bad";
	ing_rewrite(&b, &h, rule, to);
	http_head_release(&h);
	return show(&b);
}

static void test_rewrite(void)
{
	is_str(rewrite("/x/a?q=1", "/x", "/"), "/?q=1", "to a fixed path");
	is_str(rewrite("/x/a/b?q", "/x", "/$2"), "/a/b?q", "the rest");
	is_str(rewrite("/x/a", "/x/", "/app/$1"), "/app/a", "below a path");
	is_str(rewrite("/x", "/x", "/$2"), "/", "nothing is left");
	is_str(rewrite("/x/", "/x", "/app/$2"), "/app/", "a slash is left");
	is_str(rewrite("/a/b", "/", "/app/$1"), "/app/a/b", "all of it");
	is_str(rewrite("/x/q/../../x/b", "/x", "/app/$2"), "/app/b", "dots do not lead out of it");
	is_str(rewrite("//x/%2e/%61", "/x", "/app/$2"), "/app/a", "another spelling of the rule's path");
	is_str(rewrite("/x/a%2f..%2fb%20c", "/x", "/app/$2"), "/app/a%2F..%2Fb%20c", "what is encoded stays so");
}

/* --- annotations --- */

static char bad[400];

static void on_bad(void *arg UNUSED, const char *name, const char *why)
{
	size_t n = strlen(bad);

	snprintf(bad + n, sizeof(bad) - n, "%s%s %s", n ? ", " : "", strchr(name, '/') + 1, why);
}

/* A name without a slash is nginx's. */
static void annotate_of(struct ing_settings *s, bool service, const char *name, const char *value)
{
	_cleanup_free_ char *json =
		xasprintf("{\"metadata\":{\"name\":\"a\",\"namespace\":\"b\",\"annotations\":{\"%s%s\":\"%s\"}}}",
			  strchr(name, '/') ? "" : "nginx.ingress.kubernetes.io/", name, value);
	struct err e = ERR_INIT;
	struct obj *o = obj_from_json(schema_res("networking.k8s.io", "ingresses"), str_of(json), &e);

	bad[0] = '\0';
	ing_settings_init(s);
	if (!o)
		printf("# %s\n", err_msg(&e));
	else if (service)
		ing_settings_read_service(s, obj_node(o), on_bad, NULL);
	else
		ing_settings_read(s, obj_node(o), on_bad, NULL);
	obj_unref(o);
	err_release(&e);
}

static void test_numbers(void)
{
	static const struct {
		const char *name, *value;
		size_t off;
		int64_t want; /* -1: no good, and nothing is changed */
	} rows[] = {
#define N(name, value, m, want) { name, value, offsetof(struct ing_settings, m), want }
		N("proxy-body-size", "8m", body_max, 8 << 20),
		N("proxy-body-size", " 1K ", body_max, 1024),
		N("proxy-body-size", "2g", body_max, 2LL << 30),
		N("proxy-body-size", "100", body_max, 100),
		N("proxy-body-size", "0", body_max, 0),
		N("proxy-body-size", "", body_max, -1),
		N("proxy-body-size", "m", body_max, -1),
		N("proxy-body-size", "8mb", body_max, -1),
		N("proxy-body-size", "-8m", body_max, -1),
		N("proxy-body-size", "9223372036854775807g", body_max, -1),
		N("proxy-connect-timeout", "3", connect_ms, 3000),
		N("proxy-read-timeout", "90s", read_ms, 90000),
		N("proxy-send-timeout", "1", send_ms, 1000),
		N("proxy-read-timeout", "0", read_ms, -1),
		N("proxy-read-timeout", "s", read_ms, -1),
		N("proxy-read-timeout", "1m", read_ms, -1),
		N("proxy-read-timeout", "99999999", read_ms, -1),
		N("limit-rps", "5", rps, 5),
		N("limit-rpm", "1000000", rpm, 1000000),
		N("limit-connections", "1", connections, 1),
		N("limit-rps", "0", rps, -1),
		N("limit-rps", "-1", rps, -1),
		N("limit-rps", "1.5", rps, -1),
		N("limit-rps", "1000001", rps, -1),
		N("session-cookie-max-age", "172800", cookie_max_age_s, 172800),
		N("session-cookie-expires", "never", cookie_expires_s, -1),
#undef N
	};
	struct ing_settings s, plain;

	ing_settings_init(&plain);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char what[100];

		annotate_of(&s, false, rows[i].name, rows[i].value);
		snprintf(what, sizeof(what), "%s: \"%s\"", rows[i].name, rows[i].value);
		is_int(*(int64_t *)(void *)((char *)&s + rows[i].off),
		       rows[i].want >= 0 ? rows[i].want : *(int64_t *)(void *)((char *)&plain + rows[i].off), what);
		ok(!*bad == (rows[i].want >= 0), rows[i].want >= 0 ? "which is good" : "which is told");
		ing_settings_release(&s);
	}
	annotate_of(&s, false, "proxy-body-size", "much");
	is_str(bad, "proxy-body-size is no size such as 8m", "how it is told");
	ing_settings_release(&s);
}

static void test_texts(void)
{
	static const struct {
		const char *name, *value;
		size_t off;
		const char *want;
	} rows[] = {
#define T(name, value, m, want) { name, value, offsetof(struct ing_settings, m), want }
		T("rewrite-target", "/$2", rewrite, "/$2"),
		T("rewrite-target", "x", rewrite, NULL),
		T("rewrite-target", "/a b", rewrite, NULL),
		T("rewrite-target", "/a\\r\\nHost: b", rewrite, NULL),
		T("app-root", "/app", app_root, "/app"),
		T("app-root", "http://evil/", app_root, NULL),
		T("app-root", "/\\u00e4", app_root, NULL),
		T("session-cookie-name", "route", cookie_name, "route"),
		T("session-cookie-name", "a=b", cookie_name, NULL),
		T("session-cookie-name", "a;b", cookie_name, NULL),
		T("session-cookie-name", "", cookie_name, NULL),
		T("session-cookie-path", "/x", cookie_path, "/x"),
		T("session-cookie-path", "/x; Domain=com", cookie_path, NULL),
		T("session-cookie-samesite", "strict", cookie_samesite, "Strict"),
		T("session-cookie-samesite", "Maybe", cookie_samesite, NULL),
		T("traefik.ingress.kubernetes.io/service.sticky.cookie.name", "tr", cookie_name, "tr"),
#undef T
	};
	struct ing_settings s;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char what[100];

		annotate_of(&s, false, rows[i].name, rows[i].value);
		snprintf(what, sizeof(what), "%s: \"%s\"", rows[i].name, rows[i].value);
		is_str(*(char **)(void *)((char *)&s + rows[i].off), rows[i].want, what);
		ok(!*bad == (rows[i].want != NULL), rows[i].want ? "which is good" : "which is told");
		ing_settings_release(&s);
	}
}

/* One setting of the other kinds; a text of all that they are. */
static const char *others(bool service, const char *name, const char *value)
{
	struct ing_settings s;
	char ip[NET_ADDR_TEXT];
	_cleanup_buf_ struct buf b = BUF_INIT;

	annotate_of(&s, service, name, value);
	buf_addf(&b, "redirect=%d tls=%d sticky=%d secure=%d httponly=%d", s.redirect, s.backend_tls, s.sticky,
		 s.cookie_secure, s.cookie_http_only);
	for (size_t i = 0; i < s.allow.n; i++)
		buf_addf(&b, " %s/%u", net_addr_print(&s.allow.v[i].addr, ip), s.allow.v[i].bits);
	if (*bad)
		buf_adds(&b, " bad");
	ing_settings_release(&s);
	return show(&b);
}

#define TRAEFIK "traefik.ingress.kubernetes.io/"

static void test_other_forms(void)
{
	static const struct {
		bool service;
		const char *name, *value, *want;
	} rows[] = {
		{ false, "ssl-redirect", "true", "redirect=1 tls=0 sticky=0 secure=0 httponly=1" },
		{ false, "ssl-redirect", "false", "redirect=0 tls=0 sticky=0 secure=0 httponly=1" },
		{ false, "ssl-redirect", "yes", "redirect=0 tls=0 sticky=0 secure=0 httponly=1 bad" },
		{ false, "force-ssl-redirect", "True", "redirect=2 tls=0 sticky=0 secure=0 httponly=1" },
		{ false, TRAEFIK "router.entrypoints", "websecure", "redirect=2 tls=0 sticky=0 secure=0 httponly=1" },
		{ false, TRAEFIK "router.entrypoints", "web", "redirect=0 tls=0 sticky=0 secure=0 httponly=1" },
		{ false, TRAEFIK "router.entrypoints", "udp", "redirect=0 tls=0 sticky=0 secure=0 httponly=1 bad" },
		{ false, "backend-protocol", "https", "redirect=0 tls=1 sticky=0 secure=0 httponly=1" },
		{ false, "backend-protocol", "HTTP", "redirect=0 tls=0 sticky=0 secure=0 httponly=1" },
		{ false, "backend-protocol", "FCGI", "redirect=0 tls=0 sticky=0 secure=0 httponly=1 bad" },
		{ false, "affinity", "cookie", "redirect=0 tls=0 sticky=1 secure=0 httponly=1" },
		{ false, "affinity", "ip", "redirect=0 tls=0 sticky=0 secure=0 httponly=1 bad" },
		{ false, "session-cookie-secure", "true", "redirect=0 tls=0 sticky=0 secure=1 httponly=1" },
		{ false, "whitelist-source-range", "10.0.0.0/8, fd00::/8,192.0.2.1",
		  "redirect=0 tls=0 sticky=0 secure=0 httponly=1 10.0.0.0/8 fd00::/8 192.0.2.1/32" },
		{ false, "whitelist-source-range", "10.0.0.0/8,x", "redirect=0 tls=0 sticky=0 secure=0 httponly=1 bad" },
		{ false, "whitelist-source-range", "10.0.0.0/33", "redirect=0 tls=0 sticky=0 secure=0 httponly=1 bad" },
		{ false, "allowlist-source-range", " , ", "redirect=0 tls=0 sticky=0 secure=0 httponly=1 bad" },
		{ true, TRAEFIK "service.sticky.cookie", "true", "redirect=0 tls=0 sticky=1 secure=0 httponly=1" },
		{ true, TRAEFIK "service.sticky.cookie.httponly", "false", "redirect=0 tls=0 sticky=0 secure=0 httponly=0" },
		{ true, TRAEFIK "service.serversscheme", "https", "redirect=0 tls=1 sticky=0 secure=0 httponly=1" },
		{ true, "affinity", "cookie", "redirect=0 tls=0 sticky=0 secure=0 httponly=1" },
		{ false, "unknown", "x", "redirect=0 tls=0 sticky=0 secure=0 httponly=1" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char what[120];

		snprintf(what, sizeof(what), "%s%s: \"%s\"", rows[i].service ? "of a Service, " : "", rows[i].name, rows[i].value);
		is_str(others(rows[i].service, rows[i].name, rows[i].value), rows[i].want, what);
	}
}

int main(void)
{
	test_documented();
	test_hosts();
	test_order();
	test_normalize();
	clear();
	test_forward();
	test_long_connection();
	test_refused();
	test_target();
	test_answers();
	test_bad_answers();
	test_cookies();
	test_rewrite();
	test_numbers();
	test_texts();
	test_other_forms();
	return done_testing();
}
