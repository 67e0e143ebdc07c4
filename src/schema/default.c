/*
 * Defaulting: what an object that left fields out is taken to mean.
 *
 * The document is walked along its types, outer before inner. At each struct come
 * first the values that Go's encoder writes although nobody set them ({} for
 * embedded structs, "" and 0 for required scalars, null for times and required
 * lists), then the rows of defaults.tsv for that type, then what Kubernetes does
 * in conversion functions (Secret.stringData, PodSpec.serviceAccount, podIPs).
 *
 * Every condition text of defaults.tsv is a DC_ constant (tables.gen.h) with a
 * case in default_holds; the compiler finds one that is missing. Conditions are
 * those of Kubernetes' SetDefaults functions. All of it is idempotent.
 *
 * To add a default, add a row to defaults.tsv; a new kind of condition needs its
 * case, a computed value its branch in default_compute.
 */
#include "schema/crd.h"
#include "schema/tables.gen.h"

#include "base/time.h"

struct defaults {
	struct doc *d;
	bool is_pod; /* the object is a Pod, not a template */
	bool host_network; /* ... on the host's network */
	bool strategy_was_empty; /* updateStrategy.type of the object, before the rows */
};

static void default_struct(struct defaults *x, struct node *n, const struct schema_type *t);

/* --- conditions --- */

static bool is_nil(const struct node *n)
{
	return node_type(n) == DOC_NULL;
}

/* Absent, null, "", 0, [] or {}. */
static bool is_empty(const struct node *n)
{
	switch (node_type(n)) {
	case DOC_STRING:
	case DOC_ARRAY:
	case DOC_OBJECT:
		return n->len == 0;
	case DOC_INT:
		return n->u.i == 0;
	default:
		return is_nil(n);
	}
}

/* The tag of an image's name as the reference parser reads it: "" when there is only a digest, or no name. */
static struct str default_image_tag(struct str image)
{
	ssize_t at = str_find(image, '@');
	struct str name = at >= 0 ? str_sub(image, 0, at) : image;
	ssize_t slash = str_rfind(name, '/'), colon = str_rfind(name, ':');

	if (name.n == 0)
		return STR_LIT("");
	if (colon > slash)
		return str_sub(name, colon + 1, name.n);
	return at >= 0 ? STR_LIT("") : STR_LIT("latest");
}

static bool default_is_latest(const struct node *image)
{
	return str_eqc(default_image_tag(node_str(image)), "latest");
}

static bool type_is(const struct node *obj, const char *type)
{
	return node_streq(node_path(obj, F_spec, F_type), type);
}

static bool default_rolls(const struct node *obj)
{
	return node_streq(node_path(obj, F_spec, F_strategy, F_type), "RollingUpdate") ||
	       node_streq(node_path(obj, F_spec, F_updateStrategy, F_type), "RollingUpdate");
}

static bool default_externally_accessible(const struct node *obj)
{
	return type_is(obj, "NodePort") || type_is(obj, "LoadBalancer") ||
	       (type_is(obj, "ClusterIP") && node_count(node_path(obj, F_spec, F_externalIPs)) > 0);
}

static bool default_kind_is_user(const struct node *obj)
{
	return streq(node_gets(obj, F_kind), "User") || streq(node_gets(obj, F_kind), "Group");
}

