/*
 * The networks of a cluster: --cluster-cidr, --service-cidr, --node-ip and
 * --cluster-dns name one or both families, in the same order, as k3s and
 * kube-apiserver have it. The first one is the primary family: of the Service
 * `kubernetes`, of what pods and Services get that ask for nothing else.
 */
#include <stdio.h>
#include <sys/socket.h>

#include "base/log.h"
#include "cli/server.h"

#define SHARE_V4 24 /* a node's share of the cluster's network */
#define SHARE_V6 64
#define DNS_HOST 10 /* the name server is the tenth address of the Services' network */

/* Sizes that a network may have. */
static const struct limits {
	int family;
	unsigned pods_min, pods_max, services_min, services_max;
	const char *pods_example, *services_example;
} limits[] = {
	{ AF_INET, 8, 28, 8, 28, "10.42.0.0/16", "10.43.0.0/16" },
	{ AF_INET6, 16, 124, 64, 124, "fd42::/56", "fd43::/112" },
};

static const struct limits *limits_of(int family)
{
	return &limits[family == AF_INET6];
}

static const char *family_name(int family)
{
	return family == AF_INET6 ? "IPv6" : "IPv4";
}

static int read_networks(struct net_prefix v[NET_FAMILIES], size_t *n, const char *option, const char *text, bool services,
			 struct err *e)
{
	int count = net_prefixes_parse(v, text);

	if (count < 1)
		return err_set(e, ERR_BAD_REQUEST,
			       "--%s '%s' is no network such as %s, or one of IPv4 and one of IPv6 such as %s,%s", option, text,
			       services ? limits[0].services_example : limits[0].pods_example,
			       services ? limits[0].services_example : limits[0].pods_example,
			       services ? limits[1].services_example : limits[1].pods_example);
	for (*n = 0; *n < (size_t)count; (*n)++) {
		const struct limits *l = limits_of(v[*n].addr.family);
		unsigned min = services ? l->services_min : l->pods_min, max = services ? l->services_max : l->pods_max;

		if (v[*n].bits < min || v[*n].bits > max)
			return err_set(e, ERR_BAD_REQUEST, "--%s '%s': an %s network there has /%u to /%u", option, text,
				       family_name(v[*n].addr.family), min, max);
		net_prefix_first(&v[*n]);
	}
	return 0;
}

static int check_families(const struct net_prefix *pods, size_t n_pods, const struct net_prefix *services, size_t n_services,
			  const struct server_opts *o, struct err *e)
{
	bool same = n_pods == n_services;

	for (size_t k = 0; k < n_pods && same; k++)
		same = pods[k].addr.family == services[k].addr.family;
	if (!same)
		return err_set(e, ERR_BAD_REQUEST,
			       "--cluster-cidr '%s' and --service-cidr '%s' must have the same IP families in the same order (IPv4, "
			       "IPv6, or both)",
			       o->cluster_cidr, o->service_cidr);
	for (size_t k = 0; k < n_pods; k++)
		if (net_prefix_overlaps(&pods[k], &services[k]))
			return err_set(e, ERR_BAD_REQUEST, "--cluster-cidr '%s' and --service-cidr '%s' overlap",
				       o->cluster_cidr, o->service_cidr);
	return 0;
}

