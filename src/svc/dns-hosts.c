/*
 * Names and addresses as /etc/hosts has them.
 */
#include "base/limits.h"
#include "svc/dns.h"

static void hosts_entry_free(void *p)
{
	struct dns_host *h = p;

	VEC_RELEASE(&h->v);
	free(h);
}

void dns_hosts_init(struct dns_hosts *h)
{
	h->names = map_new(hosts_entry_free);
	h->addrs = map_new(free);
}

void dns_hosts_release(struct dns_hosts *h)
{
	h->names = map_free(h->names);
	h->addrs = map_free(h->addrs);
}

bool dns_hosts_add(struct dns_hosts *h, struct str name, const struct net_addr *a)
{
	struct str addr = str_n((const char *)a->b, net_addr_len(a)), key;
	struct dns_host *host;
	struct dns_name n;

	if (!dns_name_parse(&n, name) || n.len == 1)
		return false;
	if (!map_get(h->addrs, addr))
		map_set(h->addrs, addr, xmemdup(&n, sizeof(n)));
	dns_name_lower(&n);
	key = str_n((const char *)n.b, n.len);
	host = map_get(h->names, key);
	if (!host) {
		host = xcalloc(1, sizeof(*host));
		map_set(h->names, key, host);
	}
	for (size_t i = 0; i < host->v.n; i++)
		if (net_addr_equal(&host->v.v[i], a))
			return true;
	VEC_PUSH(&host->v, *a);
	return true;
}

static struct str hosts_word(struct str *line)
{
	size_t n = 0;
	struct str word;

	*line = str_trim(*line);
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	word = str_sub(*line, 0, n);
	*line = str_sub(*line, n, line->n);
	return word;
}

int dns_hosts_read(struct dns_hosts *h, struct str text, struct err *e)
{
	size_t names = 0;

	for (int number = 1; text.p; number++) {
		struct str line = str_cut(&text, '\n'), word;
		char ip[NET_ADDR_TEXT] = "";
		struct net_addr a;

		line = str_cut(&line, '#');
		word = hosts_word(&line);
		if (!word.n)
			continue;
		if (word.n < sizeof(ip))
			memcpy(ip, word.p, word.n);
		if (!net_addr_parse(&a, ip))
			return err_set(e, ERR_INVALID, "line %d: '%s' is no IP address", number, ip);
		while ((word = hosts_word(&line)).n) {
			if (!dns_hosts_add(h, word, &a))
				return err_set(e, ERR_INVALID, "line %d: '%.*s' is no name", number, (int)(word.n > 60 ? 60 : word.n),
					       word.p);
			if (++names > LIMIT_DNS_HOSTS)
				return err_set(e, ERR_TOO_LARGE, "there are more than %d names", LIMIT_DNS_HOSTS);
		}
	}
	return 0;
}
