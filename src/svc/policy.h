/*
 * NetworkPolicies, what they are made of: the pure part, which knows namespaces,
 * pods and policies and says what the kernel needs (struct net_policy_op), without
 * a cluster and without a kernel; policy.c connects it to both.
 *
 * A pod_sel stands for the pods that a selector selects; a pol_set for their
 * addresses (or their ports of certain names), which the kernel holds as a set, one
 * for all rules of all policies that ask for the same. So a pod that comes, goes or
 * changes its labels is held against the selectors that may apply in its namespace,
 * each once, and changes elements; policies are not looked at.
 */
#ifndef SVC_POLICY_H
#define SVC_POLICY_H

#include "base/map.h"
#include "base/tree.h"
#include "base/vec.h"
#include "doc/doc.h"
#include "net/net.h"

#define POL_DIRS 2 /* enum net_dir */

/* --- sets (policy-set.c) --- */
struct pol_elem {
	RB_ENTRY(pol_elem) link;
	TAILQ_ENTRY(pol_elem) link_changed;
	struct net_policy_elem e;
	unsigned count; /* of pods it comes from; 0: to go */
	bool live, changed; /* in the kernel; in the list of changed ones */
};
RB_HEAD(pol_elems, pol_elem);

struct pol_port_name {
	char name[16];
	uint8_t protocol; /* IPPROTO_TCP, ... */
};
typedef VEC(struct pol_port_name) pol_names;

struct pol_set {
	TAILQ_ENTRY(pol_set) link_all, link_sel, link_changed;
	struct pod_sel *sel; /* whose pods; NULL: what is in it never changes */
	char *key; /* of those that never change: in policy_world.fixed */
	enum net_policy_set kind;
	bool local; /* pods of this node only */
	bool live, changed;
	uint32_t id;
	unsigned users;
	pol_names names; /* of NET_SET_POD_PORT */
	struct pol_elems elems;
	TAILQ_HEAD(, pol_elem) elems_changed;
};

/* --- namespaces, pods, and what selects them (policy-pods.c) --- */
struct pol_port {
	struct pol_port_name name;
	uint16_t port;
};

struct pol_pod {
	RB_ENTRY(pol_pod) link; /* of its namespace, by name */
	struct pol_ns *ns;
	char *name;
	char *id; /* by which the node calls it: net_attach's */
	char *labels; /* "key\0value\0...\0" */
	VEC(struct pol_port) ports; /* those with names */
	struct net_addr addr[2];
	uint8_t n_addr; /* 0: none, or none of its own */
	bool local; /* of this node, with an address of its own */
};
RB_HEAD(pol_pods, pol_pod);

struct pod_sel {
	LIST_ENTRY(pod_sel) link; /* of those that go by labels of namespaces */
	char *key;
	char *ns; /* this namespace only; or */
	struct selector *ns_sel;
	struct selector *pod_sel;
	unsigned refs;
	TAILQ_HEAD(, pol_set) sets;
	VEC(struct policy *) targets; /* policies that are for these pods */
};

struct pol_ns {
	char *name;
	char *labels; /* NULL: the Namespace is not there */
	struct pol_pods pods;
	VEC(struct pod_sel *) sels; /* that may apply to its pods */
};

/* --- policies (policy-rules.c) --- */
struct pol_rule {
	struct pol_set *peer, *port; /* NULL: any */
};

struct policy {
	TAILQ_ENTRY(policy) link_changed;
	char *key, *uid; /* "ns/name" */
	int64_t generation;
	struct pod_sel *target;
	bool has[POL_DIRS]; /* isolates, this way */
	VEC(struct pol_rule) rules[POL_DIRS]; /* any of them accepts */
	uint32_t chain[POL_DIRS];
	bool live[POL_DIRS];
	bool changed, gone;
};

/* --- which policies are for a pod (policy-guard.c) --- */
struct pol_group { /* pods with the same policies share a chain that calls those of the policies */
	char *key;
	enum net_dir dir;
	VEC(struct policy *) policies; /* by chain's number */
	TAILQ_ENTRY(pol_group) link_changed;
	unsigned refs;
	uint32_t chain;
	bool live, changed;
};

struct pol_guard { /* of an address */
	RB_ENTRY(pol_guard) link;
	TAILQ_ENTRY(pol_guard) link_changed;
	struct net_addr addr;
	char *id; /* whose it is */
	bool shut; /* of a pod that is not known yet, or no more */
	struct pol_group *group[POL_DIRS]; /* NULL: not guarded */
	bool live[POL_DIRS];
	uint32_t live_chain[POL_DIRS]; /* 0: shut */
	bool changed;
};
RB_HEAD(pol_guards, pol_guard);

