/*
 * Probes: startup, liveness and readiness, each by httpGet, tcpSocket or exec,
 * as the kubelet's prober does them.
 *
 * A startup probe runs alone until it succeeds. Liveness: failureThreshold
 * failures in a row end the container, and it is restarted. Readiness sets
 * `ready`. One thing is done better than there: during its first period a
 * startup or readiness probe that fails is asked again soon (50 ms doubling),
 * without counting, so that a server that needs 200 ms is not unready for 10 s.
 *
 * One asking is a struct probe_try; its end always comes from the loop.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "node/internal.h"

#define PROBE_OUTPUT_BYTES 10240
#define PROBE_HEADERS 32

struct probe_try {
	struct ctr *ctr;
	void (*done)(void *arg, bool ok, const char *text);
	void *arg;
	struct loop_timer *timer;
	struct loop_task task;
	bool ended, ok;
	char *text; /* why it failed */
	char *timeout_text;
	/* httpGet */
	struct http_client *http;
	struct tls *tls;
	struct http_exchange x;
	struct http_header headers[PROBE_HEADERS];
	bool sent;
	char *url, *target;
	char *strings[PROBE_HEADERS * 2];
	size_t n_strings;
	/* tcpSocket, and the output of exec */
	int fd;
	struct loop_fd *watch;
	struct run_exec *exec;
	struct buf out;
};

struct probe {
	struct ctr *ctr;
	enum probe_kind kind;
	struct loop_timer *timer;
	struct probe_try *try;
	int ok_run, fail_run;
	int64_t begun_ms, quick_ms;
	bool passed;
};

static const enum field probe_fields[] = {F_startupProbe, F_livenessProbe, F_readinessProbe};
static const char *const probe_names[] = {"Startup", "Liveness", "Readiness"};

/* --- one try --- */

static void try_free(struct probe_try *t)
{
	loop_undefer(t->ctr->pod->agent->loop, &t->task);
	loop_timer_free(t->timer);
	if (t->sent)
		http_client_cancel(&t->x);
	buf_release(&t->x.resp_body);
	http_client_free(t->http);
	tls_free(t->tls);
	loop_fd_free(t->watch);
	close_fd(t->fd);
	if (t->exec)
		run_exec_kill(t->exec);
	buf_release(&t->out);
	for (size_t i = 0; i < t->n_strings; i++)
		free(t->strings[i]);
	free(t->url);
	free(t->target);
	free(t->text);
	free(t->timeout_text);
	free(t);
}

void probe_try_cancel(struct probe_try *t)
{
	if (t)
		try_free(t);
}

static void try_report(struct loop_task *task)
{
	struct probe_try *t = CONTAINER_OF(task, struct probe_try, task);
	void (*done)(void *, bool, const char *) = t->done;
	void *arg = t->arg;
	char *text = take_ptr(&t->text);
	bool ok = t->ok;

	try_free(t);
	done(arg, ok, text ? text : "");
	free(text);
}

static void try_end(struct probe_try *t, bool ok, const char *fmt, ...) ATTR_PRINTF(3, 4);
static void try_end(struct probe_try *t, bool ok, const char *fmt, ...)
{
	va_list ap;

	if (t->ended)
		return;
	t->ended = true;
	t->ok = ok;
	va_start(ap, fmt);
	t->text = xvasprintf(fmt, ap);
	va_end(ap);
	loop_timer_clear(t->timer);
	loop_defer(t->ctr->pod->agent->loop, &t->task);
}

static void try_timeout(void *arg)
{
	struct probe_try *t = arg;

	try_end(t, false, "%s", t->timeout_text);
}

static struct probe_try *try_new(struct ctr *c, int64_t timeout_ms, void (*done)(void *, bool, const char *),
				 void *arg)
{
	struct probe_try *t = xcalloc(1, sizeof(*t));

	t->ctr = c;
	t->done = done;
	t->arg = arg;
	t->fd = -1;
	buf_init(&t->out);
	buf_init(&t->x.resp_body);
	t->task.run = try_report;
	t->timer = loop_timer_new(c->pod->agent->loop, try_timeout, t);
	loop_timer_set(t->timer, timeout_ms);
	return t;
}

static const char *probe_host(struct ctr *c, const struct node *action)
{
	const char *host = node_gets(action, F_host);

	if (*host)
		return host;
	return pod_host_network(c->pod) ? c->pod->agent->ip : c->pod->ip;
}

/* A number, or the name of one of the container's ports. */
static int probe_port(struct ctr *c, const struct node *port)
{
	int64_t v;

	if (node_is(port, DOC_INT))
		v = node_int(port, 0);
	else if (!str_to_i64(node_str(port), &v))
		v = node_int(node_get(node_named(node_get(ctr_spec(c), F_ports), node_cstr_or(port, "")),
				      F_containerPort),
			     0);
	return v > 0 && v < 65536 ? (int)v : -1;
}

