/*
 * The node's Lease in kube-node-lease, renewed every 10 s: the sign of life that
 * the node life-cycle controller looks at. Leases live in the store's volatile
 * tier, so this writes nothing to the disk.
 */
#include "node/pressure.h"

#define LEASE_NS "kube-node-lease"
#define LEASE_SECONDS 40
#define LEASE_RENEW_MS 10000
#define LEASE_RETRY_MS 1000

static void lease_spec(struct node_agent *n, struct doc *d, struct node *root)
{
	struct node *spec = node_need_object(d, root, F_spec);
	char now[TIME_MICRO_LEN];

	node_sets(d, spec, F_holderIdentity, n->name);
	node_seti(d, spec, F_leaseDurationSeconds, LEASE_SECONDS);
	node_sets(d, spec, F_renewTime, time_fmt_micro(now, time_wall_us()));
}

static struct doc *lease_make(struct node_agent *n)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta, *owner;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, n->r_leases->api_version);
	node_sets(d, root, F_kind, n->r_leases->kind);
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, n->name);
	node_sets(d, meta, F_namespace, LEASE_NS);
	if (n->node) {
		owner = node_append(node_need_array(d, meta, F_ownerReferences), node_new(d, DOC_OBJECT));
		node_sets(d, owner, F_apiVersion, "v1");
		node_sets(d, owner, F_kind, "Node");
		node_sets(d, owner, F_name, n->name);
		node_sets(d, owner, F_uid, n->node->uid);
	}
	lease_spec(n, d, root);
	return d;
}

static void lease_done(void *arg, struct obj *o UNUSED, const struct err *err)
{
	struct node_agent *n = arg;
	int64_t again = LEASE_RENEW_MS;

	n->lease_busy = false;
	if (!err || err->reason == ERR_ALREADY_EXISTS) {
		n->lease_known = true;
	} else {
		if (err->reason == ERR_NOT_FOUND && n->lease_known) /* deleted: make it again */
			n->lease_known = false;
		log_debug("cannot renew the node's lease, trying again", LE(err));
		again = LEASE_RETRY_MS;
	}
	loop_timer_set(n->lease_timer, again);
}

static void lease_run(void *arg)
{
	struct node_agent *n = arg;
	struct doc *d;

	evict_run(n); /* it is awake now anyway */
	if (n->lease_busy)
		return;
	n->lease_busy = true;
	if (!n->lease_known) {
		client_create(n->client, n->r_leases, LEASE_NS, lease_make(n), lease_done, n);
		return;
	}
	d = doc_new();
	doc_set_root(d, node_new(d, DOC_OBJECT));
	lease_spec(n, d, doc_root(d));
	client_patch(n->client, n->r_leases, LEASE_NS, n->name, NULL, PATCH_MERGE, d, lease_done, n);
}

void heartbeat_start(struct node_agent *n)
{
	if (n->lease_timer)
		return;
	n->lease_timer = loop_timer_new(n->loop, lease_run, n);
	lease_run(n);
}
