/*
 * Private to src/node: the pod worker's data, and what its files offer each other.
 *
 *	agent.c     life of the agent; pods found, lost, adopted
 *	refs.c      objects that pods refer to
 *	pod.c       one worker for each pod: the states of a pod on this node
 *	steps.c     what is made for a pod before its containers, and unmade after them
 *	container*.c one container of a pod: start, end, restart (container.h)
 *	order.c     the order among a pod's containers
 *	pull*.c     its image
 *	restart.c   restart policy and back-off (pure)
 *	spec*.c env.c expand.c qos.c   Pod to run_container_spec
 *	files.c     /etc/hosts, hostname, resolv.conf
 *	volume*.c writer.c   volumes
 *	probe*.c    probes
 *	status.c    what the API is told
 *	static*.c   static pods and their mirrors (static.h)
 *	register.c heartbeat.c   the Node object and its Lease
 *	reserve.c threshold.c observe.c evict.c admit-room.c   what is left for whom (pressure.h)
 *	server.c serve-*.c auth.c stream.c   the HTTP server (server.h): logs, exec, attach, port-forward
 *
 * Rules that hold everywhere: the trees of objects (struct node) are borrowed
 * for one turn of the loop, so nothing here keeps a pointer into one; a pod is
 * freed only when nothing that was asked for on its behalf is still under way
 * (struct pod.pending).
 */
#ifndef NODE_INTERNAL_H
#define NODE_INTERNAL_H

#include <stdio.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "base/path.h"
#include "base/rand.h"
#include "base/time.h"
#include "base/vec.h"
#include "http/http.h"
#include "node/node.h"
#include "schema/schema.h"

struct pod;
struct ctr;
struct hook;
struct probe;
struct probe_try;
struct server;

#define NODE_COMPONENT "kubelet" /* as events and tools know the agent */
#define NODE_RUNTIME "kinglet"	 /* scheme of container IDs */

/* --- restart.c --- */
struct backoff {
	int64_t delay_ms; /* 0: never failed */
	int64_t last_ms;  /* of the event that set it */
};
#define BACKOFF_FIRST_MS 10000
#define BACKOFF_MAX_MS 300000
/* Whether an event at at_ms must still wait now; *until_ms: for how long, on the same clock. */
bool backoff_active(const struct backoff *b, int64_t at_ms, int64_t now_ms, int64_t *until_ms);
void backoff_next(struct backoff *b, int64_t at_ms, int64_t first_ms, int64_t max_ms);
/* The text of a delay as Go prints a Duration of whole seconds: "10s", "2m40s", "5m0s". */
void backoff_text(int64_t ms, char out[32]);
bool restart_wanted(const char *pod_policy, bool sidecar, int exit_code);
/* asked: its end was the node's wish (a probe failed, another image), which counts as a failure. */
bool restart_by_spec(const struct node *ctr, const char *pod_policy, bool asked, int exit_code);

