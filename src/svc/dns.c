/*
 * DNS on one node: at the cluster's DNS address, which is one of this machine's,
 * over UDP and TCP. The cluster's names come from memory (dns-answer.c), others
 * from the host's name servers (dns-forward.c) or those that the ConfigMap
 * kube-system/kube-dns names for a domain (dns-config.c).
 *
 * It listens as soon as the program starts; until all Services and endpoints are
 * known the cluster's names are answered SERVFAIL, never NXDOMAIN. An address or
 * port that can't be had is tried again, and nothing else waits for it.
 */
#include "base/log.h"
#include "base/rand.h"
#include "base/time.h"
#include "schema/schema.h"
#include "svc/dns.h"

#define DNS_AGAIN_MS 10000
#define DNS_CONFIG_NS "kube-system"
#define DNS_CONFIG_NAME "kube-dns"

/* --- small things for the other files --- */

bool dns_is_synced(const struct dns *d)
{
	return informer_synced(d->services) && informer_synced(d->namespaces) && svc_slices_synced(d->svc->slices);
}

uint32_t dns_random(struct dns *d)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	return (uint32_t)(d->random >> 32);
}

bool dns_has_namespace(struct dns *d, struct str ns)
{
	char name[DNS_LABEL_BYTES + 1];

	if (ns.n > DNS_LABEL_BYTES)
		return false;
	memcpy(name, ns.p, ns.n);
	name[ns.n] = '\0';
	return informer_find(d->namespaces, "", name) != NULL;
}

bool dns_is_own_address(const struct dns *d, const struct net_addr *a, uint16_t port)
{
	for (size_t i = 0; i < d->n_sockets; i++)
		if (port == DNS_PORT && net_addr_equal(&d->sockets[i].addr, a))
			return true;
	return false;
}

/* The longest domain that has servers of its own, else those for all. Nobody before it is known what is configured. */
struct dns_servers *dns_route(struct dns *d, const struct dns_name *lower)
{
	struct dns_servers *best = d->config.upstream ? d->config.upstream : d->upstream;

	if (!informer_synced(d->configs))
		return NULL;
	for (size_t i = 0; i < d->config.stubs.n; i++) {
		struct dns_servers *s = d->config.stubs.v[i];

		if (dns_name_below(lower, &s->zone) >= 0 && (!best || s->zone.len > best->zone.len))
			best = s;
	}
	return best && best->n ? best : NULL;
}

/* --- a question's way --- */

static unsigned dns_refuses(struct dns *d, const struct dns_query *q)
{
	if (q->class != DNS_CLASS_IN || q->type == DNS_AXFR || q->type == DNS_IXFR)
		return DNS_REFUSED;
	if (q->type == DNS_OPT)
		return DNS_FORMERR;
	return dns_forward_is_probe(d->forward, q) ? DNS_SERVFAIL : 0;
}

static size_t dns_process(struct dns *d, const struct dns_client *c, const struct dns_query *q, unsigned rcode,
			  const struct dns_outcome *o, void *out, size_t limit, int64_t since_ns)
{
	struct dns_reply r = { .d = d, .q = q, .outcome = o };
	uint16_t flags = (uint16_t)(DNS_QR | DNS_RA | (q->flags & (DNS_RD | DNS_CD | 0x7800)));

	if (c->udp)
		limit = !q->edns.present || q->edns.size < DNS_UDP_BYTES ? DNS_UDP_BYTES :
			q->edns.size < DNS_EDNS_BYTES			 ? q->edns.size :
									   DNS_EDNS_BYTES;
	dns_write_begin(&r.w, out, limit, q->id, flags);
	if (q->edns.present)
		dns_write_edns(&r.w, q->edns.dnssec_ok);
	if (q->name.len)
		dns_write_question(&r.w, &q->name, q->type, q->class);
	r.w.rcode = rcode ? rcode : dns_refuses(d, q);
	if (!r.w.rcode && !dns_answer(&r)) {
		if (dns_forward_ask(d->forward, c, q, r.ask, &r.key))
			return 0;
		d->stats.refused++;
		r.w.rcode = DNS_SERVFAIL;
	}
	d->stats.truncated += (r.w.flags & DNS_TC) != 0;
	dns_stats_answered(&d->stats, r.w.rcode, time_mono_us() * 1000 - since_ns);
	return dns_write_end(&r.w);
}

