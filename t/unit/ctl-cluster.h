/*
 * A cluster for unit tests: all controllers over an API server with a store in
 * memory. There is no node and no scheduler: a test plays them.
 */
#ifndef T_UNIT_CTL_CLUSTER_H
#define T_UNIT_CTL_CLUSTER_H

#include "api/api.h"
#include "base/vec.h"
#include "ctl/ctl.h"
#include "schema/schema.h"

struct cluster {
	struct loop *loop;
	struct store *store;
	struct api *api;
	struct client *client;
	struct ctl *ctl;
	size_t open, failed; /* calls without an answer; that failed */
	char uid[40]; /* of the last object that was answered */
};

void cluster_up(struct cluster *c);
void cluster_down(struct cluster *c);
/* Calls begin, and are waited for; a failure is told and counted. */
void cluster_create(struct cluster *c, const char *group, const char *plural, const char *ns, const char *json);
/* A merge patch. */
void cluster_patch(struct cluster *c, const char *group, const char *plural, const char *ns, const char *name,
		   const char *subresource, const char *json);
void cluster_delete(struct cluster *c, const char *group, const char *plural, const char *ns, const char *name,
		    const char *propagation);
void cluster_wait(struct cluster *c);
/* Turns the loop until f is true, a minute at most; what f said. */
bool cluster_until(struct cluster *c, bool (*f)(struct cluster *c, void *arg), void *arg);

#endif
