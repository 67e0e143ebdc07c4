/*
 * Claims that wait for their first consumer: when their pod has got its node, a
 * volume that is there is given to the claim (spec.claimRef), or the claim is told
 * which node a provisioner shall make one for (the annotation selected-node); the
 * pod is bound when the volume controller has bound them all. As the VolumeBinding
 * plug-in does it, with its time-out of ten minutes.
 */
#include "base/log.h"
#include "sched/internal.h"
#include "schema/claims.h"

#define CLAIMS_WAIT_MS 600000

struct claims_wait {
	struct sched_pod *p;
	struct loop_timer *timer;
};

struct claims_call {
	struct sched *s;
	char *key; /* the pod's */
};

/* Another pod was quicker, or the volume changed: the search begins anew. */
static void claims_asked(void *arg, struct obj *o UNUSED, const struct err *err)
{
	struct claims_call *call = arg;
	struct sched_pod *p = map_getc(call->s->by_key, call->key);

	if (err && p && p->wait) {
		log_debug("binding a volume failed, trying again", LS("pod", call->key), LE(err));
		claims_cancel(p);
		claims_bound(call->s, p, false);
	}
	free(call->key);
	free(call);
}

static void claims_ask(struct sched *s, const struct sched_pod *p, struct obj *about, struct doc *patch)
{
	struct claims_call *call = xmalloc(sizeof(*call));

	*call = (struct claims_call){ s, xstrdup(p->key) };
	client_patch(s->client, about->res, about->ns, about->name, NULL, PATCH_MERGE, patch, claims_asked, call);
}

/* In this very state of the volume only: two claims may have chosen it at a time. */
static void claims_give(struct sched *s, const struct sched_pod *p, struct obj *volume, struct obj *claim)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *spec;

	doc_set_root(d, root);
	node_set(d, node_need_object(d, root, F_metadata), F_resourceVersion,
		 node_new_fmt(d, "%lld", (long long)volume->rv));
	spec = node_need_object(d, root, F_spec);
	node_set(d, spec, F_claimRef, obj_reference(d, claim));
	node_setk(d, node_need_object(d, node_need_object(d, root, F_metadata), F_annotations),
		  str_of(BOUND_BY_CONTROLLER), node_new_cstr(d, "yes"));
	claims_ask(s, p, volume, d);
}

static void claims_select(struct sched *s, const struct sched_pod *p, struct obj *claim, const char *node)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT);

	doc_set_root(d, root);
	node_setk(d, node_need_object(d, node_need_object(d, root, F_metadata), F_annotations), str_of(CLAIM_NODE),
		  node_new_cstr(d, node));
	claims_ask(s, p, claim, d);
}

static void claims_timed_out(void *arg)
{
	struct claims_wait *w = arg;
	struct sched_pod *p = w->p;

	claims_cancel(p);
	claims_bound(p->sched, p, false);
}

int claims_bind(struct sched_cycle *c, struct sched_node *n)
{
	struct claims_wait *w;

	if (!c->claims.later.n)
		return 0;
	BUG_ON(!claims_place(c, n)); /* n has just passed the filter */
	for (size_t i = 0; i < c->claims.later.n; i++) {
		struct obj *claim = c->claims.later.v[i], *volume = c->claims.found[i];

		if (volume)
			claims_give(c->s, c->p, volume, claim);
		else
			claims_select(c->s, c->p, claim, n->name);
	}
	w = xcalloc(1, sizeof(*w));
	w->p = c->p;
	w->timer = loop_timer_new(c->s->loop, claims_timed_out, w);
	loop_timer_set(w->timer, CLAIMS_WAIT_MS);
	c->p->wait = w;
	return 1;
}

void claims_cancel(struct sched_pod *p)
{
	if (!p->wait)
		return;
	loop_timer_free(p->wait->timer);
	free(p->wait);
	p->wait = NULL;
}

/* 1: all are bound; 0: not yet; -1: one of them is gone. */
static int claims_state(struct sched *s, const struct sched_pod *p)
{
	int all = 1;

	for (size_t i = 0; i < p->claims.n; i++) {
		struct obj *claim = informer_find(s->of[KIND_CLAIMS], p->obj->ns, p->claims.v[i]);
		const struct node *root = claim ? obj_node(claim) : NULL;

		if (!claim || meta_is_deleting(root))
			return -1;
		if (!claim_is_bound(root))
			all = 0;
	}
	return all;
}

static bool claims_uses(const struct sched_pod *p, const struct obj *claim)
{
	if (!streq(p->obj->ns, claim->ns))
		return false;
	for (size_t i = 0; i < p->claims.n; i++)
		if (streq(p->claims.v[i], claim->name))
			return true;
	return false;
}

void claims_changed(struct sched *s, struct obj *claim, struct obj *old)
{
	/* Its provisioner cannot make it on the node that we have chosen: another one is looked for. */
	bool given_back = old && meta_annotation(obj_node(old), CLAIM_NODE) && !meta_annotation(obj_node(claim), CLAIM_NODE);
	struct map_iter it = { 0 };

	while (map_next(s->by_key, &it)) {
		struct sched_pod *p = it.value;
		int state;

		if (!p->wait || !claims_uses(p, claim))
			continue;
		state = given_back ? -1 : claims_state(s, p);
		if (!state)
			continue;
		claims_cancel(p);
		claims_bound(s, p, state > 0);
	}
}
