/*
 * Requests that end somewhere else: pods/log, exec, attach, portforward, and the
 * proxy subresources of pods, services and nodes.
 *
 * The API server finds out where (the pod's node, its address, a Service's
 * endpoint), turns the request into the kubelet's form (paths and option names:
 * node/node.h), and stands between the two: head to head, then bytes both ways.
 * After 101 the two connections are one stream and the request is over; any
 * other answer is passed on as it comes, held back while the client does not
 * read. What goes wrong before the far side has answered is a Status.
 *
 *	struct proxy	one such request. on_head, on_data and on_done are the far
 *			side's; proxy_gone the client's. It ends in proxy_end, on the
 *			loop's next turn, because the far side's callbacks are still on
 *			the stack when it is decided.
 */
#include "api/internal.h"

#include <errno.h>
#include <stdio.h>

#include "http/http.h"

#define BIT(v) (1u << (v))
#define PROXY_QUEUE_BYTES (256u << 10)
#define PROXY_ERROR_BYTES (10u << 10) /* of the node's own words in a Status */
#define PROXY_HEAD_MS 60000

struct proxy {
	struct req *r;
	struct http_client *client;
	struct tls *tls; /* NULL: plain */
	struct http_exchange x;
	const char *node; /* NULL: host and port */
	VEC(struct http_header) headers;
	bool head_seen, over;
	bool status_from_text; /* a log: errors of the node become a Status */
	struct buf error_text;
	int error_status;
	struct err err;
};

/* --- the end --- */

static void proxy_free(struct proxy *p)
{
	http_client_free(p->client);
	tls_free(p->tls);
	VEC_RELEASE(&p->headers);
	buf_release(&p->error_text);
	err_release(&p->err);
	free(p);
}

static void proxy_end(struct loop_task *t)
{
	struct req *r = CONTAINER_OF(t, struct req, task);
	struct proxy *p = take_ptr(&r->stream);
	struct err err = ERR_INIT;

	err_move(&err, &p->err);
	proxy_free(p);
	if (err_is_set(&err))
		err_move(&r->err, &err);
	req_finish(r);
}

static void proxy_over(struct proxy *p)
{
	struct req *r = p->r;

	if (p->over)
		return;
	p->over = true;
	r->on_gone = NULL;
	r->task.run = proxy_end;
	loop_defer(r->api->loop, &r->task);
}

static void proxy_gone(struct req *r)
{
	struct proxy *p = r->stream;

	if (!p->over)
		http_client_cancel(&p->x);
	proxy_over(p);
}

/* --- from the far side --- */

/* Headers that belong to one connection, not to the message. */
static bool header_is_hop(struct str name)
{
	static const char *const hop[] = { "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE",
					   "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length" };

	for (size_t i = 0; i < ARRAY_SIZE(hop); i++)
		if (str_ieq(name, str_of(hop[i])))
			return true;
	return false;
}

static void proxy_joined(struct proxy *p, const struct http_head *h)
{
	struct http_resp resp = { .status = 101 };
	VEC(struct http_header) v = VEC_INIT;
	struct stream *down, *up = take_ptr(&p->x.upgraded);

	for (size_t i = 0; i < h->n_headers; i++)
		VEC_PUSH(&v, h->headers[i]);
	VEC_PUSH(&v, ((struct http_header){ STR_LIT("Audit-Id"), str_of(p->r->id) }));
	resp.headers = v.v;
	resp.n_headers = v.n;
	http_req_on_gone(p->r->http, NULL, NULL);
	down = http_upgrade(take_ptr(&p->r->http), &resp);
	VEC_RELEASE(&v);
	p->r->on_gone = NULL;
	p->r->status = 101;
	audit_started(p->r);
	if (down && up)
		stream_join(down, up, NULL, NULL);
	else if (down)
		stream_close(down, false);
	else if (up)
		stream_close(up, false);
}

