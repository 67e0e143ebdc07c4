/*
 * Requests to a registry: the OCI distribution API with the token protocol of
 * Docker's registries, as containerd's resolver and authorizer speak it.
 *
 * A call goes
 *	SENT     until its answer is complete, or it stalls
 *	WAITS    for a token, when the answer was 401 with a Bearer challenge. One request
 *	         for a token serves all calls; a token that ends (it is refused, or past the
 *	         time that was told) is asked for again, each call twice at most
 *	SENT     again: with the token, at the place of a redirect, or after a pause when the
 *	         answer was 429 or 5xx, or the connection broke before there was any
 *
 * Credentials and tokens go to the registry's own host only, and to the place for tokens
 * that it names; no redirect takes them along. From https nothing leads to plain http.
 *
 * What ends a request only notes the result; call_step goes on from the loop, so clients
 * and exchanges are never freed within their own callbacks.
 */
#include "image/remote.h"

#include <ctype.h>
#include <errno.h>

#include "base/limits.h"
#include "base/rand.h"
#include "base/time.h"
#include "doc/doc.h"

#define REMOTE_REDIRECTS 5
#define REMOTE_CLIENTS 8 /* hosts that one registry may send us to */
#define REMOTE_TRIES 3
#define REMOTE_RETRY_MS 250 /* before the second try; three times as long before the next */
#define REMOTE_RETRY_AFTER_MAX_S 20 /* who wants us to come back later than that is not waited for */
#define REMOTE_AUTH_ROUNDS 2
#define REMOTE_TOKEN_MAX (64u << 10)
#define REMOTE_TOKEN_S 60 /* when the answer does not say how long it is good (the protocol's default) */
#define REMOTE_HEAD_MS 30000
#define REMOTE_STALL_BYTES 1024 /* fewer in the time for a stall are as good as none */
#define REMOTE_ERROR_BODY (64u << 10)

struct remote_client {
	struct url url; /* host and port of it */
	struct http_client *client;
};

struct remote {
	struct remote_config cfg;
	struct registry_place place;
	struct registry_auth auth;
	VEC(struct remote_client) clients;
	struct tls *tls, *own_tls; /* for others; with our certificate, for the registry itself */
	LIST_HEAD(, remote_call) calls;
	bool basic, bearer; /* what it wants, as far as it has said */
	char *token, *encoded; /* base64 of user:password */
	int64_t token_until_ms; /* monotonic */
	unsigned token_gen;
	struct challenge challenge; /* the last one with a token */
	struct remote_call token_call;
	struct buf token_body;
	bool token_busy;
};

static void call_send(struct remote_call *c);

/* --- life --- */

static char *remote_encode(const struct registry_auth *a)
{
	_cleanup_free_ char *both = xasprintf("%s:%s", a->user, a->password);
	struct buf b = BUF_INIT;

	buf_add_base64(&b, both, strlen(both), false);
	return buf_detach(&b, NULL);
}

struct remote *remote_new(const struct remote_config *cfg)
{
	struct remote *r = xcalloc(1, sizeof(*r));
	const struct registry_place *p = cfg->place;
	const struct registry_auth none = { NULL, NULL, NULL };
	const struct registry_auth *a = cfg->auth ? cfg->auth : p->config ? &p->config->auth : &none;

	r->cfg = *cfg;
	r->place = (struct registry_place){ .host = xstrdup(p->host), .repository = xstrdup(p->repository),
					    .ns = xstrdup_null(p->ns), .config = p->config };
	url_copy(&r->place.base, &p->base);
	registry_auth_copy(&r->auth, a);
	if (*r->auth.user || *r->auth.password)
		r->encoded = remote_encode(&r->auth);
	LIST_INIT(&r->calls);
	challenge_init(&r->challenge);
	buf_init(&r->token_body);
	return r;
}

struct remote *remote_free(struct remote *r)
{
	struct remote_call *c;

