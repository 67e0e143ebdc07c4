/*
 * The node agent: its pure parts, and whole lives of pods against the fakes.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "node/internal.h"
#include "t/unit/node-fakes.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/u-node-XXXXXX";

static struct doc *parse(const char *json)
{
	struct doc *d = NULL;
	struct err e = ERR_INIT;

	if (doc_parse_json(&d, str_of(json), NULL, &e) < 0)
		printf("# %s\n", err_msg(&e));
	err_release(&e);
	return d;
}

/* --- pure parts --- */

static void test_backoff(void)
{
	struct backoff b = {0};
	int64_t until = 0;
	char t[32];

	ok(!backoff_active(&b, 1000, 1000, &until), "nothing failed yet: no back-off");
	backoff_next(&b, 1000, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	is_int(b.delay_ms, 10000, "first delay 10 s");
	ok(backoff_active(&b, 2000, 3000, &until) && until == 12000, "waits 10 s from the end");
	ok(!backoff_active(&b, 2000, 12000, &until), "and then no more");
	for (int i = 0; i < 10; i++)
		backoff_next(&b, 2000, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	is_int(b.delay_ms, 300000, "at most 5 min");
	ok(!backoff_active(&b, 2000 + 600001, 2000 + 600001, &until), "forgotten after 10 min");
	backoff_next(&b, 2000 + 600001, BACKOFF_FIRST_MS, BACKOFF_MAX_MS);
	is_int(b.delay_ms, 10000, "and begins anew");
	backoff_text(10000, t);
	is_str(t, "10s", "10s");
	backoff_text(160000, t);
	is_str(t, "2m40s", "2m40s");
	backoff_text(300000, t);
	is_str(t, "5m0s", "5m0s");
	ok(restart_wanted("Always", false, 0) && !restart_wanted("Never", false, 1) &&
		   !restart_wanted("OnFailure", false, 0) && restart_wanted("OnFailure", false, 3) &&
		   restart_wanted("Never", true, 0),
	   "restart policy");
}

static void test_expand(void)
{
	struct env_list a = {0}, b = {0};
	const struct env_list *lists[] = {&a, &b};
	struct arena *ar = arena_new();

	env_set(&a, "A", "1");
	env_set(&a, "B", "x");
	env_set(&a, "B", "two");
	env_set(&b, "A", "other");
	env_set(&b, "C", "3");
	is_int((long long)a.n, 2, "a variable once");
	is_str(expand_vars(ar, "$(A)-$(B)-$(C)", lists, 2), "1-two-3", "expansion, first list first");
	is_str(expand_vars(ar, "$$(A) $(NO) $(A $A $", lists, 2), "$(A) $(NO) $(A $A $",
	       "escapes, unknown and broken ones stay");
	is_str(expand_vars(ar, "$$$(A)", lists, 2), "$1", "a doubled dollar before a reference");
	arena_free(ar);
	env_release(&a);
	env_release(&b);
}

/* Of the first container, or of the first init container. */
static int oom_adj(const char *spec, int init, int64_t capacity)
{
	struct doc *d = parse(spec);
	int r = qos_oom_score_adj(doc_root(d), node_at(node_get(doc_root(d), init ? F_initContainers : F_containers), 0),
				  capacity);

	doc_unref(d);
	return r;
}

static void test_pod_level(void)
{
	struct doc *d = parse("{\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"64Mi\",\"hugepages-2Mi\":\"4Mi\"},"
			      "\"requests\":{\"cpu\":\"1\",\"memory\":\"64Mi\"}},\"overhead\":{\"memory\":\"1Mi\"},"
			      "\"containers\":[{\"resources\":{\"limits\":{\"memory\":\"16Mi\"}}},{}]}");
	const struct node *spec = doc_root(d), *list = node_get(spec, F_containers);
	struct run_limits l;

	is_str(qos_name(qos_of(spec)), "Guaranteed", "resources of the pod make the class");
	qos_pod_limits(spec, &l);
	is_int(l.memory_max, 65 << 20, "the pod's own limit, with the overhead");
	is_int(l.cpu_quota_us, 100000, "the pod's own quota");
	ok(l.n_hugetlb == 1 && l.hugetlb[0].page_bytes == 2 << 20 && l.hugetlb[0].max_bytes == 4 << 20,
	   "huge pages of the pod");
	qos_container_limits(spec, node_at(list, 0), &l);
	is_int(l.memory_max, 16 << 20, "a container's own limit");
	is_int(l.cpu_quota_us, 100000, "without one it is held to the pod's");
	ok(l.hugetlb_set && !l.n_hugetlb, "no huge pages for a container that has no limit for them");
	qos_container_limits(spec, node_at(list, 1), &l);
	is_int(l.memory_max, 64 << 20, "a container without any limit");
	doc_unref(d);
}

static void test_qos(void)
{
	struct doc *best = parse("{\"containers\":[{\"name\":\"a\"}]}");
	struct doc *burst = parse(
		"{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"250m\",\"memory\":\"64Mi\"}}},{}],"
		"\"initContainers\":[{\"resources\":{\"requests\":{\"cpu\":\"1\"}}},"
		"{\"restartPolicy\":\"Always\",\"resources\":{\"requests\":{\"cpu\":\"100m\"}}}]}");
	struct doc *guar = parse(
		"{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}}]}");
	struct run_limits l;

	is_str(qos_name(qos_of(doc_root(best))), "BestEffort", "BestEffort");
	is_str(qos_name(qos_of(doc_root(burst))), "Burstable", "Burstable");
	is_str(qos_name(qos_of(doc_root(guar))), "Guaranteed", "limits alone make Guaranteed");
	is_int(qos_pod_request(doc_root(burst), "cpu"), 1000,
	       "an init container's request counts when it is larger");
	is_int(qos_pod_request(doc_root(burst), "memory"), 64 << 20, "memory request");
	qos_pod_limits(doc_root(guar), &l);
	is_int(l.cpu_quota_us, 50000, "cpu quota of the pod");
	is_int(l.memory_max, 1LL << 30, "memory limit of the pod");
	qos_pod_limits(doc_root(burst), &l);
	is_int(l.cpu_quota_us, 0, "no quota unless all containers have one");
	is_int((long long)qos_cpu_weight(1000), 100, "one cpu is weight 100");
	is_int((long long)qos_cpu_weight(0), 1, "none is weight 1");
	is_int((long long)qos_cpu_weight(300000), 10000, "the top");
	is_int(oom_adj("{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":1,\"memory\":1}}}]}", 0, 4), -997,
	       "oom: guaranteed");
	is_int(oom_adj("{\"containers\":[{}]}", 0, 4), 1000, "oom: best effort");
	is_int(oom_adj("{\"containers\":[{\"resources\":{\"requests\":{\"memory\":1}}}]}", 0, 4), 750,
	       "oom: burstable by share");
	is_int(oom_adj("{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":1}}}]}", 0, 4), 999,
	       "oom: burstable without memory");
	is_int(oom_adj("{\"containers\":[{\"resources\":{\"requests\":{\"memory\":8}}}]}", 0, 4), 3,
	       "oom: burstable, least");
	is_int(oom_adj("{\"priorityClassName\":\"system-node-critical\",\"containers\":[{}]}", 0, 4), -997,
	       "oom: critical for the node");
	is_int(oom_adj("{\"priorityClassName\":\"system-cluster-critical\",\"containers\":[{}]}", 0, 4), 1000,
	       "oom: critical for the cluster makes no difference");
	is_int(oom_adj("{\"resources\":{\"requests\":{\"memory\":6}},\"containers\":"
		       "[{\"resources\":{\"requests\":{\"memory\":2}}},{}]}", 0, 8), 500,
	       "oom: what the pod asks for beyond its containers, in equal parts");
	is_int(oom_adj("{\"containers\":[{\"resources\":{\"requests\":{\"memory\":2}}}],\"initContainers\":"
		       "[{\"restartPolicy\":\"Always\"}]}", 1, 8), 750, "oom: a sidecar as the least of the others");
	doc_unref(best);
	doc_unref(burst);
	doc_unref(guar);
}

