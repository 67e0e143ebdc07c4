/*
 * SPDY: the same frames come out however the bytes are cut; header blocks that
 * were read can be written and read again.
 */
#include "fuzz.h"
#include "wire/spdy.h"

static void fuzz_again(const struct spdy_event *ev)
{
	struct spdy_codec *a = spdy_codec_new(), *b = spdy_codec_new();
	_cleanup_buf_ struct buf w = BUF_INIT;
	struct spdy_event back;
	size_t used;

	spdy_put_syn_stream(a, &w, ev->stream, ev->flags, ev->headers, ev->n_headers);
	/* What compressed well for its writer may pass the limit of a frame in our small window. */
	if (w.len < 32768) {
		BUG_ON(spdy_read(b, buf_str(&w), &used, &back, NULL) != SPDY_EVENT || used != w.len);
		BUG_ON(back.n_headers != ev->n_headers || back.stream != ev->stream);
		for (size_t i = 0; i < ev->n_headers; i++)
			BUG_ON(!str_eq(ev->headers[i].name, back.headers[i].name) ||
			       !str_eq(ev->headers[i].value, back.headers[i].value));
	}
	spdy_codec_free(a);
	spdy_codec_free(b);
}

static void fuzz_read(struct str in, size_t step, struct buf *out, bool again)
{
	struct spdy_codec *c = spdy_codec_new();
	enum spdy_result res = SPDY_MORE;

	while (in.n || res == SPDY_EVENT) {
		struct str piece = str_sub(in, 0, step);
		struct spdy_event ev;
		const char *why;
		size_t used;

		res = spdy_read(c, piece, &used, &ev, &why);
		BUG_ON(used > piece.n);
		in = str_sub(in, used, in.n);
		if (res == SPDY_BAD) {
			buf_addf(out, "!%s", why);
			break;
		}
		BUG_ON(res == SPDY_MORE && used < piece.n);
		if (res != SPDY_EVENT)
			continue;
		buf_addstr(out, ev.data);
		if (ev.type != SPDY_DATA || ev.last)
			buf_addf(out, "<%d %u %d %u %zu>", ev.type, ev.stream, ev.flags, ev.value, ev.n_headers);
		if (again && ev.type == SPDY_SYN_STREAM)
			fuzz_again(&ev);
	}
	spdy_codec_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;
	struct str in = str_n((const char *)data, size);

	fuzz_read(in, (size_t)-1, &a, true);
	fuzz_read(in, 1 + size % 13, &b, false);
	BUG_ON(!str_eq(buf_str(&a), buf_str(&b)));
	return 0;
}
