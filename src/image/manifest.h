/*
 * The documents of images, from bytes to plain structures: OCI indexes, image
 * manifests and configs, Docker's (schema 2) equivalents, and `docker save`'s
 * manifest.json. Pure: no files, no network; every byte may be hostile.
 */
#ifndef IMAGE_MANIFEST_H
#define IMAGE_MANIFEST_H

#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#define DIGEST_TEXT_LEN (7 + 64) /* "sha256:" and 64 hexadecimal digits */

/* A descriptor: what a document says of another. Strings are "" when absent. */
struct oci_desc {
	char *media_type, *digest;
	int64_t size;
	char *os, *arch, *variant; /* platform */
	char *name, *ref_name; /* annotations io.containerd.image.name, org.opencontainers.image.ref.name */
};
struct oci_descs {
	struct oci_desc *v;
	size_t n, cap;
};

struct oci_index {
	struct oci_descs manifests;
};

struct oci_manifest {
	struct oci_desc config;
	struct oci_descs layers; /* lowest first */
};

/* What a container needs to know; lists are NULL-terminated and never NULL, strings "" when absent. */
struct oci_config {
	char *os, *arch, *variant;
	char **diff_ids; /* lowest first */
	char **entrypoint, **cmd, **env, **volumes;
	char *user, *working_dir, *stop_signal;
	int64_t created_s;
};

struct docker_image {
	char *config; /* a member of the archive */
	char **tags, **layers;
};
struct docker_save {
	VEC(struct docker_image) images;
};

enum oci_kind { OCI_UNKNOWN, OCI_INDEX, OCI_MANIFEST };

bool digest_text_ok(struct str s); /* "sha256:" and 64 lower-case hexadecimal digits */
const char *digest_hex(const char *digest); /* the part behind the colon */

enum oci_kind oci_kind_of(struct str json);
bool oci_media_is_index(const char *media_type);
/* All: on failure the structure is empty; limits of base/limits.h apply. */
int oci_index_parse(struct oci_index *x, struct str json, struct err *e) MUST_CHECK;
int oci_manifest_parse(struct oci_manifest *m, struct str json, struct err *e) MUST_CHECK;
int oci_config_parse(struct oci_config *c, struct str json, struct err *e) MUST_CHECK;
int docker_save_parse(struct docker_save *s, struct str json, struct err *e) MUST_CHECK;
void oci_index_release(struct oci_index *x);
void oci_manifest_release(struct oci_manifest *m);
void oci_config_release(struct oci_config *c);
void docker_save_release(struct docker_save *s);

const char *oci_variant(void); /* "v7" on arm, "" elsewhere */
/* True when a container of that platform runs here. Absent parts match. */
bool oci_platform_ok(const char *os, const char *arch);
/* The best entry for this machine, or NULL. */
const struct oci_desc *oci_index_pick(const struct oci_index *x);

#endif
