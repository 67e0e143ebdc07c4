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

/* --- security.c --- */
int security_spec(struct ctr *c, const struct node *spec, const struct image *img, struct arena *a,
		  struct run_container_spec *out, struct err *e) MUST_CHECK;
/* status.containerStatuses[].user: who its first process was started as. */
void security_put_user(struct doc *d, struct node *status, struct ctr *c);

/* --- users.c --- */
/* *ret 0: the host's users. */
int users_take(struct pod *p, uint32_t *ret, struct err *e) MUST_CHECK;

/* --- ports.c --- */
bool ports_admit(struct pod *p); /* as admit_isolation */
/* Of a pod that has its address; goes with net_detach. */
int ports_up(struct pod *p, struct err *e) MUST_CHECK;

/* --- handler.c --- */
/* -EAGAIN without an error: the class is not known yet; the pod is woken. */
int handler_check(struct pod *p, struct err *e) MUST_CHECK;
void handler_release(struct node_agent *n);
void handler_put(struct node_agent *n, struct doc *d, struct node *status); /* what the Node says of them */

/* --- groups.c --- */
/* Weights of the classes by the pods that are here; writes what changed. */
void groups_run(struct node_agent *n);

#endif
