/*
 * Images: references, the content store, import and pull, unpacked layers.
 *
 * Layout below the store's directory:
 *
 *	*.tar ...           archives that somebody put there to be imported
 *	index.json          which names point to which images, and their layers
 *	blobs/sha256/<hex>  configs and manifests; compressed layers of images that keep them
 *	layers/<hex>/       unpacked layers by diff ID, shared between images, used
 *	                    as overlayfs lower directories; one that counts on
 *	                    those below it by a digest of all (unpack.c)
 *	partial/<hex>       transfers that broke off: the next pull goes on from there
 *	holds/<holder>      the image that a container uses: it is not removed
 *	used/<hex>          its time: when the last holder of an image let it go
 *	tmp/                what is being imported; emptied at start
 *	lock                held while index.json or layers change
 *
 * Several processes may open one store: index.json is read again when another
 * has replaced it.
 *
 * Only the unpacked layers are needed to run. The compressed ones cost a third to half as much again (busybox: 1.1 MB
 * beside 2.1; Debian's /usr/bin with Python and Perl: 195 MB beside 538), and unpacked files can't be made into the same compressed bytes again, so that export
 * and push would have to change every digest. Who pulls or imports by hand keeps them (image_pull_opts.keep_blobs),
 * what is pulled for pods does not; the garbage collector takes them first.
 *
 * Layers are unpacked by a child process under a seccomp filter
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
	char **blobs; /* digests of the compressed layers, lowest first, when they were kept; else empty */
	int64_t size; /* bytes of its blobs */
	int64_t created_s;
	int64_t added_s; /* when it came here */
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

/* Imports the archives that lie in the store's directory, and those that come to lie there while it is watched; see
 * folder.c. */
void image_folder_start(struct image_store *s);
int image_pin(struct image_store *s, const char *id, struct err *e) MUST_CHECK; /* never collected from now on */

/* A docker-save or OCI-layout tar, plain, gzip or zstd. Corrupt or hostile content fails whole: nothing stays.
 * done: the names imported (NULL-terminated, borrowed) or err, later, from the loop. progress may be NULL. */
enum { IMAGE_IMPORT_PIN = 1 /* the garbage collector does not touch it */, IMAGE_IMPORT_KEEP_BLOBS = 2 };
void image_import(struct image_store *s, const char *path, int flags, void (*progress)(void *arg, const char *what),
		  void (*done)(void *arg, char *const *names, const struct err *err), void *arg);

/* --- pulling --- */

/* Credentials as image pull secrets have them; counted. */
struct image_keyring;
struct image_keyring *image_keyring_new(void);
struct image_keyring *image_keyring_ref(struct image_keyring *k);
struct image_keyring *image_keyring_unref(struct image_keyring *k); /* NULL accepted */
/* The JSON of a Secret's .dockerconfigjson (wrapped) or .dockercfg. source: what image_pulled.source says when one of
 * these credentials has served. */
int image_keyring_add(struct image_keyring *k, struct str json, bool wrapped, const char *source, struct err *e) MUST_CHECK;
/* Calls f for each of the credentials for the reference's repository, in the order in which they are tried. hash: of
 * user and password. */
void image_keyring_each(const struct image_keyring *k, const char *ref,
			void (*f)(void *arg, const char *source, const char *hash), void *arg);

struct image_layer_progress {
	const char *digest;
	int64_t size, got;
	enum { LAYER_WAITS, LAYER_COMES, LAYER_DONE, LAYER_PRESENT } state;
};
struct image_progress {
	const char *what; /* a line of text about a new step; NULL: only numbers changed */
	size_t n_layers;
	const struct image_layer_progress *layers; /* borrowed */
};
struct image_pulled { /* about a pull that ended */
	int64_t waited_ms, took_ms; /* before it was its turn; from then on */
	const char *source, *hash; /* of the credentials that served; NULL: none, or the node's own */
};
struct image_pull_opts {
	struct image_keyring *keys; /* may be NULL */
	const char *user, *password; /* for the registry that the name says; NULL: none */
	bool keep_blobs; /* the compressed layers stay, for export and push */
	void (*progress)(void *arg, const struct image_progress *p); /* may be NULL */
};
/* From a registry, by the mirrors, TLS settings and credentials of registries.yaml. opts may be NULL; its strings are
 * copied. done: the image is borrowed. It comes later, from the loop; or from image_store_close. */
