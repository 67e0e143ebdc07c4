/*
 * Sets of addresses and ports: what is in them, and how often. An address is in a
 * set as long as one pod has it; the kernel hears of the first and the last.
 */
#include <netinet/in.h>

#include "svc/policy.h"

static int pol_elem_cmp(struct pol_elem *a, struct pol_elem *b)
{
	return memcmp(&a->e, &b->e, sizeof(a->e));
}

RB_GENERATE_INTERNAL(pol_elems, pol_elem, link, pol_elem_cmp, static UNUSED)

uint8_t pol_protocol(const char *name)
{
	static const struct {
		const char *name;
		uint8_t number;
	} all[] = { { "TCP", IPPROTO_TCP }, { "UDP", IPPROTO_UDP }, { "SCTP", IPPROTO_SCTP }, { "", IPPROTO_TCP } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (streq(name, all[i].name))
			return all[i].number;
	return 0;
}

static void pol_set_changed(struct policy_world *w, struct pol_set *s)
{
	if (s->changed)
		return;
	s->changed = true;
	TAILQ_INSERT_TAIL(&w->sets_changed, s, link_changed);
}

static struct pol_set *pol_set_new(struct policy_world *w, enum net_policy_set kind)
{
	struct pol_set *s = xcalloc(1, sizeof(*s));

	s->kind = kind;
	s->id = ++w->last_id;
	s->users = 1;
	RB_INIT(&s->elems);
	TAILQ_INIT(&s->elems_changed);
	TAILQ_INSERT_TAIL(&w->sets, s, link_all);
	pol_set_changed(w, s);
	return s;
}

static void pol_set_add(struct policy_world *w, struct pol_set *s, const struct net_policy_elem *e, int by)
{
	struct pol_elem want = { .e = *e }, *have = RB_FIND(pol_elems, &s->elems, &want);

	if (!have) {
		BUG_ON(by < 0);
		have = xcalloc(1, sizeof(*have));
		have->e = *e;
		RB_INSERT(pol_elems, &s->elems, have);
	}
	have->count += (unsigned)by;
	if (have->live == (have->count > 0) || have->changed)
		return;
	have->changed = true;
	TAILQ_INSERT_TAIL(&s->elems_changed, have, link_changed);
	pol_set_changed(w, s);
}

/* The pod's first port of that name and protocol. */
static const struct pol_port *pol_pod_port(const struct pol_pod *p, const struct pol_port_name *name)
{
	for (size_t i = 0; i < p->ports.n; i++)
		if (p->ports.v[i].name.protocol == name->protocol && streq(p->ports.v[i].name.name, name->name))
			return &p->ports.v[i];
	return NULL;
}

void pol_set_count(struct policy_world *w, struct pol_set *s, const struct pol_pod *p, int by)
{
	if (s->local && !p->local)
		return;
	for (size_t a = 0; a < p->n_addr; a++) {
		struct net_policy_elem e = { .addr = p->addr[a] };

		if (s->kind == NET_SET_ADDR)
			pol_set_add(w, s, &e, by);
		for (size_t i = 0; i < s->names.n; i++) {
			const struct pol_port *port = pol_pod_port(p, &s->names.v[i]);

			if (!port)
				continue;
			e.protocol = port->name.protocol;
			e.port = port->port;
			pol_set_add(w, s, &e, by);
		}
	}
}

static void pol_set_count_one(struct policy_world *w, struct pol_pod *p, void *arg)
{
	pol_set_count(w, arg, p, 1);
}

static bool pol_names_equal(const pol_names *a, const pol_names *b)
{
	return a->n == b->n && (!a->n || memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0);
}

struct pol_set *pol_set_of_pods(struct policy_world *w, struct pod_sel *sel, enum net_policy_set kind, bool local,
				const pol_names *names)
{
	static const pol_names none = VEC_INIT;
	struct pol_set *s;

	if (!names)
		names = &none;
	TAILQ_FOREACH(s, &sel->sets, link_sel)
		if (s->kind == kind && s->local == local && pol_names_equal(&s->names, names)) {
			s->users++;
			return s;
		}
	s = pol_set_new(w, kind);
	s->sel = pod_sel_ref(sel);
	s->local = local;
	for (size_t i = 0; i < names->n; i++)
		VEC_PUSH(&s->names, names->v[i]);
	TAILQ_INSERT_TAIL(&sel->sets, s, link_sel);
	pod_sel_each(w, sel, pol_set_count_one, s);
	return s;
}

struct pol_set *pol_set_fixed(struct policy_world *w, enum net_policy_set kind, const struct net_policy_elem *v, size_t n)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct pol_set *s;

	buf_addf(&key, "%d ", kind);
	buf_add_hex(&key, v, n * sizeof(*v));
	s = map_get(w->fixed, buf_str(&key));
	if (s) {
		s->users++;
		return s;
	}
	s = pol_set_new(w, kind);
	s->key = buf_detach(&key, NULL);
	map_set(w->fixed, str_of(s->key), s);
	for (size_t i = 0; i < n; i++)
		pol_set_add(w, s, &v[i], 1);
	return s;
}

