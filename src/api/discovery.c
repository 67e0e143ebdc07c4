/*
 * Documents about the API: discovery (/api, /apis and below, aggregated when the
 * client accepts it), OpenAPI, the list of paths, and what OpenID needs to check
 * service account tokens. All of them come out of the schema; what is here is
 * which form was asked for, and how long it may be kept: every document has an
 * ETag of its content and is 304 for who has it; an OpenAPI document that is asked
 * for with its hash may be kept for ever, and another hash is redirected.
 */
#include "api/internal.h"

#include <stdio.h>

#include "base/digest.h"
#include "base/time.h"
#include "http/http.h"

#define OPENAPI_GZIP_BYTES 1400 /* such documents are compressed from here on */

/* --- ETag --- */

static bool etag_matches(const struct req *r, const char *etag)
{
	struct str v = http_head_get(r->head, "If-None-Match");

	return v.n && (str_eqc(v, etag) || str_eqc(v, "*"));
}

/* The text is the answer; 304 when the client has it already. */
static int answer_document(struct req *r, const char *type)
{
	char hex[DIGEST_SHA256_HEX];

	digest_sha256_hex(buf_str(&r->text), hex);
	for (char *c = hex; *c; c++)
		if (*c >= 'a' && *c <= 'f')
			*c += 'A' - 'a';
	r->etag = arena_printf(r->arena, "\"%s\"", hex);
	answer_text(r, 200, type);
	if (etag_matches(r, r->etag)) {
		buf_clear(&r->text);
		r->status = 304;
	}
	return STEP_DONE;
}

/* --- discovery --- */

/* The aggregated form's version that the client takes: "v2", "v2beta1" or NULL. */
static const char *accepts_aggregated(const struct req *r)
{
	struct str rest = http_head_get(r->head, "Accept");

	while (rest.p) {
		struct str range = str_cut(&rest, ',');
		_cleanup_free_ char *one = str_dup(range);

		if (!strstr(one, "as=APIGroupDiscoveryList") || !strstr(one, "g=apidiscovery.k8s.io") ||
		    !strstr(one, "json"))
			continue;
		if (strstr(one, "v=v2beta1"))
			return "v2beta1";
		if (strstr(one, "v=v2"))
			return "v2";
	}
	return NULL;
}

static int discovery_root(struct req *r, bool core)
{
	const char *version = accepts_aggregated(r);

	r->vary_accept = true;
	if (version) {
		r->cache_control = "public";
		schema_discovery_aggregated(core, version, &r->text);
		return answer_document(r, arena_printf(r->arena,
						       "application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList",
						       version));
	}
	schema_discovery_root(core, r->api->cfg.server_address, &r->text);
	return answer_document(r, "application/json");
}

int act_discovery(struct req *r, struct err *e)
{
	struct str rest = str_of(r->at.path + 1), top = str_cut(&rest, '/');
	bool core = str_eqc(top, "api");
	struct str group = STR_LIT(""), version;

	r->text_pretty = true;
	if (!rest.n)
		return discovery_root(r, core);
	if (!core)
		group = str_cut(&rest, '/');
	version = str_cut(&rest, '/');
	if (rest.n)
		return status_generic_not_found(e);
	if (!(version.n ? schema_discovery_version(group, version, &r->text) : schema_discovery_group(group, &r->text)))
		return status_generic_not_found(e);
	return answer_document(r, "application/json");
}

/* --- OpenAPI --- */

static bool accepts_protobuf(const struct req *r)
{
	_cleanup_free_ char *accept = str_dup(http_head_get(r->head, "Accept"));
	const char *proto = strstr(accept, "proto-openapi.spec.v2"), *json = strstr(accept, "application/json");

	return proto && (!json || proto < json);
}

/* One group version's document; hash: which the client thinks to be the present one, or NULL. */
static int openapi_v3_document(struct req *r, const char *path, const char *hash, struct err *e)
{
	char when[TIME_HTTP_LEN];
	int step;

	if (!schema_openapi_v3(str_of(path), &r->text))
		return status_generic_not_found(e);
	step = answer_document(r, "application/json");
	if (str_empty(hash))
		return step;
	if (str_eqc(str_sub(str_of(r->etag), 1, strlen(r->etag) - 1), hash)) {
		r->cache_control = "public, immutable";
		r->expires = arena_strdup(r->arena, time_fmt_http(when, time_wall_s() + 365 * DAY_S));
		return step;
	}
	r->location = arena_printf(r->arena, "/openapi/v3/%s?hash=%.*s", path, (int)strlen(r->etag) - 2, r->etag + 1);
	buf_clear(&r->text);
	answer_text(r, 301, "text/html; charset=utf-8");
	return STEP_DONE;
}

int act_openapi(struct req *r, struct err *e)
{
	static const char v3[] = "/openapi/v3/";
	bool protobuf;

	r->vary_accept = true;
	r->gzip_over = OPENAPI_GZIP_BYTES;
	if (starts_with(r->at.path, v3) && r->at.path[strlen(v3)])
		return openapi_v3_document(r, r->at.path + strlen(v3), req_query(r, "hash"), e);
	if (starts_with(r->at.path, "/openapi/v3")) {
		schema_openapi_v3_index(&r->text);
		return answer_document(r, "application/json");
	}
	protobuf = accepts_protobuf(r);
	schema_openapi_v2(protobuf, &r->text);
	return answer_document(r, protobuf ? "application/com.github.proto-openapi.spec.v2.v1.0+protobuf" :
					     "application/json");
}

/* --- paths, OpenID --- */

static void paths_add(struct buf *out, bool *first, const char *fmt, ...) ATTR_PRINTF(3, 4);
static void paths_add(struct buf *out, bool *first, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	if (!*first)
		buf_addch(out, ',');
	*first = false;
	buf_add_json_string(out, str_of(text));
}

int act_paths(struct req *r, struct err *e)
{
	const char *group = "", *version = "";
	bool first = true;

	buf_adds(&r->text, "{\"paths\":[");
	paths_add(&r->text, &first, "/api");
	paths_add(&r->text, &first, "/api/v1");
	paths_add(&r->text, &first, "/apis");
	for (const struct schema_res *s = schema_next(NULL); s; s = schema_next(s)) {
		if (!s->served || !*s->r.group || (streq(s->r.group, group) && streq(s->r.version, version)))
			continue;
		if (!streq(s->r.group, group))
			paths_add(&r->text, &first, "/apis/%s", s->r.group);
		group = s->r.group;
		version = s->r.version;
		paths_add(&r->text, &first, "/apis/%s/%s", group, version);
	}
	for (const struct path_route *p = path_routes + 3; p->path; p++)
		paths_add(&r->text, &first, "%s", p->path);
	buf_adds(&r->text, "]}\n");
	answer_text(r, 200, "application/json");
	return STEP_DONE;
}
