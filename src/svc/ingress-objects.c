/*
 * Ingresses of our classes, as the table needs them. Each is made anew when it
 * changes; the table is put together from them once in a turn, however many
 * changed. Ingresses that other controllers' classes are named in are left alone.
 *
 * What is wrong with one is told by events on it: an annotation that is no good, a
 * path that another Ingress has already, a backend that is no Service.
 */
#include "svc/ingress.h"

#include <stdio.h>

#include <ctype.h>

#include "base/hash.h"
#include "base/time.h"
#include "schema/ingress.h"

struct ing_objects {
	struct ing *ing;
	struct informer *ingresses, *classes, *services;
	struct map *ours; /* struct ing_ingress by key */
	VEC(struct ing_ingress *) order; /* the oldest first */
	struct loop_task build;
	bool default_class; /* one of ours is the default */
};

/* --- one Ingress --- */

struct ing_ingress *ing_ingress_unref(struct ing_ingress *i)
{
	if (!i || --i->refs > 0)
		return NULL;
	for (size_t k = 0; k < i->rules.n; k++) {
		ing_backend_unref(i->rules.v[k].backend);
		free(i->rules.v[k].host);
		free(i->rules.v[k].path);
	}
	for (size_t k = 0; k < i->tls.n; k++) {
		ing_cert_unref(i->tls.v[k].cert);
		for (size_t j = 0; j < i->tls.v[k].hosts.n; j++)
			free(i->tls.v[k].hosts.v[j]);
		VEC_RELEASE(&i->tls.v[k].hosts);
	}
	ing_backend_unref(i->fallback);
	VEC_RELEASE(&i->rules);
	VEC_RELEASE(&i->tls);
	ing_settings_release(&i->set);
	map_free(i->clients);
	VEC_RELEASE(&i->told);
	obj_unref(i->obj);
	free(i->ns);
	free(i->name);
	free(i->class_name);
	free(i);
	return NULL;
}

void ing_objects_event(struct ing *g, struct obj *about, const char *type, const char *reason, const char *text)
{
	client_event(g->client, about, NULL, ING_COMPONENT, g->svc->cfg.node_name, type, reason, "%s", text);
}

struct reading {
	struct ing *ing;
	struct ing_ingress *in;
};

static void read_bad_annotation(void *arg, const char *name, const char *why)
{
	struct reading *r = arg;
	_cleanup_free_ char *text =
		xasprintf("annotation %s %s: %s", name, why, meta_annotation(obj_node(r->in->obj), name));

	ing_objects_event(r->ing, r->in->obj, "Warning", "InvalidAnnotation", text);
}

static char *read_host(const char *host)
{
	char *s = xstrdup(host);

	for (char *p = s; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return s;
}

/* NULL: it is none that can be asked. */
static struct ing_backend *read_backend(struct reading *r, const struct node *backend)
{
	const struct node *svc = node_get(backend, F_service), *port = node_get(svc, F_port);
	const char *name = node_gets(svc, F_name), *port_name = node_gets(port, F_name);
	char number[24];

	if (node_get(backend, F_resource)) {
		const struct node *res = node_get(backend, F_resource);
		_cleanup_free_ char *text = xasprintf("a backend is the resource %s \"%s\": only Services can be backends",
						      node_gets(res, F_kind), node_gets(res, F_name));

		ing_objects_event(r->ing, r->in->obj, "Warning", "UnsupportedBackend", text);
		return NULL;
	}
	if (!*name)
		return NULL;
	snprintf(number, sizeof(number), "%lld", (long long)node_int(node_get(port, F_number), 0));
	return ing_backend_get(r->ing, r->in->ns, name, *port_name ? port_name : number);
}

static void read_path(struct reading *r, const char *host, const struct node *p)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	const char *text = node_cstr_or(node_get(p, F_path), "/");
	struct ing_backend *b = read_backend(r, node_get(p, F_backend));

	if (!b)
		return;
	if (!ing_path_normalize(&path, str_of(*text ? text : "/"))) {
		buf_clear(&path);
		buf_adds(&path, text);
	}
	VEC_PUSH(&r->in->rules, ((struct ing_rule){ read_host(host), buf_detach(&path, NULL),
						    node_streq(node_get(p, F_pathType), "Exact"), b }));
}

