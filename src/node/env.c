/*
 * A container's environment, as the kubelet's makeEnvironmentVariables builds it:
 * envFrom first, then env in order with $(NAME) of what came before, then the
 * variables of Services (env-services.c) that nothing has set.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "node/pressure.h"

#define ENV_FILE_MAX (64u << 10) /* as the kubelet reads them */

/* --- fieldRef --- */

/* "metadata.labels['app']": the text between the quotes */
static bool subscript(const char *path, const char *base, struct str *key)
{
	size_t n = strlen(base), len = strlen(path);

	if (strncmp(path, base, n) != 0 || path[n] != '[' || len < n + 4 || path[len - 1] != ']')
		return false;
	if ((path[n + 1] != '\'' && path[n + 1] != '"') || path[len - 2] != path[n + 1])
		return false;
	*key = str_n(path + n + 2, len - n - 4);
	return true;
}

/* Labels and annotations as a whole: key="value" lines in the keys' order, as the downward API prints them.
 */
static int map_line_cmp(const void *a, const void *b)
{
	return str_cmp(node_key(*(struct node *const *)a), node_key(*(struct node *const *)b));
}

static const char *map_lines(struct arena *a, const struct node *map)
{
	_cleanup_buf_ struct buf out = BUF_INIT;
	size_t n = node_count(map), i = 0;
	struct node **sorted = arena_alloc(a, (n + 1) * sizeof(*sorted));

	NODE_FOREACH (c, map)
		sorted[i++] = c;
	qsort(sorted, n, sizeof(*sorted), map_line_cmp);
	for (i = 0; i < n; i++) {
		struct str k = node_key(sorted[i]), v = node_str(sorted[i]);

		buf_addf(&out, "%s%" STR_FMT "=", i ? "\n" : "", STR_ARG(k));
		buf_add_json_string(&out, v);
	}
	return arena_memdupz(a, out.s, out.len);
}

static const char *field_ips(const char *ip, const char *ip2, struct arena *a)
{
	return *ip2 ? arena_printf(a, "%s,%s", ip, ip2) : ip;
}

static const char *field_simple(struct pod *p, const char *path, struct arena *a)
{
	const struct node *spec = pod_spec(p);

	if (streq(path, "metadata.name"))
		return p->name;
	if (streq(path, "metadata.namespace"))
		return p->ns;
	if (streq(path, "metadata.uid"))
		return p->uid;
	if (streq(path, "spec.nodeName"))
		return p->agent->name;
	if (streq(path, "spec.serviceAccountName"))
		return node_gets(spec, F_serviceAccountName);
	if (streq(path, "status.hostIP"))
		return p->agent->ip;
	if (streq(path, "status.hostIPs"))
		return field_ips(p->agent->ip, p->agent->ip2, a);
	if (streq(path, "status.podIP"))
		return p->ip;
	if (streq(path, "status.podIPs"))
		return field_ips(p->ip, p->ip2, a);
	return NULL;
}

int env_field_ref(struct pod *p, const char *path, struct arena *a, const char **ret, struct err *e)
{
	const struct node *meta = meta_of(obj_node(p->obj));
	const char *v = field_simple(p, path, a);
	struct str key;

	if (v) {
		*ret = arena_strdup(a, v);
	} else if (streq(path, "metadata.labels")) {
		*ret = map_lines(a, node_get(meta, F_labels));
	} else if (streq(path, "metadata.annotations")) {
		*ret = map_lines(a, node_get(meta, F_annotations));
	} else if (subscript(path, "metadata.labels", &key)) {
		*ret = arena_strdup(a, node_cstr_or(node_getk(node_get(meta, F_labels), key), ""));
	} else if (subscript(path, "metadata.annotations", &key)) {
		*ret = arena_strdup(a, node_cstr_or(node_getk(node_get(meta, F_annotations), key), ""));
	} else {
		return err_set(e, ERR_INVALID, "unsupported fieldPath: %s", path);
	}
	return 0;
}

/* --- resourceFieldRef --- */

static const struct node *container_of_ref(struct pod *p, const struct node *container,
					   const struct node *sel)
{
	const char *name = node_gets(sel, F_containerName);
	const struct node *spec = pod_spec(p), *c;

	if (!*name)
		return container;
	c = node_named(node_get(spec, F_containers), name);
	return c ? c : node_named(node_get(spec, F_initContainers), name);
}

