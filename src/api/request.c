/*
 * The request and its life.
 *
 * Every request, from HTTP or from a part of this process, is one struct req
 * that walks one table of phases (`phases` below):
 *
 *	parse         method, path and options say which verb on what
 *	authenticate  who asks: certificate, token, or nobody
 *	audit         how much the audit log tells of it
 *	impersonate   and in whose name
 *	authorize     may they
 *	resolve       does it exist in this API: 404, 405
 *	negotiate     in which form shall the answer be: 406
 *	body          read it: 413, 415
 *	decode        bytes to a checked document: 400
 *	act           the verb's own function (table `handlers`, and those of the
 *	              subresources)
 *	convert       what a write left is brought to the version asked for
 *
 * and then leaves by one exit, req_finish, which answers, counts and frees.
 * Mutation, validation and admission of a write are steps of their own
 * (verbs-write.c), because an update's run when it is its turn on its key.
 *
 * A phase returns STEP_NEXT, STEP_DONE (answer now), a negative error, or
 * STEP_WAIT after arming something that calls req_resume. While a request
 * waits, exactly one of these is to come: its body, its write's `done`, or an
 * event of its own machine (watch, stream, list being streamed), which then sets
 * on_gone for a client that leaves early. A client that leaves while a write is
 * under way does not stop it.
 *
 * A request that must ask a program outside (a webhook) notes the question and
 * leaves act with ERR_AGAIN; when the answer is there, act runs once more from
 * its beginning (hook.c).
 *
 * A call from inside starts on the loop's next turn and never completes inside
 * submit. It skips authentication, and is authorized as what it is: a part of
 * the server.
 *
 * To add a verb or a subresource: a row in a table of handlers. To add a phase:
 * a row in `phases`.
 */
#include "api/authz.h"

#include "base/log.h"
#include "base/time.h"
#include "http/http.h"

struct part { /* a way in for one of the server's own parts */
	struct call_server server;
	struct api *api;
	struct user user;
	struct part *next;
};

#define BIT(v) (1u << (v))

static const struct handler handlers[] = {
	{ .verbs = BIT(VERB_GET), .act = act_get },
	{ .verbs = BIT(VERB_LIST), .act = act_list },
	{ .verbs = BIT(VERB_WATCH), .act = act_watch },
	{ .verbs = BIT(VERB_CREATE), .act = act_create, .body = true },
	{ .verbs = BIT(VERB_UPDATE), .act = act_update, .body = true },
	{ .verbs = BIT(VERB_PATCH), .act = act_patch, .body = true, .raw = true },
	{ .verbs = BIT(VERB_DELETE), .act = act_delete, .body = true, .raw = true },
	{ .verbs = BIT(VERB_DELETECOLLECTION), .act = act_deletecollection, .body = true, .raw = true },
	{ 0 },
};

static const struct handler *const handler_tables[] = {
	subres_pod_handlers, subres_scale_handlers, subres_misc_handlers, subres_rollback_handlers, stream_handlers, proxy_handlers, review_handlers, top_handlers,
	access_handlers,
};

static bool handler_name_matches(const char *want, const char *have)
{
	return !want || streq(want, have);
}

static const struct handler *handler_search(const struct handler *table, const struct req *r)
{
	for (const struct handler *h = table; h->act; h++)
		if ((h->verbs & BIT(r->verb)) && handler_name_matches(h->group, r->at.group) &&
		    handler_name_matches(h->resource, r->at.resource) &&
		    handler_name_matches(h->subresource, r->at.subresource))
			return h;
	return NULL;
}

const struct handler *handler_find(const struct req *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(handler_tables); i++) {
		const struct handler *h = handler_search(handler_tables[i], r);

		if (h)
			return h;
	}
	if (r->res->is_virtual || (*r->at.subresource && !streq(r->at.subresource, "status")))
		return NULL;
	return handler_search(handlers, r);
}

