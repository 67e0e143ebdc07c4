/*
 * Amounts of resources, and what a pod asks for in sum (resource.PodRequests):
 * the containers together, or the most that its start needs at one time if that
 * is more, and its overhead on top.
 */
#include "sched/internal.h"

/* Where name stands, or where it would. */
static size_t amounts_at(const struct amounts *a, const char *name, bool *found)
{
	size_t lo = 0, hi = a->list.n;

	*found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(a->list.v[mid].name, name);

		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct amount *amounts_find(const struct amounts *a, const char *name)
{
	bool found;
	size_t at = amounts_at(a, name, &found);

	return found ? &a->list.v[at] : NULL;
}

int64_t amounts_get(const struct amounts *a, const char *name)
{
	const struct amount *m = amounts_find(a, name);

	return m ? m->value : 0;
}

static void amounts_add(struct amounts *a, const char *name, int64_t value)
{
	bool found;
	size_t at = amounts_at(a, name, &found);
	struct amount *m;

	if (found) {
		m = &a->list.v[at];
		if (__builtin_add_overflow(m->value, value, &m->value))
			m->value = INT64_MAX;
		return;
	}
	VEC_RESERVE(&a->list, 1);
	m = a->list.v + at;
	memmove(m + 1, m, (a->list.n - at) * sizeof(*m));
	*m = (struct amount){ xstrdup(name), value };
	a->list.n++;
}

void amounts_merge(struct amounts *a, const struct amounts *b, int sign)
{
	for (size_t i = 0; i < b->list.n; i++)
		amounts_add(a, b->list.v[i].name, sign * b->list.v[i].value);
}

/* Each the larger. */
static void amounts_max(struct amounts *a, const struct amounts *b)
{
	for (size_t i = 0; i < b->list.n; i++) {
		struct amount *m = amounts_find(a, b->list.v[i].name);

		if (!m)
			amounts_add(a, b->list.v[i].name, b->list.v[i].value);
		else if (m->value < b->list.v[i].value)
			m->value = b->list.v[i].value;
	}
}

void amounts_read(struct amounts *a, const struct node *list)
{
	NODE_FOREACH(q, list)
	{
		struct quantity v;

		if (quantity_from_node(&v, q))
			amounts_add(a, q->key, streq(q->key, "cpu") ? quantity_milli(&v) : quantity_value(&v));
	}
}

void amounts_release(struct amounts *a)
{
	for (size_t i = 0; i < a->list.n; i++)
		free(a->list.v[i].name);
	VEC_RELEASE(&a->list);
}

static void amounts_of_init(struct amounts *sum, const struct node *spec)
{
	struct amounts sidecars = { VEC_INIT }, most = { VEC_INIT };

	NODE_FOREACH(c, node_get(spec, F_initContainers))
	{
		struct amounts now = { VEC_INIT };

		amounts_read(&now, node_path(c, F_resources, F_requests));
		if (node_streq(node_get(c, F_restartPolicy), "Always")) {
			amounts_merge(&sidecars, &now, 1);
			amounts_max(&most, &sidecars);
		} else {
			amounts_merge(&now, &sidecars, 1);
			amounts_max(&most, &now);
		}
		amounts_release(&now);
	}
	amounts_merge(sum, &sidecars, 1);
	amounts_max(sum, &most);
	amounts_release(&sidecars);
	amounts_release(&most);
}

void amounts_of_pod(struct amounts *a, const struct node *spec)
{
	const struct node *pod_level = node_path(spec, F_resources, F_requests);

	NODE_FOREACH(c, node_get(spec, F_containers))
		amounts_read(a, node_path(c, F_resources, F_requests));
	amounts_of_init(a, spec);
	NODE_FOREACH(q, pod_level)
	{
		struct amount *m = amounts_find(a, q->key);
		struct quantity v;

		if (m)
			m->value = 0;
		if (quantity_from_node(&v, q))
			amounts_add(a, q->key, streq(q->key, "cpu") ? quantity_milli(&v) : quantity_value(&v));
	}
	amounts_read(a, node_get(spec, F_overhead));
}
