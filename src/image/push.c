/*
 * Pushing an image: its blobs, a few at once, and then its manifest, as the OCI
 * distribution API wants it.
 *
 * Each blob goes
 *	LOOK     HEAD: the registry has it already
 *	BEGIN    POST blobs/uploads/, with ?mount= and &from= when the image is known to come from
 *		 another repository of the same registry: then it may be there at once (201)
 *	PART     PATCH with as much as PUSH_PART, one after the other, where the answers say
 *	END      PUT with the digest; of a small blob with all of it
 *
 * Nothing is made anew: the bytes are those that were pulled or imported, so every digest
 * is what it was. Only the command line pushes; files are read on its loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/path.h"
#include "image/internal.h"
#include "image/manifest.h"
#include "image/remote.h"

#define PUSH_AT_ONCE 3
#define PUSH_PART (8 << 20)

enum push_state { PUSH_WAIT, PUSH_LOOK, PUSH_BEGIN, PUSH_PART_SENT, PUSH_END, PUSH_DONE };

struct push_blob {
	struct push *push;
	enum push_state state;
	char *digest, *location;
	int fd;
	int64_t size, at;
	struct buf part;
	struct remote_call call;
};

struct push {
	LIST_ENTRY(push) link;
	struct image_store *store;
	struct image *image;
	struct image_ref dest;
	struct registries *registries;
	struct registry_places places;
	struct remote *remote;
	char *name, *mount_from;
	struct buf manifest;
	struct oci_manifest parsed;
	char *media_type;
	VEC(struct push_blob) blobs;
	size_t left;
	struct remote_call call; /* of the manifest */
	struct loop_task over;
	struct err err;
	void (*progress)(void *arg, const char *what);
	void (*done)(void *arg, const char *digest, const struct err *err);
	void *arg;
};

static void push_pump(struct push *p);

/* --- life --- */

static void push_free(struct push *p)
{
	LIST_REMOVE(p, link);
	for (size_t i = 0; i < p->blobs.n; i++) {
		struct push_blob *b = &p->blobs.v[i];

		remote_cancel(&b->call);
		close_fd(b->fd);
		buf_release(&b->part);
		free(b->digest);
		free(b->location);
	}
	VEC_RELEASE(&p->blobs);
	remote_cancel(&p->call);
	remote_free(p->remote);
	registry_places_release(&p->places);
	registries_unref(p->registries);
	oci_manifest_release(&p->parsed);
	image_ref_release(&p->dest);
	image_unref(p->image);
	buf_release(&p->manifest);
	loop_undefer(p->store->loop, &p->over);
	free(p->name);
	free(p->mount_from);
	free(p->media_type);
	err_release(&p->err);
	free(p);
}

static void push_end(struct push *p)
{
	void (*done)(void *arg, const char *digest, const struct err *err) = p->done;
	_cleanup_free_ char *digest = p->image ? xstrdup(p->image->manifest) : NULL;
	_cleanup_err_ struct err err = ERR_INIT;
	void *arg = p->arg;

	if (err_is_set(&p->err))
		err_wrap(&p->err, "failed to push image \"%s\"", p->name);
	err_move(&err, &p->err);
	push_free(p);
	done(arg, digest, err_is_set(&err) ? &err : NULL);
}

static void push_over_task(struct loop_task *t)
{
	push_end(CONTAINER_OF(t, struct push, over));
}

void image_push_close(struct push *p)
{
	if (!err_is_set(&p->err))
		err_set(&p->err, ERR_SERVICE_UNAVAILABLE, "the image store was closed");
	push_end(p);
}

/* With p->err or without. */
static void push_over(struct push *p)
{
	for (size_t i = 0; i < p->blobs.n; i++)
		remote_cancel(&p->blobs.v[i].call);
	loop_defer(p->store->loop, &p->over);
}

static void push_tell(struct push *p, const char *fmt, ...) ATTR_PRINTF(2, 3);
static void push_tell(struct push *p, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	if (!p->progress)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	p->progress(p->arg, text);
}

/* --- one blob --- */

static void blob_on_done(struct remote_call *c, const struct err *err);

static void blob_send(struct push_blob *b, enum push_state state, const char *method, const char *path, const char *location)
{
	remote_cancel(&b->call);
	b->state = state;
	b->call = (struct remote_call){ .method = method, .part_at = -1, .max_answer = 64 << 10, .on_done = blob_on_done, .arg = b };
	if (state == PUSH_PART_SENT || b->part.len) {
		b->call.content_type = "application/octet-stream";
		b->call.body = buf_str(&b->part);
	}
	if (state == PUSH_PART_SENT)
		b->call.part_at = b->at;
	if (path)
		remote_send(b->push->remote, &b->call, path);
	else
		remote_send_to(b->push->remote, &b->call, location);
}

