/*
 * Host ports: which port of this machine leads to which port of which pod. The
 * list is in memory and in a file, one "ID PROTOCOL HOST-IP HOST-PORT IP PORT" a
 * line, so that a daemon that comes back has them from the start; the kernel is
 * given all of them in one piece (nft.c), as they are few and change with pods
 * only.
 *
 * A connection from this machine to 127.0.0.1 is led to the pod, too, which needs
 * route_localnet on the bridge.
 */
#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "base/path.h"
#include "base/vec.h"
#include "net/internal.h"

#define PORTS_FILE_MAX (8 << 20)
#define PORTS_ANY "0.0.0.0" /* of both families */

struct port {
	char *id;
	struct nft_port p;
};

struct ports {
	struct nft *nft;
	char *bridge, *file;
	struct nft_net nets[2];
	size_t n_nets;
	VEC(struct port) list;
};

static bool port_parse(struct str line, struct port *out)
{
	struct str id = str_cut(&line, ' '), field[5];
	uint64_t n[3];
	char ip[2][NET_ADDR_TEXT];

	for (size_t i = 0; i < ARRAY_SIZE(field); i++)
		field[i] = str_cut(&line, ' ');
	if (!id.n || !str_to_u64(field[0], &n[0]) || !str_to_u64(field[2], &n[1]) || !str_to_u64(field[4], &n[2]) ||
	    n[0] > 255 || n[1] > 65535 || n[2] > 65535)
		return false;
	snprintf(ip[0], sizeof(ip[0]), "%" STR_FMT, STR_ARG(field[1]));
	snprintf(ip[1], sizeof(ip[1]), "%" STR_FMT, STR_ARG(field[3]));
	*out = (struct port){ .p = { .protocol = n[0], .host_port = n[1], .port = n[2] } };
	if ((!streq(ip[0], PORTS_ANY) && !net_addr_parse(&out->p.host_ip, ip[0])) || !net_addr_parse(&out->p.ip, ip[1]))
		return false;
	out->id = str_dup(id);
	return true;
}

static int ports_load(struct ports *p, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	struct str rest;
	struct port one;

	if (!path_exists(p->file))
		return 0;
	if (path_read(p->file, PORTS_FILE_MAX, &text, e) < 0)
		return err_wrap(e, "read the host ports");
	rest = buf_str(&text);
	while (rest.p)
		if (port_parse(str_cut(&rest, '\n'), &one))
			VEC_PUSH(&p->list, one);
	return 0;
}

static int ports_save(struct ports *p, struct err *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	_cleanup_free_ char *tmp = xasprintf("%s.new", p->file);

	for (size_t i = 0; i < p->list.n; i++) {
		const struct port *o = &p->list.v[i];
		char host[NET_ADDR_TEXT], ip[NET_ADDR_TEXT];

		buf_addf(&text, "%s %d %s %d %s %d\n", o->id, o->p.protocol,
			 o->p.host_ip.family ? net_addr_print(&o->p.host_ip, host) : PORTS_ANY, o->p.host_port,
			 net_addr_print(&o->p.ip, ip), o->p.port);
	}
	if (path_write(tmp, buf_str(&text), 0600, e) < 0)
		return -e->code;
	return rename(tmp, p->file) < 0 ? err_errno(e, errno, "rename '%s'", tmp) : 0;
}

void ports_localnet(const char *bridge)
{
	_cleanup_free_ char *path = xasprintf("/proc/sys/net/ipv4/conf/%s/route_localnet", bridge);
	_cleanup_buf_ struct buf now = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;

	if (path_read(path, 16, &now, &e) == 0 && now.s[0] == '1')
		return;
	err_release(&e);
	if (path_write(path, STR_LIT("1"), 0644, &e) < 0)
		log_warn("host ports and node ports are not reached by 127.0.0.1", LE(&e));
}

static int ports_install(struct ports *p, struct err *e)
{
	struct nft_port *v = xreallocarray(NULL, p->list.n + 1, sizeof(*v));
	int r;

	if (p->list.n)
		ports_localnet(p->bridge);
	for (size_t i = 0; i < p->list.n; i++)
		v[i] = p->list.v[i].p;
	r = nft_set_ports(p->nft, p->nets, p->n_nets, v, p->list.n, e);
	free(v);
	return r < 0 ? err_wrap(e, "set up the host ports") : 0;
}

