/*
 * `kinglet server`: its options, its certificates, its kubeconfig.
 */
#ifndef CLI_SERVER_H
#define CLI_SERVER_H

#include "base/err.h"
#include "base/opt.h"
#include "http/http.h"
#include "net/net.h"

struct server_opts {
	char *data_dir, *config, *bind_address, *write_kubeconfig, *write_kubeconfig_mode, *token, *token_file;
	char *node_external_ip;
	char *node_name, *node_ip, *cluster_cidr, *service_cidr, *node_port_range, *cluster_dns, *cluster_domain;
	char *admission_on, *admission_off, *admission_config;
	char *manifest_dir, *resolv_conf, *pod_logs_dir, *bridge, *cgroup, *log_level, *advertise_address;
	char *jwks_uri, *event_ttl, *audit_policy, *audit_log;
	int64_t port, kubelet_port, max_pods, audit_mb, audit_days, audit_backups, slow_ms;
	struct opt_list tls_sans, node_labels, node_taints, kubelet_args, controller_args, sa_issuers, api_audiences, disabled;
	char *registries, *pull_deadline, *local_storage;
	char *gc_min_age, *gc_max_age;
	char *lb_pool, *ingress_address, *ingress_log;
	int64_t ingress_http, ingress_https;
	bool disable_proxy, disable_policy;
	int64_t parallel_pulls, gc_high, gc_low;
	bool disable_agent, anonymous_auth, audit_compress, no_default_endpoint;
};

extern const struct opt server_options[]; /* server-opts.c */

/* What follows from --cluster-cidr, --service-cidr, --node-ip and --cluster-dns (cluster-net.c): the first family is the
 * primary one. */
struct cluster_net {
	size_t n; /* families of Services, 1 or 2 */
	char first_ips[NET_FAMILIES][NET_ADDR_TEXT]; /* of the service networks: the first is `kubernetes` */
	char node_ips[NET_FAMILIES][NET_ADDR_TEXT]; /* as the pods' families are; "" where there is none */
	char dns[2 * NET_ADDR_TEXT + 1]; /* the cluster's name server, two families by a comma */
	char pod_cidr[2 * NET_ADDR_TEXT + 12]; /* this node's share of --cluster-cidr */
};
int cluster_net_read(struct cluster_net *c, const struct server_opts *o, struct err *e) MUST_CHECK;
/* Networks of this machine that ours overlap with. */
void cluster_net_warn(const struct server_opts *o);

/* The cgroup of the server with this data directory: servers side by side have one each. Owned by the caller. */
char *server_cgroup(const char *given, const char *data_dir);
/* Its nf_tables table: "kinglet", or with another bridge than kinglet0 the bridge's name. Borrowed. */
const char *server_table(const char *bridge);

/* Certificates below <data-dir>/server/tls, made when missing, renewed at start when they end within
 * PKI_RENEW_DAYS or when a name is missing from the serving certificate. All texts are PEM, owned. */
#define PKI_CA_DAYS 3650
#define PKI_LEAF_DAYS 365
#define PKI_RENEW_DAYS 120
struct pki {
	char *ca_cert, *ca_key;
	char *server_cert, *server_key; /* for the API's listener */
	char *admin_cert, *admin_key; /* O=system:masters, CN=system:admin */
	char *node_cert, *node_key; /* O=system:nodes, CN=system:node:NAME */
	char *kubelet_cert, *kubelet_key; /* for the node's own port */
	char *sa_key; /* signs service account tokens */
};
int pki_load(struct pki *p, const char *dir, const char *const *sans, const char *node_name, const char *node_ip,
	     struct err *e) MUST_CHECK;
void pki_release(struct pki *p);

/* Writes the administrator's kubeconfig; unchanged files are left alone. */
int kubeconfig_write(const char *path, mode_t mode, const char *server_url, const struct pki *p,
		     struct err *e) MUST_CHECK;

#endif