static void blob_look(struct push_blob *b)
{
	_cleanup_free_ char *path = xasprintf("blobs/%s", b->digest);

	blob_send(b, PUSH_LOOK, "HEAD", path, NULL);
}

static void blob_begin(struct push_blob *b)
{
	_cleanup_buf_ struct buf path = BUF_INIT;

	buf_adds(&path, "blobs/uploads/");
	if (b->push->mount_from) {
		buf_addf(&path, "?mount=%s&from=", b->digest);
		buf_add_url(&path, str_of(b->push->mount_from), false);
	}
	blob_send(b, PUSH_BEGIN, "POST", path.s, NULL);
}

static int blob_read_part(struct push_blob *b)
{
	size_t want = b->size - b->at < PUSH_PART ? (size_t)(b->size - b->at) : PUSH_PART;
	ssize_t n;

	buf_clear(&b->part);
	buf_reserve(&b->part, want);
	n = fd_read_all(b->fd, b->part.s, want);
	if (n != (ssize_t)want)
		return err_set(&b->push->err, ERR_INTERNAL, "the compressed layer %s can't be read", b->digest);
	b->part.len = want;
	b->part.s[want] = '\0';
	return 0;
}

static void blob_end(struct push_blob *b)
{
	_cleanup_free_ char *to = xasprintf("%s%cdigest=%s", b->location, strchr(b->location, '?') ? '&' : '?', b->digest);

	blob_send(b, PUSH_END, "PUT", NULL, to);
}

/* The next part, or the end of it. */
static void blob_next(struct push_blob *b)
{
	bool small = b->size <= PUSH_PART;

	buf_clear(&b->part);
	if ((small && b->at == 0) || b->at < b->size) {
		if (blob_read_part(b) < 0) {
			push_over(b->push);
			return;
		}
	}
	if (small || b->at == b->size)
		blob_end(b);
	else
		blob_send(b, PUSH_PART_SENT, "PATCH", NULL, b->location);
}

static void blob_finish(struct push_blob *b, const char *how)
{
	struct push *p = b->push;

	remote_cancel(&b->call);
	b->fd = close_fd(b->fd);
	buf_release(&b->part);
	b->state = PUSH_DONE;
	push_tell(p, "%.19s %s (%lld bytes)", b->digest, how, (long long)b->size);
	p->left--;
	push_pump(p);
}

static bool blob_take_location(struct push_blob *b)
{
	if (!b->call.location)
		return false;
	free(b->location);
	b->location = take_ptr(&b->call.location);
	return true;
}

static void blob_refused(struct push_blob *b)
{
	remote_refused(&b->call, b->digest, &b->push->err);
	push_over(b->push);
}

static void blob_on_done(struct remote_call *c, const struct err *err)
{
	struct push_blob *b = c->arg;
	int status = c->status;

	if (err) {
		err_copy(&b->push->err, err);
		push_over(b->push);
		return;
	}
	switch (b->state) {
	case PUSH_LOOK:
		if (status == 200)
			blob_finish(b, "is there already");
		else
			blob_begin(b); /* who may not look may be allowed to write */
		return;
	case PUSH_BEGIN:
		if (status == 201)
			blob_finish(b, "was mounted from another repository");
		else if (status == 202 && blob_take_location(b))
			blob_next(b);
		else
			blob_refused(b);
		return;
	case PUSH_PART_SENT:
		if (status != 202 && status != 204) {
			blob_refused(b);
			return;
		}
		b->at += (int64_t)b->part.len;
		(void)blob_take_location(b);
		blob_next(b);
		return;
	default:
		if (status == 201 || status == 204)
			blob_finish(b, "was pushed");
		else
			blob_refused(b);
	}
}

/* --- the manifest --- */

static void push_on_manifest(struct remote_call *c, const struct err *err)
{
	struct push *p = c->arg;

	if (err)
		err_copy(&p->err, err);
	else if (c->status != 201 && c->status != 200)
		remote_refused(c, p->name, &p->err);
	push_over(p);
}

static void push_manifest(struct push *p)
{
	_cleanup_free_ char *path = xasprintf("manifests/%s", p->dest.tag ? p->dest.tag : p->image->manifest);

	p->call = (struct remote_call){ .method = "PUT", .part_at = -1, .content_type = p->media_type, .body = buf_str(&p->manifest),
					.max_answer = 64 << 10, .on_done = push_on_manifest, .arg = p };
	remote_send(p->remote, &p->call, path);
}

static void push_pump(struct push *p)
{
	size_t running = 0;

	for (size_t i = 0; i < p->blobs.n; i++)
		running += p->blobs.v[i].state != PUSH_WAIT && p->blobs.v[i].state != PUSH_DONE;
	for (size_t i = 0; i < p->blobs.n && running < PUSH_AT_ONCE; i++) {
		if (p->blobs.v[i].state != PUSH_WAIT)
			continue;
		running++;
		blob_look(&p->blobs.v[i]);
	}
	if (!p->left)
		push_manifest(p);
}