struct policy_world {
	char *node;
	/* The addresses of a pod of this node, by its id; NULL: as its status says. */
	size_t (*addresses)(void *arg, const char *id, struct net_addr out[2]);
	void *arg;
	uint32_t last_id;
	struct map *namespaces; /* struct pol_ns */
	struct map *sels; /* struct pod_sel */
	struct map *fixed; /* struct pol_set, by their elements */
	struct map *policies; /* struct policy, by "ns/name" */
	struct map *groups; /* struct pol_group */
	struct map *locals; /* struct pol_pod of this node, by id */
	LIST_HEAD(, pod_sel) ns_sels;
	TAILQ_HEAD(, pol_set) sets, sets_changed;
	TAILQ_HEAD(, policy) policies_changed;
	TAILQ_HEAD(, pol_group) groups_changed;
	TAILQ_HEAD(, pol_guard) guards_changed;
	struct pol_guards guards;
};

struct policy_world *policy_world_new(const char *node);
struct policy_world *policy_world_free(struct policy_world *w);

/* What the cluster has. Roots are of whole objects. */
void policy_put_namespace(struct policy_world *w, const struct node *root);
void policy_drop_namespace(struct policy_world *w, const char *name);
void policy_put_pod(struct policy_world *w, const struct node *root);
void policy_drop_pod(struct policy_world *w, const char *ns, const char *name);
/* An error: it isolates its pods as it says, but what it would allow isn't allowed. */
int policy_put(struct policy_world *w, const struct node *root, struct err *e) MUST_CHECK;
void policy_drop(struct policy_world *w, const char *ns, const char *name);
/* A pod of this node has got its addresses, or lost them. */
void policy_attached(struct policy_world *w, const char *id);
void policy_detached(struct policy_world *w, const char *id);

/* What has to be done in the kernel since the last time, appended. */
typedef VEC(struct net_policy_op) policy_ops;
void policy_flush(struct policy_world *w, policy_ops *out);
/* The kernel has nothing of it: the next flush tells all. */
void policy_forget(struct policy_world *w);

/* --- between the files --- */
uint8_t pol_protocol(const char *name); /* 0: none of ours; "" is TCP */

struct pol_set *pol_set_of_pods(struct policy_world *w, struct pod_sel *sel, enum net_policy_set kind, bool local,
				const pol_names *names);
struct pol_set *pol_set_fixed(struct policy_world *w, enum net_policy_set kind, const struct net_policy_elem *v,
			      size_t n);
void pol_set_unref(struct policy_world *w, struct pol_set *s); /* freed by a flush, after those that name it */
void pol_set_count(struct policy_world *w, struct pol_set *s, const struct pol_pod *p, int by);
void pol_set_free(struct policy_world *w, struct pol_set *s);
void pol_sets_flush(struct policy_world *w, policy_ops *out);
void pol_sets_sweep(struct policy_world *w, policy_ops *out); /* those without users go */
void pol_sets_forget(struct policy_world *w);

/* ns NULL: namespaces by ns_sel. Selectors are the sel's from now on. */
struct pod_sel *pod_sel_get(struct policy_world *w, const char *ns, struct selector *ns_sel, struct selector *pod_sel);
struct pod_sel *pod_sel_ref(struct pod_sel *s);
void pod_sel_unref(struct policy_world *w, struct pod_sel *s);
void pod_sel_each(struct policy_world *w, struct pod_sel *s, void (*f)(struct policy_world *, struct pol_pod *, void *),
		  void *arg);
bool pod_sel_has(const struct pod_sel *s, const struct pol_pod *p); /* a sel that is in p->ns->sels */
void pol_pods_release(struct policy_world *w);

void policies_flush(struct policy_world *w, policy_ops *out);
void policies_sweep(struct policy_world *w, policy_ops *out);
void policies_forget(struct policy_world *w);
void policies_release(struct policy_world *w);

/* Which policies are for the pod, anew; p->local only. */
void pol_guard_pod(struct policy_world *w, struct pol_pod *p);
/* What the address does is dropped until it is known whose it is. */
void pol_guard_shut(struct policy_world *w, const struct net_addr *a, const char *id);
/* No more by this pod; shut: while the node still has it, all that a guarded address does is dropped. */
void pol_unguard(struct policy_world *w, const struct pol_pod *p, bool shut);
void pol_guards_detach(struct policy_world *w, const char *id);
void pol_guards_release(struct policy_world *w);

#endif
