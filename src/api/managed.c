/*
 * managedFields of a request: who its manager is, how its kind's versions become
 * each other, and server-side apply as a patch. The rules are in schema/managed.c.
 *
 * A manager is named by fieldManager, else by the User-Agent up to its first slash.
 * kubectl's own applying gets what it had applied on the client before: fields of
 * the annotation last-applied-configuration are no conflicts for manager "kubectl",
 * and the annotation is kept up to date, as kube-apiserver does.
 */
#include "api/internal.h"

#include "base/time.h"
#include "http/http.h"
#include "schema/apply.h"

#define MANAGED_ROOM 1024 /* for what comes after them: uid, resourceVersion */
#define SCALE_API "autoscaling/v1" /* that any Scale counts as */
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

struct managing { /* what one write needs for a while */
	struct req *r;
	struct managed_by by;
	char now[TIME_RFC3339_LEN];
	VEC(struct doc *) docs;
};

/* --- who --- */

static const char *manager_of_agent(struct req *r)
{
	struct str agent = http_head_get(r->head, "User-Agent"), name = str_cut(&agent, '/');
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (size_t i = 0, n; i < name.n; i += n) {
		n = str_utf8_step(name.p + i, name.n - i);
		if (n == 0 || (unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f) {
			n = n ? n : 1;
			continue;
		}
		if (b.len + n > LIMIT_FIELD_MANAGER_BYTES)
			break;
		buf_add(&b, name.p + i, n);
	}
	return arena_memdupz(r->arena, b.s, b.len);
}

static const char *manager_of(struct req *r)
{
	const char *name = r->opts.field_manager;

	if (str_empty(name) && r->head)
		name = manager_of_agent(r);
	else if (str_empty(name) && r->user == &r->api->self)
		name = "kube-apiserver";
	else if (str_empty(name)) /* a part of this process */
		name = starts_with(r->user->name, "system:") ? r->user->name + strlen("system:") : r->user->name;
	return str_empty(name) ? "unknown" : name;
}

/* --- versions --- */

/* The kind of this request as api_version has it; NULL: it is in no such version. */
static const struct schema_res *managing_version(const struct req *r, const char *api_version)
{
	const struct schema_res *res;

	if (streq(api_version, r->res->r.api_version))
		return r->res;
	res = schema_find_api(str_of(api_version), str_of(r->res->r.kind));
	return res && (res == r->st || schema_storage(res) == r->st) ? res : NULL;
}

static const struct node *managing_convert(void *arg, const struct node *root, const char *from, const char *to,
					   struct fs_type *type)
{
	struct managing *m = arg;
	const struct schema_res *a = managing_version(m->r, from), *b = managing_version(m->r, to);
	struct doc *d;

	if (!a || !b)
		return NULL;
	d = doc_new();
	VEC_PUSH(&m->docs, d);
	doc_set_root(d, node_copy(d, root));
	convert_doc(d, a, m->r->st);
	convert_doc(d, m->r->st, b);
	*type = fs_type_of(b);
	return doc_root(d);
}

static void managing_init(struct managing *m, struct req *r)
{
	*m = (struct managing){ .r = r };
	m->by = (struct managed_by){ .manager = manager_of(r), .api_version = r->res->r.api_version,
				     .subresource = r->at.subresource, .now = m->now,
				     .type = fs_type_of(r->res), .convert = managing_convert, .arg = m };
	time_fmt_rfc3339(m->now, req_now(r));
	m->by.reset = schema_reset_fields(r->st, r->at.subresource, &m->by.n_reset, &m->by.only);
}

static void managing_release(struct managing *m)
{
	for (size_t i = 0; i < m->docs.n; i++)
		doc_unref(m->docs.v[i]);
	VEC_RELEASE(&m->docs);
}

/* --- create, update, the other patches --- */

/* An object that only its managedFields make too large goes without them. */
static void managed_fit(struct doc *d)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (doc_memory(d) < LIMIT_OBJECT_BYTES)
		return;
	doc_print_json(&b, doc_root(d), DOC_PRINT_COMPACT);
	if (b.len + MANAGED_ROOM > LIMIT_OBJECT_BYTES)
		node_remove(node_get(doc_root(d), F_metadata), F_managedFields);
}

void managed_track(struct req *r, struct obj *cur, struct doc *d)
{
	_cleanup_obj_ struct obj *as = cur ? convert_obj(cur, r->res) : NULL;
	struct managing m;

	managing_init(&m, r);
	managed_update(d, as ? obj_node(as) : NULL, &m.by);
	managing_release(&m);
	managed_fit(d);
}

void managed_copy(struct doc *d, const struct node *from)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);
	const struct node *list = node_get(meta_of(from), F_managedFields);

	if (list)
		node_set(d, meta, F_managedFields, node_copy(d, list));
	else
		node_remove(meta, F_managedFields);
}

void managed_track_scale(struct req *r, const char *type, const struct node *old, struct doc *scale)
{
	struct managing m;

	managing_init(&m, r);
	m.by.api_version = SCALE_API;
	m.by.type = fs_type_named(type);
	m.by.convert = NULL;
	m.by.n_reset = 0;
	managed_update(scale, old, &m.by);
	managing_release(&m);
}

