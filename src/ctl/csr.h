/*
 * What the controllers of certificate requests share.
 */
#ifndef CTL_CSR_H
#define CTL_CSR_H

#include "ctl/internal.h"

#define CSR_KUBELET_CLIENT "kubernetes.io/kube-apiserver-client-kubelet"

/* The PEM of spec.request. */
bool csr_request(const struct node *root, struct buf *pem);
bool csr_has(const struct node *root, const char *type); /* a condition that is True */
/* Adds a condition that is True. */
void csr_add_condition(struct doc *d, const char *type, const char *reason, const char *message);
bool csr_is_ours(const char *signer); /* one of those that sign here */
/* NULL when a signer of this name may sign it; else why not, in Kubernetes' words. */
const char *csr_check_signer(const char *signer, const struct csr_facts *f, const struct node *usages);
/* The time (unix seconds) at which it is cleaned up; 0: not now. */
int64_t csr_due_s(const struct node *root);

#endif
