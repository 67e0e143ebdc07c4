/*
 * What the schema says to clients: table rows, discovery, OpenAPI.
 */
#include "base/time.h"
#include "schema/schema.h"
#include "tap.h"

#define NOW 1800000000LL /* 2027-01-15T08:00:00Z */

static const struct schema_res *res(const char *group, const char *plural)
{
	return (const struct schema_res *)schema_res(group, plural);
}

static struct doc *parse(const char *json)
{
	struct doc_json_opts opts = {.max_bytes = 16u << 20};
	struct doc *d = NULL;
	struct err e = ERR_INIT;

	if (doc_parse_json(&d, str_of(json), &opts, &e) < 0) {
		printf("# %s: %.200s\n", err_msg(&e), json);
		err_release(&e);
	}
	return d;
}

static void cells_of(const struct schema_res *r, const char *json, struct buf *out)
{
	_cleanup_doc_ struct doc *d = parse(json);

	buf_clear(out);
	schema_table_cells(r, doc_root(d), NOW, out);
}

static void check_row(const char *group, const char *plural, const char *json, const char *want,
		      const char *what)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_buf_ struct buf full = BUF_INIT;

	cells_of(res(group, plural), json, &b);
	buf_addf(&full, "\"cells\":%s", want);
	is_str(b.s, full.s, what);
}

#define META(name)                                                                                           \
	"\"metadata\":{\"name\":\"" name                                                                     \
	"\",\"namespace\":\"default\",\"creationTimestamp\":\"2027-01-15T07:55:00Z\"}"
#define POD_TAIL ",\"10.1.0.5\",\"n1\",\"<none>\",\"<none>\"]"

static void pod_row(const char *spec, const char *status, const char *want, const char *what)
{
	_cleanup_buf_ struct buf json = BUF_INIT;
	_cleanup_buf_ struct buf cells = BUF_INIT;

	buf_addf(&json,
		 "{" META("p") ",\"spec\":{\"nodeName\":\"n1\",%s},\"status\":{\"podIPs\":[{\"ip\":\"10.1.0."
			       "5\"}],%s}}",
		 spec, status);
	buf_addf(&cells, "[\"p\",%s,\"5m\"" POD_TAIL, want);
	check_row("", "pods", json.s, cells.s, what);
}

#define TWO "\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]"
#define RUN(name, ready)                                                                                     \
	"{\"name\":\"" name "\",\"ready\":" ready ",\"restartCount\":0,\"state\":{\"running\":{}}}"
#define INIT "\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}],"