size_t dns_handle(struct dns *d, const struct dns_client *c, struct str msg, void *out, size_t limit)
{
	struct dns_query q;
	int rcode = dns_read_query(&q, msg);

	if (rcode < 0) {
		d->stats.dropped++;
		return 0;
	}
	dns_stats_asked(&d->stats, &q, c->tcp != NULL, c->peer.u.sa.sa_family == AF_INET6);
	return dns_process(d, c, &q, (unsigned)rcode, NULL, out, limit, time_mono_us() * 1000);
}

void dns_resume(struct dns *d, const struct dns_client *c, struct dns_query *q, const struct dns_outcome *o, int64_t since_ns)
{
	size_t n = dns_process(d, c, q, 0, o, d->out, c->udp ? NET_UDP_ANSWER : DNS_MESSAGE_BYTES, since_ns);

	if (n && c->udp)
		net_udp_send(c->udp, &c->peer, d->out, n);
	else if (n)
		dns_tcp_send(c->tcp, d->out, n);
}

static size_t dns_on_udp(void *arg, struct net_udp *u, const struct net_udp_peer *from, struct str question, void *out)
{
	return dns_handle(arg, &(struct dns_client){ .udp = u, .peer = *from }, question, out, NET_UDP_ANSWER);
}

/* --- objects --- */

static void dns_load_slices(struct dns *d, struct dns_service *s, const char *ns, const char *name)
{
	if (s && svc_slices_synced(d->svc->slices))
		dns_index_slices(&d->index, s, svc_slices_of(d->svc->slices, ns, name));
}

static void dns_on_service(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct dns *d = arg;
	_cleanup_doc_ struct doc *doc = t == WATCH_DELETED ? NULL : obj_doc_once(obj);
	struct dns_service *s = dns_index_service(&d->index, obj->ns, obj->name, doc ? doc_root(doc) : NULL);

	if (!old)
		dns_load_slices(d, s, obj->ns, obj->name);
}

static void dns_on_slices(void *arg, const char *ns, const char *service)
{
	struct dns *d = arg;

	dns_load_slices(d, dns_index_find(&d->index, str_of(ns), str_of(service)), ns, service);
}

static void dns_on_slices_synced(void *arg)
{
	struct dns *d = arg;

	for (struct obj *o = NULL; (o = informer_next(d->services, NULL, o));)
		dns_on_slices(d, o->ns, o->name);
}

static void dns_on_namespace(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	(void)arg, (void)t, (void)obj, (void)old; /* they are looked up in the informer */
}

/* A node is known by its name as k3s' NodeHosts has it. */
static void dns_on_node(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct dns *d = arg;
	_cleanup_doc_ struct doc *doc = t == WATCH_DELETED ? NULL : obj_doc_once(obj);
	struct dns_host *h;
	struct dns_name n;
	struct net_addr a;
	struct str key;

	(void)old;
	if (!dns_name_parse(&n, str_of(obj->name)))
		return;
	key = str_n((const char *)n.b, n.len);
	h = map_get(d->node_addrs, key);
	if (t == WATCH_DELETED) {
		map_del(d->node_addrs, key);
		return;
	}
	if (!h) {
		h = xcalloc(1, sizeof(*h));
		map_set(d->node_addrs, key, h);
	}
	h->v.n = 0;
	NODE_FOREACH(x, node_path(doc_root(doc), F_status, F_addresses))
		if (node_streq(node_get(x, F_type), "InternalIP") && net_addr_parse(&a, node_gets(x, F_address)))
			VEC_PUSH(&h->v, a);
	if (!h->v.n)
		map_del(d->node_addrs, key);
}

static void dns_host_free(void *p)
{
	struct dns_host *h = p;

	VEC_RELEASE(&h->v);
	free(h);
}

/* --- configuration --- */

/* Our own address among them would be a loop. */
static void dns_drop_own(struct dns *d, struct dns_servers *s)
{
	char text[NET_ADDR_TEXT];

	for (size_t i = 0; s && i < s->n;) {
		if (!dns_is_own_address(d, &s->v[i].addr, s->v[i].port)) {
			i++;
			continue;
		}
		log_warn("the cluster's DNS address stands among the name servers that it should ask, ignoring it",
			 LS("server", net_addr_print(&s->v[i].addr, text)));
		memmove(&s->v[i], &s->v[i + 1], (--s->n - i) * sizeof(s->v[0]));
	}
}

