/*
 * The node's metrics in Prometheus' text format, by the kubelet's paths and names:
 * /metrics (the agent itself), /metrics/cadvisor and /metrics/resource (nodes, pods,
 * containers), /metrics/probes. To add one: a row in a table.
 */
#include <dirent.h>

#include "node/server.h"
#include "node/stats.h"

/* --- the format --- */

static void label_value(struct buf *b, const char *v)
{
	for (; *v; v++) {
		if (*v == '\\' || *v == '"')
			buf_addch(b, '\\');
		if (*v == '\n')
			buf_adds(b, "\\n");
		else
			buf_addch(b, *v);
	}
}

static void label(struct buf *b, const char *name, const char *v)
{
	buf_addf(b, "%s%s=\"", b->len ? "," : "", name);
	label_value(b, v);
	buf_addch(b, '"');
}

static void head(struct buf *out, const char *name, bool counter, const char *help)
{
	buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, counter ? "counter" : "gauge");
}

static void sample(struct buf *out, const char *name, const struct buf *labels, double v)
{
	buf_adds(out, name);
	if (labels && labels->len)
		buf_addf(out, "{%s}", labels->s);
	buf_addf(out, v == (double)(int64_t)v ? " %.0f\n" : " %.9g\n", v);
}

static void metrics_reply(struct http_req *r, struct buf *out)
{
	server_reply(r, "text/plain; version=0.0.4; charset=utf-8", buf_str(out));
}

/* --- what is measured of nodes, pods and containers --- */

enum { OF_NODE = 1, OF_POD = 2, OF_CTR = 4 };
#define USE(member) offsetof(struct stats_entry, use.member)
#define NS (1.0 / (double)SEC_NS)

struct metric {
	const char *name;
	unsigned of;
	bool counter;
	size_t at; /* an int64_t in struct stats_entry */
	double scale;
	const char *help;
};

static const struct metric cadvisor[] = {
	{"container_cpu_usage_seconds_total", OF_NODE | OF_POD | OF_CTR, true, USE(cpu_ns), NS,
	 "Cumulative cpu time consumed in seconds."},
	{"container_cpu_user_seconds_total", OF_POD | OF_CTR, true, USE(cpu_user_ns), NS,
	 "Cumulative user cpu time consumed in seconds."},
	{"container_cpu_system_seconds_total", OF_POD | OF_CTR, true, USE(cpu_system_ns), NS,
	 "Cumulative system cpu time consumed in seconds."},
	{"container_cpu_cfs_periods_total", OF_POD | OF_CTR, true, USE(throttle_periods), 1,
	 "Number of elapsed enforcement period intervals."},
	{"container_cpu_cfs_throttled_periods_total", OF_POD | OF_CTR, true, USE(throttled_periods), 1,
	 "Number of throttled period intervals."},
	{"container_cpu_cfs_throttled_seconds_total", OF_POD | OF_CTR, true, USE(throttled_ns), NS,
	 "Total time duration the container has been throttled."},
	{"container_memory_usage_bytes", OF_NODE | OF_POD | OF_CTR, false, USE(memory), 1,
	 "Current memory usage in bytes, including all memory regardless of when it was accessed."},
	{"container_memory_working_set_bytes", OF_NODE | OF_POD | OF_CTR, false, USE(working_set), 1,
	 "Current working set in bytes."},
	{"container_memory_rss", OF_NODE | OF_POD | OF_CTR, false, USE(rss), 1, "Size of RSS in bytes."},
	{"container_memory_cache", OF_NODE | OF_POD | OF_CTR, false, USE(cache), 1, "Number of bytes of page cache memory."},
	{"container_memory_swap", OF_NODE | OF_POD | OF_CTR, false, USE(swap), 1, "Container swap usage in bytes."},
	{"container_memory_failures_total", OF_POD | OF_CTR, true, USE(major_faults), 1,
	 "Cumulative count of major page faults."},
	{"container_processes", OF_POD | OF_CTR, false, USE(processes), 1, "Number of processes running inside the container."},
	{"container_fs_usage_bytes", OF_CTR, false, offsetof(struct stats_entry, root.bytes), 1,
	 "Number of bytes that are consumed by the container on this filesystem."},
	{"container_fs_inodes_total", OF_CTR, false, offsetof(struct stats_entry, root.inodes), 1,
	 "Number of inodes that the container has made."},
};

