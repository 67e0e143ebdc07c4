/*
 * spec.rollbackTo of a Deployment, of versions that Kubernetes dropped: the template
 * of an earlier revision becomes the Deployment's again. It is stored as an
 * annotation, and removed whatever came of it.
 */
#include "ctl/deployment.h"

#define ROLLBACK_TO "deprecated.deployment.rollback.to"

/* The revision before the newest; 0: there is none. */
static int64_t rollback_last(const struct deployment *d, int64_t newest)
{
	int64_t max = 0, second = 0;

	for (size_t i = 0; i < d->sets.n; i++) {
		int64_t v = (ssize_t)i == d->newest ? newest : d->sets.v[i].revision;

		if (v >= max) {
			second = max;
			max = v;
		} else if (v > second) {
			second = v;
		}
	}
	return second;
}

static const struct deployment_set *rollback_find(const struct deployment *d, int64_t revision, int64_t newest)
{
	for (size_t i = 0; i < d->sets.n; i++)
		if (((ssize_t)i == d->newest ? newest : d->sets.v[i].revision) == revision)
			return &d->sets.v[i];
	return NULL;
}

/* What the earlier ReplicaSet was annotated with, and what is the Deployment's alone. */
static void rollback_annotate(const struct deployment *d, const struct deployment_set *s, struct doc *doc)
{
	struct node *notes = node_new(doc, DOC_OBJECT), *meta = node_need_object(doc, doc_root(doc), F_metadata);

	NODE_FOREACH(a, node_get(meta_of(d->root), F_annotations))
		if (!deployment_keeps_annotation(node_key(a)))
			node_setk(doc, notes, node_key(a), node_copy(doc, a));
	NODE_FOREACH(a, node_get(meta_of(s->root), F_annotations))
		if (deployment_keeps_annotation(node_key(a)))
			node_setk(doc, notes, node_key(a), node_copy(doc, a));
	node_set(doc, meta, F_annotations, notes);
}

static void rollback_take_template(const struct deployment_set *s, struct doc *doc)
{
	struct node *spec = node_need_object(doc, doc_root(doc), F_spec), *labels, *tmpl;

	tmpl = node_set(doc, spec, F_template, node_copy(doc, node_path(s->root, F_spec, F_template)));
	labels = node_get(node_get(tmpl, F_metadata), F_labels);
	node_removek(labels, STR_LIT(DEPLOYMENT_HASH_LABEL));
}

static void rollback_to(const struct deployment *d, int64_t revision, int64_t newest, struct plan *out)
{
	const struct deployment_set *s = rollback_find(d, revision, newest);
	bool same = s && deployment_same_template(node_path(s->root, F_spec, F_template), node_get(d->spec, F_template));
	_cleanup_free_ char *done = NULL;
	struct doc *doc = doc_clone(obj_doc(d->obj));

	if (!revision)
		plan_event(out, d->obj, "Warning", "DeploymentRollbackRevisionNotFound", "Unable to find last revision.");
	else if (!s)
		plan_event(out, d->obj, "Warning", "DeploymentRollbackRevisionNotFound",
			   "Unable to find the revision to rollback to.");
	else if (same)
		plan_event(out, d->obj, "Warning", "DeploymentRollbackTemplateUnchanged",
			   "The rollback revision contains the same template as current deployment \"%s\"", d->obj->name);
	if (s && revision && !same) {
		done = xasprintf("Rolled back deployment \"%s\" to revision %lld", d->obj->name, (long long)revision);
		rollback_take_template(s, doc);
		rollback_annotate(d, s, doc);
	}
	node_removek(node_get(node_get(doc_root(doc), F_metadata), F_annotations), STR_LIT(ROLLBACK_TO));
	plan_update(out, d->obj->res, d->obj->ns, d->obj->name, NULL, doc);
	plan_say(out, d->obj, done ? "DeploymentRollback" : NULL, done, NULL, NULL);
}

bool deployment_rolls_back(const struct deployment *d, int64_t *ret_revision)
{
	const char *to = meta_annotation(d->root, ROLLBACK_TO);

	return to && str_to_i64(str_of(to), ret_revision);
}

void deployment_rollback(const struct deployment *d, int64_t revision, struct plan *out)
{
	int64_t newest = deployment_next_revision(d); /* which that of today's template has, or is about to get */

	if (d->sets.v[d->newest].revision > newest)
		newest = d->sets.v[d->newest].revision;
	rollback_to(d, revision ? revision : rollback_last(d, newest), newest, out);
}
