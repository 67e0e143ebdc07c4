/*
 * The files that every container of a pod gets: /etc/hosts, /etc/hostname and
 * /etc/resolv.conf, made once for the pod below its directory and mounted into
 * each container. Wording and rules are the kubelet's.
 */
#include <sys/stat.h>

#include "node/internal.h"

#define FILES_MAX (64u << 10)
#define DNS_SERVERS 3
#define DNS_SEARCHES 32
#define DNS_NAME_CHARS 253
#define DNS_SEARCH_CHARS 2048

static void hosts_line(struct buf *out, const char *ip, const char *hostname, const char *fqdn)
{
	if (*ip && !str_empty(fqdn))
		buf_addf(out, "%s\t%s\t%s\n", ip, fqdn, hostname);
	else if (*ip)
		buf_addf(out, "%s\t%s\n", ip, hostname);
}

void files_hosts(struct buf *out, const char *ip, const char *ip2, const char *hostname, const char *fqdn,
		 const struct node *aliases)
{
	buf_adds(out, "# Kubernetes-managed hosts file.\n"
		      "127.0.0.1\tlocalhost\n"
		      "::1\tlocalhost ip6-localhost ip6-loopback\n"
		      "fe00::0\tip6-localnet\n"
		      "fe00::0\tip6-mcastprefix\n"
		      "fe00::1\tip6-allnodes\n"
		      "fe00::2\tip6-allrouters\n");
	hosts_line(out, ip, hostname, fqdn);
	hosts_line(out, ip2, hostname, fqdn);
	if (!node_count(aliases))
		return;
	buf_adds(out, "\n# Entries added by HostAliases.\n");
	NODE_FOREACH (al, aliases) {
		buf_adds(out, node_gets(al, F_ip));
		NODE_FOREACH (h, node_get(al, F_hostnames))
			buf_addf(out, "\t%s", node_cstr_or(h, ""));
		buf_addch(out, '\n');
	}
}

static void hosts_of_host(struct buf *out, const struct node *aliases)
{
	_cleanup_err_ struct err e = ERR_INIT;
	_cleanup_buf_ struct buf host = BUF_INIT, tail = BUF_INIT;
	const char *p;

	buf_adds(out, "# Kubernetes-managed hosts file (host network).\n");
	if (path_read("/etc/hosts", FILES_MAX, &host, &e) == 0)
		buf_add(out, host.s, host.len);
	files_hosts(&tail, "", "", "", NULL, aliases);
	p = strstr(tail.s, "\n# Entries added by HostAliases.");
	if (p)
		buf_adds(out, p);
}

/* --- resolv.conf --- */

struct resolv_parts {
	VEC(char *) servers, searches, options;
};

static void parts_release(struct resolv_parts *p)
{
	for (size_t i = 0; i < p->servers.n; i++)
		free(p->servers.v[i]);
	for (size_t i = 0; i < p->searches.n; i++)
		free(p->searches.v[i]);
	for (size_t i = 0; i < p->options.n; i++)
		free(p->options.v[i]);
	VEC_RELEASE(&p->servers);
	VEC_RELEASE(&p->searches);
	VEC_RELEASE(&p->options);
}

static struct str next_word(struct str *s)
{
	size_t i = 0, b;

	while (i < s->n && (s->p[i] == ' ' || s->p[i] == '\t'))
		i++;
	b = i;
	while (i < s->n && s->p[i] != ' ' && s->p[i] != '\t')
		i++;
	struct str w = str_sub(*s, b, i);
	*s = str_sub(*s, i, s->n);
	return w;
}

static void push_unique(char ***v, size_t *n, size_t *cap, struct str s)
{
	for (size_t i = 0; i < *n; i++)
		if (str_eqc(s, (*v)[i]))
			return;
	if (*n == *cap)
		*v = xreallocarray(*v, *cap = *cap ? *cap * 2 : 4, sizeof(**v));
	(*v)[(*n)++] = str_dup(s);
}
#define PUSH_UNIQUE(vec, s) push_unique(&(vec)->v, &(vec)->n, &(vec)->cap, (s))