/* obj: the struct whose type has the row; parent: what holds the leaf (NULL when not there); leaf may be NULL. */
static bool default_holds(const struct defaults *x, enum schema_cond cond, const struct node *obj,
			  const struct node *parent, const struct node *leaf)
{
	switch (cond) {
	case DC_0:
	case DC_EMPTY:
	case DC_0_OR_EMPTY:
		return is_empty(leaf);
	case DC_NIL:
	case DC_NIL_NOW_SECONDS:
		return is_nil(leaf);
	case DC_0_AND_ALLOCATIONMODE_EXACTCOUNT:
		return is_empty(leaf) && node_streq(node_get(obj, F_allocationMode), "ExactCount");
	case DC_0_AND_POD_SPEC_HOSTNETWORK:
		return is_empty(leaf) && x->host_network;
	case DC_BEHAVIOR_SET_AND_NIL:
		return is_nil(leaf) && !is_nil(node_path(obj, F_spec, F_behavior));
	case DC_EMPTY_AND_EGRESS_SET:
		return is_empty(leaf) && !is_empty(node_path(obj, F_spec, F_egress));
	case DC_EMPTY_AND_NO_EGRESS:
		return is_empty(leaf) && is_empty(node_path(obj, F_spec, F_egress));
	case DC_EMPTY_AND_EXTERNALLY_ACCESSIBLE_NODEPORT_LOADBALA:
		return is_empty(leaf) && default_externally_accessible(obj);
	case DC_EMPTY_AND_KIND_USER_OR_GROUP:
		return is_empty(leaf) && default_kind_is_user(obj);
	case DC_EMPTY_AND_NAMES_KIND_SET_NAMES_KIND_LIST:
	case DC_EMPTY_LOWER_NAMES_KIND:
		return is_empty(leaf) && !is_empty(node_path(obj, F_names, F_kind));
	case DC_EMPTY_NAME_OF_VERSION_WITH_STORAGE_TRUE:
		return is_empty(leaf);
	case DC_EMPTY_AND_TAG_LATEST_OR_NONE:
		return is_empty(leaf) && default_is_latest(node_get(obj, F_image));
	case DC_EMPTY_AND_OTHER_TAG_OR_DIGEST:
		return is_empty(leaf) && !default_is_latest(node_get(obj, F_image));
	case DC_IMAGE_SET_AND_EMPTY_AND_TAG_LATEST:
		return parent && is_empty(leaf) && default_is_latest(node_get(parent, F_reference));
	case DC_IMAGE_SET_AND_EMPTY_AND_TAG_NOT_LATEST:
		return parent && is_empty(leaf) && !default_is_latest(node_get(parent, F_reference));
	case DC_EMPTY_AND_SPEC_TEMPLATE_SET:
	case DC_EMPTY_AND_TEMPLATE_LABELS_SET:
		return is_empty(leaf) &&
		       !is_empty(node_path(obj, F_spec, F_template, F_metadata, F_labels));
	case DC_FEATURE_MAXUNAVAILABLESTATEFULSET_AND_TYPE_ROLLIN:
	case DC_TYPE_ROLLINGUPDATE_AND_ROLLINGUPDATE_SET_AND_NIL:
		return parent && is_nil(leaf) && default_rolls(obj);
	case DC_TYPE_ROLLINGUPDATE_OR_ROLLINGUPDATE_SET_AND_NIL:
		return is_nil(leaf) && (default_rolls(obj) || node_path(obj, F_spec, F_strategy, F_rollingUpdate));
	case DC_NIL_AND_TEMPLATE_LABELS_SET_MATCHLABELS_SPEC_TEMP:
		return is_nil(node_path(obj, F_spec, F_selector)) &&
		       !is_empty(node_path(obj, F_spec, F_template, F_metadata, F_labels));
	case DC_TYPE_ROLLINGUPDATE_AND_NIL:
		return is_nil(leaf) && default_rolls(obj);
	case DC_TYPE_WAS_EMPTY_AND_NIL:
		return is_nil(leaf) && x->strategy_was_empty;
	case DC_NAME_SET:
		return !is_empty(node_path(obj, F_metadata, F_name));
	case DC_NIL_AND_BACKOFFLIMITPERINDEX_NIL:
		return is_nil(leaf) && is_nil(node_path(obj, F_spec, F_backoffLimitPerIndex));
	case DC_NIL_AND_BACKOFFLIMITPERINDEX_SET:
		return is_nil(leaf) && !is_nil(node_path(obj, F_spec, F_backoffLimitPerIndex));
	case DC_NIL_AND_CAPACITY_SET:
		return is_nil(leaf) && !is_empty(node_get(obj, F_capacity));
	case DC_NIL_AND_FEATURE_SELINUXMOUNTREADWRITEONCEPOD:
		return is_nil(leaf);
	case DC_NIL_AND_FEATURE_PODLOGSQUERYSPLITSTREAMS: /* off in this release, like the next */
	case DC_NIL_AND_FEATURE_VOLUMELIMITSCALING:
		return false;
	case DC_NIL_AND_IP_SET_AND_TYPE_LOADBALANCER:
		return parent && is_nil(leaf) && !is_empty(node_get(parent, F_ip)) && type_is(obj, "LoadBalancer");
	case DC_NIL_AND_PARALLELISM_NIL:
		return is_nil(leaf) && is_nil(node_path(obj, F_spec, F_parallelism));
	case DC_NIL_AND_PODFAILUREPOLICY_NIL:
		return is_nil(leaf) && is_nil(node_path(obj, F_spec, F_podFailurePolicy));
	case DC_NIL_AND_PODFAILUREPOLICY_SET:
		return is_nil(leaf) && !is_nil(node_path(obj, F_spec, F_podFailurePolicy));
	case DC_NIL_AND_TYPE_CLUSTERIP_NODEPORT_LOADBALANCER:
		return is_nil(leaf) &&
		       (type_is(obj, "ClusterIP") || type_is(obj, "NodePort") || type_is(obj, "LoadBalancer"));
	case DC_NIL_AND_TYPE_LOADBALANCER:
		return is_nil(leaf) && type_is(obj, "LoadBalancer");
	case DC_NO_SOURCE_SET:
		return node_count(obj) == (node_get(obj, F_name) ? 1 : 0);
	case DC_PARAMETERS_SET_AND_NIL:
		return parent && is_nil(leaf);
	case DC_RESOURCES_LIMITS_R_SET_AND_REQUEST_UNSET_POD_ONLY:
		return x->is_pod;
	case DC_SPEC_RESOURCES_LIMITS_SET_AND_UNSET_FEATURE_PODLE:
		return !is_empty(node_path(obj, F_spec, F_resources, F_limits));
	case DC_SESSIONAFFINITY_CLIENTIP_AND_UNSET:
		return is_empty(leaf) && node_streq(node_path(obj, F_spec, F_sessionAffinity), "ClientIP");
	case DC_SESSIONAFFINITY_NONE:
		return node_streq(node_path(obj, F_spec, F_sessionAffinity), "None");
	case DC_SUB_MILLI_PRECISION_ROUND_UP_TO_MILLI: /* decode.c does it */
		return false;
	case DC_TYPE_CONTAINER_AND_UNSET_MAX_R:
	case DC_TYPE_CONTAINER_AND_UNSET_DEFAULT_R_ELSE_MIN_R:
		return node_streq(node_get(obj, F_type), "Container");
	}
	return false;
}

