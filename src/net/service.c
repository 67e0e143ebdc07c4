/*
 * Services in nf_tables, in the way of kube-proxy's nftables mode: maps from
 * address, protocol and port to the chain of a Service's port, and chains that
 * choose an endpoint (service-rules.c). G is the generation, "a" or "b":
 *
 *	table inet kinglet {
 *		map addr4-G { type ipv4_addr . inet_proto . inet_service : verdict; }	# ClusterIPs, external addresses
 *		map port4-G { type inet_proto . inet_service : verdict; }		# node ports
 *		set ip4-G { type ipv4_addr; }						# ClusterIPs
 *		set hairpin4-G { type ipv4_addr . ipv4_addr; }				# this node's pods that are endpoints
 *		chain services {	# comes from prerouting and output (nft-base.c); and the same for IPv6
 *			ip saddr != CLUSTER ip daddr @ip4-G meta mark set mark | 0x2000
 *			ip daddr . meta l4proto . th dport vmap @addr4-G
 *			fib daddr type local meta l4proto . th dport vmap @port4-G
 *			ip daddr @ip4-G reject		# a port that the Service does not have
 *		}
 *		chain hairpin { type nat hook postrouting priority srcnat - 1;
 *			ip saddr . ip daddr @hairpin4-G masquerade
 *		}
 *	}
 *
 * What is known of a Service is what is in the kernel (service.h), so that a change
 * is the difference: chains whose content is another are filled anew, elements come
 * and go. A whole new state is written as another generation, in any number of
 * transactions, beside the one that is in use; one more leads 'services' to it, and
 * then the old one is removed bit by bit. That is how a new process takes over from
 * the one before it, and how all begins anew after a transaction that the kernel
 * refused. Maps of session affinity have no generation and live through this.
 */
#include "net/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>

#include "base/log.h"

#define SERVICES_SRCNAT_PRIORITY 100
#define TIDY_STEP 500
#define AFFINITY_MAX 65535 /* clients remembered of one port; others come to any endpoint */

static const struct service_set_row {
	const char *name;
	enum nft_type key[NFT_CONCAT_MAX]; /* of IPv4 */
	bool verdicts;
} service_sets[] = {
	[SET_ADDR] = { "addr", { NFT_T_IP4, NFT_T_PROTO, NFT_T_PORT }, true },
	[SET_PORT] = { "port", { NFT_T_PROTO, NFT_T_PORT }, true },
	[SET_IP] = { "ip", { NFT_T_IP4 }, false },
	[SET_HAIRPIN] = { "hairpin", { NFT_T_IP4, NFT_T_IP4 }, false },
};
static const int service_families[] = { AF_INET, AF_INET6 };

struct net_services {
	struct net_services_config cfg;
	struct nft *nft;
	char generation;
	struct service_book book;
	struct nft_batch batch;
	bool writing; /* batch has begun */
	VEC(struct conntrack_match) udp; /* connections to look through after the commit; 'to' is owned */
	VEC(char *) stale; /* chains of before, in the order in which they go */
	size_t stale_at;
	bool tidying; /* since the last switch */
};

static struct nft_batch *services_batch(struct net_services *s)
{
	if (!s->writing)
		nft_begin(&s->batch, s->nft);
	s->writing = true;
	return &s->batch;
}

static void services_set_name(char out[24], enum service_set kind, int family, char generation)
{
	snprintf(out, 24, "%s%c-%c", service_sets[kind].name, family == AF_INET6 ? '6' : '4', generation);
}

/* --- elements --- */

static unsigned services_elem_key(const struct service_elem *el, uint8_t out[36])
{
	unsigned n = 0, len = el->family == AF_INET6 ? 16 : 4;
	uint16_t port = htons(el->port);

	memset(out, 0, 36);
	if (el->kind != SET_PORT) {
		memcpy(out, el->addr, len);
		n = len;
	}
	if (el->kind == SET_IP)
		return n;
	if (el->kind == SET_HAIRPIN) {
		memcpy(out + n, el->addr, len);
		return n + len;
	}
	out[n] = el->protocol;
	memcpy(out + n + 4, &port, 2);
	return n + 8;
}

