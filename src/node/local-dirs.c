/*
 * Follows PersistentVolumes. What must never happen is that a directory is removed
 * that is none of ours because an object says so: provisioned volumes are only
 * removed below the node's own storage directory, hostPath ones (as in Kubernetes)
 * only below /tmp; to recycle a hostPath is its maker's explicit wish, and still
 * not granted for the first level of the file system.
 */
#include "node/local-dirs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/job.h"
#include "base/log.h"
#include "base/map.h"
#include "base/path.h"
#include "node/quota.h"
#include "node/volume-work.h"
#include "schema/claims.h"

struct local_dirs {
	struct client *client;
	struct loop *loop;
	char *node, *dir;
	struct informer *volumes, *nodes; /* the latter: whose turn a hostPath without a node is */
	struct job_queue *jobs;
	struct map *busy; /* volumes that are being cleaned, by name */
	bool told; /* whether volumes are held to their size */
};

struct local_clean {
	struct local_dirs *l;
	struct obj *volume;
	char *path;
	bool remove; /* the directory too */
	struct err err;
};

struct local_make {
	struct local_dirs *l;
	char *path;
	int64_t bytes;
	int held;
	struct err err;
};

static struct job_queue *local_jobs(struct local_dirs *l)
{
	if (!l->jobs)
		l->jobs = job_queue_new(l->loop, "volumes", 1, 4096);
	return l->jobs;
}

/* --- whose is it --- */

static bool local_names_node(const struct node *affinity, const char *node)
{
	NODE_FOREACH(term, node_path(affinity, F_required, F_nodeSelectorTerms))
		NODE_FOREACH(x, node_get(term, F_matchExpressions))
			NODE_FOREACH(v, node_get(x, F_values))
				if (streq(node_gets(x, F_key), "kubernetes.io/hostname") && node_streq(v, node))
					return true;
	return false;
}

/* A volume that is tied to no node is looked after by the first of all nodes; while they are not known, by nobody. */
static bool local_is_first(struct local_dirs *l)
{
	struct obj *first = informer_synced(l->nodes) ? informer_next(l->nodes, NULL, NULL) : NULL;

	return first && streq(first->name, l->node);
}

static bool local_is_ours(struct local_dirs *l, const struct node *spec)
{
	const struct node *affinity = node_get(spec, F_nodeAffinity);

	return affinity ? local_names_node(affinity, l->node) : local_is_first(l);
}

static bool local_is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && path[n] == '/' && path[n + 1] && !strstr(path, "/..") && !strstr(path, "/./") &&
	       !strstr(path, "//");
}

/* --- cleaning, off the loop --- */

static int local_empty(const char *path, struct err *e)
{
	DIR *d = opendir(path);
	struct dirent *ent;
	int r = 0;

	if (!d)
		return errno == ENOENT ? 0 : err_errno(e, errno, "open '%s'", path);
	while (r == 0 && (ent = readdir(d)) != NULL) {
		_cleanup_free_ char *one = NULL;

		if (streq(ent->d_name, ".") || streq(ent->d_name, ".."))
			continue;
		one = path_join(path, ent->d_name);
		r = path_remove_tree(one, e);
	}
	closedir(d);
	return r;
}

static void local_clean_run(void *arg)
{
	struct local_clean *c = arg;
	int r = c->remove ? quota_remove_tree(c->path, &c->err) : local_empty(c->path, &c->err);

	(void)r;
}

static void local_fail(struct local_clean *c)
{
	const char *reason = c->remove ? "VolumeFailedDelete" : "VolumeFailedRecycle";
	_cleanup_free_ char *text = xasprintf("%s%s", c->remove ? "" : "Recycle failed: ", err_msg(&c->err));
	struct doc *d = doc_clone(obj_doc(c->volume));
	struct node *status = node_need_object(d, doc_root(d), F_status);

	client_event(c->l->client, c->volume, NULL, "kinglet.io/local-path", c->l->node, "Warning", reason, "%s", text);
	node_sets(d, status, F_phase, "Failed");
	node_sets(d, status, F_message, text);
	client_update(c->l->client, c->volume->res, "", c->volume->name, "status", d, NULL, NULL);
}

static void local_recycled(struct local_clean *c)
{
	struct doc *d = doc_clone(obj_doc(c->volume));

	client_event(c->l->client, c->volume, NULL, "persistentvolume-controller", NULL, "Normal", "VolumeRecycled",
		     "Volume recycled");
	volume_unbind(d);
	client_update(c->l->client, c->volume->res, "", c->volume->name, NULL, d, NULL, NULL);
}

static void local_clean_done(void *arg)
{
	struct local_clean *c = arg;

	map_del(c->l->busy, str_of(c->volume->name));
	if (err_is_set(&c->err))
		local_fail(c);
	else if (c->remove)
		client_delete(c->l->client, c->volume->res, "", c->volume->name, c->volume->uid, -1, NULL, NULL);
	else
		local_recycled(c);
	err_release(&c->err);
	obj_unref(c->volume);
	free(c->path);
	free(c);
}

