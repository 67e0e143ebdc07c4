/*
 * The cluster's own names: the Kubernetes DNS specification 1.1, and where it is
 * silent the behaviour of CoreDNS' kubernetes plugin with `pods insecure`.
 *
 *	<service>.<ns>.svc.<domain>			A, AAAA; SRV of all ports; CNAME of an ExternalName
 *	_<port>._<proto>.<service>.<ns>.svc.<domain>	SRV
 *	<hostname or a-b-c-d>.<service>.<ns>.svc.<domain>	A, AAAA, SRV of one endpoint
 *	<a-b-c-d>.<ns>.pod.<domain>			A, AAAA, whether such a pod is there or not
 *	dns-version.<domain>				TXT "1.1.0"
 *	<domain>					SOA, NS
 *	<address>.in-addr.arpa, ip6.arpa		PTR of a ClusterIP, else of all endpoints that have it
 *
 * A name that is there has an empty answer for types that it has not (NODATA), all
 * others are NXDOMAIN; both carry the SOA. The domain's names are never asked of
 * anybody else. What follows a CNAME is asked where it belongs.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/hash.h"
#include "svc/dns.h"

#define ANSWER_VERSION "1.1.0"
#define ANSWER_VERSION_TTL 28800
#define ANSWER_LABELS 5 /* below the domain, of the longest name that there is */

enum { FOUND_NOT, FOUND_NAME, FOUND_WAIT };

/* --- what an answer holds already: a set that is emptied by counting on --- */

static void seen_begin(struct dns *d)
{
	if (!++d->seen_round) {
		memset(d->seen, 0, sizeof(d->seen));
		d->seen_round = 1;
	}
}

/* True the first time. */
static bool seen_add(struct dns *d, const void *p, size_t n)
{
	uint64_t hash = hash_sip(str_n(p, n)) & ~0xffffull;
	size_t at = hash >> 16 & (ARRAY_SIZE(d->seen) - 1);

	for (size_t i = 0; i < ARRAY_SIZE(d->seen); i++) {
		uint64_t *slot = &d->seen[(at + i) & (ARRAY_SIZE(d->seen) - 1)];

		if (*slot == (hash | d->seen_round))
			return false;
		if ((*slot & 0xffff) != d->seen_round) {
			*slot = hash | d->seen_round;
			return true;
		}
	}
	return false;
}

/* --- records --- */

static bool answer_wants(const struct dns_reply *r, uint16_t type)
{
	return r->q->type == type || r->q->type == DNS_ANY;
}

static bool answer_addr(struct dns_reply *r, enum dns_section s, const struct dns_name *owner, const uint8_t *b, int family,
			uint32_t ttl)
{
	dns_write_rr(&r->w, s, owner, family == AF_INET6 ? DNS_AAAA : DNS_A, DNS_CLASS_IN, ttl);
	dns_write_data(&r->w, b, family == AF_INET6 ? 16 : 4);
	return dns_write_end_rr(&r->w);
}

/* An address in the answer, if it is of the type that was asked for, and once. */
static bool answer_addr_once(struct dns_reply *r, const struct dns_name *owner, const struct dns_addr *a)
{
	if (!answer_wants(r, a->family == AF_INET6 ? DNS_AAAA : DNS_A) ||
	    !seen_add(r->d, a->b, a->family == AF_INET6 ? 16 : 4))
		return true;
	return answer_addr(r, DNS_ANSWER, owner, a->b, a->family, DNS_TTL);
}

static void answer_name(struct dns_reply *r, enum dns_section s, const struct dns_name *owner, uint16_t type,
			const struct dns_name *target, uint32_t ttl)
{
	dns_write_rr(&r->w, s, owner, type, DNS_CLASS_IN, ttl);
	dns_write_name(&r->w, target, true);
	dns_write_end_rr(&r->w);
}

static struct dns_name answer_below(const struct dns_name *zone, const char *first, const char *second)
{
	struct dns_name n = *zone;

	if (second)
		(void)dns_name_push(&n, str_of(second));
	(void)dns_name_push(&n, str_of(first));
	return n;
}

