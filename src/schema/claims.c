/*
 * Which volume serves which claim, after pv_controller and volume.FindMatchingVolume.
 */
#include "schema/claims.h"
#include "schema/usage.h"

const char *storage_class(const struct node *root)
{
	const char *class = usage_claim_class(root); /* volumes say it in the same places */

	return class ? class : "";
}

static int64_t bytes_of(const struct node *list)
{
	struct quantity q;

	return quantity_from_node(&q, node_getc(list, "storage")) ? quantity_value(&q) : 0;
}

int64_t claim_bytes(const struct node *claim)
{
	return bytes_of(node_path(claim, F_spec, F_resources, F_requests));
}

int64_t volume_bytes(const struct node *volume)
{
	return bytes_of(node_path(volume, F_spec, F_capacity));
}

bool claim_is_bound(const struct node *claim)
{
	return *node_gets(node_get(claim, F_spec), F_volumeName) && meta_annotation(claim, CLAIM_BOUND);
}

bool volume_is_kept_for(const struct node *volume, const struct node *claim)
{
	const struct node *ref = node_path(volume, F_spec, F_claimRef);
	const char *uid = node_gets(ref, F_uid);

	return ref && streq(node_gets(ref, F_name), meta_name(claim)) && streq(node_gets(ref, F_namespace), meta_ns(claim)) &&
	       (!*uid || streq(uid, meta_uid(claim)));
}

static bool modes_served(const struct node *have, const struct node *want)
{
	NODE_FOREACH(mode, want)
	{
		bool has = false;

		NODE_FOREACH(h, have)
			has = has || node_equal(mode, h);
		if (!has)
			return false;
	}
	return true;
}

static bool selector_serves(const struct node *by, const struct node *volume)
{
	struct selector *s = NULL;
	_cleanup_err_ struct err e = ERR_INIT;
	bool hit;

	if (!by)
		return true;
	if (selector_from_node(&s, by, &e) < 0)
		return false;
	hit = selector_match(s, meta_labels(volume));
	selector_free(s);
	return hit;
}

const char *volume_unfit(const struct node *volume, const struct node *claim)
{
	const struct node *v = node_get(volume, F_spec), *c = node_get(claim, F_spec);

	if (volume_bytes(volume) < claim_bytes(claim))
		return "requested PV is too small";
	if (!streq(storage_class(volume), storage_class(claim)))
		return "storageClassName does not match";
	if (!streq(node_cstr_or(node_get(v, F_volumeMode), "Filesystem"),
		   node_cstr_or(node_get(c, F_volumeMode), "Filesystem")))
		return "incompatible volumeMode";
	if (!modes_served(node_get(v, F_accessModes), node_get(c, F_accessModes)))
		return "incompatible accessMode";
	if (!streq(node_gets(v, F_volumeAttributesClassName), node_gets(c, F_volumeAttributesClassName)))
		return "volumeAttributesClassName does not match";
	return selector_serves(node_get(c, F_selector), volume) ? NULL : "labels do not match the selector";
}

bool volume_is_better(const struct node *a, const struct node *b)
{
	return !b || volume_bytes(a) < volume_bytes(b);
}

bool class_is_late(const struct node *class)
{
	return node_streq(node_get(class, F_volumeBindingMode), "WaitForFirstConsumer");
}

bool provisioner_is_local(const char *provisioner)
{
	return streq(provisioner, "kinglet.io/local-path") || streq(provisioner, "rancher.io/local-path");
}
