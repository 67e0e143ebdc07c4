/*
 * Validation of metadata, and rules that many kinds share: labels, annotations,
 * selectors, ports, paths.
 *
 * What of metadata a client may not change is compared only where the new object
 * has a value: the API fills uid and the times of what a client left out.
 */
#include "schema/valid.h"

#include <stdio.h>

#include "base/limits.h"

bool v_empty(const struct node *n)
{
	switch (node_type(n)) {
	case DOC_NULL:
		return true;
	case DOC_STRING:
	case DOC_ARRAY:
	case DOC_OBJECT:
		return n->len == 0;
	default:
		return false;
	}
}

bool v_same(const struct node *a, const struct node *b)
{
	return (v_empty(a) && v_empty(b)) || (a && b && node_equal(a, b));
}

/* --- small rules --- */

void v_immutable(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	if (!v_same(now, old))
		v_invalid_node(v, p, now, "field is immutable");
}

void v_nonnegative(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (node_is(n, DOC_INT) && node_int(n, 0) < 0)
		v_invalid_int(v, p, node_int(n, 0), "must be greater than or equal to 0");
}

void v_range(struct valid *v, const struct vpath *p, const struct node *n, int64_t min, int64_t max)
{
	int64_t i = node_int(n, 0);
	char text[96];

	if (i >= min && i <= max)
		return;
	snprintf(text, sizeof(text), "must be between %lld and %lld, inclusive", (long long)min, (long long)max);
	v_invalid_int(v, p, i, text);
}

void v_one_of(struct valid *v, const struct vpath *p, const struct node *n, const char *const *values)
{
	if (v_empty(n)) {
		v_required(v, p, NULL);
		return;
	}
	for (size_t i = 0; values[i]; i++) {
		if (node_streq(n, values[i]))
			return;
	}
	v_unsupported(v, p, node_str(n), values);
}

void v_port_number(struct valid *v, const struct vpath *p, const struct node *n)
{
	v_range(v, p, n, 1, 65535);
}

void v_port(struct valid *v, const struct vpath *p, const struct node *n)
{
	if (node_is(n, DOC_STRING))
		v_name(v, p, node_str(n), NF_PORT_NAME);
	else
		v_port_number(v, p, n);
}

void v_no_backsteps(struct valid *v, const struct vpath *p, struct str s)
{
	for (struct str rest = s; rest.p;) {
		if (str_eqc(str_cut(&rest, '/'), "..")) {
			v_invalid(v, p, s, "must not contain '..'");
			return;
		}
	}
}

void v_local_path(struct valid *v, const struct vpath *p, struct str s)
{
	if (s.n > 0 && s.p[0] == '/')
		v_invalid(v, p, s, "must be a relative path");
	v_no_backsteps(v, p, s);
}

/* --- labels and selectors --- */

void v_labels(struct valid *v, const struct vpath *p, const struct node *n)
{
	NODE_FOREACH(c, n) {
		v_name(v, p, node_key(c), NF_QUALIFIED);
		v_name(v, p, node_str(c), NF_LABEL_VALUE);
	}
}

void v_annotations(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t total = 0;

	NODE_FOREACH(c, n) {
		const char *m[NAME_MSGS];
		char *lower = str_dup(node_key(c));
		unsigned bad;

		for (char *s = lower; *s; s++)
			*s = (char)(*s >= 'A' && *s <= 'Z' ? *s + 32 : *s);
		bad = name_messages(NF_QUALIFIED, str_of(lower), false, m);
		free(lower);
		for (unsigned i = 0; i < bad; i++)
			v_invalid(v, p, node_key(c), m[i]);
		total += c->key_len + (node_is(c, DOC_STRING) ? c->len : 0);
	}
	if (total > LIMIT_ANNOTATIONS_BYTES)
		v_too_long(v, p, LIMIT_ANNOTATIONS_BYTES);
}

