/*
 * The scheduler's own structures.
 *
 *	sched.c     its life: follows pods and nodes, tries what is pending, binds
 *	queue.c     what waits, and what wakes it
 *	cache.c     what is placed where; labels.c amounts.c rules.c: what of an object it keeps for that
 *	trial.c     one look at the nodes for one pod: filters, scores
 *	plugins.c   the tables of filters (filter-*.c) and scores (score-*.c)
 *	preempt.c   whom a pod of higher priority may push out
 *	claims.c    claims that are bound to volumes when their pod gets its node
 *	say.c       conditions, events, messages
 *
 * To add a filter or a score: write its file, declare it here, add its row to
 * the table in plugins.c (with the events that can help a pod that it turned
 * away).
 *
 * Pods and nodes are kept in compiled form: trees of objects are only looked at
 * when an object comes, and for the one pod that is being placed.
 */
#ifndef SCHED_INTERNAL_H
#define SCHED_INTERNAL_H

#include "base/map.h"
#include "base/tree.h"
#include "base/vec.h"
#include "sched/sched.h"
#include "schema/placement.h"

struct sched_node;
struct sched_pod;
struct sched_cycle;

/* --- amounts of resources, by name: cpu in thousandths, all others in units; sorted by name --- */
struct amount {
	char *name;
	int64_t value;
};
struct amounts {
	VEC(struct amount) list;
};
int64_t amounts_get(const struct amounts *a, const char *name);
void amounts_merge(struct amounts *a, const struct amounts *b, int sign); /* a += sign * b */
void amounts_read(struct amounts *a, const struct node *list); /* a ResourceList; adds */
void amounts_release(struct amounts *a);
/* What a pod asks for: containers, init containers, overhead, pod-level requests. */
void amounts_of_pod(struct amounts *a, const struct node *spec);

/* --- labels.c: labels, and counts by topology --- */
struct labels { /* lengths, key and value after each other, as labels.c has it; NULL when there are none */
	char *text;
	size_t n;
};
void labels_read(struct labels *l, const struct node *labels);
const char *labels_get(const struct labels *l, const char *key); /* NULL: absent */
const char *labels_get_any(const void *labels, const char *key); /* the same, as others call it */
bool labels_match(const struct labels *l, const struct selector *s);
void labels_release(struct labels *l);

/* How many (or how much) for each value of a topology key. */
struct counts;
void counts_add(struct counts **c, const char *key, const char *value, int64_t n); /* n 0: it is there */
int64_t counts_get(const struct counts *c, const char *key, const char *value);
/* Lowest count among the values of key; *domains: how many values there are. */
int64_t counts_min(struct counts *c, const char *key, size_t *domains);
bool counts_all_zero(const struct counts *c);
struct counts *counts_free(struct counts *c);

/* --- rules.c: what a pod says of other pods --- */
struct rule_term { /* a term of pod affinity or anti-affinity */
	struct selector *selector, *namespaces_by; /* the latter NULL: only by name */
	char *key; /* topology */
	VEC(char *) namespaces;
	int64_t weight; /* of a preferred one */
};
struct rule_terms {
	VEC(struct rule_term) list;
};
struct rule_spread { /* a topology spread constraint */
	struct selector *selector;
	char *key;
	int64_t max_skew, min_domains;
	bool hard, honor_affinity, honor_taints;
};
struct rules {
	struct rule_terms near, apart; /* required */
	struct rule_terms like_near, like_apart; /* preferred */
	VEC(struct rule_spread) spread;
};
struct rules *pod_rules_read(const struct node *root); /* NULL: it says nothing */
struct rules *pod_rules_free(struct rules *r);
/* Does the term, of a pod in whose rules it stands, mean this pod? */
bool rule_means(const struct rule_term *t, const struct sched_pod *p);
bool pod_rules_mean(const struct rule_terms *all, const struct sched_pod *p); /* each of them; none: false */

/* --- events that may let a rejected pod in --- */
enum {
	SCHED_ON_NODE = 1, /* a node came, or its labels, taints or allocatable changed */
	SCHED_ON_POD_GONE = 2, /* a pod left a node */
	SCHED_ON_POD_CHANGE = 4, /* the pending pod itself changed */
	SCHED_ON_POD_PLACED = 8, /* a pod came to a node, or its labels changed */
	SCHED_ON_VOLUME = 16 /* a claim, a volume, a class */
};

struct sched_port {
	int port;
	char protocol; /* 'T', 'U', 'S' */
	char *ip; /* "" for all */
};

struct sched_namespace {
	char *name;
	bool there;
	size_t refs; /* pods of it, placed or not */
	struct labels labels;
	TAILQ_HEAD(, sched_pod) pods; /* placed */
};