static void proxy_drained(void *arg)
{
	struct proxy *p = arg;

	if (!p->over)
		http_exchange_pause(&p->x, false);
}

static void proxy_on_head(struct http_exchange *x, const struct http_head *h)
{
	struct proxy *p = x->arg;
	struct http_resp resp = { .status = h->status };
	_cleanup_free_ char *type = NULL;
	VEC(struct http_header) v = VEC_INIT;

	p->head_seen = true;
	if (!p->r->http)
		return;
	if (h->status == 101) {
		proxy_joined(p, h);
		return;
	}
	if (p->status_from_text && h->status >= 400) {
		p->error_status = h->status;
		return;
	}
	for (size_t i = 0; i < h->n_headers; i++) {
		if (str_ieq(h->headers[i].name, STR_LIT("Content-Type")))
			type = str_dup(h->headers[i].value);
		else if (!header_is_hop(h->headers[i].name) && !str_ieq(h->headers[i].name, STR_LIT("Audit-Id")))
			VEC_PUSH(&v, h->headers[i]);
	}
	VEC_PUSH(&v, ((struct http_header){ STR_LIT("Audit-Id"), str_of(p->r->id) }));
	resp.content_type = type ? type : "text/plain";
	resp.headers = v.v;
	resp.n_headers = v.n;
	p->r->status = h->status;
	audit_started(p->r);
	http_begin(p->r->http, &resp);
	http_req_on_drain(p->r->http, proxy_drained, p);
	VEC_RELEASE(&v);
}

static void proxy_on_data(struct http_exchange *x, struct str data)
{
	struct proxy *p = x->arg;

	if (p->error_status) {
		if (p->error_text.len < PROXY_ERROR_BYTES)
			buf_addstr(&p->error_text, str_sub(data, 0, PROXY_ERROR_BYTES - p->error_text.len));
		return;
	}
	if (!p->r->http)
		return;
	http_chunk(p->r->http, data);
	if (http_req_queued(p->r->http) > PROXY_QUEUE_BYTES)
		http_exchange_pause(x, true);
}

/* What the node said in plain words, as the API's error. */
static void proxy_status(struct proxy *p)
{
	struct str text = str_trim(buf_str(&p->error_text));

	if (p->error_status == 400)
		err_set(&p->err, ERR_BAD_REQUEST, "%" STR_FMT, STR_ARG(text));
	else if (p->error_status == 404)
		err_set(&p->err, ERR_NOT_FOUND, "the server could not find the requested resource (%" STR_FMT ")",
			STR_ARG(text));
	else
		err_set(&p->err, ERR_INTERNAL, "Internal error occurred: %" STR_FMT, STR_ARG(text));
}

static void proxy_on_done(struct http_exchange *x, const struct err *err)
{
	struct proxy *p = x->arg;
	struct req *r = p->r;

	if (p->error_status) {
		proxy_status(p);
	} else if (r->http && !p->head_seen) {
		err_set(&p->err, ERR_INTERNAL, "Internal error occurred: error dialing backend: %s",
			err ? err_msg(err) : "no answer");
	} else if (r->http) {
		http_req_on_gone(r->http, NULL, NULL);
		if (err)
			http_abort(take_ptr(&r->http));
		else
			http_end(take_ptr(&r->http));
	}
	proxy_over(p);
}

/* --- beginning --- */

static int proxy_dial(void *arg)
{
	struct proxy *p = arg;
	const struct api_config *cfg = &p->r->api->cfg;

	return cfg->dial_node ? cfg->dial_node(cfg->arg, p->node) : -EHOSTUNREACH;
}

static bool header_is_private(struct str name)
{
	static const char *const ours[] = { "Authorization", "Host", "Cookie", "Expect" };

	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (str_ieq(name, str_of(ours[i])))
			return true;
	return str_ieq(str_sub(name, 0, strlen("Impersonate-")), STR_LIT("Impersonate-"));
}

