/*
 * The controllers: the garbage collector's graph by itself, and all of them over
 * an API server with a store in memory.
 */
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "ctl-cluster.h"
#include "ctl/csr.h"
#include "ctl/gc.h"

/* --- the graph --- */

static struct gc_graph graph;
static char woken[400]; /* the uids that were woken, sorted by time, each once */

static void on_wake(void *arg, struct gc_node *n)
{
	if (strstr(woken, n->uid))
		return;
	strcat(woken, n->uid);
	strcat(woken, " ");
}

static int64_t next_rv = 1;

static struct obj *map_of(const char *uid, const char *ns, const char *meta)
{
	char json[1000];
	struct err e = ERR_INIT;
	struct obj *o;

	snprintf(json, sizeof(json),
		 "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\",\"namespace\":\"%s\",\"uid\":"
		 "\"%s\",\"resourceVersion\":\"%lld\"%s}}",
		 uid, ns, uid, (long long)next_rv++, meta);
	o = obj_from_json(schema_res("", "configmaps"), str_of(json), &e);
	BUG_ON(!o);
	return o;
}

static const char *ref_to(const char *owner, bool block)
{
	static char text[300];

	snprintf(text, sizeof(text),
		 ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"%s\",\"uid\":\"%s\","
		 "\"blockOwnerDeletion\":%s}]",
		 owner, owner, block ? "true" : "false");
	return text;
}

static const char *put(const char *uid, const char *meta)
{
	_cleanup_obj_ struct obj *o = map_of(uid, "default", meta);

	woken[0] = '\0';
	gc_graph_put(&graph, o);
	return woken;
}

static const char *drop(const char *uid)
{
	_cleanup_obj_ struct obj *o = map_of(uid, "default", "");

	woken[0] = '\0';
	gc_graph_drop(&graph, o);
	return woken;
}

#define GOING(finalizer) ",\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"finalizers\":[\"" finalizer "\"]"

static enum gc_state state_of(const char *uid)
{
	return gc_ref_state(gc_graph_find(&graph, uid)->refs.v[0]);
}

static void test_graph_background(void)
{
	gc_graph_init(&graph, on_wake, NULL);
	is_str(put("free", ""), "", "an object without owners");
	is_int(map_count(graph.nodes), 0, "costs nothing");
	is_str(put("d1", ref_to("o", false)), "d1 ", "a dependent of somebody unknown is looked at");
	is_int(state_of("d1"), GC_UNKNOWN, "its owner is to be asked for");
	is_str(put("o", ""), "", "when the owner shows up");
	is_int(state_of("d1"), GC_SOLID, "all is well");
	is_str(put("d2", ref_to("o", false)), "", "another dependent");
	is_int(gc_graph_find(&graph, "o")->n_dependents, 2, "the owner knows both");
	is_str(drop("o"), "d1 d2 ", "both are looked at when the owner goes");
	is_int(state_of("d2"), GC_DANGLING, "it is gone for ever");
	is_str(put("d3", ref_to("o", false)), "d3 ", "so it is for who comes late");
	is_int(state_of("d3"), GC_DANGLING, "without asking");
	is_str(put("d3", ""), "", "a reference that was taken out");
	drop("d1");
	drop("d2");
	is_int(map_count(graph.nodes), 0, "nothing is remembered for ever");
	gc_graph_release(&graph);
}

static void test_graph_foreground(void)
{
	gc_graph_init(&graph, on_wake, NULL);
	put("o", "");
	put("d1", ref_to("o", true));
	put("d2", ref_to("o", false));
	is_str(put("o", GOING("foregroundDeletion")), "d1 d2 o ", "an owner that waits wakes all");
	is_int(state_of("d1"), GC_WAITING, "its dependents see it");
	is_int(gc_graph_find(&graph, "o")->n_blocking, 1, "one of them blocks");
	is_str(drop("d2"), "", "the other may go without notice");
	is_str(put("d3", ref_to("o", true)), "d3 ", "a newcomer is looked at");
	is_str(drop("d1"), "", "one still blocks");
	is_str(put("d3", ref_to("o", false)), "o d3 ", "until it says that it does not");
	drop("o");
	drop("d3");
	is_int(map_count(graph.nodes), 0, "all gone");
	put("o", "");
	put("d", ref_to("o", true));
	is_str(put("o", GOING("orphan")), "d o ", "an owner that orphans wakes all");
	is_str(put("d", ""), "o ", "and goes on when the last has let go");
	gc_graph_release(&graph);
}

