/*
 * Helpers of the schema tests: documents written with ' for ".
 */
#ifndef T_UNIT_SCHEMA_UTIL_H
#define T_UNIT_SCHEMA_UTIL_H

#include <stdio.h>

#include "schema/schema.h"

/* ' becomes ", but for ^(... and other places that mean it: '' */
static inline char *quotes(const char *text)
{
	char *s = xstrdup(text);

	if (!strstr(text, "'^(")) {
		for (char *p = s; *p; p++)
			*p = (char)(*p == '\'' ? '"' : *p);
		return s;
	}
	for (char *p = s; *p && strncmp(p, "'^(", 3) != 0; p++)
		*p = (char)(*p == '\'' ? '"' : *p);
	return s;
}

static inline struct doc *parse(const char *text)
{
	_cleanup_free_ char *json = quotes(text);
	struct err e = ERR_INIT;
	struct doc *d = NULL;

	if (doc_parse_json(&d, str_of(json), NULL, &e) < 0)
		printf("# %s: %s\n", text, err_msg(&e));
	err_release(&e);
	return d;
}

/* The preferred version of a kind. */
static inline const struct schema_res *kind(const char *name)
{
	for (size_t i = 0; i < schema_n_resources; i++) {
		if (schema_resources[i].served && schema_resources[i].preferred &&
		    streq(schema_resources[i].r.kind, name))
			return &schema_resources[i];
	}
	printf("# no kind %s\n", name);
	abort();
}

/* Decoded and defaulted, with a name and, for namespaced kinds, a namespace. */
static UNUSED struct doc *decoded(const char *res, const char *text)
{
	struct doc *d = parse(text);
	_cleanup_err_ struct err e = ERR_INIT;
	struct node *meta;

	if (schema_decode(kind(res), d, NULL, &e) < 0)
		printf("# %s\n", err_msg(&e));
	meta = node_need_object(d, doc_root(d), F_metadata);
	if (!node_get(meta, F_name))
		node_sets(d, meta, F_name, "x");
	if (!node_get(meta, F_namespace) && kind(res)->r.namespaced)
		node_sets(d, meta, F_namespace, "ns");
	schema_default(kind(res), d);
	return d;
}

/* "spec.containers.0.name" */
static inline const struct node *at(const struct node *n, const char *path)
{
	struct str rest = str_of(path);
	int64_t i;

	while (rest.p && *path) {
		struct str part = str_cut(&rest, '.');

		n = str_to_i64(part, &i) ? node_at(n, (size_t)i) : node_getk(n, part);
	}
	return n;
}

#endif
