/*
 * The API server over a store in memory: by HTTP through a real connection, and
 * by calls from inside.
 */
#include "memory-store.h"
#include "tap.h"

#include <stdio.h>

#include "api/internal.h"
#include "base/loop.h"
#include "http/http.h"

#define PODS "/api/v1/namespaces/default/pods"
#define MAPS "/api/v1/namespaces/default/configmaps"
#define DEPLOYMENTS "/apis/apps/v1/namespaces/default/deployments"
#define SERVICES "/api/v1/namespaces/default/services"
#define JSON "application/json"
#define MERGE "application/merge-patch+json"
#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io"
#define PARTIAL "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"

static struct loop *loop;
static struct store *store;
static struct api *api;
static struct http_server *server;
static struct http_client *client;
static struct call_server *inside;
static int port;

/* --- one request --- */

static struct answer {
	bool done;
	int status;
	struct buf text;
	struct doc *doc;
	char warning[200];
} ans;

static void on_head(struct http_exchange *x, const struct http_head *h)
{
	struct str w = http_head_get(h, "Warning");

	snprintf(ans.warning, sizeof(ans.warning), "%" STR_FMT, STR_ARG(w));
}

static void on_done(struct http_exchange *x, const struct err *e)
{
	if (e)
		printf("# %s\n", err_msg(e));
	ans.done = true;
}

static const char *bearer = "Bearer secret";

static int ask_as(const char *method, const char *target, const char *type, struct str body, const char *accept)
{
	struct http_header h[] = { { STR_LIT("Authorization"), str_of(bearer) },
				   { STR_LIT("Content-Type"), str_of(type) },
				   { STR_LIT("Accept"), str_of(accept) } };
	struct http_exchange x = { .method = method, .target = target, .headers = h, .n_headers = 3, .body = body,
				   .on_head = on_head, .on_done = on_done };
	_cleanup_free_ char *copy = str_dup(body); /* it may be the last answer */
	struct err e = ERR_INIT;

	x.body.p = copy;
	buf_init(&x.resp_body);
	ans.doc = doc_unref(ans.doc);
	buf_release(&ans.text);
	ans.done = false;
	http_client_send(client, &x);
	while (!ans.done)
		loop_turn(loop, 1000);
	ans.text = x.resp_body;
	ans.status = x.status;
	if (doc_parse_json(&ans.doc, buf_str(&ans.text), NULL, &e) < 0)
		err_release(&e);
	return x.status;
}

static int ask(const char *method, const char *target, const char *type, const char *body)
{
	return ask_as(method, target, type, str_of(body ? body : ""), JSON);
}

static int get(const char *target)
{
	return ask("GET", target, JSON, NULL);
}

static int post(const char *target, const char *body)
{
	return ask("POST", target, JSON, body);
}

static const struct node *root(void)
{
	return ans.doc ? doc_root(ans.doc) : NULL;
}

static const char *at(const char *path)
{
	static char text[4000];
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct str s = node_dotted(root(), path, &b);

	snprintf(text, sizeof(text), "%" STR_FMT, STR_ARG(s));
	return text;
}

static const char *msg(void)
{
	return at("message");
}

static bool has(const char *text)
{
	return strstr(ans.text.s, text) != NULL;
}

static const char *pod(const char *name, const char *meta)
{
	static char text[500];

	snprintf(text, sizeof(text),
		 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"%s},\"spec\":{\"containers\":[{"
		 "\"name\":\"c\",\"image\":\"busybox\"}]}}",
		 name, meta);
	return text;
}

/* --- setting up --- */

static bool is_ready;

static void ready(void *arg)
{
	is_ready = true;
}

static char *sa_key;

static void set_up_store(void)
{
	store = memory_store(loop, NULL);
}

