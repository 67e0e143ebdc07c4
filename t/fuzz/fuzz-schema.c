/*
 * The schema: the first line names a plural resource, the second is an object,
 * the rest a patch of it. What decodes has no unknown field left, defaults once and
 * for all, and survives preparation, validation and every other use; a strategic
 * merge patch leaves a sound document.
 */
#include "fuzz-doc.h"
#include "schema/schema.h"

static const struct schema_res *fuzz_resource(struct str plural)
{
	for (size_t i = 0; i < schema_n_resources; i++) {
		if (schema_resources[i].served && str_eqc(plural, schema_resources[i].r.plural))
			return &schema_resources[i];
	}
	return NULL;
}

static struct doc *fuzz_parse(struct str text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d = NULL;

	return doc_parse_json(&d, text, NULL, &e) == 0 ? d : NULL;
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

static void fuzz_warning(void *arg, const char *text)
{
	BUG_ON(!*text);
}

static void fuzz_uses(const struct schema_res *r, const struct doc *d)
{
	_cleanup_err_ struct err e = ERR_INIT, e2 = ERR_INIT;
	_cleanup_doc_ struct doc *new = doc_clone(d), *again = doc_clone(d);
	_cleanup_buf_ struct buf b = BUF_INIT;

	schema_prepare(r, new, NULL, NULL);
	if (schema_validate(r, doc_root(new), NULL, NULL, &e) < 0)
		BUG_ON(e.reason != ERR_INVALID || !e.causes);
	schema_prepare(r, again, doc_root(new), "status");
	if (schema_validate(r, doc_root(again), doc_root(new), NULL, &e2) < 0)
		BUG_ON(e2.reason != ERR_INVALID || !e2.causes);
	schema_warnings(r, doc_root(d), fuzz_warning, NULL);
	schema_table_columns(r, &b);
	schema_table_cells(r, doc_root(new), 1700000000, &b);
}

/* The patch taken as the object that was there before. */
static void fuzz_update(const struct schema_res *r, const struct doc *d, const struct doc *patch)
{
	static const char *const SUBS[] = { NULL, "status", "resize", "ephemeralcontainers", "finalize" };
	_cleanup_doc_ struct doc *old = doc_clone(patch);

	if (!fuzz_decode(r, old, false))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(SUBS); i++) {
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_doc_ struct doc *new = doc_clone(d);

		schema_prepare(r, new, doc_root(old), SUBS[i]);
		if (schema_validate(r, doc_root(new), doc_root(old), SUBS[i], &e) < 0)
			BUG_ON(e.reason != ERR_INVALID || !e.causes);
	}
}

static void fuzz_patch(const struct schema_res *r, struct doc *d, const struct doc *patch)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (schema_patch_strategic(r, d, doc_root(patch), &e) < 0)
		BUG_ON(!*err_msg(&e) || (e.reason == ERR_UNKNOWN && e.http_code != 500));
	fuzz_check_json(d, DOC_PRINT_COMPACT);
	if (!err_is_set(&e) && fuzz_decode(r, d, false))
		fuzz_decode(r, d, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), plural = str_cut(&rest, '\n'), text = str_cut(&rest, '\n');
	const struct schema_res *r = fuzz_resource(plural);
	_cleanup_doc_ struct doc *d = NULL, *patch = NULL, *once = NULL;

	if (!r || !text.p)
		return 0;
	d = fuzz_parse(text);
	if (!d || !fuzz_decode(r, d, false))
		return 0;
	schema_default(r, d);
	once = doc_clone(d);
	schema_default(r, d);
	BUG_ON(!node_equal(doc_root(d), doc_root(once)));
	fuzz_check_json(d, DOC_PRINT_COMPACT);
	fuzz_uses(r, d);
	patch = rest.p ? fuzz_parse(rest) : NULL;
	if (patch) {
		fuzz_update(r, d, patch);
		fuzz_patch(r, d, patch);
	}
	return 0;
}
