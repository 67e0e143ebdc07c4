/*
 * WebSocket (RFC 6455) as a pure codec, both directions and both roles.
 *
 * Messages are not gathered: ws_read gives out each piece of payload as it
 * comes, unmasked, with marks for a message's first and last piece, so that no
 * memory is tied to a length that the peer chose. Control frames (at most 125
 * bytes) come whole, also between the pieces of a message.
 */
#ifndef WIRE_WEBSOCKET_H
#define WIRE_WEBSOCKET_H

#include "base/buf.h"

enum ws_opcode { WS_CONT = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };
enum ws_result { WS_MORE, WS_EVENT, WS_BAD };
enum { WS_CLOSE_NORMAL = 1000, WS_CLOSE_GOING_AWAY = 1001, WS_CLOSE_PROTOCOL = 1002, WS_CLOSE_TOO_BIG = 1009 };

struct ws_event {
	enum ws_opcode opcode; /* of the message: TEXT or BINARY also for its continuations; or a control frame's */
	bool first, last; /* piece of the message; both for control frames */
	struct str data; /* valid until the next call */
	int close_code; /* CLOSE: the peer's, 1005 when it gave none */
};

/* Zero-initialised; then masked_input and max_frame are set. */
struct ws_reader {
	bool masked_input; /* frames must be masked (we are the server), or must not be */
	uint64_t max_frame; /* payload of one frame; 0: any */
	/* out, after WS_BAD: what to close with */
	int error;
	/* private */
	uint8_t head[14], head_n, mask[4], mask_at, frame_op, message_op, control_n;
	bool in_frame, fin, begun;
	uint64_t left;
	uint8_t control[125];
};

/* Consumes from in up to one event. out is scratch for its data. */
enum ws_result ws_read(struct ws_reader *r, struct str in, size_t *consumed, struct buf *out, struct ws_event *ev);

/* Writes a frame's head; returns its length. mask NULL: not masked (a server's). */
#define WS_HEAD_MAX 14
size_t ws_put_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode op, bool fin, uint64_t len, const uint8_t mask[4]);
/* Appends a whole frame. */
void ws_put(struct buf *b, enum ws_opcode op, struct str payload, const uint8_t mask[4]);
void ws_put_close(struct buf *b, int code, const uint8_t mask[4]);
/* XORs p with the mask, of which *at bytes (mod 4) were used before. */
void ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], uint8_t *at);
/* Sec-WebSocket-Accept for a Sec-WebSocket-Key. */
#define WS_ACCEPT_LEN (28 + 1)
void ws_accept_key(struct str key, char out[WS_ACCEPT_LEN]);

#endif
