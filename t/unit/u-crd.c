/*
 * Custom resources: patterns, JSON paths, schemas (structure, pruning, defaults,
 * values), definitions, and the registry that makes resources of them.
 */
#include "schema/crd.h"
#include "schema/custom.h"
#include "schema/regex.h"
#include "t/unit/tap.h"

#include <stdarg.h>

#include "base/time.h"

static const char *say(const char *fmt, ...) ATTR_PRINTF(1, 2);
static const char *say(const char *fmt, ...)
{
	static char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return text;
}
#undef ok
#undef is_str
#define ok(cond, ...) tap_ok(!!(cond), __FILE__, __LINE__, say(__VA_ARGS__))
#define is_str(got, want, ...) tap_is_str(got, want, __FILE__, __LINE__, say(__VA_ARGS__))

/* --- patterns --- */

static bool matches(const char *pattern, const char *text)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct regex *re;
	size_t budget = 1 << 22;
	bool yes;

	if (regex_compile(&re, str_of(pattern), &e) < 0) {
		printf("# %s\n", err_msg(&e));
		return false;
	}
	yes = regex_match(re, str_of(text), &budget);
	regex_free(re);
	return yes;
}

static void test_patterns(void)
{
	static const struct {
		const char *pattern, *yes, *no;
	} t[] = {
		{ "^\\d+\\w*$", "12ab", "a12" },
		{ "abc", "xxabcxx", "ab" },
		{ "^(?:a|b)+$", "abba", "abc" },
		{ "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", "a-b.c", "a..b" },
		{ "^a{2,3}$", "aaa", "aaaa" },
		{ "^a{2}$", "aa", "a" },
		{ "^a{2,}$", "aaaaa", "a" },
		{ "a{,2}", "a{,2}", "aa" },
		{ "^[^abc]$", "d", "a" },
		{ "^[\\d-]+$", "1-2", "a" },
		{ "^[]a]$", "]", "b" },
		{ "^[[:alpha:]_]+$", "a_B", "a1" },
		{ "^[[:^digit:]]$", "x", "1" },
		{ "(?i)^hello$", "HeLLo", "hallo" },
		{ "(?s)^a.b$", "a\nb", "ab" },
		{ "^a.b$", "axb", "a\nb" },
		{ "(?m)^b$", "a\nb\nc", "abc" },
		{ "^a\\.b$", "a.b", "axb" },
		{ "\\bfoo\\b", "a foo b", "afoob" },
		{ "^\\x41\\x{42}\\103$", "ABC", "abc" },
		{ "^\\Qa.b\\E$", "a.b", "axb" },
		{ "^(?P<x>a)(?<y>b)$", "ab", "ba" },
		{ "^$", "", "a" },
		{ "^(|a)$", "a", "b" },
		{ "^.$", "\303\244", "ab" },
		{ "^\\pL+$", "\303\244b", "a1" },
		{ "^\\p{Lu}$", "A", "a" },
		{ "^\\p{Greek}+$", "\316\261\316\262", "ab" },
		{ "^[^\\s]+$", "ab", "a b" },
		{ "^\\S+\\s\\S+$", "a b", "ab" },
		{ "^(a+)+$", "aaaa", "aaab" },
		{ "^(a*)*b$", "aab", "aaa" },
		{ "\\Aab\\z", "ab", "abc" },
		{ "^((http|https)://)?[a-z]+$", "https://a", "ftp://a" },
		{ "^-?[0-9]+(\\.[0-9]+)?$", "-1.5", "1." },
		{ "x*", "yyy", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		ok(matches(t[i].pattern, t[i].yes), "%s matches", t[i].pattern);
		if (t[i].no)
			ok(!matches(t[i].pattern, t[i].no), "%s does not match %s", t[i].pattern, t[i].no);
	}
}

static void test_bad_patterns(void)
{
	static const char *const t[][2] = {
		{ "[a", "error parsing regexp: missing closing ]: `[a`" },
		{ "(a", "error parsing regexp: missing closing ): `(a`" },
		{ "a)", "error parsing regexp: unexpected ): `a)`" },
		{ "*a", "error parsing regexp: missing argument to repetition operator: `*`" },
		{ "a**", "error parsing regexp: invalid nested repetition operator: `**`" },
		{ "a{1001}", "error parsing regexp: invalid repeat count: `{1001}`" },
		{ "[b-a]", "error parsing regexp: invalid character class range: `b-a`" },
		{ "\\8", "error parsing regexp: invalid escape sequence: `\\8`" },
		{ "a\\", "error parsing regexp: trailing backslash at end of expression: ``" },
		{ "(?=a)", "error parsing regexp: invalid or unsupported Perl syntax: `(?=`" },
		{ "\\p{Nope}", "error parsing regexp: invalid character class range: `\\p{Nope}`" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_err_ struct err e = ERR_INIT;
		struct regex *re;

		ok(regex_compile(&re, str_of(t[i][0]), &e) < 0, "%s is refused", t[i][0]);
		is_str(err_is_set(&e) ? err_msg(&e) : "", t[i][1], "%s: the words", t[i][0]);
		regex_free(re);
	}
}

/* Patterns that backtracking never finishes with, and such as grow without bound. */
static void test_pattern_bombs(void)
{
	static const char *const bombs[] = { "^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(a*)*(a*)*(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$",
					     "(x+x+)+y" };
	static const char *const large[] = { "((a{1000}){1000}){1000}", "((((){1000}){1000}){1000}){1000}",
					     "(a{0,1000}){0,1000}" };
	_cleanup_buf_ struct buf text = BUF_INIT;
	int64_t start = time_mono_ms();

	for (int i = 0; i < 20000; i++)
		buf_addch(&text, i % 2 ? 'a' : 'x');
	buf_addch(&text, '!');
	for (size_t i = 0; i < ARRAY_SIZE(bombs); i++)
		ok(!matches(bombs[i], text.s), "%s says no", bombs[i]);
	for (size_t i = 0; i < ARRAY_SIZE(large); i++) {
		_cleanup_err_ struct err e = ERR_INIT;
		struct regex *re;

		ok(regex_compile(&re, str_of(large[i]), &e) < 0, "%s is too large", large[i]);
		regex_free(re);
	}
	ok(time_mono_ms() - start < 10000, "all that took %d ms", (int)(time_mono_ms() - start));
}

/* --- helpers --- */

static struct doc *doc_of(const char *json)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_free_ char *text = xstrdup(json);
	struct doc *d = NULL;

	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	if (doc_parse_json(&d, str_of(text), NULL, &e) < 0)
		printf("# %s: %s\n", json, err_msg(&e));
	return d;
}

static char *text_of(struct doc *d)
{
	struct buf b = BUF_INIT;

	doc_print_json(&b, doc_root(d), DOC_PRINT_COMPACT);
	for (size_t i = 0; i < b.len; i++)
		if (b.s[i] == '"')
			b.s[i] = '\'';
	return buf_detach(&b, NULL);
}

/* --- JSON paths --- */

static bool path_add(void *arg, const struct node *n)
{
	struct buf *b = arg;

	if (b->len)
		buf_addch(b, ' ');
	doc_print_json(b, n, DOC_PRINT_COMPACT);
	return true;
}

static void test_paths(void)
{
	static const char *const t[][2] = {
		{ ".a.b", "1" },
		{ ".a['b']", "1" },
		{ "['a']['b']", "1" },
		{ ".l[0]", "10" },
		{ ".l[-1]", "30" },
		{ ".l[0:2]", "10 20" },
		{ ".l[*]", "10 20 30" },
		{ ".l[::2]", "10 30" },
		{ ".c[?(@.type==\"Ready\")].status", "\"True\"" },
		{ ".c[?(@.type=='Other')].status", "\"False\"" },
		{ ".c[?(@.n>5)].type", "\"Other\"" },
		{ ".c[?(@.n)].type", "\"Other\"" },
		{ ".c[?(@.type!=\"Ready\")].n", "7" },
		{ "..n", "7" },
		{ ".a.*", "1" },
		{ ".d\\.e", "5" },
		{ ".a['b','z']", "1 2" },
		{ ".nope.x[3].y", "" },
		{ ".", "{}" },
	};
	_cleanup_doc_ struct doc *d = doc_of("{'a':{'b':1},'l':[10,20,30],'c':[{'type':'Ready','status':'True'},"
					     "{'type':'Other','status':'False','n':7}],'d.e':5}");
	_cleanup_doc_ struct doc *two = doc_of("{'a':{'b':1,'z':2}}"), *empty = doc_of("{}");

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct jsonpath *p;
		struct doc *on = strstr(t[i][0], ",'z'") ? two : streq(t[i][0], ".") ? empty : d;

		if (jsonpath_parse(&p, str_of(t[i][0]), &e) < 0) {
			ok(false, "%s: %s", t[i][0], err_msg(&e));
			continue;
		}
		jsonpath_eval(p, doc_root(on), path_add, &b);
		is_str(b.s, t[i][1], "path %s", t[i][0]);
		jsonpath_free(p);
	}
}

