/*
 * Services of type LoadBalancer get their addresses: status.loadBalancer.ingress.
 * Without a pool they are those of the nodes, as k3s's ServiceLB has it; with one
 * each Service has an address of it, which some node announces (svc/announce.c).
 * That a packet to such an address finds the endpoints is the proxy's work, which
 * goes by the status.
 *
 * A port of a node's address can belong to one Service only, and to none where a
 * part of this program, a pod's host port or a process of the machine has it: who
 * comes later does not get that address, is told by an event and a condition who
 * holds what, and gets it when the other is gone.
 *
 * The status is the only memory there is: what a Service has it keeps across
 * restarts, as long as it may. Services whose loadBalancerClass is another's are
 * left alone. Events and the finalizer are those of Kubernetes' service controller
 * in cloud-provider, since this is what people look for.
 *
 * One worker: each sees what the one before has written.
 */
#include "ctl/loadbalancer.h"

#include <stdlib.h>

#include "base/arena.h"
#include "ctl/service.h"

enum { OF_SERVICES, OF_NODES, OF_PODS, OF_SLICES };

#define CLASS_K3S "io.cattle/servicelb"
#define LABEL_POOL "svccontroller.k3s.cattle.io/lbpool"
#define WISH "kinglet.io/loadbalancer-ips" /* annotations */
#define WISH_METALLB "metallb.io/loadBalancerIPs"
#define WISH_METALLB_OLD "metallb.universe.tf/loadBalancerIPs"
#define PORTS_ERROR "LoadBalancerPortsError" /* condition */
#define PORTS_REASON "PortConflict"

struct lb { /* one look at one Service */
	struct lb_book *book;
	const struct ctl_view *view;
	struct obj *obj;
	const struct node *root;
	struct lb_service *s;
	struct plan *out;
	VEC(const char *) want; /* addresses, of the arena */
	struct arena *arena;
	struct doc *scratch; /* the arena's */
	bool early; /* some node has still to say whether ports are free */
	struct buf conflict; /* which address can't be had for what; "" none */
	const char *reason; /* of the event when there is nothing to give; a literal */
	struct buf why;
};

bool lb_is_ours(const struct node *root)
{
	const struct node *spec = node_get(root, F_spec);
	const char *class = node_gets(spec, F_loadBalancerClass);

	return node_streq(node_get(spec, F_type), "LoadBalancer") && (!*class || streq(class, CLASS_K3S));
}

/* --- the nodes' addresses --- */

/* As in k3s: once some node has the label enablelb, only those that have it count, and of them the Service's pool. */
static bool lb_node_counts(const struct lb *x, const struct lb_node *n, bool choosy)
{
	const char *pool = meta_label(x->root, LABEL_POOL);

	if (!n->ready || n->excluded)
		return false;
	return !choosy || (n->enabled && (str_empty(pool) || streq_null(n->pool, pool)));
}

static bool lb_is_choosy(struct lb_book *b)
{
	for (struct lb_node *n = NULL; (n = lb_book_node(b, n));)
		if (n->enabled)
			return true;
	return false;
}

struct lb_local {
	struct map *nodes; /* by name: those with an endpoint that is ready */
};

static void lb_note_slice(void *arg, struct kid *k)
{
	struct lb_local *l = arg;

	NODE_FOREACH(ep, node_get(obj_node(k->obj), F_endpoints)) {
		const char *node = node_gets(ep, F_nodeName);

		if (*node && node_bool(node_path(ep, F_conditions, F_ready), true))
			map_set(l->nodes, str_of(node), l);
	}
}

/* NULL: any node will do. */
static struct map *lb_local_nodes(struct lb *x)
{
	struct lb_local l = { 0 };
	struct node *match;
	struct selector *sel;
	struct doc *d;