static void answer_soa(struct dns_reply *r, enum dns_section s, const struct dns_name *zone)
{
	struct dns_name server = answer_below(&r->d->domain, "ns", "dns"), who = answer_below(&r->d->domain, "hostmaster", NULL);

	dns_write_rr(&r->w, s, zone, DNS_SOA, DNS_CLASS_IN, DNS_TTL);
	dns_write_name(&r->w, &server, true);
	dns_write_name(&r->w, &who, true);
	dns_write_u32(&r->w, r->d->index.serial);
	dns_write_u32(&r->w, 7200); /* the rest is what CoreDNS says */
	dns_write_u32(&r->w, 1800);
	dns_write_u32(&r->w, 86400);
	dns_write_u32(&r->w, DNS_TTL);
	dns_write_end_rr(&r->w);
}

/* --- names of Services and endpoints --- */

static bool answer_service_name(const struct dns *d, const struct dns_service *s, struct dns_name *ret)
{
	*ret = d->domain;
	return dns_name_push(ret, STR_LIT("svc")) && dns_name_push(ret, str_n(s->key, s->ns_len)) &&
	       dns_name_push(ret, str_n(s->key + s->ns_len, s->name_len));
}

/* 10.42.0.5 is 10-42-0-5, fd00::5 is fd00--5 */
static void answer_dashed(const struct dns_addr *a, char out[NET_ADDR_TEXT])
{
	if (!inet_ntop(a->family, a->b, out, NET_ADDR_TEXT))
		out[0] = '\0';
	for (char *p = out; *p; p++)
		if (*p == '.' || *p == ':')
			*p = '-';
}

static bool answer_undashed(struct net_addr *a, struct str label)
{
	char text[NET_ADDR_TEXT];
	size_t dashes = 0, pairs = 0;

	if (label.n >= sizeof(text))
		return false;
	for (size_t i = 0; i < label.n; i++) {
		dashes += label.p[i] == '-';
		pairs += i && label.p[i] == '-' && label.p[i - 1] == '-';
	}
	for (size_t i = 0; i < label.n; i++)
		text[i] = label.p[i] != '-' ? label.p[i] : dashes == 3 && !pairs ? '.' : ':';
	text[label.n] = '\0';
	return memchr(text, '\0', label.n) == NULL && net_addr_parse(a, text);
}

static bool answer_target(const struct dns_name *service, const struct dns_addr *a, struct dns_name *ret)
{
	char dashed[NET_ADDR_TEXT];

	*ret = *service;
	if (!a->endpoint)
		return true;
	if (!a->hostname)
		answer_dashed(a, dashed);
	return dns_name_push(ret, str_of(a->hostname ? a->hostname : dashed));
}

/* --- what a question selects of a Service --- */

struct select {
	const struct dns_service *service;
	struct str port, proto; /* "_http", "_tcp"; n 0: all */
	struct str endpoint; /* n 0: all */
	struct net_addr addr; /* what endpoint means as a-b-c-d; family 0: nothing */
	bool endpoints; /* not the Service's own addresses */
};

static bool select_port(const struct select *s, const struct dns_port *p)
{
	static const struct {
		uint8_t proto;
		const char *name;
	} protos[] = { { IPPROTO_TCP, "_tcp" }, { IPPROTO_UDP, "_udp" }, { IPPROTO_SCTP, "_sctp" } };

	if (!s->port.n)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(protos); i++)
		if (protos[i].proto == p->proto)
			return str_eqc(s->proto, protos[i].name) && p->name &&
			       str_ieq(str_sub(s->port, 1, s->port.n), str_of(p->name));
	return false;
}

/* Hostnames have no capitals; what was asked has none any more. */
static bool select_addr(const struct select *s, const struct dns_addr *a)
{
	if (!s->endpoint.n)
		return true;
	if (a->hostname)
		return str_eqc(s->endpoint, a->hostname);
	return s->addr.family == a->family && memcmp(s->addr.b, a->b, a->family == AF_INET6 ? 16 : 4) == 0;
}

static size_t select_ports(const struct select *s, const struct dns_port *v, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += select_port(s, &v[i]);
	return found;
}

/* Calls each for what is selected, from a place chosen at random on and round, until it says false. How many there were is
 * counted first: *ret_n, in ports of addresses. */
