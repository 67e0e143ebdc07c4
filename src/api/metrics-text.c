/*
 * /metrics in Prometheus' text format, or as OpenMetrics 1.0 when the client asks
 * for that (application/openmetrics-text): there counters' families have no
 * _total in their name, their samples always do, and the text ends with # EOF.
 */
#include "api/metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/arch.h"
#include "base/time.h"
#include "http/http.h"

#include <stdio.h>

enum kind { COUNTER, GAUGE, HISTOGRAM };

struct text {
	struct buf *out;
	bool open; /* OpenMetrics */
	const char *name; /* of the family */
	enum kind kind;
};

/* --- the format --- */

static void family(struct text *t, const char *name, enum kind kind, const char *help)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };
	bool cut = t->open && kind == COUNTER && ends_with(name, "_total");
	int n = (int)(strlen(name) - (cut ? strlen("_total") : 0));

	t->name = name;
	t->kind = kind;
	buf_addf(t->out, "# HELP %.*s %s\n# TYPE %.*s %s\n", n, name, help, n, name, kinds[kind]);
}

static void sample_name(struct text *t, const char *suffix, const char *labels)
{
	bool total = t->open && t->kind == COUNTER && !ends_with(t->name, "_total");

	buf_adds(t->out, t->name);
	buf_adds(t->out, total ? "_total" : suffix);
	if (!str_empty(labels))
		buf_addf(t->out, "{%s}", labels);
	buf_addch(t->out, ' ');
}

static void sample(struct text *t, const char *labels, uint64_t n)
{
	sample_name(t, "", labels);
	buf_addf(t->out, "%llu\n", (unsigned long long)n);
}

static void sample_real(struct text *t, const char *labels, double v)
{
	sample_name(t, "", labels);
	buf_addf(t->out, "%.17g\n", v);
}

/* scale: units of the sum in one of what is printed. */
static void sample_hist(struct text *t, const char *labels, const struct hist *h, const struct bounds *b, double scale)
{
	const char *comma = str_empty(labels) ? "" : ",";
	uint64_t n = 0;

	if (!h->n)
		return;
	for (size_t i = 0; i < b->n; i++) {
		n += h->bucket[i];
		buf_addf(t->out, "%s_bucket{%s%sle=\"%s\"} %llu\n", t->name, labels, comma, b->names[i], (unsigned long long)n);
	}
	buf_addf(t->out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", t->name, labels, comma, (unsigned long long)h->n);
	sample_name(t, "_sum", labels);
	buf_addf(t->out, "%.9g\n", (double)h->sum / scale);
	sample_name(t, "_count", labels);
	buf_addf(t->out, "%llu\n", (unsigned long long)h->n);
}

#define SECONDS 1e6
#define BYTES 1.0

/* --- requests --- */

/* The labels of a series with what comes first in the alphabet. */
static void series_labels(struct buf *b, const struct map_iter *it, bool with_dry_run)
{
	const struct series *s = it->value;

	buf_adds(b, "component=\"apiserver\",");
	if (with_dry_run)
		buf_addf(b, "dry_run=\"%s\",", s->dry_run ? "All" : "");
	buf_addstr(b, str_sub(it->key, 1, it->key.n));
}

static void text_request_total(struct text *t, const struct metrics *m)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct map_iter it = { 0 };

	family(t, "apiserver_request_total", COUNTER,
	       "Requests by verb, dry run, group, version, resource, scope, component and HTTP response code.");
	while (map_next(m->requests, &it)) {
		const struct series *s = it.value;

		for (size_t i = 0; i < SERIES_CODES && s->codes[i].code; i++) {
			buf_clear(&b);
			buf_addf(&b, "code=\"%d\",", s->codes[i].code);
			series_labels(&b, &it, true);
			sample(t, b.s, s->codes[i].n);
		}
	}
}

static void text_request_hist(struct text *t, const struct metrics *m, size_t offset, const struct bounds *bounds,
			      bool with_dry_run, double scale)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct map_iter it = { 0 };

	while (map_next(m->requests, &it)) {
		buf_clear(&b);
		series_labels(&b, &it, with_dry_run);
		sample_hist(t, b.s, (const struct hist *)((const char *)it.value + offset), bounds, scale);
	}
}

