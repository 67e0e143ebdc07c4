/*
 * DNS: the codec; answers from a made-up cluster, as a table; what is kept of
 * others' answers; the configuration.
 */
#include "svc/dns.h"
#include "schema/schema.h"
#include "tap.h"

/* --- what dns.c is for the files under test --- */

static bool test_synced = true;
static struct dns_servers *test_route;

bool dns_is_synced(const struct dns *d)
{
	(void)d;
	return test_synced;
}

uint32_t dns_random(struct dns *d)
{
	return (uint32_t)d->random;
}

bool dns_has_namespace(struct dns *d, struct str ns)
{
	(void)d;
	return str_eqc(ns, "default") || str_eqc(ns, "other");
}

struct dns_servers *dns_route(struct dns *d, const struct dns_name *lower)
{
	(void)d, (void)lower;
	return test_route;
}

/* --- the cluster --- */

static const char *const services[] = {
	("{'metadata':{'name':'web','namespace':'default'},'spec':{'clusterIP':'10.43.0.5','clusterIPs':['10.43.0.5','fd00:43::5'],"
	 "'ports':[{'name':'http','port':80,'protocol':'TCP'},{'name':'dns','port':53,'protocol':'UDP'}]}}"),
	"{'metadata':{'name':'plain','namespace':'default'},'spec':{'clusterIP':'10.43.0.6','ports':[{'port':80}]}}",
	"{'metadata':{'name':'db','namespace':'default'},'spec':{'clusterIP':'None','ports':[{'name':'sql','port':5432}]}}",
	"{'metadata':{'name':'dual','namespace':'default'},'spec':{'clusterIP':'None','ports':[{'name':'p','port':1}]}}",
	"{'metadata':{'name':'empty','namespace':'default'},'spec':{'clusterIP':'None','ports':[{'name':'p','port':1}]}}",
	"{'metadata':{'name':'portless','namespace':'default'},'spec':{'clusterIP':'None'}}",
	"{'metadata':{'name':'out','namespace':'default'},'spec':{'type':'ExternalName','externalName':'db.example.org'}}",
	"{'metadata':{'name':'in','namespace':'default'},'spec':{'type':'ExternalName','externalName':'WEB.default.svc.cluster.local.'}}",
	"{'metadata':{'name':'lost','namespace':'default'},'spec':{'type':'ExternalName','externalName':'nix.default.svc.cluster.local'}}",
	"{'metadata':{'name':'circle','namespace':'default'},'spec':{'type':'ExternalName','externalName':'circle.default.svc.cluster.local'}}",
	"{'metadata':{'name':'ip','namespace':'default'},'spec':{'type':'ExternalName','externalName':'1.2.3.4'}}",
};
static const struct {
	const char *service, *json;
} slices[] = {
	{ "web", "{'metadata':{'name':'web-1','namespace':'default'},'addressType':'IPv4','ports':[{'name':'http','port':8080,'protocol':'TCP'}],"
		 "'endpoints':[{'addresses':['10.42.0.9'],'conditions':{'ready':true}}]}" },
	{ "db", "{'metadata':{'name':'db-1','namespace':'default'},'addressType':'IPv4','ports':[{'name':'sql','port':5432,'protocol':'TCP'}],"
		"'endpoints':[{'addresses':['10.42.0.1'],'hostname':'db-0','conditions':{'ready':true}},"
		"{'addresses':['10.42.0.2'],'hostname':'db-1'},{'addresses':['10.42.0.3'],'conditions':{'ready':true}},"
		"{'addresses':['10.42.0.4'],'hostname':'db-3','conditions':{'ready':false}}]}" },
	{ "dual", "{'metadata':{'name':'dual-1','namespace':'default'},'addressType':'IPv4','ports':[{'name':'p','port':1,'protocol':'TCP'}],"
		  "'endpoints':[{'addresses':['10.42.0.9'],'hostname':'a'}]}" },
	{ "dual", "{'metadata':{'name':'dual-2','namespace':'default'},'addressType':'IPv6','ports':[{'name':'p','port':1,'protocol':'TCP'}],"
		  "'endpoints':[{'addresses':['fd00:42::9'],'hostname':'a'},{'addresses':['fd00:42::a']}]}" },
	{ "portless", "{'metadata':{'name':'portless-1','namespace':'default'},'addressType':'IPv4','ports':[],"
		      "'endpoints':[{'addresses':['10.42.0.7']}]}" },
};

static struct doc *quoted(const char *json)
{
	_cleanup_free_ char *text = xstrdup(json);
	struct err e = ERR_INIT;
	struct doc *d = NULL;

	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	if (doc_parse_json(&d, str_of(text), NULL, &e) < 0) {
		printf("# %s: %s\n", text, err_msg(&e));
		abort();
	}
	return d;
}

