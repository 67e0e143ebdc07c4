/*
 * Objects that every Kubernetes cluster has: priority classes for pods that the
 * cluster itself needs, the flow schemas and priority levels of API priority and
 * fairness (kinglet needs none, but clients list them and tools refer to them),
 * the range of service addresses, the storage class of local directories, the class
 * of the ingress, the authority of client certificates for extension API servers, the
 * Service of the cluster's name servers. Every flow schema gets its condition Dangling.
 *
 * They are made when they are missing. Those that Kubernetes keeps up to date
 * are put right: mandatory ones always, suggested ones while their annotation
 * apf.kubernetes.io/autoupdate-spec is "true". Nothing that is right is written.
 */
#include "api/internal.h"
#include "schema/ingress.h"

#include "base/log.h"

#define FLOWCONTROL "flowcontrol.apiserver.k8s.io"
#define AUTOUPDATE "apf.kubernetes.io/autoupdate-spec"

enum keep {
	KEEP_THERE, /* what it says is its owner's */
	KEEP_SUGGESTED,
	KEEP_SAME
};

/* --- priority levels --- */

static const struct level {
	const char *name;
	int shares, lendable, queues, hand_size, queue_length; /* queues 0: too much is rejected */
	enum keep keep;
} levels[] = {
	{ "catch-all", 5, 0, 0, 0, 0, KEEP_SAME },
	{ "system", 30, 33, 64, 6, 50, KEEP_SUGGESTED },
	{ "node-high", 40, 25, 64, 6, 50, KEEP_SUGGESTED },
	{ "leader-election", 10, 0, 16, 4, 50, KEEP_SUGGESTED },
	{ "workload-high", 40, 50, 128, 6, 50, KEEP_SUGGESTED },
	{ "workload-low", 100, 90, 128, 6, 50, KEEP_SUGGESTED },
	{ "global-default", 20, 50, 128, 6, 50, KEEP_SUGGESTED },
};

static void level_spec(const struct level *l, struct buf *b)
{
	buf_addf(b,
		 "{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":%d,\"lendablePercent\":%d,"
		 "\"limitResponse\":",
		 l->shares, l->lendable);
	if (l->queues)
		buf_addf(b, "{\"type\":\"Queue\",\"queuing\":{\"queues\":%d,\"handSize\":%d,\"queueLengthLimit\":%d}}}}",
			 l->queues, l->hand_size, l->queue_length);
	else
		buf_adds(b, "{\"type\":\"Reject\"}}}");
}

/* --- flow schemas --- */

#define GROUP(name) "{\"kind\":\"Group\",\"group\":{\"name\":\"" name "\"}}"
#define USER(name) "{\"kind\":\"User\",\"user\":{\"name\":\"" name "\"}}"
#define ACCOUNT(name) "{\"kind\":\"ServiceAccount\",\"serviceAccount\":{\"namespace\":\"kube-system\",\"name\":\"" name "\"}}"
#define RULE(verbs, group, resources, cluster)                                             \
	"{\"verbs\":[" verbs "],\"apiGroups\":[\"" group "\"],\"resources\":[" resources "],\"clusterScope\":" cluster \
	",\"namespaces\":[\"*\"]}"
#define LEASES RULE("\"get\",\"create\",\"update\"", "coordination.k8s.io", "\"leases\"", "false")
#define ALL "\"resourceRules\":[" RULE("\"*\"", "*", "\"*\"", "true") \
	"],\"nonResourceRules\":[{\"verbs\":[\"*\"],\"nonResourceURLs\":[\"*\"]}]"
#define EVERYBODY GROUP("system:unauthenticated") "," GROUP("system:authenticated")

