/*
 * Who wants what: the LoadBalancer Services that are ours, the nodes with their
 * addresses, and the pods with host ports; by port, and by address. It follows the
 * informers itself, since a heartbeat of a node or a change of one of ten thousand
 * pods is no reason to look at any Service, and wakes those that a change concerns:
 * the older first, who thus gets what was given up.
 */
#include "ctl/loadbalancer.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "ctl/service.h"

#define LABEL_EXCLUDE "node.kubernetes.io/exclude-from-external-load-balancers"
#define LABEL_ENABLE "svccontroller.k3s.cattle.io/enablelb"
#define LABEL_POOL "svccontroller.k3s.cattle.io/lbpool"
#define LISTENERS "kinglet.io/listening-ports"
#define MODE "kinglet.io/loadbalancer" /* nodes, pool, none */

enum { OF_SERVICES, OF_NODES, OF_PODS, OF_SLICES, N_OF };

struct book_pod { /* one with host ports */
	char *key, *node;
	lb_ports ports;
	lb_texts addresses; /* of each port: "" for any */
};

struct book_sub {
	struct lb_book *book;
	struct informer *informer;
	bool synced;
};

typedef VEC(const struct lb_service *) book_list;

struct lb_book {
	struct ctl_run *run;
	const struct ctl_lb *cfg;
	struct book_sub subs[N_OF];
	size_t n_subs, n_synced;
	struct map *services; /* struct lb_service by key */
	struct map *by_address; /* book_list by text, of those that have it */
	struct map *nodes; /* struct lb_node by name */
	VEC(struct lb_node *) order; /* of their names */
	struct map *pods; /* struct book_pod by key */
	struct lb_pool pool;
	struct buf text;
};

/* --- texts and ports --- */

static int book_protocol(const char *name)
{
	return streq(name, "UDP") ? IPPROTO_UDP : streq(name, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
}

static const char *book_protocol_name(uint32_t port)
{
	return port >> 16 == IPPROTO_UDP ? "UDP" : port >> 16 == IPPROTO_SCTP ? "SCTP" : "TCP";
}

const char *lb_port_print(uint32_t port, char out[16])
{
	snprintf(out, 16, "%u/%s", port & 0xffff, book_protocol_name(port));
	return out;
}

static void texts_release(lb_texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i]);
	VEC_RELEASE(t);
}

static bool texts_have(const lb_texts *t, const char *text)
{
	for (size_t i = 0; i < t->n; i++)
		if (streq(t->v[i], text))
			return true;
	return false;
}

static bool ports_have(const lb_ports *p, uint32_t port)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->v[i] == port)
			return true;
	return false;
}

static bool ports_meet(const lb_ports *a, const lb_ports *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (ports_have(b, a->v[i]))
			return true;
	return false;
}

/* --- what is read of the objects --- */

static void service_free(void *p)
{
	struct lb_service *s = p;

	texts_release(&s->addresses);
	VEC_RELEASE(&s->ports);
	free(s->sharing);
	free(s->key);
	free(s);
}

static enum lb_mode service_mode(const struct lb_book *b, const struct node *root)
{
	const char *wish = meta_annotation(root, MODE);

	if (wish && streq(wish, "none"))
		return LB_NONE;
	if (!b->pool.ranges.n || (wish && (streq(wish, "nodes") || streq(wish, "node"))))
		return LB_NODES;
	return LB_POOL;
}

static struct lb_service *service_read(const struct lb_book *b, struct obj *o)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	const struct node *root = doc_root(d), *spec = node_get(root, F_spec);
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct lb_service *s;
	const char *sharing;
	int64_t ns;

	if (!lb_is_ours(root) || meta_is_deleting(root))
		return NULL;
	s = xcalloc(1, sizeof(*s));
	obj_key_print(&key, o->ns, o->name);
	s->key = buf_detach(&key, NULL);
	if (time_parse_rfc3339(node_str(node_get(meta_of(root), F_creationTimestamp)), &ns))
		s->created_s = ns / SEC_NS;
	s->mode = service_mode(b, root);
	s->local = streq(node_gets(spec, F_externalTrafficPolicy), "Local");
	sharing = meta_annotation(root, "metallb.io/allow-shared-ip");
	s->sharing = xstrdup_null(sharing ? sharing : meta_annotation(root, "metallb.universe.tf/allow-shared-ip"));
	NODE_FOREACH(p, node_get(spec, F_ports))
		VEC_PUSH(&s->ports, LB_PORT(book_protocol(node_gets(p, F_protocol)), node_int(node_get(p, F_port), 0)));
	NODE_FOREACH(in, node_path(root, F_status, F_loadBalancer, F_ingress))
		VEC_PUSH(&s->addresses, xstrdup(node_gets(in, F_ip)));
	return s;
}