/* --- containers --- */
enum ctr_kind { CTR_INIT, CTR_SIDECAR, CTR_MAIN, CTR_EPHEMERAL };
enum ctr_state {
	CTR_WAIT,     /* no attempt runs; reason says why; retry_ms when it is tried again (0: when something
			 changes) */
	CTR_STARTING, /* container_start is under way */
	CTR_UP,	      /* its first process runs */
	CTR_DOWN,     /* ended: see end */
};
struct ctr_end { /* one attempt's end: ContainerStateTerminated */
	bool set;
	int exit_code, signal;
	const char *reason; /* static */
	char *message;	    /* or NULL */
	int64_t started_s, finished_s;
	char id[65];
};
enum probe_kind { PROBE_STARTUP, PROBE_LIVENESS, PROBE_READINESS, PROBE_KINDS };
struct ctr {
	struct pod *pod;
	char *name;
	enum ctr_kind kind;
	enum ctr_state state;
	char id[65];		     /* of the newest attempt; "" before the first */
	unsigned attempt;	     /* number of the newest attempt: the restart count */
	char *image;		     /* spec.image that the newest attempt was started with; NULL before */
	char *image_name, *image_id; /* normalised, for the status; "" before */
	const char *reason;	     /* static: why it waits; NULL: nothing special */
	char *message;
	int64_t retry_ms;	  /* monotonic */
	int64_t started_s;	  /* of the newest attempt */
	struct ctr_end end, last; /* of the newest (when down), of the one before */
	bool started, ready;
	bool was_started; /* a sidecar that has started once in this sandbox */
	bool post_start;  /* its postStart hook runs; the API sees it waiting so long */
	bool pulling;	    /* an image pull is under way */
	bool pulled;	    /* a pull ended well; the next attempt need not pull */
	bool stopping;	    /* told to end */
	bool turn, signalled; /* the stop signal may be sent; has been sent */
	int64_t kill_ms;    /* monotonic: when a stopping one gets SIGKILL */
	int64_t end_ms;	    /* monotonic: when the newest attempt ended */
	struct hook *hook;  /* the lifecycle hook that runs now */
	bool restart_asked; /* stopped by a probe or for a new image: the attempt counts as failed */
	struct backoff crash, pull;
	char *resources;  /* that it runs with, as JSON; NULL: not known */
	char *pull_error; /* of the last pull */
	const char *pull_reason; /* static; likewise: ErrImagePull or RegistryUnavailable */
	struct probe *probes[PROBE_KINDS];
	int64_t probed[PROBE_KINDS][3]; /* how often: passed, failed, neither */
};

/* --- pods --- */
enum pod_state {
	/* The steps of steps.c are done one after the other. Leaves to RUN behind the last one, to STOP when
	 * the pod must end. */
	POD_SETUP,
	/* The sandbox stands; containers are started, ended and restarted as their kind and the policy say.
	 * Leaves to STOP when all is over or the pod must end, to SETUP when the sandbox was lost. */
	POD_RUN,
	/* No container is started any more; those that live are told to end: first the ordinary ones, then
	 * the sidecars in reverse. Leaves to TEARDOWN when none lives. */
	POD_STOP,
	/* The steps are undone backwards. Leaves to OVER behind the first one; to SETUP when the sandbox is
	   made again. */
	POD_TEARDOWN,
	/* Nothing of it is left but logs and its last status, which the API gets; an object that is being
	 * deleted is then deleted for good. The worker goes with the object. */
	POD_OVER,
};
struct pod_token { /* one serviceAccountToken of a projected volume */
	char *volume, *path, *token;
	int64_t refresh_s; /* unix: ask anew */
	bool busy;
	char *error;
};
struct pod {
	struct node_agent *agent;
	char *uid, *ns, *name;
	struct obj *obj; /* newest state seen */
	enum pod_state state;
	bool gone;    /* no object of this uid in the API any more */
	bool is_static;	   /* from a manifest of this node: obj is made of that */
	struct obj *mirror; /* what the API shows of a static pod; NULL: nothing */
	int64_t mirror_rv;  /* newest revision at which something was heard of it */
	bool mirror_busy;
	int64_t mirror_retry_ms;
	struct backoff mirror_backoff;
	const char *resize_reason; /* static: why a resize is not done; NULL: nothing stands in its way */
	char *resize_message;
	bool resize_going; /* begun, not yet complete */
	bool rejected; /* not admitted: nothing of it was ever made */
	bool settled; /* the API had a final phase when the pod was first seen: its status is not touched */
	bool rebuild; /* TEARDOWN leads to SETUP: a new sandbox */
	bool adopted; /* the sandbox is from a former life of the daemon */
	unsigned steps_done, steps_begun; /* rows of pod_steps that are done; that may have left something */
	bool step_busy;
	struct backoff step_backoff;
	int64_t step_retry_ms;
	bool refs_changed; /* a ConfigMap or Secret of its namespace changed */
	struct sandbox *sandbox;
	char ip[46];	   /* "" before the network step */
	char ip2[46];	   /* of the second family, or "" */
	struct ctr **ctrs; /* init (with sidecars) first, in order; then main; then ephemeral */
	size_t n_ctrs;
	bool initialized;	 /* all init containers are through */
	int64_t start_s;	 /* status.startTime, 0 before admission */
	int64_t grace_cap_s;	 /* of one that is evicted: it has no more time than this; 0: as its spec says */
	bool disrupted;		 /* the node ended it for want of something: DisruptionTarget */
	const char *fail_reason; /* static; the pod is Failed whatever its containers say */
	char *fail_message;
	int64_t stop_at_ms; /* monotonic: STOP's end of grace */
	unsigned pending;   /* calls under way that come back to this pod or one of its containers */
	struct loop_task task;
	struct loop_timer *timer; /* the earliest of all that is due */
	bool status_busy, delete_sent;
	uint64_t told_hash; /* of the status that was sent last */
	int64_t told_rv;    /* the object's revision that the API answered with */
	int64_t status_due_ms, status_retry_ms, delete_retry_ms, undo_retry_ms;
	int64_t event_ms; /* last FailedMount or FailedCreatePodSandBox event, and its text */
	char *event_text;
	struct pod_token *tokens;
	size_t n_tokens;
	struct map *mounted; /* volume name -> host path; made by the volumes step */
	struct map *children; /* of volume-child.c */
	bool volumes_gone;    /* volumes_undo is through */
	struct map *volume_pulls; /* volume name -> the pull of its image (volume-image.c) */
};

