/*
 * create, update and patch.
 *
 * A create is complete before it reaches its key: defaults, admission,
 * preparation and validation run at once, and the store only finds out whether
 * the name is taken. An update or patch depends on what is there, so all of it
 * runs in the store's apply, when it is this write's turn on its key: there is
 * nothing between reading and writing that a retry would have to repair.
 *
 * The steps of every write (write_chain):
 *	mutate		admission's first half (table in admit.c)
 *	allocate	a Service's addresses and ports
 *	prepare		what this verb may not set is put right (schema)
 *	validate	all errors at once (schema)
 *	admit		admission's second half
 *
 * dryRun plays the same through without the store. A write that changes nothing
 * is none: no new revision, the present object answers.
 */
#include "api/internal.h"

#include "base/rand.h"
#include "base/time.h"
#include "schema/apply.h"

#define GENERATE_TRIES 8
#define GENERATE_BASE_MAX 58 /* with five characters more it is a label */

/* --- the store --- */

static void req_store_submit(struct req *r);

static bool req_generate_again(struct req *r, const struct err *err)
{
	return err && err->reason == ERR_ALREADY_EXISTS && r->generate_name && r->doc && ++r->tries < GENERATE_TRIES;
}

static void generate_name(struct req *r, struct doc *d)
{
	const char *base = r->generate_name;

	if (!*r->suffix)
		rand_suffix(r->suffix, 5);
	r->at.name = arena_printf(r->arena, "%.*s%s", GENERATE_BASE_MAX, base, r->suffix);
	node_sets(d, node_need_object(d, doc_root(d), F_metadata), F_name, r->at.name);
}

static void generate_gave_up(struct req *r, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	status_group_resource(&b, &r->res->r);
	buf_addf(&b, " \"%s\" already exists, the server was not able to generate a unique name for the object", r->at.name);
	free(e->msg);
	e->msg = buf_detach(&b, NULL);
	e->retry_after_s = 1;
}

static void req_stored(struct store_write *w, struct obj *o, const struct err *err)
{
	struct req *r = CONTAINER_OF(w, struct req, write);
	struct err copy = ERR_INIT;
	int64_t us = time_mono_us() - r->spent.admission_us - r->spent.store_from_us; /* without what apply decided */

	r->spent.store_us += us;
	if (!err)
		metrics_stored(r, us);
	if (req_generate_again(r, err)) {
		r->suffix[0] = '\0';
		generate_name(r, r->doc);
		r->write.name = r->at.name;
		req_store_submit(r);
		return;
	}
	watch_note_write(r->api);
	if (err) {
		err_copy(&copy, err);
		if (err->reason == ERR_ALREADY_EXISTS && r->generate_name)
			generate_gave_up(r, &copy);
		req_resume(r, &copy);
		return;
	}
	r->obj = o ? obj_ref(o) : NULL;
	r->undo = NULL; /* what was reserved is the object's now */
	if (r->stored)
		r->stored(r);
	if (!quota_stored(r, o))
		req_resume(r, NULL);
}

static int req_store_apply(struct store_write *w, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	struct req *r = CONTAINER_OF(w, struct req, write);
	_cleanup_obj_ struct obj *as = NULL;
	bool moved = cur && r->st->custom && cur->res != &r->st->r;
	int rc;

	if (r->api->closing) /* what a decision needs is gone already */
		return err_set(e, ERR_SERVICE_UNAVAILABLE, "the server is stopping");
	/* A custom resource may have been stored in another version, or under another schema. */
	if (moved && convert_req_obj(r, cur, r->st, &as, e) < 0)
		return -e->code;
	if (cur && !moved && r->st->custom)
		as = convert_obj(cur, r->st);
	obj_unref(r->before);
	r->before = cur ? obj_ref(cur) : NULL;
	rc = r->mutate(r, as ? as : cur, out, remove, e);
	r->removed = rc == 0 && *remove;
	if (rc == 0 && moved && !*out && !*remove && (r->verb == VERB_UPDATE || r->verb == VERB_PATCH))
		*out = doc_clone(obj_doc(as)); /* even if nothing else changed: now it is of this version */
	return rc;
}