/* --- phases that have no file of their own --- */

static int req_resolve_subresource(struct req *r, struct err *e)
{
	if (!*r->at.subresource)
		return 0;
	r->sub = schema_subres(r->res, str_of(r->at.subresource));
	return r->sub ? 0 : status_generic_not_found(e);
}

/* Does the place of the request (namespace, name) fit the resource and the verb? */
static int req_resolve_place(struct req *r, struct err *e)
{
	bool wants_name = r->verb == VERB_GET || r->verb == VERB_UPDATE || r->verb == VERB_PATCH ||
			  r->verb == VERB_DELETE || *r->at.subresource;

	if (!r->res->r.namespaced && *r->at.ns && !streq(r->at.resource, "namespaces"))
		return status_generic_not_found(e);
	if (wants_name && !*r->at.name)
		return status_generic_method(e);
	if (r->head && r->verb == VERB_CREATE && *r->at.name && !*r->at.subresource)
		return status_generic_method(e);
	if (!r->res->r.namespaced || *r->at.ns)
		return 0;
	if (*r->at.name && !r->is_watch_path && r->verb != VERB_LIST && r->verb != VERB_WATCH)
		return status_generic_not_found(e);
	if (r->verb == VERB_CREATE || r->verb == VERB_DELETECOLLECTION)
		return status_generic_method(e);
	return 0;
}

/* Every answer about these carries a warning, which clients show. */
static const struct {
	const char *group, *resource, *text;
} req_deprecated[] = {
	{ "", "componentstatuses", "v1 ComponentStatus is deprecated in v1.19+" },
	{ "", "endpoints", "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice" },
};

static void req_warn_deprecated(struct req *r)
{
	if (r->res->deprecation)
		req_warn(r, "%s", r->res->deprecation);
	for (size_t i = 0; i < ARRAY_SIZE(req_deprecated); i++)
		if (streq(r->at.resource, req_deprecated[i].resource) && streq(r->at.group, req_deprecated[i].group))
			req_warn(r, "%s", req_deprecated[i].text);
}

static int req_resolve(struct req *r, struct err *e)
{
	unsigned verbs;

	if (r->at.path && !r->route) {
		buf_adds(&r->text, "404 page not found\n");
		answer_text(r, 404, "text/plain; charset=utf-8");
		return STEP_DONE;
	}
	if (r->at.path)
		return STEP_NEXT;
	if (!r->res)
		r->res = schema_find(str_of(r->at.group), str_of(r->at.version), str_of(r->at.resource));
	if (!r->res || (!r->res->served && (r->head || !r->res->custom)))
		return status_generic_not_found(e);
	r->st = schema_storage(r->res);
	if (!r->st)
		r->st = r->res;
	if (req_resolve_subresource(r, e) < 0 || req_resolve_place(r, e) < 0)
		return -e->code;
	verbs = r->sub ? r->sub->verbs : r->res->verbs;
	if (!(verbs & BIT(r->verb)))
		return status_generic_method(e);
	r->handler = handler_find(r);
	if (!r->handler)
		return status_generic_method(e);
	if (crd_check_create(r, e) < 0)
		return -e->code;
	if (r->head)
		req_warn_deprecated(r);
	return STEP_NEXT;
}

/* The state that act changes is put back, so that it can run again. */
static void req_rewind(struct req *r)
{
	if (r->undo)
		r->undo(r);
	r->undo = NULL;
	r->mutate = NULL;
	r->stored = NULL;
	r->at = r->asked.at;
	r->st = r->asked.st;
	r->opts = r->asked.opts;
	r->status = r->asked.status;
	r->success_status = r->created = r->removed = r->hooks_done = false;
	r->doc = doc_unref(r->doc);
	r->obj = obj_unref(r->obj);
	r->obj_res = NULL;
	r->generate_name = NULL;
	buf_clear(&r->text);
	filter_release(&r->filter);
	if (r->list_held)
		store_list_release(&r->list);
	r->list = (struct store_list){ 0 };
	r->is_list = r->list_held = false;
}

