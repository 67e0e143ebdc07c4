/*
 * Patches: the first line is a document, the rest a patch. A JSON patch that
 * applies leaves a sound document within the limits; a merge patch applied twice
 * does the same as once.
 */
#include "fuzz-doc.h"

static struct doc *fuzz_parse(struct str text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d = NULL;

	return doc_parse_json(&d, text, NULL, &e) == 0 ? d : NULL;
}

static void fuzz_json_patch(const struct doc *d, const struct doc *patch)
{
	_cleanup_err_ struct err e = ERR_INIT, why = ERR_INIT;
	_cleanup_doc_ struct doc *copy = doc_clone(d), *back = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct doc_json_opts opts = {.max_bytes = 64u << 20};

	if (doc_patch_json(copy, doc_root(patch), &e) < 0) {
		BUG_ON(!*err_msg(&e) || e.reason == ERR_UNKNOWN);
		doc_print_json(&b, doc_root(copy), 0);
		return;
	}
	doc_print_json(&b, doc_root(copy), 0);
	/* Copies may make more values than a reader takes; nothing else may. */
	if (doc_parse_json(&back, buf_str(&b), &opts, &why) < 0)
		BUG_ON(!strstr(err_msg(&why), "too many values"));
	else
		BUG_ON(!node_equal(doc_root(copy), doc_root(back)));
}

static void fuzz_merge_patch(const struct doc *d, const struct doc *patch)
{
	_cleanup_doc_ struct doc *once = doc_clone(d), *twice = NULL;

	doc_patch_merge(once, doc_root(patch));
	fuzz_check_json(once, DOC_PRINT_COMPACT);
	twice = doc_clone(once);
	doc_patch_merge(twice, doc_root(patch));
	BUG_ON(!node_equal(doc_root(once), doc_root(twice)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), first = str_cut(&rest, '\n');
	_cleanup_doc_ struct doc *d = NULL, *patch = NULL;

	if (!rest.p)
		return 0;
	d = fuzz_parse(first);
	patch = fuzz_parse(rest);
	if (d && patch) {
		fuzz_json_patch(d, patch);
		fuzz_merge_patch(d, patch);
	}
	return 0;
}
