/*
 * The agent's HTTP server: no port of its own; connections come from agent_dial
 * (a socket pair into the API server of the same process). Paths are the
 * kubelet's; node.h lists them. Logs are streamed here, exec, attach and
 * port-forward in stream.c.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "node/internal.h"

#define LOG_QUEUE_HIGH (256u << 10)

struct server {
	struct node_agent *agent;
	struct http_server *http;
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

/* --- logs --- */

struct log_session {
	struct session session;
	struct server *server;
	struct http_req *req;
	struct run_log *log;
	char *uid, *name, id[65];
	bool begun, paused;
};

static void log_free(struct log_session *s)
{
	session_del(s->server, &s->session);
	run_log_free(s->log);
	free(s->uid);
	free(s->name);
	free(s);
}

static void log_end_session(struct session *e)
{
	struct log_session *s = CONTAINER_OF(e, struct log_session, session);
	struct http_req *r = s->req;

	log_free(s);
	http_abort(r);
}

static void log_gone(void *arg)
{
	log_free(arg);
}

static void log_begin(struct log_session *s)
{
	struct http_resp resp = {.status = 200, .content_type = "text/plain"};

	if (s->begun)
		return;
	s->begun = true;
	http_begin(s->req, &resp);
}

static void log_drain(void *arg)
{
	struct log_session *s = arg;

	if (s->paused && s->log) {
		s->paused = false;
		run_log_pause(s->log, false);
	}
}

static void log_data(void *arg, const void *p, size_t n)
{
	struct log_session *s = arg;

	log_begin(s);
	http_chunk(s->req, str_n(p, n));
	if (http_req_queued(s->req) > LOG_QUEUE_HIGH && s->log) {
		s->paused = true;
		run_log_pause(s->log, true);
	}
}

static void log_end(void *arg, const struct err *err)
{
	struct log_session *s = arg;
	struct http_req *r = s->req;
	bool begun = s->begun;

	if (err && !begun) {
		server_error(r, err->code == ENOENT ? 404 : 500, "%s", err_msg(err));
	} else {
		log_begin(s);
		http_end(r);
	}
	log_free(s);
}

static bool log_running(void *arg)
{
	struct log_session *s = arg;
	struct ctr *c = server_ctr(s->server, s->uid, s->name);

	return c && ctr_alive(c) && streq(c->id, s->id);
}

static bool query_bool(struct str query, const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	return http_query_get(query, name, &b) && (streq(b.s, "true") || streq(b.s, "1"));
}

static int query_int(struct str query, const char *name, int64_t dflt, int64_t *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	*ret = dflt;
	if (!http_query_get(query, name, &b) || !b.len)
		return 0;
	return str_to_i64(buf_str(&b), ret) && *ret >= 0 ? 0 : -EINVAL;
}

static int log_opts(struct str query, struct run_log_opts *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int64_t since;

	o->follow = query_bool(query, "follow");
	o->timestamps = query_bool(query, "timestamps");
	if (query_int(query, "tailLines", -1, &o->tail) < 0 ||
	    query_int(query, "limitBytes", 0, &o->limit_bytes) < 0 ||
	    query_int(query, "sinceSeconds", 0, &since) < 0)
		return -EINVAL;
	if (since)
		o->since_ns = time_wall_ns() - since * SEC_NS;
	if (http_query_get(query, "sinceTime", &b) && b.len && !time_parse_rfc3339(buf_str(&b), &o->since_ns))
		return -EINVAL;
	return 0;
}

/* The attempt whose log is asked for, or an answer in Kubernetes' words and -1. */
static int log_attempt(struct http_req *r, struct ctr *c, bool previous)
{
	const char *reason = c->reason ? c->reason : "ContainerCreating", *pod = c->pod->name;
	bool waiting = c->state == CTR_WAIT || c->state == CTR_STARTING;

	if (waiting && c->end.set) /* between two attempts: the newest is the previous one, too */
		return (int)c->attempt;
	if (previous) {
		if (c->last.set && c->attempt > 0)
			return (int)c->attempt - 1;
		server_error(r, 400, "previous terminated container \"%s\" in pod \"%s\" not found", c->name,
			     pod);
		return -1;
	}
	if (!waiting)
		return (int)c->attempt;
	if (c->last.set && c->attempt > 0)
		return (int)c->attempt - (c->state == CTR_STARTING);
	if (streq(reason, "ErrImagePull"))
		reason = "image can't be pulled";
	else if (streq(reason, "ImagePullBackOff"))
		reason = "trying and failing to pull image";
	else if (!c->reason && !c->pod->initialized && c->pod->n_ctrs && c->pod->ctrs[0]->kind != CTR_MAIN)
		reason = "PodInitializing";
	server_error(r, 400, "container \"%s\" in pod \"%s\" is waiting to start: %s", c->name, pod, reason);
	return -1;
}

