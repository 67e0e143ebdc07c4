/*
 * healthCheckNodePort: a load balancer outside asks each node on that port whether
 * it has endpoints of the Service (externalTrafficPolicy Local). Path and method do
 * not matter; status, headers and body are kube-proxy's.
 */
#include <stdio.h>

#include "base/log.h"
#include "base/map.h"
#include "http/http.h"
#include "svc/proxy.h"

#define HEALTH_CONNECTIONS 128 /* of one port */

struct health_port {
	char *ns, *name;
	int port;
	size_t endpoints;
	struct http_server *server;
};

struct health {
	struct loop *loop;
	struct map *ports; /* by Service */
};

static void health_port_free(void *p)
{
	struct health_port *h = p;

	http_server_free(h->server);
	free(h->ns);
	free(h->name);
	free(h);
}

struct health *health_new(struct loop *l)
{
	struct health *h = xcalloc(1, sizeof(*h));

	h->loop = l;
	h->ports = map_new(health_port_free);
	return h;
}

struct health *health_free(struct health *h)
{
	if (!h)
		return NULL;
	map_free(h->ports);
	free(h);
	return NULL;
}

static void health_on_request(void *arg, struct http_req *r)
{
	const struct health_port *h = arg;
	_cleanup_buf_ struct buf body = BUF_INIT;
	char weight[24];
	struct http_header headers[] = {
		{ STR_LIT("X-Content-Type-Options"), STR_LIT("nosniff") },
		{ STR_LIT("X-Load-Balancing-Endpoint-Weight"), { NULL, 0 } },
	};
	struct http_resp resp = { .status = h->endpoints ? 200 : 503, .content_type = "application/json",
				  .headers = headers, .n_headers = ARRAY_SIZE(headers) };

	snprintf(weight, sizeof(weight), "%zu", h->endpoints);
	headers[1].value = str_of(weight);
	buf_addf(&body, "{\n\t\"service\": {\n\t\t\"namespace\": \"%s\",\n\t\t\"name\": \"%s\"\n\t},\n"
			"\t\"localEndpoints\": %zu,\n\t\"serviceProxyHealthy\": true\n}", h->ns, h->name, h->endpoints);
	http_reply(r, &resp, buf_str(&body));
}

static void health_listen(struct health *h, struct health_port *p)
{
	struct http_server_config cfg = { .loop = h->loop, .on_request = health_on_request, .arg = p,
					  .max_connections = HEALTH_CONNECTIONS };
	_cleanup_err_ struct err e = ERR_INIT;
	int got;

	p->server = http_server_new(&cfg);
	if (http_server_listen(p->server, "::", p->port, &got, &e) == 0)
		return;
	err_release(&e);
	if (http_server_listen(p->server, "0.0.0.0", p->port, &got, &e) == 0)
		return;
	log_warn("the health check of a Service can't be served", LS("namespace", p->ns), LS("service", p->name), LE(&e));
	p->server = http_server_free(p->server);
}

void health_set(struct health *h, const char *key, int port, size_t local_endpoints)
{
	struct health_port *p = map_getc(h->ports, key);
	struct str name = str_of(key), ns = str_cut(&name, '/');

	if (p && p->port != port) {
		map_del(h->ports, str_of(key));
		p = NULL;
	}
	if (!port)
		return;
	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->ns = str_dup(ns);
		p->name = str_dup(name);
		p->port = port;
		map_set(h->ports, str_of(key), p);
	}
	p->endpoints = local_endpoints;
	if (!p->server)
		health_listen(h, p);
}