static void select_each(struct dns *d, const struct select *s, void *arg,
			bool (*each)(void *arg, const struct dns_addr *a, const struct dns_port *v, size_t n))
{
	const struct dns_service *v = s->service;
	size_t n = v->n_addrs, start, at;

	if (s->endpoints) {
		n = 0;
		for (const struct dns_slice *l = v->slices; l; l = l->next)
			n += l->n_addrs;
	}
	start = n ? dns_random(d) % n : 0;
	for (int round = 0; round < 2; round++) {
		at = 0;
		for (size_t i = 0; !s->endpoints && i < v->n_addrs; i++, at++)
			if ((at >= start) == !round && !each(arg, &v->addrs[i], v->ports, v->n_ports))
				return;
		for (const struct dns_slice *l = v->slices; s->endpoints && l; l = l->next)
			for (size_t i = 0; i < l->n_addrs; i++, at++)
				if ((at >= start) == !round && select_addr(s, &l->addrs[i]) &&
				    !each(arg, &l->addrs[i], l->ports, l->n_ports))
					return;
	}
}

struct answer_walk {
	struct dns_reply *r;
	const struct select *s;
	struct dns_name owner, service;
	size_t found; /* addresses that have such a port */
	size_t records; /* SRV there will be */
	bool extra; /* the second walk: addresses of SRV's targets */
};

static bool walk_addr(void *arg, const struct dns_addr *a, const struct dns_port *ports, size_t n)
{
	struct answer_walk *w = arg;

	if (w->s->port.n && !select_ports(w->s, ports, n))
		return true;
	w->found++;
	return answer_addr_once(w->r, &w->owner, a);
}

static bool walk_count(void *arg, const struct dns_addr *a, const struct dns_port *ports, size_t n)
{
	struct answer_walk *w = arg;

	(void)a;
	w->records += select_ports(w->s, ports, n);
	w->found += !w->s->port.n || select_ports(w->s, ports, n);
	return true;
}

/* Has this pair of a name and a number not been written? */
static bool walk_is_new(struct dns *d, const struct dns_name *n, const void *p, size_t len)
{
	uint8_t key[DNS_NAME_BYTES + 17];

	memcpy(key, n->b, n->len);
	memcpy(key + n->len, p, len);
	return seen_add(d, key, n->len + len);
}

static bool walk_srv(void *arg, const struct dns_addr *a, const struct dns_port *ports, size_t n)
{
	struct answer_walk *w = arg;
	size_t weight = w->records ? 100 / w->records : 1;
	struct dns_name target;

	for (size_t i = 0; i < n; i++) {
		if (!select_port(w->s, &ports[i]) || !answer_target(&w->service, a, &target))
			continue;
		if (w->extra) {
			if (walk_is_new(w->r->d, &target, a->b, 16) &&
			    !answer_addr(w->r, DNS_ADDITIONAL, &target, a->b, a->family, DNS_TTL))
				return false;
			continue;
		}
		if (!walk_is_new(w->r->d, &target, &ports[i].port, 2))
			continue;
		dns_write_rr(&w->r->w, DNS_ANSWER, &w->owner, DNS_SRV, DNS_CLASS_IN, DNS_TTL);
		dns_write_u16(&w->r->w, 0);
		dns_write_u16(&w->r->w, (uint16_t)(weight ? weight : 1));
		dns_write_u16(&w->r->w, ports[i].port);
		dns_write_name(&w->r->w, &target, false);
		if (!dns_write_end_rr(&w->r->w))
			return false;
	}
	return true;
}

static void answer_srv(struct answer_walk *w)
{
	select_each(w->r->d, w->s, w, walk_count);
	seen_begin(w->r->d);
	select_each(w->r->d, w->s, w, walk_srv);
	seen_begin(w->r->d);
	w->extra = true;
	select_each(w->r->d, w->s, w, walk_srv);
}

static int answer_selected(struct dns_reply *r, const struct dns_name *owner, const struct select *s)
{
	struct answer_walk w = { .r = r, .s = s, .owner = *owner };

	if (!answer_service_name(r->d, s->service, &w.service))
		return FOUND_NOT;
	if (r->q->type == DNS_SRV)
		answer_srv(&w);
	else {
		seen_begin(r->d);
		select_each(r->d, s, &w, walk_addr);
	}
	return w.found || (!s->endpoint.n && !s->port.n && !s->endpoints) ? FOUND_NAME : FOUND_NOT;
}

/* --- the domain --- */

static int answer_follow(struct dns_reply *r, const struct dns_name *name);

