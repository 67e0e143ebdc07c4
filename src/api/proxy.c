/*
 * The proxy subresources of pods, services and nodes:
 *
 *	/api/v1/namespaces/NS/pods/[SCHEME:]NAME[:PORT]/proxy/PATH
 *	/api/v1/namespaces/NS/services/[SCHEME:]NAME[:PORT]/proxy/PATH
 *	/api/v1/nodes/[SCHEME:]NAME[:PORT]/proxy/PATH
 *
 * SCHEME is http or https. A pod's port is a number or the name of one of its
 * containers' ports, by default the first of those, else 80 or 443; a Service's
 * is one of its own by name or number, and leads to a ready endpoint of it; a
 * node's is the kubelet's, who is spoken to as the API server, or another one.
 *
 * Who is reached, the errors and their texts are those of Kubernetes'
 * ResourceLocation (pkg/registry/core/{pod,service,node}). Addresses that are
 * not for others (loopback, link-local) are not, nor is a Service's endpoint that
 * is no pod's. The path and the query go on as they were sent, byte for byte.
 */
#include "api/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "http/http.h"

#define BIT(v) (1u << (v))
#define PROXY_KUBELET_PORT 10250

struct proxy_name { /* [scheme:]name[:port] */
	const char *scheme, *name, *port;
};

static int proxy_bad_name(struct req *r, struct err *e)
{
	return err_bad(e, "invalid %s request \"%s\"", r->res->r.singular, r->at.name);
}

static const char *proxy_part(struct req *r, struct str s)
{
	return s.n ? arena_memdupz(r->arena, s.p, s.n) : "";
}

static int proxy_split(struct req *r, struct proxy_name *b, struct err *e)
{
	struct str rest = str_of(r->at.name), part[3];
	size_t n = 0;

	while (rest.p && n < 3)
		part[n++] = str_cut(&rest, ':');
	if (rest.p || !n)
		return proxy_bad_name(r, e);
	*b = (struct proxy_name){ "", proxy_part(r, part[n == 3]), "" };
	if (n == 3)
		b->scheme = proxy_part(r, part[0]);
	if (n > 1)
		b->port = proxy_part(r, part[n - 1]);
	if (!*b->name || (*b->scheme && !streq(b->scheme, "http") && !streq(b->scheme, "https")))
		return proxy_bad_name(r, e);
	return 0;
}

static bool proxy_is_secure(const struct proxy_name *b)
{
	return streq(b->scheme, "https");
}

/* -1: no port number. */
static int proxy_port(const char *text)
{
	int64_t n = 0;

	return str_to_i64(str_of(text), &n) && n > 0 && n < 65536 ? (int)n : -1;
}

/* An address that the API server goes to in somebody's name. */
static bool proxy_may_reach(const char *ip)
{
	struct in_addr a4;
	struct in6_addr a6;

	if (inet_pton(AF_INET, ip, &a4) == 1) {
		uint32_t a = ntohl(a4.s_addr);

		return a >> 24 != 127 && a >> 16 != 0xa9fe && a != 0 && a >> 8 != 0xe00000;
	}
	if (inet_pton(AF_INET6, ip, &a6) != 1 || IN6_IS_ADDR_V4MAPPED(&a6))
		return false;
	return !IN6_IS_ADDR_LOOPBACK(&a6) && !IN6_IS_ADDR_LINKLOCAL(&a6) && !IN6_IS_ADDR_UNSPECIFIED(&a6) &&
	       !IN6_IS_ADDR_MC_LINKLOCAL(&a6) && !IN6_IS_ADDR_MC_NODELOCAL(&a6);
}

/* --- the request, as it goes on --- */

/* The path up to and with ".../proxy"; what HTML would have to quote is escaped. */
static const char *proxy_prefix(struct req *r)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct str path = r->head->path;

	for (size_t i = 0; i < path.n - r->tail_raw.n; i++) {
		if (strchr("\"'<>&`", path.p[i]))
			buf_addf(&b, "%%%02X", path.p[i]);
		else
			buf_addch(&b, path.p[i]);
	}
	return arena_strdup(r->arena, b.s);
}

/* The path behind that, and the query. */
static const char *proxy_target(struct req *r)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool slash = r->tail_raw.n && r->tail_raw.p[0] == '/';

	if (!slash)
		buf_addch(&b, '/');
	buf_addstr(&b, str_sub(r->tail_raw, r->tail_raw.n && !slash ? strlen("%2F") : 0, r->tail_raw.n));
	if (r->head->query.p) {
		buf_addch(&b, '?');
		buf_addstr(&b, r->head->query);
	}
	return arena_strdup(r->arena, b.s);
}

/* The links of a site make sense from its root on only with the slash at its end. */
static bool proxy_wants_slash(struct req *r)
{
	return !r->tail_raw.n && !r->head->upgrade && (str_eqc(r->head->method, "GET") || str_eqc(r->head->method, "HEAD"));
}

static int proxy_add_slash(struct req *r)
{
	r->location = arena_printf(r->arena, "%s/%s%.*s", proxy_prefix(r), r->head->query.n ? "?" : "",
				   (int)r->head->query.n, r->head->query.n ? r->head->query.p : "");
	answer_text(r, 301, NULL);
	return STEP_DONE;
}

