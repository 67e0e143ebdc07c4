/*
 * The agent's life. At start it asks the runtime for the sandboxes of a former
 * life and the API for this node's pods; when both are known, sandboxes are
 * matched to pods by uid (what has no pod is destroyed), and from then on the
 * pods' watch drives one worker for each (pod.c).
 *
 * Mirrors the kubelet's syncLoop, with the informer in place of its config
 * sources and the runtime's callbacks in place of the pod life-cycle event
 * generator: nothing is listed again periodically.
 */
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "node/isolate.h"
#include "node/pressure.h"
#include "node/logs.h"
#include "node/stats.h"
#include "node/static.h"
#include "node/pull.h"

#define DEFAULT_MAX_PODS 110

static char **copy_strings(const char *const *v)
{
	size_t n = 0;
	char **out;

	while (v && v[n])
		n++;
	out = xcalloc(n + 1, sizeof(*out));
	for (size_t i = 0; i < n; i++)
		out[i] = xstrdup(v[i]);
	return out;
}

static void free_strings(char **v)
{
	for (size_t i = 0; v && v[i]; i++)
		free(v[i]);
	free(v);
}

int agent_check_args(const char *const *kubelet_args, struct err *e)
{
	struct node_agent scratch = {.settings = settings_new(),
				     .gc_policy = (struct image_gc_policy)IMAGE_GC_POLICY_DEFAULT};
	int r = args_apply(&scratch, kubelet_args, e);

	args_release(&scratch);
	free(scratch.settings);
	free_strings(scratch.labels);
	free_strings(scratch.taints);
	return r;
}

int agent_new(struct node_agent **ret, const struct node_config *cfg, struct err *e)
{
	struct node_agent *n = xcalloc(1, sizeof(*n));
	char host[256] = "";

	n->loop = cfg->loop;
	n->client = cfg->client;
	n->name = xstrdup(cfg->name);
	n->ip = xstrdup(cfg->ip ? cfg->ip : "");
	n->ip2 = xstrdup(cfg->ip2 ? cfg->ip2 : "");
	n->pod_cidr = xstrdup_null(cfg->pod_cidr);
	n->external_ip = xstrdup_null(cfg->external_ip);
	n->state_dir = xstrdup(cfg->state_dir);
	n->version = xstrdup(cfg->version);
	n->pod_logs_dir = cfg->pod_logs_dir ? xstrdup(cfg->pod_logs_dir) : xasprintf("%s/logs/pods", cfg->state_dir);
	n->dns = xstrdup_null(cfg->cluster_dns);
	n->domain = xstrdup(cfg->cluster_domain ? cfg->cluster_domain : "cluster.local");
	n->resolv_conf = xstrdup(cfg->resolv_conf ? cfg->resolv_conf : "/etc/resolv.conf");
	n->service_host = xstrdup_null(cfg->service_host);
	n->service_port = cfg->service_port;
	n->labels = copy_strings(cfg->labels);
	n->taints = copy_strings(cfg->taints);
	n->max_pods = cfg->max_pods ? cfg->max_pods : DEFAULT_MAX_PODS;
	n->runtime = cfg->runtime;
	n->images = cfg->images;
	n->gc_policy = cfg->image_gc.high_percent ? cfg->image_gc : (struct image_gc_policy)IMAGE_GC_POLICY_DEFAULT;
	n->net = cfg->net;
	gethostname(host, sizeof(host) - 1);
	n->hostname = xstrdup(*host ? host : cfg->name);
	n->r_pods = schema_res("", "pods");
	n->r_nodes = schema_res("", "nodes");
	n->r_accounts = schema_res("", "serviceaccounts");
	n->r_leases = schema_res("coordination.k8s.io", "leases");
	n->by_uid = map_new(NULL);
	n->found = map_new(NULL);
	n->lost = map_new(NULL);
	n->settings = settings_new();
	if (args_apply(n, cfg->kubelet_args, e) < 0 || path_mkdirs(n->state_dir, 0711, e) < 0 ||
	    node_measure(n, e) < 0) {
		agent_free(n);
		return -e->code;
	}
	n->statics = statics_new(n, cfg->manifest_dir);
	n->stats = stats_new(n);
	n->evict = evict_new(n);
	n->server = server_new(n);
	if (cfg->listen.address && server_listen(n->server, &cfg->listen, e) < 0) {
		agent_free(n);
		return -e->code;
	}
	*ret = n;
	return 0;
}

