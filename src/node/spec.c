/*
 * From a Pod to what the runtime takes: run_sandbox_spec and run_container_spec.
 * Mirrors the kubelet's generateContainerConfig and GenerateRunContainerOptions;
 * errors carry in err.kind the reason that the container's state shows.
 */
#include <errno.h>

#include "node/isolate.h"

#define CONFIG_ERROR "CreateContainerConfigError"
#define HOSTNAME_CHARS 63
#define FQDN_CHARS 64 /* of the kernel's name */

static int config_error(struct err *e)
{
	free(e->kind);
	e->kind = xstrdup(CONFIG_ERROR);
	return -e->code;
}

static size_t strings_count(char *const *v)
{
	size_t n = 0;

	while (v && v[n])
		n++;
	return n;
}

/* As the kubelet cuts it: no '-' or '.' at the end. */
static char *hostname_cut(const char *name)
{
	char *out = xstrdup(name);
	size_t n = strlen(out);

	if (n > HOSTNAME_CHARS) {
		for (n = HOSTNAME_CHARS; n && (out[n - 1] == '-' || out[n - 1] == '.'); n--)
			;
		out[n] = '\0';
	}
	return out;
}

int spec_names(struct pod *p, char **host, char **domain, struct err *e)
{
	const struct node *spec = pod_spec(p);
	const char *h = node_gets(spec, F_hostname), *over = node_gets(spec, F_hostnameOverride),
		   *sub = node_gets(spec, F_subdomain);
	size_t n;

	*domain = NULL;
	*host = hostname_cut(*over ? over : *h ? h : p->name);
	if (*over || !*sub || !p->agent->domain)
		return 0;
	*domain = xasprintf("%s.%s.svc.%s", sub, p->ns, p->agent->domain);
	n = strlen(*host) + 1 + strlen(*domain);
	if (!node_bool(node_get(spec, F_setHostnameAsFQDN), false) || pod_host_network(p) || n <= FQDN_CHARS)
		return 0;
	err_set(e, ERR_INVALID,
		"failed to construct FQDN from pod hostname and cluster domain, FQDN %s.%s is too long (%d characters is "
		"the max, %zu characters requested)",
		*host, *domain, FQDN_CHARS, n);
	*host = free_null(*host);
	*domain = free_null(*domain);
	return -e->code;
}

char *spec_hostname(struct pod *p)
{
	_cleanup_err_ struct err e = ERR_INIT;
	char *host, *domain, *out;

	if (pod_host_network(p))
		return xstrdup(p->agent->hostname);
	if (spec_names(p, &host, &domain, &e) < 0)
		return xstrdup(p->name);
	if (!domain || !node_bool(node_get(pod_spec(p), F_setHostnameAsFQDN), false)) {
		free(domain);
		return host;
	}
	out = xasprintf("%s.%s", host, domain);
	free(host);
	free(domain);
	return out;
}

int spec_sandbox(struct pod *p, struct arena *a, struct run_sandbox_spec *out, struct err *e)
{
	const struct node *spec = pod_spec(p), *sysctls = node_path(spec, F_securityContext, F_sysctls);
	char *host, *domain;

	if (spec_names(p, &host, &domain, e) < 0)
		return -e->code;
	free(host);
	free(domain);
	host = spec_hostname(p);
	*out = (struct run_sandbox_spec){
		.id = p->uid,
		.name = arena_printf(a, "%s/%s", p->ns, p->name),
		.hostname = arena_strdup(a, host),
		.host_network = pod_host_network(p),
		.host_pid = node_bool(node_get(spec, F_hostPID), false),
		.host_ipc = node_bool(node_get(spec, F_hostIPC), false),
		.share_pid = node_bool(node_get(spec, F_shareProcessNamespace), false),
		.cgroup_parent = qos_cgroup(qos_of(spec)),
	};
	free(host);
	if (users_take(p, &out->id_base, e) < 0)
		return -e->code;
	qos_pod_limits(spec, &out->limits);
	out->limits.pids_max = max_i64(p->agent->pod_max_pids, 0);
	if (node_count(sysctls)) {
		const char **v = arena_zalloc(a, (node_count(sysctls) + 1) * sizeof(*v));
		size_t n = 0;

		NODE_FOREACH (s, sysctls) {
			if (strstr(node_gets(s, F_name), ".."))
				return err_set(e, ERR_INVALID, "forbidden sysctl: \"%s\"",
					       node_gets(s, F_name));
			v[n++] = arena_printf(a, "%s=%s", node_gets(s, F_name), node_gets(s, F_value));
		}
		out->sysctls = v;
	}
	return 0;
}

/* --- command --- */

static const char *const *expand_list(struct arena *a, const struct node *list, const struct env_list *env,
				      const char **v, size_t *n)
{
	NODE_FOREACH (s, list)
		v[(*n)++] = expand_vars(a, node_cstr_or(s, ""), &env, 1);
	return v;
}