	if (!r)
		return NULL;
	while ((c = LIST_FIRST(&r->calls)))
		remote_cancel(c);
	remote_cancel(&r->token_call);
	for (size_t i = 0; i < r->clients.n; i++) {
		http_client_free(r->clients.v[i].client);
		url_release(&r->clients.v[i].url);
	}
	VEC_RELEASE(&r->clients);
	tls_free(r->tls);
	tls_free(r->own_tls);
	url_release(&r->place.base);
	free(r->place.host);
	free(r->place.repository);
	free(r->place.ns);
	registry_auth_release(&r->auth);
	challenge_release(&r->challenge);
	buf_release(&r->token_body);
	free(r->token);
	free(r->encoded);
	free(r);
	return NULL;
}

const struct registry_place *remote_place(const struct remote *r)
{
	return &r->place;
}

/* --- connections --- */

static struct tls *remote_tls(struct remote *r, bool own, struct err *e)
{
	const struct registry_config *c = r->place.config;
	struct tls **at = own && c && c->cert_pem ? &r->own_tls : &r->tls;
	struct tls_config cfg = { .system_ca = true };

	if (*at)
		return *at;
	if (c) {
		cfg.ca_pem = c->ca_pem;
		cfg.insecure = c->insecure;
	}
	if (at == &r->own_tls) {
		cfg.cert_pem = c->cert_pem;
		cfg.key_pem = c->key_pem;
	}
	if (tls_new(at, &cfg, false, e) < 0) {
		err_wrap(e, "TLS settings for registry '%s'", r->place.host);
		return NULL;
	}
	return *at;
}

static struct http_client *remote_client(struct remote *r, const struct url *u, struct err *e)
{
	struct http_client_config cfg = { .loop = r->cfg.loop, .port = u->port };
	struct remote_client c = { .client = NULL };

	for (size_t i = 0; i < r->clients.n; i++)
		if (url_same_host(&r->clients.v[i].url, u))
			return r->clients.v[i].client;
	if (r->clients.n >= REMOTE_CLIENTS) {
		err_set(e, ERR_BAD_REQUEST, "the registry sends to too many hosts");
		return NULL;
	}
	if (u->tls) {
		cfg.tls = remote_tls(r, url_same_host(u, &r->place.base), e);
		if (!cfg.tls)
			return NULL;
	}
	url_copy(&c.url, u);
	cfg.host = c.url.host;
	c.client = http_client_new(&cfg);
	VEC_PUSH(&r->clients, c);
	return c.client;
}

/* --- the end of a call --- */

static void call_drop_answer(struct remote_call *c)
{
	if (c->active)
		http_client_cancel(&c->x);
	c->active = false;
	c->location = free_null(c->location);
	c->digest = free_null(c->digest);
	buf_clear(&c->answer);
	for (size_t i = 0; i < ARRAY_SIZE(c->texts); i++)
		c->texts[i] = free_null(c->texts[i]);
	err_release(&c->err);
	c->paused = c->cut = false;
	c->retry_after_s = 0;
}

void remote_cancel(struct remote_call *c)
{
	if (!c->remote)
		return;
	call_drop_answer(c);
	buf_release(&c->answer);
	loop_undefer(c->remote->cfg.loop, &c->step);
	c->timer = loop_timer_free(c->timer);
	challenge_release(&c->challenge);
	url_release(&c->want);
	url_release(&c->at);
	if (!c->bare)
		LIST_REMOVE(c, link);
	c->remote = NULL;
}

static void call_finish(struct remote_call *c)
{
	_cleanup_err_ struct err err = ERR_INIT;

	loop_timer_clear(c->timer);
	err_move(&err, &c->err);
	c->final = true;
	c->on_done(c, err_is_set(&err) ? &err : NULL);
}

void remote_pause(struct remote_call *c, bool paused)
{
	c->paused = paused;
	if (c->active)
		http_exchange_pause(&c->x, paused);
}