static void test_files(void)
{
	struct doc *d = parse("{\"aliases\":[{\"ip\":\"1.2.3.4\",\"hostnames\":[\"a\",\"b\"]}],"
			      "\"dns\":{\"nameservers\":[\"9.9.9.9\"],\"searches\":[\"x.y\"],\"options\":[{"
			      "\"name\":\"ndots\",\"value\":\"2\"},{\"name\":\"edns0\"}]}}");
	struct buf b = BUF_INIT;
	struct resolv r = {
		.policy = "ClusterFirst",
		.ns = "ns1",
		.dns = "10.43.0.10",
		.domain = "cluster.local",
		.host = STR_LIT("# x\nnameserver 8.8.8.8\nsearch corp.example\noptions timeout:1\n")};

	files_hosts(&b, "10.42.0.9", "", "web", "web.sub.ns1.svc.cluster.local",
		    node_getc(doc_root(d), "aliases"));
	ok(strstr(b.s, "10.42.0.9\tweb.sub.ns1.svc.cluster.local\tweb\n") && strstr(b.s, "1.2.3.4\ta\tb\n"),
	   "/etc/hosts");
	buf_clear(&b);
	files_resolv(&b, &r);
	is_str(b.s,
	       "search ns1.svc.cluster.local svc.cluster.local cluster.local corp.example\nnameserver "
	       "10.43.0.10\n"
	       "options ndots:5\n",
	       "ClusterFirst");
	buf_clear(&b);
	r.host_network = true;
	files_resolv(&b, &r);
	is_str(b.s, "search corp.example\nnameserver 8.8.8.8\noptions timeout:1\n",
	       "ClusterFirst on the host's network is Default");
	buf_clear(&b);
	r.policy = "None";
	r.config = node_getc(doc_root(d), "dns");
	files_resolv(&b, &r);
	is_str(b.s, "search x.y\nnameserver 9.9.9.9\noptions ndots:2 edns0\n", "None with dnsConfig");
	buf_release(&b);
	doc_unref(d);
}