static void test_pods(void)
{
	pod_row(TWO, "\"phase\":\"Pending\"", "\"0/2\",\"Pending\",\"0\"", "a pod that waits");
	pod_row(TWO,
		"\"phase\":\"Running\",\"containerStatuses\":[" RUN("a", "true") "," RUN("b", "false") "]",
		"\"1/2\",\"Running\",\"0\"", "one of two is ready");
	pod_row(TWO,
		"\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"a\",\"restartCount\":3,\"state\":"
		"{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{\"exitCode\":"
		"1,"
		"\"finishedAt\":\"2027-01-15T07:58:00Z\"}}}," RUN("b", "true") "]",
		"\"1/2\",\"CrashLoopBackOff\",\"3 (2m ago)\"", "a container that keeps failing");
	pod_row(TWO,
		"\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}],"
		"\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":"
		"\"Completed\"}}}," RUN("b", "true") "]",
		"\"1/2\",\"NotReady\",\"0\"", "one is done and one runs");
	pod_row(TWO,
		"\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":"
		"{\"exitCode\":137,\"signal\":9}}},{\"name\":\"b\",\"state\":{\"terminated\":{\"exitCode\":2}"
		"}}]",
		"\"0/2\",\"Signal:9\",\"0\"", "the first container has the last word");
	pod_row(INIT TWO,
		"\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"terminated\":"
		"{\"exitCode\":0}}},{\"name\":\"j\",\"state\":{\"running\":{}}}]",
		"\"0/2\",\"Init:1/2\",\"0\"", "the second init container runs");
	pod_row(INIT TWO,
		"\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"restartCount\":2,"
		"\"state\":{\"terminated\":{\"exitCode\":1,\"reason\":\"Error\"}}}]",
		"\"0/2\",\"Init:Error\",\"2\"", "an init container failed");
	pod_row(INIT TWO,
		"\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"waiting\":"
		"{\"reason\":\"ImagePullBackOff\"}}}]",
		"\"0/2\",\"Init:ImagePullBackOff\",\"0\"", "its image is missing");
	pod_row("\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\"}]," TWO,
		"\"phase\":\"Running\",\"initContainerStatuses\":[{\"name\":\"s\",\"ready\":true,\"started\":"
		"true,"
		"\"restartCount\":1,\"state\":{\"running\":{}}}],\"containerStatuses\":[" RUN(
			"a", "true") "," RUN("b", "true") "]",
		"\"3/3\",\"Running\",\"1\"", "a sidecar counts");
	pod_row(TWO, "\"phase\":\"Pending\",\"reason\":\"Evicted\"", "\"0/2\",\"Evicted\",\"0\"",
		"the pod's own reason");
	pod_row(TWO,
		"\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
		"\"reason\":\"SchedulingGated\"}]",
		"\"0/2\",\"SchedulingGated\",\"0\"", "a gate");
	check_row(
		"", "pods",
		"{\"metadata\":{\"name\":\"p\",\"deletionTimestamp\":\"2027-01-15T08:00:10Z\"},\"spec\":{" TWO
		",\"readinessGates\":[{\"conditionType\":\"x\"},{\"conditionType\":\"y\"}]},\"status\":{"
		"\"phase\":"
		"\"Running\",\"conditions\":[{\"type\":\"x\",\"status\":\"True\"}]}}",
		"[\"p\",\"0/2\",\"Terminating\",\"0\",\"<unknown>\",\"<none>\",\"<none>\",\"<none>\",\"1/"
		"2\"]",
		"a pod on its way out");
}

static void test_completed(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	cells_of(res("", "pods"), "{\"metadata\":{\"name\":\"p\"},\"status\":{\"phase\":\"Succeeded\"}}", &b);
	ok(strstr(b.s,
		  ",\"conditions\":[{\"type\":\"Completed\",\"status\":\"True\",\"reason\":\"Succeeded\""),
	   "a row says that its pod has ended");
}

