/*
 * The kubelet's streams: pods/log, exec, attach, portforward.
 *
 * The API server finds the pod's node, checks the options, and turns the request
 * into the kubelet's form (paths and option names: node/node.h); how it then
 * stands between the two is relay.c's.
 */
#include "api/relay.h"

#include "http/http.h"

#define BIT(v) (1u << (v))

static int stream_to_node(struct req *r, const char *node, const char *target, bool status_from_text, struct err *e)
{
	struct relay_to *to = arena_zalloc(r->arena, sizeof(*to));

	to->node = arena_strdup(r->arena, node);
	to->target = target;
	to->status_from_text = status_from_text;
	return relay_start(r, to, e);
}

/* --- pods --- */

static struct obj *stream_pod(struct req *r, const char *name, struct err *e)
{
	struct obj *o = store_get(r->api->store, &r->api->pods->r, r->at.ns, name);

	if (!o)
		err_not_found(e, &r->api->pods->r, name);
	return o;
}

static void names_of(const struct node *list, struct buf *out)
{
	NODE_FOREACH(c, list)
		buf_addf(out, "%s%s", out->len ? " " : "", node_gets(c, F_name));
}

static bool has_container(const struct node *spec, const char *name)
{
	static const enum field lists[] = { F_containers, F_initContainers, F_ephemeralContainers };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		NODE_FOREACH(c, node_get(spec, lists[i]))
			if (streq(node_gets(c, F_name), name))
				return true;
	return false;
}

/* The container that is meant: the one named, or the only one. */
static const char *stream_container(struct req *r, struct obj *pod, struct err *e)
{
	const struct node *spec = node_get(obj_node(pod), F_spec), *list = node_get(spec, F_containers);
	_cleanup_buf_ struct buf names = BUF_INIT, init = BUF_INIT;
	const char *name = req_query(r, "container");

	if (!str_empty(name)) {
		if (has_container(spec, name))
			return name;
		err_bad(e, "container %s is not valid for pod %s", name, pod->name);
		return NULL;
	}
	if (node_count(list) == 1)
		return arena_strdup(r->arena, node_gets(node_at(list, 0), F_name));
	names_of(list, &names);
	names_of(node_get(spec, F_initContainers), &init);
	err_bad(e, "a container name must be specified for pod %s, choose one of: [%s]%s%s%s", pod->name, names.s,
		init.len ? " or one of the init containers: [" : "", init.s, init.len ? "]" : "");
	return NULL;
}

static const char *stream_node(struct obj *pod)
{
	return node_gets(node_get(obj_node(pod), F_spec), F_nodeName);
}

static int no_host(struct obj *pod, struct err *e)
{
	return err_bad(e, "pod %s does not have a host assigned", pod->name);
}

int stream_http_only(struct req *r, struct err *e)
{
	return r->http ? 0 : err_set(e, ERR_METHOD_NOT_ALLOWED, "streams are for HTTP clients");
}

/* --- log --- */

static int act_log(struct req *r, struct err *e)
{
	struct obj *pod;
	_cleanup_buf_ struct buf q = BUF_INIT;
	const char *container, *node;

	if (stream_http_only(r, e) < 0 || log_options_query(r, &q, e) < 0 || !(pod = stream_pod(r, r->at.name, e)) ||
	    !(container = stream_container(r, pod, e)))
		return -e->code;
	node = stream_node(pod);
	if (!*node) { /* not placed yet: it has said nothing */
		answer_text(r, 200, "text/plain");
		return STEP_DONE;
	}
	return stream_to_node(r, node,
			     arena_printf(r->arena, "/containerLogs/%s/%s/%s%s%s", pod->ns, pod->name, container,
					  q.len ? "?" : "", q.len ? q.s + 1 : ""),
			     true, e);
}

/* --- exec, attach, portforward --- */

/* A WebSocket is opened by GET; what it does is a create all the same. */
static int stream_may_create(struct req *r, struct err *e)
{
	struct attrs at = r->at;

	at.verb = "create";
	if (authz_check(r->api, r->user, &at))
		return 0;
	return err_forbidden(e, &r->res->r, r->at.name, "User \"%s\" cannot create resource \"pods/%s\" in API group \"\" in the namespace \"%s\"",
			     r->user->name, r->at.subresource, r->at.ns);
}

