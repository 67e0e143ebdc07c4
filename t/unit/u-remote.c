/*
 * exec, attach and port-forward from the client's side: raw WebSocket and SPDY
 * over socketpairs into an HTTP server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "http/remote.h"
#include "tap.h"
#include "wire/spdy.h"
#include "wire/websocket.h"

static struct loop *loop;
static struct http_server *server;

/* --- the node's side --- */

static struct remote *sess;
static struct portfwd *fwd;
static struct portfwd_conn *pair;
static struct buf got; /* what was called, in order */
static size_t take = (size_t)-1; /* bytes of stdin taken at a time */
static int pod_port;

static void on_open(void *arg)
{
	buf_adds(&got, "open ");
}

static size_t on_stdin(void *arg, struct str d)
{
	struct str t = str_sub(d, 0, take);

	if (t.n > 40)
		buf_addf(&got, "in(%zu) ", t.n);
	else
		buf_addf(&got, "in(%" STR_FMT ") ", STR_ARG(t));
	return t.n;
}

static void on_stdin_eof(void *arg)
{
	buf_adds(&got, "eof ");
}

static void on_resize(void *arg, int cols, int rows)
{
	buf_addf(&got, "size(%dx%d) ", cols, rows);
}

static void on_drain(void *arg)
{
	buf_adds(&got, "drain ");
}

static void on_close(void *arg)
{
	buf_adds(&got, "close ");
	sess = NULL;
	fwd = NULL;
}

static const struct remote_ops ops = { on_open, on_stdin, on_stdin_eof, on_resize, on_drain, on_close };

static int pod_connect(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 && errno != EINPROGRESS)
		perror("connect");
	return fd;
}

static size_t pair_data(void *arg, struct str d)
{
	buf_addf(&got, "data(%" STR_FMT ") ", STR_ARG(d));
	return d.n;
}

static void pair_eof(void *arg)
{
	buf_adds(&got, "peof ");
}

static void pair_close(void *arg)
{
	buf_adds(&got, "pclose ");
	pair = NULL;
}

static const struct portfwd_conn_ops pair_ops = { pair_data, pair_eof, NULL, pair_close };

static void on_pair(void *arg, struct portfwd_conn *c, int port)
{
	buf_addf(&got, "pair(%d) ", port);
	if (port == 8080) {
		portfwd_join(c, pod_connect(pod_port));
	} else if (port == 81) {
		portfwd_join(c, pod_connect(1));
	} else {
		pair = c;
		portfwd_set(c, &pair_ops, NULL);
	}
}

static const struct portfwd_ops fwd_ops = { on_pair, on_close };

static void on_request(void *arg, struct http_req *r)
{
	const struct http_head *h = http_req_head(r);
	_cleanup_err_ struct err e = ERR_INIT;
	struct http_resp bad = { .status = 400, .content_type = "text/plain" };
	struct remote_want want;

	if (str_eqc(h->path, "/portForward"))
		fwd = portfwd_accept(r, "p, uid u", &fwd_ops, NULL);
	else if (remote_want_parse(&want, h->query, &e) == 0)
		sess = remote_accept(r, want, &ops, NULL);
	else
		http_reply(r, &bad, str_of(err_msg(&e)));
}

/* --- the client's side --- */

static int cfd = -1;
static struct buf in; /* bytes after the response's head */
static struct spdy_codec *cc;
static const uint8_t mask[4] = { 1, 2, 3, 4 };

static void turn(int n)
{
	while (n--)
		loop_turn(loop, 2);
}

static void pump(void)
{
	char b[65536];

	for (int idle = 0; idle < 6; idle++) {
		ssize_t n;

		turn(1);
		while ((n = recv(cfd, b, sizeof(b), MSG_DONTWAIT)) > 0) {
			buf_add(&in, b, (size_t)n);
			idle = 0;
		}
	}
}

static void hang_up(void)
{
	if (cfd >= 0)
		close(cfd);
	cfd = -1;
	cc = spdy_codec_free(cc);
	take = (size_t)-1;
	turn(5);
}