/* httpGet */

static char *try_keep(struct probe_try *t, char *s)
{
	if (t->n_strings < ARRAY_SIZE(t->strings))
		t->strings[t->n_strings++] = s;
	return s;
}

static void http_head(struct http_exchange *x, const struct http_head *h)
{
	struct probe_try *t = x->arg;

	if (h->status >= 200 && h->status < 400)
		try_end(t, true, "%d", h->status);
	else
		try_end(t, false, "HTTP probe failed with statuscode: %d", h->status);
}

static void http_data(struct http_exchange *x UNUSED, struct str data UNUSED)
{
}

static void http_done(struct http_exchange *x, const struct err *err)
{
	struct probe_try *t = x->arg;

	t->sent = false;
	try_end(t, false, "Get \"%s\": %s", t->url, err ? err_msg(err) : "EOF");
}

static void http_headers(struct probe_try *t, const struct node *list)
{
	size_t n = 0;
	bool agent = false, accept = false;

	NODE_FOREACH (h, list) {
		char *name = try_keep(t, xstrdup(node_gets(h, F_name)));
		char *value = try_keep(t, xstrdup(node_gets(h, F_value)));

		agent |= strcasecmp(name, "User-Agent") == 0;
		accept |= strcasecmp(name, "Accept") == 0;
		t->headers[n++] = (struct http_header){str_of(name), str_of(value)};
		if (n + 2 >= PROBE_HEADERS)
			break;
	}
	if (!agent)
		t->headers[n++] = (struct http_header){STR_LIT("User-Agent"), STR_LIT("kube-probe/1.36")};
	if (!accept)
		t->headers[n++] = (struct http_header){STR_LIT("Accept"), STR_LIT("*/*")};
	t->x.headers = t->headers;
	t->x.n_headers = n;
}

static void try_http(struct probe_try *t, const struct node *get, int64_t timeout_ms)
{
	struct ctr *c = t->ctr;
	bool https = node_streq(node_get(get, F_scheme), "HTTPS");
	const char *path = node_gets(get, F_path);
	int port = probe_port(c, node_get(get, F_port));
	struct tls_config tc = {.insecure = true};
	_cleanup_err_ struct err e = ERR_INIT;
	struct http_client_config cfg = {.loop = c->pod->agent->loop, .connect_timeout_ms = (int)timeout_ms};

	if (port < 0) {
		try_end(t, false, "couldn't find port: %s", node_cstr_or(node_get(get, F_port), ""));
		return;
	}
	if (https && tls_new(&t->tls, &tc, false, &e) < 0) {
		try_end(t, false, "%s", err_msg(&e));
		return;
	}
	cfg.host = probe_host(c, get);
	cfg.port = port;
	cfg.tls = t->tls;
	t->target = xasprintf("%s%s", *path == '/' ? "" : "/", path);
	t->url = xasprintf("%s://%s:%d%s", https ? "https" : "http", cfg.host, port, t->target);
	free(t->timeout_text);
	t->timeout_text = xasprintf(
		"Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
		t->url);
	t->http = http_client_new(&cfg);
	http_headers(t, node_get(get, F_httpHeaders));
	t->x.method = "GET";
	t->x.target = t->target;
	t->x.timeout_ms = (int)timeout_ms + 1000; /* ours comes first */
	t->x.on_head = http_head;
	t->x.on_data = http_data;
	t->x.on_done = http_done;
	t->x.arg = t;
	t->sent = true;
	http_client_send(t->http, &t->x);
}

/* tcpSocket */

static void tcp_ready(void *arg, int what UNUSED)
{
	struct probe_try *t = arg;
	int eno = 0;
	socklen_t len = sizeof(eno);

	getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &eno, &len);
	loop_fd_set(t->watch, 0);
	if (eno)
		try_end(t, false, "dial tcp %s: connect: %s", t->url,
			eno == ECONNREFUSED ? "connection refused" : strerror(eno));
	else
		try_end(t, true, "%s", "");
}

static void try_tcp(struct probe_try *t, const struct node *sock)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	const char *host = probe_host(t->ctr, sock);
	int port = probe_port(t->ctr, node_get(sock, F_port));

	t->url = xasprintf("%s:%d", host, port);
	set_str(&t->timeout_text, "");
	free(t->timeout_text);
	t->timeout_text = xasprintf("dial tcp %s: i/o timeout", t->url);
	sa.sin_port = htons((uint16_t)port);
	if (port < 0 || inet_pton(AF_INET, host, &sa.sin_addr) != 1) {
		try_end(t, false, "dial tcp: lookup %s: no such host", t->url);
		return;
	}
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0 || (connect(t->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)) {
		try_end(t, false, "dial tcp %s: connect: %s", t->url,
			errno == ECONNREFUSED ? "connection refused" : strerror(errno));
		return;
	}
	t->watch = loop_fd_new(t->ctr->pod->agent->loop, t->fd, LOOP_WRITE, tcp_ready, t);
}