static void test_graph_places(void)
{
	struct obj *o = map_of("o", "other", "");
	char *meta = xstrdup(ref_to("o", false));

	gc_graph_init(&graph, on_wake, NULL);
	put("d", meta);
	gc_graph_put(&graph, o);
	is_int(state_of("d"), GC_DANGLING, "an owner in another namespace is none");
	put("e", ",\"ownerReferences\":[{\"apiVersion\":\"example.com/v1\",\"kind\":\"W\",\"name\":\"w\",\"uid\":\"w\"}]");
	is_int(state_of("e"), GC_NO_KIND, "a kind that is not there");
	is_int(graph.n_unknown, 1, "is remembered");
	put("e", ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"name\":\"w\",\"uid\":\"w\"}]");
	is_int(graph.n_unknown, 0, "until it is");
	is_int(state_of("e"), GC_UNKNOWN, "and can be asked for");
	put("g", ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"name\":\"w\",\"uid\":\"w\"}]");
	is_int(state_of("g"), GC_NO_KIND, "a kind that is never stored");
	put("f", ",\"ownerReferences\":[{\"apiVersion\":5,\"kind\":[],\"name\":{}}]");
	is_int(gc_graph_find(&graph, "f") == NULL, 1, "nonsense owns nothing");
	gc_graph_release(&graph);
	obj_unref(o);
	free(meta);
}

static void test_graph_cycle(void)
{
	char meta[400];

	gc_graph_init(&graph, on_wake, NULL);
	for (int i = 0; i < 3; i++) {
		char uid[] = "a", owner[] = "a";

		uid[0] = (char)('a' + i);
		owner[0] = (char)('a' + (i + 1) % 3);
		snprintf(meta, sizeof(meta), "%s" GOING("foregroundDeletion"), ref_to(owner, true));
		put(uid, meta);
	}
	ok(gc_in_cycle(&graph, gc_graph_find(&graph, "a"), gc_graph_find(&graph, "b")), "a circle is found");
	snprintf(meta, sizeof(meta), "%s" GOING("foregroundDeletion"), ref_to("a", false));
	put("c", meta);
	ok(!gc_in_cycle(&graph, gc_graph_find(&graph, "a"), gc_graph_find(&graph, "b")), "and that it was cut");
	put("s", ref_to("s", true));
	is_int(gc_graph_find(&graph, "s")->n_blocking, 0, "nobody waits for itself");
	drop("s");
	ok(!gc_graph_find(&graph, "s"), "and it can go");
	gc_graph_release(&graph);
}

/* --- times --- */

#define T0 1767225600LL /* 2026-01-01T00:00:00Z */

static int64_t due(int64_t (*f)(const struct node *root), const char *json)
{
	struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	BUG_ON(doc_parse_json(&d, str_of(json), NULL, &e) < 0);
	return f(doc_root(d));
}

static void test_due(void)
{
	is_int(due(csr_due_s, "{\"metadata\":{\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}}"), T0 + 86400,
	       "a pending request stays a day");
	is_int(due(csr_due_s, "{\"status\":{\"conditions\":[{\"type\":\"Denied\",\"lastUpdateTime\":"
			      "\"2026-01-01T00:00:00Z\"}]}}"),
	       T0 + 3600, "a denied one an hour");
	is_int(due(csr_due_s, "{\"status\":{\"conditions\":[{\"type\":\"Approved\",\"lastUpdateTime\":"
			      "\"2026-01-01T00:00:00Z\"}]}}"),
	       0, "one that waits for its certificate stays");
	is_int(due(csr_due_s, "{\"spec\":{\"expirationSeconds\":600},\"status\":{\"certificate\":\"eA==\",\"conditions\":[{"
			      "\"type\":\"Approved\",\"lastUpdateTime\":\"2026-01-01T00:00:00Z\"}]}}"),
	       T0 + 600, "an issued one while its certificate is good, an hour at most");
	is_int(due(csr_due_s, "{\"status\":{\"conditions\":[{\"type\":\"Failed\",\"lastUpdateTime\":\"nonsense\"},5]}}"), 0,
	       "nonsense is never due");
	is_int(due(ttl_due_s, "{\"spec\":{\"ttlSecondsAfterFinished\":5},\"status\":{\"conditions\":[{\"type\":\"Failed\","
			      "\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}"),
	       T0 + 5, "a finished job");
	is_int(due(ttl_due_s, "{\"spec\":{\"ttlSecondsAfterFinished\":5},\"status\":{\"conditions\":[{\"type\":\"Suspended\","
			      "\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}"),
	       0, "one that has not finished");
	is_int(due(ttl_due_s, "{\"spec\":{},\"status\":{\"conditions\":[{\"type\":\"Complete\",\"status\":\"True\","
			      "\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}"),
	       0, "one without a time to live");
}

