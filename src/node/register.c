/*
 * The Node object: made at first start with its labels and taints; its status
 * (capacity, addresses, conditions, system information, images) is sent when
 * something in it changed, and every 5 minutes for the heartbeat times.
 * Texts and reasons of the conditions are the kubelet's.
 */
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/arch.h"
#include "node/isolate.h"
#include "node/pressure.h"
#include "node/pull.h"

#define STATUS_EVERY_MS 300000
#define RETRY_MS 1000
#define NAMES_MAX 5 /* of an image */

int node_measure(struct node_agent *n, struct err *e)
{
	_cleanup_buf_ struct buf mem = BUF_INIT;
	struct statvfs fs;
	const char *s;

	n->cpu_milli = max_i64(sysconf(_SC_NPROCESSORS_ONLN), 1) * 1000;
	if (path_read("/proc/meminfo", 64 << 10, &mem, e) < 0)
		return -e->code;
	s = strstr(mem.s, "MemTotal:");
	n->memory_bytes = s ? strtoll(s + 9, NULL, 10) * 1024 : 0;
	s = strstr(mem.s, "SwapTotal:");
	n->swap_bytes = s ? strtoll(s + 10, NULL, 10) * 1024 : 0;
	if (statvfs(n->state_dir, &fs) == 0)
		n->disk_bytes = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
	return 0;
}

/* The first line of a small file, "" when there is none. */
static const char *first_line(const char *path, struct buf *b)
{
	_cleanup_err_ struct err e = ERR_INIT;

	buf_clear(b);
	if (path_read(path, 4096, b, &e) < 0)
		buf_clear(b);
	buf_truncate(b, strcspn(b->s, "\n"));
	return b->s;
}

static void os_image(struct buf *out)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct str rest;

	if (path_read("/etc/os-release", 16 << 10, &b, &e) < 0)
		return;
	for (rest = buf_str(&b); rest.p;) {
		struct str line = str_cut(&rest, '\n');

		if (!str_starts(line, STR_LIT("PRETTY_NAME=")))
			continue;
		line = str_sub(line, 12, line.n);
		if (line.n >= 2 && (line.p[0] == '"' || line.p[0] == '\''))
			line = str_sub(line, 1, line.n - 1);
		buf_addstr(out, line);
		return;
	}
}

static void put_info(struct node_agent *n, struct doc *d, struct node *status)
{
	struct node *i = node_need_object(d, status, F_nodeInfo);
	_cleanup_buf_ struct buf b = BUF_INIT, os = BUF_INIT;
	struct utsname u;

	uname(&u);
	os_image(&os);
	node_sets(d, i, F_machineID, first_line("/etc/machine-id", &b));
	node_sets(d, i, F_systemUUID,
		  *first_line("/sys/class/dmi/id/product_uuid", &b) ? b.s
								    : first_line("/etc/machine-id", &b));
	node_sets(d, i, F_bootID, first_line("/proc/sys/kernel/random/boot_id", &b));
	node_sets(d, i, F_kernelVersion, u.release);
	node_sets(d, i, F_osImage, os.len ? os.s : "Linux");
	node_set(d, i, F_containerRuntimeVersion,
		 node_new_fmt(d, NODE_RUNTIME "://%s", n->version[0] == 'v' ? n->version + 1 : n->version));
	node_sets(d, i, F_kubeletVersion, n->version);
	node_sets(d, i, F_kubeProxyVersion, "");
	node_sets(d, i, F_operatingSystem, "linux");
	node_sets(d, i, F_architecture, ARCH_NAME);
	if (n->swap_bytes)
		node_seti(d, node_need_object(d, i, F_swap), F_capacity, n->swap_bytes);
}

