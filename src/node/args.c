/*
 * Settings of the kubelet that operators know by its command line: each
 * --kubelet-arg NAME=VALUE of the server is one. To add a setting, add a row.
 */
#include "node/isolate.h"

static int set_pod_max_pids(struct node_agent *n, const char *value, struct err *e)
{
	if (!str_to_i64(str_of(value), &n->pod_max_pids) || n->pod_max_pids < -1)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no number of processes (-1: no limit)", value);
	return 0;
}

static int set_unsafe_sysctls(struct node_agent *n, const char *value, struct err *e)
{
	struct str rest = str_of(value);
	size_t have = 0;

	while (n->unsafe_sysctls && n->unsafe_sysctls[have])
		have++;
	while (rest.p) {
		struct str one = str_trim(str_cut(&rest, ','));
		_cleanup_free_ char *pattern = str_dup(one);
		const char *problem = sysctl_pattern_problem(pattern);

		if (!one.n)
			continue;
		if (problem)
			return err_set(e, ERR_BAD_REQUEST, "%s: '%s'", problem, pattern);
		n->unsafe_sysctls = xreallocarray(n->unsafe_sysctls, have + 2, sizeof(*n->unsafe_sysctls));
		n->unsafe_sysctls[have++] = take_ptr(&pattern);
		n->unsafe_sysctls[have] = NULL;
	}
	return 0;
}

static const struct arg {
	const char *name;
	int (*set)(struct node_agent *n, const char *value, struct err *e);
} args[] = {
	{"pod-max-pids", set_pod_max_pids},
	{"allowed-unsafe-sysctls", set_unsafe_sysctls},
};

static int arg_apply(struct node_agent *n, const char *text, struct err *e)
{
	struct str value = str_of(text), name;

	while (str_starts(value, STR_LIT("-")))
		value = str_sub(value, 1, value.n);
	name = str_cut(&value, '=');
	for (size_t i = 0; i < ARRAY_SIZE(args); i++)
		if (str_eqc(name, args[i].name))
			return args[i].set(n, value.p ? value.p : "", e);
	return err_set(e, ERR_BAD_REQUEST, "there is no such setting here");
}

int args_apply(struct node_agent *n, const char *const *list, struct err *e)
{
	n->pod_max_pids = -1;
	for (size_t i = 0; list && list[i]; i++)
		if (arg_apply(n, list[i], e) < 0)
			return err_wrap(e, "--kubelet-arg '%s'", list[i]);
	return 0;
}

void args_release(struct node_agent *n)
{
	for (size_t i = 0; n->unsafe_sysctls && n->unsafe_sysctls[i]; i++)
		free(n->unsafe_sysctls[i]);
	free(n->unsafe_sysctls);
}
