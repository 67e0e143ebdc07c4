/*
 * What the controllers of nodes decide by: states of zones and the rates at which
 * their nodes are emptied, how long a pod may stay beside a taint, settings; and who
 * owns the claims of a StatefulSet.
 */
#include "tap.h"

#include <stdio.h>

#include "base/time.h"
#include "ctl/nodes.h"
#include "ctl/retention.h"
#include "ctl/zones.h"

static struct ctl_settings settings(const char *const *list)
{
	struct err e = ERR_INIT;
	struct ctl_settings s;

	BUG_ON(ctl_settings_make(&s, list, &e) < 0);
	return s;
}

/* --- zones --- */

static const struct {
	size_t ready, not_ready;
	enum zone_state want;
} states[] = {
	{ 0, 0, ZONE_NORMAL }, { 1, 0, ZONE_NORMAL },  { 0, 1, ZONE_FULL },	{ 0, 9, ZONE_FULL },
	{ 1, 2, ZONE_NORMAL }, { 2, 3, ZONE_PARTIAL }, { 9, 11, ZONE_PARTIAL }, { 46, 54, ZONE_NORMAL },
	{ 45, 55, ZONE_PARTIAL }, { 1, 3, ZONE_PARTIAL },
};

static void test_states(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		_cleanup_free_ char *what = xasprintf("%zu well, %zu not", states[i].ready, states[i].not_ready);

		is_int(zone_state_of(states[i].ready, states[i].not_ready, 0.55), states[i].want, what);
	}
}

static const struct {
	enum zone_state state;
	size_t size;
	double want;
} rates[] = {
	{ ZONE_NORMAL, 3, 0.1 },    { ZONE_FULL, 3, 0.1 },	{ ZONE_PARTIAL, 3, 0 },
	{ ZONE_PARTIAL, 50, 0 },    { ZONE_PARTIAL, 51, 0.01 }, { ZONE_NORMAL, 51, 0.1 },
};

static void test_rates(void)
{
	struct ctl_settings s = settings(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		_cleanup_free_ char *what = xasprintf("a zone of %zu in state %d", rates[i].size, rates[i].state);

		is_int((int64_t)(zone_rate(&s, rates[i].state, rates[i].size) * 1000 + 0.5), (int64_t)(rates[i].want * 1000 + 0.5),
		       what);
	}
}

static void test_limit(void)
{
	struct zone_limit l = { .per_s = 0.1 };

	ok(zone_limit_take(&l, 1000), "the first at once");
	ok(!zone_limit_take(&l, 10999), "the next not before its time");
	is_int(zone_limit_wait_ms(&l, 4000), 7000, "which is known");
	ok(zone_limit_take(&l, 11000), "but then");
	zone_limit_set(&l, 0.1, 12000);
	is_int(l.next_ms, 21000, "the same rate again changes nothing");
	zone_limit_set(&l, 1, 12000);
	is_int(zone_limit_wait_ms(&l, 12000), 1000, "a new rate begins with waiting when the old one did");
	zone_limit_set(&l, 2, 14000);
	is_int(zone_limit_wait_ms(&l, 14000), 0, "and with none when there was a token");
	zone_limit_set(&l, 0, 14000);
	ok(!zone_limit_take(&l, 1 << 30), "never is never");
	is_int(zone_limit_wait_ms(&l, 14000), -1, "and has no time");
	zone_limit_set(&l, 1, 20000);
	is_int(zone_limit_wait_ms(&l, 20000), 1000, "after never one waits, too");
}

static void zone_is(struct zone *z, size_t ready, size_t not_ready)
{
	z->ready = ready;
	z->not_ready = not_ready;
}

