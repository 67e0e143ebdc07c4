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

bool volume_has_claim(const struct node *volume)
{
	return node_get(volume, F_persistentVolumeClaim) || node_get(volume, F_ephemeral);
}

char *volume_claim_name(const struct node *volume, const char *pod)
{
	const char *name = node_gets(node_get(volume, F_persistentVolumeClaim), F_claimName);

	if (*name)
		return xstrdup(name);
	return node_get(volume, F_ephemeral) ? xasprintf("%s-%s", pod, node_gets(volume, F_name)) : NULL;
}

bool volume_uses_claim(const struct node *volume, const char *pod, const char *claim)
{
	_cleanup_free_ char *name = volume_has_claim(volume) ? volume_claim_name(volume, pod) : NULL;

	return name && streq(name, claim);
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

static bool same_mode(const struct node *v, const struct node *c)
{
	return streq(node_cstr_or(node_get(v, F_volumeMode), "Filesystem"),
		     node_cstr_or(node_get(c, F_volumeMode), "Filesystem"));
}

const char *volume_mismatch(const struct node *volume, const struct node *claim)
{
	const struct node *v = node_get(volume, F_spec), *c = node_get(claim, F_spec);

	if (volume_bytes(volume) < claim_bytes(claim))
		return "requested PV is too small";
	if (!streq(storage_class(volume), storage_class(claim)))
		return "storageClassName does not match";
	if (!streq(node_gets(v, F_volumeAttributesClassName), node_gets(c, F_volumeAttributesClassName)))
		return "volumeAttributesClassName does not match";
	if (!same_mode(v, c))
		return "incompatible volumeMode";
	return modes_served(node_get(v, F_accessModes), node_get(c, F_accessModes)) ? NULL : "incompatible accessMode";
}

enum volume_fit volume_fits(const struct node *volume, const struct node *claim)
{
	const struct node *v = node_get(volume, F_spec), *c = node_get(claim, F_spec);

	if (meta_is_deleting(volume) || volume_bytes(volume) < claim_bytes(claim) || !same_mode(v, c) ||
	    !modes_served(node_get(v, F_accessModes), node_get(c, F_accessModes)))
		return VOLUME_NOT;
	if (node_get(v, F_claimRef))
		return volume_is_kept_for(volume, claim) ? VOLUME_KEPT : VOLUME_NOT;
	if (!node_streq(node_path(volume, F_status, F_phase), "Available") || volume_mismatch(volume, claim) ||
	    !selector_serves(node_get(c, F_selector), volume))
		return VOLUME_NOT;
	return VOLUME_FREE;
}

bool volume_is_smaller(const struct node *a, const struct node *b)
{
	return !b || volume_bytes(a) < volume_bytes(b);
}

bool volume_is_better(const struct node *a, const struct node *b)
{
	size_t modes_a = node_count(node_path(a, F_spec, F_accessModes));
	size_t modes_b = node_count(node_path(b, F_spec, F_accessModes));

	return !b || modes_a < modes_b || (modes_a == modes_b && volume_is_smaller(a, b));
}

const char *volume_node(const struct node *volume)
{
	const struct node *terms = node_path(volume, F_spec, F_nodeAffinity, F_required, F_nodeSelectorTerms);
	const struct node *found = NULL;

	NODE_FOREACH(term, terms)
		NODE_FOREACH(x, node_get(term, F_matchExpressions))
			if (node_streq(node_get(x, F_key), "kubernetes.io/hostname") &&
			    node_streq(node_get(x, F_operator), "In") && node_count(node_get(x, F_values)) == 1)
				found = node_first(node_get(x, F_values));
	return node_count(terms) == 1 ? node_cstr(found) : NULL;
}

void volume_unbind(struct doc *d)
{
	struct node *root = doc_root(d), *spec = node_get(root, F_spec), *notes = node_path(root, F_metadata, F_annotations);

	if (node_getc(notes, BOUND_BY_CONTROLLER)) {
		node_removek(notes, str_of(BOUND_BY_CONTROLLER));
		node_remove(spec, F_claimRef);
	} else {
		node_remove(node_get(spec, F_claimRef), F_uid);
	}
}

/* --- classes --- */

bool class_is_default(const struct node *class)
{
	return streq_null(meta_annotation(class, "storageclass.kubernetes.io/is-default-class"), "true") ||
	       streq_null(meta_annotation(class, "storageclass.beta.kubernetes.io/is-default-class"), "true");
}

bool class_is_newer(const struct node *a, const struct node *b)
{
	int c = strcmp(node_gets(meta_of(a), F_creationTimestamp), node_gets(meta_of(b), F_creationTimestamp));

	return c > 0 || (c == 0 && strcmp(meta_name(a), meta_name(b)) < 0);
}

static bool term_allows(const struct node *term, const struct place *p)
{
	NODE_FOREACH(x, node_get(term, F_matchLabelExpressions))
	{
		const char *have = p->label(p->labels, node_gets(x, F_key));
		bool in = false;

		NODE_FOREACH(v, node_get(x, F_values))
			in = in || (have && node_streq(v, have));
		if (!in)
			return false;
	}
	return true;
}

bool class_allows(const struct node *class, const struct place *p)
{
	const struct node *allowed = node_get(class, F_allowedTopologies);

	NODE_FOREACH(term, allowed)
		if (term_allows(term, p))
			return true;
	return !node_count(allowed);
}

bool class_is_late(const struct node *class)
{
	return node_streq(node_get(class, F_volumeBindingMode), "WaitForFirstConsumer");
}

bool provisioner_is_local(const char *provisioner)
{
	return streq(provisioner, "kinglet.io/local-path") || streq(provisioner, "rancher.io/local-path");
}