static void services_elem(struct net_services *s, const struct service_elem *el, int type)
{
	struct nft_batch *b = services_batch(s);
	char set[24], chain[SERVICE_NAME];
	uint8_t key[36];
	struct nft_elem e = { .key = key, .key_len = services_elem_key(el, key) };

	if (service_sets[el->kind].verdicts) {
		const struct service_port *p = &el->owner->ports[el->index];

		service_chain_name(chain, el->chain, s->generation, el->owner->key, p->name, p->family);
		e.has_verdict = type == NFT_MSG_NEWSETELEM;
		e.verdict = NFT_GOTO;
		e.chain = chain;
	}
	services_set_name(set, el->kind, el->family, s->generation);
	nft_elems(b, type, set, 0);
	nft_elem(b, &e);
	nft_elems_end(b);
}

/* --- UDP: connections whose endpoint is gone --- */

static void services_note_udp(struct net_services *s, int family, const struct net_addr *a, uint16_t port,
			      const struct net_endpoint *v, size_t n)
{
	struct conntrack_match m = { .family = family, .port = port, .n = n };
	struct net_endpoint *to = xreallocarray(NULL, n + 1, sizeof(*to));

	if (a)
		m.addr = *a;
	if (n)
		memcpy(to, v, n * sizeof(*v));
	m.to = to;
	VEC_PUSH(&s->udp, m);
}

static void services_note_gone(struct net_services *s, const struct service_elem *el)
{
	struct net_addr a = { .family = el->family };

	memcpy(a.b, el->addr, sizeof(a.b));
	services_note_udp(s, el->family, el->kind == SET_PORT ? NULL : &a, el->port, NULL, 0);
}

static void services_drop_notes(struct net_services *s)
{
	for (size_t i = 0; i < s->udp.n; i++)
		free((void *)s->udp.v[i].to);
	s->udp.n = 0;
}

/* --- claims --- */

static void services_tell(struct net_services *s, struct service_elem *el, const struct service *owner)
{
	char what[80];

	el->lost = true;
	book_contest(&s->book, el->owner, true);
	if (el->told)
		return;
	el->told = true;
	elem_print(what, el);
	if (s->cfg.lost)
		s->cfg.lost(s->cfg.arg, el->owner->key, what, owner->key);
}

static void services_take(struct net_services *s, struct service_elem *el)
{
	struct service_elem *had = book_find(&s->book, el);

	if (had && service_is_older(had->owner, el->owner)) {
		services_tell(s, el, had->owner);
		return;
	}
	if (had) {
		services_elem(s, had, NFT_MSG_DELSETELEM);
		book_remove(&s->book, had);
		services_tell(s, had, el->owner);
	}
	book_add(&s->book, el);
	services_elem(s, el, NFT_MSG_NEWSETELEM);
}

/* Whoever wanted what is free now gets it. */
static void services_inherit(struct net_services *s, const struct service_elem *el)
{
	struct service_elem *heir = s->book.contested.n ? book_heir(&s->book, el) : NULL;

	if (!heir || book_find(&s->book, el))
		return;
	heir->lost = heir->told = false;
	book_add(&s->book, heir);
	services_elem(s, heir, NFT_MSG_NEWSETELEM);
}

static struct service_elem *services_find_elem(struct service *sv, const struct service_elem *like)
{
	for (uint32_t i = 0; sv && i < sv->n_elems; i++)
		if (elem_same(&sv->elems[i], like))
			return &sv->elems[i];
	return NULL;
}

static bool services_elem_leads_there(const struct service_elem *a, const struct service_elem *b)
{
	const struct service_port *p = &a->owner->ports[a->index], *q = &b->owner->ports[b->index];

	return !service_sets[a->kind].verdicts ||
	       (a->chain == b->chain && p->family == q->family && streq(p->name, q->name));
}

/* old's elements pass to sv where it has them, too; the others are free. */
static void services_pass(struct net_services *s, struct service *old, struct service *sv)
{
	for (uint32_t i = 0; old && i < old->n_elems; i++) {
		struct service_elem *was = &old->elems[i], *is = services_find_elem(sv, was);

		if (is)
			is->told = was->told;
		if (was->lost)
			continue;
		book_remove(&s->book, was);
		if (is && services_elem_leads_there(was, is)) {
			book_add(&s->book, is);
			continue;
		}
		services_elem(s, was, NFT_MSG_DELSETELEM);
		if (!is && was->protocol == IPPROTO_UDP)
			services_note_gone(s, was);
	}
}

static void services_claim(struct net_services *s, struct service *old, struct service *sv)
{
	services_pass(s, old, sv);
	for (uint32_t i = 0; sv && i < sv->n_elems; i++) {
		const struct service_elem *had = book_find(&s->book, &sv->elems[i]);

		if (had != &sv->elems[i])
			services_take(s, &sv->elems[i]);
	}
}

