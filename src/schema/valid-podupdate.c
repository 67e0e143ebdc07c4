/*
 * Validation of pods as objects: creation, what an update may change, and the
 * subresources status, ephemeralcontainers and resize.
 *
 * A pod's spec is immutable but for a short list. Kubernetes compares the old
 * spec with the new one in which those few fields are put back, and prints the
 * difference; so does this file, in JSON paths.
 */
#include "schema/valid.h"

/* --- the difference of two trees, one line each --- */

enum { DIFF_LINES = 20 };

struct diff {
	struct buf out;
	unsigned lines;
};

static void diff_line(struct diff *d, const char *path, char sign, const struct node *n)
{
	if (d->lines >= DIFF_LINES)
		return;
	d->lines++;
	buf_addf(&d->out, "%c %s: ", sign, path);
	doc_print_json(&d->out, n, DOC_PRINT_COMPACT);
	buf_addch(&d->out, '\n');
}

static void diff_nodes(struct diff *d, const char *path, const struct node *old, const struct node *now);

static void diff_objects(struct diff *d, const char *path, const struct node *old, const struct node *now)
{
	NODE_FOREACH(c, old) {
		_cleanup_free_ char *below = xasprintf("%s.%s", path, c->key);

		diff_nodes(d, below, c, node_getk(now, node_key(c)));
	}
	NODE_FOREACH(c, now) {
		_cleanup_free_ char *below = xasprintf("%s.%s", path, c->key);

		if (!node_getk(old, node_key(c)))
			diff_nodes(d, below, NULL, c);
	}
}

static void diff_arrays(struct diff *d, const char *path, const struct node *old, const struct node *now)
{
	const struct node *a = node_first(old), *b = node_first(now);

	for (size_t i = 0; a || b; i++) {
		_cleanup_free_ char *below = xasprintf("%s[%zu]", path, i);

		diff_nodes(d, below, a, b);
		a = a ? a->next : NULL;
		b = b ? b->next : NULL;
	}
}

static void diff_nodes(struct diff *d, const char *path, const struct node *old, const struct node *now)
{
	if (v_same(old, now) || d->lines >= DIFF_LINES)
		return;
	if (node_is(old, DOC_OBJECT) && node_is(now, DOC_OBJECT)) {
		diff_objects(d, path, old, now);
	} else if (node_is(old, DOC_ARRAY) && node_is(now, DOC_ARRAY)) {
		diff_arrays(d, path, old, now);
	} else {
		if (!v_empty(old))
			diff_line(d, path, '-', old);
		if (!v_empty(now))
			diff_line(d, path, '+', now);
	}
}

unsigned v_diff(struct buf *out, const char *path, const struct node *old, const struct node *now)
{
	struct diff d = { BUF_INIT, 0 };

	diff_nodes(&d, path, old, now);
	buf_addstr(out, buf_str(&d.out));
	buf_release(&d.out);
	return d.lines;
}

/* --- what may change --- */

static void v_toleration_update(struct valid *v, const struct vpath *p, const struct node *now,
				const struct node *old)
{
	NODE_FOREACH(o, old) {
		bool found = false;

		NODE_FOREACH(n, now) {
			bool same = true;

			NODE_FOREACH(c, o)
				same = same && (c->name == F_tolerationSeconds ||
						v_same(c, node_get(n, (enum field)c->name)));
			NODE_FOREACH(c, n)
				same = same && (c->name == F_tolerationSeconds ||
						v_same(c, node_get(o, (enum field)c->name)));
			found = found || same;
		}
		if (!found) {
			v_forbidden(v, p, "existing toleration can not be modified except its tolerationSeconds");
			return;
		}
	}
}

static void v_gates_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	size_t i = 0;

	NODE_FOREACH(n, now) {
		const struct vpath *at = VP(VPI(p, i++), "name");
		bool found = false;

		NODE_FOREACH(o, old)
			found = found || str_eq(v_str(o, F_name), v_str(n, F_name));
		if (!found)
			v_forbiddenf(v, at, "only deletion is allowed, but found new scheduling gate '%s'",
				     node_gets(n, F_name));
	}
}

