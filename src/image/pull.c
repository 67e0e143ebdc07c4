/*
 * Pulling from a registry: the OCI distribution API (Docker's registry API,
 * version 2), as containerd's resolver and fetcher use it.
 *
 *	CHECK     HEAD /v2/REPO/manifests/TAG, when an image of that name is here: is it the same?
 *	RESOLVE   GET of the same: an index or a manifest
 *	MANIFEST  the index's entry for this machine, by digest
 *	CONFIG    GET /v2/REPO/blobs/DIGEST: it tells the layers' contents
 *	BLOBS     the layers, several at once (fetch.c); those whose content the store has are left
 *		  out, unless their compressed form is to be kept and is not there
 *	UNPACK    the child makes the image from the files in tmp/NAME/in/
 *
 * Every blob is hashed while it comes and is refused when it is not what was named.
 *
 * An attempt is made with each of the credentials that the keyring has for the image (with
 * the node's own, or none, when it has none), and with each of them at each place that
 * registries.yaml has for the registry, until one has gone well. Pull secrets go to the host that they are for.
 *
 * A few pulls run at once, and of one reference only one: fifty pods that start
 * together fetch their image once, and the others find its layers there.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/arch.h"
#include "base/digest.h"
#include "base/log.h"
#include "base/path.h"
#include "base/time.h"
#include "image/internal.h"
#include "image/keyring.h"
#include "image/manifest.h"
#include "image/remote.h"

#define PULL_PROGRESS_MS 200
#define PULL_ERRORS_MAX 8 /* texts of attempts that are told */

#define PULL_ACCEPT                                                                                       \
	"application/vnd.docker.distribution.manifest.v2+json, "                                           \
	"application/vnd.docker.distribution.manifest.list.v2+json, "                                      \
	"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*"

enum pull_state { PULL_CHECK, PULL_RESOLVE, PULL_MANIFEST, PULL_CONFIG, PULL_BLOBS, PULL_UNPACK };

struct pull_blob {
	struct pull *pull;
	const struct oci_desc *desc; /* in pull->manifest */
	struct fetch *fetch; /* NULL: not under way */
	size_t row; /* in pull->rows */
};

struct pull {
	TAILQ_ENTRY(pull) link;
	bool started; /* others wait for their turn */
	bool fatal; /* no other place or credentials would help */
	struct image_store *store;
	struct image_ref ref;
	char *name; /* the reference as it is printed */
	struct image_tmp tmp;
	enum pull_state state;
	struct err err;
	struct loop_task step;
	struct unpack *unpack;
	int64_t asked_ms, begun_ms;

	/* whom to ask, as whom */
	struct registries *registries;
	struct registry_places places;
	size_t place;
	struct image_keyring *keys;
	struct keyring_matches creds;
	struct registry_auth auth; /* opts' user and password */
	size_t cred;
	VEC(char *) errors; /* of former attempts */
	struct remote *remote;
	struct remote_call call;

	/* what was found out */
	char *target; /* digest of what the reference names */
	char *manifest_digest;
	int64_t target_size;
	struct oci_manifest manifest;
	struct oci_config config;
	VEC(struct pull_blob) blobs;
	size_t blobs_left;
	bool keep_blobs;

	VEC(struct image_layer_progress) rows;
	struct loop_timer *tell;
	void (*progress)(void *arg, const struct image_progress *pr);
	void (*done)(void *arg, struct image *i, const struct image_pulled *info, const struct err *err);
	void *arg;
};

static void pull_start_waiting(struct image_store *s);
static void pull_attempt(struct pull *p);

/* --- telling --- */

