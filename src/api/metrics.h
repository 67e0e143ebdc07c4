/*
 * The metrics in two files: what is counted (metrics.c), and the answer to
 * /metrics (metrics-text.c). Private to them.
 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include "api/internal.h"
#include "base/map.h"

/* Histograms: one array of upper bounds each, in the unit that the sum has. */
struct bounds {
	const char *const *names; /* as printed; NULL-terminated */
	const int64_t *max;
	size_t n;
};
extern const struct bounds bounds_request, bounds_sli, bounds_size, bounds_watch, bounds_auth, bounds_webhook, bounds_cert;

struct hist {
	uint64_t n;
	int64_t sum; /* microseconds or bytes */
	uint64_t *bucket; /* not cumulated; bounds->n of them. NULL: nothing was seen */
};
void hist_add(struct hist *h, const struct bounds *b, int64_t value);

#define SERIES_CODES 16
struct series { /* requests of one kind */
	const char *labels; /* behind "group=" to the end; the map's key begins with 'd' for a dry run */
	bool dry_run;
	struct {
		int code;
		uint64_t n;
	} codes[SERIES_CODES]; /* a further one counts as the last */
	struct hist duration, sli, size;
};

struct labelled { /* a counter or histogram of few labels */
	uint64_t n;
	struct hist hist;
};

struct metric_watch { /* events to watchers of one resource */
	uint64_t n;
	struct hist size;
};

struct metrics {
	int64_t start_s;
	struct map *requests; /* struct series */
	struct map *watches; /* labels -> struct metric_watch */
	struct map *store; /* labels -> struct labelled: writes */
	struct map *webhooks; /* labels -> struct labelled */
	struct map *users; /* name -> struct labelled */
	struct map *calls; /* labels -> struct labelled: by our own parts */
	uint64_t authenticated[2], authorized[2]; /* [0] failed, [1] succeeded */
	struct hist authn_time[2], authz_time[2], cert_left;
	uint64_t slow, tokens[TOKEN_KINDS];
};

/* The label set of r: `group="",resource="pods",scope="namespace",subresource="",verb="LIST",version="v1"`. */
void metric_labels(const struct req *r, struct buf *out);

#endif