static void text_requests(struct text *t, const struct metrics *m)
{
	text_request_total(t, m);
	family(t, "apiserver_request_duration_seconds", HISTOGRAM, "Time from a request's head to the end of its answer.");
	text_request_hist(t, m, offsetof(struct series, duration), &bounds_request, true, SECONDS);
	family(t, "apiserver_request_sli_duration_seconds", HISTOGRAM,
	       "The same without the time that webhooks took, of requests that are neither dry runs nor long.");
	text_request_hist(t, m, offsetof(struct series, sli), &bounds_sli, false, SECONDS);
	family(t, "apiserver_response_sizes", HISTOGRAM, "Bytes of answers to GET and LIST.");
	text_request_hist(t, m, offsetof(struct series, size), &bounds_size, false, BYTES);
}

static bool req_mutates(const struct req *r)
{
	return !r->at.path && r->verb != VERB_GET && r->verb != VERB_LIST && r->verb != VERB_WATCH;
}

static void text_under_way(struct text *t, struct api *a, const struct req *self)
{
	struct map *longs = map_new(free);
	uint64_t n[2] = { 0 };
	struct map_iter it = { 0 };
	const struct req *r;

	TAILQ_FOREACH(r, &a->reqs, link) {
		_cleanup_buf_ struct buf key = BUF_INIT;
		uint64_t *count;

		if (!r->id)
			continue;
		if (!req_is_long(r)) {
			n[req_mutates(r)] += r != self;
			continue;
		}
		buf_adds(&key, "component=\"apiserver\",");
		metric_labels(r, &key);
		count = map_get(longs, buf_str(&key));
		if (!count) {
			count = xcalloc(1, sizeof(*count));
			map_set(longs, buf_str(&key), count);
		}
		++*count;
	}
	family(t, "apiserver_current_inflight_requests", GAUGE, "Requests under way, long ones and this one not counted.");
	sample(t, "request_kind=\"mutating\"", n[1]);
	sample(t, "request_kind=\"readOnly\"", n[0]);
	family(t, "apiserver_longrunning_requests", GAUGE, "Watches and streams under way.");
	while (map_next(longs, &it)) {
		_cleanup_free_ char *labels = str_dup(it.key);

		sample(t, labels, *(const uint64_t *)it.value);
	}
	map_free(longs);
}

/* --- watches, objects, the store --- */

static void text_watches(struct text *t, const struct metrics *m)
{
	struct map_iter it = { 0 };

	family(t, "apiserver_watch_events_total", COUNTER, "Events sent to watchers, by resource.");
	while (map_next(m->watches, &it)) {
		_cleanup_free_ char *labels = str_dup(it.key);

		sample(t, labels, ((const struct metric_watch *)it.value)->n);
	}
	family(t, "apiserver_watch_events_sizes", HISTOGRAM, "Their sizes in bytes.");
	it = (struct map_iter){ 0 };
	while (map_next(m->watches, &it)) {
		_cleanup_free_ char *labels = str_dup(it.key);

		sample_hist(t, labels, &((const struct metric_watch *)it.value)->size, &bounds_watch, BYTES);
	}
}

/* f for each resource that is stored, with its number of objects. */
static void text_each_resource(struct text *t, struct api *a, bool one_label)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (const struct schema_res *s = schema_next(NULL); s; s = schema_next(s)) {
		if (s->is_virtual || !s->served || schema_storage(s) != s)
			continue;
		buf_clear(&b);
		if (!one_label)
			buf_addf(&b, "group=\"%s\",resource=\"%s\"", s->r.group, s->r.plural);
		else
			buf_addf(&b, "resource=\"%s%s%s\"", s->r.plural, *s->r.group ? "." : "", s->r.group);
		sample(t, b.s, store_count(a->store, &s->r, NULL));
	}
}

static void text_labelled_hist(struct text *t, const struct map *map, const struct bounds *bounds)
{
	struct map_iter it = { 0 };

	while (map_next(map, &it)) {
		_cleanup_free_ char *labels = str_dup(it.key);

		sample_hist(t, labels, &((const struct labelled *)it.value)->hist, bounds, SECONDS);
	}
}

