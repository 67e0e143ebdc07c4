/*
 * VolumeBinding and VolumeRestrictions: a pod's claims must be there; those that
 * are bound must be usable on the node, those that wait for their first consumer
 * must find (or be given) a volume there. A ReadWriteOncePod claim serves one pod.
 */
#include "sched/internal.h"
#include "schema/claims.h"

static struct obj *claims_class_of(struct sched *s, struct obj *claim)
{
	const char *name = storage_class(obj_node(claim));

	return *name ? informer_find(s->of[KIND_CLASSES], "", name) : NULL;
}

static bool claims_is_late(struct sched *s, struct obj *claim)
{
	struct obj *class = claims_class_of(s, claim);

	return class && class_is_late(obj_node(class));
}

static bool claims_once(const struct obj *claim)
{
	NODE_FOREACH(mode, node_path(obj_node((struct obj *)claim), F_spec, F_accessModes))
		if (node_streq(mode, "ReadWriteOncePod"))
			return true;
	return false;
}

/* How many of our ReadWriteOncePod claims another pod uses. */
static int64_t claims_shared(const struct sched_cycle *c, const struct sched_pod *other)
{
	int64_t n = 0;

	for (size_t i = 0; i < c->claims.once.n; i++)
		for (size_t k = 0; k < other->claims.n; k++)
			n += streq(other->claims.v[k], c->claims.once.v[i]);
	return n;
}

void filter_claims_count(struct sched_cycle *c, const struct sched_pod *other, const struct sched_node *n UNUSED, int sign)
{
	if (other->in == c->p->in)
		c->claims.once_users += sign * claims_shared(c, other);
}

/* A volume of the pod's own, which the ephemeral volume controller makes a claim for. */
static bool claims_is_own(const struct sched_cycle *c, const char *name)
{
	NODE_FOREACH(v, node_get(c->spec, F_volumes))
		if (node_get(v, F_ephemeral)) {
			size_t n = strlen(c->p->obj->name);

			if (!strncmp(name, c->p->obj->name, n) && name[n] == '-' &&
			    node_streq(node_get(v, F_name), name + n + 1))
				return true;
		}
	return false;
}

static char *claims_missing(const struct sched_cycle *c, const char *name)
{
	if (claims_is_own(c, name))
		return xasprintf("waiting for ephemeral volume controller to create the persistentvolumeclaim \"%s\"",
				 name);
	return xasprintf("persistentvolumeclaim \"%s\" not found", name);
}

/* Whether its claim is for this very pod. */
static bool claims_is_ours(const struct sched_cycle *c, struct obj *claim)
{
	const struct node *owner = meta_controller(obj_node(claim));

	return owner && streq(node_gets(owner, F_uid), c->p->obj->uid);
}

static char *claims_bad(struct sched_cycle *c, struct obj *claim)
{
	const struct node *root = obj_node(claim);

	if (node_streq(node_path(root, F_status, F_phase), "Lost"))
		return xasprintf("persistentvolumeclaim \"%s\" bound to non-existent persistentvolume \"%s\"", claim->name,
				 node_gets(node_get(root, F_spec), F_volumeName));
	if (meta_is_deleting(root))
		return xasprintf("persistentvolumeclaim \"%s\" is being deleted", claim->name);
	if (claims_is_own(c, claim->name) && !claims_is_ours(c, claim))
		return xasprintf("PVC %s/%s was not created for pod %s (pod is not owner)", claim->ns, claim->name, c->p->key);
	return NULL;
}

static char *claims_look(struct sched_cycle *c, const char *name)
{
	struct obj *claim = informer_find(c->s->of[KIND_CLAIMS], c->p->obj->ns, name), *volume;
	const char *bound;
	char *why;

	if (!claim)
		return claims_missing(c, name);
	why = claims_bad(c, claim);
	if (why)
		return why;
	if (claims_once(claim))
		VEC_PUSH(&c->claims.once, claim->name);
	bound = node_gets(node_get(obj_node(claim), F_spec), F_volumeName);
	if (claim_is_bound(obj_node(claim))) {
		volume = informer_find(c->s->of[KIND_VOLUMES], "", bound);
		VEC_PUSH(&c->claims.bound, volume ? obj_ref(volume) : NULL);
		return NULL;
	}
	if (!claims_is_late(c->s, claim) || *bound)
		return xstrdup("pod has unbound immediate PersistentVolumeClaims");
	VEC_PUSH(&c->claims.later, obj_ref(claim));
	return NULL;
}

