/*
 * Host ports: which pods may have them, and what the network is told of them.
 * Mirrors the scheduler's NodePorts, which the kubelet asks again, and the
 * portmap plug-in that containerd's users have.
 */
#include <netinet/in.h>

#include "node/isolate.h"

static bool ports_clash(const struct node *a, const struct node *b)
{
	const char *ip = node_gets(a, F_hostIP), *ip2 = node_gets(b, F_hostIP);
	const char *any = "0.0.0.0";

	ip = *ip ? ip : any;
	ip2 = *ip2 ? ip2 : any;
	return node_int(node_get(a, F_hostPort), 0) == node_int(node_get(b, F_hostPort), 0) &&
	       streq(node_cstr_or(node_get(a, F_protocol), "TCP"), node_cstr_or(node_get(b, F_protocol), "TCP")) &&
	       (streq(ip, ip2) || streq(ip, any) || streq(ip2, any));
}

/* The next port of the pod that is one of the host's; *c and *port tell where it goes on. */
static const struct node *next_host_port(const struct node *spec, size_t *c, size_t *port)
{
	static const enum field lists[] = {F_containers, F_initContainers};
	size_t n_main = node_count(node_get(spec, F_containers));

	for (;; (*c)++, *port = 0) {
		bool init = *c >= n_main;
		const struct node *ctr = node_at(node_get(spec, lists[init]), init ? *c - n_main : *c), *ports;

		if (!ctr)
			return NULL;
		if (init && !node_streq(node_get(ctr, F_restartPolicy), "Always"))
			continue;
		ports = node_get(ctr, F_ports);
		while (*port < node_count(ports)) {
			const struct node *one = node_at(ports, (*port)++);

			if (node_int(node_get(one, F_hostPort), 0) > 0)
				return one;
		}
	}
}

static bool port_taken(struct pod *p, const struct node *want)
{
	struct map_iter it = {0};

	while (map_next(p->agent->by_uid, &it)) {
		struct pod *o = it.value;
		const struct node *have;
		size_t c = 0, port = 0;

		if (o == p || o->state == POD_OVER || !o->start_s || o->fail_reason)
			continue;
		while ((have = next_host_port(pod_spec(o), &c, &port)))
			if (ports_clash(want, have))
				return true;
	}
	return false;
}

bool ports_admit(struct pod *p)
{
	const struct node *want;
	size_t c = 0, port = 0;

	while ((want = next_host_port(pod_spec(p), &c, &port))) {
		if (!port_taken(p, want))
			continue;
		pod_fail(p, "NodePorts",
			 "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the "
			 "requested pod ports");
		return false;
	}
	return true;
}

static int protocol_of(const struct node *port)
{
	const char *name = node_gets(port, F_protocol);

	return streq(name, "UDP") ? IPPROTO_UDP : streq(name, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

int ports_up(struct pod *p, struct err *e)
{
	VEC(struct net_port) list = VEC_INIT;
	const struct node *one;
	size_t c = 0, port = 0;
	int r;

	while ((one = next_host_port(pod_spec(p), &c, &port)))
		VEC_PUSH(&list, ((struct net_port){.protocol = protocol_of(one),
						   .host_ip = node_gets(one, F_hostIP),
						   .host_port = (uint16_t)node_int(node_get(one, F_hostPort), 0),
						   .port = (uint16_t)node_int(node_get(one, F_containerPort), 0)}));
	r = net_set_ports(p->agent->net, p->uid, list.v, list.n, e);
	VEC_RELEASE(&list);
	return r;
}