static void req_store_submit(struct req *r)
{
	r->write.apply = req_store_apply;
	r->write.done = req_stored;
	r->spent.store_rounds++;
	r->spent.store_from_us = time_mono_us() - r->spent.admission_us;
	store_submit(r->api->store, &r->write);
}

static int req_store_dry(struct req *r, struct err *e)
{
	struct obj *cur = store_get(r->api->store, r->write.res, r->write.ns, r->write.name);
	struct doc *out = NULL;

	if (req_store_apply(&r->write, cur, &out, &r->removed, e) < 0)
		return -e->code;
	if (out)
		r->obj = obj_new(r->write.res, out, cur ? cur->rv : 0);
	else if (cur)
		r->obj = obj_ref(cur);
	doc_unref(out);
	if (r->undo)
		r->undo(r); /* nothing stays reserved */
	if (r->stored)
		r->stored(r);
	return STEP_NEXT;
}

int req_store(struct req *r, const char *ns, const char *name, struct err *e)
{
	r->write.res = &r->st->r;
	r->write.ns = r->st->r.namespaced ? ns : "";
	r->write.name = name;
	if (r->opts.dry_run)
		return req_store_dry(r, e);
	req_store_submit(r);
	return STEP_WAIT;
}

/* --- steps of every write --- */

static void write_warning(void *arg, const char *text)
{
	req_warn(arg, "%s", text);
}

int write_admit_body(struct req *r, struct doc **ret, struct err *e)
{
	_cleanup_doc_ struct doc *d = doc_clone(r->body);

	if (admit_mutate(r, d, NULL, e) < 0 || admit_validate(r, d, NULL, e) < 0)
		return -e->code;
	*ret = take_ptr(&d);
	return 0;
}

/* Programs outside may change managedFields, too, but not spoil them. */
static int write_mutate(struct req *r, struct doc *d, struct obj *old, struct err *e)
{
	_cleanup_err_ struct err bad = ERR_INIT;
	_cleanup_doc_ struct doc *kept = NULL;

	if (r->may_ask) {
		kept = doc_new();
		doc_set_root(kept, node_new(kept, DOC_OBJECT));
		managed_copy(kept, doc_root(d));
	}
	if (admit_mutate(r, d, old, e) < 0)
		return -e->code;
	if (kept && managed_check(doc_root(d), &bad) < 0) {
		req_warn(r,
			 ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated "
			 "mutating admission controller; please fix your requests: %s",
			 err_msg(&bad));
		managed_copy(d, doc_root(kept));
	}
	return 0;
}

static int write_chain_steps(struct req *r, struct doc *d, struct obj *old, struct err *e)
{
	const struct node *o = old ? obj_node(old) : NULL;
	const char *sub = *r->at.subresource ? r->at.subresource : NULL;

	if (write_mutate(r, d, old, e) < 0)
		return -e->code;
	if (alloc_service(r, d, old, e) < 0)
		return -e->code;
	schema_prepare(r->st, d, o, sub);
	if (schema_validate(r->st, doc_root(d), o, sub, e) < 0 || admit_validate(r, d, old, e) < 0)
		return -e->code;
	if (r->http)
		schema_warnings(r->st, doc_root(d), write_warning, r);
	return 0;
}

int write_chain(struct req *r, struct doc *d, struct obj *old, struct err *e)
{
	int64_t from = time_mono_us();
	int rc = write_chain_steps(r, d, old, e);

	r->spent.admission_us += time_mono_us() - from;
	return rc;
}

void stamp_new(struct req *r, struct doc *d)
{
	static const enum field cleared[] = { F_deletionTimestamp, F_deletionGracePeriodSeconds, F_selfLink };
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);
	char now[TIME_RFC3339_LEN];

	if (!*r->uid)
		rand_uuid(r->uid);
	node_sets(d, meta, F_uid, r->uid);
	node_sets(d, meta, F_creationTimestamp, time_fmt_rfc3339(now, req_now(r)));
	for (size_t i = 0; i < ARRAY_SIZE(cleared); i++)
		node_remove(meta, cleared[i]);
}

/* The namespace of a body is the request's: filled in, or refused when it is another. */
static int write_check_ns(struct req *r, struct doc *d, struct err *e)
{
	const char *want = r->st->r.namespaced ? r->at.ns : "";
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);
	const char *have = node_gets(meta, F_namespace);

	if (*have && !streq(have, want))
		return err_bad(e, "the namespace of the provided object does not match the namespace sent on the request");
	if (*want && !*have)
		node_sets(d, meta, F_namespace, want);
	return 0;
}

