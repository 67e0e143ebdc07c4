/*
 * Heads on their way through: what of a request is refused beyond what the codec
 * refuses (RFC 9112), what goes on to the endpoint, and what of its answer goes back.
 *
 * Headers that concern one connection only stay behind (RFC 9110 7.6.1), lengths
 * are written anew from what the codec understood, so that nobody behind can read a
 * different end into the same bytes. Who the client is we say ourselves: what it
 * says in X-Forwarded-* and Forwarded is dropped, also spelt with underscores, which programs
 * behind CGI-like interfaces can't tell from hyphens.
 */
#include "svc/ingress.h"

#include <ctype.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/time.h"

/* --- the target --- */

static bool host_char(unsigned char c)
{
	return isalnum(c) || (c && strchr("-._~%!$&'()*+,;=", c));
}

/* "host", "host:port", "[v6]:port"; false: it is none. */
static bool target_split(struct ing_target *t, struct str a)
{
	struct str host = a, port = STR_NONE;
	ssize_t colon;

	if (a.n && a.p[0] == '[') {
		const char *end = memchr(a.p, ']', a.n);

		if (!end)
			return false;
		host = str_n(a.p, (size_t)(end - a.p) + 1);
		port = str_sub(a, host.n, a.n);
		for (size_t i = 1; i + 1 < host.n; i++)
			if (!isxdigit((unsigned char)host.p[i]) && host.p[i] != ':' && host.p[i] != '.')
				return false;
	} else if ((colon = str_find(a, ':')) >= 0) {
		host = str_sub(a, 0, (size_t)colon);
		port = str_sub(a, (size_t)colon, a.n);
	}
	if (port.n && port.p[0] != ':')
		return false;
	t->port = port.n ? str_sub(port, 1, port.n) : STR_LIT("");
	for (size_t i = 0; i < t->port.n; i++)
		if (!isdigit((unsigned char)t->port.p[i]) || i > 4)
			return false;
	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n >= sizeof(t->host))
		return false;
	for (size_t i = 0; i < host.n; i++) {
		if (host.p[0] != '[' && !host_char((unsigned char)host.p[i]))
			return false;
		t->host[i] = (char)tolower((unsigned char)host.p[i]);
	}
	t->host[host.n] = '\0';
	return true;
}

int ing_head_check(struct ing_target *t, const struct http_head *h)
{
	struct str target = h->target, a = http_head_get(h, "Host");
	size_t scheme = str_starts(target, STR_LIT("http://")) ? 7 : str_starts(target, STR_LIT("https://")) ? 8 : 0;

	if (str_eqc(h->method, "CONNECT"))
		return 405;
	/* RFC 9112 3.2.2: of an absolute target the Host header is of no account. */
	if (scheme) {
		struct str rest = str_sub(target, scheme, target.n);

		a = str_cut(&rest, '/');
		if (memchr(a.p, '@', a.n) || memchr(a.p, '?', a.n) || !a.n)
			return 400;
	}
	t->authority = a.p ? a : STR_LIT("");
	if (memchr(target.p, '#', target.n))
		return 400;
	return target_split(t, t->authority) ? 0 : 400;
}

/* --- which headers --- */

enum kind {
	H_PLAIN,
	H_HOP, /* of one connection */
	H_LENGTH,
	H_HOST,
	H_EXPECT,
	H_FORWARDED, /* what we say ourselves */
};

static const struct {
	const char *name;
	uint8_t len, kind;
} kinds[] = {
#define K(name, kind) { name, sizeof(name) - 1, kind }
	K("host", H_HOST),
	K("connection", H_HOP),
	K("content-length", H_LENGTH),
	K("transfer-encoding", H_HOP),
	K("keep-alive", H_HOP),
	K("upgrade", H_HOP),
	K("te", H_HOP),
	K("trailer", H_HOP),
	K("proxy-connection", H_HOP),
	K("expect", H_EXPECT),
	K("forwarded", H_FORWARDED),
	K("x-scheme", H_FORWARDED),
	K("x-real-ip", H_FORWARDED),
#undef K
};

static bool name_is(struct str s, const char *lower, bool underscores)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		else if (c == '_' && underscores)
			c = '-';
		if (c != lower[i])
			return false;
	}
	return true;
}

