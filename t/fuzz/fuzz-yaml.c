/*
 * YAML: every document that reads prints as JSON and YAML that read back alike.
 */
#include "fuzz-doc.h"

static void fuzz_duplicate(void *arg, const char *path)
{
	BUG_ON(!path);
}

/* arg: the text's size, which no line number is beyond. */
static void fuzz_twice(void *arg, size_t line, const char *key)
{
	BUG_ON(!line || line > *(size_t *)arg + 1 || !key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct doc_json_opts opts = {.duplicate = fuzz_duplicate};
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc **docs = NULL;
	size_t n = 0;

	if (doc_parse_yaml(&docs, &n, str_n((const char *)data, size), &opts, &e) < 0) {
		BUG_ON(!*err_msg(&e));
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		fuzz_check_doc(docs[i]);
		doc_unref(docs[i]);
	}
	free(docs);
	doc_yaml_twice(str_n((const char *)data, size), fuzz_twice, &size);
	return 0;
}