/* What a container may use where it names no limit: the pod's limit, else the node's allocatable. */
static void node_default(struct pod *p, const char *resource, struct quantity *q)
{
	struct node_agent *n = p->agent;
	const struct node *pod = node_getc(node_path(pod_spec(p), F_resources, F_limits), resource), *here = NULL;
	__int128 nano = 1000000000;

	if (n->node)
		here = node_getc(node_path(obj_node(n->node), F_status, F_allocatable), resource);
	*q = (struct quantity){0, 'd'};
	if (quantity_from_node(q, pod) || starts_with(resource, "hugepages-"))
		return;
	if (quantity_from_node(q, here))
		return;
	if (streq(resource, "cpu"))
		q->nano = (__int128)node_allocatable(n, "cpu") * (nano / 1000);
	else if (streq(resource, "memory"))
		q->nano = node_allocatable(n, resource) * nano;
	else if (streq(resource, "ephemeral-storage"))
		q->nano = node_allocatable(n, resource) * nano;
}

static bool resource_known(const char *name)
{
	return streq(name, "cpu") || streq(name, "memory") || streq(name, "ephemeral-storage") ||
	       starts_with(name, "hugepages-");
}

int env_resource_ref(struct pod *p, const struct node *container, const struct node *sel, struct arena *a,
		     const char **ret, struct err *e)
{
	const char *res = node_gets(sel, F_resource), *name = strchr(res, '.');
	const struct node *c = container_of_ref(p, container, sel);
	struct quantity q, div = {1000000000, 'd'};
	__int128 units;

	if (!c)
		return err_set(e, ERR_INVALID, "container %s not found", node_gets(sel, F_containerName));
	if (!name || (!starts_with(res, "limits.") && !starts_with(res, "requests.")) || !resource_known(name + 1))
		return err_set(e, ERR_INVALID, "unsupported container resource : %s", res);
	name++;
	if (!quantity_from_node(
		    &q, node_getc(node_get(node_get(c, F_resources), res[0] == 'l' ? F_limits : F_requests), name)) ||
	    (res[0] == 'l' && q.nano == 0)) {
		q = (struct quantity){0, 'd'};
		if (res[0] == 'l')
			node_default(p, name, &q);
	}
	if (quantity_from_node(&div, node_get(sel, F_divisor)) && div.nano <= 0)
		div.nano = 1000000000;
	units = q.nano / div.nano + (q.nano % div.nano > 0);
	*ret = arena_printf(a, "%lld", (long long)units);
	return 0;
}

/* --- ConfigMaps and Secrets --- */

/* 1: there; 0: absent and that is allowed; negative: error or -EAGAIN. */
static int env_object(struct ctr *c, enum agent_ref kind, const struct node *ref, struct obj **ret,
		      struct err *e)
{
	const char *name = node_gets(ref, F_name);
	int r = agent_ref(c->pod->agent, kind, c->pod->ns, name, ret);

	if (r != 0)
		return r;
	if (node_bool(node_get(ref, F_optional), false))
		return 0;
	return err_set(e, ERR_NOT_FOUND, "%s \"%s\" not found", kind == REF_SECRET ? "secret" : "configmap",
		       name);
}

static const char *data_value(struct arena *a, enum agent_ref kind, const struct node *v)
{
	_cleanup_buf_ struct buf out = BUF_INIT;

	if (kind == REF_CONFIGMAP)
		return arena_strdup(a, node_cstr_or(v, ""));
	if (!buf_add_base64_decoded(&out, node_str(v), false))
		buf_clear(&out);
	return arena_memdupz(a, out.s, out.len);
}

static int env_key_ref(struct ctr *c, enum agent_ref kind, const struct node *ref, struct arena *a,
		       const char **ret, struct err *e)
{
	struct obj *o;
	const struct node *v;
	int r = env_object(c, kind, ref, &o, e);

	*ret = NULL;
	if (r <= 0)
		return r;
	v = node_getc(node_get(obj_node(o), F_data), node_gets(ref, F_key));
	if (v) {
		*ret = data_value(a, kind, v);
		return 0;
	}
	if (node_bool(node_get(ref, F_optional), false))
		return 0;
	return err_set(e, ERR_NOT_FOUND, "couldn't find key %s in %s %s/%s", node_gets(ref, F_key),
		       kind == REF_SECRET ? "Secret" : "ConfigMap", c->pod->ns, node_gets(ref, F_name));
}

/* What the kubelet takes as a variable's name: printable ASCII but '='. */
static bool env_name_valid(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '=')
			return false;
	return s.n > 0;
}

static int env_from(struct ctr *c, const struct node *src, struct arena *a, struct env_list *out,
		    struct err *e)
{
	const struct node *cm = node_get(src, F_configMapRef), *sec = node_get(src, F_secretRef);
	enum agent_ref kind = sec ? REF_SECRET : REF_CONFIGMAP;
	const char *prefix = node_gets(src, F_prefix);
	struct obj *o;
	int r;

	if (!cm && !sec)
		return 0;
	r = env_object(c, kind, sec ? sec : cm, &o, e);
	if (r <= 0)
		return r;
	NODE_FOREACH (v, node_get(obj_node(o), F_data)) {
		struct str k = node_key(v);
		char *name = arena_printf(a, "%s%" STR_FMT, prefix, STR_ARG(k));

		if (env_name_valid(str_of(name)))
			env_set(out, name, data_value(a, kind, v));
	}
	return 0;
}

