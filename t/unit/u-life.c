/*
 * The life of containers against the fakes: order at start and stop, hooks, restart
 * rules, probes of every kind that needs no runtime, messages, conditions.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "node/container.h"
#include "t/unit/node-fakes.h"
#include "t/unit/tap.h"

static char dir[] = "/tmp/u-life-XXXXXX";

static struct doc *parse(const char *json)
{
	struct doc *d = NULL;
	struct err e = ERR_INIT;

	if (doc_parse_json(&d, str_of(json), NULL, &e) < 0)
		printf("# %s\n", err_msg(&e));
	err_release(&e);
	return d;
}

static struct obj *pod(const char *name)
{
	return fake_get(fake.pods, "default", name);
}

static const struct node *st(const char *name)
{
	struct obj *o = pod(name);

	return o ? node_get(obj_node(o), F_status) : NULL;
}

static const char *phase(const char *name)
{
	return node_gets(st(name), F_phase);
}

static const struct node *ctr_st(const char *name, const char *ctr)
{
	static const enum field lists[] = {F_containerStatuses, F_initContainerStatuses,
					   F_ephemeralContainerStatuses};
	const struct node *c = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(lists) && !c; i++)
		c = node_named(node_get(st(name), lists[i]), ctr);
	return c;
}

static const struct node *state(const char *name, const char *ctr, enum field which)
{
	return node_path(ctr_st(name, ctr), F_state, which);
}

static const struct node *cond(const char *name, const char *type)
{
	return cond_find(node_get(st(name), F_conditions), type);
}

static bool ready(const char *name)
{
	return cond_is_true(node_get(st(name), F_conditions), "Ready");
}

/* A loaded machine takes longer. */
#define until(cond)                               \
	for (int i_ = 0; i_ < 250 && !(cond); i_++) \
	fake_settle(20)

static void make_pod(const char *name, const char *spec)
{
	_cleanup_free_ char *json =
		xasprintf("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\","
			  "\"namespace\":\"default\",\"generation\":1},"
			  "\"spec\":{\"nodeName\":\"n1\",%s}}",
			  name, spec);

	buf_clear(&fake.stops);
	buf_clear(&fake.events);
	fake_create(fake.pods, json);
	fake_settle(60);
	until(*phase(name));
}

static void delete_pod(const char *name, int grace)
{
	_cleanup_free_ char *p = xasprintf("{\"metadata\":{\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
					   "\"deletionGracePeriodSeconds\":%d}}",
					   grace);

	fake_change(pod(name), p);
	fake_settle(60);
}

static void drop_pod(const char *name)
{
	fake.stubborn = false;
	if (pod(name))
		fake_remove(pod(name));
	fake_settle(60);
}

#define C(name) "{\"name\":\"" name "\",\"image\":\"app:1\"}"
#define CX(name, more) "{\"name\":\"" name "\",\"image\":\"app:1\"," more "}"

/* --- pure parts --- */

static void test_rules(void)
{
	struct doc *d = parse("{\"restartPolicy\":\"Never\",\"restartPolicyRules\":[{\"action\":\"Restart\","
			      "\"exitCodes\":{\"operator\":\"In\",\"values\":[42,43]}},{\"action\":\"Restart\","
			      "\"exitCodes\":{\"operator\":\"NotIn\",\"values\":[0,1,2,42]}}]}");
	struct doc *plain = parse("{\"restartPolicy\":\"OnFailure\"}");

	ok(restart_by_spec(doc_root(d), "Never", false, 42), "a rule restarts where the policy does not");
	ok(restart_by_spec(doc_root(d), "Never", false, 7), "so does NotIn");
	ok(!restart_by_spec(doc_root(d), "Always", false, 1), "the container's own policy comes before the pod's");
	ok(restart_by_spec(doc_root(plain), "Never", false, 1) && !restart_by_spec(doc_root(plain), "Always", false, 0),
	   "a container's OnFailure");
	ok(restart_by_spec(doc_root(plain), "Never", true, 0), "an end that was asked for counts as a failure");
	ok(!restart_by_spec(doc_root(d), "Always", true, 0), "but Never is never");
	doc_unref(d);
	doc_unref(plain);
}

