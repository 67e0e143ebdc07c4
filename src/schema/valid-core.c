/*
 * Validation of small core kinds: Namespace, Node, ConfigMap, Secret,
 * ServiceAccount, Event, Lease, Binding.
 */
#include "schema/valid.h"

enum { MAX_SECRET_BYTES = 1 << 20 }; /* of a Secret's or ConfigMap's data */

/* --- Namespace --- */

static void v_kube_finalizer(struct valid *v, const struct vpath *p, struct str s)
{
	static const char *const STANDARD[] = { "foregroundDeletion", "kubernetes", "orphan", NULL };

	v_name(v, p, s, NF_QUALIFIED);
	if (str_find(s, '/') < 0 && !v_is_one_of(s, STANDARD))
		v_invalid(v, p, s, "name is neither a standard finalizer name nor is it fully qualified");
}

void v_namespace(struct valid *v)
{
	const struct node *status = node_get(v->root, F_status);
	const struct vpath *p = VP(VP(NULL, "status"), "Phase");
	struct str phase = v_str(status, F_phase);
	size_t i = 0;

	NODE_FOREACH(c, node_path(v->root, F_spec, F_finalizers)) {
		const struct vpath *at = VP(VP(NULL, "spec"), "finalizers");

		v_kube_finalizer(v, v->old ? VPI(at, i++) : at, node_str(c));
	}
	if (!v->old || !streq(v->sub, "status"))
		return;
	if (!meta_is_deleting(v->root) && !str_eqc(phase, "Active"))
		v_invalid(v, p, phase, "may only be 'Active' if `deletionTimestamp` is empty");
	else if (meta_is_deleting(v->root) && !str_eqc(phase, "Terminating"))
		v_invalid(v, p, phase, "may only be 'Terminating' if `deletionTimestamp` is not empty");
}

/* --- Node --- */

static void v_taints(struct valid *v, const struct vpath *p, const struct node *taints)
{
	size_t i = 0;

	NODE_FOREACH(c, taints) {
		const struct vpath *at = VPI(p, i++);

		v_name(v, VP(at, "key"), v_str(c, F_key), NF_QUALIFIED);
		v_name(v, VP(at, "value"), v_str(c, F_value), NF_LABEL_VALUE);
		v_taint_effect(v, VP(at, "effect"), node_get(c, F_effect));
		NODE_FOREACH(other, taints) {
			if (other == c)
				break;
			if (!str_eq(v_str(other, F_key), v_str(c, F_key)) ||
			    !str_eq(v_str(other, F_effect), v_str(c, F_effect)))
				continue;
			v_duplicate_why(v, at, c, "taints must be unique by key and effect pair");
			break;
		}
	}
}

static void v_node_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	if (node_count(node_get(old, F_podCIDRs)) > 0 &&
	    !v_same(node_get(now, F_podCIDRs), node_get(old, F_podCIDRs)))
		v_forbidden(v, VP(p, "podCIDRs"), "node updates may not change podCIDR except from \"\" to valid");
	if (v_str(old, F_providerID).n > 0 && !v_same(node_get(now, F_providerID), node_get(old, F_providerID)))
		v_forbidden(v, VP(p, "providerID"),
			    "node updates may not change providerID except from \"\" to valid");
	if (!v_same(node_get(now, F_externalID), node_get(old, F_externalID)))
		v_forbidden(v, VP(p, "externalID"), "may not be updated");
}

static void v_node_resources(struct valid *v, enum field f)
{
	const struct vpath *p = VP(VP(NULL, "status"), doc_field_name(f));

	NODE_FOREACH(c, node_get(node_get(v->root, F_status), f))
		v_quantity_of(v, VP(p, c->key), node_key(c), c);
}

static void v_pod_cidrs(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list)
		v_cidr(v, VPI(p, i++), node_str(c));
	if (node_count(list) > 2 ||
	    (node_count(list) == 2 &&
	     (str_find(node_str(node_at(list, 0)), ':') >= 0) == (str_find(node_str(node_at(list, 1)), ':') >= 0)))
		v_invalid_node(v, p, list, "may specify no more than one CIDR for each IP family");
}

