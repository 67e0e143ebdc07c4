/*
 * Custom resources: the first line is a version of a definition (schema, columns,
 * subresources, selectable fields), the second an object, the third a former state
 * of it. Definitions that validation lets pass are served, and then everything is
 * done with the object: what decodes has no unknown field left, defaults once and
 * for all, and survives validation, tables, OpenAPI and discovery.
 */
#include "fuzz-doc.h"
#include "schema/custom.h"

static struct doc *fuzz_parse(struct str text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d = NULL;

	return text.p && doc_parse_json(&d, text, NULL, &e) == 0 ? d : NULL;
}

static void fuzz_changed(void *arg, const struct schema_res *r)
{
	BUG_ON(!r->custom);
}

/* A definition whose only version is what the input says; NULL: refused. */
static struct obj *fuzz_definition(const struct schema_res *crds, struct str version)
{
	static const char frame[] =
		"{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":\"foos.example.com\","
		"\"uid\":\"u\"},\"spec\":{\"group\":\"example.com\",\"scope\":\"Namespaced\",\"names\":{\"plural\":\"foos\",\"singular\":"
		"\"foo\",\"kind\":\"Foo\",\"listKind\":\"FooList\"},\"versions\":[]},\"status\":{\"conditions\":[{\"type\":\"Established\","
		"\"status\":\"True\"}],\"acceptedNames\":{\"plural\":\"foos\",\"singular\":\"foo\",\"kind\":\"Foo\",\"listKind\":"
		"\"FooList\"},\"storedVersions\":[\"v1\"]}}";
	_cleanup_doc_ struct doc *d = fuzz_parse(str_of(frame)), *v = fuzz_parse(version);
	_cleanup_err_ struct err e = ERR_INIT, e2 = ERR_INIT;
	_cleanup_buf_ struct buf why = BUF_INIT;
	struct node *n;

	if (!v || !node_is(doc_root(v), DOC_OBJECT))
		return NULL;
	n = node_append(node_get(node_get(doc_root(d), F_spec), F_versions), node_copy(d, doc_root(v)));
	node_sets(d, n, F_name, "v1");
	node_setb(d, n, F_served, true);
	node_setb(d, n, F_storage, true);
	if (schema_decode(crds, d, NULL, &e) < 0)
		return NULL;
	schema_default(crds, d);
	if (schema_validate(crds, doc_root(d), NULL, NULL, &e2) < 0) {
		BUG_ON(e2.reason != ERR_INVALID || !e2.causes);
		return NULL;
	}
	BUG_ON(!schema_custom_structural(doc_root(d), &why));
	return obj_new(&crds->r, d, 1);
}

static bool fuzz_decode(const struct schema_res *r, struct doc *d, bool clean)
{
	struct schema_issue *issues = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	bool good = schema_decode(r, d, &issues, &e) == 0;

	BUG_ON(!good && (e.reason != ERR_BAD_REQUEST || !*err_msg(&e)));
	BUG_ON(clean && (!good || issues));
	schema_issues_free(issues);
	return good;
}

static void fuzz_object(const struct schema_res *r, struct doc *d, const struct node *old)
{
	_cleanup_err_ struct err e = ERR_INIT, e2 = ERR_INIT;
	_cleanup_doc_ struct doc *once = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!node_is(doc_root(d), DOC_OBJECT) || !fuzz_decode(r, d, false))
		return;
	fuzz_decode(r, d, true);
	schema_default(r, d);
	once = doc_clone(d);
	schema_default(r, d);
	BUG_ON(!node_equal(doc_root(d), doc_root(once)));
	if (schema_validate(r, doc_root(d), NULL, NULL, &e) < 0)
		BUG_ON(e.reason != ERR_INVALID || !e.causes);
	if (old && schema_validate(r, doc_root(d), old, NULL, &e2) < 0)
		BUG_ON(e2.reason != ERR_INVALID || !e2.causes);
	schema_prepare(r, d, old, "status");
	schema_table_cells(r, doc_root(d), 1700000000, &b);
	schema_custom_refresh(r, d);
	fuzz_check_json(d, DOC_PRINT_COMPACT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct schema_res *crds =
		(const struct schema_res *)schema_res("apiextensions.k8s.io", "customresourcedefinitions");
	struct str rest = str_n((const char *)data, size), version = str_cut(&rest, '\n'), object = str_cut(&rest, '\n');
	_cleanup_obj_ struct obj *crd = fuzz_definition(crds, version);
	_cleanup_doc_ struct doc *d = NULL, *old = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct schema_res *r;

	if (!crd)
		return 0;
	schema_custom_set(crd, fuzz_changed, NULL);
	r = schema_find(STR_LIT("example.com"), STR_LIT("v1"), STR_LIT("foos"));
	BUG_ON(!r);
	schema_table_columns(r, &b);
	BUG_ON(!schema_openapi_v3(STR_LIT("apis/example.com/v1"), &b));
	d = fuzz_parse(object);
	old = fuzz_parse(rest);
	if (d)
		fuzz_object(r, d, old && node_is(doc_root(old), DOC_OBJECT) ? doc_root(old) : NULL);
	schema_custom_remove("foos.example.com", fuzz_changed, NULL);
	return 0;
}