static const struct flow {
	const char *name, *level;
	int precedence;
	const char *by; /* distinguisherMethod */
	const char *subjects, *rules;
	enum keep keep;
} flows[] = {
	{ "exempt", "exempt", 1, NULL, GROUP("system:masters"), ALL, KEEP_SAME },
	{ "probes", "exempt", 2, NULL, EVERYBODY,
	  "\"nonResourceRules\":[{\"verbs\":[\"get\"],\"nonResourceURLs\":[\"/healthz\",\"/readyz\",\"/livez\"]}]",
	  KEEP_SUGGESTED },
	{ "system-leader-election", "leader-election", 100, "ByUser",
	  USER("system:kube-controller-manager") "," USER("system:kube-scheduler") "," ACCOUNT("*"),
	  "\"resourceRules\":[" LEASES "]", KEEP_SUGGESTED },
	{ "endpoint-controller", "workload-high", 150, "ByUser",
	  USER("system:kube-controller-manager") "," ACCOUNT("endpoint-controller") ","
	  ACCOUNT("endpointslicemirroring-controller"),
	  "\"resourceRules\":[" RULE("\"get\",\"create\",\"update\"", "", "\"endpoints\"", "false") "]", KEEP_SUGGESTED },
	{ "workload-leader-election", "leader-election", 200, "ByUser", ACCOUNT("*"), "\"resourceRules\":[" LEASES "]",
	  KEEP_SUGGESTED },
	{ "system-node-high", "node-high", 400, "ByUser", GROUP("system:nodes"),
	  "\"resourceRules\":[" RULE("\"*\"", "", "\"nodes\",\"nodes/status\"", "true") ","
	  RULE("\"*\"", "coordination.k8s.io", "\"leases\"", "false") "]", KEEP_SUGGESTED },
	{ "system-nodes", "system", 500, "ByUser", GROUP("system:nodes"), ALL, KEEP_SUGGESTED },
	{ "kube-controller-manager", "workload-high", 800, "ByNamespace", USER("system:kube-controller-manager"), ALL,
	  KEEP_SUGGESTED },
	{ "kube-scheduler", "workload-high", 800, "ByNamespace", USER("system:kube-scheduler"), ALL, KEEP_SUGGESTED },
	{ "kube-system-service-accounts", "workload-high", 900, "ByNamespace", ACCOUNT("*"), ALL, KEEP_SUGGESTED },
	{ "service-accounts", "workload-low", 9000, "ByUser", GROUP("system:serviceaccounts"), ALL, KEEP_SUGGESTED },
	{ "global-default", "global-default", 9900, "ByUser", EVERYBODY, ALL, KEEP_SUGGESTED },
	{ "catch-all", "catch-all", 10000, "ByUser", EVERYBODY, ALL, KEEP_SAME },
};

static void flow_spec(const struct flow *f, struct buf *b)
{
	buf_addf(b, "{\"priorityLevelConfiguration\":{\"name\":\"%s\"},\"matchingPrecedence\":%d,", f->level,
		 f->precedence);
	if (f->by)
		buf_addf(b, "\"distinguisherMethod\":{\"type\":\"%s\"},", f->by);
	buf_addf(b, "\"rules\":[{\"subjects\":[%s],%s}]}", f->subjects, f->rules);
}

/* --- priority classes --- */

static const struct class {
	const char *name;
	int value;
	const char *description;
} classes[] = {
	{ "system-cluster-critical", 2000000000,
	  "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary." },
	{ "system-node-critical", 2000001000,
	  "Used for system critical pods that must not be moved from their current node." },
};

/* --- writing --- */

struct objects_call {
	struct call call;
	struct objects_sync *sync;
	struct obj *have; /* keeps its name */
};

struct objects_sync {
	struct api *api;
	VEC(struct objects_call *) calls;
	size_t open;
	bool failed;
	void (*done)(void *arg, bool failed);
	void *arg;
};

static struct objects_sync *objects_free(struct objects_sync *s)
{
	for (size_t i = 0; i < s->calls.n; i++) {
		doc_unref(s->calls.v[i]->call.body);
		obj_unref(s->calls.v[i]->have);
		free(s->calls.v[i]);
	}
	VEC_RELEASE(&s->calls);
	free(s);
	return NULL;
}

void objects_sync_free(struct api *a)
{
	if (a->objects)
		a->objects = objects_free(a->objects);
}