static void fill(struct dns *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(services); i++) {
		_cleanup_doc_ struct doc *doc = quoted(services[i]);

		dns_index_service(&d->index, meta_ns(doc_root(doc)), meta_name(doc_root(doc)), doc_root(doc));
	}
	for (size_t i = 0; i < ARRAY_SIZE(slices);) {
		struct dns_service *s = dns_index_find(&d->index, STR_LIT("default"), str_of(slices[i].service));
		const char *service = slices[i].service;
		svc_slice_list l = VEC_INIT;

		for (; i < ARRAY_SIZE(slices) && streq(slices[i].service, service); i++) {
			struct doc *doc = quoted(slices[i].json);

			doc_freeze(doc);
			VEC_PUSH(&l, obj_new(schema_res("discovery.k8s.io", "endpointslices"), doc, 1));
			doc_unref(doc);
		}
		dns_index_slices(&d->index, s, &l);
		for (size_t k = 0; k < l.n; k++)
			obj_unref(l.v[k]);
		VEC_RELEASE(&l);
	}
}

/* --- questions and answers as texts --- */

static void show_data(struct buf *b, struct str msg, const struct dns_rr *rr)
{
	const uint8_t *p = (const uint8_t *)msg.p + rr->data;
	struct net_addr a = { .family = rr->type == DNS_A ? AF_INET : AF_INET6 };
	char text[NET_ADDR_TEXT];
	size_t at = rr->data;
	struct dns_name n;

	switch (rr->type) {
	case DNS_A:
	case DNS_AAAA:
		memcpy(a.b, p, rr->data_len);
		buf_adds(b, net_addr_print(&a, text));
		return;
	case DNS_SRV:
		buf_addf(b, "%d %d %d ", p[0] << 8 | p[1], p[2] << 8 | p[3], p[4] << 8 | p[5]);
		at += 6;
		break;
	case DNS_TXT:
		buf_add(b, p + 1, p[0]);
		return;
	case DNS_SOA:
		return;
	}
	if (dns_read_name(msg, &at, &n))
		dns_name_print(&n, b);
}

/* "NOERROR aa A 10.43.0.5 | SOA" (the owner where it is not the question's) */
static char *show(struct str msg)
{
	static const char *const before[] = { "", "", " |", " +" };
	struct buf b = BUF_INIT;
	struct dns_head h;
	struct dns_name q;
	struct dns_rr rr;
	size_t at;

	if (!dns_read_answer(&h, &q, msg))
		return xstrdup("malformed");
	buf_addf(&b, "%s%s%s%s", dns_rcode_name(h.rcode), h.flags & DNS_AA ? " aa" : "", h.flags & DNS_TC ? " tc" : "",
		 h.flags & DNS_AD ? " ad" : "");
	at = h.records;
	for (enum dns_section s = DNS_ANSWER; s < DNS_SECTIONS; s++)
		for (unsigned i = 0; i < h.count[s]; i++) {
			if (!dns_read_rr(msg, &at, &rr))
				abort();
			if (rr.type == DNS_OPT)
				continue;
			buf_addf(&b, "%s ", before[s]);
			if (!dns_name_equal(&rr.name, &q)) {
				dns_name_print(&rr.name, &b);
				buf_addch(&b, ' ');
			}
			buf_addf(&b, "%s ", dns_type_name(rr.type));
			show_data(&b, msg, &rr);
			while (b.len && b.s[b.len - 1] == ' ')
				buf_truncate(&b, b.len - 1);
		}
	return buf_detach(&b, NULL);
}

static uint8_t out[DNS_MESSAGE_BYTES];

static char *ask_within(struct dns *d, uint16_t type, const char *name, size_t limit, const struct dns_outcome *o)
{
	struct dns_query q = { .id = 1, .type = type, .class = DNS_CLASS_IN };
	struct dns_reply r = { .d = d, .q = &q, .outcome = o };

	if (!dns_name_parse(&q.name, str_of(name)))
		return xstrdup("no name");
	dns_write_begin(&r.w, out, limit, 1, DNS_QR);
	dns_write_question(&r.w, &q.name, type, DNS_CLASS_IN);
	if (!dns_answer(&r)) {
		struct buf b = BUF_INIT;
		struct dns_name n = { .len = (uint8_t)(r.key.n - 3) };

		memcpy(n.b, r.key.b + 3, n.len);
		buf_adds(&b, "ask ");
		dns_name_print(&n, &b);
		return buf_detach(&b, NULL);
	}
	return show(str_n((char *)out, dns_write_end(&r.w)));
}

#define NX "NXDOMAIN aa | cluster.local SOA"
#define NODATA "NOERROR aa | cluster.local SOA"
#define S ".svc.cluster.local"

