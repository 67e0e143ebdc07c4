/*
 * Job: the pods that are made and removed (job.h has the whole picture).
 *
 * Reconcile claims pods, then only makes or only removes some. Once a verdict is
 * written it removes those that still run; before, it waits for settle to write it.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "base/time.h"
#include "ctl/job.h"

enum { JOB_BURST = 500, JOB_NAME_MAX = 63, JOB_SUFFIX = 5 };

#define JOB_ENV "JOB_COMPLETION_INDEX"

/* --- a pod --- */

static void job_pod_env(struct doc *d, const struct node *containers)
{
	NODE_FOREACH(c, containers)
	{
		struct node *env = node_need_array(d, c, F_env), *var;
		bool has = false;

		NODE_FOREACH(e, env)
			has |= node_streq(node_get(e, F_name), JOB_ENV);
		if (has)
			continue;
		var = node_append(env, node_new(d, DOC_OBJECT));
		node_sets(d, var, F_name, JOB_ENV);
		node_sets(d, node_need_object(d, node_need_object(d, var, F_valueFrom), F_fieldRef), F_fieldPath,
			  "metadata.labels['" KIDS_INDEX "']");
	}
}

static void job_pod_failures(const struct job *j, struct doc *d, struct node *annotations, int64_t index)
{
	const struct kid *last = job_last_of(j, index);
	int64_t failed = last ? job_index_failures(last) : 0, ignored = last ? job_index_ignored(last) : 0;

	if (last && job_failure_action(j->policy, obj_node(last->obj), NULL) == JOB_IGNORE)
		ignored++;
	else if (last)
		failed++;
	node_setk(d, annotations, STR_LIT(JOB_FAILURE_COUNT), node_new_fmt(d, "%lld", (long long)failed));
	if (ignored)
		node_setk(d, annotations, STR_LIT(JOB_IGNORED_COUNT), node_new_fmt(d, "%lld", (long long)ignored));
}

/* NAME-INDEX-, NAME cut where that and five more would be too long. */
static struct node *job_pod_prefix(const struct job *j, struct doc *d, int64_t index)
{
	_cleanup_free_ char *tail = xasprintf("-%lld-", (long long)index);
	int max = JOB_NAME_MAX - JOB_SUFFIX - (int)strlen(tail);

	return node_new_fmt(d, "%.*s%s", max, j->obj->name, tail);
}

static void job_pod_number(const struct job *j, struct doc *d, int64_t index)
{
	struct node *root = doc_root(d), *meta = node_get(root, F_metadata), *spec = node_need_object(d, root, F_spec);
	struct node *annotations = node_need_object(d, meta, F_annotations);

	node_setk(d, annotations, STR_LIT(KIDS_INDEX), node_new_fmt(d, "%lld", (long long)index));
	node_setk(d, node_need_object(d, meta, F_labels), STR_LIT(KIDS_INDEX),
		  node_new_fmt(d, "%lld", (long long)index));
	node_set(d, meta, F_generateName, job_pod_prefix(j, d, index));
	node_set(d, spec, F_hostname, node_new_fmt(d, "%s-%lld", j->obj->name, (long long)index));
	job_pod_env(d, node_get(spec, F_initContainers));
	job_pod_env(d, node_get(spec, F_containers));
	if (j->per_index)
		job_pod_failures(j, d, annotations, index);
}

struct doc *job_pod(const struct job *j, int64_t index)
{
	struct doc *d = pod_from_template(j->obj, node_get(j->spec, F_template));
	struct node *meta = node_get(doc_root(d), F_metadata), *finalizers = node_need_array(d, meta, F_finalizers);
	bool has = false;

	NODE_FOREACH(f, finalizers)
		has |= node_streq(f, KIDS_TRACKING);
	if (!has)
		node_append(finalizers, node_new_cstr(d, KIDS_TRACKING));
	if (index >= 0)
		job_pod_number(j, d, index);
	return d;
}

/* --- removing --- */

/* Those that are not wanted any more lose their finalizer first: they count for nothing. */
static void job_remove(const struct job *j, struct kid *const *pods, size_t n, struct plan *out)
{
	plan_then(out);
	for (size_t i = 0; i < n; i++) {
		struct node *meta;
		struct doc *d;

		if (!pods[i]->tracked)
			continue;
		d = pod_patch(pods[i], &meta);
		pod_patch_untrack(d, meta);
		plan_patch(out, pods[i]->obj->res, pods[i]->obj->ns, pods[i]->obj->name, PATCH_STRATEGIC, d);
	}
	plan_then(out);
	for (size_t i = 0; i < n; i++)
		pods_delete_one(out, j->obj, pods[i]);
}

static int job_index_order(const void *pa, const void *pb)
{
	const struct kid *a = *(struct kid *const *)pa, *b = *(struct kid *const *)pb;

	return a->index < b->index ? -1 : a->index > b->index;
}

/* Moves to rm those without a place of their own: no index, one that is out of range, or one that another has. */
static void job_sort_out(const struct job *j, kid_vec *pods, kid_vec *rm)
{
	kid_vec none = VEC_INIT, left = VEC_INIT, same = VEC_INIT;

	if (pods->n)
		qsort(pods->v, pods->n, sizeof(*pods->v), job_index_order);
	for (size_t i = 0; i < pods->n; i++) {
		if (!job_pod_fits(j, pods->v[i])) {
			VEC_PUSH(rm, pods->v[i]);
			continue;
		}
		VEC_PUSH(&same, pods->v[i]);
		if (i + 1 < pods->n && pods->v[i + 1]->index == pods->v[i]->index)
			continue;
		pods_sort_for_deletion(&same, &none, 0);
		for (size_t k = 0; k + 1 < same.n; k++)
			VEC_PUSH(rm, same.v[k]);
		VEC_PUSH(&left, same.v[same.n - 1]);
		same.n = 0;
	}
	VEC_RELEASE(&same);
	VEC_RELEASE(pods);
	*pods = left;
}

