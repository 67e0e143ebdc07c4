/*
 * Documents: JSON and YAML in and out, the tree, known names, limits.
 * (Patches, selectors and quantities: u-doc-ops.c.)
 */
#include "doc/doc.h"

#include <stdio.h>
#include <time.h>

#include "base/limits.h"
#include "tap.h"

static struct doc *parse(const char *text)
{
	struct err e = ERR_INIT;
	struct doc *d = NULL;

	if (doc_parse_json(&d, str_of(text), NULL, &e) < 0)
		printf("# %s: %s\n", text, err_msg(&e));
	err_release(&e);
	return d;
}

/* Reads and prints; the error's text when it can't be read. */
static char *json_round(struct str text, int flags)
{
	_cleanup_doc_ struct doc *d = NULL;
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	if (doc_parse_json(&d, text, NULL, &e) < 0)
		buf_addf(&b, "error: %s", err_msg(&e));
	else
		doc_print_json(&b, doc_root(d), flags);
	err_release(&e);
	return buf_detach(&b, NULL);
}

static void is_json(const char *text, const char *want)
{
	_cleanup_free_ char *got = json_round(str_of(text), DOC_PRINT_COMPACT);

	is_str(got, want ? want : text, text);
}

static void test_json_values(void)
{
	is_json("null", NULL);
	is_json(" true ", "true");
	is_json("[1,-2,0]", NULL);
	is_json("-0", "0");
	is_json("9223372036854775807", NULL);
	is_json("-9223372036854775808", NULL);
	is_json("9223372036854775808", NULL);
	is_json("-9223372036854775809", NULL);
	is_json("123456789012345678901234567890", NULL);
	is_json("[1.10,1e400,1E+5,-0.0]", NULL);
	is_json("{\"a\" : { } , \"b\":[ ] }", "{\"a\":{},\"b\":[]}");
	is_json("{\"b\":1,\"a\":{\"d\":2,\"c\":3}}", NULL);
	is_json("\"<>&'\"", NULL);
	is_json("\"\\u003c\\/\"", "\"</\"");
	is_json("\"\\u0000\\u0001\\b\\f\\n\\r\\t\\\"\\\\\\u001f\x7f\"", NULL);
	is_json("\"\\u2028\\u2029\xe2\x80\xa8\"", "\"\\u2028\\u2029\\u2028\"");
	is_json("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"");
	is_json("\"\\ud83dx\"", "\"\xef\xbf\xbdx\"");
	is_json("\"\\ude00\\ud83d\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	is_json("\"\\\\ud83d\"", NULL);
	is_json("\"\\ud83d\\u0041\"", "\"\xef\xbf\xbd"
				      "A\"");
	is_json("{\"\":1}", NULL);
	is_json("{\"metadata\":{\"name\":\"x\"},\"k\\\"ey\":1}", NULL);
}

static void test_json_errors(void)
{
	is_json("", "error: unexpected end of JSON input (line 1, column 1)");
	is_json("{", "error: unexpected end of JSON input (line 1, column 2)");
	is_json("{\"a\":1,}",
		"error: invalid character '}' looking for beginning of object key string (line 1, column 8)");
	is_json("{\"a\" 1}", "error: invalid character '1' after object key (line 1, column 6)");
	is_json("{\"a\":1 \"b\":2}",
		"error: invalid character '\"' after object key:value pair (line 1, column 8)");
	is_json("[1 2]", "error: invalid character '2' after array element (line 1, column 4)");
	is_json("[1,]", "error: invalid character ']' looking for beginning of value (line 1, column 4)");
	is_json("[\n\n  x]",
		"error: invalid character 'x' looking for beginning of value (line 3, column 3)");
	is_json("{} {}", "error: invalid character '{' after top-level value (line 1, column 4)");
	is_json("01", "error: invalid character '1' after top-level value (line 1, column 2)");
	is_json("1.", "error: unexpected end of JSON input (line 1, column 3)");
	is_json("[1.x]",
		"error: invalid character 'x' after decimal point in numeric literal (line 1, column 4)");
	is_json("[-]", "error: invalid character ']' in numeric literal (line 1, column 3)");
	is_json("[1e]", "error: invalid character ']' in exponent of numeric literal (line 1, column 4)");
	is_json("[tru]", "error: invalid character ']' in literal true (expecting 'e') (line 1, column 5)");
	is_json("nul", "error: unexpected end of JSON input (line 1, column 4)");
	is_json("\"a\nb\"", "error: invalid character '\\n' in string literal (line 1, column 3)");
	is_json("\"\\x\"", "error: invalid character 'x' in string escape code (line 1, column 3)");
	is_json("\"\\u12g4\"",
		"error: invalid character 'g' in \\u hexadecimal character escape (line 1, column 6)");
	is_json("\"\xc3\xa4\xff\"", "error: json: invalid UTF-8 (line 1, column 3)");
	is_json("\"\xc0\x80\"", "error: json: invalid UTF-8 (line 1, column 2)");
	is_json("\"\xed\xa0\x80\"", "error: json: invalid UTF-8 (line 1, column 2)");
	is_json("/*c*/1", "error: invalid character '/' looking for beginning of value (line 1, column 1)");
	is_json("\xef\xbb\xbf{}",
		"error: invalid character '\xc3\xaf' looking for beginning of value (line 1, column 1)");
	is_json("'a'", "error: invalid character '\\'' looking for beginning of value (line 1, column 1)");
	is_json("[NaN]", "error: invalid character 'N' looking for beginning of value (line 1, column 2)");
}

static void test_json_limits(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct doc_json_opts opts = {.max_bytes = 4};
	struct err e = ERR_INIT;
	struct doc *d = NULL;

	for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
		buf_addch(&b, '[');
	for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
		buf_addch(&b, ']');
	ok(doc_parse_json(&d, buf_str(&b), NULL, &e) == 0, "as deep as allowed");
	doc_unref(d);
	buf_insert(&b, 0, "[", 1);
	buf_addch(&b, ']');
	ok(doc_parse_json(&d, buf_str(&b), NULL, &e) < 0, "one level deeper is refused");
	is_str(err_msg(&e), "json: nested too deeply (line 1, column 101)", "and says where");
	buf_clear(&b);
	buf_addch(&b, '[');
	for (int i = 0; i < LIMIT_DOC_NODES; i++)
		buf_adds(&b, "1,");
	buf_adds(&b, "1]");
	ok(doc_parse_json(&d, buf_str(&b), NULL, &e) < 0, "too many values are refused");
	is_str(err_msg(&e), "json: too many values in one document", "with a clear text");
	ok(doc_parse_json(&d, STR_LIT("[1,2]"), &opts, &e) < 0 && e.reason == ERR_TOO_LARGE,
	   "too many bytes");
	err_release(&e);
	opts = (struct doc_json_opts){.trailing_ok = true};
	ok(doc_parse_json(&d, STR_LIT("{\"a\":1} rest"), &opts, &e) == 0,
	   "trailing text where it is allowed");
	is_int(node_count(doc_root(d)), 1, "and the value before it");
	doc_unref(d);
}

static void add_path(void *arg, const char *path)
{
	buf_addf(arg, "%s ", path);
}

static void is_dups(const char *text, const char *want_paths, const char *want)
{
	_cleanup_buf_ struct buf paths = BUF_INIT, out = BUF_INIT;
	struct doc_json_opts opts = {.duplicate = add_path, .arg = &paths};
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	ok(doc_parse_json(&d, str_of(text), &opts, &e) == 0, text);
	doc_print_json(&out, doc_root(d), DOC_PRINT_COMPACT);
	is_str(paths.s, want_paths, "the keys that are there twice");
	is_str(out.s, want, "the last one wins");
}

static void test_duplicates(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	is_dups("{\"a\":1,\"b\":2,\"a\":3}", "a ", "{\"a\":3,\"b\":2}");
	is_dups("{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\",\"image\":\"i\",\"name\":\"c\"}]"
		"}}",
		"spec.containers[1].name ",
		"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"c\",\"image\":\"i\"}]}}");
	is_dups("[[0,{\"x\":1,\"x\":{},\"x\":[2]}]]", "[0][1].x [0][1].x ", "[[0,{\"x\":[2]}]]");
	is_dups("{\"\\u0061\":1,\"a\":2,\"z\":0}", "a ", "{\"a\":2,\"z\":0}");
	buf_adds(&b, "{");
	for (int i = 0; i < 200000; i++)
		buf_addf(&b, "\"k%d\":1,", i % 100000);
	buf_adds(&b, "\"k7\":2}");
	d = parse(b.s);
	is_int(node_count(doc_root(d)), 100000, "many members, each twice, in linear time");
	is_int(node_int(node_getc(doc_root(d), "k7"), 0), 2, "the last value");
	is_str(node_getc(doc_root(d), "k99999") == node_at(doc_root(d), 99999) ? "yes" : "no", "yes",
	       "order is kept");
}

static void test_print(void)
{
	_cleanup_free_ char *indent = NULL, *sorted = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = doc_new();

	indent = json_round(STR_LIT("{\"b\":[1,{}],\"a\":{\"x\":[]},\"c\":[]}"), DOC_PRINT_INDENT);
	is_str(indent,
	       "{\n    \"b\": [\n        1,\n        {}\n    ],\n    \"a\": {\n        \"x\": []\n    },\n   "
	       " \"c\": []\n}",
	       "indented as kubectl -o json");
	sorted = json_round(STR_LIT("{\"b\":{\"z\":1,\"y\":2},\"a\":[{\"d\":1,\"c\":2}],\"B\":0}"),
			    DOC_PRINT_SORTED);
	is_str(sorted, "{\"B\":0,\"a\":[{\"c\":2,\"d\":1}],\"b\":{\"y\":2,\"z\":1}}", "sorted");
	doc_print_json(&b, NULL, 0);
	is_str(b.s, "null", "no node prints as null");
	buf_clear(&b);
	doc_set_root(d, node_new_str(d, STR_LIT("a\xff\xc3\xa4\xe2\x82")));
	doc_print_json(&b, doc_root(d), 0);
	is_str(b.s, "\"a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\"",
	       "bytes that are no text are replaced");
}

static void test_names(void)
{
	_cleanup_doc_ struct doc *d = parse("{\"metadata\":{\"name\":\"x\",\"myown\":1}}");
	int wrong = 0;

	for (int f = 1; f < F_MAX; f++)
		wrong += doc_field(str_of(doc_field_name((enum field)f))) != (enum field)f;
	is_int(wrong, 0, "every known name finds itself");
	is_int(doc_field(STR_LIT("noSuchFieldAnywhere")), F_NONE, "an unknown name");
	is_int(doc_field(STR_LIT("")), F_NONE, "an empty name");
	is_str(doc_field_name(F_NONE), "", "no name");
	is_str(node_gets(node_get(doc_root(d), F_metadata), F_name), "x", "get by name");
	is_str(node_cstr(node_path(doc_root(d), F_metadata, F_name)), "x", "get by path");
	is_str(node_gets(node_path(doc_root(d), F_metadata, F_labels), F_name), "",
	       "a path that is not there");
	is_int(node_int(node_getc(node_getc(doc_root(d), "metadata"), "myown"), 0), 1,
	       "get by an unknown key");
	ok(node_path(NULL, F_metadata) == NULL && node_get(NULL, F_name) == NULL, "readers accept NULL");
	ok(node_get(doc_root(d), F_NONE) == NULL, "F_NONE finds nothing");
}

static void is_tree(struct doc *d, const char *want, const char *what)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_print_json(&b, doc_root(d), 0);
	is_str(b.s, want, what);
}