static int proxy_go(struct req *r, const char *kind, const struct relay_to *where, struct err *e)
{
	struct relay_to *to;

	if (stream_admit(r, kind, e) < 0)
		return -e->code;
	if (proxy_wants_slash(r))
		return proxy_add_slash(r);
	to = arena_zalloc(r->arena, sizeof(*to));
	*to = *where;
	to->prefix = proxy_prefix(r);
	to->target = proxy_target(r);
	return relay_start(r, to, e);
}

/* --- to whom --- */

/* ret: -1 when the pod has no such port. */
static int proxy_pod_port(const struct node *spec, const struct proxy_name *b)
{
	int n = proxy_port(b->port);
	const struct node *first = NULL;

	if (n > 0 || (*b->port && b->port[0] >= '0' && b->port[0] <= '9'))
		return n;
	NODE_FOREACH(c, node_get(spec, F_containers))
		NODE_FOREACH(p, node_get(c, F_ports)) {
			if (*b->port && streq(node_gets(p, F_name), b->port))
				return (int)node_int(node_get(p, F_containerPort), -1);
			if (!first && streq_null(node_gets(p, F_protocol), "TCP"))
				first = p;
		}
	if (*b->port)
		return -1;
	return first ? (int)node_int(node_get(first, F_containerPort), -1) : proxy_is_secure(b) ? 443 : 80;
}

static int act_proxy_pod(struct req *r, struct err *e)
{
	struct relay_to to = { 0 };
	struct proxy_name b;
	struct obj *pod;

	if (stream_http_only(r, e) < 0 || proxy_split(r, &b, e) < 0)
		return -e->code;
	pod = store_get(r->api->store, &r->api->pods->r, r->at.ns, b.name);
	if (!pod)
		return err_not_found(e, &r->api->pods->r, b.name);
	to.host = arena_strdup(r->arena, node_gets(node_get(obj_node(pod), F_status), F_podIP));
	to.port = proxy_pod_port(node_get(obj_node(pod), F_spec), &b);
	to.secure = proxy_is_secure(&b);
	if (!proxy_may_reach(to.host))
		return err_bad(e, "address not allowed");
	if (to.port < 0)
		return err_set(e, ERR_SERVICE_UNAVAILABLE, "error trying to reach service: pod \"%s\" has no port \"%s\"",
			       b.name, b.port);
	return proxy_go(r, "PodProxyOptions", &to, e);
}

static int act_proxy_service(struct req *r, struct err *e)
{
	_cleanup_free_ char *host = NULL;
	struct relay_to to = { 0 };
	struct proxy_name b;

	if (stream_http_only(r, e) < 0 || proxy_split(r, &b, e) < 0 ||
	    backend_of_service(r->api, r->at.ns, b.name, b.port, true, &host, &to.port, e) < 0)
		return -e->code;
	to.host = arena_strdup(r->arena, host);
	to.secure = proxy_is_secure(&b);
	if (!proxy_may_reach(to.host))
		return err_bad(e, "address not allowed");
	return proxy_go(r, "ServiceProxyOptions", &to, e);
}

static const char *proxy_node_address(struct req *r, const struct node *status)
{
	NODE_FOREACH(a, node_get(status, F_addresses))
		if (node_streq(node_get(a, F_type), "InternalIP"))
			return arena_strdup(r->arena, node_gets(a, F_address));
	return "";
}

/* Another port of the node than its kubelet's. */
static int proxy_node_port(struct req *r, const struct node *status, const struct proxy_name *b, struct relay_to *to,
			   struct err *e)
{
	to->host = proxy_node_address(r, status);
	to->port = proxy_port(b->port);
	to->secure = proxy_is_secure(b);
	if (to->port < 0)
		return proxy_bad_name(r, e);
	return proxy_may_reach(to->host) ? 0 : err_bad(e, "address not allowed");
}

static int act_proxy_node(struct req *r, struct err *e)
{
	const struct resource *nodes = schema_res("", "nodes");
	struct relay_to to = { 0 };
	const struct node *status;
	struct proxy_name b;
	struct obj *node;
	int64_t kubelet;

	if (stream_http_only(r, e) < 0 || proxy_split(r, &b, e) < 0)
		return -e->code;
	node = store_get(r->api->store, nodes, "", b.name);
	if (!node)
		return err_not_found(e, nodes, b.name);
	status = node_get(obj_node(node), F_status);
	kubelet = node_int(node_path(status, F_daemonEndpoints, F_kubeletEndpoint, F_Port), PROXY_KUBELET_PORT);
	if (!*b.port || proxy_port(b.port) == kubelet)
		to.node = b.name;
	else if (proxy_node_port(r, status, &b, &to, e) < 0)
		return -e->code;
	return proxy_go(r, "NodeProxyOptions", &to, e);
}

#define PROXY_VERBS (BIT(VERB_GET) | BIT(VERB_CREATE) | BIT(VERB_UPDATE) | BIT(VERB_PATCH) | BIT(VERB_DELETE))

const struct handler proxy_handlers[] = {
	{ "", "pods", "proxy", PROXY_VERBS, act_proxy_pod, .plain = true },
	{ "", "services", "proxy", PROXY_VERBS, act_proxy_service, .plain = true },
	{ "", "nodes", "proxy", PROXY_VERBS, act_proxy_node, .plain = true },
	{ 0 },
};
