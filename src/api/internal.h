/*
 * What the files of api share. The request (struct req) and its phases are in
 * request.c; every other file adds a phase, a verb, a subresource or a row of a
 * table to it.
 */
#ifndef API_INTERNAL_H
#define API_INTERNAL_H

#include "api/api.h"
#include "base/arena.h"
#include "base/ip.h"
#include "base/limits.h"
#include "base/tree.h"
#include "base/vec.h"
#include "schema/schema.h"

#define RESPOND_QUEUE_BYTES (512u << 10) /* of a streamed list, waiting for the client */

struct encoder;
struct evbuffer;
struct eviction;
struct req;
struct watch;
struct jwt_key;
struct tokens;
struct alloc;
struct admit_config;
struct quotas;
struct quota_hold;
struct metrics;
struct metric_watch;
struct lines;
struct audit;
struct audit_event;
struct hooks;
struct hook_answers;
struct rbac;
struct node_authz;
struct policy_sync;

/* --- who asks --- */
struct user_extra {
	const char *key, *value;
};
struct user {
	const char *name, *uid;
	const char *const *groups; /* NULL-terminated */
	const struct user_extra *extra;
	size_t n_extra;
	bool part; /* a part of this process */
};
#define USER_CREDENTIAL_ID "authentication.kubernetes.io/credential-id"
bool user_in_group(const struct user *u, const char *group);
/* With system:authenticated among its groups unless it is system:anonymous. */
struct user *user_make(struct arena *a, const char *name, const char *uid, const char *const *groups);
void user_add_extra(struct arena *a, struct user *u, const char *key, const char *value);
/* authentication/v1.UserInfo: username, uid, groups, extra into the object n. */
void user_node(struct doc *d, struct node *n, const struct user *u);

/* --- what is asked for, as authorization sees it --- */
struct attrs {
	const char *verb; /* "get", ... ; of a path: the method in lower case */
	const char *group, *version, *resource, *subresource; /* "" when absent */
	const char *ns, *name;
	const char *path; /* NULL: a resource */
	const struct fieldsel *fields; /* of a list, as far as it is known; NULL: none */
};

enum shape { SHAPE_OBJECT, SHAPE_TABLE, SHAPE_PARTIAL };
enum format { FORMAT_JSON, FORMAT_YAML };
enum include { INCLUDE_METADATA, INCLUDE_NONE, INCLUDE_OBJECT }; /* TableOptions.includeObject */

/* What a phase returns besides a negative error. */
enum { STEP_NEXT = 0, STEP_WAIT = 1, STEP_DONE = 2 };

struct filter { /* label and field selector of a list or watch */
	const struct schema_res *res;
	struct selector *labels;
	struct fieldsel *fields;
	bool meta_only; /* the field terms speak of metadata.name and .namespace only */
	bool everything;
};

struct req {
	struct api *api;
	struct arena *arena;
	TAILQ_ENTRY(req) link;
	struct http_req *http; /* NULL: from inside, or the connection is gone */
	const struct http_head *head; /* NULL: from inside */
	struct call *call; /* NULL: by HTTP, or cancelled */
	size_t phase; /* index into the table of phases */
	struct loop_task task;
	int64_t start_us;
	struct err err;
	bool finished;

	/* What stays the same when act runs again (hook.c). */
	struct hook_answers *answers; /* NULL: nothing was asked outside */
	bool hooks_done; /* webhooks had their say in another form of this write (a Scale) */
	bool may_ask; /* somebody outside may have a say in this request: what was sent is kept */
	struct loop_task again;
	struct {
		struct attrs at;
		const struct schema_res *st;
		struct call_opts opts;
		int status;
	} asked; /* as act found them */
	int64_t now_s; /* req_now */
	char uid[37], suffix[6]; /* of what is created; "" until then */
	const char *secret_token, *secret_claims; /* token.c */