	if (!x->s->local)
		return NULL;
	l.nodes = map_new(NULL);
	d = doc_new();
	match = node_new(d, DOC_OBJECT);
	node_setk(d, match, STR_LIT(SLICE_SERVICE), node_new_cstr(d, x->obj->name));
	sel = selector_from_map(match);
	kids_selected(x->view->kids[CTL_SLICES], x->obj->ns, sel, lb_note_slice, &l);
	selector_free(sel);
	doc_unref(d);
	return l.nodes;
}

static bool lb_had(const struct lb *x, const char *address)
{
	for (size_t i = 0; i < x->s->addresses.n; i++)
		if (streq(x->s->addresses.v[i], address))
			return true;
	return false;
}

/* All its ports there; else what is in the way is noted. */
static bool lb_ports_are_free(struct lb *x, const struct lb_node *n, const char *address)
{
	char text[16];
	const char *who;

	for (size_t i = 0; i < x->s->ports.n && !lb_had(x, address); i++)
		if (!lb_book_is_known(n, x->s->ports.v[i])) {
			x->early = true;
			return false;
		}
	for (size_t i = 0; i < x->s->ports.n; i++) {
		who = lb_book_holder(x->book, x->s, n, address, x->s->ports.v[i]);
		if (!who)
			continue;
		buf_addf(&x->conflict, "%sport %s of %s (node %s) is held by %s", x->conflict.len ? "; " : "",
			 lb_port_print(x->s->ports.v[i], text), address, n->name, who);
		return false;
	}
	return true;
}

static bool lb_wants(const struct lb *x, const char *text)
{
	for (size_t i = 0; i < x->want.n; i++)
		if (streq(x->want.v[i], text))
			return true;
	return false;
}

static void lb_give(struct lb *x, const char *text)
{
	if (!lb_wants(x, text))
		VEC_PUSH(&x->want, arena_strdup(x->arena, text));
}

static int lb_by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

typedef VEC(struct lb_node *) lb_nodes;

static void lb_give_family(struct lb *x, const lb_nodes *nodes, bool six, bool external)
{
	size_t first = x->want.n;

	for (size_t i = 0; i < nodes->n; i++)
		for (size_t k = 0; k < nodes->v[i]->addresses.n; k++) {
			const struct lb_address *a = &nodes->v[i]->addresses.v[k];

			if (a->six == six && a->external == external && lb_ports_are_free(x, nodes->v[i], a->text))
				lb_give(x, a->text);
		}
	if (x->want.n > first)
		qsort(x->want.v + first, x->want.n - first, sizeof(*x->want.v), lb_by_text);
}

static void lb_from_nodes(struct lb *x)
{
	struct map *local = lb_local_nodes(x);
	bool choosy = lb_is_choosy(x->book), external = false;
	lb_nodes nodes = VEC_INIT;

	for (struct lb_node *n = NULL; (n = lb_book_node(x->book, n));) {
		if (!lb_node_counts(x, n, choosy) || (local && !map_getc(local, n->name)))
			continue;
		VEC_PUSH(&nodes, n);
		for (size_t i = 0; i < n->addresses.n; i++)
			external |= n->addresses.v[i].external;
	}
	NODE_FOREACH(f, node_path(x->root, F_spec, F_ipFamilies))
		lb_give_family(x, &nodes, node_streq(f, "IPv6"), external);
	if (!nodes.n)
		x->reason = "UnAvailableLoadBalancer";
	VEC_RELEASE(&nodes);
	map_free(local);
}

/* --- an address of the pool --- */

struct lb_free {
	struct lb *lb;
	bool shared; /* one that it may share is looked for */
};

static bool lb_is_free(void *arg, const char *text)
{
	struct lb_free *f = arg;

	return !lb_book_owner(f->lb->book, f->lb->s, text) && (!f->shared || lb_book_shares(f->lb->book, f->lb->s, text));
}

static bool lb_is_of_pool(const struct lb *x, const char *text, bool six)
{
	struct lb_addr a;

	return lb_addr_parse(&a, text) && lb_addr_is_six(&a) == six && lb_pool_has(lb_book_pool(x->book), &a);
}

