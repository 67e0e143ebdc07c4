/*
 * Names that are given by hand, images that nobody uses, and compressed layers
 * that are no longer wanted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "image/internal.h"
#include "image/manifest.h"

int image_tag(struct image_store *s, const char *ref, const char *name, struct err *e)
{
	_cleanup_close_ int lock = -1;
	_cleanup_free_ char *printed = NULL;
	struct image_ref r = { 0 };
	struct image *i;

	if (image_ref_parse(&r, name, e) < 0) {
		image_ref_release(&r);
		return -e->code;
	}
	if (r.digest)
		err_set(e, ERR_BAD_REQUEST, "\"%s\": a digest can't be given as a name", name);
	printed = image_ref_print(&r);
	image_ref_release(&r);
	if (err_is_set(e))
		return -e->code;
	lock = image_store_lock(s, e);
	if (lock < 0 || image_index_load(s, e) < 0)
		return -e->code;
	i = image_find(s, ref);
	if (!i)
		return err_set(e, ERR_NOT_FOUND, "image \"%s\": not found", ref);
	image_take_name(s, i, printed);
	image_add_name(i, printed);
	image_drop_nameless(s);
	(void)!image_index_save(s, e);
	image_unref(i);
	return err_is_set(e) ? -e->code : 0;
}

int image_drop_blobs(struct image_store *s, const char *id, struct err *e)
{
	_cleanup_close_ int lock = image_store_lock(s, e);
	bool changed = false;

	if (lock < 0 || image_index_load(s, e) < 0)
		return -e->code;
	for (size_t k = 0; k < s->images.n; k++) {
		struct image *i = s->images.v[k];

		if (!i->blobs[0] || (id ? !streq(i->id, id) : i->pinned))
			continue;
		image_clear_blobs(i);
		changed = true;
	}
	if (!changed)
		return 0;
	if (image_index_save(s, e) < 0)
		return -e->code;
	image_sweep(s);
	return 0;
}

int image_pin(struct image_store *s, const char *id, struct err *e)
{
	_cleanup_close_ int lock = image_store_lock(s, e);
	bool changed = false;

	if (lock < 0 || image_index_load(s, e) < 0)
		return -e->code;
	for (size_t k = 0; k < s->images.n; k++) {
		struct image *i = s->images.v[k];

		if (!streq(i->id, id) || i->pinned)
			continue;
		changed = i->pinned = true;
	}
	return changed ? image_index_save(s, e) : 0;
}

bool image_in_use(struct image_store *s, const struct image *i)
{
	return image_held(s, i->id, NULL);
}

void image_holders(struct image_store *s, const struct image *i, void (*f)(void *arg, const char *holder), void *arg)
{
	image_each_holder(s, i->id, f, arg);
}

struct prune {
	struct image_store *store;
	struct buf *report;
	struct err *e;
};

static void prune_one(void *arg, struct image *i)
{
	struct prune *p = arg;

	if (!err_is_set(p->e) && !i->pinned && !image_in_use(p->store, i))
		(void)!image_remove(p->store, i->id, p->report, p->e);
}

int image_prune(struct image_store *s, struct buf *report, struct err *e)
{
	struct prune p = { s, report, e };

	image_each(s, prune_one, &p);
	fetch_sweep(s, true);
	return err_is_set(e) ? -e->code : 0;
}

int image_read_blob(struct image_store *s, const char *digest, struct buf *out, struct err *e)
{
	_cleanup_free_ char *path = image_path(s, "blobs/sha256", digest_hex(digest));

	return path_read(path, LIMIT_IMAGE_MANIFEST_BYTES, out, e);
}
