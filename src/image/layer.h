/*
 * What the files about one layer share (in the unpacking child).
 */
#ifndef IMAGE_LAYER_H
#define IMAGE_LAYER_H

#include <sys/stat.h>

#include "image/internal.h"
#include "image/manifest.h"

#define LAYER_BLOCK (256 << 10)
#define LAYER_NAME_MAX 4096

/* --- layer-stream.c: the layer's bytes, decompressed and hashed by a thread of their own --- */
struct layer_stream;
/* fd is borrowed. More than *left bytes are an error; at the end *left is what remained. */
struct layer_stream *layer_stream_open(int fd, int64_t *left);
/* The next bytes, which stay until the next call; 0 at the end, < 0: see layer_stream_error. */
ssize_t layer_stream_read(struct layer_stream *s, const void **ret_bytes);
const char *layer_stream_error(const struct layer_stream *s);
void layer_stream_digest(struct layer_stream *s, char out[DIGEST_TEXT_LEN + 1]); /* "sha256:...", after the end */
struct layer_stream *layer_stream_close(struct layer_stream *s);

/* --- layer-below.c: what a name stands for in the image as it is so far --- */
struct layer_view {
	int own; /* the layer that is being made, above the others; -1: without it */
	const struct layer_below *below;
};
struct layer_place {
	int parent; /* opened directory in the layer that has it; -1: nothing is there */
	const char *base; /* in the path that was looked up */
	struct stat st;
};
/* path: clean, and without links but in the last place. 0, -ENOENT, or another -errno. */
int layer_find(const struct layer_view *v, const char *path, struct layer_place *ret);
void layer_place_release(struct layer_place *p);
/* A directory's path without links in it; what is missing stays as it is. 0 or -errno. */
int layer_resolve(const struct layer_view *v, const char *path, struct buf *out);
bool layer_stat_is_whiteout(const struct stat *st);
bool layer_xattr_wanted(const char *name);
void layer_xattrs_copy(int from, int to);

#endif