static void unsubscribe(struct informer *i, struct node_agent *n)
{
	if (i)
		informer_unsubscribe(i, n);
}

struct node_agent *agent_free(struct node_agent *n)
{
	struct map_iter it = {0};

	if (!n)
		return NULL;
	n->ending = true;
	volume_jobs_end(n);
	statics_free(n->statics);
	image_store_unwatch(n->images);
	unsubscribe(n->pods, n);
	unsubscribe(n->nodes, n);
	agent_refs_free(n);
	handler_release(n);
	server_free(n->server);
	n->evict = evict_free(n->evict);
	stats_free(n->stats);
	pulls_forget(n);
	while (map_next(n->by_uid, &it))
		pod_free(it.value);
	map_free(n->by_uid);
	map_free(n->found);
	map_free(n->lost);
	loop_timer_free(n->register_timer);
	loop_timer_free(n->status_timer);
	loop_timer_free(n->lease_timer);
	obj_unref(n->node);
	free_strings(n->labels);
	free_strings(n->taints);
	args_release(n);
	free(n->settings);
	free(n->status_sent);
	free(n->name);
	free(n->ip);
	free(n->ip2);
	free(n->pod_cidr);
	free(n->external_ip);
	free(n->state_dir);
	free(n->version);
	free(n->pod_logs_dir);
	free(n->dns);
	free(n->domain);
	free(n->resolv_conf);
	free(n->service_host);
	free(n->hostname);
	free(n);
	return NULL;
}

/* --- pods --- */

struct pod *agent_pod(struct node_agent *n, const char *ns, const char *name)
{
	struct map_iter it = {0};
	struct pod *gone = NULL;

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		if (!streq(p->ns, ns) || !streq(p->name, name))
			continue;
		if (!p->gone)
			return p;
		gone = p;
	}
	return gone;
}

/* There is room: a resize that waits for some is tried again. */
static void kick_deferred(struct node_agent *n)
{
	struct map_iter it = {0};

	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		if (p->resize_reason && streq(p->resize_reason, "Deferred"))
			pod_kick(p);
	}
}

void agent_forget(struct node_agent *n, struct pod *p)
{
	bool was_static = p->is_static;

	map_del(n->by_uid, str_of(p->uid));
	pod_free(p);
	kick_deferred(n);
	if (was_static && !n->ending)
		statics_run(n->statics); /* another of its name may wait */
}

struct pod *agent_add(struct node_agent *n, struct obj *o)
{
	struct pod *p = pod_new(n, o);
	struct sandbox *s = map_take(n->found, str_of(o->uid));

	map_set(n->by_uid, str_of(o->uid), p);
	pod_adopt(p, s, s && !map_getc(n->lost, o->uid));
	return p;
}

static void on_pod(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct node_agent *n = arg;
	struct pod *p;

	if (!n->begun || !*o->uid)
		return;
	if (static_mirror_hash(o)) {
		static_mirror_seen(n, o, t == WATCH_DELETED);
		return;
	}
	p = map_getc(n->by_uid, o->uid);
	if (t == WATCH_DELETED) {
		if (p)
			pod_object_gone(p, o);
	} else if (p) {
		pod_update(p, o);
	} else {
		/* A pod of the same name that was replaced between two looks has gone. */
		p = agent_pod(n, o->ns, o->name);
		if (p && !p->gone && !p->is_static)
			pod_object_gone(p, p->obj);
		agent_add(n, o);
	}
}

/* --- what was left by an earlier life --- */

struct orphan {
	struct node_agent *agent;
	struct sandbox *sandbox;
	char *uid;
	struct loop_timer *timer; /* trying again */
};

static bool holder_is_of(void *uid, const char *holder)
{
	const char *sep = strrchr(holder, '_');

	return sep && streq(sep + 1, uid);
}

void agent_unhold_images(struct node_agent *n, const char *uid)
{
	image_unhold_if(n->images, holder_is_of, (void *)uid);
}

static bool holder_is_lost(void *agent, const char *holder)
{
	struct node_agent *n = agent;
	const char *sep = strrchr(holder, '_');

	return sep && !map_getc(n->by_uid, sep + 1) && !map_getc(n->found, sep + 1);
}

