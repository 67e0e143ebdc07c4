/*
 * DNS of one node: what its files have in common.
 *
 *	dns.c		the part of svc: opens, closes, and takes a question through the others
 *	dns-index.c	Services and endpoints in a compact form, kept from informers
 *	dns-answer.c	the cluster's own names, by the Kubernetes DNS specification 1.1
 *	dns-hosts.c	names and addresses of nodes, and of the operator's list
 *	dns-config.c	the ConfigMap kube-system/kube-dns
 *	dns-resolv.c	the host's resolv.conf, followed
 *	dns-cache.c	answers of others, for as long as they may be kept
 *	dns-forward.c	questions to others, and who waits for them
 *	dns-tcp.c	connections of clients
 *	dns-metrics.c	counters on port 9153
 */
#ifndef SVC_DNS_H
#define SVC_DNS_H

#include "base/map.h"
#include "net/net.h"
#include "net/udp.h"
#include "svc/internal.h"
#include "wire/dns.h"

#define DNS_PORT 53
#define DNS_METRICS_PORT 9153
#define DNS_TTL 5 /* of the cluster's names, as CoreDNS' kubernetes plugin */
#define DNS_HOSTS_TTL 60 /* as k3s sets it for its NodeHosts */
#define DNS_CACHE_TTL 30 /* at most, as k3s' Corefile has it */
#define DNS_CNAMES 8 /* that are followed */
#define DNS_MAX_ADDRESSES 2 /* of our own, one of each family */

struct dns;

/* --- dns-index.c --- */
struct dns_link { /* in a hash table */
	struct dns_link *next;
	uint32_t hash;
};
struct dns_table {
	struct dns_link **slot;
	size_t n, size;
};
struct dns_port {
	uint16_t port;
	uint8_t proto; /* IPPROTO_ */
	char *name; /* NULL: none */
};
struct dns_addr { /* of a Service, or of one of its endpoints */
	struct dns_link link; /* among all addresses */
	struct dns_service *service;
	char *hostname; /* of an endpoint; NULL: none */
	uint8_t b[16], family;
	bool endpoint;
};
struct dns_slice { /* one EndpointSlice: those of its endpoints that are ready */
	struct dns_slice *next;
	struct obj *obj; /* what it was read from, a reference of ours */
	struct dns_port *ports;
	struct dns_addr *addrs;
	uint32_t n_ports, n_addrs;
};
enum dns_kind { DNS_GONE, DNS_CLUSTER_IP, DNS_HEADLESS, DNS_EXTERNAL };
struct dns_service {
	struct dns_link link;
	struct dns_port *ports;
	struct dns_addr *addrs;
	struct dns_slice *slices;
	char *external;
	uint8_t kind, n_addrs;
	uint16_t n_ports;
	uint16_t ns_len, name_len;
	char key[]; /* namespace and name, without anything between */
};
struct dns_index {
	struct dns_table services, addrs;
	uint32_t serial; /* of the zone: when something changed last */
};
void dns_index_init(struct dns_index *x);
void dns_index_release(struct dns_index *x);
struct dns_service *dns_index_find(const struct dns_index *x, struct str ns, struct str name);
/* The first record of an address, and the one after it; of a Service itself before those of endpoints is not said. */
struct dns_addr *dns_index_addr(const struct dns_index *x, const struct net_addr *a, struct dns_addr *prev);
/* From a Service's tree; NULL: it is gone. */
struct dns_service *dns_index_service(struct dns_index *x, const char *ns, const char *name, const struct node *root);
/* These are its slices now; what was read before is not read again. */
void dns_index_slices(struct dns_index *x, struct dns_service *s, const svc_slice_list *l);

/* --- dns-hosts.c --- */
struct dns_host {
	VEC(struct net_addr) v;
};
struct dns_hosts {
	struct map *names; /* a name in lower case as on the wire -> dns_host */
	struct map *addrs; /* an address' bytes -> struct dns_name, the first name of its line */
};
void dns_hosts_init(struct dns_hosts *h);
void dns_hosts_release(struct dns_hosts *h);
bool dns_hosts_add(struct dns_hosts *h, struct str name, const struct net_addr *a);
/* Lines as of /etc/hosts. */
int dns_hosts_read(struct dns_hosts *h, struct str text, struct err *e) MUST_CHECK;

