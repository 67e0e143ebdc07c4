/*
 * Namespaces and pods, as far as policies ask: labels, named ports, addresses; and
 * the selectors that select them.
 *
 * A pod that is over, or has the node's address, is nobody's peer and is guarded by
 * no policy, as with other implementations. Of a pod of this node, its address is
 * the one that it was attached with, so that it is known before any status tells.
 */
#include <netinet/in.h>
#include <stdio.h>

#include "obj/obj.h"
#include "svc/policy.h"

#define POD_MIRROR "kubernetes.io/config.mirror" /* of a static pod: what the node calls it */

static int pol_pod_cmp(struct pol_pod *a, struct pol_pod *b)
{
	return strcmp(a->name, b->name);
}

RB_GENERATE_INTERNAL(pol_pods, pol_pod, link, pol_pod_cmp, static UNUSED)

/* --- labels in one piece of memory --- */

static char *labels_pack(const struct node *labels)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	NODE_FOREACH(c, labels) {
		buf_addstr(&b, node_key(c));
		buf_addch(&b, '\0');
		buf_adds(&b, node_cstr_or(c, ""));
		buf_addch(&b, '\0');
	}
	buf_addch(&b, '\0');
	return xmemdup(b.s, b.len);
}

static const char *labels_get(const void *labels, const char *key)
{
	for (const char *p = labels; *p;) {
		const char *value = p + strlen(p) + 1;

		if (streq(p, key))
			return value;
		p = value + strlen(value) + 1;
	}
	return NULL;
}

static size_t labels_size(const char *labels)
{
	const char *p = labels;

	while (*p) {
		p += strlen(p) + 1;
		p += strlen(p) + 1;
	}
	return (size_t)(p - labels) + 1;
}

static bool labels_equal(const char *a, const char *b)
{
	size_t n;

	if (!a || !b)
		return a == b;
	n = labels_size(a);
	return n == labels_size(b) && memcmp(a, b, n) == 0;
}

/* --- selectors --- */

static bool pod_sel_for_ns(const struct pod_sel *s, const struct pol_ns *n)
{
	return s->ns ? streq(s->ns, n->name) : n->labels && selector_match_by(s->ns_sel, labels_get, n->labels);
}

bool pod_sel_has(const struct pod_sel *s, const struct pol_pod *p)
{
	return selector_match_by(s->pod_sel, labels_get, p->labels);
}

static ssize_t pol_ns_find(const struct pol_ns *n, const struct pod_sel *s)
{
	for (size_t i = 0; i < n->sels.n; i++)
		if (n->sels.v[i] == s)
			return (ssize_t)i;
	return -1;
}

static struct pol_ns *pol_ns_get(struct policy_world *w, const char *name)
{
	struct pol_ns *n = map_getc(w->namespaces, name);
	struct pod_sel *s;

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	n->name = xstrdup(name);
	RB_INIT(&n->pods);
	map_set(w->namespaces, str_of(name), n);
	LIST_FOREACH(s, &w->ns_sels, link)
		if (pod_sel_for_ns(s, n))
			VEC_PUSH(&n->sels, s);
	return n;
}

static void pol_ns_put_back(struct policy_world *w, struct pol_ns *n)
{
	if (n->labels || n->sels.n || !RB_EMPTY(&n->pods))
		return;
	map_take(w->namespaces, str_of(n->name));
	VEC_RELEASE(&n->sels);
	free(n->name);
	free(n);
}

static struct pod_sel *pod_sel_new(struct policy_world *w, const char *ns, struct selector *ns_sel,
				   struct selector *pod_sel)
{
	struct pod_sel *s = xcalloc(1, sizeof(*s));
	struct map_iter it = { 0 };

	s->ns = xstrdup_null(ns);
	s->ns_sel = ns_sel;
	s->pod_sel = pod_sel;
	TAILQ_INIT(&s->sets);
	if (ns) {
		struct pol_ns *n = pol_ns_get(w, ns);

		VEC_PUSH(&n->sels, s);
		return s;
	}
	while (map_next(w->namespaces, &it)) {
		struct pol_ns *n = it.value;

		if (pod_sel_for_ns(s, n))
			VEC_PUSH(&n->sels, s);
	}
	LIST_INSERT_HEAD(&w->ns_sels, s, link);
	return s;
}

