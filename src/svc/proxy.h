/*
 * The service proxy's own: what a Service and its EndpointSlices ask of this node
 * (proxy-plan.c: decisions, no kernel, no loop), and the health checks of load
 * balancers (health.c).
 */
#ifndef SVC_PROXY_H
#define SVC_PROXY_H

#include "base/arena.h"
#include "svc/internal.h"

/* --- the choice of endpoints, as kube-proxy's CategorizeEndpoints --- */
struct proxy_endpoint {
	struct net_endpoint to;
	bool ready, serving, terminating;
	bool local; /* on this node */
	bool zone_hints, for_zone; /* it has some; ours is among them */
	bool node_hints, for_node;
};
struct proxy_choice {
	struct net_endpoint *cluster, *local; /* room for n each */
	size_t n_cluster, n_local;
	bool any; /* usable ones somewhere */
};
void proxy_choose(const struct proxy_endpoint *v, size_t n, bool use_cluster, bool use_local, struct proxy_choice *c);

/* --- one Service --- */
struct proxy_view { /* this node */
	const char *node_name;
	const char *zone; /* its label topology.kubernetes.io/zone; "" none */
	struct net_addr node_ip;
};
struct proxy_plan {
	struct arena *arena; /* all that ports point to */
	VEC(struct net_service_port) ports; /* none: not for us */
	int64_t created;
	int health_port; /* 0: none */
	size_t local_ready; /* addresses of ready endpoints on this node */
	size_t endpoints; /* in all lists */
	size_t dropped; /* beyond what one Service may have */
};
void proxy_plan_make(struct proxy_plan *p, const struct proxy_view *v, struct obj *service,
		     const svc_slice_list *slices); /* slices may be NULL */
void proxy_plan_release(struct proxy_plan *p);

/* --- health.c --- */
struct health;
struct health *health_new(struct loop *l);
struct health *health_free(struct health *h);
/* port 0: none. key: "NAMESPACE/NAME". A port that can't be had is logged, and tried again when the Service changes. */
void health_set(struct health *h, const char *key, int port, size_t local_endpoints);

#endif