int ports_open(struct ports **ret, const struct ports_config *cfg, struct buf *missing, struct err *e)
{
	struct ports *p = xcalloc(1, sizeof(*p));
	_cleanup_err_ struct err lacks = ERR_INIT;

	p->nft = cfg->nft;
	p->bridge = xstrdup(cfg->bridge);
	p->file = xstrdup(cfg->file);
	for (; p->n_nets < cfg->n_nets && p->n_nets < ARRAY_SIZE(p->nets); p->n_nets++)
		p->nets[p->n_nets] = cfg->nets[p->n_nets];
	*ret = p;
	if (ports_load(p, e) < 0)
		return -e->code;
	if (nft_install_dstnat(p->nft, p->bridge, &lacks) < 0 || ports_install(p, &lacks) < 0)
		buf_addf(missing,
			 "host ports and services do not work: %s; load the kernel's nft_nat and nft_fib_inet modules\n",
			 err_msg(&lacks));
	return 0;
}

struct ports *ports_close(struct ports *p)
{
	if (!p)
		return NULL;
	for (size_t i = 0; i < p->list.n; i++)
		free(p->list.v[i].id);
	VEC_RELEASE(&p->list);
	free(p->bridge);
	free(p->file);
	free(p);
	return NULL;
}

static bool port_equal(const struct nft_port *a, const struct nft_port *b)
{
	return a->protocol == b->protocol && net_addr_equal(&a->host_ip, &b->host_ip) && a->host_port == b->host_port &&
	       a->port == b->port && net_addr_equal(&a->ip, &b->ip);
}

/* False where the address on the host's side is of the other family, or no address. */
static bool port_make(const struct net_port *v, const struct net_addr *ip, struct nft_port *out)
{
	*out = (struct nft_port){ .protocol = v->protocol, .host_port = v->host_port, .port = v->port, .ip = *ip };
	return str_empty(v->host_ip) ||
	       (net_addr_parse(&out->host_ip, v->host_ip) && out->host_ip.family == ip->family);
}

/* Exactly those, in that order? */
static bool ports_has(const struct ports *p, const char *id, const struct nft_port *v, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < p->list.n; i++)
		if (streq(p->list.v[i].id, id) && (k == n || !port_equal(&p->list.v[i].p, &v[k++])))
			return false;
	return k == n;
}

static void ports_drop(struct ports *p, const char *id)
{
	size_t k = 0;

	for (size_t i = 0; i < p->list.n; i++) {
		if (streq(p->list.v[i].id, id))
			free(p->list.v[i].id);
		else
			p->list.v[k++] = p->list.v[i];
	}
	p->list.n = k;
}

/* A port at an address of a family that the pod does not have leads nowhere, as with a CNI plug-in. */
int ports_set(struct ports *p, const char *id, const struct net_addr *ips, size_t n_ips, const struct net_port *v,
	      size_t n, struct err *e)
{
	_cleanup_free_ struct nft_port *made = xreallocarray(NULL, n * n_ips + 1, sizeof(*made));
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n_ips; j++)
			k += port_make(&v[i], &ips[j], &made[k]);
	if (ports_has(p, id, made, k))
		return 0;
	ports_drop(p, id);
	for (size_t i = 0; i < k; i++)
		VEC_PUSH(&p->list, ((struct port){ .id = xstrdup(id), .p = made[i] }));
	if (ports_save(p, e) < 0)
		return err_wrap(e, "keep the host ports");
	return ports_install(p, e);
}

static int ports_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void ports_keep(struct ports *p, const char *const *keep, size_t n)
{
	_cleanup_err_ struct err e = ERR_INIT;
	size_t before = p->list.n;

	for (size_t i = p->list.n; i-- > 0;) {
		const char *key = p->list.v[i].id;
		_cleanup_free_ char *id = NULL;

		if (n && bsearch(&key, keep, n, sizeof(*keep), ports_cmp))
			continue;
		id = xstrdup(key);
		ports_drop(p, id);
		i = p->list.n < i ? p->list.n : i;
	}
	if (p->list.n != before && (ports_save(p, &e) < 0 || ports_install(p, &e) < 0))
		log_warn("host ports of pods that are gone may stay", LE(&e));
}
