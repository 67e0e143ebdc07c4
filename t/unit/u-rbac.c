/*
 * Authorization without a server: rules as tables, the index over a store in
 * memory as it changes, the node's graph, the bootstrap policy, and what one
 * decision costs among 1,000 bindings.
 */
#include "tap.h"

#include "api/authz.h"
#include "api/policy.h"
#include "base/loop.h"
#include "base/time.h"

#define RBAC "rbac.authorization.k8s.io"

static struct loop *loop;
static struct store *store;
static struct api api;

static struct doc *json(const char *text)
{
	_cleanup_free_ char *s = xstrdup(text);
	struct err e = ERR_INIT;
	struct doc *d;

	for (char *p = s; *p; p++) /* ' is " for the reader's sake */
		if (*p == '\'')
			*p = '"';
	BUG_ON(doc_parse_json(&d, str_of(s), NULL, &e) < 0);
	return d;
}

static struct rules *rules(const char *text)
{
	_cleanup_doc_ struct doc *d = json(text);

	return rules_new(doc_root(d));
}

/* --- one rule, one question --- */

#define PODS "'apiGroups':[''],'resources':['pods']"

static const struct {
	const char *rule;
	struct attrs at;
	bool want;
} matches[] = {
	{ "{'verbs':['get']," PODS "}", { "get", "", "v1", "pods", "", "ns", "x" }, true },
	{ "{'verbs':['get']," PODS "}", { "list", "", "v1", "pods", "", "ns", "" }, false },
	{ "{'verbs':['get']," PODS "}", { "get", "apps", "v1", "pods", "", "ns", "x" }, false },
	{ "{'verbs':['get']," PODS "}", { "get", "", "v1", "pod", "", "ns", "x" }, false },
	{ "{'verbs':['get']," PODS "}", { "get", "", "v1", "pods", "log", "ns", "x" }, false },
	{ "{'verbs':['*']," PODS "}", { "anything", "", "v1", "pods", "", "ns", "x" }, true },
	{ "{'verbs':['*'],'apiGroups':['*'],'resources':['*']}", { "get", "g", "v1", "r", "s", "", "" }, true },
	{ "{'verbs':['*'],'apiGroups':['*'],'resources':['*']}", { .verb = "get", .path = "/metrics" }, false },
	{ "{'verbs':['get'],'apiGroups':[''],'resources':['pods/log']}", { "get", "", "v1", "pods", "log", "", "" }, true },
	{ "{'verbs':['get'],'apiGroups':[''],'resources':['pods/log']}", { "get", "", "v1", "pods", "", "", "" }, false },
	{ "{'verbs':['get'],'apiGroups':[''],'resources':['pods/log']}", { "get", "", "v1", "pods/log", "", "", "" }, true },
	{ "{'verbs':['get'],'apiGroups':[''],'resources':['pods/*']}", { "get", "", "v1", "pods", "log", "", "" }, false },
	{ "{'verbs':['get'],'apiGroups':['*'],'resources':['*/scale']}", { "get", "a", "v1", "x", "scale", "", "" }, true },
	{ "{'verbs':['get'],'apiGroups':['*'],'resources':['*/scale']}", { "get", "a", "v1", "x", "", "", "" }, false },
	{ "{'verbs':['get'],'apiGroups':['*'],'resources':['*/scale']}", { "get", "a", "v1", "x", "status", "", "" }, false },
	{ "{'verbs':['get']," PODS ",'resourceNames':['a','b']}", { "get", "", "v1", "pods", "", "", "b" }, true },
	{ "{'verbs':['get']," PODS ",'resourceNames':['a','b']}", { "get", "", "v1", "pods", "", "", "c" }, false },
	{ "{'verbs':['list']," PODS ",'resourceNames':['a']}", { "list", "", "v1", "pods", "", "", "" }, false },
	{ "{'verbs':['get']," PODS ",'resourceNames':[]}", { "get", "", "v1", "pods", "", "", "c" }, true },
	{ "{'verbs':['get'],'nonResourceURLs':['/a','/b/*']}", { .verb = "get", .path = "/a" }, true },
	{ "{'verbs':['get'],'nonResourceURLs':['/a','/b/*']}", { .verb = "get", .path = "/a/" }, false },
	{ "{'verbs':['get'],'nonResourceURLs':['/a','/b/*']}", { .verb = "get", .path = "/b/c/d" }, true },
	{ "{'verbs':['get'],'nonResourceURLs':['/a','/b/*']}", { .verb = "get", .path = "/b" }, false },
	{ "{'verbs':['get'],'nonResourceURLs':['/a','/b/*']}", { .verb = "post", .path = "/a" }, false },
	{ "{'verbs':['*'],'nonResourceURLs':['*']}", { .verb = "post", .path = "/x" }, true },
	{ "{'verbs':['*'],'nonResourceURLs':['*']}", { "get", "", "v1", "pods", "", "", "x" }, false },
	{ "{'verbs':['get'],'nonResourceURLs':['/x**']}", { .verb = "get", .path = "/xy" }, true },
	{ "{}", { "get", "", "v1", "pods", "", "", "x" }, false },
	{ "{'verbs':'get','apiGroups':7,'resources':[{}]}", { "get", "", "v1", "pods", "", "", "x" }, false },
};

