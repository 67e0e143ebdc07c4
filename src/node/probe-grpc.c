/*
 * grpc: grpc.health.v1.Health/Check of a service, over HTTP/2 without TLS; the
 * answer SERVING is a success. One call on one connection:
 *
 *	POST /grpc.health.v1.Health/Check	content-type: application/grpc
 *	request   0x00, length (4 bytes), HealthCheckRequest { service = 1 }
 *	response  0x00, length (4 bytes), HealthCheckResponse { status = 1 }
 *	trailers  grpc-status, grpc-message (percent-encoded)
 *
 * The texts are those of the kubelet's prober.
 */
#include <errno.h>
#include <unistd.h>

#include "http/dial.h"
#include "node/nghttp2.h"
#include "node/probe.h"

#define ANSWER_BYTES 1024

struct grpc {
	struct probe_try *try;
	struct loop *loop;
	struct dial *dial;
	nghttp2_session *session;
	int fd;
	struct loop_fd *watch;
	char *addr;
	struct buf request, answer;
	size_t sent;	 /* bytes of the request that the session took */
	const uint8_t *out; /* what the socket did not take yet; the session's */
	size_t out_len;
	int http_status, status; /* -1: none came */
	char *message;
};

static void grpc_free(void *impl)
{
	struct grpc *g = impl;

	dial_cancel(g->dial);
	dial_release(g->loop);
	loop_fd_free(g->watch);
	close_fd(g->fd);
	if (g->session)
		ng.nghttp2_session_del(g->session);
	buf_release(&g->request);
	buf_release(&g->answer);
	free(g->addr);
	free(g->message);
	free(g);
}

/* --- what came --- */

static const char *code_name(int code)
{
	static const char *const names[] = {
		"OK",		    "Canceled",		 "Unknown",	       "InvalidArgument",
		"DeadlineExceeded", "NotFound",		 "AlreadyExists",      "PermissionDenied",
		"ResourceExhausted", "FailedPrecondition", "Aborted",	       "OutOfRange",
		"Unimplemented",    "Internal",		 "Unavailable",	       "DataLoss",
		"Unauthenticated"};

	return code >= 0 && (size_t)code < ARRAY_SIZE(names) ? names[code] : "Unknown";
}

enum { CODE_DEADLINE = 4, CODE_UNIMPLEMENTED = 12 };

/* What a plain HTTP error means for gRPC. */
static int code_of_http(int status)
{
	static const int map[][2] = {{400, 13}, {401, 16}, {403, 7}, {404, 12}, {429, 14}, {502, 14}, {503, 14}, {504, 14}};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (map[i][0] == status)
			return map[i][1];
	return 2;
}

static void grpc_failed(struct grpc *g, int code, const char *message)
{
	if (code == CODE_UNIMPLEMENTED)
		try_end(g->try, PROBE_FAILED,
			"error: this server does not implement the grpc health protocol "
			"(grpc.health.v1.Health): %s",
			message);
	else if (code == CODE_DEADLINE)
		try_end(g->try, PROBE_FAILED, "timeout: health rpc did not complete within %llds",
			(long long)(g->try->timeout_ms / SEC_MS));
	else
		try_end(g->try, PROBE_FAILED, "error: health rpc probe failed: rpc error: code = %s desc = %s",
			code_name(code), message);
}

static uint64_t varint(const uint8_t **p, const uint8_t *end)
{
	uint64_t v = 0;

	for (int shift = 0; *p < end && shift < 64; shift += 7) {
		uint8_t b = *(*p)++;

		v |= (uint64_t)(b & 0x7f) << shift;
		if (!(b & 0x80))
			break;
	}
	return v;
}

/* HealthCheckResponse.status; 0 (UNKNOWN) when it is left out. -1: no such message. */
static int serving_status(struct str answer)
{
	const uint8_t *p = (const uint8_t *)answer.p, *end = p + answer.n;
	int status = 0;

	if (answer.n < 5 || p[0] != 0)
		return -1;
	p += 5;
	while (p < end) {
		uint64_t tag = varint(&p, end), n;

		switch (tag & 7) {
		case 0:
			n = varint(&p, end);
			if (tag >> 3 == 1)
				status = n < 100 ? (int)n : 0;
			break;
		case 2:
			n = varint(&p, end);
			p = n > (uint64_t)(end - p) ? end : p + n;
			break;
		default:
			return -1;
		}
	}
	return status;
}

