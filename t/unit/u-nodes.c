/*
 * What the controllers of nodes decide by: states of zones and the rates at which
 * their nodes are emptied, how long a pod may stay beside a taint, settings.
 */
#include "tap.h"

#include <stdio.h>

#include "base/time.h"
#include "ctl/nodes.h"
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
	test_settings();
	return done_testing();
}
