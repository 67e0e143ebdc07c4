/*
 * PodDisruptionBudgets: how many of a budget's pods are healthy, how many must be,
 * and so how many may be evicted now.
 *
 * What is expected is the number of pods that minAvailable as a number selects,
 * otherwise the sum of the scales of all that own those pods. Pods that the eviction
 * has noted in status.disruptedPods count as gone for two minutes, by which time
 * they must be on their way. Whatever goes wrong, disruptionsAllowed becomes 0.
 */
#include <stdlib.h>

#include "base/time.h"
#include "ctl/pods.h"
#include "schema/disruption.h"

#define DISRUPTION_TIMEOUT_S 120 /* of an entry in disruptedPods, and of a condition DisruptionTarget that came to nothing */

enum { OF_BUDGETS, OF_PODS, OF_CONTROLLERS, OF_SETS, OF_DEPLOYMENTS, OF_STATEFUL }; /* its watches */

struct disruption {
	const struct ctl_view *v;
	struct obj *o;
	const struct node *spec;
	struct plan *out;
	kid_vec pods;
	VEC(const char *) owners; /* uids of those that were counted */
	bool unmanaged;
	int64_t now_us;
	int64_t expected, desired, healthy;
};

/* --- scales --- */

static bool owner_is(struct obj *o, const char *uid)
{
	return o && streq(o->uid, uid);
}

static void disruption_add(struct disruption *x, struct obj *o)
{
	for (size_t i = 0; i < x->owners.n; i++)
		if (streq(x->owners.v[i], o->uid))
			return;
	VEC_PUSH(&x->owners, o->uid);
	x->expected += node_int(node_path(obj_node(o), F_spec, F_replicas), 1);
}

/* A ReplicaSet counts for its Deployment. */
static struct obj *disruption_top(struct disruption *x, struct obj *set)
{
	const struct node *ref = meta_controller(obj_node(set));
	struct obj *d;

	if (!ref || !node_streq(node_get(ref, F_kind), "Deployment"))
		return set;
	d = informer_find(x->v->of[OF_DEPLOYMENTS], set->ns, node_gets(ref, F_name));
	return owner_is(d, node_gets(ref, F_uid)) ? d : set;
}

/* Of a kind that is none of ours: can it be scaled at all? */
static int disruption_other(const struct kid *pod, const struct node *ref, struct err *e)
{
	const struct schema_res *r = schema_find_api(node_str(node_get(ref, F_apiVersion)), node_str(node_get(ref, F_kind)));

	if (!r)
		return err_set(e, ERR_UNKNOWN, "no matches for kind \"%s\" in version \"%s\"", node_gets(ref, F_kind),
			       node_gets(ref, F_apiVersion));
	if (!schema_subres(r, STR_LIT("scale")))
		return err_set(e, ERR_UNKNOWN, "%s%s%s does not implement the scale subresource", r->r.plural,
			       *r->r.group ? "." : "", r->r.group);
	return err_set(e, ERR_UNKNOWN, "found no controllers for pod \"%s\"", pod->obj->name);
}

static int disruption_count_owner(struct disruption *x, const struct kid *pod, struct err *e)
{
	static const struct {
		const char *kind;
		int of;
	} kinds[] = { { "ReplicationController", OF_CONTROLLERS }, { "ReplicaSet", OF_SETS }, { "StatefulSet", OF_STATEFUL } };
	const struct node *ref = meta_controller(obj_node(pod->obj));

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct obj *o;

		if (!node_streq(node_get(ref, F_kind), kinds[i].kind))
			continue;
		o = informer_find(x->v->of[kinds[i].of], pod->obj->ns, node_gets(ref, F_name));
		if (owner_is(o, node_gets(ref, F_uid))) {
			disruption_add(x, kinds[i].of == OF_SETS ? disruption_top(x, o) : o);
			return 0;
		}
	}
	return disruption_other(pod, ref, e);
}

static int disruption_scale(struct disruption *x, struct err *e)
{
	const struct kid_owner *last = NULL;

	for (size_t i = 0; i < x->pods.n; i++) {
		const struct kid *pod = x->pods.v[i];

		if (!pod->owner->kind)
			x->unmanaged = true;
		else if (pod->owner != last && disruption_count_owner(x, pod, e) < 0)
			return -e->code;
		last = pod->owner;
	}
	return 0;
}

/* --- what is expected and desired --- */

static int disruption_percent(struct disruption *x, const struct node *n, int64_t *ret, struct err *e)
{
	*ret = intstr_of(n, x->expected, true, -1);
	if (*ret >= 0)
		return 0;
	return err_set(e, ERR_UNKNOWN, "invalid value for IntOrString: %s", node_cstr_or(n, ""));
}