static void pull_tell(struct pull *p, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void pull_tell(struct pull *p, const char *fmt, ...)
{
	struct image_progress pr = { .n_layers = p->rows.n, .layers = p->rows.v };
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (!p->progress)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	pr.what = text;
	p->progress(p->arg, &pr);
}

static void pull_tell_numbers(void *arg)
{
	struct pull *p = arg;
	struct image_progress pr = { .n_layers = p->rows.n, .layers = p->rows.v };

	p->progress(p->arg, &pr);
}

static void pull_moved(struct pull *p)
{
	if (p->progress && !loop_timer_is_set(p->tell))
		loop_timer_set(p->tell, PULL_PROGRESS_MS);
}

/* --- life --- */

static void pull_drop_attempt(struct pull *p)
{
	for (size_t i = 0; i < p->blobs.n; i++)
		if (p->blobs.v[i].fetch)
			fetch_cancel(p->blobs.v[i].fetch);
	p->blobs.n = 0;
	p->rows.n = 0;
	remote_cancel(&p->call);
	p->remote = remote_free(p->remote);
	oci_manifest_release(&p->manifest);
	oci_config_release(&p->config);
	p->manifest_digest = free_null(p->manifest_digest);
}

static void pull_free(struct pull *p)
{
	TAILQ_REMOVE(&p->store->pulls, p, link);
	pull_drop_attempt(p);
	if (p->unpack)
		image_unpack_cancel(p->unpack);
	loop_undefer(p->store->loop, &p->step);
	loop_timer_free(p->tell);
	VEC_RELEASE(&p->blobs);
	VEC_RELEASE(&p->rows);
	VEC_RELEASE(&p->creds);
	for (size_t i = 0; i < p->errors.n; i++)
		free(p->errors.v[i]);
	VEC_RELEASE(&p->errors);
	registry_places_release(&p->places);
	registries_unref(p->registries);
	image_keyring_unref(p->keys);
	registry_auth_release(&p->auth);
	image_ref_release(&p->ref);
	image_tmp_remove(p->store, &p->tmp);
	free(p->name);
	free(p->target);
	err_release(&p->err);
	free(p);
}

/* Several attempts are told as Kubernetes prints several errors: "[a, b]". */
static void pull_join_errors(struct pull *p)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	int code = p->err.code;

	if (!p->errors.n)
		return;
	buf_addch(&text, '[');
	for (size_t i = 0; i < p->errors.n; i++)
		buf_addf(&text, "%s, ", p->errors.v[i]);
	buf_addf(&text, "%s]", err_msg(&p->err));
	err_set(&p->err, p->err.reason, "%s", text.s);
	p->err.code = code;
}

static void pull_wrap(struct pull *p)
{
	if (p->started && p->state <= PULL_MANIFEST && !p->fatal)
		err_wrap(&p->err, "failed to resolve reference \"%s\"", p->name);
	err_wrap(&p->err, "failed to pull and unpack image \"%s\"", p->name);
}

/* i: borrowed, NULL when p->err says why. */
static void pull_finish(struct pull *p, struct image *i)
{
	void (*done)(void *arg, struct image *i, const struct image_pulled *info, const struct err *err) = p->done;
	_cleanup_err_ struct err err = ERR_INIT, ignored = ERR_INIT;
	_cleanup_free_ char *source = NULL, *hash = NULL;
	struct image_store *s = p->store;
	int64_t now = time_mono_ms(), begun = p->started ? p->begun_ms : now;
	struct image_pulled info = { .waited_ms = begun - p->asked_ms, .took_ms = now - begun };
	_cleanup_close_ int lock = -1;
	void *arg = p->arg;

	if (err_is_set(&p->err)) {
		pull_wrap(p);
		pull_join_errors(p);
	} else if (p->cred < p->creds.n) {
		info.source = source = xstrdup(p->creds.v[p->cred].source);
		info.hash = hash = xstrdup(p->creds.v[p->cred].hash);
	}
	err_move(&err, &p->err);
	pull_free(p);
	lock = image_store_lock(s, &ignored);
	if (lock >= 0 && image_index_load(s, &ignored) == 0)
		image_sweep(s);
	lock = close_fd(lock);
	fetch_sweep(s, false);
	if (!s->closing)
		pull_start_waiting(s);
	done(arg, i, &info, err_is_set(&err) ? &err : NULL);
}

void image_pull_close(struct pull *p)
{
	if (!err_is_set(&p->err))
		err_set(&p->err, ERR_SERVICE_UNAVAILABLE, "the image store was closed");
	p->fatal = true;
	pull_finish(p, NULL);
}

