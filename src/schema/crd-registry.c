/*
 * The resources of CustomResourceDefinitions: which there are, under which
 * names, in which order; and their schemas.
 *
 * Members of one group stand together, its versions by Kubernetes' priority (v2
 * before v1 before v1beta1), as discovery shows them. Entries are never freed:
 * others point to them. What is in the tables cannot be replaced: a definition
 * that names it is not served.
 *
 * A schema as a tree takes some thirty times its bytes, and of those that are
 * there few are in use: SCHEMAS_BYTES of them stay, without the prose that only
 * OpenAPI shows, the least recently used goes first.
 */
#include "schema/crd.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/tree.h"
#include "base/vec.h"

#define SCHEMAS_BYTES (2u << 20)
#define SCHEMAS_MIN 4 /* as many as one request may have in hand stay in any case */

/* A version of a definition: what others see is its first member. */
struct crd_res {
	struct schema_res res;
	struct schema_custom custom;
	char *crd_name; /* "plural.group" */
	bool live; /* the definition is there and has this version */
	bool inside; /* of a group that the tables have too */
	struct schema_subres subres[2]; /* status, scale */
	TAILQ_ENTRY(crd_res) used; /* while schema is set: least recently used first */
	struct doc *schema; /* the version's openAPIV3Schema, without prose */
	size_t schema_bytes;
};

static struct map *crd_strings; /* text -> itself: names live for ever */
static struct map *crd_by_plural, *crd_by_kind; /* "group/version/name" -> struct crd_res */
static VEC(struct crd_res *) crd_all; /* in order */
static TAILQ_HEAD(, crd_res) crd_used = TAILQ_HEAD_INITIALIZER(crd_used);
static size_t crd_used_bytes, crd_used_n;
static uint64_t crd_generation;
static const char *const crd_no_names[] = { NULL };

static struct crd_res *crd_of(const struct schema_custom *c)
{
	return CONTAINER_OF(c, struct crd_res, custom);
}

static const char *crd_intern(const char *s)
{
	char *have;

	if (!crd_strings)
		crd_strings = map_new(NULL);
	have = map_getc(crd_strings, s);
	if (!have) {
		have = xstrdup(s);
		map_set(crd_strings, str_of(s), have);
	}
	return have;
}

static struct str crd_key(struct buf *b, struct str group, struct str version, struct str name)
{
	buf_clear(b);
	buf_addstr(b, group);
	buf_addch(b, '/');
	buf_addstr(b, version);
	buf_addch(b, '/');
	buf_addstr(b, name);
	return buf_str(b);
}

/* --- order --- */

/* "v1beta2": GA above beta above alpha above anything else, then larger numbers first. */
static int crd_version_parts(const char *v, long part[2])
{
	char *end;
	int rank = 3;

	if (v[0] != 'v' || v[1] < '1' || v[1] > '9')
		return 0;
	part[0] = strtol(v + 1, &end, 10);
	part[1] = 0;
	if (!*end)
		return rank;
	rank = starts_with(end, "beta") ? 2 : starts_with(end, "alpha") ? 1 : 0;
	end += rank == 2 ? 4 : 5;
	if (!rank || *end < '1' || *end > '9')
		return 0;
	part[1] = strtol(end, &end, 10);
	return *end ? 0 : rank;
}

int schema_version_cmp(const char *a, const char *b)
{
	long pa[2] = { 0 }, pb[2] = { 0 };
	int ra = crd_version_parts(a, pa), rb = crd_version_parts(b, pb);

	if (ra != rb)
		return rb - ra;
	for (int i = 0; ra && i < 2; i++)
		if (pa[i] != pb[i])
			return pa[i] > pb[i] ? -1 : 1;
	return strcmp(a, b);
}

static int crd_cmp(const struct resource *a, const struct resource *b)
{
	int c = strcmp(a->group, b->group);

	if (c == 0)
		c = schema_version_cmp(a->version, b->version);
	return c ? c : strcmp(a->plural, b->plural);
}

