/*
 * What `kinglet image` shows: the progress of a pull, sizes, descriptions.
 */
#ifndef CLI_IMAGE_VIEW_H
#define CLI_IMAGE_VIEW_H

#include "image/image.h"

/* Progress on stderr: on a terminal a bar for each layer that is redrawn, else a line for each step. */
struct image_view {
	bool terminal;
	int drawn; /* lines that are redrawn */
};
void image_view_init(struct image_view *v);
void image_view_show(struct image_view *v, const struct image_progress *p);
void image_view_end(struct image_view *v); /* what is drawn stays */

/* As crictl prints sizes: decimal units, three digits. Owned by the caller. */
char *image_size_text(int64_t bytes);

/* `ls --json`, in crictl's form, and `inspect`: appended with a newline. */
void image_view_list(struct image_store *s, struct buf *out);
int image_view_inspect(struct image_store *s, char *const *refs, int n, struct buf *out, struct err *e) MUST_CHECK;

#endif