static void put_cond(struct node_agent *n, struct doc *d, struct node *list, const char *type, bool on,
		     const char *reason, const char *message)
{
	const struct node *have = n->node ? node_path(obj_node(n->node), F_status, F_conditions) : NULL;
	const struct node *old = cond_find(have, type), *when = node_get(old, F_lastTransitionTime);
	struct node *c = node_append(list, node_new(d, DOC_OBJECT));
	const char *status = on ? "True" : "False";
	char now[TIME_RFC3339_LEN];

	time_fmt_rfc3339(now, time_wall_s());
	node_sets(d, c, F_type, type);
	node_sets(d, c, F_status, status);
	node_sets(d, c, F_lastHeartbeatTime, now);
	node_sets(d, c, F_lastTransitionTime,
		  when && node_streq(node_get(old, F_status), status) ? node_cstr_or(when, now) : now);
	node_sets(d, c, F_reason, reason);
	node_sets(d, c, F_message, message);
}

/* What this machine cannot do is said where `kubectl describe node` shows it. */
static void put_machine(struct node_agent *n, struct doc *d, struct node *list)
{
	const struct run_machine *m = run_machine(n->runtime);
	const char *net = n->net ? net_missing(n->net) : "";
	_cleanup_buf_ struct buf text = BUF_INIT;
	const char *const parts[] = {m->missing, net};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct str rest = str_of(parts[i]), line;

		while (rest.p) {
			line = str_trim(str_cut(&rest, '\n'));
			if (line.n)
				buf_addf(&text, "%s%" STR_FMT, text.len ? "; " : "", STR_ARG(line));
		}
	}
	if (text.len)
		put_cond(n, d, list, "FeaturesMissing", true, "MachineLacksFeatures", text.s);
}

static const struct pressure_text {
	const char *type, *reason[2], *message[2];
} pressure_texts[PRESSURES] = {
	{"MemoryPressure",
	 {"KubeletHasSufficientMemory", "KubeletHasInsufficientMemory"},
	 {"kubelet has sufficient memory available", "kubelet has insufficient memory available"}},
	{"DiskPressure",
	 {"KubeletHasNoDiskPressure", "KubeletHasDiskPressure"},
	 {"kubelet has no disk pressure", "kubelet has disk pressure"}},
	{"PIDPressure",
	 {"KubeletHasSufficientPID", "KubeletHasInsufficientPID"},
	 {"kubelet has sufficient PID available", "kubelet has insufficient PID available"}},
};

static void put_conditions(struct node_agent *n, struct doc *d, struct node *status)
{
	struct node *list = node_need_array(d, status, F_conditions);

	for (size_t i = 0; i < PRESSURES; i++) {
		const struct pressure_text *t = &pressure_texts[i];
		bool on = evict_pressure(n, (enum pressure)i);

		put_cond(n, d, list, t->type, on, t->reason[on], t->message[on]);
	}
	put_machine(n, d, list);
	if (n->recovered)
		put_cond(n, d, list, "Ready", true, "KubeletReady", "kubelet is posting ready status");
	else
		put_cond(n, d, list, "Ready", false, "KubeletNotReady",
			 "container runtime is recovering the pods of an earlier run");
}

struct images {
	VEC(struct image *) list;
};

static void image_take(void *arg, struct image *i)
{
	struct images *all = arg;

	VEC_PUSH(&all->list, image_ref_image(i));
}

static int image_size_cmp(const void *a, const void *b)
{
	const struct image *x = *(struct image *const *)a, *y = *(struct image *const *)b;

	return x->size < y->size ? 1 : x->size > y->size ? -1 : strcmp(x->id, y->id);
}

static void put_images(struct node_agent *n, struct doc *d, struct node *status)
{
	struct node *list = node_need_array(d, status, F_images);
	struct images all = {.list = VEC_INIT};
	int max = n->settings->images_max;

	image_each(n->images, image_take, &all);
	if (all.list.n)
		qsort(all.list.v, all.list.n, sizeof(*all.list.v), image_size_cmp);
	for (size_t i = 0; i < all.list.n; i++) {
		struct image *img = all.list.v[i];

		if (max < 0 || i < (size_t)max) {
			struct node *o = node_append(list, node_new(d, DOC_OBJECT)),
				    *names = node_need_array(d, o, F_names);

			if (!str_empty(img->repo_digest))
				node_append(names, node_new_cstr(d, img->repo_digest));
			for (size_t k = 0; img->names && img->names[k] && node_count(names) < NAMES_MAX; k++)
				node_append(names, node_new_cstr(d, img->names[k]));
			node_seti(d, o, F_sizeBytes, img->size);
		}
		image_unref(img);
	}
	VEC_RELEASE(&all.list);
}