static void text_store(struct text *t, struct api *a)
{
	struct store_stats s;

	store_stats(a->store, &s);
	family(t, "apiserver_resource_objects", GAUGE, "Stored objects by resource.");
	text_each_resource(t, a, false);
	family(t, "apiserver_storage_objects", GAUGE, "Stored objects by resource.");
	text_each_resource(t, a, true);
	family(t, "etcd_request_duration_seconds", HISTOGRAM,
	       "Time that a write took in the store (which is no etcd), by operation and resource.");
	text_labelled_hist(t, a->metrics->store, &bounds_request);
	family(t, "apiserver_storage_objects_bytes", GAUGE, "Bytes of all stored objects.");
	sample(t, "", (uint64_t)s.bytes);
	family(t, "kinglet_store_writes_total", COUNTER, "Objects written.");
	sample(t, "", (uint64_t)s.writes);
	family(t, "kinglet_store_commits_total", COUNTER, "Transactions committed.");
	sample(t, "", (uint64_t)s.commits);
	family(t, "kinglet_store_queued", GAUGE, "Writes waiting for the disk.");
	sample(t, "", (uint64_t)s.queued);
	family(t, "kinglet_store_revision", GAUGE, "Newest revision.");
	sample(t, "", (uint64_t)store_revision(a->store));
}

/* --- access --- */

static void text_access(struct text *t, const struct metrics *m)
{
	struct map_iter it = { 0 };

	family(t, "authentication_attempts", COUNTER, "Authenticated attempts by result.");
	sample(t, "result=\"failure\"", m->authenticated[0]);
	sample(t, "result=\"success\"", m->authenticated[1]);
	family(t, "authentication_duration_seconds", HISTOGRAM, "Time that they took.");
	sample_hist(t, "result=\"failure\"", &m->authn_time[0], &bounds_auth, SECONDS);
	sample_hist(t, "result=\"success\"", &m->authn_time[1], &bounds_auth, SECONDS);
	family(t, "apiserver_client_certificate_expiration_seconds", HISTOGRAM,
	       "What was left of the life of the certificate that a request came with.");
	sample_hist(t, "", &m->cert_left, &bounds_cert, 1.0);
	family(t, "authenticated_user_requests", COUNTER, "Authenticated requests by user.");
	while (map_next(m->users, &it)) {
		_cleanup_free_ char *labels = xasprintf("username=\"%.*s\"", (int)it.key.n, it.key.p);

		sample(t, labels, ((const struct labelled *)it.value)->n);
	}
	family(t, "serviceaccount_legacy_tokens_total", COUNTER, "Uses of tokens from Secrets.");
	sample(t, "", m->tokens[TOKEN_LEGACY]);
	family(t, "serviceaccount_stale_tokens_total", COUNTER, "Uses of extended tokens after the time that was asked for.");
	sample(t, "", m->tokens[TOKEN_STALE]);
	family(t, "serviceaccount_valid_tokens_total", COUNTER, "Uses of extended tokens within it.");
	sample(t, "", m->tokens[TOKEN_VALID]);
	family(t, "authorization_attempts_total", COUNTER, "Authorization attempts by result.");
	sample(t, "result=\"allowed\"", m->authorized[1]);
	sample(t, "result=\"no-opinion\"", m->authorized[0]);
	family(t, "authorization_duration_seconds", HISTOGRAM, "Time that they took.");
	sample_hist(t, "result=\"allowed\"", &m->authz_time[1], &bounds_auth, SECONDS);
	sample_hist(t, "result=\"no-opinion\"", &m->authz_time[0], &bounds_auth, SECONDS);
}

static void text_audit(struct text *t, const struct api *a)
{
	static const char *const levels[] = { "None", "Metadata", "Request", "RequestResponse" };
	struct audit_stats s;

	audit_stats(a, &s);
	family(t, "apiserver_audit_event_total", COUNTER, "Audit events generated.");
	sample(t, "", s.events);
	family(t, "apiserver_audit_error_total", COUNTER, "Audit events that were lost.");
	sample(t, "plugin=\"log\"", s.lost);
	family(t, "apiserver_audit_level_total", COUNTER, "Requests by the level of their audit policy.");
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		_cleanup_free_ char *labels = xasprintf("level=\"%s\"", levels[i]);

		sample(t, labels, s.levels[i]);
	}
}

