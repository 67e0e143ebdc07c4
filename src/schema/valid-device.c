/*
 * Validation of group resource.k8s.io: ResourceClaim, ResourceClaimTemplate,
 * DeviceClass, ResourceSlice. Selectors in CEL are not compiled, only measured.
 */
#include "schema/valid.h"

enum { /* Kubernetes' limits */
	MAX_REQUESTS = 32, MAX_CONSTRAINTS = 32, MAX_CONFIGS = 32, MAX_SELECTORS = 32, MAX_SUBREQUESTS = 8,
	MAX_EXPRESSION = 10 << 10, MAX_OPAQUE = 10 << 10, MAX_RESERVED = 256, MAX_RESULTS = 32, MAX_DEVICES = 128,
	MAX_DEVICES_ADVANCED = 64, MAX_COUNTER_SETS = 8, MAX_COUNTERS = 32, MAX_ATTRIBUTES = 32, MAX_TAINTS = 16,
	MAX_POOL_NAME = 253, MAX_ID = 32, MAX_VALUE = 64, MAX_CONDITIONS = 4
};

/* A list of at most max items, each by its rule; with key: no two alike. */
static void v_some(struct valid *v, const struct vpath *p, const struct node *list, size_t max, v_rule *rule,
		   enum field key)
{
	size_t i = 0;

	if (node_count(list) > max) {
		v_too_many(v, p, node_count(list), max);
		return;
	}
	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		rule(v, at, c);
		NODE_FOREACH(other, list) {
			if (other == c || key == F_NONE)
				break;
			if (v_same(node_get(other, key), node_get(c, key))) {
				v_duplicate(v, VP(at, doc_field_name(key)), node_get(c, key));
				break;
			}
		}
	}
}

/* --- names --- */

static void v_pool_name(struct valid *v, const struct vpath *p, struct str name)
{
	if (name.n == 0) {
		v_required(v, p, NULL);
		return;
	}
	if (name.n > MAX_POOL_NAME)
		v_too_long(v, p, MAX_POOL_NAME);
	for (struct str rest = name; rest.p;)
		v_name(v, p, str_cut(&rest, '/'), NF_DNS_SUBDOMAIN);
}

static void v_device_id(struct valid *v, const struct vpath *p, struct str id)
{
	if (id.n > MAX_ID)
		v_too_long(v, p, MAX_ID);
	v_name(v, p, id, NF_C_IDENTIFIER);
}

/* "name" or "domain/name" of an attribute or capacity. */
static void v_device_key(struct valid *v, const struct vpath *p, struct str key)
{
	ssize_t slash = str_find(key, '/');
	struct str id = slash < 0 ? key : str_sub(key, slash + 1, key.n);

	if (slash == 0)
		v_invalid(v, p, STR_LIT(""), "the domain must not be empty");
	else if (slash > 0)
		v_csi_driver_name(v, p, str_sub(key, 0, slash));
	if (slash >= 0 && id.n == 0)
		v_invalid(v, p, STR_LIT(""), "the name must not be empty");
	else
		v_device_id(v, p, id);
}

static void v_device_attribute_name(struct valid *v, const struct vpath *p, struct str key)
{
	v_device_key(v, p, key);
	if (str_find(key, '/') < 0)
		v_invalid(v, p, key, "a fully qualified name must be a domain and a name separated by a slash");
}

/* --- requests --- */

static void v_device_selector(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *cel = node_get(n, F_cel);

	if (!cel)
		v_required(v, VP(p, "cel"), NULL);
	else if (v_str(cel, F_expression).n > MAX_EXPRESSION)
		v_too_long(v, VP(VP(p, "cel"), "expression"), MAX_EXPRESSION);
}

static void v_device_toleration(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const OPERATORS[] = { "Equal", "Exists", NULL };
	static const char *const EFFECTS[] = { "NoExecute", "NoSchedule", "None", NULL };

	v_may_name(v, p, n, F_key, NF_QUALIFIED);
	v_one_of(v, VP(p, "operator"), node_get(n, F_operator), OPERATORS);
	if (node_streq(node_get(n, F_operator), "Exists") && v_str(n, F_value).n > 0)
		v_invalid(v, VP(p, "value"), v_str(n, F_value), "must be empty for operator `Exists`");
	else
		v_name(v, VP(p, "value"), v_str(n, F_value), NF_LABEL_VALUE);
	if (v_str(n, F_effect).n > 0)
		v_may_be(v, p, n, F_effect, EFFECTS);
}