static bool v_deadline_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	if (!now && old) {
		v_invalid_node(v, p, now, "must not update from a positive integer to nil value");
	} else if (now && (node_int(now, 0) < 0 || node_int(now, 0) > INT32_MAX)) {
		v_invalid_node(v, p, now, "must be between 0 and 2147483647, inclusive");
		return false;
	} else if (now && old && node_int(now, 0) > node_int(old, 0)) {
		v_invalid_node(v, p, now, "must be less than or equal to previous value");
		return false;
	}
	return true;
}

/* In d's copy of the new spec: what may change becomes what it was. */
void v_put_back(struct doc *d, struct node *now, const struct node *old, enum field f)
{
	const struct node *was = node_get(old, f);

	if (was)
		node_set(d, now, f, node_copy(d, was));
	else
		node_remove(now, f);
}

static void munge_containers(struct doc *d, struct node *now, const struct node *old, enum field list, enum field f)
{
	struct node *a = node_first(node_get(now, list));

	for (const struct node *b = node_first(node_get(old, list)); a && b; a = a->next, b = b->next)
		v_put_back(d, a, b, f);
}

static void munge_spec(struct doc *d, struct node *now, const struct node *old)
{
	const struct node *grace = node_get(old, F_terminationGracePeriodSeconds);

	munge_containers(d, now, old, F_containers, F_image);
	munge_containers(d, now, old, F_initContainers, F_image);
	v_put_back(d, now, old, F_activeDeadlineSeconds);
	v_put_back(d, now, old, F_tolerations);
	v_put_back(d, now, old, F_schedulingGates);
	if (node_int(grace, 0) < 0 && node_int(node_get(now, F_terminationGracePeriodSeconds), 0) == 1)
		v_put_back(d, now, old, F_terminationGracePeriodSeconds);
	if (node_count(node_get(old, F_schedulingGates)) > 0) { /* where it may run is still open */
		v_put_back(d, now, old, F_nodeSelector);
		v_put_back(d, now, old, F_affinity);
	}
}

/* Only members that were absent may come, none may go or change. */
static void v_additions_only(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	NODE_FOREACH(c, old) {
		if (!v_same(c, node_getk(now, node_key(c)))) {
			v_invalid_node(v, p, now, "only additions to spec.nodeSelector are allowed (no mutations or "
						  "deletions)");
			return;
		}
	}
}

static void v_spec_unchanged(struct valid *v, const struct vpath *p, const struct node *now,
			     const struct node *old, const char *allowed,
			     void (*munge)(struct doc *, struct node *, const struct node *))
{
	struct doc *d;
	struct diff diff = { BUF_INIT, 0 };

	if (v_same(now, old))
		return;
	d = doc_new();
	doc_set_root(d, node_copy(d, now));
	munge(d, doc_root(d), old);
	diff_nodes(&diff, "spec", old, doc_root(d));
	if (diff.lines)
		v_forbiddenf(v, p, "%s\n%s", allowed, diff.out.s);
	buf_release(&diff.out);
	doc_unref(d);
}

static bool v_container_count(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	if (node_count(now) == node_count(old))
		return true;
	v_forbidden(v, p, "pod updates may not add or remove containers");
	return false;
}

static void v_pod_update(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const char ALLOWED[] =
		"pod updates may not change fields other than `spec.containers[*].image`,"
		"`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
		"`spec.tolerations` (only additions to existing tolerations),"
		"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

	if (!v_container_count(v, VP(p, "containers"), node_get(now, F_containers), node_get(old, F_containers)) ||
	    !v_container_count(v, VP(p, "initContainers"), node_get(now, F_initContainers),
			       node_get(old, F_initContainers)))
		return;
	if (!v_deadline_update(v, VP(p, "activeDeadlineSeconds"), node_get(now, F_activeDeadlineSeconds),
			       node_get(old, F_activeDeadlineSeconds)))
		return;
	v_toleration_update(v, VP(p, "tolerations"), node_get(now, F_tolerations), node_get(old, F_tolerations));
	v_gates_update(v, VP(p, "schedulingGates"), node_get(now, F_schedulingGates),
		       node_get(old, F_schedulingGates));
	if (node_count(node_get(old, F_schedulingGates)) > 0)
		v_additions_only(v, VP(p, "nodeSelector"), node_get(now, F_nodeSelector),
				 node_get(old, F_nodeSelector));
	v_spec_unchanged(v, p, now, old, ALLOWED, munge_spec);
}