static void set_up(void)
{
	static const char *const groups[] = { "system:masters", NULL };
	static const char *const issuers[] = { "https://kubernetes.default.svc.cluster.local", NULL };
	struct err e = ERR_INIT;
	struct api_config ac = { .admin_token = "secret", .version = "v1.36.2+kinglet1",
				 .server_address = "192.0.2.1:6443", .service_cidr = "10.43.0.0/16", .anonymous = true,
				 .sa_issuers = issuers };
	struct http_server_config hc = { .on_request = api_on_request };
	struct http_client_config cc = { .host = "127.0.0.1" };

	loop = loop_new();
	set_up_store();
	BUG_ON(tls_make_key(&sa_key, &e) < 0);
	ac.loop = hc.loop = cc.loop = loop;
	ac.store = store;
	ac.sa_key_pem = sa_key;
	BUG_ON(api_new(&api, &ac, &e) < 0);
	hc.arg = api;
	server = http_server_new(&hc);
	BUG_ON(http_server_listen(server, "127.0.0.1", 0, &port, &e) < 0);
	cc.port = port;
	client = http_client_new(&cc);
	ok(get("/readyz") == 500 && has("[-]poststarthook"), "not ready before the start");
	api_start(api, ready, NULL);
	while (!is_ready)
		loop_turn(loop, 1000);
	inside = api_call_server(api, "system:kube-scheduler", groups);
}

static void tear_down(void)
{
	ans.doc = doc_unref(ans.doc);
	buf_release(&ans.text);
	http_client_free(client);
	http_server_free(server);
	api_free(api);
	store_close(store);
	free(sa_key);
	loop_free(loop);
}

/* --- by HTTP --- */

static void test_paths(void)
{
	is_int(get("/readyz"), 200, "ready");
	is_str(ans.text.s, "ok", "says ok");
	is_int(get("/livez/ping"), 200, "one check");
	is_int(get("/version"), 200, "version");
	is_str(at("gitVersion"), "v1.36.2+kinglet1", "gitVersion");
	is_int(get("/nothing"), 404, "a path outside the API");
	is_str(ans.text.s, "404 page not found\n", "in Go's words");
	is_int(get("/api/v1/nothings"), 404, "a resource that is none");
	is_str(msg(), "the server could not find the requested resource", "in the API's words");
	is_int(get("/apis/no.such/v1"), 404, "a group that is none");
	is_int(get("/api/v1/namespaces/default/nodes"), 404, "a cluster resource in a namespace");
	is_int(ask("PUT", PODS, JSON, "{}"), 405, "PUT of a collection");
	is_int(ask("DELETE", "/api/v1/namespaces", JSON, NULL), 405, "namespaces have no deletecollection");
	is_int(get("/api/v1"), 200, "discovery");
	is_int(get("/openapi/v3"), 200, "OpenAPI");
	is_int(get("/metrics"), 200, "metrics");
	ok(has("subresource=\"/version\",verb=\"GET\""), "count requests");
	is_int(get("/api/v1/namespaces"), 200, "namespaces");
	is_int(node_count(node_get(root(), F_items)), 4, "four are always there");
	get(SERVICES "/kubernetes");
	is_str(at("spec.clusterIP"), "10.43.0.1", "the kubernetes service has the first address");
	get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes");
	ok(has("192.0.2.1"), "and leads here");
}

static void test_authn(void)
{
	bearer = "Bearer wrong";
	is_int(get(PODS), 401, "a wrong token");
	is_str(at("reason"), "Unauthorized", "is Unauthorized");
	bearer = "Basic secret";
	is_int(get(PODS), 403, "another scheme is passed over: nobody asks");
	bearer = "";
	is_int(get(PODS), 403, "nobody");
	is_str(msg(),
	       "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the "
	       "namespace \"default\"",
	       "is told so");
	is_int(get("/healthz"), 200, "nobody may ask for health");
	is_int(get("/metrics"), 403, "not for metrics");
	is_str(msg(), "forbidden: User \"system:anonymous\" cannot get path \"/metrics\"", "a path's words");
	bearer = "Bearer secret";
}

/* The controllers make one for every namespace; there are none here. */
static void need_account(const char *ns)
{
	char path[100];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/serviceaccounts", ns);
	is_int(post(path, "{\"metadata\":{\"name\":\"default\"}}"), 201, "an account");
}