/* d, in the version asked for and to follow cur, as it will be stored. */
static int write_settle_version(struct req *r, struct obj *cur, struct doc *d, struct err *e)
{
	schema_default(r->res, d);
	if (!req_is_patch_apply(r)) /* that one did it while merging */
		managed_track(r, cur, d);
	if (r->res == r->st)
		return 0;
	if (convert_req_doc(r, d, r->res, r->st, e) < 0)
		return -e->code;
	schema_default(r->st, d); /* whatever the other version has no defaults for, as a reader of it would see it */
	return 0;
}

/* --- create --- */

static int create_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	if (cur && meta_is_deleting(obj_node(cur))) {
		_cleanup_free_ char *text = NULL;
		int rc = err_exists(e, &r->res->r, r->at.name);

		text = xasprintf("object is being deleted: %s", err_msg(e));
		free(e->msg);
		e->msg = take_ptr(&text);
		return rc;
	}
	if (cur)
		return err_exists(e, &r->res->r, r->at.name);
	*out = take_ptr(&r->doc);
	return 0;
}

/* Everything before the key; d is of r->st afterwards. */
static int create_prepare(struct req *r, struct doc *d, struct err *e)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);

	if (*node_gets(meta, F_resourceVersion) && !streq(node_gets(meta, F_resourceVersion), "0")) {
		err_set(e, ERR_UNKNOWN, "resourceVersion should not be set on objects to be created");
		e->http_code = 500;
		return -e->code;
	}
	node_remove(meta, F_resourceVersion);
	if (!*node_gets(meta, F_name) && *node_gets(meta, F_generateName)) {
		r->generate_name = arena_strdup(r->arena, node_gets(meta, F_generateName));
		generate_name(r, d);
	} else {
		r->at.name = arena_strdup(r->arena, node_gets(meta, F_name));
	}
	if (write_check_ns(r, d, e) < 0)
		return -e->code;
	stamp_new(r, d);
	if (write_settle_version(r, NULL, d, e) < 0)
		return -e->code;
	if (write_chain(r, d, NULL, e) < 0)
		return -e->code;
	if (!streq(meta_name(doc_root(d)), r->at.name)) /* admission may have named it */
		r->at.name = arena_strdup(r->arena, meta_name(doc_root(d)));
	return 0;
}

int act_create(struct req *r, struct err *e)
{
	if (account_wait(r))
		return STEP_WAIT;
	r->doc = req_take_body(r);
	r->undo = alloc_undo;
	if (create_prepare(r, r->doc, e) < 0)
		return -e->code;
	r->mutate = create_mutate;
	r->status = 201;
	return req_store(r, r->at.ns, r->at.name, e);
}

/* --- update --- */