	const struct user *user; /* who it is done for */
	const struct user *login; /* who asks; not the same when impersonating. NULL: from inside, or nobody known */
	const char *id; /* Audit-Id: what the client said, or made up; NULL: from inside */
	struct { /* microseconds */
		int64_t auth_us, body_us, decode_us, admission_us, webhook_us, store_us;
		int64_t store_from_us, hook_from_us; /* when the store, a webhook, was asked */
		int64_t answer_us; /* when a long answer began; 0: not yet */
		int store_rounds;
	} spent;
	int64_t hook_us; /* of the answer that hook_ask gave last; -1: counted already */
	size_t sent; /* bytes of the answer's body */
	struct audit_event *event; /* audit.c; NULL: nothing is told of this request */
	const char *token_note_key, *token_note; /* what the audit log says of the token; NULL: nothing */
	const char *ws_protocols; /* Sec-WebSocket-Protocol without the bearer token; NULL: as it was sent */
	struct attrs at;
	enum verb verb;
	const struct path_route *route; /* a path that is no resource */
	const struct schema_res *res; /* as asked for */
	const struct schema_res *st; /* as stored */
	const struct schema_subres *sub;
	const struct handler *handler; /* of the verb, or of the subresource */
	const char *tail; /* behind a proxy subresource, decoded */
	struct str tail_raw; /* the same as it was sent */
	bool is_watch_path; /* /api/v1/watch/... */
	struct call_opts opts;
	enum shape shape;
	enum format format;
	enum include include;
	bool shape_v1beta1; /* of meta.k8s.io, not v1 */
	bool gzip; /* the client takes it */
	size_t gzip_over; /* bytes from which on; 0: as for any object */

	struct str raw; /* the body, while it is at hand */
	struct doc *body; /* decoded; changeable when body_owned */
	bool body_owned;
	VEC(const char *) warnings;
	VEC(const char *) parse_issues; /* duplicate fields of the body */
	struct doc *parsed; /* the body as it was, when there are any */

	/* one write */
	struct store_write write;
	int (*mutate)(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e);
	void (*stored)(struct req *r); /* when it is written; may be NULL */
	void (*undo)(struct req *r); /* the request failed after something was reserved */
	struct doc *doc; /* what create stores */
	const char *generate_name;
	int tries;
	bool created, removed;
	VEC(struct ip_addr) reserved_ips; /* alloc.c */
	VEC(int) reserved_ports; /* offsets in the range */
	uint64_t alloc_seed; /* 0: nothing was chosen yet */
	struct obj *before; /* what was there when it was this write's turn; referenced */
	struct quota_hold *holds; /* admit-quota.c */
	struct loop_timer *wait; /* admit-account.c */

	/* the answer */
	int status; /* 0: 200 */
	struct obj *obj;
	const struct schema_res *obj_res; /* NULL: res. Another kind (Scale) answers */
	struct buf text; /* a body made here; text_type says what it is */
	const char *text_type;
	bool text_pretty; /* it is JSON that is indented for people */
	const char *etag, *cache_control, *expires, *location; /* headers; NULL: none, or the usual one */
	bool vary_accept;
	struct encoder *encoder;
	bool success_status; /* a metav1.Status "Success" about obj or name */
	const char *success_text; /* its message; NULL: none */
	struct store_list list;
	bool is_list, list_held;
	size_t list_at; /* streaming a list: the next item */
	struct filter filter;
	struct watch *watch;
	struct eviction *eviction; /* eviction.c: it was counted in its budget */
	void *stream; /* stream.c */
	void *multi; /* deletecollection */
	struct convert_call *converting; /* the answer */
	void (*on_gone)(struct req *r);
};

struct api {
	struct api_config cfg;
	struct loop *loop;
	struct store *store;
	bool ready, closing;
	void (*on_ready)(void *arg);
	void *ready_arg;
	struct arena *arena; /* copies of the configuration's texts */
	TAILQ_HEAD(req_list, req) reqs;
	size_t n_reqs;
	TAILQ_HEAD(watch_list, watch) watches;
	size_t n_watches;
	TAILQ_HEAD(, feed) feeds;
	struct part *parts; /* call servers given out */
	struct user self; /* what the API server does by itself */
	struct tokens *tokens;
	struct jwt_key *jwt;
	struct alloc *alloc;
	struct admit_config *admit;
	struct quotas *quotas;
	struct metrics *metrics;
	struct audit *audit; /* NULL: off */
	struct lines *lines;
	struct hooks *hooks;
	struct rbac *rbac;
	struct node_authz *node_authz;
	struct policy_sync *policy; /* while the bootstrap policy is written */
	struct objects_sync *objects; /* while objects that are always there are written */
	struct store_watch *crd_watch;
	struct loop_timer *bookmark_timer;
	size_t n_bookmarked; /* watches that want bookmarks */
	struct start *start;
	const struct schema_res *namespaces, *pods, *services, *service_accounts;
};

