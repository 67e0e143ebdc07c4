/*
 * Validation, shared by the valid-*.c files: where a value stands (struct vpath),
 * how an error about it is worded (v_*; Kubernetes' field.Error), name formats,
 * and the rules that several kinds use. Private to src/schema.
 *
 * A rule is a function (struct valid *v, const struct vpath *p, const struct node *n):
 * n is the value (NULL when absent), p where it stands. It adds errors and goes on;
 * nothing stops at the first. Paths live on the stack:
 *
 *	name_check(v, VP(p, "name"), node_get(n, F_name));
 */
#ifndef SCHEMA_VALID_H
#define SCHEMA_VALID_H

#include "schema/internal.h"

struct vpath {
	const struct vpath *up;
	const char *name; /* a field */
	struct str key; /* ["key"] of a map, when name is NULL and index < 0 */
	ssize_t index; /* [index] of a list; -1: none */
};
#define VP(up_, name_) (&(struct vpath){ (up_), (name_), STR_NONE, -1 })
#define VPI(up_, i_) (&(struct vpath){ (up_), NULL, STR_NONE, (ssize_t)(i_) })
#define VPK(up_, key_) (&(struct vpath){ (up_), NULL, (key_), -1 })

void vpath_print(const struct vpath *p, struct buf *out);

struct valid_error {
	const char *reason; /* "FieldValueRequired" */
	char *field;
	char *body; /* "Required value: why" */
};

struct valid {
	const struct schema_res *r;
	const struct node *root;
	const struct node *old; /* NULL: create */
	const char *sub; /* "" for the object itself */
	struct valid_error *errors;
	size_t n, cap;
};

/* --- errors; detail may be NULL --- */
void v_required(struct valid *v, const struct vpath *p, const char *detail);
void v_invalid(struct valid *v, const struct vpath *p, struct str value, const char *detail);
void v_invalid_int(struct valid *v, const struct vpath *p, int64_t value, const char *detail);
void v_invalid_node(struct valid *v, const struct vpath *p, const struct node *value, const char *detail);
void v_invalidf(struct valid *v, const struct vpath *p, const struct node *value, const char *fmt, ...)
	ATTR_PRINTF(4, 5);
/* supported: NULL-terminated, in the order of the message */
void v_unsupported(struct valid *v, const struct vpath *p, struct str value, const char *const *supported);
void v_forbidden(struct valid *v, const struct vpath *p, const char *detail);
void v_forbiddenf(struct valid *v, const struct vpath *p, const char *fmt, ...) ATTR_PRINTF(3, 4);
void v_duplicate(struct valid *v, const struct vpath *p, const struct node *value);
void v_duplicate_why(struct valid *v, const struct vpath *p, const struct node *value, const char *detail);
void v_duplicate_str(struct valid *v, const struct vpath *p, struct str value);
void v_not_found(struct valid *v, const struct vpath *p, struct str value);
void v_too_long(struct valid *v, const struct vpath *p, size_t max);
void v_too_many(struct valid *v, const struct vpath *p, size_t n, size_t max);
void v_too_long_chars(struct valid *v, const struct vpath *p, size_t max); /* counted in characters */
void v_type_invalid(struct valid *v, const struct vpath *p, struct str value, const char *detail);
/* An error that was taken out of a list goes back; field and body are taken. */
void v_add_made(struct valid *v, const char *reason, char *field, char *body);
/* "Invalid value" without the value, and "Unsupported value" of something that is no string. */
void v_invalid_omitted(struct valid *v, const struct vpath *p, const char *detail);
void v_unsupported_node(struct valid *v, const struct vpath *p, const struct node *value,
			const char *const *supported);
bool v_has_error_at(const struct valid *v, const struct vpath *p);