enum agent_ref { REF_CONFIGMAP, REF_SECRET, REF_SERVICE, REF_CLAIM, REF_VOLUME, REF_KINDS };
struct ref_follow {
	struct node_agent *agent;
	struct informer *informer; /* from first need */
};

struct node_agent {
	struct loop *loop;
	struct client *client;
	char *external_ip; /* or NULL */
	char *name, *ip, *ip2, *pod_cidr, *state_dir, *version, *dns, *domain, *resolv_conf, *service_host, *hostname;
	char **labels, **taints;
	int service_port, max_pods;
	struct runtime *runtime;
	struct image_store *images;
	struct image_gc_policy gc_policy;
	int64_t gc_ms; /* monotonic: the collector's last turn; 0: none */
	struct pull_records *pull_records; /* from first need */
	LIST_HEAD(, pull_call) pull_calls; /* under way in the image store */
	struct net *net;
	const struct resource *r_pods, *r_nodes, *r_leases, *r_accounts;
	struct informer *pods;
	struct ref_follow refs[REF_KINDS];
	struct job_queue *volume_jobs; /* from first need, as the next; volume-job.c */
	struct volume_limits *volume_limits;
	struct informer *nodes, *classes; /* the latter from first need (handler.c) */
	bool recovered, begun; /* recovery is over; so is the first list, and pods are followed */
	struct map *by_uid;    /* struct pod */
	struct map *found;     /* sandbox id -> struct sandbox, between recovery and the first list */
	struct map *lost;      /* ids of those whose keeper is gone, as long */
	struct obj *node;      /* the Node object as last seen */
	bool node_ready;       /* registered */
	struct loop_timer *register_timer, *status_timer, *lease_timer;
	bool lease_known, lease_busy;
	char *status_sent; /* what of the Node's status was sent last, without the heartbeat times */
	int64_t status_sent_ms;
	bool status_busy;
	int64_t cpu_milli, memory_bytes, swap_bytes, disk_bytes; /* capacity */
	int64_t pod_max_pids;	/* -1: no limit; this and the next by args.c */
	char *pod_logs_dir;	/* see logs.h */
	int64_t log_max_bytes;	/* of a log file, and how many are kept; 0: the runtime's own */
	int64_t log_max_files;
	int64_t stream_idle_ms;	/* streams on which nothing happens for so long are ended; 0: never */
	char **unsafe_sysctls;	/* NULL-terminated, or NULL */
	uint64_t burstable_weight; /* set last (groups.c) */
	struct http_server *http;
	struct server *server;
	struct stats *stats;
	struct settings *settings; /* pressure.h, as the next */
	struct evict *evict;
	bool volatile_ready; /* the shared tmpfs for secrets is there */
	struct statics *statics; /* static.h; NULL: no directory */
	bool ending;
};