static const struct metric resource[] = {
	{"node_cpu_usage_seconds_total", OF_NODE, true, USE(cpu_ns), NS,
	 "[STABLE] Cumulative cpu time consumed by the node in core-seconds"},
	{"node_memory_working_set_bytes", OF_NODE, false, USE(working_set), 1,
	 "[STABLE] Current working set of the node in bytes"},
	{"node_swap_usage_bytes", OF_NODE, false, USE(swap), 1, "[ALPHA] Current swap usage of the node in bytes."},
	{"pod_cpu_usage_seconds_total", OF_POD, true, USE(cpu_ns), NS,
	 "[STABLE] Cumulative cpu time consumed by the pod in core-seconds"},
	{"pod_memory_working_set_bytes", OF_POD, false, USE(working_set), 1,
	 "[STABLE] Current working set of the pod in bytes"},
	{"pod_swap_usage_bytes", OF_POD, false, USE(swap), 1, "[ALPHA] Current amount of the pod swap usage in bytes."},
	{"container_cpu_usage_seconds_total", OF_CTR, true, USE(cpu_ns), NS,
	 "[STABLE] Cumulative cpu time consumed by the container in core-seconds"},
	{"container_memory_working_set_bytes", OF_CTR, false, USE(working_set), 1,
	 "[STABLE] Current working set of the container in bytes"},
	{"container_swap_usage_bytes", OF_CTR, false, USE(swap), 1,
	 "[ALPHA] Current amount of the container swap usage in bytes."},
};

static void measured(struct buf *out, const struct metric *m, const struct buf *labels, const struct stats_entry *en)
{
	if (en)
		sample(out, m->name, labels, (double)*(const int64_t *)((const char *)en + m->at) * m->scale);
}

/* cadvisor's labels, or the short ones of /metrics/resource. */
static void labels_of(struct buf *b, struct pod *p, struct ctr *c, bool long_ones)
{
	buf_clear(b);
	if (long_ones || c)
		label(b, "container", c ? c->name : "");
	if (long_ones) {
		_cleanup_free_ char *id = p ? xasprintf("/kubepods/pod%s%s%s", p->uid, c ? "/" : "", c ? c->id : "")
					    : xstrdup("/");

		label(b, "id", id);
		label(b, "image", c && c->image_name ? c->image_name : "");
		label(b, "name", c ? c->id : "");
	}
	if (p || long_ones) {
		label(b, "namespace", p ? p->ns : "");
		label(b, "pod", p ? p->name : "");
	}
}

static void metric_write(struct buf *out, const struct metric *m, struct node_agent *n, bool long_ones)
{
	_cleanup_buf_ struct buf labels = BUF_INIT;
	struct map_iter it = {0};

	head(out, m->name, m->counter, m->help);
	if (m->of & OF_NODE) {
		if (long_ones)
			labels_of(&labels, NULL, NULL, true);
		measured(out, m, &labels, stats_node(n->stats));
	}
	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		labels_of(&labels, p, NULL, long_ones);
		if (m->of & OF_POD)
			measured(out, m, &labels, stats_pod(n->stats, p));
		for (size_t i = 0; (m->of & OF_CTR) && i < p->n_ctrs; i++) {
			labels_of(&labels, p, p->ctrs[i], long_ones);
			measured(out, m, &labels, stats_ctr(n->stats, p->ctrs[i]));
		}
	}
}

/* --- networks: by pod and interface --- */

static const struct {
	const char *name;
	size_t at;
} net_metrics[] = {
	{"container_network_receive_bytes_total", offsetof(struct run_net_usage, rx_bytes)},
	{"container_network_receive_packets_total", offsetof(struct run_net_usage, rx_packets)},
	{"container_network_receive_errors_total", offsetof(struct run_net_usage, rx_errors)},
	{"container_network_receive_packets_dropped_total", offsetof(struct run_net_usage, rx_dropped)},
	{"container_network_transmit_bytes_total", offsetof(struct run_net_usage, tx_bytes)},
	{"container_network_transmit_packets_total", offsetof(struct run_net_usage, tx_packets)},
	{"container_network_transmit_errors_total", offsetof(struct run_net_usage, tx_errors)},
	{"container_network_transmit_packets_dropped_total", offsetof(struct run_net_usage, tx_dropped)},
};

