/*
 * What the controllers of workloads decide, by tables: the arithmetic of roll-outs,
 * the order in which pods go, percentages, and which nodes a daemon belongs on.
 */
#include "tap.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctl/daemonset.h"
#include "ctl/deployment.h"
#include "ctl/pods.h"

/* --- roll-outs --- */

static struct obj *object(const char *kind, const char *json)
{
	struct err e = ERR_INIT;
	struct obj *o = obj_from_json(schema_res(streq(kind, "nodes") ? "" : "apps", kind), str_of(json), &e);

	BUG_ON(!o);
	return o;
}

/* A Deployment of `replicas` with up to three ReplicaSets of spec/available each; the last is the new one. */
static const struct rollout_case {
	const char *what;
	int64_t replicas, surge, unavailable;
	int64_t spec[3], available[3];
	int n;
	const char *want;
} rolls[] = {
	{ "begins with what surge allows", 4, 1, 1, { 4, 0 }, { 4, 0 }, 2, "4 1" },
	{ "shrinks the old when no more fits", 4, 1, 1, { 4, 1 }, { 4, 0 }, 2, "3 1" },
	{ "goes on as new ones come", 4, 1, 1, { 3, 2 }, { 3, 2 }, 2, "1 2" },
	{ "waits while too few are there", 4, 1, 1, { 3, 2 }, { 3, 0 }, 2, "3 2" },
	{ "ends", 4, 1, 1, { 1, 4 }, { 1, 4 }, 2, "0 4" },
	{ "has nothing to do", 4, 1, 1, { 0, 4 }, { 0, 4 }, 2, "0 4" },
	{ "drops old ones that never were available", 4, 0, 1, { 4, 0 }, { 0, 0 }, 2, "3 0" },
	{ "drops them as far as it may", 4, 1, 1, { 4, 1 }, { 0, 1 }, 2, "2 1" },
	{ "shrinks the new one to the size", 2, 1, 0, { 0, 5 }, { 0, 5 }, 2, "0 2" },
	{ "takes from the oldest first", 4, 2, 0, { 2, 2, 2 }, { 2, 2, 2 }, 3, "0 2 2" },
};

static const struct rollout_case scales[] = {
	{ "one alone gets all", 7, 1, 0, { 3, 0 }, { 3, 0 }, 2, "7 0" },
	{ "each gets its share", 20, 3, 2, { 8, 5 }, { 8, 0 }, 2, "14 9" },
	{ "each gives its share", 5, 3, 2, { 8, 5 }, { 8, 0 }, 2, "5 3" },
	{ "down to nothing", 0, 0, 0, { 8, 5 }, { 8, 0 }, 2, "0 0" },
};

static void test_roll(const struct rollout_case *c, bool scale)
{
	struct deployment d = { .replicas = c->replicas, .surge = c->surge, .unavailable = c->unavailable, .rolling = true };
	_cleanup_buf_ struct buf got = BUF_INIT, what = BUF_INIT;
	struct obj *objs[3];

	for (int i = 0; i < c->n; i++) {
		struct deployment_set s = { .spec = c->spec[i], .want = c->spec[i], .available = c->available[i],
					    .created_s = i, .desired = 10, .max = 13 };
		char json[200];

		snprintf(json, sizeof(json), "{\"apiVersion\":\"apps/v1\",\"kind\":\"ReplicaSet\",\"metadata\":{\"name\":\"s%d\",\"uid\":\"u%d\"}}", i, i);
		s.obj = objs[i] = object("replicasets", json);
		VEC_PUSH(&d.sets, s);
	}
	d.newest = c->n - 1;
	if (scale)
		rollout_scale(&d);
	else
		rollout_rolling(&d);
	for (int i = 0; i < c->n; i++) {
		buf_addf(&got, "%s%lld", i ? " " : "", (long long)d.sets.v[i].want);
		obj_unref(objs[i]);
	}
	buf_addf(&what, "%s %s", scale ? "scaling:" : "a roll-out", c->what);
	is_str(got.s, c->want, what.s);
	VEC_RELEASE(&d.sets);
}

/* --- the order of deletion --- */

#define NOW 1000000

static const struct {
	const char *what;
	struct kid first, second;
	size_t first_crowd, second_crowd;
} orders[] = {
	{ "unassigned before assigned", { .node = 0 }, { .node = 1 }, 0, 0 },
	{ "pending before running", { .node = 1, .phase = POD_PENDING }, { .node = 1, .phase = POD_RUNNING }, 0, 0 },
	{ "not ready before ready", { .node = 1 }, { .node = 1, .ready = true, .ready_s = 5 }, 0, 0 },
	{ "cheap before dear", { .node = 1, .cost = -1 }, { .node = 1 }, 0, 0 },
	{ "from a crowd before the lonely", { .node = 1 }, { .node = 2 }, 3, 1 },
	{ "ready for a short time before ready for long", { .node = 1, .ready = true, .ready_s = NOW - 10 },
	  { .node = 1, .ready = true, .ready_s = NOW - 10000 }, 0, 0 },
	{ "restarted before not", { .node = 1, .restarts = 4 }, { .node = 1, .restarts = 1 }, 0, 0 },
	{ "young before old", { .node = 1, .created_s = NOW - 10 }, { .node = 1, .created_s = NOW - 10000 }, 0, 0 },
	{ "dear and not ready before cheap and ready", { .node = 1, .cost = 9 },
	  { .node = 1, .ready = true, .ready_s = 5, .cost = -9 }, 0, 0 },
};

