/*
 * Preemption (the DefaultPreemption plug-in): a pod that fits nowhere may push
 * out pods of lower priority. On each node that could help, all of those are
 * taken away as a what-if; when the pod fits then, as many as possible are put
 * back, first those whose disruption budget would be violated, important ones
 * first. The node where least harm is done is nominated, its victims are deleted
 * with their grace; the pod waits until they are gone.
 */
#include "base/rand.h"
#include "sched/internal.h"

#define PREEMPT_MIN_NODES 100 /* so many candidates are enough, or a tenth of the nodes */

struct preempt_budget {
	char *ns;
	struct selector *selector;
	int64_t allowed;
	struct obj *obj;
};
struct preempt_try {
	struct sched_cycle *c;
	VEC(struct preempt_budget) budgets;
	struct sched_trial why; /* of the nodes where it does not help */
};
struct preempt_candidate {
	struct sched_node *node;
	VEC(struct sched_pod *) victims; /* most important first */
	int64_t violations;
};
struct preempt_list {
	VEC(struct sched_pod *) list;
};

/* --- budgets --- */

static void preempt_budgets_read(struct preempt_try *t)
{
	struct obj *o = NULL;

	while ((o = informer_next(t->c->s->of[KIND_BUDGETS], NULL, o)) != NULL) {
		const struct node *root = obj_node(o);
		struct preempt_budget b = { .ns = xstrdup(o->ns), .obj = obj_ref(o) };
		struct err e = ERR_INIT;

		b.allowed = node_int(node_path(root, F_status, F_disruptionsAllowed), 0);
		if (selector_from_node(&b.selector, node_path(root, F_spec, F_selector), &e) < 0)
			err_release(&e);
		VEC_PUSH(&t->budgets, b);
	}
}

static void preempt_budgets_free(struct preempt_try *t)
{
	for (size_t i = 0; i < t->budgets.n; i++) {
		free(t->budgets.v[i].ns);
		selector_free(t->budgets.v[i].selector);
		obj_unref(t->budgets.v[i].obj);
	}
	VEC_RELEASE(&t->budgets);
}

/* Would its going, after that of those before it, violate a budget? */
static bool preempt_violates(struct preempt_try *t, const struct sched_pod *p, int64_t *left)
{
	bool violated = false;

	for (size_t i = 0; i < t->budgets.n; i++) {
		const struct preempt_budget *b = &t->budgets.v[i];

		if (!b->selector || selector_is_everything(b->selector) || !streq(b->ns, p->obj->ns) || !p->labels.n ||
		    !labels_match(&p->labels, b->selector) ||
		    node_getc(node_path(obj_node(b->obj), F_status, F_disruptedPods), p->obj->name))
			continue;
		if (--left[i] < 0)
			violated = true;
	}
	return violated;
}

/* --- one node --- */

/* More important first: priority, then who runs longer. */
static int preempt_pod_cmp(const void *a, const void *b)
{
	const struct sched_pod *x = *(struct sched_pod *const *)a, *y = *(struct sched_pod *const *)b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->start_s != y->start_s)
		return x->start_s < y->start_s ? -1 : 1;
	return x->since < y->since ? -1 : x->since > y->since;
}

static void preempt_sort(struct preempt_list *l)
{
	if (l->list.n)
		qsort(l->list.v, l->list.n, sizeof(*l->list.v), preempt_pod_cmp);
}

/* Those that may go, sorted into two lists; all of them are taken off the node. */
static void preempt_take(struct preempt_try *t, struct sched_node *n, struct preempt_list *all)
{
	struct sched_pod *p, *next;

	TAILQ_FOREACH_SAFE(p, &n->pods, on_link, next)
		if (p->priority < t->c->p->priority && p->on == n)
			VEC_PUSH(&all->list, p);
	preempt_sort(all);
	for (size_t i = 0; i < all->list.n; i++)
		cycle_unplace(t->c, all->list.v[i]);
}

