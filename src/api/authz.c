/*
 * May they. A table of authorizers; the first that says yes decides, and when
 * none does the answer is 403 in Kubernetes' words.
 *
 *	parts		the server's own parts, and the group system:masters: everything
 *	public		everybody: health and version; who is authenticated: discovery,
 *			OpenAPI and questions about oneself (system:discovery, system:basic-user)
 *	node		system:nodes: what a node agent needs, and of secrets and config maps
 *			only those that a pod on this node uses
 *
 * To add an authorizer: a function and a row in `authorizers`.
 */
#include "api/internal.h"

#include <stdio.h>

struct rule { /* "*" any; own: only the object with the node's own name */
	const char *group, *resource, *subresource;
	const char *verbs; /* " get list " */
	bool own;
};

static const struct rule node_rules[] = {
	{ "", "nodes", "", " get list watch create ", false },
	{ "", "nodes", "", " update patch delete ", true },
	{ "", "nodes", "status", " update patch ", true },
	{ "", "services", "", " get list watch ", false },
	{ "", "endpoints", "", " get list watch ", false },
	{ "discovery.k8s.io", "endpointslices", "", " get list watch ", false },
	{ "networking.k8s.io", "networkpolicies", "", " get list watch ", false },
	{ "networking.k8s.io", "ingresses", "", " get list watch ", false },
	{ "", "namespaces", "", " get list watch ", false },
	{ "", "pods", "", " get list watch create delete ", false },
	{ "", "pods", "status", " update patch ", false },
	{ "", "pods", "eviction", " create ", false },
	{ "", "events", "", " create update patch ", false },
	{ "events.k8s.io", "events", "", " create update patch ", false },
	{ "coordination.k8s.io", "leases", "", " get create update patch delete ", true },
	{ "", "serviceaccounts", "", " get ", false },
	{ "", "serviceaccounts", "token", " create ", false },
	{ "", "persistentvolumeclaims", "", " get ", false },
	{ "", "persistentvolumes", "", " get ", false },
	{ "node.k8s.io", "runtimeclasses", "", " get list watch ", false },
	{ "storage.k8s.io", "csinodes", "", " get create update patch delete ", true },
	{ "storage.k8s.io", "csidrivers", "", " get list watch ", false },
	{ "storage.k8s.io", "volumeattachments", "", " get ", false },
	{ "certificates.k8s.io", "certificatesigningrequests", "", " get list watch create ", false },
	{ "authentication.k8s.io", "tokenreviews", "", " create ", false },
	{ "authorization.k8s.io", "subjectaccessreviews", "", " create ", false },
};

static bool rule_has_verb(const char *verbs, const char *verb)
{
	char want[32];

	snprintf(want, sizeof(want), " %s ", verb);
	return strstr(verbs, want) != NULL;
}

static bool authz_parts(struct api *a, const struct user *u, const struct attrs *at)
{
	return u->part || user_in_group(u, "system:masters");
}

