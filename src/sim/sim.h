/*
 * The player of nodes: makes Nodes and keeps them alive as a kubelet does (Leases,
 * status), and plays the life of the pods that are bound to them, without
 * containers. It knows the cluster through client/client.h alone, so it serves
 * tests with virtual time as well as a server on another machine.
 *
 * One informer of pods and one of nodes serve all nodes that are played; a pod
 * costs a few hundred bytes and two or three writes in its life.
 *
 * What a pod does is said by annotations, "simulate.kinglet.io/" and:
 *
 *	start-after	until its containers run ("2s"; "never"). Default: start_ms
 *	ready-after	from then until they are ready ("never": they never are). Default: ready_ms
 *	run-for		how long they run before they end by themselves. Default: for ever
 *	exit-code	what they end with then; "1,1,0": in the first run, the second, in all others.
 *			Without run-for they end at once
 *	exit-code-N	the same for the pod with completion index N
 *	stop-after	how long they take to stop when they are told to ("never": as long as they
 *			may). Default: stop_ms
 *
 * All of them are read anew whenever they count, so changing one makes a running
 * pod ready, or end. With a container's name behind a dot ("run-for.NAME") they are for
 * that one alone. Init containers are passed.
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "client/client.h"

#define SIM_ANNOTATION "simulate.kinglet.io/"
#define SIM_NEVER (-1)

struct sim;

struct sim_config {
	struct client *client;
	const char *version; /* what the nodes say that they run ("v1.36.2+kinglet1") */
	int64_t start_ms, ready_ms, stop_ms; /* SIM_NEVER: see above */
	int max_calls; /* writes under way at once; 0: 100 */
};
struct sim *sim_new(const struct sim_config *cfg);
/* The Nodes and pods stay as they are, nobody plays them any more. Before the client is freed. */
struct sim *sim_free(struct sim *s);

/* Nodes PREFIX-first to PREFIX-(first + n - 1). NULLs: 32 CPUs, 256Gi, 110 pods. */
struct sim_nodes {
	const char *prefix;
	int first, n;
	const char *cpu, *memory, *pods;
	const char *const *labels; /* "key=value", up to a NULL; beside those that a kubelet sets */
	const char *const *taints; /* "key=value:Effect" */
	int zones; /* > 0: they are spread over "zone-0" .. by topology.kubernetes.io/zone */
};
int sim_add(struct sim *s, const struct sim_nodes *nodes, struct err *e) MUST_CHECK;

/* A node that is cut off says nothing and does nothing that anyone could see; its containers run on, and when it
 * comes back it tells what became of them. False: there is no such node. */
bool sim_cut(struct sim *s, const char *node);
bool sim_join(struct sim *s, const char *node);

struct sim_counts {
	size_t nodes, registered, cut; /* registered: the API has them as Ready */
	size_t pods, running, ready, over; /* on these nodes, as far as they were told */
	uint64_t calls, failed; /* since the start */
	size_t waiting; /* writes that wait or are under way */
};
void sim_counts(const struct sim *s, struct sim_counts *out);

#endif
