/*
 * Admission of pods: whom they run as (ServiceAccount), what their class is worth
 * (Priority), how long they bear a lost node (DefaultTolerationSeconds).
 */
#include "api/admit.h"

/* --- ServiceAccount --- */

int admit_service_account(struct admission *a, struct err *e)
{
	struct req *r = a->r;
	struct node *spec;
	const char *name;

	if (!admit_new_pod(a))
		return 0;
	spec = node_need_object(a->d, a->root, F_spec);
	if (meta_annotation(a->root, "kubernetes.io/config.mirror"))
		return 0; /* a mirror pod needs no account */
	if (!*node_gets(spec, F_serviceAccountName))
		node_sets(a->d, spec, F_serviceAccountName,
			  *node_gets(spec, F_serviceAccount) ? node_gets(spec, F_serviceAccount) : "default");
	name = node_gets(spec, F_serviceAccountName);
	node_sets(a->d, spec, F_serviceAccount, name);
	/* "default" is made for every namespace, though perhaps a moment later. */
	if (streq(name, "default") || store_get(r->api->store, &r->api->service_accounts->r, r->at.ns, name))
		return 0;
	return err_forbidden(e, &r->res->r, r->at.name,
			     "error looking up service account %s/%s: serviceaccount \"%s\" not found", r->at.ns, name,
			     name);
}

/* --- Priority --- */

static const struct {
	const char *name;
	int64_t value;
} system_priorities[] = { { "system-cluster-critical", 2000000000 }, { "system-node-critical", 2000001000 } };

static bool priority_is_default(void *arg, struct obj *o)
{
	return node_bool(node_get(obj_node(o), F_globalDefault), false);
}

/* The class that pods without one have; NULL: none. Referenced. */
static struct obj *priority_default(struct api *a)
{
	struct store_list l = { .res = schema_res("scheduling.k8s.io", "priorityclasses"), .match = priority_is_default };
	_cleanup_err_ struct err e = ERR_INIT;
	struct obj *o = NULL;

	if (!store_count(a->store, l.res, NULL) || store_list(a->store, &l, &e) < 0)
		return NULL;
	if (l.n)
		o = obj_ref(l.objs[0]);
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
	node_seti(a->d, spec, F_priority, value);
	if (!*node_gets(spec, F_preemptionPolicy))
		node_sets(a->d, spec, F_preemptionPolicy, *policy ? policy : "PreemptLowerPriority");
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
		class = store_get(r->api->store, schema_res("scheduling.k8s.io", "priorityclasses"), "", name);
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
	return priority_set(a, spec, node_int(node_get(obj_node(class), F_value), 0),
			    node_gets(obj_node(class), F_preemptionPolicy), e);
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