struct sched_owned { /* how many pods of an owner are on a node and stay */
	struct sched_node *node;
	uint32_t n;
};
struct sched_owner { /* what the pods of one owner in one namespace have in common */
	char *key; /* "ns/uid" */
	size_t refs; /* pods of it, placed or not */
	VEC(struct sched_owned) on;
};

struct sched_pod {
	char *key; /* ns/name */
	struct obj *obj;
	struct sched_namespace *in;
	struct amounts requests;
	struct labels labels;
	struct rules *rules; /* NULL: none */
	VEC(struct sched_port) ports;
	VEC(char *) claims; /* names of PersistentVolumeClaims */
	struct sched_owner *owner; /* the first one, or NULL */
	int64_t priority, start_s;
	bool deleting, by_preemption;
	/* placed: on a node (bound, or assumed while the binding is under way) */
	struct sched_node *on;
	bool assumed;
	TAILQ_ENTRY(sched_pod) on_link, in_link, rules_link;
	/* pending */
	enum { SCHED_IDLE, SCHED_ACTIVE, SCHED_BACKOFF, SCHED_UNSCHEDULABLE, SCHED_BINDING } queue;
	RB_ENTRY(sched_pod) queue_link; /* in active or unschedulable */
	int64_t since; /* order of arrival among equals */
	unsigned attempts;
	unsigned helped_by; /* SCHED_ON_* of the filters that turned it away */
	int64_t backoff_until_ms;
	struct loop_timer *backoff;
	struct sched_node *nominated; /* others were pushed out there for it */
	TAILQ_ENTRY(sched_pod) nominated_link;
	char *woken_for; /* name of the node whose change woke it */
	struct claims_wait *wait; /* while claims are being bound */
	char *said; /* the last FailedScheduling message: not said twice in a row to the API */
	struct sched *sched;
};
TAILQ_HEAD(sched_pod_list, sched_pod);

/* What is assumed of a pod that does not say what it needs, when nodes are compared. */
#define SCHED_DEFAULT_CPU_M 100
#define SCHED_DEFAULT_MEMORY (200ll * 1024 * 1024)

struct sched_image {
	uint64_t hash; /* of a name */
	int64_t size;
};
struct sched_node {
	char *name;
	bool there; /* there is such a Node; else only pods that say they run there */
	size_t at; /* in sched.nodes */
	struct labels labels;
	struct place place; /* the same as schema/placement.h wants it */
	VEC(struct taint) taints; /* strings are ours */
	VEC(struct sched_image) images; /* sorted */
	bool unschedulable;
	struct amounts allocatable, requested;
	/* Of those, what nearly every pod asks for. */
	int64_t cpu, memory, used_cpu, used_memory;
	int64_t scored_cpu, scored_memory; /* requests, or what is assumed of pods without */
	int64_t max_pods, n_pods;
	struct sched_pod_list pods, nominated;
	unsigned woke; /* SCHED_ON_*: what happened to it since the queue was last looked through */
	TAILQ_ENTRY(sched_node) woke_link;
};

/* --- one pod's attempt: what is found out once for all nodes --- */
struct cycle_near { /* InterPodAffinity */
	struct counts *kept_off; /* by others' required anti-affinity */
	struct counts *near, *apart; /* pods that the terms mean */
	struct counts *score;
	VEC(const char *) kept_off_keys, score_keys;
};
struct cycle_spread {
	struct counts **of; /* for each hard constraint of the rules, in their order; NULL for soft ones */
	size_t n;
	struct counts **soft; /* as the scores want them */
	double *weight; /* of each soft constraint */
	uint32_t *owned_on; /* by sched_node.at: pods of the same owner, when the constraints are the default ones */
	bool *ignored; /* for each node that fits */
};
struct cycle_claims {
	VEC(struct obj *) bound; /* PersistentVolumes */
	VEC(struct obj *) later; /* claims that are bound when the node is known, the smallest first */
	struct obj **found; /* for each of them: claims_place */
	VEC(const char *) once; /* names of those that are ReadWriteOncePod */
	int64_t once_users; /* placed pods that use one of these */
};
struct sched_cycle {
	struct sched *s;
	struct sched_pod *p;
	const struct node *spec; /* the pod's */
	unsigned on; /* filters that have something to say of this pod: bits by row */
	struct buf scratch;
	char *nowhere; /* a reason that holds for all nodes */
	struct cycle_near near;
	struct cycle_spread spread;
	struct cycle_claims claims;
};