/* --- computed values --- */

/* What `from` has and `to` (made when needed) lacks is copied. */
static void default_fill_map(struct defaults *x, struct node *owner, enum field to, const struct node *from)
{
	struct node *map;

	if (is_empty(from))
		return;
	map = node_need_object(x->d, owner, to);
	NODE_FOREACH(c, from) {
		if (!node_getk(map, node_key(c)))
			node_setk(x->d, map, node_key(c), node_copy(x->d, c));
	}
}

bool schema_sum_requests(const struct node *spec, struct str name, struct quantity *sum)
{
	bool any = false;

	NODE_FOREACH(c, node_get(spec, F_containers)) {
		struct quantity q;

		if (!quantity_from_node(&q, node_getk(node_path(c, F_resources, F_requests), name)))
			continue;
		if (any)
			quantity_add(sum, &q);
		else
			*sum = q;
		any = true;
	}
	return any;
}

static void default_pod_requests(struct defaults *x, const struct node *pod)
{
	struct node *spec = node_get(pod, F_spec), *resources = node_get(spec, F_resources);
	struct node *requests = node_need_object(x->d, resources, F_requests);

	NODE_FOREACH(limit, node_get(resources, F_limits)) {
		struct str name = node_key(limit);
		bool huge = str_starts(name, STR_LIT("hugepages-"));
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct quantity sum;

		if ((!huge && !str_eqc(name, "cpu") && !str_eqc(name, "memory")) || node_getk(requests, name))
			continue;
		if (!huge && schema_sum_requests(spec, name, &sum)) {
			quantity_print(&sum, &b);
			node_setk(x->d, requests, name, node_new_str(x->d, buf_str(&b)));
		} else {
			node_setk(x->d, requests, name, node_copy(x->d, limit));
		}
	}
	if (node_count(requests) == 0)
		node_remove(resources, F_requests);
}