static void put_address(struct doc *d, struct node *list, const char *type, struct str address)
{
	struct node *o;

	if (!address.n)
		return;
	o = node_append(list, node_new(d, DOC_OBJECT));
	node_sets(d, o, F_type, type);
	node_set(d, o, F_address, node_new_str(d, address));
}

static void put_addresses(struct node_agent *n, struct doc *d, struct node *status)
{
	struct node *list = node_need_array(d, status, F_addresses);

	put_address(d, list, "InternalIP", str_of(n->ip));
	if (*n->ip2)
		put_address(d, list, "InternalIP", str_of(n->ip2));
	for (struct str rest = str_of(n->external_ip); rest.p;)
		put_address(d, list, "ExternalIP", str_trim(str_cut(&rest, ',')));
	put_address(d, list, "Hostname", str_of(n->name));
}

/* Where the node's own port is; 0: it has none. */
static void put_endpoints(struct node_agent *n, struct doc *d, struct node *status)
{
	struct node *o = node_set(d, status, F_daemonEndpoints, node_new(d, DOC_OBJECT));

	node_set(d, node_set(d, o, F_kubeletEndpoint, node_new(d, DOC_OBJECT)), F_Port,
		 node_new_int(d, server_port(n->server)));
}

static void put_status(struct node_agent *n, struct doc *d, struct node *root)
{
	struct node *status = node_need_object(d, root, F_status);

	reserve_put(n, d, status);
	put_addresses(n, d, status);
	put_endpoints(n, d, status);
	put_info(n, d, status);
	put_images(n, d, status);
	put_conditions(n, d, status);
	handler_put(n, d, status);
}

struct doc *node_status_make(struct node_agent *n)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *all;

	doc_set_root(d, root);
	put_status(n, d, root);
	/* It is a patch that merges addresses by their type, of which there may be two. */
	all = node_append(node_get(node_get(root, F_status), F_addresses), node_new(d, DOC_OBJECT));
	node_setk(d, all, STR_LIT("$patch"), node_new_cstr(d, "replace"));
	return d;
}

/* --- the object --- */

static void put_label(struct doc *d, struct node *labels, const char *key, const char *value)
{
	node_setk(d, labels, str_of(key), node_new_cstr(d, value));
}

/* Those that are right at every start, not only at the first. */
static const struct {
	const char *key, *value; /* NULL: the node's name */
} default_labels[] = {
	{"beta.kubernetes.io/arch", ARCH_NAME}, {"beta.kubernetes.io/os", "linux"},
	{"kubernetes.io/arch", ARCH_NAME},	{"kubernetes.io/hostname", NULL},
	{"kubernetes.io/os", "linux"},		{"node.kubernetes.io/instance-type", NODE_RUNTIME},
};

static const char *default_label(const struct node_agent *n, size_t i)
{
	return default_labels[i].value ? default_labels[i].value : n->name;
}

static void put_labels(struct node_agent *n, struct doc *d, struct node *meta)
{
	struct node *l = node_need_object(d, meta, F_labels);

	for (size_t i = 0; i < ARRAY_SIZE(default_labels); i++)
		put_label(d, l, default_labels[i].key, default_label(n, i));
	for (size_t i = 0; n->labels && n->labels[i]; i++) {
		struct str s = str_of(n->labels[i]), key = str_cut(&s, '=');

		node_setk(d, l, key, node_new_str(d, s.p ? s : STR_LIT("")));
	}
}

