/*
 * StatefulSets: pods with names and identities of their own, made in order and
 * removed in the reverse order (OrderedReady) or all at once (Parallel).
 *
 * A pod's name is never used twice at a time: a pod that is to be replaced is
 * deleted, and its successor made only when the API shows that the name is free,
 * which a node out of reach may delay for ever. Each reconcile takes the next
 * step: make what is missing, remove what is beyond the size, then replace from
 * the highest ordinal down what has not the revision that it should have
 * (partition, OnDelete, maxUnavailable). Settle writes the status. Claims outlive
 * their pods, unless persistentVolumeClaimRetentionPolicy says otherwise (retention.c).
 */
#include <stdlib.h>

#include "base/time.h"
#include "ctl/history.h"
#include "ctl/retention.h"

#define STATEFULSET_NAME_LABEL "statefulset.kubernetes.io/pod-name"
#define STATEFULSET_INDEX_LABEL "apps.kubernetes.io/pod-index"
#define STATEFULSET_BURST 500 /* pods made in one go when they need not wait for each other */
#define STATEFULSET_CLAIM_MS 1000 /* a claim that is about to go is looked at again */

struct statefulset_pod {
	int64_t ordinal;
	struct kid *pod;
};

struct statefulset {
	struct obj *obj;
	const struct node *spec, *status;
	int64_t start, replicas, min_ready_s, partition, now;
	bool ordered, rolling;
	struct retention retention;
	struct history history;
	const char *current; /* revisions by name */
	const char *update;
	VEC(struct statefulset_pod) pods; /* within the size, lowest ordinal first */
	VEC(struct statefulset_pod) condemned; /* beyond it, highest ordinal first */
	struct plan *out;
};

/* --- pods --- */

/* -1: the name is none of ours. */
static int64_t statefulset_ordinal(const struct statefulset *s, const char *pod)
{
	const char *dash = strrchr(pod, '-');
	int64_t n;

	if (!dash || strlen(s->obj->name) != (size_t)(dash - pod) || !starts_with(pod, s->obj->name) ||
	    !str_to_i64(str_of(dash + 1), &n) || n < 0 || (dash[1] == '0' && dash[2]))
		return -1;
	return n;
}

static const char *statefulset_revision(const struct kid *c)
{
	return node_cstr_or(node_getc(c->labels->set, HISTORY_POD_LABEL), "");
}

static bool statefulset_runs(const struct kid *c)
{
	return c->phase == POD_RUNNING && c->ready;
}

static bool statefulset_is_available(const struct statefulset *s, const struct kid *c)
{
	return statefulset_runs(c) && pod_is_available(c, s->min_ready_s, s->now);
}

static bool statefulset_is_healthy(const struct statefulset *s, const struct kid *c)
{
	return !c->terminating && statefulset_is_available(s, c);
}

static int statefulset_by_ordinal(const void *pa, const void *pb)
{
	const struct statefulset_pod *a = pa, *b = pb;

	return a->ordinal < b->ordinal ? -1 : a->ordinal > b->ordinal;
}

static int statefulset_by_ordinal_down(const void *pa, const void *pb)
{
	return statefulset_by_ordinal(pb, pa);
}

static void statefulset_sort_in(struct statefulset *s, const kid_vec *pods)
{
	for (size_t i = 0; i < pods->n; i++) {
		struct statefulset_pod p = { statefulset_ordinal(s, pods->v[i]->obj->name), pods->v[i] };

		if (p.ordinal >= s->start && p.ordinal < s->start + s->replicas)
			VEC_PUSH(&s->pods, p);
		else if (p.ordinal >= 0)
			VEC_PUSH(&s->condemned, p);
	}
	if (s->pods.n)
		qsort(s->pods.v, s->pods.n, sizeof(*s->pods.v), statefulset_by_ordinal);
	if (s->condemned.n)
		qsort(s->condemned.v, s->condemned.n, sizeof(*s->condemned.v), statefulset_by_ordinal_down);
}

static void statefulset_load(struct statefulset *s, const struct ctl_view *v, struct obj *o, const struct selector *sel,
			     struct plan *claims)
{
	const struct node *ru;
	kid_vec pods = VEC_INIT;

