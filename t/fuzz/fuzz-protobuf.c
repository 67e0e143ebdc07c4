/*
 * Bodies in Kubernetes' protobuf form: whatever comes out is a sound document that
 * decoding takes or refuses in words, and what it takes defaults and validates.
 */
#include "fuzz-doc.h"
#include "schema/schema.h"

static void fuzz_use(struct doc *d)
{
	const struct node *root = doc_root(d);
	const struct schema_res *r = schema_find_api(node_str(node_get(root, F_apiVersion)), node_str(node_get(root, F_kind)));
	_cleanup_err_ struct err e = ERR_INIT, e2 = ERR_INIT;

	if (!r || schema_decode(r, d, NULL, &e) < 0)
		return;
	schema_default(r, d);
	schema_prepare(r, d, NULL, NULL);
	if (schema_validate(r, root, NULL, NULL, &e2) < 0)
		BUG_ON(e2.reason != ERR_INVALID);
	fuzz_check_json(d, DOC_PRINT_COMPACT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	if (schema_from_protobuf(&d, str_n((const char *)data, size), &e) < 0) {
		BUG_ON(d || !*err_msg(&e));
		return 0;
	}
	fuzz_check_json(d, DOC_PRINT_COMPACT);
	fuzz_use(d);
	return 0;
}
