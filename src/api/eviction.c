/*
 * The eviction of a pod: a delete that asks the pod's PodDisruptionBudget first.
 *
 *	free	pods that have not begun, are over or are to go already; and such as
 *		are not ready, when the budget says so or is healthy without them
 *	counted	all others: one is taken off the budget's disruptionsAllowed, and the
 *		pod noted in its disruptedPods, in one write that decides when it is its
 *		turn, so two evictions never share what is left for one. Then the pod
 *		is deleted. An eviction that fails after that gives nothing back: the
 *		controller does, in time.
 *
 * A pod that needed not be counted is looked at again when it is the delete's turn.
 */
#include "api/internal.h"

#include "base/time.h"
#include "schema/disruption.h"

#define EVICTION_MAX_DISRUPTED 2000 /* entries of disruptedPods: more, and the controller does not keep up */
#define EVICTION_RETRY_S 10

struct eviction { /* one that is counted; in the request's arena */
	struct store_write write; /* of the budget */
	struct req *r;
};

static int eviction_refused(struct err *e, const char *budget, const char *fmt, ...) ATTR_PRINTF(3, 4);
static int eviction_refused(struct err *e, const char *budget, const char *fmt, ...)
{
	_cleanup_free_ char *why = NULL;
	va_list ap;

	va_start(ap, fmt);
	why = xvasprintf(fmt, ap);
	va_end(ap);
	err_set(e, ERR_TOO_MANY_REQUESTS, "Cannot evict pod as it would violate the pod's disruption budget.");
	err_add_cause(e, "DisruptionBudget", "", "The disruption budget %s %s", budget, why);
	return -e->code;
}

static int eviction_not_yet(struct err *e, const char *budget)
{
	eviction_refused(e, budget, "is still being processed by the server.");
	e->retry_after_s = EVICTION_RETRY_S;
	return -e->code;
}

/* --- the budget's part --- */