static void serve_logs(struct server *srv, struct http_req *r, struct ctr *c, struct str query)
{
	struct run_log_opts o = {.tail = -1};
	_cleanup_free_ char *dir = NULL, *path = NULL;
	struct log_session *s;
	int attempt;

	if (log_opts(query, &o) < 0) {
		server_error(r, 400, "invalid log options");
		return;
	}
	attempt = log_attempt(r, c, query_bool(query, "previous"));
	if (attempt < 0)
		return;
	dir = pod_log_dir(srv->agent, c->pod->ns, c->pod->name, c->pod->uid);
	path = xasprintf("%s/%s/%d.log", dir, c->name, attempt);
	s = xcalloc(1, sizeof(*s));
	s->session.end = log_end_session;
	s->server = srv;
	s->req = r;
	s->uid = xstrdup(c->pod->uid);
	s->name = xstrdup(c->name);
	if (attempt == (int)c->attempt)
		snprintf(s->id, sizeof(s->id), "%s", c->id);
	session_add(srv, &s->session);
	http_req_on_gone(r, log_gone, s);
	http_req_on_drain(r, log_drain, s);
	if (o.follow) /* kubectl logs -f waits for the head */
		log_begin(s);
	s->log = run_log_read(srv->agent->loop, path, &o, log_data, log_end, log_running, s);
}

/* --- what is here --- */

static void serve_pods(struct server *srv, struct http_req *r)
{
	struct http_resp resp = {.status = 200, .content_type = "application/json"};
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct map_iter it = {0};
	bool first = true;

	buf_adds(&b, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
	while (map_next(srv->agent->by_uid, &it)) {
		struct pod *p = it.value;

		if (!first)
			buf_addch(&b, ',');
		first = false;
		obj_json_add(p->obj, &b);
	}
	buf_adds(&b, "]}");
	http_reply(r, &resp, buf_str(&b));
}

static int64_t proc_number(const char *path, const char *key)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	const char *s;

	if (path_read(path, 256 << 10, &b, &e) < 0 || !(s = strstr(b.s, key)))
		return 0;
	return strtoll(s + strlen(key), NULL, 10);
}

/* User, nice, system, irq, softirq and steal of all processors, in nanoseconds. */
static int64_t cpu_used_ns(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	unsigned long long v[8] = {0};

	if (path_read("/proc/stat", 256 << 10, &b, &e) < 0 ||
	    sscanf(b.s, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
		   &v[5], &v[6], &v[7]) < 4)
		return 0;
	return (int64_t)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) * (SEC_NS / sysconf(_SC_CLK_TCK));
}

static void put_usage(struct doc *d, struct node *o)
{
	int64_t total = proc_number("/proc/meminfo", "MemTotal:") * 1024;
	int64_t avail = proc_number("/proc/meminfo", "MemAvailable:") * 1024;
	char now[TIME_RFC3339_LEN];
	struct node *cpu = node_setk(d, o, STR_LIT("cpu"), node_new(d, DOC_OBJECT));
	struct node *mem = node_setk(d, o, STR_LIT("memory"), node_new(d, DOC_OBJECT));

	time_fmt_rfc3339(now, time_wall_s());
	node_setk(d, cpu, STR_LIT("time"), node_new_cstr(d, now));
	node_setk(d, cpu, STR_LIT("usageCoreNanoSeconds"), node_new_int(d, cpu_used_ns()));
	node_setk(d, mem, STR_LIT("time"), node_new_cstr(d, now));
	node_setk(d, mem, STR_LIT("availableBytes"), node_new_int(d, avail));
	node_setk(d, mem, STR_LIT("usageBytes"),
		  node_new_int(d, total - proc_number("/proc/meminfo", "MemFree:") * 1024));
	node_setk(d, mem, STR_LIT("workingSetBytes"), node_new_int(d, total - avail));
}

