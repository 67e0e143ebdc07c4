/*
 * Addresses: each sandbox keeps the one it was given. Allocation goes round the
 * network, so that an address is not given out again soon. The file holds one
 * "ADDRESS ID" a line; it matters only while sandboxes live, so it is renamed
 * into place but not forced to the disk.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/path.h"
#include "net/internal.h"

#define IPAM_FILE_MAX (8 << 20)

struct ipam {
	char *file;
	uint32_t first, last, next; /* host order; first is the gateway */
	struct map *by_id; /* id -> (void *)(uintptr_t)address, host order */
	struct map *by_addr; /* 4 bytes -> ipam */
};

static struct str ipam_addr_key(const uint32_t *a)
{
	return str_n((const char *)a, sizeof(*a));
}

static void ipam_set(struct ipam *i, struct str id, uint32_t a)
{
	map_set(i->by_id, id, (void *)(uintptr_t)a);
	map_set(i->by_addr, ipam_addr_key(&a), i);
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
	while (rest.p) {
		struct str id = str_cut(&rest, '\n'), addr = str_cut(&id, ' ');
		_cleanup_free_ char *a = str_dup(addr);
		struct in_addr in;

		if (id.n && inet_pton(AF_INET, a, &in) == 1 && ntohl(in.s_addr) > i->first && ntohl(in.s_addr) <= i->last)
			ipam_set(i, id, ntohl(in.s_addr));
	}
	return 0;
}

int ipam_open(struct ipam **ret, const char *file, const struct net_cidr *cidr, struct err *e)
{
	struct ipam *i = xcalloc(1, sizeof(*i));
	uint32_t host = 0xffffffffu >> cidr->bits, net = ntohl(cidr->addr.s_addr) & ~host;

	i->file = xstrdup(file);
	i->first = net + 1;
	i->last = net + host - 1; /* without the broadcast address */
	i->next = i->first + 1;
	i->by_id = map_new(NULL);
	i->by_addr = map_new(NULL);
	if (ipam_load(i, e) < 0) {
		ipam_close(i);
		return err_wrap(e, "read the address allocations");
	}
	*ret = i;
	return 0;
}

struct ipam *ipam_close(struct ipam *i)
{
	if (!i)
		return NULL;
	map_free(i->by_id);
	map_free(i->by_addr);
	free(i->file);
	free(i);
	return NULL;
}

struct in_addr ipam_gateway(const struct ipam *i)
{
	return (struct in_addr){ htonl(i->first) };
}

static int ipam_save(struct ipam *i, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *tmp = xasprintf("%s.new", i->file);
	struct map_iter it = { 0 };

	while (map_next(i->by_id, &it)) {
		struct in_addr a = { htonl((uint32_t)(uintptr_t)it.value) };
		char s[INET_ADDRSTRLEN];

		buf_addf(&text, "%s %" STR_FMT "\n", inet_ntop(AF_INET, &a, s, sizeof(s)), STR_ARG(it.key));
	}
	if (path_write(tmp, buf_str(&text), 0600, e) < 0)
		return -e->code;
	if (rename(tmp, i->file) < 0)
		return err_errno(e, errno, "rename '%s'", tmp);
	return 0;
}

int ipam_take(struct ipam *i, const char *id, struct in_addr *ret, struct err *e)
{
	uint32_t a = (uint32_t)(uintptr_t)map_getc(i->by_id, id), tries = i->last - i->first;

	if (a) {
		ret->s_addr = htonl(a);
		return 0;
	}
	for (; tries; tries--) {
		a = i->next++;
		if (i->next > i->last)
			i->next = i->first + 1;
		if (!map_get(i->by_addr, ipam_addr_key(&a)))
			break;
	}
	if (!tries)
		return err_set(e, ERR_UNKNOWN, "no free pod address is left in this node's network");
	ipam_set(i, str_of(id), a);
	if (ipam_save(i, e) < 0) {
		ipam_give(i, id);
		return err_wrap(e, "keep the address allocation");
	}
	ret->s_addr = htonl(a);
	return 0;
}

int ipam_find(const struct ipam *i, const char *id, struct in_addr *ret)
{
	uint32_t a = (uint32_t)(uintptr_t)map_getc(i->by_id, id);

	ret->s_addr = htonl(a);
	return a ? 0 : -ENOENT;
}

static void ipam_drop(struct ipam *i, struct str id)
{
	uint32_t a = (uint32_t)(uintptr_t)map_get(i->by_id, id);

	map_del(i->by_addr, ipam_addr_key(&a));
	map_del(i->by_id, id);
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

void ipam_keep(struct ipam *i, const char *const *keep, size_t n)
{
	_cleanup_err_ struct err ignored = ERR_INIT;
	struct map_iter it = { 0 };
	bool changed = false;

	while (map_next(i->by_id, &it)) {
		_cleanup_free_ char *id = str_dup(it.key);
		const char *key = id;

		if (n && bsearch(&key, keep, n, sizeof(*keep), ipam_cmp))
			continue;
		ipam_drop(i, str_of(id));
		changed = true;
	}
	if (changed && ipam_save(i, &ignored) < 0)
		return;
}
