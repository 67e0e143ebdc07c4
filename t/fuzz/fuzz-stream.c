/*
 * Whole connections: bytes into the HTTP server, and into exec, attach and
 * port-forward sessions behind an upgrade. The first byte picks which; its high
 * bits, how the node's side behaves.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "fuzz.h"
#include "http/remote.h"

#define WS_HEAD                                                                                       \
	"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"         \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: "
#define SPDY_HEAD "Host: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: "

static const char *const fuzz_heads[] = {
	"",
	"GET /exec?input=1&output=1&tty=1 HTTP/1.1\r\n" WS_HEAD "v5.channel.k8s.io\r\n\r\n",
	"GET /exec?input=1&output=1&error=1 HTTP/1.1\r\n" WS_HEAD "base64.channel.k8s.io\r\n\r\n",
	"POST /exec?input=1&output=1 HTTP/1.1\r\n" SPDY_HEAD "v4.channel.k8s.io\r\n\r\n",
	"POST /forward HTTP/1.1\r\n" SPDY_HEAD "portforward.k8s.io\r\n\r\n",
	"GET /forward HTTP/1.1\r\n" WS_HEAD "SPDY/3.1+portforward.k8s.io\r\n\r\n",
};

static struct loop *fuzz_loop;
static struct http_server *fuzz_server;
static struct remote *fuzz_session;
static struct portfwd *fuzz_forward;
static unsigned fuzz_mode;

static void fuzz_open(void *arg)
{
	remote_write(fuzz_session, REMOTE_STDOUT, STR_LIT("out"));
}

static size_t fuzz_stdin(void *arg, struct str d)
{
	if (fuzz_mode & 1)
		return d.n / 2;
	remote_write(fuzz_session, REMOTE_STDERR, d);
	return d.n;
}

static void fuzz_eof(void *arg)
{
	if (fuzz_mode & 2) {
		remote_exit(fuzz_session, 1);
		fuzz_session = NULL;
	}
}

static void fuzz_resize(void *arg, int cols, int rows)
{
	BUG_ON(cols < 1 || rows < 1 || cols > 65535 || rows > 65535);
}

static void fuzz_closed(void *arg)
{
	fuzz_session = NULL;
	fuzz_forward = NULL;
}

static const struct remote_ops fuzz_remote_ops = { fuzz_open, fuzz_stdin, fuzz_eof, fuzz_resize, NULL, fuzz_closed };

static size_t fuzz_pair_data(void *arg, struct str d)
{
	struct portfwd_conn *c = arg;

	if (fuzz_mode & 1)
		return d.n / 2;
	portfwd_write(c, d);
	return d.n;
}

static void fuzz_pair_eof(void *arg)
{
	portfwd_end(arg, NULL);
}

static void fuzz_pair_close(void *arg)
{
}

static const struct portfwd_conn_ops fuzz_pair_ops = { fuzz_pair_data, fuzz_pair_eof, NULL, fuzz_pair_close };

static void fuzz_pair(void *arg, struct portfwd_conn *c, int port)
{
	_cleanup_err_ struct err e = ERR_INIT;

	BUG_ON(port < 1 || port > 65535);
	if (fuzz_mode & 2) {
		err_set(&e, ERR_UNKNOWN, "refused");
		portfwd_end(c, &e);
		return;
	}
	portfwd_set(c, &fuzz_pair_ops, c);
}

static const struct portfwd_ops fuzz_forward_ops = { fuzz_pair, fuzz_closed };

static void fuzz_body(void *arg, struct http_req *r, struct str body)
{
	struct http_resp resp = { .status = 200 };

	http_reply(r, &resp, body);
}

static void fuzz_request(void *arg, struct http_req *r)
{
	const struct http_head *h = http_req_head(r);
	struct http_resp resp = { .status = 200 };
	struct remote_want want;
	_cleanup_err_ struct err e = ERR_INIT;

	if (str_eqc(h->path, "/forward") && !fuzz_forward && !fuzz_session)
		fuzz_forward = portfwd_accept(r, "p", &fuzz_forward_ops, NULL);
	else if (str_eqc(h->path, "/exec") && !fuzz_forward && !fuzz_session && !remote_want_parse(&want, h->query, &e))
		fuzz_session = remote_accept(r, want, &fuzz_remote_ops, NULL);
	else if (h->method.n == 4)
		http_req_want_body(r, 1000, fuzz_body, NULL);
	else
		http_reply(r, &resp, STR_LIT("ok"));
}

static void fuzz_set_up(void)
{
	struct http_server_config cfg = { .on_request = fuzz_request };

	log_threshold = LOG_OFF;
	fuzz_loop = cfg.loop = loop_new();
	fuzz_server = http_server_new(&cfg);
}

static void fuzz_send(int fd, const void *p, size_t n)
{
	char sink[65536];

	while (n) {
		ssize_t w = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (w < 0 && errno != EAGAIN)
			return;
		if (w > 0) {
			p = (const char *)p + w;
			n -= (size_t)w;
		}
		loop_turn(fuzz_loop, 0);
		if (recv(fd, sink, sizeof(sink), MSG_DONTWAIT) == 0 || (w < 0 && fuzz_mode & 1))
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char sink[65536];
	int sv[2];

	if (size < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return 0;
	if (!fuzz_loop)
		fuzz_set_up();
	fuzz_mode = data[0] >> 6;
	http_server_adopt(fuzz_server, sv[0], "fuzz");
	{
		const char *head = fuzz_heads[data[0] % 64 % ARRAY_SIZE(fuzz_heads)];

		fuzz_send(sv[1], head, strlen(head));
	}
	fuzz_send(sv[1], data + 1, size - 1);
	for (int i = 0; i < 4; i++) {
		loop_turn(fuzz_loop, 0);
		while (recv(sv[1], sink, sizeof(sink), MSG_DONTWAIT) > 0)
			;
	}
	close(sv[1]);
	if (fuzz_session && (fuzz_mode & 1)) {
		remote_abort(fuzz_session);
		fuzz_session = NULL;
	}
	for (int i = 0; i < 1000 && http_server_connections(fuzz_server); i++)
		loop_turn(fuzz_loop, 0);
	BUG_ON(http_server_connections(fuzz_server) || fuzz_session || fuzz_forward);
	return 0;
}