/* At least n of those that run; what is more than a burst follows, as they go. */
static void job_shrink(const struct job *j, size_t n, struct plan *out)
{
	kid_vec none = VEC_INIT, pods = VEC_INIT, rm = VEC_INIT;

	for (size_t i = 0; i < j->pods.n; i++)
		if (pod_is_active(j->pods.v[i]))
			VEC_PUSH(&pods, j->pods.v[i]);
	if (j->indexed)
		job_sort_out(j, &pods, &rm);
	if (rm.n < n) {
		pods_sort_for_deletion(&pods, &none, 0);
		for (size_t i = 0; i < pods.n && rm.n < n; i++)
			VEC_PUSH(&rm, pods.v[i]);
	}
	if (rm.n)
		job_remove(j, rm.v, rm.n < JOB_BURST ? rm.n : JOB_BURST, out);
	VEC_RELEASE(&pods);
	VEC_RELEASE(&rm);
}

/* It is decided: they keep their finalizer, and are counted as the verdict says. */
static void job_end_pods(const struct job *j, struct plan *out)
{
	size_t n = 0;

	plan_then(out);
	for (size_t i = 0; i < j->pods.n && n < JOB_BURST; i++) {
		if (!pod_is_active(j->pods.v[i]))
			continue;
		pods_delete_one(out, j->obj, j->pods.v[i]);
		n++;
	}
}

/* --- making --- */

static int64_t job_wait(const struct job *j, const struct ctl_view *v, const char *key)
{
	struct job_failures *f = job_memory(v->data, key, j->obj);

	for (size_t i = 0; i < j->pods.n; i++) {
		const struct kid *c = j->pods.v[i];

		if (!job_pod_fits(j, c))
			continue;
		if (c->phase == POD_SUCCEEDED)
			job_failures_forget(f, c->finished_s);
		else if (c->tracked ? job_pod_failed(j, c) : c->phase == POD_FAILED && !c->terminating)
			job_failures_note(f, hash_sip(str_of(c->obj->uid)), c->finished_s);
	}
	return j->per_index ? 0 : job_failures_wait_s(f, j->now);
}

/* Up to n indexes that have no pod and no outcome; those of them that have to wait are left out. */
static size_t job_pending(const struct job *j, size_t n, int64_t *ret, struct plan *out)
{
	job_indexes taken = VEC_INIT;
	int64_t soonest = 0;
	size_t found, kept = 0;

	job_indexes_push_all(&taken, &j->done);
	job_indexes_push_all(&taken, &j->lost);
	for (size_t i = 0; i < j->pods.n; i++) {
		const struct kid *c = j->pods.v[i];

		if (c->index >= 0 && (pod_is_active(c) || (j->only_failed && pod_is_terminating(c))))
			job_indexes_push(&taken, c->index, c->index);
	}
	job_indexes_tidy(&taken);
	found = job_indexes_missing(&taken, j->completions, n, ret);
	VEC_RELEASE(&taken);
	for (size_t i = 0; i < found; i++) {
		int64_t wait = job_last_wait_s(j, job_last_of(j, ret[i]));

		if (!wait)
			ret[kept++] = ret[i];
		else if (!soonest || wait < soonest)
			soonest = wait;
	}
	if (soonest)
		plan_again(out, soonest * SEC_MS);
	return kept;
}

static void job_grow(const struct job *j, size_t n, struct plan *out)
{
	struct pods_batch batch = { 0 };
	int64_t indexes[JOB_BURST];

	if (n > JOB_BURST)
		n = JOB_BURST;
	if (j->indexed)
		n = job_pending(j, n, indexes, out);
	for (size_t i = 0; i < n; i++) {
		pods_batch_next(out, &batch);
		pods_create_one(out, j->obj, job_pod(j, j->indexed ? indexes[i] : -1));
	}
}

int64_t job_want(const struct job *j)
{
	int64_t left = j->completions - j->succeeded;

	if (j->suspended)
		return 0;
	if (j->completions < 0)
		return j->succeeded ? j->active : j->parallelism;
	return left < 0 ? 0 : left < j->parallelism ? left : j->parallelism;
}

static void job_manage(const struct job *j, const struct ctl_view *v, const char *key, struct plan *out)
{
	int64_t want = job_want(j), wait = job_wait(j, v, key), more;
	size_t ops = out->ops.n;

	job_shrink(j, want < j->active ? (size_t)(j->active - want) : 0, out);
	if (out->ops.n > ops || j->suspended)
		return;
	more = want - j->active - (j->only_failed ? j->terminating : 0);
	if (more <= 0)
		return;
	if (wait)
		plan_again(out, wait * SEC_MS);
	else
		job_grow(j, (size_t)more, out);
}

int job_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct obj *o = ctl_find(v->of[0], key);
	struct selector *s;
	struct job j;

	if (!o || job_is_over(obj_node(o))) {
		job_memory_drop(v->data, key);
		return 0;
	}
	if (!job_is_ours(obj_node(o)))
		return 0;
	s = ctl_selector(obj_node(o), e);
	if (!s)
		return err_is_set(e) ? -e->code : 0;
	job_load(&j, v, o, s, out);
	selector_free(s);
	if (out->ops.n) /* claims: the caches are to show them first */
		;
	else if (j.verdict.written)
		job_end_pods(&j, out);
	else if (!j.verdict.type && !j.deleting)
		job_manage(&j, v, key, out);
	job_release(&j);
	return 0;
}
