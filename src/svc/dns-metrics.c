/*
 * Counters under the names that CoreDNS gives them, at /metrics on port 9153 of
 * the cluster's DNS address.
 */
#include <stdio.h>

#include "http/http.h"
#include "svc/dns.h"

struct dns_metrics {
	struct dns *d;
	struct http_server *http;
};

static const uint16_t metrics_types[DNS_COUNTED_TYPES - 1] = { DNS_A,	DNS_AAAA, DNS_SRV, DNS_PTR,   DNS_CNAME, DNS_NS,  DNS_SOA,
							       DNS_MX,	DNS_TXT,  DNS_ANY, DNS_HINFO, DNS_AXFR,	 DNS_IXFR };

void dns_stats_asked(struct dns_stats *s, const struct dns_query *q, bool tcp, bool v6)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(metrics_types) && (!q->name.len || q->type != metrics_types[i]))
		i++;
	s->asked[tcp][v6][i]++;
}

/* Buckets double from a quarter of a millisecond on. */
void dns_stats_answered(struct dns_stats *s, unsigned rcode, int64_t ns)
{
	size_t b = 0;

	s->answered[rcode < DNS_COUNTED_RCODES ? rcode : DNS_COUNTED_RCODES]++;
	while (b < DNS_BUCKETS && ns > 250000ll << b)
		b++;
	s->seconds[b]++;
	s->ns_sum += (uint64_t)ns;
}