/* --- request.c --- */
/* Runs the phases from where the request stands until it waits or ends; r may be gone afterwards. */
void req_run(struct req *r);
/* What a phase waited for has come: goes on with the next one. Takes err's content when it is set. */
void req_resume(struct req *r, struct err *err);
void req_finish(struct req *r);
/* Lets act run again from its beginning, on the loop's next turn. */
void req_again(struct req *r);
/* Keeps the struct while something is under way that is no request. */
void api_ref(struct api *a);
void api_unref(struct api *a);
void req_warn(struct req *r, const char *fmt, ...) ATTR_PRINTF(2, 3);
bool req_is_patch_apply(const struct req *r);
/* Wall clock in seconds, the same for the whole request. */
int64_t req_now(struct req *r);
struct req *req_new(struct api *a);
/* A call of the server itself in the name of u (which outlives it). */
void req_submit_call(struct api *a, const struct user *u, struct call *c);
void req_cancel_call(struct api *a, struct call *c);

/* A row says how a verb, or a verb of a subresource, is done. */
struct handler {
	const char *group, *resource, *subresource; /* NULL: any; "" for the resource itself */
	unsigned verbs; /* bits 1 << VERB_x */
	int (*act)(struct req *r, struct err *e);
	bool body; /* wants the request's body */
	bool raw; /* ... undecoded: the handler makes of it what it likes */
	const char *body_type; /* schema type of the body; NULL: the resource's own */
	bool plain; /* speaks HTTP itself: no options, no negotiation */
};
const struct handler *handler_find(const struct req *r);

/* --- http-in.c --- */
struct path_route {
	const char *path;
	bool prefix; /* also all below it */
	unsigned methods; /* 0: GET and HEAD */
	int (*act)(struct req *r, struct err *e);
};
int http_in_parse(struct req *r, struct err *e);
int http_in_options(struct req *r, struct err *e);
int http_in_body(struct req *r, struct err *e);
const char *req_query(struct req *r, const char *name); /* NULL when absent; lives with the request */
bool req_query_bool(struct req *r, const char *name);
/* log-options.c: the query of pods/log, checked, in the kubelet's form ("&tailLines=5"). */
int log_options_query(struct req *r, struct buf *query, struct err *e) MUST_CHECK;

/* --- authn.c, authn-as.c, token.c, jwt.c, authz.c --- */
int authn_request(struct req *r, struct err *e);
int tokens_load(struct tokens **ret, const char *file, struct err *e) MUST_CHECK;
struct tokens *tokens_free(struct tokens *t);
int authn_impersonate(struct req *r, struct err *e); /* phase */
struct token_answer { /* what a bearer token stands for; everything in the arena */
	const struct user *user; /* NULL: nobody */
	const char *const *audiences; /* those asked for that it is good for */
	const char *why; /* it stands for nobody: the reason, when there is more to say than that */
	const char *warning; /* for who uses it; NULL: none */
	const char *note_key, *note; /* for the audit log; NULL: none */
};
/* asked NULL: the API's own audiences. */
void authn_token(struct api *a, struct arena *arena, struct str token, const char *const *asked,
		 struct token_answer *ans);
void token_service_account(struct api *a, struct arena *arena, struct str token, const char *const *asked,
			   struct token_answer *ans);