/* --- errors --- */

/* Without the query: signed links are secrets. */
static char *call_url(const struct remote_call *c)
{
	char *text = url_print(&c->at);

	text[strcspn(text, "?")] = '\0';
	return text;
}

static void call_fail_at(struct remote_call *c)
{
	_cleanup_free_ char *url = call_url(c), *method = xstrdup(c->method);

	for (char *m = method + 1; *m; m++)
		*m = (char)tolower((unsigned char)*m);
	err_wrap(&c->err, "failed to do request: %s \"%s\"", method, url);
}

/* The registry's own words: {"errors": [{"code", "message"}]} */
static char *call_message(const struct remote_call *c)
{
	_cleanup_err_ struct err ignored = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *first;
	const char *message;
	char *text;

	if (!c->answer.len || doc_parse_json(&d, buf_str(&c->answer), NULL, &ignored) < 0)
		return NULL;
	first = node_at(node_getc(doc_root(d), "errors"), 0);
	message = node_cstr(node_getc(first, "message"));
	if (!message)
		message = node_cstr(node_getc(first, "code"));
	if (!message)
		return NULL;
	text = xasprintf("%.200s", message);
	for (char *m = text; *m; m++)
		if ((unsigned char)*m < ' ' || *m == 0x7f)
			*m = ' ';
	return text;
}

void remote_refused(const struct remote_call *c, const char *what, struct err *e)
{
	_cleanup_free_ char *url = call_url(c), *message = call_message(c);
	const char *sep = message ? ": server message: " : "";

	if (c->status == 404)
		err_set(e, ERR_NOT_FOUND, "%s: not found", what);
	else if (c->status == 401 || c->status == 403)
		err_set(e, c->status == 401 ? ERR_UNAUTHORIZED : ERR_FORBIDDEN,
			"%s, repository does not exist or may require authorization%s%s",
			strcmp(c->method, "GET") == 0 || strcmp(c->method, "HEAD") == 0 ? "pull access denied" : "push access denied",
			sep, message ? message : "");
	else
		err_set(e, c->status == 429 ? ERR_TOO_MANY_REQUESTS : c->status >= 500 ? ERR_SERVICE_UNAVAILABLE : ERR_BAD_REQUEST,
			"unexpected status from %s request to %s: %d %s%s%s", c->method, url, c->status,
			http_status_text(c->status), message ? ": " : "", message ? message : "");
}

/* --- what an exchange tells --- */

static void call_cut(struct remote_call *c)
{
	http_client_cancel(&c->x);
	c->active = false;
	loop_defer(c->remote->cfg.loop, &c->step);
}

/* The time for the next part is over: it was too little, or it begins anew. A call that waits to be tried again. */
static void call_on_timer(void *arg)
{
	struct remote_call *c = arg;

	if (!c->active) {
		call_send(c);
		return;
	}
	if (!c->paused && c->window_bytes < REMOTE_STALL_BYTES) {
		err_set(&c->err, ERR_TIMEOUT, "the transfer makes no progress: %lld bytes in %d ms", (long long)c->window_bytes,
			c->remote->cfg.stall_ms);
		call_fail_at(c);
		call_cut(c);
		return;
	}
	c->window_bytes = 0;
	loop_timer_set(c->timer, c->remote->cfg.stall_ms);
}

static bool call_good(const struct remote_call *c)
{
	return c->x.status >= 200 && c->x.status < 300;
}