static void is_file(const char *path, const char *want, const char *what)
{
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	int r = path_read(path, 4096, &b, &e);

	is_str(r == 0 ? b.s : err_msg(&e), want, what);
	buf_release(&b);
	err_release(&e);
}

static void test_writer(void)
{
	char *d = path_join(dir, "w"), *a = path_join(d, "a"), *b = path_join(d, "b"),
	     *data = path_join(d, "..data");
	struct payload p = {0};
	struct err e = ERR_INIT;
	char link1[256] = "", link2[256] = "";
	struct stat st;

	payload_add(&p, "a", "one", 3, 0640);
	payload_add(&p, "sub/b", "two", 3, 0644);
	is_int(writer_write(d, &p, -1, -1, &e), 0, "written");
	is_file(a, "one", "a file");
	ok(stat(a, &st) == 0 && (st.st_mode & 0777) == 0640, "its mode");
	ok(readlink(data, link1, sizeof(link1) - 1) > 0 && starts_with(link1, ".."), "..data is a link");
	is_int(writer_write(d, &p, -1, -1, &e), 0, "again");
	ok(readlink(data, link2, sizeof(link2) - 1) > 0 && streq(link1, link2),
	   "nothing is written when nothing changed");
	payload_release(&p);
	payload_add(&p, "b", "new", 3, 0644);
	is_int(writer_write(d, &p, -1, -1, &e), 0, "another payload");
	is_file(b, "new", "the new file");
	ok(!path_exists(a), "the old one is gone");
	payload_add(&p, "../evil", "x", 1, 0644);
	ok(writer_write(d, &p, -1, -1, &e) < 0, "no way out of the directory");
	err_release(&e);
	payload_release(&p);
	free(a);
	free(b);
	free(d);
	free(data);
}

static void test_pull_policy(void)
{
	ok(pull_policy_needs("Always", "a:1", true) && !pull_policy_needs("Never", "a", false) &&
		   !pull_policy_needs("IfNotPresent", "a", true) &&
		   pull_policy_needs("IfNotPresent", "a", false),
	   "pull policies");
	ok(pull_policy_needs("", "h:5000/a", true) && !pull_policy_needs("", "h:5000/a:1", true),
	   "an undefaulted one goes by the tag");
}

