/*
 * Counters of the ingress, at /metrics on port 10254 of the loopback address (that
 * is where ingress-nginx has its own).
 */
#include "svc/ingress.h"

#include "base/log.h"
#include "base/time.h"

static const int buckets_ms[] = { 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000 };

const char *ing_code_class(int hundreds)
{
	static const char *const names[] = { "cut", "1xx", "2xx", "3xx", "4xx", "5xx" };

	return names[hundreds];
}

static int code_class(int status)
{
	return status == 499 || status < 100 || status > 599 ? 0 : status / 100;
}

void ing_count(struct ing_conn *c)
{
	const struct ing_req *r = &c->r;
	struct ing_ingress *in = r->ingress;
	int64_t ms = (time_mono_us() - r->start_us) / 1000;
	size_t i = 0;

	if (!in) {
		c->ing->stats.requests[code_class(r->status)]++;
		return;
	}
	in->requests[code_class(r->status)]++;
	in->bytes_out += (uint64_t)r->bytes_out;
	in->ms_sum += (uint64_t)ms;
	while (i < ARRAY_SIZE(buckets_ms) && ms > buckets_ms[i])
		i++;
	in->ms_bucket[i]++;
}

static void stats_durations(const struct ing_ingress *in, struct buf *out)
{
	_cleanup_free_ char *labels =
		xasprintf("namespace=\"%s\",ingress=\"%s\",class=\"%s\"", in->ns, in->name, in->class_name ? in->class_name : "");
	uint64_t n = 0;

	for (size_t k = 0; k < ARRAY_SIZE(buckets_ms); k++) {
		n += in->ms_bucket[k];
		buf_addf(out, "kinglet_ingress_request_duration_seconds_bucket{%s,le=\"%g\"} %llu\n", labels,
			 buckets_ms[k] / 1000.0, (unsigned long long)n);
	}
	n += in->ms_bucket[ARRAY_SIZE(buckets_ms)];
	buf_addf(out,
		 "kinglet_ingress_request_duration_seconds_bucket{%s,le=\"+Inf\"} %llu\n"
		 "kinglet_ingress_request_duration_seconds_sum{%s} %g\n"
		 "kinglet_ingress_request_duration_seconds_count{%s} %llu\n",
		 labels, (unsigned long long)n, labels, (double)in->ms_sum / 1000, labels, (unsigned long long)n);
}

void ing_durations_print(struct ing_ingress *const *v, size_t n, struct buf *out)
{
	buf_adds(out, "# HELP kinglet_ingress_request_duration_seconds From a request's head to the end of its answer.\n"
		      "# TYPE kinglet_ingress_request_duration_seconds histogram\n");
	for (size_t i = 0; i < n; i++)
		stats_durations(v[i], out);
	buf_adds(out, "# HELP kinglet_ingress_response_bytes_total Bytes of answers' bodies.\n"
		      "# TYPE kinglet_ingress_response_bytes_total counter\n");
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "kinglet_ingress_response_bytes_total{namespace=\"%s\",ingress=\"%s\"} %llu\n", v[i]->ns,
			 v[i]->name, (unsigned long long)v[i]->bytes_out);
}

static void stats_row(struct buf *out, const char *name, const char *kind, const char *help, uint64_t v)
{
	buf_addf(out, "# HELP kinglet_ingress_%s %s\n# TYPE kinglet_ingress_%s %s\nkinglet_ingress_%s %llu\n", name, help, name,
		 kind, name, (unsigned long long)v);
}

static void stats_print(struct ing *g, struct buf *out)
{
	stats_row(out, "connections", "gauge", "Clients' connections.", g->n_conns);
	stats_row(out, "idle_endpoint_connections", "gauge", "Connections to endpoints that are kept.", g->n_idle_ups);
	stats_row(out, "connections_total", "counter", "Clients' connections so far.", g->stats.connections);
	stats_row(out, "tls_handshakes_failed_total", "counter", "TLS handshakes that failed.", g->stats.tls_failed);
	stats_row(out, "bad_requests_total", "counter", "Heads that were refused.", g->stats.bad_requests);
	stats_row(out, "retries_total", "counter", "Requests that were sent to another endpoint.", g->stats.retries);
	stats_row(out, "log_lines_dropped_total", "counter", "Lines that the access log had no room for.", g->stats.log_dropped);
	ing_objects_print(g->objects, out);
	buf_adds(out, "# HELP kinglet_ingress_default_requests_total Requests that no Ingress is for.\n"
		      "# TYPE kinglet_ingress_default_requests_total counter\n");
	for (int k = 0; k < 6; k++)
		buf_addf(out, "kinglet_ingress_default_requests_total{code=\"%s\"} %llu\n", ing_code_class(k),
			 (unsigned long long)g->stats.requests[k]);
}

static void stats_on_request(void *arg, struct http_req *r)
{
	const struct http_head *h = http_req_head(r);
	_cleanup_buf_ struct buf out = BUF_INIT;
	struct http_resp resp = { .status = 200, .content_type = "text/plain; version=0.0.4; charset=utf-8" };

	if (!str_eqc(h->path, "/metrics") || !str_eqc(h->method, "GET")) {
		resp = (struct http_resp){ .status = 404, .content_type = "text/plain" };
		buf_adds(&out, "404 page not found\n");
	} else {
		stats_print(arg, &out);
	}
	http_reply(r, &resp, buf_str(&out));
}

int ing_stats_open(struct ing *g, struct err *e)
{
	struct http_server_config cfg = { .loop = g->loop, .on_request = stats_on_request, .arg = g, .max_connections = 64 };
	int port;

	g->stats_server = http_server_new(&cfg);
	return http_server_listen(g->stats_server, "127.0.0.1", ING_METRICS_PORT, &port, e);
}

void ing_stats_close(struct ing *g)
{
	g->stats_server = http_server_free(g->stats_server);
}