static void test_zones(void)
{
	struct ctl_settings s = settings(NULL);
	struct zone *a, *b, *c;
	struct zones z;

	zones_init(&z, &s);
	is_int(zones_judge(&z, 0), ZONES_SAME, "no zones at all");
	ok(!zones_stopped(&z), "are not cut off");
	a = zones_join(&z, "", "a");
	ok(zones_join(&z, "", "a") == a, "a zone is known by its name");
	b = zones_join(&z, "r", "a");
	ok(b != a, "and its region");
	is_int(zones_judge(&z, 0), ZONES_SAME, "zones whose nodes do not count have no say");
	zone_is(a, 5, 0);
	zone_is(b, 3, 0);
	is_int(zones_judge(&z, 0), ZONES_CHANGED, "both come");
	is_int(zones_judge(&z, 0), ZONES_SAME, "and are there");
	zone_is(b, 1, 3);
	is_int(zones_judge(&z, 0), ZONES_CHANGED, "one is disrupted");
	is_int(b->state, ZONE_PARTIAL, "in part");
	ok(!zone_limit_take(&b->limit, 1000), "a small one is left alone");
	ok(zone_limit_take(&a->limit, 1000), "the other is not concerned");
	zone_is(b, 0, 4);
	is_int(zones_judge(&z, 2000), ZONES_CHANGED, "one is all gone");
	is_int(zone_limit_wait_ms(&b->limit, 2000), 10000, "it is emptied as any");
	zone_is(a, 0, 5);
	is_int(zones_judge(&z, 3000), ZONES_STOPPED, "all are gone");
	ok(zones_stopped(&z), "that is no matter of the nodes");
	ok(!zone_limit_take(&a->limit, 1 << 30) && !zone_limit_take(&b->limit, 1 << 30), "nothing is emptied");
	is_int(zones_judge(&z, 4000), ZONES_SAME, "as long as it is so");
	c = zones_join(&z, "r", "c");
	zone_is(c, 0, 1);
	is_int(zones_judge(&z, 4000), ZONES_STOPPED, "one more does not help");
	zone_is(c, 1, 0);
	is_int(zones_judge(&z, 5000), ZONES_RESUMED, "unless it is well");
	ok(!zones_stopped(&z), "then it goes on");
	is_int(zone_limit_wait_ms(&a->limit, 5000), 10000, "after a while");
	is_int(zone_limit_wait_ms(&b->limit, 5000), 10000, "everywhere");
	zones_leave(&z, c);
	is_int(zones_judge(&z, 6000), ZONES_SAME, "and ends as before when that one leaves: all were, all are");
	zones_leave(&z, a);
	zones_leave(&z, a);
	zones_leave(&z, b);
	is_int(map_count(z.by_key), 0, "zones go with their nodes");
	zones_release(&z);
}

/* --- taints --- */

#define TAINT(key) "{\"key\":\"" key "\",\"effect\":\"NoExecute\"}"
static const struct {
	const char *what, *taints, *tolerations;
	int64_t want;
	bool tolerated;
} stays[] = {
	{ "no taint", "[]", "[]", -1, true },
	{ "one that forbids new pods only", "[{\"key\":\"a\",\"effect\":\"NoSchedule\"}]", "[]", -1, true },
	{ "not tolerated", "[" TAINT("a") "]", "[]", 0, false },
	{ "not that one", "[" TAINT("a") "]", "[{\"key\":\"b\",\"operator\":\"Exists\"}]", 0, false },
	{ "not all", "[" TAINT("a") "," TAINT("b") "]", "[{\"key\":\"b\",\"operator\":\"Exists\"}]", 0, false },
	{ "for ever", "[" TAINT("a") "]", "[{\"key\":\"a\",\"operator\":\"Exists\"}]", -1, true },
	{ "all of them", "[" TAINT("a") "," TAINT("b") "]", "[{\"operator\":\"Exists\"}]", -1, true },
	{ "for a while", "[" TAINT("a") "]", "[{\"key\":\"a\",\"operator\":\"Exists\",\"tolerationSeconds\":300}]", 300, true },
	{ "for no time", "[" TAINT("a") "]", "[{\"key\":\"a\",\"operator\":\"Exists\",\"tolerationSeconds\":-5}]", 0, true },
	{ "the shortest counts", "[" TAINT("a") "," TAINT("b") "]",
	  "[{\"key\":\"b\",\"operator\":\"Exists\",\"tolerationSeconds\":7},{\"operator\":\"Exists\",\"tolerationSeconds\":30}]", 7, true },
	{ "of several for one taint the first", "[" TAINT("a") "]",
	  "[{\"operator\":\"Exists\",\"tolerationSeconds\":30},{\"key\":\"a\",\"operator\":\"Exists\",\"tolerationSeconds\":5}]", 30, true },
	{ "one for a while, one for ever", "[" TAINT("a") "," TAINT("b") "]",
	  "[{\"key\":\"a\",\"operator\":\"Exists\"},{\"key\":\"b\",\"operator\":\"Exists\",\"tolerationSeconds\":9}]", 9, true },
	{ "nonsense tolerates nothing", "[" TAINT("a") "]", "[5,{\"key\":[]},null]", 0, false },
};

static struct doc *parse(const char *json)
{
	struct err e = ERR_INIT;
	struct doc *d;

	BUG_ON(doc_parse_json(&d, str_of(json), NULL, &e) < 0);
	return d;
}

static void test_stays(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(stays); i++) {
		_cleanup_doc_ struct doc *taints = parse(stays[i].taints), *tolerations = parse(stays[i].tolerations);
		bool tolerated;

		is_int(taint_stay_s(doc_root(taints), doc_root(tolerations), &tolerated), stays[i].want, stays[i].what);
		is_int(tolerated, stays[i].tolerated, stays[i].tolerated ? "  it is tolerated" : "  it is not tolerated");
	}
}