/* refs.c */
/* 1: *ret (borrowed); 0: there is none; -EAGAIN: not known yet (the pod is woken when it is). */
int agent_ref(struct node_agent *n, enum agent_ref kind, const char *ns, const char *name, struct obj **ret);
/* Services of the cluster, for environment variables; NULL while not known. */
struct informer *agent_services(struct node_agent *n);
void agent_refs_free(struct node_agent *n);

/* agent.c */
struct pod *agent_pod(struct node_agent *n, const char *ns, const char *name);
struct pod *agent_add(struct node_agent *n, struct obj *o);
void agent_forget(struct node_agent *n, struct pod *p);
/* The images of a pod's containers may be removed. */
void agent_unhold_images(struct node_agent *n, const char *uid);

/* pod.c */
struct pod *pod_new(struct node_agent *n, struct obj *o);
struct pod *pod_free(struct pod *p);
void pod_update(struct pod *p, struct obj *o);
void pod_object_gone(struct pod *p, struct obj *last);
/* s NULL: there is none. alive: its keeper is. */
void pod_adopt(struct pod *p, struct sandbox *s, bool alive);
void pod_sandbox_lost(struct pod *p);
void pod_kick(struct pod *p); /* something changed: run the worker at the end of this turn */
void pod_put(struct pod *p);  /* one pending call came back */
bool pod_deleting(struct pod *p);
const struct node *pod_spec(struct pod *p);
const struct node *pod_status_node(struct pod *p);
struct obj *pod_api_obj(struct pod *p); /* the object that the API has of it: a static pod's is its mirror, or NULL */
bool pod_host_network(struct pod *p);
char *pod_dir(const struct pod *p); /* <state_dir>/files/<uid>; owned by the caller; likewise below */
char *pod_log_dir(const struct node_agent *n, const char *ns, const char *name, const char *uid);
void pod_event(struct pod *p, const char *field_path, const char *type, const char *reason, const char *fmt,
	       ...) ATTR_PRINTF(5, 6);
/* The same text only once in 30 s: for what is tried again and again. */
void pod_event_again(struct pod *p, const char *reason, const char *text);
void pod_fail(struct pod *p, const char *reason, const char *fmt, ...) ATTR_PRINTF(3, 4);
const char *pod_state_name(enum pod_state s);

/* steps.c */
enum step_result { STEP_DONE, STEP_WAIT }; /* negative: failed */
/* Does rows until one waits or fails; true when all are done. */
bool steps_run(struct pod *p);
/* Undoes rows backwards until `down_to` are left; true when that is reached. */
bool steps_undo(struct pod *p, unsigned down_to);
unsigned steps_before_sandbox(void);	   /* rows that come before it */
int64_t pod_used_by_others(struct pod *p, const char *resource); /* NULL: how many pods */
void steps_skip_to_sandbox(struct pod *p); /* adopted: all up to the sandbox are done */

/* container*.c, order.c */
struct ctr *ctr_new(struct pod *p, const char *name, enum ctr_kind kind);
struct ctr *ctr_free(struct ctr *c);
const struct node *ctr_spec(struct ctr *c); /* borrowed for this turn; NULL when it left the pod's spec */
char *ctr_field_path(const struct ctr *c);  /* "spec.containers{name}" */
struct ctr *pod_ctr(struct pod *p, const char *name);
void pod_make_ctrs(struct pod *p); /* adds those of the spec that are missing */
/* Starts and restarts what is due. True when no container will ever run again. */
bool ctrs_run(struct pod *p);
/* Tells those that live to end, in order. True when none lives. */
bool ctrs_stop(struct pod *p);
/* At the end of the pod: those that wait will not run again, and those that never ran have failed. */
void ctrs_give_up(struct pod *p);
bool pod_has_inits(const struct pod *p);
bool ctrs_over(struct pod *p); /* every ordinary container ended and none will be restarted */
void ctr_stop(struct ctr *c, int64_t grace_ms,
	      const char *why); /* why: the event's text, NULL: the usual one */