static void objects_written(struct call *c, const struct err *err)
{
	struct objects_sync *s = CONTAINER_OF(c, struct objects_call, call)->sync;
	void (*done)(void *arg, bool failed) = s->done;
	void *arg = s->arg;
	bool failed;

	/* What somebody else wrote meanwhile is looked at again: it is an event. */
	s->failed |= err && err->reason != ERR_ALREADY_EXISTS && err->reason != ERR_CONFLICT && err->reason != ERR_NOT_FOUND;
	failed = s->failed;
	if (--s->open)
		return;
	objects_sync_free(s->api);
	done(arg, failed);
}

static void objects_submit(struct objects_sync *s, enum verb verb, const struct resource *res, const char *ns,
			   struct obj *have, const char *sub, struct doc *d_take)
{
	struct objects_call *c = xcalloc(1, sizeof(*c));

	c->sync = s;
	c->have = have ? obj_ref(have) : NULL;
	c->call = (struct call){ .verb = verb, .res = res, .ns = ns, .name = have ? have->name : NULL,
				 .subresource = sub, .body = d_take, .done = objects_written };
	VEC_PUSH(&s->calls, c);
	s->open++;
	req_submit_call(s->api, &s->api->self, &c->call);
}

static bool objects_keep(struct obj *have, enum keep keep)
{
	const char *auto_update = meta_annotation(obj_node(have), AUTOUPDATE);

	return keep == KEEP_SAME || (keep == KEEP_SUGGESTED && auto_update && streq(auto_update, "true"));
}

/* The member `what` of the object that json describes is there as it should be. */
static void objects_put(struct objects_sync *s, const struct resource *res, const char *ns, const char *name,
			enum keep keep, enum field what, const char *json)
{
	struct obj *have = store_get(s->api->store, res, ns, name);
	_cleanup_doc_ struct doc *want = NULL;
	struct err e = ERR_INIT;
	struct doc *d;

	if (have && !objects_keep(have, keep))
		return;
	BUG_ON(doc_parse_json(&want, str_of(json), NULL, &e) < 0);
	if (!have) {
		objects_submit(s, VERB_CREATE, res, ns, NULL, NULL, take_ptr(&want));
		return;
	}
	schema_default((const struct schema_res *)res, want);
	if (node_equal(node_get(doc_root(want), what), node_get(obj_node(have), what)))
		return;
	d = doc_clone(obj_doc(have));
	node_set(d, doc_root(d), what, node_copy(d, node_get(doc_root(want), what)));
	objects_submit(s, VERB_UPDATE, res, ns, have, NULL, d);
}

/* --- what there is --- */

static void objects_put_flowcontrol(struct objects_sync *s, const char *plural, const char *name, enum keep keep,
				    const char *spec)
{
	_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"" AUTOUPDATE
					      "\":\"true\"}},\"spec\":%s}",
					      name, spec);

	objects_put(s, schema_res(FLOWCONTROL, plural), "", name, keep, F_spec, json);
}

static void objects_flowcontrol(struct objects_sync *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	objects_put_flowcontrol(s, "prioritylevelconfigurations", "exempt", KEEP_SAME,
				"{\"type\":\"Exempt\",\"exempt\":{\"nominalConcurrencyShares\":0,\"lendablePercent\":0}}");
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		buf_clear(&b);
		level_spec(&levels[i], &b);
		objects_put_flowcontrol(s, "prioritylevelconfigurations", levels[i].name, levels[i].keep, b.s);
	}
	for (size_t i = 0; i < ARRAY_SIZE(flows); i++) {
		buf_clear(&b);
		flow_spec(&flows[i], &b);
		objects_put_flowcontrol(s, "flowschemas", flows[i].name, flows[i].keep, b.s);
	}
}

