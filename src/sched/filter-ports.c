/*
 * NodePorts: two pods can't have the same port of the same address of one host.
 */
#include "sched/internal.h"

static bool ports_clash(const struct sched_port *a, const struct sched_port *b)
{
	return a->port == b->port && a->protocol == b->protocol && (!*a->ip || !*b->ip || streq(a->ip, b->ip));
}

bool filter_ports_prepare(struct sched_cycle *c)
{
	return c->p->ports.n > 0;
}

SCHED_FILTER(filter_ports)
{
	const struct sched_pod *p = c->p, *other;

	*hopeless = false;
	TAILQ_FOREACH(other, &n->pods, on_link)
		for (size_t i = 0; i < p->ports.n; i++)
			for (size_t k = 0; k < other->ports.n; k++)
				if (ports_clash(&p->ports.v[i], &other->ports.v[k]))
					return "node(s) didn't have free ports for the requested pod ports";
	return NULL;
}
