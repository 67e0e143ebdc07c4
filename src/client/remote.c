/*
 * The remote client: a call_server that sends each call as an HTTP request.
 *
 * A call waits for one of a bounded number of connections (watches have their
 * own), is sent, and when its answer is complete a task of the loop goes on: nobody
 * is told anything inside a callback of the connection, except of a watch's events.
 * Lists without a limit are gathered from pages. What came so far of one whose
 * token has expired is thrown away, and it begins again.
 */
#include "client/remote.h"

#include <errno.h>

#include "base/limits.h"
#include "client/internal.h"

#define REMOTE_BUSY 16 /* as many as http/ keeps idle */
#define REMOTE_TIMEOUT_MS 60000
#define REMOTE_RESTARTS 3 /* of a list whose token has expired */

/* --- the life of a call --- */

static struct remote *remote_of(struct call_server *s)
{
	return CONTAINER_OF(s, struct remote, server);
}

static bool is_watch(const struct remote_call *rc)
{
	return rc->call->verb == VERB_WATCH;
}

static struct remote_calls *line_of(struct remote_call *rc)
{
	return rc->state == REMOTE_WAITS && !is_watch(rc) ? &rc->remote->waiting : &rc->remote->others;
}

static void set_state(struct remote_call *rc, enum remote_state state)
{
	bool was_busy = rc->state == REMOTE_SENT, busy = state == REMOTE_SENT;

	TAILQ_REMOVE(line_of(rc), rc, link);
	if (!is_watch(rc))
		rc->remote->busy += busy - was_busy;
	rc->state = state;
	TAILQ_INSERT_TAIL(line_of(rc), rc, link);
}

void remote_call_unref(struct remote_call *rc)
{
	if (--rc->refs)
		return;
	free(rc->target);
	free(rc->cont);
	buf_release(&rc->body);
	buf_release(&rc->line);
	buf_release(&rc->x.resp_body);
	err_release(&rc->err);
	free(rc);
}

static void drop_items(struct remote_call *rc)
{
	for (size_t i = 0; i < rc->items.n; i++)
		obj_unref(rc->items.v[i]);
	rc->items.n = 0;
	rc->cont = free_null(rc->cont);
}

static void remote_pump(struct remote *r)
{
	struct remote_call *rc;

	while (r->busy < r->max_busy && (rc = TAILQ_FIRST(&r->waiting)))
		remote_call_send(rc);
}

/* Takes rc out of everything; the reference that the remote held stays with who calls this. */
static struct call *call_detach(struct remote_call *rc)
{
	struct call *c = rc->call;
	struct remote *r = rc->remote;

	if (rc->state == REMOTE_SENT)
		http_client_cancel(&rc->x);
	set_state(rc, REMOTE_CAME);
	TAILQ_REMOVE(line_of(rc), rc, link);
	loop_undefer(r->loop, &rc->came);
	rc->timer = loop_timer_free(rc->timer);
	rc->call = NULL;
	c->impl = NULL;
	return c;
}

void remote_call_end(struct remote_call *rc, struct obj *o, const struct err *err)
{
	struct call *c = call_detach(rc);

	remote_pump(rc->remote);
	c->obj = o;
	c->list = err ? NULL : rc->items.v;
	c->n_list = err ? 0 : rc->items.n;
	c->list_rv = rc->list_rv;
	c->continue_out = err ? NULL : rc->cont;
	c->done(c, err);
	drop_items(rc);
	VEC_RELEASE(&rc->items);
	remote_call_unref(rc);
}

static void remote_cancel(struct call_server *s UNUSED, struct call *c)
{
	struct remote_call *rc = c->impl;
	struct remote *r;

	if (!rc)
		return;
	r = rc->remote;
	call_detach(rc);
	remote_pump(r);
	drop_items(rc);
	VEC_RELEASE(&rc->items);
	remote_call_unref(rc);
}

/* --- the answer --- */

static void page_again(struct remote_call *rc)
{
	buf_release(&rc->x.resp_body);
	set_state(rc, REMOTE_WAITS);
	remote_pump(rc->remote);
}

static bool may_start_over(struct remote_call *rc, const struct err *e)
{
	return rc->cont && (e->reason == ERR_EXPIRED || e->reason == ERR_GONE) && rc->restarts++ < REMOTE_RESTARTS;
}