static enum kind head_kind(struct str name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].len == name.n && name_is(name, kinds[i].name, kinds[i].kind == H_FORWARDED))
			return kinds[i].kind;
	return name.n > 12 && name_is(str_sub(name, 0, 12), "x-forwarded-", true) ? H_FORWARDED : H_PLAIN;
}

/* Headers that Connection names, besides those that every connection has. */
static bool head_names_hops(const struct http_head *h)
{
	for (size_t i = 0; i < h->n_headers; i++)
		if (h->headers[i].name.n == 10 && name_is(h->headers[i].name, "connection", false) &&
		    !str_ieq(h->headers[i].value, STR_LIT("keep-alive")) &&
		    !str_ieq(h->headers[i].value, STR_LIT("close")))
			return true;
	return false;
}

static void put(struct buf *out, const char *name, struct str value)
{
	buf_adds(out, name);
	buf_addstr(out, value);
	buf_add(out, "\r\n", 2);
}

static void put_header(struct buf *out, const struct http_header *hd)
{
	buf_reserve(out, hd->name.n + hd->value.n + 4);
	buf_addstr(out, hd->name);
	buf_add(out, ": ", 2);
	buf_addstr(out, hd->value);
	buf_add(out, "\r\n", 2);
}

static void forward_framing(struct buf *out, const struct http_head *h, bool has_body)
{
	if (h->chunked)
		buf_adds(out, "Transfer-Encoding: chunked\r\n");
	else if (h->content_length > 0 || (h->content_length == 0 && !has_body))
		buf_addf(out, "Content-Length: %lld\r\n", (long long)h->content_length);
	if (h->upgrade)
		put(out, "Connection: upgrade\r\nUpgrade: ", http_head_get(h, "Upgrade"));
}

bool ing_head_upgrades(const struct http_head *h)
{
	return h->upgrade && h->minor >= 1 && !h->chunked && h->content_length <= 0 &&
	       !http_head_has_token(h, "Upgrade", "h2c") && !http_head_has_token(h, "Upgrade", "h2");
}

void ing_head_forward(struct buf *out, const struct http_head *h, const struct ing_forward *f)
{
	bool hops = head_names_hops(h);
	char port[8];

	buf_reserve(out, 512);
	buf_addstr(out, h->method);
	buf_addch(out, ' ');
	buf_addstr(out, f->path_query);
	buf_adds(out, " HTTP/1.1\r\n");
	put(out, "Host: ", f->target->authority);
	forward_framing(out, h, f->has_body);
	put(out, "X-Real-IP: ", str_of(f->client));
	put(out, "X-Forwarded-For: ", str_of(f->client));
	put(out, "X-Forwarded-Host: ", f->target->authority);
	snprintf(port, sizeof(port), "%d", f->port);
	put(out, "X-Forwarded-Port: ", str_of(port));
	put(out, "X-Forwarded-Proto: ", f->tls ? STR_LIT("https") : STR_LIT("http"));
	for (size_t i = 0; i < h->n_headers; i++) {
		const struct http_header *hd = &h->headers[i];

		if (head_kind(hd->name) == H_PLAIN && !(hops && http_head_names_hop(h, hd->name)))
			put_header(out, hd);
	}
	buf_add(out, "\r\n", 2);
}

enum ing_framing ing_head_framing(const struct http_head *h, bool to_head)
{
	if (to_head || h->status == 204 || h->status == 304 || h->status < 200)
		return ING_NO_BODY;
	if (h->chunked)
		return ING_CHUNKED;
	if (h->content_length >= 0)
		return h->content_length ? ING_LENGTH : ING_NO_BODY;
	return ING_TO_END;
}

void ing_answer_frame(struct ing_answer *a, const struct http_head *h, enum ing_framing framing, bool to_head)
{
	bool open_end = framing == ING_CHUNKED || framing == ING_TO_END;
	bool bare = to_head || h->status == 204 || h->status == 304 || h->status < 200;

	a->chunked = open_end && !a->old;
	a->keep_alive = a->keep_alive && !(open_end && a->old);
	a->length = open_end || bare ? -1 : h->content_length >= 0 ? h->content_length : 0;
	a->keep_length = to_head || h->status == 304;
	a->upgrade = h->status == 101;
}

