/*
 * /containerLogs: what a container has written, as `kubectl logs` asks for it;
 * which attempt is meant, and Kubernetes' words where there is nothing to show.
 * The reading itself is run/log-read.c's.
 */
#include <errno.h>

#include "node/container.h"
#include "node/server.h"

#define LOG_QUEUE_HIGH (256u << 10)

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

	return http_query_get(query, name, &b) && strcasecmp(b.s, "false") != 0 && !streq(b.s, "0");
}

static int query_int(struct str query, const char *name, int64_t dflt, int64_t *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	*ret = dflt;
	if (!http_query_get(query, name, &b) || !b.len)
		return 0;
	return str_to_i64(buf_str(&b), ret) && *ret >= 0 ? 0 : -EINVAL;
}

/* Only one of the outputs. */
static int log_stream(struct str query, struct run_log_opts *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!http_query_get(query, "stream", &b) || !b.len || streq(b.s, "All"))
		return 0;
	o->stream = streq(b.s, "Stdout") ? "stdout" : streq(b.s, "Stderr") ? "stderr" : NULL;
	return o->stream && o->tail < 0 ? 0 : -EINVAL;
}

/* What the API has checked already; clients of the node's own port have not asked there. */
static int log_opts(struct str query, struct run_log_opts *o)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int64_t since;

	o->follow = query_bool(query, "follow");
	o->timestamps = query_bool(query, "timestamps");
	if (query_int(query, "tailLines", -1, &o->tail) < 0 ||
	    query_int(query, "limitBytes", 0, &o->limit_bytes) < 0 ||
	    query_int(query, "sinceSeconds", 0, &since) < 0 || log_stream(query, o) < 0)
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

/* Where the runtime writes it: a pod may be older than the present --pod-logs-dir. */
static char *log_path(struct ctr *c, unsigned attempt)
{
	struct container *rc = attempt == c->attempt ? ctr_run(c) : NULL;

	return rc ? container_log_path(rc) : ctr_log_file(c, attempt);
}

void serve_container_logs(struct server *srv, struct http_req *r, struct ctr *c, struct str query)
{
	struct run_log_opts o = {.tail = -1};
	_cleanup_free_ char *path = NULL;
	struct log_session *s;
	int attempt;

	if (log_opts(query, &o) < 0) {
		server_error(r, 422, "{\"message\": \"Invalid request.\"}");
		return;
	}
	attempt = log_attempt(r, c, query_bool(query, "previous"));
	if (attempt < 0)
		return;
	path = log_path(c, (unsigned)attempt);
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
	s->log = run_log_read(server_agent(srv)->loop, path, &o, log_data, log_end, log_running, s);
}
