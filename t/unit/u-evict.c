/*
 * When the node is short of something, who goes first, what is said about it;
 * reservations and what is left for pods.
 */
#include "node/pressure.h"
#include "t/unit/tap.h"

#define MI (1LL << 20)

static struct thresholds t;
static struct observation o[SIGNALS];

static void refused(int r, struct err *e, const char *text)
{
	ok(r < 0, "refused");
	is_str(err_msg(e), text, "because");
	err_release(e);
}

static void test_settings(void)
{
	struct err e = ERR_INIT;

	thresholds_default(&t);
	ok(thresholds_finish(&t, &e) == 0, "the defaults are valid");
	is_int(amount_of(&t.hard[SIGNAL_MEMORY].at, 1 << 30), 100 * MI, "memory.available<100Mi");
	is_int(amount_of(&t.hard[SIGNAL_NODEFS].at, 1000), 50, "nodefs.available<5%");
	is_int(amount_of(&t.hard[SIGNAL_NODEFS].reclaim, 1000), 100, "until a tenth more is free");
	is_int(amount_of(&t.hard[SIGNAL_ALLOCATABLE].at, 0), 100 * MI, "what pods may have has memory's threshold");
	ok(!t.hard[SIGNAL_PID].at.set, "none for processes, as in Kubernetes");
	ok(thresholds_parse(&t, false, " memory.available<1Gi , pid.available<10%", &e) == 0, "a list");
	ok(!t.hard[SIGNAL_NODEFS].at.set, "what it does not name is no threshold any more");
	is_int(amount_of(&t.hard[SIGNAL_PID].at, 32768), 3276, "a share of the processes");
	ok(thresholds_parse(&t, false, "nodefs.available<0%,imagefs.available<100%", &e) == 0 && !t.hard[SIGNAL_NODEFS].at.set &&
		   !t.hard[SIGNAL_IMAGEFS].at.set,
	   "0% and 100% are none");
	ok(thresholds_parse(&t, false, "", &e) == 0, "an empty list");
	refused(thresholds_parse(&t, false, "memory.free<1Gi", &e), &e, "unsupported eviction signal memory.free");
	refused(thresholds_parse(&t, false, "memory.available=1Gi", &e), &e, "unsupported eviction signal memory.available=1Gi");
	refused(thresholds_parse(&t, false, "memory.available<-5%", &e), &e,
		"eviction threshold memory.available: '-5%' is neither a quantity nor a percentage");
	refused(thresholds_parse(&t, false, "memory.available<nan%", &e), &e,
		"eviction threshold memory.available: 'nan%' is neither a quantity nor a percentage");
	refused(thresholds_parse(&t, false, "memory.available<0", &e), &e,
		"eviction threshold memory.available must be positive: 0");
	refused(thresholds_parse_grace(&t, "memory.available=soon", &e), &e,
		"invalid eviction grace period specified: soon, must be a positive value");
	ok(thresholds_parse(&t, true, "nodefs.available<10Gi", &e) == 0, "a soft threshold");
	refused(thresholds_finish(&t, &e), &e, "grace period must be specified for the soft eviction threshold nodefs.available");
	ok(thresholds_parse_grace(&t, "nodefs.available=1m30s", &e) == 0 && thresholds_finish(&t, &e) == 0, "with its grace");
	is_int(t.soft[SIGNAL_NODEFS].grace_ms, 90000, "in milliseconds");
}

static void see(enum evict_signal s, int64_t available, int64_t now)
{
	memset(o, 0, sizeof(o));
	o[s] = (struct observation){true, available, 1000};
	thresholds_see(&t, o, now);
}

static void test_hard(void)
{
	struct err e = ERR_INIT;
	enum evict_signal s;

	thresholds_default(&t);
	see(SIGNAL_NODEFS, 51, 1000);
	ok(!thresholds_due(&t, &s) && !thresholds_pressure(&t, PRESSURE_DISK, 1000), "above the threshold");
	see(SIGNAL_NODEFS, 49, 2000);
	ok(thresholds_due(&t, &s) == &t.hard[SIGNAL_NODEFS] && s == SIGNAL_NODEFS, "below: due at once");
	ok(thresholds_pressure(&t, PRESSURE_DISK, 2000) && !thresholds_pressure(&t, PRESSURE_MEMORY, 2000), "DiskPressure alone");
	see(SIGNAL_NODEFS, 149, 3000);
	ok(thresholds_due(&t, &s) && thresholds_short(&t, o), "until the minimum was reclaimed");
	see(SIGNAL_NODEFS, 150, 4000);
	ok(!thresholds_due(&t, &s) && !thresholds_short(&t, o), "then no more");
	ok(thresholds_pressure(&t, PRESSURE_DISK, 302999), "the condition stays for five minutes");
	ok(!thresholds_pressure(&t, PRESSURE_DISK, 303000), "and then goes");
	see(SIGNAL_NODEFS, 149, 400000);
	ok(!thresholds_due(&t, &s), "the minimum is for what was short before");
	see(SIGNAL_PID, 0, 500000);
	ok(!thresholds_due(&t, &s), "without a threshold nothing is short");
	ok(thresholds_parse(&t, false, "memory.available<10%,nodefs.available<10%", &e) == 0, "two thresholds");
	memset(o, 0, sizeof(o));
	o[SIGNAL_NODEFS] = o[SIGNAL_MEMORY] = (struct observation){true, 1, 1000};
	thresholds_see(&t, o, 600000);
	ok(thresholds_due(&t, &s) && s == SIGNAL_MEMORY, "memory before all");
}