/* --- plugins --- */
struct sched_filter {
	const char *name;
	/* False: this pod needs no such filter. Sets c->nowhere when no node can do. NULL: always. */
	bool (*prepare)(struct sched_cycle *c);
	/* NULL: fits. Otherwise Kubernetes' reasons, one for each line; *hopeless: no preemption helps. */
	const char *(*run)(struct sched_cycle *c, const struct sched_node *n, bool *hopeless);
	/* Another pod comes to (1) or leaves (-1) the node, for a what-if; NULL: the filter looks at the node itself. */
	void (*count)(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign);
	void (*done)(struct sched_cycle *c);
	unsigned helped_by;
};
enum score_scale {
	SCORE_AS_IS, /* 0..100 */
	SCORE_HIGH_BEST, /* the highest becomes 100 */
	SCORE_LOW_BEST, /* 0 becomes 100, the highest 0 */
	SCORE_RANGE, /* the lowest 0, the highest 100 */
	SCORE_SPREAD /* PodTopologySpread's own; -1 counts for nothing */
};
struct sched_score {
	const char *name;
	int weight;
	/* False: nothing to say of this pod. NULL: always. */
	bool (*prepare)(struct sched_cycle *c, struct sched_node *const *fit, size_t n);
	int64_t (*run)(struct sched_cycle *c, const struct sched_node *n, size_t at); /* at: in fit */
	enum score_scale scale;
};
extern const struct sched_filter sched_filters[];
extern const size_t sched_n_filters;
extern const struct sched_score sched_scores[];
extern const size_t sched_n_scores;

#define SCHED_FILTER(name) const char *name(struct sched_cycle *c, const struct sched_node *n, bool *hopeless)
SCHED_FILTER(filter_unschedulable);
SCHED_FILTER(filter_node_name);
SCHED_FILTER(filter_taints);
SCHED_FILTER(filter_affinity);
SCHED_FILTER(filter_ports);
SCHED_FILTER(filter_resources);
SCHED_FILTER(filter_claims);
SCHED_FILTER(filter_spread);
SCHED_FILTER(filter_near);
bool filter_node_name_prepare(struct sched_cycle *c);
bool filter_affinity_prepare(struct sched_cycle *c);
bool filter_ports_prepare(struct sched_cycle *c);
bool filter_devices_prepare(struct sched_cycle *c);
bool filter_claims_prepare(struct sched_cycle *c);
bool filter_spread_prepare(struct sched_cycle *c);
bool filter_near_prepare(struct sched_cycle *c);
void filter_spread_count(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign);
void filter_near_count(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign);
void filter_claims_count(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n, int sign);
void filter_claims_done(struct sched_cycle *c);
void filter_spread_done(struct sched_cycle *c);
void filter_near_done(struct sched_cycle *c);

#define SCHED_SCORE(name) int64_t name(struct sched_cycle *c, const struct sched_node *n, size_t at)
#define SCHED_SCORE_PREPARE(name) bool name(struct sched_cycle *c, struct sched_node *const *fit, size_t n)
SCHED_SCORE(score_least_allocated);
SCHED_SCORE(score_balanced);
SCHED_SCORE(score_spread);
SCHED_SCORE(score_image);
SCHED_SCORE(score_affinity);
SCHED_SCORE(score_taints);
SCHED_SCORE(score_near);
SCHED_SCORE_PREPARE(score_balanced_prepare);
SCHED_SCORE_PREPARE(score_spread_prepare);
SCHED_SCORE_PREPARE(score_image_prepare);
SCHED_SCORE_PREPARE(score_affinity_prepare);
SCHED_SCORE_PREPARE(score_near_prepare);

/* Shared by filter and score of the same subject, and by others. */
bool taints_tolerated(const struct sched_node *n, const struct node *tolerations); /* but PreferNoSchedule */

/* --- trial.c --- */
struct sched_reason {
	char *text;
	int64_t nodes;
};
struct sched_trial { /* one look at the nodes for one pod */
	VEC(struct sched_node *) fit;
	VEC(struct sched_node *) hopeful; /* turned away, but room could be made */
	VEC(struct sched_reason) reasons;
	int64_t nodes;
	unsigned helped_by;
};
void cycle_begin(struct sched_cycle *c, struct sched *s, struct sched_pod *p);
void cycle_end(struct sched_cycle *c);
/* A what-if: p comes to n, or leaves it, for the cache and for this cycle. */
void cycle_place(struct sched_cycle *c, struct sched_pod *p, struct sched_node *n);
void cycle_unplace(struct sched_cycle *c, struct sched_pod *p);
/* Also with all those that are nominated for n and at least as important. t NULL: nobody asks why not. */
bool trial_fits(struct sched_cycle *c, struct sched_node *n, struct sched_trial *t);
void trial_look(struct sched_cycle *c, struct sched_trial *t);
struct sched_node *trial_best(struct sched_cycle *c, const struct sched_trial *t);
void trial_reason(struct sched_trial *t, struct str text);
void trial_release(struct sched_trial *t);

