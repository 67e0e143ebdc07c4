/*
 * A node: it registers, renews its Lease every 10 s and tells its status every
 * 5 min, and at once when somebody else called it unready.
 */
#include <stdio.h>

#include "base/arch.h"
#include "base/log.h"
#include "sim/internal.h"

#define SIM_SPREAD 100 /* over so many parts of the interval are the Leases of many nodes spread */

static char **copy_strings(const char *const *v)
{
	VEC(char *) out = VEC_INIT;

	for (; v && *v; v++)
		VEC_PUSH(&out, xstrdup(*v));
	VEC_PUSH(&out, NULL);
	return out.v;
}

static void free_strings(char **v)
{
	for (char **s = v; *s; s++)
		free(*s);
	free(v);
}

void sim_node_ip(const struct sim_node *n, char out[16])
{
	snprintf(out, 16, "10.%d.%d.%d", 64 + (n->index >> 16 & 63), n->index >> 8 & 255, n->index & 255);
}

/* --- the object --- */

static void put_label(struct doc *d, struct node *labels, const char *key, const char *value)
{
	node_setk(d, labels, str_of(key), node_new_cstr(d, value));
}

static void put_labels(const struct sim_node *n, struct doc *d, struct node *meta)
{
	struct node *l = node_need_object(d, meta, F_labels);

	put_label(d, l, "beta.kubernetes.io/arch", ARCH_NAME);
	put_label(d, l, "beta.kubernetes.io/os", "linux");
	put_label(d, l, "kubernetes.io/arch", ARCH_NAME);
	put_label(d, l, "kubernetes.io/hostname", n->name);
	put_label(d, l, "kubernetes.io/os", "linux");
	if (n->zone >= 0)
		node_setk(d, l, STR_LIT("topology.kubernetes.io/zone"), node_new_fmt(d, "zone-%d", n->zone));
	for (char **s = n->labels; *s; s++) {
		struct str value = str_of(*s), key = str_cut(&value, '=');

		node_setk(d, l, key, node_new_str(d, value.p ? value : STR_LIT("")));
	}
}

/* "key=value:Effect" or "key:Effect" */
static void put_taints(const struct sim_node *n, struct doc *d, struct node *root)
{
	for (char **s = n->taints; *s; s++) {
		struct str effect = str_of(*s), value = str_cut(&effect, ':'), key = str_cut(&value, '=');
		struct node *list = node_need_array(d, node_need_object(d, root, F_spec), F_taints);
		struct node *t = node_append(list, node_new(d, DOC_OBJECT));

		node_set(d, t, F_key, node_new_str(d, key));
		if (value.n)
			node_set(d, t, F_value, node_new_str(d, value));
		node_set(d, t, F_effect, node_new_str(d, effect));
	}
}

static void put_condition(const struct sim_node *n, struct doc *d, struct node *list, const char *type, bool on,
			  const char *reason, const char *message)
{
	const struct node *have = n->obj ? node_path(obj_node(n->obj), F_status, F_conditions) : NULL;
	const struct node *old = cond_find(have, type);
	const char *status = on ? "True" : "False", *since = node_cstr(node_get(old, F_lastTransitionTime));
	struct node *c = node_append(list, node_new(d, DOC_OBJECT));
	char now[TIME_RFC3339_LEN];

	time_fmt_rfc3339(now, time_wall_s());
	node_sets(d, c, F_type, type);
	node_sets(d, c, F_status, status);
	node_sets(d, c, F_lastHeartbeatTime, now);
	node_sets(d, c, F_lastTransitionTime, since && node_streq(node_get(old, F_status), status) ? since : now);
	node_sets(d, c, F_reason, reason);
	node_sets(d, c, F_message, message);
}

static void put_amounts(const struct sim_node *n, struct doc *d, struct node *status, enum field f)
{
	struct node *o = node_need_object(d, status, f);

	node_setk(d, o, STR_LIT("cpu"), node_new_cstr(d, n->cpu));
	node_setk(d, o, STR_LIT("memory"), node_new_cstr(d, n->memory));
	node_setk(d, o, STR_LIT("pods"), node_new_cstr(d, n->max_pods));
	node_setk(d, o, STR_LIT("ephemeral-storage"), node_new_cstr(d, "1Ti"));
}

static void put_address(struct doc *d, struct node *status, const char *type, const char *address)
{
	struct node *o = node_append(node_need_array(d, status, F_addresses), node_new(d, DOC_OBJECT));

	node_sets(d, o, F_type, type);
	node_sets(d, o, F_address, address);
}

