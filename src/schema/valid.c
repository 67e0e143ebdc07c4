/*
 * Validation: every error of an object at once, in the order and words of
 * Kubernetes.
 *
 * schema_validate runs the metadata rules, then the kind's own (the table KINDS,
 * valid-*.c), then what the type tables say for paths that have no error yet
 * (valid-generic.c), and makes one ERR_INVALID of it: causes for Status.details,
 * and a message that joins them as Go's aggregate does (each text once, brackets
 * from two on).
 *
 * To add a kind's rules: write its function, declare it in valid.h, enter it here.
 */
#include "schema/valid.h"

#include "schema/crd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/limits.h"

enum { MAX_ERRORS = 500 }; /* of one object; a client cannot read more */

/* --- paths and values as text --- */

void vpath_print(const struct vpath *p, struct buf *out)
{
	if (!p)
		return;
	vpath_print(p->up, out);
	if (p->name) {
		if (out->len && *p->name)
			buf_addch(out, '.');
		buf_adds(out, p->name);
	} else if (p->index >= 0) {
		buf_addf(out, "[%zd]", p->index);
	} else {
		buf_addf(out, "[%" STR_FMT "]", STR_ARG(p->key));
	}
}

static void v_print_value(struct buf *out, const struct node *n)
{
	if (node_is(n, DOC_STRING))
		buf_add_quoted(out, node_str(n));
	else if (!n)
		buf_adds(out, "null");
	else
		doc_print_json(out, n, DOC_PRINT_COMPACT);
}

/* --- errors --- */

void v_add_made(struct valid *v, const char *reason, char *field, char *body)
{
	if (v->n >= MAX_ERRORS) {
		free(field);
		free(body);
		return;
	}
	if (v->n == v->cap) {
		v->cap = v->cap ? v->cap * 2 : 8;
		v->errors = xreallocarray(v->errors, v->cap, sizeof(*v->errors));
	}
	v->errors[v->n++] = (struct valid_error){ reason, field, body };
}

static void v_add(struct valid *v, const char *reason, const struct vpath *p, struct buf *body)
{
	_cleanup_buf_ struct buf field = BUF_INIT;

	vpath_print(p, &field);
	v_add_made(v, reason, buf_detach(&field, NULL), buf_detach(body, NULL));
}

/* value: text already in its final form, or NULL */
static void v_addf(struct valid *v, const char *reason, const struct vpath *p, const char *words,
		   const struct buf *value, const char *detail)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_adds(&b, words);
	if (value)
		buf_addf(&b, ": %s", value->s);
	if (detail && *detail)
		buf_addf(&b, ": %s", detail);
	v_add(v, reason, p, &b);
}

void v_required(struct valid *v, const struct vpath *p, const char *detail)
{
	v_addf(v, "FieldValueRequired", p, "Required value", NULL, detail);
}

void v_invalid(struct valid *v, const struct vpath *p, struct str value, const char *detail)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_add_quoted(&b, value);
	v_addf(v, "FieldValueInvalid", p, "Invalid value", &b, detail);
}

void v_invalid_int(struct valid *v, const struct vpath *p, int64_t value, const char *detail)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_addf(&b, "%lld", (long long)value);
	v_addf(v, "FieldValueInvalid", p, "Invalid value", &b, detail);
}

void v_invalid_node(struct valid *v, const struct vpath *p, const struct node *value, const char *detail)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	v_print_value(&b, value);
	v_addf(v, "FieldValueInvalid", p, "Invalid value", &b, detail);
}

void v_invalidf(struct valid *v, const struct vpath *p, const struct node *value, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	v_invalid_node(v, p, value, text);
}

void v_invalid_omitted(struct valid *v, const struct vpath *p, const char *detail)
{
	v_addf(v, "FieldValueInvalid", p, "Invalid value", NULL, detail);
}

