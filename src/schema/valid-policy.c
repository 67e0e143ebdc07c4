/*
 * Validation of what says how others are run: PodDisruptionBudget, PriorityClass,
 * RuntimeClass, HorizontalPodAutoscaler.
 */
#include "schema/valid.h"

#include <stdio.h>

#include "base/limits.h"

/* --- PodDisruptionBudget --- */

void v_disruption_budget(struct valid *v)
{
	static const char *const EVICTION[] = { "AlwaysAllow", "IfHealthyBudget", NULL };
	static const enum field COUNTS[] = { F_disruptionsAllowed, F_currentHealthy, F_desiredHealthy, F_expectedPods,
					     F_NONE };
	const struct node *spec = node_get(v->root, F_spec), *status = node_get(v->root, F_status);
	const struct node *least = node_get(spec, F_minAvailable), *most = node_get(spec, F_maxUnavailable);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		v_conditions(v, VP(VP(NULL, "status"), "conditions"), node_get(status, F_conditions));
		v_counts(v, VP(NULL, "status"), status, COUNTS);
		return;
	}
	if (least && most)
		v_invalid_node(v, p, spec, "minAvailable and maxUnavailable cannot be both set");
	v_int_or_percent(v, VP(p, "minAvailable"), least, 100);
	v_int_or_percent(v, VP(p, "maxUnavailable"), most, 100);
	v_label_selector(v, VP(p, "selector"), node_get(spec, F_selector));
	v_may_be(v, p, spec, F_unhealthyPodEvictionPolicy, EVICTION);
}

/* --- PriorityClass --- */

enum { MAX_USER_PRIORITY = 1000000000 };

static const struct {
	const char *name;
	int64_t value;
} SYSTEM_CLASSES[] = {
	{ "system-node-critical", 2000001000 },
	{ "system-cluster-critical", 2000000000 },
};

static void v_system_class(struct valid *v, const char *name)
{
	const struct vpath *p = VP(VP(NULL, "metadata"), "name");
	_cleanup_free_ char *why = xasprintf("%s is not a known system priority class", name);

	for (size_t i = 0; i < ARRAY_SIZE(SYSTEM_CLASSES); i++) {
		if (!streq(SYSTEM_CLASSES[i].name, name))
			continue;
		free(why);
		why = NULL;
		if (node_int(node_get(v->root, F_value), 0) != SYSTEM_CLASSES[i].value)
			why = xasprintf("value of %s PriorityClass must be %lld", name,
					(long long)SYSTEM_CLASSES[i].value);
		else if (node_bool(node_get(v->root, F_globalDefault), false))
			why = xasprintf("globalDefault of %s PriorityClass must be false", name);
	}
	if (why)
		v_forbiddenf(v, p, "priority class names with 'system-' prefix are reserved for system use only. error: %s",
			     why);
}

void v_priority_class(struct valid *v)
{
	static const char *const PREEMPT[] = { "PreemptLowerPriority", "Never", NULL };
	const char *name = meta_name(v->root);
	int64_t value = node_int(node_get(v->root, F_value), 0);

	if (v->old) {
		if (value != node_int(node_get(v->old, F_value), 0))
			v_forbidden(v, VP(NULL, "value"), "may not be changed in an update.");
		v_fixed(v, NULL, v->root, v->old, F_preemptionPolicy);
		return;
	}
	if (str_starts(str_of(name), STR_LIT("system-")))
		v_system_class(v, name);
	else if (value > MAX_USER_PRIORITY)
		v_forbiddenf(v, VP(NULL, "value"), "maximum allowed value of a user defined priority is %d",
			     MAX_USER_PRIORITY);
	if (node_get(v->root, F_preemptionPolicy))
		v_one_of(v, VP(NULL, "preemptionPolicy"), node_get(v->root, F_preemptionPolicy), PREEMPT);
}

/* --- RuntimeClass --- */

