/*
 * bench/sim: what a cluster of many nodes does, real or simulated ones.
 *
 *	sim [--server https://HOST:PORT] [--token T | --cert F --key F] [--connections N]
 *	    [--count N] [--pid SERVER] OPERATION...
 *
 * Operations:
 *	schedule	creates --count pods, until all are bound: pods a second, from the first create on
 *	backlog		the same for pods that wait for a claim, from the moment that it can be bound on
 *	deploy		a Deployment of --count replicas to all Ready, then through a rollout
 *	fill		Deployments of 1,000 replicas each, --count pods in all, which stay
 *
 * Pods live in a namespace of its own, removed at the end (but for fill's). --pid: the
 * server's process here, for its processor time for each pod. One figure a line.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conn.h"

#define FILL_EACH 1000

static struct target target;
static int connections = 16, count = 1000, pid;
static char ns[64];

static double cpu_ms(void)
{
	char path[64];
	unsigned long user = 0, system = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = pid ? fopen(path, "r") : NULL;
	if (!f)
		return 0;
	if (fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		die("%s can't be read", path);
	fclose(f);
	return (double)(user + system) * 1e3 / (double)sysconf(_SC_CLK_TCK);
}

static void request(struct conn *c, int wanted, const char *method, const char *path, const char *type, const char *body)
{
	struct reply r = conn_request(c, method, path, type, body);

	if (r.status != wanted)
		die("%s %s: HTTP %d: %.300s", method, path, r.status, r.body);
}

/* path below the namespace */
static char *in_ns(const char *group, const char *rest)
{
	static char path[300];

	snprintf(path, sizeof(path), "/%s/namespaces/%s/%s", group, ns, rest);
	return path;
}

/* --- pods, made over several connections at once --- */

struct worker {
	pthread_t thread;
	const char *volumes;
	int from, to;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct conn *c = conn_open(&target);
	char path[200], body[700];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods", ns);
	for (int i = w->from; i < w->to; i++) {
		snprintf(body, sizeof(body),
			 "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p%06d\",\"labels\":{\"app\":\"bench\"}},"
			 "\"spec\":{\"terminationGracePeriodSeconds\":0,%s\"containers\":[{\"name\":\"c\",\"image\":\"bench\","
			 "\"resources\":{\"requests\":{\"cpu\":\"10m\",\"memory\":\"16Mi\"}}}]}}",
			 i, w->volumes);
		request(c, 201, "POST", path, "application/json", body);
	}
	conn_close(c);
	return NULL;
}

static struct worker *make_pods(const char *volumes)
{
	struct worker *w = calloc((size_t)connections, sizeof(*w));

	for (int i = 0; i < connections; i++) {
		w[i] = (struct worker){ .volumes = volumes, .from = (int)((long)count * i / connections),
					.to = (int)((long)count * (i + 1) / connections) };
		if (pthread_create(&w[i].thread, NULL, work, &w[i]))
			die("no thread");
	}
	return w;
}

static void join(struct worker *w)
{
	for (int i = 0; i < connections; i++)
		pthread_join(w[i].thread, NULL);
	free(w);
}

static void wait_bound(struct conn *watch)
{
	char *line;

	for (int left = count; left;) {
		line = conn_line(watch);
		if (!line)
			die("the watch ended with %d pods not bound", left);
		left -= strstr(line, "\"type\":\"ADDED\"") != NULL;
	}
}

static struct conn *watch_bound(void)
{
	struct conn *w = conn_open(&target);

	conn_watch(w, in_ns("api/v1", "pods?watch=1&resourceVersion=0&fieldSelector=spec.nodeName!%3D"));
	return w;
}

static void tell(const char *what, int64_t since_us, double cpu)
{
	char name[64];
	double s = (double)(now_us() - since_us) / 1e6;

	snprintf(name, sizeof(name), "%s_pods_per_second", what);
	figure(name, count / s, "/s");
	if (!pid)
		return;
	snprintf(name, sizeof(name), "%s_server_cpu_per_pod", what);
	figure(name, (cpu_ms() - cpu) * 1e3 / count, "us");
}

static void schedule(void)
{
	struct conn *watch = watch_bound();
	int64_t t = now_us();
	double cpu = cpu_ms();
	struct worker *w = make_pods("");

	wait_bound(watch);
	tell("schedule", t, cpu);
	join(w);
	conn_close(watch);
}

#define CLAIM "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"go\"},\"spec\":{" \
	"\"storageClassName\":\"\",\"volumeName\":\"%s\",\"accessModes\":[\"ReadWriteMany\"],\"resources\":{\"requests\":{\"storage\":\"1Mi\"}}}}"
#define VOLUME "{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"%s\"},\"spec\":{\"capacity\":{" \
	"\"storage\":\"1Mi\"},\"accessModes\":[\"ReadWriteMany\"],\"persistentVolumeReclaimPolicy\":\"Retain\",\"hostPath\":{\"path\":\"/none\"}}}"

/* All wait out their back-off before the claim comes. */
static void backlog(void)
{
	struct conn *watch = watch_bound(), *c = conn_open(&target);
	char body[500], path[100];
	int64_t t;
	double cpu;

	join(make_pods("\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"go\"}}],"));
	sleep(5);
	snprintf(body, sizeof(body), CLAIM, ns);
	request(c, 201, "POST", in_ns("api/v1", "persistentvolumeclaims"), "application/json", body);
	sleep(5);
	snprintf(body, sizeof(body), VOLUME, ns);
	t = now_us();
	cpu = cpu_ms();
	request(c, 201, "POST", "/api/v1/persistentvolumes", "application/json", body);
	wait_bound(watch);
	tell("backlog", t, cpu);
	snprintf(path, sizeof(path), "/api/v1/persistentvolumes/%s", ns);
	conn_request(c, "DELETE", path, NULL, NULL);
	conn_close(c);
	conn_close(watch);
}

