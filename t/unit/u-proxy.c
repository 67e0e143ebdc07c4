/*
 * The service proxy's decisions: objects in, plain structs out.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "obj/obj.h"
#include "svc/proxy.h"
#include "tap.h"

static struct proxy_plan plan;
static char text[400];

/* "10.0.0.1:80 10.0.0.2:80" */
static const char *list(const struct net_endpoint *v, size_t n)
{
	char ip[NET_ADDR_TEXT];
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s:%u", i ? " " : "", net_addr_print(&v[i].addr, ip),
				       v[i].port);
	return text;
}

static struct obj *object(const char *group, const char *plural, const char *json)
{
	struct err e = ERR_INIT;
	struct obj *o = obj_from_json(schema_res(group, plural), str_of(json), &e);

	if (!o)
		printf("# %s\n", err_msg(&e));
	err_release(&e);
	return o;
}

/* spec: of the Service (with clusterIP and one port); endpoints: of its slice. */
static void make_in(const char *zone, const char *labels, const char *spec, const char *status, const char *endpoints)
{
	_cleanup_free_ char *svc = xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"s\",\"namespace\":"
		"\"d\",\"uid\":\"u\",\"creationTimestamp\":\"1970-01-01T00:00:10Z\",\"labels\":{%s}},\"spec\":{\"clusterIP\":\"10.43.0.9\","
		"\"clusterIPs\":[\"10.43.0.9\"],\"ports\":[{\"name\":\"p\",\"port\":80,\"nodePort\":30080,\"protocol\":\"TCP\"}]%s},"
		"\"status\":{%s}}", labels, spec, status);
	_cleanup_free_ char *slice = xasprintf("{\"apiVersion\":\"discovery.k8s.io/v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":"
		"\"s-1\",\"namespace\":\"d\",\"uid\":\"u\"},\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"p\",\"port\":8080,"
		"\"protocol\":\"TCP\"}],\"endpoints\":[%s]}", endpoints);
	struct proxy_view view = { .node_name = "n1", .zone = zone };
	struct obj *o = object("", "services", svc), *s = object("discovery.k8s.io", "endpointslices", slice);
	svc_slice_list slices = { &s, 1, 1 };

	if (plan.arena)
		proxy_plan_release(&plan);
	(void)net_addr_parse(&view.node_ip, "192.0.2.1");
	proxy_plan_make(&plan, &view, o, &slices);
	obj_unref(o);
	obj_unref(s);
}

static void make(const char *spec, const char *endpoints)
{
	make_in("z1", "", spec, "", endpoints);
}

static const struct net_service_port *port(void)
{
	static const struct net_service_port none;

	return plan.ports.n ? &plan.ports.v[0] : &none;
}

static const char *cluster(void)
{
	return list(port()->cluster, port()->n_cluster);
}

static const char *local(void)
{
	return list(port()->local, port()->n_local);
}

#define READY(ip, node) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"" node "\",\"conditions\":{\"ready\":true}}"
#define DRAINS(ip, node) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"" node "\",\"conditions\":{\"ready\":false,\"serving\":true," \
			 "\"terminating\":true}}"
#define DEAD(ip, node) "{\"addresses\":[\"" ip "\"],\"nodeName\":\"" node "\",\"conditions\":{\"ready\":false,\"serving\":false}}"
#define HINT(ip, kind, to) "{\"addresses\":[\"" ip "\"],\"conditions\":{\"ready\":true},\"hints\":{\"" kind "\":[{\"name\":\"" to "\"}]}}"
#define EXT_LOCAL ",\"type\":\"NodePort\",\"externalTrafficPolicy\":\"Local\""