static void v_unique_tolerations(struct valid *v, const struct vpath *p, const struct node *list)
{
	static const enum field KEYS[] = { F_key, F_operator, F_value, F_effect };
	size_t i = 0;

	if (node_count(list) > LIMIT_LIST_ITEMS) {
		v_too_many(v, p, node_count(list), LIMIT_LIST_ITEMS);
		return;
	}
	NODE_FOREACH(c, list) {
		NODE_FOREACH(other, list) {
			bool same = other != c;

			for (size_t k = 0; k < ARRAY_SIZE(KEYS); k++)
				same = same && str_eq(v_str(other, KEYS[k]), v_str(c, KEYS[k]));
			if (same)
				v_duplicate(v, VPI(p, i), c);
			if (same || other == c)
				break;
		}
		i++;
	}
}

void v_runtime_class(struct valid *v)
{
	const struct node *fixed = node_path(v->root, F_overhead, F_podFixed);
	const struct node *where = node_get(v->root, F_scheduling), *tolerations = node_get(where, F_tolerations);
	const struct vpath *p = VP(NULL, "scheduling"), *at = VP(VP(NULL, "overhead"), "limits");

	if (v->old)
		v_fixed(v, NULL, v->root, v->old, F_handler);
	else
		v_name(v, VP(NULL, "handler"), v_str(v->root, F_handler), NF_DNS_LABEL);
	NODE_FOREACH(c, fixed) {
		v_container_resource_name(v, VPK(at, node_key(c)), node_key(c));
		v_quantity_of(v, VPK(at, node_key(c)), node_key(c), c);
	}
	v_labels(v, VP(p, "nodeSelector"), node_get(where, F_nodeSelector));
	v_tolerations(v, VP(VP(p, "tolerations"), "tolerations"), tolerations);
	v_unique_tolerations(v, VP(p, "tolerations"), tolerations);
}

/* --- HorizontalPodAutoscaler --- */

static void v_cross_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str api = v_str(n, F_apiVersion);
	unsigned slashes = 0;

	v_need_name(v, p, n, F_kind, NF_PATH_SEGMENT);
	v_need_name(v, p, n, F_name, NF_PATH_SEGMENT);
	for (size_t i = 0; i < api.n; i++)
		slashes += api.p[i] == '/';
	if (slashes > 1) {
		_cleanup_free_ char *why = xasprintf("unexpected GroupVersion string: %" STR_FMT, STR_ARG(api));

		v_invalid(v, VP(p, "apiVersion"), api, why);
	}
}

static void v_metric_name(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (v_str(n, F_name).n == 0)
		v_required(v, VP(p, "name"), "must specify a metric name");
	else
		v_name(v, VP(p, "name"), v_str(n, F_name), NF_PATH_SEGMENT);
}

static void v_metric_target(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "AverageValue", "Utilization", "Value", NULL };
	static const enum field VALUES[] = { F_value, F_averageValue };
	const struct node *use = node_get(n, F_averageUtilization);
	struct str type = v_str(n, F_type);
	struct quantity q;

	if (type.n == 0)
		v_required(v, VP(p, "type"), "must specify a metric target type");
	if (!v_is_one_of(type, TYPES))
		v_invalid(v, VP(p, "type"), type, "must be either Utilization, Value, or AverageValue");
	for (size_t i = 0; i < ARRAY_SIZE(VALUES); i++) {
		const struct node *c = node_get(n, VALUES[i]);

		if (quantity_from_node(&q, c) && q.nano <= 0)
			v_invalid_node(v, VP(p, doc_field_name(VALUES[i])), c, "must be positive");
	}
	if (use && node_int(use, 0) < 1)
		v_invalid_node(v, VP(p, "averageUtilization"), use, "must be greater than 0");
}

static void v_object_metric(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *t = node_get(n, F_target);
	const struct vpath *at = VP(p, "target");

	v_cross_ref(v, VP(p, "describedObject"), node_get(n, F_describedObject));
	v_metric_name(v, VP(p, "metric"), node_get(n, F_metric));
	v_metric_target(v, at, t);
	if (!node_get(t, F_value) && !node_get(t, F_averageValue))
		v_required(v, VP(at, "averageValue"), "must set either a target value or averageValue");
}