/* Sends a request, takes the head of the answer off `in`; returns its status. */
static int request(const char *method, const char *target, const char *headers)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct http_head h;
	size_t used;
	int sv[2], status = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return -1;
	http_server_adopt(server, sv[0], "test");
	cfd = sv[1];
	cc = spdy_codec_new();
	buf_clear(&in);
	buf_clear(&got);
	buf_addf(&b, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, target, headers);
	if (send(cfd, b.s, b.len, MSG_NOSIGNAL) < 0)
		return -1;
	pump();
	if (http1_parse_response(&h, buf_str(&in), &used) == HTTP_DONE) {
		status = h.status;
		http_head_release(&h);
		buf_remove(&in, 0, used);
	}
	return status;
}

static int ws_request(const char *target, const char *protocol)
{
	_cleanup_free_ char *h = xasprintf("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
					   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s%s%s",
					   protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "", protocol ? "\r\n" : "");

	return request("GET", target, h);
}

static int spdy_request(const char *target, const char *protocols)
{
	_cleanup_free_ char *h = xasprintf("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n%s", protocols);

	return request("POST", target, h);
}

static void send_buf(struct buf *b)
{
	size_t at = 0;

	while (at < b->len) {
		ssize_t n = send(cfd, b->s + at, b->len - at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			at += (size_t)n;
		else if (errno != EAGAIN)
			break;
		else
			turn(1);
	}
	buf_clear(b);
	pump();
}

static void ws_send(enum ws_opcode op, struct str d)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	ws_put(&b, op, d, mask);
	send_buf(&b);
}

/* Describes all frames in `in` and forgets them. Long data is shown by its length. */
static const char *ws_seen(void)
{
	static struct buf d = BUF_INIT;
	_cleanup_buf_ struct buf scratch = BUF_INIT;
	static struct ws_reader r;
	struct str rest = buf_str(&in);

	memset(&r, 0, sizeof(r));
	buf_clear(&d);
	for (;;) {
		struct ws_event ev;
		size_t used;

		if (ws_read(&r, rest, &used, &scratch, &ev) != WS_EVENT)
			break;
		rest = str_sub(rest, used, rest.n);
		if (ev.opcode == WS_CLOSE)
			buf_addf(&d, "[close %d]", ev.close_code);
		else if (ev.opcode == WS_BINARY && ev.data.n)
			buf_addf(&d, "[%d:%" STR_FMT "]", ev.data.p[0], STR_ARG(str_sub(ev.data, 1, ev.data.n)));
		else
			buf_addf(&d, "[%d=%" STR_FMT "]", ev.opcode, STR_ARG(ev.data));
	}
	buf_clear(&in);
	return d.s;
}

static const char *spdy_seen(struct str bytes, size_t *data_bytes)
{
	static struct buf d = BUF_INIT;
	size_t n = 0;

	buf_clear(&d);
	for (;;) {
		struct spdy_event ev;
		size_t used;

		if (spdy_read(cc, bytes, &used, &ev, NULL) != SPDY_EVENT)
			break;
		bytes = str_sub(bytes, used, bytes.n);
		n += ev.data.n;
		if (ev.type == SPDY_DATA && ev.data.n < 300)
			buf_addf(&d, "[%u:%" STR_FMT "%s]", ev.stream, STR_ARG(ev.data), ev.flags & SPDY_FIN ? "$" : "");
		else if (ev.type == SPDY_SYN_REPLY)
			buf_addf(&d, "[ok %u]", ev.stream);
		else if (ev.type == SPDY_RST_STREAM)
			buf_addf(&d, "[rst %u]", ev.stream);
		else if (ev.type == SPDY_GOAWAY)
			buf_adds(&d, "[bye]");
		else if (ev.type == SPDY_PING)
			buf_addf(&d, "[ping %u]", ev.stream);
	}
	if (data_bytes)
		*data_bytes = n;
	return d.s;
}

static const char *spdy_in(void)
{
	const char *s = spdy_seen(buf_str(&in), NULL);

	buf_clear(&in);
	return s;
}