static void test_utf8(void)
{
	char *s = message_utf8(str_n("a\0\xff\xc3\xa4\xe2\x82", 7));

	is_str(s, "a\xef\xbf\xbd\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd", "what is no UTF-8 is replaced");
	free(s);
}

/* --- order --- */

static void test_sidecars(void)
{
	make_pod("side", "\"terminationGracePeriodSeconds\":20,\"initContainers\":["
			 CX("s1", "\"restartPolicy\":\"Always\",\"lifecycle\":{\"postStart\":{\"sleep\":{\"seconds\":1}}}")","
			 CX("s2", "\"restartPolicy\":\"Always\"")"],\"containers\":["C("m")"]");
	is_int(fake.started, 1, "a sidecar's postStart hook keeps what follows waiting");
	is_str(node_gets(state("side", "s1", F_waiting), F_reason), "ContainerCreating",
	       "it is shown as waiting so long");
	is_str(phase("side"), "Pending", "and the pod is Pending");
	fake_settle(1100);
	is_int(fake.started, 3, "then all start");
	ok(ready("side"), "and the pod is ready");
	is_int(node_bool(node_get(ctr_st("side", "s1"), F_started), false), true, "started");
	fake.stubborn = true;
	delete_pod("side", 20);
	is_str(fake.stops.s, "m 20\n", "the sidecars' signal waits for the container's end");
	ok(strstr(fake.events.s, "Killing: Stopping container s1\n"), "though all are told");
	fake_exit(pod("side")->uid, "m", 0);
	fake_settle(60);
	is_str(fake.stops.s, "m 20\ns2 20\n", "then the last one is stopped");
	fake_exit(pod("side")->uid, "s2", 0);
	fake_settle(60);
	is_str(fake.stops.s, "m 20\ns2 20\ns1 20\n", "then the first");
	fake_exit(pod("side")->uid, "s1", 1);
	until(!pod("side"));
	ok(!pod("side"), "and the pod goes");
	drop_pod("side");
}

static void test_sidecar_time(void)
{
	make_pod("late", "\"initContainers\":["CX("s", "\"restartPolicy\":\"Always\"")"],\"containers\":["C("m")"]");
	fake.stubborn = true;
	delete_pod("late", 1);
	is_str(fake.stops.s, "m 2\n", "two seconds at least");
	fake_settle(1100);
	is_str(fake.stops.s, "m 2\ns 2\n", "when the time is over nobody waits for a turn");
	drop_pod("late");
	fake_settle(200);
}

static void test_sidecar_restart(void)
{
	make_pod("sr", "\"restartPolicy\":\"Never\",\"initContainers\":["CX("s", "\"restartPolicy\":\"Always\"")
		       ","C("i")"],\"containers\":["C("m")"]");
	fake_exit(pod("sr")->uid, "s", 1);
	fake_settle(60);
	is_int(node_int(node_get(ctr_st("sr", "s"), F_restartCount), -1), 1, "a sidecar is restarted with Never too");
	fake_exit(pod("sr")->uid, "s", 1);
	fake_settle(60);
	is_str(node_gets(state("sr", "s", F_waiting), F_reason), "CrashLoopBackOff", "with a back-off");
	fake_exit(pod("sr")->uid, "i", 0);
	fake_settle(60);
	ok(state("sr", "m", F_running), "what follows does not wait for it a second time");
	is_str(phase("sr"), "Running", "Running");
	fake_exit(pod("sr")->uid, "m", 0);
	fake_settle(150);
	is_str(phase("sr"), "Succeeded", "its exit code is of no importance");
	drop_pod("sr");
}

static void test_hooks(void)
{
	make_pod("hook", "\"containers\":["
			 CX("a", "\"lifecycle\":{\"postStart\":{\"sleep\":{\"seconds\":1}},\"preStop\":{\"sleep\":{\"seconds\":1}}}")
			 ","C("b")"]");
	is_str(node_gets(state("hook", "b", F_waiting), F_reason), "ContainerCreating",
	       "containers behind a postStart hook wait");
	fake_settle(1100);
	ok(ready("hook"), "until it is through");
	fake.stubborn = true;
	delete_pod("hook", 10);
	is_str(fake.stops.s, "b 10\n", "preStop comes before the signal");
	fake_settle(1100);
	is_str(fake.stops.s, "b 10\na 9\n", "which has what is left of the grace");
	drop_pod("hook");
	make_pod("badhook", "\"restartPolicy\":\"Never\",\"containers\":["
			    CX("a", "\"lifecycle\":{\"postStart\":{\"tcpSocket\":{\"port\":1}}}")"]");
	fake_settle(100);
	ok(strstr(fake.events.s, "FailedPostStartHook: PostStartHook failed\n"), "a tcpSocket hook fails");
	ok(strstr(fake.events.s, "Killing: FailedPostStartHook\n"), "and its container is ended");
	is_str(phase("badhook"), "Failed", "which with Never is the pod's end");
	drop_pod("badhook");
}

