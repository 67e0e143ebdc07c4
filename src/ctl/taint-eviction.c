/*
 * Pods that do not tolerate a NoExecute taint of their node are deleted, at once
 * or when their tolerationSeconds are over. Mirrors Kubernetes' taint eviction
 * controller: the time begins when pod and taints are first seen together, and is
 * not begun anew when others come; it ends with the last taint or the pod.
 *
 * Keys are names of nodes, to see who has to go when, and of the pods that go
 * ("ns/name").
 */
#include "ctl/nodes.h"

#include <stdlib.h>

#include "base/time.h"
#include "schema/placement.h"

enum { OF_NODES, OF_PODS };

struct evict_pod {
	struct obj *obj;
	int64_t due_ms;
	bool fired; /* it was deleted */
	bool seen; /* in this look at its node */
};

struct evict_node {
	int64_t rv; /* that was looked at */
	struct doc *taints; /* a list of the NoExecute ones; NULL: none */
	struct map *pods; /* struct evict_pod by uid: those that have to go */
};

struct evict {
	struct ctl_run *run;
	struct map *nodes; /* struct evict_node by name */
};

int64_t taint_stay_s(const struct node *taints, const struct node *tolerations, bool *ret_tolerated)
{
	int64_t least = -1;

	*ret_tolerated = true;
	NODE_FOREACH(n, taints)
	{
		struct taint t = taint_of(n);
		const struct node *by, *seconds;
		int64_t s;

		if (!streq(t.effect, "NoExecute"))
			continue;
		by = taint_toleration(&t, tolerations);
		if (!by) {
			*ret_tolerated = false;
			return 0;
		}
		seconds = node_get(by, F_tolerationSeconds);
		if (!seconds)
			continue;
		s = node_int(seconds, 0) > 0 ? node_int(seconds, 0) : 0;
		if (least < 0 || s < least)
			least = s;
	}
	return least;
}

/* --- what is remembered --- */

static void evict_pod_free(void *p)
{
	struct evict_pod *ep = p;

	obj_unref(ep->obj);
	free(ep);
}

static void evict_node_free(void *p)
{
	struct evict_node *n = p;

	doc_unref(n->taints);
	map_free(n->pods);
	free(n);
}

void *taint_eviction_open(struct ctl_run *run)
{
	struct evict *ev = xcalloc(1, sizeof(*ev));

	ev->run = run;
	ev->nodes = map_new(evict_node_free);
	return ev;
}

void taint_eviction_close(void *data)
{
	struct evict *ev = data;

	map_free(ev->nodes);
	free(ev);
}

/* --- a node --- */

static void evict_look(struct evict_node *n, struct obj *o)
{
	n->rv = o->rv;
	doc_unref(n->taints);
	n->taints = NULL;
	NODE_FOREACH(t, node_path(obj_node(o), F_spec, F_taints))
	{
		if (!node_streq(node_get(t, F_effect), "NoExecute"))
			continue;
		if (!n->taints) {
			n->taints = doc_new();
			doc_set_root(n->taints, node_new(n->taints, DOC_ARRAY));
		}
		node_append(doc_root(n->taints), node_copy(n->taints, t));
	}
}

static void evict_cancel(struct evict_node *n, struct evict_pod *ep, struct plan *out)
{
	if (!ep->fired)
		plan_event(out, ep->obj, "Normal", "TaintManagerEviction", "Cancelling deletion of Pod %s/%s", ep->obj->ns,
			   ep->obj->name);
	map_del(n->pods, str_of(ep->obj->uid));
}

static void evict_schedule(struct evict_node *n, struct obj *pod, int64_t due_ms)
{
	struct evict_pod *ep = xcalloc(1, sizeof(*ep));

	ep->obj = obj_ref(pod);
	ep->due_ms = due_ms;
	ep->seen = true;
	map_set(n->pods, str_of(pod->uid), ep);
}

