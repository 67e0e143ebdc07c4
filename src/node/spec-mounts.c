/*
 * What is mounted into a container: the volumes that it names, and the files that
 * every container gets. Mirrors the kubelet's makeMounts.
 */
#include <errno.h>
#include <sys/stat.h>

#include "node/isolate.h"

struct mounts {
	struct run_mount *v;
	size_t n, cap;
};

static bool has_target(const struct mounts *m, const char *target)
{
	for (size_t i = 0; i < m->n; i++)
		if (streq(m->v[i].target, target))
			return true;
	return false;
}

/* Dots that lead upwards: refused here, and without effect where the path is resolved. */
static bool leads_up(const char *path)
{
	struct str rest = str_of(path);

	while (rest.p)
		if (str_eqc(str_cut(&rest, '/'), ".."))
			return true;
	return false;
}

/* $(NAME)s without a value in the expression. */
static char *missing_values(const char *expr, const struct env_list *env)
{
	struct buf b = BUF_INIT;

	for (const char *s = expr, *end; (s = strchr(s, '$')); s = end) {
		_cleanup_free_ char *name = NULL;

		if (s[1] != '(' || !(end = strchr(s + 2, ')'))) {
			end = s + (s[1] == '$' ? 2 : 1);
			continue;
		}
		name = xmemdupz(s + 2, (size_t)(end - s - 2));
		if (str_empty(env_get(env, name)))
			buf_addf(&b, "%s%s", b.len ? ", " : "", name);
	}
	return b.len ? buf_detach(&b, NULL) : NULL;
}

/* It is resolved, and made where it is missing, by the container's own process (run/keeper/source.c). */
static int subpath_of(const struct node *m, const struct env_list *env, struct arena *a, const char **ret, struct err *e)
{
	const char *sub = node_gets(m, F_subPath), *expr = node_gets(m, F_subPathExpr);

	*ret = NULL;
	if (*expr) {
		_cleanup_free_ char *missing = missing_values(expr, env);

		if (missing)
			return err_set(e, ERR_INVALID, "missing value for %s", missing);
		sub = expand_vars(a, expr, &env, 1);
	}
	if (!*sub)
		return 0;
	if (*sub == '/')
		return err_set(e, ERR_INVALID, "error SubPath `%s` must not be an absolute path", sub);
	if (leads_up(sub))
		return err_set(e, ERR_INVALID, "unable to provision SubPath `%s`: must not contain '..'", sub);
	*ret = arena_strdup(a, sub);
	return 0;
}

static int mount_volume(struct ctr *c, const struct node *m, const struct env_list *env, struct arena *a,
			struct mounts *out, struct err *e)
{
	struct pod *p = c->pod;
	const char *name = node_gets(m, F_name), *path = volume_path(p, name),
		   *target = node_gets(m, F_mountPath);
	const char *prop = node_gets(m, F_mountPropagation), *rro = node_gets(m, F_recursiveReadOnly);
	struct run_mount r = {.type = RUN_MOUNT_BIND};

	if (!path)
		return err_set(e, ERR_INVALID, "cannot find volume \"%s\" to mount into container \"%s\"", name, c->name);
	r.source = arena_strdup(a, path);
	r.target = *target == '/' ? arena_strdup(a, target) : arena_printf(a, "/%s", target);
	r.read_only = node_bool(node_get(m, F_readOnly), false) ||
		      volume_read_only(p, node_named(node_get(pod_spec(p), F_volumes), name));
	r.recursive_read_only = r.read_only && (streq(rro, "Enabled") || streq(rro, "IfPossible"));
	r.propagation = streq(prop, "HostToContainer") ? 'h' : streq(prop, "Bidirectional") ? 'b' : 0;
	r.name = arena_strdup(a, name);
	if (subpath_of(m, env, a, &r.subpath, e) < 0)
		return -e->code;
	VEC_PUSH(out, r);
	return 0;
}

static int mount_device(struct ctr *c, const struct node *d, struct arena *a, struct mounts *out, struct err *e)
{
	struct pod *p = c->pod;
	const char *name = node_gets(d, F_name), *path = volume_path(p, name);
	const struct node *vol = node_named(node_get(pod_spec(p), F_volumes), name);
	struct run_mount r = {.type = RUN_MOUNT_BIND, .device = volume_device(p, name)};

	if (!path || !r.device)
		return err_set(e, ERR_INVALID, "cannot find volume \"%s\" to pass into container \"%s\"", name, c->name);
	r.source = arena_strdup(a, path);
	r.target = arena_strdup(a, node_gets(d, F_devicePath));
	r.read_only = node_bool(node_path(vol, F_persistentVolumeClaim, F_readOnly), false);
	r.name = arena_strdup(a, name);
	VEC_PUSH(out, r);
	return 0;
}

static int mount_volumes(struct ctr *c, const struct node *spec, const struct env_list *env, struct arena *a,
			 struct mounts *out, struct err *e)
{
	NODE_FOREACH (vm, node_get(spec, F_volumeMounts))
		if (mount_volume(c, vm, env, a, out, e) < 0)
			return -e->code;
	NODE_FOREACH (d, node_get(spec, F_volumeDevices))
		if (mount_device(c, d, a, out, e) < 0)
			return -e->code;
	return 0;
}

static void mount_file(struct ctr *c, const char *file, const char *target, struct arena *a,
		       struct mounts *out)
{
	char *dir;

	if (has_target(out, target))
		return;
	dir = pod_dir(c->pod);
	VEC_PUSH(out, ((struct run_mount){.type = RUN_MOUNT_BIND,
					  .source = arena_printf(a, "%s/%s", dir, file),
					  .target = target}));
	free(dir);
}

/* A file of its own for each attempt, writable for any user. */
static int mount_termination_log(struct ctr *c, const struct node *spec, unsigned attempt, struct arena *a,
				 struct mounts *out, struct err *e)
{
	const char *target = node_cstr_or(node_get(spec, F_terminationMessagePath), "/dev/termination-log");
	_cleanup_free_ char *pod = pod_dir(c->pod);
	char *dir = arena_printf(a, "%s/containers/%s", pod, c->name),
	     *file = arena_printf(a, "%s/%u", dir, attempt);

	if (!*target || has_target(out, target))
		return 0;
	if (path_mkdirs(dir, 0755, e) < 0 || path_write(file, STR_NONE, 0666, e) < 0)
		return -e->code;
	if (chmod(file, 0666) < 0)
		return err_errno(e, errno, "change the mode of '%s'", file);
	VEC_PUSH(out, ((struct run_mount){
			      .type = RUN_MOUNT_BIND, .source = file, .target = arena_strdup(a, target)}));
	return 0;
}

int spec_mounts(struct ctr *c, const struct node *spec, const struct env_list *env, struct arena *a,
		struct run_container_spec *out, struct err *e)
{
	struct mounts m = {0};
	int r = mount_volumes(c, spec, env, a, &m, e);

	if (r == 0)
		r = mount_termination_log(c, spec, out->attempt, a, &m, e);
	if (r == 0) {
		mount_file(c, "etc-hosts", "/etc/hosts", a, &m);
		mount_file(c, "hostname", "/etc/hostname", a, &m);
		mount_file(c, "resolv.conf", "/etc/resolv.conf", a, &m);
		out->mounts = arena_alloc(a, (m.n + 1) * sizeof(*m.v));
		memcpy((void *)out->mounts, m.v, m.n * sizeof(*m.v));
		out->n_mounts = m.n;
	}
	VEC_RELEASE(&m);
	if (r < 0) {
		free(e->kind);
		e->kind = xstrdup("CreateContainerConfigError");
	}
	return r;
}
