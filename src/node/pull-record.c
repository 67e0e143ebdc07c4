/*
 * Whose credentials have pulled what is on this node, so that a pod without them
 * can't use an image only because another pod's were good: the kubelet's image
 * pull manager (KEP-2535, imagePullCredentialsVerificationPolicy with its default
 * NeverVerifyPreloadedImages). An image without a record was brought by hand, and
 * is everybody's.
 *
 * <data-dir>/agent/image_manager/pulled.json:
 *
 *	{"pulling": ["r.example/a:1"],
 *	 "pulled": {"sha256:<image ID>": {"r.example/a": {"all": true},
 *	                                  "r.example/b": {"secrets": {"UID NAMESPACE NAME": "<hash>"}}}}}
 *
 * The file is written when something new is to be remembered: at a pull with
 * credentials (before it, too: what came while the daemon was killed must not look
 * brought by hand), at the first one without, and never when nothing happens.
 */
#include "node/pull.h"

#define RECORDS_MAX_BYTES (8u << 20)
#define RECORDS_SECRETS 100 /* of one repository of an image */

struct pull_records {
	struct image_store *store;
	char *dir, *path;
	struct doc *doc;
};

static char *record_repository(const char *ref)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct image_ref r = {0};
	char *out = NULL;

	if (image_ref_parse(&r, ref, &e) == 0)
		out = xasprintf("%s/%s", r.registry, r.repository);
	image_ref_release(&r);
	return out ? out : xstrdup(ref);
}

/* Member key of n, an object; made when make and it is not there. */
static struct node *record_object(struct pull_records *r, struct node *n, const char *key, bool make)
{
	struct node *c = node_getc(n, key);

	if (c && node_is(c, DOC_OBJECT))
		return c;
	return make ? node_setk(r->doc, n, str_of(key), node_new(r->doc, DOC_OBJECT)) : NULL;
}

static struct node *records_pulled(struct pull_records *r)
{
	return record_object(r, doc_root(r->doc), "pulled", true);
}

static struct node *records_pulling(struct pull_records *r)
{
	struct node *n = node_getc(doc_root(r->doc), "pulling");

	if (n && node_is(n, DOC_ARRAY))
		return n;
	return node_setk(r->doc, doc_root(r->doc), STR_LIT("pulling"), node_new(r->doc, DOC_ARRAY));
}

/* --- the file --- */

static void records_save(struct pull_records *r)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct doc *copy;

	for (struct node *c = node_first(records_pulled(r)), *next; c; c = next) {
		_cleanup_free_ char *id = str_dup(node_key(c));
		struct image *i = image_find(r->store, id);

		next = c->next;
		if (!i) /* it was removed */
			node_remove_child(records_pulled(r), c);
		image_unref(i);
	}
	doc_print_json(&text, doc_root(r->doc), DOC_PRINT_COMPACT);
	if (path_mkdirs(r->dir, 0700, &e) < 0 || path_write_atomic(r->path, buf_str(&text), 0600, &e) < 0)
		log_warn("whose credentials pulled which image can't be remembered", LE(&e));
	copy = doc_clone(r->doc); /* what was replaced and removed stays in a document's memory */
	doc_unref(r->doc);
	r->doc = copy;
}

/* What was under way when the daemon ended, and has come: it is not known with whose credentials. */
static void records_take_pulling(struct pull_records *r)
{
	bool any = false;

	NODE_FOREACH (c, records_pulling(r)) {
		struct image *i = image_find(r->store, node_cstr_or(c, ""));

		any = true;
		if (i)
			(void)record_object(r, records_pulled(r), i->id, true);
		image_unref(i);
	}
	if (!any)
		return;
	node_setk(r->doc, doc_root(r->doc), STR_LIT("pulling"), node_new(r->doc, DOC_ARRAY));
	records_save(r);
}