/* Is there anybody else to ask? The next credentials, or the next place. */
static bool pull_next_attempt(struct pull *p)
{
	if (p->fatal || p->state == PULL_UNPACK)
		return false;
	if (++p->place < p->places.n)
		return true;
	p->place = 0;
	return ++p->cred < p->creds.n;
}

static void pull_failed(struct pull *p)
{
	_cleanup_err_ struct err last = ERR_INIT;

	err_copy(&last, &p->err);
	if (!pull_next_attempt(p)) {
		pull_finish(p, NULL);
		return;
	}
	pull_wrap(p);
	log_debug("pulling an image failed, trying the next place", LS("image", p->name), LE(&p->err));
	for (size_t i = 0; i < p->errors.n; i++)
		if (streq(p->errors.v[i], err_msg(&p->err)))
			goto known;
	if (p->errors.n < PULL_ERRORS_MAX)
		VEC_PUSH(&p->errors, xstrdup(err_msg(&p->err)));
known:
	err_release(&p->err);
	pull_drop_attempt(p);
	pull_attempt(p);
}

/* --- small documents --- */

static char *pull_file(struct pull *p, const char *name)
{
	return xasprintf("%s/tmp/%s/in/%s", p->store->dir, p->tmp.name, name);
}

/* Keeps a small document beside the layers. */
static int pull_keep(struct pull *p, const char *name, struct str bytes)
{
	_cleanup_free_ char *path = pull_file(p, name);

	p->fatal |= path_write(path, bytes, 0600, &p->err) < 0;
	return err_is_set(&p->err) ? -p->err.code : 0;
}

static void pull_on_answer(struct remote_call *c, const struct err *err);

static void pull_ask(struct pull *p, enum pull_state state, const char *method, const char *what, const char *which)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", what, which);

	p->state = state;
	p->call = (struct remote_call){ .method = method, .accept = PULL_ACCEPT, .part_at = -1,
					.max_answer = LIMIT_IMAGE_MANIFEST_BYTES, .on_done = pull_on_answer, .arg = p };
	remote_send(p->remote, &p->call, path);
}

static void pull_digest(struct str bytes, char out[DIGEST_TEXT_LEN + 1])
{
	memcpy(out, "sha256:", 7);
	digest_sha256_hex(bytes, out + 7);
}

/* want: NULL: any; size: -1: any. */
static int pull_check_content(struct pull *p, const char *want, int64_t size, char got[DIGEST_TEXT_LEN + 1])
{
	pull_digest(buf_str(&p->call.answer), got);
	if (want && !streq(got, want))
		return err_set(&p->err, ERR_BAD_REQUEST, "unexpected commit digest %s, expected %s: failed precondition", got, want);
	if (size >= 0 && (int64_t)p->call.answer.len != size)
		return err_set(&p->err, ERR_BAD_REQUEST, "unexpected commit size %zu, expected %lld: failed precondition",
			       p->call.answer.len, (long long)size);
	return 0;
}

/* --- unpacking --- */

static void pull_on_unpack_progress(void *arg, const char *what)
{
	pull_tell(arg, "%s", what);
}

static void pull_on_report(void *arg, const struct node *report, const struct err *err)
{
	struct pull *p = arg;
	_cleanup_free_ char *id = NULL;
	struct image *i = NULL;
	char **names = NULL;

	p->unpack = NULL;
	if (err)
		err_copy(&p->err, err);
	else if (image_index_add(p->store, p->tmp.name, report, p->keep_blobs ? INDEX_KEEP_BLOBS : 0, &names, &id, &p->err) == 0)
		i = image_find(p->store, id);
	image_names_free(names);
	if (!i && !err_is_set(&p->err))
		err_set(&p->err, ERR_NOT_FOUND, "the image was removed");
	pull_finish(p, i);
	image_unref(i);
}