static void node_free(void *p)
{
	struct lb_node *n = p;

	for (size_t i = 0; i < n->addresses.n; i++)
		free(n->addresses.v[i].text);
	VEC_RELEASE(&n->addresses);
	free(n->pool);
	free(n->listeners);
	free(n->name);
	free(n);
}

static struct lb_node *node_read(struct obj *o)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	const struct node *root = doc_root(d);
	struct lb_node *n = xcalloc(1, sizeof(*n));

	n->name = xstrdup(o->name);
	n->ready = cond_is_true(node_path(root, F_status, F_conditions), "Ready") && !meta_is_deleting(root);
	n->excluded = meta_label(root, LABEL_EXCLUDE);
	n->enabled = meta_label(root, LABEL_ENABLE);
	n->pool = xstrdup_null(meta_label(root, LABEL_POOL));
	n->listeners = xstrdup_null(meta_annotation(root, LISTENERS));
	NODE_FOREACH(a, node_path(root, F_status, F_addresses)) {
		const char *type = node_gets(a, F_type);
		struct lb_address one = { .external = streq(type, "ExternalIP") };
		struct lb_addr addr;

		if ((!one.external && !streq(type, "InternalIP")) || !lb_addr_parse(&addr, node_gets(a, F_address)))
			continue;
		one.six = lb_addr_is_six(&addr);
		one.text = xstrdup(node_gets(a, F_address));
		VEC_PUSH(&n->addresses, one);
	}
	return n;
}

static bool node_same(const struct lb_node *a, const struct lb_node *b)
{
	if (a->ready != b->ready || a->excluded != b->excluded || a->enabled != b->enabled ||
	    !streq_null(a->pool, b->pool) || a->addresses.n != b->addresses.n)
		return false;
	for (size_t i = 0; i < a->addresses.n; i++)
		if (a->addresses.v[i].external != b->addresses.v[i].external ||
		    !streq(a->addresses.v[i].text, b->addresses.v[i].text))
			return false;
	return true;
}

static void pod_free(void *p)
{
	struct book_pod *bp = p;

	texts_release(&bp->addresses);
	VEC_RELEASE(&bp->ports);
	free(bp->key);
	free(bp->node);
	free(bp);
}

static void pod_read_ports(struct book_pod *bp, const struct node *containers)
{
	NODE_FOREACH(c, containers)
		NODE_FOREACH(p, node_get(c, F_ports)) {
			const char *ip = node_gets(p, F_hostIP);

			if (!node_int(node_get(p, F_hostPort), 0))
				continue;
			VEC_PUSH(&bp->ports,
				 LB_PORT(book_protocol(node_gets(p, F_protocol)), node_int(node_get(p, F_hostPort), 0)));
			VEC_PUSH(&bp->addresses, xstrdup(streq(ip, "0.0.0.0") || streq(ip, "::") ? "" : ip));
		}
}

/* NULL: it has no ports of a node. */
static struct book_pod *pod_read(struct obj *o)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	const struct node *root = doc_root(d), *spec = node_get(root, F_spec);
	const char *phase = node_gets(node_get(root, F_status), F_phase);
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct book_pod *bp;

	if (!*node_gets(spec, F_nodeName) || streq(phase, "Succeeded") || streq(phase, "Failed"))
		return NULL;
	bp = xcalloc(1, sizeof(*bp));
	obj_key_print(&key, o->ns, o->name);
	bp->key = buf_detach(&key, NULL);
	bp->node = xstrdup(node_gets(spec, F_nodeName));
	pod_read_ports(bp, node_get(spec, F_containers));
	pod_read_ports(bp, node_get(spec, F_initContainers));
	return bp;
}

/* --- who has which address --- */

static void book_list_free(void *p)
{
	book_list *l = p;

	VEC_RELEASE(l);
	free(l);
}

static void book_index(struct lb_book *b, const struct lb_service *s, bool on)
{
	for (size_t i = 0; i < s->addresses.n; i++) {
		book_list *l = map_getc(b->by_address, s->addresses.v[i]);

		if (on && !l) {
			l = xcalloc(1, sizeof(*l));
			map_set(b->by_address, str_of(s->addresses.v[i]), l);
		}
		if (on)
			VEC_PUSH(l, s);
		for (size_t k = l ? l->n : 0; !on && k-- > 0;)
			if (l->v[k] == s)
				VEC_REMOVE(l, k);
		if (l && !l->n)
			map_del(b->by_address, str_of(s->addresses.v[i]));
	}
}