void ctr_ended(struct ctr *c, const struct container_status *st);
void ctr_lost(struct ctr *c); /* its sandbox is gone without a word */
void ctr_adopt(struct ctr *c, struct container *rc, const struct node *status);
struct container *ctr_run(struct ctr *c); /* the runtime's, NULL when there is none */
bool ctr_alive(const struct ctr *c);
bool ctr_will_restart(struct ctr *c);
void ctr_wait(struct ctr *c, const char *reason, const char *message);
void ctr_end_clear(struct ctr_end *e);
const struct node *ctr_status_in(struct pod *p, const char *name); /* as the API has it */
int64_t ctrs_next_due(struct pod *p);				   /* monotonic ms; INT64_MAX: nothing */
const struct node *node_named(const struct node *list, const char *name); /* array member by its name */

/* hook.c: lifecycle hooks */
/* Runs the hook in the background; done(c, text) with NULL or what failed. False: there is none. */
bool hook_run(struct ctr *c, bool pre_stop, int64_t timeout_ms,
	      void (*done)(struct ctr *c, const char *failure));
void hook_cancel(struct ctr *c); /* done is not called */

/* pull.c: 1: *ret is there (referenced); 0: wait (c's reason says for what) */
int ctr_image(struct ctr *c, struct image **ret);
/* "docker.io/library/busybox:1.36" for the status; owned by the caller */
char *image_display_name(struct image *i, const char *asked);
bool pull_policy_needs(const char *policy, const char *image, bool present);
void pull_duration(int64_t ms, char out[48]); /* pure */

/* qos.c (pure) */
enum qos { QOS_GUARANTEED, QOS_BURSTABLE, QOS_BEST_EFFORT };
enum qos qos_of(const struct node *pod_spec);
const char *qos_name(enum qos q);
const char *qos_cgroup(enum qos q);	/* "kubepods/burstable" */
uint64_t qos_cpu_weight(int64_t milli); /* cpu request to cgroup v2's cpu.weight, as runc converts shares */
/* Of what the spec says now: for the start of a container and for a change in place (container_update). */
void qos_container_limits(const struct node *pod_spec, const struct node *container, struct run_limits *out);
void qos_pod_limits(const struct node *pod_spec, struct run_limits *out);
int qos_oom_score_adj(const struct node *pod_spec, const struct node *container, int64_t memory_capacity);
/* Sum of a resource's requests over a pod as the scheduler counts it; "cpu" in milli, others in units. */
int64_t qos_pod_request(const struct node *pod_spec, const char *resource);

/* expand.c (pure) */
struct env_var {
	const char *name, *value;
};
struct env_list {
	struct env_var *v;
	size_t n, cap;
};
/* Last one wins, in the place of the first. Strings are borrowed (the arena's). */
void env_set(struct env_list *l, const char *name, const char *value);
const char *env_get(const struct env_list *l, const char *name);
void env_release(struct env_list *l);
/* $(NAME) from the lists (first hit wins), $$ is $, unknown ones stay as they are. */
char *expand_vars(struct arena *a, const char *text, const struct env_list *const *lists, size_t n);

/* env.c */
/* fieldRef paths; ret in a. Fails for what is no such field. */
int env_field_ref(struct pod *p, const char *path, struct arena *a, const char **ret,
		  struct err *e) MUST_CHECK;
int env_resource_ref(struct pod *p, const struct node *container, const struct node *sel, struct arena *a,
		     const char **ret, struct err *e) MUST_CHECK;
const char *env_file_value(struct arena *a, struct str text, const char *key); /* pure */
/* The variables of one container, complete but for the image's. -EAGAIN: wait for a reference. */
/* env-services.c: -EAGAIN until Services are known */
int env_services(struct pod *p, struct arena *a, struct env_list *out);
int env_build(struct ctr *c, struct arena *a, struct env_list *out, struct err *e) MUST_CHECK;