static void read_rules(struct reading *r, const struct node *spec)
{
	const struct node *fallback = node_get(spec, F_defaultBackend);

	NODE_FOREACH(rule, node_get(spec, F_rules))
		NODE_FOREACH(p, node_path(rule, F_http, F_paths))
			read_path(r, node_gets(rule, F_host), p);
	if (fallback)
		r->in->fallback = read_backend(r, fallback);
	/* A host without paths: all of it goes to the default backend. */
	NODE_FOREACH(rule, node_get(spec, F_rules))
		if (!node_count(node_path(rule, F_http, F_paths)) && r->in->fallback) {
			r->in->fallback->refs++;
			VEC_PUSH(&r->in->rules, ((struct ing_rule){ read_host(node_gets(rule, F_host)), xstrdup("/"), false,
								    r->in->fallback }));
		}
}

static void read_tls(struct reading *r, const struct node *spec)
{
	NODE_FOREACH(t, node_get(spec, F_tls)) {
		struct ing_tls_ one = { .cert = NULL };
		const char *secret = node_gets(t, F_secretName);

		if (*secret)
			one.cert = ing_cert_get(r->ing, r->in->ns, secret);
		NODE_FOREACH(h, node_get(t, F_hosts))
			VEC_PUSH(&one.hosts, read_host(node_cstr_or(h, "")));
		for (size_t i = 0; !one.hosts.n && i < r->in->rules.n; i++)
			if (*r->in->rules.v[i].host)
				VEC_PUSH(&one.hosts, xstrdup(r->in->rules.v[i].host));
		VEC_PUSH(&r->in->tls, one);
	}
}

/* Traefik's annotations of the Services behind it. Nothing is told of those: they are another object's. */
static void read_service_ignore(void *arg UNUSED, const char *name UNUSED, const char *why UNUSED)
{
}

static void read_services(struct reading *r)
{
	for (size_t i = 0; i < r->in->rules.n; i++) {
		const struct ing_backend *b = r->in->rules.v[i].backend;
		const struct node *svc = ing_objects_service(r->ing->objects, b->ns, b->service);

		if (svc)
			ing_settings_read_service(&r->in->set, svc, read_service_ignore, NULL);
	}
}

static struct ing_ingress *ingress_read(struct ing *g, struct obj *o)
{
	struct ing_ingress *in = xcalloc(1, sizeof(*in));
	struct reading r = { g, in };
	const struct node *root = obj_node(o);
	int64_t ns = 0;

	in->refs = 1;
	in->obj = obj_ref(o);
	in->ns = xstrdup(o->ns);
	in->name = xstrdup(o->name);
	in->class_name = xstrdup_null(ingress_class_name(root));
	if (time_parse_rfc3339(str_of(node_gets(meta_of(root), F_creationTimestamp)), &ns))
		in->created_s = ns / SEC_NS;
	ing_settings_init(&in->set);
	ing_settings_read(&in->set, root, read_bad_annotation, &r);
	read_rules(&r, node_get(root, F_spec));
	read_tls(&r, node_get(root, F_spec));
	read_services(&r);
	return in;
}

/* --- the table --- */

static int ingress_by_age(const void *a, const void *b)
{
	const struct ing_ingress *x = *(struct ing_ingress *const *)a, *y = *(struct ing_ingress *const *)b;
	int c;

	if (x->created_s != y->created_s)
		return x->created_s < y->created_s ? -1 : 1;
	c = strcmp(x->ns, y->ns);
	return c ? c : strcmp(x->name, y->name);
}

