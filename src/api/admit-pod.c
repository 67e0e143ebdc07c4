/*
 * Admission of pods: what their class is worth (Priority), what runs them and
 * what that costs (RuntimeClass), how long they bear a lost node
 * (DefaultTolerationSeconds); and the steps that an administrator may turn on:
 * AlwaysPullImages, ExtendedResourceToleration, PodNodeSelector,
 * LimitPodHardAntiAffinityTopology. (ServiceAccount: admit-account.c.)
 */
#include "api/admit.h"

/* --- Priority --- */

static const struct {
	const char *name;
	int64_t value;
} system_priorities[] = { { "system-cluster-critical", 2000000000 }, { "system-node-critical", 2000001000 } };

static bool priority_is_marked(const struct node *class)
{
	return node_bool(node_get(class, F_globalDefault), false);
}

static bool priority_is_default(void *arg, struct obj *o)
{
	return priority_is_marked(obj_node(o));
}

static int64_t priority_value(struct obj *class)
{
	return node_int(node_get(obj_node(class), F_value), 0);
}

static const struct resource *priority_classes(void)
{
	return schema_res("scheduling.k8s.io", "priorityclasses");
}

/* The class that pods without one have, of several the lowest; NULL: none. Referenced. */
static struct obj *priority_default(struct api *a)
{
	struct store_list l = { .res = priority_classes(), .match = priority_is_default };
	_cleanup_err_ struct err e = ERR_INIT;
	struct obj *o = NULL;

	if (!store_count(a->store, l.res, NULL) || store_list(a->store, &l, &e) < 0)
		return NULL;
	for (size_t i = 0; i < l.n; i++)
		if (!o || priority_value(l.objs[i]) < priority_value(o))
			o = l.objs[i];
	if (o)
		obj_ref(o);
	store_list_release(&l);
	return o;
}

static int priority_set(struct admission *a, struct node *spec, int64_t value, const char *policy, struct err *e)
{
	const struct node *have = node_get(spec, F_priority);

	if (have && node_int(have, 0) != value)
		return err_forbidden(e, &a->r->res->r, a->r->at.name,
				     "the integer value of priority (%lld) must not be provided in pod spec; priority "
				     "admission controller computed %lld from the given PriorityClass name",
				     (long long)node_int(have, 0), (long long)value);
	if (!*policy)
		policy = "PreemptLowerPriority";
	if (*node_gets(spec, F_preemptionPolicy) && !streq(node_gets(spec, F_preemptionPolicy), policy))
		return admit_forbid(a, e,
				    "the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority "
				    "admission controller computed %s from the given PriorityClass name",
				    node_gets(spec, F_preemptionPolicy), policy);
	node_seti(a->d, spec, F_priority, value);
	node_sets(a->d, spec, F_preemptionPolicy, policy);
	return 0;
}

/* An update that leaves them out keeps what was computed once. */
static void priority_keep(struct admission *a, struct node *spec)
{
	static const enum field kept[] = { F_priority, F_preemptionPolicy };
	const struct node *old = node_get(obj_node(a->old), F_spec);

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (!node_get(spec, kept[i]) && node_get(old, kept[i]))
			node_set(a->d, spec, kept[i], node_copy(a->d, node_get(old, kept[i])));
}

int admit_priority(struct admission *a, struct err *e)
{
	struct req *r = a->r;
	_cleanup_obj_ struct obj *class = NULL;
	struct node *spec;
	const char *name;

	if (!admit_pod(a))
		return 0;
	spec = node_need_object(a->d, a->root, F_spec);
	if (a->old) {
		priority_keep(a, spec);
		return 0;
	}
	name = node_gets(spec, F_priorityClassName);
	for (size_t i = 0; i < ARRAY_SIZE(system_priorities); i++)
		if (streq(name, system_priorities[i].name))
			return priority_set(a, spec, system_priorities[i].value, "", e);
	if (*name) {
		class = store_get(r->api->store, priority_classes(), "", name);
		if (!class)
			return err_forbidden(e, &r->res->r, r->at.name, "no PriorityClass with name %s was found", name);
		obj_ref(class);
	} else {
		class = priority_default(r->api);
		if (class)
			node_sets(a->d, spec, F_priorityClassName, class->name);
	}
	if (!class)
		return priority_set(a, spec, 0, "", e);
	return priority_set(a, spec, priority_value(class), node_gets(obj_node(class), F_preemptionPolicy), e);
}

/* Only one class may be everybody's. What else is wrong with one is validation's to say. */
int admit_priority_class(struct admission *a, struct err *e)
{
	_cleanup_obj_ struct obj *have = NULL;

	if (!admit_is(a, "scheduling.k8s.io", "priorityclasses") || !priority_is_marked(a->root))
		return 0;
	have = priority_default(a->r->api);
	if (!have || (a->old && streq(have->name, a->old->name)))
		return 0;
	return admit_forbid(a, e, "PriorityClass %s is already marked as default. Only one default can exist", have->name);
}

/* --- DefaultTolerationSeconds --- */