/* The first that is not before r. */
static size_t crd_place(const struct resource *r)
{
	size_t lo = 0, hi = crd_all.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (crd_cmp(&crd_all.v[mid]->res.r, r) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool crd_group_is_built_in(const char *group)
{
	for (size_t i = 0; i < schema_n_resources; i++)
		if (streq(schema_resources[i].r.group, group))
			return true;
	return false;
}

bool schema_is_built_in(const char *group, const char *plural)
{
	for (size_t i = 0; i < schema_n_resources; i++)
		if (streq(schema_resources[i].r.group, group) && streq(schema_resources[i].r.plural, plural))
			return true;
	return false;
}

/* From place i on: the first that is live, of that group (NULL: of one that the tables do not have). */
static const struct schema_res *crd_live_from(size_t i, const char *group)
{
	for (; i < crd_all.n; i++) {
		const struct resource *r = &crd_all.v[i]->res.r;

		if (group && !streq(r->group, group))
			return NULL;
		if (crd_all.v[i]->live && (group || !crd_all.v[i]->inside))
			return &crd_all.v[i]->res;
	}
	return NULL;
}

static const struct schema_res *crd_first_of(const char *group)
{
	struct resource from = { .group = group, .version = "v999999999", .plural = "" };

	return crd_live_from(crd_place(&from), group);
}

/* The order of all: each group of the tables with what definitions add to it, then the other groups by name. */
const struct schema_res *schema_next(const struct schema_res *prev)
{
	const struct schema_res *end = schema_resources + schema_n_resources, *at = prev, *r;

	if (!prev)
		return schema_resources;
	if (prev->custom) {
		bool inside = crd_of(prev->custom)->inside;

		r = crd_live_from(crd_place(&prev->r) + 1, inside ? prev->r.group : NULL);
		if (r || !inside)
			return r;
		for (at = schema_resources; !streq(at->r.group, prev->r.group); at++)
			;
		while (at + 1 < end && streq(at[1].r.group, at->r.group))
			at++;
	} else if (at + 1 < end && streq(at[1].r.group, at->r.group)) {
		return at + 1;
	} else if ((r = crd_first_of(at->r.group))) {
		return r;
	}
	return at + 1 < end ? at + 1 : crd_live_from(0, NULL);
}

/* --- finding --- */

static const struct schema_res *crd_lookup(const struct map *m, struct str group, struct str version, struct str name)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	const struct crd_res *c = m ? map_get(m, crd_key(&key, group, version, name)) : NULL;

	return c && c->live && c->res.served ? &c->res : NULL;
}

const struct schema_res *crd_find(struct str group, struct str version, struct str plural)
{
	return crd_lookup(crd_by_plural, group, version, plural);
}

const struct schema_res *crd_find_kind(struct str group, struct str version, struct str kind)
{
	return crd_lookup(crd_by_kind, group, version, kind);
}

static struct crd_res *crd_any(const char *group, const char *version, const char *plural)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	return crd_by_plural ? map_get(crd_by_plural, crd_key(&key, str_of(group), str_of(version), str_of(plural))) :
			       NULL;
}

const struct schema_res *schema_custom_version(const struct schema_res *r, const char *api_version)
{
	const char *slash = strchr(api_version, '/');
	struct crd_res *c;

	if (!slash || !str_eqc(str_n(api_version, (size_t)(slash - api_version)), r->r.group))
		return NULL;
	c = crd_any(r->r.group, slash + 1, r->r.plural);
	return c ? &c->res : NULL;
}

const struct schema_res *schema_custom_of(const char *name)
{
	for (size_t i = 0; i < crd_all.n; i++)
		if (crd_all.v[i]->live && streq(crd_all.v[i]->crd_name, name))
			return crd_all.v[i]->custom.storage;
	return NULL;
}

uint64_t schema_custom_generation(void)
{
	return crd_generation;
}

/* --- schemas --- */

const struct node *schema_custom_spec(const struct schema_custom *c)
{
	return c->crd ? node_get(obj_node(c->crd), F_spec) : NULL;
}

static const struct node *crd_entry(const struct node *spec, const char *version)
{
	NODE_FOREACH(v, node_get(spec, F_versions))
		if (node_streq(node_get(v, F_name), version))
			return v;
	return NULL;
}

const struct node *schema_custom_entry(const struct schema_custom *c)
{
	return crd_entry(schema_custom_spec(c), c->version);
}

const struct node *schema_custom_scale(const struct schema_custom *c)
{
	return node_path(schema_custom_entry(c), F_subresources, F_scale);
}

/* Copies a schema. Prose stands beside keywords only; below properties every name is a name. */
static struct node *crd_strip(struct doc *d, const struct node *n, bool names)
{
	struct node *copy;

	if (!node_is(n, DOC_OBJECT))
		return node_copy(d, n);
	copy = node_new(d, DOC_OBJECT);
	NODE_FOREACH(c, n) {
		bool prose = !names && (c->name == F_description || c->name == F_example || c->name == F_externalDocs ||
					c->name == F_title || c->name == F_x_kubernetes_validations);
		bool schemas = !names && c->name == F_properties;
		bool schema = names || c->name == F_items || c->name == F_additionalProperties || c->name == F_not;

		if (prose && node_type(c) != DOC_OBJECT)
			continue;
		node_setk(d, copy, node_key(c), schemas || schema ? crd_strip(d, c, schemas) : node_copy(d, c));
	}
	return copy;
}