/* Kinds whose PUT creates what is not there. */
bool allows_create_on_update(const struct resource *res)
{
	static const char *const kinds[][2] = {
		{ "", "endpoints" },	{ "", "events" }, { "events.k8s.io", "events" },
		{ "", "limitranges" },	{ "", "services" },
		{ "rbac.authorization.k8s.io", "roles" },
		{ "rbac.authorization.k8s.io", "clusterroles" },
		{ "rbac.authorization.k8s.io", "rolebindings" },
		{ "rbac.authorization.k8s.io", "clusterrolebindings" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(kinds[i][0], res->group) && streq(kinds[i][1], res->plural))
			return true;
	return false;
}

/* Kinds that insist on a resourceVersion in an update. */
static bool needs_rv(const struct resource *res)
{
	static const char *const kinds[] = {
		"leases", "leasecandidates", "customresourcedefinitions", "apiservices", "flowschemas",
		"prioritylevelconfigurations", "csidrivers", "csinodes", "csistoragecapacities", "volumeattachments",
		"poddisruptionbudgets", "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
		"validatingadmissionpolicies", "validatingadmissionpolicybindings", "resourceslices",
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (streq(kinds[i], res->plural))
			return true;
	return false;
}

static int update_check_rv(struct req *r, struct obj *cur, const struct node *meta, struct err *e)
{
	const char *text = node_gets(meta, F_resourceVersion);
	int64_t rv = parse_rv(text);

	if (rv < 0)
		return err_invalid(e, r->st->r.group, r->st->r.kind, r->at.name, "FieldValueInvalid",
				   "metadata.resourceVersion", "\"%.64s\": must be an unsigned integer", text);
	if (rv == 0 && needs_rv(&r->st->r))
		return err_invalid(e, r->st->r.group, r->st->r.kind, r->at.name, "FieldValueInvalid",
				   "metadata.resourceVersion", "0x0: must be specified for an update");
	return rv && rv != cur->rv ? err_modified(e, &r->res->r, r->at.name) : 0;
}

static int update_check_uid(struct req *r, const char *cur_uid, const struct node *meta, struct err *e)
{
	const char *uid = node_gets(meta, F_uid);

	if (!*uid || streq(uid, cur_uid))
		return 0;
	return err_conflict(e, &r->res->r, r->at.name,
			    "StorageError: invalid object, Code: 4, Key: %s%s%s%s, ResourceVersion: 0, "
			    "AdditionalErrorMsg: Precondition failed: UID in precondition: %s, UID in object meta: %s",
			    r->st->r.prefix, r->st->r.namespaced ? r->at.ns : "", r->st->r.namespaced ? "/" : "",
			    r->at.name, uid, cur_uid);
}

/* What no update changes. */
static void update_keep_meta(struct doc *d, struct obj *cur)
{
	static const enum field kept[] = { F_name, F_namespace, F_uid, F_resourceVersion, F_generation,
					   F_creationTimestamp, F_deletionTimestamp, F_deletionGracePeriodSeconds };
	struct node *meta = node_need_object(d, doc_root(d), F_metadata);
	const struct node *old = meta_of(obj_node(cur));

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		const struct node *n = node_get(old, kept[i]);

		if (n)
			node_set(d, meta, kept[i], node_copy(d, n));
		else
			node_remove(meta, kept[i]);
	}
}

int write_update(struct req *r, struct obj *cur, struct doc *d_take, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *d = d_take;
	const struct node *meta = node_need_object(d, doc_root(d), F_metadata);

	if (update_check_uid(r, cur->uid, meta, e) < 0 || update_check_rv(r, cur, meta, e) < 0)
		return -e->code;
	update_keep_meta(d, cur);
	r->undo = alloc_undo;
	if (write_chain(r, d, cur, e) < 0)
		return -e->code;
	if (delete_due_on_update(r, obj_node(cur), doc_root(d)))
		*remove = true;
	else if (managed_unchanged(d, obj_node(cur)))
		return 0;
	*out = take_ptr(&d);
	return 0;
}

/* Who updates or applies what is not there must be allowed to create it. */
static int update_may_create(struct req *r, struct err *e)
{
	const char *verb = r->at.verb;
	int rc;

	r->at.verb = verb_name(VERB_CREATE);
	rc = authz_request(r, e);
	r->at.verb = verb;
	return rc < 0 ? rc : 0;
}

static int update_create(struct req *r, struct doc **out, struct err *e)
{
	if (update_may_create(r, e) < 0 || create_prepare(r, r->doc, e) < 0)
		return -e->code;
	r->status = 201;
	*out = take_ptr(&r->doc);
	return 0;
}

static int update_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	if (cur) {
		struct doc *d = take_ptr(&r->doc);

		if (write_settle_version(r, cur, d, e) < 0) {
			doc_unref(d);
			return -e->code;
		}
		return write_update(r, cur, d, out, remove, e);
	}
	if (update_check_uid(r, "", meta_of(doc_root(r->doc)), e) < 0)
		return -e->code;
	if (!*r->at.subresource && allows_create_on_update(&r->res->r)) {
		node_remove(node_need_object(r->doc, doc_root(r->doc), F_metadata), F_resourceVersion);
		return update_create(r, out, e);
	}
	return err_not_found(e, &r->res->r, r->at.name);
}

static int update_check_name(struct req *r, struct doc *d, struct err *e)
{
	const char *name = meta_name(doc_root(d));

	if (!streq(name, r->at.name))
		return err_bad(e, "the name of the object (%s) does not match the name on the URL (%s)", name, r->at.name);
	return write_check_ns(r, d, e);
}