static void test_bad_paths(void)
{
	static const char *const t[] = { ".a[", ".a[?(", ".a[?(@.x==)]", ".a['x", ".a..", ".a[1:2:0]", "a.b", ".a[x]", ".a['b',]" };

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_err_ struct err e = ERR_INIT;
		struct jsonpath *p;

		ok(jsonpath_parse(&p, str_of(t[i]), &e) < 0, "%s is no path", t[i]);
		jsonpath_free(p);
	}
}

/* --- formats --- */

static void test_formats(void)
{
	static const struct {
		const char *format, *yes, *no;
	} t[] = {
		{ "date", "2026-02-28", "2026-02-29" },
		{ "date-time", "2026-11-28T05:00:00Z", "2026-11-28" },
		{ "datetime", "2026-11-28T05:00:00.5+01:00", "yesterday" },
		{ "duration", "1h30m", "soon" },
		{ "uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810" },
		{ "uuid4", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "6ba7b810-9dad-11d1-80b4-00c04fd430c8" },
		{ "ipv4", "10.0.0.1", "10.0.0.256" },
		{ "ipv6", "::1", "10.0.0.1" },
		{ "cidr", "10.0.0.0/8", "10.0.0.0/33" },
		{ "mac", "00:11:22:33:44:55", "00:11:22:33:44" },
		{ "hostname", "a.example.com", "a_b" },
		{ "uri", "https://example.com/x", "not a uri" },
		{ "email", "a@example.com", "a.example.com" },
		{ "byte", "aGVsbG8=", "a" },
		{ "hexcolor", "#fff", "#ggg" },
		{ "rgbcolor", "rgb(1, 2, 3)", "rgb(1,2,300)" },
		{ "isbn10", "0-306-40615-2", "0-306-40615-3" },
		{ "isbn13", "978-0-306-40615-7", "978-0-306-40615-8" },
		{ "creditcard", "4111111111111111", "4111111111111112" },
		{ "ssn", "123-45-6789", "12-345" },
		{ "bsonobjectid", "507f1f77bcf86cd799439011", "507f" },
		{ "k8s-short-name", "a-b", "a.b" },
		{ "int32", "anything", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		ok(crd_format_ok(str_of(t[i].format), str_of(t[i].yes)), "%s: %s", t[i].format, t[i].yes);
		if (t[i].no)
			ok(!crd_format_ok(str_of(t[i].format), str_of(t[i].no)), "%s: not %s", t[i].format, t[i].no);
	}
}

/* --- definitions --- */

static const struct schema_res *crds(void)
{
	return (const struct schema_res *)schema_res("apiextensions.k8s.io", "customresourcedefinitions");
}

#define NAMES "'names':{'plural':'foos','singular':'foo','kind':'Foo','listKind':'FooList','shortNames':['fo']}"
#define HEAD "{'apiVersion':'apiextensions.k8s.io/v1','kind':'CustomResourceDefinition','metadata':{'name':'foos.example.com'}," \
	     "'spec':{'group':'example.com','scope':'Namespaced'," NAMES ",'versions':[{'name':'v1','served':true,'storage':true,"

static struct doc *definition(const char *schema, const char *more)
{
	_cleanup_free_ char *json = xasprintf(HEAD "'schema':{'openAPIV3Schema':%s}%s}]},'status':{'storedVersions':['v1'],"
					      "'acceptedNames':{'plural':'foos','singular':'foo','kind':'Foo','listKind':'FooList'},"
					      "'conditions':[{'type':'Established','status':'True'}]}}",
					      schema, more);

	return doc_of(json);
}

static void definition_is(const char *schema, const char *more, const char *want)
{
	_cleanup_doc_ struct doc *d = definition(schema, more);
	_cleanup_err_ struct err e = ERR_INIT;
	const char *have = "";

	if (schema_validate(crds(), doc_root(d), NULL, NULL, &e) < 0)
		have = strstr(err_msg(&e), " is invalid: ");
	have = have && *have ? have + strlen(" is invalid: ") : have;
	is_str(have ? have : "?", want, "definition %s%s", schema, more);
}

#define OBJ(props) "{'type':'object','properties':{" props "}}"
#define AT "spec.validation.openAPIV3Schema"

static void test_definitions(void)
{
	definition_is(OBJ("'spec':{'type':'object'}"), "", "");
	definition_is("{'type':'string'}", "", AT ".type: Invalid value: \"string\": must be object at the root");
	definition_is("{'properties':{}}", "", AT ".type: Required value: must not be empty at the root");
	definition_is(OBJ("'spec':{}"), "", AT ".properties[spec].type: Required value: must not be empty for specified object fields");
	definition_is(OBJ("'l':{'type':'array'}"), "", AT ".properties[l].items: Required value: must be specified");
	definition_is(OBJ("'l':{'type':'array','items':{}}"), "",
		      AT ".properties[l].items.type: Required value: must not be empty for specified array items");
	definition_is(OBJ("'a':{'type':'string','pattern':'['}"), "",
		      AT ".properties[a].pattern: Invalid value: \"[\": must be a valid regular expression, but isn't: error parsing "
			 "regexp: missing closing ]: `[`");
	definition_is(OBJ("'a':{'type':'array','uniqueItems':true,'items':{'type':'string'}}"), "",
		      AT ".properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes "
			 "quadratic");
	definition_is(OBJ("'a':{'$ref':'#/x','type':'string'}"), "", AT ".properties[a].$ref: Forbidden: $ref is not supported");
	definition_is(OBJ("'a':{'type':'object','properties':{'x':{'type':'string'}},'additionalProperties':{'type':'string'}}"), "",
		      AT ".properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive");
	definition_is(OBJ("'a':{'type':'string','allOf':[{'type':'string'}]}"), "",
		      AT ".properties[a].allOf[0].type: Forbidden: must be empty to be structural");
	definition_is(OBJ("'a':{'type':'object','anyOf':[{'required':['x'],'properties':{'x':{'minimum':1}}}]}"), "",
		      AT ".properties[a].properties[x]: Required value: because it is defined in " AT
			 ".properties[a].anyOf[0].properties[x]");
	definition_is(OBJ("'a':{'x-kubernetes-int-or-string':true,'anyOf':[{'type':'integer'},{'type':'string'}]}"), "", "");
	definition_is(OBJ("'a':{'type':'integer','default':'x'}"), "",
		      AT ".properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"");
	definition_is(OBJ("'a':{'type':'object','default':{'b':1}}"), "",
		      AT ".properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields");
	definition_is(OBJ("'a':{'type':'string','x-kubernetes-list-type':'set'}"), "",
		      AT ".properties[a].type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified");
	definition_is(OBJ("'a':{'type':'array','x-kubernetes-list-type':'map','items':{'type':'object','properties':{'k':{'type':"
			  "'string'}}}}"),
		      "",
		      AT ".properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map");
	definition_is(OBJ("'a':{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':"
			  "'object','properties':{'k':{'type':'string'}}}}"),
		      "",
		      AT ".properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so "
			 "it must have a default or be a required property");
	definition_is(OBJ("'metadata':{'type':'object','properties':{'labels':{'type':'object'}}}"), "",
		      AT ".properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is "
			 "implicitly specified");
	definition_is(OBJ("'a':{'type':'string'}"), ",'additionalPrinterColumns':[{'name':'A','type':'text','jsonPath':'a'}]",
		      "[spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of "
		      "boolean,date,integer,number,string, spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"a\": must be a "
		      "simple json path starting with .]");
	definition_is(OBJ("'a':{'type':'string'}"), ",'subresources':{'scale':{'specReplicasPath':'.x','statusReplicasPath':'.status.r'}}",
		      "spec.subresources.scale.specReplicasPath: Invalid value: \".x\": should be a json path under .spec");
	definition_is(OBJ("'a':{'type':'object'}"), ",'selectableFields':[{'jsonPath':'.a'}]",
		      "spec.selectableFields[0].jsonPath: Invalid value: \".a\": must point to a field of type string, boolean or integer. "
		      "Enum string fields and strings with formats are allowed.");
	definition_is(OBJ("'a':{'type':'string'}"), ",'deprecationWarning':'x'",
		      "spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions");
	definition_is(OBJ("'a':{'type':'string','x-kubernetes-validations':[{'rule':' '}]}"), "",
		      AT ".properties[a].x-kubernetes-validations[0].rule: Required value: rule is not specified");
}

static void test_definition_names(void)
{
	_cleanup_doc_ struct doc *d = definition(OBJ("'a':{'type':'string'}"), ""), *old = doc_clone(d);
	_cleanup_err_ struct err e = ERR_INIT;
	struct node *spec = node_get(doc_root(d), F_spec);

	doc_freeze(old);
	node_sets(d, spec, F_group, "other.example.com");
	node_sets(d, spec, F_scope, "Cluster");
	node_sets(d, node_get(doc_root(d), F_metadata), F_uid, "u");
	ok(schema_validate(crds(), doc_root(d), NULL, NULL, &e) < 0, "a name that is not plural.group");
	ok(strstr(err_msg(&e), "metadata.name: Invalid value: \"foos.example.com\": must be spec.names.plural+\".\"+spec.group"),
	   "says so: %s", err_msg(&e));
	err_release(&e);
	ok(schema_validate(crds(), doc_root(d), doc_root(old), NULL, &e) < 0, "group and scope stay");
	ok(strstr(err_msg(&e), "spec.scope: Invalid value: \"Cluster\": field is immutable"), "scope: %s", err_msg(&e));
	ok(strstr(err_msg(&e), "spec.group: Invalid value: \"other.example.com\": field is immutable"), "group");
}

/* --- the registry --- */

static unsigned changes;

static void changed(void *arg, const struct schema_res *r)
{
	changes++;
}

static const struct schema_res *serve(const char *schema, const char *more)
{
	struct doc *d = definition(schema, more);
	struct obj *o;

	doc_freeze(d);
	o = obj_new(&crds()->r, d, 5);
	schema_custom_set(o, changed, NULL);
	obj_unref(o);
	doc_unref(d);
	return schema_find(STR_LIT("example.com"), STR_LIT("v1"), STR_LIT("foos"));
}

static void test_registry(void)
{
	const struct schema_res *r = serve(OBJ("'a':{'type':'string'}"), ",'subresources':{'status':{}}"), *last = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = 0;

	ok(r != NULL, "a definition becomes a resource");
	ok(r == schema_find_api(STR_LIT("example.com/v1"), STR_LIT("Foo")), "found by kind");
	ok(schema_storage(r) == r && r->r.namespaced && r->preferred, "what it is");
	is_str(r->r.prefix, "/registry/example.com/foos/", "where it is stored");
	ok(schema_subres(r, STR_LIT("status")) && !schema_subres(r, STR_LIT("scale")), "its subresources");
	for (const struct schema_res *s = schema_next(NULL); s; s = schema_next(s), n++)
		last = s;
	ok(last == r && n == schema_n_resources + 1, "it comes last of all");
	ok(schema_discovery_group(STR_LIT("example.com"), &b) && strstr(b.s, "\"example.com/v1\""), "discovery of the group");
	buf_clear(&b);
	ok(schema_discovery_version(STR_LIT("example.com"), STR_LIT("v1"), &b) && strstr(b.s, "\"foos/status\""),
	   "discovery of the version");
	buf_clear(&b);
	ok(schema_openapi_v3(STR_LIT("apis/example.com/v1"), &b) && strstr(b.s, "com.example.v1.Foo"), "OpenAPI version 3");
	buf_clear(&b);
	schema_openapi_v2(true, &b);
	ok(b.len > 100000, "OpenAPI version 2");
	schema_custom_remove("foos.example.com", changed, NULL);
	ok(!schema_find(STR_LIT("example.com"), STR_LIT("v1"), STR_LIT("foos")), "it goes");
	ok(serve(OBJ("'a':{'type':'string'}"), "") == r, "and is the same when it comes back");
	ok(schema_version_cmp("v2", "v1") < 0 && schema_version_cmp("v1", "v1beta1") < 0 && schema_version_cmp("v1beta2", "v1beta1") < 0 &&
	   schema_version_cmp("v1alpha1", "foo") < 0 && schema_version_cmp("v10", "v9") < 0, "versions by priority");
	ok(changes > 2, "changes are told");
}

/* --- documents --- */

static void pruned(const char *schema, const char *in, const char *want)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = doc_of(in);
	_cleanup_free_ char *have = NULL;
	const struct schema_res *r = serve(schema, "");

	if (schema_decode(r, d, NULL, &e) < 0) {
		is_str(err_msg(&e), want, "decode %s", in);
		return;
	}
	schema_default(r, d);
	have = text_of(d);
	is_str(have, want, "%s under %s", in, schema);
}

static void test_prune(void)
{
	pruned(OBJ("'a':{'type':'string'}"), "{'a':'x','b':1,'metadata':{'name':'n','zzz':1}}", "{'a':'x','metadata':{'name':'n'}}");
	pruned(OBJ("'a':{'type':'object'}"), "{'a':{'b':{'c':1}}}", "{'a':{}}");
	pruned(OBJ("'a':{'type':'object','x-kubernetes-preserve-unknown-fields':true}"), "{'a':{'b':{'c':1}}}", "{'a':{'b':{'c':1}}}");
	pruned(OBJ("'a':{'type':'object','x-kubernetes-preserve-unknown-fields':true,'properties':{'k':{'type':'object'}}}"),
	       "{'a':{'b':{'c':1},'k':{'x':1}}}", "{'a':{'b':{'c':1},'k':{}}}");
	pruned(OBJ("'m':{'type':'object','additionalProperties':{'type':'object','properties':{'v':{'type':'integer'}}}}"),
	       "{'m':{'x':{'v':1,'w':2}}}", "{'m':{'x':{'v':1}}}");
	pruned(OBJ("'l':{'type':'array','items':{'type':'object','properties':{'v':{'type':'integer'}}}}"), "{'l':[{'v':1,'w':2}]}",
	       "{'l':[{'v':1}]}");
	pruned(OBJ("'a':{'type':'integer','default':3}"), "{}", "{'a':3}");
	pruned(OBJ("'a':{'type':'integer','default':3}"), "{'a':null}", "{'a':3}");
	pruned(OBJ("'a':{'type':'integer','default':3,'nullable':true}"), "{'a':null}", "{'a':null}");
	pruned(OBJ("'a':{'type':'integer'}"), "{'a':null}", "{}");
	pruned(OBJ("'a':{'type':'object','default':{},'properties':{'b':{'type':'string','default':'x'}}}"), "{}", "{'a':{'b':'x'}}");
	pruned(OBJ("'l':{'type':'array','items':{'type':'object','properties':{'p':{'type':'string','default':'TCP'}}}}"),
	       "{'l':[{},{'p':'UDP'}]}", "{'l':[{'p':'TCP'},{'p':'UDP'}]}");
	pruned(OBJ("'e':{'type':'object','x-kubernetes-embedded-resource':true,'x-kubernetes-preserve-unknown-fields':true}"),
	       "{'e':{'apiVersion':'v1','kind':'X','metadata':{'name':'a','zz':1},'spec':{'q':1}}}",
	       "{'e':{'apiVersion':'v1','kind':'X','metadata':{'name':'a'},'spec':{'q':1}}}");
	pruned(OBJ("'a':{'type':'string'}"), "{'metadata':{'labels':{'a':1}}}",
	       "Foo in version \"v1\" cannot be handled as a Foo: json: cannot unmarshal number into Go struct field "
	       "ObjectMeta.labels of type string");
	pruned(OBJ("'a':{'type':'string'}"), "{'metadata':7}",
	       "Foo in version \"v1\" cannot be handled as a Foo: json: cannot unmarshal number into Go struct field .metadata of "
	       "type v1.ObjectMeta");
}

static void test_strict(void)
{
	const struct schema_res *r = serve(OBJ("'spec':{'type':'object','properties':{'l':{'type':'array','items':{'type':'object'}}}}"), "");
	_cleanup_doc_ struct doc *d = doc_of("{'metadata':{'x':1},'spec':{'foo':1,'l':[{'bar':2}]}}");
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct schema_issue *list = NULL;

	ok(schema_decode(r, d, &list, &e) == 0, "unknown fields are no error of decoding");
	for (struct schema_issue *i = list; i; i = i->next)
		buf_addf(&b, "%s;", i->text);
	is_str(b.s, "unknown field \"metadata.x\";unknown field \"spec.foo\";unknown field \"spec.l[0].bar\";", "but are told");
	schema_issues_free(list);
}

/* --- values --- */

static void value_is(const char *schema, const char *value, const char *old_value, const char *want)
{
	_cleanup_free_ char *props = xasprintf("{'type':'object','properties':{'a':%s}}", schema);
	const struct schema_res *r = serve(props, "");
	_cleanup_free_ char *json = xasprintf("{'apiVersion':'example.com/v1','kind':'Foo','metadata':{'name':'n','namespace':'d',"
					      "'uid':'u'},'a':%s}", value);
	_cleanup_free_ char *was = xasprintf("{'apiVersion':'example.com/v1','kind':'Foo','metadata':{'name':'n','namespace':'d',"
					     "'uid':'u','resourceVersion':'1'},'a':%s}", old_value ? old_value : "null");
	_cleanup_doc_ struct doc *d = doc_of(json), *old = doc_of(was);
	_cleanup_err_ struct err e = ERR_INIT;
	const char *have = "";

	if (old_value)
		node_sets(d, node_get(doc_root(d), F_metadata), F_resourceVersion, "1");
	if (schema_validate(r, doc_root(d), old_value ? doc_root(old) : NULL, NULL, &e) < 0)
		have = strstr(err_msg(&e), " is invalid: ") + strlen(" is invalid: ");
	is_str(have, want, "%s: %s", schema, value);
}

static void test_values(void)
{
	value_is("{'type':'integer','maximum':10}", "11", NULL, "a: Invalid value: 11: a in body should be less than or equal to 10");
	value_is("{'type':'integer','maximum':10,'exclusiveMaximum':true}", "10", NULL, "a: Invalid value: 10: a in body should be less than 10");
	value_is("{'type':'number','minimum':1.5}", "1.25", NULL, "a: Invalid value: 1.25: a in body should be greater than or equal to 1.5");
	value_is("{'type':'integer','multipleOf':3}", "7", NULL, "a: Invalid value: 7: a in body should be a multiple of 3");
	value_is("{'type':'integer'}", "1.0", NULL, "");
	value_is("{'type':'integer'}", "1.5", NULL, "a: Invalid value: \"number\": a in body must be of type integer: \"number\"");
	value_is("{'type':'integer'}", "'x'", NULL, "a: Invalid value: \"string\": a in body must be of type integer: \"string\"");
	value_is("{'type':'number'}", "3", NULL, "");
	value_is("{'type':'string'}", "null", NULL, "a: Invalid value: \"null\": a in body must be of type string: \"null\"");
	value_is("{'type':'string','nullable':true}", "null", NULL, "");
	value_is("{'type':'string','maxLength':2}", "'\303\244\303\266'", NULL, "");
	value_is("{'type':'string','maxLength':2}", "'abc'", NULL, "a: Too long: may not be more than 2 characters");
	value_is("{'type':'string','minLength':2}", "'a'", NULL, "a: Invalid value: \"a\": a in body should be at least 2 chars long");
	value_is("{'type':'string','pattern':'^a+$'}", "'b'", NULL, "a: Invalid value: \"b\": a in body should match '^a+$'");
	value_is("{'type':'string','format':'date'}", "'x'", NULL, "a: Invalid value: \"x\": a in body must be of type date: \"x\"");
	value_is("{'type':'string','enum':['x','y']}", "'z'", NULL, "a: Unsupported value: \"z\": supported values: \"x\", \"y\"");
	value_is("{'type':'integer','enum':[1,2]}", "3", NULL, "a: Unsupported value: 3: supported values: \"1\", \"2\"");
	value_is("{'type':'object','required':['b'],'properties':{'b':{'type':'string'}}}", "{}", NULL, "a.b: Required value");
	value_is("{'type':'array','items':{'type':'string'},'maxItems':1}", "['x','y']", NULL, "a: Too many: 2: must have at most 1 items");
	value_is("{'type':'array','items':{'type':'string'},'minItems':1}", "[]", NULL,
		 "a: Invalid value: 0: a in body should have at least 1 items");
	value_is("{'type':'array','items':{'type':'string'}}", "[1]", NULL,
		 "a[0]: Invalid value: \"integer\": a[0] in body must be of type string: \"integer\"");
	value_is("{'type':'object','additionalProperties':{'type':'integer'}}", "{'k':'v'}", NULL,
		 "a.k: Invalid value: \"string\": a.k in body must be of type integer: \"string\"");
	value_is("{'type':'object','minProperties':2,'additionalProperties':{'type':'integer'}}", "{'k':1}", NULL,
		 "a: Invalid value: 1: a in body should have at least 2 properties");
	value_is("{'x-kubernetes-int-or-string':true}", "true", NULL,
		 "a: Invalid value: \"boolean\": a in body must be of type integer,string: \"boolean\"");
	value_is("{'x-kubernetes-int-or-string':true}", "'50%'", NULL, "");
	value_is("{'type':'integer','anyOf':[{'minimum':5},{'enum':[1]}]}", "2", NULL,
		 "[<nil>: Invalid value: \"\": \"a\" must validate at least one schema (anyOf), a: Invalid value: 2: a in body should be "
		 "greater than or equal to 5]");
	value_is("{'type':'integer','oneOf':[{'minimum':5},{'maximum':9}]}", "7", NULL,
		 "<nil>: Invalid value: \"\": \"a\" must validate one and only one schema (oneOf). Found 2 valid alternatives");
	value_is("{'type':'integer','not':{'enum':[7]}}", "7", NULL, "<nil>: Invalid value: \"\": \"a\" must not validate the schema (not)");
	value_is("{'type':'integer','allOf':[{'minimum':5},{'maximum':9}]}", "3", NULL,
		 "[a: Invalid value: 3: a in body should be greater than or equal to 5, <nil>: Invalid value: \"\": \"a\" must validate all "
		 "the schemas (allOf)]");
	value_is("{'type':'array','x-kubernetes-list-type':'set','items':{'type':'string'}}", "['x','y','x']", NULL,
		 "a[2]: Duplicate value: \"x\"");
	value_is("{'type':'array','x-kubernetes-list-type':'map','x-kubernetes-list-map-keys':['k'],'items':{'type':'object',"
		 "'required':['k'],'properties':{'k':{'type':'string'},'v':{'type':'integer'}}}}",
		 "[{'k':'x','v':1},{'k':'x','v':2}]", NULL, "a[1]: Duplicate value: {\"k\":\"x\"}");
	value_is("{'type':'integer','maximum':10}", "11", "11", "");
	value_is("{'type':'integer','maximum':10}", "12", "11", "a: Invalid value: 12: a in body should be less than or equal to 10");
	value_is("{'type':'object','x-kubernetes-embedded-resource':true,'x-kubernetes-preserve-unknown-fields':true}", "{'kind':'X'}", NULL,
		 "a.apiVersion: Required value: must not be empty");
}

/* Junctors in junctors, lists in lists: an end is found in any case. */
static void test_value_bombs(void)
{
	_cleanup_buf_ struct buf schema = BUF_INIT, value = BUF_INIT;
	int64_t start = time_mono_ms();
	_cleanup_doc_ struct doc *d = NULL;
	buf_adds(&schema, "{'type':'array','items':{'type':'string','anyOf':[");
	for (int i = 0; i < 300; i++)
		buf_addf(&schema, "%s{'pattern':'^(a|b|ab)*%d$'}", i ? "," : "", i);
	buf_adds(&schema, "]}}");
	buf_addch(&value, '[');
	for (int i = 0; i < 20000; i++)
		buf_addf(&value, "%s'ababababababababababababab%d'", i ? "," : "", i);
	buf_addch(&value, ']');
	{
		_cleanup_free_ char *props = xasprintf("{'type':'object','properties':{'a':%s}}", schema.s);
		_cleanup_free_ char *json = xasprintf("{'metadata':{'name':'n','namespace':'d','uid':'u'},'a':%s}", value.s);
		const struct schema_res *r = serve(props, "");
		_cleanup_err_ struct err e = ERR_INIT;

		d = doc_of(json);
		ok(schema_validate(r, doc_root(d), NULL, NULL, &e) < 0, "a large object under a costly schema is refused");
	}
	ok(time_mono_ms() - start < 20000, "in bounded time: %d ms", (int)(time_mono_ms() - start));
}

static void test_tables(void)
{
	const struct schema_res *r =
		serve(OBJ("'a':{'type':'string'}"), ",'additionalPrinterColumns':[{'name':'S','type':'string','jsonPath':'.c[*]'},"
						    "{'name':'I','type':'integer','jsonPath':'.i','priority':1},{'name':'B','type':"
						    "'boolean','jsonPath':'.b'},{'name':'D','type':'date','jsonPath':'.d'},{'name':'N',"
						    "'type':'number','jsonPath':'.n'},{'name':'X','type':'string','jsonPath':'.none'}]");
	_cleanup_doc_ struct doc *d = doc_of("{'metadata':{'name':'n'},'c':['x','y'],'i':3,'b':true,'d':'2026-11-28T00:00:00Z','n':1.5}");
	_cleanup_buf_ struct buf b = BUF_INIT;
	int64_t ns;

	time_parse_rfc3339(STR_LIT("2026-11-28T00:05:00Z"), &ns);
	schema_table_cells(r, doc_root(d), ns / SEC_NS, &b);
	is_str(b.s, "\"cells\":[\"n\",\"x y\",3,true,\"5m\",1.5,null]", "cells");
	buf_clear(&b);
	schema_table_columns(r, &b);
	ok(strstr(b.s, "{\"name\":\"I\",\"type\":\"integer\",\"format\":\"\",\"description\":\"Custom resource definition column (in JSONPath "
		       "format): .i\",\"priority\":1}") != NULL,
	   "columns: %s", b.s);
}

static void test_fields(void)
{
	_cleanup_doc_ struct doc *d = doc_of("{'spec':{'replicas':3}}");
	_cleanup_free_ char *text = NULL;

	is_int(node_int(schema_path_get(doc_root(d), ".spec.replicas"), 0), 3, "a simple path");
	ok(schema_path_get(doc_root(d), ".spec.x.y") == NULL, "that leads nowhere");
	ok(schema_path_set(d, ".spec.deep.er", node_new_int(d, 4)), "is set");
	ok(!schema_path_set(d, ".spec.replicas.x", node_new_int(d, 4)), "not through a number");
	text = text_of(d);
	is_str(text, "{'spec':{'replicas':3,'deep':{'er':4}}}", "the outcome");
}

int main(void)
{
	test_patterns();
	test_bad_patterns();
	test_pattern_bombs();
	test_paths();
	test_bad_paths();
	test_formats();
	test_definitions();
	test_definition_names();
	test_registry();
	test_prune();
	test_strict();
	test_values();
	test_value_bombs();
	test_tables();
	test_fields();
	return done_testing();
}