static const struct {
	uint16_t type;
	const char *name, *answer;
} table[] = {
	/* ClusterIP */
	{ DNS_A, "web.default" S, "NOERROR aa A 10.43.0.5" },
	{ DNS_AAAA, "web.default" S, "NOERROR aa AAAA fd00:43::5" },
	{ DNS_A, "WEB.Default.SVC.cluster.LOCAL", "NOERROR aa A 10.43.0.5" },
	{ DNS_ANY, "web.default" S, "NOERROR aa A 10.43.0.5 AAAA fd00:43::5" },
	{ DNS_AAAA, "plain.default" S, NODATA },
	{ DNS_TXT, "web.default" S, NODATA },
	{ DNS_MX, "web.default" S, NODATA },
	{ DNS_CNAME, "web.default" S, NODATA },
	{ 65, "web.default" S, NODATA },
	{ DNS_A, "nix.default" S, NX },
	{ DNS_TXT, "nix.default" S, NX },
	{ DNS_A, "web.other" S, NX },
	{ DNS_A, "web.nowhere" S, NX },
	{ DNS_A, "default" S, NODATA },
	{ DNS_A, "nowhere" S, NX },
	{ DNS_A, "svc.cluster.local", NODATA },
	{ DNS_A, "pod.cluster.local", NODATA },
	{ DNS_A, "cluster.local", "NOERROR aa | SOA" },
	{ DNS_A, "web.cluster.local", NX },
	{ DNS_A, "*.default" S, NX },
	{ DNS_A, "a.b.c.web.default" S, NX },
	/* SRV */
	{ DNS_SRV, "_http._tcp.web.default" S,
	  "NOERROR aa SRV 0 50 80 web.default" S " + web.default" S " A 10.43.0.5 + web.default" S " AAAA fd00:43::5" },
	{ DNS_SRV, "_dns._UDP.web.default" S,
	  "NOERROR aa SRV 0 50 53 web.default" S " + web.default" S " A 10.43.0.5 + web.default" S " AAAA fd00:43::5" },
	{ DNS_SRV, "_dns._tcp.web.default" S, NX },
	{ DNS_SRV, "_nix._tcp.web.default" S, NX },
	{ DNS_SRV, "http.tcp.web.default" S, NX },
	{ DNS_SRV, "_._tcp.plain.default" S, NX },
	{ DNS_SRV, "plain.default" S, "NOERROR aa SRV 0 100 80 plain.default" S " + A 10.43.0.6" },
	{ DNS_A, "_http._tcp.web.default" S, "NOERROR aa A 10.43.0.5" },
	/* endpoints */
	{ DNS_A, "10-42-0-9.web.default" S, "NOERROR aa A 10.42.0.9" },
	{ DNS_A, "10-42-0-8.web.default" S, NX },
	{ DNS_A, "db.default" S, "NOERROR aa A 10.42.0.1 A 10.42.0.2 A 10.42.0.3" },
	{ DNS_A, "db-0.db.default" S, "NOERROR aa A 10.42.0.1" },
	{ DNS_A, "DB-1.db.default" S, "NOERROR aa A 10.42.0.2" },
	{ DNS_A, "db-3.db.default" S, NX },
	{ DNS_A, "10-42-0-3.db.default" S, "NOERROR aa A 10.42.0.3" },
	{ DNS_A, "10-42-0-1.db.default" S, NX },
	{ DNS_AAAA, "db-0.db.default" S, NODATA },
	{ DNS_SRV, "_sql._tcp.db.default" S,
	  "NOERROR aa SRV 0 33 5432 db-0.db.default" S " SRV 0 33 5432 db-1.db.default" S " SRV 0 33 5432 10-42-0-3.db.default" S
	  " + db-0.db.default" S " A 10.42.0.1 + db-1.db.default" S " A 10.42.0.2 + 10-42-0-3.db.default" S " A 10.42.0.3" },
	{ DNS_A, "_sql._tcp.db.default" S, "NOERROR aa A 10.42.0.1 A 10.42.0.2 A 10.42.0.3" },
	{ DNS_SRV, "db-0.db.default" S, "NOERROR aa SRV 0 100 5432 db-0.db.default" S " + A 10.42.0.1" },
	{ DNS_AAAA, "dual.default" S, "NOERROR aa AAAA fd00:42::9 AAAA fd00:42::a" },
	{ DNS_A, "a.dual.default" S, "NOERROR aa A 10.42.0.9" },
	{ DNS_AAAA, "fd00-42--a.dual.default" S, "NOERROR aa AAAA fd00:42::a" },
	{ DNS_SRV, "_p._tcp.dual.default" S,
	  "NOERROR aa SRV 0 33 1 a.dual.default" S " SRV 0 33 1 fd00-42--a.dual.default" S " + a.dual.default" S
	  " A 10.42.0.9 + a.dual.default" S " AAAA fd00:42::9 + fd00-42--a.dual.default" S " AAAA fd00:42::a" },
	{ DNS_A, "empty.default" S, NX },
	{ DNS_A, "portless.default" S, "NOERROR aa A 10.42.0.7" },
	{ DNS_SRV, "portless.default" S, NODATA },
	{ DNS_SRV, "_p._tcp.portless.default" S, NX },
	/* pods */
	{ DNS_A, "10-42-7-7.default.pod.cluster.local", "NOERROR aa A 10.42.7.7" },
	{ DNS_AAAA, "10-42-7-7.default.pod.cluster.local", NODATA },
	{ DNS_AAAA, "fd00-42--7.default.pod.cluster.local", "NOERROR aa AAAA fd00:42::7" },
	{ DNS_AAAA, "--1.default.pod.cluster.local", "NOERROR aa AAAA ::1" },
	{ DNS_A, "10-42-7-777.default.pod.cluster.local", NX },
	{ DNS_A, "10-42-7.default.pod.cluster.local", NX },
	{ DNS_A, "web.default.pod.cluster.local", NX },
	{ DNS_A, "10-42-7-7.nowhere.pod.cluster.local", NX },
	{ DNS_A, "default.pod.cluster.local", NODATA },
	/* ExternalName */
	{ DNS_CNAME, "out.default" S, "NOERROR aa CNAME db.example.org" },
	{ DNS_A, "out.default" S, "ask db.example.org" },
	{ DNS_A, "x.out.default" S, NX },
	{ DNS_A, "in.default" S, "NOERROR aa CNAME WEB.default" S " WEB.default" S " A 10.43.0.5" },
	{ DNS_A, "lost.default" S, "NXDOMAIN aa CNAME nix.default" S " | cluster.local SOA" },
	{ DNS_A, "ip.default" S, NX },
	/* the zone */
	{ DNS_SOA, "cluster.local", "NOERROR aa SOA" },
	{ DNS_NS, "cluster.local", "NOERROR aa NS ns.dns.cluster.local + ns.dns.cluster.local A 10.43.0.10" },
	{ DNS_A, "ns.dns.cluster.local", "NOERROR aa A 10.43.0.10" },
	{ DNS_NS, "web.default" S, NODATA },
	{ DNS_TXT, "dns-version.cluster.local", "NOERROR aa TXT 1.1.0" },
	{ DNS_A, "dns-version.cluster.local", NODATA },
	/* reverse */
	{ DNS_PTR, "5.0.43.10.in-addr.arpa", "NOERROR aa PTR web.default" S },
	{ DNS_PTR, "1.0.42.10.in-addr.arpa", "NOERROR aa PTR db-0.db.default" S },
	{ DNS_PTR, "3.0.42.10.in-addr.arpa", "NOERROR aa PTR 10-42-0-3.db.default" S },
	{ DNS_PTR, "4.0.42.10.in-addr.arpa", "NXDOMAIN aa | in-addr.arpa SOA" },
	{ DNS_A, "5.0.43.10.in-addr.arpa", "NOERROR aa | in-addr.arpa SOA" },
	{ DNS_PTR, "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.3.4.0.0.0.0.d.f.ip6.arpa", "NOERROR aa PTR web.default" S },
	{ DNS_PTR, "1.2.3.4.in-addr.arpa", "ask 1.2.3.4.in-addr.arpa" },
	{ DNS_PTR, "0.43.10.in-addr.arpa", "ask 0.43.10.in-addr.arpa" },
	{ DNS_PTR, "x.0.43.10.in-addr.arpa", "ask x.0.43.10.in-addr.arpa" },
	{ DNS_PTR, "5.0.43.256.in-addr.arpa", "ask 5.0.43.256.in-addr.arpa" },
	/* hosts and others */
	{ DNS_A, "printer.corp", "NOERROR aa A 192.0.2.7" },
	{ DNS_AAAA, "printer.corp", "NOERROR aa" },
	{ DNS_AAAA, "PRINTER", "NOERROR aa AAAA 2001:db8::7" },
	{ DNS_PTR, "7.2.0.192.in-addr.arpa", "NOERROR aa PTR printer.corp" },
	{ DNS_A, "www.example.org", "ask www.example.org" },
	{ DNS_A, "web.default" S ".corp", "ask web.default" S ".corp" },
	{ DNS_A, "mycluster.local", "ask mycluster.local" },
};