static bool tolerates(const struct node *list, const char *key)
{
	NODE_FOREACH(t, list) {
		const char *k = node_gets(t, F_key), *effect = node_gets(t, F_effect);

		if ((!*k || streq(k, key)) && (!*effect || streq(effect, "NoExecute")))
			return true;
	}
	return false;
}

int admit_tolerations(struct admission *a, struct err *e)
{
	static const char *const keys[] = { "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable" };
	struct node *spec;

	if (!admit_pod(a))
		return 0;
	spec = node_need_object(a->d, a->root, F_spec);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		struct node *t;

		if (tolerates(node_get(spec, F_tolerations), keys[i]))
			continue;
		t = node_append(node_need_array(a->d, spec, F_tolerations), node_new(a->d, DOC_OBJECT));
		node_sets(a->d, t, F_key, keys[i]);
		node_sets(a->d, t, F_operator, "Exists");
		node_sets(a->d, t, F_effect, "NoExecute");
		node_seti(a->d, t, F_tolerationSeconds, 300);
	}
	return 0;
}

/* --- RuntimeClass --- */

/* The pod's class; NULL with 0: it names none. */
static int runtime_class_of(struct admission *a, const struct node *spec, struct obj **ret, struct err *e)
{
	const char *name = node_cstr(node_get(spec, F_runtimeClassName));

	*ret = NULL;
	if (!name)
		return 0;
	*ret = store_get(a->r->api->store, schema_res("node.k8s.io", "runtimeclasses"), "", name);
	return *ret ? 0 : admit_forbid(a, e, "pod rejected: RuntimeClass \"%s\" not found", name);
}

/* As lists of amounts; "1000m" is "1". */
static bool same_amounts(const struct node *a, const struct node *b)
{
	if (node_count(a) != node_count(b))
		return false;
	NODE_FOREACH(n, a) {
		struct quantity x, y;

		if (!quantity_from_node(&x, n) || !quantity_from_node(&y, node_getc(b, n->key)) || quantity_cmp(&x, &y) != 0)
			return false;
	}
	return true;
}

