/*
 * What a controller is to the runner, and the plan it fills.
 *
 * To add a controller: write ctl/NAME.c with its reconcile function, and add a
 * row to the table in ctl.c that says what it watches and which key each watched
 * object wakes.
 */
#ifndef CTL_INTERNAL_H
#define CTL_INTERNAL_H

#include "base/map.h"
#include "base/vec.h"
#include "ctl/ctl.h"
#include "ctl/kids.h"
#include "ctl/settings.h"
#include "schema/schema.h"

#define CTL_MAX_WATCHES 6

/* --- plans: the writes that a reconcile wants --- */
struct plan_op {
	enum verb verb; /* CREATE, UPDATE, PATCH, DELETE; GET: it must be there and not be going */
	const struct resource *res;
	char *ns, *name, *subresource, *uid;
	const char *propagation; /* of a delete; a literal or NULL */
	bool now; /* a delete without grace */
	enum patch_type patch_type;
	struct doc *body;
	unsigned batch; /* those of a batch go together, the next follows when all went well */
	/* Events about `about`, once it is done or failed; the reasons are literals. */
	struct obj *about;
	const char *ok_reason, *fail_reason;
	char *ok_text, *fail_text; /* one that ends with a blank gets the object's name, the error */
	bool ok_warns; /* its success is a warning */
	bool done;
	char *failure; /* why not; NULL: done, or never tried */
};
struct plan_event {
	struct obj *about;
	const char *type, *reason; /* literals */
	char *text;
};
struct plan {
	VEC(struct plan_op) ops;
	VEC(struct plan_event) events; /* told when the writes went out */
	unsigned batch; /* of the next op */
	int64_t again_ms; /* > 0: look at this key again after that time */
	bool failed; /* some op has a failure */
};
/* Strings are copied, bodies taken. AlreadyExists of a create, NotFound of a delete or patch count as done. */
void plan_create(struct plan *p, const struct resource *r, const char *ns, struct doc *body_take);
void plan_update(struct plan *p, const struct resource *r, const char *ns, const char *name, const char *subresource,
		 struct doc *body_take);
void plan_patch(struct plan *p, const struct resource *r, const char *ns, const char *name, enum patch_type t,
		struct doc *patch_take);
void plan_delete(struct plan *p, const struct resource *r, const char *ns, const char *name, const char *uid);
void plan_delete_as(struct plan *p, const struct resource *r, const char *ns, const char *name, const char *uid,
		    const char *propagation);
/* Without grace, whoever runs it. */
void plan_delete_now(struct plan *p, struct obj *o);
/* What follows is done only while o is there and not to go. */
void plan_alive(struct plan *p, struct obj *o);
/* The next op begins a new batch. */
void plan_then(struct plan *p);
/* What the last op is worth saying. NULLs: nothing. */
void plan_say(struct plan *p, struct obj *about, const char *ok_reason, const char *ok_text, const char *fail_reason,
	      const char *fail_text);
/* The same, of one whose success is a warning. */
void plan_warn(struct plan *p, struct obj *about, const char *reason, const char *text);
void plan_again(struct plan *p, int64_t ms); /* the soonest counts */
/* The first failure, or NULL. */
const struct plan_op *plan_failure(const struct plan *p);

/* type and reason are literals; the component is the controller's. */
void plan_event(struct plan *p, struct obj *about, const char *type, const char *reason, const char *fmt, ...)
	ATTR_PRINTF(5, 6);
void plan_release(struct plan *p);

/* --- views: the informers of one controller, in the order of its row --- */
enum { CTL_PODS, CTL_REPLICASETS, CTL_REVISIONS, CTL_JOBS, CTL_SLICES, CTL_N_KIDS }; /* what is indexed by owner (kids.h) */
struct ctl_view {
	const struct ctl_config *cfg;
	const struct ctl_settings *settings;
	struct informer *of[CTL_MAX_WATCHES];
	struct kids *kids[CTL_N_KIDS];
	void *data; /* of a controller with an `open` */
};

