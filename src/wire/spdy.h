/*
 * SPDY/3.1 as a pure codec, both directions: what Kubernetes' exec, attach and
 * port-forward speak after "Upgrade: SPDY/3.1".
 *
 * Header blocks are compressed with one zlib stream for each direction and the
 * dictionary of the protocol, so every block must pass through the codec, also
 * those of streams that are refused. Data frames are given out in pieces as
 * they come; control frames come whole and are bounded.
 */
#ifndef WIRE_SPDY_H
#define WIRE_SPDY_H

#include "base/buf.h"

enum spdy_type {
	SPDY_DATA = 0, /* not the wire's: data frames have no type */
	SPDY_SYN_STREAM = 1,
	SPDY_SYN_REPLY = 2,
	SPDY_RST_STREAM = 3,
	SPDY_SETTINGS = 4,
	SPDY_PING = 6,
	SPDY_GOAWAY = 7,
	SPDY_HEADERS = 8,
	SPDY_WINDOW_UPDATE = 9,
};
enum { SPDY_FIN = 1, SPDY_UNIDIRECTIONAL = 2 }; /* flags */
enum { /* RST_STREAM */
	SPDY_RST_PROTOCOL_ERROR = 1,
	SPDY_RST_INVALID_STREAM = 2,
	SPDY_RST_REFUSED_STREAM = 3,
	SPDY_RST_CANCEL = 5,
	SPDY_RST_INTERNAL_ERROR = 6,
};
enum spdy_result { SPDY_MORE, SPDY_EVENT, SPDY_BAD };

struct spdy_pair {
	struct str name, value;
};
struct spdy_event {
	enum spdy_type type;
	uint8_t flags;
	uint32_t stream; /* PING: the id; GOAWAY: last good stream; SETTINGS: 0 */
	uint32_t value; /* RST_STREAM, GOAWAY: status; WINDOW_UPDATE: delta */
	uint32_t assoc; /* SYN_STREAM: associated stream */
	uint8_t priority; /* SYN_STREAM */
	struct str data; /* DATA: this piece */
	bool last; /* DATA: the frame's last piece (FIN counts only then) */
	const struct spdy_pair *headers; /* SYN_STREAM, SYN_REPLY, HEADERS */
	size_t n_headers;
	uint32_t initial_window; /* SETTINGS: if given, else 0 */
};

struct spdy_codec;
struct spdy_codec *spdy_codec_new(void);
struct spdy_codec *spdy_codec_free(struct spdy_codec *c);

/* Consumes from in up to one event, whose slices live until the next call. Frames of unknown type are skipped.
 * SPDY_BAD: the session cannot go on; *why (may be NULL) is a constant text. */
enum spdy_result spdy_read(struct spdy_codec *c, struct str in, size_t *consumed, struct spdy_event *ev,
			   const char **why);
/* The value of the first header of that name (lower case on the wire); {NULL,0} when absent. */
struct str spdy_event_header(const struct spdy_event *ev, const char *name);

void spdy_put_syn_stream(struct spdy_codec *c, struct buf *b, uint32_t stream, uint8_t flags,
			 const struct spdy_pair *headers, size_t n);
void spdy_put_syn_reply(struct spdy_codec *c, struct buf *b, uint32_t stream, uint8_t flags,
			const struct spdy_pair *headers, size_t n);
void spdy_put_rst_stream(struct buf *b, uint32_t stream, uint32_t status);
void spdy_put_initial_window(struct buf *b, uint32_t bytes); /* SETTINGS */
void spdy_put_ping(struct buf *b, uint32_t id);
void spdy_put_goaway(struct buf *b, uint32_t last_good, uint32_t status);
void spdy_put_window_update(struct buf *b, uint32_t stream, uint32_t delta);
#define SPDY_DATA_HEAD 8
#define SPDY_DATA_MAX 0xffffffu
void spdy_put_data_head(uint8_t out[SPDY_DATA_HEAD], uint32_t stream, uint8_t flags, uint32_t len);
void spdy_put_data(struct buf *b, uint32_t stream, uint8_t flags, struct str data);

#endif
