/*
 * metadata.managedFields: who owns which fields, what a write makes of it, and
 * server-side apply. Mirrors apimachinery's util/managedfields (the chain of
 * managers there is one function here) and structured-merge-diff's merge.Updater.
 *
 * An entry is identified by manager, operation and subresource, for updates by the
 * apiVersion, too. An update takes the fields that it changes from everybody else;
 * an applied configuration owns all that it lists, conflicts with those whose value
 * it changes, and loses what its former version listed unless somebody else owns it.
 * Sets of other versions are compared and pruned on the object as that version has
 * it (managed_by.convert).
 */
#include <stdlib.h>

#include "base/limits.h"
#include "base/time.h"
#include "schema/apply.h"

#define ANCIENT "ancient-changes"
#define BEFORE_APPLY "before-first-apply"
#define SAME_ANY_ORDER 100 /* entries; longer lists are compared one by one */
#define SCALE_API "autoscaling/v1"
#define SCALE_PATH "spec.replicas"

/* No one's: what the server itself sets, and what says which object it is. */
static const char *const stripped[] = {
	"apiVersion", "kind", "metadata", "metadata.name", "metadata.namespace", "metadata.creationTimestamp",
	"metadata.selfLink", "metadata.uid", "metadata.clusterName", "metadata.generation",
	"metadata.managedFields", "metadata.resourceVersion",
};

struct owner { /* one entry */
	const char *manager, *api_version, *subresource, *time; /* time "": none */
	bool applied;
	bool gone;
	struct fset *set, *conflict;
};

struct version { /* how one apiVersion sees the change */
	const char *api_version;
	struct fs_type type;
	bool missing;
	bool compared;
	struct fs_diff all;
	struct fs_diff diff; /* without what the write does not change */
};

struct run { /* one write */
	struct fsx x;
	const struct managed_by *by;
	VEC(struct owner *) owners;
	VEC(struct version *) versions;
	VEC(struct doc *) docs; /* of the operation's conversions */
	struct fset *reset, *strip;
};

static void run_init(struct run *u, const struct managed_by *by)
{
	*u = (struct run){ .by = by };
	fsx_init(&u->x);
	u->strip = fset_of_paths(&u->x, stripped, ARRAY_SIZE(stripped));
	if (by)
		u->reset = fset_of_paths(&u->x, by->reset, by->n_reset);
}

static void run_release(struct run *u)
{
	for (size_t i = 0; i < u->docs.n; i++)
		doc_unref(u->docs.v[i]);
	VEC_RELEASE(&u->docs);
	VEC_RELEASE(&u->owners);
	VEC_RELEASE(&u->versions);
	fsx_release(&u->x);
}

static struct doc *run_doc(struct run *u)
{
	struct doc *d = doc_new();

	VEC_PUSH(&u->docs, d);
	return d;
}

/* --- entries: reading --- */

static struct owner *owner_find(struct run *u, const struct owner *like)
{
	for (size_t i = 0; i < u->owners.n; i++) {
		struct owner *o = u->owners.v[i];

		if (!o->gone && o->applied == like->applied && streq(o->manager, like->manager) &&
		    streq(o->subresource, like->subresource) &&
		    (o->applied || streq(o->api_version, like->api_version)))
			return o;
	}
	return NULL;
}

/* Adds an entry, or takes the place of the one with the same identity. */
static struct owner *owner_put(struct run *u, const struct owner *like)
{
	struct owner *o = owner_find(u, like);

	if (!o) {
		o = arena_zalloc(u->x.arena, sizeof(*o));
		VEC_PUSH(&u->owners, o);
	}
	*o = *like;
	return o;
}