static void net_write(struct buf *out, struct node_agent *n)
{
	_cleanup_buf_ struct buf labels = BUF_INIT;

	for (size_t m = 0; m < ARRAY_SIZE(net_metrics); m++) {
		struct map_iter it = {0};

		head(out, net_metrics[m].name, true, "Cumulative count of the pod's network, by interface.");
		while (map_next(n->by_uid, &it)) {
			struct pod *p = it.value;
			struct run_net_usage v[8];
			size_t k = p->sandbox ? sandbox_net_usage(p->sandbox, v, ARRAY_SIZE(v)) : 0;

			for (size_t i = 0; i < k; i++) {
				labels_of(&labels, p, NULL, true);
				label(&labels, "interface", v[i].name);
				sample(out, net_metrics[m].name, &labels,
				       (double)*(const int64_t *)((const char *)&v[i] + net_metrics[m].at));
			}
		}
	}
}

/* --- limits and start times --- */

static void spec_amount(struct buf *out, const char *name, const struct buf *labels, struct ctr *c, const char *resource_,
			double scale, bool milli)
{
	struct quantity q;

	if (quantity_from_node(&q, node_getc(node_path(ctr_spec(c), F_resources, F_limits), resource_)))
		sample(out, name, labels, (double)(milli ? quantity_milli(&q) : quantity_value(&q)) * scale);
}

static void each_running(struct buf *out, struct node_agent *n, bool long_ones, const char *name,
			 void (*f)(struct buf *out, const char *name, const struct buf *labels, struct ctr *c))
{
	_cleanup_buf_ struct buf labels = BUF_INIT;
	struct map_iter it = {0};

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		for (size_t i = 0; i < p->n_ctrs; i++) {
			if (!stats_ctr(n->stats, p->ctrs[i]))
				continue;
			labels_of(&labels, p, p->ctrs[i], long_ones);
			f(out, name, &labels, p->ctrs[i]);
		}
	}
}

static void write_memory_limit(struct buf *out, const char *name, const struct buf *labels, struct ctr *c)
{
	spec_amount(out, name, labels, c, "memory", 1, false);
}

static void write_cpu_quota(struct buf *out, const char *name, const struct buf *labels, struct ctr *c)
{
	spec_amount(out, name, labels, c, "cpu", 100, true); /* microseconds in a period of 100 ms */
}

static void write_start(struct buf *out, const char *name, const struct buf *labels, struct ctr *c)
{
	sample(out, name, labels, (double)c->started_s);
}

void serve_metrics_cadvisor(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	struct node_agent *n = server_agent(srv);
	_cleanup_buf_ struct buf out = BUF_INIT;

	stats_look(n->stats);
	for (size_t i = 0; i < ARRAY_SIZE(cadvisor); i++)
		metric_write(&out, &cadvisor[i], n, true);
	net_write(&out, n);
	head(&out, "container_spec_memory_limit_bytes", false, "Memory limit for the container.");
	each_running(&out, n, true, "container_spec_memory_limit_bytes", write_memory_limit);
	head(&out, "container_spec_cpu_quota", false, "CPU quota of the container.");
	each_running(&out, n, true, "container_spec_cpu_quota", write_cpu_quota);
	head(&out, "container_start_time_seconds", false, "Start time of the container since unix epoch in seconds.");
	each_running(&out, n, true, "container_start_time_seconds", write_start);
	head(&out, "machine_cpu_cores", false, "Number of logical CPU cores.");
	sample(&out, "machine_cpu_cores", NULL, (double)(n->cpu_milli / 1000));
	head(&out, "machine_memory_bytes", false, "Amount of memory installed on the machine.");
	sample(&out, "machine_memory_bytes", NULL, (double)n->memory_bytes);
	head(&out, "machine_scrape_error", false, "1 if there was an error while getting machine metrics, 0 otherwise.");
	sample(&out, "machine_scrape_error", NULL, 0);
	metrics_reply(r, &out);
}