void v_node(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");
	const struct node *addresses = node_path(v->root, F_status, F_addresses);
	size_t i = 0;

	v_taints(v, VP(VP(NULL, "metadata"), "taints"), node_get(spec, F_taints));
	v_node_resources(v, F_capacity);
	v_node_resources(v, F_allocatable);
	if (!v->old) {
		v_pod_cidrs(v, VP(p, "podCIDRs"), node_get(spec, F_podCIDRs));
		return;
	}
	i = 0;
	NODE_FOREACH(c, addresses) {
		const struct vpath *at = VPI(VP(VP(NULL, "status"), "addresses"), i++);

		NODE_FOREACH(other, addresses) {
			if (other == c)
				break;
			if (node_equal(other, c))
				v_duplicate(v, at, c);
		}
	}
	v_node_update(v, p, spec, node_get(v->old, F_spec));
}

/* --- ConfigMap and Secret --- */

static size_t base64_size(const struct node *n)
{
	struct str s = node_str(n);
	size_t size = s.n / 4 * 3;

	for (unsigned i = 0; i < 2 && s.n > 0 && s.p[s.n - 1] == '='; i++) {
		s.n--;
		size--;
	}
	return size;
}

static void v_when_immutable(struct valid *v, enum field data)
{
	static const char WHY[] = "field is immutable when `immutable` is set";

	if (!node_bool(node_get(v->old, F_immutable), false))
		return;
	if (data == F_immutable) {
		if (!node_bool(node_get(v->root, F_immutable), false))
			v_forbidden(v, VP(NULL, "immutable"), WHY);
	} else if (!v_same(node_get(v->root, data), node_get(v->old, data))) {
		v_forbidden(v, VP(NULL, doc_field_name(data)), WHY);
	}
}

void v_config_map(struct valid *v)
{
	const struct node *data = node_get(v->root, F_data), *binary = node_get(v->root, F_binaryData);
	size_t total = 0;

	v_when_immutable(v, F_immutable);
	v_when_immutable(v, F_data);
	v_when_immutable(v, F_binaryData);
	NODE_FOREACH(c, data) {
		const struct vpath *at = VPK(VP(NULL, "data"), node_key(c));

		v_name(v, at, node_key(c), NF_CONFIG_KEY);
		if (node_getk(binary, node_key(c)))
			v_invalid(v, at, node_key(c), "duplicate of key present in binaryData");
		total += node_str(c).n;
	}
	NODE_FOREACH(c, binary) {
		v_name(v, VPK(VP(NULL, "binaryData"), node_key(c)), node_key(c), NF_CONFIG_KEY);
		total += base64_size(c);
	}
	if (total > MAX_SECRET_BYTES)
		v_too_long(v, VP(NULL, ""), MAX_SECRET_BYTES);
}

static void v_needs_key(struct valid *v, const struct node *data, const char *key)
{
	if (!node_getc(data, key))
		v_required(v, VPK(VP(NULL, "data"), str_of(key)), NULL);
}

/* The value must be a JSON object. */
static void v_json_key(struct valid *v, const struct node *data, const char *key)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	const struct node *value = node_getc(data, key);
	struct doc *d = NULL;

	v_needs_key(v, data, key);
	if (!value || !buf_add_base64_decoded(&text, node_str(value), false))
		return;
	if (doc_parse_json(&d, buf_str(&text), NULL, &e) < 0)
		v_invalid(v, VPK(VP(NULL, "data"), str_of(key)), STR_LIT("<secret contents redacted>"), err_msg(&e));
	else if (!node_is(doc_root(d), DOC_OBJECT))
		v_invalid(v, VPK(VP(NULL, "data"), str_of(key)), STR_LIT("<secret contents redacted>"),
			  "must be a JSON object");
	doc_unref(d);
}

static void v_secret_type(struct valid *v, const struct node *data, struct str type)
{
	static const char SA_NAME[] = "kubernetes.io/service-account.name";

	if (str_eqc(type, "kubernetes.io/service-account-token")) {
		if (str_empty(meta_annotation(v->root, SA_NAME)))
			v_required(v, VPK(VP(VP(NULL, "metadata"), "annotations"), str_of(SA_NAME)), NULL);
	} else if (str_eqc(type, "kubernetes.io/dockercfg")) {
		v_json_key(v, data, ".dockercfg");
	} else if (str_eqc(type, "kubernetes.io/dockerconfigjson")) {
		v_json_key(v, data, ".dockerconfigjson");
	} else if (str_eqc(type, "kubernetes.io/basic-auth")) {
		if (!node_getc(data, "username") && !node_getc(data, "password")) {
			v_needs_key(v, data, "username");
			v_needs_key(v, data, "password");
		}
	} else if (str_eqc(type, "kubernetes.io/ssh-auth")) {
		if (node_str(node_getc(data, "ssh-privatekey")).n == 0)
			v_required(v, VPK(VP(NULL, "data"), STR_LIT("ssh-privatekey")), NULL);
	} else if (str_eqc(type, "kubernetes.io/tls")) {
		v_needs_key(v, data, "tls.crt");
		v_needs_key(v, data, "tls.key");
	}
}

