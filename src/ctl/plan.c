/*
 * Plans: lists of intended writes.
 */
#include "ctl/internal.h"

static struct plan_op *plan_add(struct plan *p, enum verb verb, const struct resource *r, const char *ns,
				const char *name, struct doc *body)
{
	struct plan_op op = { .verb = verb, .res = r, .ns = xstrdup_null(ns), .name = xstrdup_null(name), .body = body };

	VEC_PUSH(&p->ops, op);
	return &p->ops.v[p->ops.n - 1];
}

void plan_create(struct plan *p, const struct resource *r, const char *ns, struct doc *body_take)
{
	plan_add(p, VERB_CREATE, r, ns, NULL, body_take);
}

void plan_update(struct plan *p, const struct resource *r, const char *ns, const char *name, const char *subresource,
		 struct doc *body_take)
{
	plan_add(p, VERB_UPDATE, r, ns, name, body_take)->subresource = xstrdup_null(subresource);
}

void plan_delete_as(struct plan *p, const struct resource *r, const char *ns, const char *name, const char *uid,
		    const char *propagation)
{
	struct plan_op *op = plan_add(p, VERB_DELETE, r, ns, name, NULL);

	op->uid = xstrdup_null(uid);
	op->propagation = propagation;
}

void plan_delete(struct plan *p, const struct resource *r, const char *ns, const char *name, const char *uid)
{
	plan_delete_as(p, r, ns, name, uid, NULL);
}