static void test_answers(struct dns *d)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		_cleanup_free_ char *got = ask_within(d, table[i].type, table[i].name, sizeof(out), NULL);
		_cleanup_free_ char *title = xasprintf("%s %s", dns_type_name(table[i].type), table[i].name);

		is_str(got, table[i].answer, title);
	}
}

static void test_more_answers(struct dns *d)
{
	char *got = ask_within(d, DNS_A, "circle.default" S, sizeof(out), NULL);

	ok(strstr(got, "NOERROR aa CNAME circle") == got, "a circle of names ends");
	free(got);
	d->random = 2;
	got = ask_within(d, DNS_A, "db.default" S, sizeof(out), NULL);
	is_str(got, "NOERROR aa A 10.42.0.3 A 10.42.0.1 A 10.42.0.2", "answers go round");
	free(got);
	d->random = 0;
	test_synced = false;
	got = ask_within(d, DNS_A, "nix.default" S, sizeof(out), NULL);
	is_str(got, "SERVFAIL aa", "before all is known nothing is said not to be there");
	free(got);
	test_synced = true;
}

static void test_large(struct dns *d)
{
	_cleanup_doc_ struct doc *doc = quoted("{'spec':{'clusterIP':'None','ports':[{'name':'p','port':1}]}}");
	struct dns_service *s = dns_index_service(&d->index, "default", "large", doc_root(doc));
	svc_slice_list l = VEC_INIT;
	struct dns_head h;
	struct dns_name n;
	char *got;

	for (int i = 0; i < 50; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct doc *slice;

		buf_addf(&b, "{'metadata':{'name':'large-%d','namespace':'default'},'ports':[{'name':'p','port':1}],'endpoints':[", i);
		for (int k = 0; k < 100; k++)
			buf_addf(&b, "%s{'addresses':['10.44.%d.%d']}", k ? "," : "", i, k);
		buf_adds(&b, "]}");
		slice = quoted(b.s);
		doc_freeze(slice);
		VEC_PUSH(&l, obj_new(schema_res("discovery.k8s.io", "endpointslices"), slice, 1));
		doc_unref(slice);
	}
	dns_index_slices(&d->index, s, &l);
	got = ask_within(d, DNS_A, "large.default" S, DNS_UDP_BYTES, NULL);
	ok(starts_with(got, "NOERROR aa tc A 10.44.0.0 A 10.44.0.1 "), "5,000 endpoints: what fits, and TC");
	free(got);
	got = ask_within(d, DNS_A, "large.default" S, sizeof(out), NULL);
	ok(dns_read_answer(&h, &n, str_n((char *)out, sizeof(out))) && h.count[DNS_ANSWER] > 4000 && h.flags & DNS_TC,
	   "over TCP: as many as a message holds");
	free(got);
	got = ask_within(d, DNS_SRV, "_p._tcp.large.default" S, sizeof(out), NULL);
	ok(dns_read_answer(&h, &n, str_n((char *)out, sizeof(out))) && h.count[DNS_ANSWER] > 500 && h.flags & DNS_TC,
	   "SRV of them, too");
	free(got);
	got = ask_within(d, DNS_A, "10-44-49-99.large.default" S, DNS_UDP_BYTES, NULL);
	is_str(got, "NOERROR aa A 10.44.49.99", "one of them by its name");
	free(got);
	dns_index_slices(&d->index, s, &l);
	is_int(d->index.addrs.n, 5000 + 11, "read again nothing is twice");
	obj_unref(l.v[0]);
	VEC_REMOVE(&l, 0);
	dns_index_slices(&d->index, s, &l);
	is_int(d->index.addrs.n, 4900 + 11, "a slice that goes takes its endpoints along");
	dns_index_service(&d->index, "default", "large", NULL);
	is_int(d->index.addrs.n, 11, "a Service takes all");
	for (size_t i = 0; i < l.n; i++)
		obj_unref(l.v[i]);
	VEC_RELEASE(&l);
}