/* --- chains --- */

static const struct net_prefix *services_cluster(const struct net_services *s, int family)
{
	const struct nft_net *nets;
	size_t n = net_nets(s->cfg.net, &nets);

	for (size_t i = 0; i < n; i++)
		if (nets[i].cluster.addr.family == family)
			return &nets[i].cluster;
	return NULL;
}

static void services_affinity_map(struct net_services *s, const char *key, const struct service_port *p, bool add)
{
	struct nft_set set = { .key = { p->family == AF_INET6 ? NFT_T_IP6 : NFT_T_IP4 }, .data = { NFT_T_MARK },
			       .flags = NFT_SET_EVAL | NFT_SET_TIMEOUT, .size = AFFINITY_MAX,
			       .timeout_ms = 1000ull * p->affinity_s };
	char name[SERVICE_NAME];

	set.name = name;
	service_affinity_name(name, key, p->name, p->family, p->affinity_s);
	if (add)
		nft_set_add(services_batch(s), &set);
	else
		nft_set_delete(services_batch(s), name);
}

/* Chains that others refer to come first. */
static void services_fill_port(struct net_services *s, const struct net_service_port *v, const char *key,
			       const struct service_port *was, const struct service_port *is)
{
	struct service_rules r = { .generation = s->generation, .key = key, .p = v,
				   .cluster = services_cluster(s, v->family) };
	char name[SERVICE_NAME];

	if (is->affinity_s && !(was && was->affinity_s == is->affinity_s))
		services_affinity_map(s, key, is, true);
	for (unsigned c = SERVICE_CHAINS; c-- > 0;) {
		bool had = was && (was->chains & (1u << c));

		if (!(is->chains & (1u << c)) || (had && was->hash[c] == is->hash[c]))
			continue;
		service_chain_name(name, c, s->generation, key, v->name, v->family);
		if (had)
			nft_chain_flush(services_batch(s), name);
		else
			nft_chain(services_batch(s), name);
		service_chain_fill(services_batch(s), &r, c);
	}
}

static void services_drop_chains(struct net_services *s, const struct service *old, const struct service *sv)
{
	char name[SERVICE_NAME];

	for (uint32_t i = 0; i < old->n_ports; i++) {
		const struct service_port *was = &old->ports[i], *is = service_find_port(sv, was->name, was->family);
		unsigned gone = was->chains & ~(is ? is->chains : 0u);

		for (unsigned c = 0; c < SERVICE_CHAINS; c++)
			if (gone & (1u << c)) {
				service_chain_name(name, c, s->generation, old->key, was->name, was->family);
				nft_chain_delete(services_batch(s), name);
			}
		if (was->affinity_s && !(is && is->affinity_s == was->affinity_s))
			services_affinity_map(s, old->key, was, false);
	}
}

/* --- a pod that comes to itself --- */

static void services_hairpins(struct net_services *s, const struct service *sv, int by)
{
	for (uint32_t i = 0; sv && i < sv->n_pods; i++) {
		const struct net_addr *a = &sv->pods[i];
		struct str key = str_n((const char *)a->b, net_addr_len(a));
		intptr_t n = (intptr_t)map_get(s->book.hairpins, key);
		struct service_elem el = { .kind = SET_HAIRPIN, .family = (uint8_t)a->family };

		memcpy(el.addr, a->b, key.n);
		if (n == 0 || n + by == 0)
			services_elem(s, &el, by > 0 ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM);
		if (n + by)
			map_set(s->book.hairpins, key, (void *)(n + by));
		else
			map_del(s->book.hairpins, key);
	}
}

/* --- UDP --- */

/* What comes from outside to local endpoints may as well come from inside to any. */
static void services_udp(struct net_services *s, const struct net_service_port *p)
{
	if (p->cluster_ip.family)
		services_note_udp(s, p->family, &p->cluster_ip, p->port, p->internal_local ? p->local : p->cluster,
				  p->internal_local ? p->n_local : p->n_cluster);
	for (size_t i = 0; i < p->n_external; i++)
		services_note_udp(s, p->family, &p->external[i], p->port, p->cluster, p->n_cluster);
	for (size_t i = 0; i < p->n_lb; i++)
		services_note_udp(s, p->family, &p->lb[i], p->port, p->cluster, p->n_cluster);
	if (p->node_port)
		services_note_udp(s, p->family, NULL, p->node_port, p->cluster, p->n_cluster);
}

