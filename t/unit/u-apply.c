/*
 * Field sets, managedFields and server-side apply: sets and FieldsV1, what differs,
 * merging, ownership, conflicts, removal, versions, scale. Documents are written with
 * ' for ".
 */
#include "schema-util.h"
#include "tap.h"

#include "base/time.h"
#include "schema/apply.h"

static const struct schema_res *res; /* of the object at hand */
static struct doc *live;
static int clock_s;

static const struct node *convert_cm(void *arg, const struct node *root, const char *from, const char *to,
				     struct fs_type *type)
{
	if (!streq(to, "v0") && !streq(from, "v0"))
		return NULL;
	*type = fs_type_of(res); /* v0 differs in its name alone */
	return root;
}

static struct managed_by by(const char *manager)
{
	static char now[32];

	snprintf(now, sizeof(now), "2026-01-01T00:00:%02dZ", clock_s % 60);
	return (struct managed_by){ .manager = manager, .api_version = res->r.api_version, .subresource = "",
				    .now = now, .type = fs_type_of(res), .convert = convert_cm };
}

static void start(const char *kind_name)
{
	live = doc_unref(live);
	res = kind(kind_name);
	clock_s = 1;
}

static void take(struct doc *d)
{
	doc_unref(live);
	live = d;
	clock_s++;
}

/* NULL when it went well, else the error. */
static const char *apply_as(const struct managed_by *b, const char *text, bool force, const char *exempt)
{
	_cleanup_doc_ struct doc *config = parse(text), *ex = exempt ? parse(exempt) : NULL;
	static struct err e = ERR_INIT;
	struct doc *d = doc_new();

	err_release(&e);
	if (managed_apply(d, live ? doc_root(live) : NULL, doc_root(config), b, force, ex ? doc_root(ex) : NULL,
			  &e) < 0) {
		doc_unref(d);
		return err_msg(&e);
	}
	take(d);
	return NULL;
}

static const char *apply(const char *manager, const char *text)
{
	struct managed_by b = by(manager);

	return apply_as(&b, text, false, NULL);
}

static const char *force(const char *manager, const char *text)
{
	struct managed_by b = by(manager);

	return apply_as(&b, text, true, NULL);
}

static void update_as(const struct managed_by *b, const char *text)
{
	struct doc *d = parse(text);

	managed_update(d, live ? doc_root(live) : NULL, b);
	take(d);
}

static void update(const char *manager, const char *text)
{
	struct managed_by b = by(manager);

	update_as(&b, text);
}

/* The object without its managedFields and nulls of the zero object, with ' for ". */
static const char *object(void)
{
	static struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = doc_clone(live);

	node_remove(node_get(doc_root(d), F_metadata), F_managedFields);
	if (!node_count(node_get(doc_root(d), F_metadata)))
		node_remove(doc_root(d), F_metadata);
	buf_clear(&b);
	doc_print_json(&b, doc_root(d), DOC_PRINT_SORTED);
	for (size_t i = 0; i < b.len; i++)
		if (b.s[i] == '"')
			b.s[i] = '\'';
	return b.s;
}

/* "manager/Operation[/subresource]={...};..." */
static const char *owners(void)
{
	static struct buf b = BUF_INIT;

	buf_clear(&b);
	NODE_FOREACH(n, node_get(meta_of(doc_root(live)), F_managedFields)) {
		const char *sub = node_gets(n, F_subresource);

		buf_addf(&b, "%s%s/%s%s%s=", b.len ? ";" : "", node_gets(n, F_manager), node_gets(n, F_operation),
			 *sub ? "/" : "", sub);
		doc_print_json(&b, node_get(n, F_fieldsV1), DOC_PRINT_COMPACT);
	}
	for (size_t i = 0; i < b.len; i++)
		if (b.s[i] == '"')
			b.s[i] = '\'';
	return b.s;
}

/* --- sets --- */

static const char *printed(const struct fset *s)
{
	static struct buf b[4];
	static int at;
	_cleanup_doc_ struct doc *d = doc_new();
	struct buf *out = &b[at++ % 4];

	if (!out->s)
		buf_init(out);
	buf_clear(out);
	doc_print_json(out, fset_print(s, d), DOC_PRINT_COMPACT);
	return out->s;
}

static struct fset *set(struct fsx *x, const char *text)
{
	static struct doc *kept[64];
	static size_t n;
	struct err e = ERR_INIT;
	struct fset *s = NULL;
	struct doc *d;

	d = parse(text);
	doc_unref(kept[n % 64]);
	kept[n++ % 64] = d;
	if (fset_parse(x, doc_root(d), &s, &e) < 0)
		printf("# %s\n", err_msg(&e));
	err_release(&e);
	return s;
}

static void each_path(void *arg, const char *path)
{
	struct buf *b = arg;

	buf_addf(b, "%s%s", b->len ? " " : "", path);
}