static void text_inside(struct text *t, const struct metrics *m)
{
	struct map_iter it = { 0 };

	family(t, "apiserver_admission_webhook_admission_duration_seconds", HISTOGRAM,
	       "Time that admission webhooks took, by name, operation and type.");
	text_labelled_hist(t, m->webhooks, &bounds_webhook);
	family(t, "rest_client_requests_total", COUNTER, "Calls of the server's own parts by code and method.");
	while (map_next(m->calls, &it)) {
		_cleanup_free_ char *labels = str_dup(it.key);

		sample(t, labels, ((const struct labelled *)it.value)->n);
	}
	family(t, "kinglet_slow_requests_total", COUNTER, "Requests that had a line in the log because they were slow.");
	sample(t, "", m->slow);
}

/* --- the process --- */

static uint64_t process_open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", ".." and d itself */
}

static void process_memory(double *virtual_bytes, double *resident_bytes)
{
	long size = 0, resident = 0, page = sysconf(_SC_PAGESIZE);
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%ld %ld", &size, &resident) != 2)
			size = resident = 0;
		fclose(f);
	}
	*virtual_bytes = (double)size * (double)page;
	*resident_bytes = (double)resident * (double)page;
}

static void text_process(struct text *t, const struct metrics *m)
{
	struct rusage ru = { 0 };
	struct rlimit fds = { 0 };
	double size, resident;

	process_memory(&size, &resident);
	getrusage(RUSAGE_SELF, &ru);
	getrlimit(RLIMIT_NOFILE, &fds);
	family(t, "process_cpu_seconds_total", COUNTER, "Total user and system CPU time spent in seconds.");
	sample_real(t, "", (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
				   (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	family(t, "process_max_fds", GAUGE, "Maximum number of open file descriptors.");
	sample(t, "", (uint64_t)fds.rlim_cur);
	family(t, "process_open_fds", GAUGE, "Number of open file descriptors.");
	sample(t, "", process_open_fds());
	family(t, "process_resident_memory_bytes", GAUGE, "Resident memory size in bytes.");
	sample_real(t, "", resident);
	family(t, "process_start_time_seconds", GAUGE, "Start time of the process since unix epoch in seconds.");
	sample_real(t, "", (double)m->start_s);
	family(t, "process_virtual_memory_bytes", GAUGE, "Virtual memory size in bytes.");
	sample_real(t, "", size);
}

static void text_build(struct text *t, const struct api *a)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int major = 0, minor = 0;

	(void)sscanf(a->cfg.version, "v%d.%d", &major, &minor);
	buf_addf(&b,
		 "build_date=\"1970-01-01T00:00:00Z\",compiler=\"%s\",git_commit=\"\",git_tree_state=\"clean\",git_version=\"%s\","
		 "go_version=\"none (C %ld)\",major=\"%d\",minor=\"%d\",platform=\"linux/%s\"",
#ifdef __clang__
		 "clang",
#else
		 "gcc",
#endif
		 a->cfg.version, __STDC_VERSION__, major, minor, ARCH_NAME);
	family(t, "kubernetes_build_info", GAUGE, "What this program is.");
	sample(t, b.s, 1);
}

static bool wants_open_metrics(const struct req *r)
{
	struct str rest = http_head_get(r->head, "Accept");

	while (rest.p) {
		struct str range = str_cut(&rest, ',');

		if (str_ieq(str_trim(str_cut(&range, ';')), STR_LIT("application/openmetrics-text")))
			return true;
	}
	return false;
}

int act_metrics(struct req *r, struct err *e)
{
	struct api *a = r->api;
	struct text t = { .out = &r->text, .open = r->head && wants_open_metrics(r) };

	text_access(&t, a->metrics);
	text_audit(&t, a);
	text_requests(&t, a->metrics);
	text_under_way(&t, a, r);
	text_watches(&t, a->metrics);
	text_store(&t, a);
	text_inside(&t, a->metrics);
	text_build(&t, a);
	text_process(&t, a->metrics);
	if (t.open)
		buf_adds(t.out, "# EOF\n");
	answer_text(r, 200,
		    t.open ? "application/openmetrics-text; version=1.0.0; charset=utf-8" :
			     "text/plain; version=0.0.4; charset=utf-8");
	return STEP_DONE;
}