	*s = (struct statefulset){ .obj = o, .spec = node_get(obj_node(o), F_spec), .now = time_wall_s() };
	s->status = node_get(obj_node(o), F_status);
	s->start = node_int(node_path(s->spec, F_ordinals, F_start), 0);
	s->replicas = node_int(node_get(s->spec, F_replicas), 1);
	s->min_ready_s = node_int(node_get(s->spec, F_minReadySeconds), 0);
	s->ordered = !node_streq(node_get(s->spec, F_podManagementPolicy), "Parallel");
	s->rolling = !node_streq(node_path(s->spec, F_updateStrategy, F_type), "OnDelete");
	s->retention = retention_of(s->spec);
	ru = node_path(s->spec, F_updateStrategy, F_rollingUpdate);
	s->partition = node_int(node_get(ru, F_partition), 0);
	history_load(&s->history, v, o, sel, claims);
	s->update = s->history.name;
	s->current = node_gets(s->status, F_currentRevision);
	if (!history_find(&s->history, s->current))
		s->current = s->update;
	kids_claim(v->kids[CTL_PODS], o, sel, NULL, claims, &pods);
	statefulset_sort_in(s, &pods);
	VEC_RELEASE(&pods);
}

static void statefulset_release(struct statefulset *s)
{
	history_release(&s->history);
	VEC_RELEASE(&s->pods);
	VEC_RELEASE(&s->condemned);
}

/* --- making --- */

/* Of the claim templates: each pod has its own. Those of the template with such a name are replaced. */
static void statefulset_volumes(const struct statefulset *s, struct doc *d, struct node *spec, const char *pod)
{
	NODE_FOREACH(claim, node_get(s->spec, F_volumeClaimTemplates))
	{
		const char *name = node_gets(meta_of(claim), F_name);
		struct node *volumes = node_need_array(d, spec, F_volumes), *volume = NULL;

		NODE_FOREACH(c, volumes)
			if (node_streq(node_get(c, F_name), name))
				volume = c;
		if (volume)
			node_remove_child(volumes, volume);
		volume = node_append(volumes, node_new(d, DOC_OBJECT));
		node_sets(d, volume, F_name, name);
		node_set(d, node_need_object(d, volume, F_persistentVolumeClaim), F_claimName,
			 node_new_fmt(d, "%s-%s", name, pod));
	}
}

/* Which revision a new pod of that ordinal gets. */
static const char *statefulset_revision_for(const struct statefulset *s, int64_t ordinal)
{
	return s->rolling && ordinal < s->start + s->partition ? s->current : s->update;
}

static struct doc *statefulset_pod(const struct statefulset *s, int64_t ordinal)
{
	const char *revision = statefulset_revision_for(s, ordinal);
	const struct node *tmpl = node_get(s->spec, F_template);
	struct doc *d;
	struct node *root, *meta, *labels, *spec;
	_cleanup_free_ char *name = xasprintf("%s-%lld", s->obj->name, (long long)ordinal);

	if (!streq(revision, s->update))
		tmpl = history_template(history_find(&s->history, revision));
	d = pod_from_template(s->obj, tmpl);
	root = doc_root(d);
	meta = node_get(root, F_metadata);
	node_sets(d, meta, F_name, name);
	labels = node_need_object(d, meta, F_labels);
	node_setk(d, labels, STR_LIT(STATEFULSET_NAME_LABEL), node_new_cstr(d, name));
	node_setk(d, labels, STR_LIT(STATEFULSET_INDEX_LABEL), node_new_fmt(d, "%lld", (long long)ordinal));
	node_setk(d, labels, STR_LIT(HISTORY_POD_LABEL), node_new_cstr(d, revision));
	spec = node_need_object(d, root, F_spec);
	node_sets(d, spec, F_hostname, name);
	if (*node_gets(s->spec, F_serviceName))
		node_sets(d, spec, F_subdomain, node_gets(s->spec, F_serviceName));
	statefulset_volumes(s, d, spec, name);
	return d;
}

static void statefulset_say(const struct statefulset *s, const char *verb, const char *pod)
{
	_cleanup_free_ char *ok = xasprintf("%s Pod %s in StatefulSet %s successful", verb, pod, s->obj->name);
	_cleanup_free_ char *bad = xasprintf("%s Pod %s in StatefulSet %s failed error: ", verb, pod, s->obj->name);
	bool create = streq(verb, "create");

	plan_say(s->out, s->obj, create ? "SuccessfulCreate" : "SuccessfulDelete", ok,
		 create ? "FailedCreate" : "FailedDelete", bad);
}

static struct doc *statefulset_claim_doc(const struct statefulset *s, const struct node *tmpl, const char *name)
{
	struct doc *d = doc_new();
	struct node *meta, *labels;

