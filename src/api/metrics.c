/*
 * /metrics: what the server did and holds, in Prometheus' text format under the
 * names that kube-apiserver uses, so that existing dashboards find them.
 *
 * Counters are kept by verb, resource, scope and code: a closed set (only
 * resources that exist are counted by name), so no client can make it grow.
 */
#include "api/internal.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/map.h"
#include "base/time.h"

struct metric {
	uint64_t n;
	int64_t us;
	uint64_t bucket[8];
};
struct metrics {
	struct map *requests; /* labels -> struct metric */
	int64_t start_s;
};

static const int64_t bucket_us[] = { 1000, 5000, 10000, 50000, 100000, 500000, 1000000, 5000000 };
static const char *const bucket_names[] = { "0.001", "0.005", "0.01", "0.05", "0.1", "0.5", "1", "5" };

struct metrics *metrics_new(void)
{
	struct metrics *m = xcalloc(1, sizeof(*m));

	m->requests = map_new(free);
	m->start_s = time_wall_s();
	return m;
}

struct metrics *metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	map_free(m->requests);
	free(m);
	return NULL;
}

static const char *metric_scope(const struct req *r)
{
	if (*r->at.name)
		return "resource";
	return *r->at.ns ? "namespace" : "cluster";
}

void metrics_count(struct req *r)
{
	struct metrics *m = r->api->metrics;
	char key[256];
	struct metric *c;
	int64_t us = time_mono_us() - r->start_us;
	const char *resource = r->res ? r->res->r.plural : "", *sub = r->sub ? r->sub->name : "";
	int n;

	if (r->call)
		return; /* our own parts are no clients */
	n = snprintf(key, sizeof(key), "verb=\"%s\",group=\"%s\",resource=\"%s\",subresource=\"%s\",scope=\"%s\",code=\"%d\"",
		     verb_name(r->verb), r->res ? r->res->r.group : "", resource, sub, metric_scope(r), r->status);
	c = map_get(m->requests, str_n(key, (size_t)n));
	if (!c) {
		c = xcalloc(1, sizeof(*c));
		map_set(m->requests, str_n(key, (size_t)n), c);
	}
	c->n++;
	if (r->verb == VERB_WATCH)
		return; /* its length says nothing about us */
	c->us += us;
	for (size_t i = 0; i < ARRAY_SIZE(bucket_us); i++)
		c->bucket[i] += us <= bucket_us[i];
}

static void metric_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metric_one(struct buf *out, const char *name, const char *type, const char *help, double v)
{
	metric_head(out, name, type, help);
	buf_addf(out, "%s %.17g\n", name, v);
}

static void metrics_requests(const struct metrics *m, struct buf *out)
{
	struct map_iter it = { 0 };

	metric_head(out, "apiserver_request_total", "counter", "Requests by verb, resource and code.");
	while (map_next(m->requests, &it))
		buf_addf(out, "apiserver_request_total{%.*s} %llu\n", (int)it.key.n, it.key.p,
			 (unsigned long long)((struct metric *)it.value)->n);
	metric_head(out, "apiserver_request_duration_seconds", "histogram", "Time from a request's head to its answer.");
	it = (struct map_iter){ 0 };
	while (map_next(m->requests, &it)) {
		const struct metric *c = it.value;

		for (size_t i = 0; i < ARRAY_SIZE(bucket_us); i++)
			buf_addf(out, "apiserver_request_duration_seconds_bucket{%.*s,le=\"%s\"} %llu\n", (int)it.key.n,
				 it.key.p, bucket_names[i], (unsigned long long)c->bucket[i]);
		buf_addf(out, "apiserver_request_duration_seconds_bucket{%.*s,le=\"+Inf\"} %llu\n", (int)it.key.n,
			 it.key.p, (unsigned long long)c->n);
		buf_addf(out, "apiserver_request_duration_seconds_sum{%.*s} %.6f\n", (int)it.key.n, it.key.p,
			 (double)c->us / 1e6);
		buf_addf(out, "apiserver_request_duration_seconds_count{%.*s} %llu\n", (int)it.key.n, it.key.p,
			 (unsigned long long)c->n);
	}
}

static void metrics_objects(struct api *a, struct buf *out)
{
	metric_head(out, "apiserver_resource_objects", "gauge", "Stored objects by resource.");
	for (const struct schema_res *s = schema_next(NULL); s; s = schema_next(s)) {
		if (s->is_virtual || !s->served || schema_storage(s) != s)
			continue;
		buf_addf(out, "apiserver_resource_objects{group=\"%s\",resource=\"%s\"} %zu\n", s->r.group, s->r.plural,
			 store_count(a->store, &s->r, NULL));
	}
}

static void metrics_process(const struct metrics *m, struct buf *out)
{
	struct rusage ru = { 0 };
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%*d %ld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	getrusage(RUSAGE_SELF, &ru);
	metric_one(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
		   (double)pages * (double)sysconf(_SC_PAGESIZE));
	metric_one(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
		   (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
			   (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	metric_one(out, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
		   (double)m->start_s);
}

int act_metrics(struct req *r, struct err *e)
{
	struct api *a = r->api;
	struct store_stats s;
	struct buf *out = &r->text;

	store_stats(a->store, &s);
	metrics_requests(a->metrics, out);
	metrics_objects(a, out);
	metric_one(out, "apiserver_current_inflight_requests", "gauge", "Requests under way, watches not counted.",
		   (double)(a->n_reqs - a->n_watches));
	metric_one(out, "apiserver_longrunning_requests", "gauge", "Watches.", (double)a->n_watches);
	metric_one(out, "apiserver_storage_objects_bytes", "gauge", "Bytes of all stored objects.", (double)s.bytes);
	metric_one(out, "kinglet_store_writes_total", "counter", "Objects written.", (double)s.writes);
	metric_one(out, "kinglet_store_commits_total", "counter", "Transactions committed.", (double)s.commits);
	metric_one(out, "kinglet_store_queued", "gauge", "Writes waiting for the disk.", (double)s.queued);
	metric_one(out, "kinglet_store_revision", "gauge", "Newest revision.", (double)store_revision(a->store));
	metrics_process(a->metrics, out);
	answer_text(r, 200, "text/plain; version=0.0.4; charset=utf-8");
	return STEP_DONE;
}