static bool services_port_is_another(const struct service_port *was, const struct service_port *is)
{
	return !was || was->protocol != is->protocol || was->hash[SERVICE_SVC] != is->hash[SERVICE_SVC] ||
	       was->hash[SERVICE_LOC] != is->hash[SERVICE_LOC] || was->chains != is->chains;
}

static void services_note(struct net_services *s, const struct service *old, const struct service *sv,
			  const struct net_service_port *v)
{
	for (uint32_t i = 0; i < sv->n_ports; i++)
		if (v[i].protocol == IPPROTO_UDP &&
		    services_port_is_another(service_find_port(old, v[i].name, v[i].family), &sv->ports[i]))
			services_udp(s, &v[i]);
}

static void services_forget(struct net_services *s)
{
	int n = s->udp.n ? conntrack_forget(s->udp.v, s->udp.n) : 0;

	if (n < 0)
		log_debug("can't look through the connections of UDP", LI("error", -n));
	services_drop_notes(s);
}

/* --- one Service --- */

static void services_free_old(struct net_services *s, struct service *old)
{
	book_contest(&s->book, old, false);
	for (uint32_t i = 0; i < old->n_elems; i++)
		if (!old->elems[i].lost)
			services_inherit(s, &old->elems[i]);
	service_free(old);
}

void net_services_set(struct net_services *s, const char *key, int64_t created, const struct net_service_port *v,
		      size_t n)
{
	struct service *old = map_getc(s->book.by_key, key), *sv;

	if (!old && !n)
		return;
	sv = n ? service_make(s->cfg.net, key, created, v, n) : NULL;
	for (size_t i = 0; i < n; i++)
		services_fill_port(s, &v[i], key, service_find_port(old, v[i].name, v[i].family), &sv->ports[i]);
	services_claim(s, old, sv);
	services_hairpins(s, sv, 1);
	services_hairpins(s, old, -1);
	if (old)
		services_drop_chains(s, old, sv);
	if (sv) {
		services_note(s, old, sv, v);
		map_set(s->book.by_key, str_of(key), sv);
	} else {
		map_del(s->book.by_key, str_of(key));
	}
	if (old)
		services_free_old(s, old);
}

int net_services_commit(struct net_services *s, struct err *e)
{
	int rc = 0;

	if (s->writing && !nft_batch_is_empty(&s->batch))
		rc = nft_commit(&s->batch, e);
	else if (s->writing)
		nft_cancel(&s->batch);
	s->writing = false;
	if (rc == 0)
		services_forget(s);
	return rc;
}

/* --- maps of clients that no Service needs any more --- */

struct services_names {
	VEC(char *) v;
};

static void services_on_set(void *arg, const char *name)
{
	struct services_names *names = arg;

	if (starts_with(name, "aff/"))
		VEC_PUSH(&names->v, xstrdup(name));
}

static bool services_has_affinity(const struct net_services *s, const char *name)
{
	struct map_iter it = { 0 };
	char mine[SERVICE_NAME];

	while (map_next(s->book.by_key, &it)) {
		const struct service *sv = it.value;

		for (uint32_t i = 0; i < sv->n_ports; i++) {
			const struct service_port *p = &sv->ports[i];

			service_affinity_name(mine, sv->key, p->name, p->family, p->affinity_s);
			if (p->affinity_s && streq(mine, name))
				return true;
		}
	}
	return false;
}

static void services_drop_affinity(struct net_services *s)
{
	struct services_names names = { VEC_INIT };
	struct nft_batch b;

	(void)nft_list_sets(s->nft, services_on_set, &names);
	for (size_t i = 0; i < names.v.n; i++) {
		_cleanup_err_ struct err e = ERR_INIT;

		if (!services_has_affinity(s, names.v.v[i])) {
			nft_begin(&b, s->nft);
			nft_set_delete(&b, names.v.v[i]);
			if (nft_commit(&b, &e) < 0)
				log_debug("a map of clients stays", LE(&e));
		}
		free(names.v.v[i]);
	}
	VEC_RELEASE(&names.v);
}

/* --- generations --- */

static void services_add_sets(struct net_services *s)
{
	for (unsigned k = 0; k < SERVICE_SETS; k++)
		for (size_t f = 0; f < ARRAY_SIZE(service_families); f++) {
			struct nft_set set = { .data = { service_sets[k].verdicts ? NFT_T_VERDICT : NFT_T_NONE } };
			char name[24];

			for (unsigned i = 0; i < NFT_CONCAT_MAX; i++) {
				enum nft_type t = service_sets[k].key[i];

				set.key[i] = t == NFT_T_IP4 && service_families[f] == AF_INET6 ? NFT_T_IP6 : t;
			}
			services_set_name(name, k, service_families[f], s->generation);
			set.name = name;
			nft_set_add(services_batch(s), &set);
		}
}