static void parse_resolv(struct resolv_parts *p, struct str text)
{
	while (text.p) {
		struct str line = str_trim(str_cut(&text, '\n')), key = next_word(&line), w;

		if (str_eqc(key, "nameserver")) {
			w = next_word(&line);
			if (w.n)
				PUSH_UNIQUE(&p->servers, w);
		} else if (str_eqc(key, "search")) {
			while (p->searches.n) /* the last line counts */
				free(p->searches.v[--p->searches.n]);
			while ((w = next_word(&line)).n) {
				if (w.p[w.n - 1] == '.')
					w.n--;
				if (w.n)
					PUSH_UNIQUE(&p->searches, w);
			}
		} else if (str_eqc(key, "options")) {
			while (p->options.n)
				free(p->options.v[--p->options.n]);
			while ((w = next_word(&line)).n)
				PUSH_UNIQUE(&p->options, w);
		}
	}
}

/* A dnsConfig option replaces the one of the same name. */
static void set_option(struct resolv_parts *p, const char *name, const char *value)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < p->options.n; i++) {
		char *o = p->options.v[i];

		if (strncmp(o, name, n) == 0 && (o[n] == '\0' || o[n] == ':')) {
			free(o);
			VEC_REMOVE(&p->options, i);
			break;
		}
	}
	VEC_PUSH(&p->options, value && *value ? xasprintf("%s:%s", name, value) : xstrdup(name));
}

static void cluster_parts(struct resolv_parts *p, const struct resolv *r)
{
	struct resolv_parts host = {0};

	for (size_t i = 0; i < p->servers.n; i++)
		free(p->servers.v[i]);
	p->servers.n = 0;
	host.searches.v = p->searches.v, host.searches.n = p->searches.n, host.searches.cap = p->searches.cap;
	p->searches.v = NULL;
	p->searches.n = p->searches.cap = 0;
	for (struct str dns = str_of(r->dns); dns.p;) {
		struct str one = str_trim(str_cut(&dns, ','));

		PUSH_UNIQUE(&p->servers, one);
	}
	if (!str_empty(r->domain)) {
		VEC_PUSH(&p->searches, xasprintf("%s.svc.%s", r->ns, r->domain));
		VEC_PUSH(&p->searches, xasprintf("svc.%s", r->domain));
		VEC_PUSH(&p->searches, xstrdup(r->domain));
	}
	for (size_t i = 0; i < host.searches.n; i++)
		PUSH_UNIQUE(&p->searches, str_of(host.searches.v[i]));
	parts_release(&host);
	while (p->options.n) /* the host's are not the cluster's */
		free(p->options.v[--p->options.n]);
	set_option(p, "ndots", "5");
}

static char *words(char *const *v, size_t n)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s%s", i ? " " : "", v[i]);
	return b.s ? buf_detach(&b, NULL) : xstrdup("");
}

static void drop_from(struct resolv_parts *p, size_t at)
{
	while (p->searches.n > at)
		free(p->searches.v[--p->searches.n]);
}

/* What resolvers can't take is left out, and the pod is told. */
static void fit_limits(struct resolv_parts *p, struct resolv *r)
{
	_cleanup_free_ char *line = NULL;
	bool cut = p->searches.n > DNS_SEARCHES;
	size_t len = 0;

	if (p->servers.n > DNS_SERVERS) {
		while (p->servers.n > DNS_SERVERS)
			free(p->servers.v[--p->servers.n]);
		line = words(p->servers.v, p->servers.n);
		r->servers_cut = xasprintf("Nameserver limits were exceeded, some nameservers have been omitted, the "
					   "applied nameserver line is: %s",
					   line);
		line = free_null(line);
	}
	drop_from(p, DNS_SEARCHES);
	for (size_t i = 0; i < p->searches.n;) {
		if (strlen(p->searches.v[i]) <= DNS_NAME_CHARS) {
			i++;
			continue;
		}
		cut = true;
		free(p->searches.v[i]);
		VEC_REMOVE(&p->searches, i);
	}
	for (size_t i = 0; i < p->searches.n; i++) {
		len += strlen(p->searches.v[i]) + (i > 0);
		if (len > DNS_SEARCH_CHARS) {
			drop_from(p, i);
			cut = true;
		}
	}
	if (!cut)
		return;
	line = words(p->searches.v, p->searches.n);
	r->searches_cut = xasprintf("Search Line limits were exceeded, some search paths have been omitted, the applied "
				    "search line is: %s",
				    line);
}