void v_secret(struct valid *v)
{
	const struct node *data = node_get(v->root, F_data);
	size_t total = 0;

	if (v->old)
		v_immutable(v, VP(NULL, "type"), node_get(v->root, F_type), node_get(v->old, F_type));
	v_when_immutable(v, F_immutable);
	v_when_immutable(v, F_data);
	NODE_FOREACH(c, data) {
		v_name(v, VPK(VP(NULL, "data"), node_key(c)), node_key(c), NF_CONFIG_KEY);
		total += base64_size(c);
	}
	if (total > MAX_SECRET_BYTES)
		v_too_long(v, VP(NULL, "data"), MAX_SECRET_BYTES);
	v_secret_type(v, data, v_str(v->root, F_type));
}

/* --- ServiceAccount --- */

void v_service_account(struct valid *v)
{
	size_t i = 0;

	NODE_FOREACH(c, node_get(v->root, F_imagePullSecrets)) {
		if (v_str(c, F_name).n == 0)
			v_required(v, VP(VPI(VP(NULL, "imagePullSecrets"), i), "name"), NULL);
		i++;
	}
}

/* --- Event, in both groups --- */

static void v_event_text(struct valid *v, enum field f, size_t max)
{
	struct str s = v_str(v->root, f);
	const struct vpath *p = VP(NULL, doc_field_name(f));
	char *text;

	if (s.n == 0)
		v_required(v, p, NULL);
	if (s.n <= max)
		return;
	text = xasprintf("can have at most %zu characters", max);
	v_invalid(v, p, STR_LIT(""), text);
	free(text);
}

/* What an Event with eventTime needs. */
static void v_event_new(struct valid *v, bool legacy_group)
{
	enum field from = legacy_group ? F_reportingComponent : F_reportingController;
	const struct node *note = node_get(v->root, legacy_group ? F_message : F_note);

	if (v_str(v->root, from).n == 0)
		v_required(v, VP(NULL, doc_field_name(from)), NULL);
	else
		v_name(v, VP(NULL, doc_field_name(from)), v_str(v->root, from), NF_QUALIFIED);
	v_event_text(v, F_reportingInstance, 128);
	v_event_text(v, F_action, 128);
	v_event_text(v, F_reason, 128);
	if (node_str(note).n > 1024)
		v_invalid(v, VP(NULL, "message"), STR_LIT(""), "can have at most 1024 characters");
}

static void v_event_series(struct valid *v)
{
	const struct node *series = node_get(v->root, F_series);

	if (!series || node_is(series, DOC_NULL))
		return;
	if (node_int(node_get(series, F_count), 0) < 2)
		v_invalid(v, VP(VP(NULL, "series"), "count"), STR_LIT(""), "should be at least 2");
	if (v_empty(node_get(series, F_lastObservedTime)))
		v_required(v, VP(VP(NULL, "series"), "lastObservedTime"), NULL);
}

static void v_event_type(struct valid *v, struct str type)
{
	_cleanup_free_ char *why = xasprintf("has invalid value: %" STR_FMT, STR_ARG(type));

	v_invalid(v, VP(NULL, "type"), STR_LIT(""), why);
}

/* What events.k8s.io asks for beyond what core does. Paths are those of core's fields. */
static void v_event_strict(struct valid *v)
{
	static const struct {
		enum field field;
		const char *name;
	} UNSET[] = { { F_deprecatedFirstTimestamp, "firstTimestamp" },
		      { F_deprecatedLastTimestamp, "lastTimestamp" },
		      { F_deprecatedCount, "count" },
		      { F_deprecatedSource, "source" } };
	struct str type = v_str(v->root, F_type);

	v_event_series(v);
	if (v_empty(node_get(v->root, F_eventTime)))
		v_required(v, VP(NULL, "eventTime"), NULL);
	if (!str_eqc(type, "Normal") && !str_eqc(type, "Warning"))
		v_event_type(v, type);
	for (size_t i = 0; i < ARRAY_SIZE(UNSET); i++) {
		const struct node *n = node_get(v->root, UNSET[i].field);

		if (!v_empty(n) && !(node_is(n, DOC_INT) && n->u.i == 0))
			v_invalid(v, VP(NULL, UNSET[i].name), STR_LIT(""), "needs to be unset");
	}
}

