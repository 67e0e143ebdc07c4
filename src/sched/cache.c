/*
 * What runs where: nodes with the sum of what their pods ask for.
 */
#include "sched/internal.h"

static void sched_pod_ports(struct sched_pod *p, const struct node *spec)
{
	NODE_FOREACH(c, node_get(spec, F_containers))
		NODE_FOREACH(port, node_get(c, F_ports))
		{
			int64_t n = node_int(node_get(port, F_hostPort), 0);
			const char *ip = node_gets(port, F_hostIP);
			struct sched_port sp = { (int)n, *node_cstr_or(node_get(port, F_protocol), "TCP"), NULL };

			if (n <= 0)
				continue;
			sp.ip = xstrdup(streq(ip, "0.0.0.0") ? "" : ip);
			VEC_PUSH(&p->ports, sp);
		}
}

static void sched_pod_clear(struct sched_pod *p)
{
	amounts_release(&p->requests);
	for (size_t i = 0; i < p->ports.n; i++)
		free(p->ports.v[i].ip);
	VEC_RELEASE(&p->ports);
	p->obj = obj_unref(p->obj);
}

static void sched_pod_read(struct sched_pod *p, struct obj *o)
{
	const struct node *spec = node_get(obj_node(o), F_spec);

	p->obj = obj_ref(o);
	p->priority = node_int(node_get(spec, F_priority), 0);
	amounts_of_pod(&p->requests, spec);
	sched_pod_ports(p, spec);
}

struct sched_pod *sched_pod_new(struct sched *s, struct obj *o)
{
	struct sched_pod *p = xcalloc(1, sizeof(*p));

	p->sched = s;
	p->key = xasprintf("%s/%s", o->ns, o->name);
	p->since = ++s->arrivals;
	sched_pod_read(p, o);
	return p;
}

void sched_pod_update(struct sched_pod *p, struct obj *o)
{
	struct sched_node *on = p->on;

	if (on)
		sched_unplace(p);
	sched_pod_clear(p);
	sched_pod_read(p, o);
	if (on)
		sched_place(p->sched, p, on->name);
}

void sched_pod_free(void *v)
{
	struct sched_pod *p = v;

	if (p->on)
		sched_unplace(p);
	queue_remove(p->sched, p);
	sched_pod_clear(p);
	loop_timer_free(p->backoff);
	free(p->said);
	free(p->key);
	free(p);
}

struct sched_node *sched_node_get(struct sched *s, const char *name)
{
	struct sched_node *n = map_getc(s->by_name, name);

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	n->name = xstrdup(name);
	TAILQ_INIT(&n->pods);
	map_set(s->by_name, str_of(name), n);
	return n;
}

void sched_node_update(struct sched_node *n, struct obj *o)
{
	obj_unref(n->obj);
	n->obj = o ? obj_ref(o) : NULL;
	amounts_release(&n->allocatable);
	if (o)
		amounts_read(&n->allocatable, node_path(obj_node(o), F_status, F_allocatable));
	n->max_pods = amounts_get(&n->allocatable, "pods");
}

void sched_node_free(void *v)
{
	struct sched_node *n = v;

	obj_unref(n->obj);
	amounts_release(&n->allocatable);
	amounts_release(&n->requested);
	free(n->name);
	free(n);
}

void sched_place(struct sched *s, struct sched_pod *p, const char *node)
{
	struct sched_node *n = sched_node_get(s, node);

	p->on = n;
	TAILQ_INSERT_TAIL(&n->pods, p, on_link);
	n->n_pods++;
	amounts_merge(&n->requested, &p->requests, 1);
}

void sched_unplace(struct sched_pod *p)
{
	struct sched_node *n = p->on;

	TAILQ_REMOVE(&n->pods, p, on_link);
	n->n_pods--;
	amounts_merge(&n->requested, &p->requests, -1);
	p->on = NULL;
}
