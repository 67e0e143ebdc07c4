/*
 * Settings of the kubelet that operators know by its command line: each
 * --kubelet-arg NAME=VALUE of the server is one. To add a setting, add a row.
 */
#include "node/isolate.h"

#define STREAM_IDLE_MS (4 * 3600 * SEC_MS)

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

static int set_log_max_size(struct node_agent *n, const char *value, struct err *e)
{
	struct quantity q;

	if (!quantity_parse(&q, str_of(value)) || quantity_value(&q) <= 0)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no size of a file, such as 10Mi", value);
	n->log_max_bytes = quantity_value(&q);
	return 0;
}

static int set_log_max_files(struct node_agent *n, const char *value, struct err *e)
{
	if (!str_to_i64(str_of(value), &n->log_max_files) || n->log_max_files < 2 || n->log_max_files > 1000)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no number of files from 2 to 1000", value);
	return 0;
}

static int set_stream_idle(struct node_agent *n, const char *value, struct err *e)
{
	int64_t ns;

	if (!time_parse_go_duration(str_of(value), &ns) || ns < 0)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no time such as 4h0m0s", value);
	n->stream_idle_ms = ns / (SEC_NS / SEC_MS);
	return 0;
}

static const struct arg {
	const char *name;
	int (*set)(struct node_agent *n, const char *value, struct err *e);
} args[] = {
	{"pod-max-pids", set_pod_max_pids},
	{"allowed-unsafe-sysctls", set_unsafe_sysctls},
	{"container-log-max-size", set_log_max_size},
	{"container-log-max-files", set_log_max_files},
	{"streaming-connection-idle-timeout", set_stream_idle},
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
	n->stream_idle_ms = STREAM_IDLE_MS;
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