static void v_event_update(struct valid *v)
{
	static const struct {
		enum field field;
		const char *name;
	} FIXED[] = { { F_regarding, "involvedObject" },
		      { F_reason, "reason" },
		      { F_note, "message" },
		      { F_deprecatedSource, "source" },
		      { F_deprecatedFirstTimestamp, "firstTimestamp" },
		      { F_deprecatedLastTimestamp, "lastTimestamp" },
		      { F_deprecatedCount, "count" },
		      { F_type, "type" },
		      { F_eventTime, "eventTime" },
		      { F_action, "action" },
		      { F_related, "related" },
		      { F_reportingController, "reportingController" },
		      { F_reportingInstance, "reportingInstance" } };

	if (!v_same(node_get(v->root, F_series), node_get(v->old, F_series)))
		v_event_series(v);
	for (size_t i = 0; i < ARRAY_SIZE(FIXED); i++)
		v_immutable(v, VP(NULL, FIXED[i].name), node_get(v->root, FIXED[i].field),
			    node_get(v->old, FIXED[i].field));
}

void v_event(struct valid *v)
{
	bool legacy = !*v->r->r.group;
	const struct node *about = node_get(v->root, legacy ? F_involvedObject : F_regarding);
	struct str ns = str_of(meta_ns(v->root)), about_ns = v_str(about, F_namespace);
	bool timed = !v_empty(node_get(v->root, F_eventTime)), differs;

	if (about_ns.n == 0)
		differs = ns.n > 0 && !str_eqc(ns, "default") && !(timed && str_eqc(ns, "kube-system"));
	else
		differs = !timed && !str_eq(ns, about_ns);
	if (differs)
		v_invalid(v, VP(VP(NULL, "involvedObject"), "namespace"), about_ns, "does not match event.namespace");
	if (timed)
		v_event_new(v, legacy);
	v_name(v, VP(NULL, "namespace"), ns, NF_DNS_SUBDOMAIN);
	if (!legacy && v->old)
		v_event_update(v);
	else if (!legacy)
		v_event_strict(v);
}

/* --- Lease --- */

static void v_lease_strategy(struct valid *v, const struct vpath *p, struct str s)
{
	if (!str_eqc(s, "OldestEmulationVersion"))
		v_domain_path(v, p, s);
}

void v_lease(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec), *seconds = node_get(spec, F_leaseDurationSeconds);
	const struct vpath *p = VP(NULL, "spec");

	if (seconds && node_int(seconds, 0) <= 0)
		v_invalid_node(v, VP(p, "leaseDurationSeconds"), seconds, "must be greater than 0");
	v_nonnegative(v, VP(p, "leaseTransitions"), node_get(spec, F_leaseTransitions));
	if (node_get(spec, F_strategy))
		v_lease_strategy(v, VP(p, "strategy"), v_str(spec, F_strategy));
	if (v_str(spec, F_preferredHolder).n > 0 && v_str(spec, F_strategy).n == 0)
		v_forbidden(v, VP(p, "preferredHolder"), "may only be specified if `strategy` is defined");
}

void v_lease_candidate(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	v_need(v, p, spec, F_leaseName, NULL);
	v_need(v, p, spec, F_binaryVersion, NULL);
	if (v_str(spec, F_strategy).n == 0)
		v_required(v, VP(p, "strategy"), NULL);
	else
		v_lease_strategy(v, VP(p, "strategy"), v_str(spec, F_strategy));
	if (v->old)
		v_fixed(v, p, spec, node_get(v->old, F_spec), F_leaseName);
}

/* --- Binding --- */

void v_binding(struct valid *v)
{
	static const char *const KINDS[] = { "Node", "<empty>", NULL };
	const struct node *target = node_get(v->root, F_target);
	const struct vpath *p = VP(NULL, "target");

	if (v_str(target, F_kind).n > 0 && !streq(node_gets(target, F_kind), "Node"))
		v_unsupported(v, VP(p, "kind"), v_str(target, F_kind), KINDS);
	if (v_str(target, F_name).n == 0)
		v_required(v, VP(p, "name"), NULL);
}