static void v_exact_request(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const MODES[] = { "All", "ExactCount", NULL };
	int64_t count = node_int(node_get(n, F_count), 0);
	struct str mode = v_str(n, F_allocationMode);

	v_need_name(v, p, n, F_deviceClassName, NF_DNS_SUBDOMAIN);
	v_some(v, VP(p, "selectors"), node_get(n, F_selectors), MAX_SELECTORS, v_device_selector, F_NONE);
	if (!v_is_one_of(mode, MODES))
		v_unsupported(v, VP(p, "allocationMode"), mode, MODES);
	else if (str_eqc(mode, "All") && count != 0)
		v_invalid_int(v, VP(p, "count"), count, "must not be specified when allocationMode is 'All'");
	else if (str_eqc(mode, "ExactCount") && count <= 0)
		v_invalid_int(v, VP(p, "count"), count, "must be greater than zero");
	v_each(v, VP(p, "tolerations"), node_get(n, F_tolerations), v_device_toleration);
}

static void v_sub_request(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_name(v, VP(p, "name"), v_str(n, F_name), NF_DNS_LABEL);
	v_exact_request(v, p, n);
}

static void v_device_request(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *exactly = node_get(n, F_exactly), *first = node_get(n, F_firstAvailable);

	v_name(v, VP(p, "name"), v_str(n, F_name), NF_DNS_LABEL);
	if (!exactly && node_count(first) == 0)
		v_required(v, p, "exactly one of `exactly` or `firstAvailable` is required");
	else if (exactly && node_count(first) > 0)
		v_invalid_node(v, p, NULL,
			       "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set");
	else if (exactly)
		v_exact_request(v, VP(p, "exactly"), exactly);
	else
		v_some(v, VP(p, "firstAvailable"), first, MAX_SUBREQUESTS, v_sub_request, F_name);
}

/* The claim's "spec.devices", also in a template. */
static const struct node *claim_devices(const struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);

	return node_get(streq(v->r->r.kind, "ResourceClaimTemplate") ? node_get(spec, F_spec) : spec, F_devices);
}

static bool request_known(const struct valid *v, struct str name)
{
	ssize_t slash = str_find(name, '/');
	struct str main = slash < 0 ? name : str_sub(name, 0, slash);

	NODE_FOREACH(c, node_get(claim_devices(v), F_requests)) {
		if (!str_eq(v_str(c, F_name), main))
			continue;
		if (slash < 0)
			return true;
		NODE_FOREACH(sub, node_get(c, F_firstAvailable)) {
			if (str_eq(v_str(sub, F_name), str_sub(name, slash + 1, name.n)))
				return true;
		}
	}
	return false;
}

static void v_request_name(struct valid *v, const struct vpath *p, struct str name)
{
	static const char WHY[] = "must be the name of a request in the claim or the name of a request and a "
				  "subrequest separated by '/'";
	struct str rest = name;
	unsigned parts = 1;

	for (size_t i = 0; i < name.n; i++)
		parts += name.p[i] == '/';
	while (rest.p && parts <= 2)
		v_name(v, p, str_cut(&rest, '/'), NF_DNS_LABEL);
	if (!request_known(v, name))
		v_invalid(v, p, name, WHY);
}

static void v_request_ref(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_request_name(v, p, node_str(n));
}

static void v_request_refs(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	v_some(v, p, list, MAX_REQUESTS, v_request_ref, F_NONE);
	NODE_FOREACH(c, node_count(list) > MAX_REQUESTS ? NULL : list) {
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (node_equal(other, c)) {
				v_duplicate(v, VPI(p, i), c);
				break;
			}
		}
		i++;
	}
}

static void v_constraint(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_request_refs(v, VP(p, "requests"), node_get(n, F_requests));
	if (node_get(n, F_matchAttribute))
		v_device_attribute_name(v, VP(p, "matchAttribute"), v_str(n, F_matchAttribute));
	else if (node_get(n, F_distinctAttribute))
		v_device_attribute_name(v, VP(p, "distinctAttribute"), v_str(n, F_distinctAttribute));
	else
		v_required(v, p,
			   "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple "
			   "fields are set");
}