static void v_unsupported_text(struct valid *v, const struct vpath *p, const struct buf *value,
			       const char *const *supported)
{
	_cleanup_buf_ struct buf detail = BUF_INIT;

	buf_adds(&detail, "supported values: ");
	for (size_t i = 0; supported[i]; i++) {
		buf_adds(&detail, i ? ", " : "");
		buf_add_quoted(&detail, str_of(supported[i]));
	}
	v_addf(v, "FieldValueNotSupported", p, "Unsupported value", value, detail.s);
}

void v_unsupported(struct valid *v, const struct vpath *p, struct str value, const char *const *supported)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_add_quoted(&b, value);
	v_unsupported_text(v, p, &b, supported);
}

void v_unsupported_node(struct valid *v, const struct vpath *p, const struct node *value,
			const char *const *supported)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	v_print_value(&b, value);
	v_unsupported_text(v, p, &b, supported);
}

void v_type_invalid(struct valid *v, const struct vpath *p, struct str value, const char *detail)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_add_quoted(&b, value);
	v_addf(v, "FieldValueTypeInvalid", p, "Invalid value", &b, detail);
}

void v_too_long_chars(struct valid *v, const struct vpath *p, size_t max)
{
	char text[64];

	snprintf(text, sizeof(text), "may not be more than %zu characters", max);
	v_addf(v, "FieldValueTooLong", p, "Too long", NULL, text);
}

void v_forbidden(struct valid *v, const struct vpath *p, const char *detail)
{
	v_addf(v, "FieldValueForbidden", p, "Forbidden", NULL, detail);
}

void v_forbiddenf(struct valid *v, const struct vpath *p, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	v_forbidden(v, p, text);
}

void v_duplicate(struct valid *v, const struct vpath *p, const struct node *value)
{
	v_duplicate_why(v, p, value, NULL);
}

void v_duplicate_why(struct valid *v, const struct vpath *p, const struct node *value, const char *detail)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	v_print_value(&b, value);
	v_addf(v, "FieldValueDuplicate", p, "Duplicate value", &b, detail);
}

void v_duplicate_str(struct valid *v, const struct vpath *p, struct str value)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_add_quoted(&b, value);
	v_addf(v, "FieldValueDuplicate", p, "Duplicate value", &b, NULL);
}

void v_not_found(struct valid *v, const struct vpath *p, struct str value)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	buf_add_quoted(&b, value);
	v_addf(v, "FieldValueNotFound", p, "Not found", &b, NULL);
}

void v_too_long(struct valid *v, const struct vpath *p, size_t max)
{
	char text[64];

	snprintf(text, sizeof(text), "may not be more than %zu bytes", max);
	v_addf(v, "FieldValueTooLong", p, "Too long", NULL, text);
}

void v_too_many(struct valid *v, const struct vpath *p, size_t n, size_t max)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char text[64];

	buf_addf(&b, "%zu", n);
	snprintf(text, sizeof(text), "must have at most %zu items", max);
	v_addf(v, "FieldValueTooMany", p, "Too many", &b, text);
}

bool v_has_error_at(const struct valid *v, const struct vpath *p)
{
	_cleanup_buf_ struct buf field = BUF_INIT;

	if (v->n == 0)
		return false;
	vpath_print(p, &field);
	for (size_t i = 0; i < v->n; i++) {
		if (streq(v->errors[i].field, field.s))
			return true;
	}
	return false;
}

void v_name(struct valid *v, const struct vpath *p, struct str s, enum name_format f)
{
	const char *m[NAME_MSGS];
	unsigned n = name_messages(f, s, false, m);

	for (unsigned i = 0; i < n; i++)
		v_invalid(v, p, s, m[i]);
}

/* --- kinds --- */