static int owner_read(struct run *u, const struct node *n, struct err *e)
{
	const char *op = node_gets(n, F_operation), *type = node_gets(n, F_fieldsType);
	struct owner o = { .manager = node_gets(n, F_manager), .api_version = node_gets(n, F_apiVersion),
			   .subresource = node_gets(n, F_subresource), .time = node_gets(n, F_time),
			   .applied = streq(op, "Apply") };

	if (!o.applied && !streq(op, "Update"))
		return err_set(e, ERR_BAD_REQUEST, "operation must be `Apply` or `Update`");
	if (!*o.api_version)
		return err_set(e, ERR_BAD_REQUEST, "apiVersion must not be empty");
	if (!streq(type, "FieldsV1"))
		return err_set(e, ERR_BAD_REQUEST, "%s fieldsType in managed fields entry",
			       *type ? "invalid" : "missing");
	if (fset_parse(&u->x, node_get(n, F_fieldsV1), &o.set, e) < 0)
		return -e->code;
	owner_put(u, &o);
	return 0;
}

static const struct node *managed_of(const struct node *root)
{
	return node_get(meta_of(root), F_managedFields);
}

/* On an error there are none. */
static int owners_read(struct run *u, const struct node *root, struct err *e)
{
	u->owners.n = 0;
	if (node_count(managed_of(root)) > LIMIT_MANAGED_ENTRIES)
		return err_set(e, ERR_BAD_REQUEST, "more than %d entries", LIMIT_MANAGED_ENTRIES);
	NODE_FOREACH(n, managed_of(root)) {
		if (owner_read(u, n, e) < 0) {
			u->owners.n = 0;
			return -e->code;
		}
	}
	return 0;
}

/* --- entries: writing --- */

static int64_t owner_seconds(const struct owner *o)
{
	int64_t ns;

	return time_parse_rfc3339(str_of(o->time), &ns) ? ns / SEC_NS : 0;
}

static int owner_cmp_names(const struct owner *a, const struct owner *b)
{
	int c = strcmp(a->manager, b->manager);

	if (!c)
		c = strcmp(a->api_version, b->api_version);
	return c ? c : strcmp(a->subresource, b->subresource);
}

static int owner_cmp(const void *p, const void *q)
{
	const struct owner *a = *(struct owner *const *)p, *b = *(struct owner *const *)q;
	int64_t ta, tb;

	if (a->applied != b->applied)
		return a->applied ? -1 : 1;
	ta = owner_seconds(a);
	tb = owner_seconds(b);
	if (ta != tb)
		return ta < tb ? -1 : 1;
	return owner_cmp_names(a, b);
}

static void owners_drop_gone(struct run *u)
{
	size_t n = 0;

	for (size_t i = 0; i < u->owners.n; i++)
		if (!u->owners.v[i]->gone && !fset_is_empty(u->owners.v[i]->set))
			u->owners.v[n++] = u->owners.v[i];
	u->owners.n = n;
}

static void owner_write(struct node *list, struct doc *d, const struct owner *o)
{
	struct node *n = node_append(list, node_new(d, DOC_OBJECT));

	node_sets(d, n, F_manager, o->manager);
	node_sets(d, n, F_operation, o->applied ? "Apply" : "Update");
	node_sets(d, n, F_apiVersion, o->api_version);
	if (*o->time)
		node_sets(d, n, F_time, o->time);
	node_sets(d, n, F_fieldsType, "FieldsV1");
	node_set(d, n, F_fieldsV1, fset_print(o->set, d));
	if (*o->subresource)
		node_sets(d, n, F_subresource, o->subresource);
}

static void owners_write(struct run *u, struct doc *d)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata), *list;

	node_remove(meta, F_managedFields);
	owners_drop_gone(u);
	if (!u->owners.n)
		return;
	qsort(u->owners.v, u->owners.n, sizeof(*u->owners.v), owner_cmp);
	list = node_set(d, meta, F_managedFields, node_new(d, DOC_ARRAY));
	for (size_t i = 0; i < u->owners.n; i++)
		owner_write(list, d, u->owners.v[i]);
}

/* --- at most so many updaters --- */

static int owner_cmp_age(const void *p, const void *q)
{
	const struct owner *a = *(struct owner *const *)p, *b = *(struct owner *const *)q;
	int64_t ta = owner_seconds(a), tb = owner_seconds(b);

	return ta != tb ? (ta < tb ? -1 : 1) : owner_cmp_names(a, b);
}

