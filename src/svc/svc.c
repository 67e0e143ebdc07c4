/*
 * The parts, and their life. To add one: its file, its two functions in internal.h,
 * a switch in svc_config, a row here.
 */
#include <stddef.h>

#include "base/log.h"
#include "svc/internal.h"

#define OFF(m) offsetof(struct svc_config, m)
static const struct svc_part parts[] = {
	{ "service proxy", OFF(no_proxy), proxy_open, proxy_close, proxy_off },
	{ "DNS", OFF(no_dns), dns_open, dns_close, NULL },
	{ "announcements", OFF(no_lb), announce_open, announce_close, NULL },
	{ "ports", OFF(no_lb), listening_open, listening_close, listening_off },
	{ "policies", OFF(no_policy), policies_open, policies_close, policies_off },
	{ "ingress", OFF(no_ingress), ingress_open, ingress_close, NULL },
	{ .name = NULL },
};

static bool svc_is_off(const struct svc *s, const struct svc_part *p)
{
	return *(const bool *)((const char *)&s->cfg + p->off);
}

/* All texts of the configuration; they are copied. */
static const char **svc_text(struct svc_config *c, size_t i)
{
	const char **const all[] = { &c->node_name, &c->node_ip, &c->state_dir, &c->cluster_cidr, &c->service_cidr,
				     &c->cluster_dns, &c->cluster_domain, &c->resolv_conf, &c->lb_pool,
				     &c->ingress_address, &c->ingress_access_log };

	return i < ARRAY_SIZE(all) ? all[i] : NULL;
}

int svc_new(struct svc **ret, const struct svc_config *cfg, struct err *e)
{
	struct svc *s = xcalloc(1, sizeof(*s));
	const char **text;

	s->cfg = *cfg;
	for (size_t i = 0; (text = svc_text(&s->cfg, i)); i++)
		*text = xstrdup_null(*text);
	s->slices = svc_slices_new(s->cfg.client);
	for (size_t i = 0; parts[i].name; i++)
		if (svc_is_off(s, &parts[i])) {
			if (parts[i].turned_off)
				parts[i].turned_off(s);
		} else if (parts[i].open(&s->part[i], s, e) < 0) {
			svc_free(s);
			return err_wrap(e, "start the node's %s", parts[i].name);
		}
	*ret = s;
	return 0;
}

struct svc *svc_free(struct svc *s)
{
	const char **text;

	if (!s)
		return NULL;
	for (size_t i = ARRAY_SIZE(parts) - 1; i-- > 0;)
		if (s->part[i])
			parts[i].close(s->part[i]);
	svc_slices_free(s->slices);
	for (size_t i = 0; (text = svc_text(&s->cfg, i)); i++)
		free((char *)*text);
	free(s);
	return NULL;
}