static void grpc_judge(struct grpc *g)
{
	static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
	_cleanup_free_ char *text = NULL;
	int serving;

	if (g->http_status != 200 && g->status < 0) {
		text = xasprintf("unexpected HTTP status code received from server: %d (%s)", g->http_status,
				 http_status_text(g->http_status));
		grpc_failed(g, code_of_http(g->http_status), text);
		return;
	}
	if (g->status != 0) {
		grpc_failed(g, g->status < 0 ? 13 : g->status,
			    g->status < 0 ? "server closed the stream without sending trailers"
			    : g->message  ? g->message
					  : "");
		return;
	}
	serving = serving_status(buf_str(&g->answer));
	if (serving == 1)
		try_end(g->try, PROBE_OK, "service healthy");
	else if (serving < 0)
		grpc_failed(g, 13, "the server's answer is no HealthCheckResponse");
	else
		try_end(g->try, PROBE_FAILED, "service unhealthy (responded with \"%s\")",
			(size_t)serving < ARRAY_SIZE(names) ? names[serving] : "UNKNOWN");
}

static char *percent_decode(struct str s)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < s.n; i++) {
		char hex[3] = "";

		if (s.p[i] == '%' && i + 2 < s.n) {
			memcpy(hex, s.p + i + 1, 2);
			buf_addch(&b, (char)strtol(hex, NULL, 16));
			i += 2;
		} else {
			buf_addch(&b, s.p[i]);
		}
	}
	return buf_detach(&b, NULL);
}

static int on_header(nghttp2_session *s UNUSED, const nghttp2_frame *f UNUSED, const uint8_t *name, size_t n,
		     const uint8_t *value, size_t len, uint8_t flags UNUSED, void *arg)
{
	struct grpc *g = arg;
	struct str key = str_n((const char *)name, n), v = str_n((const char *)value, len);
	int64_t number;

	if (str_eqc(key, ":status") && str_to_i64(v, &number)) {
		g->http_status = (int)number;
	} else if (str_eqc(key, "grpc-status") && str_to_i64(v, &number) && number >= 0) {
		g->status = number < 1000 ? (int)number : 2;
	} else if (str_eqc(key, "grpc-message")) {
		free(g->message);
		g->message = percent_decode(v.n < ANSWER_BYTES ? v : str_n(v.p, ANSWER_BYTES));
	}
	return 0;
}

static int on_data(nghttp2_session *s UNUSED, uint8_t flags UNUSED, int32_t stream UNUSED, const uint8_t *data,
		   size_t len, void *arg)
{
	struct grpc *g = arg;

	if (g->answer.len + len > ANSWER_BYTES)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	buf_add(&g->answer, data, len);
	return 0;
}

static int on_close(nghttp2_session *s UNUSED, int32_t stream UNUSED, uint32_t error UNUSED, void *arg)
{
	grpc_judge(arg);
	return 0;
}

/* --- the connection --- */

static void grpc_broken(struct grpc *g, const char *why)
{
	loop_fd_set(g->watch, 0);
	if (g->http_status)
		grpc_failed(g, 14, why);
	else
		try_end(g->try, PROBE_FAILED, "error: failed to connect service at \"%s\": %s", g->addr, why);
}

/* Everything the session has to say goes out; what does not fit waits. False: broken. */
static bool grpc_write(struct grpc *g)
{
	for (;;) {
		ssize_t n;

		if (!g->out_len) {
			n = ng.nghttp2_session_mem_send(g->session, &g->out);
			if (n < 0)
				return false;
			if (n == 0)
				return true;
			g->out_len = (size_t)n;
		}
		n = write(g->fd, g->out, g->out_len);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		g->out += n;
		g->out_len -= (size_t)n;
	}
}

/* False: broken, or over. */
static bool grpc_read(struct grpc *g, const char **why)
{
	uint8_t block[4096];
	ssize_t n = read(g->fd, block, sizeof(block)), r;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		*why = n ? strerror(errno) : "error reading server preface: EOF";
		return false;
	}
	r = ng.nghttp2_session_mem_recv(g->session, block, (size_t)n);
	if (r < 0)
		*why = ng.nghttp2_strerror((int)r);
	return r >= 0 && !g->try->ended;
}

static void grpc_ready(void *arg, int what)
{
	struct grpc *g = arg;
	const char *why = "connection lost";

	if (((what & LOOP_READ) && !grpc_read(g, &why)) || !grpc_write(g)) {
		grpc_broken(g, why);
		return;
	}
	if (!ng.nghttp2_session_want_read(g->session)) { /* the session gave up */
		grpc_broken(g, "error reading server preface: not HTTP/2");
		return;
	}
	loop_fd_set(g->watch, LOOP_READ | (g->out_len ? LOOP_WRITE : 0));
}

