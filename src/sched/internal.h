/*
 * The scheduler's own structures.
 *
 * To add a filter or a score: write its file with one function, declare it here,
 * add its row to the table in plugins.c (with the events that can help a pod
 * that it turned away).
 */
#ifndef SCHED_INTERNAL_H
#define SCHED_INTERNAL_H

#include "base/map.h"
#include "base/tree.h"
#include "base/vec.h"
#include "sched/sched.h"
#include "schema/schema.h"

/* --- amounts of resources, by name: cpu in thousandths, all others in units --- */
struct amount {
	char *name;
	int64_t value;
};
struct amounts {
	VEC(struct amount) list;
};
int64_t amounts_get(const struct amounts *a, const char *name);
void amounts_add(struct amounts *a, const char *name, int64_t value);
void amounts_merge(struct amounts *a, const struct amounts *b, int sign); /* a += sign * b */
void amounts_max(struct amounts *a, const struct amounts *b); /* each the larger */
void amounts_read(struct amounts *a, const struct node *list); /* a ResourceList; adds */
void amounts_release(struct amounts *a);
/* What a pod asks for: containers, init containers, overhead, pod-level requests. */
void amounts_of_pod(struct amounts *a, const struct node *spec);

/* --- events that may let a rejected pod in --- */
enum {
	SCHED_ON_NODE = 1, /* a node came, or its labels, taints or allocatable changed */
	SCHED_ON_POD_GONE = 2, /* a pod left a node */
	SCHED_ON_POD_CHANGE = 4 /* the pending pod itself changed */
};

struct sched_port {
	int port;
	char protocol; /* 'T', 'U', 'S' */
	char *ip; /* "" for all */
};

struct sched_pod {
	char *key; /* ns/name */
	struct obj *obj;
	struct amounts requests;
	VEC(struct sched_port) ports;
	int64_t priority;
	/* placed: on a node (bound, or assumed while the binding is under way) */
	struct sched_node *on;
	bool assumed;
	TAILQ_ENTRY(sched_pod) on_link;
	/* pending */
	enum { SCHED_IDLE, SCHED_ACTIVE, SCHED_BACKOFF, SCHED_UNSCHEDULABLE, SCHED_BINDING } queue;
	RB_ENTRY(sched_pod) active_link;
	TAILQ_ENTRY(sched_pod) parked_link; /* in unschedulable */
	int64_t since; /* order of arrival among equals */
	unsigned attempts;
	unsigned helped_by; /* SCHED_ON_* of the filters that turned it away */
	int64_t backoff_until_ms;
	struct loop_timer *backoff;
	char *said; /* the last FailedScheduling message: not said twice in a row to the API */
	struct sched *sched;
};

struct sched_node {
	char *name;
	struct obj *obj;
	struct amounts allocatable, requested;
	int64_t max_pods, n_pods;
	TAILQ_HEAD(, sched_pod) pods;
};

/* --- plugins --- */
struct sched_filter {
	const char *name;
	/* NULL: fits. Otherwise Kubernetes' reason; text may be made in scratch. *hopeless: no preemption helps. */
	const char *(*run)(const struct sched_pod *p, const struct sched_node *n, struct buf *scratch, bool *hopeless);
	unsigned helped_by;
};
struct sched_score {
	const char *name;
	int weight;
	/* Any scale; normalised to 0..100 over all nodes, highest best (lowest best when reversed). */
	int64_t (*run)(const struct sched_pod *p, const struct sched_node *n);
	bool normalise, reversed;
};
extern const struct sched_filter sched_filters[];
extern const size_t sched_n_filters;
extern const struct sched_score sched_scores[];
extern const size_t sched_n_scores;

const char *filter_node_name(const struct sched_pod *, const struct sched_node *, struct buf *, bool *);
const char *filter_unschedulable(const struct sched_pod *, const struct sched_node *, struct buf *, bool *);
const char *filter_taints(const struct sched_pod *, const struct sched_node *, struct buf *, bool *);
const char *filter_affinity(const struct sched_pod *, const struct sched_node *, struct buf *, bool *);
const char *filter_ports(const struct sched_pod *, const struct sched_node *, struct buf *, bool *);
const char *filter_resources(const struct sched_pod *, const struct sched_node *, struct buf *, bool *);
int64_t score_least_allocated(const struct sched_pod *, const struct sched_node *);
int64_t score_balanced(const struct sched_pod *, const struct sched_node *);
int64_t score_spread(const struct sched_pod *, const struct sched_node *);
int64_t score_image(const struct sched_pod *, const struct sched_node *);
int64_t score_affinity(const struct sched_pod *, const struct sched_node *);
int64_t score_taints(const struct sched_pod *, const struct sched_node *);

/* Shared by filter and score of the same subject. */
bool taint_tolerated(const struct node *taint, const struct node *tolerations);
bool node_selector_term_match(const struct node *term, struct obj *node);

/* --- the queue (queue.c) --- */
int sched_active_cmp(struct sched_pod *a, struct sched_pod *b);
RB_HEAD(sched_active, sched_pod);
RB_PROTOTYPE(sched_active, sched_pod, active_link, sched_active_cmp)

struct sched {
	struct client *client;
	struct loop *loop;
	char *name;
	struct informer *pods, *nodes;
	bool pods_synced, nodes_synced;
	struct map *by_key; /* sched_pod */
	struct map *by_name; /* sched_node */
	struct sched_active active;
	TAILQ_HEAD(, sched_pod) unschedulable;
	int64_t arrivals;
	struct loop_task task;
};

void queue_add(struct sched *s, struct sched_pod *p); /* ready to be tried */
void queue_remove(struct sched *s, struct sched_pod *p); /* from wherever it waits */
struct sched_pod *queue_pop(struct sched *s);
void queue_park(struct sched *s, struct sched_pod *p); /* tried, fits nowhere */
void queue_retry(struct sched *s, struct sched_pod *p); /* tried, failed for another reason: after back-off */
void queue_event(struct sched *s, unsigned event); /* SCHED_ON_*: wakes those that it may help */

/* --- what is placed where (cache.c) --- */
struct sched_pod *sched_pod_new(struct sched *s, struct obj *o);
void sched_pod_update(struct sched_pod *p, struct obj *o);
void sched_pod_free(void *p);
void sched_place(struct sched *s, struct sched_pod *p, const char *node);
void sched_unplace(struct sched_pod *p);
struct sched_node *sched_node_get(struct sched *s, const char *name); /* made when absent, without obj */
void sched_node_update(struct sched_node *n, struct obj *o);
void sched_node_free(void *n);

#endif
