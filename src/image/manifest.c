/*
 * The documents of images: OCI image-spec 1.1 (index, manifest, config), Docker's
 * schema 2 forms of the same, and the manifest.json of `docker save`.
 *
 * Nothing is trusted: digests are checked for their form before anybody makes a
 * path of them, counts are limited, unknown members are passed over. Names of
 * members follow the specifications; the two families differ only in media types.
 */
#include "image/manifest.h"

#include "base/arch.h"
#include "base/limits.h"
#include "base/time.h"
#include "doc/doc.h"

#define MANIFEST_STRING_MAX (64u << 10) /* one string of a config: an environment variable, ... */
#define MANIFEST_LIST_MAX 4096 /* entries of env, cmd, ...; manifests of an index */
#define MANIFEST_TAGS_MAX 64

/* --- small pieces --- */

bool digest_text_ok(struct str s)
{
	if (s.n != DIGEST_TEXT_LEN || !str_starts(s, STR_LIT("sha256:")))
		return false;
	for (size_t i = 7; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return true;
}

const char *digest_hex(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

/* A string member without NUL bytes inside; "" when absent, of another type, or too long. */
static char *manifest_text(const struct node *n)
{
	struct str s = node_str(n);

	if (s.n > MANIFEST_STRING_MAX || (s.n && memchr(s.p, 0, s.n)))
		return xstrdup("");
	return xstrdup(s.p ? s.p : "");
}

static char *manifest_member(const struct node *n, const char *key)
{
	return manifest_text(node_getc(n, key));
}

static void manifest_free_list(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* An array of strings. */
static int manifest_list(char ***ret, const struct node *arr, size_t max, const char *what, struct err *e)
{
	VEC(char *) list = VEC_INIT;

	if (node_count(arr) > max)
		return err_set(e, ERR_TOO_LARGE, "the image's %s has more than %zu entries", what, max);
	NODE_FOREACH (c, arr)
		VEC_PUSH(&list, manifest_text(c));
	VEC_PUSH(&list, NULL);
	*ret = list.v;
	return 0;
}

static char **manifest_keys(const struct node *obj)
{
	VEC(char *) list = VEC_INIT;

	if (node_is(obj, DOC_OBJECT) && node_count(obj) <= MANIFEST_LIST_MAX)
		NODE_FOREACH (c, obj)
			if (!memchr(c->key, 0, c->key_len))
				VEC_PUSH(&list, str_dup(node_key(c)));
	VEC_PUSH(&list, NULL);
	return list.v;
}

static int manifest_doc(struct doc **ret, struct str json, enum doc_type type, const char *what, struct err *e)
{
	const struct doc_json_opts opts = { .max_bytes = LIMIT_IMAGE_MANIFEST_BYTES };

	if (doc_parse_json(ret, json, &opts, e) < 0)
		return err_wrap(e, "the image's %s is damaged", what);
	if (node_is(doc_root(*ret), type))
		return 0;
	*ret = doc_unref(*ret);
	return err_set(e, ERR_BAD_REQUEST, "the image's %s is not what it has to be (a JSON %s)", what,
		       type == DOC_ARRAY ? "array" : "object");
}

/* --- descriptors --- */

static void oci_desc_release(struct oci_desc *d)
{
	free(d->media_type);
	free(d->digest);
	free(d->os);
	free(d->arch);
	free(d->variant);
	free(d->name);
	free(d->ref_name);
}

static void oci_descs_release(struct oci_descs *list)
{
	for (size_t i = 0; i < list->n; i++)
		oci_desc_release(&list->v[i]);
	VEC_RELEASE(list);
}

static int oci_desc_read(struct oci_desc *d, const struct node *n, const char *what, struct err *e)
{
	const struct node *platform = node_getc(n, "platform"), *notes = node_getc(n, "annotations");
	struct str digest = node_str(node_getc(n, "digest"));
	int64_t size = node_int(node_getc(n, "size"), -1);

	if (!digest_text_ok(digest))
		return err_set(e, ERR_BAD_REQUEST, "the image's %s has no SHA-256 digest ('%.100s')", what,
			       digest.p ? digest.p : "");
	if (size < 0)
		return err_set(e, ERR_BAD_REQUEST, "the image's %s %s has no size", what, digest.p);
	d->media_type = manifest_member(n, "mediaType");
	d->digest = str_dup(digest);
	d->size = size;
	d->os = manifest_member(platform, "os");
	d->arch = manifest_member(platform, "architecture");
	d->variant = manifest_member(platform, "variant");
	d->name = manifest_member(notes, "io.containerd.image.name");
	d->ref_name = manifest_member(notes, "org.opencontainers.image.ref.name");
	return 0;
}

static int oci_descs_read(struct oci_descs *list, const struct node *arr, size_t max, const char *what, struct err *e)
{
	if (node_count(arr) > max)
		return err_set(e, ERR_TOO_LARGE, "the image has more than %zu of %s", max, what);
	NODE_FOREACH (c, arr) {
		struct oci_desc d = { 0 };

		if (oci_desc_read(&d, c, what, e) < 0)
			return -e->code;
		VEC_PUSH(list, d);
	}
	return 0;
}

/* --- index and manifest --- */

bool oci_media_is_index(const char *media_type)
{
	return streq(media_type, "application/vnd.oci.image.index.v1+json") ||
	       streq(media_type, "application/vnd.docker.distribution.manifest.list.v2+json");
}

enum oci_kind oci_kind_of(struct str json)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	enum oci_kind kind = OCI_UNKNOWN;

	if (manifest_doc(&d, json, DOC_OBJECT, "manifest", &e) < 0)
		return OCI_UNKNOWN;
	if (node_is(node_getc(doc_root(d), "manifests"), DOC_ARRAY))
		kind = OCI_INDEX;
	else if (node_is(node_getc(doc_root(d), "config"), DOC_OBJECT))
		kind = OCI_MANIFEST;
	return kind;
}

static int oci_check_version(const struct node *n, struct err *e)
{
	int64_t version = node_int(node_getc(n, "schemaVersion"), 2);

	if (version == 1)
		return err_set(e, ERR_BAD_REQUEST, "the image has a manifest of schema version 1, "
			       "which nobody makes any more: push it again with a newer tool");
	if (version != 2)
		return err_set(e, ERR_BAD_REQUEST, "the image's manifest has the unknown schema version %lld",
			       (long long)version);
	return 0;
}

int oci_index_parse(struct oci_index *x, struct str json, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	*x = (struct oci_index){ 0 };
	if (manifest_doc(&d, json, DOC_OBJECT, "index", e) < 0 || oci_check_version(doc_root(d), e) < 0)
		return -e->code;
	if (oci_descs_read(&x->manifests, node_getc(doc_root(d), "manifests"), MANIFEST_LIST_MAX, "manifest", e) < 0) {
		oci_index_release(x);
		return -e->code;
	}
	return 0;
}

static bool oci_config_media_ok(const char *media_type)
{
	return !*media_type || streq(media_type, "application/vnd.oci.image.config.v1+json") ||
	       streq(media_type, "application/vnd.docker.container.image.v1+json");
}

int oci_manifest_parse(struct oci_manifest *m, struct str json, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *root;

	*m = (struct oci_manifest){ 0 };
	if (manifest_doc(&d, json, DOC_OBJECT, "manifest", e) < 0)
		return -e->code;
	root = doc_root(d);
	if (oci_check_version(root, e) == 0 && oci_desc_read(&m->config, node_getc(root, "config"), "config", e) == 0 &&
	    !oci_config_media_ok(m->config.media_type))
		err_set(e, ERR_BAD_REQUEST, "this is no container image but an artifact of type '%.200s'",
			m->config.media_type);
	if (!err_is_set(e))
		(void)!oci_descs_read(&m->layers, node_getc(root, "layers"), LIMIT_IMAGE_LAYERS, "layer", e);
	if (!err_is_set(e))
		return 0;
	oci_manifest_release(m);
	return -e->code;
}

void oci_index_release(struct oci_index *x)
{
	oci_descs_release(&x->manifests);
}

void oci_manifest_release(struct oci_manifest *m)
{
	oci_desc_release(&m->config);
	m->config = (struct oci_desc){ 0 };
	oci_descs_release(&m->layers);
}

/* --- platforms --- */

const char *oci_variant(void)
{
#if defined(__ARM_ARCH) && __ARM_ARCH >= 7 && defined(__arm__)
	return "v7";
#elif defined(__arm__)
	return "v6";
#else
	return "";
#endif
}

bool oci_platform_ok(const char *os, const char *arch)
{
	if (*os && !streq(os, "linux"))
		return false;
	if (!*arch || streq(arch, ARCH_NAME))
		return true;
	/* What the 64-bit kernels run besides. */
	return (streq(ARCH_NAME, "amd64") && streq(arch, "386")) || (streq(ARCH_NAME, "arm64") && streq(arch, "arm"));
}

/* 0: does not run here; more is better. */
static int oci_platform_rank(const struct oci_desc *d)
{
	if (!oci_platform_ok(d->os, d->arch))
		return 0;
	if (!*d->arch)
		return 2; /* of unknown kind; attestations say "unknown" and do not come this far */
	if (!streq(d->arch, ARCH_NAME))
		return 1;
	if (!streq(d->arch, "arm") || !*d->variant)
		return streq(d->variant, "") || streq(d->variant, "v8") || streq(d->variant, "v1") ? 5 : 4;
	return strcmp(d->variant, oci_variant()) > 0 ? 0 : 3 + d->variant[strlen(d->variant) - 1] - '0';
}

const struct oci_desc *oci_index_pick(const struct oci_index *x)
{
	const struct oci_desc *best = NULL;
	int best_rank = 0;

	for (size_t i = 0; i < x->manifests.n; i++) {
		int rank = oci_platform_rank(&x->manifests.v[i]);

		if (rank > best_rank) {
			best = &x->manifests.v[i];
			best_rank = rank;
		}
	}
	return best;
}

/* --- config --- */

static int oci_config_diff_ids(struct oci_config *c, const struct node *root, struct err *e)
{
	const struct node *ids = node_getc(node_getc(root, "rootfs"), "diff_ids");

	if (manifest_list(&c->diff_ids, ids, LIMIT_IMAGE_LAYERS, "list of layers", e) < 0)
		return -e->code;
	for (size_t i = 0; c->diff_ids[i]; i++)
		if (!digest_text_ok(str_of(c->diff_ids[i])))
			return err_set(e, ERR_BAD_REQUEST, "the image's config names the layer '%.100s', "
				       "which is no SHA-256 digest", c->diff_ids[i]);
	return 0;
}

static int64_t oci_config_created(const struct node *root)
{
	int64_t ns = 0;

	return time_parse_rfc3339(node_str(node_getc(root, "created")), &ns) ? ns / SEC_NS : 0;
}

int oci_config_parse(struct oci_config *c, struct str json, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *root, *run;

	*c = (struct oci_config){ 0 };
	if (manifest_doc(&d, json, DOC_OBJECT, "config", e) < 0)
		return -e->code;
	root = doc_root(d);
	run = node_getc(root, "config");
	c->os = manifest_member(root, "os");
	c->arch = manifest_member(root, "architecture");
	c->variant = manifest_member(root, "variant");
	c->user = manifest_member(run, "User");
	c->working_dir = manifest_member(run, "WorkingDir");
	c->stop_signal = manifest_member(run, "StopSignal");
	c->volumes = manifest_keys(node_getc(run, "Volumes"));
	c->created_s = oci_config_created(root);
	if (oci_config_diff_ids(c, root, e) < 0 ||
	    manifest_list(&c->entrypoint, node_getc(run, "Entrypoint"), MANIFEST_LIST_MAX, "entrypoint", e) < 0 ||
	    manifest_list(&c->cmd, node_getc(run, "Cmd"), MANIFEST_LIST_MAX, "command", e) < 0 ||
	    manifest_list(&c->env, node_getc(run, "Env"), MANIFEST_LIST_MAX, "environment", e) < 0) {
		oci_config_release(c);
		return -e->code;
	}
	return 0;
}

void oci_config_release(struct oci_config *c)
{
	free(c->os);
	free(c->arch);
	free(c->variant);
	manifest_free_list(c->diff_ids);
	manifest_free_list(c->entrypoint);
	manifest_free_list(c->cmd);
	manifest_free_list(c->env);
	manifest_free_list(c->volumes);
	free(c->user);
	free(c->working_dir);
	free(c->stop_signal);
	*c = (struct oci_config){ 0 };
}

/* --- docker save --- */

static int docker_image_read(struct docker_image *i, const struct node *n, struct err *e)
{
	i->config = manifest_member(n, "Config");
	if (!*i->config)
		return err_set(e, ERR_BAD_REQUEST, "the archive's manifest.json names no config");
	if (manifest_list(&i->tags, node_getc(n, "RepoTags"), MANIFEST_TAGS_MAX, "list of tags", e) < 0)
		return -e->code;
	return manifest_list(&i->layers, node_getc(n, "Layers"), LIMIT_IMAGE_LAYERS, "list of layers", e);
}

int docker_save_parse(struct docker_save *s, struct str json, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	*s = (struct docker_save){ 0 };
	if (manifest_doc(&d, json, DOC_ARRAY, "manifest.json", e) < 0)
		return -e->code;
	if (node_count(doc_root(d)) > MANIFEST_LIST_MAX)
		return err_set(e, ERR_TOO_LARGE, "the archive has more than %d images", MANIFEST_LIST_MAX);
	NODE_FOREACH (c, doc_root(d)) {
		VEC_PUSH(&s->images, ((struct docker_image){ 0 }));
		if (docker_image_read(&s->images.v[s->images.n - 1], c, e) < 0) {
			docker_save_release(s);
			return -e->code;
		}
	}
	return 0;
}

void docker_save_release(struct docker_save *s)
{
	for (size_t i = 0; i < s->images.n; i++) {
		free(s->images.v[i].config);
		manifest_free_list(s->images.v[i].tags);
		manifest_free_list(s->images.v[i].layers);
	}
	VEC_RELEASE(&s->images);
}
