/*
 * Deployments: ReplicaSets, one for each template, with their replicas moved from
 * the old ones to the new one.
 *
 * Reconcile writes ReplicaSets only: it adopts, makes the new one (named by a hash
 * of its template, with collisionCount in it), numbers it, moves replicas one step
 * (rollout.c) and removes old ones beyond revisionHistoryLimit. Settle
 * (deployment-status.c) then writes status, revision and conditions.
 */
#include "ctl/deployment.h"

#include <stdlib.h>

#include "ctl/pods.h"

#define DEPLOYMENT_HISTORY_BYTES 2000 /* of the annotation revision-history */
#define DEPLOYMENT_NAME_MAX 253

/* --- seeing --- */

static int64_t deployment_annotation(const struct node *root, const char *name)
{
	const char *s = meta_annotation(root, name);
	int64_t n;

	return s && str_to_i64(str_of(s), &n) ? n : -1;
}

static struct deployment_set deployment_set_of(const struct kid *c)
{
	struct deployment_set s = { .obj = c->obj, .root = obj_node(c->obj), .created_s = c->created_s };
	const struct node *status = node_get(s.root, F_status);

	s.spec = s.want = node_int(node_path(s.root, F_spec, F_replicas), 1);
	s.replicas = node_int(node_get(status, F_replicas), 0);
	s.ready = node_int(node_get(status, F_readyReplicas), 0);
	s.available = node_int(node_get(status, F_availableReplicas), 0);
	s.terminating = node_int(node_get(status, F_terminatingReplicas), 0);
	s.desired = deployment_annotation(s.root, DEPLOYMENT_ANNOTATION "desired-replicas");
	s.max = deployment_annotation(s.root, DEPLOYMENT_ANNOTATION "max-replicas");
	s.revision = deployment_annotation(s.root, DEPLOYMENT_REVISION);
	if (s.revision < 0)
		s.revision = 0;
	return s;
}

static int deployment_by_age(const void *pa, const void *pb)
{
	const struct deployment_set *a = pa, *b = pb;

	if (a->created_s != b->created_s)
		return a->created_s < b->created_s ? -1 : 1;
	return strcmp(a->obj->name, b->obj->name);
}

bool deployment_same_template(const struct node *set, const struct node *ours)
{
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *copy = node_copy(d, set), *meta = node_get(copy, F_metadata), *labels = node_get(meta, F_labels);

	if (!node_equal(node_get(copy, F_spec), node_get(ours, F_spec)))
		return false;
	node_removek(labels, STR_LIT(DEPLOYMENT_HASH_LABEL));
	if (!node_count(labels) && !node_path(ours, F_metadata, F_labels))
		node_remove(meta, F_labels);
	return node_equal(meta, node_get(ours, F_metadata));
}

static void deployment_bounds(struct deployment *d)
{
	const struct node *ru = node_path(d->spec, F_strategy, F_rollingUpdate);

	d->rolling = !node_streq(node_path(d->spec, F_strategy, F_type), "Recreate");
	if (!d->rolling)
		return;
	d->surge = intstr_of(node_get(ru, F_maxSurge), d->replicas, true, 0);
	if (d->replicas == 0)
		return;
	d->unavailable = intstr_of(node_get(ru, F_maxUnavailable), d->replicas, false, 0);
	if (d->surge == 0 && d->unavailable == 0)
		d->unavailable = 1; /* percentages that rounding made nothing of; nothing would ever move */
	if (d->unavailable > d->replicas)
		d->unavailable = d->replicas;
}

void deployment_load(struct deployment *d, const struct ctl_view *v, struct obj *o, const struct selector *s,
		     struct plan *p)
{
	kid_vec kids = VEC_INIT;

	*d = (struct deployment){ .obj = o, .root = obj_node(o), .newest = -1 };
	d->spec = node_get(d->root, F_spec);
	d->replicas = node_int(node_get(d->spec, F_replicas), 1);
	d->paused = node_bool(node_get(d->spec, F_paused), false);
	deployment_bounds(d);
	kids_claim(v->kids[CTL_REPLICASETS], o, s, NULL, p, &kids);
	for (size_t i = 0; i < kids.n; i++)
		VEC_PUSH(&d->sets, deployment_set_of(kids.v[i]));
	VEC_RELEASE(&kids);
	if (d->sets.n)
		qsort(d->sets.v, d->sets.n, sizeof(*d->sets.v), deployment_by_age);
	for (size_t i = 0; i < d->sets.n && d->newest < 0; i++)
		if (deployment_same_template(node_path(d->sets.v[i].root, F_spec, F_template),
					     node_get(d->spec, F_template)))
			d->newest = (ssize_t)i;
}