/* --- whom a change concerns --- */

static int book_by_age(const void *a, const void *b)
{
	const struct lb_service *x = *(const struct lb_service *const *)a, *y = *(const struct lb_service *const *)b;

	if (x->created_s != y->created_s)
		return x->created_s < y->created_s ? -1 : 1;
	return strcmp(x->key, y->key);
}

static void book_wake_list(struct lb_book *b, book_list *l)
{
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), book_by_age);
	for (size_t i = 0; i < l->n; i++)
		ctl_run_wake(b->run, l->v[i]->key);
	VEC_RELEASE(l);
}

/* ports NULL: whatever they want. */
static void book_wake(struct lb_book *b, bool waiting, const lb_ports *ports)
{
	struct map_iter it = { 0 };
	book_list l = VEC_INIT;

	if (b->n_synced < b->n_subs)
		return;
	while (map_next(b->services, &it)) {
		const struct lb_service *s = it.value;

		if ((!waiting || s->waits) && (!ports || ports_meet(&s->ports, ports)))
			VEC_PUSH(&l, s);
	}
	book_wake_list(b, &l);
}

static bool service_gave_up(const struct lb_service *was, const struct lb_service *is)
{
	if (!is || is->mode != was->mode || !streq_null(is->sharing, was->sharing) || is->local != was->local)
		return true;
	for (size_t i = 0; i < was->ports.n; i++)
		if (!ports_have(&is->ports, was->ports.v[i]))
			return true;
	for (size_t i = 0; i < was->addresses.n; i++)
		if (!texts_have(&is->addresses, was->addresses.v[i]))
			return true;
	return false;
}

/* The Service itself is always looked at: what was ours may be to be cleaned up. */
static void book_on_service(struct lb_book *b, enum watch_type t, struct obj *o)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct lb_service *was, *is = t == WATCH_DELETED ? NULL : service_read(b, o);

	obj_key_print(&key, o->ns, o->name);
	was = map_take(b->services, buf_str(&key));
	if (was)
		book_index(b, was, false);
	if (is) {
		is->waits = was && was->waits;
		map_set(b->services, buf_str(&key), is);
		book_index(b, is, true);
	}
	if (b->n_synced == b->n_subs && (is || was || obj_json_has(o, "\"" LB_FINALIZER "\"")))
		ctl_run_wake(b->run, key.s);
	if (was && service_gave_up(was, is))
		book_wake(b, true, NULL);
	if (was)
		service_free(was);
}

static int book_by_name(const void *a, const void *b)
{
	return strcmp((*(struct lb_node *const *)a)->name, (*(struct lb_node *const *)b)->name);
}

static void book_sort_nodes(struct lb_book *b)
{
	struct map_iter it = { 0 };

	b->order.n = 0;
	while (map_next(b->nodes, &it))
		VEC_PUSH(&b->order, it.value);
	if (b->order.n)
		qsort(b->order.v, b->order.n, sizeof(*b->order.v), book_by_name);
}

static void book_on_node(struct lb_book *b, enum watch_type t, struct obj *o)
{
	struct lb_node *was = map_getc(b->nodes, o->name), *is = t == WATCH_DELETED ? NULL : node_read(o);

	if (was && is && node_same(was, is)) {
		bool news = !streq_null(was->listeners, is->listeners);

		free(was->listeners);
		was->listeners = take_ptr(&is->listeners);
		node_free(is);
		if (news)
			book_wake(b, true, NULL);
		return;
	}
	if (is)
		map_set(b->nodes, str_of(o->name), is);
	else
		map_del(b->nodes, str_of(o->name));
	book_sort_nodes(b);
	book_wake(b, false, NULL);
}

static void book_on_pod(struct lb_book *b, enum watch_type t, struct obj *o)
{
	bool has = obj_json_has(o, "\"hostPort\"");
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct book_pod *was, *is = has && t != WATCH_DELETED ? pod_read(o) : NULL;

	if (!has)
		return; /* ports of a pod never change */
	obj_key_print(&key, o->ns, o->name);
	was = map_take(b->pods, buf_str(&key));
	if (is)
		map_set(b->pods, buf_str(&key), is);
	if (!was != !is)
		book_wake(b, false, is ? &is->ports : &was->ports);
	if (was)
		pod_free(was);
}

