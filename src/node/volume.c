/*
 * Volumes: one table of types, and what all have in common: where they live,
 * when they are made, refreshed and taken away.
 *
 *	<state_dir>/files/<uid>/volumes/<plugin>/<name>     on disk
 *	<state_dir>/volatile/<uid>/<plugin>/<name>          on one tmpfs for the whole node: what must never
 *	                                                    touch the disk (Secrets, tokens)
 *
 * All types are idempotent: volumes_up may run again after a failure, after a
 * restart of the daemon, and to refresh.
 *
 * To add a type: one volume-*.c with a struct volume_type, and its row here.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "node/internal.h"
#include "schema/claims.h"

#define TMPFS_MAGIC_ 0x01021994

static const struct volume_type *const volume_types[] = {
	&volume_empty_dir, &volume_host_path, &volume_config_map,
	&volume_secret,	   &volume_projected, &volume_downward_api,
	&volume_nfs,	   &volume_git_repo,  &volume_local,
	&volume_image,
};

/* By a member of the volume in a pod's spec, or of a PersistentVolume's spec. */
static const struct volume_type *volume_type_of(const struct node *vol)
{
	for (size_t i = 0; i < ARRAY_SIZE(volume_types); i++)
		if (node_get(vol, volume_types[i]->field))
			return volume_types[i];
	return NULL;
}

/* --- claims --- */

static bool volume_is_pods(struct pod *p, struct obj *claim)
{
	NODE_FOREACH (r, node_get(meta_of(obj_node(claim)), F_ownerReferences))
		if (node_bool(node_get(r, F_controller), false) && node_streq(node_get(r, F_uid), p->uid))
			return true;
	return false;
}

/* The PersistentVolume that the volume's claim is bound to: 0 and it (NULL: the volume has no claim), -EAGAIN, or an
 * error in the kubelet's words. */
static int volume_claimed(struct pod *p, const struct node *vol, struct obj **ret, struct err *e)
{
	_cleanup_free_ char *name = volume_claim_name(vol, p->name);
	struct obj *claim, *pv;
	const char *bound;
	int r;

	*ret = NULL;
	if (!name)
		return 0;
	r = agent_ref(p->agent, REF_CLAIM, p->ns, name, &claim);
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND,
			       "error processing PVC %s/%s: failed to fetch PVC from API server: persistentvolumeclaims \"%s\" "
			       "not found",
			       p->ns, name, name);
	if (r < 0)
		return r;
	if (node_get(vol, F_ephemeral) && !volume_is_pods(p, claim))
		return err_set(e, ERR_CONFLICT,
			       "error processing PVC %s/%s: PVC %s/%s was not created for pod %s/%s (pod is not owner)", p->ns,
			       name, p->ns, name, p->ns, p->name);
	if (meta_is_deleting(obj_node(claim)) && p->state == POD_SETUP)
		return err_set(e, ERR_CONFLICT, "error processing PVC %s/%s: PVC is being deleted", p->ns, name);
	if (!claim_is_bound(obj_node(claim)))
		return err_set(e, ERR_CONFLICT, "error processing PVC %s/%s: PVC is not bound", p->ns, name);
	bound = node_gets(node_get(obj_node(claim), F_spec), F_volumeName);
	r = agent_ref(p->agent, REF_VOLUME, "", bound, &pv);
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND,
			       "error processing PVC %s/%s: failed to fetch PV %s from API server: persistentvolumes \"%s\" "
			       "not found",
			       p->ns, name, bound, bound);
	if (r < 0)
		return r;
	if (!volume_is_kept_for(obj_node(pv), obj_node(claim)))
		return err_set(e, ERR_CONFLICT,
			       "error processing PVC %s/%s: found PV object %s but its pv.Spec.ClaimRef.UID %s does not point "
			       "to claim.UID %s",
			       p->ns, name, bound, node_gets(node_path(obj_node(pv), F_spec, F_claimRef), F_uid), claim->uid);
	*ret = pv;
	return 0;
}

static bool volume_is_for_one(const struct node *pv_spec)
{
	const struct node *modes = node_get(pv_spec, F_accessModes);

	return node_count(modes) == 1 && node_streq(node_first(modes), "ReadWriteOncePod");
}