static ssize_t body_read(nghttp2_session *s UNUSED, int32_t stream UNUSED, uint8_t *out, size_t max, uint32_t *flags,
			 nghttp2_data_source *source, void *arg UNUSED)
{
	struct grpc *g = source->ptr;
	size_t n = g->request.len - g->sent;

	n = n < max ? n : max;
	memcpy(out, g->request.s + g->sent, n);
	g->sent += n;
	if (g->sent == g->request.len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

static bool grpc_begin(struct grpc *g)
{
	const nghttp2_nv headers[] = {header(":method", "POST"),
				      header(":scheme", "http"),
				      header(":path", "/grpc.health.v1.Health/Check"),
				      header(":authority", g->addr),
				      header("content-type", "application/grpc"),
				      header("user-agent", "kube-probe/1.36"),
				      header("te", "trailers")};
	nghttp2_data_provider body = {.source.ptr = g, .read_callback = body_read};
	nghttp2_session_callbacks *cb;

	if (ng.nghttp2_session_callbacks_new(&cb) != 0)
		return false;
	ng.nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	ng.nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
	ng.nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
	if (ng.nghttp2_session_client_new(&g->session, cb, g) != 0)
		g->session = NULL;
	ng.nghttp2_session_callbacks_del(cb);
	return g->session && ng.nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, NULL, 0) == 0 &&
	       ng.nghttp2_submit_request(g->session, NULL, headers, ARRAY_SIZE(headers), &body, NULL) > 0;
}

static void grpc_dialed(void *arg, int fd_take, const struct err *e)
{
	struct grpc *g = arg;

	g->dial = NULL;
	if (e) { /* the kubelet tries on until the time is over; this says the same sooner */
		try_end(g->try, PROBE_FAILED, "%s", g->try->timeout_text);
		return;
	}
	g->fd = fd_take;
	g->watch = loop_fd_new(g->loop, g->fd, LOOP_READ | LOOP_WRITE, grpc_ready, g);
	try_timeout_text(g->try, "timeout: health rpc did not complete within %llds",
			 (long long)(g->try->timeout_ms / SEC_MS));
	if (!grpc_begin(g))
		grpc_broken(g, "out of memory");
}

/* HealthCheckRequest behind its prefix. */
static void request_make(struct buf *b, const char *service)
{
	size_t n = strlen(service), len = n ? 1 + (n < 128 ? 1 : 2) + n : 0;
	const uint8_t prefix[5] = {0, 0, 0, (uint8_t)(len >> 8), (uint8_t)len};

	buf_add(b, prefix, sizeof(prefix));
	if (!n)
		return;
	buf_addch(b, 0x0a);
	if (n >= 128)
		buf_addch(b, (char)(n & 0x7f) | (char)0x80);
	buf_addch(b, (char)(n < 128 ? n : n >> 7));
	buf_add(b, service, n);
}

void try_grpc(struct probe_try *t, const struct node *action)
{
	const char *host = probe_host(t->ctr, NULL), *service = node_gets(action, F_service);
	int port = probe_port(t->ctr, node_get(action, F_port));
	_cleanup_err_ struct err e = ERR_INIT;
	struct grpc *g;

	if (nghttp2_load(&e) < 0) {
		try_end(t, PROBE_ERROR, "%s", err_msg(&e));
		return;
	}
	if (port < 0 || strlen(service) > 16000) {
		try_end(t, PROBE_ERROR, "%s", port < 0 ? "invalid port" : "the service's name is too long");
		return;
	}
	g = xcalloc(1, sizeof(*g));
	g->try = t;
	g->loop = t->ctr->pod->agent->loop;
	g->fd = g->status = -1;
	g->addr = xasprintf(strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
	buf_init(&g->request);
	buf_init(&g->answer);
	request_make(&g->request, service);
	t->impl = g;
	t->impl_free = grpc_free;
	try_timeout_text(t, "timeout: failed to connect service \"%s\" within %llds: context deadline exceeded",
			 g->addr, (long long)(t->timeout_ms / SEC_MS));
	dial_hold(g->loop);
	g->dial = dial_start(g->loop, host, port, (int)t->timeout_ms, grpc_dialed, g);
}