/* A page is there. True: the call goes on with the next, or from the start. */
static bool list_goes_on(struct remote_call *rc, const struct err *e)
{
	if (rc->call->verb != VERB_LIST || rc->call->opts.limit || !rc->cont)
		return false;
	if (err_is_set(e) && !may_start_over(rc, e))
		return false;
	if (err_is_set(e))
		drop_items(rc);
	page_again(rc);
	return true;
}

static void remote_came(struct loop_task *t)
{
	struct remote_call *rc = CONTAINER_OF(t, struct remote_call, came);
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_obj_ struct obj *o = NULL;
	int status = rc->x.status;

	if (is_watch(rc)) {
		remote_watch_came(rc);
		return;
	}
	if (err_is_set(&rc->err))
		err_move(&e, &rc->err);
	else if (status < 200 || status > 299)
		(void)remote_refusal(rc, status, buf_str(&rc->x.resp_body), &e);
	else if (rc->call->verb == VERB_LIST)
		(void)remote_read_list(rc, buf_str(&rc->x.resp_body), &e);
	else
		(void)remote_read_object(rc, buf_str(&rc->x.resp_body), &o, &e);
	if (!list_goes_on(rc, &e))
		remote_call_end(rc, o, err_is_set(&e) ? &e : NULL);
}

static void over(struct remote_call *rc, const struct err *err)
{
	struct remote *r = rc->remote;

	if (err)
		err_copy(&rc->err, err);
	rc->timer = loop_timer_free(rc->timer);
	set_state(rc, REMOTE_CAME);
	loop_defer(r->loop, &rc->came);
	remote_pump(r);
}

static void remote_done(struct http_exchange *x, const struct err *err)
{
	over(x->arg, err);
}

static void remote_late(void *arg)
{
	struct remote_call *rc = arg;
	_cleanup_err_ struct err e = ERR_INIT;

	http_client_cancel(&rc->x);
	err_set(&e, ERR_TIMEOUT, "%s %s%s: no complete answer in time", rc->x.method, rc->remote->url, rc->target);
	over(rc, &e);
}

/* --- sending --- */

void remote_call_send(struct remote_call *rc)
{
	struct remote *r = rc->remote;
	struct http_exchange *x = &rc->x;
	_cleanup_err_ struct err e = ERR_INIT;

	if (remote_ask(rc, &e) < 0) {
		over(rc, &e);
		return;
	}
	x->on_done = remote_done;
	x->timeout_ms = r->timeout_ms;
	if (is_watch(rc)) {
		x->on_head = remote_watch_head;
		x->on_data = remote_watch_data;
	} else {
		x->max_body = LIMIT_LIST_PAGE_BYTES;
		rc->timer = loop_timer_new(r->loop, remote_late, rc);
		loop_timer_set(rc->timer, r->timeout_ms);
	}
	set_state(rc, REMOTE_SENT);
	http_client_send(r->http, x);
}

static void remote_submit(struct call_server *s, struct call *c)
{
	struct remote *r = remote_of(s);
	struct remote_call *rc = xcalloc(1, sizeof(*rc));
	int64_t rv;

	rc->remote = r;
	rc->call = c;
	rc->refs = 1;
	rc->came.run = remote_came;
	buf_init(&rc->body);
	buf_init(&rc->line);
	buf_init(&rc->x.resp_body);
	c->impl = rc;
	if (is_watch(rc) && !c->opts.send_initial_events &&
	    str_to_i64(str_of(c->opts.resource_version ? c->opts.resource_version : ""), &rv) && rv > 0)
		rc->rv = rv;
	TAILQ_INSERT_TAIL(line_of(rc), rc, link);
	if (is_watch(rc))
		remote_call_send(rc);
	else
		remote_pump(r);
}

/* --- the client --- */

static void remote_free(struct call_server *s)
{
	struct remote *r = remote_of(s);
	struct remote_call *rc;

	/* Whoever is still waiting is not told, as cancelling does not. */
	while ((rc = TAILQ_FIRST(&r->waiting)) || (rc = TAILQ_FIRST(&r->others)))
		remote_cancel(s, rc->call);
	http_client_free(r->http);
	tls_free(r->tls);
	free(r->url);
	free(r->base);
	free(r->authorization);
	free(r->agent);
	free(r);
}

