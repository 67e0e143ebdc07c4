/*
 * DaemonSets: one pod on each node that fits.
 *
 * Pods are made pinned to their node by affinity and left to the scheduler. Each
 * reconcile walks the nodes: makes what is missing, removes what ended, is too
 * much or does not belong, then replaces pods of an old template within
 * maxUnavailable, or with maxSurge makes the new one beside the old. Settle writes
 * the status.
 */
#include "ctl/daemonset.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/time.h"
#include "ctl/history.h"

#define DAEMONSET_BURST 250 /* pods made or removed in one go, as Kubernetes */
#define DAEMONSET_FAILED_S 5 /* one that failed is replaced no sooner */

struct daemonset {
	struct obj *obj;
	const struct node *root, *spec, *tmpl;
	struct history history;
	int64_t min_ready_s, now, surge, unavailable;
	bool rolling;
	kid_vec pods; /* by target node, then age */
	VEC(struct daemonset_node) nodes;
	struct plan *out;
	size_t budget;
};

struct daemonset_node {
	const char *name;
	bool should, may_stay;
	struct kid **pods; /* in the daemonset's */
	size_t n;
};

/* --- seeing --- */

static int daemonset_by_node(const void *pa, const void *pb)
{
	const struct kid *a = *(struct kid *const *)pa, *b = *(struct kid *const *)pb;

	if (a->target != b->target)
		return a->target < b->target ? -1 : 1;
	if (!a->node != !b->node)
		return a->node ? -1 : 1;
	if (a->created_s != b->created_s)
		return a->created_s < b->created_s ? -1 : 1;
	return strcmp(a->obj->name, b->obj->name);
}

static void daemonset_add_node(struct daemonset *s, struct obj *o)
{
	struct daemonset_node n = { .name = o->name };
	uint64_t hash = hash_sip(str_of(o->name));
	size_t lo = 0, hi = s->pods.n;

	daemonset_fits(node_get(s->tmpl, F_spec), o, &n.should, &n.may_stay);
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (s->pods.v[mid]->target < hash)
			lo = mid + 1;
		else
			hi = mid;
	}
	n.pods = s->pods.v + lo;
	while (lo + n.n < s->pods.n && s->pods.v[lo + n.n]->target == hash)
		n.n++;
	VEC_PUSH(&s->nodes, n);
}

static void daemonset_bounds(struct daemonset *s)
{
	const struct node *ru = node_path(s->spec, F_updateStrategy, F_rollingUpdate);
	int64_t desired = 0;

	s->rolling = !node_streq(node_path(s->spec, F_updateStrategy, F_type), "OnDelete");
	for (size_t i = 0; i < s->nodes.n; i++)
		desired += s->nodes.v[i].should;
	s->surge = s->rolling ? intstr_of(node_get(ru, F_maxSurge), desired, true, 0) : 0;
	s->unavailable = intstr_of(node_get(ru, F_maxUnavailable), desired, true, 1);
	if (desired && !s->surge && !s->unavailable)
		s->unavailable = 1;
}

static void daemonset_load(struct daemonset *s, const struct ctl_view *v, struct obj *o, const struct selector *sel,
			   struct plan *claims)
{
	*s = (struct daemonset){ .obj = o, .root = obj_node(o), .now = time_wall_s(), .budget = DAEMONSET_BURST };
	s->spec = node_get(s->root, F_spec);
	s->tmpl = node_get(s->spec, F_template);
	s->min_ready_s = node_int(node_get(s->spec, F_minReadySeconds), 0);
	history_load(&s->history, v, o, sel, claims);
	kids_claim(v->kids[CTL_PODS], o, sel, NULL, claims, &s->pods);
	if (s->pods.n)
		qsort(s->pods.v, s->pods.n, sizeof(*s->pods.v), daemonset_by_node);
	for (struct obj *n = NULL; (n = informer_next(v->of[3], NULL, n));)
		daemonset_add_node(s, n);
	daemonset_bounds(s);
}

