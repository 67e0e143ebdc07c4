/*
 * A NetworkPolicy's text as selectors, sets and rules.
 *
 * As in Kubernetes: without policyTypes a policy isolates its pods for what comes
 * in, and for what goes out if it has an egress section; a rule without peers is for
 * everybody, one without ports for all traffic; a port without a number is all ports
 * of its protocol. A named port is that of the pod which the traffic goes to: of
 * the policy's own pods coming in, going out of the peers, or of any pod where the
 * rule is for everybody. An ipBlock has no pods, so there is no port by name at it.
 */
#include <stdio.h>

#include "base/limits.h"
#include "obj/obj.h"
#include "svc/policy.h"

/* One rule of the object while it is read. */
struct rule_parts {
	bool anybody, any_port;
	VEC(struct pod_sel *) sels; /* references */
	VEC(struct net_policy_elem) blocks, ports;
	pol_names names;
};

static void rule_release(struct policy_world *w, struct rule_parts *r)
{
	for (size_t i = 0; i < r->sels.n; i++)
		pod_sel_unref(w, r->sels.v[i]);
	VEC_RELEASE(&r->sels);
	VEC_RELEASE(&r->blocks);
	VEC_RELEASE(&r->ports);
	VEC_RELEASE(&r->names);
}

static int rule_everything(struct selector **ret, struct err *e)
{
	return selector_parse(ret, STR_LIT(""), e);
}

/* --- addresses --- */

static void block_range(const struct net_prefix *p, struct net_addr *first, struct net_addr *last)
{
	*first = *last = p->addr;
	for (unsigned i = 0; i < 8 * net_addr_len(&p->addr); i++) {
		if (i < p->bits)
			continue;
		first->b[i / 8] &= (uint8_t)~(0x80 >> i % 8);
		last->b[i / 8] |= (uint8_t)(0x80 >> i % 8);
	}
}

/* The next address (by 1) or the one before (by -1); false: there is none. */
static bool addr_step(struct net_addr *a, int by)
{
	for (size_t i = net_addr_len(a); i-- > 0;) {
		a->b[i] = (uint8_t)(a->b[i] + by);
		if (a->b[i] != (by > 0 ? 0 : 0xff))
			return true;
	}
	return false;
}

static int addr_cmp(const struct net_addr *a, const struct net_addr *b)
{
	return a->family != b->family ? a->family - b->family : memcmp(a->b, b->b, sizeof(a->b));
}

static int elem_cmp(const void *a, const void *b)
{
	const struct net_policy_elem *x = a, *y = b;
	int c = addr_cmp(&x->addr, &y->addr);

	if (c)
		return c;
	return x->protocol != y->protocol ? x->protocol - y->protocol : x->port - y->port;
}

typedef VEC(struct net_policy_elem) elem_list;

static int block_excepts(const struct node *block, elem_list *out, struct err *e)
{
	struct net_prefix p;

	NODE_FOREACH(c, node_get(block, F_except)) {
		struct net_policy_elem x = { .protocol = 0 };

		if (!net_prefix_parse(&p, node_cstr_or(c, "")))
			return err_set(e, ERR_INVALID, "'%s' is no network", node_cstr_or(c, ""));
		block_range(&p, &x.addr, &x.last);
		VEC_PUSH(out, x);
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), elem_cmp);
	return 0;
}

/* What is left of the block, in pieces. */
static void block_cut(struct rule_parts *r, struct net_policy_elem block, const elem_list *excepts)
{
	for (size_t i = 0; i < excepts->n; i++) {
		struct net_policy_elem piece = block;
		const struct net_policy_elem *x = &excepts->v[i];

		if (x->addr.family != block.addr.family || addr_cmp(&x->last, &block.addr) < 0 ||
		    addr_cmp(&x->addr, &block.last) > 0)
			continue;
		if (addr_cmp(&x->addr, &block.addr) > 0) {
			piece.last = x->addr;
			(void)addr_step(&piece.last, -1);
			VEC_PUSH(&r->blocks, piece);
		}
		block.addr = x->last;
		if (addr_cmp(&x->last, &block.last) >= 0 || !addr_step(&block.addr, 1))
			return;
	}
	VEC_PUSH(&r->blocks, block);
}