/* Those that are asked for most names now. */
static void dns_probe(struct dns *d)
{
	dns_cache_clear(d->cache);
	dns_forward_probe(d->forward, d->config.upstream ? d->config.upstream : d->upstream);
}

static int dns_take_config(struct dns *d, const struct node *data, struct err *e)
{
	struct dns_config c;
	struct dns_hosts hosts;

	if (dns_config_read(&c, data, &d->domain, e) < 0)
		return -e->code;
	dns_hosts_init(&hosts);
	if (dns_hosts_read(&hosts, c.hosts, e) < 0) {
		dns_hosts_release(&hosts);
		dns_config_release(&c);
		return err_wrap(e, "hosts");
	}
	dns_hosts_release(&d->hosts);
	dns_config_release(&d->config);
	d->hosts = hosts;
	d->config = c;
	d->config.hosts = STR_NONE; /* lives no longer than data */
	for (size_t i = 0; i < c.stubs.n; i++)
		dns_drop_own(d, c.stubs.v[i]);
	dns_drop_own(d, c.upstream);
	dns_probe(d);
	return 0;
}

static void dns_on_config(void *arg, enum watch_type t, struct obj *obj, struct obj *old)
{
	struct dns *d = arg;
	_cleanup_doc_ struct doc *doc = t == WATCH_DELETED ? NULL : obj_doc_once(obj);
	_cleanup_err_ struct err e = ERR_INIT;

	(void)old;
	if (!streq(obj->ns, DNS_CONFIG_NS) || !streq(obj->name, DNS_CONFIG_NAME))
		return;
	if (dns_take_config(d, doc ? node_get(doc_root(doc), F_data) : NULL, &e) == 0) {
		log_info("the configuration of DNS was taken", LI("stub_domains", d->config.stubs.n),
			 LI("hosts", map_count(d->hosts.names)), LS("upstream", d->config.upstream ? "configured" : "host"));
		return;
	}
	log_warn("the configuration of DNS is not taken, the last one stays in force", LE(&e));
	client_event(d->svc->cfg.client, obj, NULL, "kinglet-dns", d->svc->cfg.node_name, "Warning", "InvalidConfiguration",
		     "The configuration of DNS is not taken, the last good one stays in force: %s", err_msg(&e));
}

static void dns_on_resolv(void *arg)
{
	struct dns *d = arg;
	char first[NET_ADDR_TEXT] = "";

	dns_servers_unref(d->upstream);
	d->upstream = dns_resolv_read(d->resolv);
	dns_drop_own(d, d->upstream);
	if (d->upstream->n)
		net_addr_print(&d->upstream->v[0].addr, first);
	log_info("names outside the cluster are asked of the host's name servers", LI("servers", d->upstream->n),
		 LS("first", first));
	dns_probe(d);
}

static const struct informer_ops dns_service_ops = { dns_on_service, NULL }, dns_namespace_ops = { dns_on_namespace, NULL },
				 dns_node_ops = { dns_on_node, NULL }, dns_config_ops = { dns_on_config, NULL };

/* --- sockets --- */

static int dns_listen(struct dns *d, struct dns_socket *s, struct err *e)
{
	if (d->svc->cfg.net && net_local_address(d->svc->cfg.net, &s->addr, e) < 0)
		return -e->code;
	if (!s->udp && net_udp_open(&s->udp, d->loop, &s->addr, DNS_PORT, dns_on_udp, d, e) < 0)
		return -e->code;
	if (!s->tcp && dns_tcp_listen(&s->tcp, d, &s->addr, e) < 0)
		return -e->code;
	if (!s->metrics && dns_metrics_listen(&s->metrics, d, &s->addr, e) < 0)
		return -e->code;
	return 0;
}

static void dns_listen_all(void *arg)
{
	struct dns *d = arg;
	char text[NET_ADDR_TEXT];

	for (size_t i = 0; i < d->n_sockets; i++) {
		_cleanup_err_ struct err e = ERR_INIT;

		if (dns_listen(d, &d->sockets[i], &e) == 0)
			continue;
		log_warn("DNS can't listen, trying again", LS("address", net_addr_print(&d->sockets[i].addr, text)), LE(&e));
		loop_timer_set(d->again, DNS_AGAIN_MS);
	}
}