static void test_status_changed(void)
{
	struct doc *a =
		parse("{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastProbeTime\":null}],"
		      "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"exitCode\":1,"
		      "\"startedAt\":null}}}]}");
	struct doc *b = parse(
		"{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
		"\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"exitCode\":1}}}]}");
	struct doc *c = parse(
		"{\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"exitCode\":2}}}]}");

	ok(!status_changed(doc_root(a), doc_root(b)), "a null is no difference");
	ok(status_changed(doc_root(a), doc_root(c)), "another exit code is");
	doc_unref(a);
	doc_unref(b);
	doc_unref(c);
}

/* --- lives of pods --- */

static struct obj *pod(const char *name)
{
	return fake_get(fake.pods, "default", name);
}

static const struct node *st(const char *name)
{
	struct obj *o = pod(name);

	return o ? node_get(obj_node(o), F_status) : NULL;
}

static const char *phase(const char *name)
{
	return node_gets(st(name), F_phase);
}

static const struct node *ctr_st(const char *name, const char *ctr)
{
	const struct node *c = node_named(node_get(st(name), F_containerStatuses), ctr);

	return c ? c : node_named(node_get(st(name), F_initContainerStatuses), ctr);
}

static bool ready(const char *name)
{
	return cond_is_true(node_get(st(name), F_conditions), "Ready");
}

static struct obj *make_pod(const char *name, const char *spec)
{
	_cleanup_free_ char *json =
		xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\","
			  "\"namespace\":\"default\",\"generation\":1},"
			  "\"spec\":{\"nodeName\":\"n1\",\"terminationGracePeriodSeconds\":30,%s}}",
			  name, spec);

	return fake_create(fake.pods, json);
}

static void delete_pod(const char *name, int grace)
{
	_cleanup_free_ char *p = xasprintf("{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
					   "\"deletionGracePeriodSeconds\":%d}}",
					   grace);

	fake_change(pod(name), p);
}

static void test_simple_life(void)
{
	unsigned before;

	fake.pod_patches = 0;
	make_pod("web",
		 "\"containers\":[{\"name\":\"b\",\"image\":\"app:1\",\"args\":[\"$(WHO)\"],\"env\":[{"
		 "\"name\":\"WHO\",\"valueFrom\":"
		 "{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}}]},{\"name\":\"a\",\"image\":\"app:1\"}]");
	fake_settle(60);
	is_str(phase("web"), "Running", "a pod runs");
	ok(ready("web"), "and is ready");
	is_int(fake.pod_patches, 1, "one status patch was enough");
	is_str(node_gets(node_first(node_get(st("web"), F_containerStatuses)), F_name), "a",
	       "statuses are sorted by name");
	is_str(node_gets(st("web"), F_podIP), "10.42.0.5", "podIP");
	is_str(node_gets(st("web"), F_qosClass), "BestEffort", "qosClass");
	is_str(fake.cgroup, "kubepods/besteffort", "cgroup of its class");
	ok(strstr(fake.events.s, "Normal web spec.containers{b} Pulled: Container image \"app:1\" already "
				 "present on machine and can be accessed by the pod\n") &&
		   strstr(fake.events.s, "Normal web spec.containers{b} Created: Container created\n") &&
		   strstr(fake.events.s, "Normal web spec.containers{b} Started: Container started\n"),
	   "events");
	before = fake.pod_patches;
	fake_settle(150);
	is_int(fake.pod_patches, before, "nothing is told when nothing changes");
	fake_exit(pod("web")->uid, "a", 3);
	fake_settle(60);
	is_int(node_int(node_get(ctr_st("web", "a"), F_restartCount), -1), 1,
	       "restarted at once after the first end");
	is_int(node_int(node_path(ctr_st("web", "a"), F_lastState, F_terminated, F_exitCode), -1), 3,
	       "lastState");
	fake_exit(pod("web")->uid, "a", 0);
	fake_settle(60);
	is_str(node_gets(node_path(ctr_st("web", "a"), F_state, F_waiting), F_reason), "CrashLoopBackOff",
	       "then CrashLoopBackOff");
	ok(starts_with(node_gets(node_path(ctr_st("web", "a"), F_state, F_waiting), F_message),
		       "back-off 10s restarting failed container=a pod=web_default("),
	   "its message");
	is_str(phase("web"), "Running", "the phase stays Running");
	is_str(node_gets(cond_find(node_get(st("web"), F_conditions), "Ready"), F_message),
	       "containers with unready status: [a]", "condition Ready says why");
	delete_pod("web", 7);
	fake_settle(60);
	is_str(fake.stops.s, "b 7\n", "what runs is stopped with the grace");
	ok(!pod("web") && fake_sandboxes() == 0, "and the object goes");
}