static void test_build(void)
{
	_cleanup_doc_ struct doc *d = doc_new(), *c = NULL;
	struct node *root = node_new(d, DOC_OBJECT), *arr;

	doc_set_root(d, root);
	node_sets(d, root, F_name, "a");
	node_setk(d, root, STR_LIT("own"), node_new_int(d, 7));
	node_setb(d, root, F_controller, true);
	node_sets(d, root, F_name, "b");
	is_tree(d, "{\"name\":\"b\",\"own\":7,\"controller\":true}", "set replaces in place");
	arr = node_need_array(d, root, F_items);
	node_append(arr, node_new_fmt(d, "%d-%s", 1, "x"));
	node_insert(arr, 0, node_new(d, DOC_NULL));
	node_insert(arr, 2, node_new_bool(d, false));
	node_insert(arr, 1, node_new_float_text(d, STR_LIT("0.50")));
	is_tree(d, "{\"name\":\"b\",\"own\":7,\"controller\":true,\"items\":[null,0.50,\"1-x\",false]}",
		"array");
	ok(node_need_array(d, root, F_items) == arr, "need finds what is there");
	node_remove_child(arr, node_at(arr, 3));
	node_append(arr, node_new_int(d, 9));
	node_remove_child(arr, node_at(arr, 0));
	ok(node_remove(root, F_name) && !node_remove(root, F_name), "remove once");
	ok(node_removek(root, STR_LIT("own")) && node_removek(root, STR_LIT("controller")), "remove by key");
	is_tree(d, "{\"items\":[0.50,\"1-x\",9]}", "removed");
	c = doc_clone(d);
	while (node_count(arr))
		node_remove_child(arr, node_at(arr, node_count(arr) - 1));
	is_tree(d, "{\"items\":[]}", "emptied from the end");
	node_append(arr, node_new_int(d, 1));
	is_tree(d, "{\"items\":[1]}", "and filled again");
	is_tree(c, "{\"items\":[0.50,\"1-x\",9]}", "a clone is independent");
	node_assign(d, arr, doc_root(c));
	is_tree(d, "{\"items\":{\"items\":[0.50,\"1-x\",9]}}", "assign keeps the key and place");
	ok(doc_memory(d) > 0 && !doc_is_frozen(d), "memory is counted");
	doc_freeze(d);
	ok(doc_is_frozen(d), "frozen");
}