void files_resolv(struct buf *out, struct resolv *r)
{
	struct resolv_parts p = {0};
	bool none = streq(r->policy, "None");
	bool cluster = streq(r->policy, "ClusterFirstWithHostNet") ||
		       (!none && !streq(r->policy, "Default") && !r->host_network);

	if (!none)
		parse_resolv(&p, r->host);
	if (cluster && !str_empty(r->dns))
		cluster_parts(&p, r);
	NODE_FOREACH (s, node_get(r->config, F_nameservers))
		PUSH_UNIQUE(&p.servers, node_str(s));
	NODE_FOREACH (s, node_get(r->config, F_searches))
		PUSH_UNIQUE(&p.searches, node_str(s));
	NODE_FOREACH (o, node_get(r->config, F_options))
		set_option(&p, node_gets(o, F_name), node_cstr(node_get(o, F_value)));
	fit_limits(&p, r);
	for (size_t i = 0; i < p.searches.n; i++)
		buf_addf(out, "%s%s", i ? " " : "search ", p.searches.v[i]);
	if (p.searches.n)
		buf_addch(out, '\n');
	for (size_t i = 0; i < p.servers.n; i++)
		buf_addf(out, "nameserver %s\n", p.servers.v[i]);
	for (size_t i = 0; i < p.options.n; i++)
		buf_addf(out, "%s%s", i ? " " : "options ", p.options.v[i]);
	if (p.options.n)
		buf_addch(out, '\n');
	parts_release(&p);
}

/* The host's own file; systemd-resolved's stub address is of no use in another network namespace. */
static void host_resolv(struct node_agent *n, bool host_network, struct buf *out)
{
	static const char *const behind_stub = "/run/systemd/resolve/resolv.conf";
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_read(n->resolv_conf, FILES_MAX, out, &e) < 0) {
		buf_clear(out);
		return;
	}
	if (!host_network && strstr(out->s, "nameserver 127.0.0.53") && path_exists(behind_stub)) {
		buf_clear(out);
		err_release(&e);
		if (path_read(behind_stub, FILES_MAX, out, &e) < 0)
			buf_clear(out);
	}
}

static int put(struct pod *p, const char *name, const struct buf *b, struct err *e)
{
	_cleanup_free_ char *dir = pod_dir(p);
	_cleanup_free_ char *path = path_join(dir, name);

	return path_write(path, buf_str(b), 0644, e);
}

/* The four policies, and the pod's own servers and names. */
static void write_resolv(struct pod *p, struct buf *out)
{
	const struct node *spec = pod_spec(p);
	_cleanup_buf_ struct buf host = BUF_INIT;
	struct resolv r = {
		.policy = node_cstr_or(node_get(spec, F_dnsPolicy), "ClusterFirst"),
		.ns = p->ns,
		.dns = p->agent->dns,
		.domain = p->agent->domain,
		.host_network = pod_host_network(p),
		.config = node_get(spec, F_dnsConfig),
	};

	if (str_empty(r.dns) &&
	    (streq(r.policy, "ClusterFirstWithHostNet") || (streq(r.policy, "ClusterFirst") && !r.host_network)))
		pod_event(p, NULL, "Warning", "MissingClusterDNS",
			  "pod: \"%s_%s(%s)\". kubelet does not have ClusterDNS IP configured and cannot create Pod using "
			  "\"ClusterFirst\" policy. Falling back to \"Default\" policy.",
			  p->name, p->ns, p->uid);
	host_resolv(p->agent, r.host_network, &host);
	r.host = buf_str(&host);
	files_resolv(out, &r);
	if (r.servers_cut)
		pod_event(p, NULL, "Warning", "DNSConfigForming", "%s", r.servers_cut);
	if (r.searches_cut)
		pod_event(p, NULL, "Warning", "DNSConfigForming", "%s", r.searches_cut);
	free(r.servers_cut);
	free(r.searches_cut);
}

int files_write(struct pod *p, struct err *e)
{
	const struct node *spec = pod_spec(p);
	_cleanup_free_ char *kernel = spec_hostname(p), *host = NULL, *domain = NULL, *fqdn = NULL;
	_cleanup_buf_ struct buf hosts = BUF_INIT, name = BUF_INIT, resolv = BUF_INIT;

	if (spec_names(p, &host, &domain, e) < 0)
		return -e->code;
	if (domain)
		fqdn = xasprintf("%s.%s", host, domain);
	if (pod_host_network(p))
		hosts_of_host(&hosts, node_get(spec, F_hostAliases));
	else
		files_hosts(&hosts, p->ip, p->ip2, host, fqdn, node_get(spec, F_hostAliases));
	buf_addf(&name, "%s\n", kernel);
	write_resolv(p, &resolv);
	if (put(p, "etc-hosts", &hosts, e) < 0 || put(p, "hostname", &name, e) < 0 ||
	    put(p, "resolv.conf", &resolv, e) < 0)
		return -e->code;
	return 0;
}