/* --- others' answers --- */

static size_t make_answer(uint8_t *p, const char *name, uint32_t ttl, unsigned rcode, bool soa)
{
	static const uint8_t ip[4] = { 192, 0, 2, 1 };
	struct dns_name n, zone;
	struct dns_writer w;

	if (!dns_name_parse(&n, str_of(name)) || !dns_name_parse(&zone, STR_LIT("example.org")))
		abort();
	dns_write_begin(&w, p, DNS_UDP_BYTES, 9, DNS_QR | DNS_RA | DNS_AA | DNS_AD);
	w.rcode = rcode;
	dns_write_question(&w, &n, DNS_A, DNS_CLASS_IN);
	if (!rcode && !soa) {
		dns_write_rr(&w, DNS_ANSWER, &n, DNS_A, DNS_CLASS_IN, ttl);
		dns_write_data(&w, ip, sizeof(ip));
		dns_write_end_rr(&w);
	}
	if (soa) {
		dns_write_rr(&w, DNS_AUTHORITY, &zone, DNS_SOA, DNS_CLASS_IN, 3600);
		dns_write_name(&w, &n, true);
		dns_write_name(&w, &zone, true);
		for (int i = 0; i < 5; i++)
			dns_write_u32(&w, i == 4 ? ttl : 1);
		dns_write_end_rr(&w);
	}
	return dns_write_end(&w);
}