/* Which nodes have endpoints matters where traffic is to stay on the node. */
static void book_on_slice(struct lb_book *b, struct obj *o)
{
	_cleanup_doc_ struct doc *d = obj_doc_once(o);
	_cleanup_buf_ struct buf key = BUF_INIT;
	const char *service = meta_label(doc_root(d), SLICE_SERVICE);
	const struct lb_service *s;

	if (!service)
		return;
	obj_key_print(&key, o->ns, service);
	s = map_get(b->services, buf_str(&key));
	if (s && s->local && b->n_synced == b->n_subs)
		ctl_run_wake(b->run, s->key);
}

/* --- following --- */

static void book_on_event(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct book_sub *sub = arg;
	struct lb_book *b = sub->book;

	switch (sub - b->subs) {
	case OF_SERVICES:
		if (!b->cfg->off)
			book_on_service(b, t, o);
		break;
	case OF_NODES:
		book_on_node(b, t, o);
		break;
	case OF_PODS:
		book_on_pod(b, t, o);
		break;
	default:
		if (map_count(b->services))
			book_on_slice(b, o);
	}
}

/* All that has, or had once, to do with us; also what a former run has left of one that is not ours any more. */
static void book_on_synced(void *arg)
{
	struct book_sub *sub = arg;
	struct lb_book *b = sub->book;
	struct obj *o = NULL;

	if (sub->synced)
		return;
	sub->synced = true;
	if (++b->n_synced < b->n_subs)
		return;
	book_wake(b, false, NULL);
	while ((o = informer_next(b->subs[OF_SERVICES].informer, NULL, o))) {
		_cleanup_buf_ struct buf key = BUF_INIT;

		obj_key_print(&key, o->ns, o->name);
		if (obj_json_has(o, "\"" LB_FINALIZER "\""))
			ctl_run_wake(b->run, key.s);
	}
}

static const struct informer_ops book_ops = { book_on_event, book_on_synced };

struct lb_book *lb_book_open(struct ctl_run *run)
{
	static const struct {
		const char *group, *plural;
	} kinds[N_OF] = { { "", "services" }, { "", "nodes" }, { "", "pods" }, { "discovery.k8s.io", "endpointslices" } };
	struct lb_book *b = xcalloc(1, sizeof(*b));
	_cleanup_err_ struct err e = ERR_INIT;

	b->run = run;
	b->cfg = &ctl_run_config(run)->lb;
	buf_init(&b->text);
	b->services = map_new(service_free);
	b->by_address = map_new(book_list_free);
	b->nodes = map_new(node_free);
	b->pods = map_new(pod_free);
	BUG_ON(!str_empty(b->cfg->pool) && lb_pool_parse(&b->pool, b->cfg->pool, &e) < 0);
	b->n_subs = b->cfg->off ? 1 : N_OF;
	for (size_t i = 0; i < b->n_subs; i++)
		b->subs[i] = (struct book_sub){ b, informer_get(ctl_run_client(run),
							       schema_res(kinds[i].group, kinds[i].plural), NULL), false };
	for (size_t i = b->n_subs; i-- > 0;)
		informer_subscribe(b->subs[i].informer, &book_ops, &b->subs[i]);
	return b;
}

void lb_book_close(struct lb_book *b)
{
	for (size_t i = 0; i < b->n_subs; i++)
		informer_unsubscribe(b->subs[i].informer, &b->subs[i]);
	map_free(b->by_address);
	map_free(b->services);
	map_free(b->nodes);
	map_free(b->pods);
	VEC_RELEASE(&b->order);
	lb_pool_release(&b->pool);
	buf_release(&b->text);
	free(b);
}

/* --- questions --- */

struct lb_service *lb_book_service(struct lb_book *b, const char *key)
{
	return map_getc(b->services, key);
}

struct lb_node *lb_book_node(struct lb_book *b, struct lb_node *prev)
{
	size_t i = 0;

	while (prev && b->order.v[i++] != prev)
		;
	return i < b->order.n ? b->order.v[i] : NULL;
}

const struct lb_pool *lb_book_pool(const struct lb_book *b)
{
	return b->pool.ranges.n ? &b->pool : NULL;
}

static const char *book_say(struct lb_book *b, const char *what, const char *name)
{
	buf_clear(&b->text);
	buf_addf(&b->text, "%s%s", what, name);
	return b->text.s;
}

