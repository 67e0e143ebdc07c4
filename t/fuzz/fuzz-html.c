/*
 * Links of HTML pages: the same page comes out however the bytes are cut, and it
 * is the page that went in with nothing but the prefix put in and the host left
 * out. The first byte says how the bytes are cut.
 */
#include "fuzz.h"
#include "wire/html.h"

static void fuzz_feed(struct str in, size_t step, const char *prefix, struct buf *out)
{
	struct html_links h = { .base = { str_of(prefix), STR_LIT("10.0.0.1:80"), STR_LIT("h") } };

	buf_init(&h.tag);
	for (; in.n; in = str_sub(in, step, in.n))
		html_links_feed(&h, str_sub(in, 0, step), out);
	html_links_end(&h, out);
}

/* Is `part` what is left of `whole` when bytes are left out? */
static bool fuzz_is_within(struct str part, struct str whole)
{
	size_t k = 0;

	for (size_t i = 0; i < whole.n && k < part.n; i++)
		k += whole.p[i] == part.p[k];
	return k == part.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_buf_ struct buf a = BUF_INIT, b = BUF_INIT;
	struct str in;

	if (size < 1)
		return 0;
	in = str_n((const char *)data + 1, size - 1);
	fuzz_feed(in, (size_t)-1, "/a/proxy", &a);
	fuzz_feed(in, 1 + data[0] % 16, "/a/proxy", &b);
	BUG_ON(!str_eq(buf_str(&a), buf_str(&b)));
	buf_clear(&b);
	fuzz_feed(in, (size_t)-1, "", &b);
	BUG_ON(!fuzz_is_within(buf_str(&b), in));
	BUG_ON(!fuzz_is_within(buf_str(&b), buf_str(&a)));
	return 0;
}
