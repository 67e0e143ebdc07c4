/*
 * Documents about the API: discovery (/api, /apis and below, aggregated when the
 * client accepts it), OpenAPI, the list of paths, and what OpenID needs to check
 * service account tokens. All of them come out of the schema; what is here is
 * which form was asked for, ETag and 304.
 */
#include "api/internal.h"

#include <stdio.h>

#include "base/digest.h"
#include "http/http.h"

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

	if (version) {
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

int act_openapi(struct req *r, struct err *e)
{
	static const char v3[] = "/openapi/v3/";
	bool protobuf;

	if (starts_with(r->at.path, v3) && r->at.path[strlen(v3)]) {
		if (!schema_openapi_v3(str_of(r->at.path + strlen(v3)), &r->text))
			return status_generic_not_found(e);
		return answer_document(r, "application/json");
	}
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
