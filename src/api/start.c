/*
 * What is always there, made when the server starts: the namespaces default,
 * kube-system, kube-public and kube-node-lease, the bootstrap policy, the Service
 * `kubernetes` with the first address of the service network, and where it leads
 * (Endpoints and EndpointSlice with this server's address), and the objects of
 * start-objects.c. What exists is left alone, except that where it leads follows
 * the address. /readyz turns ok when all is there; a write that fails (a full
 * disk) is tried again. Later all is gone through again when one of them was
 * deleted or changed.
 */
#include "api/internal.h"

#include <arpa/inet.h>

#include "base/log.h"

#define START_RETRY_MS 1000
#define START_AGAIN_MS 50 /* changes come together */
#define START_CALLS 6

struct start_call {
	struct call call;
	struct start *s;
};
struct start {
	struct api *api;
	struct start_call calls[START_CALLS];
	size_t running;
	int step; /* index into steps */
	bool failed, again;
	struct loop_timer *retry;
	struct store_feed *feed;
};

static void start_run(struct start *s);

static void start_retry(void *arg)
{
	start_run(arg);
}

static void start_ready(struct start *s)
{
	struct api *a = s->api;

	if (a->ready)
		return;
	a->ready = true;
	if (a->on_ready)
		a->on_ready(a->ready_arg);
}

/* One of a step's writes is done. */
static void start_settle(struct start *s)
{
	if (--s->running)
		return;
	if (s->failed) {
		s->failed = false;
		loop_timer_set(s->retry, START_RETRY_MS);
		return;
	}
	s->step++;
	start_run(s);
}

static void start_done(struct call *c, const struct err *err)
{
	struct start *s = CONTAINER_OF(c, struct start_call, call)->s;

	c->body = doc_unref(c->body);
	if (err && err->reason != ERR_ALREADY_EXISTS) {
		log_warn("can't make an object that every cluster has, trying again", LS("kind", c->res->kind),
			 LS("name", c->name), LE(err));
		s->failed = true;
	}
	start_settle(s);
}

/* A slice of the other family can't be changed: it goes, which brings us here again. */
static bool start_must_go(const struct obj *have, const struct doc *want)
{
	const struct node *type = node_get(doc_root(want), F_addressType);

	return have && type && !node_equal(type, node_get(obj_node((struct obj *)have), F_addressType));
}

/* Creates the object of this JSON, or (follow) makes what is there the same. */
static void start_put(struct start *s, const struct resource *res, const char *ns, const char *name, bool follow,
		      const char *json)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct obj *have = store_get(s->api->store, res, ns, name);
	struct start_call *sc;
	struct doc *d;

	if (have && !follow)
		return;
	BUG_ON(doc_parse_json(&d, str_of(json), NULL, &e) < 0);
	BUG_ON(s->running >= START_CALLS);
	sc = &s->calls[s->running++];
	sc->s = s;
	sc->call = (struct call){ .verb = start_must_go(have, d) ? VERB_DELETE : have ? VERB_UPDATE : VERB_CREATE,
				  .res = res, .ns = ns, .name = have ? name : NULL, .body = d, .done = start_done };
	if (sc->call.verb == VERB_DELETE)
		sc->call.body = doc_unref(d);
	req_submit_call(s->api, &s->api->self, &sc->call);
}

/* --- steps --- */

static void start_namespaces(struct start *s)
{
	static const char *const names[] = { "default", "kube-system", "kube-public", "kube-node-lease" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"%s\"}}", names[i]);

		start_put(s, &s->api->namespaces->r, "", names[i], false, json);
	}
}

static void start_service(struct start *s, const char *ip, int port)
{
	_cleanup_free_ char *json = NULL;

	json = xasprintf("{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\",\"labels\":{\"component\":"
			 "\"apiserver\",\"provider\":\"kubernetes\"}},\"spec\":{\"type\":\"ClusterIP\",\"clusterIP\":"
			 "\"%s\",\"ports\":[{\"name\":\"https\",\"protocol\":\"TCP\",\"port\":443,\"targetPort\":%d}]}}",
			 alloc_first_ip(s->api), port);
	start_put(s, &s->api->services->r, "default", "kubernetes", false, json);
}