static void is_equal(const char *a, const char *b, bool want)
{
	_cleanup_doc_ struct doc *x = parse(a), *y = parse(b);
	char what[200];

	snprintf(what, sizeof(what), "%.80s %s %.80s", a, want ? "equals" : "differs from", b);
	ok(node_equal(doc_root(x), doc_root(y)) == want && node_equal(doc_root(y), doc_root(x)) == want,
	   what);
}

static void test_equal(void)
{
	_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;

	is_equal("{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1}", true);
	is_equal("{\"a\":1}", "{\"a\":1,\"b\":2}", false);
	is_equal("[1,2]", "[2,1]", false);
	is_equal("1", "1.0", true);
	is_equal("1", "\"1\"", false);
	is_equal("1.10", "1.1", true);
	is_equal("1e400", "1e401", false);
	is_equal("1e400", "1e400", true);
	is_equal("9007199254740993", "9007199254740992.0", false);
	is_equal("null", "false", false);
	is_equal("[]", "{}", false);
	is_equal("{\"name\":1}", "{\"namespace\":1}", false);
	for (int i = 0; i < 20000; i++) {
		buf_addf(&a, "%c\"k%d\":%d", i ? ',' : '{', i, i);
		buf_addf(&b, "%c\"k%d\":%d", i ? ',' : '{', 19999 - i, 19999 - i);
	}
	buf_addch(&a, '}');
	buf_addch(&b, '}');
	is_equal(a.s, b.s, true);
}

