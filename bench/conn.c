/*
 * See conn.h. Kept apart from src/ on purpose: what measures the server shares
 * no code with it.
 */
#include "conn.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct conn {
	const struct target *t;
	int fd;
	SSL *ssl;
	char *in; /* bytes read and not used */
	size_t len, cap, pos;
	char *body;
	size_t body_cap;
	bool chunked;
	size_t chunk_left;
};

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int cmp_i64(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

int64_t percentile(int64_t *v, size_t n, double p)
{
	size_t i = n ? (size_t)((double)(n - 1) * p / 100 + 0.5) : 0;

	qsort(v, n, sizeof(*v), cmp_i64);
	return n ? v[i] : 0;
}

void figure(const char *name, double value, const char *unit)
{
	printf("%-32s %14.3f %s\n", name, value, unit);
	fflush(stdout);
}

static void target_server(struct target *t, const char *url)
{
	const char *p = url, *colon;

	t->tls = strncmp(url, "http://", 7) != 0;
	if (strstr(url, "://"))
		p = strstr(url, "://") + 3;
	colon = strrchr(p, ':');
	if (!colon || (size_t)(colon - p) >= sizeof(t->host) || strlen(colon + 1) >= sizeof(t->port))
		die("--server %s: use https://HOST:PORT", url);
	memcpy(t->host, p, (size_t)(colon - p));
	t->host[colon - p] = '\0';
	strcpy(t->port, colon + 1);
	t->port[strcspn(t->port, "/")] = '\0';
}

int target_parse(struct target *t, int argc, char **argv)
{
	int out = 1;

	memset(t, 0, sizeof(*t));
	target_server(t, "https://127.0.0.1:6443");
	for (int i = 1; i < argc; i++) {
		if (i + 1 < argc && strcmp(argv[i], "--server") == 0)
			target_server(t, argv[++i]);
		else if (i + 1 < argc && strcmp(argv[i], "--token") == 0)
			t->token = argv[++i];
		else if (i + 1 < argc && strcmp(argv[i], "--cert") == 0)
			t->cert = argv[++i];
		else if (i + 1 < argc && strcmp(argv[i], "--key") == 0)
			t->key = argv[++i];
		else
			argv[out++] = argv[i];
	}
	argv[out] = NULL;
	return out;
}

static SSL_CTX *conn_ctx(const struct target *t)
{
	static SSL_CTX *ctx;

	if (ctx)
		return ctx;
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	if (t->cert && (SSL_CTX_use_certificate_chain_file(ctx, t->cert) != 1 ||
			SSL_CTX_use_PrivateKey_file(ctx, t->key ? t->key : t->cert, SSL_FILETYPE_PEM) != 1))
		die("the client certificate '%s' can't be used", t->cert);
	return ctx;
}

struct conn *conn_open(const struct target *t)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *a;
	struct conn *c = calloc(1, sizeof(*c));
	int one = 1;

	c->t = t;
	if (getaddrinfo(t->host, t->port, &hints, &a) != 0)
		die("'%s' is unknown", t->host);
	c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, a->ai_addr, a->ai_addrlen) < 0)
		die("connect to %s:%s failed", t->host, t->port);
	freeaddrinfo(a);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (t->tls) {
		c->ssl = SSL_new(conn_ctx(t));
		SSL_set_fd(c->ssl, c->fd);
		if (SSL_connect(c->ssl) != 1)
			die("the TLS handshake with %s:%s failed", t->host, t->port);
	}
	return c;
}

void conn_close(struct conn *c)
{
	if (c->ssl)
		SSL_free(c->ssl);
	close(c->fd);
	free(c->in);
	free(c->body);
	free(c);
}

static void conn_send(struct conn *c, const char *p, size_t n)
{
	while (n) {
		ssize_t k = c->ssl ? SSL_write(c->ssl, p, (int)n) : write(c->fd, p, n);

		if (k <= 0)
			die("the connection broke while sending");
		p += k;
		n -= (size_t)k;
	}
}

/* Reads more; false at the end. */
static bool conn_fill(struct conn *c)
{
	ssize_t k;

	if (c->pos) {
		memmove(c->in, c->in + c->pos, c->len - c->pos);
		c->len -= c->pos;
		c->pos = 0;
	}
	if (c->cap - c->len < 16384) {
		c->cap = c->cap ? c->cap * 2 : 65536;
		c->in = realloc(c->in, c->cap);
	}
	k = c->ssl ? SSL_read(c->ssl, c->in + c->len, (int)(c->cap - c->len)) : read(c->fd, c->in + c->len, c->cap - c->len);
	if (k <= 0)
		return false;
	c->len += (size_t)k;
	return true;
}

/* The next line without its end, terminated in place. */
static char *conn_head_line(struct conn *c)
{
	char *nl;

	while (!(nl = c->len > c->pos ? memchr(c->in + c->pos, '\n', c->len - c->pos) : NULL))
		if (!conn_fill(c))
			return NULL;
	char *line = c->in + c->pos;

	c->pos = (size_t)(nl - c->in) + 1;
	*nl = '\0';
	if (nl > line && nl[-1] == '\r')
		nl[-1] = '\0';
	return line;
}

