/*
 * Pods that still have a Job's finalizer though no Job will take it off any more:
 * theirs is gone or over, or they were let go with the finalizer on. Without this
 * they could not go themselves.
 *
 * The keys are pods, "ns/name", and Jobs, "ns/name/job".
 */
#include "ctl/job.h"

void job_finalizers_key(struct obj *o, struct buf *out)
{
	if (obj_json_has(o, "\"" KIDS_TRACKING "\""))
		ctl_key_self(o, out);
}

void job_finalizers_key_of_job(struct obj *o, struct buf *out)
{
	ctl_key_self(o, out);
	buf_adds(out, "/job");
}

static bool job_is_stray(const struct ctl_view *v, const struct kid *c)
{
	const struct node *ref = meta_controller(obj_node(c->obj));
	struct obj *o;

	if (!ref)
		return true;
	if (!node_streq(node_get(ref, F_kind), "Job") || !node_streq(node_get(ref, F_apiVersion), "batch/v1"))
		return false;
	o = informer_find(v->of[1], c->obj->ns, node_gets(ref, F_name));
	if (!o || !node_streq(node_get(ref, F_uid), o->uid))
		return true;
	return job_is_ours(obj_node(o)) && job_is_over(obj_node(o));
}

struct job_strays {
	const struct ctl_view *v;
	struct plan *out;
};

/* Exactly as it is now: it may be adopted in this moment, and then it keeps the finalizer. */
static void job_free_stray(void *arg, struct kid *c)
{
	struct job_strays *x = arg;
	struct node *meta;
	struct doc *d;

	if (!c->tracked || !job_is_stray(x->v, c))
		return;
	d = pod_patch(c, &meta);
	pod_patch_untrack(d, meta);
	node_set(d, meta, F_resourceVersion, node_new_fmt(d, "%lld", (long long)c->obj->rv));
	plan_patch(x->out, c->obj->res, c->obj->ns, c->obj->name, PATCH_STRATEGIC, d);
}

int job_finalizers_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e)
{
	struct job_strays x = { v, out };
	struct str rest = str_of(key), ns = str_cut(&rest, '/'), name = str_cut(&rest, '/');
	_cleanup_free_ char *in = str_dup(ns), *of = str_dup(name);
	struct obj *o = informer_find(v->of[rest.p ? 1 : 0], in, of);
	struct kid *c;

	if (!rest.p) {
		c = o ? kids_find(v->kids[CTL_PODS], o->uid) : NULL;
		if (c)
			job_free_stray(&x, c);
	} else if (!o || job_is_over(obj_node(o))) {
		kids_of_name(v->kids[CTL_PODS], in, "Job", of, job_free_stray, &x);
	}
	return 0;
}
