/*
 * The links of an HTML page moved below another path, as what proxies a server
 * under a prefix must do: bytes in and out, no I/O. And one link alone.
 */
#ifndef WIRE_HTML_H
#define WIRE_HTML_H

#include "base/buf.h"

/* Where the page comes from, and where its server's paths are to be found instead. */
struct html_base {
	struct str prefix; /* "/a/b": no slash at its end, and nothing that HTML would have to quote */
	struct str host; /* "10.0.0.1:8080": whom the page was asked of */
	struct str asked; /* the Host that was named in doing so */
};
/* A link to an absolute path on host or asked gets the prefix, unless it has it; host is left out then, asked stays.
 * All others (relative, elsewhere, no URL at all) are appended as they are. */
void html_link(const struct html_base *base, struct str url, struct buf *out);

struct html_links { /* all zero but for base and tag (buf_init): at a page's beginning */
	struct html_base base;
	/* private */
	int state;
	char quote; /* in a tag: inside a value that ends with it */
	bool value; /* in a tag: behind "=" */
	struct str raw; /* the element whose end is waited for: "script" */
	size_t match; /* of "</script" or "-->", bytes seen */
	struct buf tag; /* a start tag as far as it has come */
};
/* Appends in, with its links changed. A tag that is not complete is held back, but no more than 64 KiB of it. */
void html_links_feed(struct html_links *h, struct str in, struct buf *out);
void html_links_end(struct html_links *h, struct buf *out); /* what was held back; releases */
void html_links_release(struct html_links *h);

#endif