static const char *book_part(struct lb_book *b, const char *address, uint32_t port)
{
	for (const struct ctl_lb_port *p = b->cfg->taken; p && p->what; p++)
		if (LB_PORT(book_protocol(p->protocol), p->port) == port &&
		    (str_empty(p->address) || streq(p->address, address)))
			return book_say(b, p->what, "");
	return NULL;
}

/* "TCP/22=sshd,TCP/8080": what the node says of that port; who: the process that has it, else of length 0. */
static bool book_node_says(const struct lb_node *n, uint32_t port, struct str *who)
{
	struct str rest = str_of(n->listeners);
	char want[16];

	snprintf(want, sizeof(want), "%s/%u", book_protocol_name(port), port & 0xffff);
	while (rest.p) {
		*who = str_cut(&rest, ',');
		if (str_eqc(str_cut(who, '='), want))
			return true;
	}
	return false;
}

static const char *book_listener(struct lb_book *b, const struct lb_node *n, uint32_t port)
{
	struct str who;

	if (!book_node_says(n, port, &who) || !who.n)
		return NULL;
	buf_clear(&b->text);
	buf_addf(&b->text, "a process of the machine (%" STR_FMT ")", STR_ARG(who));
	return b->text.s;
}

bool lb_book_is_known(const struct lb_node *n, uint32_t port)
{
	struct str who;

	return !n->listeners || book_node_says(n, port, &who);
}

static const char *book_pod(struct lb_book *b, const struct lb_node *n, const char *address, uint32_t port)
{
	struct map_iter it = { 0 };

	while (map_next(b->pods, &it)) {
		const struct book_pod *p = it.value;

		if (!streq(p->node, n->name))
			continue;
		for (size_t i = 0; i < p->ports.n; i++)
			if (p->ports.v[i] == port && (!*p->addresses.v[i] || streq(p->addresses.v[i], address)))
				return book_say(b, "the host port of Pod ", p->key);
	}
	return NULL;
}

/* Of those that have the address; s itself may have it too, and then the older keeps it. */
static bool service_is_before(const struct lb_service *other, const struct lb_service *s, const char *address)
{
	if (other == s)
		return false;
	return !texts_have(&s->addresses, address) || book_by_age(&other, &s) < 0;
}

static const char *book_service(struct lb_book *b, const struct lb_service *s, const char *address, uint32_t port)
{
	const book_list *l = map_getc(b->by_address, address);

	for (size_t i = 0; l && i < l->n; i++)
		if (l->v[i]->mode == LB_NODES && ports_have(&l->v[i]->ports, port) && service_is_before(l->v[i], s, address))
			return book_say(b, "Service ", l->v[i]->key);
	return NULL;
}

const char *lb_book_holder(struct lb_book *b, const struct lb_service *s, const struct lb_node *n, const char *address,
			   uint32_t port)
{
	const char *who = book_part(b, address, port);

	if (!who)
		who = book_service(b, s, address, port);
	if (who || texts_have(&s->addresses, address))
		return who;
	who = book_pod(b, n, address, port);
	return who ? who : book_listener(b, n, port);
}

/* May both have one address? Not when an answer to one could be taken for one of the other, nor when they would want
 * it on different nodes. */
static bool service_may_share(const struct lb_service *a, const struct lb_service *b)
{
	return !str_empty(a->sharing) && streq_null(a->sharing, b->sharing) && !a->local && !b->local &&
	       !ports_meet(&a->ports, &b->ports);
}

const char *lb_book_owner(struct lb_book *b, const struct lb_service *s, const char *address)
{
	const book_list *l = map_getc(b->by_address, address);

	for (size_t i = 0; i < b->order.n; i++)
		for (size_t k = 0; k < b->order.v[i]->addresses.n; k++)
			if (streq(b->order.v[i]->addresses.v[k].text, address))
				return book_say(b, "Node ", b->order.v[i]->name);
	for (size_t i = 0; l && i < l->n; i++)
		if (service_is_before(l->v[i], s, address) && !service_may_share(s, l->v[i]))
			return book_say(b, "Service ", l->v[i]->key);
	return NULL;
}

bool lb_book_shares(struct lb_book *b, const struct lb_service *s, const char *address)
{
	const book_list *l = map_getc(b->by_address, address);

	for (size_t i = 0; l && i < l->n; i++)
		if (l->v[i] != s && service_may_share(s, l->v[i]))
			return true;
	return false;
}