void serve_metrics_resource(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	struct node_agent *n = server_agent(srv);
	_cleanup_buf_ struct buf out = BUF_INIT;

	stats_look(n->stats);
	for (size_t i = 0; i < ARRAY_SIZE(resource); i++)
		metric_write(&out, &resource[i], n, false);
	head(&out, "container_start_time_seconds", false,
	     "[STABLE] Start time of the container since unix epoch in seconds");
	each_running(&out, n, false, "container_start_time_seconds", write_start);
	head(&out, "resource_scrape_error", false, "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise");
	sample(&out, "resource_scrape_error", NULL, 0);
	metrics_reply(r, &out);
}

/* --- probes --- */

void serve_metrics_probes(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	static const char *const kinds[] = {[PROBE_STARTUP] = "Startup", [PROBE_LIVENESS] = "Liveness",
					    [PROBE_READINESS] = "Readiness"};
	static const char *const results[] = {"successful", "failed", "unknown"};
	_cleanup_buf_ struct buf out = BUF_INIT, labels = BUF_INIT;
	struct map_iter it = {0};

	head(&out, "prober_probe_total", true,
	     "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by result.");
	while (map_next(server_agent(srv)->by_uid, &it)) {
		struct pod *p = it.value;

		for (size_t i = 0; i < p->n_ctrs * PROBE_KINDS * 3; i++) {
			struct ctr *c = p->ctrs[i / (PROBE_KINDS * 3)];
			size_t kind = i / 3 % PROBE_KINDS, result = i % 3;

			if (!c->probed[kind][result])
				continue;
			buf_clear(&labels);
			label(&labels, "container", c->name);
			label(&labels, "namespace", p->ns);
			label(&labels, "pod", p->name);
			label(&labels, "pod_uid", p->uid);
			label(&labels, "probe_type", kinds[kind]);
			label(&labels, "result", results[result]);
			sample(&out, "prober_probe_total", &labels, (double)c->probed[kind][result]);
		}
	}
	metrics_reply(r, &out);
}

/* --- the agent --- */

static void count_states(struct node_agent *n, int64_t *pods, int64_t by_state[4])
{
	struct map_iter it = {0};

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		*pods += p->sandbox != NULL;
		for (size_t i = 0; i < p->n_ctrs; i++)
			by_state[p->ctrs[i]->state]++;
	}
}

static int64_t open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int64_t n = -3; /* ".", ".." and the directory itself */

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return max_i64(n, 0);
}

void serve_metrics(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	static const char *const states[] = {[CTR_WAIT] = "created", [CTR_STARTING] = "created", [CTR_UP] = "running",
					     [CTR_DOWN] = "exited"};
	struct node_agent *n = server_agent(srv);
	_cleanup_buf_ struct buf out = BUF_INIT, labels = BUF_INIT;
	int64_t pods = 0, by_state[4] = {0};

	count_states(n, &pods, by_state);
	by_state[CTR_WAIT] += by_state[CTR_STARTING];
	head(&out, "kubelet_node_name", false, "[ALPHA] The node's name. The count is always 1.");
	label(&labels, "node", n->name);
	sample(&out, "kubelet_node_name", &labels, 1);
	head(&out, "kubelet_running_pods", false, "[BETA] Number of pods that have a running pod sandbox");
	sample(&out, "kubelet_running_pods", NULL, (double)pods);
	head(&out, "kubelet_running_containers", false, "[BETA] Number of containers currently running");
	for (int s = CTR_WAIT; s <= CTR_DOWN; s++) {
		if (s == CTR_STARTING)
			continue;
		buf_clear(&labels);
		label(&labels, "container_state", states[s]);
		sample(&out, "kubelet_running_containers", &labels, (double)by_state[s]);
	}
	head(&out, "kubelet_desired_pods", false, "[ALPHA] The number of pods the kubelet is being instructed to run.");
	sample(&out, "kubelet_desired_pods", NULL, (double)map_count(n->by_uid));
	head(&out, "process_resident_memory_bytes", false, "Resident memory size in bytes.");
	sample(&out, "process_resident_memory_bytes", NULL,
	       (double)(stats_proc_number("/proc/self/status", "VmRSS:") * 1024));
	head(&out, "process_open_fds", false, "Number of open file descriptors.");
	sample(&out, "process_open_fds", NULL, (double)open_fds());
	metrics_reply(r, &out);
}
