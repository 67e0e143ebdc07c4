/*
 * bench/pods: how long pods take.
 *
 *	pods [--server URL] [--token T | --cert F --key F] [--image I] [--count N] [--full]
 *
 * Creates pods that need nothing but their image (which must be on the node); with
 * --full they also have a service account's token, an emptyDir, a ConfigMap as a
 * volume and as environment. Measures: creation to Running one at a time; N at once until all are Ready; an
 * exec's round trip (WebSocket, as kubectl does it); deletion with a grace of one
 * second of a process that ends at SIGTERM. One figure a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conn.h"

static struct target target;
static const char *image = "docker.io/library/demo:latest";
static int count = 50;
static bool full;
static char ns[64];

#define VOLUMES "\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}},{\"name\":\"m\",\"configMap\":{\"name\":\"kube-root-ca.crt\"}}],"
#define MOUNTS "\"envFrom\":[{\"configMapRef\":{\"name\":\"kube-root-ca.crt\",\"optional\":true}}],\"volumeMounts\":[" \
	"{\"name\":\"e\",\"mountPath\":\"/e\"},{\"name\":\"m\",\"mountPath\":\"/m\"}],"

static void create(struct conn *c, const char *name)
{
	char path[160], body[2048];
	int status;

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods", ns);
	snprintf(body, sizeof(body),
		 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\"},\"spec\":{%s"
		 "\"terminationGracePeriodSeconds\":1,"
		 "\"containers\":[{\"name\":\"c\",\"image\":\"%s\",\"imagePullPolicy\":\"Never\",%s"
		 "\"command\":[\"/bin/sh\",\"-c\",\"trap 'exit 0' TERM; sleep 100000 & wait\"]}]}}",
		 name, full ? VOLUMES : "\"automountServiceAccountToken\":false,", image, full ? MOUNTS : "");
	status = conn_request(c, "POST", path, "application/json", body).status;
	if (status != 201)
		die("create the pod: HTTP %d", status);
}

/* Waits for the watch event that has both texts and this pod's name. */
static void wait_event(struct conn *watch, const char *name, const char *text)
{
	char quoted[80], *line;

	snprintf(quoted, sizeof(quoted), "\"name\":\"%s\"", name);
	while ((line = conn_line(watch)))
		if (strstr(line, quoted) && strstr(line, text))
			return;
	die("the watch ended before %s of %s", text, name);
}

static struct conn *watch_pods(void)
{
	struct conn *w = conn_open(&target);
	char path[200];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods?watch=1&resourceVersion=0", ns);
	conn_watch(w, path);
	return w;
}

static void one_at_a_time(void)
{
	struct conn *c = conn_open(&target), *w = watch_pods();
	int64_t run[20], gone[20], execs[20];
	char name[32], path[300];

	for (int i = 0; i < 20; i++) {
		struct conn *x;
		int64_t t = now_us();

		snprintf(name, sizeof(name), "one-%d", i);
		create(c, name);
		wait_event(w, name, "\"phase\":\"Running\"");
		run[i] = now_us() - t;
		t = now_us();
		x = conn_open(&target);
		snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s/exec?command=/bin/true&stdout=1&stderr=1&container=c", ns,
			 name);
		if (!conn_websocket(x, path, "v5.channel.k8s.io"))
			die("exec: the upgrade was refused");
		conn_drain_websocket(x);
		execs[i] = now_us() - t;
		conn_close(x);
		t = now_us();
		snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods/%s", ns, name);
		conn_request(c, "DELETE", path, NULL, NULL);
		wait_event(w, name, "\"type\":\"DELETED\"");
		gone[i] = now_us() - t;
	}
	figure("pod_running_p50", (double)percentile(run, 20, 50) / 1e3, "ms");
	figure("pod_running_max", (double)percentile(run, 20, 100) / 1e3, "ms");
	figure("pod_exec_p50", (double)percentile(execs, 20, 50) / 1e3, "ms");
	figure("pod_delete_p50", (double)percentile(gone, 20, 50) / 1e3, "ms");
	conn_close(c);
	conn_close(w);
}

static void all_at_once(void)
{
	struct conn *c = conn_open(&target), *w = watch_pods();
	int64_t t = now_us();
	char name[32], *line, *ready = calloc((size_t)count, 1);
	int left = count;

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "all-%d", i);
		create(c, name);
	}
	while (left && (line = conn_line(w))) {
		const char *p = strstr(line, "\"name\":\"all-");
		int i = p ? atoi(p + 12) : -1;

		if (i < 0 || i >= count || ready[i] || !strstr(line, "\"ready\":true"))
			continue;
		ready[i] = 1;
		left--;
	}
	if (left)
		die("the watch ended with %d pods not ready", left);
	snprintf(name, sizeof(name), "pods_%d_all_ready", count);
	figure(name, (double)(now_us() - t) / 1e3, "ms");
	free(ready);
	conn_close(c);
	conn_close(w);
}

int main(int argc, char **argv)
{
	struct conn *c;
	char body[256], path[160];
	bool keep = false;

	argc = target_parse(&target, argc, argv);
	for (int i = 1; i < argc; i++) {
		if (i + 1 < argc && strcmp(argv[i], "--image") == 0)
			image = argv[++i];
		else if (i + 1 < argc && strcmp(argv[i], "--count") == 0)
			count = atoi(argv[++i]);
		else if (strcmp(argv[i], "--full") == 0)
			full = true;
		else if (strcmp(argv[i], "--keep") == 0)
			keep = true;
		else
			die("'%s' is no option", argv[i]);
	}
	snprintf(ns, sizeof(ns), "bench-%llx", (unsigned long long)now_us());
	snprintf(body, sizeof(body), "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", ns);
	c = conn_open(&target);
	conn_request(c, "POST", "/api/v1/namespaces", "application/json", body);
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/serviceaccounts/default", ns);
	for (int i = 0; full && i < 500 && conn_request(c, "GET", path, NULL, NULL).status != 200; i++)
		usleep(10000);
	one_at_a_time();
	all_at_once();
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s", ns);
	if (!keep)
		conn_request(c, "DELETE", path, NULL, NULL);
	conn_close(c);
	return 0;
}