static void crd_schema_drop(struct crd_res *c)
{
	if (!c->schema)
		return;
	TAILQ_REMOVE(&crd_used, c, used);
	crd_used_bytes -= c->schema_bytes;
	crd_used_n--;
	c->schema = doc_unref(c->schema);
}

static void crd_schema_make(struct crd_res *c, const struct node *full)
{
	struct crd_res *old;

	c->schema = doc_new();
	doc_set_root(c->schema, crd_strip(c->schema, full, false));
	doc_freeze(c->schema);
	c->schema_bytes = doc_memory(c->schema);
	crd_used_bytes += c->schema_bytes;
	TAILQ_INSERT_TAIL(&crd_used, c, used);
	crd_used_n++;
	while (crd_used_bytes > SCHEMAS_BYTES && crd_used_n > SCHEMAS_MIN) {
		old = TAILQ_FIRST(&crd_used);
		crd_schema_drop(old);
	}
}

const struct node *schema_custom_schema(const struct schema_custom *custom)
{
	struct crd_res *c = crd_of(custom);

	if (!c->schema) {
		const struct node *full = node_path(schema_custom_entry(custom), F_schema, F_openAPIV3Schema);

		if (!full)
			return NULL;
		crd_schema_make(c, full);
	} else if (TAILQ_NEXT(c, used)) {
		TAILQ_REMOVE(&crd_used, c, used);
		TAILQ_INSERT_TAIL(&crd_used, c, used);
	}
	return doc_root(c->schema);
}

/* --- taking definitions in --- */

static struct crd_res *crd_new(const char *crd_name, const char *group, const char *version, const char *plural)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct crd_res *c = xcalloc(1, sizeof(*c));
	struct resource *r = &c->res.r;
	size_t at;

	if (!crd_by_plural) {
		crd_by_plural = map_new(NULL);
		crd_by_kind = map_new(NULL);
	}
	c->crd_name = xstrdup(crd_name);
	r->group = crd_intern(group);
	r->version = crd_intern(version);
	r->plural = crd_intern(plural);
	buf_addf(&key, "/registry/%s/%s/", group, plural);
	r->prefix = crd_intern(key.s);
	buf_clear(&key);
	buf_addf(&key, "%s/%s", group, version);
	r->api_version = crd_intern(key.s);
	r->kind = r->list_kind = r->singular = "";
	c->res.verbs = SV_GET | SV_LIST | SV_WATCH | SV_CREATE | SV_UPDATE | SV_PATCH | SV_DELETE | SV_DELETECOLLECTION;
	c->res.short_names = c->res.categories = crd_no_names;
	c->res.custom = &c->custom;
	c->custom.version = r->version;
	c->custom.storage = &c->res;
	c->inside = crd_group_is_built_in(group);
	map_set(crd_by_plural, crd_key(&key, str_of(group), str_of(version), str_of(plural)), c);
	at = crd_place(r);
	VEC_PUSH(&crd_all, c);
	memmove(crd_all.v + at + 1, crd_all.v + at, (crd_all.n - at - 1) * sizeof(*crd_all.v));
	crd_all.v[at] = c;
	return c;
}

static void crd_set_list(const char *const **list, const struct node *n)
{
	const char **v;
	size_t i = 0;

	if (*list != crd_no_names)
		free((void *)*list);
	*list = crd_no_names;
	if (!node_count(n))
		return;
	v = xcalloc(node_count(n) + 1, sizeof(*v));
	NODE_FOREACH(c, n)
		if (node_is(c, DOC_STRING))
			v[i++] = crd_intern(node_cstr(c));
	*list = v;
}

static void crd_set_names(struct crd_res *c, const struct node *names)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct resource *r = &c->res.r;

	if (*r->kind && map_get(crd_by_kind, crd_key(&key, str_of(r->group), str_of(r->version), str_of(r->kind))) == c)
		map_del(crd_by_kind, buf_str(&key));
	r->kind = crd_intern(node_gets(names, F_kind));
	r->list_kind = crd_intern(node_gets(names, F_listKind));
	r->singular = crd_intern(node_gets(names, F_singular));
	map_set(crd_by_kind, crd_key(&key, str_of(r->group), str_of(r->version), str_of(r->kind)), c);
	crd_set_list(&c->res.short_names, node_get(names, F_shortNames));
	crd_set_list(&c->res.categories, node_get(names, F_categories));
}

static void crd_set_subres(struct crd_res *c, const struct node *entry)
{
	const struct node *sub = node_get(entry, F_subresources);
	unsigned verbs = SV_GET | SV_PATCH | SV_UPDATE;

	c->res.subres = c->subres;
	c->res.n_subres = 0;
	if (node_get(sub, F_status))
		c->subres[c->res.n_subres++] = (struct schema_subres){ "status", c->res.r.kind, NULL, NULL, verbs };
	if (node_get(sub, F_scale))
		c->subres[c->res.n_subres++] = (struct schema_subres){ "scale", "Scale", "autoscaling", "v1", verbs };
}