static void spdy_open(struct buf *b, uint32_t id, const char *type, const char *port, const char *request_id)
{
	struct spdy_pair h[3] = { { STR_LIT("streamtype"), str_of(type) } };
	size_t n = 1;

	if (port)
		h[n++] = (struct spdy_pair){ STR_LIT("port"), str_of(port) };
	if (request_id)
		h[n++] = (struct spdy_pair){ STR_LIT("requestid"), str_of(request_id) };
	spdy_put_syn_stream(cc, b, id, 0, h, n);
}

static bool at_end(void)
{
	char c;

	pump();
	return recv(cfd, &c, 1, MSG_DONTWAIT) == 0;
}

/* --- remote command --- */

static void test_ws_exec(void)
{
	is_int(ws_request("/exec?input=1&output=1&tty=1&command=sh", "v5.channel.k8s.io, v4.channel.k8s.io"), 101, "WebSocket exec");
	is_str(ws_seen(), "[1:]", "an empty message says hello");
	ws_send(WS_BINARY, STR_LIT("\0ls\n"));
	ws_send(WS_BINARY, STR_LIT("\4{\"Width\":80,\"Height\":24}\n"));
	ws_send(WS_BINARY, STR_LIT("\4{\"height\": 30, \"width\": 100}{\"Width\":0,\"Height\":1}"));
	ws_send(WS_BINARY, STR_LIT("\0more"));
	ws_send(WS_BINARY, STR_LIT("\7junk"));
	is_str(got.s, "open in(ls\n) size(80x24) size(100x30) in(more) ", "stdin and sizes");
	ok(remote_write(sess, REMOTE_STDOUT, STR_LIT("hello")), "output");
	remote_write(sess, REMOTE_STDERR, STR_LIT("never"));
	ws_send(WS_PING, STR_LIT("p"));
	is_str(ws_seen(), "[1:hello][10=p]", "arrives; a ping is answered");
	ws_send(WS_BINARY, STR_LIT("\xff\0"));
	ws_send(WS_BINARY, STR_LIT("\0after"));
	ok(strstr(got.s, "in(more) eof ") && !strstr(got.s, "after"), "v5 closes stdin");
	remote_exit(sess, 3);
	pump();
	is_str(ws_seen(), "[3:{\"metadata\":{},\"status\":\"Failure\",\"message\":\"command terminated with non-zero exit code: "
			  "exit status 3\",\"reason\":\"NonZeroExitCode\",\"details\":{\"causes\":[{\"reason\":\"ExitCode\","
			  "\"message\":\"3\"}]}}\n][close 1000]", "the exit code");
	ok(at_end() && !strstr(got.s, "close"), "and the end");
	hang_up();
}

static void test_ws_forms(void)
{
	_cleanup_err_ struct err e = ERR_INIT;

	is_int(ws_request("/exec?stdin=true&stderr=true", "v4.base64.channel.k8s.io"), 101, "base64");
	is_str(ws_seen(), "[1=2]", "hello on stderr, as text");
	ws_send(WS_TEXT, STR_LIT("0aGk="));
	is_str(got.s, "open in(hi) ", "decoded");
	remote_write(sess, REMOTE_STDERR, STR_LIT("oops"));
	err_set(&e, ERR_NOT_FOUND, "no \"sh\"");
	remote_fail(sess, &e);
	pump();
	ok(strncmp(ws_seen(), "[1=2b29wcw==][1=3", 17) == 0, "encoded");
	hang_up();
	is_int(ws_request("/exec?output=1", NULL), 101, "no protocol is v1");
	remote_exit(sess, 0);
	pump();
	is_str(ws_seen(), "[1:][close 1000]", "which says nothing of success");
	hang_up();
	is_int(ws_request("/exec?output=1", "v9.channel.k8s.io"), 403, "an unknown protocol");
	hang_up();
	is_int(request("GET", "/exec?output=1", ""), 400, "no upgrade");
	hang_up();
	is_int(ws_request("/exec?tty=1&stderr=1", NULL), 400, "no stream at all");
	is_str(in.s, "you must specify at least 1 of stdin, stdout, stderr", "and why");
	hang_up();
	is_int(ws_request("/exec?output=1", "v4.channel.k8s.io"), 101, "a client");
	ws_send(WS_CLOSE, STR_LIT("\x03\xe8"));
	is_str(got.s, "open close ", "that closes");
	is_str(ws_seen(), "[1:][close 1000]", "is answered");
	hang_up();
	is_int(ws_request("/exec?output=1", "v4.channel.k8s.io"), 101, "a client");
	hang_up();
	is_str(got.s, "open close ", "that vanishes");
	is_int(ws_request("/exec?input=1", "v4.channel.k8s.io"), 101, "a client");
	ok(send(cfd, "\x82\x01x", 3, MSG_NOSIGNAL) == 3, "that does not mask");
	pump();
	is_str(ws_seen(), "[3:][close 1002]", "is told");
	is_str(got.s, "open close ", "and dropped");
	hang_up();
}