bool managed_unchanged(struct doc *d, const struct node *old)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata), *mine = node_get(meta, F_managedFields);
	const struct node *was = node_get(meta_of(old), F_managedFields);
	bool same;

	if (!managed_same(mine, was))
		return false;
	if (!mine)
		return node_equal(doc_root(d), old);
	node_set(d, meta, F_managedFields, node_copy(d, was)); /* with the former times */
	same = node_equal(doc_root(d), old);
	if (!same)
		node_set(d, meta, F_managedFields, mine);
	return same;
}

/* --- apply --- */

static int apply_check_kind(const struct node *config, const char *api_version, const char *kind, struct err *e)
{
	const char *have = node_gets(config, F_apiVersion), *have_kind = node_gets(config, F_kind);

	if (streq(have, api_version) && streq(have_kind, kind))
		return 0;
	return err_bad(e, "invalid object type: %s%s, Kind=%s", strchr(have, '/') ? "" : "/", have, have_kind);
}

static int apply_check(const struct node *config, struct fs_type type, const char *api_version, const char *kind,
		       struct err *e)
{
	_cleanup_fsx_ struct fsx x;
	int rc;

	fsx_init(&x);
	if (apply_check_kind(config, api_version, kind, e) < 0)
		return -e->code;
	if (node_is(node_get(meta_of(config), F_managedFields), DOC_ARRAY))
		return err_bad(e, "metadata.managedFields must be nil");
	rc = fs_check(&x, type, config, e);
	if (rc < 0) {
		err_wrap(e, "failed to create typed patch object (%s/%s; %s%s, Kind=%s)", meta_ns(config),
			 meta_name(config), strchr(api_version, '/') ? "" : "/", api_version, kind);
		e->http_code = 500;
	}
	return rc;
}

/* What kubectl applied on the client last, as far as it can be read. */
static struct doc *apply_exempt(const struct node *live, const struct managed_by *by)
{
	const char *text = live ? meta_annotation(live, LAST_APPLIED) : NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	_cleanup_fsx_ struct fsx x;

	fsx_init(&x);
	if (!streq(by->manager, "kubectl") || str_empty(text) || doc_parse_json(&d, str_of(text), NULL, &e) < 0 ||
	    !node_streq(node_get(doc_root(d), F_apiVersion), by->api_version) ||
	    fs_check(&x, by->type, doc_root(d), &e) < 0)
		return NULL;
	return take_ptr(&d);
}

/* The annotation, where there is one, says what was applied now. */
static void apply_note(struct doc *d, const struct node *config, const char *manager)
{
	struct node *notes = node_path(doc_root(d), F_metadata, F_annotations), *mine;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_doc_ struct doc *copy = NULL;
	size_t bytes = 0;

	if (!streq(manager, "kubectl") || str_empty(meta_annotation(doc_root(d), LAST_APPLIED)))
		return;
	copy = doc_new();
	doc_set_root(copy, node_copy(copy, config));
	mine = node_path(doc_root(copy), F_metadata, F_annotations);
	if (mine)
		node_removek(mine, STR_LIT(LAST_APPLIED));
	doc_print_json(&b, doc_root(copy), DOC_PRINT_SORTED);
	buf_addch(&b, '\n');
	node_setk(d, notes, STR_LIT(LAST_APPLIED), node_new_str(d, buf_str(&b)));
	NODE_FOREACH(n, notes)
		bytes += node_key(n).n + node_str(n).n;
	if (bytes > LIMIT_ANNOTATIONS_BYTES)
		node_removek(notes, STR_LIT(LAST_APPLIED));
}

static int apply_run(struct req *r, const struct node *live, const struct managed_by *by, const char *api_version,
		     const char *kind, struct doc **ret, struct err *e)
{
	const struct node *config = doc_root(r->body);
	_cleanup_doc_ struct doc *d = doc_new(), *exempt = NULL;

	if (apply_check(config, by->type, api_version, kind, e) < 0)
		return -e->code;
	exempt = apply_exempt(live, by);
	if (managed_apply(d, live, config, by, r->opts.force, exempt ? doc_root(exempt) : NULL, e) < 0)
		return -e->code;
	apply_note(d, config, by->manager);
	*ret = take_ptr(&d);
	return 0;
}

int managed_merge(struct req *r, struct obj *cur, struct doc **ret, struct err *e)
{
	_cleanup_obj_ struct obj *as = cur ? convert_obj(cur, r->res) : NULL;
	struct managing m;
	int rc;

	managing_init(&m, r);
	rc = apply_run(r, as ? obj_node(as) : NULL, &m.by, m.by.api_version, r->res->r.kind, ret, e);
	managing_release(&m);
	return rc;
}

int managed_merge_scale(struct req *r, const char *type, const struct node *old, struct doc **ret, struct err *e)
{
	struct managed_by by = { .manager = manager_of(r), .api_version = SCALE_API,
				 .subresource = r->at.subresource, .type = fs_type_named(type) };
	char now[TIME_RFC3339_LEN];

	by.now = time_fmt_rfc3339(now, req_now(r));
	return apply_run(r, old, &by, arena_printf(r->arena, "%s/%s", r->sub->group, r->sub->version), "Scale", ret, e);
}