static void daemonset_release(struct daemonset *s)
{
	history_release(&s->history);
	VEC_RELEASE(&s->pods);
	VEC_RELEASE(&s->nodes);
}

static bool daemonset_is_new(const struct daemonset *s, const struct kid *c)
{
	return node_streq(node_getc(c->labels->set, HISTORY_POD_LABEL), s->history.hash);
}

static bool daemonset_is_available(const struct daemonset *s, const struct kid *c)
{
	return c && !c->terminating && pod_is_available(c, s->min_ready_s, s->now);
}

/* --- making and removing --- */

static void daemonset_create(struct daemonset *s, const char *node)
{
	const char *generation = meta_annotation(s->root, "deprecated.daemonset.template.generation");
	struct doc *d;
	struct node *labels;

	if (!s->budget)
		return;
	s->budget--;
	d = pod_from_template(s->obj, s->tmpl);
	labels = node_need_object(d, node_get(doc_root(d), F_metadata), F_labels);
	node_setk(d, labels, STR_LIT(HISTORY_POD_LABEL), node_new_cstr(d, s->history.hash));
	if (generation)
		node_setk(d, labels, STR_LIT("pod-template-generation"), node_new_cstr(d, generation));
	daemonset_pin(d, node_need_object(d, doc_root(d), F_spec), node);
	pods_create_one(s->out, s->obj, d);
}

static void daemonset_delete(struct daemonset *s, const struct kid *c)
{
	if (c->terminating || !s->budget)
		return;
	s->budget--;
	pods_delete_one(s->out, s->obj, c);
}

/* One that is over is removed, so that another can follow; one that failed not at once, for it may do so again. */
static void daemonset_remove_ended(struct daemonset *s, const struct daemonset_node *n, const struct kid *c)
{
	bool failed = c->phase == POD_FAILED;
	int64_t wait_s = c->created_s + DAEMONSET_FAILED_S - s->now;

	if (failed && wait_s > 0) {
		plan_again(s->out, wait_s * SEC_MS);
		return;
	}
	plan_event(s->out, s->obj, failed ? "Warning" : "Normal", failed ? "FailedDaemonPod" : "SucceededDaemonPod",
		   "Found %s daemon pod %s/%s on node %s, will try to %s it", failed ? "failed" : "succeeded", c->obj->ns,
		   c->obj->name, n->name, failed ? "kill" : "delete");
	daemonset_delete(s, c);
}

/* Of several that run on a node without surge, the oldest stays; with it, the oldest old one and the oldest new one,
 * until the new one is available or the old one is not ready. */
static void daemonset_thin_out(struct daemonset *s, const struct daemonset_node *n)
{
	struct kid *fresh = NULL, *old = NULL;
	bool any = false;

	for (size_t i = 0; i < n->n; i++) {
		struct kid *c = n->pods[i];

		if (!pod_is_active(c))
			continue;
		if (!s->surge) {
			if (any)
				daemonset_delete(s, c);
			any = true;
		} else if (daemonset_is_new(s, c) && !fresh) {
			fresh = c;
		} else if (!daemonset_is_new(s, c) && !old) {
			old = c;
		} else {
			daemonset_delete(s, c);
		}
	}
	if (fresh && old && (!old->ready || daemonset_is_available(s, fresh)))
		daemonset_delete(s, old);
}

static void daemonset_manage_node(struct daemonset *s, const struct daemonset_node *n)
{
	if (n->should && !n->n) {
		daemonset_create(s, n->name);
		return;
	}
	for (size_t i = 0; i < n->n; i++) {
		struct kid *c = n->pods[i];

		if (!n->may_stay)
			daemonset_delete(s, c);
		else if (c->phase >= POD_SUCCEEDED && !c->terminating)
			daemonset_remove_ended(s, n, c);
	}
	if (n->may_stay)
		daemonset_thin_out(s, n);
}