static int rule_block(struct rule_parts *r, const struct node *block, struct err *e)
{
	const char *cidr = node_gets(block, F_cidr);
	struct net_policy_elem whole = { .protocol = 0 };
	elem_list excepts = VEC_INIT;
	struct net_prefix p;
	int rc;

	if (!net_prefix_parse(&p, cidr))
		return err_set(e, ERR_INVALID, "'%s' is no network", cidr);
	block_range(&p, &whole.addr, &whole.last);
	rc = block_excepts(block, &excepts, e);
	if (rc == 0)
		block_cut(r, whole, &excepts);
	VEC_RELEASE(&excepts);
	return rc;
}

static void blocks_merge(struct rule_parts *r)
{
	struct net_policy_elem *v = r->blocks.v;
	size_t n = 0;

	if (!r->blocks.n)
		return;
	qsort(v, r->blocks.n, sizeof(*v), elem_cmp);
	for (size_t i = 1; i < r->blocks.n; i++) {
		struct net_addr behind = v[n].last;
		bool more = addr_step(&behind, 1);

		if (v[i].addr.family != v[n].addr.family || (more && addr_cmp(&v[i].addr, &behind) > 0))
			v[++n] = v[i];
		else if (addr_cmp(&v[i].last, &v[n].last) > 0)
			v[n].last = v[i].last;
	}
	r->blocks.n = n + 1;
}

/* --- ports --- */

static int rule_port(struct rule_parts *r, const struct node *n, struct err *e)
{
	const struct node *port = node_get(n, F_port);
	struct net_policy_elem x = { .protocol = pol_protocol(node_gets(n, F_protocol)), .last_port = 65535 };
	struct pol_port_name name = { .protocol = x.protocol };

	if (!x.protocol)
		return err_set(e, ERR_INVALID, "the protocol '%s' is not known", node_gets(n, F_protocol));
	if (node_is(port, DOC_STRING)) {
		if (node_str(port).n >= sizeof(name.name))
			return err_set(e, ERR_INVALID, "'%s' is no port's name", node_cstr(port));
		memcpy(name.name, node_str(port).p, node_str(port).n);
		VEC_PUSH(&r->names, name);
		return 0;
	}
	if (node_is(port, DOC_INT)) {
		x.port = (uint16_t)node_int(port, 0);
		x.last_port = (uint16_t)node_int(node_get(n, F_endPort), x.port);
	}
	VEC_PUSH(&r->ports, x);
	return 0;
}

static void ports_merge(struct rule_parts *r)
{
	struct net_policy_elem *v = r->ports.v;
	size_t n = 0;

	if (!r->ports.n)
		return;
	qsort(v, r->ports.n, sizeof(*v), elem_cmp);
	for (size_t i = 1; i < r->ports.n; i++)
		if (v[i].protocol != v[n].protocol || v[i].port > v[n].last_port + 1)
			v[++n] = v[i];
		else if (v[i].last_port > v[n].last_port)
			v[n].last_port = v[i].last_port;
	r->ports.n = n + 1;
}

/* --- peers --- */

static int rule_pods(struct policy_world *w, struct rule_parts *r, const char *ns, const struct node *peer, struct err *e)
{
	const struct node *in = node_get(peer, F_namespaceSelector), *pods = node_get(peer, F_podSelector);
	struct selector *ns_sel = NULL, *pod_sel = NULL;

	if (in && selector_from_node(&ns_sel, in, e) < 0)
		return err_wrap(e, "namespaceSelector");
	if ((pods ? selector_from_node(&pod_sel, pods, e) : rule_everything(&pod_sel, e)) < 0) {
		selector_free(ns_sel);
		return err_wrap(e, "podSelector");
	}
	VEC_PUSH(&r->sels, pod_sel_get(w, in ? NULL : ns, ns_sel, pod_sel));
	return 0;
}

static int rule_read(struct policy_world *w, struct rule_parts *r, const char *ns, const struct node *rule,
		     enum net_dir dir, struct err *e)
{
	const struct node *peers = node_get(rule, dir == NET_IN ? F_from : F_to), *ports = node_get(rule, F_ports);