int stream_admit(struct req *r, const char *kind, struct err *e)
{
	static const char *const flags[] = { "stdin", "stdout", "stderr", "tty" };
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
	_cleanup_doc_ struct doc *d = NULL;
	struct node *root;
	struct str rest = r->head->query;
	int64_t port;

	if (!r->may_ask)
		return 0;
	d = doc_new();
	root = node_new(d, DOC_OBJECT);
	doc_set_root(d, root);
	node_sets(d, root, F_kind, kind);
	node_sets(d, root, F_apiVersion, "v1");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (req_query_bool(r, flags[i]))
			node_setk(d, root, str_of(flags[i]), node_new_bool(d, true));
	while (http_query_next(&rest, &key, &value)) {
		if (streq(key.s, "container"))
			node_sets(d, root, F_container, value.s);
		else if (streq(key.s, "command"))
			node_append(node_need_array(d, root, F_command), node_new_str(d, buf_str(&value)));
		else if (streq(key.s, "ports") && str_to_i64(buf_str(&value), &port))
			node_append(node_need_array(d, root, F_ports), node_new_int(d, port));
	}
	if (r->tail && str_is_utf8(str_of(r->tail)))
		node_sets(d, root, F_path, r->tail);
	return admit_connect(r, d, e);
}

/* The API's option names in the kubelet's. */
static void exec_query(struct req *r, struct buf *q)
{
	static const char *const flags[][2] = {
		{ "stdin", "input" }, { "stdout", "output" }, { "stderr", "error" }, { "tty", "tty" }
	};
	_cleanup_buf_ struct buf key = BUF_INIT, value = BUF_INIT;
	struct str rest = r->head->query;

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (req_query_bool(r, flags[i][0]))
			buf_addf(q, "&%s=1", flags[i][1]);
	while (http_query_next(&rest, &key, &value)) {
		if (!streq(key.s, "command"))
			continue;
		buf_adds(q, "&command=");
		buf_add_url(q, buf_str(&value), false);
	}
}

static int act_exec(struct req *r, struct err *e)
{
	bool exec = streq(r->at.subresource, "exec");
	_cleanup_buf_ struct buf q = BUF_INIT;
	const char *container;
	struct obj *pod;

	if (stream_http_only(r, e) < 0 || stream_may_create(r, e) < 0 || !(pod = stream_pod(r, r->at.name, e)) ||
	    !(container = stream_container(r, pod, e)))
		return -e->code;
	if (!*stream_node(pod))
		return no_host(pod, e);
	exec_query(r, &q);
	if (exec && !strstr(q.s, "&command="))
		return err_bad(e, "you must specify at least one command for the container");
	if (stream_admit(r, exec ? "PodExecOptions" : "PodAttachOptions", e) < 0)
		return -e->code;
	return stream_to_node(r, stream_node(pod),
			     arena_printf(r->arena, "/%s/%s/%s/%s%s%s", exec ? "exec" : "attach", pod->ns, pod->name,
					  container, q.len ? "?" : "", q.len ? q.s + 1 : ""),
			     false, e);
}

static int act_portforward(struct req *r, struct err *e)
{
	_cleanup_buf_ struct buf q = BUF_INIT, key = BUF_INIT, value = BUF_INIT;
	struct obj *pod;
	struct str rest;

	if (stream_http_only(r, e) < 0 || stream_may_create(r, e) < 0 || !(pod = stream_pod(r, r->at.name, e)))
		return -e->code;
	if (!*stream_node(pod))
		return no_host(pod, e);
	if (stream_admit(r, "PodPortForwardOptions", e) < 0)
		return -e->code;
	rest = r->head->query;
	while (http_query_next(&rest, &key, &value))
		if (streq(key.s, "ports")) {
			buf_adds(&q, "&port=");
			buf_add_url(&q, buf_str(&value), false);
		}
	return stream_to_node(r, stream_node(pod),
			     arena_printf(r->arena, "/portForward/%s/%s%s%s", pod->ns, pod->name, q.len ? "?" : "",
					  q.len ? q.s + 1 : ""),
			     false, e);
}

#define STREAM (BIT(VERB_GET) | BIT(VERB_CREATE))

const struct handler stream_handlers[] = {
	{ "", "pods", "log", BIT(VERB_GET), act_log, .plain = true },
	{ "", "pods", "exec", STREAM, act_exec, .plain = true },
	{ "", "pods", "attach", STREAM, act_exec, .plain = true },
	{ "", "pods", "portforward", STREAM, act_portforward, .plain = true },
	{ 0 },
};