static void call_on_head(struct http_exchange *x, const struct http_head *h)
{
	struct remote_call *c = x->arg;
	struct str location = http_head_get(h, "location"), digest = http_head_get(h, "docker-content-digest");
	int64_t after;

	c->window_bytes = REMOTE_STALL_BYTES;
	if (h->status == 401) {
		challenge_release(&c->challenge);
		challenge_init(&c->challenge);
		for (size_t i = 0; i < h->n_headers; i++)
			if (str_ieq(h->headers[i].name, STR_LIT("WWW-Authenticate")))
				challenge_add(&c->challenge, h->headers[i].value);
	}
	if (h->status >= 200 && h->status < 400 && location.n)
		c->location = str_dup(location);
	if (digest.n)
		c->digest = str_dup(digest);
	if (str_to_i64(http_head_get(h, "retry-after"), &after) && after > 0)
		c->retry_after_s = after > 100000 ? 100000 : (int)after;
	if (call_good(c) && c->on_head)
		c->on_head(c, h);
}

static void call_on_data(struct http_exchange *x, struct str data)
{
	struct remote_call *c = x->arg;
	size_t max = call_good(c) ? c->max_answer : REMOTE_ERROR_BODY;

	c->window_bytes += (int64_t)data.n;
	if (call_good(c) && c->on_data) {
		c->on_data(c, data);
		return;
	}
	if (c->answer.len + data.n <= max) {
		buf_addstr(&c->answer, data);
		return;
	}
	if (call_good(c)) {
		err_set(&c->err, ERR_TOO_LARGE, "the answer is larger than %zu bytes", max);
		call_fail_at(c);
	}
	c->cut = true; /* of an error's text the beginning is enough */
	c->status = x->status;
	call_cut(c);
}

static void call_on_done(struct http_exchange *x, const struct err *err)
{
	struct remote_call *c = x->arg;

	c->active = false;
	if (err) {
		err_copy(&c->err, err);
		call_fail_at(c);
	}
	c->status = x->status;
	loop_defer(c->remote->cfg.loop, &c->step);
}

/* --- sending --- */

static void call_header(struct remote_call *c, size_t *n, const char *name, const char *value)
{
	if (value)
		c->headers[(*n)++] = (struct http_header){ str_of(name), str_of(value) };
}

/* Who we are, for the place that is asked; NULL: nobody. */
static char *call_authorization(const struct remote_call *c)
{
	const struct remote *r = c->remote;

	if (!url_same_host(&c->at, &c->want))
		return NULL;
	if (c->bare)
		return c->basic ? xasprintf("Basic %s", c->basic) : NULL;
	if (!url_same_host(&c->want, &r->place.base))
		return NULL;
	if (r->token)
		return xasprintf("Bearer %s", r->token);
	return r->basic && r->encoded ? xasprintf("Basic %s", r->encoded) : NULL;
}

static size_t call_headers(struct remote_call *c)
{
	size_t n = 0;

	c->texts[0] = url_host(&c->at);
	c->texts[1] = call_authorization(c);
	if (c->from > 0)
		c->texts[2] = xasprintf("bytes=%lld-", (long long)c->from);
	if (c->part_at >= 0 && c->body.n)
		c->texts[3] = xasprintf("%lld-%lld", (long long)c->part_at, (long long)c->part_at + (long long)c->body.n - 1);
	call_header(c, &n, "Host", c->texts[0]);
	call_header(c, &n, "User-Agent", "kinglet");
	call_header(c, &n, "Accept", c->accept);
	call_header(c, &n, "Content-Type", c->content_type);
	call_header(c, &n, "Authorization", c->texts[1]);
	call_header(c, &n, "Range", c->texts[2]);
	call_header(c, &n, "Content-Range", c->texts[3]);
	return n;
}

static bool remote_token_ended(const struct remote *r)
{
	return r->token && time_mono_ms() >= r->token_until_ms;
}

static void remote_ask_token(struct remote *r);