static void test_spdy_exec(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	is_int(spdy_request("/exec?input=1&output=1&error=1", "X-Stream-Protocol-Version: v9\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"), 101, "SPDY exec");
	spdy_open(&b, 1, "error", NULL, NULL);
	spdy_open(&b, 3, "stdin", NULL, NULL);
	spdy_put_data(&b, 3, 0, STR_LIT("early"));
	spdy_open(&b, 5, "stdout", NULL, NULL);
	spdy_open(&b, 7, "nonsense", NULL, NULL);
	spdy_put_ping(&b, 1);
	send_buf(&b);
	is_str(spdy_in(), "[ok 1][ok 3][ok 5][rst 7][ping 1]", "streams are answered");
	is_str(got.s, "", "not open yet");
	take = 3;
	spdy_open(&b, 9, "stderr", NULL, NULL);
	send_buf(&b);
	is_str(got.s, "open in(ear) ", "open when all are there; stdin is taken in part");
	spdy_put_data(&b, 3, SPDY_FIN, STR_LIT("xx"));
	send_buf(&b);
	is_str(got.s, "open in(ear) ", "the rest waits");
	take = 100;
	remote_ready(sess);
	pump();
	is_str(got.s, "open in(ear) in(lyxx) eof ", "and comes, then the end");
	buf_clear(&in);
	remote_write(sess, REMOTE_STDOUT, STR_LIT("out"));
	remote_write(sess, REMOTE_STDERR, STR_LIT("err"));
	remote_exit(sess, 0);
	pump();
	is_str(spdy_in(), "[5:out][9:err][3:$][5:$][9:$][1:{\"metadata\":{},\"status\":\"Success\"}\n$][bye]", "output and success");
	ok(at_end(), "and the end");
	hang_up();
	is_int(spdy_request("/exec?output=1&tty=1", "X-Stream-Protocol-Version: v3.channel.k8s.io, v2.channel.k8s.io\r\n"), 101, "v3");
	spdy_open(&b, 1, "error", NULL, NULL);
	spdy_open(&b, 3, "stdout", NULL, NULL);
	spdy_open(&b, 5, "resize", NULL, NULL);
	spdy_put_data(&b, 5, 0, STR_LIT("{\"Width\":1,\"Height\":2}"));
	send_buf(&b);
	is_str(got.s, "open size(1x2) ", "with a terminal");
	buf_clear(&in);
	remote_exit(sess, 9);
	pump();
	ok(strstr(spdy_in(), "[1:command terminated with non-zero exit code: exit status 9$]"), "text on the error stream");
	hang_up();
	is_int(spdy_request("/exec?output=1", "X-Stream-Protocol-Version: v9\r\n"), 403, "no protocol in common");
	hang_up();
	is_int(spdy_request("/exec?output=1", ""), 400, "no protocol");
	hang_up();
}

