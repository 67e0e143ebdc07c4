/*
 * Inside of the OpenAPI documents; used by openapi*.c only.
 *
 * The documents are written once, by calls that name a member both ways: by
 * its key in JSON and by its field number in gnostic's openapi.v2.Document
 * (openapiv2/OpenAPIv2.proto). One walk over the type tables so makes version
 * 2 as JSON, version 2 as protobuf, and version 3.
 */
#ifndef SCHEMA_OPENAPI_H
#define SCHEMA_OPENAPI_H

#include "schema/internal.h"

enum oa_form { OA_V2_JSON, OA_V2_PROTO, OA_V3 };

/* oa_open's list elements and members nest as deep as this; schemas of built-in types need ten, those of
 * definitions as many as a document's depth allows. */
enum { OA_DEPTH = 160, OA_NESTED = 6 };

/* Field numbers of gnostic's messages one in the other, outermost first, that make up one object. */
#define OA_N(...) ((const uint8_t[]){__VA_ARGS__, 0})

struct oa {
	struct buf *out;
	enum oa_form form;
	unsigned depth;
	struct {
		size_t at[OA_NESTED]; /* protobuf: where the contents of nested messages began */
		uint8_t n;	      /* so many */
	} level[OA_DEPTH];
	struct buf text; /* scratch of whoever puts a short JSON text together for oa_any and oa_ext */
	uint8_t *wanted; /* by index of schema_types: 1: a definition is asked for, 2: its parts are too */
};

/* Field numbers of gnostic, by message. */
/* clang-format off */
enum {
	DOC_SWAGGER = 1, DOC_INFO = 2, DOC_PATHS = 8, DOC_DEFINITIONS = 9, DOC_PARAMETERS = 10,
	INFO_TITLE = 1, INFO_VERSION = 2,
	PATHS_PATH = 2,
	MAP_ENTRY = 1, /* additional_properties of Definitions, Properties, ParameterDefinitions */
	PATH_GET = 2, PATH_PUT = 3, PATH_POST = 4, PATH_DELETE = 5, PATH_PATCH = 8, PATH_PARAMETERS = 9,
	OP_TAGS = 1, OP_DESCRIPTION = 3, OP_ID = 5, OP_PRODUCES = 6, OP_CONSUMES = 7, OP_PARAMETERS = 8,
	OP_RESPONSES = 9, OP_EXT = 13,
	ITEM_PARAMETER = 1, ITEM_REF = 2, /* of ParametersItem */
	PARAMETER_BODY = 1, PARAMETER_OTHER = 2, /* of Parameter */
	OTHER_QUERY = 3, OTHER_PATH = 4, /* of NonBodyParameter */
	BODY_NAME = 2, BODY_IN = 3, BODY_REQUIRED = 4, BODY_SCHEMA = 5,
	PARAM_REQUIRED = 1, PARAM_IN = 2, PARAM_DESCRIPTION = 3, PARAM_NAME = 4, /* of query and path alike */
	QUERY_TYPE = 6, QUERY_UNIQUE = 20, PATH_TYPE = 5, PATH_UNIQUE = 19,
	RESPONSES_CODE = 1, VALUE_RESPONSE = 1, RESPONSE_DESCRIPTION = 1,
	RESPONSE_SCHEMA = 2, SCHEMA_ITEM = 1,
	S_REF = 1, S_FORMAT = 2, S_DESCRIPTION = 4, S_DEFAULT = 5, S_REQUIRED = 19, S_ADDITIONAL = 21,
	S_TYPE = 22, S_ITEMS = 23, S_PROPERTIES = 25, S_EXT = 31
};
/* clang-format on */

/* --- writing (openapi-write.c) --- */
void oa_begin(struct oa *w, enum oa_form form, struct buf *out);
void oa_end(struct oa *w);
/* A member that is an object. */
void oa_open(struct oa *w, const char *key, const uint8_t *numbers);
/* An element of a list that is an object. */
void oa_open_element(struct oa *w, const uint8_t *numbers);
/* A member with a free name: an entry of a map, in gnostic field n of {name = 1, value = 2}; numbers: those
 * in the value, NULL for none. */
void oa_open_entry(struct oa *w, const char *name, unsigned n, const uint8_t *numbers);
void oa_close(struct oa *w);
void oa_open_list(struct oa *w, const char *key);
void oa_close_list(struct oa *w);
void oa_text(struct oa *w, const char *key, unsigned n, const char *s); /* left out when s is empty */
void oa_true(struct oa *w, const char *key, unsigned n);
/* An element of a list of strings. */
void oa_string(struct oa *w, unsigned n, const char *s);
/* A value of any shape, given as JSON; gnostic holds it as YAML. */
void oa_any(struct oa *w, const char *key, unsigned n, const char *json);
/* A number or a boolean, given as JSON; gnostic holds it as one. */
void oa_number(struct oa *w, const char *key, unsigned n, const char *json, bool whole);
/* A vendor extension, key with its x-. */
void oa_ext(struct oa *w, unsigned n, const char *key, const char *json);
/* {"type": s}: a list of types in gnostic. */
void oa_type(struct oa *w, const char *s);

/* --- definitions (openapi.c) --- */
/* "integer" for SK_INT32, ...; NULL when a value is no plain one. */
const char *oa_scalar_type(enum schema_kind kind);
/* Asks for the definition of t, and writes a reference to it as the members of the open object. */
void oa_want(struct oa *w, const struct schema_type *t);
void oa_ref(struct oa *w, const struct schema_type *t);
/* "io.k8s.api.core.v1.Pod" */
void oa_definition_name(const struct schema_type *t, struct buf *out);
/* Group and version out of a type's name: "core/v1.Pod" is "", "v1". */
void oa_type_gv(const struct schema_type *t, struct str *group, struct str *version);
/* [{"group":..,"kind":..,"version":..}] as x-kubernetes-group-version-kind, or the object alone. */
void oa_ext_gvk(struct oa *w, unsigned n, struct str group, struct str version, const char *kind, bool list);

/* --- paths (openapi-paths.c) --- */
/* The paths of the resources first .. first + n, which are of one group version; served ones only. */
void oa_paths(struct oa *w, const struct schema_res *first, size_t n);
/* Those of one resource. */
void oa_resource_paths(struct oa *w, const struct schema_res *r);
/* What the paths of version 2 refer to. */
void oa_parameters(struct oa *w);

#endif