static void test_core_rows(void)
{
	check_row("", "nodes",
		  "{\"metadata\":{\"name\":\"n\",\"creationTimestamp\":\"2027-01-15T07:59:58Z\",\"labels\":{"
		  "\"node-role.kubernetes.io/worker\":\"\",\"node-role.kubernetes.io/"
		  "control-plane\":\"\"}},\"spec\":"
		  "{\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
		  "\"True\"}],"
		  "\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.0.0.2\"}],\"nodeInfo\":{"
		  "\"kubeletVersion\":"
		  "\"v1.36.2\",\"osImage\":\"Debian\",\"kernelVersion\":\"6.1.0\",\"architecture\":\"arm64\","
		  "\"containerRuntimeVersion\":\"kinglet://1\"}}}",
		  "[\"n\",\"Ready,SchedulingDisabled\",\"control-plane,worker\",\"2s\",\"v1.36.2\",\"10.0.0."
		  "2\",\"<none>\","
		  "\"Debian\",\"6.1.0 (arm64)\",\"kinglet://1\"]",
		  "a node");
	check_row("", "services",
		  "{" META("s") ",\"spec\":{\"type\":\"LoadBalancer\",\"clusterIPs\":[\"10.9.0.1\"],"
				"\"ports\":[{\"port\":80,\"nodePort\":30080,\"protocol\":\"TCP\"},{\"port\":"
				"53,\"protocol\":\"UDP\"}],"
				"\"selector\":{\"b\":\"2\",\"a\":\"1\"}}}",
		  "[\"s\",\"LoadBalancer\",\"10.9.0.1\",\"<pending>\",\"80:30080/TCP,53/"
		  "UDP\",\"5m\",\"a=1,b=2\"]",
		  "a service");
	check_row("", "services",
		  "{" META("s") ",\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.org\"}}",
		  "[\"s\",\"ExternalName\",\"<none>\",\"x.org\",\"<none>\",\"5m\",\"<none>\"]",
		  "a name for a service");
	check_row("", "endpoints",
		  "{" META("e") ",\"subsets\":[{\"addresses\":[{\"ip\":\"1.1.1.1\"},{\"ip\":\"::2\"},"
				"{\"ip\":\"1.1.1.3\"},{\"ip\":\"1.1.1.4\"}],\"ports\":[{\"port\":80}]}]}",
		  "[\"e\",\"1.1.1.1:80,[::2]:80,1.1.1.3:80 + 1 more...\",\"5m\"]", "endpoints");
	check_row("", "events",
		  "{" META("x") ",\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\"},\"type\":\"Normal\","
				"\"reason\":\"Started\",\"message\":\" hi "
				"\\n\",\"source\":{\"component\":\"kubelet\",\"host\":\"n1\"},"
				"\"firstTimestamp\":\"2027-01-15T07:00:00Z\",\"lastTimestamp\":\"2027-01-"
				"15T07:59:00Z\",\"count\":4}",
		  "[\"60s\",\"Normal\",\"Started\",\"pod/p\",\"\",\"kubelet, n1\",\"hi\",\"60m\",4,\"x\"]",
		  "an event");
	check_row("events.k8s.io", "events",
		  "{" META("x") ",\"regarding\":{\"kind\":\"Pod\",\"name\":\"p\"},\"type\":"
				"\"Normal\",\"reason\":\"R\",\"note\":\"n\",\"reportingController\":\"c\","
				"\"eventTime\":"
				"\"2027-01-15T07:59:00.000000Z\"}",
		  "[\"60s\",\"Normal\",\"R\",\"pod/p\",\"\",\"c\",\"n\",\"60s\",1,\"x\"]",
		  "an event of the newer group");
	check_row("", "secrets", "{" META("s") ",\"type\":\"Opaque\",\"data\":{\"a\":\"\",\"b\":\"\"}}",
		  "[\"s\",\"Opaque\",2,\"5m\"]", "a secret");
	check_row("", "resourcequotas",
		  "{" META("q") ",\"status\":{\"hard\":{\"pods\":\"10\",\"limits.cpu\":\"2\","
				"\"cpu\":\"1\"},\"used\":{\"pods\":\"3\",\"cpu\":\"500m\"}}}",
		  "[\"q\",\"cpu: 500m/1, pods: 3/10\",\"limits.cpu: 0/2\",\"5m\"]", "a quota");
	check_row("", "persistentvolumeclaims",
		  "{" META("c") ",\"spec\":{\"volumeName\":\"v\",\"storageClassName\":\"s\","
				"\"volumeMode\":\"Filesystem\"},\"status\":{\"phase\":\"Bound\","
				"\"accessModes\":[\"ReadWriteMany\","
				"\"ReadWriteOnce\"],\"capacity\":{\"storage\":\"1Gi\"}}}",
		  "[\"c\",\"Bound\",\"v\",\"1Gi\",\"RWO,RWX\",\"s\",\"<unset>\",\"5m\",\"Filesystem\"]",
		  "a claim");
	check_row("", "limitranges", "{" META("l") "}", "[\"l\",\"2027-01-15T07:55:00Z\"]",
		  "a kind without columns");
	check_row("", "namespaces",
		  "{\"metadata\":{\"name\":\"n\",\"creationTimestamp\":\"2027-01-15T08:10:00Z\"},"
		  "\"status\":{\"phase\":\"Active\"}}",
		  "[\"n\",\"Active\",\"<invalid>\"]", "made in the future");
}

#define TEMPLATE                                                                                             \
	"\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"spec\":{\"containers\":"               \
	"[{\"name\":\"c\",\"image\":\"i:1\"},{\"name\":\"d\",\"image\":\"j\"}]}}"