/* Every flow schema says whether its priority level is there. */
static void objects_flow_status(struct objects_sync *s, struct obj *flow)
{
	const char *level = node_gets(node_path(obj_node(flow), F_spec, F_priorityLevelConfiguration), F_name);
	bool found = store_get(s->api->store, schema_res(FLOWCONTROL, "prioritylevelconfigurations"), "", level);
	struct doc *d = doc_clone(obj_doc(flow));
	struct node *conditions = node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions);
	_cleanup_free_ char *text =
		xasprintf("This FlowSchema references the PriorityLevelConfiguration object named \"%s\" %s", level,
			  found ? "and it exists" : "but there is no such object");

	if (cond_set(d, conditions, "Dangling", found ? "False" : "True", found ? "Found" : "NotFound", text))
		objects_submit(s, VERB_UPDATE, flow->res, "", flow, "status", d);
	else
		doc_unref(d);
}

static void objects_flows_status(struct objects_sync *s)
{
	struct store_list l = { .res = schema_res(FLOWCONTROL, "flowschemas") };
	_cleanup_err_ struct err e = ERR_INIT;

	if (store_list(s->api->store, &l, &e) < 0)
		return;
	for (size_t i = 0; i < l.n; i++)
		objects_flow_status(s, l.objs[i]);
	store_list_release(&l);
}

static void objects_classes(struct objects_sync *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		_cleanup_free_ char *json = xasprintf("{\"metadata\":{\"name\":\"%s\"},\"value\":%d,\"description\":\"%s\"}",
						      classes[i].name, classes[i].value, classes[i].description);

		objects_put(s, schema_res("scheduling.k8s.io", "priorityclasses"), "", classes[i].name, KEEP_THERE, F_value,
			    json);
	}
}

/* Left out, its class goes too when an earlier start has made it, as k3s takes back what is disabled. One of that name for
 * another provisioner is somebody else's. */
static void objects_storage(struct objects_sync *s)
{
	const struct resource *res = schema_res("storage.k8s.io", "storageclasses");
	struct obj *have = store_get(s->api->store, res, "", "local-path");

	if (s->api->cfg.local_storage)
		objects_put(s, res, "", "local-path", KEEP_THERE, F_provisioner,
			    "{\"metadata\":{\"name\":\"local-path\",\"annotations\":{\"storageclass.kubernetes.io/is-default-class\":"
			    "\"true\"}},\"provisioner\":\"kinglet.io/local-path\",\"volumeBindingMode\":\"WaitForFirstConsumer\","
			    "\"reclaimPolicy\":\"Delete\",\"allowVolumeExpansion\":true}");
	else if (have && node_streq(node_get(obj_node(have), F_provisioner), "kinglet.io/local-path"))
		objects_submit(s, VERB_DELETE, res, "", have, NULL, NULL);
}

/* The same of the ingress's class. */
static void objects_ingress(struct objects_sync *s)
{
	const struct resource *res = schema_res("networking.k8s.io", "ingressclasses");
	struct obj *have = store_get(s->api->store, res, "", INGRESS_CLASS);

	if (s->api->cfg.ingress)
		objects_put(s, res, "", INGRESS_CLASS, KEEP_THERE, F_spec,
			    "{\"metadata\":{\"name\":\"" INGRESS_CLASS
			    "\",\"annotations\":{\"ingressclass.kubernetes.io/is-default-class\":\"true\"}},"
			    "\"spec\":{\"controller\":\"" INGRESS_CONTROLLER "\"}}");
	else if (have && ingress_class_is_ours(obj_node(have)))
		objects_submit(s, VERB_DELETE, res, "", have, NULL, NULL);
}

/* The networks as ServiceCIDRs write them: a list, its first the primary one. */
static struct node *service_cidr_list(const struct api *a, struct doc *d)
{
	struct node *list = node_new(d, DOC_ARRAY);
	struct str rest = str_of(a->cfg.service_cidr);
	struct ip_prefix p;
	char text[IP_TEXT];

	do {
		if (ip_prefix_parse(&p, str_trim(str_cut(&rest, ','))))
			node_append(list, node_new_cstr(d, ip_prefix_print(&p, text)));
	} while (rest.p);
	return list;
}