void deployment_release(struct deployment *d)
{
	VEC_RELEASE(&d->sets);
}

int64_t deployment_sum_spec(const struct deployment *d)
{
	int64_t n = 0;

	for (size_t i = 0; i < d->sets.n; i++)
		n += d->sets.v[i].spec;
	return n;
}

int64_t deployment_next_revision(const struct deployment *d)
{
	int64_t max = 0;

	for (size_t i = 0; i < d->sets.n; i++)
		if ((ssize_t)i != d->newest && d->sets.v[i].revision > max)
			max = d->sets.v[i].revision;
	return max + 1;
}

bool deployment_is_complete(const struct deployment *d)
{
	int64_t replicas = 0, available = 0;

	for (size_t i = 0; i < d->sets.n; i++) {
		replicas += d->sets.v[i].replicas;
		available += d->sets.v[i].available;
	}
	return d->newest >= 0 && d->sets.v[d->newest].replicas == d->replicas && replicas == d->replicas &&
	       available == d->replicas;
}

/* --- the new ReplicaSet --- */

/* Over the template's text and the count of collisions. */
static char *deployment_hash(const struct deployment *d)
{
	const struct node *collisions = node_path(d->root, F_status, F_collisionCount);
	_cleanup_buf_ struct buf b = BUF_INIT;

	doc_print_json(&b, node_get(d->spec, F_template), DOC_PRINT_SORTED);
	if (collisions)
		buf_addf(&b, "%lld", (long long)node_int(collisions, 0));
	return pod_hash(buf_str(&b));
}

static char *deployment_set_name(const struct deployment *d, const char *hash)
{
	return xasprintf("%.*s-%s", (int)(DEPLOYMENT_NAME_MAX - 1 - strlen(hash)), d->obj->name, hash);
}

bool deployment_keeps_annotation(struct str key)
{
	static const char *const own[] = { "kubectl.kubernetes.io/last-applied-configuration", DEPLOYMENT_REVISION,
					   DEPLOYMENT_ANNOTATION "revision-history", DEPLOYMENT_ANNOTATION "desired-replicas",
					   DEPLOYMENT_ANNOTATION "max-replicas",
					   "deprecated.deployment.rollback.to" };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		if (str_eqc(key, own[i]))
			return false;
	return true;
}

static void deployment_set_annotation(struct doc *d, struct node *root, const char *key, int64_t n)
{
	struct node *a = node_need_object(d, node_need_object(d, root, F_metadata), F_annotations);

	node_setk(d, a, str_of(key), node_new_fmt(d, "%lld", (long long)n));
}

static void deployment_annotate_size(const struct deployment *d, struct doc *doc, struct node *root)
{
	deployment_set_annotation(doc, root, DEPLOYMENT_ANNOTATION "desired-replicas", d->replicas);
	deployment_set_annotation(doc, root, DEPLOYMENT_ANNOTATION "max-replicas", d->replicas + d->surge);
}

/* The Deployment's annotations (change-cause and others) go along. */
static void deployment_copy_annotations(const struct deployment *d, struct doc *doc, struct node *root)
{
	struct node *a;

	NODE_FOREACH(c, node_get(meta_of(d->root), F_annotations)) {
		if (!deployment_keeps_annotation(node_key(c)))
			continue;
		a = node_need_object(doc, node_need_object(doc, root, F_metadata), F_annotations);
		if (!node_equal(node_getk(a, node_key(c)), c))
			node_setk(doc, a, node_key(c), node_copy(doc, c));
	}
}

/* A ReplicaSet that comes back into use remembers the numbers that it had. */
static void deployment_remember(struct doc *doc, struct node *root, int64_t revision)
{
	const char *history = meta_annotation(root, DEPLOYMENT_ANNOTATION "revision-history");
	struct str old = str_of(history ? history : "");
	struct node *a = node_need_object(doc, node_need_object(doc, root, F_metadata), F_annotations);

	while (old.n > DEPLOYMENT_HISTORY_BYTES)
		str_cut(&old, ',');
	node_setk(doc, a, STR_LIT(DEPLOYMENT_ANNOTATION "revision-history"),
		  node_new_fmt(doc, "%" STR_FMT "%s%lld", STR_ARG(old), old.n ? "," : "", (long long)revision));
}

static void deployment_label(struct doc *doc, struct node *owner, enum field f, const char *hash)
{
	node_setk(doc, node_need_object(doc, owner, f), STR_LIT(DEPLOYMENT_HASH_LABEL), node_new_cstr(doc, hash));
}