static void local_clean(struct local_dirs *l, struct obj *o, const char *path, bool remove)
{
	struct local_clean *c;

	if (map_getc(l->busy, o->name))
		return;
	c = xcalloc(1, sizeof(*c));
	*c = (struct local_clean){ .l = l, .volume = obj_ref(o), .path = xstrdup(path), .remove = remove };
	map_set(l->busy, str_of(o->name), c);
	if (job_submit(local_jobs(l), local_clean_run, local_clean_done, c) == 0)
		return;
	map_del(l->busy, str_of(o->name)); /* thousands wait: the next event of the volume asks again */
	obj_unref(c->volume);
	free(c->path);
	free(c);
}

/* --- what happens to volumes --- */

static void local_make_run(void *arg)
{
	struct local_make *m = arg;

	m->held = local_dir_make(m->path, m->bytes, &m->err);
}

static void local_make_done(void *arg)
{
	struct local_make *m = arg;
	struct local_dirs *l = m->l;

	if (m->held < 0) {
		log_warn("can't make a volume's directory", LS("path", m->path), LE(&m->err));
	} else if (!l->told) {
		l->told = true;
		if (m->held)
			log_info("volumes of local-path are held to their size by project quotas", LS("dir", l->dir));
		else
			log_info("volumes of local-path may outgrow their size: the file system has no project quotas",
				 LS("dir", l->dir));
	}
	err_release(&m->err);
	free(m->path);
	free(m);
}

static void local_make(struct local_dirs *l, const char *path, int64_t bytes)
{
	struct local_make *m = xcalloc(1, sizeof(*m));

	*m = (struct local_make){ .l = l, .path = xstrdup(path), .bytes = bytes };
	if (job_submit(local_jobs(l), local_make_run, local_make_done, m) == 0)
		return;
	free(m->path); /* the pod that uses it makes it, too */
	free(m);
}

static void local_released(struct local_dirs *l, struct obj *o, const struct node *spec, const char *path, bool provisioned)
{
	const char *policy = node_gets(spec, F_persistentVolumeReclaimPolicy);

	if (streq(policy, "Delete") && (provisioned ? local_is_below(path, l->dir) : local_is_below(path, "/tmp")))
		local_clean(l, o, path, true);
	else if (streq(policy, "Recycle") && *path == '/' && strchr(path + 1, '/'))
		local_clean(l, o, path, false);
}

static void local_on_volume(void *arg, enum watch_type t, struct obj *o, struct obj *old)
{
	struct local_dirs *l = arg;
	const struct node *root = obj_node(o), *spec = node_get(root, F_spec);
	const char *path = node_gets(node_get(spec, F_hostPath), F_path), *by = meta_annotation(root, VOLUME_PROVISIONER);
	bool provisioned = by && provisioner_is_local(by), released;

	if (t == WATCH_DELETED || !*path)
		return;
	released = node_streq(node_path(root, F_status, F_phase), "Released");
	if ((!released && !provisioned) || !local_is_ours(l, spec))
		return;
	if (released)
		local_released(l, o, spec, path, provisioned);
	else if (local_is_below(path, l->dir) && !(old && volume_bytes(obj_node(old)) == volume_bytes(root)))
		local_make(l, path, volume_bytes(root));
}

static const struct informer_ops local_ops = { local_on_volume, NULL };

static void local_on_node(void *arg, enum watch_type t, struct obj *o UNUSED, struct obj *old UNUSED)
{
	struct local_dirs *l = arg;
	struct obj *v = NULL;

	if (t == WATCH_MODIFIED || !informer_synced(l->nodes))
		return;
	while ((v = informer_next(l->volumes, NULL, v)) != NULL) /* another one may be the first now */
		local_on_volume(l, WATCH_MODIFIED, v, NULL);
}

static void local_nodes_synced(void *arg)
{
	local_on_node(arg, WATCH_ADDED, NULL, NULL);
}

static const struct informer_ops local_node_ops = { local_on_node, local_nodes_synced };

struct local_dirs *local_dirs_new(struct client *c, const char *node, const char *dir)
{
	struct local_dirs *l = xcalloc(1, sizeof(*l));

	*l = (struct local_dirs){ .client = c, .loop = client_loop(c), .node = xstrdup(node), .dir = xstrdup(dir),
				  .busy = map_new(NULL) };
	l->volumes = informer_get(c, schema_res("", "persistentvolumes"), NULL);
	l->nodes = informer_get(c, schema_res("", "nodes"), NULL);
	informer_subscribe(l->volumes, &local_ops, l);
	informer_subscribe(l->nodes, &local_node_ops, l);
	return l;
}

struct local_dirs *local_dirs_free(struct local_dirs *l)
{
	if (!l)
		return NULL;
	informer_unsubscribe(l->volumes, l);
	informer_unsubscribe(l->nodes, l);
	job_queue_free(l->jobs);
	map_free(l->busy);
	free(l->node);
	free(l->dir);
	free(l);
	return NULL;
}
