/*
 * A backend: a port of a Service, and the endpoints that it has at the moment. They
 * are those that are ready; when none is, those that still serve while they
 * terminate. Each is asked in its turn; one that could not be reached is left out
 * for a moment, unless there is no other.
 *
 * A Service of type ExternalName is looked up in the host's resolver by a job; its
 * addresses are kept a while, and for as long as they cannot be looked up again.
 */
#include "svc/ingress.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/path.h"
#include "base/rand.h"

#define EXTERNAL_KEEP_MS 30000
#define EXTERNAL_MAX 16

/* --- endpoints --- */

static void endpoint_address(struct ing_endpoint *e, const struct net_addr *a, int port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)&e->sa;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&e->sa;

	if (a->family == AF_INET6) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)port);
		memcpy(&six->sin6_addr, a->b, 16);
		e->sa_len = sizeof(*six);
	} else {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)port);
		memcpy(&four->sin_addr, a->b, 4);
		e->sa_len = sizeof(*four);
	}
}

static struct ing_endpoint *endpoint_new(struct ing *g, const struct net_addr *a, int port, const char *name)
{
	struct ing_endpoint *e = xcalloc(1, sizeof(*e));

	e->refs = 1;
	TAILQ_INIT(&e->idle);
	snprintf(e->name, sizeof(e->name), "%s", name);
	endpoint_address(e, a, port);
	e->mark = hash_sip_key(str_of(e->name), g->key);
	return e;
}

struct ing_endpoint *ing_endpoint_unref(struct ing_endpoint *e)
{
	if (e && --e->refs == 0)
		free(e);
	return NULL;
}

static void endpoint_leave(struct ing_endpoint *e)
{
	struct ing_up *u;

	e->gone = true;
	while ((u = TAILQ_FIRST(&e->idle)))
		ing_up_cut(u);
	ing_endpoint_unref(e);
}

typedef VEC(struct ing_endpoint *) endpoint_list;

/* Its present one of that address, or a new one. */
static void list_add(struct ing_backend *b, endpoint_list *list, const char *address, int port)
{
	char name[NET_ADDR_TEXT + 8];
	struct net_addr a;

	if (port <= 0 || port > 65535 || !net_addr_parse(&a, address))
		return;
	snprintf(name, sizeof(name), a.family == AF_INET6 ? "[%.45s]:%d" : "%.45s:%d", address, port);
	for (size_t i = 0; i < list->n; i++)
		if (streq(list->v[i]->name, name))
			return;
	for (size_t i = 0; i < b->endpoints.n; i++)
		if (streq(b->endpoints.v[i]->name, name)) {
			b->endpoints.v[i]->refs++;
			VEC_PUSH(list, b->endpoints.v[i]);
			return;
		}
	VEC_PUSH(list, endpoint_new(b->ing, &a, port, name));
}

static void backend_set(struct ing_backend *b, endpoint_list *list)
{
	for (size_t i = 0; i < b->endpoints.n; i++) {
		struct ing_endpoint *e = b->endpoints.v[i];
		bool stays = false;

		for (size_t k = 0; k < list->n && !stays; k++)
			stays = list->v[k] == e;
		if (stays)
			ing_endpoint_unref(e);
		else
			endpoint_leave(e);
	}
	VEC_RELEASE(&b->endpoints);
	memcpy(&b->endpoints, list, sizeof(*list));
}

/* --- of EndpointSlices --- */

static int slice_port(const struct node *slice, const struct ing_backend *b)
{
	NODE_FOREACH(p, node_get(slice, F_ports))
		if (streq(node_gets(p, F_name), b->of.name) && streq(node_cstr_or(node_get(p, F_protocol), "TCP"), "TCP"))
			return (int)node_int(node_get(p, F_port), 0);
	return 0;
}

static bool endpoint_counts(const struct node *ep, bool draining)
{
	const struct node *c = node_get(ep, F_conditions);
	bool ready = node_bool(node_get(c, F_ready), true);

	if (!draining)
		return ready;
	return node_bool(node_get(c, F_serving), ready) && node_bool(node_get(c, F_terminating), false);
}

