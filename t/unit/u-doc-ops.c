/*
 * Patches (the examples of RFC 6902 and RFC 7386 and the usual traps), label and
 * field selectors, quantities (the tables of Kubernetes' own expectations).
 */
#include "doc/doc.h"

#include <stdio.h>

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

/* --- JSON patch --- */

#define REFUSED "error: the server rejected our request due to an error in our request"

static void is_patched(const char *doc, const char *patch, const char *want)
{
	_cleanup_doc_ struct doc *d = parse(doc), *p = parse(patch), *w = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT, wanted = BUF_INIT;

	if (doc_patch_json(d, doc_root(p), &e) < 0) {
		buf_addf(&b, "error: %s", err_msg(&e));
		buf_adds(&wanted, want);
	} else {
		w = starts_with(want, "error") ? NULL : parse(want);
		doc_print_json(&b, doc_root(d), DOC_PRINT_SORTED);
		doc_print_json(&wanted, doc_root(w), DOC_PRINT_SORTED);
	}
	is_str(b.s, wanted.s, patch);
}

static void test_patch_rfc(void)
{
	/* Appendix A of RFC 6902, in its order */
	is_patched("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
		   "{\"baz\":\"qux\",\"foo\":\"bar\"}");
	is_patched("{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
		   "{\"foo\":[\"bar\",\"qux\",\"baz\"]}");
	is_patched("{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
		   "{\"foo\":\"bar\"}");
	is_patched("{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
		   "{\"foo\":[\"bar\",\"baz\"]}");
	is_patched("{\"baz\":\"qux\",\"foo\":\"bar\"}",
		   "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
		   "{\"baz\":\"boo\",\"foo\":\"bar\"}");
	is_patched("{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
		   "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
		   "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}");
	is_patched("{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
		   "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
		   "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}");
	is_patched("{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
		   "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},{\"op\":\"test\",\"path\":\"/foo/"
		   "1\",\"value\":2}]",
		   "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}");
	is_patched("{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]", REFUSED);
	is_patched("{\"foo\":\"bar\"}",
		   "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
		   "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}");
	is_patched("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"xyz\":123}]",
		   "{\"foo\":\"bar\",\"baz\":\"qux\"}");
	is_patched("{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]",
		   REFUSED);
	is_patched("{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
		   "{\"/\":9,\"~1\":10}");
	is_patched("{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":\"10\"}]", REFUSED);
	is_patched("{\"foo\":[\"bar\"]}",
		   "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\",\"def\"]}]",
		   "{\"foo\":[\"bar\",[\"abc\",\"def\"]]}");
}