static void test_workload_rows(void)
{
	check_row("apps", "deployments",
		  "{" META("d") ",\"spec\":{\"replicas\":3," TEMPLATE "},\"status\":{\"readyReplicas\":2,"
				"\"updatedReplicas\":3,\"availableReplicas\":1}}",
		  "[\"d\",\"2/3\",3,1,\"5m\",\"c,d\",\"i:1,j\",\"a=b\"]", "a deployment");
	check_row("apps", "daemonsets",
		  "{" META("d") ",\"spec\":{" TEMPLATE "},\"status\":{\"numberReady\":2}}",
		  "[\"d\",0,0,2,0,0,\"<none>\",\"5m\",\"c,d\",\"i:1,j\",\"a=b\"]", "a daemon set");
	check_row("batch", "jobs",
		  "{" META("j") ",\"spec\":{\"parallelism\":2," TEMPLATE "},\"status\":{\"succeeded\":1,"
				"\"startTime\":\"2027-01-15T07:50:00Z\"}}",
		  "[\"j\",\"Running\",\"1/1 of 2\",\"10m\",\"5m\",\"c,d\",\"i:1,j\",\"a=b\"]", "a job");
	check_row("batch", "cronjobs",
		  "{" META("j") ",\"spec\":{\"schedule\":\"* * * * *\",\"suspend\":false,\"jobTemplate\":"
				"{\"spec\":{}}}}",
		  "[\"j\",\"* * * * *\",\"<none>\",\"False\",0,\"<none>\",\"5m\",\"\",\"\",\"<none>\"]",
		  "a cron job");
	check_row("autoscaling", "horizontalpodautoscalers",
		  "{" META("h") ",\"spec\":{\"scaleTargetRef\":{\"kind\":"
				"\"Deployment\",\"name\":\"d\"},\"maxReplicas\":4,\"metrics\":[{\"type\":"
				"\"Resource\",\"resource\":{\"name\":"
				"\"cpu\",\"target\":{\"averageUtilization\":80}}},{\"type\":\"Pods\","
				"\"pods\":{\"target\":{\"averageValue\":"
				"\"10\"}}}]},\"status\":{\"currentReplicas\":2,\"currentMetrics\":[{\"type\":"
				"\"Resource\",\"resource\":"
				"{\"current\":{\"averageUtilization\":20}}}]}}",
		  "[\"h\",\"Deployment/d\",\"cpu: 20%/80%, <unknown>/10\",\"<unset>\",4,2,\"5m\"]",
		  "an autoscaler");
	check_row("policy", "poddisruptionbudgets",
		  "{" META("b") ",\"spec\":{\"minAvailable\":\"50%\",\"maxUnavailable\":1},"
				"\"status\":{\"disruptionsAllowed\":1}}",
		  "[\"b\",\"50%\",\"1\",1,\"5m\"]", "a budget");
	check_row("apps", "controllerrevisions",
		  "{\"metadata\":{\"name\":\"r\",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\","
		  "\"kind\":\"StatefulSet\",\"name\":\"s\",\"controller\":true}]},\"revision\":3}",
		  "[\"r\",\"statefulset.apps/s\",3,\"<unknown>\"]", "a revision");
}