/* The child reads an OCI layout: one entry with the name, for what the reference stands for. */
static void pull_unpack(struct pull *p)
{
	_cleanup_doc_ struct doc *d = doc_new();
	_cleanup_buf_ struct buf json = BUF_INIT;
	struct node *root = node_new(d, DOC_OBJECT), *list, *n, *notes;

	doc_set_root(d, root);
	node_setk(d, root, STR_LIT("schemaVersion"), node_new_int(d, 2));
	list = node_setk(d, root, STR_LIT("manifests"), node_new(d, DOC_ARRAY));
	n = node_append(list, node_new(d, DOC_OBJECT));
	node_setk(d, n, STR_LIT("digest"), node_new_cstr(d, p->target));
	node_setk(d, n, STR_LIT("size"), node_new_int(d, p->target_size));
	notes = node_setk(d, n, STR_LIT("annotations"), node_new(d, DOC_OBJECT));
	node_setk(d, notes, STR_LIT("io.containerd.image.name"), node_new_cstr(d, p->name));
	doc_print_json(&json, root, DOC_PRINT_COMPACT);
	if (pull_keep(p, "index.json", buf_str(&json)) < 0) {
		pull_failed(p);
		return;
	}
	p->state = PULL_UNPACK;
	p->unpack = image_unpack(p->store, -1, &p->tmp, "", pull_on_unpack_progress, pull_on_report, p);
}

/* --- layers --- */

static bool pull_have(struct pull *p, const char *sub, const char *digest)
{
	_cleanup_free_ char *have = image_path(p->store, sub, digest_hex(digest));

	return path_exists(have);
}

/* What the child needs of a layer, or is to be kept of it, is here. */
static bool pull_needs(struct pull *p, const char *digest, const char *diff_id)
{
	_cleanup_free_ char *file = pull_file(p, digest_hex(digest)), *kept = NULL;

	if (path_exists(file)) /* it came in an attempt before */
		return false;
	if (pull_have(p, "layers", diff_id) && !p->keep_blobs)
		return false;
	if (!pull_have(p, "blobs/sha256", digest))
		return true;
	kept = image_path(p->store, "blobs/sha256", digest_hex(digest));
	return link(kept, file) < 0;
}

static void pull_on_bytes(void *arg, int64_t bytes)
{
	struct pull_blob *b = arg;
	struct image_layer_progress *row = &b->pull->rows.v[b->row];

	row->got += bytes;
	row->state = LAYER_COMES;
	pull_moved(b->pull);
}

static void pull_on_blob(void *arg, const struct err *err)
{
	struct pull_blob *b = arg;
	struct pull *p = b->pull;

	b->fetch = NULL;
	if (err) {
		err_copy(&p->err, err);
		p->fatal = err->code == ENOSPC || err->code == EDQUOT || err->code == EROFS || err->code == EIO;
		pull_failed(p);
		return;
	}
	p->rows.v[b->row].got = b->desc->size;
	p->rows.v[b->row].state = LAYER_DONE;
	pull_tell(p, "layer %.19s has come (%lld bytes)", b->desc->digest, (long long)b->desc->size);
	if (--p->blobs_left == 0)
		pull_unpack(p);
}

static void pull_want(struct pull *p, const struct oci_desc *d, size_t row)
{
	for (size_t i = 0; i < p->blobs.n; i++)
		if (streq(p->blobs.v[i].desc->digest, d->digest)) {
			p->rows.v[row].state = LAYER_PRESENT;
			return;
		}
	VEC_PUSH(&p->blobs, ((struct pull_blob){ .pull = p, .desc = d, .row = row }));
}

static int pull_list_layers(struct pull *p, int64_t *bytes)
{
	for (size_t i = 0; i < p->manifest.layers.n; i++) {
		const struct oci_desc *d = &p->manifest.layers.v[i];
		struct image_layer_progress row = { .digest = d->digest, .size = d->size, .state = LAYER_WAITS };

		if (d->size > (int64_t)LIMIT_IMAGE_UNPACKED_BYTES)
			return err_set(&p->err, ERR_TOO_LARGE, "layer %s is too large", d->digest);
		VEC_PUSH(&p->rows, row);
		if (pull_needs(p, d->digest, p->config.diff_ids[i]))
			pull_want(p, d, i);
		else
			p->rows.v[i].state = LAYER_PRESENT;
	}
	for (size_t i = 0; i < p->blobs.n; i++)
		if (__builtin_add_overflow(*bytes, p->blobs.v[i].desc->size, bytes))
			return err_set(&p->err, ERR_TOO_LARGE, "the image's layers say that they are too large");
	return 0;
}