struct ctl_run; /* one controller at work */

struct ctl_watch {
	const char *group, *plural;
	const char *field_selector; /* or NULL */
	/* Appends the key ("ns/name" or "name") that obj wakes, or nothing. NULL: it wakes none itself. */
	void (*key)(struct obj *obj, struct buf *out);
	bool before; /* a change also wakes the key that the object had before it */
	bool all; /* when its spec or labels change, all of the first watch are woken */
};

struct ctl_def {
	const char *name;
	int workers;
	struct ctl_watch watches[CTL_MAX_WATCHES]; /* plural NULL ends */
	/* Pure: reads the view, fills the plan. */
	int (*reconcile)(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
	/* Pure too, once that plan was carried out, or failed, and the view shows it: what is left to write. */
	int (*settle)(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e);
	/* Of its first watch, and those of which it owns objects: it is woken when one that it owns changes, or an
	 * orphan that it selects turns up. */
	const char *kind;
	unsigned kids; /* bits 1 << CTL_PODS, ... */
	/* Of its first watch: it is woken when there is news (kids.h) of a pod that it selects. */
	bool selects;
	/* Or, where one look at the caches is not enough: does its calls, then ctl_run_done. */
	void (*start)(struct ctl_run *run, const struct ctl_view *v, const char *key);
	/* Every change of every object (obj/call.h), for those that care about more than a few kinds. */
	void (*feed)(struct ctl_run *run, enum watch_type t, struct obj *o);
	/* What it remembers between keys, if it must: ctl_run_data, the view's data. */
	void *(*open)(struct ctl_run *run);
	void (*close)(void *data);
	const char *component; /* as its events name it; NULL: name */
};

struct client *ctl_run_client(struct ctl_run *run);
const struct ctl_settings *ctl_run_settings(struct ctl_run *run);
const struct ctl_config *ctl_run_config(struct ctl_run *run);
void *ctl_run_data(struct ctl_run *run);
void ctl_run_wake(struct ctl_run *run, const char *key);
void ctl_run_wake_all(struct ctl_run *run); /* all of its first watch */
void ctl_run_wake_after(struct ctl_run *run, const char *key, int64_t ms);
/* The key is finished; failed: again with back-off; again_ms > 0: again then. */
void ctl_run_done(struct ctl_run *run, const char *key, bool failed, int64_t again_ms);

void ctl_key_self(struct obj *o, struct buf *out); /* the object's own key */
void ctl_key_namespace(struct obj *o, struct buf *out); /* its namespace */
void ctl_key_node(struct obj *o, struct buf *out); /* the node that a pod is on */

/* The object of a key "ns/name", or NULL. */
struct obj *ctl_find(struct informer *i, const char *key);
/* What a controller object selects by. NULL: nothing (e is set only if it is malformed). */
struct selector *ctl_selector(const struct node *root, struct err *e);

/* ingress.c */
void *ingress_status_open(struct ctl_run *run);
void ingress_status_close(void *data);
int ingress_status_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* gc.c */
void *gc_open(struct ctl_run *run);
void gc_close(void *data);
void gc_feed(struct ctl_run *run, enum watch_type t, struct obj *o);
void gc_start(struct ctl_run *run, const struct ctl_view *v, const char *key);
/* crd.c */
void crd_start(struct ctl_run *run, const struct ctl_view *v, const char *key);
/* namespace.c */
void *namespace_open(struct ctl_run *run);
void namespace_close(void *data);
void namespace_feed(struct ctl_run *run, enum watch_type t, struct obj *o);
void namespace_start(struct ctl_run *run, const struct ctl_view *v, const char *key);
/* csr-*.c */
void csr_approve_start(struct ctl_run *run, const struct ctl_view *v, const char *key);
int csr_sign_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int csr_clean_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* tokens.c */
int tokens_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* ttl.c */
void ttl_key(struct obj *o, struct buf *out);
int64_t ttl_due_s(const struct node *root); /* when the Job goes (unix seconds); 0: not of itself */
int ttl_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* job.c, job-status.c, job-backoff.c */
void *job_open(struct ctl_run *run);
void job_close(void *data);
int job_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int job_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e);
/* job-finalizers.c */
void job_finalizers_key(struct obj *o, struct buf *out);
void job_finalizers_key_of_job(struct obj *o, struct buf *out);
int job_finalizers_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* serviceaccount.c */
int serviceaccount_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* clusterrole.c */
int clusterrole_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
void clusterrole_key(struct obj *o, struct buf *out);
/* rootca.c */
int rootca_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* taints.c */
int taints_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* node-lifecycle.c */
void *node_lifecycle_open(struct ctl_run *run);
void node_lifecycle_close(void *data);
void node_lifecycle_key_of_lease(struct obj *o, struct buf *out);
int node_lifecycle_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int node_lifecycle_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out,
			  struct err *e);