/* NULL-terminated lists: what of have is in want; the strings of a JSON list (or the one string). */
const char *const *audiences_common(struct arena *arena, const char *const *have, const char *const *want);
const char *const *audiences_from_node(struct arena *arena, const struct node *list);
int act_token(struct req *r, struct err *e); /* serviceaccounts/token */
int act_eviction(struct req *r, struct err *e); /* eviction.c: pods/eviction */
int jwt_key_new(struct jwt_key **ret, const char *pem, struct err *e) MUST_CHECK;
struct jwt_key *jwt_key_free(struct jwt_key *k);
const char *jwt_key_id(const struct jwt_key *k);
/* Appends the compact form of the claims, signed ES256. */
int jwt_sign(struct jwt_key *k, struct str claims_json, struct buf *out, struct err *e) MUST_CHECK;
/* The claims when the signature is ours; NULL otherwise. */
struct doc *jwt_verify(struct jwt_key *k, struct str token);
void jwt_jwks(struct jwt_key *k, struct buf *out);
int authz_request(struct req *r, struct err *e);
bool authz_check(struct api *a, const struct user *u, const struct attrs *at);
/* 403 in Kubernetes' words; u was refused. */
int authz_denied(struct api *a, const struct user *u, const struct attrs *at, struct err *e);

/* --- audit.c --- */
int audit_new(struct api *a, struct err *e) MUST_CHECK; /* a->audit, when the configuration wants one */
void audit_free(struct api *a);
void audit_identify(struct req *r); /* r->id */
int audit_request(struct req *r, struct err *e); /* phase: what the policy says, RequestReceived */
int audit_body(struct req *r, struct err *e); /* phase: the request's object */
/* Into the event of r, if there is one; the first value of a key stays. Both are copied. */
void audit_annotate(struct req *r, const char *key, const char *value);
void audit_started(struct req *r); /* a long answer begins; r->status */
void audit_complete(struct req *r); /* r->status and what will be answered are known */
void audit_forget(struct req *r);
bool req_is_long(const struct req *r); /* watches and streams */
struct audit_stats {
	uint64_t events, lost, levels[4];
};
void audit_stats(const struct api *a, struct audit_stats *out);

/* --- status.c --- */
void status_group_resource(struct buf *out, const struct resource *res); /* "deployments.apps" */
int err_not_found(struct err *e, const struct resource *res, const char *name);
int err_exists(struct err *e, const struct resource *res, const char *name);
int err_conflict(struct err *e, const struct resource *res, const char *name, const char *fmt, ...)
	ATTR_PRINTF(4, 5);
int err_forbidden(struct err *e, const struct resource *res, const char *name, const char *fmt, ...)
	ATTR_PRINTF(4, 5);
/* `kind "name" is invalid: field: message`, with one cause. kind as "Pod" or "ListOptions.meta.k8s.io". */
int err_invalid(struct err *e, const char *group, const char *kind, const char *name, const char *reason,
		const char *field, const char *fmt, ...) ATTR_PRINTF(7, 8);
const char *status_cause_text(const char *reason); /* "Invalid value" for FieldValueInvalid */
int err_bad(struct err *e, const char *fmt, ...) ATTR_PRINTF(2, 3);
int err_modified(struct err *e, const struct resource *res, const char *name);
int err_http_code(const struct err *e);
void status_from_err(const struct err *e, struct buf *out);
void status_from_err_continue(const struct err *e, const char *cont, struct buf *out);
void status_success(struct req *r, struct buf *out);
int status_generic_not_found(struct err *e);
int status_generic_method(struct err *e);

/* --- negotiate.c --- */
int respond_negotiate(struct req *r, struct err *e); /* phase */

/* --- encode.c --- */
struct pretty { /* where in a text indenting is; zero at its beginning */
	int depth;
	bool in_string, escaped, opened;
};
void json_pretty_piece(struct pretty *p, struct str in, struct buf *out);
/* NULL: nothing is to be done (or too many compress already). */
struct encoder *encoder_new(bool pretty, bool gzip);
bool encoder_is_gzip(const struct encoder *x);
void encoder_run(struct encoder *x, struct evbuffer *in, bool last, struct evbuffer *out); /* drains in */
struct encoder *encoder_free(struct encoder *x);