static const char *lb_wish(const struct lb *x)
{
	static const char *const names[] = { WISH, WISH_METALLB, WISH_METALLB_OLD };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (meta_annotation(x->root, names[i]))
			return meta_annotation(x->root, names[i]);
	return node_gets(node_get(x->root, F_spec), F_loadBalancerIP);
}

static bool lb_no(struct lb *x, const char *text, const char *why)
{
	buf_addf(&x->why, "%s%s%s", x->why.len ? "; " : "", text, why);
	return false;
}

/* The address of that family that it asks for. True: it asks, and the answer is given. */
static bool lb_from_wish(struct lb *x, bool six)
{
	struct str rest = str_of(lb_wish(x));
	const char *who;

	while (rest.p) {
		struct str item = str_trim(str_cut(&rest, ','));
		const char *text = arena_memdupz(x->arena, item.p, item.n);
		struct lb_addr a;
		char canonical[LB_ADDR_TEXT];

		if (!item.n)
			continue;
		if (!lb_addr_parse(&a, text)) {
			lb_no(x, text, " is no IP address");
			return true;
		}
		if (lb_addr_is_six(&a) != six)
			continue;
		lb_addr_print(&a, canonical);
		if (!lb_is_of_pool(x, canonical, six)) {
			lb_no(x, canonical, " is not of the pool");
			return true;
		}
		who = lb_book_owner(x->book, x->s, canonical);
		if (who)
			lb_no(x, canonical, arena_printf(x->arena, " belongs to %s", who));
		else
			lb_give(x, canonical);
		return true;
	}
	return false;
}

/* What it has, if it still may. */
static bool lb_keep(struct lb *x, bool six)
{
	for (size_t i = 0; i < x->s->addresses.n; i++) {
		const char *text = x->s->addresses.v[i];

		if (lb_is_of_pool(x, text, six) && !lb_book_owner(x->book, x->s, text)) {
			lb_give(x, text);
			return true;
		}
	}
	return false;
}

static void lb_from_pool(struct lb *x)
{
	NODE_FOREACH(f, node_path(x->root, F_spec, F_ipFamilies)) {
		bool six = node_streq(f, "IPv6");
		struct lb_free any = { x, false }, shared = { x, true };
		const struct lb_pool *pool = lb_book_pool(x->book);
		char text[LB_ADDR_TEXT];

		if (lb_from_wish(x, six) || lb_keep(x, six))
			continue;
		if ((!str_empty(x->s->sharing) && lb_pool_pick(pool, six, lb_is_free, &shared, text)) ||
		    lb_pool_pick(pool, six, lb_is_free, &any, text))
			lb_give(x, text);
		else
			lb_no(x, "no available IPs", six ? " of IPv6" : " of IPv4");
	}
	if (x->why.len)
		x->reason = "AllocationFailed";
}

/* --- what is written --- */

static bool lb_has_finalizer(const struct node *root)
{
	NODE_FOREACH(f, node_get(meta_of(root), F_finalizers))
		if (node_streq(f, LB_FINALIZER))
			return true;
	return false;
}

static void lb_patch(struct lb *x, const char *sub, enum patch_type t, struct doc *d_take)
{
	plan_patch(x->out, x->obj->res, x->obj->ns, x->obj->name, t, d_take);
	x->out->ops.v[x->out->ops.n - 1].subresource = xstrdup_null(sub);
}

static struct doc *lb_patch_doc(enum field f, struct node **ret)
{
	struct doc *d = doc_new();

	doc_set_root(d, node_new(d, DOC_OBJECT));
	*ret = node_need_object(d, doc_root(d), f);
	return d;
}