/* taint-eviction.c */
void *taint_eviction_open(struct ctl_run *run);
void taint_eviction_close(void *data);
int taint_eviction_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int taint_eviction_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out,
			  struct err *e);
/* podgc.c */
void *podgc_open(struct ctl_run *run);
void podgc_close(void *data);
void podgc_key_of_pod(struct obj *o, struct buf *out);
int podgc_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* node-ttl.c */
void *node_ttl_open(struct ctl_run *run);
int node_ttl_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* protection.c */
void protection_key_of_claim(struct obj *o, struct buf *out);
void protection_key_of_pod(struct obj *o, struct buf *out);
int protection_claims_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int protection_volumes_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* deployment.c, deployment-status.c */
int deployment_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int deployment_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e);
/* statefulset.c */
int statefulset_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int statefulset_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e);
/* daemonset.c */
int daemonset_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int daemonset_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e);
/* cronjob.c */
int cronjob_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int cronjob_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e);
void *cronjob_watch_clock(struct ctl_run *run);
void cronjob_unwatch_clock(void *data);
/* disruption.c */
int disruption_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
void disruption_key_of_pod(struct obj *o, struct buf *out);
int disruption_stale_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* replicaset.c */
int replicaset_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
int replicaset_settle(const struct ctl_view *v, const char *key, const struct plan *did, struct plan *out, struct err *e);
/* endpointslice.c, endpoints.c, endpoints-mirror.c */
void endpointslice_key(struct obj *o, struct buf *out);
int endpointslice_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
void endpoints_key(struct obj *o, struct buf *out);
int endpoints_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
void endpoints_mirror_key(struct obj *o, struct buf *out);
int endpoints_mirror_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* ipaddress.c */
bool ipaddress_is_managed(const struct node *root); /* by us, not by somebody else */
void ipaddress_key(struct obj *o, struct buf *out);
void ipaddress_key_of_service(struct obj *o, struct buf *out);
int ipaddress_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* servicecidr.c */
void servicecidr_key_of_address(struct obj *o, struct buf *out);
int servicecidr_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* loadbalancer.c */
void *loadbalancer_open(struct ctl_run *run);
void loadbalancer_close(void *data);
int loadbalancer_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* claim.c */
#define ALL_CLAIMS "*" /* key of a volume or a class that may serve any of them */
void claim_key_of_volume(struct obj *o, struct buf *out);
void claim_key_of_class(struct obj *o, struct buf *out);
void claim_key_of_pod(struct obj *o, struct buf *out);
int claim_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* volume.c */
void volume_key_of_claim(struct obj *o, struct buf *out);
void volume_key_of_node(struct obj *o, struct buf *out);
int volume_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* local-path.c */
int local_path_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);
/* ephemeral.c */
void ephemeral_key(struct obj *o, struct buf *out);
void ephemeral_key_of_claim(struct obj *o, struct buf *out);
int ephemeral_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e);

#endif
