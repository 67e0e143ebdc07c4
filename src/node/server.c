/*
 * The agent's HTTP server: connections come from agent_dial (a socket pair into
 * the API server of the same process). Paths are the kubelet's; `routes` below
 * has them all. Logs are streamed by serve-log.c, exec, attach and port-forward
 * by stream.c.
 */
#include <errno.h>
#include <sys/socket.h>

#include "node/server.h"

struct server {
	struct node_agent *agent;
	struct http_server *http, *https; /* https NULL: no port */
	struct tls *tls;
	struct auth *auth;
	int port; /* of https; 0: none */
	TAILQ_HEAD(, session) sessions;
};

struct node_agent *server_agent(struct server *s)
{
	return s->agent;
}

void session_add(struct server *s, struct session *e)
{
	TAILQ_INSERT_TAIL(&s->sessions, e, link);
}

void session_del(struct server *s, struct session *e)
{
	TAILQ_REMOVE(&s->sessions, e, link);
}

struct ctr *server_ctr(struct server *s, const char *uid, const char *name)
{
	struct pod *p = map_getc(s->agent->by_uid, uid);

	return p ? pod_ctr(p, name) : NULL;
}

void server_error(struct http_req *r, int status, const char *fmt, ...)
{
	struct http_resp resp = {.status = status, .content_type = "text/plain; charset=utf-8"};
	_cleanup_buf_ struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	http_reply(r, &resp, buf_str(&b));
}

void server_reply(struct http_req *r, const char *content_type, struct str body)
{
	struct http_resp resp = {.status = 200, .content_type = content_type};

	http_reply(r, &resp, body);
}

/* --- routing --- */

char *server_segment(struct str *rest)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct str part;

	if (!rest->p)
		return NULL;
	part = str_cut(rest, '/');
	if (!buf_add_url_decoded(&b, part, false))
		return NULL;
	return buf_detach(&b, NULL);
}

/* NS/POD/CONTAINER, or NS/POD/UID/CONTAINER; without the container for port-forward. */
static struct pod *target_pod(struct server *s, struct http_req *r, struct str *rest)
{
	_cleanup_free_ char *ns = server_segment(rest), *name = server_segment(rest);
	struct pod *p = ns && name ? agent_pod(s->agent, ns, name) : NULL;

	if (!p)
		server_error(r, 404, "pod does not exist");
	return p;
}

static struct ctr *target_ctr(struct server *s, struct http_req *r, struct str rest)
{
	struct pod *p = target_pod(s, r, &rest);
	_cleanup_free_ char *first = NULL, *second = NULL;
	const char *name;
	struct ctr *c;

	if (!p)
		return NULL;
	first = server_segment(&rest);
	second = server_segment(&rest);
	name = second ? second : first ? first : "";
	c = second && !streq(first, p->uid) ? NULL : pod_ctr(p, name);
	if (!c)
		server_error(r, 404, "container %s not found in pod %s", name, p->name);
	return c;
}

static void route_logs(struct server *s, struct http_req *r, struct str rest, struct str query)
{
	struct ctr *c = target_ctr(s, r, rest);

	if (c)
		serve_container_logs(s, r, c, query);
}

static void route_exec(struct server *s, struct http_req *r, struct str rest, struct str query)
{
	struct ctr *c = target_ctr(s, r, rest);

	if (c)
		stream_exec(s, r, c, query);
}

static void route_attach(struct server *s, struct http_req *r, struct str rest, struct str query)
{
	struct ctr *c = target_ctr(s, r, rest);

	if (c)
		stream_attach(s, r, c, query);
}

static void route_run(struct server *s, struct http_req *r, struct str rest, struct str query)
{
	struct ctr *c = target_ctr(s, r, rest);

	if (c)
		serve_run(s, r, c, query);
}

static void route_port_forward(struct server *s, struct http_req *r, struct str rest, struct str query UNUSED)
{
	struct pod *p = target_pod(s, r, &rest);
	_cleanup_free_ char *uid = p ? server_segment(&rest) : NULL;

	if (!p)
		return;
	if (uid && !streq(uid, p->uid))
		server_error(r, 404, "pod not found");
	else
		stream_port_forward(s, r, p);
}

