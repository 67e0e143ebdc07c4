/*
 * Addresses: each sandbox keeps those that it was given, one of each network of
 * this node. Allocation goes round a network, so that an address is not given out
 * again soon. The file holds one "ADDRESS[,ADDRESS] ID [routed]" a line; it matters
 * only while sandboxes live, so it is renamed into place but not forced to the disk.
 * Lines without "routed" are of an earlier version, whose links are not isolated.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/path.h"
#include "net/internal.h"

#define IPAM_FILE_MAX (8 << 20)
#define IPAM_HOST_BITS 24 /* so many addresses of a larger network are used */

struct ipam_range {
	struct net_prefix net; /* its first address */
	uint32_t last, next; /* offsets; 1 is the gateway */
	struct map *taken; /* 4 bytes of offset -> the range */
};

struct ipam_entry {
	uint32_t at[NET_FAMILIES]; /* offsets in the ranges; 0: none */
	bool routed;
};

struct ipam {
	char *file;
	struct ipam_range ranges[NET_FAMILIES];
	size_t n;
	struct map *by_id; /* struct ipam_entry */
};

static struct str ipam_key(const uint32_t *at)
{
	return str_n((const char *)at, sizeof(*at));
}

static struct net_addr ipam_addr(const struct ipam_range *r, uint32_t at)
{
	struct net_addr a = r->net.addr;
	uint8_t *low = a.b + net_addr_len(&a) - 4;
	uint32_t v;

	memcpy(&v, low, 4);
	v = htonl(ntohl(v) + at);
	memcpy(low, &v, 4);
	return a;
}

/* 0: not in there. */
static uint32_t ipam_offset(const struct ipam_range *r, const struct net_addr *a)
{
	size_t len = net_addr_len(a);
	uint32_t v, first;

	if (!net_prefix_has(&r->net, a) || memcmp(a->b, r->net.addr.b, len - 4) != 0)
		return 0;
	memcpy(&v, a->b + len - 4, 4);
	memcpy(&first, r->net.addr.b + len - 4, 4);
	v = ntohl(v) - ntohl(first);
	return v > 1 && v <= r->last ? v : 0;
}

static struct ipam_entry *ipam_entry(struct ipam *i, struct str id)
{
	struct ipam_entry *en = map_get(i->by_id, id);

	if (!en) {
		en = xcalloc(1, sizeof(*en));
		map_set(i->by_id, id, en);
	}
	return en;
}

static void ipam_load_line(struct ipam *i, struct str line)
{
	struct str addrs = str_cut(&line, ' '), id = str_cut(&line, ' ');
	struct ipam_entry *en;

	if (!id.n)
		return;
	en = ipam_entry(i, id);
	en->routed = str_eqc(line, "routed");
	while (addrs.p) {
		_cleanup_free_ char *text = str_dup(str_cut(&addrs, ','));
		struct net_addr a;

		for (size_t k = 0; k < i->n && net_addr_parse(&a, text); k++) {
			uint32_t at = ipam_offset(&i->ranges[k], &a);

			if (!at)
				continue;
			en->at[k] = at;
			map_set(i->ranges[k].taken, ipam_key(&at), i);
		}
	}
	if (!en->at[0] && !en->at[NET_FAMILIES - 1]) {
		map_del(i->by_id, id);
		free(en);
	}
}

static int ipam_load(struct ipam *i, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct str rest;

	if (!path_exists(i->file))
		return 0;
	if (path_read(i->file, IPAM_FILE_MAX, &text, e) < 0)
		return -e->code;
	rest = buf_str(&text);
	while (rest.p)
		ipam_load_line(i, str_cut(&rest, '\n'));
	return 0;
}

static void ipam_range_init(struct ipam_range *r, const struct net_prefix *net)
{
	unsigned host = 8 * (unsigned)net_addr_len(&net->addr) - net->bits;

	r->net = *net;
	net_prefix_first(&r->net);
	r->last = (1u << (host > IPAM_HOST_BITS ? IPAM_HOST_BITS : host)) - 2; /* without the broadcast address */
	r->next = 2;
	r->taken = map_new(NULL);
}

int ipam_open(struct ipam **ret, const char *file, const struct net_prefix *nets, size_t n, struct err *e)
{
	struct ipam *i = xcalloc(1, sizeof(*i));

	i->file = xstrdup(file);
	i->by_id = map_new(NULL);
	for (i->n = 0; i->n < n; i->n++)
		ipam_range_init(&i->ranges[i->n], &nets[i->n]);
	if (ipam_load(i, e) < 0) {
		ipam_close(i);
		return err_wrap(e, "read the address allocations");
	}
	*ret = i;
	return 0;
}

struct ipam *ipam_close(struct ipam *i)
{
	struct map_iter it = { 0 };