static void put_info(const struct sim_node *n, struct doc *d, struct node *status)
{
	static const struct {
		enum field f;
		const char *text;
	} fixed[] = { { F_osImage, "simulated" },	 { F_kernelVersion, "simulated" }, { F_operatingSystem, "linux" },
		      { F_architecture, ARCH_NAME }, { F_containerRuntimeVersion, "simulated://0" },
		      { F_kubeProxyVersion, "" } };
	struct node *o = node_need_object(d, status, F_nodeInfo);

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		node_sets(d, o, fixed[i].f, fixed[i].text);
	node_sets(d, o, F_machineID, n->name);
	node_sets(d, o, F_systemUUID, n->name);
	node_sets(d, o, F_bootID, n->name);
	node_sets(d, o, F_kubeletVersion, n->status.sim->version);
}

static void put_status(const struct sim_node *n, struct doc *d, struct node *root)
{
	struct node *status = node_need_object(d, root, F_status), *list;
	char ip[16];

	put_amounts(n, d, status, F_capacity);
	put_amounts(n, d, status, F_allocatable);
	sim_node_ip(n, ip);
	put_address(d, status, "InternalIP", ip);
	put_address(d, status, "Hostname", n->name);
	put_info(n, d, status);
	list = node_need_array(d, status, F_conditions);
	put_condition(n, d, list, "MemoryPressure", false, "KubeletHasSufficientMemory",
		      "kubelet has sufficient memory available");
	put_condition(n, d, list, "DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure");
	put_condition(n, d, list, "PIDPressure", false, "KubeletHasSufficientPID",
		      "kubelet has sufficient PID available");
	put_condition(n, d, list, "Ready", true, "KubeletReady", "kubelet is posting ready status");
}

static struct doc *node_make(const struct sim_node *n)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, root, F_kind, "Node");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, n->name);
	put_labels(n, d, meta);
	node_set(d, node_need_object(d, root, F_spec), F_providerID, node_new_fmt(d, "simulated://%s", n->name));
	put_taints(n, d, root);
	put_status(n, d, root);
	return d;
}

static bool is_ready(const struct sim_node *n)
{
	return n->obj && cond_is_true(node_path(obj_node(n->obj), F_status, F_conditions), "Ready");
}

/* --- its status --- */

static void status_wake(struct sim_actor *a)
{
	sim_want(a, true);
}

static void status_send(struct sim_actor *a)
{
	struct sim_node *n = CONTAINER_OF(a, struct sim_node, status);
	struct sim *s = a->sim;
	struct doc *d;

	if (n->cut)
		return;
	if (!n->registered) {
		client_create(s->cfg.client, s->r_nodes, NULL, node_make(n), sim_called, sim_call(a));
		return;
	}
	d = doc_new();
	doc_set_root(d, node_new(d, DOC_OBJECT));
	put_status(n, d, doc_root(d));
	client_patch(s->cfg.client, s->r_nodes, NULL, n->name, "status", PATCH_STRATEGIC, d, sim_called, sim_call(a));
}

/* A node that somebody deleted does not come back by itself. */
static void status_sent(struct sim_actor *a, struct obj *o UNUSED, const struct err *err)
{
	struct sim_node *n = CONTAINER_OF(a, struct sim_node, status);
	int64_t now = sim_now(a->sim);
	bool made = !n->registered;

	if (err && made && err->reason == ERR_ALREADY_EXISTS) { /* it has an old status */
		n->registered = true;
		sim_want(a, true);
		return;
	}
	if (err) {
		log_debug("cannot tell a simulated node's status", LS("node", n->name), LE(err));
		sim_wake_at(a, err->reason == ERR_NOT_FOUND ? SIM_FOR_EVER : now + SIM_RETRY_MS);
		return;
	}
	n->registered = true;
	sim_wake_at(a, now + SIM_STATUS_MS);
	if (!n->leased && !n->lease.due_ms)
		sim_wake_at(&n->lease, now);
}

static const struct sim_role status_role = { status_wake, status_send, status_sent };

/* --- its Lease --- */

static void put_lease(const struct sim_node *n, struct doc *d, struct node *root)
{
	struct node *spec = node_need_object(d, root, F_spec);
	char now[TIME_MICRO_LEN];

	node_sets(d, spec, F_holderIdentity, n->name);
	node_seti(d, spec, F_leaseDurationSeconds, SIM_LEASE_S);
	node_sets(d, spec, F_renewTime, time_fmt_micro(now, time_wall_us()));
}