static void req_act_again(struct loop_task *t)
{
	struct req *r = CONTAINER_OF(t, struct req, again);

	req_rewind(r);
	req_run(r);
}

void req_again(struct req *r)
{
	err_release(&r->err);
	r->spent.webhook_us += time_mono_us() - r->spent.hook_from_us;
	r->again.run = req_act_again;
	loop_defer(r->api->loop, &r->again);
}

int64_t req_now(struct req *r)
{
	if (!r->now_s)
		r->now_s = time_wall_s();
	return r->now_s;
}

static int req_authenticate(struct req *r, struct err *e)
{
	int64_t from = time_mono_us();
	int step = authn_request(r, e);

	r->spent.auth_us = time_mono_us() - from;
	metrics_authenticated(r, step >= 0, r->spent.auth_us);
	return step;
}

static int req_authorize(struct req *r, struct err *e)
{
	int64_t from = r->id ? time_mono_us() : 0;
	int step = authz_request(r, e);

	if (r->id) {
		from = time_mono_us() - from;
		r->spent.auth_us += from;
		metrics_authorized(r, step >= 0, from);
	}
	if (r->event) {
		_cleanup_buf_ struct buf why = BUF_INIT;

		authz_explain(r->api, r->user, &r->at, &why);
		audit_annotate(r, "authorization.k8s.io/decision", step < 0 ? "forbid" : "allow");
		audit_annotate(r, "authorization.k8s.io/reason", why.s);
	}
	return step;
}

static int req_decode(struct req *r, struct err *e)
{
	int64_t from = r->id ? time_mono_us() : 0;
	int step = decode_body(r, e);

	if (r->id)
		r->spent.decode_us = time_mono_us() - from;
	return step;
}

static int req_act(struct req *r, struct err *e)
{
	if (!r->answers) {
		r->may_ask = webhook_may_ask(r) || convert_may_ask(r);
		if (r->may_ask && r->raw.n)
			r->raw = arena_str(r->arena, r->raw);
		r->asked.at = r->at;
		r->asked.st = r->st;
		r->asked.opts = r->opts;
		r->asked.status = r->status;
	}
	return r->route ? r->route->act(r, e) : r->handler->act(r, e);
}

static const struct {
	const char *name;
	int (*run)(struct req *r, struct err *e);
	bool from_http; /* a call from inside has this behind it */
} phases[] = {
	{ "parse", http_in_parse, true },
	{ "authenticate", req_authenticate, true },
	{ "audit", audit_request, true },
	{ "impersonate", authn_impersonate, true },
	{ "authorize", req_authorize, false },
	{ "resolve", req_resolve, false },
	{ "options", http_in_options, true },
	{ "negotiate", respond_negotiate, true },
	{ "body", http_in_body, true },
	{ "decode", req_decode, false },
	{ "audit body", audit_body, true },
	{ "act", req_act, false },
	{ "convert", convert_answer, false },
};

/* --- running --- */

struct req *req_new(struct api *a)
{
	struct arena *arena = arena_new();
	struct req *r = arena_zalloc(arena, sizeof(*r));

	r->api = a;
	r->arena = arena;
	buf_init(&r->text);
	r->at = (struct attrs){ "", "", "", "", "", "", "", NULL };
	r->start_us = time_mono_us();
	TAILQ_INSERT_TAIL(&a->reqs, r, link);
	a->n_reqs++;
	return r;
}

static void req_free_writes(struct req *r)
{
	audit_forget(r);
	VEC_RELEASE(&r->warnings);
	VEC_RELEASE(&r->parse_issues);
	doc_unref(r->parsed);
	VEC_RELEASE(&r->reserved_ips);
	VEC_RELEASE(&r->reserved_ports);
	obj_unref(r->before);
	loop_timer_free(r->wait);
	delete_multi_free(r);
	encoder_free(r->encoder);
	if (r->list_held)
		store_list_release(&r->list);
}