/* Another pod here has it; the scheduler sees to that, too, but not every pod comes by it. */
static bool volume_in_use(struct pod *p, const char *claim)
{
	struct map_iter it = {0};

	while (map_next(p->agent->by_uid, &it)) {
		struct pod *q = it.value;

		if (q == p || !q->mounted || !streq(q->ns, p->ns))
			continue;
		NODE_FOREACH (vol, node_get(pod_spec(q), F_volumes))
			if (volume_path(q, node_gets(vol, F_name)) && volume_uses_claim(vol, q->name, claim))
				return true;
	}
	return false;
}

static bool volume_is_made_here(const struct node *pv)
{
	const char *by = meta_annotation(pv, VOLUME_PROVISIONER);

	return by && provisioner_is_local(by);
}

bool volume_is_block(const struct node *pv_spec)
{
	return node_streq(node_get(pv_spec, F_volumeMode), "Block");
}

static bool volume_is_named_by(struct pod *p, enum field how, const char *name)
{
	static const enum field lists[] = {F_containers, F_initContainers, F_ephemeralContainers};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		NODE_FOREACH (c, node_get(pod_spec(p), lists[i]))
			if (node_named(node_get(c, how), name))
				return true;
	return false;
}

/* Containers have devices in volumeDevices, files in volumeMounts. */
static int volume_check_mode(struct pod *p, const char *name, const struct node *pv_spec, struct err *e)
{
	bool block = volume_is_block(pv_spec);

	if (!volume_is_named_by(p, block ? F_volumeMounts : F_volumeDevices, name))
		return 0;
	return err_set(e, ERR_INVALID, "volume %s has volumeMode %s, but is specified in %s", name,
		       block ? "Block" : "Filesystem", block ? "volumeMounts" : "volumeDevices");
}

/* Where the files are: the volume itself, or what is behind its claim. */
static const struct node *volume_behind(struct pod *p, const struct node *vol)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct obj *pv = NULL;

	return volume_claimed(p, vol, &pv, &e) == 0 && pv ? node_get(obj_node(pv), F_spec) : vol;
}

bool volume_read_only(struct pod *p, const struct node *vol)
{
	const struct node *behind = volume_behind(p, vol);
	const struct volume_type *t = volume_type_of(behind);

	return (t && (t->read_only || t->refreshed)) || node_bool(node_path(behind, F_nfs, F_readOnly), false) ||
	       node_bool(node_path(vol, F_persistentVolumeClaim, F_readOnly), false);
}

bool volume_is_remote(struct pod *p, const char *name)
{
	const struct node *vol = node_named(node_get(pod_spec(p), F_volumes), name);
	const struct volume_type *t = volume_type_of(volume_behind(p, vol));

	return t && t->remote;
}

/* --- types that need a driver --- */

static const enum field volume_foreign[] = {
	F_awsElasticBlockStore, F_azureDisk, F_azureFile, F_cephfs, F_cinder, F_csi, F_fc, F_flexVolume, F_flocker,
	F_gcePersistentDisk, F_glusterfs, F_iscsi, F_photonPersistentDisk, F_portworxVolume, F_quobyte, F_rbd, F_scaleIO,
	F_storageos, F_vsphereVolume,
};

static int volume_unknown(const struct node *behind, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(volume_foreign); i++)
		if (node_get(behind, volume_foreign[i]))
			return err_set(e, ERR_INVALID, "no volume plugin matched: a %s volume " VOLUME_FOREIGN,
				       doc_field_name(volume_foreign[i]));
	return err_set(e, ERR_INVALID, "no volume plugin matched");
}

bool volume_is_mount(const char *path)
{
	_cleanup_free_ char *up = path_join(path, "..");
	struct stat a, b;

	return stat(path, &a) == 0 && stat(up, &b) == 0 && a.st_dev != b.st_dev;
}

int64_t pod_fs_group(struct pod *p)
{
	return node_int(node_path(pod_spec(p), F_securityContext, F_fsGroup), -1);
}

static char *volatile_root(struct node_agent *n)
{
	return path_join(n->state_dir, "volatile");
}