/* The ServiceCIDR `kubernetes` is made when it is missing. One that has the first network alone gets the second, when the
 * server is started with two; anything else that it says stays, as in Kubernetes, and is reported. */
static void objects_service_cidr(struct objects_sync *s)
{
	const struct resource *res = schema_res("networking.k8s.io", "servicecidrs");
	struct obj *have = store_get(s->api->store, res, "", "kubernetes");
	const struct node *is = have ? node_path(obj_node(have), F_spec, F_cidrs) : NULL;
	struct doc *d = have ? doc_clone(obj_doc(have)) : doc_new();
	struct node *spec, *want = service_cidr_list(s->api, d);

	if (have && (meta_is_deleting(obj_node(have)) || node_equal(is, want))) {
		doc_unref(d);
		return;
	}
	if (have && !(node_count(is) == 1 && node_count(want) == 2 && node_equal(node_first(is), node_first(want)))) {
		log_warn("the ServiceCIDR does not have the service network that this server was started with",
			 LS("name", have->name), LS("service_cidr", s->api->cfg.service_cidr));
		doc_unref(d);
		return;
	}
	if (!have) {
		doc_set_root(d, node_new(d, DOC_OBJECT));
		node_sets(d, node_need_object(d, doc_root(d), F_metadata), F_name, "kubernetes");
	}
	spec = node_need_object(d, doc_root(d), F_spec);
	node_set(d, spec, F_cidrs, want);
	objects_submit(s, have ? VERB_UPDATE : VERB_CREATE, res, "", have, NULL, d);
}

/* What the name servers of the nodes answer at (svc/dns.c), as a Service that other proxies leave alone too. It has no
 * selector: the address is every node's own. Left out, it goes when it is ours. */
#define DNS_PROXY "kinglet"
#define DNS_PROXY_LABEL "service.kubernetes.io/service-proxy-name"

static void objects_dns_spec(const char *addresses, struct buf *b)
{
	struct str rest = str_of(addresses), first = str_trim(str_cut(&rest, ',')), second = str_trim(rest);

	buf_addf(b, "{\"clusterIP\":\"%" STR_FMT "\",\"clusterIPs\":[\"%" STR_FMT "\"", STR_ARG(first), STR_ARG(first));
	if (second.n)
		buf_addf(b, ",\"%" STR_FMT "\"],\"ipFamilyPolicy\":\"RequireDualStack\"", STR_ARG(second));
	else
		buf_adds(b, "]");
	buf_adds(b, ",\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"},{\"name\":\"dns-tcp\",\"port\":53,"
		    "\"protocol\":\"TCP\"},{\"name\":\"metrics\",\"port\":9153,\"protocol\":\"TCP\"}]}");
}

/* Where that Service leads, for those who look: the same address. */
static void objects_dns_endpoints(struct objects_sync *s)
{
	struct str rest = str_of(s->api->cfg.cluster_dns);
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, "{\"metadata\":{\"name\":\"kube-dns\",\"namespace\":\"kube-system\"},\"subsets\":[{\"addresses\":[");
	for (bool first = true; rest.p; first = false) {
		struct str one = str_trim(str_cut(&rest, ','));

		buf_addf(&b, "%s{\"ip\":\"%" STR_FMT "\"}", first ? "" : ",", STR_ARG(one));
	}
	buf_adds(&b, "],\"ports\":[{\"name\":\"dns\",\"port\":53,\"protocol\":\"UDP\"},{\"name\":\"dns-tcp\",\"port\":53,"
		     "\"protocol\":\"TCP\"},{\"name\":\"metrics\",\"port\":9153,\"protocol\":\"TCP\"}]}]}");
	objects_put(s, schema_res("", "endpoints"), "kube-system", "kube-dns", KEEP_SAME, F_subsets, b.s);
}