static int claims_by_size(const void *a, const void *b)
{
	int64_t x = claim_bytes(obj_node(*(struct obj *const *)a)), y = claim_bytes(obj_node(*(struct obj *const *)b));

	return x < y ? -1 : x > y;
}

bool filter_claims_prepare(struct sched_cycle *c)
{
	const struct sched_pod *p;

	for (size_t i = 0; i < c->p->claims.n && !c->nowhere; i++)
		c->nowhere = claims_look(c, c->p->claims.v[i]);
	if (c->claims.once.n)
		TAILQ_FOREACH(p, &c->p->in->pods, in_link)
			c->claims.once_users += claims_shared(c, p);
	if (c->claims.later.n) {
		qsort(c->claims.later.v, c->claims.later.n, sizeof(*c->claims.later.v), claims_by_size);
		c->claims.found = xcalloc(c->claims.later.n, sizeof(*c->claims.found));
	}
	return c->claims.bound.n || c->claims.later.n || c->claims.once.n;
}

void filter_claims_done(struct sched_cycle *c)
{
	for (size_t i = 0; i < c->claims.bound.n; i++)
		obj_unref(c->claims.bound.v[i]);
	for (size_t i = 0; i < c->claims.later.n; i++)
		obj_unref(c->claims.later.v[i]);
	VEC_RELEASE(&c->claims.bound);
	VEC_RELEASE(&c->claims.later);
	VEC_RELEASE(&c->claims.once);
	free(c->claims.found);
}

/* --- on one node --- */

static bool volume_usable_on(struct obj *volume, const struct sched_node *n)
{
	const struct node *required = node_path(obj_node(volume), F_spec, F_nodeAffinity, F_required);

	return !required || place_matches(&n->place, required);
}

/* For the i-th of the claims that wait the smallest volume there that no claim before it is to get, or NULL. */
static struct obj *claims_find(const struct sched_cycle *c, size_t i, const struct sched_node *n)
{
	const struct node *claim = obj_node(c->claims.later.v[i]);
	struct obj *best = NULL, *v = NULL;

	while ((v = informer_next(c->s->of[KIND_VOLUMES], NULL, v)) != NULL) {
		enum volume_fit fit = volume_fits(obj_node(v), claim);
		bool taken = fit == VOLUME_NOT;

		for (size_t k = 0; k < i && !taken; k++)
			taken = c->claims.found[k] == v;
		if (taken || !volume_usable_on(v, n))
			continue;
		if (fit == VOLUME_KEPT)
			return v;
		if (volume_is_smaller(obj_node(v), best ? obj_node(best) : NULL))
			best = v;
	}
	return best;
}

static bool claims_may_be_made(const struct sched_cycle *c, struct obj *claim, const struct sched_node *n)
{
	struct obj *class = claims_class_of(c->s, claim);

	return class && !streq(node_gets(obj_node(class), F_provisioner), CLASS_NONE) &&
	       class_allows(obj_node(class), &n->place);
}

bool claims_place(struct sched_cycle *c, const struct sched_node *n)
{
	for (size_t i = 0; i < c->claims.later.n; i++) {
		struct obj *claim = c->claims.later.v[i];
		const char *chosen = meta_annotation(obj_node(claim), CLAIM_NODE);

		if (chosen && !streq(chosen, n->name)) /* a provisioner is at work there */
			return false;
		c->claims.found[i] = chosen ? NULL : claims_find(c, i, n);
		if (!c->claims.found[i] && !claims_may_be_made(c, claim, n))
			return false;
	}
	return true;
}

SCHED_FILTER(filter_claims)
{
	*hopeless = true;
	if (c->claims.once_users > 0) {
		*hopeless = false;
		return "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
	}
	for (size_t i = 0; i < c->claims.bound.n; i++) {
		if (!c->claims.bound.v[i])
			return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
		if (!volume_usable_on(c->claims.bound.v[i], n))
			return "node(s) didn't match PersistentVolume's node affinity";
	}
	return claims_place(c, n) ? NULL : "node(s) didn't find available persistent volumes to bind";
}