static void call_send(struct remote_call *c)
{
	struct remote *r = c->remote;
	struct http_client *client;
	size_t n;

	call_drop_answer(c);
	c->status = 0;
	if (!c->bare && remote_token_ended(r)) {
		r->token = free_null(r->token);
		c->waits = true;
		remote_ask_token(r);
		return;
	}
	client = remote_client(r, &c->at, &c->err);
	if (!client) {
		loop_defer(r->cfg.loop, &c->step);
		return;
	}
	n = call_headers(c);
	c->token_gen = r->token_gen;
	c->x = (struct http_exchange){ .method = c->method, .target = c->at.target, .headers = c->headers, .n_headers = n,
				       .body = c->body, .timeout_ms = r->cfg.stall_ms < REMOTE_HEAD_MS ? r->cfg.stall_ms : REMOTE_HEAD_MS,
				       .on_head = call_on_head, .on_data = call_on_data,
				       .on_done = call_on_done, .arg = c };
	c->active = true;
	c->window_bytes = REMOTE_STALL_BYTES; /* until the head has come the client counts the time */
	loop_timer_set(c->timer, r->cfg.stall_ms);
	http_client_send(client, &c->x);
}

static void call_step(struct loop_task *t);

static void call_init(struct remote *r, struct remote_call *c)
{
	c->remote = r;
	c->redirects = c->auth_rounds = c->tries = 0;
	c->active = c->waits = c->final = c->paused = c->cut = false;
	c->texts[0] = c->texts[1] = c->texts[2] = c->texts[3] = NULL;
	c->location = c->digest = NULL;
	c->err = (struct err)ERR_INIT;
	c->step = (struct loop_task){ .run = call_step };
	c->timer = loop_timer_new(r->cfg.loop, call_on_timer, c);
	challenge_init(&c->challenge);
	buf_init(&c->answer);
	if (!c->bare)
		LIST_INSERT_HEAD(&r->calls, c, link);
}

void remote_send(struct remote *r, struct remote_call *c, const char *path)
{
	const struct registry_place *p = &r->place;
	_cleanup_buf_ struct buf ns = BUF_INIT;

	if (p->ns) {
		buf_adds(&ns, strchr(path, '?') ? "&ns=" : "?ns=");
		buf_add_url(&ns, str_of(p->ns), false);
	}
	call_init(r, c);
	c->want = (struct url){ p->base.tls, xstrdup(p->base.host), p->base.port,
				xasprintf("%s/%s/%s%s", p->base.target, p->repository, path, ns.s) };
	url_copy(&c->at, &c->want);
	call_send(c);
}

void remote_send_to(struct remote *r, struct remote_call *c, const char *location)
{
	call_init(r, c);
	if (!url_parse(&c->want, str_of(location), &r->place.base) || (r->place.base.tls && !c->want.tls)) {
		url_release(&c->want);
		url_copy(&c->want, &r->place.base);
		url_copy(&c->at, &c->want);
		err_set(&c->err, ERR_BAD_REQUEST, "the registry names a place that can't be used ('%.200s')", location);
		loop_defer(r->cfg.loop, &c->step);
		return;
	}
	url_copy(&c->at, &c->want);
	call_send(c);
}

/* --- tokens --- */

static void remote_token_target(struct remote *r, struct buf *out, const char *target)
{
	buf_addf(out, "%s%cservice=", target, strchr(target, '?') ? '&' : '?');
	buf_add_url(out, str_of(r->challenge.service), false);
	buf_adds(out, "&scope=");
	if (*r->challenge.scope) {
		buf_add_url(out, str_of(r->challenge.scope), false);
	} else {
		buf_adds(out, "repository%3A");
		buf_add_url(out, str_of(r->place.repository), false);
		buf_adds(out, r->cfg.push ? "%3Apull%2Cpush" : "%3Apull");
	}
	if (*r->auth.user) {
		buf_adds(out, "&account=");
		buf_add_url(out, str_of(r->auth.user), false);
	}
}