/* --- subresources --- */

static bool is_sidecar(const struct node *ctr)
{
	return node_streq(node_get(ctr, F_restartPolicy), "Always");
}

/* The cpu and memory of one list of a container's resources become what they were. */
static void munge_amounts(struct doc *d, struct node *now, const struct node *old, enum field list)
{
	static const char *const NAMES[] = { "cpu", "memory" };
	const struct node *was = node_path(old, F_resources, list);
	struct node *is = node_path(now, F_resources, list);

	for (size_t i = 0; i < ARRAY_SIZE(NAMES); i++) {
		const struct node *amount = node_getc(was, NAMES[i]);

		if (is)
			node_removek(is, str_of(NAMES[i]));
		if (amount) {
			is = node_need_object(d, node_need_object(d, now, F_resources), list);
			node_setk(d, is, str_of(NAMES[i]), node_copy(d, amount));
		}
	}
	if (is && !was && node_count(is) == 0)
		node_remove(node_get(now, F_resources), list);
}

static void munge_resources(struct doc *d, struct node *now, const struct node *old)
{
	static const enum field LISTS[] = { F_containers, F_initContainers };

	for (size_t i = 0; i < ARRAY_SIZE(LISTS); i++) {
		struct node *a = node_first(node_get(now, LISTS[i]));

		for (const struct node *b = node_first(node_get(old, LISTS[i])); a && b; a = a->next, b = b->next) {
			v_put_back(d, a, b, F_resizePolicy);
			if (LISTS[i] == F_initContainers && !is_sidecar(b))
				continue;
			munge_amounts(d, a, b, F_requests);
			munge_amounts(d, a, b, F_limits);
		}
	}
}

static bool resize_order(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old, enum field f)
{
	const char *name = doc_field_name(f);
	const struct node *a = node_first(node_get(now, f));
	size_t before = v->n, i = 0;

	if (node_count(node_get(now, f)) != node_count(node_get(old, f))) {
		v_forbiddenf(v, VP(p, name), "%s may not be added or removed on resize", name);
		return false;
	}
	for (const struct node *b = node_first(node_get(old, f)); a && b; a = a->next, b = b->next) {
		if (!str_eq(v_str(a, F_name), v_str(b, F_name)))
			v_forbiddenf(v, VP(VPI(VP(p, name), i), "name"), "%s may not be renamed or reordered on resize",
				     name);
		i++;
	}
	return v->n == before;
}

static void resize_removed(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	static const enum field LISTS[] = { F_requests, F_limits };

	for (size_t i = 0; i < ARRAY_SIZE(LISTS); i++) {
		const struct node *a = node_path(now, F_resources, LISTS[i]);
		bool gone = false;

		NODE_FOREACH(c, node_path(old, F_resources, LISTS[i]))
			gone = gone || !node_getk(a, node_key(c));
		if (gone)
			v_forbiddenf(v, VP(VP(p, "resources"), doc_field_name(LISTS[i])),
				     "resource %s cannot be removed", doc_field_name(LISTS[i]));
	}
}

static void resize_containers(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old,
			      enum field list)
{
	const struct node *a = node_first(node_get(now, list));
	size_t i = 0;

	for (const struct node *b = node_first(node_get(old, list)); a && b; a = a->next, b = b->next) {
		const struct vpath *at = VPI(VP(p, doc_field_name(list)), i++);

		if (list == F_containers || is_sidecar(b))
			resize_removed(v, at, a, b);
		else if (!v_same(node_get(a, F_resources), node_get(b, F_resources)))
			v_forbidden(v, p, "resources for non-sidecar init containers are immutable");
	}
}