static void start_endpoints(struct start *s, const char *ip, int port)
{
	struct in6_addr six;
	_cleanup_free_ char *slice = NULL, *endpoints = NULL;

	slice = xasprintf("{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\",\"labels\":{"
			  "\"kubernetes.io/service-name\":\"kubernetes\"}},\"addressType\":\"%s\",\"endpoints\":[{"
			  "\"addresses\":[\"%s\"],\"conditions\":{\"ready\":true}}],\"ports\":[{\"name\":\"https\","
			  "\"protocol\":\"TCP\",\"port\":%d}]}",
			  inet_pton(AF_INET6, ip, &six) == 1 ? "IPv6" : "IPv4", ip, port);
	endpoints = xasprintf("{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\",\"labels\":{"
			      "\"endpointslice.kubernetes.io/skip-mirror\":\"true\"}},\"subsets\":[{\"addresses\":[{"
			      "\"ip\":\"%s\"}],\"ports\":[{\"name\":\"https\",\"port\":%d,\"protocol\":\"TCP\"}]}]}",
			      ip, port);
	start_put(s, schema_res("discovery.k8s.io", "endpointslices"), "default", "kubernetes", true, slice);
	start_put(s, schema_res("", "endpoints"), "default", "kubernetes", true, endpoints);
}

static void start_kubernetes(struct start *s)
{
	struct str host = str_of(s->api->cfg.server_address);
	ssize_t colon = str_rfind(host, ':');
	_cleanup_free_ char *ip = str_dup(colon > 0 ? str_sub(host, 0, (size_t)colon) : host);
	struct in6_addr six;
	struct in_addr four;
	int64_t port = 6443;

	if (colon > 0 && !str_to_i64(str_sub(host, (size_t)colon + 1, host.n), &port))
		port = 6443;
	if (ip[0] == '[') {
		memmove(ip, ip + 1, strlen(ip));
		ip[strcspn(ip, "]")] = '\0';
	}
	start_service(s, ip, (int)port);
	if (inet_pton(AF_INET, ip, &four) == 1 || inet_pton(AF_INET6, ip, &six) == 1)
		start_endpoints(s, ip, (int)port);
}

static void start_part_done(void *arg, bool failed)
{
	struct start *s = arg;

	s->failed = s->failed || failed;
	start_settle(s);
}

static void start_policy(struct start *s)
{
	if (policy_sync(s->api, start_part_done, s))
		s->running++;
}

static void start_objects(struct start *s)
{
	if (objects_sync(s->api, start_part_done, s))
		s->running++;
}

static void (*const steps[])(struct start *s) = { start_namespaces, start_policy, start_kubernetes, start_objects };

static void start_run(struct start *s)
{
	while (s->step < (int)ARRAY_SIZE(steps)) {
		steps[s->step](s);
		if (s->running)
			return;
		s->step++;
	}
	if (s->again) {
		s->again = false;
		s->step = 0;
		loop_timer_set(s->retry, START_AGAIN_MS);
	}
	start_ready(s);
}

static void start_on_event(void *arg, const struct store_event *ev)
{
	struct start *s = arg;

	if (objects_is_watched(ev->obj))
		start_again(s->api);
}

void api_start(struct api *a, void (*ready)(void *arg), void *arg)
{
	struct start *s = xcalloc(1, sizeof(*s));

	a->on_ready = ready;
	a->ready_arg = arg;
	s->api = a;
	s->retry = loop_timer_new(a->loop, start_retry, s);
	a->start = s;
	s->feed = store_feed_start(a->store, start_on_event, s);
	loop_timer_set(s->retry, 0); /* never inside the caller */
}

void start_again(struct api *a)
{
	struct start *s = a->start;

	if (!s || a->closing)
		return;
	if (s->running || !a->ready) {
		s->again = true;
		return;
	}
	s->step = 0;
	if (!loop_timer_is_set(s->retry))
		loop_timer_set(s->retry, START_AGAIN_MS);
}

void start_free(struct api *a)
{
	struct start *s = a->start;

	if (!s)
		return;
	a->start = NULL;
	policy_sync_free(a);
	objects_sync_free(a);
	store_feed_stop(s->feed);
	loop_timer_free(s->retry);
	for (size_t i = 0; i < START_CALLS; i++)
		doc_unref(s->calls[i].call.body);
	free(s);
}
