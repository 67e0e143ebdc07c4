/*
 * What the server counts, under the names, labels and bounds of kube-apiserver, so
 * that dashboards made for it show this server too. /metrics is metrics-text.c's.
 *
 * A request costs one look-up: its labels name a series that holds all that is
 * counted of it. Labels come from closed sets (resources that exist, routes, verbs),
 * never from what a client wrote, so no client can make them grow; what
 * definitions come and go for is bounded by METRIC_SERIES. Gauges (requests under
 * way, objects, watches) are not kept but counted when somebody asks.
 */
#include "api/metrics.h"

#include <stdio.h>

#include "base/log.h"
#include "base/time.h"
#include "http/http.h"

#define METRIC_SERIES 4096 /* of each kind; what comes later is not counted */

/* --- histograms --- */

#define S(x) (int64_t)((x) * 1000000)
#define BOUNDS(id, ...)                                                \
	static const int64_t id##_max[] = { __VA_ARGS__ };             \
	const struct bounds id = { id##_names, id##_max, ARRAY_SIZE(id##_max) }

static const char *const bounds_request_names[] = { "0.005", "0.025", "0.05", "0.1", "0.2", "0.4", "0.6", "0.8",
						    "1",     "1.25",  "1.5",  "2",   "3",   "4",   "5",	  "6",
						    "8",     "10",    "15",   "20",  "30",  "45",  "60" };
BOUNDS(bounds_request, S(.005), S(.025), S(.05), S(.1), S(.2), S(.4), S(.6), S(.8), S(1), S(1.25), S(1.5), S(2), S(3),
       S(4), S(5), S(6), S(8), S(10), S(15), S(20), S(30), S(45), S(60));
static const char *const bounds_sli_names[] = { "0.05", "0.1", "0.2", "0.4", "0.6", "0.8", "1",	 "1.25", "1.5", "2", "3",
						"4",	"5",   "6",   "8",   "10",  "15",  "20", "30",	 "45",	"60" };
BOUNDS(bounds_sli, S(.05), S(.1), S(.2), S(.4), S(.6), S(.8), S(1), S(1.25), S(1.5), S(2), S(3), S(4), S(5), S(6), S(8),
       S(10), S(15), S(20), S(30), S(45), S(60));
static const char *const bounds_size_names[] = { "1000", "10000", "100000", "1e+06", "1e+07", "1e+08", "1e+09" };
BOUNDS(bounds_size, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000);
static const char *const bounds_watch_names[] = { "1024", "2048", "4096", "8192", "16384", "32768", "65536", "131072" };
BOUNDS(bounds_watch, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072);
static const char *const bounds_auth_names[] = { "0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064", "0.128",
						 "0.256", "0.512", "1.024", "2.048", "4.096", "8.192", "16.384" };
BOUNDS(bounds_auth, S(.001), S(.002), S(.004), S(.008), S(.016), S(.032), S(.064), S(.128), S(.256), S(.512), S(1.024),
       S(2.048), S(4.096), S(8.192), S(16.384));
static const char *const bounds_webhook_names[] = { "0.005", "0.025", "0.1", "0.5", "1", "2.5", "10", "25" };
BOUNDS(bounds_webhook, S(.005), S(.025), S(.1), S(.5), S(1), S(2.5), S(10), S(25));

static const char *const bounds_cert_names[] = { "0",	   "1800",   "3600",   "7200",	  "21600",   "43200",	 "86400",
						 "172800", "345600", "604800", "2.592e+06", "7.776e+06", "1.5552e+07", "3.1104e+07" };
BOUNDS(bounds_cert, 0, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 345600, 604800, 2592000, 7776000, 15552000, 31104000);

void hist_add(struct hist *h, const struct bounds *b, int64_t value)
{
	if (!h->bucket)
		h->bucket = xcalloc(b->n, sizeof(*h->bucket));
	h->n++;
	h->sum += value;
	for (size_t i = 0; i < b->n; i++)
		if (value <= b->max[i]) {
			h->bucket[i]++;
			return;
		}
}

/* --- life --- */

static void series_free(void *p)
{
	struct series *s = p;

	free(s->duration.bucket);
	free(s->sli.bucket);
	free(s->size.bucket);
	free(s);
}

static void labelled_free(void *p)
{
	free(((struct labelled *)p)->hist.bucket);
	free(p);
}

static void metric_watch_free(void *p)
{
	free(((struct metric_watch *)p)->size.bucket);
	free(p);
}

struct metrics *metrics_new(void)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	m->start_s = time_wall_s();
	m->requests = map_new(series_free);
	m->watches = map_new(metric_watch_free);
	m->store = map_new(labelled_free);
	m->webhooks = map_new(labelled_free);
	m->users = map_new(labelled_free);
	m->calls = map_new(labelled_free);
	return m;
}

