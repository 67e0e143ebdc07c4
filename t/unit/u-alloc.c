/*
 * What Services are given: pools and ranges, and an API over a store in memory on
 * clusters of one and of two families.
 */
#include "memory-store.h"
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/alloc.h"
#include "base/loop.h"

/* --- addresses, pools, ranges --- */

static const char *prefix_of(const char *text)
{
	static char out[IP_TEXT];
	struct ip_prefix p;

	return ip_prefix_parse(&p, str_of(text)) ? ip_prefix_print(&p, out) : "none";
}

static bool covers(const char *a, const char *b)
{
	struct ip_prefix p, q;

	return ip_prefix_parse(&p, str_of(a)) && ip_prefix_parse(&q, str_of(b)) && ip_prefix_covers(&p, &q);
}

static void test_addresses(void)
{
	is_str(prefix_of("10.43.7.9/16"), "10.43.0.0/16", "host bits go");
	is_str(prefix_of("FD43:0::1:7/112"), "fd43::1:0/112", "IPv6 too, in canonical form");
	is_str(prefix_of("10.0.0.0/33"), "none", "too many bits");
	is_str(prefix_of("10.0.0.0"), "none", "no prefix");
	is_str(prefix_of("/8"), "none", "no address");
	is_str(prefix_of("10.0.0.0/x"), "none", "no number");
	is_str(prefix_of("10.0.0.0/-1"), "none", "below zero");
	ok(covers("10.0.0.0/9", "10.127.0.0/16") && !covers("10.0.0.0/9", "10.128.0.0/16"), "in a network, or not");
	ok(!covers("10.0.0.0/24", "10.0.0.0/23") && covers("::/0", "fd00::/8") && !covers("::/0", "10.0.0.0/8"),
	   "not a larger one, nor of the other family");
}

static struct alloc_range *range(const char *cidr)
{
	struct ip_prefix p;

	BUG_ON(!ip_prefix_parse(&p, str_of(cidr)));
	return alloc_range_new(&p);
}

static int64_t index_of(struct alloc_range *g, const char *ip)
{
	struct ip_addr a;

	return ip_parse(&a, str_of(ip)) ? alloc_range_index(g, &a) : -2;
}

/* How many can be taken before it is full; *low is set to how many of the upper band came first. */
static uint32_t drain(struct alloc_range *g, uint32_t *upper)
{
	uint32_t n = 0;
	bool in_upper = true;

	*upper = 0;
	for (int64_t k; (k = pool_pick(&g->pool, n * 7919u)) >= 0; n++) {
		in_upper = in_upper && k >= g->pool.band;
		*upper += in_upper;
		pool_bits_set(&g->pool.used, (uint32_t)k, true);
	}
	return n;
}

static void test_ranges(void)
{
	static const struct {
		const char *cidr, *first, *last, *beyond;
		uint32_t count, upper;
	} cases[] = {
		{ "10.43.0.0/24", "10.43.0.1", "10.43.0.254", "10.43.0.255", 254, 238 },
		{ "10.43.0.0/28", "10.43.0.1", "10.43.0.14", "10.43.0.15", 14, 14 },
		{ "10.43.0.0/27", "10.43.0.1", "10.43.0.30", "10.43.1.1", 30, 14 },
		{ "10.43.0.0/30", "10.43.0.1", "10.43.0.2", "10.43.0.0", 2, 2 },
		{ "fd43::/120", "fd43::1", "fd43::ff", "fd43::100", 255, 239 },
		{ "fd43::/112", "fd43::1", "fd43::ffff", "fd44::1", 65535, 65279 },
		{ "fd43::/64", "fd43::1", "fd43::f:ffff", "fd43::10:0", 1048575, 1048319 },
		{ "10.0.0.0/8", "10.0.0.1", "10.15.255.255", "10.16.0.0", 1048575, 1048319 },
	};
	uint32_t upper;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct alloc_range *g = range(cases[i].cidr);
		struct ip_addr a = alloc_range_at(g, 1);
		char text[IP_TEXT];

		ok(index_of(g, cases[i].first) == 1 && streq(ip_print(&a, text), cases[i].first), cases[i].cidr);
		ok(index_of(g, cases[i].last) == g->pool.end - 1, "its last");
		is_int(index_of(g, cases[i].beyond), -1, "and what is not of it");
		if (cases[i].count < 70000) {
			is_int(drain(g, &upper), cases[i].count, "so many fit");
			is_int(upper, cases[i].upper, "the upper band first");
		} else {
			is_int(g->pool.end - 1, cases[i].count, "so many fit");
		}
		alloc_range_free(g);
	}
	is_int(pool_band(2768, 32, 16, 128), 86, "the node ports' lower band");
}

