/*
 * What annotations of an Ingress set: names and meanings are those of ingress-nginx
 * and (below traefik.ingress.kubernetes.io/) of k3s's Traefik. One table; what is
 * not in it is not looked at, a value that is no good is told and left out.
 *
 * Traefik's sticky cookie is an annotation of the Service: `service` rows are read
 * from there too (ingress-objects.c).
 */
#include "svc/ingress.h"

#include <stddef.h>

#include "base/time.h"

#define NGINX "nginx.ingress.kubernetes.io/"
#define TRAEFIK "traefik.ingress.kubernetes.io/"
#define ALLOW_MAX 1000

enum form {
	FORM_SIZE, /* 8m, 1k, 1g; bytes */
	FORM_SECONDS, /* 60 or 60s; kept as ms */
	FORM_AGE, /* seconds, kept as such */
	FORM_COUNT,
	FORM_BOOL,
	FORM_COOKIE, /* "cookie" turns it on */
	FORM_NAME, /* of a cookie */
	FORM_PATH, /* begins with a slash */
	FORM_SAMESITE,
	FORM_PROTOCOL,
	FORM_RANGES,
	FORM_REDIRECT, /* true: where the host has a certificate */
	FORM_REDIRECT_ALL,
	FORM_ENTRYPOINT,
};

#define OFF(m) offsetof(struct ing_settings, m)
static const struct row {
	const char *name;
	enum form form;
	size_t off;
	bool service; /* read from the Services behind it, too */
} rows[] = {
	{ NGINX "proxy-body-size", FORM_SIZE, OFF(body_max) },
	{ NGINX "proxy-connect-timeout", FORM_SECONDS, OFF(connect_ms) },
	{ NGINX "proxy-read-timeout", FORM_SECONDS, OFF(read_ms) },
	{ NGINX "proxy-send-timeout", FORM_SECONDS, OFF(send_ms) },
	{ NGINX "limit-rps", FORM_COUNT, OFF(rps) },
	{ NGINX "limit-rpm", FORM_COUNT, OFF(rpm) },
	{ NGINX "limit-connections", FORM_COUNT, OFF(connections) },
	{ NGINX "whitelist-source-range", FORM_RANGES, OFF(allow) },
	{ NGINX "allowlist-source-range", FORM_RANGES, OFF(allow) },
	{ NGINX "backend-protocol", FORM_PROTOCOL, OFF(backend_tls) },
	{ NGINX "rewrite-target", FORM_PATH, OFF(rewrite) },
	{ NGINX "app-root", FORM_PATH, OFF(app_root) },
	{ NGINX "ssl-redirect", FORM_REDIRECT, OFF(redirect) },
	{ NGINX "force-ssl-redirect", FORM_REDIRECT_ALL, OFF(redirect) },
	{ NGINX "affinity", FORM_COOKIE, OFF(sticky) },
	{ NGINX "session-cookie-name", FORM_NAME, OFF(cookie_name) },
	{ NGINX "session-cookie-path", FORM_PATH, OFF(cookie_path) },
	{ NGINX "session-cookie-max-age", FORM_AGE, OFF(cookie_max_age_s) },
	{ NGINX "session-cookie-expires", FORM_AGE, OFF(cookie_expires_s) },
	{ NGINX "session-cookie-samesite", FORM_SAMESITE, OFF(cookie_samesite) },
	{ NGINX "session-cookie-secure", FORM_BOOL, OFF(cookie_secure) },
	{ TRAEFIK "router.entrypoints", FORM_ENTRYPOINT, OFF(redirect) },
	{ TRAEFIK "service.sticky.cookie", FORM_BOOL, OFF(sticky), true },
	{ TRAEFIK "service.sticky.cookie.name", FORM_NAME, OFF(cookie_name), true },
	{ TRAEFIK "service.sticky.cookie.path", FORM_PATH, OFF(cookie_path), true },
	{ TRAEFIK "service.sticky.cookie.maxage", FORM_AGE, OFF(cookie_max_age_s), true },
	{ TRAEFIK "service.sticky.cookie.samesite", FORM_SAMESITE, OFF(cookie_samesite), true },
	{ TRAEFIK "service.sticky.cookie.secure", FORM_BOOL, OFF(cookie_secure), true },
	{ TRAEFIK "service.sticky.cookie.httponly", FORM_BOOL, OFF(cookie_http_only), true },
	{ TRAEFIK "service.serversscheme", FORM_PROTOCOL, OFF(backend_tls), true },
};

void ing_settings_init(struct ing_settings *s)
{
	*s = (struct ing_settings){ .connect_ms = 5000, .read_ms = 60000, .send_ms = 60000, .cookie_http_only = true };
}

void ing_settings_release(struct ing_settings *s)
{
	free(s->rewrite);
	free(s->app_root);
	free(s->cookie_name);
	free(s->cookie_path);
	free(s->cookie_samesite);
	VEC_RELEASE(&s->allow);
}

static bool read_size(struct str v, int64_t *ret)
{
	int64_t n;
	int shift = 0;

	if (v.n && strchr("kKmMgG", v.p[v.n - 1])) {
		shift = strchr("kK", v.p[v.n - 1]) ? 10 : strchr("mM", v.p[v.n - 1]) ? 20 : 30;
		v.n--;
	}
	if (!str_to_i64(v, &n) || n < 0 || n > INT64_MAX >> 31)
		return false;
	*ret = n << shift;
	return true;
}

static bool read_number(struct str v, int64_t min, int64_t max, int64_t *ret)
{
	int64_t n;

	if (!str_to_i64(v, &n) || n < min || n > max)
		return false;
	*ret = n;
	return true;
}