struct metrics *metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	map_free(m->requests);
	map_free(m->watches);
	map_free(m->store);
	map_free(m->webhooks);
	map_free(m->users);
	map_free(m->calls);
	for (size_t i = 0; i < 2; i++) {
		free(m->authn_time[i].bucket);
		free(m->authz_time[i].bucket);
	}
	free(m->cert_left.bucket);
	free(m);
	return NULL;
}

/* NULL: there are too many. */
static struct labelled *labelled_get(struct map *map, struct str key)
{
	struct labelled *l = map_get(map, key);

	if (l || map_count(map) >= METRIC_SERIES)
		return l;
	l = xcalloc(1, sizeof(*l));
	map_set(map, key, l);
	return l;
}

/* --- labels --- */

static const char *label_verb(const struct req *r)
{
	static const char *const names[VERB_MAX] = {
		[VERB_GET] = "GET",	  [VERB_LIST] = "LIST",	  [VERB_WATCH] = "WATCH",
		[VERB_CREATE] = "POST",	  [VERB_UPDATE] = "PUT",  [VERB_PATCH] = "PATCH",
		[VERB_DELETE] = "DELETE", [VERB_DELETECOLLECTION] = "DELETECOLLECTION",
		[VERB_CONNECT] = "CONNECT",
	};

	if (r->verb != VERB_WATCH && req_is_long(r))
		return "CONNECT";
	return req_is_patch_apply(r) ? "APPLY" : names[r->verb];
}

/* What was refused before it was looked up is counted by name too, if there is such a thing. */
static const struct resource *label_resource(const struct req *r)
{
	const struct schema_res *res = r->res;

	if (!res && !r->at.path && *r->at.resource)
		res = schema_find(str_of(r->at.group), str_of(r->at.version), str_of(r->at.resource));
	return res ? &res->r : NULL;
}

static const char *label_scope(const struct req *r, const struct resource *res)
{
	if (!res)
		return "";
	if (*r->at.name || r->verb == VERB_CREATE)
		return "resource";
	return *r->at.ns ? "namespace" : "cluster";
}

static void label_add(struct buf *b, const char *name, const char *value)
{
	buf_adds(b, name);
	buf_adds(b, value);
	buf_addch(b, '"');
}

void metric_labels(const struct req *r, struct buf *b)
{
	const struct resource *res = label_resource(r);
	const char *sub = r->sub ? r->sub->name : r->route ? r->route->path : "";

	label_add(b, "group=\"", res ? res->group : "");
	label_add(b, ",resource=\"", res ? res->plural : "");
	label_add(b, ",scope=\"", label_scope(r, res));
	label_add(b, ",subresource=\"", sub);
	label_add(b, ",verb=\"", label_verb(r));
	label_add(b, ",version=\"", res ? res->version : "");
}

/* --- requests --- */

static struct series *series_of(struct req *r)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct map *map = r->api->metrics->requests;
	struct series *s;

	buf_reserve(&key, 200);
	buf_addch(&key, r->opts.dry_run ? 'd' : ' ');
	metric_labels(r, &key);
	s = map_get(map, buf_str(&key));
	if (s || map_count(map) >= METRIC_SERIES)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->dry_run = r->opts.dry_run;
	map_set(map, buf_str(&key), s);
	return s;
}

static void series_count_code(struct series *s, int code)
{
	size_t i = 0;

	while (i + 1 < SERIES_CODES && s->codes[i].code && s->codes[i].code != code)
		i++;
	s->codes[i].code = code;
	s->codes[i].n++;
}

static void metrics_count_call(struct req *r)
{
	struct labelled *l;
	char key[64];
	int n = snprintf(key, sizeof(key), "code=\"%d\",host=\"inside\",method=\"%s\"", r->status, label_verb(r));

	l = labelled_get(r->api->metrics->calls, str_n(key, (size_t)n));
	if (l)
		l->n++;
}

void metrics_count(struct req *r)
{
	int64_t us = time_mono_us() - r->start_us;
	struct series *s;

	if (!r->id) { /* our own parts are no clients */
		metrics_count_call(r);
		return;
	}
	s = series_of(r);
	if (!s)
		return;
	series_count_code(s, r->status);
	hist_add(&s->duration, &bounds_request, us);
	if (!req_is_long(r) && !s->dry_run)
		hist_add(&s->sli, &bounds_sli, us - r->spent.webhook_us);
	if ((r->verb == VERB_GET || r->verb == VERB_LIST) && !r->at.path && !req_is_long(r) && r->status == 200)
		hist_add(&s->size, &bounds_size, (int64_t)r->sent);
}

/* --- who, and may they --- */

