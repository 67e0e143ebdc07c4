/*
 * Versions that Kubernetes dropped (resources.tsv: removed=RELEASE), where their
 * shape differs from the stored one. The rules are those of Kubernetes'
 * conversions in the last release that served them; what only the older version
 * has a field for is kept in the annotation that Kubernetes keeps it in, what
 * only the newer one has keeps its place, as the older types here have learnt
 * the newer fields.
 *
 *	Deployment		spec.rollbackTo
 *	DaemonSet		spec.templateGeneration
 *	Ingress			backends
 *	PodDisruptionBudget	an empty selector is none there and all here
 *	EndpointSlice		topology
 *
 * To add one: a row in older_converters.
 */
#include "api/convert.h"

#include <stdio.h>

#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"
#define PDB_LABEL "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match"
#define TOPOLOGY_ZONE "topology.kubernetes.io/zone"
#define TOPOLOGY_HOSTNAME "kubernetes.io/hostname"

void convert_set_annotation(struct doc *d, const char *key, const char *text)
{
	struct node *meta = node_need_object(d, doc_root(d), F_metadata), *notes;

	if (text) {
		node_setk(d, node_need_object(d, meta, F_annotations), str_of(key), node_new_cstr(d, text));
		return;
	}
	notes = node_get(meta, F_annotations);
	if (notes && node_removek(notes, str_of(key)) && !node_count(notes))
		node_remove(meta, F_annotations);
}

/* obj's member f moves to `to`, which may be of another object of d. */
static void older_move(struct doc *d, struct node *obj, enum field f, struct node *into, enum field to)
{
	const struct node *n = node_get(obj, f);
	struct node *copy;

	if (!n)
		return;
	copy = node_copy(d, n);
	node_remove(obj, f);
	node_set(d, into, to, copy);
}

/* --- a number that the newer version keeps in an annotation --- */

static void number_to_annotation(struct doc *d, int64_t n, const char *key)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)n);
	convert_set_annotation(d, key, text);
}

/* False: no such annotation, or no number in it, which then stays. */
static bool number_from_annotation(struct doc *d, const char *key, int64_t *ret)
{
	const char *text = meta_annotation(doc_root(d), key);

	if (!text || !str_to_i64(str_of(text), ret))
		return false;
	convert_set_annotation(d, key, NULL);
	return true;
}

static void deployment_to_stored(struct doc *d)
{
	struct node *spec = node_get(doc_root(d), F_spec), *to = node_get(spec, F_rollbackTo);

	if (to)
		number_to_annotation(d, node_int(node_get(to, F_revision), 0), ROLLBACK_TO);
	node_remove(spec, F_rollbackTo);
}

static void deployment_from_stored(struct doc *d)
{
	int64_t revision;

	if (number_from_annotation(d, ROLLBACK_TO, &revision))
		node_seti(d, node_need_object(d, node_need_object(d, doc_root(d), F_spec), F_rollbackTo), F_revision,
			  revision);
}

static void daemonset_to_stored(struct doc *d)
{
	struct node *spec = node_get(doc_root(d), F_spec);
	int64_t generation = node_int(node_get(spec, F_templateGeneration), 0);

	if (generation)
		number_to_annotation(d, generation, TEMPLATE_GENERATION);
	node_remove(spec, F_templateGeneration);
}

static void daemonset_from_stored(struct doc *d)
{
	int64_t generation;

	if (number_from_annotation(d, TEMPLATE_GENERATION, &generation))
		node_seti(d, node_need_object(d, doc_root(d), F_spec), F_templateGeneration, generation);
}

/* --- ingresses --- */

static void backend_to_stored(struct doc *d, struct node *backend)
{
	const struct node *name = node_get(backend, F_serviceName), *port = node_get(backend, F_servicePort);
	struct node *service;

	if (!node_is(backend, DOC_OBJECT))
		return;
	if (node_str(name).n || node_is(port, DOC_STRING) || node_int(port, 0)) {
		service = node_need_object(d, backend, F_service);
		node_set(d, service, F_name, name ? node_copy(d, name) : node_new_cstr(d, ""));
		service = node_need_object(d, service, F_port);
		if (node_is(port, DOC_STRING))
			node_set(d, service, F_name, node_copy(d, port));
		else if (node_int(port, 0))
			node_set(d, service, F_number, node_copy(d, port));
	}
	node_remove(backend, F_serviceName);
	node_remove(backend, F_servicePort);
}

static void backend_from_stored(struct doc *d, struct node *backend)
{
	const struct node *service = node_get(backend, F_service), *port = node_get(service, F_port);

	if (!node_is(service, DOC_OBJECT))
		return;
	node_sets(d, backend, F_serviceName, node_gets(service, F_name));
	if (*node_gets(port, F_name))
		node_sets(d, backend, F_servicePort, node_gets(port, F_name));
	else
		node_seti(d, backend, F_servicePort, node_int(node_get(port, F_number), 0));
	node_remove(backend, F_service);
}

static void ingress_backends(struct doc *d, void (*f)(struct doc *d, struct node *backend))
{
	struct node *spec = node_get(doc_root(d), F_spec);

	NODE_FOREACH(rule, node_get(spec, F_rules)) {
		NODE_FOREACH(path, node_path(rule, F_http, F_paths))
			f(d, node_get(path, F_backend));
	}
}

static void ingress_to_stored(struct doc *d)
{
	struct node *spec = node_get(doc_root(d), F_spec);

	older_move(d, spec, F_backend, spec, F_defaultBackend);
	backend_to_stored(d, node_get(spec, F_defaultBackend));
	ingress_backends(d, backend_to_stored);
}

