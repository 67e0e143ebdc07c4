/*
 * bench/api: throughput and latency of an API server.
 *
 *	api [--server https://HOST:PORT] [--token T | --cert F --key F]
 *	    [--connections N] [--count N] [--size BYTES] [--pods] [--quota] [--pid SERVER] OPERATION...
 *
 * Operations: create get patch apply list watch watches. Objects are ConfigMaps (--pods:
 * Pods of two containers, to create, get and list) in a namespace of its own, removed at
 * the end. --quota: the
 * namespace gets a ResourceQuota that counts them. --pid: the server's process here, for
 * its memory and processor time. watches: --count idle watches, then 20 events for all.
 * One figure a line.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "conn.h"

#define WATCHES_EVENTS 20

static struct target target;
static int connections = 16, count = 20000, size = 512;
static char ns[64];
static const char *resource = "configmaps";
static int pid; /* the server's; 0: not known */
static long listed; /* bytes of the last list */

/* Kilobytes that the server holds. */
static double server_kb(void)
{
	char path[64], line[200];
	long kb = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return (double)kb;
}

/* Milliseconds of processor time that the server has had. */
static double server_cpu_ms(void)
{
	char path[64];
	unsigned long user = 0, system = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
			die("%s can't be read", path);
		fclose(f);
	}
	return (double)(user + system) * 1e3 / (double)sysconf(_SC_CLK_TCK);
}

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

static char *pod(const char *name)
{
	static const char container[] =
		"{\"name\":\"%s\",\"image\":\"registry.example.com/team/%s:1.2.3\",\"ports\":[{\"name\":\"http\","
		"\"containerPort\":8080}],\"env\":[{\"name\":\"MODE\",\"value\":\"production\"},{\"name\":\"NODE\","
		"\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.nodeName\"}}}],\"resources\":{\"requests\":{\"cpu\":\"100m\","
		"\"memory\":\"64Mi\"},\"limits\":{\"memory\":\"128Mi\"}},\"livenessProbe\":{\"httpGet\":{\"path\":\"/healthz\","
		"\"port\":\"http\"}}}";
	char *s = malloc(4096);
	int n = sprintf(s,
			"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"bench\","
			"\"tier\":\"web\"},\"annotations\":{\"example.com/revision\":\"12\"}},\"spec\":{\"nodeSelector\":"
			"{\"bench\":\"none\"},\"containers\":[",
			name);

	n += sprintf(s + n, container, "web", "web");
	s[n++] = ',';
	n += sprintf(s + n, container, "side", "side");
	strcpy(s + n, "]}}");
	return s;
}