static void test_cache(struct dns *d)
{
	uint8_t msg[DNS_UDP_BYTES];
	struct dns_name n;
	struct dns_head h;
	struct dns_key k;
	size_t len = make_answer(msg, "www.example.org", 7, 0, false);
	char *got;

	ok(dns_read_answer(&h, &n, str_n((char *)msg, len)), "an answer reads");
	is_int(dns_cache_ttl(&h, str_n((char *)msg, len)), 7, "its time is its record's");
	dns_key_make(&k, &n, DNS_A, false, false);
	dns_cache_put(d->cache, &k, &h, str_n((char *)msg, len), 7);
	got = ask_within(d, DNS_A, "WWW.example.org", sizeof(out), NULL);
	is_str(got, "NOERROR A 192.0.2.1", "it is answered from there, not as our own");
	free(got);
	got = ask_within(d, DNS_AAAA, "www.example.org", sizeof(out), NULL);
	is_str(got, "ask www.example.org", "another type is another question");
	free(got);
	loop_turn(d->loop, 7000);
	loop_turn(d->loop, 1);
	got = ask_within(d, DNS_A, "www.example.org", sizeof(out), NULL);
	is_str(got, "ask www.example.org", "its time is over");
	free(got);
	len = make_answer(msg, "www.example.org", 100000, 0, false);
	(void)dns_read_answer(&h, &n, str_n((char *)msg, len));
	is_int(dns_cache_ttl(&h, str_n((char *)msg, len)), DNS_CACHE_TTL, "nothing is kept for longer than that");
	len = make_answer(msg, "nix.example.org", 12, DNS_NXDOMAIN, true);
	(void)dns_read_answer(&h, &n, str_n((char *)msg, len));
	is_int(dns_cache_ttl(&h, str_n((char *)msg, len)), 12, "a name that is not there: by the SOA");
	len = make_answer(msg, "nix.example.org", 12, DNS_NXDOMAIN, false);
	(void)dns_read_answer(&h, &n, str_n((char *)msg, len));
	is_int(dns_cache_ttl(&h, str_n((char *)msg, len)), 0, "without SOA not at all");
	len = make_answer(msg, "bad.example.org", 12, DNS_SERVFAIL, true);
	(void)dns_read_answer(&h, &n, str_n((char *)msg, len));
	is_int(dns_cache_ttl(&h, str_n((char *)msg, len)), 0, "a failure is not kept");
	for (int i = 0; i < 60000; i++) {
		char name[64];

		snprintf(name, sizeof(name), "n%d.example.org", i);
		len = make_answer(msg, name, 30, 0, false);
		(void)dns_read_answer(&h, &n, str_n((char *)msg, len));
		dns_key_make(&k, &n, DNS_A, false, false);
		dns_cache_put(d->cache, &k, &h, str_n((char *)msg, len), 30);
	}
	ok(dns_cache_bytes(d->cache) < 5u << 20 && dns_cache_count(d->cache) > 5000, "a flood of names does not fill memory");
	ok(dns_cache_find(d->cache, &k) != NULL, "the last one is there");
	for (int i = 0; i < 5; i++)
		loop_turn(d->loop, 31000);
	is_int(dns_cache_count(d->cache), 0, "what is over is taken away by itself");
}

static void test_outcome(struct dns *d)
{
	uint8_t msg[DNS_UDP_BYTES];
	struct dns_name n;
	struct dns_head h;
	struct dns_key k;
	size_t len = make_answer(msg, "db.example.org", 7, 0, false);
	struct dns_outcome o = { .key = &k, .head = &h, .msg = str_n((char *)msg, len) };
	char *got;

	(void)dns_read_answer(&h, &n, o.msg);
	dns_key_make(&k, &n, DNS_A, false, false);
	got = ask_within(d, DNS_A, "out.default" S, sizeof(out), &o);
	is_str(got, "NOERROR aa CNAME db.example.org db.example.org A 192.0.2.1", "an ExternalName, and what others say of it");
	free(got);
	o.head = NULL;
	got = ask_within(d, DNS_A, "out.default" S, sizeof(out), &o);
	is_str(got, "SERVFAIL aa CNAME db.example.org", "nobody answers");
	free(got);
	test_route = NULL;
	got = ask_within(d, DNS_A, "www.example.org", sizeof(out), NULL);
	is_str(got, "SERVFAIL", "there is nobody to ask");
	free(got);
}

/* --- the codec --- */

static void test_names(void)
{
	struct dns_name a, b;
	struct buf text = BUF_INIT;
	char label[70], name[300] = "";

	memset(label, 'a', 64);
	label[64] = '\0';
	ok(dns_name_parse(&a, STR_LIT("A.b.C")) && dns_name_parse(&b, STR_LIT("a.B.c.")) && dns_name_equal(&a, &b), "case is of no account");
	ok(dns_name_parse(&b, STR_LIT("B.c")) && dns_name_below(&a, &b) == 2 && dns_name_below(&b, &a) == -1, "below");
	ok(dns_name_parse(&b, STR_LIT("xb.c")) && dns_name_below(&b, &a) == -1, "a label is whole");
	ok(!dns_name_parse(&b, STR_LIT("a..b")) && !dns_name_parse(&b, STR_LIT(".a")) && !dns_name_parse(&b, STR_LIT("a..")), "empty labels");
	ok(!dns_name_parse(&b, str_of(label)) && dns_name_parse(&b, str_of(label + 1)), "63 bytes of a label");
	for (int i = 0; i < 127; i++)
		strcat(name, i ? ".a" : "a");
	ok(dns_name_parse(&b, str_of(name)) && b.len == 255 && !dns_name_push(&b, STR_LIT("x")), "255 bytes of a name");
	strcat(name, ".a");
	ok(!dns_name_parse(&b, str_of(name)), "and no more");
	a = (struct dns_name){ .len = 8, .b = "\3a.\"\2\1\xff" };
	dns_name_print(&a, &text);
	is_str(text.s, "a\\.\\\".\\001\\255", "what is odd is escaped");
	buf_release(&text);
}