static int disruption_expect(struct disruption *x, struct err *e)
{
	const struct node *most = node_get(x->spec, F_maxUnavailable), *least = node_get(x->spec, F_minAvailable);
	int64_t n;

	if (most) {
		if (disruption_scale(x, e) < 0 || disruption_percent(x, most, &n, e) < 0)
			return -e->code;
		x->desired = x->expected > n ? x->expected - n : 0;
	} else if (node_is(least, DOC_INT)) {
		x->desired = node_int(least, 0);
		x->expected = (int64_t)x->pods.n;
	} else if (least) {
		if (disruption_scale(x, e) < 0 || disruption_percent(x, least, &x->desired, e) < 0)
			return -e->code;
	}
	return 0;
}

/* --- pods --- */

static void disruption_found(void *arg, struct kid *c)
{
	kid_vec *pods = arg;

	VEC_PUSH(pods, c);
}

static int disruption_pods(struct disruption *x, struct err *e)
{
	struct selector *s = NULL;

	if (selector_from_node(&s, node_get(x->spec, F_selector), e) < 0)
		return -e->code;
	kids_selected(x->v->kids[CTL_PODS], x->o->ns, s, disruption_found, &x->pods);
	selector_free(s);
	return 0;
}

/* Microseconds until the entry of a pod in disruptedPods is void; 0: it is, or there is none. */
static int64_t disruption_left_us(const struct disruption *x, const struct kid *c, const struct node *entry)
{
	int64_t ns, left;

	if (c->terminating || !time_parse_rfc3339(node_str(entry), &ns))
		return 0;
	left = ns / 1000 + DISRUPTION_TIMEOUT_S * SEC_US - x->now_us;
	return left > 0 ? left : 0;
}

/* Counts the healthy ones; of disruptedPods that remains which is still awaited. */
static void disruption_look(struct disruption *x, struct doc *d, struct node *status)
{
	const struct node *old = node_path(obj_node(x->o), F_status, F_disruptedPods);
	struct node *kept = node_new(d, DOC_OBJECT);

	for (size_t i = 0; i < x->pods.n; i++) {
		const struct kid *c = x->pods.v[i];
		const struct node *entry = node_getc(old, c->obj->name);
		int64_t left_us = disruption_left_us(x, c, entry);

		if (left_us) {
			node_setk(d, kept, str_of(c->obj->name), node_copy(d, entry));
			plan_again(x->out, left_us / 1000 + 1);
		} else if (entry && !c->terminating) {
			plan_event(x->out, c->obj, "Warning", "NotDeleted",
				   "Pod was expected by PDB %s/%s to be deleted but it wasn't", x->o->ns, x->o->name);
		}
		x->healthy += !c->terminating && !left_us && c->ready;
	}
	if (kept->len)
		node_set(d, status, F_disruptedPods, kept);
	else
		node_remove(status, F_disruptedPods);
}

/* --- what is said --- */

static int pair_order(const void *a, const void *b)
{
	return str_cmp(node_key(*(const struct node *const *)a), node_key(*(const struct node *const *)b));
}

/* A LabelSelector as Go prints it. */
static void selector_go(struct buf *b, const struct node *s)
{
	VEC(const struct node *) pairs = VEC_INIT;

	NODE_FOREACH(l, node_get(s, F_matchLabels))
		VEC_PUSH(&pairs, l);
	if (pairs.n)
		qsort(pairs.v, pairs.n, sizeof(*pairs.v), pair_order);
	buf_adds(b, "&LabelSelector{MatchLabels:map[string]string{");
	for (size_t i = 0; i < pairs.n; i++)
		buf_addf(b, "%" STR_FMT ": %s,", STR_ARG(node_key(pairs.v[i])), node_cstr_or(pairs.v[i], ""));
	VEC_RELEASE(&pairs);
	buf_adds(b, "},MatchExpressions:[]LabelSelectorRequirement{");
	NODE_FOREACH(m, node_get(s, F_matchExpressions)) {
		buf_addf(b, "LabelSelectorRequirement{Key:%s,Operator:%s,Values:[", node_gets(m, F_key), node_gets(m, F_operator));
		NODE_FOREACH(value, node_get(m, F_values))
			buf_addf(b, "%s%s", value == node_first(node_get(m, F_values)) ? "" : " ", node_cstr_or(value, ""));
		buf_adds(b, "],},");
	}
	buf_adds(b, "},}");
}