static const struct {
	const char *group, *kind;
	void (*check)(struct valid *v);
} KINDS[] = {
	{ "", "Pod", v_pod },
	{ "", "PodTemplate", v_pod_template_object },
	{ "", "Namespace", v_namespace },
	{ "", "Node", v_node },
	{ "", "ConfigMap", v_config_map },
	{ "", "Secret", v_secret },
	{ "", "Service", v_service },
	{ "", "ServiceAccount", v_service_account },
	{ "", "Event", v_event },
	{ "events.k8s.io", "Event", v_event },
	{ "", "Binding", v_binding },
	{ "", "ReplicationController", v_replication_controller },
	{ "coordination.k8s.io", "Lease", v_lease },
	{ "coordination.k8s.io", "LeaseCandidate", v_lease_candidate },
	{ "apps", "Deployment", v_deployment },
	{ "apps", "ReplicaSet", v_replica_set },
	{ "apps", "DaemonSet", v_daemon_set },
	{ "apps", "StatefulSet", v_stateful_set },
	{ "batch", "Job", v_job },
	{ "batch", "CronJob", v_cron_job },
	{ "rbac.authorization.k8s.io", "Role", v_role },
	{ "rbac.authorization.k8s.io", "ClusterRole", v_role },
	{ "rbac.authorization.k8s.io", "RoleBinding", v_role_binding },
	{ "rbac.authorization.k8s.io", "ClusterRoleBinding", v_role_binding },
	{ "authorization.k8s.io", "SubjectAccessReview", v_access_review },
	{ "authorization.k8s.io", "LocalSubjectAccessReview", v_access_review },
	{ "authorization.k8s.io", "SelfSubjectAccessReview", v_access_review },
	{ "", "Endpoints", v_endpoints },
	{ "", "LimitRange", v_limit_range },
	{ "", "PersistentVolume", v_persistent_volume },
	{ "", "PersistentVolumeClaim", v_persistent_volume_claim },
	{ "", "ResourceQuota", v_resource_quota },
	{ "admissionregistration.k8s.io", "MutatingAdmissionPolicy", v_admission_policy },
	{ "admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", v_admission_policy_binding },
	{ "admissionregistration.k8s.io", "MutatingWebhookConfiguration", v_webhook_configuration },
	{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicy", v_admission_policy },
	{ "admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", v_admission_policy_binding },
	{ "admissionregistration.k8s.io", "ValidatingWebhookConfiguration", v_webhook_configuration },
	{ "apiregistration.k8s.io", "APIService", v_api_service },
	{ "apiextensions.k8s.io", "CustomResourceDefinition", v_custom_resource_definition },
	{ "apps", "ControllerRevision", v_controller_revision },
	{ "autoscaling", "HorizontalPodAutoscaler", v_autoscaler },
	{ "certificates.k8s.io", "CertificateSigningRequest", v_certificate_request },
	{ "discovery.k8s.io", "EndpointSlice", v_endpoint_slice },
	{ "flowcontrol.apiserver.k8s.io", "FlowSchema", v_flow_schema },
	{ "flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", v_priority_level },
	{ "networking.k8s.io", "IPAddress", v_ip_address },
	{ "networking.k8s.io", "Ingress", v_ingress },
	{ "networking.k8s.io", "IngressClass", v_ingress_class },
	{ "networking.k8s.io", "NetworkPolicy", v_network_policy },
	{ "networking.k8s.io", "ServiceCIDR", v_service_cidr },
	{ "node.k8s.io", "RuntimeClass", v_runtime_class },
	{ "policy", "PodDisruptionBudget", v_disruption_budget },
	{ "resource.k8s.io", "DeviceClass", v_device_class },
	{ "resource.k8s.io", "ResourceClaim", v_resource_claim },
	{ "resource.k8s.io", "ResourceClaimTemplate", v_resource_claim_template },
	{ "resource.k8s.io", "ResourceSlice", v_resource_slice },
	{ "scheduling.k8s.io", "PriorityClass", v_priority_class },
	{ "storage.k8s.io", "CSIDriver", v_csi_driver },
	{ "storage.k8s.io", "CSINode", v_csi_node },
	{ "storage.k8s.io", "CSIStorageCapacity", v_csi_storage_capacity },
	{ "storage.k8s.io", "StorageClass", v_storage_class },
	{ "storage.k8s.io", "VolumeAttachment", v_volume_attachment },
	{ "storage.k8s.io", "VolumeAttributesClass", v_volume_attributes_class },
};

/* Kinds whose lists are compared with nothing, so may be as long as a body. */
static bool v_may_be_long(const struct resource *r)
{
	return streq(r->group, "networking.k8s.io") && streq(r->kind, "NetworkPolicy");
}

/* Lists that the rules compare item by item are short. */
static void v_lists(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t i = 0;

	if (node_is(n, DOC_ARRAY) && n->len > LIMIT_LIST_ITEMS) {
		v_too_many(v, p, n->len, LIMIT_LIST_ITEMS);
		return;
	}
	NODE_FOREACH(c, n) {
		if (node_is(n, DOC_ARRAY))
			v_lists(v, VPI(p, i++), c);
		else if (node_count(c) > 0)
			v_lists(v, VP(p, c->key), c);
	}
}

static void v_object(struct valid *v)
{
	static const enum field SHORT[] = { F_spec, F_template, F_allowedTopologies, F_status };
	void (*check)(struct valid *v) = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(KINDS); i++) {
		if (!v->r->custom && streq(KINDS[i].kind, v->r->r.kind) && streq(KINDS[i].group, v->r->r.group))
			check = KINDS[i].check;
	}
	v_lists(v, VP(NULL, "metadata"), meta_of(v->root));
	for (size_t i = 0; check && !v_may_be_long(&v->r->r) && i < ARRAY_SIZE(SHORT); i++)
		v_lists(v, VP(NULL, doc_field_name(SHORT[i])), node_get(v->root, SHORT[i]));
	if (v->n > 0)
		return;
	if (!v->r->is_virtual)
		v_meta(v);
	if (check)
		check(v);
	if (v->r->custom)
		v_custom(v);
	else
		v_generic(v);
}