/* "key=value:Effect" or "key:Effect" */
static void put_taints(struct node_agent *n, struct doc *d, struct node *root)
{
	for (size_t i = 0; n->taints && n->taints[i]; i++) {
		struct str s = str_of(n->taints[i]), kv = str_cut(&s, ':'), key = str_cut(&kv, '=');
		struct node *list = node_need_array(d, node_need_object(d, root, F_spec), F_taints);
		struct node *t = node_append(list, node_new(d, DOC_OBJECT));

		node_set(d, t, F_key, node_new_str(d, key));
		if (kv.n)
			node_set(d, t, F_value, node_new_str(d, kv));
		node_set(d, t, F_effect, node_new_str(d, s));
	}
}

static void put_pod_cidrs(struct node_agent *n, struct doc *d, struct node *root)
{
	struct node *spec = node_need_object(d, root, F_spec), *list;

	if (!n->pod_cidr)
		return;
	list = node_need_array(d, spec, F_podCIDRs);
	for (struct str rest = str_of(n->pod_cidr); rest.p;)
		node_append(list, node_new_str(d, str_trim(str_cut(&rest, ','))));
	node_set(d, spec, F_podCIDR, node_copy(d, node_first(list)));
}

static struct doc *node_make(struct node_agent *n)
{
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *meta;

	doc_set_root(d, root);
	node_sets(d, root, F_apiVersion, "v1");
	node_sets(d, root, F_kind, "Node");
	meta = node_need_object(d, root, F_metadata);
	node_sets(d, meta, F_name, n->name);
	put_labels(n, d, meta);
	node_set(d, node_need_object(d, root, F_spec), F_providerID, node_new_fmt(d, NODE_RUNTIME "://%s", n->name));
	put_taints(n, d, root);
	put_pod_cidrs(n, d, root);
	put_status(n, d, root);
	return d;
}

static void set_node(struct node_agent *n, struct obj *o)
{
	struct obj *old = n->node;

	if (o && (!old || o->rv > old->rv || !streq(o->uid, old->uid))) {
		n->node = obj_ref(o);
		obj_unref(old);
	}
}

/* A Node of an earlier start: labels that are not right any more. */
static void register_repair(struct node_agent *n)
{
	const struct node *have = n->node ? meta_labels(obj_node(n->node)) : NULL;
	struct doc *d = doc_new();
	struct node *root = node_new(d, DOC_OBJECT), *l;

	doc_set_root(d, root);
	l = node_need_object(d, node_need_object(d, root, F_metadata), F_labels);
	for (size_t i = 0; n->node && i < ARRAY_SIZE(default_labels); i++)
		if (!node_streq(node_getc(have, default_labels[i].key), default_label(n, i)))
			put_label(d, l, default_labels[i].key, default_label(n, i));
	if (n->node && !*node_gets(node_get(obj_node(n->node), F_spec), F_podCIDR))
		put_pod_cidrs(n, d, root);
	if (node_count(l) || node_get(root, F_spec))
		client_patch(n->client, n->r_nodes, NULL, n->name, NULL, PATCH_MERGE, d, NULL, n);
	else
		doc_unref(d);
}

static void event(struct node_agent *n, const char *type, const char *reason, const char *fmt, ...) ATTR_PRINTF(4, 5);
static void event(struct node_agent *n, const char *type, const char *reason, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	client_event(n->client, n->node, NULL, NODE_COMPONENT, n->name, type, reason, "%s", text);
}

/* What the kubelet tells when it begins; once, when the Node is known. */
static void register_events(struct node_agent *n, bool made)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const char *boot = first_line("/proc/sys/kernel/random/boot_id", &b),
		   *old = node_gets(node_path(obj_node(n->node), F_status, F_nodeInfo), F_bootID);

	event(n, "Normal", "Starting", "Starting kubelet.");
	if (made || !node_streq(node_get(cond_find(node_path(obj_node(n->node), F_status, F_conditions), "Ready"), F_status), "True"))
		event(n, "Normal", "NodeReady", "Node %s status is now: NodeReady", n->name);
	if (n->settings->enforce)
		event(n, "Normal", "NodeAllocatableEnforced", "Updated Node Allocatable limit across pods");
	if (*old && *boot && !streq(old, boot))
		event(n, "Warning", "Rebooted", "Node %s has been rebooted, boot id: %s", n->name, boot);
}