/* The first of a version that is too old keeps its name until a second one comes: then both are ancient. True when
 * one entry is less. */
static bool owners_cap_one(struct run *u, struct owner **old, size_t at)
{
	struct owner *o = old[at], *first = NULL, *bucket;
	struct owner like = { .manager = ANCIENT, .api_version = o->api_version, .subresource = "", .time = "" };

	for (size_t i = 0; i < at && !first; i++)
		if (!old[i]->gone && streq(old[i]->api_version, o->api_version))
			first = old[i];
	if (!first)
		return false;
	bucket = owner_find(u, &like);
	if (bucket == o) {
		o->set = fset_union(&u->x, o->set, first->set);
		first->gone = true;
		return true;
	}
	if (!bucket) {
		bucket = first;
		bucket->manager = ANCIENT;
		bucket->subresource = "";
	}
	bucket->set = fset_union(&u->x, bucket->set, o->set);
	bucket->time = o->time; /* the newer one's */
	o->gone = true;
	return true;
}

static void owners_cap(struct run *u)
{
	struct owner **old;
	size_t n = 0, left;

	owners_drop_gone(u);
	old = arena_alloc(u->x.arena, (u->owners.n + 1) * sizeof(struct owner *));
	for (size_t i = 0; i < u->owners.n; i++)
		if (!u->owners.v[i]->applied)
			old[n++] = u->owners.v[i];
	if (n <= MANAGED_MAX_UPDATERS)
		return;
	qsort(old, n, sizeof(*old), owner_cmp_age);
	left = n;
	for (size_t i = 0; i < n && left > MANAGED_MAX_UPDATERS; i++)
		left -= owners_cap_one(u, old, i);
	owners_drop_gone(u);
}

/* --- versions --- */

static const struct node *run_as(struct run *u, const struct node *root, const char *from, const char *to,
				 struct fs_type *type)
{
	if (streq(to, u->by->api_version))
		*type = u->by->type;
	if (streq(from, to))
		return root;
	return u->by->convert ? u->by->convert(u->by->arg, root, from, to, type) : NULL;
}

static struct fset *run_filter(struct run *u, struct fset *s)
{
	if (u->by->only)
		return fset_below(&u->x, s, u->reset);
	return fset_difference(&u->x, s, u->reset, true);
}

static void version_compare(struct run *u, struct version *v, const struct node *old, const struct node *new)
{
	const char *ours = u->by->api_version;
	const struct node *a = run_as(u, old, ours, v->api_version, &v->type);
	const struct node *b = a ? run_as(u, new, ours, v->api_version, &v->type) : NULL;

	v->compared = true;
	v->all = v->diff = (struct fs_diff){ NULL, NULL, NULL };
	v->missing = !a || !b;
	if (v->missing)
		return;
	fs_compare(&u->x, v->type, a, b, &v->all);
	v->diff.added = run_filter(u, v->all.added);
	v->diff.modified = run_filter(u, v->all.modified);
	v->diff.removed = run_filter(u, v->all.removed);
}

static struct version *run_version(struct run *u, const char *api_version)
{
	struct version *v;

	for (size_t i = 0; i < u->versions.n; i++)
		if (streq(u->versions.v[i]->api_version, api_version))
			return u->versions.v[i];
	v = arena_zalloc(u->x.arena, sizeof(*v));
	v->api_version = api_version;
	VEC_PUSH(&u->versions, v);
	return v;
}

/* What was granular when an entry was written and is atomic now. Entries of lost versions go. */
static void owners_reconcile(struct run *u, const struct node *root)
{
	for (size_t i = 0; i < u->owners.n; i++) {
		struct owner *o = u->owners.v[i];
		struct version *v = run_version(u, o->api_version);

		if (!v->type.ops && !v->missing)
			v->missing = !run_as(u, root, u->by->api_version, o->api_version, &v->type);
		o->gone |= v->missing;
		o->set = fs_reconcile(&u->x, v->type, o->set);
	}
	owners_drop_gone(u);
}