static void v_external_metric(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *t = node_get(n, F_target);
	const struct vpath *at = VP(p, "target");

	v_metric_name(v, VP(p, "metric"), node_get(n, F_metric));
	v_metric_target(v, at, t);
	if (!node_get(t, F_value) && !node_get(t, F_averageValue))
		v_required(v, VP(at, "averageValue"),
			   "must set either a target value for metric or a per-pod target");
	if (node_get(t, F_value) && node_get(t, F_averageValue))
		v_forbidden(v, VP(at, "value"), "may not set both a target value for metric and a per-pod target");
}

static void v_pods_metric(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *t = node_get(n, F_target);

	v_metric_name(v, VP(p, "metric"), node_get(n, F_metric));
	v_metric_target(v, VP(p, "target"), t);
	if (!node_get(t, F_averageValue))
		v_required(v, VP(VP(p, "target"), "averageValue"), "must specify a positive target averageValue");
}

static void v_resource_target(struct valid *v, const struct vpath *p, const struct node *t)
{
	v_metric_target(v, p, t);
	if (!node_get(t, F_averageUtilization) && !node_get(t, F_averageValue))
		v_required(v, VP(p, "averageUtilization"),
			   "must set either a target raw value or a target utilization");
	if (node_get(t, F_averageUtilization) && node_get(t, F_averageValue))
		v_forbidden(v, VP(p, "averageValue"), "may not set both a target raw value and a target utilization");
}

static void v_resource_metric(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_name, "must specify a resource name");
	v_resource_target(v, VP(p, "target"), node_get(n, F_target));
}

static void v_container_metric(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (v_str(n, F_name).n == 0)
		v_required(v, VP(p, "name"), "must specify a resource name");
	else
		v_container_resource_name(v, VP(p, "name"), v_str(n, F_name));
	if (v_str(n, F_container).n == 0)
		v_required(v, VP(p, "container"), "must specify a container");
	else
		v_name(v, VP(p, "container"), v_str(n, F_container), NF_DNS_LABEL);
	v_resource_target(v, VP(p, "target"), node_get(n, F_target));
}

/* The sources in the order of Kubernetes' checks. */
static const struct {
	enum field field;
	const char *type;
	v_rule *check;
} METRICS[] = {
	{ F_object, "Object", v_object_metric },
	{ F_external, "External", v_external_metric },
	{ F_pods, "Pods", v_pods_metric },
	{ F_resource, "Resource", v_resource_metric },
	{ F_containerResource, "ContainerResource", v_container_metric },
};

static void v_metric(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const TYPES[] = { "ContainerResource", "External", "Object", "Pods", "Resource", NULL };
	struct str type = v_str(n, F_type);
	unsigned found = 0;

	if (type.n == 0)
		v_required(v, VP(p, "type"), "must specify a metric source type");
	if (!v_is_one_of(type, TYPES))
		v_unsupported(v, VP(p, "type"), type, TYPES);
	for (size_t i = 0; i < ARRAY_SIZE(METRICS); i++) {
		const struct node *source = node_get(n, METRICS[i].field);

		if (source && found++ == 0)
			METRICS[i].check(v, VP(p, doc_field_name(METRICS[i].field)), source);
	}
	for (size_t i = 0; i < ARRAY_SIZE(METRICS); i++) {
		const struct vpath *at = VP(p, doc_field_name(METRICS[i].field));
		bool there = node_get(n, METRICS[i].field), wanted = str_eqc(type, METRICS[i].type);

		if (wanted && !there)
			v_required(v, at, "must populate information for the given metric source");
		else if (there && !wanted && found != 1)
			v_forbidden(v, at, "must populate the given metric source only");
	}
}

