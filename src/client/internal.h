/*
 * The client's own structures.
 */
#ifndef CLIENT_INTERNAL_H
#define CLIENT_INTERNAL_H

#include "base/map.h"
#include "base/tree.h"
#include "client/client.h"

struct client {
	struct loop *loop;
	struct call_server *server;
	void (*free_server)(struct call_server *s); /* NULL: it is another's */
	char *user;
	char *manager; /* of what this one writes; NULL: the server names it by the user */
	struct client *root; /* itself, or whom it was made from: that one owns what follows */
	struct client *next; /* of those made from root */
	struct map *informers; /* by "prefix?selector" */
	struct map *events; /* event.c: what was recorded lately */
};

void informer_free(void *informer);
void client_event_record_free(void *record);

#endif