/* What everybody but self loses when old becomes new; owner.conflict says who loses by a change. */
static void owners_compare(struct run *u, const struct node *old, const struct node *new, const struct owner *self)
{
	for (size_t i = 0; i < u->versions.n; i++)
		u->versions.v[i]->compared = false;
	for (size_t i = 0; i < u->owners.n; i++) {
		struct owner *o = u->owners.v[i];
		struct version *v = run_version(u, o->api_version);

		if (o == self)
			continue;
		if (!v->compared)
			version_compare(u, v, old, new);
		o->gone |= v->missing;
		o->conflict = fset_intersection(&u->x, o->set,
						fset_union(&u->x, v->diff.modified, v->diff.added));
	}
}

static void owners_lose(struct run *u, const struct owner *self)
{
	for (size_t i = 0; i < u->owners.n; i++) {
		struct owner *o = u->owners.v[i];
		struct version *v = run_version(u, o->api_version);

		if (o == self || o->gone)
			continue;
		o->set = fset_difference(&u->x, o->set, o->conflict, false);
		o->set = fset_difference(&u->x, o->set, v->diff.removed, false);
	}
	owners_drop_gone(u);
}

/* --- update --- */

/* An update by `manager` from old to new. */
static void run_update(struct run *u, const struct node *old, const struct node *new, const char *manager)
{
	struct owner like = { .manager = manager, .api_version = u->by->api_version,
			      .subresource = u->by->subresource, .time = u->by->now };
	struct version *ours = run_version(u, u->by->api_version);
	struct owner *o;
	struct fset *mine;

	owners_reconcile(u, old);
	owners_compare(u, old, new, NULL);
	owners_lose(u, NULL);
	if (!ours->compared)
		version_compare(u, ours, old, new);
	mine = fset_union(&u->x, ours->all.modified, ours->all.added);
	mine = fset_difference(&u->x, mine, ours->all.removed, false);
	mine = fset_difference(&u->x, run_filter(u, mine), u->strip, false);
	if (fset_is_empty(mine))
		return;
	o = owner_find(u, &like);
	like.set = fset_union(&u->x, mine, o ? o->set : NULL);
	owner_put(u, &like);
}

/* A list that is there and says nothing wishes all entries away. */
static bool managed_is_reset(const struct node *root)
{
	const struct node *list = managed_of(root);

	if (!node_is(list, DOC_ARRAY))
		return false;
	return !node_count(list) || (node_count(list) == 1 && node_is(node_first(list), DOC_OBJECT) &&
				     !node_count(node_first(list)));
}

/* The entries that the write starts from. */
static void run_read_update(struct run *u, const struct node *new, const struct node *live)
{
	_cleanup_err_ struct err bad = ERR_INIT;

	if (!*u->by->subresource) {
		if (managed_is_reset(new))
			return;
		if (owners_read(u, new, &bad) == 0 && u->owners.n)
			return;
	}
	if (owners_read(u, live, &bad) < 0)
		u->owners.n = 0;
}

static const struct node *run_zero(struct run *u)
{
	struct doc *d = run_doc(u);
	struct fs_type t = u->by->type;
	struct node *n = t.ops && t.ops->zero ? t.ops->zero(t, d) : NULL;

	if (!n) { /* as a decoder finds an object that has only its metadata */
		n = node_new(d, DOC_OBJECT);
		node_need_object(d, n, F_metadata);
	}
	return n;
}

void managed_update(struct doc *d, const struct node *live, const struct managed_by *by)
{
	struct run u;

	run_init(&u, by);
	run_read_update(&u, doc_root(d), live);
	if (u.owners.n || !live) { /* what is not followed yet is not followed from an update on */
		struct node *meta = node_need_object(d, doc_root(d), F_metadata), *was = node_get(meta, F_managedFields);

		/* owners borrow texts of what was there: it stays in d's memory */
		if (was)
			node_remove_child(meta, was);
		run_update(&u, live ? live : run_zero(&u), doc_root(d), by->manager);
		owners_cap(&u);
	}
	owners_write(&u, d);
	run_release(&u);
}

/* --- apply: what the former configuration listed --- */