static void v_opaque(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *opaque = node_get(n, F_opaque), *params = node_get(opaque, F_parameters);
	const struct vpath *at = VP(p, "opaque");
	_cleanup_buf_ struct buf text = BUF_INIT;

	if (!opaque) {
		v_required(v, at, NULL);
		return;
	}
	v_csi_driver_name(v, VP(at, "driver"), v_str(opaque, F_driver));
	if (!params || node_is(params, DOC_NULL)) {
		v_required(v, VP(at, "parameters"), NULL);
		return;
	}
	doc_print_json(&text, params, DOC_PRINT_COMPACT);
	if (text.len > MAX_OPAQUE)
		v_too_long(v, VP(at, "parameters"), MAX_OPAQUE);
	else if (!node_is(params, DOC_OBJECT))
		v_invalid(v, VP(at, "parameters"), STR_LIT("<value omitted>"), "must be a valid JSON object");
}

static void v_claim_config(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_request_refs(v, VP(p, "requests"), node_get(n, F_requests));
	v_opaque(v, p, n);
}

static void v_device_claim(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_some(v, VP(p, "requests"), node_get(n, F_requests), MAX_REQUESTS, v_device_request, F_name);
	v_some(v, VP(p, "constraints"), node_get(n, F_constraints), MAX_CONSTRAINTS, v_constraint, F_NONE);
	v_some(v, VP(p, "config"), node_get(n, F_config), MAX_CONFIGS, v_claim_config, F_NONE);
}

/* --- ResourceClaim --- */

static void v_consumer(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_need(v, p, n, F_resource, NULL);
	v_need(v, p, n, F_name, NULL);
	v_need(v, p, n, F_uid, NULL);
}

static void v_result(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_request_name(v, VP(p, "request"), v_str(n, F_request));
	v_csi_driver_name(v, VP(p, "driver"), v_str(n, F_driver));
	v_pool_name(v, VP(p, "pool"), v_str(n, F_pool));
	v_name(v, VP(p, "device"), v_str(n, F_device), NF_DNS_LABEL);
}

static void v_result_config(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const SOURCES[] = { "FromClaim", "FromClass", NULL };

	v_one_of(v, VP(p, "source"), node_get(n, F_source), SOURCES);
	v_claim_config(v, p, n);
}

static void v_claim_status(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	const struct node *allocation = node_get(now, F_allocation), *was = node_get(old, F_allocation);
	const struct node *devices = node_get(allocation, F_devices), *users = node_get(now, F_reservedFor);
	const struct vpath *at = VP(p, "allocation"), *dev = VP(at, "devices");

	v_some(v, VP(p, "reservedFor"), users, MAX_RESERVED, v_consumer, F_uid);
	if (node_count(users) > 0 && !allocation)
		v_forbidden(v, VP(p, "reservedFor"), "may not be specified when `allocated` is not set");
	else if (meta_is_deleting(v->root) && node_count(users) > node_count(node_get(old, F_reservedFor)))
		v_forbidden(v, VP(p, "reservedFor"),
			    "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set");
	if (was && allocation) {
		v_immutable(v, at, allocation, was);
	} else if (allocation) {
		v_some(v, VP(dev, "results"), node_get(devices, F_results), MAX_RESULTS, v_result, F_NONE);
		v_some(v, VP(dev, "config"), node_get(devices, F_config), 2 * MAX_CONFIGS, v_result_config, F_NONE);
		if (node_get(allocation, F_nodeSelector))
			v_node_selector(v, VP(at, "nodeSelector"), node_get(allocation, F_nodeSelector));
	}
}

void v_resource_claim(struct valid *v)
{
	if (streq(v->sub, "status"))
		v_claim_status(v, VP(NULL, "status"), node_get(v->root, F_status), node_get(v->old, F_status));
	else if (v->old)
		v_fixed(v, NULL, v->root, v->old, F_spec);
	else
		v_device_claim(v, VP(VP(NULL, "spec"), "devices"), claim_devices(v));
}

void v_resource_claim_template(struct valid *v)
{
	const struct node *meta = node_path(v->root, F_spec, F_metadata);
	const struct vpath *p = VP(NULL, "spec"), *at = VP(p, "metadata");

	if (v->old) {
		v_fixed(v, NULL, v->root, v->old, F_spec);
		return;
	}
	v_annotations(v, VP(at, "annotations"), node_get(meta, F_annotations));
	v_labels(v, VP(at, "labels"), node_get(meta, F_labels));
	NODE_FOREACH(c, meta) {
		if (c->name != F_annotations && c->name != F_labels && !v_empty(c))
			v_forbidden(v, VP(at, c->key), "cannot be set");
	}
	v_device_claim(v, VP(VP(p, "spec"), "devices"), claim_devices(v));
}

/* --- DeviceClass --- */

