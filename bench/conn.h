/*
 * A blocking HTTP/1.1 connection to any Kubernetes API server, over TLS or
 * plain: what the bench programs share. It trusts whoever answers.
 */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target { /* --server, --token, --cert, --key */
	char host[256];
	char port[8];
	bool tls;
	const char *token, *cert, *key;
};
/* Reads the common options out of argv; returns the new argc. Dies on nonsense. */
int target_parse(struct target *t, int argc, char **argv);

struct conn;
struct conn *conn_open(const struct target *t);
void conn_close(struct conn *c);

struct reply {
	int status;
	char *body; /* owned by the connection, until the next request */
	size_t len;
};
/* One request and its whole answer. Dies when the connection breaks. */
struct reply conn_request(struct conn *c, const char *method, const char *path, const char *type, const char *body);
/* A watch: the head is read; then conn_line gives one event a line (NULL at the end). */
void conn_watch(struct conn *c, const char *path);
char *conn_line(struct conn *c);
/* Upgrades to a WebSocket of this subprotocol; then reads messages until the other side closes. */
bool conn_websocket(struct conn *c, const char *path, const char *protocol);
size_t conn_drain_websocket(struct conn *c); /* bytes of payload */

int64_t now_us(void);
/* Sorts; p in 0..100. */
int64_t percentile(int64_t *v, size_t n, double p);
/* "name value unit" on a line. */
void figure(const char *name, double value, const char *unit);
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
