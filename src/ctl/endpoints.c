/*
 * Endpoints of Services with a selector: the old form, one object for each Service,
 * of its first family, with at most ENDPOINTS_MAX addresses.
 *
 * Pods with the same ports share a subset; within it addresses are in order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/time.h"
#include "ctl/service.h"

enum { OF_SERVICES, OF_ENDPOINTS };

#define ENDPOINTS_MAX 1000
#define OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"
#define MANAGED_BY "endpoints.kubernetes.io/managed-by"
#define MANAGER "endpoint-controller"

struct subset {
	char *key; /* its ports */
	struct node *ports;
	VEC(struct node *) ready, other;
};
struct endpoints {
	struct doc *doc;
	VEC(struct subset) subsets;
	size_t n_ready, n_other;
};

static void endpoints_release(struct endpoints *x)
{
	for (size_t i = 0; i < x->subsets.n; i++) {
		free(x->subsets.v[i].key);
		VEC_RELEASE(&x->subsets.v[i].ready);
		VEC_RELEASE(&x->subsets.v[i].other);
	}
	VEC_RELEASE(&x->subsets);
	doc_unref(x->doc);
}

/* Those of others wake nobody: Endpoints may be made before their Service. */
void endpoints_key(struct obj *o, struct buf *out)
{
	if (streq_null(meta_label(obj_node(o), MANAGED_BY), MANAGER))
		ctl_key_self(o, out);
}

/* --- what there is to be --- */

static void endpoints_tidy_ports(struct node *ports)
{
	NODE_FOREACH(p, ports)
		if (!*node_gets(p, F_name))
			node_remove(p, F_name);
}

static struct subset *endpoints_subset(struct endpoints *x, struct node *ports)
{
	_cleanup_buf_ struct buf key = BUF_INIT;

	doc_print_json(&key, ports, DOC_PRINT_SORTED);
	for (size_t i = 0; i < x->subsets.n; i++)
		if (streq(x->subsets.v[i].key, key.s))
			return &x->subsets.v[i];
	VEC_PUSH(&x->subsets, ((struct subset){ .ports = ports }));
	x->subsets.v[x->subsets.n - 1].key = buf_detach(&key, NULL);
	return &x->subsets.v[x->subsets.n - 1];
}

static struct node *endpoints_address(struct doc *d, struct obj *o, const struct service_pod *p, const char *ip)
{
	struct node *a = node_new(d, DOC_OBJECT);
	const char *hostname = service_pod_hostname(p, o), *node = node_gets(node_get(p->root, F_spec), F_nodeName);

	node_sets(d, a, F_ip, ip);
	if (hostname)
		node_sets(d, a, F_hostname, hostname);
	if (*node)
		node_sets(d, a, F_nodeName, node);
	node_set(d, a, F_targetRef, service_pod_ref(d, p));
	return a;
}

static void endpoints_gather(struct endpoints *x, struct obj *o, const service_pods *pods)
{
	const struct node *service = obj_node(o);
	bool six = node_streq(node_at(node_path(service, F_spec, F_ipFamilies), 0), "IPv6");
	bool portless = service_is_headless(service) && !node_count(node_path(service, F_spec, F_ports));

	for (size_t i = 0; i < pods->n; i++) {
		const struct service_pod *p = &pods->v[i];
		const char *ip = service_pod_ip(p, six);
		struct node *ports = service_pod_ports(x->doc, service, p), *address;
		struct subset *s;

		if (!ip || (!node_count(ports) && !portless))
			continue;
		endpoints_tidy_ports(ports);
		s = endpoints_subset(x, ports);
		address = endpoints_address(x->doc, o, p, ip);
		if (service_pod_is_ready(p, service)) {
			VEC_PUSH(&s->ready, address);
			x->n_ready++;
		} else {
			VEC_PUSH(&s->other, address);
			x->n_other++;
		}
	}
}

/* Too many: each subset gives its share, ready ones stay before others. */
static bool endpoints_truncate(struct endpoints *x)
{
	bool ready = x->n_ready > ENDPOINTS_MAX;
	size_t max = ready ? ENDPOINTS_MAX : ENDPOINTS_MAX - x->n_ready, left = max;
	size_t total = ready ? x->n_ready : x->n_other;

	if (x->n_ready + x->n_other <= ENDPOINTS_MAX)
		return false;
	for (size_t i = 0; i < x->subsets.n; i++) {
		struct subset *s = &x->subsets.v[i];
		size_t *n = ready ? &s->ready.n : &s->other.n, share = (*n * max + total - 1) / total;

		if (share > left)
			share = left;
		if (ready)
			s->other.n = 0;
		if (*n > share)
			*n = share;
		left -= *n;
	}
	return true;
}

static int endpoints_by_ip(const void *pa, const void *pb)
{
	return strcmp(node_gets(*(struct node *const *)pa, F_ip), node_gets(*(struct node *const *)pb, F_ip));
}

