/*
 * What the parts of svc have in common: the configuration, and the EndpointSlices
 * by the Service that they belong to.
 */
#ifndef SVC_INTERNAL_H
#define SVC_INTERNAL_H

#include "base/tree.h"
#include "base/vec.h"
#include "doc/doc.h"
#include "schema/schema.h"
#include "svc/svc.h"

#define SVC_MAX_PARTS 8

struct svc {
	struct svc_config cfg; /* texts are its own */
	struct svc_slices *slices;
	void *part[SVC_MAX_PARTS]; /* by row of parts[]; NULL: not running */
};

struct svc_part {
	const char *name;
	size_t off; /* of the bool in svc_config that turns it off */
	int (*open)(void **ret, struct svc *s, struct err *e);
	void (*close)(void *part);
	void (*turned_off)(struct svc *s); /* in its place when it is turned off: what a former run has left goes; may be NULL */
};

/* --- dns.c: the cluster's names --- */
int dns_open(void **ret, struct svc *s, struct err *e) MUST_CHECK;
void dns_close(void *part);
/* --- ingress.c: HTTP from outside --- */
int ingress_open(void **ret, struct svc *s, struct err *e) MUST_CHECK;
void ingress_close(void *part);

/* --- proxy.c: a Service's addresses lead to its endpoints --- */
int proxy_open(void **ret, struct svc *s, struct err *e) MUST_CHECK;
void proxy_close(void *part);
void proxy_off(struct svc *s);

/* --- slices.c: EndpointSlices by Service --- */
struct svc_slices;
/* Called when the slices of a Service changed: one was added, modified, deleted. Not while the first list comes in
 * (look at all then). */
struct svc_slices_watch {
	void (*changed)(void *arg, const char *ns, const char *service);
	void (*synced)(void *arg); /* the first list is complete; may be NULL */
	void *arg;
	TAILQ_ENTRY(svc_slices_watch) link_;
};
typedef VEC(struct obj *) svc_slice_list;

struct svc_slices *svc_slices_new(struct client *c);
struct svc_slices *svc_slices_free(struct svc_slices *s);
bool svc_slices_synced(const struct svc_slices *s);
/* Of one Service, borrowed until the next turn, in no order; NULL: none. */
const svc_slice_list *svc_slices_of(struct svc_slices *s, const char *ns, const char *service);
void svc_slices_follow(struct svc_slices *s, struct svc_slices_watch *w);
void svc_slices_unfollow(struct svc_slices *s, struct svc_slices_watch *w);

/* --- listeners.c --- */
int listening_open(void **ret, struct svc *s, struct err *e);
void listening_close(void *part);
void listening_off(struct svc *s);
/* --- announce.c --- */
int announce_open(void **ret, struct svc *s, struct err *e);
void announce_close(void *part);

/* --- policy.c --- */
int policies_open(void **ret, struct svc *s, struct err *e) MUST_CHECK;
void policies_close(void *part);
void policies_off(struct svc *s);

#endif
