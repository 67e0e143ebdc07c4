/*
 * What keeps pods apart and within bounds, as the node's other files see it.
 *
 *	args.c     the kubelet's settings (--kubelet-arg)
 *	admit.c    what this node refuses before it makes anything
 *	sysctl.c   which kernel parameters a pod may set (pure)
 *	groups.c   the cgroups of the QoS classes
 *	security.c securityContext to run_container_spec
 *	users.c    ranges of user ids for pods with hostUsers: false
 *	ports.c    host ports
 *	handler.c  RuntimeClass
 */
#ifndef NODE_ISOLATE_H
#define NODE_ISOLATE_H

#include "node/internal.h"

/* --- args.c: "name=value" as the kubelet's command line has it --- */
int args_apply(struct node_agent *n, const char *const *args, struct err *e) MUST_CHECK;
void args_release(struct node_agent *n);

/* --- admit.c --- */
/* False: the pod was failed with the reason. */
bool admit_isolation(struct pod *p);

/* --- sysctl.c --- */
/* NULL when the node allows it, else why not, as the kubelet words it; in a. unsafe: names and prefixes with "*". */
const char *sysctl_refusal(const char *name, char *const *unsafe, bool host_net, bool host_ipc, struct arena *a);
/* For the operator's list: NULL or what is wrong with the entry. */
const char *sysctl_pattern_problem(const char *pattern);
char *sysctl_dotted(const char *name, struct arena *a); /* with dots as separators */

/* --- groups.c --- */
/* Weights of the classes by the pods that are here; writes what changed. */
void groups_run(struct node_agent *n);

#endif