/* What clients of a deprecated version are told; NULL: it is none. */
static const char *crd_deprecation(const struct crd_res *c, const struct node *entry)
{
	const struct node *text = node_get(entry, F_deprecationWarning);
	_cleanup_free_ char *plain = NULL;

	if (!node_bool(node_get(entry, F_deprecated), false))
		return NULL;
	if (text)
		return crd_intern(node_cstr_or(text, ""));
	plain = xasprintf("%s %s is deprecated", c->res.r.api_version, c->res.r.kind);
	return crd_intern(plain);
}

static void crd_set_version(struct crd_res *c, struct obj *crd, const struct node *spec, const struct node *entry)
{
	const struct node *status = node_get(obj_node(crd), F_status), *conds = node_get(status, F_conditions);
	const struct node *was = c->custom.crd ? schema_custom_spec(&c->custom) : NULL;
	bool same = was && node_equal(was, spec);

	if (!same)
		crd_schema_drop(c);
	/* What was written under this very schema needs no second look. */
	if (!same)
		c->custom.schema_rv = crd->rv;
	obj_ref(crd);
	obj_unref(c->custom.crd);
	c->custom.crd = crd;
	c->custom.terminating = cond_is_true(conds, "Terminating");
	c->custom.webhook = node_streq(node_path(spec, F_conversion, F_strategy), "Webhook");
	c->res.r.namespaced = node_streq(node_get(spec, F_scope), "Namespaced");
	crd_set_names(c, node_get(status, F_acceptedNames));
	crd_set_subres(c, entry);
	c->res.served = node_bool(node_get(entry, F_served), false);
	c->res.deprecation = crd_deprecation(c, entry);
	c->live = true;
}

static void crd_unset(struct crd_res *c)
{
	crd_schema_drop(c);
	c->live = c->res.served = false;
	c->custom.crd = obj_unref(c->custom.crd);
}

/* The version that is asked for first: of the served ones of a group the one of the highest priority. */
static void crd_set_preferred(const char *group)
{
	const char *first = NULL;

	if (crd_group_is_built_in(group))
		return;
	for (const struct schema_res *r = crd_first_of(group); r && streq(r->r.group, group); r = schema_next(r)) {
		if (!first && r->served)
			first = r->r.version;
		crd_of(r->custom)->res.preferred = first && streq(first, r->r.version);
	}
}

static bool crd_established(struct obj *crd)
{
	return cond_is_true(node_path(obj_node(crd), F_status, F_conditions), "Established");
}

void schema_custom_set(struct obj *crd, void (*changed)(void *arg, const struct schema_res *r), void *arg)
{
	_cleanup_doc_ struct doc *d = doc_ref(obj_doc(crd)); /* changed may drop trees that nobody holds */
	const struct node *spec = node_get(doc_root(d), F_spec);
	const char *group = node_gets(spec, F_group), *plural = node_gets(node_get(spec, F_names), F_plural);
	const struct schema_res *storage = NULL;

	if (!crd_established(crd) || schema_is_built_in(group, plural)) {
		schema_custom_remove(crd->name, changed, arg);
		return;
	}
	crd_generation++;
	for (size_t i = 0; i < crd_all.n; i++) {
		struct crd_res *c = crd_all.v[i];

		if (c->live && streq(c->crd_name, crd->name) && !crd_entry(spec, c->custom.version)) {
			crd_unset(c);
			changed(arg, &c->res);
		}
	}
	NODE_FOREACH(v, node_get(spec, F_versions)) {
		const char *version = node_gets(v, F_name);
		struct crd_res *c = crd_any(group, version, plural);

		if (!c)
			c = crd_new(crd->name, group, version, plural);
		crd_set_version(c, crd, spec, v);
		if (node_bool(node_get(v, F_storage), false))
			storage = &c->res;
		changed(arg, &c->res);
	}
	for (const struct schema_res *r = crd_first_of(group); r && streq(r->r.group, group); r = schema_next(r))
		if (streq(r->r.plural, plural))
			crd_of(r->custom)->custom.storage = storage ? storage : r;
	crd_set_preferred(group);
}

void schema_custom_remove(const char *name, void (*changed)(void *arg, const struct schema_res *r), void *arg)
{
	for (size_t i = 0; i < crd_all.n; i++) {
		struct crd_res *c = crd_all.v[i];

		if (!c->live || !streq(c->crd_name, name))
			continue;
		crd_generation++;
		crd_unset(c);
		changed(arg, &c->res);
		crd_set_preferred(c->res.r.group);
	}
}