static void api_destroy(struct api *a);

static void req_free(struct req *r)
{
	struct api *a = r->api;

	loop_undefer(a->loop, &r->task);
	loop_undefer(a->loop, &r->again);
	hook_request_free(r);
	TAILQ_REMOVE(&a->reqs, r, link);
	a->n_reqs--;
	r->converting = convert_abort(r->converting);
	watch_free(r->watch);
	filter_release(&r->filter);
	obj_unref(r->obj);
	doc_unref(r->body);
	doc_unref(r->doc);
	req_free_writes(r);
	buf_release(&r->text);
	err_release(&r->err);
	arena_free(r->arena);
	if (a->closing && !a->n_reqs)
		api_destroy(a);
}

static void req_finish_call(struct req *r)
{
	struct call *c = take_ptr(&r->call);

	c->impl = NULL;
	c->obj = err_is_set(&r->err) ? NULL : r->obj;
	c->list = r->is_list ? r->list.objs : NULL;
	c->n_list = r->is_list ? r->list.n : 0;
	c->list_rv = r->list.rv;
	c->continue_out = r->is_list ? r->list.continue_out : NULL;
	c->done(c, err_is_set(&r->err) ? &r->err : NULL);
}

static void req_log(struct req *r)
{
	bool ours = err_is_set(&r->err) && err_http_code(&r->err) >= 500;

	if (ours && r->err.reason == ERR_UNKNOWN && !r->err.http_code)
		log_warn("request failed", LS("audit_id", r->id), LS("verb", r->at.verb), LS("resource", r->at.resource),
			 LS("path", r->at.path), LS("name", r->at.name), LE(&r->err));
	else
		log_trace("request", LS("audit_id", r->id), LS("verb", r->at.verb), LS("resource", r->at.resource), LS("namespace", r->at.ns),
			  LS("name", r->at.name), LI("status", r->status), LE(&r->err));
}

void req_finish(struct req *r)
{
	BUG_ON(r->finished);
	r->finished = true;
	if (err_is_set(&r->err)) {
		r->status = err_http_code(&r->err);
		if (r->undo)
			r->undo(r);
		quota_undo(r);
	} else if (!r->status) {
		r->status = 200;
	}
	audit_complete(r);
	req_log(r);
	metrics_slow(r);
	if (r->http)
		respond(r);
	else if (r->call)
		req_finish_call(r);
	metrics_count(r);
	req_free(r);
}

void req_run(struct req *r)
{
	while (r->phase < ARRAY_SIZE(phases)) {
		int step = STEP_NEXT;

		if (r->head || !phases[r->phase].from_http)
			step = phases[r->phase].run(r, &r->err);
		if (step == STEP_WAIT)
			return;
		if (step < 0)
			BUG_ON(!err_is_set(&r->err));
		if (step < 0 && r->err.reason == ERR_AGAIN) {
			hook_wait(r);
			return;
		}
		if (step < 0 || step == STEP_DONE)
			break;
		r->phase++;
	}
	req_finish(r);
}

void req_resume(struct req *r, struct err *err)
{
	if (err && err_is_set(err)) {
		err_move(&r->err, err);
		if (r->err.reason == ERR_AGAIN)
			hook_wait(r);
		else
			req_finish(r);
		return;
	}
	r->phase++;
	req_run(r);
}

void req_warn(struct req *r, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (r->warnings.n >= 100)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < r->warnings.n; i++)
		if (streq(r->warnings.v[i], text))
			return;
	VEC_PUSH(&r->warnings, arena_strdup(r->arena, text));
}

bool req_is_patch_apply(const struct req *r)
{
	return r->verb == VERB_PATCH && r->opts.patch_type == PATCH_APPLY;
}

/* --- by HTTP --- */

