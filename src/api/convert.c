/*
 * Versions of one thing. An object is stored in one version; a request in
 * another sees it converted on the way out and converts on the way in.
 *
 * Most versions differ in apiVersion alone. Those that differ in shape have a
 * row in `converters`: Events of core and events.k8s.io (the same object under
 * other names), HorizontalPodAutoscaler v1 and v2; or in `older_converters`
 * (convert-older.c): versions that Kubernetes dropped. What the smaller version
 * has no field for travels in annotations, as Kubernetes does it, so that reading
 * and writing back in v1 loses nothing.
 */
#include "api/convert.h"
#include "schema/custom.h"

/* --- events --- */

static const enum field event_names[][2] = { /* core/v1, events.k8s.io/v1 */
	{ F_involvedObject, F_regarding },
	{ F_message, F_note },
	{ F_source, F_deprecatedSource },
	{ F_firstTimestamp, F_deprecatedFirstTimestamp },
	{ F_lastTimestamp, F_deprecatedLastTimestamp },
	{ F_count, F_deprecatedCount },
	{ F_reportingComponent, F_reportingController },
};

static void event_rename(struct doc *d, bool to_core)
{
	struct node *root = doc_root(d);

	for (size_t i = 0; i < ARRAY_SIZE(event_names); i++) {
		enum field from = event_names[i][to_core ? 1 : 0], to = event_names[i][to_core ? 0 : 1];
		struct node *n = node_get(root, from);

		if (!n)
			continue;
		n = node_copy(d, n);
		node_remove(root, from);
		node_set(d, root, to, n);
	}
}

static void event_to_core(struct doc *d)
{
	event_rename(d, true);
}

static void event_from_core(struct doc *d)
{
	event_rename(d, false);
}

/* --- horizontal pod autoscalers --- */

static const struct {
	enum field parent, field;
	const char *annotation;
} hpa_extra[] = {
	{ F_spec, F_metrics, "autoscaling.alpha.kubernetes.io/metrics" },
	{ F_spec, F_behavior, "autoscaling.alpha.kubernetes.io/behavior" },
	{ F_status, F_currentMetrics, "autoscaling.alpha.kubernetes.io/current-metrics" },
	{ F_status, F_conditions, "autoscaling.alpha.kubernetes.io/conditions" },
};

static bool hpa_is_cpu(const struct node *metric, enum field value)
{
	const struct node *res = node_get(metric, F_resource);

	return node_streq(node_get(metric, F_type), "Resource") && node_streq(node_get(res, F_name), "cpu") &&
	       node_get(node_get(res, value), F_averageUtilization);
}

/* The CPU percentage leaves the list and becomes a field of v1. */
static void hpa_take_cpu(struct doc *d, struct node *parent, enum field list, enum field value, enum field v1)
{
	struct node *metrics = node_get(parent, list);

	NODE_FOREACH(m, metrics) {
		if (!hpa_is_cpu(m, value))
			continue;
		node_seti(d, parent, v1,
			  node_int(node_path(m, F_resource, value, F_averageUtilization), 0));
		node_remove_child(metrics, m);
		break;
	}
	if (metrics && !node_count(metrics))
		node_remove(parent, list);
}

static void hpa_to_v1(struct doc *d)
{
	struct node *root = doc_root(d), *meta = node_need_object(d, root, F_metadata);

	hpa_take_cpu(d, node_get(root, F_spec), F_metrics, F_target, F_targetCPUUtilizationPercentage);
	hpa_take_cpu(d, node_get(root, F_status), F_currentMetrics, F_current, F_currentCPUUtilizationPercentage);
	for (size_t i = 0; i < ARRAY_SIZE(hpa_extra); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct node *parent = node_get(root, hpa_extra[i].parent), *n = node_get(parent, hpa_extra[i].field);

		if (!n)
			continue;
		doc_print_json(&b, n, DOC_PRINT_COMPACT);
		node_setk(d, node_need_object(d, meta, F_annotations), str_of(hpa_extra[i].annotation),
			  node_new_str(d, buf_str(&b)));
		node_remove(parent, hpa_extra[i].field);
	}
}

