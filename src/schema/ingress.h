/*
 * Whose an Ingress is: what the node's part that serves it (svc) and the controller
 * of its status (ctl) have to agree on.
 */
#ifndef SCHEMA_INGRESS_H
#define SCHEMA_INGRESS_H

#include "doc/doc.h"

#define INGRESS_CLASS "kinglet" /* made at start; others of our controller may be added */
#define INGRESS_CONTROLLER "kinglet.io/ingress-controller"

bool ingress_class_is_ours(const struct node *class); /* by its controller */
bool ingress_class_is_default(const struct node *class);
/* The class that it names, in its spec or by the old annotation; NULL: none. */
const char *ingress_class_name(const struct node *ingress);
/* class: the one of that name. any_default: some class of ours is the default; for those that name none. */
bool ingress_is_ours(const struct node *ingress, const struct node *class, bool any_default);

#endif
