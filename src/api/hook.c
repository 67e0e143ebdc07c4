/*
 * Questions to programs outside (admission and conversion webhooks), asked
 * without ever stopping the loop.
 *
 * Below: one POST of JSON (hook_send): the clientConfig says where (a URL, or a
 * Service, which is looked up anew each time), connections are kept and reused
 * for each address and CA, and one limit of time is for all of it. The texts of
 * errors are those that client-go gives the same failure.
 *
 * Above: a question in the middle of a request (hook_ask). A write is decided in
 * the store's turn on its key, where nobody may wait. So a question that has no
 * answer yet is noted, the run is given up (ERR_AGAIN), the notes are sent, and
 * when the last answer has come the request's act runs again from the start and
 * finds the answers by the questions' digests. If the object has changed
 * meanwhile, the question is another one and is asked; HOOK_MAX_ROUNDS ends
 * that. The same is done for reads that need a conversion.
 */
#include "api/internal.h"

#include <errno.h>
#include <stdio.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "http/http.h"

#define HOOK_TIMEOUT_MS 10000
#define HOOK_MAX_ROUNDS 100
#define HOOK_MAX_PEERS 64 /* addresses whose connections are kept */
#define HOOK_ANSWER_BYTES (3u << 20)

/* --- where --- */

struct hook_peer { /* one address, server name and CA */
	struct http_client *client;
	struct tls *tls;
	unsigned calls;
};
struct hooks {
	struct map *peers;
};

struct hook_url {
	char *host, *target, *server_name; /* target: with the query */
	char *text; /* as a client would write it, for errors */
	int port;
};

static void hook_url_release(struct hook_url *u)
{
	free(u->host);
	free(u->target);
	free(u->server_name);
	free(u->text);
}

static int hook_url_parse(struct hook_url *u, struct str url, int timeout_s, struct err *e)
{
	struct str rest = url, authority, host;
	ssize_t slash, colon;
	int64_t port = 443;

	if (!str_starts(rest, STR_LIT("https://")))
		return err_set(e, ERR_INTERNAL, "the webhook's url \"%" STR_FMT "\" is not https", STR_ARG(url));
	rest = str_sub(rest, strlen("https://"), rest.n);
	slash = str_find(rest, '/');
	authority = slash < 0 ? rest : str_sub(rest, 0, (size_t)slash);
	colon = str_rfind(authority, ':');
	if (colon >= 0 && str_find(str_sub(authority, (size_t)colon, authority.n), ']') >= 0)
		colon = -1;
	host = colon < 0 ? authority : str_sub(authority, 0, (size_t)colon);
	if (colon >= 0 && (!str_to_i64(str_sub(authority, (size_t)colon + 1, authority.n), &port) || port < 1 || port > 65535))
		return err_set(e, ERR_INTERNAL, "the webhook's url \"%" STR_FMT "\" has no port", STR_ARG(url));
	if (host.n > 1 && host.p[0] == '[')
		host = str_sub(host, 1, host.n - 1);
	u->host = str_dup(host);
	u->server_name = str_dup(host);
	u->port = (int)port;
	rest = slash < 0 ? STR_LIT("/") : str_sub(rest, (size_t)slash, rest.n);
	u->target = xasprintf("%" STR_FMT "%stimeout=%ds", STR_ARG(rest), str_find(rest, '?') < 0 ? "?" : "&", timeout_s);
	u->text = xasprintf("https://%" STR_FMT "%s", STR_ARG(authority), u->target);
	return 0;
}

static int hook_url_service(struct api *a, struct hook_url *u, const struct node *svc, int timeout_s, struct err *e)
{
	const char *ns = node_gets(svc, F_namespace), *name = node_gets(svc, F_name), *path = node_gets(svc, F_path);
	int64_t port = node_int(node_get(svc, F_port), 443);
	char number[24];

	snprintf(number, sizeof(number), "%lld", (long long)port);
	if (backend_of_service(a, ns, name, number, false, &u->host, &u->port, e) < 0)
		return -e->code;
	u->server_name = xasprintf("%s.%s.svc", name, ns);
	u->target = xasprintf("%s%s?timeout=%ds", *path == '/' ? "" : "/", path, timeout_s);
	u->text = xasprintf("https://%s:%lld%s", u->server_name, (long long)port, u->target);
	return 0;
}

static struct hook_peer *hook_peer_free(struct hook_peer *p)
{
	http_client_free(p->client);
	tls_free(p->tls);
	free(p);
	return NULL;
}