static void test_matching(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
		char list[400];
		struct rules *rs;

		snprintf(list, sizeof(list), "[%s]", matches[i].rule);
		rs = rules(list);
		ok(rule_allows(rs->first, &matches[i].at) == matches[i].want, matches[i].rule);
		rules_free(rs);
	}
}

/* --- who may give away what --- */

static const struct {
	const char *have, *give, *missing; /* "": nothing is */
} covers[] = {
	{ "{'verbs':['*'],'apiGroups':['*'],'resources':['*']}", "{'verbs':['get','list']," PODS "}", "" },
	{ "{'verbs':['get']," PODS "}", "{'verbs':['list','get','watch']," PODS "}",
	  "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}" },
	{ "{'verbs':['get']," PODS "}", "{'verbs':['*']," PODS "}",
	  "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}" },
	{ "{'verbs':['get']," PODS ",'resourceNames':['a']}", "{'verbs':['get']," PODS ",'resourceNames':['a']}", "" },
	{ "{'verbs':['get']," PODS ",'resourceNames':['a']}", "{'verbs':['get']," PODS ",'resourceNames':['b']}",
	  "{APIGroups:[\"\"], Resources:[\"pods\"], ResourceNames:[\"b\"], Verbs:[\"get\"]}" },
	{ "{'verbs':['get']," PODS ",'resourceNames':['a']}", "{'verbs':['get']," PODS "}",
	  "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}" },
	{ "{'verbs':['get']," PODS "}", "{'verbs':['get']," PODS ",'resourceNames':['b']}", "" },
	{ "{'verbs':['get'],'apiGroups':['*'],'resources':['*/scale']}",
	  "{'verbs':['get'],'apiGroups':['apps'],'resources':['deployments/scale']}", "" },
	{ "{'verbs':['get'],'apiGroups':['*'],'resources':['*/scale']}",
	  "{'verbs':['get'],'apiGroups':['apps'],'resources':['deployments']}",
	  "{APIGroups:[\"apps\"], Resources:[\"deployments\"], Verbs:[\"get\"]}" },
	{ "{'verbs':['get'],'nonResourceURLs':['/a/*']}", "{'verbs':['get'],'nonResourceURLs':['/a/b','/a/*']}", "" },
	{ "{'verbs':['get'],'nonResourceURLs':['/a/*']}", "{'verbs':['get'],'nonResourceURLs':['/b']}",
	  "{NonResourceURLs:[\"/b\"], Verbs:[\"get\"]}" },
	{ "{'verbs':['get'],'nonResourceURLs':['*']}", "{'verbs':['get']," PODS "}",
	  "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}" },
};

struct cover {
	struct rules *have;
	struct missing m;
};

static void cover_one(void *arg, const struct permission *p)
{
	struct cover *c = arg;

	RULES_FOREACH(r, c->have)
		if (rule_covers(r, p))
			return;
	VEC_PUSH(&c->m.all, *p);
}

static void test_covering(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(covers); i++) {
		_cleanup_buf_ struct buf text = BUF_INIT;
		struct cover c = { 0 };
		char have[200], give[200];
		struct rules *given;

		snprintf(have, sizeof(have), "[%s]", covers[i].have);
		snprintf(give, sizeof(give), "[%s]", covers[i].give);
		c.have = rules(have);
		given = rules(give);
		RULES_FOREACH(r, given)
			rule_break(r, cover_one, &c);
		missing_print(&c.m, &text);
		is_str(text.s, covers[i].missing, covers[i].give);
		missing_release(&c.m);
		rules_free(c.have);
		rules_free(given);
	}
}