static void test_sets(void)
{
	_cleanup_fsx_ struct fsx x;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct fset *s, *t;

	fsx_init(&x);
	s = set(&x, "{'f:b':{},'f:a':{'.':{},'f:x':{},'i:10':{},'i:9':{},'v:\\'w\\'':{},'v:3':{},'v:true':{},"
		    "'k:{\\'n\\':\\'q\\',\\'a\\':1}':{'f:z':{}}}}");
	is_str(printed(s),
	       "{\"f:a\":{\".\":{},\"f:x\":{},\"k:{\\\"a\\\":1,\\\"n\\\":\\\"q\\\"}\":{\"f:z\":{}},\"v:3\":{},\"v:\\\"w\\\"\":{},"
	       "\"v:true\":{},\"i:9\":{},\"i:10\":{}},\"f:b\":{}}",
	       "elements come in their order: fields, keys, values, indexes");
	is_int((long long)fset_size(s), 9, "members are counted, parents only when they are some");
	fset_each(s, each_path, &b);
	is_str(b.s, ".a .b .a.x .a[=3] .a[=\"w\"] .a[=true] .a[9] .a[10] .a[a=1,n=\"q\"].z", "paths");
	s = set(&x, "{'f:a':{},'x:new':{'f:q':{}},'f:b':{'.':{}}}");
	is_str(printed(s), "{\"f:a\":{},\"f:b\":{}}", "an element of a form that is not known is left out");
	s = set(&x, "{'f:a':{'f:b':{},'f:c':{}},'f:d':{}}");
	t = set(&x, "{'f:a':{'f:c':{},'f:e':{}}}");
	is_str(printed(fset_union(&x, s, t)), "{\"f:a\":{\"f:b\":{},\"f:c\":{},\"f:e\":{}},\"f:d\":{}}", "union");
	is_str(printed(fset_intersection(&x, s, t)), "{\"f:a\":{\"f:c\":{}}}", "intersection");
	is_str(printed(fset_difference(&x, s, t, false)), "{\"f:a\":{\"f:b\":{}},\"f:d\":{}}", "difference");
	ok(fset_is_empty(fset_difference(&x, s, s, false)), "a set without itself is empty");
	t = set(&x, "{'f:a':{}}");
	is_str(printed(fset_difference(&x, s, t, false)), "{\"f:a\":{\"f:b\":{},\"f:c\":{}},\"f:d\":{}}",
	       "a parent does not take its children along");
	is_str(printed(fset_difference(&x, s, t, true)), "{\"f:d\":{}}", "... unless that is wanted");
	ok(fset_equal(fset_union(&x, s, NULL), s) && fset_is_empty(fset_intersection(&x, s, NULL)), "the empty set");
	ok(fset_has(s, "a.b") && !fset_has(s, "a") && !fset_has(s, "a.b.c") && fset_has(s, "d"), "membership");
	s = set(&x, "{'f:spec':{'f:cs':{'k:{\\'name\\':\\'a\\'}':{'f:image':{},'f:resources':{'f:limits':{}}}},'f:x':{}}}");
	t = fset_of_paths(&x, (const char *const[]){ "spec.cs.*.resources" }, 1);
	is_str(printed(fset_below(&x, s, t)),
	       "{\"f:spec\":{\"f:cs\":{\"k:{\\\"name\\\":\\\"a\\\"}\":{\"f:resources\":{\"f:limits\":{}}}}}}",
	       "what is below a path with a star");
}

static void test_bad_sets(void)
{
	static const char *const bad[] = { "{'f':{}}", "{'name':{}}", "{'k:{':{}}", "{'k:[1]':{}}", "{'v:':{}}",
					   "{'i:x':{}}", "{'':{}}", "[1]", "'x'" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_doc_ struct doc *d = parse(bad[i]);
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_fsx_ struct fsx x;
		struct fset *s;

		fsx_init(&x);
		ok(fset_parse(&x, doc_root(d), &s, &e) < 0 && err_is_set(&e), bad[i]);
	}
}

static void test_large(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_err_ struct err e = ERR_INIT;

	start("ConfigMap");
	buf_adds(&b, "{\"metadata\":{\"name\":\"a\"},\"data\":{");
	for (int i = 60000; i > 0; i--)
		buf_addf(&b, "%s\"k%d\":\"\"", i < 60000 ? "," : "", i);
	buf_adds(&b, "}}");
	ok(doc_parse_json(&d, buf_str(&b), NULL, &e) == 0, "a map of 60,000 keys, in the wrong order");
	{
		struct managed_by m = by("m");

		managed_update(d, NULL, &m);
		take(take_ptr(&d));
		d = doc_clone(live);
		managed_update(d, doc_root(live), &m);
	}
	is_int((long long)node_count(node_getc(node_get(node_first(node_get(meta_of(doc_root(live)), F_managedFields)),
							F_fieldsV1),
					       "f:data")),
	       60001, "each is owned");
	ok(node_equal(doc_root(d), doc_root(live)), "an update that changes nothing leaves all as it was");
}

/* --- documents --- */

