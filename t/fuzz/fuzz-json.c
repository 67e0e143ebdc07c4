/*
 * JSON: whatever reads prints as JSON and as YAML that read back as the same document.
 */
#include "fuzz-doc.h"

static void fuzz_duplicate(void *arg, const char *path)
{
	BUG_ON(!path);
	++*(size_t *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_n((const char *)data, size);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL, *loose = NULL;
	size_t twice = 0;
	struct doc_json_opts opts = {.duplicate = fuzz_duplicate, .arg = &twice};

	if (doc_parse_json(&d, text, &opts, &e) == 0)
		fuzz_check_doc(d);
	else
		BUG_ON(!err_is_set(&e) || !*err_msg(&e) || !str_is_utf8(str_of(err_msg(&e))));
	err_release(&e);
	opts = (struct doc_json_opts){.trailing_ok = true};
	BUG_ON(doc_parse_json(&loose, text, &opts, &e) < 0 && d);
	BUG_ON(d && !node_equal(doc_root(d), doc_root(loose)));
	return 0;
}