static int one(struct conn *c, const char *op, int i)
{
	bool apply = strcmp(op, "apply") == 0;
	char path[256], name[32];
	struct reply r;

	snprintf(name, sizeof(name), "b%07d", i);
	if (strcmp(op, "list") == 0) {
		snprintf(path, sizeof(path), "/api/v1/namespaces/%s/%s", ns, resource);
		r = conn_request(c, "GET", path, NULL, NULL);
		listed = (long)r.len;
		return r.status == 200;
	}
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/%s%s%s%s", ns, resource, strcmp(op, "create") ? "/" : "",
		 strcmp(op, "create") ? name : "", apply ? "?fieldManager=bench&force=true" : "");
	if (strcmp(op, "create") == 0) {
		char *body = strcmp(resource, "pods") ? config_map(name, size) : pod(name);

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

static void run(const char *op, int total)
{
	struct worker *w = calloc((size_t)connections, sizeof(*w));
	int64_t *took = calloc((size_t)total, sizeof(*took)), start = now_us(), end;
	char name[64];
	int failed = 0;

	for (int i = 0; i < connections; i++) {
		w[i] = (struct worker){ .op = op, .index = i, .from = (int)((long long)total * i / connections),
					.to = (int)((long long)total * (i + 1) / connections), .took = took };
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (int i = 0; i < connections; i++) {
		pthread_join(w[i].thread, NULL);
		failed += w[i].failed;
	}
	end = now_us();
	if (failed)
		die("%s: %d of %d failed", op, failed, total);
	name_figure(name, sizeof(name), op, "rate");
	figure(name, total * 1e6 / (double)(end - start), "1/s");
	name_figure(name, sizeof(name), op, "p50");
	figure(name, (double)percentile(took, (size_t)total, 50) / 1e3, "ms");
	name_figure(name, sizeof(name), op, "p99");
	figure(name, (double)percentile(took, (size_t)total, 99) / 1e3, "ms");
	free(took);
	free(w);
}

/* All of the objects, again and again. */
static void run_list(void)
{
	double cpu = server_cpu_ms();
	int total = connections < 6 ? 21 : connections * 4;
	int64_t from = now_us();
	char op[64];

	run("list", total);
	figure("list_bytes", (double)listed, "B");
	snprintf(op, sizeof(op), "list_through_%dc", connections);
	figure(op, (double)listed * total / (double)(now_us() - from), "MB/s");
	if (pid)
		figure("list_server_cpu", (server_cpu_ms() - cpu) / total, "ms each");
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

static void watches_write(struct conn *c, int i)
{
	char path[160], body[200];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps", ns);
	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"e%d\"},\"data\":{\"k\":\"0123456789\"}}", i);
	if (conn_request(c, "POST", path, "application/json", body).status != 201)
		die("create: an event could not be made");
}

/* Many idle watches, and what an event costs that goes to all of them. */
static void run_watches(void)
{
	struct conn **w = calloc((size_t)count, sizeof(struct conn *)), *c = conn_open(&target);
	struct rlimit files = { (rlim_t)count + 100, (rlim_t)count + 100 };
	double kb = server_kb(), cpu;
	char path[160];
	int64_t from;

	if (setrlimit(RLIMIT_NOFILE, &files) < 0)
		die("%d files can't be open at once", count + 100);
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps?watch=1&fieldSelector=metadata.name!=kube-root-ca.crt", ns);
	for (int i = 0; i < count; i++)
		conn_watch(w[i] = conn_open(&target), path);
	if (pid)
		figure("watches_memory", (server_kb() - kb) / count, "kB each");
	cpu = server_cpu_ms();
	from = now_us();
	for (int e = 0; e < WATCHES_EVENTS; e++) {
		watches_write(c, e);
		for (int i = 0; i < count; i++)
			if (!conn_line(w[i]))
				die("watch: no event");
	}
	figure("watches_event", (double)(now_us() - from) / WATCHES_EVENTS / 1e3, "ms to all");
	if (pid)
		figure("watches_server_cpu", (server_cpu_ms() - cpu) * 1e3 / WATCHES_EVENTS / count, "us for each and event");
	for (int i = 0; i < count; i++)
		conn_close(w[i]);
	conn_close(c);
	free(w);
}

/* Pods are admitted when the namespace has its service account. */
static void wait_for_account(void)
{
	struct conn *c = conn_open(&target);
	char path[160];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/serviceaccounts/default", ns);
	for (int i = 0; i < 1000 && conn_request(c, "GET", path, NULL, NULL).status != 200; i++)
		usleep(10000);
	conn_close(c);
}

/* create, with what the server's memory grew by against the JSON that it stores. */
static void run_create(void)
{
	double kb = server_kb();
	struct conn *c;

	if (strcmp(resource, "pods") == 0)
		wait_for_account();
	run("create", count);
	if (!pid)
		return;
	kb = server_kb() - kb;
	c = conn_open(&target);
	one(c, "list", 0);
	conn_close(c);
	figure("stored_json", (double)listed / count, "B each");
	figure("stored_memory", kb * 1024 / count, "B each");
	figure("stored_ratio", kb * 1024 / (double)listed, "memory to JSON");
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
		} else if (strcmp(argv[i], "--pid") == 0) {
			pid = atoi(v);
			i++;
		} else if (strcmp(argv[i], "--pods") == 0) {
			resource = "pods";
		} else if (strcmp(argv[i], "--quota") == 0) {
			add_quota();
		} else if (strcmp(argv[i], "create") == 0) {
			run_create();
		} else if (strcmp(argv[i], "list") == 0) {
			run_list();
		} else if (strcmp(argv[i], "watch") == 0) {
			run_watch();
		} else if (strcmp(argv[i], "watches") == 0) {
			run_watches();
		} else {
			run(argv[i], count);
		}
	}
	set_up(false);
	return 0;
}