static void evict_judge(struct evict_node *n, struct obj *pod, int64_t now, struct plan *out)
{
	struct evict_pod *ep = map_getc(n->pods, pod->uid);
	bool tolerated;
	int64_t s;

	if (ep && ep->fired) {
		ep->seen = true;
		return;
	}
	s = taint_stay_s(doc_root(n->taints), node_path(obj_node(pod), F_spec, F_tolerations), &tolerated);
	if (ep && s >= 0 && (tolerated || ep->due_ms <= now)) {
		ep->seen = true;
		return;
	}
	if (ep)
		evict_cancel(n, ep, out);
	if (s >= 0)
		evict_schedule(n, pod, now + s * SEC_MS);
}

/* Those that went of their own are forgotten, those whose time has come are woken. */
static void evict_sweep(struct evict *ev, struct evict_node *n, int64_t now, struct plan *out)
{
	struct map_iter it = { 0 };

	while (map_next(n->pods, &it)) {
		struct evict_pod *ep = it.value;
		_cleanup_buf_ struct buf key = BUF_INIT;

		if (!ep->seen) {
			evict_cancel(n, ep, out);
			continue;
		}
		ep->seen = false;
		if (ep->fired)
			continue;
		obj_key_print(&key, ep->obj->ns, ep->obj->name);
		if (ep->due_ms <= now)
			ctl_run_wake(ev->run, key.s);
		else
			plan_again(out, ep->due_ms - now);
	}
}

static void evict_node(struct evict *ev, const struct ctl_view *v, const char *name, struct plan *out)
{
	struct obj *o = informer_find(v->of[OF_NODES], "", name);
	struct evict_node *n = map_getc(ev->nodes, name);
	int64_t now = time_mono_ms();

	if (!o) {
		map_del(ev->nodes, str_of(name));
		return;
	}
	if (!n) {
		n = xcalloc(1, sizeof(*n));
		n->pods = map_new(evict_pod_free);
		map_set(ev->nodes, str_of(name), n);
	}
	if (n->rv != o->rv)
		evict_look(n, o);
	if (n->taints)
		for (struct kid *c = NULL; (c = kids_on_node(v->kids[CTL_PODS], name, c));)
			evict_judge(n, c->obj, now, out);
	if (map_count(n->pods))
		evict_sweep(ev, n, now, out);
}

/* --- a pod --- */

static struct evict_pod *evict_find(const struct evict *ev, struct obj *pod)
{
	const struct evict_node *n =
		pod ? map_getc(ev->nodes, node_gets(node_get(obj_node(pod), F_spec), F_nodeName)) : NULL;

	return n ? map_getc(n->pods, pod->uid) : NULL;
}

static void evict_pod(const struct evict *ev, struct obj *pod, struct plan *out)
{
	struct evict_pod *ep = evict_find(ev, pod);
	struct doc *d;

	if (!ep || ep->fired || ep->due_ms > time_mono_ms())
		return;
	plan_event(out, pod, "Normal", "TaintManagerEviction", "Marking for deletion Pod %s/%s", pod->ns, pod->name);
	d = doc_clone(obj_doc(pod));
	if (cond_set(d, node_need_array(d, node_need_object(d, doc_root(d), F_status), F_conditions), "DisruptionTarget",
		     "True", "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"))
		plan_update(out, pod->res, pod->ns, pod->name, "status", d);
	else
		doc_unref(d);
	plan_then(out);
	plan_delete(out, pod->res, pod->ns, pod->name, pod->uid);
}

int taint_eviction_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	if (strchr(key, '/'))
		evict_pod(v->data, ctl_find(v->of[OF_PODS], key), out);
	else
		evict_node(v->data, v, key, out);
	return 0;
}

int taint_eviction_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out UNUSED,
			  struct err *e UNUSED)
{
	struct evict_pod *ep = strchr(key, '/') ? evict_find(v->data, ctl_find(v->of[OF_PODS], key)) : NULL;

	if (ep && did->ops.n && !did->failed)
		ep->fired = true;
	return 0;
}