void ing_head_answer(struct buf *out, const struct http_head *h, const struct ing_answer *a)
{
	bool hops = head_names_hops(h);
	char line[16];

	buf_reserve(out, 512);
	snprintf(line, sizeof(line), "HTTP/1.1 %03d ", h->status);
	buf_adds(out, line);
	buf_addstr(out, h->reason);
	buf_add(out, "\r\n", 2);
	for (size_t i = 0; i < h->n_headers; i++) {
		const struct http_header *hd = &h->headers[i];
		enum kind k = head_kind(hd->name);

		if (k == H_HOP || (k == H_LENGTH && !a->keep_length) || (hops && http_head_names_hop(h, hd->name)))
			continue;
		put_header(out, hd);
	}
	if (a->length >= 0)
		buf_addf(out, "Content-Length: %lld\r\n", (long long)a->length);
	if (a->chunked)
		buf_adds(out, "Transfer-Encoding: chunked\r\n");
	if (a->set_cookie)
		put(out, "Set-Cookie: ", str_of(a->set_cookie));
	if (a->upgrade)
		put(out, "Connection: upgrade\r\nUpgrade: ", http_head_get(h, "Upgrade"));
	else if (!a->keep_alive)
		buf_adds(out, "Connection: close\r\n");
	else if (a->old)
		buf_adds(out, "Connection: keep-alive\r\n");
	buf_add(out, "\r\n", 2);
}

/* --- affinity --- */

static bool cookie_read(struct str v, uint64_t *ret)
{
	uint64_t mark = 0;

	if (v.n != 16)
		return false;
	for (size_t i = 0; i < 16; i++) {
		char c = v.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		mark = mark << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret = mark;
	return true;
}

bool ing_cookie_mark(const struct http_head *h, const char *name, uint64_t *ret)
{
	for (size_t i = 0; i < h->n_headers; i++) {
		struct str rest = h->headers[i].value;

		if (!str_ieq(h->headers[i].name, STR_LIT("Cookie")))
			continue;
		while (rest.p) {
			struct str v = str_trim(str_cut(&rest, ';')), n = str_cut(&v, '=');

			if (str_eqc(n, name) && v.p && cookie_read(v, ret))
				return true;
		}
	}
	return false;
}

void ing_cookie_print(struct buf *out, const struct ing_settings *s, uint64_t mark, const char *path, int64_t now_s)
{
	char when[TIME_HTTP_LEN];

	for (const char *p = path; *p; p++)
		if (*p <= ' ' || *p >= 0x7f || *p == ';') {
			path = "/"; /* what would end the attribute, or the header */
			break;
		}
	buf_addf(out, "%s=%016llx; Path=%s", s->cookie_name ? s->cookie_name : "INGRESSCOOKIE", (unsigned long long)mark,
		 s->cookie_path ? s->cookie_path : path);
	if (s->cookie_max_age_s)
		buf_addf(out, "; Max-Age=%lld", (long long)s->cookie_max_age_s);
	if (s->cookie_expires_s)
		buf_addf(out, "; Expires=%s", time_fmt_http(when, now_s + s->cookie_expires_s));
	if (s->cookie_samesite)
		buf_addf(out, "; SameSite=%s", s->cookie_samesite);
	if (s->cookie_secure)
		buf_adds(out, "; Secure");
	if (s->cookie_http_only)
		buf_adds(out, "; HttpOnly");
}

/* --- rewrite-target --- */

/* The two forms that people write: a fixed path, and "/$2" for a rule's "/x(/|$)(.*)", whose path part a rule without
 * regular expressions says as "/x": the rest of the request's path is put there. */
void ing_rewrite(struct buf *out, const struct http_head *h, const char *rule_path, const char *to)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	size_t skip = strlen(rule_path);
	const char *dollar = strchr(to, '$');
	struct str rest = STR_LIT("");

	while (skip && rule_path[skip - 1] == '/')
		skip--;
	if (ing_path_normalize(&path, h->path) && path.len > skip && str_starts(buf_str(&path), str_n(rule_path, skip)))
		rest = str_sub(buf_str(&path), skip, path.len);
	if (!dollar) {
		buf_adds(out, to);
	} else {
		buf_add(out, to, (size_t)(dollar - to));
		if (out->len && out->s[out->len - 1] == '/' && rest.n && rest.p[0] == '/')
			rest = str_sub(rest, 1, rest.n);
		buf_addstr(out, rest);
	}
	if (!out->len || out->s[0] != '/')
		buf_insert(out, 0, "/", 1);
	if (h->query.p) {
		buf_addch(out, '?');
		buf_addstr(out, h->query);
	}
}