/* Once for each Ingress as it is now. */
static void objects_lost(void *arg, struct ing_ingress *who, const struct ing_rule *r, const struct ing_ingress *to)
{
	struct ing *g = arg;
	_cleanup_free_ char *text = xasprintf("host \"%s\" and path \"%s\" belong to Ingress %s/%s, which is older", r->host,
					      r->path, to->ns, to->name);
	uint64_t sum = hash_fnv64a(str_of(text));

	for (size_t i = 0; i < who->told.n; i++)
		if (who->told.v[i] == sum)
			return;
	VEC_PUSH(&who->told, sum);
	ing_objects_event(g, who->obj, "Warning", "PathConflict", text);
}

static void objects_build(struct loop_task *t)
{
	struct ing_objects *o = CONTAINER_OF(t, struct ing_objects, build);
	struct map_iter it = { 0 };

	o->order.n = 0;
	while (map_next(o->ours, &it))
		VEC_PUSH(&o->order, (struct ing_ingress *)it.value);
	if (o->order.n)
		qsort(o->order.v, o->order.n, sizeof(*o->order.v), ingress_by_age);
	ing_table_release(&o->ing->table);
	ing_table_build(&o->ing->table, o->order.v, o->order.n, objects_lost, o->ing);
	ing_certs_build(o->ing, o->order.v, o->order.n);
}

static void objects_changed(struct ing_objects *o)
{
	loop_defer(o->ing->loop, &o->build);
}

/* The table is put together at once when one goes: it points to what they have. */
static void objects_put(struct ing_objects *o, struct obj *obj, struct ing_ingress *is)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct ing_ingress *was;

	obj_key_print(&key, obj->ns, obj->name);
	was = map_take(o->ours, buf_str(&key));
	if (is) {
		if (was) {
			memcpy(is->requests, was->requests, sizeof(is->requests));
			memcpy(is->ms_bucket, was->ms_bucket, sizeof(is->ms_bucket));
			is->ms_sum = was->ms_sum;
			is->bytes_out = was->bytes_out;
			is->told = was->told;
			memset(&was->told, 0, sizeof(was->told));
		}
		map_set(o->ours, buf_str(&key), is);
	}
	if (!was && !is)
		return;
	if (was) {
		loop_undefer(o->ing->loop, &o->build);
		objects_build(&o->build);
		ing_ingress_unref(was);
	} else {
		objects_changed(o);
	}
}

static void objects_look(struct ing_objects *o, struct obj *obj)
{
	const char *name = ingress_class_name(obj_node(obj));
	struct obj *class = str_empty(name) ? NULL : informer_find(o->classes, "", name);
	bool ours = ingress_is_ours(obj_node(obj), class ? obj_node(class) : NULL, o->default_class);

	objects_put(o, obj, ours ? ingress_read(o->ing, obj) : NULL);
}

static void objects_look_all(struct ing_objects *o)
{
	for (struct obj *i = NULL; (i = informer_next(o->ingresses, NULL, i));)
		objects_look(o, i);
}

/* --- events --- */

static void objects_on_ingress(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct ing_objects *o = arg;

	if (t == WATCH_DELETED)
		objects_put(o, obj, NULL);
	else if (!old || !node_equal(node_get(obj_node(obj), F_spec), node_get(obj_node(old), F_spec)) ||
		 !node_equal(node_get(meta_of(obj_node(obj)), F_annotations), node_get(meta_of(obj_node(old)), F_annotations)))
		objects_look(o, obj);
}

static void objects_on_class(void *arg, enum watch_type t UNUSED, struct obj *obj UNUSED, struct obj *old UNUSED)
{
	struct ing_objects *o = arg;

	o->default_class = false;
	for (struct obj *c = NULL; (c = informer_next(o->classes, NULL, c));)
		o->default_class |= ingress_class_is_ours(obj_node(c)) && ingress_class_is_default(obj_node(c));
	objects_look_all(o);
}

static bool objects_uses(const struct ing_ingress *in, const struct obj *svc)
{
	for (size_t i = 0; i < in->rules.n; i++)
		if (streq(in->ns, svc->ns) && streq(in->rules.v[i].backend->service, svc->name))
			return true;
	return false;
}