static void test_patch_more(void)
{
	is_patched("{\"a\":1}", "[]", "{\"a\":1}");
	is_patched("{}", "[{\"op\":\"add\",\"path\":\"/\",\"value\":1}]", "{\"\":1}");
	is_patched("{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":[2]}]", "[2]");
	is_patched("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"\",\"value\":{\"b\":2}}]", "{\"b\":2}");
	is_patched(
		"[1]",
		"[{\"op\":\"add\",\"path\":\"/1\",\"value\":2},{\"op\":\"add\",\"path\":\"/0\",\"value\":0}]",
		"[0,1,2]");
	is_patched("[1]", "[{\"op\":\"add\",\"path\":\"/2\",\"value\":2}]", REFUSED);
	is_patched("[1,2,3]", "[{\"op\":\"remove\",\"path\":\"/-1\"}]", "[1,2]");
	is_patched("[1,2]", "[{\"op\":\"add\",\"path\":\"/-1\",\"value\":3}]", "[1,2,3]");
	is_patched("[1,2]", "[{\"op\":\"add\",\"path\":\"/-2\",\"value\":3}]", "[1,3,2]");
	is_patched("[1,2]", "[{\"op\":\"remove\",\"path\":\"/-3\"}]", REFUSED);
	is_patched("[1,2]", "[{\"op\":\"remove\",\"path\":\"/-\"}]", REFUSED);
	is_patched("[1,2]", "[{\"op\":\"replace\",\"path\":\"/1\",\"value\":{\"x\":1}}]", "[1,{\"x\":1}]");
	is_patched("[1,2]", "[{\"op\":\"replace\",\"path\":\"/2\",\"value\":1}]", REFUSED);
	is_patched("[1,2]", "[{\"op\":\"test\",\"path\":\"/01\",\"value\":2}]", REFUSED);
	is_patched("[1,2]", "[{\"op\":\"test\",\"path\":\"/1e0\",\"value\":2}]", REFUSED);
	is_patched("[1,2]", "[{\"op\":\"test\",\"path\":\"/99999999999999999999\",\"value\":2}]", REFUSED);
	is_patched("{\"a\":{\"b\":1}}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/c\"}]",
		   "{\"a\":{\"b\":1,\"c\":{\"b\":1}}}");
	is_patched("{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/c\"}]", REFUSED);
	is_patched("{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a\"}]",
		   "{\"a\":{\"b\":1}}");
	is_patched("{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/a\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"move\",\"path\":\"/a\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}");
	is_patched("{\"a\":null}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}");
	is_patched("{}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":null}]", "{}");
	is_patched("{\"a\":{\"x\":1,\"y\":[2,3]}}",
		   "[{\"op\":\"test\",\"path\":\"/a\",\"value\":{\"y\":[2,3],\"x\":1.0}}]",
		   "{\"a\":{\"x\":1,\"y\":[2,3]}}");
	is_patched("{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"spam\",\"path\":\"/b\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"path\":\"/b\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"remove\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"a\"}]", REFUSED);
	is_patched("{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/~2\"}]", REFUSED);
	is_patched("{\"metadata\":{\"annotations\":{\"a/b~c\":\"x\"}}}",
		   "[{\"op\":\"replace\",\"path\":\"/metadata/annotations/a~1b~0c\",\"value\":\"y\"}]",
		   "{\"metadata\":{\"annotations\":{\"a/b~c\":\"y\"}}}");
	is_patched("{}", "{}",
		   "error: error decoding patch: json: cannot unmarshal object into Go value of type "
		   "[]handlers.jsonPatchOp");
	is_patched("{}", "[1]",
		   "error: error decoding patch: json: cannot unmarshal number into Go value of type "
		   "handlers.jsonPatchOp");
	is_patched("{}", "[{\"op\":1}]",
		   "error: error decoding patch: json: cannot unmarshal number into Go struct field "
		   "jsonPatchOp.op of type string");
}

static void test_patch_limits(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT, doc = BUF_INIT;

	for (int i = 0; i <= LIMIT_PATCH_OPS; i++)
		buf_addf(&b, "%c{\"op\":\"add\",\"path\":\"/x\",\"value\":1}", i ? ',' : '[');
	buf_addch(&b, ']');
	is_patched("{}", b.s,
		   "error: Request entity too large: The allowed maximum operations in a JSON patch is "
		   "10000, got 10001");
	buf_clear(&b);
	buf_addch(&b, '[');
	for (int i = 0; i < 40; i++)
		buf_addf(&b, "%s{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/a/%d\"}", i ? "," : "", i);
	buf_addch(&b, ']');
	is_patched("{\"a\":{\"x\":\"0123456789\"}}", b.s, REFUSED);
	buf_clear(&b);
	buf_adds(&b, "[{\"op\":\"add\",\"path\":\"");
	for (int i = 0; i < 60; i++) {
		buf_adds(&doc, "{\"a\":");
		buf_adds(&b, "/a");
	}
	buf_adds(&doc, "{}");
	buf_adds(&b, "/b\",\"value\":");
	for (int i = 0; i < 60; i++)
		buf_adds(&b, "[");
	for (int i = 0; i < 60; i++) {
		buf_adds(&b, "]");
		buf_adds(&doc, "}");
	}
	buf_adds(&b, "}]");
	is_patched(doc.s, b.s, REFUSED);
}

/* --- merge patch --- */

static void is_merged(const char *doc, const char *patch, const char *want)
{
	_cleanup_doc_ struct doc *d = parse(doc), *p = parse(patch);
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_patch_merge(d, doc_root(p));
	doc_print_json(&b, doc_root(d), 0);
	is_str(b.s, want, patch);
}