/* --- the index --- */

struct put {
	struct store_write w;
	struct doc *doc; /* NULL: delete */
	bool done;
};

static int put_apply(struct store_write *w, struct obj *cur, struct doc **out, bool *gone, struct err *e)
{
	struct put *p = CONTAINER_OF(w, struct put, w);

	*gone = !p->doc;
	*out = take_ptr(&p->doc);
	return 0;
}

static const struct user *asker; /* asks the moment that a write is done, before the turn ends */
static bool told;

static bool may(const struct user *u, const char *verb, const char *resource, const char *ns)
{
	struct attrs at = { verb, "", "v1", resource, "", ns, "x" };

	return rbac_allow(&api, u, &at);
}

static void put_done(struct store_write *w, struct obj *o, const struct err *err)
{
	CONTAINER_OF(w, struct put, w)->done = true;
	told = asker && may(asker, "get", "pods", "one");
}

/* text NULL: deletes it. */
static void put(const char *group, const char *plural, const char *ns, const char *name, const char *text)
{
	struct put p = { .w = { .res = schema_res(group, plural), .ns = ns, .name = name, .apply = put_apply,
				.done = put_done } };
	struct node *meta;

	if (text) {
		p.doc = json(text);
		meta = node_need_object(p.doc, doc_root(p.doc), F_metadata);
		node_sets(p.doc, meta, F_name, name);
		if (*ns)
			node_sets(p.doc, meta, F_namespace, ns);
		node_sets(p.doc, meta, F_uid, name);
	}
	store_submit(store, &p.w);
	while (!p.done)
		loop_turn(loop, 1000);
	loop_turn(loop, 0);
}

static const char *const ann_groups[] = { "devs", "system:authenticated", NULL };
static const struct user ann = { .name = "ann", .uid = "", .groups = ann_groups };
static const struct user bob = { .name = "bob", .uid = "", .groups = ann_groups + 2 };
static const struct user sa = { .name = "system:serviceaccount:one:robot", .uid = "", .groups = ann_groups + 2 };

static const char *why(const struct user *u, const char *verb, const char *resource, const char *ns)
{
	struct attrs at = { verb, "", "v1", resource, "", ns, "x" };
	static struct buf b = BUF_INIT;

	buf_clear(&b);
	rbac_why(&api, u, &at, rbac_allow(&api, u, &at), &b);
	return b.s;
}

#define ROLE(verb) "{'rules':[{'verbs':['" verb "']," PODS "}]}"
#define BINDING(kind, role, subjects) \
	"{'roleRef':{'apiGroup':'" RBAC "','kind':'" kind "','name':'" role "'},'subjects':[" subjects "]}"
#define USER(name) "{'kind':'User','apiGroup':'" RBAC "','name':'" name "'}"
#define GROUP(name) "{'kind':'Group','apiGroup':'" RBAC "','name':'" name "'}"

static void test_index(void)
{
	ok(!may(&ann, "get", "pods", "one"), "nothing is there: no");
	is_str(why(&ann, "get", "pods", "one"), "", "... and nothing to say");
	put(RBAC, "rolebindings", "one", "b", BINDING("Role", "reader", USER("ann")));
	ok(!may(&ann, "get", "pods", "one"), "a binding whose role is not there gives nothing");
	is_str(why(&ann, "get", "pods", "one"), "RBAC: role." RBAC " \"reader\" not found", "... and says so");
	put(RBAC, "roles", "two", "reader", ROLE("get"));
	ok(!may(&ann, "get", "pods", "one"), "a role of another namespace is another role");
	put(RBAC, "roles", "one", "reader", ROLE("get"));
	ok(may(&ann, "get", "pods", "one"), "the role comes: yes");
	is_str(why(&ann, "get", "pods", "one"), "RBAC: allowed by RoleBinding \"b/one\" of Role \"reader\" to User \"ann\"",
	       "... and why");
	ok(!may(&ann, "get", "pods", "two"), "not in another namespace");
	ok(!may(&ann, "get", "pods", ""), "not at the cluster scope");
	ok(!may(&ann, "delete", "pods", "one"), "not another verb");
	ok(!may(&bob, "get", "pods", "one"), "not somebody else");
	put(RBAC, "roles", "one", "reader", ROLE("list"));
	ok(!may(&ann, "get", "pods", "one") && may(&ann, "list", "pods", "one"), "the role changes");
	put(RBAC, "roles", "one", "reader", NULL);
	ok(!may(&ann, "list", "pods", "one"), "the role goes");
	put(RBAC, "roles", "one", "reader", ROLE("get"));
	put(RBAC, "rolebindings", "one", "b", BINDING("Role", "reader", USER("bob")));
	ok(!may(&ann, "get", "pods", "one") && may(&bob, "get", "pods", "one"), "the binding changes");
	put(RBAC, "rolebindings", "one", "b", NULL);
	ok(!may(&bob, "get", "pods", "one"), "the binding goes");
	asker = &ann;
	put(RBAC, "rolebindings", "one", "b", BINDING("Role", "reader", USER("ann")));
	ok(told, "who is told of a binding is authorized by it at once");
	put(RBAC, "rolebindings", "one", "b", NULL);
	ok(!told, "... and no more when it is gone");
	asker = NULL;
}

