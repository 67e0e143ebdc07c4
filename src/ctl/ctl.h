/*
 * The controllers: one file each, one table (ctl.c), one runner. A controller is
 * a pure function from a key and read-only views to a plan of writes.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include "client/client.h"

/* What a certificate request asks for. */
struct csr_facts {
	char *common_name, **organizations; /* owned; organizations NULL-terminated */
	int n_dns, n_ips, n_emails, n_uris;
};
struct csr_terms {
	int64_t backdate_s, ttl_s;
	const char *key_usage, *ext_key_usage; /* "critical,digitalSignature,keyEncipherment", "clientAuth"; "" for none */
};
void csr_facts_release(struct csr_facts *f);

/* LoadBalancer Services (loadbalancer.c). */
struct ctl_lb_port { /* one that a part of this program holds on every node */
	const char *what; /* "the ingress"; NULL ends a list */
	const char *protocol; /* "TCP" */
	int port;
	const char *address; /* ""/NULL: all */
};
struct ctl_lb {
	bool off; /* only clean up after a former run */
	const char *pool; /* "192.168.1.240-192.168.1.250,10.0.0.0/28"; NULL, "": the nodes' addresses */
	const struct ctl_lb_port *taken; /* or NULL */
};
int ctl_check_lb_pool(const char *pool, struct err *e) MUST_CHECK;

struct ctl;
struct ctl_config { /* what it points to lives as long as the controllers */
	struct client *client;
	const char *root_ca_pem; /* published as kube-root-ca.crt in every namespace */
	/* Certificate requests in PEM, and the cluster's authority. NULL: none are approved or signed. */
	int (*csr_read)(struct csr_facts *ret, struct str pem, struct err *e);
	int (*csr_sign)(void *arg, struct str pem, const struct csr_terms *t, struct buf *ret_pem, struct err *e);
	void *csr_arg;
	const char *local_storage; /* where nodes have the directories of provisioned volumes; NULL: there are none */
	struct ctl_lb lb;
	const char *const *args; /* "name=value" as kube-controller-manager has them (args.c), NULL-terminated or NULL */
};
/* Are these settings all known and good? */
int ctl_check_args(const char *const *args, struct err *e) MUST_CHECK;
/* With args that were checked. */
struct ctl *ctl_new(const struct ctl_config *cfg);
struct ctl *ctl_free(struct ctl *c);

#endif