/* One small tmpfs for the whole node, private to root. */
static int volatile_ready(struct node_agent *n, struct err *e)
{
	_cleanup_free_ char *dir = NULL;
	struct statfs fs;

	if (n->volatile_ready)
		return 0;
	dir = volatile_root(n);
	if (path_mkdirs(dir, 0700, e) < 0)
		return -e->code;
	if (!(statfs(dir, &fs) == 0 && fs.f_type == TMPFS_MAGIC_ && volume_is_mount(dir)) &&
	    mount("tmpfs", dir, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0711,size=64m") < 0)
		return err_errno(e, errno, "mount tmpfs on '%s'", dir);
	n->volatile_ready = true;
	return 0;
}

static char *volume_dir(struct pod *p, const struct volume_type *t, const char *name)
{
	if (t->in_memory)
		return xasprintf("%s/volatile/%s/%s/%s", p->agent->state_dir, p->uid, t->plugin, name);
	return xasprintf("%s/files/%s/volumes/%s/%s", p->agent->state_dir, p->uid, t->plugin, name);
}

static int volume_type_up(struct pod *p, const struct node *vol, struct obj *pv, struct err *e)
{
	const char *name = node_gets(vol, F_name);
	const struct node *spec = pv ? node_get(obj_node(pv), F_spec) : NULL;
	const struct volume_type *t = volume_type_of(pv ? spec : vol);
	_cleanup_free_ char *dir = NULL, *path = NULL;
	int r;

	if (!t)
		return volume_unknown(pv ? spec : vol, e);
	if (pv && volume_is_block(spec) && t != &volume_local)
		return err_set(e, ERR_INVALID,
			       "volumeMode Block: this node passes block devices of local volumes only to containers; use a "
			       "PersistentVolume of the type local, or one with volumeMode Filesystem");
	if (volume_is_for_one(spec) && volume_in_use(p, node_gets(node_get(spec, F_claimRef), F_name)))
		return err_set(e, ERR_CONFLICT,
			       "volume uses the ReadWriteOncePod access mode and is already in use by another pod");
	if (t->in_memory && volatile_ready(p->agent, e) < 0)
		return -e->code;
	dir = volume_dir(p, t, name);
	struct volume_ctx v = {
		.pod = p, .vol = vol, .src = node_get(pv ? spec : vol, t->field), .pv_spec = spec, .dir = dir};
	if (pv && volume_is_made_here(obj_node(pv)))
		v.made_here = volume_bytes(obj_node(pv));
	r = t->up(&v, &path, e);
	if (r < 0)
		return r;
	if (!p->mounted)
		p->mounted = map_new(free);
	map_set(p->mounted, str_of(name), xstrdup(path ? path : dir));
	return 0;
}

/* The kubelet has different words for what went wrong before it was known what to mount, and afterwards. */
static int volume_up(struct pod *p, const struct node *vol, struct err *e)
{
	const char *name = node_gets(vol, F_name);
	struct obj *pv;
	int r = volume_claimed(p, vol, &pv, e);
	bool block = r == 0 && pv && volume_is_block(node_get(obj_node(pv), F_spec));

	if (r == 0 && pv)
		r = volume_check_mode(p, name, node_get(obj_node(pv), F_spec), e);
	if (r < 0 && err_is_set(e))
		return err_wrap(e,
				"Unable to attach or mount volumes: unmounted volumes=[%s], unattached volumes=[], failed to "
				"process volumes=[%s]",
				name, name);
	if (r == 0)
		r = volume_type_up(p, vol, pv, e);
	if (r < 0 && err_is_set(e))
		return err_wrap(e, "%s failed for volume \"%s\" ", block ? "MapVolume.SetUpDevice" : "MountVolume.SetUp",
				pv ? pv->name : name);
	return r;
}

int volumes_up(struct pod *p, struct err *e)
{
	bool wait = false;

	p->volumes_gone = false;
	NODE_FOREACH (vol, node_get(pod_spec(p), F_volumes)) {
		int r = volume_up(p, vol, e);

		if (r == -EAGAIN && !err_is_set(e))
			wait = true;
		else if (r < 0)
			return r;
	}
	if (wait)
		return -EAGAIN;
	volume_limits_watch(p);
	return 0;
}

void volumes_refresh(struct pod *p)
{
	NODE_FOREACH (vol, node_get(pod_spec(p), F_volumes)) {
		const struct volume_type *t = volume_type_of(vol);
		_cleanup_err_ struct err e = ERR_INIT;
		int r;

		if (!t || !t->refreshed)
			continue;
		r = volume_up(p, vol, &e);
		if (r < 0 && err_is_set(&e))
			pod_event_again(p, "FailedMount", err_msg(&e));
	}
}

const char *volume_path(struct pod *p, const char *name)
{
	return map_getc(p->mounted, name);
}

dev_t volume_device(struct pod *p, const char *name)
{
	_cleanup_free_ char *node = volume_dir(p, &volume_local, name);
	struct stat st;

	return lstat(node, &st) == 0 && S_ISBLK(st.st_mode) ? st.st_rdev : 0;
}

/* --- taking away; goes by what is on disk, so that it also works for pods whose object is gone --- */

static const struct volume_type *type_of_plugin(const char *plugin)
{
	for (size_t i = 0; i < ARRAY_SIZE(volume_types); i++)
		if (streq_null(volume_types[i]->plugin, plugin))
			return volume_types[i];
	return NULL;
}

static int plugin_down(const char *dir, const struct volume_type *t, struct err *e)
{
	DIR *d = opendir(dir);
	int r = 0;

	for (struct dirent *de = d ? readdir(d) : NULL; de && r == 0; de = readdir(d)) {
		_cleanup_free_ char *vol = NULL;

		if (streq(de->d_name, ".") || streq(de->d_name, ".."))
			continue;
		vol = path_join(dir, de->d_name);
		r = t && t->down ? t->down(vol, e) : path_remove_tree(vol, e);
	}
	if (d)
		closedir(d);
	return r;
}

static int tree_down(const char *root, struct err *e)
{
	DIR *d = opendir(root);
	int r = 0;

	for (struct dirent *de = d ? readdir(d) : NULL; de && r == 0; de = readdir(d)) {
		_cleanup_free_ char *dir = NULL;

		if (streq(de->d_name, ".") || streq(de->d_name, ".."))
			continue;
		dir = path_join(root, de->d_name);
		r = plugin_down(dir, type_of_plugin(de->d_name), e);
	}
	if (d)
		closedir(d);
	return r;
}

int volumes_down(const char *state_dir, const char *uid, struct err *e)
{
	_cleanup_free_ char *disk = xasprintf("%s/files/%s/volumes", state_dir, uid);
	_cleanup_free_ char *mem = xasprintf("%s/volatile/%s", state_dir, uid);

	if (tree_down(disk, e) < 0)
		return -e->code;
	if (path_exists(mem))
		return path_remove_tree(mem, e);
	return 0;
}

/* --- which objects a pod's volumes show --- */

static bool source_refers(const struct node *s, enum agent_ref kind, const char *name)
{
	if (kind == REF_CONFIGMAP)
		return node_streq(node_path(s, F_configMap, F_name), name);
	return node_streq(node_path(s, F_secret, F_secretName), name) ||
	       node_streq(node_path(s, F_secret, F_name), name);
}

static bool items_show_pod(const struct node *items)
{
	NODE_FOREACH (i, items) {
		const char *path = node_gets(node_get(i, F_fieldRef), F_fieldPath);

		if (starts_with(path, "metadata.labels") || starts_with(path, "metadata.annotations"))
			return true;
	}
	return false;
}

bool volumes_show_pod(struct pod *p)
{
	NODE_FOREACH (vol, node_get(pod_spec(p), F_volumes)) {
		if (items_show_pod(node_path(vol, F_downwardAPI, F_items)))
			return true;
		NODE_FOREACH (s, node_path(vol, F_projected, F_sources))
			if (items_show_pod(node_path(s, F_downwardAPI, F_items)))
				return true;
	}
	return false;
}

bool volumes_refer(struct pod *p, enum agent_ref kind, const char *name)
{
	NODE_FOREACH (vol, node_get(pod_spec(p), F_volumes)) {
		if (source_refers(vol, kind, name))
			return true;
		NODE_FOREACH (s, node_path(vol, F_projected, F_sources))
			if (source_refers(s, kind, name))
				return true;
	}
	return false;
}