static void t_endpoints(void)
{
	make("", READY("10.0.0.2", "n2") "," READY("10.0.0.1", "n1") "," DEAD("10.0.0.3", "n1") "," DRAINS("10.0.0.4", "n1"));
	is_str(cluster(), "10.0.0.1:8080 10.0.0.2:8080", "ready ones, in order");
	is_int((long long)port()->n_local, 0, "local ones are not asked for");
	is_int(plan.created, 10, "its age");
	make("", DEAD("10.0.0.3", "n1") "," DRAINS("10.0.0.4", "n1") "," DRAINS("10.0.0.5", "n2"));
	is_str(cluster(), "10.0.0.4:8080 10.0.0.5:8080", "those that end, when there are no others");
	make(EXT_LOCAL, READY("10.0.0.2", "n2") "," DRAINS("10.0.0.4", "n1"));
	is_str(local(), "10.0.0.4:8080", "local ones that end, though another node has one that is ready");
	is_str(cluster(), "10.0.0.2:8080", "from inside to any");
	ok(port()->external_local && port()->any, "policy Local");
	make(EXT_LOCAL, READY("10.0.0.2", "n2"));
	ok(port()->n_local == 0 && port()->any, "only elsewhere: dropped");
	make(EXT_LOCAL, DEAD("10.0.0.2", "n2"));
	ok(port()->n_local == 0 && !port()->any, "nowhere: rejected");
	make(",\"internalTrafficPolicy\":\"Local\",\"type\":\"ClusterIP\"", READY("10.0.0.1", "n1") "," READY("10.0.0.2", "n2"));
	is_str(local(), "10.0.0.1:8080", "internal traffic that stays local");
	make("", READY("127.0.0.1", "n1") "," READY("169.254.1.1", "n1") "," READY("224.0.0.1", "n1") "," READY("0.0.0.0", "n1")
		"," READY("garbage", "n1") "," READY("fd00::1", "n1") ",{}," READY("10.0.0.1", "n1") "," DRAINS("10.0.0.1", "n1"));
	is_str(cluster(), "10.0.0.1:8080", "addresses that lead nowhere good, and one that is there twice");
}

static void t_hints(void)
{
	make("", HINT("10.0.0.1", "forZones", "z1") "," HINT("10.0.0.2", "forZones", "z2"));
	is_str(cluster(), "10.0.0.1:8080", "our zone");
	make_in("", "", "", "", HINT("10.0.0.1", "forZones", "z1") "," HINT("10.0.0.2", "forZones", "z2"));
	is_str(cluster(), "10.0.0.1:8080 10.0.0.2:8080", "a node without a zone");
	make_in("z3", "", "", "", HINT("10.0.0.1", "forZones", "z1") "," HINT("10.0.0.2", "forZones", "z2"));
	is_str(cluster(), "10.0.0.1:8080 10.0.0.2:8080", "nobody is for our zone");
	make("", HINT("10.0.0.1", "forZones", "z1") "," READY("10.0.0.2", "n2"));
	is_str(cluster(), "10.0.0.1:8080 10.0.0.2:8080", "one without hints");
	make("", HINT("10.0.0.1", "forNodes", "n1") "," HINT("10.0.0.2", "forNodes", "n2"));
	is_str(cluster(), "10.0.0.1:8080", "our node");
}

static void t_service(void)
{
	const char *one = READY("10.0.0.1", "n1");

	make_in("", "\"service.kubernetes.io/service-proxy-name\":\"x\"", "", "", one);
	is_int((long long)plan.ports.n, 0, "another proxy's");
	make(",\"type\":\"ExternalName\",\"externalName\":\"example.com\"", one);
	is_int((long long)plan.ports.n, 0, "ExternalName");
	make(",\"clusterIP\":\"None\"", one);
	is_int((long long)plan.ports.n, 0, "headless");
	make(",\"sessionAffinity\":\"ClientIP\",\"sessionAffinityConfig\":{\"clientIP\":{\"timeoutSeconds\":30}}", one);
	is_int(port()->affinity_s, 30, "affinity");
	make(",\"externalIPs\":[\"198.51.100.1\",\"fd00::1\"]", one);
	is_int((long long)port()->n_external, 1, "external addresses of the family");
	make_in("", "", ",\"type\":\"LoadBalancer\",\"loadBalancerSourceRanges\":[\"192.0.2.0/24\",\" 10.0.0.0/8 \",\"fd00::/8\"],"
		"\"externalTrafficPolicy\":\"Local\",\"healthCheckNodePort\":32000",
		"\"loadBalancer\":{\"ingress\":[{\"ip\":\"203.0.113.1\"},{\"ip\":\"203.0.113.2\",\"ipMode\":\"Proxy\"},"
		"{\"hostname\":\"x\"},{\"ip\":\"203.0.113.3\",\"ipMode\":\"VIP\"}]}", one);
	is_int((long long)port()->n_lb, 2, "addresses of a load balancer, without those that it keeps to itself");
	ok(port()->restricted, "source ranges");
	is_int((long long)port()->n_sources, 5, "and its own addresses, as the node is among them");
	is_int(plan.health_port, 32000, "health check");
	is_int((long long)plan.local_ready, 1, "endpoints here");
	make(",\"clusterIPs\":[\"10.43.0.9\",\"fd43::9\"],\"clusterIP\":\"10.43.0.9\"", one);
	ok(plan.ports.n == 2 && plan.ports.v[1].family == AF_INET6 && plan.ports.v[1].n_cluster == 0, "two families");
}

int main(void)
{
	t_endpoints();
	t_hints();
	t_service();
	proxy_plan_release(&plan);
	return done_testing();
}
