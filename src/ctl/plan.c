/*
 * Plans: lists of intended writes.
 */
#include <stdarg.h>

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

void plan_event(struct plan *p, struct obj *about, const char *type, const char *reason, const char *fmt, ...)
{
	struct plan_event ev = { .about = obj_ref(about), .type = type, .reason = reason };
	struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_addvf(&b, fmt, ap);
	va_end(ap);
	ev.text = buf_detach(&b, NULL);
	VEC_PUSH(&p->events, ev);
}

void plan_release(struct plan *p)
{
	for (size_t i = 0; i < p->ops.n; i++) {
		struct plan_op *op = &p->ops.v[i];

		free(op->ns);
		free(op->name);
		free(op->subresource);
		free(op->uid);
		doc_unref(op->body);
	}
	VEC_RELEASE(&p->ops);
	for (size_t i = 0; i < p->events.n; i++) {
		obj_unref(p->events.v[i].about);
		free(p->events.v[i].text);
	}
	VEC_RELEASE(&p->events);
}