	doc_set_root(d, node_copy(d, tmpl));
	node_sets(d, doc_root(d), F_apiVersion, "v1");
	node_sets(d, doc_root(d), F_kind, "PersistentVolumeClaim");
	node_remove(doc_root(d), F_status);
	meta = node_need_object(d, doc_root(d), F_metadata);
	node_sets(d, meta, F_name, name);
	labels = node_need_object(d, meta, F_labels);
	NODE_FOREACH(l, node_path(s->spec, F_selector, F_matchLabels))
		node_setk(d, labels, node_key(l), node_copy(d, l));
	return d;
}

static struct obj *statefulset_claim(const struct statefulset *s, const struct ctl_view *v, const struct node *tmpl,
				     const char *pod)
{
	_cleanup_free_ char *name = xasprintf("%s-%s", node_gets(meta_of(tmpl), F_name), pod);

	return informer_find(v->of[3], s->obj->ns, name);
}

/* The claims of a pod that are not there. They outlive it, and find it again by name. */
static void statefulset_claims(const struct statefulset *s, const struct ctl_view *v, const char *pod)
{
	NODE_FOREACH(tmpl, node_get(s->spec, F_volumeClaimTemplates))
	{
		_cleanup_free_ char *name = xasprintf("%s-%s", node_gets(meta_of(tmpl), F_name), pod);
		_cleanup_free_ char *ok = NULL, *bad = NULL;

		if (statefulset_claim(s, v, tmpl, pod))
			continue;
		plan_create(s->out, schema_res("", "persistentvolumeclaims"), s->obj->ns, statefulset_claim_doc(s, tmpl, name));
		ok = xasprintf("create Claim %s Pod %s in StatefulSet %s success", name, pod, s->obj->name);
		bad = xasprintf("create Claim %s for Pod %s in StatefulSet %s failed error: ", name, pod, s->obj->name);
		plan_say(s->out, s->obj, "SuccessfulCreate", ok, "FailedCreate", bad);
	}
	plan_then(s->out);
}

/* A claim of that pod is about to go, with an earlier pod or by somebody's hand: its successor must not have it. */
static bool statefulset_claims_go(const struct statefulset *s, const struct ctl_view *v, const char *pod)
{
	NODE_FOREACH(tmpl, node_get(s->spec, F_volumeClaimTemplates))
	{
		struct obj *claim = statefulset_claim(s, v, tmpl, pod);

		if (!claim)
			continue;
		if (!meta_is_deleting(obj_node(claim)) && !retention_is_stale(obj_node(claim), s->retention, pod))
			continue;
		if (meta_is_deleting(obj_node(claim)))
			plan_event(s->out, s->obj, "Warning", "FailedCreate",
				   "create Pod %s in StatefulSet %s failed error: pvc %s is being deleted", pod, s->obj->name,
				   claim->name);
		plan_again(s->out, STATEFULSET_CLAIM_MS);
		return true;
	}
	return false;
}

/* Whether its claims go with the pod or the set. */
static void statefulset_retain(const struct statefulset *s, const struct ctl_view *v, const struct kid *c, bool condemned)
{
	NODE_FOREACH(tmpl, node_get(s->spec, F_volumeClaimTemplates))
	{
		struct obj *claim = statefulset_claim(s, v, tmpl, c->obj->name);
		_cleanup_doc_ struct doc *d = claim ? doc_clone(obj_doc(claim)) : NULL;
		_cleanup_free_ char *ok = NULL, *bad = NULL;

		if (!claim || !retention_apply(d, s->retention, s->obj, c->obj, condemned))
			continue;
		if (retention_is_foreign(obj_node(claim), s->retention, s->obj, c->obj))
			plan_event(s->out, s->obj, "Warning", "ConflictingController",
				   "PersistentVolumeClaim %s has a conflicting OwnerReference that acts as a manging controller, "
				   "the retention policy is ignored for this claim",
				   claim->name);
		plan_update(s->out, claim->res, claim->ns, claim->name, NULL, take_ptr(&d));
		ok = xasprintf("update Pod %s in StatefulSet %s successful", c->obj->name, s->obj->name);
		bad = xasprintf("update Pod %s in StatefulSet %s failed error: ", c->obj->name, s->obj->name);
		plan_say(s->out, s->obj, condemned ? NULL : "SuccessfulUpdate", ok, "FailedUpdate", bad);
	}
}

