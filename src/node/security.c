/*
 * securityContext of a pod and its containers, as run_container_spec has it.
 * Mirrors the kubelet's determineEffectiveSecurityContext and what containerd
 * makes of it. A container that says nothing of seccomp gets RuntimeDefault. SELinux
 * labels have no effect, as with a kubelet on a machine without SELinux.
 */
#include <fcntl.h>

#include "node/isolate.h"

#define CONFIG_ERROR "CreateContainerConfigError"

static int config_error(struct err *e)
{
	free(e->kind);
	e->kind = xstrdup(CONFIG_ERROR);
	return -e->code;
}

static const char *const *string_list(struct arena *a, const struct node *list)
{
	const char **v;
	size_t n = 0;

	if (!node_count(list))
		return NULL;
	v = arena_zalloc(a, (node_count(list) + 1) * sizeof(*v));
	NODE_FOREACH (s, list)
		v[n++] = arena_strdup(a, node_cstr_or(s, ""));
	return v;
}

/* The container's own setting, else the pod's. */
static const struct node *security_get(struct pod *p, const struct node *spec, enum field f)
{
	const struct node *own = node_path(spec, F_securityContext, f);

	return own ? own : node_path(pod_spec(p), F_securityContext, f);
}

static int security_check_user(struct ctr *c, const struct image *img, const struct run_container_spec *s,
			  struct err *e)
{
	struct pod *p = c->pod;
	struct str rest = str_of(img->user), user = str_cut(&rest, ':');
	int64_t uid = s->run_as_user;

	if (!s->run_as_non_root)
		return 0;
	if (uid == 0)
		return err_set(
			e, ERR_INVALID,
			"container's runAsUser breaks non-root policy (pod: \"%s_%s(%s)\", container: %s)",
			p->name, p->ns, p->uid, c->name);
	if (uid > 0)
		return 0;
	if (user.n && !str_to_i64(user, &uid))
		return err_set(e, ERR_INVALID,
			       "container has runAsNonRoot and image has non-numeric user (%" STR_FMT
			       "), cannot verify user is non-root (pod: \"%s_%s(%s)\", container: %s)",
			       STR_ARG(user), p->name, p->ns, p->uid, c->name);
	if (!user.n || uid == 0)
		return err_set(e, ERR_INVALID,
			       "container has runAsNonRoot and image will run as root (pod: \"%s_%s(%s)\", "
			       "container: %s)",
			       p->name, p->ns, p->uid, c->name);
	return 0;
}

static void security_groups(struct pod *p, struct arena *a, struct run_container_spec *out)
{
	const struct node *sec = node_get(pod_spec(p), F_securityContext),
			  *extra = node_get(sec, F_supplementalGroups);
	int64_t fs_group = pod_fs_group(p), *v = arena_alloc(a, (node_count(extra) + 1) * sizeof(*v));
	size_t n = 0;

	NODE_FOREACH (g, extra)
		v[n++] = node_int(g, 0);
	if (fs_group >= 0)
		v[n++] = fs_group;
	out->groups = v;
	out->n_groups = n;
	out->strict_groups = node_streq(node_get(sec, F_supplementalGroupsPolicy), "Strict");
}

static int security_seccomp(struct ctr *c, const struct node *spec, struct arena *a,
			struct run_container_spec *out, struct err *e)
{
	const struct node *prof = security_get(c->pod, spec, F_seccompProfile);
	const char *type = node_gets(prof, F_type), *file = node_gets(prof, F_localhostProfile);

	out->seccomp =
		out->privileged || streq(type, "Unconfined") ? RUN_SECCOMP_UNCONFINED : RUN_SECCOMP_DEFAULT;
	if (out->privileged || !streq(type, "Localhost"))
		return 0;
	if (!*file || *file == '/' || strstr(file, ".."))
		return err_set(e, ERR_INVALID,
			       "localhostProfile must be set if seccompProfile type is Localhost.");
	out->seccomp = RUN_SECCOMP_FILE;
	out->seccomp_file = arena_printf(a, "%s/seccomp/%s", c->pod->agent->state_dir, file);
	return 0;
}

/* A privileged container is confined by no profile but one that it names; one that names none by the default. */
static int security_apparmor(struct ctr *c, const struct node *spec, struct arena *a,
			     struct run_container_spec *out, struct err *e)
{
	const struct node *prof = security_get(c->pod, spec, F_appArmorProfile);
	const char *type = node_gets(prof, F_type), *name = node_gets(prof, F_localhostProfile);

	if (!run_machine(c->pod->agent->runtime)->apparmor || streq(type, "Unconfined"))
		return 0;
	if (!streq(type, "Localhost")) {
		if (!out->privileged && run_apparmor_has(RUN_APPARMOR_DEFAULT))
			out->apparmor = RUN_APPARMOR_DEFAULT;
		return 0;
	}
	if (!run_apparmor_has(name)) {
		err_set(e, ERR_INVALID, "failed to generate apparmor spec opts: apparmor profile not found %s", name);
		free(e->kind);
		e->kind = xstrdup("CreateContainerError");
		return -e->code;
	}
	out->apparmor = arena_strdup(a, name);
	return 0;
}

int security_spec(struct ctr *c, const struct node *spec, const struct image *img, struct arena *a,
			 struct run_container_spec *out, struct err *e)
{
	const struct node *own = node_get(spec, F_securityContext), *caps = node_get(own, F_capabilities);
	struct pod *p = c->pod;

	out->user = arena_strdup(a, img->user ? img->user : "");
	out->run_as_user = node_int(security_get(p, spec, F_runAsUser), -1);
	out->run_as_group = node_int(security_get(p, spec, F_runAsGroup), -1);
	out->run_as_non_root = node_bool(security_get(p, spec, F_runAsNonRoot), false);
	out->privileged = node_bool(node_get(own, F_privileged), false);
	out->read_only_root = node_bool(node_get(own, F_readOnlyRootFilesystem), false);
	out->no_new_privs = !node_bool(node_get(own, F_allowPrivilegeEscalation), true) && !out->privileged;
	out->unmask_proc = node_streq(node_get(own, F_procMount), "Unmasked");
	out->cap_add = string_list(a, node_get(caps, F_add));
	out->cap_drop = string_list(a, node_get(caps, F_drop));
	security_groups(p, a, out);
	if (security_check_user(c, img, out, e) < 0)
		return config_error(e);
	if (security_seccomp(c, spec, a, out, e) < 0)
		return config_error(e);
	return security_apparmor(c, spec, a, out, e);
}

static int id_cmp(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void security_put_user(struct doc *d, struct node *status, struct ctr *c)
{
	struct container *rc = c->pod->sandbox ? ctr_run(c) : NULL;
	struct container_status st;
	struct node *o, *list;
	uint32_t *ids;

	if (!rc)
		return;
	container_status(rc, &st);
	if (!st.user_known)
		return;
	o = node_need_object(d, node_need_object(d, status, F_user), F_linux);
	node_seti(d, o, F_uid, st.uid);
	node_seti(d, o, F_gid, st.gid);
	list = node_need_array(d, o, F_supplementalGroups);
	ids = xreallocarray(NULL, st.n_groups + 1, sizeof(*ids));
	if (st.n_groups)
		memcpy(ids, st.groups, st.n_groups * sizeof(*ids));
	qsort(ids, st.n_groups, sizeof(*ids), id_cmp);
	for (size_t i = 0; i < st.n_groups; i++)
		node_append(list, node_new_int(d, ids[i]));
	free(ids);
}