static void test_create(void)
{
	is_int(post(PODS, pod("a", "")), 403, "a pod waits for its account");
	is_str(msg(),
	       "pods \"a\" is forbidden: error looking up service account default/default: serviceaccount \"default\" "
	       "not found",
	       "but not for ever");
	need_account("default");
	is_int(post(PODS, pod("a", "")), 201, "create");
	is_str(at("metadata.namespace"), "default", "namespace filled in");
	is_str(at("spec.serviceAccountName"), "default", "service account");
	is_str(at("spec.priority"), "0", "priority");
	is_int(node_count(node_path(root(), F_spec, F_tolerations)), 2, "tolerations");
	is_str(at("status.phase"), "Pending", "phase");
	is_int(post(PODS, pod("a", "")), 409, "again");
	is_str(msg(), "pods \"a\" already exists", "AlreadyExists");
	is_int(post(PODS, pod("b", ",\"namespace\":\"x\"")), 400, "another namespace");
	is_int(post("/api/v1/namespaces/x/pods", pod("b", "")), 404, "no such namespace");
	is_str(msg(), "namespaces \"x\" not found", "says which");
	is_int(post(PODS, "{\"kind\":\"Service\"}"), 400, "another kind");
	is_int(post(PODS, "{\"kind\":"), 400, "half a document");
	is_int(post(PODS, ""), 400, "no document");
	is_int(ask("POST", PODS, "text/plain", "x"), 415, "not a known type");
	is_int(ask("POST", MAPS, "application/yaml", "metadata: {name: y1}\ndata: {a: \"1\"}\n"), 201, "YAML");
	is_int(post(PODS "?fieldValidation=Strict", "{\"metadata\":{\"name\":\"s\"},\"foo\":1}"), 400, "Strict");
	is_str(msg(), "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"foo\"",
	       "names the field");
	is_int(post(MAPS "?dryRun=All", "{\"metadata\":{\"name\":\"s\"},\"foo\":1}"), 201, "Warn");
	is_str(ans.warning, "299 - \"unknown field \\\"foo\\\"\"", "warns");
	is_int(get(MAPS "/s"), 404, "dryRun stores nothing");
	is_int(post(MAPS "?fieldValidation=x", "{}"), 422, "fieldValidation unknown");
	is_int(post(MAPS, "{\"metadata\":{\"generateName\":\"g-\"}}"), 201, "generateName");
	is_int(strlen(at("metadata.name")), 7, "five characters");
	is_int(post(PODS, "{\"metadata\":{\"name\":\"B_d\"},\"spec\":{\"containers\":[]}}"), 422, "invalid");
	is_str(at("details.kind"), "Pod", "Status.details.kind");
	ok(node_count(node_path(root(), F_details, F_causes)) >= 2, "all causes at once");
	is_int(post(PODS, pod("sa", ",\"annotations\":{\"a\":\"b\"}")), 201, "create with annotations");
}

/* ConfigMap {metadata {name "pb"} data {"k": "v"}} as kubectl 1.32 sends it. */
/* Ledgers are gone with their quota, and with the server, whatever is on its way. */
static void test_quota(void)
{
	static const char quotas[] = "/api/v1/namespaces/default/resourcequotas";
	int there;

	is_int(get(MAPS), 200, "what is there");
	there = (int)node_count(node_get(root(), F_items));
	is_int(post(quotas, "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"configmaps\":\"2\",\"services\":\"50\"}}}"), 201,
	       "a quota");
	for (int i = there; i < 2; i++) {
		char body[60];

		snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"quota-%d\"}}", i);
		is_int(post(MAPS, body), 201, "fits");
	}
	is_int(post(MAPS, "{\"metadata\":{\"name\":\"quota-9\"}}"), 403, "full");
	ok(strstr(msg(), "exceeded quota: q, requested: configmaps=1, used: configmaps=") != NULL, "says so");
	get("/api/v1/namespaces/default/resourcequotas/q");
	is_str(at("status.hard.configmaps"), "2", "the status follows");
	is_int(ask("DELETE", "/api/v1/namespaces/default/resourcequotas/q", JSON, NULL), 200, "gone");
	is_int(post(MAPS, "{\"metadata\":{\"name\":\"quota-9\"}}"), 201, "nobody holds back");
	is_int(post(quotas, "{\"metadata\":{\"name\":\"left\"},\"spec\":{\"hard\":{\"pods\":\"200\"}}}"), 201, "left behind");
}

static void test_protobuf(void)
{
	static const char body[] = "k8s\0"
				   "\x0a\x0f"
				   "\x0a\x02v1"
				   "\x12\x09"
				   "ConfigMap"
				   "\x12\x0e"
				   "\x0a\x04"
				   "\x0a\x02pb"
				   "\x12\x06"
				   "\x0a\x01k"
				   "\x12\x01v";

	is_int(ask_as("POST", MAPS, "application/vnd.kubernetes.protobuf", str_n(body, sizeof(body) - 1),
		      "application/vnd.kubernetes.protobuf,application/json"),
	       201, "a protobuf body");
	is_str(at("data.k"), "v", "is understood");
	is_int(ask_as("POST", MAPS, "application/vnd.kubernetes.protobuf", str_n(body, sizeof(body) - 3), JSON), 400,
	       "a cut one is refused");
	is_int(ask_as("GET", MAPS, JSON, STR_NONE, "application/vnd.kubernetes.protobuf"), 406,
	       "an answer in protobuf is not to be had");
}

