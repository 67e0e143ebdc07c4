/*
 * What is said of a Deployment: counts, revision, and the conditions Available,
 * Progressing and ReplicaFailure with Kubernetes' reasons and words. Progressing
 * is False with ProgressDeadlineExceeded when nothing moved for
 * progressDeadlineSeconds; lastUpdateTime is when something last did.
 */
#include <stdio.h>

#include "base/time.h"
#include "ctl/deployment.h"

struct deployment_status {
	struct deployment *d;
	struct doc *doc;
	struct node *status, *conditions;
	const struct node *old; /* the status as it is */
	int64_t now;
	int64_t replicas, updated, ready, available, unavailable, terminating;
};

/* --- conditions --- */

static const struct node *status_condition(const struct deployment_status *x, const char *type)
{
	return cond_find(x->conditions, type);
}

static void status_drop(struct deployment_status *x, const char *type)
{
	struct node *c = (struct node *)status_condition(x, type);

	if (c)
		node_remove_child(x->conditions, c);
}

/* The same with the same reason stays as it is, unless renew: then it was updated now. */
static void status_set(struct deployment_status *x, const char *type, const char *status, const char *reason,
		       const char *message, bool renew)
{
	const struct node *old = status_condition(x, type);
	char now[TIME_RFC3339_LEN], since[TIME_RFC3339_LEN];
	struct node *c;

	if (old && !renew && node_streq(node_get(old, F_status), status) && node_streq(node_get(old, F_reason), reason))
		return;
	time_fmt_rfc3339(now, x->now);
	snprintf(since, sizeof(since), "%s",
		 old && node_streq(node_get(old, F_status), status) ? node_gets(old, F_lastTransitionTime) : now);
	status_drop(x, type);
	c = node_append(x->conditions, node_new(x->doc, DOC_OBJECT));
	node_sets(x->doc, c, F_type, type);
	node_sets(x->doc, c, F_status, status);
	node_sets(x->doc, c, F_lastUpdateTime, now);
	node_sets(x->doc, c, F_lastTransitionTime, since);
	node_sets(x->doc, c, F_reason, reason);
	node_sets(x->doc, c, F_message, message);
}

/* --- counts --- */

static void status_put(struct deployment_status *x, enum field f, int64_t n)
{
	if (n)
		node_seti(x->doc, x->status, f, n);
	else
		node_remove(x->status, f);
}

