/*
 * Discovery: what the server offers, told from schema_next() in three forms.
 *
 *   /api, /apis             APIVersions, APIGroupList
 *   /apis/G                 APIGroup
 *   /api/v1, /apis/G/V      APIResourceList: resources and subresources in one list
 *   /api, /apis, aggregated APIGroupDiscoveryList of apidiscovery.k8s.io v2 or v2beta1,
 *                           all groups with all their resources in one answer (KEP-3352)
 *
 * The order of groups is kube-apiserver's order of priority, of versions the
 * newest first, which makes the first one the preferred one: kubectl takes the
 * first group that knows a name. Both come with the table. storageVersionHash
 * is Kubernetes' own: eight bytes of the SHA-256 of "GROUP/VERSION/KIND" of
 * what is stored, in base64.
 */
#include "base/digest.h"
#include "schema/internal.h"

/* --- pieces --- */
static void disc_pair(struct buf *out, const char *key, const char *value)
{
	if (out->s[out->len - 1] != '{')
		buf_addch(out, ',');
	buf_addf(out, "\"%s\":\"%s\"", key, value);
}

static void disc_strings(struct buf *out, const char *key, const char *const *v)
{
	if (!*v)
		return;
	buf_addf(out, ",\"%s\":[", key);
	for (size_t i = 0; v[i]; i++)
		buf_addf(out, "%s\"%s\"", i ? "," : "", v[i]);
	buf_addch(out, ']');
}

static void disc_verbs(struct buf *out, unsigned verbs)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = {
		{SV_CREATE, "create"}, {SV_DELETE, "delete"}, {SV_DELETECOLLECTION, "deletecollection"},
		{SV_GET, "get"},       {SV_LIST, "list"},     {SV_PATCH, "patch"},
		{SV_UPDATE, "update"}, {SV_WATCH, "watch"},
	};
	bool first = true;

	buf_adds(out, ",\"verbs\":[");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!(verbs & names[i].bit))
			continue;
		buf_addf(out, "%s\"%s\"", first ? "" : ",", names[i].name);
		first = false;
	}
	buf_addch(out, ']');
}

static void disc_storage_hash(struct buf *out, const struct schema_res *r)
{
	const struct resource *s = &schema_storage(r)->r;
	_cleanup_buf_ struct buf text = BUF_INIT;
	uint8_t sum[DIGEST_SHA256_LEN];

	if (r->is_virtual)
		return;
	buf_addf(&text, "%s/%s/%s", s->group, s->version, s->kind);
	digest_sha256(buf_str(&text), sum);
	buf_adds(out, ",\"storageVersionHash\":\"");
	buf_add_base64(out, sum, 8, false);
	buf_addch(out, '"');
}

/* --- walking: one group's rows are neighbours, so are one version's --- */
/* The next served row from r on; NULL when there is none. */
static const struct schema_res *disc_served(const struct schema_res *r)
{
	while (r && !r->served)
		r = schema_next(r);
	return r;
}

static bool disc_same_group(const struct schema_res *a, const struct schema_res *b)
{
	return b && streq(a->r.group, b->r.group);
}

static bool disc_same_version(const struct schema_res *a, const struct schema_res *b)
{
	return disc_same_group(a, b) && streq(a->r.version, b->r.version);
}

static const struct schema_res *disc_next_version(const struct schema_res *r)
{
	const struct schema_res *n = r;

	while (disc_same_version(r, n))
		n = disc_served(schema_next(n));
	return n;
}

static const struct schema_res *disc_next_group(const struct schema_res *r)
{
	const struct schema_res *n = r;

	while (disc_same_group(r, n))
		n = disc_next_version(n);
	return n;
}

static const struct schema_res *disc_find_group(struct str group)
{
	const struct schema_res *r = disc_served(schema_next(NULL));

	while (r && !str_eqc(group, r->r.group))
		r = disc_next_group(r);
	return r;
}

/* --- groups --- */
static void disc_group_version(struct buf *out, const struct schema_res *r)
{
	buf_addch(out, '{');
	disc_pair(out, "groupVersion", r->r.api_version);
	disc_pair(out, "version", r->r.version);
	buf_addch(out, '}');
}

/* The members of an APIGroup whose first row is r; the object is open. */
static void disc_group_members(struct buf *out, const struct schema_res *r)
{
	const struct schema_res *v = r;

	disc_pair(out, "name", r->r.group);
	buf_adds(out, ",\"versions\":[");
	while (disc_same_group(r, v)) {
		if (v != r)
			buf_addch(out, ',');
		disc_group_version(out, v);
		v = disc_next_version(v);
	}
	buf_adds(out, "],\"preferredVersion\":");
	disc_group_version(out, r);
}