struct pod_sel *pod_sel_get(struct policy_world *w, const char *ns, struct selector *ns_sel, struct selector *pod_sel)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	struct pod_sel *s;

	buf_addf(&key, "%s/", ns ? ns : "");
	if (ns_sel)
		selector_print(ns_sel, &key);
	buf_addch(&key, '\n'); /* which no key and no value has */
	selector_print(pod_sel, &key);
	s = map_get(w->sels, buf_str(&key));
	if (s) {
		selector_free(ns_sel);
		selector_free(pod_sel);
		return pod_sel_ref(s);
	}
	s = pod_sel_new(w, ns, ns_sel, pod_sel);
	s->refs = 1;
	s->key = buf_detach(&key, NULL);
	map_set(w->sels, str_of(s->key), s);
	return s;
}

struct pod_sel *pod_sel_ref(struct pod_sel *s)
{
	s->refs++;
	return s;
}

static void pol_ns_leave(struct policy_world *w, struct pol_ns *n, const struct pod_sel *s)
{
	ssize_t at = n ? pol_ns_find(n, s) : -1;

	if (at < 0)
		return;
	n->sels.v[at] = n->sels.v[--n->sels.n];
	pol_ns_put_back(w, n);
}

void pod_sel_unref(struct policy_world *w, struct pod_sel *s)
{
	struct map_iter it = { 0 };

	if (!s || --s->refs)
		return;
	if (s->ns) {
		pol_ns_leave(w, map_getc(w->namespaces, s->ns), s);
	} else {
		while (map_next(w->namespaces, &it))
			pol_ns_leave(w, it.value, s);
		LIST_REMOVE(s, link);
	}
	map_take(w->sels, str_of(s->key));
	BUG_ON(!TAILQ_EMPTY(&s->sets));
	selector_free(s->ns_sel);
	selector_free(s->pod_sel);
	VEC_RELEASE(&s->targets);
	free(s->ns);
	free(s->key);
	free(s);
}

static void pod_sel_each_of(struct policy_world *w, struct pod_sel *s, struct pol_ns *n,
			    void (*f)(struct policy_world *, struct pol_pod *, void *), void *arg)
{
	struct pol_pod *p;

	RB_FOREACH(p, pol_pods, &n->pods)
		if (pod_sel_has(s, p))
			f(w, p, arg);
}

void pod_sel_each(struct policy_world *w, struct pod_sel *s, void (*f)(struct policy_world *, struct pol_pod *, void *),
		  void *arg)
{
	struct map_iter it = { 0 };

	if (s->ns) {
		pod_sel_each_of(w, s, map_getc(w->namespaces, s->ns), f, arg);
		return;
	}
	while (map_next(w->namespaces, &it))
		if (pod_sel_for_ns(s, it.value))
			pod_sel_each_of(w, s, it.value, f, arg);
}

static void pod_sel_count(struct policy_world *w, struct pod_sel *s, const struct pol_pod *p, int by)
{
	struct pol_set *set;

	TAILQ_FOREACH(set, &s->sets, link_sel)
		pol_set_count(w, set, p, by);
}

/* --- namespaces --- */

static void pod_sel_count_ns(struct policy_world *w, struct pod_sel *s, struct pol_ns *n, int by)
{
	struct pol_pod *p;

	RB_FOREACH(p, pol_pods, &n->pods)
		if (pod_sel_has(s, p))
			pod_sel_count(w, s, p, by);
}

static void pol_ns_label(struct policy_world *w, struct pol_ns *n, char *labels_take)
{
	struct pod_sel *s;

	if (labels_equal(n->labels, labels_take)) {
		free(labels_take);
		return;
	}
	free(n->labels);
	n->labels = labels_take;
	LIST_FOREACH(s, &w->ns_sels, link) {
		ssize_t at = pol_ns_find(n, s);
		bool has = pod_sel_for_ns(s, n);

		if (has == (at >= 0))
			continue;
		if (has)
			VEC_PUSH(&n->sels, s);
		else
			n->sels.v[at] = n->sels.v[--n->sels.n];
		pod_sel_count_ns(w, s, n, has ? 1 : -1);
	}
}