static int answer_cname(struct dns_reply *r, const struct dns_name *owner, const char *to)
{
	struct dns_name target;
	struct net_addr a;

	if (net_addr_parse(&a, to) || !dns_name_parse(&target, str_of(to)))
		return FOUND_NOT;
	answer_name(r, DNS_ANSWER, owner, DNS_CNAME, &target, DNS_TTL);
	if (answer_wants(r, DNS_CNAME))
		return FOUND_NAME;
	return ++r->cnames > DNS_CNAMES ? FOUND_NAME : answer_follow(r, &target);
}

static int answer_service(struct dns_reply *r, const struct dns_name *owner, const struct str *label, size_t n)
{
	struct select s = { .service = dns_index_find(&r->d->index, label[n - 2], label[n - 3]) };

	if (!s.service)
		return FOUND_NOT;
	if (s.service->kind == DNS_EXTERNAL)
		return n == 3 ? answer_cname(r, owner, s.service->external) : FOUND_NOT;
	if (n == 5) {
		s.port = label[0];
		s.proto = label[1];
		if (s.port.p[0] != '_' || s.port.n < 2 || s.proto.p[0] != '_')
			return FOUND_NOT;
	} else if (n == 4) {
		s.endpoint = label[0];
		if (!answer_undashed(&s.addr, s.endpoint))
			s.addr.family = 0;
	}
	s.endpoints = s.service->kind == DNS_HEADLESS || s.endpoint.n;
	return answer_selected(r, owner, &s);
}

/* Also of pods that are not: who asks knows the address anyway. */
static int answer_pod(struct dns_reply *r, const struct dns_name *owner, struct str label)
{
	struct net_addr a;

	if (!answer_undashed(&a, label))
		return FOUND_NOT;
	if (answer_wants(r, a.family == AF_INET6 ? DNS_AAAA : DNS_A))
		answer_addr(r, DNS_ANSWER, owner, a.b, a.family, DNS_TTL);
	return FOUND_NAME;
}

/* Ourselves, as ns.dns and as the name server of the domain. */
static int answer_own(struct dns_reply *r, enum dns_section s, const struct dns_name *owner)
{
	for (size_t i = 0; i < r->d->n_sockets; i++) {
		const struct net_addr *a = &r->d->sockets[i].addr;

		if (s == DNS_ADDITIONAL || answer_wants(r, a->family == AF_INET6 ? DNS_AAAA : DNS_A))
			answer_addr(r, s, owner, a->b, a->family, DNS_TTL);
	}
	return FOUND_NAME;
}

static int answer_apex(struct dns_reply *r)
{
	struct dns_name server = answer_below(&r->d->domain, "ns", "dns");

	if (answer_wants(r, DNS_SOA))
		answer_soa(r, DNS_ANSWER, &r->d->domain);
	if (answer_wants(r, DNS_NS)) {
		answer_name(r, DNS_ANSWER, &r->d->domain, DNS_NS, &server, DNS_TTL);
		answer_own(r, DNS_ADDITIONAL, &server);
	}
	return FOUND_NAME;
}

static int answer_version(struct dns_reply *r, const struct dns_name *owner)
{
	static const char text[] = "\5" ANSWER_VERSION;

	if (!answer_wants(r, DNS_TXT))
		return FOUND_NAME;
	dns_write_rr(&r->w, DNS_ANSWER, owner, DNS_TXT, DNS_CLASS_IN, ANSWER_VERSION_TTL);
	dns_write_data(&r->w, text, sizeof(text) - 1);
	dns_write_end_rr(&r->w);
	return FOUND_NAME;
}

/* name is below the domain by the labels of its first `above` bytes; lower is it without capitals. */
static int answer_domain(struct dns_reply *r, const struct dns_name *name, const struct dns_name *lower, size_t above)
{
	struct str label[ANSWER_LABELS + 1];
	size_t n = 0, at = 0;
	bool svc;

	while (at < above && n <= ANSWER_LABELS)
		label[n++] = dns_name_label(lower, &at);
	if (!n)
		return answer_apex(r);
	if (n > ANSWER_LABELS)
		return FOUND_NOT;
	svc = str_eqc(label[n - 1], "svc");
	if (n == 1 && str_eqc(label[0], "dns-version"))
		return answer_version(r, name);
	if (str_eqc(label[n - 1], "dns"))
		return n == 1 ? FOUND_NAME : n == 2 && str_eqc(label[0], "ns") ? answer_own(r, DNS_ANSWER, name) : FOUND_NOT;
	if (!svc && !str_eqc(label[n - 1], "pod"))
		return FOUND_NOT;
	if (n == 1)
		return FOUND_NAME;
	if (!dns_has_namespace(r->d, label[n - 2]))
		return FOUND_NOT;
	if (n == 2)
		return FOUND_NAME;
	if (svc)
		return answer_service(r, name, label, n);
	return n == 3 ? answer_pod(r, name, label[0]) : FOUND_NOT;
}

