/*
 * EndpointSlices by the Service that their label names. The informer keeps them by
 * their own names, which say nothing.
 */
#include "base/map.h"
#include "svc/internal.h"

#define SLICE_SERVICE "kubernetes.io/service-name"

struct svc_slices {
	struct informer *informer;
	struct map *by_service; /* "ns/name" -> svc_slice_list, references of ours */
	TAILQ_HEAD(, svc_slices_watch) watches;
	bool synced;
};

static void slice_list_free(void *p)
{
	svc_slice_list *l = p;

	for (size_t i = 0; i < l->n; i++)
		obj_unref(l->v[i]);
	VEC_RELEASE(l);
	free(l);
}

/* What it is called is all that is wanted of the tree. */
static bool slice_service(struct obj *o, struct buf *key)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	const char *name = meta_label(doc_root(d), SLICE_SERVICE);

	if (str_empty(name))
		return false;
	obj_key_print(key, o->ns, name);
	return true;
}

static void slices_put(struct svc_slices *s, struct str key, struct obj *o)
{
	svc_slice_list *l = map_get(s->by_service, key);

	if (!l) {
		l = xcalloc(1, sizeof(*l));
		map_set(s->by_service, key, l);
	}
	VEC_PUSH(l, obj_ref(o));
}

static void slices_drop(struct svc_slices *s, struct str key, const struct obj *o)
{
	svc_slice_list *l = map_get(s->by_service, key);

	for (size_t i = 0; l && i < l->n; i++)
		if (streq(l->v[i]->name, o->name)) {
			obj_unref(l->v[i]);
			VEC_REMOVE(l, i);
			break;
		}
	if (l && !l->n)
		map_del(s->by_service, key);
}

static void slices_tell(struct svc_slices *s, const char *ns, const struct buf *key)
{
	struct svc_slices_watch *w, *next;

	if (!s->synced)
		return;
	for (w = TAILQ_FIRST(&s->watches); w; w = next) {
		next = TAILQ_NEXT(w, link_);
		w->changed(w->arg, ns, key->s + strlen(ns) + 1);
	}
}

static void slices_on_event(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct svc_slices *s = arg;
	_cleanup_buf_ struct buf was = BUF_INIT, is = BUF_INIT;
	bool had = t != WATCH_ADDED && slice_service(old ? old : obj, &was);
	bool has = t != WATCH_DELETED && slice_service(obj, &is);

	if (had)
		slices_drop(s, buf_str(&was), obj);
	if (has)
		slices_put(s, buf_str(&is), obj);
	if (had && !(has && str_eq(buf_str(&was), buf_str(&is))))
		slices_tell(s, obj->ns, &was);
	if (has)
		slices_tell(s, obj->ns, &is);
}

static void slices_on_synced(void *arg)
{
	struct svc_slices *s = arg;
	struct svc_slices_watch *w, *next;

	s->synced = true;
	for (w = TAILQ_FIRST(&s->watches); w; w = next) {
		next = TAILQ_NEXT(w, link_);
		if (w->synced)
			w->synced(w->arg);
	}
}

static const struct informer_ops slices_ops = { slices_on_event, slices_on_synced };

struct svc_slices *svc_slices_new(struct client *c)
{
	struct svc_slices *s = xcalloc(1, sizeof(*s));

	TAILQ_INIT(&s->watches);
	s->by_service = map_new(slice_list_free);
	s->informer = informer_get(c, schema_res("discovery.k8s.io", "endpointslices"), NULL);
	informer_subscribe(s->informer, &slices_ops, s);
	return s;
}

struct svc_slices *svc_slices_free(struct svc_slices *s)
{
	if (!s)
		return NULL;
	informer_unsubscribe(s->informer, s);
	map_free(s->by_service);
	free(s);
	return NULL;
}

bool svc_slices_synced(const struct svc_slices *s)
{
	return s->synced;
}

const svc_slice_list *svc_slices_of(struct svc_slices *s, const char *ns, const char *service)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	obj_key_print(&key, ns, service);
	return map_get(s->by_service, buf_str(&key));
}

void svc_slices_follow(struct svc_slices *s, struct svc_slices_watch *w)
{
	TAILQ_INSERT_TAIL(&s->watches, w, link_);
}

void svc_slices_unfollow(struct svc_slices *s, struct svc_slices_watch *w)
{
	TAILQ_REMOVE(&s->watches, w, link_);
}