static void test_subjects(void)
{
	put(RBAC, "clusterroles", "", "reader", ROLE("get"));
	put(RBAC, "clusterrolebindings", "", "all", BINDING("ClusterRole", "reader", USER("eve") "," GROUP("devs")));
	ok(may(&ann, "get", "pods", "one") && may(&ann, "get", "pods", ""), "a group at the cluster scope");
	is_str(why(&ann, "get", "pods", "one"),
	       "RBAC: allowed by ClusterRoleBinding \"all\" of ClusterRole \"reader\" to Group \"devs\"", "... and why");
	put(RBAC, "clusterrolebindings", "", "all", NULL);
	ok(!may(&ann, "get", "pods", "one"), "it goes");
	put(RBAC, "rolebindings", "two", "sa", BINDING("ClusterRole", "reader", "{'kind':'ServiceAccount','name':'robot',"
									       "'namespace':'one'}"));
	ok(may(&sa, "get", "pods", "two") && !may(&sa, "get", "pods", "one"), "a service account of another namespace");
	is_str(why(&sa, "get", "pods", "two"),
	       "RBAC: allowed by RoleBinding \"sa/two\" of ClusterRole \"reader\" to ServiceAccount \"robot/one\"",
	       "... and why");
	put(RBAC, "rolebindings", "one", "sa", BINDING("ClusterRole", "reader", "{'kind':'ServiceAccount','name':'robot'}"));
	ok(may(&sa, "get", "pods", "one"), "a service account without a namespace is the binding's");
	put(RBAC, "clusterrolebindings", "", "sa", BINDING("ClusterRole", "reader", "{'kind':'ServiceAccount','name':'robot'}"
									       ",{'kind':'Nobody','name':'ann'}"));
	ok(!may(&sa, "get", "pods", "three") && !may(&ann, "get", "pods", "three"), "... and nobody at the cluster scope");
	put(RBAC, "rolebindings", "one", "twice", BINDING("Role", "gone", USER("bob") "," USER("bob")));
	put(RBAC, "rolebindings", "one", "other", BINDING("ClusterRole", "gone", USER("bob")));
	is_str(why(&bob, "get", "pods", "one"),
	       "RBAC: [clusterrole." RBAC " \"gone\" not found, role." RBAC " \"gone\" not found]", "two roles that are not there");
	put(RBAC, "rolebindings", "one", "twice", NULL);
	put(RBAC, "rolebindings", "one", "other", NULL);
	is_str(why(&bob, "get", "pods", "one"), "", "named twice and gone whole");
}

/* --- nodes --- */

static const char *const node_groups[] = { "system:nodes", "system:authenticated", NULL };
static const struct user node1 = { .name = "system:node:n1", .uid = "", .groups = node_groups };
static const struct user node2 = { .name = "system:node:n2", .uid = "", .groups = node_groups };
static const struct user fake = { .name = "system:node:n1", .uid = "", .groups = node_groups + 1 };

static bool node_may(const struct user *u, const char *verb, const char *group, const char *resource, const char *sub,
		     const char *ns, const char *name)
{
	struct attrs at = { verb, group, "v1", resource, sub, ns, name };

	return node_allow(&api, u, &at);
}