/* A token that came as a WebSocket's subprotocol is a credential too. */
static struct http_header proxy_header(struct req *r, const struct http_header *h)
{
	if (r->ws_protocols && str_ieq(h->name, STR_LIT("Sec-WebSocket-Protocol")))
		return (struct http_header){ h->name, str_of(r->ws_protocols) };
	return *h;
}

/* The client's headers, but for those of its connection to us and its credentials. */
static void proxy_headers(struct proxy *p)
{
	const struct http_head *h = p->r->head;

	for (size_t i = 0; i < h->n_headers; i++) {
		const struct http_header *f = &h->headers[i];
		bool upgrade = h->upgrade && (str_ieq(f->name, STR_LIT("Upgrade")) ||
					      str_ieq(f->name, STR_LIT("Connection")));

		if (upgrade || (!header_is_hop(f->name) && !header_is_private(f->name)))
			VEC_PUSH(&p->headers, proxy_header(p->r, f));
	}
}

static struct proxy *proxy_new(struct req *r)
{
	struct proxy *p = xcalloc(1, sizeof(*p));

	p->r = r;
	buf_init(&p->error_text);
	r->stream = p;
	proxy_headers(p);
	p->x = (struct http_exchange){
		.method = arena_memdupz(r->arena, r->head->method.p, r->head->method.n),
		.headers = p->headers.v,
		.n_headers = p->headers.n,
		.timeout_ms = PROXY_HEAD_MS,
		.on_head = proxy_on_head,
		.on_data = proxy_on_data,
		.on_done = proxy_on_done,
		.arg = p,
	};
	if (r->raw.n)
		p->x.body = arena_str(r->arena, r->raw);
	return p;
}

static int proxy_send(struct proxy *p, const struct http_client_config *cfg, const char *target)
{
	p->client = http_client_new(cfg);
	p->x.target = target;
	p->r->on_gone = proxy_gone;
	http_client_send(p->client, &p->x);
	return STEP_WAIT;
}

static int proxy_to_node(struct req *r, const char *node, const char *target, bool status_from_text)
{
	struct proxy *p = proxy_new(r);
	struct http_client_config cfg = { .loop = r->api->loop, .host = node, .dial = proxy_dial, .arg = p };

	p->node = arena_strdup(r->arena, node);
	p->status_from_text = status_from_text;
	return proxy_send(p, &cfg, target);
}

/* secure: by TLS, with whatever certificate the backend has, as Kubernetes does. */
static int proxy_to_host(struct req *r, const char *host, int port, bool secure, const char *target, struct err *e)
{
	struct tls_config insecure = { .insecure = true };
	struct tls *tls = NULL;
	struct http_client_config cfg = { .loop = r->api->loop, .host = host, .port = port };
	struct proxy *p;

	if (secure && tls_new(&tls, &insecure, false, e) < 0)
		return -e->code;
	p = proxy_new(r);
	p->tls = cfg.tls = tls;

	return proxy_send(p, &cfg, target);
}

/* --- pods --- */

static struct obj *stream_pod(struct req *r, const char *name, struct err *e)
{
	struct obj *o = store_get(r->api->store, &r->api->pods->r, r->at.ns, name);

	if (!o)
		err_not_found(e, &r->api->pods->r, name);
	return o;
}

static void names_of(const struct node *list, struct buf *out)
{
	NODE_FOREACH(c, list)
		buf_addf(out, "%s%s", out->len ? " " : "", node_gets(c, F_name));
}

static bool has_container(const struct node *spec, const char *name)
{
	static const enum field lists[] = { F_containers, F_initContainers, F_ephemeralContainers };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		NODE_FOREACH(c, node_get(spec, lists[i]))
			if (streq(node_gets(c, F_name), name))
				return true;
	return false;
}