/* An identity token is exchanged by OAuth 2's rules (RFC 6749, 6), all else by Docker's own. */
static void remote_token_post(struct remote *r, struct remote_call *c)
{
	struct buf *b = &r->token_body;

	buf_clear(b);
	buf_adds(b, "grant_type=refresh_token&client_id=kinglet&service=");
	buf_add_url(b, str_of(r->challenge.service), false);
	buf_adds(b, "&scope=");
	buf_add_url(b, str_of(r->challenge.scope), false);
	buf_adds(b, "&refresh_token=");
	buf_add_url(b, str_of(r->auth.identity_token), false);
	c->method = "POST";
	c->content_type = "application/x-www-form-urlencoded";
	c->body = buf_str(b);
	c->basic = NULL;
}

static bool token_ok(const char *token)
{
	for (const char *c = token; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return *token != '\0';
}

static int remote_take_token(struct remote *r, const struct remote_call *c, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	const char *token = NULL;
	int64_t seconds;

	if (doc_parse_json(&d, buf_str(&c->answer), NULL, e) == 0) {
		token = node_cstr(node_getc(doc_root(d), "token"));
		if (str_empty(token))
			token = node_cstr(node_getc(doc_root(d), "access_token"));
	}
	if (!token || !token_ok(token))
		return err_set(e, ERR_UNAUTHORIZED, "failed to authorize: the answer holds no token");
	seconds = node_int(node_getc(doc_root(d), "expires_in"), REMOTE_TOKEN_S);
	if (seconds <= 0 || seconds > DAY_S)
		seconds = seconds <= 0 ? REMOTE_TOKEN_S : DAY_S;
	free(r->token);
	r->token = xstrdup(token);
	r->token_gen++;
	r->token_until_ms = time_mono_ms() + seconds * SEC_MS * 9 / 10;
	return 0;
}

static void remote_on_token(struct remote_call *c, const struct err *err)
{
	struct remote *r = c->arg;
	_cleanup_err_ struct err e = ERR_INIT;
	const char *whose = r->encoded || *r->auth.identity_token ? "oauth" : "anonymous";
	struct remote_call *one, *next;

	if (err) {
		err_copy(&e, err);
		err_wrap(&e, "failed to authorize: failed to fetch %s token", whose);
	} else if (c->status != 200) {
		_cleanup_free_ char *url = call_url(c), *message = call_message(c);

		err_set(&e, c->status >= 500 ? ERR_SERVICE_UNAVAILABLE : ERR_UNAUTHORIZED,
			"failed to authorize: failed to fetch %s token: unexpected status from %s request to %s: %d %s%s%s",
			whose, c->method, url, c->status, http_status_text(c->status), message ? ": " : "", message ? message : "");
	} else {
		(void)!remote_take_token(r, c, &e);
	}
	remote_cancel(c);
	r->token_busy = false;
	LIST_FOREACH_SAFE (one, &r->calls, link, next) {
		if (!one->waits)
			continue;
		one->waits = false;
		if (err_is_set(&e)) {
			err_copy(&one->err, &e);
			loop_defer(r->cfg.loop, &one->step);
		} else {
			call_send(one);
		}
	}
}

/* Calls that wait go on when it has come, or not. */
static void remote_ask_token(struct remote *r)
{
	struct remote_call *c = &r->token_call;
	_cleanup_buf_ struct buf target = BUF_INIT;
	struct url realm;

	if (r->token_busy)
		return;
	r->token_busy = true;
	*c = (struct remote_call){ .method = "GET", .part_at = -1, .max_answer = REMOTE_TOKEN_MAX, .on_done = remote_on_token,
				   .arg = r, .bare = true, .basic = r->encoded };
	call_init(r, c);
	if (!url_parse(&realm, str_of(r->challenge.realm), NULL) || (r->place.base.tls && !realm.tls)) {
		url_release(&realm);
		url_copy(&c->want, &r->place.base);
		url_copy(&c->at, &c->want);
		err_set(&c->err, ERR_UNAUTHORIZED, "the registry names no place for tokens ('%.200s')", r->challenge.realm);
		loop_defer(r->cfg.loop, &c->step);
		return;
	}
	if (*r->auth.identity_token) {
		remote_token_post(r, c);
	} else {
		remote_token_target(r, &target, realm.target);
		free(realm.target);
		realm.target = buf_detach(&target, NULL);
	}
	c->want = realm;
	url_copy(&c->at, &realm);
	call_send(c);
}

/* True: the call goes on. */
static bool call_authorize(struct remote_call *c)
{
	struct remote *r = c->remote;

	if (c->bare || !url_same_host(&c->at, &c->want) || c->auth_rounds >= REMOTE_AUTH_ROUNDS)
		return false;
	if (r->token_gen != c->token_gen) { /* another call has fetched one meanwhile */
		c->auth_rounds++;
		call_send(c);
		return true;
	}
	if (c->challenge.bearer && *c->challenge.realm) {
		c->auth_rounds++;
		challenge_release(&r->challenge);
		r->challenge = c->challenge;
		challenge_init(&c->challenge);
		r->token = free_null(r->token);
		c->waits = true;
		remote_ask_token(r);
		return true;
	}
	if (c->challenge.basic && r->encoded && !r->basic) {
		c->auth_rounds++;
		r->basic = true;
		call_send(c);
		return true;
	}
	if (c->challenge.basic && r->encoded && !c->texts[1]) { /* it was sent before we knew */
		c->auth_rounds++;
		call_send(c);
		return true;
	}
	return false;
}

/* --- answers that are none yet --- */

static bool call_reads(const struct remote_call *c)
{
	return streq(c->method, "GET") || streq(c->method, "HEAD");
}

static void call_redirect(struct remote_call *c)
{
	struct url to;

	if (++c->redirects > REMOTE_REDIRECTS) {
		err_set(&c->err, ERR_BAD_REQUEST, "stopped after %d redirects", REMOTE_REDIRECTS);
		call_fail_at(c);
	} else if (!url_parse(&to, str_of(c->location), &c->at)) {
		err_set(&c->err, ERR_BAD_REQUEST, "the redirect leads nowhere ('%.200s')", c->location);
		url_release(&to);
	} else if (c->at.tls && !to.tls) {
		err_set(&c->err, ERR_FORBIDDEN, "the registry redirects from https to plain http ('%.200s')", c->location);
		url_release(&to);
	} else {
		url_release(&c->at);
		c->at = to;
		call_send(c);
	}
}

/* Would it be another answer a little later? */
static bool call_may_retry(const struct remote_call *c)
{
	if (c->tries + 1 >= REMOTE_TRIES || !call_reads(c) || c->retry_after_s > REMOTE_RETRY_AFTER_MAX_S)
		return false;
	if (err_is_set(&c->err)) /* it broke before there was an answer */
		return c->x.status == 0 && (c->err.code == ECONNRESET || c->err.code == EPIPE);
	return c->status == 429 || c->status == 408 || (c->status >= 500 && c->status != 501 && c->status != 505);
}

static void call_retry(struct remote_call *c)
{
	int64_t ms = REMOTE_RETRY_MS;

	for (int i = 0; i < c->tries; i++)
		ms *= 3;
	c->tries++;
	ms += (int64_t)(rand_u64() % (uint64_t)ms) / 4;
	if (c->retry_after_s)
		ms = c->retry_after_s * SEC_MS;
	loop_timer_set(c->timer, ms);
}

static void call_step(struct loop_task *t)
{
	struct remote_call *c = CONTAINER_OF(t, struct remote_call, step);
	bool failed = err_is_set(&c->err);

	loop_timer_clear(c->timer);
	if (!failed && c->status >= 300 && c->status < 400 && c->location && call_reads(c)) {
		call_redirect(c);
		if (!err_is_set(&c->err))
			return;
	} else if (!failed && c->status == 401 && call_authorize(c)) {
		return;
	} else if (call_may_retry(c)) {
		call_retry(c);
		return;
	}
	call_finish(c);
}