static void lb_set_finalizer(struct lb *x, bool on)
{
	struct node *meta, *list;
	struct doc *d;

	if (lb_has_finalizer(x->root) == on)
		return;
	d = lb_patch_doc(F_metadata, &meta);
	list = on ? node_need_array(d, meta, F_finalizers)
		  : node_setk(d, meta, STR_LIT("$deleteFromPrimitiveList/finalizers"), node_new(d, DOC_ARRAY));
	node_append(list, node_new_cstr(d, LB_FINALIZER));
	lb_patch(x, NULL, PATCH_STRATEGIC, d);
	plan_then(x->out);
}

static bool lb_status_is(const struct lb *x)
{
	size_t n = 0;

	NODE_FOREACH(in, node_path(x->root, F_status, F_loadBalancer, F_ingress)) {
		if (n >= x->want.n || !node_streq(node_get(in, F_ip), x->want.v[n]) || node_get(in, F_hostname))
			return false;
		n++;
	}
	return n == x->want.n;
}

static void lb_put_ingress(struct lb *x, struct doc *d, struct node *status)
{
	struct node *lb = node_need_object(d, status, F_loadBalancer), *list, *one;

	if (!x->want.n) {
		node_set(d, lb, F_ingress, node_new(d, DOC_NULL));
		return;
	}
	list = node_need_array(d, lb, F_ingress);
	for (size_t i = 0; i < x->want.n; i++) {
		one = node_append(list, node_new(d, DOC_OBJECT));
		node_sets(d, one, F_ip, x->want.v[i]);
		node_sets(d, one, F_ipMode, "VIP");
	}
}

/* The condition that tells of conflicts. True: it has to be written. */
static bool lb_put_condition(struct lb *x, struct doc *d, struct node *status)
{
	const struct node *have = node_path(x->root, F_status, F_conditions), *old = cond_find(have, PORTS_ERROR);
	struct node *list;

	if (x->conflict.len ? node_streq(node_get(old, F_message), x->conflict.s) : !old)
		return false;
	list = node_set(d, status, F_conditions, have ? node_copy(d, have) : node_new(d, DOC_ARRAY));
	if (x->conflict.len) {
		cond_set(d, list, PORTS_ERROR, "True", PORTS_REASON, x->conflict.s);
		return true;
	}
	NODE_FOREACH(c, list)
		if (node_streq(node_get(c, F_type), PORTS_ERROR)) {
			node_remove_child(list, c);
			break;
		}
	return true;
}

static void lb_list_had(const struct lb *x, struct buf *out)
{
	NODE_FOREACH(in, node_path(x->root, F_status, F_loadBalancer, F_ingress))
		buf_addf(out, "%s%s", out->len ? " " : "", node_gets(in, F_ip));
}

static void lb_list_want(const struct lb *x, struct buf *out)
{
	for (size_t i = 0; i < x->want.n; i++)
		buf_addf(out, "%s%s", i ? " " : "", x->want.v[i]);
}

/* What a change of the addresses means to who asked for them. */
static void lb_tell_change(struct lb *x)
{
	_cleanup_buf_ struct buf had = BUF_INIT, want = BUF_INIT, text = BUF_INIT;

	lb_list_had(x, &had);
	lb_list_want(x, &want);
	if (x->want.n && !had.len) {
		plan_say(x->out, x->obj, "EnsuredLoadBalancer", "Ensured load balancer", "SyncLoadBalancerFailed",
			 "Error syncing load balancer: failed to update load balancer status: ");
		return;
	}
	if (!x->want.n)
		return;
	buf_addf(&text, "Updated LoadBalancer with new IPs: [%s] -> [%s]", had.s, want.s);
	plan_say(x->out, x->obj, "UpdatedLoadBalancer", text.s, NULL, NULL);
}