static int runtime_overhead(struct admission *a, struct node *spec, const struct node *fixed, struct err *e)
{
	if (!fixed)
		return 0;
	if (node_get(spec, F_overhead) && !same_amounts(fixed, node_get(spec, F_overhead)))
		return admit_forbid(a, e, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
	node_set(a->d, spec, F_overhead, node_copy(a->d, fixed));
	return 0;
}

static int runtime_selector(struct admission *a, struct node *spec, const struct node *selector, struct err *e)
{
	NODE_FOREACH(n, selector) {
		const char *want = node_cstr_or(n, "");
		const struct node *have = node_getc(node_get(spec, F_nodeSelector), n->key);

		if (have && !node_streq(have, want))
			return admit_forbid(a, e,
					    "conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; "
					    "pod.spec.nodeSelector[%s] = %s",
					    n->key, want, n->key, node_cstr_or(have, ""));
		if (!have)
			node_setk(a->d, node_need_object(a->d, spec, F_nodeSelector), node_key(n), node_copy(a->d, n));
	}
	return 0;
}

/* Is what t tolerates already tolerated by one of the list? */
static bool toleration_covered(const struct node *list, const struct node *t)
{
	NODE_FOREACH(h, list) {
		const char *key = node_gets(h, F_key), *effect = node_gets(h, F_effect);
		bool any = streq(node_gets(h, F_operator), "Exists");

		if ((*key || !any) && !streq(key, node_gets(t, F_key)))
			continue;
		if (*effect && !streq(effect, node_gets(t, F_effect)))
			continue;
		if (node_get(h, F_tolerationSeconds) &&
		    !node_equal(node_get(h, F_tolerationSeconds), node_get(t, F_tolerationSeconds)))
			continue;
		if (any || (!streq(node_gets(t, F_operator), "Exists") && streq(node_gets(h, F_value), node_gets(t, F_value))))
			return true;
	}
	return false;
}

int admit_runtime_class(struct admission *a, struct err *e)
{
	const struct node *scheduling;
	struct node *spec;
	struct obj *class;

	if (!admit_new_pod(a))
		return 0;
	spec = node_need_object(a->d, a->root, F_spec);
	if (runtime_class_of(a, spec, &class, e) < 0)
		return -e->code;
	if (!class)
		return 0;
	scheduling = node_get(obj_node(class), F_scheduling);
	if (runtime_overhead(a, spec, node_path(obj_node(class), F_overhead, F_podFixed), e) < 0 ||
	    runtime_selector(a, spec, node_get(scheduling, F_nodeSelector), e) < 0)
		return -e->code;
	NODE_FOREACH(t, node_get(scheduling, F_tolerations))
		if (!toleration_covered(node_get(spec, F_tolerations), t))
			node_append(node_need_array(a->d, spec, F_tolerations), node_copy(a->d, t));
	return 0;
}

int admit_overhead(struct admission *a, struct err *e)
{
	const struct node *spec = node_get(a->root, F_spec), *fixed = NULL;
	struct obj *class;

	if (!admit_new_pod(a))
		return 0;
	if (runtime_class_of(a, spec, &class, e) < 0)
		return -e->code;
	if (class)
		fixed = node_path(obj_node(class), F_overhead, F_podFixed);
	if (fixed && !same_amounts(fixed, node_get(spec, F_overhead)))
		return admit_forbid(a, e, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
	if (!fixed && node_get(spec, F_overhead))
		return admit_forbid(a, e,
				    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
	return 0;
}

/* --- PodTopologyLabels --- */

/* A pod that is bound to a node gets the labels of the node's place. */
int admit_topology(struct admission *a, struct err *e)
{
	static const char *const keys[] = { "topology.kubernetes.io/zone", "topology.kubernetes.io/region" };
	struct node *meta;
	struct obj *node;

	if (a->old || !admit_is(a, "", "pods") || !admit_sub(a, "binding"))
		return 0;
	node = store_get(a->r->api->store, schema_res("", "nodes"), "", node_gets(node_get(a->root, F_target), F_name));
	meta = node_need_object(a->d, a->root, F_metadata);
	for (size_t i = 0; node && i < ARRAY_SIZE(keys); i++) {
		const char *value = meta_label(obj_node(node), keys[i]);

		if (value)
			node_setk(a->d, node_need_object(a->d, meta, F_labels), str_of(keys[i]), node_new_cstr(a->d, value));
	}
	return 0;
}

/* --- what is off unless turned on --- */

static const enum field container_lists[] = { F_initContainers, F_containers, F_ephemeralContainers };

static bool admit_images(const struct admission *a)
{
	return admit_is(a, "", "pods") && (admit_sub(a, "") || admit_sub(a, "ephemeralcontainers"));
}

int admit_pull_always(struct admission *a, struct err *e)
{
	if (!admit_images(a))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(container_lists); i++)
		NODE_FOREACH(c, node_path(a->root, F_spec, container_lists[i]))
			node_sets(a->d, c, F_imagePullPolicy, "Always");
	return 0;
}

int admit_pull_always_check(struct admission *a, struct err *e)
{
	if (!admit_images(a))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(container_lists); i++) {
		size_t at = 0;

		NODE_FOREACH(c, node_path(a->root, F_spec, container_lists[i])) {
			if (!streq(node_gets(c, F_imagePullPolicy), "Always"))
				return admit_forbid(a, e,
						    "spec.%s[%zu].imagePullPolicy: Unsupported value: \"%s\": supported "
						    "values: \"Always\"",
						    doc_field_name(container_lists[i]), at,
						    node_gets(c, F_imagePullPolicy));
			at++;
		}
	}
	return 0;
}

int admit_extended_tolerations(struct admission *a, struct err *e)
{
	struct node *spec;

	if (!admit_pod(a))
		return 0;
	spec = node_need_object(a->d, a->root, F_spec);
	for (size_t i = 0; i < 2; i++)
		NODE_FOREACH(c, node_get(spec, container_lists[i]))
			NODE_FOREACH(q, node_path(c, F_resources, F_requests)) {
				_cleanup_doc_ struct doc *d = doc_new();
				struct node *t = node_new(d, DOC_OBJECT);

				if (!strchr(q->key, '/') || strstr(q->key, "kubernetes.io/"))
					continue;
				node_sets(d, t, F_key, q->key);
				node_sets(d, t, F_operator, "Exists");
				if (!toleration_covered(node_get(spec, F_tolerations), t))
					node_append(node_need_array(a->d, spec, F_tolerations), node_copy(a->d, t));
			}
	return 0;
}

/* The namespace's annotation scheduler.alpha.kubernetes.io/node-selector: "a=b,c=d". */
int admit_node_selector(struct admission *a, struct err *e)
{
	struct obj *ns = store_get(a->r->api->store, &a->r->api->namespaces->r, "", a->r->at.ns);
	struct node *spec;
	struct str rest;

	if (!admit_new_pod(a) || !ns)
		return 0;
	spec = node_need_object(a->d, a->root, F_spec);
	rest = str_of(meta_annotation(obj_node(ns), "scheduler.alpha.kubernetes.io/node-selector"));
	while (rest.n) {
		struct str value = str_trim(str_cut(&rest, ',')), key = str_trim(str_cut(&value, '='));
		const struct node *have = node_getk(node_get(spec, F_nodeSelector), key);

		if (!key.n)
			continue;
		value = str_trim(value);
		if (have && !str_eq(node_str(have), value))
			return admit_forbid(a, e, "pod node label selector conflicts with its namespace node label selector");
		node_setk(a->d, node_need_object(a->d, spec, F_nodeSelector), key, node_new_str(a->d, value));
	}
	return 0;
}

int admit_hard_anti_affinity(struct admission *a, struct err *e)
{
	const struct node *terms = node_path(a->root, F_spec, F_affinity, F_podAntiAffinity,
					     F_requiredDuringSchedulingIgnoredDuringExecution);

	if (!admit_pod(a))
		return 0;
	NODE_FOREACH(t, terms)
		if (!streq(node_gets(t, F_topologyKey), "kubernetes.io/hostname"))
			return admit_forbid(a, e,
					    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey %s but only "
					    "key kubernetes.io/hostname is allowed",
					    node_gets(t, F_topologyKey));
	return 0;
}
