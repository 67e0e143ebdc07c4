/*
 * The ConfigMap kube-system/kube-dns, in the form that Kubernetes documents for
 * kube-dns:
 *
 *	stubDomains		JSON: {"acme.local": ["1.2.3.4", "1.2.3.5:5353"]}
 *	upstreamNameservers	JSON: ["8.8.8.8"], instead of the host's, at most three
 *	hosts			lines of /etc/hosts, before all other names
 *
 * It is taken whole or not at all.
 */
#include <stdio.h>

#include "base/limits.h"
#include "svc/dns.h"

#define CONFIG_UPSTREAMS 3

/* --- groups of servers --- */

struct dns_servers *dns_servers_new(void)
{
	struct dns_servers *s = xcalloc(1, sizeof(*s));

	s->refs = 1;
	s->zone.len = 1;
	return s;
}

struct dns_servers *dns_servers_ref(struct dns_servers *s)
{
	s->refs++;
	return s;
}

struct dns_servers *dns_servers_unref(struct dns_servers *s)
{
	if (s && --s->refs == 0)
		free(s);
	return NULL;
}

bool dns_servers_add(struct dns_servers *s, struct str text)
{
	struct str host = text, port = STR_NONE;
	char ip[NET_ADDR_TEXT] = "";
	struct net_addr a;
	uint64_t n = DNS_PORT;

	if (str_starts(text, STR_LIT("["))) {
		port = text;
		host = str_cut(&port, ']');
		host = str_sub(host, 1, host.n);
		if (port.n && port.p[0] != ':')
			return false;
		port = str_sub(port, 1, port.n);
	} else if (str_find(text, ':') == str_rfind(text, ':')) {
		port = text;
		host = str_cut(&port, ':');
	}
	if (host.n >= sizeof(ip) || s->n == DNS_MAX_SERVERS || (port.n && (!str_to_u64(port, &n) || !n || n > 65535)))
		return false;
	snprintf(ip, sizeof(ip), "%" STR_FMT, STR_ARG(host));
	if (!net_addr_parse(&a, ip))
		return false;
	s->v[s->n++] = (struct dns_server){ .addr = a, .port = (uint16_t)n };
	return true;
}

/* --- the ConfigMap --- */

static int config_json(struct doc **ret, struct str text, enum doc_type type, struct err *e)
{
	if (doc_parse_json(ret, text, NULL, e) < 0)
		return -e->code;
	if (node_is(doc_root(*ret), type))
		return 0;
	return err_set(e, ERR_INVALID, "it is no JSON %s", type == DOC_ARRAY ? "array" : "object");
}

static int config_servers(struct dns_servers *s, const struct node *list, size_t max, struct err *e)
{
	if (!node_is(list, DOC_ARRAY) || !node_count(list))
		return err_set(e, ERR_INVALID, "it is no list of IP addresses");
	if (node_count(list) > max)
		return err_set(e, ERR_INVALID, "there are more than %zu name servers", max);
	NODE_FOREACH(x, list) {
		struct str text = node_str(x);

		if (!dns_servers_add(s, text))
			return err_set(e, ERR_INVALID, "'%.*s' is no IP address, with or without a port",
				       (int)(text.n > 60 ? 60 : text.n), text.p ? text.p : "");
	}
	return 0;
}

static int config_stub(struct dns_config *c, const struct node *stub, const struct dns_name *domain, struct err *e)
{
	struct str name = node_key(stub);
	struct dns_servers *s = dns_servers_new();

	VEC_PUSH(&c->stubs, s);
	if (c->stubs.n > LIMIT_DNS_STUBS)
		return err_set(e, ERR_INVALID, "there are more than %d domains", LIMIT_DNS_STUBS);
	if (!dns_name_parse(&s->zone, name) || s->zone.len == 1)
		return err_set(e, ERR_INVALID, "'%.*s' is no domain", (int)(name.n > 60 ? 60 : name.n), name.p);
	if (dns_name_below(&s->zone, domain) >= 0)
		return err_set(e, ERR_INVALID, "'%" STR_FMT "' is the cluster's own domain", STR_ARG(name));
	if (config_servers(s, stub, DNS_MAX_SERVERS, e) < 0)
		return err_wrap(e, "%" STR_FMT, STR_ARG(name));
	return 0;
}

static int config_stubs(struct dns_config *c, struct str text, const struct dns_name *domain, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	if (config_json(&d, text, DOC_OBJECT, e) < 0)
		return err_wrap(e, "stubDomains");
	NODE_FOREACH(stub, doc_root(d))
		if (config_stub(c, stub, domain, e) < 0)
			return err_wrap(e, "stubDomains");
	return 0;
}

static int config_upstream(struct dns_config *c, struct str text, struct err *e)
{
	_cleanup_doc_ struct doc *d = NULL;

	c->upstream = dns_servers_new();
	if (config_json(&d, text, DOC_ARRAY, e) < 0 || config_servers(c->upstream, doc_root(d), CONFIG_UPSTREAMS, e) < 0)
		return err_wrap(e, "upstreamNameservers");
	return 0;
}

int dns_config_read(struct dns_config *c, const struct node *data, const struct dns_name *domain, struct err *e)
{
	struct str stubs = node_str(node_getc(data, "stubDomains")),
		   upstream = node_str(node_getc(data, "upstreamNameservers"));

	*c = (struct dns_config){ .hosts = node_str(node_getc(data, "hosts")) };
	if ((str_trim(stubs).n && config_stubs(c, stubs, domain, e) < 0) ||
	    (str_trim(upstream).n && config_upstream(c, upstream, e) < 0)) {
		dns_config_release(c);
		return -e->code;
	}
	return 0;
}

void dns_config_release(struct dns_config *c)
{
	for (size_t i = 0; i < c->stubs.n; i++)
		dns_servers_unref(c->stubs.v[i]);
	VEC_RELEASE(&c->stubs);
	c->upstream = dns_servers_unref(c->upstream);
}