/* Why it has not all that it wants; once, not each time somebody looks. */
static void lb_tell_lack(struct lb *x, bool changed, bool news)
{
	bool had = node_count(node_path(x->root, F_status, F_loadBalancer, F_ingress));

	if (x->conflict.len && news)
		plan_event(x->out, x->obj, "Warning", x->want.n ? "LoadBalancerPortConflict" : "SyncLoadBalancerFailed",
			   "%s%s", x->want.n ? "" : "Error syncing load balancer: failed to ensure load balancer: ",
			   x->conflict.s);
	if (x->why.len)
		plan_event(x->out, x->obj, "Warning", x->reason, "Failed to allocate IP for \"%s/%s\": %s", x->obj->ns,
			   x->obj->name, x->why.s);
	else if (x->reason && !x->want.n && (had ? changed : !lb_has_finalizer(x->root)))
		plan_event(x->out, x->obj, "Warning", x->reason, "There are no available nodes for LoadBalancer");
}

static void lb_write(struct lb *x)
{
	bool changed = !lb_status_is(x), news;
	struct node *status;
	struct doc *d = lb_patch_doc(F_status, &status);

	news = lb_put_condition(x, d, status);
	lb_tell_lack(x, changed, news);
	if (!lb_has_finalizer(x->root))
		plan_event(x->out, x->obj, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer");
	lb_set_finalizer(x, true);
	if (changed)
		lb_put_ingress(x, d, status);
	if (!changed && !news) {
		doc_unref(d);
		return;
	}
	lb_patch(x, "status", PATCH_MERGE, d);
	if (changed)
		lb_tell_change(x);
}

/* --- one that is ours no more --- */

/* Its class's controller may use the same finalizer. */
static bool lb_is_anothers(const struct node *root)
{
	return node_streq(node_path(root, F_spec, F_type), "LoadBalancer") && !lb_is_ours(root);
}

/* Of another type now, or about to go, or we are switched off. */
static void lb_let_go(struct lb *x)
{
	struct node *status;
	struct doc *d;
	bool news;

	if (!lb_has_finalizer(x->root) || lb_is_anothers(x->root))
		return;
	plan_event(x->out, x->obj, "Normal", "DeletingLoadBalancer", "Deleting load balancer");
	if (!meta_is_deleting(x->root)) {
		x->want.n = 0;
		d = lb_patch_doc(F_status, &status);
		news = lb_put_condition(x, d, status);
		if (news || !lb_status_is(x)) {
			lb_put_ingress(x, d, status);
			lb_patch(x, "status", PATCH_MERGE, d);
			plan_then(x->out);
		} else {
			doc_unref(d);
		}
	}
	lb_set_finalizer(x, false);
	plan_say(x->out, x->obj, "DeletedLoadBalancer", "Deleted load balancer", "SyncLoadBalancerFailed",
		 "Error syncing load balancer: failed to remove the finalizer: ");
}

/* --- the controller --- */

void *loadbalancer_open(struct ctl_run *run)
{
	return lb_book_open(run);
}

void loadbalancer_close(void *data)
{
	lb_book_close(data);
}

static void lb_look(struct lb *x)
{
	switch (x->s->mode) {
	case LB_NODES:
		lb_from_nodes(x);
		break;
	case LB_POOL:
		lb_from_pool(x);
		break;
	case LB_NONE:
		break;
	}
	x->s->waits = x->conflict.len || x->why.len || x->early;
	lb_write(x);
}

int loadbalancer_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct lb x = { .book = v->data, .view = v, .obj = ctl_find(v->of[OF_SERVICES], key), .out = out };

	if (!x.obj)
		return 0;
	x.root = obj_node(x.obj);
	x.s = lb_book_service(x.book, key);
	x.scratch = doc_new();
	x.arena = doc_arena(x.scratch);
	buf_init(&x.conflict);
	buf_init(&x.why);
	if (x.s)
		lb_look(&x);
	else
		lb_let_go(&x);
	VEC_RELEASE(&x.want);
	buf_release(&x.conflict);
	buf_release(&x.why);
	doc_unref(x.scratch);
	return 0;
}