static void test_taints(void)
{
	_cleanup_doc_ struct doc *d = parse("{\"taints\":[{\"key\":\"a\",\"effect\":\"NoSchedule\"}]}");
	struct node *spec = doc_root(d);

	ok(taint_set(d, spec, "a", "NoExecute", true), "another effect is another taint");
	ok(!taint_set(d, spec, "a", "NoExecute", true), "the same is not set twice");
	ok(node_str(node_get(taint_find(node_get(spec, F_taints), "a", "NoExecute"), F_timeAdded)).n > 0, "it has the time");
	ok(taint_set(d, spec, "a", "NoSchedule", false), "the other is taken away");
	ok(!taint_find(node_get(spec, F_taints), "a", "NoSchedule"), "and is gone");
	ok(taint_find(node_get(spec, F_taints), "a", NULL) != NULL, "the first is there");
	ok(!taint_set(d, spec, "b", "NoExecute", false), "what is not there cannot be taken away");
	ok(taint_set(d, spec, "a", "NoExecute", false), "the last one");
	ok(!node_get(spec, F_taints), "takes the list along");
}

/* --- how long secrets may be kept --- */

static const struct {
	unsigned from;
	size_t nodes;
	int want_s;
} ttls[] = {
	{ 0, 0, 0 },	 { 0, 100, 0 },	  { 0, 101, 15 }, { 1, 95, 15 },  { 1, 89, 0 },	     { 0, 95, 0 },
	{ 1, 501, 30 }, { 2, 449, 15 }, { 0, 5000, 300 }, { 4, 1800, 300 }, { 4, 1799, 60 }, { 4, 1, 0 },
};

static void test_ttls(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(ttls); i++) {
		_cleanup_free_ char *what = xasprintf("%zu nodes, from step %u", ttls[i].nodes, ttls[i].from);

		is_int(node_ttl_steps[node_ttl_step(ttls[i].from, ttls[i].nodes)].seconds, ttls[i].want_s, what);
	}
}

/* --- claims of StatefulSets --- */

#define REF(api, kind, name, uid, more) \
	"{\"apiVersion\":\"" api "\",\"kind\":\"" kind "\",\"name\":\"" name "\",\"uid\":\"" uid "\"" more "}"
#define TO_SET REF("apps/v1", "StatefulSet", "db", "s1", ",\"controller\":true,\"blockOwnerDeletion\":true")
#define TO_POD REF("v1", "Pod", "db-0", "p1", ",\"controller\":true,\"blockOwnerDeletion\":true")
#define TO_SET_LOOSELY REF("apps/v1", "StatefulSet", "db", "s1", "")
#define TO_OLD_SET REF("apps/v1", "StatefulSet", "db", "s0", ",\"controller\":true")
#define TO_OLD_POD REF("v1", "Pod", "db-0", "p0", ",\"controller\":true")
#define TO_OTHER REF("example.com/v1", "Db", "x", "x1", ",\"controller\":true")
#define TO_NOTE REF("v1", "ConfigMap", "x", "x1", "")

static const struct {
	const char *what;
	bool deleted, scaled, condemned;
	const char *have, *want; /* NULL: as it was */
} retentions[] = {
	{ "nobody's", false, false, false, "", NULL },
	{ "nobody's, beyond the size", false, false, true, "", NULL },
	{ "the set's no more", false, false, false, TO_SET, "" },
	{ "the pod's no more", false, false, true, TO_POD, "" },
	{ "the set's", true, false, false, "", TO_SET },
	{ "the set's already", true, false, false, TO_SET, NULL },
	{ "the set's, beyond the size too", true, false, true, "", TO_SET },
	{ "nobody's while it is small enough", false, true, false, "", NULL },
	{ "the pod's beyond the size", false, true, true, "", TO_POD },
	{ "back from the pod", false, true, false, TO_POD, "" },
	{ "the set's when both", true, true, false, "", TO_SET },
	{ "from the set to the pod", true, true, true, TO_SET, TO_POD },
	{ "from the pod to the set", true, true, false, TO_POD, TO_SET },
	{ "the set's, but not as its controller", true, false, false, TO_SET_LOOSELY, TO_SET },
	{ "an earlier set's", true, false, false, TO_OLD_SET, NULL },
	{ "an earlier pod's", false, true, true, TO_OLD_POD, NULL },
	{ "somebody else's", true, true, false, TO_OTHER, NULL },
	{ "somebody else's and the set's", true, false, false, TO_OTHER "," TO_SET, TO_OTHER },
	{ "somebody else's, and nobody asks", false, false, false, TO_OTHER, NULL },
	{ "what others only refer to", true, false, false, TO_NOTE, TO_NOTE "," TO_SET },
};