static void statefulset_create(const struct statefulset *s, const struct ctl_view *v, int64_t ordinal)
{
	_cleanup_free_ char *name = xasprintf("%s-%lld", s->obj->name, (long long)ordinal);

	if (statefulset_claims_go(s, v, name))
		return;
	statefulset_claims(s, v, name);
	plan_create(s->out, schema_res("", "pods"), s->obj->ns, statefulset_pod(s, ordinal));
	statefulset_say(s, "create", name);
	if (!s->ordered && (ordinal - s->start) % 16 == 15)
		plan_then(s->out);
}

static void statefulset_delete(const struct statefulset *s, const struct kid *c)
{
	plan_delete(s->out, c->obj->res, c->obj->ns, c->obj->name, c->obj->uid);
	statefulset_say(s, "delete", c->obj->name);
}

/* --- the steps; true: this is as far as it goes now --- */

/* One that ended is removed; its successor follows when the name is free. */
static bool statefulset_replace_ended(const struct statefulset *s, const struct kid *c)
{
	bool failed = c->phase == POD_FAILED;

	if (!failed && c->phase != POD_SUCCEEDED)
		return false;
	if (c->terminating)
		return true;
	statefulset_delete(s, c);
	plan_event(s->out, s->obj, "Warning", failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod",
		   "StatefulSet %s/%s is recreating %s Pod %s", s->obj->ns, s->obj->name, failed ? "failed" : "terminated",
		   c->obj->name);
	return true;
}

/* When it has been ready for long enough nothing tells: look again. */
static void statefulset_wait(const struct statefulset *s, const struct kid *c)
{
	if (statefulset_runs(c) && !statefulset_is_available(s, c))
		plan_again(s->out, (c->ready_s + s->min_ready_s - s->now) * SEC_MS);
}

/* One that is there. */
static bool statefulset_look(const struct statefulset *s, const struct ctl_view *v, const struct kid *c)
{
	if (statefulset_replace_ended(s, c))
		return true;
	if (c->phase == POD_PENDING && !c->terminating && node_get(s->spec, F_volumeClaimTemplates))
		statefulset_claims(s, v, c->obj->name);
	if (!c->terminating)
		statefulset_retain(s, v, c, false);
	statefulset_wait(s, c);
	return s->ordered && !statefulset_is_healthy(s, c);
}

static bool statefulset_fill(const struct statefulset *s, const struct ctl_view *v)
{
	size_t at = 0, made = 0;
	bool stop = false;

	for (int64_t i = s->start; i < s->start + s->replicas && made < STATEFULSET_BURST; i++) {
		if (at < s->pods.n && s->pods.v[at].ordinal == i) {
			stop |= statefulset_look(s, v, s->pods.v[at++].pod);
		} else {
			statefulset_create(s, v, i);
			made++;
			stop |= s->ordered;
		}
		if (stop && s->ordered)
			return true;
	}
	return stop;
}

/* The unhealthy pod of the lowest ordinal: it may be removed though it blocks the others. */
static const struct kid *statefulset_first_unhealthy(const struct statefulset *s)
{
	for (size_t i = 0; i < s->pods.n; i++)
		if (!statefulset_is_healthy(s, s->pods.v[i].pod))
			return s->pods.v[i].pod;
	for (size_t i = s->condemned.n; i-- > 0;)
		if (!statefulset_is_healthy(s, s->condemned.v[i].pod))
			return s->condemned.v[i].pod;
	return NULL;
}

static bool statefulset_shrink(const struct statefulset *s, const struct ctl_view *v)
{
	const struct kid *sick = statefulset_first_unhealthy(s);

	for (size_t i = 0; i < s->condemned.n; i++)
		statefulset_retain(s, v, s->condemned.v[i].pod, true);
	plan_then(s->out);
	for (size_t i = 0; i < s->condemned.n; i++) {
		struct kid *c = s->condemned.v[i].pod;

		if (c->terminating) {
			if (s->ordered)
				return true;
			continue;
		}
		if (s->ordered && !statefulset_is_available(s, c) && c != sick) {
			statefulset_wait(s, c);
			return true;
		}
		statefulset_delete(s, c);
		if (s->ordered)
			return true;
	}
	return false;
}