/* What can't fit is not begun. */
static int pull_check_space(struct pull *p, int64_t bytes)
{
	struct statvfs st;

	if (statvfs(p->store->dir, &st) < 0 || (uint64_t)bytes <= (uint64_t)st.f_bavail * st.f_frsize)
		return 0;
	p->fatal = true;
	return err_errno(&p->err, ENOSPC, "the image's layers need %lld bytes, '%s' has %llu free", (long long)bytes,
			 p->store->dir, (unsigned long long)st.f_bavail * st.f_frsize);
}

static void pull_layers(struct pull *p)
{
	int64_t bytes = 0;

	if (pull_list_layers(p, &bytes) < 0 || pull_check_space(p, bytes) < 0) {
		pull_failed(p);
		return;
	}
	p->state = PULL_BLOBS;
	p->blobs_left = p->blobs.n;
	if (!p->blobs_left) {
		pull_unpack(p);
		return;
	}
	pull_tell(p, "fetching %zu of %zu layers (%lld bytes)", p->blobs.n, p->manifest.layers.n, (long long)bytes);
	for (size_t i = 0; i < p->blobs.n; i++) {
		struct pull_blob *b = &p->blobs.v[i];
		_cleanup_free_ char *dest = pull_file(p, digest_hex(b->desc->digest));

		b->fetch = fetch_new(p->store, p->remote, b->desc->digest, b->desc->size, dest,
				     p->progress ? pull_on_bytes : NULL, pull_on_blob, b);
	}
}

/* --- the steps --- */

static int pull_take_config(struct pull *p)
{
	char got[DIGEST_TEXT_LEN + 1];
	size_t n = 0;

	if (pull_check_content(p, p->manifest.config.digest, p->manifest.config.size, got) < 0 ||
	    pull_keep(p, digest_hex(got), buf_str(&p->call.answer)) < 0 ||
	    oci_config_parse(&p->config, buf_str(&p->call.answer), &p->err) < 0)
		return -p->err.code;
	while (p->config.diff_ids[n])
		n++;
	if (n != p->manifest.layers.n)
		return err_set(&p->err, ERR_BAD_REQUEST, "the image is damaged: it has %zu layers, but its config names %zu",
			       p->manifest.layers.n, n);
	if (!oci_platform_ok(p->config.os, p->config.arch)) {
		p->fatal = true;
		return err_set(&p->err, ERR_BAD_REQUEST, "the image is for %s/%s, this machine is linux/%s",
			       *p->config.os ? p->config.os : "linux", p->config.arch, ARCH_NAME);
	}
	return 0;
}

static int pull_to_config(struct pull *p, const char *digest)
{
	struct str bytes = buf_str(&p->call.answer);

	if (pull_keep(p, digest_hex(digest), bytes) < 0 || oci_manifest_parse(&p->manifest, bytes, &p->err) < 0)
		return -p->err.code;
	if (p->manifest.config.size > LIMIT_IMAGE_MANIFEST_BYTES)
		return err_set(&p->err, ERR_TOO_LARGE, "the image's config is larger than %u bytes", LIMIT_IMAGE_MANIFEST_BYTES);
	remote_cancel(&p->call);
	pull_ask(p, PULL_CONFIG, "GET", "blobs", p->manifest.config.digest);
	return 0;
}

static int pull_take_index(struct pull *p)
{
	_cleanup_(oci_index_release) struct oci_index index = { 0 };
	struct str bytes = buf_str(&p->call.answer);
	const struct oci_desc *d;

	if (pull_keep(p, digest_hex(p->target), bytes) < 0 || oci_index_parse(&index, bytes, &p->err) < 0)
		return -p->err.code;
	d = oci_index_pick(&index);
	if (!d) {
		p->fatal = true;
		return err_set(&p->err, ERR_NOT_FOUND, "no match for platform linux/%s in manifest %s: not found", ARCH_NAME,
			       p->target);
	}
	p->manifest_digest = xstrdup(d->digest);
	remote_cancel(&p->call);
	pull_ask(p, PULL_MANIFEST, "GET", "manifests", p->manifest_digest);
	return 0;
}

