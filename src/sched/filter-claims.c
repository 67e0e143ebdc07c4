/*
 * VolumeBinding and VolumeRestrictions: a pod's claims must be there; those that
 * are bound must be usable on the node, those that wait for their first consumer
 * must find (or be given) a volume there. A ReadWriteOncePod claim serves one pod.
 */
#include "sched/internal.h"

#define CLAIM_CLASS_NONE "kubernetes.io/no-provisioner"

struct obj *claims_class_of(struct sched *s, struct obj *claim)
{
	const struct node *spec = node_get(obj_node(claim), F_spec);
	const char *name = node_gets(spec, F_storageClassName);

	if (!*name)
		name = meta_annotation(obj_node(claim), "volume.beta.kubernetes.io/storage-class");
	return name && *name ? informer_find(s->of[KIND_CLASSES], "", name) : NULL;
}

bool claims_is_late(struct sched *s, struct obj *claim)
{
	struct obj *class = claims_class_of(s, claim);

	return class && node_streq(node_get(obj_node(class), F_volumeBindingMode), "WaitForFirstConsumer");
}

static bool claims_once(const struct obj *claim)
{
	NODE_FOREACH(mode, node_path(obj_node((struct obj *)claim), F_spec, F_accessModes))
		if (node_streq(mode, "ReadWriteOncePod"))
			return true;
	return false;
}

static bool claims_in_use(const struct sched_cycle *c, const char *name)
{
	const struct sched_pod *p;

	TAILQ_FOREACH(p, &c->p->in->pods, in_link)
		for (size_t i = 0; i < p->claims.n; i++)
			if (streq(p->claims.v[i], name))
				return true;
	return false;
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
	if (claims_once(claim) && claims_in_use(c, name))
		c->claims.once = true;
	bound = node_gets(node_get(obj_node(claim), F_spec), F_volumeName);
	if (*bound && meta_annotation(obj_node(claim), "pv.kubernetes.io/bind-completed")) {
		volume = informer_find(c->s->of[KIND_VOLUMES], "", bound);
		VEC_PUSH(&c->claims.bound, volume ? obj_ref(volume) : NULL);
		return NULL;
	}
	if (!claims_is_late(c->s, claim) || *bound)
		return xstrdup("pod has unbound immediate PersistentVolumeClaims");
	VEC_PUSH(&c->claims.later, obj_ref(claim));
	return NULL;
}

bool filter_claims_prepare(struct sched_cycle *c)
{
	for (size_t i = 0; i < c->p->claims.n && !c->nowhere; i++)
		c->nowhere = claims_look(c, c->p->claims.v[i]);
	return c->claims.bound.n || c->claims.later.n;
}

void filter_claims_done(struct sched_cycle *c)
{
	for (size_t i = 0; i < c->claims.bound.n; i++)
		obj_unref(c->claims.bound.v[i]);
	for (size_t i = 0; i < c->claims.later.n; i++)
		obj_unref(c->claims.later.v[i]);
	VEC_RELEASE(&c->claims.bound);
	VEC_RELEASE(&c->claims.later);
}

/* --- on one node --- */

static bool volume_usable_on(struct obj *volume, const struct sched_node *n)
{
	const struct node *required = node_path(obj_node(volume), F_spec, F_nodeAffinity, F_required);

	return !required || affinity_terms_match(required, n);
}