static void statefulset_roll(const struct statefulset *s)
{
	const struct node *max = node_path(s->spec, F_updateStrategy, F_rollingUpdate, F_maxUnavailable);
	int64_t may = intstr_of(max, s->replicas, true, 1);

	if (may < 1)
		may = 1;
	may -= s->replicas - (int64_t)s->pods.n;
	for (size_t i = s->pods.n; i-- > 0 && may > 0;) {
		struct kid *c = s->pods.v[i].pod;

		if (s->pods.v[i].ordinal < s->start + s->partition)
			break;
		if (!c->terminating && !streq(statefulset_revision(c), s->update)) {
			statefulset_delete(s, c);
			may--;
		} else if (!statefulset_is_healthy(s, c)) {
			statefulset_wait(s, c);
			may--;
		}
	}
}

static bool statefulset_is_live(void *arg, struct obj *rev)
{
	const struct statefulset *s = arg;

	if (streq(rev->name, s->current) || streq(rev->name, s->update))
		return true;
	for (size_t i = 0; i < s->pods.n; i++)
		if (streq(statefulset_revision(s->pods.v[i].pod), rev->name))
			return true;
	for (size_t i = 0; i < s->condemned.n; i++)
		if (streq(statefulset_revision(s->condemned.v[i].pod), rev->name))
			return true;
	return false;
}

int statefulset_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct selector *sel = o ? ctl_selector(obj_node(o), e) : NULL;
	struct statefulset s;

	if (!sel)
		return err_is_set(e) ? -e->code : 0;
	statefulset_load(&s, v, o, sel, out);
	s.out = out;
	selector_free(sel);
	plan_then(out);
	if (!meta_is_deleting(obj_node(o)) && history_write(&s.history, v, o, "controller.kubernetes.io/hash", out)) {
		if (!statefulset_fill(&s, v) && !statefulset_shrink(&s, v) && s.rolling)
			statefulset_roll(&s);
		history_trim(&s.history, o, statefulset_is_live, &s, out);
	}
	statefulset_release(&s);
	return 0;
}

/* --- status --- */

struct statefulset_counts {
	int64_t replicas, ready, available, current, updated;
};

static void statefulset_count(const struct statefulset *s, const struct kid *c, struct statefulset_counts *n)
{
	n->replicas++;
	n->ready += statefulset_runs(c);
	n->available += statefulset_is_available(s, c);
	n->current += !c->terminating && streq(statefulset_revision(c), s->current);
	n->updated += !c->terminating && streq(statefulset_revision(c), s->update);
}

static void statefulset_put(struct doc *d, struct node *status, enum field f, int64_t n)
{
	if (n)
		node_seti(d, status, f, n);
	else
		node_remove(status, f);
}

static void statefulset_status(struct statefulset *s, struct plan *out)
{
	struct statefulset_counts n = { 0 };
	struct doc *d = doc_clone(obj_doc(s->obj));
	struct node *status = node_need_object(d, doc_root(d), F_status);

	for (size_t i = 0; i < s->pods.n; i++)
		statefulset_count(s, s->pods.v[i].pod, &n);
	for (size_t i = 0; i < s->condemned.n; i++)
		statefulset_count(s, s->condemned.v[i].pod, &n);
	if (s->rolling && n.updated == s->replicas && n.updated == n.replicas && n.ready == n.replicas) {
		s->current = s->update;
		n.current = n.updated;
	}
	node_seti(d, status, F_replicas, n.replicas);
	node_seti(d, status, F_availableReplicas, n.available);
	statefulset_put(d, status, F_readyReplicas, n.ready);
	statefulset_put(d, status, F_currentReplicas, n.current);
	statefulset_put(d, status, F_updatedReplicas, n.updated);
	node_sets(d, status, F_currentRevision, s->current);
	node_sets(d, status, F_updateRevision, s->update);
	node_seti(d, status, F_observedGeneration, node_int(node_get(meta_of(doc_root(d)), F_generation), 0));
	node_seti(d, status, F_collisionCount, node_int(node_get(status, F_collisionCount), 0));
	for (size_t i = 0; i < s->pods.n; i++)
		statefulset_wait(s, s->pods.v[i].pod);
	if (node_equal(status, s->status))
		doc_unref(d);
	else
		plan_update(out, s->obj->res, s->obj->ns, s->obj->name, "status", d);
}

int statefulset_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct selector *sel = o ? ctl_selector(obj_node(o), e) : NULL;
	struct statefulset s;

	if (!sel)
		return err_is_set(e) ? -e->code : 0;
	statefulset_load(&s, v, o, sel, NULL);
	selector_free(sel);
	s.out = out;
	if (s.history.now)
		statefulset_status(&s, out);
	statefulset_release(&s);
	return 0;
}
