/*
 * Calls. The local client hands them to the API's entry point; the short forms
 * own the call and its strings until the answer is there.
 */
#include "client/internal.h"

#include "base/log.h"

struct client_short { /* a call that nobody else owns */
	struct client *root;
	TAILQ_ENTRY(client_short) link;
	struct call call;
	client_done done;
	void *arg;
	char *ns, *name, *subresource, *uid, *rv;
};

/* Under way. Those that are when the process ends are cancelled and stay here with what their owners gave them: nobody
 * is left to take it. */
static TAILQ_HEAD(, client_short) client_shorts = TAILQ_HEAD_INITIALIZER(client_shorts);

struct client *client_new_local(struct loop *l, struct call_server *server, const char *user)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->server = server;
	c->user = xstrdup(user ? user : "");
	c->root = c;
	c->informers = map_new(informer_free);
	c->events = map_new(client_event_record_free);
	return c;
}

struct client *client_named(struct client *c, const char *manager)
{
	struct client *n = xmalloc(sizeof(*n));

	*n = *c->root;
	n->manager = xstrdup(manager);
	c->root->next = n;
	return n;
}

static void client_free_named(struct client *c)
{
	while (c) {
		struct client *next = c->next;

		free(c->manager);
		free(c);
		c = next;
	}
}

struct client *client_free(struct client *c)
{
	struct client_short *s;

	if (!c)
		return NULL;
	TAILQ_FOREACH(s, &client_shorts, link)
		if (s->root == c && s->call.impl)
			client_cancel(c, &s->call);
	client_free_named(c->next);
	map_free(c->informers);
	map_free(c->events);
	if (c->free_server)
		c->free_server(c->server);
	free(c->user);
	free(c);
	return NULL;
}

struct loop *client_loop(struct client *c)
{
	return c->loop;
}

void client_submit(struct client *c, struct call *call)
{
	if (!call->opts.field_manager)
		call->opts.field_manager = c->manager;
	c->server->submit(c->server, call);
}

void client_cancel(struct client *c, struct call *call)
{
	c->server->cancel(c->server, call);
}

size_t client_count(struct client *c, const struct resource *r)
{
	return c->server->count(c->server, r);
}

void client_feed(struct client *c, struct call_feed *f)
{
	c->server->feed(c->server, f);
}

void client_unfeed(struct client *c, struct call_feed *f)
{
	if (f->impl)
		c->server->unfeed(c->server, f);
}

static void client_short_done(struct call *call, const struct err *err)
{
	struct client_short *s = call->arg;

	TAILQ_REMOVE(&client_shorts, s, link);
	if (s->done)
		s->done(s->arg, call->obj, err);
	else if (err)
		log_debug("call failed, ignoring", LS("verb", verb_name(call->verb)), LS("name", call->name),
			  LE(err));
	doc_unref(call->body);
	free(s->ns);
	free(s->name);
	free(s->subresource);
	free(s->uid);
	free(s->rv);
	free(s);
}

static struct client_short *client_short_new(struct client *c, enum verb verb, const struct resource *r, const char *ns,
					     const char *name, const char *subresource, struct doc *body_take,
					     client_done done, void *arg)
{
	struct client_short *s = xcalloc(1, sizeof(*s));

	TAILQ_INSERT_TAIL(&client_shorts, s, link);
	s->root = c->root;
	s->done = done;
	s->arg = arg;
	s->ns = xstrdup_null(ns);
	s->name = xstrdup_null(name);
	s->subresource = xstrdup_null(subresource);
	s->call = (struct call){ .verb = verb, .res = r, .subresource = s->subresource, .ns = s->ns, .name = s->name,
				 .body = body_take, .done = client_short_done, .arg = s };
	return s;
}

void client_create(struct client *c, const struct resource *r, const char *ns, struct doc *body_take, client_done done,
		   void *arg)
{
	client_submit(c, &client_short_new(c, VERB_CREATE, r, ns, NULL, NULL, body_take, done, arg)->call);
}

void client_create_sub(struct client *c, const struct resource *r, const char *ns, const char *name,
		       const char *subresource, struct doc *body_take, client_done done, void *arg)
{
	client_submit(c, &client_short_new(c, VERB_CREATE, r, ns, name, subresource, body_take, done, arg)->call);
}

void client_update(struct client *c, const struct resource *r, const char *ns, const char *name,
		   const char *subresource, struct doc *body_take, client_done done, void *arg)
{
	client_submit(c, &client_short_new(c, VERB_UPDATE, r, ns, name, subresource, body_take, done, arg)->call);
}

void client_patch(struct client *c, const struct resource *r, const char *ns, const char *name,
		  const char *subresource, enum patch_type t, struct doc *patch_take, client_done done, void *arg)
{
	struct client_short *s = client_short_new(c, VERB_PATCH, r, ns, name, subresource, patch_take, done, arg);

	s->call.opts.patch_type = t;
	client_submit(c, &s->call);
}

void client_delete(struct client *c, const struct resource *r, const char *ns, const char *name, const char *uid,
		   int64_t grace_s, client_done done, void *arg)
{
	struct client_short *s = client_short_new(c, VERB_DELETE, r, ns, name, NULL, NULL, done, arg);

	s->uid = xstrdup_null(uid);
	s->call.opts.precond_uid = s->uid;
	s->call.opts.has_grace = grace_s >= 0;
	s->call.opts.grace_s = grace_s >= 0 ? grace_s : 0;
	client_submit(c, &s->call);
}

void client_delete_at(struct client *c, struct obj *o, bool same_rv, const char *propagation, client_done done,
		      void *arg)
{
	struct client_short *s = client_short_new(c, VERB_DELETE, o->res, o->ns, o->name, NULL, NULL, done, arg);

	s->uid = xstrdup(o->uid);
	s->rv = same_rv ? xasprintf("%lld", (long long)o->rv) : NULL;
	s->call.opts.precond_uid = s->uid;
	s->call.opts.precond_rv = s->rv;
	s->call.opts.propagation = propagation;
	client_submit(c, &s->call);
}

void client_delete_as(struct client *c, const struct resource *r, const char *ns, const char *name, const char *uid,
		      const char *propagation, client_done done, void *arg)
{
	struct client_short *s = client_short_new(c, VERB_DELETE, r, ns, name, NULL, NULL, done, arg);

	s->uid = xstrdup_null(uid);
	s->call.opts.precond_uid = s->uid;
	s->call.opts.propagation = propagation;
	client_submit(c, &s->call);
}
