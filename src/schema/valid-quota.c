/*
 * Validation of LimitRange and ResourceQuota.
 */
#include "schema/valid.h"

/* --- LimitRange --- */

enum { LR_MIN, LR_MAX, LR_DEFAULT, LR_REQUEST, LR_RATIO, LR_N };
static const enum field LR_FIELDS[LR_N] = { F_min, F_max, F_default, F_defaultRequest, F_maxLimitRequestRatio };

struct limit { /* what a limit says of one resource */
	const struct node *n[LR_N];
	struct quantity q[LR_N];
};

static void v_limit_too_much(struct valid *v, const struct vpath *p, struct str name, enum field where,
			     const struct node *value, const char *what, const struct node *a, const char *than,
			     const struct node *b)
{
	v_invalidf(v, VPK(VP(p, doc_field_name(where)), name), value, "%s %s is greater than %s %s", what,
		   node_cstr_or(a, ""), than, node_cstr_or(b, ""));
}

static void v_limit_order(struct valid *v, const struct vpath *p, struct str name, const struct limit *l)
{
	static const struct {
		unsigned small, big; /* the one may not be more than the other */
		const char *what, *than;
		unsigned where, value;
	} ORDER[] = {
		{ LR_MIN, LR_MAX, "min value", "max value", LR_MIN, LR_MIN },
		{ LR_MIN, LR_REQUEST, "min value", "default request value", LR_REQUEST, LR_REQUEST },
		{ LR_REQUEST, LR_MAX, "default request value", "max value", LR_REQUEST, LR_REQUEST },
		{ LR_REQUEST, LR_DEFAULT, "default request value", "default limit value", LR_REQUEST, LR_REQUEST },
		{ LR_MIN, LR_DEFAULT, "min value", "default value", LR_DEFAULT, LR_MIN },
		{ LR_DEFAULT, LR_MAX, "default value", "max value", LR_DEFAULT, LR_MAX },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ORDER); i++) {
		const struct node *a = l->n[ORDER[i].small], *b = l->n[ORDER[i].big];

		if (a && b && quantity_cmp(&l->q[ORDER[i].small], &l->q[ORDER[i].big]) > 0)
			v_limit_too_much(v, p, name, LR_FIELDS[ORDER[i].where], l->n[ORDER[i].value], ORDER[i].what,
					 a, ORDER[i].than, b);
	}
}

static void v_limit_ratio(struct valid *v, const struct vpath *p, struct str name, const struct limit *l)
{
	const struct vpath *at = VPK(VP(p, "maxLimitRequestRatio"), name);
	double ratio = (double)l->q[LR_RATIO].nano / 1e9, most;

	if (!l->n[LR_RATIO])
		return;
	if (l->q[LR_RATIO].nano < 1000000000)
		v_invalidf(v, at, l->n[LR_RATIO], "ratio %s is less than 1", node_cstr_or(l->n[LR_RATIO], ""));
	if (!l->n[LR_MIN] || !l->n[LR_MAX] || l->q[LR_MIN].nano == 0)
		return;
	most = (double)l->q[LR_MAX].nano / (double)l->q[LR_MIN].nano;
	if (ratio > most)
		v_invalidf(v, at, l->n[LR_RATIO], "ratio %s is greater than max/min = %f",
			   node_cstr_or(l->n[LR_RATIO], ""), most);
}

static void v_limit_resource(struct valid *v, const struct vpath *p, struct str name, const struct node *limit, bool pod)
{
	struct limit l = { 0 };

	for (unsigned i = 0; i < LR_N; i++) {
		const struct node *n = node_getk(node_get(limit, LR_FIELDS[i]), name);

		if (!(pod && (i == LR_DEFAULT || i == LR_REQUEST)) && quantity_from_node(&l.q[i], n))
			l.n[i] = n;
	}
	v_limit_order(v, p, name, &l);
	v_limit_ratio(v, p, name, &l);
	if (!v_may_overcommit(name) && l.n[LR_DEFAULT] && l.n[LR_REQUEST] &&
	    quantity_cmp(&l.q[LR_DEFAULT], &l.q[LR_REQUEST]) != 0)
		v_invalidf(v, VPK(VP(p, "defaultRequest"), name), l.n[LR_REQUEST],
			   "default value %s must equal to defaultRequest value %s in %" STR_FMT,
			   node_cstr_or(l.n[LR_DEFAULT], ""), node_cstr_or(l.n[LR_REQUEST], ""), STR_ARG(name));
}