static void test_cluster_rows(void)
{
	check_row("networking.k8s.io", "ingresses",
		  "{" META("i") ",\"spec\":{\"rules\":[{\"host\":\"a\"},{\"host\":\"b\"},"
				"{\"host\":\"c\"},{\"host\":\"d\"},{}],\"tls\":[{}]},\"status\":{"
				"\"loadBalancer\":{\"ingress\":[{\"ip\":"
				"\"9.9.9.9\"},{\"hostname\":\"h\"}]}}}",
		  "[\"i\",\"<none>\",\"a,b,c + 2 more...\",\"9.9.9.9,h\",\"80, 443\",\"5m\"]", "an ingress");
	check_row("rbac.authorization.k8s.io", "rolebindings",
		  "{" META("b") ",\"roleRef\":{\"kind\":\"Role\",\"name\":\"r\"},"
				"\"subjects\":[{\"kind\":\"User\",\"name\":\"u\"},{\"kind\":"
				"\"ServiceAccount\",\"namespace\":\"n\",\"name\":\"s\"},"
				"{\"kind\":\"User\",\"name\":\"v\"}]}",
		  "[\"b\",\"Role/r\",\"5m\",\"u, v\",\"\",\"n/s\"]", "a role binding");
	check_row("storage.k8s.io", "storageclasses",
		  "{\"metadata\":{\"name\":\"s\",\"annotations\":{"
		  "\"storageclass.kubernetes.io/is-default-class\":\"true\"}},\"provisioner\":\"p\"}",
		  "[\"s (default)\",\"p\",\"Delete\",\"Immediate\",false,\"<unknown>\"]",
		  "the default storage class");
	check_row("admissionregistration.k8s.io", "validatingadmissionpolicybindings",
		  "{" META("b") ",\"spec\":{"
				"\"policyName\":\"p\",\"paramRef\":{\"selector\":{\"matchLabels\":{\"a\":"
				"\"b\"}}}}}",
		  "[\"b\",\"p\",\"&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:"
		  "[]LabelSelectorRequirement{},}\",\"5m\"]",
		  "a policy binding");
	check_row("discovery.k8s.io", "endpointslices",
		  "{" META("s") ",\"addressType\":\"IPv4\",\"ports\":[{\"port\":80},"
				"{\"name\":\"x\"}],\"endpoints\":[{\"addresses\":[\"1.1.1.1\"]}]}",
		  "[\"s\",\"IPv4\",\"80,x\",\"1.1.1.1\",\"5m\"]", "an endpoint slice");
	check_row("certificates.k8s.io", "certificatesigningrequests",
		  "{" META("c") ",\"spec\":{\"signerName\":\"s\","
				"\"username\":\"u\",\"expirationSeconds\":3600},\"status\":{\"conditions\":[{"
				"\"type\":\"Approved\"}],"
				"\"certificate\":\"eA==\"}}",
		  "[\"c\",\"5m\",\"s\",\"u\",\"60m\",\"Approved,Issued\"]", "a signing request");
}

/* Every resource, with nothing and with nonsense in it: as many cells as columns, and valid JSON. */
static void test_all_rows(void)
{
	static const char *const docs[] = {
		"{}",
		"[]",
		"null",
		"{\"metadata\":3,\"spec\":[1,{}],\"status\":\"x\",\"data\":[],\"subsets\":{\"a\":1},"
		"\"rules\":7}",
		"{\"metadata\":{\"name\":4,\"labels\":[1],\"creationTimestamp\":\"never\","
		"\"ownerReferences\":{}},"
		"\"spec\":{\"containers\":{\"a\":[]},\"rules\":{\"a\":null},\"ports\":\"x\",\"selector\":[{}]"
		",\"metrics\":[1],"
		"\"paramRef\":{\"selector\":[]}},\"status\":{\"conditions\":{\"a\":1},\"containerStatuses\":["
		"7,null,[]],"
		"\"hard\":[\"a\"],\"loadBalancer\":{\"ingress\":[3]}},\"endpoints\":[[1]],\"webhooks\":9}",
	};
	size_t bad = 0, rows = 0;

	for (size_t i = 0; i < schema_n_resources; i++) {
		const struct schema_res *r = &schema_resources[i];
		_cleanup_buf_ struct buf b = BUF_INIT;
		_cleanup_doc_ struct doc *cols = NULL;
		size_t n_cols;

		buf_adds(&b, "{");
		schema_table_columns(r, &b);
		buf_adds(&b, "}");
		cols = parse(b.s);
		n_cols = node_count(node_get(doc_root(cols), F_columnDefinitions));
		bad += n_cols < 2;
		for (size_t k = 0; k < ARRAY_SIZE(docs); k++) {
			_cleanup_doc_ struct doc *row = NULL;

			cells_of(r, docs[k], &b);
			buf_insert(&b, 0, "{", 1);
			buf_addch(&b, '}');
			row = parse(b.s);
			rows++;
			bad += node_count(node_getc(doc_root(row), "cells")) != n_cols;
		}
	}
	is_int((long long)bad, 0, "every resource's rows fit its columns, whatever is in the object");
	ok(rows > 300, "all resources were tried");
}