/* Unscheduled pods that are pinned to a node that is no more. */
static void daemonset_remove_lost(struct daemonset *s)
{
	_cleanup_free_ bool *found = xcalloc(s->pods.n + 1, sizeof(*found));

	for (size_t i = 0; i < s->nodes.n; i++)
		for (size_t k = 0; k < s->nodes.v[i].n; k++)
			found[s->nodes.v[i].pods - s->pods.v + (ptrdiff_t)k] = true;
	for (size_t i = 0; i < s->pods.n; i++)
		if (!found[i] && !s->pods.v[i]->node)
			daemonset_delete(s, s->pods.v[i]);
}

/* --- the rolling update --- */

/* The new and the old pod of a node; false: more than one of a kind, which is for daemonset_thin_out. */
static bool daemonset_pair(const struct daemonset *s, const struct daemonset_node *n, struct kid **fresh, struct kid **old)
{
	*fresh = *old = NULL;
	for (size_t i = 0; i < n->n; i++) {
		struct kid **which = daemonset_is_new(s, n->pods[i]) ? fresh : old;

		if (n->pods[i]->terminating)
			continue;
		if (*which)
			return false;
		*which = n->pods[i];
	}
	return true;
}

/* Those that are of no use are replaced at once, others as far as maxUnavailable leaves room beside them. */
static void daemonset_replace(struct daemonset *s)
{
	struct kid *fresh, *old;
	int64_t missing = 0;

	for (size_t i = 0; i < s->nodes.n; i++) {
		if (!s->nodes.v[i].n && !s->nodes.v[i].should)
			continue;
		if (!daemonset_pair(s, &s->nodes.v[i], &fresh, &old) || !fresh == !old)
			missing++;
		else if (fresh)
			missing += !daemonset_is_available(s, fresh);
		else if (!daemonset_is_available(s, old)) {
			daemonset_delete(s, old);
			missing++;
		}
	}
	for (size_t i = 0; i < s->nodes.n && missing < s->unavailable; i++) {
		if (!daemonset_pair(s, &s->nodes.v[i], &fresh, &old) || fresh || !daemonset_is_available(s, old))
			continue;
		daemonset_delete(s, old);
		missing++;
	}
}

static void daemonset_surge(struct daemonset *s)
{
	struct kid *fresh, *old;
	int64_t n = 0;

	for (size_t i = 0; i < s->nodes.n; i++) {
		if (!s->nodes.v[i].n)
			continue;
		if (!daemonset_pair(s, &s->nodes.v[i], &fresh, &old))
			n++;
		else if (old && fresh)
			n += !daemonset_is_available(s, fresh);
		else if (old && s->nodes.v[i].should && !daemonset_is_available(s, old))
			daemonset_create(s, s->nodes.v[i].name);
	}
	for (size_t i = 0; i < s->nodes.n && n < s->surge; i++) {
		if (!daemonset_pair(s, &s->nodes.v[i], &fresh, &old) || fresh || !s->nodes.v[i].should ||
		    !daemonset_is_available(s, old))
			continue;
		daemonset_create(s, s->nodes.v[i].name);
		n++;
	}
}

static bool daemonset_is_live(void *arg, struct obj *rev)
{
	const struct daemonset *s = arg;
	const char *hash = meta_label(obj_node(rev), HISTORY_POD_LABEL);

	for (size_t i = 0; hash && i < s->pods.n; i++)
		if (node_streq(node_getc(s->pods.v[i]->labels->set, HISTORY_POD_LABEL), hash))
			return true;
	return false;
}

static void daemonset_sync(struct daemonset *s, const struct ctl_view *v)
{
	plan_then(s->out);
	if (!history_write(&s->history, v, s->obj, HISTORY_POD_LABEL, s->out))
		return;
	for (size_t i = 0; i < s->nodes.n; i++)
		daemonset_manage_node(s, &s->nodes.v[i]);
	daemonset_remove_lost(s);
	if (s->rolling && s->budget == DAEMONSET_BURST) { /* what is there is in order */
		if (s->surge)
			daemonset_surge(s);
		else
			daemonset_replace(s);
	}
	history_trim(&s->history, s->obj, daemonset_is_live, s, s->out);
}