static void ingress_from_stored(struct doc *d)
{
	struct node *spec = node_get(doc_root(d), F_spec);

	older_move(d, spec, F_defaultBackend, spec, F_backend);
	backend_from_stored(d, node_get(spec, F_backend));
	ingress_backends(d, backend_from_stored);
}

/* --- pod disruption budgets: what {} selects --- */

static bool selector_is_empty(const struct node *sel)
{
	return node_is(sel, DOC_OBJECT) && !node_count(node_get(sel, F_matchLabels)) &&
	       !node_count(node_get(sel, F_matchExpressions));
}

/* Is it the one requirement on PDB_LABEL, and nothing else? */
static bool selector_is_mark(const struct node *sel, const char *operator)
{
	const struct node *list = node_get(sel, F_matchExpressions), *one = node_first(list);

	return node_count(list) == 1 && !node_count(node_get(sel, F_matchLabels)) &&
	       node_streq(node_get(one, F_key), PDB_LABEL) && node_streq(node_get(one, F_operator), operator);
}

static struct node *selector_mark(struct doc *d, const char *operator)
{
	struct node *sel = node_new(d, DOC_OBJECT);
	struct node *one = node_append(node_need_array(d, sel, F_matchExpressions), node_new(d, DOC_OBJECT));

	node_sets(d, one, F_key, PDB_LABEL);
	node_sets(d, one, F_operator, operator);
	return sel;
}

static void selector_strip_mark(struct node *sel)
{
	struct node *list = node_get(sel, F_matchExpressions), *next;

	for (struct node *c = node_first(list); c; c = next) {
		next = c->next;
		if (node_streq(node_get(c, F_key), PDB_LABEL))
			node_remove_child(list, c);
	}
	if (list && !node_count(list))
		node_remove(sel, F_matchExpressions);
}

static void pdb_to_stored(struct doc *d)
{
	struct node *spec = node_get(doc_root(d), F_spec), *sel = node_get(spec, F_selector);

	if (selector_is_empty(sel))
		node_set(d, spec, F_selector, selector_mark(d, "Exists"));
	else if (selector_is_mark(sel, "DoesNotExist"))
		node_set(d, spec, F_selector, node_new(d, DOC_OBJECT));
	else if (sel)
		selector_strip_mark(sel);
}

static void pdb_from_stored(struct doc *d)
{
	struct node *spec = node_get(doc_root(d), F_spec), *sel = node_get(spec, F_selector);

	if (selector_is_mark(sel, "Exists"))
		node_set(d, spec, F_selector, node_new(d, DOC_OBJECT));
	else if (selector_is_empty(sel))
		node_set(d, spec, F_selector, selector_mark(d, "DoesNotExist"));
}

/* --- endpoint slices: topology --- */

/* The zone becomes a field; a host name that says no more than nodeName goes; the rest is kept as it is. */
static void endpoint_to_stored(struct doc *d, struct node *ep)
{
	struct node *topology, *zone, *host;

	older_move(d, ep, F_topology, ep, F_deprecatedTopology);
	topology = node_get(ep, F_deprecatedTopology);
	zone = node_getc(topology, TOPOLOGY_ZONE);
	host = node_getc(topology, TOPOLOGY_HOSTNAME);
	if (zone) {
		node_set(d, ep, F_zone, node_copy(d, zone));
		node_removek(topology, str_of(TOPOLOGY_ZONE));
	}
	if (host && node_streq(node_get(ep, F_nodeName), node_cstr_or(host, "")))
		node_removek(topology, str_of(TOPOLOGY_HOSTNAME));
	if (topology && !node_count(topology))
		node_remove(ep, F_deprecatedTopology);
}

static void endpoint_from_stored(struct doc *d, struct node *ep)
{
	const struct node *node_name = node_get(ep, F_nodeName), *zone = node_get(ep, F_zone);
	struct node *topology;

	older_move(d, ep, F_deprecatedTopology, ep, F_topology);
	if (zone) {
		topology = node_need_object(d, ep, F_topology);
		node_setk(d, topology, STR_LIT(TOPOLOGY_ZONE), node_copy(d, zone));
		node_remove(ep, F_zone);
	}
	if (node_name && !node_getc(node_get(ep, F_topology), TOPOLOGY_HOSTNAME)) {
		topology = node_need_object(d, ep, F_topology);
		node_setk(d, topology, STR_LIT(TOPOLOGY_HOSTNAME), node_copy(d, node_name));
	}
}

static void slice_endpoints(struct doc *d, void (*f)(struct doc *d, struct node *ep))
{
	NODE_FOREACH(ep, node_get(doc_root(d), F_endpoints)) {
		if (node_is(ep, DOC_OBJECT))
			f(d, ep);
	}
}

static void slice_to_stored(struct doc *d)
{
	slice_endpoints(d, endpoint_to_stored);
}

static void slice_from_stored(struct doc *d)
{
	slice_endpoints(d, endpoint_from_stored);
}

const struct converter older_converters[] = {
	{ "deployments", "extensions/v1beta1", deployment_to_stored, deployment_from_stored },
	{ "deployments", "apps/v1beta1", deployment_to_stored, deployment_from_stored },
	{ "daemonsets", "extensions/v1beta1", daemonset_to_stored, daemonset_from_stored },
	{ "ingresses", "extensions/v1beta1", ingress_to_stored, ingress_from_stored },
	{ "ingresses", "networking.k8s.io/v1beta1", ingress_to_stored, ingress_from_stored },
	{ "poddisruptionbudgets", "policy/v1beta1", pdb_to_stored, pdb_from_stored },
	{ "endpointslices", "discovery.k8s.io/v1beta1", slice_to_stored, slice_from_stored },
	{ 0 },
};
