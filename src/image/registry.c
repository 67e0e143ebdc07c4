/*
 * URLs and challenges of registries: see registry.h.
 */
#include "image/registry.h"

#include <ctype.h>
#include <stdio.h>

#define URL_MAX (16u << 10) /* signed links of blob stores are long */

/* --- URLs --- */

static bool url_text_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

/* "host", "host:port", "[v6]:port" */
static bool url_parse_host(struct url *u, struct str host)
{
	ssize_t colon = str_rfind(host, ':'), close = str_rfind(host, ']');
	int64_t port = u->tls ? 443 : 80;

	if (str_find(host, '@') >= 0) /* credentials in links are nobody's business */
		return false;
	if (colon > close) {
		if (!str_to_i64(str_sub(host, (size_t)colon + 1, host.n), &port) || port < 1 || port > 65535)
			return false;
		host = str_sub(host, 0, (size_t)colon);
	}
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = str_sub(host, 1, host.n - 1);
	if (!host.n || host.n > 255)
		return false;
	u->host = str_dup(host);
	u->port = (int)port;
	return true;
}

/* "/path", "path" and "?query" on the base's host. */
static bool url_parse_relative(struct url *u, struct str text, const struct url *base)
{
	size_t keep = strcspn(base->target, "?"), first = 0;

	while (first < text.n && !strchr("/?", text.p[first]))
		first++;
	if (text.p[0] == '#' || str_find(str_sub(text, 0, first), ':') >= 0)
		return false; /* another scheme */
	if (text.p[0] == '/')
		keep = 0;
	while (text.p[0] != '?' && keep > 0 && base->target[keep - 1] != '/')
		keep--;
	if (str_find(text, '#') >= 0)
		text = str_sub(text, 0, (size_t)str_find(text, '#'));
	u->tls = base->tls;
	u->host = xstrdup(base->host);
	u->port = base->port;
	u->target = xasprintf("%.*s%" STR_FMT, (int)keep, base->target, STR_ARG(text));
	return true;
}

bool url_parse(struct url *u, struct str text, const struct url *base)
{
	struct str rest, host, path;
	size_t n = 0;

	*u = (struct url){ 0 };
	text = str_trim(text);
	if (!text.n || text.n > URL_MAX || !url_text_ok(text))
		return false;
	u->tls = str_ieq(str_sub(text, 0, 8), STR_LIT("https://"));
	if (base && str_starts(text, STR_LIT("//"))) {
		u->tls = base->tls;
		rest = str_sub(text, 2, text.n);
	} else if (u->tls || str_ieq(str_sub(text, 0, 7), STR_LIT("http://"))) {
		rest = str_sub(text, u->tls ? 8 : 7, text.n);
	} else {
		return base && url_parse_relative(u, text, base);
	}
	while (n < rest.n && !strchr("/?#", rest.p[n]))
		n++;
	host = str_sub(rest, 0, n);
	path = str_sub(rest, n, rest.n);
	if (str_find(path, '#') >= 0)
		path = str_sub(path, 0, (size_t)str_find(path, '#'));
	if (!url_parse_host(u, host))
		return false;
	u->target = xasprintf("%s%" STR_FMT, path.n && path.p[0] == '/' ? "" : "/", STR_ARG(path));
	return true;
}

void url_copy(struct url *dst, const struct url *src)
{
	*dst = (struct url){ src->tls, xstrdup(src->host), src->port, xstrdup(src->target) };
}

void url_release(struct url *u)
{
	free(u->host);
	free(u->target);
	*u = (struct url){ 0 };
}

bool url_same_host(const struct url *a, const struct url *b)
{
	return a->tls == b->tls && a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

char *url_print(const struct url *u)
{
	bool v6 = strchr(u->host, ':') != NULL;
	char port[16] = "";

	if (u->port != (u->tls ? 443 : 80))
		snprintf(port, sizeof(port), ":%d", u->port);
	return xasprintf("http%s://%s%s%s%s%s", u->tls ? "s" : "", v6 ? "[" : "", u->host, v6 ? "]" : "", port, u->target);
}

char *url_host(const struct url *u)
{
	bool v6 = strchr(u->host, ':') != NULL;

	if (u->port == (u->tls ? 443 : 80))
		return xasprintf("%s%s%s", v6 ? "[" : "", u->host, v6 ? "]" : "");
	return xasprintf("%s%s%s:%d", v6 ? "[" : "", u->host, v6 ? "]" : "", u->port);
}

bool registry_is_local(struct str host)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_starts(host, str_of(names[i])) &&
		    (host.n == strlen(names[i]) || host.p[strlen(names[i])] == ':'))
			return true;
	return false;
}

/* --- challenges --- */

static bool challenge_token_char(char c)
{
	return isalnum((unsigned char)c) || strchr("!#$%&'*+-.^_`|~", c);
}

/* The value behind a '=', quoted or not; *s is what follows. */
static void challenge_value(struct str *s, struct buf *value)
{
	size_t i = 0;

	buf_clear(value);
	if (s->n && s->p[0] == '"') {
		for (i = 1; i < s->n && s->p[i] != '"'; i++) {
			if (s->p[i] == '\\' && i + 1 < s->n)
				i++;
			buf_addch(value, s->p[i]);
		}
		i++;
	} else {
		for (; i < s->n && s->p[i] != ',' && !isspace((unsigned char)s->p[i]); i++)
			buf_addch(value, s->p[i]);
	}
	*s = str_sub(*s, i, s->n);
}

static void challenge_set(char **at, const char *value)
{
	if (**at)
		return;
	free(*at);
	*at = xstrdup(value);
}

void challenge_init(struct challenge *c)
{
	*c = (struct challenge){ .realm = xstrdup(""), .service = xstrdup(""), .scope = xstrdup("") };
}

/* A word with a '=' behind it is a parameter of the challenge before it; without one it begins another challenge. */
void challenge_add(struct challenge *c, struct str s)
{
	_cleanup_buf_ struct buf value = BUF_INIT;
	bool bearer = false;

	while (s.n) {
		struct str name;
		size_t i = 0;

		while (i < s.n && challenge_token_char(s.p[i]) && s.p[i])
			i++;
		if (i == 0) {
			s = str_sub(s, 1, s.n);
			continue;
		}
		name = str_sub(s, 0, i);
		s = str_sub(s, i, s.n);
		if (!s.n || s.p[0] != '=') {
			bearer = str_ieq(name, STR_LIT("Bearer")) && !c->bearer;
			c->bearer |= bearer;
			c->basic |= str_ieq(name, STR_LIT("Basic"));
			continue;
		}
		s = str_sub(s, 1, s.n);
		challenge_value(&s, &value);
		if (bearer && str_ieq(name, STR_LIT("realm")))
			challenge_set(&c->realm, value.s);
		else if (bearer && str_ieq(name, STR_LIT("service")))
			challenge_set(&c->service, value.s);
		else if (bearer && str_ieq(name, STR_LIT("scope")))
			challenge_set(&c->scope, value.s);
	}
}

void challenge_release(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){ 0 };
}