static void test_fields(void)
{
	start("Deployment");
	is_str(apply("a", "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'w','labels':{'x':'y'},'annotations':{}},"
			  "'spec':{'replicas':2,'selector':{'matchLabels':{'x':'y'}},'template':{'metadata':{'labels':{'x':'y'}},"
			  "'spec':{'containers':[{'name':'c','image':'i','ports':[{'containerPort':80},{'containerPort':80,'protocol':'UDP'}],"
			  "'args':['a','b'],'securityContext':{}}],'nodeSelector':{'a':'b'}}}}}"),
	       NULL, "a Deployment is applied");
	is_str(owners(),
	       "a/Apply={'f:metadata':{'f:annotations':{},'f:labels':{'f:x':{}}},'f:spec':{'f:replicas':{},'f:selector':{},"
	       "'f:template':{'f:metadata':{'f:labels':{'f:x':{}}},'f:spec':{'f:containers':{'k:{\\'name\\':\\'c\\'}':{'.':{},"
	       "'f:args':{},'f:image':{},'f:name':{},'f:ports':{'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},"
	       "'f:containerPort':{}},'k:{\\'containerPort\\':80,\\'protocol\\':\\'UDP\\'}':{'.':{},'f:containerPort':{},"
	       "'f:protocol':{}}},'f:securityContext':{}}},'f:nodeSelector':{}}}}}",
	       "leaves, items by key (with a key's default), atomic maps and lists, empty maps");
	start("ConfigMap");
	update("kubectl-create", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','uid':'u','generateName':'g'},"
				 "'data':{'k':'v'}}");
	is_str(owners(), "kubectl-create/Update={'f:data':{'.':{},'f:k':{}},'f:metadata':{'f:generateName':{}}}",
	       "a create owns what it set, not what says which object it is");
	start("Pod");
	update("c", "{'metadata':{'name':'a'},'spec':{'containers':[{'name':'x','env':[{'name':'A','value':'1'}],'resources':{}}]}}");
	is_str(owners(),
	       "c/Update={'f:spec':{'f:containers':{'k:{\\'name\\':\\'x\\'}':{'.':{},'f:env':{'.':{},'k:{\\'name\\':\\'A\\'}':"
	       "{'.':{},'f:name':{},'f:value':{}}},'f:name':{},'f:resources':{}}}}}",
	       "required lists and structures of Go's zero value have no owner themselves, optional ones have");
}

static const char *checked(const char *kind_name, const char *text)
{
	_cleanup_doc_ struct doc *d = parse(text);
	static struct err e = ERR_INIT;
	_cleanup_fsx_ struct fsx x;

	fsx_init(&x);
	err_release(&e);
	return fs_check(&x, fs_type_of(kind(kind_name)), doc_root(d), &e) < 0 ? err_msg(&e) : "fine";
}

static void test_check(void)
{
	is_str(checked("Pod", "{'spec':{'containers':[{'name':'x','image':'a'},{'name':'x'}]}}"),
	       ".spec.containers: duplicate entries for key [name=\"x\"]", "a list key twice");
	is_str(checked("Pod", "{'spec':{'containers':[{'image':'a'}]}}"),
	       ".spec.containers: element 0: associative list with keys has an element that omits all key fields [\"name\"] "
	       "(and doesn't have default values for any key fields)",
	       "an item without its key");
	is_str(checked("Pod", "{'metadata':{'finalizers':['a/b','a/b']}}"),
	       ".metadata.finalizers: duplicate entries for key [=\"a/b\"]", "a set's value twice");
	is_str(checked("Pod", "{'spec':{'nope':1}}"), ".spec.nope: field not declared in schema", "an unknown field");
	is_str(checked("Pod", "{'spec':{'containers':[{'name':'x','imag':'a'}],'hostNetwork':'yes'},'foo':{}}"),
	       "errors:\n  .spec.containers[name=\"x\"].imag: field not declared in schema\n  .spec.hostNetwork: expected "
	       "boolean, got &{yes}\n  .foo: field not declared in schema",
	       "several errors");
	is_str(checked("Deployment", "{'spec':{'replicas':'2'}}"),
	       ".spec.replicas: expected numeric (int or float), got string", "text for a number");
	is_str(checked("ConfigMap", "{'data':{'a':8080}}"),
	       ".data.a: expected string, got &value.valueUnstructured{Value:8080}", "a number for text");
	is_str(checked("ConfigMap", "{'data':[1]}"), ".data: expected map, got &{[1]}", "a list for a map");
	is_str(checked("Pod", "{'spec':{'containers':{'a':'b'}}}"), ".spec.containers: expected list, got &{map[a:b]}",
	       "a map for a list");
	is_str(checked("Pod", "{'spec':{'containers':null,'volumes':[],'tolerations':[{'key':'a'},{'key':'a'}]}}"), "fine",
	       "null and empty fit; atomic lists may repeat");
	is_str(checked("Pod", "{'metadata':{'creationTimestamp':null},'spec':{'containers':[{'name':'x','resources':"
			      "{'limits':{'cpu':1,'memory':'1Gi'}}}]}}"),
	       "fine", "quantities may be numbers");
}

/* --- ownership --- */

#define CM "'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a'}"