static void test_pressure(void)
{
	static char block[100000];
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t total = 0, n;
	int rounds = 0;

	memset(block, 'x', sizeof(block));
	is_int(spdy_request("/exec?input=1&output=1", "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"), 101, "pressure");
	spdy_open(&b, 1, "error", NULL, NULL);
	spdy_open(&b, 3, "stdin", NULL, NULL);
	spdy_open(&b, 5, "stdout", NULL, NULL);
	send_buf(&b);
	for (; rounds < 100; rounds++) {
		total += sizeof(block);
		if (!remote_write(sess, REMOTE_STDOUT, str_n(block, sizeof(block))))
			break;
	}
	ok(rounds < 10, "the writer is told to wait");
	pump();
	ok(strstr(got.s, "drain "), "and to go on");
	spdy_seen(buf_str(&in), &n);
	is_int(n, total, "all of it arrives");
	buf_clear(&in);
	buf_clear(&got);
	take = 0;
	spdy_put_data(&b, 3, 0, STR_LIT("x"));
	send_buf(&b);
	for (n = 0; n < 100; n++) {
		spdy_put_data(&b, 3, 0, str_n(block, 50000));
		if (send(cfd, b.s, b.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)b.len)
			break;
		buf_clear(&b);
		turn(2);
	}
	ok(n < 40, "the client is held back");
	remote_abort(sess);
	turn(3);
	hang_up();
}

/* --- port forward --- */

static int pod_listen(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 8) || getsockname(fd, (struct sockaddr *)&a, &len))
		perror("listen");
	pod_port = ntohs(a.sin_port);
	return fd;
}

static void test_forward(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int lfd = pod_listen(), pod;
	char text[100] = "";

	is_int(spdy_request("/portForward", "X-Stream-Protocol-Version: portforward.k8s.io\r\n"), 101, "port forward");
	spdy_open(&b, 1, "error", "8080", "0");
	spdy_put_data(&b, 1, SPDY_FIN, STR_LIT(""));
	spdy_open(&b, 3, "data", "8080", "0");
	spdy_put_data(&b, 3, 0, STR_LIT("ping"));
	spdy_open(&b, 5, "error", "0", "1");
	send_buf(&b);
	is_str(got.s, "pair(8080) ", "a pair");
	is_str(spdy_in(), "[ok 1][ok 3][rst 5]", "accepted; port 0 is not");
	pod = accept4(lfd, NULL, NULL, SOCK_NONBLOCK);
	ok(recv(pod, text, sizeof(text) - 1, 0) == 4 && !strcmp(text, "ping"), "data to the pod");
	ok(send(pod, "pong", 4, MSG_NOSIGNAL) == 4, "and");
	pump();
	is_str(spdy_in(), "[3:pong]", "back");
	spdy_put_data(&b, 3, SPDY_FIN, STR_LIT("last"));
	send_buf(&b);
	ok(recv(pod, text, sizeof(text), 0) == 4 && recv(pod, text, sizeof(text), 0) == 0, "the client's end reaches the pod");
	ok(send(pod, "answer", 6, MSG_NOSIGNAL) == 6, "which still answers");
	close(pod);
	pump();
	is_str(spdy_in(), "[3:answer][3:$][1:$]", "to the end");
	spdy_open(&b, 7, "error", "81", "2");
	spdy_open(&b, 9, "data", "81", "2");
	send_buf(&b);
	is_str(spdy_in(), "[ok 7][ok 9][7:error forwarding port 81 to pod p, uid u: failed to connect to localhost:81 inside the "
			  "pod's network namespace: connect: connection refused$][9:$][rst 9]", "a refused port says so");
	buf_clear(&got);
	spdy_open(&b, 11, "error", "99", NULL);
	spdy_open(&b, 13, "data", "99", NULL);
	spdy_put_data(&b, 13, 0, STR_LIT("abc"));
	send_buf(&b);
	is_str(got.s, "pair(99) data(abc) ", "a pair without a request id");
	portfwd_write(pair, STR_LIT("xyz"));
	pump();
	ok(strstr(spdy_in(), "[13:xyz]"), "answers");
	spdy_put_rst_stream(&b, 13, SPDY_RST_CANCEL);
	send_buf(&b);
	is_str(got.s, "pair(99) data(abc) pclose ", "and is reset");
	spdy_open(&b, 15, "error", "99", "9");
	spdy_open(&b, 17, "data", "99", "9");
	spdy_open(&b, 19, "data", "99", "half");
	send_buf(&b);
	hang_up();
	ok(strstr(got.s, "pclose pair(99) pclose close "), "the client leaves");
	close(lfd);
}

