/*
 * The controllers: one file each, one table (ctl.c), one runner. A controller is
 * a pure function from a key and read-only views to a plan of writes.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "client/client.h"

struct ctl;
struct ctl_config {
	struct client *client;
	const char *root_ca_pem; /* published as kube-root-ca.crt in every namespace */
};
struct ctl *ctl_new(const struct ctl_config *cfg);
struct ctl *ctl_free(struct ctl *c);

#endif