/* --- Deployments --- */

static void make_deployment(struct conn *c, const char *name, int replicas)
{
	char body[1200];

	snprintf(body, sizeof(body),
		 "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,"
		 "\"selector\":{\"matchLabels\":{\"app\":\"%s\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"%s\"}},"
		 "\"spec\":{\"terminationGracePeriodSeconds\":0,\"containers\":[{\"name\":\"c\",\"image\":\"bench:1\","
		 "\"resources\":{\"requests\":{\"cpu\":\"10m\",\"memory\":\"16Mi\"}}}]}}}}",
		 name, replicas, name, name);
	request(c, 201, "POST", in_ns("apis/apps/v1", "deployments"), "application/json", body);
}

static long number(const char *text, const char *name)
{
	char key[60];
	const char *p;

	snprintf(key, sizeof(key), "\"%s\":", name);
	p = strstr(text, key);
	return p ? atol(p + strlen(key)) : 0;
}

/* Its status says that all are new, ready, and all there is. */
static void wait_rolled(struct conn *watch, const char *name, int replicas)
{
	char quoted[80], *line;

	snprintf(quoted, sizeof(quoted), "\"name\":\"%s\"", name);
	while ((line = conn_line(watch))) {
		const char *status = strstr(line, "\"status\":{");

		if (status && strstr(line, quoted) && number(status, "readyReplicas") == replicas &&
		    number(status, "updatedReplicas") == replicas && number(status, "replicas") == replicas &&
		    number(status, "observedGeneration") == number(line, "generation"))
			return;
	}
	die("the watch ended before the Deployment was done");
}

static struct conn *watch_deployments(void)
{
	struct conn *w = conn_open(&target);

	conn_watch(w, in_ns("apis/apps/v1", "deployments?watch=1&resourceVersion=0"));
	return w;
}

static void deploy(void)
{
	struct conn *c = conn_open(&target), *watch = watch_deployments();
	int64_t t = now_us();
	double cpu = cpu_ms();

	make_deployment(c, "web", count);
	wait_rolled(watch, "web", count);
	figure("deploy_all_ready", (double)(now_us() - t) / 1e3, "ms");
	figure("deploy_server_cpu", cpu_ms() - cpu, "ms");
	t = now_us();
	cpu = cpu_ms();
	request(c, 200, "PATCH", in_ns("apis/apps/v1", "deployments/web"), "application/strategic-merge-patch+json",
		"{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"bench:2\"}]}}}}");
	wait_rolled(watch, "web", count);
	figure("rollout", (double)(now_us() - t) / 1e3, "ms");
	figure("rollout_server_cpu", cpu_ms() - cpu, "ms");
	conn_close(c);
	conn_close(watch);
}

static void fill(void)
{
	struct conn *c = conn_open(&target), *watch = watch_deployments();
	int64_t t = now_us();
	double cpu = cpu_ms();
	char name[32];

	for (int i = 0; i * FILL_EACH < count; i++) {
		snprintf(name, sizeof(name), "fill-%d", i);
		make_deployment(c, name, FILL_EACH);
		wait_rolled(watch, name, FILL_EACH);
	}
	tell("fill", t, cpu);
	conn_close(c);
	conn_close(watch);
}

/* --- the namespace --- */

static void open_ns(struct conn *c, const char *op)
{
	char body[200];

	snprintf(ns, sizeof(ns), "bench-%s-%llx", op, (unsigned long long)now_us());
	snprintf(body, sizeof(body), "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", ns);
	request(c, 201, "POST", "/api/v1/namespaces", "application/json", body);
	for (int i = 0; conn_request(c, "GET", in_ns("api/v1", "serviceaccounts/default"), NULL, NULL).status != 200; i++) {
		if (i == 1000)
			die("the namespace has no service account");
		usleep(10000);
	}
}

static void close_ns(struct conn *c)
{
	char path[100];

	snprintf(path, sizeof(path), "/api/v1/namespaces/%s", ns);
	request(c, 200, "DELETE", path, NULL, NULL);
	for (int i = 0; conn_request(c, "GET", path, NULL, NULL).status != 404; i++) {
		if (i == 3000)
			die("the namespace does not go");
		usleep(100000);
	}
}

static const struct {
	const char *name;
	void (*run)(void);
	bool stays;
} operations[] = { { "schedule", schedule, false }, { "backlog", backlog, false }, { "deploy", deploy, false },
		   { "fill", fill, true } };
#define N_OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static void run(const char *name)
{
	struct conn *c = conn_open(&target);
	size_t i = 0;

	while (i < N_OPERATIONS && strcmp(operations[i].name, name))
		i++;
	if (i == N_OPERATIONS)
		die("'%s' is no operation", name);
	open_ns(c, name);
	operations[i].run();
	if (!operations[i].stays)
		close_ns(c);
	conn_close(c);
}

int main(int argc, char **argv)
{
	argc = target_parse(&target, argc, argv);
	for (int i = 1; i < argc; i++) {
		if (i + 1 < argc && strcmp(argv[i], "--count") == 0)
			count = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "--connections") == 0)
			connections = atoi(argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "--pid") == 0)
			pid = atoi(argv[++i]);
		else
			run(argv[i]);
	}
	return 0;
}