/* --- life --- */

static int dns_read_addresses(struct dns *d, struct str list, struct err *e)
{
	while (list.p && d->n_sockets < DNS_MAX_ADDRESSES) {
		struct str one = str_trim(str_cut(&list, ','));
		_cleanup_free_ char *text = str_dup(one);

		if (!net_addr_parse(&d->sockets[d->n_sockets++].addr, text))
			return err_set(e, ERR_BAD_REQUEST, "the cluster's DNS address '%s' is no IP address", text);
	}
	return 0;
}

static void dns_read_networks(struct dns *d, struct str list)
{
	while (list.p && d->n_ours < ARRAY_SIZE(d->ours)) {
		_cleanup_free_ char *text = str_dup(str_trim(str_cut(&list, ',')));

		d->n_ours += net_prefix_parse(&d->ours[d->n_ours], text);
	}
}

static void dns_follow(struct dns *d)
{
	struct client *c = d->svc->cfg.client;

	d->services = informer_get(c, schema_res("", "services"), NULL);
	d->namespaces = informer_get(c, schema_res("", "namespaces"), NULL);
	d->nodes = informer_get(c, schema_res("", "nodes"), NULL);
	d->configs = informer_get(c, schema_res("", "configmaps"), "metadata.name=" DNS_CONFIG_NAME);
	informer_subscribe(d->services, &dns_service_ops, d);
	informer_subscribe(d->namespaces, &dns_namespace_ops, d);
	informer_subscribe(d->nodes, &dns_node_ops, d);
	informer_subscribe(d->configs, &dns_config_ops, d);
	d->watch = (struct svc_slices_watch){ .changed = dns_on_slices, .synced = dns_on_slices_synced, .arg = d };
	svc_slices_follow(d->svc->slices, &d->watch);
}

int dns_open(void **ret, struct svc *svc, struct err *e)
{
	const struct svc_config *cfg = &svc->cfg;
	struct dns *d = xcalloc(1, sizeof(*d));

	d->svc = svc;
	d->loop = cfg->loop;
	d->random = rand_u64() | 1;
	d->out = xmalloc(DNS_MESSAGE_BYTES);
	d->node_addrs = map_new(dns_host_free);
	dns_index_init(&d->index);
	dns_hosts_init(&d->hosts);
	d->cache = dns_cache_new(d->loop);
	d->forward = dns_forward_new(d);
	d->again = loop_timer_new(d->loop, dns_listen_all, d);
	*ret = d;
	if (!dns_name_parse(&d->domain, str_of(cfg->cluster_domain)))
		return err_set(e, ERR_BAD_REQUEST, "the cluster's domain '%s' is no domain", cfg->cluster_domain);
	dns_name_lower(&d->domain);
	dns_read_networks(d, str_of(cfg->cluster_cidr));
	dns_read_networks(d, str_of(cfg->service_cidr));
	if (dns_read_addresses(d, str_of(cfg->cluster_dns), e) < 0)
		return -e->code;
	dns_listen_all(d);
	d->resolv = dns_resolv_new(d->loop, str_empty(cfg->resolv_conf) ? "/etc/resolv.conf" : cfg->resolv_conf, dns_on_resolv, d);
	dns_on_resolv(d);
	dns_follow(d);
	return 0;
}

void dns_close(void *part)
{
	struct dns *d = part;

	if (d->services) {
		svc_slices_unfollow(d->svc->slices, &d->watch);
		informer_unsubscribe(d->services, d);
		informer_unsubscribe(d->namespaces, d);
		informer_unsubscribe(d->nodes, d);
		informer_unsubscribe(d->configs, d);
	}
	for (size_t i = 0; i < d->n_sockets; i++) {
		net_udp_close(d->sockets[i].udp);
		dns_tcp_free(d->sockets[i].tcp);
		dns_metrics_free(d->sockets[i].metrics);
	}
	dns_forward_free(d->forward);
	dns_cache_free(d->cache);
	dns_resolv_free(d->resolv);
	dns_servers_unref(d->upstream);
	dns_config_release(&d->config);
	dns_hosts_release(&d->hosts);
	dns_index_release(&d->index);
	map_free(d->node_addrs);
	loop_timer_free(d->again);
	free(d->out);
	free(d);
}
