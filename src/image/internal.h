/*
 * What image's own files share.
 *
 * Who holds which lock:
 *	lock        exclusive, milliseconds: while index.json, layers/, blobs/ or holds/ change
 *	layers/     shared, as long as something is imported: a layer that an import found in its
 *	            place stays there; whoever wants to remove layers takes it exclusively, or does not
 *	tmp/NAME/   exclusive, by the import that made it: what is not locked is a leftover
 */
#ifndef IMAGE_INTERNAL_H
#define IMAGE_INTERNAL_H

#include "base/job.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/proc.h"
#include "base/tree.h"
#include "doc/doc.h"
#include "image/image.h"

#define INDEX_MAX_BYTES (16u << 20)
#define IMAGE_LOCK_MS 3000

struct unpack;
struct pull;
struct gc;
struct push;
struct folder;
struct fetch;
struct registries;

struct image_store {
	struct loop *loop;
	char *dir;
	VEC(struct image *) images;
	uint64_t index_ino; /* of the index.json that was read: another one was put there by another process */
	int64_t index_mtime_ns;
	struct loop_fd *watch; /* watch.c; NULL: nobody asked */
	int watch_fd;
	void (*watch_changed)(void *arg);
	void *watch_arg;
	bool closing;
	struct gc *gc; /* the collection under way */
	bool index_bad; /* what is there now can't be read */
	struct job_queue *jobs; /* removal of big trees */
	struct job_queue *io; /* writing and hashing of what comes; NULL before the first transfer */
	LIST_HEAD(, unpack) unpacks;
	TAILQ_HEAD(, pull) pulls; /* in the order in which they were asked for */
	TAILQ_HEAD(, fetch) fetches; /* likewise */
	LIST_HEAD(, push) pushes;
	struct folder *folder; /* NULL: nobody asked */
	struct image_limits limits;
	char *registries_path; /* NULL: none */
	struct registries *registries;
	uint64_t registries_ino; /* of the file that was read, good or bad */
	int64_t registries_mtime_ns;
};

/* --- store.c --- */
char *image_path(const struct image_store *s, const char *sub, const char *name); /* DIR/sub/name */
/* The store's lock: an fd to close, or < 0 with *e. Waits for other processes, not for long. */
int image_store_lock(struct image_store *s, struct err *e) MUST_CHECK;
/* Removes layers and blobs that no image needs, unless something is imported. The lock is held. */
void image_sweep(struct image_store *s);
bool image_held(const struct image_store *s, const char *id, struct buf *by); /* by: may be NULL */
void image_each_holder(const struct image_store *s, const char *id, void (*f)(void *arg, const char *holder), void *arg);
struct map *image_held_ids(const struct image_store *s); /* keys: all that somebody holds; the caller's */
/* What registries.yaml says now; borrowed; NULL: nothing. */
struct registries *image_store_registries(struct image_store *s);
/* Images without a name that nobody holds leave the list: true when there were some. The lock is held. */
bool image_drop_nameless(struct image_store *s);

/* A directory below tmp/ of one's own, and what has to be held while it is used. */
struct image_tmp {
	char *name;
	int lock_fd, layers_fd;
};
#define IMAGE_TMP_INIT { NULL, -1, -1 }
int image_tmp_make(struct image_store *s, struct image_tmp *t, struct err *e) MUST_CHECK;
void image_tmp_remove(struct image_store *s, struct image_tmp *t); /* in the background; *t is empty afterwards */

/* --- index.c --- */
struct image *image_new(void);
int image_index_load(struct image_store *s, struct err *e) MUST_CHECK; /* when it changed */
int image_index_save(struct image_store *s, struct err *e) MUST_CHECK; /* the lock is held */
/* Puts what the unpacking child made (its report, and tmp/NAME/) into the store. *ret_names: NULL-terminated, to be
 * freed with image_names_free; *ret_id: the first image. */
enum { INDEX_PIN = 1, INDEX_KEEP_BLOBS = 2 };
int image_index_add(struct image_store *s, const char *tmp_name, const struct node *report, int flags,
		    char ***ret_names, char **ret_id, struct err *e) MUST_CHECK;
void image_names_free(char **names);
void image_drop_name(struct image *i, size_t at);
void image_add_name(struct image *i, const char *name);
void image_take_name(struct image_store *s, const struct image *owner, const char *name); /* from all others */
void image_clear_blobs(struct image *i);

/* --- import.c: the child as its parent sees it --- */
#define UNPACK_IN_FD 3
#define UNPACK_OUT_FD 4
#define UNPACK_LOCK_FD 5
#define UNPACK_REPORT_MAX (8u << 20)
/* Runs the child on an archive (archive_fd, borrowed) or, with -1, on a layout whose files the caller has put into
 * tmp/NAME/in/ (index.json, and blobs under their hexadecimal digests). done gets its report, once; it is called from
 * the loop, never from within. */
struct unpack *image_unpack(struct image_store *s, int archive_fd, const struct image_tmp *tmp, const char *base_name,
			    void (*progress)(void *arg, const char *what),
			    void (*done)(void *arg, const struct node *report, const struct err *err), void *arg);
void image_unpack_cancel(struct unpack *u); /* done will not be called */
void image_unpack_close(struct unpack *u); /* the store is closed: done gets an error */

/* --- pull.c --- */
void image_pull_close(struct pull *p); /* likewise */

/* --- push.c --- */
void image_push_close(struct push *p); /* likewise */

/* --- gc.c --- */
void image_gc_close(struct image_store *s);

/* --- folder.c --- */
void image_folder_changed(struct image_store *s, const char *name); /* a file was closed after writing, or moved here */
void image_folder_free(struct folder *f);

/* --- fetch.c --- */
#define PARTIAL_KEEP_S 3600
struct remote;
/* Brings a blob to the path dest, whole and checked; done comes once, later. got counts its bytes as they come. */
struct fetch *fetch_new(struct image_store *s, struct remote *r, const char *digest, int64_t size, const char *dest,
			void (*got)(void *arg, int64_t bytes), void (*done)(void *arg, const struct err *err), void *arg);
void fetch_cancel(struct fetch *f); /* no callback any more; what has come is kept for another time */
/* Removes what is older than PARTIAL_KEEP_S (all: everything) and in nobody's hands. */
void fetch_sweep(struct image_store *s, bool all);

/* --- sandbox.c: the child locks itself in --- */
int sandbox_enter(const char *dir, struct err *e) MUST_CHECK; /* dir becomes the root */

/* --- layer.c: one layer, in the child --- */
struct layer_limits {
	int64_t bytes_left; /* of all layers, unpacked; holes count */
	int64_t stream_left; /* of all that is decompressed */
	int64_t entries_left;
};
/* The directories of the layers under it, lowest first. */
struct layer_below {
	const int *fds;
	size_t n;
};
/* Unpacks the blob (compressed or not) into a new directory dir_fd and checks its diff ID ("sha256:..."). *ret_depends:
 * on other layers it would have become another directory. */
int layer_unpack(int blob_fd, int dir_fd, const char *diff_id, const struct layer_below *below,
		 struct layer_limits *lim, bool *ret_depends, struct err *e) MUST_CHECK;

/* --- archive.c: the outer tar, in the child --- */
/* Extracts regular files below dir_fd as numbered files; *names maps member names to them (decimal strings). */
int archive_extract(int fd, int dir_fd, struct map *names, struct layer_limits *lim, struct err *e) MUST_CHECK;

#endif
