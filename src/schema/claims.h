/*
 * Claims and volumes as binder, scheduler and quota look at them: pure functions
 * over the trees of PersistentVolumeClaims and PersistentVolumes.
 */
#ifndef SCHEMA_CLAIMS_H
#define SCHEMA_CLAIMS_H

#include "schema/placement.h"

#define CLAIM_BOUND "pv.kubernetes.io/bind-completed" /* annotations */
#define BOUND_BY_CONTROLLER "pv.kubernetes.io/bound-by-controller"
#define CLAIM_NODE "volume.kubernetes.io/selected-node"
#define CLAIM_PROVISIONER "volume.kubernetes.io/storage-provisioner"
#define VOLUME_PROVISIONER "pv.kubernetes.io/provisioned-by"
#define CLASS_NONE "kubernetes.io/no-provisioner"
/* Of disks of clouds and the like: "spec.volumes[0].gcePersistentDisk needs ...". */
#define VOLUME_FOREIGN \
	"needs a driver that is not part of kinglet; use a claim of the class local-path, or an nfs, hostPath or emptyDir volume"

/* Name of the StorageClass of a claim or a volume, by its annotation of old or its field; "" for none. */
const char *storage_class(const struct node *root);
/* What a volume of a pod's spec has to do with claims: its own (ephemeral) or one that it names. */
bool volume_has_claim(const struct node *volume);
char *volume_claim_name(const struct node *volume, const char *pod); /* the caller's; NULL: it has none */
bool volume_uses_claim(const struct node *volume, const char *pod, const char *claim);
int64_t claim_bytes(const struct node *claim); /* asked for */
int64_t volume_bytes(const struct node *volume);
bool claim_is_bound(const struct node *claim); /* completely */
/* claimRef names this very claim (by uid, when it has one). */
bool volume_is_kept_for(const struct node *volume, const struct node *claim);
/* Why the claim may not have the volume that its spec.volumeName names, in Kubernetes' words ("requested PV is too
 * small"), or NULL. */
const char *volume_mismatch(const struct node *volume, const struct node *claim);
enum volume_fit {
	VOLUME_NOT,
	VOLUME_FREE, /* it is nobody's, and all that the claim asks for */
	VOLUME_KEPT, /* its claimRef names this claim: class and selector do not matter then */
};
/* As it is now; where it is is not looked at. */
enum volume_fit volume_fits(const struct node *volume, const struct node *claim);
/* Which of two free ones is taken; b NULL: a. The scheduler takes the smaller, the binder one that can do little else. */
bool volume_is_smaller(const struct node *a, const struct node *b);
bool volume_is_better(const struct node *a, const struct node *b);
/* The node that a volume is tied to by its label kubernetes.io/hostname, as the local-path provisioner writes it: the only
 * one that the affinity names. NULL: tied to none, or in other ways. */
const char *volume_node(const struct node *volume);
/* Changes a volume that no claim has any more: free for all, or kept for the claim that its maker named. */
void volume_unbind(struct doc *d);
bool class_is_default(const struct node *class);
/* Of several default classes the newest counts, then the first by name. */
bool class_is_newer(const struct node *a, const struct node *b);
/* Its allowedTopologies has nothing against that node. */
bool class_allows(const struct node *class, const struct place *p);
/* The class binds when the first pod is scheduled. class NULL: no. */
bool class_is_late(const struct node *class);
/* Directories of nodes: kinglet.io/local-path, and rancher.io/local-path, so that what was written for k3s works. */
bool provisioner_is_local(const char *provisioner);

#endif