static bool reads(const struct user *u, const char *resource, const char *ns, const char *name)
{
	return node_may(u, "get", "", resource, "", ns, name);
}

#define POD                                                                                                    \
	"{'spec':{'nodeName':'n1','serviceAccountName':'acc','imagePullSecrets':[{'name':'pull'}],'containers':[{" \
	"'env':[{'valueFrom':{'secretKeyRef':{'name':'env'}}},{'valueFrom':{'configMapKeyRef':{'name':'cenv'}}}]," \
	"'envFrom':[{'secretRef':{'name':'from'}}]}],'initContainers':[{'envFrom':[{'configMapRef':{'name':'cinit'}}]}]," \
	"'nodeSelector':{'secretName':'trap'},"                                                                \
	"'volumes':[{'name':'a','secret':{'secretName':'vol'}},{'name':'b','projected':{'sources':[{'secret':{"    \
	"'name':'proj'}},{'configMap':{'name':'cproj'}}]}},{'name':'c','persistentVolumeClaim':{'claimName':'claim'}}," \
	"{'name':'scratch','ephemeral':{}}]}}"

static void test_node_graph(void)
{
	static const char *const secrets[] = { "pull", "env", "from", "vol", "proj" };
	static const char *const maps[] = { "cenv", "cinit", "cproj" };
	bool all = true;

	ok(!reads(&node1, "secrets", "one", "vol"), "no pod: no secret");
	put("", "pods", "one", "p", POD);
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++)
		all = all && reads(&node1, "secrets", "one", secrets[i]);
	ok(all, "secrets of its pod");
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++)
		all = all && reads(&node1, "configmaps", "one", maps[i]);
	ok(all, "config maps of its pod");
	ok(!reads(&node2, "secrets", "one", "vol"), "another node may not");
	ok(!reads(&fake, "secrets", "one", "vol"), "nor somebody who is in no group of nodes");
	ok(!reads(&node1, "secrets", "two", "vol"), "not of another namespace");
	ok(!reads(&node1, "secrets", "one", "trap"), "a node selector is no secret");
	ok(!reads(&node1, "configmaps", "one", "vol"), "a secret is no config map");
	ok(reads(&node1, "persistentvolumeclaims", "one", "claim") &&
		   reads(&node1, "persistentvolumeclaims", "one", "p-scratch"), "claims");
	ok(!reads(&node1, "persistentvolumes", "", "pv"), "a volume that is not there");
	put("", "persistentvolumes", "", "pv", "{'spec':{'claimRef':{'namespace':'one','name':'claim'},'csi':{"
					      "'nodePublishSecretRef':{'name':'deep','namespace':'far'}}}}");
	ok(reads(&node1, "persistentvolumes", "", "pv") && !reads(&node2, "persistentvolumes", "", "pv"), "the claim's volume");
	ok(reads(&node1, "secrets", "far", "deep") && !reads(&node2, "secrets", "far", "deep"), "the volume's secret");
	ok(node_may(&node1, "create", "", "serviceaccounts", "token", "one", "acc") &&
		   !node_may(&node1, "create", "", "serviceaccounts", "token", "one", "default"), "tokens of its pods' accounts");
	ok(!node_may(&node1, "list", "", "secrets", "", "one", ""), "no list of secrets");
	put("", "pods", "one", "p", NULL);
	ok(!reads(&node1, "secrets", "one", "vol") && !reads(&node1, "persistentvolumes", "", "pv"), "the pod goes: no more");
	put("", "pods", "one", "m", "{'metadata':{'annotations':{'kubernetes.io/config.mirror':'x'}},'spec':{'nodeName':'n1',"
				    "'volumes':[{'secret':{'secretName':'vol'}}]}}");
	ok(!reads(&node1, "secrets", "one", "vol"), "a mirror pod opens nothing");
	ok(reads(&node1, "pods", "one", "m") && !reads(&node2, "pods", "one", "m"), "its own pods");
}

