/*
 * What runs where: nodes with the sum of what their pods ask for, pods with what
 * filters and scores want to know of them, namespaces with their placed pods.
 */
#include "base/hash.h"
#include "base/time.h"
#include "sched/internal.h"
#include "schema/claims.h"

/* --- pods --- */

static void sched_pod_ports(struct sched_pod *p, const struct node *containers, bool sidecars_only)
{
	NODE_FOREACH(c, containers)
	{
		if (sidecars_only && !node_streq(node_get(c, F_restartPolicy), "Always"))
			continue;
		NODE_FOREACH(port, node_get(c, F_ports))
		{
			int64_t n = node_int(node_get(port, F_hostPort), 0);
			const char *ip = node_gets(port, F_hostIP);
			struct sched_port sp = { (int)n, *node_cstr_or(node_get(port, F_protocol), "TCP"), NULL };

			if (n <= 0)
				continue;
			sp.ip = xstrdup(streq(ip, "0.0.0.0") || streq(ip, "::") ? "" : ip);
			VEC_PUSH(&p->ports, sp);
		}
	}
}

static void sched_pod_claims(struct sched_pod *p, const struct node *spec)
{
	NODE_FOREACH(v, node_get(spec, F_volumes))
	{
		char *claim = volume_claim_name(v, p->obj->name);

		if (claim)
			VEC_PUSH(&p->claims, claim);
	}
}

static struct sched_owner *sched_owner_get(struct sched *s, const char *ns, const char *uid)
{
	_cleanup_free_ char *key = xasprintf("%s/%s", ns, uid);
	struct sched_owner *o = map_getc(s->by_owner, key);

	if (!o) {
		o = xcalloc(1, sizeof(*o));
		o->key = take_ptr(&key);
		map_set(s->by_owner, str_of(o->key), o);
	}
	o->refs++;
	return o;
}

static struct sched_owner *sched_owner_put(struct sched *s, struct sched_owner *o)
{
	if (o && !--o->refs)
		map_del(s->by_owner, str_of(o->key));
	return NULL;
}

void sched_owner_free(void *v)
{
	struct sched_owner *o = v;

	VEC_RELEASE(&o->on);
	free(o->key);
	free(o);
}

/* One more of the owner's pods is on the node, or one less. */
static void sched_owner_count(struct sched_owner *o, struct sched_node *n, bool more)
{
	size_t i = 0;

	while (i < o->on.n && o->on.v[i].node != n)
		i++;
	if (i == o->on.n)
		VEC_PUSH(&o->on, ((struct sched_owned){ .node = n }));
	o->on.v[i].n += more ? 1u : -1u;
	if (!o->on.v[i].n)
		o->on.v[i] = o->on.v[--o->on.n];
}

static void sched_pod_clear(struct sched_pod *p)
{
	amounts_release(&p->requests);
	labels_release(&p->labels);
	p->rules = pod_rules_free(p->rules);
	for (size_t i = 0; i < p->ports.n; i++)
		free(p->ports.v[i].ip);
	VEC_RELEASE(&p->ports);
	for (size_t i = 0; i < p->claims.n; i++)
		free(p->claims.v[i]);
	VEC_RELEASE(&p->claims);
	p->owner = sched_owner_put(p->sched, p->owner);
	p->obj = obj_unref(p->obj);
}

static int64_t sched_time(const struct node *n)
{
	int64_t ns;

	return node_str(n).p && time_parse_rfc3339(node_str(n), &ns) ? ns / SEC_NS : 0;
}

static bool sched_pushed_out(const struct node *status)
{
	const struct node *c = cond_find(node_get(status, F_conditions), "DisruptionTarget");

	return node_streq(node_get(c, F_status), "True") && node_streq(node_get(c, F_reason), "PreemptionByScheduler");
}

static void sched_pod_read(struct sched_pod *p, struct obj *o)
{
	const struct node *root = obj_node(o), *spec = node_get(root, F_spec), *status = node_get(root, F_status);
	const char *owner = node_gets(node_first(node_get(meta_of(root), F_ownerReferences)), F_uid);

	p->obj = obj_ref(o);
	p->priority = node_int(node_get(spec, F_priority), 0);
	p->start_s = sched_time(node_get(status, F_startTime));
	p->deleting = meta_is_deleting(root);
	p->by_preemption = sched_pushed_out(status);
	p->owner = *owner ? sched_owner_get(p->sched, o->ns, owner) : NULL;
	p->rules = pod_rules_read(root);
	labels_read(&p->labels, meta_labels(root));
	amounts_of_pod(&p->requests, spec);
	sched_pod_ports(p, node_get(spec, F_containers), false);
	sched_pod_ports(p, node_get(spec, F_initContainers), true);
	sched_pod_claims(p, spec);
}