struct vdoc { /* a document of some version, ours to change */
	struct doc *d;
	const char *version;
	struct fs_type type;
};

/* A copy of v as another version; false: there is none. */
static bool vdoc_as(struct run *u, const struct vdoc *v, const char *version, struct vdoc *ret)
{
	struct fs_type type = v->type;
	const struct node *n = run_as(u, doc_root(v->d), v->version, version, &type);

	if (!n)
		return false;
	*ret = (struct vdoc){ run_doc(u), version, type };
	doc_set_root(ret->d, node_copy(ret->d, n));
	return true;
}

static struct fset *vdoc_fields(struct run *u, const struct vdoc *v)
{
	return fs_with_named(&u->x, v->type, fs_fields(&u->x, v->type, doc_root(v->d)));
}

/* Puts back what was pruned and somebody owns in this version. Both documents change to it. */
static void prune_keep_owned(struct run *u, struct vdoc *merged, struct vdoc *pruned, const char *version)
{
	struct vdoc m, p;
	struct fset *owned = NULL, *all, *keep;

	for (size_t i = 0; i < u->owners.n; i++)
		if (streq(u->owners.v[i]->api_version, version))
			owned = fset_union(&u->x, owned, u->owners.v[i]->set);
	if (!vdoc_as(u, merged, version, &m) || !vdoc_as(u, pruned, version, &p))
		return;
	all = vdoc_fields(u, &m);
	keep = fset_union(&u->x, vdoc_fields(u, &p), fs_with_named(&u->x, m.type, owned));
	*merged = m;
	BUG_ON(!vdoc_as(u, merged, version, pruned));
	fs_remove(&u->x, m.type, pruned->d, fset_difference(&u->x, all, keep, false));
}

static bool owner_first_of_version(const struct run *u, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (streq(u->owners.v[i]->api_version, u->owners.v[at]->api_version))
			return false;
	return true;
}

/* d loses what last (a set of version) has and nobody owns now. */
static void run_prune(struct run *u, struct doc *d, struct fset *last, const char *version)
{
	struct vdoc all = { d, u->by->api_version, u->by->type }, was, merged, pruned, back;
	struct fset *gone;

	if (fset_is_empty(last) || !vdoc_as(u, &all, version, &was))
		return;
	last = fs_with_named(&u->x, was.type, last);
	merged = was;
	BUG_ON(!vdoc_as(u, &was, version, &pruned));
	fs_remove(&u->x, pruned.type, pruned.d, last);
	prune_keep_owned(u, &merged, &pruned, version);
	for (size_t i = 0; i < u->owners.n; i++)
		if (owner_first_of_version(u, i) && !streq(u->owners.v[i]->api_version, version))
			prune_keep_owned(u, &merged, &pruned, u->owners.v[i]->api_version);
	if (!vdoc_as(u, &pruned, version, &back))
		return;
	gone = fset_difference(&u->x, vdoc_fields(u, &was), vdoc_fields(u, &back), false);
	fs_remove(&u->x, was.type, was.d, fset_intersection(&u->x, gone, last));
	if (vdoc_as(u, &was, u->by->api_version, &back))
		doc_set_root(d, node_copy(d, doc_root(back.d)));
}

/* --- apply: conflicts --- */

static void conflict_manager(struct buf *out, const struct owner *o)
{
	buf_add_json_string(out, str_of(o->manager));
	if (*o->subresource) {
		buf_adds(out, " with subresource ");
		buf_add_json_string(out, str_of(o->subresource));
	}
	if (!o->applied)
		buf_addf(out, " using %s", o->api_version);
}

struct conflicts {
	struct err *e;
	struct buf text;
	const char *manager;
	size_t n;
	bool one; /* ... is all there is */
};

static void conflict_add(void *arg, const char *path)
{
	struct conflicts *c = arg;

	err_add_cause(c->e, "FieldManagerConflict", path, "conflict with %s", c->manager);
	buf_addf(&c->text, c->one ? ": %s" : "\n- %s", path);
}