/* --- an API --- */

static struct loop *loop;
static struct store *store;
static struct api *api;
static struct call_server *inside;
static char *sa_key;

static struct {
	bool done;
	struct doc *doc;
	char text[1000];
} ans;

static void ready(void *arg)
{
	*(bool *)arg = true;
}

static int up(const char *cidrs, struct err *e)
{
	static const char *const groups[] = { "system:masters", NULL };
	static const char *const issuers[] = { "https://kubernetes.default.svc.cluster.local", NULL };
	struct api_config ac = { .version = "v1.36.2+kinglet1", .server_address = "192.0.2.1:6443", .service_cidr = cidrs,
				 .sa_issuers = issuers };
	bool is_ready = false;

	ac.loop = loop;
	ac.store = store;
	ac.sa_key_pem = sa_key;
	if (api_new(&api, &ac, e) < 0)
		return -e->code;
	api_start(api, ready, &is_ready);
	while (!is_ready)
		loop_turn(loop, 1000);
	inside = api_call_server(api, "system:test", groups);
	return 0;
}

static void answered(struct call *c, const struct err *err)
{
	ans.done = true;
	ans.doc = c->obj ? doc_ref(obj_doc(c->obj)) : NULL;
	snprintf(ans.text, sizeof(ans.text), "%s", err ? err_msg(err) : "fine");
}

static const char *ask_as(enum verb verb, const char *plural, const char *name, const char *json, bool dry_run)
{
	bool services = streq(plural, "services");
	struct call c = { .verb = verb, .res = schema_res(services ? "" : "networking.k8s.io", plural),
			  .ns = services ? "default" : "", .name = name, .done = answered };
	struct err e = ERR_INIT;

	ans.doc = doc_unref(ans.doc);
	ans.done = false;
	c.opts.patch_type = PATCH_MERGE;
	c.opts.dry_run = dry_run;
	if (json && doc_parse_json(&c.body, str_of(json), NULL, &e) < 0)
		BUG_ON(true);
	inside->submit(inside, &c);
	while (!ans.done)
		loop_turn(loop, 1000);
	loop_turn(loop, 0);
	doc_unref(c.body);
	return ans.text;
}

static const char *ask(enum verb verb, const char *plural, const char *name, const char *json)
{
	return ask_as(verb, plural, name, json, false);
}

#define SERVICE(name, spec) "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"ports\":[{\"port\":80}]," spec "}}"
#define create(name, spec) ask(VERB_CREATE, "services", NULL, SERVICE(name, spec))
#define patch(name, spec) ask(VERB_PATCH, "services", name, "{\"spec\":{" spec "}}")

static void drop(const char *name)
{
	ask(VERB_DELETE, "services", name, NULL);
}

/* "spec.ports.0.nodePort" as text; "" when absent */
static const char *at(const char *path)
{
	static char text[500];
	const struct node *n = ans.doc ? doc_root(ans.doc) : NULL;
	struct str rest = str_of(path);

	while (rest.p) {
		struct str part = str_cut(&rest, '.');
		int64_t i;

		n = str_to_i64(part, &i) ? node_at(n, (size_t)i) : node_getk(n, part);
	}
	if (node_is(n, DOC_INT))
		snprintf(text, sizeof(text), "%lld", (long long)node_int(n, 0));
	else
		snprintf(text, sizeof(text), "%s", node_cstr_or(n, ""));
	return text;
}

/* "SingleStack IPv4 10." : policy, families, what the addresses begin with */
static const char *shape(void)
{
	static char text[300];
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct node *spec = ans.doc ? node_get(doc_root(ans.doc), F_spec) : NULL;

	buf_addf(&b, "%s", node_gets(spec, F_ipFamilyPolicy));
	NODE_FOREACH(f, node_get(spec, F_ipFamilies))
		buf_addf(&b, " %s", node_cstr_or(f, ""));
	NODE_FOREACH(ip, node_get(spec, F_clusterIPs))
		buf_addf(&b, " %.5s", node_cstr_or(ip, ""));
	snprintf(text, sizeof(text), "%s", b.s);
	return text;
}

