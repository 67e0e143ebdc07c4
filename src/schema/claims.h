/*
 * Claims and volumes as binder, scheduler and quota look at them: pure functions
 * over the trees of PersistentVolumeClaims and PersistentVolumes.
 */
#ifndef SCHEMA_CLAIMS_H
#define SCHEMA_CLAIMS_H

#include "schema/schema.h"

#define CLAIM_BOUND "pv.kubernetes.io/bind-completed" /* annotations */
#define BOUND_BY_CONTROLLER "pv.kubernetes.io/bound-by-controller"
#define CLAIM_NODE "volume.kubernetes.io/selected-node"
#define CLAIM_PROVISIONER "volume.kubernetes.io/storage-provisioner"
#define VOLUME_PROVISIONER "pv.kubernetes.io/provisioned-by"
#define CLASS_NONE "kubernetes.io/no-provisioner"

/* Name of the StorageClass of a claim or a volume, by its annotation of old or its field; "" for none. */
const char *storage_class(const struct node *root);
int64_t claim_bytes(const struct node *claim); /* asked for */
int64_t volume_bytes(const struct node *volume);
bool claim_is_bound(const struct node *claim); /* completely */
/* claimRef names this very claim (by uid, when it has one). */
bool volume_is_kept_for(const struct node *volume, const struct node *claim);
/* Could the claim have it: size, class, modes, selector? NULL, or why not ("requested PV is too small"). Who else it is
 * kept for, its phase and its nodes are not looked at. */
const char *volume_unfit(const struct node *volume, const struct node *claim);
/* Of two volumes that would do the better one is the smaller. */
bool volume_is_better(const struct node *a, const struct node *b);
/* The class binds when the first pod is scheduled. class NULL: no. */
bool class_is_late(const struct node *class);
/* Directories of nodes: kinglet.io/local-path, and rancher.io/local-path, so that what was written for k3s works. */
bool provisioner_is_local(const char *provisioner);

#endif