void policy_put_namespace(struct policy_world *w, const struct node *root)
{
	pol_ns_label(w, pol_ns_get(w, meta_name(root)), labels_pack(meta_labels(root)));
}

void policy_drop_namespace(struct policy_world *w, const char *name)
{
	struct pol_ns *n = map_getc(w->namespaces, name);

	if (!n)
		return;
	pol_ns_label(w, n, NULL);
	pol_ns_put_back(w, n);
}

/* --- pods --- */

static struct pol_pod *pol_pod_free(struct pol_pod *p)
{
	if (!p)
		return NULL;
	VEC_RELEASE(&p->ports);
	free(p->name);
	free(p->id);
	free(p->labels);
	free(p);
	return NULL;
}

static void pod_read_ports(struct pol_pod *p, const struct node *containers, bool init)
{
	NODE_FOREACH(c, containers) {
		if (init && !streq(node_gets(c, F_restartPolicy), "Always"))
			continue;
		NODE_FOREACH(port, node_get(c, F_ports)) {
			const char *name = node_gets(port, F_name);
			struct pol_port new = { .name.protocol = pol_protocol(node_gets(port, F_protocol)),
						.port = (uint16_t)node_int(node_get(port, F_containerPort), 0) };

			if (!*name || strlen(name) >= sizeof(new.name.name) || !new.name.protocol || !new.port)
				continue;
			memcpy(new.name.name, name, strlen(name));
			VEC_PUSH(&p->ports, new);
		}
	}
}

static void pod_read_status(struct pol_pod *p, const struct node *status)
{
	NODE_FOREACH(c, node_get(status, F_podIPs))
		if (p->n_addr < ARRAY_SIZE(p->addr) && net_addr_parse(&p->addr[p->n_addr], node_gets(c, F_ip)))
			p->n_addr++;
	if (!p->n_addr && *node_gets(status, F_podIP) && net_addr_parse(&p->addr[0], node_gets(status, F_podIP)))
		p->n_addr = 1;
}

static struct pol_pod *pod_read(const struct policy_world *w, const struct node *root)
{
	const struct node *spec = node_get(root, F_spec), *status = node_get(root, F_status);
	const char *phase = node_gets(status, F_phase), *mirror = meta_annotation(root, POD_MIRROR);
	bool over = streq(phase, "Succeeded") || streq(phase, "Failed");
	struct pol_pod *p = xcalloc(1, sizeof(*p));

	p->name = xstrdup(meta_name(root));
	p->id = xstrdup(mirror ? mirror : meta_uid(root));
	p->labels = labels_pack(meta_labels(root));
	if (over || node_bool(node_get(spec, F_hostNetwork), false))
		return p;
	p->local = streq(node_gets(spec, F_nodeName), w->node);
	pod_read_ports(p, node_get(spec, F_containers), false);
	pod_read_ports(p, node_get(spec, F_initContainers), true);
	if (p->local && w->addresses)
		p->n_addr = (uint8_t)w->addresses(w->arg, p->id, p->addr);
	else
		pod_read_status(p, status);
	return p;
}

static bool pod_same(const struct pol_pod *a, const struct pol_pod *b)
{
	if (a->local != b->local || a->n_addr != b->n_addr || a->ports.n != b->ports.n || !streq(a->id, b->id) ||
	    !labels_equal(a->labels, b->labels))
		return false;
	for (size_t i = 0; i < a->n_addr; i++)
		if (!net_addr_equal(&a->addr[i], &b->addr[i]))
			return false;
	return !a->ports.n || memcmp(a->ports.v, b->ports.v, a->ports.n * sizeof(*a->ports.v)) == 0;
}

static struct pol_pod *pod_find(struct policy_world *w, const char *ns, const char *name)
{
	struct pol_ns *n = map_getc(w->namespaces, ns);
	struct pol_pod want = { .name = (char *)name };

	return n ? RB_FIND(pol_pods, &n->pods, &want) : NULL;
}