static void test_restart_rules(void)
{
	make_pod("rules", "\"restartPolicy\":\"Never\",\"containers\":["
			  CX("m", "\"restartPolicy\":\"Never\",\"restartPolicyRules\":[{\"action\":\"Restart\","
				  "\"exitCodes\":{\"operator\":\"In\",\"values\":[42]}}]")"]");
	fake_exit(pod("rules")->uid, "m", 42);
	fake_settle(60);
	is_int(node_int(node_get(ctr_st("rules", "m"), F_restartCount), -1), 1, "an exit code of the rules");
	fake_exit(pod("rules")->uid, "m", 1);
	fake_settle(150);
	is_str(phase("rules"), "Failed", "another one");
	drop_pod("rules");
}

static void test_ephemeral(void)
{
	make_pod("eph", "\"initContainers\":["C("i")"],\"containers\":["C("m")"],\"ephemeralContainers\":["C("dbg")"]");
	ok(state("eph", "dbg", F_running), "an ephemeral container starts before init containers are through");
	ok(!node_bool(node_get(ctr_st("eph", "dbg"), F_ready), false), "it is never ready");
	fake_exit(pod("eph")->uid, "dbg", 3);
	fake_exit(pod("eph")->uid, "i", 0);
	fake_settle(60);
	is_int(node_int(node_get(state("eph", "dbg", F_terminated), F_exitCode), -1), 3, "and never restarted");
	ok(ready("eph"), "the pod is ready without it");
	drop_pod("eph");
}

/* --- what is told --- */

static void test_messages(void)
{
	char *file, big[5000];
	int fd;

	make_pod("msg", "\"restartPolicy\":\"Never\",\"containers\":["C("a")","C("b")","C("c")","C("d")"]");
	for (int i = 0; i < 4; i++) {
		char name[2] = {(char)('a' + i), 0};

		file = xasprintf("%s/agent/files/%s/containers/%s/0", dir, pod("msg")->uid, name);
		memset(big, 'x', sizeof(big));
		memcpy(big + sizeof(big) - 3, "end", 3);
		fd = open(file, O_WRONLY | O_TRUNC);
		if (write(fd, big, i == 1 ? 5 : sizeof(big)) < 0)
			printf("# %s\n", file);
		close(fd);
		free(file);
		fake_exit(pod("msg")->uid, name, i);
	}
	fake_settle(150);
	is_int((long long)strlen(node_gets(state("msg", "a", F_terminated), F_message)), 12288 / 4,
	       "12 kB over all containers");
	is_str(node_gets(state("msg", "b", F_terminated), F_message), "xxxxx", "a short one is whole");
	is_str(phase("msg"), "Failed", "Failed");
	drop_pod("msg");
	make_pod("msg1", "\"restartPolicy\":\"Never\",\"containers\":["C("a")"]");
	file = xasprintf("%s/agent/files/%s/containers/a/0", dir, pod("msg1")->uid);
	fd = open(file, O_WRONLY | O_TRUNC);
	if (write(fd, big, sizeof(big)) < 0)
		printf("# %s\n", file);
	close(fd);
	free(file);
	fake_exit(pod("msg1")->uid, "a", 0);
	fake_settle(150);
	is_int((long long)strlen(node_gets(state("msg1", "a", F_terminated), F_message)), 4096, "4096 bytes of one");
	ok(ends_with(node_gets(state("msg1", "a", F_terminated), F_message), "xend"), "the last ones");
	drop_pod("msg1");
}