#define INVALID(name, field, value, why) "Service \"" name "\" is invalid: " field ": Invalid value: " value ": " why

static void test_dual(void)
{
	create("single", "\"type\":\"ClusterIP\"");
	is_str(shape(), "SingleStack IPv4 10.43", "one family, the first");
	create("six", "\"ipFamilies\":[\"IPv6\"]");
	is_str(shape(), "SingleStack IPv6 fd43:", "the other one when asked for");
	create("both", "\"ipFamilyPolicy\":\"PreferDualStack\"");
	is_str(shape(), "PreferDualStack IPv4 IPv6 10.43 fd43:", "both");
	create("turned", "\"ipFamilyPolicy\":\"RequireDualStack\",\"ipFamilies\":[\"IPv6\"]");
	is_str(shape(), "RequireDualStack IPv6 IPv4 fd43: 10.43", "in another order");
	create("headless", "\"clusterIP\":\"None\"");
	is_str(shape(), "RequireDualStack IPv4 IPv6 None", "headless without a selector");
	create("selects", "\"clusterIP\":\"None\",\"selector\":{\"a\":\"b\"}");
	is_str(shape(), "SingleStack IPv4 None", "with one");
	create("given", "\"ipFamilyPolicy\":\"PreferDualStack\",\"clusterIPs\":[\"fd43::7\",\"10.43.0.7\"],\"clusterIP\":\"fd43::7\"");
	is_str(shape(), "PreferDualStack IPv6 IPv4 fd43: 10.43", "families follow the addresses");
	is_str(create("taken", "\"clusterIP\":\"fd43::7\""),
	       INVALID("taken", "spec.clusterIPs", "[\"fd43::7\"]",
		       "failed to allocate IP fd43::7: provided IP is already allocated"),
	       "an address that is taken");
	is_str(create("far", "\"clusterIP\":\"fd44::7\""),
	       INVALID("far", "spec.clusterIPs", "[\"fd44::7\"]",
		       "failed to allocate IP fd44::7: the provided network does not match the current range"),
	       "one that is out of the range");
	is_str(create("x", "\"ipFamilyPolicy\":\"SingleStack\",\"ipFamilies\":[\"IPv4\",\"IPv6\"]"),
	       INVALID("x", "spec.ipFamilyPolicy", "\"SingleStack\"",
		       "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"),
	       "two families for one");
	is_str(create("x", "\"clusterIP\":\"10.43.0.8\",\"clusterIPs\":[\"10.43.0.8\",\"fd43::8\"]"),
	       INVALID("x", "spec.ipFamilyPolicy", "\"SingleStack\"",
		       "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"),
	       "two addresses for one");
	is_str(create("x", "\"clusterIP\":\"10.43.0.8\",\"clusterIPs\":[\"10.43.0.8\",\"fd43::8\",\"10.43.0.9\"]"),
	       INVALID("x", "spec.clusterIPs", "[\"10.43.0.8\",\"fd43::8\",\"10.43.0.9\"]", "may only hold up to 2 values"),
	       "three addresses");
	create("eight", "\"clusterIP\":\"fd43::8\"");
	is_str(shape(), "SingleStack IPv6 fd43:", "what was refused reserved nothing");
}