static void test_node_rules(void)
{
	ok(reads(&node1, "nodes", "", "n1") && !reads(&node1, "nodes", "", "n2"), "itself");
	ok(!node_may(&node1, "list", "", "nodes", "", "", ""), "not all nodes");
	ok(!node_may(&node1, "list", "", "pods", "", "", ""), "not all pods");
	ok(node_may(&node1, "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n1") &&
		   !node_may(&node1, "update", "coordination.k8s.io", "leases", "", "kube-node-lease", "n2") &&
		   !node_may(&node1, "update", "coordination.k8s.io", "leases", "", "kube-system", "n1"), "its lease");
	ok(node_may(&node1, "list", "", "services", "", "", ""), "services, by the rules of system:node");
	ok(!node_may(&node1, "create", "", "services", "", "one", ""), "but not to make them");
	ok(!node_may(&node1, "delete", "", "nodes", "", "", "n1"), "nor to delete itself");
}

/* --- the bootstrap policy --- */

static void test_policy(void)
{
	struct policy_cursor c = { policy_table, false };
	size_t n = 0, n_rules = 0, subjects = 0;
	bool good = true;
	struct policy p;

	while (policy_next(&c, &p)) {
		_cleanup_err_ struct err e = ERR_INIT;
		const struct schema_res *res = (const struct schema_res *)schema_res(RBAC, p.resource);

		n++;
		n_rules += node_count(node_get(doc_root(p.doc), F_rules));
		subjects += node_count(node_get(doc_root(p.doc), F_subjects));
		schema_default(res, p.doc);
		if (schema_validate(res, doc_root(p.doc), NULL, NULL, &e) < 0) {
			printf("# %s: %s\n", p.name, err_msg(&e));
			good = false;
		}
		doc_unref(p.doc);
	}
	ok(good, "all objects of the bootstrap policy are valid");
	ok(n > 120 && n_rules > 250 && subjects > 50, "... and as many as Kubernetes has");
	printf("# %zu objects, %zu rules, %zu subjects\n", n, n_rules, subjects);
}

/* --- what it costs --- */

static void bench(void)
{
	struct attrs at = { "get", "", "v1", "pods", "", "ns500", "x" }, no = { "get", "", "v1", "secrets", "", "ns500", "x" };
	int64_t begin, hit, miss;
	enum { N = 200000 };
	size_t yes = 0;

	for (int i = 0; i < 1000; i++) {
		char ns[16], user[300];

		snprintf(ns, sizeof(ns), "ns%d", i);
		snprintf(user, sizeof(user), BINDING("ClusterRole", "reader", "%s"), i % 2 ? USER("ann") : GROUP("devs"));
		put(RBAC, "rolebindings", ns, "bench", user);
	}
	begin = time_mono_us();
	for (int i = 0; i < N; i++)
		yes += rbac_allow(&api, &ann, &at);
	hit = time_mono_us() - begin;
	begin = time_mono_us();
	for (int i = 0; i < N; i++)
		yes += rbac_allow(&api, &ann, &no);
	miss = time_mono_us() - begin;
	is_int(yes, N, "a user of 1,000 bindings, one of which counts");
	printf("# 1,000 bindings: allowed %.0f ns, refused %.0f ns\n", hit * 1000.0 / N, miss * 1000.0 / N);
	ok(hit < N * 20 && miss < N * 20, "a decision takes microseconds");
}

static void set_up(void)
{
	static VEC(const struct resource *) rs = VEC_INIT;
	struct store_config sc = { 0 };
	struct err e = ERR_INIT;

	loop = loop_new();
	for (const struct schema_res *s = schema_next(NULL); s; s = schema_next(s))
		if (!s->is_virtual && s->served && schema_storage(s) == s)
			VEC_PUSH(&rs, &s->r);
	sc.loop = loop;
	sc.resources = rs.v;
	sc.n_resources = rs.n;
	BUG_ON(store_open(&store, &sc, &e) < 0);
	api.store = store;
	api.pods = (const struct schema_res *)schema_res("", "pods");
	api.rbac = rbac_new(store);
	api.node_authz = node_authz_new(store);
}

int main(void)
{
	set_up();
	test_matching();
	test_covering();
	test_index();
	test_subjects();
	test_node_graph();
	test_node_rules();
	test_policy();
	bench();
	rbac_free(api.rbac);
	api.rbac = rbac_new(store); /* as at a start: all is found in the store */
	ok(may(&ann, "get", "pods", "ns7") && !may(&ann, "get", "secrets", "ns7"), "read anew, it answers the same");
	rbac_free(api.rbac);
	node_authz_free(api.node_authz);
	store_close(store);
	obj_trim(0);
	loop_free(loop);
	return done_testing();
}