/* --- respond.c --- */
void respond(struct req *r); /* HTTP; frees nothing of r */
/* How an answer looks: what a request negotiated, enough to render one object. */
struct view {
	const struct schema_res *res; /* version asked for */
	enum shape shape;
	enum include include;
	bool columns; /* Table: with columnDefinitions */
	bool v1beta1; /* Table, PartialObjectMetadata: of meta.k8s.io/v1beta1 */
};
struct view req_view(const struct req *r);
/* Appends one object whole: as JSON, as a Table of one row, or its metadata only. */
void respond_object(const struct view *v, struct obj *o, struct buf *out);
/* A list that is too large for one piece goes out bit by bit. STEP_WAIT, or STEP_DONE when it is small. */
int respond_list_start(struct req *r);
/* Begins a chunked answer. */
void respond_begin(struct req *r, const char *type);
/* Queues n bytes that stay where they are until they were sent; then release(arg). */
void respond_chunk_ref(struct req *r, const char *p, size_t n, void (*release)(const void *p, size_t n, void *arg),
		       void *arg);
/* text made here is the answer */
void answer_text(struct req *r, int status, const char *type);

/* --- convert.c --- */
/* d, a document of `from`, becomes one of `to` (another version of the same thing) in place. */
void convert_doc(struct doc *d, const struct schema_res *from, const struct schema_res *to);
/* o in version `to`: o itself (referenced) when that is how it is stored. */
struct obj *convert_obj(struct obj *o, const struct schema_res *to);

/* --- verbs-read.c, watch.c --- */
int act_get(struct req *r, struct err *e);
int act_list(struct req *r, struct err *e);
int filter_init(struct filter *f, const struct schema_res *res, const char *labels, const char *fields,
		struct err *e) MUST_CHECK;
bool filter_match(const struct filter *f, struct obj *o);
void filter_release(struct filter *f);
/* A resourceVersion in text; -1: no number. */
int64_t parse_rv(const char *s);
int check_rv_reached(struct req *r, int64_t rv, struct err *e);
int act_watch(struct req *r, struct err *e);
void watch_free(struct watch *w);
/* Something was written: bookmarks become due in a while. */
void watch_note_write(struct api *a);
/* r is served no more: its watches end. */
void watch_end_of(struct api *a, const struct schema_res *r);
void watch_api_init(struct api *a);
void watch_api_release(struct api *a);

/* --- verbs-write.c --- */
int act_create(struct req *r, struct err *e);
int act_update(struct req *r, struct err *e);
int act_patch(struct req *r, struct err *e);
/* Gives the request's one write to the store (or plays it through, dryRun); a phase's result. */
int req_store(struct req *r, const char *ns, const char *name, struct err *e);
/* Default, admit, prepare, validate d (of r->st), which is to follow old (NULL: create). */
int write_chain(struct req *r, struct doc *d, struct obj *old, struct err *e);
/* Admission of a body that is a kind of its own (Binding, Eviction): *ret, the caller's, is what came of it. */
int write_admit_body(struct req *r, struct doc **ret, struct err *e);
/* What every update does once d is known: versions, identity, the chain, deletion when it became due. */
int write_update(struct req *r, struct obj *cur, struct doc *d_take, struct doc **out, bool *remove, struct err *e);
/* --- decode.c --- */
/* d, of this kind or claiming to be, becomes a checked document of res. */
int decode_doc(struct req *r, const struct schema_res *res, struct doc *d, struct err *e);
/* Parses r->raw by its content type into *ret. */
int decode_raw(struct req *r, struct doc **ret, struct err *e);
int decode_body(struct req *r, struct err *e); /* phase */
/* The patch of r->body, applied to d. */
int apply_patch(struct req *r, const struct schema_res *res, struct doc *d, struct err *e);
/* A changeable document of the body: the body itself when it is ours, else a copy. */
struct doc *req_take_body(struct req *r);
void stamp_new(struct req *r, struct doc *d); /* uid, creationTimestamp */
bool allows_create_on_update(const struct resource *res);

/* --- managed.c: managedFields --- */
/* d (of r->res, with its defaults), which is to follow cur (NULL: create), gets its managedFields. */
void managed_track(struct req *r, struct obj *cur, struct doc *d);
void managed_copy(struct doc *d, const struct node *from); /* from's managedFields become d's */
/* The same for a Scale (of a type: "autoscaling/v1.Scale") that follows old, both with managedFields of their own. */
void managed_track_scale(struct req *r, const char *type, const struct node *old, struct doc *scale);
/* Does d say what old says, but for times in managedFields? They then are old's. */
bool managed_unchanged(struct doc *d, const struct node *old);
/* Server-side apply: *ret is cur (NULL: nothing is there) with the request's configuration taken up, of r->res. */
int managed_merge(struct req *r, struct obj *cur, struct doc **ret, struct err *e) MUST_CHECK;
int managed_merge_scale(struct req *r, const char *type, const struct node *old, struct doc **ret, struct err *e) MUST_CHECK;