static void req_http_gone(void *arg)
{
	struct req *r = arg;

	r->http = NULL;
	r->head = NULL;
	if (r->on_gone)
		r->on_gone(r);
}

void api_on_request(void *api, struct http_req *h)
{
	struct req *r = req_new(api);

	r->http = h;
	r->head = http_req_head(h);
	audit_identify(r);
	http_req_on_gone(h, req_http_gone, r);
	req_run(r);
}

/* --- from inside --- */

static void req_start_call(struct loop_task *t)
{
	struct req *r = CONTAINER_OF(t, struct req, task);

	r->start_us = time_mono_us();
	req_run(r);
}

static const char *req_text(struct req *r, const char *s)
{
	return str_empty(s) ? "" : arena_strdup(r->arena, s);
}

void req_submit_call(struct api *a, const struct user *u, struct call *c)
{
	struct req *r = req_new(a);

	r->call = c;
	c->impl = r;
	r->user = u;
	r->verb = c->verb;
	r->opts = c->opts;
	r->res = (const struct schema_res *)c->res;
	r->at = (struct attrs){
		.verb = verb_name(c->verb),
		.group = c->res->group,
		.version = c->res->version,
		.resource = c->res->plural,
		.subresource = req_text(r, c->subresource),
		.ns = c->res->namespaced ? req_text(r, c->ns) : "",
		.name = req_text(r, c->name),
	};
	if (c->verb == VERB_CREATE && c->body && c->res->namespaced && !*r->at.ns)
		r->at.ns = req_text(r, meta_ns(doc_root(c->body)));
	if (c->body)
		r->body = doc_ref(c->body);
	r->task.run = req_start_call;
	loop_defer(a->loop, &r->task);
}

void req_cancel_call(struct api *a, struct call *c)
{
	struct req *r = c->impl;

	if (!r)
		return;
	c->impl = NULL;
	r->call = NULL;
	if (r->task.queued || r->again.queued || r->watch)
		req_free(r);
}

static void part_submit(struct call_server *s, struct call *c)
{
	struct part *p = CONTAINER_OF(s, struct part, server);

	req_submit_call(p->api, &p->user, c);
}

static void part_cancel(struct call_server *s, struct call *c)
{
	req_cancel_call(CONTAINER_OF(s, struct part, server)->api, c);
}

static size_t part_count(struct call_server *s, const struct resource *r)
{
	return store_count(CONTAINER_OF(s, struct part, server)->api->store, r, NULL);
}

static void part_feed(struct call_server *s, struct call_feed *f)
{
	feed_start(CONTAINER_OF(s, struct part, server)->api, f);
}

static void part_unfeed(struct call_server *s, struct call_feed *f)
{
	feed_stop(CONTAINER_OF(s, struct part, server)->api, f);
}

struct call_server *api_call_server(struct api *a, const char *user, const char *const *groups)
{
	struct part *p = arena_zalloc(a->arena, sizeof(*p));
	size_t n = 0;
	const char **copy;

	while (groups && groups[n])
		n++;
	copy = arena_zalloc(a->arena, (n + 1) * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a->arena, groups[i]);
	p->server = (struct call_server){ part_submit, part_cancel, part_count, part_feed, part_unfeed };
	p->api = a;
	p->user = (struct user){ .name = arena_strdup(a->arena, user), .uid = "", .groups = copy, .part = true };
	p->next = a->parts;
	a->parts = p;
	return &p->server;
}

/* --- the server as a whole --- */

static void api_copy_list(struct api *a, const char *const **list)
{
	size_t n = 0;
	const char **copy;

	while ((*list)[n])
		n++;
	copy = arena_zalloc(a->arena, (n + 1) * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a->arena, (*list)[i]);
	*list = (const char *const *)copy;
}