static void test_upgrade(void)
{
	char six[60];

	is_str(patch("single", "\"ipFamilyPolicy\":\"PreferDualStack\""), "fine", "up");
	is_str(shape(), "PreferDualStack IPv4 IPv6 10.43 fd43:", "to two");
	snprintf(six, sizeof(six), "%s", at("spec.clusterIPs.1"));
	is_str(patch("single", "\"clusterIPs\":null,\"clusterIP\":null"), "fine", "an update that leaves them out");
	is_str(at("spec.clusterIPs.1"), six, "keeps them");
	is_str(patch("single", "\"ipFamilies\":[\"IPv4\"]"),
	       INVALID("single", "spec.ipFamilyPolicy", "\"PreferDualStack\"",
		       "must be 'SingleStack' to release the secondary IP family"),
	       "a family can't just go");
	is_str(patch("single", "\"ipFamilyPolicy\":\"SingleStack\""), "fine", "down");
	is_str(shape(), "SingleStack IPv4 10.43", "to one");
	{
		char json[200];

		snprintf(json, sizeof(json),
			 "{\"metadata\":{\"name\":\"heir\"},\"spec\":{\"clusterIP\":\"%s\",\"ports\":[{\"port\":1}]}}", six);
		is_str(ask(VERB_CREATE, "services", NULL, json), "fine", "its second address is free");
	}
	is_str(patch("both", "\"type\":\"ExternalName\",\"externalName\":\"a.b\""), "fine", "to a name");
	is_str(shape(), "", "without addresses");
	is_str(patch("both", "\"type\":\"ClusterIP\",\"externalName\":null"), "fine", "and back");
	is_str(shape(), "SingleStack IPv4 10.43", "to one");
	is_str(create("name", "\"type\":\"ExternalName\",\"externalName\":\"a.b\",\"ipFamilyPolicy\":\"SingleStack\""),
	       "Service \"name\" is invalid: spec.ipFamilyPolicy: Forbidden: may not be set for ExternalName services",
	       "a name has no families");
	is_str(ask_as(VERB_CREATE, "services", NULL, SERVICE("dry", "\"clusterIP\":\"10.43.0.50\""), true), "fine", "dry run");
	is_str(create("wet", "\"clusterIP\":\"10.43.0.50\""), "fine", "reserves nothing");
}

static void test_single(void)
{
	create("prefer", "\"ipFamilyPolicy\":\"PreferDualStack\"");
	is_str(shape(), "PreferDualStack IPv4 10.43", "prefers two, gets one");
	is_str(create("x", "\"ipFamilyPolicy\":\"RequireDualStack\""),
	       INVALID("x", "spec.ipFamilyPolicy", "\"RequireDualStack\"",
		       "this cluster is not configured for dual-stack services"),
	       "no two");
	is_str(create("x", "\"ipFamilies\":[\"IPv6\"]"),
	       INVALID("x", "spec.ipFamilies[0]", "\"IPv6\"", "not configured on this cluster"), "no IPv6");
	is_str(create("x", "\"clusterIP\":\"fd43::1\""),
	       INVALID("x", "spec.clusterIPs[0]", "[\"fd43::1\"]", "IPv6 is not configured on this cluster"), "nor its addresses");
	create("headless", "\"clusterIP\":\"None\"");
	is_str(shape(), "RequireDualStack IPv4 IPv6 None", "but a headless one without a selector has both");
	create("lb", "\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\"");
	ok(strlen(at("spec.healthCheckNodePort")) == 5 && strlen(at("spec.ports.0.nodePort")) == 5, "ports of a balancer");
	is_str(patch("lb", "\"externalTrafficPolicy\":\"Cluster\""), "fine", "all nodes");
	is_str(at("spec.healthCheckNodePort"), "", "need no health check");
	is_str(patch("lb", "\"type\":\"ClusterIP\""), "fine", "no balancer");
	is_str(at("spec.ports.0.nodePort"), "", "no port");
	create("none", "\"type\":\"LoadBalancer\",\"allocateLoadBalancerNodePorts\":false");
	is_str(at("spec.ports.0.nodePort"), "", "no port when none is wanted");
	is_str(ask(VERB_CREATE, "services", NULL,
		   "{\"metadata\":{\"name\":\"dns\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"name\":\"u\",\"port\":53,"
		   "\"protocol\":\"UDP\"},{\"name\":\"t\",\"port\":53}]}}"),
	       "fine", "two protocols");
	{
		char port[20];

		snprintf(port, sizeof(port), "%s", at("spec.ports.0.nodePort"));
		is_str(at("spec.ports.1.nodePort"), port, "of one port have one node port");
	}
	is_str(ask(VERB_CREATE, "services", NULL,
		   "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":1,\"nodePort\":80}]}}"),
	       INVALID("n", "spec.ports[0].nodePort", "80",
		       "provided port is not in the valid range. The range of valid ports is 30000-32767"),
	       "a port out of the range");
}