static void v_pod_resize(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	const struct vpath *whole = VP(NULL, "");
	bool ordered;

	if (node_count(node_get(old, F_resources)) > 0 || node_count(node_get(now, F_resources)) > 0) {
		v_forbidden(v, whole, "pods with pod-level resources cannot be resized");
		return;
	}
	if (meta_annotation(v->old, "kubernetes.io/config.mirror")) {
		v_forbidden(v, whole, "static pods cannot be resized");
		return;
	}
	if (node_streq(node_path(old, F_os, F_name), "windows")) {
		v_forbidden(v, whole, "windows pods cannot be resized");
		return;
	}
	if (!streq(schema_pod_qos(old), schema_pod_qos(now)))
		v_invalid(v, p, v_str(node_get(v->root, F_status), F_qosClass),
			  "Pod QOS Class may not change as a result of resizing");
	ordered = resize_order(v, p, now, old, F_containers);
	ordered = resize_order(v, p, now, old, F_initContainers) && ordered;
	if (!ordered)
		return;
	resize_containers(v, p, now, old, F_initContainers);
	resize_containers(v, p, now, old, F_containers);
	v_spec_unchanged(v, p, now, old, "only cpu and memory resources are mutable", munge_resources);
}

static void v_pod_ephemeral(struct valid *v, const struct vpath *p, const struct node *now, const struct node *old)
{
	const struct vpath *at = VP(p, "ephemeralContainers");

	if (meta_annotation(v->old, "kubernetes.io/config.mirror")) {
		v_forbidden(v, VP(NULL, ""), "static pods do not support ephemeral containers");
		return;
	}
	NODE_FOREACH(o, node_get(old, F_ephemeralContainers)) {
		const struct node *same = NULL;

		NODE_FOREACH(n, node_get(now, F_ephemeralContainers)) {
			if (str_eq(v_str(n, F_name), v_str(o, F_name)))
				same = n;
		}
		if (!same)
			v_forbiddenf(v, at, "existing ephemeral containers \"%s\" may not be removed\n",
				     node_gets(o, F_name));
		else if (!v_same(o, same))
			v_forbiddenf(v, at, "existing ephemeral containers \"%s\" may not be changed\n",
				     node_gets(o, F_name));
	}
}

static void v_state_transitions(struct valid *v, const struct vpath *p, const struct node *now,
				const struct node *old, struct str restart)
{
	size_t i = 0;

	if (str_eqc(restart, "Always"))
		return;
	NODE_FOREACH(o, old) {
		const struct node *ended = node_path(o, F_state, F_terminated);
		const struct vpath *at = VP(VPI(p, i++), "state");

		if (!ended || (str_eqc(restart, "OnFailure") && node_int(node_get(ended, F_exitCode), 0) != 0))
			continue;
		NODE_FOREACH(n, now) {
			if (str_eq(v_str(n, F_name), v_str(o, F_name)) && !node_path(n, F_state, F_terminated))
				v_forbidden(v, at, "may not be transitioned to non-terminated state");
		}
	}
}

static void v_pod_ips(struct valid *v, const struct vpath *p, const struct node *ips)
{
	size_t i = 0;

	NODE_FOREACH(c, ips)
		v_ip(v, VPI(p, i++), v_str(c, F_ip));
	if (node_count(ips) > 2)
		v_invalid_node(v, p, ips, "may specify no more than one IP for each IP family");
}

static void v_pod_conditions(struct valid *v, const struct vpath *p, const struct node *list)
{
	size_t i = 0;

	NODE_FOREACH(c, list) {
		const struct vpath *at = VPI(p, i++);

		if (node_int(node_get(c, F_observedGeneration), 0) < 0)
			v_invalid_node(v, VP(at, "observedGeneration"), node_get(c, F_observedGeneration),
				       "must be a non-negative integer");
		v_name(v, VP(at, "Type"), v_str(c, F_type), NF_QUALIFIED);
	}
}