static void test_update(void)
{
	char body[800], rv[40];

	get(PODS "/a");
	snprintf(rv, sizeof(rv), "%s", at("metadata.resourceVersion"));
	snprintf(body, sizeof(body), "{\"metadata\":{\"labels\":{\"l\":\"1\"},\"resourceVersion\":\"%s\"}}", rv);
	is_int(ask("PATCH", PODS "/a", MERGE, body), 200, "patch at a revision");
	is_int(ask("PATCH", PODS "/a", MERGE, body), 409, "the same again");
	is_str(msg(),
	       "Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to "
	       "the latest version and try again",
	       "is a conflict");
	get(PODS "/a");
	snprintf(rv, sizeof(rv), "%s", at("metadata.resourceVersion"));
	is_int(ask("PUT", PODS "/a", JSON, ans.text.s), 200, "PUT of what is there");
	is_str(at("metadata.resourceVersion"), rv, "changes nothing");
	is_int(ask("PUT", PODS "/b", JSON, pod("a", "")), 400, "PUT to another name");
	is_int(ask("PUT", PODS "/none", JSON, pod("none", "")), 404, "PUT creates no pods");
	is_int(ask("PUT", "/api/v1/namespaces/default/endpoints/e", JSON, "{\"metadata\":{\"name\":\"e\"}}"), 201,
	       "but endpoints");
	is_int(ask("PATCH", PODS "/a", "application/json-patch+json", "[{\"op\":\"remove\",\"path\":\"/metadata/labels\"}]"),
	       200, "JSON patch");
	is_int(ask("PATCH", PODS "/a", "application/json-patch+json", "{}"), 400, "no JSON patch");
	is_int(ask("PATCH", PODS "/a", "application/json-patch+json",
		   "[{\"op\":\"test\",\"path\":\"/metadata/name\",\"value\":\"x\"}]"),
	       422, "a test that fails");
	is_int(ask("PATCH", PODS "/a", "application/strategic-merge-patch+json",
		   "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"new\"}]}}"),
	       200, "strategic merge patch");
	ok(has("\"image\":\"new\"") && has("\"name\":\"c\""), "merges by name");
	is_int(ask("PATCH", PODS "/a", JSON, "{}"), 415, "patch of no type");
	is_int(ask("PATCH", PODS "/a", MERGE, "{\"metadata\":{\"name\":\"q\"}}"), 400, "no new name");
	is_int(ask("PATCH", PODS "/a", MERGE, "{\"metadata\":{\"uid\":\"q\"}}"), 409, "no new uid");
	is_int(ask("PATCH", MAPS "/ap?fieldManager=t", "application/apply-patch+yaml",
		   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ap}\n"),
	       201, "apply creates");
	is_int(ask("PATCH", MAPS "/ap", "application/apply-patch+yaml", "{}"), 422, "apply wants a manager");
}