/* What was given for each family, else what this machine has; of the primary family there is always one. */
static int read_node_ips(struct cluster_net *c, const struct net_prefix *pods, size_t n, const struct server_opts *o,
			 struct err *e)
{
	for (struct str rest = str_of(str_empty(o->node_ip) ? NULL : o->node_ip); rest.p;) {
		_cleanup_free_ char *text = str_dup(str_trim(str_cut(&rest, ',')));
		struct net_addr a;
		size_t k = 0;

		if (!net_addr_parse(&a, text))
			return err_set(e, ERR_BAD_REQUEST, "--node-ip '%s': '%s' is no address", o->node_ip, text);
		while (k < n && pods[k].addr.family != a.family)
			k++;
		if (k == n)
			return err_set(e, ERR_BAD_REQUEST,
				       "--node-ip '%s' and --cluster-cidr '%s' must have the same IP families: pods have no %s",
				       o->node_ip, o->cluster_cidr, family_name(a.family));
		if (*c->node_ips[k])
			return err_set(e, ERR_BAD_REQUEST, "--node-ip '%s' has two addresses of %s", o->node_ip,
				       family_name(a.family));
		net_addr_print(&a, c->node_ips[k]);
	}
	for (size_t k = 0; k < n; k++)
		if (!*c->node_ips[k] && !net_host_address(o->bridge, pods[k].addr.family, c->node_ips[k]) && k)
			c->node_ips[k][0] = '\0';
	return 0;
}

static void print_share(char *out, size_t cap, const struct net_prefix *pods, size_t n)
{
	size_t at = 0;

	for (size_t k = 0; k < n; k++) {
		unsigned share = pods[k].addr.family == AF_INET6 ? SHARE_V6 : SHARE_V4;
		char text[NET_ADDR_TEXT];

		at += (size_t)snprintf(out + at, cap - at, "%s%s/%u", k ? "," : "", net_addr_print(&pods[k].addr, text),
				       pods[k].bits < share ? share : pods[k].bits);
	}
}

static int read_dns(struct cluster_net *c, const struct net_prefix *services, const struct server_opts *o, struct err *e)
{
	size_t at = 0;

	for (struct str rest = str_of(str_empty(o->cluster_dns) ? NULL : o->cluster_dns); rest.p;) {
		_cleanup_free_ char *text = str_dup(str_trim(str_cut(&rest, ',')));
		struct net_addr a;

		if (!net_addr_parse(&a, text) || at > NET_ADDR_TEXT)
			return err_set(e, ERR_BAD_REQUEST, "--cluster-dns '%s' is no address, and no two", o->cluster_dns);
		at += (size_t)snprintf(c->dns + at, sizeof(c->dns) - at, "%s%s", at ? "," : "", text);
	}
	for (size_t k = 0; k < c->n && str_empty(o->cluster_dns); k++) {
		struct net_addr a = net_addr_add(&services[k].addr, DNS_HOST);
		char text[NET_ADDR_TEXT];

		at += (size_t)snprintf(c->dns + at, sizeof(c->dns) - at, "%s%s", k ? "," : "", net_addr_print(&a, text));
	}
	return 0;
}

int cluster_net_read(struct cluster_net *c, const struct server_opts *o, struct err *e)
{
	struct net_prefix pods[NET_FAMILIES], services[NET_FAMILIES];
	size_t n_pods;

	*c = (struct cluster_net){ 0 };
	if (read_networks(pods, &n_pods, "cluster-cidr", o->cluster_cidr, false, e) < 0 ||
	    read_networks(services, &c->n, "service-cidr", o->service_cidr, true, e) < 0 ||
	    check_families(pods, n_pods, services, c->n, o, e) < 0 || read_node_ips(c, pods, n_pods, o, e) < 0 ||
	    read_dns(c, services, o, e) < 0)
		return -e->code;
	for (size_t k = 0; k < c->n; k++) {
		struct net_addr a = net_addr_add(&services[k].addr, 1);

		net_addr_print(&a, c->first_ips[k]);
	}
	print_share(c->pod_cidr, sizeof(c->pod_cidr), pods, n_pods);
	return 0;
}

void cluster_net_warn(const struct server_opts *o)
{
	const struct {
		const char *option, *networks;
	} all[] = { { "cluster-cidr", o->cluster_cidr }, { "service-cidr", o->service_cidr } };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char what[NET_ADDR_TEXT + 32];

		if (net_conflict(o->bridge, all[i].networks, what))
			log_warn("a network of the cluster overlaps with one of this machine, which can't be reached from pods then; "
				 "choose another one",
				 LS("option", all[i].option), LS("network", all[i].networks), LS("overlaps", what));
	}
}