static void v_limit_names(struct valid *v, const struct vpath *p, const struct node *limit, bool container)
{
	static const unsigned ORDER[LR_N] = { LR_MAX, LR_MIN, LR_DEFAULT, LR_REQUEST, LR_RATIO };
	bool pod = node_streq(node_get(limit, F_type), "Pod");

	for (unsigned i = 0; i < LR_N; i++) {
		enum field f = LR_FIELDS[ORDER[i]];
		const struct vpath *at = VP(p, doc_field_name(f));

		if (pod && (f == F_default || f == F_defaultRequest)) {
			if (node_count(node_get(limit, f)) > 0)
				v_forbidden(v, at, "may not be specified when `type` is 'Pod'");
			continue;
		}
		NODE_FOREACH(c, node_get(limit, f)) {
			if (container)
				v_container_resource_name(v, VPK(at, node_key(c)), node_key(c));
			else
				v_resource_name(v, VPK(at, node_key(c)), node_key(c));
		}
	}
}

static bool v_limit_seen(const struct node *limit, unsigned upto, struct str name)
{
	for (unsigned i = 0; i < upto; i++) {
		if (node_getk(node_get(limit, LR_FIELDS[i]), name))
			return true;
	}
	return false;
}

static void v_limit(struct valid *v, const struct vpath *p, const struct node *limit)
{
	static const char *const TYPES[] = { "Container", "PersistentVolumeClaim", "Pod", NULL };
	struct str type = v_str(limit, F_type);
	bool pod = str_eqc(type, "Pod");
	size_t before = v->n;

	v_name(v, VP(p, "type"), type, NF_QUALIFIED);
	if (v->n == before && str_find(type, '/') < 0 && !v_is_one_of(type, TYPES))
		v_invalid(v, VP(p, "type"), type, "must be a standard limit type or fully qualified");
	NODE_FOREACH(other, node_path(v->root, F_spec, F_limits)) {
		if (other == limit)
			break;
		if (str_eq(v_str(other, F_type), type)) {
			v_duplicate_str(v, VP(p, "type"), type);
			break;
		}
	}
	v_limit_names(v, p, limit, pod || str_eqc(type, "Container"));
	if (str_eqc(type, "PersistentVolumeClaim") && !node_getc(node_get(limit, F_min), "storage") &&
	    !node_getc(node_get(limit, F_max), "storage"))
		v_required(v, VP(p, "limits"),
			   "either minimum or maximum storage value is required, but neither was provided");
	for (unsigned i = 0; i < LR_N; i++) {
		NODE_FOREACH(c, node_get(limit, LR_FIELDS[i])) {
			if (!v_limit_seen(limit, i, node_key(c)))
				v_limit_resource(v, p, node_key(c), limit, pod);
		}
	}
}

void v_limit_range(struct valid *v)
{
	v_each(v, VP(VP(NULL, "spec"), "limits"), node_path(v->root, F_spec, F_limits), v_limit);
}

/* --- ResourceQuota --- */

static const char *const SCOPES[] = { "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating",
				      "PriorityClass", "Terminating", "VolumeAttributesClass", NULL };

static bool scope_fits(struct str scope, struct str resource)
{
	static const char *const COMPUTE[] = { "cpu", "limits.cpu", "limits.memory", "memory", "pods", "requests.cpu",
					       "requests.memory", NULL };
	static const char *const CLAIMS[] = { "persistentvolumeclaims", "requests.storage", NULL };

	if (!v_is_quota_resource(resource) || !v_is_one_of(scope, SCOPES))
		return true;
	if (str_eqc(scope, "BestEffort"))
		return str_eqc(resource, "pods");
	return v_is_one_of(resource, str_eqc(scope, "VolumeAttributesClass") ? CLAIMS : COMPUTE);
}

static void v_quota_resources(struct valid *v, const struct vpath *p, const struct node *n)
{
	NODE_FOREACH(c, n) {
		const struct vpath *at = VPK(p, node_key(c));
		struct str name = node_key(c);

		v_resource_name(v, at, name);
		if (str_find(name, '/') < 0 && !v_is_quota_resource(name))
			v_invalid(v, at, name, "must be a standard resource for quota");
		v_quantity_of(v, at, name, c);
	}
}