/* --- upstream servers: groups, counted --- */
#define DNS_MAX_SERVERS 16
struct dns_server {
	struct net_addr addr;
	uint16_t port;
	unsigned failures; /* without an answer between */
	int64_t down_until_ms;
	bool no_edns, loops;
	uint64_t asked;
};
struct dns_servers {
	int refs;
	struct dns_name zone; /* what they are asked for: "." all */
	size_t n;
	struct dns_server v[DNS_MAX_SERVERS];
};
struct dns_servers *dns_servers_new(void);
struct dns_servers *dns_servers_ref(struct dns_servers *s);
struct dns_servers *dns_servers_unref(struct dns_servers *s);
/* "10.0.0.1", "10.0.0.1:5353", "[fd00::1]:5353", "fd00::1" */
bool dns_servers_add(struct dns_servers *s, struct str text);

/* --- dns-config.c --- */
struct dns_config {
	VEC(struct dns_servers *) stubs;
	struct dns_servers *upstream; /* NULL: the host's */
	struct str hosts; /* borrowed from what was read */
};
/* From the data of a ConfigMap (NULL: none). domain: the cluster's own, which cannot be given away. */
int dns_config_read(struct dns_config *c, const struct node *data, const struct dns_name *domain, struct err *e) MUST_CHECK;
void dns_config_release(struct dns_config *c);

/* --- dns-resolv.c --- */
struct dns_resolv;
struct dns_resolv *dns_resolv_new(struct loop *l, const char *path, void (*changed)(void *arg), void *arg);
struct dns_resolv *dns_resolv_free(struct dns_resolv *r);
/* What the file says now; without a name server the list is empty. */
struct dns_servers *dns_resolv_read(struct dns_resolv *r);

/* --- who asked --- */
struct dns_tcp_conn;
struct dns_client {
	struct net_udp *udp; /* or */
	struct dns_tcp_conn *tcp;
	struct net_udp_peer peer;
};

/* --- dns-cache.c --- */
struct dns_key { /* the question as others are asked it */
	uint16_t n;
	uint8_t b[DNS_NAME_BYTES + 3]; /* flags, type, name in lower case */
};
void dns_key_make(struct dns_key *k, const struct dns_name *lower, uint16_t type, bool dnssec_ok, bool checking_off);
struct dns_cached {
	TAILQ_ENTRY(dns_cached) link;
	int64_t at_ms, until_ms;
	struct dns_head head;
	struct str key, msg; /* behind it */
};
struct dns_cache;
struct dns_cache *dns_cache_new(struct loop *l);
struct dns_cache *dns_cache_free(struct dns_cache *c);
struct dns_cached *dns_cache_find(struct dns_cache *c, const struct dns_key *k);
/* How long it may be kept, in seconds; 0: not. */
uint32_t dns_cache_ttl(const struct dns_head *h, struct str msg);
void dns_cache_put(struct dns_cache *c, const struct dns_key *k, const struct dns_head *h, struct str msg, uint32_t ttl_s);
void dns_cache_clear(struct dns_cache *c);
size_t dns_cache_count(const struct dns_cache *c);
size_t dns_cache_bytes(const struct dns_cache *c);

/* --- dns-forward.c --- */
struct dns_outcome { /* of asking others */
	const struct dns_key *key;
	const struct dns_head *head; /* NULL: nobody answered */
	struct str msg;
	int64_t at_ms;
};
struct dns_forward;
struct dns_forward *dns_forward_new(struct dns *d);
struct dns_forward *dns_forward_free(struct dns_forward *f);
/* Asks, or waits with those who ask the same; then the question is taken up again with the outcome
 * (dns_resume). False: too much is under way. */
bool dns_forward_ask(struct dns_forward *f, const struct dns_client *c, const struct dns_query *q,
		     struct dns_servers *to, const struct dns_key *k);
/* The connection is gone: nobody waits there any more. */
void dns_forward_forget(struct dns_forward *f, struct dns_tcp_conn *c);
/* Is this the question by which we look whether a server leads back to us? Noted, and not answered. */
bool dns_forward_is_probe(struct dns_forward *f, const struct dns_query *q);
/* Looks whether the servers on this machine lead back to us. */
void dns_forward_probe(struct dns_forward *f, struct dns_servers *s);
size_t dns_forward_flights(const struct dns_forward *f);