/* --- discovery --- */
static void test_discovery(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	schema_discovery_root(true, "10.0.0.1:6443", &b);
	is_str(b.s,
	       "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[{"
	       "\"clientCIDR\":"
	       "\"0.0.0.0/0\",\"serverAddress\":\"10.0.0.1:6443\"}]}\n",
	       "/api");
	buf_clear(&b);
	ok(schema_discovery_group(STR_LIT("autoscaling"), &b), "a group");
	is_str(b.s,
	       "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",\"name\":\"autoscaling\",\"versions\":[{"
	       "\"groupVersion\":"
	       "\"autoscaling/v2\",\"version\":\"v2\"},{\"groupVersion\":\"autoscaling/"
	       "v1\",\"version\":\"v1\"}],"
	       "\"preferredVersion\":{\"groupVersion\":\"autoscaling/v2\",\"version\":\"v2\"}}\n",
	       "/apis/autoscaling");
	buf_clear(&b);
	ok(!schema_discovery_group(STR_LIT("nope"), &b) && !schema_discovery_group(STR_LIT(""), &b) &&
		   !schema_discovery_group(STR_LIT("custom.metrics.k8s.io"), &b),
	   "no such groups");
	ok(!schema_discovery_version(STR_LIT("apps"), STR_LIT("v1alpha1"), &b), "a version that never was");
	ok(!b.len, "nothing was written for those");
	schema_discovery_root(false, "", &b);
	d = parse(b.s);
	is_str(node_gets(node_at(node_getc(doc_root(d), "groups"), 0), F_name), "apiregistration.k8s.io",
	       "first group");
	is_str(node_gets(node_at(node_getc(doc_root(d), "groups"), 1), F_name), "apps", "second group");
}

static void test_resource_list(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	ok(schema_discovery_version(STR_LIT(""), STR_LIT("v1"), &b), "/api/v1");
	ok(strstr(b.s, "{\"name\":\"pods\",\"singularName\":\"pod\",\"namespaced\":true,\"kind\":\"Pod\","
		       "\"verbs\":"
		       "[\"create\",\"delete\",\"deletecollection\",\"get\",\"list\",\"patch\",\"update\","
		       "\"watch\"],"
		       "\"shortNames\":[\"po\"],\"categories\":[\"all\"],\"storageVersionHash\":\"xPOwRZ+"
		       "Yhw8=\"}"),
	   "pods, with Kubernetes' own hash");
	ok(strstr(b.s, "{\"name\":\"pods/"
		       "eviction\",\"singularName\":\"\",\"namespaced\":true,\"group\":\"policy\","
		       "\"version\":\"v1\",\"kind\":\"Eviction\",\"verbs\":[\"create\"]}"),
	   "a subresource of another group");
	d = parse(b.s);
	ok(d, "is JSON");
}

static void test_aggregated(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	schema_discovery_aggregated(false, "v2", &b);
	d = parse(b.s);
	ok(d && node_count(node_get(doc_root(d), F_items)) > 15, "aggregated groups");
	ok(strstr(b.s, "{\"resource\":\"deployments\",\"responseKind\":{\"group\":\"apps\",\"version\":"
		       "\"v1\",\"kind\":"
		       "\"Deployment\"},\"scope\":\"Namespaced\",\"singularResource\":\"deployment\","
		       "\"verbs\":[\"create\""),
	   "a resource in it");
	ok(strstr(b.s, "{\"subresource\":\"scale\",\"responseKind\":{\"group\":\"autoscaling\",\"version\":"
		       "\"v1\",\"kind\":"
		       "\"Scale\"},\"verbs\":[\"get\",\"patch\",\"update\"]}"),
	   "a subresource in it");
	ok(strstr(b.s, "\"freshness\":\"Current\""), "and it is fresh");
}

/* --- OpenAPI --- */
/* Every "$ref" that is a text must lead to a definition. */
static size_t dangling(const struct node *n, const struct node *defs, const struct node *params,
		       const char *prefix)
{
	struct str ref = node_str(node_getc(n, "$ref"));
	size_t bad = 0, len = strlen(prefix);

	if (ref.p && str_starts(ref, STR_LIT("#/parameters/")))
		bad += !node_getk(params, str_sub(ref, strlen("#/parameters/"), ref.n));
	else if (ref.p)
		bad += !str_starts(ref, str_of(prefix)) || !node_getk(defs, str_sub(ref, len, ref.n));
	NODE_FOREACH (c, n)
		bad += dangling(c, defs, params, prefix);
	return bad;
}