static void test_unknown_ends(void)
{
	make_pod("never", "\"containers\":[{\"name\":\"m\",\"image\":\"missing\",\"imagePullPolicy\":\"Never\"}]");
	fake_change(pod("never"), "{\"metadata\":{\"finalizers\":[\"x/y\"]}}");
	fake.stubborn = true;
	is_str(phase("never"), "Pending", "Pending");
	fake_change(pod("never"), "{\"spec\":{\"activeDeadlineSeconds\":1}}");
	fake_settle(1300);
	is_str(phase("never"), "Failed", "activeDeadlineSeconds");
	is_str(node_gets(st("never"), F_reason), "DeadlineExceeded", "DeadlineExceeded");
	is_str(node_gets(st("never"), F_message), "Pod was active on the node longer than the specified deadline",
	       "its message");
	ok(strstr(fake.events.s, "Normal never - DeadlineExceeded: "), "a Normal event");
	is_str(node_gets(state("never", "m", F_terminated), F_reason), "ContainerStatusUnknown",
	       "a container that never ran has failed");
	is_int(node_int(node_get(state("never", "m", F_terminated), F_exitCode), 0), 137, "137");
	drop_pod("never");
}

static void test_deadline_running(void)
{
	make_pod("dl", "\"activeDeadlineSeconds\":1,\"terminationGracePeriodSeconds\":7,\"containers\":["C("m")"]");
	fake.stubborn = true;
	fake_settle(1200);
	is_str(fake.stops.s, "m 7\n", "the pod's grace");
	is_str(phase("dl"), "Running", "it is not Failed while something runs");
	fake_exit(pod("dl")->uid, "m", 0);
	fake_settle(150);
	is_str(phase("dl"), "Failed", "then it is");
	is_str(node_gets(cond("dl", "Ready"), F_reason), "PodFailed", "PodFailed");
	drop_pod("dl");
}

static void test_gates(void)
{
	make_pod("gate", "\"readinessGates\":[{\"conditionType\":\"x/up\"}],\"containers\":["C("m")"]");
	is_str(node_gets(cond("gate", "Ready"), F_message),
	       "corresponding condition of pod readiness gate \"x/up\" does not exist.", "a gate without a condition");
	ok(cond_is_true(node_get(st("gate"), F_conditions), "ContainersReady"), "ContainersReady is another thing");
	drop_pod("gate");
}

/* --- probes --- */

static int listener(int *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -1;
	*port = ntohs(sa.sin_port);
	return fd;
}

static struct buf asked;
static const char *answer;
static size_t answer_len;
static bool keep_open;

struct peer {
	int fd;
	struct loop_fd *watch;
};

/* Answers with `answer`, and notes what was asked. */
static void peer_ready(void *arg, int what)
{
	struct peer *p = arg;
	char block[4096];
	ssize_t n = read(p->fd, block, sizeof(block));

	(void)what;
	if (n > 0 && answer) {
		buf_clear(&asked);
		buf_add(&asked, block, (size_t)n);
		if (write(p->fd, answer, answer_len) < 0)
			printf("# cannot answer\n");
	}
	if (n > 0 && keep_open)
		return;
	loop_fd_free(p->watch);
	close(p->fd);
	free(p);
}