/* --- dns-tcp.c --- */
struct dns_tcp;
int dns_tcp_listen(struct dns_tcp **ret, struct dns *d, const struct net_addr *a, struct err *e) MUST_CHECK;
struct dns_tcp *dns_tcp_free(struct dns_tcp *t);
void dns_tcp_send(struct dns_tcp_conn *c, const void *p, size_t n);
const struct net_udp_peer *dns_tcp_peer(const struct dns_tcp_conn *c);

/* --- dns-metrics.c --- */
#define DNS_COUNTED_TYPES 14
#define DNS_COUNTED_RCODES 17
#define DNS_BUCKETS 16
struct dns_stats {
	uint64_t asked[2][2][DNS_COUNTED_TYPES]; /* UDP, TCP; IPv4, IPv6; type */
	uint64_t answered[DNS_COUNTED_RCODES + 1]; /* the last: others */
	uint64_t seconds[DNS_BUCKETS + 1], ns_sum; /* how long an answer took */
	uint64_t hits[2], misses; /* of the cache: positive, negative */
	uint64_t forwarded, failed, timed_out, refused; /* questions to others */
	uint64_t truncated, dropped;
};
void dns_stats_asked(struct dns_stats *s, const struct dns_query *q, bool tcp, bool v6);
void dns_stats_answered(struct dns_stats *s, unsigned rcode, int64_t ns);
struct dns_metrics;
int dns_metrics_listen(struct dns_metrics **ret, struct dns *d, const struct net_addr *a, struct err *e) MUST_CHECK;
struct dns_metrics *dns_metrics_free(struct dns_metrics *m);

/* --- dns.c --- */
struct dns_socket {
	struct net_addr addr;
	struct net_udp *udp;
	struct dns_tcp *tcp;
	struct dns_metrics *metrics;
};
struct dns {
	struct svc *svc;
	struct loop *loop;
	struct dns_name domain;
	struct net_prefix ours[4]; /* networks whose reverse names are the cluster's */
	size_t n_ours, n_sockets;
	struct dns_socket sockets[DNS_MAX_ADDRESSES];
	struct loop_timer *again; /* an address that could not be had */
	struct informer *services, *namespaces, *nodes, *configs;
	struct svc_slices_watch watch;
	struct dns_index index;
	struct dns_hosts hosts;
	struct map *node_addrs; /* of nodes, as hosts.names */
	struct dns_config config;
	struct obj *config_obj; /* what config was read from */
	struct dns_servers *upstream; /* those of the host */
	struct dns_resolv *resolv;
	struct dns_cache *cache;
	struct dns_forward *forward;
	struct dns_stats stats;
	uint64_t random; /* state of dns_random */
	uint64_t seen[8192]; /* dns-answer.c: what an answer holds already */
	uint16_t seen_round;
	uint8_t *out; /* DNS_MESSAGE_BYTES, for one answer */
};
bool dns_is_synced(const struct dns *d);
uint32_t dns_random(struct dns *d); /* for fairness, not for secrets */
bool dns_has_namespace(struct dns *d, struct str ns);
/* The answer to msg, at most limit bytes in out. 0: none, or it comes later. */
size_t dns_handle(struct dns *d, const struct dns_client *c, struct str msg, void *out, size_t limit);
/* A question that waited for others. */
void dns_resume(struct dns *d, const struct dns_client *c, struct dns_query *q, const struct dns_outcome *o, int64_t since_ns);
/* Who is to be asked for this name. NULL: nobody is known. */
struct dns_servers *dns_route(struct dns *d, const struct dns_name *lower);
bool dns_is_own_address(const struct dns *d, const struct net_addr *a, uint16_t port);

/* --- dns-answer.c --- */
struct dns_reply {
	struct dns *d;
	const struct dns_query *q;
	struct dns_writer w;
	const struct dns_outcome *outcome; /* NULL: others were not asked yet */
	struct dns_servers *ask; /* out: these have to be asked for key, and then all begins anew */
	struct dns_key key;
	unsigned cnames;
};
/* Writes the answer's records and the rcode. False: r->ask has to be asked. */
bool dns_answer(struct dns_reply *r);
bool dns_reverse_parse(struct net_addr *a, const struct dns_name *n); /* of in-addr.arpa and ip6.arpa */

#endif