/* --- delete.c --- */
int act_delete(struct req *r, struct err *e);
int act_deletecollection(struct req *r, struct err *e);
int delete_options_from_node(struct req *r, const struct node *n, struct err *e);
int delete_check_preconditions(struct req *r, struct obj *cur, struct err *e);
int delete_mutate(struct req *r, struct obj *cur, struct doc **out, bool *remove, struct err *e);
int delete_options_from_body(struct req *r, struct err *e);
bool delete_due_on_update(const struct req *r, const struct node *old, const struct node *root);
void delete_multi_free(struct req *r);

/* --- backend.c --- */
/* One ready endpoint of a Service's port (name or number; "": the one without a name). *host is the caller's.
 * only_pods: no address that its user made up; it must be that of the pod which it says it is. */
int backend_of_service(struct api *a, const char *ns, const char *name, const char *port, bool only_pods, char **host,
		       int *to, struct err *e) MUST_CHECK;

/* --- hook.c: questions to programs outside --- */
/* A webhook's address: admissionregistration's and apiextensions' WebhookClientConfig are the same shape. */
struct hook_call; /* one POST under way */
/* body is copied. done runs once, never inside hook_send, with the answer (borrowed) or the error, unless the call
 * is cancelled. Timeout is for all of it, 0: 10 s. */
struct hook_call *hook_send(struct api *a, const struct node *client_config, struct str body, int timeout_ms,
			    void (*done)(void *arg, struct doc *answer, const struct err *err), void *arg);
struct hook_call *hook_abort(struct hook_call *c); /* returns NULL */
/*
 * The same inside a request, which may be in the middle of a store's turn: 0 and the answer (borrowed, lives as
 * long as the request), or the error that it ended with; at first, however, ERR_AGAIN: the question is noted. A
 * phase that fails with ERR_AGAIN is left, everything that was noted is sent at once, and when all answers are
 * there, act runs from the beginning and comes to the same question again. So: the same input must lead to the same
 * question (clock and chance: req_now, r->uid), act must not use up what the request brought, and what a run has
 * reserved r->undo gives back.
 */
int hook_ask(struct req *r, const struct node *client_config, struct str body, int timeout_ms, struct doc **answer,
	     struct err *e) MUST_CHECK;
void hook_wait(struct req *r); /* r->err is ERR_AGAIN: sends what was noted */
void hook_request_free(struct req *r);
void hooks_free(struct api *a);

/* --- webhook.c: admission by programs outside --- */
/* Does any configuration exist that might look at r? */
bool webhook_may_ask(const struct req *r);

/* --- admit.c, admit-*.c, alloc.c --- */
int admit_mutate(struct req *r, struct doc *d, struct obj *old, struct err *e);
int admit_validate(struct req *r, struct doc *d, struct obj *old, struct err *e);
int admit_remove(struct req *r, struct obj *cur, struct err *e);
/* Of exec, attach, portforward, proxy: options is the decoded query as an object (PodExecOptions). */
int admit_connect(struct req *r, struct doc *options, struct err *e);
int admit_new(struct api *a, struct err *e) MUST_CHECK;
void admit_free(struct api *a);
/* A new pod must wait for its namespace's account: the request's act runs again after a while. */
bool account_wait(struct req *r);
int quota_new(struct api *a, struct err *e) MUST_CHECK;
void quota_close(struct api *a); /* nobody waits any more */
void quota_release_all(struct api *a);
/* The write failed: gives back what it held. */
void quota_undo(struct req *r);
/* It is done (o as for store_write.done). True: it goes on (req_resume) when the quotas show it. */
bool quota_stored(struct req *r, struct obj *o);
int alloc_new(struct api *a, struct err *e) MUST_CHECK;
void alloc_free(struct api *a);
/* d, which is to follow old, as it will be with what it is given; what is new is reserved until alloc_undo, or until it is
 * stored. */