/* --- files --- */

/* The value of a line KEY=VALUE or KEY='VALUE', where what is quoted may hold anything; NULL: there is none. */
const char *env_file_value(struct arena *a, struct str text, const char *key)
{
	while (text.p && text.n) {
		struct str line = text, name, rest;
		const char *end;

		rest = line;
		name = str_cut(&rest, '=');
		if (!rest.p)
			return NULL;
		if (memchr(name.p, '\n', name.n) || (name.n && name.p[0] == '#')) {
			(void)str_cut(&text, '\n');
			continue;
		}
		if (rest.n && rest.p[0] == '\'' && (end = memchr(rest.p + 1, '\'', rest.n - 1))) {
			line = str_n(rest.p + 1, (size_t)(end - rest.p - 1));
			text = str_sub(rest, (size_t)(end + 1 - rest.p), rest.n);
			(void)str_cut(&text, '\n');
		} else {
			line = str_cut(&rest, '\n');
			text = rest;
			rest = line;
			line = str_cut(&rest, '#');
			while (line.n && line.p[line.n - 1] == '\r')
				line.n--;
		}
		if (str_eqc(str_trim(name), key))
			return arena_memdupz(a, line.p, line.n);
	}
	return NULL;
}

/* From a file that another container wrote into a volume. */
static int env_file_ref(struct ctr *c, const struct node *ref, struct arena *a, const char **ret, struct err *e)
{
	const char *volume = node_gets(ref, F_volumeName), *key = node_gets(ref, F_key), *dir;
	bool optional = node_bool(node_get(ref, F_optional), false);
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_err_ struct err why = ERR_INIT;
	_cleanup_close_ int root = -1, fd = -1;
	char path[64];
	struct stat st;

	*ret = NULL;
	dir = volume_path(c->pod, volume);
	if (!dir || volume_is_remote(c->pod, volume))
		return err_set(e, ERR_INVALID, "cannot find the volume \"%s\" referenced by FileKeyRef", volume);
	root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = root < 0 ? root : path_open_in_root(root, node_gets(ref, F_path), O_PATH | O_CLOEXEC, 0);
	if (fd == -ENOENT && optional)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || path_read(path, ENV_FILE_MAX, &text, &why) < 0)
		return err_set(e, ERR_INVALID, "couldn't parse env file");
	*ret = env_file_value(a, buf_str(&text), key);
	if ((*ret && **ret) || optional)
		return 0;
	return err_set(e, ERR_NOT_FOUND, "environment variable key \"%s\" not found in file \"%s/%s\"", key, dir,
		       node_gets(ref, F_path));
}

static int env_value_from(struct ctr *c, const struct node *spec, const struct node *from, struct arena *a,
			  const char **ret, struct err *e)
{
	const struct node *n;

	*ret = NULL;
	if ((n = node_get(from, F_fieldRef)))
		return env_field_ref(c->pod, node_gets(n, F_fieldPath), a, ret, e);
	if ((n = node_get(from, F_resourceFieldRef)))
		return env_resource_ref(c->pod, spec, n, a, ret, e);
	if ((n = node_get(from, F_configMapKeyRef)))
		return env_key_ref(c, REF_CONFIGMAP, n, a, ret, e);
	if ((n = node_get(from, F_secretKeyRef)))
		return env_key_ref(c, REF_SECRET, n, a, ret, e);
	if ((n = node_get(from, F_fileKeyRef)))
		return env_file_ref(c, n, a, ret, e);
	*ret = "";
	return 0;
}

int env_build(struct ctr *c, struct arena *a, struct env_list *out, struct err *e)
{
	const struct node *spec = ctr_spec(c);
	_cleanup_(env_release) struct env_list services = {0};
	const struct env_list *lists[2];
	int r;

	if (env_services(c->pod, a, &services) < 0)
		return -EAGAIN;
	NODE_FOREACH (src, node_get(spec, F_envFrom)) {
		r = env_from(c, src, a, out, e);
		if (r < 0)
			return r;
	}
	NODE_FOREACH (v, node_get(spec, F_env)) {
		const struct node *from = node_get(v, F_valueFrom);
		const char *value;

		lists[0] = out;
		lists[1] = &services;
		if (from && !*node_gets(v, F_value)) {
			r = env_value_from(c, spec, from, a, &value, e);
			if (r < 0)
				return r;
			if (!value)
				continue;
		} else {
			value = expand_vars(a, node_gets(v, F_value), lists, 2);
		}
		env_set(out, arena_strdup(a, node_gets(v, F_name)), value);
	}
	for (size_t i = 0; i < services.n; i++)
		if (!env_get(out, services.v[i].name))
			env_set(out, services.v[i].name, services.v[i].value);
	return 0;
}
