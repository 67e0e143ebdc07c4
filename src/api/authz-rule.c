/*
 * Policy rules: matched, taken apart, compared.
 *
 * A role's rules are compiled into one block when the role is written, so that
 * an authorization reads strings and nothing else. What matches is what
 * Kubernetes lets match: "*" in verbs, groups and resources, "*" + "/scale" for a
 * subresource of whatever resource, resourceNames only when the request has that
 * name, URLs with a star at their end. `rule_covers` asks the other question,
 * whether one may give away what one permission is.
 */
#include "api/authz.h"

static const enum field rule_fields[RULE_LISTS] = { F_verbs, F_apiGroups, F_resources, F_resourceNames,
						    F_nonResourceURLs };

/* --- compiling --- */

static size_t rule_size(const struct node *n)
{
	size_t size = sizeof(struct rule);

	for (size_t l = 0; l < RULE_LISTS; l++)
		NODE_FOREACH(s, node_get(n, rule_fields[l]))
			size += node_is(s, DOC_STRING) ? node_str(s).n + 1 : 0;
	return (size + _Alignof(struct rule) - 1) & ~(_Alignof(struct rule) - 1);
}

static void rule_fill(struct rule *r, const struct node *n)
{
	char *to = (char *)(r + 1);

	for (size_t l = 0; l < RULE_LISTS; l++) {
		r->at[l] = (uint32_t)(to - (char *)r);
		NODE_FOREACH(s, node_get(n, rule_fields[l])) {
			struct str t = node_str(s);

			if (!node_is(s, DOC_STRING))
				continue;
			memcpy(to, t.p, t.n);
			to += t.n + 1;
			r->n[l]++;
		}
	}
}

struct rules *rules_new(const struct node *list)
{
	struct rules *rs;
	size_t bytes = 0;
	char *at;

	if (!node_is(list, DOC_ARRAY))
		list = NULL;
	NODE_FOREACH(n, list)
		bytes += rule_size(n);
	rs = xcalloc(1, sizeof(*rs) + bytes);
	rs->bytes = bytes;
	at = (char *)rs->first;
	NODE_FOREACH(n, list) {
		struct rule *r = (struct rule *)at;

		r->size = (uint32_t)rule_size(n);
		rule_fill(r, n);
		at += r->size;
	}
	return rs;
}

struct rules *rules_free(struct rules *rs)
{
	free(rs);
	return NULL;
}

/* --- matching --- */

static bool rule_has(const struct rule *r, enum rule_list l, const char *want)
{
	RULE_FOREACH(s, i, r, l)
		if (streq(s, want))
			return true;
	return false;
}

static bool rule_has_or_all(const struct rule *r, enum rule_list l, const char *want)
{
	RULE_FOREACH(s, i, r, l)
		if ((s[0] == '*' && !s[1]) || streq(s, want))
			return true;
	return false;
}

/* have is "RESOURCE/SUBRESOURCE", "RESOURCE", or stands for it with stars. */
static bool resource_matches(const char *have, const char *resource, const char *sub)
{
	size_t n;

	if (have[0] == '*' && (!have[1] || (*sub && have[1] == '/' && streq(have + 2, sub))))
		return true;
	if (!*sub)
		return streq(have, resource);
	n = strlen(resource);
	return strncmp(have, resource, n) == 0 && have[n] == '/' && streq(have + n + 1, sub);
}

static bool rule_has_resource(const struct rule *r, const char *resource, const char *sub)
{
	RULE_FOREACH(s, i, r, RULE_RESOURCES)
		if (resource_matches(s, resource, sub))
			return true;
	return false;
}

static bool url_matches(const char *have, const char *path)
{
	size_t n = strlen(have);

	if (streq(have, path))
		return true;
	if (!n || have[n - 1] != '*')
		return false;
	while (n && have[n - 1] == '*')
		n--;
	return strncmp(path, have, n) == 0;
}

static bool rule_has_url(const struct rule *r, const char *path)
{
	RULE_FOREACH(s, i, r, RULE_URLS)
		if (url_matches(s, path))
			return true;
	return false;
}

bool rule_allows(const struct rule *r, const struct attrs *at)
{
	if (!rule_has_or_all(r, RULE_VERBS, at->verb))
		return false;
	if (at->path)
		return rule_has_url(r, at->path);
	return rule_has_or_all(r, RULE_GROUPS, at->group) && rule_has_resource(r, at->resource, at->subresource) &&
	       (!r->n[RULE_NAMES] || rule_has(r, RULE_NAMES, at->name));
}