static void remove_leftovers(struct node_agent *n, const char *uid)
{
	_cleanup_free_ char *dir = xasprintf("%s/files/%s", n->state_dir, uid);
	_cleanup_err_ struct err e = ERR_INIT;

	if (n->net && net_detach(n->net, uid, &e) < 0)
		log_warn("cannot free a pod's address, ignoring", LS("uid", uid), LE(&e));
	err_release(&e);
	agent_unhold_images(n, uid);
	if (volumes_down(n->state_dir, uid, &e) < 0 || path_remove_tree(dir, &e) < 0)
		log_warn("cannot remove what a pod left, ignoring", LS("uid", uid), LE(&e));
}

static void orphan_gone(void *arg, const struct err *err)
{
	struct orphan *o = arg;

	if (err) {
		log_warn("cannot remove a sandbox without a pod, trying again", LS("uid", o->uid), LE(err));
		loop_timer_set(o->timer, SEC_MS);
		return;
	}
	remove_leftovers(o->agent, o->uid);
	loop_timer_free(o->timer);
	free(o->uid);
	free(o);
}

static void orphan_destroy(void *arg)
{
	struct orphan *o = arg;

	sandbox_destroy(o->sandbox, orphan_gone, o);
}

static void destroy_orphans(struct node_agent *n)
{
	struct map_iter it = {0};

	while (map_next(n->found, &it)) {
		struct orphan *o = xcalloc(1, sizeof(*o));

		o->agent = n;
		o->sandbox = it.value;
		o->uid = str_dup(it.key);
		o->timer = loop_timer_new(n->loop, orphan_destroy, o);
		log_info("removing a sandbox whose pod is gone", LS("uid", o->uid));
		orphan_destroy(o);
	}
}

/* Directories of pods that are neither in the API nor have a sandbox. uid_at: the uid's place in the name. */
static void sweep(struct node_agent *n, const char *sub, char sep,
		  void (*drop)(struct node_agent *, const char *, const char *))
{
	_cleanup_free_ char *dir = path_join(n->state_dir, sub);
	DIR *d = opendir(dir);

	for (struct dirent *de = d ? readdir(d) : NULL; de; de = readdir(d)) {
		const char *uid = sep ? strrchr(de->d_name, sep) : de->d_name;
		_cleanup_free_ char *path = path_join(dir, de->d_name);

		if (de->d_name[0] == '.' || !uid)
			continue;
		uid += sep ? 1 : 0;
		if (!map_getc(n->by_uid, uid) && !map_getc(n->found, uid))
			drop(n, uid, path);
	}
	if (d)
		closedir(d);
}

static void drop_files(struct node_agent *n, const char *uid, const char *path UNUSED)
{
	remove_leftovers(n, uid);
}

static void drop_tree(struct node_agent *n UNUSED, const char *uid UNUSED, const char *path)
{
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_remove_tree(path, &e) < 0)
		log_warn("cannot remove what a pod left, ignoring", LS("path", path), LE(&e));
}

static int cstr_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Addresses of pods that are here, or whose sandbox still is. */
static void reconcile_net(struct node_agent *n)
{
	struct map_iter it = {0};
	const char **keep = xcalloc(map_count(n->by_uid) + map_count(n->found) + 1, sizeof(*keep));
	char **owned;
	size_t k = 0, own = 0;

	owned = xcalloc(map_count(n->found) + 1, sizeof(*owned));
	while (map_next(n->by_uid, &it))
		keep[k++] = ((struct pod *)it.value)->uid;
	it = (struct map_iter){0};
	while (map_next(n->found, &it))
		keep[k++] = owned[own++] = str_dup(it.key);
	qsort(keep, k, sizeof(*keep), cstr_cmp);
	if (n->net)
		net_reconcile(n->net, keep, k);
	free_strings(owned);
	free(keep);
}

/* --- start --- */

static void images_changed(void *arg);

