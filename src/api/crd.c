/*
 * CustomResourceDefinitions at work: what the store holds of them is what schema
 * serves. A watch on them takes each change in at the end of its turn, so the
 * next request finds the resource, or finds it no more; watches of what is gone
 * end. At start the definitions come first, then the objects that the file holds
 * for them.
 *
 * A definition is served once its condition Established says so, which is the
 * work of ctl/crd.c, as are its removal and its status.
 */
#include "api/internal.h"

#include "schema/custom.h"

bool crd_is_definition(const struct resource *res)
{
	return streq(res->plural, "customresourcedefinitions") && streq(res->group, "apiextensions.k8s.io");
}

static const struct resource *crd_version(const struct resource *r, const char *api_version)
{
	const struct schema_res *v = schema_custom_version((const struct schema_res *)r, api_version);

	return v ? &v->r : NULL;
}

static void crd_changed(void *arg, const struct schema_res *r)
{
	struct api *a = arg;

	if (r->custom->crd)
		store_add_resource(a->store, &r->r, crd_version);
	if (!r->served)
		watch_end_of(a, r);
}

static void crd_on_event(void *arg, const struct store_event *ev)
{
	if (ev->type == WATCH_DELETED)
		schema_custom_remove(ev->obj->name, crd_changed, arg);
	else
		schema_custom_set(ev->obj, crd_changed, arg);
}

int crd_open(struct api *a, struct err *e)
{
	struct store_list l = { .res = schema_res("apiextensions.k8s.io", "customresourcedefinitions") };

	if (store_list(a->store, &l, e) < 0)
		return -e->code;
	for (size_t i = 0; i < l.n; i++) {
		schema_custom_set(l.objs[i], crd_changed, a);
		obj_trim(0);
	}
	store_list_release(&l);
	return store_watch(&a->crd_watch, a->store, l.res, "", l.rv, crd_on_event, a, e);
}

static void crd_forget(void *arg, const struct schema_res *r)
{
}

void crd_close(struct api *a)
{
	const struct schema_res *r = schema_next(NULL), *next;

	a->crd_watch = store_watch_stop(a->crd_watch);
	for (; r; r = next) {
		_cleanup_free_ char *name = r->custom && r->custom->crd ? xstrdup(r->custom->crd->name) : NULL;

		next = schema_next(r);
		if (name)
			schema_custom_remove(name, crd_forget, a);
	}
}

/* --- requests --- */

int crd_check_create(const struct req *r, struct err *e)
{
	if (!r->res->custom || !r->res->custom->terminating || r->verb != VERB_CREATE)
		return 0;
	return err_set(e, ERR_METHOD_NOT_ALLOWED, "create not allowed while custom resource definition is terminating");
}

static const char crd_finalizer[] = "customresourcecleanup.apiextensions.k8s.io";

void crd_begin_deletion(struct doc *d)
{
	struct node *root = doc_root(d), *meta = node_need_object(d, root, F_metadata);
	struct node *list = node_need_array(d, meta, F_finalizers);
	struct node *conds = node_need_array(d, node_need_object(d, root, F_status), F_conditions);
	bool have = false;

	NODE_FOREACH(f, list)
		have |= node_streq(f, crd_finalizer);
	if (!have)
		node_append(list, node_new_cstr(d, crd_finalizer));
	cond_set(d, conds, "Terminating", "True", "InstanceDeletionPending",
		 "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon");
}