static void test_cidrs(void)
{
	is_str(ask(VERB_GET, "servicecidrs", "kubernetes", NULL), "fine", "the server's own ServiceCIDR");
	is_str(at("spec.cidrs.0"), "10.43.0.0/29", "has its network");
	for (int i = 0; i < 5; i++) {
		char json[100];

		snprintf(json, sizeof(json), "{\"metadata\":{\"name\":\"s%d\"},\"spec\":{\"ports\":[{\"port\":80}]}}", i);
		is_str(ask(VERB_CREATE, "services", NULL, json), "fine", "one of six");
	}
	is_str(create("more", "\"type\":\"ClusterIP\""),
	       "Internal error occurred: failed to allocate a serviceIP: range is full", "that is all");
	is_str(ask(VERB_CREATE, "servicecidrs", NULL,
		   "{\"metadata\":{\"name\":\"more\"},\"spec\":{\"cidrs\":[\"10.50.0.0/24\"]}}"),
	       "fine", "another network");
	is_str(create("more", "\"type\":\"ClusterIP\""), "fine", "has room");
	is_str(shape(), "SingleStack IPv4 10.50", "and gives it");
	is_str(ask(VERB_CREATE, "ipaddresses", NULL,
		   "{\"metadata\":{\"name\":\"10.50.0.9\"},\"spec\":{\"parentRef\":{\"group\":\"g.x\",\"resource\":\"gateways\","
		   "\"name\":\"a\",\"namespace\":\"b\"}}}"),
	       "fine", "somebody's address");
	is_str(create("nine", "\"clusterIP\":\"10.50.0.9\""),
	       INVALID("nine", "spec.clusterIPs", "[\"10.50.0.9\"]",
		       "failed to allocate IP 10.50.0.9: provided IP is already allocated"),
	       "is not a Service's");
	ask(VERB_DELETE, "ipaddresses", "10.50.0.9", NULL);
	is_str(create("nine", "\"clusterIP\":\"10.50.0.9\""), "fine", "until it goes");
	ask(VERB_DELETE, "servicecidrs", "more", NULL);
	is_str(create("late", "\"clusterIP\":\"10.50.0.10\""),
	       INVALID("late", "spec.clusterIPs", "[\"10.50.0.10\"]",
		       "failed to allocate IP 10.50.0.10: the provided network does not match the current range"),
	       "a network that is gone gives nothing");
	is_str(ask(VERB_CREATE, "servicecidrs", NULL,
		   "{\"metadata\":{\"name\":\"again\"},\"spec\":{\"cidrs\":[\"10.50.0.0/16\"]}}"),
	       "fine", "a larger one there");
	is_str(create("ten", "\"clusterIP\":\"10.50.0.9\""),
	       INVALID("ten", "spec.clusterIPs", "[\"10.50.0.9\"]",
		       "failed to allocate IP 10.50.0.9: provided IP is already allocated"),
	       "knows who has addresses there");
	is_str(create("first", "\"clusterIP\":\"10.43.0.1\""),
	       INVALID("first", "spec.clusterIPs", "[\"10.43.0.1\"]",
		       "failed to allocate IP 10.43.0.1: provided IP is already allocated"),
	       "the first address is the API's");
}

static void with(const char *cidrs, void (*test)(void))
{
	struct err e = ERR_INIT;

	store = memory_store(loop, NULL);
	BUG_ON(up(cidrs, &e) < 0);
	test();
	ans.doc = doc_unref(ans.doc);
	api = api_free(api);
	store = store_close(store);
}

static void test_refused(void)
{
	static const char *const bad[] = { "10.43.0.0/16,10.44.0.0/16", "fd43::/112,fd44::/112", "10.43.0.0/7", "fd43::/48",
					   "10.43.0.0/16,", "x", "", "10.43.0.0/16,fd43::/112,10.45.0.0/16" };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = ERR_INIT;

		store = memory_store(loop, NULL);
		ok(up(bad[i], &e) < 0 && strstr(err_msg(&e), "service network"), bad[i]);
		err_release(&e);
		store = store_close(store);
	}
}

static void test_first_six(void)
{
	ask(VERB_GET, "services", "kubernetes", NULL);
	is_str(shape(), "SingleStack IPv6 fd43:", "the API's Service has the first family");
	is_str(at("spec.clusterIP"), "fd43::1", "and its first address");
	create("any", "\"type\":\"ClusterIP\"");
	is_str(shape(), "SingleStack IPv6 fd43:", "as others have");
	drop("any");
}