/* --- formats (names.c): up to two messages, static; the count --- */
enum name_format {
	NF_DNS_LABEL, NF_DNS_SUBDOMAIN, NF_DNS1035_LABEL, NF_QUALIFIED, NF_LABEL_VALUE,
	NF_CONFIG_KEY, /* keys of ConfigMaps and Secrets */
	NF_ENV, NF_PORT_NAME, NF_HTTP_HEADER, NF_PATH_SEGMENT, NF_SUBDOMAIN_UNDERSCORE, NF_UUID,
	NF_WILDCARD, /* *.example.com */
	NF_C_IDENTIFIER,
	NF_ANY
};
enum { NAME_MSGS = 3 };
/* prefix: it is a generateName, a trailing dash is fine. */
unsigned name_messages(enum name_format f, struct str s, bool prefix, const char *msgs[NAME_MSGS]);
void v_name(struct valid *v, const struct vpath *p, struct str s, enum name_format f);

/* --- common rules (valid-meta.c) --- */
static inline struct str v_str(const struct node *n, enum field f)
{
	struct str s = node_str(node_get(n, f));

	return s.p ? s : (struct str){ "", 0 };
}
bool v_empty(const struct node *n); /* absent, null, "", [], {} */
bool v_same(const struct node *a, const struct node *b); /* equal; absent, null and empty are one */
void v_meta(struct valid *v);
void v_immutable(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old);
void v_nonnegative(struct valid *v, const struct vpath *p, const struct node *n);
void v_labels(struct valid *v, const struct vpath *p, const struct node *n);
void v_annotations(struct valid *v, const struct vpath *p, const struct node *n);
void v_label_selector(struct valid *v, const struct vpath *p, const struct node *n);
/* required, and one of a NULL-terminated list */
void v_one_of(struct valid *v, const struct vpath *p, const struct node *n, const char *const *values);
void v_port_number(struct valid *v, const struct vpath *p, const struct node *n);
void v_port(struct valid *v, const struct vpath *p, const struct node *n); /* number or name */
void v_ip(struct valid *v, const struct vpath *p, struct str s);
void v_cidr(struct valid *v, const struct vpath *p, struct str s);
bool str_is_ip(struct str s);
bool str_is_ip6(struct str s);
void v_range(struct valid *v, const struct vpath *p, const struct node *n, int64_t min, int64_t max);
/* A relative path without "..". */
void v_local_path(struct valid *v, const struct vpath *p, struct str s);
void v_no_backsteps(struct valid *v, const struct vpath *p, struct str s);

bool v_is_one_of(struct str s, const char *const *values);
bool v_list_has(const struct node *list, struct str s);
/* Every item is one of a NULL-terminated list, and none stands twice. */
void v_each_of(struct valid *v, const struct vpath *p, const struct node *list, const char *const *values);

/* --- rules that kinds of several groups use (valid-rules.c) --- */
typedef void v_rule(struct valid *v, const struct vpath *p, const struct node *n);
/* rule for each item of a list, at p[i] */
void v_each(struct valid *v, const struct vpath *p, const struct node *list, v_rule *rule);
void v_need(struct valid *v, const struct vpath *p, const struct node *obj, enum field f, const char *detail);
/* Member f of obj: required and of that format; or of that format when there. */
void v_need_name(struct valid *v, const struct vpath *p, const struct node *obj, enum field f, enum name_format form);
void v_may_name(struct valid *v, const struct vpath *p, const struct node *obj, enum field f, enum name_format form);
/* Member f, when there, is one of the values. */
void v_may_be(struct valid *v, const struct vpath *p, const struct node *obj, enum field f,
	      const char *const *values);
