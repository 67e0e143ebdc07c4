/*
 * httpGet: an answer of 200 to 399 is a success. Redirections to the same host
 * are followed; one to another host ends the probe with a warning, which counts as
 * a success, as in the kubelet. With HTTPS no certificate is looked at. Only the
 * head of the answer is waited for.
 *
 * Also the httpGet of lifecycle hooks (probe_http_once), where any answer will do.
 */
#include "node/probe.h"

#define REDIRECTS_MAX 10

struct get {
	struct probe_try *try;
	struct loop_task task; /* follows a redirection */
	struct http_client *client;
	struct tls *tls;
	struct http_exchange x;
	struct http_header *headers;
	char **strings; /* what the headers consist of */
	size_t n_strings;
	bool sent, https;
	char *host, *target, *url, *location;
	int port, redirects;
};

static void get_close(struct get *g)
{
	if (g->sent)
		http_client_cancel(&g->x);
	g->sent = false;
	g->client = http_client_free(g->client);
	tls_free(g->tls);
	g->tls = NULL;
}

static void get_free(void *impl)
{
	struct get *g = impl;

	loop_undefer(g->try->ctr->pod->agent->loop, &g->task);
	get_close(g);
	for (size_t i = 0; i < g->n_strings; i++)
		free(g->strings[i]);
	free(g->strings);
	free(g->headers);
	free(g->host);
	free(g->target);
	free(g->url);
	free(g->location);
	free(g);
}

static char *get_keep(struct get *g, const char *s)
{
	return g->strings[g->n_strings++] = xstrdup(s);
}

/* --- the headers --- */

static bool has_control(const char *s)
{
	for (; *s; s++)
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return true;
	return false;
}

static bool header_given(const struct node *list, const char *name)
{
	NODE_FOREACH (h, list)
		if (strcasecmp(node_gets(h, F_name), name) == 0)
			return true;
	return false;
}

static void header_add(struct get *g, const char *name, const char *value)
{
	g->headers[g->x.n_headers++] =
		(struct http_header){str_of(get_keep(g, name)), str_of(get_keep(g, value))};
}

/* False: one cannot be sent. An empty User-Agent or Accept means none. */
static bool headers_make(struct get *g, const struct node *list)
{
	static const struct {
		const char *name, *value, *hook;
	} usual[] = {{"User-Agent", "kube-probe/1.36", "kube-lifecycle/1.36"}, {"Accept", "*/*", "*/*"}};
	size_t most = node_count(list) + ARRAY_SIZE(usual) + 1;

	g->headers = xcalloc(most, sizeof(*g->headers));
	g->strings = xcalloc(2 * most, sizeof(*g->strings));
	for (size_t i = 0; i < ARRAY_SIZE(usual); i++)
		if (!header_given(list, usual[i].name))
			header_add(g, usual[i].name, g->try->hook ? usual[i].hook : usual[i].value);
	NODE_FOREACH (h, list) {
		const char *name = node_gets(h, F_name), *value = node_gets(h, F_value);

		if (has_control(name) || has_control(value)) {
			try_end(g->try, PROBE_FAILED,
				"Get \"%s\": net/http: invalid header field value for \"%s\"", g->url, name);
			return false;
		}
		if (*value || (strcasecmp(name, "User-Agent") && strcasecmp(name, "Accept")))
			header_add(g, name, value);
	}
	if (!header_given(list, "Connection"))
		header_add(g, "Connection", "close");
	g->x.headers = g->headers;
	return true;
}

/* --- the answer --- */

static void get_judge(struct get *g, int status)
{
	if (g->try->hook || (status >= 200 && status < 400))
		try_end(g->try, PROBE_OK, "%d", status);
	else
		try_end(g->try, PROBE_FAILED, "HTTP probe failed with statuscode: %d", status);
}

static bool is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static void get_head(struct http_exchange *x, const struct http_head *h)
{
	struct get *g = x->arg;
	struct str to = http_head_get(h, "Location");

	if (!is_redirect(h->status) || !to.n) {
		get_judge(g, h->status);
		return;
	}
	if (++g->redirects >= REDIRECTS_MAX) {
		try_end(g->try, PROBE_FAILED, "Get \"%s\": stopped after %d redirects", g->url, REDIRECTS_MAX);
		return;
	}
	free(g->location);
	g->location = str_dup(to);
	loop_defer(g->try->ctr->pod->agent->loop, &g->task); /* not under the client's feet */
}

static void get_data(struct http_exchange *x UNUSED, struct str data UNUSED)
{
}

static void get_done(struct http_exchange *x, const struct err *err)
{
	struct get *g = x->arg;

	g->sent = false;
	if (err && !g->location)
		try_end(g->try, PROBE_FAILED, "Get \"%s\": %s", g->url, err_msg(err));
}

/* --- the request --- */