static void pod_count(struct policy_world *w, struct pol_pod *p, int by)
{
	for (size_t i = 0; i < p->ns->sels.n; i++)
		if (pod_sel_has(p->ns->sels.v[i], p))
			pod_sel_count(w, p->ns->sels.v[i], p, by);
}

static void pod_enter(struct policy_world *w, struct pol_pod *p, const char *ns)
{
	p->ns = pol_ns_get(w, ns);
	RB_INSERT(pol_pods, &p->ns->pods, p);
	pod_count(w, p, 1);
	if (!p->local)
		return;
	map_set(w->locals, str_of(p->id), p);
	pol_guard_pod(w, p);
}

/* What a new state leaves out is unguarded; what it has stays guarded all the while. */
static void pod_leave(struct policy_world *w, struct pol_pod *p)
{
	pod_count(w, p, -1);
	if (map_getc(w->locals, p->id) == p)
		map_take(w->locals, str_of(p->id));
	RB_REMOVE(pol_pods, &p->ns->pods, p);
	pol_ns_put_back(w, p->ns);
}

static bool pod_has_address(const struct pol_pod *p, const struct net_addr *a)
{
	for (size_t i = 0; i < p->n_addr; i++)
		if (net_addr_equal(&p->addr[i], a))
			return true;
	return false;
}

static void pod_replace(struct policy_world *w, struct pol_pod *old, struct pol_pod *new, const char *ns)
{
	struct pol_pod left = *old;

	left.n_addr = 0;
	for (size_t i = 0; i < old->n_addr; i++)
		if (!new->local || !pod_has_address(new, &old->addr[i]) || !streq(new->id, old->id))
			left.addr[left.n_addr++] = old->addr[i];
	pod_leave(w, old);
	pod_enter(w, new, ns);
	if (old->local)
		pol_unguard(w, &left, true);
	pol_pod_free(old);
}

void policy_put_pod(struct policy_world *w, const struct node *root)
{
	struct pol_pod *new = pod_read(w, root), *old = pod_find(w, meta_ns(root), new->name);

	if (!old)
		pod_enter(w, new, meta_ns(root));
	else if (pod_same(old, new))
		pol_pod_free(new);
	else
		pod_replace(w, old, new, meta_ns(root));
}

void policy_drop_pod(struct policy_world *w, const char *ns, const char *name)
{
	struct pol_pod *p = pod_find(w, ns, name);

	if (!p)
		return;
	pod_leave(w, p);
	if (p->local)
		pol_unguard(w, p, true);
	pol_pod_free(p);
}

/* The same pod with the addresses that it has now. */
static void pod_look_again(struct policy_world *w, const char *id)
{
	struct pol_pod *p = map_getc(w->locals, id);
	struct net_addr had[2], has[2];
	size_t n_had, n;

	if (!p)
		return;
	n = w->addresses(w->arg, id, has);
	n_had = p->n_addr;
	memcpy(had, p->addr, sizeof(had));
	if (n == n_had && memcmp(had, has, n * sizeof(*had)) == 0)
		return;
	pod_count(w, p, -1);
	pol_unguard(w, p, false);
	memcpy(p->addr, has, n * sizeof(*has));
	p->n_addr = (uint8_t)n;
	pod_count(w, p, 1);
	pol_guard_pod(w, p);
}

void policy_attached(struct policy_world *w, const char *id)
{
	struct net_addr addr[2];
	size_t n;

	if (map_getc(w->locals, id)) {
		pod_look_again(w, id);
		return;
	}
	n = w->addresses(w->arg, id, addr);
	for (size_t i = 0; i < n; i++)
		pol_guard_shut(w, &addr[i], id);
}

void policy_detached(struct policy_world *w, const char *id)
{
	pol_guards_detach(w, id);
	pod_look_again(w, id);
}

void pol_pods_release(struct policy_world *w)
{
	struct map_iter it = { 0 };
	struct pol_pod *p;

	while (map_next(w->namespaces, &it)) {
		struct pol_ns *n = it.value;

		while ((p = RB_ROOT(&n->pods))) {
			RB_REMOVE(pol_pods, &n->pods, p);
			pol_pod_free(p);
		}
		free(n->labels);
		n->labels = NULL;
		pol_ns_put_back(w, n);
	}
}