static void test_run_to_end(void)
{
	make_pod("job",
		 "\"restartPolicy\":\"Never\",\"initContainers\":[{\"name\":\"i\",\"image\":\"app:1\"},"
		 "{\"name\":\"s\",\"image\":\"app:1\",\"restartPolicy\":\"Always\"}],\"containers\":[{"
		 "\"name\":\"m\",\"image\":\"app:1\"}]");
	fake_settle(60);
	is_str(phase("job"), "Pending", "waits for its init containers");
	is_str(node_gets(node_path(ctr_st("job", "m"), F_state, F_waiting), F_reason), "PodInitializing",
	       "PodInitializing");
	is_str(node_gets(cond_find(node_get(st("job"), F_conditions), "Initialized"), F_message),
	       "containers with incomplete status: [i s]", "condition Initialized");
	fake_exit(pod("job")->uid, "i", 0);
	fake_settle(60);
	is_str(phase("job"), "Running", "runs after them");
	buf_clear(&fake.stops);
	fake_exit(pod("job")->uid, "m", 0);
	fake_settle(150);
	is_str(fake.stops.s, "s 30\n", "the sidecar is stopped behind the last container");
	is_str(phase("job"), "Succeeded", "Succeeded");
	is_str(node_gets(cond_find(node_get(st("job"), F_conditions), "Ready"), F_reason), "PodCompleted",
	       "PodCompleted");
	is_str(node_gets(node_path(ctr_st("job", "m"), F_state, F_terminated), F_reason), "Completed",
	       "Completed");
	is_int((long long)fake_sandboxes(), 0, "its sandbox is gone");
	make_pod("bad", "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"m\",\"image\":\"app:1\"}]");
	fake_settle(60);
	fake_exit(pod("bad")->uid, "m", 2);
	fake_settle(150);
	is_str(phase("bad"), "Failed", "Failed");
	delete_pod("bad", 0);
	delete_pod("job", 0);
	fake_settle(60);
	ok(!pod("bad") && !pod("job"), "ended pods are deleted at once");
}