	r->anybody = node_count(peers) == 0;
	r->any_port = node_count(ports) == 0;
	NODE_FOREACH(c, peers) {
		const struct node *block = node_get(c, F_ipBlock);

		if ((block ? rule_block(r, block, e) : rule_pods(w, r, ns, c, e)) < 0)
			return -e->code;
	}
	NODE_FOREACH(c, ports)
		if (rule_port(r, c, e) < 0)
			return -e->code;
	blocks_merge(r);
	ports_merge(r);
	return 0;
}

/* --- rules --- */

static void rule_add(struct policy *p, enum net_dir dir, struct pol_set *peer, struct pol_set *port)
{
	VEC_PUSH(&p->rules[dir], ((struct pol_rule){ peer, port }));
}

/* A new reference each time; NULL: anybody. */
static struct pol_set *rule_peer(struct policy_world *w, const struct rule_parts *r, struct pod_sel *sel, bool blocks)
{
	if (sel)
		return pol_set_of_pods(w, sel, NET_SET_ADDR, false, NULL);
	return blocks ? pol_set_fixed(w, NET_SET_BLOCK, r->blocks.v, r->blocks.n) : NULL;
}

static void rule_for_peer(struct policy_world *w, struct policy *p, enum net_dir dir, const struct rule_parts *r,
			  struct pod_sel *sel, bool blocks)
{
	if (r->any_port)
		rule_add(p, dir, rule_peer(w, r, sel, blocks), NULL);
	if (r->ports.n)
		rule_add(p, dir, rule_peer(w, r, sel, blocks),
			 pol_set_fixed(w, NET_SET_PORT, r->ports.v, r->ports.n));
	if (r->names.n && dir == NET_IN)
		rule_add(p, dir, rule_peer(w, r, sel, blocks),
			 pol_set_of_pods(w, p->target, NET_SET_POD_PORT, true, &r->names));
	else if (r->names.n && sel) /* its set names the addresses, too */
		rule_add(p, dir, NULL, pol_set_of_pods(w, sel, NET_SET_POD_PORT, false, &r->names));
}

/* To any pod that has a port of that name. */
static int rule_for_any_pod(struct policy_world *w, struct policy *p, const struct rule_parts *r, struct err *e)
{
	struct selector *namespaces = NULL, *pods = NULL;
	struct pod_sel *all;

	if (rule_everything(&namespaces, e) < 0)
		return -e->code;
	if (rule_everything(&pods, e) < 0) {
		selector_free(namespaces);
		return -e->code;
	}
	all = pod_sel_get(w, NULL, namespaces, pods);
	rule_add(p, NET_OUT, NULL, pol_set_of_pods(w, all, NET_SET_POD_PORT, false, &r->names));
	pod_sel_unref(w, all);
	return 0;
}

static int rule_build(struct policy_world *w, struct policy *p, enum net_dir dir, const struct rule_parts *r, struct err *e)
{
	for (size_t i = 0; i < r->sels.n; i++)
		rule_for_peer(w, p, dir, r, r->sels.v[i], false);
	if (r->blocks.n)
		rule_for_peer(w, p, dir, r, NULL, true);
	if (r->anybody)
		rule_for_peer(w, p, dir, r, NULL, false);
	if (r->anybody && r->names.n && dir == NET_OUT && rule_for_any_pod(w, p, r, e) < 0)
		return -e->code;
	if (p->rules[dir].n > LIMIT_POLICY_RULES)
		return err_set(e, ERR_INVALID, "it has more than %d peers", LIMIT_POLICY_RULES);
	return 0;
}

static int policy_read_rules(struct policy_world *w, struct policy *p, const char *ns, const struct node *spec,
			     enum net_dir dir, struct err *e)
{
	NODE_FOREACH(c, node_get(spec, dir == NET_IN ? F_ingress : F_egress)) {
		struct rule_parts r = { .anybody = false };
		int rc = rule_read(w, &r, ns, c, dir, e);

		if (rc == 0)
			rc = rule_build(w, p, dir, &r, e);
		rule_release(w, &r);
		if (rc < 0)
			return err_wrap(e, "%s", dir == NET_IN ? "ingress" : "egress");
	}
	return 0;
}

