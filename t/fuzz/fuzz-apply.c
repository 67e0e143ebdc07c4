/*
 * managedFields and apply: the first line names a plural resource, then a line each
 * for a live object (which may bring managedFields), an applied configuration and an
 * update. Whatever they are, all steps end; what is written can be read and is the
 * same again; applying the same once more changes nothing.
 */
#include "fuzz-doc.h"
#include "schema/apply.h"

static const struct schema_res *fuzz_resource(struct str plural)
{
	for (size_t i = 0; i < schema_n_resources; i++) {
		if (schema_resources[i].served && str_eqc(plural, schema_resources[i].r.plural))
			return &schema_resources[i];
	}
	return NULL;
}

/* An object with metadata; the wilder the better. */
static struct doc *fuzz_object(struct str text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *d = NULL;

	if (doc_parse_json(&d, text, NULL, &e) < 0)
		return NULL;
	if (!node_is(doc_root(d), DOC_OBJECT))
		return doc_unref(d);
	node_need_object(d, doc_root(d), F_metadata);
	return d;
}

static void fuzz_set_laws(struct fsx *x, struct fset *a, struct fset *b)
{
	struct fset *both = fset_union(x, a, b);

	BUG_ON(!fset_equal(both, fset_union(x, b, a)));
	BUG_ON(!fset_equal(fset_intersection(x, a, both), a));
	BUG_ON(!fset_is_empty(fset_difference(x, a, both, false)));
	BUG_ON(!fset_equal(fset_union(x, fset_difference(x, both, a, false), a), both));
	BUG_ON(fset_size(both) > fset_size(a) + fset_size(b));
}

/* Entries are readable, and printing them again makes the same. */
static void fuzz_check_managed(const struct doc *d)
{
	struct fset *last = NULL;
	_cleanup_fsx_ struct fsx x;

	fsx_init(&x);
	NODE_FOREACH(n, node_get(meta_of(doc_root(d)), F_managedFields)) {
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_doc_ struct doc *back = doc_new();
		struct fset *s = NULL;

		BUG_ON(fset_parse(&x, node_get(n, F_fieldsV1), &s, &e) < 0);
		BUG_ON(fset_is_empty(s));
		doc_set_root(back, fset_print(s, back));
		BUG_ON(!node_equal(doc_root(back), node_get(n, F_fieldsV1)));
		fuzz_set_laws(&x, s, last);
		last = s;
	}
}

static void fuzz_compare(struct fs_type t, const struct node *a, const struct node *b)
{
	_cleanup_fsx_ struct fsx x;
	struct fs_diff d, back;

	fsx_init(&x);
	fs_compare(&x, t, a, a, &d);
	BUG_ON(!fset_is_empty(d.added) || !fset_is_empty(d.removed) || !fset_is_empty(d.modified));
	fs_compare(&x, t, a, b, &d);
	fs_compare(&x, t, b, a, &back);
	BUG_ON(!fset_equal(d.added, back.removed) || !fset_equal(d.removed, back.added));
	fuzz_set_laws(&x, fs_fields(&x, t, a), fs_fields(&x, t, b));
}

static bool fuzz_good(struct fs_type t, const struct doc *d)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_fsx_ struct fsx x;

	fsx_init(&x);
	if (fs_check(&x, t, doc_root(d), &e) == 0)
		return true;
	BUG_ON(!*err_msg(&e));
	return false;
}

/* NULL: it conflicts. */
static struct doc *fuzz_apply(const struct doc *live, const struct doc *config, const struct managed_by *by, bool force)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = doc_new();

	if (managed_apply(d, live ? doc_root(live) : NULL, doc_root(config), by, force, NULL, &e) < 0) {
		BUG_ON(e.reason == ERR_CONFLICT && (force || !e.causes));
		return NULL;
	}
	fuzz_check_managed(d);
	return take_ptr(&d);
}

static void fuzz_run(const struct schema_res *r, struct doc *live, struct doc *config, struct doc *next)
{
	struct managed_by by = { .manager = "m", .api_version = r->r.api_version, .subresource = "",
				 .now = "2026-01-01T00:00:00Z", .type = fs_type_of(r) };
	_cleanup_doc_ struct doc *one = NULL, *two = NULL, *three = NULL;

	managed_update(live, NULL, &by);
	fuzz_check_managed(live);
	fuzz_compare(by.type, doc_root(live), doc_root(next));
	if (fuzz_good(by.type, config)) {
		by.manager = "n";
		doc_unref(fuzz_apply(live, config, &by, false));
		one = fuzz_apply(live, config, &by, true);
		two = one ? fuzz_apply(one, config, &by, false) : NULL;
		three = two ? fuzz_apply(two, config, &by, false) : NULL;
		BUG_ON(one && (!two || !three || !node_equal(doc_root(two), doc_root(three))));
	}
	by.manager = "o";
	managed_update(next, one ? doc_root(one) : doc_root(live), &by);
	fuzz_check_managed(next);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_n((const char *)data, size), line;
	const struct schema_res *r = fuzz_resource(str_cut(&rest, '\n'));
	_cleanup_doc_ struct doc *live = NULL, *config = NULL, *next = NULL;

	if (!r || !rest.p)
		return 0;
	line = str_cut(&rest, '\n');
	live = fuzz_object(line);
	line = rest.p ? str_cut(&rest, '\n') : STR_LIT("{}");
	config = fuzz_object(line);
	next = fuzz_object(rest.p ? rest : STR_LIT("{}"));
	if (live && config && next)
		fuzz_run(r, live, config, next);
	return 0;
}