/* Whether a list (of strings, or of {scopeName}) has both. */
static bool scopes_have(const struct node *list, const char *a, const char *b)
{
	bool has_a = false, has_b = false;

	NODE_FOREACH(c, list) {
		struct str s = node_is(c, DOC_STRING) ? node_str(c) : v_str(c, F_scopeName);

		has_a = has_a || str_eqc(s, a);
		has_b = has_b || str_eqc(s, b);
	}
	return has_a && has_b;
}

static void v_quota_conflicts(struct valid *v, const struct vpath *p, const struct node *list, const struct node *scopes)
{
	if (scopes_have(list, "BestEffort", "NotBestEffort"))
		v_invalid_node(v, p, scopes, "conflicting scopes");
	if (scopes_have(list, "Terminating", "NotTerminating"))
		v_invalid_node(v, p, scopes, "conflicting scopes");
}

static void v_quota_scopes(struct valid *v, const struct vpath *p, const struct node *spec)
{
	const struct node *scopes = node_get(spec, F_scopes);

	NODE_FOREACH(c, scopes) {
		if (!v_is_one_of(node_str(c), SCOPES))
			v_invalid_node(v, p, scopes, "unsupported scope");
		NODE_FOREACH(hard, node_get(spec, F_hard)) {
			if (!scope_fits(node_str(c), node_key(hard)))
				v_invalid_node(v, p, scopes, "unsupported scope applied to resource");
		}
	}
	v_quota_conflicts(v, p, scopes, scopes);
}

static void v_quota_expression(struct valid *v, const struct vpath *p, const struct node *n, const struct node *spec)
{
	struct str scope = v_str(n, F_scopeName), op = v_str(n, F_operator);
	const struct node *values = node_get(n, F_values);

	if (!v_is_one_of(scope, SCOPES))
		v_invalid(v, VP(p, "scopeName"), scope, "unsupported scope");
	NODE_FOREACH(hard, node_get(spec, F_hard)) {
		if (!scope_fits(scope, node_key(hard)))
			v_invalid_node(v, p, node_get(spec, F_scopeSelector),
				       "unsupported scope applied to resource");
	}
	if (v_is_one_of(scope, SCOPES) && !str_eqc(scope, "PriorityClass") &&
	    !str_eqc(scope, "VolumeAttributesClass") && !str_eqc(op, "Exists"))
		v_invalid(v, VP(p, "operator"), op,
			  "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
			  "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
			  "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity");
	if (str_eqc(op, "In") || str_eqc(op, "NotIn")) {
		if (node_count(values) == 0)
			v_required(v, VP(p, "values"),
				   "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector");
	} else if (str_eqc(op, "Exists") || str_eqc(op, "DoesNotExist")) {
		if (node_count(values) > 0)
			v_invalid_node(v, VP(p, "values"), values,
				       "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
				       "selector");
	} else {
		v_invalid(v, VP(p, "operator"), op, "not a valid selector operator");
	}
}

static bool same_scopes(const struct node *a, const struct node *b)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		NODE_FOREACH(c, pass ? b : a) {
			if (!v_list_has(pass ? a : b, node_str(c)))
				return false;
		}
	}
	return true;
}

void v_resource_quota(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec), *status = node_get(v->root, F_status);
	const struct node *list = node_path(spec, F_scopeSelector, F_matchExpressions);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(VP(p, "scopeSelector"), "matchExpressions");

	if (streq(v->sub, "status")) {
		v_quota_resources(v, VP(VP(NULL, "status"), "hard"), node_get(status, F_hard));
		v_quota_resources(v, VP(VP(NULL, "status"), "used"), node_get(status, F_used));
		return;
	}
	v_quota_resources(v, VP(p, "hard"), node_get(spec, F_hard));
	v_quota_scopes(v, VP(p, "scopes"), spec);
	NODE_FOREACH(c, list)
		v_quota_expression(v, at, c, spec);
	v_quota_conflicts(v, at, list, node_get(spec, F_scopes));
	if (v->old && !same_scopes(node_get(spec, F_scopes), node_path(v->old, F_spec, F_scopes)))
		v_invalid_node(v, VP(p, "scopes"), node_get(spec, F_scopes), "field is immutable");
}
