/*
 * Which policies are for which pod of this node, and what the kernel has to hear of
 * all that changed.
 *
 * Pods with the same policies, this way or that, share a chain (pol_group) which
 * calls the policies' chains one after the other and drops what none accepted. An
 * address leads to its group's chain (pol_guard). What a flush says is the
 * difference between what is wanted and what the kernel has (`live`): whatever
 * happened in between, back and forth, costs nothing.
 */
#include <stdio.h>

#include "svc/policy.h"

static int pol_guard_cmp(struct pol_guard *a, struct pol_guard *b)
{
	return memcmp(&a->addr, &b->addr, sizeof(a->addr));
}

RB_GENERATE_INTERNAL(pol_guards, pol_guard, link, pol_guard_cmp, static UNUSED)

/* --- groups --- */

static void pol_group_changed(struct policy_world *w, struct pol_group *g)
{
	if (g->changed)
		return;
	g->changed = true;
	TAILQ_INSERT_TAIL(&w->groups_changed, g, link_changed);
}

typedef VEC(struct policy *) policy_list;

static int pol_by_chain(const void *a, const void *b)
{
	uint32_t x = (*(struct policy *const *)a)->chain[0], y = (*(struct policy *const *)b)->chain[0];

	return x < y ? -1 : x > y;
}

static void pol_gather(const struct pol_pod *p, enum net_dir dir, policy_list *out)
{
	for (size_t i = 0; i < p->ns->sels.n; i++) {
		struct pod_sel *s = p->ns->sels.v[i];

		if (!s->targets.n || !pod_sel_has(s, p))
			continue;
		for (size_t k = 0; k < s->targets.n; k++)
			if (s->targets.v[k]->has[dir])
				VEC_PUSH(out, s->targets.v[k]);
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), pol_by_chain);
}

/* NULL: no policy isolates the pod this way. A reference is the caller's. */
static struct pol_group *pol_group_of(struct policy_world *w, const struct pol_pod *p, enum net_dir dir)
{
	_cleanup_buf_ struct buf key = BUF_INIT;
	policy_list found = VEC_INIT;
	struct pol_group *g = NULL;

	pol_gather(p, dir, &found);
	buf_addf(&key, "%d", dir);
	for (size_t i = 0; i < found.n; i++)
		buf_addf(&key, " %u", found.v[i]->chain[dir]);
	if (found.n)
		g = map_get(w->groups, buf_str(&key));
	if (found.n && !g) {
		g = xcalloc(1, sizeof(*g));
		g->dir = dir;
		g->chain = ++w->last_id;
		g->key = buf_detach(&key, NULL);
		for (size_t i = 0; i < found.n; i++)
			VEC_PUSH(&g->policies, found.v[i]);
		map_set(w->groups, str_of(g->key), g);
		pol_group_changed(w, g);
	}
	VEC_RELEASE(&found);
	if (g)
		g->refs++;
	return g;
}

static void pol_group_unref(struct policy_world *w, struct pol_group *g)
{
	if (g && --g->refs == 0)
		pol_group_changed(w, g);
}

static void pol_group_free(struct policy_world *w, struct pol_group *g)
{
	if (g->changed)
		TAILQ_REMOVE(&w->groups_changed, g, link_changed);
	map_take(w->groups, str_of(g->key));
	VEC_RELEASE(&g->policies);
	free(g->key);
	free(g);
}

/* --- guards --- */

static void pol_guard_changed(struct policy_world *w, struct pol_guard *g)
{
	if (g->changed)
		return;
	g->changed = true;
	TAILQ_INSERT_TAIL(&w->guards_changed, g, link_changed);
}

static struct pol_guard *pol_guard_find(struct policy_world *w, const struct net_addr *a)
{
	struct pol_guard want = { .addr = *a };

	return RB_FIND(pol_guards, &w->guards, &want);
}