/* --- many at once --- */

#define MANY 1000

static struct crowd {
	struct call call;
	struct doc *got;
} crowd[MANY];
static size_t crowd_open;

static void crowd_answered(struct call *c, const struct err *err)
{
	if (err)
		printf("# %s\n", err_msg(err));
	else
		CONTAINER_OF(c, struct crowd, call)->got = doc_ref(obj_doc(c->obj));
	crowd_open--;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static size_t distinct(int *v, size_t n)
{
	size_t d = n > 0;

	qsort(v, n, sizeof(*v), by_number);
	for (size_t i = 1; i < n; i++)
		d += v[i] != v[i - 1];
	return d;
}

static void test_crowd(void)
{
	static int ips[MANY], ports[MANY];
	struct err e = ERR_INIT;
	size_t n = 0;

	for (size_t i = 0; i < MANY; i++) {
		char json[200];

		snprintf(json, sizeof(json),
			 "{\"metadata\":{\"name\":\"s%zu\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80}]}}", i);
		crowd[i].call = (struct call){ .verb = VERB_CREATE, .res = schema_res("", "services"), .ns = "default",
					       .done = crowd_answered };
		BUG_ON(doc_parse_json(&crowd[i].call.body, str_of(json), NULL, &e) < 0);
		crowd_open++;
		inside->submit(inside, &crowd[i].call);
	}
	while (crowd_open)
		loop_turn(loop, 1000);
	for (size_t i = 0; i < MANY; i++) {
		const struct node *spec = crowd[i].got ? node_get(doc_root(crowd[i].got), F_spec) : NULL;
		struct ip_addr a = { 0 };

		if (spec && ip_parse(&a, str_of(node_gets(spec, F_clusterIP)))) {
			ips[n] = a.b[2] << 8 | a.b[3];
			ports[n++] = (int)node_int(node_get(node_first(node_get(spec, F_ports)), F_nodePort), 0);
		}
		doc_unref(crowd[i].call.body);
		doc_unref(crowd[i].got);
	}
	is_int(n, MANY, "a thousand at once");
	is_int(distinct(ips, n), MANY, "have an address each");
	is_int(distinct(ports, n), MANY, "and a port each");
}

static void test_grown(void)
{
	struct err e = ERR_INIT;

	store = memory_store(loop, NULL);
	BUG_ON(up("10.43.0.0/16", &e) < 0);
	create("old", "\"ipFamilyPolicy\":\"PreferDualStack\"");
	ans.doc = doc_unref(ans.doc);
	api_free(api);
	BUG_ON(up("10.43.0.0/16,fd43::/112", &e) < 0);
	for (int i = 0; i < 100 && !streq(at("spec.cidrs.1"), "fd43::/112"); i++)
		ask(VERB_GET, "servicecidrs", "kubernetes", NULL);
	is_str(at("spec.cidrs.1"), "fd43::/112", "the ServiceCIDR gets a second network");
	patch("old", "\"selector\":{\"a\":\"b\"}");
	is_str(shape(), "PreferDualStack IPv4 10.43", "who prefers two is not changed by the way");
	patch("old", "\"ipFamilyPolicy\":\"RequireDualStack\"");
	is_str(shape(), "RequireDualStack IPv4 IPv6 10.43 fd43:", "but when it asks");
	ans.doc = doc_unref(ans.doc);
	api_free(api);
	store_close(store);
}

static void test_two_families(void)
{
	test_dual();
	test_upgrade();
}

int main(void)
{
	struct err e = ERR_INIT;

	test_addresses();
	test_ranges();
	loop = loop_new();
	BUG_ON(tls_make_key(&sa_key, &e) < 0);
	with("10.43.0.0/16,fd43::/112", test_two_families);
	with("10.43.0.0/16", test_single);
	with("10.43.0.0/29", test_cidrs);
	with("10.43.0.0/20", test_crowd);
	with("fd43::/112,10.43.0.0/16", test_first_six);
	test_grown();
	test_refused();
	obj_trim(0);
	free(sa_key);
	loop_free(loop);
	return done_testing();
}