/* Puts back those without whom it would go as well; the others are victims. */
static void preempt_reprieve(struct preempt_try *t, struct preempt_candidate *cand, const struct preempt_list *all)
{
	_cleanup_free_ int64_t *left = xcalloc(t->budgets.n + 1, sizeof(*left));
	_cleanup_free_ bool *violating = xcalloc(all->list.n, sizeof(*violating));

	for (size_t i = 0; i < t->budgets.n; i++)
		left[i] = t->budgets.v[i].allowed;
	for (size_t i = 0; i < all->list.n; i++)
		violating[i] = preempt_violates(t, all->list.v[i], left);
	for (int pass = 1; pass >= 0; pass--)
		for (size_t i = 0; i < all->list.n; i++) {
			struct sched_pod *p = all->list.v[i];

			if (violating[i] != (pass == 1))
				continue;
			cycle_place(t->c, p, cand->node);
			if (trial_fits(t->c, cand->node, NULL))
				continue;
			cycle_unplace(t->c, p);
			VEC_PUSH(&cand->victims, p);
			cand->violations += pass;
		}
	if (cand->victims.n)
		qsort(cand->victims.v, cand->victims.n, sizeof(*cand->victims.v), preempt_pod_cmp);
}

/* False: nothing is gained there. */
static bool preempt_node(struct preempt_try *t, struct sched_node *n, struct preempt_candidate *cand)
{
	struct preempt_list all = { VEC_INIT };
	bool fits;

	*cand = (struct preempt_candidate){ .node = n };
	preempt_take(t, n, &all);
	if (!all.list.n) {
		trial_reason(&t->why, str_of("No preemption victims found for incoming pod"));
		return false;
	}
	fits = trial_fits(t->c, n, &t->why);
	if (fits)
		preempt_reprieve(t, cand, &all);
	for (size_t i = 0; i < all.list.n; i++)
		if (!all.list.v[i]->on)
			cycle_place(t->c, all.list.v[i], n);
	VEC_RELEASE(&all.list);
	return fits && cand->victims.n;
}

/* --- the best node --- */

static int64_t preempt_sum(const struct preempt_candidate *c)
{
	int64_t sum = 0;

	for (size_t i = 0; i < c->victims.n; i++)
		sum += c->victims.v[i]->priority + (int64_t)INT32_MAX + 1;
	return sum;
}

/* When the first of the most important victims began. */
static int64_t preempt_began(const struct preempt_candidate *c)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < c->victims.n && c->victims.v[i]->priority == c->victims.v[0]->priority; i++)
		if (c->victims.v[i]->start_s < first)
			first = c->victims.v[i]->start_s;
	return first;
}

static int preempt_order(int64_t a, int64_t b)
{
	return a < b ? -1 : a > b;
}

/* < 0: a does less harm. */
static int preempt_cmp(const struct preempt_candidate *a, const struct preempt_candidate *b)
{
	int r = preempt_order(a->violations, b->violations);

	if (!r)
		r = preempt_order(a->victims.v[0]->priority, b->victims.v[0]->priority);
	if (!r)
		r = preempt_order(preempt_sum(a), preempt_sum(b));
	if (!r)
		r = preempt_order((int64_t)a->victims.n, (int64_t)b->victims.n);
	return r ? r : preempt_order(preempt_began(b), preempt_began(a));
}

static bool preempt_search(struct preempt_try *t, const struct sched_trial *trial, struct preempt_candidate *best)
{
	size_t n = trial->hopeful.n, from = n ? rand_below((uint32_t)n) : 0, found = 0, enough = n / 10;

	if (enough < PREEMPT_MIN_NODES)
		enough = PREEMPT_MIN_NODES;
	for (size_t i = 0; i < n && !(found >= enough && !best->violations); i++) {
		struct preempt_candidate cand;

		if (!preempt_node(t, trial->hopeful.v[(from + i) % n], &cand)) {
			VEC_RELEASE(&cand.victims);
			continue;
		}
		if (found++ && preempt_cmp(&cand, best) >= 0) {
			VEC_RELEASE(&cand.victims);
			continue;
		}
		VEC_RELEASE(&best->victims);
		*best = cand;
	}
	return found > 0;
}