/* --- start --- */

static int push_add_blob(struct push *p, const struct oci_desc *d)
{
	_cleanup_free_ char *path = image_path(p->store, "blobs/sha256", digest_hex(d->digest));
	struct push_blob b = { .push = p, .fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), .part = BUF_INIT };
	struct stat st;

	for (size_t i = 0; i < p->blobs.n; i++)
		if (streq(p->blobs.v[i].digest, d->digest)) {
			close_fd(b.fd);
			return 0;
		}
	if (b.fd < 0 || fstat(b.fd, &st) < 0) {
		close_fd(b.fd);
		return err_errno(&p->err, errno, "open '%s'", path);
	}
	b.digest = xstrdup(d->digest);
	b.size = st.st_size;
	VEC_PUSH(&p->blobs, b);
	return 0;
}

/* Where the image came from, when that is another repository of the same registry. */
static void push_find_mount(struct push *p)
{
	_cleanup_err_ struct err ignored = ERR_INIT;
	struct image_ref from = { 0 };

	if (*p->image->repo_digest && image_ref_parse(&from, p->image->repo_digest, &ignored) == 0 &&
	    streq(from.registry, p->dest.registry) && !streq(from.repository, p->dest.repository))
		p->mount_from = xstrdup(from.repository);
	image_ref_release(&from);
}

static int push_read_image(struct push *p)
{
	_cleanup_doc_ struct doc *d = NULL;
	const char *type;

	if (!p->image->blobs[0] && p->image->layers[0] && !streq(path_base(p->image->layers[0]), "empty"))
		return err_set(&p->err, ERR_NOT_FOUND, "its compressed layers are not kept here (it was pulled for a pod): "
			       "`kinglet image pull` fetches them");
	if (image_read_blob(p->store, p->image->manifest, &p->manifest, &p->err) < 0 ||
	    oci_manifest_parse(&p->parsed, buf_str(&p->manifest), &p->err) < 0 ||
	    doc_parse_json(&d, buf_str(&p->manifest), NULL, &p->err) < 0)
		return -p->err.code;
	type = node_cstr_or(node_getc(doc_root(d), "mediaType"), "");
	if (!*type)
		type = starts_with(p->parsed.config.media_type, "application/vnd.docker") ?
			       "application/vnd.docker.distribution.manifest.v2+json" :
			       "application/vnd.oci.image.manifest.v1+json";
	p->media_type = xstrdup(type);
	for (size_t i = 0; i < p->parsed.layers.n; i++)
		if (push_add_blob(p, &p->parsed.layers.v[i]) < 0)
			return -p->err.code;
	return push_add_blob(p, &p->parsed.config);
}

static int push_start(struct push *p, const char *ref, const struct image_push_opts *o)
{
	const struct registry_auth auth = { (char *)o->user, (char *)o->password, "" };
	struct remote_config cfg = { .loop = p->store->loop, .push = true, .auth = o->user ? &auth : NULL,
				     .stall_ms = p->store->limits.progress_ms };

	if (image_ref_parse(&p->dest, p->name, &p->err) < 0)
		return -p->err.code;
	free(p->name);
	p->name = image_ref_print(&p->dest);
	p->image = image_find(p->store, ref);
	if (!p->image)
		return err_set(&p->err, ERR_NOT_FOUND, "image \"%s\": not found", ref);
	if (p->dest.digest && !streq(p->dest.digest, p->image->manifest))
		return err_set(&p->err, ERR_BAD_REQUEST, "its digest is %s", p->image->manifest);
	if (push_read_image(p) < 0)
		return -p->err.code;
	push_find_mount(p);
	p->registries = registries_ref(image_store_registries(p->store));
	registries_places(p->registries, &p->dest, false, &p->places);
	cfg.place = &p->places.v[p->places.n - 1]; /* mirrors are not pushed to */
	for (size_t i = 0; i < p->places.n; i++)
		if (!p->places.v[i].ns)
			cfg.place = &p->places.v[i];
	p->remote = remote_new(&cfg);
	p->left = p->blobs.n;
	push_tell(p, "pushing %s", p->name);
	push_pump(p);
	return 0;
}

void image_push(struct image_store *s, const char *ref, const char *dest, const struct image_push_opts *opts,
		void (*done)(void *arg, const char *digest, const struct err *err), void *arg)
{
	const struct image_push_opts none = { 0 };
	struct push *p = xcalloc(1, sizeof(*p));

	p->store = s;
	p->name = xstrdup(dest ? dest : ref);
	p->over.run = push_over_task;
	p->progress = opts ? opts->progress : NULL;
	p->done = done;
	p->arg = arg;
	buf_init(&p->manifest);
	LIST_INSERT_HEAD(&s->pushes, p, link);
	if (push_start(p, ref, opts ? opts : &none) < 0)
		push_over(p);
}