/* An attempt before may have said what the tag is: it is that, then. */
static int pull_take_resolved(struct pull *p)
{
	char got[DIGEST_TEXT_LEN + 1];

	if (pull_check_content(p, p->target ? p->target : p->ref.digest, -1, got) < 0)
		return -p->err.code;
	if (p->call.digest && digest_text_ok(str_of(p->call.digest)) && !streq(p->call.digest, got))
		return err_set(&p->err, ERR_BAD_REQUEST, "the registry says that the manifest's digest is %s, but it is %s",
			       p->call.digest, got);
	free(p->target);
	p->target = xstrdup(got);
	p->target_size = (int64_t)p->call.answer.len;
	return oci_kind_of(buf_str(&p->call.answer)) == OCI_INDEX ? pull_take_index(p) : pull_to_config(p, p->target);
}

static void pull_resolve(struct pull *p)
{
	pull_ask(p, PULL_RESOLVE, "GET", "manifests", p->target ? p->target : p->ref.digest ? p->ref.digest : p->ref.tag);
}

/* The image that the name has, when it is what the registry has under that name and all of it is here. */
static struct image *pull_same(struct pull *p, const char *digest)
{
	struct image *i = digest ? image_find(p->store, p->name) : NULL;

	if (i && ends_with(i->repo_digest, digest) && (!p->keep_blobs || i->blobs[0]))
		return i;
	image_unref(i);
	return NULL;
}

static void pull_take_check(struct pull *p)
{
	bool said = p->call.status == 200 && p->call.digest && digest_text_ok(str_of(p->call.digest));
	struct image *i = pull_same(p, said ? p->call.digest : NULL);

	if (i) {
		pull_tell(p, "%s is up to date", p->name);
		pull_finish(p, i);
		image_unref(i);
		return;
	}
	remote_cancel(&p->call);
	pull_resolve(p);
}

static void pull_take(struct pull *p)
{
	char got[DIGEST_TEXT_LEN + 1];
	int r = 0;

	switch (p->state) {
	case PULL_RESOLVE:
		r = pull_take_resolved(p);
		break;
	case PULL_MANIFEST:
		r = pull_check_content(p, p->manifest_digest, -1, got);
		if (r == 0)
			r = pull_to_config(p, p->manifest_digest);
		break;
	case PULL_CONFIG:
		r = pull_take_config(p);
		if (r == 0) {
			remote_cancel(&p->call);
			pull_layers(p);
		}
		break;
	default:
		break;
	}
	if (r < 0)
		pull_failed(p);
}

static void pull_on_answer(struct remote_call *c, const struct err *err)
{
	struct pull *p = c->arg;

	if (!err && p->state == PULL_CHECK) {
		pull_take_check(p);
		return;
	}
	if (!err && c->status == 200) {
		pull_take(p);
		return;
	}
	if (err)
		err_copy(&p->err, err);
	else
		remote_refused(c, p->state <= PULL_RESOLVE ? p->name : p->state == PULL_MANIFEST ? p->manifest_digest :
			       p->manifest.config.digest, &p->err);
	pull_failed(p);
}

/* --- attempts --- */

/* Whose credentials are for this place; NULL: those that registries.yaml has for it, or nobody's. */
static const struct registry_auth *pull_auth(struct pull *p, const struct registry_place *place)
{
	_cleanup_free_ char *there = NULL;
	struct keyring_matches m = { 0 };
	const struct registry_auth *a = NULL;

	if (!place->ns || streq(place->host, p->ref.registry)) {
		if (p->cred < p->creds.n)
			return p->creds.v[p->cred].auth;
		return registry_auth_given(&p->auth) ? &p->auth : NULL;
	}
	there = xasprintf("%s/%s", place->host, place->repository);
	keyring_lookup(p->keys, there, &m);
	if (m.n)
		a = m.v[0].auth;
	VEC_RELEASE(&m);
	return a;
}

