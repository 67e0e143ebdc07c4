/*
 * Plans: lists of intended writes, in batches, with what is to be said of each.
 */
#include <stdarg.h>

#include "ctl/internal.h"

static struct plan_op *plan_add(struct plan *p, enum verb verb, const struct resource *r, const char *ns,
				const char *name, struct doc *body)
{
	struct plan_op op = { .verb = verb, .res = r, .ns = xstrdup_null(ns), .name = xstrdup_null(name), .body = body };

	op.batch = p->batch;
	VEC_PUSH(&p->ops, op);
	return &p->ops.v[p->ops.n - 1];
}

void plan_create(struct plan *p, const struct resource *r, const char *ns, struct doc *body_take)
{
	plan_add(p, VERB_CREATE, r, ns, *meta_name(doc_root(body_take)) ? meta_name(doc_root(body_take)) : NULL, body_take);
}

void plan_update(struct plan *p, const struct resource *r, const char *ns, const char *name, const char *subresource,
		 struct doc *body_take)
{
	plan_add(p, VERB_UPDATE, r, ns, name, body_take)->subresource = xstrdup_null(subresource);
}

void plan_patch(struct plan *p, const struct resource *r, const char *ns, const char *name, enum patch_type t,
		struct doc *patch_take)
{
	plan_add(p, VERB_PATCH, r, ns, name, patch_take)->patch_type = t;
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

void plan_delete_now(struct plan *p, struct obj *o)
{
	struct plan_op *op = plan_add(p, VERB_DELETE, o->res, o->ns, o->name, NULL);

	op->uid = xstrdup(o->uid);
	op->now = true;
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

void plan_alive(struct plan *p, struct obj *o)
{
	plan_add(p, VERB_GET, o->res, o->ns, o->name, NULL)->uid = xstrdup(o->uid);
	plan_then(p);
}

void plan_then(struct plan *p)
{
	p->batch++;
}

void plan_say(struct plan *p, struct obj *about, const char *ok_reason, const char *ok_text, const char *fail_reason,
	      const char *fail_text)
{
	struct plan_op *op = &p->ops.v[p->ops.n - 1];

	op->about = obj_ref(about);
	op->ok_reason = ok_reason;
	op->ok_text = xstrdup_null(ok_text);
	op->fail_reason = fail_reason;
	op->fail_text = xstrdup_null(fail_text);
}

void plan_warn(struct plan *p, struct obj *about, const char *reason, const char *text)
{
	plan_say(p, about, reason, text, NULL, NULL);
	p->ops.v[p->ops.n - 1].ok_warns = true;
}

void plan_again(struct plan *p, int64_t ms)
{
	if (!p->again_ms || ms < p->again_ms)
		p->again_ms = ms < 1 ? 1 : ms;
}

const struct plan_op *plan_failure(const struct plan *p)
{
	for (size_t i = 0; i < p->ops.n; i++)
		if (p->ops.v[i].failure)
			return &p->ops.v[i];
	return NULL;
}

void plan_release(struct plan *p)
{
	for (size_t i = 0; i < p->ops.n; i++) {
		struct plan_op *op = &p->ops.v[i];

		free(op->ns);
		free(op->name);
		free(op->subresource);
		free(op->uid);
		free(op->ok_text);
		free(op->fail_text);
		free(op->failure);
		doc_unref(op->body);
		obj_unref(op->about);
	}
	VEC_RELEASE(&p->ops);
	for (size_t i = 0; i < p->events.n; i++) {
		obj_unref(p->events.v[i].about);
		free(p->events.v[i].text);
	}
	VEC_RELEASE(&p->events);
}