/* spec.c: strings live in a. -EAGAIN: wait. Errors carry kind = the waiting reason. */
int spec_container(struct ctr *c, const struct image *img, struct arena *a, struct run_container_spec *out,
		   struct err *e) MUST_CHECK;
int spec_sandbox(struct pod *p, struct arena *a, struct run_sandbox_spec *out, struct err *e) MUST_CHECK;
char *spec_hostname(struct pod *p); /* the kernel's; owned by the caller */
/* Name, and domain or NULL, as /etc/hosts has them. An error: the name that the pod asks for is too long. */
int spec_names(struct pod *p, char **host, char **domain, struct err *e) MUST_CHECK;

/* spec-mounts.c */
int spec_mounts(struct ctr *c, const struct node *spec, const struct env_list *env, struct arena *a,
		struct run_container_spec *out, struct err *e) MUST_CHECK;

/* files.c */
int files_write(struct pod *p, struct err *e) MUST_CHECK;
void files_hosts(struct buf *out, const char *ip, const char *ip2, const char *hostname, const char *fqdn,
		 const struct node *aliases);
struct resolv {
	/* What did not fit in, as the kubelet words it; owned by the caller afterwards, NULL: all did. */
	char *servers_cut, *searches_cut;
	const char *policy, *ns, *dns, *domain;
	bool host_network;
	const struct node *config; /* spec.dnsConfig */
	struct str host;	   /* text of the host's resolv.conf */
};
void files_resolv(struct buf *out, struct resolv *r);

/* volume.c */
struct volume_ctx {
	struct pod *pod;
	const struct node *vol; /* the volume in the spec */
	const struct node *src; /* its source: vol.emptyDir, ...; or of the PersistentVolume behind a claim */
	const struct node *pv_spec; /* that one's spec, or NULL */
	char *dir;		/* where it may keep its files; nothing is there at first */
	int64_t made_here;	/* > 0: the local-path provisioner's, to hold so many bytes */
};
struct volume_type {
	enum field field;   /* F_emptyDir */
	const char *plugin; /* "kubernetes.io~empty-dir" */
	bool in_memory;	    /* the files live on the node's tmpfs */
	/* Makes or refreshes it; *path is what is mounted (owned by the caller, taken from dir when NULL).
	 * 0, -EAGAIN (something is on its way), or an error. */
	int (*up)(struct volume_ctx *v, char **path, struct err *e);
	int (*down)(const char *dir, struct err *e); /* NULL: remove the directory */
	bool refreshed;				     /* follows changes of the objects it shows */
	bool remote;				     /* to look at it may take for ever */
	bool read_only;				     /* cannot be written to */
};
bool volume_is_block(const struct node *pv_spec); /* a device, not files */
/* The block device that a volume is (0: it is none), by a node that its child has made where it would keep files: the
 * volume's own path may be on a server that does not answer. */
dev_t volume_device(struct pod *p, const char *name);
int volumes_up(struct pod *p, struct err *e) MUST_CHECK; /* 0, -EAGAIN or an error */
void volumes_refresh(struct pod *p);
/* volume-job.c: takes all away, off the loop. 0: done, -EAGAIN: under way, the pod is woken. */
int volumes_undo(struct pod *p, struct err *e) MUST_CHECK;
void volume_limits_watch(struct pod *p); /* its volumes are there: sizeLimits are watched from now on */
void volume_jobs_end(struct node_agent *n);
/* What volumes_undo does, at once; by uid alone, so that it also serves pods whose object is gone. For threads, too. */
int volumes_down(const char *state_dir, const char *uid, struct err *e) MUST_CHECK;
bool volumes_show_pod(struct pod *p); /* its labels or annotations */
bool volumes_refer(struct pod *p, enum agent_ref kind, const char *name);
const char *volume_path(struct pod *p, const char *name); /* NULL: no such volume */
int64_t volumes_next_due(struct pod *p);		  /* token refresh; monotonic ms */
extern const struct volume_type volume_empty_dir, volume_host_path, volume_config_map, volume_secret,
	volume_projected, volume_downward_api, volume_nfs, volume_git_repo, volume_local, volume_image;