/* --- YAML --- */

static char *yaml_round(const char *text, bool as_yaml)
{
	_cleanup_buf_ struct buf dups = BUF_INIT;
	struct doc_json_opts opts = {.duplicate = add_path, .arg = &dups};
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;
	struct doc **docs = NULL;
	size_t n = 0;

	if (doc_parse_yaml(&docs, &n, str_of(text), &opts, &e) < 0)
		buf_addf(&b, "error: %s", err_msg(&e) + strlen("error converting YAML to JSON: "));
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addch(&b, '|');
		if (as_yaml)
			doc_print_yaml(&b, doc_root(docs[i]));
		else
			doc_print_json(&b, doc_root(docs[i]), 0);
		doc_unref(docs[i]);
	}
	if (dups.len)
		buf_addf(&b, " twice: %s", dups.s);
	free(docs);
	err_release(&e);
	return buf_detach(&b, NULL);
}

static void is_yaml(const char *text, const char *want)
{
	_cleanup_free_ char *got = yaml_round(text, false);

	is_str(got, want, text[0] ? text : "(empty)");
}

static void test_yaml_scalars(void)
{
	is_yaml("[y, Y, yes, Yes, YES, on, On, ON, true, True, TRUE]",
		"[true,true,true,true,true,true,true,true,true,true,true]");
	is_yaml("[n, N, no, No, NO, off, Off, OFF, false]",
		"[false,false,false,false,false,false,false,false,false]");
	is_yaml("[yEs, oN, tRUE, nULL]", "[\"yEs\",\"oN\",\"tRUE\",\"nULL\"]");
	is_yaml("[~, null, Null, NULL, ]", "[null,null,null,null]");
	is_yaml("a:\nb: ''", "{\"a\":null,\"b\":\"\"}");
	is_yaml("[0777, 0o777, 0x1F, 0b101, -0b11, 1_000, +5, -7, 08, 0, -0]",
		"[511,511,31,5,-3,1000,5,-7,8,0,0]");
	is_yaml("[9223372036854775807, 9223372036854775808, 18446744073709551615, 18446744073709551616, x]",
		"[9223372036854775807,9223372036854775808,18446744073709551615,18446744073709552000,\"x\"]");
	is_yaml("[1.5, 1.50, .5, 5., 1e3, 1e-7, 1E21, -.5e1, 1.0]", "[1.5,1.5,0.5,5,1000,1e-7,1e+21,-5,1]");
	is_yaml("[1e400, 1:30, 1.2.3, 0x, 1__2, 0o8, '1', \"yes\", 12e, ._5, .5_0, .5_]",
		"[\"1e400\",\"1:30\",\"1.2.3\",\"0x\",12,\"0o8\",\"1\",\"yes\",\"12e\",\"._5\",0.5,\".5_\"]");
	is_yaml("[2001-01-01, 2001-12-14t21:59:43.1-05:00, 2001-01-01 10:00:00]",
		"[\"2001-01-01\",\"2001-12-14t21:59:43.1-05:00\",\"2001-01-01 10:00:00\"]");
	is_yaml("a: .inf", "error: yaml: line 1, column 4: json: unsupported value: +Inf");
	is_yaml("a: -.INF", "error: yaml: line 1, column 4: json: unsupported value: -Inf");
	is_yaml("a: .nan", "error: yaml: line 1, column 4: json: unsupported value: NaN");
	is_yaml("[!!str 1, !!int \"7\", !!float 3, !!bool \"yes\", !!null ~, !!binary aGk=, !foo 3]",
		"[\"1\",7,3,true,null,\"hi\",\"3\"]");
	is_yaml("a: !!int x", "error: yaml: line 1, column 4: cannot decode `x` as a !!int");
	is_yaml("a: !!binary '*'",
		"error: yaml: line 1, column 4: !!binary value contains invalid base64 data");
}