static void conn_ask(struct conn *c, const char *method, const char *path, const char *type, const char *body,
		     const char *more)
{
	size_t n = body ? strlen(body) : 0, cap = 4096 + strlen(path) + (c->t->token ? strlen(c->t->token) : 0);
	char *head = malloc(cap + n);
	int k = snprintf(head, cap,
			 "%s %s HTTP/1.1\r\nHost: %s:%s\r\nAccept: application/json\r\n%s%s%s%s%s%s%sContent-Length: %zu\r\n\r\n",
			 method, path, c->t->host, c->t->port, c->t->token ? "Authorization: Bearer " : "",
			 c->t->token ? c->t->token : "", c->t->token ? "\r\n" : "", type ? "Content-Type: " : "",
			 type ? type : "", type ? "\r\n" : "", more, n);

	memcpy(head + k, body ? body : "", n);
	conn_send(c, head, (size_t)k + n);
	free(head);
}

/* Status; *length: -1 for chunked or until the end. */
static int conn_read_head(struct conn *c, long long *length)
{
	char *line = conn_head_line(c);
	int status;

	if (!line || sscanf(line, "HTTP/1.%*d %d", &status) != 1)
		die("no HTTP answer");
	*length = -1;
	c->chunked = false;
	c->chunk_left = 0;
	while ((line = conn_head_line(c)) && *line) {
		if (strncasecmp(line, "Content-Length:", 15) == 0)
			*length = atoll(line + 15);
		else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
			c->chunked = true;
	}
	return status;
}

static void conn_body_add(struct conn *c, size_t at, size_t n)
{
	if (at + n + 1 > c->body_cap) {
		c->body_cap = (at + n + 1) * 2;
		c->body = realloc(c->body, c->body_cap);
	}
	while (n) {
		size_t have = c->len - c->pos;

		if (!have) {
			if (!conn_fill(c))
				die("the answer ended too soon");
			continue;
		}
		if (have > n)
			have = n;
		memcpy(c->body + at, c->in + c->pos, have);
		c->pos += have;
		at += have;
		n -= have;
	}
	c->body[at] = '\0';
}

struct reply conn_request(struct conn *c, const char *method, const char *path, const char *type, const char *body)
{
	struct reply r = { 0 };
	long long length;

	conn_ask(c, method, path, type, body, "");
	r.status = conn_read_head(c, &length);
	if (!c->chunked) {
		conn_body_add(c, 0, length > 0 ? (size_t)length : 0);
		r.len = length > 0 ? (size_t)length : 0;
	} else {
		char *line;
		size_t n;

		while ((line = conn_head_line(c)) && (n = strtoul(line, NULL, 16)) > 0) {
			conn_body_add(c, r.len, n);
			r.len += n;
			conn_head_line(c);
		}
		conn_head_line(c);
	}
	r.body = c->body;
	return r;
}

void conn_watch(struct conn *c, const char *path)
{
	long long length;
	int status;

	conn_ask(c, "GET", path, NULL, NULL, "");
	status = conn_read_head(c, &length);
	if (status != 200)
		die("watch %s: HTTP %d", path, status);
}

/* One byte of the (chunked) body; -1 at the end. */
static int conn_byte(struct conn *c)
{
	if (c->chunked && !c->chunk_left) {
		char *line = conn_head_line(c);

		if (line && !*line)
			line = conn_head_line(c);
		if (!line || !(c->chunk_left = strtoul(line, NULL, 16)))
			return -1;
	}
	if (c->pos == c->len && !conn_fill(c))
		return -1;
	if (c->chunked)
		c->chunk_left--;
	return (unsigned char)c->in[c->pos++];
}

char *conn_line(struct conn *c)
{
	size_t n = 0;
	int b;

	while ((b = conn_byte(c)) >= 0 && b != '\n') {
		if (n + 2 > c->body_cap) {
			c->body_cap = c->body_cap ? c->body_cap * 2 : 4096;
			c->body = realloc(c->body, c->body_cap);
		}
		c->body[n++] = (char)b;
	}
	if (b < 0 && !n)
		return NULL;
	c->body[n] = '\0';
	return c->body;
}

bool conn_websocket(struct conn *c, const char *path, const char *protocol)
{
	char more[512];
	long long length;

	snprintf(more, sizeof(more),
		 "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n",
		 protocol);
	conn_ask(c, "GET", path, NULL, NULL, more);
	return conn_read_head(c, &length) == 101;
}

static int conn_raw(struct conn *c)
{
	if (c->pos == c->len && !conn_fill(c))
		return -1;
	return (unsigned char)c->in[c->pos++];
}

size_t conn_drain_websocket(struct conn *c)
{
	size_t total = 0;

	for (;;) {
		int op = conn_raw(c), b = conn_raw(c), bytes = 0;
		uint64_t n;

		if (op < 0 || b < 0)
			return total;
		n = (uint64_t)b & 127;
		if (n >= 126) {
			bytes = n == 126 ? 2 : 8;
			for (n = 0; bytes; bytes--)
				n = n << 8 | (uint64_t)conn_raw(c);
		}
		total += n;
		for (; n; n--)
			if (conn_raw(c) < 0)
				return total;
		if ((op & 15) == 8)
			return total;
	}
}