static void test_shared(void)
{
	start("ConfigMap");
	is_str(apply("a", "{" CM ",'data':{'x':'1','y':'1'}}"), NULL, "one applies");
	is_str(apply("b", "{" CM ",'data':{'x':'1','z':'1'}}"), NULL, "another applies, an equal value and its own");
	is_str(owners(), "a/Apply={'f:data':{'f:x':{},'f:y':{}}};b/Apply={'f:data':{'f:x':{},'f:z':{}}}", "both own x");
	is_str(apply("b", "{" CM ",'data':{'x':'2'}}"), "Apply failed with 1 conflict: conflict with \"a\": .data.x",
	       "a shared field does not change without conflict");
	is_str(force("b", "{" CM ",'data':{'x':'2'}}"), NULL, "... but by force");
	is_str(owners(), "a/Apply={'f:data':{'f:y':{}}};b/Apply={'f:data':{'f:x':{}}}", "the other loses it");
	is_str(object(), "{'apiVersion':'v1','data':{'x':'2','y':'1'},'kind':'ConfigMap','metadata':{'name':'a'}}",
	       "what b no longer lists is gone, what a lists stays");
	is_str(apply("a", "{" CM "}"), NULL, "a lists nothing any more");
	is_str(object(), "{'apiVersion':'v1','data':{'x':'2'},'kind':'ConfigMap','metadata':{'name':'a'}}",
	       "its field goes, that of b stays");
	is_str(owners(), "b/Apply={'f:data':{'f:x':{}}}", "and so does its entry");
	is_str(apply("b", "{" CM ",'data':{}}"), NULL, "the last one gives up, too");
	is_str(object(), "{'apiVersion':'v1','data':null,'kind':'ConfigMap','metadata':{'name':'a'}}", "nothing is left");
}

static void test_give_up_shared(void)
{
	start("ConfigMap");
	apply("a", "{" CM ",'data':{'x':'1'}}");
	apply("b", "{" CM ",'data':{'x':'1'}}");
	apply("a", "{" CM "}");
	is_str(object(), "{'apiVersion':'v1','data':{'x':'1'},'kind':'ConfigMap','metadata':{'name':'a'}}",
	       "a field that another applier lists survives");
	apply("a", "{" CM ",'data':{'w':'1'}}");
	update("u", "{" CM ",'data':{'x':'1','w':'2'}}");
	is_str(owners(), "b/Apply={'f:data':{'f:x':{}}};u/Update={'f:data':{'f:w':{}}}", "an update takes a field by changing it");
	apply("a", "{" CM "}");
	is_str(object(), "{'apiVersion':'v1','data':{'w':'2','x':'1'},'kind':'ConfigMap','metadata':{'name':'a'}}",
	       "what an update took is not removed by who applied it before");
	is_str(apply("a", "{" CM ",'data':{'w':'3'}}"),
	       "Apply failed with 1 conflict: conflict with \"u\" using v1: .data.w", "an updater is named with its version");
	update("u", "{" CM ",'data':{'x':'1'}}");
	is_str(owners(), "b/Apply={'f:data':{'f:x':{}}}", "what is removed has no owner");
}