int daemonset_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct selector *sel = o ? ctl_selector(obj_node(o), e) : NULL;
	struct daemonset s;

	if (!o || err_is_set(e))
		return err_is_set(e) ? -e->code : 0;
	if (!sel || selector_is_everything(sel)) {
		plan_event(out, o, "Warning", "SelectingAll",
			   "This daemon set is selecting all pods. A non-empty selector is required.");
	} else if (!meta_is_deleting(obj_node(o))) {
		daemonset_load(&s, v, o, sel, out);
		s.out = out;
		daemonset_sync(&s, v);
		daemonset_release(&s);
	}
	selector_free(sel);
	return 0;
}

/* --- status --- */

struct daemonset_counts {
	int64_t desired, current, misplaced, ready, available, updated;
};

static void daemonset_count(const struct daemonset *s, const struct daemonset_node *n, struct daemonset_counts *c)
{
	const struct kid *first = NULL;
	bool updated = false, ready = false, available = false;

	for (size_t i = 0; i < n->n; i++) {
		if (n->pods[i]->terminating && n->pods[i]->phase >= POD_SUCCEEDED)
			continue;
		if (!first)
			first = n->pods[i];
		ready |= n->pods[i]->ready && !n->pods[i]->terminating;
		available |= daemonset_is_available(s, n->pods[i]);
		updated |= daemonset_is_new(s, n->pods[i]) && !n->pods[i]->terminating;
	}
	if (!n->should) {
		c->misplaced += first != NULL;
		return;
	}
	c->desired++;
	c->current += first != NULL;
	c->ready += ready;
	c->available += available;
	c->updated += updated;
}

static void daemonset_put(struct doc *d, struct node *status, enum field f, int64_t n)
{
	if (n)
		node_seti(d, status, f, n);
	else
		node_remove(status, f);
}

static void daemonset_status(struct daemonset *s, struct plan *out)
{
	struct daemonset_counts n = { 0 };
	struct doc *d = doc_clone(obj_doc(s->obj));
	struct node *status = node_need_object(d, doc_root(d), F_status);
	int64_t next = pods_next_available_ms(&s->pods, s->min_ready_s, s->now);

	for (size_t i = 0; i < s->nodes.n; i++)
		daemonset_count(s, &s->nodes.v[i], &n);
	node_seti(d, status, F_currentNumberScheduled, n.current);
	node_seti(d, status, F_numberMisscheduled, n.misplaced);
	node_seti(d, status, F_desiredNumberScheduled, n.desired);
	node_seti(d, status, F_numberReady, n.ready);
	daemonset_put(d, status, F_observedGeneration, node_int(node_get(meta_of(s->root), F_generation), 0));
	daemonset_put(d, status, F_updatedNumberScheduled, n.updated);
	daemonset_put(d, status, F_numberAvailable, n.available);
	daemonset_put(d, status, F_numberUnavailable, n.desired - n.available);
	if (next)
		plan_again(out, next);
	if (node_equal(status, node_get(s->root, F_status)))
		doc_unref(d);
	else
		plan_update(out, s->obj->res, s->obj->ns, s->obj->name, "status", d);
}

int daemonset_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct selector *sel = o ? ctl_selector(obj_node(o), e) : NULL;
	struct daemonset s;

	if (!o || err_is_set(e))
		return err_is_set(e) ? -e->code : 0;
	if (sel && !selector_is_everything(sel) && !meta_is_deleting(obj_node(o))) {
		daemonset_load(&s, v, o, sel, NULL);
		s.out = out;
		daemonset_status(&s, out);
		daemonset_release(&s);
	}
	selector_free(sel);
	return 0;
}