static void test_soft(void)
{
	struct err e = ERR_INIT;
	enum evict_signal s;

	thresholds_default(&t);
	ok(thresholds_parse(&t, false, "", &e) == 0 && thresholds_parse(&t, true, "memory.available<50%", &e) == 0 &&
		   thresholds_parse_grace(&t, "memory.available=30s", &e) == 0 && thresholds_finish(&t, &e) == 0,
	   "only a soft one");
	see(SIGNAL_MEMORY, 400, 1000);
	ok(!thresholds_due(&t, &s) && thresholds_pressure(&t, PRESSURE_MEMORY, 1000), "pressure at once, but not due");
	see(SIGNAL_MEMORY, 600, 20000);
	see(SIGNAL_MEMORY, 400, 21000);
	see(SIGNAL_MEMORY, 400, 50999);
	ok(!thresholds_due(&t, &s), "its grace begins anew");
	see(SIGNAL_MEMORY, 400, 51000);
	ok(thresholds_due(&t, &s) == &t.soft[SIGNAL_MEMORY], "due behind its grace");
}

static void test_rank(void)
{
	struct evict_candidate v[] = {
		{(struct pod *)1, 0, 100, 200, true},	/* below its request */
		{(struct pod *)2, 1000, 900, 100, true}, /* above, important */
		{(struct pod *)3, 0, 300, 100, true},	/* above by 200 */
		{(struct pod *)4, 0, 500, 100, true},	/* above by 400 */
		{(struct pod *)5, 0, 0, 0, false},	/* nobody knows */
		{(struct pod *)6, -5, 10, 20, true},	/* below, but less important than the first */
	};
	static const char order[] = {5, 4, 3, 2, 6, 1}, pids[] = {6, 5, 4, 3, 1, 2};
	bool good = true;

	evict_rank(v, 6, EVICT_MEMORY);
	for (size_t i = 0; i < 6; i++)
		good = good && v[i].pod == (struct pod *)(uintptr_t)order[i];
	ok(good, "above the request, then priority, then by how much");
	evict_rank(v, 6, EVICT_PIDS);
	for (size_t i = good = 0; i < 6; i++)
		good = (i == 0 || good) && v[i].pod == (struct pod *)(uintptr_t)pids[i];
	ok(good, "for processes: priority, then how many");
	evict_rank(v, 0, EVICT_MEMORY);
}

static void test_texts(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct observation seen = {true, 50 * MI, 1000 * MI};
	struct err e = ERR_INIT;
	struct doc *d;

	thresholds_default(&t);
	evict_message(&b, &t.hard[SIGNAL_MEMORY], SIGNAL_MEMORY, &seen);
	is_str(b.s, "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. ", "memory");
	buf_clear(&b);
	evict_message(&b, &t.hard[SIGNAL_NODEFS], SIGNAL_NODEFS, &seen);
	is_str(b.s, "The node was low on resource: ephemeral-storage. Threshold quantity: 50Mi, available: 50Mi. ", "disk");
	buf_clear(&b);
	if (doc_parse_json(&d, STR_LIT("{\"requests\":{\"memory\":\"64Mi\"}}"), NULL, &e) < 0)
		abort();
	evict_message_container(&b, "a", 64 * MI, doc_root(d), EVICT_MEMORY);
	is_str(b.s ? b.s : "", "", "a container that keeps to its request");
	evict_message_container(&b, "a", 65 * MI, doc_root(d), EVICT_MEMORY);
	evict_message_container(&b, "b", 4096, NULL, EVICT_STORAGE);
	evict_message_container(&b, "c", 4096, NULL, EVICT_PIDS);
	is_str(b.s,
	       "Container a was using 65Mi, request is 64Mi, has larger consumption of memory. "
	       "Container b was using 4Ki, request is 0, has larger consumption of ephemeral-storage. ",
	       "those that do not");
	doc_unref(d);
}

static void test_reserve(void)
{
	struct node_agent n = {.cpu_milli = 4000, .memory_bytes = 1000 * MI, .disk_bytes = 100000, .max_pods = 110};
	struct err e = ERR_INIT;
	struct settings *s = n.settings = settings_new();

	s->n_huge = 1;
	s->huge[0] = (struct hugepages){"hugepages-2Mi", 10 * MI};
	ok(reserve_parse(&s->kube, "cpu=200m,memory=90Mi", &e) == 0, "kube-reserved");
	ok(reserve_parse(&s->system, "cpu=0.1, ephemeral-storage=1k,pid=100", &e) == 0, "system-reserved");
	is_int(node_allocatable(&n, "cpu"), 3700, "cpu");
	is_int(node_allocatable(&n, "memory"), 800 * MI, "memory: without reservations, threshold and huge pages");
	is_int(node_allocatable(&n, "ephemeral-storage"), 94000, "disk");
	is_int(node_allocatable(&n, "pods"), 110, "pods");
	is_int(node_allocatable(&n, "hugepages-2Mi"), 10 * MI, "huge pages");
	is_int(node_allocatable(&n, "hugepages-1Gi"), 0, "none of another size");
	is_int(reserve_pods_memory(&n), 910 * MI, "the limit of all pods leaves the threshold out");
	ok(reserve_parse(&s->kube, "memory=2Gi", &e) == 0 && node_allocatable(&n, "memory") == 0, "never below nothing");
	refused(reserve_parse(&s->kube, "gpu=1", &e), &e, "cannot reserve \"gpu\" resource");
	refused(reserve_parse(&s->kube, "memory=-1", &e), &e, "resource quantity for \"memory\" cannot be negative: -1");
	refused(reserve_parse(&s->kube, "memory", &e), &e, "failed to parse quantity for \"memory\" resource");
	is_str(out_of("ephemeral-storage"), "OutOfephemeral-storage", "a reason");
	free(s);
}

int main(void)
{
	test_settings();
	test_hard();
	test_soft();
	test_rank();
	test_texts();
	test_reserve();
	return done_testing();
}