static void v_scaling_policy(struct valid *v, const struct vpath *p, const struct node *n)
{
	enum { MAX_PERIOD = 1800 };
	static const char *const TYPES[] = { "Percent", "Pods", NULL };
	const struct node *value = node_get(n, F_value), *period = node_get(n, F_periodSeconds);

	if (!v_is_one_of(v_str(n, F_type), TYPES))
		v_unsupported(v, VP(p, "type"), v_str(n, F_type), TYPES);
	if (node_int(value, 0) <= 0)
		v_invalid_int(v, VP(p, "value"), node_int(value, 0), "must be greater than zero");
	if (node_int(period, 0) <= 0)
		v_invalid_int(v, VP(p, "periodSeconds"), node_int(period, 0), "must be greater than zero");
	if (node_int(period, 0) > MAX_PERIOD)
		v_invalid_int(v, VP(p, "periodSeconds"), node_int(period, 0), "must be less than or equal to 1800");
}

static void v_scaling_rules(struct valid *v, const struct vpath *p, const struct node *n)
{
	enum { MAX_WINDOW = 3600 };
	static const char *const SELECT[] = { "Disabled", "Max", "Min", NULL };
	const struct node *window = node_get(n, F_stabilizationWindowSeconds);

	if (!n)
		return;
	if (node_int(window, 0) < 0)
		v_invalid_node(v, VP(p, "stabilizationWindowSeconds"), window,
			       "must be greater than or equal to zero");
	if (node_int(window, 0) > MAX_WINDOW)
		v_invalid_node(v, VP(p, "stabilizationWindowSeconds"), window, "must be less than or equal to 3600");
	v_may_be(v, p, n, F_selectPolicy, SELECT);
	v_need(v, p, n, F_policies, "must specify at least one Policy");
	v_each(v, VP(p, "policies"), node_get(n, F_policies), v_scaling_policy);
	v_nonnegative_quantity(v, VP(p, "tolerance"), node_get(n, F_tolerance));
}

/* The least that may be asked for: none only where it was so before. */
static int64_t v_min_replicas(const struct valid *v)
{
	return v->old && node_int(node_path(v->old, F_spec, F_minReplicas), 1) == 0 ? 0 : 1;
}

static void v_autoscaler_spec(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *min = node_get(spec, F_minReplicas), *behavior = node_get(spec, F_behavior);
	int64_t least = v_min_replicas(v), max = node_int(node_get(spec, F_maxReplicas), 0);
	bool outside = false;

	if (min && node_int(min, 0) < least)
		v_invalidf(v, VP(p, "minReplicas"), min, "must be greater than or equal to %lld", (long long)least);
	if (max < 1)
		v_invalid_int(v, VP(p, "maxReplicas"), max, "must be greater than 0");
	if (min && max < node_int(min, 0))
		v_invalid_int(v, VP(p, "maxReplicas"), max, "must be greater than or equal to `minReplicas`");
	v_cross_ref(v, VP(p, "scaleTargetRef"), node_get(spec, F_scaleTargetRef));
	v_each(v, VP(p, "metrics"), node_get(spec, F_metrics), v_metric);
	NODE_FOREACH(c, node_get(spec, F_metrics))
		outside = outside || node_streq(node_get(c, F_type), "Object") ||
			  node_streq(node_get(c, F_type), "External");
	if (min && node_int(min, 0) == 0 && !outside)
		v_forbidden(v, VP(p, "metrics"),
			    "must specify at least one Object or External metric to support scaling to zero replicas");
	v_scaling_rules(v, VP(VP(p, "behavior"), "scaleUp"), node_get(behavior, F_scaleUp));
	v_scaling_rules(v, VP(VP(p, "behavior"), "scaleDown"), node_get(behavior, F_scaleDown));
}

void v_autoscaler(struct valid *v)
{
	static const enum field COUNTS[] = { F_currentReplicas, F_desiredReplicas, F_NONE };

	if (streq(v->sub, "status"))
		v_counts(v, VP(NULL, "status"), node_get(v->root, F_status), COUNTS);
	else
		v_autoscaler_spec(v, VP(NULL, "spec"), node_get(v->root, F_spec));
}
