/*
 * Volumes and what becomes of them (persistentvolume-binder, the half that looks
 * at volumes): Available, Bound, and when the claim is gone Released; then, by
 * the reclaim policy, kept (Retain), or emptied (Recycle) or removed (Delete). The
 * last two are done on a node that has the files (node/local-dirs.c); what no node
 * can do is said here, and the volume is Failed.
 */
#include "ctl/internal.h"
#include "schema/claims.h"

#define KEY_NODE "node/" /* before a node's name */

enum { OF_VOLUMES, OF_CLAIMS, OF_NODES };

void volume_key_of_node(struct obj *o, struct buf *out)
{
	buf_addf(out, KEY_NODE "%s", o->name);
}

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

/* Of the plug-ins of Kubernetes those for directories of hosts can remove (for tests, below /tmp) and empty; a provisioner
 * takes its volumes away itself. NULL: done on a node, or elsewhere. */
static char *volume_not_reclaimed(struct obj *o, bool recycle)
{
	const struct node *host = node_path(obj_node(o), F_spec, F_hostPath);
	const char *path = node_gets(host, F_path);

	if (recycle)
		return host ? NULL : xstrdup("No recycler plugin found for the volume!");
	if (meta_annotation(obj_node(o), VOLUME_PROVISIONER))
		return NULL;
	if (!host)
		return xasprintf("error getting deleter volume plugin for volume \"%s\": no deletable volume plugin matched",
				 o->name);
	if (!strncmp(path, "/tmp/", 5) && path[5])
		return NULL;
	return xasprintf("host_path deleter only supports /tmp/.+ but received provided %s", path);
}

/* A volume of ours whose node was taken from the cluster: its files went with the node, or are nobody's any more. */
static bool volume_is_gone(const struct ctl_view *v, struct obj *o)
{
	const char *by = meta_annotation(obj_node(o), VOLUME_PROVISIONER);
	const char *node = by && provisioner_is_local(by) ? volume_node(obj_node(o)) : NULL;

	return node && !informer_find(v->of[OF_NODES], "", node);
}

static void volume_reclaim(const struct ctl_view *v, struct obj *o, struct plan *out)
{
	const char *policy = node_gets(node_get(obj_node(o), F_spec), F_persistentVolumeReclaimPolicy);
	bool recycle = streq(policy, "Recycle");
	_cleanup_free_ char *why = NULL;

	if (!recycle && !streq(policy, "Delete"))
		return;
	why = volume_not_reclaimed(o, recycle);
	if (why)
		volume_fail(o, recycle ? "VolumeFailedRecycle" : "VolumeFailedDelete", why, out);
	else if (!recycle && volume_is_gone(v, o))
		plan_delete(out, o->res, "", o->name, o->uid);
}

static void volume_release(const struct ctl_view *v, struct obj *o, struct plan *out)
{
	if (!volume_is(o, "Released") && !volume_is(o, "Failed"))
		volume_phase(o, "Released", NULL, out);
	else
		volume_reclaim(v, o, out);
}

/* Its claim went for another volume. */
static void volume_leave(struct obj *o, struct plan *out)
{
	struct doc *d = doc_clone(obj_doc(o));

	volume_unbind(d);
	plan_update(out, o->res, "", o->name, NULL, d);
}

static void volume_elsewhere(const struct ctl_view *v, struct obj *o, struct plan *out)
{
	if (meta_annotation(obj_node(o), VOLUME_PROVISIONER) &&
	    node_streq(node_path(obj_node(o), F_spec, F_persistentVolumeReclaimPolicy), "Delete"))
		volume_release(v, o, out);
	else
		volume_leave(o, out);
}

static void volume_sync(const struct ctl_view *v, struct obj *o, struct plan *out)
{
	const struct node *ref = node_path(obj_node(o), F_spec, F_claimRef);
	const char *uid = node_gets(ref, F_uid), *bound;
	struct obj *claim;

	if (!*uid) {
		volume_phase(o, "Available", NULL, out);
		return;
	}
	claim = informer_find(v->of[OF_CLAIMS], node_gets(ref, F_namespace), node_gets(ref, F_name));
	if (!claim || !streq(claim->uid, uid)) {
		volume_release(v, o, out);
		return;
	}
	bound = node_gets(node_get(obj_node(claim), F_spec), F_volumeName);
	if (streq(bound, o->name))
		volume_phase(o, "Bound", NULL, out);
	else if (*bound)
		volume_elsewhere(v, o, out);
}

/* A node that is no more does not take away what is left of its volumes. */
static void volume_sync_node(const struct ctl_view *v, const char *node, struct plan *out)
{
	struct obj *o = NULL;

	if (informer_find(v->of[OF_NODES], "", node))
		return;
	while ((o = informer_next(v->of[OF_VOLUMES], NULL, o)) != NULL)
		if (streq_null(volume_node(obj_node(o)), node))
			volume_sync(v, o, out);
}

int volume_reconcile(const struct ctl_view *v, const char *key, struct plan *out, struct err *e UNUSED)
{
	struct obj *o = informer_find(v->of[OF_VOLUMES], "", key);

	if (starts_with(key, KEY_NODE))
		volume_sync_node(v, key + strlen(KEY_NODE), out);
	else if (o)
		volume_sync(v, o, out);
	return 0;
}