int alloc_service(struct req *r, struct doc *d, struct obj *old, struct err *e);
void alloc_undo(struct req *r);
const char *alloc_first_ip(struct api *a);

/* --- subresources and kinds without storage --- */
extern const struct handler subres_pod_handlers[], subres_rollback_handlers[], subres_scale_handlers[], stream_handlers[], proxy_handlers[], review_handlers[], access_handlers[],
	subres_misc_handlers[], top_handlers[];

/* --- paths that are no resources --- */
extern const struct path_route path_routes[];
int act_discovery(struct req *r, struct err *e);
int act_openapi(struct req *r, struct err *e);
int act_health(struct req *r, struct err *e);
int act_version(struct req *r, struct err *e);
int act_metrics(struct req *r, struct err *e);
int act_paths(struct req *r, struct err *e);
int act_openid(struct req *r, struct err *e);
struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
void metrics_count(struct req *r); /* when it is answered */
void metrics_slow(struct req *r); /* a line in the log when it took too long */
void metrics_authenticated(struct req *r, bool fine, int64_t us);
void metrics_authorized(struct req *r, bool fine, int64_t us);
void metrics_stored(struct req *r, int64_t us);
enum token_kind { TOKEN_LEGACY, TOKEN_STALE, TOKEN_VALID, TOKEN_KINDS }; /* stale: used after its warnafter */
void metrics_token(struct api *a, enum token_kind kind);
void metrics_webhook(struct api *a, const char *name, bool mutating, const char *operation, bool rejected, int64_t us);
/* What counts events to watchers of res; lives as long as a. May be NULL. */
struct metric_watch *metrics_watch(struct api *a, const struct resource *res);
void metrics_watch_event(struct metric_watch *w, size_t bytes);

/* --- feed.c --- */
void feed_start(struct api *a, struct call_feed *to);
void feed_stop(struct api *a, struct call_feed *to);
void feed_stop_all(struct api *a);

/* --- start.c, start-policy.c, start-objects.c --- */
/* Makes and repairs the bootstrap policy. False: all was there; true: done is called when it is written. */
bool policy_sync(struct api *a, void (*done)(void *arg, bool failed), void *arg);
void policy_sync_free(struct api *a);
/* The same for all other objects that are always there, but namespaces and the Service `kubernetes` (start-objects.c). */
bool objects_sync(struct api *a, void (*done)(void *arg, bool failed), void *arg);
void objects_sync_free(struct api *a);
bool objects_is_watched(const struct obj *o); /* may it be one of them? */
void start_again(struct api *a); /* something of what is always there changed */
/* --- crd.c: CustomResourceDefinitions become resources --- */
int crd_open(struct api *a, struct err *e) MUST_CHECK;
void crd_close(struct api *a);
bool crd_is_definition(const struct resource *res);
/* A definition that is to be deleted: its objects go first. */
void crd_begin_deletion(struct doc *d);
int crd_check_create(const struct req *r, struct err *e);

/* --- convert-hook.c: versions that a webhook converts --- */
/* d, a document of `from`, becomes one of `to`; asks a webhook where the definition says so. */
int convert_req_doc(struct req *r, struct doc *d, const struct schema_res *from, const struct schema_res *to,
		    struct err *e) MUST_CHECK;
/* o in version `to`, *ret referenced. */
int convert_req_obj(struct req *r, struct obj *o, const struct schema_res *to, struct obj **ret,
		    struct err *e) MUST_CHECK;
/* All of the list, in place. */
int convert_req_list(struct req *r, struct obj **objs, size_t n, const struct schema_res *to, struct err *e) MUST_CHECK;
bool convert_needs_hook(const struct obj *o, const struct schema_res *to);
bool convert_may_ask(const struct req *r);
/* Converts one object outside of any request; done gets it (borrowed) or the error. */
struct convert_call;
struct convert_call *convert_send(struct api *a, struct obj *o, const struct schema_res *to,
				  void (*done)(void *arg, struct obj *o, const struct err *err), void *arg);
struct convert_call *convert_abort(struct convert_call *c); /* returns NULL */
/* What a write answers, in the version asked for. */
int convert_answer(struct req *r, struct err *e); /* phase */

void start_free(struct api *a);

#endif