static void policy_read_types(struct policy *p, const struct node *spec)
{
	const struct node *types = node_get(spec, F_policyTypes);

	p->has[NET_IN] = node_count(types) == 0;
	p->has[NET_OUT] = node_count(types) == 0 && node_count(node_get(spec, F_egress));
	NODE_FOREACH(c, types) {
		p->has[NET_IN] |= node_streq(c, "Ingress");
		p->has[NET_OUT] |= node_streq(c, "Egress");
	}
}

/* --- policies that come, change and go --- */

static void policy_changed(struct policy_world *w, struct policy *p)
{
	if (p->changed)
		return;
	p->changed = true;
	TAILQ_INSERT_TAIL(&w->policies_changed, p, link_changed);
}

static void policy_regroup_pod(struct policy_world *w, struct pol_pod *p, void *arg UNUSED)
{
	if (p->local)
		pol_guard_pod(w, p);
}

static void policy_unaim(struct policy_world *w, struct policy *p)
{
	struct pod_sel *s = p->target;

	for (size_t i = 0; i < s->targets.n; i++)
		if (s->targets.v[i] == p) {
			VEC_REMOVE(&s->targets, i);
			break;
		}
	pod_sel_each(w, s, policy_regroup_pod, NULL);
	p->target = NULL;
	pod_sel_unref(w, s);
}

static void policy_aim(struct policy_world *w, struct policy *p, struct pod_sel *target)
{
	p->target = target;
	VEC_PUSH(&target->targets, p);
	pod_sel_each(w, target, policy_regroup_pod, NULL);
}

static void policy_clear(struct policy_world *w, struct policy *p)
{
	for (int dir = 0; dir < POL_DIRS; dir++) {
		for (size_t i = 0; i < p->rules[dir].n; i++) {
			pol_set_unref(w, p->rules[dir].v[i].peer);
			pol_set_unref(w, p->rules[dir].v[i].port);
		}
		VEC_RELEASE(&p->rules[dir]);
	}
}

static void policy_free(struct policy_world *w, struct policy *p)
{
	if (p->changed)
		TAILQ_REMOVE(&w->policies_changed, p, link_changed);
	policy_clear(w, p);
	free(p->key);
	free(p->uid);
	free(p);
}

static struct policy *policy_new(struct policy_world *w, const struct node *root, const char *key)
{
	struct policy *p = xcalloc(1, sizeof(*p));

	p->key = xstrdup(key);
	p->uid = xstrdup(meta_uid(root));
	p->generation = node_int(node_get(meta_of(root), F_generation), 0);
	p->chain[NET_IN] = ++w->last_id;
	p->chain[NET_OUT] = ++w->last_id;
	return p;
}

static int policy_read(struct policy_world *w, struct policy *p, const char *ns, const struct node *spec, struct err *e)
{
	for (int dir = 0; dir < POL_DIRS; dir++)
		if (p->has[dir] && policy_read_rules(w, p, ns, spec, (enum net_dir)dir, e) < 0) {
			policy_clear(w, p);
			return -e->code;
		}
	return 0;
}

/* What the new one has in common with the old one (sets, its chains' numbers) stays. */
static void policy_take_over(struct policy_world *w, struct policy *old, struct policy *p)
{
	bool as_before = old->has[NET_IN] == p->has[NET_IN] && old->has[NET_OUT] == p->has[NET_OUT];
	struct pod_sel *target = p->target;

	for (int dir = 0; dir < POL_DIRS; dir++) {
		__typeof__(p->rules[0]) rules = p->rules[dir];

		memcpy(&p->rules[dir], &old->rules[dir], sizeof(rules));
		memcpy(&old->rules[dir], &rules, sizeof(rules));
		old->has[dir] = p->has[dir];
	}
	old->generation = p->generation;
	free(old->uid);
	old->uid = take_ptr(&p->uid);
	policy_free(w, p);
	policy_changed(w, old);
	if (old->target == target && as_before) {
		pod_sel_unref(w, target);
		return;
	}
	policy_unaim(w, old);
	policy_aim(w, old, target);
}