static void hook_peer_free_value(void *p)
{
	hook_peer_free(p);
}

/* Makes room: connections that nobody uses now are given up. */
static void hook_peers_trim(struct hooks *h)
{
	struct map_iter it = { 0 };

	if (map_count(h->peers) < HOOK_MAX_PEERS)
		return;
	while (map_next(h->peers, &it))
		if (!((struct hook_peer *)it.value)->calls)
			map_del(h->peers, it.key);
}

static int hook_peer_make(struct api *a, const struct hook_url *u, struct str ca, struct hook_peer **ret, struct err *e)
{
	struct hook_peer *p = xcalloc(1, sizeof(*p));
	struct tls_config tls = { .ca_pem = ca.n ? ca.p : NULL };
	struct http_client_config cfg = { .loop = a->loop, .host = u->host, .port = u->port,
					  .server_name = u->server_name };

	if (tls_new(&p->tls, &tls, false, e) < 0) {
		free(p);
		err_release(e);
		return err_set(e, ERR_INTERNAL, "unable to load root certificates: unable to parse bytes as PEM block");
	}
	cfg.tls = p->tls;
	p->client = http_client_new(&cfg);
	*ret = p;
	return 0;
}

static int hook_peer(struct api *a, const struct hook_url *u, const struct node *config, struct hook_peer **ret,
		     struct err *e)
{
	_cleanup_buf_ struct buf ca = BUF_INIT, key = BUF_INIT;
	struct str encoded = node_str(node_get(config, F_caBundle));
	char sum[DIGEST_SHA256_HEX];

	if (!a->hooks) {
		a->hooks = xcalloc(1, sizeof(*a->hooks));
		a->hooks->peers = map_new(hook_peer_free_value);
	}
	if (encoded.n && !buf_add_base64_decoded(&ca, encoded, false))
		return err_set(e, ERR_INTERNAL, "the webhook's caBundle is no base64");
	digest_sha256_hex(buf_str(&ca), sum);
	buf_addf(&key, "%s %d %s %s", u->host, u->port, u->server_name, sum);
	*ret = map_get(a->hooks->peers, buf_str(&key));
	if (*ret)
		return 0;
	hook_peers_trim(a->hooks);
	if (hook_peer_make(a, u, buf_str(&ca), ret, e) < 0)
		return -e->code;
	map_set(a->hooks->peers, buf_str(&key), *ret);
	return 0;
}

/* --- one POST --- */

struct hook_call {
	struct api *api;
	struct http_exchange x;
	struct hook_peer *peer;
	struct hook_url url;
	struct buf body;
	struct http_header headers[3];
	struct loop_timer *limit;
	struct loop_task task; /* tells of a failure that was known at once */
	struct err err;
	bool sent, again;
	void (*done)(void *arg, struct doc *answer, const struct err *err);
	void *arg;
};

static void hook_call_free(struct hook_call *c)
{
	if (c->peer)
		c->peer->calls--;
	loop_timer_free(c->limit);
	loop_undefer(c->api->loop, &c->task);
	buf_release(&c->x.resp_body);
	buf_release(&c->body);
	hook_url_release(&c->url);
	err_release(&c->err);
	free(c);
}

static void hook_call_over(struct hook_call *c, struct doc *answer, const struct err *err)
{
	void (*done)(void *arg, struct doc *answer, const struct err *err) = c->done;
	void *arg = c->arg;
	struct err copy = ERR_INIT;

	if (err)
		err_copy(&copy, err);
	hook_call_free(c);
	done(arg, answer, err ? &copy : NULL);
	err_release(&copy);
	doc_unref(answer);
}

static void hook_call_failed(struct hook_call *c, const char *why)
{
	_cleanup_err_ struct err e = ERR_INIT;

	err_set(&e, ERR_INTERNAL, "Post \"%s\": %s", c->url.text, why);
	hook_call_over(c, NULL, &e);
}

static void hook_call_late(void *arg)
{
	struct hook_call *c = arg;

	if (c->sent)
		http_client_cancel(&c->x);
	c->sent = false;
	hook_call_failed(c, "context deadline exceeded");
}

/* What client-go says of an answer that is not 200. */
static int hook_status_error(int status, struct str body, struct err *e)
{
	struct str text = str_sub(str_trim(body), 0, 256);

	if (status == 404)
		return err_set(e, ERR_INTERNAL, "the server could not find the requested resource");
	if (status == 401)
		return err_set(e, ERR_INTERNAL, "the server has asked for the client to provide credentials");
	if (status == 403)
		return err_set(e, ERR_INTERNAL, "forbidden: %" STR_FMT, STR_ARG(text));
	if (status == 400)
		return err_set(e, ERR_INTERNAL, "the server rejected our request for an unknown reason");
	return err_set(e, ERR_INTERNAL, "an error on the server (\"%" STR_FMT "\") has prevented the request from succeeding",
		       STR_ARG(text));
}