/* --- taking apart --- */

static void rule_break_verbs(const struct rule *r, struct permission p, void (*f)(void *arg, const struct permission *p),
			     void *arg)
{
	RULE_FOREACH(verb, i, r, RULE_VERBS) {
		p.verb = verb;
		if (p.url || !r->n[RULE_NAMES])
			f(arg, &p);
		else
			RULE_FOREACH(name, j, r, RULE_NAMES) {
				p.name = name;
				f(arg, &p);
			}
	}
}

void rule_break(const struct rule *r, void (*f)(void *arg, const struct permission *p), void *arg)
{
	RULE_FOREACH(group, i, r, RULE_GROUPS)
		RULE_FOREACH(resource, j, r, RULE_RESOURCES)
			rule_break_verbs(r, (struct permission){ .group = group, .resource = resource }, f, arg);
	RULE_FOREACH(url, k, r, RULE_URLS)
		rule_break_verbs(r, (struct permission){ .url = url }, f, arg);
}

static bool rule_covers_resource(const struct rule *r, const char *resource)
{
	const char *sub = strchr(resource, '/');

	RULE_FOREACH(s, i, r, RULE_RESOURCES)
		if (streq(s, "*") || streq(s, resource) || (sub && s[0] == '*' && streq(s + 1, sub)))
			return true;
	return false;
}

bool rule_covers(const struct rule *r, const struct permission *p)
{
	if (!rule_has_or_all(r, RULE_VERBS, p->verb))
		return false;
	if (p->url)
		return !r->n[RULE_NAMES] && rule_has_url(r, p->url);
	return rule_has_or_all(r, RULE_GROUPS, p->group) && rule_covers_resource(r, p->resource) &&
	       (!r->n[RULE_NAMES] || (p->name && rule_has(r, RULE_NAMES, p->name)));
}

/* --- what is missing, as text --- */

static bool permission_same_thing(const struct permission *a, const struct permission *b)
{
	return !a->url && !b->url && streq(a->group, b->group) && streq(a->resource, b->resource) &&
	       !a->name == !b->name && (!a->name || streq(a->name, b->name));
}

static void missing_list(struct buf *out, const char *what, const char *value)
{
	buf_addf(out, "%s:[", what);
	buf_add_quoted(out, str_of(value));
	buf_adds(out, "], ");
}

static void missing_line(struct missing *m, size_t from, bool *said, struct buf *out)
{
	const struct permission *p = &m->all.v[from];

	buf_addch(out, '{');
	if (p->url) {
		missing_list(out, "NonResourceURLs", p->url);
	} else {
		missing_list(out, "APIGroups", p->group);
		missing_list(out, "Resources", p->resource);
	}
	if (p->name)
		missing_list(out, "ResourceNames", p->name);
	buf_adds(out, "Verbs:[");
	buf_add_quoted(out, str_of(p->verb));
	for (size_t i = from + 1; i < m->all.n; i++)
		if (!said[i] && permission_same_thing(p, &m->all.v[i])) {
			said[i] = true;
			buf_addch(out, ' ');
			buf_add_quoted(out, str_of(m->all.v[i].verb));
		}
	buf_adds(out, "]}");
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void missing_print(struct missing *m, struct buf *out)
{
	_cleanup_free_ bool *said = xcalloc(m->all.n + 1, sizeof(*said));
	VEC(char *) lines = VEC_INIT;

	for (size_t i = 0; i < m->all.n; i++) {
		struct buf b = BUF_INIT;

		if (said[i])
			continue;
		missing_line(m, i, said, &b);
		VEC_PUSH(&lines, buf_detach(&b, NULL));
	}
	if (lines.n)
		qsort(lines.v, lines.n, sizeof(*lines.v), line_cmp);
	for (size_t i = 0; i < lines.n; i++) {
		if (!i || !streq(lines.v[i], lines.v[i - 1]))
			buf_addf(out, "%s%s", i ? "\n" : "", lines.v[i]);
	}
	for (size_t i = 0; i < lines.n; i++)
		free(lines.v[i]);
	VEC_RELEASE(&lines);
}

void missing_release(struct missing *m)
{
	VEC_RELEASE(&m->all);
}