void image_pull(struct image_store *s, const char *ref, const struct image_pull_opts *opts,
		void (*done)(void *arg, struct image *i, const struct image_pulled *info, const struct err *err), void *arg);
/* The file may be missing; it is read now (what is wrong with it is an error), and again when it changed (then it is
 * logged, and what was known stays in force). */
int image_store_set_registries(struct image_store *s, const char *path, struct err *e) MUST_CHECK;

struct image_limits {
	int pulls; /* at once; of one image only one */
	int layers, layers_per_host; /* transfers at once, of all pulls; from one registry */
	int progress_ms; /* a transfer that brings nothing for so long is given up */
	bool no_default_endpoint; /* where registries.yaml has mirrors, only they are asked */
};
#define IMAGE_LIMITS_DEFAULT { 4, 6, 4, 60000, false }
void image_store_set_limits(struct image_store *s, const struct image_limits *l);
/* Forgets a name (or an id: all its names). An image without a name goes, with the layers that no other has,
 * unless somebody holds it: then the names go and ERR_CONFLICT says who. Removed texts ("Untagged: x",
 * "Deleted: sha256:...") are appended to report when it is not NULL. */
int image_remove(struct image_store *s, const char *ref, struct buf *report, struct err *e) MUST_CHECK;
/* Another name for it; an image that had the name loses it. */
int image_tag(struct image_store *s, const char *ref, const char *name, struct err *e) MUST_CHECK;
/* Removes the images that nobody holds, but those that are pinned, and all transfers that broke off. */
int image_prune(struct image_store *s, struct buf *report, struct err *e) MUST_CHECK;
/* Removes the compressed layers of an image, or with NULL of all that are not pinned. */
int image_drop_blobs(struct image_store *s, const char *id, struct err *e) MUST_CHECK;
bool image_in_use(struct image_store *s, const struct image *i);
void image_holders(struct image_store *s, const struct image *i, void (*f)(void *arg, const char *holder), void *arg);
/* A config or manifest. */
int image_read_blob(struct image_store *s, const char *digest, struct buf *out, struct err *e) MUST_CHECK;

/* Collects garbage: when the disk is used to high_percent or more, unused images go until it is down to low_percent, the
 * longest unused first; none that came within min_age_s. max_age_s > 0: what was not used for so long goes in any case.
 * {0, 0, 0, 0} removes all that is unused (the kubelet's DeleteUnusedImages, for eviction). Pinned and held ones stay.
 * One collection at a time: another call meanwhile does nothing. done comes from the loop; not when the store is closed. */
struct image_gc_policy {
	int high_percent, low_percent;
	int64_t min_age_s, max_age_s;
};
#define IMAGE_GC_POLICY_DEFAULT { 85, 80, 120, 0 }
struct image_gc_result {
	int64_t capacity, available; /* bytes of the disk, before */
	int64_t wanted, freed; /* bytes; wanted 0: there was no need */
	unsigned removed;
};
void image_gc(struct image_store *s, const struct image_gc_policy *policy,
	      void (*done)(void *arg, const struct image_gc_result *r), void *arg);

/* --- pushing and exporting: for commands, they read files on the loop --- */
struct image_push_opts {
	const char *user, *password; /* NULL: those of registries.yaml, or none */
	void (*progress)(void *arg, const char *what); /* may be NULL */
};
/* The image that ref stands for, to the registry of dest (NULL: of ref itself), with all its digests: its compressed
 * layers have to be kept here. done: digest "sha256:..." of the manifest, or err. */
void image_push(struct image_store *s, const char *ref, const char *dest, const struct image_push_opts *opts,
		void (*done)(void *arg, const char *digest, const struct err *err), void *arg);
/* A tar that is an OCI layout and a docker-archive at once, of images (NULL-terminated references) with their names. */
int image_export(struct image_store *s, char *const *refs, int fd, struct err *e) MUST_CHECK;

/* A container uses the image: it stays until image_unhold. Both survive restarts; holder is a file name. */
int image_hold(struct image_store *s, const struct image *i, const char *holder, struct err *e) MUST_CHECK;
void image_unhold(struct image_store *s, const char *holder);
/* All holders for which drop says so. */
void image_unhold_if(struct image_store *s, bool (*drop)(void *arg, const char *holder), void *arg);

/* Entry of the unpacking child: `kinglet internal unpack`. */
int image_unpack_main(int argc, char **argv);

#endif