static void test_merge(void)
{
	/* section 3 and appendix A of RFC 7386 */
	is_merged("{\"title\":\"Goodbye!\",\"author\":{\"givenName\":\"John\",\"familyName\":\"Doe\"},"
		  "\"tags\":[\"example\","
		  "\"sample\"],\"content\":\"This will be unchanged\"}",
		  "{\"title\":\"Hello!\",\"phoneNumber\":\"+01-123-456-7890\",\"author\":{\"familyName\":"
		  "null},\"tags\":[\"example\"]}",
		  "{\"title\":\"Hello!\",\"author\":{\"givenName\":\"John\"},\"tags\":[\"example\"],"
		  "\"content\":\"This will be "
		  "unchanged\",\"phoneNumber\":\"+01-123-456-7890\"}");
	is_merged("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	is_merged("{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}");
	is_merged("{\"a\":\"b\"}", "{\"a\":null}", "{}");
	is_merged("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}");
	is_merged("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	is_merged("{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}");
	is_merged("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}");
	is_merged("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
	is_merged("[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]");
	is_merged("{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]");
	is_merged("{\"a\":\"foo\"}", "null", "null");
	is_merged("{\"a\":\"foo\"}", "\"bar\"", "\"bar\"");
	is_merged("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}");
	is_merged("[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}");
	is_merged("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}");
	is_merged("{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":null,\"c\":null,\"d\":4}", "{\"b\":2,\"d\":4}");
	is_merged("{\"a\":1}", "{\"a\":{\"x\":null,\"y\":[null]}}", "{\"a\":{\"y\":[null]}}");
}

static void test_merge_large(void)
{
	_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL, *p = NULL;

	for (int i = 0; i < 100000; i++) {
		buf_addf(&a, "%c\"k%d\":1", i ? ',' : '{', i);
		buf_addf(&b, "%c\"k%d\":%s", i ? ',' : '{', 150000 - i, i % 2 ? "null" : "2");
	}
	buf_addch(&a, '}');
	buf_addch(&b, '}');
	d = parse(a.s);
	p = parse(b.s);
	doc_patch_merge(d, doc_root(p));
	is_int(node_count(doc_root(d)), 100001, "large objects merge in linear time");
	ok(!node_getc(doc_root(d), "k99999") && node_int(node_getc(doc_root(d), "k99998"), 0) == 2,
	   "as small ones do");
}

/* --- label selectors --- */

static char *selector_text(const char *text)
{
	struct selector *s = NULL;
	struct err e = ERR_INIT;
	struct buf b = BUF_INIT;

	if (selector_parse(&s, str_of(text), &e) < 0)
		buf_addf(&b, "error: %s", err_msg(&e));
	else
		selector_print(s, &b);
	selector_free(s);
	err_release(&e);
	return buf_detach(&b, NULL);
}

static void is_selector(const char *text, const char *want)
{
	_cleanup_free_ char *got = selector_text(text);

	is_str(got, want, text);
}

#define KEY_RULE                                                                                             \
	"name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with "   \
	"an "                                                                                                \
	"alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is " \
	"'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
#define PARSE "error: unable to parse requirement: "

static void test_selector_text(void)
{
	is_selector("", "");
	is_selector("x=a,y=b,z=c", "x=a,y=b,z=c");
	is_selector("z=c , a == b,x!=a", "a==b,x!=a,z=c");
	is_selector("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()");
	is_selector("x in (b,a,b),!y", "x in (a,b),!y");
	is_selector("x in (in,notin),in,notin=in", "in,notin=in,x in (in,notin)");
	is_selector("x=,y==,z!=", "x=,y==,z!=");
	is_selector("x>1,x<7", "x>1,x<7");
	is_selector("x in (,)", "x in ()");
	is_selector("x in (a,)", "x in (,a)");
	is_selector("example.com/a-b.c_d=V-1_2.3", "example.com/a-b.c_d=V-1_2.3");
	is_selector(
		"x=a||y=b", PARSE
		"values[0][x]: Invalid value: \"a||y\": a valid label must be an empty string or consist of "
		"alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
		"character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
		"'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')");
	is_selector("x==a==b", "error: found '==', expected: ',' or 'end of string'");
	is_selector("!x=a", "error: found '=', expected: ',' or 'end of string'");
	is_selector(
		"x<a", PARSE
		"values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer");
	is_selector("x a", PARSE "found 'a', expected: in, notin, =, ==, !=, gt, lt");
	is_selector("x in a", PARSE "found 'a' expected: '('");
	is_selector("x in (a", PARSE "found '', expected: ',' or ')'");
	is_selector("x in (=)", PARSE "found '=', expected: ',', ')' or identifier");
	is_selector("x in (a,=)", PARSE "found '=', expected: ',', or identifier");
	is_selector("x=(", PARSE "found '(', expected: identifier");
	is_selector("x,,y", "error: found ',', expected: identifier after ','");
	is_selector("x,", "error: found '', expected: identifier after ','");
	is_selector(",x", "error: found ',', expected: !, identifier, or 'end of string'");
	is_selector("=a", "error: found '=', expected: !, identifier, or 'end of string'");
	is_selector("!", PARSE "found '', expected: identifier");
	is_selector("x y", PARSE "found 'y', expected: in, notin, =, ==, !=, gt, lt");
	is_selector("a$b=c", PARSE "<nil>: Invalid value: \"a$b\": " KEY_RULE);
	is_selector("/a=c", PARSE "<nil>: Invalid value: \"/a\": prefix part must be non-empty");
	is_selector("a/=c", PARSE "<nil>: Invalid value: \"a/\": name part must be non-empty; " KEY_RULE);
	is_selector(
		"0123456789012345678901234567890123456789012345678901234567890123", PARSE
		"<nil>: Invalid value: \"0123456789012345678901234567890123456789012345678901234567890123\": "
		"name part must be no more than 63 bytes");
}

static bool matches(const char *selector, const char *labels)
{
	_cleanup_doc_ struct doc *d = labels ? parse(labels) : NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	struct selector *s = NULL;
	bool yes = selector_parse(&s, str_of(selector), &e) == 0 && selector_match(s, doc_root(d));

	selector_free(s);
	return yes;
}

static void test_selector_match(void)
{
	ok(matches("", "{\"x\":\"y\"}") && matches("", NULL), "the empty selector matches all");
	ok(matches("x=y", "{\"x\":\"y\"}") && !matches("x=y", "{\"x\":\"z\"}") && !matches("x=y", NULL), "=");
	ok(matches("x=y,z=w", "{\"x\":\"y\",\"z\":\"w\"}") && !matches("x=y,z=w", "{\"x\":\"y\"}"),
	   "all must hold");
	ok(matches("x!=y", "{\"x\":\"z\"}") && matches("x!=y", "{}") && !matches("x!=y", "{\"x\":\"y\"}"),
	   "!=");
	ok(matches("x", "{\"x\":\"\"}") && !matches("x", "{}"), "exists");
	ok(matches("!x", "{}") && !matches("!x", "{\"x\":\"\"}"), "does not exist");
	ok(matches("x in (a,b)", "{\"x\":\"b\"}") && !matches("x in (a,b)", "{\"x\":\"c\"}") &&
		   !matches("x in (a)", "{}"),
	   "in");
	ok(matches("x notin (a,b)", "{\"x\":\"c\"}") && matches("x notin (a)", "{}") &&
		   !matches("x notin (a)", "{\"x\":\"a\"}"),
	   "notin");
	ok(matches("x>2", "{\"x\":\"3\"}") && !matches("x>2", "{\"x\":\"2\"}") &&
		   !matches("x>2", "{\"x\":\"q\"}"),
	   ">");
	ok(matches("x<2", "{\"x\":\"-1\"}") && !matches("x<2", "{}"), "<");
	ok(matches("name=a", "{\"name\":\"a\"}"), "a label with the name of a field");
	ok(matches("x=", "{\"x\":\"\"}") && !matches("x=", "{}"), "an empty value");
}

static void is_object_selector(const char *json, const char *want)
{
	_cleanup_doc_ struct doc *d = parse(json);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct selector *s = NULL;

	if (selector_from_node(&s, doc_root(d), &e) < 0)
		buf_addf(&b, "error: %s", err_msg(&e));
	else
		selector_print(s, &b);
	is_str(b.s, want, json);
	selector_free(s);
}

static void test_selector_objects(void)
{
	_cleanup_doc_ struct doc *d = parse("{\"b\":\"2\",\"a\":\"1\"}"), *empty = parse("{}");
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct selector *s = NULL;

	is_object_selector("{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"},\"matchExpressions\":[{\"key\":\"c\","
			   "\"operator\":\"In\","
			   "\"values\":[\"y\",\"x\"]},{\"key\":\"d\",\"operator\":\"DoesNotExist\"}]}",
			   "a=1,b=2,c in (x,y),!d");
	is_object_selector("{\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"in\",\"values\":[\"x\"]}]}",
			   "error: \"in\" is not a valid label selector operator");
	is_object_selector(
		"{\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"In\"}]}",
		"error: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
	is_object_selector(
		"{\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"Exists\",\"values\":[\"x\"]}]}",
		"error: values: Invalid value: [\"x\"]: values set must be empty for exists and does not "
		"exist");
	is_object_selector("{\"matchLabels\":{\"a b\":\"1\"}}",
			   "error: key: Invalid value: \"a b\": " KEY_RULE);
	ok(selector_from_node(&s, doc_root(empty), &e) == 0 && selector_is_everything(s) &&
		   selector_match(s, NULL),
	   "an empty object matches all");
	s = selector_free(s);
	ok(selector_from_node(&s, NULL, &e) == 0 && !selector_is_everything(s) &&
		   !selector_match(s, doc_root(d)),
	   "no object matches nothing");
	selector_free(s);
	s = selector_from_map(doc_root(d));
	selector_print(s, &b);
	is_str(b.s, "a=1,b=2", "from a map");
	ok(selector_match(s, doc_root(d)) && !selector_match(s, doc_root(empty)), "and matches");
	selector_free(s);
	s = selector_from_map(doc_root(empty));
	ok(!selector_match(s, doc_root(d)), "an empty map matches nothing");
	selector_free(s);
}

/* --- field selectors --- */

static void is_fieldsel(const char *text, const char *want)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct fieldsel *s = NULL;

	if (fieldsel_parse(&s, str_of(text), &e) < 0)
		buf_addf(&b, "error: %s", err_msg(&e));
	for (size_t i = 0; s && i < s->n; i++)
		buf_addf(&b, "%s[%s]%s[%s]", i ? " " : "", s->terms[i].path, s->terms[i].negate ? "!=" : "=",
			 s->terms[i].value);
	is_str(b.s, want, text);
	fieldsel_free(s);
}

static void test_fieldsel(void)
{
	_cleanup_doc_ struct doc *d = parse(
		"{\"metadata\":{\"name\":\"n\",\"labels\":{\"x\":\"y\"}},\"spec\":{\"a\":7,\"b\":true}}");
	_cleanup_buf_ struct buf b = BUF_INIT;

	is_fieldsel("", "");
	is_fieldsel("metadata.name=a", "[metadata.name]=[a]");
	is_fieldsel("a=b,,c!=d,e==f", "[a]=[b] [c]!=[d] [e]=[f]");
	is_fieldsel("a=", "[a]=[]");
	is_fieldsel("a=b\\,c\\=d\\\\", "[a]=[b,c=d\\]");
	is_fieldsel("a", "error: invalid selector: 'a'; can't understand 'a'");
	is_fieldsel("x=1,a", "error: invalid selector: 'x=1,a'; can't understand 'a'");
	is_fieldsel("a=b=c", "error: invalid field selector: unescaped character in value: 61");
	is_fieldsel("a=b\\", "error: invalid field selector: invalid escape sequence: \\");
	is_fieldsel("a=\\b", "error: invalid field selector: invalid escape sequence: \\b");
	is_fieldsel("a!b=c", "[a!b]=[c]");
	is_str(node_dotted(doc_root(d), "metadata.name", &b).p, "n", "a string by path");
	is_str(node_dotted(doc_root(d), "metadata.labels.x", &b).p, "y", "deeper");
	is_str(node_dotted(doc_root(d), "spec.a", &b).p, "7", "a number");
	is_str(node_dotted(doc_root(d), "spec.b", &b).p, "true", "a truth value");
	is_str(node_dotted(doc_root(d), "spec.c.d", &b).p, "", "nothing");
	is_str(node_dotted(doc_root(d), "spec", &b).p, "", "a container");
	is_str(node_dotted(NULL, "spec", &b).p, "", "no object");
}

/* --- quantities --- */

static void is_quantity(const char *text, const char *want)
{
	_cleanup_buf_ struct buf b = BUF_INIT, again = BUF_INIT;
	struct quantity q;

	if (!quantity_parse(&q, str_of(text))) {
		is_str("refused", want, text);
		return;
	}
	quantity_print(&q, &b);
	is_str(b.s, want, text);
	ok(quantity_parse(&q, buf_str(&b)), "the canonical form parses");
	quantity_print(&q, &again);
	is_str(again.s, want, "and is its own");
}

static void test_quantity_canonical(void)
{
	static const char *const table[][2] = {
		{"0", "0"},
		{"0n", "0"},
		{"0Ki", "0"},
		{"00", "0"},
		{"1", "1"},
		{"1Ki", "1Ki"},
		{"8Ki", "8Ki"},
		{"7Mi", "7Mi"},
		{"6Gi", "6Gi"},
		{"5Ti", "5Ti"},
		{"4Pi", "4Pi"},
		{"3Ei", "3Ei"},
		{"5n", "5n"},
		{"4u", "4u"},
		{"3m", "3m"},
		{"9", "9"},
		{"8k", "8k"},
		{"50k", "50k"},
		{"300T", "300T"},
		{"1E", "1E"},
		{"1E-3", "1e-3"},
		{"1e3", "1e3"},
		{"1E6", "1e6"},
		{"1e14", "100e12"},
		{"1e13", "10e12"},
		{"100.035k", "100035"},
		{"0.001", "1m"},
		{"0.0005k", "500m"},
		{"0.05", "50m"},
		{"0.5", "500m"},
		{"0.5e0", "500e-3"},
		{"0.5e-1", "50e-3"},
		{"10.035M", "10035k"},
		{"1.2e3", "1200"},
		{"1.3E+6", "1300e3"},
		{"9.01", "9010m"},
		{"8.1k", "8100"},
		{"7.123456M", "7123456"},
		{"1.01E", "1010P"},
		{"3.001n", "4n"},
		{"1.1E-9", "2e-9"},
		{"0.0000000001", "1n"},
		{"0.0000000005", "1n"},
		{"0.9n", "1n"},
		{"0.00000012345", "124n"},
		{"0.00000012354", "124n"},
		{"9Ei", "9223372036854775807"},
		{"9223372036854775807Ki", "9223372036854775807"},
		{"12E", "12E"},
		{"1000E", "1e21"},
		{"5000E", "5e21"},
		{"100.035Ki", "102435840m"},
		{"0.5Mi", "512Ki"},
		{"0.05Gi", "53687091200m"},
		{"0.025Ti", "27487790694400m"},
		{"0.000000000001Ki", "2n"},
		{".001", "1m"},
		{".0001k", "100m"},
		{"1.", "1"},
		{"1.G", "1G"},
		{"1024Mi", "1Gi"},
		{"307200Ki", "300Mi"},
		{"1000M", "1G"},
		{"0.001T", "1G"},
		{"1000u", "1m"},
		{"1.08", "1080m"},
		{"1080000000n", "1080m"},
		{".001e12", "1e9"},
		{"0.001e0", "1e-3"},
		{"1000e-12", "1e-9"},
		{".001Ki", "1024m"},
		{".000001Ki", "1024u"},
		{"1500m", "1500m"},
		{"0.5Gi", "512Mi"},
		{"1.5Gi", "1536Mi"},
		{"1000m", "1"},
		{"100m", "100m"},
		{"+1", "1"},
		{"-1.5", "-1500m"},
		{"-1Gi", "-1Gi"},
		{"-0", "0"},
		{"1e-1000", "1e-9"},
		{"0e1000", "0"},
		{"0.9Ki", "921600m"},
		{"1025", "1025"},
		{".", "0"},
		{"9223372036854775808", "9223372036854775808"},
		{"1e+3", "1e3"},
		{"100000000000000000000000000000000000000000000e-44", "1"},
		{"0.3333333333333333333333333333333333333333", "333333334n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		is_quantity(table[i][0], table[i][1]);
	}
}

static void test_quantity_refused(void)
{
	static const char *const bad[] = {"",	   "1.1.M",  "1+1.0M",	"0.1mi", "0.1am", "aoeu", ".5i",
					  "1i",	   "-3.01i", "-3.01e-", " 1",	 "1 ",	  "1e",	  "1e+",
					  "1e+-3", "0x10",   "1KiB",	"--1",	 "1e1.5", "1,5",  "infinity"};
	struct quantity q;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(!quantity_parse(&q, str_of(bad[i])), bad[i][0] ? bad[i] : "(empty)");
}

static int64_t value_of(const char *text)
{
	struct quantity q;

	return quantity_parse(&q, str_of(text)) ? quantity_value(&q) : -12345;
}

static int64_t milli_of(const char *text)
{
	struct quantity q;

	return quantity_parse(&q, str_of(text)) ? quantity_milli(&q) : -12345;
}

static void test_quantity_use(void)
{
	_cleanup_doc_ struct doc *d = parse("[1, 0.5, \" 2Ki \", true, null, 1e3]");
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct quantity q, p;

	is_int(value_of("1500m"), 2, "values are rounded up");
	is_int(value_of("-1500m"), -2, "away from zero");
	is_int(value_of("1Gi"), 1 << 30, "1Gi");
	is_int(value_of("100E"), INT64_MAX, "saturated");
	is_int(value_of("-100E"), INT64_MIN, "saturated below");
	is_int(milli_of("1.5"), 1500, "milli");
	is_int(milli_of("1u"), 1, "milli rounded up");
	is_int(milli_of("9E"), INT64_MAX, "milli saturated");
	ok(quantity_parse(&q, STR_LIT("1e100000000000")), "an absurd exponent");
	is_int(quantity_value(&q), INT64_MAX, "is very large");
	p = q;
	quantity_round_up(&q, 1000000);
	is_int(quantity_cmp(&q, &p), 0, "and not to be rounded up");
	quantity_parse(&q, STR_LIT("0"));
	quantity_parse(&p, STR_LIT("1Gi"));
	quantity_add(&q, &p);
	quantity_add(&q, &p);
	quantity_print(&q, &b);
	is_str(b.s, "2Gi", "a sum that starts at 0 takes the format of its parts");
	quantity_parse(&p, STR_LIT("500m"));
	quantity_sub(&q, &p);
	buf_clear(&b);
	quantity_print(&q, &b);
	is_str(b.s, "2147483647500m", "a difference that is no whole number");
	ok(quantity_cmp(&q, &p) > 0 && quantity_cmp(&p, &q) < 0 && quantity_cmp(&q, &q) == 0, "compared");
	ok(quantity_from_node(&q, node_at(doc_root(d), 0)) && quantity_value(&q) == 1, "from an integer");
	ok(quantity_from_node(&q, node_at(doc_root(d), 1)) && quantity_milli(&q) == 500, "from a float");
	ok(quantity_from_node(&q, node_at(doc_root(d), 2)) && quantity_value(&q) == 2048,
	   "from a string with blanks");
	ok(!quantity_from_node(&q, node_at(doc_root(d), 3)) &&
		   !quantity_from_node(&q, node_at(doc_root(d), 4)),
	   "not from others");
	ok(!quantity_from_node(&q, NULL), "not from nothing");
}

int main(void)
{
	test_patch_rfc();
	test_patch_more();
	test_patch_limits();
	test_merge();
	test_merge_large();
	test_selector_text();
	test_selector_match();
	test_selector_objects();
	test_fieldsel();
	test_quantity_canonical();
	test_quantity_refused();
	test_quantity_use();
	return done_testing();
}