static void test_delete(void)
{
	post("/api/v1/nodes", "{\"metadata\":{\"name\":\"n1\"}}");
	is_int(post(PODS "/a/binding", "{\"target\":{\"name\":\"n1\"}}"), 201, "bind");
	is_int(post(PODS "/a/binding", "{\"target\":{\"name\":\"n2\"}}"), 409, "not twice");
	is_str(msg(), "Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n1\"",
	       "says why");
	get(PODS "/a");
	is_str(at("spec.nodeName"), "n1", "bound");
	is_int(ask("DELETE", PODS "/a", JSON, "{\"preconditions\":{\"uid\":\"x\"}}"), 409, "a wrong uid");
	is_int(ask("DELETE", PODS "/a", JSON, NULL), 200, "delete");
	is_str(at("metadata.deletionGracePeriodSeconds"), "30", "with its grace");
	is_int(ask("DELETE", PODS "/a?gracePeriodSeconds=60", JSON, NULL), 200, "again, longer");
	is_str(at("metadata.deletionGracePeriodSeconds"), "30", "is not granted");
	is_int(ask("DELETE", PODS "/a?gracePeriodSeconds=0", JSON, NULL), 200, "at once");
	is_int(get(PODS "/a"), 404, "gone");
	is_int(ask("DELETE", PODS "/sa", JSON, NULL), 200, "a pod on no node");
	is_int(get(PODS "/sa"), 404, "goes at once");
	post(MAPS, "{\"metadata\":{\"name\":\"f\",\"finalizers\":[\"x/y\"]}}");
	is_int(ask("DELETE", MAPS "/f", JSON, NULL), 200, "with a finalizer");
	is_str(at("kind"), "ConfigMap", "it stays");
	is_int(post(MAPS, "{\"metadata\":{\"name\":\"f\"}}"), 409, "and keeps its name");
	is_int(ask("PATCH", MAPS "/f", MERGE, "{\"metadata\":{\"finalizers\":null}}"), 200, "without it");
	is_int(get(MAPS "/f"), 404, "it goes");
	post(MAPS, "{\"metadata\":{\"name\":\"o\"}}");
	ask("DELETE", MAPS "/o?propagationPolicy=Orphan", JSON, NULL);
	ok(has("\"finalizers\":[\"orphan\"]"), "Orphan");
	is_int(ask("DELETE", MAPS "/ap", JSON, NULL), 200, "a config map");
	is_str(at("status"), "Success", "is answered with a Status");
	is_int(ask("DELETE", "/api/v1/namespaces/kube-system", JSON, NULL), 403, "kube-system stays");
}

static void test_namespaces(void)
{
	is_int(post("/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}"), 201, "a namespace");
	is_int(ask("DELETE", "/api/v1/namespaces/n", JSON, NULL), 200, "deleted");
	is_str(at("status.phase"), "Terminating", "is terminating");
	is_int(post("/api/v1/namespaces/n/configmaps", "{\"metadata\":{\"name\":\"x\"}}"), 403, "takes nothing new");
	ok(has("NamespaceTerminating"), "and says why");
	is_int(ask("PUT", "/api/v1/namespaces/n/finalize", JSON,
		   "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"finalizers\":[]}}"),
	       200, "finalize");
	is_int(get("/api/v1/namespaces/n"), 404, "and it is gone");
}

static void test_list(void)
{
	char token[500], url[700], body[100];

	for (int i = 0; i < 25; i++) {
		snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"l%02d\",\"labels\":{\"n\":\"%d\"}}}", i, i % 2);
		post(MAPS, body);
	}
	get(MAPS "?labelSelector=n");
	is_int(node_count(node_get(root(), F_items)), 25, "by label");
	get(MAPS "?labelSelector=n%3D1&limit=5");
	is_int(node_count(node_get(root(), F_items)), 5, "a page");
	snprintf(token, sizeof(token), "%s", at("metadata.continue"));
	snprintf(url, sizeof(url), MAPS "?labelSelector=n%%3D1&continue=%s", token);
	get(url);
	is_int(node_count(node_get(root(), F_items)), 7, "the rest");
	get(MAPS "?fieldSelector=metadata.name%3Dl03");
	is_int(node_count(node_get(root(), F_items)), 1, "by name");
	is_int(get(MAPS "?fieldSelector=spec.x%3D1"), 400, "a field that can't be selected");
	is_int(get(MAPS "?labelSelector=%3D%3D"), 400, "no selector");
	is_int(get(MAPS "?continue=x"), 400, "no token");
	is_int(get(MAPS "?resourceVersion=99999"), 504, "a future revision");
	is_int(get(MAPS "?resourceVersion=x"), 422, "no revision");
	is_int(get(MAPS "?limit=x"), 400, "no number");
	is_int(ask_as("GET", MAPS "/l01", JSON, STR_NONE, "application/yaml"), 200, "YAML");
	ok(has("kind: ConfigMap\n"), "is YAML");
	ask_as("GET", MAPS, JSON, STR_NONE, TABLE);
	is_str(at("kind"), "Table", "a Table");
	ask_as("GET", MAPS "/l01", JSON, STR_NONE, PARTIAL);
	is_str(at("kind"), "PartialObjectMetadata", "metadata only");
	get(MAPS "/l01?pretty=true");
	ok(has("\n  \"metadata\": {\n    \"name\": \"l01\""), "pretty");
	is_int(ask("DELETE", MAPS "?labelSelector=n%3D0", JSON, NULL), 200, "deletecollection");
	is_int(node_count(node_get(root(), F_items)), 13, "answers with what it deleted");
	get(MAPS "?labelSelector=n");
	is_int(node_count(node_get(root(), F_items)), 12, "and leaves the others");
}