/* --- the result --- */

static bool v_said_before(const struct valid *v, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (streq(v->errors[i].field, v->errors[at].field) && streq(v->errors[i].body, v->errors[at].body))
			return true;
	}
	return false;
}

static int v_fail(const struct valid *v, struct err *e)
{
	_cleanup_buf_ struct buf list = BUF_INIT;
	const char *name = meta_name(v->root);
	size_t n = 0;

	for (size_t i = 0; i < v->n; i++) {
		if (v_said_before(v, i))
			continue;
		buf_addf(&list, "%s%s: %s", n++ ? ", " : "", v->errors[i].field, v->errors[i].body);
	}
	err_set(e, ERR_INVALID, "%s%s%s \"%s\" is invalid: %s%s%s", v->r->r.kind, *v->r->r.group ? "." : "",
		v->r->r.group, name, n > 1 ? "[" : "", list.s, n > 1 ? "]" : "");
	err_about(e, v->r->r.group, v->r->r.kind, name);
	for (size_t i = 0; i < v->n; i++)
		err_add_cause(e, v->errors[i].reason, v->errors[i].field, "%s", v->errors[i].body);
	return -e->code;
}

static int v_finish(struct valid *v, struct err *e)
{
	int rc = v->n > 0 ? v_fail(v, e) : 0;

	for (size_t i = 0; i < v->n; i++) {
		free(v->errors[i].field);
		free(v->errors[i].body);
	}
	free(v->errors);
	return rc;
}

int schema_validate(const struct schema_res *r, const struct node *root, const struct node *old,
		    const char *subresource, struct err *e)
{
	struct valid v = { .r = r, .root = root, .old = old, .sub = subresource ? subresource : "" };

	v_object(&v);
	return v_finish(&v, e);
}

int schema_validate_service_ips(const struct schema_res *r, const struct node *root, struct err *e)
{
	struct valid v = { .r = r, .root = root, .sub = "" };

	v_lists(&v, VP(NULL, "spec"), node_get(root, F_spec));
	if (v.n == 0)
		v_service_ips(&v);
	return v_finish(&v, e);
}