struct remote_url {
	char *host;
	const char *path;
	int port;
	bool tls;
};

/* "https://host[:port][/path]" */
static int url_parse(struct remote_url *u, const char *url, struct err *e)
{
	struct str rest = str_of(url), host;
	bool plain = starts_with(url, "http://");
	int64_t port = plain ? 80 : 443;
	size_t skip = plain ? strlen("http://") : strlen("https://"), end;
	bool good = plain || starts_with(url, "https://");

	rest = str_sub(rest, skip, rest.n);
	end = good ? strcspn(rest.p, "/?#") : 0;
	host = str_sub(rest, 0, end);
	u->path = good ? rest.p + end : "";
	u->tls = !plain;
	if (host.n && host.p[0] == '[') {
		ssize_t close = str_find(host, ']');
		struct str after = close > 0 ? str_sub(host, (size_t)close + 1, host.n) : host;

		good = good && close > 1 && (after.n == 0 || after.p[0] == ':');
		rest = after.n ? str_sub(after, 1, after.n) : STR_NONE;
		host = good ? str_sub(host, 1, (size_t)close) : host;
	} else {
		rest = host;
		host = str_cut(&rest, ':');
	}
	if (rest.p && !(str_to_i64(rest, &port) && port > 0 && port < 65536))
		good = false;
	if (!good || !host.n || strpbrk(url, "@?# \r\n") || !str_is_utf8(str_of(url)))
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no URL of a server such as https://127.0.0.1:6443", url);
	u->host = str_dup(host);
	u->port = (int)port;
	return 0;
}

static struct remote *remote_make(const struct client_remote_config *cfg, const struct remote_url *u)
{
	struct remote *r = xcalloc(1, sizeof(*r));
	size_t n = strlen(u->path);

	while (n && u->path[n - 1] == '/')
		n--;
	r->server.submit = remote_submit;
	r->server.cancel = remote_cancel;
	r->loop = cfg->loop;
	r->base = xmemdupz(u->path, n);
	r->url = xmemdupz(cfg->server, (size_t)(u->path - cfg->server));
	r->authorization = str_empty(cfg->token) ? NULL : xasprintf("Bearer %s", cfg->token);
	r->agent = xstrdup(str_empty(cfg->user_agent) ? "kinglet" : cfg->user_agent);
	r->max_busy = cfg->max_connections > 0 ? cfg->max_connections : REMOTE_BUSY;
	r->timeout_ms = cfg->timeout_ms > 0 ? cfg->timeout_ms : REMOTE_TIMEOUT_MS;
	TAILQ_INIT(&r->waiting);
	TAILQ_INIT(&r->others);
	return r;
}

static bool is_header_text(const char *s)
{
	for (; s && *s; s++)
		if ((unsigned char)*s <= ' ' || (unsigned char)*s >= 127)
			return false;
	return true;
}

int client_new_remote(struct client **ret, const struct client_remote_config *cfg, struct err *e)
{
	struct tls_config tc = { .cert_pem = cfg->cert_pem, .key_pem = cfg->key_pem, .ca_pem = cfg->ca_pem,
				 .insecure = cfg->insecure, .system_ca = !cfg->ca_pem };
	_cleanup_free_ char *host = NULL;
	struct http_client_config hc = { .loop = cfg->loop };
	struct remote_url u = { 0 };
	struct tls *tls = NULL;
	struct remote *r;

	if (!is_header_text(cfg->token))
		return err_set(e, ERR_BAD_REQUEST, "the token holds characters that no token can");
	if (url_parse(&u, cfg->server, e) < 0)
		return -e->code;
	host = u.host;
	if (u.tls && tls_new(&tls, &tc, false, e) < 0)
		return err_wrap(e, "TLS settings for %s", cfg->server);
	r = remote_make(cfg, &u);
	r->tls = tls;
	hc.host = host;
	hc.port = u.port;
	hc.tls = tls;
	r->http = http_client_new(&hc);
	*ret = client_new_local(cfg->loop, &r->server, cfg->user_agent);
	(*ret)->free_server = remote_free;
	return 0;
}