static void hpa_take_annotations(struct doc *d, struct node *root)
{
	struct node *ann = node_path(root, F_metadata, F_annotations);

	for (size_t i = 0; i < ARRAY_SIZE(hpa_extra) && ann; i++) {
		_cleanup_err_ struct err e = ERR_INIT;
		_cleanup_doc_ struct doc *v = NULL;
		const struct node *n = node_getc(ann, hpa_extra[i].annotation);

		if (!n || doc_parse_json(&v, node_str(n), NULL, &e) < 0)
			continue;
		node_set(d, node_need_object(d, root, hpa_extra[i].parent), hpa_extra[i].field,
			 node_copy(d, doc_root(v)));
		node_removek(ann, str_of(hpa_extra[i].annotation));
	}
	if (ann && !node_count(ann))
		node_remove(node_get(root, F_metadata), F_annotations);
}

static void hpa_put_cpu(struct doc *d, struct node *parent, enum field list, enum field value, enum field v1)
{
	const struct node *percent = node_get(parent, v1);
	struct node *m, *res, *target;

	if (!percent)
		return;
	m = node_new(d, DOC_OBJECT);
	node_sets(d, m, F_type, "Resource");
	res = node_need_object(d, m, F_resource);
	node_sets(d, res, F_name, "cpu");
	target = node_need_object(d, res, value);
	if (value == F_target)
		node_sets(d, target, F_type, "Utilization");
	node_seti(d, target, F_averageUtilization, node_int(percent, 0));
	node_insert(node_need_array(d, parent, list), 0, m);
	node_remove(parent, v1);
}

static void hpa_to_v2(struct doc *d)
{
	struct node *root = doc_root(d);

	hpa_take_annotations(d, root);
	hpa_put_cpu(d, node_get(root, F_spec), F_metrics, F_target, F_targetCPUUtilizationPercentage);
	hpa_put_cpu(d, node_get(root, F_status), F_currentMetrics, F_current, F_currentCPUUtilizationPercentage);
}

/* --- */

static const struct converter converters[] = {
	{ "events", "events.k8s.io/v1", event_to_core, event_from_core },
	{ "horizontalpodautoscalers", "autoscaling/v1", hpa_to_v2, hpa_to_v1 },
	{ 0 },
};

static const struct converter *convert_find(const struct converter *table, const struct resource *r)
{
	for (const struct converter *c = table; c->plural; c++)
		if (streq(c->plural, r->plural) && streq(c->version, r->api_version))
			return c;
	return NULL;
}

/* Between what is stored and the version of r, which may be the same. */
static void convert_step(struct doc *d, const struct resource *r, bool to_stored)
{
	const struct converter *c = convert_find(converters, r);

	if (!c)
		c = convert_find(older_converters, r);
	if (!c)
		return;
	if (to_stored)
		c->to_stored(d);
	else
		c->from_stored(d);
}

void convert_doc(struct doc *d, const struct schema_res *from, const struct schema_res *to)
{
	if (from == to)
		return;
	convert_step(d, &from->r, true);
	convert_step(d, &to->r, false);
	node_sets(d, doc_root(d), F_apiVersion, to->r.api_version);
	node_sets(d, doc_root(d), F_kind, to->r.kind);
	if (to->custom)
		schema_custom_prune(to, d);
}

struct obj *convert_obj(struct obj *o, const struct schema_res *to)
{
	struct doc *d;
	struct obj *as;

	bool outdated = to->custom && schema_custom_outdated(to, o);

	if (o->res == &to->r && !outdated)
		return obj_ref(o);
	d = doc_clone(obj_doc(o));
	if (outdated)
		schema_custom_refresh((const struct schema_res *)o->res, d);
	convert_doc(d, (const struct schema_res *)o->res, to);
	as = obj_new(&to->r, d, o->rv);
	doc_unref(d);
	return as;
}