static void objects_dns(struct objects_sync *s)
{
	const struct resource *res = schema_res("", "services");
	struct obj *have = store_get(s->api->store, res, "kube-system", "kube-dns");
	const char *proxy = have ? meta_label(obj_node(have), DNS_PROXY_LABEL) : NULL, *address = s->api->cfg.cluster_dns;
	struct str rest = str_of(address);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (have && streq_null(proxy, DNS_PROXY) &&
	    (!address || !str_eqc(str_trim(str_cut(&rest, ',')), node_gets(node_get(obj_node(have), F_spec), F_clusterIP)))) {
		objects_submit(s, VERB_DELETE, res, "kube-system", have, NULL, NULL); /* made anew: it is looked at again then */
		return;
	}
	if (address && (!have || streq_null(proxy, DNS_PROXY)))
		objects_dns_endpoints(s);
	if (have || !address)
		return;
	buf_adds(&b, "{\"metadata\":{\"name\":\"kube-dns\",\"namespace\":\"kube-system\",\"labels\":{\"k8s-app\":\"kube-dns\","
		     "\"kubernetes.io/cluster-service\":\"true\",\"kubernetes.io/name\":\"CoreDNS\",\"" DNS_PROXY_LABEL
		     "\":\"" DNS_PROXY "\"},\"annotations\":{\"prometheus.io/port\":\"9153\",\"prometheus.io/scrape\":\"true\"}},"
		     "\"spec\":");
	objects_dns_spec(address, &b);
	buf_addch(&b, '}');
	objects_put(s, res, "kube-system", "kube-dns", KEEP_THERE, F_spec, b.s);
}

static void objects_authentication(struct objects_sync *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!s->api->cfg.ca_pem)
		return;
	buf_adds(&b, "{\"metadata\":{\"name\":\"extension-apiserver-authentication\",\"namespace\":\"kube-system\"},"
		     "\"data\":{\"client-ca-file\":");
	buf_add_json_string(&b, str_of(s->api->cfg.ca_pem));
	buf_adds(&b, "}}");
	objects_put(s, schema_res("", "configmaps"), "kube-system", "extension-apiserver-authentication", KEEP_SAME,
		    F_data, b.s);
}

bool objects_sync(struct api *a, void (*done)(void *arg, bool failed), void *arg)
{
	struct objects_sync *s;

	BUG_ON(a->objects);
	s = xcalloc(1, sizeof(*s));
	s->api = a;
	s->done = done;
	s->arg = arg;
	objects_classes(s);
	objects_flowcontrol(s);
	objects_flows_status(s);
	objects_storage(s);
	objects_ingress(s);
	objects_service_cidr(s);
	objects_authentication(s);
	objects_dns(s);
	if (s->open) {
		a->objects = s;
		return true;
	}
	objects_free(s);
	return false;
}

static const struct {
	const char *group, *plural, *ns, *name; /* name NULL: few of that kind are not */
} objects_watched[] = {
	{ "", "namespaces", "", "default" },
	{ "", "namespaces", "", "kube-system" },
	{ "", "namespaces", "", "kube-public" },
	{ "", "namespaces", "", "kube-node-lease" },
	{ "", "services", "default", "kubernetes" },
	{ "", "services", "kube-system", "kube-dns" },
	{ "", "endpoints", "default", "kubernetes" },
	{ "discovery.k8s.io", "endpointslices", "default", "kubernetes" },
	{ "", "configmaps", "kube-system", "extension-apiserver-authentication" },
	{ FLOWCONTROL, "flowschemas", "", NULL },
	{ FLOWCONTROL, "prioritylevelconfigurations", "", NULL },
	{ "scheduling.k8s.io", "priorityclasses", "", NULL },
	{ "networking.k8s.io", "servicecidrs", "", "kubernetes" },
};

bool objects_is_watched(const struct obj *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(objects_watched); i++)
		if (streq(o->res->plural, objects_watched[i].plural) && streq(o->res->group, objects_watched[i].group) &&
		    streq(o->ns, objects_watched[i].ns) &&
		    (!objects_watched[i].name || streq(o->name, objects_watched[i].name)))
			return true;
	return false;
}