static bool volume_serves(struct obj *volume, struct obj *claim, int64_t want)
{
	const struct node *v = node_get(obj_node(volume), F_spec), *c = node_get(obj_node(claim), F_spec);
	const struct node *ref = node_get(v, F_claimRef);
	struct quantity q;

	if (ref && !(streq(node_gets(ref, F_name), claim->name) && streq(node_gets(ref, F_namespace), claim->ns)))
		return false;
	if (!ref && !node_streq(node_path(obj_node(volume), F_status, F_phase), "Available"))
		return false;
	if (meta_is_deleting(obj_node(volume)) || !streq(node_gets(v, F_storageClassName), node_gets(c, F_storageClassName)) ||
	    !streq(node_cstr_or(node_get(v, F_volumeMode), "Filesystem"), node_cstr_or(node_get(c, F_volumeMode), "Filesystem")))
		return false;
	NODE_FOREACH(mode, node_get(c, F_accessModes))
	{
		bool has = false;

		NODE_FOREACH(have, node_get(v, F_accessModes))
			has = has || node_equal(mode, have);
		if (!has)
			return false;
	}
	return quantity_from_node(&q, node_getc(node_get(v, F_capacity), "storage")) && quantity_value(&q) >= want;
}

static int64_t volume_size(struct obj *volume)
{
	struct quantity q;

	return quantity_from_node(&q, node_getc(node_path(obj_node(volume), F_spec, F_capacity), "storage"))
		       ? quantity_value(&q)
		       : 0;
}

static bool volume_selected(struct obj *volume, struct obj *claim)
{
	const struct node *by = node_path(obj_node(claim), F_spec, F_selector);
	struct selector *s = NULL;
	struct err e = ERR_INIT;
	bool hit;

	if (!by)
		return true;
	if (selector_from_node(&s, by, &e) < 0) {
		err_release(&e);
		return false;
	}
	hit = selector_match(s, meta_labels(obj_node(volume)));
	selector_free(s);
	return hit;
}

struct obj *claims_volume_for(struct sched *s, struct obj *claim, const struct sched_node *n)
{
	struct obj *best = NULL, *v = NULL;
	struct quantity q;
	int64_t want = 0;

	if (quantity_from_node(&q, node_getc(node_path(obj_node(claim), F_spec, F_resources, F_requests), "storage")))
		want = quantity_value(&q);
	while ((v = informer_next(s->of[KIND_VOLUMES], NULL, v)) != NULL) {
		if (!volume_serves(v, claim, want) || !volume_usable_on(v, n) || !volume_selected(v, claim))
			continue;
		if (node_path(obj_node(v), F_spec, F_claimRef))
			return v; /* kept for this claim */
		if (!best || volume_size(v) < volume_size(best))
			best = v;
	}
	return best;
}

static bool class_provides_on(struct obj *class, const struct sched_node *n)
{
	const struct node *allowed = node_get(obj_node(class), F_allowedTopologies);

	if (streq(node_gets(obj_node(class), F_provisioner), CLAIM_CLASS_NONE))
		return false;
	if (!node_count(allowed))
		return true;
	NODE_FOREACH(term, allowed)
	{
		bool all = true;

		NODE_FOREACH(x, node_get(term, F_matchLabelExpressions))
		{
			const char *have = labels_get(&n->labels, node_gets(x, F_key));
			bool in = false;

			NODE_FOREACH(v, node_get(x, F_values))
				in = in || (have && node_streq(v, have));
			all = all && in;
		}
		if (all)
			return true;
	}
	return false;
}

SCHED_FILTER(filter_claims)
{
	*hopeless = true;
	if (c->claims.once) {
		*hopeless = false;
		return "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
	}
	for (size_t i = 0; i < c->claims.bound.n; i++) {
		if (!c->claims.bound.v[i])
			return "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";
		if (!volume_usable_on(c->claims.bound.v[i], n))
			return "node(s) didn't match PersistentVolume's node affinity";
	}
	for (size_t i = 0; i < c->claims.later.n; i++) {
		struct obj *claim = c->claims.later.v[i], *class = claims_class_of(c->s, claim);
		const char *chosen = meta_annotation(obj_node(claim), "volume.kubernetes.io/selected-node");

		if (chosen && !streq(chosen, n->name)) /* a provisioner is at work there */
			return "node(s) didn't find available persistent volumes to bind";
		if (!claims_volume_for(c->s, claim, n) && !(class && class_provides_on(class, n)))
			return "node(s) didn't find available persistent volumes to bind";
	}
	return NULL;
}