static void default_lower_kind(struct defaults *x, struct node *spec)
{
	struct node *names = node_get(spec, F_names);
	char *lower = xstrdup(node_gets(names, F_kind));

	for (char *p = lower; *p; p++)
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	node_sets(x->d, names, F_singular, lower);
	free(lower);
}

static void default_stored_versions(struct defaults *x, struct node *crd)
{
	struct node *status = node_need_object(x->d, crd, F_status);
	struct node *list = node_need_array(x->d, status, F_storedVersions);

	NODE_FOREACH(v, node_path(crd, F_spec, F_versions)) {
		if (node_bool(node_get(v, F_storage), false))
			node_append(list, node_new_cstr(x->d, node_gets(v, F_name)));
	}
}

static void default_compute(struct defaults *x, enum schema_cond cond, struct node *obj)
{
	char now[TIME_RFC3339_LEN];
	struct node *resources;

	if (!default_holds(x, cond, obj, obj, NULL))
		return;
	switch ((int)cond) {
	case DC_RESOURCES_LIMITS_R_SET_AND_REQUEST_UNSET_POD_ONLY:
		resources = node_get(obj, F_resources);
		default_fill_map(x, resources, F_requests, node_get(resources, F_limits));
		break;
	case DC_SPEC_RESOURCES_LIMITS_SET_AND_UNSET_FEATURE_PODLE:
		default_pod_requests(x, obj);
		break;
	case DC_TYPE_CONTAINER_AND_UNSET_MAX_R:
		default_fill_map(x, obj, F_default, node_get(obj, F_max));
		break;
	case DC_TYPE_CONTAINER_AND_UNSET_DEFAULT_R_ELSE_MIN_R:
		default_fill_map(x, obj, F_defaultRequest, node_get(obj, F_default));
		default_fill_map(x, obj, F_defaultRequest, node_get(obj, F_min));
		break;
	case DC_EMPTY_LOWER_NAMES_KIND:
		if (is_empty(node_path(obj, F_names, F_singular)))
			default_lower_kind(x, obj);
		break;
	case DC_EMPTY_AND_NAMES_KIND_SET_NAMES_KIND_LIST:
		if (is_empty(node_path(obj, F_names, F_listKind)))
			node_set(x->d, node_get(obj, F_names), F_listKind,
				 node_new_fmt(x->d, "%sList", node_gets(node_get(obj, F_names), F_kind)));
		break;
	case DC_EMPTY_NAME_OF_VERSION_WITH_STORAGE_TRUE:
		if (is_empty(node_path(obj, F_status, F_storedVersions)))
			default_stored_versions(x, obj);
		break;
	case DC_NIL_AND_TEMPLATE_LABELS_SET_MATCHLABELS_SPEC_TEMP:
		default_fill_map(x, node_need_object(x->d, node_get(obj, F_spec), F_selector), F_matchLabels,
				 node_path(obj, F_spec, F_template, F_metadata, F_labels));
		break;
	case DC_NIL_NOW_SECONDS:
		if (is_nil(node_get(obj, F_timeAdded)))
			node_sets(x->d, obj, F_timeAdded, time_fmt_rfc3339(now, time_wall_s()));
		break;
	default:
		break;
	}
}

/* --- rows --- */

/* A copy source: only names, no marks. */
static const struct node *default_source(const struct node *obj, const uint16_t *path)
{
	for (; *path != SP_END; path++)
		obj = node_get(obj, (enum field)*path);
	return obj;
}

static struct node *default_parse(struct defaults *x, const char *json)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct doc *lit = NULL;
	struct node *n;

	if (streq(json, "{}"))
		return node_new(x->d, DOC_OBJECT);
	if (doc_parse_json(&lit, str_of(json), NULL, &e) < 0)
		BUG_ON("a literal of defaults.tsv is no JSON");
	n = node_copy(x->d, doc_root(lit));
	doc_unref(lit);
	return n;
}

static void default_set(struct defaults *x, const struct schema_dflt *row, struct node *obj, struct node *parent,
			enum field f)
{
	const struct node *from;