static void register_done(void *arg, struct obj *o, const struct err *err)
{
	struct node_agent *n = arg;

	n->status_busy = false;
	if (err && err->reason != ERR_ALREADY_EXISTS) {
		log_warn("cannot register this node, trying again", LS("node", n->name), LE(err));
		loop_timer_set(n->register_timer, RETRY_MS);
		return;
	}
	if (o) {
		set_node(n, o);
		log_info("registered node", LS("node", n->name));
	}
	if (n->node && !n->node_ready) {
		register_events(n, o != NULL);
		register_repair(n);
	}
	n->node_ready = true;
	heartbeat_start(n);
	/* The status of a create may be dropped, and what was found had an old one. */
	node_status_run(n);
}

static void register_run(void *arg)
{
	struct node_agent *n = arg;

	if (n->status_busy)
		return;
	n->status_busy = true;
	client_create(n->client, n->r_nodes, NULL, node_make(n), register_done, n);
}

static void status_done(void *arg, struct obj *o, const struct err *err)
{
	struct node_agent *n = arg;

	n->status_busy = false;
	if (err) {
		n->status_sent = free_null(n->status_sent);
		if (err->reason == ERR_NOT_FOUND)
			loop_timer_set(n->register_timer, 0);
		else
			loop_timer_set(n->status_timer, RETRY_MS);
		log_debug("cannot update the node's status, trying again", LE(err));
		return;
	}
	set_node(n, o);
	loop_timer_set(n->status_timer, STATUS_EVERY_MS);
	node_status_run(n); /* what changed meanwhile */
}

/* The status as text without the times, to see whether anything changed. */
static char *status_text(const struct doc *d)
{
	struct doc *c = doc_clone(d);
	_cleanup_buf_ struct buf b = BUF_INIT;

	NODE_FOREACH (k, node_path(doc_root(c), F_status, F_conditions)) {
		node_remove(k, F_lastHeartbeatTime);
		node_remove(k, F_lastTransitionTime);
	}
	doc_print_json(&b, doc_root(c), DOC_PRINT_COMPACT);
	doc_unref(c);
	return buf_detach(&b, NULL);
}

void node_status_run(struct node_agent *n)
{
	int64_t now = time_mono_ms();
	struct doc *d;
	char *text;

	if (!n->node_ready || n->status_busy)
		return;
	d = node_status_make(n);
	text = status_text(d);
	if (n->status_sent && streq(n->status_sent, text) &&
	    now - n->status_sent_ms < STATUS_EVERY_MS - SEC_MS) {
		free(text);
		doc_unref(d);
		return;
	}
	free(n->status_sent);
	n->status_sent = text;
	n->status_sent_ms = now;
	n->status_busy = true;
	client_patch(n->client, n->r_nodes, NULL, n->name, "status", PATCH_STRATEGIC, d, status_done, n);
}

static void status_timer_run(void *arg)
{
	image_gc_due(arg, false);
	node_status_run(arg);
}

/* Somebody thought that we were gone, and said so where our status is. */
static bool was_missed(struct obj *o)
{
	const struct node *ready = cond_find(node_path(obj_node(o), F_status, F_conditions), "Ready");

	return node_streq(node_get(ready, F_status), "Unknown");
}

void register_seen(struct node_agent *n, struct obj *o)
{
	if (o) {
		set_node(n, o);
		if (n->status_sent && was_missed(o)) {
			event(n, "Normal", "NodeReady", "Node %s status is now: NodeReady", n->name);
			n->status_sent = free_null(n->status_sent);
			node_status_run(n);
		}
		return;
	}
	n->node = obj_unref(n->node);
	n->status_sent = free_null(n->status_sent);
	if (n->node_ready && !n->ending) /* as a new machine would */
		loop_timer_set(n->register_timer, 0);
}

void register_start(struct node_agent *n)
{
	n->register_timer = loop_timer_new(n->loop, register_run, n);
	n->status_timer = loop_timer_new(n->loop, status_timer_run, n);
	register_run(n);
}