static void test_order(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
		struct obj a = { .uid = "b" }, b = { .uid = "a" };
		struct kid x = orders[i].first, y = orders[i].second;
		struct pod_rank rx = { &x, orders[i].first_crowd }, ry = { &y, orders[i].second_crowd };

		x.obj = &a;
		y.obj = &b;
		ok(pod_rank_cmp(&rx, &ry, NOW) < 0 && pod_rank_cmp(&ry, &rx, NOW) > 0, orders[i].what);
	}
}

/* --- percentages --- */

static int64_t of(const char *json, int64_t total, bool up)
{
	struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	BUG_ON(doc_parse_json(&d, str_of(json), NULL, &e) < 0);
	return intstr_of(node_get(doc_root(d), F_maxSurge), total, up, 7);
}

static void test_percent(void)
{
	is_int(of("{\"maxSurge\":3}", 10, true), 3, "a number");
	is_int(of("{\"maxSurge\":\"25%\"}", 10, true), 3, "a quarter of ten, rounded up");
	is_int(of("{\"maxSurge\":\"25%\"}", 10, false), 2, "rounded down");
	is_int(of("{\"maxSurge\":\"100%\"}", 10, false), 10, "all");
	is_int(of("{\"maxSurge\":\"x\"}", 10, false), 7, "nonsense");
	is_int(of("{}", 10, false), 7, "absent");
}

/* --- nodes --- */

static const struct {
	const char *what, *spec, *node;
	bool should, may_stay;
} fits[] = {
	{ "any node", "{}", "{}", true, true },
	{ "a taint", "{}", "{\"taints\":[{\"key\":\"k\",\"effect\":\"NoSchedule\"}]}", false, true },
	{ "a taint that drives out", "{}", "{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}", false, false },
	{ "a mild taint", "{}", "{\"taints\":[{\"key\":\"k\",\"effect\":\"PreferNoSchedule\"}]}", true, true },
	{ "what every daemon tolerates", "{}",
	  "{\"taints\":[{\"key\":\"node.kubernetes.io/unreachable\",\"effect\":\"NoExecute\"}]}", true, true },
	{ "not with another effect", "{}",
	  "{\"taints\":[{\"key\":\"node.kubernetes.io/unreachable\",\"effect\":\"NoSchedule\"}]}", false, true },
	{ "no network", "{}",
	  "{\"taints\":[{\"key\":\"node.kubernetes.io/network-unavailable\",\"effect\":\"NoSchedule\"}]}", false, true },
	{ "no network, and none needed", "{\"hostNetwork\":true}",
	  "{\"taints\":[{\"key\":\"node.kubernetes.io/network-unavailable\",\"effect\":\"NoSchedule\"}]}", true, true },
	{ "one that tolerates all", "{\"tolerations\":[{\"operator\":\"Exists\"}]}",
	  "{\"taints\":[{\"key\":\"k\",\"effect\":\"NoExecute\"}]}", true, true },
	{ "a value", "{\"tolerations\":[{\"key\":\"k\",\"value\":\"w\"}]}",
	  "{\"taints\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoExecute\"}]}", false, false },
	{ "a label", "{\"nodeSelector\":{\"disk\":\"ssd\"}}", "{}", true, true },
	{ "another label", "{\"nodeSelector\":{\"disk\":\"hdd\"}}", "{}", false, false },
	{ "another node", "{\"nodeName\":\"m\"}", "{}", false, false },
#define REQUIRED(terms) \
	"{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":[" terms "]}}}}"
	{ "one of two terms", REQUIRED("{\"matchExpressions\":[{\"key\":\"x\",\"operator\":\"Exists\"}]},"
				       "{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n\"]}]}"),
	  "{}", true, true },
	{ "a number", REQUIRED("{\"matchExpressions\":[{\"key\":\"size\",\"operator\":\"Gt\",\"values\":[\"5\"]}]}"), "{}", true,
	  true },
	{ "an empty term", REQUIRED("{}"), "{}", false, false },
};

static void test_fits(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fits); i++) {
		_cleanup_free_ char *json = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n\","
						      "\"uid\":\"u\",\"labels\":{\"disk\":\"ssd\",\"size\":\"7\"}},\"spec\":%s}",
						      fits[i].node);
		_cleanup_obj_ struct obj *o = object("nodes", json);
		_cleanup_doc_ struct doc *d = NULL;
		struct err e = ERR_INIT;
		bool should, may_stay;

		BUG_ON(doc_parse_json(&d, str_of(fits[i].spec), NULL, &e) < 0);
		daemonset_fits(doc_root(d), o, &should, &may_stay);
		ok(should == fits[i].should && may_stay == fits[i].may_stay, fits[i].what);
	}
}

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rolls); i++)
		test_roll(&rolls[i], false);
	for (size_t i = 0; i < ARRAY_SIZE(scales); i++)
		test_roll(&scales[i], true);
	test_order();
	test_percent();
	test_fits();
	obj_trim(0);
	return done_testing();
}
