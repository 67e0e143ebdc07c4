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

bool url_parse(struct url *u, struct str text, const struct url *base)
{
	struct str rest, host, path;
	size_t n = 0;

	*u = (struct url){ 0 };
	text = str_trim(text);
	if (!text.n || text.n > URL_MAX || !url_text_ok(text))
		return false;
	if (base && text.p[0] == '/' && !(text.n > 1 && text.p[1] == '/')) {
		u->tls = base->tls;
		u->host = xstrdup(base->host);
		u->port = base->port;
		u->target = str_dup(text);
		return true;
	}
	u->tls = str_ieq(str_sub(text, 0, 8), STR_LIT("https://"));
	if (!u->tls && !str_ieq(str_sub(text, 0, 7), STR_LIT("http://")))
		return false;
	rest = str_sub(text, u->tls ? 8 : 7, text.n);
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

static bool registry_is_local(struct str host)
{
	return str_eqc(host, "localhost") || str_starts(host, STR_LIT("localhost:")) ||
	       str_starts(host, STR_LIT("127.0.0.1")) || str_starts(host, STR_LIT("[::1]"));
}

void registry_url(struct url *u, const struct image_ref *r, const char *what, const char *which)
{
	struct str host = str_of(streq(r->registry, "docker.io") ? "registry-1.docker.io" : r->registry);

	*u = (struct url){ .tls = !registry_is_local(host) };
	if (!url_parse_host(u, host)) { /* image_ref_parse lets no such host through */
		u->host = xstrdup("invalid");
		u->port = 443;
	}
	u->target = xasprintf("/v2/%s/%s/%s", r->repository, what, which);
}

/* --- challenges --- */

/* name=value or name="value" at the start of *s, with what separates it from the next. */
static bool challenge_param(struct str *s, struct str *name, struct buf *value)
{
	size_t i = 0;

	while (s->n && (s->p[0] == ',' || isspace((unsigned char)s->p[0])))
		*s = str_sub(*s, 1, s->n);
	while (i < s->n && (isalnum((unsigned char)s->p[i]) || s->p[i] == '_' || s->p[i] == '-'))
		i++;
	if (i == 0 || i >= s->n || s->p[i] != '=')
		return false;
	*name = str_sub(*s, 0, i++);
	buf_clear(value);
	if (i < s->n && s->p[i] == '"') {
		for (i++; i < s->n && s->p[i] != '"'; i++) {
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
	return true;
}

void challenge_parse(struct challenge *c, struct str header)
{
	_cleanup_buf_ struct buf value = BUF_INIT;
	struct str rest = str_trim(header), name;
	struct str scheme = str_cut(&rest, ' ');

	*c = (struct challenge){ .bearer = str_ieq(scheme, STR_LIT("Bearer")), .basic = str_ieq(scheme, STR_LIT("Basic")) };
	while (rest.p && challenge_param(&rest, &name, &value)) {
		char **to = str_ieq(name, STR_LIT("realm"))   ? &c->realm :
			    str_ieq(name, STR_LIT("service")) ? &c->service :
			    str_ieq(name, STR_LIT("scope"))   ? &c->scope :
								NULL;

		if (to) {
			free(*to);
			*to = xstrdup(value.s);
		}
	}
	if (!c->realm)
		c->realm = xstrdup("");
	if (!c->service)
		c->service = xstrdup("");
	if (!c->scope)
		c->scope = xstrdup("");
}

void challenge_release(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){ 0 };
}