static void serve(void *arg, int what)
{
	int fd = accept4(*(int *)arg, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct peer *p;

	(void)what;
	if (fd < 0)
		return;
	p = xcalloc(1, sizeof(*p));
	p->fd = fd;
	p->watch = loop_fd_new(fake.loop, fd, LOOP_READ, peer_ready, p);
}

static void answer_set(const void *p, size_t n)
{
	answer = p;
	answer_len = n;
}

static void probe_pod(const char *name, const char *kind, const char *action, const char *more)
{
	_cleanup_free_ char *spec =
		xasprintf("\"containers\":[{\"name\":\"m\",\"image\":\"app:1\",\"%s\":{%s,\"periodSeconds\":1,"
			  "\"timeoutSeconds\":1,\"failureThreshold\":1%s}}]",
			  kind, action, more);

	make_pod(name, spec);
}

static void test_http(int port)
{
	_cleanup_free_ char *get = xasprintf("\"httpGet\":{\"host\":\"127.0.0.1\",\"port\":%d,\"path\":\"/a b\","
					     "\"httpHeaders\":[{\"name\":\"X\",\"value\":\"1\"},{\"name\":\"Host\","
					     "\"value\":\"h.example\"}]}",
					     port),
			    *evil = xasprintf("\"httpGet\":{\"host\":\"127.0.0.1\",\"port\":%d,\"path\":\"/\","
					      "\"httpHeaders\":[{\"name\":\"X\",\"value\":\"1\\r\\nY: 2\"}]}",
					      port);
	static const char no[] = "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", yes[] = "HTTP/1.1 204 Yes\r\n\r\n";
	char to[200];

	answer_set(no, sizeof(no) - 1);
	probe_pod("http", "readinessProbe", get, "");
	ok(!ready("http"), "503: not ready");
	ok(strstr(fake.events.s, "Warning http spec.containers{m} Unhealthy: Readiness probe failed: HTTP probe "
				 "failed with statuscode: 503\n"),
	   "the event");
	ok(starts_with(asked.s, "GET /a%20b HTTP/1.1\r\n") && strstr(asked.s, "\r\nX: 1\r\n") &&
		   strstr(asked.s, "\r\nHost: h.example\r\n") && strstr(asked.s, "\r\nUser-Agent: kube-probe/1.36\r\n") &&
		   strstr(asked.s, "\r\nAccept: */*\r\n") && !strstr(asked.s, "Host: 127"),
	   "what was asked");
	answer_set(yes, sizeof(yes) - 1);
	fake_settle(1100);
	ok(ready("http"), "204: ready");
	answer_set(no, sizeof(no) - 1);
	fake_settle(1200);
	ok(!ready("http"), "and unready again");
	drop_pod("http");
	snprintf(to, sizeof(to), "HTTP/1.1 302 Away\r\nLocation: http://127.0.0.1:%d/there\r\nContent-Length: 0\r\n\r\n",
		 port);
	answer_set(to, strlen(to));
	probe_pod("loop", "readinessProbe", get, "");
	ok(strstr(fake.events.s, "stopped after 10 redirects"), "redirections do not go on for ever");
	drop_pod("loop");
	snprintf(to, sizeof(to), "HTTP/1.1 302 Away\r\nLocation: http://other.example/\r\n\r\n");
	answer_set(to, strlen(to));
	probe_pod("away", "readinessProbe", get, "");
	ok(ready("away") && strstr(fake.events.s, "ProbeWarning: Readiness probe warning: Probe terminated redirects"),
	   "one to another host is a warning");
	drop_pod("away");
	probe_pod("evil", "readinessProbe", evil, "");
	ok(!ready("evil") && strstr(fake.events.s, "net/http: invalid header field value for \"X\""),
	   "no header hides in another");
	drop_pod("evil");
	answer_set(NULL, 0);
	keep_open = true;
	probe_pod("mute", "readinessProbe", get, "");
	fake_settle(1100);
	ok(strstr(fake.events.s, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
	   "one that never answers");
	keep_open = false;
	drop_pod("mute");
}

static void test_thresholds(int port)
{
	_cleanup_free_ char *tcp = xasprintf("\"tcpSocket\":{\"host\":\"127.0.0.1\",\"port\":%d}", port);

	answer_set(NULL, 0);
	probe_pod("three", "readinessProbe", tcp, ",\"successThreshold\":3");
	ok(!ready("three"), "successThreshold 3: not after the first");
	fake_settle(1100);
	ok(!ready("three"), "nor the second");
	fake_settle(1100);
	ok(ready("three"), "but the third");
	drop_pod("three");
	probe_pod("delay", "readinessProbe", tcp, ",\"initialDelaySeconds\":2");
	fake_settle(500);
	ok(!ready("delay"), "initialDelaySeconds");
	fake_settle(2000);
	ok(ready("delay"), "is over");
	drop_pod("delay");
	probe_pod("refused", "livenessProbe", "\"tcpSocket\":{\"host\":\"127.0.0.1\",\"port\":1}",
		  ",\"terminationGracePeriodSeconds\":3");
	ok(strstr(fake.events.s, "Unhealthy: Liveness probe failed: dial tcp 127.0.0.1:1: connect: connection refused\n"),
	   "tcpSocket refused");
	ok(strstr(fake.events.s, "Killing: Container m failed liveness probe, will be restarted\n"), "liveness ends it");
	ok(starts_with(fake.stops.s, "m 3\n"), "with the probe's grace");
	is_int(node_int(node_get(ctr_st("refused", "m"), F_restartCount), -1), 1, "and it is restarted");
	drop_pod("refused");
	probe_pod("noport", "readinessProbe", "\"tcpSocket\":{\"port\":\"nope\"}", "");
	ok(strstr(fake.events.s, "Readiness probe errored and resulted in unknown state: couldn't find port: nope\n"),
	   "a port that is not there");
	drop_pod("noport");
	probe_pod("start", "startupProbe", tcp, "");
	ok(ready("start") && node_bool(node_get(ctr_st("start", "m"), F_started), false), "a startup probe passes");
	drop_pod("start");
}

/* SETTINGS, HEADERS(:status 200), DATA(status 1 or 2), HEADERS(grpc-status: 0 or 5, grpc-message) */
static size_t grpc_answer(uint8_t *out, int serving, const char *status, const char *message)
{
	static const uint8_t head[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88};
	uint8_t *p = out;
	size_t len;

	memcpy(p, head, sizeof(head));
	p += sizeof(head);
	memcpy(p, (uint8_t[]){0, 0, 7, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 8, (uint8_t)serving}, 16);
	p += 16;
	len = 2 + 11 + 1 + strlen(status) + (*message ? 2 + 12 + 1 + strlen(message) : 0);
	memcpy(p, (uint8_t[]){0, 0, (uint8_t)len, 1, 5, 0, 0, 0, 1}, 9);
	p += 9;
	p += sprintf((char *)p, "%c%c%s%c%s", 0x40, 11, "grpc-status", (int)strlen(status), status) ;
	if (*message)
		p += sprintf((char *)p, "%c%c%s%c%s", 0x40, 12, "grpc-message", (int)strlen(message), message);
	return (size_t)(p - out);
}

static void test_grpc(int port)
{
	_cleanup_free_ char *action = xasprintf("\"grpc\":{\"port\":%d,\"service\":\"my.svc\"}", port);
	static uint8_t bytes[400];

	keep_open = true;
	answer_set(bytes, grpc_answer(bytes, 1, "0", ""));
	probe_pod("grpc", "readinessProbe", action, "");
	fake_settle(100);
	ok(ready("grpc"), "grpc: SERVING");
	ok(starts_with(asked.s, "PRI * HTTP/2.0"), "it was asked by HTTP/2");
	drop_pod("grpc");
	answer_set(bytes, grpc_answer(bytes, 2, "0", ""));
	probe_pod("sick", "readinessProbe", action, "");
	fake_settle(100);
	ok(!ready("sick") && strstr(fake.events.s, "Readiness probe failed: service unhealthy (responded with \"NOT_SERVING\")\n"),
	   "NOT_SERVING");
	drop_pod("sick");
	answer_set(bytes, grpc_answer(bytes, 0, "5", "unknown%20service"));
	probe_pod("none", "readinessProbe", action, "");
	fake_settle(100);
	ok(strstr(fake.events.s, "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service\n"),
	   "NotFound");
	drop_pod("none");
	answer_set(bytes, grpc_answer(bytes, 0, "12", "no"));
	probe_pod("unimpl", "readinessProbe", action, "");
	fake_settle(100);
	ok(strstr(fake.events.s, "does not implement the grpc health protocol (grpc.health.v1.Health): no\n"),
	   "Unimplemented");
	drop_pod("unimpl");
	answer_set("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 47);
	probe_pod("http1", "readinessProbe", action, "");
	fake_settle(100);
	ok(!ready("http1") && strstr(fake.events.s, "error: failed to connect service at \"127.0.0.1:"),
	   "a server that does not speak HTTP/2");
	drop_pod("http1");
	answer_set(NULL, 0);
	probe_pod("silent", "readinessProbe", action, "");
	fake_settle(1100);
	ok(strstr(fake.events.s, "timeout: health rpc did not complete within 1s\n"), "one that is silent");
	drop_pod("silent");
	keep_open = false;
	probe_pod("closed", "readinessProbe", "\"grpc\":{\"port\":1}", "");
	ok(strstr(fake.events.s, "timeout: failed to connect service \"127.0.0.1:1\" within 1s: context deadline exceeded\n"),
	   "nobody there");
	drop_pod("closed");
}

static void resize_to(const char *name, const char *cpu, const char *memory)
{
	_cleanup_free_ char *p =
		xasprintf("{\"spec\":{\"containers\":[{\"name\":\"m\",\"image\":\"app:1\",\"resizePolicy\":[{\"resourceName\":"
			  "\"memory\",\"restartPolicy\":\"RestartContainer\"}],\"resources\":{\"limits\":{\"cpu\":\"%s\","
			  "\"memory\":\"%s\"},\"requests\":{\"cpu\":\"%s\",\"memory\":\"%s\"}}}]}}",
			  cpu, memory, cpu, memory);

	buf_clear(&fake.stops);
	buf_clear(&fake.events);
	fake_change(pod(name), p);
	fake_settle(100);
}

static const char *allocated(const char *name, const char *resource)
{
	return node_cstr_or(node_getc(node_get(ctr_st(name, "m"), F_allocatedResources), resource), "");
}

static void test_resize(void)
{
	make_pod("rs", "\"containers\":["CX("m", "\"resources\":{\"limits\":{\"cpu\":\"100m\",\"memory\":\"1Mi\"},"
						  "\"requests\":{\"cpu\":\"100m\",\"memory\":\"1Mi\"}}")"]");
	is_str(allocated("rs", "cpu"), "100m", "allocatedResources");
	resize_to("rs", "200m", "1Mi");
	is_str(fake.stops.s, "limits m 20000\n", "a resize in place");
	is_str(allocated("rs", "cpu"), "200m", "is told");
	is_int(node_int(node_get(ctr_st("rs", "m"), F_restartCount), -1), 0, "nothing restarts");
	ok(strstr(fake.events.s, "ResizeStarted: Pod resize started: {") && strstr(fake.events.s, "ResizeCompleted: "),
	   "events");
	resize_to("rs", "200m", "2Mi");
	fake_settle(100);
	is_int(node_int(node_get(ctr_st("rs", "m"), F_restartCount), -1), 1, "RestartContainer restarts");
	is_str(allocated("rs", "memory"), "2Mi", "with the new resources");
	ok(strstr(fake.events.s, "Killing: Container m resize requires restart\n"), "and says why");
	resize_to("rs", "9999", "2Mi");
	is_str(node_gets(cond("rs", "PodResizePending"), F_reason), "Infeasible", "more than the node has");
	is_str(allocated("rs", "cpu"), "200m", "changes nothing");
	ok(ready("rs") && state("rs", "m", F_running), "the pod runs on");
	drop_pod("rs");
}

static void new_agent(void)
{
	_cleanup_free_ char *state_dir = path_join(dir, "agent");
	struct node_config cfg = {.loop = fake.loop,
				  .name = "n1",
				  .ip = "192.0.2.1",
				  .state_dir = state_dir,
				  .version = "v1.36.2",
				  .service_host = "10.43.0.1",
				  .service_port = 443,
				  .net = (struct net *)&fake};
	struct err e = ERR_INIT;

	if (agent_new(&fake.agent, &cfg, &e) < 0)
		printf("Bail out! %s\n", err_msg(&e));
	agent_start(fake.agent);
	fake_settle(30);
}

int main(void)
{
	struct loop_fd *watch;
	struct err e = ERR_INIT;
	int port = 0, fd = listener(&port);

	if (!mkdtemp(dir) || fd < 0)
		return 1;
	log_threshold = LOG_ERROR;
	test_rules();
	test_utf8();
	fake.loop = loop_new();
	fake.pods = schema_res("", "pods");
	fake.pod_ip = "127.0.0.1";
	buf_init(&fake.events);
	buf_init(&fake.spec);
	buf_init(&fake.stops);
	buf_init(&asked);
	watch = loop_fd_new(fake.loop, fd, LOOP_READ, serve, &fd);
	new_agent();
	test_sidecars();
	test_sidecar_time();
	test_sidecar_restart();
	test_hooks();
	test_restart_rules();
	test_ephemeral();
	test_messages();
	test_unknown_ends();
	test_deadline_running();
	test_gates();
	test_resize();
	test_http(port);
	test_thresholds(port);
	test_grpc(port);
	fake.agent = agent_free(fake.agent);
	fake_end();
	buf_release(&asked);
	loop_fd_free(watch);
	close(fd);
	loop_free(fake.loop);
	if (path_remove_tree(dir, &e) < 0)
		printf("# %s\n", err_msg(&e));
	return done_testing();
}