struct sched_pod *sched_pod_new(struct sched *s, struct obj *o)
{
	struct sched_pod *p = xcalloc(1, sizeof(*p));

	p->sched = s;
	p->key = xasprintf("%s/%s", o->ns, o->name);
	p->in = sched_namespace_get(s, o->ns);
	p->in->refs++;
	p->since = ++s->arrivals;
	sched_pod_read(p, o);
	return p;
}

void sched_pod_update(struct sched_pod *p, struct obj *o)
{
	struct sched_node *on = p->on;

	if (on)
		sched_unplace(p);
	if (p->queue == SCHED_ACTIVE || p->queue == SCHED_UNSCHEDULABLE) {
		/* the priority is part of its place there; it cannot change, but the tree must not depend on that */
		int64_t priority = p->priority;

		sched_pod_clear(p);
		sched_pod_read(p, o);
		p->priority = priority;
	} else {
		sched_pod_clear(p);
		sched_pod_read(p, o);
	}
	if (on)
		sched_place(p, on);
}

void sched_pod_free(void *v)
{
	struct sched_pod *p = v;

	sched_nominate(p, NULL);
	claims_cancel(p);
	if (p->on)
		sched_unplace(p);
	queue_remove(p->sched, p);
	sched_pod_clear(p);
	p->in->refs--;
	sched_namespace_drop(p->sched, p->in);
	loop_timer_free(p->backoff);
	free(p->woken_for);
	free(p->said);
	free(p->key);
	free(p);
}

bool sched_asks_nothing(const struct sched_pod *p)
{
	return amounts_get(&p->requests, "cpu") <= 0 && amounts_get(&p->requests, "memory") <= 0;
}

/* --- namespaces --- */

struct sched_namespace *sched_namespace_get(struct sched *s, const char *name)
{
	struct sched_namespace *n = map_getc(s->by_ns, name);

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	n->name = xstrdup(name);
	TAILQ_INIT(&n->pods);
	map_set(s->by_ns, str_of(name), n);
	return n;
}

void sched_namespace_drop(struct sched *s, struct sched_namespace *n)
{
	if (!n->refs && !n->there)
		map_del(s->by_ns, str_of(n->name));
}

void sched_namespace_free(void *v)
{
	struct sched_namespace *n = v;

	labels_release(&n->labels);
	free(n->name);
	free(n);
}

/* --- nodes --- */

struct sched_node *sched_node_get(struct sched *s, const char *name)
{
	struct sched_node *n = map_getc(s->by_name, name);

	if (n)
		return n;
	n = xcalloc(1, sizeof(*n));
	n->name = xstrdup(name);
	n->place = (struct place){ n->name, labels_get_any, &n->labels };
	TAILQ_INIT(&n->pods);
	TAILQ_INIT(&n->nominated);
	map_set(s->by_name, str_of(name), n);
	return n;
}

static void sched_node_taints(struct sched_node *n, const struct node *taints)
{
	NODE_FOREACH(t, taints)
	{
		struct taint taint = { xstrdup(node_gets(t, F_key)), xstrdup(node_gets(t, F_value)),
				       xstrdup(node_gets(t, F_effect)) };

		VEC_PUSH(&n->taints, taint);
	}
}

static int sched_image_cmp(const void *a, const void *b)
{
	uint64_t x = ((const struct sched_image *)a)->hash, y = ((const struct sched_image *)b)->hash;

	return x < y ? -1 : x > y;
}

static void sched_image_count(struct sched *s, uint64_t hash, int by)
{
	struct str key = { (const char *)&hash, sizeof(hash) };
	intptr_t n = (intptr_t)map_get(s->image_nodes, key) + by;

	if (n > 0)
		map_set(s->image_nodes, key, (void *)n);
	else
		map_del(s->image_nodes, key);
}

static void sched_node_images(struct sched *s, struct sched_node *n, const struct node *images)
{
	NODE_FOREACH(image, images)
		NODE_FOREACH(name, node_get(image, F_names))
		{
			struct sched_image i = { hash_sip(node_str(name)), node_int(node_get(image, F_sizeBytes), 0) };

			VEC_PUSH(&n->images, i);
			sched_image_count(s, i.hash, 1);
		}
	if (n->images.n)
		qsort(n->images.v, n->images.n, sizeof(*n->images.v), sched_image_cmp);
}