static void objects_on_service(void *arg, enum watch_type t UNUSED, struct obj *obj, struct obj *old)
{
	struct ing_objects *o = arg;
	VEC(struct obj *) again = VEC_INIT;
	struct map_iter it = { 0 };

	ing_backends_changed(o->ing, obj->ns, obj->name);
	if (old && node_equal(node_get(meta_of(obj_node(obj)), F_annotations), node_get(meta_of(obj_node(old)), F_annotations)))
		return;
	if (!old && !node_get(meta_of(obj_node(obj)), F_annotations))
		return;
	while (map_next(o->ours, &it))
		if (objects_uses(it.value, obj))
			VEC_PUSH(&again, obj_ref(((struct ing_ingress *)it.value)->obj));
	for (size_t i = 0; i < again.n; i++) {
		objects_look(o, again.v[i]);
		obj_unref(again.v[i]);
	}
	VEC_RELEASE(&again);
}

static const struct informer_ops ingress_ops = { objects_on_ingress, NULL };
static const struct informer_ops class_ops = { objects_on_class, NULL };
static const struct informer_ops service_ops = { objects_on_service, NULL };

const struct node *ing_objects_service(struct ing_objects *o, const char *ns, const char *name)
{
	struct obj *s = informer_find(o->services, ns, name);

	return s ? obj_node(s) : NULL;
}

void ing_objects_cert_event(struct ing *g, const struct ing_cert *c, const char *reason, const char *text)
{
	struct map_iter it = { 0 };

	while (map_next(g->objects->ours, &it)) {
		struct ing_ingress *in = it.value;

		for (size_t i = 0; i < in->tls.n; i++)
			if (in->tls.v[i].cert == c) {
				ing_objects_event(g, in->obj, "Warning", reason, text);
				break;
			}
	}
}

static void ingress_drop(void *p)
{
	ing_ingress_unref(p);
}

struct ing_objects *ing_objects_new(struct ing *g)
{
	struct ing_objects *o = g->objects = xcalloc(1, sizeof(*o));

	o->ing = g;
	o->build.run = objects_build;
	o->ours = map_new(ingress_drop);
	o->services = informer_get(g->client, schema_res("", "services"), NULL);
	o->classes = informer_get(g->client, schema_res("networking.k8s.io", "ingressclasses"), NULL);
	o->ingresses = informer_get(g->client, schema_res("networking.k8s.io", "ingresses"), NULL);
	informer_subscribe(o->services, &service_ops, o);
	informer_subscribe(o->classes, &class_ops, o);
	informer_subscribe(o->ingresses, &ingress_ops, o);
	return o;
}

struct ing_objects *ing_objects_free(struct ing_objects *o)
{
	if (!o)
		return NULL;
	informer_unsubscribe(o->ingresses, o);
	informer_unsubscribe(o->classes, o);
	informer_unsubscribe(o->services, o);
	loop_undefer(o->ing->loop, &o->build);
	map_free(o->ours);
	VEC_RELEASE(&o->order);
	free(o);
	return NULL;
}

/* --- counters --- */

void ing_objects_print(struct ing_objects *o, struct buf *out)
{
	struct map_iter it = { 0 };

	buf_adds(out, "# HELP kinglet_ingress_requests_total Requests by Ingress and class of the answer's status.\n"
		      "# TYPE kinglet_ingress_requests_total counter\n");
	while (map_next(o->ours, &it)) {
		const struct ing_ingress *in = it.value;

		for (int k = 0; k < 6; k++)
			if (in->requests[k])
				buf_addf(out,
					 "kinglet_ingress_requests_total{namespace=\"%s\",ingress=\"%s\",class=\"%s\",code=\"%s\"} %llu\n",
					 in->ns, in->name, in->class_name ? in->class_name : "", ing_code_class(k),
					 (unsigned long long)in->requests[k]);
	}
	ing_durations_print(o->order.v, o->order.n, out);
}
