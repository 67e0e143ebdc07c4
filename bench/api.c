/*
 * bench/api: throughput and latency of an API server.
 *
 *	api [--server https://HOST:PORT] [--token T | --cert F --key F]
 *	    [--connections N] [--count N] [--size BYTES] [--quota] OPERATION...
 *
 * Operations: create get patch apply list watch. Objects are ConfigMaps in a namespace
 * of its own, removed at the end. --quota: the namespace gets a ResourceQuota that
 * counts them. One figure a line.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conn.h"

static struct target target;
static int connections = 16, count = 20000, size = 512;
static char ns[64];

struct worker {
	pthread_t thread;
	const char *op;
	int index, from, to;
	int64_t *took;
	int failed;
};

static char *config_map(const char *name, int bytes)
{
	char *s = malloc((size_t)bytes + 512);
	int n = sprintf(s, "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"},\"data\":{\"k\":\"", name);

	memset(s + n, 'x', (size_t)bytes);
	strcpy(s + n + bytes, "\"}}");
	return s;
}

static int one(struct conn *c, const char *op, int i)
{
	bool apply = strcmp(op, "apply") == 0;
	char path[256], name[32];
	struct reply r;

	snprintf(name, sizeof(name), "b%07d", i);
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps%s%s%s", ns, strcmp(op, "create") ? "/" : "",
		 strcmp(op, "create") ? name : "", apply ? "?fieldManager=bench&force=true" : "");
	if (strcmp(op, "create") == 0) {
		char *body = config_map(name, size);

		r = conn_request(c, "POST", path, "application/json", body);
		free(body);
		return r.status == 201;
	}
	if (apply) {
		char body[200];

		snprintf(body, sizeof(body),
			 "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"},\"data\":{\"a\":\"%d\"}}", name,
			 i % 7);
		r = conn_request(c, "PATCH", path, "application/apply-patch+yaml", body);
		return r.status == 200 || r.status == 201;
	}
	if (strcmp(op, "get") == 0)
		return conn_request(c, "GET", path, NULL, NULL).status == 200;
	if (strcmp(op, "delete") == 0)
		return conn_request(c, "DELETE", path, NULL, NULL).status == 200;
	snprintf(name, sizeof(name), "{\"data\":{\"p\":\"%d\"}}", i);
	return conn_request(c, "PATCH", path, "application/merge-patch+json", name).status == 200;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct conn *c = conn_open(&target);

	for (int i = w->from; i < w->to; i++) {
		int64_t t = now_us();

		w->failed += !one(c, w->op, i);
		w->took[i] = now_us() - t;
	}
	conn_close(c);
	return NULL;
}

static void name_figure(char *out, size_t n, const char *op, const char *what)
{
	snprintf(out, n, "%s_%s_%dc", op, what, connections);
}

static void run(const char *op)
{
	struct worker *w = calloc((size_t)connections, sizeof(*w));
	int64_t *took = calloc((size_t)count, sizeof(*took)), start = now_us(), end;
	char name[64];
	int failed = 0;

	for (int i = 0; i < connections; i++) {
		w[i] = (struct worker){ .op = op, .index = i, .from = (int)((long long)count * i / connections),
					.to = (int)((long long)count * (i + 1) / connections), .took = took };
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (int i = 0; i < connections; i++) {
		pthread_join(w[i].thread, NULL);
		failed += w[i].failed;
	}
	end = now_us();
	if (failed)
		die("%s: %d of %d failed", op, failed, count);
	name_figure(name, sizeof(name), op, "rate");
	figure(name, count * 1e6 / (double)(end - start), "1/s");
	name_figure(name, sizeof(name), op, "p50");
	figure(name, (double)percentile(took, (size_t)count, 50) / 1e3, "ms");
	name_figure(name, sizeof(name), op, "p99");
	figure(name, (double)percentile(took, (size_t)count, 99) / 1e3, "ms");
	free(took);
	free(w);
}

static void run_list(void)
{
	struct conn *c = conn_open(&target);
	int64_t took[21];
	char path[128], name[64];
	struct reply r = { 0 };

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps", ns);
	for (int i = 0; i < 21; i++) {
		int64_t t = now_us();

		r = conn_request(c, "GET", path, NULL, NULL);
		took[i] = now_us() - t;
		if (r.status != 200)
			die("list: HTTP %d", r.status);
	}
	snprintf(name, sizeof(name), "list_%d_p50", count);
	figure(name, (double)percentile(took, 21, 50) / 1e3, "ms");
	figure("list_bytes", (double)r.len, "B");
	conn_close(c);
}

/* From a write's start to its event at a watcher. */
static void run_watch(void)
{
	struct conn *watch = conn_open(&target), *c = conn_open(&target);
	int64_t took[500];
	char path[160], *line;

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps?watch=1&resourceVersion=0&labelSelector=none=x", ns);
	conn_watch(watch, path);
	for (int i = 0; i < 500; i++) {
		char body[256];
		int64_t t = now_us();
		struct reply r;

		snprintf(body, sizeof(body),
			 "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"w%d\",\"labels\":{\"none\":\"x\"}}}", i);
		snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps", ns);
		r = conn_request(c, "POST", path, "application/json", body);
		if (r.status != 201)
			die("create: HTTP %d", r.status);
		line = conn_line(watch);
		if (!line || !strstr(line, "\"ADDED\""))
			die("watch: no event");
		took[i] = now_us() - t;
	}
	figure("watch_event_p50", (double)percentile(took, 500, 50) / 1e3, "ms");
	figure("watch_event_p99", (double)percentile(took, 500, 99) / 1e3, "ms");
	conn_close(watch);
	conn_close(c);
}

static void set_up(bool make)
{
	struct conn *c = conn_open(&target);
	char body[256], path[128];
	int status;

	if (make) {
		snprintf(ns, sizeof(ns), "bench-%llx", (unsigned long long)now_us());
		snprintf(body, sizeof(body), "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", ns);
		status = conn_request(c, "POST", "/api/v1/namespaces", "application/json", body).status;
		if (status != 201)
			die("create the namespace: HTTP %d", status);
	} else {
		snprintf(path, sizeof(path), "/api/v1/namespaces/%s", ns);
		conn_request(c, "DELETE", path, NULL, NULL);
	}
	conn_close(c);
}

static void add_quota(void)
{
	static const char body[] = "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"configmaps\":\"10000000\","
				   "\"pods\":\"10\",\"requests.cpu\":\"4\"}}}";
	struct conn *c = conn_open(&target);
	char path[128];
	int status;

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/resourcequotas", ns);
	status = conn_request(c, "POST", path, "application/json", body).status;
	if (status != 201)
		die("create the quota: HTTP %d", status);
	conn_close(c);
}

int main(int argc, char **argv)
{
	argc = target_parse(&target, argc, argv);
	set_up(true);
	for (int i = 1; i < argc; i++) {
		const char *v = i + 1 < argc ? argv[i + 1] : "0";

		if (strcmp(argv[i], "--connections") == 0) {
			connections = atoi(v);
			i++;
		} else if (strcmp(argv[i], "--count") == 0) {
			count = atoi(v);
			i++;
		} else if (strcmp(argv[i], "--size") == 0) {
			size = atoi(v);
			i++;
		} else if (strcmp(argv[i], "--quota") == 0) {
			add_quota();
		} else if (strcmp(argv[i], "list") == 0) {
			run_list();
		} else if (strcmp(argv[i], "watch") == 0) {
			run_watch();
		} else {
			run(argv[i]);
		}
	}
	set_up(false);
	return 0;
}