static void v_selector_requirement(struct valid *v, const struct vpath *p, const struct node *n)
{
	struct str op = v_str(n, F_operator);
	const struct node *values = node_get(n, F_values);
	size_t i = 0;

	if (str_eqc(op, "In") || str_eqc(op, "NotIn")) {
		if (node_count(values) == 0)
			v_required(v, VP(p, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
	} else if (str_eqc(op, "Exists") || str_eqc(op, "DoesNotExist")) {
		if (node_count(values) > 0)
			v_forbidden(v, VP(p, "values"),
				    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
	} else {
		v_invalid(v, VP(p, "operator"), op, "not a valid selector operator");
	}
	v_name(v, VP(p, "key"), v_str(n, F_key), NF_QUALIFIED);
	NODE_FOREACH(c, values) {
		v_name(v, VPI(VP(p, "values"), i), node_str(c), NF_LABEL_VALUE);
		i++;
	}
}

void v_label_selector(struct valid *v, const struct vpath *p, const struct node *n)
{
	size_t i = 0;

	v_labels(v, VP(p, "matchLabels"), node_get(n, F_matchLabels));
	NODE_FOREACH(c, node_get(n, F_matchExpressions))
		v_selector_requirement(v, VPI(VP(p, "matchExpressions"), i++), c);
}

/* --- metadata --- */

static enum name_format v_name_format(const struct resource *r)
{
	static const struct {
		const char *group, *kind;
		enum name_format format;
	} FORMATS[] = {
		{ "apps", "StatefulSet", NF_DNS_LABEL },
		{ "certificates.k8s.io", "CertificateSigningRequest", NF_ANY },
		{ "", "Namespace", NF_DNS_LABEL },
		{ "", "Service", NF_DNS1035_LABEL },
		{ "apiregistration.k8s.io", "APIService", NF_PATH_SEGMENT },
		{ "networking.k8s.io", "IPAddress", NF_ANY }, /* checked by valid-networking.c */
		{ "rbac.authorization.k8s.io", "ClusterRole", NF_PATH_SEGMENT },
		{ "rbac.authorization.k8s.io", "ClusterRoleBinding", NF_PATH_SEGMENT },
		{ "rbac.authorization.k8s.io", "Role", NF_PATH_SEGMENT },
		{ "rbac.authorization.k8s.io", "RoleBinding", NF_PATH_SEGMENT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(FORMATS); i++) {
		if (streq(FORMATS[i].kind, r->kind) && streq(FORMATS[i].group, r->group))
			return FORMATS[i].format;
	}
	return NF_DNS_SUBDOMAIN;
}

static void v_meta_name(struct valid *v, const struct vpath *p, const struct node *meta)
{
	const struct resource *r = &v->r->r;
	enum name_format format = v_name_format(r);
	struct str name = v_str(meta, F_name), generate = v_str(meta, F_generateName), ns = v_str(meta, F_namespace);
	const char *m[NAME_MSGS];
	unsigned n;

	if (generate.n > 0) {
		n = name_messages(format, generate, true, m);
		for (unsigned i = 0; i < n; i++)
			v_invalid(v, VP(p, "generateName"), generate, m[i]);
	}
	if (name.n == 0)
		v_required(v, VP(p, "name"), "name or generateName is required");
	else
		v_name(v, VP(p, "name"), name, format);
	if (!r->namespaced && ns.n > 0)
		v_forbidden(v, VP(p, "namespace"), "not allowed on this type");
	else if (r->namespaced && ns.n == 0)
		v_required(v, VP(p, "namespace"), NULL);
	else if (r->namespaced)
		v_name(v, VP(p, "namespace"), ns, NF_DNS_LABEL);
}

static void v_owner(struct valid *v, const struct vpath *p, const struct node *ref)
{
	static const struct {
		enum field field;
		const char *name, *why;
	} NEEDED[] = { { F_apiVersion, "apiVersion", "version must not be empty" },
		       { F_kind, "kind", "must not be empty" },
		       { F_name, "name", "must not be empty" },
		       { F_uid, "uid", "must not be empty" } };

	for (size_t i = 0; i < ARRAY_SIZE(NEEDED); i++) {
		struct str s = v_str(ref, NEEDED[i].field);
		ssize_t slash = NEEDED[i].field == F_apiVersion ? str_rfind(s, '/') : -1;

		if (s.n == 0 || (slash >= 0 && ((size_t)slash + 1 == s.n || str_find(s, '/') != slash)))
			v_invalid(v, VP(p, NEEDED[i].name), s, NEEDED[i].why);
	}
	if (streq(node_gets(ref, F_apiVersion), "v1") && streq(node_gets(ref, F_kind), "Event"))
		v_invalid_node(v, p, ref, "/v1, Kind=Event is disallowed from being an owner");
}

static void v_owners(struct valid *v, const struct vpath *p, const struct node *owners)
{
	const struct node *first = NULL;

	NODE_FOREACH(ref, owners) {
		v_owner(v, p, ref);
		if (!node_bool(node_get(ref, F_controller), false))
			continue;
		if (first)
			v_invalidf(v, p, owners,
				   "Only one reference can have Controller set to true. Found \"true\" in "
				   "references for %s/%s and %s/%s",
				   node_gets(first, F_kind), node_gets(first, F_name), node_gets(ref, F_kind),
				   node_gets(ref, F_name));
		else
			first = ref;
	}
}

static void v_finalizers(struct valid *v, const struct vpath *p, const struct node *list)
{
	bool orphan = false, foreground = false;
	size_t i = 0;

	NODE_FOREACH(c, list) {
		struct str s = node_str(c);

		v_name(v, p, s, NF_QUALIFIED);
		orphan = orphan || str_eqc(s, "orphan");
		foreground = foreground || str_eqc(s, "foregroundDeletion");
	}
	if (orphan && foreground)
		v_invalid_node(v, p, list, "finalizer orphan and foregroundDeletion cannot be both set");
	/* Custom resources and their definitions are held to less than the core's own kinds. */
	if (v->r->custom || streq(v->r->r.group, "apiextensions.k8s.io"))
		return;
	NODE_FOREACH(c, list) {
		struct str s = node_str(c);

		if (str_find(s, '/') < 0 && !str_eqc(s, "orphan") && !str_eqc(s, "foregroundDeletion") &&
		    !str_eqc(s, "kubernetes"))
			v_invalid(v, VPI(p, i), s,
				  "name is neither a standard finalizer name nor is it fully qualified");
		i++;
	}
}

bool v_list_has(const struct node *list, struct str s)
{
	NODE_FOREACH(c, list) {
		if (str_eq(node_str(c), s))
			return true;
	}
	return false;
}

void v_each_of(struct valid *v, const struct vpath *p, const struct node *list, const char *const *values)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		if (!v_is_one_of(node_str(c), values))
			v_unsupported(v, at, node_str(c), values);
		NODE_FOREACH(other, list) {
			if (other == c)
				break;
			if (node_equal(other, c)) {
				v_duplicate(v, at, c);
				break;
			}
		}
	}
}

static void v_no_new_finalizers(struct valid *v, const struct vpath *p, const struct node *now,
				const struct node *old)
{
	_cleanup_buf_ struct buf added = BUF_INIT;

	NODE_FOREACH(c, now) {
		if (!v_list_has(old, node_str(c)))
			buf_addf(&added, "%s\"%s\"", added.len ? ", " : "", node_cstr_or(c, ""));
	}
	if (added.len)
		v_forbiddenf(v, p,
			     "no new finalizers can be added if the object is being deleted, found new finalizers "
			     "[]string{%s}",
			     added.s);
}

static void v_meta_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const struct {
		enum field field;
		const char *name;
		bool filled; /* by the API when the client left it out */
	} FIXED[] = {
		{ F_name, "name", false },
		{ F_namespace, "namespace", false },
		{ F_uid, "uid", true },
		{ F_creationTimestamp, "creationTimestamp", true },
		{ F_deletionTimestamp, "deletionTimestamp", true },
		{ F_deletionGracePeriodSeconds, "deletionGracePeriodSeconds", true },
	};

	if (node_get(old, F_deletionTimestamp))
		v_no_new_finalizers(v, VP(p, "finalizers"), node_get(now, F_finalizers), node_get(old, F_finalizers));
	for (size_t i = 0; i < ARRAY_SIZE(FIXED); i++) {
		const struct node *a = node_get(now, FIXED[i].field);

		if (!FIXED[i].filled || !v_empty(a))
			v_immutable(v, VP(p, FIXED[i].name), a, node_get(old, FIXED[i].field));
	}
}

void v_meta(struct valid *v)
{
	const struct node *meta = meta_of(v->root);
	const struct vpath *p = VP(NULL, "metadata");
	bool core_event = streq(v->r->r.kind, "Event") && !*v->r->r.group;

	if (v->old)
		v_meta_update(v, p, meta, meta_of(v->old));
	if (!core_event) /* Kubernetes asks nothing more of an Event's metadata */
		v_meta_name(v, p, meta);
	v_nonnegative(v, VP(p, "generation"), node_get(meta, F_generation));
	v_labels(v, VP(p, "labels"), node_get(meta, F_labels));
	v_annotations(v, VP(p, "annotations"), node_get(meta, F_annotations));
	v_owners(v, VP(p, "ownerReferences"), node_get(meta, F_ownerReferences));
	v_finalizers(v, VP(p, "finalizers"), node_get(meta, F_finalizers));
}
