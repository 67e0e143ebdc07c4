/*
 * The settings of kube-controller-manager that operators know by its command
 * line (--kube-controller-manager-arg NAME=VALUE of the server). To add one: a
 * member here, a row in args.c, a line in man/kinglet-server.8.
 */
#ifndef CTL_SETTINGS_H
#define CTL_SETTINGS_H

#include "base/err.h"

struct ctl_settings {
	int64_t monitor_ms; /* node-monitor-period */
	int64_t grace_ms; /* node-monitor-grace-period */
	int64_t startup_ms; /* node-startup-grace-period */
	double rate, second_rate; /* nodes a second: node-eviction-rate, secondary-node-eviction-rate */
	double unhealthy; /* unhealthy-zone-threshold: this share of a zone's nodes makes it disrupted */
	int64_t large; /* large-cluster-size-threshold: nodes of a zone */
	int64_t terminated_max; /* terminated-pod-gc-threshold; 0: no limit */
	int64_t quarantine_ms; /* pod-gc-quarantine-period: pods of a node that is gone */
};

/* The defaults, with what list ("name=value", NULL-terminated, or NULL) says. */
int ctl_settings_make(struct ctl_settings *ret, const char *const *list, struct err *e) MUST_CHECK;

#endif