void v_counts(struct valid *v, const struct vpath *p, const struct node *obj, const enum field *fields);
/* A count or a percentage ("25%"), of at most max percent. */
void v_int_or_percent(struct valid *v, const struct vpath *p, const struct node *n, int64_t max);
void v_fixed(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old, enum field f);
void v_domain_path(struct valid *v, const struct vpath *p, struct str s); /* acme.io/foo */
void v_qualified_domain(struct valid *v, const struct vpath *p, struct str s); /* a.b.c */
void v_nonnegative_quantity(struct valid *v, const struct vpath *p, const struct node *n);
void v_positive_quantity(struct valid *v, const struct vpath *p, const struct node *n);
void v_quantity_of(struct valid *v, const struct vpath *p, struct str resource, const struct node *n);
bool v_is_native_resource(struct str name);
bool v_is_extended_resource(struct str name);
bool v_is_hugepages(struct str name);
bool v_may_overcommit(struct str name);
bool v_is_quota_resource(struct str name);
void v_resource_name(struct valid *v, const struct vpath *p, struct str name);
void v_container_resource_name(struct valid *v, const struct vpath *p, struct str name);
void v_endpoint_ip(struct valid *v, const struct vpath *p, struct str s);
void v_conditions(struct valid *v, const struct vpath *p, const struct node *list); /* meta/v1.Condition */
void v_csi_driver_name(struct valid *v, const struct vpath *p, struct str s);
void v_parameters(struct valid *v, const struct vpath *p, const struct node *n, bool may_be_empty);
/* What an IP address or CIDR is, when written as netip writes it; false: no address at all. */
struct v_addr {
	bool is_v6; /* also for ::ffff:1.2.3.4 */
	bool is_mapped;
	bool odd; /* leading zeros */
	unsigned bits; /* of the prefix; an address has all */
	unsigned char b[16];
	char text[64]; /* canonical; of a CIDR the network's, with /bits */
};
bool v_parse_ip(struct str s, struct v_addr *a);
bool v_parse_cidr(struct str s, struct v_addr *a);
bool v_addr_in(const struct v_addr *net, const struct v_addr *a);

/* What the tables alone say: required, enum, duplicates in list maps, bounds. Skips paths that have errors. */
void v_generic(struct valid *v);

/* --- pods (valid-pod.c, valid-container.c, valid-volume.c, valid-podupdate.c) --- */
struct vpod {
	const struct node *spec;
	bool is_pod; /* not a template */
	bool host_users;
};
void v_pod_spec(struct valid *v, const struct vpath *p, const struct node *spec, bool is_pod);
void v_pod_template(struct valid *v, const struct vpath *p, const struct node *tmpl);
void v_containers(struct valid *v, const struct vpath *p, const struct vpod *pod);
void v_host_port_conflicts(struct valid *v, const struct vpath *p, const struct node *containers);
void v_resources(struct valid *v, const struct vpath *p, const struct node *n, const struct node *claims);
void v_field_ref(struct valid *v, const struct vpath *p, const struct node *n, bool in_volume);
void v_resource_ref(struct valid *v, const struct vpath *p, const struct node *n);
void v_volumes(struct valid *v, const struct vpath *p, const struct node *volumes);
void v_node_selector(struct valid *v, const struct vpath *p, const struct node *n);
void v_affinity(struct valid *v, const struct vpath *p, const struct node *n);
void v_tolerations(struct valid *v, const struct vpath *p, const struct node *n);
void v_taint_effect(struct valid *v, const struct vpath *p, const struct node *n);
void v_seccomp(struct valid *v, const struct vpath *p, const struct node *n);
void v_apparmor(struct valid *v, const struct vpath *p, const struct node *n);
void v_pod(struct valid *v);
/* valid-podparts.c */
void v_pod_claims(struct valid *v, const struct vpath *p, const struct node *list);
void v_label_keys(struct valid *v, const struct vpath *p, const struct node *n);
void v_spread_more(struct valid *v, const struct vpath *p, const struct node *n);
void v_pod_resources(struct valid *v, const struct vpath *p, const struct node *spec);
void v_pod_os(struct valid *v, const struct vpath *p, const struct node *spec);
void v_pod_parts(struct valid *v, const struct vpath *p, const struct node *spec);
void v_restart_rules(struct valid *v, const struct vpath *p, const struct node *ctr);
void v_read_only_mount(struct valid *v, const struct vpath *p, const struct node *mount);
void v_divisor(struct valid *v, const struct vpath *p, const struct node *ref);
void v_hugepages(struct valid *v, const struct vpath *p, const struct node *n);
void v_pod_annotations(struct valid *v, const struct vpath *p, const struct node *notes, const struct node *spec);
void v_pod_annotations_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old);