/* exec */

static void exec_read(void *arg, int what UNUSED)
{
	struct probe_try *t = arg;
	char block[4096];
	ssize_t n = read(t->fd, block, sizeof(block));

	if (n > 0) {
		if (t->out.len < PROBE_OUTPUT_BYTES)
			buf_add(&t->out, block, (size_t)min_i64(n, PROBE_OUTPUT_BYTES - (int64_t)t->out.len));
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		t->watch = loop_fd_free(t->watch);
		t->fd = close_fd(t->fd);
	}
}

static void exec_started(void *arg, const struct run_io *io, const struct err *err)
{
	struct probe_try *t = arg;

	if (err) {
		t->exec = NULL;
		try_end(t, false, "%s", err_msg(err));
		return;
	}
	if (io->out >= 0) {
		t->fd = io->out;
		fd_set_nonblock(t->fd, true);
		t->watch = loop_fd_new(t->ctr->pod->agent->loop, t->fd, LOOP_READ, exec_read, t);
	}
	if (io->err >= 0)
		close_fd(io->err);
	if (io->in >= 0)
		close_fd(io->in);
}

static void exec_ended(void *arg, int exit_code, const struct err *err)
{
	struct probe_try *t = arg;

	t->exec = NULL;
	while (t->watch && t->out.len < PROBE_OUTPUT_BYTES) { /* what is still in the pipe */
		size_t before = t->out.len;

		exec_read(t, LOOP_READ);
		if (t->out.len == before)
			break;
	}
	if (err)
		try_end(t, false, "%s", err_msg(err));
	else
		try_end(t, exit_code == 0, "%s", t->out.s);
}

static void try_exec(struct probe_try *t, const struct node *command, int64_t timeout_ms)
{
	const char **argv = xcalloc(node_count(command) + 1, sizeof(*argv));
	struct run_exec_spec spec = {.argv = argv, .out = true, .err_to_out = true};
	struct container *rc = ctr_run(t->ctr);
	_cleanup_buf_ struct buf text = BUF_INIT;
	size_t n = 0;

	NODE_FOREACH (s, command) {
		argv[n++] = node_cstr_or(s, "");
		buf_addf(&text, "%s%s", n > 1 ? " " : "", argv[n - 1]);
	}
	free(t->timeout_text);
	t->timeout_text = xasprintf("command timed out: \"%s\" timed out after %llds", text.s,
				    (long long)(timeout_ms / 1000));
	if (rc && n)
		t->exec = container_exec(rc, &spec, exec_started, exec_ended, t);
	if (!t->exec)
		try_end(t, false, "container not running");
	free(argv);
}

struct probe_try *probe_http_once(struct ctr *c, const struct node *get, int64_t timeout_ms,
				  void (*done)(void *arg, bool ok, const char *text), void *arg)
{
	struct probe_try *t = try_new(c, timeout_ms, done, arg);

	try_http(t, get, timeout_ms);
	return t;
}

/* --- a probe's life --- */

static const struct node *probe_spec(struct probe *p)
{
	return node_get(ctr_spec(p->ctr), probe_fields[p->kind]);
}

static int64_t probe_int(struct probe *p, enum field f, int64_t dflt, int64_t least)
{
	return max_i64(node_int(node_get(probe_spec(p), f), dflt), least);
}

static void probe_begin(struct ctr *c, enum probe_kind kind);

static void probe_passed(struct probe *p)
{
	struct ctr *c = p->ctr;

	p->passed = true;
	if (p->kind == PROBE_STARTUP) {
		c->started = true;
		loop_timer_clear(p->timer);
		probe_begin(c, PROBE_LIVENESS);
		probe_begin(c, PROBE_READINESS);
		if (!c->probes[PROBE_READINESS])
			c->ready = true;
		pod_kick(c->pod);
	} else if (p->kind == PROBE_READINESS && !c->ready) {
		c->ready = true;
		pod_kick(c->pod);
	}
}

static void probe_failed(struct probe *p)
{
	struct ctr *c = p->ctr;
	const struct node *own = node_get(probe_spec(p), F_terminationGracePeriodSeconds);
	_cleanup_free_ char *text = NULL;

	if (p->kind == PROBE_READINESS) {
		if (c->ready) {
			c->ready = false;
			pod_kick(c->pod);
		}
		return;
	}
	text = xasprintf("Container %s failed %s probe, will be restarted", c->name,
			 p->kind == PROBE_STARTUP ? "startup" : "liveness");
	c->restart_asked = true;
	ctr_stop(c,
		 node_int(own ? own : node_get(pod_spec(c->pod), F_terminationGracePeriodSeconds), 30) *
			 SEC_MS,
		 text);
}