static void test_scale(void)
{
	is_int(post(DEPLOYMENTS, "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
				 "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{"
				 "\"name\":\"c\",\"image\":\"i\"}]}}}}"),
	       201, "a deployment");
	get(DEPLOYMENTS "/d/scale");
	is_str(at("kind"), "Scale", "has a scale");
	is_str(at("status.selector"), "a=b", "with its selector");
	is_int(ask("PATCH", DEPLOYMENTS "/d/scale", MERGE, "{\"spec\":{\"replicas\":4}}"), 200, "scale it");
	is_str(at("spec.replicas"), "4", "the Scale says so");
	get(DEPLOYMENTS "/d");
	is_str(at("spec.replicas"), "4", "the deployment too");
	is_int(ask("PATCH", DEPLOYMENTS "/d/scale", MERGE, "{\"spec\":{\"replicas\":-1}}"), 422, "not below zero");
}

static void test_services(void)
{
	char ip[40], body[300];

	is_int(post(SERVICES, "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[{\"port\":80}]}}"), 201, "a service");
	snprintf(ip, sizeof(ip), "%s", at("spec.clusterIP"));
	ok(starts_with(ip, "10.43."), "has an address");
	snprintf(body, sizeof(body),
		 "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"clusterIP\":\"%s\",\"ports\":[{\"port\":80}]}}", ip);
	is_int(post(SERVICES, body), 422, "which is its own");
	ask("DELETE", SERVICES "/s", JSON, NULL);
	is_int(post(SERVICES, body), 201, "until it goes");
	is_int(post(SERVICES, "{\"metadata\":{\"name\":\"np\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,"
			      "\"nodePort\":30080}]}}"),
	       201, "a node port");
	is_int(post(SERVICES, "{\"metadata\":{\"name\":\"np2\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,"
			      "\"nodePort\":30080}]}}"),
	       422, "is taken");
	ok(strstr(msg(), "provided port is already allocated") != NULL, "and says so");
	is_int(ask("PATCH", SERVICES "/np", MERGE, "{\"spec\":{\"clusterIP\":null,\"clusterIPs\":null}}"), 200,
	       "an update that leaves them out");
	ok(has("\"nodePort\":30080") && has("\"clusterIP\":\"10.43."), "keeps them");
}

static void test_versions(void)
{
	is_int(post("/apis/events.k8s.io/v1/namespaces/default/events",
		    "{\"metadata\":{\"name\":\"ev\"},\"eventTime\":\"2026-01-01T00:00:00.000000Z\","
		    "\"reportingController\":\"c\",\"reportingInstance\":\"i\",\"action\":\"a\",\"reason\":\"r\","
		    "\"type\":\"Normal\",\"note\":\"hello\",\"regarding\":{\"kind\":\"Pod\",\"name\":\"p\",\"namespace\":\"default\"}}"),
	       201, "an event of events.k8s.io");
	get("/api/v1/namespaces/default/events/ev");
	is_str(at("message"), "hello", "is one of core");
	get("/apis/events.k8s.io/v1/namespaces/default/events?fieldSelector=regarding.name%3Dp");
	is_int(node_count(node_get(root(), F_items)), 1, "selected by its own names");
	is_int(post("/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
		    "{\"metadata\":{\"name\":\"h\"},\"spec\":{\"maxReplicas\":3,\"targetCPUUtilizationPercentage\":50,"
		    "\"scaleTargetRef\":{\"kind\":\"Deployment\",\"name\":\"d\"}}}"),
	       201, "an autoscaler of v1");
	is_str(at("spec.targetCPUUtilizationPercentage"), "50", "answers in v1");
	get("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers/h");
	ok(has("\"averageUtilization\":50"), "and reads as v2");
}