static bool read_seconds(struct str v, int64_t *ret_ms)
{
	int64_t n;

	if (v.n > 1 && v.p[v.n - 1] == 's')
		v.n--;
	if (!read_number(v, 1, 86400 * 7, &n))
		return false;
	*ret_ms = n * SEC_MS;
	return true;
}

static bool read_ranges(struct str v, struct ing_settings *s)
{
	typeof(s->allow) list = VEC_INIT;
	bool good = true;

	while (v.p && good) {
		struct str item = str_trim(str_cut(&v, ','));
		_cleanup_free_ char *text = str_dup(item);
		struct net_prefix p = { 0 };

		if (!item.n)
			continue;
		good = net_prefix_parse(&p, text);
		if (!good && (good = net_addr_parse(&p.addr, text)))
			p.bits = (unsigned)net_addr_len(&p.addr) * 8;
		good = good && list.n < ALLOW_MAX;
		if (good)
			VEC_PUSH(&list, p);
	}
	if (!good || !list.n) {
		VEC_RELEASE(&list);
		return false;
	}
	VEC_RELEASE(&s->allow);
	memcpy(&s->allow, &list, sizeof(list));
	return true;
}

static bool read_bool(struct str v, bool *ret)
{
	bool yes = str_ieq(v, STR_LIT("true")), no = str_ieq(v, STR_LIT("false"));

	if (yes || no)
		*ret = yes;
	return yes || no;
}

static bool set_text(char **to, struct str v)
{
	free(*to);
	*to = str_dup(v);
	return true;
}

/* What may stand in a header: nothing that ends it, or an attribute of a cookie. */
static bool is_plain(struct str v, const char *but)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] <= ' ' || v.p[i] >= 0x7f || strchr(but, v.p[i]))
			return false;
	return v.n > 0 && v.n < 1024;
}

static bool read_samesite(struct str v, char **to)
{
	static const char *const known[] = { "Strict", "Lax", "None" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_ieq(v, str_of(known[i])))
			return set_text(to, str_of(known[i]));
	return false;
}

static bool read_redirect(struct str v, enum ing_redirect how, enum ing_redirect *ret)
{
	bool on;

	if (!read_bool(v, &on))
		return false;
	if (on && how > *ret)
		*ret = how;
	return true;
}

static bool read_protocol(struct str v, bool *ret)
{
	bool tls = str_ieq(v, STR_LIT("HTTPS"));

	if (!tls && !str_ieq(v, STR_LIT("HTTP")) && !str_ieq(v, STR_LIT("AUTO_HTTP")))
		return false;
	*ret = tls;
	return true;
}

/* NULL: it is good. */
static const char *row_read(const struct row *r, struct ing_settings *s, struct str v)
{
	char *to = (char *)s + r->off;
	bool on = false;

	switch (r->form) {
	case FORM_SIZE:
		return read_size(v, (int64_t *)(void *)to) ? NULL : "is no size such as 8m";
	case FORM_SECONDS:
		return read_seconds(v, (int64_t *)(void *)to) ? NULL : "is no number of seconds";
	case FORM_AGE:
		return read_number(v, 1, 1LL << 32, (int64_t *)(void *)to) ? NULL : "is no number of seconds";
	case FORM_COUNT:
		return read_number(v, 1, 1000000, (int64_t *)(void *)to) ? NULL : "is no number from 1 to 1000000";
	case FORM_BOOL:
		return read_bool(v, (bool *)to) ? NULL : "is neither true nor false";
	case FORM_COOKIE:
		on = str_eqc(v, "cookie");
		*(bool *)to |= on;
		return on ? NULL : "is not \"cookie\"";
	case FORM_NAME:
		return is_plain(v, "()<>@,;:\\\"/[]?={}") && set_text((char **)(void *)to, v) ? NULL : "is no name of a cookie";
	case FORM_PATH:
		return v.n && v.p[0] == '/' && is_plain(v, ";\"") && set_text((char **)(void *)to, v) ? NULL : "is no path";
	case FORM_SAMESITE:
		return read_samesite(v, (char **)(void *)to) ? NULL : "is none of Strict, Lax, None";
	case FORM_PROTOCOL:
		return read_protocol(v, (bool *)to) ? NULL : "is neither HTTP nor HTTPS";
	case FORM_RANGES:
		return read_ranges(v, s) ? NULL : "is no list of networks";
	case FORM_REDIRECT:
		return read_redirect(v, ING_REDIRECT_TLS, &s->redirect) ? NULL : "is neither true nor false";
	case FORM_REDIRECT_ALL:
		return read_redirect(v, ING_REDIRECT_ALL, &s->redirect) ? NULL : "is neither true nor false";
	case FORM_ENTRYPOINT: /* websecure alone: plain requests have no business there */
		on = str_eqc(v, "websecure");
		s->redirect = on ? ING_REDIRECT_ALL : s->redirect;
		return on || str_eqc(v, "web") || str_eqc(v, "web,websecure") || str_eqc(v, "websecure,web") ? NULL :
			       "is neither web nor websecure";
	}
	return NULL;
}

static void rows_read(struct ing_settings *s, const struct node *root, bool service,
		      void (*bad)(void *arg, const char *name, const char *why), void *arg)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *v = service && !rows[i].service ? NULL : meta_annotation(root, rows[i].name), *why;

		why = v ? row_read(&rows[i], s, str_trim(str_of(v))) : NULL;
		if (why)
			bad(arg, rows[i].name, why);
	}
}

void ing_settings_read(struct ing_settings *s, const struct node *root,
		       void (*bad)(void *arg, const char *name, const char *why), void *arg)
{
	rows_read(s, root, false, bad, arg);
}

void ing_settings_read_service(struct ing_settings *s, const struct node *root,
			       void (*bad)(void *arg, const char *name, const char *why), void *arg)
{
	rows_read(s, root, true, bad, arg);
}