static bool services_is_of(const char *name, char generation) /* a chain: "svc-a/..." */
{
	const char *slash = strchr(name, '/');

	return slash && slash - name > 2 && slash[-1] == generation && slash[-2] == '-';
}

struct services_stale {
	struct net_services *s;
	char generation;
};

static void services_on_chain(void *arg, const char *name)
{
	struct services_stale *st = arg;

	if (services_is_of(name, st->generation))
		VEC_PUSH(&st->s->stale, xstrdup(name));
}

/* The names begin so that what refers comes before what is referred to. */
static int services_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void services_stale_free(struct net_services *s)
{
	for (size_t i = s->stale_at; i < s->stale.n; i++)
		free(s->stale.v[i]);
	VEC_RELEASE(&s->stale);
	s->stale_at = 0;
}

static int services_remove_sets(struct net_services *s, char generation)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct nft_batch b;
	char name[24];
	int rc = 0;

	for (unsigned k = 0; k < SERVICE_SETS && rc != -EBUSY; k++)
		for (size_t f = 0; f < ARRAY_SIZE(service_families) && rc != -EBUSY; f++) {
			nft_begin(&b, s->nft);
			services_set_name(name, k, service_families[f], generation);
			nft_set_delete(&b, name);
			rc = nft_commit(&b, &e);
			err_release(&e);
		}
	return rc == -EBUSY ? rc : 0;
}

/* -EBUSY: that generation is in use. Else its chains are on the list of those to be removed. */
static int services_collect(struct net_services *s, char generation)
{
	struct services_stale st = { s, generation };

	services_stale_free(s);
	if (services_remove_sets(s, generation) == -EBUSY)
		return -EBUSY;
	(void)nft_list_chains(s->nft, services_on_chain, &st);
	if (s->stale.n)
		qsort(s->stale.v, s->stale.n, sizeof(*s->stale.v), services_cmp);
	return 0;
}

bool net_services_tidy(struct net_services *s)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct nft_batch b;
	size_t end = s->stale_at + TIDY_STEP < s->stale.n ? s->stale_at + TIDY_STEP : s->stale.n;

	if (s->stale_at == s->stale.n) {
		services_stale_free(s);
		if (s->tidying)
			services_drop_affinity(s);
		s->tidying = false;
		return false;
	}
	nft_begin(&b, s->nft);
	for (; s->stale_at < end; s->stale_at++) {
		nft_chain_delete(&b, s->stale.v[s->stale_at]);
		free(s->stale.v[s->stale_at]);
	}
	if (nft_commit(&b, &e) < 0)
		log_warn("rules of Services that are gone stay", LE(&e));
	return true;
}

void net_services_begin(struct net_services *s)
{
	if (s->writing)
		nft_cancel(&s->batch);
	s->writing = false;
	services_drop_notes(s);
	s->tidying = false;
	book_release(&s->book);
	book_init(&s->book);
	s->generation = s->generation == 'a' ? 'b' : 'a';
	if (services_collect(s, s->generation) == -EBUSY) {
		s->generation = s->generation == 'a' ? 'b' : 'a';
		(void)services_collect(s, s->generation);
	}
	while (net_services_tidy(s)) /* half made ones, if any */
		;
	services_add_sets(s);
}

/* --- the way to the maps --- */

static void services_rule_family(struct nft_batch *b, int family)
{
	nft_rule(b, "services");
	nft_match_family(b, family);
}

static void services_fill(struct net_services *s, int family)
{
	struct nft_batch *b = services_batch(s);
	const struct net_prefix *cluster = services_cluster(s, family);
	unsigned behind = family == AF_INET6 ? 4 : 1;
	char name[24];

	services_set_name(name, SET_IP, family, s->generation);
	if (cluster) {
		services_rule_family(b, family);
		nft_match_prefix(b, true, NFT_CMP_NEQ, cluster);
		nft_load_addr(b, family, false, 0);
		nft_lookup(b, name, 0, 0, NFT_NO_REG);
		nft_mark_or(b, NFT_MASQUERADE_MARK);
		nft_rule_end(b);
	}
	services_set_name(name, SET_ADDR, family, s->generation);
	services_rule_family(b, family);
	nft_load_addr(b, family, false, 0);
	nft_meta(b, NFT_META_L4PROTO, behind);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_TH_DPORT, 2, behind + 1);
	nft_lookup(b, name, 0, 0, NFT_TO_VERDICT);
	nft_rule_end(b);
}