static void metrics_head(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metrics_one(struct buf *b, const char *name, const char *type, const char *help, const char *labels, uint64_t v)
{
	metrics_head(b, name, type, help);
	buf_addf(b, "%s%s %llu\n", name, labels, (unsigned long long)v);
}

static void metrics_asked(const struct dns_stats *s, struct buf *b)
{
	static const char *const protos[] = { "udp", "tcp" };

	metrics_head(b, "coredns_dns_requests_total", "counter", "Counter of DNS requests made per zone, protocol and family.");
	for (int tcp = 0; tcp < 2; tcp++)
		for (int v6 = 0; v6 < 2; v6++)
			for (size_t i = 0; i < DNS_COUNTED_TYPES; i++)
				if (s->asked[tcp][v6][i])
					buf_addf(b,
						 "coredns_dns_requests_total{family=\"%d\",proto=\"%s\",server=\"dns://:53\","
						 "type=\"%s\",view=\"\",zone=\".\"} %llu\n",
						 v6 + 1, protos[tcp],
						 i < ARRAY_SIZE(metrics_types) ? dns_type_name(metrics_types[i]) : "other",
						 (unsigned long long)s->asked[tcp][v6][i]);
}

static void metrics_answered(const struct dns_stats *s, struct buf *b)
{
	uint64_t sum = 0;

	metrics_head(b, "coredns_dns_responses_total", "counter", "Counter of response status codes.");
	for (unsigned i = 0; i <= DNS_COUNTED_RCODES; i++)
		if (s->answered[i])
			buf_addf(b,
				 "coredns_dns_responses_total{plugin=\"\",rcode=\"%s\",server=\"dns://:53\",view=\"\",zone=\".\"} "
				 "%llu\n",
				 dns_rcode_name(i), (unsigned long long)s->answered[i]);
	metrics_head(b, "coredns_dns_request_duration_seconds", "histogram",
		     "Histogram of the time (in seconds) each request took per zone.");
	for (int i = 0; i <= DNS_BUCKETS; i++) {
		char le[32] = "+Inf";

		sum += s->seconds[i];
		if (i < DNS_BUCKETS)
			snprintf(le, sizeof(le), "%g", 0.00025 * (double)(1 << i));
		buf_addf(b, "coredns_dns_request_duration_seconds_bucket{server=\"dns://:53\",view=\"\",zone=\".\",le=\"%s\"} %llu\n",
			 le, (unsigned long long)sum);
	}
	buf_addf(b,
		 "coredns_dns_request_duration_seconds_sum{server=\"dns://:53\",view=\"\",zone=\".\"} %.9f\n"
		 "coredns_dns_request_duration_seconds_count{server=\"dns://:53\",view=\"\",zone=\".\"} %llu\n",
		 (double)s->ns_sum / 1e9, (unsigned long long)sum);
}

static void metrics_cache(const struct dns *d, struct buf *b)
{
	const struct dns_stats *s = &d->stats;

	metrics_head(b, "coredns_cache_hits_total", "counter", "The count of cache hits.");
	buf_addf(b,
		 "coredns_cache_hits_total{server=\"dns://:53\",type=\"success\",view=\"\",zones=\".\"} %llu\n"
		 "coredns_cache_hits_total{server=\"dns://:53\",type=\"denial\",view=\"\",zones=\".\"} %llu\n",
		 (unsigned long long)s->hits[0], (unsigned long long)s->hits[1]);
	metrics_one(b, "coredns_cache_misses_total", "counter", "The count of cache misses.",
		    "{server=\"dns://:53\",view=\"\",zones=\".\"}", s->misses);
	metrics_one(b, "coredns_cache_entries", "gauge", "The number of elements in the cache.",
		    "{server=\"dns://:53\",type=\"all\",view=\"\",zones=\".\"}", dns_cache_count(d->cache));
	metrics_one(b, "kinglet_dns_cache_bytes", "gauge", "Memory of the cache.", "", dns_cache_bytes(d->cache));
}

static void metrics_forward(struct dns *d, struct buf *b)
{
	static const struct dns_name root = { .len = 1 };
	const struct dns_servers *to = dns_route(d, &root);
	char text[NET_ADDR_TEXT];

	metrics_head(b, "coredns_forward_requests_total", "counter", "Counter of requests made per upstream.");
	for (size_t i = 0; to && i < to->n; i++)
		buf_addf(b, "coredns_forward_requests_total{to=\"%s\"} %llu\n", net_addr_print(&to->v[i].addr, text),
			 (unsigned long long)to->v[i].asked);
	metrics_one(b, "coredns_forward_max_concurrent_rejects_total", "counter",
		    "Counter of the number of queries rejected because the concurrent queries were at maximum.", "",
		    d->stats.refused);
	metrics_one(b, "kinglet_dns_forwarded_total", "counter", "Questions that other name servers were asked.", "",
		    d->stats.forwarded);
	metrics_one(b, "kinglet_dns_forward_failures_total", "counter", "Questions that no other name server answered.", "",
		    d->stats.failed);
	metrics_one(b, "kinglet_dns_forward_timeouts_total", "counter", "Times that a name server did not answer.", "",
		    d->stats.timed_out);
	metrics_one(b, "kinglet_dns_forward_inflight", "gauge", "Questions to other name servers under way.", "",
		    dns_forward_flights(d->forward));
}

static void metrics_on_request(void *arg, struct http_req *r)
{
	struct dns_metrics *m = arg;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct dns *d = m->d;

	if (!str_eqc(http_req_head(r)->path, "/metrics")) {
		http_reply(r, &(struct http_resp){ .status = 404, .content_type = "text/plain" }, STR_LIT("404 page not found\n"));
		return;
	}
	metrics_asked(&d->stats, &b);
	metrics_answered(&d->stats, &b);
	metrics_cache(d, &b);
	metrics_forward(d, &b);
	metrics_one(&b, "kinglet_dns_truncated_total", "counter", "Answers that did not fit, and were cut.", "", d->stats.truncated);
	metrics_one(&b, "kinglet_dns_dropped_total", "counter", "Messages that may not be answered.", "", d->stats.dropped);
	metrics_one(&b, "kinglet_dns_services", "gauge", "Services whose names are known.", "", d->index.services.n);
	metrics_one(&b, "kinglet_dns_addresses", "gauge", "Addresses of Services and endpoints that are known.", "",
		    d->index.addrs.n);
	http_reply(r, &(struct http_resp){ .status = 200, .content_type = "text/plain; version=0.0.4; charset=utf-8" },
		   buf_str(&b));
}

int dns_metrics_listen(struct dns_metrics **ret, struct dns *d, const struct net_addr *a, struct err *e)
{
	struct http_server_config cfg = { .loop = d->loop, .on_request = metrics_on_request, .max_connections = 100 };
	struct dns_metrics *m = xcalloc(1, sizeof(*m));
	char text[NET_ADDR_TEXT];
	int port;

	m->d = d;
	cfg.arg = m;
	m->http = http_server_new(&cfg);
	if (http_server_listen(m->http, net_addr_print(a, text), DNS_METRICS_PORT, &port, e) < 0) {
		dns_metrics_free(m);
		return -e->code;
	}
	*ret = m;
	return 0;
}

struct dns_metrics *dns_metrics_free(struct dns_metrics *m)
{
	if (!m)
		return NULL;
	http_server_free(m->http);
	free(m);
	return NULL;
}
