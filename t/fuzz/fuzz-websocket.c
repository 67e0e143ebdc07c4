/*
 * WebSocket: the same messages come out however the bytes are cut. The first
 * byte says whether frames are masked.
 */
#include "fuzz.h"
#include "wire/websocket.h"

/* Payload bytes, message ends and control frames, in order. */
static void fuzz_read(struct str in, bool masked, size_t step, struct buf *out)
{
	struct ws_reader r = { .masked_input = masked, .max_frame = 1 << 20 };
	_cleanup_buf_ struct buf scratch = BUF_INIT;
	enum ws_result res = WS_MORE;
	bool inside = false;

	while (in.n || res == WS_EVENT) {
		struct ws_event ev;
		size_t used;
		struct str piece = str_sub(in, 0, step);

		res = ws_read(&r, piece, &used, &scratch, &ev);
		BUG_ON(used > piece.n);
		in = str_sub(in, used, in.n);
		if (res == WS_BAD) {
			BUG_ON(r.error < 1000);
			buf_addf(out, "!%d", r.error);
			return;
		}
		BUG_ON(res == WS_MORE && used < piece.n);
		if (res != WS_EVENT)
			continue;
		if (ev.opcode >= WS_CLOSE) {
			BUG_ON(ev.data.n > 125 || !ev.first || !ev.last);
			buf_addf(out, "(%d", ev.opcode);
			buf_addstr(out, ev.data);
			continue;
		}
		BUG_ON(ev.first == inside);
		inside = !ev.last;
		buf_addstr(out, ev.data);
		if (ev.last)
			buf_addf(out, ")%d", ev.opcode);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT, frame = BUF_INIT;
	static const uint8_t mask[4] = { 9, 8, 7, 6 };
	struct str in;

	if (size < 1)
		return 0;
	in = str_n((const char *)data + 1, size - 1);
	fuzz_read(in, data[0] & 1, (size_t)-1, &a);
	fuzz_read(in, data[0] & 1, 1 + data[0] / 2 % 16, &b);
	BUG_ON(!str_eq(buf_str(&a), buf_str(&b)));
	buf_clear(&a);
	ws_put(&frame, WS_BINARY, in, mask);
	fuzz_read(buf_str(&frame), true, (size_t)-1, &a);
	buf_clear(&b);
	buf_addstr(&b, in);
	buf_adds(&b, ")2");
	BUG_ON(!str_eq(buf_str(&a), buf_str(&b)));
	return 0;
}