static int owner_cmp_identity(const void *p, const void *q)
{
	const struct owner *a = *(struct owner *const *)p, *b = *(struct owner *const *)q;
	int c = strcmp(a->manager, b->manager);

	if (!c && a->applied != b->applied)
		return a->applied ? -1 : 1;
	return c ? c : owner_cmp_names(a, b);
}

static int run_conflicts(struct run *u, size_t n, struct err *e)
{
	struct conflicts c = { .e = e, .text = BUF_INIT, .n = n, .one = n == 1 };

	buf_addf(&c.text, "Apply failed with %zu conflict%s: ", n, n == 1 ? "" : "s");
	qsort(u->owners.v, u->owners.n, sizeof(*u->owners.v), owner_cmp_identity);
	err_set(e, ERR_CONFLICT, "%s", "");
	for (size_t i = 0, told = 0; i < u->owners.n; i++) {
		_cleanup_buf_ struct buf who = BUF_INIT;

		if (fset_is_empty(u->owners.v[i]->conflict))
			continue;
		conflict_manager(&who, u->owners.v[i]);
		c.manager = who.s;
		buf_addf(&c.text, "%sconflict%s with %s%s", told++ ? "\n" : "", c.one ? "" : "s", who.s,
			 c.one ? "" : ":");
		fset_each(u->owners.v[i]->conflict, conflict_add, &c);
	}
	free(e->msg);
	e->msg = buf_detach(&c.text, NULL);
	return -e->code;
}

/* What an older way of applying listed, as far as it is still so. */
static struct fset *run_exempt(struct run *u, const struct node *exempt, const struct node *live)
{
	struct fset *s = fs_fields(&u->x, u->by->type, exempt);
	struct fs_diff diff;

	fs_compare(&u->x, u->by->type, exempt, live, &diff);
	s = fset_difference(&u->x, s, diff.modified, false);
	s = fset_difference(&u->x, s, diff.added, false);
	return fset_difference(&u->x, s, diff.removed, false);
}

static int run_check_conflicts(struct run *u, const struct node *exempt, const struct node *live, struct err *e)
{
	struct fset *may = NULL;
	size_t n = 0, left = 0;

	for (size_t i = 0; i < u->owners.n; i++)
		n += fset_size(u->owners.v[i]->conflict);
	if (n && exempt)
		may = run_exempt(u, exempt, live);
	if (!n || !may)
		return n ? run_conflicts(u, n, e) : 0;
	for (size_t i = 0; i < u->owners.n; i++)
		left += fset_size(fset_difference(&u->x, u->owners.v[i]->conflict, may, false));
	if (!left)
		return 0;
	for (size_t i = 0; i < u->owners.n; i++)
		u->owners.v[i]->conflict = fset_difference(&u->x, u->owners.v[i]->conflict, may, false);
	return run_conflicts(u, left, e);
}

/* --- apply --- */

/* The applier's entry has the configuration's fields; *last: what it had. */
static struct owner *run_applier(struct run *u, const struct node *config, struct owner *last)
{
	struct owner like = { .manager = u->by->manager, .api_version = u->by->api_version, .time = u->by->now,
			      .subresource = u->by->subresource, .applied = true };
	const struct owner *was = owner_find(u, &like);

	*last = was ? *was : (struct owner){ 0 };
	like.set = run_filter(u, fs_fields(&u->x, u->by->type, config));
	return owner_put(u, &like);
}

static int run_apply(struct run *u, struct doc *d, const struct node *live, const struct node *config, bool force,
		     const struct node *exempt, struct err *e)
{
	const struct node *old = live ? live : run_zero(u);
	struct owner *self, last;

	if (!u->owners.n && live)
		run_update(u, run_zero(u), live, BEFORE_APPLY);
	owners_reconcile(u, old);
	doc_set_root(d, node_copy(d, old));
	node_remove(node_get(doc_root(d), F_metadata), F_managedFields);
	fs_merge(&u->x, u->by->type, d, config);
	self = run_applier(u, config, &last);
	if (last.manager)
		run_prune(u, d, last.set, last.api_version);
	owners_compare(u, old, doc_root(d), self);
	if (!force && run_check_conflicts(u, exempt, old, e) < 0)
		return -e->code;
	owners_lose(u, self);
	self->set = fset_difference(&u->x, self->set, u->strip, false);
	owners_write(u, d);
	return 0;
}