static void test_yaml_structure(void)
{
	is_yaml("a: |\n  x\n   y\n\nb: >-\n  x\n  y\n", "{\"a\":\"x\\n y\\n\",\"b\":\"x y\"}");
	is_yaml("- a\n-\n  - b\n- c: d\n  e: f\n", "[\"a\",[\"b\"],{\"c\":\"d\",\"e\":\"f\"}]");
	is_yaml("a:\n- 1\nb: {c: [1, 2], d: e}\n", "{\"a\":[1],\"b\":{\"c\":[1,2],\"d\":\"e\"}}");
	is_yaml("1: a\n1.5: b\ntrue: c\n0x10: d\nyes: e\n'2': f",
		"{\"1\":\"a\",\"1.5\":\"b\",\"true\":\"e\",\"16\":\"d\",\"2\":\"f\"} twice: true ");
	is_yaml("~: a", "error: yaml: line 1, column 1: unsupported map key of type null");
	is_yaml("? [a]\n: b", "error: yaml: line 1, column 3: a mapping or sequence is used as a key");
	is_yaml("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", "{\"a\":3,\"b\":{\"c\":2}} twice: b.c a ");
	is_yaml("x: [{a: 1, a: 2}]", "{\"x\":[{\"a\":2}]} twice: x[0].a ");
	is_yaml("", "");
	is_yaml("# only a comment\n", "");
	is_yaml("---\n---\na: 1\n---\n# none\n---\nb\n...\n", "{\"a\":1}|\"b\"");
	is_yaml("---\n~\n", "null");
	is_yaml("a: &x {b: 1}\nc: *x\nd: [*x, *x]",
		"{\"a\":{\"b\":1},\"c\":{\"b\":1},\"d\":[{\"b\":1},{\"b\":1}]}");
	is_yaml("&k key: v\nx: *k\n*k : again", "{\"key\":\"again\",\"x\":\"key\"} twice: key ");
	is_yaml("base: &b {a: 1, b: 2}\nd:\n  <<: *b\n  b: 3\n",
		"{\"base\":{\"a\":1,\"b\":2},\"d\":{\"b\":3,\"a\":1}}");
	is_yaml("<<: [{a: 1}, {a: 2, b: 2}]\nc: 3", "{\"c\":3,\"a\":1,\"b\":2}");
	is_yaml("'<<': 1", "{\"<<\":1}");
	is_yaml("<<: 1",
		"error: yaml: line 1, column 1: map merge requires map or sequence of maps as the value");
	is_yaml("%YAML 1.1\n---\na: 1", "{\"a\":1}");
}