static struct doc *deployment_new_doc(const struct deployment *d, const char *name, const char *hash, int64_t replicas)
{
	struct doc *doc = doc_new();
	struct node *root = node_new(doc, DOC_OBJECT), *meta, *spec, *tmpl;

	doc_set_root(doc, root);
	node_sets(doc, root, F_apiVersion, "apps/v1");
	node_sets(doc, root, F_kind, "ReplicaSet");
	meta = node_need_object(doc, root, F_metadata);
	node_sets(doc, meta, F_name, name);
	spec = node_need_object(doc, root, F_spec);
	node_seti(doc, spec, F_replicas, replicas);
	if (node_get(d->spec, F_minReadySeconds))
		node_set(doc, spec, F_minReadySeconds, node_copy(doc, node_get(d->spec, F_minReadySeconds)));
	node_set(doc, spec, F_selector, node_copy(doc, node_get(d->spec, F_selector)));
	deployment_label(doc, node_get(spec, F_selector), F_matchLabels, hash);
	tmpl = node_set(doc, spec, F_template, node_copy(doc, node_get(d->spec, F_template)));
	deployment_label(doc, node_need_object(doc, tmpl, F_metadata), F_labels, hash);
	node_set(doc, meta, F_labels, node_copy(doc, node_path(tmpl, F_metadata, F_labels)));
	deployment_copy_annotations(d, doc, root);
	deployment_set_annotation(doc, root, DEPLOYMENT_REVISION, deployment_next_revision(d));
	deployment_annotate_size(d, doc, root);
	pod_set_controller(doc, meta, d->obj);
	return doc;
}

/* Another object has the name that ours would get: count it, so that the next is another. */
static void deployment_collided(const struct deployment *d, struct plan *out)
{
	struct doc *doc = doc_clone(obj_doc(d->obj));
	struct node *status = node_need_object(doc, doc_root(doc), F_status);

	node_seti(doc, status, F_collisionCount, node_int(node_get(status, F_collisionCount), 0) + 1);
	plan_update(out, d->obj->res, d->obj->ns, d->obj->name, "status", doc);
}

static void deployment_make_new(const struct ctl_view *v, const struct deployment *d, struct plan *out)
{
	_cleanup_free_ char *hash = deployment_hash(d), *name = NULL, *done = NULL, *failed = NULL;
	int64_t replicas = rollout_new_replicas(d, 0);

	name = deployment_set_name(d, hash);
	if (informer_find(v->of[1], d->obj->ns, name)) {
		deployment_collided(d, out);
		return;
	}
	done = xasprintf("Scaled up replica set %s from 0 to %lld", name, (long long)replicas);
	failed = xasprintf("Failed to create new replica set \"%s\": ", name);
	plan_then(out);
	plan_create(out, schema_res("apps", "replicasets"), d->obj->ns, deployment_new_doc(d, name, hash, replicas));
	plan_say(out, d->obj, replicas > 0 ? "ScalingReplicaSet" : NULL, done, "ReplicaSetCreateError", failed);
}

/* --- writing ReplicaSets --- */

/* Brings what the new one says about the Deployment up to date. */
static void deployment_number(const struct deployment *d, struct doc *doc)
{
	const struct deployment_set *s = &d->sets.v[d->newest];
	int64_t revision = deployment_next_revision(d);
	struct node *root = doc_root(doc);
	const struct node *min_ready = node_get(d->spec, F_minReadySeconds);

	deployment_copy_annotations(d, doc, root);
	if (s->revision < revision) {
		if (s->revision)
			deployment_remember(doc, root, s->revision);
		deployment_set_annotation(doc, root, DEPLOYMENT_REVISION, revision);
	}
	if (node_int(min_ready, 0) != node_int(node_path(root, F_spec, F_minReadySeconds), 0))
		node_seti(doc, node_get(root, F_spec), F_minReadySeconds, node_int(min_ready, 0));
}

/* Writes what is to be changed of each; sized: also the annotations that say for what size they are. */
static bool deployment_write_sets(const struct deployment *d, bool sized, struct plan *out)
{
	bool scaled = false;

	plan_then(out);
	for (size_t i = 0; i < d->sets.n; i++) {
		const struct deployment_set *s = &d->sets.v[i];
		_cleanup_doc_ struct doc *doc = doc_clone(obj_doc(s->obj));
		_cleanup_free_ char *text = NULL;

		if ((ssize_t)i == d->newest)
			deployment_number(d, doc);
		if (s->want != s->spec || (sized && s->spec > 0))
			deployment_annotate_size(d, doc, doc_root(doc));
		if (s->want != s->spec)
			node_seti(doc, node_get(doc_root(doc), F_spec), F_replicas, s->want);
		if (node_equal(doc_root(doc), s->root))
			continue;
		plan_update(out, s->obj->res, s->obj->ns, s->obj->name, NULL, take_ptr(&doc));
		if (s->want == s->spec)
			continue;
		scaled = true;
		text = xasprintf("Scaled %s replica set %s from %lld to %lld", s->want > s->spec ? "up" : "down", s->obj->name,
				 (long long)s->spec, (long long)s->want);
		plan_say(out, d->obj, "ScalingReplicaSet", text, NULL, NULL);
	}
	return scaled;
}