int managed_apply(struct doc *d, const struct node *live, const struct node *config, const struct managed_by *by,
		  bool force, const struct node *exempt, struct err *e)
{
	struct run u;
	int rc;

	run_init(&u, by);
	rc = owners_read(&u, live, e);
	if (rc < 0) {
		err_wrap(e, "failed to decode managed fields");
		e->reason = ERR_UNKNOWN;
	} else {
		rc = run_apply(&u, d, live, config, force, exempt, e);
	}
	run_release(&u);
	return rc;
}

int managed_check(const struct node *root, struct err *e)
{
	struct run u;
	int rc;

	run_init(&u, NULL);
	rc = owners_read(&u, root, e);
	run_release(&u);
	return rc;
}

/* --- comparing --- */

static bool entry_same(const struct node *a, const struct node *b)
{
	if (!node_equal(node_get(a, F_manager), node_get(b, F_manager)) || node_count(a) != node_count(b))
		return false;
	NODE_FOREACH(c, a)
		if (c->name != F_time && !node_equal(c, node_getk(b, node_key(c))))
			return false;
	return true;
}

/* A list's order follows its times: what is alike may stand elsewhere. */
bool managed_same(const struct node *a, const struct node *b)
{
	const struct node *q = node_first(b);
	bool few = node_count(a) < SAME_ANY_ORDER;

	if (node_count(a) != node_count(b))
		return false;
	NODE_FOREACH(p, a) {
		const struct node *hit = entry_same(p, q) ? q : NULL;

		for (const struct node *c = few ? node_first(b) : NULL; c && !hit; c = c->next)
			hit = entry_same(p, c) ? c : NULL;
		if (!hit)
			return false;
		q = q->next;
	}
	return true;
}

/* --- scale --- */

void managed_to_scale(struct doc *scale, const struct node *parent, const char *path)
{
	_cleanup_err_ struct err e = ERR_INIT;
	static const char *const own[] = { SCALE_PATH };
	struct run u;

	run_init(&u, NULL);
	if (owners_read(&u, parent, &e) == 0) {
		for (size_t i = 0; i < u.owners.n; i++) {
			struct owner *o = u.owners.v[i];

			o->set = fset_has(o->set, path) ? fset_of_paths(&u.x, own, 1) : NULL;
			o->api_version = SCALE_API;
		}
		owners_write(&u, scale);
	}
	run_release(&u);
}

/* The entry of the Scale that stands for o. */
static struct owner *scale_entry(struct run *s, const struct owner *o)
{
	struct owner like = *o;

	like.api_version = SCALE_API;
	return owner_find(s, &like);
}

void managed_from_scale(struct doc *d, const struct node *scale, const char *api_version, const char *path)
{
	_cleanup_err_ struct err e = ERR_INIT;
	const char *const paths[] = { path };
	struct run p, s;
	struct fset *field;

	run_init(&p, NULL);
	run_init(&s, NULL);
	field = fset_of_paths(&p.x, paths, 1);
	if (owners_read(&p, doc_root(d), &e) == 0 && owners_read(&s, scale, &e) == 0) {
		for (size_t i = 0; i < p.owners.n; i++) {
			struct owner *o = p.owners.v[i], *still = scale_entry(&s, o);

			if (!fset_has(o->set, path))
				continue;
			if (still)
				o->time = still->time;
			else
				o->set = fset_difference(&p.x, o->set, field, false);
			if (still)
				still->gone = true;
		}
		for (size_t i = 0; i < s.owners.n; i++) {
			struct owner o = *s.owners.v[i];

			if (o.gone || !fset_has(o.set, SCALE_PATH))
				continue;
			o.api_version = api_version;
			o.set = field;
			owner_put(&p, &o);
		}
		owners_write(&p, d);
	}
	run_release(&s);
	run_release(&p);
}
