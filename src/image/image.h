/*
 * Images: references, the content store, import and pull, unpacked layers.
 *
 * Layout below the store's directory:
 *
 *	index.json          which names point to which images, and their layers
 *	blobs/sha256/<hex>  configs and manifests
 *	layers/<hex>/       unpacked layers by diff ID, shared between images, used
 *	                    as overlayfs lower directories
 *	holds/<holder>      the image that a container uses: it is not removed
 *	tmp/                what is being imported; emptied at start
 *	lock                held while index.json or layers change
 *
 * Several processes may open one store: index.json is read again when another
 * has replaced it. Layers are unpacked by a child process under a seccomp filter
 * without the privileges that it does not need.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include "base/err.h"
#include "base/loop.h"
#include "base/vec.h"
#include "base/buf.h"

/* --- references: "busybox", "localhost:5000/a/b:v1@sha256:..." --- */
struct image_ref {
	char *registry; /* "docker.io" */
	char *repository; /* "library/busybox" */
	char *tag; /* "latest"; NULL when only a digest was given */
	char *digest; /* "sha256:..." or NULL */
};
int image_ref_parse(struct image_ref *r, const char *text, struct err *e) MUST_CHECK; /* InvalidImageName */
void image_ref_release(struct image_ref *r);
char *image_ref_print(const struct image_ref *r); /* normalised, whole */

struct image_store;

/* What a container needs to know of an image; counted. */
struct image {
	unsigned refs;
	char *id; /* "sha256:<config digest>" */
	char **names; /* normalised references, NULL-terminated */
	char *repo_digest; /* "docker.io/library/x@sha256:..." or "" */
	char *manifest; /* "sha256:<manifest digest>" */
	char **layers; /* absolute directories, uppermost first; NULL-terminated */
	char **entrypoint, **cmd, **env; /* NULL-terminated; never NULL */
	char *user, *working_dir, *stop_signal; /* "" when not given */
	char **volumes;
	int64_t size; /* bytes of its blobs */
	int64_t created_s;
	bool pinned; /* imported from a file: never collected */
};
struct image *image_ref_image(struct image *i);
struct image *image_unref(struct image *i);

int image_store_open(struct image_store **ret, struct loop *l, const char *dir, struct err *e) MUST_CHECK;
struct image_store *image_store_close(struct image_store *s);
/* By reference, or by id or a prefix of it. NULL when not there. Referenced for the caller. */
struct image *image_find(struct image_store *s, const char *ref);
/* Calls f for each image. */
void image_each(struct image_store *s, void (*f)(void *arg, struct image *i), void *arg);

/* changed: the list of images is another, by this process or by another one. One watcher. */
int image_store_watch(struct image_store *s, void (*changed)(void *arg), void *arg, struct err *e) MUST_CHECK;
void image_store_unwatch(struct image_store *s);

/* A docker-save or OCI-layout tar, plain, gzip or zstd. Corrupt or hostile content fails whole: nothing stays.
 * done: the names imported (NULL-terminated, borrowed) or err. progress may be NULL. */
void image_import(struct image_store *s, const char *path, void (*progress)(void *arg, const char *what),
		  void (*done)(void *arg, char *const *names, const struct err *err), void *arg);
/* From a registry (OCI distribution API; anonymous and token authentication). done: the image is borrowed. Both calls
 * end by done, later, from the loop; or from image_store_close. */
void image_pull(struct image_store *s, const char *ref, void (*progress)(void *arg, const char *what),
		void (*done)(void *arg, struct image *i, const struct err *err), void *arg);
/* Forgets a name (or an id: all its names). An image without a name goes, with the layers that no other has,
 * unless somebody holds it: then the names go and ERR_CONFLICT says who. Removed texts ("Untagged: x",
 * "Deleted: sha256:...") are appended to report when it is not NULL. */
int image_remove(struct image_store *s, const char *ref, struct buf *report, struct err *e) MUST_CHECK;
/* A container uses the image: it stays until image_unhold. Both survive restarts; holder is a file name. */
int image_hold(struct image_store *s, const struct image *i, const char *holder, struct err *e) MUST_CHECK;
void image_unhold(struct image_store *s, const char *holder);
/* All holders for which drop says so. */
void image_unhold_if(struct image_store *s, bool (*drop)(void *arg, const char *holder), void *arg);

/* Entry of the unpacking child: `kinglet internal unpack`. */
int image_unpack_main(int argc, char **argv);

#endif