/* --- doing it --- */

void sched_nominate(struct sched_pod *p, struct sched_node *n)
{
	if (p->nominated == n)
		return;
	if (p->nominated)
		TAILQ_REMOVE(&p->nominated->nominated, p, nominated_link);
	p->nominated = n;
	if (n)
		TAILQ_INSERT_TAIL(&n->nominated, p, nominated_link);
}

static void preempt_push_out(struct sched_cycle *c, struct sched_pod *victim, const char *node)
{
	struct sched *s = c->s;
	const struct resource *pods = schema_res("", "pods");
	struct doc *d;
	struct node *root, *status;

	if (victim->deleting)
		return;
	d = doc_new();
	root = node_new(d, DOC_OBJECT);
	doc_set_root(d, root);
	status = node_need_object(d, root, F_status);
	cond_set(d, node_need_array(d, status, F_conditions), "DisruptionTarget", "True", "PreemptionByScheduler",
		 "default-scheduler: preempting to accommodate a higher priority pod");
	client_patch(s->client, pods, victim->obj->ns, victim->obj->name, "status", PATCH_STRATEGIC, d, NULL, NULL);
	client_delete(s->client, pods, victim->obj->ns, victim->obj->name, victim->obj->uid, -1, NULL, NULL);
	client_event(s->client, victim->obj, NULL, s->name, NULL, "Normal", "Preempted", "Preempted by pod %s on node %s",
		     c->p->obj->uid, node);
}

/* Lesser ones that wait for the same node look for another. */
static void preempt_denominate(struct sched_cycle *c, struct sched_node *n)
{
	struct sched_pod *p, *next;

	TAILQ_FOREACH_SAFE(p, &n->nominated, nominated_link, next)
		if (p != c->p && p->priority < c->p->priority) {
			sched_nominate(p, NULL);
			if (p->queue == SCHED_UNSCHEDULABLE)
				queue_add(c->s, p);
		}
}

static bool preempt_allowed(struct sched_cycle *c, const struct sched_trial *t, char **why)
{
	const struct sched_node *n = c->p->nominated;
	struct sched_pod *p;
	bool hopeful = false;

	if (node_streq(node_get(c->spec, F_preemptionPolicy), "Never")) {
		*why = xstrdup("not eligible due to preemptionPolicy=Never.");
		return false;
	}
	for (size_t i = 0; n && i < t->hopeful.n; i++)
		hopeful = hopeful || t->hopeful.v[i] == n;
	if (!hopeful)
		return true;
	TAILQ_FOREACH(p, &n->pods, on_link)
		if (p->priority < c->p->priority && p->deleting && p->by_preemption) {
			*why = xstrdup("not eligible due to a terminating pod on the nominated node.");
			return false;
		}
	return true;
}

static char *preempt_message(struct preempt_try *t, const struct sched_trial *trial)
{
	int64_t hopeless = trial->nodes - (int64_t)trial->hopeful.n;

	t->why.nodes = trial->nodes;
	if (hopeless) {
		struct sched_reason r = { xstrdup("Preemption is not helpful for scheduling"), hopeless };

		VEC_PUSH(&t->why.reasons, r);
	}
	return say_message(&t->why, NULL);
}

struct sched_node *preempt(struct sched_cycle *c, const struct sched_trial *t, char **why)
{
	struct preempt_try try = { .c = c };
	struct preempt_candidate best = { NULL };
	bool found;

	*why = NULL;
	if (!preempt_allowed(c, t, why))
		return NULL;
	preempt_budgets_read(&try);
	found = preempt_search(&try, t, &best);
	if (found) {
		preempt_denominate(c, best.node);
		for (size_t i = 0; i < best.victims.n; i++)
			preempt_push_out(c, best.victims.v[i], best.node->name);
	} else {
		*why = preempt_message(&try, t);
	}
	preempt_budgets_free(&try);
	trial_release(&try.why);
	VEC_RELEASE(&best.victims);
	return best.node;
}
