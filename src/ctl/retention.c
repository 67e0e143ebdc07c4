/*
 * Owners of the claims of StatefulSets (retention.h). References that name the set
 * or the pod but mean one that was there before are left to the garbage collector.
 */
#include "ctl/retention.h"

#include "ctl/pods.h"

struct retention retention_of(const struct node *spec)
{
	const struct node *p = node_get(spec, F_persistentVolumeClaimRetentionPolicy);

	return (struct retention){ node_streq(node_get(p, F_whenDeleted), "Delete"),
				   node_streq(node_get(p, F_whenScaled), "Delete") };
}

static bool retention_names(const struct node *ref, const struct resource *r, const char *name)
{
	return node_streq(node_get(ref, F_apiVersion), r->api_version) && node_streq(node_get(ref, F_kind), r->kind) &&
	       node_streq(node_get(ref, F_name), name);
}

static bool retention_means(const struct node *ref, struct obj *o)
{
	return node_streq(node_get(ref, F_uid), o->uid);
}

static bool retention_is_ours(const struct node *ref, struct obj *set, struct obj *pod)
{
	return retention_names(ref, set->res, set->name) || retention_names(ref, pod->res, pod->name);
}

/* One that names o and means another. */
static bool retention_has_stale(const struct node *refs, struct obj *o)
{
	NODE_FOREACH(ref, refs)
		if (retention_names(ref, o->res, o->name))
			return !retention_means(ref, o);
	return false;
}

bool retention_is_foreign(const struct node *claim, struct retention r, struct obj *set, struct obj *pod)
{
	if (!r.deleted && !r.scaled)
		return false;
	NODE_FOREACH(ref, node_get(meta_of(claim), F_ownerReferences))
		if (!retention_is_ours(ref, set, pod) && node_bool(node_get(ref, F_controller), false))
			return true;
	return false;
}

bool retention_is_stale(const struct node *claim, struct retention r, const char *pod)
{
	const struct resource *pods = schema_res("", "pods");

	if (!r.scaled)
		return false;
	NODE_FOREACH(ref, node_get(meta_of(claim), F_ownerReferences))
		if (retention_names(ref, pods, pod))
			return true;
	return false;
}

/* Is o an owner, as a controller, exactly when it should be? */
static bool retention_is_right(const struct node *refs, struct obj *o, bool want)
{
	NODE_FOREACH(ref, refs)
		if (retention_means(ref, o))
			return want && node_bool(node_get(ref, F_controller), false);
	return !want;
}

static void retention_scrub(struct node *meta, struct obj *set, struct obj *pod)
{
	struct node *refs = node_get(meta, F_ownerReferences), *next;

	for (struct node *ref = node_first(refs); ref; ref = next) {
		next = ref->next;
		if (retention_is_ours(ref, set, pod))
			node_remove_child(refs, ref);
	}
	if (!node_count(refs))
		node_remove(meta, F_ownerReferences);
}

bool retention_apply(struct doc *claim, struct retention r, struct obj *set, struct obj *pod, bool condemned)
{
	struct node *meta = node_get(doc_root(claim), F_metadata);
	const struct node *refs = node_get(meta, F_ownerReferences);
	bool foreign = retention_is_foreign(doc_root(claim), r, set, pod);
	bool to_pod = r.scaled && condemned && !foreign, to_set = r.deleted && !to_pod && !foreign;

	if (retention_has_stale(refs, set) || retention_has_stale(refs, pod))
		return false;
	if (retention_is_right(refs, set, to_set) && retention_is_right(refs, pod, to_pod))
		return false;
	retention_scrub(meta, set, pod);
	if (to_set)
		pod_set_controller(claim, meta, set);
	if (to_pod)
		pod_set_controller(claim, meta, pod);
	return true;
}