static int deployment_by_revision(const void *pa, const void *pb)
{
	const struct deployment_set *a = *(struct deployment_set *const *)pa, *b = *(struct deployment_set *const *)pb;

	if (a->revision != b->revision)
		return a->revision < b->revision ? -1 : 1;
	return deployment_by_age(a, b);
}

static void deployment_clean_up(struct deployment *d, struct plan *out)
{
	const struct node *limit = node_get(d->spec, F_revisionHistoryLimit);
	_cleanup_free_ struct deployment_set **old = xcalloc(d->sets.n + 1, sizeof(struct deployment_set *));
	size_t n = 0, keep = (size_t)node_int(limit, INT32_MAX);

	for (size_t i = 0; i < d->sets.n; i++)
		if ((ssize_t)i != d->newest && !meta_is_deleting(d->sets.v[i].root))
			old[n++] = &d->sets.v[i];
	qsort(old, n, sizeof(*old), deployment_by_revision);
	for (size_t i = 0; i + keep < n; i++) {
		const struct deployment_set *s = old[i];
		int64_t seen = node_int(node_path(s->root, F_status, F_observedGeneration), 0);

		if (s->replicas || s->spec || s->want || node_int(node_get(meta_of(s->root), F_generation), 0) > seen)
			continue;
		plan_delete(out, s->obj->res, s->obj->ns, s->obj->name, s->obj->uid);
	}
}

/* --- Recreate --- */

static bool deployment_old_pods_run(const struct ctl_view *v, const struct deployment *d)
{
	for (size_t i = 0; i < d->sets.n; i++) {
		const struct kid_owner *pods;
		struct kid *c;

		if ((ssize_t)i == d->newest)
			continue;
		if (d->sets.v[i].replicas > 0)
			return true;
		pods = kids_of(v->kids[CTL_PODS], d->obj->ns, d->sets.v[i].obj->uid);
		if (pods)
			TAILQ_FOREACH(c, &pods->list, link)
				if (c->phase < POD_SUCCEEDED)
					return true;
	}
	return false;
}

static void deployment_recreate(const struct ctl_view *v, struct deployment *d, struct plan *out)
{
	bool scaled;

	for (size_t i = 0; i < d->sets.n; i++)
		if ((ssize_t)i != d->newest)
			d->sets.v[i].want = 0;
	scaled = deployment_write_sets(d, false, out);
	if (scaled || deployment_old_pods_run(v, d))
		return;
	if (d->newest < 0) {
		deployment_make_new(v, d, out);
		return;
	}
	deployment_new_set(d)->want = d->replicas;
	if (deployment_new_set(d)->spec != d->replicas)
		deployment_write_sets(d, false, out);
	else if (deployment_is_complete(d))
		deployment_clean_up(d, out);
}

/* --- the whole --- */

static void deployment_sync(const struct ctl_view *v, struct deployment *d, struct plan *out)
{
	int64_t revision;

	if (meta_is_deleting(d->root))
		return;
	if (!d->paused && d->newest >= 0 && deployment_rolls_back(d, &revision)) {
		deployment_rollback(d, revision, out);
	} else if (d->paused || rollout_is_scaling(d)) {
		rollout_scale(d);
		deployment_write_sets(d, true, out);
		if (d->paused)
			deployment_clean_up(d, out);
	} else if (!d->rolling) {
		deployment_recreate(v, d, out);
	} else if (d->newest < 0) {
		deployment_make_new(v, d, out);
	} else {
		rollout_rolling(d);
		if (!deployment_write_sets(d, false, out) && deployment_is_complete(d))
			deployment_clean_up(d, out);
	}
}

int deployment_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct selector *s = o ? ctl_selector(obj_node(o), e) : NULL;
	struct deployment d;

	if (!o || err_is_set(e))
		return err_is_set(e) ? -e->code : 0;
	if (!s || selector_is_everything(s)) {
		plan_event(out, o, "Warning", "SelectingAll",
			   "This deployment is selecting all pods. A non-empty selector is required.");
	} else {
		deployment_load(&d, v, o, s, out);
		deployment_sync(v, &d, out);
		deployment_release(&d);
	}
	selector_free(s);
	return 0;
}