static void v_pod_status(struct valid *v, const struct vpath *p)
{
	const struct node *now = node_get(v->root, F_status), *old = node_get(v->old, F_status);
	struct str restart = v_str(node_get(v->old, F_spec), F_restartPolicy);

	v_pod_annotations_update(v, VP(VP(NULL, "metadata"), "annotations"), node_get(meta_of(v->root), F_annotations),
				 node_get(meta_of(v->old), F_annotations));
	v_pod_conditions(v, VP(p, "conditions"), node_get(now, F_conditions));
	if (!str_eq(v_str(node_get(v->root, F_spec), F_nodeName), v_str(node_get(v->old, F_spec), F_nodeName)))
		v_forbidden(v, VP(p, "nodeName"), "may not be changed directly");
	if (v_str(now, F_nominatedNodeName).n > 0)
		v_name(v, VP(p, "nominatedNodeName"), v_str(now, F_nominatedNodeName), NF_DNS_SUBDOMAIN);
	if (v_str(old, F_qosClass).n > 0)
		v_immutable(v, VP(p, "qosClass"), node_get(now, F_qosClass), node_get(old, F_qosClass));
	v_state_transitions(v, VP(p, "containerStatuses"), node_get(now, F_containerStatuses),
			    node_get(old, F_containerStatuses), restart);
	v_state_transitions(v, VP(p, "ephemeralContainerStatuses"), node_get(now, F_ephemeralContainerStatuses),
			    node_get(old, F_ephemeralContainerStatuses), STR_LIT("Never"));
	v_pod_ips(v, VP(p, "podIPs"), node_get(now, F_podIPs));
	v_pod_ips(v, VP(p, "hostIPs"), node_get(now, F_hostIPs));
}

/* --- the object --- */

static void v_pod_create(struct valid *v, const struct vpath *p, const struct node *spec)
{
	if (node_count(node_get(spec, F_ephemeralContainers)) > 0)
		v_forbidden(v, VP(p, "ephemeralContainers"), "cannot be set on create");
	if (v_str(spec, F_nodeName).n > 0 && node_count(node_get(spec, F_schedulingGates)) > 0)
		v_forbidden(v, VP(p, "nodeName"), "cannot be set until all schedulingGates have been cleared");
}

/* A token needs somebody whose it is. */
static void v_pod_tokens(struct valid *v, const struct vpath *p, const struct node *spec)
{
	size_t i = 0;

	if (v_str(spec, F_serviceAccountName).n > 0)
		return;
	NODE_FOREACH(c, node_get(spec, F_volumes)) {
		const struct vpath *at = VP(VP(VPI(p, i++), "projected"), "sources");
		size_t k = 0;

		NODE_FOREACH(source, node_path(c, F_projected, F_sources)) {
			if (node_get(source, F_serviceAccountToken))
				v_forbidden(v, VP(VPI(at, k), "serviceAccountToken"),
					    "must not be specified when serviceAccountName is not set");
			k++;
		}
	}
}

void v_pod(struct valid *v)
{
	const struct node *spec = node_get(v->root, F_spec), *old = node_get(v->old, F_spec);
	const struct vpath *p = VP(NULL, "spec");

	if (streq(v->sub, "status")) {
		if (v->old)
			v_pod_status(v, VP(NULL, "status"));
		return;
	}
	v_pod_annotations(v, VP(VP(NULL, "metadata"), "annotations"), node_get(meta_of(v->root), F_annotations), spec);
	if (v->old)
		v_pod_annotations_update(v, VP(VP(NULL, "metadata"), "annotations"),
					 node_get(meta_of(v->root), F_annotations),
					 node_get(meta_of(v->old), F_annotations));
	v_pod_spec(v, p, spec, true);
	v_pod_tokens(v, VP(p, "volumes"), spec);
	if (!v->old)
		v_pod_create(v, p, spec);
	else if (streq(v->sub, "ephemeralcontainers"))
		v_pod_ephemeral(v, p, spec, old);
	else if (streq(v->sub, "resize"))
		v_pod_resize(v, p, spec, old);
	else if (!streq(v->sub, "binding"))
		v_pod_update(v, p, spec, old);
}