static void hook_exchange_start(struct hook_call *c)
{
	c->sent = true;
	c->x.body = buf_str(&c->body);
	http_client_send(c->peer->client, &c->x);
}

/* A kept connection that the other side has just closed is no failure of the other side. */
static bool hook_may_repeat(const struct hook_call *c, const struct err *err)
{
	return !c->again && !c->x.status && (err->code == ECONNRESET || err->code == EPIPE);
}

static void hook_on_done(struct http_exchange *x, const struct err *err)
{
	struct hook_call *c = x->arg;
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc_json_opts opts = { .max_bytes = HOOK_ANSWER_BYTES };
	struct doc *answer = NULL;

	c->sent = false;
	if (err && hook_may_repeat(c, err)) {
		c->again = true;
		buf_release(&x->resp_body);
		buf_init(&x->resp_body);
		hook_exchange_start(c);
		return;
	}
	if (err) {
		hook_call_failed(c, err_msg(err));
		return;
	}
	if (x->status != 200)
		hook_status_error(x->status, buf_str(&x->resp_body), &e);
	else if (doc_parse_json(&answer, buf_str(&x->resp_body), &opts, &e) < 0)
		err_wrap(&e, "the answer is no JSON");
	hook_call_over(c, answer, err_is_set(&e) ? &e : NULL);
}

static void hook_call_task(struct loop_task *t)
{
	struct hook_call *c = CONTAINER_OF(t, struct hook_call, task);

	if (err_is_set(&c->err))
		hook_call_over(c, NULL, &c->err);
	else
		hook_exchange_start(c);
}

static int hook_find(struct hook_call *c, const struct node *config, int timeout_s, struct err *e)
{
	const struct node *service = node_get(config, F_service);

	if (node_is(service, DOC_OBJECT)) {
		if (hook_url_service(c->api, &c->url, service, timeout_s, e) < 0)
			return -e->code;
	} else if (hook_url_parse(&c->url, node_str(node_get(config, F_url)), timeout_s, e) < 0) {
		return -e->code;
	}
	return hook_peer(c->api, &c->url, config, &c->peer, e);
}

struct hook_call *hook_send(struct api *a, const struct node *client_config, struct str body, int timeout_ms,
			    void (*done)(void *arg, struct doc *answer, const struct err *err), void *arg)
{
	struct hook_call *c = xcalloc(1, sizeof(*c));
	int ms = timeout_ms > 0 ? timeout_ms : HOOK_TIMEOUT_MS;

	c->api = a;
	c->done = done;
	c->arg = arg;
	buf_init(&c->body);
	buf_addstr(&c->body, body);
	buf_init(&c->x.resp_body);
	c->headers[0] = (struct http_header){ STR_LIT("Content-Type"), STR_LIT("application/json") };
	c->headers[1] = (struct http_header){ STR_LIT("Accept"), STR_LIT("application/json, */*") };
	c->headers[2] = (struct http_header){ STR_LIT("User-Agent"), STR_LIT("kube-apiserver-admission") };
	c->x.method = "POST";
	c->x.headers = c->headers;
	c->x.n_headers = ARRAY_SIZE(c->headers);
	c->x.timeout_ms = ms;
	c->x.max_body = HOOK_ANSWER_BYTES;
	c->x.on_done = hook_on_done;
	c->x.arg = c;
	c->task.run = hook_call_task;
	c->limit = loop_timer_new(a->loop, hook_call_late, c);
	loop_timer_set(c->limit, ms);
	if (hook_find(c, client_config, (ms + 999) / 1000, &c->err) == 0) {
		c->peer->calls++;
		c->x.target = c->url.target;
	}
	loop_defer(a->loop, &c->task);
	return c;
}

struct hook_call *hook_abort(struct hook_call *c)
{
	if (!c)
		return NULL;
	if (c->sent)
		http_client_cancel(&c->x);
	hook_call_free(c);
	return NULL;
}

void hooks_free(struct api *a)
{
	if (!a->hooks)
		return;
	map_free(a->hooks->peers);
	free(a->hooks);
	a->hooks = NULL;
}

/* --- inside a request --- */