static int spec_command(const struct node *spec, const struct image *img, const struct env_list *env,
			struct arena *a, struct run_container_spec *out, struct err *e)
{
	const struct node *command = node_get(spec, F_command), *args = node_get(spec, F_args);
	size_t max = node_count(command) + node_count(args) + strings_count(img->entrypoint) +
		     strings_count(img->cmd);
	const char **v = arena_zalloc(a, (max + 1) * sizeof(*v));
	size_t n = 0;

	if (node_count(command))
		expand_list(a, command, env, v, &n);
	else
		for (size_t i = 0; img->entrypoint && img->entrypoint[i]; i++)
			v[n++] = arena_strdup(a, img->entrypoint[i]);
	if (node_count(args))
		expand_list(a, args, env, v, &n);
	else if (!node_count(command))
		for (size_t i = 0; img->cmd && img->cmd[i]; i++)
			v[n++] = arena_strdup(a, img->cmd[i]);
	if (!n) {
		err_set(e, ERR_INVALID, "no command specified");
		free(e->kind);
		e->kind = xstrdup("CreateContainerError");
		return -e->code;
	}
	out->argv = v;
	return 0;
}

/* The image's variables, under the pod's. */
static void spec_env(struct ctr *c, const struct image *img, const struct env_list *env, struct arena *a,
		     struct run_container_spec *out)
{
	_cleanup_(env_release) struct env_list all = {0};
	char *host = spec_hostname(c->pod);
	const char **v;

	env_set(&all, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	env_set(&all, "HOSTNAME", arena_strdup(a, host));
	if (out->tty)
		env_set(&all, "TERM", "xterm");
	free(host);
	for (size_t i = 0; img->env && img->env[i]; i++) {
		struct str s = str_of(img->env[i]), name = str_cut(&s, '=');

		if (name.n)
			env_set(&all, arena_memdupz(a, name.p, name.n),
				arena_memdupz(a, s.p ? s.p : "", s.n));
	}
	for (size_t i = 0; i < env->n; i++)
		env_set(&all, env->v[i].name, env->v[i].value);
	v = arena_zalloc(a, (all.n + 1) * sizeof(*v));
	for (size_t i = 0; i < all.n; i++)
		v[i] = arena_printf(a, "%s=%s", all.v[i].name, all.v[i].value);
	out->env = v;
}

/* --- the whole --- */

static void spec_resources(struct ctr *c, const struct node *spec, struct run_container_spec *out)
{
	const struct node *pod = pod_spec(c->pod);

	qos_container_limits(pod, spec, &out->limits);
	out->oom_score_adj = qos_oom_score_adj(pod, spec, c->pod->agent->memory_bytes);
}

int spec_container(struct ctr *c, const struct image *img, struct arena *a, struct run_container_spec *out,
		   struct err *e)
{
	const struct node *spec = ctr_spec(c);
	_cleanup_(env_release) struct env_list env = {0};
	const char *cwd = node_gets(spec, F_workingDir);
	_cleanup_free_ char *log_dir = NULL;
	int r;

	*out = (struct run_container_spec){.name = c->name, .attempt = out->attempt, .id = out->id};
	out->layers = (const char *const *)img->layers;
	out->tty = node_bool(node_get(spec, F_tty), false);
	out->stdin_open = node_bool(node_get(spec, F_stdin), false);
	out->stdin_once = node_bool(node_get(spec, F_stdinOnce), false);
	out->cwd = *cwd				  ? arena_strdup(a, cwd)
		   : !str_empty(img->working_dir) ? arena_strdup(a, img->working_dir)
						  : "/";
	if (!str_empty(img->stop_signal))
		out->stop_signal = arena_strdup(a, img->stop_signal);
	if (*node_gets(node_get(spec, F_lifecycle), F_stopSignal))
		out->stop_signal = arena_strdup(a, node_gets(node_get(spec, F_lifecycle), F_stopSignal));
	r = env_build(c, a, &env, e);
	if (r == -EAGAIN && !err_is_set(e))
		return r;
	if (r < 0)
		return config_error(e);
	if (spec_command(spec, img, &env, a, out, e) < 0)
		return -e->code;
	spec_env(c, img, &env, a, out);
	if (security_spec(c, spec, img, a, out, e) < 0 || spec_mounts(c, spec, &env, a, out, e) < 0)
		return -e->code;
	spec_resources(c, spec, out);
	log_dir = pod_log_dir(c->pod->agent, c->pod->ns, c->pod->name, c->pod->uid);
	out->log_dir = arena_strdup(a, log_dir);
	out->log_max_bytes = c->pod->agent->log_max_bytes;
	out->log_max_files = (int)c->pod->agent->log_max_files;
	return 0;
}
