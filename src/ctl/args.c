/*
 * The table of the controllers' settings (settings.h).
 */
#include "ctl/settings.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/time.h"
#include "ctl/ctl.h"

enum arg_type { ARG_TIME, ARG_COUNT, ARG_RATE, ARG_SHARE };

#define O(m) offsetof(struct ctl_settings, m)
static const struct arg {
	const char *name;
	enum arg_type type;
	size_t where;
} args[] = {
	{ "node-monitor-period", ARG_TIME, O(monitor_ms) },
	{ "node-monitor-grace-period", ARG_TIME, O(grace_ms) },
	{ "node-startup-grace-period", ARG_TIME, O(startup_ms) },
	{ "node-eviction-rate", ARG_RATE, O(rate) },
	{ "secondary-node-eviction-rate", ARG_RATE, O(second_rate) },
	{ "unhealthy-zone-threshold", ARG_SHARE, O(unhealthy) },
	{ "large-cluster-size-threshold", ARG_COUNT, O(large) },
	{ "terminated-pod-gc-threshold", ARG_COUNT, O(terminated_max) },
	{ "pod-gc-quarantine-period", ARG_TIME, O(quarantine_ms) },
};
#undef O

static const struct ctl_settings args_default = {
	.monitor_ms = 5 * SEC_MS,
	.grace_ms = 50 * SEC_MS,
	.startup_ms = 60 * SEC_MS,
	.rate = 0.1,
	.second_rate = 0.01,
	.unhealthy = 0.55,
	.large = 50,
	.terminated_max = 12500,
	.quarantine_ms = 40 * SEC_MS,
};

static int arg_time(int64_t *ret_ms, const char *value, struct err *e)
{
	int64_t ns;

	if (!time_parse_go_duration(str_of(value), &ns) || ns < SEC_NS / SEC_MS)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no time such as 1m30s", value);
	*ret_ms = ns / (SEC_NS / SEC_MS);
	return 0;
}

static int arg_count(int64_t *ret, const char *value, struct err *e)
{
	if (!str_to_i64(str_of(value), ret) || *ret < 0 || *ret > INT32_MAX)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no number from 0 to %d", value, INT32_MAX);
	return 0;
}

static int arg_real(double *ret, const char *value, double max, struct err *e)
{
	char *end;

	*ret = strtod(value, &end);
	if (end == value || *end || !isfinite(*ret) || *ret < 0 || *ret > max)
		return err_set(e, ERR_BAD_REQUEST, "'%s' is no number from 0 to %g, such as 0.1", value, max);
	return 0;
}

static int arg_set(const struct arg *a, struct ctl_settings *s, const char *value, struct err *e)
{
	void *where = (char *)s + a->where;

	switch (a->type) {
	case ARG_TIME:
		return arg_time(where, value, e);
	case ARG_COUNT:
		return arg_count(where, value, e);
	case ARG_RATE:
		return arg_real(where, value, 1000, e);
	default:
		return arg_real(where, value, 1, e);
	}
}

static int arg_apply(struct ctl_settings *s, const char *text, struct err *e)
{
	struct str value = str_of(text), name;

	while (str_starts(value, STR_LIT("-")))
		value = str_sub(value, 1, value.n);
	name = str_cut(&value, '=');
	for (size_t i = 0; i < ARRAY_SIZE(args); i++)
		if (str_eqc(name, args[i].name))
			return arg_set(&args[i], s, value.p ? value.p : "", e);
	return err_set(e, ERR_BAD_REQUEST, "there is no such setting here");
}

int ctl_settings_make(struct ctl_settings *ret, const char *const *list, struct err *e)
{
	*ret = args_default;
	for (size_t i = 0; list && list[i]; i++)
		if (arg_apply(ret, list[i], e) < 0)
			return err_wrap(e, "--kube-controller-manager-arg '%s'", list[i]);
	if (ret->monitor_ms > ret->grace_ms)
		return err_set(e, ERR_BAD_REQUEST, "--kube-controller-manager-arg: node-monitor-period has to be no longer than "
						   "node-monitor-grace-period");
	return 0;
}

int ctl_check_args(const char *const *list, struct err *e)
{
	struct ctl_settings s;

	return ctl_settings_make(&s, list, e);
}
