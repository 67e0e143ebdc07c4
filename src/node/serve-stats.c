/*
 * /stats/summary: what the node and its pods use, in the form of the kubelet's
 * v1alpha1 Summary, as metrics collectors read it.
 */
#include <sys/sysinfo.h>

#include "node/server.h"
#include "node/stats.h"

/* --- members, by names that no Kubernetes type declares --- */

static struct node *put_object(struct doc *d, struct node *o, const char *name)
{
	return node_setk(d, o, str_of(name), node_new(d, DOC_OBJECT));
}

static void put_int(struct doc *d, struct node *o, const char *name, int64_t v)
{
	node_setk(d, o, str_of(name), node_new_int(d, v));
}

static void put_str(struct doc *d, struct node *o, const char *name, const char *v)
{
	node_setk(d, o, str_of(name), node_new_cstr(d, v));
}

static void put_time(struct doc *d, struct node *o, const char *name, int64_t unix_s)
{
	char text[TIME_RFC3339_LEN];

	put_str(d, o, name, time_fmt_rfc3339(text, unix_s));
}

/* --- parts --- */

static void put_cpu(struct doc *d, struct node *o, const struct stats_entry *en)
{
	struct node *cpu = put_object(d, o, "cpu");

	put_time(d, cpu, "time", en->time_s);
	if (en->cpu_rate >= 0) {
		put_int(d, cpu, "usageNanoCores", en->cpu_rate);
		put_int(d, cpu, "usageWindowMilliSeconds", en->window_ms); /* ours: metrics.k8s.io tells it */
	}
	put_int(d, cpu, "usageCoreNanoSeconds", en->use.cpu_ns);
}

/* limit 0: none */
static void put_memory(struct doc *d, struct node *o, const struct stats_entry *en, int64_t limit)
{
	struct node *mem = put_object(d, o, "memory"), *swap;

	put_time(d, mem, "time", en->time_s);
	if (limit)
		put_int(d, mem, "availableBytes", max_i64(limit - en->use.working_set, 0));
	put_int(d, mem, "usageBytes", en->use.memory);
	put_int(d, mem, "workingSetBytes", en->use.working_set);
	put_int(d, mem, "rssBytes", en->use.rss);
	put_int(d, mem, "pageFaults", en->use.page_faults);
	put_int(d, mem, "majorPageFaults", en->use.major_faults);
	swap = put_object(d, o, "swap");
	put_time(d, swap, "time", en->time_s);
	put_int(d, swap, "swapUsageBytes", en->use.swap);
}

/* used: of a tree in it; NULL: the file system itself */
static void put_fs(struct doc *d, struct node *o, const char *name, const struct stats_fs *fs, const struct stats_disk *used,
		   int64_t time_s)
{
	struct node *f;

	if (used && !used->known)
		return;
	f = put_object(d, o, name);
	put_time(d, f, "time", time_s);
	put_int(d, f, "availableBytes", fs->available);
	put_int(d, f, "capacityBytes", fs->capacity);
	put_int(d, f, "usedBytes", used ? used->bytes : fs->capacity - fs->available);
	put_int(d, f, "inodesFree", fs->inodes_free);
	put_int(d, f, "inodes", fs->inodes);
	put_int(d, f, "inodesUsed", used ? used->inodes : fs->inodes - fs->inodes_free);
}

static void put_interface(struct doc *d, struct node *o, const struct run_net_usage *u)
{
	put_str(d, o, "name", u->name);
	put_int(d, o, "rxBytes", u->rx_bytes);
	put_int(d, o, "rxErrors", u->rx_errors);
	put_int(d, o, "txBytes", u->tx_bytes);
	put_int(d, o, "txErrors", u->tx_errors);
}

static void put_network(struct doc *d, struct node *o, struct pod *p, int64_t time_s)
{
	struct run_net_usage v[8];
	size_t n = p->sandbox ? sandbox_net_usage(p->sandbox, v, ARRAY_SIZE(v)) : 0;
	struct node *net, *list;

	if (!n)
		return;
	net = put_object(d, o, "network");
	put_time(d, net, "time", time_s);
	put_interface(d, net, &v[0]);
	list = node_setk(d, net, STR_LIT("interfaces"), node_new(d, DOC_ARRAY));
	for (size_t i = 0; i < n; i++)
		put_interface(d, node_append(list, node_new(d, DOC_OBJECT)), &v[i]);
}

static int64_t memory_limit(const struct node *spec)
{
	struct quantity q;

	return quantity_from_node(&q, node_getc(node_path(spec, F_resources, F_limits), "memory")) ? quantity_value(&q) : 0;
}