/* Few names: users are many. */
static const char *user_class(const char *name)
{
	static const char *const known[] = { "admin", "client", "kube_proxy", "kubelet",
					     "system:serviceaccount:kube-system:default" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (streq(known[i], name))
			return known[i];
	return strchr(name, '@') ? "email_id" : "other";
}

void metrics_authenticated(struct req *r, bool fine, int64_t us)
{
	struct metrics *m = r->api->metrics;
	struct labelled *l;

	m->authenticated[fine]++;
	hist_add(&m->authn_time[fine], &bounds_auth, us);
	if (!fine)
		return;
	if (r->http && starts_with(r->login->n_extra ? r->login->extra[0].value : "", "X509SHA256="))
		hist_add(&m->cert_left, &bounds_cert, http_req_peer(r->http)->cert_not_after - time_wall_s());
	l = labelled_get(m->users, str_of(user_class(r->login->name)));
	if (l)
		l->n++;
}

void metrics_authorized(struct req *r, bool fine, int64_t us)
{
	struct metrics *m = r->api->metrics;

	m->authorized[fine]++;
	hist_add(&m->authz_time[fine], &bounds_auth, us);
}

void metrics_token(struct api *a, enum token_kind kind)
{
	a->metrics->tokens[kind]++;
}

/* --- watches, the store, webhooks --- */

struct metric_watch *metrics_watch(struct api *a, const struct resource *res)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct map *map = a->metrics->watches;
	struct metric_watch *w;

	label_add(&key, "group=\"", res->group);
	label_add(&key, ",resource=\"", res->plural);
	label_add(&key, ",version=\"", res->version);
	w = map_get(map, buf_str(&key));
	if (w || map_count(map) >= METRIC_SERIES)
		return w;
	w = xcalloc(1, sizeof(*w));
	map_set(map, buf_str(&key), w);
	return w;
}

void metrics_watch_event(struct metric_watch *w, size_t bytes)
{
	if (!w)
		return;
	w->n++;
	hist_add(&w->size, &bounds_watch, (int64_t)bytes);
}

void metrics_stored(struct req *r, int64_t us)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	const char *operation = r->removed ? "delete" : r->verb == VERB_CREATE ? "create" : "update";
	struct labelled *l;

	label_add(&key, "group=\"", r->st->r.group);
	label_add(&key, ",operation=\"", operation);
	label_add(&key, ",resource=\"", r->st->r.plural);
	l = labelled_get(r->api->metrics->store, buf_str(&key));
	if (l)
		hist_add(&l->hist, &bounds_request, us);
}

void metrics_webhook(struct api *a, const char *name, bool mutating, const char *operation, bool rejected, int64_t us)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct labelled *l;

	label_add(&key, "name=\"", name);
	label_add(&key, ",operation=\"", operation);
	label_add(&key, ",rejected=\"", rejected ? "true" : "false");
	label_add(&key, ",type=\"", mutating ? "admit" : "validating");
	l = labelled_get(a->metrics->webhooks, buf_str(&key));
	if (l)
		hist_add(&l->hist, &bounds_webhook, us);
}

/* --- slow ones --- */

static long long ms(int64_t us)
{
	return (long long)(us / 1000);
}

/* "/version", or "deployments.apps/scale default/web". */
static void slow_target(const struct req *r, struct buf *b)
{
	if (r->at.path) {
		buf_adds(b, r->at.path);
		return;
	}
	buf_addf(b, "%s%s%s%s%s", r->at.resource, *r->at.group ? "." : "", r->at.group, *r->at.subresource ? "/" : "",
		 r->at.subresource);
	if (*r->at.ns || *r->at.name)
		buf_addf(b, " %s%s%s", r->at.ns, *r->at.ns && *r->at.name ? "/" : "", r->at.name);
}

void metrics_slow(struct req *r)
{
	int64_t us = (r->spent.answer_us ? r->spent.answer_us : time_mono_us()) - r->start_us;
	int64_t limit = r->api->cfg.slow_ms * 1000;
	_cleanup_buf_ struct buf target = BUF_INIT;

	if (limit <= 0 || us < limit || !r->id || req_is_long(r))
		return;
	r->api->metrics->slow++;
	slow_target(r, &target);
	log_info("slow request", LS("audit_id", r->id), LS("verb", label_verb(r)), LS("target", target.s),
		 LS("user", r->user ? r->user->name : NULL), LI("status", r->status), LI("ms", ms(us)),
		 LI("auth_ms", ms(r->spent.auth_us)), LI("body_ms", ms(r->spent.body_us)),
		 LI("decode_ms", ms(r->spent.decode_us)), LI("admission_ms", ms(r->spent.admission_us)),
		 LI("webhook_ms", ms(r->spent.webhook_us)), LI("store_ms", ms(r->spent.store_us)),
		 LI("store_rounds", r->spent.store_rounds));
}
