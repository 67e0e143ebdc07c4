/*
 * Where the logs of containers stand, in the layout that log shippers know of
 * the kubelet:
 *
 *	DIR/NS_POD_UID/CONTAINER/<attempt>.log		what was written (run/keeper/output.c)
 *	DIR/../containers/POD_NS_CONTAINER-ID.log	a symbolic link to it
 *
 * DIR is --pod-logs-dir: /var/log/pods on a machine whose kinglet it is.
 */
#ifndef NODE_LOGS_H
#define NODE_LOGS_H

#include "node/internal.h"

/* The link of the attempt that just started. */
void log_link(struct ctr *c);
/* Links of ours that lead nowhere go: when logs were removed, and when the agent starts. */
void log_links_sweep(struct node_agent *n);

#endif