/* groups: two references, taken over; NULL: none. */
static void pol_guard_set(struct policy_world *w, const struct net_addr *a, const char *id, bool shut,
			  struct pol_group *const groups[POL_DIRS])
{
	struct pol_guard *g = pol_guard_find(w, a);

	if (!g && !shut && !groups[NET_IN] && !groups[NET_OUT])
		return;
	if (!g) {
		g = xcalloc(1, sizeof(*g));
		g->addr = *a;
		RB_INSERT(pol_guards, &w->guards, g);
	}
	if (!g->id || !streq(g->id, id)) {
		free(g->id);
		g->id = xstrdup(id);
	}
	g->shut = shut;
	for (int dir = 0; dir < POL_DIRS; dir++) {
		pol_group_unref(w, g->group[dir]);
		g->group[dir] = groups[dir];
	}
	pol_guard_changed(w, g);
}

static struct pol_group *const no_groups[POL_DIRS];

void pol_guard_pod(struct policy_world *w, struct pol_pod *p)
{
	for (size_t i = 0; i < p->n_addr; i++) {
		struct pol_group *groups[POL_DIRS] = { pol_group_of(w, p, NET_IN), pol_group_of(w, p, NET_OUT) };

		pol_guard_set(w, &p->addr[i], p->id, false, groups);
	}
}

void pol_guard_shut(struct policy_world *w, const struct net_addr *a, const char *id)
{
	pol_guard_set(w, a, id, true, no_groups);
}

static bool pol_still_attached(const struct policy_world *w, const char *id, const struct net_addr *a)
{
	struct net_addr now[2];
	size_t n = w->addresses ? w->addresses(w->arg, id, now) : 0;

	for (size_t i = 0; i < n; i++)
		if (net_addr_equal(&now[i], a))
			return true;
	return false;
}

void pol_unguard(struct policy_world *w, const struct pol_pod *p, bool shut)
{
	for (size_t i = 0; i < p->n_addr; i++) {
		const struct pol_guard *g = pol_guard_find(w, &p->addr[i]);

		if (g && streq(g->id, p->id))
			pol_guard_set(w, &p->addr[i], p->id, shut && pol_still_attached(w, p->id, &p->addr[i]),
				      no_groups);
	}
}

void pol_guards_detach(struct policy_world *w, const char *id)
{
	struct pol_guard *g;

	RB_FOREACH(g, pol_guards, &w->guards)
		if (g->shut && streq(g->id, id)) {
			g->shut = false;
			pol_guard_changed(w, g);
		}
}

static void pol_guard_free(struct policy_world *w, struct pol_guard *g)
{
	if (g->changed)
		TAILQ_REMOVE(&w->guards_changed, g, link_changed);
	RB_REMOVE(pol_guards, &w->guards, g);
	free(g->id);
	free(g);
}

void pol_guards_release(struct policy_world *w)
{
	struct map_iter it = { 0 };
	struct pol_guard *g;

	while ((g = RB_ROOT(&w->guards)))
		pol_guard_free(w, g);
	while (map_next(w->groups, &it))
		pol_group_free(w, it.value);
}

/* --- what the kernel has to hear --- */

static void pol_groups_flush(struct policy_world *w, policy_ops *out)
{
	struct pol_group *g;

	TAILQ_FOREACH(g, &w->groups_changed, link_changed) {
		if (!g->refs || g->live)
			continue;
		g->live = true;
		VEC_PUSH(out, ((struct net_policy_op){ .verb = NET_POLICY_CHAIN, .chain = g->chain }));
		for (size_t i = 0; i < g->policies.n; i++)
			VEC_PUSH(out, ((struct net_policy_op){ .verb = NET_POLICY_CALL, .chain = g->chain,
							       .to = g->policies.v[i]->chain[g->dir] }));
		VEC_PUSH(out, ((struct net_policy_op){ .verb = NET_POLICY_DROP, .chain = g->chain }));
	}
}