static void test_signers(void)
{
	char *orgs[] = { "system:nodes", NULL }, *two[] = { "system:nodes", "x", NULL }, *none[] = { NULL };
	struct csr_facts f = { "system:node:n", orgs, 0, 0, 0, 0 };
	struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *usages;

	BUG_ON(doc_parse_json(&d, STR_LIT("[\"client auth\",\"digital signature\"]"), NULL, &e) < 0);
	usages = doc_root(d);
	is_str(csr_check_signer(CSR_KUBELET_CLIENT, &f, usages), NULL, "a kubelet's client certificate");
	f.organizations = two;
	is_str(csr_check_signer(CSR_KUBELET_CLIENT, &f, usages), "subject organization is not system:nodes", "two organizations");
	f.organizations = none;
	is_str(csr_check_signer(CSR_KUBELET_CLIENT, &f, usages), "subject organization is not system:nodes", "no organization");
	f.organizations = orgs;
	f.n_ips = 1;
	is_str(csr_check_signer(CSR_KUBELET_CLIENT, &f, usages), "IP subjectAltNames are not allowed", "an address");
	is_str(csr_check_signer("kubernetes.io/kube-apiserver-client", &f, usages), NULL, "where addresses do not matter");
	is_str(csr_check_signer("kubernetes.io/kubelet-serving", &f, usages),
	       "usages did not match [digital signature key encipherment server auth]", "a client that wants to serve");
	is_str(csr_check_signer("kubernetes.io/legacy-unknown", &f, NULL), NULL, "the old signer takes all");
	ok(!csr_is_ours("example.com/x"), "others' signers are theirs");
}

/* --- a cluster --- */

static struct cluster cluster;

static void create_namespace(const char *name)
{
	_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"%s\"}}", name);

	cluster_create(&cluster, "", "namespaces", NULL, json);
}

static void create_map(const char *ns, const char *name, const char *meta)
{
	_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"%s\"%s}}", name, meta);

	cluster_create(&cluster, "", "configmaps", ns, json);
}

static size_t count(const char *plural, const char *ns)
{
	return store_count(cluster.store, schema_res("", plural), ns);
}

struct wanted {
	const char *plural, *ns;
	size_t n;
};

static bool is_there(struct cluster *c, void *arg)
{
	const struct wanted *w = arg;

	return count(w->plural, w->ns) == w->n;
}

/* Turns the loop until there are n of them, a minute at most. */
static bool until(const char *plural, const char *ns, size_t n)
{
	return cluster_until(&cluster, is_there, &(struct wanted){ plural, ns, n });
}

/* What it cost, whatever else this machine does. */
static int64_t cpu_ms(void)
{
	const char *slow = getenv("TEST_SLOW");

	return (int64_t)clock() * 1000 / CLOCKS_PER_SEC / (slow && atoi(slow) > 0 ? atoi(slow) : 1);
}

#define MANY 10000

static void test_many(void)
{
	char name[20], meta[200];
	size_t before;
	int64_t t;

	until("configmaps", "default", 1);
	before = count("configmaps", "default");
	create_map("default", "owner", "");
	cluster_wait(&cluster);
	snprintf(meta, sizeof(meta),
		 ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"owner\",\"uid\":\"%s\"}]",
		 cluster.uid);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		create_map("default", name, meta);
		if (cluster.open == 500)
			cluster_wait(&cluster);
	}
	cluster_wait(&cluster);
	is_int(count("configmaps", "default"), before + MANY + 1, "ten thousand dependents");
	is_int(cluster.failed, 0, "all made");
	t = cpu_ms();
	cluster_delete(&cluster, "", "configmaps", "default", "owner", NULL);
	ok(until("configmaps", "default", before), "they go with their owner");
	t = cpu_ms() - t;
	printf("# %lld ms\n", (long long)t);
	ok(t < 5000, "in seconds");
}

#define NAMESPACES 100

static void test_namespaces(void)
{
	char name[20];
	size_t before = count("namespaces", NULL), maps = count("configmaps", NULL);
	int64_t t;

	create_namespace("one");
	ok(until("configmaps", "one", 1) && until("serviceaccounts", "one", 1), "a namespace gets what each has");
	t = cpu_ms();
	cluster_delete(&cluster, "", "namespaces", NULL, "one", NULL);
	ok(until("namespaces", NULL, before), "and goes");
	ok(cpu_ms() - t < 100, "at once");
	for (int i = 0; i < NAMESPACES; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		create_namespace(name);
	}
	cluster_wait(&cluster);
	ok(until("configmaps", NULL, maps + NAMESPACES), "a hundred");
	for (int i = 0; i < NAMESPACES; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		create_map(name, "content", "");
		cluster_wait(&cluster);
		cluster_delete(&cluster, "", "namespaces", NULL, name, NULL);
	}
	ok(until("namespaces", NULL, before), "go together");
	ok(until("configmaps", NULL, maps), "with all that was in them");
}

int main(void)
{
	test_graph_background();
	test_graph_foreground();
	test_graph_places();
	test_graph_cycle();
	test_due();
	test_signers();
	cluster_up(&cluster);
	test_many();
	test_namespaces();
	cluster_down(&cluster);
	return done_testing();
}
