/*
 * Services on one node: watchers that turn what the API says of Services,
 * endpoints, policies and Ingresses into what this machine does for them. They
 * reach the cluster through client only, and the kernel through net only.
 *
 *	proxy	a Service's addresses and ports lead to its endpoints
 *	policy	NetworkPolicies: which pods may speak to whom
 *	dns	the cluster's names, answered from memory at the cluster's DNS address
 *	lb	addresses of a pool, announced on the network by the node that has them
 *	ingress	HTTP from outside, by host and path, straight to the endpoints
 *
 * Each is a row of parts[] in svc.c. Everything answers from this process's copies
 * of the objects, so it goes on while the server is away. What was put into the
 * kernel stays when the process ends, and is put right when it comes back.
 */
#ifndef SVC_SVC_H
#define SVC_SVC_H

#include "client/client.h"
#include "net/net.h"

struct svc;

struct svc_config {
	struct loop *loop;
	struct client *client;
	struct net *net;
	const char *node_name, *node_ip;
	const char *state_dir; /* <data-dir>/agent */
	const char *cluster_cidr, *service_cidr; /* "10.42.0.0/16", two families by a comma */
	const char *cluster_dns, *cluster_domain; /* "10.43.0.10", two families by a comma; "cluster.local" */
	const char *resolv_conf; /* of the host; NULL: /etc/resolv.conf */
	const char *lb_pool; /* "192.168.1.240-192.168.1.250,192.168.2.0/28"; NULL: none */
	const char *ingress_address; /* what the ingress listens on, "0.0.0.0" */
	int ingress_http_port, ingress_https_port; /* 0: not */
	const char *ingress_access_log; /* a file, "-" the standard output; NULL: none */
	bool no_proxy, no_policy, no_dns, no_ingress, no_lb;
};
/* What the cluster's objects ask for is done as soon as they are known; what can't be done is logged, and told by an
 * event where it concerns an object. */
int svc_new(struct svc **ret, const struct svc_config *cfg, struct err *e) MUST_CHECK;
struct svc *svc_free(struct svc *s); /* before the client and net; the kernel keeps what it was given */

#endif
