/*
 * The variables by which containers find Services, as the kubelet makes them of those
 * that have an address when the container starts: NAME_SERVICE_HOST, NAME_SERVICE_PORT
 * and NAME_SERVICE_PORT_PORTNAME, and those that Docker's links had: NAME_PORT and
 * NAME_PORT_80_TCP with _PROTO, _PORT, _ADDR.
 *
 * A pod has those of its namespace, unless enableServiceLinks is false, and always
 * those of `kubernetes` in the namespace default, for which one of that name in the
 * pod's own namespace stands in.
 */
#include <ctype.h>
#include <errno.h>

#include "node/pressure.h"

#define MASTER "kubernetes"
#define MASTER_NS "default"

static char *env_prefix(struct arena *a, const char *service)
{
	char *s = arena_strdup(a, service);

	for (char *q = s; *q; q++)
		*q = *q == '-' ? '_' : (char)toupper((unsigned char)*q);
	return s;
}

static void env_service_port(struct arena *a, struct env_list *out, const char *prefix, const char *ip,
			     const char *proto, const char *lower, int64_t port, bool first)
{
	char *base = arena_printf(a, "%s_PORT_%lld_%s", prefix, (long long)port, proto);
	char *url = arena_printf(a, strchr(ip, ':') ? "%s://[%s]:%lld" : "%s://%s:%lld", lower, ip, (long long)port);

	if (first)
		env_set(out, arena_printf(a, "%s_PORT", prefix), url);
	env_set(out, base, url);
	env_set(out, arena_printf(a, "%s_PROTO", base), lower);
	env_set(out, arena_printf(a, "%s_PORT", base), arena_printf(a, "%lld", (long long)port));
	env_set(out, arena_printf(a, "%s_ADDR", base), ip);
}

static bool env_has_address(const struct node *spec)
{
	const char *ip = node_gets(spec, F_clusterIP);

	return *ip && !streq(ip, "None") && node_count(node_get(spec, F_ports));
}

static void env_service(struct arena *a, struct env_list *out, struct obj *o)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	const struct node *spec = node_get(doc_root(d), F_spec);
	const char *ip = arena_strdup(a, node_gets(spec, F_clusterIP));
	char *prefix = env_prefix(a, o->name);
	bool first = true;

	if (!env_has_address(spec))
		return;
	env_set(out, arena_printf(a, "%s_SERVICE_HOST", prefix), ip);
	NODE_FOREACH (p, node_get(spec, F_ports)) {
		int64_t port = node_int(node_get(p, F_port), 0);
		const char *proto = node_cstr_or(node_get(p, F_protocol), "TCP"), *name = node_gets(p, F_name);
		char *text = arena_printf(a, "%lld", (long long)port), *lower = arena_strdup(a, proto);

		for (char *q = lower; *q; q++)
			*q = (char)tolower((unsigned char)*q);
		if (first)
			env_set(out, arena_printf(a, "%s_SERVICE_PORT", prefix), text);
		if (*name)
			env_set(out, arena_printf(a, "%s_SERVICE_PORT_%s", prefix, env_prefix(a, name)), text);
		env_service_port(a, out, prefix, ip, arena_strdup(a, proto), lower, port, first);
		first = false;
	}
}

/* The API server's Service before its object is there. */
static void env_master_by_config(struct node_agent *n, struct arena *a, struct env_list *out)
{
	char *port;

	if (str_empty(n->service_host))
		return;
	port = arena_printf(a, "%d", n->service_port);
	env_set(out, "KUBERNETES_SERVICE_HOST", n->service_host);
	env_set(out, "KUBERNETES_SERVICE_PORT", port);
	env_set(out, "KUBERNETES_SERVICE_PORT_HTTPS", port);
	env_service_port(a, out, "KUBERNETES", n->service_host, "TCP", "tcp", n->service_port, true);
}

static bool env_is_there(struct obj *o)
{
	_cleanup_doc_ struct doc *d = o ? obj_doc_once(o) : NULL;

	return o && env_has_address(node_get(doc_root(d), F_spec));
}

int env_services(struct pod *p, struct arena *a, struct env_list *out)
{
	bool links = node_bool(node_get(pod_spec(p), F_enableServiceLinks), true);
	struct informer *i = agent_services(p->agent);
	struct obj *master;

	if (!i)
		return -EAGAIN;
	for (struct obj *o = NULL; links && (o = informer_next(i, p->ns, o));)
		env_service(a, out, o);
	if (links && env_is_there(informer_find(i, p->ns, MASTER)))
		return 0;
	master = informer_find(i, MASTER_NS, MASTER);
	if (env_is_there(master))
		env_service(a, out, master);
	else
		env_master_by_config(p->agent, a, out);
	return 0;
}
