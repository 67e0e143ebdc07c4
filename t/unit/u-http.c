/*
 * HTTP connections over real sockets: the server through raw bytes, the client
 * against the server, TLS, time and size limits, upgrades, joined streams.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/buffer.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/time.h"
#include "http/http.h"
#include "tap.h"

static struct loop *loop;
static struct http_server *plain, *secure;
static int plain_port, secure_port;
static char *ca_key, *ca_pem, *srv_key, *srv_pem, *cli_key, *cli_pem;

/* --- what the test server does --- */

static int n_requests, n_gone;
static struct http_req *held, *watching;
static struct stream *echo;

static void h_reply(struct http_req *r, int status, const char *text)
{
	struct http_resp resp = { .status = status, .content_type = "text/plain" };

	http_reply(r, &resp, str_of(text));
}

static void h_body(void *arg, struct http_req *r, struct str body)
{
	struct http_resp resp = { .status = 200, .content_type = "text/plain" };

	http_reply(r, &resp, body);
}

static void h_gone(void *arg)
{
	n_gone++;
	*(struct http_req **)arg = NULL;
}

static void echo_data(void *arg, struct evbuffer *in)
{
	stream_write_evbuffer(echo, in);
}

static void echo_close(void *arg, const struct err *e)
{
	echo = NULL;
}

static const struct stream_ops echo_ops = { .on_data = echo_data, .on_close = echo_close };

static void h_upgrade(struct http_req *r)
{
	struct http_header hd[] = { { STR_LIT("Upgrade"), STR_LIT("echo") } };
	struct http_resp resp = { .status = 101, .headers = hd, .n_headers = 1 };

	echo = http_upgrade(r, &resp);
	stream_set(echo, &echo_ops, NULL);
}

/* Bytes that show it when their order changes, in pieces of many sizes. */
static unsigned char big[8 << 20];

static void h_big(struct http_req *r)
{
	static const size_t sizes[] = { 1, 100, 5000, 3, 70000, 16384, 2000, 300000, 9000 };
	struct http_resp resp = { .status = 200, .content_type = "application/octet-stream" };
	struct evbuffer *b = evbuffer_new();
	size_t at = 0;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (unsigned char)((i * 2654435761u) >> 13);
	for (int i = 0; at < sizeof(big); i++) {
		size_t n = sizes[(size_t)i % ARRAY_SIZE(sizes)];

		n = n < sizeof(big) - at ? n : sizeof(big) - at;
		evbuffer_add_reference(b, big + at, n, NULL, NULL);
		at += n;
	}
	http_reply_evbuffer(r, &resp, b);
	evbuffer_free(b);
}

static void h_watch(struct http_req *r)
{
	struct http_resp resp = { .status = 200, .content_type = "application/json" };

	watching = r;
	http_req_on_gone(r, h_gone, &watching);
	http_begin(r, &resp);
	http_chunk(r, STR_LIT("first\n"));
}

static void h_header(struct http_req *r)
{
	struct http_header hd[] = { { STR_LIT("Warning"), STR_LIT("299 - \"a\r\nX-Evil: 1\"") } };
	struct http_resp resp = { .status = 204, .headers = hd, .n_headers = 1 };

	http_reply(r, &resp, STR_LIT(""));
}

static void h_who(struct http_req *r)
{
	const struct http_peer *p = http_req_peer(r);
	char text[200];

	snprintf(text, sizeof(text), "tls=%d cn=%s o=%s bad=%d", p->tls, p->cert_cn,
		 p->cert_orgs && p->cert_orgs[0] ? p->cert_orgs[0] : "", p->cert_bad);
	h_reply(r, 200, text);
}

/* /stream: what comes goes back as it comes. /sink: the answer is all there before the body is. */
static void h_stream_data(void *arg, struct http_req *r, struct str d)
{
	http_chunk(r, d);
	if (http_req_queued(r) > 100000)
		http_req_pause_body(r, true);
}

static void h_stream_end(void *arg, struct http_req *r)
{
	held = NULL;
	http_end(r);
}

static void h_stream_drain(void *arg)
{
	if (held)
		http_req_pause_body(held, false);
}

static void h_stream(struct http_req *r)
{
	int64_t n = http_req_head(r)->content_length;
	struct http_resp resp = { .status = 200, .content_type = "text/plain", .has_length = n >= 0, .length = n };

	held = r;
	http_req_on_gone(r, h_gone, &held);
	http_req_stream_body(r, h_stream_data, h_stream_end, NULL);
	http_begin(r, &resp);
	http_req_on_drain(r, h_stream_drain, NULL);
}