static void status_count(struct deployment_status *x)
{
	const struct deployment *d = x->d;

	for (size_t i = 0; i < d->sets.n; i++) {
		x->replicas += d->sets.v[i].replicas;
		x->ready += d->sets.v[i].ready;
		x->available += d->sets.v[i].available;
		x->terminating += d->sets.v[i].terminating;
	}
	x->updated = d->newest >= 0 ? d->sets.v[d->newest].replicas : 0;
	x->unavailable = deployment_sum_spec(d) - x->available;
	status_put(x, F_observedGeneration, node_int(node_get(meta_of(d->root), F_generation), 0));
	status_put(x, F_replicas, x->replicas);
	status_put(x, F_updatedReplicas, x->updated);
	status_put(x, F_readyReplicas, x->ready);
	status_put(x, F_availableReplicas, x->available);
	status_put(x, F_unavailableReplicas, x->unavailable > 0 ? x->unavailable : 0);
	node_seti(x->doc, x->status, F_terminatingReplicas, x->terminating);
	if (x->available >= d->replicas - d->unavailable)
		status_set(x, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", false);
	else
		status_set(x, "Available", "False", "MinimumReplicasUnavailable",
			   "Deployment does not have minimum availability.", false);
}

/* --- progress --- */

static int64_t status_deadline(const struct deployment *d)
{
	int64_t s = node_int(node_get(d->spec, F_progressDeadlineSeconds), INT32_MAX);

	return s == INT32_MAX ? -1 : s;
}

static int64_t status_time(const struct node *n)
{
	int64_t ns;

	return time_parse_rfc3339(node_str(n), &ns) ? ns / SEC_NS : 0;
}

static bool status_has_moved(const struct deployment_status *x)
{
	int64_t replicas = node_int(node_get(x->old, F_replicas), 0);
	int64_t updated = node_int(node_get(x->old, F_updatedReplicas), 0);

	return x->updated > updated || x->replicas - x->updated < replicas - updated ||
	       x->ready > node_int(node_get(x->old, F_readyReplicas), 0) ||
	       x->available > node_int(node_get(x->old, F_availableReplicas), 0);
}

static bool status_is_late(const struct deployment_status *x, const struct node *c)
{
	if (!c || node_streq(node_get(c, F_reason), "NewReplicaSetAvailable"))
		return false;
	if (node_streq(node_get(c, F_reason), "ProgressDeadlineExceeded"))
		return true;
	return status_time(node_get(c, F_lastUpdateTime)) + status_deadline(x->d) < x->now;
}

/* `ReplicaSet "x" has ...`, or of the Deployment while there is no new ReplicaSet. */
static void status_progress(struct deployment_status *x, const char *status, const char *reason, const char *what,
			    bool renew)
{
	const struct deployment_set *s = deployment_new_set(x->d);
	_cleanup_free_ char *text = xasprintf("%s \"%s\" %s", s ? "ReplicaSet" : "Deployment",
					      s ? s->obj->name : x->d->obj->name, what);

	status_set(x, "Progressing", status, reason, text, renew);
}

static void status_progressing(struct deployment_status *x)
{
	const struct node *c = status_condition(x, "Progressing");
	bool complete = deployment_is_complete(x->d);

	if (status_deadline(x->d) < 0) {
		status_drop(x, "Progressing");
		return;
	}
	if (c && x->replicas == x->updated && node_streq(node_get(c, F_reason), "NewReplicaSetAvailable"))
		return;
	if (complete)
		status_progress(x, "True", "NewReplicaSetAvailable", "has successfully progressed.", false);
	else if (status_has_moved(x))
		status_progress(x, "True", "ReplicaSetUpdated", "is progressing.", true);
	else if (status_is_late(x, c))
		status_progress(x, "False", "ProgressDeadlineExceeded", "has timed out progressing.", false);
}

/* What became of a new ReplicaSet that was to be made. */
static void status_new_set(struct deployment_status *x, const struct plan *did)
{
	const struct deployment_set *s = deployment_new_set(x->d);
	_cleanup_free_ char *text = NULL;

	if (status_deadline(x->d) < 0)
		return;
	for (size_t i = 0; i < did->ops.n; i++) {
		const struct plan_op *op = &did->ops.v[i];

		if (op->verb != VERB_CREATE || (!op->failure && !s))
			continue;
		text = op->failure ? xasprintf("%s%s", op->fail_text, op->failure) :
				     xasprintf("Created new replica set \"%s\"", s->obj->name);
		status_set(x, "Progressing", op->failure ? "False" : "True",
			   op->failure ? "ReplicaSetCreateError" : "NewReplicaSetCreated", text, false);
		return;
	}
	if (s && !status_condition(x, "Progressing")) {
		text = xasprintf("Found new replica set \"%s\"", s->obj->name);
		status_set(x, "Progressing", "True", "FoundNewReplicaSet", text, false);
	}
}

static void status_pause(struct deployment_status *x)
{
	const struct node *c = status_condition(x, "Progressing");
	bool said = c && node_streq(node_get(c, F_reason), "DeploymentPaused");

	if (status_deadline(x->d) < 0 || (c && node_streq(node_get(c, F_reason), "ProgressDeadlineExceeded")))
		return;
	if (x->d->paused && !said)
		status_set(x, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", false);
	else if (!x->d->paused && said)
		status_set(x, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", false);
}

/* --- failures of its ReplicaSets --- */

static const struct node *status_failure_of(const struct deployment_set *s)
{
	return s ? cond_find(node_path(s->root, F_status, F_conditions), "ReplicaFailure") : NULL;
}

static void status_failures(struct deployment_status *x)
{
	const struct node *c = status_failure_of(deployment_new_set(x->d));

	for (size_t i = 0; i < x->d->sets.n && !c; i++)
		c = status_failure_of(&x->d->sets.v[i]);
	if (c)
		status_set(x, "ReplicaFailure", node_gets(c, F_status), node_gets(c, F_reason), node_gets(c, F_message),
			   false);
	else
		status_drop(x, "ReplicaFailure");
}

/* --- the whole --- */

/* The Deployment's revision is that of its newest ReplicaSet. */
static void status_revision(struct deployment_status *x)
{
	const struct deployment_set *s = deployment_new_set(x->d);
	const char *revision = s ? meta_annotation(s->root, DEPLOYMENT_REVISION) : NULL;
	struct node *a, *meta = node_get(doc_root(x->doc), F_metadata);

	if (!revision || meta_is_deleting(x->d->root) ||
	    streq_null(meta_annotation(doc_root(x->doc), DEPLOYMENT_REVISION), revision))
		return;
	a = node_need_object(x->doc, meta, F_annotations);
	node_setk(x->doc, a, STR_LIT(DEPLOYMENT_REVISION), node_new_cstr(x->doc, revision));
}

/* When the deadline for progress passes. */
static void status_look_again(const struct deployment_status *x, struct plan *out)
{
	const struct node *c = status_condition(x, "Progressing");
	int64_t in;

	if (!c || status_deadline(x->d) < 0 || x->d->paused || deployment_is_complete(x->d) ||
	    node_streq(node_get(c, F_reason), "ProgressDeadlineExceeded") ||
	    node_streq(node_get(c, F_reason), "NewReplicaSetAvailable"))
		return;
	in = status_time(node_get(c, F_lastUpdateTime)) + status_deadline(x->d) - x->now;
	plan_again(out, (in < 0 ? 0 : in) * SEC_MS + SEC_MS);
}

static void status_write(struct deployment *d, const struct plan *did, struct plan *out)
{
	struct deployment_status x = { .d = d, .doc = doc_clone(obj_doc(d->obj)), .now = time_wall_s() };

	x.status = node_need_object(x.doc, doc_root(x.doc), F_status);
	x.old = node_get(d->root, F_status);
	x.conditions = node_need_array(x.doc, x.status, F_conditions);
	status_revision(&x);
	if (!meta_is_deleting(d->root)) {
		status_pause(&x);
		status_new_set(&x, did);
	}
	status_count(&x);
	if (!meta_is_deleting(d->root) && !d->paused) {
		status_progressing(&x);
		status_failures(&x);
	}
	status_look_again(&x, out);
	if (node_equal(doc_root(x.doc), d->root))
		doc_unref(x.doc);
	else
		plan_update(out, d->obj->res, d->obj->ns, d->obj->name, "status", x.doc);
}

/* One that selects everything is only told that it was seen. */
static void status_seen(struct obj *o, struct plan *out)
{
	int64_t generation = node_int(node_get(meta_of(obj_node(o)), F_generation), 0);
	struct doc *doc;

	if (node_int(node_path(obj_node(o), F_status, F_observedGeneration), 0) >= generation)
		return;
	doc = doc_clone(obj_doc(o));
	node_seti(doc, node_need_object(doc, doc_root(doc), F_status), F_observedGeneration, generation);
	plan_update(out, o->res, o->ns, o->name, "status", doc);
}

int deployment_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct selector *s = o ? ctl_selector(obj_node(o), e) : NULL;
	struct deployment d;

	if (!o || err_is_set(e))
		return err_is_set(e) ? -e->code : 0;
	if (!s || selector_is_everything(s)) {
		status_seen(o, out);
	} else {
		deployment_load(&d, v, o, s, NULL);
		status_write(&d, did, out);
		deployment_release(&d);
	}
	selector_free(s);
	return 0;
}