static int read_bytes(struct dns_query *q, const char *p, size_t n)
{
	uint8_t *exact = xmemdup(p, n ? n : 1);
	int rc = dns_read_query(q, str_n((char *)exact, n));

	free(exact);
	return rc;
}
#define READ(q, lit) read_bytes(q, lit, sizeof(lit) - 1)
#define HEAD(flags, qd, an, ar) "\0\7" flags "\0" qd "\0" an "\0\0\0" ar

static void test_queries(void)
{
	struct dns_query q;

	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\0") "\1a\0\0\1\0\1"), 0, "a question");
	ok(q.id == 7 && q.type == DNS_A && q.class == 1 && !q.edns.present, "what it says");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\1") "\1a\0\0\1\0\1\0\0\x29\x10\0\0\0\x80\0\0\0"), 0, "with EDNS");
	ok(q.edns.present && q.edns.size == 4096 && q.edns.dnssec_ok, "what that says");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\1") "\1a\0\0\1\0\1\0\0\x29\x10\0\0\1\0\0\0\0"), DNS_BADVERS, "EDNS 1");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\2") "\1a\0\0\1\0\1\0\0\x29\x10\0\0\0\0\0\0\0\0\0\x29\x10\0\0\0\0\0\0\0"), DNS_FORMERR,
	       "EDNS twice");
	is_int(READ(&q, "\0\7\1"), -1, "no header");
	is_int(READ(&q, HEAD("\x81\0", "\1", "\0", "\0") "\1a\0\0\1\0\1"), -1, "an answer is not answered");
	is_int(READ(&q, HEAD("\x11\0", "\1", "\0", "\0") "\1a\0\0\1\0\1"), DNS_NOTIMP, "STATUS");
	is_int(READ(&q, HEAD("\x28\0", "\1", "\0", "\0") "\1a\0\0\6\0\1"), DNS_NOTIMP, "UPDATE");
	is_int(READ(&q, HEAD("\1\0", "\0", "\0", "\0")), DNS_FORMERR, "no question");
	is_int(READ(&q, HEAD("\1\0", "\2", "\0", "\0") "\1a\0\0\1\0\1\1b\0\0\1\0\1"), DNS_FORMERR, "two questions");
	is_int(READ(&q, HEAD("\1\0", "\1", "\1", "\0") "\1a\0\0\1\0\1"), DNS_FORMERR, "an answer in a question");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\1") "\1a\0\0\1\0\1"), DNS_FORMERR, "counts that lie");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\0") "\xc0\x0c\0\1\0\1"), DNS_FORMERR, "a name that is itself");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\0") "\1a\xc0\x0c\0\1\0\1"), DNS_FORMERR, "a name that has no end");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\0") "\xc0\x20\0\1\0\1"), DNS_FORMERR, "a pointer beyond the end");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\0") "\x41" "a\0\0\1\0\1"), DNS_FORMERR, "a label of a kind that is not");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\0") "\5ab"), DNS_FORMERR, "a name that is cut off");
	is_int(READ(&q, HEAD("\1\0", "\1", "\0", "\0") "\1a\0\0\1"), DNS_FORMERR, "a question that is cut off");
	ok(q.name.len == 0, "and then there is no name");
}

static void test_compression(void)
{
	struct dns_name a, b, c;
	struct dns_writer w;
	struct dns_head h;
	size_t n;

	if (!dns_name_parse(&a, STR_LIT("www.Example.org")) || !dns_name_parse(&b, STR_LIT("x.example.ORG")) ||
	    !dns_name_parse(&c, STR_LIT("y.x.example.org")))
		abort();
	dns_write_begin(&w, out, DNS_UDP_BYTES, 1, DNS_QR);
	dns_write_question(&w, &a, DNS_A, 1);
	dns_write_rr(&w, DNS_ANSWER, &a, DNS_CNAME, 1, 5);
	dns_write_name(&w, &b, true);
	ok(dns_write_end_rr(&w), "a record fits");
	dns_write_rr(&w, DNS_ANSWER, &c, DNS_SRV, 1, 5);
	dns_write_data(&w, "\0\0\0\0\0\1", 6);
	dns_write_name(&w, &c, false);
	dns_write_end_rr(&w);
	n = dns_write_end(&w);
	is_int(n, 12 + 21 + (2 + 10 + 4) + (4 + 10 + 6 + 17), "names are written once, those of SRV in full");
	ok(dns_read_answer(&h, &a, str_n((char *)out, n)) && h.count[DNS_ANSWER] == 2, "it reads back");
	for (size_t i = 0; i < n; i++) {
		uint8_t *exact = xmemdup(out, i ? i : 1);

		if (dns_read_answer(&h, &a, str_n((char *)exact, i)))
			n = 0;
		free(exact);
	}
	ok(n, "no part of it reads as a whole");
}