/* --- reverse --- */

static bool reverse_v4(struct net_addr *a, const struct dns_name *n, int end)
{
	struct str label;
	size_t at = 0;
	uint64_t v;

	a->family = AF_INET;
	for (int i = 3; i >= 0; i--) {
		label = dns_name_label(n, &at);
		if (label.n > 3 || !str_to_u64(label, &v) || v > 255)
			return false;
		a->b[i] = (uint8_t)v;
	}
	return (int)at == end;
}

static bool reverse_v6(struct net_addr *a, const struct dns_name *n)
{
	static const char hex[] = "0123456789abcdef";
	struct str label;
	const char *digit;
	size_t at = 0;

	a->family = AF_INET6;
	for (int i = 31; i >= 0; i--) {
		label = dns_name_label(n, &at);
		digit = label.n == 1 && *label.p ? strchr(hex, *label.p | 0x20) : NULL;
		if (!digit)
			return false;
		a->b[i / 2] = (uint8_t)(a->b[i / 2] | (digit - hex) << (i % 2 ? 0 : 4));
	}
	return true;
}

bool dns_reverse_parse(struct net_addr *a, const struct dns_name *n)
{
	struct dns_name v4, v6;
	int at;

	*a = (struct net_addr){ 0 };
	BUG_ON(!dns_name_parse(&v4, STR_LIT("in-addr.arpa")) || !dns_name_parse(&v6, STR_LIT("ip6.arpa")));
	if ((at = dns_name_below(n, &v4)) > 0)
		return reverse_v4(a, n, at);
	if ((at = dns_name_below(n, &v6)) == 64)
		return reverse_v6(a, n);
	return false;
}

static bool reverse_is_ours(const struct dns *d, const struct net_addr *a)
{
	for (size_t i = 0; i < d->n_ours; i++)
		if (net_prefix_has(&d->ours[i], a))
			return true;
	return false;
}

/* A Service's own address has one name, that of a pod those of all Services that it is an endpoint of. */
static int answer_reverse(struct dns_reply *r, const struct dns_name *name, const struct net_addr *a)
{
	struct dns_name service, target;
	int found = FOUND_NOT;
	bool own = false;

	for (struct dns_addr *x = NULL; (x = dns_index_addr(&r->d->index, a, x));)
		own = own || !x->endpoint;
	seen_begin(r->d);
	for (struct dns_addr *x = NULL; (x = dns_index_addr(&r->d->index, a, x));) {
		if (own == x->endpoint || !answer_service_name(r->d, x->service, &service) ||
		    !answer_target(&service, x, &target))
			continue;
		found = FOUND_NAME;
		if (answer_wants(r, DNS_PTR) && seen_add(r->d, target.b, target.len))
			answer_name(r, DNS_ANSWER, name, DNS_PTR, &target, DNS_TTL);
		if (own)
			break;
	}
	return found;
}

/* --- others' names --- */

static int answer_hosts(struct dns_reply *r, const struct dns_name *name, const struct dns_name *lower)
{
	const struct str key = str_n((const char *)lower->b, lower->len);
	const struct dns_host *lists[] = { map_get(r->d->hosts.names, key), map_get(r->d->node_addrs, key) };
	const struct dns_name *back;
	struct net_addr a;

	if (dns_reverse_parse(&a, lower)) {
		back = map_get(r->d->hosts.addrs, str_n((const char *)a.b, net_addr_len(&a)));
		if (back && answer_wants(r, DNS_PTR))
			answer_name(r, DNS_ANSWER, name, DNS_PTR, back, DNS_HOSTS_TTL);
		return back ? FOUND_NAME : FOUND_NOT;
	}
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (size_t k = 0; lists[i] && k < lists[i]->v.n; k++)
			if (answer_wants(r, lists[i]->v.v[k].family == AF_INET6 ? DNS_AAAA : DNS_A))
				answer_addr(r, DNS_ANSWER, name, lists[i]->v.v[k].b, lists[i]->v.v[k].family, DNS_HOSTS_TTL);
		if (lists[i])
			return FOUND_NAME;
	}
	return FOUND_NOT;
}