struct pull_records *pull_records_new(const char *state_dir, struct image_store *s)
{
	const struct doc_json_opts opts = {.max_bytes = RECORDS_MAX_BYTES};
	struct pull_records *r = xcalloc(1, sizeof(*r));
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	r->store = s;
	r->dir = path_join(state_dir, "image_manager");
	r->path = path_join(r->dir, "pulled.json");
	if (path_exists(r->path) && (path_read(r->path, RECORDS_MAX_BYTES, &text, &e) < 0 ||
				     doc_parse_json(&r->doc, buf_str(&text), &opts, &e) < 0))
		log_warn("whose credentials pulled which image is forgotten", LE(&e));
	if (!r->doc || !node_is(doc_root(r->doc), DOC_OBJECT)) {
		doc_unref(r->doc);
		r->doc = doc_new();
		doc_set_root(r->doc, node_new(r->doc, DOC_OBJECT));
	}
	records_take_pulling(r);
	return r;
}

void pull_records_free(struct pull_records *r)
{
	if (!r)
		return;
	doc_unref(r->doc);
	free(r->dir);
	free(r->path);
	free(r);
}

/* --- asking --- */

struct record_search {
	const struct node *secrets;
	bool found;
	const char *add_source, *add_hash; /* equal credentials of another secret, or others of the same: remembered */
};

static void record_match(void *arg, const char *source, const char *hash)
{
	struct record_search *s = arg;
	const struct node *same = node_getc(s->secrets, source);

	if (s->found)
		return;
	if (node_streq(same, hash)) {
		s->found = true;
		s->add_source = NULL;
		return;
	}
	if (same)
		s->found = true;
	NODE_FOREACH (c, s->secrets)
		s->found = s->found || node_streq(c, hash);
	if (s->found) {
		s->add_source = source;
		s->add_hash = hash;
	}
}

/* True: that was not known. */
static bool record_add(struct pull_records *r, struct node *entry, const char *source, const char *hash)
{
	struct node *secrets = record_object(r, entry, "secrets", true);

	if (node_streq(node_getc(secrets, source), hash) ||
	    (node_count(secrets) >= RECORDS_SECRETS && !node_getc(secrets, source)))
		return false;
	node_setk(r->doc, secrets, str_of(source), node_new_cstr(r->doc, hash));
	return true;
}

bool pull_records_must_pull(struct pull_records *r, const struct image *i, const char *ref,
			    const struct image_keyring *keys)
{
	_cleanup_free_ char *repository = record_repository(ref);
	struct node *image = node_getc(records_pulled(r), i->id), *entry = node_getc(image, repository);
	struct record_search s = {.secrets = node_getc(entry, "secrets")};

	if (!image || i->pinned) /* what was imported from a file is everybody's, too */
		return false;
	if (node_bool(node_getc(entry, "all"), false))
		return false;
	image_keyring_each(keys, ref, record_match, &s);
	if (s.found && s.add_source && record_add(r, entry, s.add_source, s.add_hash))
		records_save(r);
	return !s.found;
}

/* --- remembering --- */

static bool records_drop_pulling(struct pull_records *r, const char *ref)
{
	NODE_FOREACH (c, records_pulling(r))
		if (node_streq(c, ref)) {
			node_remove_child(records_pulling(r), c);
			return true;
		}
	return false;
}

void pull_records_begin(struct pull_records *r, const char *ref)
{
	node_append(records_pulling(r), node_new_cstr(r->doc, ref));
	records_save(r);
}

void pull_records_done(struct pull_records *r, const struct image *i, const char *ref, const char *source,
		       const char *hash)
{
	_cleanup_free_ char *repository = record_repository(ref);
	struct node *image = record_object(r, records_pulled(r), i->id, true);
	struct node *entry = record_object(r, image, repository, true);
	bool changed = records_drop_pulling(r, ref);

	if (source) {
		changed |= record_add(r, entry, source, hash);
	} else if (!node_bool(node_getc(entry, "all"), false)) {
		node_setk(r->doc, entry, STR_LIT("all"), node_new_bool(r->doc, true));
		changed = true;
	}
	if (changed)
		records_save(r);
}

void pull_records_failed(struct pull_records *r, const char *ref)
{
	if (records_drop_pulling(r, ref))
		records_save(r);
}