/* The first period of a probe that only makes things better. */
static bool probe_quick(struct probe *p)
{
	return p->kind != PROBE_LIVENESS && !p->passed &&
	       !node_int(node_get(probe_spec(p), F_initialDelaySeconds), 0) &&
	       time_mono_ms() - p->begun_ms < probe_int(p, F_periodSeconds, 10, 1) * SEC_MS;
}

static void probe_done(void *arg, bool ok, const char *text)
{
	struct probe *p = arg;
	struct ctr *c = p->ctr;
	int64_t period = probe_int(p, F_periodSeconds, 10, 1) * SEC_MS;
	char *path;

	p->try = NULL;
	if (ok) {
		p->fail_run = 0;
		loop_timer_set(p->timer, period);
		if (++p->ok_run >= probe_int(p, F_successThreshold, 1, 1))
			probe_passed(p);
		return;
	}
	p->ok_run = 0;
	if (probe_quick(p)) {
		p->quick_ms = p->quick_ms ? p->quick_ms * 2 : 50;
		loop_timer_set(p->timer, min_i64(p->quick_ms, period));
		return;
	}
	loop_timer_set(p->timer, period);
	path = ctr_field_path(c);
	pod_event(c->pod, path, "Warning", "Unhealthy", "%s probe failed: %s", probe_names[p->kind], text);
	free(path);
	if (++p->fail_run >= probe_int(p, F_failureThreshold, 3, 1))
		probe_failed(p); /* p may be gone */
}

/* Of a kind that this node cannot ask: neither a success nor a failure. */
static void probe_unknown(struct probe *p)
{
	struct ctr *c = p->ctr;
	_cleanup_free_ char *path = ctr_field_path(c);

	pod_event(c->pod, path, "Warning", "Unhealthy",
		  "%s probe errored and resulted in unknown state: missing probe handler for %s_%s:%s",
		  probe_names[p->kind], c->pod->name, c->pod->ns, c->name);
	loop_timer_set(p->timer, probe_int(p, F_periodSeconds, 10, 1) * SEC_MS);
}

static void probe_ask(void *arg)
{
	struct probe *p = arg;
	const struct node *spec = probe_spec(p), *act;
	int64_t timeout = probe_int(p, F_timeoutSeconds, 1, 1) * SEC_MS;

	if (p->try || !spec)
		return;
	if (!node_get(spec, F_exec) && !node_get(spec, F_httpGet) && !node_get(spec, F_tcpSocket)) {
		probe_unknown(p);
		return;
	}
	p->try = try_new(p->ctr, timeout, probe_done, p);
	p->try->timeout_text = xstrdup("timed out");
	if ((act = node_get(spec, F_exec)))
		try_exec(p->try, node_get(act, F_command), timeout);
	else if ((act = node_get(spec, F_httpGet)))
		try_http(p->try, act, timeout);
	else
		try_tcp(p->try, node_get(spec, F_tcpSocket));
}

static void probe_begin(struct ctr *c, enum probe_kind kind)
{
	const struct node *spec = node_get(ctr_spec(c), probe_fields[kind]);
	struct probe *p;

	if (!spec || c->probes[kind])
		return;
	p = xcalloc(1, sizeof(*p));
	p->ctr = c;
	p->kind = kind;
	p->begun_ms = time_mono_ms();
	p->timer = loop_timer_new(c->pod->agent->loop, probe_ask, p);
	c->probes[kind] = p;
	loop_timer_set(p->timer, probe_int(p, F_initialDelaySeconds, 0, 0) * SEC_MS);
}

void probes_start(struct ctr *c, bool adopted)
{
	const struct node *spec = ctr_spec(c);

	if (node_get(spec, F_startupProbe) && !(adopted && c->started)) {
		c->started = c->ready = false;
		probe_begin(c, PROBE_STARTUP);
		return;
	}
	c->started = true;
	probe_begin(c, PROBE_LIVENESS);
	probe_begin(c, PROBE_READINESS);
	if (!c->probes[PROBE_READINESS])
		c->ready = true;
	else if (!adopted)
		c->ready = false;
}

void probes_stop(struct ctr *c)
{
	for (int i = 0; i < PROBE_KINDS; i++) {
		struct probe *p = c->probes[i];

		if (!p)
			continue;
		c->probes[i] = NULL;
		loop_timer_free(p->timer);
		probe_try_cancel(p->try);
		free(p);
	}
}
