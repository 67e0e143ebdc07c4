/*
 * A pod of a node that is played: what was seen of it, what is due, what is told.
 */
#include <stdio.h>

#include "base/log.h"
#include "sim/internal.h"

#define SIM_IPS 0x7ffffe /* 10.128.0.1 to 10.255.255.254 */

static void pod_key(struct buf *out, const struct obj *o)
{
	obj_key_print(out, o->ns, o->name);
}

static struct sim_pod *pod_find(struct sim *s, const struct obj *o)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	pod_key(&key, o);
	return map_get(s->pods, buf_str(&key));
}

static void pod_forget(struct sim *s, const struct obj *o)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	pod_key(&key, o);
	map_del(s->pods, buf_str(&key));
}

static bool pod_is_deleting(const struct sim_pod *p)
{
	return meta_is_deleting(obj_node(p->obj));
}

/* Its containers have ended, so its object may go. Said once: what finalizers wait for is not ours. */
static bool pod_may_go(const struct sim_pod *p)
{
	return p->over && !p->let_go && pod_is_deleting(p);
}

static bool pod_has_news(const struct sim_pod *p)
{
	return p->untold || pod_may_go(p);
}

static void pod_address(struct sim_pod *p)
{
	struct sim *s = p->actor.sim;

	if (p->ip || node_bool(node_path(obj_node(p->obj), F_spec, F_hostNetwork), false))
		return;
	for (size_t i = 0; i < p->n_ctrs; i++)
		if (p->ctrs[i].runs) {
			p->ip = s->next_ip = s->next_ip % SIM_IPS + 1;
			return;
		}
}

/* Somebody else has called it ended: the kubelet stops it then, and leaves that word as it is. */
static void pod_heed_end(struct sim_pod *p)
{
	const char *phase = node_gets(node_get(obj_node(p->obj), F_status), F_phase);

	if (!p->over && (streq(phase, "Succeeded") || streq(phase, "Failed"))) {
		p->over = true;
		p->untold = false;
	}
}

/* Somebody else has said that it is ready, or is not: the kubelet knows better, and says so again. */
static bool pod_is_belied(const struct sim_pod *p)
{
	const struct node *conditions = node_path(obj_node(p->obj), F_status, F_conditions);

	return !p->over && !p->actor.call && cond_is_true(conditions, "Ready") != sim_is_ready(p);
}

void sim_pod_go(struct sim_pod *p)
{
	int64_t next = SIM_FOR_EVER;

	if (p->node->cut)
		return;
	pod_heed_end(p);
	p->untold |= sim_life(p, sim_now(p->actor.sim), &next);
	pod_address(p);
	p->untold |= pod_is_belied(p);
	sim_wake_at(&p->actor, next);
	if (pod_has_news(p))
		sim_want(&p->actor, false);
}

static void pod_wake(struct sim_actor *a)
{
	sim_pod_go(CONTAINER_OF(a, struct sim_pod, actor));
}

/* What became of it is told before it goes, as the kubelet does: who counts its ends must see them. */
static void pod_send(struct sim_actor *a)
{
	struct sim_pod *p = CONTAINER_OF(a, struct sim_pod, actor);
	struct sim *s = a->sim;

	if (p->node->cut)
		return;
	if (p->untold) {
		p->untold = false;
		client_patch(s->cfg.client, s->r_pods, p->obj->ns, p->obj->name, "status", PATCH_STRATEGIC, sim_status(p),
			     sim_called, sim_call(a));
	} else if (pod_may_go(p)) {
		p->let_go = true;
		client_delete(s->cfg.client, s->r_pods, p->obj->ns, p->obj->name, p->obj->uid, 0, sim_called, sim_call(a));
	}
}

static void pod_update(struct sim_pod *p, struct obj *o)
{
	if (!o || o->rv <= p->obj->rv || !streq(o->uid, p->obj->uid))
		return;
	obj_ref(o);
	obj_unref(p->obj);
	p->obj = o;
}

/* That it is not there any more, or is another of its name, the informer tells. */
static void pod_sent(struct sim_actor *a, struct obj *o, const struct err *err)
{
	struct sim_pod *p = CONTAINER_OF(a, struct sim_pod, actor);

	if (err) {
		log_debug("cannot tell what became of a simulated pod", LS("ns", p->obj->ns), LS("pod", p->obj->name),
			  LE(err));
		p->untold = true;
		p->let_go = false;
		sim_wake_at(a, sim_now(a->sim) + SIM_RETRY_MS);
		return;
	}
	if (o && streq(o->res->plural, "pods"))
		pod_update(p, o);
	p->untold |= !p->node->cut && pod_is_belied(p);
	if (pod_has_news(p))
		sim_want(a, false);
}

static const struct sim_role pod_role = { pod_wake, pod_send, pod_sent };

static struct sim_pod *pod_new(struct sim *s, struct sim_node *n, struct obj *o)
{
	size_t n_ctrs = node_count(node_path(obj_node(o), F_spec, F_containers));
	struct sim_pod *p = xcalloc(1, sizeof(*p) + n_ctrs * sizeof(p->ctrs[0]));

	sim_actor_init(s, &p->actor, &pod_role);
	p->node = n;
	p->obj = obj_ref(o);
	p->n_ctrs = n_ctrs;
	p->begun_ms = sim_now(s);
	p->begun_s = time_wall_s();
	TAILQ_INSERT_TAIL(&n->pods, p, link);
	p->untold = !sim_life_begin(p);
	return p;
}

void sim_pod_free(void *pod)
{
	struct sim_pod *p = pod;

	sim_actor_end(&p->actor);
	TAILQ_REMOVE(&p->node->pods, p, link);
	obj_unref(p->obj);
	free(p);
}

/* A new spec is to be acknowledged, and what gates say is part of what is told. */
static bool pod_wants_answer(struct obj *old, struct obj *o)
{
	const struct node *was = obj_node(old), *is = obj_node(o);

	return !meta_is_deleting(is) && (node_count(node_path(is, F_spec, F_readinessGates)) ||
					 node_int(node_get(meta_of(was), F_generation), 0) !=
						 node_int(node_get(meta_of(is), F_generation), 0));
}

void sim_pod_seen(struct sim *s, struct obj *o)
{
	struct sim_pod *p = pod_find(s, o);
	struct sim_node *n;

	if (p && !streq(p->obj->uid, o->uid)) {
		pod_forget(s, o);
		p = NULL;
	}
	if (!p) {
		_cleanup_buf_ struct buf key = BUF_INIT;

		n = map_getc(s->nodes, node_gets(node_get(obj_node(o), F_spec), F_nodeName));
		if (!n)
			return;
		p = pod_new(s, n, o);
		pod_key(&key, o);
		map_set(s->pods, buf_str(&key), p);
	} else if (o->rv <= p->obj->rv) {
		return; /* the answer to our own write has shown it */
	} else {
		p->untold |= pod_wants_answer(p->obj, o);
		pod_update(p, o);
	}
	sim_pod_go(p);
}

void sim_pod_gone(struct sim *s, struct obj *o)
{
	struct sim_pod *p = pod_find(s, o);

	if (p && streq(p->obj->uid, o->uid))
		pod_forget(s, o);
}