	switch ((enum schema_default_value)row->value) {
	case DV_INT:
		node_seti(x->d, parent, f, (int32_t)row->n);
		break;
	case DV_BOOL:
		node_setb(x->d, parent, f, row->n != 0);
		break;
	case DV_STRING:
		node_sets(x->d, parent, f, SCHEMA_STR(row->n));
		break;
	case DV_JSON:
		node_set(x->d, parent, f, default_parse(x, SCHEMA_STR(row->n)));
		break;
	case DV_COPY:
		from = default_source(obj, schema_paths + row->n);
		if (!is_empty(from))
			node_set(x->d, parent, f, node_copy(x->d, from));
		break;
	case DV_REMOVE:
		node_remove(parent, f);
		break;
	case DV_COMPUTED:
		break;
	}
}

/* Goes down to the leaf; structs on the way are made only when the condition holds. For a path with [] the
 * copy source is the item. */
static void default_descend(struct defaults *x, const struct schema_dflt *row, struct node *obj,
			    struct node *from, struct node *n, const uint16_t *path)
{
	enum field f = (enum field)path[0];
	struct node *child = node_get(n, f);

	if (path[1] == SP_END) {
		if (default_holds(x, row->cond, obj, n, child))
			default_set(x, row, from, n, f);
		return;
	}
	if (path[1] == SP_ITEMS) {
		NODE_FOREACH(item, child)
			default_descend(x, row, obj, item, item, path + 2);
		return;
	}
	if (!node_is(child, DOC_OBJECT)) {
		if (row->value == DV_REMOVE || !default_holds(x, row->cond, obj, NULL, NULL))
			return;
		child = node_need_object(x->d, n, f);
	}
	default_descend(x, row, obj, from, child, path + 1);
}

static void default_row(struct defaults *x, const struct schema_dflt *row, struct node *obj)
{
	if (row->value == DV_COMPUTED) {
		default_compute(x, row->cond, obj);
	} else if (row->cond == DC_NAME_SET) {
		struct node *meta = node_get(obj, F_metadata);

		if (default_holds(x, row->cond, obj, obj, NULL))
			node_setk(x->d, node_need_object(x->d, meta, F_labels),
				  STR_LIT("kubernetes.io/metadata.name"),
				  node_new_cstr(x->d, node_gets(meta, F_name)));
	} else {
		default_descend(x, row, obj, obj, obj, schema_paths + row->path);
	}
}

/* --- what Go writes although it was not set --- */

struct node *schema_fill_value(struct doc *d, const struct schema_field *f)
{
	struct node *n;

	if (f->shape != SH_ONE || (f->flags & SF_NULLABLE))
		return node_new(d, DOC_NULL);
	n = schema_zero(d, f);
	if (n)
		return n;
	if (f->kind == SK_REF && !(schema_field_type(f)->flags & ST_OPAQUE))
		return node_new(d, DOC_OBJECT);
	return node_new(d, DOC_NULL);
}

static void default_fill(struct defaults *x, struct node *n, const struct schema_type *t)
{
	const struct schema_field *f = schema_type_fields(t);

	for (unsigned i = 0; i < t->n_fields; i++, f++) {
		if ((f->flags & SF_FILL) && !node_get(n, (enum field)f->name))
			node_set(x->d, n, (enum field)f->name, schema_fill_value(x->d, f));
	}
}

/* --- what Kubernetes' conversions keep in step --- */

/* A deprecated single value beside its list: "podIP" and "podIPs". The single one wins. */
static void default_single_and_list(struct defaults *x, struct node *n, enum field one, enum field many, enum field in)
{
	const struct node *single = node_get(n, one), *list = node_get(n, many);
	const struct node *first = in ? node_get(node_first(list), in) : node_first(list);

	if (is_empty(single)) {
		if (!is_empty(first))
			node_set(x->d, n, one, node_copy(x->d, first));
		return;
	}
	if (node_equal(single, first))
		return;
	struct node *arr = node_new(x->d, DOC_ARRAY), *item = node_copy(x->d, single);

	if (in) {
		struct node *obj = node_append(arr, node_new(x->d, DOC_OBJECT));

		node_set(x->d, obj, in, item);
	} else {
		node_append(arr, item);
	}
	node_set(x->d, n, many, arr);
}

static void convert_pod_spec(struct defaults *x, struct node *n)
{
	const struct node *name = node_get(n, F_serviceAccountName), *old = node_get(n, F_serviceAccount);

	if (!is_empty(name))
		node_set(x->d, n, F_serviceAccount, node_copy(x->d, name));
	else if (!is_empty(old))
		node_set(x->d, n, F_serviceAccountName, node_copy(x->d, old));
	x->host_network = x->is_pod && node_bool(node_get(n, F_hostNetwork), false);
}