	if (!i)
		return NULL;
	while (map_next(i->by_id, &it))
		free(it.value);
	map_free(i->by_id);
	for (size_t k = 0; k < i->n; k++)
		map_free(i->ranges[k].taken);
	free(i->file);
	free(i);
	return NULL;
}

struct net_addr ipam_gateway(const struct ipam *i, size_t k)
{
	return ipam_addr(&i->ranges[k], 1);
}

static void ipam_addrs(const struct ipam *i, const struct ipam_entry *en, struct ipam_lease *ret)
{
	*ret = (struct ipam_lease){ .routed = en->routed };
	for (size_t k = 0; k < i->n; k++)
		if (en->at[k])
			ret->addrs[ret->n++] = ipam_addr(&i->ranges[k], en->at[k]);
}

static int ipam_save(struct ipam *i, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *tmp = xasprintf("%s.new", i->file);
	struct map_iter it = { 0 };

	while (map_next(i->by_id, &it)) {
		struct ipam_lease l;
		char s[NET_ADDR_TEXT];

		ipam_addrs(i, it.value, &l);
		for (size_t k = 0; k < l.n; k++)
			buf_addf(&text, "%s%s", k ? "," : "", net_addr_print(&l.addrs[k], s));
		buf_addf(&text, " %" STR_FMT "%s\n", STR_ARG(it.key), l.routed ? " routed" : "");
	}
	if (path_write(tmp, buf_str(&text), 0600, e) < 0)
		return -e->code;
	if (rename(tmp, i->file) < 0)
		return err_errno(e, errno, "rename '%s'", tmp);
	return 0;
}

/* 0: all are taken. */
static uint32_t ipam_pick(struct ipam_range *r)
{
	for (uint32_t tries = r->last - 1; tries; tries--) {
		uint32_t at = r->next++;

		if (r->next > r->last)
			r->next = 2;
		if (!map_get(r->taken, ipam_key(&at)))
			return at;
	}
	return 0;
}

static void ipam_drop(struct ipam *i, struct str id)
{
	struct ipam_entry *en = map_get(i->by_id, id);

	for (size_t k = 0; k < i->n; k++)
		if (en->at[k])
			map_del(i->ranges[k].taken, ipam_key(&en->at[k]));
	map_del(i->by_id, id);
	free(en);
}

int ipam_take(struct ipam *i, const char *id, struct ipam_lease *ret, struct err *e)
{
	struct ipam_entry *en = ipam_entry(i, str_of(id));
	bool changed = !en->routed;
	char net[NET_ADDR_TEXT];

	en->routed = true;
	for (size_t k = 0; k < i->n; k++) {
		struct ipam_range *r = &i->ranges[k];

		if (en->at[k])
			continue;
		changed = true;
		en->at[k] = ipam_pick(r);
		if (!en->at[k]) {
			ipam_drop(i, str_of(id));
			return err_set(e, ERR_UNKNOWN, "no free pod address is left in this node's network %s/%u",
				       net_addr_print(&r->net.addr, net), r->net.bits);
		}
		map_set(r->taken, ipam_key(&en->at[k]), i);
	}
	ipam_addrs(i, en, ret);
	if (changed && ipam_save(i, e) < 0) {
		ipam_give(i, id);
		return err_wrap(e, "keep the address allocation");
	}
	return 0;
}

int ipam_find(const struct ipam *i, const char *id, struct ipam_lease *ret)
{
	const struct ipam_entry *en = map_getc(i->by_id, id);

	if (!en)
		return -ENOENT;
	ipam_addrs(i, en, ret);
	return 0;
}

void ipam_give(struct ipam *i, const char *id)
{
	_cleanup_err_ struct err ignored = ERR_INIT; /* a stale line is dropped by ipam_keep at the next start */

	if (!map_getc(i->by_id, id))
		return;
	ipam_drop(i, str_of(id));
	if (ipam_save(i, &ignored) < 0)
		return;
}

static int ipam_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void ipam_keep(struct ipam *i, const char *const *keep, size_t n,
	       void (*each)(void *arg, const char *id, const struct ipam_lease *l, bool kept), void *arg)
{
	_cleanup_err_ struct err ignored = ERR_INIT;
	struct map_iter it = { 0 };
	bool changed = false;

	while (map_next(i->by_id, &it)) {
		_cleanup_free_ char *id = str_dup(it.key);
		const char *key = id;
		bool kept = n && bsearch(&key, keep, n, sizeof(*keep), ipam_cmp);
		struct ipam_lease l;

		ipam_addrs(i, it.value, &l);
		each(arg, id, &l, kept);
		if (kept)
			continue;
		ipam_drop(i, str_of(id));
		changed = true;
	}
	if (changed && ipam_save(i, &ignored) < 0)
		return;
}