/* In a copy of the new object: member f becomes what it was. */
void v_put_back(struct doc *d, struct node *now, const struct node *old, enum field f);
/* The difference of two trees, a line for each path; how many. */
unsigned v_diff(struct buf *out, const char *path, const struct node *old, const struct node *now);

/* A LabelSelector that must be there, say something, and match the template (valid-workload.c). */
void v_workload_selector(struct valid *v, const struct vpath *p, const struct node *spec, const char *kind);

/* --- claims, volumes (valid-persistent.c) --- */
void v_claim_spec(struct valid *v, const struct vpath *p, const struct node *spec);
void v_claim_template(struct valid *v, const struct vpath *p, const struct node *tmpl);
/* Of a PersistentVolume, or inline in a VolumeAttachment. */
void v_volume_spec(struct valid *v, const struct vpath *p, const struct node *spec, struct str name, bool inlined);
void v_named_source(struct valid *v, const struct vpath *p, const struct node *n, enum field source);

/* --- other kinds, entered in valid.c's table --- */
void v_pod_template_object(struct valid *v);
void v_namespace(struct valid *v);
void v_node(struct valid *v);
void v_config_map(struct valid *v);
void v_secret(struct valid *v);
void v_service(struct valid *v);
void v_service_ips(struct valid *v); /* its addresses and families alone */
void v_service_account(struct valid *v);
void v_event(struct valid *v);
void v_lease(struct valid *v);
void v_lease_candidate(struct valid *v);
void v_binding(struct valid *v);
void v_deployment(struct valid *v);
void v_replica_set(struct valid *v);
void v_replication_controller(struct valid *v);
void v_daemon_set(struct valid *v);
void v_stateful_set(struct valid *v);
void v_job(struct valid *v);
void v_cron_job(struct valid *v);
void v_custom_resource_definition(struct valid *v); /* crd-check.c */
/* valid-rbac.c */
void v_role(struct valid *v);
void v_role_binding(struct valid *v);
void v_access_review(struct valid *v);
void v_controller_revision(struct valid *v);
void v_endpoints(struct valid *v);
void v_limit_range(struct valid *v);
void v_resource_quota(struct valid *v);
void v_persistent_volume(struct valid *v);
void v_persistent_volume_claim(struct valid *v);
void v_storage_class(struct valid *v);
void v_volume_attachment(struct valid *v);
void v_csi_driver(struct valid *v);
void v_csi_node(struct valid *v);
void v_csi_storage_capacity(struct valid *v);
void v_volume_attributes_class(struct valid *v);
void v_ingress(struct valid *v);
void v_ingress_class(struct valid *v);
void v_network_policy(struct valid *v);
void v_ip_address(struct valid *v);
void v_service_cidr(struct valid *v);
void v_endpoint_slice(struct valid *v);
void v_disruption_budget(struct valid *v);
void v_autoscaler(struct valid *v);
void v_priority_class(struct valid *v);
void v_runtime_class(struct valid *v);
void v_certificate_request(struct valid *v);
void v_flow_schema(struct valid *v);
void v_priority_level(struct valid *v);
void v_api_service(struct valid *v);
void v_webhook_configuration(struct valid *v);
void v_admission_policy(struct valid *v);
void v_admission_policy_binding(struct valid *v);
void v_resource_claim(struct valid *v);
void v_resource_claim_template(struct valid *v);
void v_device_class(struct valid *v);
void v_resource_slice(struct valid *v);

/* --- Jobs (valid-job.c, valid-job-status.c) --- */
bool v_job_is_indexed(const struct node *spec);
/* "1,3-5" below max: how many; -1: not of that form, *why is set. */
int64_t v_job_indexes(struct str s, int64_t max, char **why);
void v_job_status(struct valid *v, const struct vpath *p); /* an update of it */

#endif