static void pol_groups_sweep(struct policy_world *w, policy_ops *out)
{
	struct pol_group *g, *next;

	TAILQ_FOREACH_SAFE(g, &w->groups_changed, link_changed, next) {
		TAILQ_REMOVE(&w->groups_changed, g, link_changed);
		g->changed = false;
		if (g->refs)
			continue;
		if (g->live)
			VEC_PUSH(out, ((struct net_policy_op){ .verb = NET_POLICY_UNCHAIN, .chain = g->chain }));
		pol_group_free(w, g);
	}
}

static void pol_guard_flush(struct pol_guard *g, enum net_dir dir, policy_ops *out)
{
	bool want = g->shut || g->group[dir];
	uint32_t chain = g->group[dir] ? g->group[dir]->chain : 0;
	struct net_policy_op op = { .verb = NET_POLICY_UNGUARD, .dir = (uint8_t)dir, .elem.addr = g->addr };

	if (g->live[dir] == want && (!want || g->live_chain[dir] == chain))
		return;
	if (g->live[dir])
		VEC_PUSH(out, op);
	g->live[dir] = want;
	g->live_chain[dir] = chain;
	if (!want)
		return;
	op.verb = NET_POLICY_GUARD;
	op.chain = chain;
	VEC_PUSH(out, op);
}

static void pol_guards_flush(struct policy_world *w, policy_ops *out)
{
	struct pol_guard *g;

	while ((g = TAILQ_FIRST(&w->guards_changed))) {
		TAILQ_REMOVE(&w->guards_changed, g, link_changed);
		g->changed = false;
		for (int dir = 0; dir < POL_DIRS; dir++)
			pol_guard_flush(g, (enum net_dir)dir, out);
		if (!g->live[NET_IN] && !g->live[NET_OUT])
			pol_guard_free(w, g);
	}
}

void policy_flush(struct policy_world *w, policy_ops *out)
{
	pol_sets_flush(w, out);
	policies_flush(w, out);
	pol_groups_flush(w, out);
	pol_guards_flush(w, out);
	pol_groups_sweep(w, out);
	policies_sweep(w, out);
	pol_sets_sweep(w, out);
}

void policy_forget(struct policy_world *w)
{
	struct map_iter it = { 0 };
	struct pol_guard *g;

	pol_sets_forget(w);
	policies_forget(w);
	while (map_next(w->groups, &it)) {
		struct pol_group *group = it.value;

		group->live = false;
		pol_group_changed(w, group);
	}
	RB_FOREACH(g, pol_guards, &w->guards) {
		g->live[NET_IN] = g->live[NET_OUT] = false;
		pol_guard_changed(w, g);
	}
}

/* --- life --- */

struct policy_world *policy_world_new(const char *node)
{
	struct policy_world *w = xcalloc(1, sizeof(*w));

	w->node = xstrdup(node);
	w->namespaces = map_new(NULL);
	w->sels = map_new(NULL);
	w->fixed = map_new(NULL);
	w->policies = map_new(NULL);
	w->groups = map_new(NULL);
	w->locals = map_new(NULL);
	LIST_INIT(&w->ns_sels);
	TAILQ_INIT(&w->sets);
	TAILQ_INIT(&w->sets_changed);
	TAILQ_INIT(&w->policies_changed);
	TAILQ_INIT(&w->groups_changed);
	TAILQ_INIT(&w->guards_changed);
	RB_INIT(&w->guards);
	return w;
}

struct policy_world *policy_world_free(struct policy_world *w)
{
	struct pol_set *s;

	if (!w)
		return NULL;
	pol_guards_release(w);
	policies_release(w);
	while ((s = TAILQ_FIRST(&w->sets)))
		pol_set_free(w, s);
	pol_pods_release(w);
	map_free(w->namespaces);
	map_free(w->sels);
	map_free(w->fixed);
	map_free(w->policies);
	map_free(w->groups);
	map_free(w->locals);
	free(w->node);
	free(w);
	return NULL;
}