static void get_send(struct get *g)
{
	struct probe_try *t = g->try;
	struct tls_config tc = {.insecure = true};
	_cleanup_err_ struct err e = ERR_INIT;
	struct http_client_config cfg = {.loop = t->ctr->pod->agent->loop,
					 .host = g->host,
					 .port = g->port,
					 .connect_timeout_ms = t->timeout_ms ? (int)t->timeout_ms : 0};

	if (g->https && tls_new(&g->tls, &tc, false, &e) < 0) {
		try_end(t, PROBE_FAILED, "%s", err_msg(&e));
		return;
	}
	cfg.tls = g->tls;
	free(g->url);
	g->url = xasprintf(strchr(g->host, ':') ? "%s://[%s]:%d%s" : "%s://%s:%d%s", g->https ? "https" : "http",
			   g->host, g->port, g->target);
	try_timeout_text(
		t,
		"Get \"%s\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
		g->url);
	g->client = http_client_new(&cfg);
	g->x.method = "GET";
	g->x.target = g->target;
	g->x.timeout_ms = t->timeout_ms ? (int)t->timeout_ms + 1000 : INT32_MAX; /* ours comes first */
	g->x.on_head = get_head;
	g->x.on_data = get_data;
	g->x.on_done = get_done;
	g->x.arg = g;
	g->sent = true;
	http_client_send(g->client, &g->x);
}

/* What a URL cannot hold as it is becomes %XX: a path is no place for more headers. */
static char *path_clean(const char *path)
{
	struct buf b = BUF_INIT;

	if (*path != '/')
		buf_addch(&b, '/');
	for (; *path; path++)
		if ((unsigned char)*path <= ' ' || (unsigned char)*path >= 0x7f)
			buf_addf(&b, "%%%02X", (unsigned char)*path);
		else
			buf_addch(&b, *path);
	return buf_detach(&b, NULL);
}

/* "http://host:port/path" or "/path" or "path". False: on another host. */
static bool get_relocate(struct get *g, const char *to)
{
	bool https = starts_with(to, "https://"), plain = starts_with(to, "http://");
	struct str rest = str_of(to), host;
	_cleanup_free_ char *dir = NULL;
	int64_t port;
	ssize_t end, colon;

	if (https || plain) {
		rest = str_sub(rest, https ? 8 : 7, rest.n);
		end = str_find(rest, '/');
		host = end < 0 ? rest : str_sub(rest, 0, (size_t)end);
		rest = end < 0 ? STR_LIT("/") : str_sub(rest, (size_t)end, rest.n);
		port = https ? 443 : 80;
		colon = str_rfind(host, ':');
		if (colon >= 0 && !str_to_i64(str_sub(host, (size_t)colon + 1, host.n), &port))
			return false;
		if (colon >= 0)
			host = str_sub(host, 0, (size_t)colon);
		if (!str_eqc(host, g->host) || port < 1 || port > 65535)
			return false;
		g->https = https;
		g->port = (int)port;
	} else if (starts_with(to, "//") || strstr(to, "://")) {
		return false;
	} else if (*to != '/') {
		end = str_rfind(str_of(g->target), '/');
		dir = str_dup(str_sub(str_of(g->target), 0, end < 0 ? 0 : (size_t)end + 1));
	}
	to = xasprintf("%s%.*s", dir ? dir : "", (int)rest.n, rest.p);
	free(g->target);
	g->target = path_clean(to);
	free((char *)to);
	return true;
}

static void get_follow(struct loop_task *task)
{
	struct get *g = CONTAINER_OF(task, struct get, task);
	_cleanup_free_ char *to = take_ptr(&g->location);

	if (g->try->ended)
		return;
	get_close(g);
	if (get_relocate(g, to))
		get_send(g);
	else
		try_end(g->try, g->try->hook ? PROBE_OK : PROBE_WARNING,
			"Probe terminated redirects, Response body: <a href=\"%s\">Found</a>.", to);
}

void try_http(struct probe_try *t, const struct node *action)
{
	const struct node *port = node_get(action, F_port);
	struct get *g = xcalloc(1, sizeof(*g));

	g->try = t;
	g->task.run = get_follow;
	t->impl = g;
	t->impl_free = get_free;
	g->https = node_streq(node_get(action, F_scheme), "HTTPS");
	g->host = xstrdup(probe_host(t->ctr, action));
	g->target = path_clean(node_gets(action, F_path));
	g->port = t->hook && !node_str(port).n && !node_is(port, DOC_INT) ? 80 : probe_port(t->ctr, port);
	if (g->port < 0) {
		try_end(t, PROBE_ERROR, "couldn't find port: %s", node_cstr_or(port, ""));
		return;
	}
	g->url = xasprintf("%s://%s:%d%s", g->https ? "https" : "http", g->host, g->port, g->target);
	if (headers_make(g, node_get(action, F_httpHeaders)))
		get_send(g);
}

struct probe_try *probe_http_once(struct ctr *c, const struct node *get, int64_t timeout_ms,
				  void (*done)(void *arg, enum probe_result r, const char *text), void *arg)
{
	struct probe_try *t = try_new(c, timeout_ms, done, arg);

	t->hook = true;
	try_http(t, get);
	return t;
}