struct hook_answer {
	struct hook_answer *next;
	struct req *r;
	uint8_t digest[DIGEST_SHA256_LEN];
	struct doc *config, *answer;
	struct str body; /* until it was sent; in the request's arena */
	int timeout_ms;
	struct hook_call *call; /* under way */
	struct err err;
	bool noted; /* not sent yet */
	bool counted;
	int64_t us; /* when it was sent; then how long it took */
};
struct hook_answers {
	struct hook_answer *first;
	unsigned open, rounds;
};

static void hook_digest(const struct node *config, struct str body, uint8_t out[DIGEST_SHA256_LEN])
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct digest *d = digest_new();

	doc_print_json(&b, config, DOC_PRINT_COMPACT);
	digest_update(d, b.s, b.len);
	digest_update(d, "\n", 1);
	digest_update(d, body.p, body.n);
	digest_final(d, out);
	digest_free(d);
}

static struct hook_answer *hook_answer_find(const struct req *r, const uint8_t *digest)
{
	for (struct hook_answer *a = r->answers ? r->answers->first : NULL; a; a = a->next)
		if (memcmp(a->digest, digest, DIGEST_SHA256_LEN) == 0)
			return a;
	return NULL;
}

static void hook_note(struct req *r, const uint8_t *digest, const struct node *config, struct str body, int timeout_ms)
{
	struct hook_answer *a = arena_zalloc(r->arena, sizeof(*a));

	if (!r->answers)
		r->answers = arena_zalloc(r->arena, sizeof(*r->answers));
	a->r = r;
	memcpy(a->digest, digest, DIGEST_SHA256_LEN);
	a->config = doc_new();
	doc_set_root(a->config, node_copy(a->config, config));
	a->body = arena_str(r->arena, body);
	a->timeout_ms = timeout_ms;
	a->noted = true;
	a->next = r->answers->first;
	r->answers->first = a;
}

int hook_ask(struct req *r, const struct node *client_config, struct str body, int timeout_ms, struct doc **answer,
	     struct err *e)
{
	uint8_t digest[DIGEST_SHA256_LEN];
	struct hook_answer *a;

	hook_digest(client_config, body, digest);
	a = hook_answer_find(r, digest);
	if (a && !a->noted) {
		r->hook_us = a->counted ? -1 : a->us;
		a->counted = true;
		if (!err_is_set(&a->err)) {
			*answer = a->answer;
			return 0;
		}
		err_copy(e, &a->err);
		return -e->code;
	}
	if (!a)
		hook_note(r, digest, client_config, body, timeout_ms);
	return err_set(e, ERR_AGAIN, "an answer from outside is awaited");
}

/* The client has left, or the server ends. */
static void hook_gone(struct req *r)
{
	r->on_gone = NULL;
	for (struct hook_answer *a = r->answers->first; a; a = a->next)
		a->call = hook_abort(a->call);
	r->answers->open = 0;
	err_set(&r->err, ERR_TIMEOUT, "the client went away while an answer from outside was awaited");
	req_finish(r);
}

static void hook_answered(void *arg, struct doc *answer, const struct err *err)
{
	struct hook_answer *a = arg;
	struct req *r = a->r;

	a->call = NULL;
	a->us = time_mono_us() - a->us;
	if (err)
		err_copy(&a->err, err);
	else
		a->answer = doc_ref(answer);
	if (--r->answers->open)
		return;
	r->on_gone = NULL;
	req_again(r);
}

void hook_wait(struct req *r)
{
	struct hook_answers *all = r->answers;

	if (!r->http && !r->call) {
		hook_gone(r); /* nobody waits any more */
		return;
	}
	if (++all->rounds > HOOK_MAX_ROUNDS) {
		err_set(&r->err, ERR_CONFLICT, "the object changed each time while webhooks were asked; try again");
		req_finish(r);
		return;
	}
	err_release(&r->err);
	r->spent.hook_from_us = time_mono_us();
	r->on_gone = hook_gone;
	for (struct hook_answer *a = all->first; a; a = a->next) {
		if (!a->noted)
			continue;
		a->noted = false;
		a->us = time_mono_us();
		all->open++;
		a->call = hook_send(r->api, doc_root(a->config), a->body, a->timeout_ms, hook_answered, a);
	}
	BUG_ON(!all->open);
}

void hook_request_free(struct req *r)
{
	for (struct hook_answer *a = r->answers ? r->answers->first : NULL; a; a = a->next) {
		hook_abort(a->call);
		doc_unref(a->config);
		doc_unref(a->answer);
		err_release(&a->err);
	}
	r->answers = NULL;
}
