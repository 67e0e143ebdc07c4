/*
 * What the node and its pods use. Nothing is measured unless somebody asks. Rates
 * need two looks: who asks first waits a second, who asks again within a minute is
 * answered from the difference to the look before. Disk usage is counted by a
 * thread, and kept for a while.
 */
#ifndef NODE_STATS_H
#define NODE_STATS_H

#include "node/internal.h"

struct stats_disk { /* of a directory tree, or of several */
	int64_t bytes, inodes;
	bool known;
};
struct stats_entry { /* the node, a pod or a container */
	struct run_usage use;
	int64_t base_ms, base_cpu_ns; /* the look that the next rate counts from; monotonic */
	int64_t cpu_rate; /* nanoseconds of processor time in a second; -1: not known yet */
	int64_t window_ms; /* over which */
	int64_t time_s; /* unix, of use */
	struct stats_disk root, logs, volumes; /* what was written to the root; logs; emptyDirs of a pod */
	unsigned seen; /* the look that found it */
};
struct stats_fs { /* a file system */
	int64_t capacity, available, inodes, inodes_free;
};

struct stats *stats_new(struct node_agent *n);
struct stats *stats_free(struct stats *st);
/* done(arg) when rates and disk usage are there; at once, later, or never when stats_cancel comes first. */
struct stats_wait *stats_ask(struct stats *st, void (*done)(void *arg), void *arg);
void stats_cancel(struct stats_wait *w);
/* What was counted of the disk is not good enough: who asks next has it counted anew. */
void stats_forget_disk(struct stats *st);
/* A look at everything now, without rates. */
void stats_look(struct stats *st);
/* NULL: it is not known (it does not run). Valid until the next look. */
const struct stats_entry *stats_node(struct stats *st);
const struct stats_entry *stats_pod(struct stats *st, const struct pod *p);
const struct stats_entry *stats_ctr(struct stats *st, const struct ctr *c);
/* What a pod keeps on the disk: what its containers wrote, logs, emptyDirs. */
struct stats_disk stats_pod_disk(struct stats *st, const struct pod *p);
bool stats_fs_of(const char *path, struct stats_fs *ret);
int64_t stats_proc_number(const char *path, const char *key); /* "MemTotal:" of /proc/meminfo */

#endif
