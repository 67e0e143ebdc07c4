/*
 * What an answer says: an object, a list, or a Status that tells what was wrong.
 * All of it comes from outside, and is held against limits.
 */
#include "base/limits.h"
#include "client/remote.h"

/* --- errors --- */

/* By the code alone, as client-go takes it. */
static enum err_reason reason_of(const struct remote_call *rc, int http)
{
	if (http == 409)
		return rc->call && rc->call->verb == VERB_CREATE ? ERR_ALREADY_EXISTS : ERR_CONFLICT;
	for (int r = ERR_UNKNOWN + 1; r < ERR_AGAIN; r++)
		if (err_reason_http(r) == http)
			return r;
	return ERR_UNKNOWN;
}

static void put_details(struct err *e, const struct node *d)
{
	err_about(e, node_cstr(node_get(d, F_group)), node_cstr(node_get(d, F_kind)), node_cstr(node_get(d, F_name)));
	if (node_cstr(node_get(d, F_uid))) {
		free(e->uid);
		e->uid = xstrdup(node_gets(d, F_uid));
	}
	e->retry_after_s = (int)node_int(node_get(d, F_retryAfterSeconds), 0);
	NODE_FOREACH(c, node_get(d, F_causes))
		err_add_cause(e, node_gets(c, F_reason), node_gets(c, F_field), "%s", node_gets(c, F_message));
}

int remote_status_err(const struct node *status, int http, struct err *e)
{
	enum err_reason r = err_reason_from_name(node_gets(status, F_reason));
	const char *message = node_gets(status, F_message);

	err_set(e, r, "%s", *message ? message : "the server refused without saying why");
	if (http != err_reason_http(r))
		e->http_code = http;
	put_details(e, node_get(status, F_details));
	return -e->code;
}

static bool is_status(const struct node *n)
{
	return node_streq(node_get(n, F_kind), "Status") && node_streq(node_get(n, F_apiVersion), "v1");
}

int remote_refusal(const struct remote_call *rc, int status, struct str body, struct err *e)
{
	_cleanup_err_ struct err none = ERR_INIT;
	_cleanup_doc_ struct doc *d = NULL;

	if (doc_parse_json(&d, body, NULL, &none) == 0 && is_status(doc_root(d)) &&
	    *node_gets(doc_root(d), F_reason))
		return remote_status_err(doc_root(d), status, e);
	err_set(e, reason_of(rc, status), "%s %s%s: the server answered with status %d", rc->x.method, rc->remote->url,
		rc->target, status);
	e->http_code = status;
	return -e->code;
}

/* --- objects --- */

static int64_t rv_of(const struct node *n)
{
	int64_t rv = 0;

	(void)str_to_i64(node_str(node_path(n, F_metadata, F_resourceVersion)), &rv);
	return rv;
}

int remote_read_object(const struct remote_call *rc, struct str body, struct obj **ret, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	*ret = NULL;
	if (doc_parse_json(&d, body, NULL, e) < 0)
		return err_wrap(e, "the answer of %s", rc->remote->url);
	if (!node_is(doc_root(d), DOC_OBJECT))
		return err_set(e, ERR_INTERNAL, "the answer of %s is no object", rc->remote->url);
	if (!is_status(doc_root(d)) && rc->call->verb != VERB_DELETECOLLECTION)
		*ret = obj_new(rc->call->res, d, rv_of(doc_root(d)));
	return 0;
}

/* The items of a list do not say what they are. */
static int read_item(struct remote_call *rc, const struct node *item, struct err *e)
{
	const struct resource *r = rc->call->res;
	_cleanup_doc_ struct doc *d = doc_new();
	struct node *root;

	if (!node_is(item, DOC_OBJECT) || !*meta_name(item))
		return err_set(e, ERR_INTERNAL, "the list of %s that %s gave holds what is no object", r->plural,
			       rc->remote->url);
	root = node_copy(d, item);
	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, r->api_version);
	node_sets(d, root, F_kind, r->kind);
	VEC_PUSH(&rc->items, obj_new(r, d, rv_of(root)));
	return 0;
}

int remote_read_list(struct remote_call *rc, struct str body, struct err *e)
{
	struct doc_json_opts opts = { .max_bytes = LIMIT_LIST_PAGE_BYTES };
	_cleanup_doc_ struct doc *d = NULL;
	const struct node *root, *items;
	const char *cont;

	if (doc_parse_json(&d, body, &opts, e) < 0)
		return err_wrap(e, "the answer of %s", rc->remote->url);
	root = doc_root(d);
	items = node_get(root, F_items);
	if (!node_is(root, DOC_OBJECT) || is_status(root) || (items && !node_is(items, DOC_ARRAY) && !node_is(items, DOC_NULL)))
		return err_set(e, ERR_INTERNAL, "the answer of %s is no list", rc->remote->url);
	NODE_FOREACH(item, items)
		if (read_item(rc, item, e) < 0)
			return -e->code;
	rc->list_rv = rv_of(root);
	cont = node_gets(node_get(root, F_metadata), F_continue);
	free(rc->cont);
	rc->cont = *cont ? xstrdup(cont) : NULL;
	return 0;
}