int act_update(struct req *r, struct err *e)
{
	r->doc = req_take_body(r);
	if (update_check_name(r, r->doc, e) < 0)
		return -e->code;
	r->undo = alloc_undo;
	r->mutate = update_mutate;
	return req_store(r, r->at.ns, r->at.name, e);
}

/* --- patch --- */

static int patch_wrong_shape(struct req *r, const struct node *patch, struct err *e)
{
	static const char *const names[] = { "null", "bool", "number", "number", "string", "array", "object" };

	return err_bad(e, "%sjson: cannot unmarshal %s into Go value of type map[string]interface {}",
		       r->opts.patch_type == PATCH_MERGE ? "error decoding patch: " : "", names[node_type(patch)]);
}

int apply_patch(struct req *r, const struct schema_res *res, struct doc *d, struct err *e)
{
	const struct node *patch = doc_root(r->body);

	if (r->opts.patch_type == PATCH_JSON)
		return doc_patch_json(d, patch, e);
	if (!node_is(patch, DOC_OBJECT))
		return patch_wrong_shape(r, patch, e);
	if (r->opts.patch_type == PATCH_MERGE)
		doc_patch_merge(d, patch);
	else if (schema_patch_strategic(res, d, patch, e) < 0)
		return -e->code;
	return 0;
}

/* The object as the patch makes it, in the version asked for. */
static int patch_outcome(struct req *r, struct obj *cur, struct doc **ret, struct err *e)
{
	_cleanup_obj_ struct obj *as = NULL;
	_cleanup_doc_ struct doc *d = NULL;

	if (req_is_patch_apply(r)) {
		if (managed_merge(r, cur, &d, e) < 0)
			return -e->code;
	} else {
		if (convert_req_obj(r, cur, r->res, &as, e) < 0)
			return -e->code;
		d = doc_clone(obj_doc(as));
		if (apply_patch(r, r->res, d, e) < 0)
			return -e->code;
	}
	if (decode_doc(r, r->res, d, e) < 0)
		return -e->code;
	if (!*meta_name(doc_root(d)))
		return err_bad(e, "the name of the object (%s based on URL) was undeterminable: name must be provided",
			       r->at.name);
	if (update_check_name(r, d, e) < 0)
		return -e->code;
	*ret = take_ptr(&d);
	return 0;
}

/* An applied configuration that finds nothing creates it. */
static int patch_create(struct req *r, struct doc **out, struct err *e)
{
	const char *uid;

	if (patch_outcome(r, NULL, &r->doc, e) < 0)
		return -e->code;
	uid = meta_uid(doc_root(r->doc));
	if (*uid)
		return err_conflict(e, &r->res->r, r->at.name,
				    "uid mismatch: the provided object specified uid %s, and no existing object was found",
				    uid);
	return update_create(r, out, e);
}

static int patch_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	if (!cur)
		return req_is_patch_apply(r) && !*r->at.subresource ? patch_create(r, out, e) :
								     err_not_found(e, &r->res->r, r->at.name);
	if (patch_outcome(r, cur, &d, e) < 0 || write_settle_version(r, cur, d, e) < 0)
		return -e->code;
	return write_update(r, cur, take_ptr(&d), out, remove, e);
}

static int patch_check_options(struct req *r, struct err *e)
{
	if (!req_is_patch_apply(r)) {
		if (r->opts.force && r->head)
			return err_invalid(e, "meta.k8s.io", "PatchOptions", "", "FieldValueForbidden", "force",
					   "may not be specified for non-apply patch");
		return 0;
	}
	if (str_empty(r->opts.field_manager))
		return err_invalid(e, "meta.k8s.io", "PatchOptions", "", "FieldValueRequired", "fieldManager",
				   "is required for apply patch");
	if (!node_is(doc_root(r->body), DOC_OBJECT))
		return err_bad(e, "error decoding YAML: the configuration is no object");
	return 0;
}

int act_patch(struct req *r, struct err *e)
{
	if (patch_check_options(r, e) < 0)
		return -e->code;
	if (req_is_patch_apply(r) && account_wait(r))
		return STEP_WAIT;
	r->undo = alloc_undo;
	r->mutate = patch_mutate;
	return req_store(r, r->at.ns, r->at.name, e);
}