void pol_set_unref(struct policy_world *w, struct pol_set *s)
{
	if (s && --s->users == 0)
		pol_set_changed(w, s);
}

void pol_set_free(struct policy_world *w, struct pol_set *s)
{
	struct pol_elem *e;

	while ((e = RB_ROOT(&s->elems))) {
		RB_REMOVE(pol_elems, &s->elems, e);
		free(e);
	}
	if (s->changed)
		TAILQ_REMOVE(&w->sets_changed, s, link_changed);
	TAILQ_REMOVE(&w->sets, s, link_all);
	if (s->sel) {
		TAILQ_REMOVE(&s->sel->sets, s, link_sel);
		pod_sel_unref(w, s->sel);
	}
	if (s->key)
		map_del(w->fixed, str_of(s->key));
	free(s->key);
	VEC_RELEASE(&s->names);
	free(s);
}

/* --- what the kernel has to hear --- */

static void pol_set_op(policy_ops *out, enum net_policy_verb verb, const struct pol_set *s, const struct pol_elem *e)
{
	struct net_policy_op op = { .verb = (uint8_t)verb, .set = s->id, .kind = (uint8_t)s->kind };

	if (e)
		op.elem = e->e;
	VEC_PUSH(out, op);
}

static void pol_elem_flush(struct pol_set *s, struct pol_elem *e, policy_ops *out)
{
	TAILQ_REMOVE(&s->elems_changed, e, link_changed);
	e->changed = false;
	if (e->live != (e->count > 0)) {
		e->live = e->count > 0;
		pol_set_op(out, e->live ? NET_POLICY_ADD : NET_POLICY_DEL, s, e);
	}
	if (e->count)
		return;
	RB_REMOVE(pol_elems, &s->elems, e);
	free(e);
}

void pol_sets_flush(struct policy_world *w, policy_ops *out)
{
	struct pol_set *s;
	struct pol_elem *e;

	TAILQ_FOREACH(s, &w->sets_changed, link_changed) {
		if (!s->users)
			continue;
		if (!s->live)
			pol_set_op(out, NET_POLICY_SET, s, NULL);
		s->live = true;
		while ((e = TAILQ_FIRST(&s->elems_changed)))
			pol_elem_flush(s, e, out);
	}
}

void pol_sets_sweep(struct policy_world *w, policy_ops *out)
{
	struct pol_set *s, *next;

	TAILQ_FOREACH_SAFE(s, &w->sets_changed, link_changed, next) {
		TAILQ_REMOVE(&w->sets_changed, s, link_changed);
		s->changed = false;
		if (s->users)
			continue;
		if (s->live)
			pol_set_op(out, NET_POLICY_UNSET, s, NULL);
		pol_set_free(w, s);
	}
}

void pol_sets_forget(struct policy_world *w)
{
	struct pol_set *s;
	struct pol_elem *e;

	TAILQ_FOREACH(s, &w->sets, link_all) {
		s->live = false;
		pol_set_changed(w, s);
		RB_FOREACH(e, pol_elems, &s->elems) {
			e->live = false;
			if (e->changed)
				continue;
			e->changed = true;
			TAILQ_INSERT_TAIL(&s->elems_changed, e, link_changed);
		}
	}
}