static int budget_check(struct obj *o, struct err *e)
{
	const struct node *root = obj_node(o), *status = node_get(root, F_status);
	int64_t allowed = node_int(node_get(status, F_disruptionsAllowed), 0);
	struct resource as = *o->res;

	as.plural = as.singular; /* Kubernetes says it so here */
	if (node_int(node_get(status, F_observedGeneration), 0) < node_int(node_get(meta_of(root), F_generation), 0))
		return eviction_not_yet(e, o->name);
	if (allowed < 0)
		return err_forbidden(e, &as, o->name, "pdb disruptions allowed is negative");
	if (node_count(node_get(status, F_disruptedPods)) > EVICTION_MAX_DISRUPTED)
		return err_forbidden(e, &as, o->name,
				     "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
	if (allowed > 0)
		return 0;
	return eviction_refused(e, o->name, "needs %lld healthy pods and has %lld currently",
				(long long)node_int(node_get(status, F_desiredHealthy), 0),
				(long long)node_int(node_get(status, F_currentHealthy), 0));
}

static int budget_apply(struct store_write *w, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	struct eviction *v = CONTAINER_OF(w, struct eviction, write);
	char now[TIME_RFC3339_LEN];
	struct node *status;
	struct doc *d;

	(void)remove;
	if (!cur)
		return 0; /* it went meanwhile, and forbids nothing */
	if (budget_check(cur, e) < 0)
		return -e->code;
	d = doc_clone(obj_doc(cur));
	status = node_need_object(d, doc_root(d), F_status);
	node_seti(d, status, F_disruptionsAllowed, node_int(node_get(status, F_disruptionsAllowed), 0) - 1);
	if (!node_int(node_get(status, F_disruptionsAllowed), 0))
		disruption_update_condition(d, status);
	node_setk(d, node_need_object(d, status, F_disruptedPods), str_of(v->r->at.name),
		  node_new_cstr(d, time_fmt_rfc3339(now, time_wall_s())));
	*out = d;
	return 0;
}

static void budget_written(struct store_write *w, struct obj *o, const struct err *err)
{
	struct req *r = CONTAINER_OF(w, struct eviction, write)->r;
	struct err copy = ERR_INIT;

	(void)o;
	watch_note_write(r->api);
	if (err)
		err_copy(&copy, err);
	else if (r->api->closing)
		err_set(&copy, ERR_SERVICE_UNAVAILABLE, "the server is stopping");
	else if (req_store(r, r->at.ns, r->at.name, &copy) == STEP_WAIT)
		return;
	req_resume(r, &copy);
}

/* --- which budget --- */

struct budget_search {
	const struct node *labels;
};

static bool budget_covers(void *arg, struct obj *o)
{
	struct budget_search *s = arg;
	struct selector *sel = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	bool yes;

	if (selector_from_node(&sel, node_path(obj_node(o), F_spec, F_selector), &e) < 0)
		return false;
	yes = selector_match(sel, s->labels);
	selector_free(sel);
	return yes;
}

/* *ret: the one budget of the pod, referenced; NULL: none. */
static int budget_find(struct req *r, struct obj *pod, struct obj **ret, struct err *e)
{
	struct budget_search s = { meta_labels(obj_node(pod)) };
	struct store_list l = { .res = schema_res("policy", "poddisruptionbudgets"), .ns = pod->ns, .match = budget_covers,
				.arg = &s };
	int rc = 0;

	*ret = NULL;
	if (!store_count(r->api->store, l.res, NULL))
		return 0;
	if (store_list(r->api->store, &l, e) < 0)
		return -e->code;
	if (l.n > 1) {
		rc = err_set(e, ERR_UNKNOWN, "This pod has more than one PodDisruptionBudget, which the eviction subresource does "
			     "not support.");
		e->http_code = 500;
	} else if (l.n) {
		*ret = obj_ref(l.objs[0]);
	}
	store_list_release(&l);
	return rc;
}

/* Pods that have not begun, are over or are to go already cost no budget anything. */
static bool eviction_is_free(const struct node *pod)
{
	const char *phase = node_gets(node_get(pod, F_status), F_phase);

	return meta_is_deleting(pod) || streq(phase, "Succeeded") || streq(phase, "Failed") || streq(phase, "Pending");
}

/* A pod that is not ready does not count, and may go if the budget is content without it, or does not mind. */
static bool budget_lets_unready(struct obj *budget, const struct node *pod)
{
	const struct node *root = obj_node(budget), *status = node_get(root, F_status);
	int64_t desired = node_int(node_get(status, F_desiredHealthy), 0);

	if (cond_is_true(node_path(pod, F_status, F_conditions), "Ready"))
		return false;
	return node_streq(node_path(root, F_spec, F_unhealthyPodEvictionPolicy), "AlwaysAllow") ||
	       (desired > 0 && node_int(node_get(status, F_currentHealthy), 0) >= desired);
}

/* --- the pod's part --- */

/* Whether it may go without being counted; if not, *ret is its budget, referenced (NULL: it has none). */
static int eviction_judge(struct req *r, struct obj *pod, bool *ret_excused, struct obj **ret, struct err *e)
{
	*ret = NULL;
	*ret_excused = true;
	if (eviction_is_free(obj_node(pod)))
		return 0;
	if (budget_find(r, pod, ret, e) < 0)
		return -e->code;
	*ret_excused = !*ret || budget_lets_unready(*ret, obj_node(pod));
	return 0;
}

/* A pod that needed not be counted may have changed since. */
static int eviction_check_again(struct req *r, struct obj *pod, struct err *e)
{
	_cleanup_obj_ struct obj *budget = NULL;
	bool excused;

	if (r->eviction || !pod)
		return 0;
	if (eviction_judge(r, pod, &excused, &budget, e) < 0)
		return -e->code;
	return excused ? 0 : eviction_not_yet(e, budget->name);
}

static int eviction_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e)
{
	if (eviction_check_again(r, cur, e) < 0)
		return -e->code;
	r->hooks_done = true; /* it is an eviction, not a deletion */
	if (delete_mutate(r, cur, out, remove, e) < 0)
		return -e->code;
	if (*out) {
		struct node *status = node_need_object(*out, doc_root(*out), F_status);

		cond_set(*out, node_need_array(*out, status, F_conditions), "DisruptionTarget", "True",
			 "EvictionByEvictionAPI", "Eviction API: evicting");
	}
	return 0;
}

/* Takes it off the budget first. */
static int eviction_count(struct req *r, struct obj *budget, struct err *e)
{
	struct eviction *v = arena_zalloc(r->arena, sizeof(*v));

	r->eviction = v;
	if (r->opts.dry_run)
		return budget_check(budget, e) < 0 ? -e->code : req_store(r, r->at.ns, r->at.name, e);
	v->r = r;
	v->write = (struct store_write){ .res = budget->res, .ns = r->at.ns, .name = arena_strdup(r->arena, budget->name),
					 .apply = budget_apply, .done = budget_written };
	store_submit(r->api->store, &v->write);
	return STEP_WAIT;
}

int act_eviction(struct req *r, struct err *e)
{
	const struct node *root = doc_root(r->body);
	_cleanup_doc_ struct doc *eviction = NULL;
	_cleanup_obj_ struct obj *budget = NULL;
	struct obj *pod;
	bool excused;

	if (*meta_name(root) && !streq(meta_name(root), r->at.name))
		return err_bad(e, "name in URL does not match name in Eviction object");
	if (delete_options_from_node(r, node_get(root, F_deleteOptions), e) < 0 || write_admit_body(r, &eviction, e) < 0)
		return -e->code;
	r->mutate = eviction_mutate;
	r->status = 201;
	r->success_status = true;
	r->eviction = NULL;
	pod = store_get(r->api->store, &r->st->r, r->at.ns, r->at.name);
	if (!pod)
		return err_not_found(e, &r->res->r, r->at.name);
	if (delete_check_preconditions(r, pod, e) < 0 || eviction_judge(r, pod, &excused, &budget, e) < 0)
		return -e->code;
	return excused ? req_store(r, r->at.ns, r->at.name, e) : eviction_count(r, budget, e);
}