static void test_waits(void)
{
	make_pod("never",
		 "\"containers\":[{\"name\":\"m\",\"image\":\"missing\",\"imagePullPolicy\":\"Never\"}]");
	make_pod("pull", "\"containers\":[{\"name\":\"m\",\"image\":\"missing\",\"imagePullPolicy\":"
			 "\"IfNotPresent\"}]");
	make_pod("name", "\"containers\":[{\"name\":\"m\",\"image\":\"BAD\"}]");
	make_pod("cfg", "\"containers\":[{\"name\":\"m\",\"image\":\"app:1\",\"env\":[{\"name\":\"A\","
			"\"valueFrom\":{\"configMapKeyRef\":"
			"{\"name\":\"cm\",\"key\":\"k\"}}}]}]");
	make_pod("vol", "\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"cm2\"}}],"
			"\"containers\":[{\"name\":\"m\",\"image\":\"app:1\",\"volumeMounts\":[{\"name\":"
			"\"v\",\"mountPath\":\"/v\"}]}]");
	fake_settle(150);
	is_str(node_gets(node_path(ctr_st("never", "m"), F_state, F_waiting), F_reason), "ErrImageNeverPull",
	       "ErrImageNeverPull");
	is_str(node_gets(node_path(ctr_st("pull", "m"), F_state, F_waiting), F_reason), "ErrImagePull",
	       "ErrImagePull");
	is_str(node_gets(node_path(ctr_st("name", "m"), F_state, F_waiting), F_reason), "InvalidImageName",
	       "InvalidImageName");
	is_str(node_gets(node_path(ctr_st("cfg", "m"), F_state, F_waiting), F_reason),
	       "CreateContainerConfigError", "CreateContainerConfigError");
	is_str(node_gets(node_path(ctr_st("cfg", "m"), F_state, F_waiting), F_message),
	       "configmap \"cm\" not found", "its message");
	is_str(node_gets(node_path(ctr_st("vol", "m"), F_state, F_waiting), F_reason), "ContainerCreating",
	       "ContainerCreating");
	ok(strstr(fake.events.s, "Warning vol - FailedMount: MountVolume.SetUp failed for volume \"v\" : "
				 "configmap \"cm2\" not found\n"),
	   "FailedMount");
	fake_create(schema_res("", "configmaps"),
		    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cm\","
		    "\"namespace\":\"default\"},\"data\":{\"k\":\"v1\"}}");
	fake_settle(60);
	ok(ready("cfg") && strstr(fake.spec.s, "env A=v1\n"), "goes on when the ConfigMap appears");
	fake_create(schema_res("", "configmaps"),
		    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cm2\","
		    "\"namespace\":\"default\"},\"data\":{\"k\":\"v2\"}}");
	fake_settle(60);
	ok(ready("vol"), "so does a volume");
	{
		char *f = xasprintf("%s/agent/files/%s/volumes/kubernetes.io~configmap/v/k", dir,
				    pod("vol")->uid);

		is_file(f, "v2", "the file");
		fake_change(fake_get(schema_res("", "configmaps"), "default", "cm2"),
			    "{\"data\":{\"k\":\"v3\"}}");
		fake_settle(30);
		is_file(f, "v3", "and it follows changes");
		free(f);
	}
	for (const char *const *p = (const char *const[]){"never", "pull", "name", "cfg", "vol", NULL}; *p;
	     p++)
		delete_pod(*p, 1);
	for (int i = 0; i < 100 && (pod("never") || pod("pull") || pod("name") || pod("cfg") || pod("vol")); i++)
		fake_settle(100); /* a thread removes their volumes */
	ok(!pod("never") && !pod("pull") && !pod("name") && !pod("cfg") && !pod("vol"), "all are deleted");
}

static void test_start_errors(void)
{
	fake.start_error = "exec: \"/nope\": no such file or directory";
	fake.start_kind = "RunContainerError";
	make_pod("x", "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"m\",\"image\":\"app:1\"}]");
	fake_settle(150);
	is_str(phase("x"), "Failed", "a container that cannot start fails its pod");
	is_str(node_gets(node_path(ctr_st("x", "m"), F_state, F_terminated), F_reason), "StartError",
	       "StartError");
	is_int(node_int(node_path(ctr_st("x", "m"), F_state, F_terminated, F_exitCode), 0), 128, "code 128");
	fake.start_error = NULL;
	delete_pod("x", 0);
	make_pod("res", "\"containers\":[{\"name\":\"m\",\"image\":\"app:1\",\"resources\":{\"requests\":{"
			"\"cpu\":\"9999\"}}}]");
	fake_settle(60);
	is_str(phase("res"), "Failed", "more than the node has is refused");
	is_str(node_gets(st("res"), F_reason), "OutOfcpu", "OutOfcpu");
	delete_pod("res", 0);
	make_pod("root", "\"securityContext\":{\"runAsNonRoot\":true},\"containers\":[{\"name\":\"m\","
			 "\"image\":\"app:1\"}]");
	fake_settle(60);
	ok(starts_with(node_gets(node_path(ctr_st("root", "m"), F_state, F_waiting), F_message),
		       "container has runAsNonRoot and image will run as root (pod: \"root_default("),
	   "runAsNonRoot");
	delete_pod("root", 0);
	fake_settle(60);
}