static void convert_pod_status(struct defaults *x, struct node *n)
{
	default_single_and_list(x, n, F_podIP, F_podIPs, F_ip);
}

static void convert_node_spec(struct defaults *x, struct node *n)
{
	default_single_and_list(x, n, F_podCIDR, F_podCIDRs, F_NONE);
}

static void convert_secret(struct defaults *x, struct node *n)
{
	const struct node *text = node_get(n, F_stringData);
	struct node *data;

	if (node_count(text) > 0) {
		data = node_need_object(x->d, n, F_data);
		NODE_FOREACH(c, text) {
			_cleanup_buf_ struct buf b = BUF_INIT;
			struct str s = node_str(c);
			struct node *had = node_getk(data, node_key(c));

			buf_add_base64(&b, s.p, s.n, false);
			if (had)
				node_assign(x->d, had, node_new_str(x->d, buf_str(&b)));
			else
				node_setk(x->d, data, node_key(c), node_new_str(x->d, buf_str(&b)));
		}
	}
	node_remove(n, F_stringData);
}

static void convert_stateful_set(struct defaults *x, struct node *n)
{
	NODE_FOREACH(claim, node_path(n, F_spec, F_volumeClaimTemplates)) {
		if (!node_is(claim, DOC_OBJECT))
			continue;
		node_sets(x->d, claim, F_apiVersion, "v1");
		node_sets(x->d, claim, F_kind, "PersistentVolumeClaim");
	}
	x->strategy_was_empty = is_empty(node_path(n, F_spec, F_updateStrategy, F_type));
}

static const struct {
	const char *type;
	void (*convert)(struct defaults *x, struct node *n); /* before the type's rows */
} CONVERSIONS[] = {
	{ "apps/v1.StatefulSet", convert_stateful_set },
	{ "apps/v1beta1.StatefulSet", convert_stateful_set },
	{ "apps/v1beta2.StatefulSet", convert_stateful_set },
	{ "core/v1.NodeSpec", convert_node_spec },
	{ "core/v1.PodSpec", convert_pod_spec },
	{ "core/v1.PodStatus", convert_pod_status },
	{ "core/v1.Secret", convert_secret },
};

static void default_convert(struct defaults *x, struct node *n, const struct schema_type *t)
{
	static const struct schema_type *types[ARRAY_SIZE(CONVERSIONS)];

	if (!types[0]) {
		for (size_t i = 0; i < ARRAY_SIZE(CONVERSIONS); i++)
			types[i] = schema_type_find(str_of(CONVERSIONS[i].type));
	}
	for (size_t i = 0; i < ARRAY_SIZE(CONVERSIONS); i++) {
		if (types[i] == t)
			CONVERSIONS[i].convert(x, n);
	}
}

/* --- the walk --- */

static void default_below(struct defaults *x, struct node *n, const struct schema_field *f)
{
	const struct schema_type *t = schema_field_type(f);

	if (!t || (t->flags & (ST_ALIAS | ST_OPAQUE)))
		return;
	if (f->shape == SH_ONE) {
		default_struct(x, n, t);
		return;
	}
	NODE_FOREACH(c, n)
		default_struct(x, c, t);
}

static void default_struct(struct defaults *x, struct node *n, const struct schema_type *t)
{
	if (!node_is(n, DOC_OBJECT))
		return;
	default_fill(x, n, t);
	default_convert(x, n, t);
	for (unsigned i = 0; i < t->n_defaults; i++)
		default_row(x, &schema_defaults[t->defaults + i], n);
	NODE_FOREACH(c, n) {
		const struct schema_field *f = schema_type_field(t, (enum field)c->name);

		if (!f || f->kind != SK_REF)
			continue;
		default_below(x, c, f);
	}
}

void schema_default(const struct schema_res *r, struct doc *d)
{
	struct defaults x = { .d = d };

	if (r->custom) {
		crd_default(r, d);
		return;
	}
	x.is_pod = streq(r->r.kind, "Pod") && !*r->r.group;
	default_struct(&x, doc_root(d), r->type);
}
