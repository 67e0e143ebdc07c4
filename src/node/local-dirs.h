/*
 * The directories of volumes that live on this node and belong to the cluster:
 * those that the local-path provisioner made up are created here; released ones
 * are emptied (Recycle) or removed (Delete), and the API is told.
 */
#ifndef NODE_LOCAL_DIRS_H
#define NODE_LOCAL_DIRS_H

#include "client/client.h"

struct local_dirs;
/* dir: where provisioned volumes live; of these nothing else is ever removed. */
struct local_dirs *local_dirs_new(struct client *c, const char *node, const char *dir);
struct local_dirs *local_dirs_free(struct local_dirs *l); /* waits for what is being removed */

#endif