void schema_discovery_root(bool core, const char *server_address, struct buf *out)
{
	bool first = true;

	if (core) {
		buf_adds(out,
			 "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":"
			 "[{\"clientCIDR\":\"0.0.0.0/0\",\"serverAddress\":");
		buf_add_json_string(out, str_of(server_address));
		buf_adds(out, "}]}\n");
		return;
	}
	buf_adds(out, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
	for (const struct schema_res *r = disc_served(schema_next(NULL)); r;
	     r = disc_next_group(r)) {
		if (!*r->r.group)
			continue;
		buf_adds(out, first ? "{" : ",{");
		first = false;
		disc_group_members(out, r);
		buf_addch(out, '}');
	}
	buf_adds(out, "]}\n");
}

bool schema_discovery_group(struct str group, struct buf *out)
{
	const struct schema_res *r = group.n ? disc_find_group(group) : NULL;

	if (!r)
		return false;
	buf_addch(out, '{');
	disc_pair(out, "kind", "APIGroup");
	disc_pair(out, "apiVersion", "v1");
	disc_group_members(out, r);
	buf_adds(out, "}\n");
	return true;
}

/* --- APIResourceList --- */
static void disc_subresource(struct buf *out, const struct schema_res *r, const struct schema_subres *s)
{
	buf_addf(out, ",{\"name\":\"%s/%s\",\"singularName\":\"\",\"namespaced\":%s", r->r.plural, s->name,
		 r->r.namespaced ? "true" : "false");
	if (s->version) {
		disc_pair(out, "group", s->group);
		disc_pair(out, "version", s->version);
	}
	disc_pair(out, "kind", s->kind);
	disc_verbs(out, s->verbs);
	buf_addch(out, '}');
}

static void disc_resource(struct buf *out, const struct schema_res *r)
{
	buf_addch(out, '{');
	disc_pair(out, "name", r->r.plural);
	disc_pair(out, "singularName", r->r.singular);
	buf_addf(out, ",\"namespaced\":%s", r->r.namespaced ? "true" : "false");
	disc_pair(out, "kind", r->r.kind);
	disc_verbs(out, r->verbs);
	disc_strings(out, "shortNames", r->short_names);
	disc_strings(out, "categories", r->categories);
	disc_storage_hash(out, r);
	buf_addch(out, '}');
	for (size_t i = 0; i < r->n_subres; i++)
		disc_subresource(out, r, &r->subres[i]);
}

bool schema_discovery_version(struct str group, struct str version, struct buf *out)
{
	const struct schema_res *g = disc_find_group(group), *first = g;

	if (!g)
		return false;
	while (disc_same_group(g, first) && !str_eqc(version, first->r.version))
		first = disc_next_version(first);
	if (!disc_same_group(g, first))
		return false;
	buf_addch(out, '{');
	disc_pair(out, "kind", "APIResourceList");
	if (group.n)
		disc_pair(out, "apiVersion", "v1");
	disc_pair(out, "groupVersion", first->r.api_version);
	buf_adds(out, ",\"resources\":[");
	for (const struct schema_res *r = first; disc_same_version(first, r); r = disc_served(schema_next(r))) {
		if (r != first)
			buf_addch(out, ',');
		disc_resource(out, r);
	}
	buf_adds(out, "]}\n");
	return true;
}

/* --- aggregated --- */
static void disc_response_kind(struct buf *out, const char *group, const char *version, const char *kind)
{
	buf_addf(out, ",\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"}", group,
		 version, kind);
}

static void disc_aggregated_subresources(struct buf *out, const struct schema_res *r)
{
	if (!r->n_subres)
		return;
	buf_adds(out, ",\"subresources\":[");
	for (size_t i = 0; i < r->n_subres; i++) {
		const struct schema_subres *s = &r->subres[i];

		buf_addf(out, "%s{\"subresource\":\"%s\"", i ? "," : "", s->name);
		disc_response_kind(out, s->version ? s->group : r->r.group,
				   s->version ? s->version : r->r.version, s->kind);
		disc_verbs(out, s->verbs);
		buf_addch(out, '}');
	}
	buf_addch(out, ']');
}

static void disc_aggregated_resource(struct buf *out, const struct schema_res *r)
{
	buf_addch(out, '{');
	disc_pair(out, "resource", r->r.plural);
	disc_response_kind(out, r->r.group, r->r.version, r->r.kind);
	disc_pair(out, "scope", r->r.namespaced ? "Namespaced" : "Cluster");
	disc_pair(out, "singularResource", r->r.singular);
	disc_verbs(out, r->verbs);
	disc_strings(out, "shortNames", r->short_names);
	disc_strings(out, "categories", r->categories);
	disc_aggregated_subresources(out, r);
	buf_addch(out, '}');
}

static void disc_aggregated_version(struct buf *out, const struct schema_res *first)
{
	buf_addf(out, "{\"version\":\"%s\",\"resources\":[", first->r.version);
	for (const struct schema_res *r = first; disc_same_version(first, r); r = disc_served(schema_next(r))) {
		if (r != first)
			buf_addch(out, ',');
		disc_aggregated_resource(out, r);
	}
	buf_adds(out, "],\"freshness\":\"Current\"}");
}

static void disc_aggregated_group(struct buf *out, const struct schema_res *g)
{
	buf_adds(out, "{\"metadata\":{");
	if (*g->r.group)
		disc_pair(out, "name", g->r.group);
	buf_addf(out, "%s\"creationTimestamp\":null},\"versions\":[", *g->r.group ? "," : "");
	for (const struct schema_res *v = g; disc_same_group(g, v); v = disc_next_version(v)) {
		if (v != g)
			buf_addch(out, ',');
		disc_aggregated_version(out, v);
	}
	buf_adds(out, "]}");
}

void schema_discovery_aggregated(bool core, const char *version, struct buf *out)
{
	bool first = true;

	buf_addf(out,
		 "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/%s\","
		 "\"metadata\":{},\"items\":[",
		 version);
	for (const struct schema_res *g = disc_served(schema_next(NULL)); g;
	     g = disc_next_group(g)) {
		if (!*g->r.group != core)
			continue;
		if (!first)
			buf_addch(out, ',');
		first = false;
		disc_aggregated_group(out, g);
	}
	buf_adds(out, "]}\n");
}