/* Of a volume in the spec: containers get it read-only whatever they say; it may be on a server that is dead. */
bool volume_read_only(struct pod *p, const struct node *vol);
bool volume_is_remote(struct pod *p, const char *name);
bool volume_is_mount(const char *path);
int64_t pod_fs_group(struct pod *p); /* -1: none */
void volume_tokens_free(struct pod *p);

/* writer.c: a directory of files that change all at once */
struct payload_file {
	char *path; /* relative, no ".."; owned */
	char *data; /* owned */
	size_t len;
	mode_t mode;
};
struct payload {
	struct payload_file *v;
	size_t n, cap;
};
void payload_add(struct payload *p, const char *path, const void *data, size_t len, mode_t mode);
void payload_release(struct payload *p);
/* gid -1: leave. uid -1: leave. */
int writer_write(const char *dir, const struct payload *p, int64_t uid, int64_t gid,
		 struct err *e) MUST_CHECK;

/* probe*.c (probe.h) */
enum probe_result { PROBE_OK, PROBE_FAILED, PROBE_WARNING, PROBE_ERROR };
void probes_start(struct ctr *c, bool adopted);
void probes_stop(struct ctr *c);
void probes_quiet(struct ctr *c); /* only readiness goes on, to the end */
/* The httpGet of a lifecycle hook. timeout_ms 0: none. */
struct probe_try *probe_http_once(struct ctr *c, const struct node *http_get, int64_t timeout_ms,
				  void (*done)(void *arg, enum probe_result r, const char *text), void *arg);
void probe_try_cancel(struct probe_try *t); /* NULL accepted; done is not called */

/* resize.c */
void resize_run(struct pod *p); /* running containers follow the spec's resources */
void resize_note(struct ctr *c, const struct node *resources);

/* status.c */
struct doc *
status_make(struct pod *p); /* root: the patch, with a complete status; depends on p's state only */
const char *status_phase(struct pod *p); /* static */
bool status_changed(const struct node *have, const struct node *want);
/* Sends a patch when something changed (and no other is under way). True when the API has what is. */
bool status_run(struct pod *p);
bool status_terminal(const char *phase);

/* register.c, heartbeat.c */
void register_start(struct node_agent *n);
void register_seen(struct node_agent *n, struct obj *o); /* NULL: the Node object was deleted */
void node_status_run(struct node_agent *n);		 /* something about the node changed */
struct doc *node_status_make(struct node_agent *n);
int node_measure(struct node_agent *n, struct err *e) MUST_CHECK;
void heartbeat_start(struct node_agent *n);

/* server.c, stream.c */
struct server *server_new(struct node_agent *n);
struct server *server_free(struct server *s);
int server_dial(struct server *s);
int server_listen(struct server *s, const struct node_listen *l, struct err *e) MUST_CHECK;
int server_port(const struct server *s); /* 0: it has none */
void stream_exec(struct server *s, struct http_req *r, struct ctr *c, struct str query);
void stream_attach(struct server *s, struct http_req *r, struct ctr *c, struct str query);
void stream_port_forward(struct server *s, struct http_req *r, struct pod *p);
/* What is under way for a client, so that the server's end can end it. */
struct session {
	TAILQ_ENTRY(session) link;
	void (*end)(struct session *s); /* drop everything, tell nobody */
};
void session_add(struct server *s, struct session *e);
void session_del(struct server *s, struct session *e);
struct node_agent *server_agent(struct server *s);
struct ctr *server_ctr(struct server *s, const char *uid, const char *name); /* NULL: gone meanwhile */
void server_error(struct http_req *r, int status, const char *fmt, ...) ATTR_PRINTF(3, 4);

static inline int64_t min_i64(int64_t a, int64_t b)
{
	return a < b ? a : b;
}
static inline int64_t max_i64(int64_t a, int64_t b)
{
	return a > b ? a : b;
}
/* Replaces an owned string. */
static inline void set_str(char **at, const char *s)
{
	char *old = *at;

	*at = xstrdup_null(s);
	free(old);
}

#endif
