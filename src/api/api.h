/*
 * The API server: every request, from HTTP or from a part of this process,
 * walks one table of phases: authenticate, authorize, decode, mutate, validate,
 * admit, store, respond. One exit: req_finish.
 */
#ifndef API_API_H
#define API_API_H

#include "http/http.h"
#include "obj/call.h"
#include "store/store.h"

struct api;

struct audit_config { /* kube-apiserver's --audit-* */
	const char *policy_file, *log_path; /* either NULL or "": no audit log. "-" is stdout */
	int64_t max_mb, max_days, max_backups; /* 0: no limit */
	bool compress;
};

struct api_config {
	struct loop *loop;
	struct store *store;
	const char *version; /* "v1.36.2+kinglet1" */
	const char *server_address; /* "192.168.1.2:6443", for /api */
	const char *admin_token; /* may be NULL: bearer token of the static administrator */
	const char *token_file; /* kube-apiserver's --token-auth-file (CSV) or NULL */
	const char *sa_key_pem; /* signs and verifies service account tokens */
	const char *const *sa_issuers; /* NULL-terminated; the first signs, the others are accepted. Never empty */
	const char *const *api_audiences; /* NULL: the issuers */
	const char *jwks_uri; /* what discovery tells; NULL: below server_address */
	const char *ca_pem; /* goes into service accounts' Secrets; may be NULL */
	const char *service_cidr;
	const char *cluster_dns; /* the address of the Service kube-system/kube-dns, two families by a comma; NULL: there is none */
	int node_port_min, node_port_max;
	const char *admission_on, *admission_off; /* names of admission steps with commas between; NULL: as they are */
	const char *admission_config_file; /* kube-apiserver's AdmissionConfiguration, or NULL */
	bool anonymous; /* to health and version only */
	bool local_storage; /* there is a StorageClass local-path, the default one */
	bool ingress; /* there is an IngressClass kinglet, the default one */
	struct audit_config audit;
	int64_t slow_ms; /* requests that take longer are logged; 0: none */
	/* A connected socket to the node's agent for streams and logs: fd or -errno. */
	int (*dial_node)(void *arg, const char *node);
	void *arg;
};
int api_new(struct api **ret, const struct api_config *cfg, struct err *e) MUST_CHECK;
struct api *api_free(struct api *a);
/* Namespaces, the kubernetes service and what else is always there; ready is called when /readyz turns ok. */
void api_start(struct api *a, void (*ready)(void *arg), void *arg);
/* For http_server_config. arg is the struct api. */
void api_on_request(void *api, struct http_req *r);
/* The way in for the server's own parts; calls run as the given user with its groups. */
struct call_server *api_call_server(struct api *a, const char *user, const char *const *groups);

#endif