static void serve_stats(struct server *srv, struct http_req *r)
{
	struct http_resp resp = {.status = 200, .content_type = "application/json"};
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *node, *pods;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct map_iter it = {0};
	char t[TIME_RFC3339_LEN];

	doc_set_root(d, root);
	node = node_setk(d, root, STR_LIT("node"), node_new(d, DOC_OBJECT));
	node_setk(d, node, STR_LIT("nodeName"), node_new_cstr(d, srv->agent->name));
	put_usage(d, node);
	pods = node_setk(d, root, STR_LIT("pods"), node_new(d, DOC_ARRAY));
	while (map_next(srv->agent->by_uid, &it)) {
		struct pod *p = it.value;
		struct node *o, *ref;

		if (p->state != POD_RUN)
			continue;
		o = node_append(pods, node_new(d, DOC_OBJECT));
		ref = node_setk(d, o, STR_LIT("podRef"), node_new(d, DOC_OBJECT));
		node_sets(d, ref, F_name, p->name);
		node_sets(d, ref, F_namespace, p->ns);
		node_sets(d, ref, F_uid, p->uid);
		node_sets(d, o, F_startTime, time_fmt_rfc3339(t, p->start_s));
	}
	doc_print_json(&b, root, DOC_PRINT_COMPACT);
	doc_unref(d);
	http_reply(r, &resp, buf_str(&b));
}

/* --- routing --- */

struct target {
	char *verb, *ns, *pod, *container; /* decoded; container may be NULL */
};

static void target_release(struct target *t)
{
	free(t->verb);
	free(t->ns);
	free(t->pod);
	free(t->container);
}

static char *next_segment(struct str *rest)
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

static void target_parse(struct target *t, struct str path)
{
	struct str rest = str_sub(path, 1, path.n);

	t->verb = next_segment(&rest);
	t->ns = next_segment(&rest);
	t->pod = next_segment(&rest);
	t->container = next_segment(&rest);
}

static void serve_container(struct server *srv, struct http_req *r, const struct target *t, struct str query)
{
	struct pod *p = t->ns && t->pod ? agent_pod(srv->agent, t->ns, t->pod) : NULL;
	struct ctr *c;

	if (!p) {
		server_error(r, 404, "pod does not exist");
		return;
	}
	if (streq(t->verb, "portForward")) {
		stream_port_forward(srv, r, p);
		return;
	}
	c = t->container ? pod_ctr(p, t->container) : NULL;
	if (!c)
		server_error(r, 404, "container %s not found in pod %s", t->container ? t->container : "",
			     p->name);
	else if (streq(t->verb, "containerLogs"))
		serve_logs(srv, r, c, query);
	else if (streq(t->verb, "exec"))
		stream_exec(srv, r, c, query);
	else
		stream_attach(srv, r, c, query);
}

static void on_request(void *arg, struct http_req *r)
{
	struct server *srv = arg;
	const struct http_head *h = http_req_head(r);
	_cleanup_(target_release) struct target t = {0};
	static const char *const verbs[] = {"containerLogs", "exec", "attach", "portForward"};
	struct http_resp ok = {.status = 200, .content_type = "text/plain; charset=utf-8"};

	target_parse(&t, h->path);
	if (str_eqc(h->path, "/healthz")) {
		http_reply(r, &ok, STR_LIT("ok"));
		return;
	}
	if (str_eqc(h->path, "/pods")) {
		serve_pods(srv, r);
		return;
	}
	if (str_eqc(h->path, "/stats/summary")) {
		serve_stats(srv, r);
		return;
	}
	for (size_t i = 0; t.verb && i < ARRAY_SIZE(verbs); i++)
		if (streq(t.verb, verbs[i])) {
			serve_container(srv, r, &t, h->query);
			return;
		}
	server_error(r, 404, "404 page not found");
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

struct server *server_free(struct server *s)
{
	struct session *e;

	if (!s)
		return NULL;
	while ((e = TAILQ_FIRST(&s->sessions)))
		e->end(e);
	http_server_free(s->http);
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
