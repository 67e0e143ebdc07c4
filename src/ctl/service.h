/*
 * What the controllers of endpoints have in common: which pods are behind a Service
 * (service-pods.c), and how a set of endpoints is kept as EndpointSlices (slices.c).
 */
#ifndef CTL_SERVICE_H
#define CTL_SERVICE_H

#include "ctl/internal.h"

#define SLICE_SERVICE "kubernetes.io/service-name" /* labels */
#define SLICE_MANAGER "endpointslice.kubernetes.io/managed-by"
#define SLICE_SKIP_MIRROR "endpointslice.kubernetes.io/skip-mirror"
#define SERVICE_HEADLESS "service.kubernetes.io/headless"
#define LAST_CHANGE "endpoints.kubernetes.io/last-change-trigger-time" /* annotation */

/* --- Services --- */
/* It selects pods whose endpoints somebody here has to find: no ExternalName, no Service without selector. */
bool service_has_pods(const struct node *root);
bool service_is_headless(const struct node *root);
/* All labels of labels are a Service's, but those that are reserved; plus the label headless where it is so. */
struct node *service_labels(struct doc *d, const struct node *root);

/* --- pods --- */
struct service_pod {
	struct kid *pod;
	const struct node *root; /* its tree, until the end of this turn */
};
typedef VEC(struct service_pod) service_pods;

/* Those that the Service o selects and that have an address; those that are over are none, nor, unless `terminating`,
 * those that are to go. In order of their names. */
void service_pods_find(const struct kids *k, struct obj *o, bool terminating, service_pods *out);
bool service_pod_is_ready(const struct service_pod *p, const struct node *service);
/* Its first address of that family; NULL: it has none. */
const char *service_pod_ip(const struct service_pod *p, bool six);
/* The Service's ports as that pod has them: {name, port, protocol, appProtocol}; those that it does not have are
 * left out. Always an array. */
struct node *service_pod_ports(struct doc *d, const struct node *service, const struct service_pod *p);
/* Its name within the Service: spec.hostname, when its subdomain is that Service; or NULL. */
const char *service_pod_hostname(const struct service_pod *p, struct obj *service);
/* {kind: Pod, namespace, name, uid} */
struct node *service_pod_ref(struct doc *d, const struct service_pod *p);
/* The time of the last change among the Service and its pods, in nanoseconds. */
int64_t service_last_change(struct obj *o, const service_pods *pods);

/* --- slices --- */
#define SLICE_MAX 100 /* endpoints, as Kubernetes' --max-endpoints-per-slice */

struct slice_group { /* endpoints of one family with the same ports */
	const char *family; /* "IPv4", "IPv6", "FQDN"; a literal */
	const struct node *ports;
	char *key;
	VEC(struct node *) endpoints;
};
struct slices { /* what there is to be */
	struct doc *doc; /* where the nodes live */
	struct obj *owner; /* borrowed: a Service, or Endpoints */
	const char *service, *manager;
	struct node *labels, *annotations; /* of each slice, without the reserved ones; NULL: none */
	const char *families[3]; /* that need a slice even when there is nothing to put in; literals, NULL ends */
	VEC(struct slice_group) groups;
};

void slices_init(struct slices *s, struct obj *owner, const char *service, const char *manager);
void slices_release(struct slices *s);
/* endpoint and ports are nodes of s->doc. */
void slices_add(struct slices *s, const char *family, const struct node *ports, struct node *endpoint);
/* Plans what is missing. An endpoint stays in the slice that has it; the fewest slices are written. */
void slices_plan(const struct slices *s, const struct kids *k, struct plan *out);

#endif