int policy_put(struct policy_world *w, const struct node *root, struct err *e)
{
	const struct node *spec = node_get(root, F_spec), *pods = node_get(spec, F_podSelector);
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct policy *old, *p;
	struct selector *sel;
	struct pod_sel *target;
	int rc;

	obj_key_print(&key, meta_ns(root), meta_name(root));
	old = map_get(w->policies, buf_str(&key));
	if (old && old->generation && old->generation == node_int(node_get(meta_of(root), F_generation), 0) &&
	    streq(old->uid, meta_uid(root)))
		return 0;
	if ((pods ? selector_from_node(&sel, pods, e) : rule_everything(&sel, e)) < 0)
		return err_wrap(e, "it selects no pods: podSelector");
	p = policy_new(w, root, key.s);
	p->target = target = pod_sel_get(w, meta_ns(root), NULL, sel);
	policy_read_types(p, spec);
	rc = policy_read(w, p, meta_ns(root), spec, e);
	if (old) {
		policy_take_over(w, old, p);
		return rc;
	}
	map_set(w->policies, buf_str(&key), p);
	policy_changed(w, p);
	policy_aim(w, p, target);
	return rc;
}

void policy_drop(struct policy_world *w, const char *ns, const char *name)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct policy *p;

	obj_key_print(&key, ns, name);
	p = map_take(w->policies, buf_str(&key));
	if (!p)
		return;
	policy_unaim(w, p);
	p->gone = true;
	policy_changed(w, p);
}

/* --- what the kernel has to hear --- */

static void policy_flush_dir(struct policy *p, enum net_dir dir, policy_ops *out)
{
	p->live[dir] = true;
	VEC_PUSH(out, ((struct net_policy_op){ .verb = NET_POLICY_CHAIN, .chain = p->chain[dir] }));
	for (size_t i = 0; i < p->rules[dir].n; i++) {
		const struct pol_rule *r = &p->rules[dir].v[i];

		VEC_PUSH(out, ((struct net_policy_op){ .verb = NET_POLICY_ACCEPT, .chain = p->chain[dir],
						       .dir = (uint8_t)dir, .peer = r->peer ? r->peer->id : 0,
						       .set = r->port ? r->port->id : 0,
						       .kind = r->port ? (uint8_t)r->port->kind : 0 }));
	}
}

void policies_flush(struct policy_world *w, policy_ops *out)
{
	struct policy *p;

	TAILQ_FOREACH(p, &w->policies_changed, link_changed)
		for (int dir = 0; dir < POL_DIRS && !p->gone; dir++)
			if (p->has[dir])
				policy_flush_dir(p, (enum net_dir)dir, out);
}

void policies_sweep(struct policy_world *w, policy_ops *out)
{
	struct policy *p, *next;

	TAILQ_FOREACH_SAFE(p, &w->policies_changed, link_changed, next) {
		TAILQ_REMOVE(&w->policies_changed, p, link_changed);
		p->changed = false;
		for (int dir = 0; dir < POL_DIRS; dir++) {
			if (!p->live[dir] || (p->has[dir] && !p->gone))
				continue;
			p->live[dir] = false;
			VEC_PUSH(out, ((struct net_policy_op){ .verb = NET_POLICY_UNCHAIN, .chain = p->chain[dir] }));
		}
		if (p->gone)
			policy_free(w, p);
	}
}

void policies_forget(struct policy_world *w)
{
	struct map_iter it = { 0 };

	while (map_next(w->policies, &it)) {
		struct policy *p = it.value;

		p->live[NET_IN] = p->live[NET_OUT] = false;
		policy_changed(w, p);
	}
}

/* Guards, which hold on to groups, are gone. */
void policies_release(struct policy_world *w)
{
	struct map_iter it = { 0 };
	struct policy *p;

	while (map_next(w->policies, &it)) {
		p = it.value;
		pod_sel_unref(w, p->target);
		policy_free(w, p);
	}
	while ((p = TAILQ_FIRST(&w->policies_changed)))
		policy_free(w, p);
}
