/*
 * Selectors: the canonical text of a label selector parses to the same selector;
 * field selectors and the object form merely must not do harm.
 */
#include "fuzz-doc.h"

static void fuzz_labels(struct str text)
{
	_cleanup_buf_ struct buf once = BUF_INIT, twice = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *labels = NULL;
	struct selector *s = NULL, *again = NULL;

	BUG_ON(doc_parse_json(&labels, STR_LIT("{\"x\":\"a\",\"y\":\"5\",\"name\":\"\"}"), NULL, &e) < 0);
	if (selector_parse(&s, text, &e) < 0) {
		BUG_ON(!*err_msg(&e));
		return;
	}
	selector_print(s, &once);
	BUG_ON(selector_parse(&again, buf_str(&once), &e) < 0);
	selector_print(again, &twice);
	BUG_ON(!str_eq(buf_str(&once), buf_str(&twice)));
	BUG_ON(selector_match(s, doc_root(labels)) != selector_match(again, doc_root(labels)));
	BUG_ON(selector_match(s, NULL) != selector_match(again, NULL));
	selector_free(s);
	selector_free(again);
}

static void fuzz_fields(struct str text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct fieldsel *s = NULL;

	if (fieldsel_parse(&s, text, &e) < 0) {
		BUG_ON(!*err_msg(&e));
		return;
	}
	for (size_t i = 0; i < s->n; i++)
		BUG_ON(node_dotted(NULL, s->terms[i].path, &b).n || !s->terms[i].value);
	fieldsel_free(s);
}

static void fuzz_object(struct str text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct selector *s = NULL;

	if (doc_parse_json(&d, text, NULL, &e) < 0)
		return;
	if (selector_from_node(&s, doc_root(d), &e) == 0) {
		selector_print(s, &b);
		selector_match(s, doc_root(d));
		selector_free(s);
	}
	s = selector_from_map(doc_root(d));
	selector_match(s, doc_root(d));
	selector_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_n((const char *)data, size);

	fuzz_labels(text);
	fuzz_fields(text);
	if (size && *data == '{')
		fuzz_object(text);
	return 0;
}