static void test_config(void)
{
	static const struct {
		const char *data, *says; /* NULL: it is good */
	} all[] = {
		{ "{}", NULL },
		{ "{'stubDomains':'{\\'acme.local\\': [\\'1.2.3.4\\', \\'1.2.3.5:5353\\', \\'[fd00::1]:53\\', \\'fd00::2\\']}','upstreamNameservers':'[\\'8.8.8.8\\']'}",
		  NULL },
		{ "{'stubDomains':'{'}", "stubDomains: " },
		{ "{'stubDomains':'[]'}", "stubDomains: it is no JSON object" },
		{ "{'stubDomains':'{\\'a\\': \\'1.2.3.4\\'}'}", "stubDomains: a: it is no list of IP addresses" },
		{ "{'stubDomains':'{\\'a\\': []}'}", "stubDomains: a: it is no list of IP addresses" },
		{ "{'stubDomains':'{\\'a\\': [\\'kube-dns.x\\']}'}", "stubDomains: a: 'kube-dns.x' is no IP address, with or without a port" },
		{ "{'stubDomains':'{\\'a\\': [\\'1.2.3.4:0\\']}'}", "stubDomains: a: '1.2.3.4:0' is no IP address, with or without a port" },
		{ "{'stubDomains':'{\\'a\\': [7]}'}", "stubDomains: a: '' is no IP address, with or without a port" },
		{ "{'stubDomains':'{\\'a..b\\': [\\'1.2.3.4\\']}'}", "stubDomains: 'a..b' is no domain" },
		{ "{'stubDomains':'{\\'svc.Cluster.local\\': [\\'1.2.3.4\\']}'}", "stubDomains: 'svc.Cluster.local' is the cluster's own domain" },
		{ "{'upstreamNameservers':'[\\'1.1.1.1\\',\\'1.1.1.2\\',\\'1.1.1.3\\',\\'1.1.1.4\\']'}",
		  "upstreamNameservers: there are more than 3 name servers" },
		{ "{'upstreamNameservers':'{}'}", "upstreamNameservers: it is no JSON array" },
	};
	struct dns_name domain;
	struct dns_hosts hosts;
	struct err e = ERR_INIT;

	(void)dns_name_parse(&domain, STR_LIT("cluster.local"));
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		struct buf text = BUF_INIT;
		struct doc *d = NULL;
		struct dns_config c;
		bool good;

		for (const char *p = all[i].data; *p; p++)
			if (p[0] == '\\' && p[1] == '\'')
				buf_adds(&text, "\\\""), p++;
			else
				buf_addch(&text, *p == '\'' ? '"' : *p);
		if (doc_parse_json(&d, buf_str(&text), NULL, &e) < 0)
			abort();
		good = dns_config_read(&c, doc_root(d), &domain, &e) == 0;
		ok(all[i].says ? !good && starts_with(err_msg(&e), all[i].says) : good, all[i].data);
		if (i == 1)
			ok(c.stubs.n == 1 && c.stubs.v[0]->n == 4 && c.stubs.v[0]->v[1].port == 5353 && c.upstream->n == 1, "what it says");
		if (good)
			dns_config_release(&c);
		err_release(&e);
		doc_unref(d);
		buf_release(&text);
	}
	dns_hosts_init(&hosts);
	ok(dns_hosts_read(&hosts, STR_LIT("# a\n\n1.2.3.4 a b.c # d\n::1\tx\n"), &e) == 0 && map_count(hosts.names) == 3, "hosts");
	ok(dns_hosts_read(&hosts, STR_LIT("1.2.3.4 a\n1.2.3 b\n"), &e) < 0 && streq(err_msg(&e), "line 2: '1.2.3' is no IP address"),
	   "hosts that are none");
	err_release(&e);
	ok(dns_hosts_read(&hosts, STR_LIT("1.2.3.4 a..b\n"), &e) < 0, "names that are none");
	err_release(&e);
	dns_hosts_release(&hosts);
}

static void release(struct dns *d)
{
	dns_index_release(&d->index);
	dns_hosts_release(&d->hosts);
	map_free(d->node_addrs);
	dns_cache_free(d->cache);
	loop_free(d->loop);
	free(d);
}

int main(void)
{
	static struct dns_servers servers = { .refs = 1, .n = 1 };
	struct dns *d = xcalloc(1, sizeof(*d));
	struct err e = ERR_INIT;

	test_names();
	test_queries();
	test_compression();
	test_config();

	d->loop = loop_new();
	loop_virtual(d->loop, 1700000000);
	d->cache = dns_cache_new(d->loop);
	(void)dns_name_parse(&d->domain, STR_LIT("cluster.local"));
	(void)net_prefix_parse(&d->ours[0], "10.42.0.0/16");
	(void)net_prefix_parse(&d->ours[1], "10.43.0.0/16");
	d->n_ours = 2;
	(void)net_addr_parse(&d->sockets[0].addr, "10.43.0.10");
	d->n_sockets = 1;
	dns_index_init(&d->index);
	dns_hosts_init(&d->hosts);
	ok(dns_hosts_read(&d->hosts, STR_LIT("192.0.2.7 printer.corp\n2001:db8::7 printer\n"), &e) == 0, "hosts of the cluster");
	test_route = &servers;
	fill(d);
	test_answers(d);
	test_more_answers(d);
	test_large(d);
	test_cache(d);
	test_outcome(d);
	release(d);
	return done_testing();
}