static void sched_node_clear(struct sched *s, struct sched_node *n)
{
	for (size_t i = 0; i < n->taints.n; i++) {
		free((char *)n->taints.v[i].key);
		free((char *)n->taints.v[i].value);
		free((char *)n->taints.v[i].effect);
	}
	VEC_RELEASE(&n->taints);
	for (size_t i = 0; s && i < n->images.n; i++)
		sched_image_count(s, n->images.v[i].hash, -1);
	VEC_RELEASE(&n->images);
	amounts_release(&n->allocatable);
	labels_release(&n->labels);
}

/* Into the list of nodes, or out of it. */
static void sched_node_there(struct sched *s, struct sched_node *n, bool there)
{
	if (there == n->there)
		return;
	n->there = there;
	if (there) {
		n->at = s->nodes.n;
		VEC_PUSH(&s->nodes, n);
		return;
	}
	s->nodes.v[n->at] = s->nodes.v[--s->nodes.n];
	s->nodes.v[n->at]->at = n->at;
}

void sched_node_update(struct sched *s, struct sched_node *n, struct obj *o)
{
	const struct node *root, *spec;

	sched_node_clear(s, n);
	sched_node_there(s, n, o != NULL);
	if (o) {
		root = obj_node(o);
		spec = node_get(root, F_spec);
		labels_read(&n->labels, meta_labels(root));
		sched_node_taints(n, node_get(spec, F_taints));
		sched_node_images(s, n, node_path(root, F_status, F_images));
		n->unschedulable = node_bool(node_get(spec, F_unschedulable), false);
		amounts_read(&n->allocatable, node_path(root, F_status, F_allocatable));
	}
	n->max_pods = amounts_get(&n->allocatable, "pods");
	n->cpu = amounts_get(&n->allocatable, "cpu");
	n->memory = amounts_get(&n->allocatable, "memory");
}

bool sched_node_drop(struct sched *s, struct sched_node *n)
{
	if (n->there || n->woke || !TAILQ_EMPTY(&n->pods) || !TAILQ_EMPTY(&n->nominated))
		return false;
	map_del(s->by_name, str_of(n->name));
	sched_node_free(n);
	return true;
}

void sched_node_free(struct sched_node *n)
{
	sched_node_clear(NULL, n);
	amounts_release(&n->requested);
	free(n->name);
	free(n);
}

/* --- the two together --- */

static void sched_count(struct sched_node *n, const struct sched_pod *p, int sign)
{
	int64_t cpu = amounts_get(&p->requests, "cpu"), memory = amounts_get(&p->requests, "memory");

	n->n_pods += sign;
	n->used_cpu += sign * cpu;
	n->used_memory += sign * memory;
	n->scored_cpu += sign * (cpu ? cpu : SCHED_DEFAULT_CPU_M);
	n->scored_memory += sign * (memory ? memory : SCHED_DEFAULT_MEMORY);
	amounts_merge(&n->requested, &p->requests, sign);
}

static bool sched_has_terms(const struct sched_pod *p)
{
	return p->rules && (p->rules->near.list.n || p->rules->apart.list.n || p->rules->like_near.list.n ||
			    p->rules->like_apart.list.n);
}

void sched_place(struct sched_pod *p, struct sched_node *n)
{
	p->on = n;
	TAILQ_INSERT_TAIL(&n->pods, p, on_link);
	TAILQ_INSERT_TAIL(&p->in->pods, p, in_link);
	if (p->owner && !p->deleting)
		sched_owner_count(p->owner, n, true);
	if (sched_has_terms(p))
		TAILQ_INSERT_TAIL(&p->sched->with_rules, p, rules_link);
	sched_count(n, p, 1);
}

void sched_unplace(struct sched_pod *p)
{
	struct sched_node *n = p->on;

	TAILQ_REMOVE(&n->pods, p, on_link);
	TAILQ_REMOVE(&p->in->pods, p, in_link);
	if (p->owner && !p->deleting)
		sched_owner_count(p->owner, n, false);
	if (sched_has_terms(p))
		TAILQ_REMOVE(&p->sched->with_rules, p, rules_link);
	sched_count(n, p, -1);
	p->on = NULL;
}