/* The container that is meant: the one named, or the only one. */
static const char *stream_container(struct req *r, struct obj *pod, struct err *e)
{
	const struct node *spec = node_get(obj_node(pod), F_spec), *list = node_get(spec, F_containers);
	_cleanup_buf_ struct buf names = BUF_INIT, init = BUF_INIT;
	const char *name = req_query(r, "container");

	if (!str_empty(name)) {
		if (has_container(spec, name))
			return name;
		err_bad(e, "container %s is not valid for pod %s", name, pod->name);
		return NULL;
	}
	if (node_count(list) == 1)
		return arena_strdup(r->arena, node_gets(node_at(list, 0), F_name));
	names_of(list, &names);
	names_of(node_get(spec, F_initContainers), &init);
	err_bad(e, "a container name must be specified for pod %s, choose one of: [%s]%s%s%s", pod->name, names.s,
		init.len ? " or one of the init containers: [" : "", init.s, init.len ? "]" : "");
	return NULL;
}

static const char *stream_node(struct obj *pod)
{
	return node_gets(node_get(obj_node(pod), F_spec), F_nodeName);
}

static int no_host(struct obj *pod, struct err *e)
{
	return err_bad(e, "pod %s does not have a host assigned", pod->name);
}

static int http_only(struct req *r, struct err *e)
{
	return r->http ? 0 : err_set(e, ERR_METHOD_NOT_ALLOWED, "streams are for HTTP clients");
}

/* --- log --- */

static int act_log(struct req *r, struct err *e)
{
	struct obj *pod;
	_cleanup_buf_ struct buf q = BUF_INIT;
	const char *container, *node;

	if (http_only(r, e) < 0 || log_options_query(r, &q, e) < 0 || !(pod = stream_pod(r, r->at.name, e)) ||
	    !(container = stream_container(r, pod, e)))
		return -e->code;
	node = stream_node(pod);
	if (!*node) { /* not placed yet: it has said nothing */
		answer_text(r, 200, "text/plain");
		return STEP_DONE;
	}
	return proxy_to_node(r, node,
			     arena_printf(r->arena, "/containerLogs/%s/%s/%s%s%s", pod->ns, pod->name, container,
					  q.len ? "?" : "", q.len ? q.s + 1 : ""),
			     true);
}

/* --- exec, attach, portforward --- */

/* A WebSocket is opened by GET; what it does is a create all the same. */
static int stream_may_create(struct req *r, struct err *e)
{
	struct attrs at = r->at;

	at.verb = "create";
	if (authz_check(r->api, r->user, &at))
		return 0;
	return err_forbidden(e, &r->res->r, r->at.name, "User \"%s\" cannot create resource \"pods/%s\" in API group \"\" in the namespace \"%s\"",
			     r->user->name, r->at.subresource, r->at.ns);
}

/* The options as the object that admission sees: PodExecOptions and its like. */
static int stream_admit(struct req *r, const char *kind, struct err *e)
{
	static const char *const flags[] = { "stdin", "stdout", "stderr", "tty" };
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	struct node *root;
	struct str rest = r->head->query;
	int64_t port;

	if (!r->may_ask)
		return 0;
	d = doc_new();
	root = node_new(d, DOC_OBJECT);
	doc_set_root(d, root);
	node_sets(d, root, F_kind, kind);
	node_sets(d, root, F_apiVersion, "v1");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (req_query_bool(r, flags[i]))
			node_setk(d, root, str_of(flags[i]), node_new_bool(d, true));
	while (http_query_next(&rest, &key, &value)) {
		if (streq(key.s, "container"))
			node_sets(d, root, F_container, value.s);
		else if (streq(key.s, "command"))
			node_append(node_need_array(d, root, F_command), node_new_str(d, buf_str(&value)));
		else if (streq(key.s, "ports") && str_to_i64(buf_str(&value), &port))
			node_append(node_need_array(d, root, F_ports), node_new_int(d, port));
	}
	if (r->tail)
		node_sets(d, root, F_path, r->tail);
	return admit_connect(r, d, e);
}