void v_device_class(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");
	struct str extended = v_str(spec, F_extendedResourceName);

	v_some(v, VP(p, "selectors"), node_get(spec, F_selectors), MAX_SELECTORS, v_device_selector, F_NONE);
	v_some(v, VP(p, "config"), node_get(spec, F_config), MAX_CONFIGS, v_opaque, F_NONE);
	if (node_get(spec, F_extendedResourceName) && !v_is_extended_resource(extended))
		v_invalid(v, VP(p, "extendedResourceName"), extended, "must be a valid extended resource name");
}

/* --- ResourceSlice --- */

static void v_device_attribute(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const enum field TEXTS[] = { F_string, F_version };
	unsigned found = 0;

	NODE_FOREACH(c, n)
		found += !node_is(c, DOC_NULL);
	for (size_t i = 0; i < ARRAY_SIZE(TEXTS); i++) {
		if (v_str(n, TEXTS[i]).n > MAX_VALUE)
			v_too_long(v, VP(p, doc_field_name(TEXTS[i])), MAX_VALUE);
	}
	if (found == 0)
		v_invalid(v, p, STR_LIT(""), "exactly one value must be specified");
	else if (found > 1)
		v_invalid_node(v, p, n, "exactly one value must be specified");
}

static void v_counter_set(struct valid *v, const struct vpath *p, const struct node *n)
{
	enum field name = node_get(n, F_counterSet) ? F_counterSet : F_name;
	const struct node *counters = node_get(n, F_counters);

	v_need_name(v, p, n, name, NF_DNS_LABEL);
	v_need(v, p, n, F_counters, NULL);
	if (node_count(counters) > MAX_COUNTERS)
		v_too_many(v, VP(p, "counters"), node_count(counters), MAX_COUNTERS);
	NODE_FOREACH(c, counters)
		v_name(v, VP(p, "counters"), node_key(c), NF_DNS_LABEL);
}

static void v_device_taint(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char *const EFFECTS[] = { "NoExecute", "NoSchedule", "None", NULL };

	v_name(v, VP(p, "key"), v_str(n, F_key), NF_QUALIFIED);
	v_name(v, VP(p, "value"), v_str(n, F_value), NF_LABEL_VALUE);
	v_one_of(v, VP(p, "effect"), node_get(n, F_effect), EFFECTS);
}

/* Which of the members that say where devices are is set: how many; each one's own rules. */
static unsigned v_device_nodes(struct valid *v, const struct vpath *p, const struct node *n, struct buf *set)
{
	static const enum field FLAGS[] = { F_allNodes, F_perDeviceNodeSelection };
	const struct node *name = node_get(n, F_nodeName), *sel = node_get(n, F_nodeSelector);
	unsigned found = 0;

	if (name && node_str(name).n == 0)
		v_invalid(v, VP(p, "nodeName"), STR_LIT(""), "must be either unset or set to a non-empty string");
	if (name && node_str(name).n > 0) {
		buf_addf(set, "%s`nodeName`", found++ ? ", " : "");
		v_name(v, VP(p, "nodeName"), node_str(name), NF_DNS_SUBDOMAIN);
	}
	if (sel) {
		buf_addf(set, "%s`nodeSelector`", found++ ? ", " : "");
		v_node_selector(v, VP(p, "nodeSelector"), sel);
	}
	for (size_t i = 0; i < ARRAY_SIZE(FLAGS); i++) {
		const struct node *flag = node_get(n, FLAGS[i]);

		if (node_bool(flag, false))
			buf_addf(set, "%s`%s`", found++ ? ", " : "", doc_field_name(FLAGS[i]));
		else if (flag)
			v_invalid_node(v, VP(p, doc_field_name(FLAGS[i])), flag,
				       "must be either unset or set to true");
	}
	return found;
}

