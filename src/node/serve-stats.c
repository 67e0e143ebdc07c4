/*
 * /stats/summary: what the node and its pods use, as metrics collectors read it.
 */
#include <unistd.h>

#include "node/server.h"

static int64_t proc_number(const char *path, const char *key)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	const char *s;

	if (path_read(path, 256 << 10, &b, &e) < 0 || !(s = strstr(b.s, key)))
		return 0;
	return strtoll(s + strlen(key), NULL, 10);
}

/* User, nice, system, irq, softirq and steal of all processors, in nanoseconds. */
static int64_t cpu_used_ns(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	unsigned long long v[8] = {0};

	if (path_read("/proc/stat", 256 << 10, &b, &e) < 0 ||
	    sscanf(b.s, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3], &v[4],
		   &v[5], &v[6], &v[7]) < 4)
		return 0;
	return (int64_t)(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]) * (SEC_NS / sysconf(_SC_CLK_TCK));
}

static void put_usage(struct doc *d, struct node *o)
{
	int64_t total = proc_number("/proc/meminfo", "MemTotal:") * 1024;
	int64_t avail = proc_number("/proc/meminfo", "MemAvailable:") * 1024;
	char now[TIME_RFC3339_LEN];
	struct node *cpu = node_setk(d, o, STR_LIT("cpu"), node_new(d, DOC_OBJECT));
	struct node *mem = node_setk(d, o, STR_LIT("memory"), node_new(d, DOC_OBJECT));

	time_fmt_rfc3339(now, time_wall_s());
	node_setk(d, cpu, STR_LIT("time"), node_new_cstr(d, now));
	node_setk(d, cpu, STR_LIT("usageCoreNanoSeconds"), node_new_int(d, cpu_used_ns()));
	node_setk(d, mem, STR_LIT("time"), node_new_cstr(d, now));
	node_setk(d, mem, STR_LIT("availableBytes"), node_new_int(d, avail));
	node_setk(d, mem, STR_LIT("usageBytes"),
		  node_new_int(d, total - proc_number("/proc/meminfo", "MemFree:") * 1024));
	node_setk(d, mem, STR_LIT("workingSetBytes"), node_new_int(d, total - avail));
}

void serve_stats_summary(struct server *srv, struct http_req *r, struct str rest UNUSED, struct str query UNUSED)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *node, *pods;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct map_iter it = {0};
	char t[TIME_RFC3339_LEN];

	doc_set_root(d, root);
	node = node_setk(d, root, STR_LIT("node"), node_new(d, DOC_OBJECT));
	node_setk(d, node, STR_LIT("nodeName"), node_new_cstr(d, server_agent(srv)->name));
	put_usage(d, node);
	pods = node_setk(d, root, STR_LIT("pods"), node_new(d, DOC_ARRAY));
	while (map_next(server_agent(srv)->by_uid, &it)) {
		struct pod *p = it.value;
		struct node *o, *ref;

		if (p->state != POD_RUN)
			continue;
		o = node_append(pods, node_new(d, DOC_OBJECT));
		ref = node_setk(d, o, STR_LIT("podRef"), node_new(d, DOC_OBJECT));
		node_sets(d, ref, F_name, p->name);
		node_sets(d, ref, F_namespace, p->ns);
		node_sets(d, ref, F_uid, p->uid);
		node_sets(d, o, F_startTime, time_fmt_rfc3339(t, p->start_s));
	}
	doc_print_json(&b, root, DOC_PRINT_COMPACT);
	doc_unref(d);
	server_reply(r, "application/json", buf_str(&b));
}
