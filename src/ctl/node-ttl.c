/*
 * The annotation node.alpha.kubernetes.io/ttl: how long a node's agent may keep
 * what it has read of Secrets and ConfigMaps. The larger the cluster, the longer;
 * between two sizes what was said before stays.
 */
#include "ctl/nodes.h"

#define NODE_TTL "node.alpha.kubernetes.io/ttl"

struct node_ttl {
	struct ctl_run *run;
	unsigned step;
};

const struct node_ttl_step node_ttl_steps[] = {
	{ 0, 100, 0 }, { 90, 500, 15 }, { 450, 1000, 30 }, { 900, 2000, 60 }, { 1800, SIZE_MAX, 300 },
};

unsigned node_ttl_step(unsigned step, size_t nodes)
{
	while (nodes > node_ttl_steps[step].max)
		step++;
	while (nodes < node_ttl_steps[step].min)
		step--;
	return step;
}

void *node_ttl_open(struct ctl_run *run)
{
	struct node_ttl *t = xcalloc(1, sizeof(*t));

	t->run = run;
	return t;
}

static void node_ttl_wake_all(struct node_ttl *t, const struct ctl_view *v)
{
	for (struct obj *o = NULL; (o = informer_next(v->of[0], NULL, o));)
		ctl_run_wake(t->run, o->name);
}

int node_ttl_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct node_ttl *t = v->data;
	unsigned step = node_ttl_step(t->step, informer_count(v->of[0]));
	struct obj *node = informer_find(v->of[0], "", key);
	const char *have = node ? meta_annotation(obj_node(node), NODE_TTL) : NULL;
	int64_t n;
	struct doc *d;

	if (step != t->step) {
		t->step = step;
		node_ttl_wake_all(t, v);
	}
	if (!node || (have && str_to_i64(str_of(have), &n) && n == node_ttl_steps[step].seconds))
		return 0;
	d = doc_new();
	doc_set_root(d, node_new(d, DOC_OBJECT));
	node_setk(d, node_need_object(d, node_need_object(d, doc_root(d), F_metadata), F_annotations), STR_LIT(NODE_TTL),
		  node_new_fmt(d, "%d", node_ttl_steps[step].seconds));
	plan_patch(out, node->res, NULL, key, PATCH_MERGE, d);
	return 0;
}
