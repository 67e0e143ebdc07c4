/*
 * Invariants of documents that several targets check.
 */
#ifndef T_FUZZ_FUZZ_DOC_H
#define T_FUZZ_FUZZ_DOC_H

#include "doc/doc.h"
#include "fuzz.h"

/* Floats keep their text in JSON; YAML reads them as doubles, so they don't come back alike. */
static inline bool fuzz_has_float(const struct node *n)
{
	if (node_is(n, DOC_FLOAT))
		return true;
	NODE_FOREACH (c, n) {
		if (fuzz_has_float(c))
			return true;
	}
	return false;
}

static inline void fuzz_check_json(const struct doc *d, int flags)
{
	_cleanup_buf_ struct buf text = BUF_INIT, again = BUF_INIT;
	const struct doc_json_opts opts = {.max_bytes = 64u << 20};
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *back = NULL;

	doc_print_json(&text, doc_root(d), flags);
	BUG_ON(text.s[text.len] != '\0' || strlen(text.s) != text.len || !str_is_utf8(buf_str(&text)));
	BUG_ON(doc_parse_json(&back, buf_str(&text), &opts, &e) < 0);
	BUG_ON(!node_equal(doc_root(d), doc_root(back)));
	doc_print_json(&again, doc_root(back), flags);
	BUG_ON(!str_eq(buf_str(&text), buf_str(&again)));
}

static inline void fuzz_check_yaml(const struct doc *d)
{
	const struct doc_json_opts opts = {.max_bytes = 64u << 20};
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct doc **docs = NULL;
	size_t n = 0;

	doc_print_yaml(&text, doc_root(d));
	BUG_ON(strlen(text.s) != text.len);
	if (fuzz_has_float(doc_root(d)))
		return;
	BUG_ON(doc_parse_yaml(&docs, &n, buf_str(&text), &opts, &e) < 0);
	BUG_ON(n != 1 || !node_equal(doc_root(docs[0]), doc_root(d)));
	for (size_t i = 0; i < n; i++)
		doc_unref(docs[i]);
	free(docs);
}

static inline void fuzz_check_doc(const struct doc *d)
{
	_cleanup_doc_ struct doc *copy = doc_clone(d);

	BUG_ON(!node_equal(doc_root(copy), doc_root(d)));
	fuzz_check_json(d, DOC_PRINT_COMPACT);
	fuzz_check_json(d, DOC_PRINT_INDENT);
	fuzz_check_json(d, DOC_PRINT_SORTED);
	fuzz_check_yaml(d);
}

#endif