static void test_yaml_json(void)
{
	is_yaml("{\"a\": \"\\ud83d\\ude00\", \"b\":\t[1]}", "{\"a\":\"\xf0\x9f\x98\x80\",\"b\":[1]}");
	is_yaml("{\"a\":1}\n{\"b\":2}", "{\"a\":1}|{\"b\":2}");
	is_yaml("{\"a\":1,\"a\":2}", "{\"a\":2} twice: a ");
	is_yaml("{a: 1, a: 2}", "{\"a\":2} twice: a ");
	is_yaml("{\"a\":1}\n---\n{\"b\":2}", "{\"a\":1}|{\"b\":2}");
	is_yaml("[1.10]", "[1.10]");
}

static void test_yaml_errors(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *got = NULL, *deep = NULL;

	is_yaml("a: 1\n b: 2",
		"error: yaml: line 2, column 3: mapping values are not allowed in this context");
	is_yaml("a:\n\t- b", "error: yaml: line 2, column 1: found character that cannot start any token "
			     "while scanning for the next token");
	is_yaml("a: [1", "error: yaml: line 2, column 1: did not find expected ',' or ']' while parsing a "
			 "flow sequence");
	is_yaml("a: 'x", "error: yaml: line 1, column 6: found unexpected end of stream while scanning a "
			 "quoted scalar");
	is_yaml("a: *x", "error: yaml: line 1, column 4: unknown anchor 'x' referenced");
	is_yaml("a: &x [*x]", "error: yaml: line 1, column 8: anchor 'x' value contains itself");
	is_yaml("a: b\xff", "error: yaml: line 1, column 5: invalid leading UTF-8 octet");
	is_yaml("a: \x01", "error: yaml: line 1, column 4: control characters are not allowed");
	is_yaml("&a [x]: 1", "error: yaml: line 1, column 1: a mapping or sequence is used as a key");
	buf_adds(&b, "a: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 10; i++)
		buf_addf(&b, "b%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1,
			 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	got = yaml_round(b.s, false);
	ok(strstr(got, "excessive aliasing"), "a billion laughs are refused");
	buf_clear(&b);
	for (int i = 0; i < 101; i++)
		buf_addf(&b, "%%TAG !%x! y\n", i);
	buf_adds(&b, "---\na\n");
	is_yaml(b.s, "error: yaml: more than 100 directives");
	buf_clear(&b);
	for (int i = 0; i < 5000; i++)
		buf_addch(&b, '[');
	deep = yaml_round(b.s, false);
	ok(strstr(deep, "nested too deeply"), "depth is limited");
}

static void is_yaml_out(const char *json, const char *want)
{
	_cleanup_doc_ struct doc *d = parse(json);
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc **docs = NULL;
	size_t n = 0;

	doc_print_yaml(&b, doc_root(d));
	is_str(b.s, want, json);
	ok(doc_parse_yaml(&docs, &n, buf_str(&b), NULL, &e) == 0 && n == 1 &&
		   node_equal(doc_root(docs[0]), doc_root(d)),
	   "and reads back");
	for (size_t i = 0; i < n; i++)
		doc_unref(docs[i]);
	free(docs);
}

static void test_yaml_print(void)
{
	is_yaml_out("{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"spec\":{\"containers\":[{\"name\":\"a\","
		    "\"args\":[\"x\"]}]}}",
		    "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - args:\n    - x\n    name: a\n");
	is_yaml_out("{\"a\":{},\"b\":[],\"c\":null,\"d\":\"\",\"e\":true,\"f\":1.5}",
		    "a: {}\nb: []\nc: null\nd: \"\"\ne: true\nf: 1.5\n");
	is_yaml_out("{\"a\":\"yes\",\"b\":\"1\",\"c\":\"2024-01-01T00:00:00Z\",\"d\":\"1:30\",\"e\":\"~\","
		    "\"f\":\"0x1\"}",
		    "a: \"yes\"\nb: \"1\"\nc: \"2024-01-01T00:00:00Z\"\nd: \"1:30\"\ne: \"~\"\nf: \"0x1\"\n");
	is_yaml_out("{\"a\":\"a: b\",\"b\":\"#c\",\"c\":\" x\",\"d\":\"it's\",\"e\":\"- "
		    "x\",\"f\":\"*\",\"g\":\"a #b\",\"h\":\"a'#b\"}",
		    "a: 'a: b'\nb: '#c'\nc: ' x'\nd: it's\ne: '- x'\nf: '*'\ng: 'a #b'\nh: a'#b\n");
	is_yaml_out("{\"a\":\"l1\\nl2\\n\",\"b\":\"l1\\nl2\",\"c\":\"l1\\n\\n\",\"d\":\"\\nx\",\"e\":\"x "
		    "\\ny\",\"f\":\"  x\\ny\\n\"}",
		    "a: |\n  l1\n  l2\nb: |-\n  l1\n  l2\nc: |+\n  l1\n\nd: |2-\n\n  x\ne: \"x \\ny\"\nf: "
		    "|2\n    x\n  y\n");
	is_yaml_out(
		"{\"a\":\"x\\ty\",\"b\":\"\\u0001\",\"c\":\"\xc3\xa4\xf0\x9f\x98\x80\",\"d\":\"a\\\"b\\\\\"}",
		"a: \"x\\ty\"\nb: \"\\x01\"\nc: \"\xc3\xa4\\U0001F600\"\nd: a\"b\\\n");
	is_yaml_out("[[1,[2]],{\"a\":[{\"b\":1},{}]},[]]", "- - 1\n  - - 2\n- a:\n  - b: 1\n  - {}\n- []\n");
	is_yaml_out(
		"{\"k10\":1,\"k9\":2,\"K\":3,\"1\":4,\"a.b/c\":5,\"a-b\":6,\"true\":7,\"x y\":8,\"k: v\":9}",
		"\"1\": 4\nK: 3\na-b: 6\na.b/c: 5\n'k: v': 9\nk9: 2\nk10: 1\n\"true\": 7\nx y: 8\n");
	is_yaml_out("\"x\"", "x\n");
	is_yaml_out("\"a\\nb\\n\"", "|\n  a\n  b\n");
	is_yaml_out("{\"m\":\"containers with unready status: aaaaaaaaaaaaaaaaaaaa "
		    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbb cccccccc ddd eee\"}",
		    "m: 'containers with unready status: aaaaaaaaaaaaaaaaaaaa "
		    "bbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n  cccccccc ddd eee'\n");
}

static void test_yaml_long_key(void)
{
	_cleanup_buf_ struct buf json = BUF_INIT, want = BUF_INIT;

	buf_adds(&json, "{\"");
	for (int i = 0; i < 130; i++)
		buf_addch(&json, 'k');
	buf_adds(&json, "\":\"v\"}");
	buf_adds(&want, "? ");
	buf_add(&want, json.s + 2, 130);
	buf_adds(&want, "\n: v\n");
	is_yaml_out(json.s, want.s);
}

/* Not a test: figures for the two hot paths, with DOC_BENCH=1. */
static void bench(void)
{
	static const char pod[] =
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-6d4cf56db6-x7k2p\","
		"\"generateName\":"
		"\"web-6d4cf56db6-\",\"namespace\":\"default\",\"uid\":\"0c1b1b1a-8a1c-4f27-9d0e-"
		"3a64c9f2d5a1\","
		"\"resourceVersion\":\"1234\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\",\"labels\":{"
		"\"app\":\"web\","
		"\"pod-template-hash\":\"6d4cf56db6\"},\"ownerReferences\":[{\"apiVersion\":\"apps/"
		"v1\",\"kind\":"
		"\"ReplicaSet\",\"name\":\"web-6d4cf56db6\",\"uid\":\"5b5b9a6e-1a0f-4b4c-9a37-63a9d7c1d0aa\","
		"\"controller\":"
		"true,\"blockOwnerDeletion\":true}]},\"spec\":{\"volumes\":[{\"name\":\"kube-api-access-"
		"abcde\","
		"\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"expirationSeconds\":3607,\"path\":"
		"\"token\"}}],"
		"\"defaultMode\":420}}],\"containers\":[{\"name\":\"web\",\"image\":\"registry.example.com/"
		"web:1.2.3\","
		"\"ports\":[{\"name\":\"http\",\"containerPort\":8080,\"protocol\":\"TCP\"}],\"env\":[{"
		"\"name\":\"A\",\"value\":"
		"\"b\"},{\"name\":\"C\",\"value\":\"d e "
		"f\"}],\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"128Mi\"},"
		"\"requests\":{\"cpu\":\"100m\",\"memory\":\"64Mi\"}},\"volumeMounts\":[{\"name\":\"kube-api-"
		"access-abcde\","
		"\"readOnly\":true,\"mountPath\":\"/var/run/secrets/kubernetes.io/serviceaccount\"}],"
		"\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\","
		"\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\","
		"\"terminationGracePeriodSeconds\":30,"
		"\"dnsPolicy\":\"ClusterFirst\",\"serviceAccountName\":\"default\",\"serviceAccount\":"
		"\"default\","
		"\"nodeName\":\"node-1\",\"securityContext\":{},\"schedulerName\":\"default-scheduler\","
		"\"tolerations\":"
		"[{\"key\":\"node.kubernetes.io/not-ready\",\"operator\":\"Exists\",\"effect\":\"NoExecute\","
		"\"tolerationSeconds\":300}],\"priority\":0,\"enableServiceLinks\":true},\"status\":{"
		"\"phase\":\"Running\","
		"\"hostIP\":\"10.0.0.1\",\"podIP\":\"10.42.0.7\",\"qosClass\":\"Burstable\"}}";
	const int rounds = 50000;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct doc *d = NULL;
	struct timespec t0, t1, t2;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	for (int i = 0; i < rounds; i++) {
		doc_unref(d);
		d = NULL;
		if (doc_parse_json(&d, str_n(pod, sizeof(pod) - 1), NULL, &e) < 0)
			return;
	}
	clock_gettime(CLOCK_MONOTONIC, &t1);
	for (int i = 0; i < rounds; i++) {
		buf_clear(&b);
		doc_print_json(&b, doc_root(d), 0);
	}
	clock_gettime(CLOCK_MONOTONIC, &t2);
	printf("# a pod of %zu bytes: parse %.2f us, print %.2f us, %zu bytes in memory\n", sizeof(pod) - 1,
	       ((t1.tv_sec - t0.tv_sec) * 1e9 + (t1.tv_nsec - t0.tv_nsec)) / rounds / 1000,
	       ((t2.tv_sec - t1.tv_sec) * 1e9 + (t2.tv_nsec - t1.tv_nsec)) / rounds / 1000, doc_memory(d));
	doc_unref(d);
	buf_release(&b);
}

int main(void)
{
	test_json_values();
	test_json_errors();
	test_json_limits();
	test_duplicates();
	test_print();
	test_names();
	test_build();
	test_equal();
	test_yaml_scalars();
	test_yaml_structure();
	test_yaml_json();
	test_yaml_errors();
	test_yaml_print();
	test_yaml_long_key();
	if (getenv("DOC_BENCH"))
		bench();
	return done_testing();
}
