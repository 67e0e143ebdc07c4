/*
 * What image's own files share.
 */
#ifndef IMAGE_INTERNAL_H
#define IMAGE_INTERNAL_H

#include "base/job.h"
#include "base/limits.h"
#include "base/map.h"
#include "doc/doc.h"
#include "image/image.h"

struct image_store {
	struct loop *loop;
	char *dir;
	VEC(struct image *) images;
	uint64_t index_ino; /* of the index.json that was read: another one was put there by another process */
	int64_t index_mtime_ns;
	struct job_queue *jobs; /* removal of big trees */
};

/* --- index.c --- */
int image_index_load(struct image_store *s, struct err *e) MUST_CHECK; /* when it changed */
int image_index_save(struct image_store *s, struct err *e) MUST_CHECK;
/* The store's lock: an fd to close, or < 0 with *e. Waits for other processes. */
int image_store_lock(struct image_store *s, struct err *e) MUST_CHECK;
/* Puts what the unpacking child made (its report) into the index. names: NULL-terminated array, owned by the caller. */
int image_index_add(struct image_store *s, const struct node *report, bool pinned, char ***ret_names,
		    struct err *e) MUST_CHECK;
void image_names_free(char **names);

/* --- unpack.c: the child; see its top for the protocol --- */
#define UNPACK_IN_FD 3
#define UNPACK_OUT_FD 4
/* Runs the child on an archive (fd) or on a directory of blobs tmp/<name>/ (fd -1). done gets its report. */
void image_unpack(struct image_store *s, int archive_fd, const char *tmp_name, const char *base_name,
		  void (*done)(void *arg, const struct node *report, const struct err *err), void *arg);
/* --- layer.c: one layer, in the child --- */
struct layer_limits {
	int64_t bytes_left; /* of all layers */
	int64_t entries_left;
};
/* Unpacks the blob (compressed or not) into a new directory dir_fd and checks its diff ID ("sha256:..."). */
int layer_unpack(int blob_fd, int dir_fd, const char *diff_id, struct layer_limits *lim, struct err *e) MUST_CHECK;

/* --- archive.c: the outer tar, in the child --- */
/* Extracts regular files below dir_fd as numbered files; *names maps member names to them (decimal strings). */
int archive_extract(int fd, int dir_fd, struct map *names, struct layer_limits *lim, struct err *e) MUST_CHECK;

#endif
