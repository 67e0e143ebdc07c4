/*
 * The cluster as controllers, scheduler and node agent see it: calls, and
 * informers (a local, ordered copy of one resource that follows the watch).
 *
 * Local: straight into the API's entry point (struct call_server). Remote: the
 * same calls over HTTPS. Nobody above can tell.
 */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/loop.h"
#include "obj/call.h"

struct client;

/* user: who the calls are made as ("system:kube-scheduler", ...); informational for the local one. */
struct client *client_new_local(struct loop *l, struct call_server *server, const char *user);
/* Over HTTPS. Texts are copied or read at once, and may go afterwards. Calls wait for one of max_connections
 * (watches have their own); one that is not answered in whole after timeout_ms fails, as one does whose server is
 * away: nothing is sent twice. Lists without a limit come in pages. A watch outlives its connection (back-off with
 * jitter, on from the last revision) until the server has nothing to go on from: its end with Expired or Gone tells
 * its owner to begin anew. */
struct client_remote_config {
	struct loop *loop;
	const char *server; /* "https://10.0.0.1:6443" */
	const char *ca_pem; /* who signs the server's certificate; NULL: whom the machine trusts */
	const char *cert_pem, *key_pem; /* who we are; or */
	const char *token; /* a bearer token */
	bool insecure; /* take any certificate of the server */
	const char *user_agent; /* "kinglet-simulate/0.1.0": names what is written in managedFields, too */
	int max_connections; /* 0: 16 */
	int timeout_ms; /* 0: 60000 */
};
int client_new_remote(struct client **ret, const struct client_remote_config *cfg, struct err *e) MUST_CHECK;
/* The same client under the name of a part ("kubelet"), which managedFields show for what it writes. Informers are
 * shared. Lives as long as c. */
struct client *client_named(struct client *c, const char *manager);
struct client *client_free(struct client *c);
struct loop *client_loop(struct client *c);

/* Raw calls; see obj/call.h for ownership. */
void client_submit(struct client *c, struct call *call);
void client_cancel(struct client *c, struct call *call);

/* The local client only (nothing of the kind goes over HTTP); see obj/call.h: how many there are, and every change of every object. */
size_t client_count(struct client *c, const struct resource *r);
void client_feed(struct client *c, struct call_feed *f);
void client_unfeed(struct client *c, struct call_feed *f);

/* --- short forms: fire, and be told; arg may hold anything. done may be NULL (errors are then logged at debug). --- */
typedef void (*client_done)(void *arg, struct obj *o, const struct err *err);
void client_create(struct client *c, const struct resource *r, const char *ns, struct doc *body_take,
		   client_done done, void *arg);
/* subresource NULL, "status", "binding"... */
void client_update(struct client *c, const struct resource *r, const char *ns, const char *name,
		   const char *subresource, struct doc *body_take, client_done done, void *arg);
void client_patch(struct client *c, const struct resource *r, const char *ns, const char *name,
		  const char *subresource, enum patch_type t, struct doc *patch_take, client_done done, void *arg);
/* uid NULL: no precondition; grace_s -1: the object's own */
void client_delete(struct client *c, const struct resource *r, const char *ns, const char *name, const char *uid,
		   int64_t grace_s, client_done done, void *arg);
/* o itself and no other of its name (same_rv: in this very state); propagation is a literal. */
void client_delete_at(struct client *c, struct obj *o, bool same_rv, const char *propagation, client_done done,
		      void *arg);
/* With a propagationPolicy (a literal, or NULL). */
void client_delete_as(struct client *c, const struct resource *r, const char *ns, const char *name, const char *uid,
		      const char *propagation, client_done done, void *arg);
void client_create_sub(struct client *c, const struct resource *r, const char *ns, const char *name,
		       const char *subresource, struct doc *body_take, client_done done, void *arg);

/* --- informers: one for each (resource, selector), shared by all who ask on this client --- */
struct informer;
struct informer_ops {
	/* type ADDED: old NULL; MODIFIED: both; DELETED: obj is the last state. */
	void (*on_event)(void *arg, enum watch_type t, struct obj *obj, struct obj *old);
	void (*on_synced)(void *arg); /* the first list is complete; may be NULL */
};
/* field_selector may be NULL ("spec.nodeName=n1"). Late subscribers get ADDED for what is there. */
struct informer *informer_get(struct client *c, const struct resource *r, const char *field_selector);
void informer_subscribe(struct informer *i, const struct informer_ops *ops, void *arg);
void informer_unsubscribe(struct informer *i, void *arg);
bool informer_synced(const struct informer *i);
struct obj *informer_find(struct informer *i, const char *ns, const char *name); /* borrowed */
/* In key order; ns NULL: all. Start with prev NULL. */
struct obj *informer_next(struct informer *i, const char *ns, struct obj *prev);
size_t informer_count(const struct informer *i);

/* --- work queues: keys, each once, one at a time, with back-off --- */
struct workqueue;
/* run: start work on key; call workqueue_done when it is over (now or later). Parallel up to workers. */
struct workqueue *workqueue_new(struct loop *l, int workers, void (*run)(void *arg, const char *key), void *arg);
void workqueue_add(struct workqueue *q, const char *key);
void workqueue_add_after(struct workqueue *q, const char *key, int64_t ms);
/* failed: again after back-off (5 ms doubling to 1000 s as client-go's). Re-added meanwhile: runs again. One that held
 * the loop for long rests a while before it runs again. */
void workqueue_done(struct workqueue *q, const char *key, bool failed);
struct workqueue *workqueue_free(struct workqueue *q);

/* --- events, as client-go's recorder makes them: same reason and text within a time are counted, not repeated --- */
/* type "Normal" or "Warning"; component "kubelet", "default-scheduler". */
void client_event(struct client *c, struct obj *about, const char *field_path, const char *component, const char *host,
		  const char *type, const char *reason, const char *fmt, ...) ATTR_PRINTF(8, 9);

#endif