static void disruption_tell(struct disruption *x)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (!x->pods.n)
		plan_event(x->out, x->o, "Normal", "NoPods", "No matching pods found");
	if (!x->unmanaged)
		return;
	selector_go(&b, node_get(x->spec, F_selector));
	plan_event(x->out, x->o, "Warning", "UnmanagedPods",
		   "Pods selected by this PodDisruptionBudget (selector: %s) were found to be unmanaged. As a result, the status "
		   "of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods "
		   "please set \".spec.minAvailable\" field of the PDB to an integer value.", b.s);
}

static void disruption_write(struct disruption *x, struct doc *d_take)
{
	const struct node *status = node_get(doc_root(d_take), F_status);

	if (node_equal(status, node_get(obj_node(x->o), F_status)))
		doc_unref(d_take);
	else
		plan_update(x->out, x->o->res, x->o->ns, x->o->name, "status", d_take);
}

static void disruption_failed(struct disruption *x, const struct err *e)
{
	struct doc *d = doc_clone(obj_doc(x->o));
	struct node *status = node_need_object(d, doc_root(d), F_status);

	node_seti(d, status, F_disruptionsAllowed, 0);
	disruption_set_condition(d, status, false, "SyncFailed", err_msg(e));
	disruption_write(x, d);
}

static void disruption_status(struct disruption *x)
{
	struct doc *d = doc_clone(obj_doc(x->o));
	struct node *status = node_need_object(d, doc_root(d), F_status);
	int64_t allowed;

	disruption_look(x, d, status);
	allowed = x->expected > 0 && x->healthy > x->desired ? x->healthy - x->desired : 0;
	node_seti(d, status, F_currentHealthy, x->healthy);
	node_seti(d, status, F_desiredHealthy, x->desired);
	node_seti(d, status, F_expectedPods, x->expected);
	node_seti(d, status, F_disruptionsAllowed, allowed);
	node_seti(d, status, F_observedGeneration, node_int(node_get(meta_of(doc_root(d)), F_generation), 0));
	disruption_update_condition(d, status);
	disruption_write(x, d);
}

int disruption_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct disruption x = { .v = v, .o = ctl_find(v->of[OF_BUDGETS], key), .out = out, .now_us = time_wall_us() };
	_cleanup_err_ struct err why = ERR_INIT;

	(void)e;
	if (!x.o)
		return 0;
	x.spec = node_get(obj_node(x.o), F_spec);
	if (disruption_pods(&x, &why) < 0) {
		plan_event(out, x.o, "Warning", "NoPods", "Failed to get pods: %s", err_msg(&why));
		disruption_failed(&x, &why);
	} else if (disruption_expect(&x, &why) < 0) {
		plan_event(out, x.o, "Warning", "CalculateExpectedPodCountFailed",
			   "Failed to calculate the number of expected pods: %s", err_msg(&why));
		disruption_failed(&x, &why);
	} else {
		disruption_tell(&x);
		disruption_status(&x);
	}
	VEC_RELEASE(&x.pods);
	VEC_RELEASE(&x.owners);
	return 0;
}

/* --- pods that were to go, and did not --- */

void disruption_key_of_pod(struct obj *o, struct buf *out)
{
	if (obj_json_has(o, "\"DisruptionTarget\""))
		ctl_key_self(o, out);
}

/* The kubelet's own takes as long as it takes. */
static bool disruption_is_stale(const struct node *pod, const struct node *cond)
{
	const char *phase = node_gets(node_get(pod, F_status), F_phase);

	return cond && !meta_is_deleting(pod) && node_streq(node_get(cond, F_status), "True") &&
	       !node_streq(node_get(cond, F_reason), "TerminationByKubelet") && !streq(phase, "Succeeded") &&
	       !streq(phase, "Failed");
}

int disruption_stale_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	const struct node *cond = o ? cond_find(node_path(obj_node(o), F_status, F_conditions), "DisruptionTarget") : NULL;
	int64_t ns, left_ms;
	struct node *status;
	struct doc *d;

	(void)e;
	if (!cond || !disruption_is_stale(obj_node(o), cond))
		return 0;
	if (!time_parse_rfc3339(node_str(node_get(cond, F_lastTransitionTime)), &ns))
		ns = 0;
	left_ms = (ns / 1000 + DISRUPTION_TIMEOUT_S * SEC_US - time_wall_us()) / 1000;
	if (left_ms > 0) {
		plan_again(out, left_ms + 1);
		return 0;
	}
	d = doc_clone(obj_doc(o));
	status = node_need_object(d, doc_root(d), F_status);
	cond_set(d, node_need_array(d, status, F_conditions), "DisruptionTarget", "False", NULL, NULL);
	plan_update(out, o->res, o->ns, o->name, "status", d);
	return 0;
}