static void h_sink_data(void *arg, struct http_req *r, struct str d)
{
	http_req_on_gone(r, NULL, NULL);
	h_reply(r, 200, "enough");
}

static void h_sink_end(void *arg, struct http_req *r)
{
	h_reply(r, 200, "all");
}

static void on_request(void *arg, struct http_req *r)
{
	struct str path = http_req_head(r)->path;

	n_requests++;
	if (str_eqc(path, "/echo")) {
		http_req_on_gone(r, h_gone, &held);
		http_req_want_body(r, 1000, h_body, NULL);
	} else if (str_eqc(path, "/stream")) {
		h_stream(r);
	} else if (str_eqc(path, "/sink")) {
		http_req_on_gone(r, h_gone, &held);
		http_req_stream_body(r, h_sink_data, h_sink_end, NULL);
	} else if (str_eqc(path, "/hold")) {
		held = r;
		http_req_on_gone(r, h_gone, &held);
	} else if (str_eqc(path, "/watch")) {
		h_watch(r);
	} else if (str_eqc(path, "/upgrade")) {
		h_upgrade(r);
	} else if (str_eqc(path, "/big")) {
		h_big(r);
	} else if (str_eqc(path, "/header")) {
		h_header(r);
	} else if (str_eqc(path, "/who")) {
		h_who(r);
	} else if (str_eqc(path, "/abort")) {
		http_abort(r);
	} else {
		h_reply(r, 200, "hello");
	}
}

/* --- raw clients --- */