static void slices_add(struct ing_backend *b, const svc_slice_list *slices, endpoint_list *list, bool draining)
{
	for (size_t i = 0; i < slices->n; i++) {
		const struct node *slice = obj_node(slices->v[i]);
		int port = slice_port(slice, b);

		if (!port || node_streq(node_get(slice, F_addressType), "FQDN"))
			continue;
		NODE_FOREACH(ep, node_get(slice, F_endpoints))
			if (endpoint_counts(ep, draining))
				list_add(b, list, node_cstr_or(node_at(node_get(ep, F_addresses), 0), ""), port);
	}
}

static int endpoint_by_name(const void *a, const void *b)
{
	return strcmp((*(struct ing_endpoint *const *)a)->name, (*(struct ing_endpoint *const *)b)->name);
}

static void backend_from_slices(struct ing_backend *b)
{
	const svc_slice_list *slices = svc_slices_of(b->ing->svc->slices, b->ns, b->service);
	endpoint_list list = VEC_INIT;

	if (slices && b->of.known)
		slices_add(b, slices, &list, false);
	if (slices && b->of.known && !list.n)
		slices_add(b, slices, &list, true);
	if (list.n)
		qsort(list.v, list.n, sizeof(*list.v), endpoint_by_name);
	backend_set(b, &list);
}

/* --- ExternalName --- */

struct lookup {
	struct ing *ing;
	char *key, *host; /* the backend's; it may be gone when the answer is there */
	int port;
	char found[EXTERNAL_MAX][NET_ADDR_TEXT];
	int n;
};

static void lookup_run(void *arg)
{
	struct lookup *l = arg;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG }, *ai = NULL;

	if (getaddrinfo(l->host, NULL, &hints, &ai) != 0)
		return;
	for (struct addrinfo *a = ai; a && l->n < EXTERNAL_MAX; a = a->ai_next)
		if (getnameinfo(a->ai_addr, a->ai_addrlen, l->found[l->n], NET_ADDR_TEXT, NULL, 0, NI_NUMERICHOST) == 0)
			l->n++;
	freeaddrinfo(ai);
}

static void lookup_done(void *arg)
{
	struct lookup *l = arg;
	struct ing_backend *b = map_getc(l->ing->backends, l->key);
	struct ing_conn *c, *next;
	endpoint_list list = VEC_INIT;

	if (b && streq_null(b->external, l->host)) {
		b->resolving = false;
		b->resolved_ms = loop_now_ms(l->ing->loop);
		for (int i = 0; i < l->n; i++)
			list_add(b, &list, l->found[i], l->port);
		if (list.n)
			backend_set(b, &list);
	}
	for (c = TAILQ_FIRST(&l->ing->conns); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->resolve_wait && c->r.backend == b) {
			c->resolve_wait = false;
			ing_conn_ask(c);
			ing_conn_run(c);
		}
	}
	free(l->key);
	free(l->host);
	free(l);
}

static void backend_lookup(struct ing_backend *b)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	l->ing = b->ing;
	l->key = xstrdup(b->key);
	l->host = xstrdup(b->external);
	l->port = b->external_port;
	b->resolving = job_submit(b->ing->jobs, lookup_run, lookup_done, l) == 0;
	if (b->resolving)
		return;
	free(l->key);
	free(l->host);
	free(l);
}

/* --- backends --- */

/* The Service's port that is meant: by its name, or by its number. */
static const struct node *service_port(const struct node *svc, const char *port)
{
	int64_t number;
	bool is_number = str_to_i64(str_of(port), &number);

	NODE_FOREACH(p, node_path(svc, F_spec, F_ports))
		if (is_number ? node_int(node_get(p, F_port), 0) == number : streq(node_gets(p, F_name), port))
			return p;
	return NULL;
}

static void backend_is_external(struct ing_backend *b, const struct node *svc, const struct node *port)
{
	const char *name = node_gets(node_get(svc, F_spec), F_externalName);
	int64_t number = 0;
	endpoint_list none = VEC_INIT;

	str_to_i64(str_of(b->port), &number);
	if (port)
		number = node_int(node_get(port, F_targetPort), node_int(node_get(port, F_port), number));
	if (streq_null(b->external, name) && b->external_port == number)
		return;
	free(b->external);
	b->external = xstrdup(name);
	b->external_port = (int)number;
	b->resolved_ms = 0;
	b->resolving = false;
	backend_set(b, &none);
}

