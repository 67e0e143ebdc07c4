/*
 * Volumes and what becomes of them (persistentvolume-binder, the half that looks
 * at volumes): Available, Bound, and when the claim is gone Released; then, by
 * the reclaim policy, kept (Retain), or emptied (Recycle) or removed (Delete). The
 * last two are done on a node that has the files (node/local-path.c); what no node
 * can do is said here, and the volume is Failed.
 */
#include "ctl/internal.h"
#include "schema/claims.h"

enum { OF_VOLUMES, OF_CLAIMS };

void volume_key_of_claim(struct obj *o, struct buf *out)
{
	buf_adds(out, node_gets(node_get(obj_node(o), F_spec), F_volumeName));
}

static void volume_phase(struct obj *o, const char *phase, const char *message, struct plan *out)
{
	const struct node *have = node_get(obj_node(o), F_status);
	struct doc *d;
	struct node *status;

	if (node_streq(node_get(have, F_phase), phase) && (!message || node_streq(node_get(have, F_message), message)))
		return;
	d = doc_clone(obj_doc(o));
	status = node_need_object(d, doc_root(d), F_status);
	node_sets(d, status, F_phase, phase);
	if (message)
		node_sets(d, status, F_message, message);
	else
		node_remove(status, F_message);
	plan_update(out, o->res, "", o->name, "status", d);
}

static bool volume_is(struct obj *o, const char *phase)
{
	return node_streq(node_path(obj_node(o), F_status, F_phase), phase);
}

static void volume_fail(struct obj *o, const char *reason, const char *text, struct plan *out)
{
	if (volume_is(o, "Failed"))
		return;
	plan_event(out, o, "Warning", reason, "%s", text);
	volume_phase(o, "Failed", text, out);
}

/* Can a node empty it, or remove it? */
static bool volume_has_cleaner(struct obj *o, bool recycle)
{
	const struct node *spec = node_get(obj_node(o), F_spec), *host = node_get(spec, F_hostPath);
	const char *by = meta_annotation(obj_node(o), VOLUME_PROVISIONER);

	if (by && provisioner_is_local(by))
		return true;
	/* Kubernetes deletes no directories of hosts but those of tests. */
	return host && (recycle || (!strncmp(node_gets(host, F_path), "/tmp/", 5) && node_gets(host, F_path)[5]));
}

static void volume_reclaim(struct obj *o, struct plan *out)
{
	const char *policy = node_gets(node_get(obj_node(o), F_spec), F_persistentVolumeReclaimPolicy);
	const char *by = meta_annotation(obj_node(o), VOLUME_PROVISIONER);
	_cleanup_free_ char *text = NULL;

	if (streq(policy, "Recycle") && !volume_has_cleaner(o, true)) {
		volume_fail(o, "VolumeFailedRecycle", "no volume plugin that can recycle matches: only hostPath volumes are "
						      "recycled", out);
	} else if (streq(policy, "Delete") && !by && !volume_has_cleaner(o, false)) {
		text = xasprintf("error getting deleter volume plugin for volume \"%s\": no deletable volume plugin matched",
				 o->name);
		volume_fail(o, "VolumeFailedDelete", text, out);
	}
}

static void volume_release(struct obj *o, struct plan *out)
{
	if (!volume_is(o, "Released") && !volume_is(o, "Failed"))
		volume_phase(o, "Released", NULL, out);
	else if (volume_is(o, "Released"))
		volume_reclaim(o, out);
}

/* Its claim went for another volume: it is free again, or kept for the claim that its maker named. */
static void volume_unbind(struct obj *o, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(o));
	struct node *root = doc_root(d), *spec = node_get(root, F_spec);
	struct node *notes = node_path(root, F_metadata, F_annotations);

	if (node_getc(notes, BOUND_BY_CONTROLLER)) {
		node_removek(notes, str_of(BOUND_BY_CONTROLLER));
		node_remove(spec, F_claimRef);
	} else {
		node_remove(node_get(spec, F_claimRef), F_uid);
		node_remove(node_get(spec, F_claimRef), F_resourceVersion);
	}
	plan_update(out, o->res, "", o->name, NULL, d);
}

static void volume_elsewhere(struct obj *o, struct plan *out)
{
	if (meta_annotation(obj_node(o), VOLUME_PROVISIONER) &&
	    node_streq(node_path(obj_node(o), F_spec, F_persistentVolumeReclaimPolicy), "Delete"))
		volume_release(o, out);
	else
		volume_unbind(o, out);
}

int volume_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *o = informer_find(v->of[OF_VOLUMES], "", key), *claim;
	const struct node *ref;
	const char *uid, *bound;

	if (!o)
		return 0;
	ref = node_path(obj_node(o), F_spec, F_claimRef);
	uid = node_gets(ref, F_uid);
	if (!*uid) {
		volume_phase(o, "Available", NULL, out);
		return 0;
	}
	claim = informer_find(v->of[OF_CLAIMS], node_gets(ref, F_namespace), node_gets(ref, F_name));
	if (!claim || !streq(claim->uid, uid)) {
		volume_release(o, out);
		return 0;
	}
	bound = node_gets(node_get(obj_node(claim), F_spec), F_volumeName);
	if (streq(bound, key))
		volume_phase(o, "Bound", NULL, out);
	else if (*bound)
		volume_elsewhere(o, out);
	return 0;
}