static void agent_begin(struct node_agent *n)
{
	if (n->begun || !n->recovered || !informer_synced(n->pods))
		return;
	n->begun = true;
	log_links_sweep(n);
	statics_start(n->statics);
	for (struct obj *o = informer_next(n->pods, NULL, NULL); o; o = informer_next(n->pods, NULL, o))
		if (static_mirror_hash(o))
			static_mirror_seen(n, o, false);
		else if (!map_getc(n->by_uid, o->uid))
			agent_add(n, o);
	reconcile_net(n);
	sweep(n, "files", 0, drop_files);
	sweep(n, "volatile", 0, drop_files);
	sweep(n, "logs/pods", '_', drop_tree);
	image_unhold_if(n->images, holder_is_lost, n);
	destroy_orphans(n);
	map_clear(n->found);
	map_clear(n->lost);
	log_info("following pods", LS("node", n->name), LI("pods", map_count(n->by_uid)));
}

static void pods_synced(void *arg)
{
	agent_begin(arg);
}

static const struct informer_ops pod_ops = {.on_event = on_pod, .on_synced = pods_synced};

static void on_node(void *arg, enum watch_type t, struct obj *o, struct obj *old UNUSED)
{
	struct node_agent *n = arg;

	bool known = n->node;

	if (!streq(o->name, n->name))
		return;
	register_seen(n, t == WATCH_DELETED ? NULL : o);
	if (!known && n->node)
		statics_kick(n->statics);
}

static const struct informer_ops node_ops = {.on_event = on_node};

static void sandbox_found(void *arg, struct sandbox *s)
{
	struct node_agent *n = arg;

	map_set(n->found, str_of(sandbox_id(s)), s);
	if (sandbox_pid(s) <= 0)
		map_set(n->lost, str_of(sandbox_id(s)), s);
}

static void recover_done(void *arg)
{
	struct node_agent *n = arg;

	n->recovered = true;
	register_start(n);
	agent_begin(n);
}

void agent_start(struct node_agent *n)
{
	_cleanup_free_ char *pods = xasprintf("spec.nodeName=%s", n->name),
			    *self = xasprintf("metadata.name=%s", n->name);
	_cleanup_err_ struct err e = ERR_INIT;

	n->pods = informer_get(n->client, n->r_pods, pods);
	informer_subscribe(n->pods, &pod_ops, n);
	n->nodes = informer_get(n->client, n->r_nodes, self);
	informer_subscribe(n->nodes, &node_ops, n);
	if (image_store_watch(n->images, images_changed, n, &e) < 0)
		log_warn("images that are imported are noticed only when a pod asks for them", LE(&e));
	image_folder_start(n->images);
	(void)agent_services(n); /* nearly every container needs them */
	run_recover(n->runtime, sandbox_found, recover_done, n);
}

/* --- what the runtime tells --- */

void agent_on_exit(void *agent, struct sandbox *s, const struct container_status *st)
{
	struct node_agent *n = agent;
	struct pod *p = map_getc(n->by_uid, sandbox_id(s));
	struct ctr *c = p ? pod_ctr(p, st->name) : NULL;

	if (c) /* else: recovery; adoption reads the state */
		ctr_ended(c, st);
}

void agent_on_sandbox_lost(void *agent, struct sandbox *s)
{
	struct node_agent *n = agent;
	struct pod *p = map_getc(n->by_uid, sandbox_id(s));

	if (p)
		pod_sandbox_lost(p);
	else if (!n->begun)
		map_set(n->lost, str_of(sandbox_id(s)), s);
}

/* --- images --- */

/* ... in vain so far, and now it is here. */
static bool waits_for_image(struct ctr *c)
{
	const struct node *spec = ctr_spec(c);
	struct image *i;

	if (!spec || !c->reason || !(starts_with(c->reason, "ErrImage") || starts_with(c->reason, "ImagePull") ||
				     streq(c->reason, "RegistryUnavailable")))
		return false;
	i = image_find(c->pod->agent->images, node_gets(spec, F_image));
	image_unref(i);
	return i != NULL;
}

/* Images came or went: the Node's list is updated, and pods that wait for an image try again. */
static void images_changed(void *arg)
{
	struct node_agent *n = arg;
	struct map_iter it = {0};

	node_status_run(n);
	while (map_next(n->by_uid, &it)) {
		struct pod *p = it.value;

		for (size_t i = 0; i < p->n_ctrs; i++) {
			struct ctr *c = p->ctrs[i];

			if (c->state == CTR_WAIT && waits_for_image(c)) {
				c->retry_ms = 0;
				c->pull = (struct backoff){0};
				pod_kick(p);
			}
		}
	}
}

int agent_dial(struct node_agent *n)
{
	return server_dial(n->server);
}
