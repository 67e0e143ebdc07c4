/*
 * A node that runs out of something: what is kept back for itself, when it is
 * under pressure, and who has to go then.
 *
 *	reserve.c    capacity, reservations, allocatable
 *	threshold.c  when memory, disk or processes are short, and the order of eviction (pure)
 *	admit-room.c room for a pod, and who makes room for a critical one
 *	observe.c    what is left of each
 *	evict.c      conditions, reclaiming, eviction, admission under pressure
 */
#ifndef NODE_PRESSURE_H
#define NODE_PRESSURE_H

#include "node/internal.h"

/* --- threshold.c: settings --- */
enum evict_signal {
	SIGNAL_MEMORY,
	SIGNAL_ALLOCATABLE, /* of what pods may have of the memory; a copy of SIGNAL_MEMORY's hard threshold */
	SIGNAL_NODEFS,
	SIGNAL_NODEFS_INODES,
	SIGNAL_IMAGEFS,
	SIGNAL_IMAGEFS_INODES,
	SIGNAL_CONTAINERFS, /* containers write to nodefs here: may be set, and means nothing, as in the kubelet */
	SIGNAL_CONTAINERFS_INODES,
	SIGNAL_PID,
	SIGNALS
};
enum evict_resource { EVICT_MEMORY, EVICT_STORAGE, EVICT_INODES, EVICT_PIDS };
enum pressure { PRESSURE_MEMORY, PRESSURE_DISK, PRESSURE_PID, PRESSURES };

struct evict_amount {
	bool set;
	double share; /* of the capacity; 0: it is value */
	int64_t value;
	char format; /* of struct quantity */
};
struct threshold {
	struct evict_amount at, reclaim; /* how much more than that has to be free again */
	int64_t grace_ms;		 /* 0: hard */
	int64_t since_ms;		 /* monotonic; 0: it is not met */
	bool due;			 /* met for as long as its grace, or not yet enough was reclaimed */
};
struct thresholds {
	struct threshold hard[SIGNALS], soft[SIGNALS];
	int64_t transition_ms; /* a condition stays for so long after it was last seen */
	int64_t max_grace_s;   /* of pods that a soft threshold evicts */
	int64_t seen_ms[PRESSURES]; /* monotonic; 0: never */
};
struct observation {
	bool known;
	int64_t available, capacity;
};

void thresholds_default(struct thresholds *t);
/* Lists as on the kubelet's command line; what is not in a list of thresholds is then none. */
int thresholds_parse(struct thresholds *t, bool soft, const char *list, struct err *e) MUST_CHECK;
int thresholds_parse_grace(struct thresholds *t, const char *list, struct err *e) MUST_CHECK;
int thresholds_parse_reclaim(struct thresholds *t, const char *list, struct err *e) MUST_CHECK;
int thresholds_finish(struct thresholds *t, struct err *e) MUST_CHECK; /* when all is parsed */
int64_t amount_of(const struct evict_amount *a, int64_t capacity);

/* --- threshold.c: what follows from what is seen --- */
void thresholds_see(struct thresholds *t, const struct observation o[SIGNALS], int64_t now_ms);
/* The one that is reclaimed for, memory before all; NULL: none is due. */
const struct threshold *thresholds_due(const struct thresholds *t, enum evict_signal *signal);
/* Whether any threshold (of all, whatever their grace) is met, with what has to be reclaimed on top. */
bool thresholds_short(const struct thresholds *t, const struct observation o[SIGNALS]);
bool thresholds_pressure(const struct thresholds *t, enum pressure p, int64_t now_ms);
enum evict_resource signal_resource(enum evict_signal s);
const char *evict_resource_name(enum evict_resource r);
char *evict_quantity(int64_t v, char format); /* as Kubernetes prints it; owned by the caller */

struct evict_candidate {
	struct pod *pod;
	int64_t priority, used, request;
	bool known; /* what it uses */
};
/* First the one that goes first. */
void evict_rank(struct evict_candidate *v, size_t n, enum evict_resource r);
/* "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. " */
void evict_message(struct buf *out, const struct threshold *t, enum evict_signal s, const struct observation *o);
void evict_message_container(struct buf *out, const char *name, int64_t used, const struct node *resources,
			     enum evict_resource r); /* adds nothing when it keeps to its request */

/* --- reserve.c --- */
struct reserve {
	int64_t cpu_milli, memory, storage, pids;
};
int reserve_parse(struct reserve *r, const char *list, struct err *e) MUST_CHECK; /* "cpu=200m,memory=100Mi" */
struct hugepages {
	char name[32]; /* "hugepages-2Mi" */
	int64_t bytes;
};
#define HUGEPAGES_MAX 8

struct evict;
struct settings {
	struct reserve kube, system;
	struct thresholds thresholds;
	bool enforce; /* the limit of all pods together is set */
	int64_t look_ms; /* between two looks at what is left; 0: with each renewal of the lease */
	int images_max; /* in the Node's status; -1: all */
	struct hugepages huge[HUGEPAGES_MAX]; /* of this machine */
	size_t n_huge;
};
struct settings *settings_new(void); /* the defaults; freed by free() */
void reserve_measure(struct settings *s);
/* 0 for what this node has nothing of; "cpu" in milli. */
int64_t node_capacity(const struct node_agent *n, const char *resource);
int64_t node_allocatable(const struct node_agent *n, const char *resource);
void reserve_put(struct node_agent *n, struct doc *d, struct node *status); /* capacity and allocatable */
/* True: there is room for it. Else it was failed, or (a critical one) waits for those that make room. */
bool admit_resources(struct pod *p);
/* Of all pods together; 0: no limit. */
int64_t reserve_pods_memory(const struct node_agent *n);
const char *out_of(const char *resource); /* "OutOfcpu"; NULL: nobody counts it */

/* --- observe.c --- */
void observe(struct node_agent *n, struct observation o[SIGNALS]);
bool observe_image_disk(struct node_agent *n); /* images are on a disk of their own */
int64_t observe_pid_max(void); /* 0: not known */

/* --- evict.c --- */
struct evict *evict_new(struct node_agent *n);
struct evict *evict_free(struct evict *v);
void evict_run(struct node_agent *n);	    /* a look at what is left, and what has to be done about it */
void evict_pod_over(struct node_agent *n); /* a pod has left the node */
bool evict_pressure(const struct node_agent *n, enum pressure p);
bool evict_admit(struct pod *p);	    /* false: the pod was failed with the reason */
bool pod_critical(struct pod *p);
/* False: it may not be. threshold NULL: because of what it did itself. */
bool evict_pod(struct pod *p, int64_t grace_s, bool disrupted, const char *message);

#endif