static const struct node *property(const struct node *defs, const char *type, const char *name)
{
	return node_getc(node_getc(node_getc(defs, type), "properties"), name);
}

static void test_openapi_v2(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *root, *defs, *p, *patch;
	bool has_validation = false;

	schema_openapi_v2(false, &b);
	d = parse(b.s);
	root = doc_root(d);
	defs = node_getc(root, "definitions");
	ok(node_count(defs) > 400, "version 2 has definitions");
	is_int((long long)dangling(root, defs, node_getc(root, "parameters"), "#/definitions/"), 0,
	       "all references lead on");
	p = property(defs, "io.k8s.api.core.v1.PodSpec", "volumes");
	is_str(node_cstr(node_getc(p, "x-kubernetes-patch-strategy")), "merge,retainKeys", "patch strategy");
	is_str(node_cstr(node_getc(p, "x-kubernetes-patch-merge-key")), "name", "merge key");
	is_str(node_cstr(node_getc(
		       property(defs, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp"),
		       "$ref")),
	       "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Time", "a time");
	p = property(defs, "io.k8s.api.core.v1.PodSpec", "restartPolicy");
	ok(p && !node_getc(p, "enum"), "version 2 has no enums");
	patch = node_getc(node_getc(node_getc(root, "paths"),
				    "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"),
			  "patch");
	is_str(node_cstr(node_getc(node_getc(patch, "x-kubernetes-group-version-kind"), "kind")),
	       "Deployment", "PATCH is about deployments");
	NODE_FOREACH (q, node_getc(patch, "parameters"))
		has_validation |=
			node_streq(node_getc(q, "$ref"), "#/parameters/fieldValidation-PatchOptions");
	ok(has_validation, "PATCH takes fieldValidation");
}

/* Reads one varint; false at the end or when it is broken. */
static bool varint(const uint8_t **p, const uint8_t *end, uint64_t *v)
{
	*v = 0;
	for (unsigned shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t c = *(*p)++;

		*v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return true;
	}
	return false;
}

/* The fields of a message; f gets those that are bytes. False when it is malformed. */
static bool message(struct str m, void (*f)(void *arg, unsigned n, struct str v), void *arg)
{
	const uint8_t *p = (const uint8_t *)m.p, *end = p + m.n;

	while (p < end) {
		uint64_t tag, v;

		if (!varint(&p, end, &tag) || !varint(&p, end, &v))
			return false;
		if ((tag & 7) == 0)
			continue;
		if ((tag & 7) != 2 || v > (uint64_t)(end - p))
			return false;
		f(arg, (unsigned)(tag >> 3), str_n((const char *)p, v));
		p += v;
	}
	return true;
}

struct found {
	unsigned want; /* a field number */
	size_t n;
	struct str last;
	struct str named; /* of entries: the one whose name is */
	const char *name;
	bool bad;
};

static void on_entry(void *arg, unsigned n, struct str v)
{
	struct found *f = arg;

	if (n == f->want) {
		f->n++;
		f->last = v;
	}
}

static void on_named(void *arg, unsigned n, struct str v)
{
	struct found *f = arg, name = {.want = 1}, value = {.want = 2};

	if (n != f->want)
		return;
	f->n++;
	f->bad |= !message(v, on_entry, &name) || !message(v, on_entry, &value);
	if (str_eqc(name.last, f->name))
		f->named = value.last;
}

static struct str field(struct str m, unsigned n)
{
	struct found f = {.want = n};

	return message(m, on_entry, &f) && f.n ? f.last : STR_NONE;
}

static struct str named(struct str m, unsigned n, const char *name)
{
	struct found f = {.want = n, .name = name};

	return message(m, on_named, &f) && !f.bad ? f.named : STR_NONE;
}

static void test_openapi_proto(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct str doc, pod, spec, volumes, post;
	struct found defs = {.want = 1, .name = "io.k8s.api.core.v1.Pod"};

	schema_openapi_v2(true, &b);
	doc = buf_str(&b);
	ok(str_eqc(field(doc, 1), "2.0"), "swagger 2.0");
	ok(message(field(doc, 9), on_named, &defs) && !defs.bad && defs.n > 400, "definitions");
	pod = defs.named;
	ok(str_eqc(field(field(pod, 22), 1), "object"), "a pod is an object");
	spec = named(field(pod, 25), 1, "spec");
	ok(str_eqc(field(spec, 1), "#/definitions/io.k8s.api.core.v1.PodSpec"), "its spec is a reference");
	ok(str_eqc(field(named(pod, 31, "x-kubernetes-group-version-kind"), 2),
		   "[{\"group\":\"\",\"kind\":\"Pod\",\"version\":\"v1\"}]\n"),
	   "its kind, as YAML");
	volumes = named(field(named(field(doc, 9), 1, "io.k8s.api.core.v1.PodSpec"), 25), 1, "volumes");
	ok(str_eqc(field(field(field(volumes, 23), 1), 1), "#/definitions/io.k8s.api.core.v1.Volume"),
	   "a list's items");
	post = field(named(field(doc, 8), 2, "/api/v1/namespaces/{namespace}/pods"), 4);
	ok(str_eqc(field(post, 5), "createCoreV1NamespacedPod"), "an operation");
	ok(field(named(field(post, 9), 1, "200"), 1).n > 0, "its answer");
}

static void test_openapi_v3(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_buf_ struct buf again = BUF_INIT;
	_cleanup_doc_ struct doc *index = NULL;
	size_t bad = 0, n = 0;

	schema_openapi_v3_index(&b);
	schema_openapi_v3_index(&again);
	is_str(b.s, again.s, "the index stays the same");
	index = parse(b.s);
	NODE_FOREACH (gv, node_getc(doc_root(index), "paths")) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		_cleanup_doc_ struct doc *d = NULL;
		const struct node *defs;

		bad += !schema_openapi_v3(node_key(gv), &out);
		d = parse(out.s);
		defs = node_getc(node_getc(doc_root(d), "components"), "schemas");
		bad += !d || dangling(doc_root(d), defs, NULL, "#/components/schemas/") != 0;
		n++;
	}
	is_int((long long)bad, 0, "every document of the index is there and refers to nothing outside");
	ok(n > 18, "there are as many as group versions");
	ok(!schema_openapi_v3(STR_LIT("apis/apps/v9"), &b) && !schema_openapi_v3(STR_LIT(""), &b),
	   "no others");
	ok(strstr(b.s, "\"api/v1\":{\"serverRelativeURL\":\"/openapi/v3/api/v1?hash="),
	   "an entry of the index");
}