/* The API's option names in the kubelet's. */
static void exec_query(struct req *r, struct buf *q)
{
	static const char *const flags[][2] = {
		{ "stdin", "input" }, { "stdout", "output" }, { "stderr", "error" }, { "tty", "tty" }
	};
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
	struct str rest = r->head->query;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (req_query_bool(r, flags[i][0]))
			buf_addf(q, "&%s=1", flags[i][1]);
	while (http_query_next(&rest, &key, &value)) {
		if (!streq(key.s, "command"))
			continue;
		buf_adds(q, "&command=");
		buf_add_url(q, buf_str(&value), false);
	}
}

static int act_exec(struct req *r, struct err *e)
{
	bool exec = streq(r->at.subresource, "exec");
	_cleanup_buf_ struct buf q = BUF_INIT;
	const char *container;
	struct obj *pod;

	if (http_only(r, e) < 0 || stream_may_create(r, e) < 0 || !(pod = stream_pod(r, r->at.name, e)) ||
	    !(container = stream_container(r, pod, e)))
		return -e->code;
	if (!*stream_node(pod))
		return no_host(pod, e);
	exec_query(r, &q);
	if (exec && !strstr(q.s, "&command="))
		return err_bad(e, "you must specify at least one command for the container");
	if (stream_admit(r, exec ? "PodExecOptions" : "PodAttachOptions", e) < 0)
		return -e->code;
	return proxy_to_node(r, stream_node(pod),
			     arena_printf(r->arena, "/%s/%s/%s/%s%s%s", exec ? "exec" : "attach", pod->ns, pod->name,
					  container, q.len ? "?" : "", q.len ? q.s + 1 : ""),
			     false);
}

static int act_portforward(struct req *r, struct err *e)
{
	_cleanup_buf_ struct buf q = BUF_INIT, key = BUF_INIT, value = BUF_INIT;
	struct obj *pod;
	struct str rest;

	if (http_only(r, e) < 0 || stream_may_create(r, e) < 0 || !(pod = stream_pod(r, r->at.name, e)))
		return -e->code;
	if (!*stream_node(pod))
		return no_host(pod, e);
	if (stream_admit(r, "PodPortForwardOptions", e) < 0)
		return -e->code;
	rest = r->head->query;
	while (http_query_next(&rest, &key, &value))
		if (streq(key.s, "ports")) {
			buf_adds(&q, "&port=");
			buf_add_url(&q, buf_str(&value), false);
		}
	return proxy_to_node(r, stream_node(pod),
			     arena_printf(r->arena, "/portForward/%s/%s%s%s", pod->ns, pod->name, q.len ? "?" : "",
					  q.len ? q.s + 1 : ""),
			     false);
}

/* --- proxy --- */

struct backend { /* [scheme:]name[:port] */
	const char *scheme, *name, *port;
};

static int backend_parse(struct req *r, struct backend *b, struct err *e)
{
	struct str rest = str_of(r->at.name), part[3];
	size_t n = 0;

	while (rest.p && n < 3)
		part[n++] = str_cut(&rest, ':');
	if (rest.p || !n)
		return err_bad(e, "invalid %s request \"%s\"", r->res->r.singular, r->at.name);
	*b = (struct backend){ "", "", "" };
	if (n == 3)
		b->scheme = arena_memdupz(r->arena, part[0].p ? part[0].p : "", part[0].n);
	b->name = arena_memdupz(r->arena, part[n == 3 ? 1 : 0].p, part[n == 3 ? 1 : 0].n);
	if (n > 1)
		b->port = arena_memdupz(r->arena, part[n - 1].p ? part[n - 1].p : "", part[n - 1].n);
	if (*b->scheme && !streq(b->scheme, "http") && !streq(b->scheme, "https"))
		return err_bad(e, "invalid %s request \"%s\"", r->res->r.singular, r->at.name);
	return 0;
}

static bool backend_is_secure(const struct backend *b)
{
	return streq(b->scheme, "https");
}