static struct doc *lease_make(const struct sim_node *n)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta, *owner;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "coordination.k8s.io/v1");
	node_sets(d, root, F_kind, "Lease");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, n->name);
	node_sets(d, meta, F_namespace, SIM_LEASE_NS);
	if (n->obj) {
		owner = node_append(node_need_array(d, meta, F_ownerReferences), node_new(d, DOC_OBJECT));
		node_sets(d, owner, F_apiVersion, "v1");
		node_sets(d, owner, F_kind, "Node");
		node_sets(d, owner, F_name, n->name);
		node_sets(d, owner, F_uid, n->obj->uid);
	}
	put_lease(n, d, root);
	return d;
}

static void lease_wake(struct sim_actor *a)
{
	sim_want(a, true);
}

static void lease_send(struct sim_actor *a)
{
	struct sim_node *n = CONTAINER_OF(a, struct sim_node, lease);
	struct sim *s = a->sim;
	struct doc *d;

	if (n->cut || !n->registered)
		return;
	if (!n->leased) {
		client_create(s->cfg.client, s->r_leases, SIM_LEASE_NS, lease_make(n), sim_called, sim_call(a));
		return;
	}
	d = doc_new();
	doc_set_root(d, node_new(d, DOC_OBJECT));
	put_lease(n, d, doc_root(d));
	client_patch(s->cfg.client, s->r_leases, SIM_LEASE_NS, n->name, NULL, PATCH_MERGE, d, sim_called, sim_call(a));
}

static void lease_sent(struct sim_actor *a, struct obj *o UNUSED, const struct err *err)
{
	struct sim_node *n = CONTAINER_OF(a, struct sim_node, lease);
	int64_t in = SIM_LEASE_MS;

	if (!err && !n->leased)
		in -= n->index % SIM_SPREAD * (SIM_LEASE_MS / SIM_SPREAD);
	if (!err || (!n->leased && err->reason == ERR_ALREADY_EXISTS)) {
		n->leased = true;
	} else {
		n->leased = n->leased && err->reason != ERR_NOT_FOUND;
		in = SIM_RETRY_MS;
	}
	if (n->registered)
		sim_wake_at(a, sim_now(a->sim) + in);
}

static const struct sim_role lease_role = { lease_wake, lease_send, lease_sent };

/* --- its life --- */

struct sim_node *sim_node_new(struct sim *s, const struct sim_nodes *from, int number)
{
	struct sim_node *n = xcalloc(1, sizeof(*n));
	struct obj *o;

	sim_actor_init(s, &n->lease, &lease_role);
	sim_actor_init(s, &n->status, &status_role);
	n->name = xasprintf("%s-%d", from->prefix, from->first + number);
	n->cpu = xstrdup(from->cpu ? from->cpu : "32");
	n->memory = xstrdup(from->memory ? from->memory : "256Gi");
	n->max_pods = xstrdup(from->pods ? from->pods : "110");
	n->labels = copy_strings(from->labels);
	n->taints = copy_strings(from->taints);
	n->index = (int)s->list.n;
	n->zone = from->zones > 0 ? (from->first + number) % from->zones : -1;
	TAILQ_INIT(&n->pods);
	o = informer_find(s->nodes_of, "", n->name);
	n->obj = o ? obj_ref(o) : NULL;
	sim_want(&n->status, false);
	return n;
}

void sim_node_free(void *node)
{
	struct sim_node *n = node;

	sim_actor_end(&n->lease);
	sim_actor_end(&n->status);
	free(n->name);
	free(n->cpu);
	free(n->memory);
	free(n->max_pods);
	free_strings(n->labels);
	free_strings(n->taints);
	obj_unref(n->obj);
	free(n);
}

void sim_node_seen(struct sim_node *n, struct obj *o)
{
	obj_unref(n->obj);
	n->obj = o ? obj_ref(o) : NULL;
	if (!o) {
		n->registered = n->leased = false;
		sim_wake_at(&n->lease, SIM_FOR_EVER);
		sim_wake_at(&n->status, SIM_FOR_EVER);
	} else if (n->registered && !n->cut && !n->status.call && !is_ready(n)) {
		sim_want(&n->status, true);
	}
}

void sim_node_joined(struct sim_node *n)
{
	if (!n->obj && !n->status.call) /* deleted meanwhile: as a machine that starts */
		n->registered = n->leased = false;
	sim_want(&n->lease, true);
	sim_want(&n->status, true);
}