/* The longest match of a path has its own row before that of what is above it. */
static const struct route routes[] = {
	{"/healthz", ROUTE_GET | ROUTE_HEAD, {"healthz", "proxy"}, serve_healthz},
	{"/pods", ROUTE_GET, {"pods", "proxy"}, serve_pods},
	{"/runningpods", ROUTE_GET, {"pods", "proxy"}, serve_running_pods},
	{"/containerLogs/", ROUTE_GET, {"proxy"}, route_logs},
	{"/exec/", ROUTE_GET | ROUTE_POST, {"proxy"}, route_exec},
	{"/attach/", ROUTE_GET | ROUTE_POST, {"proxy"}, route_attach},
	{"/portForward/", ROUTE_GET | ROUTE_POST, {"proxy"}, route_port_forward},
	{"/run/", ROUTE_POST, {"proxy"}, route_run},
	{"/configz", ROUTE_GET, {"configz", "proxy"}, serve_configz},
	{"/logs", ROUTE_GET, {"log"}, serve_files},
	{"/logs/", ROUTE_GET, {"log"}, serve_files},
	{"/stats/summary", ROUTE_GET, {"stats"}, serve_stats_summary},
	{"/metrics", ROUTE_GET, {"metrics"}, serve_metrics},
	{"/metrics/cadvisor", ROUTE_GET, {"metrics"}, serve_metrics_cadvisor},
	{"/metrics/resource", ROUTE_GET, {"metrics"}, serve_metrics_resource},
	{"/metrics/probes", ROUTE_GET, {"metrics"}, serve_metrics_probes},
};

const struct route *route_find(struct str path, struct str *rest)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
		size_t n = strlen(routes[i].path);
		bool tree = routes[i].path[n - 1] == '/';

		if (!str_eq(str_sub(path, 0, n), str_of(routes[i].path)) || (!tree && path.n > n))
			continue;
		if (rest)
			*rest = str_sub(path, n, path.n);
		return &routes[i];
	}
	return NULL;
}

static const struct {
	const char *name;
	unsigned bit;
} methods[] = {
	{"GET", ROUTE_GET}, {"POST", ROUTE_POST}, {"HEAD", ROUTE_HEAD},
	{"PUT", ROUTE_PUT}, {"DELETE", ROUTE_DELETE}, {"PATCH", ROUTE_PATCH},
};

static bool route_allows(const struct route *t, struct str method)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (str_eqc(method, methods[i].name))
			return t->methods & methods[i].bit;
	return false;
}

static void serve(struct server *s, struct http_req *r)
{
	const struct http_head *h = http_req_head(r);
	struct str rest;
	const struct route *t = route_find(h->path, &rest);

	if (!t)
		server_error(r, 404, "404 page not found");
	else if (!route_allows(t, h->method))
		server_error(r, 405, "405: Method Not Allowed");
	else
		t->serve(s, r, rest, h->query);
}

static void on_request(void *arg, struct http_req *r)
{
	serve(arg, r);
}

static void on_https_request(void *arg, struct http_req *r)
{
	struct server *s = arg;

	auth_check(s->auth, r, route_find(http_req_head(r)->path, NULL), serve);
}

struct server *server_new(struct node_agent *n)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct http_server_config cfg = {.loop = n->loop, .on_request = on_request, .arg = s};

	s->agent = n;
	TAILQ_INIT(&s->sessions);
	s->http = http_server_new(&cfg);
	return s;
}

int server_listen(struct server *s, const struct node_listen *l, struct err *e)
{
	struct tls_config tls = {.cert_pem = l->cert_pem, .key_pem = l->key_pem, .ca_pem = l->client_ca_pem,
				 .ask_client_cert = true};
	struct http_server_config cfg = {.loop = s->agent->loop, .on_request = on_https_request, .arg = s};

	if (tls_new(&s->tls, &tls, true, e) < 0)
		return -e->code;
	cfg.tls = s->tls;
	s->auth = auth_new(s);
	s->https = http_server_new(&cfg);
	if (http_server_listen(s->https, l->address, l->port, &s->port, e) < 0)
		return err_wrap(e, "the node's own port; choose another one with --kubelet-port, or 0 for none");
	return 0;
}

int server_port(const struct server *s)
{
	return s->port;
}

struct server *server_free(struct server *s)
{
	struct session *e;

	if (!s)
		return NULL;
	auth_free(s->auth);
	while ((e = TAILQ_FIRST(&s->sessions)))
		e->end(e);
	http_server_free(s->http);
	http_server_free(s->https);
	tls_free(s->tls);
	free(s);
	return NULL;
}

int server_dial(struct server *s)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return -errno;
	http_server_adopt(s->http, fds[0], "local");
	return fds[1];
}