static void test_openapi_v3_parts(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *defs, *p;

	ok(schema_openapi_v3(STR_LIT("api/v1"), &b), "api/v1");
	d = parse(b.s);
	defs = node_getc(node_getc(doc_root(d), "components"), "schemas");
	p = property(defs, "io.k8s.api.core.v1.PodSpec", "restartPolicy");
	is_int((long long)node_count(node_getc(p, "enum")), 3, "version 3 has enums");
	p = property(defs, "io.k8s.api.core.v1.ContainerPort", "protocol");
	is_str(node_cstr(node_getc(p, "default")), "TCP", "and defaults");
	p = property(defs, "io.k8s.api.core.v1.Pod", "spec");
	is_str(node_cstr(node_getc(node_at(node_getc(p, "allOf"), 0), "$ref")),
	       "#/components/schemas/io.k8s.api.core.v1.PodSpec", "a reference with a description");
	p = node_getc(node_getc(defs, "io.k8s.apimachinery.pkg.util.intstr.IntOrString"), "oneOf");
	is_int((long long)node_count(p), 2, "int or string");
}

int main(void)
{
	test_pods();
	test_completed();
	test_core_rows();
	test_workload_rows();
	test_cluster_rows();
	test_all_rows();
	test_discovery();
	test_resource_list();
	test_aggregated();
	test_openapi_v2();
	test_openapi_proto();
	test_openapi_v3();
	test_openapi_v3_parts();
	return done_testing();
}