static void pull_attempt(struct pull *p)
{
	const struct registry_place *place = &p->places.v[p->place];
	struct remote_config cfg = { .loop = p->store->loop, .place = place, .auth = pull_auth(p, place),
				     .stall_ms = p->store->limits.progress_ms };
	struct image *have = p->ref.digest ? NULL : image_find(p->store, p->name);

	p->remote = remote_new(&cfg);
	if (place->ns || p->errors.n)
		pull_tell(p, "asking %s", place->host);
	if (have && *have->repo_digest && !p->target)
		pull_ask(p, PULL_CHECK, "HEAD", "manifests", p->ref.tag);
	else
		pull_resolve(p);
	image_unref(have);
}

static void pull_fail_task(struct loop_task *t)
{
	pull_finish(CONTAINER_OF(t, struct pull, step), NULL);
}

static void pull_start(struct pull *p)
{
	_cleanup_free_ char *repository = xasprintf("%s/%s", p->ref.registry, p->ref.repository);

	p->started = true;
	p->begun_ms = time_mono_ms();
	p->registries = registries_ref(image_store_registries(p->store));
	registries_places(p->registries, &p->ref, p->store->limits.no_default_endpoint, &p->places);
	keyring_lookup(p->keys, repository, &p->creds);
	if (image_tmp_make(p->store, &p->tmp, &p->err) < 0) {
		p->fatal = true;
		loop_defer(p->store->loop, &p->step);
		return;
	}
	pull_tell(p, "resolving %s", p->name);
	pull_attempt(p);
}

static bool pull_may_start(const struct image_store *s, const struct pull *p)
{
	const struct pull *other;
	int running = 0;

	TAILQ_FOREACH (other, &s->pulls, link) {
		if (other->started && streq(other->name, p->name))
			return false;
		running += other->started;
	}
	return running < s->limits.pulls;
}

static void pull_start_waiting(struct image_store *s)
{
	struct pull *p;

	TAILQ_FOREACH (p, &s->pulls, link)
		if (!p->started && !err_is_set(&p->err) && pull_may_start(s, p))
			pull_start(p);
}

static int pull_name(struct pull *p, const char *ref, struct err *e)
{
	if (image_ref_parse(&p->ref, ref, e) < 0)
		return -e->code;
	if (p->ref.digest) /* it says all; as containerd, what the tag was is forgotten */
		p->ref.tag = free_null(p->ref.tag);
	free(p->name);
	p->name = image_ref_print(&p->ref);
	return 0;
}

static void pull_take_opts(struct pull *p, const struct image_pull_opts *o)
{
	const struct registry_auth a = { (char *)o->user, (char *)o->password, NULL };

	p->keys = image_keyring_ref(o->keys);
	p->keep_blobs = o->keep_blobs;
	p->progress = o->progress;
	if (o->user)
		registry_auth_copy(&p->auth, &a);
}

void image_pull(struct image_store *s, const char *ref, const struct image_pull_opts *opts,
		void (*done)(void *arg, struct image *i, const struct image_pulled *info, const struct err *err), void *arg)
{
	struct pull *p = xcalloc(1, sizeof(*p));

	p->store = s;
	p->name = xstrdup(ref);
	p->tmp = (struct image_tmp)IMAGE_TMP_INIT;
	p->step.run = pull_fail_task;
	p->tell = loop_timer_new(s->loop, pull_tell_numbers, p);
	p->done = done;
	p->arg = arg;
	p->asked_ms = time_mono_ms();
	if (opts)
		pull_take_opts(p, opts);
	TAILQ_INSERT_TAIL(&s->pulls, p, link);
	if (pull_name(p, ref, &p->err) < 0)
		loop_defer(s->loop, &p->step);
	else
		pull_start_waiting(s);
}

void image_store_set_limits(struct image_store *s, const struct image_limits *l)
{
	s->limits = *l;
}