static bool path_is_below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return strncmp(path, top, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

static bool authz_public_path(const struct user *u, const struct attrs *at)
{
	static const char *const for_all[] = { "/healthz", "/livez", "/readyz", "/version" };
	static const char *const for_users[] = { "/api", "/apis", "/openapi", "/openid/v1/jwks",
						 "/.well-known/openid-configuration" };

	if (!streq(at->verb, "get") && !streq(at->verb, "head"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(for_all); i++)
		if (streq(at->path, for_all[i]) || (i == 3 && streq(at->path, "/version/")))
			return true;
	if (!user_in_group(u, "system:authenticated"))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(for_users); i++)
		if (path_is_below(at->path, for_users[i]))
			return true;
	return false;
}

static bool authz_public(struct api *a, const struct user *u, const struct attrs *at)
{
	if (at->path)
		return authz_public_path(u, at);
	if (!user_in_group(u, "system:authenticated") || !streq(at->verb, "create") || *at->subresource)
		return false;
	if (streq(at->group, "authorization.k8s.io"))
		return streq(at->resource, "selfsubjectaccessreviews") || streq(at->resource, "selfsubjectrulesreviews");
	return streq(at->group, "authentication.k8s.io") && streq(at->resource, "selfsubjectreviews");
}

/* --- nodes --- */

struct node_use {
	const char *node, *kind, *name;
};

/* Anywhere in the pod's spec: {secretName|name: NAME} below a member that speaks of the kind. */
static bool node_spec_names(const struct node *n, const struct node_use *u, bool below_kind)
{
	NODE_FOREACH(c, n) {
		struct str key = node_key(c);
		bool secret = streq(u->kind, "secrets");
		bool here = below_kind || (secret ? str_starts(key, STR_LIT("secret")) ||
							    str_eqc(key, "imagePullSecrets") ||
							    str_ends(key, STR_LIT("SecretRef")) :
						    str_starts(key, STR_LIT("configMap")));

		if (here && node_is(c, DOC_STRING) && (str_eqc(key, "name") || str_eqc(key, "secretName")) &&
		    node_streq(c, u->name))
			return true;
		if ((node_is(c, DOC_OBJECT) || node_is(c, DOC_ARRAY)) && node_spec_names(c, u, here))
			return true;
	}
	return false;
}

static bool node_use_match(void *arg, struct obj *o)
{
	struct node_use *u = arg;
	const struct node *spec = node_get(obj_node(o), F_spec);

	return node_streq(node_get(spec, F_nodeName), u->node) && node_spec_names(spec, u, false);
}

static bool node_uses(struct api *a, const char *node, const struct attrs *at)
{
	struct node_use u = { node, at->resource, at->name };
	struct store_list l = { .res = &a->pods->r, .ns = at->ns, .limit = 1, .match = node_use_match, .arg = &u };
	_cleanup_err_ struct err e = ERR_INIT;
	bool found;

	if (store_list(a->store, &l, &e) < 0)
		return false;
	found = l.n > 0;
	store_list_release(&l);
	return found;
}

static const char *node_name_of(const struct user *u)
{
	static const char prefix[] = "system:node:";

	return user_in_group(u, "system:nodes") && starts_with(u->name, prefix) ? u->name + strlen(prefix) : NULL;
}

/* Pods that a node changes must be its own. */
static bool node_owns_pod(struct api *a, const char *node, const struct attrs *at)
{
	struct obj *o = *at->name ? store_get(a->store, &a->pods->r, at->ns, at->name) : NULL;

	return !o || node_streq(node_path(obj_node(o), F_spec, F_nodeName), node);
}

static bool authz_node(struct api *a, const struct user *u, const struct attrs *at)
{
	const char *node = node_name_of(u);
	bool reads = streq(at->verb, "get") || streq(at->verb, "list") || streq(at->verb, "watch");

	if (!node || at->path)
		return false;
	if (!*at->group && (streq(at->resource, "secrets") || streq(at->resource, "configmaps")))
		return reads && *at->name && node_uses(a, node, at);
	for (size_t i = 0; i < ARRAY_SIZE(node_rules); i++) {
		const struct rule *r = &node_rules[i];

		if (!streq(r->group, at->group) || !streq(r->resource, at->resource) ||
		    !streq(r->subresource, at->subresource) || !rule_has_verb(r->verbs, at->verb))
			continue;
		if (r->own && *at->name && !streq(at->name, node))
			return false;
		return reads || !streq(at->resource, "pods") || node_owns_pod(a, node, at);
	}
	return false;
}

/* --- the decision --- */

static bool (*const authorizers[])(struct api *a, const struct user *u, const struct attrs *at) = {
	authz_parts,
	authz_public,
	authz_node,
};

bool authz_check(struct api *a, const struct user *u, const struct attrs *at)
{
	for (size_t i = 0; i < ARRAY_SIZE(authorizers); i++)
		if (authorizers[i](a, u, at))
			return true;
	return false;
}

int authz_denied(const struct user *u, const struct attrs *at, struct err *e)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int rc;

	if (at->path)
		return err_set(e, ERR_FORBIDDEN, "forbidden: User \"%s\" cannot %s path \"%s\"", u->name, at->verb, at->path);
	buf_adds(&b, at->resource);
	if (*at->group)
		buf_addf(&b, ".%s", at->group);
	if (*at->name)
		buf_addf(&b, " \"%s\"", at->name);
	buf_addf(&b, " is forbidden: User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\"", u->name, at->verb,
		 at->resource, *at->subresource ? "/" : "", at->subresource, at->group);
	if (*at->ns)
		buf_addf(&b, " in the namespace \"%s\"", at->ns);
	else
		buf_adds(&b, " at the cluster scope");
	rc = err_set(e, ERR_FORBIDDEN, "%s", b.s);
	err_about(e, *at->group ? at->group : NULL, at->resource, *at->name ? at->name : NULL);
	return rc;
}

int authz_request(struct req *r, struct err *e)
{
	return authz_check(r->api, r->user, &r->at) ? STEP_NEXT : authz_denied(r->user, &r->at, e);
}