static struct obj *object(const struct resource *r, const char *name, const char *uid)
{
	_cleanup_free_ char *json = xasprintf("{\"apiVersion\":\"%s\",\"kind\":\"%s\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
					      "\"n\",\"uid\":\"%s\",\"resourceVersion\":\"1\"}}",
					      r->api_version, r->kind, name, uid);
	struct err e = ERR_INIT;
	struct obj *o = obj_from_json(r, str_of(json), &e);

	BUG_ON(!o);
	return o;
}

static char *owners(const struct doc *claim)
{
	const struct node *refs = node_path(doc_root(claim), F_metadata, F_ownerReferences);
	struct buf b = BUF_INIT;

	if (refs)
		doc_print_json(&b, refs, DOC_PRINT_COMPACT);
	return buf_detach(&b, NULL);
}

static void test_retentions(void)
{
	_cleanup_obj_ struct obj *set = object(schema_res("apps", "statefulsets"), "db", "s1");
	_cleanup_obj_ struct obj *pod = object(schema_res("", "pods"), "db-0", "p1");

	for (size_t i = 0; i < ARRAY_SIZE(retentions); i++) {
		struct retention r = { retentions[i].deleted, retentions[i].scaled };
		const char *want = retentions[i].want ? retentions[i].want : retentions[i].have;
		_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"ownerReferences\":[%s]}}", retentions[i].have);
		_cleanup_free_ char *list = *want ? xasprintf("[%s]", want) : xstrdup(retentions[i].want ? "" : "[]");
		_cleanup_doc_ struct doc *d = parse(json);
		bool changed = retention_apply(d, r, set, pod, retentions[i].condemned);
		_cleanup_free_ char *got = owners(d);

		is_str(got, list, retentions[i].what);
		ok(changed == (retentions[i].want != NULL), changed ? "  which is to be written" : "  which it is");
		ok(!retention_apply(d, r, set, pod, retentions[i].condemned), "  and stays so");
	}
}

static void test_stale_claims(void)
{
	static const struct retention scaled = { .scaled = true }, deleted = { .deleted = true };
	_cleanup_doc_ struct doc *d = parse("{\"metadata\":{\"ownerReferences\":[" TO_OLD_POD "]}}");

	ok(retention_is_stale(doc_root(d), scaled, "db-0"), "a claim that goes with an earlier pod");
	ok(!retention_is_stale(doc_root(d), scaled, "db-1"), "is no matter of another pod");
	ok(!retention_is_stale(doc_root(d), deleted, "db-0"), "and does not go when the policy says so");
}

/* --- settings --- */

static const struct {
	const char *arg, *problem;
} bad_args[] = {
	{ "x", "there is no such setting here" },
	{ "", "there is no such setting here" },
	{ "node-eviction-rate", "'' is no number from 0 to 1000, such as 0.1" },
	{ "node-eviction-rate=-1", "'-1' is no number from 0 to 1000, such as 0.1" },
	{ "node-eviction-rate=nan", "'nan' is no number from 0 to 1000, such as 0.1" },
	{ "node-eviction-rate=0.1x", "'0.1x' is no number from 0 to 1000, such as 0.1" },
	{ "unhealthy-zone-threshold=1.01", "'1.01' is no number from 0 to 1, such as 0.1" },
	{ "large-cluster-size-threshold=9999999999", "'9999999999' is no number from 0 to 2147483647" },
	{ "node-monitor-grace-period=5", "'5' is no time such as 1m30s" },
	{ "node-monitor-grace-period=0s", "'0s' is no time such as 1m30s" },
	{ "node-monitor-grace-period=-1s", "'-1s' is no time such as 1m30s" },
};

static void test_settings(void)
{
	struct ctl_settings s = settings((const char *const[]){ "node-monitor-grace-period=20s", "--node-eviction-rate=2.5",
								 "terminated-pod-gc-threshold=0", NULL });

	is_int(s.grace_ms, 20000, "a time");
	is_int((int64_t)(s.rate * 10), 25, "a rate, written as on the command line");
	is_int(s.terminated_max, 0, "a number");
	is_int(s.monitor_ms, 5000, "the others are as they always are");
	s = settings(NULL);
	is_int(s.grace_ms, 50000, "the grace that Kubernetes has");
	for (size_t i = 0; i < ARRAY_SIZE(bad_args); i++) {
		const char *list[] = { bad_args[i].arg, NULL };
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_free_ char *want =
			xasprintf("--kube-controller-manager-arg '%s': %s", bad_args[i].arg, bad_args[i].problem);

		BUG_ON(ctl_settings_make(&s, list, &e) == 0);
		is_str(err_msg(&e), want, "a bad setting");
	}
}

int main(void)
{
	test_states();
	test_rates();
	test_limit();
	test_zones();
	test_stays();
	test_taints();
	test_ttls();
	test_retentions();
	test_stale_claims();
	test_settings();
	obj_trim(0);
	return done_testing();
}