static void services_fill_rest(struct net_services *s, int family)
{
	struct nft_batch *b = services_batch(s);
	char name[24];

	services_set_name(name, SET_PORT, family, s->generation);
	services_rule_family(b, family);
	nft_match_local(b, NFTA_FIB_F_DADDR);
	nft_meta(b, NFT_META_L4PROTO, 0);
	nft_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, NFT_TH_DPORT, 2, 1);
	nft_lookup(b, name, 0, 0, NFT_TO_VERDICT);
	nft_rule_end(b);
	services_set_name(name, SET_IP, family, s->generation);
	services_rule_family(b, family);
	nft_load_addr(b, family, false, 0);
	nft_lookup(b, name, 0, 0, NFT_NO_REG);
	nft_reject(b, NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_PORT_UNREACH);
	nft_rule_end(b);
}

static void services_fill_hairpin(struct net_services *s, int family)
{
	struct nft_batch *b = services_batch(s);
	char name[24];

	services_set_name(name, SET_HAIRPIN, family, s->generation);
	nft_rule(b, "hairpin");
	nft_match_family(b, family);
	nft_load_addr(b, family, true, 0);
	nft_load_addr(b, family, false, family == AF_INET6 ? 4 : 1);
	nft_lookup(b, name, 0, 0, NFT_NO_REG);
	nft_masquerade(b);
	nft_rule_end(b);
}

int net_services_switch(struct net_services *s, struct err *e)
{
	struct nft_batch *b = services_batch(s);

	nft_chain(b, "services");
	nft_chain_flush(b, "services");
	for (size_t i = 0; i < ARRAY_SIZE(service_families); i++)
		services_fill(s, service_families[i]);
	for (size_t i = 0; i < ARRAY_SIZE(service_families); i++)
		services_fill_rest(s, service_families[i]);
	nft_chain_base(b, "hairpin", "nat", NF_INET_POST_ROUTING, SERVICES_SRCNAT_PRIORITY - 1);
	nft_chain_flush(b, "hairpin");
	for (size_t i = 0; i < ARRAY_SIZE(service_families); i++)
		services_fill_hairpin(s, service_families[i]);
	if (net_services_commit(s, e) < 0)
		return -e->code;
	(void)services_collect(s, s->generation == 'a' ? 'b' : 'a');
	s->tidying = true;
	return 0;
}

/* --- life --- */

/* The machine's own packets to an address of a Service must have a way before they are led elsewhere. */
static void services_route(const struct net_services *s)
{
	_cleanup_err_ struct err e = ERR_INIT;
	struct nl_sock *nl = NULL;
	struct str rest = str_of(s->cfg.service_cidr ? s->cfg.service_cidr : "");

	if (nl_open(&nl, NETLINK_ROUTE, &e) < 0)
		return;
	while (rest.n) {
		_cleanup_free_ char *text = str_dup(str_cut(&rest, ','));
		struct net_prefix p;
		int rc = net_prefix_parse(&p, text) ? link_network_route(nl, net_bridge(s->cfg.net), &p) : -EINVAL;

		if (rc < 0)
			log_debug("no route to the Services' addresses", LS("network", text), LI("error", -rc));
	}
	nl_close_(nl);
}

struct net_services *net_services_new(const struct net_services_config *cfg)
{
	struct net_services *s = xcalloc(1, sizeof(*s));

	s->cfg = *cfg;
	s->nft = net_nft(cfg->net);
	s->generation = 'b';
	book_init(&s->book);
	ports_localnet(net_bridge(cfg->net));
	services_route(s);
	s->cfg.service_cidr = NULL;
	return s;
}

struct net_services *net_services_free(struct net_services *s)
{
	if (!s)
		return NULL;
	if (s->writing)
		nft_cancel(&s->batch);
	services_drop_notes(s);
	VEC_RELEASE(&s->udp);
	services_stale_free(s);
	book_release(&s->book);
	free(s);
	return NULL;
}

size_t net_services_memory(const struct net_services *s)
{
	return book_memory(&s->book);
}

struct net_service_stats net_services_stats(const struct net_services *s)
{
	const struct nft_stats *t = nft_stats(s->nft);

	return (struct net_service_stats){ t->batches, t->messages, t->bytes, t->refused };
}