static void test_lost_sandbox(void)
{
	make_pod("l", "\"containers\":[{\"name\":\"m\",\"image\":\"app:1\"}]");
	fake_settle(60);
	fake_lose(pod("l")->uid);
	fake_settle(60);
	ok(ready("l"), "a lost sandbox is made again");
	is_int(node_int(node_get(ctr_st("l", "m"), F_restartCount), -1), 1, "its containers are restarted");
	ok(strstr(fake.events.s, "SandboxChanged: Pod sandbox changed, it will be killed and re-created.\n"),
	   "SandboxChanged");
	fake_remove(pod("l"));
	fake_settle(60);
	is_int((long long)fake_sandboxes(), 0, "a pod that vanished is taken down");
}

static void new_agent(void)
{
	_cleanup_free_ char *state = path_join(dir, "agent");
	struct node_config cfg = {.loop = fake.loop,
				  .name = "n1",
				  .ip = "192.0.2.1",
				  .state_dir = state,
				  .version = "v1.36.2",
				  .service_host = "10.43.0.1",
				  .service_port = 443,
				  .net = (struct net *)&fake};
	struct err e = ERR_INIT;

	if (agent_new(&fake.agent, &cfg, &e) < 0)
		printf("Bail out! %s\n", err_msg(&e));
	agent_start(fake.agent);
	fake_settle(30);
}

static void test_adopt(void)
{
	char *uid;

	make_pod(
		"keep",
		"\"containers\":[{\"name\":\"m\",\"image\":\"app:1\"},{\"name\":\"n\",\"image\":\"app:1\"}]");
	make_pod("gone", "\"containers\":[{\"name\":\"m\",\"image\":\"app:1\"}]");
	fake_settle(60);
	uid = xstrdup(pod("keep")->uid);
	is_int((long long)fake_sandboxes(), 2, "two pods run");
	fake.agent = agent_free(fake.agent);
	fake_remove(pod("gone"));
	fake.started = 0;
	new_agent();
	fake_settle(60);
	is_int(fake.started, 0, "a new agent starts nothing that runs");
	is_int((long long)fake_sandboxes(), 1, "and removes what has no pod");
	ok(ready("keep"), "the pod is ready still");
	fake_exit(uid, "n", 1);
	fake_settle(60);
	is_int(node_int(node_get(ctr_st("keep", "n"), F_restartCount), -1), 1,
	       "and its containers are restarted as ever");
	delete_pod("keep", 1);
	fake_settle(60);
	ok(!pod("keep") && fake_sandboxes() == 0, "and deleted");
	free(uid);
}

static void test_node(void)
{
	struct obj *o = fake_get(schema_res("", "nodes"), NULL, "n1");
	const struct node *s = node_get(obj_node(o), F_status);

	ok(cond_is_true(node_get(s, F_conditions), "Ready"), "the node is Ready");
	is_str(meta_label(obj_node(o), "kubernetes.io/hostname"), "n1", "its labels");
	is_str(node_path(s, F_nodeInfo, F_kubeletVersion)->u.s, "v1.36.2", "its version");
	ok(fake_get(schema_res("coordination.k8s.io", "leases"), "kube-node-lease", "n1"), "its lease");
}

int main(void)
{
	struct err e = ERR_INIT;

	if (!mkdtemp(dir))
		return 1;
	log_threshold = LOG_ERROR;
	test_backoff();
	test_expand();
	test_qos();
	test_pod_level();
	test_files();
	test_writer();
	test_pull_policy();
	test_status_changed();
	fake.loop = loop_new();
	fake.pods = schema_res("", "pods");
	buf_init(&fake.events);
	buf_init(&fake.spec);
	buf_init(&fake.stops);
	new_agent();
	test_node();
	test_simple_life();
	test_run_to_end();
	test_waits();
	test_start_errors();
	test_lost_sandbox();
	test_adopt();
	fake.agent = agent_free(fake.agent);
	fake_end();
	loop_free(fake.loop);
	if (path_remove_tree(dir, &e) < 0)
		printf("# %s\n", err_msg(&e));
	return done_testing();
}