static void put_container(struct doc *d, struct node *list, struct stats *st, struct ctr *c, const struct stats_fs *fs)
{
	const struct stats_entry *en = stats_ctr(st, c);
	struct node *o;

	if (!en)
		return;
	o = node_append(list, node_new(d, DOC_OBJECT));
	put_str(d, o, "name", c->name);
	put_time(d, o, "startTime", c->started_s);
	put_cpu(d, o, en);
	put_memory(d, o, en, memory_limit(ctr_spec(c)));
	put_fs(d, o, "rootfs", fs, &en->root, en->time_s);
	put_fs(d, o, "logs", fs, &en->logs, en->time_s);
}

static void put_pod(struct doc *d, struct node *pods, struct stats *st, struct pod *p, const struct stats_fs *fs)
{
	const struct stats_entry *en = stats_pod(st, p);
	struct stats_disk disk;
	struct node *o, *ref, *list;

	if (!en)
		return;
	o = node_append(pods, node_new(d, DOC_OBJECT));
	ref = put_object(d, o, "podRef");
	put_str(d, ref, "name", p->name);
	put_str(d, ref, "namespace", p->ns);
	put_str(d, ref, "uid", p->uid);
	put_time(d, o, "startTime", p->start_s);
	list = node_setk(d, o, STR_LIT("containers"), node_new(d, DOC_ARRAY));
	for (size_t i = 0; i < p->n_ctrs; i++)
		put_container(d, list, st, p->ctrs[i], fs);
	put_cpu(d, o, en);
	put_memory(d, o, en, 0);
	put_network(d, o, p, en->time_s);
	disk = stats_pod_disk(st, p);
	put_fs(d, o, "ephemeral-storage", fs, &disk, en->time_s);
	put_int(d, put_object(d, o, "process_stats"), "process_count", en->use.processes);
}

static void put_node(struct doc *d, struct node *root, struct node_agent *n, const struct stats_fs *fs)
{
	const struct stats_entry *en = stats_node(n->stats);
	struct node *o = put_object(d, root, "node"), *runtime, *rlimit;
	char now[TIME_RFC3339_LEN];
	struct sysinfo info;

	put_str(d, o, "nodeName", n->name);
	node_setk(d, o, STR_LIT("systemContainers"), node_new(d, DOC_ARRAY));
	put_time(d, o, "startTime", time_wall_s() - (int64_t)stats_proc_number("/proc/uptime", ""));
	put_cpu(d, o, en);
	put_memory(d, o, en, n->memory_bytes);
	put_fs(d, o, "fs", fs, NULL, en->time_s);
	runtime = put_object(d, o, "runtime");
	put_fs(d, runtime, "imageFs", fs, NULL, en->time_s);
	put_fs(d, runtime, "containerFs", fs, NULL, en->time_s);
	rlimit = put_object(d, o, "rlimit");
	put_str(d, rlimit, "time", time_fmt_rfc3339(now, time_wall_s()));
	put_int(d, rlimit, "maxpid", stats_proc_number("/proc/sys/kernel/pid_max", ""));
	put_int(d, rlimit, "curproc", sysinfo(&info) == 0 ? info.procs : 0);
}

/* --- the request --- */

struct summary {
	struct session session;
	struct server *server;
	struct http_req *req;
	struct stats_wait *wait;
	bool asking, over;
};

static void summary_free(struct summary *s)
{
	session_del(s->server, &s->session);
	stats_cancel(s->wait);
	free(s);
}

static void summary_end_session(struct session *e)
{
	struct summary *s = CONTAINER_OF(e, struct summary, session);
	struct http_req *r = s->req;

	summary_free(s);
	http_abort(r);
}

static void summary_gone(void *arg)
{
	summary_free(arg);
}

static void summary_ready(void *arg)
{
	struct summary *s = arg;
	struct node_agent *n = server_agent(s->server);
	_cleanup_doc_ struct doc *d = doc_new();
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct node *root = node_new(d, DOC_OBJECT), *pods;
	struct map_iter it = {0};
	struct stats_fs fs;

	s->wait = NULL;
	doc_set_root(d, root);
	stats_fs_of(n->state_dir, &fs);
	put_node(d, root, n, &fs);
	pods = node_setk(d, root, STR_LIT("pods"), node_new(d, DOC_ARRAY));
	while (map_next(n->by_uid, &it))
		put_pod(d, pods, n->stats, it.value, &fs);
	doc_print_json(&b, root, DOC_PRINT_COMPACT);
	http_req_on_gone(s->req, NULL, NULL);
	server_reply(s->req, "application/json", buf_str(&b));
	if (s->asking)
		s->over = true; /* the caller is still at it */
	else
		summary_free(s);
}

void serve_stats_summary(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	struct summary *s = xcalloc(1, sizeof(*s));

	*s = (struct summary){.server = srv, .req = r, .session = {.end = summary_end_session}};
	session_add(srv, &s->session);
	http_req_on_gone(r, summary_gone, s);
	s->asking = true;
	s->wait = stats_ask(server_agent(srv)->stats, summary_ready, s);
	s->asking = false;
	if (s->over)
		summary_free(s);
}