static void v_device_place(struct valid *v, const struct vpath *p, const struct node *n)
{
	static const char WHY[] = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
				  "`perDeviceNodeSelection` is set to true in the ResourceSlice spec";
	_cleanup_buf_ struct buf set = BUF_INIT;
	_cleanup_free_ char *all = NULL;
	unsigned found;

	if (!node_bool(node_path(v->root, F_spec, F_perDeviceNodeSelection), false)) {
		if (node_get(n, F_nodeName) || node_get(n, F_nodeSelector) || node_get(n, F_allNodes))
			v_invalid_node(v, p, NULL,
				       "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
				       "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
		return;
	}
	found = v_device_nodes(v, p, n, &set);
	all = xasprintf("{%s}", set.len ? set.s : "");
	if (found == 0)
		v_required(v, p, WHY);
	else if (found > 1)
		v_invalid(v, p, str_of(all), WHY);
}

static void v_device(struct valid *v, const struct vpath *p, const struct node *n)
{
	const struct node *attributes = node_get(n, F_attributes), *capacity = node_get(n, F_capacity);
	size_t all = node_count(attributes) + node_count(capacity);
	bool many = node_bool(node_get(n, F_allowMultipleAllocations), false);

	v_name(v, VP(p, "name"), v_str(n, F_name), NF_DNS_LABEL);
	if (all > MAX_ATTRIBUTES)
		v_invalid_int(v, p, (int64_t)all, "the total number of attributes and capacities must not exceed 32");
	NODE_FOREACH(c, attributes) {
		v_device_key(v, VP(p, "attributes"), node_key(c));
		v_device_attribute(v, VPK(VP(p, "attributes"), node_key(c)), c);
	}
	NODE_FOREACH(c, capacity) {
		v_device_key(v, VP(p, "capacity"), node_key(c));
		if (!many && node_get(c, F_requestPolicy))
			v_forbidden(v, VP(VPK(VP(p, "capacity"), node_key(c)), "requestPolicy"),
				    "allowMultipleAllocations must be true");
	}
	v_some(v, VP(p, "taints"), node_get(n, F_taints), MAX_TAINTS, v_device_taint, F_NONE);
	v_some(v, VP(p, "consumesCounters"), node_get(n, F_consumesCounters), MAX_COUNTER_SETS, v_counter_set,
	       F_counterSet);
	v_device_place(v, p, n);
	if (node_count(node_get(n, F_bindingConditions)) > MAX_CONDITIONS)
		v_too_many(v, VP(p, "bindingConditions"), node_count(node_get(n, F_bindingConditions)),
			   MAX_CONDITIONS);
}

static void v_pool(struct valid *v, const struct vpath *p, const struct node *pool)
{
	const struct node *count = node_get(pool, F_resourceSliceCount), *generation = node_get(pool, F_generation);

	v_pool_name(v, VP(p, "name"), v_str(pool, F_name));
	if (node_int(count, 0) <= 0)
		v_invalid_int(v, VP(p, "resourceSliceCount"), node_int(count, 0), "must be greater than zero");
	if (node_int(generation, 0) < 0)
		v_invalid_node(v, VP(p, "generation"), generation, "must be greater than or equal to zero");
}

static size_t slice_most_devices(const struct node *devices)
{
	NODE_FOREACH(c, devices) {
		if (node_count(node_get(c, F_taints)) > 0 || node_count(node_get(c, F_consumesCounters)) > 0)
			return MAX_DEVICES_ADVANCED;
	}
	return MAX_DEVICES;
}

void v_resource_slice(struct valid *v)
{
	static const char WHY[] = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
				  "required";
	const struct node *spec = node_get(v->root, F_spec), *old = node_get(v->old, F_spec);
	const struct node *devices = node_get(spec, F_devices), *sel = node_path(spec, F_nodeSelector, F_nodeSelectorTerms);
	const struct vpath *p = VP(NULL, "spec");
	_cleanup_buf_ struct buf set = BUF_INIT;
	unsigned places;

	v_csi_driver_name(v, VP(p, "driver"), v_str(spec, F_driver));
	v_pool(v, VP(p, "pool"), node_get(spec, F_pool));
	if (old) {
		v_fixed(v, VP(p, "pool"), node_get(spec, F_pool), node_get(old, F_pool), F_name);
		v_fixed(v, p, spec, old, F_driver);
		v_fixed(v, p, spec, old, F_nodeName);
	}
	places = v_device_nodes(v, p, spec, &set);
	if (node_get(spec, F_nodeSelector) && node_count(sel) != 1)
		v_invalid_node(v, VP(VP(p, "nodeSelector"), "nodeSelectorTerms"), sel,
			       "must have exactly one node selector term");
	if (places == 0) {
		v_required(v, p, WHY);
	} else if (places > 1) {
		_cleanup_free_ char *all = xasprintf("{%s}", set.s), *why = xasprintf("%s, but multiple fields are set", WHY);

		v_invalid(v, p, str_of(all), why);
	}
	if (node_get(spec, F_sharedCounters) && devices)
		v_invalid(v, p, STR_LIT(""), "only one of `sharedCounters` or `devices` is allowed");
	v_some(v, VP(p, "devices"), devices, slice_most_devices(devices), v_device, F_name);
	v_some(v, VP(p, "sharedCounters"), node_get(spec, F_sharedCounters), MAX_COUNTER_SETS, v_counter_set, F_name);
}