/* The path as the client sent it behind .../proxy, with its query. */
static const char *proxy_target(struct req *r)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_add_url(&b, str_of(*r->tail ? r->tail : "/"), true);
	if (r->head->query.n) {
		buf_addch(&b, '?');
		buf_addstr(&b, r->head->query);
	}
	return arena_strdup(r->arena, b.s);
}

static int port_of_pod(const struct node *spec, const char *port)
{
	int64_t n = 0;

	if (*port && str_to_i64(str_of(port), &n))
		return n > 0 && n < 65536 ? (int)n : -1;
	NODE_FOREACH(c, node_get(spec, F_containers))
		NODE_FOREACH(p, node_get(c, F_ports))
			if (!*port || streq(node_gets(p, F_name), port))
				return (int)node_int(node_get(p, F_containerPort), -1);
	return *port ? -1 : 80;
}

static int act_proxy_pod(struct req *r, struct err *e)
{
	struct backend b;
	struct obj *pod;
	const char *ip;
	int port;

	if (http_only(r, e) < 0 || backend_parse(r, &b, e) < 0 || !(pod = stream_pod(r, b.name, e)))
		return -e->code;
	ip = node_gets(node_get(obj_node(pod), F_status), F_podIP);
	port = port_of_pod(node_get(obj_node(pod), F_spec), b.port);
	if (!*ip)
		return err_bad(e, "address not allowed");
	if (port < 0)
		return err_set(e, ERR_SERVICE_UNAVAILABLE, "pod \"%s\" has no port \"%s\"", b.name, b.port);
	if (stream_admit(r, "PodProxyOptions", e) < 0)
		return -e->code;
	return proxy_to_host(r, arena_strdup(r->arena, ip), port, backend_is_secure(&b), proxy_target(r), e);
}

static int act_proxy_node(struct req *r, struct err *e)
{
	struct backend b;

	if (http_only(r, e) < 0 || backend_parse(r, &b, e) < 0)
		return -e->code;
	if (!store_get(r->api->store, schema_res("", "nodes"), "", b.name))
		return err_not_found(e, schema_res("", "nodes"), b.name);
	if (stream_admit(r, "NodeProxyOptions", e) < 0)
		return -e->code;
	return proxy_to_node(r, b.name, proxy_target(r), false);
}

static int act_proxy_service(struct req *r, struct err *e)
{
	_cleanup_free_ char *host = NULL;
	struct backend b;
	int port;

	if (http_only(r, e) < 0 || backend_parse(r, &b, e) < 0 ||
	    backend_of_service(r->api, r->at.ns, b.name, b.port, &host, &port, e) < 0 ||
	    stream_admit(r, "ServiceProxyOptions", e) < 0)
		return -e->code;
	return proxy_to_host(r, arena_strdup(r->arena, host), port, backend_is_secure(&b), proxy_target(r), e);
}

#define STREAM (BIT(VERB_GET) | BIT(VERB_CREATE))
#define PROXY (BIT(VERB_GET) | BIT(VERB_CREATE) | BIT(VERB_UPDATE) | BIT(VERB_PATCH) | BIT(VERB_DELETE))

const struct handler stream_handlers[] = {
	{ "", "pods", "log", BIT(VERB_GET), act_log, .plain = true },
	{ "", "pods", "exec", STREAM, act_exec, .plain = true },
	{ "", "pods", "attach", STREAM, act_exec, .plain = true },
	{ "", "pods", "portforward", STREAM, act_portforward, .plain = true },
	{ "", "pods", "proxy", PROXY, act_proxy_pod, .body = true, .raw = true, .plain = true },
	{ "", "services", "proxy", PROXY, act_proxy_service, .body = true, .raw = true, .plain = true },
	{ "", "nodes", "proxy", PROXY, act_proxy_node, .body = true, .raw = true, .plain = true },
	{ 0 },
};
