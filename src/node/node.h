/*
 * The node agent: makes the pods bound to this node run, and says how they are.
 * It reaches the cluster only through client; it serves streams (exec, attach,
 * port-forward, logs) and what is known of the node as HTTP on connections that
 * agent_dial hands out, with the kubelet's paths (the table in server.c):
 *
 *	GET /containerLogs/NS/POD/CONTAINER?follow=&previous=&tailLines=&sinceSeconds=&sinceTime=
 *		&timestamps=&limitBytes=
 *	GET|POST /exec/NS/POD/CONTAINER?command=&input=1&output=1&error=1&tty=1	(WebSocket or SPDY upgrade)
 *	GET|POST /attach/NS/POD/CONTAINER?...
 *	GET|POST /portForward/NS/POD	(WebSocket or SPDY upgrade)
 *	GET /pods, /runningpods, /stats/summary, /healthz
 */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "client/client.h"
#include "image/image.h"
#include "net/net.h"
#include "run/run.h"

struct node_agent;

/* The node's own HTTPS port, as the kubelet has it. */
struct node_listen {
	const char *address; /* NULL: no port */
	int port; /* 0: any */
	const char *cert_pem, *key_pem; /* its serving certificate */
	const char *client_ca_pem;	/* who signs its clients' */
};

struct node_config {
	struct loop *loop;
	struct client *client;
	const char *name;	   /* Node's metadata.name */
	const char *ip, *ip2;	   /* InternalIP, and that of the second family or NULL */
	const char *pod_cidr;	   /* spec.podCIDRs, by a comma; NULL: none */
	const char *external_ip;   /* ExternalIP, several by commas; NULL: none */
	const char *state_dir;	   /* <data-dir>/agent */
	const char *version;	   /* kubeletVersion, "v1.36.2+kinglet1" */
	const char *const *labels; /* "k=v", NULL-terminated or NULL; at first registration only */
	const char *const *taints;
	const char *cluster_dns, *cluster_domain; /* "10.43.0.10", two by a comma, or NULL; "cluster.local" */
	const char *pod_logs_dir;		  /* NULL: <state_dir>/logs/pods */
	const char *resolv_conf;		  /* NULL: /etc/resolv.conf */
	const char *service_host; /* KUBERNETES_SERVICE_HOST and port for containers; may be NULL */
	int service_port;
	int max_pods; /* 0: 110 */
	const char *manifest_dir; /* of static pods; NULL: none */
	const char *const *kubelet_args; /* "name=value" (args.c has the names), NULL-terminated or NULL */
	struct runtime
		*runtime; /* its callbacks are agent_on_exit, agent_on_sandbox_lost with the agent as arg */
	struct image_store *images;
	struct image_gc_policy image_gc; /* all 0: the defaults */
	struct net *net; /* NULL: only host-network pods can run */
	struct node_listen listen;
};
/* What agent_new would refuse, before anything is made. */
int agent_check_args(const char *const *kubelet_args, struct err *e) MUST_CHECK;
int agent_new(struct node_agent **ret, const struct node_config *cfg, struct err *e) MUST_CHECK;
void agent_start(struct node_agent *n); /* registers, recovers, follows its pods */
/* Leaves pods running. The loop must not turn between this and client_free: answers may be on their way. */
struct node_agent *agent_free(struct node_agent *n);

void agent_on_exit(void *agent, struct sandbox *s, const struct container_status *st);
void agent_on_sandbox_lost(void *agent, struct sandbox *s);

/* A socket connected to the agent's HTTP server: fd or -errno. */
int agent_dial(struct node_agent *n);

#endif