static void test_forward_tunnel(void)
{
	_cleanup_buf_ struct buf b = BUF_INIT, m = BUF_INIT;
	struct ws_reader r = { 0 };
	_cleanup_buf_ struct buf scratch = BUF_INIT, bytes = BUF_INIT;
	struct ws_event ev;
	struct str rest;
	size_t used;

	is_int(ws_request("/portForward", "SPDY/3.1+portforward.k8s.io"), 101, "port forward in WebSocket");
	spdy_open(&b, 1, "error", "99", "0");
	spdy_open(&b, 3, "data", "99", "0");
	spdy_put_data(&b, 3, 0, STR_LIT("abc"));
	/* Messages need not end where frames do. */
	ws_put(&m, WS_BINARY, str_n(b.s, 5), mask);
	ws_put(&m, WS_BINARY, str_n(b.s + 5, b.len - 5), mask);
	send_buf(&m);
	is_str(got.s, "pair(99) data(abc) ", "a pair");
	portfwd_write(pair, STR_LIT("xyz"));
	portfwd_end(pair, NULL);
	pump();
	for (rest = buf_str(&in); ws_read(&r, rest, &used, &scratch, &ev) == WS_EVENT; rest = str_sub(rest, used, rest.n))
		buf_addstr(&bytes, ev.data);
	is_str(spdy_seen(buf_str(&bytes), NULL), "[ok 1][ok 3][3:xyz][1:$][3:$][rst 3]", "answers");
	buf_clear(&in);
	portfwd_close(fwd);
	pump();
	ok(strstr(ws_seen(), "[close 1000]") != NULL, "the end");
	hang_up();
}

/* Two channels for each port of the query, and the number of the port first. */
static void test_forward_channels(void)
{
	_cleanup_buf_ struct buf m = BUF_INIT;

	is_int(ws_request("/portForward", "v4.channel.k8s.io"), 400, "channels need ports");
	hang_up();
	is_int(ws_request("/portForward?port=0", "v4.channel.k8s.io"), 400, "that are more than 0");
	hang_up();
	is_int(ws_request("/portForward?port=x", "v4.channel.k8s.io"), 400, "and numbers");
	hang_up();
	is_int(ws_request("/portForward?port=258", "v4.channel.k8s.io"), 101, "channels");
	pump();
	is_str(got.s, "pair(258) ", "its pair");
	is_int((int)in.len, 10, "two messages of three bytes");
	ok(in.len == 10 && !memcmp(in.s, "\x82\x03\x00\x02\x01\x82\x03\x01\x02\x01", 10), "the port on both channels");
	ws_put(&m, WS_BINARY, STR_LIT("\0abc"), mask);
	ws_put(&m, WS_BINARY, STR_LIT("\7lost"), mask); /* of no port */
	ws_put(&m, WS_BINARY, STR_LIT("\1lost"), mask); /* the server's to write */
	ws_put(&m, WS_BINARY, STR_LIT(""), mask);
	send_buf(&m);
	is_str(got.s, "pair(258) data(abc) ", "data to the port alone");
	buf_clear(&in);
	portfwd_write(pair, STR_LIT("xyz"));
	portfwd_end(pair, NULL);
	pump();
	ok(in.len >= 6 && !memcmp(in.s, "\x82\x04\x00xyz", 6), "data from it");
	ok(strstr(got.s, "close "), "the last pair ends the session");
	hang_up();
}

int main(void)
{
	struct http_server_config cfg = { .on_request = on_request };

	log_threshold = LOG_OFF;
	buf_init(&got);
	buf_init(&in);
	cfg.loop = loop = loop_new();
	server = http_server_new(&cfg);
	test_ws_exec();
	test_ws_forms();
	test_spdy_exec();
	test_pressure();
	test_forward();
	test_forward_tunnel();
	test_forward_channels();
	is_int(http_server_connections(server), 0, "no connection is left");
	http_server_free(server);
	loop_free(loop);
	buf_release(&got);
	buf_release(&in);
	return done_testing();
}
