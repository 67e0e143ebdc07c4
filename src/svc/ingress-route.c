/*
 * Who has which host and path. Rules as networking.k8s.io/v1 has them: a host that
 * is named goes before one with a wildcard (one label), and that before rules
 * without a host; of the paths the longest counts, Exact before Prefix. Where no
 * path of a host fits, its Ingress's default backend is asked, then the paths of the
 * less special hosts. Of several Ingresses that want the same path the oldest has it.
 *
 * Compared are normalized paths, so that no spelling gets past a rule; the endpoint
 * gets the path as it was sent.
 */
#include "svc/ingress.h"

static void host_free(void *p)
{
	struct ing_host *h = p;

	VEC_RELEASE(&h->routes);
	free(h);
}

/* Of a prefix a final slash is of no account. */
static size_t rule_len(const struct ing_rule *r)
{
	size_t n = strlen(r->path);

	return !r->exact && n && r->path[n - 1] == '/' ? n - 1 : n;
}

static int route_cmp(const void *a, const void *b)
{
	const struct ing_route *x = a, *y = b;
	int c;

	if (x->len != y->len)
		return x->len > y->len ? -1 : 1;
	if (x->rule->exact != y->rule->exact)
		return x->rule->exact ? -1 : 1;
	c = strcmp(x->rule->path, y->rule->path);
	return c;
}

static struct ing_host *table_host(struct ing_table *t, const char *name)
{
	struct ing_host *h = map_getc(t->hosts, name);

	if (!h) {
		h = xcalloc(1, sizeof(*h));
		map_set(t->hosts, str_of(name), h);
	}
	return h;
}

struct table_build {
	struct ing_table *table;
	struct map *seen; /* "host path exact" to struct ing_ingress */
	void (*lost)(void *arg, struct ing_ingress *who, const struct ing_rule *r, const struct ing_ingress *to);
	void *arg;
};

static void table_add(struct table_build *b, struct ing_ingress *in, const struct ing_rule *r)
{
	struct ing_host *h = table_host(b->table, r->host);
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct ing_ingress *first;

	buf_addf(&key, "%s %d ", r->host, r->exact);
	buf_add(&key, r->path, rule_len(r));
	first = map_get(b->seen, buf_str(&key));
	if (first) {
		if (b->lost)
			b->lost(b->arg, in, r, first);
		return;
	}
	map_set(b->seen, buf_str(&key), in);
	VEC_PUSH(&h->routes, ((struct ing_route){ r, in, r->backend, rule_len(r) }));
}

/* Its default backend has what no path of its hosts takes; without rules, all that nobody else does. */
static void table_add_fallback(struct ing_table *t, struct ing_ingress *in)
{
	struct ing_route r = { NULL, in, in->fallback, 0 };
	struct ing_host *h;

	if (!in->fallback)
		return;
	for (size_t i = 0; i < in->rules.n; i++) {
		h = table_host(t, in->rules.v[i].host);
		if (!h->fallback.ingress)
			h->fallback = r;
	}
	h = table_host(t, "");
	if (!in->rules.n && !h->fallback.ingress)
		h->fallback = r;
}

void ing_table_build(struct ing_table *t, struct ing_ingress *const *v, size_t n,
		     void (*lost)(void *arg, struct ing_ingress *who, const struct ing_rule *r, const struct ing_ingress *to),
		     void *arg)
{
	struct table_build b = { t, map_new(NULL), lost, arg };
	struct map_iter it = { 0 };

	t->hosts = map_new(host_free);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < v[i]->rules.n; k++)
			table_add(&b, v[i], &v[i]->rules.v[k]);
	for (size_t i = 0; i < n; i++)
		table_add_fallback(t, v[i]);
	while (map_next(t->hosts, &it)) {
		struct ing_host *h = it.value;

		if (h->routes.n)
			qsort(h->routes.v, h->routes.n, sizeof(*h->routes.v), route_cmp);
	}
	map_free(b.seen);
}

void ing_table_release(struct ing_table *t)
{
	t->hosts = map_free(t->hosts);
}

static bool route_fits(const struct ing_route *r, struct str path)
{
	if (path.n < r->len || memcmp(path.p, r->rule->path, r->len) != 0)
		return false;
	return path.n == r->len || (!r->rule->exact && path.p[r->len] == '/');
}

static const struct ing_route *host_find(const struct ing_host *h, struct str path)
{
	for (size_t i = 0; h && i < h->routes.n; i++)
		if (route_fits(&h->routes.v[i], path))
			return &h->routes.v[i];
	return h && h->fallback.ingress ? &h->fallback : NULL;
}

const struct ing_route *ing_table_find(const struct ing_table *t, struct str host, struct str path)
{
	const struct ing_route *r = host.n ? host_find(map_get(t->hosts, host), path) : NULL;
	const char *dot = host.n ? memchr(host.p, '.', host.n) : NULL;
	char wild[260];

	if (r)
		return r;
	if (dot && dot != host.p && host.n < 256) {
		size_t rest = host.n - (size_t)(dot - host.p);

		wild[0] = '*';
		memcpy(wild + 1, dot, rest);
		r = host_find(map_get(t->hosts, str_n(wild, rest + 1)), path);
		if (r)
			return r;
	}
	return host_find(map_getc(t->hosts, ""), path);
}

/* --- paths --- */

static int path_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A path's characters by RFC 3986, but the slash. */
static bool path_char(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("-._~!$&'()*+,;=:@", c));
}

/* %2F stays what it is: a slash that separates nothing. */
static bool path_respell(struct buf *out, struct str path)
{
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		bool plain = path_char(c) || c == '/';

		if (c == '%') {
			int hi, lo;

			if (i + 2 >= path.n || (hi = path_hex(path.p[i + 1])) < 0 || (lo = path_hex(path.p[i + 2])) < 0)
				return false;
			c = (unsigned char)(hi << 4 | lo);
			plain = path_char(c);
			i += 2;
		}
		if (!c)
			return false;
		if (plain)
			buf_addch(out, (char)c);
		else
			buf_addf(out, "%%%02X", c);
	}
	return true;
}

static bool path_step(struct buf *out, size_t start, struct str part)
{
	if (str_eqc(part, "."))
		return true;
	if (!str_eqc(part, "..")) {
		buf_addch(out, '/');
		buf_addstr(out, part);
		return true;
	}
	if (out->len == start)
		return false;
	while (out->s[out->len - 1] != '/')
		buf_truncate(out, out->len - 1);
	buf_truncate(out, out->len - 1);
	return true;
}

/* Nothing to do for nearly all paths. */
static bool path_is_plain(struct str p)
{
	for (size_t i = 0; i < p.n; i++) {
		if (p.p[i] != '/' && !path_char((unsigned char)p.p[i]))
			return false;
		if (p.p[i] == '/' && i + 1 < p.n && (p.p[i + 1] == '/' || p.p[i + 1] == '.'))
			return false;
	}
	return p.n && p.p[0] == '/';
}

bool ing_path_normalize(struct buf *out, struct str path)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t start = out->len;
	struct str rest, part = STR_NONE;

	if (path_is_plain(path)) {
		buf_addstr(out, path);
		return true;
	}
	if (!path.n || path.p[0] != '/' || !path_respell(&text, path))
		return false;
	rest = buf_str(&text);
	while (rest.p) {
		part = str_cut(&rest, '/');
		if (part.n && !path_step(out, start, part))
			return false;
	}
	/* A final slash, and one behind a final dot, count. */
	if (out->len == start || !part.n || str_eqc(part, ".") || str_eqc(part, ".."))
		buf_addch(out, '/');
	return true;
}