void ing_backend_look(struct ing_backend *b)
{
	const struct node *svc = ing_objects_service(b->ing->objects, b->ns, b->service), *port;

	port = svc ? service_port(svc, b->port) : NULL;
	b->has_service = svc != NULL;
	free(b->of.name);
	b->of.known = port != NULL;
	b->of.name = xstrdup(node_gets(port, F_name));
	if (node_streq(node_path(svc, F_spec, F_type), "ExternalName")) {
		backend_is_external(b, svc, port);
		return;
	}
	b->external = free_null(b->external);
	backend_from_slices(b);
}

struct ing_backend *ing_backend_get(struct ing *g, const char *ns, const char *service, const char *port)
{
	_cleanup_free_ char *key = xasprintf("%s/%s:%s", ns, service, port);
	struct ing_backend *b = map_getc(g->backends, key);

	if (b) {
		b->refs++;
		return b;
	}
	b = xcalloc(1, sizeof(*b));
	b->refs = 1;
	b->ing = g;
	b->key = xstrdup(key);
	b->ns = xstrdup(ns);
	b->service = xstrdup(service);
	b->port = xstrdup(port);
	map_set(g->backends, str_of(key), b);
	ing_backend_look(b);
	return b;
}

struct ing_backend *ing_backend_unref(struct ing_backend *b)
{
	endpoint_list none = VEC_INIT;

	if (!b || --b->refs > 0)
		return NULL;
	b->refs = 1; /* its connections may let it go meanwhile */
	backend_set(b, &none);
	map_take(b->ing->backends, str_of(b->key));
	tls_free(b->tls);
	free(b->external);
	free(b->of.name);
	free(b->key);
	free(b->ns);
	free(b->service);
	free(b->port);
	free(b);
	return NULL;
}

void ing_backends_changed(struct ing *g, const char *ns, const char *service)
{
	struct map_iter it = { 0 };

	while (map_next(g->backends, &it)) {
		struct ing_backend *b = it.value;

		if (!service || (streq(b->ns, ns) && streq(b->service, service)))
			ing_backend_look(b);
	}
}

static struct ing_endpoint *backend_by_mark(const struct ing_backend *b, uint64_t mark)
{
	for (size_t i = 0; i < b->endpoints.n; i++)
		if (b->endpoints.v[i]->mark == mark)
			return b->endpoints.v[i];
	return NULL;
}

struct ing_endpoint *ing_backend_pick(struct ing_backend *b, const uint64_t *mark, const struct ing_endpoint *not_again,
				      int64_t now_ms)
{
	struct ing_endpoint *e = mark ? backend_by_mark(b, *mark) : NULL, *second = NULL;
	size_t n = b->endpoints.n;

	if (b->external && !b->resolving && (!b->resolved_ms || now_ms - b->resolved_ms > EXTERNAL_KEEP_MS))
		backend_lookup(b);
	if (e && e != not_again && e->failed_until_ms <= now_ms)
		return e;
	for (size_t i = 0; i < n; i++) {
		e = b->endpoints.v[b->next++ % n];
		if (e != not_again && e->failed_until_ms <= now_ms)
			return e;
		if (!second || second == not_again)
			second = e;
	}
	return second;
}

/* --- the key of the marks --- */

/* Kept, so that what clients hold means the same endpoint after a restart. */
int ing_key_open(struct ing *g, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s/ingress-cookie.key", g->svc->cfg.state_dir);
	_cleanup_err_ struct err none = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (path_read(path, 64, &b, &none) == 0 && b.len == sizeof(g->key)) {
		memcpy(g->key, b.s, sizeof(g->key));
		return 0;
	}
	rand_bytes(g->key, sizeof(g->key));
	return path_write_atomic(path, str_n((char *)g->key, sizeof(g->key)), 0600, e);
}
