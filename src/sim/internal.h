/*
 * The player's own structures. An actor is what wakes by time and writes: a node's
 * Lease, a node's status, a pod. Each has at most one write under way; how many
 * there are at once over all is bounded, the others wait in line.
 */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "base/map.h"
#include "base/time.h"
#include "base/tree.h"
#include "base/vec.h"
#include "schema/schema.h"
#include "sim/sim.h"

#define SIM_LEASE_NS "kube-node-lease"
#define SIM_LEASE_S 40
#define SIM_LEASE_MS 10000
#define SIM_STATUS_MS 300000
#define SIM_RETRY_MS 1000
#define SIM_FOR_EVER INT64_MAX

struct sim_actor;
struct sim_role {
	void (*wake)(struct sim_actor *a); /* its time has come */
	void (*send)(struct sim_actor *a); /* it may do one call: sim_call gives what to call with */
	void (*sent)(struct sim_actor *a, struct obj *o, const struct err *err);
};

struct sim_actor {
	const struct sim_role *role;
	struct sim *sim;
	RB_ENTRY(sim_actor) due_link;
	TAILQ_ENTRY(sim_actor) line_link;
	int64_t due_ms; /* 0: not set */
	uint64_t number; /* of its setting: what is due at once wakes in this order */
	bool in_line;
	struct sim_call *call; /* under way */
};
RB_HEAD(sim_due, sim_actor);

struct sim_node {
	struct sim_actor lease, status;
	char *name, *cpu, *memory, *max_pods;
	char **labels, **taints; /* NULL-terminated; may be NULL */
	int index; /* over all nodes: its address is made of it */
	int zone; /* -1: none */
	bool registered, leased, cut;
	struct obj *obj; /* as the informer last showed it */
	TAILQ_HEAD(, sim_pod) pods;
};

enum sim_state { SIM_WAIT, SIM_UP, SIM_DOWN };

struct sim_run { /* one run of a container that is over */
	int exit_code;
	int64_t started_s, finished_s;
};

struct sim_ctr {
	enum sim_state state;
	bool ready;
	int runs; /* that were begun */
	int64_t due_ms; /* WAIT: when it starts; UP: when it ends */
	int64_t started_ms, started_s;
	int64_t backoff_ms;
	struct sim_run last; /* DOWN, or WAIT after a run */
};

struct sim_pod {
	struct sim_actor actor;
	TAILQ_ENTRY(sim_pod) link; /* of its node */
	struct sim_node *node;
	struct obj *obj; /* the newest that was seen */
	uint32_t ip; /* 0: the node's */
	bool untold; /* the API does not know all yet */
	bool over; /* no container will run again */
	bool let_go; /* the API was asked to forget it */
	bool late; /* its deadline passed */
	int64_t begun_ms, begun_s; /* when it was first seen here */
	int64_t stop_ms; /* when its containers have stopped; 0: not asked to */
	size_t n_ctrs;
	struct sim_ctr ctrs[]; /* those of spec.containers */
};

struct sim {
	struct sim_config cfg;
	char *version;
	struct loop *loop;
	const struct resource *r_pods, *r_nodes, *r_leases;
	struct informer *pods_of, *nodes_of;
	struct map *nodes; /* by name */
	struct map *pods; /* by "ns/name" */
	VEC(struct sim_node *) list; /* as they were added */
	struct sim_due due;
	TAILQ_HEAD(, sim_actor) line;
	TAILQ_HEAD(, sim_call) calls;
	struct loop_timer *timer;
	struct loop_task task;
	uint64_t n_set, n_calls, n_failed;
	uint32_t next_ip;
	size_t n_line, n_under_way;
};

/* --- actors: sim.c --- */
void sim_actor_init(struct sim *s, struct sim_actor *a, const struct sim_role *role);
void sim_actor_end(struct sim_actor *a); /* its call, if any, goes on without it */
void sim_wake_at(struct sim_actor *a, int64_t ms); /* monotonic; SIM_FOR_EVER: not any more */
void sim_want(struct sim_actor *a, bool first); /* a call; first: before those that wait */
/* The call that send is to make: done and arg for one of client.h's short forms. */
void sim_called(void *arg, struct obj *o, const struct err *err);
struct sim_call *sim_call(struct sim_actor *a);
int64_t sim_now(const struct sim *s);

/* --- nodes: node.c --- */
struct sim_node *sim_node_new(struct sim *s, const struct sim_nodes *from, int number);
void sim_node_free(void *node);
void sim_node_seen(struct sim_node *n, struct obj *o); /* NULL: it was deleted */
void sim_node_joined(struct sim_node *n);
void sim_node_ip(const struct sim_node *n, char out[16]);

/* --- pods: pod.c, what their containers do: life.c, what is told of them: status.c --- */
void sim_pod_seen(struct sim *s, struct obj *o);
void sim_pod_gone(struct sim *s, struct obj *o);
void sim_pod_free(void *pod);
void sim_pod_go(struct sim_pod *p); /* does what is due now */
/* Moves the containers on; true when anything changed that is to be told. *next: when there is more to do. */
bool sim_life(struct sim_pod *p, int64_t now, int64_t *next);
bool sim_life_begin(struct sim_pod *p); /* from what the object says; false: nothing yet */
const char *sim_phase(const struct sim_pod *p);
bool sim_is_ready(const struct sim_pod *p); /* its gates, too */
struct doc *sim_status(const struct sim_pod *p);

#endif
