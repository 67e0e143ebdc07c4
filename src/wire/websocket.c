/*
 * WebSocket frames: see websocket.h.
 */
#include "wire/websocket.h"

#include "base/digest.h"

#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define WS_FIN 0x80
#define WS_RSV 0x70
#define WS_MASKED 0x80
#define WS_NO_CODE 1005

void ws_mask(uint8_t *p, size_t n, const uint8_t mask[4], uint8_t *at)
{
	uint8_t k = *at;

	for (size_t i = 0; i < n; i++)
		p[i] ^= mask[k++ & 3];
	*at = k & 3;
}

static enum ws_result ws_bad(struct ws_reader *r, int code)
{
	r->error = code;
	return WS_BAD;
}

/* How long the head is, as far as its first bytes tell. */
static size_t ws_head_length(const struct ws_reader *r)
{
	size_t n = 2;

	if (r->head_n < 2)
		return n;
	if ((r->head[1] & 0x7f) == 126)
		n += 2;
	else if ((r->head[1] & 0x7f) == 127)
		n += 8;
	return r->head[1] & WS_MASKED ? n + 4 : n;
}

static bool ws_is_control(uint8_t op)
{
	return op >= WS_CLOSE;
}

/* The payload's length, shortest form only; false when malformed. */
static bool ws_payload_length(const struct ws_reader *r, uint64_t *ret)
{
	uint64_t v = r->head[1] & 0x7f, min = 0;
	int bytes = v == 126 ? 2 : v == 127 ? 8 : 0;

	if (bytes) {
		min = bytes == 2 ? 126 : 65536;
		v = 0;
		for (int i = 0; i < bytes; i++)
			v = v << 8 | r->head[2 + i];
	}
	*ret = v;
	return v >= min && !(v >> 63);
}

/* Checks a complete head and enters its frame. 0 or a close code. */
static int ws_begin_frame(struct ws_reader *r)
{
	uint8_t op = r->head[0] & 0x0f;

	r->fin = r->head[0] & WS_FIN;
	if ((r->head[0] & WS_RSV) || !ws_payload_length(r, &r->left) || !!(r->head[1] & WS_MASKED) != r->masked_input)
		return WS_CLOSE_PROTOCOL;
	if (ws_is_control(op)) {
		if (op > WS_PONG || !r->fin || r->left > sizeof(r->control))
			return WS_CLOSE_PROTOCOL;
	} else if (op > WS_BINARY || (op == WS_CONT) != (r->message_op != 0)) {
		return WS_CLOSE_PROTOCOL;
	} else if (r->max_frame && r->left > r->max_frame) {
		return WS_CLOSE_TOO_BIG;
	}
	if (op == WS_TEXT || op == WS_BINARY) {
		r->message_op = op;
		r->begun = false;
	}
	r->frame_op = op;
	r->in_frame = true;
	r->control_n = 0;
	r->mask_at = 0;
	if (r->masked_input)
		memcpy(r->mask, r->head + r->head_n - 4, 4);
	r->head_n = 0;
	return 0;
}

static int ws_close_code(const struct ws_reader *r)
{
	return r->control_n >= 2 ? r->control[0] << 8 | r->control[1] : WS_NO_CODE;
}

static enum ws_result ws_control(struct ws_reader *r, struct str in, size_t *consumed, struct ws_event *ev)
{
	size_t n = in.n < r->left ? in.n : (size_t)r->left;

	memcpy(r->control + r->control_n, in.p ? in.p : "", n);
	if (r->masked_input)
		ws_mask(r->control + r->control_n, n, r->mask, &r->mask_at);
	r->control_n += n;
	r->left -= n;
	*consumed += n;
	if (r->left)
		return WS_MORE;
	r->in_frame = false;
	if (r->frame_op == WS_CLOSE && r->control_n == 1)
		return ws_bad(r, WS_CLOSE_PROTOCOL);
	*ev = (struct ws_event){ .opcode = r->frame_op, .first = true, .last = true };
	ev->data = str_n((char *)r->control, r->control_n);
	if (r->frame_op == WS_CLOSE)
		ev->close_code = ws_close_code(r);
	return WS_EVENT;
}

static enum ws_result ws_data(struct ws_reader *r, struct str in, size_t *consumed, struct buf *out, struct ws_event *ev)
{
	size_t n = in.n < r->left ? in.n : (size_t)r->left;

	if (n == 0 && r->left)
		return WS_MORE;
	buf_clear(out);
	buf_add(out, in.p, n);
	if (r->masked_input)
		ws_mask((uint8_t *)out->s, n, r->mask, &r->mask_at);
	r->left -= n;
	*consumed += n;
	r->in_frame = r->left > 0;
	*ev = (struct ws_event){ .opcode = r->message_op, .data = buf_str(out) };
	ev->first = !r->begun;
	ev->last = r->fin && r->left == 0;
	r->begun = true;
	if (ev->last)
		r->message_op = 0;
	return WS_EVENT;
}

enum ws_result ws_read(struct ws_reader *r, struct str in, size_t *consumed, struct buf *out, struct ws_event *ev)
{
	*consumed = 0;
	if (r->error)
		return WS_BAD;
	if (!r->in_frame) {
		int code;

		while (r->head_n < ws_head_length(r)) {
			if (*consumed == in.n)
				return WS_MORE;
			r->head[r->head_n++] = (uint8_t)in.p[(*consumed)++];
		}
		code = ws_begin_frame(r);
		if (code)
			return ws_bad(r, code);
	}
	in = str_sub(in, *consumed, in.n);
	if (ws_is_control(r->frame_op))
		return ws_control(r, in, consumed, ev);
	return ws_data(r, in, consumed, out, ev);
}

size_t ws_put_head(uint8_t out[WS_HEAD_MAX], enum ws_opcode op, bool fin, uint64_t len, const uint8_t mask[4])
{
	size_t n = 2;
	int bytes = len < 126 ? 0 : len < 65536 ? 2 : 8;

	out[0] = (uint8_t)(op | (fin ? WS_FIN : 0));
	out[1] = (uint8_t)((bytes == 0 ? len : bytes == 2 ? 126 : 127) | (mask ? WS_MASKED : 0));
	for (int i = bytes - 1; i >= 0; i--)
		out[n++] = (uint8_t)(len >> (8 * i));
	if (mask) {
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

void ws_put(struct buf *b, enum ws_opcode op, struct str payload, const uint8_t mask[4])
{
	uint8_t head[WS_HEAD_MAX], at = 0;
	size_t start;

	buf_add(b, head, ws_put_head(head, op, true, payload.n, mask));
	start = b->len;
	buf_add(b, payload.p, payload.n);
	if (mask)
		ws_mask((uint8_t *)b->s + start, payload.n, mask, &at);
}

void ws_put_close(struct buf *b, int code, const uint8_t mask[4])
{
	char text[2] = { (char)(code >> 8), (char)code };

	ws_put(b, WS_CLOSE, str_n(text, sizeof(text)), mask);
}

void ws_accept_key(struct str key, char out[WS_ACCEPT_LEN])
{
	_cleanup_buf_ struct buf b = BUF_INIT, text = BUF_INIT;
	uint8_t sum[DIGEST_SHA1_LEN];

	buf_addstr(&b, key);
	buf_adds(&b, WS_GUID);
	digest_sha1(buf_str(&b), sum);
	buf_add_base64(&text, sum, sizeof(sum), false);
	memcpy(out, text.s, WS_ACCEPT_LEN);
}