static void api_copy_config(struct api *a, const struct api_config *cfg)
{
	const char **texts[] = { &a->cfg.version, &a->cfg.server_address, &a->cfg.admin_token, &a->cfg.jwks_uri,
				 &a->cfg.service_cidr, &a->cfg.ca_pem };

	a->cfg = *cfg;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (*texts[i])
			*texts[i] = arena_strdup(a->arena, *texts[i]);
	a->cfg.token_file = a->cfg.sa_key_pem = NULL; /* read once, below; so is what audit has */
	if (!a->cfg.api_audiences)
		a->cfg.api_audiences = a->cfg.sa_issuers;
	api_copy_list(a, &a->cfg.sa_issuers);
	api_copy_list(a, &a->cfg.api_audiences);
}

static const struct schema_res *api_res(const char *plural)
{
	return (const struct schema_res *)schema_res("", plural);
}

int api_new(struct api **ret, const struct api_config *cfg, struct err *e)
{
	struct api *a = xcalloc(1, sizeof(*a));

	a->arena = arena_new();
	a->loop = cfg->loop;
	a->store = cfg->store;
	TAILQ_INIT(&a->reqs);
	TAILQ_INIT(&a->feeds);
	api_copy_config(a, cfg);
	a->namespaces = api_res("namespaces");
	a->pods = api_res("pods");
	a->services = api_res("services");
	a->service_accounts = api_res("serviceaccounts");
	a->self = (struct user){ .name = "system:apiserver", .uid = "", .part = true };
	a->metrics = metrics_new();
	a->rbac = rbac_new(a->store);
	a->node_authz = node_authz_new(a->store);
	watch_api_init(a);
	if ((cfg->token_file && tokens_load(&a->tokens, cfg->token_file, e) < 0) ||
	    (cfg->sa_key_pem && jwt_key_new(&a->jwt, cfg->sa_key_pem, e) < 0) || audit_new(a, e) < 0 ||
	    alloc_new(a, e) < 0 || admit_new(a, e) < 0 || quota_new(a, e) < 0 || crd_open(a, e) < 0) {
		api_destroy(a);
		return -e->code;
	}
	*ret = a;
	return 0;
}

/* What follows the store. */
static void api_release_authz(struct api *a)
{
	a->rbac = rbac_free(a->rbac);
	a->node_authz = node_authz_free(a->node_authz);
}

static void api_destroy(struct api *a)
{
	start_free(a);
	api_release_authz(a);
	crd_close(a);
	watch_api_release(a);
	alloc_free(a);
	admit_free(a);
	quota_release_all(a);
	tokens_free(a->tokens);
	jwt_key_free(a->jwt);
	metrics_free(a->metrics);
	audit_free(a);
	hooks_free(a);
	arena_free(a->arena);
	free(a);
}

void api_ref(struct api *a)
{
	a->n_reqs++;
}

void api_unref(struct api *a)
{
	if (--a->n_reqs == 0 && a->closing)
		api_destroy(a);
}

/* Nobody is called back any more. Writes that the store still holds keep their requests, and those the
 * struct, until the store has answered. */
struct api *api_free(struct api *a)
{
	struct req *r, *next;

	if (!a)
		return NULL;
	feed_stop_all(a);
	api_ref(a); /* while requests go */
	a->closing = true;
	TAILQ_FOREACH(r, &a->reqs, link) {
		if (r->call)
			r->call->impl = NULL;
		r->call = NULL;
	}
	TAILQ_FOREACH_SAFE(r, &a->reqs, link, next) {
		if (r->http) {
			http_req_on_gone(r->http, NULL, NULL);
			http_abort(take_ptr(&r->http));
		}
		r->head = NULL;
		if (r->on_gone)
			r->on_gone(r);
		else if (r->task.queued || r->again.queued || r->watch || r->multi)
			req_free(r);
	}
	quota_close(a);
	crd_close(a);
	watch_api_release(a);
	alloc_free(a);
	api_release_authz(a);
	api_unref(a);
	return NULL;
}
