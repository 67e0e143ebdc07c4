/*
 * What a call looks like as a request: method, path, query, headers, body.
 */
#include <stdio.h>

#include "client/remote.h"

static const char *const ask_methods[VERB_MAX] = {
	[VERB_GET] = "GET",	 [VERB_LIST] = "GET",	[VERB_WATCH] = "GET",	  [VERB_CREATE] = "POST",
	[VERB_UPDATE] = "PUT", [VERB_PATCH] = "PATCH", [VERB_DELETE] = "DELETE", [VERB_DELETECOLLECTION] = "DELETE",
};

static const char *const ask_patch_types[] = {
	[PATCH_JSON] = "application/json-patch+json",
	[PATCH_MERGE] = "application/merge-patch+json",
	[PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
	[PATCH_APPLY] = "application/apply-patch+yaml",
};

#define ASK_PAGE 500 /* objects of a list that come at once, as client-go's pager asks */

/* --- the target --- */

static void ask_segment(struct buf *b, const char *s)
{
	buf_addch(b, '/');
	buf_add_url(b, str_of(s), false);
}

static void ask_path(struct buf *b, const struct remote_call *rc)
{
	const struct call *c = rc->call;
	const struct resource *r = c->res;

	buf_adds(b, rc->remote->base);
	buf_adds(b, *r->group ? "/apis" : "/api");
	if (*r->group)
		ask_segment(b, r->group);
	ask_segment(b, r->version);
	if (r->namespaced && !str_empty(c->ns)) {
		buf_adds(b, "/namespaces");
		ask_segment(b, c->ns);
	}
	ask_segment(b, r->plural);
	if (!str_empty(c->name))
		ask_segment(b, c->name);
	if (!str_empty(c->subresource))
		ask_segment(b, c->subresource);
}

static void ask_option(struct buf *b, const char *name, const char *value)
{
	if (str_empty(value))
		return;
	buf_addch(b, memchr(b->s, '?', b->len) ? '&' : '?');
	buf_addf(b, "%s=", name);
	buf_add_url(b, str_of(value), false);
}

static void ask_number(struct buf *b, const char *name, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	ask_option(b, name, v ? text : NULL);
}

static void ask_flag(struct buf *b, const char *name, bool v)
{
	ask_option(b, name, v ? "true" : NULL);
}

/* A page but the first has its revision in the token; a watch that goes on says where, and gets no initial events. */
static void ask_where(struct buf *b, const struct remote_call *rc)
{
	const struct call_opts *o = &rc->call->opts;

	if (rc->rv) {
		ask_number(b, "resourceVersion", rc->rv);
		return;
	}
	ask_option(b, "continue", rc->cont ? rc->cont : o->continue_token);
	if (rc->cont)
		return;
	ask_option(b, "resourceVersion", o->resource_version);
	ask_option(b, "resourceVersionMatch", o->resource_version_match);
	ask_flag(b, "sendInitialEvents", o->send_initial_events);
}

static void ask_query(struct buf *b, const struct remote_call *rc)
{
	const struct call *c = rc->call;
	const struct call_opts *o = &c->opts;
	const char validation[][7] = { "Strict", "Warn", "Ignore" };

	ask_flag(b, "watch", c->verb == VERB_WATCH);
	ask_option(b, "labelSelector", o->label_selector);
	ask_option(b, "fieldSelector", o->field_selector);
	ask_where(b, rc);
	if (c->verb == VERB_LIST)
		ask_number(b, "limit", o->limit ? o->limit : ASK_PAGE);
	ask_number(b, "timeoutSeconds", o->timeout_s);
	ask_flag(b, "allowWatchBookmarks", c->verb == VERB_WATCH);
	ask_option(b, "dryRun", o->dry_run ? "All" : NULL);
	if (c->verb == VERB_CREATE || c->verb == VERB_UPDATE || c->verb == VERB_PATCH)
		ask_option(b, "fieldManager", o->field_manager);
	for (size_t i = 0; i < ARRAY_SIZE(validation); i++)
		if (o->field_validation && o->field_validation == validation[i][0])
			ask_option(b, "fieldValidation", validation[i]);
	ask_flag(b, "force", o->force);
}

/* --- the body --- */

static void ask_preconditions(const struct call_opts *o, struct doc *d, struct node *root)
{
	struct node *p;

	if (!o->precond_uid && !o->precond_rv)
		return;
	p = node_need_object(d, root, F_preconditions);
	if (o->precond_uid)
		node_sets(d, p, F_uid, o->precond_uid);
	if (o->precond_rv)
		node_sets(d, p, F_resourceVersion, o->precond_rv);
}

/* DeleteOptions: what the caller's own body says, and the options. */
static void ask_delete_body(const struct call *c, struct buf *out)
{
	_cleanup_doc_ struct doc *d = c->body ? doc_clone(c->body) : doc_new();
	struct node *root;

	if (!node_is(doc_root(d), DOC_OBJECT))
		doc_set_root(d, node_new(d, DOC_OBJECT));
	root = doc_root(d);
	node_sets(d, root, F_kind, "DeleteOptions");
	node_sets(d, root, F_apiVersion, "v1");
	if (c->opts.has_grace)
		node_seti(d, root, F_gracePeriodSeconds, c->opts.grace_s);
	if (c->opts.orphan_false)
		node_setb(d, root, F_orphanDependents, false);
	else if (c->opts.propagation)
		node_sets(d, root, F_propagationPolicy, c->opts.propagation);
	ask_preconditions(&c->opts, d, root);
	doc_print_json(out, root, DOC_PRINT_COMPACT);
}

static const char *ask_body(struct remote_call *rc)
{
	const struct call *c = rc->call;

	if (c->verb == VERB_DELETE || c->verb == VERB_DELETECOLLECTION)
		ask_delete_body(c, &rc->body);
	else if (c->body && (c->verb == VERB_CREATE || c->verb == VERB_UPDATE || c->verb == VERB_PATCH))
		doc_print_json(&rc->body, doc_root(c->body), DOC_PRINT_COMPACT);
	else
		return NULL;
	return c->verb == VERB_PATCH ? ask_patch_types[c->opts.patch_type] : "application/json";
}

/* --- headers --- */

static void ask_header(struct remote_call *rc, const char *name, const char *value)
{
	BUG_ON(rc->x.n_headers == REMOTE_HEADERS);
	if (value)
		rc->headers[rc->x.n_headers++] = (struct http_header){ str_of(name), str_of(value) };
}

int remote_ask(struct remote_call *rc, struct err *e)
{
	_cleanup_buf_ struct buf target = BUF_INIT;
	struct http_exchange *x = &rc->x;

	if (rc->call->verb >= VERB_MAX || !ask_methods[rc->call->verb])
		return err_set(e, ERR_METHOD_NOT_ALLOWED, "this cannot be done over a remote client");
	ask_path(&target, rc);
	ask_query(&target, rc);
	free(rc->target);
	rc->target = buf_detach(&target, NULL);
	buf_clear(&rc->body);
	*x = (struct http_exchange){ .method = ask_methods[rc->call->verb], .target = rc->target,
				     .headers = rc->headers, .arg = rc };
	ask_header(rc, "Content-Type", ask_body(rc));
	x->body = buf_str(&rc->body);
	ask_header(rc, "Accept", "application/json");
	ask_header(rc, "User-Agent", rc->remote->agent);
	ask_header(rc, "Authorization", rc->remote->authorization);
	return 0;
}
