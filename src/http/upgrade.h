/*
 * Private to src/http: taking a request over to WebSocket or SPDY, and a SPDY
 * connection on top of a stream, direct or tunnelled in WebSocket messages.
 */
#ifndef HTTP_UPGRADE_H
#define HTTP_UPGRADE_H

#include "http/internal.h"
#include "wire/spdy.h"
#include "wire/websocket.h"

bool upgrade_is_websocket(const struct http_head *h);
/* Picks the first protocol that the client names and we have (index in *ret; -1 if it named none and none_ok).
 * Answers 101 and returns the stream, or answers an error and returns NULL; the request is gone either way. */
struct stream *upgrade_websocket(struct http_req *r, const char *const *protocols, bool none_ok, int *ret);
struct stream *upgrade_spdy(struct http_req *r, const char *const *protocols, int *ret);
void upgrade_refuse(struct http_req *r, int status, const char *text);

struct spdy_conn;
struct spdy_conn_ops {
	/* The client opens a stream (ev holds its headers); false refuses it. Must not write or end anything. */
	bool (*on_open)(void *arg, const struct spdy_event *ev);
	void (*on_data)(void *arg, uint32_t stream, struct str data, bool fin);
	void (*on_reset)(void *arg, uint32_t stream);
	void (*on_drain)(void *arg);
	void (*on_close)(void *arg); /* the client is gone or broke the protocol; the connection is gone after */
};
/* tunnelled: SPDY's bytes are the payload of binary WebSocket messages. */
struct spdy_conn *spdy_conn_new(struct stream *s_take, bool tunnelled, const struct spdy_conn_ops *ops, void *arg);
void spdy_conn_write(struct spdy_conn *c, uint32_t stream, struct str data, bool fin);
void spdy_conn_reset(struct spdy_conn *c, uint32_t stream, uint32_t status);
void spdy_conn_pause(struct spdy_conn *c, bool paused);
size_t spdy_conn_queued(const struct spdy_conn *c);
/* orderly: GOAWAY, flush, close. No callback follows. */
void spdy_conn_end(struct spdy_conn *c, bool orderly);

/* Appends a whole server's WebSocket frame. */
void ws_stream_write(struct stream *s, enum ws_opcode op, struct str a, struct str b);
void ws_stream_close(struct stream *s, int code); /* a close frame, then an orderly end */

#endif