static void test_tokens(void)
{
	_cleanup_buf_ struct buf token = BUF_INIT;
	char body[4000];

	post("/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"bot\"}}");
	is_int(post("/api/v1/namespaces/default/serviceaccounts/bot/token", "{\"spec\":{\"expirationSeconds\":600}}"), 201,
	       "a token");
	buf_addf(&token, "Bearer %s", at("status.token"));
	snprintf(body, sizeof(body), "{\"spec\":{\"token\":\"%s\"}}", token.s + 7);
	post("/apis/authentication.k8s.io/v1/tokenreviews", body);
	is_str(at("status.user.username"), "system:serviceaccount:default:bot", "is the account's");
	bearer = token.s;
	is_int(get("/apis"), 200, "may discover");
	is_int(get(PODS), 403, "and nothing else");
	is_int(post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
		    "{\"spec\":{\"resourceAttributes\":{\"verb\":\"list\",\"resource\":\"pods\"}}}"),
	       201, "may ask");
	is_str(at("status.allowed"), "false", "and hears no");
	token.s[token.len - 4] ^= 1;
	is_int(get("/apis"), 401, "a forged signature");
	token.s[token.len - 4] ^= 1;
	bearer = "Bearer secret";
	ask("DELETE", "/api/v1/namespaces/default/serviceaccounts/bot", JSON, NULL);
	bearer = token.s;
	is_int(get("/apis"), 401, "the account is gone, so is the token");
	bearer = "Bearer secret";
	is_int(post("/apis/authentication.k8s.io/v1/selfsubjectreviews", "{}"), 201, "who am I");
	ok(has("system:masters"), "a master");
}

static void test_streams(void)
{
	post(PODS, pod("st", ""));
	is_int(get(PODS "/st/log"), 200, "the log of a pod on no node");
	is_int(ans.text.len, 0, "is empty");
	is_int(post(PODS "/st/exec?command=x&stdout=1", ""), 400, "exec in it");
	is_str(msg(), "pod st does not have a host assigned", "is refused");
	is_int(get(PODS "/st/log?container=no"), 400, "a container that it has not");
	is_str(msg(), "container no is not valid for pod st", "is not valid");
	is_int(get(PODS "/st/log?tailLines=-1"), 422, "tailLines below zero");
	is_int(get(PODS "/none/log"), 404, "no pod, no log");
	post(PODS "/st/binding", "{\"target\":{\"name\":\"n1\"}}");
	is_int(get(PODS "/st/log"), 500, "a node that can't be reached");
	is_int(post(PODS "/st/eviction", "{\"metadata\":{\"name\":\"st\"}}"), 201, "evict");
	get(PODS "/st");
	ok(*at("metadata.deletionTimestamp"), "is a delete");
}

/* --- from inside --- */

struct inside {
	struct call call;
	bool done, failed;
	enum err_reason reason;
	int events, added, bookmarks;
	char last[64];
};

static void inside_done(struct call *c, const struct err *e)
{
	struct inside *i = c->arg;

	i->done = true;
	i->failed = e != NULL;
	i->reason = e ? e->reason : ERR_UNKNOWN;
	snprintf(i->last, sizeof(i->last), "%s", c->obj ? c->obj->name : "");
}

static void inside_event(struct call *c, enum watch_type t, struct obj *o)
{
	struct inside *i = c->arg;

	i->events++;
	i->added += t == WATCH_ADDED;
	i->bookmarks += t == WATCH_BOOKMARK && c->initial_done;
	snprintf(i->last, sizeof(i->last), "%s %s", watch_type_name(t), o ? o->name : "");
}

static void inside_run(struct inside *i, enum verb v, const struct resource *res, const char *name, const char *json)
{
	struct err e = ERR_INIT;
	struct doc *d = NULL;

	BUG_ON(json && doc_parse_json(&d, str_of(json), NULL, &e) < 0);
	*i = (struct inside){ .call = { .verb = v, .res = res, .ns = "default", .name = name, .body = d,
					.done = inside_done, .event = inside_event, .arg = i,
					.opts.patch_type = PATCH_MERGE } };
	inside->submit(inside, &i->call);
	ok(!i->done, "never inside submit");
	while (!i->done)
		loop_turn(loop, 1000);
	doc_unref(d);
}

static void turns(void)
{
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 0);
}