/* What others said, with what is left of its time. */
static void answer_copy(struct dns_reply *r, const struct dns_head *h, struct str msg, int64_t age_s)
{
	size_t at = h->records;
	struct dns_rr rr;

	r->w.rcode = h->rcode;
	if (h->flags & DNS_AD && !r->cnames && (r->q->flags & DNS_AD || r->q->edns.dnssec_ok))
		r->w.flags |= DNS_AD;
	for (enum dns_section s = DNS_ANSWER; s < DNS_SECTIONS; s++)
		for (unsigned i = 0; i < h->count[s]; i++) {
			if (!dns_read_rr(msg, &at, &rr))
				return;
			if (rr.type != DNS_OPT)
				dns_write_copy(&r->w, s, msg, &rr,
					       rr.ttl > DNS_CACHE_TTL ? (uint32_t)(DNS_CACHE_TTL - age_s) :
					       rr.ttl > age_s	      ? (uint32_t)(rr.ttl - age_s) :
									0);
		}
}

static int answer_others(struct dns_reply *r, const struct dns_name *lower)
{
	const struct dns_outcome *o = r->outcome;
	const struct dns_cached *c;
	int64_t now = loop_now_ms(r->d->loop);

	dns_key_make(&r->key, lower, r->q->type, r->q->edns.dnssec_ok, r->q->flags & DNS_CD);
	if (o && o->key->n == r->key.n && memcmp(o->key->b, r->key.b, r->key.n) == 0) {
		if (!o->head)
			r->w.rcode = DNS_SERVFAIL;
		else
			answer_copy(r, o->head, o->msg, 0);
		return FOUND_NAME;
	}
	c = dns_cache_find(r->d->cache, &r->key);
	if (c) {
		r->d->stats.hits[c->head.rcode != 0 || !c->head.count[DNS_ANSWER]]++;
		answer_copy(r, &c->head, c->msg, (now - c->at_ms) / 1000);
		return FOUND_NAME;
	}
	r->d->stats.misses++;
	r->ask = dns_route(r->d, lower);
	if (r->ask)
		return FOUND_WAIT;
	r->w.rcode = DNS_SERVFAIL;
	return FOUND_NAME;
}

/* --- one name after the other --- */

/* Ends with FOUND_NAME when rcode and all are set, FOUND_NOT when the name below zone is not there. */
static int answer_follow(struct dns_reply *r, const struct dns_name *name)
{
	struct dns_name lower = *name, zone = r->d->domain;
	int below, found;
	uint16_t before = r->w.count[DNS_ANSWER];
	struct net_addr a;

	dns_name_lower(&lower);
	found = answer_hosts(r, name, &lower);
	if (found == FOUND_NAME && r->w.count[DNS_ANSWER] == before)
		return FOUND_NAME; /* no SOA: it is of no zone */
	if (found == FOUND_NAME)
		return found;
	below = dns_name_below(&lower, &r->d->domain);
	if (!dns_is_synced(r->d) && (below >= 0 || (dns_reverse_parse(&a, &lower) && reverse_is_ours(r->d, &a)))) {
		r->w.rcode = DNS_SERVFAIL; /* it may be there */
		return FOUND_NAME;
	}
	if (below >= 0) {
		found = answer_domain(r, name, &lower, (size_t)below);
	} else if (dns_reverse_parse(&a, &lower) &&
		   ((found = answer_reverse(r, name, &a)) == FOUND_NAME || reverse_is_ours(r->d, &a))) {
		BUG_ON(!dns_name_parse(&zone, a.family == AF_INET6 ? STR_LIT("ip6.arpa") : STR_LIT("in-addr.arpa")));
	} else {
		r->w.flags &= r->cnames ? 0xffff : (uint16_t)~DNS_AA;
		return answer_others(r, &lower);
	}
	if (found == FOUND_NOT)
		r->w.rcode = DNS_NXDOMAIN;
	if (found != FOUND_WAIT && r->w.count[DNS_ANSWER] == before && !r->w.count[DNS_AUTHORITY] && r->w.rcode != DNS_SERVFAIL)
		answer_soa(r, DNS_AUTHORITY, &zone);
	return found == FOUND_WAIT ? found : FOUND_NAME;
}

bool dns_answer(struct dns_reply *r)
{
	r->w.flags |= DNS_AA;
	return answer_follow(r, &r->q->name) != FOUND_WAIT;
}