/* --- preempt.c --- */
/* Finds a node where p fits when others of lower priority go, and makes them go: that node. NULL: there is none, and
 * *why says so in the words of the FailedScheduling message (owned by the caller). */
struct sched_node *preempt(struct sched_cycle *c, const struct sched_trial *t, char **why);
void sched_nominate(struct sched_pod *p, struct sched_node *n); /* NULL: no longer */

/* --- claims.c --- */
/* What c->claims.later needs for p to run on n is asked for; 0: nothing (left) to wait for, 1: claims_bound is called,
 * in time or not. */
int claims_bind(struct sched_cycle *c, struct sched_node *n);
void claims_bound(struct sched *s, struct sched_pod *p, bool ok); /* sched.c */
void claims_cancel(struct sched_pod *p);
void claims_changed(struct sched *s, struct obj *claim, struct obj *old); /* wakes those that wait for it */
/* Fills c->claims.found with what each claim would get on n, NULL where a volume is to be made; false: one gets none. */
bool claims_place(struct sched_cycle *c, const struct sched_node *n);

/* --- say.c --- */
/* Of a pod that stays pending: its condition, its nominated node, an event. */
void say_unschedulable(struct sched *s, struct sched_pod *p, const char *reason, const char *message);
/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." preemption: what came of that. */
char *say_message(const struct sched_trial *t, const char *preemption);

/* --- the queue (queue.c) --- */
int sched_queue_cmp(struct sched_pod *a, struct sched_pod *b);
RB_HEAD(sched_queue, sched_pod);
RB_PROTOTYPE(sched_queue, sched_pod, queue_link, sched_queue_cmp)

/* What the scheduler follows, beside pods and nodes; see sched.c's table. */
enum sched_kind { KIND_NODES, KIND_NAMESPACES, KIND_BUDGETS, KIND_CLAIMS, KIND_VOLUMES, KIND_CLASSES, KIND_PODS, KINDS };

struct sched {
	struct client *client;
	struct loop *loop;
	char *name;
	struct informer *of[KINDS];
	struct sched_follow *follow; /* one for each of them */
	unsigned synced; /* bits by sched_kind */
	struct map *by_key; /* sched_pod */
	struct map *by_name; /* sched_node */
	struct map *by_ns; /* sched_namespace */
	struct map *by_owner; /* sched_owner */
	struct map *image_nodes; /* how many nodes have it, by the hash of its name (as 8 bytes) */
	VEC(struct sched_node *) nodes; /* those that are there */
	size_t next_node; /* where the next look begins */
	struct sched_pod_list with_rules; /* placed, and with terms about other pods */
	struct sched_queue active, unschedulable;
	TAILQ_HEAD(, sched_node) woke; /* nodes that something happened to */
	unsigned woke_all; /* SCHED_ON_* that are about no node in particular */
	int64_t arrivals;
	struct loop_task task;
};

void queue_add(struct sched *s, struct sched_pod *p); /* ready to be tried */
void queue_remove(struct sched *s, struct sched_pod *p); /* from wherever it waits */
struct sched_pod *queue_pop(struct sched *s);
void queue_park(struct sched *s, struct sched_pod *p); /* tried, fits nowhere */
void queue_retry(struct sched *s, struct sched_pod *p); /* tried, failed for another reason: after back-off */
/* Something happened (SCHED_ON_*), to one node or (NULL) at large: at the end of the turn those that it may help are
 * woken. */
void queue_event(struct sched *s, struct sched_node *n, unsigned event);
void queue_wake(struct sched *s); /* now */

/* --- what is placed where (cache.c) --- */
struct sched_pod *sched_pod_new(struct sched *s, struct obj *o);
void sched_pod_update(struct sched_pod *p, struct obj *o);
void sched_pod_free(void *p);
void sched_place(struct sched_pod *p, struct sched_node *n);
void sched_unplace(struct sched_pod *p);
struct sched_node *sched_node_get(struct sched *s, const char *name); /* made when absent, not there */
void sched_node_update(struct sched *s, struct sched_node *n, struct obj *o); /* NULL: it is gone */
bool sched_node_drop(struct sched *s, struct sched_node *n); /* when nothing is left of it: true */
void sched_node_free(struct sched_node *n);
struct sched_namespace *sched_namespace_get(struct sched *s, const char *name);
void sched_namespace_drop(struct sched *s, struct sched_namespace *n); /* when nothing is left of it */
void sched_namespace_free(void *n);
void sched_owner_free(void *o);
bool sched_asks_nothing(const struct sched_pod *p); /* neither cpu nor memory */

#endif