static void test_inside(void)
{
	const struct resource *maps = schema_res("", "configmaps");
	struct inside w = { 0 }, i;

	w.call = (struct call){ .verb = VERB_WATCH, .res = maps, .ns = "default", .done = inside_done,
				.event = inside_event, .arg = &w, .opts.send_initial_events = true,
				.opts.label_selector = "in=1" };
	inside->submit(inside, &w.call);
	turns();
	is_int(w.bookmarks, 1, "the initial events end");
	inside_run(&i, VERB_CREATE, maps, NULL, "{\"metadata\":{\"name\":\"in\",\"labels\":{\"in\":\"1\"}}}");
	is_str(i.last, "in", "create");
	turns();
	is_str(w.last, "ADDED in", "and watch");
	inside_run(&i, VERB_CREATE, maps, NULL, "{\"metadata\":{\"name\":\"in\"}}");
	is_int(i.reason, ERR_ALREADY_EXISTS, "again");
	inside_run(&i, VERB_PATCH, maps, "in", "{\"metadata\":{\"labels\":{\"in\":\"2\"}}}");
	ok(!i.failed, "patch");
	turns();
	is_str(w.last, "DELETED in", "no longer selected: DELETED");
	inside_run(&i, VERB_GET, maps, "none", NULL);
	is_int(i.reason, ERR_NOT_FOUND, "get of nothing");
	inside->cancel(inside, &w.call);
	inside_run(&i, VERB_DELETE, maps, "in", NULL);
	ok(!i.failed, "delete");
	is_int(api->n_watches, 0, "the watch is gone");
}

static int watch_lines;
static char watch_text[4000];

static void watch_data(struct http_exchange *x, struct str data)
{
	size_t n = strlen(watch_text);

	snprintf(watch_text + n, sizeof(watch_text) - n, "%" STR_FMT, STR_ARG(data));
	for (size_t i = 0; i < data.n; i++)
		watch_lines += data.p[i] == '\n';
}

static void watch_done(struct http_exchange *x, const struct err *e)
{
	*(bool *)x->arg = true;
}

static void watch_wait(int lines)
{
	while (watch_lines < lines)
		loop_turn(loop, 1000);
}

static void test_watch(void)
{
	struct http_header h[] = { { STR_LIT("Authorization"), STR_LIT("Bearer secret") } };
	bool done = false;
	struct http_exchange x = { .method = "GET", .headers = h, .n_headers = 1, .on_data = watch_data,
				   .on_done = watch_done, .arg = &done };

	x.target = MAPS "?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch="
			"NotOlderThan&labelSelector=w";
	post(MAPS, "{\"metadata\":{\"name\":\"w1\",\"labels\":{\"w\":\"\"}}}");
	http_client_send(client, &x);
	watch_wait(2);
	ok(strstr(watch_text, "{\"type\":\"ADDED\"") == watch_text, "what is there is ADDED");
	ok(strstr(watch_text, "k8s.io/initial-events-end") != NULL, "and a bookmark ends it");
	post(MAPS, "{\"metadata\":{\"name\":\"w2\",\"labels\":{\"w\":\"\"}}}");
	watch_wait(3);
	ok(strstr(watch_text, "\"name\":\"w2\"") != NULL, "what comes is shown");
	ask("DELETE", MAPS "/w2", JSON, NULL);
	watch_wait(4);
	ok(strstr(watch_text, "{\"type\":\"DELETED\"") != NULL, "and what goes");
	while (!done)
		loop_turn(loop, 2000);
	ok(done, "until the time is over");
	is_int(get(MAPS "?watch=1&resourceVersion=x"), 422, "no revision");
	is_int(api->n_watches, 0, "no watch is left");
}

static void test_watch_expired(void)
{
	char body[100];

	for (int i = 0; i < LIMIT_STORE_HISTORY + 10; i++) {
		snprintf(body, sizeof(body), "{\"data\":{\"i\":\"%d\"}}", i);
		ask("PATCH", MAPS "/w1", MERGE, body);
	}
	is_int(get(MAPS "?watch=1&resourceVersion=1"), 200, "a revision too old");
	ok(starts_with(ans.text.s, "{\"type\":\"ERROR\"") && has("\"code\":410") && has("\"reason\":\"Expired\""),
	   "is an ERROR event");
}

static void test_pretty(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct pretty p = { 0 };

	json_pretty_piece(&p, STR_LIT("{\"a\":[1,{}],\"b\":\"x:{\\\"\",\"c\":[]}"), &b);
	is_str(b.s, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": \"x:{\\\"\",\n  \"c\": []\n}", "pretty JSON");
}

int main(void)
{
	set_up();
	test_paths();
	test_authn();
	test_create();
	test_protobuf();
	test_update();
	test_delete();
	test_namespaces();
	test_list();
	test_scale();
	test_services();
	test_versions();
	test_tokens();
	test_streams();
	test_inside();
	test_watch();
	test_watch_expired();
	test_pretty();
	test_quota();
	tear_down();
	return done_testing();
}