static void endpoints_put(struct doc *d, struct node *subset, enum field f, struct node **v, size_t n)
{
	if (!n)
		return;
	qsort(v, n, sizeof(*v), endpoints_by_ip);
	for (size_t i = 0; i < n; i++)
		node_append(node_need_array(d, subset, f), node_copy(d, v[i]));
}

static struct node *endpoints_subsets(const struct endpoints *x, struct doc *d)
{
	struct node *list = node_new(d, DOC_ARRAY);

	for (size_t i = 0; i < x->subsets.n; i++) {
		struct subset *s = &x->subsets.v[i];
		struct node *one;

		if (!s->ready.n && !s->other.n)
			continue;
		one = node_append(list, node_new(d, DOC_OBJECT));
		endpoints_put(d, one, F_addresses, s->ready.v, s->ready.n);
		endpoints_put(d, one, F_notReadyAddresses, s->other.v, s->other.n);
		if (node_count(s->ports))
			node_set(d, one, F_ports, node_copy(d, s->ports));
	}
	return list;
}

/* --- writing --- */

static struct doc *endpoints_body(struct obj *now, struct obj *o)
{
	struct doc *d;

	if (now)
		return doc_clone(obj_doc(now));
	d = doc_new();
	doc_set_root(d, node_new(d, DOC_OBJECT));
	node_sets(d, node_need_object(d, doc_root(d), F_metadata), F_name, o->name);
	return d;
}

static bool endpoints_are(struct obj *now, const struct node *labels, const struct node *subsets, bool truncated)
{
	const struct node *root = now ? obj_node(now) : NULL;

	return now && node_equal(meta_labels(root), labels) &&
	       (meta_annotation(root, OVER_CAPACITY) != NULL) == truncated &&
	       (node_count(subsets) ? node_equal(node_get(root, F_subsets), subsets) : !node_count(node_get(root, F_subsets)));
}

static void endpoints_plan(struct obj *now, struct obj *o, const struct endpoints *x, bool truncated, int64_t changed,
			   struct plan *out)
{
	_cleanup_doc_ struct doc *d = endpoints_body(now, o);
	struct node *root = doc_root(d), *meta = node_get(root, F_metadata), *annotations;
	struct node *subsets = endpoints_subsets(x, d), *labels = service_labels(d, obj_node(o));
	_cleanup_free_ char *failed = xasprintf("Failed to %s endpoint %s%s/%s: ", now ? "update" : "create",
						now ? "" : "for service ", o->ns, o->name);
	char when[TIME_NANO_LEN];

	node_setk(d, labels, STR_LIT(MANAGED_BY), node_new_cstr(d, MANAGER));
	if (endpoints_are(now, labels, subsets, truncated))
		return;
	annotations = node_need_object(d, meta, F_annotations);
	node_setk(d, annotations, STR_LIT(LAST_CHANGE), node_new_cstr(d, time_fmt_nano(when, changed)));
	if (truncated)
		node_setk(d, annotations, STR_LIT(OVER_CAPACITY), node_new_cstr(d, "truncated"));
	else
		node_removek(annotations, STR_LIT(OVER_CAPACITY));
	node_set(d, meta, F_labels, labels);
	node_set(d, root, F_subsets, subsets);
	if (now)
		plan_update(out, now->res, now->ns, now->name, NULL, take_ptr(&d));
	else
		plan_create(out, schema_res("", "endpoints"), o->ns, take_ptr(&d));
	plan_say(out, o, NULL, NULL, now ? "FailedToUpdateEndpoint" : "FailedToCreateEndpoint", failed);
}

/* Its Service went, whoever made it. Those of elections never had one. */
static void endpoints_without_service(struct obj *now, struct plan *out)
{
	if (!meta_annotation(obj_node(now), "control-plane.alpha.kubernetes.io/leader"))
		plan_delete(out, now->res, now->ns, now->name, now->uid);
}

int endpoints_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *o = ctl_find(v->of[OF_SERVICES], key), *now = ctl_find(v->of[OF_ENDPOINTS], key);
	struct endpoints x = { 0 };
	service_pods pods = VEC_INIT;
	bool truncated;

	if (!o && now)
		endpoints_without_service(now, out);
	if (!o || meta_is_deleting(obj_node(o)) || !service_has_pods(obj_node(o)))
		return 0;
	x.doc = doc_new();
	service_pods_find(v->kids[CTL_PODS], o, node_bool(node_path(obj_node(o), F_spec, F_publishNotReadyAddresses), false),
			  &pods);
	endpoints_gather(&x, o, &pods);
	truncated = endpoints_truncate(&x);
	endpoints_plan(now, o, &x, truncated, service_last_change(o, &pods), out);
	endpoints_release(&x);
	VEC_RELEASE(&pods);
	return 0;
}