static int dial_to(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		perror("connect");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

static void turn(int n)
{
	while (n--)
		loop_turn(loop, 5);
}

/* Reads until `until` was seen, the end, or a while without anything. *eof says whether the end came. */
static char *slurp(int fd, const char *until, bool *eof)
{
	static char buf[1 << 20];
	size_t n = 0;
	int idle = 0;

	*eof = false;
	buf[0] = 0;
	while (idle < 40 && n < sizeof(buf) - 1) {
		ssize_t r = recv(fd, buf + n, sizeof(buf) - 1 - n, MSG_DONTWAIT);

		if (r == 0 || (r < 0 && errno != EAGAIN)) {
			*eof = true;
			break;
		}
		if (r > 0) {
			n += (size_t)r;
			buf[n] = 0;
			idle = 0;
			if (until && strstr(buf, until))
				break;
		} else {
			idle++;
			loop_turn(loop, 5);
		}
	}
	return buf;
}

static void put(int fd, const char *s)
{
	if (send(fd, s, strlen(s), MSG_NOSIGNAL) < 0)
		perror("send");
}

static char *ask(const char *request, const char *until, bool *eof)
{
	int fd = dial_to(plain_port);
	char *r;

	put(fd, request);
	r = slurp(fd, until, eof);
	close(fd);
	turn(3);
	return r;
}

static int count_str(const char *s, const char *what)
{
	int n = 0;

	while ((s = strstr(s, what)))
		n++, s += strlen(what);
	return n;
}

static void test_basics(void)
{
	bool eof;
	char *r = ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "hello", &eof);

	ok(strncmp(r, "HTTP/1.1 200 OK\r\n", 17) == 0 && strstr(r, "Content-Length: 5\r\n") && strstr(r, "Date: "), "a plain reply");
	ok(!eof && !strstr(r, "Connection:"), "the connection is kept");
	r = ask("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, &eof);
	ok(eof && strstr(r, "Connection: close\r\n") && strstr(r, "hello"), "Connection: close is obeyed");
	r = ask("GET / HTTP/1.0\r\n\r\n", NULL, &eof);
	ok(eof && strstr(r, "hello"), "HTTP/1.0 closes");
	r = ask("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n", &eof);
	ok(strstr(r, "Content-Length: 5\r\n") && !strstr(r, "hello"), "HEAD has a length and no body");
	r = ask("\r\nGET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HTTP/1.1\r\nHost: x\r\n"
		"Connection: close\r\n\r\n", NULL, &eof);
	is_int(count_str(r, "hello"), 3, "three pipelined requests are answered");
	r = ask("GET /header HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n\r\n", &eof);
	ok(strstr(r, "204 No Content") && !strstr(r, "\nX-Evil") && !strstr(r, "Content-Length"), "headers cannot be split; 204 has no length");
}

static void test_bodies(void)
{
	bool eof;
	char large[3000], *r;
	int fd;

	r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", "abc", &eof);
	ok(strstr(r, "200 OK") && strstr(r, "\r\n\r\nabc"), "a body with a length");
	r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", "abc", &eof);
	ok(strstr(r, "200 OK") && strstr(r, "\r\n\r\nabc"), "a chunked body");
	r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n", &eof);
	ok(strstr(r, "Content-Length: 0"), "an empty body");
	r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NULL, &eof);
	ok(strstr(r, "400 Bad Request") && eof, "a malformed chunk");
	r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", NULL, &eof);
	ok(strstr(r, "413 Request Entity Too Large") && eof, "a declared length over the limit");
	ok(strstr(r, "\"kind\":\"Status\"") && strstr(r, "Request entity too large: limit is 1000") &&
		   strstr(r, "\"reason\":\"RequestEntityTooLarge\",\"code\":413"), "is a Status");
	memset(large, 0x61, sizeof(large));
	snprintf(large, sizeof(large), "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%0*d", 2000, 2000, 1);
	r = ask(large, NULL, &eof);
	ok(strstr(r, "413 ") && eof, "a chunked body over the limit");
	r = ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345GET /who HTTP/1.1\r\nHost: x\r\n\r\n", "tls=", &eof);
	ok(strstr(r, "hello") && strstr(r, "tls=0"), "an unwanted body is skipped, the next request is read");
	fd = dial_to(plain_port);
	put(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
	r = slurp(fd, "\r\n\r\n", &eof);
	ok(strncmp(r, "HTTP/1.1 100 Continue\r\n\r\n", 25) == 0, "100-continue");
	put(fd, "xyz");
	r = slurp(fd, "xyz", &eof);
	ok(strstr(r, "200 OK") != NULL, "and the answer");
	close(fd);
	n_gone = 0;
	r = ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc", NULL, &eof);
	turn(3);
	is_int(n_gone, 1, "a truncated body: the user is told");
}

static void test_malformed(void)
{
	static const struct {
		const char *req;
		const char *want;
	} c[] = {
		{ "GARBAGE\r\n\r\n", "400 Bad" },
		{ "\x16\x03\x01\x02", "400 Bad" },
		{ "GET / HTTP/1.1\r\n\r\n", "400 Bad" },
		{ "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 Bad" },
		{ "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400 Bad" },
		{ "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", "400 Bad" },
		{ "GET / HTTP/1.1\nHost: a\r\n\r\n", "400 Bad" },
		{ "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505 " },
		{ "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400 Bad" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "400 Bad" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", "400 Bad" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Bad" },
		{ "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "501 " },
		{ "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", "413 " },
	};
	bool eof;

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		char *r = ask(c[i].req, NULL, &eof);

		if (!ok(strstr(r, c[i].want) && eof, c[i].want))
			printf("# case %zu: %s\n", i, r);
	}
	{
		char *huge = xmalloc(70000), *r;

		memset(huge, 'a', 70000);
		memcpy(huge, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
		huge[69999] = 0;
		r = ask(huge, NULL, &eof);
		ok(strstr(r, "431 ") && eof, "a head over the limit");
		memset(huge, 'a', 70000);
		memcpy(huge, "GET /", 5);
		huge[69999] = 0;
		r = ask(huge, NULL, &eof);
		ok(strstr(r, "414 ") && eof, "a target over the limit");
		free(huge);
	}
}

static void test_watch(void)
{
	bool eof;
	int fd = dial_to(plain_port);
	char *r;

	put(fd, "GET /watch HTTP/1.1\r\nHost: x\r\n\r\nGET /after HTTP/1.1\r\nHost: x\r\n\r\n");
	r = slurp(fd, "first", &eof);
	ok(strstr(r, "Transfer-Encoding: chunked\r\n") && strstr(r, "\r\n\r\n6\r\nfirst\n\r\n"), "a stream begins");
	n_requests = 0;
	turn(3);
	is_int(n_requests, 0, "the pipelined request waits");
	http_chunk(watching, STR_LIT("second\n"));
	http_chunk(watching, STR_LIT("third\n"));
	r = slurp(fd, "third", &eof);
	ok(strstr(r, "7\r\nsecond\n\r\n6\r\nthird\n") != NULL, "chunks arrive");
	http_end(watching);
	r = slurp(fd, "hello", &eof);
	ok(strstr(r, "0\r\n\r\nHTTP/1.1 200") && strstr(r, "hello"), "the end, and the next answer");
	put(fd, "GET /watch HTTP/1.1\r\nHost: x\r\n\r\n");
	slurp(fd, "first", &eof);
	n_gone = 0;
	close(fd);
	turn(5);
	ok(n_gone == 1 && !watching, "a watcher that leaves is noticed");
	fd = dial_to(plain_port);
	put(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
	turn(5);
	shutdown(fd, SHUT_WR);
	turn(5);
	ok(held != NULL, "half-closed: the request stands");
	h_reply(held, 200, "late");
	r = slurp(fd, NULL, &eof);
	ok(strstr(r, "late") && eof, "and is answered");
	close(fd);
}

static void test_greedy(void)
{
	static char drop[1 << 20];
	size_t got = 0, each = 0;
	bool eof;
	int fd = dial_to(plain_port), idle = 0;

	n_requests = 0;
	for (int i = 0; i < 6; i++)
		put(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
	turn(50);
	ok(n_requests < 4, "who does not read answers is not served on");
	while (idle < 20) {
		ssize_t n = recv(fd, drop, sizeof(drop), MSG_DONTWAIT);

		if (n > 0)
			got += (size_t)n;
		idle = n > 0 ? 0 : idle + 1;
		turn(1);
	}
	each = got / 6;
	ok(n_requests == 6 && got % 6 == 0 && each > sizeof(big) && each < sizeof(big) + 300, "until it does");
	put(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	ok(strstr(slurp(fd, "hello", &eof), "hello") != NULL, "and the connection lives on");
	close(fd);
	turn(3);
}

/* A client that sends on while its request is held: the server rests. */
static void test_pushy(void)
{
	static char drop[1 << 20];
	int fd = dial_to(plain_port), turns = 0;
	int64_t until;

	put(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
	for (int i = 0; i < 20; i++) {
		if (send(fd, drop, sizeof(drop), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
			break;
		turn(1);
	}
	until = time_mono_us() + 100000;
	while (time_mono_us() < until && turns < 1000) {
		loop_turn(loop, 5);
		turns++;
	}
	ok(turns < 100, "bytes behind a request that is held cost nothing");
	close(fd);
	turn(3);
	if (held) {
		http_req_on_gone(held, NULL, NULL);
		http_abort(held);
		held = NULL;
	}
	turn(3);
}

static void test_upgrade(void)
{
	bool eof;
	int fd = dial_to(plain_port);
	char *r;

	put(fd, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly");
	r = slurp(fd, "early", &eof);
	ok(strncmp(r, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nearly", 76) == 0, "upgraded, early bytes kept");
	put(fd, "more");
	r = slurp(fd, "more", &eof);
	is_str(r, "more", "echo");
	stream_close(echo, true);
	echo = NULL;
	r = slurp(fd, NULL, &eof);
	ok(eof, "closed in order");
	close(fd);
	turn(3);
}

static void test_adopt(void)
{
	int sv[2];
	bool eof;
	char *r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return;
	http_server_adopt(plain, sv[0], "inside");
	put(sv[1], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	r = slurp(sv[1], "hello", &eof);
	ok(strstr(r, "hello") != NULL, "a socketpair is served");
	close(sv[1]);
	turn(3);
	is_int(http_server_connections(plain), 0, "no connection is left");
}

/* --- the client --- */

struct result {
	int done, heads, status;
	char err[300];
	char body[200];
	size_t n;
	bool disorder;
	struct stream *up;
	struct http_exchange x;
};

static void r_done(struct http_exchange *x, const struct err *e)
{
	struct result *r = x->arg;

	r->done++;
	r->status = x->status;
	snprintf(r->err, sizeof(r->err), "%s", e ? err_msg(e) : "");
	if (!x->on_data) {
		snprintf(r->body, sizeof(r->body), "%s", x->resp_body.s);
		r->n = x->resp_body.len;
		buf_release(&x->resp_body);
	}
	r->up = x->upgraded;
}

static void r_head(struct http_exchange *x, const struct http_head *h)
{
	((struct result *)x->arg)->heads++;
}

static void r_data(struct http_exchange *x, struct str d)
{
	struct result *r = x->arg;

	if (r->n + d.n <= sizeof(big) && memcmp(big + r->n, d.p, d.n) != 0)
		r->disorder = true;
	r->n += d.n;
	if (d.n < sizeof(r->body))
		snprintf(r->body, sizeof(r->body), "%.*s", (int)d.n, d.p);
}

static struct result *start(struct http_client *c, const char *method, const char *target, const char *body, bool stream)
{
	struct result *r = xcalloc(1, sizeof(*r));
	static struct http_header up[] = { { STR_LIT("Connection"), STR_LIT("Upgrade") }, { STR_LIT("Upgrade"), STR_LIT("echo") } };

	r->x = (struct http_exchange){ .method = method, .target = target, .body = str_of(body), .on_head = r_head,
				       .on_done = r_done, .on_data = stream ? r_data : NULL, .max_body = 16 << 20, .arg = r };
	if (!strcmp(target, "/upgrade")) {
		r->x.headers = up;
		r->x.n_headers = 2;
	}
	http_client_send(c, &r->x);
	return r;
}

static struct result *finish(struct result *r)
{
	for (int i = 0; i < 1000 && !r->done; i++)
		loop_turn(loop, 5);
	return r;
}

static struct http_client *client_to(int port, struct tls *tls, const char *name)
{
	struct http_client_config cfg = { .loop = loop, .host = "127.0.0.1", .port = port, .tls = tls, .server_name = name };

	return http_client_new(&cfg);
}

static void test_client_calls(struct http_client *c, const char *what)
{
	struct result *r = finish(start(c, "GET", "/", "", false));

	ok(r->done == 1 && r->status == 200 && !strcmp(r->body, "hello") && r->heads == 1, what);
	free(r);
	r = finish(start(c, "POST", "/echo", "some body", false));
	is_str(r->body, "some body", "a body is sent and comes back");
	free(r);
	r = finish(start(c, "HEAD", "/", "", false));
	ok(r->status == 200 && r->n == 0, "HEAD");
	free(r);
	r = finish(start(c, "GET", "/big", "", true));
	ok(r->n == sizeof(big) && !r->disorder, "8 MiB streamed, in order");
	free(r);
	r = start(c, "GET", "/big", "", true);
	for (int i = 0; i < 200 && !r->heads; i++)
		loop_turn(loop, 5);
	http_exchange_pause(&r->x, true);
	turn(20);
	ok(!r->done, "paused");
	http_exchange_pause(&r->x, false);
	finish(r);
	ok(r->done && r->n == sizeof(big) && !r->disorder, "and resumed to the end, in order");
	free(r);
}

/* --- bodies that stream --- */

static size_t fed; /* of big */

static void feed(struct http_exchange *x)
{
	while (fed < sizeof(big) && http_exchange_queued(x) < 200000) {
		size_t n = sizeof(big) - fed < 33333 ? sizeof(big) - fed : 33333;

		http_exchange_write(x, str_n((char *)big + fed, n));
		fed += n;
	}
	if (fed == sizeof(big))
		http_exchange_write_end(x);
}

static struct result *start_body(struct http_client *c, const char *target, int64_t length)
{
	struct result *r = xcalloc(1, sizeof(*r));

	r->x = (struct http_exchange){ .method = "PUT", .target = target, .on_head = r_head, .on_done = r_done, .on_data = r_data,
				       .streams = true, .body_length = length, .on_drain = feed, .arg = r };
	fed = 0;
	http_client_send(c, &r->x);
	return r;
}

static void test_client_bodies(struct http_client *c, const char *what)
{
	struct result *r;

	for (int chunked = 0; chunked < 2; chunked++) {
		r = start_body(c, "/stream", chunked ? -1 : (int64_t)sizeof(big));
		feed(&r->x);
		finish(r);
		ok(r->status == 200 && r->n == sizeof(big) && !r->disorder && !r->err[0], what);
		free(r);
	}
	r = start_body(c, "/stream", -1);
	feed(&r->x);
	for (int i = 0; i < 200 && !r->n; i++)
		loop_turn(loop, 5);
	http_exchange_pause(&r->x, true);
	turn(50);
	ok(!r->done, "who does not read the answer waits");
	http_exchange_pause(&r->x, false);
	finish(r);
	ok(r->n == sizeof(big) && !r->disorder, "and then it goes on");
	free(r);
	r = start_body(c, "/sink", -1);
	feed(&r->x);
	finish(r);
	is_str(r->body, "enough", "an answer before the body's end");
	free(r);
	n_gone = 0;
	r = start_body(c, "/stream", 1000);
	http_exchange_write(&r->x, STR_LIT("only this"));
	for (int i = 0; i < 200 && !r->n; i++)
		loop_turn(loop, 5);
	http_client_cancel(&r->x);
	turn(20);
	is_int(n_gone, 1, "a body that ends too early: the server is told");
	free(r);
	r = finish(start(c, "GET", "/", "", false));
	is_str(r->body, "hello", "the client lives on");
	free(r);
}

static void test_streamed_raw(void)
{
	bool eof;
	int fd;
	char *r = ask("POST /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
		      "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "hello", &eof);

	ok(strstr(r, "abc") && strstr(r, "de") && strstr(r, "\r\n0\r\n\r\nHTTP/1.1 200") && !eof, "chunks, and the next request");
	r = ask("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n", "\r\n\r\n", &eof);
	ok(strstr(r, "HTTP/1.1 100 Continue\r\n\r\n") && !strstr(r, "close"), "100-continue");
	r = ask("POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", "hello", &eof);
	ok(strstr(r, "Content-Length: 0") && strstr(r, "hello"), "no body at all");
	n_gone = 0;
	r = ask("POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", NULL, &eof);
	ok(strstr(r, "400 Bad Request") && eof && n_gone == 1, "a malformed chunk before the answer");
	n_gone = 0;
	fd = dial_to(plain_port);
	put(fd, "POST /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
	r = slurp(fd, "\r\na\r\n", &eof);
	ok(strstr(r, "200 OK") != NULL, "an answer begins");
	put(fd, "zz\r\n");
	r = slurp(fd, NULL, &eof);
	close(fd);
	ok( !strstr(r, "\r\n0\r\n") && eof && n_gone == 1, "and after it: cut off");
	fd = dial_to(plain_port);
	put(fd, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
	shutdown(fd, SHUT_WR);
	r = slurp(fd, NULL, &eof);
	ok(strstr(r, "enough") && eof, "a half-closed client is answered");
	close(fd);
	turn(5);
}

static void test_client_streams(struct http_client *c)
{
	struct result *r = start(c, "GET", "/watch", "", true);

	for (int i = 0; i < 200 && !r->n; i++)
		loop_turn(loop, 5);
	is_str(r->body, "first\n", "a watch delivers");
	n_gone = 0;
	http_client_cancel(&r->x);
	turn(10);
	ok(!r->done && n_gone == 1, "cancelled: the server sees it, on_done is not called");
	free(r);
	r = finish(start(c, "GET", "/upgrade", "", false));
	ok(r->done && r->status == 101 && r->up, "an upgrade hands out a stream");
	stream_close(r->up, false);
	free(r);
	turn(5);
	ok(echo == NULL, "its end reaches the other side");
	r = finish(start(c, "GET", "/abort", "", false));
	ok(r->done && r->err[0], "an aborted connection is an error");
	free(r);
}

static void test_client(void)
{
	struct http_client *c = client_to(plain_port, NULL, NULL);
	struct result *r, *r2;

	test_client_calls(c, "the client gets an answer");
	is_int(http_server_connections(plain), 1, "over one connection");
	test_client_streams(c);
	test_client_bodies(c, "8 MiB there and back");
	test_streamed_raw();
	r = start(c, "GET", "/hold", "", false);
	r->x.timeout_ms = 1;
	http_client_cancel(&r->x);
	r->x.timeout_ms = 50;
	r2 = start(c, "GET", "/", "", false);
	http_client_send(c, &r->x);
	finish(r);
	finish(r2);
	ok(strstr(r->err, "no answer in time") && r2->status == 200, "a call times out, another does not");
	free(r);
	free(r2);
	r = start(c, "GET", "/hold", "", false);
	turn(5);
	c = http_client_free(c);
	ok(r->done && strstr(r->err, "closing"), "freeing the client ends its calls");
	free(r);
	turn(5);
	c = client_to(1, NULL, NULL);
	r = finish(start(c, "GET", "/", "", false));
	ok(strstr(r->err, "dial tcp 127.0.0.1:1: connect: connection refused") != NULL, r->err);
	free(r);
	http_client_free(c);
	{
		struct http_client_config cfg = { .loop = loop, .host = "localhost", .port = plain_port };

		c = http_client_new(&cfg);
		r = finish(start(c, "GET", "/", "", false));
		is_str(r->body, "hello", "a name is resolved off the loop");
		free(r);
		http_client_free(c);
	}
	turn(5);
}

static int dial_pair(void *arg)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return -errno;
	http_server_adopt(plain, sv[0], "pair");
	return sv[1];
}

static bool join_done;

static void on_join_done(void *arg)
{
	join_done = true;
}

static void test_join(void)
{
	struct http_client_config cfg = { .loop = loop, .host = "node", .dial = dial_pair };
	struct http_client *c = http_client_new(&cfg);
	struct result *r = finish(start(c, "GET", "/upgrade", "", false));
	int sv[2];
	static char block[100000], back[100000];
	size_t sent = 0, got = 0, total = 4 << 20;
	bool eof;

	ok(r->up != NULL, "upgraded over a dialled pair");
	if (!r->up || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return;
	stream_join(r->up, stream_new(loop, sv[0]), on_join_done, NULL);
	fcntl(sv[1], F_SETFL, O_NONBLOCK);
	memset(block, 'j', sizeof(block));
	while (got < total) {
		ssize_t n = sent < total ? send(sv[1], block, total - sent < sizeof(block) ? total - sent : sizeof(block), MSG_NOSIGNAL) : 0;

		if (n > 0)
			sent += (size_t)n;
		loop_turn(loop, 1);
		n = recv(sv[1], back, sizeof(back), 0);
		if (n > 0)
			got += (size_t)n;
	}
	is_int(got, total, "4 MiB went to the echo and back through the join");
	shutdown(sv[1], SHUT_WR);
	slurp(sv[1], NULL, &eof);
	turn(5);
	ok(eof && join_done && !echo, "one end closes all");
	close(sv[1]);
	free(r);
	http_client_free(c);
	turn(5);
}

/* --- TLS --- */

static void make_certs(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	const char *orgs[] = { "system:masters", NULL };
	const char *sans[] = { "localhost", "kubernetes.default.svc", "127.0.0.1", "::1", NULL };
	struct tls_cert_spec ca = { .common_name = "test-ca", .is_ca = true, .days = 3650 };
	struct tls_cert_spec srv = { .common_name = "kube-apiserver", .sans = sans, .server = true, .days = 365 };
	struct tls_cert_spec cli = { .common_name = "admin", .organizations = orgs, .client = true, .days = 365 };
	int r = 0;

	r |= tls_make_key(&ca_key, &e);
	r |= tls_make_cert(&ca_pem, &ca, ca_key, NULL, NULL, &e);
	r |= tls_make_key(&srv_key, &e);
	r |= tls_make_cert(&srv_pem, &srv, srv_key, ca_pem, ca_key, &e);
	r |= tls_make_key(&cli_key, &e);
	r |= tls_make_cert(&cli_pem, &cli, cli_key, ca_pem, ca_key, &e);
	ok(r == 0, "certificates are made");
}

static struct tls *tls_client(const char *cert, const char *key, const char *ca)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct tls_config cfg = { .cert_pem = cert, .key_pem = key, .ca_pem = ca };
	struct tls *t = NULL;

	if (tls_new(&t, &cfg, false, &e))
		printf("# %s\n", err_msg(&e));
	return t;
}

static void who(const char *cert, const char *key, const char *want, const char *what)
{
	struct tls *t = tls_client(cert, key, ca_pem);
	struct http_client *c = client_to(secure_port, t, NULL);
	struct result *r = finish(start(c, "GET", "/who", "", false));

	is_str(r->body, want, what);
	if (r->err[0])
		printf("# %s\n", r->err);
	free(r);
	http_client_free(c);
	tls_free(t);
	turn(5);
}

static void test_tls_refused(void)
{
	struct tls *t = tls_client(NULL, NULL, ca_pem);
	struct http_client *c = client_to(secure_port, t, "wrong.example");
	struct result *r = finish(start(c, "GET", "/", "", false));

	ok(strstr(r->err, "failed to verify certificate") && strstr(r->err, "ostname mismatch"), r->err);
	free(r);
	http_client_free(c);
	tls_free(t);
	t = tls_client(NULL, NULL, cli_pem);
	c = client_to(secure_port, t, NULL);
	r = finish(start(c, "GET", "/", "", false));
	ok(strstr(r->err, "failed to verify certificate") != NULL, r->err);
	free(r);
	http_client_free(c);
	tls_free(t);
	turn(5);
}

static void test_tls(void)
{
	_cleanup_free_ char *bad_pem = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	struct tls_cert_spec self = { .common_name = "intruder", .client = true, .days = 1 };
	struct tls *t = tls_client(cli_pem, cli_key, ca_pem);
	struct http_client *c = client_to(secure_port, t, "localhost");
	bool eof;
	int fd;
	char *r;

	test_client_calls(c, "over TLS");
	test_client_streams(c);
	http_client_free(c);
	tls_free(t);
	turn(5);
	who(cli_pem, cli_key, "tls=1 cn=admin o=system:masters bad=0", "the client certificate's names");
	who(NULL, NULL, "tls=1 cn= o= bad=0", "no certificate");
	ok(tls_make_cert(&bad_pem, &self, cli_key, NULL, NULL, &e) == 0, "a self-signed certificate");
	who(bad_pem, cli_key, "tls=1 cn= o= bad=1", "is seen as bad");
	test_tls_refused();
	fd = dial_to(secure_port);
	put(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	r = slurp(fd, NULL, &eof);
	is_str(r, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n", "HTTP on the TLS port");
	ok(eof, "and closed");
	close(fd);
	fd = dial_to(secure_port);
	put(fd, "\x01\x02garbage");
	slurp(fd, NULL, &eof);
	ok(eof, "garbage on the TLS port");
	close(fd);
	fd = dial_to(secure_port);
	ok(send(fd, "\x16\x03\x01\x00\x05hello and more garbage", 27, MSG_NOSIGNAL) == 27, "a TLS record of nonsense");
	slurp(fd, NULL, &eof);
	ok(eof, "a broken handshake");
	close(fd);
	turn(5);
	is_int(http_server_connections(secure), 0, "no connection is left");
}

static void test_crowd(void)
{
	enum { N = 300 };
	static int fds[N];
	bool eof;
	int got = 0;
	struct http_server_config cfg = { .loop = loop, .on_request = on_request, .max_connections = 100 };
	struct http_server *s = http_server_new(&cfg);
	_cleanup_err_ struct err e = ERR_INIT;
	int port;

	ok(http_server_listen(s, "127.0.0.1", 0, &port, &e) == 0, "a small server");
	for (int i = 0; i < N; i++) {
		fds[i] = dial_to(port);
		put(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
		turn(1);
	}
	turn(10);
	ok(http_server_connections(s) <= 100, "keeps to its limit");
	for (int i = 0; i < N; i++)
		got += strstr(slurp(fds[i], "hello", &eof), "hello") != NULL;
	is_int(got, N, "and serves everybody, at the cost of the idle");
	http_server_drain(s);
	turn(5);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	turn(5);
	is_int(http_server_connections(s), 0, "drained");
	http_server_free(s);
}

int main(void)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct http_server_config cfg = { .on_request = on_request };
	struct tls_config tc = { .ask_client_cert = true };
	struct tls *t = NULL;

	cfg.loop = loop = loop_new();
	log_threshold = getenv("HTTP_LOG") ? LOG_DEBUG : LOG_OFF;
	plain = http_server_new(&cfg);
	ok(http_server_listen(plain, "127.0.0.1", 0, &plain_port, &e) == 0, "listens");
	make_certs();
	tc.cert_pem = srv_pem;
	tc.key_pem = srv_key;
	tc.ca_pem = ca_pem;
	ok(tls_new(&t, &tc, true, &e) == 0, "a TLS context");
	cfg.tls = t;
	secure = http_server_new(&cfg);
	tls_free(t);
	ok(http_server_listen(secure, "127.0.0.1", 0, &secure_port, &e) == 0, "listens with TLS");
	ok(http_server_listen(plain, "127.0.0.1", plain_port, NULL, &e) < 0, err_msg(&e));
	test_basics();
	test_bodies();
	test_malformed();
	test_watch();
	test_greedy();
	test_pushy();
	test_upgrade();
	test_adopt();
	test_client();
	test_join();
	test_tls();
	test_crowd();
	turn(10);
	http_server_free(plain);
	http_server_free(secure);
	loop_free(loop);
	free(ca_key), free(ca_pem), free(srv_key), free(srv_pem), free(cli_key), free(cli_pem);
	return done_testing();
}