static void test_updates(void)
{
	start("ConfigMap");
	update("one", "{" CM ",'data':{'x':'1'}}");
	update("one", "{" CM ",'data':{'x':'1','y':'1'}}");
	is_str(owners(), "one/Update={'f:data':{'.':{},'f:x':{},'f:y':{}}}", "a manager's updates are one entry");
	update("two", "{" CM ",'data':{'x':'2','y':'1'}}");
	is_str(owners(), "one/Update={'f:data':{'.':{},'f:y':{}}};two/Update={'f:data':{'f:x':{}}}", "the change moves");
	is_str(node_gets(node_at(node_get(meta_of(doc_root(live)), F_managedFields), 0), F_time), "2026-01-01T00:00:02Z",
	       "who only lost something keeps its time");
	update("three", "{" CM ",'data':{'x':'2','y':'1'}}");
	is_str(owners(), "one/Update={'f:data':{'.':{},'f:y':{}}};two/Update={'f:data':{'f:x':{}}}",
	       "who changes nothing owns nothing");
	is_str(apply("a", "{" CM ",'data':{'x':'9','y':'9','q':'1'}}"),
	       "Apply failed with 2 conflicts: conflicts with \"one\" using v1:\n- .data.y\nconflicts with \"two\" using v1:\n- .data.x",
	       "conflicts with several");
	update("two", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','managedFields':[{}]},'data':{'x':'2','y':'1'}}");
	is_str(owners(), "", "one empty entry takes them all away");
	update("two", "{" CM ",'data':{'x':'3','y':'1'}}");
	is_str(owners(), "", "what is not followed stays so on updates");
	is_str(apply("a", "{" CM ",'data':{'y':'1','z':'1'}}"), NULL, "the first apply");
	is_str(owners(), "a/Apply={'f:data':{'f:y':{},'f:z':{}}};before-first-apply/Update={'f:data':{'.':{},'f:x':{},'f:y':{}}}",
	       "... gives what was there an owner");
	is_str(apply("a", "{" CM ",'data':{'x':'4'}}"),
	       "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.x", "and it can conflict");
}

static void test_given_fields(void)
{
	start("ConfigMap");
	update("a", "{" CM ",'data':{'x':'1'}}");
	update("b", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','managedFields':[{'manager':'m','operation':'Apply',"
		    "'apiVersion':'v1','fieldsType':'FieldsV1','fieldsV1':{'f:data':{'f:x':{}}}}]},'data':{'x':'1'}}");
	is_str(owners(), "m/Apply={'f:data':{'f:x':{}}}", "a request may bring its managedFields");
	update("b", "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','managedFields':[{'manager':'m','operation':'Steal',"
		    "'apiVersion':'v1','fieldsType':'FieldsV1','fieldsV1':{'f:data':{'f:y':{}}}}]},'data':{'x':'1'}}");
	is_str(owners(), "m/Apply={'f:data':{'f:x':{}}}", "unreadable ones are of no effect");
	{
		struct managed_by b = by("s");

		b.subresource = "status";
		update_as(&b, "{'metadata':{'name':'a','managedFields':[{}]},'data':{'x':'2'}}");
	}
	is_str(owners(), "s/Update/status={'f:data':{'f:x':{}}}", "through a subresource they cannot be set");
}

static void test_many(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	start("ConfigMap");
	update("one", "{" CM ",'data':{'x':'1'}}");
	buf_adds(&b, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','managedFields':[");
	for (int i = 0; i < 2001; i++)
		buf_addf(&b, "%s{'manager':'m%d','operation':'Apply','apiVersion':'v1','fieldsType':'FieldsV1','fieldsV1':{'f:data':"
			     "{'f:x':{}}}}", i ? "," : "", i);
	buf_adds(&b, "]},'data':{'x':'1'}}");
	update("two", b.s);
	is_str(owners(), "one/Update={'f:data':{'.':{},'f:x':{}}}", "too many entries are of no effect");
}

static void test_cap(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	start("ConfigMap");
	for (int i = 0; i < 13; i++) {
		char name[16];

		buf_addf(&b, "%s'k%02d':'1'", i ? "," : "", i);
		snprintf(name, sizeof(name), "m%02d", i);
		{
			_cleanup_free_ char *text = xasprintf("{" CM ",'data':{%s}}", b.s);

			update(name, text);
		}
	}
	is_int((long long)node_count(node_get(meta_of(doc_root(live)), F_managedFields)), 10, "ten updaters are kept");
	ok(starts_with(owners(), "ancient-changes/Update={'f:data':{'.':{},'f:k00':{},'f:k01':{},'f:k02':{},'f:k03':{}}};m04/Update"),
	   "the oldest ones are one");
}

/* --- lists --- */

#define POD(cs) "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a'},'spec':{'containers':[" cs "]}}"

static const char *names(void)
{
	static struct buf b = BUF_INIT;

	buf_clear(&b);
	NODE_FOREACH(c, node_path(doc_root(live), F_spec, F_containers))
		buf_addf(&b, "%s%s", b.len ? " " : "", node_gets(c, F_name));
	return b.s;
}

static void test_lists(void)
{
	start("Pod");
	apply("a", POD("{'name':'one','image':'1'},{'name':'two','image':'2'}"));
	apply("b", POD("{'name':'three','image':'3'}"));
	is_str(names(), "one two three", "items of two appliers are in one list");
	is_str(apply("b", POD("{'name':'three','image':'3'},{'name':'one'}")), NULL, "an item may be shared");
	is_str(names(), "two three one", "the order is that of who applied last");
	apply("a", POD("{'name':'two','image':'2'}"));
	is_str(names(), "two three one", "an item that another lists stays");
	is_str(node_gets(node_at(node_path(doc_root(live), F_spec, F_containers), 2), F_image), "",
	       "... without what only its former owner listed");
	apply("b", POD(""));
	is_str(names(), "two", "and goes with its last owner");
	is_str(apply("c", POD("{'name':'two','image':'x'}")),
	       "Apply failed with 1 conflict: conflict with \"a\": .spec.containers[name=\"two\"].image", "a conflict in an item");
	start("Pod");
	apply("a", "{'metadata':{'name':'a','finalizers':['k/a','k/b']}}");
	apply("b", "{'metadata':{'name':'a','finalizers':['k/b','k/c']}}");
	is_str(object(), "{'metadata':{'finalizers':['k/a','k/b','k/c'],'name':'a'},'spec':{'containers':null},'status':{}}", "sets are joined");
	apply("a", "{'metadata':{'name':'a'}}");
	is_str(object(), "{'metadata':{'finalizers':['k/b','k/c'],'name':'a'},'spec':{'containers':null},'status':{}}", "value by value");
	is_str(owners(), "b/Apply={'f:metadata':{'f:finalizers':{'v:\\'k/b\\'':{},'v:\\'k/c\\'':{}}}}", "and owned so");
	start("Pod");
	apply("a", "{'spec':{'containers':[],'tolerations':[{'key':'x'}]}}");
	is_str(apply("b", "{'spec':{'tolerations':[{'key':'y'}]}}"),
	       "Apply failed with 1 conflict: conflict with \"a\": .spec.tolerations", "an atomic list is one field");
	is_str(force("b", "{'spec':{'tolerations':[{'key':'y'}]}}"), NULL, "and replaced whole");
	is_str(node_gets(node_first(node_path(doc_root(live), F_spec, F_tolerations)), F_key), "y", "by the other's");
}

static void test_order(void)
{
	static const struct {
		const char *was, *want, *got;
	} rows[] = {
		{ "a b c", "c a", "b c a" }, { "a b c", "b", "a b c" },	 { "a b", "c a", "c a b" },
		{ "a b c d", "d b", "a c d b" }, { "a", "b c", "a b c" }, { "a b c", "a x c", "a b x c" },
		{ "a b c d e", "e c a", "b d e c a" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *lists[2] = { rows[i].was, rows[i].want };

		start("Pod");
		for (int k = 0; k < 2; k++) {
			_cleanup_buf_ struct buf b = BUF_INIT;
			_cleanup_free_ char *text = NULL;
			struct str rest = str_of(lists[k]);

			while (rest.p) {
				struct str name = str_cut(&rest, ' ');

				buf_addf(&b, "%s{'name':'%.*s'}", b.len ? "," : "", STR_ARG(name));
			}
			text = xasprintf("{'spec':{'containers':[%s]}}", b.s);
			apply(k ? "two" : "one", text);
		}
		is_str(names(), rows[i].got, "how two orders become one");
	}
}

static void test_duplicates(void)
{
	start("Pod");
	update("u", "{'spec':{'containers':[{'name':'x','env':[{'name':'A','value':'1'},{'name':'A','value':'2'},{'name':'B'}]}]}}");
	is_str(owners(),
	       "u/Update={'f:spec':{'f:containers':{'k:{\\'name\\':\\'x\\'}':{'.':{},'f:env':{'.':{},'k:{\\'name\\':\\'A\\'}':{},"
	       "'k:{\\'name\\':\\'B\\'}':{'.':{},'f:name':{}}},'f:name':{}}}}}",
	       "of items that occur twice only that they do is owned");
	is_str(apply("a", "{'spec':{'containers':[{'name':'x','env':[{'name':'B'},{'name':'C'}]}]}}"), NULL,
	       "others can be applied beside them");
	is_int((long long)node_count(node_get(node_first(node_path(doc_root(live), F_spec, F_containers)), F_env)), 4,
	       "and the twins stay");
	is_str(force("a", "{'spec':{'containers':[{'name':'x','env':[{'name':'A','value':'3'}]}]}}"), NULL, "applying one of them");
	is_str(node_gets(node_first(node_get(node_first(node_path(doc_root(live), F_spec, F_containers)), F_env)), F_value), "3",
	       "takes the place of both");
}

/* --- nested, status, versions --- */

static void test_nested_removal(void)
{
	start("Pod");
	apply("a", "{'spec':{'containers':[{'name':'x','securityContext':{'runAsUser':1,'privileged':true}}],'affinity':"
		   "{'nodeAffinity':{'preferredDuringSchedulingIgnoredDuringExecution':[]}}}}");
	apply("a", "{'spec':{'containers':[{'name':'x','securityContext':{'runAsUser':1}}]}}");
	is_str(object(), "{'spec':{'containers':[{'name':'x','securityContext':{'runAsUser':1}}]},'status':{}}",
	       "structures of which nothing is listed go with their fields");
	update("u", "{'spec':{'containers':[{'name':'x','securityContext':{'runAsUser':1,'runAsGroup':2}}]},'status':{}}");
	apply("a", "{'spec':{'containers':[{'name':'x'}]}}");
	is_str(object(), "{'spec':{'containers':[{'name':'x','securityContext':{'runAsGroup':2}}]},'status':{}}",
	       "... unless somebody has something in them");
	start("ConfigMap");
	apply("a", "{" CM ",'data':{'w':'1','x':'1'}}");
	update("u", "{" CM ",'data':{'w':'1','x':'1','free':'1'}}");
	{ /* what nobody owns: an entry lost by hand */
		_cleanup_doc_ struct doc *d = doc_clone(live);
		struct node *list = node_get(node_get(doc_root(d), F_metadata), F_managedFields);

		node_remove_child(list, node_at(list, 1));
		take(take_ptr(&d));
	}
	apply("a", "{" CM ",'data':{'w':'1'}}");
	is_str(object(), "{'apiVersion':'v1','data':{'free':'1','w':'1'},'kind':'ConfigMap','metadata':{'name':'a'}}",
	       "what nobody owns is nobody's to remove");
}

static void test_reset(void)
{
	static const char *const paths[] = { "status" };
	struct managed_by b;

	start("Pod");
	b = by("a");
	b.reset = paths;
	b.n_reset = 1;
	is_str(apply_as(&b, "{'spec':{'containers':[{'name':'x'}]},'status':{'phase':'Running'}}", false, NULL), NULL,
	       "applying a status to the object itself");
	is_str(owners(), "a/Apply={'f:spec':{'f:containers':{'k:{\\'name\\':\\'x\\'}':{'.':{},'f:name':{}}}}}",
	       "... does not make it one's own");
	b = by("kubelet");
	b.subresource = "status";
	update_as(&b, "{'metadata':{},'spec':{'containers':[{'name':'x'}]},'status':{'phase':'Failed','conditions':"
		      "[{'type':'Ready','status':'True','lastProbeTime':null}]}}");
	is_str(owners(),
	       "a/Apply={'f:spec':{'f:containers':{'k:{\\'name\\':\\'x\\'}':{'.':{},'f:name':{}}}}};kubelet/Update/status="
	       "{'f:status':{'f:conditions':{'.':{},'k:{\\'type\\':\\'Ready\\'}':{'.':{},'f:lastProbeTime':{},'f:status':{},"
	       "'f:type':{}}},'f:phase':{}}}",
	       "the subresource is an owner of its own");
	b = by("kubelet");
	b.reset = paths;
	b.n_reset = 1;
	is_str(apply_as(&b, "{'status':{'phase':'Running'}}", false, NULL), NULL, "a status in the object conflicts with nobody");
}

static void test_versions(void)
{
	struct managed_by old;

	start("ConfigMap");
	old = by("a");
	old.api_version = "v0";
	is_str(apply_as(&old, "{'apiVersion':'v0','kind':'ConfigMap','data':{'x':'1','y':'1'}}", false, NULL), NULL,
	       "applied as another version");
	is_str(apply("b", "{" CM ",'data':{'x':'2'}}"), "Apply failed with 1 conflict: conflict with \"a\": .data.x",
	       "a conflict across versions");
	is_str(apply("a", "{" CM ",'data':{'x':'2'}}"), NULL, "the applier changes its version");
	is_str(object(), "{'apiVersion':'v1','data':{'x':'2'},'kind':'ConfigMap','metadata':{'name':'a'}}",
	       "what it no longer lists goes");
	is_str(owners(), "a/Apply={'f:data':{'f:x':{}}}", "and it has one entry");
	old = by("c");
	old.api_version = "lost/v1";
	update_as(&old, "{" CM ",'data':{'x':'2','q':'1'}}");
	is_str(apply("a", "{" CM ",'data':{'x':'2','q':'2'}}"), NULL, "entries of a version that is lost");
	is_str(owners(), "a/Apply={'f:data':{'f:q':{},'f:x':{}}}", "... go");
}

static void test_reconcile(void)
{
	start("Pod");
	update("u", "{'metadata':{'managedFields':[{'manager':'o','operation':'Update','apiVersion':'v1','fieldsType':'FieldsV1',"
		    "'fieldsV1':{'f:spec':{'f:nodeSelector':{'f:a':{}}}}}]},'spec':{'containers':[],'nodeSelector':{'a':'b'}},'status':{}}");
	ok(strstr(owners(), "'f:nodeSelector':{}") && !strstr(owners(), "'f:a'"),
	   "an entry from the time when a map was granular owns it whole");
}

static void test_kubectl(void)
{
	struct managed_by b;

	start("ConfigMap");
	update("kubectl-client-side-apply", "{" CM ",'data':{'x':'1','y':'1'}}");
	b = by("kubectl");
	is_str(apply_as(&b, "{" CM ",'data':{'x':'2'}}", false, "{" CM ",'data':{'x':'1','y':'1'}}"), NULL,
	       "what was applied on the client may be changed by the server's apply");
	is_str(owners(), "kubectl/Apply={'f:data':{'f:x':{}}};kubectl-client-side-apply/Update={'f:data':{'.':{},'f:y':{}}}", "and moves");
	update("edit", "{" CM ",'data':{'x':'2','y':'5'}}");
	is_str(apply_as(&b, "{" CM ",'data':{'x':'2','y':'6'}}", false, "{" CM ",'data':{'x':'1','y':'1'}}"),
	       "Apply failed with 1 conflict: conflict with \"edit\" using v1: .data.y",
	       "but not what somebody changed since");
}

static void test_scale(void)
{
	_cleanup_doc_ struct doc *scale = NULL, *next = NULL;
	struct managed_by b;

	start("Deployment");
	apply("a", "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'w'},'spec':{'replicas':1,'paused':true}}");
	scale = parse("{'metadata':{'name':'w'},'spec':{'replicas':1},'status':{'replicas':0}}");
	managed_to_scale(scale, doc_root(live), "spec.replicas");
	next = parse("{'metadata':{'name':'w'},'spec':{'replicas':3},'status':{'replicas':0}}");
	b = by("s");
	b.api_version = "autoscaling/v1";
	b.subresource = "scale";
	b.type = fs_type_named("autoscaling/v1.Scale");
	b.convert = NULL;
	managed_update(next, doc_root(scale), &b);
	node_seti(live, node_get(doc_root(live), F_spec), F_replicas, 3);
	managed_from_scale(live, doc_root(next), "apps/v1", "spec.replicas");
	is_str(owners(), "a/Apply={'f:spec':{'f:paused':{}}};s/Update/scale={'f:spec':{'f:replicas':{}}}",
	       "a Scale's writer takes spec.replicas of its parent");
	is_str(apply("a", "{'apiVersion':'apps/v1','kind':'Deployment','spec':{'replicas':1,'paused':true}}"),
	       "Apply failed with 1 conflict: conflict with \"s\" with subresource \"scale\" using apps/v1: .spec.replicas",
	       "and is in the way by its name");
}

static void test_same(void)
{
	_cleanup_doc_ struct doc *a = parse("[{'manager':'a','time':'1'},{'manager':'b','time':'2'}]");
	_cleanup_doc_ struct doc *b = parse("[{'manager':'b','time':'2'},{'manager':'a','time':'3'}]");
	_cleanup_doc_ struct doc *c = parse("[{'manager':'b','time':'2'},{'manager':'c','time':'3'}]");

	ok(managed_same(doc_root(a), doc_root(b)) && managed_same(NULL, NULL), "times and places do not count");
	ok(!managed_same(doc_root(a), doc_root(c)) && !managed_same(doc_root(a), NULL), "managers do");
}

/* --- objects that share their field sets --- */

static struct obj *object_of(const char *text)
{
	_cleanup_free_ char *json = quotes(text);
	_cleanup_err_ struct err e = ERR_INIT;

	return obj_from_json(&res->r, str_of(json), &e);
}

#define FIELDS "{'f:data':{'.':{},'f:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa':{},'f:}bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb':{}}}"
#define SHARING(name)                                                                                        \
	"{'kind':'ConfigMap','metadata':{'name':'" name "','managedFields':[{'manager':'a','fieldsV1':" FIELDS      \
	",'subresource':'x'},{'manager':'b','fieldsV1':{'f:c':{}}},{'manager':'c','fieldsV1':" FIELDS "}]},'data':{}}"

static void test_pieces(void)
{
	_cleanup_free_ char *want = quotes(SHARING("one"));
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct obj *one, *two;
	size_t alone;

	start("ConfigMap");
	one = object_of(SHARING("one"));
	two = object_of(SHARING("two"));
	is_int((long long)obj_n_pieces(one), 5, "two large field sets are kept elsewhere, a small one is not");
	ok(obj_piece(one, 1).p == obj_piece(one, 3).p && obj_piece(one, 1).p == obj_piece(two, 3).p, "once for all");
	obj_json_add(one, &b);
	is_str(b.s, want, "the JSON is whole");
	is_int((long long)one->json_len, (long long)strlen(want), "and so is its length");
	alone = obj_memory(one);
	ok(alone < strlen(want) + 150, "they cost the object little");
	obj_unref(one);
	is_str(node_gets(node_at(node_path(obj_node(two), F_metadata, F_managedFields), 2), F_manager), "c",
	       "a tree is made of all pieces, also when another object is gone");
	ok(obj_json_has(two, "\"manager\":\"b\"") && !obj_json_has(two, "aaaaaaaa"), "a text is looked for outside of them");
	obj_unref(two);
}

/* --- what it costs --- */

static double us_each(int n, int64_t from)
{
	return (double)(time_mono_us() - from) / n;
}

static void test_cost(void)
{
	static const char pod[] = "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','labels':{'app':'x','h':'y'}},'spec':{"
		"'containers':[{'name':'c','image':'i','imagePullPolicy':'Always','env':[{'name':'A','value':'1'},{'name':'B','value':'2'}],"
		"'ports':[{'containerPort':80,'protocol':'TCP'}],'resources':{'limits':{'cpu':'1'}},'terminationMessagePath':'/d'}],"
		"'restartPolicy':'Always','dnsPolicy':'ClusterFirst','schedulerName':'s','securityContext':{}},'status':{%s}}";
	_cleanup_free_ char *now = xasprintf(pod, "'phase':'Running','conditions':[{'type':'Ready','status':'True'},"
						  "{'type':'Initialized','status':'True'}],'podIPs':[{'ip':'1.2.3.4'}]");
	_cleanup_free_ char *was = xasprintf(pod, "'phase':'Pending'");
	_cleanup_doc_ struct doc *config = NULL;
	struct managed_by b;
	int64_t from;

	start("Pod");
	update("kubectl-create", was);
	config = parse("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'a','labels':{'app':'x'}},'spec':{'containers':"
		       "[{'name':'c','env':[{'name':'A','value':'1'}]}]}}");
	b = by("kubelet");
	b.subresource = "status";
	from = time_mono_us();
	for (int i = 0; i < 500; i++) {
		_cleanup_doc_ struct doc *d = parse(now);

		managed_update(d, doc_root(live), &b);
	}
	printf("# an update of a pod's status: %.0f us", us_each(500, from));
	b = by("a");
	from = time_mono_us();
	for (int i = 0; i < 500; i++) {
		_cleanup_doc_ struct doc *d = doc_new();
		_cleanup_err_ struct err e = ERR_INIT;

		BUG_ON(managed_apply(d, doc_root(live), doc_root(config), &b, false, NULL, &e) < 0);
	}
	printf(", an apply: %.0f us\n", us_each(500, from));
}

int main(void)
{
	test_sets();
	test_bad_sets();
	test_large();
	test_fields();
	test_check();
	test_shared();
	test_give_up_shared();
	test_updates();
	test_given_fields();
	test_cap();
	test_many();
	test_lists();
	test_order();
	test_duplicates();
	test_nested_removal();
	test_reset();
	test_versions();
	test_reconcile();
	test_kubectl();
	test_scale();
	test_same();
	test_pieces();
	test_cost();
	live = doc_unref(live);
	return done_testing();
}
