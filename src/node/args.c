/*
 * Settings of the kubelet that operators know by its command line: each
 * --kubelet-arg NAME=VALUE of the server is one. To add a setting, add a row.
 */
#include "node/isolate.h"
#include "node/pressure.h"

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

static int number(const char *value, int64_t min, int64_t max, int64_t *ret, struct err *e)
{
	if (!str_to_i64(str_of(value), ret) || *ret < min || *ret > max)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no number from %lld to %lld", value, (long long)min, (long long)max);
	return 0;
}

static int duration(const char *value, int64_t *ret_ms, struct err *e)
{
	int64_t ns;

	if (!time_parse_go_duration(str_of(value), &ns) || ns < 0)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no time such as 1m30s", value);
	*ret_ms = ns / (SEC_NS / SEC_MS);
	return 0;
}

static int set_max_pods(struct node_agent *n, const char *value, struct err *e)
{
	int64_t v;

	if (number(value, 1, 4096, &v, e) < 0)
		return -e->code;
	n->max_pods = (int)v;
	return 0;
}

static int set_kube_reserved(struct node_agent *n, const char *value, struct err *e)
{
	return reserve_parse(&n->settings->kube, value, e);
}

static int set_system_reserved(struct node_agent *n, const char *value, struct err *e)
{
	return reserve_parse(&n->settings->system, value, e);
}

static int set_enforce(struct node_agent *n, const char *value, struct err *e)
{
	n->settings->enforce = streq(value, "pods");
	if (!n->settings->enforce && !streq(value, "none") && *value)
		return err_set(e, ERR_BAD_REQUEST, "'%s' cannot be enforced here: choose pods or none", value);
	return 0;
}

static int set_hard(struct node_agent *n, const char *value, struct err *e)
{
	return thresholds_parse(&n->settings->thresholds, false, value, e);
}

static int set_soft(struct node_agent *n, const char *value, struct err *e)
{
	return thresholds_parse(&n->settings->thresholds, true, value, e);
}

static int set_soft_grace(struct node_agent *n, const char *value, struct err *e)
{
	return thresholds_parse_grace(&n->settings->thresholds, value, e);
}

static int set_reclaim(struct node_agent *n, const char *value, struct err *e)
{
	return thresholds_parse_reclaim(&n->settings->thresholds, value, e);
}

static int set_transition(struct node_agent *n, const char *value, struct err *e)
{
	return duration(value, &n->settings->thresholds.transition_ms, e);
}

static int set_max_grace(struct node_agent *n, const char *value, struct err *e)
{
	return number(value, 0, INT32_MAX, &n->settings->thresholds.max_grace_s, e);
}

static int set_look(struct node_agent *n, const char *value, struct err *e)
{
	if (duration(value, &n->settings->look_ms, e) < 0)
		return -e->code;
	if (n->settings->look_ms < 100)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is less than 100ms", value);
	if (n->settings->look_ms >= 10000) /* as often as the lease is renewed */
		n->settings->look_ms = 0;
	return 0;
}

static int set_images_max(struct node_agent *n, const char *value, struct err *e)
{
	int64_t v;

	if (number(value, -1, 10000, &v, e) < 0)
		return -e->code;
	n->settings->images_max = (int)v;
	return 0;
}

static int set_gc_high(struct node_agent *n, const char *value, struct err *e)
{
	int64_t v;

	if (number(value, 1, 100, &v, e) < 0)
		return -e->code;
	n->gc_policy.high_percent = (int)v;
	return 0;
}

static int set_gc_low(struct node_agent *n, const char *value, struct err *e)
{
	int64_t v;

	if (number(value, 0, 100, &v, e) < 0)
		return -e->code;
	n->gc_policy.low_percent = (int)v;
	return 0;
}

static int set_gc_age(struct node_agent *n, const char *value, struct err *e)
{
	int64_t ms;

	if (duration(value, &ms, e) < 0)
		return -e->code;
	n->gc_policy.min_age_s = ms / SEC_MS;
	return 0;
}

static void add_string(char ***list, struct str s)
{
	size_t n = 0;

	while (*list && (*list)[n])
		n++;
	*list = xreallocarray(*list, n + 2, sizeof(**list));
	(*list)[n] = str_dup(s);
	(*list)[n + 1] = NULL;
}

static int set_labels(struct node_agent *n, const char *value, struct err *e)
{
	for (struct str rest = str_of(value); rest.p;) {
		struct str one = str_trim(str_cut(&rest, ','));

		if (!one.n)
			continue;
		if (str_find(one, '=') < 1)
			return err_set(e, ERR_BAD_REQUEST, "'%" STR_FMT "' is no label such as key=value", STR_ARG(one));
		add_string(&n->labels, one);
	}
	return 0;
}

static int set_taints(struct node_agent *n, const char *value, struct err *e)
{
	for (struct str rest = str_of(value); rest.p;) {
		struct str one = str_trim(str_cut(&rest, ','));

		if (!one.n)
			continue;
		if (str_find(one, ':') < 1)
			return err_set(e, ERR_BAD_REQUEST, "'%" STR_FMT "' is no taint such as key=value:NoSchedule", STR_ARG(one));
		add_string(&n->taints, one);
	}
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
	{"max-pods", set_max_pods},
	{"kube-reserved", set_kube_reserved},
	{"system-reserved", set_system_reserved},
	{"enforce-node-allocatable", set_enforce},
	{"eviction-hard", set_hard},
	{"eviction-soft", set_soft},
	{"eviction-soft-grace-period", set_soft_grace},
	{"eviction-minimum-reclaim", set_reclaim},
	{"eviction-pressure-transition-period", set_transition},
	{"eviction-max-pod-grace-period", set_max_grace},
	{"housekeeping-interval", set_look},
	{"node-status-max-images", set_images_max},
	{"image-gc-high-threshold", set_gc_high},
	{"image-gc-low-threshold", set_gc_low},
	{"minimum-image-ttl-duration", set_gc_age},
	{"node-labels", set_labels},
	{"register-with-taints", set_taints},
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
	if (n->gc_policy.low_percent >= n->gc_policy.high_percent)
		return err_set(e, ERR_BAD_REQUEST, "--kubelet-arg: image-gc-low-threshold has to be below image-gc-high-threshold");
	if (thresholds_finish(&n->settings->thresholds, e) < 0)
		return err_wrap(e, "--kubelet-arg");
	return 0;
}

void args_release(struct node_agent *n)
{
	for (size_t i = 0; n->unsafe_sysctls && n->unsafe_sysctls[i]; i++)
		free(n->unsafe_sysctls[i]);
	free(n->unsafe_sysctls);
}
